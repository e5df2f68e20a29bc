"""A generation: one request on its way to a dataset. Its item stands in the run table, which is the truth."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel

from signalbox.dataset_object import DatasetObject
from signalbox.failure import Failure
from signalbox.items import condition_of, item_of, plain, readable, update_of
from signalbox.observability import logger
from signalbox.run import now, run_id_for
from signalbox.run_table import RunTable, Superseded

FOLDER, PREFIX = "generations", "GENERATION#"
DATASETS = "datasets/"
BATCH_NAME = re.compile(r"(?P<generation>.+)-labels-[12]")
"""Names a batch job: of which generation it is, and of which round."""
_OPEN, _KEPT = "generating", "generated"
"""The values of the index key under which the generations stand for which something is still to be done, and those
that are over and kept."""
STALLED = "GenerationStalled"
_RUN_NUDGED = "RunNudged"
LEASE = timedelta(seconds=930)
"""How long an invocation may be at work for a generation, unless it says before that it is done: a little longer than
the function's Timeout in template.yaml, by which clocks may differ. A test compares the two."""

Way = Literal["batch", "converse"]


class GenerationState(StrEnum):
    """How far a generation has come; the comment says what is under way in it."""

    REQUESTED = "REQUESTED"  # the request is being read, queries are being made
    LABELLING = "LABELLING"  # the teacher is asked every query
    RETRYING = "RETRYING"  # the teacher is asked those again that have no usable answer
    COMPLETED = "COMPLETED"
    REJECTED = "REJECTED"
    FAILED = "FAILED"

    @property
    def ended(self) -> bool:
        """Whether the generation has come to its end."""
        return self not in FOLLOWING

    @property
    def round(self) -> Literal[1, 2]:
        """Which round of labelling it is in."""
        return 2 if self is GenerationState.RETRYING else 1


_S = GenerationState
FOLLOWING: dict[GenerationState, frozenset[GenerationState]] = {
    _S.REQUESTED: frozenset({_S.LABELLING, _S.REJECTED, _S.FAILED}),
    _S.LABELLING: frozenset({_S.RETRYING, _S.COMPLETED, _S.FAILED}),
    _S.RETRYING: frozenset({_S.COMPLETED, _S.FAILED}),
}
"""From each state that is not an end, the states that may follow."""


_OWED = {
    _S.LABELLING: "LabellingStarted",
    _S.COMPLETED: "GenerationCompleted",
    _S.REJECTED: "GenerationRejected",
    _S.FAILED: "GenerationFailed",
}
"""The event that is owed for coming to a state."""


class GenerationMoment(BaseModel):
    """One entry of a generation's history."""

    state: GenerationState
    at: datetime
    note: str = ""


class Generation(BaseModel):
    """One item of the run table that is not a run.

    Attributes
    ----------
    id : str
        Made of the request's object version as a run's id is of a dataset's, hence the same as the run's if it is a
        dropped dataset that is to be labelled; the item's key has a prefix.
    task_name : str
        Not `task`: the index of runs by task must not find it.
    way : Way
        How the teacher is asked in this round.
    job_arns : dict[str, str]
        Batch jobs by round.
    held_until : datetime | None
        Until when nobody but the invocation that is at work for it changes it; no two of them have the same moment.
    waiting, trouble, waited_until :
        What the last attempt in this state found; see `Attempted`. It is tried again.
    outbox : str | None
        The event that it owes, until it is published.
    stalled : bool
        Whether it has been called so in its state.
    released_at : datetime | None
        Since when nobody needs it any more.
    reasons : list[str]
        Why the request was rejected.
    run_id : str
        The run that its dataset has started.
    summary : dict
        A few facts of what it came to.
    """

    id: str
    task_name: str
    state: GenerationState
    created_at: datetime
    updated_at: datetime
    request: DatasetObject
    history: list[GenerationMoment] = []
    way: Way = "converse"
    job_arns: dict[str, str] = {}
    held_until: datetime | None = None
    waiting: str = ""
    outbox: str | None = None
    stalled: bool = False
    trouble: str = ""
    waited_until: datetime | None = None
    released_at: datetime | None = None
    reasons: list[str] = []
    failure: Failure | None = None
    dataset_key: str = ""
    run_id: str = ""
    summary: dict[str, Any] = {}

    @property
    def task(self) -> str:
        """The task for which the dataset is made."""
        return self.task_name

    @property
    def labels_a_dataset(self) -> bool:
        """Whether it gives answers to the records of a dropped dataset, whose run waits for them."""
        return self.request.key.startswith(DATASETS)

    def is_held(self, at: datetime) -> bool:
        """Whether an invocation may be at work for it."""
        return self.held_until is not None and at < self.held_until

    @property
    def batch_name(self) -> str:
        """What this round's batch job is named."""
        return self.batch_names[self.state.round - 1]

    @property
    def batch_names(self) -> tuple[str, str]:
        """What the batch jobs of both rounds are named."""
        return f"{self.id}-labels-1", f"{self.id}-labels-2"


class GenerationTable:
    """Generations in the run table. Every change of state is one conditional write.

    Parameters
    ----------
    runs : RunTable
    """

    def __init__(self, runs: RunTable) -> None:
        self._runs = runs

    def receive(self, request: DatasetObject) -> Generation:
        """Create the generation of a dropped request, or return it as it is if it has been created before."""
        at, state = now(), GenerationState.REQUESTED
        generation = Generation(
            id=run_id_for(request),
            task_name=request.task,
            state=state,
            created_at=at,
            updated_at=at,
            request=request,
            history=[GenerationMoment(state=state, at=at, note=f"s3://{request.bucket}/{request.key}")],
        )
        if (there := self.load(generation.id)) is not None:
            return there
        condition, _ = condition_of({"id": None})
        put = {
            "Item": item_of(generation) | {"id": PREFIX + generation.id, "active": _OPEN},
            "ConditionExpression": condition,
            "ExpressionAttributeNames": {"#id": "id"},
        }
        try:
            self._runs.transact({"Put": put})
        except Superseded:
            return self.load(generation.id) or generation
        return generation

    def is_known(self, generation_id: str) -> bool:
        """Tell whether there is a generation of this id, even if it cannot be read."""
        return self._runs.item(PREFIX + generation_id) is not None

    def load(self, generation_id: str) -> Generation | None:
        """Return a generation, or None if there is none of this id."""
        item = self._runs.item(PREFIX + generation_id) if generation_id else None
        return _generation(item) if item else None

    def open(self) -> Iterator[Generation]:
        """Return every generation for which something is still to be done, the longest untouched first."""
        return readable(self._runs.standing(_OPEN), _generation)

    def kept(self) -> Iterator[Generation]:
        """Return every generation that is over and owes nothing, the longest untouched first."""
        return readable(self._runs.standing(_KEPT), _generation)

    def move(self, generation: Generation, to: GenerationState, note: str = "", **changes: Any) -> Generation:
        """Advance a generation by one conditional write, from which on it owes the event that says so.

        What it owed before is to be delivered first. At its end nobody holds it any more.

        Raises
        ------
        Superseded
            If it is no longer in the state it was loaded in, or somebody else has been at work for it since.
        """
        if to not in FOLLOWING.get(generation.state, frozenset()):
            raise ValueError(f"{generation.id}: no transition leads from {generation.state} to {to}")
        moment = GenerationMoment(state=to, at=now(), note=note)
        changes |= {
            "state": to,
            "history": [*generation.history, moment],
            "outbox": _RUN_NUDGED if generation.labels_a_dataset and to.ended else _OWED.get(to),
            "waiting": "",
            "trouble": "",
            "waited_until": None,
            "stalled": False,
            "updated_at": moment.at,
            "held_until": None if to.ended else generation.held_until,
        }
        return self._changed(generation, changes, expected={"held_until": generation.held_until})

    @contextmanager
    def held(self, generation: Generation) -> Iterator[Generation]:
        """Hold a generation while an invocation is at work for it.

        Raises
        ------
        Superseded
            If another is at work for it, or it is no longer as it was loaded.
        """
        held = self.take(generation)
        try:
            yield held
        finally:
            try:
                self.leave(held)
            except Superseded:
                logger.info("generation is held no longer", extra={"generation_id": held.id})
            except Exception:  # what the work ended with counts; the hold runs out
                logger.exception("generation still held", extra={"generation_id": held.id})

    def take(self, generation: Generation) -> Generation:
        """Hold a generation that nobody holds, for as long as an invocation may last; a crash ends it with that.

        Raises
        ------
        Superseded
            If another holds it, or it is no longer as it was loaded.
        """
        at = now()
        if generation.is_held(at):
            raise Superseded(f"{generation.id} is held until {generation.held_until}")
        expected = {"held_until": generation.held_until}
        return self._changed(generation, {"held_until": at + LEASE}, expected=expected)

    def leave(self, generation: Generation) -> None:
        """Hold a generation no longer, whatever state it has come to.

        Raises
        ------
        Superseded
            If it is not held as it was taken.
        """
        let_go = update_of(
            PREFIX + generation.id, {"held_until": None}, {"held_until": generation.held_until}
        )
        self._runs.transact({"Update": let_go})

    def delivered(self, generation: Generation) -> None:
        """Note that the event in the outbox has been published."""
        place = {"active": _KEPT} if generation.state.ended else {}
        self._changed(generation, {"outbox": None}, place, {"outbox": generation.outbox})

    def mark_stalled(self, generation: Generation) -> Generation:
        """Note that a generation has overstayed in its state, and owe the event that says so.

        Raises
        ------
        Superseded
            If it is no longer in that state, or something is at work for it again.
        """
        expected = {"updated_at": generation.updated_at}
        return self._changed(generation, {"stalled": True, "outbox": STALLED}, expected=expected)

    def release(self, generation: Generation, released_at: datetime | None) -> None:
        """Note since when nobody needs a generation that is over; None if somebody does."""
        self._changed(generation, {"released_at": released_at})

    def delete(self, generation: Generation) -> None:
        """Delete the item of a generation; one that is gone is left so."""
        self._runs.transact({"Delete": {"Key": {"id": PREFIX + generation.id}}})

    def note(self, generation: Generation, **changes: Any) -> Generation:
        """Set attributes of a generation that is still in the state it was loaded in, which is a sign of life.

        Raises
        ------
        Superseded
            If it is no longer in that state, or somebody else has been at work for it since.
        """
        expected = {"held_until": generation.held_until}
        return self._changed(generation, changes | {"updated_at": now()}, expected=expected)

    def _changed(
        self,
        generation: Generation,
        changes: dict[str, Any],
        place: dict[str, str] | None = None,
        expected: dict[str, Any] | None = None,
    ) -> Generation:
        """Change attributes, and the place in the index, if the generation is as it was loaded."""
        changed = generation.model_copy(update=changes)
        values = item_of(changed)
        written = {name: values.get(name) for name in changes} | (place or {})
        condition = {"state": generation.state} | (expected or {})
        self._runs.transact({"Update": update_of(PREFIX + generation.id, written, condition)})
        return changed


def _generation(item: dict[str, Any]) -> Generation:
    item = plain(item)
    return Generation.model_validate(item | {"id": item["id"].removeprefix(PREFIX)})

"""Writes that hold together: promotion, rollback, retirement and release, each over all that it changes at once."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel

from signalbox.events import Asked, Event, OperatorRequest
from signalbox.failure import Failure
from signalbox.items import condition_of, item_of, plain, update_of
from signalbox.live import LIVE_PREFIX, Live
from signalbox.release import Awaited
from signalbox.run import PROMOTABLE, Moment, Run, State, now
from signalbox.run_table import RunTable, transition

REQUEST_PREFIX = "REQUEST#"
_SETTLED: dict[str, Any] = {"outbox": None, "retired_at": None}
"""An ended run is changed only if it owes nothing, which would be forgotten, and has not been given up."""


class Outcome(BaseModel):
    """What became of a person's request; kept for ever under the id of its event.

    Attributes
    ----------
    run_id : str
        The run that was moved by it, "" if it was refused.
    said : str
        Why it was refused, "" if it was not.
    """

    request_id: str
    asked: Asked
    subject: str
    by: str
    reason: str
    at: datetime
    run_id: str = ""
    said: str = ""


class Transactions:
    """What promotes, rolls back and retires, all of it or nothing.

    Two rules hold by them: a pointer moves only from the pointer that was read, and a run is given up only while
    no pointer names it. So of several that want to move a pointer one wins, and whoever lost reads again.

    Parameters
    ----------
    runs : RunTable
    """

    def __init__(self, runs: RunTable) -> None:
        self._runs = runs

    def promote(
        self,
        run: Run,
        live: Live,
        replaced: Live | None,
        *,
        note: str,
        request: OperatorRequest | None = None,
        **changes: Any,
    ) -> Run:
        """Move a run to PROMOTED and the task's live pointer to it.

        Parameters
        ----------
        live : Live
            The new pointer. Only a person's may be of a run that was held or withdrawn.
        replaced : Live | None
            The pointer that was read; None if there was none.
        request : OperatorRequest | None
            Whose answer is kept with it.
        changes
            Attributes of `Run` to set.

        Raises
        ------
        Superseded
            If anything of this has moved since it was read, or the request has been answered.
        """
        by_a_person = run.state in PROMOTABLE and live.how == "person"
        if run.state is not State.EVALUATED and not by_a_person:
            raise ValueError(f"{run.id}: {run.state} is promoted by a person only")
        moment = _moment(State.PROMOTED, live, Event.MODEL_PROMOTED, note)
        expected = _SETTLED | {"updated_at": run.updated_at} if by_a_person else {}
        moved, update = transition(run, moment, {"released_at": None} | changes, expected)
        self._runs.transact({"Update": update}, _moved_to(live, replaced), *_answered(request, run.id))
        return moved

    def roll_back(
        self,
        withdrawn: Run,
        live: Live,
        replaced: Live,
        *,
        note: str,
        request: OperatorRequest | None = None,
        **changes: Any,
    ) -> Run:
        """Move the live pointer back, and note so on the run that is withdrawn by it.

        Raises
        ------
        Superseded
            As `promote`.
        """
        moment = _moment(withdrawn.state, live, Event.MODEL_ROLLED_BACK, note)
        expected = _SETTLED | {"updated_at": withdrawn.updated_at}
        moved, update = transition(withdrawn, moment, changes, expected)
        self._runs.transact({"Update": update}, _moved_to(live, replaced), *_answered(request, withdrawn.id))
        return moved

    def give_up(self, run: Run, live: Live | None) -> None:
        """Note that a run can never go live again, unless its task's pointer names it.

        Parameters
        ----------
        live : Live | None
            The pointer of the run's task as it was read, which does not name the run.

        Raises
        ------
        Superseded
            If the pointer or the run has moved since it was read.
        """
        if live is not None and run.id in live.run_ids:
            raise ValueError(f"{run.id} is live or kept for a way back")
        expected = _SETTLED | {
            "state": run.state,
            "updated_at": run.updated_at,
            "released_at": run.released_at,
        }
        update = update_of(run.id, {"retired_at": now()}, expected)
        self._runs.transact({"Update": update}, {"ConditionCheck": _still(run.task, live)})

    def withdraw(self, run: Run, live: Live) -> None:
        """Let a task's pointer name a run no longer; without the live run there is none, and nothing answers.

        Raises
        ------
        Superseded
            If the pointer has moved since it was read.
        """
        if run.id == live.run_id:
            self._runs.transact({"Delete": _still(live.task_name, live)})
        elif run.id in live.run_ids:
            self._runs.transact(_moved_to(live.model_copy(update={"previous": None}), live))

    def await_release(self, run: Run, awaited: Awaited) -> Run:
        """Let a run wait for a person, for as long as its patience says, and owe the event that tells people so.

        Raises
        ------
        Superseded
            If the run has been moved, or touched, since it was read; a release is not forgotten so.
        """
        waiting = f"for a person's release: {awaited.reason}"
        moment = Moment(state=run.state, at=now(), note=f"waits {waiting}", event=Event.RELEASE_AWAITED)
        changes = {"awaits": awaited, "waiting": waiting, "patience": run.patience}
        return self._changed(run, moment, changes)

    def remind(self, run: Run, awaited: Awaited) -> Run:
        """Owe once more the event that a run awaits a release, and note that people were reminded.

        Raises
        ------
        Superseded
            As `await_release`.
        """
        return self.await_release(run, awaited.model_copy(update={"reminded": True}))

    def release(self, run: Run, awaited: Awaited, request: OperatorRequest) -> Run:
        """Let a run begin what a person has released, and owe the nudge that brings it on.

        Raises
        ------
        Superseded
            If the run has moved since it was read, or the request has been answered.
        """
        by = request.by or "a person"
        note = f"{awaited.of} released by {by}"
        moment = Moment(
            state=run.state, at=now(), note=note, event=Event.RUN_NUDGED, by=by, reason=request.reason
        )
        return self._changed(run, moment, {"released": [*run.released, awaited.of]}, request)

    def end(self, run: Run, failure: Failure, request: OperatorRequest | None = None) -> Run:
        """End a run because a person does not release what it awaits, or nobody has.

        Raises
        ------
        Superseded
            As `release`.
        """
        moment = Moment(
            state=State.FAILED,
            at=now(),
            note=failure.reason,
            event=Event.RUN_FAILED,
            by=(request.by or "a person") if request else "",
            reason=request.reason if request else "",
        )
        return self._changed(run, moment, {"failure": failure, "reason": failure.reason}, request)

    def _changed(
        self, run: Run, moment: Moment, changes: dict[str, Any], request: OperatorRequest | None = None
    ) -> Run:
        """Write a moment of a run that nobody has touched since it was read, with the answer to a request."""
        moved, update = transition(run, moment, changes, {"updated_at": run.updated_at})
        self._runs.transact({"Update": update}, *_answered(request, run.id))
        return moved

    def outcome(self, request_id: str) -> Outcome | None:
        """Return what became of a request, or None if it has not been answered."""
        item = self._runs.item(REQUEST_PREFIX + request_id)
        return Outcome.model_validate(plain(item)) if item else None

    def refuse(self, request: OperatorRequest, said: str) -> None:
        """Keep why a request was refused.

        Raises
        ------
        Superseded
            If it has been answered meanwhile.
        """
        self._runs.transact(_answer(request, said=said))


def _answer(request: OperatorRequest, **answer: str) -> dict[str, Any]:
    """Write the put of a request's outcome, which can be put once."""
    outcome = Outcome(
        request_id=request.id,
        asked=request.asked,
        subject=request.subject,
        by=request.by,
        reason=request.reason,
        at=now(),
        **answer,
    )
    condition, _ = condition_of({"id": None})
    return {
        "Put": {
            "Item": item_of(outcome) | {"id": REQUEST_PREFIX + request.id},
            "ConditionExpression": condition,
            "ExpressionAttributeNames": {"#id": "id"},
        }
    }


def _answered(request: OperatorRequest | None, run_id: str) -> list[dict[str, Any]]:
    return [] if request is None else [_answer(request, run_id=run_id)]


def _moment(state: State, live: Live, event: Event, note: str) -> Moment:
    """Return the moment of a run's history in which a pointer is set, with who set it and why."""
    return Moment(state=state, at=live.since, note=note, event=event, by=live.by, reason=live.reason)


def _moved_to(live: Live, replaced: Live | None) -> dict[str, Any]:
    """Write the put of a pointer over the one that was read."""
    check = _still(live.task_name, replaced)
    del check["Key"]
    return {"Put": {"Item": live.item(), **check}}


def _still(task: str, live: Live | None) -> dict[str, Any]:
    """Write the condition that the pointer of a task is the one that was read."""
    expected = live.as_read if live else {"id": None}
    condition, values = condition_of(expected)
    check: dict[str, Any] = {
        "Key": {"id": LIVE_PREFIX + task},
        "ConditionExpression": condition,
        "ExpressionAttributeNames": {f"#{name}": name for name in expected},
    }
    return check | ({"ExpressionAttributeValues": values} if values else {})

"""What is put to the test: a task, what happened before, what happens, and how that has to end."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from signalbox.run import State
from tests.builders import QUERIES, embedded_spec, labelled, line, spec
from tests.faults.world import World

GOLDEN = labelled(QUERIES[::7][:20])
_UNREACHABLE = {"valid_share": 1, "latency_p95_ms": 1e-9}


@dataclass(frozen=True)
class Scenario:
    """One story of the app.

    Attributes
    ----------
    prepare : Callable[[World], None]
        What happened before, undisturbed.
    act : Callable[[World], None]
        What sets off the deliveries that faults befall.
    ends : dict[int, State]
        By the number of a run, in order of their creation, how it has to end.
    live : int | None
        The number of the run that is live then.
    answered : bool
        Whether a person's request stands in the beginning, which only Lambda's own retries carry on.
    retired : bool
        Whether the end is not reached until every deployment that nobody needs is gone.
    """

    name: str
    prepare: Callable[[World], None]
    act: Callable[[World], None]
    ends: dict[int, State]
    live: int | None = None
    answered: bool = False
    retired: bool = False


def _drop(
    content: dict[str, Any], dataset: bytes = labelled(), name: str = "drop"
) -> Callable[[World], None]:
    def drop(world: World) -> None:
        world.upload_task(content, GOLDEN)
        world.drop(dataset, f"datasets/{content['name']}/{name}.jsonl", trains=True)

    return drop


def _done(*acts: Callable[[World], None]) -> Callable[[World], None]:
    def prepare(world: World) -> None:
        for act in acts:
            act(world)
            world.drive()

    return prepare


def _ask(detail_type: str, number: int) -> Callable[[World], None]:
    def ask(world: World) -> None:
        run = runs_of(world)[number]
        subject = {"task": run.task} if detail_type == "RollbackRequested" else {"run_id": run.id}
        world.ask(detail_type, reason="the gates are wrong", by="ada", **subject)

    return ask


def _ring(world: World) -> None:
    pointer = world.live()
    since = pointer.since - timedelta(minutes=30)
    world.table.put_item(Item=pointer.model_copy(update={"since": since}).item())
    world.put_calls(since + timedelta(minutes=5), invocations=100, errors=10)
    world.ring("FaultAlarm", after=timedelta(minutes=8))


def _release(world: World) -> None:
    world.age_all(timedelta(hours=1))


def runs_of(world: World) -> list[Any]:
    """Return every run in order of creation."""
    items = [item for item in world.table.scan()["Items"] if "state" in item]
    runs = [world.run(item["id"]) for item in items]
    return sorted(runs, key=lambda run: run.created_at)


DISTILLED = spec()
HELD = spec(gates=_UNREACHABLE, judge=None)
USELESS = HELD | {"retention": {"deployments": 0, "models": 0}}
COSTLY = spec(
    dataset={"budget_usd": 0},
    deployment={"type": "provisioned"},
    serve={"order": ["bedrock", "embedded", "prior"]},
)
EMBEDDED = embedded_spec()
BROKEN = b"".join(line(f"query {number}", "no weights at all") for number in range(150))

SCENARIOS = [
    Scenario("distillation", _done(), _drop(DISTILLED), {0: State.PROMOTED}, live=0),
    Scenario("embedded", _done(), _drop(EMBEDDED), {0: State.PROMOTED}, live=0),
    Scenario("rejection", _done(), _drop(DISTILLED, BROKEN), {0: State.REJECTED}),
    Scenario(
        "replacement",
        _done(_drop(DISTILLED)),
        _drop(DISTILLED, name="again"),
        {0: State.PROMOTED, 1: State.PROMOTED},
        live=1,
    ),
    Scenario("held", _done(), _drop(HELD), {0: State.HELD}),
    Scenario(
        "promotion by a person",
        _done(_drop(HELD)),
        _ask("PromotionRequested", 0),
        {0: State.PROMOTED},
        live=0,
        answered=True,
    ),
    Scenario(
        "rollback",
        _done(_drop(DISTILLED), _drop(DISTILLED, name="again")),
        _ask("RollbackRequested", 1),
        {0: State.PROMOTED, 1: State.PROMOTED},
        live=0,
        answered=True,
    ),
    Scenario(
        "alarm",
        _done(_drop(DISTILLED), _drop(DISTILLED, name="again")),
        _ring,
        {0: State.PROMOTED, 1: State.PROMOTED},
        live=0,
        answered=True,
    ),
    Scenario(
        "release of a job",
        _done(_drop(spec(dataset={"budget_usd": 0}))),
        _ask("ReleaseRequested", 0),
        {0: State.PROMOTED},
        live=0,
        answered=True,
    ),
    Scenario(
        "release of throughput",
        _done(_drop(COSTLY), _ask("ReleaseRequested", 0)),
        _ask("ReleaseRequested", 0),
        {0: State.PROMOTED},
        live=0,
        answered=True,
    ),
    Scenario(
        "no release",
        _done(_drop(COSTLY)),
        _ask("EndRequested", 0),
        {0: State.FAILED},
        answered=True,
    ),
    Scenario("retirement", _done(_drop(USELESS)), _release, {0: State.HELD}, retired=True),
]

"""Whatever fails, in whatever order the tiers are asked: an answer, in time.

Every combination of what can go wrong with each tier is tried, for every order that a task may name. Time is the tests'
own: what a call takes is added to the clock instead of being waited for. One test is in real time.
"""

import itertools
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from concurrent.futures import TimeoutError as DeadlinePassed
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ConnectTimeoutError, ReadTimeoutError

from signalbox import route as route_module
from signalbox.bedrock import Reply
from signalbox.breaker import FAILURES
from signalbox.live import Live
from signalbox.route import POINTER_SECONDS, Router
from signalbox.student import Student, StudentError
from tests.builders import QUERIES, client_error, spec, task, weights_text

TRUTH = weights_text(0.5, 0.3, 0.2)
DEPLOYMENT, BASELINE = "deployment", spec()["compare"]["baseline"]
STRANGE = "zzyzx qwfp"
SLOW_SECONDS = 3.0


@dataclass
class Clock:
    """A clock that goes only when something takes its time."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Called:
    """A call that was made in the background: its outcome, and when it is there."""

    clock: Clock
    outcome: Callable[[], Any]
    there_at: float

    def result(self, timeout: float) -> Any:
        if self.there_at > self.clock.now + timeout:
            self.clock.now += timeout
            raise DeadlinePassed
        self.clock.now = max(self.clock.now, self.there_at)
        return self.outcome()

    def done(self) -> bool:
        return self.there_at <= self.clock.now

    def cancel(self) -> bool:
        return False


@dataclass
class SimulatedThreads(Executor):
    """Threads whose calls take the time by which they move the clock."""

    clock: Clock

    def submit(self, call: Callable[..., Any], /, *arguments: Any, **_: Any) -> Any:
        before = self.clock.now
        try:
            answer = call(*arguments)
            outcome = lambda: answer  # noqa: E731
        except Exception as error:
            raised = error
            outcome = lambda: throw(raised)  # noqa: E731
        there_at, self.clock.now = self.clock.now, before
        return Called(self.clock, outcome, there_at)


def throw(error: Exception) -> Any:
    raise error


MODELS: dict[str, Any] = {
    "well": TRUTH,
    "timeout": None,
    "throttled": client_error("ThrottlingException", status=429),
    "5xx": client_error("InternalServerException", status=500),
    "refused": client_error("AccessDeniedException", status=403),
    "no network": ConnectTimeoutError(endpoint_url="https://bedrock"),
    "cut off": ReadTimeoutError(endpoint_url="https://bedrock"),
    "malformed": '{"picture": 0.5, "sound"',
    "wrong sum": weights_text(0.5, 0.4, 0.3),
    "no numbers": '{"picture": NaN, "sound": "a", "words": null}',
    "prose": "Here you are: " + TRUTH,
    "bug": ZeroDivisionError(),
    "left alone": TRUTH,
}
STUDENTS = ("well", "unsure", "absent", "missing", "spoilt", "unreachable", "slow", "bug")
MODES = {"bedrock": tuple(MODELS), "embedded": STUDENTS, "baseline": tuple(MODELS), "prior": ("well",)}


@dataclass
class Aws:
    """Live pointer, student and models, each as well as a test has it."""

    clock: Clock
    states: dict[str, str]
    live: Live
    artefact: bytes
    asked: list[str] = field(default_factory=list)

    def get(self, *key: str) -> Any:
        """Return the live pointer (of a task), or the student (of a run, by name)."""
        return self.live if len(key) == 1 else self._student()

    def _student(self) -> bytes | None:
        state = self.states["embedded"]
        self.clock.now += SLOW_SECONDS if state == "slow" else 0.02
        if state == "unreachable":
            raise client_error("SlowDown")
        return {"missing": None, "spoilt": b"spoilt", "bug": b"bug"}.get(state, self.artefact)

    def ask(self, model_id: str, *_: Any) -> Reply:
        """Answer as the model of this id does."""
        self.asked.append(model_id)
        state = self.states["bedrock" if model_id == DEPLOYMENT else "baseline"]
        self.clock.now += SLOW_SECONDS if state == "timeout" else 0.1
        said = MODELS[state]
        if isinstance(said, Exception):
            raise said
        return Reply(said or TRUTH, 1.0, 10, 10, "end_turn")


def orders() -> list[tuple[str, ...]]:
    """Return every order of tiers that a task may name."""
    several = [order for number in (1, 2, 3) for order in itertools.permutations(list(MODES)[:3], number)]
    return [(*order, "prior") for order in several if order[0] != "baseline"]


def combinations(order: tuple[str, ...]) -> Iterator[dict[str, str]]:
    """Yield every combination of the tiers' states, the tiers that are not asked being well."""
    for states in itertools.product(*(MODES[tier] for tier in order)):
        yield dict.fromkeys(MODES, "well") | dict(zip(order, states, strict=True))


def expected(order: tuple[str, ...], states: dict[str, str]) -> str:
    """Return which tier has to answer."""
    has_time, kept = True, None
    for tier in order:
        state = states[tier]
        if tier == "prior":
            return kept or tier
        if state == "unsure" and {"bedrock", "baseline"} & set(order[order.index(tier) :]):
            kept = tier
        elif state == "unsure" or (state == "well" and (has_time or tier == "embedded")):
            return tier
        has_time = has_time and state != "timeout"
    raise AssertionError("an order ends with the prior")


@pytest.fixture
def loads(student: bytes, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """Read each student only once in a test, since thousands are loaded."""

    @cache
    def read(artefact: bytes) -> Student:
        return Student.from_bytes(artefact)

    def from_bytes(artefact: bytes) -> Any:
        if artefact == b"spoilt":
            raise StudentError("spoilt")
        if artefact == b"bug":
            return SimpleNamespace(opinion=lambda query: throw(ZeroDivisionError()))
        return read(artefact)

    monkeypatch.setattr(route_module, "Student", SimpleNamespace(from_bytes=from_bytes))
    return student


def router_of(aws: Aws) -> Router:
    """Return a router that has met nothing yet but a model that fails."""
    router = Router(aws, aws, aws, aws.clock, SimulatedThreads(aws.clock))
    for tier, model in (("bedrock", DEPLOYMENT), ("baseline", BASELINE)):
        for _ in range(FAILURES * (aws.states[tier] == "left alone")):
            router._breakers[model].failed()
    return router


def pointer(serve: dict[str, object]) -> Live:
    """What is live, with a student and a deployment, served so."""
    return Live(
        task_name="clip-search",
        run_id="clip-1",
        model="m",
        since=datetime.now(UTC),
        task=task(spec(serve=serve)).model_dump(mode="json", by_alias=True),
        student=True,
        deployment_arn=DEPLOYMENT,
        prior={"weights": {"picture": 0.2, "sound": 0.3, "words": 0.5}},
    )


@pytest.mark.parametrize("budget_ms", [250, 2000])
@pytest.mark.parametrize("order", orders(), ids=" ".join)
def test_every_combination_of_failures_is_answered_in_time(
    loads: bytes, order: tuple[str, ...], budget_ms: int
) -> None:
    serve = {"order": order, "budget_ms": budget_ms, "unsure": {"familiarity": 0.02}}
    live = pointer(serve)
    absent = live.model_copy(update={"student": False})
    for states in combinations(order):
        # Given a live pointer that is known, and tiers that fail, each in its way
        aws = Aws(Clock(), states, absent if states["embedded"] == "absent" else live, loads)
        router = router_of(aws)
        router.live("clip-search")
        # When a query comes
        started = aws.clock.now
        routed = router.route("clip-search", STRANGE if states["embedded"] == "unsure" else QUERIES[0])
        # Then the first tier that has an answer, and the time for it, gives it, and why those before did not
        took_ms = (aws.clock.now - started) * 1000
        assert took_ms <= budget_ms + 1e-6, states
        if (
            budget_ms == 2000
        ):  # less leaves no time for two models, nor for a model and a student to be loaded
            assert routed.source == expected(order, states), states
        before = set(order[: order.index(routed.source)])
        assert before <= set(routed.passed_over), states
        assert routed.source not in routed.passed_over, states
        weights = routed.body()["weights"].values()
        assert sum(Decimal(str(weight)) for weight in weights) == 1, states
        assert all(0 <= weight <= 1 for weight in weights), states
        # And once all is well again, and rested, the first tier answers, unless the live run lacks it
        if states["embedded"] not in ("absent", "bug"):
            aws.states, aws.clock.now = dict.fromkeys(MODES, "well"), aws.clock.now + POINTER_SECONDS
            assert router.route("clip-search", QUERIES[1]).source == order[0], states


def test_in_real_time_a_model_and_a_student_that_hang_cost_no_more_than_the_budget(student: bytes) -> None:
    # Given a model and a store that answer only once the test allows them to
    released, gave_up = threading.Event(), threading.Event()

    def hang(*_: Any) -> None:
        if not released.wait(60):
            gave_up.set()

    serve = {"order": ["bedrock", "embedded", "baseline", "prior"], "budget_ms": 150}
    live = pointer(serve)
    hangs = SimpleNamespace(
        get=lambda *key: live if len(key) == 1 else hang(),
        ask=hang,
    )
    router = Router(hangs, hangs, hangs)
    router.live("clip-search")
    # When a query comes, then the prior answers it while they hang
    routed = router.route("clip-search", QUERIES[0])
    released.set()
    assert not gave_up.is_set()
    assert (routed.source, set(routed.passed_over)) == ("prior", {"bedrock", "embedded", "baseline"})

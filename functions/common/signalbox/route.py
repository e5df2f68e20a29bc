"""route: weights, or a label, for one query: always an answer, from the first tier that has a usable one."""

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as DeadlinePassed
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from signalbox.answer import Answer, AnswerError, parse_answer, serialisable_weights
from signalbox.bedrock import UNTRAINED_TOKENS, Bedrock
from signalbox.breaker import CircuitBreaker
from signalbox.cache import Cache
from signalbox.live import Live, LivePointers
from signalbox.observability import logger
from signalbox.query import normalise
from signalbox.store import STUDENT, RunStore
from signalbox.student import Student, StudentError
from signalbox.task import Task

POINTER_SECONDS = 30.0
"""How long a live pointer is used before it is read again: a promotion shows after at most this."""
CACHED_ANSWERS = 10_000
_REFRESH_SECONDS = 0.25
"""The longest that a query waits for a pointer to be read again; then the old one serves once more."""
_LOAD_SECONDS = 1.0
_RESERVE_SECONDS = 0.05
"""Kept back from the budget for the tiers that compute here."""
_THREADS = 32
"""More than a breaker lets hang at a time, so that a model that is well never waits for one that is not."""

Result = TypeVar("Result")


class UnknownTask(LookupError):
    """Nothing is live under this name."""


class PassedOver(Exception):
    """A tier has no usable answer; says why in a few words.

    Attributes
    ----------
    lasting : bool
        Whether it will be so with the next query, too: the live run simply has no such tier.
    """

    def __init__(self, reason: str, *, lasting: bool = False) -> None:
        super().__init__(reason)
        self.lasting = lasting


@dataclass(frozen=True)
class Routed:
    """An answer, who gave it, and why those before it did not.

    Attributes
    ----------
    familiarity : float | None
        How much the query is like the training data, from 0 to 1, where the embedded student has looked.
    passed_over : dict[str, str]
        By tier, the reason.
    stopgap : bool
        Whether a tier before it failed, so that the next query may get a better answer.
    """

    answer: Answer
    source: str
    model: str
    run_id: str
    familiarity: float | None = None
    passed_over: dict[str, str] = field(default_factory=dict)
    stopgap: bool = False
    cached: bool = False

    def body(self) -> dict[str, Any]:
        """Return the answer as the API gives it: weights sum to exactly 1 as serialised."""
        said: dict[str, Any]
        if self.answer.weights is not None:
            said = {"weights": serialisable_weights(self.answer.weights)}
        else:
            said = {"label": self.answer.label, "confidence": self.answer.confidence}
        return said | {
            "reasoning": self.answer.reasoning,
            "familiarity": self.familiarity,
            "source": self.source,
            "cached": self.cached,
            "passed_over": self.passed_over,
            "run_id": self.run_id,
            "model": self.model,
        }


@dataclass
class _LiveTask:
    """A live pointer with what was made ready for it, and when (of the monotonic clock)."""

    live: Live
    task: Task
    read_at: float
    student: Student | None = None
    load_after: float = float("-inf")


@dataclass
class Router:
    """Answers queries with what is live.

    Parameters
    ----------
    pointers, store, bedrock :
        The adapters. None may retry on its own: the next tier is the better second try.
    clock : Callable[[], float]
        Monotonic seconds.
    """

    pointers: LivePointers
    store: RunStore
    bedrock: Bedrock
    clock: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        self._known: dict[str, _LiveTask] = {}
        self._answers: Cache[Routed] = Cache(self.clock, CACHED_ANSWERS)
        self._breakers: dict[str, CircuitBreaker] = defaultdict(lambda: CircuitBreaker(self.clock))
        self._threads = ThreadPoolExecutor(_THREADS, "route")
        self._tiers = {
            "bedrock": self._bedrock,
            "embedded": self._embedded,
            "baseline": self._baseline,
            "prior": self._prior,
        }

    def warm_up(self) -> None:
        """Read what is live and load its students before the first query; whatever fails now is tried again then."""
        try:
            for live in self.pointers.all():
                self._student(self._take_up(live))
        except (ClientError, BotoCoreError) as error:
            logger.warning("not warmed up", extra={"error": type(error).__name__})

    def route(self, task_name: str, query: str) -> Routed:
        """Answer a query within the task's time budget.

        Raises
        ------
        UnknownTask
            If nothing is live for the task.
        botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError
            If the live pointer has never been read and cannot be.
        """
        started = self.clock()
        known = self._live(task_name)
        key = (known.live.run_id, normalise(query))
        cached = self._answers.get(key)
        if cached is not None:
            return replace(cached, cached=True)
        routed = self._ask_tiers(known, query, started + known.task.serve.budget_ms / 1000)
        if not routed.stopgap:
            self._answers.put(key, routed, known.task.serve.cache_seconds)
        return routed

    def route_batch(self, task_name: str, queries: Sequence[str]) -> list[Routed]:
        """Answer many queries in one pass of the embedded student, or with the prior where there is none.

        Raises as `route` does.
        """
        known = self._live(task_name)
        student = self._student(known)
        if student is None:
            answer, model = self._prior(known, "", 0.0)[:2]
            return [Routed(answer, "prior", model, known.live.run_id)] * len(queries)
        return [
            Routed(opinion.answer, "embedded", _EMBEDDED, known.live.run_id, opinion.familiarity)
            for opinion in student.opinions(queries)
        ]

    def live(self, task_name: str) -> Live:
        """Return the live pointer of a task.

        Raises as `route` does.
        """
        return self._live(task_name).live

    def _ask_tiers(self, known: _LiveTask, query: str, deadline: float) -> Routed:
        """Go through the tiers until one answers; an answer that its tier is unsure of is kept for the end."""
        unsure: Routed | None = None
        passed_over: dict[str, str] = {}
        stopgap = False
        for tier in known.task.serve.order:
            if unsure is not None and tier == "prior":
                break
            try:
                answer, model, familiarity = self._tiers[tier](known, query, deadline)
            except PassedOver as reason:
                passed_over[tier] = str(reason)
                stopgap = stopgap or not reason.lasting
                continue
            except Exception as error:  # a fault of our own must not cost the caller an answer either
                logger.exception("tier failed", extra={"tier": tier, "run_id": known.live.run_id})
                passed_over[tier], stopgap = type(error).__name__, True
                continue
            routed = Routed(answer, tier, model, known.live.run_id, familiarity, passed_over, stopgap)
            if not self._hands_on(known.task, routed):
                return routed
            unsure = routed
            passed_over[tier] = "unsure"
        if unsure is None:
            raise AssertionError("the task spec lets every order end with the prior, which always answers")
        others = {tier: reason for tier, reason in passed_over.items() if tier != unsure.source}
        return replace(unsure, passed_over=others, stopgap=stopgap)

    @staticmethod
    def _hands_on(task: Task, routed: Routed) -> bool:
        """Tell whether the embedded student should leave this query to a language model after it."""
        rule = task.serve.unsure
        after = task.serve.order[task.serve.order.index(routed.source) + 1 :]
        if rule is None or routed.source != "embedded" or not {"bedrock", "baseline"} & set(after):
            return False
        confidence = routed.answer.confidence
        unfamiliar = routed.familiarity is not None and routed.familiarity < rule.familiarity
        return unfamiliar or (confidence is not None and confidence < rule.confidence)

    def _live(self, task_name: str) -> _LiveTask:
        """Return what is live; a pointer that is due to be read again is used stale rather than waited for."""
        known = self._known.get(task_name)
        if known is None:
            return self._take_up(self._existing(task_name, self.pointers.get(task_name)))
        if self.clock() - known.read_at < POINTER_SECONDS:
            return known
        known.read_at = self.clock()
        try:
            live = self._within(_REFRESH_SECONDS, self.pointers.get, task_name)
        except (ClientError, BotoCoreError, DeadlinePassed) as error:
            logger.warning(
                "live pointer used stale", extra={"task": task_name, "error": type(error).__name__}
            )
            return known
        return self._take_up(self._existing(task_name, live))

    def _existing(self, task_name: str, live: Live | None) -> Live:
        if live is None:
            self._known.pop(task_name, None)
            raise UnknownTask(task_name)
        return live

    def _take_up(self, live: Live) -> _LiveTask:
        """Keep a pointer that was read just now, and all that was made ready if it is the same."""
        known = self._known.get(live.task_name)
        if known is None or known.live != live:
            known = _LiveTask(live, Task.model_validate(live.task), self.clock())
            self._known[live.task_name] = known
        known.read_at = self.clock()
        return known

    def _student(self, known: _LiveTask) -> Student | None:
        """Return the live run's embedded student; after a failure it is not tried again for a while."""
        if known.student is None and known.live.student and self.clock() >= known.load_after:
            known.load_after = self.clock() + POINTER_SECONDS
            try:
                artefact = self._within(_LOAD_SECONDS, self.store.get, known.live.run_id, STUDENT)
                known.student = Student.from_bytes(artefact) if artefact is not None else None
            except (ClientError, BotoCoreError, DeadlinePassed, StudentError) as error:
                logger.warning(
                    "no embedded student", extra={"run_id": known.live.run_id, "error": str(error)}
                )
        return known.student

    def _embedded(self, known: _LiveTask, query: str, deadline: float) -> tuple[Answer, str, float | None]:
        student = self._student(known)
        if student is None:
            lasting = not known.live.student
            raise PassedOver(
                "the live run has no embedded student" if lasting else "not loaded", lasting=lasting
            )
        opinion = student.opinion(query)
        return opinion.answer, _EMBEDDED, opinion.familiarity

    def _bedrock(self, known: _LiveTask, query: str, deadline: float) -> tuple[Answer, str, float | None]:
        if known.live.deployment_arn is None or known.task.customization is None:
            raise PassedOver("the live run has no Bedrock model", lasting=True)
        tokens = known.task.customization.max_response_tokens
        answer = self._ask(known, "bedrock", known.live.deployment_arn, query, tokens, deadline)
        return answer, known.live.model, None

    def _baseline(self, known: _LiveTask, query: str, deadline: float) -> tuple[Answer, str, float | None]:
        model = known.task.compare.baseline
        if model is None:
            raise PassedOver("the task names no baseline", lasting=True)
        return self._ask(known, "baseline", model, query, UNTRAINED_TOKENS, deadline), model, None

    def _prior(self, known: _LiveTask, query: str, deadline: float) -> tuple[Answer, str, float | None]:
        return Answer(**known.live.prior, reasoning="the mean answer of the training data"), "prior", None

    def _ask(
        self, known: _LiveTask, tier: str, model_id: str, query: str, max_tokens: int, deadline: float
    ) -> Answer:
        """Ask a model over the network for as long as budget and deadline last, and take only a usable answer."""
        remaining = deadline - _RESERVE_SECONDS - self.clock()
        remaining = min(remaining, known.task.serve.deadlines_ms.get(tier, remaining * 1000) / 1000)
        breaker = self._breakers[model_id]
        if breaker.is_open:
            raise PassedOver("failed repeatedly, left alone for a while")
        if remaining <= 0:
            raise PassedOver("no time left")
        try:
            reply = self._within(remaining, self.bedrock.ask, model_id, known.task.prompt, query, max_tokens)
            answer = parse_answer(reply.text, known.task.output)
        except Exception as error:  # whatever goes wrong with a model, the next tier is asked
            breaker.failed()
            raise PassedOver(_in_words(error)) from error
        breaker.succeeded()
        return answer

    def _within(self, seconds: float, call: Callable[..., Result], *arguments: Any) -> Result:
        """Return what a call returns if it does so in time; a call that does not is left to itself."""
        called = self._threads.submit(call, *arguments)
        try:
            return called.result(timeout=seconds)
        except DeadlinePassed:
            called.cancel()
            raise


_EMBEDDED = "embedded student"


def _in_words(error: Exception) -> str:
    """Say in a few words why a model gave no usable answer."""
    match error:
        case ClientError():
            return error.response["Error"]["Code"]
        case DeadlinePassed():
            return "timeout"
        case AnswerError():
            return "unusable answer"
        case _:
            return type(error).__name__

"""route: weights, or a label, for one query: always an answer, from the first tier that has a usable one."""

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as DeadlinePassed
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

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
from signalbox.task import Task, Unsure

if TYPE_CHECKING:
    from signalbox.query_log import QueryLog

POINTER_SECONDS = 30.0
"""How long a live pointer is used before it is read again: a promotion shows after at most this."""
CACHED_ANSWERS = 10_000
_REFRESH_SECONDS = 0.25
_REFRESH_SHARE = 0.25
"""The longest that a query waits for a pointer to be read again, in seconds and as a share of the budget; then the old
one serves once more."""
_LOAD_SECONDS = 1.0
_RESERVE_SECONDS = 0.05
"""Kept back from the budget for the tiers that compute here."""
_THREADS = 32
"""More than a breaker lets hang at a time, so that a model that is well never waits for one that is not."""

NO_BEDROCK = "the live run has no Bedrock model"
NO_STUDENT = "the live run has no embedded student"
NO_BASELINE = "the task names no baseline"
ABSENT = frozenset({NO_BEDROCK, NO_STUDENT, NO_BASELINE})
"""Reasons that hold for the next query, too: there simply is no such tier."""
NOT_LOADED = "not loaded"
LEFT_ALONE = "failed repeatedly, left alone for a while"
NO_TIME = "no time left"
TIMEOUT = "timeout"
UNUSABLE = "unusable answer"
UNSURE = "unsure"

Result = TypeVar("Result")


class UnknownTask(LookupError):
    """Nothing is live under this name."""


class PassedOver(Exception):
    """A tier has no usable answer; says why in a few words."""


@dataclass(frozen=True)
class Routed:
    """An answer, who gave it, and why those before it did not.

    Attributes
    ----------
    familiarity : float | None
        How much the query is like the training data, from 0 to 1, where there is an embedded student to tell.
    unfamiliar : bool | None
        Whether that is less than the task's `serve.unsure.familiarity`, or than its default if the task has none.
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
    unfamiliar: bool | None = None
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
    loading: Future[Student | None] | None = None
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
    threads : Executor
        Runs whatever is waited for only for a limited time.
    query_log : QueryLog | None
        Where whoever asks this router notes the queries; None if they are not kept.
    """

    pointers: LivePointers
    store: RunStore
    bedrock: Bedrock
    clock: Callable[[], float] = time.monotonic
    threads: Executor = field(default_factory=lambda: ThreadPoolExecutor(_THREADS, "route"))
    query_log: "QueryLog | None" = None

    def __post_init__(self) -> None:
        self._known: dict[str, _LiveTask] = {}
        self._answers: Cache[Routed] = Cache(self.clock, CACHED_ANSWERS)
        self._breakers: dict[str, CircuitBreaker] = defaultdict(lambda: CircuitBreaker(self.clock))
        self._tiers = {
            "bedrock": self._bedrock,
            "embedded": self._embedded,
            "baseline": self._baseline,
            "prior": self._prior,
        }

    def warm_up(self) -> None:
        """Read what is live and load its students before the first query; whatever fails now is tried again then."""
        try:
            for known in [self._take_up(live) for live in self.pointers.all()]:
                self._student(known, _LOAD_SECONDS)
        except (ClientError, BotoCoreError, ValueError) as error:  # pydantic's errors are ValueErrors
            logger.warning("not warmed up", extra={"error": type(error).__name__})

    def wake_up(self) -> None:
        """Warm up again after a sleep of unknown length, through which clocks may have stood still."""
        for known in self._known.values():
            known.read_at = float("-inf")
        self.warm_up()

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
        if routed.familiarity is None:
            routed = self._with_familiarity(known, query, routed)
        if not routed.stopgap:
            self._answers.put(key, routed, known.task.serve.cache_seconds)
        return routed

    def route_batch(self, task_name: str, queries: Sequence[str]) -> list[Routed]:
        """Answer many queries in one pass of the embedded student, or with the prior where there is none.

        Raises as `route` does.
        """
        deadline = self.clock() + _LOAD_SECONDS
        known = self._live(task_name)
        run_id = known.live.run_id
        try:
            opinions = self._ready_student(known, deadline).opinions(queries)
        except Exception as error:
            reason, may_pass = self._why(error, "embedded", known)
            answer, model, _ = self._prior(known, "", deadline)
            passed_over = {"embedded": reason}
            return [Routed(answer, "prior", model, run_id, passed_over=passed_over, stopgap=may_pass)] * len(
                queries
            )
        return [
            Routed(
                opinion.answer,
                "embedded",
                _EMBEDDED,
                run_id,
                opinion.familiarity,
                _is_unfamiliar(known.task, opinion.familiarity),
            )
            for opinion in opinions
        ]

    def knows(self, task_name: str) -> bool:
        """Tell whether something is live for a task, as far as is known without asking."""
        return task_name in self._known

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
            except Exception as error:
                passed_over[tier], may_pass = self._why(error, tier, known)
                stopgap = stopgap or may_pass
                continue
            unfamiliar = _is_unfamiliar(known.task, familiarity)
            routed = Routed(
                answer, tier, model, known.live.run_id, familiarity, unfamiliar, passed_over, stopgap
            )
            if unsure is not None:  # what it knows of the query holds, whoever answers
                routed = replace(routed, familiarity=unsure.familiarity, unfamiliar=unsure.unfamiliar)
            if not self._hands_on(known.task, routed):
                return routed
            unsure = routed
            passed_over[tier] = UNSURE
        if unsure is None:
            raise AssertionError("the task spec lets every order end with the prior, which always answers")
        others = {tier: reason for tier, reason in passed_over.items() if tier != unsure.source}
        return replace(unsure, passed_over=others, stopgap=stopgap)

    @staticmethod
    def _why(error: Exception, tier: str, known: _LiveTask) -> tuple[str, bool]:
        """Say why a tier has no answer, and whether the next query may get one; to be called while it is handled."""
        if isinstance(error, PassedOver):
            return str(error), str(error) not in ABSENT
        # A fault of our own must not cost the caller an answer either.
        logger.exception("tier failed", extra={"tier": tier, "run_id": known.live.run_id})
        return type(error).__name__, True

    def _with_familiarity(self, known: _LiveTask, query: str, routed: Routed) -> Routed:
        """Add what the embedded student, if it is loaded and well, says of a query that another tier answered."""
        student = self._student(known, 0.0)
        if student is None or "embedded" in routed.passed_over:
            return routed
        try:
            familiarity = student.opinion(query).familiarity
        except Exception as error:
            self._why(error, "embedded", known)
            return routed
        return replace(routed, familiarity=familiarity, unfamiliar=_is_unfamiliar(known.task, familiarity))

    @staticmethod
    def _hands_on(task: Task, routed: Routed) -> bool:
        """Tell whether the embedded student should leave this query to a language model after it."""
        rule = task.serve.unsure
        after = task.serve.order[task.serve.order.index(routed.source) + 1 :]
        if rule is None or routed.source != "embedded" or not {"bedrock", "baseline"} & set(after):
            return False
        confidence = routed.answer.confidence
        return bool(routed.unfamiliar) or (confidence is not None and confidence < rule.confidence)

    def _live(self, task_name: str) -> _LiveTask:
        """Return what is live; a pointer that is due to be read again is used stale rather than waited for."""
        known = self._known.get(task_name)
        if known is None:
            return self._take_up(self._existing(task_name, self.pointers.get(task_name)))
        if self.clock() - known.read_at < POINTER_SECONDS:
            return known
        known.read_at = self.clock()
        patience = min(_REFRESH_SECONDS, _REFRESH_SHARE * known.task.serve.budget_ms / 1000)
        try:
            live = self._within(patience, self.pointers.get, task_name)
            return self._take_up(self._existing(task_name, live))
        except (ClientError, BotoCoreError, DeadlinePassed, ValueError) as error:
            logger.warning(
                "live pointer used stale", extra={"task": task_name, "error": type(error).__name__}
            )
            return known

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
            self._start_loading(known)  # the student may be needed when a model has used up the time
        known.read_at = self.clock()
        return known

    def _student(self, known: _LiveTask, seconds: float) -> Student | None:
        """Return the live run's embedded student if it is there within so long; else it goes on being loaded."""
        self._start_loading(known)
        if known.loading is not None:
            self._take_in(known, known.loading, seconds)
        return known.student

    def _start_loading(self, known: _LiveTask) -> None:
        """Load the student in the background, if there is one; after a failure not again for a while."""
        wanted = known.student is None and known.loading is None and known.live.student
        if wanted and self.clock() >= known.load_after:
            known.loading = self.threads.submit(self._load, known.live.run_id)

    def _load(self, run_id: str) -> Student | None:
        artefact = self.store.get(run_id, STUDENT)
        return Student.from_bytes(artefact) if artefact is not None else None

    def _take_in(self, known: _LiveTask, loading: "Future[Student | None]", seconds: float) -> None:
        reason = "there is none"
        try:
            known.student = loading.result(timeout=max(0.0, seconds))
        except (ClientError, BotoCoreError, DeadlinePassed, StudentError) as error:
            if not loading.done():
                return
            reason = str(error)
        known.loading, known.load_after = None, self.clock() + POINTER_SECONDS
        if known.student is None:
            logger.warning("no embedded student", extra={"run_id": known.live.run_id, "error": reason})

    def _ready_student(self, known: _LiveTask, deadline: float) -> Student:
        student = self._student(known, min(_LOAD_SECONDS, deadline - _RESERVE_SECONDS - self.clock()))
        if student is None:
            raise PassedOver(NOT_LOADED if known.live.student else NO_STUDENT)
        return student

    def _embedded(self, known: _LiveTask, query: str, deadline: float) -> tuple[Answer, str, float | None]:
        opinion = self._ready_student(known, deadline).opinion(query)
        return opinion.answer, _EMBEDDED, opinion.familiarity

    def _bedrock(self, known: _LiveTask, query: str, deadline: float) -> tuple[Answer, str, float | None]:
        if known.live.deployment_arn is None or known.task.customization is None:
            raise PassedOver(NO_BEDROCK)
        tokens = known.task.customization.max_response_tokens
        answer = self._ask(known, "bedrock", known.live.deployment_arn, query, tokens, deadline)
        return answer, known.task.customization.result, None

    def _baseline(self, known: _LiveTask, query: str, deadline: float) -> tuple[Answer, str, float | None]:
        model = known.task.compare.baseline
        if model is None:
            raise PassedOver(NO_BASELINE)
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
            raise PassedOver(LEFT_ALONE)
        if remaining <= 0:
            raise PassedOver(NO_TIME)
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
        called = self.threads.submit(call, *arguments)
        try:
            return called.result(timeout=seconds)
        except DeadlinePassed:
            called.cancel()
            raise


_EMBEDDED = "embedded student"


def _is_unfamiliar(task: Task, familiarity: float | None) -> bool | None:
    return None if familiarity is None else familiarity < (task.serve.unsure or Unsure()).familiarity


def _in_words(error: Exception) -> str:
    """Say in a few words why a model gave no usable answer."""
    match error:
        case ClientError():
            return error.response["Error"]["Code"]
        case DeadlinePassed():
            return TIMEOUT
        case AnswerError():
            return UNUSABLE
        case _:
            return type(error).__name__

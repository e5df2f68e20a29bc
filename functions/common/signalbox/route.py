"""route: weights, or a label, for one query: always an answer, from the first tier that has a usable one."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as DeadlinePassed
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from signalbox.answer import Answer, AnswerError, parse_answer, serialisable_weights
from signalbox.bedrock import Bedrock
from signalbox.observability import logger
from signalbox.run import Live, RunTable
from signalbox.store import STUDENT, RunStore
from signalbox.student import Student, StudentError
from signalbox.task import Task

POINTER_SECONDS = 30
"""How long a live pointer is used before it is read again: a promotion shows after at most this."""
_RESERVE_SECONDS = 0.05
"""Kept back from the budget for the tiers that compute here."""
_BASELINE_TOKENS = 500


class UnknownTask(LookupError):
    """Nothing is live under this name."""


class PassedOver(Exception):
    """A tier has no usable answer; says why in a few words."""


@dataclass(frozen=True)
class Routed:
    """An answer, who gave it, and why those before it did not.

    Attributes
    ----------
    passed_over : dict[str, str]
        By tier, the reason.
    """

    answer: Answer
    source: str
    model: str
    run_id: str
    passed_over: dict[str, str]

    def body(self) -> dict[str, Any]:
        """Return the answer as the API gives it: weights sum to exactly 1 as serialised."""
        said: dict[str, Any]
        if self.answer.weights is not None:
            said = {"weights": serialisable_weights(self.answer.weights)}
        else:
            said = {"label": self.answer.label, "confidence": self.answer.confidence}
        return said | {
            "reasoning": self.answer.reasoning,
            "source": self.source,
            "cached": False,
            "passed_over": self.passed_over,
            "run_id": self.run_id,
            "model": self.model,
        }


@dataclass
class _LiveTask:
    """A live pointer as read at some moment (of the monotonic clock), with what was made ready for it."""

    live: Live
    task: Task
    read_at: float
    student: Student | None = None
    students_tried: bool = False


@dataclass
class Router:
    """Answers queries with what is live.

    Parameters
    ----------
    runs, store, bedrock :
        The adapters. `bedrock` must neither retry nor wait longer than a budget.
    clock : Callable[[], float]
        Monotonic seconds.
    """

    runs: RunTable
    store: RunStore
    bedrock: Bedrock
    clock: Callable[[], float] = time.monotonic
    _known: dict[str, _LiveTask] = field(default_factory=dict)
    _threads: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(8, "ask"))

    def route(self, task_name: str, query: str) -> Routed:
        """Answer a query within the task's time budget.

        Raises
        ------
        UnknownTask
            If nothing is live for the task.
        """
        known = self._live(task_name)
        deadline = self.clock() + known.task.serve.budget_ms / 1000
        passed_over: dict[str, str] = {}
        for tier in known.task.serve.order:
            try:
                answer, model = self._tiers[tier](self, known, query, deadline)
            except PassedOver as reason:
                passed_over[tier] = str(reason)
                continue
            return Routed(answer, tier, model, known.live.run_id, passed_over)
        raise AssertionError("the task spec lets every order end with the prior, which always answers")

    def live(self, task_name: str) -> Live:
        """Return the live pointer of a task.

        Raises
        ------
        UnknownTask
            If nothing is live for the task.
        """
        return self._live(task_name).live

    def _live(self, task_name: str) -> _LiveTask:
        known = self._known.get(task_name)
        if known is not None and self.clock() - known.read_at < POINTER_SECONDS:
            return known
        try:
            live = self.runs.live(task_name)
        except (ClientError, BotoCoreError) as error:
            if known is None:
                raise
            # A pointer that is out of date answers better than none; it is tried again in half a minute.
            logger.warning(
                "live pointer used stale", extra={"task": task_name, "error": type(error).__name__}
            )
            known.read_at = self.clock()
            return known
        if live is None:
            self._known.pop(task_name, None)
            raise UnknownTask(task_name)
        if known is not None and known.live == live:
            known.read_at = self.clock()
        else:
            known = _LiveTask(live, Task.model_validate(live.task), self.clock())
            self._known[task_name] = known
        return known

    def _bedrock(self, known: _LiveTask, query: str, deadline: float) -> tuple[Answer, str]:
        if known.live.deployment_arn is None or known.task.customization is None:
            raise PassedOver("the live run has no Bedrock model")
        tokens = known.task.customization.max_response_tokens
        return self._ask(
            known, known.live.deployment_arn, query, tokens, deadline
        ), known.task.customization.student

    def _baseline(self, known: _LiveTask, query: str, deadline: float) -> tuple[Answer, str]:
        model = known.task.compare.baseline
        if model is None:
            raise PassedOver("the task names no baseline")
        return self._ask(known, model, query, _BASELINE_TOKENS, deadline), model

    def _embedded(self, known: _LiveTask, query: str, deadline: float) -> tuple[Answer, str]:
        student = self._student(known)
        if student is None:
            raise PassedOver("the live run has no embedded student")
        return student.answer(query), "embedded student"

    def _prior(self, known: _LiveTask, query: str, deadline: float) -> tuple[Answer, str]:
        return Answer(**known.live.prior, reasoning="the mean answer of the training data"), "prior"

    _tiers = {"bedrock": _bedrock, "embedded": _embedded, "baseline": _baseline, "prior": _prior}  # noqa: RUF012

    def _ask(self, known: _LiveTask, model_id: str, query: str, max_tokens: int, deadline: float) -> Answer:
        """Ask a model over the network for as long as the budget lasts, and take only a usable answer."""
        remaining = deadline - _RESERVE_SECONDS - self.clock()
        if remaining <= 0:
            raise PassedOver("no time left")
        asked = self._threads.submit(self.bedrock.ask, model_id, known.task.prompt, query, max_tokens)
        try:
            return parse_answer(asked.result(timeout=remaining).text, known.task.output)
        except DeadlinePassed:
            asked.cancel()
            raise PassedOver("timeout") from None
        except ClientError as error:
            raise PassedOver(error.response["Error"]["Code"]) from error
        except BotoCoreError as error:
            raise PassedOver(type(error).__name__) from error
        except (AnswerError, KeyError) as error:
            raise PassedOver("unusable answer") from error

    def _student(self, known: _LiveTask) -> Student | None:
        """Load the live run's embedded student once; without it the next tier answers."""
        if known.student is None and known.live.student and not known.students_tried:
            try:
                artefact = self.store.get(known.live.run_id, STUDENT)
                known.student = Student.from_bytes(artefact) if artefact is not None else None
            except (ClientError, BotoCoreError):
                return None  # tried again with the next query
            except StudentError:
                logger.exception("embedded student refused", extra={"run_id": known.live.run_id})
            known.students_tried = True
        return known.student

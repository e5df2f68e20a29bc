"""Faults on demand: what a test, or a person trying out the runbook, wants to go wrong next."""

import json
import os
import threading
from collections.abc import Mapping

from local.bedrock.configuration import PREFIX
from local.bedrock.errors import BedrockError

CUSTOMIZATION = "customization job"
DEPLOYMENT = "deployment"
THROUGHPUT = "provisioned throughput"
EVALUATION = "evaluation job"
INVOCATION = "model invocation job"


class Faults:
    """A script of faults; each is used up by the calls or jobs that it strikes.

    `LOCAL_BEDROCK_FAULTS` may hold one as JSON, for example
    `[{"operation": "Converse", "error": "ThrottlingException", "times": 3}, {"fail": "deployment"}]`.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._errors: list[list] = []
        self._failures: list[list] = []
        self._released = threading.Event()
        self._released.set()

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Faults":
        """Return the faults that the environment scripts."""
        faults = cls()
        for fault in json.loads(environment.get(PREFIX + "FAULTS", "[]")):
            if "operation" in fault:
                faults.answer(
                    fault["operation"], fault["error"], fault.get("message", ""), fault.get("times", 1)
                )
            else:
                faults.fail(
                    fault["fail"], fault.get("message", "Failed by a scripted fault."), fault.get("times", 1)
                )
        return faults

    def answer(self, operation: str, error: str, message: str = "", times: int = 1) -> None:
        """Make the next `times` calls of `operation` answer the error with this name."""
        with self._lock:
            self._errors.append([operation, BedrockError(error, message or f"Scripted {error}."), times])

    def fail(self, kind: str, message: str = "Failed by a scripted fault.", times: int = 1) -> None:
        """Make the next `times` jobs or deployments of a kind (a constant of this module) end Failed."""
        with self._lock:
            self._failures.append([kind, message, times])

    def hold_jobs(self) -> None:
        """Let no job start its work until `release_jobs`."""
        self._released.clear()

    def release_jobs(self) -> None:
        """Let held jobs go on."""
        self._released.set()

    def strike(self, operation: str) -> None:
        """Raise the error that is scripted for this call, if any."""
        fault = self._next(self._errors, operation)
        if fault is not None:
            raise fault

    def failure(self, kind: str) -> str | None:
        """Return the message with which the next job of this kind is to fail, or None."""
        return self._next(self._failures, kind)

    @property
    def held(self) -> bool:
        """Whether jobs are held."""
        return not self._released.is_set()

    def wait_until_released(self, seconds: float) -> bool:
        """Wait for held jobs to be released, for at most this long; return whether they are."""
        return self._released.wait(seconds)

    def _next(self, script: list[list], subject: str):
        with self._lock:
            for fault in script:
                if fault[0] == subject and fault[2] > 0:
                    fault[2] -= 1
                    return fault[1]
        return None

"""Warm workers: the execution environments of the functions, bounded for each function.

Lambda would start as many environments as there are events; a laptop cannot. Here an invocation waits for
one of at most `limit` workers of its function. A worker that a handler's error leaves behind stays warm, as
on Lambda; only a timeout or a dead process replaces it.
"""

import contextlib
import json
import os
import selectors
import subprocess
import sys
import threading
import time
import uuid
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

WORKER_SCRIPT = Path(__file__).with_name("worker_process.py")
START_SECONDS = 60.0
IDLE_SECONDS = 300.0


@dataclass(frozen=True)
class Function:
    """What a worker has to know of a Lambda function.

    `path` is what goes before the standard `sys.path`: the function's code, then its layers.
    """

    name: str
    arn: str
    version: str
    handler: str
    timeout_seconds: float
    memory_megabytes: int
    log_group: str
    path: tuple[str, ...]
    environment: tuple[tuple[str, str], ...]


@dataclass
class Outcome:
    """What came of one invocation: the handler's result, or an error as the Lambda runtime words it."""

    result: object = None
    error: dict | None = None
    log: str = ""
    log_stream: str = ""


class WorkerLost(Exception):
    """The worker process ended, or did not answer in time, and cannot be used again."""

    def __init__(self, reason: str, log: str, timed_out: bool = False) -> None:
        super().__init__(reason)
        self.log = log
        self.timed_out = timed_out


class Worker:
    """One execution environment: a process that has loaded one version of one function.

    Raises
    ------
    WorkerLost
        From the constructor when the handler cannot be loaded; from `invoke` when the process is lost.
    """

    def __init__(self, function: Function) -> None:
        self.function = function
        self.log_stream = (
            time.strftime("%Y/%m/%d/", time.gmtime()) + f"[{function.version}]{uuid.uuid4().hex}"
        )
        self.idle_since = time.monotonic()
        self._marker = f"\x1e{uuid.uuid4().hex} "
        self._buffer = b""
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(WORKER_SCRIPT)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=function.path[0],
            env={**dict(function.environment), "AWS_LAMBDA_LOG_STREAM_NAME": self.log_stream},
            start_new_session=True,  # Ctrl-C in the terminal is for the app, which then ends its workers
        )
        os.set_blocking(self._process.stdout.fileno(), False)
        start = {"marker": self._marker, "path": list(function.path), "handler": function.handler}
        try:
            reply, log = self._exchange(start, START_SECONDS)
        except WorkerLost:
            self.stop()
            raise
        if not reply["ok"]:
            self.stop()
            raise WorkerLost(f"Unable to load {function.handler}: {reply['error']['errorMessage']}", log)
        self._start_log = log

    @property
    def alive(self) -> bool:
        """Whether the process can take an event."""
        return self._process.poll() is None

    def invoke(self, event: object, request_id: str) -> Outcome:
        """Run the handler on one event."""
        function = self.function
        context = {
            "timeout_seconds": function.timeout_seconds,
            "function_name": function.name,
            "function_version": function.version,
            "memory_limit_in_mb": function.memory_megabytes,
            "invoked_function_arn": function.arn,
            "aws_request_id": request_id,
            "log_group_name": function.log_group,
            "log_stream_name": self.log_stream,
        }
        reply, log = self._exchange({"event": event, "context": context}, function.timeout_seconds)
        log, self._start_log = self._start_log + log, ""
        return Outcome(reply.get("result"), reply.get("error"), log, self.log_stream)

    def _exchange(self, message: dict, seconds: float) -> tuple[dict, str]:
        deadline = time.monotonic() + seconds
        try:
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            self._process.stdin.flush()
        except (OSError, ValueError) as error:
            raise WorkerLost("Runtime exited without providing a reason", self._drained()) from error
        marker = self._marker.encode()
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while True:
                start = self._buffer.find(marker)
                end = self._buffer.find(b"\n", start) if start >= 0 else -1
                if end >= 0:
                    reply = json.loads(self._buffer[start + len(marker) : end])
                    log = self._buffer[:start].decode(errors="replace")
                    self._buffer = self._buffer[end + 1 :]
                    return reply, log
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    reason = f"Task timed out after {seconds:.2f} seconds"
                    raise WorkerLost(reason, self._drained(), timed_out=True)
                chunk = self._process.stdout.read(1 << 16)
                if chunk == b"":
                    raise WorkerLost("Runtime exited without providing a reason", self._drained())
                self._buffer += chunk or b""

    def _drained(self) -> str:
        return self._buffer.decode(errors="replace")

    def kill(self) -> None:
        """End the process from any thread; an invocation that runs ends with `WorkerLost`."""
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """End the process and close its pipes, once nobody reads from it."""
        self.kill()
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        self._process.stdout.close()


@dataclass
class _Crew:
    free: list[Worker] = field(default_factory=list)
    count: int = 0


class WorkerPool:
    """All workers of the app. Safe to use from any thread.

    Parameters
    ----------
    limit
        The most workers that one function may have at a time. A handler that calls its own function
        synchronously `limit` deep would wait for itself; none here does.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._crews: dict[str, _Crew] = defaultdict(_Crew)
        self._workers: set[Worker] = set()
        self._changed = threading.Condition()
        self._closed = False

    def invoke(self, function: Function, event: object, request_id: str) -> Outcome:
        """Run one event on a worker of the function, waiting for one to be free."""
        try:
            worker = self._lease(function)
        except WorkerLost as lost:
            return Outcome(error=_lost_error(lost), log=lost.log)
        keep = False
        try:
            outcome = worker.invoke(event, request_id)
            keep = True
            return outcome
        except WorkerLost as lost:
            return Outcome(error=_lost_error(lost), log=lost.log, log_stream=worker.log_stream)
        finally:
            self._give_back(worker, keep)

    def stop_idle(self) -> None:
        """End the workers that a burst left behind; the last one of a function stays warm."""
        limit = time.monotonic() - IDLE_SECONDS
        with self._changed:
            idle = []
            for crew in self._crews.values():
                while len(crew.free) > 1 and crew.free[0].idle_since < limit:
                    idle.append(crew.free.pop(0))
                    crew.count -= 1
            self._workers.difference_update(idle)
        for worker in idle:
            worker.stop()

    def close(self) -> None:
        """End every worker. Invocations that wait or run end with an error."""
        with self._changed:
            self._closed = True
            workers, self._workers = self._workers, set()
            self._changed.notify_all()
        for worker in workers:
            worker.kill()

    def _lease(self, function: Function) -> Worker:
        crew = self._crews[function.name]
        with self._changed:
            while True:
                if self._closed:
                    raise WorkerLost("The app is shutting down.", "")
                while crew.free:
                    worker = crew.free.pop()
                    if worker.alive and worker.function == function:
                        return worker
                    self._discard(crew, worker)
                if crew.count < self.limit:
                    crew.count += 1
                    break
                self._changed.wait()
        try:
            worker = Worker(function)
        except BaseException:
            with self._changed:
                crew.count -= 1
                self._changed.notify_all()
            raise
        with self._changed:
            self._workers.add(worker)
            closed = self._closed
        if closed:
            worker.kill()
        return worker

    def _give_back(self, worker: Worker, keep: bool) -> None:
        with self._changed:
            crew = self._crews[worker.function.name]
            worker.idle_since = time.monotonic()
            if keep and not self._closed:
                crew.free.append(worker)
            else:
                self._discard(crew, worker)
            self._changed.notify_all()

    def _discard(self, crew: _Crew, worker: Worker) -> None:
        crew.count -= 1
        self._workers.discard(worker)
        worker.stop()


def _lost_error(lost: WorkerLost) -> dict:
    kind = "Sandbox.Timedout" if lost.timed_out else "Runtime.ExitError"
    return {"errorMessage": str(lost), "errorType": kind}

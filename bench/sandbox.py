"""A Lambda execution environment: a function's process under awslambdaric, and the Runtime API that feeds it.

awslambdaric is the runtime client that AWS's own managed Python runtimes and images run
(https://github.com/aws/aws-lambda-python-runtime-interface-client). The API is that of
https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html, version 2018-06-01.
"""

import json
import os
import selectors
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Self

ROOT = Path(__file__).resolve().parent.parent
MEMORY_MEGABYTES = 1769
_NEXT = "/2018-06-01/runtime/invocation/next"
_RESTORED = "/2018-06-01/runtime/restore/next"
_PATIENCE_SECONDS = 60.0


class SandboxError(RuntimeError):
    """The function's process could not be started, or ended."""


class Invocation(NamedTuple):
    """What a function answered, and the milliseconds from when its event was sent to when the answer was there."""

    answer: Any
    milliseconds: float


def environment(function: Path, variables: dict[str, str]) -> dict[str, str]:
    """Return the environment variables that Lambda sets, with those of the function.

    Source: Lambda developer guide, "Defined runtime environment variables".
    """
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    return {
        "PATH": os.defpath,
        "LANG": "en_US.UTF-8",
        "TZ": ":UTC",
        "LAMBDA_TASK_ROOT": str(function),
        "_HANDLER": "app.handler",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "nobody",
        "AWS_SECRET_ACCESS_KEY": "nothing",
        "AWS_SESSION_TOKEN": "nothing",
        "AWS_EXECUTION_ENV": f"AWS_Lambda_python{version}",
        "AWS_LAMBDA_FUNCTION_NAME": f"signalbox-{function.name}",
        "AWS_LAMBDA_FUNCTION_VERSION": "1",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(MEMORY_MEGABYTES),
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/signalbox-{function.name}",
        "AWS_LAMBDA_LOG_STREAM_NAME": "2026/01/01/[1]0123456789abcdef0123456789abcdef",
        "POWERTOOLS_SERVICE_NAME": function.name,
        "POWERTOOLS_METRICS_NAMESPACE": "Signalbox",
        "PYTHONPATH": os.pathsep.join([str(function), str(ROOT / "functions" / "common")]),
    } | variables


class Sandbox:
    """One warm function, started when entered.

    Parameters
    ----------
    function : Path
        The folder of its app.py.
    variables : dict[str, str]
        Environment variables beside Lambda's own.
    log : BinaryIO
        Where its standard output and standard error go.

    Attributes
    ----------
    init_ms : float
        From the start of the process to its first request for an invocation, which ends Lambda's init phase.
    init_cpu_ms : float
        How much of that the process was on a core; the rest it waited, on a shared machine for other processes.
    """

    def __init__(self, function: Path, variables: dict[str, str], log: BinaryIO) -> None:
        self._function, self._variables, self._log = function, variables, log
        self._selector = selectors.DefaultSelector()
        self._connections: dict[socket.socket, BinaryIO] = {}
        self._waiting: socket.socket | None = None
        self._invocations = 0

    def __enter__(self) -> Self:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._selector.register(self._listening, selectors.EVENT_READ)
        host, port = self._listening.getsockname()
        variables = environment(self._function, self._variables) | {
            "AWS_LAMBDA_RUNTIME_API": f"{host}:{port}"
        }
        started = time.perf_counter()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "awslambdaric", "app.handler"],
            cwd=self._function,
            env=variables,
            stdout=self._log,
            stderr=self._log,
        )
        try:
            self._until_it_asks()
        except SandboxError:
            self.__exit__()
            raise
        self.init_ms = (time.perf_counter() - started) * 1000
        self.init_cpu_ms = self._cpu_ms()
        return self

    def __exit__(self, *exception: object) -> None:
        self._process.kill()
        self._process.wait()
        for connection, reader in self._connections.items():
            reader.close()
            connection.close()
        self._selector.close()
        self._listening.close()

    def invoke(self, event: dict[str, Any]) -> Invocation:
        """Hand the function an event, and return its answer."""
        assert self._waiting is not None, "the function has not asked for an invocation"
        self._invocations += 1
        body = json.dumps(event).encode()
        deadline = int((time.time() + 10) * 1000)
        head = (
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
            f"Lambda-Runtime-Aws-Request-Id: 8476a536-e9f4-11e8-9739-{self._invocations:012x}\r\n"
            f"Lambda-Runtime-Deadline-Ms: {deadline}\r\n"
            "Lambda-Runtime-Invoked-Function-Arn: arn:aws:lambda:us-east-1:000000000000:function:route\r\n"
            "Lambda-Runtime-Trace-Id: Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Sampled=0\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        waiting, self._waiting = self._waiting, None
        started = time.perf_counter()
        waiting.sendall(head.encode() + body)
        answer = self._until_it_asks()
        return Invocation(json.loads(answer.body), (answer.at - started) * 1000)

    def restore(self) -> None:
        """Let a function that was started for a snapshot go on, as Lambda does when it restores one.

        Its environment says AWS_LAMBDA_INITIALIZATION_TYPE=snap-start, so it has asked for this when it was entered.
        """
        assert self._waiting is not None, "the function has not asked to be restored"
        waiting, self._waiting = self._waiting, None
        waiting.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        self._until_it_asks()

    def _cpu_ms(self) -> float:
        """Return how long the threads of the process have been on a core (Linux, schedstat: nanoseconds)."""
        threads = Path(f"/proc/{self._process.pid}/task").glob("*/schedstat")
        return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e6

    def _until_it_asks(self) -> "_Posted":
        """Take in what the function posts, until it asks for the next invocation; return what it posted last."""
        posted = _Posted(b"null", 0.0)
        while self._waiting is None:
            ready = self._selector.select(_PATIENCE_SECONDS)
            if not ready or self._process.poll() is not None:
                raise SandboxError("the function's process has ended, or does not answer")
            for key, _ in ready:
                if key.fileobj is self._listening:
                    self._accept()
                else:
                    posted = self._read(key.fileobj) or posted
        return posted

    def _accept(self) -> None:
        connection, _ = self._listening.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connections[connection] = connection.makefile("rb")
        self._selector.register(connection, selectors.EVENT_READ)

    def _read(self, connection: socket.socket) -> "_Posted | None":
        """Read one request: for an invocation, or with the answer to one."""
        reader = self._connections[connection]
        request = reader.readline().split()
        if not request:  # the client has closed this connection
            self._selector.unregister(connection)
            return None
        length = 0
        while line := reader.readline().strip():
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        body = reader.read(length)
        at = time.perf_counter()
        if request[1].decode() in (_NEXT, _RESTORED):
            self._waiting = connection
            return None
        connection.sendall(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")
        if not request[1].endswith(b"/response"):
            raise SandboxError(f"the function failed: {body.decode()}")
        return _Posted(body, at)


class _Posted(NamedTuple):
    body: bytes
    at: float

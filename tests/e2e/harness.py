"""The app as a person has it: a process, used through its commands, its HTTP API and boto3."""

import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import boto3
from boto3.dynamodb.types import TypeDeserializer

PROJECT = Path(__file__).resolve().parents[2]
PATIENCE_SECONDS = 60


@dataclass
class LocalApp:
    """One app on free ports with a state folder of its own.

    `ready` is what it announced; `start` may be called again after `kill` or `stop`.
    """

    state: Path
    environment: dict[str, str] = field(default_factory=dict)
    ready: dict = field(default_factory=dict)
    process: subprocess.Popen | None = None

    def __post_init__(self) -> None:
        self.port, self.api_port = free_port(), free_port()

    def start(self) -> "LocalApp":
        """Start it and wait until it says that it can be used."""
        arguments = ["up", *self.ports, "--state", str(self.state)]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "local", *arguments],
            cwd=PROJECT,
            env={**os.environ, **self.environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        readable, _, _ = select.select([self.process.stdout], [], [], PATIENCE_SECONDS)
        line = self.process.stdout.readline() if readable else ""
        if not line.startswith("ready "):
            self.process.kill()
            raise AssertionError(f"not ready: {line}{self.process.stderr.read()}")
        self.ready = json.loads(line.removeprefix("ready "))
        return self

    def kill(self) -> None:
        """Kill it as the system does when memory runs out."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """Ask it to end, as Ctrl-C and a service manager do, and return its exit code."""
        return self._end(signal.SIGTERM)

    def _end(self, number: int) -> int:
        self.process.send_signal(number)
        code = self.process.wait(PATIENCE_SECONDS)
        self.process.stdout.close()
        self.process.stderr.close()
        return code

    @property
    def ports(self) -> list[str]:
        return ["--port", str(self.port), "--api-port", str(self.api_port)]

    def command(self, *arguments: str) -> subprocess.CompletedProcess:
        """Run a command against it."""
        return subprocess.run(
            [sys.executable, "-m", "local", *arguments, *self.ports],
            cwd=PROJECT,
            capture_output=True,
            text=True,
            timeout=2 * PATIENCE_SECONDS,
        )

    def client(self, service: str):
        """A boto3 client, configured as anybody would for another endpoint."""
        return _client(service, self.ready["endpoint"])

    def runs(self) -> dict[str, dict]:
        """The items of the run table by their ids, live pointers left out."""
        items = self.client("dynamodb").scan(TableName=self.ready["table"], ConsistentRead=True)["Items"]
        decode = TypeDeserializer().deserialize
        runs = [{name: decode(value) for name, value in item.items()} for item in items]
        return {run["id"]: run for run in runs if not run["id"].startswith("LIVE#")}

    def live(self, task: str) -> dict:
        """The live pointer of a task."""
        key = {"id": {"S": f"LIVE#{task}"}}
        found = self.client("dynamodb").get_item(TableName=self.ready["table"], Key=key, ConsistentRead=True)
        return json.loads(found["Item"]["pointer"]["S"])

    def ended(self, *run_ids: str, patience: float = PATIENCE_SECONDS) -> dict[str, str]:
        """Wait until the runs have ended; their states."""

        def states() -> dict[str, str] | None:
            runs = self.runs()
            found = {run_id: runs.get(run_id, {}).get("state") for run_id in run_ids}
            return found if set(found.values()) <= {"PROMOTED", "HELD", "REJECTED", "FAILED"} else None

        return until(states, patience)


@cache
def _client(service: str, endpoint: str):
    return boto3.client(
        service,
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def until(condition: Callable, patience: float = PATIENCE_SECONDS):
    """Wait for a condition to give something; what it gives."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.2)
    raise AssertionError(f"waited {patience:.0f} s in vain for {condition.__qualname__}")


SMALL_PROMPT = "Return JSON with visual and audio weights (sum=1.0) and reasoning for the given query."
SMALL_TASK = f"""
name: NAME
output: {{weights: [visual, audio]}}
prompt: {SMALL_PROMPT}
customization:
  teacher: us.amazon.nova-pro-v1:0
  student: amazon.nova-micro-v1:0:128k
candidates: CANDIDATES
gates: {{valid_share: 0.5}}
"""


def push_small_task(app: LocalApp, folder: Path, name: str, candidates: str, customization: str = "") -> None:
    """Push a task that is quick to train for, its student made as the small task's is unless told otherwise."""
    before, _, rest = SMALL_TASK.partition("customization:\n")
    spec = before + customization + rest[rest.index("candidates:") :] if customization else SMALL_TASK
    (folder / name).mkdir(parents=True)
    (folder / name / "task.yaml").write_text(spec.replace("NAME", name).replace("CANDIDATES", candidates))
    pushed = app.command("task", "push", str(folder / name))
    assert pushed.returncode == 0, pushed.stderr


def push_small_tasks(app: LocalApp, folder: Path) -> None:
    """Push two of them: one with both students, one without Bedrock."""
    push_small_task(app, folder, "small", "[embedded, bedrock]")
    push_small_task(app, folder, "embedded-only", "[embedded]")


def labelled(word: str, records: int = 160) -> bytes:
    """A dataset of four kinds of query, each with its own weights."""
    kinds = (("picture", 0.8), ("colour", 0.7), ("melody", 0.2), ("voice", 0.1))
    lines = []
    for number in range(records):
        kind, visual = kinds[number % len(kinds)]
        answer = {"visual": visual, "audio": round(1 - visual, 4), "reasoning": f"A {kind}."}
        messages = [
            {"role": "user", "content": [{"text": f"{kind} of {word} number {number}"}]},
            {"role": "assistant", "content": [{"text": json.dumps(answer)}]},
        ]
        record = {
            "schemaVersion": "bedrock-conversation-2024",
            "system": [{"text": SMALL_PROMPT}],
            "messages": messages,
        }
        lines.append(json.dumps(record) + "\n")
    return "".join(lines).encode()

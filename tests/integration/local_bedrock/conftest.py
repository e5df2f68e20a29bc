"""The stand-in over a real loopback HTTP server, beside an S3."""

import asyncio
import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config as ClientConfig
from hypercorn.asyncio import serve
from hypercorn.config import Config
from moto.server import ThreadedMotoServer

from local.bedrock import BedrockStandIn, Configuration, Faults

PROMPT = "Return JSON with visual, audio weights and reasoning for the given query."
BUCKET = "data-bucket"
KEYS = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}


@contextmanager
def served(application: Any) -> Iterator[str]:
    """Serve an ASGI application on a free loopback port and yield its URL."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = Config()
    config.bind = [f"fd://{listener.fileno()}"]
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()
    thread = threading.Thread(
        target=loop.run_until_complete,
        args=(serve(application, config, mode="asgi", shutdown_trigger=stop.wait),),
    )
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    loop.call_soon_threadsafe(stop.set)
    thread.join()
    loop.close()
    listener.detach()


@pytest.fixture(scope="module")
def s3_endpoint() -> Iterator[str]:
    """URL of an S3 with an empty bucket, for a module: `mock_aws` of another empties what moto keeps in a process."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    endpoint = f"http://127.0.0.1:{server.get_host_and_port()[1]}"
    boto3.client("s3", endpoint_url=endpoint, **KEYS).create_bucket(Bucket=BUCKET)
    yield endpoint
    server.stop()


@pytest.fixture(scope="module")
def s3(s3_endpoint: str) -> Any:
    """An S3 client."""
    return boto3.client("s3", endpoint_url=s3_endpoint, **KEYS)


class Events:
    """The events that the stand-in emitted; somebody may wait for one."""

    def __init__(self) -> None:
        self._entries: list[dict[str, Any]] = []
        self._changed = threading.Condition()

    def emit(self, entry: dict[str, Any]) -> None:
        with self._changed:
            self._entries.append({**entry, "Detail": json.loads(entry["Detail"])})
            self._changed.notify_all()

    def wait_for(self, **detail: str) -> dict[str, Any]:
        """Return the first event whose detail has these members, when it comes."""

        def found() -> dict[str, Any] | None:
            matching = (entry for entry in self._entries if detail.items() <= entry["Detail"].items())
            return next(matching, None)

        with self._changed:
            entry = self._changed.wait_for(found, timeout=40)
        assert entry, f"no event with {detail}"
        return entry


class Bedrock:
    """A served stand-in and the clients that talk to it."""

    def __init__(self, url: str, stand_in: BedrockStandIn, faults: Faults, events: Events) -> None:
        settings = ClientConfig(retries={"total_max_attempts": 1}, max_pool_connections=32)
        self.url, self.stand_in, self.faults, self.events = url, stand_in, faults, events
        self.control = boto3.client("bedrock", endpoint_url=url, config=settings, **KEYS)
        self.runtime = boto3.client("bedrock-runtime", endpoint_url=url, config=settings, **KEYS)


@pytest.fixture(scope="module")
def bedrock(s3_endpoint: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bedrock]:
    """A stand-in that serves for a whole module."""
    events, faults = Events(), Faults()
    configuration = Configuration(deployment_seconds=0.05, batch_minimum_records=2)
    folder = tmp_path_factory.mktemp("bedrock")
    stand_in = BedrockStandIn(folder, s3_endpoint, events.emit, configuration, faults)
    stand_in.startup()
    with served(stand_in) as url:
        yield Bedrock(url, stand_in, faults, events)
    stand_in.shutdown()


def dataset(count: int = 120) -> bytes:
    """Return records whose first word decides the weights."""
    records = []
    for number in range(count):
        loud = number % 3 > 0
        word = ("cheering", "thunder", "sirens")[number % 3] if loud else "sunset"
        weights = {"visual": 0.1, "audio": 0.9} if loud else {"visual": 0.8, "audio": 0.2}
        texts = (f"{word} near gate {number}", json.dumps({**weights, "reasoning": "By its words."}))
        messages = [
            {"role": role, "content": [{"text": text}]}
            for role, text in zip(("user", "assistant"), texts, strict=True)
        ]
        system = [{"text": PROMPT}]
        records.append({"schemaVersion": "bedrock-conversation-2024", "system": system, "messages": messages})
    return "\n".join(map(json.dumps, records)).encode()


@pytest.fixture
def job() -> Callable[..., dict[str, Any]]:
    """Make the parameters of a distillation job: `job(name)`."""

    def job(name: str, uri: str = f"s3://{BUCKET}/train.jsonl") -> dict[str, Any]:
        return {
            "jobName": name,
            "customModelName": name,
            "clientRequestToken": name,
            "roleArn": "arn:aws:iam::000000000000:role/customization",
            "baseModelIdentifier": "local.student",
            "customizationType": "DISTILLATION",
            "customizationConfig": {
                "distillationConfig": {"teacherModelConfig": {"teacherModelIdentifier": "local.teacher"}}
            },
            "trainingDataConfig": {"s3Uri": uri},
            "outputDataConfig": {"s3Uri": f"s3://{BUCKET}/runs/{name}/customization/"},
        }

    return job


@pytest.fixture(scope="module", autouse=True)
def training_data(s3: Any) -> None:
    """Put the dataset into the bucket."""
    s3.put_object(Bucket=BUCKET, Key="train.jsonl", Body=dataset())


@pytest.fixture
def is_running() -> Callable[[int], bool]:
    """Say whether a process runs; one that has ended and was not yet waited for does not."""

    def is_running(process: int) -> bool:
        status = Path(f"/proc/{process}/stat")
        if Path("/proc/self/stat").exists():
            return status.exists() and status.read_text().rsplit(")", 1)[1].split()[0] != "Z"
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return False
        return True

    return is_running


@pytest.fixture
def events_of() -> Callable[[Path, str], tuple[BedrockStandIn, Events]]:
    """Make a stand-in on a state folder and give the events that it emits."""

    def events_of(folder: Path, endpoint: str) -> tuple[BedrockStandIn, Events]:
        events = Events()
        return BedrockStandIn(folder, endpoint, events.emit, Configuration(), Faults()), events

    return events_of

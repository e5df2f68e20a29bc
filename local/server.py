"""`up`: one process that is the whole app, from the AWS endpoint to the functions' workers.

    AWS clients :4566 ── doors.aws_door ──┬─ MiniStack (emulator.py): S3, DynamoDB, EventBridge, ...
    API clients :3000 ── doors.api_door ──┤       │ rules ── delivery.Courier ── workers.WorkerPool
                                          └─ the Bedrock stand-in (local.bedrock)

While it is up it calls `watch` every few seconds, by an ordinary Lambda invocation, because the shortest
schedule that EventBridge knows is a minute; and it writes its state to disk within a second of any change, so
that a killed app goes on where it was.
"""

import asyncio
import contextlib
import itertools
import json
import logging
import signal
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import boto3
from botocore.config import Config as ClientConfig
from botocore.exceptions import BotoCoreError, ClientError
from hypercorn.asyncio import serve
from hypercorn.config import Config

from local import emulator, stack
from local.bedrock import BedrockStandIn
from local.console import PREFIX, ConsolePages, page_reader
from local.delivery import Courier
from local.doors import api_door, aws_door
from local.settings import (
    API_PORT,
    CHECKPOINT_SECONDS,
    HOST,
    NUDGE_AFTER_SECONDS,
    PORT,
    STATE_FOLDER,
    WATCH_SECONDS,
    WORKERS_PER_FUNCTION,
)
from local.state import PROJECT, StateFolder
from local.tasks import golden_records, lessons, push_missing_tasks
from local.workers import WorkerPool

logger = logging.getLogger(__name__)

SLOW_CHECKPOINT_SECONDS = 15.0


class CannotStart(Exception):
    """Why the app cannot come up, and what to do, in one line."""


@dataclass(frozen=True)
class Options:
    """What `up` can be told. `tasks` is the folder whose tasks are pushed at the first start."""

    port: int = PORT
    api_port: int = API_PORT
    state: Path = PROJECT / STATE_FOLDER
    reset: bool = False
    workers: int = WORKERS_PER_FUNCTION
    query_log_share: float = 0.0
    template: Path = PROJECT / "template.yaml"
    tasks: Path = PROJECT / "tasks"


def up(options: Options, announce: Callable[[dict], None]) -> None:
    """Bring the app up, announce it, and serve until SIGINT or SIGTERM.

    Parameters
    ----------
    announce
        Called once, when everything can be used, with: endpoint, api, console, bucket, topic, table,
        event_bus, dead_letter_queue, state.

    Raises
    ------
    CannotStart
        A port is taken, or the template cannot be deployed.
    local.state.StateInUse
        Another app has the state folder.
    """
    state = StateFolder(options.state)
    doors = [_listener(options.port, "--port"), _listener(options.api_port, "--api-port")]
    state.acquire({"port": options.port, "api_port": options.api_port})
    deployed = _deployed_digest(state)
    state.prepare(reset=options.reset or deployed is None)  # without a finished deployment there is nothing
    logging.basicConfig(filename=state.log, level=logging.WARNING, format="%(asctime)s %(name)s %(message)s")
    aws = emulator.start(state, options.port)
    pool, courier = WorkerPool(options.workers), Courier(options.workers)
    app = _App(options, state, aws, pool, courier)
    try:
        asyncio.run(app.serve(doors, announce))
    finally:
        courier.close()
        pool.close()
        state.clean()


@dataclass
class _App:
    options: Options
    state: StateFolder
    aws: emulator.Application
    pool: WorkerPool
    courier: Courier
    dirty: bool = field(default=False, init=False)

    async def serve(self, doors: list[socket.socket], announce: Callable[[dict], None]) -> None:
        stop, drained = asyncio.Event(), asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        emulator.translate_with_parameters()
        emulator.leave_out_metric_math()
        emulator.run_functions_on(self.pool, self.state)
        emulator.deliver_events_through(self.courier, self.changed)
        checkpoints = emulator.Checkpoints(self.state)
        endpoint = f"http://{HOST}:{self.options.port}"
        bedrock = BedrockStandIn(self.state.bedrock, endpoint, emulator.emit)
        emulator.complete_object_events(on_created=partial(_teach, bedrock))
        for prompt, pairs in lessons(self.options.tasks, PROJECT / "examples"):
            bedrock.teach(prompt, pairs)
        servers = [_server(aws_door(self.aws, bedrock, self.changed), doors[0], drained)]
        loops: list[asyncio.Task] = []
        try:
            boot = asyncio.create_task(asyncio.to_thread(self.boot))
            if not await _finished(boot, stop, servers[0]):
                return
            outputs, watchers, api = boot.result()
            await self.save(checkpoints, everything=True)
            _record_deployment(self.state, self.package.digest)
            await asyncio.to_thread(bedrock.startup)
            console = ConsolePages(page_reader(boto3.client("s3"), outputs["DataBucketName"]))
            servers.append(_server(api_door(self.aws, api, console), doors[1], drained))
            loops = [
                asyncio.create_task(self.checkpoint(checkpoints)),
                *(asyncio.create_task(self.watch(function)) for function in watchers),
            ]
            announce(self.announcement(endpoint, outputs))
            await stop.wait()
        finally:
            for task in loops:
                task.cancel()
            self.courier.close()
            await asyncio.to_thread(self.pool.close)
            await asyncio.to_thread(bedrock.shutdown)
            await self.save(checkpoints, everything=True)
            drained.set()
            await asyncio.gather(*servers, *loops, return_exceptions=True)

    def changed(self) -> None:
        """Note, from any thread, that the state differs from what is on disk."""
        self.dirty = True

    def boot(self) -> tuple[dict[str, str], list[str], str]:
        """Deploy the template where it differs from what is deployed; push the tasks that are missing."""
        # There is no CodeDeploy here, and one client has no traffic to be moved by and by.
        parameters = {
            "NudgeAfterSeconds": str(NUDGE_AFTER_SECONDS),
            "RouteDeployment": "AllAtOnce",
            "QueryLogShare": f"{self.options.query_log_share:g}",
        }
        self.package = stack.package(self.options.template, parameters)
        if _deployed_digest(self.state) == self.package.digest:
            outputs = stack.outputs(boto3.client("cloudformation"))
        else:
            outputs = stack.deploy(self.package)
        push_missing_tasks(self.options.tasks, outputs["DataBucketName"])
        return outputs, stack.scheduled_functions(), stack.http_api()

    async def save(self, checkpoints: emulator.Checkpoints, everything: bool = False) -> None:
        """Write what has changed since the last time."""
        self.dirty = False
        copies = checkpoints.take(everything)
        await asyncio.to_thread(checkpoints.write, copies)

    async def checkpoint(self, checkpoints: emulator.Checkpoints) -> None:
        """Keep the state on disk at most a second behind; see to idle workers on the way."""
        rounds = round(SLOW_CHECKPOINT_SECONDS / CHECKPOINT_SECONDS)
        for number in itertools.count():
            await asyncio.sleep(CHECKPOINT_SECONDS)
            slow = number % rounds == rounds - 1
            if self.dirty:
                try:
                    await self.save(checkpoints, everything=slow)
                except Exception:
                    logger.exception("Checkpoint; the next one tries again")
                    self.dirty = True
            if slow:
                await asyncio.to_thread(self.pool.stop_idle)

    async def watch(self, function: str) -> None:
        """Call a scheduled function every few seconds, one call at a time."""
        configuration = ClientConfig(retries={"total_max_attempts": 1}, read_timeout=120)
        functions = boto3.client("lambda", config=configuration)
        event = json.dumps({"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}})
        while True:
            try:
                await asyncio.to_thread(functions.invoke, FunctionName=function, Payload=event)
            except (BotoCoreError, ClientError) as error:
                logger.warning("watch: %s", error)
            await asyncio.sleep(WATCH_SECONDS)

    def announcement(self, endpoint: str, outputs: dict[str, str]) -> dict:
        """What a client needs to use the app."""
        return {
            "endpoint": endpoint,
            "api": f"http://{HOST}:{self.options.api_port}",
            "console": f"http://{HOST}:{self.options.api_port}{PREFIX}/",
            "bucket": outputs.get("DataBucketName"),
            "topic": outputs.get("TopicArn"),
            "table": outputs.get("RunTableName"),
            "event_bus": outputs.get("EventBusName"),
            "dead_letter_queue": outputs.get("DeadLetterQueueUrl"),
            "state": str(self.state.root),
        }


def _teach(bedrock: BedrockStandIn, bucket: str, key: str) -> None:
    """Let the stand-in's teacher learn the labelled records that a task or a run brings.

    In a thread: the event of an object may come from the loop that has to serve the object.
    """
    match key.split("/"):
        case ["tasks", _, "golden.jsonl"] | ["runs", _, "train.jsonl"]:
            threading.Thread(target=_learn, args=(bedrock, bucket, key), name="teach", daemon=True).start()


def _learn(bedrock: BedrockStandIn, bucket: str, key: str) -> None:
    objects = boto3.client("s3")
    try:
        if key.startswith("tasks/"):
            bedrock.teach(*golden_records(objects, bucket, key.split("/")[1]))
        else:
            lines = objects.get_object(Bucket=bucket, Key=key)["Body"].read().splitlines()
            bedrock.teach("", [json.loads(line) for line in lines])
    except (ClientError, ValueError, LookupError, TypeError) as error:
        logger.warning("%s teaches the stand-in nothing: %s", key, error)


def _listener(port: int, option: str) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
    except OSError as error:
        listener.close()
        reason = f"port {port} cannot be used ({error.strerror}): stop what listens there, or pass another"
        raise CannotStart(f"{reason} with {option}") from error
    listener.listen(256)
    return listener


def _server(app: emulator.Application, listener: socket.socket, drained: asyncio.Event) -> asyncio.Task:
    configuration = Config()
    configuration.bind = [f"fd://{listener.detach()}"]
    configuration.graceful_timeout = 0.5
    configuration.keep_alive_timeout = 75
    configuration.errorlog = logging.getLogger("hypercorn.error")
    return asyncio.create_task(serve(app, configuration, shutdown_trigger=drained.wait))


async def _finished(boot: asyncio.Task, stop: asyncio.Event, server: asyncio.Task) -> bool:
    """Wait for the boot; False when it was interrupted."""
    stopped = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({boot, stopped, server}, return_when=asyncio.FIRST_COMPLETED)
        if server.done():
            server.result()
        if stopped.done():
            return False
        try:
            boot.result()
        except stack.DeploymentFailed as error:
            raise CannotStart(f"the template cannot be deployed here: {error}") from error
        return True
    finally:
        stopped.cancel()


def _deployed_digest(state: StateFolder) -> str | None:
    with contextlib.suppress(OSError, ValueError):
        return json.loads((state.root / "deployed.json").read_text())["digest"]
    return None


def _record_deployment(state: StateFolder, digest: str) -> None:
    (state.root / "deployed.json").write_text(json.dumps({"digest": digest}))

"""The deployed app in one process: moto's AWS, a scripted Bedrock, and the handlers as they are.

The resources are those of template.yaml, and so are the rules by which an event finds its handler and the
environment that a handler sees. Events wait in a queue until a test lets them be delivered.
"""

import functools
import importlib.util
import json
import os
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import ModuleType
from typing import Any
from unittest import mock

import boto3
from botocore.config import Config

from signalbox import pipeline
from signalbox.bedrock import Bedrock
from signalbox.events import EventBus
from signalbox.live import Live
from signalbox.run import Run, State, run_id_for
from signalbox.run_table import RunTable
from signalbox.store import STUDENT, RunStore
from tests.builders import client_error, dataset_object, http_request, object_created, task_yaml
from tests.scripted_bedrock import REGION, ScriptedBedrock
from tests.unit.template.event_pattern import matches
from tests.unit.template.stack import ACCOUNT, DATA_BUCKET, PROJECT, Stack

FUNCTIONS = (
    "generate", "validate", "distill", "reward", "deploy", "evaluate", "judge", "promote", "notify", "clean", "watch",
    "route",
)  # fmt: skip
TABLE, BUS, TOPIC = "RunTable", "EventBus", "NotificationTopic"
Event = dict[str, Any]


@functools.cache
def stack() -> Stack:
    """Return the stack, nudging at once instead of after five minutes."""
    return Stack(NudgeAfterSeconds="0")


@functools.cache
def _session() -> boto3.Session:
    nobody = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
    return boto3.Session(region_name=REGION, **nobody)


@functools.cache
def _client(service: str) -> Any:
    return _session().client(service, config=Config(retries={"total_max_attempts": 1}))


@functools.cache
def _resource(service: str) -> Any:
    return _session().resource(service)


@functools.cache
def _app(function: str) -> ModuleType:
    """Load a handler as Lambda does: by the path of its file."""
    path = PROJECT / "functions" / function / "app.py"
    specification = importlib.util.spec_from_file_location(f"{function}_app", path)
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@dataclass(frozen=True)
class Context:
    """What Lambda hands to a handler beside the event."""

    function_name: str
    memory_limit_in_mb: int = 256
    invoked_function_arn: str = "arn:aws:lambda:us-east-1:123456789012:function:f"
    aws_request_id: str = "52fdfc07-2182-154f-163f-5f0f9a621d72"


class Cloud:
    """One account with the stack in it; to be used while moto's mock is active.

    Attributes
    ----------
    bedrock : ScriptedBedrock
    queue : list[Event]
        What waits to be delivered.
    announced : list[Event]
        Every event that ever was sent, but for those of objects that no rule knows.
    invoked : Counter[str]
        How often each function ran.
    crashes : list[tuple[str, Exception]]
        What handlers raised; Lambda would retry twice, here the event is gone after the first time.
    deliveries : int
        How often each event is delivered.
    shuffled : random.Random | None
        If given, events are delivered in its order instead of their own.
    """

    def __init__(self, student: bytes) -> None:
        self.bedrock = ScriptedBedrock()
        self.queue: list[Event] = []
        self.announced: list[Event] = []
        self.invoked: Counter[str] = Counter()
        self.crashes: list[tuple[str, Exception]] = []
        self.deliveries = 1
        self.shuffled: random.Random | None = None
        self._student = student
        self._lost: list[Callable[[Event], bool]] = []
        self.s3, self._sqs = _client("s3"), _client("sqs")
        self._create()
        self.table = _resource("dynamodb").Table(TABLE)
        self.runs, self.store = RunTable(self.table), RunStore(self.s3, DATA_BUCKET)

    def _create(self) -> None:
        properties = stack()[TABLE]
        names = ("AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes", "BillingMode")
        _client("dynamodb").create_table(TableName=TABLE, **{name: properties[name] for name in names})
        self.s3.create_bucket(Bucket=DATA_BUCKET)
        versioning = stack()["DataBucket"]["VersioningConfiguration"]
        self.s3.put_bucket_versioning(Bucket=DATA_BUCKET, VersioningConfiguration=versioning)
        _client("events").create_event_bus(Name=BUS)
        self._listen(_client("sns").create_topic(Name=TOPIC)["TopicArn"])

    def _listen(self, topic: str) -> None:
        """Let all that is published wait in queues."""
        self._bus_queue, bus_queue_arn = self._queue_of("published")
        events = _client("events")
        events.put_rule(
            Name="all", EventBusName=BUS, EventPattern=json.dumps({"source": [{"prefix": "signalbox"}]})
        )
        events.put_targets(Rule="all", EventBusName=BUS, Targets=[{"Id": "all", "Arn": bus_queue_arn}])
        self._mailbox, mailbox_arn = self._queue_of("mailbox")
        _client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=mailbox_arn)

    def _queue_of(self, name: str) -> tuple[str, str]:
        url = self._sqs.create_queue(QueueName=name)["QueueUrl"]
        attributes = self._sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
        return url, attributes["Attributes"]["QueueArn"]

    @contextmanager
    def connected(self) -> Iterator["Cloud"]:
        """Let boto3 hand out this account's clients, and S3 announce what is put into it."""
        bedrock = {"bedrock": self.bedrock, "bedrock-runtime": self.bedrock}
        clients = mock.patch.object(boto3, "client", lambda name, **_: bedrock.get(name) or _client(name))
        resources = mock.patch.object(boto3, "resource", lambda name, **_: _resource(name))
        plain = mock.Mock(create_client=lambda name, **_: boto3.client(name))
        sessions = mock.patch.object(_app("route"), "new_session", lambda: plain)
        hooks = self.s3.meta.events
        hooks.register("provide-client-params.s3.PutObject", self._putting)
        hooks.register("after-call.s3.PutObject", self._put)
        self.forget()
        _app("notify")._topic.cache_clear()
        _app("promote")._metrics.cache_clear()
        try:
            with clients, resources, sessions:
                yield self
        finally:
            hooks.unregister("provide-client-params.s3.PutObject", self._putting)
            hooks.unregister("after-call.s3.PutObject", self._put)

    @staticmethod
    def _putting(params: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
        context["put"] = (
            params["Bucket"],
            params["Key"],
            _length(params["Body"]),
        )  # later the body becomes a stream

    def _put(self, parsed: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
        bucket, key, size = context["put"]
        if "VersionId" not in parsed:  # refused
            return
        self.announce(
            object_created(
                key,
                bucket=bucket,
                version_id=parsed["VersionId"],
                size=size,
                etag=parsed["ETag"].strip('"'),
            )
        )

    def pipeline(self) -> pipeline.Pipeline:
        """Return the adapters as the steps get them."""
        bus, bedrock = EventBus(_client("events"), BUS), Bedrock(self.bedrock, self.bedrock)
        return pipeline.Pipeline(self.runs, self.store, bus, bedrock)

    # What people do.

    def upload_task(self, content: dict[str, Any], golden: bytes | None = None) -> None:
        """Put a task's spec, and its golden set if there is one."""
        folder = f"tasks/{content['name']}"
        self.s3.put_object(Bucket=DATA_BUCKET, Key=f"{folder}/task.yaml", Body=task_yaml(content))
        if golden is not None:
            self.s3.put_object(Bucket=DATA_BUCKET, Key=f"{folder}/golden.jsonl", Body=golden)

    def drop(
        self, content: bytes, key: str = "datasets/clip-search/drop.jsonl", *, trains: bool = False
    ) -> str:
        """Put a dataset and return the id of the run that it starts.

        Unless a test is about training, the student is there already, since training takes half a second.
        """
        put = self.s3.put_object(Bucket=DATA_BUCKET, Key=key, Body=content)
        run_id = run_id_for(dataset_object(bucket=DATA_BUCKET, key=key, version_id=put["VersionId"]))
        if not trains:
            self.store.put(run_id, STUDENT, self._student)
        return run_id

    def ask(self, detail_type: str, **detail: Any) -> str:
        """Put a person's request on the bus, as `aws events put-events` does, and return its id."""
        entry = {"EventBusName": BUS, "Source": "signalbox.operator", "DetailType": detail_type}
        return self.put_events([entry | {"Detail": json.dumps(detail)}])

    def put_events(self, entries: list[dict[str, str]]) -> str:
        """Put one event on its bus, and return its id."""
        (put,) = _client("events").put_events(Entries=entries)["Entries"]
        return put["EventId"]

    def put_figures(self, task: str, at: datetime, **figures: float) -> None:
        """Let CloudWatch know what the router counted for a task at a moment."""
        dimensions = [{"Name": "service", "Value": "route"}, {"Name": "task", "Value": task}]
        namespace = stack()["PromoteFunction"]["Environment"]["Variables"]["POWERTOOLS_METRICS_NAMESPACE"]
        data = [
            {"MetricName": name, "Dimensions": dimensions, "Timestamp": at, "Value": value, "Unit": "Count"}
            for name, value in figures.items()
        ]
        _client("cloudwatch").put_metric_data(Namespace=namespace, MetricData=data)

    def put_calls(self, at: datetime, invocations: int, errors: int) -> None:
        """Let CloudWatch know what Lambda counted of the route function at a moment."""
        name = stack()["PromoteFunction"]["Environment"]["Variables"]["ROUTE_FUNCTION"]
        dimensions = [{"Name": "FunctionName", "Value": name}]
        data = [
            {"MetricName": metric, "Dimensions": dimensions, "Timestamp": at, "Value": value, "Unit": "Count"}
            for metric, value in (("Invocations", invocations), ("Errors", errors))
        ]
        _client("cloudwatch").put_metric_data(Namespace="AWS/Lambda", MetricData=data)

    def put_service_faults(self, at: datetime, number: int) -> None:
        """Let CloudWatch know how many server errors the router counted at a moment, of no task."""
        namespace = stack()["PromoteFunction"]["Environment"]["Variables"]["POWERTOOLS_METRICS_NAMESPACE"]
        dimensions = [{"Name": "service", "Value": "route"}]
        faults = {
            "MetricName": "RouteServerFaults",
            "Dimensions": dimensions,
            "Timestamp": at,
            "Value": number,
        }
        _client("cloudwatch").put_metric_data(Namespace=namespace, MetricData=[faults])

    def ring(self, alarm: str, after: timedelta = timedelta(seconds=1)) -> Event:
        """Let CloudWatch announce that an alarm of the router's rings, a while after the latest pointer was set."""
        event = json.loads((PROJECT / f"events/promote/{alarm}Rang.json").read_text())
        since = max(live.since for live in self.runs.live_pointers())
        event["time"] = f"{since + after:%Y-%m-%dT%H:%M:%SZ}"
        self.announce(event)
        return event

    def request(
        self, method: str, path: str, body: Any = None, query: dict[str, str] | None = None
    ) -> tuple[int, dict[str, Any]]:
        """Send a request to the API and return status and body of the answer."""
        event = http_request(method, path, body) | ({"queryStringParameters": query} if query else {})
        answer = self.invoke("route", event)
        return answer["statusCode"], json.loads(answer["body"])

    # What AWS does.

    def announce(self, event: Event) -> None:
        """Send an event on its way to whoever has a rule for it."""
        if next(self._targets(event), None) is None and event["source"] == "aws.s3":
            return
        self.announced.append(event)
        for is_lost in self._lost:
            if is_lost(event):
                self._lost.remove(is_lost)
                return
        self.queue += [event] * self.deliveries

    def settle(self) -> None:
        """Deliver events, and those that they cause, until there is none left."""
        self._collect()
        while self.queue:
            place = self.shuffled.randrange(len(self.queue)) if self.shuffled else 0
            event = self.queue.pop(place)
            for function in self._targets(event):
                try:
                    self.invoke(function, event)
                except Exception as error:
                    self.crashes.append((function, error))
            self._collect()

    def minute(self, times: int = 1) -> None:
        """Let Bedrock come to an end with what it is at, deliver its events, and call watch."""
        for _ in range(times):
            self.bedrock.work(self.s3, self.announce)
            self.settle()
            self.watch()

    def watch(self) -> None:
        """Let the clock call watch, and deliver what that causes."""
        try:
            self.invoke("watch", json.loads((PROJECT / "events/watch/EveryMinute.json").read_text()))
        except Exception as error:
            self.crashes.append(("watch", error))
        self.settle()

    def forget(self) -> None:
        """Give the router a fresh sandbox."""
        _app("route").router.cache_clear()
        _app("route").task_list.cache_clear()

    def later(self, seconds: float) -> None:
        """Let time pass for the router, which has answered before."""
        _app("route").router().clock = lambda: time.monotonic() + seconds

    def finish(self, run_id: str, minutes: int = 9) -> Run:
        """Let time pass until a run has ended and all that it owes is published, and return it."""
        self.settle()
        for _ in range(minutes):
            run = self.runs.load(run_id)
            if run is not None and run.state.ended and run.outbox is None:
                break
            self.minute()
        return self.run(run_id)

    def invoke(self, function: str, event: Event) -> Any:
        """Call a handler with the environment that the template gives it, and none of another's."""
        self.invoked[function] += 1
        logical = f"{function.capitalize()}Function"
        environment = {
            name: str(value) for name, value in stack()[logical]["Environment"]["Variables"].items()
        }
        others = {
            name
            for one in FUNCTIONS
            for name in stack()[f"{one.capitalize()}Function"]["Environment"]["Variables"]
        }
        kept = {name: value for name, value in os.environ.items() if name not in others}
        pipeline.pipeline.cache_clear()
        with mock.patch.dict(os.environ, kept | environment, clear=True):
            return _app(function).handler(json.loads(json.dumps(event)), Context(function))

    def _targets(self, event: Event) -> Iterator[str]:
        bus = BUS if event["source"].startswith("signalbox") else None
        for rule in stack().of_type("Events::Rule"):
            pattern = rule.properties.get("EventPattern")
            if pattern and rule.properties.get("EventBusName") == bus and matches(pattern, event):
                for target in rule.properties["Targets"]:
                    yield target["Arn"].rpartition(":")[2].removesuffix("Function").lower()

    def _collect(self) -> None:
        for body in self._received(self._bus_queue):
            self.announce({"account": ACCOUNT} | body)  # moto forgets the account

    def _received(self, url: str) -> Iterator[dict[str, Any]]:
        while messages := self._sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
            for message in messages:
                yield json.loads(message["Body"])

    # What goes wrong.

    def lose(self, detail_type: str, key_part: str = "") -> None:
        """Lose the next event of a kind (of an object whose key contains a text)."""
        self._lost.append(
            lambda event: (
                event["detail-type"] == detail_type
                and key_part in event["detail"].get("object", {}).get("key", key_part)
            )
        )

    @contextmanager
    def failing(
        self, service: str, operation: str, *, containing: str = "", after: int = 0, times: int = 1
    ) -> Iterator[None]:
        """Let `times` calls whose request contains a text fail, once `after` of them have succeeded."""
        seen = 0

        def fail(params: dict[str, Any], **_: Any) -> None:
            nonlocal seen
            seen += containing in str(params["body"])
            if after < seen <= after + times and containing in str(params["body"]):
                raise client_error("InternalError", operation=operation, status=500)

        clients = [_client(service)] + ([_resource(service).meta.client] if service == "dynamodb" else [])
        for client in clients:
            client.meta.events.register(f"before-call.{service}.{operation}", fail)
        try:
            yield
        finally:
            for client in clients:
                client.meta.events.unregister(f"before-call.{service}.{operation}", fail)

    def age(self, run_id: str, by: timedelta) -> None:
        """Move all that a run has been through into the past."""
        item = self.table.get_item(Key={"id": run_id})["Item"]
        for holder, name in [
            (item, "created_at"),
            (item, "updated_at"),
            *([(item, "waited_until")] if "waited_until" in item else []),
            *([(item["awaits"], "since")] if "awaits" in item else []),
            *((one, "at") for one in item["history"]),
        ]:
            holder[name] = (datetime.fromisoformat(holder[name]) - by).isoformat().replace("+00:00", "Z")
        self.table.put_item(Item=item)

    # What can be seen.

    def run(self, run_id: str) -> Run:
        """Return a run, which must be there."""
        run = self.runs.load(run_id)
        assert run is not None, f"there is no run {run_id}"
        return run

    def states(self, run_id: str) -> list[State]:
        """Return the states that a run has been in, in order."""
        return [moment.state for moment in self.run(run_id).history]

    def live(self, task: str = "clip-search") -> Live | None:
        """Return the live pointer of a task."""
        return self.runs.live(task)

    def read(self, run_id: str, name: str) -> Any:
        """Return one of a run's objects, parsed if it is JSON."""
        content = self.store.get(run_id, name)
        assert content is not None, f"{run_id} has no {name}"
        return json.loads(content) if name.endswith(".json") else content

    def published(self, detail_type: str) -> list[Event]:
        """Return the pipeline's events of a kind."""
        self._collect()
        return [event for event in self.announced if event["detail-type"] == detail_type]

    def mails(self) -> list[tuple[str, str]]:
        """Return subject and text of the mails since this was last asked."""
        return [(mail["Subject"], mail["Message"]) for mail in self._received(self._mailbox)]


def _length(body: Any) -> int:
    """Return the size of a body of bytes, or of a file from its beginning."""
    if isinstance(body, bytes):
        return len(body)
    size = body.seek(0, os.SEEK_END)
    body.seek(0)
    return size

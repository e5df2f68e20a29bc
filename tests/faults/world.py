"""The deployed app with every call at AWS in our hands: recorded, made to fail, or cut off; and time to turn back."""

import copy
import json
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from unittest import mock

import boto3
import moto.backends
from botocore import xform_name
from botocore.exceptions import BotoCoreError, ClientError, ReadTimeoutError

from signalbox import pipeline
from signalbox.bedrock import Busy
from signalbox.events import Event as Published
from signalbox.run import Part
from signalbox.store import CONSOLE
from tests.faults import sandbox
from tests.faults.faults import AFTER, ANSWERS, TIMEOUTS, Call, Crash, cut_body, error_answer
from tests.integration import cloud as account
from tests.integration.cloud import PROJECT, TABLE, Cloud, Event
from tests.scripted_bedrock import REGION
from tests.unit.template.stack import ACCOUNT, DATA_BUCKET

_SERVICES = ("s3", "dynamodb", "events", "sns", "cloudwatch", "bedrock", "bedrock-runtime")
_KEPT = ("s3", "dynamodb", "cloudwatch")
_BEDROCK = ("jobs", "deployments", "throughputs", "evaluations", "deleted_models", "lost", "calls", "asked")
_OWN = ("pending", "announced", "invoked", "crashes", "mails_sent", "turns")
_MOVED = ("created_at", "updated_at", "released_at")
_MINUTE = timedelta(minutes=1)
"""After which watch looks at a world at rest: too soon for it to read anything just because it is old."""
LAMBDA_RETRIES = 2
"""How often Lambda tries an asynchronous invocation again."""

Plan = Callable[[Call], str | None]


@dataclass(frozen=True)
class Delivery:
    """An event on its way to a function."""

    function: str
    event: Event


@dataclass
class _Invocation:
    delivery: Delivery
    number: int
    calls: int = 0
    dead: bool = False
    cut_off: bool = False


@dataclass
class Moment:
    """All that there is, to come back to."""

    backends: dict[str, Any]
    bedrock: dict[str, Any]
    own: dict[str, Any]
    warm: pipeline.Pipeline | None


@dataclass
class Watching:
    """How `watch` gets its turns.

    Attributes
    ----------
    steps : list[timedelta]
        How much later each time.
    all_of_them : bool
        Whether also when all is at rest.
    until_retired : bool
        Whether it is not at rest before every deployment is gone.
    """

    steps: list[timedelta] = field(default_factory=lambda: [timedelta(minutes=5, seconds=1)] * 12)
    all_of_them: bool = False
    until_retired: bool = False


class World(Cloud):
    """A cloud whose deliveries are a list, so that it can stop before any of them and go on from there.

    Attributes
    ----------
    pending : list[Delivery]
    recorded : list[Call]
        Every call that a handler has made since this was emptied.
    plan : Callable[[Call], str | None]
        Which fault befalls a call.
    retries : int
        How often Lambda tries again what raised; 0: only `watch` heals.
    mails_sent : list[str]
    turns : int
        How often the clock has called watch.
    befallen : int
        How many calls a fault has befallen.
    dead_letters : list[Delivery]
        What Lambda has tried for the last time in vain.
    warm : Pipeline | None
        With what the sandbox of `watch` remembers of its turns; None if there is none, or it died.
    """

    def __init__(self, student: bytes) -> None:
        self.pending: list[Delivery] = []
        self.mails_sent: list[str] = []
        self.turns = self.befallen = self.retries = 0
        self.recorded: list[Call] = []
        self.dead_letters: list[Delivery] = []
        self.plan: Plan = lambda call: None
        self.pick: Callable[[int], int] = lambda options: 0
        self.lost: Callable[[Delivery], bool] = lambda delivery: False
        self.warm: pipeline.Pipeline | None = None
        self._running: list[_Invocation] = []
        super().__init__(student)

    def _listen(self, topic: str) -> None:
        """Wait for nothing: what is published is taken where it is called."""

    @contextmanager
    def connected(self) -> Iterator["World"]:
        """Let botocore's own clients ask the scripted Bedrock, and every client ask the plan first."""
        with super().connected():
            made = boto3.client
            clients = [account._client(name) for name in _SERVICES]
            clients.append(account._resource("dynamodb").meta.client)
            for client in clients:
                client.meta.events.register("provide-client-params", self._asked)
                client.meta.events.register_first("before-call", self._before)
                client.meta.events.register_last("after-call", self._after)
            bedrock = mock.patch.object(
                boto3,
                "client",
                lambda name, **options: (
                    account._client(name) if name.startswith("bedrock") else made(name, **options)
                ),
            )
            try:
                with bedrock, mock.patch.object(account._app("watch"), "pipeline", self._of_watch):
                    yield self
            finally:
                for client in clients:
                    client.meta.events.unregister("provide-client-params", self._asked)
                    client.meta.events.unregister("before-call", self._before)
                    client.meta.events.unregister("after-call", self._after)

    def _of_watch(self) -> pipeline.Pipeline:
        """Return what `watch` works with: what its sandbox has kept, if that is warm."""
        self.warm = self.warm or pipeline.pipeline()
        return self.warm

    # Calls.

    @staticmethod
    def _asked(params: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
        context["asked"] = dict(params)

    def _put(self, parsed: dict[str, Any], context: dict[str, Any], **more: Any) -> None:
        if more["http_response"].status_code < 300:
            super()._put(parsed, context)

    def _before(self, model: Any, context: dict[str, Any], **_: Any) -> Any:
        answer = self._befall(model, context) if self._running else None
        if answer is None and model.service_model.service_name.startswith("bedrock"):
            parsed = getattr(self.bedrock, xform_name(model.name))(**context["asked"])
            return SimpleNamespace(status_code=200), parsed
        return answer

    def _befall(self, model: Any, context: dict[str, Any]) -> Any:
        invocation = self._running[-1]
        if invocation.dead:
            raise Crash
        service = model.service_model.service_name
        call = Call(invocation.delivery.function, invocation.number, invocation.calls, service, model.name)
        invocation.calls += 1
        self.recorded.append(call)
        fault = context["fault"] = self.plan(call)
        if fault is None:
            return None
        self.befallen += 1
        if fault == "crash before":
            self._die(invocation)
        if fault in TIMEOUTS:
            raise TIMEOUTS[fault](endpoint_url="scripted")
        if fault == "denied for good":
            fault = "denied"
        if fault in ANSWERS:
            return error_answer(fault, service, model.name)
        if fault == "partly refused":
            refused = {"FailedEntryCount": 1, "Entries": [{"ErrorCode": "ThrottlingException"}]}
            return SimpleNamespace(status_code=200), refused
        if fault in ("twice", "frozen"):
            self._overtake(invocation.delivery, to_the_end=fault == "frozen")
        return None

    def _after(self, model: Any, context: dict[str, Any], http_response: Any, parsed: Any, **_: Any) -> None:
        fault = context.get("fault")
        if http_response.status_code < 300 and fault != "partly refused":
            self._took_effect(model.name, context["asked"], parsed)
        if fault == "body cut" and "Body" in parsed:
            parsed["Body"] = cut_body()
        if fault not in AFTER:
            return
        if fault == "answer lost":
            raise ReadTimeoutError(endpoint_url="scripted")
        self._running[-1].cut_off = fault == "cut off"
        self._die(self._running[-1])

    @staticmethod
    def _die(invocation: _Invocation) -> None:
        invocation.dead = True
        raise Crash

    def _took_effect(self, operation: str, asked: dict[str, Any], parsed: dict[str, Any]) -> None:
        if operation == "PutEvents":
            for entry, put in zip(asked["Entries"], parsed["Entries"], strict=True):
                self.announce(
                    {
                        "version": "0",
                        "id": put["EventId"],
                        "detail-type": entry["DetailType"],
                        "source": entry["Source"],
                        "account": ACCOUNT,
                        "time": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
                        "region": "us-east-1",
                        "resources": [],
                        "detail": json.loads(entry["Detail"]),
                    }
                )
        elif operation == "Publish":
            self.mails_sent.append(asked.get("Subject", ""))

    def _overtake(self, delivery: Delivery, *, to_the_end: bool) -> None:
        """Let a duplicate of the event be worked through, or all that follows too, while the step stands still.

        A `watch` that stands still keeps its sandbox to itself, which is gone if it has stood for long.
        """
        plan, self.plan = self.plan, lambda call: None
        stopped, self._running = self._running, []
        occupied = self.warm if delivery.function == "watch" else None
        self.warm = None if occupied else self.warm
        try:
            self.deliver(delivery)
            if to_the_end:
                self.drive()
        finally:
            self.plan, self._running = plan, stopped
            self.warm = self.warm if to_the_end else occupied or self.warm

    # Deliveries.

    def announce(self, event: Event) -> None:
        """Send an event on its way to whoever has a rule for it."""
        targets = list(self._targets(event))
        if not targets and event["source"] == "aws.s3":
            return
        self.announced.append(event)
        for target in targets:
            delivery = Delivery(target, event)
            if not self.lost(delivery):
                self.pending += [delivery] * self.deliveries

    def _collect(self) -> None:
        """Nothing is kept anywhere else."""

    def deliver(self, delivery: Delivery) -> None:
        """Hand an event to its function; what the sandbox dies of is written down."""
        for _ in range(1 + LAMBDA_RETRIES):
            invocation = _Invocation(delivery, self.invoked[delivery.function])
            self._running.append(invocation)
            try:
                self.invoke(delivery.function, delivery.event)
            except (Crash, Exception) as error:
                self.crashes.append((delivery.function, error))
                if isinstance(error, Crash) and delivery.function == "watch":
                    self.warm = None
            else:
                return
            finally:
                self._running.pop()
            if not invocation.cut_off and not self.retries:
                return
        self.dead_letters.append(delivery)

    def step(self) -> None:
        """Deliver one event; notifications, which change nothing, first."""
        told = [place for place, one in enumerate(self.pending) if one.function == "notify"]
        place = told[0] if told else self.pick(len(self.pending))
        self.deliver(self.pending.pop(place))

    def drive(
        self,
        watching: Watching | None = None,
        is_enough: Callable[[tuple[int, bool, bool]], object] = lambda progress: False,
    ) -> None:
        """Deliver what is pending, let Bedrock work and watch have its turns, until all is at rest.

        Parameters
        ----------
        is_enough : Callable[[tuple[int, bool, bool]], object]
            Called before each delivery, with how many turns have been, whether all was at rest at the last one, and
            whether that has found something since; if it says so, there is no more.
        """
        watching = watching or Watching()
        steps = iter(watching.steps)
        turns, rested, told = 0, False, 0
        while True:
            has_found = self._told() > told
            if self.pending:
                if is_enough((turns, rested, has_found)):
                    return
                self.step()
                continue
            at_rest = not watching.all_of_them and self._at_rest(watching.until_retired)
            later = next(steps, None)
            if later is None or (rested and at_rest and not has_found):
                return
            turns, rested, told = turns + 1, at_rest, self._told()
            self.turn(_MINUTE if at_rest else later)

    def _told(self) -> int:
        """Return how many events have been announced, without those that every minute may have."""
        return sum(event["detail-type"] != Published.HEALTH_CHECK_DUE for event in self.announced)

    def _at_rest(self, until_retired: bool) -> bool:
        """Whether no run is known that watch has to heal or to retire; it gets one turn more nevertheless."""
        deployed = any(run.deployment_arn and run.gone < Part.DEPLOYMENT for run in self.runs.at_bedrock())
        return not list(self.runs.active()) and not (until_retired and deployed)

    def turn(self, later: timedelta) -> None:
        """Let time pass, Bedrock come to an end with what it is at, and the clock call watch."""
        self.turns += 1
        self.age_all(later)
        self.bedrock.work(self.s3, self.announce)
        event = json.loads((PROJECT / "events/watch/EveryMinute.json").read_text())
        self.pending.append(Delivery("watch", event))

    def age_all(self, by: timedelta) -> None:
        """Move all that every run has been through, and what is remembered of it, into the past."""
        if self.warm:
            sandbox.grow_older(self.warm, by)
        for item in _backend("dynamodb")[ACCOUNT][REGION].tables[TABLE].all_items():
            if "state" not in item.attrs:
                continue
            moments = [moment.value["at"] for moment in item.attrs["history"].value]
            for moved in (*moments, *(item.attrs[name] for name in _MOVED if name in item.attrs)):
                at = datetime.fromisoformat(moved.value) - by
                moved.value = at.isoformat().replace("+00:00", "Z")

    # What there is, without a call.

    def items(self) -> list[dict[str, Any]]:
        """Return the table's items as DynamoDB writes them."""
        table = _backend("dynamodb")[ACCOUNT][REGION].tables[TABLE]
        return [item.to_json()["Attributes"] for item in table.all_items()]

    def versions(self) -> dict[str, list[tuple[str, bytes]]]:
        """Return by key the id and the content of every version of an object; a delete marker is empty."""
        bucket = _backend("s3")[ACCOUNT]["aws"].buckets[DATA_BUCKET]
        return {
            key: [(str(one.version_id), getattr(one, "value", b"")) for one in versions]
            for key, versions in bucket.keys.lists()
        }

    def page(self) -> bytes:
        """Return the console as it stands there."""
        return self.s3.get_object(Bucket=DATA_BUCKET, Key=CONSOLE)["Body"].read()

    # Time.

    def moment(self) -> Moment:
        """Keep all that there is."""
        return Moment(
            {name: copy.deepcopy(_backend(name)) for name in _KEPT},
            {name: copy.deepcopy(getattr(self.bedrock, name)) for name in _BEDROCK},
            {name: copy.copy(getattr(self, name)) for name in _OWN},
            self.warm and sandbox.copied(self.warm),
        )

    def back_to(self, moment: Moment) -> None:
        """Go back to a moment, with no fault planned."""
        for name, kept in moment.backends.items():
            for number, regions in kept.items():
                moto.backends.get_backend(name)[number].update(copy.deepcopy(regions))
        for name, kept in moment.bedrock.items():
            setattr(self.bedrock, name, copy.deepcopy(kept))
        for name, kept in moment.own.items():
            setattr(self, name, copy.copy(kept))
        self.warm = moment.warm and sandbox.copied(moment.warm)
        self.recorded, self.befallen, self.deliveries, self.retries = [], 0, 1, 0
        self.dead_letters = []
        self.plan, self.pick, self.lost = lambda call: None, lambda options: 0, lambda delivery: False

    def shuffle(self, seed: int) -> random.Random:
        """Deliver in a random order; return what makes it random."""
        chance = random.Random(seed)
        self.pick = chance.randrange
        return chance


def foreseen(error: BaseException) -> bool:
    """Tell an error that follows from a fault from one that is a defect of the code."""
    return isinstance(error, Crash | ClientError | BotoCoreError | Busy) or "EventBridge did not take" in str(
        error
    )


def _backend(name: str) -> dict[str, dict[str, Any]]:
    return {number: dict(regions) for number, regions in moto.backends.get_backend(name).items()}

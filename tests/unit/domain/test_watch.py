"""watch leaves steps at work alone, and heals what is overdue."""

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import Mock

import pytest
from botocore.exceptions import ClientError

from signalbox import watch as module
from signalbox.bedrock import Bedrock
from signalbox.events import EventBus
from signalbox.live import Live
from signalbox.pipeline import Pipeline
from signalbox.run import Moment, Run, State
from signalbox.run_table import RunTable
from signalbox.store import RunStore
from signalbox.task import Patience
from signalbox.watch import watch
from tests.builders import BUCKET, client_error, dataset_object, embedded_spec
from tests.fakes import FakeEvents, FakeS3, FakeTable
from tests.scripted_bedrock import ScriptedBedrock

FIVE_MINUTES, A_DAY = timedelta(minutes=5), timedelta(days=1)


class World:
    """A pipeline in memory, and one run that has been in its state for some time."""

    def __init__(self) -> None:
        self.table, self.events, self.s3 = FakeTable(), FakeEvents(), FakeS3()
        bedrock = Bedrock(ScriptedBedrock(), ScriptedBedrock())
        self.runs = RunTable(self.table)
        self.pipeline = Pipeline(self.runs, RunStore(self.s3, BUCKET), EventBus(self.events, "bus"), bedrock)

    def run(self, state: State, *, hours: float = 0, **attributes: Any) -> Run:
        """Put a run that came into its state, and was last heard of, so many hours ago."""
        run = self.runs.receive(dataset_object())
        then = run.created_at - timedelta(hours=hours)
        history = [Moment(state=state, at=then)]
        run = run.model_copy(update={"state": state, "history": history, "updated_at": then, **attributes})
        self.table.items[run.id] |= run.model_dump(mode="json", exclude_none=True)
        return run

    def watch(self) -> int:
        """Let the clock call watch once."""
        return watch(self.pipeline, FIVE_MINUTES, A_DAY)

    @property
    def only(self) -> Run:
        """The one run there is."""
        (identifier,) = self.table.items
        return self.runs.load(identifier)


def test_a_run_that_moves_on_while_it_is_looked_at_is_not_called_stalled(
    world: "World", monkeypatch: pytest.MonkeyPatch
) -> None:
    world.run(State.DEPLOYED, hours=1.5)
    mark_stalled = RunTable.mark_stalled

    def too_late(self: RunTable, run: Run, note: str) -> Run:
        self.touch(run)
        return mark_stalled(self, run, note)

    monkeypatch.setattr(RunTable, "mark_stalled", too_late)
    world.watch()
    assert not world.only.stalled
    assert "RunStalled" not in str(world.events.entries)


@pytest.fixture
def world() -> World:
    return World()


ENDED = [state for state in State if state.ended]
UNDER_WAY = [state for state in State if not state.ended]


@pytest.mark.parametrize("state", UNDER_WAY)
def test_a_run_that_has_not_moved_for_five_minutes_is_nudged(world: World, state: State) -> None:
    world.run(state, hours=0.1)
    assert world.watch() == 1
    assert world.events.names == ["RunNudged"]
    assert f'"state": "{state}"' in world.events.entries[0]["Detail"]


@pytest.mark.parametrize("state", [state for state in UNDER_WAY if state is not State.DEPLOYING])
def test_a_run_that_was_heard_of_lately_is_left_alone(world: World, state: State) -> None:
    world.run(state, hours=0.05)
    assert world.watch() == 0
    assert world.events.names == []


def test_a_deployment_is_looked_at_every_time_since_it_announces_nothing(world: World) -> None:
    world.run(State.DEPLOYING)
    assert world.watch() == 1


@pytest.mark.parametrize("state", ENDED)
def test_an_ended_run_that_owes_its_event_publishes_it_and_leaves_the_line(
    world: World, state: State
) -> None:
    world.run(state, hours=1, outbox="RunFailed")
    assert world.watch() == 0
    assert world.events.names == ["RunFailed"]
    assert list(world.runs.active()) == []
    assert world.watch() == 0
    assert world.events.names == ["RunFailed"]


@pytest.mark.parametrize(("state", "event"), [(State.PROMOTED, "ModelPromoted"), (State.HELD, "ModelHeld")])
def test_an_ended_run_whose_results_are_owed_is_nudged_and_after_an_hour_its_event_goes_out(
    world: World, state: State, event: str
) -> None:
    world.run(state, hours=0.5, outbox=event)
    assert world.watch() == 1
    assert (world.events.names, world.only.outbox) == (["RunNudged"], event)
    world.run(state, hours=1.1, outbox=event)
    world.watch()
    assert (world.events.names, world.only.outbox) == (["RunNudged", event], None)


def test_an_owed_event_is_published_before_the_nudge(world: World) -> None:
    world.run(State.ACCEPTED, hours=0.1, outbox="DatasetAccepted")
    world.watch()
    assert world.events.names == ["DatasetAccepted", "RunNudged"]
    assert world.only.outbox is None


def test_an_owed_event_that_cannot_be_published_stays_owed(world: World) -> None:
    world.run(State.HELD, hours=2, outbox="ModelHeld")
    world.events.refuses = True
    with pytest.raises(RuntimeError, match="did not take ModelHeld"):
        world.watch()
    assert world.only.outbox == "ModelHeld"


PATIENCE = [(State.RECEIVED, 1), (State.DEPLOYING, 1), (State.EVALUATING, 7), (State.TRAINING, 24)]


@pytest.mark.parametrize(("state", "hours"), PATIENCE)
def test_a_run_is_stalled_after_its_patience_and_fails_after_twice_of_it(
    world: World, state: State, hours: float
) -> None:
    # Just before
    world.run(state, hours=hours - 0.02)
    world.watch()
    assert not world.only.stalled
    # Just after: said once
    world.run(state, hours=hours + 0.02)
    world.watch()
    world.watch()
    assert world.events.names.count("RunStalled") == 1
    # After twice as long
    world.run(state, hours=2 * hours + 0.02)
    world.watch()
    assert world.only.state is State.FAILED
    assert world.events.names.count("RunFailed") == 1
    assert f"in state {state} for " in world.only.reason


def test_the_task_says_how_long_bedrock_may_take(world: World) -> None:
    patience = Patience(training_hours=2)
    world.run(
        State.TRAINING, hours=2.1, patience=patience, waiting="Bedrock's customization job is InProgress"
    )
    world.watch()
    assert (world.only.stalled, world.only.state) == (True, State.TRAINING)
    world.run(
        State.TRAINING, hours=4.1, patience=patience, waiting="Bedrock's customization job is InProgress"
    )
    world.watch()
    assert world.only.state is State.FAILED
    assert "Bedrock's customization job is InProgress" in world.only.failure.reason


def test_whoever_is_told_that_a_run_stalls_is_told_what_is_known(world: World) -> None:
    run = world.run(
        State.DEPLOYING, hours=1.5, waiting="Bedrock's deployment is Creating", trouble="AccessDenied"
    )
    world.watch()
    since = f"{run.history[-1].at:%Y-%m-%d %H:%M} UTC"
    assert world.only.reason == (
        f"in state DEPLOYING for 1.5 hours, since {since}; waiting: Bedrock's deployment is Creating; "
        "the last attempt broke off: AccessDenied"
    )


def test_a_run_that_waits_for_a_quota_is_given_a_day(world: World) -> None:
    world.run(State.ACCEPTED, hours=23, waiting="ten jobs already")
    world.watch()
    assert not world.only.stalled
    world.run(State.ACCEPTED, hours=25, waiting="ten jobs already")
    world.watch()
    assert world.only.stalled
    assert world.only.state is State.ACCEPTED


@pytest.mark.parametrize("state", [State.ACCEPTED, State.TRAINED, State.DEPLOYED])
def test_a_run_that_waits_for_a_quota_is_called_stalled_but_never_fails(world: World, state: State) -> None:
    world.run(state, hours=23.98, waiting="Bedrock: ServiceQuotaExceededException")
    world.watch()
    assert not world.only.stalled
    world.run(state, hours=1000, waiting="Bedrock: ServiceQuotaExceededException")
    assert world.watch() == world.watch() == 1
    assert world.only.state is state
    assert world.events.names.count("RunStalled") == 1


@pytest.mark.parametrize(("hours", "state"), [(1.98, State.DEPLOYED), (2.02, State.FAILED)])
def test_a_run_whose_attempts_break_off_after_a_wait_ends_as_if_it_had_just_begun(
    world: World, hours: float, state: State
) -> None:
    run = world.run(State.DEPLOYED, hours=1000)
    world.run(
        State.DEPLOYED, hours=1000, trouble="a bug", waited_until=run.created_at - timedelta(hours=hours)
    )
    world.watch()
    assert world.only.state is state


@pytest.mark.parametrize(("hours", "state"), [(47.9, State.DEPLOYED), (48.1, State.FAILED)])
def test_a_run_with_provisioned_throughput_does_not_wait_without_end(
    world: World, hours: float, state: State
) -> None:
    throughput = "arn:aws:bedrock:us-east-1:123456789012:provisioned-model/abc"
    world.run(State.DEPLOYED, hours=hours, waiting="Throttling", deployment_arn=throughput)
    world.watch()
    assert world.only.state is state
    if state is State.FAILED:
        assert world.only.failure.reason.endswith(
            "waiting: Throttling; its provisioned throughput costs by the hour meanwhile"
        )
        assert (
            "provisioned throughput is deleted by itself after RetireAfterHours" in world.only.failure.remedy
        )


def test_a_run_that_moves_on_while_watch_would_end_it_is_left_to_itself(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = world.run(State.RECEIVED, hours=3)
    monkeypatch.setattr(RunTable, "active", lambda runs: iter([run]))
    world.runs.move(run, State.ACCEPTED, event=None)
    world.watch()
    assert world.only.state is State.ACCEPTED


def test_a_step_that_gives_signs_of_life_is_not_nudged_but_its_patience_ends(world: World) -> None:
    run = world.run(State.DEPLOYED, hours=0.5)
    world.runs.touch(run)
    assert world.watch() == 0


def test_runs_are_healed_though_s3_does_not_answer(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.run(State.ACCEPTED, hours=0.1)
    monkeypatch.setattr(world.s3, "get_paginator", lambda operation: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        world.watch()
    assert world.events.names == ["RunNudged"]


def test_a_run_that_has_ended_is_shown_though_no_pointer_could_be_read_while_it_was_under_way(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a warm watch whose one turn during a run cannot read what is live
    world.s3.put_object(Bucket=BUCKET, Key="tasks/clip-search/task.yaml", Body=b"", ContentType="")
    world.watch()
    run = world.run(State.TRAINING)
    with monkeypatch.context() as throttled:
        throttled.setattr(RunTable, "live_pointers", Mock(side_effect=client_error("ThrottlingException")))
        with pytest.raises(ClientError):
            world.watch()
    # When the run has ended by the next, then that is shown
    world.runs.delivered(world.runs.move(run, State.FAILED, event="RunFailed"))
    world.watch()
    assert [shown.state for shown in world.pipeline.attention.shown[run.task]] == [State.FAILED]


def test_a_run_that_watch_began_is_shown_as_it_ended_though_it_was_never_seen_under_way(world: World) -> None:
    # Given a dataset whose event was lost, which watch registers
    dataset = dataset_object(key="datasets/clip-search/bad.jsonl", version_id="v0")
    world.s3.put_object(Bucket=BUCKET, Key=dataset.key, Body=b"", ContentType="")
    world.s3.versions = [(dataset.key, datetime.now(UTC) - timedelta(hours=1))]
    world.watch()
    run = world.only
    assert [shown.state for shown in world.pipeline.attention.shown[run.task]] == [State.RECEIVED]
    # When it is rejected within the minute, then that is shown in the next
    world.runs.delivered(world.runs.move(run, State.REJECTED, event="DatasetRejected"))
    world.watch()
    assert [shown.state for shown in world.pipeline.attention.shown[run.task]] == [State.REJECTED]


def test_health_is_checked_though_s3_does_not_answer(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    before = Live(
        run_id="a-1", model="m", since=datetime.now(UTC), task_name="a", task=embedded_spec(), student=True
    )
    promoted = before.model_copy(update={"run_id": "a-2", "previous": before})
    world.table.items[promoted.item()["id"]] = promoted.item()
    monkeypatch.setattr(world.s3, "get_paginator", lambda operation: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        world.watch()
    assert world.events.names == ["HealthCheckDue"]


@pytest.mark.parametrize("denied", ["publish", "check_health"])
def test_that_no_run_can_be_nudged_or_no_health_be_checked_is_heard_of(
    world: World, monkeypatch: pytest.MonkeyPatch, denied: str
) -> None:
    world.run(State.ACCEPTED, hours=0.1)
    before = Live(
        run_id="a-1", model="m", since=datetime.now(UTC), task_name="a", task=embedded_spec(), student=True
    )
    promoted = before.model_copy(update={"run_id": "a-2", "previous": before})
    world.table.items[promoted.item()["id"]] = promoted.item()
    monkeypatch.setattr(EventBus, denied, Mock(side_effect=client_error("AccessDeniedException")))
    with pytest.raises(ClientError):
        world.watch()


PARTS = [
    (module, "look_after"),
    (module, "look_through"),
    (module.generation_retention, "look_through"),
    (module, "_register_unannounced"),
]


@pytest.mark.parametrize("broken", range(len(PARTS)), ids=[name for _, name in PARTS])
def test_a_part_that_breaks_off_keeps_no_other_from_being_done_and_is_heard_of(
    world: World, monkeypatch: pytest.MonkeyPatch, broken: int
) -> None:
    done: list[str] = []

    def part(number: int) -> int:
        if number == broken:
            raise RuntimeError("scripted")
        done.append(PARTS[number][1])
        return 0

    for number, (place, name) in enumerate(PARTS):
        monkeypatch.setattr(place, name, lambda *_, number=number: part(number))
    monkeypatch.setattr(module.console, "publish", lambda _: done.append("console"))
    with pytest.raises(RuntimeError, match="scripted"):
        world.watch()
    others = [name for number, (_, name) in enumerate(PARTS) if number != broken]
    assert done == [*others, "console"]


@pytest.mark.parametrize("uploads", [0, 2, 5, 40])
def test_each_turn_lists_one_page_more_of_what_was_dropped_and_the_round_finds_what_was_lost(
    world: World, uploads: int
) -> None:
    # Given uploads of long ago, of which S3 lists two at a time, and a watch that has looked through them
    for number in range(uploads):
        world.s3.put_object(BUCKET, f"datasets/clip-search/{number:03d}.jsonl", b"", "")
    world.s3.versions = [(key, at - timedelta(days=9)) for key, at in world.s3.versions]
    world.watch()
    # When one comes before and one after all others, of which no event tells
    for name in ("000-first", "999-last"):
        world.s3.put_object(BUCKET, f"datasets/clip-search/{name}.jsonl", b"", "")
        key, at = world.s3.versions[-1]
        world.s3.versions[-1] = (key, at - FIVE_MINUTES)
    # Then both are registered as soon as there have been as many turns as there are pages
    pages = -(-(uploads + 2) // 2)
    for turn in range(pages):
        assert len(world.table.items) <= 1 or turn == pages - 1
        world.watch()
    assert len(world.table.items) == 2


def lost(world: World, count: int) -> None:
    """Have datasets lie there whose events were lost an hour ago."""
    for number in range(count):
        world.s3.put_object(BUCKET, f"datasets/clip-search/{number:03d}.jsonl", b"", "")
    world.s3.versions = [(key, at - timedelta(hours=1)) for key, at in world.s3.versions]


def test_looking_at_uploads_ends_while_there_is_time_and_goes_on_in_the_next_turn(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given five uploads that nobody announced, and ten seconds that each of them takes
    lost(world, 5)
    monkeypatch.setattr(module.time, "monotonic", itertools.count(step=10).__next__)
    # When watch has looked at two of them, then it stops, and goes on there in its next turn
    registered = []
    for _ in range(4):
        world.watch()
        registered.append(len(world.table.items))
    assert registered == [2, 4, 5, 5]


@pytest.mark.parametrize(("pages", "turns"), [(2, 1), (6, 2), (40, 14)])
def test_a_listing_that_takes_longer_than_a_turn_comes_to_its_end_all_the_same(
    world: World, monkeypatch: pytest.MonkeyPatch, pages: int, turns: int
) -> None:
    # Given many uploads of long ago and a lost one at the end, and ten seconds that each request takes
    lost(world, 2 * pages)
    *old, last = world.s3.versions
    world.s3.versions = [*((key, at - timedelta(days=9)) for key, at in old), last]
    clock = itertools.count(step=10)
    elapsed = [0]
    listed = world.s3.list_object_versions
    monkeypatch.setattr(module.time, "monotonic", lambda: elapsed[0])

    def slowly(**request: Any) -> Any:
        elapsed[0] = next(clock) if request["Prefix"] == "datasets/" else elapsed[0]
        return listed(**request)

    world.s3.list_object_versions = slowly
    for _ in range(turns):
        assert world.table.items == {}
        world.watch()
    assert len(world.table.items) == 1


def test_an_upload_that_cannot_be_registered_keeps_no_other_from_it_and_is_heard_of(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost(world, 5)
    receive = world.runs.receive

    def fails_on_the_second(dataset: Any) -> Run:
        if "001" in dataset.key:
            raise RuntimeError("DynamoDB does not answer")
        return receive(dataset)

    monkeypatch.setattr(world.runs, "receive", fails_on_the_second)
    with pytest.raises(RuntimeError, match="does not answer"):
        world.watch()
    assert len(world.table.items) == 4


@pytest.mark.parametrize(
    ("ago", "registered"), [(timedelta(minutes=1), 0), (timedelta(minutes=6), 1), (timedelta(hours=25), 0)]
)
def test_an_upload_of_the_last_day_that_nobody_announced_becomes_a_run(
    world: World, ago: timedelta, registered: int
) -> None:
    key = "datasets/clip-search/drop.jsonl"
    world.s3.put_object(BUCKET, key, b"", "")
    world.s3.versions = [(key, world.s3.versions[0][1] - ago)]
    world.watch()
    world.watch()
    assert len(world.table.items) == registered
    assert world.events.names == ["RunNudged"] * registered


def test_one_run_that_cannot_be_looked_at_does_not_keep_other_deployments(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given ended runs of two tasks with deployments that nobody needs, and a table that fails on the first
    for task in ("clip-search", "clip-kind"):
        run = world.runs.receive(dataset_object(key=f"datasets/{task}/drop.jsonl"))
        item = world.table.items[run.id]
        item |= {"state": "FAILED", "deployment_arn": "arn:d", "active": "deployed"}
    get_item, failed = world.table.get_item, []

    def fail_once(**request: Any) -> Any:
        if not failed:
            failed.append(request)
            raise RuntimeError("scripted")
        return get_item(**request)

    monkeypatch.setattr(world.table, "get_item", fail_once)
    world.watch()
    noted = ["released_at" in item for item in world.table.items.values()]
    assert sorted(noted) == [False, True]

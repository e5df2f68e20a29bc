"""What watch reads in a minute follows from what has changed, not from how much there is."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest

from signalbox import retirement
from signalbox.items import item_of
from signalbox.run import Moment, Run, State, now
from signalbox.watch import watch
from tests.builders import dataset_object
from tests.integration import cloud as account
from tests.integration.cloud import Cloud
from tests.unit.template.stack import DATA_BUCKET

TASKS, RUNS = 50, 4
NUDGE_AFTER, GRACE = timedelta(minutes=5), timedelta(hours=24)
CONSTANT = 16
"""Requests of a minute in which nothing has changed, whatever there is; the write of the console is not among them."""


@contextmanager
def counted() -> Iterator[Counter[str]]:
    """Count what is asked of DynamoDB and S3, by operation."""
    counts: Counter[str] = Counter()

    def count(model: Any, **_: Any) -> None:
        counts[model.name] += 1

    clients = [account._client("s3"), account._resource("dynamodb").meta.client]
    for client in clients:
        client.meta.events.register("before-call", count)
    try:
        yield counts
    finally:
        for client in clients:
            client.meta.events.unregister("before-call", count)


def ended_run(task: str, number: int) -> Run:
    """A run that was held a day ago."""
    at = now() - timedelta(days=1, minutes=number)
    key = f"datasets/{task}/{number}.jsonl"
    return Run(
        id=f"{task}-{number:012x}",
        task=task,
        state=State.HELD,
        created_at=at,
        updated_at=at,
        dataset=dataset_object(bucket=DATA_BUCKET, key=key, version_id=f"v{number}"),
        history=[Moment(state=State.HELD, at=at)],
    )


@pytest.mark.parametrize(
    ("committed", "again"),
    [(timedelta(days=20), timedelta(hours=1)), (timedelta(minutes=20), timedelta(minutes=20))],
    ids=["for days", "until soon"],
)
def test_a_run_whose_throughput_is_committed_is_looked_at_hourly_and_at_the_end_of_its_term(
    cloud: Cloud, committed: timedelta, again: timedelta
) -> None:
    # Given a run of a task that keeps nothing, released long ago, whose throughput cannot be deleted yet
    at = now()
    changes = {
        "surplus": retirement.Part.MODEL,
        "released_at": at - timedelta(days=2),
        "deployment_arn": "arn:aws:bedrock:us-east-1:123456789012:provisioned-model/a",
        "committed_until": at + committed,
    }
    run = ended_run("task-1", 1).model_copy(update=changes)
    # When its task has been looked at, then it is next looked at in an hour, or when the term is over
    looked = retirement._look_at(run, run.surplus, None, cloud.pipeline(), at, GRACE)
    assert looked == at + again


@pytest.fixture
def full(cloud: Cloud) -> Cloud:
    """An app with fifty tasks of some runs each; a hundred are as many requests, of larger pages."""
    with cloud.table.batch_writer() as batch:
        for task in (f"task-{number}" for number in range(TASKS)):
            cloud.s3.put_object(Bucket=DATA_BUCKET, Key=f"tasks/{task}/task.yaml", Body=b"")
            for number in range(RUNS):
                batch.put_item(Item=item_of(ended_run(task, number)))
    return cloud


def test_a_minute_costs_what_has_changed_in_it(full: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retirement, "_retention", lambda *_: retirement.Retention(runs=200))
    pipeline = full.pipeline()

    def minute() -> Counter[str]:
        with counted() as counts:
            watch(pipeline, NUDGE_AFTER, GRACE)
        return counts

    # A new sandbox reads everything once
    first = minute()
    assert 2 * TASKS <= first["Query"] <= 2 * TASKS + 12
    # A minute in which nothing has changed costs the same however many tasks and runs there are
    idle = minute()
    assert sum(idle.values()) <= CONSTANT, idle
    # A run that has begun costs its own task, now and in the minute after, by when the index has caught up
    full.runs.receive(dataset_object(bucket=DATA_BUCKET, key="datasets/task-7/new.jsonl", version_id="v"))
    for counts in (minute(), minute()):
        assert 2 <= counts["Query"] - idle["Query"] <= 3, counts
    print(f"{TASKS} tasks of {RUNS} runs: first {dict(first)}, idle {dict(idle)}")
    assert sum(minute().values()) <= CONSTANT

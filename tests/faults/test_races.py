"""Promotions that race: real threads, a real table, one winner at a time."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from unittest import mock

import pytest
from moto.core.botocore_stubber import BotocoreStubber

from signalbox.promote import promote
from signalbox.run import PROMOTABLE, State
from signalbox.store import METRICS, REPORT
from tests.builders import embedded_spec, labelled
from tests.integration.cloud import Cloud
from tests.quick_moto import quick_aws

RACERS = 6


@pytest.fixture
def cloud(student: bytes) -> Iterator[Cloud]:
    """The app in an account whose every request is answered whole before the next, as DynamoDB does it."""
    one_at_a_time, answer = threading.Lock(), BotocoreStubber.__call__

    def call(stubber: BotocoreStubber, *arguments: object, **named: object) -> object:
        with one_at_a_time:
            return answer(stubber, *arguments, **named)

    with (
        mock.patch.object(BotocoreStubber, "__call__", call),
        quick_aws(),
        Cloud(student).connected() as deployed,
    ):
        yield deployed


def test_promotions_that_race_leave_one_live_and_all_decided(cloud: Cloud) -> None:
    # Given runs of one task that are all about to be decided upon
    cloud.upload_task(embedded_spec())
    run_ids = []
    for number in range(RACERS):
        cloud.lose("EvaluationCompleted")
        run_ids.append(cloud.drop(labelled(), f"datasets/clip-search/{number}.jsonl"))
        cloud.settle()
    assert {cloud.run(run_id).state for run_id in run_ids} == {State.EVALUATED}
    # When they are promoted at the same moment, each of them twice
    start = threading.Barrier(2 * RACERS)

    def race(run_id: str) -> None:
        start.wait()
        promote(run_id, cloud.pipeline())

    with ThreadPoolExecutor(2 * RACERS) as threads:
        list(threads.map(race, run_ids * 2))
    # Then each has come to one end, at once or by the next turn of watch
    runs = [cloud.finish(run_id) for run_id in run_ids]
    assert {run.state for run in runs} <= PROMOTABLE
    for run in runs:
        assert sum(moment.state.ended for moment in run.history) == 1
        assert run.outbox is None
        assert cloud.read(run.id, METRICS)["verdict"] == run.state
        assert cloud.store.has(run.id, REPORT)
    # And the pointer is the end of one chain: each promotion replaced the very one before it
    promoted = [run for run in runs if run.state is State.PROMOTED]
    replaced = sorted(run.history[-1].note for run in promoted)
    live = cloud.live()
    chain = {run.history[-1].note.removeprefix("live, in place of ") for run in promoted} - {"live"}
    assert replaced.count("live") == 1
    assert len(set(replaced)) == len(replaced)
    assert {run.id for run in promoted} - chain == {live.run_id}

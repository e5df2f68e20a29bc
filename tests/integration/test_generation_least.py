"""A request for too few records to train on is rejected before anything is paid for, by the task's own limits."""

import pytest

from signalbox.generation import GenerationState
from signalbox.run import State
from tests.builders import QUERIES, embedded_spec, labelled, tuned_spec
from tests.integration.cloud import Cloud
from tests.integration.test_generation import MANY, asked, dataset, finished, request
from tests.scripted_bedrock import right_answer

TEACHER = "us.amazon.nova-pro-v1:0"


@pytest.mark.parametrize(("count", "share", "needed"), [(100, 0.15, 120), (119, 0.15, 120), (180, 0.5, 200)])
def test_what_would_not_be_enough_once_the_golden_set_is_split_off_is_not_asked(
    cloud: Cloud, count: int, share: float, needed: int
) -> None:
    cloud.upload_task(embedded_spec(dataset={"golden_share": share}))
    generation = finished(cloud, request(cloud, asked(count=count, slots=MANY)))
    assert generation.state is GenerationState.REJECTED
    assert f"count: {count}; at least {needed} are needed" in generation.reasons[0]
    assert (
        "100 are left to train on; or put a golden set at tasks/clip-search/golden.jsonl"
        in generation.reasons[0]
    )
    assert cloud.bedrock.calls.total() == 0


def test_the_least_that_is_taken_makes_a_run(cloud: Cloud) -> None:
    cloud.upload_task(embedded_spec())
    generation = finished(cloud, request(cloud, asked(count=120)))
    assert cloud.finish(generation.run_id).state is State.PROMOTED


def test_with_a_golden_set_of_the_tasks_own_a_hundred_make_a_run(cloud: Cloud) -> None:
    cloud.upload_task(embedded_spec(), golden=labelled(QUERIES[::5]))
    generation = finished(cloud, request(cloud, asked(count=100)))
    assert len(dataset(cloud, generation)) == 100
    assert cloud.finish(generation.run_id).state is State.PROMOTED


def test_a_golden_set_that_no_run_would_take_is_told_of_first(cloud: Cloud) -> None:
    cloud.upload_task(embedded_spec(), golden=labelled(QUERIES[:19]))
    generation = finished(cloud, request(cloud, asked()))
    assert generation.state is GenerationState.REJECTED
    assert "golden.jsonl has 19 queries, at least 20 are needed" in generation.reasons[0]
    assert cloud.bedrock.calls.total() == 0


def test_fine_tuning_takes_fewer(cloud: Cloud) -> None:
    # Given a task whose job trains on 8 records
    customization = tuned_spec()["customization"] | {"teacher": TEACHER}
    cloud.upload_task(tuned_spec(customization=customization))
    # When 27 records are asked for, 20 of which would be set aside, it is told; when 28, they are made
    too_few = finished(cloud, request(cloud, asked(count=27)))
    assert "count: 27; at least 28 are needed" in too_few.reasons[0]
    enough = finished(cloud, request(cloud, asked(count=28), "requests/clip-search/second.yaml"))
    assert len(dataset(cloud, enough)) == 28
    cloud.settle()
    assert State.ACCEPTED in cloud.states(enough.run_id)


def test_labels_that_are_too_few_for_a_run_make_no_dataset(cloud: Cloud) -> None:
    # Given a teacher that has an answer for 110 of 120 queries
    cloud.upload_task(embedded_spec())
    refused: set[str] = set()

    def says(model: str, prompt: str, query: str) -> str:
        if len(refused) < 10:
            refused.add(query)
        return "No." if query in refused else right_answer(model, prompt, query)

    cloud.bedrock.says = says
    generation = finished(cloud, request(cloud, asked(balance=None)))
    assert generation.state is GenerationState.FAILED
    assert generation.failure is not None
    assert "110 labelled queries are left, at least 120 are needed, of which 20" in generation.failure.reason

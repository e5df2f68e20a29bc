"""A request that is dropped becomes a dataset that is dropped, whatever happens on the way."""

import json
from collections import Counter
from collections.abc import Callable
from typing import Any
from unittest import mock

import pytest
import yaml

from signalbox.generation import Generation, GenerationState
from signalbox.run import State, run_id_for
from tests.builders import (
    MANNERS,
    OPENINGS,
    PLACES,
    PROMPT,
    QUERIES,
    batch_ended,
    client_error,
    dataset_object,
    embedded_spec,
    labelled,
    prompts,
    spec,
    tuned_spec,
    weights_text,
)
from tests.integration.cloud import Cloud
from tests.scripted_bedrock import right_answer
from tests.unit.template.stack import DATA_BUCKET

KEY = "requests/clip-search/first.yaml"
TEACHER = "us.amazon.nova-pro-v1:0"
MANY = {"place": [f"{n * 7919:x}" for n in range(1, 1500)], "manner": [*MANNERS, "backwards"]}
THINGS = ("ferry", "minaret", "orchard", "quarry", "viaduct", "windmill", "lagoon", "abbey")


def asked(**changes: Any) -> dict[str, Any]:
    """Return a request for 120 of some 700 queries."""
    leads = dict(zip(OPENINGS, ("picture", "sound", "words"), strict=True))
    return {
        "count": 120,
        "balance": "even",
        "templates": [
            {"text": f"{opening} {{place}} {{manner}}", "leads": leads[opening]} for opening in OPENINGS
        ],
        "slots": {"place": [*PLACES, *THINGS], "manner": [*MANNERS, "backwards", "without a break"]},
    } | changes


def request(cloud: Cloud, content: dict[str, Any], key: str = KEY) -> str:
    """Upload a request and return the id of the generation that it starts."""
    put = cloud.s3.put_object(Bucket=DATA_BUCKET, Key=key, Body=yaml.safe_dump(content).encode())
    return run_id_for(dataset_object(bucket=DATA_BUCKET, key=key, version_id=put["VersionId"]))


def finished(cloud: Cloud, generation_id: str, minutes: int = 6) -> Generation:
    """Let time pass until a generation is over, and return it."""
    cloud.settle()
    for _ in range(minutes):
        if state_of(cloud, generation_id).state.ended:
            break
        cloud.minute()
    return state_of(cloud, generation_id)


def state_of(cloud: Cloud, generation_id: str) -> Generation:
    """Return a generation that is there."""
    generation = cloud.pipeline().generations.load(generation_id)
    assert generation is not None
    return generation


def dataset(cloud: Cloud, generation: Generation) -> list[dict[str, Any]]:
    """Return the records of the dataset that was made."""
    content = cloud.s3.get_object(Bucket=DATA_BUCKET, Key=generation.dataset_key)["Body"].read()
    return [json.loads(line) for line in content.splitlines()]


def report(cloud: Cloud, generation: Generation) -> dict[str, Any]:
    """Return what is said of a generation."""
    key = f"generations/{generation.id}/report.json"
    return json.loads(cloud.s3.get_object(Bucket=DATA_BUCKET, Key=key)["Body"].read())


def history(generation: Generation) -> list[str]:
    """Return the states through which a generation went."""
    return [moment.state.value for moment in generation.history]


def test_a_request_becomes_a_balanced_dataset_and_a_run(cloud: Cloud) -> None:
    # Given a task with a rich prompt for its teacher
    cloud.upload_task(embedded_spec(teacher_prompt="Weigh it well."))
    # When a request is dropped
    generation = finished(cloud, request(cloud, asked()))
    # Then the teacher was asked in a batch, with the rich prompt, and the records have the short one
    assert history(generation) == ["REQUESTED", "LABELLING", "COMPLETED"]
    (job,) = cloud.bedrock.batches.values()
    assert job["request"]["modelId"] == TEACHER
    assert job["request"]["modelInvocationType"] == "Converse"
    records = dataset(cloud, generation)
    assert len(records) == 120
    assert {record["system"][0]["text"] for record in records} == {PROMPT}
    # And each signal leads in a third, and the run has started by itself
    assert report(cloud, generation)["shares"] == pytest.approx(
        {"picture": 1 / 3, "sound": 1 / 3, "words": 1 / 3}, abs=1e-3
    )
    assert cloud.finish(generation.run_id).state is State.PROMOTED


def test_no_golden_query_is_made(cloud: Cloud) -> None:
    cloud.upload_task(embedded_spec(), golden=labelled(QUERIES[:60]))
    content = asked(slots={"place": [*PLACES], "manner": [*MANNERS]}, count=100, balance=None)
    generation = finished(cloud, request(cloud, content))
    # Of 150 queries 60 are golden, so there are not enough
    assert generation.state is GenerationState.REJECTED
    assert "at least 100 are needed" in generation.reasons[0]
    assert "'held_out': 60" in generation.reasons[0]


def test_no_query_of_the_tasks_own_validation_set_is_made(cloud: Cloud) -> None:
    # Given a task that is fine-tuned, and comes with a validation set
    customization = tuned_spec()["customization"] | {"teacher": TEACHER}
    cloud.upload_task(tuned_spec(customization=customization))
    validation = labelled(QUERIES[:60])
    cloud.s3.put_object(Bucket=DATA_BUCKET, Key="tasks/clip-search/validation.jsonl", Body=validation)
    # When queries are made of which all of it could be
    content = asked(slots={"place": [*PLACES], "manner": [*MANNERS]}, count=70, balance=None)
    generation = finished(cloud, request(cloud, content))
    # Then none is, so that the run trains on all that was paid for, but for its golden set
    assert report(cloud, generation)["left_out"]["held_out"] > 0
    counts = cloud.read(cloud.finish(generation.run_id).id, "validation.json")["counts"]
    assert counts["validation"] == 60
    assert counts["train"] + counts["golden"] == counts["records"] == 70


def test_a_validation_set_that_cannot_be_used_rejects_a_request_before_anything_is_paid(cloud: Cloud) -> None:
    customization = tuned_spec()["customization"] | {"teacher": TEACHER}
    cloud.upload_task(tuned_spec(customization=customization))
    cloud.s3.put_object(
        Bucket=DATA_BUCKET, Key="tasks/clip-search/validation.jsonl", Body=prompts(QUERIES[:9])
    )
    generation = finished(cloud, request(cloud, asked()))
    assert generation.state is GenerationState.REJECTED
    assert "tasks/clip-search/validation.jsonl cannot be used" in generation.reasons[0]


def test_a_request_that_says_so_is_answered_one_by_one(cloud: Cloud) -> None:
    cloud.upload_task(embedded_spec())
    generation = finished(cloud, request(cloud, asked(labelling={"mode": "converse"})))
    assert generation.state is GenerationState.COMPLETED
    assert cloud.bedrock.batches == {}
    assert {model for model, _, _ in cloud.bedrock.asked} == {TEACHER}


def test_events_that_come_twice_make_one_dataset(cloud: Cloud) -> None:
    cloud.upload_task(embedded_spec())
    cloud.deliveries = 2
    generation = finished(cloud, request(cloud, asked()))
    assert generation.state is GenerationState.COMPLETED
    assert len(cloud.runs.of_task("clip-search")) == 1
    assert len(cloud.bedrock.batches) == 1


@pytest.mark.parametrize("lost", ["Object Created", "Batch Inference Job State Change"])
def test_a_lost_event_is_healed_by_watch(cloud: Cloud, lost: str) -> None:
    cloud.upload_task(embedded_spec())
    cloud.lose(lost)
    generation_id = request(cloud, asked())
    cloud.settle()
    cloud.minute(3)
    assert state_of(cloud, generation_id).state is GenerationState.COMPLETED


@pytest.mark.parametrize("ended", ["PartiallyCompleted", "Expired"])
def test_what_a_job_has_answered_is_kept_and_the_rest_asked_again(cloud: Cloud, ended: str) -> None:
    # Given a job that answers two of three records
    cloud.upload_task(embedded_spec())
    cloud.bedrock.batch_ends, cloud.bedrock.batch_answers = (ended, ""), lambda place: place % 3 > 0
    # When it is over, fewer than a hundred are missing: they are asked one by one
    generation = finished(cloud, request(cloud, asked()))
    assert history(generation) == ["REQUESTED", "LABELLING", "RETRYING", "COMPLETED"]
    assert (
        f"50 of 150 answers cannot be used; they are asked for again; batch job {ended}"
        in generation.history[2].note
    )
    assert len(cloud.bedrock.asked) == 50
    assert report(cloud, generation)["counts"]["labelled"] == 150


def test_a_job_that_somebody_stops_is_not_begun_again_and_what_it_answered_is_kept(cloud: Cloud) -> None:
    cloud.upload_task(embedded_spec())
    cloud.bedrock.batch_ends, cloud.bedrock.batch_answers = ("Stopped", ""), lambda place: place % 3 > 0
    generation = finished(cloud, request(cloud, asked()))
    assert generation.state is GenerationState.FAILED
    assert generation.failure.reason == f"somebody has stopped the batch job {generation.id}-labels-1"
    assert f"generations/{generation.id}/labels-1/" in generation.failure.remedy
    assert cloud.store.folder("generations").names(generation.id, "labels-1/output/", ".jsonl.out")
    assert cloud.bedrock.asked == []
    assert len(cloud.bedrock.batches) == 1
    # And what it had answered was paid for
    found = report(cloud, generation)
    assert found["counts"] == {"queries": 150, "labelled": 100, "without_answer": 50, "disagreeing": 0}
    assert "usd" in found["cost"]


def test_what_cannot_be_labelled_twice_is_reported(cloud: Cloud) -> None:
    # Given a teacher that never answers some queries with anything but prose
    cloud.upload_task(embedded_spec())
    prose: Callable[..., str] = lambda model, prompt, query: (  # noqa: E731
        "Well, " + right_answer(model, prompt, query)
        if query.endswith("again")
        else right_answer(model, prompt, query)
    )
    cloud.bedrock.says = prose
    generation = finished(cloud, request(cloud, asked()))
    found = report(cloud, generation)
    assert found["counts"]["without_answer"] > 0
    assert found["faults"] == {"not a JSON object and nothing else": found["counts"]["without_answer"]}
    assert not any(
        record["messages"][0]["content"][0]["text"].endswith("again") for record in dataset(cloud, generation)
    )


def test_a_teacher_that_answers_nothing_of_use_fails_the_generation_with_what_to_do(cloud: Cloud) -> None:
    cloud.upload_task(embedded_spec())
    cloud.bedrock.says = lambda *_: "No."
    generation = finished(cloud, request(cloud, asked()))
    assert generation.state is GenerationState.FAILED
    assert generation.failure is not None
    assert "0 labelled queries are left" in generation.failure.reason
    assert "teacher_prompt" in generation.failure.remedy
    assert cloud.runs.of_task("clip-search") == []


def test_a_failed_job_is_tried_again_and_then_told(cloud: Cloud) -> None:
    cloud.upload_task(embedded_spec())
    cloud.bedrock.batch_ends = ("Failed", "no capacity")
    generation = finished(cloud, request(cloud, asked()))
    assert history(generation) == ["REQUESTED", "LABELLING", "RETRYING", "FAILED"]
    assert len(cloud.bedrock.batches) == 2
    assert generation.failure is not None and "batch job Failed: no capacity" in generation.failure.reason


def test_a_refused_job_fails_the_generation(cloud: Cloud) -> None:
    cloud.upload_task(embedded_spec())
    cloud.bedrock.refuse("CreateModelInvocationJob", "ValidationException", "no batch for this model")
    generation = finished(cloud, request(cloud, asked()))
    assert generation.state is GenerationState.FAILED
    assert generation.failure is not None and "mode: converse" in generation.failure.remedy


def test_a_quota_makes_it_wait(cloud: Cloud) -> None:
    cloud.upload_task(embedded_spec())
    cloud.bedrock.refuse("CreateModelInvocationJob", "ServiceQuotaExceededException", "too many jobs")
    generation_id = request(cloud, asked())
    cloud.settle()
    assert "too many jobs" in state_of(cloud, generation_id).waiting
    assert finished(cloud, generation_id).state is GenerationState.COMPLETED


def test_what_does_not_fit_one_invocation_goes_on_in_the_next(cloud: Cloud) -> None:
    cloud.upload_task(embedded_spec())
    with mock.patch("signalbox.asking.AT_WORK_SECONDS", 0):
        generation_id = request(cloud, asked(labelling={"mode": "converse"}))
        cloud.settle()
    assert state_of(cloud, generation_id).state is GenerationState.COMPLETED
    assert cloud.invoked["generate"] > 2
    assert len(cloud.bedrock.asked) == 150


def test_throttling_keeps_the_answers_that_came(cloud: Cloud) -> None:
    # Given a teacher that is throttled at its 131st answer
    cloud.upload_task(embedded_spec())
    errors = [client_error("ThrottlingException", "slow down", "Converse")]

    def throttled(model: str, prompt: str, query: str) -> str:
        if len(cloud.bedrock.asked) > 130 and errors:
            raise errors.pop()
        return right_answer(model, prompt, query)

    cloud.bedrock.says = throttled
    generation = finished(cloud, request(cloud, asked(labelling={"mode": "converse"})))
    # Then no query is asked again but the one that was not answered
    assert generation.state is GenerationState.COMPLETED
    times = Counter(query for _, _, query in cloud.bedrock.asked)
    assert sorted(times.values())[-2:] == [1, 2]


def test_a_teacher_that_disagrees_with_itself_is_measured_and_its_doubts_left_out(cloud: Cloud) -> None:
    # Given a teacher that changes its mind about markets
    cloud.upload_task(embedded_spec())
    answers = iter(range(10_000))

    def wavering(model: str, prompt: str, query: str) -> str:
        if "market" in query:
            return weights_text(1, 0, 0) if next(answers) % 2 else weights_text(0, 0, 1)
        return right_answer(model, prompt, query)

    cloud.bedrock.says = wavering
    generation = finished(cloud, request(cloud, asked(labelling={"samples": 2})))
    found = report(cloud, generation)
    disagreeing = found["counts"]["disagreeing"]
    assert disagreeing > 0
    assert found["noise"] == pytest.approx(disagreeing * 2 / 3 / found["counts"]["labelled"])
    assert not any(
        "market" in record["messages"][0]["content"][0]["text"] for record in dataset(cloud, generation)
    )


def test_a_prompt_only_dataset_is_labelled_by_the_same_machinery(cloud: Cloud) -> None:
    # Given prompts without answers that lie beside a request
    cloud.upload_task(embedded_spec())
    cloud.s3.put_object(Bucket=DATA_BUCKET, Key="requests/clip-search/real.jsonl", Body=prompts())
    generation = finished(cloud, request(cloud, {"count": 150, "queries": "real.jsonl"}))
    # Then they have answers, and the embedded student learns from them
    records = dataset(cloud, generation)
    assert all(len(record["messages"]) == 2 for record in records)
    assert cloud.finish(generation.run_id).state is State.PROMOTED


def writer(cloud: Cloud, prose_every: int = 0) -> list[dict[str, Any]]:
    """Let the teacher write queries, every so often with prose around them; return the briefs that it gets."""
    briefs: list[dict[str, Any]] = []

    def says(model: str, prompt: str, query: str) -> str:
        if not prompt.startswith("You write search queries"):
            return right_answer(model, prompt, query)
        briefs.append(json.loads(query))
        number, openings = len(briefs), list(OPENINGS)
        texts = [f"{openings[n % 3]} {(number * 41 + n) * 7919:x}" for n in range(briefs[-1]["queries"])]
        prose = prose_every and number % prose_every == 0
        return "Gladly! " * prose + json.dumps(texts)

    cloud.bedrock.says = says
    return briefs


def test_the_teacher_writes_queries_of_every_level_and_language(cloud: Cloud) -> None:
    # Given a description and seeds instead of templates
    cloud.upload_task(embedded_spec())
    briefs = writer(cloud, prose_every=4)
    content = {"count": 300, "description": "clips", "seeds": ["a speech about the moon"], "levels": ["easy", "hard"],
               "languages": ["English", "Welsh"]}  # fmt: skip
    # When the request is done
    generation = finished(cloud, request(cloud, content))
    # Then it was asked for each, and what it wrapped in prose is counted and left out
    assert generation.state is GenerationState.COMPLETED
    assert {(brief["kind"], brief["language"]) for brief in briefs} == {
        (level, language) for level in ("easy", "hard") for language in ("English", "Welsh")
    }
    assert all(brief["examples"] == ["a speech about the moon"] for brief in briefs)
    assert report(cloud, generation)["left_out"]["unreadable_answers"] == len(briefs) // 4
    assert len(dataset(cloud, generation)) == 300
    # And the report says how many queries came of each
    counted = report(cloud, generation)["written_for"]
    assert set(counted["kind"]) == {"easy", "hard"}
    assert set(counted["language"]) == {"English", "Welsh"}
    assert sum(counted["kind"].values()) == sum(counted["language"].values()) == 300


def test_every_edge_case_has_its_turn_however_many_there_are(cloud: Cloud) -> None:
    # Given more edge cases than answers of the usual size would be asked for
    cloud.upload_task(embedded_spec())
    briefs = writer(cloud)
    cases = [f"case {number}" for number in range(15)]
    generation = finished(cloud, request(cloud, {"count": 120, "description": "clips", "edge_cases": cases}))
    # Then each is asked for, and has queries
    assert {brief["kind"] for brief in briefs} == set(cases)
    assert set(report(cloud, generation)["written_for"]["kind"]) == set(cases)


def test_a_teacher_without_ideas_is_not_asked_for_ever(cloud: Cloud) -> None:
    cloud.upload_task(embedded_spec())
    cloud.bedrock.says = lambda *_: '["always the same", 7]'
    generation = finished(cloud, request(cloud, {"count": 120, "description": "clips"}))
    assert generation.state is GenerationState.REJECTED
    assert "1 queries could be made" in generation.reasons[0]
    assert cloud.bedrock.calls["Converse"] <= 24


def test_answers_that_came_before_a_throttle_are_not_asked_for_again(cloud: Cloud) -> None:
    cloud.upload_task(embedded_spec())
    briefs = writer(cloud)
    cloud.bedrock.refuse("Converse", "ThrottlingException")
    generation = finished(cloud, request(cloud, {"count": 150, "description": "clips"}))
    assert generation.state is GenerationState.COMPLETED
    assert len(briefs) == 8


def test_a_teacher_that_may_not_be_asked_fails_the_generation(cloud: Cloud) -> None:
    cloud.upload_task(embedded_spec())
    cloud.bedrock.refuse("Converse", "AccessDeniedException", times=8)
    generation = finished(cloud, request(cloud, {"count": 150, "description": "clips"}))
    assert generation.state is GenerationState.FAILED
    assert generation.failure is not None and generation.failure.step == "write"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"count": 5, "description": "clips"}, "line 1: count: must be 100 to 15,000"),
        ({"count": 150, "queries": "nowhere.txt"}, "nowhere.txt does not lie beside it"),
        (asked(count=6_000, labelling={"samples": 9}, slots=MANY), "answers would be asked for"),
    ],
)
def test_a_request_that_cannot_be_done_is_rejected_with_the_reason(
    cloud: Cloud, content: dict[str, Any], reason: str
) -> None:
    cloud.upload_task(embedded_spec())
    generation = finished(cloud, request(cloud, content))
    assert generation.state is GenerationState.REJECTED
    assert reason in generation.reasons[0]
    assert cloud.bedrock.calls.total() == 0


@pytest.mark.parametrize("key", ["requests/unknown/first.yaml", "requests/Not A Task/first.yaml"])
def test_a_request_of_no_task_is_rejected(cloud: Cloud, key: str) -> None:
    generation = finished(cloud, request(cloud, asked(), key))
    assert generation.state is GenerationState.REJECTED


def test_a_batch_job_of_somebody_else_is_none_of_ours(cloud: Cloud) -> None:
    cloud.upload_task(spec())
    cloud.announce(batch_ended("nightly-report", "Completed"))
    cloud.settle()
    assert cloud.crashes == []


def test_a_generation_that_never_comes_on_is_ended(cloud: Cloud) -> None:
    # Given a generation whose job has been at work for four days
    cloud.upload_task(embedded_spec())
    cloud.bedrock.batch_ends = ("InProgress", "")
    generation_id = request(cloud, asked())
    cloud.settle()
    item = cloud.table.get_item(Key={"id": f"GENERATION#{generation_id}"})["Item"]
    for moment in item["history"]:
        moment["at"] = "2020-01-01T00:00:00Z"
    cloud.table.put_item(Item=item)
    # When watch looks, it is over
    cloud.watch()
    generation = state_of(cloud, generation_id)
    assert generation.state is GenerationState.FAILED
    assert list(cloud.pipeline().generations.open()) == []

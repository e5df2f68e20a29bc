"""A dataset without answers is labelled by the teacher before its run goes on, if its task says so."""

import json
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest

from signalbox import validate
from signalbox.generation import Generation
from signalbox.release import Expense
from signalbox.run import Run, State
from tests.builders import (
    PROMPT,
    QUERIES,
    embedded_spec,
    labelled,
    line,
    prompts,
    spec,
    truth,
    weights_text,
)
from tests.integration.cloud import Cloud
from tests.unit.template.stack import DATA_BUCKET

TEACHER = "us.amazon.nova-pro-v1:0"


def task_with(content: dict[str, Any], **dataset: Any) -> dict[str, Any]:
    """Return a task whose teacher labels, as far as its dataset section says so."""
    return content | {"teacher_prompt": "Weigh it well.", "dataset": {"label": "auto"} | dataset}


def train(cloud: Cloud, run: Run) -> list[dict[str, Any]]:
    """Return the records that a run trained on."""
    return [json.loads(text) for text in cloud.read(run.id, "train.jsonl").splitlines()]


def test_a_dataset_of_prompts_is_labelled_and_its_run_goes_on(cloud: Cloud) -> None:
    # Given a task for the embedded student alone, which cannot learn from prompts
    cloud.upload_task(task_with(embedded_spec()))
    # When a dataset of nothing but prompts is dropped
    run = cloud.finish(cloud.drop(prompts()))
    # Then the run waited for the teacher's answers, and said before what they would cost
    assert cloud.states(run.id)[:3] == [State.RECEIVED, State.LABELLING, State.ACCEPTED]
    assert "150 of 150 records have no answer" in run.history[1].note
    assert "estimate $0.0" in run.history[1].note
    # And the teacher was asked each query with its rich prompt, in a batch, and the records have the short one
    (job,) = cloud.bedrock.batches.values()
    assert job["request"]["modelId"] == TEACHER
    assert {record["system"][0]["text"] for record in train(cloud, run)} == {PROMPT}
    assert all(len(record["messages"]) == 2 for record in train(cloud, run))
    # And the run went live, and says what the labels were
    assert run.state is State.PROMOTED
    assert cloud.read(run.id, "validation.json")["labelling"]["counts"]["labelled"] == 150


def test_a_given_answer_is_kept(cloud: Cloud) -> None:
    # Given some records with answers that the teacher would not give, one of them of a query that also stands alone
    given = weights_text(0.25, 0.25, 0.5)
    cloud.upload_task(task_with(embedded_spec(gates={"mae": 1.0}), label=True))
    mixed = labelled(QUERIES[:40], lambda _: given) + line(QUERIES[0]) + prompts(QUERIES[40:])
    run = cloud.finish(cloud.drop(mixed, trains=True))
    # Then the teacher was asked the others alone, and the answers stand as they were
    assert run.state is State.PROMOTED
    assert cloud.read(run.id, "validation.json")["labelling"]["counts"]["queries"] == 110
    records = train(cloud, run) + [
        json.loads(text) for text in cloud.read(run.id, "golden.jsonl").splitlines()
    ]
    answers = Counter(
        record["messages"][1]["content"][0]["text"] == given
        for record in records
        if record["messages"][0]["content"][0]["text"] in QUERIES[:40] and len(record["messages"]) == 2
    )
    assert answers == {True: 40}


def test_auto_asks_nothing_if_the_student_can_learn_from_what_is_labelled(cloud: Cloud) -> None:
    cloud.upload_task(task_with(embedded_spec()))
    run = cloud.finish(cloud.drop(labelled(QUERIES[:135]) + prompts(QUERIES[135:])))
    assert run.state is State.PROMOTED
    assert State.LABELLING not in cloud.states(run.id)
    assert cloud.bedrock.batches == {}


def test_nothing_is_labelled_unless_the_task_says_so(cloud: Cloud) -> None:
    cloud.upload_task(embedded_spec())
    run = cloud.finish(cloud.drop(prompts()))
    assert run.state is State.REJECTED
    assert cloud.bedrock.batches == {}
    assert any("dataset.label" in reason for reason in run.summary["reasons"])


def test_a_dataset_that_is_unusable_costs_nothing(cloud: Cloud) -> None:
    cloud.upload_task(task_with(embedded_spec()))
    run = cloud.finish(cloud.drop(prompts() + b"no record\n" * 20))
    assert run.state is State.REJECTED
    assert State.LABELLING not in cloud.states(run.id)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (weights_text(0.5, 0.3, 0.2, reasoning="why " * 250), "are longer than customization"),
        (weights_text(0.5, 0.3, 0.2), "have one and the same answer"),
    ],
)
def test_a_dataset_that_no_answer_could_save_costs_nothing(cloud: Cloud, answer: str, reason: str) -> None:
    # Given 110 answers that cannot be used, which the 40 that the teacher could add do not make up for
    cloud.upload_task(task_with(spec(), label=True, max_constant_share=0.7))
    run = cloud.finish(cloud.drop(labelled(QUERIES[:110], lambda query: answer) + prompts(QUERIES[110:])))
    assert run.state is State.REJECTED
    assert reason in run.reason
    assert (cloud.bedrock.asked, cloud.bedrock.batches) == ([], {})


def test_golden_queries_of_the_task_are_not_paid_for(cloud: Cloud) -> None:
    cloud.upload_task(task_with(embedded_spec()), golden=labelled(QUERIES[:30]))
    run = cloud.finish(cloud.drop(prompts()))
    assert run.state is State.PROMOTED
    assert cloud.read(run.id, "validation.json")["labelling"]["counts"]["queries"] == 120


def test_beyond_the_budget_a_person_releases_it(cloud: Cloud) -> None:
    # Given a budget that the labels may exceed
    cloud.upload_task(task_with(embedded_spec(), budget_usd=0.01))
    run_id = cloud.drop(prompts())
    cloud.settle()
    cloud.minute()
    # Then the run waits, with the figures, and nothing was asked
    run = cloud.run(run_id)
    assert run.state is State.RECEIVED
    assert run.awaits is not None
    assert "150 answers of us.amazon.nova-pro-v1:0 may cost" in run.awaits.reason
    assert cloud.bedrock.batches == {}
    # When a person releases it, it goes on
    cloud.ask("ReleaseRequested", run_id=run_id, by="ada")
    assert cloud.finish(run_id).state is State.PROMOTED


def test_how_long_it_waits_for_that_is_its_tasks_to_say(cloud: Cloud) -> None:
    cloud.upload_task(task_with(embedded_spec(patience={"release_end_hours": 48}), budget_usd=0.01))
    run_id = cloud.drop(prompts())
    cloud.settle()
    cloud.age(run_id, timedelta(hours=49))
    cloud.watch()
    ended = cloud.run(run_id)
    assert (ended.state, ended.failure.reason) == (State.FAILED, "nobody released the labelling in 2 days")
    assert cloud.bedrock.batches == {}


def test_a_teacher_that_fails_fails_the_run_with_what_to_do(cloud: Cloud) -> None:
    cloud.upload_task(task_with(embedded_spec()))
    cloud.bedrock.says = lambda *_: "No."
    run = cloud.finish(cloud.drop(prompts()))
    assert run.state is State.FAILED
    assert run.failure is not None
    assert run.failure.step == "label"
    assert "answered none of the queries" in run.failure.reason
    # And people are told once of the end, by the run
    subjects = [subject for subject, _ in cloud.mails()]
    assert sum(subject.startswith("FAILED") for subject in subjects) == 1


def test_what_the_teacher_cannot_answer_stays_without(cloud: Cloud) -> None:
    cloud.upload_task(task_with(spec(judge=None)))
    cloud.bedrock.says = lambda model, prompt, query: (
        "No." if model == TEACHER and query.endswith("again") else truth(query)
    )
    run = cloud.finish(cloud.drop(prompts(), trains=True))
    assert run.state is State.PROMOTED
    assert cloud.read(run.id, "validation.json")["counts"]["prompt_only"] == 30


@pytest.mark.parametrize("lost", ["GenerationNudged", "RunNudged", "Batch Inference Job State Change"])
def test_a_lost_event_is_healed(cloud: Cloud, lost: str) -> None:
    cloud.upload_task(task_with(embedded_spec()))
    cloud.lose(lost)
    assert cloud.finish(cloud.drop(prompts())).state is State.PROMOTED


def test_events_that_come_twice_label_once(cloud: Cloud) -> None:
    cloud.upload_task(task_with(embedded_spec()))
    cloud.deliveries = 2
    assert cloud.finish(cloud.drop(prompts())).state is State.PROMOTED
    assert len(cloud.bedrock.batches) == 1
    assert len(cloud.runs.of_task("clip-search")) == 1


def test_later_edits_of_the_task_do_not_touch_a_run_that_waits_for_its_labels(cloud: Cloud) -> None:
    cloud.upload_task(task_with(embedded_spec()))
    run_id = cloud.drop(prompts())
    cloud.settle()
    cloud.upload_task(embedded_spec(prompt="Something else."))
    run = cloud.finish(run_id)
    assert run.state is State.PROMOTED
    assert {record["system"][0]["text"] for record in train(cloud, run)} == {PROMPT}


def test_lines_that_cannot_be_used_keep_their_numbers(cloud: Cloud) -> None:
    cloud.upload_task(task_with(embedded_spec()))
    run = cloud.finish(cloud.drop(prompts(QUERIES[:70]) + b"no record\n" + prompts(QUERIES[70:])))
    assert run.state is State.PROMOTED
    assert [problem["line"] for problem in cloud.read(run.id, "validation.json")["problems"]] == [71]


def test_a_dataset_that_is_gone_fails_the_run(cloud: Cloud) -> None:
    cloud.upload_task(task_with(embedded_spec()))
    cloud.lose("GenerationNudged")
    run_id = cloud.drop(prompts())
    cloud.settle()
    for version in list(cloud.store.versions("datasets/")):
        cloud.s3.delete_object(Bucket=DATA_BUCKET, Key=version.key, VersionId=version.version_id)
    run = cloud.finish(run_id)
    assert run.state is State.FAILED
    assert run.failure is not None and "drop the dataset again" in run.failure.remedy


def held(cloud: Cloud, **dataset: Any) -> str:
    """Drop a dataset whose labels a budget holds, and return the id of its run, which waits."""
    cloud.upload_task(task_with(embedded_spec(), budget_usd=0.01, **dataset))
    run_id = cloud.drop(prompts())
    cloud.settle()
    assert cloud.run(run_id).awaits is not None
    return run_id


def asked_of(cloud: Cloud, run_id: str) -> Generation:
    generation = cloud.pipeline().generations.load(run_id)
    assert generation is not None
    return generation


def test_a_release_is_of_what_was_priced(cloud: Cloud) -> None:
    # Given a run that waits, with a price for answers of 200 tokens at most
    run_id = held(cloud)
    priced = cloud.run(run_id).awaits.usd["at_most"]
    # When its task is pushed again with answers of twenty times that, before a person releases it
    dear = embedded_spec()
    dear["customization"] = dear["customization"] | {"max_response_tokens": 4000}
    cloud.upload_task(task_with(dear, budget_usd=0.01))
    cloud.ask("ReleaseRequested", run_id=run_id, by="ada")
    # Then what is done is what was released
    run = cloud.finish(run_id)
    assert run.state is State.PROMOTED
    assert asked_of(cloud, run_id).summary["estimate"]["at_most_usd"] == pytest.approx(priced)
    assert cloud.read(run_id, "task.json")["customization"]["max_response_tokens"] == 200


def test_a_golden_set_that_goes_after_the_pricing_makes_nothing_dearer(cloud: Cloud) -> None:
    golden = f"tasks/{embedded_spec()['name']}/golden.jsonl"
    cloud.s3.put_object(Bucket=DATA_BUCKET, Key=golden, Body=labelled(QUERIES[:30]))
    run_id = held(cloud)
    cloud.s3.delete_object(Bucket=DATA_BUCKET, Key=golden)
    cloud.ask("ReleaseRequested", run_id=run_id, by="ada")
    cloud.finish(run_id)
    assert asked_of(cloud, run_id).summary["counts"]["queries"] == 120


def test_no_more_is_asked_than_was_estimated(cloud: Cloud) -> None:
    # Given a live run, on whose golden set a dataset of nothing but prompts is measured
    cloud.upload_task(embedded_spec())
    cloud.finish(cloud.drop(labelled()))
    cloud.upload_task(task_with(embedded_spec()))
    # When prompts are dropped, of which the golden ones need no answer
    run_id = cloud.drop(prompts())
    run = cloud.finish(run_id)
    (note,) = (moment.note for moment in run.history if moment.state is State.LABELLING)
    # Then the teacher is asked as many as the run said it would be
    said = asked_of(cloud, run_id).summary
    assert 0 < said["counts"]["queries"] < 150
    assert f"is asked {said['counts']['queries']:,} queries" in note


def test_a_late_duplicate_does_not_put_a_released_run_back_to_waiting(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a second delivery of the dataset's event, still at work while the run is held and released
    cloud.upload_task(task_with(embedded_spec(), budget_usd=0.01))
    examine = validate.examine

    def overtaken(*arguments: Any) -> Any:
        monkeypatch.setattr(validate, "examine", examine)
        (run,) = cloud.runs.of_task("clip-search")
        validate.validate(run.id, cloud.pipeline())
        cloud.lose("RunNudged")
        cloud.ask("ReleaseRequested", run_id=run.id, by="ada")
        cloud.settle()
        return examine(*arguments)

    monkeypatch.setattr(validate, "examine", overtaken)
    run_id = cloud.drop(prompts())
    cloud.settle()
    # Then it stays released
    run = cloud.run(run_id)
    assert (run.awaits, run.released) == (None, [Expense.LABELLING])
    cloud.age(run_id, timedelta(minutes=10))
    assert cloud.finish(run_id).state is State.PROMOTED
    assert len(cloud.published("ReleaseAwaited")) == 1

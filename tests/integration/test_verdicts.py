"""The gates decide: held models do not go live, and each says why; better ones replace what is live."""

import json

import pytest

from signalbox.run import Run, State
from signalbox.run_table import Superseded
from signalbox.store import STUDENT
from signalbox.transactions import Transactions
from tests.builders import (
    QUERIES,
    embedded_spec,
    labelled,
    pipeline_event,
    prompts,
    spec,
    truth,
    weights_text,
)
from tests.integration.cloud import Cloud
from tests.integration.ended_runs import WRONG
from tests.scripted_bedrock import right_answer
from tests.unit.template.stack import DATA_BUCKET

OPENINGS = ("ships turning in the", "bells ringing over the")
OWN_GOLDEN = labelled([f"{opening} lake {number}" for opening in OPENINGS for number in range(15)])


def gates(cloud: Cloud, run_id: str) -> dict[str, bool]:
    return {gate["name"]: gate["passed"] for gate in cloud.read(run_id, "metrics.json")["gates"]}


def test_a_model_below_a_gate_is_held_and_what_is_live_stays_live(cloud: Cloud) -> None:
    # Given a live model
    cloud.upload_task(spec())
    first = cloud.finish(cloud.drop(labelled())).id
    cloud.mails()
    # When a second dataset makes a model whose answers are often wrong
    answers = iter(range(10**6))
    cloud.bedrock.says = lambda model, prompt, query: (
        WRONG if "deployment/" in model and next(answers) % 2 else truth(query)
    )
    held = cloud.finish(cloud.drop(labelled()))
    # Then it is held with each reason, in the run, the event and the mail
    assert held.state is State.HELD
    assert "mae: " in held.reason
    assert "dominant_share: " in held.reason
    ((subject, text),) = cloud.mails()
    assert subject.startswith("HELD clip-search: mae, ")
    assert "mae: " in text
    summary = cloud.published("ModelHeld")[0]["detail"]["summary"]
    assert summary["gates"]
    # And with its numbers beside those of the live model on the same golden set
    assert summary["live"]["run_id"] == first
    assert summary["live"]["metrics"]["mae"] == pytest.approx(summary["metrics"]["mae"], abs=0.1)
    assert summary["compared_with_live"]["queries"] > 0
    assert "this model" in text
    assert "live when measured" in text
    # And the first is still live
    assert cloud.live().run_id == first


def test_a_model_that_talks_around_its_json_is_held_for_its_valid_share(cloud: Cloud) -> None:
    cloud.upload_task(spec(judge=None))
    cloud.bedrock.says = lambda model, prompt, query: (
        f"Sure! {truth(query)}" if "deployment/" in model and "mill" in query else truth(query)
    )
    run_id = cloud.finish(cloud.drop(labelled())).id
    verdicts = {"min_golden": True, "valid_share": False, "mae": True, "dominant_share": True}
    assert gates(cloud, run_id) == verdicts
    assert cloud.live() is None


@pytest.mark.parametrize(
    ("grade", "measured", "state"),
    [
        (lambda line: 8.0, {"mean": 4.0, "scale": "raw", "null": 0}, State.PROMOTED),
        (lambda line: 4.0, {"mean": 2.0, "scale": "raw", "null": 0}, State.HELD),
        (lambda line: 0.9, {"mean": pytest.approx(4.6), "scale": "normalised", "null": 0}, State.PROMOTED),
        (lambda line: 1.0, {"mean": 5.0, "scale": "normalised", "null": 0}, State.PROMOTED),
        (lambda line: None if "mill" in line["prompt"] else 10, {"mean": 5.0, "scale": "raw"}, State.PROMOTED),
        (lambda line: 10 if "mill" in line["prompt"] else None, {"mean": None, "scale": "raw"}, State.HELD),
        (lambda line: None, {"mean": None, "graded": 0, "null": 22}, State.HELD),
    ],
    ids=["raw", "raw and low", "normalised", "perfect", "some null", "nearly all null", "all null"],
)  # fmt: skip
def test_the_judges_grades_count_as_they_come(
    cloud: Cloud, grade: object, measured: dict, state: State
) -> None:
    cloud.upload_task(spec())
    cloud.bedrock.grade = grade
    run = cloud.finish(cloud.drop(labelled()))
    judged = cloud.read(run.id, "metrics.json")["candidates"]["bedrock"]["judge"]
    assert {name: judged[name] for name in measured} == measured
    assert run.state is state


@pytest.mark.parametrize("status", ["Failed", "Stopped"])
def test_a_judges_job_that_fails_holds_the_model_with_bedrocks_message(cloud: Cloud, status: str) -> None:
    cloud.upload_task(spec())
    cloud.bedrock.evaluation_ends = (status, "The evaluator model is not available.")
    run = cloud.finish(cloud.drop(labelled()))
    assert run.state is State.HELD
    assert (
        f"judge: not judged: the judge's job {status.lower()}: The evaluator model is not available."
        in run.reason
    )


def test_without_a_judge_no_evaluation_job_is_started(cloud: Cloud) -> None:
    cloud.upload_task(spec(judge=None))
    assert cloud.finish(cloud.drop(labelled())).state is State.PROMOTED
    assert cloud.bedrock.calls["CreateEvaluationJob"] == 0


def test_a_second_run_is_measured_against_the_live_one_and_replaces_it(cloud: Cloud) -> None:
    # Given a live model, and the same task with another prompt
    cloud.upload_task(spec())
    first = cloud.finish(cloud.drop(labelled()))
    first_pointer = cloud.live()
    cloud.upload_task(spec(prompt="Another prompt."))
    cloud.bedrock.asked.clear()
    # When a second dataset is dropped
    second = cloud.finish(cloud.drop(labelled()))
    # Then the live model was asked too, with its own prompt
    assert second.state is State.PROMOTED
    assert "live" in cloud.read(second.id, "metrics.json")["candidates"]
    assert gates(cloud, second.id)["not_worse_than_live"] is True
    asked_live = {prompt for model, prompt, _ in cloud.bedrock.asked if model == first.deployment_arn}
    assert asked_live == {spec()["prompt"]}
    # And it was replaced, and is kept for a way back
    assert cloud.live().run_id == second.id
    assert cloud.live().previous.run_id == first.id
    assert cloud.live().previous == first_pointer.as_previous()


def test_a_second_run_that_is_worse_than_the_live_one_is_held(cloud: Cloud) -> None:
    cloud.upload_task(spec(judge=None, gates={"mae": 0.2, "not_worse_than_live": 0.01}))
    first = cloud.finish(cloud.drop(labelled()))
    cloud.bedrock.says = lambda model, prompt, query: (
        weights_text(0.4, 0.3, 0.3)
        if model not in ("", first.deployment_arn) and "slowly" in query
        else truth(query)
    )
    second = cloud.finish(cloud.drop(labelled()))
    assert second.state is State.HELD
    assert second.reason.startswith("not_worse_than_live: ")
    assert cloud.live().run_id == first.id


def test_a_live_model_that_is_gone_does_not_keep_its_successor_from_going_live(cloud: Cloud) -> None:
    # Given a live model whose deployment somebody has deleted
    cloud.upload_task(spec(judge=None))
    first = cloud.finish(cloud.drop(labelled()))
    del cloud.bedrock.deployments[first.id]
    # When a second dataset is dropped
    second = cloud.finish(cloud.drop(labelled()))
    # Then it goes live, and says what it could not be compared with
    assert second.state is State.PROMOTED
    metrics = cloud.read(second.id, "metrics.json")
    assert metrics["not_compared"]["live"].endswith(f"of {first.id}: ResourceNotFoundException")
    assert gates(cloud, second.id)["not_worse_than_live"] is True
    assert "ResourceNotFoundException" in cloud.read(second.id, "report.html").decode()


def test_the_live_model_is_not_compared_on_what_it_was_trained_on(cloud: Cloud) -> None:
    # Given a live model that has learnt the very queries that are to measure its successor
    cloud.upload_task(spec(judge=None))
    first = cloud.finish(cloud.drop(labelled()))
    trained = [json.loads(line) for line in cloud.read(first.id, "train.jsonl").splitlines()]
    known = [record["messages"][0]["content"][0]["text"] for record in trained]
    cloud.upload_task(
        spec(judge=None, gates={"mae": 0.2, "not_worse_than_live": 0.0}),
        labelled(known[:25]),
    )
    cloud.bedrock.says = lambda model, prompt, query: (
        truth(query) if model == first.deployment_arn else weights_text(0.4, 0.3, 0.3)
    )
    # When the successor, which is worse, is measured on them
    second = cloud.finish(cloud.drop(labelled()))
    # Then the gate says that this tells nothing, and does not hold it
    (gate,) = (
        gate
        for gate in cloud.read(second.id, "metrics.json")["gates"]
        if gate["name"] == "not_worse_than_live"
    )
    assert gate["passed"] is True
    assert gate["reason"].startswith("not compared: only 0 golden queries")


def test_a_run_is_compared_with_the_model_that_it_replaces(cloud: Cloud) -> None:
    # Given a live model, and a second run that is about to be promoted
    cloud.upload_task(spec(judge=None))
    first = cloud.finish(cloud.drop(labelled()))
    cloud.lose("EvaluationCompleted")
    second = cloud.drop(labelled())
    cloud.settle()
    while cloud.run(second).state is not State.EVALUATED:
        cloud.bedrock.work(cloud.s3, cloud.announce)
        cloud.settle()
        cloud.invoke("deploy", pipeline_event("RunNudged", run_id=second, state="DEPLOYING"))
        cloud.settle()
    # When another goes live meanwhile
    pointer = cloud.live().model_copy(update={"run_id": f"{first.id}-other"})
    cloud.table.put_item(Item=pointer.item())
    cloud.s3.put_object(
        Bucket=DATA_BUCKET, Key=f"runs/{pointer.run_id}/train.jsonl", Body=cloud.read(first.id, "train.jsonl")
    )
    # Then the second run is compared with that one
    assert cloud.finish(second).state is State.PROMOTED
    assert cloud.read(second, "metrics.json")["compared_with_live"]["run_id"] == pointer.run_id
    assert cloud.read(second, f"predictions/live-{pointer.run_id}.jsonl")
    assert cloud.live().previous.run_id == pointer.run_id


def test_a_pointer_that_moves_while_the_gates_are_applied_is_compared_with_again(cloud: Cloud) -> None:
    # Given a live model, and a second run in whose comparison another goes live
    cloud.upload_task(spec(judge=None))
    first = cloud.finish(cloud.drop(labelled()))
    other = cloud.live().model_copy(update={"run_id": f"{first.id}-other"})
    cloud.store.put(other.run_id, "train.jsonl", cloud.read(first.id, "train.jsonl"))
    second = cloud.drop(labelled())

    def says(model: str, prompt: str, query: str) -> str:
        if model == first.deployment_arn and cloud.live().run_id == first.id:
            cloud.table.put_item(Item=other.item())
        return truth(query)

    cloud.bedrock.says = says
    # Then it replaces that one, having been compared with it
    assert cloud.finish(second).state is State.PROMOTED
    assert cloud.read(second, "metrics.json")["compared_with_live"]["run_id"] == other.run_id
    assert cloud.live().previous.run_id == other.run_id


def test_a_task_with_another_output_is_not_compared_with_the_live_one(cloud: Cloud) -> None:
    cloud.upload_task(spec(judge=None))
    cloud.finish(cloud.drop(labelled()))
    renamed = {"output": {"weights": ["image", "noise", "speech"]}, "judge": None, "gates": {}}
    cloud.upload_task(spec(**renamed, candidates=["bedrock"], compare={}))
    names = dict(zip(("picture", "sound", "words"), ("image", "noise", "speech"), strict=True))

    def answer(query: str) -> str:
        return json.dumps({names[signal]: weight for signal, weight in json.loads(truth(query)).items()})

    cloud.bedrock.says = lambda model, prompt, query: answer(query)
    second = cloud.finish(cloud.drop(labelled(answer=answer)))
    assert second.state is State.PROMOTED
    metrics = cloud.read(second.id, "metrics.json")
    assert "live" not in metrics["candidates"]
    assert metrics["not_compared"]["live"].endswith(": it answers with another output")


def test_prompts_without_answers_are_measured_on_the_tasks_golden_set(cloud: Cloud) -> None:
    # Given a task with a golden set of its own
    cloud.upload_task(spec(), golden=OWN_GOLDEN)
    # When prompts without answers are dropped
    run = cloud.finish(cloud.drop(prompts(), trains=True))
    # Then the teacher's student goes live, measured on that golden set, without an embedded student
    assert run.state is State.PROMOTED
    findings, metrics = cloud.read(run.id, "validation.json"), cloud.read(run.id, "metrics.json")
    assert findings["golden_source"] == "tasks/clip-search/golden.jsonl"
    assert (findings["counts"]["prompt_only"], metrics["golden"]) == (150, 30)
    assert "embedded" not in metrics["candidates"]
    assert cloud.live().student is False


def test_prompts_without_answers_are_measured_on_the_golden_set_of_the_live_run(cloud: Cloud) -> None:
    # Given a live model
    cloud.upload_task(spec())
    first = cloud.finish(cloud.drop(labelled()))
    # When prompts are dropped, some of them in its golden set
    second = cloud.finish(cloud.drop(prompts(), trains=True))
    # Then that golden set measures the new model as well, and has left its training data
    assert second.state is State.PROMOTED
    findings = cloud.read(second.id, "validation.json")
    assert findings["golden_source"] == f"golden set of the live run {first.id}"
    assert (findings["counts"]["leaked"], findings["counts"]["train"]) == (22, 128)
    assert cloud.read(second.id, "golden.jsonl") == cloud.read(first.id, "golden.jsonl")


def test_prompts_for_a_task_whose_embedded_student_answers_first_cost_nothing(cloud: Cloud) -> None:
    # Given a task whose first tier learns from labels, and prompts without any
    order = ["embedded", "bedrock", "prior"]
    cloud.upload_task(spec(serve={"order": order}), golden=OWN_GOLDEN)
    run = cloud.finish(cloud.drop(prompts(), trains=True))
    # Then the run fails before a job is started
    assert run.state is State.FAILED
    assert "no record is labelled" in run.failure.reason
    assert cloud.bedrock.calls["CreateModelCustomizationJob"] == 0


def test_records_of_the_tasks_golden_set_are_taken_out_of_training(cloud: Cloud) -> None:
    cloud.upload_task(spec(), golden=labelled(QUERIES[:30]))
    run = cloud.finish(cloud.drop(labelled()))
    train = cloud.read(run.id, "train.jsonl").decode()
    assert cloud.read(run.id, "validation.json")["counts"]["leaked"] == 30
    assert not any(f'"{query}"' in train for query in QUERIES[:30])


def test_a_task_can_have_the_candidate_graded_that_would_answer_first_and_no_other(cloud: Cloud) -> None:
    seen = []
    cloud.bedrock.grade = lambda line: seen.append(line) or 10
    cloud.bedrock.says = lambda model, prompt, query: (
        right_answer(model, prompt, query) if "deployment/" in model else WRONG
    )
    cloud.upload_task(spec(judge={"model": "us.amazon.nova-pro-v1:0", "grade": "first"}))
    run = cloud.finish(cloud.drop(labelled()))
    assert run.state is State.PROMOTED
    assert len(seen) == 22
    source = f"{run.id}-bedrock"
    assert all(
        line["modelResponses"] == [{"response": truth(line["prompt"]), "modelIdentifier": source}]
        for line in seen
    )
    candidates = cloud.read(run.id, "metrics.json")["candidates"]
    assert [name for name, measured in candidates.items() if "judge" in measured] == ["bedrock"]
    assert all(line["referenceResponse"] == truth(line["prompt"]) for line in seen)


def test_a_live_student_that_cannot_be_read_is_not_compared(cloud: Cloud) -> None:
    cloud.upload_task(embedded_spec())
    first = cloud.finish(cloud.drop(labelled()))
    cloud.store.put(first.id, STUDENT, b"of another version")
    second = cloud.finish(cloud.drop(labelled()))
    assert second.state is State.PROMOTED
    assert "artefact" in cloud.read(second.id, "metrics.json")["not_compared"]["live"]


def test_a_lost_race_for_the_live_pointer_is_run_again_at_once(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a run whose first attempt to take the pointer finds that another has just taken it
    promote, attempts = Transactions.promote, []

    def lose_once(*arguments: object, **options: object) -> Run:
        attempts.append(arguments)
        if len(attempts) == 1:
            raise Superseded("the live pointer has moved")
        return promote(*arguments, **options)

    monkeypatch.setattr(Transactions, "promote", lose_once)
    cloud.upload_task(embedded_spec())
    # When it comes to its end, without watch
    run_id = cloud.drop(labelled())
    cloud.settle()
    # Then it is live all the same
    assert cloud.run(run_id).state is State.PROMOTED
    assert len(attempts) == 2

"""A task whose student is fine-tuned on labelled records: what the job is given, and what becomes of it."""

import html
import json

import jsonschema
import pytest

from signalbox.run import State
from tests.builders import OPENINGS, QUERIES, labelled, line, truth, tuned_spec
from tests.integration.cloud import Cloud
from tests.unit.template.stack import DATA_BUCKET, PROJECT

TWENTY = [f"bells ringing over the {number} hills" for number in range(20)]


def queries_in(content: bytes) -> set[str]:
    return {json.loads(text)["messages"][0]["content"][0]["text"] for text in content.splitlines()}


def test_a_fine_tuned_student_goes_live(cloud: Cloud) -> None:
    # Given a task without a teacher, and labelled records
    cloud.upload_task(tuned_spec())
    run_id = cloud.drop(labelled())
    # When time passes
    run = cloud.finish(run_id)
    # Then its job was given the records, the validation set and the hyperparameters, and no teacher
    assert run.state is State.PROMOTED, run
    request = cloud.bedrock.jobs[run_id]["request"]
    folder = f"s3://{DATA_BUCKET}/runs/{run_id}/"
    assert request["customizationType"] == "FINE_TUNING"
    assert request["hyperParameters"] == {"epochCount": "3", "learningRate": "0.00001"}
    assert request["trainingDataConfig"] == {"s3Uri": folder + "train.jsonl"}
    assert request["validationDataConfig"] == {"validators": [{"s3Uri": folder + "validation_set.jsonl"}]}
    assert "customizationConfig" not in request
    # And the three sets of the run have nothing in common
    sets = [
        queries_in(cloud.store.get(run_id, f"{name}.jsonl") or b"")
        for name in ("train", "golden", "validation_set")
    ]
    assert [len(found) for found in sets] == [115, 22, 13]
    assert set().union(*sets) == set(QUERIES)
    assert any(
        "150 records, 115 to train on, 13 to validate with, 22 golden, 0 dropped" in entry.note
        for entry in run.history
    )
    # And what is live bears the name of what was done
    assert cloud.live().model == "amazon.nova-micro-v1:0:128k (fine-tuned)"


def test_an_uploaded_validation_set_is_what_the_job_is_given(cloud: Cloud) -> None:
    cloud.upload_task(tuned_spec(), golden=labelled(TWENTY))
    cloud.s3.put_object(
        Bucket=DATA_BUCKET, Key="tasks/clip-search/validation.jsonl", Body=labelled(QUERIES[:10])
    )
    run_id = cloud.finish(cloud.drop(labelled())).id
    assert queries_in(cloud.store.get(run_id, "validation_set.jsonl") or b"") == set(QUERIES[:10])
    findings = cloud.read(run_id, "validation.json")
    assert findings["validation_source"] == "tasks/clip-search/validation.jsonl"
    assert (findings["counts"]["train"], findings["counts"]["validation"]) == (140, 10)


def test_a_validation_set_that_cannot_be_used_rejects_the_dataset(cloud: Cloud) -> None:
    cloud.upload_task(tuned_spec())
    body = labelled(QUERIES[:10]) + line("Bot: ships", truth(QUERIES[0]))
    cloud.s3.put_object(Bucket=DATA_BUCKET, Key="tasks/clip-search/validation.jsonl", Body=body)
    run = cloud.finish(cloud.drop(labelled()))
    assert run.state is State.REJECTED
    assert "1 lines of tasks/clip-search/validation.jsonl cannot be used; line 11" in run.reason
    assert cloud.read(run.id, "validation.json")["problems"][0]["line"] == 11


def test_without_a_validation_set_the_job_is_given_none(cloud: Cloud) -> None:
    customization = tuned_spec()["customization"] | {"validation_share": 0}
    cloud.upload_task(tuned_spec(customization=customization))
    run_id = cloud.finish(cloud.drop(labelled())).id
    assert "validationDataConfig" not in cloud.bedrock.jobs[run_id]["request"]


def test_a_validation_set_of_an_earlier_attempt_is_not_given_to_the_job(cloud: Cloud) -> None:
    # Given an attempt that wrote one and came no further, and a task that has none since
    customization = tuned_spec()["customization"] | {"validation_share": 0}
    cloud.upload_task(tuned_spec(customization=customization))
    run_id = cloud.drop(labelled())
    cloud.store.put(run_id, "validation_set.jsonl", labelled(QUERIES[:5]))
    # When the dataset is validated once more
    cloud.finish(run_id)
    # Then the job measures its loss on none of what it trains on
    assert "validationDataConfig" not in cloud.bedrock.jobs[run_id]["request"]


NOVA_2_LITE = {"type": "FINE_TUNING", "student": "amazon.nova-2-lite-v1:0:256k"}
TWO_HUNDRED = [f"{list(OPENINGS)[number % 3]} in the {number} bay" for number in range(200)]


def test_nova_2_lite_is_given_every_record_and_no_validation_set(cloud: Cloud) -> None:
    cloud.upload_task(tuned_spec(customization=NOVA_2_LITE), golden=labelled(TWENTY))
    run_id = cloud.drop(labelled(TWO_HUNDRED))
    assert cloud.finish(run_id).state is State.PROMOTED
    assert "validationDataConfig" not in cloud.bedrock.jobs[run_id]["request"]
    assert queries_in(cloud.store.get(run_id, "train.jsonl") or b"") == set(TWO_HUNDRED)


def test_a_validation_set_that_is_uploaded_for_nova_2_lite_rejects_the_dataset(cloud: Cloud) -> None:
    cloud.upload_task(tuned_spec(customization=NOVA_2_LITE), golden=labelled(TWENTY))
    key = "tasks/clip-search/validation.jsonl"
    cloud.s3.put_object(Bucket=DATA_BUCKET, Key=key, Body=labelled(QUERIES[:10]))
    run = cloud.finish(cloud.drop(labelled(TWO_HUNDRED)))
    assert run.state is State.REJECTED
    assert (
        "Nova 2 Lite takes no validation set (aws-samples/amazon-bedrock-samples, nova_ft_data" in run.reason
    )


def metrics_file(loss: str, *values: float) -> bytes:
    rows = "".join(f"{step},{step + 1},{value},1\n" for step, value in enumerate(values))
    return f"step_number,epoch_number,{loss},perplexity\n{rows}".encode()


def test_losses_that_the_job_left_stand_in_metrics_and_report(cloud: Cloud) -> None:
    # Given a run whose job leaves its files, and overfits
    cloud.upload_task(tuned_spec())
    run_id = cloud.drop(labelled())
    folder = f"runs/{run_id}/customization/model-customization-job-abc/"
    for name, content in (
        ("training_artifacts/step_wise_training_metrics.csv", metrics_file("training_loss", 1, 0.6, 0.2)),
        (
            "validation_artifacts/post_fine_tuning_validation/validation_metrics.csv",
            metrics_file("validation_loss", 0.9, 0.7, 0.8),
        ),
    ):
        cloud.s3.put_object(Bucket=DATA_BUCKET, Key=folder + name, Body=content)
    # When it is decided upon
    cloud.finish(run_id)
    # Then both tell it, and warn
    metrics = cloud.read(run_id, "metrics.json")
    jsonschema.validate(metrics, json.loads((PROJECT / "docs/metrics.schema.json").read_text()))
    assert metrics["losses"]["by_epoch"] == [
        {"epoch": 1, "training": 1.0, "validation": 0.9},
        {"epoch": 2, "training": 0.6, "validation": 0.7},
        {"epoch": 3, "training": 0.2, "validation": 0.8},
    ]
    assert metrics["provenance"]["customization"] == {
        "type": "FINE_TUNING",
        "hyperparameters": {"epochCount": 3, "learningRate": 1e-5},
    }
    report = (cloud.store.get(run_id, "report.html") or b"").decode()
    assert metrics["losses"]["warning"] in html.unescape(report)
    assert "Loss of the custom model by epoch" in report


def test_without_these_files_no_run_fails(cloud: Cloud) -> None:
    cloud.upload_task(tuned_spec())
    run = cloud.finish(cloud.drop(labelled()))
    assert run.state is State.PROMOTED
    assert "losses" not in cloud.read(run.id, "metrics.json")


@pytest.mark.parametrize(
    ("student", "reason"),
    [
        ("amazon.nova-premier-v1:0", "amazon.nova-premier-v1:0 cannot be the student of FINE_TUNING"),
        ("meta.llama3-3-70b-instruct-v1:0", "cannot be the student of FINE_TUNING"),
    ],
)
def test_a_student_that_is_not_fine_tuned_fails_the_run_before_a_job_starts(
    cloud: Cloud, student: str, reason: str
) -> None:
    customization = tuned_spec()["customization"] | {"student": student}
    cloud.upload_task(tuned_spec(customization=customization))
    run = cloud.finish(cloud.drop(labelled()))
    assert run.state is State.FAILED
    assert run.failure is not None and reason in run.failure.reason
    assert cloud.bedrock.calls["CreateModelCustomizationJob"] == 0

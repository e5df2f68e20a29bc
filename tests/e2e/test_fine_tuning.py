"""Fine-tuning on weights through the front door: a validation set is kept back, and the job's losses are reported."""

import json

import pytest

from signalbox.dataset_object import DatasetObject
from signalbox.run import run_id_for
from tests.e2e.harness import LocalApp, push_small_task, until
from tests.e2e.test_pipeline import ask

TUNED = """customization:
  type: FINE_TUNING
  student: amazon.nova-micro-v1:0:128k
  hyperparameters: {epochCount: 5}
"""
QUERY, VISUAL = "melody of clouds number 2", 0.2


@pytest.fixture(scope="module")
def ended(app: LocalApp, small_dataset, tmp_path_factory: pytest.TempPathFactory) -> dict:
    """The run of a task like the small one, but for how its student is made."""
    push_small_task(app, tmp_path_factory.mktemp("tuned"), "tuned", "[bedrock]", TUNED)
    bucket, key = app.ready["bucket"], "datasets/tuned/drop.jsonl"
    put = app.client("s3").put_object(Bucket=bucket, Key=key, Body=small_dataset("clouds"))
    run_id = run_id_for(DatasetObject(bucket=bucket, key=key, version_id=put["VersionId"]))
    assert app.ended(run_id) == {run_id: "PROMOTED"}, app.runs()[run_id]
    return {"run_id": run_id, "metrics": json.loads(until(lambda: stored(app, run_id, "metrics.json")))}


def stored(app: LocalApp, run_id: str, name: str) -> str:
    """Return what a run has under a name, "" if it is not there."""
    objects = app.client("s3")
    try:
        found = objects.get_object(Bucket=app.ready["bucket"], Key=f"runs/{run_id}/{name}")
    except objects.exceptions.NoSuchKey:
        return ""
    return found["Body"].read().decode()


def test_the_student_has_learnt_the_weights_from_the_records(ended: dict) -> None:
    student = ended["metrics"]["candidates"]["bedrock"]
    assert student["model"] == "local.student (fine-tuned)"
    assert student["valid_share"] == 1
    # The mean of the four kinds as the answer to all is off by 0.3.
    assert student["mae"] < 0.15
    tuned = ended["metrics"]["provenance"]["customization"]
    assert tuned == {"type": "FINE_TUNING", "hyperparameters": {"epochCount": 5}}


def test_a_tenth_is_kept_back_and_the_loss_on_it_is_reported(app: LocalApp, ended: dict) -> None:
    sets = [
        {json.loads(line)["messages"][0]["content"][0]["text"] for line in content.splitlines()}
        for content in (
            stored(app, ended["run_id"], name)
            for name in ("train.jsonl", "golden.jsonl", "validation_set.jsonl")
        )
    ]
    assert len(set.union(*sets)) == sum(map(len, sets)) == 160
    assert len(sets[2]) == pytest.approx(0.1 * (160 - len(sets[1])), abs=1)
    by_epoch = ended["metrics"]["losses"]["by_epoch"]
    assert [each["epoch"] for each in by_epoch] == [1, 2, 3, 4, 5]
    # The kinds of query are easily told apart: what is learnt of them holds for those kept back.
    for each in by_epoch:
        assert each["validation"] == pytest.approx(each["training"], rel=0.1)


def test_the_custom_model_answers(app: LocalApp, ended: dict) -> None:
    answer = ask(app, "POST", "/route", {"query": QUERY, "task": "tuned"})
    assert (answer["source"], answer["model"]) == ("bedrock", "local.student (fine-tuned)")
    assert answer["run_id"] == ended["run_id"]
    assert float(answer["weights"]["visual"]) == pytest.approx(VISUAL, abs=0.1)

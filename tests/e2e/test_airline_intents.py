"""The second task, whose answer is a label: its example goes live, and a query gets a label and a confidence."""

import json

import pytest

from tests.e2e.harness import LocalApp, until
from tests.e2e.test_pipeline import ask

PATIENCE_SECONDS = 300
"""A thousand records train two students and are put to four models: a minute on a machine that does nothing else."""


@pytest.fixture(scope="module")
def ended(app: LocalApp) -> dict:
    """The run of the example, dropped without naming the task: the file is called like it."""
    dropped = app.command("drop", "examples/airline-intents.jsonl", "--json")
    assert dropped.returncode == 0, dropped.stderr
    run_id = json.loads(dropped.stdout)["run_id"]
    (state,) = app.ended(run_id, patience=PATIENCE_SECONDS).values()
    metrics = until(lambda: stored(app, f"runs/{run_id}/metrics.json"))  # written once the verdict stands
    return {"run_id": run_id, "state": state, "metrics": json.loads(metrics)}


def stored(app: LocalApp, key: str) -> str:
    """Return an object of the data bucket, "" if it is not there."""
    objects = app.client("s3")
    try:
        return objects.get_object(Bucket=app.ready["bucket"], Key=key)["Body"].read().decode()
    except objects.exceptions.NoSuchKey:
        return ""


def test_it_is_fine_tuned_and_promoted(ended: dict) -> None:
    assert ended["state"] == "PROMOTED"
    candidates = ended["metrics"]["candidates"]
    assert candidates["bedrock"]["model"] == "local.student (fine-tuned)"
    for candidate in ("embedded", "bedrock"):
        assert candidates[candidate]["accuracy"] >= 0.95
        assert candidates[candidate]["macro_f1"] >= 0.9
    assert candidates["base"]["accuracy"] < 0.5


def test_a_query_gets_a_label_and_how_sure_it_is(app: LocalApp, ended: dict) -> None:
    answer = ask(
        app, "POST", "/route", {"query": "how much is a ticket from Oslo to Porto", "task": "airline-intents"}
    )
    assert (answer["label"], answer["source"]) == ("airfare", "embedded")
    assert 0.6 <= answer["confidence"] <= 1
    assert answer["run_id"] == ended["run_id"]


def test_what_the_student_does_not_know_is_asked_of_the_custom_model(app: LocalApp, ended: dict) -> None:
    answer = ask(app, "POST", "/route", {"query": "zzyzx qwfp", "task": "airline-intents"})
    assert (answer["source"], answer["passed_over"]) == ("bedrock", {"embedded": "unsure"})
    assert answer["model"] == "local.student (fine-tuned)"
    assert answer["confidence"] is None


def test_the_report_has_accuracy_macro_f1_and_the_confusion_matrix(app: LocalApp, ended: dict) -> None:
    page = until(lambda: stored(app, f"runs/{ended['run_id']}/report.html"))
    for said in ("Accuracy", "Macro F1", "Confusion matrix", "ground_service", "Fewer than 5 golden queries"):
        assert said in page

"""A task that nobody has programmed for: a task.yaml with seven signals is all that there is of it."""

import json
from decimal import Decimal

import pytest

from local.new_task import placeholders
from signalbox.task import Task
from tests.builders import SEVEN_SIGNALS
from tests.e2e.harness import LocalApp
from tests.e2e.test_pipeline import ask

SPEC = f"""
name: footage-desk
output: {{weights: [{", ".join(SEVEN_SIGNALS)}]}}
prompt: Return JSON with the weights of {", ".join(SEVEN_SIGNALS)} (sum=1.0) and reasoning for the footage asked for.
customization: {{teacher: us.amazon.nova-pro-v1:0, student: "amazon.nova-micro-v1:0:128k"}}
compare: {{base: "amazon.nova-micro-v1:0"}}
judge: {{model: us.amazon.nova-pro-v1:0}}
gates: {{valid_share: 0.99, mae: 0.05, dominant_share: 0.9, judge: 4}}
"""
TASK = Task.from_yaml(SPEC)


@pytest.fixture(scope="module")
def ended(app: LocalApp, tmp_path_factory: pytest.TempPathFactory) -> dict:
    """The run of a dataset that is made from the spec alone."""
    folder = tmp_path_factory.mktemp("task")
    (folder / "task.yaml").write_text(SPEC)
    (folder / "dataset.jsonl").write_text("".join(placeholders(TASK)))
    (folder / "idle").mkdir()
    (folder / "idle" / "task.yaml").write_text(SPEC.replace("footage-desk", "idle-desk"))
    for each in (folder, folder / "idle"):
        pushed = app.command("task", "push", str(each))
        assert pushed.returncode == 0, pushed.stderr
    dropped = app.command("drop", str(folder / "dataset.jsonl"), "--task", TASK.name, "--wait", "--json")
    assert dropped.returncode == 0, dropped.stdout + dropped.stderr
    return json.loads(dropped.stdout)


def test_it_goes_live_measured_by_its_own_signals(ended: dict) -> None:
    assert ended["run"]["state"] == "PROMOTED"
    candidates = ended["metrics"]["candidates"]
    assert {"embedded", "bedrock", "base"} <= set(candidates)
    for candidate in ("embedded", "bedrock"):
        assert tuple(candidates[candidate]["per_signal"]) == SEVEN_SIGNALS
        assert candidates[candidate]["valid_share"] == 1
    assert {gate["name"] for gate in ended["metrics"]["gates"]} >= {"mae", "dominant_share", "judge"}


def test_it_is_routed_by_the_signals_that_a_query_names(app: LocalApp, ended: dict) -> None:
    for lead, second in (("licensing_window", "camera_angle"), ("mood", "visual")):
        body = {"query": f"placeholder plain ticket by {lead}, then {second}", "task": TASK.name}
        answer = ask(app, "POST", "/route", body)
        weights = answer["weights"]
        assert tuple(weights) == SEVEN_SIGNALS
        assert sum(Decimal(weight) for weight in weights.values()) == 1
        assert max(weights, key=weights.__getitem__) == lead
        assert answer["run_id"] == ended["run_id"]


def test_it_is_listed_beside_the_others(app: LocalApp, ended: dict) -> None:
    listed = ask(app, "GET", "/tasks")
    (found,) = [each for each in listed["tasks"] if each["task"] == TASK.name]
    assert tuple(found["output"]["weights"]) == SEVEN_SIGNALS
    assert found["run_id"] == ended["run_id"]
    assert "idle-desk" in listed["not_live"]


def test_its_report_shows_every_signal(app: LocalApp, ended: dict) -> None:
    key = f"runs/{ended['run_id']}/report.html"
    stored = app.client("s3").get_object(Bucket=app.ready["bucket"], Key=key)
    page = stored["Body"].read().decode()
    for signal in SEVEN_SIGNALS:
        assert f"Weights of {signal}" in page
    assert "Of 7 signals these are the 6 of the greatest mean weight" in page

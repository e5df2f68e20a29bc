"""The report: all candidates, the gates and the dataset on one page, and nothing from outside runs in it."""

from datetime import UTC, datetime
from typing import Any

import pytest

from signalbox.report import render
from signalbox.run import Moment, RunTable, State
from tests.builders import dataset_object, labels_spec, spec, task
from tests.fakes import FakeTable

HOSTILE = "<script>alert(1)</script>"


def measured(**changes: Any) -> dict[str, Any]:
    content = {
        "model": "amazon.nova-micro-v1:0:128k",
        "valid_share": 1.0,
        "mae": 0.0123,
        "within_005": 1.0,
        "within_010": 1.0,
        "dominant_share": 0.5,
        "rubric": 4.5,
        "latency_ms": {"mean": 1.0, "p50": 1.0, "p95": 2.0},
        "tokens": {"input": 1234, "output": 10},
        "errors": {},
    }
    return content | changes


def report(candidates: dict[str, Any], content: dict[str, Any] | None = None, **validation: Any) -> str:
    run = RunTable(FakeTable()).receive(dataset_object())
    run.history.append(Moment(state=State.ACCEPTED, at=datetime.now(UTC), note=HOSTILE))
    gate = {
        "name": "mae",
        "value": None,
        "limit": 0.06,
        "at_least": False,
        "passed": False,
        "reason": HOSTILE,
    }
    metrics = {
        "run_id": run.id,
        "task": "clip-search",
        "output": "weights",
        "golden": 22,
        "served_first": "bedrock",
        "candidates": candidates,
        "not_compared": {"live": HOSTILE},
        "gates": [gate],
        "verdict": "HELD",
    }
    findings = {
        "dataset": "s3://bucket/key",
        "golden_source": "split off this dataset",
        "counts": {"records": 150},
        "balance": {"picture": 1.0},
        "problems": [{"line": 3, "field": "x", "reason": HOSTILE}],
    }
    return render(run, task(content or spec()), metrics, findings | validation)


def test_every_candidate_stands_in_it_with_its_numbers() -> None:
    page = report({"bedrock": measured(), "base": measured(model="another-model", mae=None)})
    for expected in ("another-model", "0.012", "1,234", "HELD", "split off this dataset"):
        assert expected in page


def test_what_comes_from_outside_is_escaped() -> None:
    page = report({"bedrock": measured(model=HOSTILE)}, dataset=HOSTILE)
    assert HOSTILE not in page
    assert "&lt;script&gt;" in page


def test_candidates_without_answers_or_judge_do_not_break_it() -> None:
    nothing = {"mean": None, "p50": None, "p95": None}
    page = report(
        {
            "bedrock": measured(judge={"mean": None, "graded": 0, "null": 3, "scale": "raw", "model": "j"}),
            "baseline": measured(latency_ms=nothing, mae=None),
        },
        problems=[],
    )
    assert "baseline" in page


@pytest.mark.parametrize("name", ["Accuracy", "Macro F1"])
def test_labels_have_columns_of_their_own(name: str) -> None:
    kept = ("model", "valid_share", "latency_ms", "tokens", "errors")
    candidate = {
        key: value
        for key, value in measured(accuracy=0.5, macro_f1=0.25).items()
        if key in (*kept, "accuracy", "macro_f1")
    }
    page = report({"bedrock": candidate}, labels_spec())
    assert name in page
    assert "Mean absolute error" not in page

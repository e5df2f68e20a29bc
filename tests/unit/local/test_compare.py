"""Two runs side by side, in numbers and in words."""

import json
from io import StringIO
from types import SimpleNamespace
from typing import Any

import pytest

from local import commands, compare, render
from local.commands import compare as command
from signalbox.measures import ABSENT
from signalbox.run import Run, State
from signalbox.scoring import Prediction
from signalbox.task import Task
from tests.builders import dataset_object, labels_spec, task

OWN, RIVAL = "clip-search-000000000001", "clip-search-000000000002"
WEIGHTS = task().output


def answer(first: float) -> str:
    others = len(WEIGHTS.signals) - 1
    weights = [first, *([(1 - first) / others] * others)]
    return json.dumps(dict(zip(WEIGHTS.signals, weights, strict=True)) | {"reasoning": "r"})


def predictions(first: float, queries: int = 20, reference: float = 0.5) -> list[Prediction]:
    return [
        Prediction(query=f"query {number}", reference=answer(reference), text=answer(first))
        for number in range(queries)
    ]


class App:
    """An app that has these runs, with these predictions of their models."""

    def __init__(self, served: dict[str, list[Prediction]], of: Task | None = None, **metrics: Any) -> None:
        of = of or task()
        self.objects: dict[str, bytes] = {}
        states: dict[str, State] = {}
        for (run_id, said), candidate in zip(served.items(), ("embedded", "bedrock"), strict=False):
            states[run_id] = State.HELD
            content = {
                "run_id": run_id,
                "output": "weights",
                "served_first": candidate,
                "verdict": "HELD",
                "golden": len(said),
                "candidates": {candidate: {"model": f"local.{candidate}", "mae": 0.03, **metrics}},
                "gates": [{"name": "mae", "passed": candidate == "embedded"}],
            }
            prefix = f"runs/{run_id}/"
            self.objects[prefix + "metrics.json"] = json.dumps(content).encode()
            self.objects[prefix + "task.json"] = of.model_dump_json(by_alias=True).encode()
            lines = "\n".join(each.model_dump_json() for each in said)
            self.objects[f"{prefix}predictions/{candidate}.jsonl"] = lines.encode()
        self.runs = SimpleNamespace(load=lambda run_id: self._run(run_id, states))

    def _run(self, run_id: str, states: dict[str, State]) -> Run | None:
        state = State.FAILED if run_id == "failed" else states.get(run_id)
        times = {"created_at": "2026-11-21T09:00:00Z", "updated_at": "2026-11-21T09:00:00Z"}
        content = {"id": run_id, "task": "clip-search", "state": state, "dataset": dataset_object()} | times
        return Run.model_validate(content) if state else None

    def object(self, key: str) -> bytes | None:
        return self.objects.get(key)

    def document(self, key: str) -> Any:
        return json.loads(self.objects[key]) if key in self.objects else None


def both(app: App) -> tuple[compare.Evaluated, compare.Evaluated]:
    return compare.evaluated(app, OWN), compare.evaluated(app, RIVAL)


def test_a_run_is_better_worse_or_not_shown_to_differ_on_the_shared_queries() -> None:
    better = both(App({OWN: predictions(0.5), RIVAL: predictions(0.7, queries=30)}))
    worse = both(App({OWN: predictions(0.7), RIVAL: predictions(0.5)}))
    same = both(App({OWN: predictions(0.6), RIVAL: predictions(0.6)}))
    said = [compare.in_words(*pair, compare.paired(*pair)) for pair in (better, worse, same)]
    assert f"{OWN} against {RIVAL}, mean absolute error on 20 shared golden queries: better by " in said[0]
    assert "worse by " in said[1]
    assert "no difference shown" in said[2]


def test_a_query_with_another_reference_is_not_shared() -> None:
    pair = both(App({OWN: predictions(0.5), RIVAL: predictions(0.5, reference=0.6)}))
    found = compare.paired(*pair)
    assert found == "the two golden sets have no query with the same reference in common"
    assert compare.in_words(*pair, found) == f"No paired difference: {found}."


def test_runs_of_other_signals_have_no_paired_difference() -> None:
    weights = compare.evaluated(App({OWN: predictions(0.5)}), OWN)
    labels = compare.evaluated(App({RIVAL: predictions(0.5)}, of=task(labels_spec())), RIVAL)
    assert compare.paired(weights, labels) == "the two answer with different signals or labels"


def test_answers_that_cannot_be_used_are_not_compared() -> None:
    unusable = [each.model_copy(update={"text": "", "error": "timeout"}) for each in predictions(0.5)]
    pair = both(App({OWN: unusable, RIVAL: predictions(0.5)}))
    assert "too few shared queries (0) that both answered" in compare.in_words(*pair, compare.paired(*pair))


def test_fewer_than_20_shared_queries_give_no_verdict() -> None:
    pair = both(App({OWN: predictions(0.5, queries=19), RIVAL: predictions(0.9)}))
    found = compare.paired(*pair)
    assert found == "too few shared queries (19) that both answered, at least 20 are needed"
    assert compare.in_words(*pair, found) == f"No paired difference: {found}."


def test_the_table_has_numbers_with_intervals_latency_cost_and_gates() -> None:
    measured = {
        "intervals": {"mae": [0.02, 0.04]},
        "latency_ms": {"p50": 0.21, "p95": 0.42},
        "cost": {"per_1000_queries": 0.00118},
    }
    stream = StringIO()
    table = render.side_by_side(*both(App({OWN: predictions(0.5), RIVAL: predictions(0.5)}, **measured)))
    render.console(stream).print(table)
    shown = stream.getvalue()
    for expected in (
        OWN,
        RIVAL,
        "0.030 (0.020 to 0.040)",
        "0.42 ms",
        "$0.00118",
        "local.embedded",
        "local.bedrock",
    ):
        assert expected in shown
    (gate,) = (line.split() for line in shown.splitlines() if "gate mae" in line)
    assert gate == ["gate", "mae", "passed", "failed"]


def test_a_number_that_only_one_run_has_is_a_dash_in_the_other() -> None:
    app = App({OWN: predictions(0.5), RIVAL: predictions(0.5)})
    metrics = app.document(f"runs/{OWN}/metrics.json")
    metrics["candidates"]["embedded"]["rubric"] = 4.5
    app.objects[f"runs/{OWN}/metrics.json"] = json.dumps(metrics).encode()
    stream = StringIO()
    render.console(stream).print(render.side_by_side(*both(app)))
    (row,) = (line.split() for line in stream.getvalue().splitlines() if "rubric" in line)
    assert row[-2:] == ["4.50", ABSENT]


@pytest.fixture
def connected(monkeypatch: pytest.MonkeyPatch) -> App:
    app = App({OWN: predictions(0.5), RIVAL: predictions(0.7)})
    monkeypatch.setattr(command, "app_of", lambda options: app)
    return app


def test_the_command_prints_table_and_sentence(connected: App, capsys: pytest.CaptureFixture[str]) -> None:
    assert commands.main(["compare", OWN, RIVAL]) == 0
    shown = capsys.readouterr().out
    assert "gate mae" in shown
    assert "better by " in shown


def test_the_command_prints_one_json_object(connected: App, capsys: pytest.CaptureFixture[str]) -> None:
    assert commands.main(["compare", OWN, RIVAL, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [run["run_id"] for run in document["runs"]] == [OWN, RIVAL]
    assert document["paired"]["verdict"] == "better"
    assert document["in_words"].startswith(OWN)


@pytest.mark.parametrize(
    ("run_id", "reason"),
    [("nobody", "there is no run 'nobody'"), ("failed", "failed is FAILED and has no metrics.json")],
)
def test_a_run_that_cannot_be_compared_is_named_as_text_and_as_json(
    connected: App, capsys: pytest.CaptureFixture[str], run_id: str, reason: str
) -> None:
    assert commands.main(["compare", OWN, run_id]) == 2
    assert reason in capsys.readouterr().err
    assert commands.main(["compare", OWN, run_id, "--json"]) == 2
    assert reason in json.loads(capsys.readouterr().out)["error"]

"""promote: the gates decide whether the model goes live."""

import json
from datetime import UTC, datetime
from typing import Any

from signalbox.events import Event
from signalbox.gates import Gate, apply_gates
from signalbox.pipeline import Pipeline, step
from signalbox.report import render
from signalbox.live import Live
from signalbox.run import Run, State
from signalbox.store import METRICS, REPORT, STUDENT, TASK, VALIDATION
from signalbox.task import Task

HEADLINE = ("valid_share", "mae", "within_010", "dominant_share", "rubric", "accuracy", "macro_f1")
"""The numbers of a candidate that are shown wherever there is room for a few only."""


@step("promote", State.EVALUATED)
def promote(run: Run, pipeline: Pipeline) -> None:
    """Apply the gates and move the live pointer, or hold the model with the reasons: EVALUATED -> PROMOTED | HELD.

    Completes metrics.json with the gates and the verdict, and writes report.html.
    """
    task = Task.model_validate_json(pipeline.store.get(run.id, TASK) or b"")
    metrics = json.loads(pipeline.store.get(run.id, METRICS) or b"{}")
    measured = metrics["candidates"][task.first_served]
    judge_error = (measured.get("judge") or {}).get("error", "")
    gates = apply_gates(task, metrics["candidates"], judge_error)
    held = [gate for gate in gates if not gate.passed]
    verdict = State.HELD if held else State.PROMOTED
    metrics |= {"gates": [gate.model_dump() for gate in gates], "verdict": verdict.value}
    validation = json.loads(pipeline.store.get(run.id, VALIDATION) or b"{}")
    pipeline.store.put(run.id, METRICS, json.dumps(metrics, indent=1))
    pipeline.store.put(run.id, REPORT, render(run, task, metrics, validation))
    summary = _summary(metrics, measured, gates)
    if held:
        reason = "; ".join(f"{gate.name}: {gate.reason}" for gate in held)
        pipeline.advance(run, State.HELD, event=Event.MODEL_HELD, note=reason, reason=reason, summary=summary)
        return
    replaces = pipeline.runs.live(task.name)
    live = Live(
        task_name=task.name,
        run_id=run.id,
        model=measured["model"],
        since=datetime.now(UTC),
        task=task.model_dump(mode="json", by_alias=True, exclude={"teacher_prompt"}),
        student=pipeline.store.get(run.id, STUDENT) is not None,
        deployment_arn=run.deployment_arn,
        prior=validation["prior"],
        metrics=_headline(measured),
        previous=replaces.model_dump(mode="json", include={"run_id", "model", "since"}) if replaces else None,
    )
    pipeline.promote(run, live, replaces, event=Event.MODEL_PROMOTED, summary=summary)


def _headline(measured: dict[str, Any]) -> dict[str, Any]:
    headline = {name: round(measured[name], 4) for name in HEADLINE if measured.get(name) is not None}
    judge = (measured.get("judge") or {}).get("mean")
    return headline | ({"judge": round(judge, 4)} if judge is not None else {})


def _summary(metrics: dict[str, Any], measured: dict[str, Any], gates: list[Gate]) -> dict[str, Any]:
    return {
        "model": measured["model"],
        "served_first": metrics["served_first"],
        "golden": metrics["golden"],
        "metrics": _headline(measured),
        "gates": [gate.model_dump(include={"name", "passed", "reason"}) for gate in gates],
    }

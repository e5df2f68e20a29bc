"""promote: the comparison with what is live and the gates decide whether the model goes live."""

import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from signalbox.candidate import Refused, answers_of, live_candidate
from signalbox.events import Event
from signalbox.gates import Gate, apply_gates
from signalbox.live import Live
from signalbox.pipeline import Pipeline, step
from signalbox.query import normalise
from signalbox.report import gather, render
from signalbox.run import Run, State, Superseded
from signalbox.scoring import Comparison, Prediction, compare, score
from signalbox.store import (
    COMPARISON,
    EVALUATION,
    GOLDEN,
    JUDGE_SCORES,
    METRICS,
    REPORT,
    STUDENT,
    TRAIN,
    VALIDATION,
    predictions_of,
)
from signalbox.task import Task

_RACES = 5
"""How often a lost race for the live pointer is run again at once, before `watch` has to nudge."""
HEADLINE = ("valid_share", "mae", "within_010", "dominant_share", "rubric", "accuracy", "macro_f1")
"""The numbers of a candidate that are shown wherever there is room for a few only."""


@step("promote", State.EVALUATED, State.PROMOTED, State.HELD)
def promote(run: Run, pipeline: Pipeline) -> None:
    """Compare with what is live and apply the gates: EVALUATED -> PROMOTED | HELD.

    Either the live pointer moves, from the very model that was compared with, or the model is held with the reasons.
    What was measured is published as metrics.json and report.html once that is written. An attempt that finds the
    run decided publishes them if the one before could not.
    """
    if run.state.ended:
        if pipeline.store.get(run.id, METRICS) is None:
            _publish(run, pipeline)
        pipeline.deliver(run)
        return
    decided = _decide_in_the_end(run, pipeline)
    _publish(decided, pipeline)
    pipeline.announce(run, decided)


def _decide_in_the_end(run: Run, pipeline: Pipeline) -> Run:
    """Decide; should another run take the live pointer meanwhile, compare with that one and decide again."""
    for _ in range(_RACES - 1):
        try:
            return _decide(run, pipeline)
        except Superseded:
            current = pipeline.runs.load(run.id)
            if current is None or current.state is not State.EVALUATED:
                raise
    return _decide(run, pipeline)


def _decide(run: Run, pipeline: Pipeline) -> Run:
    """Write the decision: the run as it is after it.

    Raises
    ------
    Superseded
        If the live pointer has moved meanwhile; the next attempt compares with the model that is live then.
    """
    task = pipeline.task(run)
    live = pipeline.runs.live(task.name)
    if live is not None and live.run_id == run.id:
        raise Superseded(f"{run.id} is live")
    with_live = _compare(run, task, live, pipeline) if live else None
    metrics = _measured(run, pipeline)
    measured = metrics["candidates"][task.first_served]
    gates = apply_gates(task, measured, with_live)
    held = [gate for gate in gates if not gate.passed]
    summary = _summary(metrics, measured, gates)
    if held:
        reason = "; ".join(f"{gate.name}: {gate.reason}" for gate in held)
        return pipeline.runs.move(
            run, State.HELD, event=Event.MODEL_HELD, note=reason, reason=reason, summary=summary
        )
    pointer = Live(
        task_name=task.name,
        run_id=run.id,
        model=measured["model"],
        since=datetime.now(UTC),
        task=task.model_dump(mode="json", by_alias=True, exclude={"teacher_prompt"}),
        student=pipeline.store.get(run.id, STUDENT) is not None,
        deployment_arn=run.deployment_arn,
        prior=_read(run, VALIDATION, pipeline)["prior"],
        metrics=_headline(measured),
        previous=live.model_dump(mode="json", include={"run_id", "model", "since"}) if live else None,
    )
    replaces = live.run_id if live else None
    note = f"live, in place of {replaces}" if replaces else "live"
    return pipeline.runs.promote(
        run, pointer, replaces, event=Event.MODEL_PROMOTED, note=note, summary=summary
    )


def _compare(run: Run, task: Task, live: Live, pipeline: Pipeline) -> Comparison | str:
    """Ask what is live the golden set, and compare on the queries that it was not trained on.

    Keeps predictions/live-<run_id>.jsonl and comparison.json under the run.

    Returns
    -------
    Comparison | str
        Or why the two cannot be compared.
    """
    golden = pipeline.records(run, GOLDEN, task)
    try:
        candidate = live_candidate(live, task, pipeline)
        seen = _trained_on(live, pipeline)
        said = answers_of(candidate, run, golden, pipeline, kept_as=f"live-{live.run_id}")
    except Refused as refused:
        reason = f"{live.model} of {live.run_id}: {refused}"
        pipeline.store.put(run.id, COMPARISON, json.dumps({"not_compared": {"live": reason}}))
        return reason
    content = pipeline.store.get(run.id, predictions_of(task.first_served)) or b""
    own = {mine.query: mine for mine in map(Prediction.model_validate_json, content.splitlines())}
    unseen = [theirs for theirs in said if normalise(theirs.query) not in seen and theirs.query in own]
    comparison = compare([own[theirs.query] for theirs in unseen], unseen, task.output)
    measured = {"model": live.model, **score(said, task.output)}
    written = {"live": measured, "compared_with_live": {"run_id": live.run_id, **asdict(comparison)}}
    pipeline.store.put(run.id, COMPARISON, json.dumps(written, indent=1))
    return comparison


def _trained_on(live: Live, pipeline: Pipeline) -> set[str]:
    """Return the normalised queries that the live model learnt from, on which it would look better than it is."""
    content = pipeline.store.get(live.run_id, TRAIN)
    if content is None:
        raise Refused("what it was trained on is gone")
    conversations = map(json.loads, content.splitlines())
    return {normalise(conversation["messages"][0]["content"][0]["text"]) for conversation in conversations}


def _publish(run: Run, pipeline: Pipeline) -> None:
    """Write metrics.json and report.html of a run that has been decided."""
    metrics = _measured(run, pipeline)
    comparison = _read(run, COMPARISON, pipeline)
    if "live" in comparison:
        metrics["candidates"]["live"] = comparison["live"]
        metrics["compared_with_live"] = comparison["compared_with_live"]
    metrics["not_compared"] |= comparison.get("not_compared", {})
    metrics |= {"gates": run.summary["gates"], "verdict": run.state.value}
    report = render(gather(run, pipeline.task(run), metrics, pipeline))
    pipeline.store.put(run.id, REPORT, report)
    pipeline.store.put(run.id, METRICS, json.dumps(metrics, indent=1))


def _measured(run: Run, pipeline: Pipeline) -> dict[str, Any]:
    """Return what `evaluate` measured, with the judge's scores of the candidate that would answer first."""
    metrics, scores = _read(run, EVALUATION, pipeline), _read(run, JUDGE_SCORES, pipeline)
    if scores:
        metrics["candidates"][metrics["served_first"]]["judge"] = scores
    return metrics


def _read(run: Run, name: str, pipeline: Pipeline) -> dict[str, Any]:
    return json.loads(pipeline.store.get(run.id, name) or b"{}")


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
        "gates": [gate.model_dump() for gate in gates],
    }

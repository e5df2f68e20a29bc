"""promote: the comparison with what is live and the gates decide whether the model goes live."""

import json
from dataclasses import asdict
from typing import Any

from signalbox.candidate import Refused, answers_of, live_candidate, measure
from signalbox.events import Event
from signalbox.gates import Gate, apply_gates
from signalbox.live import Live
from signalbox.measures import grades, headline
from signalbox.pipeline import Pipeline, step
from signalbox.publication import complete, measured_in, read
from signalbox.query import normalise
from signalbox.run import Run, State, Superseded, now
from signalbox.scoring import Comparison, Prediction, compare
from signalbox.store import COMPARISON, GOLDEN, STUDENT, TRAIN, VALIDATION, predictions_of
from signalbox.task import Task

RACES = 5
"""How often a lost race for the live pointer is run again at once, before Lambda or `watch` has to."""


@step("promote", State.EVALUATED, State.PROMOTED, State.HELD)
def promote(run: Run, pipeline: Pipeline) -> None:
    """Compare with what is live and apply the gates: EVALUATED -> PROMOTED | HELD.

    Either the live pointer moves, from the very model that was compared with, or the model is held with the reasons.
    Results and event are published once that is written; an attempt that finds them owed publishes them.
    """
    if run.state is State.EVALUATED:
        decided = _decide_in_the_end(run, pipeline)
        pipeline.count(run, decided)
        run = decided
    complete(run, pipeline)


def pointer_of(run: Run, replaced: Live | None, pipeline: Pipeline, **how: str) -> Live:
    """Make the live pointer of a run that has been decided upon, from what lies under its prefix.

    Parameters
    ----------
    run : Run
        With the summary that its decision has.
    replaced : Live | None
        What is live before it.
    how
        `how`, `by` and `reason` of `Live`.
    """
    return Live(
        task_name=run.task,
        run_id=run.id,
        model=run.summary["model"],
        since=now(),
        task=pipeline.task(run).model_dump(mode="json", by_alias=True, exclude={"teacher_prompt"}),
        student=pipeline.store.has(run.id, STUDENT),
        deployment_arn=run.deployment_arn,
        prior=read(run, VALIDATION, pipeline)["prior"],
        metrics=run.summary["metrics"],
        previous=replaced.as_previous() if replaced else None,
        last_rollback=replaced.last_rollback if replaced else None,
        **how,
    )


def _decide_in_the_end(run: Run, pipeline: Pipeline) -> Run:
    """Decide; should another run take the live pointer meanwhile, compare with that one and decide again."""
    for _ in range(RACES - 1):
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
    metrics = measured_in(run, pipeline)
    measured = metrics["candidates"][task.first_served]
    gates = apply_gates(task, measured, with_live, golden=metrics["golden"])
    held = [gate for gate in gates if not gate.passed]
    summary = _summary(metrics, measured, gates) | (_beside(live, run, pipeline) if live else {})
    if held:
        reason = "; ".join(f"{gate.name}: {gate.reason}" for gate in held)
        return pipeline.runs.move(
            run, State.HELD, event=Event.MODEL_HELD, note=reason, reason=reason, summary=summary
        )
    pointer = pointer_of(run.model_copy(update={"summary": summary}), live, pipeline)
    note = f"live, in place of {live.run_id}" if live else "live"
    return pipeline.transactions.promote(run, pointer, live, note=note, summary=summary)


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
    written = {
        "live": measure(candidate, said, task.output, pipeline.bedrock.region),
        "compared_with_live": {"run_id": live.run_id, **asdict(comparison)},
    }
    pipeline.store.put(run.id, COMPARISON, json.dumps(written, indent=1))
    return comparison


def _trained_on(live: Live, pipeline: Pipeline) -> set[str]:
    """Return the normalised queries that the live model learnt from, on which it would look better than it is."""
    content = pipeline.store.get(live.run_id, TRAIN)
    if content is None:
        raise Refused("what it was trained on is gone")
    conversations = map(json.loads, content.splitlines())
    return {normalise(conversation["messages"][0]["content"][0]["text"]) for conversation in conversations}


def _beside(live: Live, run: Run, pipeline: Pipeline) -> dict[str, Any]:
    """Return what a message says of the model that was live: its numbers on the same golden set, and the difference."""
    comparison = read(run, COMPARISON, pipeline)
    if "live" not in comparison:
        return {}
    measured = comparison["live"]
    numbers = {"run_id": live.run_id, "model": measured["model"], "metrics": headline(measured)}
    return {"live": numbers, "compared_with_live": comparison["compared_with_live"]}


def _summary(metrics: dict[str, Any], measured: dict[str, Any], gates: list[Gate]) -> dict[str, Any]:
    return {
        "model": measured["model"],
        "served_first": metrics["served_first"],
        "golden": metrics["golden"],
        "metrics": headline(measured),
        "grades": grades(metrics["candidates"]),
        "gates": [gate.model_dump() for gate in gates],
    }

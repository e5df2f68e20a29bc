"""promote: the comparison with what is live and the gates decide whether the model goes live."""

from typing import Any

from signalbox.comparison import WithLive, compare_with_live
from signalbox.deployments import is_provisioned
from signalbox.events import Event
from signalbox.gates import Gate, apply_gates
from signalbox.live import Live
from signalbox.measures import grades, headline
from signalbox.pipeline import Pipeline, step
from signalbox.publication import COMPARISONS, complete, measured_in, read
from signalbox.run import Run, State, now
from signalbox.run_table import Superseded
from signalbox.store import COMPARISON, STUDENT, VALIDATION
from signalbox.throughput import price_of

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


def with_summary(run: Run, replaced: Live | None, pipeline: Pipeline) -> Run:
    """Return a run upon which a person decides, with what a decision leaves in its summary.

    One that waits for its gates has none yet: of these it gets what they say without the comparison with what is live.
    """
    if run.state is not State.EVALUATED:
        return run
    task, metrics = pipeline.task(run), measured_in(run, pipeline)
    measured = metrics["candidates"][task.first_served]
    with_live = "a person decided before it was" if replaced else None
    gates = apply_gates(task, measured, with_live, with_live, golden=metrics["golden"])
    return run.model_copy(update={"summary": _summary(run, metrics, measured, gates)})


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
    with_live = compare_with_live(run, task, live, pipeline) if live else WithLive()
    metrics = measured_in(run, pipeline)
    measured = metrics["candidates"][task.first_served]
    gates = apply_gates(
        task, measured, with_live.on_golden, with_live.on_live_golden, golden=metrics["golden"]
    )
    held = [gate for gate in gates if not gate.passed]
    summary = _summary(run, metrics, measured, gates) | (_beside(live, run, pipeline) if live else {})
    if held:
        reason = "; ".join(f"{gate.name}: {gate.reason}" for gate in held)
        return pipeline.runs.move(
            run, State.HELD, event=Event.MODEL_HELD, note=reason, reason=reason, summary=summary
        )
    pointer = pointer_of(run.model_copy(update={"summary": summary}), live, pipeline)
    note = f"live, in place of {live.run_id}" if live else "live"
    return pipeline.transactions.promote(run, pointer, live, note=note, summary=summary)


def _beside(live: Live, run: Run, pipeline: Pipeline) -> dict[str, Any]:
    """Return what a message says of the model that was live: its numbers on this golden set, and how they compare."""
    comparison = read(run, COMPARISON, pipeline)
    beside = {name: comparison[name] for name in COMPARISONS if name in comparison}
    if "live" in comparison:
        measured = comparison["live"]
        beside["live"] = {"run_id": live.run_id, "model": measured["model"], "metrics": headline(measured)}
    return beside


def _summary(
    run: Run, metrics: dict[str, Any], measured: dict[str, Any], gates: list[Gate]
) -> dict[str, Any]:
    return {
        "warnings": run.summary.get("warnings", []),
        "model": measured["model"],
        "served_first": metrics["served_first"],
        "golden": metrics["golden"],
        "metrics": headline(measured),
        "grades": grades(metrics["candidates"]),
        "gates": [gate.model_dump() for gate in gates],
        **_throughput(run),
    }


def _throughput(run: Run) -> dict[str, str]:
    """Say what a deployment costs that is paid by the hour, whatever becomes of the model."""
    if run.deployment_arn is None or not is_provisioned(run.deployment_arn):
        return {}
    return {"throughput": price_of(run.deployment).in_words}

"""What is published of a run that has been decided upon: metrics.json, report.html, and only then the event."""

import hashlib
import json
from typing import Any

from signalbox import cost, judging, losses, throughput
from signalbox.comparison import ASKED_BESIDE
from signalbox.dataset_summary import dataset_summary
from signalbox.events import RESULTS_FIRST
from signalbox.pipeline import Pipeline
from signalbox.report import gather, render
from signalbox.run import PROMOTABLE, Run
from signalbox.run_metrics import count_cost
from signalbox.store import COMPARISON, EVALUATION, JUDGE_SCORES, METRICS, REPORT, VALIDATION
from signalbox.task import Task

VERSION = 1
"""Of metrics.json: docs/metrics.schema.json."""
COMPARISONS = ("compared_with_live", "compared_on_live_golden")
"""Its comparisons with what was live, where they could be made: on the run's golden set, on that of the live run."""


def complete(run: Run, pipeline: Pipeline) -> None:
    """Publish what a run still owes: its results, if its event leads a person to them, then the event.

    Whatever of it has been published is published again, the same.
    """
    if run.outbox in RESULTS_FIRST:
        publish(run, pipeline)
    pipeline.deliver(run)


def publish(run: Run, pipeline: Pipeline) -> None:
    """Write metrics.json and report.html of a run that has been decided upon."""
    task, findings = pipeline.task(run), read(run, VALIDATION, pipeline)
    metrics = _metrics(run, task, findings, pipeline)
    is_first = not pipeline.store.has(run.id, METRICS)
    pipeline.store.put(run.id, REPORT, render(gather(run, task, metrics, pipeline)))
    pipeline.store.put(run.id, METRICS, json.dumps(metrics, indent=1))
    if is_first:
        count_cost(run.task, metrics["run_cost"])


def measured_in(run: Run, pipeline: Pipeline) -> dict[str, Any]:
    """Return what `evaluate` measured, with the judge's scores of each candidate that it graded."""
    metrics, scores = read(run, EVALUATION, pipeline), read(run, JUDGE_SCORES, pipeline)
    for name, said in scores.items():
        metrics["candidates"][name] = judging.with_scores(metrics["candidates"][name], said)
    return metrics


def read(run: Run, name: str, pipeline: Pipeline) -> dict[str, Any]:
    """Return one of a run's JSON objects; empty if there is none of this name."""
    return json.loads(pipeline.store.get(run.id, name) or b"{}")


def _metrics(run: Run, task: Task, findings: dict[str, Any], pipeline: Pipeline) -> dict[str, Any]:
    """Put together what evaluate, judge and promote found out, and where it comes from."""
    metrics, comparison = measured_in(run, pipeline), read(run, COMPARISON, pipeline)
    if "live" in comparison:
        metrics["candidates"]["live"] = _with_no_grade(comparison["live"], task)
    metrics |= {name: comparison[name] for name in COMPARISONS if name in comparison}
    metrics["not_compared"] |= comparison.get("not_compared", {})
    region = pipeline.bedrock.region
    withdrawn = run.summary.get("rolled_back")
    return (
        {"version": VERSION, "run_id": run.id, "task": run.task, "verdict": run.state.value}
        | metrics
        | {
            "gates": run.summary["gates"],
            "dataset": dataset_summary(run, findings, pipeline),
            **_losses(run, pipeline),
            "provenance": _provenance(run, task, region),
            **_throughput(run, metrics, region),
            "run_cost": cost.of_run(
                task, findings["counts"], metrics, region, comparison.get(ASKED_BESIDE, ())
            ),
        }
        | ({"rolled_back": withdrawn} if withdrawn else {})
    )


def _throughput(run: Run, metrics: dict[str, Any], region: str) -> dict[str, Any]:
    """Say how provisioned throughput compares with a deployment on demand, if a custom model was measured."""
    measured = metrics["candidates"].get("bedrock")
    if measured is None:
        return {}
    said = throughput.against_on_demand(run.deployment, measured, metrics["golden"], region)
    return {"throughput": said}


def _losses(run: Run, pipeline: Pipeline) -> dict[str, Any]:
    found = losses.of_run(run.id, pipeline.store)
    return {"losses": found} if found else {}


def _with_no_grade(live: dict[str, Any], task: Task) -> dict[str, Any]:
    """Say of what was live, where the judge grades everybody, why it has no grade."""
    if task.judge is None or task.judge.grade == "first":
        return live
    reason = "what is live is asked when the decision falls, and the judge has ended by then"
    return judging.with_scores(live, judging.not_judged(task.judge, reason))


def _provenance(run: Run, task: Task, region: str) -> dict[str, Any]:
    """Say what the run was made of: prompt, dataset version and models, and when and by whom it was decided upon."""
    customization = task.customization
    models = {
        "teacher": customization and customization.teacher,
        "student": customization and customization.student,
        "custom_model": run.model_arn,
        "base": task.compare.base,
        "baseline": task.compare.baseline,
        "judge": task.judge and task.judge.model,
    }
    dataset = run.dataset
    provenance: dict[str, Any] = {
        "prompt_sha256": hashlib.sha256(task.prompt.encode()).hexdigest(),
        "dataset": {
            "uri": f"s3://{dataset.bucket}/{dataset.key}",
            "version_id": dataset.version_id,
            "etag": dataset.etag,
            "size": dataset.size,
        },
        "models": {role: model for role, model in models.items() if model},
        **({"customization": {"type": job.type, "hyperparameters": job.given}} if (job := task.job) else {}),
        "region": region,
        "started": run.created_at.isoformat(),
        "ended": next(moment.at for moment in run.history if moment.state in PROMOTABLE).isoformat(),
    }
    by = run.summary.get("promoted_by")
    return provenance | ({"promoted_by": by} if by else {})

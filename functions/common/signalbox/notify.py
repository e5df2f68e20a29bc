"""notify: a mail that a person can act on, for every outcome of a run."""

from typing import Any

from signalbox.events import Event, PipelineEvent

_SUBJECT_LENGTH = 100
"""SNS takes subjects of less than 100 characters, ASCII only, on one line (SNS API reference, Publish)."""


def message_of(event: PipelineEvent, bucket: str) -> tuple[str, str]:
    """Write the subject and the plain text of the mail about an event.

    Parameters
    ----------
    bucket : str
        The data bucket, where the run's report and findings lie.
    """
    run, summary = event.detail, event.detail.summary
    headline, paragraphs = _WRITERS[Event(event.detail_type)](summary)
    subject = " ".join(f"[{run.task}] {headline}".split()).encode("ascii", "replace").decode()
    folder = f"s3://{bucket}/runs/{run.run_id}/"
    where = [f"Run: {run.run_id}", f"Everything about it: {folder}", f"When: {run.at:%Y-%m-%d %H:%M} UTC"]
    return subject[: _SUBJECT_LENGTH - 1], "\n\n".join([headline + ".", *paragraphs, "\n".join(where)]) + "\n"


def _rejected(summary: dict[str, Any]) -> tuple[str, list[str]]:
    lines = [
        f"  line {problem['line']}, {problem['field'] or 'all of it'}: {problem['reason']}"
        for problem in summary.get("problems", [])
    ]
    return "Dataset rejected", [
        _listed("Why:", summary.get("reasons", [summary.get("reason", "")])),
        *(["The first lines at fault (all are in validation.json):\n" + "\n".join(lines)] if lines else []),
        "What to do: mend the dataset and drop it again. Nothing was trained and nothing was spent.",
    ]


def _promoted(summary: dict[str, Any]) -> tuple[str, list[str]]:
    return f"Model promoted: {summary['model']} is live", [
        _numbers(summary),
        "What to do: nothing; the router answers with it within half a minute. report.html compares all candidates.",
    ]


def _held(summary: dict[str, Any]) -> tuple[str, list[str]]:
    failed = [f"{gate['name']}: {gate['reason']}" for gate in summary["gates"] if not gate["passed"]]
    return "Model held: it is not live", [
        _listed("Gates that failed:", failed),
        _numbers(summary),
        "What to do: look at report.html; add records where the model is wrong, or change the task's gates, and drop "
        "the dataset again. What was live stays live.",
    ]


def _failed(summary: dict[str, Any]) -> tuple[str, list[str]]:
    failure = summary["failure"]
    return f"Run failed in {failure['step']}", [
        f"Why: {failure['reason']}",
        f"What to do: {failure['remedy']}",
    ]


def _stalled(summary: dict[str, Any]) -> tuple[str, list[str]]:
    return "Run stalled", [
        f"Why: {summary.get('reason', 'it has been in one state for longer than expected')}",
        "What to do: look at the logs of that step and at its job in the Bedrock console. The run is nudged every "
        "minute. If it waits for something, it goes on waiting (a job that is stopped there ends it); otherwise it "
        "fails by itself if it stays where it is.",
    ]


_WRITERS = {
    Event.DATASET_REJECTED: _rejected,
    Event.MODEL_PROMOTED: _promoted,
    Event.MODEL_HELD: _held,
    Event.RUN_FAILED: _failed,
    Event.RUN_STALLED: _stalled,
}


def _listed(title: str, entries: list[str]) -> str:
    return "\n".join([title, *(f"  - {entry}" for entry in entries)])


def _numbers(summary: dict[str, Any]) -> str:
    measured = [f"{name}: {value:.4g}" for name, value in summary["metrics"].items()]
    return _listed(f"Measured on {summary['golden']} golden queries ({summary['model']}):", measured)

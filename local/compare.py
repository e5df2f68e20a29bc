"""Two runs side by side: their headline numbers, and the paired difference on the queries that both were asked."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from local.client import App
from signalbox import measures
from signalbox.gates import LEAST_COMPARED
from signalbox.query import normalise
from signalbox.scoring import Comparison, Prediction, compare
from signalbox.store import METRICS, TASK, predictions_of
from signalbox.task import Task
from signalbox.wording import difference


class NotComparable(Exception):
    """One of the runs has nothing that could be compared; the message says which and why."""


@dataclass(frozen=True)
class Evaluated:
    """A run as far as it can be compared.

    Attributes
    ----------
    metrics : dict
        Its metrics.json.
    task : Task
        As it was when the run began.
    predictions : dict
        What its model answered, by normalised query.
    """

    metrics: dict[str, Any]
    task: Task
    predictions: dict[str, Prediction]

    @property
    def run_id(self) -> str:
        return self.metrics["run_id"]

    @property
    def candidate(self) -> dict[str, Any]:
        """The numbers of the model that would answer first, which the gates were applied to."""
        return self.metrics["candidates"][self.metrics["served_first"]]


def evaluated(app: App, run_id: str) -> Evaluated:
    """Read a run from the data bucket.

    Raises
    ------
    NotComparable
        There is no such run, or it was not evaluated.
    """
    run = app.runs.load(run_id)
    if run is None:
        raise NotComparable(f"there is no run {run_id!r}: see `python -m local status`")
    metrics = app.document(f"runs/{run_id}/{METRICS}")
    if metrics is None:
        raise NotComparable(
            f"{run_id} is {run.state} and has no {METRICS}: only an evaluated run can be compared"
        )
    task = Task.model_validate_json(app.object(f"runs/{run_id}/{TASK}") or b"{}")
    lines = app.object(f"runs/{run_id}/{predictions_of(metrics['served_first'])}") or b""
    predictions = map(Prediction.model_validate_json, lines.splitlines())
    return Evaluated(metrics, task, {normalise(each.query): each for each in predictions})


def paired(own: Evaluated, rival: Evaluated) -> Comparison | str:
    """Compare two runs on the golden queries that both were asked and that have the same reference in both.

    Returns
    -------
    Comparison | str
        `worse_by` above 0 means that `own` is the worse one. Or why there is nothing to compare.
    """
    if own.task.output != rival.task.output:
        return "the two answer with different signals or labels"
    shared = [
        query
        for query, said in own.predictions.items()
        if query in rival.predictions and rival.predictions[query].reference == said.reference
    ]
    if not shared:
        return "the two golden sets have no query with the same reference in common"
    found = compare(
        [own.predictions[query] for query in shared],
        [rival.predictions[query] for query in shared],
        own.task.output,
    )
    if found.queries < LEAST_COMPARED:
        return f"too few shared queries ({found.queries}) that both answered, at least {LEAST_COMPARED} are needed"
    return found


def in_words(own: Evaluated, rival: Evaluated, found: Comparison | str) -> str:
    """Say in one sentence how the first run compares with the second."""
    if isinstance(found, str):
        return f"No paired difference: {found}."
    measure = "accuracy" if own.metrics.get("output") == "labels" else "mean absolute error"
    return (
        f"{own.run_id} against {rival.run_id}, {measure} on {found.queries:,} shared golden queries: "
        f"{difference(asdict(found))}."
    )


def as_document(own: Evaluated, rival: Evaluated, found: Comparison | str) -> dict[str, Any]:
    """The comparison for `--json`."""
    return {
        "runs": [_run(own), _run(rival)],
        "paired": {"not_compared": found} if isinstance(found, str) else asdict(found),
        "in_words": in_words(own, rival, found),
    }


def _run(run: Evaluated) -> dict[str, Any]:
    names = ("run_id", "task", "verdict", "output", "served_first", "golden", "gates")
    intervals = {
        name: run.candidate.get("intervals", {}).get(name) for name in measures.headline(run.candidate)
    }
    return {
        **{name: run.metrics.get(name) for name in names},
        "model": run.candidate.get("model"),
        "metrics": measures.headline(run.candidate),
        "grades": measures.grades(run.metrics["candidates"]),
        "intervals": {name: interval for name, interval in intervals.items() if interval},
    }


def grades(own: Evaluated, rival: Evaluated) -> dict[str, list[str]]:
    """The judge's grades of the candidates beside those that would answer first, by name: a cell a run."""
    judge = next(measure for measure in measures.MEASURES if measure.name == "judge")
    others = [
        {
            name: each
            for name, each in run.metrics["candidates"].items()
            if name != run.metrics["served_first"]
        }
        for run in (own, rival)
    ]
    graded = dict.fromkeys(name for of_run in others for name in measures.grades(of_run))
    return {name: [cell(judge, of_run.get(name, {})) for of_run in others] for name in graded}


def cell(measure: measures.Measure, candidate: Mapping[str, Any]) -> str:
    """A number with its 95 % interval, as it stands in a table."""
    number = measure.written(measure.of(candidate))
    interval = measure.interval_of(candidate)
    return f"{number} ({' to '.join(map(measure.written, interval))})" if interval else number

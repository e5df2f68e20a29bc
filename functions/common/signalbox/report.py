"""The report of a run: one self-contained page from which a person can decide."""

from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined, Template

from signalbox.run import Run
from signalbox.task import Task

_COLUMNS = {
    "valid_share": ("Usable answers", "share"),
    "mae": ("Mean absolute error", "number"),
    "within_005": ("All weights within 0.05", "share"),
    "within_010": ("All weights within 0.10", "share"),
    "dominant_share": ("Dominant signal right", "share"),
    "rubric": ("Rubric, 1 to 5", "number"),
    "accuracy": ("Accuracy", "share"),
    "macro_f1": ("Macro F1", "number"),
}


def render(run: Run, task: Task, metrics: dict[str, Any], validation: dict[str, Any]) -> str:
    """Write the report of an evaluated run as HTML; whatever came from outside is escaped.

    Parameters
    ----------
    metrics : dict
        The complete metrics.json, gates and verdict included.
    validation : dict
        validation.json.
    """
    candidates = metrics["candidates"]
    columns = [
        (name, title, kind)
        for name, (title, kind) in _COLUMNS.items()
        if any(name in measured for measured in candidates.values())
    ]
    return _template().render(
        run=run, task=task, metrics=metrics, candidates=candidates, columns=columns, validation=validation
    )


@cache
def _template() -> Template:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["share"] = lambda value: "–" if value is None else f"{value:.1%}"
    environment.filters["number"] = lambda value: "–" if value is None else f"{value:.3f}"
    environment.filters["milliseconds"] = lambda value: "–" if value is None else f"{value:,.1f}"
    return environment.from_string(files("signalbox").joinpath("report.html.jinja").read_text(encoding="utf-8"))

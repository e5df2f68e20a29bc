"""The report of a run: one self-contained page from which a person can decide."""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined, Template
from markupsafe import Markup

from signalbox import charts, report_dataset, wording
from signalbox.candidate import REPEATS
from signalbox.confusion import FEW, Matrix, matrix
from signalbox.measures import MEASURES
from signalbox.report_data import Asked, Distribution, ReportData, gather
from signalbox.task import Labels

__all__ = ["ReportData", "gather", "render"]

TITLES = {
    "embedded": "Embedded student",
    "bedrock": "Custom model",
    "base": "Base model",
    "baseline": "Baseline",
    "live": "Live when measured",
}
"""What the candidates are called on the page."""

_Write = Callable[[Any], str]
_MEASURES: dict[str, tuple[str, _Write]] = {
    **{measure.name: (measure.title[0].upper() + measure.title[1:], measure.write) for measure in MEASURES},
    "min_golden": ("Golden queries", wording.count),
    "not_worse_than_live": ("Worse than live by", wording.number),
    "not_worse_on_live_golden": ("Worse than live by, on the live run's golden set", wording.number),
}
"""Measures and gates: what they are called, and how their values are written."""

_ROWS: tuple[tuple[str, str, tuple[str, ...], _Write, str], ...] = (
    *(
        ("Quality", _MEASURES[name][0], (name,), _MEASURES[name][1], name)
        for name in (
            "valid_share",
            "mae",
            "within_005",
            "within_010",
            "dominant_share",
            "rubric",
            "accuracy",
            "macro_f1",
        )
    ),
    ("Judge", "Grade, 1 to 5", ("judge", "mean"), wording.grade, "judge"),
    ("Judge", "Standard deviation", ("judge", "spread"), wording.grade, ""),
    ("Judge", "Answers graded", ("judge", "graded"), wording.count, ""),
    ("Judge", "Answers without a grade", ("judge", "null"), wording.count, ""),
    ("Latency", "Mean", ("latency_ms", "mean"), wording.milliseconds, "latency_mean_ms"),
    ("Latency", "Median", ("latency_ms", "p50"), wording.milliseconds, "latency_p50_ms"),
    ("Latency", "p95", ("latency_ms", "p95"), wording.milliseconds, "latency_p95_ms"),
    ("Latency", "p99", ("latency_ms", "p99"), wording.milliseconds, ""),
    ("Tokens", "In", ("tokens", "input"), wording.count, ""),
    ("Tokens", "Out", ("tokens", "output"), wording.count, ""),
    ("Cost", "1,000 queries", ("cost", "per_1000_queries"), wording.dollars, ""),
    ("Cost", "A million queries", ("cost", "per_million_queries"), wording.dollars, ""),
    ("Cost", "of which the model", ("cost", "model_per_million"), wording.dollars, ""),
    ("Cost", "of which the API and Lambda", ("cost", "infrastructure_per_million"), wording.dollars, ""),
)
"""Rows of the comparison: group, title, where the value stands, how it is written, and the name of its interval."""

_FIGURES_ALONE = re.compile(r"[-\d.e]+, at (least|most) [-\d.e]+ (reached|is required)")
"""The reason of a gate that repeats its value and its limit."""

_MOST_CHARTS = 12
_MOST_SIGNALS = 6
_MOST_STEPS = 20


@dataclass(frozen=True)
class Cell:
    """A number of the comparison, and its 95 % interval in words ("" if it has none)."""

    value: str
    interval: str = ""


def render(data: ReportData) -> str:
    """Write the report of an evaluated run as HTML.

    Whatever comes from outside is made harmless (`wording.harmless`) and escaped wherever it is shown. The page has
    no script, and its Content-Security-Policy lets it load nothing.
    """
    metrics = data.metrics
    first = metrics["served_first"]
    candidates = {first: metrics["candidates"][first]} | metrics["candidates"]
    signals = _most_telling(data) if metrics["output"] == "weights" else ()
    return _template().render(
        data=data,
        run=data.run,
        task=data.task,
        metrics=metrics,
        candidates=candidates,
        first=first,
        name_of=lambda candidate: TITLES.get(candidate, candidate),
        the=the,
        gates=[_gate(gate, candidates[first]) for gate in metrics["gates"]],
        throughput=_throughput(metrics.get("throughput")),
        verdict=_verdict(metrics),
        why=_why(metrics),
        rows=_rows(candidates),
        not_judged=_not_judged(candidates),
        repeats=REPEATS,
        signals=signals,
        hidden_signals=len(getattr(data.task.output, "signals", ())) - len(signals),
        picture=_picture(candidates, metrics),
        found=report_dataset.facts(data),
        hardness=report_dataset.hardness(data, list(candidates)),
        examples=report_dataset.examples(data.validation),
        distributions=_distribution_charts(data.distributions),
        losses=[_loss_chart(number, curve) for number, curve in enumerate(data.curves, start=1)],
        confusion=_confusion(candidates[first].get("confusion"), data.task.output),
        few=FEW,
    )


def _gate(gate: dict[str, Any], measured: dict[str, Any]) -> dict[str, Any]:
    """Return a gate as it is shown: with its value's interval, and its reason where that says more than the figures."""
    title, write = _MEASURES.get(gate["name"], (gate["name"].replace("_", " ").capitalize(), wording.number))
    return gate | {
        "title": title,
        "value": Cell(write(gate["value"]), _interval(measured, gate["name"], write)),
        "limit": f"{'at least' if gate['at_least'] else 'at most'} {write(gate['limit'])}",
        "reason": "" if _FIGURES_ALONE.fullmatch(gate["reason"]) else wording.typographic(gate["reason"]),
    }


def _throughput(said: dict[str, Any] | None) -> str:
    """Say how the custom model is deployed, and from which rate of requests on an hour's price is the cheaper one."""
    if said is None:
        return ""
    hour, rate = said["usd_per_hour"], said["requests_per_minute"]
    units = f"{said['model_units']} model unit{'' if said['model_units'] == 1 else 's'}"
    paid = "" if isinstance(hour, dict) else f", {wording.dollars(hour)} an hour by the task's own price"
    term = said["commitment"].replace("_", " ")
    deployed = (
        f"provisioned, {units}, commitment {term}{paid}, which the cost of the run does not count"
        if said["type"] == "provisioned"
        else f"on demand, paid by the token ({units} would be provisioned{paid})"
    )
    if isinstance(rate, dict):
        return (
            f"{deployed}; from which rate on provisioned throughput is cheaper is unknown: {rate['unknown']}"
        )
    return (
        f"{deployed}; provisioned is cheaper from {wording.count(math.ceil(rate))} requests a minute on, by the tokens "
        "measured, if the units carry as many: what a unit carries is not published"
    )


def _verdict(metrics: dict[str, Any]) -> str:
    """Return what has become of the run: its verdict, or that its promotion was taken back."""
    return "WITHDRAWN" if metrics.get("rolled_back") else metrics["verdict"]


def _why(metrics: dict[str, Any]) -> str:
    """Say why the run came to its verdict, and first of all why it was withdrawn, if it was."""
    back = metrics.get("rolled_back")
    decided = _decided(metrics)
    if not back:
        return decided
    by = f"{back['by']}, without a person" if back["how"] == "alarm" else back["by"] or "a person"
    at = back["at"][:16].replace("T", " ")
    live = f"{back['to_model']} of {back['to_run_id']} was made live again"
    reason = back["reason"].rstrip(".")
    return f"Withdrawn by {by}, on {at} UTC: {reason}. {live}. Before that: {decided}"


def _decided(metrics: dict[str, Any]) -> str:
    """Say in one sentence why the run came to its verdict."""
    gates = metrics["gates"]
    failed = [_MEASURES.get(gate["name"], (gate["name"],))[0].lower() for gate in gates if not gate["passed"]]
    person = (metrics.get("provenance") or {}).get("promoted_by")
    on = f"on {metrics['golden']:,} golden queries"
    missed = f"{len(failed)} of {len(gates)} gates ({_listed(failed)})"
    if person:
        held = f", though it had failed {missed}" if failed else ""
        replaced = f" in place of {person['replaces']}" if person.get("replaces") else ""
        return f"{person['by'] or 'A person'} promoted it{replaced}: {person['reason'].rstrip('.')}{held}."
    if failed:
        return f"It failed {missed} {on}{_standing(metrics)}."
    passed = "its only gate" if len(gates) == 1 else f"all {len(gates)} gates"
    return f"It passed {passed} {on}{_standing(metrics)}."


def _standing(metrics: dict[str, Any]) -> str:
    """Say how the candidate that answers first compares with the others: "; it is better than the base model"."""
    found = [*(metrics.get("differences") or ())]
    if metrics.get("compared_with_live"):
        found.insert(0, metrics["compared_with_live"] | {"rival": "live"})
    compared = [each for each in found if each["worse_by"] is not None]
    against = {
        verdict: _listed([the(each["rival"]) for each in compared if each["verdict"] == verdict])
        for verdict in ("better", "worse", "no difference shown")
    }
    sides = [f"{verdict} than {against[verdict]}" for verdict in ("better", "worse") if against[verdict]]
    standing = f"; it is {' and '.join(sides)}" if sides else ""
    if against["no difference shown"]:
        standing += f"; no difference from {against['no difference shown']} is shown"
    return standing


def the(candidate: str) -> str:
    """Name a candidate within a sentence."""
    if candidate == "live":
        return "the model that was live when it was measured"
    return f"the {TITLES.get(candidate, candidate).lower()}"


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1]))) if names else ""


def _rows(candidates: dict[str, Any]) -> dict[str, list[tuple[str, list[Cell]]]]:
    """Return the rows of the comparison by group, without those that no candidate has a value for."""
    groups: dict[str, list[tuple[str, list[Cell]]]] = {}
    for group, title, path, write, interval in _ROWS:
        values = [_at(measured, path) for measured in candidates.values()]
        if all(value is None for value in values):
            continue
        cells = [
            Cell(write(value), _interval(measured, interval, write) if value is not None else "")
            for value, measured in zip(values, candidates.values(), strict=True)
        ]
        groups.setdefault(group, []).append((title, cells))
    return groups


def _not_judged(candidates: dict[str, Any]) -> dict[str, str]:
    """Return by reason which candidates the judge gave no grade that counts."""
    by_reason: dict[str, list[str]] = {}
    for name, measured in candidates.items():
        if reason := _at(measured, ("judge", "error")):
            by_reason.setdefault(reason, []).append(the(name))
    return {reason: _listed(names) for reason, names in by_reason.items()}


def _at(measured: dict[str, Any], path: tuple[str, ...]) -> Any:
    """Return a value from nested dicts, or None where a candidate does not have it."""
    value: Any = measured
    for key in path:
        value = (value or {}).get(key)
    return value


def _interval(measured: dict[str, Any], name: str, write: _Write) -> str:
    ends = (measured.get("intervals") or {}).get(name)
    return f"{write(ends[0])} to {write(ends[1])}" if ends else ""


def _most_telling(data: ReportData) -> tuple[str, ...]:
    """Return the signals that the tables of answers have columns for: those of the greatest mean weight."""
    signals = getattr(data.task.output, "signals", ())
    if len(signals) <= _MOST_SIGNALS:
        return tuple(signals)
    shown = {
        of.signal for of in sorted(data.distributions, key=lambda of: of.mean, reverse=True)[:_MOST_SIGNALS]
    }
    return tuple(signal for signal in signals if signal in shown) or tuple(signals[:_MOST_SIGNALS])


def _picture(candidates: dict[str, Any], metrics: dict[str, Any]) -> Markup | None:
    """Draw quality, latency and cost of the candidates that have both of the first two."""
    measure = "accuracy" if metrics["output"] == "labels" else "mae"
    marks = []
    for name, measured in candidates.items():
        latency, value = measured.get("latency_ms") or {}, measured.get(measure)
        if value is None or not latency.get("p50"):
            continue
        low, high = (measured.get("intervals") or {}).get(measure) or (value, value)
        marks.append(
            charts.Mark(
                candidate=name,
                title=TITLES.get(name, name),
                latency=(latency["p50"], latency["p50"], latency.get("p95") or latency["p50"]),
                quality=(value, low, high),
                cost=_at(measured, ("cost", "per_million_queries")),
                first=name == metrics["served_first"],
            )
        )
    if not marks:
        return None
    title = _MEASURES[measure][0]
    description = "; ".join(
        f"{mark.title}: {title.lower()} {_MEASURES[measure][1](mark.quality[0])}, median latency "
        f"{wording.milliseconds(mark.latency[0])}, "
        + ("not priced" if mark.cost is None else f"{wording.dollars(mark.cost)} a million queries")
        for mark in marks
    )
    return charts.quality(
        marks, title.lower(), measure == "mae", f"{title} against latency and cost", description
    )


def _distribution_charts(distributions: Sequence[Distribution]) -> list[tuple[str, Markup]]:
    """Draw the signals' distributions, of many signals the 12 of the greatest mean weight."""
    shown = sorted(distributions, key=lambda of: of.mean, reverse=True)[:_MOST_CHARTS]
    most = max((max(of.counts) for of in shown), default=0)
    return [
        (
            of.signal,
            charts.distribution(
                of,
                number,
                most,
                f"Weights of {of.signal}",
                f"Records by weight; mean {of.mean:.2f}, median {of.median:.2f}, "
                f"80% of them from {of.low:.2f} to {of.high:.2f}",
            ),
        )
        for number, of in enumerate((of for of in distributions if of in shown), start=1)
    ]


def _loss_chart(number: int, curve: Any) -> dict[str, Any]:
    """Draw a training's losses, or rewards, and thin them out for a table."""
    parts = []
    for name, points in (("training", curve.training), ("validation", curve.validation)):
        if points:
            parts.append(
                f"{name} {curve.measure} {points[0][1]:.3f} at first, {points[-1][1]:.3f} at the end"
            )
    validation = dict(curve.validation)
    steps = sorted({step for step, _ in (*curve.training, *curve.validation)})
    kept = {*steps[:: max(1, math.ceil(len(steps) / _MOST_STEPS))], *steps[-1:]}
    if len(curve.validation) <= _MOST_STEPS:
        kept |= set(validation)
    training = dict(curve.training)
    return {
        "title": curve.title,
        "measure": curve.measure,
        "summary": "; ".join(parts),
        "chart": charts.losses(curve, number, "; ".join(parts)),
        "rows": [(step, training.get(step), validation.get(step)) for step in sorted(kept)],
    }


def _confusion(counts: dict[str, dict[str, int]] | None, output: Any) -> Matrix | None:
    """Return the confusion matrix of a candidate, of a task for labels."""
    return matrix(counts, output.labels) if counts and isinstance(output, Labels) else None


def _answers(asked: Asked, signals: Sequence[str]) -> list[dict[str, Any]]:
    """Return the lines of one query in the table of answers: the reference, then every candidate."""
    wanted = asked.reference.weights or {}
    lines = [_line("Reference", asked.reference, asked.reference_text, "", None, wanted, signals)]
    for said in asked.said:
        title = TITLES.get(said.candidate, said.candidate)
        lines.append(_line(title, said.answer, said.text, said.problem, said.error, wanted, signals))
        lines[-1]["candidate"] = said.candidate
    return lines


def _line(
    title: str, answer: Any, text: str, problem: str, error: float | None, wanted: Any, signals: Any
) -> dict[str, Any]:
    given = (answer.weights if answer else None) or {}
    return {
        "title": title,
        "candidate": "",
        "usable": answer is not None,
        "label": answer.label if answer else None,
        "weights": [(given.get(signal), _off(given.get(signal), wanted.get(signal))) for signal in signals],
        "error": error,
        "said": (answer.reasoning if answer else "") or problem,
        "text": text,
    }


def _off(given: float | None, wanted: float | None) -> float:
    """Return how far a weight is from the reference, as a share of the distance that is shaded most (0.5)."""
    return 0.0 if given is None or wanted is None else min(1.0, round(abs(given - wanted) / 0.5, 2))


@cache
def _template() -> Template:
    environment = Environment(
        loader=FunctionLoader(lambda name: files("signalbox").joinpath(name).read_text(encoding="utf-8")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=wording.harmless,
    )
    writers = (
        wording.share,
        wording.number,
        wording.grade,
        wording.milliseconds,
        wording.dollars,
        wording.count,
        wording.size,
        wording.duration,
        wording.difference,
        wording.shortened,
    )
    environment.filters |= {write.__name__: write for write in writers} | {"answers": _answers}
    return environment.get_template("report.html.jinja")

"""What is measured of a candidate: where each number stands in metrics.json, what it is called, how it is written."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from signalbox.wording import ABSENT, dollars, grade, milliseconds, number, share


@dataclass(frozen=True)
class Measure:
    """One number of a candidate.

    Attributes
    ----------
    name : str
        Its key among a candidate's intervals and headline numbers, and in a task's gates.
    title : str
        In words, to stand in a table.
    write : callable
        Writes the number with its unit.
    path : tuple of str
        Where it stands below a candidate in metrics.json; its name alone if empty.
    """

    name: str
    title: str
    write: Callable[[float], str]
    path: tuple[str, ...] = ()

    def of(self, candidate: Mapping[str, Any]) -> float | None:
        """Return the number of a candidate of metrics.json, None where it has none."""
        value: Any = candidate
        for key in self.path or (self.name,):
            value = value.get(key) if isinstance(value, Mapping) else None
        return value if _is_number(value) else None

    def interval_of(self, candidate: Mapping[str, Any]) -> tuple[float, float] | None:
        """Return its 95 % interval, None where it has none."""
        match (candidate.get("intervals") or {}).get(self.name):
            case [low, high] if _is_number(low) and _is_number(high):
                return low, high
        return None

    def written(self, value: float | None) -> str:
        """Write the number, a dash where there is none."""
        return self.write(value) if _is_number(value) else ABSENT


MEASURES = (
    Measure("valid_share", "usable answers", share),
    Measure("mae", "mean absolute error", number),
    Measure("within_005", "all weights within 0.05", share),
    Measure("within_010", "all weights within 0.10", share),
    Measure("dominant_share", "dominant signal right", share),
    Measure("rubric", "rubric, 1 to 5", grade),
    Measure("accuracy", "accuracy", share),
    Measure("macro_f1", "macro F1", number),
    Measure("judge", "judge", grade, ("judge", "mean")),
    Measure("latency_p50_ms", "latency, p50", milliseconds, ("latency_ms", "p50")),
    Measure("latency_p95_ms", "latency, p95", milliseconds, ("latency_ms", "p95")),
    Measure("cost_per_1000_queries", "cost of 1,000 queries", dollars, ("cost", "per_1000_queries")),
)
"""All of them, in the order in which they are shown; a candidate has those of its task's kind of output."""

_MATTERING = ("mae", "within_010", "dominant_share", "accuracy", "macro_f1", "judge")
_OPERATING = ("latency_p95_ms", "cost_per_1000_queries")


def headline(candidate: Mapping[str, Any]) -> dict[str, float]:
    """Return the numbers of a candidate of metrics.json by their names, rounded for an event, a mail or a pointer."""
    numbers = {measure.name: measure.of(candidate) for measure in MEASURES}
    return {name: round(value, 6) for name, value in numbers.items() if value is not None}


def grades(candidates: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """Return by candidate of metrics.json mean and spread of the judge's grades, rounded; those that there are."""
    judged = {name: candidate.get("judge") or {} for name, candidate in candidates.items()}
    return {
        name: {key: round(said[key], 6) for key in ("mean", "spread") if _is_number(said.get(key))}
        for name, said in judged.items()
        if _is_number(said.get("mean"))
    }


def grades_in_words(grades: Mapping[str, Mapping[str, float]]) -> str:
    """Write what `grades` returned on one line: each candidate's mean, with the standard deviation in brackets."""
    return ", ".join(
        f"{name} {grade(said['mean'])}" + (f" ({grade(said['spread'])})" if "spread" in said else "")
        for name, said in grades.items()
    )


def mattering(numbers: Mapping[str, Any]) -> list[Measure]:
    """Choose the measures by which a person decides, about five, from those that headline numbers have.

    Where no judge has scored, the rubric stands in its place.
    """
    judged = _MATTERING if _is_number(numbers.get("judge")) else (*_MATTERING[:-1], "rubric")
    by_name = {measure.name: measure for measure in MEASURES}
    return [by_name[name] for name in (*judged, *_OPERATING) if _is_number(numbers.get(name))]


def shown(candidates: Iterable[Mapping[str, Any]]) -> list[Measure]:
    """Choose the measures that at least one of the candidates has."""
    there = list(candidates)
    return [measure for measure in MEASURES if any(measure.of(each) is not None for each in there)]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)

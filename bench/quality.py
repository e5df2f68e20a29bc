"""Quality: what bench.student_quality measures, beside what was asked for."""

from pathlib import Path

from bench import student_quality
from bench.figures import Figure

PART = "Quality of the embedded student"
_TARGETS = {
    ("video-search, 5 folds", "MAE"): (0.033, False),
    ("video-search, 5 folds", "rubric"): (4.33, True),
    ("atis, 5 folds", "accuracy"): (0.98, True),
    ("15,000 records", "training s"): (60.0, False),
    ("15,000 records", "peak GB"): (2.0, False),
}


def measure(data: Path | None) -> list[Figure]:
    """Return the figures; those of quality have targets on real labels alone, for which they were set.

    What it costs to answer is left out: the part on the student's cost measures it beside its peer.
    """
    where = "cross-validation, " + ("published labels" if data else "examples of this repository")
    figures = []
    for row, values in student_quality.measure(data).items():
        if row.endswith(", cost"):
            continue
        for name, value in values.items():
            target, at_least = _TARGETS.get((row, name), (None, False))
            if data is None and row != "15,000 records":
                target = None
            figures.append(Figure(PART, f"{row}: {name}", float(value), "", where, target, at_least))
    return figures

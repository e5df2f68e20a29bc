"""The confusion matrix as the report shows it: which label was answered for which, and what was never asked."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

MOST_LABELS = 25
"""Columns that fit a page, with their names turned by a right angle."""
FEW = 5
"""Golden queries a label needs for its precision, recall and F1 to say something; one of fewer moves them a lot."""


@dataclass(frozen=True)
class Row:
    """What was answered to the golden queries of one label.

    Attributes
    ----------
    cells : list[int]
        Answers by label, in the order of the columns.
    others, unusable : int
        Answers with a label that has no column, and without a usable one.
    total : int
        Golden queries of the label.
    """

    label: str
    cells: list[int]
    others: int
    unusable: int
    total: int


@dataclass(frozen=True)
class Matrix:
    """A confusion matrix, reduced to the labels with the most errors if there are many.

    Attributes
    ----------
    labels : list[str]
        The columns.
    hidden : int
        How many labels were asked for or answered and have no column.
    unusable : bool
        Whether any answer was.
    few : list[str]
        Labels of which the golden set has fewer than five queries, hence figures that say little.
    unasked : list[str]
        Labels of the task of which it has none.
    """

    labels: list[str]
    rows: list[Row]
    hidden: int
    unusable: bool
    few: list[str]
    unasked: list[str]


def matrix(counts: Mapping[str, Mapping[str, int]], labels: Sequence[str]) -> Matrix:
    """Arrange how often each label was answered for each.

    Parameters
    ----------
    counts : mapping
        Of metrics.json: by the reference, by the answer ("" for an unusable one), how often.
    labels : Sequence[str]
        Those of the task, in its order.
    """
    errors: Counter[str] = Counter()
    for reference, answers in counts.items():
        for answer, number in answers.items():
            if answer != reference:
                errors.update({reference: number, answer: number})
    known = [label for label in labels if label in counts or errors[label]]
    kept = set(sorted(known, key=lambda label: -errors[label])[:MOST_LABELS])
    columns = [label for label in known if label in kept]
    totals = {reference: sum(answers.values()) for reference, answers in counts.items()}
    return Matrix(
        labels=columns,
        rows=[_row(label, counts[label], columns) for label in columns if label in counts],
        hidden=len(known) - len(columns),
        unusable=any(answers.get("") for answers in counts.values()),
        few=[label for label in labels if 0 < totals.get(label, 0) < FEW],
        unasked=[label for label in labels if label not in counts],
    )


def _row(label: str, answers: Mapping[str, int], columns: Sequence[str]) -> Row:
    cells = [answers.get(column, 0) for column in columns]
    total, unusable = sum(answers.values()), answers.get("", 0)
    return Row(label, cells, total - sum(cells) - unusable, unusable, total)

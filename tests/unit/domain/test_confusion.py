"""The confusion matrix of a report: nothing is lost, what is wrong is kept, and what was not asked is named."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from signalbox.confusion import MOST_LABELS, matrix

LABELS = [f"label-{number}" for number in range(40)]
answered = st.sampled_from([*LABELS, ""])


@given(st.lists(st.tuples(st.sampled_from(LABELS), answered), min_size=1, max_size=200))
def test_every_golden_query_of_a_row_is_in_one_of_its_cells(pairs: list[tuple[str, str]]) -> None:
    counts: dict[str, Counter[str]] = {}
    for reference, answer in pairs:
        counts.setdefault(reference, Counter())[answer] += 1
    shown = matrix(counts, LABELS)
    for row in shown.rows:
        assert sum(row.cells) + row.others + row.unusable == row.total == counts[row.label].total()
    assert len(shown.labels) <= MOST_LABELS
    assert shown.hidden == 0 or len(shown.labels) == MOST_LABELS
    assert {*shown.unasked} == {*LABELS} - {*counts}


def test_of_many_labels_those_with_errors_are_kept() -> None:
    counts = {label: {label: 9} for label in LABELS} | {LABELS[-1]: {LABELS[-2]: 1, LABELS[-1]: 8}}
    shown = matrix(counts, LABELS)
    assert {LABELS[-1], LABELS[-2]} <= set(shown.labels)
    assert shown.hidden == len(LABELS) - MOST_LABELS


def test_labels_with_few_golden_queries_or_none_are_named() -> None:
    shown = matrix({"flight": {"flight": 5}, "meal": {"flight": 4}}, ["flight", "flight+meal", "meal"])
    assert shown.few == ["meal"]
    assert shown.unasked == ["flight+meal"]
    assert not shown.unusable

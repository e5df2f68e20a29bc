"""What a dataset is like: how long its queries are, how often they come again, in what languages, and how hard.

Findings like those of `dataset_quality`, of which none is a fault. Queries are quoted with personal data masked.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from signalbox.answer import Answer
from signalbox.languages import UNCLEAR, language_of
from signalbox.personal_data import mask
from signalbox.records import Record, shortened

EXAMPLES = 20
_OFTEN = 5
_BIN = 10
_LAST_BIN = 120
CLEAR, LEADING = 0.3, 0.1
"""How far the greatest weight is ahead of the second where the answer is clear, and where a signal still leads."""
FREQUENT, RARE = 0.05, 0.01
"""Share of the labelled records that have a frequent label, and below which a label is rare."""


def profile(records: Sequence[Record]) -> dict[str, Any]:
    """Describe the usable records of a dataset: lengths, repetitions, languages and difficulty.

    docs/dataset-format.md says what is in each.
    """
    by_query: dict[str, list[Record]] = {}
    for record in records:
        by_query.setdefault(record.key, []).append(record)
    return {
        "lengths": _lengths([group[0] for group in by_query.values()]),
        "repetitions": _repetitions(by_query),
        "languages": _languages(by_query),
        "difficulty": _difficulty([record for record in records if record.answer is not None]),
    }


def grade(answer: Answer, balance: Mapping[str, float]) -> str:
    """Say how hard a query is by its answer: of weights by the lead of the greatest, of a label by how common it is.

    Parameters
    ----------
    balance : Mapping[str, float]
        Share of the labelled records by label.
    """
    if answer.weights is None:
        share = balance.get(answer.label or "", 0.0)
        return "frequent label" if share >= FREQUENT else "common label" if share >= RARE else "rare label"
    second, first = sorted(answer.weights.values())[-2:]
    # As teachers write them, 0.4 and 0.3 are 0.1 apart, whatever floats make of it.
    lead = first - second + 1e-9
    return "clear" if lead >= CLEAR else "leading" if lead >= LEADING else "close"


GRADES = {
    "weights": ("clear", "leading", "close"),
    "labels": ("frequent label", "common label", "rare label"),
}
"""From the easiest to the hardest."""


def _lengths(records: Sequence[Record]) -> dict[str, Any]:
    """Say how long the different queries are, in characters; the longest by line."""
    if not records:
        return {
            "median": None,
            "p95": None,
            "most": None,
            "words": None,
            "counts": [],
            "bin": _BIN,
            "longest": [],
        }
    lengths = sorted(len(record.query) for record in records)
    words = sorted(len(record.key.split()) for record in records)
    counts = [0] * (_LAST_BIN // _BIN + 1)
    for length in lengths:
        counts[min(length, _LAST_BIN) // _BIN] += 1
    longest = sorted(records, key=lambda record: (-len(record.query), record.line))[:_OFTEN]
    return {
        "median": lengths[len(lengths) // 2],
        "p95": lengths[int(0.95 * (len(lengths) - 1))],
        "most": lengths[-1],
        "words": words[len(words) // 2],
        "counts": counts,
        "bin": _BIN,
        "longest": [record.line for record in longest],
    }


def _repetitions(by_query: Mapping[str, Sequence[Record]]) -> dict[str, Any]:
    """Say how many queries stand several times, and which most often."""
    repeated = sorted(
        (group for group in by_query.values() if len(group) > 1), key=lambda g: (-len(g), g[0].line)
    )
    return {
        "queries": len(repeated),
        "most": len(repeated[0]) if repeated else 1,
        "examples": [
            {
                "times": len(group),
                "lines": [record.line for record in islice(group, _OFTEN)],
                "query": shortened(mask(group[0].query)),
            }
            for group in repeated[:EXAMPLES]
        ],
    }


def _languages(by_query: Mapping[str, Sequence[Record]]) -> dict[str, Any]:
    """Say in what languages the different queries seem to be, and where those stand that are not in the main one."""
    counts: Counter[str] = Counter()
    lines: dict[str, list[int]] = {}
    for key, group in by_query.items():
        language = language_of(key)
        counts[language] += 1
        if len(lines.setdefault(language, [])) < EXAMPLES:
            lines[language].append(group[0].line)
    known = [language for language, _ in counts.most_common() if language != UNCLEAR]
    return {
        "shares": {
            language: round(count / counts.total(), 4) for language, count in counts.most_common(EXAMPLES)
        },
        "others": {language: lines[language] for language in known[1:EXAMPLES]},
    }


def _difficulty(labelled: Sequence[Record]) -> dict[str, Any]:
    """Say how many labelled records are how hard, and where the hardest stand."""
    answers = [record.answer for record in labelled if record.answer]
    if not answers:
        return {"measure": None, "shares": {}, "hardest": []}
    of_weights = answers[0].weights is not None
    grades = GRADES["weights" if of_weights else "labels"]
    balance = {} if of_weights else _shares(answer.label or "" for answer in answers)
    graded = [(grade(record.answer, balance), record) for record in labelled if record.answer]
    counts = Counter(name for name, _ in graded)
    return {
        "measure": "lead of the greatest weight" if of_weights else "share of the records with the label",
        "shares": {name: round(counts[name] / len(graded), 4) for name in grades},
        "hardest": list(islice(_lines_of(graded, grades[-1]), EXAMPLES)),
    }


def _lines_of(graded: Iterable[tuple[str, Record]], name: str) -> Iterator[int]:
    return (record.line for grade, record in graded if grade == name)


def _shares(labels: Iterable[str]) -> dict[str, float]:
    counts = Counter(labels)
    return {label: count / counts.total() for label, count in counts.items()}

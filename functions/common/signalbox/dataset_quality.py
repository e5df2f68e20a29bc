"""What is odd about a dataset that can be used: findings and warnings, none of which rejects it.

Queries are quoted as examples in validation.json alone, with personal data masked.
"""

import json
import statistics
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations, islice
from typing import Any

from signalbox.answer import Answer
from signalbox.cost import room_for, tokens_of
from signalbox.customization import Customization
from signalbox.golden_set import mean_weights
from signalbox.grading import HIGHEST_GRADE, reward_of, rubric
from signalbox.near_duplicates import SIMILARITY, Pair, groups, near_duplicates
from signalbox.personal_data import mask
from signalbox.records import Record, shortened
from signalbox.scripts import NO_LETTERS, script_of
from signalbox.task import Labels, Task

EXAMPLES = 20
SAME_GRID = 0.95
"""A step is the dataset's own if this share of its answers keep to it."""
MOST_CONSTANT = 0.5
HIGH_RUBRIC = 4
"""From here on the rubric of a constant answer is warned of: an assumption."""
LEAST_DIFFERENCE = 0.05
"""Mean absolute difference of weights up to which two answers never contradict each other."""
FEWEST_REPEATED = 20
"""Queries that must stand twice before their answers say how noisy the teacher is."""
_COMPARED = 10
"""Answers of one query that are compared with each other."""
_GRIDS = (0.1, 0.05, 0.01)


def assess(
    records: Sequence[Record], golden: Sequence[Record], task: Task, split_off: bool
) -> dict[str, Any]:
    """Look at the usable records of a dataset.

    Parameters
    ----------
    records : Sequence[Record]
        All usable ones.
    golden : Sequence[Record]
        The golden set.
    split_off : bool
        Whether it was split off these records.

    Returns
    -------
    dict
        near_duplicates, near_leakage, teacher_noise, beyond_noise, constant_answers and scripts, of weights also grid
        and prior_rubric, with a customization job also long_answers; docs/dataset-format.md says what is in each.
    """
    by_query: dict[str, list[Record]] = {}
    for record in records:
        by_query.setdefault(record.key, []).append(record)
    near = _Near(by_query, golden)
    noise = _noise(by_query.values())
    answers = [record for record in records if record.answer is not None]
    return {
        "near_duplicates": near.duplicates(),
        "near_leakage": near.leakage(split_off),
        "teacher_noise": noise,
        "beyond_noise": _beyond_noise(by_query, near.pairs_of_records(), noise),
        **({} if isinstance(task.output, Labels) else _of_weights(answers)),
        "constant_answers": _constant(answers, task),
        **(
            {"long_answers": _long_answers(answers, () if split_off else golden, task.job)}
            if task.job
            else {}
        ),
        "scripts": _scripts(by_query),
    }


def warnings(findings: Mapping[str, Any]) -> Iterator[str]:
    """Put into sentences what a person should look at, without quoting any query."""
    near, leakage, beyond = (findings[name] for name in ("near_duplicates", "near_leakage", "beyond_noise"))
    if near["share"] > 0.1:
        yield f"{near['share']:.0%} of the queries nearly repeat another one; they teach less than their number says"
    if leakage["golden_queries"]:
        yield (
            f"{leakage['golden_queries']:,} golden queries nearly stand in the training data, too: what is measured "
            "on them flatters the student"
        )
    if beyond["queries"]:
        yield (
            f"queries whose own answers differ by more than the teacher's noise: {beyond['queries']:,}; see the "
            "examples, and label them again"
        )
    if beyond["near_queries"]:
        yield (
            f"queries that nearly repeat another one and have quite another answer: {beyond['near_queries']:,}; see "
            "the examples, some may be right"
        )
    grid = findings.get("grid")
    if grid and grid["off_grid"]:
        yield f"answers that leave the steps of {grid['step']:g} that the others keep to: {grid['off_grid']:,}"
    prior = findings.get("prior_rubric")
    if prior and prior >= HIGH_RUBRIC:
        yield (
            f"one and the same answer to every query, the mean of all, would have a rubric of {prior:.1f} of "
            f"{HIGHEST_GRADE} (a reward of {reward_of(prior):.2f}), so a high one says little of a student here: gate "
            "on mae or dominant_share, too, and do not train by it (REINFORCEMENT_FINE_TUNING)"
        )
    constant = findings["constant_answers"]
    if constant["share"] > MOST_CONSTANT and constant["suspicious"]:
        yield f"{constant['share']:.0%} of the answers are the same one; did the teacher look at the queries?"
    if constant["reasoning_share"] > MOST_CONSTANT:
        yield f"{constant['reasoning_share']:.0%} of the answers give the same reasoning"
    if long := findings.get("long_answers"):
        yield from _too_long("answers", long, long["most"])
        yield from _too_long("answers of the golden set", long.get("golden"), long["most"])
    if constant["unused"]:
        yield f"labels or signals of the task that never lead: {', '.join(constant['unused'])}"
    if findings["scripts"]["rare"]:
        yield f"scripts of hardly any query, so hardly learnt: {', '.join(findings['scripts']['rare'])}"


def _too_long(whose: str, found: Mapping[str, Any] | None, most: int) -> Iterator[str]:
    if found and found["longer"]:
        yield (
            f"{whose} longer than customization.max_response_tokens ({most:,}): {found['longer']:,} of "
            f"{found['answers']:,}; {longest_of(found)}. The served student is cut off there, and an answer that is "
            f"cut is none: raise it to {room_for(found['longest']):,}, as numbers have more tokens than the estimate, "
            "or shorten them"
        )


class _Near:
    """Near-duplicates among the queries of a dataset and its golden set."""

    def __init__(self, by_query: Mapping[str, Sequence[Record]], golden: Sequence[Record]) -> None:
        self._golden = {record.key: record for record in golden}
        self._by_query = by_query
        # The golden queries come first, so that each is compared with all that are nearly the same.
        self._keys = [*self._golden, *(key for key in by_query if key not in self._golden)]
        self._pairs = near_duplicates(self._keys, first=len(self._golden))

    def duplicates(self) -> dict[str, Any]:
        inside = [pair for pair in self._pairs if self._record(pair.one) and self._record(pair.other)]
        joined = groups(inside)
        queries = sum(map(len, joined))
        return {
            "similarity": SIMILARITY,
            "queries": queries,
            "share": _share(queries, len(self._by_query)),
            "groups": len(joined),
            "largest": len(joined[0]) if joined else 0,
            "examples": [self._example(pair) for pair in inside[:EXAMPLES]],
        }

    def leakage(self, split_off: bool) -> dict[str, Any]:
        """Find golden queries that are nearly the same as one that is trained on."""
        number = len(self._golden)
        across = [pair for pair in self._pairs if (pair.one < number) != (pair.other < number)]
        return {
            "split_off": split_off,
            "golden_queries": len({min(pair.one, pair.other) for pair in across}),
            "training_queries": len({max(pair.one, pair.other) for pair in across}),
            "examples": [self._example(pair) for pair in across[:EXAMPLES]],
        }

    def pairs_of_records(self) -> Iterator[tuple[Record, Record]]:
        for pair in self._pairs:
            one, other = self._record(pair.one), self._record(pair.other)
            if one and other:
                yield one, other

    def _record(self, place: int) -> Record | None:
        found = self._by_query.get(self._keys[place])
        return next((record for record in found if record.answer), found[0]) if found else None

    def _example(self, pair: Pair) -> dict[str, Any]:
        places = sorted((pair.one, pair.other))
        records = [self._record(place) or self._golden[self._keys[place]] for place in places]
        inside = [self._keys[place] in self._by_query for place in places]
        return {
            # A line of the golden set's own file is none of the dataset's.
            "lines": [record.line if here else None for record, here in zip(records, inside, strict=True)],
            "queries": [quoted(record.query) for record in records],
            "similarity": pair.similarity,
        }


def quoted(query: str) -> str:
    """Return a query as validation.json may quote it."""
    return shortened(mask(query))


def difference(one: Answer, other: Answer) -> float:
    """Return the mean absolute difference of two answers' weights, or 0 for the same label and 1 for another."""
    if one.weights is None or other.weights is None:
        return float(one.label != other.label)
    return statistics.fmean(abs(weight - other.weights[signal]) for signal, weight in one.weights.items())


def _noise(queries: Iterable[Sequence[Record]]) -> dict[str, Any]:
    """Measure how far the teacher's answers to one and the same query differ: no student can come closer."""
    repeated, differences = 0, []
    for group in queries:
        answers = [record.answer for record in group if record.answer][:_COMPARED]
        if len(answers) > 1:
            repeated += 1
            # One figure a query, so that one that stands ten times does not count for 45.
            differences.append(statistics.fmean(difference(*pair) for pair in combinations(answers, 2)))
    if not differences:
        return dict.fromkeys(("mean_difference", "median_difference", "p95_difference")) | {
            "repeated_queries": 0
        }
    ranked = sorted(differences)
    return {
        "repeated_queries": repeated,
        "mean_difference": round(statistics.fmean(ranked), 4),
        "median_difference": round(statistics.median(ranked), 4),
        "p95_difference": round(ranked[min(len(ranked) - 1, int(0.95 * len(ranked)))], 4),
    }


def _beyond_noise(
    by_query: Mapping[str, Sequence[Record]], near: Iterable[tuple[Record, Record]], noise: Mapping[str, Any]
) -> dict[str, Any]:
    """Find answers to one query, or to two nearly alike, that differ by more than the teacher does as a rule.

    Of weights: by more than 0.05 and, if 20 queries are repeated, twice their median difference. Of labels: any
    other label.
    """
    known = noise["repeated_queries"] >= FEWEST_REPEATED
    limit = max(LEAST_DIFFERENCE, 2 * noise["median_difference"] if known else 0.0)
    repeated = (
        pair
        for group in by_query.values()
        for pair in combinations(islice((record for record in group if record.answer), _COMPARED), 2)
    )
    same, close = _furthest(repeated, limit), _furthest(near, limit)
    return {
        "limit": round(limit, 4),
        "queries": len(same),
        "near_queries": len(close),
        "examples": [_apart(*entry) for entry in same[:EXAMPLES]],
        "near_examples": [_apart(*entry) for entry in close[:EXAMPLES]],
    }


def _furthest(pairs: Iterable[tuple[Record, Record]], limit: float) -> list[tuple[float, Record, Record]]:
    """Return for each query the pair that differs most and by more than the limit, the furthest apart first."""
    found: dict[str, tuple[float, Record, Record]] = {}
    for one, other in pairs:
        if one.answer and other.answer:
            apart = difference(one.answer, other.answer)
            if apart > (0 if one.answer.label else limit + 1e-9) and apart > found.get(one.key, (0.0,))[0]:
                found[one.key] = (apart, one, other)
    return sorted(found.values(), key=lambda entry: (-entry[0], entry[1].line))


def _apart(apart: float, one: Record, other: Record) -> dict[str, Any]:
    return {
        "lines": sorted((one.line, other.line)),
        "queries": [quoted(query) for query in dict.fromkeys((one.query, other.query))],
        "difference": round(apart, 4),
    }


def _grid(answers: Sequence[Record]) -> dict[str, Any]:
    """Find the steps in which weights are given, and the answers that leave them."""
    for step in _GRIDS:
        off = [record for record in answers if not _keeps_to(step, record)]
        if answers and len(off) <= (1 - SAME_GRID) * len(answers):
            return {"step": step, "off_grid": len(off), "lines": [record.line for record in off[:EXAMPLES]]}
    return {"step": None, "off_grid": 0, "lines": []}


def _of_weights(answers: Sequence[Record]) -> dict[str, Any]:
    given = [record.answer for record in answers if record.answer]
    prior = Answer(weights=mean_weights(given)) if given else None
    graded = [rubric(answer, prior) for answer in given]
    return {
        "grid": _grid(answers),
        # What is gained by knowing the answers' mean alone: the rubric is absolute, the answers may hardly differ.
        "prior_rubric": round(statistics.fmean(graded), 4) if graded else None,
    }


def _keeps_to(step: float, record: Record) -> bool:
    weights = record.answer.weights if record.answer else None
    return all(abs(weight / step - round(weight / step)) < 1e-6 for weight in (weights or {}).values())


def _constant(answers: Sequence[Record], task: Task) -> dict[str, Any]:
    """Find the answer, and the reasoning, that stand most often, and what of the task never leads."""
    said = Counter(_as_said(record.answer) for record in answers if record.answer)
    reasons = Counter(
        record.answer.reasoning for record in answers if record.answer and record.answer.reasoning
    )
    names = task.output.labels if isinstance(task.output, Labels) else task.output.signals
    leading = {name for record in answers if record.answer for name in record.answer.dominant()}
    common, count = said.most_common(1)[0] if said else ("", 0)
    return {
        "answer": shortened(common),
        "share": _share(count, len(answers)),
        # A label may well be that of most queries; the very same weights can hardly be.
        "suspicious": not isinstance(task.output, Labels) or count == len(answers),
        "reasoning_share": _share(reasons.most_common(1)[0][1], len(answers)) if reasons else 0.0,
        "unused": [name for name in names if name not in leading][:EXAMPLES] if answers else [],
        "lines": [
            r.line
            for r in islice((r for r in answers if r.answer and _as_said(r.answer) == common), EXAMPLES)
        ],
    }


def _long_answers(answers: Sequence[Record], given: Sequence[Record], job: Customization) -> dict[str, Any]:
    """Find answers of more tokens than the served student may write; `given` is a golden set's, which none learns."""
    golden = {"golden": _lengths(given, job)} if given else {}
    return {"most": job.max_response_tokens, **_lengths(answers, job), **golden}


def _lengths(answers: Sequence[Record], job: Customization) -> dict[str, Any]:
    lengths = [(_tokens_written(record, job), record.line) for record in answers]
    longer = [found for found in lengths if found[0] > job.max_response_tokens]
    longer.sort(key=lambda found: -found[0])
    return {
        "answers": len(lengths),
        "longest": max((tokens for tokens, _ in lengths), default=0),
        "longer": len(longer),
        "lines": [line for _, line in longer[:EXAMPLES]],
    }


def _tokens_written(record: Record, job: Customization) -> int:
    """Estimate the tokens of an answer as the student learns it: a reward is not told the teacher's reasoning."""
    if job.limits.answers_are_text or record.answer is None:
        return tokens_of([record.answer_text or ""])
    return tokens_of([_as_said(record.answer)])


def longest_of(lengths: Mapping[str, Any]) -> str:
    """Say where the longest answer stands and how long it is."""
    return f"the longest, line {lengths['lines'][0]}, has about {lengths['longest']:,} tokens"


def _as_said(answer: Answer) -> str:
    if answer.weights is None:
        return answer.label or ""
    return json.dumps({signal: round(weight, 4) for signal, weight in answer.weights.items()})


def _scripts(by_query: Mapping[str, Sequence[Record]]) -> dict[str, Any]:
    counts: Counter[str] = Counter()
    lines: dict[str, list[int]] = {}
    for group in by_query.values():
        script = script_of(group[0].query)
        counts[script] += 1
        if len(lines.setdefault(script, [])) < EXAMPLES:
            lines[script].append(group[0].line)
    rare = [name for name, count in counts.items() if name != NO_LETTERS and count < 0.02 * counts.total()]
    return {
        "shares": {script: _share(count, counts.total()) for script, count in counts.most_common(EXAMPLES)},
        "rare": {script: lines[script] for script in rare[:EXAMPLES]},
    }


def _share(part: int, whole: int) -> float:
    return round(part / whole, 4) if whole else 0.0

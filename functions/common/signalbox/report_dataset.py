"""What the report says of a run's dataset: its figures in words, how hard it is, and the records to look at."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from signalbox import wording
from signalbox.dataset_profile import GRADES, grade
from signalbox.report_data import Asked, ReportData

_SHOWN = 5
_LANGUAGES = 6
_MEANINGS = {
    "clear": "the greatest weight leads by 0.3 and more",
    "leading": "it leads by 0.1 to 0.3",
    "close": "it leads by less than 0.1",
    "frequent label": "5% of the records and more have it",
    "common label": "1% to 5% have it",
    "rare label": "less than 1% have it",
}


@dataclass(frozen=True)
class Hardness:
    """Records of one degree of difficulty, and how the candidates fare on the golden queries of that degree.

    Attributes
    ----------
    share : float | None
        Of the labelled records.
    golden : int
        Golden queries.
    results : tuple[float | None, ...]
        By candidate, in the order of the comparison: the mean absolute error, or the share of right labels.
    """

    name: str
    meaning: str
    share: float | None
    golden: int
    results: tuple[float | None, ...]


@dataclass(frozen=True)
class Examples:
    """Records to look at; each row has the lines, the queries and a figure."""

    title: str
    figure: str
    rows: tuple[tuple[str, tuple[str, ...], str], ...]


def facts(data: ReportData) -> list[tuple[str, str]]:
    """Return what was found in the dataset, by what it is called; without what was not looked for."""
    found = data.validation
    return [*_of_queries(found), *_of_answers(found, data), *_of_cost(found)]


def _of_queries(found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if (lengths := found.get("lengths")) and lengths["median"] is not None:
        yield (
            "Length of a query",
            f"{lengths['median']} characters in the middle, up to {lengths['p95']} for 19 of 20, "
            f"{lengths['most']} at most",
        )
    if (again := found.get("repetitions")) and again["queries"]:
        yield (
            "Standing more than once",
            f"{again['queries']:,} queries, the most frequent {again['most']:,} times",
        )
    if near := found.get("near_duplicates"):
        share = wording.share(near["share"])
        yield (
            "Nearly the same",
            f"{near['queries']:,} queries ({share}) in {near['groups']:,} groups, the largest of {near['largest']:,}"
            if near["queries"]
            else "no query",
        )
    if leakage := found.get("near_leakage"):
        yield "Nearly in the training data", f"{leakage['golden_queries']:,} golden queries"
    if languages := found.get("languages"):
        yield "Languages, estimated", _shares(languages["shares"])
    if scripts := found.get("scripts"):
        yield "Scripts", _shares(scripts["shares"])
    if personal := found.get("personal_data"):
        kinds = ", ".join(f"{kind}: {count:,}" for kind, count in personal["kinds"].items())
        yield "Personal data", kinds or "none found"


def _of_answers(found: Mapping[str, Any], data: ReportData) -> Iterator[tuple[str, str]]:
    noise = found.get("teacher_noise") or {}
    if noise.get("repeated_queries"):
        yield (
            "Teacher's noise",
            f"{wording.number(noise['mean_difference'])} between two answers to one query, over "
            f"{noise['repeated_queries']:,} queries that stand more than once; no student can come closer",
        )
    labelling = (data.metrics.get("dataset") or {}).get("labelling") or {}
    if labelling.get("noise") is not None:
        yield (
            "Noise when it was labelled",
            f"{wording.number(labelling['noise'])} between two answers of {labelling.get('teacher', 'the teacher')}",
        )
    if beyond := found.get("beyond_noise"):
        yield (
            "Contradictions beyond the noise",
            f"{beyond['queries']:,} queries, and {beyond['near_queries']:,} that nearly repeat another one",
        )
    if (grid := found.get("grid") or {}).get("step"):
        yield "Weights come in steps of", f"{grid['step']:g}; {grid['off_grid']:,} answers leave them"
    if constant := found.get("constant_answers"):
        yield "Most frequent answer", f"{wording.share(constant['share'])} of the answers"
    if long := found.get("long_answers"):
        yield (
            "Longest answer, estimated",
            f"{long['longest']:,} tokens; {long['longer']:,} answers have more than the {long['most']:,} allowed",
        )
    if (drift := found.get("prompt_drift") or {}).get("lines"):
        prompts = len(drift.get("prompts") or [1])
        yield "Other prompts", f"{drift['lines']:,} lines with {prompts:,} other texts, dropped"


def _of_cost(found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if tokens := found.get("tokens"):
        written = tokens["written_by_record"]
        answer = "" if written is None else f", {written:g} written"
        yield "Tokens of a record, estimated", f"{tokens['read_by_record']:g} read{answer}"
    cost = found.get("cost") or {}
    if "training_usd" in cost:
        yield (
            "Cost of the job, estimated before it",
            f"{wording.dollars(cost['training_usd'])}, at most {wording.dollars(cost['at_most_usd'])}, at prices of "
            f"{cost['prices_of']}",
        )
    elif cost:
        yield "Cost of the job, estimated before it", f"unknown: {cost['unknown']}"


def _shares(shares: Mapping[str, float]) -> str:
    shown = list(shares.items())[:_LANGUAGES]
    return ", ".join(f"{name} {wording.share(share)}" for name, share in shown)


def hardness(data: ReportData, candidates: Sequence[str]) -> list[Hardness]:
    """Return the degrees of difficulty of which there is a record or a golden query, the easiest first."""
    shares = (data.validation.get("difficulty") or {}).get("shares") or {}
    if not shares:
        return []
    balance = data.validation.get("balance") or {}
    by_degree: dict[str, list[Asked]] = {name: [] for name in GRADES[data.metrics["output"]]}
    for asked in data.asked:
        by_degree[grade(asked.reference, balance)].append(asked)
    return [
        Hardness(
            name,
            _MEANINGS[name],
            shares.get(name),
            len(queries),
            tuple(_result(candidate, queries) for candidate in candidates),
        )
        for name, queries in by_degree.items()
        if queries or shares.get(name)
    ]


def _result(candidate: str, queries: Sequence[Asked]) -> float | None:
    """Return a candidate's mean absolute error over its usable answers, or the share of labels that it got right."""
    said = [(asked, said) for asked in queries for said in asked.said if said.candidate == candidate]
    if any(asked.reference.weights is None for asked in queries):
        right = [bool(each.answer and each.answer.label == asked.reference.label) for asked, each in said]
        return fmean(right) if right else None
    errors = [each.error for _, each in said if each.error is not None]
    return fmean(errors) if errors else None


def examples(found: Mapping[str, Any]) -> list[Examples]:
    """Return the records to look at: at most five of each kind, and no kind of which there is none."""

    def listed(finding: str, key: str = "examples") -> list[dict[str, Any]]:
        return (found.get(finding) or {}).get(key) or []

    kinds = (
        ("Answers to one query that contradict each other", "Apart", listed("beyond_noise"), "difference"),
        (
            "Nearly the same query, quite another answer",
            "Apart",
            listed("beyond_noise", "near_examples"),
            "difference",
        ),
        (
            "Golden queries that nearly stand in the training data",
            "Alike",
            listed("near_leakage"),
            "similarity",
        ),
        ("Queries that are nearly the same", "Alike", listed("near_duplicates"), "similarity"),
        ("Queries that stand most often", "Times", listed("repetitions"), "times"),
    )
    return [
        Examples(title, figure, tuple(_row(example, key) for example in those[:_SHOWN]))
        for title, figure, those, key in kinds
        if those
    ]


def _row(example: Mapping[str, Any], key: str) -> tuple[str, tuple[str, ...], str]:
    lines = ", ".join("golden set" if line is None else f"{line:,}" for line in example["lines"])
    queries = tuple(example["queries"]) if "queries" in example else (example["query"],)
    figure = f"{example[key]:,}" if key == "times" else wording.number(example[key], 2)
    return lines, queries, figure

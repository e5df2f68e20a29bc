"""What a generation came to: report.json, and the few facts of it that events and mails tell."""

import json
from collections import Counter
from typing import Any

from signalbox.generation import Way
from signalbox.generation_work import GATHERED, Work
from signalbox.labelling import Answers, Label, Tokens, noise, teacher_of
from signalbox.labelling_cost import counted
from signalbox.query_writing import written_tokens

_TOLD = (
    "teacher",
    "counts",
    "left_out",
    "faults",
    "noise",
    "shares",
    "target",
    "balance_reasons",
    "estimate",
    "cost",
)


def report(work: Work, answers: Answers, labelled: list[Label], spent: list[Tokens]) -> dict[str, Any]:
    """Return what report.json holds before the labels are handed on; it quotes no query.

    Parameters
    ----------
    spent : list[Tokens]
        What the teacher read and wrote in each round of labelling.
    """
    samples, queries = work.labelling.samples, len(work.queries)
    most = work.labelling.most_disagreement
    return {
        "generation_id": work.generation.id,
        "request": work.generation.request.key,
        "teacher": teacher_of(work.task),
        "counts": {
            "queries": queries,
            "labelled": len(labelled),
            "without_answer": queries - len(labelled),
            "disagreeing": sum(label.disagreement > most for label in labelled),
        },
        "left_out": json.loads(work.store.get(work.generation.id, GATHERED) or b"{}"),
        "written_for": {
            name: dict(Counter(asked for query in work.queries if (asked := getattr(query, name))))
            for name in ("kind", "language")
        },
        "faults": answers.reasons(work.asked),
        "samples": samples,
        "noise": noise(labelled) if samples > 1 else None,
        "jobs": work.generation.job_arns,
        "estimate": work.generation.summary.get("estimate", {}),
        "cost": _cost(work, spent),
    }


def summary(found: dict[str, Any]) -> dict[str, Any]:
    """Return what of a report the generation, its event and its mail have."""
    return {name: found[name] for name in _TOLD if found.get(name) not in (None, {}, [])}


def _cost(work: Work, spent: list[Tokens]) -> dict[str, Any]:
    parts: list[tuple[Tokens, Way]] = [
        (tokens, "batch" if str(number) in work.generation.job_arns else "converse")
        for number, tokens in enumerate(spent, start=1)
    ]
    return counted(work.task, [*parts, (written_tokens(work), "converse")], work.pipeline.bedrock.region)

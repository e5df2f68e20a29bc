"""The task that the bench measures with: the one of this repository, its labelled data and a student of them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from bench.sandbox import ROOT
from bench.student_quality import Examples, read
from signalbox.student import Student
from signalbox.task import Task, Tier, Weights
from signalbox.training import train

TASK = "video-search"


@dataclass
class LiveTask:
    """What is live in the bench.

    Parameters
    ----------
    data : Path | None
        A folder with `video-search/train.jsonl`; None for the examples of this repository.
    """

    data: Path | None
    examples: Examples = field(init=False)
    output: Weights = field(init=False)

    def __post_init__(self) -> None:
        examples = ROOT / "examples" / f"{TASK}.jsonl"
        self.examples, self.output = read(self.data / TASK / "train.jsonl" if self.data else examples)

    @property
    def source(self) -> str:
        """What the student was trained on, in words."""
        kind = "published labels" if self.data else "examples"
        return f"student of {len(self.examples):,} {kind}"

    @cached_property
    def student(self) -> Student:
        """The embedded student, trained on all of the data."""
        return train(self.examples, self.output, task=TASK, run_id=f"{TASK}-000000000000").student

    def queries(self, count: int) -> list[str]:
        """Return different queries: those of the data, and then those with a word of another one in front."""
        queries = sorted({query for query, _ in self.examples})
        fronted = (f"{queries[-place].split()[0]} {query}" for place, query in enumerate(queries))
        found = list(dict.fromkeys([*queries, *fronted]))
        if len(found) < count:
            raise ValueError(f"the data make {len(found)} different queries, {count} are needed")
        return found[:count]

    def spec(self, order: Sequence[Tier]) -> Task:
        """Return the task of this repository, asking these tiers."""
        task = Task.from_yaml((ROOT / "tasks" / TASK / "task.yaml").read_text(encoding="utf-8"))
        content = task.model_dump(mode="json", by_alias=True)
        return Task.model_validate(content | {"serve": {"order": list(order)}})


def event(query: str) -> dict[str, Any]:
    """Return the query as API Gateway hands it on, payload format 2.0."""
    sample = json.loads((ROOT / "events" / "route" / "PostRoute.json").read_text(encoding="utf-8"))
    return sample | {"body": json.dumps({"query": query, "task": TASK})}

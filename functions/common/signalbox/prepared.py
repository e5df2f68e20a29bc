"""What either kind of generation hands over: what is to be labelled, and what has become of the labels."""

import json
from dataclasses import dataclass, field
from typing import Any

from signalbox.dataset_object import DatasetObject
from signalbox.generation_request import Labelling
from signalbox.labelling import Question, line_to_ask, output_lines
from signalbox.synthetic_queries import Query
from signalbox.task import Task


@dataclass(frozen=True)
class Prepared:
    """Queries to be labelled, by which task and how.

    Attributes
    ----------
    left_out : dict[str, int]
        How many queries were not taken, by reason.
    estimated : dict
        What it is estimated to cost; see `labelling_cost.estimate`.
    """

    task: Task
    labelling: Labelling
    queries: list[Query]
    left_out: dict[str, int]
    estimated: dict[str, Any]


@dataclass(frozen=True)
class Finished:
    """Where the labels went.

    Attributes
    ----------
    note : str
        For the generation's history.
    counts, facts : dict
        What the report says besides, `counts` among its own.
    dataset : DatasetObject | None
        What was dropped, if anything was.
    """

    note: str
    counts: dict[str, int]
    facts: dict[str, Any] = field(default_factory=dict)
    dataset: DatasetObject | None = None


def file_size(prepared: Prepared) -> int:
    """Return how many bytes the records have that ask for all of it."""
    (empty,) = output_lines([line_to_ask(Question(0, 0), "", prepared.task, prepared.labelling.asked_at)])
    queries = sum(len(json.dumps(query.text, ensure_ascii=False).encode()) for query in prepared.queries)
    return (len(empty) * len(prepared.queries) + queries) * prepared.labelling.samples

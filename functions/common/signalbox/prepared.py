"""What is to be labelled, before any of it is."""

import json
from dataclasses import dataclass
from typing import Any

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


def file_size(prepared: Prepared) -> int:
    """Return how many bytes the records have that ask for all of it."""
    (empty,) = output_lines([line_to_ask(Question(0, 0), "", prepared.task, prepared.labelling.asked_at)])
    queries = sum(len(json.dumps(query.text, ensure_ascii=False).encode()) for query in prepared.queries)
    return (len(empty) * len(prepared.queries) + queries) * prepared.labelling.samples

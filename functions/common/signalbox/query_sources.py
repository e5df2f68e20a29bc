"""Where a request's queries come from: a file that lies beside it, and its templates."""

import math
from collections.abc import Iterator

from signalbox.generation_request import GenerationRequest
from signalbox.generation_work import Work
from signalbox.records import Problem, read_records
from signalbox.spec import TaskError
from signalbox.synthetic_queries import Query, Selection, from_templates
from signalbox.task import Task


def wanted_by(request: GenerationRequest) -> int:
    """Return how many queries are to be labelled, so that there is something to choose from."""
    chosen_among = request.balance or request.labelling.samples > 1
    return math.ceil(request.count * (1 + (request.surplus if chosen_among else 0)))


def gather(request: GenerationRequest, task: Task, work: Work, selection: Selection) -> int:
    """Fill a selection with the queries of a request's file, then those of its templates, as many as are wanted.

    Returns
    -------
    int
        How many the teacher is to think of besides.

    Raises
    ------
    TaskError
        The file is not there or cannot be read.
    """
    wanted, key = wanted_by(request), work.generation.request.key
    if request.queries:
        content = work.pipeline.store.beside(work.generation.request, request.queries)
        if content is None:
            raise TaskError(key, [f"queries: {request.queries} does not lie beside it"])
        selection.add(_of_file(request.queries, content, task))
        del selection.kept[wanted:]
    from_templates(request, selection, wanted)
    return max(0, wanted - len(selection.kept)) if request.asks_the_teacher else 0


def _of_file(name: str, content: bytes, task: Task) -> Iterator[Query]:
    """Read a file of queries: one a line, or the records of a dataset, of which only the queries are taken."""
    if name.endswith(".jsonl"):
        for entry in read_records([content], task):
            if isinstance(entry, Problem):
                raise TaskError(name, [f"line {entry.line}: {entry.field}: {entry.reason}"])
            yield Query(entry.query, "file")
        return
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise TaskError(name, [f"not UTF-8 at byte {error.start}"]) from error
    for line in text.splitlines():
        if line.strip():
            yield Query(line.strip(), "file")

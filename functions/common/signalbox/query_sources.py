"""Where a request's queries come from: a file that lies beside it, and its templates."""

import math
from collections.abc import Iterator

from signalbox.generation import Generation
from signalbox.generation_request import GenerationRequest
from signalbox.pipeline import Pipeline
from signalbox.query_writing import write
from signalbox.records import Problem, read_records
from signalbox.spec import TaskError
from signalbox.store import RunStore
from signalbox.synthetic_queries import Query, Selection, from_templates
from signalbox.task import Task


def gather(
    request: GenerationRequest,
    task: Task,
    generation: Generation,
    selection: Selection,
    pipeline: Pipeline,
    store: RunStore,
) -> bool:
    """Fill a selection with as many queries as are to be labelled, and tell whether that is done.

    Those of a file come before those of templates, and what is then missing is asked of the teacher.

    Raises
    ------
    TaskError
        The file is not there or cannot be read.
    """
    chosen_among = request.balance or request.labelling.samples > 1
    wanted = math.ceil(request.count * (1 + (request.surplus if chosen_among else 0)))
    if request.queries:
        content = pipeline.store.beside(generation.request, request.queries)
        if content is None:
            raise TaskError(generation.request.key, [f"queries: {request.queries} does not lie beside it"])
        selection.add(_of_file(request.queries, content, task))
        del selection.kept[wanted:]
    from_templates(request, selection, wanted)
    if request.asks_the_teacher and len(selection.kept) < wanted:
        return write(request, task, generation, selection, wanted, pipeline, store)
    return True


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

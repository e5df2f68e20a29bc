"""Where a request's queries come from: a file that lies beside it, and its templates."""

import math
from collections.abc import Iterator

from signalbox.answer import without_quotations
from signalbox.generation_request import GenerationRequest
from signalbox.generation_work import Work
from signalbox.personal_screen import Screen
from signalbox.query import normalise
from signalbox.records import Problem, Record, read_records
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
        The file is not there, cannot be read, or holds personal data that the task rejects.
    """
    wanted = wanted_by(request)
    if request.queries:
        selection.add(_of_file(request.queries, task, work, selection))
        del selection.kept[wanted:]
    from_templates(request, selection, wanted, lambda: work.wait(""))
    return max(0, wanted - len(selection.kept)) if request.asks_the_teacher else 0


def _of_file(name: str, task: Task, work: Work, selection: Selection) -> Iterator[Query]:
    """Read the queries of a file, of which none with personal data goes on as it stands if the task forbids it."""
    content = work.pipeline.store.beside(work.generation.request, name)
    if content is None:
        raise TaskError(work.generation.request.key, [f"queries: {name} does not lie beside it"])
    screen = Screen(task)
    read = _of_records(name, content, task) if name.endswith(".jsonl") else _of_lines(name, content)
    screened = [screen.passed(record) for record in read]
    if problems := screen.problems():
        lines = screen.findings()["lines"]
        reason = (
            f"lines with personal data: {lines:,}, which dataset.personal_data of task {task.name} rejects; remove it, "
            "or have the task mask it; nothing was labelled"
        )
        raise TaskError(name, [reason, *map(_told, problems)])
    for entry in screened:
        if isinstance(entry, Record):
            yield Query(entry.query, "file")
        else:  # what stands in the place of personal data has made it too long
            selection.left_out["unusable"] += 1


def _of_records(name: str, content: bytes, task: Task) -> Iterator[Record]:
    """Read the records of a dataset, of which only the queries are taken."""
    for entry in read_records([content], task):
        if isinstance(entry, Problem):
            raise TaskError(name, [_told(entry)])
        yield entry


def _of_lines(name: str, content: bytes) -> Iterator[Record]:
    """Read queries, one a line."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise TaskError(name, [f"not UTF-8 at byte {error.start}"]) from error
    for number, line in enumerate(text.splitlines(), start=1):
        if query := line.strip():
            yield Record(number, query, normalise(query), None, None)


def _told(problem: Problem) -> str:
    """Say what is wrong with a line as an event and a mail may tell it, which is without what the line says."""
    return without_quotations(f"line {problem.line}: {problem.field or 'all of it'}: {problem.reason}")

"""Training records of reinforcement fine-tuning: OpenAI chat messages, and what the reward is computed from.

Format: Amazon Bedrock user guide, "Prepare data for Amazon Nova models".
"""

import json
import tempfile
from collections.abc import Iterable, Iterator

from signalbox.failure import PermanentFailure
from signalbox.records import Problem, Record, read_records
from signalbox.reward import REFERENCE, reference_answer
from signalbox.store import REINFORCEMENT, RunStore
from signalbox.task import Task

_IN_MEMORY_BYTES = 16 * 1024 * 1024


class UnlabelledError(ValueError):
    """A record has no answer, and without one there is nothing to compute a reward from."""


def reinforcement_line(record: Record, prompt: str) -> bytes:
    """Write a record as one line: the task's prompt, the query, and the answer as the reference of the reward.

    Raises
    ------
    UnlabelledError
        The record has no answer.
    """
    if record.answer is None:
        raise UnlabelledError(f"line {record.line} has no answer")
    messages = [{"role": "system", "content": prompt}, {"role": "user", "content": record.query}]
    body = {"messages": messages, REFERENCE: reference_answer(record.answer)}
    return json.dumps(body, ensure_ascii=False).encode() + b"\n"


def write_reinforcement_records(store: RunStore, run_id: str, source: str, task: Task) -> str:
    """Write one of a run's record files anew as records of reinforcement fine-tuning, and return the new one's name.

    It takes little memory, however large the file is. Once written it stays as it is: a job may be reading it.

    Raises
    ------
    PermanentFailure
        A record has no answer.
    ValueError
        A line cannot be used: the file is not what was validated.
    """
    written = REINFORCEMENT + source
    if store.has(run_id, written):
        return written
    with tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES) as lines:
        try:
            lines.writelines(_converted(store.lines(run_id, source), task))
        except UnlabelledError as error:
            raise PermanentFailure(
                "distill",
                f"{source}, {error}; a reward compares an answer with the record's own",
                "drop records with answers, or choose customization.type DISTILLATION, which labels prompts itself",
            ) from error
        lines.seek(0)
        store.put(run_id, written, lines)
    return written


def _converted(lines: Iterable[bytes], task: Task) -> Iterator[bytes]:
    for entry in read_records((line + b"\n" for line in lines), task):
        if isinstance(entry, Problem):
            raise ValueError(f"line {entry.line}, {entry.field}: {entry.reason}")
        yield reinforcement_line(entry, task.prompt)

"""`data from-logs`: a dataset of what was really asked of models, out of Bedrock's model invocation logs."""

import argparse
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase

from local.data.command import CannotUse
from local.data.invocation_log import Call, Entry, NotAnEntry, Skipped, call_of, entries
from local.data.log_files import Fault, LogFile, Unreadable, files_of
from local.data.places import s3_client
from local.data.reading import Reading, conclude, moment, sample_for
from local.data.task_folder import task_at
from signalbox.task import Task

_HOUR = re.compile(r"(?:^|/)(\d{4})/(\d{2})/(\d{2})/(\d{2})/[^/]+$")


@dataclass(frozen=True)
class Filter:
    """Which entries are wanted.

    Attributes
    ----------
    metadata : dict[str, str]
        Request metadata that an entry must have, all of it.
    model : str
        A model's id or that of an inference profile, with * for anything; "" for all.
    since, until : datetime | None
        From when on, and before when.
    """

    metadata: dict[str, str]
    model: str = ""
    since: datetime | None = None
    until: datetime | None = None

    def refusal(self, entry: Entry) -> str:
        """Return why an entry is not wanted, or ""."""
        said = entry.metadata or {}
        if any(said.get(key) != value for key, value in self.metadata.items()):
            return "other request metadata"
        # An entry has the id or the ARN that the caller gave.
        names = (entry.model, entry.model.rpartition("/")[2])
        if self.model and not any(fnmatchcase(name, self.model) for name in names):
            return "another model"
        if (self.since or self.until) and not self._in_time(entry.at):
            return "another time"
        return ""

    def _in_time(self, at: datetime | None) -> bool:
        if at is None:
            return False
        return (self.since is None or at >= self.since) and (self.until is None or at < self.until)

    def is_older(self, name: str) -> bool:
        """Tell by the hour in its name whether a file was closed before the first entry that is wanted.

        Bedrock files entries under the UTC hour in which it delivers them, or in which the calls were made: neither is
        documented. A file of an earlier hour than a call can hold it in neither case, but for clocks that differ.
        """
        found = _HOUR.search(name)
        if self.since is None or found is None:
            return False
        try:
            hour = datetime(*map(int, found.groups()), tzinfo=UTC)  # type: ignore[arg-type]
        except ValueError:
            return False
        return hour + timedelta(hours=2) < self.since


def run(options: argparse.Namespace) -> int:
    """Read the logs, write the dataset, and print what became of them."""
    _, task = task_at(options.task)
    reading, sample = Reading(), sample_for(options, task)
    wanted, question = _filter(options), _question(options.query_pattern, task)
    for call in _calls(options, wanted, reading):
        try:
            sample.add(question(call.prompt), call.answer)
        except Skipped as reason:
            reading.skipped[str(reason)] += 1
    return conclude(options, task, reading, sample)


def _calls(options: argparse.Namespace, wanted: Filter, reading: Reading) -> Iterator[Call]:
    """Yield the calls that are wanted, and note on the way what is left out."""
    client = s3_client(options.port, options.profile, options.region)
    for source in options.sources:
        for file in files_of(source, client, lambda name: not wanted.is_older(name)):
            reading.files += 1
            for number, entry in _entries(file, reading):
                if reason := wanted.refusal(entry):
                    reading.skipped[reason] += 1
                    continue
                try:
                    yield call_of(entry, file.body, not options.prompts_only)
                except Skipped as reason:
                    reading.skipped[str(reason)] += 1
                except Unreadable as error:
                    reading.note(Fault(file.name, number, str(error)))


def _entries(file: LogFile, reading: Reading) -> Iterator[tuple[int, Entry]]:
    for found in file.lines():
        if isinstance(found, Fault):
            reading.note(found)
            continue
        number, line = found
        for entry in entries(line):
            if isinstance(entry, NotAnEntry):
                reading.note(Fault(file.name, number, str(entry)))
            else:
                reading.entries += 1
                yield number, entry


def _filter(options: argparse.Namespace) -> Filter:
    pairs = [text.partition("=") for text in options.metadata]
    if any(not key or not equals for key, equals, _ in pairs):
        raise CannotUse("--metadata wants KEY=VALUE")
    return Filter(
        {key: value for key, _, value in pairs},
        options.model or "",
        moment(options.since, "--since"),
        moment(options.until, "--until", end=True),
    )


def _question(pattern: str | None, task: Task) -> Callable[[str], str]:
    """Return what finds the query in a prompt."""
    if pattern is None:
        return lambda prompt: _without_instructions(prompt, task)
    try:
        expression = re.compile(pattern, re.DOTALL)
    except re.error as error:
        raise CannotUse(f"--query-pattern is no regular expression: {error}") from error
    if not expression.groups:
        raise CannotUse("--query-pattern must have a group, in brackets, for the query")

    def found(prompt: str) -> str:
        match = expression.search(prompt)
        if match is None or match[1] is None:
            raise Skipped("no query where --query-pattern says")
        return match[1]

    return found


def _without_instructions(prompt: str, task: Task) -> str:
    """Return a prompt without the task's own instructions, where a caller has put them before the query."""
    for instructions in (task.teacher_prompt.strip(), task.prompt.strip()):
        if instructions and prompt.lstrip().startswith(instructions):
            return prompt.lstrip().removeprefix(instructions).strip()
    return prompt

"""`data from-query-log`: a dataset of prompts out of the router's own sample of queries.

Prompts only: what a student answered teaches it nothing but its own errors. The teacher labels them, in the Bedrock job
or before it.
"""

import argparse
from collections.abc import Iterator
from datetime import UTC, datetime

import msgspec

from local.data.log_files import Fault, LogFile, files_of
from local.data.places import query_log_of, s3_client
from local.data.reading import Reading, conclude, moment, sample_for
from local.data.task_folder import task_at
from signalbox.task import Task


class Asked(msgspec.Struct):
    """One query as `signalbox.query_log` writes it."""

    at: str
    query: str
    familiarity: float | None = None


_asked = msgspec.json.Decoder(Asked)


def run(options: argparse.Namespace) -> int:
    """Read the queries, write the dataset, and print what became of them."""
    _, task = task_at(options.task)
    reading, sample = Reading(), sample_for(options, task)
    since, until = moment(options.since, "--since"), moment(options.until, "--until", end=True)
    for file in _files(options, task):
        reading.files += 1
        for asked in _read(file, reading):
            if not _is_in_time(asked, since, until):
                reading.skipped["another time"] += 1
            elif not _is_strange(asked, options.familiarity_below):
                reading.skipped["familiar to the student, or it was not asked"] += 1
            else:
                sample.add(asked.query)
    return conclude(options, task, reading, sample)


def _files(options: argparse.Namespace, task: Task) -> Iterator[LogFile]:
    if options.sources:
        client = s3_client(
            None if options.profile or options.region else options.port, options.profile, options.region
        )
        for source in options.sources:
            yield from files_of(source, client)
        return
    bucket, s3 = query_log_of(options.port, options.stack, options.profile, options.region)
    yield from files_of(f"s3://{bucket}/{task.name}/", lambda: s3)


def _read(file: LogFile, reading: Reading) -> Iterator[Asked]:
    for found in file.lines():
        if isinstance(found, Fault):
            reading.note(found)
            continue
        number, line = found
        try:
            asked = _asked.decode(line)
        except (ValueError, RecursionError):
            reading.note(Fault(file.name, number, "no line of a query log"))
            continue
        reading.entries += 1
        yield asked


def _is_in_time(asked: Asked, since: datetime | None, until: datetime | None) -> bool:
    try:
        at = datetime.fromisoformat(asked.at)
    except ValueError:
        return since is None and until is None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return (since is None or at >= since) and (until is None or at < until)


def _is_strange(asked: Asked, below: float | None) -> bool:
    return below is None or (asked.familiarity is not None and asked.familiarity < below)

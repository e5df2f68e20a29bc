"""Uploads a task's folder to the data bucket, for use on one machine or on AWS.

A local model never bears the name of a real one. So where the endpoint is this machine's, the model ids of a
task are swapped for the stand-in's on the way up; the folder stays as it is.
"""

import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import yaml

from signalbox.customization import NOVA_2_LITE, STAND_IN_NOVA_2_LITE, foundation_id
from signalbox.dataset import GoldenError, read_golden, read_validation_set
from signalbox.models import unsupported
from signalbox.records import Record, read_records
from signalbox.spec import TaskError, line_of
from signalbox.store import GOLDEN, TASK_VALIDATION_SET
from signalbox.task import Task

logger = logging.getLogger(__name__)

# Where a task names a model, and which local model takes its place.
LOCAL_MODELS = {
    ("customization", "teacher"): "local.teacher",
    ("customization", "student"): "local.student",
    ("compare", "base"): "local.base",
    ("compare", "baseline"): "local.baseline",
    ("judge", "model"): "local.judge",
}


_LISTED = 20
"""How many faulty lines of a golden set are named."""


class TaskFolderError(Exception):
    """The folder has no usable task; the message says what is missing or wrong."""


@dataclass(frozen=True)
class Swap:
    """A model of a task that a stand-in takes the place of, and the key of the task that names it."""

    key: str
    model: str
    stand_in: str


@dataclass(frozen=True)
class PushedTask:
    """What was uploaded: the task's name, the object keys, and each model that was swapped."""

    task: str
    bucket: str
    keys: tuple[str, ...]
    swapped: tuple[Swap, ...]


def push_task(folder: Path, bucket: str, objects: Any, local: bool) -> PushedTask:
    """Check a task's folder and upload its `task.yaml` and, if they are there, its golden and its validation set.

    Parameters
    ----------
    objects
        A boto3 S3 client.
    local
        Whether to swap the model ids for those of the Bedrock stand-in.

    Raises
    ------
    TaskFolderError
        There is no task.yaml.
    signalbox.task.TaskError
        The task spec is wrong, or Bedrock would not customize its models: it names each line. Or one of the two sets
        cannot be used.
    """
    spec_file = folder / "task.yaml"
    if not spec_file.is_file():
        raise TaskFolderError(f"{folder} has no task.yaml")
    try:
        spec = spec_file.read_bytes().decode()
    except UnicodeDecodeError as error:
        raise TaskError(str(spec_file), [f"not UTF-8 at byte {error.start}"]) from error
    task = Task.from_yaml(spec, str(spec_file))
    if task.job and (fault := unsupported(task.job, task.deployment)):
        key = ("customization", fault.key)
        said = f"line {line_of(spec, key)}: {'.'.join(key)}: {fault.reason}; {fault.remedy}"
        raise TaskError(str(spec_file), [said])
    swapped: tuple[Swap, ...] = ()
    if local:
        spec, swapped = with_local_models(spec)
    files = {"task.yaml": spec.encode()}
    for name, read in ((GOLDEN, read_golden), (TASK_VALIDATION_SET, read_validation_set)):
        if (folder / name).is_file():
            files[name] = _checked(folder / name, task, read)
    keys = {name: f"tasks/{task.name}/{name}" for name in files}
    for name, content in files.items():
        objects.put_object(Bucket=bucket, Key=keys[name], Body=content)
    return PushedTask(task.name, bucket, tuple(keys.values()), swapped)


def _checked(file: Path, task: Task, read: Callable[[list[bytes], Task, str], list[Record]]) -> bytes:
    """Read a set of records as `validate` will at every drop, so that a fault in it is found before one."""
    content = file.read_bytes()
    try:
        read([content], task, str(file))
    except GoldenError as error:
        faults = [
            f"line {fault.line}, {fault.field or 'all of it'}: {fault.reason}" for fault in error.problems
        ]
        raise TaskError(str(file), faults[:_LISTED]) from error
    return content


def golden_records(objects: Any, bucket: str, task: str) -> tuple[str, list[dict[str, Any]]]:
    """A task's prompt and the records of its golden set, as they lie in the bucket."""
    spec, golden = (
        objects.get_object(Bucket=bucket, Key=f"tasks/{task}/{name}")["Body"].read()
        for name in ("task.yaml", "golden.jsonl")
    )
    records = [json.loads(line) for line in golden.splitlines() if line.strip()]
    return yaml.safe_load(spec)["prompt"], records


def lessons(tasks: Path, examples: Path) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """What the stand-in's teacher knows of each task that has an example dataset, when asked with its rich prompt.

    Yields
    ------
    tuple[str, list[tuple[str, str]]]
        The task's teacher_prompt, and the queries and answers of the example. Under any other prompt nothing of it is
        known: whoever answers a golden set must not have seen it.
    """
    for spec in sorted(tasks.glob("*/task.yaml")):
        example = examples / f"{spec.parent.name}.jsonl"
        try:
            task = Task.from_yaml(spec.read_bytes(), str(spec))
        except TaskError as error:
            logger.warning("%s", error)
            continue
        if task.teacher_prompt and example.is_file():
            records = list(read_records([example.read_bytes()], task))
            known = [each for each in records if isinstance(each, Record) and each.answer_text is not None]
            yield task.teacher_prompt, [(each.query, each.answer_text or "") for each in known]


def with_local_models(spec: str) -> tuple[str, tuple[Swap, ...]]:
    """A task spec with the stand-in's models, and what was swapped for what."""
    content = yaml.safe_load(spec)
    swapped = []
    for (section, key), usual in LOCAL_MODELS.items():
        named = (content.get(section) or {}).get(key)
        model = usual
        if named and key == "student" and foundation_id(named) in (NOVA_2_LITE, STAND_IN_NOVA_2_LITE):
            model = STAND_IN_NOVA_2_LITE
        if named and named != model:
            swapped.append(Swap(f"{section}.{key}", named, model))
            content[section][key] = model
    if not swapped:
        return spec, ()
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=110), tuple(swapped)


def push_missing_tasks(folder: Path, bucket: str) -> list[PushedTask]:
    """Upload the tasks of a project that the bucket does not have yet, so that a drop works at once.

    One that cannot be used keeps no other from being uploaded: it is left out, and a line in the log says why.
    """
    objects = boto3.client("s3")
    there = {
        entry["Prefix"].split("/")[1]
        for entry in objects.list_objects_v2(Bucket=bucket, Prefix="tasks/", Delimiter="/").get(
            "CommonPrefixes", []
        )
    }
    folders = sorted(spec.parent for spec in folder.glob("*/task.yaml"))
    pushed = []
    for each in (each for each in folders if each.name not in there):
        try:
            pushed.append(push_task(each, bucket, objects, local=True))
        except TaskError as error:
            logger.warning("not uploaded: %s", error)
    return pushed

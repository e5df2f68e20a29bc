"""The data bucket: a task's spec, a dropped dataset, and the prefix under which a run keeps all it used and made."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import IO, Any, NamedTuple

from botocore.exceptions import ClientError

from signalbox.dataset_object import NO_TASK, DatasetObject

TASK = "task.json"
UNLABELLED = "unlabelled.json"
"""What of a dropped dataset the teacher is to answer, as it was priced."""
TRAIN = "train.jsonl"
REINFORCEMENT = "reinforcement/"
"""Below it, record files as a reinforcement fine-tuning job takes them."""
GOLDEN = "golden.jsonl"
VALIDATION_SET = "validation_set.jsonl"
"""On which a fine-tuning job measures its validation loss; validation.json is what was found in the dataset."""
TASK_VALIDATION_SET = "validation.jsonl"
VALIDATION = "validation.json"
STUDENT = "student/student.bin"
STUDENT_CURVE = "student/curve.csv"
CUSTOMIZATION = "customization/"
EVALUATION = "evaluation.json"
JUDGE_SCORES = "judge/scores.json"
COMPARISON = "comparison.json"
METRICS = "metrics.json"
REPORT = "report.html"
CONSOLE = "runs/index.html"
"""The one object under runs/ that is of all runs."""

_OVERTAKEN = frozenset({"PreconditionFailed", "ConditionalRequestConflict"})
"""What a conditional write fails with if another has written."""
_CHUNK_BYTES = 1 << 20
_MOST_DELETED = 1000
"""How many object versions one request deletes at most (S3 API reference, DeleteObjects)."""
_CONTENT_TYPES = {
    "json": "application/json",
    "jsonl": "application/jsonl",
    "html": "text/html; charset=utf-8",
    "csv": "text/csv",
}


def predictions_of(candidate: str) -> str:
    """Name the object that holds a candidate's answers to the golden set."""
    return f"predictions/{candidate}.jsonl"


def judge_dataset_of(candidate: str) -> str:
    """Name the object that holds a candidate's answers as the judge is given them."""
    return f"judge/{candidate}.jsonl"


def judge_folder_of(candidate: str) -> str:
    """Name the prefix under which the job that grades a candidate's answers writes."""
    return f"judge/{candidate}/"


Marker = tuple[str, str]
"""A key and the id of one of its versions, after which a listing goes on."""


class DroppedPage(NamedTuple):
    """What one request finds of what was dropped, with when it was, and after what the next goes on, if any."""

    dropped: list[tuple[DatasetObject, datetime]]
    after: Marker | None


@dataclass(frozen=True, slots=True)
class Version:
    """One version of an object, or a delete marker, which has no bytes of its own."""

    key: str
    version_id: str
    size: int = 0


class RunStore:
    """Objects of the data bucket by what they are.

    Parameters
    ----------
    s3 : boto3 S3 client
    bucket : str
    folder : str
        Under which each has a prefix by its id.
    """

    def __init__(self, s3: Any, bucket: str, folder: str = "runs") -> None:
        self._s3 = s3
        self._bucket = bucket
        self._folder = folder
        self._console = ("", "")

    def uri(self, run_id: str, name: str) -> str:
        """Return the s3:// address of one of a run's objects, or of a prefix that ends in a slash."""
        return f"s3://{self._bucket}/{self._key(run_id, name)}"

    def put(self, run_id: str, name: str, body: bytes | str | IO[bytes]) -> None:
        """Write one of a run's objects whole, of memory or a file; a second writer's object replaces the first's."""
        content_type = _CONTENT_TYPES.get(name.rpartition(".")[2], "application/octet-stream")
        content = body.encode() if isinstance(body, str) else body
        self._s3.put_object(
            Bucket=self._bucket, Key=self._key(run_id, name), Body=content, ContentType=content_type
        )

    def put_once(self, run_id: str, name: str, body: bytes | str) -> None:
        """Write one of a run's objects, unless there is one of its name, which stands."""
        content_type = _CONTENT_TYPES.get(name.rpartition(".")[2], "application/octet-stream")
        content = body.encode() if isinstance(body, str) else body
        try:
            self._s3.put_object(
                Bucket=self._bucket,
                Key=self._key(run_id, name),
                Body=content,
                ContentType=content_type,
                IfNoneMatch="*",
            )
        except ClientError as error:
            # After a conflict of two writes it is not known which stands: that is tried again.
            if error.response["Error"]["Code"] != "PreconditionFailed":
                raise

    def get(self, run_id: str, name: str) -> bytes | None:
        """Return one of a run's objects, or None if the run has none of this name."""
        return self._read(self._key(run_id, name))

    def lines(self, run_id: str, name: str) -> Iterator[bytes]:
        """Return the lines of one of a run's objects as they come, so that it may be large; none if it is missing."""
        try:
            body = self._s3.get_object(Bucket=self._bucket, Key=self._key(run_id, name))["Body"]
        except ClientError as error:
            if _missing(error):
                return
            raise
        yield from body.iter_lines(_CHUNK_BYTES)

    def has(self, run_id: str, name: str) -> bool:
        """Tell whether a run has an object of this name."""
        try:
            self._s3.head_object(Bucket=self._bucket, Key=self._key(run_id, name))
        except ClientError as error:
            if _missing(error):
                return False
            raise
        return True

    def task_spec(self, task: str) -> bytes | None:
        """Return the task.yaml that was uploaded for a task, or None."""
        return self._read(f"tasks/{task}/task.yaml")

    def task_golden(self, task: str, most: int) -> bytes | None:
        """Return the golden set that was uploaded with a task, or None.

        Parameters
        ----------
        most : int
            How many bytes are read; of a larger file one more than that, so that it is known to be larger.
        """
        return self._read(f"tasks/{task}/{GOLDEN}", most + 1)

    def task_validation_set(self, task: str, most: int) -> bytes | None:
        """Return the validation set that was uploaded with a task, or None; `most` as of `task_golden`."""
        return self._read(f"tasks/{task}/{TASK_VALIDATION_SET}", most + 1)

    def tasks(self) -> list[str]:
        """Return the names of all tasks that were uploaded or had a dataset dropped for them, in order."""
        return sorted({*self.uploaded_tasks(), *self._folders("datasets/")})

    def uploaded_tasks(self) -> set[str]:
        """Return the names of all tasks that were uploaded and not deleted."""
        return set(self._folders("tasks/"))

    def console_written(self) -> str:
        """Return the tag of the console as it stands there, "" if there is none."""
        listed = self._s3.list_objects_v2(Bucket=self._bucket, Prefix=CONSOLE, MaxKeys=1)
        return next((entry["ETag"] for entry in listed.get("Contents", ()) if entry["Key"] == CONSOLE), "")

    def put_console(self, page: str, written: str) -> None:
        """Write the console, unless it is what stands there; of an empty page there is no object.

        Parameters
        ----------
        written : str
            What `console_written` said before anything was read for this page. If another page has been written since,
            that one stays: this one may be the older, and the next minute writes what is right.
        """
        if not page or (page, written) == self._console:
            return
        condition = {"IfMatch": written} if written else {"IfNoneMatch": "*"}
        try:
            put = self._s3.put_object(
                Bucket=self._bucket,
                Key=CONSOLE,
                Body=page.encode(),
                ContentType=_CONTENT_TYPES["html"],
                CacheControl="no-cache",
                **condition,
            )
        except ClientError as error:
            if error.response["Error"]["Code"] not in _OVERTAKEN:
                raise
            return
        self._console = (page, put["ETag"])

    def dataset(self, dataset: DatasetObject) -> Iterator[bytes] | None:
        """Return the very object version that was dropped, in pieces; None if it is gone."""
        version = {"VersionId": dataset.version_id} if dataset.version_id else {}
        try:
            answer = self._s3.get_object(Bucket=dataset.bucket, Key=dataset.key, **version)
        except ClientError as error:
            if _missing(error):
                return None
            raise
        return answer["Body"].iter_chunks(_CHUNK_BYTES)

    def judge_outputs(self, run_id: str, candidate: str) -> list[bytes]:
        """Return what a candidate's evaluation job has written, by its ending, as its folders are not documented."""
        return self.found(run_id, judge_folder_of(candidate), "_output.jsonl")

    def found(self, run_id: str, under: str, ending: str) -> list[bytes]:
        """Return those of a run's objects below a prefix whose names end so, in the order of their names."""
        objects = [self.get(run_id, name) for name in self.names(run_id, under, ending)]
        return [content for content in objects if content is not None]

    def names(self, run_id: str, under: str, ending: str) -> list[str]:
        """Return the names of those of a run's objects below a prefix that end so, in order."""
        pages = self._s3.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=self._key(run_id, under)
        )
        keys = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
        return sorted(key.removeprefix(self._key(run_id, "")) for key in keys if key.endswith(ending))

    def beside(self, dropped: DatasetObject, name: str) -> bytes | None:
        """Return another object of the folder in which one was dropped, or None."""
        return self._read(f"{dropped.key.rpartition('/')[0]}/{name}")

    def drop(self, key: str, body: IO[bytes]) -> DatasetObject:
        """Write an object that nothing writes twice, and return it; one that is there already is left as it is."""
        try:
            put = self._s3.put_object(
                Bucket=self._bucket, Key=key, Body=body, ContentType=_CONTENT_TYPES["jsonl"], IfNoneMatch="*"
            )
        except ClientError as error:
            if error.response["Error"]["Code"] not in _OVERTAKEN:
                raise
            put = self._s3.head_object(Bucket=self._bucket, Key=key)
        return DatasetObject(
            bucket=self._bucket, key=key, version_id=put["VersionId"], etag=put["ETag"].strip('"')
        )

    def folder(self, name: str) -> "RunStore":
        """Return the store of what lies under another folder of the bucket, each under its id."""
        return RunStore(self._s3, self._bucket, name)

    def dropped_between(
        self, earliest: datetime, latest: datetime, prefix: str = "datasets/"
    ) -> Iterator[DatasetObject]:
        """Return every object version dropped under a prefix between two moments, as `dropped_page` does."""
        after = None
        while True:
            dropped, after = self.dropped_page(earliest, prefix, after)
            yield from (dataset for dataset, dropped_at in dropped if dropped_at <= latest)
            if after is None:
                return

    def dropped_page(
        self, earliest: datetime, prefix: str = "datasets/", after: Marker | None = None
    ) -> "DroppedPage":
        """Return the object versions dropped under a prefix since a moment that one request finds.

        It looks through 1,000, by name and however old they are. Without those of a bucket that keeps no versions: what
        S3 lists of them does not give the id of the run that their event has started (`run_id_for`).
        """
        marker = {"KeyMarker": after[0], "VersionIdMarker": after[1]} if after else {}
        page = self._s3.list_object_versions(Bucket=self._bucket, Prefix=prefix, **marker)
        return DroppedPage(
            [
                (self._dropped(version), version["LastModified"])
                for version in page.get("Versions", [])
                if version["VersionId"] != "null"
                and not version["Key"].endswith("/")
                and earliest <= version["LastModified"]
            ],
            (page["NextKeyMarker"], page["NextVersionIdMarker"]) if page["IsTruncated"] else None,
        )

    def _dropped(self, version: dict[str, Any]) -> DatasetObject:
        return DatasetObject(
            bucket=self._bucket,
            key=version["Key"],
            version_id=version["VersionId"],
            etag=version["ETag"].strip('"'),
            size=version["Size"],
        )

    def delete_run(self, run_id: str) -> None:
        """Delete every version of all that lies under a run's prefix.

        Raises
        ------
        RuntimeError
            S3 kept some of it, with the first reason.
        """
        self.delete(
            list(self.versions(self._key(run_id, "")))
        )  # no page is asked for after what is gone already

    def versions(self, prefix: str) -> Iterator[Version]:
        """Return every version and every delete marker of the objects below a prefix."""
        pages = self._s3.get_paginator("list_object_versions").paginate(Bucket=self._bucket, Prefix=prefix)
        for page in pages:
            for entry in (*page.get("Versions", ()), *page.get("DeleteMarkers", ())):
                yield Version(entry["Key"], entry["VersionId"], entry.get("Size", 0))

    def delete(self, versions: Iterable[Version]) -> None:
        """Delete versions, as many requests as it takes; one that is gone is left so.

        Raises
        ------
        RuntimeError
            S3 kept some of them, with the first reason; all others are deleted.
        """
        kept: list[dict[str, str]] = []
        waiting = iter(versions)
        while batch := list(islice(waiting, _MOST_DELETED)):
            objects = [{"Key": version.key, "VersionId": version.version_id} for version in batch]
            answer = self._s3.delete_objects(Bucket=self._bucket, Delete={"Objects": objects, "Quiet": True})
            kept += answer.get("Errors", ())
        if kept:
            first = kept[0]
            raise RuntimeError(
                f"S3 kept {len(kept)} object versions, {first.get('Key')}: {first.get('Code')}: {first.get('Message')}"
            )

    def _folders(self, prefix: str) -> Iterator[str]:
        """Return the names below a prefix under which something lies, if they can be a task's."""
        pages = self._s3.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=prefix, Delimiter="/"
        )
        for page in pages:
            for folder in page.get("CommonPrefixes", []):
                task = DatasetObject(
                    bucket=self._bucket, key=f"datasets/{folder['Prefix'].split('/')[1]}/"
                ).task
                if task != NO_TASK:
                    yield task

    def _key(self, run_id: str, name: str) -> str:
        return f"{self._folder}/{run_id}/{name}"

    def _read(self, key: str, most: int | None = None) -> bytes | None:
        try:
            return self._s3.get_object(Bucket=self._bucket, Key=key)["Body"].read(most)
        except ClientError as error:
            if _missing(error):
                return None
            raise


def _missing(error: ClientError) -> bool:
    return error.response["Error"]["Code"] in ("NoSuchKey", "NoSuchVersion", "404")

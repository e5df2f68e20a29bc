"""The object in S3 whose arrival starts a run."""

from pydantic import BaseModel, ConfigDict

from signalbox.task import is_task_name

NO_TASK = "no_task"
"""Stands in for a task; no task can be named so, as its name allows no underscore."""


class DatasetObject(BaseModel):
    """The very object version that started a run."""

    model_config = ConfigDict(frozen=True)

    bucket: str
    key: str
    version_id: str | None = None
    etag: str = ""
    sequencer: str = ""
    size: int = 0

    @property
    def task(self) -> str:
        """The task under whose folder it was dropped, datasets/<task>/; NO_TASK if it lies in no such folder."""
        parts = self.key.split("/")
        return parts[1] if len(parts) > 2 and is_task_name(parts[1]) else NO_TASK

"""Why a run failed, and the error of a step that can never succeed."""

from pydantic import BaseModel


class Failure(BaseModel):
    """Why a run failed: in which step, for what reason, and what a person should do."""

    step: str
    reason: str
    remedy: str


class PermanentFailure(Exception):
    """A step cannot succeed however often it is tried: the run fails with this reason and remedy."""

    def __init__(self, step: str, reason: str, remedy: str) -> None:
        super().__init__(reason)
        self.failure = Failure(step=step, reason=reason, remedy=remedy)

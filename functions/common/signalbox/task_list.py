"""The list of tasks: what is live for each, a page at a time, and which have nothing live yet."""

import time
from collections.abc import Callable, Set
from dataclasses import dataclass, field

from botocore.exceptions import BotoCoreError, ClientError

from signalbox.live import Live, LivePointers, Place
from signalbox.observability import logger
from signalbox.store import RunStore
from signalbox.task import is_task_name

PAGE = 100
"""Live tasks on a page, at most; DynamoDB ends one after a megabyte of pointers, too."""
LIST_SECONDS = 30.0
"""How long the first page is used before it is read again, as a live pointer is."""
STALE_SECONDS = 3600.0
"""How old the first page may be where it cannot be read again."""
_MOST_NAMES = 1000


@dataclass(frozen=True)
class TaskPage:
    """A page of the list.

    Attributes
    ----------
    live : list[Live]
        What is live, the latest change first.
    not_live : list[str] | None
        Tasks that were uploaded and have nothing live, of all if one page holds all; None if that is not known: what
        is live stands on several pages, or S3 does not answer.
    next : Place | None
        Where the next page begins; None after the last.
    """

    live: list[Live]
    not_live: list[str] | None
    next: Place | None


@dataclass
class _Kept:
    """A page, when it was read, and when that was last tried, in seconds of the list's clock."""

    page: TaskPage
    read_at: float
    tried_at: float


@dataclass
class TaskList:
    """Reads the list with one query for each page, and remembers the first.

    The others are read each time: where one begins anybody can make up, and whoever has more than a page of live tasks
    asks for them one after the other.

    Parameters
    ----------
    pointers, store :
        The adapters, without retries, as the router has them.
    clock : Callable[[], float]
        Monotonic seconds.
    """

    pointers: LivePointers
    store: RunStore
    clock: Callable[[], float] = time.monotonic
    _first: _Kept | None = field(default=None, init=False)

    def page(self, start: Place | None = None) -> TaskPage:
        """Return a page; the first for half a minute as it was read before, and still so where it cannot be read anew.

        Raises
        ------
        botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError
            If it cannot be read; the first, if it has not been within the hour.
        """
        return self._read(start) if start else self._first_page()

    def _first_page(self) -> TaskPage:
        now, kept = self.clock(), self._first
        if kept and now - kept.tried_at < LIST_SECONDS and now - kept.read_at < STALE_SECONDS:
            return kept.page
        try:
            self._first = _Kept(self._read(None), now, now)
        except (ClientError, BotoCoreError) as error:
            if kept is None or now - kept.read_at >= STALE_SECONDS:
                raise
            kept.tried_at = now
            logger.warning("list of tasks used stale", extra={"error": type(error).__name__})
            return kept.page
        return self._first.page

    def _read(self, start: Place | None) -> TaskPage:
        found = self.pointers.page(PAGE, start)
        holds_all = start is None and found.next is None
        return TaskPage(found.live, self._uploaded_but(found.tasks) if holds_all else None, found.next)

    def _uploaded_but(self, live: Set[str]) -> list[str] | None:
        try:
            uploaded = self.store.uploaded_tasks()
        except (ClientError, BotoCoreError) as error:
            logger.warning("uploaded tasks not listed", extra={"error": type(error).__name__})
            return None
        return sorted(filter(is_task_name, uploaded - live))[:_MOST_NAMES]

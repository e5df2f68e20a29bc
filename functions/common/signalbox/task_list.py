"""The list of tasks: what is live for each, a page at a time, and which have nothing live yet."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from botocore.exceptions import BotoCoreError, ClientError

from signalbox.cache import Cache
from signalbox.live import Live, LivePointers, Place
from signalbox.observability import logger
from signalbox.store import RunStore
from signalbox.task import is_task_name

PAGE = 100
"""Live tasks on a page, at most; DynamoDB ends one after a megabyte of pointers, too."""
LIST_SECONDS = 30.0
"""How long a page is used before it is read again, as a live pointer is."""
_STALE_SECONDS = 3600.0
_KEPT_PAGES = 100
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
class TaskList:
    """Reads the list with one query for each page, and remembers pages.

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
    _pages: Cache[tuple[float, TaskPage]] = field(init=False)

    def __post_init__(self) -> None:
        self._pages = Cache(self.clock, _KEPT_PAGES)

    def page(self, start: Place | None = None) -> TaskPage:
        """Return a page, for half a minute the one that was read before; where it cannot be read anew, that one still.

        Raises
        ------
        botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError
            If it has not been read within the hour and cannot be.
        """
        read_at, page = self._pages.get(start) or (float("-inf"), None)
        if page is not None and self.clock() - read_at < LIST_SECONDS:
            return page
        try:
            page = self._read(start)
        except (ClientError, BotoCoreError) as error:
            if page is None:
                raise
            logger.warning("list of tasks used stale", extra={"error": type(error).__name__})
        self._pages.put(start, (self.clock(), page), _STALE_SECONDS)
        return page

    def _read(self, start: Place | None) -> TaskPage:
        found = self.pointers.page(PAGE, start)
        holds_all = start is None and found.next is None
        named = {live.task_name for live in found.live}
        return TaskPage(found.live, self._uploaded_but(named) if holds_all else None, found.next)

    def _uploaded_but(self, live: set[str]) -> list[str] | None:
        try:
            uploaded = self.store.uploaded_tasks()
        except (ClientError, BotoCoreError) as error:
            logger.warning("uploaded tasks not listed", extra={"error": type(error).__name__})
            return None
        return sorted(filter(is_task_name, uploaded - live))[:_MOST_NAMES]

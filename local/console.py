"""The console over HTTP: the page and the reports that lie under runs/ in the data bucket, and nothing else."""

import asyncio
import re
from collections.abc import Callable, Mapping
from typing import Any

from botocore.exceptions import ClientError

PREFIX = "/console"
_PAGE = re.compile(rf"{PREFIX}/(?P<page>|index\.html|[a-z0-9_-]{{1,60}}/report\.html)")
_NOT_YET = (
    b"The console is not written yet. `watch` writes it every few seconds; this page loads itself again.\n"
)
_HEADERS = (
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (
        b"content-security-policy",
        b"default-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:; base-uri 'none'; "
        b"form-action 'none'; frame-ancestors 'none'",
    ),
)


def page_reader(objects: Any, bucket: str) -> Callable[[str], bytes | None]:
    """Make what reads a page below runs/ from the data bucket; None is a page that is not there.

    Parameters
    ----------
    objects
        A boto3 S3 client.
    """

    def read(page: str) -> bytes | None:
        try:
            return objects.get_object(Bucket=bucket, Key=f"runs/{page}")["Body"].read()
        except ClientError as error:
            if error.response["Error"]["Code"] in ("NoSuchKey", "404"):
                return None
            raise

    return read


class ConsolePages:
    """An ASGI application for /console/: `index.html` and `<run_id>/report.html`.

    What a path may be is listed, not what it may not be: any other is answered 404 without being looked for.
    """

    def __init__(self, read: Callable[[str], bytes | None]) -> None:
        self._read = read

    def handles(self, path: str) -> bool:
        """Whether a request for the path is its own."""
        return path == PREFIX or path.startswith(f"{PREFIX}/")

    async def __call__(self, scope: Mapping, receive: Callable, send: Callable) -> None:
        """Answer one request."""
        if scope["method"] not in ("GET", "HEAD"):
            return await _answer(send, scope, 405, b"Only GET and HEAD.\n", (b"allow", b"GET, HEAD"))
        if scope["path"] == PREFIX:
            return await _answer(send, scope, 308, b"", (b"location", f"{PREFIX}/".encode()))
        wanted = _PAGE.fullmatch(scope["path"])
        if wanted is None:
            return await _answer(send, scope, 404, b"There is no such page.\n")
        name = wanted["page"] or "index.html"
        page = await asyncio.to_thread(self._read, name)
        if page is None and name == "index.html":
            return await _answer(send, scope, 503, _NOT_YET, (b"retry-after", b"2"), (b"refresh", b"2"))
        if page is None:
            return await _answer(send, scope, 404, b"This run has no report.\n")
        return await _answer(send, scope, 200, page, (b"content-type", b"text/html; charset=utf-8"))


async def _answer(
    send: Callable, scope: Mapping, status: int, body: bytes, *headers: tuple[bytes, bytes]
) -> None:
    named = {name for name, _ in headers}
    plain = [] if b"content-type" in named else [(b"content-type", b"text/plain; charset=utf-8")]
    length = (b"content-length", str(len(body)).encode())
    start = {
        "type": "http.response.start",
        "status": status,
        "headers": [*headers, *plain, *_HEADERS, length],
    }
    await send(start)
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

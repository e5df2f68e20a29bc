"""Where logs lie, on this machine or in S3, and how they are read: line by line, whatever is broken."""

import io
import re
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import IO, Any

from botocore.exceptions import BotoCoreError, ClientError

from local.data.command import CannotUse

MAX_LINE_BYTES = 8 * 1024 * 1024
"""An invocation log entry has two bodies of at most 100 KB; a subscription's envelope holds several entries."""
MAX_BODY_BYTES = 64 * 1024 * 1024

_PIECE_BYTES = 256 * 1024
_AHEAD = 8
_SMALL_BYTES = 4 * 1024 * 1024
_GZIP = b"\x1f\x8b"
_GZIP_MEMBER = 16 + zlib.MAX_WBITS
"""`wbits` of a member of a gzip file (zlib, inflateInit2)."""
_ENDS = re.compile(rb'\n|(?<=\})[ \t\r]*(?=\{"(?:messageType|owner)")')
"""Where a line ends; Firehose writes the envelopes of a subscription one after the other, with nothing between."""
_IS_DATA = re.compile(r"(^|/)data/[^/]+$")
_PLACEHOLDERS = ("permission-check", "aws-logs-write-test")
"""What Bedrock and CloudWatch Logs write to see whether they may (`amazon-bedrock-logs-permission-check`)."""


class Unreadable(Exception):
    """A file, or a body that lies in a file of its own, cannot be read; the message says why."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What of a file cannot be used: the line, counted from 1, or None for a file as a whole, and why."""

    file: str
    line: int | None
    reason: str


@dataclass(frozen=True)
class LogFile:
    """A file of log entries.

    Attributes
    ----------
    name : str
        A path, or an s3:// address.
    open : Callable
        Returns its bytes as a file.
    body : Callable
        Returns what lies at the s3:// address that one of its entries gives; raises Unreadable.
    """

    name: str
    open: Callable[[], IO[bytes]]
    body: Callable[[str], bytes]

    def lines(self) -> Iterator[tuple[int, bytes] | Fault]:
        """Yield each line with its number, and what cannot be read, as it comes.

        In memory bounded by one line. What comes before a break in a compressed file is used.
        """
        number = 0
        try:
            with self.open() as stream:
                for line in _lines(stream):
                    number += 1
                    if line is None:
                        yield Fault(self.name, number, f"longer than {MAX_LINE_BYTES:,} bytes")
                    elif line.strip():
                        yield number, line
        except (OSError, EOFError, zlib.error, ClientError, BotoCoreError) as error:
            yield Fault(self.name, number + 1, f"cannot be read from here on: {_why(error)}")


def files_of(
    source: str, s3: Callable[[], Any], wanted: Callable[[str], bool] = lambda name: True
) -> Iterator[LogFile]:
    """Return the log files of a source, without the bodies that are too large for an entry.

    Parameters
    ----------
    source : str
        A file, a folder or an s3:// address, of which everything below is taken.
    s3 : Callable
        Makes the client for addresses.
    wanted : Callable
        Tells by its name whether a file is to be read.

    Raises
    ------
    CannotUse
        There is no such path, or the address cannot be listed. Where there are no log files, there are none.
    """
    return _objects(source, s3(), wanted) if source.startswith("s3://") else _paths(Path(source), wanted)


def _paths(source: Path, wanted: Callable[[str], bool]) -> Iterator[LogFile]:
    if not source.exists():
        raise CannotUse(f"there is nothing at {source}")
    if source.is_file():
        files = [source]
    else:
        files = sorted(file for file in source.rglob("*") if file.is_file())
        files = [file for file in files if _is_log(file.relative_to(source).as_posix())]
    for file in files:
        if wanted(str(file)):
            yield LogFile(str(file), lambda file=file: file.open("rb"), _beside(file))


def _beside(file: Path) -> Callable[[str], bytes]:
    """Return what finds a body in a copy of the bucket: below data/, in the folder of the entry's file."""

    def body(address: str) -> bytes:
        try:
            with (file.parent / "data" / address.rpartition("/")[2]).open("rb") as stream:
                return _unpacked(stream)
        except (OSError, EOFError, zlib.error) as error:
            raise Unreadable(f"its body in data/ cannot be read: {_why(error)}") from error

    return body


def _objects(source: str, s3: Any, wanted: Callable[[str], bool]) -> Iterator[LogFile]:
    """Return the objects below an address; small ones, of which there are many, are fetched a few ahead."""
    bucket, _, prefix = source.removeprefix("s3://").partition("/")

    def body(address: str) -> bytes:
        place, _, key = address.removeprefix("s3://").partition("/")
        if place != bucket:  # whoever names one bucket has not asked for what lies in others
            raise Unreadable("its body lies in another bucket")
        try:
            return _unpacked(s3.get_object(Bucket=place, Key=key)["Body"])
        except (OSError, EOFError, zlib.error, ClientError, BotoCoreError) as error:
            raise Unreadable(f"its body in data/ cannot be read: {_why(error)}") from error

    def fetched(key: str) -> IO[bytes]:
        return io.BytesIO(s3.get_object(Bucket=bucket, Key=key)["Body"].read())

    def streamed(key: str) -> IO[bytes]:
        return s3.get_object(Bucket=bucket, Key=key)["Body"]

    ahead: deque[LogFile] = deque()
    with ThreadPoolExecutor(_AHEAD) as threads:
        for entry in _listed(source, bucket, prefix, s3):
            key, name = entry["Key"], f"s3://{bucket}/{entry['Key']}"
            if not (_is_log(key) and entry["Size"] and wanted(name)):
                continue
            small = entry["Size"] <= _SMALL_BYTES
            opened = threads.submit(fetched, key).result if small else lambda key=key: streamed(key)
            ahead.append(LogFile(name, opened, body))
            if len(ahead) >= _AHEAD:
                yield ahead.popleft()
        yield from ahead


def _listed(source: str, bucket: str, prefix: str, s3: Any) -> Iterator[dict[str, Any]]:
    try:
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            yield from page.get("Contents", ())
    except (ClientError, BotoCoreError) as error:
        raise CannotUse(f"{source} cannot be listed: {_why(error)}") from error


def _is_log(name: str) -> bool:
    hidden = any(part.startswith(".") for part in name.split("/"))
    return not (hidden or _IS_DATA.search(name) or name.endswith(_PLACEHOLDERS))


def _lines(stream: IO[bytes]) -> Iterator[bytes | None]:
    """Split at line feeds and between envelopes; None stands for a line that is too long."""
    pending, overlong = b"", False
    for piece in _pieces(stream):
        *complete, pending = _ENDS.split(pending + piece)
        for line in complete:
            yield None if overlong else line
            overlong = False
        if len(pending) > MAX_LINE_BYTES:
            pending, overlong = b"", True
    if overlong or pending:
        yield None if overlong else pending


def _pieces(stream: IO[bytes]) -> Iterator[bytes]:
    """Return a file's content, unpacked as often as it is packed: Firehose may compress what is compressed already."""
    return _unpacked_as_often(iter(lambda: stream.read(_PIECE_BYTES), b""))


def _unpacked_as_often(pieces: Iterator[bytes]) -> Iterator[bytes]:
    head = b""
    while len(head) < len(_GZIP) and (piece := next(pieces, b"")):
        head += piece
    whole = chain((head,), pieces)
    return _unpacked_as_often(_inflated(whole)) if head.startswith(_GZIP) else whole


def _inflated(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Unpack gzip, one member after the other, and hand over all that comes before a break.

    Raises
    ------
    zlib.error, EOFError
        Where it breaks: what `gzip.GzipFile` raises before it has handed over what it had unpacked.
    """
    member = zlib.decompressobj(_GZIP_MEMBER)
    for packed in pieces:
        while packed:
            if member.eof:
                packed = packed.lstrip(b"\0")  # padding, as gzip leaves it out, too
                member = zlib.decompressobj(_GZIP_MEMBER) if packed else member
                continue
            before = member.copy()
            try:
                unpacked = member.decompress(packed, _PIECE_BYTES)
            except zlib.error:
                for byte in packed:  # raises at the one that is at fault
                    yield before.decompress(bytes((byte,)))
                raise
            packed = member.unused_data if member.eof else member.unconsumed_tail
            yield unpacked
    while unpacked := member.decompress(b"", _PIECE_BYTES):
        yield unpacked
    if not member.eof:
        raise EOFError("Compressed file ended before the end-of-stream marker was reached")


def _unpacked(stream: IO[bytes]) -> bytes:
    content = bytearray()
    for piece in _pieces(stream):
        content += piece
        if len(content) > MAX_BODY_BYTES:
            raise Unreadable(f"its body has more than {MAX_BODY_BYTES:,} bytes")
    return bytes(content)


def _why(error: Exception) -> str:
    if isinstance(error, ClientError):
        return error.response["Error"]["Code"]
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error)

"""What a file is that is no JSONL: one sentence in place of a complaint about each of its lines."""

import itertools
import re
from collections.abc import Iterable, Iterator

_HEAD_BYTES = 4096
_COMPRESSED = {
    b"\x1f\x8b": "gzip",
    b"PK\x03\x04": "a zip archive (or an office document)",
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\x04\x22\x4d\x18": "lz4",
}
_OTHERS = {b"PAR1": "Parquet", b"%PDF": "a PDF", b"SQLite format 3": "an SQLite database", b"Obj\x01": "Avro"}
_WIDE = {
    b"\xff\xfe\x00\x00": "UTF-32",
    b"\x00\x00\xfe\xff": "UTF-32",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}
_CONTROLS = bytes(byte for byte in range(32) if byte not in b"\t\n\r")


def with_form(chunks: Iterable[bytes]) -> tuple[str, Iterator[bytes]]:
    """Look at the beginning of a file: its first piece.

    Returns
    -------
    str
        Why no line of it can be a record, or "" if it may be JSONL.
    Iterator[bytes]
        The file from its beginning.
    """
    rest = iter(chunks)
    head = next((chunk for chunk in rest if chunk), b"")
    return wrong_form(head[:_HEAD_BYTES]), itertools.chain([head], rest)


def wrong_form(head: bytes) -> str:
    """Say what a file with this beginning is, and what to do; "" if it may be JSONL."""
    for mark, name in _COMPRESSED.items():
        if head.startswith(mark):
            return f"the file is {name}, whatever its name; unpack it and drop the JSONL file itself"
    for mark, name in _OTHERS.items():
        if head.startswith(mark):
            return f"the file is {name}, not JSONL; write it as one JSON object a line"
    for mark, name in _WIDE.items():
        if head.startswith(mark):
            return f"the file is {name}; save it as UTF-8 without a byte order mark"
    if _is_wide_without_mark(head):
        return "the file looks like UTF-16 or UTF-32; save it as UTF-8 without a byte order mark"
    if sum(map(head.count, (bytes([byte]) for byte in _CONTROLS))) > 0.05 * len(head):
        return "the file is binary, not text; a dataset is JSONL in UTF-8, one JSON object a line"
    first = head.lstrip().partition(b"\n")[0].strip()
    if first == b"[" or re.match(rb"\[\s*\{", first):
        return "the file is one JSON list; write each of its objects on a line of its own, without the list around them"
    if first == b"{":
        return "the file has JSON objects spread over several lines; write each object on one line"
    return ""


def _is_wide_without_mark(head: bytes) -> bool:
    # JSON begins with ASCII, of which UTF-16 makes every other byte a NUL, UTF-32 three of four.
    even, odd = head[:64:2], head[1:64:2]
    return len(head) >= 8 and max(even.count(0) / len(even), odd.count(0) / len(odd)) > 0.9

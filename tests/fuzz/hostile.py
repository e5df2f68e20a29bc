"""Broken datasets by the thousand, each the same for its seed, and what must hold of every one.

python -m tests.fuzz.hostile FIRST_SEED COUNT   or   python -m tests.fuzz.hostile large [NAME ...]

Prints one JSON object: how many of which kind, how many were accepted, the peak of memory, and what went wrong. The
process may have no more memory for its data than 256 MB.
"""

import contextlib
import gzip
import io
import json
import random
import resource
import sys
import time
import traceback
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from signalbox.dataset import GoldenError, examine, read_golden
from signalbox.records import MAX_LINE_BYTES, MAX_TEXT, Problem, Record, read_records
from signalbox.task import Task
from tests.builders import (
    PROMPT,
    QUERIES,
    SIGNALS,
    conversation,
    labels_spec,
    line,
    spec,
    truth,
    weights_text,
)

MEMORY = 256 * 1024 * 1024
SLOW_SECONDS = 20
WEIGHTS = Task.model_validate(spec())
KINDS_OF_TASK = [
    WEIGHTS,
    Task.model_validate(spec(dataset={"personal_data": "mask", "max_invalid_share": 0.5})),
    Task.model_validate(spec(dataset={"personal_data": "reject", "max_invalid_share": 0.1})),
    Task.model_validate(labels_spec()),
]
LINES = [line(query, truth(query), system=[{"text": PROMPT}]).rstrip(b"\n") for query in QUERIES]
Damage = Callable[[random.Random, list[bytes]], bytes]


def _joined(lines: list[bytes], end: bytes = b"\n") -> bytes:
    return b"".join(each + end for each in lines)


def _in_some_lines(change: Callable[[random.Random, bytes], bytes]) -> Damage:
    def damage(draw: random.Random, lines: list[bytes]) -> bytes:
        for place in draw.sample(range(len(lines)), draw.randint(1, draw.choice([1, 3, len(lines)]))):
            lines[place] = change(draw, lines[place])
        return _joined(lines)

    return damage


def _put_in(draw: random.Random, text: bytes, *pieces: bytes) -> bytes:
    at = draw.randint(0, len(text))
    return text[:at] + draw.choice(pieces) + text[at:]


def _truncated_utf8(draw: random.Random, text: bytes) -> bytes:
    character = draw.choice("é世🎬").encode()
    return text.replace(b"the", character[: draw.randint(1, len(character) - 1)] + b"the", 1)


def _in_answer(draw: random.Random, weight: str) -> bytes:
    answer = weights_text(0.8, 0.1, 0.1).replace("0.8", weight, 1)
    return line(draw.choice(QUERIES), answer).rstrip(b"\n")


def _numbers(draw: random.Random, text: bytes) -> bytes:
    return _in_answer(
        draw, draw.choice(["NaN", "Infinity", "-Infinity", "1e999", "-0.0", "9" * 5000, "0." + "9" * 5000])
    )


def _number_in_record(draw: random.Random, text: bytes) -> bytes:
    number = draw.choice([b"NaN", b"Infinity", b"-1e9999", b"9" * 8000, b"0x10", b"1_000"])
    return text.replace(b'"' + draw.choice(QUERIES).encode() + b'"', number).replace(
        b"[", b"[" + number + b",", 1
    )


def _duplicate_keys(draw: random.Random, text: bytes) -> bytes:
    key, value = draw.choice([("role", "user"), ("text", "b"), ("schemaVersion", "x"), ("type", "text")])
    return text.replace(b"{", f'{{"{key}": "{value}", '.encode(), draw.randint(1, 5))


def _deep(draw: random.Random, text: bytes) -> bytes:
    depth = draw.choice([200, 3000, MAX_LINE_BYTES // 2 - 10, 100_000])
    opening, closing = draw.choice([("[", "]"), ('{"a":', "}")])
    nested = opening * depth + draw.choice(["", "1"]) + closing * draw.choice([0, depth])
    if draw.random() < 0.5:
        return line(draw.choice(QUERIES), nested[:16_000]).rstrip(b"\n")
    return text[:-1] + b', "messages": ' + nested.encode() + b"}"


def _surrogates(draw: random.Random, text: bytes) -> bytes:
    return text.replace(
        b"the", draw.choice([b"\\ud800", b"\\udfff\\ud800", b"\xed\xa0\x80", b"\\\\ud83d"]), 1
    )


def _wrong_shape(draw: random.Random, text: bytes) -> bytes:
    body = conversation(draw.choice(QUERIES), weights_text(0.8, 0.1, 0.1))
    places: list[Any] = [body, *body["messages"], *(message["content"][0] for message in body["messages"])]
    place = draw.choice(places)
    key = draw.choice([*place, "extra", "", "é" * 3000])
    value = draw.choice(
        [
            None,
            True,
            -1,
            1.5,
            "",
            "x" * 20_000,
            [],
            [[]],
            {},
            {"a": 1},
            list(range(2000)),
            place.get("role", 0),
        ]
    )
    if draw.random() < 0.3 and key in place:
        del place[key]
    else:
        place[key] = value
    return json.dumps(body, ensure_ascii=draw.random() < 0.5).encode()


def _wrong_answer(draw: random.Random, text: bytes) -> bytes:
    answer = draw.choice(
        ["", " ", "Sure! {}", "```json\n{}\n```", "[]", "null", '"text"', "{", "{}", "{'picture': 1}", "\x00", "watch",
         '{"picture": 1, "picture": 0, "sound": 0, "words": 0}', '{"picture": true, "sound": 0, "words": 0}',
         '{"picture": "1", "sound": 0, "words": 0}',
         json.dumps(dict.fromkeys(SIGNALS, 1 / 3) | {"reasoning": "\ud800"}),
         json.dumps({f"k{number}": number for number in range(900)}), json.dumps({"picture" * 900: 1})]
    )  # fmt: skip
    return line(draw.choice(QUERIES), answer).rstrip(b"\n")


def _odd_query(draw: random.Random, text: bytes) -> bytes:
    query = draw.choice(
        ["\ufdfa" * 512, "e" + "\u0301" * 511, "🎬" * 512, "\u202e" * 9, "x" * 513, "\u200b", "\x7f", "\u0000",
         "\U0001d518", "ﬁ" * 512, "İ" * 300, "?!" * 99, "a@b.example +44 20 7946 0958",
         "4111 1111 1111 1111 " * 20, "\r", "'\"\\/"]
    )  # fmt: skip
    return line(query, draw.choice([weights_text(0.8, 0.1, 0.1), None])).rstrip(b"\n")


def _bytes_changed(draw: random.Random, lines: list[bytes]) -> bytes:
    content = bytearray(_joined(lines))
    for _ in range(draw.choice([1, 10, 1000])):
        content[draw.randrange(len(content))] = draw.randrange(256)
    return bytes(content)


def _zipped(draw: random.Random, lines: list[bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("data.jsonl", _joined(lines))
    return packed.getvalue()


def _cut(draw: random.Random, lines: list[bytes]) -> bytes:
    content = _joined(lines)
    return content[draw.randint(0, len(content)) : draw.randint(0, len(content))]


def _several(draw: random.Random, lines: list[bytes]) -> bytes:
    for _ in range(3):
        lines = KINDS[draw.choice(LINE_KINDS)](draw, lines).split(b"\n")
    return _joined(lines)


KINDS: dict[str, Damage] = {
    "truncated UTF-8": _in_some_lines(_truncated_utf8),
    "NUL bytes": _in_some_lines(lambda draw, text: _put_in(draw, text, b"\0", b"\0" * 99, b"\\u0000")),
    "a long line": _in_some_lines(lambda draw, text: text + b" " * draw.choice([17_000, 300_000]) + b"x"),
    "NaN, Infinity and huge numbers in answers": _in_some_lines(_numbers),
    "numbers in records": _in_some_lines(_number_in_record),
    "duplicate keys": _in_some_lines(_duplicate_keys),
    "deep nesting": _in_some_lines(_deep),
    "lone surrogates": _in_some_lines(_surrogates),
    "byte order marks": _in_some_lines(lambda draw, text: b"\xef\xbb\xbf" + text),
    "wrong shapes": _in_some_lines(_wrong_shape),
    "wrong answers": _in_some_lines(_wrong_answer),
    "odd queries": _in_some_lines(_odd_query),
    "control characters": _in_some_lines(lambda draw, text: _put_in(draw, text, b"\x01", b"\x1b[2J", b"\x0b", b"\x85")),
    "cut lines": _in_some_lines(lambda draw, text: text[: draw.randint(0, len(text))]),
    "joined lines": _in_some_lines(lambda draw, text: text + draw.choice([b"", b",", b" "]) + text),
    "empty lines": lambda draw, lines: _joined(lines) + draw.choice([b"\n", b" \t\n", b"\r\n"]) * draw.randint(1, 5000),
    "CRLF": lambda draw, lines: _joined(lines, b"\r\n"),
    "CR alone": lambda draw, lines: _joined(lines, b"\r"),
    "other separators": lambda draw, lines: _joined(lines, draw.choice(["\u2028", "\x0b", "\x1e", "\x85"]).encode()),
    "changed bytes": _bytes_changed,
    "a cut file": _cut,
    "gzip": lambda draw, lines: gzip.compress(_joined(lines), compresslevel=1),
    "zip": _zipped,
    "UTF-16": lambda draw, lines: _joined(lines).decode().encode(draw.choice(["utf-16", "utf-16-le", "utf-16-be"])),
    "UTF-32": lambda draw, lines: _joined(lines).decode().encode(draw.choice(["utf-32", "utf-32-le", "utf-32-be"])),
    "random bytes": lambda draw, lines: draw.randbytes(draw.randint(200, 50_000)),
    "one JSON list": lambda draw, lines: b"[" + draw.choice([b"", b"\n"]) + b",\n".join(lines) + b"]",
    "indented JSON": lambda draw, lines: b"".join(json.dumps(json.loads(each), indent=1).encode() for each in lines),
    "CSV": lambda draw, lines: b"query,answer\n" + _joined([f"{query},watch".encode() for query in QUERIES]),
    "several of these": _several,
}  # fmt: skip
LINE_KINDS = list(KINDS)[:15]
ONE_SENTENCE = {"gzip", "zip", "UTF-16", "UTF-32", "random bytes", "one JSON list", "indented JSON"}


def check(draw: random.Random, kind: str) -> bool:
    """Make one broken dataset, examine it, and assert what must hold; tell whether it was accepted."""
    content = KINDS[kind](draw, list(LINES))
    task = WEIGHTS if kind in ONE_SENTENCE else draw.choice(KINDS_OF_TASK)
    accepted = assert_sound(lambda: _pieces(content, random.Random(len(content))), task, kind in ONE_SENTENCE)
    with contextlib.suppress(GoldenError):
        assert all(isinstance(record, Record) for record in read_golden([content], task, "golden.jsonl"))
    return accepted


def _pieces(content: bytes, draw: random.Random) -> Iterator[bytes]:
    at = 0
    while at < len(content):
        size = draw.choice([4096, 65_536, 1 << 20])
        yield content[at : at + size]
        at += size


def assert_sound(chunks: Callable[[], Iterator[bytes]], task: Task, one_sentence: bool = False) -> bool:
    """Assert of any file whatever that it is examined in time, with clear reasons that can be written down."""
    start = time.process_time()
    dataset = examine(chunks(), task)
    assert time.process_time() - start < SLOW_SECONDS
    written = json.dumps(dataset.findings(), ensure_ascii=False, allow_nan=False).encode()
    assert len(written) < 4_000_000
    assert all(0 < len(problem.reason) <= MAX_TEXT for problem in dataset.problems)
    assert all(reason and "\n" not in reason for reason in dataset.reasons)
    counts = dataset.counts
    assert counts["lines"] == counts["invalid"] + counts["records"]
    assert bool(dataset.problems) >= bool(counts["invalid"])
    if one_sentence:
        assert len(dataset.reasons) == len(dataset.problems) == 1, dataset.reasons
        assert counts["lines"] == 0
    if not dataset.reasons:
        kept = b"".join(record.to_json(task.prompt) for record in (*dataset.train, *dataset.golden))
        assert not any(isinstance(entry, Problem) for entry in read_records([kept], task))
    return not dataset.reasons


def _repeated(piece: bytes, times: int) -> Callable[[], Iterator[bytes]]:
    return lambda: (piece for _ in range(times))


def _largest_records(character: str, other: str = "") -> Callable[[], Iterator[bytes]]:
    """Return 15,000 records as long as a line may be, of one character and one other, which may widen the text."""
    room = 15_000 // len(character.encode())

    def chunks() -> Iterator[bytes]:
        for number in range(15_000):
            reasoning = character * room + other
            answer = json.dumps(
                {"picture": 1, "sound": 0, "words": 0, "reasoning": reasoning}, ensure_ascii=False
            )
            yield json.dumps(conversation(f"query {number}", answer), ensure_ascii=False).encode() + b"\n"

    return chunks


def _largest_queries() -> Iterator[bytes]:
    for number in range(15_000):
        yield line(f"{number}" + "\ufdfa" * 500, weights_text(0.8, 0.1, 0.1))


def large() -> dict[str, Callable[[], Iterator[bytes]]]:
    """Return the files that are large: each is made piece by piece."""
    megabyte = 1 << 20
    return {
        "100 MB on one line": _repeated(b"x" * megabyte, 100),
        "100 MB on one line of a record": lambda: iter([LINES[0][:-2], *[b" " * megabyte] * 100, b"]}\n"]),
        "1 GB on one line": _repeated(b"[" * megabyte, 1000),
        "a million empty lines": _repeated(b"\n" * 1000, 1000),
        "a million empty lines after records": lambda: iter([_joined(LINES), b"\n" * 1_000_000]),
        "15,000 of the longest records": _largest_records("r"),
        "15,000 of the longest records, wide": _largest_records("r", "🎬"),
        "15,000 of the longest records, Chinese": _largest_records("世"),
        "15,000 queries that grow when normalised": _largest_queries,
        "20,000 records that are alike": lambda: (
            line(f"{QUERIES[0]} {n}", truth(QUERIES[0])) for n in range(20_000)
        ),
    }


def _run_seeds(first: int, count: int) -> dict[str, Any]:
    kinds: Counter[str] = Counter()
    accepted, failures = 0, []
    for seed in range(first, first + count):
        kind = list(KINDS)[seed % len(KINDS)]
        kinds[kind] += 1
        try:
            accepted += check(random.Random(seed), kind)
        except Exception:
            failures.append({"seed": seed, "kind": kind, "error": traceback.format_exc()[-1500:]})
    return {"cases": count, "kinds": dict(kinds), "accepted": accepted, "failures": failures[:20]}


def _run_large(names: list[str]) -> dict[str, Any]:
    failures, seconds = [], {}
    loose = Task.model_validate(spec(dataset={"max_invalid_share": 0.5}))
    for name, chunks in ((name, large()[name]) for name in names or large()):
        start = time.process_time()
        try:
            assert_sound(chunks, loose)
        except Exception:
            failures.append({"kind": name, "error": traceback.format_exc()[-1500:]})
        seconds[name] = round(time.process_time() - start, 1)
    return {"cases": len(seconds), "took": seconds, "failures": failures}


def _main(arguments: list[str]) -> None:
    if sys.platform == "linux":
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    start = time.process_time()
    result = _run_large(arguments[1:]) if arguments[0] == "large" else _run_seeds(*map(int, arguments))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    if sys.platform == "linux":  # ru_maxrss would be that of the process which started this one, were it more
        peak = int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) * 1024
    print(json.dumps(result | {"peak": peak, "seconds": round(time.process_time() - start, 1)}))


if __name__ == "__main__":
    _main(sys.argv[1:])

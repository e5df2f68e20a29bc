"""Validation: records a second and memory, beside the peer's approach on the same records in the same run.

The peer is what the validator in aws-samples/amazon-bedrock-samples does, written anew: the whole file in memory, and
for each record one `jsonschema.validate`. It looks at the shape alone; the checks of an answer, a query, a prompt,
of keys that stand twice and for personal data are ours only. A second figure has its schema prepared once, which it
could have been.

Each way runs in a process of its own, so that its peak memory is its own. Seconds are those of the processor.
"""

import itertools
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from bench.figures import Figure
from bench.sandbox import ROOT
from signalbox.customization import LIMITS

PART = "Validation of a dataset"
GIGABYTE = 1_000_000_000
SAMPLE_RECORDS = 2_000
"""As many as the peer is timed with; a gigabyte would take it hours."""
PEER_BYTES = 100_000_000
"""As much as the peer is given to hold; it would need several gigabytes of memory for one."""

_LETTERS = str.maketrans("0123456789", "abcdefghij")
"""Numbers are written in letters: millions of numbers in digits would look like telephone numbers."""

_CONTENT = {
    "type": "array",
    "minItems": 1,
    "maxItems": 1,
    "items": {
        "type": "object",
        "properties": {"text": {"type": "string", "minLength": 1}},
        "required": ["text"],
        "additionalProperties": False,
    },
}
_SCHEMA = {
    "type": "object",
    "properties": {
        "schemaVersion": {"type": "string", "enum": ["bedrock-conversation-2024"]},
        "system": _CONTENT,
        "messages": {
            "type": "array",
            "minItems": 1,
            "maxItems": 2,
            "items": {
                "type": "object",
                "properties": {"role": {"type": "string", "enum": ["user", "assistant"]}, "content": _CONTENT},
                "required": ["role", "content"],
                "additionalProperties": False,
            },
        },
    },
    "required": ["schemaVersion", "messages"],
    "additionalProperties": False,
}  # fmt: skip


def measure() -> list[Figure]:
    """Return speed and memory of both."""
    with tempfile.TemporaryDirectory() as folder:
        sample, whole, part, most = (Path(folder) / name for name in ("sample", "whole", "part", "most"))
        write(sample, records=SAMPLE_RECORDS)
        write(whole, size=GIGABYTE)
        write(part, size=PEER_BYTES)
        write(most, records=LIMITS["DISTILLATION"].most)
        ours, peer = _run("ours", whole), _run("peer", sample)
        prepared, held = _run("prepared", sample), _run("held", part)
        near, checked = _run("near", most), _run("checked", most)
    where = "examples of this repository with numbered queries, one core"

    def figure(
        name: str, value: float, unit: str, target: float | None = None, least: bool = False
    ) -> Figure:
        return Figure(PART, name, value, unit, where, target, least)

    return [
        figure("a file of 1 GB, all checks", ours["records"] / ours["seconds"], "records/s", 50_000, True),
        figure("a file of 1 GB, peak memory", ours["peak"] / 1e6, "MB", 256),
        figure("peer: one jsonschema.validate a record", peer["records"] / peer["seconds"], "records/s"),
        figure("peer with its schema prepared", prepared["records"] / prepared["seconds"], "records/s"),
        figure("peer: a file of 0.1 GB, peak memory", held["peak"] / 1e6, "MB"),
        figure("near-duplicates among 15,000 queries", near["seconds"], "s", 10),
        figure("15,000 records: verdict, findings, cost", checked["seconds"], "s"),
        figure("15,000 records: peak memory", checked["peak"] / 1e6, "MB", 256),
        figure("ours to peer", _ratio(ours, peer), "times"),
        figure("ours to peer with its schema prepared", _ratio(ours, prepared), "times"),
    ]


def _ratio(ours: dict[str, float], peer: dict[str, float]) -> float:
    return ours["records"] / ours["seconds"] / (peer["records"] / peer["seconds"])


def write(file: Path, records: int | None = None, size: int | None = None) -> None:
    """Write a dataset of the example's records, each query with a number of its own, up to a number or a size."""
    examples = (ROOT / "examples" / "video-search.jsonl").read_text(encoding="utf-8").splitlines()
    fronts = [line.partition('"role": "user", "content": [{"text": "') for line in examples]
    written = 0
    with file.open("wb") as output:
        for number, (front, key, rest) in enumerate(itertools.cycle(fronts)):
            line = f"{front}{key}{str(number).translate(_LETTERS)} {rest}\n".encode()
            if number == records or (size and written + len(line) > size):
                return
            written += output.write(line)


def _run(way: str, file: Path) -> dict[str, float]:
    command = [sys.executable, "-m", "bench.validation", way, str(file)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, cwd=ROOT).stdout)


def _ours(file: Path) -> int:
    from signalbox.personal_screen import Screen
    from signalbox.records import Record, read_records
    from signalbox.task import Task

    task = Task.from_yaml((ROOT / "tasks" / "video-search" / "task.yaml").read_bytes())
    screen = Screen(task)
    return sum(isinstance(screen.passed(entry), Record) for entry in read_records(_chunks(file), task))


def _chunks(file: Path) -> Iterator[bytes]:
    with file.open("rb") as content:
        while chunk := content.read(1 << 20):  # as the pieces of an S3 object come
            yield chunk


def _peer(file: Path) -> int:
    import jsonschema

    records = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    for record in records:
        jsonschema.validate(record, _SCHEMA)
    return len(records)


def _prepared(file: Path) -> int:
    import jsonschema

    validator = jsonschema.Draft202012Validator(_SCHEMA)
    return sum(validator.is_valid(json.loads(line)) for line in file.read_text(encoding="utf-8").splitlines())


def _near(file: Path) -> int:
    from signalbox.near_duplicates import groups, near_duplicates

    queries = [json.loads(line)["messages"][0]["content"][0]["text"] for line in file.open(encoding="utf-8")]
    groups(near_duplicates(queries))
    return len(queries)


def _checked(file: Path) -> int:
    from local.data.check import check
    from signalbox.task import Task

    folder = ROOT / "tasks" / "video-search"
    findings = check(file, Task.from_yaml((folder / "task.yaml").read_bytes()), folder / "golden.jsonl")
    return findings["counts"]["records"]


def _held(file: Path) -> int:
    return len([json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()])


def _peak() -> int:
    """Return the most memory that this process has had, in bytes."""
    if sys.platform == "linux":  # ru_maxrss would be that of the process which started this one, were it more
        status = Path("/proc/self/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _main(way: str, file: str) -> None:
    ways: dict[str, Callable[[Path], int]] = {
        "ours": _ours,
        "peer": _peer,
        "prepared": _prepared,
        "held": _held,
        "near": _near,
        "checked": _checked,
    }
    start = time.process_time()
    records = ways[way](Path(file))
    result: dict[str, Any] = {"records": records, "seconds": time.process_time() - start, "peak": _peak()}
    print(json.dumps(result))


if __name__ == "__main__":
    _main(*sys.argv[1:])

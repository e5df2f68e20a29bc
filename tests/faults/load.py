"""Drop many datasets at once on one machine and say how long it took and what memory it took at most.

`PYTHONPATH=functions/common .venv/bin/python -m tests.faults.load [datasets] [embedded|bedrock]`; the app is one of its
own, its Bedrock enforces the quotas that LOCAL_BEDROCK_* variables set.
"""

import json
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import yaml

from local.tasks import with_local_models
from tests.builders import QUERIES, embedded_spec, labelled, spec
from tests.e2e.harness import LocalApp

_PATIENCE_SECONDS = 1800


def memory_of(root: int) -> tuple[int, float]:
    """Return how many processes descend from one, itself among them, and their memory together (PSS, MB)."""
    parents = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(status.parent.name)] = int(fields[1])
    family = {root}
    while grown := {process for process, parent in parents.items() if parent in family} - family:
        family |= grown
    return len(family), sum(map(_proportional, family)) / 1024


def _proportional(process: int) -> int:
    """Return a process's proportional set size in KB: shared pages are counted once over all who share them."""
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def main(datasets: int, kind: str) -> None:
    """Drop the datasets, wait until every run has ended, and print the figures."""
    content = (embedded_spec if kind == "embedded" else spec)(name="load")
    content |= {"judge": None, "gates": {"min_golden": 20, "valid_share": 0}}
    with tempfile.TemporaryDirectory(prefix="signalbox-load-") as folder:
        app = LocalApp(Path(folder)).start()
        try:
            _drop_and_wait(app, content, datasets)
        finally:
            app.stop()


def _drop_and_wait(app: LocalApp, content: dict, datasets: int) -> None:
    bucket, s3 = app.ready["bucket"], app.client("s3")
    task, _ = with_local_models(yaml.safe_dump(content))
    s3.put_object(Bucket=bucket, Key="tasks/load/task.yaml", Body=task.encode())
    s3.put_object(Bucket=bucket, Key="tasks/load/golden.jsonl", Body=labelled(QUERIES[::7][:20]))
    most = Counter()
    over = threading.Event()

    def measure() -> None:
        while not over.wait(0.5):
            processes, megabytes = memory_of(app.process.pid)
            most["processes"], most["MB"] = max(most["processes"], processes), max(most["MB"], megabytes)

    before = memory_of(app.process.pid)
    threading.Thread(target=measure, daemon=True).start()
    started = time.monotonic()
    body = labelled()
    with ThreadPoolExecutor(16) as threads:
        for number in range(datasets):
            threads.submit(s3.put_object, Bucket=bucket, Key=f"datasets/load/{number}.jsonl", Body=body)
    dropped = time.monotonic() - started
    states: Counter[str] = Counter()
    waited: set[str] = set()
    while time.monotonic() - started < _PATIENCE_SECONDS:
        runs = app.runs().values()
        states = Counter(run["state"] for run in runs)
        waited |= {
            run["waiting"].split(":")[1].strip()
            for run in runs
            if run.get("waiting", "").startswith("Bedrock:")
        }
        if len(runs) == datasets and set(states) <= {"PROMOTED", "HELD", "REJECTED", "FAILED"}:
            break
        time.sleep(1)
    over.set()
    figures = {
        "datasets": datasets,
        "states": dict(states),
        "dropped_seconds": round(dropped, 1),
        "seconds": round(time.monotonic() - started, 1),
        "processes_before": before[0],
        "megabytes_before": round(before[1]),
        "processes_at_most": most["processes"],
        "megabytes_at_most": round(most["MB"]),
        "waited_for": sorted(waited),
    }
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100, sys.argv[2] if len(sys.argv) > 2 else "embedded")

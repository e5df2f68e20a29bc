"""Hostile datasets: none crashes, none takes more than 256 MB, and each that is rejected says clearly why.

FUZZ_DATASETS says how many are made; the files that are large are all tried when it is set.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.fuzz.hostile import KINDS, MEMORY, large

PROJECT = Path(__file__).resolve().parents[2]
WANTED = os.environ.get("FUZZ_DATASETS")
BATCH = 2_000
QUICK = ("100 MB on one line of a record", "1 GB on one line", "a million empty lines after records",
         "15,000 of the longest records, wide")  # fmt: skip


def hostile(*arguments: str) -> dict[str, Any]:
    """Run the harness in a process that has 256 MB for its data."""
    paths = os.pathsep.join([str(PROJECT / "functions" / "common"), str(PROJECT)])
    environment = os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    ran = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.hostile", *arguments],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    return json.loads(ran.stdout)


def test_thousands_of_broken_files_are_examined_without_a_crash_and_within_the_memory() -> None:
    count = int(WANTED or 300)
    kinds, accepted = set(), 0
    for first in range(0, count, BATCH):
        result = hostile(str(first), str(min(BATCH, count - first)))
        assert result["failures"] == []
        assert result["peak"] <= MEMORY
        kinds |= set(result["kinds"])
        accepted += result["accepted"]
    # Every kind was tried, and the harness tells broken from sound: some are accepted, most are not.
    assert kinds == set(KINDS)
    assert 0 < accepted < 0.6 * count
    print(f"{count:,} hostile datasets of {len(kinds)} kinds: {accepted:,} accepted, none crashed")


def test_files_that_are_large_are_examined_in_time_and_within_the_memory() -> None:
    result = hostile("large", *(() if WANTED else QUICK))
    assert result["failures"] == []
    assert result["cases"] == (len(large()) if WANTED else len(QUICK))
    assert result["peak"] <= MEMORY
    print(f"{result['cases']} large files, peak {result['peak'] / 1e6:.0f} MB")

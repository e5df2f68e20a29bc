"""Measure everything, print one table, and write bench/results.json.

make bench, or PYTHONPATH=functions/common python -m bench [--data FOLDER] [--only PART ...]
"""

import argparse
import os
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # a Lambda function has one core; read when NumPy is loaded
ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "functions" / "common"))
os.environ["PYTHONPATH"] = str(ROOT / "functions" / "common")

from bench import converse, figures, function, published, quality, student_cost, validation  # noqa: E402
from bench.live_task import LiveTask  # noqa: E402


def main() -> None:
    """Run the parts that are asked for; the record is written when all of them are."""
    parser = argparse.ArgumentParser(prog="bench", description="Measure Signalbox on this machine.")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument(
        "--only", nargs="*", help="parts: validation, quality, student, function, converse, published"
    )
    arguments = parser.parse_args()
    data = arguments.data if arguments.data.is_dir() else None
    live = LiveTask(data)
    measured: list[figures.Figure] = []
    parts = {
        "validation": validation.measure,
        "student": lambda: student_cost.measure(live),
        "function": lambda: function.measure(live) if sys.platform == "linux" else [],
        "converse": lambda: converse.measure(live),
        "quality": lambda: quality.measure(data),
        "published": lambda: published.quoted(measured),
    }
    for name, part in parts.items():
        if not arguments.only or name in arguments.only:
            print(f"measuring: {name}", file=sys.stderr)
            measured += part()
    figures.show(measured)
    if not arguments.only:
        figures.write(measured)


if __name__ == "__main__":
    main()

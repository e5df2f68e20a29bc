"""What was measured: figures with their targets, as a table and as the record bench/results.json."""

import json
import os
import platform
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

RESULTS = Path(__file__).with_name("results.json")
PACKAGES = ("boto3", "aws-lambda-powertools", "pydantic", "numpy", "scipy", "scikit-learn")


@dataclass(frozen=True)
class Figure:
    """One number.

    Attributes
    ----------
    part : str
        Which part of the bench it belongs to.
    where : str
        Where and on what it was measured, or who published it.
    target : float | None
        What it should reach: at most this, or at least if `at_least`.
    """

    part: str
    name: str
    value: float
    unit: str = ""
    where: str = ""
    target: float | None = None
    at_least: bool = False

    @property
    def met(self) -> bool | None:
        """Whether the target is reached; None if there is none."""
        if self.target is None:
            return None
        return self.value >= self.target if self.at_least else self.value <= self.target


def show(figures: Iterable[Figure]) -> None:
    """Print the table."""
    table = Table("", "figure", "target", "", title_justify="left", box=None, pad_edge=False)
    table.columns[1].justify = table.columns[2].justify = "right"
    part = None
    for figure in figures:
        if figure.part != part:
            part = figure.part
            table.add_row("")
            table.add_row(f"[bold]{part}[/]")
        sign = "at least" if figure.at_least else "at most"
        target = "" if figure.target is None else f"{sign} {figure.target:g}"
        verdict = {None: "", True: "[green]met[/]", False: "[red]not met[/]"}[figure.met]
        table.add_row("  " + figure.name, f"{_rounded(figure.value)} {figure.unit}".strip(), target, verdict)
    Console(width=None if os.isatty(1) else 120).print(table)


def _rounded(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def write(figures: Iterable[Figure]) -> None:
    """Write the record: the figures, when, and on what machine."""
    measured = [asdict(figure) | {"met": figure.met} for figure in figures]
    record = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "figures": measured,
    }
    RESULTS.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def machine() -> dict[str, Any]:
    """Say what the figures of this machine depend on; a load above its cores means that others were at work."""
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "load_average": [round(load, 2) for load in os.getloadavg()],
        "python": platform.python_version(),
        "packages": {package: version(package) for package in PACKAGES},
    }

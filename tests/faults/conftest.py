"""A campaign for each scenario, and what was tried, counted for the summary."""

from collections import Counter
from typing import Any

import pytest

from signalbox.dataset import examine
from signalbox.training import train
from tests.builders import labelled, task


@pytest.fixture(scope="session")
def trained() -> Any:
    """What training makes of the scenarios' dataset; nothing goes wrong while it is at work."""
    records = examine([labelled()], task()).train
    examples = [(record.query, record.answer) for record in records if record.answer]
    return train(examples, task().output, task="clip-search", run_id="clip-search-000000000000")


@pytest.fixture
def tried(request: pytest.FixtureRequest) -> dict[str, int]:
    """What a test has tried, by kind; added up in the summary."""
    counts: dict[str, int] = {}
    request.node.user_properties.append(("tried", counts))
    return counts


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say how much was tried."""
    total: Counter[str] = Counter()
    for report in (one for reports in terminalreporter.stats.values() for one in reports):
        if getattr(report, "when", "") == "call":
            for name, counts in report.user_properties:
                if name == "tried":
                    total.update(counts)
    for kind, number in sorted(total.items()):
        terminalreporter.write_line(f"faults: {number:6,} {kind}")

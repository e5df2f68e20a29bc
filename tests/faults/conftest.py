"""A campaign for each scenario, and what was tried, counted for the summary."""

from collections import Counter
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

from signalbox.dataset import examine
from signalbox.training import train
from tests.builders import labelled, task


class ByScenario(LoadScopeScheduling):
    """Lets one process try all faults of a scenario, as what is known of a course serves those after it."""

    def _split_scope(self, nodeid: str) -> str:
        return nodeid.partition("[")[2].partition("-")[0].rstrip("]") or nodeid


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByScenario | None:
    """Take the place of `--dist loadgroup`, and of no other."""
    return ByScenario(config, log) if config.getvalue("dist") == "loadgroup" else None


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

"""Whatever befalls a call at AWS or an event, a run comes to one end, makes nothing twice and leaves nothing behind.

By default a seeded sample; with FAULTS=all (`make faults`) every call of every scenario with every kind of fault; with
FAULTS=200 so many faults of each scenario.
"""

import os
import random
from collections.abc import Iterator
from unittest import mock

import pytest

from signalbox import watch
from signalbox.attention import Attention
from tests.faults.campaign import Campaign, befalls, campaign
from tests.faults.faults import KINDS
from tests.faults.scenarios import SCENARIOS, Scenario

WANTED = os.environ.get("FAULTS", "3")
ALL = WANTED == "all"
FAULTS = 0 if ALL else int(WANTED)
LOSSES, ORDERS, STORMS = (1000, 100, 30) if ALL else (1 + FAULTS // 8, 1 + FAULTS // 4, 1 + FAULTS // 8)
COURSES = [pytest.param(scenario, id=scenario.name) for scenario in SCENARIOS]


@pytest.fixture(scope="module")
def course(request: pytest.FixtureRequest, student: bytes, trained: object) -> Iterator[Campaign]:
    """The campaign of a scenario; every fault begins with going back to where it befalls."""
    scenario: Scenario = request.param
    with campaign(scenario, student, trained, "<html></html>") as recorded:
        yield recorded


scenarios = pytest.mark.parametrize("course", COURSES, indirect=True)


def _count(tried: dict[str, int], what: str, number: int = 1) -> None:
    tried[what] = tried.get(what, 0) + number


@pytest.mark.parametrize(
    "kinds", [[kind] for kind in KINDS] if ALL else [KINDS], ids=lambda kinds: "+".join(kinds[:1])
)
@scenarios
def test_any_call_may_fail_in_any_way(course: Campaign, kinds: list[str], tried: dict[str, int]) -> None:
    pairs = befalls(course.points, kinds)
    if not ALL:
        pairs = random.Random(course.scenario.name).sample(pairs, min(FAULTS, len(pairs)))
    broken, ends = [], course.ends
    for point, kind in pairs:
        _count(tried, f"calls, {kind}")
        broken += [f"{kind} at {point.call}: {found}" for found in course.befall(point, kind)]
    _count(
        tried,
        "courses after them to the end, the others having come to a world on one of these",
        course.ends - ends,
    )
    assert broken == []


@scenarios
def test_any_event_may_be_lost_or_come_twice(course: Campaign, tried: dict[str, int]) -> None:
    losable = 0 if course.scenario.answered else course.deliveries
    cases = [(number, 0) for number in range(losable)] + [(number, 2) for number in range(course.deliveries)]
    cases = random.Random(course.scenario.name).sample(cases, min(LOSSES, len(cases)))
    broken = []
    for number, times in cases:
        _count(tried, "deliveries repeated" if times else "deliveries lost")
        broken += [
            f"delivery {number} {'repeated' if times else 'lost'}: {found}"
            for found in course.lose(number, times)
        ]
    assert broken == []


@scenarios
def test_doubled_events_may_come_in_any_order(course: Campaign, tried: dict[str, int]) -> None:
    broken = []
    for choices, found in course.every_order(ORDERS):
        _count(tried, "orders, one after the other")
        broken += [f"order {choices}: {each}" for each in found]
    assert broken == []


@scenarios
def test_storms_pass(course: Campaign, tried: dict[str, int]) -> None:
    broken = []
    for seed in range(STORMS):
        faults, found = course.storm(seed)
        _count(tried, "storms")
        _count(tried, "faults in storms", faults)
        broken += [f"storm {seed}: {each}" for each in found]
    assert broken == []


@pytest.mark.parametrize("course", COURSES[:1], indirect=True)
def test_a_fault_that_nothing_heals_is_found(course: Campaign) -> None:
    (point,) = (point for point in course.points if point.call.operation == "CreateModelCustomizationJob")
    assert course.befall(point, "crash after") == []
    unheard = mock.patch.object(watch, "_heal", lambda *_: False)
    with unheard, mock.patch.dict(course.followed, clear=True):
        found = course.befall(point, "crash after")
    assert any("is ACCEPTED and not PROMOTED" in each for each in found)
    assert "a run is still open" in found


@pytest.mark.parametrize("course", COURSES[:1], indirect=True)
def test_a_warm_watch_that_notices_no_change_is_found(course: Campaign) -> None:
    assert course.lose(0, times=1) == []
    with mock.patch.object(Attention, "_notice", lambda *_: None):
        found = course.lose(0, times=1)
    assert found == ["the console is not what a watch would write that reads everything"]

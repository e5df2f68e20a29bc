"""The faults of a scenario, one after the other: every call, every order, and storms of all at once."""

import random
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from unittest import mock

from moto.dynamodb.models.dynamo_type import LimitedSizeDict

from signalbox import distill, publication
from signalbox.run import State
from signalbox.training import Trained
from tests.faults.faults import KINDS, TRANSIENT, Call, applies
from tests.faults.fingerprint import fingerprint
from tests.faults.invariants import broken
from tests.faults.scenarios import Scenario
from tests.faults.world import Delivery, Moment, Watching, World
from tests.quick_moto import quick_aws

_DENIED = Watching(
    [timedelta(minutes=5)] * 3
    + [timedelta(minutes=35)] * 6
    + [timedelta(hours=13)] * 6
    + [timedelta(minutes=5)] * 2,
    all_of_them=True,
)
"""Long enough for the patience with every state to end twice."""
_REFUSED = frozenset({State.FAILED, State.HELD})


@dataclass(frozen=True)
class Point:
    """A call of the undisturbed course, and where to start so that it is not far."""

    call: Call
    before: Moment


class Campaign:
    """A scenario in a world of its own, recorded undisturbed once.

    Attributes
    ----------
    points : list[Point]
        Every call that a handler makes in the undisturbed course.
    deliveries : int
        How many there are in it.
    followed : dict[bytes, list[str]]
        By the fingerprint of every world that faults have led through, what did not hold in the end.
    ends : int
        How many courses were followed to their end, as no world on them was known.
    """

    def __init__(self, scenario: Scenario, world: World) -> None:
        self.scenario, self._world = scenario, world
        world.retries = 0
        scenario.prepare(world)
        world.turns = 0
        self._beginning = world.moment()
        world.recorded = []
        scenario.act(world)
        self._begun = world.moment()
        self.points: list[Point] = []
        self.deliveries = 0
        self.followed: dict[bytes, list[str]] = {}
        self.ends = 0
        self._record()
        self._must_hold("undisturbed")

    def _record(self) -> None:
        world = self._world
        watching = self._watching()
        moments: list[tuple[int, Moment]] = []
        world.drive(watching, lambda _: moments.append((len(world.recorded), world.moment())))
        self.deliveries = len(moments)
        for (start, before), (end, _) in zip(
            moments, [*moments[1:], (len(world.recorded), None)], strict=True
        ):
            self.points += [Point(call, before) for call in world.recorded[start:end]]

    def _watching(self) -> Watching:
        hours = [timedelta(hours=12, minutes=30)] * 3 if self.scenario.retired else []
        steps = [*Watching().steps[:2], *hours, *Watching().steps]
        return Watching(steps, until_retired=self.scenario.retired)

    def befall(self, point: Point, kind: str) -> list[str]:
        """Go back to before a call, let a fault befall it, let watch heal, and return what does not hold.

        `watch` heals with what it remembers from before the fault, if its sandbox lives, and without. What comes to
        the very world that another fault has led through is not followed to the end a second time.
        """
        world, call = self._world, point.call
        world.back_to(point.before)
        world.retries = 2 if self.scenario.answered and call.function == "promote" else 0
        if kind == "denied for good":
            same = (call.function, call.service, call.operation)
            world.plan = lambda one: kind if (one.function, one.service, one.operation) == same else None
        else:
            place = (call.function, call.invocation, call.number)
            world.plan = lambda one: kind if (one.function, one.invocation, one.number) == place else None
        world.step()
        assert world.befallen, f"{call} was not made again"
        may_end = _REFUSED if kind.startswith("denied") else frozenset()
        if kind == "denied for good":
            world.drive(_DENIED)
            if (
                call.function == "watch"
            ):  # nobody else heals: once it is allowed what it needs again, it has to
                world.plan = lambda one: None
                world.drive(self._watching())
            return broken(world, self.scenario, may_end, for_good=True)
        left, found = world.moment() if world.warm else None, self._end(may_end)
        if left is not None:
            world.back_to(left)
            world.warm = None
            found = found + [f"with a fresh watch: {each}" for each in self._end(may_end)]
        return found

    def _end(self, may_end: frozenset[State]) -> list[str]:
        """Let `watch` heal a world, unless there has been one like it, and return what does not hold in the end."""
        passed: list[bytes] = []

        def is_known(progress: tuple[int, bool, bool]) -> bool:
            passed.append(repr((bool(may_end), progress)).encode() + fingerprint(self._world))
            return passed[-1] in self.followed

        self._world.drive(self._watching(), is_known)
        found = self.followed.get(passed[-1])
        if found is None:
            self.ends += 1
            found = broken(self._world, self.scenario, may_end)
        self.followed |= dict.fromkeys(passed, found)
        return found

    def lose(self, number: int, times: int = 0) -> list[str]:
        """Lose the event of one delivery, or hand it over so many times more."""
        world = self._world
        world.back_to(self._begun)
        seen = -1

        def lost(delivery: Delivery) -> bool:
            nonlocal seen
            seen += 1
            if seen == number and times:
                world.pending += [delivery] * times
            return seen == number and not times

        pending, world.pending = world.pending, []
        world.lost = lost
        world.pending = [one for one in pending if not lost(one)]
        world.drive(self._watching())
        return broken(world, self.scenario)

    def order(self, choices: list[int]) -> tuple[list[int], list[str]]:
        """Deliver each event twice, in the order that the choices say, the first of all after these.

        Returns
        -------
        tuple[list[int], list[str]]
            Between how many deliveries there was a choice each time; what does not hold.
        """
        world = self._world
        world.back_to(self._begun)
        options: list[int] = []

        def pick(among: int) -> int:
            options.append(among)
            return choices[len(options) - 1] if len(options) <= len(choices) else 0

        world.pending = [one for one in world.pending for _ in range(2)]
        world.deliveries, world.pick = 2, pick
        world.drive(self._watching())
        return options, broken(world, self.scenario)

    def every_order(self, most: int) -> Iterator[tuple[list[int], list[str]]]:
        """Go through all orders in which doubled events can arrive, depth first, `most` of them at most."""
        choices: list[int] = []
        for _ in range(most):
            options, found = self.order(choices)
            taken = choices + [0] * (len(options) - len(choices))
            yield taken, found
            while taken and taken[-1] + 1 >= options[len(taken) - 1]:
                taken.pop()
            if not taken:
                return
            choices = [*taken[:-1], taken[-1] + 1]

    def storm(self, seed: int) -> tuple[int, list[str]]:
        """Let faults of all kinds befall calls at random, deliver at random, then let it be calm.

        Where a person's request stands in the beginning, what became a dead letter is replayed then, as a person does
        it: no watch knows of a request that failed.

        Returns
        -------
        tuple[int, list[str]]
            How many faults there were; what does not hold.
        """
        world = self._world
        world.back_to(self._begun)
        chance = world.shuffle(seed)
        world.plan = lambda call: self._lightning(chance, call)
        world.lost = lambda delivery: chance.random() < 0.1
        world.deliveries = 1 + seed % 2
        world.retries = 2 if self.scenario.answered else 0
        world.drive(Watching([timedelta(minutes=5)] * 6))
        faults = world.befallen
        world.plan, world.lost = lambda call: None, lambda delivery: False
        if self.scenario.answered:
            world.pending += world.dead_letters
        world.drive(self._watching())
        return faults, broken(world, self.scenario)

    @staticmethod
    def _lightning(chance: random.Random, call: Call) -> str | None:
        kinds = [kind for kind in TRANSIENT if applies(kind, call) and kind != "frozen"]
        return chance.choice(kinds) if chance.random() < 0.03 else None

    def _must_hold(self, course: str) -> None:
        found = broken(self._world, self.scenario)
        assert not found, f"{self.scenario.name}, {course}: {found}"


def befalls(points: Iterable[Point], kinds: Iterable[str] = KINDS) -> list[tuple[Point, str]]:
    """Return which fault befalls which call; of refusals for good one for each function and operation."""
    pairs, denied = [], set()
    for point in points:
        for kind in kinds:
            if not applies(kind, point.call):
                continue
            if kind == "denied for good":
                same = (point.call.function, point.call.service, point.call.operation)
                if same in denied:
                    continue
                denied.add(same)
            pairs.append((point, kind))
    return pairs


@contextmanager
def campaign(scenario: Scenario, student: bytes, trained: Trained, page: str) -> Iterator[Campaign]:
    """Set up a scenario; training and the picture of the report, which call nobody, are made only once.

    No item is measured with each attribute that it gets: none of a scenario's comes near to what DynamoDB takes.
    """

    def train(*_: object, progress: object, **__: object) -> Trained:
        progress("trained before")
        return trained

    cached = mock.patch.object(distill, "train", train)
    drawn = mock.patch.object(publication, "render", lambda content: page)
    unmeasured = mock.patch.object(LimitedSizeDict, "__setitem__", dict.__setitem__)
    with quick_aws(), cached, drawn, unmeasured, World(student).connected() as world:
        yield Campaign(scenario, world)

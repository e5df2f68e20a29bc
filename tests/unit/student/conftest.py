"""Two small tasks with a rule that a student can find, made from signals and labels of their own."""

import itertools
from typing import NamedTuple

import pytest

from signalbox.answer import Answer
from signalbox.student import Student
from signalbox.task import Labels, Weights
from signalbox.training import Trained, train

PLACES = ("harbour", "valley", "station", "market", "forest", "island", "bridge", "castle")
MANNERS = ("slowly", "at night", "in the rain", "again", "for an hour", "before dawn")
RULES = {
    "ships turning in the": ((0.8, 0.1, 0.1), "watch"),
    "a panorama of the": ((0.9, 0.0, 0.1), "watch"),
    "bells ringing over the": ((0.2, 0.7, 0.1), "listen"),
    "music playing near the": ((0.1, 0.8, 0.1), "listen"),
    "a speech about the": ((0.1, 0.2, 0.7), "read"),
    "an interview with people of the": ((0.2, 0.2, 0.6), "read"),
}


class Taught(NamedTuple):
    """A student with what it was taught."""

    output: Weights | Labels
    examples: list[tuple[str, Answer]]
    trained: Trained

    @property
    def student(self) -> Student:
        return self.trained.student


@pytest.fixture(scope="session")
def taught_weights() -> Taught:
    output = Weights(signals=("picture", "sound", "words"))
    examples = [
        (f"{opening} {place} {manner}", Answer(weights=dict(zip(output.signals, weights, strict=True))))
        for (opening, (weights, _)), place, manner in itertools.product(RULES.items(), PLACES, MANNERS)
    ]
    return Taught(output, examples, train(examples, output, task="places", run_id="places-0123456789ab"))


@pytest.fixture(scope="session")
def taught_labels() -> Taught:
    output = Labels(labels=("watch", "listen", "read", "never"))
    examples = [
        (f"{opening} {place} {manner}", Answer(label=label))
        for (opening, (_, label)), place, manner in itertools.product(RULES.items(), PLACES, MANNERS)
    ]
    return Taught(output, examples, train(examples, output, task="places", run_id="places-0123456789ab"))

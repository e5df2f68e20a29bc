"""Intervals: what is defined where data are few, and that 95 % means what it says."""

import math
import time
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signalbox import uncertainty
from signalbox.scoring import Prediction, score
from signalbox.task import Labels, Weights
from tests.builders import weights_text

measured = st.floats(0, 1).map(lambda value: round(value, 6))
answers = st.lists(measured | st.just(math.nan), min_size=1, max_size=60).map(np.array)


@given(answers)
def test_an_interval_holds_the_mean_and_lies_within_what_was_measured(values: np.ndarray) -> None:
    known = values[~np.isnan(values)]
    interval = uncertainty.of_mean(values)
    if len(known) < 2:
        assert interval is None
        return
    low, high = interval
    slack = 1e-9
    assert known.min() - slack <= low <= known.mean() + slack
    assert known.mean() - slack <= high <= known.max() + slack


@given(st.lists(measured, min_size=2, max_size=40).map(np.array))
def test_the_interval_of_a_difference_turns_round_with_it(differences: np.ndarray) -> None:
    low, high = uncertainty.of_mean(differences)
    assert uncertainty.of_mean(-differences) == (pytest.approx(-high), pytest.approx(-low))


@given(st.lists(st.booleans(), min_size=1, max_size=60).map(np.array))
def test_the_interval_of_a_share_is_a_share_and_never_a_point(hits: np.ndarray) -> None:
    low, high = uncertainty.of_share(hits)
    assert 0 <= low <= hits.mean() <= high <= 1
    assert low < high


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(-1, 4)), min_size=2, max_size=40))
def test_macro_f1_is_resampled_as_it_is_defined(pairs: list[tuple[int, int]]) -> None:
    wanted, given = (np.array(column) for column in zip(*pairs, strict=True))
    low, high = uncertainty.of_macro_f1(wanted, given)
    estimates = [_macro_f1(wanted[drawn], given[drawn]) for drawn in _resamples(len(wanted))]
    assert (low, high) == pytest.approx(tuple(np.quantile(estimates, (0.025, 0.975))))


def _resamples(queries: int) -> list[np.ndarray]:
    return [np.repeat(np.arange(queries), counts.astype(int)) for counts in uncertainty._draws(queries)]


def _macro_f1(wanted: np.ndarray, given: np.ndarray) -> float:
    f1 = []
    for label in np.unique(wanted):
        right = ((wanted == label) & (given == label)).sum()
        f1.append(2 * right / ((wanted == label).sum() + (given == label).sum()))
    return float(np.mean(f1))


def test_every_resample_draws_as_many_queries_as_there_are() -> None:
    draws = uncertainty._draws(7)
    assert draws.shape == (uncertainty.RESAMPLES, 7)
    assert set(draws.sum(axis=1)) == {7}


@pytest.mark.parametrize("values", [[], [0.3], [math.nan, 0.3], [math.nan] * 5])
def test_fewer_than_two_values_have_no_interval(values: list[float]) -> None:
    assert uncertainty.of_mean(np.array(values)) is None


def test_equal_values_have_an_interval_without_width() -> None:
    assert uncertainty.of_mean(np.array([0.1, 0.1, math.nan, 0.1])) == (0.1, 0.1)


@pytest.mark.parametrize(
    ("hits", "interval"),
    [
        # Clopper and Pearson: scipy.stats.binomtest(k, n).proportion_ci()
        ([True] * 20, (0.8316, 1)),
        ([False] * 20, (0, 0.1684)),
        ([True], (0.025, 1)),
        ([False], (0, 0.975)),
        ([True] * 19 + [False], (0.7513, 0.9987)),
        ([True] * 2 + [False] * 18, (0.0123, 0.3170)),
        ([True] * 990 + [False] * 10, (0.9817, 0.9952)),
    ],
)
def test_the_interval_of_a_share_is_the_exact_one(hits: list[bool], interval: tuple) -> None:
    assert uncertainty.of_share(np.array(hits)) == pytest.approx(interval, abs=1e-4)


@given(st.integers(2, 150), st.integers(0, 150))
def test_one_hit_more_never_lowers_an_end_of_the_interval(queries: int, hit: int) -> None:
    fewer, more = (uncertainty.of_share(np.arange(queries) < count) for count in (hit, hit + 1))
    assert fewer[0] <= more[0]
    assert fewer[1] <= more[1]


def test_of_no_query_there_is_no_share() -> None:
    assert uncertainty.of_share(np.array([], dtype=bool)) is None


def test_one_query_has_no_interval_of_macro_f1_or_of_a_percentile() -> None:
    assert uncertainty.of_macro_f1(np.array([0]), np.array([0])) is None
    assert uncertainty.of_percentile(np.array([3.0]), 0.95) is None


def test_the_interval_of_a_percentile_is_made_of_what_was_measured() -> None:
    times = np.arange(1.0, 51)
    low, high = uncertainty.of_percentile(times, 0.5)
    assert 14 <= low < 25 < high <= 36  # binomial order statistics give 18 and 32
    assert uncertainty.of_percentile(times, 0.95)[1] == 50


@pytest.mark.parametrize(
    ("interval", "said"),
    [
        ((0.01, 0.02), "worse"),
        ((-0.02, -0.01), "better"),
        ((-0.01, 0.01), "no difference shown"),
        ((0.0, 0.01), "no difference shown"),
        ((0.0, 0.0), "no difference shown"),
        (None, "no difference shown"),
    ],
)
def test_a_difference_is_shown_if_zero_lies_outside_of_its_interval(interval: tuple, said: str) -> None:
    assert uncertainty.verdict(interval) == said


TRIALS = 600
Draw = Callable[[np.random.Generator], uncertainty.Interval]


@pytest.mark.parametrize(
    ("true", "draw"),
    [  # of 100 queries each
        (0.05, lambda random: uncertainty.of_mean(random.gamma(2, 0.025, 100))),
        (0.0, lambda random: uncertainty.of_mean(random.normal(0, 0.05, 100))),
        (0.8201, lambda random: uncertainty.of_macro_f1(*labels(random))),
    ],
    ids=["skewed errors", "paired differences", "macro F1"],
)
def test_about_95_of_100_intervals_hold_the_truth(true: float, draw: Draw) -> None:
    assert 0.92 <= coverage(true, draw) <= 0.975


@pytest.mark.parametrize(("true", "queries"), [(0.95, 20), (0.98, 20), (0.85, 100), (0.98, 100)])
def test_intervals_of_a_share_are_rather_too_wide_than_too_narrow(true: float, queries: int) -> None:
    assert coverage(true, lambda random: uncertainty.of_share(random.random(queries) < true)) >= 0.95


def test_the_interval_of_p95_of_50_holds_the_truth_in_about_90_of_100_cases() -> None:
    true = -math.log(0.05)
    draw = coverage(true, lambda random: uncertainty.of_percentile(random.exponential(size=50), 0.95))
    assert 0.87 <= draw <= 0.93


def coverage(true: float, draw: Draw) -> float:
    random = np.random.default_rng(4)
    return float(np.mean([low <= true <= high for low, high in (draw(random) for _ in range(TRIALS))]))


def labels(random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw 100 of ten labels, four in five of them right; macro F1 of two million such is 0.8201."""
    wanted, guessed = random.integers(10, size=(2, 100))
    return wanted, np.where(random.random(100) < 0.8, wanted, guessed)


SIGNALS = ("picture", "sound", "words")


@pytest.mark.parametrize("output", ["weights", "labels"])
def test_all_measures_of_1000_queries_take_seconds_at_most(output: str) -> None:
    random = np.random.default_rng(4)
    if output == "weights":
        kind = Weights(signals=SIGNALS)
        texts = [weights_text(*row) for row in random.dirichlet((1, 1, 1), 2_000)]
    else:
        kind = Labels(labels=tuple(f"label {number}" for number in range(150)))
        texts = [f"label {number}" for number in random.integers(150, size=2_000)]
    said = [
        Prediction(query="q", reference=one, text=other, latency_ms=5, alone=True)
        for one, other in zip(texts[:1_000], texts[1_000:], strict=True)
    ]
    uncertainty._draws.cache_clear()
    started = time.process_time()
    assert len(score(said, kind)["intervals"]) >= 6
    assert time.process_time() - started < 5

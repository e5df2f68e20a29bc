"""How sure a measured number is: 95 % intervals, of shares exact, of all else by the percentile bootstrap.

Every resample draws as many golden queries as there are, with replacement (Efron and Tibshirani, An Introduction to the
Bootstrap, 1993, chapter 13). The draws are seeded and depend on the number of queries only, so equal answers always
give equal intervals, and two candidates are resampled alike.
"""

from functools import lru_cache
from typing import Literal

import numpy as np

RESAMPLES = 2_000
LEVEL = 0.95
_SEED = 20_261_121
_TAIL = (1 - LEVEL) / 2
_EXACT = 1e-9

Interval = tuple[float, float]
Verdict = Literal["better", "worse", "no difference shown"]


@lru_cache(maxsize=2)
def _draws(queries: int) -> np.ndarray:
    """Return how often each query is drawn, RESAMPLES x queries; 16 MB for 1,000 queries."""
    drawn = np.random.default_rng(_SEED).integers(queries, size=(RESAMPLES, queries))
    drawn += np.arange(RESAMPLES)[:, None] * queries
    counts = np.bincount(drawn.ravel(), minlength=RESAMPLES * queries)
    return counts.reshape(RESAMPLES, queries).astype(np.float64)


def of_mean(values: np.ndarray) -> Interval | None:
    """Return the interval of a mean over the queries that have a value.

    Parameters
    ----------
    values : np.ndarray
        One number a query; NaN for a query without. How many have one is resampled too.

    Returns
    -------
    tuple[float, float] | None
        None with fewer than two values, which say nothing about their spread; the value itself, twice, if all are
        equal.
    """
    known = ~np.isnan(values)
    if known.sum() < 2:
        return None
    least, most = float(values[known].min()), float(values[known].max())
    if least == most:
        return least, most
    draws = _draws(len(values))
    usable = draws @ known
    sums = draws @ np.where(known, values, 0.0)
    return _percentiles(sums[usable > 0] / usable[usable > 0])


def of_share(hits: np.ndarray) -> Interval | None:
    """Return the exact interval of a share of queries (Clopper and Pearson, Biometrika 26, 1934).

    Resamples of a share near 1 are so much alike that they would feign certainty: of 19 hits of 20 none has much less.
    The exact interval holds the truth in at least 95 of 100 cases, whatever it is: here from 0.751 to 0.999.

    Parameters
    ----------
    hits : np.ndarray of bool
        One a query; None is returned if there is none.
    """
    if not len(hits):
        return None
    count = int(np.count_nonzero(hits))
    return _least_share(count, len(hits)), 1 - _least_share(len(hits) - count, len(hits))


@lru_cache(maxsize=256)
def _least_share(hits: int, queries: int) -> float:
    """Return the share at which so many hits or more are as rare as a tail of the interval; found by bisection."""
    if hits == 0:
        return 0.0
    factorials = np.cumsum(np.log(np.maximum(np.arange(queries + 1), 1)))
    counts = np.arange(hits, queries + 1)
    ways = factorials[queries] - factorials[counts] - factorials[queries - counts]
    low, high = 0.0, 1.0
    while high - low > _EXACT:
        share = (low + high) / 2
        logarithms = ways + counts * np.log(share) + (queries - counts) * np.log1p(-share)
        low, high = (share, high) if np.exp(logarithms).sum() < _TAIL else (low, share)
    return (low + high) / 2


def of_macro_f1(wanted: np.ndarray, given: np.ndarray) -> Interval | None:
    """Return the interval of macro F1, each resample's mean going over the labels that its references have.

    Parameters
    ----------
    wanted, given : np.ndarray of int
        Label of the reference and of the answer by number, a query each; -1 for no usable answer.
    """
    if len(wanted) < 2:
        return None
    draws = _draws(len(wanted))
    labels = np.unique(wanted)
    support = _counts(draws, wanted, labels)
    answered = _counts(draws, given, labels)
    right = _counts(draws, np.where(wanted == given, wanted, -1), labels)
    f1 = 2 * right / np.maximum(support + answered, 1)
    return _percentiles((f1 * (support > 0)).sum(axis=1) / (support > 0).sum(axis=1))


def _counts(draws: np.ndarray, codes: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Count in each resample how often each label stands among the codes: RESAMPLES x labels."""
    counts = np.zeros((len(draws), len(labels)))
    order = np.argsort(codes, kind="stable")
    found, starts = np.unique(codes[order], return_index=True)
    sums = np.add.reduceat(draws[:, order], starts, axis=1)
    wanted = np.isin(found, labels)
    counts[:, np.searchsorted(labels, found[wanted])] = sums[:, wanted]
    return counts


def of_percentile(values: np.ndarray, share: float) -> Interval | None:
    """Return the interval of a nearest-rank percentile; None with fewer than two values.

    It ends at the greatest value that was measured, so that of p95 of 50 values it holds the truth in about 90 of 100
    cases: the chance that one of 50 lies beyond is 1 - 0.95^50 = 92 %.
    """
    if len(values) < 2:
        return None
    ordered = np.sort(values)
    # The percentile of a resample is the first value up to which it has drawn enough.
    reached = _draws(len(values)).cumsum(axis=1) >= np.ceil(share * len(values))
    return _percentiles(ordered[reached.argmax(axis=1)])


def verdict(interval: Interval | None) -> Verdict:
    """Say in words what the interval of "worse by" shows: a difference, if zero lies outside of it."""
    if interval is None or interval[0] <= 0 <= interval[1]:
        return "no difference shown"
    return "worse" if interval[0] > 0 else "better"


def _percentiles(estimates: np.ndarray) -> Interval:
    low, high = np.quantile(estimates, (_TAIL, 1 - _TAIL))
    return float(low), float(high)

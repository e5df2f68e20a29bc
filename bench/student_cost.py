"""Cost: a query answered by the embedded student, and by its peer, a pipeline of scikit-learn.

Both answer the same queries in one process on one thread, by turns of 100 queries, so that a busy machine slows both
and each is warm. The peer is
TF-IDF of words 1-2 and characters 2-5 with a ridge on it. It gives weights only; the student also gives its reasons
and a familiarity.
"""

import pickle
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import Ridge
from sklearn.pipeline import Pipeline, make_pipeline, make_union

from bench.figures import Figure
from bench.live_task import LiveTask
from signalbox.query import normalise
from signalbox.student import Student

PART = "Cost of the embedded student"
QUERIES = 1000
BATCH = 100
_LOADS = 20


def measure(live: LiveTask) -> list[Figure]:
    """Return latency, throughput, size and loading of both."""
    queries, artefact = live.queries(QUERIES), live.student.to_bytes()
    student, peer = Student.from_bytes(artefact), peer_of(live)
    pickled = pickle.dumps(peer)
    ours, theirs = in_turn(queries, student.answer, lambda query: peer.predict([normalise(query)]))
    (p50, p99), (peer_p50, peer_p99) = np.percentile(ours, [50, 99]), np.percentile(theirs, [50, 99])
    batches = [queries[start : start + BATCH] for start in range(0, len(queries), BATCH)]
    batch, peer_batch = in_turn(
        batches, student.answers, lambda batch: peer.predict([normalise(query) for query in batch])
    )
    where = f"{live.source}, in process, one thread"

    def figure(name: str, value: float, unit: str = "", target: float | None = None) -> Figure:
        return Figure(PART, name, float(value), unit, where, target)

    return [
        figure("one query, p50", p50, "µs", 150),
        figure("one query, p99", p99, "µs"),
        figure("scikit-learn: one query, p50", peer_p50, "µs"),
        figure("scikit-learn: one query, p99", peer_p99, "µs"),
        figure("scikit-learn to student, p50", peer_p50 / p50, "times"),
        figure("throughput, one at a time", 1e6 / statistics.fmean(ours), "queries/s"),
        figure(f"throughput, batches of {BATCH}", BATCH * 1e6 / statistics.fmean(batch), "queries/s"),
        figure("scikit-learn: throughput, one at a time", 1e6 / statistics.fmean(theirs), "queries/s"),
        figure(
            f"scikit-learn: throughput, batches of {BATCH}",
            BATCH * 1e6 / statistics.fmean(peer_batch),
            "queries/s",
        ),
        figure("artefact", len(artefact) / 1e6, "MB", 5),
        figure("scikit-learn: pickle", len(pickled) / 1e6, "MB"),
        figure("load", _median_ms(lambda: Student.from_bytes(artefact)), "ms", 50),
        figure("scikit-learn: unpickle", _median_ms(lambda: pickle.loads(pickled)), "ms"),
    ]


def peer_of(live: LiveTask) -> Pipeline:
    """Train the peer on the same data."""
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"\S+")
    characters = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True)
    targets = [[(answer.weights or {})[name] for name in live.output.signals] for _, answer in live.examples]
    model = make_pipeline(make_union(words, characters), Ridge(alpha=0.5))
    return model.fit([normalise(query) for query, _ in live.examples], targets)


def in_turn(inputs: list[Any], *calls: Callable[[Any], Any]) -> list[list[float]]:
    """Return for each call the microseconds that it takes for each input; it takes turns of BATCH inputs."""
    laps: list[list[float]] = [[] for _ in calls]
    for start in range(0, len(inputs), BATCH):
        for call, times in zip(calls, laps, strict=True):
            call(inputs[start])  # what the other one has left in the caches goes
            for each in inputs[start : start + BATCH]:
                begin = time.perf_counter_ns()
                call(each)
                times.append((time.perf_counter_ns() - begin) / 1000)
    return laps


def _median_ms(call: Callable[[], Any]) -> float:
    return statistics.median(in_turn([None] * _LOADS, lambda _: call())[0]) / 1000

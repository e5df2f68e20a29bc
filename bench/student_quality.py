"""How good, how fast and how small the embedded student is.

    PYTHONPATH=functions/common python -m bench.student_quality [--data FOLDER]

FOLDER holds `<task>/train.jsonl` for video-search and, if it is there, atis. Without it, the examples of this
repository are measured; they come from a generator, so what they say of quality is little.
"""

import argparse
import json
import math
import os
import re
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # a Lambda function has one core; read when NumPy is loaded

import numpy as np
from sklearn.cluster import KMeans
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import Ridge
from sklearn.metrics import f1_score, roc_auc_score
from sklearn.pipeline import FeatureUnion, make_pipeline, make_union
from sklearn.svm import LinearSVC

from signalbox.answer import Answer, parse_answer
from signalbox.grading import absolute_errors, rubric
from signalbox.query import normalise
from signalbox.student import Student
from signalbox.task import Labels, Weights
from signalbox.training import train

ROOT = Path(__file__).resolve().parent.parent
FOLDS = 5
ASSIGNMENTS = 3
"""How many assignments of labelled queries to folds are averaged: two differ by as much as 0.1 points."""
FAMILIES = 60
TRAINING_RECORDS = 15_000
BATCH = 100
COLD_EVERY = 10
"""One query in so many is also answered by a student that has met none of its words."""

Examples = list[tuple[str, Answer]]
Figures = dict[str, float]


def read(path: Path) -> tuple[Examples, Weights | Labels]:
    """Read labelled records; the signals or labels are those that occur."""
    pairs = []
    for line in path.read_text(encoding="utf-8").splitlines():
        user, assistant = json.loads(line)["messages"]
        pairs.append((user["content"][0]["text"], assistant["content"][0]["text"]))
    output: Weights | Labels
    if pairs[0][1].startswith("{"):
        output = Weights(signals=tuple(key for key in json.loads(pairs[0][1]) if key != "reasoning"))
    else:
        output = Labels(labels=tuple(sorted({answer for _, answer in pairs})))
    return [(query, parse_answer(answer, output)) for query, answer in pairs], output


def folds_by_query(queries: Sequence[str], seed: int = 0) -> np.ndarray:
    """Return a fold for each query; the same query, normalised, is never in two."""
    distinct = sorted(set(map(normalise, queries)))
    order = np.random.RandomState(seed).permutation(len(distinct))
    fold = dict(zip(distinct, order % FOLDS, strict=True))
    return np.array([fold[normalise(query)] for query in queries])


def folds_by_family(queries: Sequence[str]) -> np.ndarray:
    """Return a fold for each query; queries built alike (a cluster of words and pairs) are never in two."""
    distinct = sorted(set(map(normalise, queries)))
    vectors = TfidfVectorizer(ngram_range=(1, 2), token_pattern=r"\S+", sublinear_tf=True).fit_transform(
        distinct
    )
    families = KMeans(FAMILIES, n_init=3, random_state=0).fit_predict(vectors)
    fold_of_family, load = np.zeros(FAMILIES, dtype=int), np.zeros(FOLDS)
    for family in np.argsort(-np.bincount(families, minlength=FAMILIES), kind="stable"):
        fold_of_family[family] = load.argmin()
        load[fold_of_family[family]] += (families == family).sum()
    fold = dict(zip(distinct, fold_of_family[families], strict=True))
    return np.array([fold[normalise(query)] for query in queries])


def cross_validate(
    examples: Examples, output: Weights | Labels, folds: np.ndarray, strangers: Sequence[str] = ()
) -> Figures:
    """Answer each query by a student that saw no query of its fold."""
    answers: list[Answer] = [Answer()] * len(examples)
    familiar, strange = [], []
    for fold in range(FOLDS):
        learned = [example for example, other in zip(examples, folds, strict=True) if other != fold]
        student = train(learned, output, task="bench", run_id="bench-000000000000").student
        for place in np.flatnonzero(folds == fold):
            answers[place], familiarity = student.opinion(examples[place][0])
            familiar.append(familiarity)
        strange += [student.familiarity(query) for query in strangers[fold::FOLDS]]
    figures = quality([answer for _, answer in examples], answers)
    if isinstance(output, Labels):
        distinct = {normalise(query): place for place, (query, _) in enumerate(examples)}.values()
        figures["accuracy of distinct queries"] = statistics.fmean(
            examples[place][1].label == answers[place].label for place in distinct
        )
    if strange:
        figures["stranger AUROC"] = roc_auc_score(
            [1] * len(familiar) + [0] * len(strange), familiar + strange
        )
    return figures


def quality(references: Sequence[Answer], answers: Sequence[Answer]) -> Figures:
    pairs = list(zip(references, answers, strict=True))
    if references[0].weights is not None:
        errors = np.array([absolute_errors(*pair) for pair in pairs])
        return {
            "MAE": errors.mean(),
            "rubric": statistics.fmean(rubric(*pair) for pair in pairs),
            "within 0.05": (errors.max(axis=1) < 0.05 + 1e-6).mean(),
            "within 0.10": (errors.max(axis=1) < 0.10 + 1e-6).mean(),
        }
    right = np.array([reference.label == answer.label for reference, answer in pairs])
    confidence = np.array([answer.confidence for answer in answers])
    labels = [[answer.label for answer in side] for side in (references, answers)]
    return {
        "accuracy": right.mean(),
        "macro F1": f1_score(*labels, average="macro", zero_division=0),
        "ECE": calibration_error(confidence, right),
    }


def calibration_error(confidence: np.ndarray, right: np.ndarray, bins: int = 15) -> float:
    """Expected calibration error over equally wide bins of confidence (Guo et al. 2017)."""
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = [(place == each).mean() * abs(confidence[place == each].mean() - right[place == each].mean())
            for each in np.unique(place)]  # fmt: skip
    return float(sum(gaps))


def baseline(examples: Examples, folds: np.ndarray) -> Figures:
    """The peer: TF-IDF of words 1-2 and characters 2-5, with a ridge, or linear support vectors for labels."""
    queries = np.array([normalise(query) for query, _ in examples])
    if examples[0][1].weights is None:
        labels = np.array([answer.label for _, answer in examples])
        said = np.empty_like(labels)
        for fold in range(FOLDS):
            model = make_pipeline(_tfidf(), LinearSVC()).fit(queries[folds != fold], labels[folds != fold])
            said[folds == fold] = model.predict(queries[folds == fold])
        return {"accuracy": (said == labels).mean(), "macro F1": f1_score(labels, said, average="macro")}
    signals = list(examples[0][1].weights or ())
    targets = np.array([[(answer.weights or {})[signal] for signal in signals] for _, answer in examples])
    answers = np.zeros_like(targets)
    for fold in range(FOLDS):
        model = make_pipeline(_tfidf(), Ridge(alpha=0.5))
        model.fit(queries[folds != fold], targets[folds != fold])
        answers[folds == fold] = model.predict(queries[folds == fold])
    return quality(
        [answer for _, answer in examples],
        [Answer(weights=dict(zip(signals, row, strict=True))) for row in answers.tolist()],
    )


def _tfidf() -> FeatureUnion:
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"\S+")
    characters = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True)
    return make_union(words, characters)


def cost(examples: Examples, output: Weights | Labels) -> Figures:
    """Latency of one query, warm and one at a time; size and loading of the artefact."""
    student = train(examples, output, task="bench", run_id="bench-000000000000").student
    artefact = student.to_bytes()
    queries = sorted({query for query, _ in examples})
    laps = [lap for _ in range(3) for lap in laps_of(student, queries)]
    cold = []
    for query in queries[::COLD_EVERY]:
        stranger = Student.from_bytes(artefact)
        stranger.answer("?")  # what is made once for each student is made
        cold += laps_of(stranger, [query])
    batches = []
    for start in range(0, len(queries) - BATCH + 1, BATCH):
        begin = time.perf_counter_ns()
        student.answers(queries[start : start + BATCH])
        batches.append((time.perf_counter_ns() - begin) / 1e6)
    loads = []
    for _ in range(20):
        begin = time.perf_counter_ns()
        Student.from_bytes(artefact)
        loads.append((time.perf_counter_ns() - begin) / 1e6)
    p50, p99 = np.percentile(laps, [50, 99])
    return {
        "p50 us": p50,
        "p99 us": p99,
        "p50 us, no word met before": statistics.median(cold),
        f"{BATCH} at once ms": statistics.median(batches) if batches else math.nan,
        "artefact MB": len(artefact) / 1e6,
        "load ms": statistics.median(loads),
    }


def laps_of(student: Student, queries: Sequence[str]) -> list[float]:
    """Return the microseconds that each query takes, one at a time."""
    laps = []
    for query in queries:
        begin = time.perf_counter_ns()
        student.answer(query)
        laps.append((time.perf_counter_ns() - begin) / 1000)
    return laps


def mean_of(figures: Sequence[Figures]) -> Figures:
    return {name: statistics.fmean(float(each[name]) for each in figures) for name in figures[0]}


def train_many(path: Path) -> Figures:
    """Time and memory of training on 15,000 records: those of the file, again with two words exchanged."""
    examples, output = read(path)
    random = np.random.RandomState(0)
    words = sorted({word for query, _ in examples for word in query.split()})
    many = list(examples)
    while len(many) < TRAINING_RECORDS:
        query, answer = examples[len(many) % len(examples)]
        changed = query.split()
        for place in random.randint(len(changed), size=2):
            changed[place] = words[random.randint(len(words))]
        many.append((" ".join(changed), answer))
    begin = time.perf_counter()
    student = train(many[:TRAINING_RECORDS], output, task="bench", run_id="bench-000000000000").student
    seconds = time.perf_counter() - begin
    # Linux counts the peak in units of 1,024 bytes (getrusage(2)).
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    return {"training s": seconds, "peak GB": peak, "artefact MB": len(student.to_bytes()) / 1e6}


def measure(data: Path | None) -> dict[str, Figures]:
    """Return every table row that the data allow."""
    video = data / "video-search" / "train.jsonl" if data else ROOT / "examples" / "video-search.jsonl"
    examples, output = read(video)
    queries = [query for query, _ in examples]
    atis = read(data / "atis" / "train.jsonl") if data and (data / "atis").is_dir() else None
    strangers = [query for query, _ in atis[0]][:1000] if atis else []
    rows = {"video-search, 5 folds": cross_validate(examples, output, folds_by_query(queries), strangers)}
    rows["video-search, TF-IDF and ridge"] = baseline(examples, folds_by_query(queries))
    rows["video-search, by family"] = cross_validate(examples, output, folds_by_family(queries))
    rows["video-search, TF-IDF and ridge, by family"] = baseline(examples, folds_by_family(queries))
    rows["video-search, cost"] = cost(examples, output)
    if atis:
        assignments = [folds_by_query([query for query, _ in atis[0]], seed) for seed in range(ASSIGNMENTS)]
        rows["atis, 5 folds"] = mean_of(
            [cross_validate(*atis, folds, queries[:1000]) for folds in assignments]
        )
        rows["atis, TF-IDF and support vectors"] = baseline(
            atis[0], folds_by_query([query for query, _ in atis[0]])
        )
        rows["atis, cost"] = cost(*atis)
    # A process of its own, so that its peak of memory is that of training alone.
    command = [sys.executable, "-m", "bench.student_quality", "--train-many", str(video)]
    rows["15,000 records"] = json.loads(
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout
    )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=re.split(r"\n\n", __doc__ or "")[0])
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--train-many", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.train_many:
        print(json.dumps(train_many(arguments.train_many)))
        return
    for name, figures in measure(arguments.data if arguments.data.is_dir() else None).items():
        print(f"{name:<44}" + "  ".join(f"{figure} {value:.4g}" for figure, value in figures.items()))


if __name__ == "__main__":
    main()

"""The committed example datasets: reproducible, honest, distinct and learnable."""

import json
import runpy
import subprocess
import sys
from collections import Counter
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from signalbox.dataset import examine
from signalbox.query import normalise
from signalbox.task import Task

ROOT = Path(__file__).parents[3]
EXAMPLES = ROOT / "examples"
NAMES = ("video-search.jsonl", "prompt-only.jsonl", "slipped.jsonl", "broken.jsonl")
SIGNALS = ("visual", "audio", "transcription", "metadata")
TASK = Task.from_yaml((ROOT / "tasks" / "video-search" / "task.yaml").read_text())


def records(name: str) -> list[dict]:
    return [json.loads(line) for line in (EXAMPLES / name).read_bytes().splitlines()]


def queries(name: str) -> list[str]:
    return [record["messages"][0]["content"][0]["text"] for record in records(name)]


def labels() -> list[dict[str, Decimal]]:
    answers = [record["messages"][1]["content"][0]["text"] for record in records("video-search.jsonl")]
    parsed = [json.loads(answer, parse_float=Decimal) for answer in answers]
    return [{signal: answer[signal] for signal in SIGNALS} for answer in parsed]


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder that the generator writes with its default seed, and what it prints."""
    folder = tmp_path_factory.mktemp("examples")
    command = [sys.executable, str(EXAMPLES / "generate.py"), "--output", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return folder, done.stdout


@pytest.mark.parametrize("name", NAMES)
def test_committed_file_is_what_the_generator_writes(generated: tuple[Path, str], name: str) -> None:
    assert (EXAMPLES / name).read_bytes() == (generated[0] / name).read_bytes()


def test_another_seed_writes_other_queries(tmp_path: Path) -> None:
    command = [sys.executable, str(EXAMPLES / "generate.py"), "--seed", "8", "--output", str(tmp_path)]
    subprocess.run(command, capture_output=True, check=True)
    assert (tmp_path / "video-search.jsonl").read_bytes() != (EXAMPLES / "video-search.jsonl").read_bytes()


def test_labels_are_tenths_that_sum_to_exactly_one() -> None:
    for weights in labels():
        assert sum(weights.values()) == 1
        assert all(weight % Decimal("0.1") == 0 and 0 <= weight <= 1 for weight in weights.values())


def test_no_query_stands_twice_in_or_across_the_two_sound_files() -> None:
    found = Counter(normalise(query) for name in NAMES[:2] for query in queries(name))
    assert len(found) == 800 + 300
    assert found.most_common(1)[0][1] == 1


def test_every_signal_leads_a_fair_share_of_the_queries() -> None:
    leading = Counter(max(weights, key=weights.__getitem__) for weights in labels())
    assert all(0.20 <= leading[signal] / 800 <= 0.35 for signal in SIGNALS), leading


def test_hardly_any_label_has_two_leading_signals() -> None:
    ties = sum(sorted(weights.values())[-1] == sorted(weights.values())[-2] for weights in labels())
    assert ties <= 0.03 * 800


def test_queries_vary_in_length_and_script() -> None:
    words = [len(query.split()) for query in queries("video-search.jsonl")]
    assert min(words) == 1
    assert max(words) >= 20
    assert sum(not query.isascii() for name in NAMES[:2] for query in queries(name)) >= 20


def test_half_of_the_slipped_answers_are_those_of_other_queries() -> None:
    assert queries("slipped.jsonl") == queries("video-search.jsonl")
    pairs = zip(records("slipped.jsonl"), records("video-search.jsonl"), strict=True)
    same = [slipped["messages"][1] == sound["messages"][1] for slipped, sound in pairs]
    assert all(same[::2])
    assert sum(same[1::2]) <= 0.05 * len(same)
    assert examine([(EXAMPLES / "slipped.jsonl").read_bytes()], TASK).reasons == []


def test_prompt_only_records_have_no_answer() -> None:
    assert all(len(record["messages"]) == 1 for record in records("prompt-only.jsonl"))


def test_task_and_generator_agree_on_prompt_and_signals() -> None:
    generator = runpy.run_path(str(EXAMPLES / "generate.py"))
    assert generator["PROMPT"] == TASK.prompt
    assert generator["SIGNALS"] == TASK.output.signals


def test_labelled_file_is_accepted_without_a_finding() -> None:
    dataset = examine([(EXAMPLES / "video-search.jsonl").read_bytes()], TASK)
    assert dataset.reasons == []
    assert dataset.problems == []
    assert (dataset.counts["duplicates"], dataset.counts["contradictions"]) == (0, 0)


def test_broken_file_is_rejected_and_exactly_the_broken_lines_are_named(generated: tuple[Path, str]) -> None:
    dataset = examine([(EXAMPLES / "broken.jsonl").read_bytes()], TASK)
    assert len(dataset.reasons) == 1
    assert "max_invalid_share" in dataset.reasons[0]
    printed = [line.split(":")[0].split() for line in generated[1].splitlines() if line.startswith("  line ")]
    assert [problem.line for problem in dataset.problems] == [int(number) for _, number in printed]
    assert all(problem.reason for problem in dataset.problems)
    assert (dataset.counts["duplicates"], dataset.counts["contradictions"]) == (2, 1)


def test_nothing_is_taken_from_the_data_for_measuring() -> None:
    measuring = ROOT.parent / "shared" / "data"
    if not measuring.is_dir():
        pytest.skip("no data for measuring beside the project")
    theirs = {
        normalise(json.loads(line)["messages"][0]["content"][0]["text"])
        for path in measuring.rglob("*.jsonl")
        for line in path.read_bytes().splitlines()
    }
    ours = {normalise(query) for name in NAMES[:2] for query in queries(name)}
    assert ours.isdisjoint(theirs)


def test_a_linear_student_learns_the_labels() -> None:
    """TF-IDF and ridge regression, trained on 85 % and snapped to tenths, mean of three splits."""
    pytest.importorskip("sklearn")
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import Ridge
    from sklearn.model_selection import train_test_split
    from sklearn.pipeline import make_pipeline, make_union

    texts = np.array([normalise(query) for query in queries("video-search.jsonl")])
    truth = np.array([[float(weights[signal]) for signal in SIGNALS] for weights in labels()])
    error, agreement = [], []
    for seed in range(3):
        train, test = train_test_split(np.arange(len(texts)), test_size=0.15, random_state=seed)
        words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
        characters = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True)
        student = make_pipeline(make_union(words, characters), Ridge(alpha=0.03))
        predicted = in_tenths(student.fit(texts[train], truth[train]).predict(texts[test]))
        error.append(np.abs(predicted - truth[test]).mean())
        agreement.append((predicted.argmax(axis=1) == truth[test].argmax(axis=1)).mean())
    assert np.mean(error) <= 0.04
    assert np.mean(agreement) >= 0.90


def in_tenths(weights: np.ndarray) -> np.ndarray:
    """Round each row to tenths that sum to 1, by largest remainder."""
    scaled = 10 * weights.clip(min=0) / weights.clip(min=0).sum(axis=1, keepdims=True)
    tenths = scaled.astype(int)
    for row, share in zip(tenths, scaled, strict=True):
        row[(row - share).argsort(kind="stable")[: 10 - row.sum()]] += 1
    return tenths / 10

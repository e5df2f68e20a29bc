"""The example dataset of airline-intents: reproducible, of our own words, usable, and with every label of the task."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from signalbox.dataset import Dataset, examine
from signalbox.query import normalise
from signalbox.task import Labels, Task

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "examples" / "airline-intents.jsonl"
GENERATOR = ROOT / "examples" / "generate_airline_intents.py"
TASK = Task.from_yaml((ROOT / "tasks" / "airline-intents" / "task.yaml").read_text())
assert isinstance(TASK.output, Labels)


def texts() -> list[tuple[str, str]]:
    """Query and label of each record."""
    records = map(json.loads, EXAMPLE.read_bytes().splitlines())
    return [tuple(message["content"][0]["text"] for message in each["messages"]) for each in records]


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return examine([EXAMPLE.read_bytes()], TASK)


def test_the_committed_file_is_what_the_generator_writes(tmp_path: Path) -> None:
    subprocess.run([sys.executable, str(GENERATOR), "--output", str(tmp_path)], check=True)
    assert (tmp_path / EXAMPLE.name).read_bytes() == EXAMPLE.read_bytes()


def test_another_seed_writes_other_queries(tmp_path: Path) -> None:
    command = [sys.executable, str(GENERATOR), "--seed", "8", "--output", str(tmp_path)]
    subprocess.run(command, check=True)
    assert (tmp_path / EXAMPLE.name).read_bytes() != EXAMPLE.read_bytes()


def test_it_is_usable_and_no_query_stands_twice(dataset: Dataset) -> None:
    assert dataset.reasons == []
    assert dataset.problems == []
    assert (dataset.counts["duplicates"], dataset.counts["contradictions"]) == (0, 0)


def test_the_prompt_names_the_labels_in_their_order() -> None:
    assert f"this list: {', '.join(TASK.output.labels)}\n" in TASK.prompt


def test_every_label_can_be_learnt_and_nearly_every_one_is_asked(dataset: Dataset) -> None:
    learnt = {record.answer.label for record in dataset.train if record.answer}
    asked = {record.answer.label for record in dataset.golden if record.answer}
    assert learnt == set(TASK.output.labels)
    assert len(asked) >= 20


def test_labels_are_as_unequal_as_in_a_real_log() -> None:
    counts = Counter(label for _, label in texts())
    assert counts.most_common(1)[0][0] == "flight"
    assert max(counts.values()) >= 30 * min(counts.values())


def test_nothing_is_taken_from_the_data_for_measuring() -> None:
    measuring = ROOT.parent / "shared" / "data" / "atis" / "train.jsonl"
    if not measuring.is_file():
        pytest.skip("no data for measuring beside the project")
    theirs = {
        normalise(json.loads(each)["messages"][0]["content"][0]["text"])
        for each in measuring.read_bytes().splitlines()
    }
    assert theirs.isdisjoint(normalise(query) for query, _ in texts())

"""The artefact: self-contained, the same for the same data, refused when it is not sound."""

import hashlib
import subprocess
import sys

import numpy as np
import pytest

from signalbox.artefact import FORMAT, Model, StudentError
from signalbox.features import extract, word_hashes
from signalbox.student import Student
from signalbox.training import train

EXPECTED = {
    "weights": "Opinion(answer=Answer(weights={'a': 0.1, 'b': 0.1, 'c': 0.8}, label=None, confidence=None, "
    "reasoning=\"c because of 'beta delta'\"), familiarity=0.51171875)",
    "labels": "Opinion(answer=Answer(weights=None, label='a', confidence=0.3718391612540648, "
    "reasoning=\"a because of 'beta delta'\"), familiarity=0.49609375)",
}


@pytest.fixture(params=["weights", "labels"])
def taught(request, taught_weights, taught_labels):
    return taught_weights if request.param == "weights" else taught_labels


def test_what_is_read_is_what_was_written(taught) -> None:
    data = taught.student.to_bytes()
    read = Student.from_bytes(data)
    assert (read.task, read.run_id) == ("places", "places-0123456789ab")
    assert (read.kind, read.names) == (taught.student.kind, taught.student.names)
    assert read.to_bytes() == data
    queries = [query for query, _ in taught.examples[::9]] + ["", "never heard of"]
    assert read.answers(queries) == taught.student.answers(queries)
    assert read.prior == taught.student.prior


def test_the_same_examples_in_any_order_make_the_same_bytes(taught) -> None:
    again = train(taught.examples[::-1], taught.output, task="places", run_id="places-0123456789ab")
    assert again.student.to_bytes() == taught.student.to_bytes()


@pytest.mark.parametrize("position", [20, 60, 400, -1])
def test_a_damaged_artefact_is_refused(taught_weights, position) -> None:
    data = bytearray(taught_weights.student.to_bytes())
    data[position] ^= 1
    with pytest.raises(StudentError, match="damaged"):
        Student.from_bytes(bytes(data))


def test_a_truncated_artefact_is_refused(taught_weights) -> None:
    with pytest.raises(StudentError, match="damaged"):
        Student.from_bytes(taught_weights.student.to_bytes()[:-100])


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04 something else", b"signalbox"])
def test_a_foreign_file_is_refused(data) -> None:
    with pytest.raises(StudentError, match="not a student's artefact"):
        Student.from_bytes(data)


def test_another_format_is_refused(taught_weights) -> None:
    magic, _, rest = taught_weights.student.to_bytes().partition(b"\n")
    body = rest[32:].replace(b'"format": %d' % FORMAT, b'"format": 999', 1)
    with pytest.raises(StudentError, match="format 999"):
        Student.from_bytes(magic + b"\n" + hashlib.sha256(body).digest() + body)


def test_answering_imports_nothing_but_numpy() -> None:
    program = "import sys, signalbox.student; print(*{name.split('.')[0] for name in sys.modules})"
    environment = {"PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert not {"scipy", "boto3", "botocore", "pydantic", "yaml"} & set(done.stdout.split())


@pytest.mark.parametrize("kind", ["weights", "labels"])
def test_the_same_artefact_gives_the_same_answer_on_every_machine(kind) -> None:
    """Exact equality with figures written down: no library's rounding or order of summation may matter."""
    signals = 3 if kind == "weights" else 0
    columns, filters = signals + 4, 0 if signals else 5
    hashes = np.unique(extract("alpha beta gamma delta", pairs=True).hashes)
    evidence = np.arange(len(hashes) * columns).reshape(-1, columns) * 37 % 255 - 127
    patterns = np.array([[8, 1, 1], [1, 8, 1], [1, 1, 8], [4, 4, 2]])[:, :signals] / 10
    model = Model(
        hashes=hashes,
        mass=np.arange(len(hashes) + 1, dtype=np.int32) * 7919 + 65536,
        salience=np.arange(len(hashes), dtype=np.int32) * 104729 % 65536 + 1,
        evidence=evidence.astype(np.int8),
        scale=np.arange(1, columns + 1) / 3,
        bias=np.arange(columns) / 7,
        patterns=patterns,
        cost=(1 - np.eye(4, dtype=np.int16)) * (4096 if signals else 0),
        pull=np.array([0.75], dtype=np.float32),
        prior=np.ones(signals or 4, dtype=np.float32),
        shares=np.linspace(0, 1, 256, dtype=np.float32),
        words=np.sort(word_hashes(["alpha", "delta"])),
        taps=(np.arange(4 * 3 * filters).reshape(4, 3, filters) * 89 % 255 - 127).astype(np.int8),
        offset=np.arange(filters, dtype=np.int16) * 7 - 20,
        votes=(np.arange(filters * columns).reshape(filters, columns) * 12007 % 65535 - 32767).astype(
            np.int16
        ),
        vote_scale=np.arange(2, columns + 2) / 3e7,
    )
    student = Student("places", "places-0123456789ab", kind, ("a", "b", "c", "d")[: signals or 4], model)
    assert repr(student.opinion("alpha beta delta epsilon")) == EXPECTED[kind]

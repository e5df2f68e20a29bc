"""The losses of a customization job: read from what Bedrock left, whatever of it is there."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox import losses


@dataclass
class Files:
    """The files of a run's job, by their names."""

    training: list[bytes] = field(default_factory=list)
    validation: list[bytes] = field(default_factory=list)

    def found(self, run_id: str, under: str, ending: str) -> list[bytes]:
        assert (run_id, under) == ("clip-1", "customization/")
        return {
            "step_wise_training_metrics.csv": self.training,
            "validation_metrics.csv": self.validation,
        }[ending]


def csv(loss: str, *rows: tuple[object, ...]) -> bytes:
    lines = [f"step_number,epoch_number,{loss},perplexity", *(",".join(map(str, row)) for row in rows)]
    return ("\n".join(lines) + "\n").encode()


def test_without_files_there_is_nothing_to_say() -> None:
    assert losses.of_run("clip-1", Files()) is None
    assert losses.of_run("clip-1", Files([b""], [b"\xff\xfe"])) is None


def test_an_epoch_has_the_mean_of_its_steps_and_its_last_validation() -> None:
    files = Files(
        [csv("training_loss", (0, 1, 1.0, 2.7), (1, 1, 0.6, 1.8), (2, 2, 0.4, 1.5))],
        [csv("validation_loss", (2, 2, 0.5, 1.6), (0, 1, 0.9, 2.4), (1, 1, 0.7, 2.0))],
    )
    assert losses.of_run("clip-1", files) == {
        "by_epoch": [
            {"epoch": 1, "training": pytest.approx(0.8), "validation": 0.7},
            {"epoch": 2, "training": 0.4, "validation": 0.5},
        ],
        "warning": None,
    }


def test_one_figure_after_all_training_is_one_of_its_epoch() -> None:
    files = Files(
        [csv("training_loss", (0, 1, 1.0, 2), (1, 2, 0.6, 1))], [csv("validation_loss", (1, 2, 0.7, 2))]
    )
    found = losses.of_run("clip-1", files)
    assert found is not None
    assert [row["validation"] for row in found["by_epoch"]] == [None, 0.7]
    assert found["warning"] is None


def test_lines_without_numbers_are_passed_over() -> None:
    files = Files([csv("training_loss", (0, 1, "nan", 1), ("x", 1, 2, 3), (1,), (2, 1, 0.5, 1))])
    found = losses.of_run("clip-1", files)
    assert found is not None and found["by_epoch"] == [{"epoch": 1, "training": 0.5, "validation": None}]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ((0.9, 0.7, 0.6), None),
        ((0.9, 0.6, 0.605), None),
        ((0.9, 0.6, 0.7), "the validation loss turned up: it was lowest in epoch 2 (0.6000) and is 0.7000 in epoch 3"),
        ((0.6, 0.9, 0.8), "the validation loss turned up: it was lowest in epoch 1 (0.6000) and is 0.8000 in epoch 3"),
    ],
    ids=["falls", "wobbles", "turns", "only rises"],
)  # fmt: skip
def test_a_validation_loss_that_turns_up_is_warned_of(values: tuple[float, ...], said: str | None) -> None:
    rows = [(step, step, value, 1) for step, value in enumerate(values, 1)]
    found = losses.of_run("clip-1", Files([], [csv("validation_loss", *rows)]))
    assert found is not None
    assert found["warning"] is None if said is None else found["warning"].startswith(said)


def warned(*rows: tuple[object, ...]) -> str | None:
    """Return the warning of a job with these validation losses: step, epoch, loss."""
    found = losses.of_run("clip-1", Files([], [csv("validation_loss", *((*row, 1) for row in rows))]))
    assert found is not None
    return found["warning"]


def test_a_turn_within_the_only_epoch_is_found_by_its_steps() -> None:
    warning = warned((0, 1, 0.5), (100, 1, 0.2), (200, 1, 0.9))
    assert warning is not None
    assert warning.startswith(
        "the validation loss turned up: it was lowest at step 100 (0.2000) and is 0.9000 at step 200"
    )
    assert "fewer epochs" not in warning  # there is but one
    assert warned((0, 1, 0.5), (100, 1, 0.3), (200, 1, 0.2)) is None


def test_a_turn_within_an_epoch_of_several_is_no_turn_of_the_epochs() -> None:
    assert warned((0, 1, 0.5), (1, 1, 0.2), (2, 1, 0.4), (3, 2, 0.3)) is None


@pytest.mark.parametrize(
    ("epochs", "numbered"),
    [
        ((0.5, 1.0, 1.5, 2.0, 2.5, 3.0), [1, 2, 3]),
        ((0.25, 0.9999999, 1.0000001), [1]),
        ((0, 1, 2), [0, 1, 2]),
    ],
    ids=["halves", "not quite whole", "whole"],
)
def test_a_part_of_an_epoch_belongs_to_the_epoch_that_it_is_part_of(
    epochs: tuple[float, ...], numbered: list[int]
) -> None:
    rows = [(step, epoch, 1.0, 1) for step, epoch in enumerate(epochs)]
    found = losses.of_run("clip-1", Files([csv("training_loss", *rows)]))
    assert found is not None and [row["epoch"] for row in found["by_epoch"]] == numbered


def test_a_byte_order_mark_hides_no_column() -> None:
    found = losses.of_run("clip-1", Files([b"\xef\xbb\xbf" + csv("training_loss", (0, 1, 0.5, 1))]))
    assert found is not None and found["by_epoch"][0]["training"] == 0.5


@pytest.mark.parametrize(
    ("first", "second", "turned"),
    [
        (-0.5, -0.51, False),
        (-0.5, -0.5, False),
        (-0.5, -0.499, False),
        (-0.5, -0.4, True),
        (0.0, 1e-7, False),
        (0.002, 0.0025, False),
        (0.0, 0.0021, True),
    ],
)
def test_what_is_a_turn_does_not_hang_on_the_sign_or_on_noughts(
    first: float, second: float, turned: bool
) -> None:
    assert (warned((0, 1, first), (1, 2, second)) is not None) == turned


@given(content=st.binary(max_size=200))
def test_whatever_the_files_hold_no_run_fails_for_it(content: bytes) -> None:
    header = b"step_number,epoch_number,validation_loss,perplexity\n"
    losses.of_run("clip-1", Files([content], [header + content]))

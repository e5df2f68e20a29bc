"""The losses of a customization job, from the files that Bedrock leaves in the run's prefix.

Source: Amazon Bedrock user guide, "Analyze the results of a model customization job", for the names of the files and of
their columns. Below which folders they lie is documented, too, but they are found by their names alone. How often
Bedrock measures the validation loss is not documented: there may be one figure, or one an epoch, or none.
"""

import csv
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from statistics import fmean
from typing import Any

from signalbox.store import CUSTOMIZATION, RunStore

TRAINING_FILE = "step_wise_training_metrics.csv"
VALIDATION_FILE = "validation_metrics.csv"
STEP, EPOCH = "step_number", "epoch_number"
TRAINING_LOSS, VALIDATION_LOSS = "training_loss", "validation_loss"
TRAINING_REWARD, VALIDATION_REWARD = "critic/rewards/mean", "val-score/rewards/mean@1"
"""Metrics of reinforcement fine-tuning ("Create and manage fine-tuning jobs for Amazon Nova models"). That the files
have them as columns is an assumption; where they have not, nothing is shown."""

RISE, LEAST_RISE = 0.01, 0.001
"""By what share of the lowest validation loss, and by how much at least, the last one must exceed it to be a turn and
no wobble: an assumption."""
_SAME_EPOCH = 1e-6
"""By so much an epoch's number may miss a whole one."""


def rows(files: Sequence[bytes], *columns: str) -> Iterator[tuple[float, ...]]:
    """Yield these columns of CSV files; a line in which one of them is no finite number is passed over."""
    for content in files:
        for row in _read(content):
            try:
                values = tuple(float(row[column]) for column in columns)
            except (KeyError, TypeError, ValueError):
                continue
            if all(map(math.isfinite, values)):
                yield values


def _read(content: bytes) -> Iterator[dict[str, Any]]:
    """Yield the lines of a CSV file up to where it is none."""
    with suppress(csv.Error):
        yield from csv.DictReader(content.decode("utf-8-sig", errors="replace").splitlines())


def of_run(run_id: str, store: RunStore) -> dict[str, Any] | None:
    """Return what metrics.json has of a run's losses.

    Returns
    -------
    dict | None
        `by_epoch`: for each epoch the mean training loss of its steps and its last validation loss, None where there
        is none; `warning`: a sentence if the validation loss turned up, else None. None if there are no such files.
    """
    training, validation = (
        _measured(store.found(run_id, CUSTOMIZATION, file), loss)
        for file, loss in ((TRAINING_FILE, TRAINING_LOSS), (VALIDATION_FILE, VALIDATION_LOSS))
    )
    if not training and not validation:
        return None
    trained: dict[int, list[float]] = defaultdict(list)
    for _, epoch, loss in training:
        trained[epoch].append(loss)
    last = {epoch: loss for _, epoch, loss in validation}
    by_epoch = [
        {
            "epoch": epoch,
            "training": fmean(trained[epoch]) if epoch in trained else None,
            "validation": last.get(epoch),
        }
        for epoch in sorted({*trained, *last})
    ]
    return {"by_epoch": by_epoch, "warning": _warning(validation, last)}


def _measured(files: Sequence[bytes], loss: str) -> list[tuple[float, int, float]]:
    """Return step, epoch and loss in the order of the steps; a part of an epoch counts as the epoch it is part of."""
    return [
        (step, math.ceil(epoch - _SAME_EPOCH), value)
        for step, epoch, value in sorted(rows(files, STEP, EPOCH, loss))
    ]


def _warning(validation: Sequence[tuple[float, int, float]], last: Mapping[int, float]) -> str | None:
    """Say that the validation loss turned up, by epoch if it was measured in several, else by step."""
    if len(last) > 1:
        turn = _turn([(f"in epoch {epoch}", loss) for epoch, loss in sorted(last.items())])
        remedy = "train for fewer epochs, at a lower learning rate, or on more records"
    else:
        turn = _turn([(f"at step {step:g}", loss) for step, _, loss in validation])
        remedy = "train at a lower learning rate, or on more records"
    return turn and f"{turn}; the model begins to learn its records by heart, so {remedy}"


def _turn(measured: Sequence[tuple[str, float]]) -> str | None:
    """Say where the validation loss was lowest, if it was not, or about so, at the end."""
    if not measured:
        return None
    (best, lowest), (end, loss) = min(measured, key=lambda entry: entry[1]), measured[-1]
    if loss - lowest <= max(RISE * abs(lowest), LEAST_RISE):
        return None
    return f"the validation loss turned up: it was lowest {best} ({lowest:.4f}) and is {loss:.4f} {end}"

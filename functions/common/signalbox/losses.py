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

RISE = 0.01
"""By what share the last validation loss must exceed the lowest one to be a turn and no wobble: an assumption."""


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
        yield from csv.DictReader(content.decode(errors="replace").splitlines())


def of_run(run_id: str, store: RunStore) -> dict[str, Any] | None:
    """Return what metrics.json has of a run's losses.

    Returns
    -------
    dict | None
        `by_epoch`: for each epoch the mean training loss of its steps and its last validation loss, None where there
        is none; `warning`: a sentence if the validation loss turned up, else None. None if there are no such files.
    """
    training, validation = (
        _by_epoch(store.found(run_id, CUSTOMIZATION, file), loss)
        for file, loss in ((TRAINING_FILE, TRAINING_LOSS), (VALIDATION_FILE, VALIDATION_LOSS))
    )
    if not training and not validation:
        return None
    last = {epoch: losses[-1] for epoch, losses in validation.items()}
    by_epoch = [
        {
            "epoch": epoch,
            "training": fmean(training[epoch]) if epoch in training else None,
            "validation": last.get(epoch),
        }
        for epoch in sorted({*training, *validation})
    ]
    return {"by_epoch": by_epoch, "warning": _turn(last)}


def _by_epoch(files: Sequence[bytes], loss: str) -> dict[int, list[float]]:
    """Return the losses of each epoch in the order of its steps."""
    found: dict[int, list[float]] = defaultdict(list)
    for _, epoch, value in sorted(rows(files, STEP, EPOCH, loss)):
        found[round(epoch)].append(value)
    return dict(found)


def _turn(validation: Mapping[int, float]) -> str | None:
    """Say where the validation loss was lowest, if it was not, or about so, at the end."""
    if len(validation) < 2:
        return None
    best, end = min(validation, key=lambda epoch: (validation[epoch], epoch)), max(validation)
    if validation[end] <= validation[best] * (1 + RISE):
        return None
    return (
        f"the validation loss turned up: it was lowest in epoch {best} ({validation[best]:.4f}) and is "
        f"{validation[end]:.4f} in epoch {end}; the model begins to learn its records by heart, so train for fewer "
        "epochs, at a lower learning rate, or on more records"
    )

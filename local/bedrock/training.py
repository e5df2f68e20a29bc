"""The process of one customization job: `python -m local.bedrock.training`.

It reads one JSON object from standard input (`TrainingOrder`), trains, writes the model into the state folder
and the artefacts to S3, and says how far it is in JSON lines on standard output. It ends when standard input
does: that is how it notices that its parent is gone, however it went.
"""

import csv
import io
import json
import math
import os
import sys
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from local.bedrock.catalogue import STUDENT
from local.bedrock.errors import DatasetError, RewardError
from local.bedrock.objects import Objects, join
from local.bedrock.records import (
    Problem,
    TrainingRecord,
    read_records,
    refuse_for_fine_tuning,
    refuse_too_many,
    training_records,
)
from local.bedrock.reward_function import RewardFunction
from local.bedrock.store import Store
from local.bedrock.text import bucket, first_tokens

DEFAULT_EPOCHS, DEFAULT_LEARNING_RATE, DEFAULT_WARMUP_STEPS = 2, 1e-5, 10
"""Of Amazon Nova: docs.aws.amazon.com/bedrock/latest/userguide/custom-models-hp.html"""
_HELD_OUT_PERCENT = 10
_NICENESS = 10


@dataclass(frozen=True)
class TrainingOrder:
    """What to train. URIs are `s3://`; `artifacts_uri` is the prefix that the job's artefacts go to.

    `reinforcement` are the hyperparameters of a reinforcement fine-tuning job.
    """

    state_folder: str
    aws_endpoint: str
    customization_type: str
    training_uri: str
    artifacts_uri: str
    model_path: str
    student: str = STUDENT
    epochs: int = DEFAULT_EPOCHS
    learning_rate: float = DEFAULT_LEARNING_RATE
    warmup_steps: int = DEFAULT_WARMUP_STEPS
    longest_answer: int | None = None
    validation_uris: list[str] = field(default_factory=list)
    reward_function_arn: str = ""
    reinforcement: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> str:
        """Return the order as one line."""
        return json.dumps(asdict(self))


def main() -> None:
    """Carry out the order on standard input."""
    os.nice(_NICENESS)
    order = TrainingOrder(**json.loads(sys.stdin.readline()))
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        if order.customization_type == "REINFORCEMENT_FINE_TUNING":
            from local.bedrock.reinforcement import run as reinforce

            ask = RewardFunction(order.aws_endpoint, order.reward_function_arn)
            reinforce(order, report, Objects(order.aws_endpoint), ask)
        else:
            run(order, report, Objects(order.aws_endpoint))
    except (DatasetError, RewardError) as error:
        report({"failure": str(error)})


def _end_with_parent() -> None:
    # Not sys.stdin: its lock, held by a waiting thread, would spoil the end of the interpreter.
    while os.read(0, 4096):
        pass
    os._exit(1)


def report(news: dict[str, Any]) -> None:
    """Tell the parent."""
    print(json.dumps(news), flush=True)


def run(order: TrainingOrder, tell: Callable[[dict[str, Any]], None], objects: Objects) -> None:
    """Train a student as ordered.

    Parameters
    ----------
    order
        What to train.
    tell
        Called with `{"stage": ..., "status": ...}` when a stage of the job starts or ends, and with
        `{"result": {"trainingLoss": ..., "validationLoss": ...}}` once the model is there.
    objects
        Access to S3.

    Raises
    ------
    DatasetError
        The dataset cannot be used.
    """
    tell({"stage": "validationDetails", "status": "InProgress"})
    records = training_records(objects.read(order.training_uri), order.customization_type, order.student)
    validation = _validation_records(objects, order)
    refuse_too_many(order.customization_type, order.student, len(records) + len(validation))
    tell({"stage": "validationDetails", "status": "Completed"})

    tell({"stage": "dataProcessingDetails", "status": "InProgress"})
    store = Store(Path(order.state_folder))
    _remember(store, records)
    records, validation = _label(store, records, order), _label(store, validation, order)
    store.close()
    tell({"stage": "dataProcessingDetails", "status": "Completed"})

    tell({"stage": "trainingDetails", "status": "InProgress"})
    result = _train(order, records, validation, objects)
    tell({"stage": "trainingDetails", "status": "Completed"})
    tell({"result": result})


def _validation_records(objects: Objects, order: TrainingOrder) -> list[TrainingRecord]:
    records: list[TrainingRecord] = []
    for uri in order.validation_uris:
        found: list[TrainingRecord] = []
        for item in read_records(objects.read(uri)):
            if isinstance(item, Problem):
                raise DatasetError(f"Line {item.line} of {uri} is invalid: {item.reason}.")
            found.append(item)
        if order.customization_type == "FINE_TUNING":
            refuse_for_fine_tuning(found, uri)
        records += found
    return records


def _remember(store: Store, records: list[TrainingRecord]) -> None:
    """Let the teacher learn the labelled records."""
    for prompt in {record.prompt for record in records}:
        store.learn(
            prompt, ((r.query, r.answer) for r in records if r.prompt == prompt and r.answer is not None)
        )


def _label(store: Store, records: list[TrainingRecord], order: TrainingOrder) -> list[TrainingRecord]:
    """Return the records with the teacher's answer where they have none."""
    if all(record.answer is not None for record in records):
        return records
    from local.bedrock.teacher import Knowledge

    knowledge = Knowledge(store)
    if not store.prompts():
        raise DatasetError(
            "local.teacher has never seen a labelled example, so it cannot label prompts. Give it some: a "
            "labelled dataset, a golden set beside the task, or labelled records among the prompts."
        )
    labelled = []
    for record in records:
        answer = record.answer
        if answer is None:
            answer = knowledge.teach(record.query, record.prompt)
            answer = first_tokens(answer, order.longest_answer) if order.longest_answer else answer
        labelled.append(TrainingRecord(record.prompt, record.query, answer))
    return labelled


def _train(
    order: TrainingOrder, records: list[TrainingRecord], validation: list[TrainingRecord], objects: Objects
) -> dict[str, float]:
    from local.bedrock.descent import descent
    from local.bedrock.student import train

    prompt = Counter(record.prompt for record in records).most_common(1)[0][0]
    if order.customization_type == "FINE_TUNING":
        solver = descent(order.learning_rate, order.warmup_steps)
        student, steps = train(_examples(records), _examples(validation), order.epochs, prompt, solver)
        measured = steps
    elif validation:
        student, steps = train(_examples(records), _examples(validation), order.epochs, prompt)
        measured = steps
    else:
        # The validation loss comes from a student that never saw the held-out tenth, the model from all
        # records.
        held_out = [record for record in records if _is_held_out(record)]
        rest = [record for record in records if not _is_held_out(record)] or records
        _, measured = train(_examples(rest), _examples(held_out), order.epochs, prompt)
        student, steps = train(_examples(records), _examples([]), order.epochs, prompt)
    student.save(Path(order.model_path))

    objects.write(
        join(order.artifacts_uri, "training_artifacts", "step_wise_training_metrics.csv"),
        _table("training_loss", [(step.number, step.epoch, step.training_loss) for step in steps]),
    )
    result = {"trainingLoss": steps[-1].training_loss}
    validated = [
        (step.number, step.epoch, step.validation_loss)
        for step in measured
        if step.validation_loss is not None
    ]
    if validated:
        folder = join(order.artifacts_uri, "validation_artifacts", "post_fine_tuning_validation")
        objects.write(join(folder, "validation_metrics.csv"), _table("validation_loss", validated))
        result["validationLoss"] = validated[-1][2]
    return result


def _is_held_out(record: TrainingRecord) -> bool:
    return bucket(record.query, 100, "validation") < _HELD_OUT_PERCENT


def _examples(records: list[TrainingRecord]) -> Any:
    from local.bedrock.student import Examples

    return Examples([record.query for record in records], [record.answer or "" for record in records])


def _table(loss: str, rows: list[tuple[int, int, float]]) -> bytes:
    """Return rows as Bedrock's metrics files have them: steps from 0, the perplexity the exponential of the loss."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["step_number", "epoch_number", loss, "perplexity"])
    writer.writerows(
        (step - 1, epoch, f"{value:.6f}", f"{math.exp(value):.6f}") for step, epoch, value in rows
    )
    return text.getvalue().encode()


if __name__ == "__main__":
    main()

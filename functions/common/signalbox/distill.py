"""distill: an accepted dataset trains the embedded student and starts the customization job at Bedrock."""

import csv
import io
import json
from typing import Any

from signalbox.answer import Answer
from signalbox.budget import Excess, excess_of_job
from signalbox.customization import Customization, ReinforcementFineTuning, Tuning, Type
from signalbox.events import Event
from signalbox.failure import PermanentFailure
from signalbox.models import check_customization
from signalbox.observability import logger
from signalbox.pipeline import Pipeline, step
from signalbox.reinforcement import write_reinforcement_records
from signalbox.release import Expense
from signalbox.run import Run, State
from signalbox.settings import setting
from signalbox.store import (
    CUSTOMIZATION,
    STUDENT,
    STUDENT_CURVE,
    TRAIN,
    VALIDATION,
    VALIDATION_SET,
)
from signalbox.task import Task
from signalbox.training import train

_WORDS: dict[Type, str] = {
    "DISTILLATION": "{0.teacher} teaches {0.student}",
    "FINE_TUNING": "{0.student} is fine-tuned",
    "REINFORCEMENT_FINE_TUNING": "{0.student} is fine-tuned by reinforcement",
}


@step("distill", State.ACCEPTED)
def distill(run: Run, pipeline: Pipeline) -> None:
    """Make the task's students: ACCEPTED -> TRAINING, or -> TRAINED -> DEPLOYED if none is Bedrock's.

    The order is by cost: what may be refused is checked first, the embedded student costs seconds, the job money.
    """
    task = pipeline.task(run)
    customization = task.job
    if customization:
        check_customization(customization, pipeline.bedrock, task.deployment)
        beyond = _beyond_budget(run, task, pipeline)
        if beyond is not None:
            pipeline.await_release(run, Expense.JOB, beyond.reason, beyond.usd)
            return
    trained = (
        _train_embedded(run, task, pipeline)
        if "embedded" in task.candidates
        else "no embedded student asked for"
    )
    if customization:
        job_arn = _start_job(run, task, customization, pipeline)
        note = f"{trained}; {_WORDS[customization.type].format(customization)}"
        pipeline.advance(run, State.TRAINING, event=Event.TRAINING_STARTED, note=note, job_arn=job_arn)
    else:
        # No event between the two: `deploy` has nothing to do for a task without a Bedrock model.
        moved = pipeline.advance(run, State.TRAINED, event=None, note=trained)
        pipeline.advance(
            moved, State.DEPLOYED, event=Event.MODEL_DEPLOYED, note="answers inside the route function"
        )


def _beyond_budget(run: Run, task: Task, pipeline: Pipeline) -> Excess | None:
    """Say why the job has to be released, or return None if it has been, or need not be."""
    if Expense.JOB in run.released or task.dataset.budget_usd is None:
        return None
    return excess_of_job(task, _findings(run, pipeline).get("cost"))


def _findings(run: Run, pipeline: Pipeline) -> dict[str, Any]:
    """Return what validation found in the run's dataset."""
    return json.loads(pipeline.store.get(run.id, VALIDATION) or b"{}")


def _start_job(run: Run, task: Task, customization: Customization, pipeline: Pipeline) -> str:
    """Start the customization job with the files that its type takes, and return its ARN."""
    store, files = pipeline.store, {"training": TRAIN}
    # Not by whether the file is there: an attempt before the one that was accepted may have left one.
    if isinstance(customization, Tuning) and _findings(run, pipeline).get("counts", {}).get("validation"):
        files["validation"] = VALIDATION_SET
    reward = ""
    if isinstance(customization, ReinforcementFineTuning):
        reward = setting("REWARD_FUNCTION_ARN")
        files = {use: write_reinforcement_records(store, run.id, file, task) for use, file in files.items()}
    return pipeline.bedrock.start_customization(
        run.id,
        customization,
        role_arn=setting("CUSTOMIZATION_ROLE_ARN"),
        output=store.uri(run.id, CUSTOMIZATION),
        kms_key_arn=setting("CUSTOM_MODEL_KMS_KEY_ARN"),
        reward_function_arn=reward,
        **{name: store.uri(run.id, file) for name, file in files.items()},
    )


def _train_embedded(run: Run, task: Task, pipeline: Pipeline) -> str:
    """Train the embedded student unless an earlier attempt has, and say in words what there is."""
    if pipeline.store.has(run.id, STUDENT):
        return "embedded student trained before"
    examples: list[tuple[str, Answer]] = [
        (record.query, record.answer)
        for record in pipeline.records(run, TRAIN, task)
        if record.answer is not None
    ]
    if not examples:
        if task.first_served == "embedded":  # said here, before the job costs money
            raise PermanentFailure(
                "distill",
                "no record is labelled; the embedded student, which would answer first, learns from labels",
                "drop labelled records, or let bedrock come first in serve.order",
            )
        return "no embedded student: no record is labelled"
    beat = pipeline.heartbeat(run)

    def report(message: str) -> None:
        logger.info(message)
        beat()

    trained = train(examples, task.output, task=task.name, run_id=run.id, progress=report)
    artefact = trained.student.to_bytes()
    pipeline.store.put(run.id, STUDENT_CURVE, _csv(trained.curve))
    pipeline.store.put(run.id, STUDENT, artefact)  # last: its presence says that training is done
    return f"embedded student trained on {len(examples):,} records, {len(artefact) / 1e6:.1f} MB"


def _csv(curve: list[dict[str, float]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(curve[0]) if curve else ["step"])
    writer.writeheader()
    writer.writerows(curve)
    return text.getvalue()

"""Reinforcement fine-tuning: a policy answers prompts, a reward function grades the answers, the policy learns.

Format, limits and metric names, all of docs.aws.amazon.com/bedrock/latest/userguide: rft-prepare-data.html,
rft-nova-models.html, rft-submit-job.html, reward-functions.html; the hyperparameters' bounds stand in the service
model. Reserved words: nova_ft_dataset_validator.py in aws-samples/amazon-bedrock-samples. The defaults are this
stand-in's own, as AWS documents none; reasoningEffort and maxPromptLength mean nothing to a model without either.
"""

import csv
import io
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

import numpy as np

from local.bedrock.errors import DatasetError
from local.bedrock.objects import Objects, join
from local.bedrock.records import reserved_word
from local.bedrock.store import Store
from local.bedrock.text import first_tokens

if TYPE_CHECKING:
    from local.bedrock.answers import Form
    from local.bedrock.policy import Policy
    from local.bedrock.training import TrainingOrder

FEWEST_RECORDS, MOST_RECORDS = 100, 20_000
_ROLES = ("system", "user", "assistant")
_USUAL_LEARNING_RATE = 1e-5
_REFERENCE = "reference_answer"

Sample = dict[str, Any]
Ask = Callable[[Sequence[Sample]], list[float]]
"""Returns the reward of each sample."""


@dataclass(frozen=True)
class Settings:
    """The job's hyperparameters, by the meaning that the API gives them."""

    epochs: int = 10
    batch: int = 64
    learning_rate: float = _USUAL_LEARNING_RATE
    samples_per_prompt: int = 8
    longest_answer: int | None = None
    steps_between_evaluations: int = 10

    @classmethod
    def of(cls, hyperparameters: dict[str, Any]) -> "Settings":
        """Return the settings that `customizationConfig.rftConfig.hyperParameters` asks for."""
        names = {
            "epochCount": "epochs",
            "batchSize": "batch",
            "learningRate": "learning_rate",
            "trainingSamplePerPrompt": "samples_per_prompt",
            "inferenceMaxTokens": "longest_answer",
            "evalInterval": "steps_between_evaluations",
        }
        return cls(**{names[name]: value for name, value in hyperparameters.items() if name in names})


@dataclass(frozen=True)
class Prompt:
    """One record: what the model is asked, and what the reward function is handed besides its answer."""

    messages: list[dict[str, str]]
    metadata: dict[str, Any]

    @property
    def query(self) -> str:
        """The last user message."""
        return self.messages[-1]["content"]

    @property
    def system(self) -> str:
        """The system messages in one."""
        return "\n".join(each["content"] for each in self.messages if each["role"] == "system")

    def sample(self, identifier: str, answer: str) -> Sample:
        """Return the record as the reward function gets it, with the model's answer as its last turn."""
        messages = [*self.messages, {"role": "assistant", "content": answer}]
        return {"id": identifier, "messages": messages, "metadata": self.metadata}


def read_prompts(body: bytes) -> list[Prompt]:
    """Return the prompts of a training dataset.

    Raises
    ------
    DatasetError
        Fewer than 100 records or more than 20,000, or a line of another format; the message names the first one.
    """
    prompts = _prompts(body)
    if not FEWEST_RECORDS <= len(prompts) <= MOST_RECORDS:
        raise DatasetError(
            f"The training dataset has {len(prompts)} records; REINFORCEMENT_FINE_TUNING takes {FEWEST_RECORDS} to "
            f"{MOST_RECORDS}."
        )
    return prompts


def read_validation_prompts(body: bytes) -> list[Prompt]:
    """Return the prompts of a validation dataset, of which there may be any number.

    Raises
    ------
    DatasetError
        A line is of another format.
    """
    return _prompts(body)


def _prompts(body: bytes) -> list[Prompt]:
    prompts = []
    for number, line in enumerate(body.split(b"\n"), 1):
        if line.strip():
            try:
                prompts.append(_prompt(json.loads(line.decode())))
            except (ValueError, RecursionError) as error:
                raise DatasetError(f"Line {number} of the dataset is invalid: {error}.") from error
    return prompts


def _prompt(record: Any) -> Prompt:
    if not isinstance(record, dict):
        raise ValueError("the record must be a JSON object")
    messages = record.get("messages")
    if not isinstance(messages, list) or not messages:
        raise ValueError("messages must be a list of chat messages")
    for message in messages:
        if not isinstance(message, dict) or message.get("role") not in _ROLES:
            raise ValueError(f"each message must have one of the roles {', '.join(_ROLES)}")
        if not isinstance(message.get("content"), str) or not message["content"].strip():
            raise ValueError("each message must have a content that is a text and not blank")
        if reserved := reserved_word(message["content"]):
            raise ValueError(f"it has the reserved word {reserved}")
    if messages[-1]["role"] != "user":
        raise ValueError("the last message must be the user's, which the model is to answer")
    if record.get(_REFERENCE) is None:
        raise ValueError(f"{_REFERENCE} is missing, without which the reward function can't grade")
    kept = [{"role": message["role"], "content": message["content"]} for message in messages]
    return Prompt(kept, {name: value for name, value in record.items() if name not in ("id", "messages")})


@dataclass(frozen=True)
class Step:
    """What a step of the training earned: one batch of prompts, several answers to each."""

    number: int
    epoch: int
    loss: float
    mean: float
    best: float
    worst: float
    validation: float | None


def reinforce(
    prompts: Sequence[Prompt], validation: Sequence[Prompt], policy: "Policy", ask: Ask, settings: Settings
) -> Iterator[Step]:
    """Train a policy, whose queries are those of the prompts, step by step.

    Parameters
    ----------
    validation
        Prompts whose answers are graded every few steps, and after the last one, but not learned from; may be empty.
    ask
        The reward function.
    """
    order = np.random.default_rng(0)
    batches_in_epoch = -(-len(prompts) // settings.batch)
    last = settings.epochs * batches_in_epoch
    for epoch in range(1, settings.epochs + 1):
        shuffled = order.permutation(len(prompts))
        for batch in range(batches_in_epoch):
            number = (epoch - 1) * batches_in_epoch + batch + 1
            rows = shuffled[batch * settings.batch : (batch + 1) * settings.batch]
            trial = policy.attempt(rows, settings.samples_per_prompt, (number - 1) / last)
            samples = [
                prompts[row].sample(f"{number}-{row}-{place}", _cut(text, settings))
                for row, texts in zip(rows, trial.texts, strict=True)
                for place, text in enumerate(texts)
            ]
            rewards = np.array(ask(samples)).reshape(len(rows), -1)
            loss = policy.learn(trial, rewards, settings.learning_rate / _USUAL_LEARNING_RATE)
            due = number % settings.steps_between_evaluations == 0 or number == last
            earned = _validate(validation, policy, ask, settings) if due and validation else None
            yield Step(number, epoch, loss, *_spread(rewards), earned)


def _spread(rewards: np.ndarray) -> tuple[float, float, float]:
    return float(rewards.mean()), float(rewards.max()), float(rewards.min())


def _validate(prompts: Sequence[Prompt], policy: "Policy", ask: Ask, settings: Settings) -> float:
    """Return the mean reward of one answer to each prompt, without chance."""
    student = policy.student()
    answers = [_cut(student.answer(prompt.query), settings) for prompt in prompts]
    pairs = enumerate(zip(prompts, answers, strict=True))
    return fmean(ask([prompt.sample(f"validation-{place}", answer) for place, (prompt, answer) in pairs]))


def _cut(text: str, settings: Settings) -> str:
    return first_tokens(text, settings.longest_answer) if settings.longest_answer else text


def policy_of(prompts: Sequence[Prompt], form: "Form", start: np.ndarray) -> "Policy":
    """Return an untrained policy for some prompts.

    Raises
    ------
    DatasetError
        It would know only one answer, with which there is nothing to learn.
    """
    from local.bedrock.policy import Policy

    if len(form.classes) < 2:
        raise DatasetError(
            "The local student finds the signals or labels that it may answer with neither in the prompt nor in a "
            "labelled example; name them in the prompt, separated by commas."
        )
    return Policy(form, start, [prompt.query for prompt in prompts])


def run(order: "TrainingOrder", tell: Callable[[dict[str, Any]], None], objects: Objects, ask: Ask) -> None:
    """Train a model as a reinforcement fine-tuning job orders; it starts from what `local.base` would answer.

    Parameters
    ----------
    tell
        Called as by `training.run`. A job of this type has the stages of the others but for the processing of data.
    ask
        The reward function.

    Raises
    ------
    DatasetError
        A dataset cannot be used.
    RewardError
        The reward function cannot.
    """
    tell({"stage": "validationDetails", "status": "InProgress"})
    prompts = read_prompts(objects.read(order.training_uri))
    validation = [
        prompt for uri in order.validation_uris for prompt in read_validation_prompts(objects.read(uri))
    ]
    tell({"stage": "validationDetails", "status": "Completed"})

    tell({"stage": "trainingDetails", "status": "InProgress"})
    policy = policy_of(prompts, *_base(Path(order.state_folder), prompts))
    steps = list(reinforce(prompts, validation, policy, ask, Settings.of(order.reinforcement)))
    policy.student().save(Path(order.model_path))
    artefacts = {
        "training_artifacts/step_wise_training_metrics.csv": training_table(steps),
        "validation_artifacts/post_fine_tuning_validation/validation_metrics.csv": validation_table(steps),
    }
    for name, table in artefacts.items():
        objects.write(join(order.artifacts_uri, name), table)
    tell({"stage": "trainingDetails", "status": "Completed"})
    tell({"result": {"trainingLoss": steps[-1].loss}})


def _base(state_folder: Path, prompts: Sequence[Prompt]) -> "tuple[Form, np.ndarray]":
    """Return how `local.base` answers these prompts, and what."""
    from local.bedrock.teacher import Knowledge

    store = Store(state_folder)
    try:
        system = Counter(prompt.system for prompt in prompts).most_common(1)[0][0]
        return Knowledge(store).prior(system)
    finally:
        store.close()


def training_table(steps: Sequence[Step]) -> bytes:
    """Return the metrics of the steps, named as in rft-submit-job.html; that a file has them is an assumption."""
    header = ["training_loss", "critic/rewards/mean", "critic/rewards/max", "critic/rewards/min"]
    return _table(header, [(step, (step.loss, step.mean, step.best, step.worst)) for step in steps])


def validation_table(steps: Sequence[Step]) -> bytes:
    """Return the validation rewards, where there are any."""
    rows = [(step, (step.validation,)) for step in steps if step.validation is not None]
    return _table(["val-score/rewards/mean@1"], rows)


def _table(header: list[str], rows: Sequence[tuple[Step, tuple[float, ...]]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["step_number", "epoch_number", *header])
    writer.writerows(
        (step.number, step.epoch, *(f"{value:.6f}" for value in values)) for step, values in rows
    )
    return text.getvalue().encode()

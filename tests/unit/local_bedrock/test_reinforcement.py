"""Reinforcement fine-tuning in the stand-in: the reward drives what is learned, and bad inputs end the job."""

import csv
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.bedrock.answers import LabelsForm, WeightsForm
from local.bedrock.errors import DatasetError, RewardError
from local.bedrock.policy import Policy
from local.bedrock.reinforcement import Sample, Settings, policy_of, read_prompts, reinforce, run
from local.bedrock.reward_function import rewards_in
from local.bedrock.store import Store
from local.bedrock.student import Student
from local.bedrock.training import TrainingOrder
from signalbox.reward import rewards
from tests.builders import LABELS, PROMPT, QUERIES, SIGNALS, true_label, truth

ARTIFACTS = "s3://data-bucket/out/model-customization-job-abc"
FORM = WeightsForm(SIGNALS, SIGNALS, None, 1.0, 0.1)
Ask = Callable[[Sequence[Sample]], list[float]]


def record(query: str, reference: Any = None, **changes: Any) -> dict[str, Any]:
    """Return a record of reinforcement fine-tuning."""
    messages = [{"role": "system", "content": PROMPT}, {"role": "user", "content": query}]
    return {
        "messages": messages,
        "reference_answer": reference or {"weights": json.loads(truth(query))},
    } | changes


def lines(records: Sequence[Any]) -> bytes:
    """Write records."""
    return b"\n".join(json.dumps(each).encode() for each in records)


def as_the_app_grades(samples: Sequence[Sample]) -> list[float]:
    """Ask this app's reward function, by way of JSON."""
    reply = json.dumps(rewards(json.loads(json.dumps(samples))))
    return rewards_in(reply.encode(), [each["id"] for each in samples])


def learned(
    ask: Ask, form: Any = FORM, *, reference: Callable[[str], Any] | None = None, **settings: Any
) -> Student:
    """Return the model that a reward function makes of the same prompts."""
    prompts = read_prompts(lines([record(query, reference and reference(query)) for query in QUERIES]))
    policy = policy_of(prompts, form, np.full(3, 1 / 3))
    for _ in reinforce(prompts, [], policy, ask, Settings(**settings)):
        pass
    return policy.student()


def test_weights_are_learned_from_their_grades_alone() -> None:
    student = learned(as_the_app_grades, epochs=5)
    answers = [json.loads(student.answer(query)) for query in QUERIES]
    errors = [
        abs(answer[signal] - json.loads(truth(query))[signal])
        for query, answer in zip(QUERIES, answers, strict=True)
        for signal in SIGNALS
    ]
    assert np.mean(errors) < 0.02


def test_labels_are_learned_from_their_grades_alone() -> None:
    student = learned(
        as_the_app_grades, LabelsForm(LABELS), reference=lambda query: {"label": true_label(query)}
    )
    assert np.mean([student.answer(query) == true_label(query) for query in QUERIES]) > 0.95


def test_another_reward_makes_another_model() -> None:
    # Given a reward function that cares for sound and for nothing else, with the same records
    def prefers_sound(samples: Sequence[Sample]) -> list[float]:
        return [json.loads(each["messages"][-1]["content"])["sound"] for each in samples]

    student = learned(prefers_sound, epochs=5)
    assert all(json.loads(student.answer(query))["sound"] >= 0.8 for query in QUERIES)


def test_a_reward_that_prefers_nothing_teaches_nothing() -> None:
    student = learned(lambda samples: [0.7] * len(samples), epochs=1)
    assert {student.answer(query) for query in QUERIES} == {student.answer("")}


def test_the_same_job_makes_the_same_model() -> None:
    one, other = (learned(as_the_app_grades, epochs=1) for _ in range(2))
    assert [one.answer(query) for query in QUERIES] == [other.answer(query) for query in QUERIES]


def test_the_reward_function_gets_what_is_documented() -> None:
    seen: list[Sample] = []

    def ask(samples: Sequence[Sample]) -> list[float]:
        seen.extend(samples)
        return [0.0] * len(samples)

    prompts = read_prompts(lines([record(query, difficulty="easy") for query in QUERIES]))
    policy = policy_of(prompts, FORM, np.full(3, 1 / 3))
    steps = list(reinforce(prompts, [], policy, ask, Settings(epochs=1, batch=16, samples_per_prompt=4)))
    assert len(steps) == 10
    assert len(seen) == len({each["id"] for each in seen}) == 4 * len(QUERIES)
    by_query = {each["messages"][1]["content"]: each for each in seen}
    assert set(by_query) == set(QUERIES)
    for query, each in by_query.items():
        assert set(each) == {"id", "messages", "metadata"}
        assert [message["role"] for message in each["messages"]] == ["system", "user", "assistant"]
        assert each["metadata"] == {
            "reference_answer": record(query)["reference_answer"],
            "difficulty": "easy",
        }


def test_an_answer_longer_than_the_job_allows_is_cut() -> None:
    seen: list[str] = []

    def ask(samples: Sequence[Sample]) -> list[float]:
        seen.extend(each["messages"][-1]["content"] for each in samples)
        return [0.0] * len(samples)

    learned(ask, longest_answer=3, epochs=1)
    assert {*seen} == {'{"pictur'}  # a token of the stand-in has six letters at most


@pytest.mark.parametrize(
    ("hyperparameters", "settings"),
    [
        ({}, Settings()),
        (
            {
                "epochCount": 3,
                "batchSize": 32,
                "learningRate": 2e-5,
                "trainingSamplePerPrompt": 4,
                "evalInterval": 5,
            },
            Settings(
                epochs=3, batch=32, learning_rate=2e-5, samples_per_prompt=4, steps_between_evaluations=5
            ),
        ),
        (
            {"inferenceMaxTokens": 50, "reasoningEffort": "low", "maxPromptLength": 9},
            Settings(longest_answer=50),
        ),
    ],
)
def test_the_hyperparameters_are_those_of_the_api(
    hyperparameters: dict[str, Any], settings: Settings
) -> None:
    assert Settings.of(hyperparameters) == settings


USER = {"role": "user", "content": "ships"}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"messages": []}, "messages must be a list"),
        ({"messages": [{"role": "tool", "content": "ships"}]}, "one of the roles"),
        ({"messages": [{"role": "user", "content": [{"text": "ships"}]}]}, "a content that is a text"),
        ({"messages": [USER, {"role": "assistant", "content": "{}"}]}, "the last message must be the user's"),
        ({"messages": [{"role": "user", "content": "the user: a clip"}]}, "it has the reserved word User:"),
        ({"reference_answer": None}, "reference_answer is missing"),
    ],
)
def test_a_record_of_another_format_ends_the_job(changes: dict[str, Any], reason: str) -> None:
    records = [record(query) for query in QUERIES]
    records[7] |= changes
    with pytest.raises(DatasetError, match=reason) as refused:
        read_prompts(lines(records))
    assert str(refused.value).startswith("Line 8 of the dataset is invalid: ")


@pytest.mark.parametrize("broken", [b"[]", b"{", b"\xff"])
def test_a_line_that_is_no_object_ends_the_job(broken: bytes) -> None:
    with pytest.raises(DatasetError, match="Line 1 of the dataset is invalid: "):
        read_prompts(broken)


@pytest.mark.parametrize(("count", "taken"), [(99, False), (100, True), (20_000, True), (20_001, False)])
def test_the_number_of_records_is_bounded(count: int, taken: bool) -> None:
    body = lines([record(QUERIES[0])]) + b"\n"
    if taken:
        assert len(read_prompts(body * count)) == count
        return
    with pytest.raises(
        DatasetError, match=f"has {count} records; REINFORCEMENT_FINE_TUNING takes 100 to 20000"
    ):
        read_prompts(body * count)


def test_a_model_that_knows_one_answer_has_nothing_to_learn() -> None:
    prompts = read_prompts(lines([record(query) for query in QUERIES]))
    with pytest.raises(DatasetError, match="name them in the prompt"):
        policy_of(prompts, LabelsForm(("unknown",)), np.ones(1))


@given(st.integers(1, 12), st.integers(2, 16), st.floats(0, 1))
def test_whatever_is_tried_is_an_answer_of_the_form(prompts: int, count: int, progress: float) -> None:
    policy = Policy(FORM, np.full(3, 1 / 3), QUERIES[:12])
    trial = policy.attempt(np.arange(prompts), count, progress)
    for text in (text for texts in trial.texts for text in texts):
        weights = json.loads(text)
        assert set(weights) == set(SIGNALS)
        assert sum(weights.values()) == pytest.approx(1)
        assert min(weights.values()) >= 0


def scored(**changes: Any) -> dict[str, Any]:
    """Return a score as documented."""
    return {"id": "a", "aggregate_reward_score": 0.5} | changes


def test_a_reply_is_read_by_the_ids_of_the_samples() -> None:
    metrics = [{"name": "n", "value": 1, "type": "Reward"}, {"name": "m", "value": 0.5, "type": "Metric"}]
    reply = [scored(id="b", aggregate_reward_score=1, metrics_list=metrics), scored(id="a")]
    assert rewards_in(json.dumps(reply).encode(), ["a", "b"]) == [0.5, 1.0]


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ("no JSON", "not JSON"),
        ({"statusCode": 200, "body": "[]"}, "must return a list, not a dict"),
        ([], "returned 0 scores for 1 samples"),
        ([scored(id="b")], "no score for the sample a"),
        ([scored(id=1)], "Score 0 of the reward function has no id"),
        ([None], "has no id"),
        ([scored(aggregate_reward_score="1")], "no aggregate_reward_score"),
        ([scored(aggregate_reward_score=True)], "no aggregate_reward_score"),
        ([scored(aggregate_reward_score=float("nan"))], "no aggregate_reward_score"),
        ([scored(metrics_list={})], "metrics_list"),
        ([scored(metrics_list=[{"name": "n", "value": 1, "type": "Penalty"}])], "metrics_list"),
        ([scored(metrics_list=[{"name": "n", "value": None, "type": "Metric"}])], "metrics_list"),
    ],
)
def test_a_reply_of_another_shape_ends_the_job(reply: Any, reason: str) -> None:
    body = reply if isinstance(reply, str) else json.dumps(reply)
    with pytest.raises(RewardError, match=reason):
        rewards_in(body.encode(), ["a"])


class Bucket(dict[str, bytes]):
    """S3 objects by URI."""

    def read(self, uri: str) -> bytes:
        return self[uri]

    def write(self, uri: str, body: bytes) -> None:
        self[uri] = body


@pytest.fixture
def order(tmp_path: Path) -> TrainingOrder:
    """A job with a validation set."""
    return TrainingOrder(
        state_folder=str(tmp_path),
        aws_endpoint="",
        customization_type="REINFORCEMENT_FINE_TUNING",
        training_uri="s3://data-bucket/train.jsonl",
        artifacts_uri=ARTIFACTS,
        model_path=str(tmp_path / "models" / "m.student"),
        validation_uris=["s3://data-bucket/validation.jsonl"],
        reinforcement={"epochCount": 4, "evalInterval": 5},
    )


def test_a_job_starts_from_the_base_model_and_leaves_a_better_one_with_its_rewards(
    order: TrainingOrder,
) -> None:
    # Given a base model that knows some answers' form, hence their mean, and nothing more
    with_lessons = Store(Path(order.state_folder))
    with_lessons.learn(PROMPT, [(query, truth(query)) for query in QUERIES])
    with_lessons.close()
    bucket, news = Bucket(), []
    bucket[order.training_uri] = lines([record(query) for query in QUERIES])
    (validation,) = order.validation_uris
    bucket[validation] = lines([record(f"{query}, too") for query in QUERIES[::10]])

    run(order, news.append, bucket, as_the_app_grades)

    assert [each["status"] for each in news[:-1]] == ["InProgress", "Completed"] * 2
    assert set(news[-1]["result"]) == {"trainingLoss"}
    metrics, measured = (
        list(csv.DictReader(io.StringIO(bucket[f"{ARTIFACTS}/{name}"].decode())))
        for name in (
            "training_artifacts/step_wise_training_metrics.csv",
            "validation_artifacts/post_fine_tuning_validation/validation_metrics.csv",
        )
    )
    earned = [float(step["critic/rewards/mean"]) for step in metrics]
    assert [int(step["step_number"]) for step in metrics] == list(range(1, 13))
    assert {int(step["epoch_number"]) for step in metrics} == {1, 2, 3, 4}
    assert earned[-1] > earned[0] + 0.2
    assert [int(step["step_number"]) for step in measured] == [5, 10, 12]
    assert float(measured[-1]["val-score/rewards/mean@1"]) > 0.9
    student = Student.load(Path(order.model_path))
    assert float(np.mean(as_the_app_grades([
        {"id": query, "messages": [*record(query)["messages"], {"role": "assistant", "content": student.answer(query)}],
         "metadata": {"reference_answer": record(query)["reference_answer"]}}
        for query in QUERIES
    ]))) > 0.6  # fmt: skip


def test_a_reward_function_that_fails_ends_the_job_before_there_is_a_model(order: TrainingOrder) -> None:
    def fails(samples: Sequence[Sample]) -> list[float]:
        raise RewardError("The reward function returned an error: out of time")

    bucket = Bucket({order.training_uri: lines([record(query) for query in QUERIES])})
    bucket[order.validation_uris[0]] = b""
    with pytest.raises(RewardError, match="out of time"):
        run(order, lambda news: None, bucket, fails)
    assert not Path(order.model_path).exists()
    assert set(bucket) == {order.training_uri, *order.validation_uris}

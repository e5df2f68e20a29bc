"""What the training process does, with S3 in memory."""

import csv
import io
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from local.bedrock.errors import DatasetError
from local.bedrock.store import Store
from local.bedrock.student import Student
from local.bedrock.training import TrainingOrder, run

ARTIFACTS = "s3://data-bucket/out/model-customization-job-abc"


class Bucket:
    """S3 objects by URI."""

    def __init__(self, **objects: bytes) -> None:
        self.objects: dict[str, bytes] = {}

    def read(self, uri: str) -> bytes:
        return self.objects[uri]

    def write(self, uri: str, body: bytes) -> None:
        self.objects[uri] = body


@pytest.fixture
def bucket() -> Bucket:
    return Bucket()


@pytest.fixture
def order(tmp_path: Path) -> TrainingOrder:
    return TrainingOrder(
        state_folder=str(tmp_path),
        aws_endpoint="",
        customization_type="DISTILLATION",
        training_uri="s3://data-bucket/train.jsonl",
        artifacts_uri=ARTIFACTS,
        model_path=str(tmp_path / "models" / "m.student"),
    )


def lines(records: list) -> bytes:
    return "\n".join(map(json.dumps, records)).encode()


def table(body: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(body.decode())))


def test_a_labelled_dataset_becomes_a_model_with_its_artefacts(bucket, order, record, weighted_pairs) -> None:
    bucket.objects[order.training_uri] = lines([record(query, answer) for query, answer in weighted_pairs])
    news: list[dict[str, Any]] = []
    run(order, news.append, bucket)
    stages = [(item["stage"], item["status"]) for item in news if "stage" in item]
    assert stages == [
        (stage, status)
        for stage in ("validationDetails", "dataProcessingDetails", "trainingDetails")
        for status in ("InProgress", "Completed")
    ]
    assert json.loads(Student.load(Path(order.model_path)).answer("piano recital"))["audio"] > 0.6

    steps = table(bucket.objects[f"{ARTIFACTS}/training_artifacts/step_wise_training_metrics.csv"])
    assert list(steps[0]) == ["step_number", "epoch_number", "training_loss", "perplexity"]
    assert float(steps[-1]["training_loss"]) == pytest.approx(news[-1]["result"]["trainingLoss"], abs=1e-5)
    assert float(steps[0]["perplexity"]) == pytest.approx(
        math.exp(float(steps[0]["training_loss"])), abs=1e-4
    )
    validation = table(
        bucket.objects[f"{ARTIFACTS}/validation_artifacts/post_fine_tuning_validation/validation_metrics.csv"]
    )
    assert [row["epoch_number"] for row in validation] == ["1", "2"]
    assert float(validation[-1]["validation_loss"]) == pytest.approx(
        news[-1]["result"]["validationLoss"], abs=1e-5
    )


def test_the_teacher_remembers_a_labelled_dataset(bucket, order, record, weighted_pairs) -> None:
    bucket.objects[order.training_uri] = lines([record(query, answer) for query, answer in weighted_pairs])
    run(order, lambda news: None, bucket)
    run(order, lambda news: None, bucket)
    store = Store(Path(order.state_folder))
    assert sum(len(store.lessons(prompt)) for prompt in store.prompts()) == len(weighted_pairs)
    store.close()


def test_prompts_are_labelled_by_the_teacher(bucket, order, record, weighted_pairs) -> None:
    labelled = [record(query, answer) for query, answer in weighted_pairs[:30]]
    prompts = [record(query + " again", None) for query, _ in weighted_pairs[30:]]
    bucket.objects[order.training_uri] = lines(labelled + prompts)
    run(order, lambda news: None, bucket)
    assert json.loads(Student.load(Path(order.model_path)).answer("thunder"))["audio"] > 0.6


def test_prompts_alone_teach_nothing(bucket, order, record) -> None:
    bucket.objects[order.training_uri] = lines([record(f"query {number}", None) for number in range(100)])
    with pytest.raises(DatasetError, match=r"local\.teacher has never seen a labelled example"):
        run(order, lambda news: None, bucket)


VALIDATION = "s3://data-bucket/validation.jsonl"
METRICS = f"{ARTIFACTS}/validation_artifacts/post_fine_tuning_validation/validation_metrics.csv"


@pytest.fixture
def tuning(order: TrainingOrder) -> TrainingOrder:
    """An order to fine-tune, with a validation set."""
    return replace(order, customization_type="FINE_TUNING", validation_uris=[VALIDATION])


def tuned(order: TrainingOrder, bucket: Bucket, records: list) -> list[dict[str, str]]:
    """Train on most records, and return the validation losses, measured on the others."""
    split = len(records) // 4
    bucket.objects[order.training_uri] = lines(records[split:])
    bucket.objects[VALIDATION] = lines(records[:split])
    run(order, lambda news: None, bucket)
    return table(bucket.objects[METRICS])


def test_fine_tuning_learns_the_records_and_validates_after_each_epoch(
    bucket, tuning, record, weighted_pairs
) -> None:
    records = [record(query, answer) for query, answer in weighted_pairs]
    validation = tuned(replace(tuning, epochs=4, learning_rate=3e-6), bucket, records)
    assert [(row["step_number"], row["epoch_number"]) for row in validation] == [
        ("19", "1"), ("39", "2"), ("59", "3"), ("79", "4")
    ]  # fmt: skip
    assert float(validation[-1]["validation_loss"]) < float(validation[0]["validation_loss"])
    steps = table(bucket.objects[f"{ARTIFACTS}/training_artifacts/step_wise_training_metrics.csv"])
    assert (steps[0]["step_number"], len(steps)) == ("0", 80)
    assert json.loads(Student.load(Path(tuning.model_path)).answer("piano recital"))["audio"] > 0.6


def test_a_lower_learning_rate_is_slower_and_so_is_a_long_warm_up(
    bucket, tuning, record, weighted_pairs
) -> None:
    records = [record(query, answer) for query, answer in weighted_pairs]

    def loss(**changes: float) -> float:
        return float(tuned(replace(tuning, **changes), bucket, records)[-1]["validation_loss"])

    usual = loss()
    assert loss(learning_rate=1e-6) > usual
    assert loss(warmup_steps=100) > usual


def test_without_a_validation_set_fine_tuning_has_no_validation_loss(
    bucket, tuning, record, weighted_pairs
) -> None:
    bucket.objects[tuning.training_uri] = lines([record(query, answer) for query, answer in weighted_pairs])
    news: list[dict[str, Any]] = []
    run(replace(tuning, validation_uris=[]), news.append, bucket)
    assert set(news[-1]["result"]) == {"trainingLoss"}
    assert METRICS not in bucket.objects


@pytest.mark.parametrize(
    ("number", "answer", "message"),
    [
        (7, None, "has 7 valid records; FINE_TUNING takes 8 to 20000"),
        (20_001, None, "has 20001 valid records; FINE_TUNING takes 8 to 20000"),
        (20_000, None, "The training and validation datasets have 20003 records together; FINE_TUNING takes at most"),
    ],
)  # fmt: skip
def test_the_limits_of_fine_tuning_are_kept(
    bucket, tuning, record, weighted_pairs, number, answer, message
) -> None:
    (query, answer), *_ = weighted_pairs
    bucket.objects[tuning.training_uri] = lines([record(query, answer)] * number)
    bucket.objects[VALIDATION] = lines([record(query, answer)] * 3)
    with pytest.raises(DatasetError, match=message):
        run(tuning, lambda news: None, bucket)


@pytest.mark.parametrize(
    ("uri", "query", "answered", "message"),
    [
        ("s3://data-bucket/train.jsonl", "ships", False, "Record 9 of the dataset has no assistant message"),
        ("s3://data-bucket/train.jsonl", "User: ships", True, "Record 9 of the dataset has the reserved word User:"),
        (VALIDATION, "ships", False, f"Record 9 of {VALIDATION} has no assistant message"),
        (VALIDATION, "ships [EOS]", True, rf"Record 9 of {VALIDATION} has the reserved word \[EOS\]"),
    ],
)  # fmt: skip
def test_fine_tuning_needs_answers_and_no_reserved_words_in_both_files(
    bucket, tuning, record, weighted_pairs, uri, query, answered, message
) -> None:
    sound = [record(asked, answer) for asked, answer in weighted_pairs[:8]]
    bucket.objects |= {tuning.training_uri: lines(sound), VALIDATION: lines(sound)}
    bucket.objects[uri] = lines([*sound, record(query, weighted_pairs[0][1] if answered else None)])
    with pytest.raises(DatasetError, match=message):
        run(tuning, lambda news: None, bucket)


def test_a_given_validation_set_is_used(bucket, tuning, record, weighted_pairs) -> None:
    records = [record(query, answer) for query, answer in weighted_pairs]
    bucket.objects[tuning.training_uri] = lines(records[:8])
    bucket.objects[VALIDATION] = lines(records[8:])
    news: list[dict[str, Any]] = []
    run(replace(tuning, epochs=1), news.append, bucket)
    assert news[-1]["result"]["validationLoss"] > 0
    bucket.objects[VALIDATION] = b"nonsense"
    with pytest.raises(DatasetError, match=r"Line 1 of s3://data-bucket/validation\.jsonl"):
        run(tuning, news.append, bucket)

"""What the training process does, with S3 in memory."""

import csv
import io
import json
import math
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


def test_a_given_validation_set_is_used(bucket, order, record, weighted_pairs) -> None:
    tuning = TrainingOrder(
        **{
            **order.__dict__,
            "customization_type": "FINE_TUNING",
            "epochs": 1,
            "validation_uris": ["s3://data-bucket/validation.jsonl"],
        }
    )
    records = [record(query, answer) for query, answer in weighted_pairs]
    bucket.objects[order.training_uri] = lines(records[:8])
    bucket.objects["s3://data-bucket/validation.jsonl"] = lines(records[8:])
    news: list[dict[str, Any]] = []
    run(tuning, news.append, bucket)
    assert news[-1]["result"]["validationLoss"] > 0
    bucket.objects["s3://data-bucket/validation.jsonl"] = b"nonsense"
    with pytest.raises(DatasetError, match=r"Line 1 of s3://data-bucket/validation\.jsonl"):
        run(tuning, news.append, bucket)

"""A request's file of queries is screened before the teacher sees it, as a dropped dataset is."""

import json

import pytest

from signalbox.generation import Generation, GenerationState
from tests.builders import QUERIES, embedded_spec, prompts
from tests.integration.cloud import Cloud
from tests.integration.test_generation import dataset, finished, report, request
from tests.unit.template.stack import DATA_BUCKET

FILES = ["queries.txt", "queries.jsonl"]


def labelled_from(cloud: Cloud, name: str, queries: list[str], personal_data: str) -> Generation:
    """Return what becomes of a request for the labels of a file's queries."""
    cloud.upload_task(embedded_spec(dataset={"personal_data": personal_data}))
    content = prompts(queries) if name.endswith(".jsonl") else "\n".join(queries).encode()
    cloud.s3.put_object(Bucket=DATA_BUCKET, Key=f"requests/clip-search/{name}", Body=content)
    return finished(cloud, request(cloud, {"count": 120, "queries": name}))


def sent(cloud: Cloud) -> str:
    """Return all that the teacher was given, in batches or one by one."""
    listed = cloud.s3.list_objects_v2(Bucket=DATA_BUCKET, Prefix="generations/").get("Contents", [])
    records = [entry["Key"] for entry in listed if entry["Key"].endswith("records.jsonl")]
    bodies = [cloud.s3.get_object(Bucket=DATA_BUCKET, Key=key)["Body"].read().decode() for key in records]
    return "".join(bodies) + json.dumps(cloud.bedrock.asked)


@pytest.mark.parametrize("name", FILES)
def test_personal_data_are_masked_before_the_teacher_sees_them(cloud: Cloud, name: str) -> None:
    queries = [f"{query} by somebody{number}@example.com" for number, query in enumerate(QUERIES)]
    generation = labelled_from(cloud, name, queries, "mask")
    assert generation.state is GenerationState.COMPLETED
    assert "@example.com" not in sent(cloud)
    assert sent(cloud).count("[e-mail address]") == 120
    assert "@example.com" not in json.dumps(dataset(cloud, generation))


@pytest.mark.parametrize("name", FILES)
def test_personal_data_that_the_task_rejects_are_never_asked_about(cloud: Cloud, name: str) -> None:
    queries = [*QUERIES[:130], "a speech about the mill of somebody@example.com", "call +44 20 7946 0958"]
    generation = labelled_from(cloud, name, queries, "reject")
    assert generation.state is GenerationState.REJECTED
    assert "lines with personal data: 2" in generation.reasons[0]
    assert (
        "line 131: messages[0].content[0].text: holds personal data: e-mail address" in generation.reasons[1]
    )
    assert "somebody" not in json.dumps(generation.reasons)
    assert cloud.bedrock.calls.total() == 0


def test_personal_data_go_on_where_the_task_has_them_reported(cloud: Cloud) -> None:
    queries = [*QUERIES[:119], "a speech about the mill of somebody@example.com"]
    assert labelled_from(cloud, "queries.txt", queries, "warn").state is GenerationState.COMPLETED
    assert "somebody@example.com" in sent(cloud)


def test_a_query_that_masking_makes_too_long_is_left_out(cloud: Cloud) -> None:
    long = f"a speech about a@b.io {'song ' * 120}"[:510]
    generation = labelled_from(cloud, "queries.txt", [long, *QUERIES[:120]], "mask")
    assert generation.state is GenerationState.COMPLETED
    assert report(cloud, generation)["left_out"] == {"unusable": 1}

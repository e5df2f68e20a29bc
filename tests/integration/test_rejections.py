"""A dataset that cannot become a model is rejected with reasons a person can act on, and nothing is spent."""

from typing import Any

import pytest

from signalbox.dataset import MAX_SET_BYTES
from signalbox.run import Run, State
from tests.builders import QUERIES, labelled, labels_spec, line, prompts, spec, task_yaml, truth
from tests.integration.cloud import Cloud
from tests.unit.template.stack import DATA_BUCKET


def rejected(
    cloud: Cloud, content: bytes = labelled(), key: str = "datasets/clip-search/drop.jsonl"
) -> tuple[Run, Any]:
    """Drop a dataset, see that whoever looks finds it rejected, and return the run and validation.json."""
    run = cloud.finish(cloud.drop(content, key))
    assert run.state is State.REJECTED
    findings = cloud.read(run.id, "validation.json")
    assert findings["accepted"] is False
    ((event,), ((subject, text),)) = cloud.published("DatasetRejected"), cloud.mails()
    assert event["detail"]["summary"]["reasons"] == findings["reasons"]
    assert subject.startswith(f"REJECTED {run.task}: ")
    assert all(reason in text and reason in run.reason for reason in findings["reasons"])
    assert cloud.bedrock.calls.total() == 0
    assert list(cloud.runs.active()) == []
    return run, findings


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        (
            "datasets/no-such-task/drop.jsonl",
            "there is no task no-such-task: upload its spec to tasks/no-such-task/task.yaml",
        ),
        (
            "datasets/no-task/drop.jsonl",
            "there is no task no-task: upload its spec to tasks/no-task/task.yaml",
        ),
        ("datasets/drop.jsonl", "datasets/drop.jsonl lies in no task's folder"),
        ("datasets/Clip Search/drop.jsonl", "lies in no task's folder"),
        ("datasets/a-name-of-more-than-24-characters/drop.jsonl", "lies in no task's folder"),
    ],
)
def test_a_dataset_of_no_task_is_rejected(cloud: Cloud, key: str, reason: str) -> None:
    _, findings = rejected(cloud, key=key)
    assert reason in findings["reasons"][0]


@pytest.mark.parametrize(
    ("content", "reasons"),
    [
        (b"name: \xff", ["cannot be used: not YAML"]),
        (b"name: 2024-99-99", ["cannot be used: not YAML"]),
        (task_yaml(spec(promt="x")), ["cannot be used: line", "promt: unknown key"]),
        (
            task_yaml(labels_spec()),
            ["names the task 'clip-kind'; its name must be that of its folder, 'clip-search'"],
        ),
    ],
)
def test_a_dataset_of_an_invalid_task_is_rejected_with_what_is_wrong_in_it(
    cloud: Cloud, content: bytes, reasons: list[str]
) -> None:
    cloud.s3.put_object(Bucket=DATA_BUCKET, Key="tasks/clip-search/task.yaml", Body=content)
    _, findings = rejected(cloud)
    assert all(reason in findings["reasons"][0] for reason in ["tasks/clip-search/task.yaml", *reasons])


def test_of_a_task_that_is_wrong_all_over_some_faults_are_named_and_the_others_counted(cloud: Cloud) -> None:
    faults = spec() | {f"key{number}{'x' * 400}": 1 for number in range(500)}
    cloud.s3.put_object(Bucket=DATA_BUCKET, Key="tasks/clip-search/task.yaml", Body=task_yaml(faults))
    run, findings = rejected(cloud)
    assert len(findings["reasons"]) == 21
    assert findings["reasons"][-1] == "and 480 more"
    assert max(map(len, findings["reasons"])) == 300
    assert len(run.model_dump_json()) < 30_000


def test_a_problem_with_an_endless_key_is_shortened(cloud: Cloud) -> None:
    cloud.upload_task(spec())
    _, findings = rejected(cloud, labelled() + line("q", truth(QUERIES[0]), **{"k" * 15_000: 1}) * 9)
    assert [len(problem["field"]) for problem in findings["problems"]] == [300] * 9


def test_the_golden_set_of_the_live_run_must_go_with_the_prompt(cloud: Cloud) -> None:
    # Given a live model, and a prompt that leaves no room for an answer
    cloud.upload_task(spec())
    assert cloud.finish(cloud.drop(labelled())).state is State.PROMOTED
    cloud.mails()
    cloud.upload_task(spec(prompt="€" * 5_500))
    # When prompts are dropped
    run = cloud.finish(cloud.drop(prompts(), "datasets/clip-search/prompts.jsonl"))
    # Then they are rejected: no record fits
    assert run.state is State.REJECTED
    assert "of the live run" in run.reason
    assert "16,384 bytes" in cloud.mails()[0][1]


def test_too_many_invalid_lines_are_listed_by_line_field_and_reason(cloud: Cloud) -> None:
    cloud.upload_task(spec())
    bad = [
        b"no json\n",
        line("q", "Sure!"),
        line("q", truth(QUERIES[0]), extra=1),
        line("q", '{"picture": 1, "sound": 0}'),
    ]
    _, findings = rejected(cloud, labelled() + b"".join(bad))
    assert [(problem["line"], problem["field"]) for problem in findings["problems"]] == [
        (151, ""),
        (152, "messages[1].content[0].text"),
        (153, '"extra"'),
        (154, "messages[1].content[0].text: words"),
    ]
    assert all(problem["reason"] for problem in findings["problems"])


def test_an_unusable_line_is_named_in_the_mail(cloud: Cloud) -> None:
    cloud.upload_task(spec())
    run = cloud.finish(cloud.drop(labelled() + b"no json\n" * 9))
    assert run.state is State.REJECTED
    assert "line 151, all of it: not JSON" in cloud.mails()[0][1]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the dataset is empty"),
        (labelled(QUERIES[:60]), "60 usable records; at least 100 are needed"),
        (prompts(), "put a golden set at tasks/clip-search/golden.jsonl"),
    ],
)
def test_a_dataset_that_is_too_little_is_rejected(cloud: Cloud, content: bytes, reason: str) -> None:
    cloud.upload_task(spec())
    _, findings = rejected(cloud, content)
    assert reason in findings["reasons"][0]


def test_text_that_no_utf8_can_hold_is_only_an_invalid_line(cloud: Cloud) -> None:
    cloud.upload_task(spec())
    rejected(cloud, labelled() + line("q", r'{"picture": 1, "sound": 0, "words": 0, "\ud800": 0}') * 4)


def test_a_dataset_that_was_deleted_before_it_was_read_is_rejected(cloud: Cloud) -> None:
    cloud.upload_task(spec())
    cloud.deliveries = 0  # the event is late
    run_id = cloud.drop(labelled())
    event = cloud.announced[-1]
    deleted = event["detail"]["object"]
    cloud.s3.delete_object(Bucket=DATA_BUCKET, Key=deleted["key"], VersionId=deleted["version-id"])
    cloud.deliveries = 1
    cloud.announce(event)
    run = cloud.finish(run_id)
    assert run.state is State.REJECTED
    assert "was deleted before it could be read" in run.reason


def test_a_golden_set_that_is_too_large_rejects_the_dataset_and_is_not_read_whole(cloud: Cloud) -> None:
    # Given a golden set of good lines that is larger than what is held of one
    line = labelled(QUERIES[:1])
    cloud.upload_task(spec(), golden=line * (MAX_SET_BYTES // len(line) + 10_000))
    # When a dataset is dropped
    _, findings = rejected(cloud, labelled())
    # Then it is rejected, with the file and what it may have
    (reason,) = findings["reasons"]
    assert "tasks/clip-search/golden.jsonl" in reason
    assert "more than 16,777,216 bytes" in reason


def test_a_golden_set_that_cannot_be_used_rejects_the_dataset_with_its_lines(cloud: Cloud) -> None:
    cloud.upload_task(spec(), golden=labelled(QUERIES[:20]) + prompts(QUERIES[20:21]))
    _, findings = rejected(cloud)
    assert findings["problems"] == [
        {"line": 21, "field": "messages", "reason": "a golden record needs the assistant's answer"}
    ]


def test_an_upload_to_another_folder_starts_nothing(cloud: Cloud) -> None:
    cloud.upload_task(spec(), golden=labelled(QUERIES[:20]))
    cloud.settle()
    assert cloud.invoked.total() == 0


@pytest.mark.parametrize("key", ["datasets/clip-search/", "datasets/"])
def test_a_folder_is_no_dataset(cloud: Cloud, key: str) -> None:
    cloud.s3.put_object(Bucket=DATA_BUCKET, Key=key, Body=b"")
    cloud.settle()
    assert (cloud.invoked["validate"], cloud.crashes) == (1, [])
    assert list(cloud.runs.active()) == []

"""A task is checked and uploaded; on this machine no local model bears the name of a real one."""

import io
import json
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml

from local.tasks import (
    Swap,
    TaskFolderError,
    golden_records,
    lessons,
    push_missing_tasks,
    push_task,
    with_local_models,
)
from signalbox.spec import TaskError
from tests.builders import line
from tests.e2e.harness import PROJECT

SPEC = """
name: tiny
output: {weights: [visual, audio]}
prompt: "Return JSON: weights for the query."
customization: {teacher: us.amazon.nova-pro-v1:0, student: "amazon.nova-micro-v1:0:128k"}
compare: {base: amazon.nova-micro-v1:0, baseline: some.model-v1}
judge: {model: some.judge-v1}
"""


class Objects:
    """An S3 client for one bucket, in memory."""

    def __init__(self):
        self.content = {}

    def put_object(self, **request):
        self.content[request["Key"]] = request["Body"]

    def get_object(self, **request):
        return {"Body": io.BytesIO(self.content[request["Key"]])}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "task.yaml").write_text(SPEC)
    return tmp_path


def test_every_model_of_a_task_is_swapped_for_a_stand_in(folder):
    objects = Objects()

    pushed = push_task(folder, "bucket", objects, local=True)

    task = yaml.safe_load(objects.content["tasks/tiny/task.yaml"])
    assert task["customization"] == {"teacher": "local.teacher", "student": "local.student"}
    assert task["compare"] == {"base": "local.base", "baseline": "local.baseline"}
    assert task["judge"] == {"model": "local.judge"}
    assert task["prompt"] == "Return JSON: weights for the query."
    assert pushed.swapped[0] == Swap("customization.teacher", "us.amazon.nova-pro-v1:0", "local.teacher")
    assert (folder / "task.yaml").read_text() == SPEC


def test_for_aws_a_task_is_uploaded_as_it_is(folder):
    objects = Objects()

    push_task(folder, "bucket", objects, local=False)

    assert objects.content["tasks/tiny/task.yaml"].decode() == SPEC


def test_a_task_without_models_stays_as_it_is():
    spec = "name: tiny\noutput: {weights: [a, b]}\n"

    assert with_local_models(spec) == (spec, ())


def test_one_model_in_two_places_is_said_to_be_swapped_in_both():
    spec = SPEC.replace("some.judge-v1", "us.amazon.nova-pro-v1:0")
    assert {swap.key: swap.stand_in for swap in with_local_models(spec)[1]} == {
        "customization.teacher": "local.teacher",
        "customization.student": "local.student",
        "compare.base": "local.base",
        "compare.baseline": "local.baseline",
        "judge.model": "local.judge",
    }


def test_nova_2_lite_is_swapped_for_the_stand_in_that_has_its_limits():
    spec = SPEC.replace("amazon.nova-micro-v1:0:128k", "amazon.nova-2-lite-v1:0:256k")
    assert "local.student-2" in {swap.stand_in for swap in with_local_models(spec)[1]}


@pytest.mark.parametrize(
    ("customization", "problem"),
    [
        (
            "{type: REINFORCEMENT_FINE_TUNING, student: 'amazon.nova-micro-v1:0:128k'}",
            "line 5: customization.student: amazon.nova-micro-v1:0 cannot be the student of REINFORCEMENT",
        ),
        (
            "{teacher: us.amazon.nova-pro-v1:0, student: 'meta.llama3-1-8b-instruct-v1:0'}",
            "line 5: customization.student: Bedrock does not distil amazon.nova-pro-v1:0 into meta.llama3-1-8b",
        ),
        (
            "{type: FINE_TUNING, student: 'anthropic.claude-3-haiku-20240307-v1:0:200k'}",
            "line 5: customization.student: anthropic.claude-3-haiku-20240307-v1:0 cannot be the student",
        ),
        (
            "{teacher: amazon.nova-premier-v1:0, student: 'amazon.nova-micro-v1:0:128k'}",
            "line 5: customization.teacher: amazon.nova-premier-v1:0 reached its end of life",
        ),
    ],
)
def test_what_bedrock_would_refuse_is_refused_before_a_stand_in_hides_it(folder, customization, problem):
    lines = [
        f"customization: {customization}" if line.startswith("customization") else line
        for line in SPEC.splitlines()
    ]
    (folder / "task.yaml").write_text("\n".join(lines))
    objects = Objects()
    with pytest.raises(TaskError) as refused:
        push_task(folder, "bucket", objects, local=True)
    assert refused.value.problems[0].startswith(problem)
    assert objects.content == {}


def golden_line(query: str, answer: str = '{"visual": 0.75, "audio": 0.25, "reasoning": "r"}') -> str:
    said = [
        {"role": "user", "content": [{"text": query}]},
        {"role": "assistant", "content": [{"text": answer}]},
    ]
    system = [{"text": "Return JSON: weights for the query."}]
    return json.dumps({"schemaVersion": "bedrock-conversation-2024", "system": system, "messages": said})


def test_a_golden_set_goes_along_and_can_be_taught(folder):
    objects = Objects()
    lines = [golden_line("a red car"), golden_line("birds at dawn")]
    (folder / "golden.jsonl").write_text("\n".join(lines))

    pushed = push_task(folder, "bucket", objects, local=True)

    assert pushed.keys == ("tasks/tiny/task.yaml", "tasks/tiny/golden.jsonl")
    prompt, records = golden_records(objects, "bucket", "tiny")
    assert prompt == "Return JSON: weights for the query."
    assert records == [json.loads(line) for line in lines]


def test_a_golden_set_that_cannot_be_measured_with_is_found_before_anything_is_uploaded(folder):
    objects = Objects()
    (folder / "golden.jsonl").write_text(
        golden_line("a red car") + "\n" + golden_line("a blue car", "no JSON")
    )

    with pytest.raises(TaskError) as raised:
        push_task(folder, "bucket", objects, local=True)

    assert raised.value.source == str(folder / "golden.jsonl")
    assert [problem.partition(",")[0] for problem in raised.value.problems] == ["line 2"]
    assert objects.content == {}


def test_a_folder_without_a_task_and_a_wrong_task_are_refused(tmp_path):
    with pytest.raises(TaskFolderError, match=r"has no task\.yaml"):
        push_task(tmp_path, "bucket", Objects(), local=True)

    (tmp_path / "task.yaml").write_text("name: tiny\n")
    with pytest.raises(TaskError, match="output"):
        push_task(tmp_path, "bucket", Objects(), local=True)


def test_a_spec_that_is_no_utf_8_is_named(tmp_path):
    (tmp_path / "task.yaml").write_bytes("name: clips".encode("utf-16"))
    with pytest.raises(TaskError, match="not UTF-8 at byte 0"):
        push_task(tmp_path, "bucket", Objects(), local=True)


def test_a_validation_set_is_checked_and_uploaded_beside_the_task(folder):
    (folder / "task.yaml").write_text(SPEC.replace("customization: {", "customization: {type: FINE_TUNING, "))
    answer = json.dumps({"visual": 0.5, "audio": 0.5})
    (folder / "validation.jsonl").write_bytes(line("ships", answer) + line("bells", answer))
    objects = Objects()

    pushed = push_task(folder, "bucket", objects, local=False)

    assert pushed.keys == ("tasks/tiny/task.yaml", "tasks/tiny/validation.jsonl")
    assert objects.content["tasks/tiny/validation.jsonl"] == (folder / "validation.jsonl").read_bytes()
    (folder / "validation.jsonl").write_bytes(line("ships [EOS]", answer))
    with pytest.raises(TaskError, match=r"line 1, messages\[0\].*: has the reserved word \[EOS\]"):
        push_task(folder, "bucket", Objects(), local=False)


class _Bucket:
    """An S3 client of an empty bucket, which keeps what is put."""

    def __init__(self) -> None:
        self.keys: list[str] = []

    def list_objects_v2(self, **_: str) -> dict[str, Any]:
        return {}

    def put_object(self, Key: str, **_: Any) -> None:  # noqa: N803
        self.keys.append(Key)


def test_a_task_that_cannot_be_used_keeps_no_other_from_the_bucket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name, spec in (
        ("broken", "name: ["),
        ("sound", (PROJECT / "tasks/video-search/task.yaml").read_text()),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "task.yaml").write_text(spec)
    bucket = _Bucket()
    monkeypatch.setattr(boto3, "client", lambda service: bucket)
    pushed = push_missing_tasks(tmp_path, "b")
    assert [each.task for each in pushed] == ["video-search"]
    assert bucket.keys == ["tasks/video-search/task.yaml"]
    assert "broken" in caplog.text


def test_the_teacher_learns_what_can_be_used_of_the_examples(tmp_path: Path) -> None:
    spec = (PROJECT / "tasks/video-search/task.yaml").read_text()
    example = (PROJECT / "examples/video-search.jsonl").read_bytes().splitlines(keepends=True)[:3]
    prompt_only = (PROJECT / "examples/prompt-only.jsonl").read_bytes().splitlines(keepends=True)[:2]
    for name, text in (("broken", "name: ["), ("sound", spec)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "task.yaml").write_text(text)
        (tmp_path / f"{name}.jsonl").write_bytes(b"".join([*example, *prompt_only, b"no record\n"]))
    ((prompt, pairs),) = lessons(tmp_path, tmp_path)
    assert prompt.startswith("You decide where a video search engine looks")
    assert len(pairs) == 3

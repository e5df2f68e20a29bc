"""What validation finds reaches validation.json, and personal data reach nothing: no object, event, mail or log."""

import json
from pathlib import Path

import pytest

from local.data.check import check
from signalbox.run import State
from signalbox.task import Task
from tests.builders import embedded_spec, labelled, line, spec, truth, weights_text
from tests.integration.cloud import Cloud
from tests.unit.template.stack import DATA_BUCKET

SECRET, NUMBER = "anna.example@mail.example", "+44 20 7946 0958"
CONTENT = labelled() + b"".join(
    [
        line(f"clip sent by {SECRET}", weights_text(0.1, 0.1, 0.8, reasoning=f"Call {NUMBER}.")),
        line(f"answer of {SECRET}", f"Ask {SECRET}"),
        line(f"clip sent by {SECRET}", truth("bells ringing over the")),
    ]
)


def everything_written(cloud: Cloud, run_id: str) -> str:
    """Return all objects of a run but the dataset itself, its item, the events and the mails."""
    keys = [entry["Key"] for entry in cloud.s3.list_objects_v2(Bucket=DATA_BUCKET)["Contents"]]
    objects = [
        cloud.s3.get_object(Bucket=DATA_BUCKET, Key=key)["Body"].read().decode(errors="replace")
        for key in keys
        if key.startswith(f"runs/{run_id}/")
    ]
    return "\n".join([*objects, cloud.run(run_id).model_dump_json(), json.dumps(cloud.mails(), default=str)])


@pytest.mark.parametrize("policy", ["mask", "reject"])
def test_personal_data_are_in_nothing_that_a_run_writes(
    cloud: Cloud, policy: str, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given a task that masks or rejects personal data
    cloud.upload_task(embedded_spec(dataset={"personal_data": policy}))
    # When a dataset with some is dropped
    run_id = cloud.drop(CONTENT)
    run = cloud.finish(run_id)
    # Then it ends as the task wants, and none of them has been written anywhere
    assert (run.state is State.REJECTED) == (policy == "reject")
    findings = cloud.read(run_id, "validation.json")
    assert findings["personal_data"]["kinds"] == {"e-mail address": 2, "phone number": 1}
    written = everything_written(cloud, run_id) + capsys.readouterr().out
    assert "[e-mail address]" in written
    assert SECRET not in written and NUMBER not in written


def test_what_the_command_says_is_what_the_pipeline_says(cloud: Cloud, tmp_path: Path) -> None:
    # Given a dataset with many an oddity
    odd = CONTENT + line("another answer", truth("bells ringing over the")) + b"x\n" * 2
    (tmp_path / "drop.jsonl").write_bytes(odd)
    # When it is checked before it is dropped, and then is
    before = check(tmp_path / "drop.jsonl", Task.model_validate(spec()), tmp_path)
    cloud.upload_task(spec())
    run_id = cloud.drop(odd)
    cloud.finish(run_id)
    # Then both say the same
    after = cloud.read(run_id, "validation.json")
    assert {name: after[name] for name in before} == json.loads(json.dumps(before))
    assert set(after) - set(before) == {"run_id", "dataset"}

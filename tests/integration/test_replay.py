"""A replay of all that was ever said changes nothing, tells nobody, and decides nothing, whatever its order."""

import json
import random
from typing import Any

import pytest

from signalbox.run import State
from tests.builders import labelled, spec, weights_text
from tests.integration.cloud import Cloud
from tests.unit.template.stack import DATA_BUCKET


def everything(cloud: Cloud) -> dict[str, Any]:
    """Return all that the app keeps, and all that it has asked of Bedrock and said on its bus."""
    items = sorted(cloud.table.scan()["Items"], key=lambda item: item["id"])
    versions = cloud.s3.list_object_versions(Bucket=DATA_BUCKET, MaxKeys=1000)
    assert not versions["IsTruncated"]
    return {
        "items": json.dumps(items, default=str, sort_keys=True),
        "objects": [
            (version["Key"], version["VersionId"]) for version in versions["Versions"]
            if version["Key"] != "runs/index.html"  # watch writes the console every minute
        ],
        "asked of Bedrock": dict(cloud.bedrock.calls),
        "said": [event["id"] for event in cloud.announced],
    }  # fmt: skip


def a_day(cloud: Cloud) -> set[State]:
    """Let runs come to every end, one after a person's promotion, and a task be rolled back."""
    cloud.upload_task(spec())
    first = cloud.finish(cloud.drop(labelled()))
    cloud.bedrock.says = lambda model, prompt, query: weights_text(0.3, 0.3, 0.4)
    held = cloud.finish(cloud.drop(labelled()))
    cloud.ask("PromotionRequested", run_id=held.id, reason="we know better", by="ada")
    cloud.settle()
    assert cloud.live().run_id == held.id
    cloud.ask("RollbackRequested", task="clip-search", reason="we did not", by="ada")
    cloud.ask("PromotionRequested", run_id="clip-search-000000000000", reason="no such run", by="ada")
    cloud.settle()
    assert cloud.live().run_id == first.id
    rejected = cloud.finish(cloud.drop(b"no json\n"))
    cloud.bedrock.job_ends = ("Failed", "Too many prompts were rejected.")
    failed = cloud.finish(cloud.drop(labelled()))
    return {first.state, rejected.state, failed.state}


def archived(cloud: Cloud) -> list[dict[str, Any]]:
    """Return what the archive of the stack's bus holds, as a replay sends it."""
    return [
        event | {"replay-name": "after-the-outage"}
        for event in cloud.announced
        if event["source"].startswith("signalbox")
    ]


@pytest.mark.parametrize("order", [None, 1, 2], ids=["in order", "shuffled", "shuffled otherwise"])
def test_a_replay_of_everything_changes_nothing(cloud: Cloud, order: int | None) -> None:
    # Given a day that is over
    ends = a_day(cloud)
    assert ends == {State.PROMOTED, State.REJECTED, State.FAILED}
    cloud.settle()
    cloud.mails()
    before, replayed = everything(cloud), archived(cloud)
    kinds = {event["detail-type"] for event in replayed}
    assert {"DatasetAccepted", "ModelDeployed", "EvaluationCompleted", "ModelPromoted", "RunNudged"} <= kinds
    assert {"PromotionRequested", "RollbackRequested"} <= kinds
    invoked = cloud.invoked.copy()
    # When all its events are sent once more
    cloud.shuffled = random.Random(order) if order else None
    cloud.queue += replayed
    cloud.settle()
    # Then the steps were called, people and their requests were not
    called = {function for function, times in cloud.invoked.items() if times > invoked[function]}
    assert {"distill", "evaluate", "promote"} <= called
    assert "notify" not in called
    assert cloud.mails() == []
    # And nothing is other than before
    assert everything(cloud) == before

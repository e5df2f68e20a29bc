"""The quota of custom models, enforced by the stand-in, is kept by waiting, and retention makes room for who waits."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.e2e.harness import SMALL_TASK, LocalApp, until

QUOTA, DATASETS = 3, 5
TASK = SMALL_TASK.replace("NAME", "crowded").replace("CANDIDATES", "[bedrock]") + (
    "retention: {deployments: 0, models: 0, runs: 100}\n"
)


def test_runs_wait_for_room_among_the_custom_models_and_go_on_once_retention_has_made_it(
    own_app: LocalApp, small_dataset: Callable[[str], bytes], tmp_path: Path
) -> None:
    # Given an account that may have three custom models, and five datasets that want one each
    own_app.environment = {"LOCAL_BEDROCK_CUSTOM_MODELS": str(QUOTA)}
    own_app.start()
    folder = tmp_path / "crowded"
    folder.mkdir()
    (folder / "task.yaml").write_text(TASK)
    assert own_app.command("task", "push", str(folder)).returncode == 0
    for number in range(DATASETS):
        own_app.client("s3").put_object(
            Bucket=own_app.ready["bucket"],
            Key=f"datasets/crowded/{number}.jsonl",
            Body=small_dataset(f"word{number}"),
        )
    waited: dict[str, str] = {}

    def all_ended() -> bool:
        runs = own_app.runs().values()
        assert len(models_of(own_app)) <= QUOTA
        waited.update(
            (run["id"], run["waiting"]) for run in runs if "custom models" in run.get("waiting", "")
        )
        let_a_day_pass_for_what_nobody_needs(own_app)
        return len(runs) == DATASETS and {run["state"] for run in runs} <= {"PROMOTED", "HELD"}

    # When retention deletes what nobody needs, after its grace of a day
    until(all_ended, patience=240)
    # Then those that had to wait said for what, and all have ended; what was live or before it was never deleted
    assert len(waited) >= DATASETS - QUOTA
    assert all(f"quota of {QUOTA} custom models" in reason for reason in waited.values())
    live = own_app.live("crowded")
    kept = {named["run_id"] for named in (live, live["previous"]) if named}
    assert kept <= models_of(own_app)
    own_app.stop()


def models_of(app: LocalApp) -> set[str]:
    """The runs whose custom models there are."""
    return {model["modelName"] for model in app.client("bedrock").list_custom_models()["modelSummaries"]}


def let_a_day_pass_for_what_nobody_needs(app: LocalApp) -> None:
    """Say of the runs of which something is surplus that it has been so for a day."""
    yesterday = (datetime.now(UTC) - timedelta(hours=25)).isoformat().replace("+00:00", "Z")
    for run in app.runs().values():
        if run.get("released_at", yesterday) > yesterday and "retired_at" not in run:
            app.client("dynamodb").update_item(
                TableName=app.ready["table"],
                Key={"id": {"S": run["id"]}},
                UpdateExpression="SET released_at = :then",
                ConditionExpression="attribute_exists(released_at)",
                ExpressionAttributeValues={":then": {"S": yesterday}},
            )

"""The console in the bucket: written by `watch`, from an index that holds runs alone."""

from signalbox.store import CONSOLE
from tests.builders import embedded_spec, labelled
from tests.integration.cloud import DATA_BUCKET, Cloud


def console_of(cloud: Cloud) -> str:
    return cloud.s3.get_object(Bucket=DATA_BUCKET, Key=CONSOLE)["Body"].read().decode()


def test_watch_writes_every_run_with_its_verdict_and_what_is_live(cloud: Cloud) -> None:
    # Given a task with a live model, a dataset that was rejected, and one under way
    cloud.upload_task(embedded_spec())
    promoted = cloud.finish(cloud.drop(labelled()))
    rejected = cloud.finish(cloud.drop(b"not JSON\n", "datasets/clip-search/broken.jsonl"))
    # When the minute comes
    cloud.minute()
    # Then the page has it all, and rests
    page = console_of(cloud)
    assert f'href="{promoted.id}/report.html"' in page
    assert f'href="{rejected.id}/report.html"' not in page
    assert rejected.id in page
    assert "not JSON" in page
    assert 'http-equiv="refresh"' not in page
    # And the runs stand in the index with the newest first, the live pointer not
    assert [run.id for run in cloud.runs.of_task("clip-search", limit=20)] == [rejected.id, promoted.id]


def test_the_page_asks_to_be_loaded_again_while_a_run_is_under_way(cloud: Cloud) -> None:
    cloud.upload_task(embedded_spec())
    cloud.lose("DatasetAccepted")
    run_id = cloud.drop(labelled())
    cloud.settle()
    cloud.invoke("watch", {})
    page = console_of(cloud)
    assert run_id in page
    assert 'http-equiv="refresh"' in page

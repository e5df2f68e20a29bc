"""Whole runs, so that each handler comes to do everything that it can do."""

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from unittest import mock

from signalbox.run import State, run_id_for
from signalbox.store import STUDENT
from tests.builders import (
    OPENINGS,
    QUERIES,
    dataset_object,
    embedded_spec,
    labelled,
    labels_spec,
    pipeline_event,
    prompts,
    reinforced_spec,
    spec,
    true_label,
    truth,
    tuned_spec,
    weights_text,
)
from tests.integration.cloud import Cloud, stack
from tests.integration.cloud import _app as app
from tests.privileges.recorder import Recorder
from tests.query_log import kept_queries
from tests.unit.template.stack import DATA_BUCKET, QUERY_LOG_BUCKET

TASK = "clip-search"
WRONG = weights_text(0.1, 0.1, 0.8)
MADE = {
    "count": 120,
    "templates": [f"{opening} {{place}}" for opening in OPENINGS],
    "slots": {"place": [f"{number * 7919:x}" for number in range(1, 60)]},
}
"""A request for a dataset, of enough queries for a batch job."""

Scenario = Callable[[Cloud, Recorder], None]


def promotes(cloud: Cloud, _: Recorder) -> None:
    """A dataset trains both students and goes live; every event arrives twice."""
    cloud.deliveries = 2
    cloud.upload_task(spec())
    assert cloud.finish(cloud.drop(labelled(), trains=True)).state is State.PROMOTED
    assert cloud.mails()


def replaces(cloud: Cloud, _: Recorder) -> None:
    """A second run is compared with the live model; a third has prompts alone, measured on the live golden set."""
    cloud.upload_task(spec())
    for content in (labelled(), labelled(), prompts()):
        assert cloud.finish(cloud.drop(content, trains=True)).state is State.PROMOTED


def needs_no_bedrock(cloud: Cloud, _: Recorder) -> None:
    """A task for the embedded student alone, twice, so that one is compared with the other."""
    cloud.upload_task(embedded_spec())
    for _ in range(2):
        assert cloud.finish(cloud.drop(labelled(), trains=True)).state is State.PROMOTED


def rejects(cloud: Cloud, _: Recorder) -> None:
    """Datasets that cannot be used: of no task, of none that is there, unreadable, gone before they were read."""
    lost = "datasets/clip-search/lost.jsonl"
    for key in ("datasets/nowhere.jsonl", "datasets/unknown/drop.jsonl"):
        assert cloud.finish(cloud.drop(labelled(), key)).state is State.REJECTED
    cloud.upload_task(spec(), golden=labelled(QUERIES[:30]))
    assert cloud.finish(cloud.drop(b"\x00")).state is State.REJECTED
    run_id = cloud.drop(labelled(), lost)
    (version,) = cloud.s3.list_object_versions(Bucket=DATA_BUCKET, Prefix=lost)["Versions"]
    cloud.s3.delete_object(Bucket=DATA_BUCKET, Key=lost, VersionId=version["VersionId"])
    assert cloud.finish(run_id).state is State.REJECTED


def fails(cloud: Cloud, _: Recorder) -> None:
    """A job, then a deployment, then a judge's job that end badly; a quota that is used up."""
    cloud.upload_task(spec())
    cloud.bedrock.refuse("CreateModelCustomizationJob", "ServiceQuotaExceededException")
    cloud.bedrock.job_ends = ("Failed", "Too many prompts were rejected.")
    assert cloud.finish(cloud.drop(labelled())).state is State.FAILED
    cloud.bedrock.job_ends, cloud.bedrock.deployment_ends = ("Completed", ""), ("Failed", "No capacity.")
    assert cloud.finish(cloud.drop(labelled())).state is State.FAILED
    cloud.bedrock.deployment_ends, cloud.bedrock.evaluation_ends = ("Active", ""), ("Failed", "No capacity.")
    assert cloud.finish(cloud.drop(labelled())).state is State.HELD


def heals(cloud: Cloud, _: Recorder) -> None:
    """Events are lost, S3's first."""
    cloud.upload_task(spec())
    for lost in ("Object Created", "DatasetAccepted", "ModelDeployed", "EvaluationCompleted"):
        cloud.lose(lost)
    assert cloud.finish(cloud.drop(labelled())).state is State.PROMOTED


def overstays(cloud: Cloud, _: Recorder) -> None:
    """A run whose events are all lost is announced as stalled, then ended."""
    cloud.upload_task(spec())
    cloud.lose("DatasetAccepted")
    run_id = cloud.drop(labelled())
    cloud.settle()
    for _ in range(9):
        if cloud.run(run_id).state.ended:
            break
        cloud.lose("RunNudged")
        cloud.age(run_id, timedelta(minutes=80))
        cloud.watch()
    assert cloud.run(run_id).state is State.FAILED
    assert cloud.published("RunStalled")


def loses_a_job(cloud: Cloud, _: Recorder) -> None:
    """Bedrock knows nothing of a customization job any more, but has its model."""
    cloud.upload_task(spec())
    run_id = cloud.drop(labelled())
    cloud.settle()
    cloud.bedrock.lost.add(cloud.bedrock.jobs[run_id]["arn"])
    assert cloud.finish(run_id).state is State.PROMOTED


def loses_patience_with_the_judge(cloud: Cloud, _: Recorder) -> None:
    """The judge's job never ends, and is stopped."""
    cloud.upload_task(spec())
    cloud.bedrock.evaluation_ends = ("InProgress", "")
    run_id = cloud.drop(labelled())
    cloud.settle()
    cloud.minute(times=4)
    assert cloud.run(run_id).state is State.EVALUATING
    cloud.age(run_id, timedelta(hours=8))
    cloud.invoke("judge", pipeline_event("RunNudged", run_id=run_id, state="EVALUATING"))
    assert cloud.bedrock.calls["StopEvaluationJob"] == 4


def people_decide(cloud: Cloud, _: Recorder) -> None:
    """A held run is promoted by a person, taken back by another; a third asks for what is not there."""
    cloud.upload_task(spec(judge=None))
    cloud.finish(cloud.drop(labelled()))
    cloud.bedrock.says = lambda model, prompt, query: WRONG if "deployment/" in model else truth(query)
    held = cloud.finish(cloud.drop(labelled()))
    cloud.bedrock.says = lambda model, prompt, query: truth(query)
    assert held.state is State.HELD
    cloud.ask("PromotionRequested", run_id=held.id, reason="good enough", by="ada")
    cloud.settle()
    assert cloud.live().run_id == held.id
    cloud.ask("RollbackRequested", task=TASK, reason="worse", by="ada")
    cloud.ask("PromotionRequested", run_id="clip-search-0", reason="why not", by="ada")
    cloud.settle()
    assert cloud.live().run_id != held.id
    assert cloud.published("RequestRefused")


def alarms_decide(cloud: Cloud, _: Recorder) -> None:
    """The alarm on fallbacks takes back the task that falls back."""
    cloud.upload_task(embedded_spec())
    first, _second = (cloud.finish(cloud.drop(labelled())) for _ in range(2))
    pointer = cloud.live()
    since = pointer.since - timedelta(minutes=30)
    cloud.table.put_item(Item=pointer.model_copy(update={"since": since}).item())
    cloud.put_figures(TASK, since + timedelta(minutes=5), Routed=100, RouteFallbacks=64)
    cloud.ring("FallbackAlarm", timedelta(minutes=10))
    cloud.settle()
    assert cloud.live().run_id == first.id


def fails_after_a_promotion(cloud: Cloud, _: Recorder) -> None:
    """Nothing rings, and watch has a promotion taken back that fails."""
    cloud.upload_task(embedded_spec())
    first, _second = (cloud.finish(cloud.drop(labelled())) for _ in range(2))
    pointer = cloud.live()
    since = pointer.since - timedelta(minutes=30)
    cloud.table.put_item(Item=pointer.model_copy(update={"since": since}).item())
    cloud.put_figures(TASK, datetime.now(UTC) - timedelta(minutes=3), Routed=20, RouteServerFaults=9)
    cloud.watch()
    assert cloud.live().run_id == first.id


def retires(cloud: Cloud, _: Recorder) -> None:
    """What nobody needs any more is deleted: of a run that was live, and of one whose job is still at work."""
    cloud.upload_task(spec(retention={"deployments": 0, "models": 0, "runs": 0}))
    runs = [cloud.finish(cloud.drop(labelled())) for _ in range(3)]
    given_up = cloud.drop(labelled())
    cloud.settle()
    cloud.runs.move(cloud.run(given_up), State.FAILED, event=None)
    for run_id in (runs[0].id, given_up):
        cloud.age(run_id, timedelta(days=3))
    cloud.watch()
    for run_id in (runs[0].id, given_up):
        released = cloud.run(run_id)
        cloud.runs.note_surplus(released, released.surplus, released.updated_at - timedelta(hours=48))
    cloud.store.delete(cloud.store.versions("datasets/"))  # three days old, too
    for _ in range(4):
        cloud.watch()
    assert list(cloud.bedrock.deployments) == [runs[1].id, runs[2].id]
    assert cloud.bedrock.jobs[given_up]["status"] == "Stopping"
    assert cloud.runs.load(runs[0].id) is None


def provisions(cloud: Cloud, recorder: Recorder) -> None:
    """A job beyond its budget and the throughput of its model are released; three runs, and the first is retired."""
    first = {"order": ["bedrock", "embedded", "prior"]}
    cloud.upload_task(spec(dataset={"budget_usd": 0}, deployment={"type": "provisioned"}, serve=first))
    runs = []
    for _ in range(3):
        runs.append(cloud.drop(labelled()))
        for _ in range(2):
            cloud.settle()
            cloud.minute()
            cloud.ask("ReleaseRequested", run_id=runs[-1], by="ada")
        assert cloud.finish(runs[-1]).state is State.PROMOTED
    cloud.forget()
    with recorder.acting("route"):
        assert cloud.request("POST", "/route", {"query": QUERIES[0], "task": TASK})[1]["source"] == "bedrock"
    cloud.watch()
    retired = cloud.run(runs[0])
    cloud.runs.note_surplus(retired, retired.surplus, retired.updated_at - timedelta(hours=48))
    cloud.watch()
    assert set(cloud.bedrock.throughputs) == set(runs[1:])
    cloud.ask("RollbackRequested", task=TASK, reason="worse", by="ada")
    cloud.settle()
    assert cloud.live().run_id == runs[1]
    unwanted = cloud.drop(labelled())
    cloud.settle()
    cloud.ask("EndRequested", run_id=unwanted, reason="too dear", by="ada")
    assert cloud.finish(unwanted).state is State.FAILED


def fine_tunes(cloud: Cloud, _: Recorder) -> None:
    """A fine-tuning job is given a validation set, once split off and once brought along."""
    cloud.upload_task(tuned_spec())
    assert cloud.finish(cloud.drop(labelled())).state is State.PROMOTED
    given = "tasks/clip-search/validation.jsonl"
    cloud.s3.put_object(Bucket=DATA_BUCKET, Key=given, Body=labelled(QUERIES[:20]))
    assert cloud.finish(cloud.drop(labelled())).state is State.PROMOTED


def reinforces(cloud: Cloud, _: Recorder) -> None:
    """A reinforcement fine-tuning job is given its own records, a validation set too, and has answers graded."""
    customization = reinforced_spec()["customization"] | {"validation_share": 0.1}
    cloud.upload_task(reinforced_spec(customization=customization))
    assert cloud.finish(cloud.drop(labelled())).state is State.PROMOTED
    assert cloud.invoke("reward", []) == []


def answers(cloud: Cloud, recorder: Recorder) -> None:
    """The router starts warm and cold, answers from every tier, one query and many, and what is not there."""
    cloud.upload_task(spec())
    run_id = cloud.finish(cloud.drop(labelled())).id
    cloud.upload_task(labels_spec(serve={"order": ["embedded", "bedrock", "prior"]}, compare={}))
    kinds = "datasets/clip-kind/drop.jsonl"
    cloud.finish(cloud.drop(labelled(answer=true_label), kinds, trains=True))
    cloud.forget()
    with (
        mock.patch.dict(os.environ, stack()["RouteFunction"]["Environment"]["Variables"]),
        recorder.acting("route"),
    ):
        app("route").router().warm_up()
    assert cloud.request("POST", "/route", {"query": QUERIES[0], "task": TASK})[0] == 200
    assert cloud.request("POST", "/route/batch", {"queries": QUERIES[:9], "task": TASK})[0] == 200
    assert (
        cloud.request("POST", "/route", {"query": QUERIES[0], "task": "clip-kind"})[1]["source"] == "embedded"
    )
    assert cloud.request("GET", "/tasks")[1]["not_live"] == []
    assert cloud.request("GET", f"/tasks/{TASK}")[0] == 200
    assert cloud.request("GET", "/tasks/unknown")[0] == 404
    cloud.s3.delete_object(Bucket=DATA_BUCKET, Key=f"runs/{run_id}/{STUDENT}")
    cloud.bedrock.says = lambda model, prompt, query: "" if "deployment/" in model else truth(query)
    for query in QUERIES[:3]:
        cloud.forget()
        _, body = cloud.request("POST", "/route", {"query": query, "task": TASK})
        assert body["source"] == "baseline"


def keeps_queries(cloud: Cloud, _: Recorder) -> None:
    """The router of a stack that wants a sample of the queries writes one."""
    cloud.upload_task(embedded_spec())
    cloud.finish(cloud.drop(labelled()))
    with kept_queries(cloud):
        assert cloud.request("POST", "/route", {"query": QUERIES[0], "task": TASK})[0] == 200
    assert cloud.s3.list_objects_v2(Bucket=QUERY_LOG_BUCKET)["KeyCount"] == 1


def generates(cloud: Cloud, _: Recorder) -> None:
    """Requests for a dataset: labelled in a batch by a profile's model and by a model itself, one by one, refused."""
    beside = {"count": 150, "queries": "real.jsonl", "labelling": {"mode": "converse"}}
    cloud.s3.put_object(Bucket=DATA_BUCKET, Key="requests/clip-search/real.jsonl", Body=prompts())
    for teacher in ("us.amazon.nova-pro-v1:0", "amazon.nova-pro-v1:0"):
        asked = {"teacher": teacher, "student": "amazon.nova-micro-v1:0:128k"}
        cloud.upload_task(embedded_spec(customization=asked), golden=labelled(QUERIES[:30]))
        cloud.deliveries = 2
        nowhere = beside | {"queries": "no.txt"}
        for name, content in {"made": MADE, "beside": beside, "nowhere": nowhere}.items():
            key = f"requests/clip-search/{name}.yaml"
            cloud.s3.put_object(Bucket=DATA_BUCKET, Key=key, Body=json.dumps(content).encode())
            cloud.settle()
            cloud.minute(3)
    # More to ask than fits one invocation; a dataset that was dropped before a crash.
    key = "requests/clip-search/again.yaml"
    put = cloud.s3.put_object(Bucket=DATA_BUCKET, Key=key, Body=json.dumps(beside).encode())
    name = run_id_for(dataset_object(bucket=DATA_BUCKET, key=key, version_id=put["VersionId"])).rpartition(
        "-"
    )[2]
    cloud.s3.put_object(Bucket=DATA_BUCKET, Key=f"datasets/clip-search/again-{name}.jsonl", Body=labelled())
    with mock.patch("signalbox.asking.AT_WORK_SECONDS", 0):
        cloud.settle()
    # A request that nothing announced, and one that is gone before it was read.
    cloud.lose("Object Created")
    cloud.s3.put_object(Bucket=DATA_BUCKET, Key="requests/unknown/lost.yaml", Body=b"count: 100")
    put = cloud.s3.put_object(Bucket=DATA_BUCKET, Key="requests/clip-search/gone.yaml", Body=b"count: 100")
    cloud.s3.delete_object(
        Bucket=DATA_BUCKET, Key="requests/clip-search/gone.yaml", VersionId=put["VersionId"]
    )
    cloud.settle()
    cloud.minute()
    assert cloud.runs.of_task(TASK)


def labels_a_dataset(cloud: Cloud, _: Recorder) -> None:
    """Datasets of prompts: labelled before their run goes on, one by one and in a batch; a live golden set is there."""
    cloud.upload_task(embedded_spec(dataset={"label": "auto"}))
    for content in (labelled(), prompts(), labelled(QUERIES[:90]) + prompts(QUERIES[90:])):
        assert cloud.finish(cloud.drop(content, trains=True)).state is State.PROMOTED
    cloud.s3.put_object(
        Bucket=DATA_BUCKET, Key="requests/clip-search/made.yaml", Body=json.dumps(MADE).encode()
    )
    cloud.settle()
    cloud.minute(3)


def ends_a_generation(cloud: Cloud, _: Recorder) -> None:
    """A batch job that never ends is stopped with its generation."""
    cloud.upload_task(embedded_spec())
    cloud.s3.put_object(
        Bucket=DATA_BUCKET, Key="requests/clip-search/long.yaml", Body=json.dumps(MADE).encode()
    )
    cloud.settle()
    (generation,) = cloud.pipeline().generations.open()
    cloud.age(f"GENERATION#{generation.id}", timedelta(days=10))
    cloud.watch()
    assert {job["status"] for job in cloud.bedrock.batches.values()} == {"Stopped"}


def forgets_a_generation(cloud: Cloud, _: Recorder) -> None:
    """A generation that nobody needs is deleted with all its objects."""
    cloud.upload_task(embedded_spec(retention={"generations": 0}))
    put = cloud.s3.put_object(Bucket=DATA_BUCKET, Key="requests/clip-search/bad.yaml", Body=b"count: 1")
    generation_id = run_id_for(
        dataset_object(bucket=DATA_BUCKET, key="requests/clip-search/bad.yaml", version_id=put["VersionId"])
    )
    cloud.settle()
    cloud.store.folder("generations").put(generation_id, "queries.jsonl", b"{}")
    generations = cloud.pipeline().generations
    ended = generations.load(generation_id)
    assert ended is not None
    cloud.age(f"GENERATION#{generation_id}", timedelta(days=3))
    cloud.store.delete(cloud.store.versions("requests/"))
    cloud.watch()
    released = generations.load(generation_id)
    assert released is not None and released.released_at is not None
    generations.release(released, released.released_at - timedelta(hours=48))
    cloud.watch()
    assert generations.load(generation_id) is None


SCENARIOS: tuple[Scenario, ...] = (
    generates,
    labels_a_dataset,
    ends_a_generation,
    forgets_a_generation,
    promotes,
    replaces,
    needs_no_bedrock,
    rejects,
    fails,
    heals,
    overstays,
    loses_a_job,
    loses_patience_with_the_judge,
    people_decide,
    alarms_decide,
    fails_after_a_promotion,
    retires,
    provisions,
    fine_tunes,
    reinforces,
    answers,
    keeps_queries,
)

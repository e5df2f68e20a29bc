"""What is measured of a run: metrics.json keeps its published schema, and a judge who fails does not block a run."""

import copy
import html
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from signalbox.run import Run, State
from signalbox.store import CONSOLE
from tests.builders import client_error, labelled, labels_spec, spec, true_label, truth, weights_text
from tests.integration.cloud import Cloud
from tests.unit.template.stack import DATA_BUCKET, PROJECT

SCHEMA = json.loads((PROJECT / "docs/metrics.schema.json").read_text())
JUDGE = {"model": "us.amazon.nova-pro-v1:0", "required": False}
EVEN = weights_text(0.4, 0.3, 0.3)
Metrics = dict[str, Any]


def faults(metrics: Metrics) -> list[str]:
    return [error.json_path for error in Draft202012Validator(SCHEMA).iter_errors(metrics)]


def gate(metrics: Metrics, name: str) -> dict[str, Any]:
    return next(gate for gate in metrics["gates"] if gate["name"] == name)


def test_the_schema_is_one_and_says_its_version() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["$id"] == f"urn:signalbox:metrics:{SCHEMA['properties']['version']['const']}"


def answer_of_unequal_models(model: str, prompt: str, query: str) -> str:
    """Let the base model talk now and then, and the baseline always weigh alike."""
    if model == "amazon.nova-micro-v1:0" and "mill" in query:
        return "Sure!"
    return EVEN if "claude" in model else truth(query)


def measured_weights(cloud: Cloud) -> Metrics:
    """Measure two runs, so that the second is compared with what is live."""
    limits = {
        "mae": 0.06,
        "judge": 3.8,
        "latency_p95_ms": 5_000,
        "cost_per_1000_queries": 5,
        "min_golden": 20,
    }
    cloud.upload_task(spec(gates=limits))
    cloud.bedrock.says = answer_of_unequal_models
    cloud.finish(cloud.drop(labelled()))
    return cloud.read(cloud.finish(cloud.drop(labelled())).id, "metrics.json")


def measured_labels(cloud: Cloud) -> Metrics:
    cloud.upload_task(labels_spec())
    cloud.bedrock.says = lambda model, prompt, query: "no label" if "mill" in query else true_label(query)
    run_id = cloud.drop(labelled(answer=true_label), "datasets/clip-kind/drop.jsonl", trains=True)
    return cloud.read(cloud.finish(run_id).id, "metrics.json")


@pytest.mark.parametrize("measured", [measured_weights, measured_labels])
def test_metrics_keep_their_schema(cloud: Cloud, measured: Callable[[Cloud], Metrics]) -> None:
    metrics = measured(cloud)
    assert faults(metrics) == []
    # And the schema knows all that is in them
    known = SCHEMA["properties"], SCHEMA["$defs"]["candidate"]["properties"]
    assert set(metrics) <= set(known[0])
    assert all(set(candidate) <= set(known[1]) for candidate in metrics["candidates"].values())


BREAKS: list[tuple[str, Callable[[Metrics], Any]]] = [
    ("$", lambda metrics: metrics.pop("verdict")),
    ("$.version", lambda metrics: metrics.update(version=2)),
    ("$.verdict", lambda metrics: metrics.update(verdict="MAYBE")),
    ("$.candidates.bedrock", lambda metrics: metrics["candidates"]["bedrock"].pop("mae")),
    ("$.candidates.bedrock.mae", lambda metrics: metrics["candidates"]["bedrock"].update(mae="0.1")),
    (
        "$.candidates.bedrock.intervals.mae",
        lambda metrics: metrics["candidates"]["bedrock"]["intervals"].update(mae=[0.1]),
    ),
    (
        "$.candidates.bedrock.latency_ms.concurrency",
        lambda metrics: metrics["candidates"]["bedrock"]["latency_ms"].update(concurrency=8),
    ),
    ("$.candidates.base.cost", lambda metrics: metrics["candidates"]["base"].update(cost={})),
    ("$.gates[0]", lambda metrics: metrics["gates"][0].pop("reason")),
    ("$.provenance.prompt_sha256", lambda metrics: metrics["provenance"].update(prompt_sha256="abc")),
    ("$.differences[0].verdict", lambda metrics: metrics["differences"][0].update(verdict="perhaps")),
]


def test_metrics_that_are_broken_anywhere_do_not_keep_the_schema(cloud: Cloud) -> None:
    metrics = measured_weights(cloud)
    for path, damage in BREAKS:
        broken = copy.deepcopy(metrics)
        damage(broken)
        assert faults(broken) == [path]


def test_each_candidate_has_what_a_person_needs_to_decide(cloud: Cloud) -> None:
    metrics = measured_weights(cloud)
    assert metrics["measured"]["where"] == "On AWS, in us-east-1."
    differences = {each["rival"]: each for each in metrics["differences"]}
    assert set(differences) == {"embedded", "base", "baseline"}
    assert differences["baseline"]["verdict"] == "better"
    assert differences["baseline"]["high"] < 0
    # On the queries that the base model answered usably at all, it is no worse.
    assert differences["base"]["queries"] < 22
    assert differences["base"]["verdict"] == "no difference shown"
    bedrock, embedded = metrics["candidates"]["bedrock"], metrics["candidates"]["embedded"]
    assert bedrock["latency_ms"]["queries"] == metrics["golden"] == 22
    assert bedrock["intervals"]["judge"] == [4.5, 4.5]
    assert bedrock["judge"]["spread"] == 0
    assert set(bedrock["per_signal"]) == {"picture", "sound", "words"}
    assert bedrock["cost"]["per_million_queries"] > embedded["cost"]["per_million_queries"] > 0
    live = metrics["candidates"]["live"]
    assert live["cost"]["model_per_million"] == bedrock["cost"]["model_per_million"] > 0
    assert metrics["compared_with_live"]["verdict"] == "no difference shown"
    assert gate(metrics, "not_worse_than_live")["reason"].startswith("no difference shown")
    assert gate(metrics, "latency_p95_ms")["value"] == bedrock["latency_ms"]["p95"]
    assert gate(metrics, "cost_per_1000_queries")["value"] == bedrock["cost"]["per_1000_queries"]


def test_a_golden_set_that_is_too_small_holds_the_model(cloud: Cloud) -> None:
    cloud.upload_task(spec(judge=None, gates={"min_golden": 23}))
    run = cloud.finish(cloud.drop(labelled()))
    assert (run.state, run.reason) == (State.HELD, "min_golden: 22, at least 23 is required")


def job_fails(cloud: Cloud) -> str:
    cloud.bedrock.evaluation_ends = ("Failed", "The evaluator model is not available.")
    return "the judge's job failed: The evaluator model is not available."


def job_is_late(cloud: Cloud) -> str:
    cloud.bedrock.evaluation_ends = ("InProgress", "")
    return "the judge's job was InProgress after 6 hours, and was stopped"


def job_is_refused(cloud: Cloud) -> str:
    cloud.bedrock.refuse(
        "CreateEvaluationJob", "AccessDeniedException", "no access to the evaluator", times=99
    )
    return "Bedrock: AccessDeniedException: no access to the evaluator"


def no_quota_is_left(cloud: Cloud) -> str:
    cloud.bedrock.refuse("CreateEvaluationJob", "ServiceQuotaExceededException", "20 jobs", times=99)
    return "no job after 6 hours: Bedrock: ServiceQuotaExceededException: 20 jobs"


def grades_are_null(cloud: Cloud) -> str:
    cloud.bedrock.grade = lambda line: None
    return "the judge graded 0 of 22 answers; 80% are required"


def after_seven_hours(cloud: Cloud, run_id: str) -> None:
    """Let a run wait for the judge for as long, if it has to."""
    cloud.minute(4)
    if not cloud.run(run_id).state.ended:
        cloud.age(run_id, timedelta(hours=6, minutes=50))


@pytest.mark.parametrize("fails", [job_fails, job_is_late, job_is_refused, no_quota_is_left, grades_are_null])
def test_a_judge_that_fails_leaves_the_decision_to_the_measured_figures(
    cloud: Cloud, fails: Callable[[Cloud], str]
) -> None:
    # Given a task that can do without its judge, who gives no grade
    cloud.upload_task(spec(judge=JUDGE))
    error = fails(cloud)
    run_id = cloud.drop(labelled())
    # When the task's patience is over
    after_seven_hours(cloud, run_id)
    # Then the model goes live, and its gate says on what
    assert cloud.finish(run_id).state is State.PROMOTED
    metrics = cloud.read(run_id, "metrics.json")
    assert gate(metrics, "judge")["reason"] == (f"not judged: {error}; decided on the measured figures alone")
    assert metrics["candidates"]["bedrock"]["judge"]["error"] == error
    assert faults(metrics) == []


def test_the_measured_figures_still_decide_without_the_judge(cloud: Cloud) -> None:
    cloud.upload_task(spec(judge=JUDGE))
    job_fails(cloud)
    cloud.bedrock.says = lambda model, prompt, query: weights_text(0.1, 0.1, 0.8)
    run = cloud.finish(cloud.drop(labelled()))
    assert run.state is State.HELD
    assert "mae: " in run.reason
    assert "judge: " not in run.reason


def test_a_judges_job_that_is_late_is_stopped_and_holds_a_model_that_needs_a_grade(cloud: Cloud) -> None:
    cloud.upload_task(spec())
    error = job_is_late(cloud)
    run_id = cloud.drop(labelled())
    # Given a job that has been at work for less than the task's patience
    cloud.minute(4)
    cloud.age(run_id, timedelta(hours=5, minutes=50))
    cloud.minute()
    assert cloud.run(run_id).state is State.EVALUATING
    assert cloud.bedrock.calls["StopEvaluationJob"] == 0
    # When the patience is over
    cloud.age(run_id, timedelta(minutes=11))
    # Then the jobs are stopped, each once, and the model is held
    run = cloud.finish(run_id)
    assert (run.state, run.reason) == (State.HELD, f"judge: not judged: {error}")
    assert cloud.bedrock.calls["StopEvaluationJob"] == 4
    assert [job["status"] for job in cloud.bedrock.evaluations.values()] == ["Stopping"] * 4


def test_a_job_that_ended_just_before_it_would_be_stopped_is_left_as_it_is(cloud: Cloud) -> None:
    cloud.upload_task(spec(judge=JUDGE))
    job_is_late(cloud)
    run_id = cloud.drop(labelled())
    cloud.minute(4)
    cloud.bedrock.refuse("StopEvaluationJob", "ConflictException", "The job is Completed.")
    cloud.age(run_id, timedelta(hours=6, minutes=50))
    assert cloud.finish(run_id).state is State.PROMOTED


def test_without_one_answer_to_hand_over_no_job_is_started(cloud: Cloud) -> None:
    cloud.upload_task(spec(judge=JUDGE))
    cloud.bedrock.says = lambda model, prompt, query: ""
    run = cloud.finish(cloud.drop(labelled()))
    assert run.state is State.HELD
    judge = gate(cloud.read(run.id, "metrics.json"), "judge")
    assert judge["reason"].startswith("not judged: no answer could be handed over; ")
    # And the one candidate that did answer is graded
    assert list(cloud.bedrock.evaluations) == [f"{run.id}-judge-embedded"]
    assert grades(cloud, run) == {"embedded": 4.5, "bedrock": None, "base": None, "baseline": None}


def grades(cloud: Cloud, run: Run) -> dict[str, float | None]:
    candidates = cloud.read(run.id, "metrics.json")["candidates"]
    return {name: measured["judge"]["mean"] for name, measured in candidates.items()}


def errors(cloud: Cloud, run: Run) -> dict[str, str]:
    candidates = cloud.read(run.id, "metrics.json")["candidates"]
    return {
        name: measured["judge"]["error"]
        for name, measured in candidates.items()
        if "error" in measured["judge"]
    }


def grade_by_answer(line: dict[str, Any]) -> float:
    if line["modelResponses"][0]["response"] == line["referenceResponse"]:
        return 10
    return 6 if "mill" in line["prompt"] else 4


def test_every_candidate_is_graded_with_spread_and_interval(cloud: Cloud) -> None:
    cloud.upload_task(spec(judge={"model": "us.amazon.nova-pro-v1:0"}))
    cloud.bedrock.says = answer_of_unequal_models
    cloud.bedrock.grade = grade_by_answer
    run = cloud.finish(cloud.drop(labelled()))
    candidates = cloud.read(run.id, "metrics.json")["candidates"]
    # The base model errs now and then, the baseline always, more badly or less
    assert candidates["bedrock"]["judge"]["mean"] == 5
    assert 2 < candidates["baseline"]["judge"]["mean"] < candidates["base"]["judge"]["mean"] < 5
    for name in ("base", "baseline"):
        low, high = candidates[name]["intervals"]["judge"]
        assert low < candidates[name]["judge"]["mean"] < high
        assert candidates[name]["judge"]["spread"] > 0
    assert run.summary["grades"]["bedrock"] == {"mean": 5, "spread": 0}
    ((_, text),) = cloud.mails()
    assert "Judge, mean (standard deviation): " in text
    cloud.minute()
    page = cloud.s3.get_object(Bucket=DATA_BUCKET, Key=CONSOLE)["Body"].read().decode()
    assert "Judge, mean (standard deviation): " in page


def test_what_was_live_says_why_it_has_no_grade(cloud: Cloud) -> None:
    metrics = measured_weights(cloud)
    assert metrics["candidates"]["live"]["judge"]["mean"] is None
    assert "the judge has ended by then" in metrics["candidates"]["live"]["judge"]["error"]


def rival_fails(cloud: Cloud, run_id: str) -> str:
    end(cloud, f"{run_id}-judge-base", "Failed", "No capacity.")
    return "the judge's job failed: No capacity."


def rival_is_late(cloud: Cloud, run_id: str) -> str:
    cloud.age(run_id, timedelta(hours=6, minutes=50))
    return "the judge's job was Stopping after 6 hours, and was stopped"


def rival_is_gone(cloud: Cloud, run_id: str) -> str:
    del cloud.bedrock.evaluations[f"{run_id}-judge-base"]
    return "the judge's job failed: the job is gone"


def rival_wrote_nothing(cloud: Cloud, run_id: str) -> str:
    end(cloud, f"{run_id}-judge-base", "Completed")
    cloud.minute()
    assert cloud.run(run_id).waiting == "the judge is at work (base: Completed)"
    cloud.age(run_id, timedelta(hours=6, minutes=50))
    return "the judge's job has completed, but wrote no results within 6 hours"


def end(cloud: Cloud, name: str, status: str, message: str = "") -> None:
    cloud.bedrock.evaluations[name] |= {"status": status, "message": message}


@pytest.mark.parametrize("rival", [rival_fails, rival_is_late, rival_is_gone, rival_wrote_nothing])
def test_a_job_of_another_candidate_neither_holds_nor_fails_a_run(
    cloud: Cloud, rival: Callable[[Cloud, str], str]
) -> None:
    # Given a model that needs a grade and has it, and a job of the base model's that does not come to its end
    cloud.upload_task(spec())
    cloud.bedrock.evaluation_ends = ("InProgress", "")
    run_id = cloud.drop(labelled())
    cloud.minute(4)
    end(cloud, f"{run_id}-judge-base", "Stopping")
    cloud.bedrock.evaluation_ends = ("Completed", "")
    cloud.minute(2)
    assert cloud.run(run_id).waiting == "the judge is at work (base: Stopping)"
    # When that job fails, or the task's patience is over
    error = rival(cloud, run_id)
    # Then the model goes live, and it is told why the base model has no grade
    run = cloud.finish(run_id)
    assert run.state is State.PROMOTED
    assert errors(cloud, run) == {"base": error}
    assert grades(cloud, run)["bedrock"] == 4.5
    assert f"Not judged: {error} (the base model)." in html.unescape(
        cloud.read(run_id, "report.html").decode()
    )


@pytest.mark.parametrize("busy", [True, False])
def test_a_job_of_another_candidate_that_cannot_be_started_is_done_without(cloud: Cloud, busy: bool) -> None:
    # Given that Bedrock starts the job of the model that needs a grade, and no other
    cloud.upload_task(spec())
    code = "ServiceQuotaExceededException" if busy else "AccessDeniedException"
    started = cloud.bedrock.create_evaluation_job

    def start(**request: Any) -> dict[str, Any]:
        if not request["jobName"].endswith("-judge-bedrock"):
            raise client_error(code, "20 jobs", "CreateEvaluationJob")
        return started(**request)

    cloud.bedrock.create_evaluation_job = start  # type: ignore[method-assign]
    run_id = cloud.drop(labelled())
    cloud.minute(4)
    if busy:
        # Then it waits for a quota until the task's patience is over
        assert cloud.run(run_id).state is State.DEPLOYED
        cloud.age(run_id, timedelta(hours=6, minutes=50))
    # And goes live with the one grade
    run = cloud.finish(run_id)
    assert run.state is State.PROMOTED
    assert list(run.judge_job_arns) == ["bedrock"]
    assert set(errors(cloud, run)) == {"embedded", "base", "baseline"}


def test_a_crash_between_two_jobs_starts_none_of_them_twice(cloud: Cloud) -> None:
    cloud.upload_task(spec())
    errors_of_crash = [None, None, RuntimeError("crash")]
    started = cloud.bedrock.create_evaluation_job

    def start(**request: Any) -> dict[str, Any]:
        if errors_of_crash and (error := errors_of_crash.pop(0)):
            raise error
        return started(**request)

    cloud.bedrock.create_evaluation_job = start  # type: ignore[method-assign]
    run_id = cloud.drop(labelled())
    assert cloud.finish(run_id).state is State.PROMOTED
    assert cloud.bedrock.calls["CreateEvaluationJob"] == len(cloud.bedrock.evaluations) == 4
    cloud.crashes.clear()


@pytest.mark.parametrize("code", ["AccessDeniedException", "ThrottlingException"])
def test_a_job_of_which_bedrock_does_not_speak_is_waited_for_and_then_done_without(
    cloud: Cloud, code: str
) -> None:
    cloud.upload_task(spec(judge={"model": "m", "required": False, "grade": "first"}))
    job_is_late(cloud)
    cloud.bedrock.refuse("GetEvaluationJob", code, times=999)
    cloud.bedrock.refuse("StopEvaluationJob", code, times=999)
    run_id = cloud.drop(labelled())
    cloud.minute(6)
    run = cloud.run(run_id)
    assert run.state is State.EVALUATING
    assert f"of unknown status (Bedrock does not say how the judge's job is: {code})" in run.waiting
    after_seven_hours(cloud, run_id)
    cloud.minute()
    assert cloud.run(run_id).state is State.PROMOTED
    judged = cloud.read(run_id, "metrics.json")["candidates"]["bedrock"]["judge"]
    assert "after 6 hours, and could not be stopped" in judged["error"]


def test_results_count_even_if_bedrock_does_not_say_that_the_job_is_over(cloud: Cloud) -> None:
    cloud.upload_task(spec())
    cloud.bedrock.refuse("GetEvaluationJob", "AccessDeniedException", times=999)
    run = cloud.finish(cloud.drop(labelled()))
    assert run.state is State.PROMOTED
    assert grades(cloud, run)["bedrock"] is not None

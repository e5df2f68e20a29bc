"""The router's order of tiers, its budget and its memory, with a clock of the tests' own."""

import os
import subprocess
import sys
import threading
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ConnectTimeoutError

from signalbox.bedrock import Bedrock
from signalbox.breaker import FAILURES, REST_SECONDS
from signalbox.live import Live, LivePointers
from signalbox.route import POINTER_SECONDS, Router, UnknownTask
from signalbox.store import RunStore
from signalbox.student import Student
from tests.builders import BUCKET, QUERIES, client_error, labels_spec, spec, task, weights_text
from tests.fakes import FakeClient, FakeS3, FakeTable
from tests.scripted_bedrock import ScriptedBedrock
from tests.unit.template.stack import PROJECT

PRIOR = {"weights": {"picture": 0.2, "sound": 0.3, "words": 0.5}}
TRUTH = weights_text(0.5, 0.3, 0.2)
DEPLOYMENT = "arn:aws:bedrock:us-east-1:123456789012:custom-model-deployment/000000000001"


class World:
    """A router over fakes, with a live task."""

    def __init__(self) -> None:
        self.table, self.s3, self.bedrock = FakeTable(), FakeS3(), ScriptedBedrock()
        self.bedrock.deployments["clip"] = {"arn": DEPLOYMENT, "status": "Active"}
        self.now = 1000.0
        self.router = Router(
            LivePointers(FakeClient(self.table), "runs", "active-runs"),
            RunStore(self.s3, BUCKET),
            Bedrock(None, self.bedrock),
            lambda: self.now,
        )

    def publish(self, content: dict[str, Any] | None = None, run_id: str = "clip-1", **changes: Any) -> None:
        """Move the live pointer."""
        live = Live.model_validate(
            {
                "task_name": "clip-search",
                "run_id": run_id,
                "model": "m",
                "since": datetime.now(UTC),
                "task": task(content or spec()).model_dump(mode="json", by_alias=True),
                "student": False,
                "deployment_arn": DEPLOYMENT,
                "prior": PRIOR,
            }
            | changes
        )
        self.table.items["LIVE#clip-search"] = live.item()

    def ask(self, query: str = QUERIES[0]) -> Any:
        return self.router.route("clip-search", query)


@pytest.fixture
def world() -> World:
    made = World()
    made.publish()
    return made


def test_the_tiers_are_asked_in_the_tasks_order(world: World) -> None:
    world.publish(spec(serve={"order": ["bedrock", "baseline", "prior"]}))
    assert world.ask().source == "bedrock"
    world.publish(spec(serve={"order": ["embedded", "baseline", "bedrock", "prior"]}), run_id="clip-2")
    world.now += POINTER_SECONDS
    assert world.ask().source == "baseline"


def test_a_tier_that_the_live_run_lacks_is_passed_over(world: World) -> None:
    world.publish(spec(compare={}), deployment_arn=None)
    routed = world.ask()
    assert routed.source == "prior"
    assert routed.passed_over == {
        "bedrock": "the live run has no Bedrock model",
        "embedded": "the live run has no embedded student",
        "baseline": "the task names no baseline",
    }


def test_the_prompt_is_that_of_the_live_run(world: World) -> None:
    world.publish(spec(prompt="The prompt it was trained with."))
    world.ask()
    assert world.bedrock.asked == [(DEPLOYMENT, "The prompt it was trained with.", QUERIES[0])]


def test_a_network_error_is_named(world: World) -> None:
    world.bedrock.raises("Converse", ConnectTimeoutError(endpoint_url="https://bedrock"))
    assert world.ask().passed_over == {
        "bedrock": "ConnectTimeoutError",
        "embedded": "the live run has no embedded student",
    }


def test_a_model_that_hangs_is_given_up_within_the_budget(world: World) -> None:
    # Given a student that answers only once the test allows it to
    released = threading.Event()
    world.publish(spec(serve={"order": ["bedrock", "prior"], "budget_ms": 60}))
    world.bedrock.says = lambda *_: "late" if released.wait(10) else ""
    # When it is asked, then the prior answers without waiting for it
    try:
        routed = world.ask()
    finally:
        released.set()
    assert (routed.source, routed.passed_over) == ("prior", {"bedrock": "timeout"})


def test_the_pointer_is_read_again_after_half_a_minute(world: World) -> None:
    assert world.ask().run_id == "clip-1"
    world.publish(run_id="clip-2")
    world.now += POINTER_SECONDS - 1
    assert world.ask().run_id == "clip-1"
    world.now += 1
    assert world.ask().run_id == "clip-2"


def test_a_pointer_that_cannot_be_read_is_used_stale_and_tried_again_later(world: World) -> None:
    world.ask()
    world.publish(run_id="clip-2")
    world.now += POINTER_SECONDS
    world.table.fail_next = client_error("InternalServerError")
    assert world.ask().run_id == "clip-1"
    assert world.ask().run_id == "clip-1"
    world.now += POINTER_SECONDS
    assert world.ask().run_id == "clip-2"


def test_without_any_pointer_a_failing_table_is_an_error(world: World) -> None:
    world.table.fail_next = client_error("InternalServerError")
    with pytest.raises(Exception, match="InternalServerError"):
        world.ask()


def test_a_task_that_is_live_no_more_is_unknown(world: World) -> None:
    world.ask()
    world.table.items.clear()
    world.now += POINTER_SECONDS
    with pytest.raises(UnknownTask):
        world.ask()


def test_a_student_that_could_not_be_loaded_is_tried_again_after_a_while(
    world: World, student: bytes
) -> None:
    world.publish(spec(serve={"order": ["embedded", "prior"]}), student=True)
    world.s3.objects["runs/clip-1/student/student.bin"] = student
    world.s3.fail_next = client_error("SlowDown")
    assert world.ask().passed_over == {"embedded": "not loaded"}
    assert world.ask().source == "prior"
    world.now += POINTER_SECONDS
    assert world.ask().source == "embedded"


def test_a_student_that_is_slow_to_load_is_not_waited_for_longer_than_the_budget_and_is_there_later(
    world: World, student: bytes
) -> None:
    # Given a student that arrives only once the test allows it to
    released = threading.Event()
    world.publish(spec(serve={"order": ["embedded", "prior"], "budget_ms": 100}), student=True)
    get_object = world.s3.get_object
    world.s3.objects["runs/clip-1/student/student.bin"] = student
    world.s3.get_object = lambda **request: get_object(**request) if released.wait(60) else None
    # When a query comes, then the prior answers it before the student is there
    routed = world.ask()
    assert not world.router._known["clip-search"].loading.done()
    released.set()
    assert (routed.source, routed.passed_over) == ("prior", {"embedded": "not loaded"})
    # When it has arrived, then it answers, without being loaded anew
    world.router._known["clip-search"].loading.result(timeout=10)
    world.s3.objects.clear()
    assert world.ask().source == "embedded"


def test_a_pointer_of_another_release_that_cannot_be_understood_is_used_stale(world: World) -> None:
    world.ask()
    world.publish(run_id="clip-2")
    item = world.table.items["LIVE#clip-search"]
    item["pointer"] = item["pointer"].replace('"budget_ms"', '"budget_of_tomorrow"')
    world.now += POINTER_SECONDS
    assert world.ask().run_id == "clip-1"
    world.router.warm_up()
    assert world.ask().run_id == "clip-1"


def test_a_router_that_wakes_up_reads_what_is_live_before_it_answers(world: World) -> None:
    world.ask()
    world.publish(run_id="clip-2")
    world.router.wake_up()
    world.table.items.clear()  # from here on the table answers nothing
    assert world.ask().run_id == "clip-2"


def test_a_router_that_wakes_up_while_the_table_fails_reads_again_with_the_first_query(world: World) -> None:
    world.ask()
    world.publish(run_id="clip-2")
    world.router.pointers.all = lambda: throw(client_error("InternalServerError"))
    world.router.wake_up()
    assert world.ask().run_id == "clip-2"


@pytest.mark.parametrize("text", ["Sure!", weights_text(0.9, 0.9, 0.9), "{}", '{"picture": 1}'])
def test_an_answer_that_is_none_is_passed_over(world: World, text: str) -> None:
    world.bedrock.says = lambda *_: text
    routed = world.ask()
    assert routed.source == "prior"
    assert routed.passed_over["bedrock"] == routed.passed_over["baseline"] == "unusable answer"


def test_the_answer_of_a_labels_task_has_label_and_confidence(world: World) -> None:
    world.publish(
        labels_spec(name="clip-search"), prior={"label": "watch", "confidence": 0.4}, deployment_arn=None
    )
    world.bedrock.says = lambda *_: "something else"
    body = world.ask().body()
    assert (body["label"], body["confidence"], body["source"]) == ("watch", 0.4, "prior")
    assert "weights" not in body


def test_a_model_that_hangs_does_not_keep_another_from_being_asked(world: World) -> None:
    # Given a deployment that hangs, and a baseline that does not
    released = threading.Event()
    world.publish(spec(serve={"budget_ms": 200, "deadlines_ms": {"bedrock": 10}}))
    world.bedrock.says = lambda model, *_: TRUTH if "deployment" not in model else "late" * released.wait(10)
    # When many queries come, then the baseline answers each, and the deployment is soon left alone
    try:
        answers = [world.ask(f"query {number}") for number in range(12)]
    finally:
        released.set()
    assert {routed.source for routed in answers} == {"baseline"}
    assert answers[0].passed_over["bedrock"] == "timeout"
    assert answers[-1].passed_over["bedrock"] == "failed repeatedly, left alone for a while"
    assert [asked[0] for asked in world.bedrock.asked].count(DEPLOYMENT) == FAILURES


def test_a_model_that_was_left_alone_is_tried_again_after_a_rest(world: World) -> None:
    world.bedrock.says = lambda *_: "no JSON"
    for number in range(FAILURES):
        world.ask(f"query {number}")
    world.bedrock.says = lambda *_: TRUTH
    assert world.ask().source == "prior"
    world.now += REST_SECONDS
    assert world.ask().source == "bedrock"


def test_an_answer_is_remembered_for_a_while_and_for_its_run_only(world: World) -> None:
    world.bedrock.says = lambda *_: TRUTH
    assert not world.ask("Ships at sea").cached
    again = world.ask("  ships AT sea!")
    assert (again.cached, again.source) == (True, "bedrock")
    assert world.bedrock.calls["Converse"] == 1
    # Another run has gone live
    world.publish(run_id="clip-2")
    world.now += POINTER_SECONDS
    assert (world.ask("ships at sea").cached, world.bedrock.calls["Converse"]) == (False, 2)
    # Its time is up
    world.now += 300
    assert not world.ask("ships at sea").cached


def test_a_stopgap_is_not_remembered(world: World) -> None:
    world.bedrock.raises("Converse", client_error("ThrottlingException"))
    assert world.ask().source == "baseline"
    assert world.ask().source == "bedrock"


def test_a_task_may_do_without_a_memory(world: World) -> None:
    world.publish(spec(serve={"cache_seconds": 0}))
    world.ask()
    assert not world.ask().cached


@pytest.fixture
def unsure(world: World, student: bytes) -> World:
    """A task whose embedded student leaves what it does not know to Bedrock."""
    serve = {"order": ["embedded", "bedrock", "prior"], "unsure": {"familiarity": 0.02}}
    world.publish(spec(serve=serve), student=True, model="embedded student")
    world.s3.objects["runs/clip-1/student/student.bin"] = student
    world.bedrock.says = lambda *_: TRUTH
    return world


def test_a_query_that_the_embedded_student_knows_is_its_own(unsure: World) -> None:
    routed = unsure.ask(QUERIES[0])
    assert (routed.source, unsure.bedrock.calls["Converse"]) == ("embedded", 0)
    assert routed.familiarity > 0.02


def test_a_query_unlike_the_training_data_is_left_to_bedrock(unsure: World) -> None:
    routed = unsure.ask("zzyzx qwfp")
    assert (routed.source, routed.passed_over) == ("bedrock", {"embedded": "unsure"})
    assert routed.familiarity < 0.02
    assert routed.unfamiliar
    # The pointer names the student, which answers first; this is who has answered.
    assert routed.model == "amazon.nova-micro-v1:0:128k (distilled)"


def test_an_unsure_answer_is_better_than_none(unsure: World) -> None:
    unsure.bedrock.raises("Converse", client_error("ThrottlingException"))
    routed = unsure.ask("zzyzx qwfp")
    assert (routed.source, routed.passed_over) == ("embedded", {"bedrock": "ThrottlingException"})
    assert routed.stopgap


def test_the_student_says_how_familiar_a_query_is_that_another_tier_answers(unsure: World) -> None:
    unsure.publish(spec(serve={"order": ["bedrock", "embedded", "prior"]}), student=True)
    unsure.router.warm_up()
    known, strange = unsure.ask(QUERIES[0]), unsure.ask("zzyzx qwfp")
    assert {known.source, strange.source} == {"bedrock"}
    assert known.familiarity > 0.02 > strange.familiarity
    assert (known.unfamiliar, strange.unfamiliar) == (False, True)


def test_a_student_that_fails_at_saying_so_costs_nothing(unsure: World, monkeypatch: Any) -> None:
    unsure.publish(spec(serve={"order": ["bedrock", "embedded", "prior"]}), student=True)
    unsure.router.warm_up()
    monkeypatch.setattr(Student, "opinion", lambda *_: throw(ZeroDivisionError()))
    routed = unsure.ask(QUERIES[0])
    assert (routed.source, routed.familiarity, routed.stopgap) == ("bedrock", None, False)


def test_a_batch_without_a_student_is_answered_by_the_prior_which_says_why(
    world: World, student: bytes
) -> None:
    (absent,) = world.router.route_batch("clip-search", QUERIES[:1])
    assert (absent.source, absent.stopgap) == ("prior", False)
    assert absent.passed_over == {"embedded": "the live run has no embedded student"}
    world.publish(run_id="clip-2", student=True)
    world.now += POINTER_SECONDS
    failed, _ = world.router.route_batch("clip-search", QUERIES[:2])
    assert (failed.source, failed.stopgap) == ("prior", True)
    assert failed.passed_over == {"embedded": "not loaded"}


def test_a_batch_that_the_student_fails_at_is_answered_by_the_prior(unsure: World, monkeypatch: Any) -> None:
    monkeypatch.setattr(Student, "opinions", lambda *_: throw(ZeroDivisionError()))
    answers = unsure.router.route_batch("clip-search", QUERIES[:2])
    assert [routed.source for routed in answers] == ["prior", "prior"]
    assert answers[0].passed_over == {"embedded": "ZeroDivisionError"}


def test_a_batch_is_one_pass_of_the_student(unsure: World, monkeypatch: Any) -> None:
    passes, opinions = [], Student.opinions
    monkeypatch.setattr(
        Student, "opinions", lambda self, queries: passes.append(queries) or opinions(self, queries)
    )
    answers = unsure.router.route_batch("clip-search", QUERIES[:100])
    assert passes == [QUERIES[:100]]
    assert {routed.source for routed in answers} == {"embedded"}


def throw(error: Exception) -> Any:
    raise error


def test_the_function_loads_nothing_of_runs() -> None:
    """Each module costs its cold starts; what a run is, is the pipeline's."""
    program = (
        f"import runpy, sys; runpy.run_path({str(PROJECT / 'functions/route/app.py')!r}); "
        "print(*(name for name in sys.modules if name.startswith('signalbox.')))"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    loaded = {name.removeprefix("signalbox.") for name in done.stdout.split()}
    assert "route" in loaded, done.stderr
    assert not loaded & {"run", "run_table", "models", "release", "pipeline", "events", "prices", "wording"}

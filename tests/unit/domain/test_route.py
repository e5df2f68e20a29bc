"""The router's order of tiers, its budget and its memory, with a clock of the tests' own."""

import threading
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ConnectTimeoutError

from signalbox.bedrock import Bedrock
from signalbox.route import POINTER_SECONDS, Router, UnknownTask
from signalbox.run import Live, RunTable
from signalbox.store import RunStore
from tests.builders import BUCKET, QUERIES, client_error, labels_spec, spec, task, weights_text
from tests.fakes import FakeS3, FakeTable
from tests.scripted_bedrock import ScriptedBedrock

PRIOR = {"weights": {"picture": 0.2, "sound": 0.3, "words": 0.5}}
DEPLOYMENT = "arn:aws:bedrock:us-east-1:123456789012:custom-model-deployment/000000000001"


class World:
    """A router over fakes, with a live task."""

    def __init__(self) -> None:
        self.table, self.s3, self.bedrock = FakeTable(), FakeS3(), ScriptedBedrock()
        self.bedrock.deployments["clip"] = {"arn": DEPLOYMENT, "status": "Active"}
        self.now = 1000.0
        self.router = Router(
            RunTable(self.table), RunStore(self.s3, BUCKET), Bedrock(None, self.bedrock), lambda: self.now
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
    world.publish(spec(serve={"order": ["baseline", "bedrock", "prior"]}))
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


def test_a_student_that_could_not_be_loaded_is_tried_again_and_a_spoilt_one_is_not(world: World) -> None:
    world.publish(spec(serve={"order": ["embedded", "prior"]}), student=True)
    world.s3.objects["runs/clip-1/student/student.bin"] = b"spoilt"
    world.s3.fail_next = client_error("SlowDown")
    assert world.ask().source == "prior"
    assert world.ask().source == "prior"
    assert world.s3.fail_next is None
    world.s3.fail_next = client_error("SlowDown")
    world.ask()
    assert world.s3.fail_next is not None, "a spoilt student is not loaded twice"


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


def test_a_question_that_waited_in_vain_for_its_turn_is_not_asked_later(world: World) -> None:
    # Given eight questions that hang, as many as are asked at a time
    released = threading.Event()
    world.publish(spec(serve={"order": ["bedrock", "prior"], "budget_ms": 60}))
    world.bedrock.says = lambda *_: "late" if released.wait(10) else ""
    try:
        for _ in range(8):
            world.ask()
        # When a ninth comes, and then the eight are released
        assert world.ask().passed_over == {"bedrock": "timeout"}
    finally:
        released.set()
    world.router._threads.shutdown(wait=True)
    # Then Bedrock was never bothered with the ninth, whose answer nobody waits for
    assert world.bedrock.calls["Converse"] == 8

"""What people search for and what records say is in no log line, metric, event, mail or trace, whatever goes wrong."""

import contextlib
import io
import json
import logging
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import aws_xray_sdk
import pytest
from aws_lambda_powertools import Logger
from aws_xray_sdk.core.context import Context
from aws_xray_sdk.core.recorder import AWSXRayRecorder

from signalbox import observability
from signalbox.generation import GenerationState
from signalbox.route import Router
from signalbox.run import State
from signalbox.store import STUDENT
from tests.builders import (
    QUERIES,
    SIGNALS,
    conversation,
    embedded_spec,
    labelled,
    line,
    prompts,
    spec,
    truth,
    weights_text,
)
from tests.integration.cloud import FUNCTIONS, Cloud
from tests.integration.test_generation import finished, request
from tests.unit.template.stack import DATA_BUCKET

MARK = "Qx7Zebra"
"""Stands in every query, answer and record of these tests."""
MARKED = [f"{query} {MARK}" for query in QUERIES]
QUIET = {"watch", "route", "reward"}
"""Functions whose traces name no run: one looks at all of them, the other is not traced."""


class Segments:
    """Takes what the X-Ray SDK would send to its daemon."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []

    def send_entity(self, entity: Any) -> None:
        self.sent.append(json.loads(entity.serialize()))


@pytest.fixture
def segments(monkeypatch: pytest.MonkeyPatch) -> Iterator[Segments]:
    """Trace every function as on Lambda, with the X-Ray SDK's own recorder."""
    taken, recorder, tracer = Segments(), AWSXRayRecorder(), observability._tracer()
    recorder.configure(sampling=False, emitter=taken, context=Context(), service="signalbox")
    monkeypatch.setattr(tracer, "provider", recorder)
    monkeypatch.setattr(tracer, "disabled", False)
    invoke = Cloud.invoke

    def traced(cloud: Cloud, function: str, event: dict[str, Any]) -> Any:
        recorder.begin_segment(function)
        try:
            return invoke(cloud, function, event)
        finally:
            recorder.end_segment()

    monkeypatch.setattr(Cloud, "invoke", traced)
    aws_xray_sdk.global_sdk_config.set_sdk_enabled(True)
    yield taken
    aws_xray_sdk.global_sdk_config.set_sdk_enabled(False)


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """All that any logger has to say, from level INFO, as Powertools writes it."""
    lines = io.StringIO()
    handler = logging.StreamHandler(lines)
    handler.setFormatter(Logger(service="another").registered_formatter)
    root, level = logging.getLogger(), logging.getLogger().level
    loggers = [root, observability.logger]
    root.setLevel(logging.INFO)
    for logger in loggers:
        logger.addHandler(handler)
    yield lines
    for logger in loggers:
        logger.removeHandler(handler)
    root.setLevel(level)


@pytest.fixture
def overheard(
    cloud: Cloud, segments: Segments, log: io.StringIO, capsys: pytest.CaptureFixture[str]
) -> Callable[[], dict[str, str]]:
    """Return what can be read of what has happened so far, by where it can be read."""

    def listen() -> dict[str, str]:
        printed = capsys.readouterr()
        said = {
            "printed lines, metrics among them": printed.out + printed.err,
            "log": log.getvalue(),
            "traces": json.dumps(segments.sent),
            "events": json.dumps([event for event in cloud.announced if event["source"] == "signalbox"]),
            "mails": json.dumps(cloud.mails()),
            "errors that Lambda prints": "".join(
                text for _, error in cloud.crashes for text in traceback.format_exception(error)
            ),
        }
        cloud.crashes.clear()
        return said

    return listen


def reasoned(query: str) -> str:
    return json.dumps(json.loads(truth(query)) | {"reasoning": f"because of {MARK}"})


def assert_discreet(said: dict[str, str]) -> None:
    for where, text in said.items():
        found = text.find(MARK)
        assert found < 0, f"{where}: {text[max(0, found - 300) : found + 60]}"


def test_a_run_and_its_queries_leave_no_trace_of_what_was_asked(
    cloud: Cloud, overheard: Callable[[], dict[str, str]]
) -> None:
    # Given a run all of whose queries and answers are marked, which goes live after training
    cloud.upload_task(spec())
    cloud.bedrock.says = lambda model, prompt, query: reasoned(query)
    run_id = cloud.drop(labelled(MARKED, reasoned), trains=True)
    assert cloud.finish(run_id).state is State.PROMOTED
    # When it is asked, and whoever asks makes mistakes
    for body in (
        {"query": MARKED[0], "task": "clip-search"},
        {"query": MARK * 100, "task": "clip-search"},
        {"query": [MARK], "task": "clip-search"},
        {"query": MARKED[0], "task": "clip-search", MARK: 1},
        {"query": f"\x00 {MARK}", "task": "clip-search"},
        f'{{"query": "{MARK}',
    ):
        cloud.request("POST", "/route", body)
    cloud.bedrock.says = lambda model, prompt, query: f"It is about {MARK}, I think."
    cloud.request("POST", "/route", {"query": MARKED[1], "task": "clip-search"})
    cloud.request("POST", "/route/batch", {"queries": MARKED[:50], "task": "clip-search"})
    # Then nothing that is kept to be looked at tells of it
    said = overheard()
    assert all(said[where] for where in said if where != "errors that Lambda prints")
    assert_discreet(said)


def test_a_dataset_that_the_teacher_labels_leaves_no_trace_of_what_it_says(
    cloud: Cloud, overheard: Callable[[], dict[str, str]]
) -> None:
    # Given a teacher that answers some queries in prose, however often it is asked
    cloud.upload_task(embedded_spec(teacher_prompt="Weigh it well.", dataset={"label": "auto"}))
    cloud.bedrock.says = lambda model, prompt, query: (
        f"It is about {MARK}, I think." if query in MARKED[::40] else reasoned(query)
    )
    # When a dataset without answers is dropped
    run = cloud.finish(cloud.drop(prompts(MARKED)))
    # Then the run has gone its way by labels, and nothing that is kept to be looked at tells of a query or an answer
    assert State.LABELLING in cloud.states(run.id)
    assert run.state.ended
    assert_discreet(overheard())


def test_a_reward_leaves_no_trace_of_the_answers_that_it_grades(
    cloud: Cloud, overheard: Callable[[], dict[str, str]]
) -> None:
    messages = [{"role": "user", "content": MARK}, {"role": "assistant", "content": f"Sure! {MARK}"}]
    for reference in ({"weights": {"picture": 1.0}}, {"label": MARK}, MARK):
        event = [{"id": "1-1-0", "messages": messages, "metadata": {"reference_answer": reference}}]
        with contextlib.suppress(Exception):
            cloud.invoke("reward", event)
    assert_discreet(overheard())


UNUSABLE = [
    f'{{"{MARK}'.encode(),
    line(MARK, f"Sure! {MARK}"),
    line(MARK, weights_text(1, 0, 0, **{MARK: 1})),
    line(MARK, json.dumps(dict.fromkeys(SIGNALS, MARK))),
    line(MARK, json.dumps([MARK])),
    line(MARK, truth(QUERIES[0]), **{MARK: 1}),
    line(MARK, truth(QUERIES[0]), schemaVersion=MARK),
    line(MARK, truth(QUERIES[0]), system=[{"text": MARK}]),
    json.dumps(conversation(MARK) | {"messages": [{"role": MARK, "content": [{"text": MARK}]}]}).encode(),
    json.dumps(conversation(MARK) | {"messages": {MARK: MARK}}).encode(),
    b'{"%b": 1, "%b": 2}' % (MARK.encode(), MARK.encode()),
    line(f"{MARK} \ud800", truth(QUERIES[0])),
]


@pytest.mark.parametrize("content", UNUSABLE, ids=lambda content: content.decode().strip()[:70])
@pytest.mark.parametrize("golden", [False, True], ids=["dataset", "golden set"])
def test_a_record_that_cannot_be_used_is_told_of_without_what_it_says(
    cloud: Cloud, overheard: Callable[[], dict[str, str]], content: bytes, golden: bool
) -> None:
    cloud.upload_task(spec(), golden=content if golden else None)
    run = cloud.finish(cloud.drop(labelled() if golden else labelled() + 9 * (content.rstrip() + b"\n")))
    assert run.state is State.REJECTED
    said = overheard()
    assert run.id in said["events"]
    assert_discreet(said)


@pytest.mark.parametrize("content", [UNUSABLE[0], UNUSABLE[1], UNUSABLE[5]], ids=["cut", "answer", "key"])
def test_a_file_of_queries_that_cannot_be_used_is_told_of_without_what_it_says(
    cloud: Cloud, overheard: Callable[[], dict[str, str]], content: bytes
) -> None:
    # Given a request for the labels of a file in which one record cannot be used
    cloud.upload_task(embedded_spec())
    folder = {"Bucket": DATA_BUCKET, "Key": "requests/clip-search/queries.jsonl"}
    cloud.s3.put_object(**folder, Body=prompts() + content)
    generation = finished(cloud, request(cloud, {"count": 120, "queries": "queries.jsonl"}))
    # Then the line is named everywhere, and what it says nowhere
    assert generation.state is GenerationState.REJECTED
    assert f"line {len(QUERIES) + 1}: " in generation.reasons[0]
    said = overheard()
    assert generation.id in said["events"]
    assert_discreet(said | {"generation": generation.model_dump_json()})


SPOILT = {
    "train.jsonl": State.ACCEPTED,
    "task.json": State.ACCEPTED,
    "golden.jsonl": State.TRAINING,
    STUDENT: State.TRAINING,
    "predictions/bedrock.jsonl": State.TRAINING,
    "validation.json": State.TRAINING,
    "evaluation.json": State.EVALUATING,
}


@pytest.mark.parametrize("name", SPOILT)
def test_a_step_that_chokes_on_a_record_does_not_quote_it(
    cloud: Cloud, overheard: Callable[[], dict[str, str]], name: str
) -> None:
    # Given a run that has come to a state
    cloud.upload_task(spec())
    if SPOILT[name] is State.ACCEPTED:
        cloud.lose("DatasetAccepted")
    run_id = cloud.drop(labelled(), trains=name == "train.jsonl")
    cloud.settle()
    for _ in range(9):
        if cloud.run(run_id).state in (SPOILT[name], State.FAILED):
            break
        cloud.minute()
    # When what the next step reads has been spoilt by somebody, and it chokes
    spoil(cloud, run_id, name)
    cloud.minute(3)
    crashes = list(cloud.crashes)
    # Then it is told what happened and where, and not on what
    assert_discreet(overheard())
    assert crashes, "nothing was choked on"


def spoil(cloud: Cloud, run_id: str, name: str) -> None:
    cloud.store.put(run_id, name, f'{{"query": "{MARK}", "{MARK}": [}}\n'.encode())


def test_a_fault_of_the_routers_own_does_not_quote_the_query(
    cloud: Cloud, overheard: Callable[[], dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud.upload_task(spec())
    cloud.finish(cloud.drop(labelled()))

    def choke(router: Router, task: str, query: str) -> None:
        raise ValueError(f"what does {query!r} mean?")

    monkeypatch.setattr(Router, "route", choke)
    with pytest.raises(observability.UnforeseenError) as raised:
        cloud.request("POST", "/route", {"query": MARKED[0], "task": "clip-search"})
    assert "ValueError" in str(raised.value)
    assert MARK not in "".join(traceback.format_exception(raised.value))
    assert_discreet(overheard())


def test_every_step_marks_its_trace_with_the_run_and_its_task(cloud: Cloud, segments: Segments) -> None:
    # Given a run that goes live, another that is withdrawn by a person
    cloud.upload_task(spec())
    first, second = (cloud.finish(cloud.drop(labelled())) for _ in range(2))
    cloud.ask("RollbackRequested", task="clip-search", reason="worse on sport", by="ada")
    cloud.settle()
    assert cloud.live().run_id == first.id
    # Then the filter expression annotation.run_id = "..." finds every function that had to do with it
    found = {
        run.id: {one["name"] for one in segments.sent if run.id in marks(one, "run_id")}
        for run in (first, second)
    }
    steps = set(FUNCTIONS) - QUIET - {"clean", "generate"}
    assert found == {first.id: steps, second.id: steps}
    assert {task for one in segments.sent for task in marks(one, "task")} == {"clip-search"}
    assert not [one for one in segments.sent if one["name"] in QUIET and marks(one, "run_id")]


def marks(segment: dict[str, Any], key: str) -> set[str]:
    """Return the annotations of a key in a segment and below it."""
    below = set().union(*(marks(one, key) for one in segment.get("subsegments", [])))
    return below | {value for name, value in segment.get("annotations", {}).items() if name == key}

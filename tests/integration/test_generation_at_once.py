"""Generations that several invocations come to at once, that break off, or whose events get lost on the way."""

import json
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from signalbox import asking, requested_dataset
from signalbox.generate import generate
from signalbox.generation import Generation
from signalbox.generation_work import Work
from tests.builders import client_error, embedded_spec
from tests.integration.cloud import Cloud
from tests.integration.test_generation import asked, dataset, finished, history, report, request, state_of
from tests.integration.test_generation import writer as writing
from tests.scripted_bedrock import right_answer
from tests.unit.template.stack import DATA_BUCKET

WRITTEN = {"count": 150, "description": "clips"}


def again(work: Work) -> None:
    """Let another invocation come to the generation that one is at work for."""
    generate(work.generation.id, work.pipeline, work.role_arn)


def once(act: Callable[[Work], None]) -> Callable[[Work], None]:
    """Act the first time only, as the other invocation comes here as well."""
    done: list[Work] = []

    def acting(work: Work) -> None:
        if not done:
            done.append(work)
            act(work)

    return acting


def meanwhile(monkeypatch: pytest.MonkeyPatch, place: Any, name: str, act: Callable[[Work], None]) -> None:
    """Let something happen the first time that a function of a step is through."""
    original, acting = getattr(place, name), once(act)

    def through(work: Work, *arguments: Any) -> Any:
        answer = original(work, *arguments)
        acting(work)
        return answer

    monkeypatch.setattr(place, name, through)


def says_its_query(cloud: Cloud) -> None:
    """Let the teacher write queries that differ each time, and give each query's text as the reason of its label."""
    writing(cloud)
    writes = cloud.bedrock.says

    def says(model: str, prompt: str, query: str) -> str:
        text = writes(model, prompt, query)
        return text if prompt.startswith("You write") else json.dumps(json.loads(text) | {"reasoning": query})

    cloud.bedrock.says = says


def are_their_own(cloud: Cloud, generation: Generation) -> bool:
    """Tell whether each record of the dataset has the answer to its own query."""
    pairs = [
        [message["content"][0]["text"] for message in record["messages"]]
        for record in dataset(cloud, generation)
    ]
    return all(json.loads(answer)["reasoning"] == query for query, answer in pairs)


def forget_what_was_written(work: Work) -> None:
    """Delete what the teacher wrote, as if the other invocation had asked it at the same time."""
    store = work.store
    for name in store.names(work.generation.id, "written/", ".json"):
        store.delete(list(store.versions(f"generations/{work.generation.id}/{name}")))


def let_another_write_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    meanwhile(
        monkeypatch, requested_dataset, "write", lambda work: (forget_what_was_written(work), again(work))[0]
    )


def test_whoever_comes_while_queries_are_written_leaves_it_to_who_is_at_it(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud.upload_task(embedded_spec())
    says_its_query(cloud)
    let_another_write_meanwhile(monkeypatch)
    generation = finished(cloud, request(cloud, WRITTEN))
    assert history(generation) == ["REQUESTED", "LABELLING", "COMPLETED"]
    assert cloud.bedrock.calls["Converse"] == 8
    assert are_their_own(cloud, generation)


def test_answers_are_to_their_own_queries_even_if_two_are_at_work_at_once(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given two that make different queries at once, as nothing keeps them apart
    cloud.upload_task(embedded_spec())
    says_its_query(cloud)
    monkeypatch.setattr("signalbox.generation.LEASE", timedelta(seconds=-1))
    let_another_write_meanwhile(monkeypatch)
    # When one comes with its queries after the other has had them asked
    generation = finished(cloud, request(cloud, WRITTEN))
    # Then the queries stay those that are asked
    assert history(generation) == ["REQUESTED", "LABELLING", "COMPLETED"]
    assert cloud.bedrock.calls["Converse"] == 16
    assert are_their_own(cloud, generation)


def test_whoever_comes_while_the_teacher_is_asked_asks_nothing(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud.upload_task(embedded_spec())
    coming: list[Work] = []
    original = asking._one_by_one

    def noted(work: Work, wanted: Any) -> str | None:
        coming.append(work)
        return original(work, wanted)

    monkeypatch.setattr(asking, "_one_by_one", noted)
    comes = once(again)

    def says(model: str, prompt: str, query: str) -> str:
        comes(coming[0])
        return right_answer(model, prompt, query)

    cloud.bedrock.says = says
    generation = finished(cloud, request(cloud, asked(labelling={"mode": "converse"})))
    assert history(generation) == ["REQUESTED", "LABELLING", "COMPLETED"]
    assert set(Counter(query for _, _, query in cloud.bedrock.asked).values()) == {1}
    assert len(coming) == 1


def test_watch_leaves_a_generation_to_who_is_at_work_for_it(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud.upload_task(embedded_spec())
    writing(cloud)
    nudged: list[int] = []

    def watched(work: Work) -> None:
        before = len(cloud.published("GenerationNudged"))
        cloud.invoke("watch", {})
        nudged.append(len(cloud.published("GenerationNudged")) - before)

    meanwhile(monkeypatch, requested_dataset, "write", watched)
    finished(cloud, request(cloud, WRITTEN))
    assert nudged == [0]


def test_one_that_was_killed_is_taken_up_once_its_time_is_over(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given an invocation that ends without a word while queries are written
    cloud.upload_task(embedded_spec())
    writing(cloud)

    def killed(work: Work) -> None:
        raise ConnectionError("the sandbox is gone")

    meanwhile(monkeypatch, requested_dataset, "write", killed)
    with monkeypatch.context() as gone:
        gone.setattr("signalbox.generation.GenerationTable.leave", lambda *_: None)
        generation_id = request(cloud, WRITTEN)
        cloud.settle()
    cloud.crashes.clear()
    # Then nobody takes it up while it might still be at work
    cloud.minute()
    held = state_of(cloud, generation_id)
    assert (held.state, held.held_until is not None) == ("REQUESTED", True)
    # And somebody does as soon as it cannot be
    item = cloud.table.get_item(Key={"id": f"GENERATION#{generation_id}"})["Item"]
    cloud.table.put_item(Item=item | {"held_until": "2020-01-01T00:00:00Z"})
    generation = finished(cloud, generation_id)
    assert history(generation) == ["REQUESTED", "LABELLING", "COMPLETED"]
    assert generation.held_until is None
    assert cloud.bedrock.calls["Converse"] == 8


def test_what_was_answered_beside_a_throttled_question_is_kept_whichever_it_is(cloud: Cloud) -> None:
    # Given a teacher that is throttled at the very first question
    cloud.upload_task(embedded_spec())
    times: Counter[str] = Counter()

    def throttled(model: str, prompt: str, query: str) -> str:
        (generation,) = cloud.pipeline().generations.open()
        key = f"generations/{generation.id}/queries.jsonl"
        lines = cloud.s3.get_object(Bucket=DATA_BUCKET, Key=key)["Body"].read().splitlines()
        times[query] += 1
        if query == json.loads(lines[0])["text"] and times[query] == 1:
            raise client_error("ThrottlingException", "slow down", "Converse")
        return right_answer(model, prompt, query)

    cloud.bedrock.says = throttled
    generation = finished(cloud, request(cloud, asked(labelling={"mode": "converse"})))
    # Then only that one is asked again
    assert history(generation) == ["REQUESTED", "LABELLING", "COMPLETED"]
    assert sorted(times.values())[-2:] == [1, 2]
    assert report(cloud, generation)["counts"]["labelled"] == 150


def test_what_a_request_will_cost_is_told_before_it_is_done_even_if_that_fails_at_first(cloud: Cloud) -> None:
    # Given an event that cannot be published, and an invocation that is tried again
    cloud.upload_task(embedded_spec())
    cloud.deliveries = 2
    with cloud.failing("events", "PutEvents", containing="LabellingStarted"):
        generation = finished(cloud, request(cloud, asked(labelling={"mode": "converse"})))
    assert history(generation) == ["REQUESTED", "LABELLING", "COMPLETED"]
    assert [function for function, _ in cloud.crashes] == ["generate"]
    cloud.crashes.clear()
    # Then the event is published before the next one
    told = [event["detail-type"] for event in cloud.announced]
    assert told.count("LabellingStarted") == told.count("GenerationCompleted") == 1
    assert told.index("LabellingStarted") < told.index("GenerationCompleted")


def test_a_request_whose_generation_cannot_be_read_keeps_watch_from_nothing(cloud: Cloud) -> None:
    # Given two requests of which one has an item that cannot be read, and the other's event was lost
    cloud.upload_task(embedded_spec())
    broken = request(cloud, asked())
    cloud.settle()
    item = cloud.table.get_item(Key={"id": f"GENERATION#{broken}"})["Item"]
    cloud.table.put_item(Item=item | {"state": "SOMEWHERE"})
    cloud.lose("Object Created")
    lost = request(cloud, asked(seed=2), "requests/clip-search/second.yaml")
    cloud.settle()
    # When watch looks
    cloud.minute(3)
    # Then it does all that it does, and the other request is done; generate alone fails on the broken one
    assert {function for function, _ in cloud.crashes} <= {"generate"}
    cloud.crashes.clear()
    assert state_of(cloud, lost).state.ended


def test_a_request_that_cannot_be_registered_keeps_no_other_waiting(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud.upload_task(embedded_spec())
    cloud.lose("Object Created")
    cloud.lose("Object Created")
    for name in ("first", "second"):
        request(cloud, asked(), f"requests/clip-search/{name}.yaml")
    cloud.settle()
    with cloud.failing("dynamodb", "TransactWriteItems", containing="first.yaml", times=9):
        cloud.minute()
    assert cloud.crashes == []
    (there,) = cloud.pipeline().generations.open()
    assert there.request.key == "requests/clip-search/second.yaml"


def test_a_teacher_that_is_throttled_lets_others_go_on_at_once(cloud: Cloud) -> None:
    # Given an invocation that ended because the teacher was throttled
    cloud.upload_task(embedded_spec())
    cloud.bedrock.refuse("Converse", "ThrottlingException")
    generation_id = request(cloud, asked(labelling={"mode": "converse"}))
    cloud.settle()
    # Then nothing holds the generation any more
    waiting = state_of(cloud, generation_id)
    assert "ThrottlingException" in waiting.waiting
    assert waiting.held_until is None

"""A generation beside its own way: what it costs, whom it tells, what it may not make, and what heals it."""

import json
from datetime import timedelta
from typing import Any

import pytest

from signalbox.generation import GenerationState
from signalbox.run import State
from tests.builders import OPENINGS, PLACES, embedded_spec, labelled, weights_text
from tests.integration.cloud import Cloud
from tests.integration.test_generation import asked, dataset, finished, history, report, request, state_of


def subjects(cloud: Cloud) -> list[str]:
    return [subject for subject, _ in cloud.mails()]


def test_people_are_told_before_it_costs_anything_and_what_it_came_to(cloud: Cloud) -> None:
    # Given a request whose batch job is at work
    cloud.upload_task(embedded_spec())
    generation_id = request(cloud, asked())
    cloud.settle()
    # Then a mail has said what it is estimated to cost
    ((subject, text),) = cloud.mails()
    assert subject == "LABELLING clip-search: 150 queries go to us.amazon.nova-pro-v1:0"
    assert "Cost: about $0.0" in text and "at most $0.1" in text and "at half the price" in text
    # When it is over, another has the counts, the balance and the cost, and the run's comes later
    generation = finished(cloud, generation_id)
    told = dict(cloud.mails())
    text = told["GENERATED clip-search: 120 records"]
    assert "The balance is reached within two points." in text
    assert f"Its run: {generation.run_id}" in text
    assert any(subject.startswith("PROMOTED") for subject in told)


def test_the_tokens_of_all_rounds_are_counted_each_at_its_price(cloud: Cloud) -> None:
    # Given a job that leaves a third to be asked one by one, and answers that say how many tokens they took
    cloud.upload_task(embedded_spec())
    cloud.bedrock.batch_ends, cloud.bedrock.batch_answers = ("Expired", ""), lambda place: place % 3 > 0
    generation = finished(cloud, request(cloud, asked()))
    found = report(cloud, generation)
    one_by_one = found["cost"]["tokens_read"], found["cost"]["tokens_written"]
    # Then the scripted batch has none, and the 50 others are priced without the discount of a batch
    assert one_by_one[0] > 0
    assert found["cost"]["usd"] == pytest.approx((one_by_one[0] * 0.8 + one_by_one[1] * 3.2) / 1e6, abs=1e-4)


@pytest.mark.parametrize("source", [{}, {"templates": [], "slots": {}, "description": "clips"}])
def test_what_may_exceed_its_budget_is_rejected_before_anything_is_asked(
    cloud: Cloud, source: dict[str, Any]
) -> None:
    cloud.upload_task(embedded_spec())
    content = asked(labelling={"budget_usd": 0.01}) | source
    generation = finished(cloud, request(cloud, content))
    assert generation.state is GenerationState.REJECTED
    assert "more than the request's labelling.budget_usd of $0.01" in generation.reasons[0]
    assert "raise labelling.budget_usd, or lower count" in generation.reasons[0]
    assert cloud.bedrock.calls["Converse"] == 0
    assert cloud.bedrock.batches == {}
    (subject,) = subjects(cloud)
    assert subject.startswith("GENERATION REJECTED clip-search")


def test_a_budget_that_is_enough_keeps_nothing_from_being_made(cloud: Cloud) -> None:
    cloud.upload_task(embedded_spec())
    generation = finished(cloud, request(cloud, asked(labelling={"budget_usd": 5})))
    assert generation.state is GenerationState.COMPLETED
    assert report(cloud, generation)["estimate"]["at_most_usd"] < 5


def test_nothing_near_the_golden_set_of_the_live_run_is_made(cloud: Cloud) -> None:
    # Given a live run, whose golden set was split off its dataset
    cloud.upload_task(embedded_spec())
    live = cloud.finish(cloud.drop(labelled()))
    assert live.state is State.PROMOTED
    # When queries are made of which all 150 of the first dataset, and others but for a letter, could be
    content = asked(slots={"place": [*PLACES, *(f"{place}s" for place in PLACES)],
                           "manner": ["slowly", "at night", "in the rain", "again", "for an hour"]},
                    count=120, balance=None)  # fmt: skip
    generation = finished(cloud, request(cloud, content))
    # Then none of them is golden, nor nearly so, and the report says how many were left out
    assert generation.state is GenerationState.COMPLETED
    held_out = {_query(json.loads(line)) for line in cloud.read(live.id, "golden.jsonl").splitlines()}
    assert not held_out & {_query(record) for record in dataset(cloud, generation)}
    left_out = report(cloud, generation)["left_out"]
    assert left_out["held_out"] > 0
    assert left_out["nearly_held_out"] > 0


def _query(record: dict[str, Any]) -> str:
    return record["messages"][0]["content"][0]["text"]


@pytest.mark.parametrize(("said", "states"), [("LabellingStarted", 2), ("GenerationCompleted", 3)])
def test_what_could_not_be_published_is_published_by_watch(cloud: Cloud, said: str, states: int) -> None:
    # Given an event bus that fails once, just when a generation has come to a state
    cloud.upload_task(embedded_spec())
    with cloud.failing("events", "PutEvents", containing=said):
        generation_id = request(cloud, asked())
        cloud.settle()
        cloud.minute()
    assert len(cloud.crashes) == 1
    cloud.crashes.clear()
    # Then the state stands, and people are told all the same, once
    cloud.minute(3)
    assert len(history(state_of(cloud, generation_id))) >= states
    assert len(cloud.published(said)) == 1
    assert state_of(cloud, generation_id).outbox is None


def test_one_that_does_not_come_on_is_announced_then_ended(cloud: Cloud) -> None:
    # Given a batch job that never ends
    cloud.upload_task(embedded_spec())
    cloud.bedrock.batch_ends = ("InProgress", "")
    generation_id = request(cloud, asked())
    cloud.settle()
    cloud.minute()
    cloud.mails()
    # When it has been at it for 27 hours, people are told once, with what it waits for
    cloud.age(f"GENERATION#{generation_id}", timedelta(hours=27))
    cloud.minute(2)
    ((subject, text),) = cloud.mails()
    assert subject.startswith("GENERATION STALLED clip-search")
    assert "Waiting: batch job" in text
    # When it has been at it for three times as long, it fails, with what to do
    cloud.age(f"GENERATION#{generation_id}", timedelta(hours=54))
    cloud.minute()
    generation = state_of(cloud, generation_id)
    assert generation.state is GenerationState.FAILED
    assert [subject for subject in subjects(cloud) if subject.startswith("GENERATION FAILED")]


def test_what_an_attempt_broke_off_with_is_told_when_it_stalls(cloud: Cloud) -> None:
    cloud.upload_task(embedded_spec())
    cloud.lose("Object Created")
    generation_id = request(cloud, asked())
    with cloud.failing("s3", "PutObject", times=99):
        cloud.minute()
        cloud.age(f"GENERATION#{generation_id}", timedelta(hours=4))
        cloud.minute(2)
    assert "PutObject" in state_of(cloud, generation_id).trouble
    assert any("The last attempt broke off" in text for _, text in cloud.mails())
    cloud.crashes.clear()
    assert finished(cloud, generation_id).state is GenerationState.COMPLETED


def test_one_that_waited_for_a_quota_once_is_ended_if_something_else_stays_wrong(cloud: Cloud) -> None:
    # Given a generation that has waited for a quota of batch jobs for half a day
    cloud.upload_task(embedded_spec())
    cloud.bedrock.refuse("CreateModelInvocationJob", "ServiceQuotaExceededException", times=2)
    generation_id = request(cloud, asked())
    cloud.settle()
    assert "ServiceQuotaExceeded" in state_of(cloud, generation_id).waiting
    cloud.age(f"GENERATION#{generation_id}", timedelta(hours=12))
    cloud.watch()
    # When every attempt breaks off since then, then it waits no longer, and is not ended for what it waited before
    with cloud.failing("s3", "PutObject", times=99):
        cloud.watch()
        broken = state_of(cloud, generation_id)
        assert (broken.waiting, "PutObject" in broken.trouble) == ("", True)
        cloud.age(f"GENERATION#{generation_id}", timedelta(hours=8))
        cloud.watch()
        assert not state_of(cloud, generation_id).state.ended
        # But it is after three times what it has for what waits for nothing
        cloud.age(f"GENERATION#{generation_id}", timedelta(hours=2))
        cloud.watch()
    cloud.crashes.clear()
    ended = state_of(cloud, generation_id)
    assert ended.state is GenerationState.FAILED
    assert "waiting" not in ended.failure.reason
    assert "the last attempt broke off" in ended.failure.reason


@pytest.mark.parametrize("hours", [5, 20])
def test_one_that_waited_for_a_quota_has_its_time_anew_once_its_job_runs(cloud: Cloud, hours: int) -> None:
    # Given a generation that has waited for a quota of batch jobs
    cloud.upload_task(embedded_spec())
    cloud.bedrock.refuse("CreateModelInvocationJob", "ServiceQuotaExceededException")
    generation_id = request(cloud, asked())
    cloud.settle()
    cloud.age(f"GENERATION#{generation_id}", timedelta(hours=hours))
    # When its job starts at last, and watch looks before the job has been looked at
    cloud.watch()
    assert state_of(cloud, generation_id).job_arns
    cloud.lose("GenerationNudged")
    cloud.watch()
    # Then it is neither ended nor called stalled, and comes to its end
    assert not state_of(cloud, generation_id).state.ended
    assert not any(subject.startswith("GENERATION STALLED") for subject in subjects(cloud))
    assert finished(cloud, generation_id).state is GenerationState.COMPLETED


def test_one_that_is_ended_is_paid_for_no_longer(cloud: Cloud) -> None:
    # Given a batch job that nothing is heard of for longer than Bedrock lets one last
    cloud.upload_task(embedded_spec())
    generation_id = request(cloud, asked())
    cloud.settle()
    cloud.watch()
    cloud.age(f"GENERATION#{generation_id}", timedelta(hours=79))
    # When Bedrock cannot stop it for the moment, then the generation is not given up before
    cloud.bedrock.refuse("StopModelInvocationJob", "ThrottlingException")
    cloud.watch()
    assert not state_of(cloud, generation_id).state.ended
    # But in the next minute, and its job is stopped
    cloud.watch()
    assert state_of(cloud, generation_id).state is GenerationState.FAILED
    assert [job["status"] for job in cloud.bedrock.batches.values()] == ["Stopped"]


def test_a_teacher_in_doubt_is_measured_and_the_balance_kept(cloud: Cloud) -> None:
    # Given a teacher that leads bells astray every now and then
    cloud.upload_task(embedded_spec(gates={"mae": 0.2}))
    sampled = iter(range(10_000))
    shares = dict(zip(OPENINGS, ((0.8, 0.1, 0.1), (0.2, 0.7, 0.1), (0.1, 0.2, 0.7)), strict=True))

    def says(model: str, prompt: str, query: str) -> str:
        opening = next(opening for opening in OPENINGS if query.startswith(opening))
        if opening.startswith("bells") and next(sampled) % 7 == 0:
            return weights_text(0.9, 0.05, 0.05)
        return weights_text(*shares[opening])

    cloud.bedrock.says = says
    generation = finished(cloud, request(cloud, asked(labelling={"samples": 3}, surplus=1.0)))
    found = report(cloud, generation)
    # Then its noise is measured, its doubts are left out, and each signal leads in its share within two points
    assert found["noise"] > 0
    assert found["counts"]["disagreeing"] > 0
    assert found["counts"]["records"] == 120
    assert all(abs(share - 1 / 3) <= 0.02 for share in found["shares"].values())
    assert found["balance_reasons"] == []


def test_a_balance_that_cannot_be_reached_says_why(cloud: Cloud) -> None:
    cloud.upload_task(embedded_spec())
    content = asked(templates=[{"text": "bells ringing over the {place} {manner}"},
                               {"text": "a speech about the {place} {manner}"}], count=140)  # fmt: skip
    generation = finished(cloud, request(cloud, content))
    (reason, *_) = [one for one in report(cloud, generation)["balance_reasons"] if one.startswith("picture")]
    assert "picture leads in 0.0% instead of 33.3%" in reason
    assert "add templates or seeds that lead there" in reason
    assert [
        text for subject, text in cloud.mails() if subject.startswith("GENERATED") and reason[:30] in text
    ]

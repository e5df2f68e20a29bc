"""A run that would cost more than its task's budget waits for a person, who releases or ends it."""

import json
from datetime import timedelta
from typing import Any

import pytest

from signalbox.release import Expense
from signalbox.run import Run, State
from tests.builders import embedded_spec, labelled, spec
from tests.integration.cloud import Cloud

HELD = spec(dataset={"budget_usd": 0.01})


def waiting(cloud: Cloud, content: dict[str, Any] = HELD) -> Run:
    """Drop a dataset and return its run, which awaits a release."""
    cloud.upload_task(content)
    run_id = cloud.drop(labelled())
    cloud.settle()
    run = cloud.run(run_id)
    assert run.awaits is not None
    return run


def wait(cloud: Cloud, run_id: str, by: timedelta) -> None:
    """Let a run wait so long for a person, and the clock call watch."""
    cloud.age(run_id, by)
    cloud.watch()


def test_a_run_beyond_its_budget_starts_no_job_and_says_so(cloud: Cloud) -> None:
    run = waiting(cloud)

    assert (run.state, run.awaits.of) == (State.ACCEPTED, Expense.JOB)
    assert "more than the task's dataset.budget_usd of $0.01" in run.awaits.reason
    assert run.awaits.usd["at_most"] > run.awaits.usd["estimate"] > 0
    assert run.waiting == f"for a person's release: {run.awaits.reason}"
    assert cloud.bedrock.jobs == {}


def test_people_are_mailed_what_it_costs_and_the_commands_that_answer(cloud: Cloud) -> None:
    run = waiting(cloud)

    ((subject, text),) = cloud.mails()
    assert subject == "WAITING clip-search: a person has to release the customization job"
    assert run.awaits.reason in text
    commands = [line.split("'")[1] for line in text.splitlines() if "aws events put-events" in line]
    for command, asked in zip(commands, ("ReleaseRequested", "EndRequested"), strict=True):
        (entry,) = json.loads(command)
        assert (entry["Source"], entry["DetailType"]) == ("signalbox.operator", asked)
        assert json.loads(entry["Detail"])["run_id"] == run.id


def test_the_command_of_the_mail_releases_the_run_which_goes_on_to_its_end(cloud: Cloud) -> None:
    run = waiting(cloud)
    ((_, text),) = cloud.mails()
    command = next(line.split("'")[1] for line in text.splitlines() if "ReleaseRequested" in line)

    cloud.put_events(json.loads(command))

    ended = cloud.finish(run.id)
    assert (ended.state, ended.awaits, ended.released) == (State.PROMOTED, None, [Expense.JOB])
    assert "customization job released by YOUR NAME" in [moment.note for moment in ended.history]
    assert len(cloud.bedrock.jobs) == 1


def test_a_release_that_arrives_twice_is_done_once(cloud: Cloud) -> None:
    run = waiting(cloud)
    cloud.deliveries = 2

    request_id = cloud.ask("ReleaseRequested", run_id=run.id, by="ada")

    assert cloud.finish(run.id).state is State.PROMOTED
    assert cloud.pipeline().transactions.outcome(request_id).run_id == run.id
    assert [m.by for m in cloud.run(run.id).history if m.by] == ["ada"]
    assert cloud.published("RequestRefused") == []


def test_a_person_may_end_it_instead(cloud: Cloud) -> None:
    run = waiting(cloud)

    cloud.ask("EndRequested", run_id=run.id, reason="too dear", by="ada")

    ended = cloud.finish(run.id)
    assert (ended.state, ended.awaits, ended.waiting) == (State.FAILED, None, "")
    assert ended.failure.reason == "ada did not release the customization job: too dear"
    assert cloud.bedrock.jobs == {}
    assert cloud.mails()[-1][0] == "FAILED clip-search: in release"


@pytest.mark.parametrize("asked", ["ReleaseRequested", "EndRequested"])
def test_what_awaits_no_release_is_neither_released_nor_ended(cloud: Cloud, asked: str) -> None:
    cloud.upload_task(embedded_spec())
    run = cloud.finish(cloud.drop(labelled()))

    cloud.ask(asked, run_id=run.id, reason="why not", by="ada")
    cloud.settle()

    (refused,) = cloud.published("RequestRefused")
    assert refused["detail"]["summary"]["reason"] == f"{run.id} is PROMOTED and awaits no release"
    assert cloud.run(run.id).state is State.PROMOTED


def test_a_run_that_is_ended_without_a_reason_is_not(cloud: Cloud) -> None:
    run = waiting(cloud)

    cloud.ask("EndRequested", run_id=run.id, by="ada")
    cloud.settle()

    assert cloud.published("RequestRefused")[0]["detail"]["summary"]["reason"] == "reason is required: a text"
    assert cloud.run(run.id).awaits is not None


def test_a_run_that_awaits_a_release_is_not_overdue_but_people_are_reminded_once(cloud: Cloud) -> None:
    run = waiting(cloud, HELD | {"patience": {"release_hours": 2}})
    cloud.watch()
    assert len(cloud.mails()) == 1  # asks for them and forgets them

    for _ in range(3):
        wait(cloud, run.id, timedelta(hours=30))

    waits = cloud.run(run.id)
    assert (waits.state, waits.stalled) == (State.ACCEPTED, False)
    ((subject, text),) = cloud.mails()
    assert subject.startswith("WAITING")
    assert "This is a reminder: it has waited since" in text
    assert cloud.published("RunNudged") == []
    # And it can be released still.
    cloud.ask("ReleaseRequested", run_id=run.id, by="ada")
    assert cloud.finish(run.id).state is State.PROMOTED


def test_a_run_that_nobody_releases_ends_at_last_and_each_mail_says_when(cloud: Cloud) -> None:
    run = waiting(cloud)
    wait(cloud, run.id, timedelta(days=13))
    for _, text in cloud.mails():
        assert "It ends by itself if nobody does, on " in text and "it holds nothing that costs" in text
    assert cloud.run(run.id).awaits is not None

    wait(cloud, run.id, timedelta(days=1, minutes=1))

    ended = cloud.run(run.id)
    assert (ended.state, ended.awaits, ended.outbox) == (State.FAILED, None, None)
    assert ended.failure.reason == "nobody released the customization job in 14 days"
    ((subject, text),) = cloud.mails()
    assert (subject, ended.failure.reason in text) == ("FAILED clip-search: in release", True)
    assert cloud.bedrock.jobs == {}


def test_an_end_of_a_few_hours_is_said_in_hours(cloud: Cloud) -> None:
    run = waiting(cloud, HELD | {"patience": {"release_hours": 2, "release_end_hours": 6}})
    wait(cloud, run.id, timedelta(hours=6, minutes=1))
    assert cloud.run(run.id).failure.reason == "nobody released the customization job in 6 hours"


def test_a_release_whose_nudge_is_lost_is_nudged_by_watch(cloud: Cloud) -> None:
    run = waiting(cloud)
    cloud.ask("ReleaseRequested", run_id=run.id, by="ada")
    cloud.lose("RunNudged")
    cloud.settle()
    assert cloud.run(run.id).state is State.ACCEPTED

    cloud.age(run.id, timedelta(minutes=10))

    assert cloud.finish(run.id).state is State.PROMOTED


@pytest.mark.parametrize(
    ("budget", "starts"), [(None, True), (0.01, False), (1000.0, True), (0, False)], ids=str
)
def test_a_budget_holds_what_may_cost_more_and_none_holds_nothing(
    cloud: Cloud, budget: float | None, starts: bool
) -> None:
    cloud.upload_task(spec(dataset={"budget_usd": budget}))
    run_id = cloud.drop(labelled())
    cloud.settle()

    assert (run_id in cloud.bedrock.jobs) is starts
    assert (cloud.run(run_id).awaits is None) is starts


def test_a_task_without_a_job_is_held_by_no_budget(cloud: Cloud) -> None:
    cloud.upload_task(embedded_spec(dataset={"budget_usd": 0}))

    assert cloud.finish(cloud.drop(labelled())).state is State.PROMOTED

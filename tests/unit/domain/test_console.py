"""The console: all that is known of every run on one page, whoever wrote it, and none of it does anything."""

import html
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox import console
from signalbox.bedrock import Bedrock
from signalbox.dataset_object import NO_TASK, DatasetObject
from signalbox.events import EventBus
from signalbox.failure import Failure
from signalbox.generation import Generation, GenerationState
from signalbox.live import Live
from signalbox.pipeline import Pipeline
from signalbox.release import Awaited, Expense
from signalbox.run import Moment, Run, State
from signalbox.run_table import RunTable
from signalbox.store import CONSOLE, RunStore
from tests.builders import BUCKET, client_error, dataset_object, embedded_spec
from tests.fakes import FakeEvents, FakeS3, FakeTable
from tests.scripted_bedrock import ScriptedBedrock

START = datetime(2026, 11, 21, 9, 14, 3, tzinfo=UTC)
TASK = "clip-search"
METRICS = {"mae": 0.0312, "within_010": 0.9545, "judge": 4.27, "latency_p95_ms": 412.5}


def run(*states: State, number: int = 1, lasting: float = 10, **attributes: Any) -> Run:
    """A run that has come through these states, each for so many seconds."""
    created = START + timedelta(hours=number)
    history = [
        Moment(state=state, at=created + timedelta(seconds=lasting * place), note=f"note {place}")
        for place, state in enumerate(states)
    ]
    content = {
        "id": f"{TASK}-{number:012x}",
        "task": TASK,
        "state": states[-1],
        "created_at": created,
        "updated_at": created,
        "dataset": dataset_object(),
        "history": history,
    }
    return Run.model_validate(content | attributes)


def live(**attributes: Any) -> Live:
    content = {"task_name": TASK, "run_id": run(State.PROMOTED).id, "model": "local.student", "since": START}
    return Live.model_validate(
        content | {"task": embedded_spec(), "student": True, "metrics": METRICS} | attributes
    )


def page_of(*runs: Run, pointer: Live | None = None) -> str:
    return console.render([TASK], {TASK: pointer} if pointer else {}, {TASK: runs})


def text_of(page: str) -> str:
    """What a person reads."""
    body = re.sub(r"(?s)<style>.*?</style>", "", page)
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", body)).split())


def test_without_a_task_the_page_says_how_to_begin() -> None:
    text = text_of(console.render([], {}, {}))
    assert "Nothing has run yet." in text
    assert "No task yet" in text


def test_a_task_without_a_run_is_listed() -> None:
    text = text_of(console.render(["a", "b"], {}, {"a": [], "b": []}))
    assert text.count("No run yet.") == 2


def test_a_live_model_is_shown_with_its_numbers_and_how_it_became_live() -> None:
    text = text_of(page_of(pointer=live(how="person", by="E. Sommer", reason="good enough")))
    assert "live local.student of clip-search-000000000001 since 2026-11-21 09:14:03" in text
    assert "promoted by E. Sommer: good enough" in text
    assert "mean absolute error 0.031" in text
    assert "latency, p95 412 ms" in text


def test_a_promoted_run_links_to_its_report_and_is_marked_as_live() -> None:
    promoted = run(State.RECEIVED, State.PROMOTED, summary={"metrics": METRICS})
    page = page_of(promoted, pointer=live())
    assert f'href="{promoted.id}/report.html"' in page
    assert f"PROMOTED {promoted.id} live Report" in text_of(page)


def test_a_report_is_not_linked_before_it_is_written() -> None:
    page = page_of(run(State.EVALUATED, State.PROMOTED, outbox="ModelPromoted"))
    assert "report.html" not in page
    assert 'http-equiv="refresh"' in page


def test_a_held_run_gives_the_gates_that_failed() -> None:
    gates = [
        {"name": "mae", "passed": False, "reason": "0.1, at most 0.06 is required"},
        {"name": "judge", "passed": True, "reason": "4.2 reached"},
    ]
    text = text_of(page_of(run(State.EVALUATED, State.HELD, summary={"gates": gates})))
    assert "mae 0.1, at most 0.06 is required" in text
    assert "4.2 reached" not in text


def test_a_reason_is_not_repeated_in_the_timeline() -> None:
    gates = [{"name": "mae", "passed": False, "reason": "too high"}]
    held = run(State.EVALUATED, State.HELD, summary={"gates": gates}, reason="note 1")
    text = text_of(page_of(held))
    assert "note 0" in text
    assert "note 1" not in text


def test_a_rejected_run_gives_reasons_and_lines() -> None:
    problem = {"line": 7, "field": "messages", "reason": "not JSON"}
    summary = {"reasons": ["60 usable records", "another"], "problems": [problem]}
    text = text_of(page_of(run(State.RECEIVED, State.REJECTED, summary=summary)))
    assert "60 usable records another line 7, messages not JSON" in text


def test_a_failed_run_says_where_why_and_what_to_do() -> None:
    failure = Failure(step="distill", reason="the teacher is retired", remedy="name another")
    text = text_of(page_of(run(State.TRAINING, State.FAILED, failure=failure)))
    assert "Failed in distill. the teacher is retired What to do. name another" in text


def test_a_promotion_by_a_person_and_a_rollback_say_who_and_why() -> None:
    promoted = run(
        State.HELD, State.PROMOTED, summary={"promoted_by": {"by": "ada", "reason": "good enough"}}
    )
    assert "Promoted by ada. good enough" in text_of(page_of(promoted))
    back = {"how": "alarm", "by": "fallbacks", "reason": "30% fell back", "to_run_id": "clip-search-2"}
    withdrawn = run(State.PROMOTED, summary={"rolled_back": back})
    assert "Withdrawn by an alarm; clip-search-2 is live again. 30% fell back" in text_of(page_of(withdrawn))


def test_the_timeline_says_why_a_person_moved_a_run_once() -> None:
    noted = [
        Moment(state=State.PROMOTED, at=START, note="live; by ada", by="ada", reason="good enough"),
        Moment(state=State.PROMOTED, at=START, note="withdrawn; by ada", by="ada", reason="too slow"),
        Moment(state=State.PROMOTED, at=START, note="live; by bob", by="bob", reason="mended"),
    ]
    said = {"by": "bob", "reason": "mended"}
    told = run(State.PROMOTED).model_copy(
        update={"history": noted, "reason": "mended", "summary": {"promoted_by": said}}
    )
    text = text_of(page_of(told))
    assert "live; by ada: good enough" in text
    assert [text.count(reason) for reason in ("good enough", "too slow", "mended")] == [1, 1, 1]


def test_a_run_that_awaits_a_release_is_not_said_to_be_at_work() -> None:
    awaited = Awaited(of=Expense.JOB, reason="it costs money", since=datetime(2026, 11, 21, tzinfo=UTC))
    held = run(
        State.RECEIVED, State.ACCEPTED, waiting="for a person's release: it costs money", awaits=awaited
    )
    text = text_of(page_of(held))
    assert "Nothing goes on before a person releases it" in text
    assert "Waiting: for a person's release: it costs money." in text


def test_a_run_under_way_says_what_it_does_and_what_it_waits_for() -> None:
    waiting = run(
        State.RECEIVED, State.ACCEPTED, waiting="the quota is used up", stalled=True, reason="25 hours"
    )
    text = text_of(page_of(waiting))
    assert (
        "starting the customization job, since 10:14:13. Waiting: the quota is used up. Stalled: 25 hours."
        in text
    )


def test_the_timeline_says_how_long_each_state_lasted() -> None:
    text = text_of(page_of(run(State.RECEIVED, State.ACCEPTED, State.TRAINING, lasting=150)))
    assert (
        "10:14:03 RECEIVED 2 min 30 s note 0 10:16:33 ACCEPTED 2 min 30 s note 1 10:19:03 TRAINING note 2"
        in text
    )


@pytest.mark.parametrize("state", State)
def test_the_page_loads_itself_again_while_a_run_is_under_way_and_not_otherwise(state: State) -> None:
    assert ('http-equiv="refresh" content="5"' in page_of(run(state))) != state.ended


def test_the_page_depends_on_nothing_but_what_it_shows() -> None:
    runs = [run(State.RECEIVED), run(State.RECEIVED, State.REJECTED, number=2)]
    assert page_of(*runs, pointer=live()) == page_of(*runs, pointer=live())


def test_of_many_runs_the_oldest_are_folded_away() -> None:
    page = page_of(*(run(State.RECEIVED, State.FAILED, number=number) for number in range(8, 0, -1)))
    assert "3 earlier" in text_of(page)
    order = [int(found, 16) for found in re.findall(r'<li class="run" id="clip-search-(\w+)"', page)]
    assert order == [8, 7, 6, 5, 4, 3, 2, 1]


def test_the_task_that_was_at_work_last_comes_first() -> None:
    page = console.render(["a", "b", "c"], {}, {"b": [run(State.FAILED)], "c": [run(State.FAILED, number=2)]})
    assert re.findall(r'<section id="task-(\w)"', page) == ["c", "b", "a"]


TAGS = re.compile(r"</?([a-z][a-z0-9]*)")
FOREIGN = st.text(max_size=40) | st.sampled_from(
    ["<script>alert(1)</script>", '" onload="x', "</style>", "{{ 7 * 7 }}"]
)


@given(FOREIGN)
def test_foreign_text_adds_no_markup(foreign: str) -> None:
    def page(text: str) -> str:
        problems = [{"line": 1, "field": text, "reason": text}]
        rejected = run(
            State.RECEIVED,
            State.REJECTED,
            summary={"reasons": [text], "problems": problems},
            reason=text,
            dataset=DatasetObject(bucket="b", key=f"datasets/{TASK}/{text}"),
        )
        failed = run(State.FAILED, failure=Failure(step=text, reason=text, remedy=text), number=2)
        at_work = run(State.TRAINING, waiting=text, reason=text, stalled=True, number=3)
        return page_of(
            rejected, failed, at_work, pointer=live(model=text, how="person", by=text, reason=text)
        )

    # as many tags, and no other ones, as with a text that is harmless
    assert TAGS.findall(page(foreign or "-")) == TAGS.findall(page("harmless"))


class World:
    """A pipeline in memory."""

    def __init__(self) -> None:
        self.table, self.s3 = FakeTable(), FakeS3()
        self.runs = RunTable(self.table)
        bedrock = Bedrock(ScriptedBedrock(), ScriptedBedrock())
        self.pipeline = Pipeline(self.runs, RunStore(self.s3, BUCKET), EventBus(FakeEvents(), "bus"), bedrock)

    @property
    def page(self) -> str:
        return text_of(self.s3.objects[CONSOLE].decode())


def test_publishing_gathers_tasks_pointers_and_runs() -> None:
    # Given a task with a run and a live model, and a dataset that lies in no task's folder
    world = World()
    world.s3.objects[f"tasks/{TASK}/task.yaml"] = b""
    received = world.runs.receive(dataset_object())
    stray = world.runs.receive(dataset_object(key="datasets/stray.jsonl"))
    world.table.items["LIVE#" + TASK] = live().item()
    # When the console is published
    console.publish(world.pipeline)
    # Then all of it is there
    assert stray.task == NO_TASK
    for shown in (received.id, stray.id, "live local.student", "Datasets in no task"):
        assert shown in world.page


def test_the_console_is_written_again_only_when_something_has_changed() -> None:
    world = World()
    run_received = world.runs.receive(dataset_object())
    world.s3.objects["datasets/clip-search/d.jsonl"] = b""
    console.publish(world.pipeline)
    console.publish(world.pipeline)
    assert len(world.s3.versions) == 1
    world.runs.wait(run_received, "a quota")
    world.pipeline.attention.changed(run_received.task)
    console.publish(world.pipeline)
    assert len(world.s3.versions) == 2


def test_a_bucket_that_was_emptied_stays_so_though_runs_of_it_were_shown_a_minute_ago() -> None:
    world = World()
    world.pipeline.runs.receive(dataset_object(key="datasets/stray.jsonl"))
    console.publish(world.pipeline)
    assert world.page
    world.table.items.clear()
    world.s3.objects.clear()
    console.publish(world.pipeline)
    assert world.s3.objects == {}


def test_what_is_shown_of_a_task_that_is_gone_is_forgotten_until_it_comes_again() -> None:
    world = World()
    for task in ("clip-search", "other"):
        world.s3.objects[f"tasks/{task}/task.yaml"] = b""
        world.pipeline.runs.receive(dataset_object(key=f"datasets/{task}/1.jsonl"))
    console.publish(world.pipeline)
    spec = world.s3.objects.pop("tasks/other/task.yaml")
    console.publish(world.pipeline)
    assert set(world.pipeline.attention.shown) == {"clip-search", NO_TASK}
    world.s3.objects["tasks/other/task.yaml"] = spec
    console.publish(world.pipeline)
    assert set(world.pipeline.attention.shown) == {"clip-search", "other", NO_TASK}


@pytest.mark.parametrize(("tasks", "kept"), [(1, 20), (79, 12), (999, 5)])
def test_of_many_tasks_fewer_runs_are_kept(monkeypatch: pytest.MonkeyPatch, tasks: int, kept: int) -> None:
    world = World()
    asked: list[int] = []
    monkeypatch.setattr(RunTable, "of_task", lambda _, task, limit: asked.append(limit) or [])
    monkeypatch.setattr(world.pipeline.store, "tasks", lambda: [f"task-{n}" for n in range(tasks)])
    console.publish(world.pipeline)
    assert set(asked) == {kept}


def test_a_console_that_cannot_be_written_stops_nobody(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    world.s3.objects["tasks/a/task.yaml"] = b""
    world.table.fail_next = client_error("InternalServerError")
    console.publish(world.pipeline)
    assert CONSOLE not in world.s3.objects


def test_a_console_that_takes_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    moments = iter((0.0, 11.0))
    monkeypatch.setattr(console.time, "monotonic", lambda: next(moments))
    console.publish(world.pipeline)
    assert CONSOLE not in world.s3.objects


def test_what_is_odd_about_a_dataset_stands_with_its_run() -> None:
    warned = run(State.HELD, summary={"warnings": ["labels that never lead: <b>read</b>"]})
    assert "Dataset: labels that never lead: <b>read</b>." in text_of(page_of(warned))


def test_what_a_person_does_later_is_no_part_of_a_run_s_duration() -> None:
    promoted = run(State.RECEIVED, State.HELD)
    later = Moment(state=State.PROMOTED, at=promoted.history[-1].at + timedelta(minutes=6))
    assert promoted.model_copy(update={"history": [*promoted.history, later]}).taken == promoted.taken
    assert promoted.taken == promoted.history[-1].at - promoted.created_at


def generation(state: GenerationState, **changes: Any) -> Generation:
    """Return a generation that has come to a state."""
    at = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)
    content: dict[str, Any] = {
        "id": "clip-search-0123456789ab",
        "task_name": TASK,
        "state": state,
        "created_at": at,
        "updated_at": at,
        "request": dataset_object(key="requests/clip-search/<first>.yaml"),
        "history": [{"state": state, "at": at}],
    }
    return Generation.model_validate(content | changes)


def test_a_generation_under_way_shows_what_it_does_and_what_it_is_estimated_to_cost() -> None:
    known = {"queries": 1200, "estimate": {"usd": 1.5}}
    page = console.render([TASK], {}, {}, {TASK: [generation(GenerationState.LABELLING, summary=known)]})
    said = text_of(page)
    assert "The teacher labels them" in said
    assert "1200" in said and "$1.50" in said
    assert "1 dataset is being made; this page loads itself again" in said
    assert "<first>" not in page


def test_a_generation_that_is_over_shows_its_figures_and_its_run() -> None:
    made = {
        "counts": {"records": 1000, "without_answer": 3},
        "noise": 0.0312,
        "cost": {"usd": 0.75},
        "balance_reasons": ["sound leads in 20 % instead of 33 %"],
    }
    over = generation(GenerationState.COMPLETED, summary=made, run_id="clip-search-ba9876543210")
    said = text_of(console.render([TASK], {}, {}, {TASK: [over]}))
    for part in ("1000", "0.0312", "$0.75", "sound leads in 20 %", "clip-search-ba9876543210"):
        assert part in said


def test_a_generation_that_failed_shows_why_and_what_to_do() -> None:
    failure = {"step": "label", "reason": "no answer could be used", "remedy": "mend the prompt"}
    failed = generation(GenerationState.FAILED, failure=failure)
    said = text_of(console.render([TASK], {}, {}, {TASK: [failed]}))
    assert "no answer could be used" in said and "mend the prompt" in said


def test_of_a_moment_before_some_that_are_not_kept_nobody_can_say_how_long_it_lasted() -> None:
    shown = run(State.RECEIVED, State.ACCEPTED, State.HELD, State.PROMOTED, lasting=7)
    shown.history[2].left_out = 12
    text = text_of(page_of(shown))
    assert "RECEIVED 7.0 s note 0" in text
    assert "ACCEPTED note 1" in text
    assert "HELD 7.0 s [12 moments before this are not kept] note 2" in text

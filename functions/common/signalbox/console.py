"""The console: one static page of all tasks, what is live, and every run with its course and verdict."""

import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import cache
from importlib.resources import files
from itertools import zip_longest

from jinja2 import Environment, FunctionLoader, StrictUndefined, Template

from signalbox.dataset_object import NO_TASK
from signalbox.generation import Generation, GenerationState
from signalbox.live import Live
from signalbox.measures import grades_in_words, mattering
from signalbox.observability import logger
from signalbox.pipeline import Pipeline
from signalbox.run import Moment, Run, State, now
from signalbox.wording import dollars, duration, harmless

REFRESH_SECONDS = 5
_RUNS = 20
"""How many runs of a task are shown at most, the newest."""
_IN_ALL = 1_000
"""How many runs of all tasks are shown together, since `watch` keeps them in memory: of many tasks fewer of each."""
_RECENT = 5
"""How many of them are not folded away, and shown of every task however many there are."""
_GENERATIONS = 3
"""How many generations of datasets of a task are shown, the newest."""
_SECONDS = 10
"""The longest that gathering the page may take; healing has its own share of the function's 60 seconds."""
_PURPOSE = "console"
_AGAIN = timedelta(minutes=10)
"""After which a task is read of which nothing is known to have changed: its runs may have been deleted, say."""
_COURSE = (
    State.RECEIVED,
    State.LABELLING,
    State.ACCEPTED,
    State.TRAINING,
    State.TRAINED,
    State.DEPLOYING,
    State.DEPLOYED,
    State.EVALUATING,
    State.EVALUATED,
)
"""The states that a run passes on its way to a verdict; LABELLING only if its dataset is labelled."""
_UNDER_WAY = {
    State.RECEIVED: "Validating the dataset",
    State.LABELLING: "The teacher answers the records that have no answer",
    State.ACCEPTED: "Training the embedded student, starting the customization job",
    State.TRAINING: "The customization job runs at Bedrock",
    State.TRAINED: "Giving the custom model a deployment",
    State.DEPLOYING: "The deployment is being created at Bedrock",
    State.DEPLOYED: "The candidates answer the golden set",
    State.EVALUATING: "The judge's evaluation jobs run at Bedrock",
    State.EVALUATED: "Applying the gates",
}
_MAKING = {
    GenerationState.REQUESTED: "Making the queries",
    GenerationState.LABELLING: "The teacher labels them",
    GenerationState.RETRYING: "The teacher is asked again for what is missing",
}


def publish(pipeline: Pipeline) -> None:
    """Write the console to the data bucket if it differs from what was last written.

    Of runs that have not changed it shows what was read of them within the last ten minutes. Whatever goes wrong is
    logged and nothing else: the console must not keep `watch` from healing runs. Gives up after ten seconds, and goes
    on from there the next time.
    """
    begun = time.monotonic()
    try:
        written = pipeline.store.console_written()  # before anything is read for the next
        attention, at = pipeline.attention, now()
        tasks = pipeline.store.tasks()
        shown = (*tasks, NO_TASK)
        attention.show_only(shown)
        runs_of_each = max(_RECENT, min(_RUNS, _IN_ALL // len(shown)))
        for task in shown:
            may_be_emptied = not tasks  # then the page is not to come back by what stood in the table before
            if not (may_be_emptied or attention.is_due(_PURPOSE, task, at)):
                continue
            if time.monotonic() - begun > _SECONDS:
                logger.warning("console not written: too slow", extra={"reached": task})
                return
            attention.shown[task] = pipeline.runs.of_task(task, runs_of_each)
            attention.has_read(_PURPOSE, task, at + _AGAIN)
        runs = {task: attention.shown[task][:runs_of_each] for task in shown}
        live = {pointer.task_name: pointer for pointer in pipeline.runs.live_pointers()}
        made = _generations(pipeline)
        is_empty = not tasks and not any(
            runs.values()
        )  # a page would keep an emptied bucket from being deleted
        pipeline.store.put_console("" if is_empty else render(tasks, live, runs, made), written)
    except Exception:
        logger.exception("console not written")


def _generations(pipeline: Pipeline) -> dict[str, list[Generation]]:
    """Return by task the newest generations that were asked for; of one that labels a dataset, its run tells."""
    made: dict[str, list[Generation]] = {}
    for generation in (*pipeline.generations.open(), *pipeline.generations.kept()):
        if not generation.labels_a_dataset:
            made.setdefault(generation.task, []).append(generation)
    for some in made.values():
        some.sort(key=lambda generation: (generation.created_at, generation.id), reverse=True)
    return {task: some[:_GENERATIONS] for task, some in made.items()}


def render(
    tasks: Sequence[str],
    live: Mapping[str, Live],
    runs: Mapping[str, Sequence[Run]],
    generations: Mapping[str, Sequence[Generation]] | None = None,
) -> str:
    """Write the console as HTML; whatever came from outside is escaped.

    The same arguments give the same page, whenever it is written. It asks to be loaded again every five seconds
    while a run is under way, and not otherwise.

    Parameters
    ----------
    tasks : sequence of str
        Names of the tasks, also of those without a run.
    live, runs, generations : mapping by task
        What is live; the runs and the generations of datasets, the newest first.
    """
    made = generations or {}
    named = [task for task in tasks if task != NO_TASK]
    shown = [*named, *([NO_TASK] if runs.get(NO_TASK) or made.get(NO_TASK) else [])]
    every = [run for task in shown for run in runs.get(task, ())]
    page = _template().render(
        tasks=sorted(shown, key=lambda task: _latest(runs.get(task, ())), reverse=True),
        live=live,
        runs=runs,
        generations=made,
        at_work=sum(not is_settled(run) for run in every),
        being_made=sum(not one.state.ended for some in made.values() for one in some),
        last=max((run.history[-1].at for run in every if run.history), default=None),
        refresh=REFRESH_SECONDS,
        recent=_RECENT,
        no_task=NO_TASK,
    )
    return page.lstrip()


def is_settled(run: Run) -> bool:
    """Tell whether nothing more will come of a run: its results are written before its last event is out."""
    return run.state.ended and run.outbox is None


def _latest(runs: Sequence[Run]) -> float:
    return runs[0].created_at.timestamp() if runs else 0.0


def _timeline(run: Run) -> list[tuple[Moment, timedelta | None]]:
    """Return each entry of a run's history with how long its state lasted; None if that is not known, or not over."""
    return [
        (moment, after.at - moment.at if after and not after.left_out else None)
        for moment, after in zip_longest(run.history, run.history[1:])
    ]


def _noted(moment: Moment, run: Run) -> str:
    """Say what is noted of a moment and why, without the reason that stands with the run."""
    if moment.note == run.reason:
        return ""
    return moment.noted if moment.reason == run.reason else moment.said


def _standing(run: Run, live: Live | None) -> str:
    """Return a run's state; of one that was promoted and is no longer live, whether it was withdrawn or replaced."""
    if run.state is not State.PROMOTED or (live is not None and live.run_id == run.id):
        return run.state.value
    if run.summary.get("rolled_back"):
        return "WITHDRAWN"
    return "REPLACED" if live is not None else run.state.value


def _steps(run: Run) -> list[str]:
    """Say of each state on the way to a verdict whether it is behind the run, or where the run is, or ahead of it."""
    labelled = any(moment.state is State.LABELLING for moment in run.history)
    course = [state for state in _COURSE if labelled or state is not State.LABELLING]
    place = course.index(run.state)
    return ["behind" if step < place else "here" if step == place else "ahead" for step in range(len(course))]


def _failed_gates(run: Run) -> list[dict[str, str]]:
    return [gate for gate in run.summary.get("gates", ()) if not gate.get("passed")]


def _numbers(numbers: Mapping[str, float]) -> list[tuple[str, str]]:
    """Return the numbers that matter, as title and value."""
    return [(measure.title, measure.written(numbers[measure.name])) for measure in mattering(numbers)]


def _lasted(lasted: timedelta) -> str:
    seconds = max(0.0, lasted.total_seconds())
    return f"{seconds:.1f} s" if seconds < 10 else duration(seconds)


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S}"


def _how(live: Live) -> str:
    """Say how a model became live, as the end of a sentence."""
    by = f" by {live.by}" if live.by else ""
    how = {
        "gates": ", promoted by its gates",
        "person": f", promoted{by}",
        "rollback": f", put back{by}",
        "alarm": ", put back by an alarm",
    }.get(live.how, "")
    return f"{how}: {live.reason}" if live.reason else how


@cache
def _template() -> Template:
    read = files("signalbox").joinpath
    environment = Environment(
        loader=FunctionLoader(lambda name: read(name).read_text(encoding="utf-8")),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=harmless,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"lasted": _lasted, "moment": _moment, "dollars": dollars}
    environment.globals |= {
        "failed_gates": _failed_gates,
        "grades": grades_in_words,
        "making": _MAKING,
        "how": _how,
        "is_settled": is_settled,
        "noted": _noted,
        "numbers": _numbers,
        "standing": _standing,
        "steps": _steps,
        "timeline": _timeline,
        "under_way": _UNDER_WAY,
    }
    return environment.get_template("console.html.jinja")

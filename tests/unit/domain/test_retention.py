"""Whatever runs there are: nothing live is given up, the newest are kept, and retention comes to an end."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from signalbox.live import Live, Named
from signalbox.retention import RUN_AGE, surplus
from signalbox.run import PROMOTABLE, Part, Run, State
from signalbox.task import Deployment, Retention
from tests.builders import dataset_object

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


@st.composite
def histories(draw: st.DrawFn) -> list[Run]:
    """Return the runs of a task, in any order and in any state."""
    runs = []
    for number in range(draw(st.integers(0, 12))):
        state = draw(st.sampled_from(list(State)))
        model = draw(st.booleans())
        made = {
            "model_arn": f"arn:m{number}" if model else None,
            "deployment_arn": f"arn:d{number}" if model and draw(st.booleans()) else None,
            "deployment": Deployment(type=draw(st.sampled_from(["on_demand", "on_demand", "provisioned"]))),
            "gone": draw(st.sampled_from([Part.NOTHING, Part.NOTHING, Part.DEPLOYMENT, Part.MODEL])),
        }
        at = NOW - timedelta(hours=draw(st.integers(0, 100)))
        runs.append(
            Run(
                id=f"clip-search-{number:012x}",
                task="clip-search",
                state=state,
                created_at=at,
                updated_at=at,
                dataset=dataset_object(version_id=f"v{number}"),
                **made,
            )
        )
    return draw(st.permutations(runs))


@st.composite
def pointers(draw: st.DrawFn, runs: list[Run]) -> Live | None:
    """Return a pointer to one of the runs, with or without one before it."""
    if not runs or draw(st.booleans()):
        return None
    live, before = draw(st.sampled_from(runs)), draw(st.sampled_from([*runs, None]))
    previous = Named(run_id=before.id, model="m", since=NOW) if before and before.id != live.id else None
    return Live(
        run_id=live.id,
        model="m",
        since=NOW,
        task_name="clip-search",
        task={},
        student=True,
        previous=previous,
    )


RETENTIONS = st.builds(
    Retention, deployments=st.integers(0, 5), models=st.integers(0, 5), runs=st.integers(0, 8)
)


@given(st.data(), histories(), RETENTIONS)
def test_nothing_under_way_live_or_kept_for_a_way_back_is_surplus(
    data: st.DataObject, runs: list[Run], retention: Retention
) -> None:
    live = data.draw(pointers(runs))
    found = surplus(runs, live, retention, NOW)
    assert found.keys() == {run.id for run in runs}
    for run in runs:
        if not run.state.ended or (live and run.id in live.run_ids):
            assert found[run.id] is Part.NOTHING


@given(st.data(), histories(), RETENTIONS)
def test_the_newest_are_kept_and_no_more_than_they(
    data: st.DataObject, runs: list[Run], retention: Retention
) -> None:
    live = data.draw(pointers(runs))
    found = surplus(runs, live, retention, NOW)
    others = sorted(
        (run for run in runs if run.state.ended and not (live and run.id in live.run_ids)),
        key=lambda run: (run.created_at, run.id),
        reverse=True,
    )
    deployed = [run for run in others if run.deployment_arn and run.gone < Part.DEPLOYMENT]
    promotable = [run for run in deployed if run.state in PROMOTABLE and run.deployment.type == "on_demand"]
    modelled = [run for run in others if run.model_arn and run.gone < Part.MODEL]
    for place, run in enumerate(promotable):
        assert (found[run.id] < Part.DEPLOYMENT) == (place < retention.deployments)
    for run in deployed:
        if run.deployment.type == "provisioned":  # costs while idle
            assert found[run.id] >= Part.DEPLOYMENT
    for place, run in enumerate(modelled):
        if place < retention.models:
            assert found[run.id] < Part.MODEL
        elif run not in promotable[: retention.deployments]:
            assert found[run.id] >= Part.MODEL
    for place, run in enumerate(others):
        if place < retention.runs or NOW - run.created_at < RUN_AGE:
            assert found[run.id] < Part.RUN


@given(st.data(), histories(), RETENTIONS)
def test_it_comes_to_an_end_and_a_second_look_finds_the_same(
    data: st.DataObject, runs: list[Run], retention: Retention
) -> None:
    live = data.draw(pointers(runs))
    for _ in range(2):
        found = surplus(runs, live, retention, NOW)
        # When all that is surplus has been deleted
        runs = [
            run.model_copy(update={"gone": max(run.gone, found[run.id])})
            for run in runs
            if found[run.id] < Part.RUN
        ]
    # Then nothing more is
    found = surplus(runs, live, retention, NOW)
    needed = live.run_ids if live else set()
    assert all(found[run.id] <= run.gone or run.id in needed for run in runs)

"""What has to hold once the faults are over and `watch` has had its turns."""

from collections.abc import Iterator

from signalbox import console
from signalbox.run import PROMOTABLE, Run, State
from signalbox.store import CONSOLE, METRICS, REPORT
from tests.faults.scenarios import Scenario, runs_of
from tests.faults.world import World, foreseen
from tests.unit.template.stack import DATA_BUCKET

_RETIRED = (" retired", " deleted")
"""How the notes end that retirement leaves in the history of a run that has ended."""
_TOLD = {
    State.REJECTED: "DatasetRejected",
    State.PROMOTED: "ModelPromoted",
    State.HELD: "ModelHeld",
    State.FAILED: "RunFailed",
}


def broken(
    world: World, scenario: Scenario, may_end: frozenset[State] = frozenset(), for_good: bool = False
) -> list[str]:
    """Return what does not hold, in words.

    Parameters
    ----------
    may_end : frozenset[State]
        How the last run may end too, by the fault that befell it.
    for_good : bool
        Whether something is denied for good: deployments that nobody can delete may be left, and results that nobody
        can write may be missing or as they were; people are told all the same.
    """
    runs = runs_of(world)
    found = [f"{len(runs)} runs, not {len(scenario.ends)}"] if len(runs) != len(scenario.ends) else []
    for number, (run, state) in enumerate(zip(runs, scenario.ends.values(), strict=False)):
        allowed = {state} | (may_end if number == len(runs) - 1 else set())
        found += [f"run {number}: {fault}" for fault in _of_run(world, run, allowed, for_good)]
    as_wanted = all(run.state is state for run, state in zip(runs, scenario.ends.values(), strict=False))
    found += _of_bedrock(world, runs)
    is_done = as_wanted and not (
        for_good and scenario.answered
    )  # what a person asked for may be refused for good
    found += _of_pointer(world, runs, scenario.live if is_done else None)
    found += _of_objects(world, runs)
    if not (for_good or scenario.retired):  # what was retired is shown within ten minutes
        found += _of_console(world)
    if scenario.retired and as_wanted and not for_good and world.bedrock.deployments:
        found.append(f"deployments are left: {list(world.bedrock.deployments)}")
    if [run for run in world.runs.active() if not (for_good and run.awaits)]:
        found.append("a run is still open")
    found += [
        f"{function} raised {type(error).__name__}: {error}"
        for function, error in world.crashes
        if not foreseen(error)
    ]
    return found


def _of_run(world: World, run: Run, allowed: set[State], for_good: bool) -> Iterator[str]:
    if run.state not in allowed and not (for_good and run.awaits):  # whose release is denied
        why = run.failure.model_dump() if run.failure else run.reason or run.waiting
        yield f"is {run.state} and not {'/'.join(sorted(allowed))}: {why}"
    if run.outbox is not None:
        yield f"still owes {run.outbox}"
    states = [
        moment.state
        for moment in run.history
        if not (
            (moment.by and moment.state is not State.FAILED)
            or moment.event == "ReleaseAwaited"
            or moment.note.endswith(_RETIRED)
        )
    ]
    ends = [state for state in states if state.ended]
    if run.state.ended and len(ends) != 1:
        yield f"came to {len(ends)} ends: {states}"
    if len(states) != len(set(states)):
        yield f"was twice in one state: {states}"
    if run.state is State.FAILED and not (run.failure and run.failure.reason and run.failure.remedy):
        yield "failed without reason and remedy"
    told = [e for e in world.announced if e["detail"].get("run_id") == run.id]
    if run.state.ended and _TOLD[run.state] not in {event["detail-type"] for event in told}:
        yield f"nobody was told that it is {run.state}"
    if run.state in PROMOTABLE:
        for name in (METRICS, REPORT):
            if for_good:
                continue
            if not world.store.has(run.id, name):
                yield f"has no {name}"
            elif name == METRICS and world.read(run.id, METRICS)["verdict"] != run.state:
                yield f"metrics.json says {world.read(run.id, METRICS)['verdict']}, the table {run.state}"


def _of_bedrock(world: World, runs: list[Run]) -> Iterator[str]:
    """Look for what was made twice, or stands there with no run that knows of it."""
    bedrock = world.bedrock
    names = {run.id for run in runs}
    deployments = bedrock.deployments | bedrock.throughputs
    if strangers := (set(bedrock.jobs) | set(deployments)) - names:
        yield f"{strangers} belong to no run"
    for kind, made in (
        ("job", bedrock.jobs),
        ("deployment", deployments),
        ("judge", bedrock.evaluations),
    ):
        for name, one in made.items():
            if one.get("requested", 1) != 1:
                yield f"{kind} {name} was asked for under {one['requested']} tokens"
    kept = {run.id for run in world.runs.at_bedrock()}
    for run in runs:
        if run.state.ended and run.id in deployments and run.id not in kept:
            yield f"the deployment of {run.id} will never be retired"
        if run.state is State.PROMOTED and run.model_arn and run.retired_at is None:
            deployment = deployments.get(run.id)
            if deployment is None or deployment["arn"] != run.deployment_arn:
                yield f"{run.id} is promoted and its deployment is {deployment}"


def _of_pointer(world: World, runs: list[Run], number: int | None) -> Iterator[str]:
    task = runs[0].task if runs else "clip-search"
    live = world.runs.live(task)
    if number is not None and (live is None or live.run_id != runs[number].id):
        yield f"live is {live and live.run_id}, not {runs[number].id}"
    if live is None:
        if any(run.state is State.PROMOTED for run in runs):
            yield "a run is PROMOTED and nothing is live"
        return
    by_id = {run.id: run for run in runs}
    deployments = world.bedrock.deployments | world.bedrock.throughputs
    for run_id in live.run_ids:
        run = by_id.get(run_id)
        if run is None or run.state is not State.PROMOTED:
            yield f"the pointer names {run_id}, which is {run and run.state}"
        elif run.model_arn and deployments.get(run_id, {}).get("status") not in ("Active", "InService"):
            yield f"the pointer names {run_id}, whose deployment is not active"


def _of_console(world: World) -> Iterator[str]:
    """Compare the console, which a warm `watch` writes by what has changed, with one that is written by the table."""
    written = world.page()
    console.publish(world.pipeline())
    if written != world.page():
        yield "the console is not what a watch would write that reads everything"


def _of_objects(world: World, runs: list[Run]) -> Iterator[str]:
    prefixes = ("tasks/", "datasets/", *(f"runs/{run.id}/" for run in runs))
    for page in world.s3.get_paginator("list_objects_v2").paginate(Bucket=DATA_BUCKET):
        for entry in page.get("Contents", []):
            if entry["Key"] != CONSOLE and not entry["Key"].startswith(prefixes):
                yield f"{entry['Key']} belongs to no run"

"""The pipeline's figures, each counted once what it counts stands in the run table.

- `Runs`, by state: runs that have come to it;
- `StateSeconds`, by state: how long a run was in a state that it has left. Nobody waits for an end to pass;
- `RunFailures`, by state: runs that failed, by the state in which they did: TRAINING is the customization job's;
- `RunsStalled`, by state: runs that were called stalled in it;
- `JudgeFailures`, by service: evaluations without a usable grade. `evaluate` could start no job, or `judge` saw one
  fail;
- `RunCost`, by service, and by service and task: what a run that was decided upon is estimated to have cost at Bedrock,
  in USD. Runs of which that is not known are counted by `RunCostUnknown`, as a sum would take them for free.

- `Generations`, by state: generations of datasets that have come to it;
- `LabellingCost`, by service: what the teacher's answers for a dataset were counted to have cost, in USD.

A state is one of thirteen and a task one that somebody has set up, so there is an end to the metrics. A crash between
the write and the line loses a count: these are figures to look at, the truth is in the run table.
"""

from typing import Any

from signalbox.embedded_metrics import Dimensions, write
from signalbox.generation import Generation
from signalbox.run import Run, State

_BY_STATE: Dimensions = [["state"]]
_BY_SERVICE: Dimensions = [["service"]]
_BY_TASK: Dimensions = [["service"], ["service", "task"]]


def count_transition(before: Run, moved: Run) -> None:
    """Count that a run has moved, and how long it had been where it was."""
    _by_state("Runs", moved.state)
    if not before.state.ended:
        stayed = moved.history[-1].at - before.history[-1].at
        _by_state("StateSeconds", before.state, stayed.total_seconds())
    if moved.state is State.FAILED:
        _by_state("RunFailures", before.state)


def count_stalled(run: Run) -> None:
    """Count that a run has been called stalled in its state."""
    _by_state("RunsStalled", run.state)


def count_generation(moved: Generation) -> None:
    """Count that a generation has come to its state, and what its labels have cost if that is known."""
    write({"Generations": [1]}, [(_BY_STATE, ["Generations"])], state=moved.state.value)
    if moved.state.ended and (usd := moved.summary.get("cost", {}).get("usd")) is not None:
        write({"LabellingCost": [round(usd, 6)]}, [(_BY_SERVICE, ["LabellingCost"])])


def count_judge_failure() -> None:
    """Count an evaluation to which the judge has added nothing."""
    write({"JudgeFailures": [1]}, [(_BY_SERVICE, ["JudgeFailures"])])


def count_cost(task: str, run_cost: dict[str, Any]) -> None:
    """Count what a run is estimated to have cost (`cost.of_run`)."""
    total = run_cost["total"]
    name, value = ("RunCostUnknown", 1) if isinstance(total, dict) else ("RunCost", round(total, 6))
    write({name: [value]}, [(_BY_TASK, [name])], task=task)


def _by_state(name: str, state: State, value: float = 1) -> None:
    write({name: [value]}, [(_BY_STATE, [name])], state=state.value)

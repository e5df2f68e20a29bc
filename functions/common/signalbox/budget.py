"""The budget of a task: whether its customization job starts by itself, or only once a person has released it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from signalbox.prices import is_stand_in
from signalbox.task import Task


@dataclass(frozen=True)
class Excess:
    """Why a job does not start by itself: in one sentence without its full stop, and in figures."""

    reason: str
    usd: dict[str, float] = field(default_factory=dict)


def excess(task: Task, cost: Mapping[str, Any] | None) -> Excess | None:
    """Say why a task's customization job has to be released by a person, or return None if it may start.

    A budget is compared with what the job may cost at most, not with the estimate: Bedrock may grow a dataset to many
    times its size, and a limit that is kept as a rule only is none. A price that is unknown keeps within no budget. A
    stand-in on one machine costs nothing, so there only a budget of 0 holds a job, which holds every one.

    Parameters
    ----------
    cost : Mapping | None
        `cost` of validation.json.
    """
    budget = task.dataset.budget_usd
    if budget is None or task.customization is None or "bedrock" not in task.candidates:
        return None
    known = cost or {}
    limit = f"dataset.budget_usd of {budget:.2f}"
    if "at_most_usd" in known:
        if known["at_most_usd"] <= budget:
            return None
        usd = {"estimate": known["training_usd"], "at_most": known["at_most_usd"], "budget": budget}
        return Excess(
            f"the customization job may cost {usd['at_most']:.2f} USD (estimate {usd['estimate']:.2f}), more than the "
            f"task's {limit}",
            usd,
        )
    if budget == 0:
        return Excess("the task's dataset.budget_usd is 0, so no customization job starts by itself")
    if is_stand_in(task.customization.student):
        return None
    reason = known.get("unknown", "its cost was not estimated")
    return Excess(
        f"whether the customization job keeps within the task's {limit} USD is not known: {reason}",
        {"budget": budget},
    )

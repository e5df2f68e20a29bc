"""Budgets: whether something that costs money begins by itself, or is held or rejected beforehand."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from signalbox.prices import is_stand_in
from signalbox.task import Task
from signalbox.wording import dollars

OF_TASK = "the task's dataset.budget_usd"


@dataclass(frozen=True)
class Excess:
    """Why something does not keep within a budget: in one sentence without its full stop, and in figures."""

    reason: str
    usd: dict[str, float] = field(default_factory=dict)


def excess(
    what: str, model: str, cost: Mapping[str, Any], budget_usd: float | None, setting: str = OF_TASK
) -> Excess | None:
    """Say why something does not keep within a budget, or return None if it does, or there is none.

    A budget is compared with what may be spent at most, not with the estimate: a limit that is kept as a rule only is
    none. A price that is unknown keeps within no budget. A stand-in on one machine costs nothing, so there only a
    budget of 0 stands in its way.

    Parameters
    ----------
    what : str
        What costs money, to be named in the reason.
    model : str
        By whose price it goes.
    cost : Mapping
        `usd` and `at_most_usd`, or `unknown` with a reason; empty if nothing was estimated.
    setting : str
        Where the budget is set.
    """
    if budget_usd is None:
        return None
    if "at_most_usd" in cost:
        if cost["at_most_usd"] <= budget_usd:
            return None
        usd = {"estimate": cost["usd"], "at_most": cost["at_most_usd"], "budget": budget_usd}
        return Excess(
            f"{what} may cost {dollars(usd['at_most'])} (estimate {dollars(usd['estimate'])}), more than {setting} of "
            f"{dollars(budget_usd)}",
            usd,
        )
    if budget_usd == 0:
        return Excess(f"{setting} is 0, which holds {what}")
    if is_stand_in(model):
        return None
    return Excess(
        f"whether {what} will keep within {setting} of {dollars(budget_usd)} is not known: "
        f"{cost.get('unknown', 'the cost was not estimated')}",
        {"budget": budget_usd},
    )


def excess_of_job(task: Task, cost: Mapping[str, Any] | None) -> Excess | None:
    """Say why a task's customization job has to be released by a person, or return None if it may start.

    Bedrock may grow a dataset to many times its size, which is what the job may cost at most.

    Parameters
    ----------
    cost : Mapping | None
        `cost` of validation.json.
    """
    if task.customization is None or "bedrock" not in task.candidates:
        return None
    known = dict(cost or {})
    if "training_usd" in known:
        known["usd"] = known["training_usd"]
    return excess("the customization job", task.customization.student, known, task.dataset.budget_usd)

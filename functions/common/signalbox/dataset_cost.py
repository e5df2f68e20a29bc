"""What a dataset's customization job is estimated to cost, before it starts, and whether that is within the budget."""

from statistics import fmean
from typing import Any

from signalbox.budget import excess_of_job
from signalbox.cost import of_training, tokens_of
from signalbox.customization import Customization
from signalbox.dataset import Dataset
from signalbox.prices import PriceUnknown
from signalbox.task import Task


def add_cost(dataset: Dataset, task: Task, region: str) -> None:
    """Add `tokens` and `cost` to a dataset's findings, and a warning if the job will not start by itself.

    Parameters
    ----------
    region : str
        Where the job runs.
    """
    if not dataset.train:
        return
    read = fmean(tokens_of([task.prompt, record.query]) for record in dataset.train)
    written = [tokens_of([record.answer_text]) for record in dataset.train if record.answer_text is not None]
    dataset.quality["tokens"] = {
        "records": len(dataset.train),
        "read_by_record": round(read, 1),
        "written_by_record": round(fmean(written), 1) if written else None,
    }
    if task.customization is None or "bedrock" not in task.candidates:
        return
    dataset.quality["cost"] = _of_job(task, task.customization, len(dataset.train), read, written, region)
    beyond = excess_of_job(task, dataset.quality["cost"])
    if beyond is not None:
        dataset.warnings.append(f"{beyond.reason}; the run waits for a person to release it")


def _of_job(
    task: Task, customization: Customization, records: int, read: float, written: list[int], region: str
) -> dict[str, Any]:
    budget = task.dataset.budget_usd
    said = fmean(written) if written else customization.max_response_tokens
    try:
        training = of_training(customization, records, read, said, region)
    except PriceUnknown as unknown:
        return {"unknown": str(unknown), "budget_usd": budget, "within_budget": None}
    return {
        "training_usd": round(training.usd, 4),
        "at_most_usd": round(training.at_most, 4),
        "model_month_usd": round(training.month, 4),
        "prices_of": training.prices_of.isoformat(),
        "region": region,
        "budget_usd": budget,
        "within_budget": None if budget is None else training.at_most <= budget,
    }

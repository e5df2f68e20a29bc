"""What a dataset's customization job is estimated to cost, before it starts, and whether that is within the budget."""

from statistics import fmean

from signalbox.cost import of_training, tokens_of
from signalbox.dataset import Dataset
from signalbox.prices import PriceUnknown
from signalbox.task import Task


def add_cost(dataset: Dataset, task: Task, region: str) -> None:
    """Add `tokens` and `cost` to a dataset's findings, and a warning if the task's budget is less.

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
    budget = task.dataset.budget_usd
    said = fmean(written) if written else task.customization.max_response_tokens
    try:
        training = of_training(task.customization, len(dataset.train), read, said, region)
    except PriceUnknown as unknown:
        dataset.quality["cost"] = {"unknown": str(unknown), "budget_usd": budget, "within_budget": None}
        return
    dataset.quality["cost"] = {
        "training_usd": round(training.usd, 4),
        "at_most_usd": round(training.at_most, 4),
        "model_month_usd": round(training.month, 4),
        "prices_of": training.prices_of.isoformat(),
        "region": region,
        "budget_usd": budget,
        "within_budget": None if budget is None else training.at_most <= budget,
    }
    if budget is not None and training.at_most > budget:
        dataset.warnings.append(
            f"the customization job may cost {training.at_most:.2f} USD (estimate {training.usd:.2f}), more than the "
            f"task's dataset.budget_usd of {budget:.2f}"
        )

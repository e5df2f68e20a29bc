"""Why a dataset is rejected: in sentences that say what to do about it."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from signalbox.cost import room_for
from signalbox.dataset_quality import longest_of
from signalbox.dataset_reading import most_invalid
from signalbox.golden_set import MIN_GOLDEN
from signalbox.task import Labels, Task

if TYPE_CHECKING:
    from signalbox.dataset import Dataset


def faults(dataset: "Dataset", task: Task) -> Iterable[str]:
    """Say why a dataset cannot be used, whatever the teacher would answer."""
    counts, limits = dataset.counts, task.limits
    if counts["records"] > limits.most:
        yield (
            f"the dataset has more than {limits.most:,} usable records, the most that Bedrock takes ({limits.source}); "
            "drop fewer"
        )
        return
    if counts["lines"] == 0:
        yield "the dataset is empty"
        return
    if counts["invalid"] > most_invalid(task):
        yield (
            f"{counts['invalid']:,} of the first {counts['lines']:,} lines cannot be used, more than "
            f"dataset.max_invalid_share of the task ({task.dataset.max_invalid_share:.1%}) allows in any dataset of "
            f"{limits.most:,} records; mend the lines listed"
        )
        return
    if counts["invalid"] > task.dataset.max_invalid_share * counts["lines"]:
        yield (
            f"{counts['invalid']:,} of {counts['lines']:,} lines cannot be used, more than the "
            f"{task.dataset.max_invalid_share:.1%} that dataset.max_invalid_share of the task allows; mend the lines "
            "listed"
        )
    if counts["records"] < limits.least:
        yield f"{counts['records']:,} usable records; at least {limits.least} are needed ({limits.source})"


def shortcomings(dataset: "Dataset", task: Task) -> Iterable[str]:
    """Say what a dataset lacks that could be used."""
    counts, limits = dataset.counts, task.limits
    if limits.labelled and counts["prompt_only"] > task.dataset.max_invalid_share * counts["records"]:
        yield (
            f"{counts['prompt_only']:,} of {counts['records']:,} records have no answer, and "
            f"{_type_of(task)} trains on answers alone ({limits.labelled}); label them, or choose "
            f"customization.type DISTILLATION, whose teacher does{_or_have_it_labelled(counts, task)}"
        )
        return
    if counts["golden"] < MIN_GOLDEN:
        yield (
            f"the golden set would have {counts['golden']} queries, at least {MIN_GOLDEN} are needed; add labelled "
            f"records, or put a golden set at tasks/{task.name}/golden.jsonl{_or_have_it_labelled(counts, task)}"
        )
        return
    yield from flaws(dataset, task)
    trainable = _trainable(dataset, task)
    if trainable < limits.least:
        yield (
            f"{trainable} records are left for training once {_set_aside(counts)} set aside; at least "
            f"{limits.least} are needed ({limits.source}){_or_have_it_labelled(counts, task)}"
        )


def flaws(dataset: "Dataset", task: Task, to_come: int = 0) -> Iterable[str]:
    """Say what is wrong with a dataset even if as many answers as are `to_come` are all good and all different."""
    counts, limits = dataset.counts, task.limits
    labelled, constant = counts["labelled"], dataset.quality["constant_answers"]["share"]
    most_constant = task.dataset.max_constant_share
    if labelled >= MIN_GOLDEN and constant * labelled > most_constant * (labelled + to_come):
        yield (
            f"{constant:.1%} of the {labelled:,} labelled records have one and the same answer, more than "
            f"the {most_constant:.1%} that dataset.max_constant_share of the task allows; see "
            "whether the teacher looked at the queries and label them again, or raise it if they are right"
        )
    long = dataset.quality.get("long_answers")
    # A label may have fewer tokens than its letters say.
    is_weighed = long and not isinstance(task.output, Labels)
    if is_weighed and long["answers"] >= MIN_GOLDEN and 2 * long["longer"] >= long["answers"] + to_come:
        yield (
            f"{long['longer']:,} of the {long['answers']:,} answers are longer than "
            f"customization.max_response_tokens ({long['most']:,}) of the task, where the served student is cut off, "
            f"so most of what it learns to say could not be used; raise it to {room_for(long['longest']):,} "
            f"({longest_of(long)}), or shorten the answers"
        )
    held_out = MIN_GOLDEN if dataset.quality["near_leakage"]["split_off"] else counts["leaked"]
    if to_come and counts["records"] - held_out < limits.least:
        yield (
            f"{counts['records'] - held_out} records at most would be left for training, whatever the teacher answers, "
            f"once the golden queries are set aside; at least {limits.least} are needed ({limits.source}); add records"
        )
    trainable = _trainable(dataset, task)
    if trainable + counts.get("validation", 0) > limits.most:
        yield (
            f"{trainable:,} records to train on and {counts['validation']:,} to validate with are more than the "
            f"{limits.most:,} that Bedrock takes together ({limits.source}); drop fewer"
        )


def _trainable(dataset: "Dataset", task: Task) -> int:
    """Count the training records that a customization job or, without one, the embedded student learns from."""
    if "bedrock" in task.candidates:
        return dataset.counts["train"]
    return sum(record.answer is not None for record in dataset.train)


def _or_have_it_labelled(counts: dict[str, int], task: Task) -> str:
    if not counts["prompt_only"] or task.dataset.label:
        return ""
    return "; or let the task say dataset.label: auto, and its teacher answers what has no answer"


def _type_of(task: Task) -> str:
    return task.customization.type if task.customization else ""


def _set_aside(counts: dict[str, int]) -> str:
    golden = f"the golden set of {counts['golden']} queries"
    if counts.get("validation"):
        return f"{golden} and the validation set of {counts['validation']} are"
    return f"{golden} is"

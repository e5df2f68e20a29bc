"""The comparison of a new model with the live one: on the new golden set, and on that of the live run.

A golden set that was split off a dataset has its faults, and a model that has learnt these looks perfect on it. What
the live model was measured on is older than the new dataset, and has no part in them.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from signalbox.candidate import (
    Candidate,
    Refused,
    answers_in_time,
    answers_of,
    candidates_of,
    live_candidate,
    measure,
)
from signalbox.gates import LEAST_COMPARED
from signalbox.live import Live
from signalbox.pipeline import Pipeline
from signalbox.query import normalise
from signalbox.records import Record, read_records
from signalbox.run import Run
from signalbox.scoring import Comparison, Prediction, compare
from signalbox.store import COMPARISON, GOLDEN, TRAIN, predictions_of
from signalbox.task import Task

ASKED_BESIDE = "asked_on_live_golden"
"""What comparison.json has of the tokens that were paid for to compare on the live run's golden set."""


@dataclass(frozen=True)
class WithLive:
    """How a new model compares with the live one; in the place of what cannot be compared, why.

    Attributes
    ----------
    on_golden : Comparison | str | None
        On the run's own golden set, without what the live model was trained on; None if nothing is live.
    on_live_golden : Comparison | str | None
        On that of the live run, without what the new model was trained on; None if nothing is live.
    """

    on_golden: Comparison | str | None = None
    on_live_golden: Comparison | str | None = None


def compare_with_live(run: Run, task: Task, live: Live, pipeline: Pipeline) -> WithLive:
    """Ask the two what they have not been asked yet, and compare them.

    Keeps under the run comparison.json, predictions/live-<run_id>.jsonl, and what was asked of the live run's golden
    set in predictions/live-<run_id>-golden-<who>.jsonl, with the tokens of that in comparison.json.
    """
    written: dict[str, Any] = {}
    on_golden: Comparison | str
    try:
        measured, on_golden = _on_golden(run, task, live, pipeline)
        written |= {"live": measured, "compared_with_live": _written(live, on_golden)}
    except Refused as refused:
        on_golden = f"{live.model} of {live.run_id}: {refused}"
        written["not_compared"] = {"live": on_golden}
    on_live_golden: Comparison | str
    try:
        on_live_golden = _on_live_golden(run, task, live, pipeline)
        written["compared_on_live_golden"] = _written(live, on_live_golden)
    except Refused as refused:
        on_live_golden = str(refused)
    written[ASKED_BESIDE] = _asked_on_live_golden(run, task, live, pipeline)
    pipeline.store.put(run.id, COMPARISON, json.dumps(written, indent=1))
    return WithLive(on_golden, on_live_golden)


def _written(live: Live, comparison: Comparison) -> dict[str, Any]:
    return {"run_id": live.run_id, **asdict(comparison)}


def _on_golden(run: Run, task: Task, live: Live, pipeline: Pipeline) -> tuple[dict[str, Any], Comparison]:
    """Measure what is live on the run's golden set; compare on the queries that it was not trained on."""
    candidate = live_candidate(live, task, pipeline)
    seen = _trained_on(live.run_id, pipeline)
    golden = pipeline.records(run, GOLDEN, task)
    said = answers_in_time(candidate, run, task, golden, pipeline, kept_as=f"live-{live.run_id}")
    own = _kept(run.id, task.first_served, pipeline)
    unseen = [theirs for theirs in said if normalise(theirs.query) not in seen]
    comparison = compare([own[normalise(theirs.query)] for theirs in unseen], unseen, task.output)
    return measure(candidate, said, task.output, pipeline.bedrock.region), comparison


def _on_live_golden(run: Run, task: Task, live: Live, pipeline: Pipeline) -> Comparison:
    """Compare on the live run's golden queries and answers, without those that the new model was trained on.

    Raises
    ------
    Refused
        There is no such comparison, or none that says anything.
    """
    if task.gates.not_worse_than_live is None:
        raise Refused("the task does not ask for it")
    golden = _golden_of(live, task, pipeline)
    if _references(golden) == _references(pipeline.records(run, GOLDEN, task)):
        raise Refused(f"it is the same golden set that {live.run_id} was measured on")
    seen = _trained_on(run.id, pipeline)
    unseen = [record for record in golden if record.key not in seen]
    if len(unseen) < LEAST_COMPARED:
        raise Refused(
            f"only {len(unseen)} queries of the golden set of {live.run_id} are not among those that this model was "
            f"trained on, at least {LEAST_COMPARED} are needed"
        )

    def ask_live(records: Sequence[Record]) -> list[Prediction]:
        candidate = live_candidate(live, task, pipeline)
        return answers_in_time(candidate, run, task, records, pipeline, _beside(live, "live"))

    def ask_new(records: Sequence[Record]) -> list[Prediction]:
        candidate = _first_served(run, task, pipeline)
        return _answers_or_refusals(candidate, run, records, pipeline, _beside(live, task.first_served))

    then = Task.model_validate(live.task)
    said_by_live = _kept(run.id, f"live-{live.run_id}", pipeline) | _kept(
        live.run_id, then.first_served, pipeline
    )
    theirs = _answers(unseen, said_by_live, ask_live)
    own = _answers(unseen, _kept(run.id, task.first_served, pipeline), ask_new)
    return compare(own, theirs, task.output)


def _beside(live: Live, who: str) -> str:
    """Name what `live`, or a candidate of the run, was asked of the live run's golden set."""
    return f"live-{live.run_id}-golden-{who}"


def _asked_on_live_golden(run: Run, task: Task, live: Live, pipeline: Pipeline) -> list[dict[str, Any]]:
    """Return of each model that is paid by the token for its answers to it `model` and `tokens`, as metrics.json does.

    They are counted by what is kept, since the answers that a model gave before it fell silent were paid for as well.
    """
    asked: dict[str, Callable[[], Candidate]] = {
        "live": lambda: live_candidate(live, task, pipeline),
        task.first_served: lambda: _first_served(run, task, pipeline),
    }
    paid = []
    for who, candidate in asked.items():
        said = _kept(run.id, _beside(live, who), pipeline).values()
        tokens = {
            "input": sum(one.input_tokens for one in said),
            "output": sum(one.output_tokens for one in said),
        }
        if any(tokens.values()) and (model := candidate()).role != "provisioned":
            paid.append({"model": model.model, "tokens": tokens})
    return paid


def _golden_of(live: Live, task: Task, pipeline: Pipeline) -> list[Record]:
    then = Task.model_validate(live.task)
    if then.output != task.output:
        raise Refused("what is live answers with another output")
    content = pipeline.store.get(live.run_id, GOLDEN)
    if content is None:
        raise Refused(f"the golden set of {live.run_id} is gone")
    entries = list(read_records([content], then))
    records = [entry for entry in entries if isinstance(entry, Record)]
    if len(records) < len(entries):
        raise Refused(f"the golden set of {live.run_id} cannot be read")
    return records


def _references(golden: Sequence[Record]) -> dict[str, str | None]:
    return {record.key: record.answer_text for record in golden}


def _trained_on(run_id: str, pipeline: Pipeline) -> set[str]:
    """Return the normalised queries that a model learnt from, on which it would look better than it is."""
    content = pipeline.store.get(run_id, TRAIN)
    if content is None:
        raise Refused(f"what {run_id} was trained on is gone")
    conversations = map(json.loads, content.splitlines())
    return {normalise(conversation["messages"][0]["content"][0]["text"]) for conversation in conversations}


def _kept(run_id: str, name: str, pipeline: Pipeline) -> dict[str, Prediction]:
    """Return by normalised query what a candidate of a run has said; nothing if that is gone."""
    content = pipeline.store.get(run_id, predictions_of(name)) or b""
    said = map(Prediction.model_validate_json, content.splitlines())
    return {normalise(prediction.query): prediction for prediction in said}


def _answers(
    golden: Sequence[Record],
    kept: dict[str, Prediction],
    ask: Callable[[Sequence[Record]], list[Prediction]],
) -> list[Prediction]:
    """Return an answer a query, to be measured by the reference given here; only what was never asked is asked."""
    missing = [record for record in golden if record.key not in kept]
    asked = {normalise(said.query): said for said in ask(missing)} if missing else {}
    said = kept | asked
    return [said[record.key].model_copy(update={"reference": record.answer_text or ""}) for record in golden]


def _first_served(run: Run, task: Task, pipeline: Pipeline) -> Candidate:
    candidates = candidates_of(run, task, pipeline)
    return next(candidate for candidate in candidates if candidate.name == task.first_served)


def _answers_or_refusals(
    candidate: Candidate, run: Run, records: Sequence[Record], pipeline: Pipeline, kept_as: str
) -> list[Prediction]:
    """Ask the model that is to go live; one that refuses every query has given no answer, and is not excused."""
    try:
        return answers_of(candidate, run, records, pipeline, kept_as)
    except Refused as refused:
        return [Prediction(query=record.query, reference="", error=str(refused)) for record in records]

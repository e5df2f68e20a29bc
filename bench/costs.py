"""Computes the tables and the worked example of docs/costs.md, which a test compares with the page.

PYTHONPATH=functions/common python -m bench.costs writes them into the page.
"""

import json
import re
from pathlib import Path
from statistics import fmean
from typing import Any

from signalbox import cost
from signalbox.prices import Source, prices
from signalbox.task import Task

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "costs.md"
REGION = "us-east-1"
TRAINED, GOLDEN = 680, 120
"""Records of examples/video-search.jsonl that a run trains on, and its golden queries."""
STUDENT_MS, HAIKU_MS = 833.0, 1741.0
"""Mean latencies that AWS published (see published.py): for a distilled Nova Micro, and for Claude Haiku 4.5."""


def filled(page: str) -> str:
    """Return the page with each part between its markers, `<!-- name -->` and `<!-- / -->`, computed afresh."""
    parts = {"prices": _prices, "sources": _sources, "queries": _queries, "run": _run}

    def part(found: re.Match[str]) -> str:
        return f"<!-- {found[1]} -->\n{parts[found[1]]()}\n<!-- / -->"

    return re.sub(r"<!-- (\w+) -->\n.*?<!-- / -->", part, page, flags=re.DOTALL)


def _table(*rows: tuple[str, ...]) -> str:
    head, *others = rows
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ("---",) * len(head), *others))


def _prices() -> str:
    book = prices()
    rows = [("what", "price in USD", "per", "region", "as of", "sources")]
    for token in book.inference:
        figures = f"{token.usd_per_million_input_tokens:g} in, {token.usd_per_million_output_tokens:g} out"
        rows.append(_row(f"`{token.model}`, {token.route}", figures, "million tokens", token))
    for training in book.customization:
        figure = f"{training.usd_per_million_training_tokens:g}"
        name = f"training of `{training.model}`"
        rows.append(_row(name, figure, "million tokens and epoch", training))
        figure = f"{training.usd_per_model_month:g}"
        rows.append(_row(f"keeping a custom `{training.model}`", figure, "model and month", training))
    for request in book.requests:
        figure = f"{request.usd_per_million_requests:g}"
        rows.append(_row(f"{request.service} requests", figure, "million requests", request))
    for duration in book.durations:
        figure = f"{duration.usd_per_gb_second:.10f}"
        rows.append(_row(f"{duration.service} duration", figure, "GB-second", duration))
    return _table(*rows)


def _row(what: str, figure: str, unit: str, price: Any) -> tuple[str, ...]:
    numbers = [str(list(prices().sources).index(key) + 1) for key in price.sources]
    return what, figure, unit, price.region, price.date.isoformat(), ", ".join(numbers)


def _sources() -> str:
    def line(number: int, source: Source) -> str:
        publisher = "AWS" if source.by == "AWS" else "not AWS"
        return f"{number}. [{source.document}]({source.address}), copy of {source.date} ({publisher})"

    return "\n".join(line(number, source) for number, source in enumerate(prices().sources.values(), 1))


def _example() -> tuple[Task, float, float]:
    """Return the task of the examples, and the mean tokens of a record, by length: prompt and query, and answer."""
    task = Task.from_yaml((ROOT / "tasks" / "video-search" / "task.yaml").read_bytes())
    lines = (ROOT / "examples" / "video-search.jsonl").read_text("utf-8").splitlines()
    pairs = [[turn["content"][0]["text"] for turn in json.loads(line)["messages"]] for line in lines]
    read = fmean(cost.tokens_of([task.prompt, query]) for query, _ in pairs)
    return task, read, fmean(cost.tokens_of([answer]) for _, answer in pairs)


def _candidates() -> dict[str, tuple[str, cost.Role, float]]:
    """Return model, role and mean latency of who answers in the example."""
    task, _, _ = _example()
    assert task.customization and task.compare.base and task.compare.baseline
    figures = json.loads((ROOT / "bench" / "results.json").read_text("utf-8"))["figures"]
    embedded = next(figure["value"] for figure in figures if figure["name"] == "one query, p50") / 1000
    return {
        "embedded": ("embedded student", "embedded", embedded),
        "bedrock": (task.customization.result, "bedrock", STUDENT_MS),
        "base": (task.compare.base, "base", STUDENT_MS),
        "baseline": (task.compare.baseline, "baseline", HAIKU_MS),
    }


def _queries() -> str:
    _, read, written = _example()
    rows = [
        ("tier", "model", "tokens of the model", "API and function", "a million queries", "1,000 queries")
    ]
    for name, (model, role, latency) in _candidates().items():
        tokens = (0, 0) if role == "embedded" else (round(1000 * read), round(1000 * written))
        said = cost.of_queries(model, role, *tokens, 1000, latency, REGION)
        rows.append(
            (
                name,
                f"`{model}`",
                f"${said['model_per_million']:.2f}",
                f"${said['infrastructure_per_million']:.2f}",
                f"${said['per_million_queries']:.2f}",
                f"${said['per_1000_queries']:.4f}",
            )
        )
    return f"{read:.0f} tokens in and {written:.0f} out a query, in {REGION}:\n\n{_table(*rows)}"


def _run() -> str:
    task, read, written = _example()
    counted = {"input": round(GOLDEN * read), "output": round(GOLDEN * written)}
    candidates = {
        name: {
            "model": model,
            "tokens": {"input": 0, "output": 0} if role == "embedded" else counted,
            "judge": {"handed_over": GOLDEN},
        }
        for name, (model, role, _) in _candidates().items()
    }
    said = cost.of_run(task, {"train": TRAINED}, {"golden": GOLDEN, "candidates": candidates}, REGION)
    assert task.customization
    training = cost.of_training(task.customization, TRAINED, read, written, REGION)
    return _table(
        ("part", "USD", ""),
        (
            "training",
            f"{said['training']:.2f}",
            f"teacher {training.teacher:.2f}, student {training.student:.2f}",
        ),
        ("evaluation", f"{said['evaluation']:.2f}", f"{GOLDEN} golden queries, three models of Bedrock's"),
        ("judge", f"{said['judge']:.2f}", f"{GOLDEN} answers of each of {len(candidates)} candidates"),
        ("**total**", f"**{said['total']:.2f}**", f"prices of {said['prices_of']} and later"),
        ("at most, training", f"{training.at_most:.2f}", "the budget of `of_training`: `at_most`"),
        ("a month", f"{training.month:.2f}", "keeping the custom model, used or not"),
    )


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text("utf-8")), "utf-8")

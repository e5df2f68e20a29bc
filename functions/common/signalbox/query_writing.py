"""Queries that the teacher thinks of: asked for in batches, each for one level, edge case or language in turn."""

import json
import random
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from signalbox.bedrock import REFUSED, Busy
from signalbox.generation import Generation
from signalbox.generation_request import GenerationRequest, names_of
from signalbox.pipeline import Pipeline
from signalbox.run import PermanentFailure
from signalbox.store import RunStore
from signalbox.synthetic_queries import Query, Selection
from signalbox.task import Task

AT_WORK_SECONDS = 500
"""How long one invocation asks for queries; the next goes on."""
_QUERIES_AN_ANSWER = 25
_SEEDS_SHOWN = 12
_CONCURRENT = 8
_MOST_TOKENS = 2000
_MOST_ASKS_A_QUERY = 0.2
"""Five times as many answers as would do if every query could be used: then the teacher has no more ideas."""

_INSTRUCTIONS = (
    "You write search queries to train a classifier on. The user's message is a JSON object that says what is "
    "searched, how many queries are wanted, examples, and what these queries are to be like. Write queries as real "
    "people type them, each different from the others and from the examples, none longer than 200 characters. Answer "
    "with one JSON array of texts and nothing else."
)


def write(
    request: GenerationRequest,
    task: Task,
    generation: Generation,
    selection: Selection,
    wanted: int,
    pipeline: Pipeline,
    store: RunStore,
) -> bool:
    """Add queries that the teacher thinks of to a selection, and tell whether that is done.

    Answers are stored as they come, so that an invocation after a crash, or after the time is up, goes on.

    Raises
    ------
    Busy
        The teacher could not be asked for the moment.
    PermanentFailure
        Bedrock refuses to ask it.
    """
    begun, number = time.monotonic(), 0
    most = max(_CONCURRENT, round((wanted - len(selection.kept)) * _MOST_ASKS_A_QUERY))
    briefs = _briefs(request, task)
    with ThreadPoolExecutor(_CONCURRENT) as threads:
        while len(selection.kept) < wanted and number < most:
            asks = [(number + place, next(briefs)) for place in range(_CONCURRENT)]
            answers = threads.map(lambda ask: _answer(ask, task, generation, pipeline, store), asks)
            outcomes = list(answers)
            if failed := next((outcome for outcome in outcomes if isinstance(outcome, Exception)), None):
                raise failed
            # At once: each time all queries are compared with each other.
            selection.add([query for answer in outcomes for query in _queries(answer, selection)])
            number += _CONCURRENT
            if len(selection.kept) < wanted and time.monotonic() - begun > AT_WORK_SECONDS:
                pipeline.bus.nudge(generation)
                return False
            pipeline.generations.note(generation, waiting="")
    del selection.kept[wanted:]
    return True


def _briefs(request: GenerationRequest, task: Task) -> Iterator[dict[str, Any]]:
    """Yield what the teacher is told, one after the other without end, the same for the same request."""
    chosen = random.Random(request.seed)
    kinds = [*request.levels, *request.edge_cases] or [""]
    wishes = list(product(kinds, request.languages or ("",), names_of(task)))
    while True:
        chosen.shuffle(wishes)
        for kind, language, name in wishes:
            seeds = chosen.sample(request.seeds, min(_SEEDS_SHOWN, len(request.seeds)))
            brief = {
                "searched": request.description,
                "queries": _QUERIES_AN_ANSWER,
                "examples": seeds,
                "kind": kind,
                "language": language,
                "mostly about": name,
                "of": list(names_of(task)),
                "variation": chosen.randrange(1_000_000),
            }
            yield {key: value for key, value in brief.items() if value != "" and value != []}


def _answer(
    ask: tuple[int, dict[str, Any]], task: Task, generation: Generation, pipeline: Pipeline, store: RunStore
) -> str | Exception:
    """Return what the teacher answered to a brief, now or before; or why it could not be asked."""
    number, brief = ask
    name = f"written/{number:05d}.json"
    if (kept := store.get(generation.id, name)) is not None:
        return kept.decode()
    assert task.customization is not None
    asked = {
        "system": [{"text": _INSTRUCTIONS}],
        "messages": [{"role": "user", "content": [{"text": json.dumps(brief, ensure_ascii=False)}]}],
        "inferenceConfig": {"maxTokens": _MOST_TOKENS, "temperature": 1.0},
    }
    try:
        output = pipeline.bedrock.converse(task.customization.teacher, asked)
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code in REFUSED:
            remedy = "correct customization.teacher in the task, then upload the request again"
            return PermanentFailure(
                "write", f"Bedrock: {code} when the teacher was asked for queries", remedy
            )
        return Busy(f"the teacher could not be asked for the moment: {code}")
    except BotoCoreError as error:
        return Busy(f"the teacher could not be asked for the moment: {type(error).__name__}")
    text = "".join(content.get("text", "") for content in output["output"]["message"]["content"])
    store.put(generation.id, name, text)
    return text


def _queries(answer: str, selection: Selection) -> Iterator[Query]:
    """Read an answer, of which nothing but an array of texts is taken."""
    try:
        texts = json.loads(answer)
    except (ValueError, RecursionError):
        texts = None
    if not isinstance(texts, list):
        selection.left_out["unreadable_answers"] += 1
        return
    for text in texts:
        if isinstance(text, str):
            yield Query(" ".join(text.split()), "teacher")
        else:
            selection.left_out["unusable"] += 1

"""Queries that the teacher thinks of: asked for in batches, each for one level, edge case or language in turn."""

import json
import random
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from statistics import fmean
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from signalbox.bedrock import REFUSED, Busy
from signalbox.cost import tokens_of
from signalbox.failure import PermanentFailure
from signalbox.generation_request import GenerationRequest, names_of
from signalbox.generation_work import TimeUp, Work
from signalbox.labelling import Tokens, teacher_of, tokens_in
from signalbox.synthetic_queries import Query, Selection
from signalbox.task import Task

AT_WORK_SECONDS = 500
"""How long one invocation asks for queries; the next goes on."""
_FEWEST_AN_ANSWER, _MOST_AN_ANSWER = 5, 25
"""Queries asked for at a time."""
_SEEDS_SHOWN = 12
_CONCURRENT = 8
_MOST_TOKENS = 2000
_QUERY = 10
"""Tokens of a query, where no seeds say how long they are."""
_FOLDER = "written/"
_PATIENCE = 5
"""After so many times as many answers as would do, if every query could be used, the teacher has no more ideas."""

_INSTRUCTIONS = (
    "You write search queries to train a classifier on. The user's message is a JSON object that says what is "
    "searched, how many queries are wanted, examples, and what these queries are to be like. Write queries as real "
    "people type them, each different from the others and from the examples, none longer than 200 characters. Answer "
    "with one JSON array of texts and nothing else."
)


def expense(request: GenerationRequest, task: Task, lacking: int) -> tuple[Tokens, Tokens]:
    """Return what the teacher is expected to read and write to think of so many queries, and at most."""
    if lacking <= 0:
        return Tokens(), Tokens()
    number = _an_answer(request, task, lacking)
    brief = json.dumps(next(_briefs(request, task, number)), ensure_ascii=False)
    read, query = (
        tokens_of([_INSTRUCTIONS, brief]),
        fmean([tokens_of([seed]) for seed in request.seeds] or [_QUERY]),
    )
    asks, most = _asks(lacking, number), _most_asks(lacking, number)
    written = asks * min(number * query, _MOST_TOKENS)
    return Tokens(asks * read, written), Tokens(most * read, most * _MOST_TOKENS)


def write(work: Work, request: GenerationRequest, task: Task, selection: Selection, wanted: int) -> None:
    """Add queries that the teacher thinks of to a selection.

    Answers are stored as they come, so that an invocation after a crash, or after the time is up, goes on.

    Raises
    ------
    Busy
        The teacher could not be asked for the moment.
    TimeUp
        The next invocation has to go on.
    PermanentFailure
        Bedrock refuses to ask it.
    """
    begun, number = time.monotonic(), 0
    an_answer = _an_answer(request, task, wanted - len(selection.kept))
    most = _most_asks(wanted - len(selection.kept), an_answer)
    briefs = _briefs(request, task, an_answer)
    with ThreadPoolExecutor(_CONCURRENT) as threads:
        while len(selection.kept) < wanted and number < most:
            asks = [(number + place, next(briefs)) for place in range(_CONCURRENT)]
            outcomes = list(threads.map(lambda ask: _answer(ask, task, work), asks))
            if failed := next((outcome for outcome in outcomes if isinstance(outcome, Exception)), None):
                raise failed
            # At once: each time all queries are compared with each other.
            answered = zip(asks, outcomes, strict=True)
            selection.add(
                [query for ask, answer in answered for query in _queries(answer, ask[1], selection)]
            )
            number += _CONCURRENT
            if len(selection.kept) < wanted and time.monotonic() - begun > AT_WORK_SECONDS:
                raise TimeUp
            work.wait("")
    del selection.kept[wanted:]


def written_tokens(work: Work) -> Tokens:
    """Return the tokens that the teacher read and wrote to think of queries."""
    answers = work.store.found(work.generation.id, _FOLDER, ".json")
    return sum((tokens_in(json.loads(answer)) for answer in answers), Tokens())


def _an_answer(request: GenerationRequest, task: Task, lacking: int) -> int:
    """Return how many queries to ask for at a time, so few that every level, language and signal has its turn."""
    turns = max(len(_kinds(request)), len(request.languages), len(names_of(task)))
    return max(_FEWEST_AN_ANSWER, min(_MOST_AN_ANSWER, -(-lacking // turns)))


def _asks(queries: int, an_answer: int) -> int:
    """Return how often the teacher is asked for so many queries, as it is asked several times at once."""
    at_once = an_answer * _CONCURRENT
    return _CONCURRENT * -(-queries // at_once)


def _most_asks(lacking: int, an_answer: int) -> int:
    return _asks(_PATIENCE * lacking, an_answer)


def _kinds(request: GenerationRequest) -> Sequence[str]:
    return [*request.levels, *request.edge_cases] or [""]


def _briefs(request: GenerationRequest, task: Task, number: int) -> Iterator[dict[str, Any]]:
    """Yield what the teacher is told, one after the other without end, the same for the same request.

    Levels and edge cases, languages, and signals or labels take turns, each in an order of its own that is drawn anew
    once all have had one: so each is asked for as often as the others, and with each of the others in time.
    """
    chosen = random.Random(request.seed)
    turns = (
        _in_turn(values, chosen) for values in (_kinds(request), request.languages or [""], names_of(task))
    )
    for kind, language, name in zip(*turns, strict=True):
        brief = {
            "searched": request.description,
            "queries": number,
            "examples": chosen.sample(request.seeds, min(_SEEDS_SHOWN, len(request.seeds))),
            "kind": kind,
            "language": language,
            "mostly about": name,
            "of": list(names_of(task)),
            "variation": chosen.randrange(1_000_000),
        }
        yield {key: value for key, value in brief.items() if value != "" and value != []}


def _in_turn(values: Sequence[str], chosen: random.Random) -> Iterator[str]:
    while True:
        yield from chosen.sample(values, len(values))


def _answer(ask: tuple[int, dict[str, Any]], task: Task, work: Work) -> str | Exception:
    """Return what the teacher answered to a brief, now or before; or why it could not be asked."""
    number, brief = ask
    name = f"{_FOLDER}{number:05d}.json"
    if (kept := work.store.get(work.generation.id, name)) is not None:
        return _text(json.loads(kept))
    asked = {
        "system": [{"text": _INSTRUCTIONS}],
        "messages": [{"role": "user", "content": [{"text": json.dumps(brief, ensure_ascii=False)}]}],
        "inferenceConfig": {"maxTokens": _MOST_TOKENS, "temperature": 1.0},
    }
    try:
        output = work.pipeline.bedrock.converse(teacher_of(task), asked)
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
    work.put(name, json.dumps(output, ensure_ascii=False))
    return _text(output)


def _text(output: dict[str, Any]) -> str:
    return "".join(content.get("text", "") for content in output["output"]["message"]["content"])


def _queries(answer: str, brief: dict[str, Any], selection: Selection) -> Iterator[Query]:
    """Read the answer to a brief, of which nothing but an array of texts is taken."""
    try:
        texts = json.loads(answer)
    except (ValueError, RecursionError):
        texts = None
    if not isinstance(texts, list):
        selection.left_out["unreadable_answers"] += 1
        return
    for text in texts:
        if isinstance(text, str):
            asked_for = {"kind": brief.get("kind", ""), "language": brief.get("language", "")}
            yield Query(" ".join(text.split()), "teacher", **asked_for)
        else:
            selection.left_out["unusable"] += 1

"""What `watch` remembers in a warm sandbox: to be kept with a moment, to grow older with the world, to be compared."""

import copy
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

from pydantic import BaseModel

from signalbox.pipeline import Pipeline
from signalbox.run import Run


def copied(warm: Pipeline) -> Pipeline:
    """Return a pipeline that remembers the same, and from then on for itself; runs that are remembered never change."""
    attention = copy.copy(warm.attention)
    vars(attention).update({name: copy.copy(kept) for name, kept in vars(attention).items()})
    return replace(warm, attention=attention, store=copy.copy(warm.store))


def grow_older(warm: Pipeline, by: timedelta) -> None:
    """Move all moments that are remembered into the past, as `World.age_all` does with those in the table."""
    attention = warm.attention
    attention._again = {known: at - by for known, at in attention._again.items()}
    attention._seen["runs"] = {key: _older(run, by) for key, run in attention._seen["runs"].items()}
    attention.shown = {task: [_older(run, by) for run in runs] for task, runs in attention.shown.items()}


def _older(run: Run, by: timedelta) -> Run:
    return run.model_copy(
        update={
            "created_at": run.created_at - by,
            "updated_at": run.updated_at - by,
            "released_at": run.released_at and run.released_at - by,
            "history": [moment.model_copy(update={"at": moment.at - by}) for moment in run.history],
        }
    )


def remembered(kept: Any) -> Iterator[str]:
    """Yield texts that say all that is remembered, whatever it is kept in."""
    match kept:
        case Pipeline():
            yield from remembered(vars(kept.attention))
        case dict():
            for key in sorted(kept):
                yield str(key)
                yield from remembered(kept[key])
        case set():
            yield from sorted(map(str, kept))
        case list():
            yield from (text for each in kept for text in remembered(each))
        case BaseModel():
            yield kept.model_dump_json()
        case _:
            yield str(kept)

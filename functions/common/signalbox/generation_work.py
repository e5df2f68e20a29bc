"""A generation at work: its folder under generations/, and the writes that bring it on."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

from signalbox.attempt import found_trouble, found_waiting
from signalbox.failure import PermanentFailure
from signalbox.generation import FOLDER, Generation, GenerationState
from signalbox.generation_request import GenerationRequest, Labelling
from signalbox.labelling import Question, output_lines, questions
from signalbox.pipeline import Pipeline
from signalbox.prepared import Prepared
from signalbox.run import now
from signalbox.store import TASK, RunStore
from signalbox.synthetic_queries import Query
from signalbox.task import Task

REQUEST, LABELLING, QUERIES, GATHERED = "request.json", "labelling.json", "queries.jsonl", "gathered.json"
REPORT = "report.json"
LABELLED = "labelled.jsonl"
"""A dropped dataset with the answers filled in, from which its run goes on."""


class TimeUp(Exception):
    """An invocation has been at work for as long as it should; the next is to go on."""


@dataclass(frozen=True)
class Work:
    """A generation with all that its steps need.

    Attributes
    ----------
    role_arn : str
        The role that Bedrock takes on to read records and write answers.
    """

    generation: Generation
    pipeline: Pipeline
    role_arn: str

    @property
    def store(self) -> RunStore:
        """The generation's own folder."""
        return self.pipeline.store.folder(FOLDER)

    @cached_property
    def task(self) -> Task:
        """The task as it was when the generation began."""
        return Task.model_validate_json(self.kept(TASK))

    @cached_property
    def request(self) -> GenerationRequest:
        """The request as it was read."""
        return GenerationRequest.model_validate_json(self.kept(REQUEST))

    @cached_property
    def labelling(self) -> Labelling:
        """How the teacher is asked."""
        return Labelling.model_validate_json(self.kept(LABELLING))

    @cached_property
    def queries(self) -> list[Query]:
        """What is to be labelled."""
        return [Query(**json.loads(line)) for line in self.kept(QUERIES).splitlines()]

    @property
    def asked(self) -> list[Question]:
        """Every question that the teacher is to answer."""
        return questions(len(self.queries), self.labelling.samples)

    def keep(self, prepared: Prepared) -> Prepared:
        """Store what is to be labelled, and how, and return it as it is stored.

        What another attempt has stored stands: answers are told apart by the places of their queries, so a list that
        was asked, or may be being asked, is never replaced by another.
        """
        written = output_lines(asdict(query) for query in prepared.queries)
        for name, content in (
            (TASK, prepared.task.to_json()),
            (LABELLING, prepared.labelling.model_dump_json()),
            (GATHERED, json.dumps(prepared.left_out)),
            (QUERIES, b"".join(written)),
        ):
            self.store.put_once(self.generation.id, name, content)
        return replace(prepared, task=self.task, labelling=self.labelling, queries=self.queries)

    def kept(self, name: str) -> bytes:
        """Return an object of the generation.

        Raises
        ------
        PermanentFailure
            It is gone.
        """
        content = self.store.get(self.generation.id, name)
        if content is None:
            reason = f"{name} of {self.generation.id} is gone"
            raise PermanentFailure("generate", reason, f"upload {self.generation.request.key} again")
        return content

    def put(self, name: str, content: bytes | str) -> None:
        """Write an object of the generation."""
        self.store.put(self.generation.id, name, content)

    def output(self, number: int) -> Iterator[bytes]:
        """Return the lines of answers of a round, whoever wrote them."""
        for name in self.store.names(self.generation.id, folder_of(number), ".jsonl.out"):
            yield from self.store.lines(self.generation.id, name)

    def move(self, to: GenerationState, note: str, **changes: Any) -> None:
        """Bring the generation on, and publish that."""
        self.pipeline.advance_generation(self.generation, to, note, **changes)

    def wait(self, reason: str, **changes: Any) -> None:
        """Note what the generation waits for, "" if nothing, and whatever else; that is a sign of life."""
        changes |= found_waiting(self.generation, reason, now())
        self.pipeline.generations.note(self.generation, **changes)

    def note_trouble(self, trouble: str) -> None:
        """Note what an attempt has broken off with; that is a sign of life as well."""
        self.pipeline.generations.note(self.generation, **found_trouble(self.generation, trouble, now()))


def folder_of(number: int) -> str:
    """Name the prefix of a round of labelling."""
    return f"labels-{number}/"

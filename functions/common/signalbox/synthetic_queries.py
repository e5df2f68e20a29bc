"""Queries made from templates, and the queries of a list that are fit to be labelled: no two nearly the same."""

import hashlib
import math
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Literal

from signalbox.generation_request import GenerationRequest, Template
from signalbox.near_duplicates import near_duplicates
from signalbox.query import MAX_QUERY_CHARACTERS, normalise

Source = Literal["template", "file", "teacher"]
_GOLDEN_RATIO = (math.sqrt(5) - 1) / 2
_PATIENCE = 5
"""After so many times as many queries as are wanted were left out, templates have no more that are of use."""
_LEAST_DRAWN = 0.05
"""Share of a signal's queries that is drawn at a time, if it lacks any."""


@dataclass(frozen=True, slots=True)
class Query:
    """A query to be labelled.

    Attributes
    ----------
    source : Source
        Where it comes from.
    leads : str
        What its template expects it to be about, "" if nothing.
    kind, language : str
        The level or edge case, and the language, for which the teacher thought of it; "" where none was asked for.
    """

    text: str
    source: Source
    leads: str = ""
    kind: str = ""
    language: str = ""


@dataclass
class Selection:
    """The queries that are fit to be labelled, in the order in which they were offered, and what was left out.

    Attributes
    ----------
    held_out : Sequence[str]
        Golden queries and those of a validation set, which nothing that is made may repeat.
    left_out : Counter[str]
        How many queries, by reason: unusable (empty or longer than the API takes), repeated, nearly_repeated,
        held_out (the same as one of `held_out`), nearly_held_out, not_tried (see `from_templates`).
    """

    held_out: Sequence[str] = ()
    kept: list[Query] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._held_out = list(dict.fromkeys(normalise(query) for query in self.held_out))
        self._known = set(self._held_out)
        self._seen: set[str] = set()

    def add(self, queries: Iterable[Query]) -> int:
        """Take in those of some queries that are fit, and return how many these were."""
        before, fresh = len(self.kept), []
        for query in queries:
            key = normalise(query.text)
            if not key or len(query.text) > MAX_QUERY_CHARACTERS:
                self.left_out["unusable"] += 1
            elif key in self._known:
                self.left_out["held_out"] += 1
            elif key in self._seen:
                self.left_out["repeated"] += 1
            else:
                self._seen.add(key)
                fresh.append(query)
        self.kept = self._apart([*self.kept, *fresh])
        return len(self.kept) - before

    def _apart(self, queries: list[Query]) -> list[Query]:
        """Leave out each query that is nearly the same as one that is held out or as one before it."""
        first = len(self._held_out)
        while True:
            # Of a group that is all alike not every pair is found, so it is looked at until none is left.
            pairs = near_duplicates([*self._held_out, *(normalise(query.text) for query in queries)], first)
            dropped: dict[int, str] = {}
            for pair in sorted(
                pairs, key=lambda pair: (max(pair.one, pair.other), min(pair.one, pair.other))
            ):
                earlier, later = sorted((pair.one, pair.other))
                if later >= first and earlier not in dropped:
                    dropped.setdefault(later, "nearly_held_out" if earlier < first else "nearly_repeated")
            if not dropped:
                return queries
            self.left_out.update(dropped.values())
            queries = [query for place, query in enumerate(queries, first) if place not in dropped]


def from_templates(
    request: GenerationRequest,
    selection: Selection,
    wanted: int,
    beat: Callable[[], None] = lambda: None,
) -> None:
    """Add queries made of a request's templates to a selection, until it has as many as wanted or none are left.

    The same request makes the same queries. What a balance asks for is shared out over the signals that templates
    name as leading; within a signal each template gives the same number, as far as it has so many. Slots that differ
    in a digit give millions of queries that are nearly the same: once five times as many as wanted were left out, the
    rest counts as not tried.

    Parameters
    ----------
    beat : Callable[[], None]
        Called once a round, as a sign of life.
    """
    streams, held_before, drawn_so_far = _streams(request), len(selection.kept), 0
    while streams and len(selection.kept) < wanted:
        drawn = _drawn(request, streams, selection, wanted)
        random.Random(f"{request.seed}/{len(selection.kept)}").shuffle(drawn)
        selection.add(drawn)
        beat()
        drawn_so_far += len(drawn)
        left_out = drawn_so_far - (len(selection.kept) - held_before)
        if left_out > _PATIENCE * wanted and len(selection.kept) < wanted:
            selection.left_out["not_tried"] += _combinations(request) - drawn_so_far
            break
    del selection.kept[max(wanted, held_before) :]


def _drawn(
    request: GenerationRequest, streams: dict[str, Iterator[Query]], selection: Selection, wanted: int
) -> list[Query]:
    """Draw what each signal lacks, and strike out the streams that have no more."""
    drawn: list[Query] = []
    for leads, share in _shares(request, streams).items():
        lacking = math.ceil(share * wanted) - sum(query.leads == leads for query in selection.kept)
        if lacking <= 0:
            continue
        # A last few that are hard to find are not looked for one by one: each time all queries are compared.
        number = max(lacking, math.ceil(_LEAST_DRAWN * share * wanted))
        taken = list(islice(streams[leads], number))
        if len(taken) < number:
            del streams[leads]
        drawn += taken
    return drawn


def _shares(request: GenerationRequest, leading: Collection[str]) -> dict[str, float]:
    """Return the share of the queries to be made for each signal that templates name; "" stands for none named.

    The shares sum to 1, and stand in a fixed order: what is drawn must not depend on a set's, which no seed fixes.
    """
    ordered = sorted(leading)
    asked_for = request.balance if isinstance(request.balance, dict) else dict.fromkeys(ordered, 1.0)
    named = {leads: asked_for.get(leads, 0.0) for leads in ordered if leads}
    total = sum(named.values())
    if not total:
        return dict.fromkeys(ordered, 1 / len(ordered))
    # Templates that name no signal get what their number would give them.
    unnamed = sum(not template.leads for template in request.templates) if "" in leading else 0
    open_share = unnamed / len(request.templates)
    shares = {leads: share / total * (1 - open_share) for leads, share in named.items()}
    return shares | ({"": open_share} if unnamed else {})


def _combinations(request: GenerationRequest) -> int:
    return sum(
        math.prod(len(request.slots[slot]) for slot in template.slots) for template in request.templates
    )


def _streams(request: GenerationRequest) -> dict[str, Iterator[Query]]:
    by_lead: dict[str, list[Iterator[Query]]] = defaultdict(list)
    for template in request.templates:
        by_lead[template.leads].append(_filled(template, request))
    return {leads: _in_turn(streams) for leads, streams in sorted(by_lead.items())}


def _in_turn(streams: list[Iterator[Query]]) -> Iterator[Query]:
    while streams:
        for stream in list(streams):
            query = next(stream, None)
            if query is None:
                streams.remove(stream)
            else:
                yield query


def _filled(template: Template, request: GenerationRequest) -> Iterator[Query]:
    """Yield a template with all combinations of its phrases, each once, neighbours far from each other.

    Combinations are numbered; a step that has no divisor in common with their number visits each, however many
    there are, without holding them.
    """
    phrases = [request.slots[slot] for slot in template.slots]
    number = math.prod(map(len, phrases))
    digest = hashlib.sha256(f"{request.seed}/{template.text}".encode()).digest()
    place = int.from_bytes(digest[:8], "big") % number
    step = next(s for s in range(max(1, int(number * _GOLDEN_RATIO)), number + 2) if math.gcd(s, number) == 1)
    for _ in range(number):
        rest, chosen = place, {}
        for slot, choices in zip(template.slots, phrases, strict=True):
            rest, index = divmod(rest, len(choices))
            chosen[slot] = choices[index]
        yield Query(" ".join(template.text.format(**chosen).split()), "template", template.leads)
        place = (place + step) % number

"""The local teachers and the untrained models: what can be answered from labelled examples alone."""

import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from local.bedrock import variations
from local.bedrock.answers import Form, average, learn_form, mentioned, named_in
from local.bedrock.errors import DatasetError
from local.bedrock.features import QueryFeatures
from local.bedrock.store import Store
from local.bedrock.text import bucket, normalise

_NEIGHBOURS = 5
_KEPT = 16
_UNUSUAL_IN = 8


class NearestNeighbours:
    """Answers a query like the labelled queries most similar to it."""

    def __init__(self, pairs: Sequence[tuple[str, str]], prompt: str) -> None:
        form = learn_form([answer for _, answer in pairs], prompt)
        usable = [
            (query, vector) for query, vector in ((q, form.vector(a)) for q, a in pairs) if vector is not None
        ]
        self.form = form
        self._queries = [query for query, _ in usable]
        self._vectors = np.array([vector for _, vector in usable])
        self._features = QueryFeatures()
        self._matrix = self._features.fit(self._queries).T.tocsr()
        self._exact: dict[str, list[int]] = {}
        for index, query in enumerate(self._queries):
            self._exact.setdefault(normalise(query), []).append(index)

    def answer(self, query: str, temperature: float = 0.0, sample: int = 0) -> str:
        """Return the mean answer of the same query, else of the five nearest ones weighted by similarity.

        At a temperature the answer strays from that mean, as far as the nearest queries differ: towards the mean of
        five draws among them, the same for the same sample. So it is in doubt where its examples are. This is the
        stand-in's own; no model of Bedrock's samples like that.
        """
        same = self._exact.get(normalise(query))
        if same:
            return self.form.write(self._vectors[same].mean(axis=0), "Answered as in a labelled example.")
        # Both parts of the features have length one, so half the product is a cosine.
        similarity = (self._features.transform([query]) @ self._matrix).toarray()[0] / 2
        nearest = np.argsort(-similarity, kind="stable")[:_NEIGHBOURS]
        weights = similarity[nearest] ** 3 + 1e-9
        weights /= weights.sum()
        scores = (weights[:, None] * self._vectors[nearest]).sum(axis=0)
        if temperature > 0:
            seed = bucket(query, 2**62, f"sample {sample}")
            drawn = np.random.default_rng(seed).choice(nearest, len(nearest), p=weights)
            scores += temperature * (self._vectors[drawn].mean(axis=0) - scores)
        closest = self._queries[nearest[0]][:80]
        return self.form.write(
            scores, f"Closest labelled query: {closest!r}, similarity {similarity[nearest[0]]:.2f}."
        )


class Knowledge:
    """Answers from the lessons of the store. An index is built on first use, and again for new lessons."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._kept: OrderedDict[tuple[str, str], tuple[object, Any]] = OrderedDict()
        self._asked: Counter[tuple[str, str]] = Counter()
        self._lock = threading.RLock()

    def teach(self, query: str, prompt: str, temperature: float = 0.0) -> str:
        """Return the answer of `local.teacher`, from all lessons that fit the prompt; or queries, if it is to write.

        At a temperature each answer to the same query is another sample.
        """
        if (asked := variations.wish(query)) is not None:
            # Of the task alone whose signals or labels the brief names.
            sources = self._sources(" ".join(map(str, asked.get("of") or ())))
            return variations.write(query, asked, [known for known, _ in self._lessons(sources)])
        if temperature == 0:
            return self._from_neighbours(query, prompt, "all")
        with self._lock:
            self._asked[query, prompt] += 1
            sample = self._asked[query, prompt]
        return self._from_neighbours(query, prompt, "all", temperature, sample)

    def teach_with_half(self, query: str, prompt: str) -> str:
        """Return the answer of `local.baseline`, from half of the lessons, chosen by a hash of the query."""
        return self._from_neighbours(query, prompt, "half")

    def guess(self, query: str, prompt: str) -> str:
        """Return the answer of a model that does not know the task: the same for every query.

        It is the mean of the known answers, or equal shares of what the prompt names. About one answer in
        eight, chosen by a hash of the query, is wrapped in prose or in a code fence.
        """
        form, scores = self.prior(prompt)
        answer = form.write(scores, "The average of what is known; this model was not trained for the task.")
        if bucket(query, _UNUSUAL_IN, "unusual"):
            return answer
        if bucket(query, 2, "fence"):
            return f"```json\n{answer}\n```"
        return f"Here is my best answer: {answer}\nLet me know if you need anything else."

    def _from_neighbours(
        self, query: str, prompt: str, share: str, temperature: float = 0.0, sample: int = 0
    ) -> str:
        sources = self._sources(prompt)
        index = self._keep((share, prompt), sources, lambda: self._build(sources, prompt, share))
        if index is None:
            form, scores = self.prior(prompt)
            return form.write(scores, "No labelled example is known.")
        return index.answer(query, temperature, sample)

    def _build(self, sources: dict[str, int], prompt: str, share: str) -> NearestNeighbours | None:
        pairs = self._lessons(sources)
        if share == "half":
            pairs = [(query, answer) for query, answer in pairs if bucket(query, 2, "baseline")]
        try:
            return NearestNeighbours(pairs, prompt) if pairs else None
        except DatasetError:
            return None

    def prior(self, prompt: str) -> tuple[Form, np.ndarray]:
        """Return the form of the answers to a prompt, and the scores that a model which does not know the task has."""
        sources = self._sources(prompt)

        def build() -> tuple[Form, np.ndarray]:
            answers = [answer for _, answer in self._lessons(sources)]
            try:
                form = learn_form(answers, prompt)
            except DatasetError:
                form, answers = named_in(prompt), []
            return form, average(form, answers)

        return self._keep(("prior", prompt), sources, build)

    def _sources(self, prompt: str) -> dict[str, int]:
        """Return the prompts whose lessons answer for `prompt`, each with its newest lesson's id.

        These are the prompt's own; else those of the prompt whose signals or labels it mentions most (a
        task's richer prompt mentions all of them); else all.
        """

        def choose() -> dict[str, int]:
            known = self._store.prompts()
            if prompt in known:
                return {prompt: known[prompt]}
            shares = {source: self._mentioned(source, prompt) for source in known}
            best = max(shares.values(), default=0.0)
            return {source: known[source] for source in known if best < 0.5 or shares[source] == best}

        return self._keep(("sources", prompt), self._store.newest_lesson(), choose)

    def _mentioned(self, source: str, prompt: str) -> float:
        answers = [answer for _, answer in self._store.lessons(source)]
        try:
            return mentioned(learn_form(answers), prompt)
        except DatasetError:
            return 0.0

    def _lessons(self, sources: Iterable[str]) -> list[tuple[str, str]]:
        return [pair for source in sources for pair in self._store.lessons(source)]

    def _keep(self, key: tuple[str, str], version: object, make: Callable[[], Any]) -> Any:
        """Return what `make` made for this key and version, now or earlier; the last few are kept."""
        with self._lock:
            kept = self._kept.get(key)
            if kept is None or kept[0] != version:
                kept = self._kept[key] = (version, make())
            self._kept.move_to_end(key)
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
            return kept[1]

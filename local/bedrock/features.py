"""Features of a query: TF-IDF of its words and word pairs, and of its letter groups."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from local.bedrock.text import normalise

if TYPE_CHECKING:
    from scipy import sparse


class QueryFeatures:
    """Words (1 to 2) and letter groups inside words (2 to 5); each of the two parts has length one.

    scikit-learn is loaded when the first one is made.
    """

    def __init__(self, limit: int = 50_000) -> None:
        from sklearn.feature_extraction.text import TfidfVectorizer

        shared: dict[str, Any] = {"sublinear_tf": True, "max_features": limit, "lowercase": False}
        self._words = TfidfVectorizer(ngram_range=(1, 2), token_pattern=r"(?u)\b\w+\b", **shared)
        self._letters = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), **shared)

    def fit(self, queries: Sequence[str]) -> "sparse.csr_matrix":
        """Learn the vocabulary and return the features of `queries`: one row a query."""
        texts = [normalise(query) or "empty" for query in queries]
        return _beside(self._words.fit_transform(texts), self._letters.fit_transform(texts))

    def transform(self, queries: Sequence[str]) -> "sparse.csr_matrix":
        """Return the features of `queries`: one row a query."""
        texts = [normalise(query) for query in queries]
        return _beside(self._words.transform(texts), self._letters.transform(texts))

    @property
    def words(self) -> np.ndarray:
        """The words and word pairs that the first columns stand for."""
        return self._words.get_feature_names_out()


def _beside(words: "sparse.csr_matrix", letters: "sparse.csr_matrix") -> "sparse.csr_matrix":
    from scipy import sparse

    return sparse.hstack([words, letters], format="csr")

"""The features that the embedded student knows: which of those of its training data are worth keeping."""

from collections.abc import Sequence

import numpy as np
import scipy.sparse

from signalbox.features import extract

# The artefact has one byte for each feature and column.
_MOST_EVIDENCE = 3_000_000
_MOST_FEATURES = 30_000
# A feature of a single query cannot carry over to another.
_FEWEST_QUERIES = 2


class Vocabulary:
    """The features of the training data.

    Attributes
    ----------
    hashes : np.ndarray
        (n) uint32, ascending: the features kept.
    rarity : np.ndarray
        (n + 1): inverse document frequency of each, and of what is unknown.
    counts : scipy.sparse.csr_array
        (r, n): how often each query has each feature.
    familiar : np.ndarray
        (r): the known share of each query, had it not been in the training data; see `Student.familiarity`.
    """

    def __init__(self, queries: Sequence[str], columns: int, pairs: bool) -> None:
        found = [extract(query, pairs=pairs).hashes for query in queries]
        hashes, places = np.unique(np.concatenate(found), return_inverse=True)
        owners = np.repeat(np.arange(len(queries)), [len(some) for some in found])
        spread = np.bincount(np.unique(places * len(queries) + owners) // len(queries), minlength=len(hashes))
        most = min(_MOST_FEATURES, _MOST_EVIDENCE // max(columns, 1))
        fewest = _FEWEST_QUERIES if len(queries) >= 2 * _FEWEST_QUERIES else 1
        if len(hashes) > most:
            fewest = max(fewest, int(np.sort(spread)[-most]))
        kept = spread >= fewest
        rarity = np.log((1 + len(queries)) / (1 + np.append(spread[kept], 1))) + 1
        # The student looks features up in a list that is never empty; this entry has no evidence.
        self.hashes = hashes[kept] if kept.any() else np.zeros(1, dtype=np.uint32)
        self.rarity = rarity if kept.any() else np.ones(2)
        self.counts = self._counts(owners, places, kept, len(queries))
        self.familiar = self._familiar(owners, places, spread > fewest, kept, len(queries))

    def _counts(
        self, owners: np.ndarray, places: np.ndarray, kept: np.ndarray, queries: int
    ) -> scipy.sparse.csr_array:
        known = kept[places] if len(places) else np.zeros(0, dtype=bool)
        rows, columns = owners[known], (np.cumsum(kept) - 1)[places[known]]
        shape = (queries, len(self.hashes))
        return scipy.sparse.csr_array((np.ones(len(rows)), (rows, columns)), shape=shape)

    def _familiar(
        self, owners: np.ndarray, places: np.ndarray, others: np.ndarray, kept: np.ndarray, queries: int
    ) -> np.ndarray:
        """Count as known only what enough of the other queries have."""
        masses = np.full(len(kept), self.rarity[-1])
        masses[kept] = self.rarity[:-1][: kept.sum()]
        masses = np.square(masses)[places]
        total = np.bincount(owners, masses, queries)
        return np.bincount(owners, masses * others[places], queries) / np.maximum(total, 1e-9)

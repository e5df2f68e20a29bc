"""The artefact of the embedded student: its arrays, and how they are written and read."""

import hashlib
import json
import math
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

FORMAT = 3
MASS_UNITS = 2**16
COST_UNITS = 2**12
_MAGIC = b"signalbox student\n"
_DIGEST_BYTES = hashlib.sha256().digest_size


class StudentError(ValueError):
    """An artefact is damaged, or is no student that this version can use."""


@dataclass(frozen=True)
class Model:
    """The arrays that training found and the artefact stores.

    There are n features, k known answers and s signals (s is 0 for labels). Columns are the s weights of the
    regression, then the k answers.

    Attributes
    ----------
    hashes : np.ndarray
        (n) uint32, ascending: the features that are known.
    mass : np.ndarray
        (n + 1) int32: squared inverse document frequency in units of 1/MASS_UNITS; the last is that of
        whatever is unknown.
    salience : np.ndarray
        (n) int32, in the same units, not 0: the squared length that a feature adds to its query's.
    evidence : np.ndarray
        (n, s + k) int8, in units of `scale`, (s + k) float64, over the query's length; `bias`,
        (s + k) float64, is added to the sum.
    patterns : np.ndarray
        (k, s) float64: the weight vectors known.
    cost : np.ndarray
        (k, k) int16: what it costs to answer the row where the column is right, in units of 1/COST_UNITS;
        (0, 0) for labels.
    pull : np.ndarray
        (1) float32: the cost of a pattern for each unit of its distance from the regression.
    prior : np.ndarray
        (s or k) float32: mean of the training labels.
    shares : np.ndarray
        (q) float32, ascending: quantiles of the known share of queries that are like the training data.
    words, taps, offset, votes : np.ndarray
        (v) uint32, (v + 2, 3, f) int8, (f) int16 and (f, k) int16: see `convolution.Convolution`; f is 0 where
        there is none.
    vote_scale : np.ndarray
        (k) float64: the unit of the votes for each answer.
    """

    hashes: np.ndarray
    mass: np.ndarray
    salience: np.ndarray
    evidence: np.ndarray
    scale: np.ndarray
    bias: np.ndarray
    patterns: np.ndarray
    cost: np.ndarray
    pull: np.ndarray
    prior: np.ndarray
    shares: np.ndarray
    words: np.ndarray
    taps: np.ndarray
    offset: np.ndarray
    votes: np.ndarray
    vote_scale: np.ndarray


def write(identity: dict[str, Any], model: Model) -> bytes:
    """Return a magic line, a SHA-256 of all that follows, a header of JSON (with `identity`), the arrays."""
    arrays = {name.name: getattr(model, name.name) for name in fields(Model)}
    manifest = [[name, array.dtype.str, list(array.shape)] for name, array in arrays.items()]
    header = {"format": FORMAT, **identity, "arrays": manifest}
    parts = [json.dumps(header, ensure_ascii=False).encode(), b"\n"]
    parts += [np.ascontiguousarray(array).tobytes() for array in arrays.values()]
    body = b"".join(parts)
    return _MAGIC + hashlib.sha256(body).digest() + body


def read(data: bytes) -> tuple[dict[str, Any], Model]:
    """Return the header and the arrays of an artefact.

    Raises
    ------
    StudentError
        The bytes are not a student's, are damaged, or of a format that this version does not read.
    """
    if not data.startswith(_MAGIC):
        raise StudentError("this is not a student's artefact: it does not begin as one")
    digest, body = data[len(_MAGIC) :][:_DIGEST_BYTES], data[len(_MAGIC) + _DIGEST_BYTES :]
    if hashlib.sha256(body).digest() != digest:
        raise StudentError(f"the student's artefact is damaged: its checksum is wrong ({len(data)} bytes)")
    line, _, payload = body.partition(b"\n")
    header = json.loads(line)
    if header["format"] != FORMAT:
        raise StudentError(
            f"the student's artefact has format {header['format']}, this version reads {FORMAT}: "
            "train it again"
        )
    return header, Model(**_arrays(header["arrays"], payload))


def _arrays(manifest: list[Any], payload: bytes) -> dict[str, np.ndarray]:
    arrays, offset = {}, 0
    for name, kind, shape in manifest:
        count = math.prod(shape)
        arrays[name] = np.frombuffer(payload, dtype=kind, count=count, offset=offset).reshape(shape)
        offset += arrays[name].nbytes
    return arrays

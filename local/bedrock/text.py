"""Text as the local models see it: normalisation, a deterministic hash, and a plain count of tokens."""

import hashlib
import re
import unicodedata

# A token is up to six letters, up to three digits, or one other visible character. Real tokenisers learn
# their pieces; this one only has to be documented, deterministic and of the same order (English words take
# one to two tokens).
_TOKEN = re.compile(r"[^\W\d_]{1,6}|\d{1,3}|[^\w\s]|_")
_PUNCTUATION = re.compile(r"[^\w\s]|_")


def normalise(query: str) -> str:
    """Return `query` in NFKC, case folded, punctuation as spaces, white space collapsed."""
    return " ".join(_PUNCTUATION.sub(" ", unicodedata.normalize("NFKC", query).casefold()).split())


def bucket(query: str, count: int, salt: str = "") -> int:
    """Return a number in [0, count) that depends only on the normalised query and the salt."""
    digest = hashlib.sha256(f"{salt}\n{normalise(query)}".encode(errors="replace")).digest()
    return int.from_bytes(digest[:8], "big") % count


def count_tokens(text: str) -> int:
    """Return the number of tokens of `text`."""
    return sum(1 for _ in _TOKEN.finditer(text))


def first_tokens(text: str, count: int) -> str:
    """Return `text` up to the end of its token number `count`."""
    for number, token in enumerate(_TOKEN.finditer(text), 1):
        if number == count:
            return text[: token.end()]
    return text

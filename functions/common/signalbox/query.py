"""What makes two queries the same query."""

import re
import unicodedata

MAX_QUERY_CHARACTERS = 512
"""The longest query that the API takes, and hence the longest worth training on."""

_SEPARATORS = re.compile(r"[\s!-/:-@\[-`{-~]+")


def normalise(query: str) -> str:
    """Reduce a query to the form in which duplicates, leakage and cache hits are recognised.

    Compatibility forms are unified (NFKC), case is folded, punctuation and symbols become spaces and white
    space is collapsed. A query of nothing but symbols keeps them, so that two different emoji stay different.
    """
    folded = unicodedata.normalize("NFKC", query).casefold()
    if folded.isascii():
        words = _SEPARATORS.sub(" ", folded)
    else:
        words = "".join(" " if _separates(character) else character for character in folded)
    return " ".join(words.split()) or " ".join(folded.split())


def _separates(character: str) -> bool:
    # Marks (M*) belong to the letter before them: dropping them would merge different words of Indic scripts.
    return unicodedata.category(character)[0] in "PSZC"


def printable(query: str) -> str:
    """Return a query with control characters turned into spaces and nothing at either end.

    Raises
    ------
    ValueError
        If nothing is left, or if it holds half a surrogate pair, which no UTF-8 can carry.
    """
    try:
        query.encode()
    except UnicodeEncodeError:
        raise ValueError("holds half a surrogate pair, which is no character") from None
    shown = "".join(
        " " if unicodedata.category(character) == "Cc" else character for character in query
    ).strip()
    if not shown:
        raise ValueError("the query is empty")
    return shown

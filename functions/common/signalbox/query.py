"""What makes two queries the same query."""

import unicodedata

MAX_QUERY_CHARACTERS = 512
"""The longest query that the API takes, and hence the longest worth training on."""

_REMEMBERED = 10_000
_ASCII_TABLE = bytes(
    ord(chr(byte).lower()) if chr(byte).isalnum() or not 32 < byte < 127 else 32 for byte in range(256)
)
"""For `bytes.translate`: folds the case of ASCII and makes its punctuation and symbols spaces."""


def normalise(query: str) -> str:
    """Reduce a query to the form in which duplicates, leakage and cache hits are recognised.

    Compatibility forms are unified (NFKC), case is folded, punctuation and symbols become spaces and white
    space is collapsed. A query of nothing but symbols keeps them, so that two different emoji stay different.
    """
    folded = query if query.isascii() else unicodedata.normalize("NFKC", query).casefold()
    words = _words_of_ascii(folded) if folded.isascii() else folded.translate(_SEPARATED)
    return " ".join(words.split()) or " ".join(folded.split())


def _words_of_ascii(query: str) -> str:
    return query.encode().translate(_ASCII_TABLE).decode()


class _Separated(dict[int, int]):
    """A table for `str.translate` that makes separators spaces and remembers what it has looked up.

    One query may become 9,000 characters (NFKC makes 18 of one ligature), so each must be quick.
    """

    def __missing__(self, code: int) -> int:
        # Marks (M*) belong to the letter before them: dropping them would merge different words of Indic scripts.
        put = ord(" ") if unicodedata.category(chr(code))[0] in "PSZC" else code
        if len(self) < _REMEMBERED:
            self[code] = put
        return put


_SEPARATED = _Separated()


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

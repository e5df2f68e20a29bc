"""In which scripts queries are written. A script is no language: English, Turkish and Vietnamese are all Latin."""

import unicodedata
from collections import Counter
from functools import lru_cache

_JOINED = {"CJK": "Han", "FULLWIDTH": "Latin", "HALFWIDTH": "Katakana"}
NO_LETTERS = "none"
_LOOKED_AT = 1_000
"""Characters of a query; the longest that there can be would cost seconds by the thousand, and say the same."""


def script_of(query: str) -> str:
    """Return the script of most of a query's first letters, of several the first by name; `none` if it has none.

    By the first word of each letter's name in the Unicode character database: Latin, Cyrillic, Arabic, Devanagari,
    Hiragana, Katakana, Hangul, Han (CJK) and so on.
    """
    if query.isascii():
        return "Latin" if any(character.isalpha() for character in query) else NO_LETTERS
    counts: Counter[str] = Counter()
    for character, times in Counter(query[:_LOOKED_AT]).items():
        if character.isalpha():
            counts[_script(character)] += times
    return min(counts, key=lambda script: (-counts[script], script), default=NO_LETTERS)


@lru_cache(4096)
def _script(character: str) -> str:
    word = unicodedata.name(character, "UNNAMED").split(" ")[0]
    return _JOINED.get(word, word.title())

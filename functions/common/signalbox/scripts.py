"""In which scripts queries are written. A script is no language: English, Turkish and Vietnamese are all Latin."""

import unicodedata
from collections import Counter
from functools import lru_cache

_JOINED = {"CJK": "Han", "FULLWIDTH": "Latin", "HALFWIDTH": "Katakana"}
NO_LETTERS = "none"


def script_of(query: str) -> str:
    """Return the script of most of a query's letters, of several the first by name; `none` if it has no letter.

    By the first word of each letter's name in the Unicode character database: Latin, Cyrillic, Arabic, Devanagari,
    Hiragana, Katakana, Hangul, Han (CJK) and so on.
    """
    if query.isascii():
        return "Latin" if any(character.isalpha() for character in query) else NO_LETTERS
    counts = Counter(_script(character) for character in query if character.isalpha())
    return min(counts, key=lambda script: (-counts[script], script), default=NO_LETTERS)


@lru_cache(4096)
def _script(character: str) -> str:
    word = unicodedata.name(character, "UNNAMED").split(" ")[0]
    return _JOINED.get(word, word.title())

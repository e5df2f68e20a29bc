"""In which languages queries are written, as far as a few words tell: an estimate, of which nothing depends.

A query has some words, which is too little for a statistical model, and too much for none at all. The words that only
hold a sentence together are few in every language and stand everywhere in it, so they are looked for; most queries
have none and stay unclear.
"""

from collections import Counter

from signalbox.scripts import NO_LETTERS, script_of

UNCLEAR = "unclear"

_WORDS = {
    "Dutch": "de het een van en in op met voor naar bij niet zijn wordt worden wie wat waar hoe over uit ook",
    "English": "the a an of and in on with for from to at by is are was were who what where how about into",
    "French": "le la les un une des du de et en dans sur avec pour au aux qui que quoi où comment est sont pas",
    "German": "der die das ein eine einen einem und in im auf mit für von zu bei nicht ist sind wird werden",
    "Indonesian": "yang dan di ke dari untuk dengan pada ini itu adalah dalam oleh tidak akan para tentang",
    "Italian": "il lo la gli le un una di del della dei e in nel nella su con per da dal che chi cosa dove",
    "Polish": "w i na z do się nie jest że po od za przez jak kto co gdzie dla przy są oraz podczas",
    "Portuguese": "o a os as um uma de do da dos das e em no na nos nas com para por que quem onde como é são",
    "Spanish": "el la los las un una de del y en con por para que quien qué dónde cómo es son no sobre al se",
    "Swedish": "en ett och i på med för av till från är var som inte vem vad hur om den det de efter under vid",
    "Turkish": "ve bir bu için ile de da ne kim nerede nasıl mi mı olan olarak gibi daha çok sonra üzerinde",  # noqa: RUF001
    "Vietnamese": "và của là một các những trong cho với được không người này đó ở khi về từ đến như",
}  # fmt: skip

_LANGUAGES: dict[str, tuple[str, ...]] = {}
for _language, _words in _WORDS.items():
    for _word in _words.split():
        _LANGUAGES[_word] = (*_LANGUAGES.get(_word, ()), _language)


def language_of(key: str) -> str:
    """Return the language of a normalised query; `unclear` in Latin letters, elsewhere the script.

    That of which most words stand in it, if that is one alone: two words, or one in three.
    """
    script = script_of(key)
    if script not in ("Latin", NO_LETTERS):
        return script
    words = key.split()
    found = Counter(language for word in words for language in _LANGUAGES.get(word, ()))
    (language, most), (_, second) = (*found.most_common(2), ("", 0), ("", 0))[:2]
    return language if most > second and (most >= 2 or 3 * most > len(words)) else UNCLEAR

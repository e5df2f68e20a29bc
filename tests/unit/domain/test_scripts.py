"""Scripts of queries: told by their letters, not by their language."""

import pytest

from signalbox.scripts import script_of


@pytest.mark.parametrize(
    ("query", "script"),
    [
        ("crowd cheering", "Latin"),
        ("größte Brücke", "Latin"),
        ("кошка на крыше", "Cyrillic"),
        ("猫の動画", "Han"),
        ("ねこのどうが", "Hiragana"),
        ("고양이", "Hangul"),
        ("بحث عن قطة", "Arabic"),
        ("बिल्ली", "Devanagari"),
        ("\uff21\uff22\uff23", "Latin"),
        ("4-3-3", "none"),
        ("🎬🎬", "none"),
        ("", "none"),
        ("привет hello мир", "Cyrillic"),
    ],
)  # fmt: skip
def test_the_script_of_a_query_is_that_of_most_of_its_letters(query: str, script: str) -> None:
    assert script_of(query) == script

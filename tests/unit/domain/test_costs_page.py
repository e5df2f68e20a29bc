"""docs/costs.md: its tables and its example are what the data file and the code say."""

from bench import costs


def test_the_page_is_what_is_computed() -> None:
    page = costs.PAGE.read_text("utf-8")
    assert costs.filled(page) == page, "PYTHONPATH=functions/common python -m bench.costs writes it anew"


def test_every_part_is_on_the_page() -> None:
    page = costs.PAGE.read_text("utf-8")
    for part in ("prices", "sources", "queries", "run"):
        assert page.count(f"<!-- {part} -->") == 1
    assert page.count("<!-- / -->") == 4


def test_a_figure_changed_by_hand_is_written_over() -> None:
    page = costs.PAGE.read_text("utf-8")
    changed = page.replace("0.035 in", "35 in")
    assert changed != page
    assert costs.filled(changed) == page

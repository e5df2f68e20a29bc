"""What the documentation of tasks tells people to type and to write is taken by the app as it stands there."""

import re
import shlex
from pathlib import Path

import pytest
import yaml

from local.commands import parser
from signalbox.task import Task
from tests.builders import labels_spec

DOCS = Path(__file__).parents[3] / "docs"
PAGES = ("customize.md", "airline-intents.md")
COMMANDS = [
    command.removesuffix(" &")
    for page in PAGES
    for command in re.findall(r"^    python -m local (.+)$", (DOCS / page).read_text(), re.M)
]
SECTIONS = re.findall(r"^```yaml\n(.+?)^```$", (DOCS / "customize.md").read_text(), re.M | re.S)


def test_there_are_commands_and_a_section_for_each_way() -> None:
    assert len(COMMANDS) > 10
    types = [yaml.safe_load(section)["customization"]["type"] for section in SECTIONS]
    assert types == ["DISTILLATION", "FINE_TUNING", "REINFORCEMENT_FINE_TUNING"]


@pytest.mark.parametrize("command", sorted(set(COMMANDS)))
def test_a_command_that_is_documented_can_be_given(command: str) -> None:
    assert callable(parser().parse_args(shlex.split(command)).run)


@pytest.mark.parametrize("section", SECTIONS)
def test_a_section_that_is_documented_can_be_used(section: str) -> None:
    Task.model_validate(labels_spec(**yaml.safe_load(section)))


@pytest.mark.parametrize("page", PAGES)
def test_a_page_refers_to_what_is_there(page: str) -> None:
    named = set(re.findall(r"\b(?:docs|tasks|examples)/[\w./-]+\w", (DOCS / page).read_text()))
    made_up = {"ticket-topics", "LDC2019T04"}
    root = DOCS.parent
    assert [
        name
        for name in sorted(named)
        if not (root / name).exists() and not any(each in name for each in made_up)
    ] == []

"""What goes to Lambda is what the functions import, with what that needs; its licences; what an audit says."""

import ast
from collections.abc import Iterable, Iterator
from importlib.metadata import packages_distributions, requires
from pathlib import Path
from typing import Any

import contents
import licences
import pytest
from audit import verdict
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from pins import ARTEFACTS, REQUIREMENTS, pinned

from tests.unit.template.stack import PROJECT

FUNCTIONS = PROJECT / "functions"
USERS = {
    "lambda": sorted(path.parent.name for path in FUNCTIONS.glob("*/app.py")),
    "distill": ["distill"],
    "promote": ["promote"],
}
"""Which functions each artefact goes to."""
OF_LAMBDA = {"snapshot-restore-py"}
"""What the runtime brings along."""


def imported(file: Path, seen: set[Path] | None = None) -> Iterator[str]:
    """Yield the names of the modules that a file imports, and those of this project that it imports, and so on."""
    seen = set() if seen is None else seen
    seen.add(file)
    for node in ast.walk(ast.parse(file.read_text())):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            own = FUNCTIONS / "common" / f"{name.replace('.', '/')}.py"
            if own.is_file() and own not in seen:
                yield from imported(own, seen)
            elif not name.startswith("signalbox"):
                yield name


def imported_distributions(functions: Iterable[str]) -> set[str]:
    """Return the distributions that these functions import directly."""
    of_module = packages_distributions()
    modules = {name.partition(".")[0] for each in functions for name in imported(FUNCTIONS / each / "app.py")}
    return {canonicalize_name(name) for module in modules for name in of_module.get(module, ())} - OF_LAMBDA


def needed(distributions: Iterable[str], extras: dict[str, set[str]]) -> set[str]:
    """Return distributions with all that they require on Lambda, themselves among them."""
    found: set[str] = set()
    waiting = list(distributions)
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        for line in requires(name) or ():
            requirement = Requirement(line)
            wanted = [
                {"extra": extra, "python_version": "3.13", "sys_platform": "linux"}
                for extra in extras.get(name, {""})
            ]
            if requirement.marker is None or any(requirement.marker.evaluate(each) for each in wanted):
                waiting.append(canonicalize_name(requirement.name))
    return found


def asked_for(file: str) -> dict[str, set[str]]:
    """Return the distributions that a .in file names, with the extras that it asks for."""
    lines = [
        line.partition("#")[0].strip() for line in (REQUIREMENTS / f"{file}.in").read_text().splitlines()
    ]
    named = [Requirement(line) for line in lines if line and not line.startswith("-")]
    return {canonicalize_name(one.name): {"", *one.extras} for one in named}


@pytest.mark.parametrize("file", ARTEFACTS)
def test_nothing_is_shipped_that_no_function_imports_or_needs(file: str) -> None:
    assert set(pinned(file)) <= needed(imported_distributions(USERS[file]), asked_for("lambda"))


@pytest.mark.parametrize("function", USERS["lambda"])
def test_a_function_has_all_that_it_imports_and_that_this_needs(function: str) -> None:
    own = set(pinned(function)) if function in ARTEFACTS else set()

    assert needed(imported_distributions([function]), asked_for("lambda")) <= set(pinned("lambda")) | own


@pytest.mark.parametrize("file", ARTEFACTS)
def test_what_is_asked_for_is_imported(file: str) -> None:
    assert set(asked_for(file)) <= imported_distributions(USERS[file])


def test_an_extra_that_is_asked_for_is_used() -> None:
    modules = {name for each in USERS["lambda"] for name in imported(FUNCTIONS / each / "app.py")}

    assert asked_for("lambda")["aws-lambda-powertools"] == {"", "parser", "tracer"}
    assert "aws_lambda_powertools.Tracer" in modules  # tracer
    assert "pydantic" in modules  # parser


def test_the_folders_that_are_uploaded_hold_code_and_its_data_alone() -> None:
    for path in FUNCTIONS.rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            assert path.suffix in {".py", ".jinja", ".json"} or path.name in {"Makefile", "wheels.mk"}, path
            assert not path.name.startswith(("test_", "conftest")), path


def test_every_licence_is_agreed_to() -> None:
    assert [
        one for one in licences.shipped() if not licences.is_agreed(one[3]) and one[0] not in licences.REASONS
    ] == []
    assert set(licences.REASONS) <= {name for name, *_ in licences.shipped()}


@pytest.mark.parametrize(
    ("expression", "agreed"),
    [
        ("MIT", True),
        ("MIT OR GPL-3.0-only", True),
        ("MIT AND GPL-3.0-only", False),
        ("BSD-3-Clause AND 0BSD AND MIT", True),
        ("GPL-3.0-or-later", False),
        ("AGPL-3.0-only", False),
        ("LGPL-2.1-only", False),
        ("MPL-2.0", False),
        ("(MIT OR Apache-2.0) AND GPL-2.0-only", False),
        ("MIT License, more or less", False),
        ("UNKNOWN", False),
        ("", False),
    ],
)
def test_a_licence_is_agreed_to_or_not(expression: str, agreed: bool) -> None:
    assert licences.is_agreed(expression) is agreed


SOUND: dict[str, Any] = {"name": "boto3", "version": "1.43.106", "vulns": []}
WITH_HOLE = SOUND | {"vulns": [{"id": "PYSEC-1", "fix_versions": ["1.43.107"]}]}
UNKNOWN = {"name": "numpy", "skip_reason": "Dependency not found"}


@pytest.mark.parametrize(
    ("answers", "strict", "code", "said"),
    [
        ([SOUND], False, 0, "1 distributions, no known vulnerability"),
        ([SOUND, WITH_HOLE], False, 1, "boto3 1.43.106: PYSEC-1, fixed in 1.43.107"),
        ([SOUND, UNKNOWN], False, 1, "the advisory service does not know numpy"),
        ([UNKNOWN], False, 0, "nothing was audited"),
        ([UNKNOWN], True, 1, "nothing was audited"),
        (None, False, 0, "nothing was audited"),
        (None, True, 1, "nothing was audited"),
    ],
)
def test_an_audit_that_looked_at_nothing_says_so(
    answers: list[dict[str, Any]] | None, strict: bool, code: int, said: str
) -> None:
    exit_code, lines = verdict(answers, strict=strict)

    assert exit_code == code
    assert said in lines[0]


def test_what_was_built_is_looked_into(tmp_path: Path) -> None:
    # Given a folder with a distribution that is wanted, and one that is not
    for name in ("wanted-1.0", "pytest-8.0"):
        (tmp_path / f"{name}.dist-info").mkdir()
        (tmp_path / f"{name}.dist-info" / "RECORD").write_text(
            f"{name[:-4]}/__init__.py,sha256=x,0\n{name}.dist-info/RECORD,,\n"
        )
        (tmp_path / name[:-4]).mkdir()
    # And another version of one, a stray folder, and a test
    (tmp_path / "notes").mkdir()
    (tmp_path / "wanted" / "conftest.py").touch()
    # Then each is named
    assert list(contents.faults(tmp_path, {"wanted": "1.1", "absent": "2"}, set())) == [
        "absent: not there, where requirements say 2",
        "pytest: 8.0, where requirements say none",
        "wanted: 1.0, where requirements say 1.1",
        "notes is of no distribution",
        "wanted/conftest.py belongs to development",
    ]


def test_what_checkov_is_not_asked_for_has_its_reason() -> None:
    lines = (PROJECT / ".checkov.yaml").read_text().splitlines()
    skipped = [number for number, line in enumerate(lines) if line.strip().startswith("- CKV")]

    assert skipped
    for number in skipped:
        assert lines[number - 1].strip().startswith("#"), lines[number]
    documented = (PROJECT / "docs" / "security.md").read_text()
    for number in skipped:
        assert lines[number].strip(" -") in documented

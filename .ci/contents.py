"""Looks into what `sam build` has built, and fails if there is anything that requirements/ does not name.

Run after `sam build`; `make contents` does.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from pins import ARTEFACTS, pinned

BUILT = Path(".aws-sam/build")
_STRAY = re.compile(r"(^|/)(tests?|\.git\w*|\.env|conftest\.py|Makefile|test_\w+\.py|[^/]*\.(pyi|key))$")
"""Names of what belongs to development. Libraries have modules named testing, which they import themselves."""


def distributions(folder: Path) -> dict[str, str]:
    """Return the versions of the distributions that are installed in a folder, by normalised name."""
    found = (path.name.removesuffix(".dist-info").rpartition("-") for path in folder.glob("*.dist-info"))
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, _, version in found}


def faults(folder: Path, wanted: dict[str, str], own: set[str]) -> Iterator[str]:
    """Yield what is wrong with a folder of packages.

    Parameters
    ----------
    wanted : dict[str, str]
        The versions that must be there, by name, and no others.
    own : set[str]
        The names at its top that are of this project.
    """
    there = distributions(folder)
    for name in sorted(there.keys() | wanted.keys()):
        if there.get(name) != wanted.get(name):
            yield f"{name}: {there.get(name, 'not there')}, where requirements say {wanted.get(name, 'none')}"
    recorded = {
        line.split("/")[0].split(",")[0]
        for record in folder.glob("*.dist-info/RECORD")
        for line in record.read_text().splitlines()
    }
    for path in sorted(folder.iterdir()):
        if path.name not in recorded | own | {"__pycache__"}:
            yield f"{path.name} is of no distribution"
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if _STRAY.search(name):
            yield f"{name} belongs to development"


def main() -> int:
    """Print what is wrong with each artefact. Return 1 if anything is, else 0."""
    found = False
    for file, artefact in ARTEFACTS.items():
        layer = file == "lambda"
        folder = BUILT / artefact / ("python" if layer else "")
        for fault in faults(folder, pinned(file), {"signalbox"} if layer else {"app.py"}):
            found = True
            print(f"{artefact}: {fault}", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

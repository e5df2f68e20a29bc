"""Lists the licences of what goes to Lambda, and fails on one that nobody has agreed to.

Reads the metadata of what is installed here, which is of the same versions. What a wheel brings along beside its own
code stands in its licence file alone: NumPy and SciPy bring OpenBLAS (BSD) and GCC's Fortran runtime (GPL with the
runtime library exception, which asks nothing of what is linked to it).
"""

import sys
from collections.abc import Iterator
from importlib.metadata import PackageMetadata, metadata

from pins import ARTEFACTS, pinned
from rich.console import Console
from rich.table import Table

AGREED = {
    "0BSD",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "CC0-1.0",
    "MIT",
    "MIT-0",
    "MIT-CMU",
    "PSF-2.0",
    "Zlib",
}
"""SPDX identifiers. None asks more than that its text comes along, which it does, in each distribution's folder."""
REASONS: dict[str, str] = {}
"""Distributions with another licence, each with the reason for which it may go along all the same."""
_NAMES = {
    "Apache 2.0": "Apache-2.0",
    "Apache License 2.0": "Apache-2.0",
    "BSD 3-Clause License": "BSD-3-Clause",
    "License :: OSI Approved :: Apache Software License": "Apache-2.0",
    "License :: OSI Approved :: BSD License": "BSD-3-Clause",
    "License :: OSI Approved :: MIT License": "MIT",
    "License :: OSI Approved :: MIT No Attribution License (MIT-0)": "MIT-0",
    "License :: OSI Approved :: Python Software Foundation License": "PSF-2.0",
}
"""SPDX identifiers of names from before there was License-Expression."""


def licence(described: PackageMetadata) -> str:
    """Return a distribution's licence as an SPDX expression, or what it says if that is none; "" if nothing.

    Of several classifiers a user has the choice.
    """
    if expression := described["License-Expression"]:
        return expression
    classifiers = [one for one in described.get_all("Classifier") or [] if one.startswith("License ::")]
    if classifiers:
        return " OR ".join(_NAMES.get(one, one) for one in classifiers)
    said = (described["License"] or "").strip().splitlines()
    return _NAMES.get(said[0], said[0]) if said else ""


def is_agreed(expression: str) -> bool:
    """Tell whether an expression of AND over OR asks for nothing but what was agreed to; any other does not."""
    return all(any(one.strip() in AGREED for one in part.split(" OR ")) for part in expression.split(" AND "))


def shipped() -> Iterator[tuple[str, str, str, str]]:
    """Yield name, version, artefact and licence of each distribution.

    Raises
    ------
    importlib.metadata.PackageNotFoundError
        If it is not installed here.
    """
    for file, artefact in ARTEFACTS.items():
        for name, version in pinned(file).items():
            yield name, version, artefact, licence(metadata(name))


def main() -> int:
    """Print the list. Return 1 if there is a licence that nobody has agreed to, else 0."""
    table = Table("distribution", "version", "in", "licence")
    refused = []
    for name, version, artefact, expression in shipped():
        table.add_row(name, version, artefact, expression)
        if not is_agreed(expression) and name not in REASONS:
            refused.append(f"{name}: {expression or 'says nothing of its licence'}")
    Console().print(table)
    for each in refused:
        print(f"not agreed to: {each}", file=sys.stderr)
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(main())

"""Shows what each function of the built template weighs unzipped, and fails where Lambda would refuse it.

Run after `sam build`; `make sizes` does.
"""

import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table
from samtranslator.yaml_helper import yaml_parse

BUILT_TEMPLATE = Path(".aws-sam/build/template.yaml")
# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html: "250 MB: the maximum size of the
# contents of a deployment package, including layers and custom runtimes", unzipped.
LIMIT_BYTES = 250 * 1024 * 1024


def size(folder: Path) -> int:
    """Return the bytes of all files below a folder, but for what Python makes on its own."""
    files = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return sum(path.stat().st_size for path in files)


def folders(template: dict) -> dict[str, list[Path]]:
    """Return, by logical id, the folders that make up each function: its own and its layers'."""
    resources = template["Resources"]
    base = BUILT_TEMPLATE.parent
    layers = template["Globals"]["Function"]["Layers"]
    shared = [base / resources[layer["Ref"]]["Properties"]["ContentUri"] for layer in layers]
    return {
        name: [base / resource["Properties"]["CodeUri"], *shared]
        for name, resource in resources.items()
        if resource["Type"] == "AWS::Serverless::Function"
    }


def main() -> int:
    """Print the table of sizes. Return 1 if a function is over the limit, else 0."""
    table = Table("function", "own MB", "with layer MB", title="unzipped, arm64")
    heaviest = 0
    for name, (own, *layers) in folders(yaml_parse(BUILT_TEMPLATE.read_text())).items():
        own_bytes = size(own)
        total = own_bytes + sum(map(size, layers))
        heaviest = max(heaviest, total)
        table.add_row(name, f"{own_bytes / 1e6:.1f}", f"{total / 1e6:.1f}")
    Console().print(table)
    if heaviest > LIMIT_BYTES:
        print(f"over Lambda's limit of {LIMIT_BYTES / 1e6:.0f} MB", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Entry point of `python -m local`: checks the interpreter, then reads the command line."""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - said here, because nothing below runs on an older one
    sys.exit("Signalbox needs Python 3.11 or newer. Make .venv with one: make setup PYTHON=python3.13")

from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent.parent / "functions" / "common"))

try:
    if sys.argv[1:2] == ["data"]:  # a commit may wait for it, so the other commands are not loaded
        from local.data.command import main
    else:
        from local.commands import main
except ModuleNotFoundError as error:
    sys.exit(f"{error.name} is not installed: run `make setup`, then use .venv/bin/python -m local")

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""The state folder belongs to one app at a time and keeps git and the temporary folder clean."""

import subprocess
import sys

import pytest

from local.state import PROJECT, StateFolder, StateInUse

HOLD = """
import sys
from pathlib import Path
from local.state import StateFolder
state = StateFolder(Path(sys.argv[1]))
state.acquire({"port": 4566})
print("held", flush=True)
sys.stdin.read()
"""


def test_a_second_app_is_told_which_process_has_the_folder(tmp_path):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        cwd=PROJECT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        holder.stdout.readline()
        with pytest.raises(StateInUse, match=f"process {holder.pid} on port 4566"):
            StateFolder(tmp_path).acquire({"port": 1})
    finally:
        holder.kill()
        holder.communicate()


def test_a_killed_app_leaves_the_folder_free(tmp_path):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        cwd=PROJECT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    holder.stdout.readline()
    holder.kill()
    holder.communicate()

    StateFolder(tmp_path).acquire({"port": 1})


def test_a_reset_forgets_everything_and_an_ordinary_start_only_temporary_files(tmp_path):
    state = StateFolder(tmp_path)
    state.acquire({"port": 1})
    state.prepare(reset=False)
    (state.objects / "object").write_text("x")
    (state.temporary / "left over").write_text("x")

    state.prepare(reset=False)
    assert (state.objects / "object").exists()
    assert not (state.temporary / "left over").exists()

    state.prepare(reset=True)
    assert not (state.objects / "object").exists()
    assert (tmp_path / ".gitignore").read_text() == "*\n"

"""The state folder: all that the app on one machine keeps, and the lock that makes it one app's own."""

import contextlib
import fcntl
import json
import os
import shutil
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent


class StateInUse(Exception):
    """Another app holds this state folder."""


class StateFolder:
    """Paths below the state folder.

    emulator/  the emulator's tables, queues, rules and so on     objects/  S3 objects and their versions
    bedrock/   the Bedrock stand-in's jobs and models             code/     functions and layers as deployed
    temporary/ TMPDIR of the app and its functions                up.log    warnings of the app
    """

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self.emulator = self.root / "emulator"
        self.objects = self.root / "objects"
        self.bedrock = self.root / "bedrock"
        self.code = self.root / "code"
        self.temporary = self.root / "temporary"
        self.log = self.root / "up.log"
        self._lock_file = self.root / "lock"
        self._lock = None

    def acquire(self, holder: dict) -> None:
        """Make the folder this process's own until it ends, however it ends.

        Raises
        ------
        StateInUse
            Naming the process that has it.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        lock = self._lock_file.open("a+")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            lock.seek(0)
            with contextlib.suppress(ValueError):
                other = json.loads(lock.read())
                message = f"process {other['process']} on port {other['port']}"
                raise StateInUse(f"{self.root} is in use by {message}") from error
            raise StateInUse(f"{self.root} is in use by another process") from error
        lock.truncate(0)
        lock.write(json.dumps({"process": os.getpid(), **holder}))
        lock.flush()
        self._lock = lock

    def prepare(self, reset: bool) -> None:
        """Make the sub-folders, from nothing if `reset`; throw away temporary files left by a killed app."""
        discarded = [self.temporary]
        if reset:
            discarded += [entry for entry in self.root.iterdir() if entry != self._lock_file]
        for entry in discarded:
            if entry.is_dir():
                shutil.rmtree(entry)
            else:
                entry.unlink(missing_ok=True)
        (self.root / ".gitignore").write_text("*\n")
        for folder in (self.emulator, self.objects, self.bedrock, self.code, self.temporary):
            folder.mkdir(parents=True, exist_ok=True)

    def clean(self) -> None:
        """Remove what only a running app needs."""
        shutil.rmtree(self.temporary, ignore_errors=True)

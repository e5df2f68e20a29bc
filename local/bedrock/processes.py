"""Training in processes of their own: low priority, one thread each, and none that outlives this one."""

import contextlib
import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from local.bedrock.training import TrainingOrder

_LOGGER = logging.getLogger(__name__)
_PROJECT = Path(__file__).resolve().parents[2]


class TrainingProcesses:
    """Starts training processes and ends them when asked to."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[str, subprocess.Popen[str]] = {}
        self._closed = False

    def train(self, name: str, order: TrainingOrder, tell: Callable[[dict[str, Any]], None]) -> int | None:
        """Run one training to its end.

        Parameters
        ----------
        name
            By which `stop` finds it.
        order
            What to train.
        tell
            Called with each piece of news from the process.

        Returns
        -------
        The exit code; None if no process was started because this object is closed.
        """
        with self._lock:
            if self._closed:
                return None
            process = subprocess.Popen(
                [sys.executable, "-m", "local.bedrock.training"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                encoding="utf-8",
                cwd=_PROJECT,
                env=_environment(),
            )
            self._running[name] = process
        try:
            return self._follow(process, order, tell)
        finally:
            with self._lock:
                del self._running[name]

    def _follow(
        self, process: subprocess.Popen[str], order: TrainingOrder, tell: Callable[[dict[str, Any]], None]
    ) -> int:
        assert process.stdin and process.stdout and process.stderr
        complaints: list[str] = []
        listener = threading.Thread(target=lambda: complaints.append(process.stderr.read()), daemon=True)
        listener.start()
        with process:
            try:
                # Standard input stays open: the process ends when it closes, so also when this process is
                # killed.
                process.stdin.write(order.to_json() + "\n")
                process.stdin.flush()
                for line in process.stdout:
                    tell(json.loads(line))
            except BrokenPipeError:
                pass
            except BaseException:
                process.kill()
                raise
            finally:
                _close_quietly(process.stdin)
            code = process.wait()
            listener.join()
        if code > 0:
            _LOGGER.warning("A training process ended with code %s: %s", code, "".join(complaints)[-2000:])
        return code

    def stop(self, name: str) -> None:
        """Kill the training with this name, if it runs."""
        with self._lock:
            process = self._running.get(name)
        if process:
            process.kill()

    def close(self) -> None:
        """Kill all and start no more."""
        with self._lock:
            self._closed = True
            running = list(self._running.values())
        for process in running:
            process.kill()


def _close_quietly(stream: Any) -> None:
    with contextlib.suppress(BrokenPipeError):
        stream.close()


def _environment() -> dict[str, str]:
    """Return this process's environment with one numerical thread and the project importable."""
    paths = [str(_PROJECT), os.environ.get("PYTHONPATH", "")]
    threads = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
    return {**os.environ, **threads, "PYTHONPATH": os.pathsep.join(filter(None, paths))}

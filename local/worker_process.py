"""One Lambda execution environment: runs a handler for the events that come on standard input.

Started by `workers.Worker` as a script of its own, so that a handler sees neither this package nor the
emulator, only its code, its layers and its environment, as on Lambda.

Protocol, one JSON object a line: the parent writes {"event", "context"} to standard input; the child writes
the marker of its start-up order followed by {"ok", "result" | "error"} to standard output. Everything else on
standard output and standard error is the log of the invocation, complete by the time the marker comes.
"""

import importlib
import json
import os
import queue
import sys
import threading
import time
import traceback


class Context:
    """The second argument of a handler, with the attributes that Lambda documents for Python."""

    identity = None
    client_context = None

    def __init__(self, timeout_seconds: float, **attributes: object) -> None:
        self._deadline = time.monotonic() + timeout_seconds
        self.__dict__.update(attributes)

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until this invocation is ended."""
        return max(0, int((self._deadline - time.monotonic()) * 1000))


def read_lines(lines: queue.SimpleQueue) -> None:
    """Hand on every line of standard input; leave at once when the parent is gone, even mid-handler."""
    for line in sys.stdin:
        lines.put(line)
    os._exit(0)


def described(error: BaseException) -> dict:
    """An error as the Lambda runtime reports it."""
    return {
        "errorMessage": str(error),
        "errorType": type(error).__name__,
        "stackTrace": traceback.format_exception(error),
    }


def main() -> None:
    """Load the handler, then answer one event after the other."""
    lines: queue.SimpleQueue = queue.SimpleQueue()
    threading.Thread(target=read_lines, args=(lines,), daemon=True).start()
    start = json.loads(lines.get())
    marker = start["marker"]

    def answer(reply: dict) -> None:
        try:
            text = json.dumps(reply)
        except (TypeError, ValueError) as error:
            unwritable = {**described(error), "errorType": "Runtime.MarshalError"}
            text = json.dumps({"ok": False, "error": unwritable})
        sys.stdout.flush()
        sys.stderr.flush()
        data = memoryview(f"{marker}{text}\n".encode())
        while data:
            data = data[os.write(1, data) :]

    sys.path[:0] = start["path"]
    try:
        module, _, name = start["handler"].rpartition(".")
        handler = getattr(importlib.import_module(module.replace("/", ".")), name)
    except BaseException as error:
        traceback.print_exc()
        answer({"ok": False, "error": described(error)})
        return
    answer({"ok": True, "result": None})

    while True:
        request = json.loads(lines.get())
        try:
            reply = {"ok": True, "result": handler(request["event"], Context(**request["context"]))}
        except Exception as error:
            traceback.print_exc()
            reply = {"ok": False, "error": described(error)}
        answer(reply)


if __name__ == "__main__":
    main()

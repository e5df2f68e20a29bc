"""The route function under awslambdaric: init, and warm answers through the whole handler.

Init is from the start of the process to its first request for an invocation. An answer is from when the Runtime
API here sends an event to when the function's answer has arrived: nothing is taken off, so it includes the runtime
client's HTTP both ways. An empty function, measured in turn with it, shows what runtime and client cost alone.

Lambda unpacks the layer without bytecode and cannot write any, so init is also measured with Python compiling
every module anew. A sandbox from a snapshot (SnapStart) or a provisioned one does so before the first query.
"""

import json
import os
import statistics
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from bench.aws_stub import AwsStub
from bench.figures import Figure
from bench.live_task import LiveTask, event
from bench.sandbox import ROOT, Sandbox

PART = "Route function under awslambdaric"
STARTS = 7
UNCOMPILED_STARTS = 3
QUERIES = 2000
_WARM_UP = 200
_ROUTE = ROOT / "functions" / "route"
_EMPTY = "def handler(event, context):\n    return {'statusCode': 200}\n"


def measure(live: LiveTask) -> list[Figure]:
    """Return the figures of a function whose task asks the embedded student first."""
    stub = AwsStub(live.spec(["embedded", "prior"]), live.student.to_bytes())
    with stub.serving(), tempfile.TemporaryDirectory() as folder:
        empty = Path(folder)
        (empty / "app.py").write_text(_EMPTY)
        variables = {
            "AWS_ENDPOINT_URL": stub.url,
            "RUN_TABLE": "runs",
            "DATA_BUCKET": "data",
            "QUERY_LOG_SHARE": "0",
        }
        return _starts(variables, empty, live.source) + _answers(live, variables, empty)


def _starts(variables: dict[str, str], empty: Path, source: str) -> list[Figure]:
    # Python compiles and the system reads files at the first start, which is left out.
    starts = [(_start(_ROUTE, variables), _start(empty, {})) for _ in range(STARTS + 1)][1:]
    uncompiled = variables | {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONPYCACHEPREFIX": str(empty / "nothing")}
    anew = [_start(_ROUTE, uncompiled)[0] for _ in range(UNCOMPILED_STARTS)]

    def figure(name: str, values: list[float], target: float | None = None) -> Figure:
        return Figure(
            PART, name, statistics.median(values), "ms", f"median of {len(values)}, {source}", target
        )

    return [
        figure("init", [wall for (wall, _), _ in starts], 400),
        figure("init, of which on a core", [core for (_, core), _ in starts]),
        figure("init of an empty function", [wall for _, (wall, _) in starts]),
        figure("init without bytecode", anew),
    ]


def _start(function: Path, variables: dict[str, str]) -> tuple[float, float]:
    """Return the milliseconds of init, and those that the process was on a core."""
    with Path(os.devnull).open("wb") as log, Sandbox(function, variables, log) as sandbox:
        return sandbox.init_ms, sandbox.init_cpu_ms


def _answers(live: LiveTask, variables: dict[str, str], empty: Path) -> list[Figure]:
    queries = live.queries(QUERIES + _WARM_UP)
    embedded, cached, nothing = [], [], []
    with (
        tempfile.TemporaryFile() as log,
        Sandbox(_ROUTE, variables, log) as route,
        Sandbox(empty, {}, log) as idle,
    ):
        for query in queries[:_WARM_UP]:
            _ask(route, query)
        for query in queries[_WARM_UP:]:
            embedded.append(_ask(route, query, cached=False))
            nothing.append(idle.invoke(event(query)).milliseconds)
        for query in queries[_WARM_UP:]:
            cached.append(_ask(route, query, cached=True))
    where = f"{QUERIES:,} different queries, {live.source}, runtime client's HTTP included"

    def figures(name: str, values: list[float], *targets: float | None) -> list[Figure]:
        return [
            Figure(PART, f"{name}, p{share}", float(np.percentile(values, share)), "ms", where, target)
            for share, target in zip((50, 99), targets or (None, None), strict=True)
        ]

    return [
        *figures("embedded answer", embedded, 1.0, 5.0),
        *figures("cached answer", cached),
        *figures("empty function", nothing),
    ]


def _ask(sandbox: Sandbox, query: str, **expected: Any) -> float:
    """Return the milliseconds of an answer, having seen that it is one of the kind to be measured."""
    invocation = sandbox.invoke(event(query))
    body = json.loads(invocation.answer["body"])
    expected |= {"source": "embedded"}
    if invocation.answer["statusCode"] != 200 or not expected.items() <= body.items():
        raise ValueError(f"{query!r} was answered with {body}")
    return invocation.milliseconds

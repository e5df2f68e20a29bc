"""The Bedrock tier: the whole handler around Converse, beside a bare boto3 call of Converse.

Both ask the same stub, which takes 100 ms to answer, in turn in one process of its own: a handler's call, a bare
call, and so on. What the handler adds is the median of the differences of neighbours; the runtime client is left out.
"""

import json
import statistics
import subprocess
import sys
import time
from types import SimpleNamespace

from bench.aws_stub import DEPLOYMENT, AwsStub
from bench.figures import Figure
from bench.live_task import LiveTask, event
from bench.sandbox import ROOT, environment

PART = "Bedrock tier"
PAIRS = 150
MODEL_SECONDS = 0.1
_WARM_UP = 5
_ROUTE = ROOT / "functions" / "route"


def measure(live: LiveTask) -> list[Figure]:
    """Return what the handler adds to a Converse call."""
    share = 1 / len(live.output.signals)
    said = json.dumps(dict.fromkeys(live.output.signals, share) | {"reasoning": "the stub says so"})
    stub = AwsStub(live.spec(["bedrock", "prior"]), live.student.to_bytes(), said, MODEL_SECONDS)
    queries = live.queries(PAIRS + _WARM_UP)
    with stub.serving():
        variables = environment(
            _ROUTE,
            {
                "AWS_ENDPOINT_URL": stub.url,
                "RUN_TABLE": "runs",
                "DATA_BUCKET": "data",
                "QUERY_LOG_SHARE": "0",
            },
        )
        variables["PYTHONPATH"] += f":{ROOT}"
        child = subprocess.run(
            [sys.executable, "-m", "bench.converse"],
            input=json.dumps({"queries": queries, "prompt": live.spec(["bedrock", "prior"]).prompt}),
            env=variables,
            cwd=ROOT,
            check=True,
            capture_output=True,
            text=True,
        )
    # Metrics go to standard output, too.
    pairs = json.loads(child.stdout.splitlines()[-1])[_WARM_UP:]
    bare = statistics.median(call for _, call in pairs)
    added = statistics.median(handler - call for handler, call in pairs)
    where = f"{len(pairs)} pairs in one process, stub that takes {MODEL_SECONDS * 1000:.0f} ms"
    return [
        Figure(PART, "handler, p50", statistics.median(handler for handler, _ in pairs), "ms", where),
        Figure(PART, "bare Converse, p50", bare, "ms", where),
        Figure(PART, "added by the handler", added, "ms", where, 2.0),
        Figure(PART, "added by the handler, share of the call", 100 * added / bare, "%", where, 3.0),
    ]


def main() -> None:
    """Ask as many pairs as standard input has queries; print their milliseconds (handler, bare)."""
    import app
    import boto3
    from botocore.config import Config

    asked = json.load(sys.stdin)
    config = Config(retries={"total_max_attempts": 1}, connect_timeout=1, read_timeout=6)
    bedrock = boto3.client("bedrock-runtime", config=config)
    context = SimpleNamespace(
        function_name="route",
        memory_limit_in_mb=1769,
        invoked_function_arn="arn:aws:lambda:us-east-1:000000000000:function:route",
        aws_request_id="8476a536-e9f4-11e8-9739-2dfe598c3fcd",
    )
    pairs = []
    for query in asked["queries"]:
        request = event(query)
        started = time.perf_counter()
        answer = app.handler(request, context)
        between = time.perf_counter()
        bedrock.converse(
            modelId=DEPLOYMENT,
            system=[{"text": asked["prompt"]}],
            messages=[{"role": "user", "content": [{"text": query}]}],
            inferenceConfig={"maxTokens": 200, "temperature": 0.0},
        )
        ended = time.perf_counter()
        if json.loads(answer["body"])["source"] != "bedrock":
            raise ValueError(f"{query!r} was answered with {answer}")
        pairs.append(((between - started) * 1000, (ended - between) * 1000))
    print(json.dumps(pairs))


if __name__ == "__main__":
    main()

"""The AWS that the route function talks to, as far as it does: a live pointer, a student, a model that answers.

It answers from memory over HTTP on this machine, so that what is measured is the function and not an emulator.
Requests and answers are those of the AWS APIs: DynamoDB's JSON protocol, S3's GetObject, Bedrock's Converse.
"""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from signalbox.live import Live
from signalbox.task import Task

DEPLOYMENT = "arn:aws:bedrock:us-east-1:000000000000:custom-model-deployment/000000000001"


class AwsStub(ThreadingHTTPServer):
    """One table with one live pointer, one object, and one model, until closed; what is put is kept.

    Parameters
    ----------
    task : Task
        Is live.
    student : bytes
        Its embedded student's artefact.
    said : str
        What the model answers, whatever it is asked.
    model_seconds : float
        How long it takes for that.
    """

    daemon_threads = True

    def __init__(self, task: Task, student: bytes, said: str = "", model_seconds: float = 0.0) -> None:
        super().__init__(("127.0.0.1", 0), _Request)
        pointer = Live(
            task_name=task.name,
            run_id=f"{task.name}-000000000000",
            model="embedded student",
            since=datetime.now(UTC),
            task=task.model_dump(mode="json", by_alias=True),
            student=True,
            deployment_arn=DEPLOYMENT,
            prior={"weights": {signal: 1 / len(task.output.signals) for signal in task.output.signals}},
        )
        item = {name: {"S": value} for name, value in pointer.item().items()}
        self.found = {
            "DynamoDB_20120810.GetItem": json.dumps({"Item": item}).encode(),
            "DynamoDB_20120810.Query": json.dumps({"Items": [item], "Count": 1, "ScannedCount": 1}).encode(),
        }
        self.student = student
        self.reply = json.dumps(
            {
                "output": {"message": {"role": "assistant", "content": [{"text": said}]}},
                "stopReason": "end_turn",
                "usage": {"inputTokens": 40, "outputTokens": 40, "totalTokens": 80},
                "metrics": {"latencyMs": round(model_seconds * 1000)},
            }
        ).encode()
        self.model_seconds = model_seconds
        self.written: dict[str, bytes] = {}

    @property
    def url(self) -> str:
        """The address for AWS_ENDPOINT_URL."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    @contextmanager
    def serving(self) -> Iterator["AwsStub"]:
        """Answer in the background."""
        thread = threading.Thread(target=self.serve_forever, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self.shutdown()
            thread.join()
            self.server_close()


class _Request(BaseHTTPRequestHandler):
    server: AwsStub
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # head and body leave together

    def do_GET(self) -> None:
        self._answer(self.server.student, "application/octet-stream")

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        operation = self.headers.get("X-Amz-Target")
        if operation is None:
            time.sleep(self.server.model_seconds)
            self._answer(self.server.reply, "application/json")
        else:
            self._answer(self.server.found[operation], "application/x-amz-json-1.0")

    def do_PUT(self) -> None:
        self.server.written[self.path] = self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(b"", "application/xml")

    def _answer(self, body: bytes, content_type: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""

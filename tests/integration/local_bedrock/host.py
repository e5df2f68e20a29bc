"""A process that hosts a stand-in and starts one job: `python host.py STATE_FOLDER AWS_ENDPOINT REQUEST`.

Prints the process id of the training process once it runs, then waits to be killed.
"""

import json
import sys
import time
from pathlib import Path

from local.bedrock import BedrockStandIn
from local.bedrock.wire import Request

folder, endpoint, request = sys.argv[1:]
stand_in = BedrockStandIn(Path(folder), endpoint, print)
stand_in.startup()
response = stand_in.handle(Request("POST", "/model-customization-jobs", body=request.encode()))
running = stand_in._customization._processes._running
while not running:
    time.sleep(0.01)
print(
    json.dumps({"job": json.loads(response.body)["jobArn"], "process": next(iter(running.values())).pid}),
    flush=True,
)
sys.stdin.read()
stand_in.shutdown()

"""Names, ports and credentials that the app on one machine and its commands agree on."""

HOST = "127.0.0.1"
PORT = 4566
API_PORT = 3000
STACK = "signalbox"
REGION = "us-east-1"
ACCOUNT = "000000000000"
ARTIFACT_BUCKET = "signalbox-local-artifacts"
STATE_FOLDER = ".signalbox"
DEFAULT_TASK = "video-search"

CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": REGION,
    "AWS_REGION": REGION,
    "AWS_EC2_METADATA_DISABLED": "true",
}

WORKERS_PER_FUNCTION = 2
WATCH_SECONDS = 3.0
NUDGE_AFTER_SECONDS = 15
CHECKPOINT_SECONDS = 0.5

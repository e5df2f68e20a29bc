"""MiniStack, the AWS in this process: every private call into it, and only here.

Written for ministack 1.5.33, which the requirements pin. Each function that reaches behind MiniStack's public
API says which gap of that release it closes; the end-to-end tests guard all of them.
"""

import contextvars
import hashlib
import io
import json
import logging
import os
import tempfile
import zipfile
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import boto3

from local.delivery import Courier, Delivery, retries_of
from local.settings import ACCOUNT, CREDENTIALS, HOST, REGION
from local.state import StateFolder
from local.workers import Function, WorkerPool

Application = Callable[[Mapping, Callable, Callable], Awaitable[None]]

LOG_STREAMS_KEPT = 20
# What only grows by being used is written at leisure; all else within a second of its change.
SLOW_STATE = frozenset({"cloudwatch", "cloudwatch_logs"})
READS = ("Get", "List", "Describe", "Query", "Scan", "BatchGet", "Lookup", "Test")

_rule_target: contextvars.ContextVar[tuple[Mapping, Mapping]] = contextvars.ContextVar("rule_target")
_object_version: contextvars.ContextVar[str | None] = contextvars.ContextVar("object_version", default=None)


def start(state: StateFolder, port: int) -> Application:
    """Load MiniStack with its state, and give back its ASGI application.

    MiniStack reads its settings from the environment while it is imported, so this comes before any
    import of it, once in a process. It would listen on all interfaces, write below /tmp and open ports
    for SFTP and MQTT, left to itself.
    """
    for name in [name for name in os.environ if name.startswith(("AWS_", "MINISTACK_", "LOCALSTACK_"))]:
        del os.environ[name]
    os.environ.update(
        CREDENTIALS,
        AWS_ENDPOINT_URL=f"http://{HOST}:{port}",
        GATEWAY_PORT=str(port),
        BIND_HOST=HOST,
        MINISTACK_REGION=REGION,
        TMPDIR=str(state.temporary),
        PERSIST_STATE="1",
        STATE_DIR=str(state.emulator),
        S3_PERSIST="1",
        S3_DATA_DIR=str(state.objects),
        LAMBDA_EXECUTOR="local",
        SFTP_ENABLED="0",
        IOT_MTLS_ENABLED="0",
        AUTH="false",
        LOG_LEVEL="WARNING",
    )
    for name in ("SERVICES", "USE_SSL", "LAMBDA_STRICT"):
        os.environ.pop(name, None)
    tempfile.tempdir = str(state.temporary)
    from ministack.app import app

    return app


def run_functions_on(pool: WorkerPool, state: StateFolder) -> None:
    """Have every invocation, whatever asked for it, run on the pool's workers.

    Gaps closed: no bound on worker processes (20 uploads made 86 of them); 50 ms lost on each invocation
    that logs nothing; a handler's error kills its worker; each worker unpacks its code below /tmp.
    """
    from ministack.services import cloudwatch_logs, lambda_svc

    def execute(record: dict, event: object, request_id: str) -> dict:
        outcome = pool.invoke(_function(record, state), event, request_id)
        if outcome.error is None:
            return {"body": outcome.result, "log": outcome.log}
        return {"body": outcome.error, "error": True, "log": outcome.log, "function_error": "Unhandled"}

    emit_logs = lambda_svc._emit_lambda_logs

    def emit_bounded_logs(record: dict, *arguments: object, **options: object) -> None:
        """Gap closed: a log stream for every invocation, all kept for ever."""
        emit_logs(record, *arguments, **options)
        config = record.get("config") or record
        name = (config.get("LoggingConfig") or {}).get("LogGroup") or f"/aws/lambda/{config['FunctionName']}"
        streams = cloudwatch_logs._log_groups.get(name, {}).get("streams", {})
        while len(streams) > LOG_STREAMS_KEPT:
            streams.pop(next(iter(streams)))

    lambda_svc._execute_function_warm = execute
    lambda_svc._emit_lambda_logs = emit_bounded_logs


def deliver_events_through(courier: Courier, changed: Callable[[], None]) -> None:
    """Have EventBridge's rules deliver to functions through the courier.

    Gaps closed: a rule ignores its RetryPolicy and DeadLetterConfig and never tries again; every event
    gets a thread and a process of its own.
    """
    from ministack.services import eventbridge, lambda_svc

    invoke_target = eventbridge._invoke_target

    def invoke_known_target(target: dict, event: dict, rule: dict, view: object = None) -> None:
        token = _rule_target.set((rule, target))
        try:
            invoke_target(target, event, rule, view)
        finally:
            _rule_target.reset(token)

    def dispatch_to_lambda(arn: str, payload: str) -> None:
        rule, target = _rule_target.get()
        function, config, name = lambda_svc._get_func_record_for_ref(arn)
        if not function or not config:
            logging.getLogger(__name__).error("Rule %s: function %s does not exist", rule.get("Name"), arn)
            return
        record = lambda_svc._execution_record_for_config(function, config)
        event = json.loads(payload)

        def run() -> dict | None:
            result = lambda_svc._execute_function_with_config_scope(record, event)
            changed()
            return result["body"] if result.get("error") else None

        configs = [lambda_svc._event_invoke_config(function, version) for version in (None, "$LATEST")]
        invoke_config = next(filter(None, configs), None)
        on_failure = _on_failure(config, invoke_config)
        dead_letters = (target.get("DeadLetterConfig") or {}).get("Arn")

        def bury(error: dict, retries: int) -> None:
            if on_failure:
                failed = {"body": error, "error": True, "function_error": "Unhandled"}
                lambda_svc._route_async_failure(on_failure, name, event, failed)
            else:
                _send_dead_letter(dead_letters, payload, rule, target, error, retries)
            changed()

        courier.deliver(
            Delivery(
                function=name,
                event=event,
                run=run,
                retries=retries_of(target, invoke_config),
                longest_age_seconds=(target.get("RetryPolicy") or {}).get("MaximumEventAgeInSeconds", 86400),
                bury=bury if on_failure or dead_letters else None,
            )
        )

    eventbridge._invoke_target = invoke_known_target
    eventbridge._dispatch_to_lambda = dispatch_to_lambda


def complete_object_events(on_created: Callable[[str, str], None]) -> None:
    """Have S3's events carry what they carry on AWS, and hear of new objects.

    Gap closed: the events to EventBridge lack `version-id`, which AWS sends for a versioned bucket.

    Parameters
    ----------
    on_created
        Called with bucket and key of every object created in a bucket that sends events to EventBridge.
    """
    from ministack.services import eventbridge, s3

    fire, dispatch = s3._fire_s3_event, eventbridge._dispatch_event

    def fire_with_version(*arguments: object, version_id: str | None = None, **options: object) -> None:
        token = _object_version.set(version_id)
        try:
            fire(*arguments, version_id=version_id, **options)
        finally:
            _object_version.reset(token)

    def dispatch_with_version(event: dict, view: object = None) -> None:
        version = _object_version.get()
        if event.get("Source") == "aws.s3":
            detail = json.loads(event["Detail"])
            if version:
                detail["object"]["version-id"] = version
                event, view = {**event, "Detail": json.dumps(detail)}, None
            if event["DetailType"] == "Object Created":
                on_created(detail["bucket"]["name"], detail["object"]["key"])
        dispatch(event, view)

    s3._fire_s3_event = fire_with_version
    eventbridge._dispatch_event = dispatch_with_version


def translate_with_parameters() -> None:
    """Have SAM translate a template with the stack's parameters, as on AWS.

    Gap closed: MiniStack has it translate with their defaults, so that a parameter could not say what SAM has
    to know, say whether CodeDeploy, of which there is none here, deploys a function.
    """
    from ministack.services.cloudformation import changesets, engine, handlers

    apply = engine._apply_transforms

    def apply_with_parameters(template: dict, provided: object = None, previous: object = None) -> dict:
        declared = template.get("Parameters") or {}
        values = engine._transform_parameters(template, provided, previous)
        chosen = {
            name: {**parameter, "Default": values[name]} if name in values else parameter
            for name, parameter in declared.items()
        }
        applied = apply({**template, "Parameters": chosen} if declared else template, provided, previous)
        if declared and isinstance(applied, dict):
            applied["Parameters"] = declared
        return applied

    for module in (engine, handlers, changesets):
        module._apply_transforms = apply_with_parameters


def leave_out_metric_math() -> None:
    """Let a stack have alarms on metric math, which ring nowhere here.

    Gap closed: MiniStack refuses the stack for such an alarm.
    """
    from ministack.services.cloudformation import provisioners

    put = provisioners._cw_metric_alarm_put

    def put_unless_math(name: str, properties: dict) -> tuple[str, dict]:
        if "Metrics" in properties:
            return name, {"Arn": f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:{name}"}
        return put(name, properties)

    provisioners._cw_metric_alarm_put = put_unless_math


def emit(entry: Mapping) -> None:
    """Put an event of an AWS service, say `aws.bedrock`, on the default bus.

    Gap closed: rightly, PutEvents refuses such sources from outside, and MiniStack's own Bedrock emits none.

    Parameters
    ----------
    entry
        As an entry of PutEvents: Source, DetailType, Detail (JSON text), Resources.
    """
    from ministack.services import eventbridge

    eventbridge._put_events({"Entries": [dict(entry)]}, allow_aws_source=True)


def supported(resource_type: str) -> bool:
    """Whether MiniStack's CloudFormation can make such a resource (its refusal fails the whole stack)."""
    from ministack.services.cloudformation import provisioners

    return resource_type in provisioners._RESOURCE_HANDLERS or resource_type.startswith("AWS::Serverless::")


def may_change_state(method: str, headers: list[tuple[bytes, bytes]]) -> bool:
    """Whether a request can have changed anything worth a checkpoint."""
    if method in ("GET", "HEAD", "OPTIONS"):
        return False
    target = next((value for name, value in headers if name.lower() == b"x-amz-target"), b"").decode()
    return not target.rpartition(".")[2].startswith(READS)


class Checkpoints:
    """MiniStack's state on disk, in the files that it reads at its next start.

    Gap closed: MiniStack writes them on a clean shutdown only. Object bodies and their versions need none of
    this: S3 writes them as they come. So a table is never newer on disk than the objects it speaks of.
    """

    def __init__(self, state: StateFolder) -> None:
        self._folder = state.emulator
        self._written: dict[str, str] = {}

    def take(self, everything: bool = False) -> dict[str, object]:
        """Copy the state, on the event loop, where no handler is half-way through a change."""
        from ministack import app

        parts = app._build_persistence_save_dict()
        copies = {}
        for name, get_state in parts.items():
            if everything or name not in SLOW_STATE:
                try:
                    copies[name] = get_state()
                except RuntimeError:  # a log or a metric came in from another thread during the copy
                    copies[name] = get_state()
        return {name: copy for name, copy in copies.items() if copy is not None}

    def write(self, copies: Mapping[str, object]) -> None:
        """Write the parts that differ from what is on disk; each replaces its predecessor whole."""
        from ministack.core import persistence

        for name, copy in copies.items():
            wrapped = {"__ministack_format__": persistence._state_format_version(name), "payload": copy}
            text = json.dumps(wrapped, default=persistence._json_default)
            digest = hashlib.sha256(text.encode()).hexdigest()
            if self._written.get(name) == digest:
                continue
            temporary = self._folder / f"{name}.json.tmp"
            temporary.write_text(text)
            temporary.replace(self._folder / f"{name}.json")
            self._written[name] = digest


def _function(record: Mapping, state: StateFolder) -> Function:
    """The worker's view of a function: its code and layers unpacked once, its environment as on Lambda."""
    from ministack.services import lambda_svc

    config = record.get("config") or record
    layers = [lambda_svc._resolve_layer_zip(layer) for layer in config.get("Layers") or []]
    code = _unpacked(record["code_zip"], state.code)
    layer_folders = [_unpacked(layer, state.code) / "python" for layer in layers if layer]
    name, timeout = config["FunctionName"], float(config.get("Timeout", 3))
    log_group = (config.get("LoggingConfig") or {}).get("LogGroup") or f"/aws/lambda/{name}"
    version = config.get("Version", "$LATEST")
    environment = {
        **{key: os.environ[key] for key in ("PATH", "HOME", "LANG") if key in os.environ},
        **CREDENTIALS,
        "AWS_ACCESS_KEY_ID": ACCOUNT,
        "AWS_ENDPOINT_URL": os.environ["AWS_ENDPOINT_URL"],
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_LAMBDA_FUNCTION_NAME": name,
        "AWS_LAMBDA_FUNCTION_VERSION": version,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(config.get("MemorySize", 128)),
        "AWS_LAMBDA_LOG_GROUP_NAME": log_group,
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "LAMBDA_TASK_ROOT": str(code),
        "_HANDLER": config["Handler"],
        "TMPDIR": str(state.temporary),
        "TZ": ":UTC",
        "POWERTOOLS_TRACE_DISABLED": "true",  # there is no X-Ray daemon
        "OPENBLAS_NUM_THREADS": "1",  # a function below 1,769 MB has one processor at most
        **((config.get("Environment") or {}).get("Variables") or {}),
    }
    return Function(
        name=name,
        arn=config["FunctionArn"],
        version=version,
        handler=config["Handler"],
        timeout_seconds=timeout,
        memory_megabytes=int(config.get("MemorySize", 128)),
        log_group=log_group,
        path=(str(code), *map(str, layer_folders)),
        environment=tuple(environment.items()),
    )


def _unpacked(archive: bytes, folder: Path) -> Path:
    """The folder that holds the content of a zip archive, named by its digest; made if need be."""
    target = folder / hashlib.sha256(archive).hexdigest()[:16]
    if not target.is_dir():
        partial = target.with_name(f"{target.name}.{os.getpid()}.{id(archive)}")
        with zipfile.ZipFile(io.BytesIO(archive)) as content:
            content.extractall(partial)
        try:
            partial.rename(target)
        except OSError:  # another thread was first
            if not target.is_dir():
                raise
    return target


def _on_failure(config: Mapping, invoke_config: Mapping | None) -> str | None:
    destination = ((invoke_config or {}).get("DestinationConfig") or {}).get("OnFailure") or {}
    return destination.get("Destination") or (config.get("DeadLetterConfig") or {}).get("TargetArn")


def _send_dead_letter(
    queue: str, payload: str, rule: Mapping, target: Mapping, error: Mapping, retries: int
) -> None:
    """Send an event as EventBridge does: unchanged, with the reasons as message attributes."""
    reasons = {
        "RULE_ARN": rule.get("Arn", ""),
        "TARGET_ARN": target.get("Arn", ""),
        "ERROR_CODE": str(error.get("errorType")),
        "ERROR_MESSAGE": str(error.get("errorMessage"))[:1000],
        "EXHAUSTED_RETRY_CONDITION": "MaximumRetryAttempts",
        "RETRY_ATTEMPTS": str(retries),
    }
    attributes = {
        name: {"DataType": "String", "StringValue": value} for name, value in reasons.items() if value
    }
    queues = boto3.client("sqs")
    url = queues.get_queue_url(QueueName=queue.rpartition(":")[2])["QueueUrl"]
    queues.send_message(QueueUrl=url, MessageBody=payload, MessageAttributes=attributes)

"""The router's figures, one line a request.

Most are by task, and only what alarms read is also summed up over all tasks, and by version of the function:

- by service and task: all of them;
- by service, and by service and version: `Routed` and `RouteFallbacks`;
- by service: `RouteClientFaults` and `RouteServerFaults`. A refused request may name any task, so none is counted so;
  one that failed is counted by its task, too, if something is live for it.

What did not happen is not written, except where a share is wanted: `RouteFallbacks`, `RouteCacheHits` and
`RouteUnfamiliar` are 0 or 1 for each query, so their average is their share of the queries.

What an answer costs is not among them: the router does not keep the tokens of a model's answer. Bedrock counts them
itself (AWS/Bedrock, InputTokenCount and OutputTokenCount by model).
"""

import os
from collections import Counter
from collections.abc import Sequence

from signalbox.bedrock import BUSY
from signalbox.embedded_metrics import Dimensions, write
from signalbox.route import ABSENT, LEFT_ALONE, NO_TIME, NOT_LOADED, TIMEOUT, UNSURE, UNUSABLE, Routed

_REASONS = {
    **dict.fromkeys(
        (TIMEOUT, "ReadTimeoutError", "ConnectTimeoutError", "ModelTimeoutException"), "PassedOverTimeout"
    ),
    **dict.fromkeys(BUSY, "PassedOverThrottled"),
    UNUSABLE: "PassedOverUnusableAnswer",
    LEFT_ALONE: "PassedOverLeftAlone",
    NO_TIME: "PassedOverNoTimeLeft",
    NOT_LOADED: "PassedOverNotLoaded",
    UNSURE: "PassedOverUnsure",
}
"""What a reason is counted as; any other is an error, so that there can never be more metrics than these."""
_ERROR = "PassedOverError"

_BY_TASK: Dimensions = [["service", "task"]]
_BY_VERSION: Dimensions = [["service"], ["service", "version"]]
_BY_SERVICE: Dimensions = [["service"]]
_ALARMED = ("Routed", "RouteFallbacks")


def count_answers(task: str, answers: Sequence[Routed], latency_metric: str, milliseconds: float) -> None:
    """Write what a request's answers come to: at most 100, as many values as one metric of a line may have.

    Parameters
    ----------
    latency_metric : str
        What the milliseconds that all of them took together are to be called.
    """
    figures: dict[str, list[float]] = {
        "Routed": [len(answers)],
        "RouteFallbacks": [int(routed.stopgap) for routed in answers],
        "RouteCacheHits": [int(routed.cached) for routed in answers],
        latency_metric: [milliseconds],
    }
    looked_at = [int(routed.unfamiliar) for routed in answers if routed.unfamiliar is not None]
    if looked_at:
        figures["RouteUnfamiliar"] = looked_at
    happened = Counter(name for routed in answers for name in _happened(routed))
    figures |= {name: [number] for name, number in happened.items()}
    write(figures, [(_BY_TASK, figures), (_BY_VERSION, _ALARMED)], task=task, version=_version())


def count_fault(status: int, task: str = "") -> None:
    """Write that a request was refused (4xx) or failed (5xx), if it was.

    Parameters
    ----------
    task : str
        What a failed request was for, if something is known to be live for it; "" otherwise.
    """
    if status >= 500:
        name = "RouteServerFaults"
        by = _BY_SERVICE + (_BY_TASK if task else [])
        write({name: [1]}, [(by, [name])], **({"task": task} if task else {}))
    elif status >= 400:
        write({"RouteClientFaults": [1]}, [(_BY_SERVICE, ["RouteClientFaults"])])


def _happened(routed: Routed) -> list[str]:
    by = f"RoutedBy{routed.source.title()}"
    if routed.cached:  # what came before was counted when it happened
        return [by]
    return [by] + [
        _REASONS.get(reason, _ERROR) for reason in routed.passed_over.values() if reason not in ABSENT
    ]


def _version() -> str:
    return os.environ.get("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")

"""Figures in CloudWatch's embedded metric format: a line of the log, of which CloudWatch makes metrics.

Powertools gives every metric of a line the same dimensions, and each metric under each set of them is billed. Here
every metric has the sets that somebody reads.

Format: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
"""

import json
import os
import time
from collections.abc import Iterable
from typing import Any

Dimensions = list[list[str]]

_UNITS = {
    "Latency": "Milliseconds",
    "Seconds": "Seconds",
    "Cost": "None",
}  # CloudWatch has no unit for US dollars


def write(
    figures: dict[str, list[float]], groups: Iterable[tuple[Dimensions, Iterable[str]]], **dimensions: str
) -> None:
    """Print a line that CloudWatch takes for metrics: each group's names under each of its dimension sets.

    Parameters
    ----------
    figures : dict
        At most 100 values by the name of their metric.
    groups
        The dimension sets, and the names of the metrics that are kept under each of them.
    dimensions
        Their values, besides `service`, which is that of the function.
    """
    described = [
        {
            "Namespace": os.environ["POWERTOOLS_METRICS_NAMESPACE"],
            "Dimensions": sets,
            "Metrics": [{"Name": name, "Unit": _unit(name)} for name in names],
        }
        for sets, names in groups
    ]
    line: dict[str, Any] = {
        "_aws": {"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": described},
        "service": os.environ["POWERTOOLS_SERVICE_NAME"],
    }
    print(json.dumps(line | dimensions | figures, separators=(",", ":")))


def _unit(name: str) -> str:
    return next((unit for suffix, unit in _UNITS.items() if name.endswith(suffix)), "Count")

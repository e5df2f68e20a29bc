"""What is read of CloudWatch to judge promotions by: as few calls as can be, each minute laid to whom it belongs."""

from datetime import UTC, datetime, timedelta
from typing import Any

from signalbox.health import RouteMetrics

AT = datetime(2026, 11, 21, 12, 0, 30, tzinfo=UTC)


class CloudWatch:
    """Answers each metric with one query a minute from 11:50."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []

    def get_metric_data(self, **request: Any) -> dict[str, Any]:
        self.calls.append(request)
        minutes = [datetime(2026, 11, 21, 11, 50 + minute, tzinfo=UTC) for minute in range(10)]
        results = [
            {"Id": query["Id"], "Timestamps": minutes, "Values": [1.0] * 10}
            for query in request["MetricDataQueries"]
        ]
        return {"MetricDataResults": results}


def test_one_call_reads_the_figures_of_160_tasks() -> None:
    cloudwatch = CloudWatch()
    metrics = RouteMetrics(cloudwatch, "Signalbox/s", "s-route")
    metrics.between(AT - timedelta(minutes=10), AT, [f"task-{number}" for number in range(160)])
    (call,) = cloudwatch.calls
    assert len(call["MetricDataQueries"]) <= 500
    metrics.between(AT - timedelta(minutes=10), AT, [f"task-{number}" for number in range(161)])
    assert len(cloudwatch.calls) == 3


def test_a_minute_counts_if_the_whole_of_it_came_after_the_promotion() -> None:
    figures = RouteMetrics(CloudWatch(), "Signalbox/s", "s-route").between(
        AT - timedelta(minutes=10), AT, ["a", "b"]
    )
    assert figures.of("a", AT - timedelta(minutes=10)).routed == 9
    assert figures.of("b", AT - timedelta(minutes=3)).routed == 2
    assert figures.of("b", AT).routed == 0

"""What provisioned throughput costs, and from how many requests on it is cheaper than a deployment on demand."""

from dataclasses import dataclass, field
from typing import Any

from signalbox.cost import answered
from signalbox.prices import PriceUnknown, prices
from signalbox.task import Deployment

_UNKNOWN = "AWS publishes no price of a model unit, and deployment.usd_per_unit_hour of the task gives none"
"""Amazon Bedrock user guide, "Increase model invocation capacity with Provisioned Throughput": for what a model unit
carries and costs "contact your AWS account manager"."""
_MINUTES, _HOURS = 60, 24


@dataclass(frozen=True)
class HourlyPrice:
    """What a deployment with provisioned throughput costs, in one sentence without its full stop, and in figures."""

    in_words: str
    usd: dict[str, float] = field(default_factory=dict)


def price_of(deployment: Deployment) -> HourlyPrice:
    """Say what a task's provisioned throughput costs, by the price that the task gives."""
    term = "" if deployment.commitment == "none" else " (it cannot be deleted before)"
    bought = f"{deployment.units}{term}, paid by the hour whether asked or not"
    if deployment.usd_per_unit_hour is None:
        return HourlyPrice(f"{bought}: {_UNKNOWN}")
    hour = deployment.usd_per_unit_hour * deployment.model_units
    words = (
        f"{bought}: {hour:,.2f} USD an hour, {hour * _HOURS:,.2f} USD a day, by the price that the task gives"
    )
    return HourlyPrice(words, {"an_hour": round(hour, 4), "a_day": round(hour * _HOURS, 4)})


def against_on_demand(
    deployment: Deployment, measured: dict[str, Any], queries: int, region: str
) -> dict[str, Any]:
    """Compare provisioned throughput with a deployment on demand, by the tokens that were measured.

    Parameters
    ----------
    measured : dict
        The candidate `bedrock` of metrics.json: its model, its tokens together, and its errors.
    queries : int
        How many it was asked; those that were refused cost no tokens.
    region : str
        Where it is asked.

    Returns
    -------
    dict
        type, model_units and commitment of the task's deployment; usd_per_hour of so many units, usd_per_request on
        demand, tokens alone, and requests_per_minute from which on the hour is cheaper, each a number or `unknown` with
        the reason. Whether so many units carry so many requests is not in it: what a unit carries is not published.
    """
    hour: float | dict[str, str] = {"unknown": _UNKNOWN}
    if deployment.usd_per_unit_hour is not None:
        hour = deployment.usd_per_unit_hour * deployment.model_units
    request = _on_demand(measured, queries, region)
    unknown = [price["unknown"] for price in (hour, request) if isinstance(price, dict)]
    rate: float | dict[str, str] = {"unknown": "; ".join(unknown)}
    if isinstance(hour, float) and isinstance(request, float):
        rate = hour / _MINUTES / request
    return {
        "type": deployment.type,
        "model_units": deployment.model_units,
        "commitment": deployment.commitment,
        "usd_per_hour": hour,
        "usd_per_request": request,
        "requests_per_minute": rate,
    }


def _on_demand(measured: dict[str, Any], queries: int, region: str) -> float | dict[str, str]:
    """Return what the tokens of a request cost on demand, or why that is unknown."""
    tokens, answers = measured["tokens"], answered(measured, queries)
    try:
        price = prices().of_model(measured["model"], region)
    except PriceUnknown as unknown:
        return {"unknown": str(unknown)}
    if not answers or not tokens["input"]:
        return {"unknown": f"no tokens of {measured['model']} were counted"}
    return price.of(tokens["input"], tokens["output"]) / answers

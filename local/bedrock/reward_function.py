"""Asking the reward function of a reinforcement fine-tuning job, a Lambda function behind the same AWS endpoint.

Shapes: docs.aws.amazon.com/bedrock/latest/userguide/reward-functions.html. How many samples Bedrock sends at a time is
not documented; Lambda takes 6 MB in a call (docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html).
"""

import json
import math
from collections.abc import Sequence
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from local.bedrock import names
from local.bedrock.errors import RewardError

SAMPLES_PER_CALL = 128
_LONGEST_QUOTATION = 300
_TYPES = ("Reward", "Metric")


class RewardFunction:
    """The function with an ARN.

    Parameters
    ----------
    aws_endpoint
        URL of the local AWS endpoint.
    """

    def __init__(self, aws_endpoint: str, arn: str) -> None:
        import boto3
        from botocore.config import Config

        self.arn = arn
        self._client: Any = boto3.client(
            "lambda",
            endpoint_url=aws_endpoint,
            region_name=names.REGION,
            aws_access_key_id="test",
            aws_secret_access_key="test",
            # A reward function may take 15 minutes; one that is throttled is asked again.
            config=Config(retries={"mode": "standard", "total_max_attempts": 6}, read_timeout=910),
        )

    def __call__(self, samples: Sequence[dict[str, Any]]) -> list[float]:
        """Return the reward of each sample, in their order.

        Raises
        ------
        RewardError
            The function cannot be called, fails, or replies in another shape than the documented one.
        """
        rewards: list[float] = []
        for start in range(0, len(samples), SAMPLES_PER_CALL):
            part = samples[start : start + SAMPLES_PER_CALL]
            rewards += rewards_in(self._invoke(part), [sample["id"] for sample in part])
        return rewards

    def _invoke(self, samples: Sequence[dict[str, Any]]) -> bytes:
        payload = json.dumps(samples, ensure_ascii=False).encode()
        try:
            answer = self._client.invoke(FunctionName=self.arn, Payload=payload)
            body = answer["Payload"].read()
        except (ClientError, BotoCoreError) as error:
            raise RewardError(f"The reward function {self.arn} can't be invoked: {error}") from error
        if "FunctionError" in answer:
            said = body.decode(errors="replace")[:_LONGEST_QUOTATION]
            raise RewardError(f"The reward function {self.arn} returned an error: {said}")
        return body


def rewards_in(reply: bytes, identifiers: Sequence[str]) -> list[float]:
    """Return the rewards of a reply, in the order of the samples' ids.

    Raises
    ------
    RewardError
        The reply is not of the documented shape, or not about these samples; the message says where.
    """
    try:
        scored = json.loads(reply)
    except (ValueError, RecursionError) as error:
        raise RewardError("The reward function's reply is not JSON.") from error
    if not isinstance(scored, list):
        raise RewardError(f"The reward function must return a list, not a {type(scored).__name__}.")
    if len(scored) != len(identifiers):
        raise RewardError(
            f"The reward function returned {len(scored)} scores for {len(identifiers)} samples."
        )
    rewards = dict(_reward(number, one) for number, one in enumerate(scored))
    missing = next((each for each in identifiers if each not in rewards), None)
    if missing is not None:
        raise RewardError(f"The reward function returned no score for the sample {missing}.")
    return [rewards[each] for each in identifiers]


def _reward(number: int, scored: Any) -> tuple[str, float]:
    where = f"Score {number} of the reward function"
    if not isinstance(scored, dict) or not isinstance(scored.get("id"), str):
        raise RewardError(f"{where} has no id.")
    if not _is_number(scored.get("aggregate_reward_score")):
        raise RewardError(f"{where} has no aggregate_reward_score that is a finite number.")
    metrics = scored.get("metrics_list", [])
    if not isinstance(metrics, list) or not all(map(_is_metric, metrics)):
        raise RewardError(
            f"{where} has a metrics_list with something else than a name, a number as value, and the type Reward or "
            "Metric."
        )
    return scored["id"], float(scored["aggregate_reward_score"])


def _is_metric(metric: Any) -> bool:
    return (
        isinstance(metric, dict)
        and isinstance(metric.get("name"), str)
        and _is_number(metric.get("value"))
        and metric.get("type") in _TYPES
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)

"""What can be set about the stand-in: quotas, delays, sizes."""

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass

PREFIX = "LOCAL_BEDROCK_"


@dataclass(frozen=True)
class Configuration:
    """Quotas, delays and sizes.

    Quotas are AWS's defaults unless said otherwise: docs.aws.amazon.com/general/latest/gr/bedrock.html
    """

    scheduled_customization_jobs: int = 10
    custom_models: int = (
        1_000  # AWS's default is 100, and adjustable; a machine that drops 100 datasets needs more
    )
    deployments_in_creation: int = 2
    # An account of AWS's has none of either before it asks for some; here a live run and the one before have theirs.
    model_units: int = 2  # of provisioned throughput without commitment
    committed_model_units: int = 0
    evaluation_jobs: int = 20
    requests_per_minute: int = (
        0  # for each model; 0: no limit. AWS's default is 2,000 for a Nova Micro deployment
    )
    batch_minimum_records: int = 100
    training_processes: int = 2
    kept_models: int = 8  # trained students kept in memory
    deployment_seconds: float = 0.2  # from created to Active
    training_start_seconds: float = 0.0  # from created to the start of the training process
    evaluation_lag_seconds: float = 0.0  # from the output object to Completed; 0: Completed comes first

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Configuration":
        """Return a configuration with what `LOCAL_BEDROCK_<NAME IN CAPITALS>` variables say."""
        values = {}
        for field in dataclasses.fields(cls):
            text = environment.get(PREFIX + field.name.upper())
            if text is not None:
                values[field.name] = type(field.default)(text)
        return cls(**values)

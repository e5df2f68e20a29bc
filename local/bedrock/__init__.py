"""A stand-in for Amazon Bedrock on one machine.

It speaks Bedrock's wire protocol for the operations that the app uses and answers with small models of its
own, named `local.*`. It is not Bedrock, runs no Bedrock model, and none of its figures say anything about
one.

A request goes `service` (ASGI) -> `wire` (which operation, which parameters; `shapes` checks them) -> one of
`customization`, `custom_models`, `deployments`, `evaluation`, `batch`, `inference` -> `store`. Training runs
in `training`, a process of its own that `processes` starts; what it makes is a `student`. In `reinforcement` it is a
`policy` that becomes one, by what a `reward_function` says. `teacher` holds the models that answer from labelled
examples, `rubric` the judge, `answers` the textual form of a task's answers.
"""

from local.bedrock.configuration import Configuration
from local.bedrock.faults import Faults
from local.bedrock.service import BedrockStandIn

__all__ = ["BedrockStandIn", "Configuration", "Faults"]

"""Deployments of custom models, of both kinds: on demand, and with provisioned throughput.

Either is known by its ARN, which is also what Converse is asked with. Sources: Amazon Bedrock user guide, "Deploy a
custom model for on-demand inference" and "Increase model invocation capacity with Provisioned Throughput".
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from signalbox.bedrock import Bedrock, Busy, deletion, look_up, refusals, tags
from signalbox.task import Deployment

_PROVISIONED = ":provisioned-model/"
_READY = frozenset({"Active", "InService"})
_TERMS = {"one_month": "OneMonth", "six_months": "SixMonths"}


@dataclass(frozen=True, slots=True)
class Deployed:
    """A deployment as Bedrock reports it.

    Attributes
    ----------
    status : str
        Creating, Active or Failed; of provisioned throughput Creating, InService, Updating or Failed.
    message : str
        Bedrock's failure message, "" if there is none.
    committed_until : datetime | None
        Before when provisioned throughput cannot be deleted; None without a commitment.
    """

    arn: str
    status: str
    message: str
    committed_until: datetime | None = None

    @property
    def is_ready(self) -> bool:
        """Whether it answers."""
        return self.status in _READY


class Committed(Busy):
    """Provisioned throughput cannot be deleted before the term is over that it was bought for."""

    def __init__(self, arn: str, until: datetime) -> None:
        super().__init__(f"{arn} is committed until {until:%Y-%m-%d %H:%M} UTC, and paid for until then")
        self.until = until


def is_provisioned(arn: str) -> bool:
    """Tell from the ARN of a deployment whether it is provisioned throughput."""
    return _PROVISIONED in arn


class Deployments:
    """What deploys custom models, finds their deployments and deletes them.

    Every name is a run's, so that asking twice makes nothing twice: what is there already is returned.

    Parameters
    ----------
    bedrock : Bedrock
    """

    def __init__(self, bedrock: Bedrock) -> None:
        self._control = bedrock.control

    def create(self, name: str, model_arn: str, wanted: Deployment) -> str:
        """Deploy a custom model as its task wants it, unless it is deployed, and return the ARN.

        Raises
        ------
        Busy
            Throttled, or a quota is used up: two on-demand deployments in progress, or the model units of the
            account, of which it has none unless AWS has been asked for some.
        PermanentFailure
            Bedrock refuses the deployment.
        """
        existing = self.named(name, wanted)
        if existing is not None:
            return existing.arn
        with refusals("deploy", "see whether this region deploys this model so, then drop the dataset again"):
            if wanted.type == "provisioned":
                return self._provision(name, model_arn, wanted)
            return self._control.create_custom_model_deployment(
                modelDeploymentName=name, modelArn=model_arn, clientRequestToken=name, tags=tags(name)
            )["customModelDeploymentArn"]

    def _provision(self, name: str, model_arn: str, wanted: Deployment) -> str:
        term = {"commitmentDuration": _TERMS[wanted.commitment]} if wanted.commitment in _TERMS else {}
        return self._control.create_provisioned_model_throughput(
            provisionedModelName=name,
            modelId=model_arn,
            modelUnits=wanted.model_units,
            clientRequestToken=name,
            tags=tags(name),
            **term,
        )["provisionedModelArn"]

    def named(self, name: str, wanted: Deployment) -> Deployed | None:
        """Return the deployment of this name and of the kind that a task wants, or None if there is none."""
        return self._throughput(name) if wanted.type == "provisioned" else self._on_demand(name)

    def find(self, arn: str) -> Deployed | None:
        """Return a deployment, or None if there is none."""
        return self._throughput(arn) if is_provisioned(arn) else self._on_demand(arn)

    def delete(self, arn: str) -> None:
        """Delete a deployment, unless it is gone.

        Raises
        ------
        Committed
            The term of provisioned throughput is not over.
        Busy
            Throttled, or the deployment is being created or deleted just then.
        """
        if not is_provisioned(arn):
            with deletion():
                self._control.delete_custom_model_deployment(customModelDeploymentIdentifier=arn)
            return
        found = self.find(arn)
        if found and found.committed_until and found.committed_until > datetime.now(UTC):
            raise Committed(arn, found.committed_until)
        with deletion():
            self._control.delete_provisioned_model_throughput(provisionedModelId=arn)

    def _on_demand(self, identifier: str) -> Deployed | None:
        answer = look_up(
            "deployment",
            identifier,
            lambda: self._control.get_custom_model_deployment(customModelDeploymentIdentifier=identifier),
        )
        return _deployed(answer, "customModelDeploymentArn") if answer else None

    def _throughput(self, identifier: str) -> Deployed | None:
        answer = look_up(
            "provisioned throughput",
            identifier,
            lambda: self._control.get_provisioned_model_throughput(provisionedModelId=identifier),
        )
        return _deployed(answer, "provisionedModelArn") if answer else None


def _deployed(answer: dict[str, Any], arn: str) -> Deployed:
    until = answer.get("commitmentExpirationTime")
    return Deployed(answer[arn], answer["status"], answer.get("failureMessage", ""), until)

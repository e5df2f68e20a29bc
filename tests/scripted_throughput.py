"""Provisioned throughput of the scripted Bedrock."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tests.builders import client_error


@dataclass
class ScriptedThroughput:
    """Throughputs by their names.

    Attributes
    ----------
    throughput_ends : tuple[str, str]
        The status that is reached and the failure message.
    committed_until : datetime | None
        Before when a throughput that is created with a commitment cannot be deleted.
    """

    throughput_ends: tuple[str, str] = ("InService", "")
    committed_until: datetime | None = None
    throughputs: dict[str, dict[str, Any]] = field(default_factory=dict)

    def create_provisioned_model_throughput(self, **request: Any) -> dict[str, Any]:
        self._begin("CreateProvisionedModelThroughput", request)
        if request["modelId"] not in self.custom_models:
            raise client_error(
                "ResourceNotFoundException", "no such custom model", "CreateProvisionedModelThroughput", 404
            )
        throughput = {
            "arn": self._arn("provisioned-model"),
            "status": "Creating",
            "message": "",
            "model_arn": request["modelId"],
            "request": request,
        }
        made = self._once(self.throughputs, request["provisionedModelName"], throughput)
        return {"provisionedModelArn": made["arn"]}

    def get_provisioned_model_throughput(self, **request: Any) -> dict[str, Any]:
        self._begin("GetProvisionedModelThroughput", request)
        found = self._found(self.throughputs, request["provisionedModelId"], "GetProvisionedModelThroughput")
        term = "commitmentDuration" in found["request"]
        until = {"commitmentExpirationTime": self.committed_until} if term else {}
        message = {"failureMessage": found["message"]} if found["message"] else {}
        return {"provisionedModelArn": found["arn"], "status": found["status"], **until, **message}

    def delete_provisioned_model_throughput(self, **request: Any) -> dict[str, Any]:
        self._begin("DeleteProvisionedModelThroughput", request)
        found = self._found(
            self.throughputs, request["provisionedModelId"], "DeleteProvisionedModelThroughput"
        )
        if found["status"] == "Creating":
            raise client_error("ConflictException", "being created", "DeleteProvisionedModelThroughput")
        self.throughputs = {name: one for name, one in self.throughputs.items() if one is not found}
        return {}

    def provision(self) -> None:
        """Bring every throughput that is being created to its end."""
        for throughput in self.throughputs.values():
            if throughput["status"] == "Creating":
                throughput["status"], throughput["message"] = self.throughput_ends

"""Provisioned throughput of custom models. Its status follows from when it was made, so that nothing has to run.

As documented: an account has no model units unless it has asked for some, each kind of commitment has its own; a
commitment cannot be deleted before its term is over (Amazon Bedrock user guide, "Delete a Provisioned Throughput").
Assumed, as no document says it: that a deletion before is answered by ConflictException, and that a month has 30 days.
"""

from typing import Any

from local.bedrock import custom_models, faults, names
from local.bedrock.context import Context
from local.bedrock.errors import conflict, invalid, not_found, quota_exceeded
from local.bedrock.resources import created_before, fingerprint, page, tag_map
from local.bedrock.store import Resource

KIND = "provisioned-model"
_DAY = 24 * 3600
_TERM_SECONDS = {"OneMonth": 30 * _DAY, "SixMonths": 180 * _DAY}


class ProvisionedThroughputs:
    """The operations on provisioned throughput."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._store = context.store
        self.operations = {
            "CreateProvisionedModelThroughput": self.create,
            "GetProvisionedModelThroughput": self.get,
            "ListProvisionedModelThroughputs": self.list,
            "DeleteProvisionedModelThroughput": self.delete,
        }

    def create(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """CreateProvisionedModelThroughput."""
        with self._store.transaction():
            before = created_before(self._store, KIND, parameters)
            if before:
                return {"provisionedModelArn": before.arn}
            model = self._model(parameters["modelId"])
            tags = tag_map(parameters.get("tags", []))
            if self._store.find(KIND, parameters["provisionedModelName"]):
                raise invalid("The provided provisioned model name is currently in use. Try another one.")
            self._refuse_beyond_quota(parameters, model.document["baseModelArn"])
            arn, now = names.provisioned_model(names.new_id()), self._context.now()
            units, term = parameters["modelUnits"], parameters.get("commitmentDuration")
            document = {
                "provisionedModelName": parameters["provisionedModelName"],
                "provisionedModelArn": arn,
                "modelUnits": units,
                "desiredModelUnits": units,
                "modelArn": model.arn,
                "desiredModelArn": model.arn,
                "foundationModelArn": model.document["baseModelArn"],
                "creationTime": now,
                "readyAt": now + self._context.configuration.deployment_seconds,
                "failureMessage": self._context.faults.failure(faults.THROUGHPUT),
            }
            if term:
                document |= {
                    "commitmentDuration": term,
                    "commitmentExpirationTime": now + _TERM_SECONDS[term],
                }
            token = parameters.get("clientRequestToken")
            name = parameters["provisionedModelName"]
            self._store.add(
                Resource(arn, KIND, name, "Creating", now, token, fingerprint(parameters), document)
            )
            self._store.tag(arn, tags)
        return {"provisionedModelArn": arn}

    def get(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """GetProvisionedModelThroughput."""
        return self._view(self._find(parameters["provisionedModelId"]))

    def list(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """ListProvisionedModelThroughputs."""
        summaries = [self._view(throughput) for throughput in self._store.all(KIND)]
        equal = {"statusEquals": "status", "modelArnEquals": "modelArn"}
        return page(
            summaries, parameters, "provisionedModelSummaries", name="provisionedModelName", equal=equal
        )

    def delete(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """DeleteProvisionedModelThroughput."""
        with self._store.transaction():
            view = self._view(self._find(parameters["provisionedModelId"]))
            if view["status"] == "Creating":
                raise conflict("The provisioned throughput is being created. Wait until it is InService.")
            if view.get("commitmentExpirationTime", 0) > self._context.now():
                raise conflict("The commitment term of the provisioned throughput isn't complete.")
            self._store.remove(view["provisionedModelArn"])
        return {}

    def model_behind(self, arn: str) -> tuple[str, str] | None:
        """Return the status of a throughput and the ARN of the model that answers; None if there is none."""
        throughput = self._store.get(arn)
        if throughput is None or throughput.kind != KIND:
            return None
        view = self._view(throughput)
        return view["status"], view["modelArn"]

    def _view(self, throughput: Resource) -> dict[str, Any]:
        """Return what Get answers at this moment."""
        document = throughput.document
        if self._context.now() < document["readyAt"]:
            creating = {**document, "lastModifiedTime": document["creationTime"], "status": "Creating"}
            creating.pop("failureMessage", None)
            return creating
        status = "Failed" if document.get("failureMessage") else "InService"
        return {**document, "lastModifiedTime": document["readyAt"], "status": status}

    def _find(self, identifier: str) -> Resource:
        throughput = self._store.find(KIND, identifier)
        if throughput is None:
            raise not_found("The specified provisioned model throughput wasn't found.")
        return throughput

    def _model(self, identifier: str) -> Resource:
        """Return the custom model that is named; the models of this stand-in itself have no units to buy."""
        model = self._store.find(custom_models.KIND, identifier)
        if model is None:
            raise not_found("The specified custom model wasn't found.")
        if model.status != "Active":
            raise invalid("The custom model isn't Active.")
        return model

    def _refuse_beyond_quota(self, parameters: dict[str, Any], base_model_arn: str) -> None:
        committed = "commitmentDuration" in parameters
        configuration = self._context.configuration
        quota = configuration.committed_model_units if committed else configuration.model_units
        used = sum(
            throughput.document["modelUnits"]
            for throughput in self._store.all(KIND)
            if ("commitmentDuration" in throughput.document) is committed
        )
        if used + parameters["modelUnits"] > quota:
            kind = "commitment" if committed else "no commitment"
            raise quota_exceeded(
                f"Your account does not currently have enough {kind} model units reserved for "
                f"{names.last_part(base_model_arn)}: {quota} are, {used} of them in use."
            )

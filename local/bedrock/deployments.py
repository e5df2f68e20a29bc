"""Custom model deployments. Their status follows from when they were made, so that nothing has to run."""

from typing import Any

from local.bedrock import custom_models, faults, names
from local.bedrock.context import Context
from local.bedrock.errors import conflict, invalid, not_found, quota_exceeded
from local.bedrock.resources import created_before, fingerprint, page, tag_map
from local.bedrock.store import Resource

KIND = "deployment"


class Deployments:
    """The operations on custom model deployments."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._store = context.store
        self.operations = {
            "CreateCustomModelDeployment": self.create,
            "GetCustomModelDeployment": self.get,
            "ListCustomModelDeployments": self.list,
            "UpdateCustomModelDeployment": self.update,
            "DeleteCustomModelDeployment": self.delete,
        }

    def create(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """CreateCustomModelDeployment."""
        with self._store.transaction():
            before = created_before(self._store, KIND, parameters)
            if before:
                return {"customModelDeploymentArn": before.arn}
            self._refuse_unless_active(parameters["modelArn"])
            tags = tag_map(parameters.get("tags", []))
            if self._store.find(KIND, parameters["modelDeploymentName"]):
                raise invalid(
                    "The provided model deployment name is currently in use. Try again with a different name."
                )
            self._refuse_beyond_quota()
            arn, now = names.deployment(names.new_id()), self._context.now()
            document = {
                **{name: value for name, value in parameters.items() if name != "tags"},
                "customModelDeploymentArn": arn,
                "createdAt": now,
                "readyAt": now + self._context.configuration.deployment_seconds,
                "failureMessage": self._context.faults.failure(faults.DEPLOYMENT),
            }
            self._store.add(
                Resource(
                    arn,
                    KIND,
                    parameters["modelDeploymentName"],
                    "Creating",
                    now,
                    parameters.get("clientRequestToken"),
                    fingerprint(parameters),
                    document,
                )
            )
            self._store.tag(arn, tags)
        return {"customModelDeploymentArn": arn}

    def get(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """GetCustomModelDeployment."""
        return self._view(self._find(parameters["customModelDeploymentIdentifier"]))

    def list(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """ListCustomModelDeployments."""
        views = [self._view(deployment) for deployment in self._store.all(KIND)]
        summaries = [{**view, "customModelDeploymentName": view["modelDeploymentName"]} for view in views]
        equal = {"statusEquals": "status", "modelArnEquals": "modelArn"}
        return page(
            summaries,
            parameters,
            "modelDeploymentSummaries",
            created="createdAt",
            name="modelDeploymentName",
            equal=equal,
        )

    def update(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """UpdateCustomModelDeployment: swap the model behind the deployment, after the deployment time."""
        with self._store.transaction():
            view = self._view(self._find(parameters["customModelDeploymentIdentifier"]))
            self._refuse_unless_active(parameters["modelArn"])
            if view["status"] != "Active" or view.get("updateDetails", {}).get("updateStatus") == "Updating":
                raise invalid(
                    "The deployment isn't ready for an update. Wait until it is Active and not updating."
                )
            arn, now = view["customModelDeploymentArn"], self._context.now()
            self._store.change(
                arn,
                "Creating",
                modelArn=view["modelArn"],
                newModelArn=parameters["modelArn"],
                updatedAt=now,
                newModelAt=now + self._context.configuration.deployment_seconds,
            )
        return {"customModelDeploymentArn": arn}

    def delete(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """DeleteCustomModelDeployment."""
        with self._store.transaction():
            view = self._view(self._find(parameters["customModelDeploymentIdentifier"]))
            if view["status"] == "Creating":
                raise conflict("The deployment is being created. Wait until it is Active and try again.")
            self._store.remove(view["customModelDeploymentArn"])
        return {}

    def model_behind(self, arn: str) -> tuple[str, str] | None:
        """Return the status of a deployment and the ARN of the model that answers; None if there is none."""
        deployment = self._store.get(arn)
        if deployment is None or deployment.kind != KIND:
            return None
        view = self._view(deployment)
        return view["status"], view["modelArn"]

    def _view(self, deployment: Resource) -> dict[str, Any]:
        """Return what Get answers at this moment."""
        now, document = self._context.now(), deployment.document
        view = {**document, "lastUpdatedAt": document.get("updatedAt", document["createdAt"])}
        if now < document["readyAt"]:
            view.pop("failureMessage", None)
            return {**view, "status": "Creating"}
        view["lastUpdatedAt"] = max(view["lastUpdatedAt"], document["readyAt"])
        if document.get("failureMessage"):
            return {**view, "status": "Failed"}
        if "newModelArn" in document:
            done = now >= document["newModelAt"]
            state = "UpdateCompleted" if done else "Updating"
            view["updateDetails"] = {"modelArn": document["newModelArn"], "updateStatus": state}
            view["modelArn"] = document["newModelArn"] if done else document["modelArn"]
        return {**view, "status": "Active"}

    def _find(self, identifier: str) -> Resource:
        deployment = self._store.find(KIND, identifier)
        if deployment is None:
            raise not_found("The specified custom model deployment wasn't found.")
        return deployment

    def _refuse_unless_active(self, model_arn: str) -> None:
        model = self._store.get(model_arn)
        if model is None or model.kind != custom_models.KIND:
            raise not_found("The specified custom model wasn't found.")
        if model.status != "Active":
            raise invalid("The custom model isn't Active.")

    def _refuse_beyond_quota(self) -> None:
        quota = self._context.configuration.deployments_in_creation
        creating = sum(self._view(deployment)["status"] == "Creating" for deployment in self._store.all(KIND))
        if creating >= quota:
            raise quota_exceeded(
                f"You have reached the quota of {quota} custom model deployments in creation."
            )

"""Custom models: what a customization job made, and the trained students kept in memory."""

import threading
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local.bedrock import names
from local.bedrock.context import Context
from local.bedrock.errors import BedrockError, conflict, not_found
from local.bedrock.resources import page
from local.bedrock.store import Resource

if TYPE_CHECKING:
    from local.bedrock.student import Student

KIND = "custom-model"
_USERS = ("deployment", "provisioned-model")


def model_path(folder: Path, arn: str) -> Path:
    """Return the file of a custom model's trained student."""
    return folder / "models" / f"{names.last_part(arn)}.student"


class CustomModels:
    """The operations on custom models; also gives out the trained students."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._store = context.store
        self._kept: OrderedDict[str, Student] = OrderedDict()
        self._lock = threading.Lock()
        self.operations = {
            "GetCustomModel": self.get,
            "ListCustomModels": self.list,
            "DeleteCustomModel": self.delete,
        }

    def get(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """GetCustomModel."""
        model = self._find(parameters["modelIdentifier"])
        return {**model.document, "modelStatus": model.status}

    def list(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """ListCustomModels."""
        summaries = [
            {
                **model.document,
                "baseModelName": names.last_part(model.document["baseModelArn"]),
                "ownerAccountId": names.ACCOUNT,
                "modelStatus": model.status,
            }
            for model in self._store.all(KIND)
        ]
        equal = {
            "modelStatus": "modelStatus",
            "baseModelArnEquals": "baseModelArn",
            "foundationModelArnEquals": "baseModelArn",
        }
        return page(summaries, parameters, "modelSummaries", name="modelName", equal=equal)

    def delete(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """DeleteCustomModel."""
        with self._store.transaction():
            model = self._find(parameters["modelIdentifier"])
            users = [
                deployment
                for kind in _USERS
                for deployment in self._store.all(kind)
                if model.arn in (deployment.document["modelArn"], deployment.document.get("newModelArn"))
            ]
            if users:
                raise conflict(
                    f"The model is used by the deployment {users[0].arn}. Delete the deployment first."
                )
            self._store.remove(model.arn)
        with self._lock:
            self._kept.pop(model.arn, None)
        model_path(self._context.folder, model.arn).unlink(missing_ok=True)
        return {}

    def student(self, arn: str) -> "Student":
        """Return the trained student of a custom model; the last few used stay in memory."""
        with self._lock:
            if arn in self._kept:
                self._kept.move_to_end(arn)
                return self._kept[arn]
            from local.bedrock.student import Student

            try:
                student = Student.load(model_path(self._context.folder, arn))
            except FileNotFoundError as error:
                raise BedrockError(
                    "InternalServerException", f"The file of the model {arn} is gone."
                ) from error
            self._kept[arn] = student
            while len(self._kept) > self._context.configuration.kept_models:
                self._kept.popitem(last=False)
            return student

    def _find(self, identifier: str) -> Resource:
        model = self._store.find(KIND, identifier)
        if model is None:
            raise not_found("The specified custom model wasn't found.")
        return model

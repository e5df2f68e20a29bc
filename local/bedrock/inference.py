"""Asking a model: Converse, and the same for the records of a batch."""

import math
import threading
import time
from collections import deque
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any

from local.bedrock import catalogue
from local.bedrock.context import Context
from local.bedrock.custom_models import KIND as CUSTOM_MODEL
from local.bedrock.custom_models import CustomModels
from local.bedrock.deployments import Deployments
from local.bedrock.errors import BedrockError, invalid, not_found
from local.bedrock.provisioned import ProvisionedThroughputs
from local.bedrock.text import count_tokens, first_tokens

if TYPE_CHECKING:
    from local.bedrock.teacher import Knowledge

LONGEST_CONTEXT = 32_000
_UNSUPPORTED = ("toolConfig", "guardrailConfig", "outputConfig", "promptVariables")
_UNRESOLVED = "Could not resolve the foundation model from the provided model identifier."

Answer = Callable[[str, str, float], str]
"""What a model says to a query under a system prompt, at a temperature."""


class Inference:
    """Converse on the local models and on deployments of custom models."""

    def __init__(
        self,
        context: Context,
        custom_models: CustomModels,
        deployments: tuple[Deployments, ProvisionedThroughputs],
    ) -> None:
        self._context = context
        self._custom_models = custom_models
        self._deployments = deployments
        self._knowledge: Knowledge | None = None
        self._lock = threading.Lock()
        self._limits = RequestLimits(context.configuration.requests_per_minute)
        self.operations = {"Converse": self.converse}

    def converse(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """Converse."""
        model_id = parameters["modelId"]
        answer = self.model(model_id)
        self._limits.count(model_id)
        return converse(answer, parameters)

    def model(self, model_id: str) -> Answer:
        """Return what answers for a model id: a function of query, system prompt and temperature.

        Raises
        ------
        BedrockError
            The id is unknown, its deployment is not ready, or its model does not converse.
        """
        foundation = catalogue.resolve(model_id)
        if foundation is not None:
            if not foundation.converses:
                raise invalid(f"The model {foundation.model_id} only scores in evaluation jobs.")
            return self._foundation(foundation.model_id)
        if ":custom-model-deployment/" in model_id or ":provisioned-model/" in model_id:
            return self._deployed(model_id)
        if ":custom-model/" in model_id:
            raise invalid(
                "Invocation of a custom model needs a deployment: use the deployment's ARN as the model id."
            )
        if model_id.startswith("arn:"):
            raise not_found(_UNRESOLVED)
        raise invalid("The provided model identifier is invalid.")

    def _foundation(self, model_id: str) -> Answer:
        with self._lock:
            if self._knowledge is None:
                from local.bedrock.teacher import Knowledge

                self._knowledge = Knowledge(self._context.store)
            knowledge = self._knowledge
        if model_id == catalogue.TEACHER:
            return knowledge.teach
        always = knowledge.teach_with_half if model_id == catalogue.BASELINE else knowledge.guess
        return lambda query, prompt, temperature: always(query, prompt)

    def warm_up(self) -> None:
        """Load the numerical libraries in the background, so that the first answer need not wait for them."""
        threading.Thread(target=lambda: import_module("sklearn.feature_extraction.text"), daemon=True).start()

    def custom_model(self, arn: str) -> Answer:
        """Return what answers for a custom model without a deployment, as a batch job asks it."""
        resource = self._context.store.get(arn)
        if resource is None or resource.kind != CUSTOM_MODEL:
            raise not_found(_UNRESOLVED)
        student = self._custom_models.student(arn)
        return lambda query, prompt, temperature: student.answer(query)

    def _deployed(self, arn: str) -> Answer:
        behind = next(filter(None, (kind.model_behind(arn) for kind in self._deployments)), None)
        if behind is None:
            raise not_found(_UNRESOLVED)
        status, model_arn = behind
        if status not in ("Active", "InService"):
            raise BedrockError("ModelNotReadyException", f"The deployment is {status}.")
        return self.custom_model(model_arn)


def converse(answer: Answer, parameters: dict[str, Any]) -> dict[str, Any]:
    """Return the members of a Converse response.

    Tokens are counted by `local.bedrock.text`; `latencyMs` is the time that the answer took, in whole
    milliseconds rounded up. Only the teacher heeds the temperature, which is 0 if none is asked for.

    Raises
    ------
    BedrockError
        `ValidationException` for what the service model allows and these models do not.
    """
    started = time.perf_counter()
    query, prompt, everything = _read(parameters)
    input_tokens = count_tokens(everything)
    if input_tokens > LONGEST_CONTEXT:
        raise invalid("Input is too long for requested model.")
    settings = parameters.get("inferenceConfig", {})
    text, reason = answer(query, prompt, settings.get("temperature", 0.0)), "end_turn"
    stops = [(text.find(stop), stop) for stop in settings.get("stopSequences", []) if stop in text]
    if stops:
        text, reason = text[: min(stops)[0]], "stop_sequence"
    longest = settings.get("maxTokens")
    if longest is not None and count_tokens(text) > longest:
        text, reason = first_tokens(text, longest), "max_tokens"
    output_tokens = count_tokens(text)
    return {
        "output": {"message": {"role": "assistant", "content": [{"text": text}]}},
        "stopReason": reason,
        "usage": {
            "inputTokens": input_tokens,
            "outputTokens": output_tokens,
            "totalTokens": input_tokens + output_tokens,
        },
        "metrics": {"latencyMs": math.ceil((time.perf_counter() - started) * 1000)},
    }


def _read(parameters: dict[str, Any]) -> tuple[str, str, str]:
    """Return the last user text, the system prompt, and all texts together."""
    unsupported = [name for name in _UNSUPPORTED if name in parameters]
    if unsupported:
        raise invalid(
            f"This model doesn't support the {unsupported[0]} field. Remove {unsupported[0]} and try again."
        )
    messages = parameters.get("messages", [])
    if not messages or messages[0]["role"] != "user":
        raise invalid(
            "A conversation must start with a user message. Try again with a conversation that starts with a "
            "user message."
        )
    for number, message in enumerate(messages):
        if message["role"] != ("user", "assistant")[number % 2]:
            raise invalid(
                "Roles must alternate between user and assistant. Try again with alternating roles."
            )
    if messages[-1]["role"] != "user":
        raise invalid(
            "This model doesn't support assistant message prefill. End the conversation with a user message."
        )
    system = _texts(parameters.get("system", []), "system")
    turns = [
        _texts(message["content"], f"messages.{number}.content") for number, message in enumerate(messages)
    ]
    return turns[-1], system, "\n".join([system, *turns])


def _texts(blocks: list[dict[str, Any]], where: str) -> str:
    if not blocks and where != "system":
        raise invalid(
            f"The content field in the Message object at {where} is empty. Add a ContentBlock object."
        )
    for number, block in enumerate(blocks):
        if "text" not in block:
            raise invalid(
                f"This model only supports text; the block at {where}.{number} is {', '.join(block)}."
            )
        if not block["text"].strip():
            raise invalid(
                f"The text field in the ContentBlock object at {where}.{number} is blank. Add text to the "
                "text field, and try again."
            )
    return "\n".join(block["text"] for block in blocks)


class RequestLimits:
    """At most so many requests a minute for each model; 0 is no limit."""

    def __init__(self, per_minute: int) -> None:
        self._per_minute = per_minute
        self._times: dict[str, deque[float]] = {}
        self._lock = threading.Lock()

    def count(self, model_id: str) -> None:
        """Count a request, or raise `ThrottlingException` when the last minute had too many."""
        if not self._per_minute:
            return
        now = time.monotonic()
        with self._lock:
            times = self._times.setdefault(model_id, deque())
            while times and times[0] <= now - 60:
                times.popleft()
            if len(times) >= self._per_minute:
                raise BedrockError(
                    "ThrottlingException", "Too many requests, please wait before trying again."
                )
            times.append(now)

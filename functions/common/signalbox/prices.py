"""Prices: the dated data file prices.json, typed, and the rule that what is not in it has no price.

One unit for tokens, USD per million, stands in the name of each field. A price per thousand, which is how AWS's price
list gives most of them, is a thousand times too small for it and refused when the file is read.
"""

import json
import re
from collections.abc import Iterable
from datetime import date
from functools import cache
from importlib.resources import files
from typing import Annotated, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

from signalbox.customization import MADE
from signalbox.models import foundation_id

CUSTOMIZED = tuple(f" ({made})" for made in MADE.values())
"""How evaluate names a student: the model it was made from, and one of these."""

Route = Literal["on-demand", "us", "global", "custom"]
"""How a model is called: by its own id, by an inference profile, or as a deployed custom model."""

Region = Annotated[str, Field(pattern=r"^[a-z]{2}(-[a-z]+)+-\d$")]
UsdPerMillionTokens = Annotated[float, Field(ge=0.03, le=200)]
"""No model on Bedrock is cheaper than 0.035; only one of more than 30 could slip in per thousand."""
UsdPerMillionRequests = Annotated[float, Field(ge=0.05, le=50)]
UsdPerGbSecond = Annotated[float, Field(ge=1e-6, le=1e-4)]
UsdPerMonth = Annotated[float, Field(ge=0.1, le=1000)]


class PriceUnknown(LookupError):
    """There is no price for this; the message says what lacks one and why, in words for a report."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Source(_Part):
    """A document that gives a price, and the date of the copy that was read."""

    by: Literal["AWS", "other"]
    document: str = Field(min_length=10)
    address: str = Field(pattern=r"^https://")
    date: date


class _Price(_Part):
    region: Region
    date: date
    sources: tuple[str, ...] = Field(min_length=1)


class Inference(_Price):
    """What tokens cost that a model reads and writes when it is asked."""

    model: str
    route: Route
    usd_per_million_input_tokens: UsdPerMillionTokens
    usd_per_million_output_tokens: UsdPerMillionTokens

    def of(self, tokens_in: float, tokens_out: float) -> float:
        """Return what so many tokens cost, in USD."""
        return (
            tokens_in * self.usd_per_million_input_tokens + tokens_out * self.usd_per_million_output_tokens
        ) / 1_000_000


class Customization(_Price):
    """What it costs to train a custom model, a token of the training set and epoch, and to keep it."""

    model: str
    usd_per_million_training_tokens: UsdPerMillionTokens
    usd_per_model_month: UsdPerMonth


class Requests(_Price):
    """What requests to a service cost."""

    service: Literal["http-api", "lambda"]
    usd_per_million_requests: UsdPerMillionRequests


class Duration(_Price):
    """What a service costs for the time that it computes, by the memory that it is given."""

    service: Literal["lambda-arm64"]
    usd_per_gb_second: UsdPerGbSecond


class Prices(_Part):
    """The data file."""

    version: Literal[1]
    currency: Literal["USD"]
    sources: dict[str, Source]
    inference: tuple[Inference, ...]
    customization: tuple[Customization, ...]
    requests: tuple[Requests, ...]
    durations: tuple[Duration, ...]

    @model_validator(mode="after")
    def _established(self) -> Self:
        """Every price rests on a document of AWS's or on two others, and bears the date of one of them."""
        listed = (*self.inference, *self.customization, *self.requests, *self.durations)
        for price in listed:
            cited = [self.sources[key] for key in price.sources if key in self.sources]
            if len(cited) < len(price.sources):
                raise ValueError(f"{price!r} cites a source that is not listed")
            if len(cited) < 2 and all(source.by != "AWS" for source in cited):
                raise ValueError(f"{price!r} needs a document of AWS's or two others")
            if price.date not in {source.date for source in cited}:
                raise ValueError(f"{price!r} must bear the date of one of its sources")
        idle = self.sources.keys() - {key for price in listed for key in price.sources}
        if idle:
            raise ValueError(f"no price cites {sorted(idle)}")
        return self

    @model_validator(mode="after")
    def _one_price_each(self) -> Self:
        keys = [
            *((price.model, price.route, price.region) for price in self.inference),
            *((price.model, price.region) for price in self.customization),
            *((price.service, price.region) for price in self.requests),
            *((price.service, price.region) for price in self.durations),
        ]
        repeated = {key for key in keys if keys.count(key) > 1}
        if repeated:
            raise ValueError(f"more than one price for {sorted(repeated)}")
        return self

    def of_model(self, model: str, region: str) -> Inference:
        """Return the price of a model's tokens.

        Parameters
        ----------
        model : str
            A model id (with or without a customization variant such as `:128k`), an inference profile's id, the ARN
            of either or of a custom model, or one of these as `Customization.result` names a student.
        region : str
            Where it is called from.

        Raises
        ------
        PriceUnknown
            With the reason in words.
        """
        foundation, route = _called(model)
        found = [price for price in self.inference if (price.model, price.route) == (foundation, route)]
        if not found:
            others = {price.route for price in self.inference if price.model == foundation}
            raise PriceUnknown(
                f"no price is known for {model}"
                + (f" ({_WORDS[route]}); known: {', '.join(sorted(others))}" if others else "")
            )
        return _in_region(found, region, model)

    def of_customization(self, model: str, region: str) -> Customization:
        """Return the price of training a student, by the id of the model that it is made from.

        Raises
        ------
        PriceUnknown
            With the reason in words.
        """
        foundation, _ = _called(model)
        found = [price for price in self.customization if price.model == foundation]
        if not found:
            raise PriceUnknown(f"no price is known for customizing {model}")
        return _in_region(found, region, f"customizing {model}")

    def of_requests(self, service: Literal["http-api", "lambda"], region: str) -> Requests:
        """Return the price of a service's requests, or raise PriceUnknown."""
        found = [price for price in self.requests if price.service == service]
        return _in_region(found, region, f"requests to {service}")

    def of_duration(self, service: Literal["lambda-arm64"], region: str) -> Duration:
        """Return the price of a service's computing time, or raise PriceUnknown."""
        found = [price for price in self.durations if price.service == service]
        return _in_region(found, region, f"time of {service}")


@cache
def prices() -> Prices:
    """Return the prices that are kept beside this module."""
    return Prices.model_validate(json.loads(files("signalbox").joinpath("prices.json").read_text("utf-8")))


def is_stand_in(model: str) -> bool:
    """Tell whether a model is one of the local Bedrock's, which no one sells."""
    return model.rpartition("/")[2].startswith("local.")


_Found = TypeVar("_Found", bound=_Price)

_WORDS: dict[str, str] = {
    "on-demand": "called by its own id",
    "us": "called by the inference profile us.",
    "global": "called by the inference profile global.",
    "custom": "customized and deployed on demand",
}


def _called(model: str) -> tuple[str, str]:
    """Return the foundation model behind a reference, and how it is called."""
    if is_stand_in(model):
        raise PriceUnknown(f"{model} is a stand-in on one machine; a stand-in has no price")
    suffix = next((suffix for suffix in CUSTOMIZED if model.endswith(suffix)), "")
    reference = model.removesuffix(suffix)
    custom = reference != model
    if reference.startswith("arn:"):
        kind, _, name = reference.split(":", 5)[-1].partition("/")
        if kind == "custom-model":
            reference, custom = name.partition("/")[0], True
        elif kind in ("foundation-model", "inference-profile"):
            reference = name
        else:
            raise PriceUnknown(f"the ARN {model} does not say which model is priced")
    profile = re.match(r"(us-gov|us|eu|apac|global|jp|au|ca)\.", reference)
    route = "custom" if custom else profile[1] if profile else "on-demand"
    if route not in _WORDS:
        raise PriceUnknown(
            f"no price is known for {model}: the inference profile {route}. is not in the file"
        )
    return foundation_id(reference), route


def _in_region(found: Iterable[_Found], region: str, what: str) -> _Found:
    for price in found:
        if price.region == region:
            return price
    known = ", ".join(sorted({price.region for price in found})) or "none"
    raise PriceUnknown(f"no price is known for {what} in {region or 'no region'}; known regions: {known}")

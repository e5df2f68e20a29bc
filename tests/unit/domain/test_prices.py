"""Prices: the data file itself, the unit it keeps, and what it refuses."""

import json
from datetime import date
from importlib.resources import files
from typing import Any

import pytest
from pydantic import ValidationError

from signalbox.prices import Inference, Prices, PriceUnknown, prices

REGION = "us-east-1"
MICRO, HAIKU = "amazon.nova-micro-v1:0", "anthropic.claude-haiku-4-5-20251001-v1:0"


def content() -> dict[str, Any]:
    """Return the data file as it is kept, to be changed."""
    return json.loads(files("signalbox").joinpath("prices.json").read_text("utf-8"))


def test_every_price_is_dated_sourced_and_in_a_region() -> None:
    book = prices()
    listed = (*book.inference, *book.customization, *book.requests, *book.durations)
    assert len(listed) > 10
    for price in listed:
        assert date(2025, 1, 1) < price.date <= date.today()
        assert price.sources and price.region == REGION
    for source in book.sources.values():
        assert source.address.startswith("https://") and source.date <= date.today()


def test_output_tokens_cost_more_than_input_tokens() -> None:
    for price in prices().inference:
        assert price.usd_per_million_output_tokens > price.usd_per_million_input_tokens


@pytest.mark.parametrize(
    ("model", "per_thousand_in", "per_thousand_out"),
    [
        # As AWS's price list and its blog give them, in USD per 1,000 tokens.
        (MICRO, 0.000035, 0.00014),
        ("amazon.nova-lite-v1:0", 0.00006, 0.00024),
        ("amazon.nova-pro-v1:0", 0.0008, 0.0032),
        (f"us.{HAIKU}", 0.0011, 0.0055),
        (f"global.{HAIKU}", 0.001, 0.005),
    ],
)
def test_prices_of_aws_per_thousand_are_kept_per_million(
    model: str, per_thousand_in: float, per_thousand_out: float
) -> None:
    price = prices().of_model(model, REGION)
    assert price.usd_per_million_input_tokens == pytest.approx(1000 * per_thousand_in)
    assert price.usd_per_million_output_tokens == pytest.approx(1000 * per_thousand_out)
    assert price.of(1000, 0) == pytest.approx(per_thousand_in)
    assert price.of(0, 1000) == pytest.approx(per_thousand_out)


def test_training_of_nova_micro_as_in_the_example_of_aws() -> None:
    """2,000 examples of 800 tokens, 5 epochs, cost $8.00 (AWS Machine Learning Blog, custom text-to-SQL)."""
    price = prices().of_customization("amazon.nova-micro-v1:0:128k", REGION)
    assert 2000 * 800 * 5 * price.usd_per_million_training_tokens / 1_000_000 == pytest.approx(8.00)
    assert price.usd_per_model_month == 1.95


def test_a_month_of_queries_as_in_the_example_of_aws() -> None:
    """22,000 queries of 800 tokens in and 60 out cost $0.80 on a custom Nova Micro (the same blog)."""
    price = prices().of_model(f"{MICRO}:128k (distilled)", REGION)
    assert price.of(22_000 * 800, 22_000 * 60) == pytest.approx(0.80, abs=0.005)


@pytest.mark.parametrize("index", range(len(content()["inference"])))
@pytest.mark.parametrize("name", ["usd_per_million_input_tokens", "usd_per_million_output_tokens"])
def test_a_price_per_thousand_in_the_file_is_refused(index: int, name: str) -> None:
    wrong = content()
    wrong["inference"][index][name] /= 1000
    with pytest.raises(ValidationError, match=name):
        Prices.model_validate(wrong)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"usd_per_thousand_input_tokens": 0.000035}, "Extra inputs"),
        ({"sources": ["hearsay"]}, "not listed"),
        ({"sources": []}, "at least 1 item"),
        ({"sources": ["price-list-bedrock"], "date": "2026-09-01"}, "a document of AWS's or two others"),
        ({"date": "2026-11-01"}, "date of one of its sources"),
        ({"date": None}, "date"),
        ({"region": "Virginia"}, "region"),
        ({"route": "by mail"}, "route"),
    ],
)
def test_an_entry_that_is_not_established_is_refused(change: dict[str, Any], fault: str) -> None:
    wrong = content()
    wrong["inference"][0] |= change
    with pytest.raises(ValidationError, match=fault):
        Prices.model_validate(wrong)


def test_two_prices_for_one_thing_are_refused() -> None:
    wrong = content()
    wrong["inference"].append(wrong["inference"][0])
    with pytest.raises(ValidationError, match="more than one price"):
        Prices.model_validate(wrong)


def test_a_source_that_no_price_cites_is_refused() -> None:
    wrong = content()
    wrong["sources"]["leaflet"] = wrong["sources"]["price-list-bedrock"]
    with pytest.raises(ValidationError, match="no price cites"):
        Prices.model_validate(wrong)


ARN = "arn:aws:bedrock:us-east-1"


@pytest.mark.parametrize(
    ("reference", "foundation", "route"),
    [
        (MICRO, MICRO, "on-demand"),
        (f"{MICRO}:128k", MICRO, "on-demand"),
        (f"us.{MICRO}", MICRO, "us"),
        (f"{MICRO}:128k (distilled)", MICRO, "custom"),
        (f"{MICRO}:128k (fine-tuned)", MICRO, "custom"),
        (f"{MICRO}:128k (reinforcement fine-tuned)", MICRO, "custom"),
        (f"global.{HAIKU}", HAIKU, "global"),
        (f"us.{HAIKU}", HAIKU, "us"),
        (f"{ARN}::foundation-model/{MICRO}", MICRO, "on-demand"),
        (f"{ARN}:123456789012:inference-profile/us.{HAIKU}", HAIKU, "us"),
        (f"{ARN}:123456789012:custom-model/{MICRO}:128k/abc123def456", MICRO, "custom"),
    ],
)
def test_models_are_found_by_every_name_they_go_by(reference: str, foundation: str, route: str) -> None:
    price = prices().of_model(reference, REGION)
    assert (price.model, price.route) == (foundation, route)


@pytest.mark.parametrize(
    ("reference", "reason"),
    [
        ("amazon.nova-micro-v2:0", "no price is known for amazon.nova-micro-v2:0"),
        (HAIKU, "called by its own id.*known: global, us"),
        (f"eu.{HAIKU}", "inference profile eu. is not in the file"),
        (f"{HAIKU} (distilled)", "customized and deployed on demand"),
        (f"{ARN}:123456789012:custom-model-deployment/abc123def456", "does not say which model"),
        (f"{ARN}:123456789012:application-inference-profile/abc123def456", "does not say which model"),
        (f"{ARN}:123456789012:provisioned-model/abc123def456", "does not say which model"),
        ("local.student (distilled)", "a stand-in has no price"),
        ("local.base", "a stand-in has no price"),
        (f"{ARN}::foundation-model/local.base", "a stand-in has no price"),
        ("", "no price is known"),
    ],
)
def test_what_has_no_price_is_refused_in_words(reference: str, reason: str) -> None:
    with pytest.raises(PriceUnknown, match=reason):
        prices().of_model(reference, REGION)


@pytest.mark.parametrize("region", ["eu-central-1", "us-west-2", ""])
def test_a_region_without_prices_is_refused_and_the_known_ones_named(region: str) -> None:
    with pytest.raises(PriceUnknown, match="known regions: us-east-1"):
        prices().of_model(MICRO, region)
    with pytest.raises(PriceUnknown, match="known regions: us-east-1"):
        prices().of_requests("http-api", region)


def test_a_student_whose_training_has_no_established_price_is_refused() -> None:
    with pytest.raises(PriceUnknown, match=r"customizing amazon\.nova-lite"):
        prices().of_customization("amazon.nova-lite-v1:0:300k", REGION)


def test_us_profiles_of_claude_cost_a_tenth_more_than_global_ones() -> None:
    def price(route: str) -> Inference:
        return prices().of_model(f"{route}.{HAIKU}", REGION)

    for name in ("usd_per_million_input_tokens", "usd_per_million_output_tokens"):
        assert getattr(price("us"), name) == pytest.approx(1.1 * getattr(price("global"), name))

"""Mails that a person can act on, within the limits of SNS."""

import pytest

from signalbox.events import PipelineEvent
from signalbox.notify import message_of
from tests.builders import BUCKET, pipeline_event

GATES = [
    {"name": "mae", "passed": False, "reason": "0.1, at most 0.06 is required"},
    {"name": "valid_share", "passed": True, "reason": "1, at least 0.99 reached"},
]
EVALUATED = {"model": "amazon.nova-micro-v1:0:128k", "golden": 22, "metrics": {"mae": 0.1}, "gates": GATES}
FAILURE = {"step": "distill", "reason": "the teacher is retired", "remedy": "name an Active model"}
PROBLEM = {"line": 7, "field": "", "reason": "not JSON"}


def mail(detail_type: str, **summary: object) -> tuple[str, str]:
    event = PipelineEvent.model_validate(pipeline_event(detail_type, summary=summary))
    return message_of(event, BUCKET)


def test_a_rejection_lists_reasons_and_lines_and_says_that_nothing_was_spent() -> None:
    subject, text = mail("DatasetRejected", reasons=["60 usable records", "another"], problems=[PROBLEM])
    assert subject == "[clip-search] Dataset rejected"
    assert "  - 60 usable records\n  - another" in text
    assert "line 7, all of it: not JSON" in text
    assert "nothing was spent" in text


def test_a_promotion_names_the_model_and_the_numbers() -> None:
    subject, text = mail("ModelPromoted", **EVALUATED)
    assert subject == "[clip-search] Model promoted: amazon.nova-micro-v1:0:128k is live"
    assert "mae: 0.1" in text
    assert "22 golden queries" in text


def test_a_held_model_has_the_failed_gates_and_no_others() -> None:
    _, text = mail("ModelHeld", **EVALUATED)
    assert "mae: 0.1, at most 0.06 is required" in text
    assert "valid_share" not in text


def test_a_failure_says_where_why_and_what_to_do() -> None:
    subject, text = mail("RunFailed", failure=FAILURE)
    assert subject == "[clip-search] Run failed in distill"
    assert "Why: the teacher is retired" in text
    assert "What to do: name an Active model" in text


@pytest.mark.parametrize(
    ("detail_type", "summary"),
    [
        ("DatasetRejected", {"reasons": ["r"]}),
        ("ModelPromoted", EVALUATED),
        ("ModelHeld", EVALUATED),
        ("RunFailed", {"failure": FAILURE}),
        ("RunStalled", {"reason": "in state TRAINING for 25 hours"}),
        ("RunStalled", {}),
    ],
)
def test_every_mail_says_which_run_where_it_lies_and_when(detail_type: str, summary: dict) -> None:
    _, text = mail(detail_type, **summary)
    assert "Run: clip-search-0123456789ab" in text
    assert f"s3://{BUCKET}/runs/clip-search-0123456789ab/" in text
    assert "When: 2026-11-21 08:00 UTC" in text
    assert "What to do: " in text


def test_a_subject_is_ascii_on_one_line_and_shorter_than_100_characters() -> None:
    subject, text = mail("ModelPromoted", **EVALUATED | {"model": "modèle\n" + "x" * 200})
    assert subject.isascii()
    assert len(subject) < 100
    assert "\n" not in subject
    assert "modèle" in text

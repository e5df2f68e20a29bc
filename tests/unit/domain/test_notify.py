"""Messages that a person can act on, within the limits of SNS and of the chat."""

import json
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.events import Event, PipelineEvent
from signalbox.generation_mail import WRITERS as OF_GENERATIONS
from signalbox.notify import OUTCOMES, SIGNING, Link, Notification, notification_of, report_link
from tests.builders import BUCKET, pipeline_event
from tests.unit.template.stack import PROJECT

RUN = "clip-search-0123456789ab"
GATES = [
    {"name": "mae", "passed": False, "reason": "0.1, at most 0.06 is required"},
    {"name": "valid_share", "passed": True, "reason": "1, at least 0.99 reached"},
]
METRICS = {
    "mae": 0.1,
    "within_010": 0.8,
    "dominant_share": 0.9,
    "judge": 4.2,
    "rubric": 4.4,
    "latency_p95_ms": 412.5,
}
EVALUATED = {"model": "local.student", "golden": 22, "metrics": METRICS, "gates": GATES}
LIVE = {"run_id": "clip-search-1", "model": "local.older", "metrics": {"mae": 0.05, "latency_p95_ms": 300.0}}
COMPARED = {"worse_by": 0.05, "low": 0.02, "high": 0.08, "verdict": "worse"}
LABELS = {
    "accuracy": 0.97,
    "macro_f1": 0.93,
    "judge": 4.5,
    "latency_p95_ms": 0.42,
    "cost_per_1000_queries": 0.00118,
}
FAILURE = {"step": "distill", "reason": "the teacher is retired", "remedy": "name an Active model"}
PROBLEM = {"line": 7, "field": "", "reason": "not JSON"}
BACK = {
    "at": "2026-11-21T08:00:00Z",
    "from_run_id": RUN,
    "to_run_id": "clip-search-1",
    "to_model": "local.older",
    "how": "rollback",
    "by": "ada",
    "reason": "sport got worse",
}
REFUSED = {"asked": "RollbackRequested", "request": "1", "by": "ada", "reason": "nothing to go back to"}
SUMMARIES: dict[Event, dict[str, Any]] = {
    Event.DATASET_REJECTED: {"reasons": ["60 usable records", "another"], "problems": [PROBLEM]},
    Event.MODEL_PROMOTED: EVALUATED,
    Event.MODEL_HELD: EVALUATED,
    Event.RUN_FAILED: {"failure": FAILURE},
    Event.RELEASE_AWAITED: {
        "awaits": {
            "of": "customization job",
            "reason": "it may cost 28.35 USD",
            "usd": {},
            "since": "2026-11-21T08:00:00Z",
            "reminded": False,
            "until": "2026-12-05T08:00:00Z",
        }
    },
    Event.RUN_STALLED: {"reason": "in state TRAINING for 25 hours"},
    Event.MODEL_ROLLED_BACK: EVALUATED | {"rolled_back": BACK},
    Event.REQUEST_REFUSED: REFUSED,
    **{
        Event(path.stem): json.loads(path.read_text())["detail"]["summary"]
        for path in sorted((PROJECT / "events/notify").glob("*.json"))
        if path.stem.startswith(("Generation", "Labelling"))
    },
}
LINK = Link("https://bucket.test/report.html?X-Amz-Signature=0", datetime(2026, 11, 21, 20, 0, tzinfo=UTC))


def event_of(kind: Event, *, about: dict[str, Any] | None = None, **summary: Any) -> PipelineEvent:
    return PipelineEvent.model_validate(
        pipeline_event(kind, summary=SUMMARIES[kind] | summary, **(about or {}))
    )


def told(kind: Event, **summary: Any) -> Notification:
    return notification_of(event_of(kind, **summary), BUCKET)


def test_a_rejection_lists_reasons_and_lines_and_says_that_nothing_was_spent() -> None:
    rejected = told(Event.DATASET_REJECTED)
    assert rejected.subject == "REJECTED clip-search: 60 usable records"
    assert "  - 60 usable records\n  - another" in rejected.text
    assert "line 7, all of it: not JSON" in rejected.text
    assert "nothing was spent" in rejected.text


def test_a_promotion_has_the_numbers_that_matter_beside_those_of_the_live_model() -> None:
    promoted = told(Event.MODEL_PROMOTED, live=LIVE, compared_with_live=COMPARED)
    assert promoted.subject == "PROMOTED clip-search: local.student is live"
    assert "Measured on 22 golden queries (local.student):" in promoted.text
    rows = [line.split("  ") for line in promoted.text.splitlines() if line.startswith("  ")]
    cells = [[cell.strip() for cell in row if cell.strip()] for row in rows]
    assert cells[:6] == [
        ["this model", "live when measured"],
        ["mean absolute error", "0.100", "0.050"],
        ["all weights within 0.10", "80.0%", "\N{EN DASH}"],
        ["dominant signal right", "90.0%", "\N{EN DASH}"],
        ["judge", "4.20", "\N{EN DASH}"],
        ["latency, p95", "412 ms", "300 ms"],
    ]
    assert "Against clip-search-1: worse by 0.050 (0.020 to 0.080)." in promoted.text


def test_the_numbers_of_labels_are_accuracy_f1_judge_latency_and_cost() -> None:
    text = told(Event.MODEL_PROMOTED, metrics=LABELS).text
    for number in ("97.0%", "0.930", "4.50", "0.42 ms", "$0.00118"):
        assert number in text
    assert "live when measured" not in text


def test_where_no_judge_has_scored_the_rubric_counts() -> None:
    without = {name: value for name, value in METRICS.items() if name != "judge"}
    assert "rubric, 1 to 5" in told(Event.MODEL_HELD, metrics=without).text
    assert "rubric" not in told(Event.MODEL_HELD).text


def test_a_held_model_has_the_failed_gates_and_no_others() -> None:
    held = told(Event.MODEL_HELD)
    assert held.subject == "HELD clip-search: mae"
    assert "mae: 0.1, at most 0.06 is required" in held.text
    assert "valid_share" not in held.text


def test_what_a_person_has_promoted_says_who_and_why() -> None:
    by = {"by": "ada", "reason": "good enough", "at": "2026-11-21T08:00:00Z"}
    assert "Promoted by ada: good enough" in told(Event.MODEL_PROMOTED, promoted_by=by).text
    text = told(Event.MODEL_PROMOTED, promoted_by=by | {"replaces": "clip-search-2"}).text
    assert "In place of: clip-search-2" in text


def test_a_failure_says_where_why_and_what_to_do() -> None:
    failed = told(Event.RUN_FAILED)
    assert failed.subject == "FAILED clip-search: in distill"
    assert "Why: the teacher is retired" in failed.text
    assert "What to do: name an Active model" in failed.text


@pytest.mark.parametrize(("how", "by"), [("rollback", "By: ada"), ("alarm", "By: ada, without a person")])
def test_a_rollback_says_what_is_live_again_and_why(how: str, by: str) -> None:
    back = told(Event.MODEL_ROLLED_BACK, rolled_back=BACK | {"how": how})
    assert back.subject == "ROLLED BACK clip-search: local.older is live again"
    for fact in (f"local.student of {RUN}", "local.older of clip-search-1", by, "Why: sport got worse"):
        assert fact in back.text


def test_a_refusal_says_what_was_asked_and_why_it_cannot_be_done() -> None:
    refused = told(Event.REQUEST_REFUSED)
    assert refused.subject == "REFUSED clip-search: nothing to go back to"
    assert "Asked for by ada: a rollback" in refused.text


def test_a_refusal_may_be_about_no_run_and_no_task() -> None:
    refused = notification_of(event_of(Event.REQUEST_REFUSED, about={"run_id": "", "task": ""}), BUCKET)
    assert refused.task == "no_task"
    assert "runs//" not in refused.text
    assert refused.chat["metadata"]["threadId"]


@pytest.mark.parametrize("kind", OUTCOMES)
def test_every_mail_says_what_it_is_about_where_that_lies_and_when(kind: Event) -> None:
    text = told(kind).text
    about, folder = ("Generation", "generations") if kind in OF_GENERATIONS else ("Run", "runs")
    assert f"{about}: {RUN}" in text
    assert f"s3://{BUCKET}/{folder}/{RUN}/" in text
    assert "When: 2026-11-21 08:00 UTC" in text
    assert "What to do: " in text


@pytest.mark.parametrize(("kind", "outcome"), OUTCOMES.items())
def test_a_subscription_can_filter_by_task_and_outcome(kind: Event, outcome: str) -> None:
    attributes = told(kind).request()["MessageAttributes"]
    assert {name: one["StringValue"] for name, one in attributes.items()} == {
        "task": "clip-search",
        "outcome": outcome,
    }


class Signer:
    """What signs an address, as boto3's S3 client does."""

    def generate_presigned_url(self, operation: str, **request: Any) -> str:
        return f"https://signed.test/{operation}?{json.dumps(request)}"


@pytest.mark.parametrize(("kind", "outcome"), OUTCOMES.items())
def test_the_report_is_linked_where_there_is_one(kind: Event, outcome: str) -> None:
    link = report_link(event_of(kind), Signer(), BUCKET)
    assert (link is not None) == (outcome in {"PROMOTED", "HELD", "ROLLED_BACK"})
    if link is not None:
        assert f"runs/{RUN}/report.html" in link.url
        assert '"ExpiresIn": 43200' in link.url
        assert timedelta_hours(link) == pytest.approx(12, abs=0.1)


def test_a_link_is_signed_for_the_host_of_the_buckets_region() -> None:
    nobody = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
    s3 = boto3.client("s3", region_name="eu-central-1", config=SIGNING, **nobody)
    link = report_link(event_of(Event.MODEL_HELD), s3, BUCKET)
    assert link is not None
    assert link.url.startswith(f"https://{BUCKET}.s3.eu-central-1.amazonaws.com/runs/{RUN}/report.html?")
    assert "X-Amz-Algorithm=AWS4-HMAC-SHA256" in link.url


def timedelta_hours(link: Link) -> float:
    return (link.until - datetime.now(UTC)).total_seconds() / 3600


def test_the_link_says_how_long_it_holds_and_what_to_do_afterwards() -> None:
    held = notification_of(event_of(Event.MODEL_HELD), BUCKET, LINK)
    assert (
        f"Report, until 2026-11-21 20:00 UTC, or until the credentials end that signed the link:\n{LINK.url}"
        in held.text
    )
    assert f"aws s3 presign s3://{BUCKET}/runs/{RUN}/report.html" in held.text
    assert any(LINK.url in step for step in held.chat["content"]["nextSteps"])


@pytest.mark.parametrize("kind", OUTCOMES)
def test_a_chat_gets_the_schema_of_amazon_q_developer(kind: Event) -> None:
    request = told(kind).request()
    messages = json.loads(request["Message"])
    assert request["MessageStructure"] == "json"
    assert set(messages) == {"default", "email", "https"}
    assert messages["default"] == messages["email"] == told(kind).text
    chat = json.loads(messages["https"])
    assert (chat["version"], chat["source"]) == ("1.0", "custom")
    assert set(chat["content"]) == {"textType", "title", "description", "nextSteps", "keywords"}
    assert chat["content"]["textType"] == "client-markdown"
    assert chat["content"]["keywords"] == [OUTCOMES[kind], "clip-search"]
    assert chat["metadata"]["threadId"] == RUN


HOSTILE = st.text(max_size=300) | st.sampled_from(
    [
        "a\r\nBcc: x@y.test",
        "<!channel> ```",
        "\u202egnp.exe",
        "x" * 50_000,
        "\x00\x7f",
        "\N{GRINNING FACE}" * 9000,
    ]
)


@given(HOSTILE, st.sampled_from(sorted(OUTCOMES)))
def test_no_text_breaks_a_subject_the_size_or_the_chat(text: str, kind: Event) -> None:
    # Given an event that has a hostile text wherever there can be one
    def spoilt(found: Any) -> Any:
        match found:
            case str():
                return text
            case dict():
                return {name: spoilt(value) for name, value in found.items()}
            case list():
                return [spoilt(value) for value in found]
        return found

    event = event_of(kind, **spoilt(SUMMARIES[kind]))
    # When it is told
    notification = notification_of(event, BUCKET, LINK)
    request = notification.request()
    # Then SNS takes it
    subject = request["Subject"]
    assert subject.isascii()
    assert subject.isprintable()
    assert 0 < len(subject) < 100
    assert len(request["Message"].encode()) < 256 * 1024
    # And neither mail nor chat does what the text says
    assert all(character == "\n" or ord(character) >= 32 for character in notification.text)
    content, metadata = notification.chat["content"], notification.chat["metadata"]
    assert content["description"].count("`") in (0, 6)
    for shown in (content["description"], content["title"], metadata["summary"], content["nextSteps"][0]):
        assert "<" not in shown


@pytest.mark.parametrize("name", ["nosuch\nSubject: x", "t" * 3000, "a\x00b", "\u202e"])
def test_a_name_that_somebody_made_up_is_in_no_part_of_a_message(name: str) -> None:
    refused = notification_of(event_of(Event.REQUEST_REFUSED, about={"run_id": name, "task": name}), BUCKET)
    assert (refused.task, refused.chat["metadata"]["additionalContext"]["run_id"]) == ("no_task", "")
    assert name not in json.dumps(refused.request(), ensure_ascii=False)
    assert refused.subject == "REFUSED no_task: nothing to go back to"


WARNING = "12% of the queries nearly repeat another one; they teach less than their number says"


@pytest.mark.parametrize("kind", [Event.MODEL_PROMOTED, Event.MODEL_HELD])
def test_what_is_odd_about_the_dataset_is_told(kind: Event) -> None:
    assert f"To look at in the dataset:\n  - {WARNING}" in told(kind, warnings=[WARNING]).text
    assert "To look at" not in told(kind, warnings=[]).text


def test_both_comparisons_with_what_is_live_are_told() -> None:
    on_its_golden = COMPARED | {"run_id": "clip-search-1", "worse_by": 0.06}
    text = told(
        Event.MODEL_HELD, live=LIVE, compared_with_live=COMPARED, compared_on_live_golden=on_its_golden
    ).text
    assert "Against clip-search-1: worse by 0.050 (0.020 to 0.080)." in text
    assert "On the golden set of clip-search-1: worse by 0.060 (0.020 to 0.080)." in text


def test_a_generation_is_told_with_its_counts_its_balance_its_noise_and_its_cost() -> None:
    made = told(Event.GENERATION_COMPLETED, noise=0.0312)
    assert made.subject == "GENERATED clip-search: 2,000 records, balance missed"
    for said in (
        "Queries: 2,500 were to be labelled (left out: 31 nearly repeated, 4 held out)",
        "7 queries without a usable answer: not a JSON object and nothing else (7)",
        "Noise of the teacher: 0.0312",
        "transcription leads in 20.6% instead of 25.0%",
        "Cost: $1.72, estimated before at $1.72; 3,661,203 tokens read, 158,220 written",
        "Its run: video-search-ba98765432ff",
    ):
        assert said in made.text
    assert "reached within two points" in told(Event.GENERATION_COMPLETED, balance_reasons=[]).text


def test_what_labelling_is_estimated_to_cost_is_told_before() -> None:
    started = told(Event.LABELLING_STARTED)
    assert started.subject == "LABELLING clip-search: 2,500 queries go to us.amazon.nova-pro-v1:0"
    assert "Cost: about $1.72, at most $4.53 (prices of 2026-10-05, us-east-1)" in started.text
    assert "a batch job, at half the price" in started.text

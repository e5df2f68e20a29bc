"""The report: verdict first, then all that a person can dig for, and nothing from outside runs in it."""

import html
import json
import re
import time
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from signalbox.report import render
from signalbox.store import GOLDEN, STUDENT_CURVE, TRAIN, predictions_of
from tests.report_fixture import HOSTILE, JOB, Case, labels_case, weights_case

PROJECT = Path(__file__).parents[3]
CONTENT_SECURITY_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def text_of(page: str) -> str:
    """Return what a person reads of a page, white space collapsed."""
    body = re.sub(r"<style>.*?</style>", "", page, flags=re.S)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", body)).split())


class Elements(HTMLParser):
    """All start tags of a page with their attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


@pytest.fixture(scope="module")
def page() -> str:
    return render(weights_case().data())


@pytest.mark.parametrize("case", [weights_case(), weights_case(hostile=HOSTILE), labels_case()])
def test_the_fixtures_metrics_are_what_the_schema_says(case: Case) -> None:
    schema = json.loads((PROJECT / "docs" / "metrics.schema.json").read_text())
    jsonschema.validate(json.loads(json.dumps(case.metrics)), schema)


def test_the_verdict_and_its_reason_come_first(page: str) -> None:
    shown = text_of(page)
    assert (
        shown.index("PROMOTED")
        < shown.index("It passed all 3 gates on 60 golden queries")
        < shown.index("Limit")
    )


def test_a_held_run_names_the_gates_that_it_failed() -> None:
    shown = text_of(render(weights_case(held=True).data()))
    assert "It failed 1 of 3 gates (mean absolute error) on 60 golden queries; it is" in shown


def test_a_person_who_promoted_it_is_named_with_the_reason_and_the_gates_it_failed() -> None:
    case = weights_case(held=True)
    case.metrics["verdict"] = "PROMOTED"
    person = {"by": "Ada", "reason": "the golden set is old.", "at": "2026-11-21T12:00:00Z"}
    case.metrics["provenance"]["promoted_by"] = person
    shown = text_of(render(case.data()))
    assert (
        "Ada promoted it: the golden set is old, though it had failed 1 of 3 gates (mean absolute error)."
        in shown
    )
    assert "Ada, 2026-11-21 12:00 UTC" in shown


def test_a_gate_shows_value_interval_limit_and_verdict_and_its_reason_where_it_says_more(page: str) -> None:
    case = weights_case()
    (mae,) = (gate for gate in case.metrics["gates"] if gate["name"] == "mae")
    low, high = case.metrics["candidates"]["bedrock"]["intervals"]["mae"]
    shown = text_of(page)
    row = (
        f"Mean absolute error {mae['value']:.3f} {low:.3f} to {high:.3f} at most 0.060 ✓ passed said in words"
    )
    assert row in shown
    assert "at least 99.0% ✓ passed" in shown
    assert "0.99 reached" not in shown


def test_every_candidate_stands_in_it_with_its_numbers(page: str) -> None:
    shown = text_of(page)
    for title in ("Custom model", "Embedded student", "Base model", "Baseline", "Live when measured"):
        assert title in shown
    assert "Standard deviation 0.81" in shown
    assert "Answers without a grade 2" in shown
    assert "$312.00" in shown and "$0.0112" in shown
    assert "is not priced: no price of it is known" in shown


def test_differences_are_said_in_words(page: str) -> None:
    shown = text_of(page)
    assert re.search(r"Base model ▲ better by 0\.\d{3} \(0\.\d{3} to 0\.\d{3}\)", shown)
    assert re.search(r"Embedded student ▼ worse by 0\.\d{3}", shown)
    assert "it is better than the base model and worse than the embedded student" in shown
    assert "Against the model that was live ( clip-search-ba9876543210 ), on" in shown


def test_the_worst_queries_come_worst_first_with_every_answer() -> None:
    case = weights_case()
    data = case.data()
    errors = [said.error for asked in data.worst for said in asked.said if said.candidate == "bedrock"]
    assert len(errors) == data.wrong == 20
    assert errors == sorted(errors, reverse=True)
    assert {said.candidate for said in data.worst[0].said} == set(case.metrics["candidates"])
    assert data.worst[0].query in text_of(render(data))


def test_an_unusable_answer_is_worse_than_any_error() -> None:
    case = weights_case()
    lines = case.s3.objects[f"runs/{case.run.id}/{predictions_of('bedrock')}"].splitlines()
    spoilt = json.loads(lines[7]) | {"text": "no idea", "error": "unusable answer"}
    case.put(predictions_of("bedrock"), b"\n".join([*lines[:7], json.dumps(spoilt).encode(), *lines[8:]]))
    assert case.data().worst[0].query == "query number 7"


def test_base_and_distilled_answers_stand_side_by_side_to_the_letter(page: str) -> None:
    data = weights_case().data()
    assert [asked.query for asked in data.side_by_side] == [
        f"query number {number}" for number in range(0, 60, 8)
    ]
    assert "Here you are: {" in text_of(page)


def test_distributions_are_of_the_labelled_training_records() -> None:
    data = weights_case(train=400).data()
    assert data.distributed == "400 labelled training records"
    picture = data.distributions[0]
    assert picture.signal == "picture" and sum(picture.counts) == 400
    assert [step / 20 for step, count in enumerate(picture.counts) if count] == [0.2, 0.3, 0.4, 0.5, 0.6]
    assert picture.median == pytest.approx(0.4)


def test_without_labelled_training_records_distributions_are_of_the_golden_set() -> None:
    case = weights_case(golden=30)
    case.put(TRAIN, b'{"messages": [{"role": "user", "content": [{"text": "q"}]}]}\n')
    assert case.data().distributed == "30 golden queries"


def test_curves_are_bedrocks_and_the_embedded_students() -> None:
    distilled, embedded = weights_case().data().curves
    assert (distilled.title, len(distilled.training), distilled.validation) == (
        "Custom model",
        40,
        ((20.0, 0.1), (40.0, 0.05)),
    )
    assert (embedded.title, len(embedded.training), len(embedded.validation)) == ("Embedded student", 60, 60)


def test_a_long_curve_is_thinned_out_and_keeps_its_ends_and_lines_without_numbers_are_no_points() -> None:
    case = weights_case()
    rows = "".join(f"{step},1,{1 / step},0\n" for step in range(1, 10_001))
    content = f"step_number,epoch_number,training_loss,perplexity\nx,1,nan,0\n5\n{rows}"
    case.put(JOB + "training_artifacts/step_wise_training_metrics.csv", content.encode())
    steps = [step for step, _ in case.data().curves[0].training]
    assert len(steps) <= 301 and (steps[0], steps[-1]) == (1, 10_000)


def test_labels_have_a_confusion_matrix_and_a_table_of_their_own() -> None:
    shown = text_of(render(labels_case().data()))
    assert "It failed 1 of 3 gates (accuracy)" in shown
    assert "Confusion matrix" in shown and "Precision Recall F1 Golden queries" in shown
    assert "Mean absolute error" not in shown


def test_a_confusion_matrix_of_many_labels_is_reduced_to_those_with_errors_and_loses_no_query() -> None:
    case = labels_case(golden=200, labels=[f"label-{number}" for number in range(60)])
    page = render(case.data())
    assert "The 25 labels with the most errors; 35 others stand together" in text_of(page)
    matrix = page[page.index('<table class="matrix">') :]
    first_row = re.search(r"<tbody>\s*<tr>(.*?)</tr>", matrix, re.S)
    assert first_row is not None
    label = re.search(r"<bdi>(.*?)</bdi>", first_row[1])[1]
    *answers, total = [int(cell or 0) for cell in re.findall(r"<td[^>]*>(.*?)</td>", first_row[1])]
    assert sum(answers) == total == case.metrics["candidates"]["bedrock"]["per_label"][label]["support"]


def test_where_it_was_made_of_what_and_what_it_cost_is_said(page: str) -> None:
    shown = text_of(page)
    for said in (
        "0123456789abcdef" * 4,
        "us.amazon.nova-pro-v1:0",
        "438 kB",
        "on AWS, in us-east-1",
        "56 min 0 s",
    ):
        assert said in shown
    assert "unknown: no price of the judge is known" in shown
    assert "training: $3.62" in shown


def test_dataset_health_is_said(page: str) -> None:
    shown = text_of(page)
    for said in ("Dropped 3 0.6%", "Duplicates 10", "Contradictions 1", "Leaks removed 0", "picture 33.3%"):
        assert said in shown


@pytest.mark.parametrize("case", [weights_case(hostile=HOSTILE, held=True), labels_case(hostile=HOSTILE)])
def test_what_comes_from_outside_is_escaped(case: Case) -> None:
    page = render(case.data())
    elements = Elements(page).found
    tags = {tag for tag, _ in elements}
    assert not tags & {"script", "img", "iframe", "object", "embed", "link", "form", "base", "foreignobject"}
    attributes = {name for _, attributes in elements for name in attributes}
    assert not [name for name in attributes if name.startswith("on")]
    assert {attributes["href"] for tag, attributes in elements if tag == "a"} <= {
        f"#{section}" for section in ("gates", "candidates", "errors", "dataset", "training", "provenance")
    }
    assert text_of(page).count("<script>window.owned = 1</script>") > 3
    assert (
        "{{ 7 * 7 }}" in page
        and "49" not in re.sub(r"<svg.*?</svg>", "", page, flags=re.S).split("</head>")[1][:3000]
    )
    assert "\u202e" not in page and "[U+202E]" in page


@pytest.mark.parametrize("case", [weights_case(hostile=HOSTILE), labels_case(hostile=HOSTILE)])
def test_no_cell_begins_as_a_formula(case: Case) -> None:
    page = render(case.data())
    pieces = [html.unescape(piece).strip() for piece in re.findall(r">([^<]+)<", page.split("</head>")[1])]
    assert not [piece for piece in pieces if re.match(r"[=+\-@\uff1d\uff0b\uff0d\uff20]", piece)]
    assert "'@SUM(1+1)" in pieces


def test_the_page_may_load_nothing(page: str) -> None:
    elements = Elements(page).found
    (policy,) = (
        attributes["content"]
        for tag, attributes in elements
        if tag == "meta" and attributes.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy.startswith(CONTENT_SECURITY_POLICY)
    assert not [attributes for _, attributes in elements if "src" in attributes]
    assert "@import" not in page and "url(http" not in page


@pytest.mark.parametrize("case", [weights_case(), labels_case()])
def test_ids_are_unique_and_what_they_are_referred_to_by_is_there(case: Case) -> None:
    page = render(case.data())
    elements = Elements(page).found
    identifiers = [attributes["id"] for _, attributes in elements if "id" in attributes]
    assert len(identifiers) == len(set(identifiers))
    referred = {attributes["href"][1:] for _, attributes in elements if "href" in attributes}
    referred |= {attributes["xlink:href"][1:] for _, attributes in elements if "xlink:href" in attributes}
    referred |= {
        name for _, attributes in elements for name in (attributes.get("aria-labelledby") or "").split()
    }
    referred |= set(re.findall(r"url\(#(\w+)\)", page))
    assert referred <= set(identifiers)


def test_the_same_run_makes_the_same_page() -> None:
    assert render(weights_case().data()) == render(weights_case().data())


_OPTIONAL = ("measured", "differences", "compared_with_live", "provenance", "run_cost", "golden_source")
_OF_A_CANDIDATE = ("per_signal", "intervals", "judge", "cost", "per_label", "confusion")


@settings(max_examples=25, deadline=None, phases=(Phase.reuse, Phase.generate))  # an example takes 0.3 s
@given(
    st.booleans(),
    st.sets(st.sampled_from(_OPTIONAL)),
    st.sets(st.sampled_from(_OF_A_CANDIDATE)),
    st.sets(st.sampled_from(["base", "baseline", "embedded", "live"])),
    st.sets(st.sampled_from([GOLDEN, TRAIN, STUDENT_CURVE, "validation.json", predictions_of("bedrock")])),
)
def test_whatever_optional_part_is_missing_there_is_a_report(
    labels: bool, parts: set[str], measures: set[str], candidates: set[str], objects: set[str]
) -> None:
    case = labels_case(golden=20) if labels else weights_case(golden=20, train=20)
    case.metrics = {name: part for name, part in case.metrics.items() if name not in parts}
    for name in candidates:
        case.metrics["candidates"].pop(name, None)
    for measured in case.metrics["candidates"].values():
        for name in measures:
            measured.pop(name, None)
    for name in objects:
        case.s3.objects.pop(f"runs/{case.run.id}/{name}", None)
    assert "PROMOTED" in render(case.data()) or labels


def test_candidates_without_any_usable_answer_do_not_break_it() -> None:
    case = weights_case()
    nothing: dict[str, Any] = dict.fromkeys(("mean", "p50", "p95", "p99"))
    for measured in case.metrics["candidates"].values():
        measured |= {"mae": None, "per_signal": dict.fromkeys(measured["per_signal"]), "intervals": {}}
        measured["latency_ms"] = nothing | {"queries": 0, "concurrency": 1}
    case.metrics["candidates"]["bedrock"]["judge"] = {"mean": None, "error": "the job failed", "graded": 0}
    for found in case.metrics["differences"]:
        found |= {"worse_by": None, "low": None, "high": None, "queries": 0}
    shown = text_of(render(case.data()))
    assert "not compared" in shown and "Not judged: the job failed" in shown


def test_a_task_of_fifty_signals_is_shown_by_the_greatest() -> None:
    case = weights_case()
    signals = [f"signal_{number}" for number in range(50)]
    case.task = case.task.model_copy(update={"output": type(case.task.output)(weights=tuple(signals))})
    weights = json.dumps({signal: (number + 1) / 1275 for number, signal in enumerate(signals)})
    answer = {"query": "q", "reference": weights, "text": weights}
    off = json.dumps({signal: float(signal == "signal_49") for signal in signals})
    case.put(predictions_of("bedrock"), json.dumps(answer | {"text": off}).encode())
    record = {"messages": [{}, {"content": [{"text": weights}]}]}
    case.put(TRAIN, json.dumps(record).encode())
    page = render(case.data())
    assert page.count("<figcaption><b>signal_") == 12
    assert "Of 50 signals these are the 6 of the greatest mean weight" in text_of(page)


def test_a_run_of_the_largest_size_is_rendered_within_seconds() -> None:
    case = weights_case(golden=1000, train=15_000)
    render(weights_case().data())  # Matplotlib is imported, once a sandbox
    gathered = time.process_time()
    data = case.data()
    started = time.process_time()
    page = render(data)
    ended = time.process_time()
    assert ended - started < 5
    assert started - gathered < 15
    assert len(page) < 300_000


def test_what_is_odd_about_the_dataset_is_said(page: str) -> None:
    shown = text_of(page)
    assert "What to look at" in shown
    assert "labels that never lead: read" in shown


def test_the_report_says_how_latency_was_measured(page: str) -> None:
    shown = text_of(page)
    assert "the shortest of 5 answers to each" in shown
    assert "holds in about 90 cases of 100" in shown

"""What the report says of a dataset: facts in words, difficulty with each candidate's error, records to look at."""

import json
from types import SimpleNamespace
from typing import Any

import pytest

from signalbox.dataset_summary import dataset_summary
from signalbox.report import render
from signalbox.report_dataset import examples, facts, hardness
from signalbox.store import VALIDATION
from tests.report_fixture import Case, labels_case, weights_case


def found(case: Case) -> dict[str, str]:
    return dict(facts(case.data()))


def test_what_validation_found_is_said_in_words() -> None:
    said = found(weights_case())
    assert said["Standing more than once"] == "60 queries, the most frequent 3 times"
    assert said["Length of a query"].endswith("44 at most")
    assert said["Weights come in steps of"] == "0.1; 0 answers leave them"
    assert "over 60 queries that stand more than once" in said["Teacher's noise"]
    assert said["Cost of the job, estimated before it"].startswith("$0.0")
    assert "Noise when it was labelled" not in said


def test_the_noise_of_a_generation_stands_beside_that_of_the_file() -> None:
    case = weights_case()
    case.metrics["dataset"]["labelling"] = {"noise": 0.0312, "teacher": "us.amazon.nova-pro-v1:0"}
    said = found(case)["Noise when it was labelled"]
    assert said == "0.031 between two answers of us.amazon.nova-pro-v1:0"


def test_a_cost_that_is_not_known_says_why() -> None:
    case = weights_case()
    findings = json.loads(case.s3.objects[f"runs/{case.run.id}/{VALIDATION}"])
    findings["cost"] = {"unknown": "no price of it is known"}
    case.put(VALIDATION, json.dumps(findings).encode())
    assert found(case)["Cost of the job, estimated before it"] == "unknown: no price of it is known"


def test_each_candidates_error_is_that_on_the_queries_of_a_degree() -> None:
    data = weights_case().data()
    clear, leading = hardness(data, ["bedrock", "embedded", "base"])
    # The fixture's references lead by 0.3 in one of five queries, by less in the others.
    assert (clear.name, clear.golden, leading.name, leading.golden) == ("clear", 12, "leading", 48)
    for degree in (clear, leading):
        of = [
            asked for asked in data.asked if (asked.reference.weights["picture"] == 0.6) == (degree is clear)
        ]
        errors = [said.error for asked in of for said in asked.said if said.candidate == "embedded"]
        assert degree.results[1] == pytest.approx(sum(errors) / len(errors))
    assert clear.share is not None and leading.share is not None
    assert clear.share + leading.share == pytest.approx(1, abs=1e-3)


def test_labels_are_graded_by_how_common_they_are() -> None:
    (degree,) = hardness(labels_case().data(), ["bedrock"])
    assert (degree.name, degree.golden) == ("frequent label", 60)
    assert degree.results[0] == pytest.approx(labels_case().metrics["candidates"]["bedrock"]["accuracy"])


def test_the_records_to_look_at_are_shown_five_of_each_kind() -> None:
    kinds = {kind.title: kind for kind in examples(weights_case().data().validation)}
    contradictions = kinds["Answers to one query that contradict each other"]
    assert len(contradictions.rows) == 5
    lines, queries, figure = contradictions.rows[0]
    assert (lines, queries, figure) == ("4, 64", ("query number 3",), "0.20")
    assert kinds["Queries that stand most often"].rows[0] == ("1, 61, 124", ("query number 0",), "3")


def test_a_line_of_the_golden_sets_own_file_is_named_so() -> None:
    near = {"examples": [{"lines": [None, 7], "queries": ["a", "b"], "similarity": 0.9}]}
    (kind,) = examples({"near_leakage": near})
    assert kind.rows == (("golden set, 7", ("a", "b"), "0.90"),)


def test_the_report_of_an_older_run_does_without() -> None:
    case = weights_case()
    case.put(VALIDATION, json.dumps({"counts": {"lines": 3}, "balance": {}}).encode())
    del case.metrics["dataset"]
    assert facts(case.data()) == [] and hardness(case.data(), ["bedrock"]) == []
    assert "What was found" not in render(case.data())


def summary(findings: dict[str, Any], generation: Any = None) -> dict[str, Any]:
    asked: list[str] = []

    def load(identifier: str) -> Any:
        asked.append(identifier)
        return generation

    pipeline: Any = SimpleNamespace(generations=SimpleNamespace(load=load))
    run: Any = SimpleNamespace(
        task="clip-search", dataset=SimpleNamespace(key="datasets/clip-search/mine-0123456789ab.jsonl")
    )
    said = dataset_summary(run, findings, pipeline)
    assert asked in ([], ["clip-search-0123456789ab"])
    return said


def test_metrics_have_figures_and_no_query() -> None:
    case = weights_case()
    said = case.metrics["dataset"]
    assert said["characters"] == {"median": 15, "p95": 15, "most": 44}
    assert said["difficulty"].keys() == {"clear", "leading", "close"}
    assert "query number" not in json.dumps(said)


def test_what_an_older_version_did_not_look_for_is_left_out() -> None:
    assert summary({"counts": {"records": 3}}) == {"records": 3}


def test_the_generation_that_made_the_dataset_is_asked_for_its_noise() -> None:
    made = SimpleNamespace(
        dataset_key="datasets/clip-search/mine-0123456789ab.jsonl", summary={"noise": 0.02}
    )
    assert summary({}, made) == {"labelling": {"noise": 0.02}}
    # One of the same id that has made another dataset is none
    assert (
        summary({}, SimpleNamespace(dataset_key="datasets/clip-search/x.jsonl", summary={"noise": 0.02}))
        == {}
    )
    # and what validation knows comes first
    assert summary({"labelling": {"noise": 0.01}}, made) == {"labelling": {"noise": 0.01}}

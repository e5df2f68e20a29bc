"""Cost: of queries, of training and of a run; what is unknown is never 0."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox import cost, judging
from signalbox.cost import HANDLER_MS, RUBRIC_TOKENS, TrainingCost, of_queries, of_run, of_training, tokens_of
from signalbox.customization import Distillation, FineTuning, ReinforcementFineTuning
from signalbox.prices import PriceUnknown, prices
from signalbox.task import Task
from tests.builders import embedded_spec, labels_spec, spec

REGION = "us-east-1"
STUDENT = "amazon.nova-micro-v1:0:128k (distilled)"
HAIKU = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
KNOWN = [STUDENT, "amazon.nova-micro-v1:0", "us.amazon.nova-pro-v1:0", HAIKU]
BENCH = Path(__file__).parents[3] / "bench" / "results.json"

models = st.sampled_from(KNOWN)
tokens = st.integers(min_value=1, max_value=10**9)
queries = st.integers(min_value=1, max_value=10**5)
latencies = st.floats(min_value=0.01, max_value=10_000)


def asked(model: str = STUDENT, role: Any = "bedrock", **changes: Any) -> dict[str, Any]:
    """Price 100 queries of 60 tokens in and 40 out, which took 400 ms each, changed as asked."""
    measured = {"tokens_in": 6_000, "tokens_out": 4_000, "queries": 100, "latency_ms_mean": 400.0}
    return of_queries(model, role, region=REGION, **(measured | changes))


def candidate(model: str, tokens_in: int, tokens_out: int, **more: Any) -> dict[str, Any]:
    return {"model": model, "tokens": {"input": tokens_in, "output": tokens_out}, **more}


def evaluation(**changes: dict[str, Any]) -> dict[str, Any]:
    """Return an evaluation on 100 golden queries, with the candidates of the usual task."""
    return {
        "golden": 100,
        "candidates": {
            "embedded": candidate("embedded student", 0, 0),
            "bedrock": candidate(STUDENT, 6_000, 4_000, judge={"handed_over": 90}),
            "base": candidate("amazon.nova-micro-v1:0", 6_000, 9_000),
            "baseline": candidate(HAIKU, 7_000, 5_000),
        }
        | changes,
    }


def run_cost(task: Task, measured: dict[str, Any], region: str = REGION) -> dict[str, Any]:
    return of_run(task, {"train": 1_000}, measured, region)


class TestQueries:
    def test_a_million_queries_of_the_student_add_up(self) -> None:
        """60 tokens at 0.035 and 40 at 0.14; API 1.00, function 0.20 and 401 ms at 1,769 MB."""
        said = asked()
        assert said["model_per_million"] == pytest.approx(60 * 0.035 + 40 * 0.14)
        computing = 0.401 * 1769 / 1024 * 0.0000133334 * 1e6
        assert said["infrastructure_per_million"] == pytest.approx(1.00 + 0.20 + computing)
        total = said["model_per_million"] + said["infrastructure_per_million"]
        assert said["per_million_queries"] == pytest.approx(total)
        assert said["per_1000_queries"] == pytest.approx(total / 1000)
        assert (said["currency"], said["region"]) == ("USD", REGION)

    def test_the_date_is_the_oldest_of_the_prices_used(self) -> None:
        dates = [
            prices().of_model(STUDENT, REGION).date,
            prices().of_requests("http-api", REGION).date,
            prices().of_requests("lambda", REGION).date,
            prices().of_duration("lambda-arm64", REGION).date,
        ]
        assert asked()["prices_of"] == min(dates).isoformat()

    def test_the_embedded_student_is_not_free(self) -> None:
        said = asked("embedded student", "embedded", tokens_in=0, tokens_out=0, latency_ms_mean=0.16)
        assert said["model_per_million"] == 0
        assert said["per_million_queries"] == said["infrastructure_per_million"] > 1.20

    def test_a_begun_millisecond_is_a_whole_one(self) -> None:
        def infrastructure(latency: float) -> float:
            return asked(latency_ms_mean=latency)["infrastructure_per_million"]

        assert infrastructure(0.1) == infrastructure(0.3) < infrastructure(0.5) == infrastructure(1.3)

    def test_a_stand_in_has_no_price_but_its_infrastructure_has(self) -> None:
        said = asked("local.student (distilled)")
        assert (
            said["unknown"]
            == "local.student (distilled) is a stand-in on one machine; a stand-in has no price"
        )
        assert said["infrastructure_per_million"] == asked()["infrastructure_per_million"]

    @pytest.mark.parametrize("changes", [{"tokens_in": 0}, {"queries": 0}])
    def test_a_model_whose_tokens_were_not_counted_is_not_free(self, changes: dict[str, int]) -> None:
        assert asked(**changes)["unknown"] == f"no tokens of {STUDENT} were counted"

    def test_without_a_latency_the_time_of_the_function_is_unknown(self) -> None:
        said = asked(latency_ms_mean=None)
        assert "no latency was measured" in said["unknown"]
        assert said["infrastructure_per_million"] is None

    def test_a_region_without_prices_is_unknown_for_the_embedded_student_too(self) -> None:
        said = of_queries("embedded student", "embedded", 0, 0, 100, 0.2, "eu-central-1")
        assert "eu-central-1; known regions: us-east-1" in said["unknown"]
        assert said["infrastructure_per_million"] is None

    @given(model=models, low=tokens, high=tokens, count=queries, latency=latencies)
    def test_more_tokens_never_cost_less(
        self, model: str, low: int, high: int, count: int, latency: float
    ) -> None:
        low, high = sorted((low, high))

        def total(tokens_in: int, tokens_out: int) -> float:
            return of_queries(model, "base", tokens_in, tokens_out, count, latency, REGION)[
                "per_million_queries"
            ]

        assert total(low, low) <= total(high, low) <= total(high, high)
        assert total(low, low) <= total(low, high)

    @given(model=models, tokens_in=tokens, tokens_out=tokens, count=queries, times=st.integers(1, 50))
    def test_more_queries_of_the_same_kind_cost_the_same_each(
        self, model: str, tokens_in: int, tokens_out: int, count: int, times: int
    ) -> None:
        once = of_queries(model, "base", tokens_in, tokens_out, count, 300.0, REGION)
        often = of_queries(model, "base", times * tokens_in, times * tokens_out, times * count, 300.0, REGION)
        assert often["per_million_queries"] == pytest.approx(once["per_million_queries"])

    @given(one=latencies, other=latencies)
    def test_a_longer_wait_never_costs_less(self, one: float, other: float) -> None:
        short, long = sorted((one, other))
        assert (
            asked(latency_ms_mean=short)["per_million_queries"]
            <= asked(latency_ms_mean=long)["per_million_queries"]
        )

    @given(
        model=st.text(max_size=60) | models | st.sampled_from(["local.base", f"eu.{HAIKU[3:]}"]),
        role=st.sampled_from(["embedded", "bedrock", "base", "baseline"]),
        tokens_in=st.integers(0, 10**6),
        count=st.integers(0, 1000),
        latency=st.none() | latencies,
        region=st.sampled_from([REGION, "us-west-2", "eu-central-1", ""]),
    )
    def test_a_cost_is_positive_or_unknown_with_a_reason(
        self, model: str, role: Any, tokens_in: int, count: int, latency: float | None, region: str
    ) -> None:
        said = of_queries(model, role, tokens_in, 10, count, latency, region)
        if "unknown" in said:
            assert said["unknown"].strip() and "per_million_queries" not in said
        else:
            assert said["per_million_queries"] > 0 and math.isfinite(said["per_million_queries"])
        json.dumps(said, allow_nan=False)

    def test_the_handler_adds_what_the_bench_measured(self) -> None:
        measured = json.loads(BENCH.read_text())["figures"]
        figures = {(figure["part"], figure["name"]): figure["value"] for figure in measured}
        answer = figures["Route function under awslambdaric", "embedded answer, p50"]
        student = figures["Cost of the embedded student", "one query, p50"] / 1000
        assert pytest.approx(answer - student, rel=0.5) == HANDLER_MS


class TestTraining:
    CUSTOMIZATION = Distillation(teacher="us.amazon.nova-pro-v1:0", student="amazon.nova-micro-v1:0:128k")

    def training(self, records: int = 1_000, **changes: Any) -> TrainingCost:
        customization = self.CUSTOMIZATION.model_copy(update=changes)
        return of_training(customization, records, tokens_in=60, tokens_out=40, region=REGION)

    def test_the_teacher_answers_each_record_and_the_student_learns_it_twice(self) -> None:
        said = self.training()
        assert said.teacher == pytest.approx((60 * 0.8 + 40 * 3.2) * 1_000 / 1e6)
        assert said.student == pytest.approx(2 * 100 * 1_000 * 1.0 / 1e6)
        assert said.usd == said.teacher + said.student
        assert said.month == 1.95

    def test_the_budget_is_for_the_most_records_answers_and_epochs(self) -> None:
        teacher = 15_000 * (60 * 0.8 + 200 * 3.2) / 1e6
        student = 5 * 15_000 * (60 + 200) * 1.0 / 1e6
        assert self.training().at_most == pytest.approx(teacher + student)

    def test_fine_tuning_has_no_teacher_to_pay_for_and_as_many_epochs_as_the_task_asks_for(self) -> None:
        def tuned(**hyperparameters: int) -> TrainingCost:
            wanted = FineTuning(student="amazon.nova-micro-v1:0:128k", hyperparameters=hyperparameters)
            return of_training(wanted, 1_000, tokens_in=60, tokens_out=40, region=REGION)

        assert tuned().teacher == 0
        assert tuned().usd == pytest.approx(2 * 100 * 1_000 * 1.0 / 1e6)
        assert tuned(epochCount=5).usd == pytest.approx(2.5 * tuned().usd)
        assert tuned().at_most == pytest.approx(2 * (60 + 200) * 1_000 * 1.0 / 1e6)

    def test_reinforcement_has_no_price_that_is_known(self) -> None:
        wanted = ReinforcementFineTuning(student="amazon.nova-2-lite-v1:0:256k")
        with pytest.raises(PriceUnknown, match="no price is known for REINFORCEMENT_FINE_TUNING"):
            of_training(wanted, 1_000, 60, 40, REGION)

    @given(records=st.integers(100, 15_000), tokens_in=st.floats(1, 5_000), tokens_out=st.floats(1, 5_000))
    def test_an_estimate_never_exceeds_its_budget(
        self, records: int, tokens_in: float, tokens_out: float
    ) -> None:
        said = of_training(self.CUSTOMIZATION, records, tokens_in, tokens_out, REGION)
        assert 0 < said.usd <= said.at_most

    @pytest.mark.parametrize(
        ("changes", "reason"),
        [
            ({"teacher": "local.teacher"}, "local.teacher is a stand-in"),
            ({"student": "local.student"}, "local.student is a stand-in"),
            ({"student": "amazon.nova-pro-v1:0:300k"}, "no price is known for customizing"),
        ],
    )
    def test_without_a_price_there_is_no_estimate(self, changes: dict[str, str], reason: str) -> None:
        with pytest.raises(PriceUnknown, match=reason):
            self.training(**changes)

    def test_tokens_are_estimated_by_length(self) -> None:
        assert tokens_of([]) == 0
        assert tokens_of(["", "abcd", "abcde"]) == 3


class TestRun:
    TASK = Task.model_validate(spec())

    def test_training_evaluation_and_judge_add_up(self) -> None:
        said = run_cost(self.TASK, evaluation())
        assert self.TASK.customization is not None
        training = of_training(self.TASK.customization, 1_000, 60, 40, REGION)
        assert said["training"] == pytest.approx(training.usd)
        student, base = 6_000 * 0.035 + 4_000 * 0.14, 6_000 * 0.035 + 9_000 * 0.14
        assert said["evaluation"] == pytest.approx((student + base + 7_000 * 1.1 + 5_000 * 5.5) / 1e6)
        # 90 answers of the student's, of 40 tokens each
        read, written = RUBRIC_TOKENS + 70 + 2 * 40, cost.EXPLANATION_TOKENS
        assert said["judge"] == pytest.approx(90 * (read * 0.8 + written * 3.2) / 1e6)
        assert said["total"] == pytest.approx(said["training"] + said["evaluation"] + said["judge"])
        assert said["estimated"] == ["training", "judge"]
        assert said["currency"] == "USD"
        assert (
            said["prices_of"] == prices().of_customization("amazon.nova-micro-v1:0", REGION).date.isoformat()
        )

    def test_a_query_that_was_refused_makes_the_others_no_shorter(self) -> None:
        half_refused = candidate(
            STUDENT, 3_000, 2_000, judge={"handed_over": 50}, errors={"ValidationException": 50}
        )
        said, whole = run_cost(self.TASK, evaluation(bedrock=half_refused)), run_cost(self.TASK, evaluation())
        assert said["training"] == pytest.approx(whole["training"])
        assert said["judge"] == pytest.approx(whole["judge"] * 50 / 90)

    def test_what_is_live_is_asked_too_and_paid_for(self) -> None:
        without = run_cost(self.TASK, evaluation())["evaluation"]
        live = candidate(STUDENT, 6_000, 4_000)
        student = (6_000 * 0.035 + 4_000 * 0.14) / 1e6
        assert run_cost(self.TASK, evaluation(live=live))["evaluation"] == pytest.approx(without + student)

    def test_tokens_of_provisioned_throughput_are_paid_by_the_hour_and_not_counted(self) -> None:
        by_the_hour = of_queries(STUDENT, "provisioned", 6_000, 4_000, 100, 300.0, REGION)
        assert "paid by the hour" in by_the_hour["unknown"]
        assert by_the_hour["infrastructure_per_million"] > 0
        without = run_cost(self.TASK, evaluation())["evaluation"]
        live = candidate(STUDENT, 6_000, 4_000, cost=by_the_hour)
        assert run_cost(self.TASK, evaluation(live=live))["evaluation"] == pytest.approx(without)

    def test_a_task_without_bedrock_pays_it_nothing(self) -> None:
        task = Task.model_validate(embedded_spec())
        said = run_cost(
            task, {"golden": 100, "candidates": {"embedded": candidate("embedded student", 0, 0)}}
        )
        assert (said["training"], said["evaluation"], said["judge"], said["total"]) == (0, 0, 0, 0)
        assert "prices_of" not in said and said["estimated"] == []

    def test_the_judge_is_paid_for_each_candidate_that_it_was_given(self) -> None:
        judged = {"judge": {"handed_over": 100}}
        measured = evaluation(
            embedded=candidate("embedded student", 0, 0, **judged),
            base=candidate(
                "amazon.nova-micro-v1:0", 6_000, 9_000, judge={"handed_over": 0, "error": "refused"}
            ),
            baseline=candidate(HAIKU, 7_000, 5_000, judge={"handed_over": 80, "error": "stopped"}),
        )
        # An answer of the embedded student, whose tokens nobody counts, has as many as the most talkative: 90
        read = 100 * (RUBRIC_TOKENS + 70 + 180) + 90 * (RUBRIC_TOKENS + 150) + 80 * (RUBRIC_TOKENS + 70 + 100)
        written = (100 + 90 + 80) * cost.EXPLANATION_TOKENS
        assert run_cost(self.TASK, measured)["judge"] == pytest.approx((read * 0.8 + written * 3.2) / 1e6)

    def test_a_task_without_a_judge_pays_none(self) -> None:
        task = Task.model_validate(labels_spec())
        said = run_cost(task, evaluation())
        assert said["judge"] == 0 and said["total"] > 0 and said["estimated"] == ["training"]

    def test_stand_ins_leave_the_run_without_a_price(self) -> None:
        stand_in = {
            "bedrock": candidate("local.student (distilled)", 6_000, 4_000),
            "base": candidate("local.base", 6_000, 4_000),
            "baseline": candidate("local.baseline", 6_000, 4_000),
        }
        task = Task.model_validate(
            spec(
                customization={"teacher": "local.teacher", "student": "local.student"},
                judge={"model": "local.judge"},
            )
        )
        said = run_cost(task, evaluation(**stand_in))
        for part in ("training", "evaluation", "judge"):
            assert "a stand-in has no price" in said[part]["unknown"]
        assert said["total"] == {"unknown": "not known of training and evaluation and judge"}

    def test_one_unknown_part_makes_the_total_unknown_and_leaves_the_others(self) -> None:
        task = Task.model_validate(spec(judge={"model": "eu.amazon.nova-pro-v1:0"}))
        said = run_cost(task, evaluation())
        assert said["training"] > 0 and said["evaluation"] > 0
        assert "eu. is not in the file" in said["judge"]["unknown"]
        assert said["total"] == {"unknown": "not known of judge"}

    def test_a_student_that_counted_no_tokens_leaves_its_training_unknown(self) -> None:
        said = run_cost(self.TASK, evaluation(bedrock=candidate(STUDENT, 0, 0)))
        assert "were not counted" in said["training"]["unknown"]

    def test_a_judge_of_answers_whose_tokens_nobody_counted_is_unknown(self) -> None:
        task = Task.model_validate(embedded_spec(judge={"model": "us.amazon.nova-pro-v1:0"}))
        said = run_cost(
            task, {"golden": 100, "candidates": {"embedded": candidate("embedded student", 0, 0)}}
        )
        assert "those that the judge read are unknown" in said["judge"]["unknown"]

    def test_the_rubric_fits_into_what_the_judge_is_taken_to_read(self) -> None:
        for task in (self.TASK, Task.model_validate(labels_spec(judge={"model": "us.amazon.nova-pro-v1:0"}))):
            assert task.judge is not None
            said = json.dumps(
                judging.configuration(task, task.judge, "run", "s3://bucket/key")["evaluationConfig"]
            )
            assert tokens_of([said]) < RUBRIC_TOKENS

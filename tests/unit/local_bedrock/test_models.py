"""The models: what the student learns, what the teachers know, what an untrained model answers."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from local.bedrock.store import Store
from local.bedrock.student import Examples, Student, train
from local.bedrock.teacher import Knowledge

PROMPT = "Return JSON with visual, audio weights and reasoning."


@pytest.fixture
def store(tmp_path: Path):
    store = Store(tmp_path)
    yield store
    store.close()


@pytest.fixture
def knowledge(store: Store, weighted_pairs: list) -> Knowledge:
    store.learn(PROMPT, weighted_pairs)
    return Knowledge(store)


def examples(pairs: list[tuple[str, str]]) -> Examples:
    return Examples([query for query, _ in pairs], [answer for _, answer in pairs])


def test_a_student_learns_what_decides_the_weights(weighted_pairs: list) -> None:
    student, steps = train(examples(weighted_pairs), examples([]), 2, PROMPT)
    answer = json.loads(student.answer("thunder over the hills"))
    assert list(answer) == ["visual", "audio", "reasoning"]
    assert answer["audio"] > 0.6
    assert answer["visual"] + answer["audio"] == pytest.approx(1.0)
    assert answer["reasoning"] == "Mostly audio, because of 'thunder'."
    assert [step.number for step in steps] == list(range(1, 41))
    assert {step.epoch for step in steps} == {1, 2}


def test_the_training_loss_falls_and_the_validation_loss_is_of_unseen_queries(weighted_pairs: list) -> None:
    _, steps = train(examples(weighted_pairs[:100]), examples(weighted_pairs[100:]), 3, PROMPT)
    assert steps[-1].training_loss < steps[0].training_loss
    measured = [step.number for step in steps if step.validation_loss is not None]
    assert measured == [20, 40, 60]


def test_a_student_learns_labels() -> None:
    pairs = [
        (f"{word} {number}", label)
        for number in range(10)
        for word, label in (("fly", "flight"), ("cost", "fare"))
    ]
    student, _ = train(examples(pairs), examples([]), 1, "")
    assert [student.answer(query) for query in ("fly to rome", "what does it cost")] == ["flight", "fare"]


def test_a_student_says_when_it_knows_no_word(weighted_pairs: list) -> None:
    student, _ = train(examples(weighted_pairs), examples([]), 1, PROMPT)
    assert "no word of the query was seen in training" in student.answer("zzzz qqqq")
    assert json.loads(student.answer("!!!"))


def test_one_answer_is_the_same_as_a_row_of_many(weighted_pairs: list) -> None:
    student, _ = train(examples(weighted_pairs), examples([]), 1, PROMPT)
    queries = [query for query, _ in weighted_pairs[:10]]
    rows = student.scores(queries)
    for query, row in zip(queries, rows, strict=True):
        answered = json.loads(student.answer(query))
        np.testing.assert_allclose(student.form.settle(row), [answered["visual"], answered["audio"]])


def test_a_saved_student_answers_alike(tmp_path: Path, weighted_pairs: list) -> None:
    student, _ = train(examples(weighted_pairs), examples([]), 1, PROMPT)
    path = tmp_path / "models" / "a.student"
    student.save(path)
    assert Student.load(path).answer("piano at dawn") == student.answer("piano at dawn")
    assert [file.name for file in path.parent.iterdir()] == ["a.student"]


def test_answers_of_another_form_are_left_out(weighted_pairs: list) -> None:
    broken = [*weighted_pairs, ("thunder", "I cannot say."), ("thunder", '{"visual": 1.0}')]
    student, _ = train(examples(broken), examples([]), 1, PROMPT)
    assert student.form.classes == ("visual", "audio")


def test_the_teacher_repeats_what_it_knows_and_says_so(knowledge: Knowledge, weighted_pairs: list) -> None:
    query, answer = weighted_pairs[0]
    taught = json.loads(knowledge.teach(query.upper(), PROMPT))
    known = json.loads(answer)
    assert (taught["visual"], taught["audio"]) == (known["visual"], known["audio"])
    assert "labelled example" in taught["reasoning"]


def test_the_teacher_answers_like_the_nearest_query(knowledge: Knowledge) -> None:
    taught = json.loads(knowledge.teach("sirens in the distance", PROMPT))
    assert taught["audio"] == 0.9
    assert "Closest labelled query: 'sirens near gate" in taught["reasoning"]


def test_the_teacher_averages_contradictions(store: Store) -> None:
    store.learn(
        PROMPT, [("bells", '{"visual": 0.2, "audio": 0.8}'), ("bells", '{"visual": 0.6, "audio": 0.4}')]
    )
    assert json.loads(Knowledge(store).teach("bells", PROMPT))["visual"] == 0.4


def test_the_baseline_knows_about_half(knowledge: Knowledge, weighted_pairs: list) -> None:
    known = sum("labelled example" in knowledge.teach_with_half(query, PROMPT) for query, _ in weighted_pairs)
    assert 40 <= known <= 80


def test_an_unseen_prompt_is_answered_from_the_task_that_it_mentions(
    store: Store, knowledge: Knowledge
) -> None:
    store.learn("Choose one.", [(f"thunder and flight {number}", "flight") for number in range(20)])
    richer = "You decide where to look. visual: pictures. audio: sounds. Answer in JSON."
    assert json.loads(knowledge.teach("thunder", richer))["audio"] == 0.9
    assert knowledge.teach("thunder", "Is it a flight?") == "flight"


def test_lessons_learnt_later_count(store: Store, knowledge: Knowledge) -> None:
    knowledge.teach("volcano", PROMPT)
    store.learn(PROMPT, [("volcano", '{"visual": 0.3, "audio": 0.7}')])
    assert json.loads(knowledge.teach("volcano", PROMPT))["visual"] == 0.3


def test_an_untrained_model_gives_the_average_and_sometimes_wraps_it(knowledge: Knowledge) -> None:
    answers = [knowledge.guess(f"query {number}", PROMPT) for number in range(400)]
    kinds = Counter(
        "fence" if "```" in text else "prose" if "Here is" in text else "bare" for text in answers
    )
    assert 25 <= kinds["fence"] + kinds["prose"] <= 80
    assert kinds["fence"] and kinds["prose"]
    bare = {text for text in answers if text.startswith("{")}
    assert len(bare) == 1
    assert json.loads(bare.pop())["audio"] == pytest.approx(2 / 3, abs=0.1)
    assert answers == [knowledge.guess(f"query {number}", PROMPT) for number in range(400)]


def test_without_any_lesson_the_prompt_names_the_signals(store: Store) -> None:
    knowledge = Knowledge(store)
    assert json.loads(knowledge.teach("q", "Return JSON with a, b, c, d weights"))["d"] == 0.25
    assert knowledge.teach("q", "Choose one: flight, fare") == "flight"


def test_at_a_temperature_the_teacher_is_in_doubt_where_its_examples_are(store: Store) -> None:
    # Given examples that agree on thunder and contradict each other on swans
    agreed = [(f"thunder rolling over {place}", '{"visual": 0.1, "audio": 0.9}') for place in "abcdef"]
    doubtful = [
        (f"swans gliding past {place}", f'{{"visual": {share}, "audio": {round(1 - share, 1)}}}')
        for place, share in zip("abcdef", (0.9, 0.1, 0.9, 0.1, 0.9, 0.1), strict=True)
    ]
    store.learn(PROMPT, [*agreed, *doubtful])

    def said(query: str, temperature: float, times: int = 6) -> list[float]:
        knowledge = Knowledge(store)
        return [json.loads(knowledge.teach(query, PROMPT, temperature))["audio"] for _ in range(times)]

    # When it is asked the same again and again, it says the same of what is clear, and differs in what is not
    assert len(set(said("thunder rolling over the sea", 0.7))) == 1
    assert len(set(said("swans gliding past the mill", 0.7))) > 1
    # And without a temperature, never; and another stand-in says just the same
    assert len(set(said("swans gliding past the mill", 0.0))) == 1
    assert said("swans gliding past the mill", 0.7) == said("swans gliding past the mill", 0.7)


def test_the_teacher_writes_queries_of_the_task_that_is_asked_about(store: Store) -> None:
    store.learn(PROMPT, [(f"thunder over place {n}", '{"visual": 0.1, "audio": 0.9}') for n in range(9)])
    store.learn("Choose one.", [(f"fly to city {n}", "flight" if n % 2 else "fare") for n in range(30)])
    brief = json.dumps({"queries": 20, "of": ["visual", "audio"]})
    written = json.loads(Knowledge(store).teach(brief, "You write search queries."))
    assert len(written) == 20
    assert not any("fly" in query or "city" in query for query in written)

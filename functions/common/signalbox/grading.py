"""How good one answer is beside the golden one: the rubric, by which candidates are compared and rewards are given."""

from statistics import fmean

from signalbox.answer import Answer

CLOSE = 1e-9
"""Slack for comparisons of weights in hundredths, which binary fractions miss by a hair."""

LOWEST_GRADE, HIGHEST_GRADE = 1, 5


def rubric(reference: Answer, answer: Answer | None) -> int:
    """Grade weights from 1 to 5, as the published comparison's judge is told to.

    5: every weight within 0.05; 4: within 0.10; 3: dominant signal right and mean error under 0.15; 2: mean
    error up to 0.30; 1: unusable or worse.
    """
    if answer is None:
        return LOWEST_GRADE
    errors = absolute_errors(reference, answer)
    if max(errors) <= 0.05 + CLOSE:
        return HIGHEST_GRADE
    if max(errors) <= 0.10 + CLOSE:
        return 4
    if fmean(errors) < 0.15 - CLOSE and agrees_on_dominant(reference, answer):
        return 3
    return 2 if fmean(errors) <= 0.30 + CLOSE else LOWEST_GRADE


def reward_of(grade: float) -> float:
    """Return a grade of the rubric as a reward: its share, 0 to 1, of the way from the worst to the best."""
    return (grade - LOWEST_GRADE) / (HIGHEST_GRADE - LOWEST_GRADE)


def absolute_errors(reference: Answer, answer: Answer) -> list[float]:
    """Return how far each weight is from the reference, in the order of the signals."""
    wanted, given = reference.weights or {}, answer.weights or {}
    return [abs(weight - given[signal]) for signal, weight in wanted.items()]


def agrees_on_dominant(reference: Answer, answer: Answer) -> bool:
    """Return whether every greatest weight of the answer (several may tie) is one of the reference's greatest."""
    return set(answer.dominant()) <= set(reference.dominant())

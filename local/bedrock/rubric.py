"""The judge's rubric by arithmetic: how good an answer is beside the reference, from 1 to 5.

5: every weight within 0.05. 4: within 0.10. 3: the dominant signal is right and the mean error is below 0.15.
2: the mean error is at most 0.30. 1: anything else, also what cannot be read. A label scores 5 when it is
equal, else 1.
"""

import json
import math
from dataclasses import dataclass

_SLACK = 1e-9


@dataclass(frozen=True)
class Verdict:
    """A score, or None when the reference itself cannot be scored against, and what was computed."""

    score: float | None
    explanation: str


def judge(reference: str, answer: str) -> Verdict:
    """Return the verdict on an answer."""
    if not reference.strip():
        return Verdict(None, "The reference is empty, so nothing was computed.")
    wanted = _weights(reference)
    if wanted is None:
        if reference.lstrip().startswith(("{", "[")):
            return Verdict(None, "The reference is not a JSON object with numbers, so nothing was computed.")
        return _judge_label(reference.strip(), answer.strip())
    given = _weights(answer)
    if given is None:
        return Verdict(1.0, "The answer is not a JSON object with numbers: 1.")
    if set(given) != set(wanted):
        return Verdict(
            1.0, f"The answer weighs {', '.join(sorted(given))} instead of {', '.join(sorted(wanted))}: 1."
        )
    return _judge_weights(wanted, given)


def _judge_label(wanted: str, given: str) -> Verdict:
    equal = wanted == given
    return Verdict(
        5.0 if equal else 1.0, f"The label is {'' if equal else 'not '}the reference's {wanted!r}."
    )


def _judge_weights(wanted: dict[str, float], given: dict[str, float]) -> Verdict:
    errors = {key: abs(given[key] - wanted[key]) for key in wanted}
    worst = max(errors, key=lambda key: errors[key])
    mean = sum(errors.values()) / len(errors)
    dominant = _dominant(given)
    right = set(dominant) <= set(_dominant(wanted))
    computed = (
        f"largest error {errors[worst]:.3f} ({worst}), mean error {mean:.3f}, dominant signal {' and '.join(dominant)} "
        f"{'agrees' if right else 'does not agree'} with the reference"
    )
    if errors[worst] <= 0.05 + _SLACK:
        score = 5.0
    elif errors[worst] <= 0.10 + _SLACK:
        score = 4.0
    elif right and mean < 0.15 - _SLACK:
        score = 3.0
    elif mean <= 0.30 + _SLACK:
        score = 2.0
    else:
        score = 1.0
    return Verdict(score, f"Computed by arithmetic, not by a language model: {computed}: {score:.0f}.")


def _dominant(weights: dict[str, float]) -> list[str]:
    """Return the signals of the greatest weight; several may tie."""
    return [key for key, weight in weights.items() if weight >= max(weights.values()) - _SLACK]


def _weights(text: str) -> dict[str, float] | None:
    try:
        members = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(members, dict):
        return None
    numbers = {key: value for key, value in members.items() if not isinstance(value, str)}
    usable = all(
        isinstance(v, int | float) and not isinstance(v, bool) and math.isfinite(v) for v in numbers.values()
    )
    return {key: float(value) for key, value in numbers.items()} if numbers and usable else None

"""Choosing as many labelled queries as were asked for so that each signal or label leads in its share of them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from signalbox.labelling import Label

TOLERANCE = 0.02
"""From here on a share that misses its target is given a reason."""


@dataclass(frozen=True)
class Balanced:
    """The labels that were chosen, in their order, and by name what share leads.

    Attributes
    ----------
    shares : dict[str, float]
        Of the chosen labels; one that is led by several counts for each in part.
    reasons : list[str]
        For each share that misses its target by more than two points, why.
    """

    chosen: list[Label]
    shares: dict[str, float]
    reasons: list[str]


def balance(labels: Sequence[Label], count: int, target: Mapping[str, float]) -> Balanced:
    """Choose `count` labels, or all there are, as near to the target as they allow.

    The number goes before the balance: where too few are led by a signal, others fill its places.

    Parameters
    ----------
    target : Mapping[str, float]
        The share of each signal or label, summing to 1; one that is not named is to have none. {} takes the first.
    """
    if not target:
        chosen = list(labels[:count])
        return Balanced(chosen, _shares(chosen), [])
    wanted = _places(min(count, len(labels)), target)
    seated: set[int] = set()
    for label in labels:
        leading = label.answer.dominant()
        if len(leading) == 1 and wanted.get(leading[0], 0) > 0:
            wanted[leading[0]] -= 1
            seated.add(label.place)
    # What is led by several, and then what is left over, fills the places that are left.
    spare = sorted((label for label in labels if label.place not in seated),
                   key=lambda label: (len(label.answer.dominant()) == 1, label.place))  # fmt: skip
    seated |= {label.place for label in spare[: max(0, min(count, len(labels)) - len(seated))]}
    chosen = [label for label in labels if label.place in seated]
    shares = _shares(chosen)
    return Balanced(chosen, shares, list(_reasons(labels, shares, target)))


def _places(count: int, target: Mapping[str, float]) -> dict[str, int]:
    """Share out places by the largest remainder."""
    exact = {name: share * count for name, share in target.items()}
    places = {name: int(share) for name, share in exact.items()}
    for name in sorted(exact, key=lambda name: (places[name] - exact[name], name))[
        : count - sum(places.values())
    ]:
        places[name] += 1
    return places


def _shares(labels: Sequence[Label]) -> dict[str, float]:
    shares: Counter[str] = Counter()
    for label in labels:
        leading = label.answer.dominant()
        for name in leading:
            shares[name] += 1 / len(leading) / len(labels)  # type: ignore[assignment]
    return {name: round(share, 4) for name, share in sorted(shares.items())}


def _reasons(labels: Sequence[Label], shares: Mapping[str, float], target: Mapping[str, float]) -> list[str]:
    reasons = []
    offered = Counter(leading[0] for label in labels if len(leading := label.answer.dominant()) == 1)
    for name in sorted({*shares, *target}):
        share, wanted = shares.get(name, 0.0), target.get(name, 0.0)
        if share < wanted - TOLERANCE:
            reasons.append(
                f"{name} leads in {share:.1%} instead of {wanted:.1%}: the teacher gave it the lead in only "
                f"{offered[name]:,} of {len(labels):,} labelled queries; add templates or seeds that lead there, or "
                "raise surplus"
            )
        elif share > wanted + TOLERANCE:
            reasons.append(
                f"{name} leads in {share:.1%} instead of {wanted:.1%}: it fills the places of others"
            )
    return reasons

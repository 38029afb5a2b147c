"""What an exclusion would mean, before anything is trained for good: two quick classifiers on the validation faces.

Both are quick retrains, so that the one difference between them is what is excluded. They are measured on validation
faces: whoever looks at many exclusions chooses by these numbers, and the test faces stay unseen for the proof.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from img2tab_core.audits.audit_record import Audit
from img2tab_core.audits.groups import STANDARD, Groups, crossed
from img2tab_core.audits.linear_probe import Readable
from img2tab_core.audits.metrics import HEADLINE, gaps_of
from img2tab_core.audits.paired import Difference, PairedComparison, paired_comparison
from img2tab_core.base.words import listed, percent, sentence, signed
from img2tab_core.base.words import points as points_of

GREW = 0.01  # share of the importance by which a concept must grow to be named as one that takes over
MOST = 4  # concepts that are named


@dataclass(frozen=True)
class TookOver:
    """A concept, or a channel where none is described, whose share of the importance grew.

    channels: those that draw it or go with it and are not excluded yet. grew: of the importance, share of 1.
    """

    name: str
    channels: tuple[int, ...]
    grew: float


@dataclass(frozen=True)
class Errors:
    """The class and the two groups that make the gap: how often each group is wrong about the faces of the class.

    worse, better: names of the groups; of_worse, of_better: shares of their faces of the class, 0 to 1.
    """

    decided: int
    worse: str
    better: str
    of_worse: float
    of_better: float


@dataclass(frozen=True)
class ExclusionEstimate:
    """Two quick classifiers on the same validation faces, before and after an exclusion.

    accuracy: (before, after), shares of 1; accuracy_change and gap_change: after minus before, with the interval of a
    paired bootstrap. gap: (before, after), the larger of the differences in true and in false positive rate; gap,
    gap_change and errors (after) are None where no attribute is given or it cannot be measured. readable: the
    attribute, from what is left; None until it was asked, or where none is given.
    """

    faces: int
    accuracy: tuple[float, float]
    accuracy_change: Difference
    gap: tuple[float, float] | None
    gap_change: Difference | None
    errors: Errors | None
    took_over: tuple[TookOver, ...]
    readable: Readable | None = None


def exclusion_estimate(
    labels: np.ndarray,
    before: np.ndarray,
    after: np.ndarray,
    groups: Sequence[Groups],
    took_over: Sequence[TookOver] = (),
) -> ExclusionEstimate:
    """Compare two classifiers on the faces an exclusion is chosen by.

    labels: (n,) of 0 and 1, both present; before, after: float64 (n,), each one's probability of class 1. groups: none,
    or one or two attributes of the same faces. Raises Img2TabError where these are not of the same faces.
    """
    compared = paired_comparison(labels, before, after, groups=groups)
    decided = [probability > STANDARD for probability in (before, after)]
    accuracy = tuple(float((decisions == (labels == 1)).mean()) for decisions in decided)
    gap, change, errors = None, compared.gaps.get(HEADLINE), None
    if change is not None:
        together = crossed(groups)
        known = together.codes >= 0
        sides = [gaps_of(labels[known], decisions[known], together.codes[known])[HEADLINE] for decisions in decided]
        gap = tuple(side for side in sides if side is not None)
        errors = errors_of(labels, decided[1], together)
    return ExclusionEstimate(
        faces=len(labels),
        accuracy=(accuracy[0], accuracy[1]),
        accuracy_change=compared.accuracy,
        gap=(gap[0], gap[1]) if gap is not None and len(gap) == 2 else None,
        gap_change=change,
        errors=errors,
        took_over=tuple(took_over),
    )


def errors_of(labels: np.ndarray, decisions: np.ndarray, groups: Groups) -> Errors | None:
    """The class whose faces two groups are wrong about most differently; None where no class is in two groups.

    labels, decisions: (n,) of 0 and 1. The difference is the gap of equalised odds.
    """
    widest: Errors | None = None
    for label in (0, 1):
        shares = {}
        for code, name in enumerate(groups.names):
            at = (labels == label) & (groups.codes == code)
            if at.any():
                shares[name] = float((decisions[at] != label).mean())
        if len(shares) < 2:
            continue
        worse, better = max(shares, key=lambda name: shares[name]), min(shares, key=lambda name: shares[name])
        if widest is None or shares[worse] - shares[better] > widest.of_worse - widest.of_better:
            widest = Errors(label, worse, better, shares[worse], shares[better])
    return widest


def in_words(errors: Errors, classes: tuple[str, str]) -> str:
    """ "Of those labelled perceived older it is wrong about 19 % of perceived female and 6 % of perceived male." """
    return (
        f"Of those labelled {classes[errors.decided]} it is wrong about {percent(errors.of_worse)} of {errors.worse} "
        f"and {percent(errors.of_better)} of {errors.better}."
    )


def outcome(before: Audit, after: Audit, compared: PairedComparison) -> str:
    """What a trained exclusion did on the test faces: the gap, what it costs, whose probabilities got worse.

    before, after: audits of the two runs on the same groups; compared: of the same two runs, with these groups.
    """
    parts = [_of_gap(before, after, compared.gaps.get(HEADLINE)), _of_accuracy(compared)]
    worse = [
        old.name
        for old, new in zip(before.by_group, after.by_group, strict=True)
        if _above(new.measures["calibration_error"].low, old.measures["calibration_error"].high)
    ]
    if worse:
        parts.append(f"the probabilities of {listed(worse)} fit worse")
    return sentence("; ".join(parts)) + "."


def outcome_alone(compared: PairedComparison) -> str:
    """The same where no attribute forms groups."""
    return sentence(_of_accuracy(compared)) + "."


def _of_gap(before: Audit, after: Audit, change: Difference | None) -> str:
    old, new = before.gaps[HEADLINE].value, after.gaps[HEADLINE].value
    if change is None or old is None or new is None:
        return "the gap cannot be measured"
    points = f"{abs(100 * change.value):.1f}"
    if not change.beyond_chance:
        return (
            f"the gap does not move beyond chance, {100 * old:.1f} to {100 * new:.1f} points "
            f"({signed(100 * change.low)} to {signed(100 * change.high)})"
        )
    if change.value < 0:
        return f"closes {points} of {100 * old:.1f} points"
    return f"widens the gap by {points} points, to {100 * new:.1f}"


def _of_accuracy(compared: PairedComparison) -> str:
    points = f"{abs(100 * compared.accuracy.value):.1f} points of accuracy"
    if not compared.beyond_chance:
        change = compared.accuracy
        return (
            f"accuracy stays within chance ({points_of(change.value)}, "
            f"{signed(100 * change.low)} to {signed(100 * change.high)})"
        )
    return f"costs {points}" if compared.accuracy.value < 0 else f"gains {points}"


def _above(low: float | None, high: float | None) -> bool:
    return low is not None and high is not None and low > high

"""The thresholds that bring a gap closest for a given loss of accuracy, chosen on validation faces, never on test ones.

Source: Hardt, Price and Srebro 2016, "Equality of opportunity in supervised learning": a threshold for each group on
top of a classifier as it is. Theirs may be drawn by chance, so that rates become equal exactly; here every threshold is
a number and equal faces of a group get equal answers, so that what is left of the gap is told instead.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from img2tab_core.audits.audit_record import SMALL, Audit
from img2tab_core.audits.group_differences import group_words
from img2tab_core.audits.groups import STANDARD, Groups, faces_in, faces_of
from img2tab_core.audits.metrics import RATES_OF_GAP, rate_of
from img2tab_core.audits.paired import Difference
from img2tab_core.audits.thresholds import confusions_at
from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.words import count, listed, percent

GAP_NAMES = {"equalised_odds": "the gap in error rates", "demographic_parity": "the gap in selection rate"}
STEP = 0.005  # half a point: gaps nearer than that to each other count as equal, and the more accurate one is taken
LEAST_KEPT = 0.5  # share of what a group's decisions tell at 0.5 that other thresholds must keep
FINE, COARSE = 99, 33  # thresholds tried of each group: of two groups, of more


@dataclass(frozen=True)
class ThresholdSearch:
    """The thresholds that were found; all numbers are of the validation faces.

    gap: "equalised_odds" or "demographic_parity". thresholds: group name -> its threshold; all STANDARD where none
    brought the groups closer. faces: looked at; fewest: of one group and class. gaps and accuracies: with STANDARD for
    every group, and as found. most_lost: of accuracy, share of 1, that was allowed.
    """

    gap: str
    thresholds: dict[str, float]
    faces: int
    fewest: int
    gaps: tuple[float, float]
    accuracies: tuple[float, float]
    most_lost: float

    @property
    def moved(self) -> bool:
        """Whether any threshold differs from STANDARD."""
        return any(threshold != STANDARD for threshold in self.thresholds.values())

    @property
    def sentence(self) -> str:
        """What was chosen, on which faces, and what it did there."""
        if not self.moved:
            return (
                f"No thresholds bring {GAP_NAMES[self.gap]} closer than 0.5 for every group does, at a loss of at most "
                f"{100 * self.most_lost:g} points of accuracy, on {count(self.faces, 'validation face')}."
            )
        values = list(dict.fromkeys(self.thresholds.values()))
        chosen = (
            f"{values[0]:.2f} for every group"
            if len(values) == 1
            else listed([f"{value:.2f} for {group_words(name)}" for name, value in self.thresholds.items()])
        )
        return (
            f"Chosen on {count(self.faces, 'validation face')}: {chosen}. There {GAP_NAMES[self.gap]} goes from "
            f"{100 * self.gaps[0]:.1f} to {100 * self.gaps[1]:.1f} points and accuracy from "
            f"{percent(self.accuracies[0])} to {percent(self.accuracies[1])}."
            + (
                f" Read it with care: the smallest group and class has {count(self.fewest, 'face')} there."
                if self.fewest < SMALL
                else ""
            )
        )


def find_thresholds(
    labels: np.ndarray,
    probability: np.ndarray,
    groups: Sequence[Groups],
    *,
    gap: str = "equalised_odds",
    each: bool = True,
    most_lost: float = 0.02,
) -> ThresholdSearch:
    """The thresholds with the least gap among those that lose at most so much accuracy; of equals the most accurate.

    labels, probability and groups: as for `audits.audit`, of faces that are not the ones it is measured on. gap:
    "equalised_odds" or "demographic_parity". each: a threshold for each group, else one for all. most_lost: of
    accuracy against STANDARD for every group, share of 1. A threshold at which a group's decisions tell less than half
    of what they tell at STANDARD (true minus false positive rate) takes no part: who never decides has no gap.

    Every combination of a grid is weighed, without trying all of them: for a given width of gap the rates of all groups
    lie in a box of that width, its lower corner at rates that occur, and each group takes its most accurate threshold
    inside. Raises Img2TabError as `audits.audit` does, and where the gap is another or cannot be measured.
    """
    if gap not in GAP_NAMES:
        raise Img2TabError(f"The gap to close must be one of {', '.join(GAP_NAMES)}, got {gap!r}.")
    if not 0 <= most_lost <= 1:
        raise Img2TabError(f"The accuracy to lose must be a share of 1, got {most_lost}.")
    faces = faces_of(labels, probability, groups, STANDARD)
    used = [code for code, part in enumerate(faces.parts) if faces_in(part)]
    grid = np.linspace(0, 1, (FINE if len(used) < 3 or not each else COARSE) + 2)[1:-1]
    grid = np.unique([*grid.round(2), STANDARD])
    counts = np.stack([confusions_at(faces, code, tuple(grid)) for code in used])  # (groups, cuts, 4)
    rates = np.stack([rate_of(counts, rate) for rate in RATES_OF_GAP[gap]])  # (rates, groups, cuts)
    at_standard = int(np.flatnonzero(grid == STANDARD)[0])
    cells = np.stack([counts[:, 0, :2].sum(axis=1), counts[:, 0, 2:].sum(axis=1)], axis=1)  # faces (groups, classes)
    if len(used) < 2 or not cells.all():
        missing = [group_words(faces.names[code]) for code, cell in zip(used, cells, strict=True) if not cell.all()]
        raise Img2TabError(
            "Thresholds are sought where two groups or more have validation faces of both classes, got "
            + (f"none of one class in {listed(missing)}" if missing else f"{count(len(used), 'group')} with faces")
            + ". Choose other groups."
        )
    right = counts[..., 0] + counts[..., 3]  # (groups, cuts)
    allowed = _telling(counts, at_standard)
    total, fewest_faces = len(faces.labels), int(cells.min())
    solve = _boxes(rates, right, allowed) if each else _shared(rates, right, allowed)
    before = float(np.ptp(rates[..., at_standard], axis=1).max()), float(right[:, at_standard].sum() / total)
    fewest = right[:, at_standard].sum() - most_lost * total
    widths = np.arange(0, before[0], STEP)
    solved = {}

    def enough(number: int) -> bool:
        solved[number] = solve(float(widths[number]))
        return solved[number][0] >= fewest

    number = bisect_left(range(len(widths)), True, key=enough)  # a wider gap never allows less accuracy
    if number == len(widths):
        cuts = dict.fromkeys(faces.names, STANDARD)
        gaps, accuracies = (before[0], before[0]), (before[1], before[1])
        return ThresholdSearch(gap, cuts, total, fewest_faces, gaps, accuracies, most_lost)
    chosen = solved[number][1]  # (groups,) positions in the grid
    cuts = dict.fromkeys(faces.names, STANDARD) | {
        faces.names[code]: float(grid[at]) for code, at in zip(used, chosen, strict=True)
    }
    if not each:
        cuts = dict.fromkeys(faces.names, float(grid[chosen[0]]))
    at = np.arange(len(used)), chosen
    after = float(np.ptp(rates[:, at[0], at[1]], axis=1).max()), float(right[at].sum() / total)
    return ThresholdSearch(gap, cuts, total, fewest_faces, (before[0], after[0]), (before[1], after[1]), most_lost)


def on_test_faces(before: Audit, after: Audit, gap: str, changed: Mapping[str, Difference | None]) -> str:
    """What thresholds that were chosen elsewhere do on the faces of an audit: before at 0.5, after with them.

    changed: of the same two on the same faces, as `paired.paired_gaps` gives it.
    """
    old, new = before.gaps[gap], after.gaps[gap]
    accuracies = [audited.overall.measures["accuracy"].value for audited in (before, after)]
    if old.value is None or new.value is None or None in accuracies:
        return f"On the test faces {GAP_NAMES[gap]} cannot be measured."
    return (
        f"On the test faces, which took no part in the choice, {GAP_NAMES[gap]} goes from {100 * old.value:.1f} to "
        f"{100 * new.value:.1f} points{_by(changed.get(gap))} and accuracy from {percent(accuracies[0] or 0)} to "
        f"{percent(accuracies[1] or 0)}{_by(changed.get('accuracy'))}; in brackets the change on the same faces, "
        f"with the 95\N{NO-BREAK SPACE}% interval of the chance of the faces."
    )


# --- inside ------------------------------------------------------------------------------------------------


def _by(change: Difference | None) -> str:
    return "" if change is None else f" ({change.in_points})"


_Solution = tuple[float, np.ndarray]  # right decisions, -inf where there is none; (groups,) positions in the grid


def _telling(counts: np.ndarray, at_standard: int) -> np.ndarray:
    """Where a group's decisions tell at least half of what they tell at STANDARD; bool (groups, cuts)."""
    telling = rate_of(counts, "true_positive_rate") - rate_of(counts, "false_positive_rate")
    return telling >= LEAST_KEPT * telling[:, at_standard, None]


def _shared(rates: np.ndarray, right: np.ndarray, allowed: np.ndarray) -> Callable[[float], _Solution]:
    """One threshold for all: the most accurate one whose gap is at most so wide."""
    gaps, together = np.ptp(rates, axis=1).max(axis=0), np.where(allowed.all(axis=0), right.sum(axis=0), -np.inf)

    def solve(width: float) -> _Solution:
        fitting = np.where(gaps <= width + _ROUNDING, together, -np.inf)
        best = int(fitting.argmax())
        return float(fitting[best]), np.full(len(right), best)

    return solve


def _boxes(rates: np.ndarray, right: np.ndarray, allowed: np.ndarray) -> Callable[[float], _Solution]:
    """A threshold for each group: the most accurate ones whose rates lie in a box that is so wide."""
    corners = np.stack(  # (rates, n): every combination of a rate that occurs
        [axis.ravel() for axis in np.meshgrid(*(np.unique(rate[allowed]) for rate in rates), indexing="ij")]
    )

    def solve(width: float) -> _Solution:
        total, chosen = np.zeros(corners.shape[1]), np.zeros((len(right), corners.shape[1]), np.int64)
        for group in range(len(right)):
            inside = np.broadcast_to(allowed[group][:, None], (right.shape[1], corners.shape[1])).copy()  # (cuts, n)
            for corner, rate in zip(corners, rates[:, group], strict=True):
                low = corner[None, :] - _ROUNDING
                inside &= (rate[:, None] >= low) & (rate[:, None] <= low + width + 2 * _ROUNDING)
            fitting = np.where(inside, right[group][:, None], -np.inf)
            chosen[group] = fitting.argmax(axis=0)
            total += fitting.max(axis=0)
        best = int(total.argmax())
        return float(total[best]), chosen[:, best]

    return solve


_ROUNDING = 1e-9

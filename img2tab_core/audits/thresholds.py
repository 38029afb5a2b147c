"""What thresholds cost: accuracy, selection rate and gaps over a grid, and of the chosen ones against 0.5."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from img2tab_core.audits.changes import moved_by
from img2tab_core.audits.groups import STANDARD, Faces, Groups, Thresholds, faces_in, faces_of
from img2tab_core.audits.metrics import gaps_of_counts, optional, rate_of
from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.words import listed, percent

GRID = tuple(percentage / 100 for percentage in range(101))  # thresholds
_RATES = ("accuracy", "selection_rate", "true_positive_rate", "false_positive_rate")


@dataclass(frozen=True)
class Cost:
    """What one choice of thresholds comes to; by the names of GAPS, None where a gap cannot be measured.

    thresholds: group name -> its threshold.
    """

    thresholds: dict[str, float]
    accuracy: float
    selection_rate: float
    gaps: dict[str, float | None]


@dataclass(frozen=True)
class GroupCost:
    """What each threshold of a grid does to one group; a rate is None where the group has no faces of its class."""

    name: str
    count: int
    accuracy: tuple[float | None, ...]
    selection_rate: tuple[float | None, ...]
    true_positive_rate: tuple[float | None, ...]
    false_positive_rate: tuple[float | None, ...]


@dataclass(frozen=True)
class ThresholdCost:
    """What thresholds cost.

    curve: for each threshold of the grid, the same for all groups; chosen: the ones asked about; standard: 0.5 for all.
    These are the numbers of the faces at hand, without intervals: `audits.audit` of the same thresholds gives those.
    """

    faces: int
    grid: tuple[float, ...]
    curve: tuple[Cost, ...]
    by_group: tuple[GroupCost, ...]
    chosen: Cost
    standard: Cost

    def difference(self, name: str) -> float | None:
        """What the chosen thresholds change against 0.5: of accuracy, selection_rate or a gap; chosen minus 0.5."""
        chosen, standard = (_of_cost(cost, name) for cost in (self.chosen, self.standard))
        return None if chosen is None or standard is None else chosen - standard

    @property
    def sentence(self) -> str:
        """The cost in words."""
        if self.chosen.thresholds == self.standard.thresholds:
            return "This is the standard threshold, 0.5 for every group."
        moved = []
        for name, what in (
            ("accuracy", "accuracy"),
            ("equalised_odds", "the equalised odds difference"),
            ("demographic_parity", "the demographic parity difference"),
        ):
            change, chosen = self.difference(name), _of_cost(self.chosen, name)
            if change is not None and chosen is not None:
                moved.append(f"{what} {moved_by(change)} to {percent(chosen)}")
        return f"Against 0.5 for every group, {listed(moved)}."


def threshold_cost(
    labels: np.ndarray,
    probability: np.ndarray,
    groups: Sequence[Groups],
    *,
    thresholds: Thresholds = STANDARD,
    grid: Sequence[float] = GRID,
) -> ThresholdCost:
    """What thresholds cost: accuracy, selection rate and gaps over a grid, and of the chosen ones against 0.5.

    Arguments as for `audits.audit`; grid: thresholds in [0, 1]. Fast enough to follow a slider. Raises Img2TabError as
    `audits.audit` does, and where the grid is empty or leaves [0, 1].
    """
    faces = faces_of(labels, probability, groups, thresholds)
    grid = tuple(float(cut) for cut in grid)
    if not grid or not all(0 <= cut <= 1 for cut in grid):
        raise Img2TabError(f"Thresholds of a grid must be between 0 and 1, got {grid[:5]}.")
    curves = [confusions_at(faces, code, grid) for code in range(len(faces.names))]  # each (cuts, 4)
    rates = [{name: rate_of(counts, name) for name in _RATES} for counts in curves]

    def cost(cuts: Mapping[str, float], counts: np.ndarray) -> Cost:  # counts (groups, 4)
        tn, fp, _, tp = counts.sum(axis=0)
        total = counts.sum()
        return Cost(dict(cuts), float((tn + tp) / total), float((fp + tp) / total), gaps_of_counts(counts))

    def at(cuts: Mapping[str, float]) -> Cost:
        return cost(
            cuts, np.concatenate([confusions_at(faces, code, (cuts[name],)) for code, name in enumerate(faces.names)])
        )

    return ThresholdCost(
        faces=len(faces.labels),
        grid=grid,
        curve=tuple(
            cost(dict.fromkeys(faces.names, cut), np.stack([counts[step] for counts in curves]))
            for step, cut in enumerate(grid)
        ),
        by_group=tuple(
            GroupCost(name, faces_in(part), *(optional(rate[rate_name]) for rate_name in _RATES))
            for name, part, rate in zip(faces.names, faces.parts, rates, strict=True)
        ),
        chosen=at(faces.cuts),
        standard=at(dict.fromkeys(faces.names, STANDARD)),
    )


def confusions_at(faces: Faces, code: int, cuts: Sequence[float]) -> np.ndarray:
    """Of one group at each threshold: tn, fp, fn, tp; int64 (cuts, 4)."""
    part = faces.parts[code]
    counts = []
    for c in (0, 1):
        ranked = faces.probability[part][faces.labels[part] == c]  # ascending, as `Faces` is
        below = np.searchsorted(ranked, cuts, side="right")
        counts += [below, len(ranked) - below]
    return np.stack(counts, axis=1)


def _of_cost(cost: Cost, name: str) -> float | None:
    return cost.gaps[name] if name in cost.gaps else getattr(cost, name)

"""The faces of an audit and what is decided of each: checked once, by group and within a group by probability."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real

import numpy as np

from img2tab_core.errors import Img2TabError
from img2tab_core.fairness.groups import Groups, crossed

STANDARD = 0.5                                                       # the threshold a classifier is trained for
Thresholds = float | Mapping[str, float]


@dataclass(frozen=True, eq=False)
class Faces:
    """The faces that take part, by group and within a group by probability.

    labels int64 (n,), probability float64 (n,), decisions int64 (n,); parts: the slice of each group; cuts: its name ->
    its threshold.
    """

    names: tuple[str, ...]
    labels: np.ndarray
    probability: np.ndarray
    decisions: np.ndarray
    parts: tuple[slice, ...]
    cuts: dict[str, float]
    unlabelled: int
    ungrouped: int


def faces_of(labels: np.ndarray, probability: np.ndarray, groups: Sequence[Groups], thresholds: Thresholds) -> Faces:
    """Check everything once; the only check of the arguments."""
    formed = crossed(groups)
    labels, probability, codes = np.asarray(labels), np.asarray(probability, np.float64), formed.codes
    if labels.ndim != 1 or not labels.shape == probability.shape == codes.shape:
        raise Img2TabError(
            "There must be one label, one probability and one group for each face, got "
            f"{labels.shape}, {probability.shape} and {codes.shape}."
        )
    unknown = np.isnan(labels.astype(np.float64)) | (labels == -1)
    if not np.isin(labels[~unknown], (0, 1)).all():
        raise Img2TabError(f"Labels must be 0, 1 or -1 (unknown), got {np.unique(labels[~unknown])[:5].tolist()}.")
    rows = np.flatnonzero(~unknown & (codes >= 0))
    if not len(rows):
        raise Img2TabError(
            f"At least one face must have a known label and a known group of {formed.attribute!r}, got none of "
            f"{len(labels):,}. Choose another table or attribute."
        )
    used = probability[rows]
    if not ((used >= 0) & (used <= 1)).all():
        raise Img2TabError("Probabilities must be numbers between 0 and 1, got others. Predict again.")
    cuts = _cuts(formed.names, thresholds)
    rows = rows[np.lexsort((used, codes[rows]))]
    starts = np.searchsorted(codes[rows], np.arange(len(formed.names) + 1))
    above = probability[rows] > np.array([cuts[name] for name in formed.names])[codes[rows]]
    return Faces(
        formed.names, labels[rows].astype(np.int64), probability[rows], above.astype(np.int64),
        tuple(slice(int(start), int(stop)) for start, stop in itertools.pairwise(starts)), cuts,
        unlabelled=int(unknown.sum()), ungrouped=int((~unknown & (codes < 0)).sum()),
    )


def faces_in(part: slice) -> int:
    """How many faces a group has."""
    return part.stop - part.start


def _cuts(names: tuple[str, ...], thresholds: Thresholds) -> dict[str, float]:
    """Group name -> its threshold."""
    if isinstance(thresholds, Real):
        thresholds = dict.fromkeys(names, float(thresholds))
    if set(thresholds) != set(names):
        raise Img2TabError(
            f"There must be a threshold for each of {'; '.join(names)}, got {'; '.join(thresholds) or 'none'}.")
    if not all(0 <= cut <= 1 for cut in thresholds.values()):
        raise Img2TabError(f"Thresholds must be between 0 and 1, got {list(thresholds.values())}.")
    return {name: float(thresholds[name]) for name in names}

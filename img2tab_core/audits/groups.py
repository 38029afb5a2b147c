"""The groups of an audit: each face's group by one sensitive attribute, or by two that are crossed."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.records import read_only

STANDARD = 0.5  # the threshold a classifier is trained for
Thresholds = float | Mapping[str, float]


@dataclass(frozen=True, eq=False)
class Groups:
    """One sensitive attribute: its title, the names of its groups, and each face's.

    codes: int64 (n,), the position of a face's group among the names, -1 where it is unknown. Making one raises
    Img2TabError where a code is no such position or two groups have one name.
    """

    attribute: str
    names: tuple[str, ...]
    codes: np.ndarray

    def __post_init__(self) -> None:
        codes = np.asarray(self.codes)
        whole = codes.ndim == 1 and np.issubdtype(codes.dtype, np.integer)
        if not whole or (codes.size and not (codes.min() >= -1 and codes.max() < len(self.names))):
            raise Img2TabError(
                f"Groups of {self.attribute!r} must be whole numbers from -1 (unknown) to {len(self.names) - 1}, one "
                f"for each face, got {codes.dtype} {codes.shape}. Choose another column."
            )
        if len(set(self.names)) != len(self.names):
            raise Img2TabError(f"The groups of {self.attribute!r} must have different names, got {self.names}.")
        object.__setattr__(self, "names", tuple(self.names))
        object.__setattr__(self, "codes", read_only(codes.astype(np.int64)))


def crossed(groups: Sequence[Groups]) -> Groups:
    """One attribute as it is, or two as one whose groups are all pairs: "perceived male, perceived young".

    Raises Img2TabError where there are more or none, or they are not of equally many faces.
    """
    if len(groups) not in (1, 2):
        raise Img2TabError(f"Groups must be formed by one or two attributes, got {len(groups)}. Choose one or two.")
    if len(groups) == 1:
        return groups[0]
    left, right = groups
    if left.codes.shape != right.codes.shape:
        raise Img2TabError(
            f"Both attributes must be known for the same faces, got {len(left.codes):,} and {len(right.codes):,}."
        )
    known = (left.codes >= 0) & (right.codes >= 0)
    return Groups(
        f"{left.attribute} × {right.attribute[:1].lower()}{right.attribute[1:]}",
        tuple(f"{first}, {second}" for first in left.names for second in right.names),
        np.where(known, left.codes * len(right.names) + right.codes, -1),
    )


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
    """The faces of an audit, see `audit.audit` for the arguments; this is where they are checked, once.

    Raises Img2TabError where they do not go together, or no face has both a label and a group.
    """
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
        formed.names,
        labels[rows].astype(np.int64),
        probability[rows],
        above.astype(np.int64),
        tuple(slice(int(start), int(stop)) for start, stop in itertools.pairwise(starts)),
        cuts,
        unlabelled=int(unknown.sum()),
        ungrouped=int((~unknown & (codes < 0)).sum()),
    )


def faces_in(part: slice) -> int:
    """How many faces a group has."""
    return part.stop - part.start


def _cuts(names: tuple[str, ...], thresholds: Thresholds) -> dict[str, float]:
    """Group name -> its threshold."""
    cuts = thresholds if isinstance(thresholds, Mapping) else dict.fromkeys(names, float(thresholds))
    if set(cuts) != set(names):
        raise Img2TabError(
            f"There must be a threshold for each of {'; '.join(names)}, got {'; '.join(cuts) or 'none'}."
        )
    if not all(0 <= cut <= 1 for cut in cuts.values()):
        raise Img2TabError(f"Thresholds must be between 0 and 1, got {list(cuts.values())}.")
    return {name: float(cuts[name]) for name in names}

"""Faces of one group that are judged wrongly, the surest mistakes first, and what spoke for each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from img2tab_core.audits.groups import STANDARD
from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.records import Prediction
from img2tab_core.concepts.description import Description, parts_of

TOLD = 3  # concepts under a face
WEAK = 0.25  # of the strongest: a weaker one is not worth a line


@dataclass(frozen=True)
class MisjudgedFace:
    """A test face that is labelled one class and called the other.

    row: its row in the table. probability: of the class it is called, 0.5 to 1. reasons: names of the concepts that
    spoke most for that class, the strongest first; () where no reason can be told.
    """

    row: int
    probability: float
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class JudgedFace:
    """A test face, rightly judged or not.

    row: its row in the table. label and called: positions among the classes. probability: of the class it is called.
    reasons: as of `MisjudgedFace`.
    """

    row: int
    label: int
    called: int
    probability: float
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class Misjudged:
    """The faces of one group and label that are called the other class, at the standard threshold.

    group: its name; label: 0 or 1, what they are labelled. wrong: how many there are, of `of` labelled so. faces: the
    surest mistakes.
    """

    group: str
    label: int
    wrong: int
    of: int
    faces: tuple[MisjudgedFace, ...]


def misjudged(
    rows: np.ndarray,
    labels: np.ndarray,
    probability: np.ndarray,
    inside: np.ndarray,
    *,
    group: str,
    label: int,
    most: int = 12,
) -> Misjudged:
    """The surest mistakes about the faces of a group with one label, without their reasons.

    rows: int64 (n,), row numbers of a table. labels: (n,) of 0 and 1; probability: float64 (n,) of class 1; inside:
    bool (n,), whether a face is of the group. Of equally sure ones the first rows. Raises Img2TabError where the label
    is neither 0 nor 1.
    """
    if label not in (0, 1):
        raise Img2TabError(f"Faces are labelled 0 or 1, got {label}.")
    labelled = np.flatnonzero(inside & (labels == label))
    wrong = labelled[(probability[labelled] > STANDARD) != (label == 1)]
    sure = np.abs(probability[wrong] - STANDARD)
    first = wrong[np.argsort(-sure, kind="stable")[:most]]
    return Misjudged(
        group,
        label,
        len(wrong),
        len(labelled),
        tuple(
            MisjudgedFace(int(rows[at]), float(probability[at] if label == 0 else 1 - probability[at])) for at in first
        ),
    )


def reasons(described: Description, prediction: Prediction) -> tuple[str, ...]:
    """Names of the concepts that spoke most for the class that was decided, the strongest first."""
    sign = 1 if prediction.decided else -1
    parts = [part for part in parts_of(described, prediction.contributions)[0] if sign * part.total > 0]
    return tuple(
        described.families[part.number].name for part in parts[:TOLD] if abs(part.total) >= WEAK * abs(parts[0].total)
    )

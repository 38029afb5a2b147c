"""Families: channels that draw the same thing in the same place, found from what moving each of them changed.

Aligned faces share their geometry, so the signed change of a picture, averaged over faces, says what a channel draws.
Two channels draw the same where these pictures have the same direction, up to sign, and where the encoder reads the
same in them: a beard and a shadow on the chin change the same pixels. Groups begin from hierarchical
clustering (average linkage of 0.4 x the cosine of the absolute changes + 0.6 x that of the signed ones) and are then
tightened as k-means does with lines instead of points: a family's line is the leading singular vector of its members,
and every channel goes to the line it is nearest to, or to none.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from img2tab_core.concepts.description import MAP
from img2tab_core.concepts.moving import Direction, Moved

START = 0.5  # where the tree of channels is cut
ALIKE = 0.5  # cosine to the family's line that a member has at least
LEAST = 3  # members
MOST = 80  # families, those that change most kept
SAME = 0.85  # cosine from which two lines are one
AGAIN = 0.7  # cosine of what a family draws on one half of the faces with what it draws on the other
ROUNDS = 12
READ = 0.7  # weight of one unit of what is read beside the whole picture
UNIT, UNITS = 0.15, 2.0  # of what is read: standard deviations of a label, and how many count at most
LEVELS = 18.0  # of 255 by which a family changes a picture at most, moved from 8 down to 8 up
TOGETHER = 2.5  # what a family draws at most, moved by 8, over what one member does


def mean_pictures(moved: Sequence[Moved], channels: np.ndarray) -> np.ndarray:
    """Signed change of each channel, averaged over the faces that moved it: float32 (C, MAP * MAP * 3), 255 levels."""
    total = np.zeros((len(channels), MAP * MAP * 3), np.float32)
    for face in moved:
        rows = np.searchsorted(face.channels, channels)
        total += face.picture[rows].astype(np.float32).reshape(len(channels), -1)
    return total / len(moved)


def weights_of(regions: Sequence[np.ndarray]) -> np.ndarray:
    """How much each value of a picture counts, float32 (MAP * MAP * 3): the background a third of what is of a person.

    regions: of each face uint8 (S, S), see `regions_of`. What lies behind a face differs from face to face.
    """
    side = regions[0].shape[0] // MAP
    behind = np.mean([region == 0 for region in regions], axis=0).reshape(MAP, side, MAP, side).mean(axis=(1, 3))
    return np.repeat((1 - 0.67 * behind).astype(np.float32).ravel(), 3)


def grouped(
    pictures: np.ndarray,
    channels: np.ndarray,
    halves: tuple[np.ndarray, np.ndarray] | None = None,
    read: np.ndarray | None = None,
) -> list[Direction]:
    """Families of channels by their mean pictures float32 (C, P), weighted; those that change most come first.

    read: float (C, T), what moving each channel changes in T labels as the encoder reads them, standard deviations.
    halves: the same pictures of one half of the faces and of the other. A family that does not draw the same on both
    draws what these faces happen to have, such as their background, and is left out.

    A member's part is its share of the common picture. Up to six equal members move by 8 / sqrt(n) where the family
    moves by 8, and draw together up to 2.5 times what one of them draws moved by 8; more members move less,
    so that it stays 2.5 times: a face is not broken by how many channels happen to draw the same. A channel is in one
    family at most.
    """
    if len(channels) < 2 * LEAST:
        return []
    size = np.linalg.norm(pictures, axis=1, keepdims=True)
    unit = pictures / np.maximum(size, 1e-9)
    absolute = np.abs(unit.reshape(len(unit), -1, 3)).mean(axis=2)
    if read is not None:
        unit = np.hstack([unit, (READ * np.clip(read / UNIT, -UNITS, UNITS)).astype(np.float32)])
        unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    lines = _lines(unit, _start(unit, absolute))
    for _ in range(ROUNDS):
        lines = _merged(_lines(unit, _nearest(unit, lines)))
    nearest = _nearest(unit, lines)
    families = []
    for number in range(nearest.max() + 1):
        rows = np.flatnonzero(nearest == number)
        if len(rows) >= LEAST:
            parts = (unit[rows] @ lines[number]) * size[rows, 0]
            whole = np.linalg.norm(parts)
            # what one member draws, the strong ones counting more
            alone = float((parts**4).sum() / (parts**2).sum()) ** 0.5
            drawn = 2 * float(np.abs((parts / whole) @ pictures[rows]).mean())  # of 255 levels, at 8
            by = min(1.0, TOGETHER * alone / whole, LEVELS / drawn)
            if halves is None or _alike(*((parts @ half[rows]) for half in halves)) >= AGAIN:
                families.append((whole, Direction(channels[rows], by * parts / whole)))
    families.sort(key=lambda family: -family[0])
    return [family for _, family in families[:MOST]]


def _alike(first: np.ndarray, second: np.ndarray) -> float:
    return float(first @ second / max(np.linalg.norm(first) * np.linalg.norm(second), 1e-9))


def _start(unit: np.ndarray, absolute: np.ndarray) -> np.ndarray:
    """A first group number for every channel, by hierarchical clustering; int64 (C,)."""
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform

    grey = absolute / np.maximum(np.linalg.norm(absolute, axis=1, keepdims=True), 1e-9)
    apart = 1 - (0.4 * grey @ grey.T + 0.6 * np.abs(unit @ unit.T))
    np.fill_diagonal(apart, 0)
    apart = np.clip((apart + apart.T) / 2, 0, 1)
    return fcluster(linkage(squareform(apart, checks=False), "average"), START, "distance").astype(np.int64) - 1


def _lines(unit: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """The leading direction of every group of `LEAST` or more, the largest group first: float32 (K, P), unit length."""
    lines = []
    counts = np.bincount(groups[groups >= 0]) if (groups >= 0).any() else np.empty(0, np.int64)
    for number in np.argsort(-counts, kind="stable"):
        if counts[number] < LEAST:
            break
        rows = unit[groups == number]
        vectors = np.linalg.eigh((rows @ rows.T).astype(np.float64))[1]
        line = vectors[:, -1].astype(np.float32) @ rows
        lines.append(line / np.linalg.norm(line))
    return np.stack(lines) if lines else np.empty((0, unit.shape[1]), np.float32)


def _merged(lines: np.ndarray) -> np.ndarray:
    """Without the lines that are nearly one with an earlier one, and of the others the first ones."""
    kept: list[int] = []
    alike = np.abs(lines @ lines.T)
    for number in range(len(lines)):
        if all(alike[number, other] < SAME for other in kept):
            kept.append(number)
    return lines[kept[: 2 * MOST]]


def _nearest(unit: np.ndarray, lines: np.ndarray) -> np.ndarray:
    """The line each channel is nearest to, -1 where it is near none: int64 (C,)."""
    if not len(lines):
        return np.full(len(unit), -1)
    alike = np.abs(unit @ lines.T)
    return np.where(alike.max(axis=1) >= ALIKE, alike.argmax(axis=1), -1)

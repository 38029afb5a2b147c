"""What stands in for excluded channels: who took over, what goes with them, families that go together."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage

from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.records import StyleTable
from img2tab_core.concepts import scores
from img2tab_core.concepts.scores import divided
from img2tab_core.tables.sampling import labelled_rows, sampled

FAMILY_FACES = 1000  # a correlation is then known to about 0.03
CORRELATED_FACES = 3000
FAMILY_LIKENESS = 0.5  # mean absolute correlation


@dataclass(frozen=True)
class Gain:
    """A channel whose importance grew; shares of the whole."""

    index: int
    before: float
    after: float


@dataclass(frozen=True)
class TookOver:
    """After a retrain: freed, the importance that channels lost altogether, and who gained, the largest gain first."""

    freed: float
    gains: tuple[Gain, ...]


@dataclass(frozen=True)
class Link:
    """A channel that is left, the excluded one it goes with most, and their correlation within the target's classes."""

    index: int
    partner: int
    correlation: float


@dataclass(frozen=True)
class Family:
    """Channels that go together: members, the one most like all others first; likeness: mean absolute correlation."""

    members: tuple[int, ...]
    likeness: float

    @property
    def size(self) -> int:
        """How many channels go together."""
        return len(self.members)


@dataclass(frozen=True)
class Families:
    """All families of a table, the largest first (channels that go with no other are families of one), and how."""

    families: tuple[Family, ...]
    method: str

    def of(self, index: int) -> Family:
        """The family that a channel belongs to; raises Img2TabError for a channel of another backbone."""
        for family in self.families:
            if index in family.members:
                return family
        raise Img2TabError(f"Channel {index} is in no family of this table. Choose a channel of its backbone.")


def took_over(before: np.ndarray, after: np.ndarray, *, count: int = 20) -> TookOver:
    """Importances (D,) before and after a retrain -> whose grew, up to `count`.

    Raises Img2TabError where they are not of the same channels.
    """
    before, after = np.asarray(before, np.float64), np.asarray(after, np.float64)
    if before.shape != after.shape or before.ndim != 1:
        raise Img2TabError(
            f"Both importances must be of the same channels, got {before.shape} and {after.shape}. "
            "Compare two classifiers of one table."
        )
    growth = after - before
    first = [int(index) for index in scores.top(growth, count) if growth[index] > 0]
    gains = tuple(Gain(index, float(before[index]), float(after[index])) for index in first)
    return TookOver(float(before[(after == 0) & (before > 0)].sum()), gains)


def correlated(
    table: StyleTable,
    target: str,
    excluded: Collection[int],
    *,
    rows: np.ndarray | None = None,
    count: int = 20,
    seed: int = 0,
) -> tuple[Link, ...]:
    """The channels left that go most with an excluded one, by the size of the partial correlation given the target.

    rows: (n,) row numbers, None for training faces; of more than 3,000 faces so many are sampled.
    """
    out, left = divided(excluded, table.psi.shape[1])
    if not len(out):
        return ()
    rows, labels = labelled_rows(table, target, rows)
    rows, labels = sampled(rows, CORRELATED_FACES, seed=seed, beside=labels)
    codes = table.psi.T.take(rows, axis=1)  # (D, n)
    gone = _standardised(codes[out], labels)  # (e, n), rows of length 1
    best, partner = np.zeros(len(left)), np.zeros(len(left), np.int64)
    for start in range(0, len(left), 1024):
        part = slice(start, start + 1024)
        links = _standardised(codes[left[part]], labels) @ gone.T  # (b, e)
        most = np.abs(links).argmax(axis=1)
        best[part], partner[part] = links[np.arange(len(most)), most], out[most]
    return tuple(
        Link(int(left[at]), int(partner[at]), float(np.clip(best[at], -1, 1))) for at in scores.top(np.abs(best), count)
    )


def families(
    table: StyleTable, *, rows: np.ndarray | None = None, likeness: float = FAMILY_LIKENESS, seed: int = 0
) -> Families:
    """Channels grouped by average linkage on 1 - |correlation|, joined while the mean |correlation| is at `likeness`.

    rows: (n,) row numbers, None for training faces; of more than 1,000 so many are sampled. Raises Img2TabError where
    likeness is not above 0 and at most 1.
    """
    if not 0 < likeness <= 1:
        raise Img2TabError(f"likeness must be above 0 and at most 1, got {likeness}.")
    (rows,) = sampled(table.rows("train") if rows is None else np.asarray(rows), FAMILY_FACES, seed=seed)
    unit = _standardised(table.psi.T.take(rows, axis=1), np.zeros(len(rows), np.int8))
    like = np.abs(unit @ unit.T)  # (D, D) float32, 0 for a channel without spread
    width = len(like)
    if width == 1:
        numbers = np.ones(1, np.int64)
    else:
        far = np.concatenate([1 - like[i, i + 1 :] for i in range(width - 1)]).clip(0, 1)
        numbers = fcluster(linkage(far, "average"), 1 - likeness + 1e-6, "distance")
    order = np.argsort(numbers, kind="stable")
    grouped = []
    for members in np.split(order, np.flatnonzero(np.diff(numbers[order])) + 1):
        inner = like[np.ix_(members, members)].astype(np.float64)
        np.fill_diagonal(inner, 0)
        to_others = inner.sum(axis=1) / max(1, len(members) - 1)
        ranked = members[np.argsort(-to_others, kind="stable")]
        grouped.append(Family(tuple(map(int, ranked)), float(to_others.mean()) if len(members) > 1 else 1.0))
    method = (
        f"Average linkage over 1 − |correlation| of all {width:,} channels on {len(rows):,} faces; two groups of "
        f"channels are joined while the mean |correlation| between them is at least {likeness:g}."
    )
    return Families(tuple(sorted(grouped, key=lambda family: (-family.size, family.members))), method)


def _standardised(codes: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(b, n) channels -> the class means taken out, every row of length 1 (0 where nothing is left); float32."""
    result = np.array(codes, np.float32)
    for c in np.unique(labels):
        here = labels == c
        result[:, here] -= result[:, here].mean(axis=1, keepdims=True, dtype=np.float64).astype(np.float32)
    length = np.sqrt(np.einsum("bn,bn->b", result, result, dtype=np.float64))
    scale = np.abs(codes).max(axis=1) * np.sqrt(codes.shape[1])  # what rounding leaves of a constant is no spread
    return result * np.divide(1, length, out=np.zeros(len(length)), where=length > 1e-6 * scale)[:, None].astype("f4")

"""What is done to the training faces beside excluding channels: a concept erased, balanced, or moved in copies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from img2tab_core import tables
from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.records import StyleTable, read_only
from img2tab_core.base.words import listed
from img2tab_core.classifiers.treatment import Treatment
from img2tab_core.concepts import erasing, scores, wasserstein
from img2tab_core.concepts.erasing import CONCEPT, Erasure, erasure_of

if TYPE_CHECKING:
    from img2tab_core.concepts.description import Description

PERMUTATIONS = 20  # of the labels, of which the mean is taken
HEAVIEST = 0.995  # quantile of the weights above which all count the same: a few faces must not decide


@dataclass(frozen=True, eq=False)
class Preparation:
    """A treatment measured on the training faces that `fit` gets. weights: float64 (n,), mean 1, None where all faces
    count the same; order: int64 (D,), all channels by Wasserstein-1 between the classes of the codes as they are after
    it, the largest first; readings: float64 (n, k), what the erasure reads in the faces, None where it is read anew."""

    erasure: Erasure | None
    mirror: Erasure | None
    weights: np.ndarray | None
    order: np.ndarray
    readings: np.ndarray | None = None

    def applied(
        self, X: np.ndarray, rows: np.ndarray, y: np.ndarray, codes: np.ndarray, channels: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Codes, labels and weights to train on; X (N, D), rows (n,), y (n,) and codes float32 (n, c) of these channels
        (c,), changed in place. With copies there are 2 n of them."""
        weights = self.weights
        if self.mirror is not None:
            count, both = len(codes), np.empty((2 * len(codes), len(channels)), np.float32, order="F")
            both[:count] = both[count:] = codes
            # every copy on the other side, as far from the middle as the face is on its own
            self.mirror.taken_from(both[count:], 2 * self.mirror.readings(X, rows), channels)
            codes, y = both, np.concatenate([y, y])
            weights = None if weights is None else np.concatenate([weights, weights])
        if self.erasure is not None:
            codes = self.erasure.taken_from(codes, self._readings(self.erasure, X, rows), channels)
        return codes, y, weights

    def _readings(self, erasure: Erasure, X: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """What the erasure reads in the faces, and below in their copies; float64 (n or 2 n, k)."""
        readings = erasure.readings(X, rows) if self.readings is None else self.readings
        if self.mirror is None:
            return readings
        along = self.mirror.direction.T.astype(np.float64) @ erasure.reading.astype(np.float64)  # (m, k)
        return np.concatenate([readings, readings - 2 * self.mirror.readings(X, rows) @ along])


def prepared(
    table: StyleTable,
    target: str,
    treatment: Treatment,
    *,
    rows: np.ndarray,
    labels: np.ndarray,
    described: Description | None = None,
    excluded: frozenset[int] = frozenset(),
    seed: int = 0,
) -> Preparation:
    """Measure a treatment on training faces; two seconds for the default table.

    rows: int64 (n,), those that are trained on; labels: (n,) their classes from 0; excluded: channels that are not read
    either: what the erasure reads in them would decide. Raises Img2TabError where a name is
    neither a target of the table nor a described concept, or a class has no face of a group.
    """

    def measured(names: Sequence[str]) -> Erasure | None:
        return erasure_of(table, target, names, rows=rows, described=described, excluded=excluded) if names else None

    erasure, mirror = measured(treatment.erased), measured(treatment.moved)
    weights = None
    if treatment.balanced:
        values = np.column_stack([erasing.values_of(table, name, rows, described) for name in treatment.balanced])
        if any(name.startswith(CONCEPT) for name in treatment.balanced):
            weights = permutation_weights(values, labels, seed=seed)
        else:
            _must_meet(table, target, treatment.balanced, labels, values)
            weights = cell_weights(labels, values)
    readings = None if erasure is None else erasure.readings(table.psi, rows)
    return Preparation(erasure, mirror, weights, _order(table, rows, labels, erasure, readings), readings)


def _must_meet(table: StyleTable, target: str, names: Sequence[str], labels: np.ndarray, values: np.ndarray) -> None:
    """Raises Img2TabError where a class has no face of a group that another has: no weight makes up for that."""
    known = np.isfinite(values).all(axis=1)
    about = tables.any_target_of(table, target)
    for group in np.unique(values[known], axis=0):
        here = known & (values == group).all(axis=1)
        for label, of_class in enumerate(about.classes):
            if not (here & (labels == label)).any():
                of_group = listed(
                    [
                        tables.any_target_of(table, name).classes[int(value)]
                        for name, value in zip(names, group, strict=True)
                    ]
                )
                raise Img2TabError(
                    f"No training face is labelled {of_class} and {of_group}, so the classes cannot be balanced over "
                    f"{listed(list(names))}. Balance over fewer."
                )
    if not known.any():
        raise Img2TabError(
            f"No training face is labelled by {listed(list(names))}, so nothing can be balanced over it."
        )


def cell_weights(labels: np.ndarray, values: np.ndarray) -> np.ndarray:
    """A weight for each face with which its groups say nothing of its class; float64 (n,), mean 1.

    labels: int (n,); values: float64 (n, k), groups 0 and 1, NaN where unknown: such a face counts 1. P(group) P(class)
    / P(group, class), a group being what all k say together. Source: Kamiran and Calders 2012, "Data preprocessing
    techniques for classification without discrimination".
    """
    weights, known = np.ones(len(labels)), np.isfinite(values).all(axis=1)
    groups = np.unique(values[known], axis=0, return_inverse=True)[1].ravel()
    counts = np.zeros((groups.max() + 1, int(labels.max()) + 1))
    np.add.at(counts, (groups, labels[known]), 1)
    expected = counts.sum(axis=1, keepdims=True) * counts.sum(axis=0) / known.sum()
    weights[known] = (expected / np.maximum(counts, 1))[groups, labels[known]]
    return weights / weights.mean()


def permutation_weights(values: np.ndarray, labels: np.ndarray, *, seed: int = 0) -> np.ndarray:
    """A weight for each face with which a measure says nothing of its class, without any groups; float64 (n,), mean 1.

    values: float64 (n, k), NaN where unknown: such a face counts 1; labels: int (n,) from 0. The odds by which a
    classifier takes (value, class) for one of the pairs whose classes were permuted. Source: Arbour, Dimmery and Sondhi
    2021, "Permutation weighting"; for what a classifier of concepts must not use, CBDebug, arXiv 2509.21385.
    """
    from sklearn.linear_model import LogisticRegression

    known = np.isfinite(values).all(axis=1)
    if not known.all():  # those whose value is not known count 1, as in `cell_weights`
        weights = np.ones(len(labels))
        if known.any():
            weights[known] = permutation_weights(values[known], labels[known], seed=seed)
        return weights / weights.mean()
    rng, count = np.random.default_rng(seed), len(labels)
    spread = values.std(axis=0)
    unit = (values - values.mean(axis=0)) / np.where(spread > 0, spread, 1)
    powers = (unit, unit**2)

    def described(classes: np.ndarray) -> np.ndarray:
        each = np.eye(int(labels.max()) + 1)[classes]  # (n, K)
        return np.hstack([each, *(each[:, [which]] * power for which in range(each.shape[1]) for power in powers)])

    weights, own = np.zeros(count), described(labels)
    which = np.repeat([0, 1], count)
    for _ in range(PERMUTATIONS):
        both = np.vstack([own, described(rng.permutation(labels))])
        odds = LogisticRegression(C=1e3, max_iter=500).fit(both, which).decision_function(own)
        weights += np.exp(odds) / PERMUTATIONS
    weights = np.minimum(weights, np.quantile(weights, HEAVIEST))
    return weights / weights.mean()


def titles_of(table: StyleTable, described: Description | None) -> dict[str, str]:
    """What a person reads for each name of a treatment."""
    concepts = {} if described is None else {f"{CONCEPT}{family.id}": family.name for family in described.families}
    return {target.name: target.title for target in table.targets} | concepts


def _order(
    table: StyleTable, rows: np.ndarray, labels: np.ndarray, erasure: Erasure | None, readings: np.ndarray | None
) -> np.ndarray:
    """All channels by the distance between the classes, without what is erased."""
    distance = np.zeros(table.psi.shape[1])
    everyone = np.arange(table.psi.shape[1])
    for part in wasserstein.parts_of(len(distance), erasing.BLOCK):
        codes = table.psi.T[part].take(rows, axis=1).T  # (n, b), column-major
        tables.let_go(table.psi)
        if erasure is not None and readings is not None:
            codes = erasure.taken_from(codes, readings, everyone[part])
        std = np.asarray(table.stats.std[part], np.float64)
        for first, second in scores.pairs_of(int(labels.max()) + 1):  # of several classes the two that it tells apart
            here = np.flatnonzero((labels == first) | (labels == second))
            apart = wasserstein.wasserstein(codes, (labels[here] == second).astype(np.int64), std=std, rows=here)
            distance[part] = np.maximum(distance[part], apart)
    return read_only(np.argsort(-distance, kind="stable"))

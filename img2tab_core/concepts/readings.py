"""How sure a style code is of every label of its table: one linear probe for each, fitted on the training faces."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from img2tab_core import tables
from img2tab_core.base.records import StyleTable

ROWS = 6_000  # training faces that a probe is fitted on at most
COMPONENTS = 512  # of the codes: as many as a w has


@dataclass(frozen=True, eq=False)
class Probes:
    """Linear probes on style codes. weights: float32 (T, D); offsets: float32 (T,); spread: float64 (T,), the standard
    deviation of each one's log-odds over the faces of the table; names: the T targets, in order.
    """

    names: tuple[str, ...]
    weights: np.ndarray
    offsets: np.ndarray
    spread: np.ndarray

    def log_odds(self, codes: np.ndarray) -> np.ndarray:
        """float32 (n, D) -> float32 (n, T), above 0 where class 1 is likelier."""
        return codes @ self.weights.T + self.offsets


def probes(table: StyleTable, *, rows: np.ndarray | None = None, seed: int = 0) -> Probes:
    """A probe of every target of a table.

    rows: int64, the faces to fit on, all training faces if None; the same seed chooses the same of them. A target of
    which these show one class only gets a probe that is always 0.
    """
    from sklearn.decomposition import PCA
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(seed)
    rows = np.flatnonzero(table.split == 0) if rows is None else rows
    rows = np.sort(rng.choice(rows, ROWS, replace=False)) if len(rows) > ROWS else rows
    mean, std = table.stats.mean, np.maximum(table.stats.std, 1e-12)
    scaled = (table.psi[rows] - mean) / std
    tables.let_go(table.psi)
    count = min(COMPONENTS, len(rows) - 1, scaled.shape[1])
    axes = PCA(count, svd_solver="randomized", iterated_power=2, random_state=seed).fit(scaled)
    small = (axes.transform(scaled) / np.sqrt(np.maximum(axes.explained_variance_, 1e-6))).astype(np.float32)
    back = (axes.components_ / np.sqrt(np.maximum(axes.explained_variance_, 1e-6))[:, None] / std).astype(np.float32)
    weights = np.zeros((len(table.targets), scaled.shape[1]), np.float32)
    offsets, spread = np.zeros(len(table.targets), np.float32), np.ones(len(table.targets))
    centre = mean + std * axes.mean_
    for number, target in enumerate(table.targets):
        labels = table.labels[target.name].to_numpy(np.float64)[rows]
        known = np.isin(labels, (0, 1))
        if len(np.unique(labels[known])) < 2:
            continue
        probe = LogisticRegression(C=0.01, max_iter=300).fit(small[known], labels[known] == 1)
        weights[number] = probe.coef_[0].astype(np.float32) @ back
        offsets[number] = probe.intercept_[0] - weights[number] @ centre
        spread[number] = max(float((small @ probe.coef_[0]).std()), 1e-6)
    return Probes(tuple(target.name for target in table.targets), weights, offsets, spread)

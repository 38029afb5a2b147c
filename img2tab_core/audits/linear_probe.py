"""A linear probe: how well the sensitive attribute can still be read from the channels left."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from img2tab_core import tables
from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.records import StyleTable, read_only
from img2tab_core.base.words import listed
from img2tab_core.concepts import wasserstein
from img2tab_core.concepts.erasing import Erasure
from img2tab_core.concepts.scores import BLOCK, divided
from img2tab_core.tables.sampling import labelled_rows, sampled

PROBE_FACES = 2500  # a probe on more is hardly better and takes the square of the time
HARDLY = 0.6  # an AUC above it would be something that is read
PENALTY = 0.01  # of the probe, in multiples of what one face adds to its own row


@dataclass(frozen=True, eq=False)
class Probe:
    """A linear reading of the sensitive attribute from style codes: about 0 in group 0, about 1 in group 1.

    weights: float64 (D,), per style unit, 0 where a channel is excluded.
    """

    weights: np.ndarray
    offset: float

    def read(self, codes: np.ndarray) -> np.ndarray:
        """codes: float (n, D), style units -> float64 (n,); raises Img2TabError for another width."""
        codes = np.asarray(codes)
        if codes.ndim != 2 or codes.shape[1] != len(self.weights):
            raise Img2TabError(f"Style codes must have shape (faces, {len(self.weights)}), got {codes.shape}.")
        return codes.astype(np.float64) @ self.weights + self.offset


@dataclass(frozen=True)
class Readable:
    """How well the attribute can still be read from what is left: AUC of a probe with its 95 % interval, a sentence.

    faces: the probe was fitted on and measured on.
    """

    auc: float
    low: float
    high: float
    excluded: int
    faces: tuple[int, int]
    sentence: str


def probe(
    table: StyleTable,
    sensitive: str,
    *,
    excluded: Collection[int] = (),
    erasure: Erasure | None = None,
    rows: np.ndarray | None = None,
    seed: int = 0,
) -> Probe:
    """Ridge regression of the group on the channels left, standardised; of more than 2,500 faces so many are sampled.

    erasure: taken out of every code before. rows: (n,) row numbers, None for all training faces.
    """
    return _fitted(table, *_sampled_of(table, sensitive, rows, seed), excluded=excluded, erasure=erasure)


def readable(
    table: StyleTable,
    sensitive: str,
    *,
    excluded: Collection[int] = (),
    erasure: Erasure | None = None,
    rows: np.ndarray | None = None,
    test_rows: np.ndarray | None = None,
    seed: int = 0,
) -> Readable:
    """Whether the attribute can still be read from the channels left, after what is erased was taken out of them.

    rows: int64 (n,), the probe is fitted on, None for all training faces. test_rows: int64 (m,), it is measured on,
    None for all test faces: those of validation may have chosen how much is excluded. Raises Img2TabError where the
    two share a face or nothing is left to read.
    """
    rows, groups = _sampled_of(table, sensitive, rows, seed)
    test_rows, test_groups = labelled_rows(table, sensitive, table.rows("test") if test_rows is None else test_rows)
    if np.isin(test_rows, rows).any():
        raise Img2TabError("A probe must be measured on other faces than it was fitted on. Give other rows.")
    fitted = _fitted(table, rows, groups, excluded=excluded, erasure=erasure)
    readings = np.full(len(test_rows), fitted.offset)
    for part in wasserstein.parts_of(table.psi.shape[1], BLOCK):
        readings += fitted.weights[part] @ table.psi.T[part].take(test_rows, axis=1)
        tables.let_go(table.psi)
    if erasure is not None:
        along = fitted.weights @ erasure.direction.astype(np.float64)  # (k,)
        readings -= erasure.readings(table.psi, test_rows) @ along
    auc = float(roc_auc_score(test_groups, readings))
    low, high = _auc_interval(auc, int(test_groups.sum()), int((test_groups == 0).sum()))
    number = len({int(index) for index in excluded})
    name = tables.target_of(table, sensitive).title.lower()
    done = [f"excluded {number:,} channel{'' if number == 1 else 's'}"] if number else []
    done += ["erased " + listed([_title(table, other) for other in erasure.names])] if erasure is not None else []
    what = f"You {listed(done)}; " if done else "Nothing is excluded; "
    if low <= 0.5 and high < HARDLY:
        reads = f"a linear probe reads {name} no better than chance: AUC"
    elif low <= 0.5:
        reads = f"whether {name} can {'still ' if done else ''}be read cannot be told from so few faces: AUC"
    else:
        reads = f"{name} can " + ("still be read from the rest with AUC" if done else "be read with AUC")
    sentence = f"{what}{reads} {auc:.2f} ({low:.2f} to {high:.2f})."
    return Readable(auc, low, high, number, (len(rows), len(test_rows)), sentence)


def _sampled_of(table: StyleTable, name: str, rows: np.ndarray | None, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rows, groups = labelled_rows(table, name, rows)
    rows, groups = sampled(rows, PROBE_FACES, seed=seed, beside=groups)
    return rows, groups


def _title(table: StyleTable, name: str) -> str:
    """Of a target; a concept is a concept."""
    targets = (*table.targets, *table.many, *table.against_rest)
    return next((target.title.lower() for target in targets if target.name == name), "a concept")


def _fitted(
    table: StyleTable,
    rows: np.ndarray,
    groups: np.ndarray,
    *,
    excluded: Collection[int],
    erasure: Erasure | None = None,
) -> Probe:
    """Ridge in its dual form, n x n: there are fewer faces than channels."""
    _, left = divided(excluded, table.psi.shape[1])
    mean = table.stats.mean[left].astype(np.float64)
    std = table.stats.std[left].astype(np.float64)
    scale = np.divide(1, std, out=np.zeros(len(std)), where=std > 0)
    unit = table.psi.T[left].take(rows, axis=1)  # (k, n) float32
    if erasure is not None:
        erasure.taken_from(unit.T, erasure.readings(table.psi, rows), left)
    unit -= mean[:, None].astype(np.float32)
    unit *= scale[:, None].astype(np.float32)
    middle = unit.mean(axis=1, dtype=np.float64)
    unit -= middle[:, None].astype(np.float32)
    kernel = (unit.T @ unit).astype(np.float64)  # (n, n)
    kernel[np.diag_indices_from(kernel)] += PENALTY * max(float(np.trace(kernel)) / len(rows), 1e-12)
    y = groups - groups.mean()
    dual = np.linalg.solve(kernel, y)
    per_unit = scale * (unit.astype(np.float32) @ dual.astype(np.float32)).astype(np.float64)
    weights = np.zeros(table.psi.shape[1])
    weights[left] = per_unit
    centre = mean + np.where(scale > 0, middle * std, 0)
    return Probe(read_only(weights), float(groups.mean() - per_unit @ centre))


def _auc_interval(auc: float, ones: int, zeros: int) -> tuple[float, float]:
    """95 %. Source: Hanley and McNeil 1982, "The meaning and use of the area under a ROC curve"."""
    q1, q2 = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    variance = (auc * (1 - auc) + (ones - 1) * (q1 - auc**2) + (zeros - 1) * (q2 - auc**2)) / (ones * zeros)
    half = float(norm.ppf(0.975)) * float(np.sqrt(max(variance, 0)))
    return max(0.0, auc - half), min(1.0, auc + half)

"""Erasing: the direction that tells groups apart within the classes of a target, taken out of every style code.

Excluding withholds channels; whatever else says the same still says it, and on a StyleGAN every channel is an image of
the same w. Erasing moves every code along one direction until nothing linear tells the groups apart, and keeps all
channels. Source: Belrose et al. 2023, "LEACE: Perfect linear concept erasure in closed form", here within the classes
of the target, on average over them, each group of a class counting the same: otherwise a target that goes with the
group would go too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from img2tab_core import tables
from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.foreign import read_arrays
from img2tab_core.base.records import StyleTable, digest, read_only

if TYPE_CHECKING:
    from img2tab_core.concepts.description import Description

CONCEPT = "concept:"  # begins the name of a described concept, where the others are targets of the table
FACES = 1_500  # of each class in each group, at most; more move the direction by less than chance does
SPAN = 1_024  # faces whose codes span what is looked at: a table of w has 512 dimensions
FLAT = 1e-6  # of the largest variance; what varies less is rounding
OFF = 1e-2  # share of a direction that must lie outside the basis to be added to it
RIDGE = 1e-3  # of the mean variance, added to each: the smallest are measured on too few faces
BLOCK = 256  # channels looked at in one go


@dataclass(frozen=True, eq=False)
class Erasure:
    """What is taken out of a style code: as far as `reading` says it is there, along `direction`.

    names: (k,) targets of the table, or concepts; direction: float32 (D, k), style units between group 1 and group 0
    within a class; reading: float32 (D, k), per style unit, reading.T @ direction is the identity; offset: float64
    (k,), what `reading` gives in the middle between the groups. A code x becomes x - direction @ (reading.T @ x -
    offset): erased twice it is what it is erased once.
    """

    names: tuple[str, ...]
    direction: np.ndarray
    reading: np.ndarray
    offset: np.ndarray

    @property
    def key(self) -> str:
        """sha256 of what it takes out."""
        arrays = (self.direction, self.reading, self.offset)
        return digest(*(name.encode() for name in self.names), *(array.tobytes() for array in arrays))

    def readings(self, X: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
        """How far each face lies on the side of group 1: about 0.5 in group 1, -0.5 in group 0; float64 (n, k).

        X: float (N, D), style units, a memory map is read in blocks of channels; rows: int64 (n,), None for all. Raises
        Img2TabError where a number is not finite.
        """
        total = np.zeros((len(X) if rows is None else len(rows), len(self.names)))
        for start in range(0, X.shape[1], BLOCK):
            part = slice(start, start + BLOCK)
            codes = X.T[part] if rows is None else X.T[part].take(rows, axis=1)  # (b, n)
            total += np.asarray(codes, np.float32).T @ self.reading[part]
            tables.let_go(X)
        if not np.isfinite(total).all():
            raise Img2TabError("Style codes must be finite numbers. Leave out the faces where one is not.")
        return total - self.offset

    def erased(self, X: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
        """Style codes without it: X float (N, D) and rows as in `readings` -> new float32 (n, D), column-major."""
        readings = self.readings(X, rows).astype(np.float32)
        codes = np.empty((X.shape[1], len(readings)), np.float32)
        for start in range(0, X.shape[1], BLOCK):
            part = slice(start, start + BLOCK)
            codes[part] = X.T[part] if rows is None else X.T[part].take(rows, axis=1)
            codes[part] -= self.direction[part] @ readings.T
        return codes.T

    def taken_from(self, codes: np.ndarray, readings: np.ndarray, channels: np.ndarray) -> np.ndarray:
        """The same where some channels were gathered: codes float32 (n, c), changed in place and returned.

        readings: of these faces, float64 (n, k); channels: int64 (c,), which they are of the D.
        """
        codes -= readings.astype(np.float32) @ self.direction[channels].T
        return codes

    def write(self, file: Path) -> None:
        """Write it as .npz."""
        with file.open("wb") as stream:
            np.savez(
                stream,
                names=np.array(self.names),
                direction=self.direction,
                reading=self.reading,
                offset=self.offset,
            )

    @classmethod
    def read(cls, file: Path) -> Erasure:
        """What `write` wrote. Raises ValueError where it is damaged."""
        try:
            kept = read_arrays(file)
            made = cls(
                tuple(map(str, kept["names"])),
                *(read_only(kept[name]) for name in ("direction", "reading", "offset")),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{file.name} is damaged") from error
        if made.direction.shape != made.reading.shape or made.direction.shape[1] != len(made.names):
            raise ValueError(f"{file.name} does not hold one direction for each name")
        return made


def erasure_of(
    table: StyleTable,
    target: str,
    names: Sequence[str],
    *,
    rows: np.ndarray | None = None,
    described: Description | None = None,
    excluded: frozenset[int] = frozenset(),
) -> Erasure:
    """The direction of each name within the classes of the target, measured on training faces; a second or two.

    target: of two classes or more. names: other targets of the table, or "concept:" and the id of one of `described`.
    rows: int64 (n,), None for all training faces; those without a known label are left out. Of each class in each group
    at most 1,500 faces are looked at, always the same ones. excluded: channels that are neither read nor changed.

    Raises Img2TabError where a name is none of these, is named twice or is the target itself, where a class has no face
    of a group, where rows are not of the training split, or where two of the names cannot be told apart.
    """
    names = tuple(names)
    _check(names, target)
    tables.any_target_of(table, target)
    rows = table.rows("train") if rows is None else np.asarray(rows)
    labels = table.labels[target].to_numpy()[rows].astype(np.int64)
    rows, labels = rows[labels >= 0], labels[labels >= 0]
    if (table.split[rows] != 0).any():
        raise Img2TabError("What is erased must be measured on training faces, got others too. Leave those out.")
    values = np.column_stack([values_of(table, name, rows, described) for name in names])  # (n, k)
    known = np.isfinite(values).all(axis=1)
    rows, labels, values = rows[known], labels[known], values[known]
    cells = cells_of(labels, values)
    _must_have_every_cell(table, target, names, labels, values)
    at = _at_most(cells, FACES)
    rows, labels, values, cells = rows[at], labels[at], values[at], cells[at]
    counts = np.bincount(cells)
    weight = 1 / counts[cells]
    weight /= weight.sum()

    mean, std = (np.asarray(array, np.float64) for array in (table.stats.mean, table.stats.std))
    scale = np.divide(1, std, out=np.zeros(len(std)), where=std > 0)
    scale[sorted(excluded)] = 0
    codes = table.psi.T.take(rows, axis=1)  # (D, n)
    tables.let_go(table.psi)
    codes -= mean[:, None].astype(np.float32)
    codes *= scale[:, None].astype(np.float32)
    within = _within(values, labels, weight)  # (n, k)
    basis = _basis(codes, codes @ (weight[:, None] * within).astype(np.float32))  # (D, r)
    seen = (codes.T @ basis).astype(np.float64)  # (n, r)
    middle = weight @ seen
    seen -= middle
    covariance = (seen * weight[:, None]).T @ seen
    covariance[np.diag_indices_from(covariance)] += RIDGE * np.trace(covariance) / len(covariance)
    direction = (seen * weight[:, None]).T @ within @ np.linalg.pinv((within * weight[:, None]).T @ within)  # (r, k)
    reading = np.linalg.solve(covariance, direction)
    overlap = direction.T @ reading  # (k, k)
    if np.linalg.cond(overlap) > 1e8:
        raise Img2TabError(f"{', '.join(names)} cannot be told apart on these faces. Erase one of them only.")
    reading = reading @ np.linalg.inv(overlap)
    per_unit = scale[:, None] * (basis @ reading)
    centre = mean + std * (basis @ middle)
    return Erasure(
        names,
        read_only((std[:, None] * (basis @ direction)).astype(np.float32)),
        read_only(per_unit.astype(np.float32)),
        read_only(per_unit.T @ centre),
    )


def typical_rows(erasure: Erasure, table: StyleTable) -> tuple[int, int]:
    """The test faces that lie nearest to where group 0 and group 1 of the first name are on average; row numbers.

    By what is read in them and by how far along the direction they lie: a face may be read as far out and look as if it
    were in the middle.
    """
    rows, std = table.rows("test"), np.maximum(np.asarray(table.stats.std, np.float64), 1e-12)
    along = erasure.direction[:, 0].astype(np.float64) / std**2
    along /= along @ erasure.direction[:, 0]
    lengths = np.zeros(len(rows))
    for start in range(0, len(along), BLOCK):
        part = slice(start, start + BLOCK)
        lengths += along[part] @ table.psi.T[part].take(rows, axis=1)
    lengths -= lengths.mean()
    readings = erasure.readings(table.psi, rows)[:, 0]
    tables.let_go(table.psi)
    lower, upper = (int(rows[np.argmin(np.hypot(readings - side, lengths - side))]) for side in (-0.5, 0.5))
    return lower, upper


def values_of(table: StyleTable, name: str, rows: np.ndarray, described: Description | None) -> np.ndarray:
    """What a name says of each face, float64 (n,): its label, 0 or 1, NaN where unknown; of a concept how far the face
    is moved along it, standard deviations.

    Raises Img2TabError where the name is no target of the table and none of the described concepts.
    """
    if not name.startswith(CONCEPT):
        tables.target_of(table, name)
        labels = table.labels[name].to_numpy()[rows].astype(np.float64)
        return np.where(labels < 0, np.nan, labels)
    family = None if described is None else next((f for f in described.families if f.id == name[len(CONCEPT) :]), None)
    if family is None:
        raise Img2TabError(f"There is no concept {name[len(CONCEPT) :]!r} of this backbone. See img2tab concepts.")
    mean, std = table.stats.mean[family.channels], np.maximum(table.stats.std[family.channels], 1e-12)
    moved = (table.psi.T[family.channels].take(rows, axis=1).T - mean) / std  # (n, c)
    return (moved @ family.parts / (family.parts @ family.parts)).astype(np.float64)


def cells_of(labels: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Class and group as one number from 0, none left out; int64 (n,). A measure has two groups: below its median and
    above. labels: int (n,); values: float64 (n, k)."""
    groups = np.column_stack([labels, *(_group(column) for column in values.T)])
    return np.unique(groups, axis=0, return_inverse=True)[1].ravel()


# --- inside ------------------------------------------------------------------------------------------


def _group(values: np.ndarray) -> np.ndarray:
    """0 and 1 of a label as they are, of a measure whether it is above its median; int64 (n,)."""
    return (values > (0.5 if np.isin(values, (0, 1)).all() else np.median(values))).astype(np.int64)


def _within(values: np.ndarray, labels: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """How far each value lies from the mean of its class; float64 (n, k)."""
    apart = values.astype(np.float64).copy()
    for label in np.unique(labels):
        here = labels == label
        apart[here] -= weight[here] @ values[here] / weight[here].sum()
    return apart


def _basis(codes: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """An orthonormal basis of what codes (D, n) span, as `SPAN` of them show it, and of directions (D, k); float32
    (D, r)."""
    count = codes.shape[1]
    some = codes[:, np.linspace(0, count - 1, min(count, SPAN)).astype(np.int64)]
    some = some - some.mean(axis=1, keepdims=True)
    variance, vectors = np.linalg.eigh((some.T @ some).astype(np.float64))
    kept = variance > FLAT * variance[-1]
    kept[: max(0, len(kept) - len(codes))] = False  # of fewer channels than faces the rest is rounding
    basis = some @ (vectors[:, kept] / np.sqrt(variance[kept])).astype(np.float32)
    for direction in (directions / np.maximum(np.linalg.norm(directions, axis=0), 1e-12)).T:
        outside = direction - basis @ (basis.T @ direction)
        if (size := np.linalg.norm(outside)) > OFF:
            basis = np.column_stack([basis, outside / size])
    try:
        overlap = np.linalg.cholesky((basis.T @ basis).astype(np.float64))  # the identity, but for rounding
    except np.linalg.LinAlgError:
        return np.linalg.qr(basis)[0]
    return basis @ np.linalg.inv(overlap).T.astype(np.float32)


def _at_most(cells: np.ndarray, most: int) -> np.ndarray:
    """Positions of at most so many faces of each cell, ascending, evenly spread; int64."""
    chosen = []
    for cell in range(cells.max() + 1):
        here = np.flatnonzero(cells == cell)
        chosen.append(here[np.linspace(0, len(here) - 1, min(len(here), most)).astype(np.int64)])
    return np.sort(np.concatenate(chosen))


def _check(names: tuple[str, ...], target: str) -> None:
    if not names:
        raise Img2TabError("At least one attribute or concept must be named to erase it, got none.")
    if target in names:
        raise Img2TabError(f"What is erased must be something else than what is predicted, got {target!r}.")
    if len(set(names)) != len(names):
        raise Img2TabError(f"Each attribute is erased once, got {', '.join(names)}.")


def _must_have_every_cell(
    table: StyleTable, target: str, names: tuple[str, ...], labels: np.ndarray, values: np.ndarray
) -> None:
    """Every group within every class; of two attributes each by itself, not every combination of theirs."""
    for name, column in zip(names, values.T, strict=True):
        groups = _group(column)
        for label in np.unique(tables.labelled(table, target, "train")[1]):
            for group in (0, 1):
                if not ((labels == label) & (groups == group)).any():
                    raise Img2TabError(
                        f"There must be training faces of both groups of {name!r} in every class of {target!r}, got "
                        f"none of group {group} in class {label}. Erase another attribute, or take more faces."
                    )

"""Rows of a table whose labels are known, and samples of them by class and group."""

from __future__ import annotations

import numpy as np

from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.records import StyleTable
from img2tab_core.tables import store

CELLS = ((0, 0), (0, 1), (1, 0), (1, 1))  # (class of the target, group)


def known_rows(
    table: StyleTable, target: str, sensitive: str, rows: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows whose two labels are known, their classes and their groups, 0 and 1; int64 (n,) each.

    rows: row numbers, None for all training faces. Raises Img2TabError where a class has no face in a group.
    """
    if target == sensitive:
        raise Img2TabError(f"The target and the sensitive attribute must differ, got {target!r} twice.")
    rows, labels = labelled_rows(table, target, rows)
    store.target_of(table, sensitive)
    groups = table.labels[sensitive].to_numpy()[rows].astype(np.int64)
    known = groups >= 0
    rows, labels, groups = rows[known], labels[known], groups[known]
    _must_be_filled({(c, g): int(((labels == c) & (groups == g)).sum()) for c, g in CELLS})
    return rows, labels, groups


def labelled_rows(table: StyleTable, name: str, rows: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers whose label is known, and the labels, 0 and 1; int64 (n,) each.

    rows: row numbers, None for all training faces. Raises Img2TabError where they are none, or of one class only.
    """
    store.target_of(table, name)
    rows = table.rows("train") if rows is None else np.asarray(rows)
    if (
        rows.ndim != 1
        or not np.issubdtype(rows.dtype, np.integer)
        or (rows.size and not (0 <= rows.min() and rows.max() < len(table.psi)))
    ):
        raise Img2TabError(f"Rows must be whole numbers between 0 and {len(table.psi) - 1}, got {rows.dtype}.")
    labels = table.labels[name].to_numpy()[rows].astype(np.int64)
    rows, labels = rows[labels >= 0], labels[labels >= 0]
    if len(np.unique(labels)) != 2:
        raise Img2TabError(f"Both classes of {name!r} must be among the faces, got {len(rows):,} faces. Take others.")
    return rows, labels


def sampled(rows: np.ndarray, count: int, *, seed: int, beside: np.ndarray | None = None) -> tuple[np.ndarray, ...]:
    """At most so many of the rows (n,), in their order, and of what lies beside them (n,)."""
    at = np.arange(len(rows))
    if len(rows) > count:
        at = np.sort(np.random.default_rng(seed).choice(len(rows), count, replace=False))
    return (rows[at],) if beside is None else (rows[at], beside[at])


def biased_rows(
    labels: np.ndarray,
    sensitive: np.ndarray,
    rows: np.ndarray,
    *,
    share: float = 0.9,
    count: int | None = None,
    group: int | None = None,
    seed: int = 0,
) -> np.ndarray:
    """Rows in which class 1 goes with one group, and class 0 with the other, in `share` of the faces; ascending.

    labels, sensitive: (N,) of 0, 1 and -1 (unknown, left out), of the whole table; rows: the row numbers to take from,
    without replacement. Half the faces taken are of class 1 and half of group 1. group: the one that class 1 goes with,
    None for the one in which it is more common. count: about so many faces, None for as many as there can be. Raises
    Img2TabError where share is out of its range, or there are too few faces of a class in a group.
    """
    if not 0.5 <= share < 1:
        raise Img2TabError(f"share must be at least 0.5 and below 1, got {share}.")
    cells = _cells(labels, sensitive, rows)
    if group is None:
        in_one = [len(cells[1, g]) / max(1, len(cells[1, g]) + len(cells[0, g])) for g in (0, 1)]
        group = int(in_one[1] > in_one[0])
    with_it = [(1, group), (0, 1 - group)]
    shares = {cell: (share if cell in with_it else 1 - share) / 2 for cell in CELLS}
    most = min(len(cells[cell]) / shares[cell] for cell in CELLS)
    wanted = {cell: round(shares[cell] * (most if count is None else count) - 1e-9) for cell in CELLS}
    return _sample(cells, wanted, seed)


def balanced_rows(
    labels: np.ndarray, sensitive: np.ndarray, rows: np.ndarray, *, count: int | None = None, seed: int = 0
) -> np.ndarray:
    """Rows with as many faces of each class in each group, ascending; arguments and errors as for `biased_rows`."""
    cells = _cells(labels, sensitive, rows)
    each = min(map(len, cells.values())) if count is None else count // 4
    return _sample(cells, dict.fromkeys(CELLS, each), seed)


def _cells(labels: np.ndarray, sensitive: np.ndarray, rows: np.ndarray) -> dict[tuple[int, int], np.ndarray]:
    labels, sensitive, rows = np.asarray(labels), np.asarray(sensitive), np.asarray(rows)
    return {(c, g): rows[(labels[rows] == c) & (sensitive[rows] == g)] for c, g in CELLS}


def _sample(cells: dict[tuple[int, int], np.ndarray], wanted: dict[tuple[int, int], int], seed: int) -> np.ndarray:
    _must_be_filled(wanted)
    for (c, g), number in wanted.items():
        if number > len(cells[c, g]):
            raise Img2TabError(
                f"{number:,} faces of class {c} in group {g} are needed, there are {len(cells[c, g]):,}. Sample fewer."
            )
    rng = np.random.default_rng(seed)
    return np.sort(np.concatenate([rng.choice(cells[cell], wanted[cell], replace=False) for cell in CELLS]))


def _must_be_filled(counts: dict[tuple[int, int], int]) -> None:
    for (c, g), number in counts.items():
        if number < 1:
            raise Img2TabError(
                f"There must be faces of both classes in both groups, got none of class {c} in group {g}. "
                "Take more faces, or another target or attribute."
            )

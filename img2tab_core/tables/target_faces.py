"""The faces of a table whose label for a target is known, by split: asked for once, at the door, and then handed on."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from img2tab_core.base.records import StyleTable, digest, read_only
from img2tab_core.tables import store


class LabelledRows(NamedTuple):
    """rows: int64 (n,), row numbers of a table, ascending; labels: int8 (n,), classes from 0. Both read-only."""

    rows: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True, eq=False)
class TargetFaces:
    """The faces that train, choose and test a classifier of one target; a face of unknown label is in none of them.

    key: sha256 of the table's key, the target, and every row and label; what was made of the same faces has the same.
    """

    table: StyleTable
    target: str
    train: LabelledRows
    validation: LabelledRows
    test: LabelledRows
    key: str

    def trained_on(self, at: np.ndarray) -> TargetFaces:
        """The same with some of its training faces only; at: positions among them int64 (m,), ascending."""
        rows, labels = (read_only(array[at]) for array in self.train)
        return replace(self, train=LabelledRows(rows, labels), key=digest(self.key.encode(), rows.tobytes()))


def faces_of(table: StyleTable, target: str) -> TargetFaces:
    """The labelled faces of a target. Raises Img2TabError where the table has no such target."""
    train, validation, test = parts = [
        LabelledRows(*map(read_only, store.labelled(table, target, part))) for part in ("train", "validation", "test")
    ]
    words = json.dumps([table.key, target, [len(part.rows) for part in parts]]).encode()
    key = digest(words, *(array.tobytes() for part in parts for array in part))
    return TargetFaces(table, target, train, validation, test, key)

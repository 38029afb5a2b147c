"""How far apart the classes of a target are in every concept: scored once, kept with the visitor's data."""

from __future__ import annotations

import itertools
from collections.abc import Collection
from contextlib import suppress
from numbers import Integral
from pathlib import Path

import numpy as np

from img2tab_core import tables
from img2tab_core.base.engines import HERE, Engine
from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.files import home, make_folder, whole
from img2tab_core.base.foreign import read_arrays
from img2tab_core.base.jobs import Cancel, Report
from img2tab_core.base.records import digest, read_only
from img2tab_core.concepts import sharded, table_shards, wasserstein
from img2tab_core.tables import TargetFaces

BLOCK = 256  # channels looked at in one go

FORMAT = "distances 2"  # raise the number when scoring changes


def distances(faces: TargetFaces) -> tuple[np.ndarray, np.ndarray]:
    """Wasserstein-1 and direction of every channel on the training faces, both float64 (D,), standard deviations.

    Of more than two classes, of the two that the channel tells apart most (the direction is of the later class minus
    the earlier): see `pairwise`. Half a second for the default table, then from disk. Raises Img2TabError where a class
    has no training face, or a style code is not a finite number.
    """
    if (classes := int(faces.train.labels.max(initial=1)) + 1) > 2:
        distance, direction = pairwise(faces, classes)
        furthest = np.argmax(distance, axis=0)[None]  # (1, D)
        distance, direction = (np.take_along_axis(of, furthest, axis=0)[0] for of in (distance, direction))
        return read_only(distance), read_only(direction)
    table = faces.table
    file, key = _place(faces)
    values = _stored(file, key, (table.layout.total,))
    if values is None:
        rows, labels = faces.train
        values = wasserstein.distance_and_direction(
            table.psi, labels, std=table.stats.std, rows=rows, progress=tables.letting_go(table.psi)
        )
        _store(file, key, *values)
    return read_only(values[0]), read_only(values[1])


def over_shards(
    faces: TargetFaces, count: int, *, engine: Engine = HERE, progress: Report | None = None, stopped: Cancel = None
) -> sharded.Answer:
    """The same of a target of two classes over so many ranges of rows, asked by an engine: the same bits, kept as well.

    What it raises: `table_shards.ask_all`. Measured anew each time.
    """
    answer = table_shards.ask_all(faces, count, engine=engine, progress=progress, stopped=stopped)
    _store(*_place(faces), answer.distance, answer.direction)
    return answer


def _place(faces: TargetFaces) -> tuple[Path, str]:
    """Where the distances of two classes are kept, and the key of those of these faces."""
    return (
        home() / "distances" / f"{faces.table.name}-{faces.target}.npz",
        digest(FORMAT.encode(), faces.key.encode()),
    )


def pairs_of(classes: int) -> list[tuple[int, int]]:
    """All pairs of so many classes, the earlier class first: (0, 1), (0, 2), ..., (K - 2, K - 1)."""
    return list(itertools.combinations(range(classes), 2))


def pairwise(faces: TargetFaces, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Wasserstein-1 and direction between every two classes, in the order of `pairs_of`; float64 (P, D) each.

    On the training faces, in standard deviations over all of them; once, then from disk. Raises what `distances` does.
    """
    table, pairs = faces.table, pairs_of(classes)
    key = digest(FORMAT.encode(), f"pairs {classes}".encode(), faces.key.encode())
    file, _ = _place(faces)
    values = _stored(file, key, (len(pairs), table.layout.total))
    if values is None:
        rows, labels = faces.train
        of_pairs = []
        for pair in pairs:
            part = np.isin(labels, pair)
            of_pairs.append(
                wasserstein.distance_and_direction(
                    table.psi,
                    (labels[part] == pair[1]).astype(np.int8),
                    std=table.stats.std,
                    rows=rows[part],
                    progress=tables.letting_go(table.psi),
                )
            )
        values = np.stack([distance for distance, _ in of_pairs]), np.stack([shift for _, shift in of_pairs])
        _store(file, key, *values)
    return read_only(values[0]), read_only(values[1])


def _stored(file: Path, key: str, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray] | None:
    """None where nothing is kept, or what is kept is of other faces or damaged."""
    try:
        kept = read_arrays(file)
        distance, direction = kept["distance"], kept["direction"]
        fits = str(kept["key"]) == key and distance.shape == direction.shape == shape
        return (distance, direction) if fits else None
    except (OSError, ValueError, KeyError):
        return None


def _store(file: Path, key: str, distance: np.ndarray, direction: np.ndarray) -> None:
    """Write whole or not at all; a full disk costs the next start half a second, nothing else."""
    with suppress(OSError):
        make_folder(file.parent)
        with whole(file) as part, part.open("wb") as stream:
            np.savez(stream, key=np.array(key), distance=distance, direction=direction)


def divided(excluded: Collection[int], width: int) -> tuple[np.ndarray, np.ndarray]:
    """Channels excluded (e,) and left (width - e,), both ascending; int64.

    Raises Img2TabError where one is not among 0 to width - 1, or none is left.
    """
    if not all(isinstance(index, Integral) and 0 <= index < width for index in excluded):
        raise Img2TabError(f"Excluded channels must be whole numbers between 0 and {width - 1}. Choose others.")
    out = np.array(sorted({int(index) for index in excluded}), np.int64)
    if len(out) == width:
        raise Img2TabError(f"At least one channel must remain, got {width} of {width} excluded. Exclude fewer.")
    return out, np.setdiff1d(np.arange(width), out)


def top(values: np.ndarray, k: int, *, exclude: Collection[int] = ()) -> np.ndarray:
    """Indices of the k largest values, largest first, ties by the lower index, none twice; int64 (<= k,).

    values: (D,) numbers. exclude: indices left out. Fewer than k come back where fewer remain. Raises Img2TabError
    where the values have another shape or a NaN among them.
    """
    values = np.asarray(values, np.float64)
    if values.ndim != 1 or np.isnan(values).any():
        raise Img2TabError(f"Values to rank must be one row of numbers without gaps, got shape {values.shape}.")
    order = np.argsort(-values, kind="stable")
    return order[~np.isin(order, list(exclude))][: max(0, k)]

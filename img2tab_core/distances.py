"""How far apart the classes of a target are in every concept: scored once, kept with the visitor's data."""

from __future__ import annotations

import json
import zipfile
from contextlib import suppress
from pathlib import Path

import numpy as np

from img2tab_core import scoring, tables, weights
from img2tab_core.files import whole
from img2tab_core.records import StyleTable, digest, read_only

FORMAT = "distances 1"                 # raise the number when scoring changes


def distances(table: StyleTable, target: str) -> tuple[np.ndarray, np.ndarray]:
    """Wasserstein-1 and direction of every channel on the training rows, both float64 (D,), standard deviations.

    Half a second for the default table, then from disk.
    """
    rows, labels = tables.labelled(table, target, "train")
    key = digest(json.dumps([FORMAT, table.key, target]).encode(), rows.tobytes(), labels.tobytes())
    file = weights.home() / "distances" / f"{table.name}-{target}.npz"
    found = _stored(file, key, table.layout.total)
    if found is None:
        found = scoring.distance_and_direction(table.psi, labels, std=table.stats.std, rows=rows)
        tables.let_go(table.psi)
        _store(file, key, *found)
    return read_only(found[0]), read_only(found[1])


def _stored(file: Path, key: str, total: int) -> tuple[np.ndarray, np.ndarray] | None:
    """None where nothing is kept, or what is kept is of other faces or damaged."""
    try:
        with file.open("rb") as stream:                              # numpy would leave a broken archive open
            kept = np.load(stream)
            found = kept["distance"], kept["direction"]
            return found if str(kept["key"]) == key and found[0].shape == found[1].shape == (total,) else None
    except (OSError, EOFError, ValueError, KeyError, IndexError, TypeError, zipfile.BadZipFile):
        return None


def _store(file: Path, key: str, distance: np.ndarray, direction: np.ndarray) -> None:
    """Write whole or not at all; a full disk costs the next start half a second, nothing else."""
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        with whole(file) as part, part.open("wb") as stream:
            np.savez(stream, key=np.array(key), distance=distance, direction=direction)

"""Calibrations of a table's targets: the two numbers that make a classifier's log-odds fit photos, and where they lie.

A table of drawn faces teaches where the border between the classes lies among drawn faces; on photos the order is
right and the border is not. A calibration moves it. Those that come with the default table were fitted by
`img2tab fit-calibrations`, a person's own by `img2tab check-photos --calibrate`; these lie beside the table.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from img2tab_core.base import persons
from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.files import changing, home, keep_json, sha256_of
from img2tab_core.base.foreign import DAMAGED, parsed_json, reason
from img2tab_core.base.records import StyleTable, digest
from img2tab_core.tables.population import FOLDER

DEFAULT_TABLE = "default"
FILE = "calibrations.json"  # beside the table's own files
SHIPPED = FOLDER / FILE


@dataclass(frozen=True)
class Calibration:
    """log-odds on photos = slope * the classifier's log-odds + offset (Platt 1999); slope is above 0.

    kind: of the classifier that it was fitted to; photos: how many it was fitted on; source: which, in words; day:
    when, ISO 8601.
    """

    kind: str
    slope: float
    offset: float
    photos: int
    source: str
    day: str

    def __post_init__(self) -> None:
        if not (np.isfinite(self.slope) and self.slope > 0 and np.isfinite(self.offset)):
            raise Img2TabError(
                f"A calibration must have a finite slope above 0 and a finite offset, got {self.slope} and "
                f"{self.offset}. Fit it again."
            )

    @property
    def key(self) -> str:
        """Changes with the two numbers."""
        return digest(f"{self.kind} {self.slope!r} {self.offset!r}".encode())

    def chance(self, probability: np.ndarray) -> np.ndarray:
        """The classifier's probability of class 1 (n,) -> what it is on photos, float64 (n,)."""
        from scipy.special import expit, logit  # a studio opens without SciPy

        with np.errstate(divide="ignore"):
            return expit(self.slope * logit(np.asarray(probability, np.float64)) + self.offset)


def calibration_of(table: StyleTable, target: str, kind: str) -> Calibration | None:
    """The calibration in use for classifiers of this kind: a person's own, else the one that came with the table.

    Raises Img2TabError where the file beside the table is damaged.
    """
    own = _own(table).get(target, [])
    chosen = own[-1] if own else _shipped(table).get(target)
    return chosen if chosen is not None and chosen.kind == kind else None


def keep_calibration(table: StyleTable, target: str, calibration: Calibration) -> None:
    """Use this calibration from now on; the one before is kept for `undo_calibration`."""
    _change(table, lambda kept: kept.setdefault(target, []).append(calibration))


def undo_calibration(table: StyleTable, target: str) -> Calibration:
    """Go back to what was in use before the last `keep_calibration`; the calibration that was taken away.

    Raises Img2TabError where a person has kept none.
    """
    taken: list[Calibration] = []

    def take(kept: dict[str, list[Calibration]]) -> None:
        if not kept.get(target):
            raise Img2TabError(
                f"There is no calibration of your own for {target} on the table {table.name!r}, so there is nothing "
                "to undo."
            )
        taken.append(kept[target].pop())

    _change(table, take)
    return taken[0]


def has_own_calibration(table: StyleTable, target: str) -> bool:
    """Whether `undo_calibration` has something to undo."""
    return bool(_own(table).get(target))


def write_shipped(calibrations: dict[str, Calibration], population: Path = FOLDER) -> None:
    """Write the calibrations that come with the default table, for the labels that lie beside them."""
    keep_json(
        population / FILE,
        {
            "labels_sha256": sha256_of(population / "labels.parquet"),
            "targets": {target: asdict(calibration) for target, calibration in calibrations.items()},
        },
    )


def _file_of(table: StyleTable) -> Path:
    return home() / "tables" / table.name / FILE


def _own(table: StyleTable) -> dict[str, list[Calibration]]:
    """A person's own, oldest first; those of a table that was replaced by another of this name do not count."""
    try:
        stored = parsed_json(_file_of(table).read_bytes())
        if stored["table_key"] != table.key:
            return {}
        return {name: [Calibration(**each) for each in kept] for name, kept in stored["targets"].items()}
    except FileNotFoundError:
        return {}
    except (OSError, *DAMAGED) as error:
        raise Img2TabError(
            f"The calibrations of the table {table.name!r} cannot be read ({reason(error)}). Remove {_file_of(table)} "
            "and calibrate again."
        ) from error


def _change(table: StyleTable, change: Callable[[dict[str, list[Calibration]]], object]) -> None:
    persons.must_be_auditor("calibrate a classifier")
    file = _file_of(table)
    with changing(file):
        kept = _own(table)
        change(kept)
        targets = {name: [asdict(each) for each in several] for name, several in kept.items() if several}
        keep_json(file, {"table_key": table.key, "targets": targets})


def _shipped(table: StyleTable) -> dict[str, Calibration]:
    """Of the default table only, and only for the labels that it was fitted to."""
    if table.name != DEFAULT_TABLE:
        return {}
    try:
        return _read_shipped(SHIPPED, *(file.stat().st_mtime_ns for file in (SHIPPED, FOLDER / "labels.parquet")))
    except OSError:
        return {}


@lru_cache(maxsize=1)  # asked for at every decision
def _read_shipped(file: Path, written: int, labelled: int) -> dict[str, Calibration]:
    """written, labelled: when the file and the labels were written."""
    stored = parsed_json(file.read_bytes())
    if stored["labels_sha256"] != sha256_of(file.parent / "labels.parquet"):
        return {}
    return {name: Calibration(**each) for name, each in stored["targets"].items()}

"""Style codes somebody has already become a table: read, checked, and given their labels."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from img2tab_core import weights
from img2tab_core.base.errors import Cancelled, Img2TabError
from img2tab_core.base.files import home
from img2tab_core.base.jobs import Report, never, silent
from img2tab_core.base.records import ChannelStats, digest
from img2tab_core.tables import code_files, label_files, store
from img2tab_core.tables.bands import Bands
from img2tab_core.tables.imports import (
    BLOCK_BYTES,
    Backbone,
    Facts,
    Imported,
    Pace,
    already_there,
    checked_name,
    content_mark,
    divided,
    generator_mark,
    only_importer,
)


def import_codes(
    file: Path,
    labels: Path,
    backbone: Backbone,
    *,
    name: str,
    scaler: Path | None = None,
    label_names: Sequence[str] = (),
    against_rest: bool = False,
    bands: Sequence[Bands] = (),
    anew: bool = False,
    progress: Report | None = None,
    stopped: Callable[[], bool] | None = None,
) -> Imported:
    """Style codes that exist already, .npy or .pt of shape (N, D), and their labels row by row -> the table `name`.

    labels: CSV, CelebA's text file, or .npy / .pt of shape (N,) or (N, K) with label_names; against_rest and bands (of
    a CSV): as for `label_files.read_labels`. Standardised codes are
    recognised and undone, with the mean and std of the file `scaler`, or with the backbone's as an approximation.
    Raises Img2TabError where a file does not hold what it should, the name will not do or is taken, or the table cannot
    be written.
    """
    report, stopped = progress or silent, stopped or never
    place = home() / "tables" / checked_name(name)
    codes = code_files.open_codes(file, total=backbone.layout.total, backbone=backbone.name)
    by_row = _labels_by_row(labels, label_names, count=codes.count, codes=file, against_rest=against_rest, bands=bands)
    scale = None if scaler is None else code_files.read_scaler(scaler, backbone.layout.total)
    stat = file.stat()
    mark = digest(
        f"psi {file.name} {stat.st_size} {stat.st_mtime_ns}".encode(),
        generator_mark(backbone),
        content_mark(by_row.columns, None),
        b"" if scale is None else scale.mean.tobytes() + scale.std.tobytes(),
    )
    try:
        with only_importer(name):
            if not anew and (there := already_there(place, mark)):
                return there
            return _write_codes(
                codes, by_row, backbone, scale, file=file, place=place, mark=mark, report=report, stopped=stopped
            )
    except OSError as error:
        raise Img2TabError(
            f"The import could not be written in {home()} ({error.strerror or error}). Free some space and "
            "run the same command again."
        ) from error


def _write_codes(
    codes: code_files.Codes,
    labels: label_files.Labels,
    backbone: Backbone,
    scale: ChannelStats | None,
    *,
    file: Path,
    place: Path,
    mark: str,
    report: Report,
    stopped: Callable[[], bool],
) -> Imported:
    standardised, note = code_files.is_standardised(codes.sample()), ""
    if scale is not None:
        note = "standardised: undone with the given mean and deviation"
        note += "" if standardised else ", though it was not recognised as such"
    elif standardised:
        scale, note = backbone.stats, "standardised: undone with the backbone's channel statistics: approximate"
    at_once = max(1, BLOCK_BYTES // (4 * backbone.layout.total))
    finite, hashed, pace = np.empty(codes.count, bool), hashlib.sha256(), Pace(codes.count, 0, "style codes")
    for start in range(0, codes.count, at_once):
        rows = slice(start, min(start + at_once, codes.count))
        psi = code_files.undone(codes.rows(rows), scale)
        finite[rows] = np.isfinite(psi).all(axis=1)
        hashed.update(np.ascontiguousarray(psi).data)
        report(0.3 * rows.stop / codes.count, f"Reading {pace.at(rows.stop)}")
        _go_on(stopped)
    good = np.flatnonzero(finite)
    reason = "A value of its style code is not a finite number."
    skipped = {f"row {i}": reason for i in np.flatnonzero(~finite)}
    if len(good) < store.LEAST_FACES:
        raise Img2TabError(
            f"A table must have at least {store.LEAST_FACES} faces, got {len(good)} whole style codes in {file.name} "
            f"({len(skipped)} with values that are not finite numbers). Export more."
        )
    columns = labels.at(good)
    columns.insert(0, label_files.PHOTO, [_row_name(labels, i) for i in good.tolist()])
    split, targets, dropped = divided(columns, labels.targets, None)

    def blocks(rows: slice) -> np.ndarray:
        _go_on(stopped)
        chosen = good[rows]
        stretch = code_files.undone(codes.rows(slice(int(chosen[0]), int(chosen[-1]) + 1)), scale)
        return stretch if len(stretch) == len(chosen) else stretch[chosen - chosen[0]]

    facts = Facts(
        kind="psi",
        origin=str(file),
        mark=mark,
        photos=codes.count,
        skipped=skipped,
        no_target=labels.no_target | dropped,
        note=note,
    )
    table = store.write_table(
        place,
        blocks,
        columns,
        targets=targets,
        layout=backbone.layout,
        backbone=backbone.name,
        backbone_key=backbone.key,
        key=digest(hashed.digest(), content_mark(columns, split), generator_mark(backbone)),
        split=split,
        about=asdict(facts),
        rows_at_once=at_once,
        progress=lambda fraction, text: report(0.3 + 0.7 * fraction, text),
    )
    return Imported(table, facts)


def _labels_by_row(
    file: Path, names: Sequence[str], *, count: int, codes: Path, against_rest: bool, bands: Sequence[Bands]
) -> label_files.Labels:
    """Labels whose rows are those of the codes, `count` of them."""
    if file.suffix.lower() in (".npy", ".npz", ".pt", ".pth", ".safetensors"):
        content = weights.open_arrays(file)
        stored: list[Any] = list(content.values()) if isinstance(content, dict) else [content]
        columns = [code_files.plain(part, file) if hasattr(part, "detach") else part for part in stored]
        arrays = [column for column in columns if isinstance(column, np.ndarray)]
        if (
            not columns
            or len(arrays) < len(columns)
            or len({array.shape for array in arrays}) > 1
            or (len(arrays) > 1 and arrays[0].ndim != 1)
        ):
            raise Img2TabError(
                f"{file.name} must hold one array of labels (N,) or (N, K), got something else. Save it so."
            )
        names = names or ([str(key) for key in content] if isinstance(content, dict) and len(columns) > 1 else ())
        array = np.asarray(arrays[0]) if len(arrays) == 1 else np.stack(arrays, axis=1)
        array = array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array
        labels = label_files.labels_of(array, names, file=file.name)
    else:
        labels = label_files.read_labels(file, names_photos=False, against_rest=against_rest, bands=bands)
    if len(labels.columns) != count:
        raise Img2TabError(
            f"{file.name} must have one row per style code, {count:,} as in {codes.name}, got {len(labels.columns):,}."
        )
    return labels


def _row_name(labels: label_files.Labels, row: int) -> str:
    return labels.names[row] if labels.names else f"row {row}"


def _go_on(stopped: Callable[[], bool]) -> None:
    if stopped():
        raise Cancelled("Stopped: no table was written. Run the same command again; reading a file takes minutes.")

"""Style tables on disk: style codes as a column-major memory map, labels as parquet, the rest as JSON."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd

from img2tab_core.errors import Img2TabError
from img2tab_core.layout import StyleLayout
from img2tab_core.records import ChannelStats, StyleTable, Target, read_only

SHARES = (0.7, 0.15, 0.15)  # train, validation, test


def split_of(count: int, *, seed: int) -> np.ndarray:
    """0 train, 1 validation, 2 test; int8 (count,), the same for the same seed."""
    bounds = np.floor(np.cumsum(SHARES) * count + 0.5).astype(int)
    split = np.searchsorted(bounds, np.arange(count), side="right").clip(max=2).astype(np.int8)
    return np.random.default_rng(seed).permutation(split)


def write_table(
    folder: Path,
    blocks: Callable[[slice], np.ndarray],
    labels: pd.DataFrame,
    *,
    targets: Sequence[Target],
    layout: StyleLayout,
    backbone: str,
    key: str,
    split_seed: int = 0,
    rows_at_once: int = 1000,
    progress: Callable[[float, str], None] | None = None,
) -> StyleTable:
    """Write a table of len(labels) rows and open it.

    blocks: slice of rows -> style codes float32 (rows, D). Nothing is visible under `folder` until all of
    it is written; a table that stood there is replaced at the end.
    """
    count = len(labels)
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        # shape (D, N) in C order is (N, D) in column-major order: one channel's values lie side by side
        psi = np.lib.format.open_memmap(partial / "psi.npy", "w+", np.float32, (layout.total, count))
        for start in range(0, count, rows_at_once):
            rows = slice(start, min(start + rows_at_once, count))
            psi[:, rows] = blocks(rows).T
            if progress:
                progress(rows.stop / count, f"{rows.stop:,} of {count:,} style codes")
        psi.flush()
        split = split_of(count, seed=split_seed)
        training = np.flatnonzero(split == 0)
        mean, std = np.empty(layout.total, np.float32), np.empty(layout.total, np.float32)
        for start in range(0, layout.total, 256):
            part = psi[start : start + 256][:, training].astype(np.float64)
            mean[start : start + 256], std[start : start + 256] = part.mean(axis=1), part.std(axis=1)
        del psi
        np.savez(partial / "stats.npz", mean=mean, std=std, split=split)
        labels.to_parquet(partial / "labels.parquet")
        (partial / "table.json").write_text(json.dumps({
            "backbone": backbone, "layout": list(layout.sizes), "key": key, "split_seed": split_seed,
            "targets": [asdict(target) for target in targets],
        }, indent=1))
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise Img2TabError(
            f"The table could not be written ({error.strerror or error}): it needs "
            f"{layout.total * count * 4 / 1e6:.0f} MB in {folder.parent}. Free some space and try again."
        ) from error
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)
    return open_table(folder)


def open_table(folder: Path) -> StyleTable:
    """Open what `write_table` wrote; style codes stay on disk until they are read."""
    if not (folder / "table.json").is_file():
        raise Img2TabError(
            f"There is no table named {folder.name!r}. Run `img2tab tables build default`, or choose one of "
            "`img2tab tables`."
        )
    try:
        about = json.loads((folder / "table.json").read_text())
        stored = np.load(folder / "stats.npz")
        return StyleTable(
            name=folder.name,
            psi=np.load(folder / "psi.npy", mmap_mode="r").T,
            labels=pd.read_parquet(folder / "labels.parquet"),
            split=read_only(stored["split"]),
            stats=ChannelStats(read_only(stored["mean"]), read_only(stored["std"])),
            targets=tuple(Target(**{**t, "classes": tuple(t["classes"])}) for t in about["targets"]),
            layout=StyleLayout(tuple(about["layout"])),
            backbone=about["backbone"],
            key=about["key"],
        )
    except (OSError, ValueError, KeyError) as error:
        raise Img2TabError(
            f"The table {folder.name!r} cannot be read ({error}). Build it again: `img2tab tables build {folder.name}`."
        ) from error


def target_of(table: StyleTable, name: str) -> Target:
    """The target called `name`, or a sentence that lists what there is."""
    for target in table.targets:
        if target.name == name:
            return target
    names = ", ".join(target.name for target in table.targets)
    raise Img2TabError(f"The table {table.name!r} has no target {name!r}. Choose one of: {names}.")


def labelled(table: StyleTable, target: str, part: str) -> tuple[np.ndarray, np.ndarray]:
    """(row numbers int64, labels int8 0/1) of the rows of a split whose label is known."""
    target_of(table, target)
    rows = table.rows(part)
    values = table.labels[target].to_numpy()[rows]
    known = values >= 0
    return rows[known], values[known].astype(np.int8)

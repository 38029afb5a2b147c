"""Style tables on disk: style codes as a column-major memory map, labels as parquet, the rest as JSON."""

from __future__ import annotations

import json
import mmap
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from pyarrow import ArrowException

from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.files import whole_folder
from img2tab_core.base.foreign import DAMAGED, inside, not_led_out, open_array, parsed_json, read_arrays, reason
from img2tab_core.base.layout import StyleLayout
from img2tab_core.base.records import ChannelStats, StyleTable, Target, read_only

TABLE_FILE = "table.json"  # what makes a folder a table; written last, so another one is another table
CODES_FILE = "psi.npy"  # read where it lies: opened tables are maps of it
SHARES = (0.7, 0.15, 0.15)  # train, validation, test
LEAST_FACES = 20  # of a table
LEAST_OF_A_CLASS = 2  # training and test rows of each class that a target needs
HELD = 256_000_000  # bytes of a table that a pass over all of it keeps in this process at once
LET_GO = 0.05  # share of a table after which what was read of it is let go


def split_of(count: int, *, seed: int) -> np.ndarray:
    """0 train, 1 validation, 2 test, in the shares SHARES; int8 (count,), the same for the same seed."""
    bounds = np.floor(np.cumsum(SHARES) * count + 0.5).astype(int)
    split = np.searchsorted(bounds, np.arange(count), side="right").clip(max=2).astype(np.int8)
    return np.random.default_rng(seed).permutation(split)


def usable_targets(
    labels: pd.DataFrame, targets: Sequence[Target], split: np.ndarray
) -> tuple[tuple[Target, ...], dict[str, str]]:
    """(the targets one can train and test on, why each other one cannot, by its name).

    split: int8 (N,) as of `split_of`; a target without both classes among the validation rows stays.
    """
    kept, dropped = [], {}
    for target in targets:
        values, classes = labels[target.name].to_numpy(), range(len(target.classes))
        counts = {(part, c): int(((split == part) & (values == c)).sum()) for part in (0, 2) for c in classes}
        part, c = min(counts, key=lambda place: counts[place])
        if counts[part, c] >= LEAST_OF_A_CLASS:
            kept.append(target)
            continue
        where = "test" if part else "training"
        dropped[target.name] = (
            f"{counts[part, c]} {where} faces are {target.classes[c]!r}, at least {LEAST_OF_A_CLASS} are needed"
        )
    return tuple(kept), dropped


def write_table(
    folder: Path,
    blocks: Callable[[slice], np.ndarray],
    labels: pd.DataFrame,
    *,
    targets: Sequence[Target],
    layout: StyleLayout,
    backbone: str,
    key: str,
    backbone_key: str = "",
    split_seed: int = 0,
    split: np.ndarray | None = None,
    about: dict | None = None,
    rows_at_once: int = 1000,
    progress: Callable[[float, str], None] | None = None,
) -> StyleTable:
    """Write a table of len(labels) rows and open it.

    blocks: slice of rows -> style codes float32 (rows, D); split: int8 (N,), 0 train, 1 validation, 2 test, instead of
    the seeded one; about: further facts, kept as JSON, see `about_of`. Nothing is visible under `folder` until all of
    it is written; a table that stood there is replaced at the end, and stays as it was if anything fails. Raises
    Img2TabError where it cannot be written, and whatever `blocks` raises.
    """
    count = len(labels)
    try:
        with whole_folder(folder) as new:
            # shape (D, N) in C order is (N, D) in column-major order: one channel's values lie side by side
            psi = np.lib.format.open_memmap(new / CODES_FILE, "w+", np.float32, (layout.total, count))
            _reserve(new / CODES_FILE)
            held = max(1, HELD // (4 * layout.total * rows_at_once)) * rows_at_once
            for start in range(0, count, rows_at_once):
                rows = slice(start, min(start + rows_at_once, count))
                psi[:, rows] = blocks(rows).T
                if start % held == 0:
                    _unmap(psi)
                if progress:
                    progress(rows.stop / count, f"{rows.stop:,} of {count:,} style codes")
            psi.flush()
            split = split_of(count, seed=split_seed) if split is None else np.asarray(split, np.int8)
            training = np.flatnonzero(split == 0)
            mean, std = np.empty(layout.total, np.float32), np.empty(layout.total, np.float32)
            at_once = max(1, min(256, HELD // (24 * count)))  # the codes, in float64, and as far from their mean
            for start in range(0, layout.total, at_once):
                channels = slice(start, start + at_once)
                part = psi[channels][:, training].astype(np.float64)
                mean[channels], std[channels] = part.mean(axis=1), part.std(axis=1)
                _unmap(psi)
            del psi
            np.savez(new / "stats.npz", mean=mean, std=std, split=split)
            derived = [name for name in labels.columns if ":" in str(name)]  # of `with_derived`, made again when opened
            labels.drop(columns=derived).to_parquet(new / "labels.parquet")
            (new / TABLE_FILE).write_text(
                json.dumps(
                    {
                        "backbone": backbone,
                        "backbone_key": backbone_key,
                        "layout": list(layout.sizes),
                        "key": key,
                        "split_seed": split_seed,
                        "targets": [target.to_json() for target in targets],
                        "about": about or {},
                    },
                    indent=1,
                )
            )
    except OSError as error:
        raise Img2TabError(
            f"The table could not be written ({error.strerror or error}): it needs "
            f"{layout.total * count * 4 / 1e6:.0f} MB in {folder.parent}. Free some space and try again."
        ) from error
    return open_table(folder)


def _reserve(file: Path) -> None:
    """Take the space of a file whose length is set: written to a map, a full disk would end this process (SIGBUS).

    Raises OSError where there is no space.
    """
    if hasattr(os, "posix_fallocate"):  # not on macOS
        with file.open("r+b") as stream:
            os.posix_fallocate(stream.fileno(), 0, file.stat().st_size)


def open_table(folder: Path) -> StyleTable:
    """Open what `write_table` wrote; style codes stay on disk until they are read.

    Raises Img2TabError where there is no table, or it is damaged.
    """
    while True:
        before = _which(folder)
        try:
            table = _opened(folder)
        except Img2TabError:
            if _which(folder) == before:
                raise
        else:
            if _which(folder) == before:
                return table
        # another one took its place while its files were read: half of each would be neither


def _which(folder: Path) -> int | None:
    """Another number where another folder stands in this place."""
    try:
        return folder.stat().st_ino
    except OSError:
        return None


def _opened(folder: Path) -> StyleTable:
    if not (folder / TABLE_FILE).is_file():
        raise Img2TabError(
            f"There is no table named {folder.name!r}. Run `img2tab tables build default`, or choose one of "
            "`img2tab tables`."
        )
    try:
        not_led_out(folder)
        about = parsed_json((folder / TABLE_FILE).read_bytes(), strict=False)
        sizes = about["layout"]
        if not isinstance(sizes, list) or not all(isinstance(size, int) and 0 < size < 10**7 for size in sizes):
            raise TypeError("its layers are no numbers")
        stored = read_arrays(folder / "stats.npz")
        split, mean, std = (read_only(stored[name]) for name in ("split", "mean", "std"))
        table = StyleTable(
            name=folder.name,
            psi=open_array(folder / CODES_FILE).T,
            labels=pd.read_parquet(folder / "labels.parquet"),
            split=split,
            stats=ChannelStats(mean, std),
            targets=(),
            layout=StyleLayout(tuple(sizes)),
            backbone=about["backbone"],
            key=about["key"],
            backbone_key=about.get("backbone_key", ""),
        )
        shape = len(table.labels), table.layout.total
        if (table.psi.shape, (*split.shape, *mean.shape), std.shape) != (shape, shape, shape[1:]):
            raise ValueError(f"its files do not fit together: {shape[0]} labels, {table.psi.shape} style codes")
        targets = [Target.from_json(content) for content in about["targets"]]
        _check_names(table, targets)
        return with_derived(table, targets)
    except Img2TabError:
        raise
    except (OSError, ArrowException, *DAMAGED) as error:
        raise Img2TabError(
            f"The table {folder.name!r} cannot be read ({reason(error)}). Build it again: "
            f"`img2tab tables build {folder.name}`."
        ) from error


def _check_names(table: StyleTable, targets: Sequence[Target]) -> None:
    """Raises ValueError or TypeError where a target is none of the table's labels, or a name cannot be a file's.

    What is kept of a table is named after it, its key and its targets: none of these may lead elsewhere. A table's
    backbone is looked for by its name alone, never as a path.
    """
    for target in targets:
        texts = (target.name, target.title, target.how, target.of, *target.classes)
        if not all(isinstance(text, str) for text in texts) or len(target.classes) < 2:
            raise TypeError("the names of its labels are no texts")
        column = table.labels[target.of or target.name]
        if column.dtype.kind not in ("iuf" if target.of else "iu"):
            raise TypeError(f"its column {target.name} holds no classes")
    for name in (table.name, table.backbone, table.key, table.backbone_key or "none", *(t.name for t in targets)):
        if not isinstance(name, str):
            raise TypeError("a name in it is no text")
        inside(Path(), name)


def with_derived(table: StyleTable, targets: Sequence[Target]) -> StyleTable:
    """The table with further targets, and their columns that are made of others: bands, one class against the rest.

    Raises KeyError where a target has neither a column nor one it is made of.
    """
    labels = table.labels
    made = {target.name: banded(labels[target.of].to_numpy(), target.borders) for target in targets if target.of}
    for target in targets:
        for k, view in enumerate(target.against_rest):
            values = made[target.name] if target.of else labels[target.name].to_numpy()
            made[view.name] = np.where(values < 0, -1, values == k).astype(np.int8)
    return replace(
        table,
        labels=labels.assign(**made) if made else labels,
        targets=(*table.targets, *(target for target in targets if len(target.classes) == 2)),
        many=(*table.many, *(target for target in targets if len(target.classes) > 2)),
    )


def banded(values: np.ndarray, borders: Sequence[float]) -> np.ndarray:
    """Numbers (N,) -> the band each lies in, 0 to len(borders), -1 where it is not finite; int8 (N,).

    A number on a border belongs to the upper band.
    """
    values = np.asarray(values, np.float64)
    return np.where(np.isfinite(values), np.digitize(values, borders), -1).astype(np.int8)


def about_of(folder: Path) -> dict:
    """The further facts that `write_table` was given; {} where there is no table or it knows none."""
    try:
        about = parsed_json((folder / TABLE_FILE).read_bytes(), strict=False).get("about")
    except (OSError, ValueError, AttributeError):
        return {}
    return about if isinstance(about, dict) else {}


def let_go(psi: np.ndarray) -> None:
    """Take the pages of a read-only memory map out of this process; the system keeps them for the next reader.

    What was read of a map counts as this process's memory until then: 540 MB for the whole default table, 5.5 GB for
    one of CelebA's size. Nothing happens to an array that is no such map.
    """
    if not psi.flags.writeable:
        _unmap(psi)


def letting_go(psi: np.ndarray) -> Callable[[float], None]:
    """What a pass over a whole table calls with the share of it that is read, 0 to 1: `let_go`, now and then."""
    last = 0.0

    def read(share: float) -> None:
        nonlocal last
        if share - last >= LET_GO or share >= 1:
            last = share
            let_go(psi)

    return read


def _unmap(psi: np.ndarray) -> None:
    """Take a map's pages out of this process. Of one that is written to they are the file's, not lost."""
    base: object = psi
    while isinstance(base, np.ndarray):
        base = base.base
    if isinstance(base, mmap.mmap):
        base.madvise(mmap.MADV_DONTNEED)


def target_of(table: StyleTable, name: str) -> Target:
    """The target of two classes called `name`, also one of more that asks for one class against the rest.

    Raises Img2TabError where the table has none, with the names there are, or it has more than two classes.
    """
    target = any_target_of(table, name)
    if len(target.classes) > 2:
        raise Img2TabError(
            f"{target.title} has {len(target.classes)} classes, and this asks about one of them against the rest. "
            f"Choose one of: {', '.join(view.name for view in target.against_rest)}."
        )
    return target


def any_target_of(table: StyleTable, name: str) -> Target:
    """The target called `name`, of two classes or more. Raises Img2TabError, with the names, where there is none."""
    for target in (*table.targets, *table.many, *table.against_rest):
        if target.name == name:
            return target
    names = ", ".join(target.name for target in (*table.targets, *table.many))
    raise Img2TabError(f"The table {table.name!r} has no target {name!r}. Choose one of: {names}.")


def class_of(table: StyleTable, name: str) -> tuple[Target, int] | None:
    """The target of more than two classes, and the class of it, that `name` asks for against the rest; None where it
    is a target by itself."""
    for target in table.many:
        names = [view.name for view in target.against_rest]
        if name in names:
            return target, names.index(name)
    return None


def most_frequent(table: StyleTable, name: str) -> str:
    """Of a target of more than two classes the one, against the rest, that most faces are of; of two its own name."""
    target = any_target_of(table, name)
    if len(target.classes) == 2:
        return name
    labels = table.labels[name].to_numpy()
    return target.against_rest[int(np.bincount(labels[labels >= 0], minlength=len(target.classes)).argmax())].name


def labelled(table: StyleTable, target: str, part: str) -> tuple[np.ndarray, np.ndarray]:
    """(row numbers int64 (n,), ascending, labels int8 (n,) from 0) of the rows of a split whose label is known.

    part: "train", "validation" or "test". Raises Img2TabError where the table has no such target.
    """
    any_target_of(table, target)
    rows = table.rows(part)
    values = table.labels[target].to_numpy()[rows]
    known = values >= 0
    return rows[known], values[known].astype(np.int8)

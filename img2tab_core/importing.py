"""Photos or style codes of one's own become a table; an import that was stopped goes on where it was.

Photos are encoded in groups by their fixed place in the sorted list, so a resumed import computes the very same
codes. Until it is whole an import lives in `imports/NAME`: w.f32 (float32 rows of w, one after the other), done.jsonl
(a line per photo: its row, or why it was skipped) and about.json. A group is on the disk before the next one starts.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd

from img2tab_core import code_files, tables, weights
from img2tab_core import labels as label_files
from img2tab_core.errors import Cancelled, Img2TabError
from img2tab_core.files import hold
from img2tab_core.layout import StyleLayout
from img2tab_core.photos import PHOTO_ENDINGS
from img2tab_core.records import ChannelStats, StyleTable, Target, digest
from img2tab_core.watching import Report, never, silent

GROUP = 32                         # photos that are encoded and written together: what a kill costs at most
ALIGNERS = 2                       # threads that read and align; dlib itself works in one at a time
SEEDS = 20                         # splits that are tried
BLOCK_BYTES = 128 << 20            # style codes in memory at once

Align = Callable[[bytes], tuple[np.ndarray, int]]                    # a file -> uint8 (256, 256, 3), faces in the photo


class Backbone(Protocol):
    """What an import asks of one: faces uint8 (n, S, S, 3) -> w float32 (n, 512) or (n, L, 512) -> psi (n, D)."""

    name: str
    key: str                                                         # changes with its weights
    layout: StyleLayout
    stats: ChannelStats

    def invert(self, faces: np.ndarray) -> np.ndarray: ...

    def styles(self, w: np.ndarray) -> np.ndarray: ...


@dataclass(frozen=True, eq=False)
class Source:
    """What to import.

    names: the photos, sorted; load: number of a photo -> (aligned face uint8 (256, 256, 3), faces in the photo), an
    Img2TabError says why it cannot; labels: one row a photo; has_label: bool (n,); split: int8 (n,) or None; unmatched:
    names in the labels that are no photo; no_target: columns that became none; mark: changes with the photos.
    """

    kind: str
    origin: str
    names: tuple[str, ...]
    load: Callable[[int], tuple[np.ndarray, int]]
    labels: pd.DataFrame
    targets: tuple[Target, ...]
    mark: str
    has_label: np.ndarray
    split: np.ndarray | None = None
    unmatched: tuple[str, ...] = ()
    no_target: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Facts:
    """What is known of an import besides its table; kept in the table's file.

    photos: all that were looked at, or rows of a file; skipped: reason by photo; several: photos with more than one
    face, the biggest was taken; unlabelled: codes without a label; unmatched: labels without a photo; no_target: why a
    column or target was left out; note: a sentence on the codes themselves; mark: of source, labels and backbone.
    """

    kind: str
    origin: str
    mark: str
    photos: int
    skipped: dict[str, str]
    no_target: dict[str, str]
    several: int = 0
    unlabelled: int = 0
    unmatched: int = 0
    note: str = ""


@dataclass(frozen=True, eq=False)
class Imported:
    """A finished import. resumed: photos that were done before; was_there: the whole table was, nothing was done."""

    table: StyleTable
    facts: Facts
    resumed: int = 0
    was_there: bool = False


# --- sources ---------------------------------------------------------------------------------------


def folder_source(folder: Path, labels_file: Path, *, align: Align, how: str = "aligned") -> Source:
    """The photos of a folder and the folders in it, with a CSV file of labels. how: names `align`, part of the mark."""
    _check_folder(folder)
    files = sorted(
        file.relative_to(folder).as_posix() for file in folder.rglob("*")
        if file.suffix.lower() in PHOTO_ENDINGS and file.is_file()
    )
    if not files:
        raise Img2TabError(f"There is no photo in {folder}. Name a folder that holds some.")
    return _photos("folder", folder, files, labels_file, align=align, how=how)


def celeba_source(folder: Path, *, align: Align, how: str = "aligned") -> Source:
    """CelebA: img_align_celeba, list_attr_celeba and list_eval_partition (.txt, or .csv) in one folder."""
    _check_folder(folder)
    pictures = next((place for place in (
        folder / "img_align_celeba" / "img_align_celeba", folder / "img_align_celeba", folder,
    ) if place.is_dir() and next(place.glob("*.jpg"), None)), None)
    if pictures is None:
        raise Img2TabError(
            f"There are no photos img_align_celeba/*.jpg in {folder}. Unpack img_align_celeba.zip there.")
    attributes, parts = (_of_celeba(folder, name) for name in ("list_attr_celeba", "list_eval_partition"))
    files = sorted(entry.name for entry in os.scandir(pictures) if entry.name.lower().endswith(".jpg"))
    source = _photos("celeba", pictures, files, attributes, align=align, how=how)
    rows = [line.replace(",", " ").split() for line in parts.read_text(errors="replace").splitlines()]
    part_of = {row[0]: int(row[1]) for row in rows if len(row) == 2 and row[1] in ("0", "1", "2")}
    without = [name for name in files if name not in part_of]
    if without:
        raise Img2TabError(
            f"{parts.name} must name a part (0, 1 or 2) for every photo, got none for {len(without):,}, the first "
            f"{without[0]}. Download it again."
        )
    return replace(source, split=np.array([part_of[name] for name in files], np.int8))


def population_source(folder: Path, draw: Callable[[np.ndarray], np.ndarray]) -> Source:
    """The faces of a population (w.npy, labels.parquet, population.json), drawn anew.

    draw: w float32 (512,) -> uint8 (256, 256, 3).
    """
    try:
        w = np.load(folder / "w.npy", mmap_mode="r")  # (N, 512)
        labels = pd.read_parquet(folder / "labels.parquet")
        about = json.loads((folder / "population.json").read_text())
    except (OSError, ValueError) as error:
        raise Img2TabError(f"The bundled population in {folder} cannot be read ({error}). Clone it again.") from error
    targets = tuple(Target(**{**t, "classes": tuple(t["classes"])}) for t in about["targets"])
    return Source(
        kind="population", origin=str(folder), names=tuple(f"face-{i:06d}" for i in range(len(w))),
        load=lambda i: (draw(w[i].astype(np.float32)), 1), labels=labels[[t.name for t in targets]], targets=targets,
        mark=weights.sha256_of(folder / "w.npy"), has_label=np.ones(len(w), bool),
    )


def limited(source: Source, count: int | None) -> Source:
    """The source with at most so many photos, drawn by lot, the same ones each time, in their order."""
    total = len(source.names)
    if count is None or count >= total:
        return source
    chosen = np.sort(np.random.default_rng(0).choice(total, count, replace=False))
    return replace(
        source, names=tuple(source.names[i] for i in chosen), load=lambda i: source.load(int(chosen[i])),
        labels=source.labels.iloc[chosen].reset_index(drop=True), has_label=source.has_label[chosen],
        split=None if source.split is None else source.split[chosen], mark=f"{source.mark} {count}",
    )


def _photos(kind: str, folder: Path, files: list[str], labels_file: Path, *, align: Align, how: str) -> Source:
    found = label_files.read_labels(labels_file)
    rows = label_files.rows_for(files, found.names)
    if (rows < 0).all():
        raise Img2TabError(
            f"{labels_file.name} must name the photos of {folder} in a column called "
            f"{', '.join(label_files.PHOTO_COLUMNS[:6])}, or in its first column, got {found.names[0]!r} and no name "
            f"that fits ({files[0]!r} is there). Mend that column."
        )
    used = set(rows.tolist())
    sizes = "\n".join(f"{name} {_size(folder / name)}" for name in files)

    def load(i: int) -> tuple[np.ndarray, int]:
        return align((folder / files[i]).read_bytes())

    return Source(
        kind=kind, origin=str(folder), names=tuple(files), load=load, labels=found.at(rows), targets=found.targets,
        mark=digest(how.encode(), sizes.encode("utf-8", "surrogateescape")), has_label=rows >= 0,
        unmatched=tuple(name for i, name in enumerate(found.names) if i not in used), no_target=found.no_target,
    )


def _check_folder(folder: Path) -> None:
    if not folder.is_dir():
        raise Img2TabError(f"There is no folder {folder}. Name the folder that holds the photos.")


def _of_celeba(folder: Path, name: str) -> Path:
    for place in (folder, folder / "Anno", folder / "Eval", folder.parent):
        for ending in (".txt", ".csv"):
            if (place / (name + ending)).is_file():
                return place / (name + ending)
    raise Img2TabError(f"There is no {name}.txt in {folder}. Download it from the CelebA page and put it there.")


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return -1                                                    # why it cannot be read is said when it is its turn


# --- photos -> table -------------------------------------------------------------------------------


def checked_name(name: str) -> str:
    """A name a table may have."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,59}", name) or name == "default":
        raise Img2TabError(
            "A table's name must be one word of at most 60 letters, digits, dots, dashes and underscores, and not "
            f"`default`, got {name!r}. Choose another with --name."
        )
    return name


def import_photos(
    source: Source,
    backbone: Backbone,
    *,
    name: str,
    anew: bool = False,
    progress: Report | None = None,
    stopped: Callable[[], bool] | None = None,
) -> Imported:
    """Encode the photos of a source and write the table `name`.

    stopped ends it after the running group with Cancelled; the same call, without anew, goes on from there. anew:
    begin from the first photo, and replace a table of that name.
    """
    report, stopped = progress or silent, stopped or never
    place = weights.home() / "tables" / checked_name(name)
    mark = digest(
        source.kind.encode(), source.mark.encode(), _generator(backbone), _encoder(backbone),
        _content(source.labels, source.split),
        json.dumps([asdict(target) for target in source.targets]).encode(),
    )
    _check_plan(source)
    try:
        with _only_importer(name):
            if not anew and not _replaces(name, mark) and (found := _there(place, mark)):
                shutil.rmtree(_workshop(name), ignore_errors=True)
                return found
            work = _Work.open(_workshop(name), mark, source.names, anew=anew)
            done = _encode_all(work, source, backbone, report, stopped)
            return _finish(work, done, source, backbone, place=place, mark=mark, report=report, stopped=stopped)
    except OSError as error:
        raise Img2TabError(
            f"The import could not be written in {weights.home()} ({error.strerror or error}). What is done is kept: "
            "free some space and run the same command again."
        ) from error


def _check_plan(source: Source) -> None:
    """Refuse at once what hours of encoding could not make a table of."""
    if len(source.names) < tables.LEAST_FACES:
        raise Img2TabError(
            f"A table must have at least {tables.LEAST_FACES} faces, got {len(source.names)} photos. Add photos.")
    _divided(source.labels, source.targets, source.split)


def _divided(
    labels: pd.DataFrame, targets: Sequence[Target], split: np.ndarray | None
) -> tuple[np.ndarray, tuple[Target, ...], dict[str, str]]:
    """(split int8 (N,), usable targets, why not the others); where there is no split, one that keeps most of them.

    Of few faces a random part may have nobody of a class: of SEEDS seeds the first that keeps most targets is taken.
    """
    best: tuple = (None, (), {})
    for one in (tables.split_of(len(labels), seed=seed) for seed in range(SEEDS)) if split is None else [split]:
        kept, dropped = tables.usable_targets(labels, targets, one)
        if len(kept) > len(best[1]) or best[0] is None:
            best = one, kept, dropped
        if not dropped:
            break
    if not best[1]:
        first = "; ".join(f"{name}: {reason}" for name, reason in list(best[2].items())[:3])
        raise Img2TabError(f"No label has enough faces of both classes to train and test on ({first}). Add photos.")
    return best


def _encode_all(
    work: _Work, source: Source, backbone: Backbone, report: Report, stopped: Callable[[], bool]
) -> list[dict]:
    """Encode what is not done yet, group by group; while one is encoded the next one is read and aligned."""
    total, pace = len(source.names), _Pace(len(source.names), len(work.done))
    groups = [range(start, min(start + GROUP, total)) for start in range(len(work.done), total, GROUP)]
    pool = ThreadPoolExecutor(ALIGNERS, thread_name_prefix="img2tab-align")
    try:
        ahead = [pool.submit(_loaded, source, i) for i in groups[0]] if groups else []
        for number, group in enumerate(groups):
            faces = ahead
            ahead = [pool.submit(_loaded, source, i) for i in groups[number + 1]] if group is not groups[-1] else []
            _encode_group(work, [source.names[i] for i in group], faces, backbone)
            count = len(work.done)
            report(0.95 * count / total, f"{pace.at(count)}, {count - work.rows:,} skipped")
            if stopped() and len(work.done) < total:
                raise Cancelled(
                    f"Stopped: {len(work.done):,} of {total:,} photos are done and kept. {work.how_to_go_on}"
                )
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    return work.done


def _loaded(source: Source, i: int) -> tuple[np.ndarray, int] | str:
    """The face and how many there were, or why there is none."""
    try:
        return source.load(i)
    except Img2TabError as error:
        return str(error)
    except OSError as error:
        return f"The file cannot be read ({error.strerror})."


def _encode_group(work: _Work, names: list[str], loaded: list[Future], backbone: Backbone) -> None:
    found = [one.result() for one in loaded]
    faces = [one[0] for one in found if not isinstance(one, str)]
    w = backbone.invert(np.stack(faces)) if faces else np.empty((0, *(work.shape or ())), np.float32)
    w = np.ascontiguousarray(w, np.float32)  # (n, 512) or (n, L, 512)
    finite = np.isfinite(w).reshape(len(w), -1).all(axis=1) if faces else np.empty(0, bool)
    lines, row, k = [], work.rows, 0
    for name, one in zip(names, found, strict=True):
        if isinstance(one, str):
            lines.append({"photo": name, "reason": one})
            continue
        if finite[k]:
            lines.append({"photo": name, "row": row} | ({"faces": one[1]} if one[1] > 1 else {}))
            row += 1
        else:
            lines.append({"photo": name, "reason": "The encoder's answer to this face is not a number."})
        k += 1
    work.add(w[finite], lines)


def _finish(
    work: _Work, done: list[dict], source: Source, backbone: Backbone, *, place: Path, mark: str, report: Report,
    stopped: Callable[[], bool],
) -> Imported:
    """The table of everything that is encoded; then the work is removed."""
    skipped = {one["photo"]: one["reason"] for one in done if "reason" in one}
    good = np.array([i for i, one in enumerate(done) if "row" in one], int)  # (n,)
    if len(good) < tables.LEAST_FACES:
        work.remove()
        reason = f" The first that was skipped: {next(iter(skipped.items()))}." if skipped else ""
        if not len(good):
            photo, why = next(iter(skipped.items()))
            raise Img2TabError(f"None of {len(done):,} photos could be encoded. The first, {photo}: {why}")
        raise Img2TabError(
            f"A table must have at least {tables.LEAST_FACES} faces, got {len(good)} of {len(done)} photos.{reason}")
    labels = source.labels.iloc[good].reset_index(drop=True)
    labels.insert(0, label_files.PHOTO, [_printable(source.names[i]) for i in good])
    split, targets, dropped = _divided(labels, source.targets, None if source.split is None else source.split[good])
    w = np.memmap(work.codes, np.float32, "r", shape=(len(good), *work.shape))
    facts = Facts(
        kind=source.kind, origin=source.origin, mark=mark, photos=len(done), skipped=skipped,
        several=sum("faces" in one for one in done), unlabelled=int((~source.has_label[good]).sum()),
        unmatched=len(source.unmatched), no_target=source.no_target | dropped,
    )

    def blocks(rows: slice) -> np.ndarray:
        if stopped():
            raise Cancelled(f"Stopped: all photos are done and kept, the table is not written. {work.how_to_go_on}")
        return backbone.styles(w[rows])

    table = tables.write_table(
        place, blocks, labels, targets=targets, layout=backbone.layout, backbone=backbone.name,
        backbone_key=backbone.key,
        key=digest(weights.sha256_of(work.codes).encode(), _content(labels, split), _generator(backbone)),
        split=split, about=asdict(facts), progress=lambda fraction, text: report(0.95 + 0.05 * fraction, text),
    )
    resumed = work.resumed
    work.remove()
    return Imported(table, facts, resumed=resumed)


class _Work:
    """The folder of an unfinished import: what is done, on the disk and in mind."""

    def __init__(self, folder: Path, about: dict, done: list[dict]) -> None:
        self.folder, self._about, self.done = folder, about, done
        self.rows = sum("row" in one for one in done)
        self.resumed = len(done)

    @classmethod
    def open(cls, folder: Path, mark: str, names: Sequence[str], *, anew: bool) -> _Work:
        """Take up the import in this folder, or begin it."""
        if anew:
            shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
        try:
            about = json.loads((folder / "about.json").read_text())
            lines, ends = _whole_lines(folder / "done.jsonl")
        except (FileNotFoundError, ValueError):                      # killed before its first group: nothing to keep
            about, lines, ends = {"mark": mark, "shape": None, "replaces": anew}, [], []
            weights.write_json(folder / "about.json", about)
        if about.get("mark") != mark:
            raise Img2TabError(
                f"An unfinished import {folder.name!r} of other photos, labels or backbone is there ({len(lines):,} "
                "photos done). Give the command it was begun with, choose another --name, or replace it with --anew."
            )
        work = cls(folder, about, [])
        keep = len(lines) if len(lines) == len(names) else len(lines) // GROUP * GROUP
        width = 4 * int(np.prod(work.shape)) if work.shape else 0
        on_disk = work.codes.stat().st_size if work.codes.exists() else 0
        while keep and sum("row" in one for one in lines[:keep]) * width > on_disk:
            keep = (keep - 1) // GROUP * GROUP                       # the disk lost codes whose lines it kept
        work = cls(folder, about, lines[:keep])
        for file, size in ((folder / "done.jsonl", ends[keep - 1] if keep else 0), (work.codes, work.rows * width)):
            file.touch()
            os.truncate(file, size)                                  # what a killed group left half-written
        return work

    @property
    def codes(self) -> Path:
        """float32 rows of w."""
        return self.folder / "w.f32"

    @property
    def how_to_go_on(self) -> str:
        """A sentence for who stopped it."""
        return f"Run the same command {'without --anew' if self._about['replaces'] else 'again'} to go on."

    @property
    def shape(self) -> tuple[int, ...] | None:
        """Of one w; None until the first is known."""
        return tuple(self._about["shape"]) if self._about["shape"] else None

    def add(self, w: np.ndarray, lines: list[dict]) -> None:
        """Put a group on the disk: first its codes, then the lines that vouch for them."""
        if len(w) and self.shape is None:
            self._about["shape"] = list(w.shape[1:])
            weights.write_json(self.folder / "about.json", self._about)
        for file, content in (
            (self.codes, w.tobytes()),
            (self.folder / "done.jsonl", "".join(json.dumps(one) + "\n" for one in lines).encode()),
        ):
            with file.open("ab") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
        self.done.extend(lines)
        self.rows += len(w)

    def remove(self) -> None:
        """Everything it kept."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _whole_lines(file: Path) -> tuple[list[dict], list[int]]:
    """(the lines that were written whole, the byte after each)."""
    lines, ends, end = [], [], 0
    for line in file.read_bytes().splitlines(keepends=True):
        end += len(line)
        try:
            one = json.loads(line)
        except ValueError:
            break
        if not line.endswith(b"\n") or not isinstance(one, dict):
            break
        lines.append(one)
        ends.append(end)
    return lines, ends


@contextmanager
def _only_importer(name: str) -> Iterator[None]:
    """Nobody else imports under this name."""
    def refuse() -> None:
        raise Img2TabError(f"Another process is importing {name!r}. Wait for it, or choose another --name.")

    folder = weights.home() / "imports"
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / f".{name}.lock", "w") as lock:
        hold(lock, busy=refuse)
        yield


def _there(place: Path, mark: str) -> Imported | None:
    """The table, if it was made of the very same; a sentence if it was made of something else."""
    if not place.exists():
        return None
    about = tables.about_of(place)
    if about.get("mark") != mark:
        raise Img2TabError(
            f"There is a table {place.name!r} of other photos, labels or backbone. Choose another --name, or replace "
            "it with --anew."
        )
    return Imported(tables.open_table(place), Facts(**about), was_there=True)


def _replaces(name: str, mark: str) -> bool:
    """Whether this very import is unfinished and was begun with `anew`, so that it may replace what is there."""
    about = weights.read_json(_workshop(name) / "about.json")
    return about.get("mark") == mark and about.get("replaces") is True


def _workshop(name: str) -> Path:
    return weights.home() / "imports" / name


# --- style codes -> table --------------------------------------------------------------------------


def import_codes(
    file: Path,
    labels: Path,
    backbone: Backbone,
    *,
    name: str,
    scaler: Path | None = None,
    label_names: Sequence[str] = (),
    anew: bool = False,
    progress: Report | None = None,
    stopped: Callable[[], bool] | None = None,
) -> Imported:
    """Style codes that exist already, .npy or .pt of shape (N, D), and their labels row by row -> the table `name`.

    labels: CSV, CelebA's text file, or .npy / .pt of shape (N,) or (N, K) with label_names. Standardised codes are
    recognised and undone, with the mean and std of the file `scaler`, or with the backbone's as an approximation.
    """
    report, stopped = progress or silent, stopped or never
    place = weights.home() / "tables" / checked_name(name)
    codes = code_files.open_codes(file, total=backbone.layout.total, backbone=backbone.name)
    found = _labels_by_row(labels, label_names, count=codes.count, codes=file)
    scale = None if scaler is None else code_files.read_scaler(scaler, backbone.layout.total)
    stat = file.stat()
    mark = digest(
        f"psi {file.name} {stat.st_size} {stat.st_mtime_ns}".encode(), _generator(backbone),
        _content(found.columns, None), b"" if scale is None else scale.mean.tobytes() + scale.std.tobytes(),
    )
    try:
        with _only_importer(name):
            if not anew and (there := _there(place, mark)):
                return there
            return _write_codes(
                codes, found, backbone, scale, file=file, place=place, mark=mark, report=report, stopped=stopped)
    except OSError as error:
        raise Img2TabError(
            f"The import could not be written in {weights.home()} ({error.strerror or error}). Free some space and "
            "run the same command again."
        ) from error


def _write_codes(
    codes: code_files.Codes, found: label_files.Labels, backbone: Backbone, scale: ChannelStats | None, *, file: Path,
    place: Path, mark: str, report: Report, stopped: Callable[[], bool],
) -> Imported:
    standardised, note = code_files.is_standardised(codes.sample()), ""
    if scale is not None:
        note = "standardised: undone with the given mean and deviation"
        note += "" if standardised else ", though it was not recognised as such"
    elif standardised:
        scale, note = backbone.stats, "standardised: undone with the backbone's channel statistics: approximate"
    at_once = max(1, BLOCK_BYTES // (4 * backbone.layout.total))
    finite, hashed, pace = np.empty(codes.count, bool), hashlib.sha256(), _Pace(codes.count, 0, "style codes")
    for start in range(0, codes.count, at_once):
        rows = slice(start, min(start + at_once, codes.count))
        psi = code_files.undone(codes.rows(rows), scale)
        finite[rows] = np.isfinite(psi).all(axis=1)
        hashed.update(np.ascontiguousarray(psi))
        report(0.3 * rows.stop / codes.count, f"Reading {pace.at(rows.stop)}")
        _go_on(stopped)
    good = np.flatnonzero(finite)
    reason = "A value of its style code is not a finite number."
    skipped = {f"row {i}": reason for i in np.flatnonzero(~finite)}
    if len(good) < tables.LEAST_FACES:
        raise Img2TabError(
            f"A table must have at least {tables.LEAST_FACES} faces, got {len(good)} whole style codes in {file.name} "
            f"({len(skipped)} with values that are not finite numbers). Export more."
        )
    columns = found.at(good)
    columns.insert(0, label_files.PHOTO, [_row_name(found, i) for i in good])
    split, targets, dropped = _divided(columns, found.targets, None)

    def blocks(rows: slice) -> np.ndarray:
        _go_on(stopped)
        chosen = good[rows]
        stretch = code_files.undone(codes.rows(slice(int(chosen[0]), int(chosen[-1]) + 1)), scale)
        return stretch if len(stretch) == len(chosen) else stretch[chosen - chosen[0]]

    facts = Facts(kind="psi", origin=str(file), mark=mark, photos=codes.count, skipped=skipped,
                  no_target=found.no_target | dropped, note=note)
    table = tables.write_table(
        place, blocks, columns, targets=targets, layout=backbone.layout, backbone=backbone.name,
        backbone_key=backbone.key,
        key=digest(hashed.digest(), _content(columns, split), _generator(backbone)), split=split, about=asdict(facts),
        rows_at_once=at_once, progress=lambda fraction, text: report(0.3 + 0.7 * fraction, text),
    )
    return Imported(table, facts)


def _labels_by_row(file: Path, names: Sequence[str], *, count: int, codes: Path) -> label_files.Labels:
    """Labels whose rows are those of the codes."""
    if file.suffix in (".npy", ".pt", ".pth"):
        content = code_files.opened(file)
        columns = [
            one if isinstance(one, np.ndarray) or not hasattr(one, "detach") else code_files.plain(one, file)
            for one in (content.values() if isinstance(content, dict) else [content])
        ]
        if not columns or len({tuple(getattr(one, "shape", "?")) for one in columns}) > 1 or not all(
            hasattr(one, "shape") and (len(one.shape) == 1 or len(columns) == 1) for one in columns
        ):
            raise Img2TabError(
                f"{file.name} must hold one array of labels (N,) or (N, K), got something else. Save it so.")
        names = names or ([str(key) for key in content] if isinstance(content, dict) and len(columns) > 1 else ())
        arrays = [one if isinstance(one, np.ndarray) else one.numpy() for one in columns]
        array = np.asarray(arrays[0]) if len(arrays) == 1 else np.stack(arrays, axis=1)
        array = array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array
        found = label_files.labels_of(array, names, file=file.name)
    else:
        found = label_files.read_labels(file, names_photos=False)
    if len(found.columns) != count:
        raise Img2TabError(
            f"{file.name} must have one row per style code, {count:,} as in {codes.name}, got {len(found.columns):,}.")
    return found


def _row_name(found: label_files.Labels, row: int) -> str:
    return found.names[row] if found.names else f"row {row}"


def _go_on(stopped: Callable[[], bool]) -> None:
    if stopped():
        raise Cancelled("Stopped: no table was written. Run the same command again; reading a file takes minutes.")


# --- marks and words -------------------------------------------------------------------------------


def _generator(backbone: Backbone) -> bytes:
    """Changes with the backbone's weights and its name."""
    return f"{backbone.name} {backbone.layout.sizes} {backbone.key}".encode()


def _encoder(backbone: Backbone) -> bytes:
    """The shape of its w; a backbone without an encoder says so here, before the work."""
    return f"{backbone.invert(np.full((1, 256, 256, 3), 128, np.uint8)).shape[1:]}".encode()


def _content(labels: pd.DataFrame, split: np.ndarray | None) -> bytes:
    return digest(labels.to_csv(index=False).encode(), b"" if split is None else split.tobytes()).encode()


def _printable(name: str) -> str:
    """A file name as text that can be stored: bytes that are none become a mark."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


class _Pace:
    """How fast it goes and how long it will take, in words; what was done before does not count."""

    def __init__(self, total: int, before: int, things: str = "photos") -> None:
        self._total, self._before, self._things, self._start = total, before, things, time.monotonic()

    def at(self, done: int) -> str:
        """ "120 of 300 photos, 12.1 a second, 0:15 left"."""
        rate = (done - self._before) / max(time.monotonic() - self._start, 1e-3)
        left = round((self._total - done) / max(rate, 1e-9))
        hours, minutes = divmod(left // 60, 60)
        clock = f"{hours}:{minutes:02d}:{left % 60:02d}" if hours else f"{minutes}:{left % 60:02d}"
        return f"{done:,} of {self._total:,} {self._things}, {rate:.1f} a second, {clock} left"

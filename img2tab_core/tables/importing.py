"""Photos or style codes of one's own become a table; an import that was stopped goes on where it was.

Photos are encoded in groups by their fixed place in the sorted list, so a resumed import computes the very same
codes. Until it is whole an import lives in `imports/NAME`: w.f32 (float32 rows of w, one after the other), done.jsonl
(a line per photo: its row, or why it was skipped) and about.json. A group is on the disk before the next one starts.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from img2tab_core.base.errors import Cancelled, Img2TabError, Unreachable
from img2tab_core.base.files import home, make_folder, read_json, sha256_of, to_disk, write_json
from img2tab_core.base.foreign import parsed_json
from img2tab_core.base.jobs import Report, never, silent
from img2tab_core.base.records import digest
from img2tab_core.tables import label_files, store
from img2tab_core.tables.imports import (
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
from img2tab_core.tables.sources import Source

GROUP = 32  # photos that are encoded and written together: what a kill costs at most
ALIGNERS = 2  # threads that read and align; dlib itself works in one at a time

Line = dict[str, Any]  # of done.jsonl: photo, and row (and faces, where there are several) or reason
Loaded = tuple[np.ndarray, int] | str  # an aligned face and how many the photo has, or why there is none


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
    begin from the first photo, and replace a table of that name. Raises Img2TabError where the name or the source will
    not do, a table or an unfinished import of something else has the name, or nothing can be written; Unreachable where
    an object store stops to answer, and the same call goes on from there too.
    """
    report, stopped = progress or silent, stopped or never
    place = home() / "tables" / checked_name(name)
    mark = digest(
        source.kind.encode(),
        source.mark.encode(),
        generator_mark(backbone),
        _encoder(backbone),
        content_mark(source.labels, source.split),
        json.dumps([target.to_json() for target in source.targets]).encode(),
    )
    _check_plan(source)
    try:
        with only_importer(name):
            if not anew and not _replaces(name, mark) and (there := already_there(place, mark)):
                shutil.rmtree(_workshop(name), ignore_errors=True)
                return there
            work = _Work.open(_workshop(name), mark, source.names, anew=anew)
            done = _encode_all(work, source, backbone, report, stopped)
            return _finish(work, done, source, backbone, place=place, mark=mark, report=report, stopped=stopped)
    except Unreachable as error:
        raise Unreachable(f"{error} What is done is kept.") from error
    except OSError as error:
        raise Img2TabError(
            f"The import could not be written in {home()} ({error.strerror or error}). What is done is kept: "
            "free some space and run the same command again."
        ) from error


def _check_plan(source: Source) -> None:
    """Refuse at once what hours of encoding could not make a table of."""
    if len(source.names) < store.LEAST_FACES:
        raise Img2TabError(
            f"A table must have at least {store.LEAST_FACES} faces, got {len(source.names)} photos. Add photos."
        )
    divided(source.labels, source.targets, source.split)


def _encode_all(
    work: _Work, source: Source, backbone: Backbone, report: Report, stopped: Callable[[], bool]
) -> list[Line]:
    """Encode what is not done yet, group by group; while one is encoded the next one is read and aligned."""
    total, pace = len(source.names), Pace(len(source.names), len(work.done))
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


def _loaded(source: Source, i: int) -> Loaded:
    """The face of photo number i and how many there were, or why there is none."""
    try:
        return source.load(i)
    except Unreachable:
        raise  # no other photo can be read either: not a table without them, but an end that can be taken up
    except Img2TabError as error:
        return str(error)
    except OSError as error:
        return f"The file cannot be read ({error.strerror})."


def _encode_group(work: _Work, names: list[str], loading: list[Future[Loaded]], backbone: Backbone) -> None:
    loaded = [future.result() for future in loading]
    faces = [photo[0] for photo in loaded if not isinstance(photo, str)]
    w = backbone.invert(np.stack(faces)) if faces else np.empty((0, *(work.shape or ())), np.float32)
    w = np.ascontiguousarray(w, np.float32)  # (n, 512) or (n, L, 512)
    finite = np.array([np.isfinite(code).all() for code in w], bool)  # (n,)
    lines: list[Line] = []
    row, k = work.rows, 0
    for name, photo in zip(names, loaded, strict=True):
        if isinstance(photo, str):
            lines.append({"photo": name, "reason": photo})
            continue
        if finite[k]:
            _, count = photo
            lines.append({"photo": name, "row": row} | ({"faces": count} if count > 1 else {}))
            row += 1
        else:
            lines.append({"photo": name, "reason": "The encoder's answer to this face is not a number."})
        k += 1
    work.add(w[finite], lines)


def _finish(
    work: _Work,
    done: list[Line],
    source: Source,
    backbone: Backbone,
    *,
    place: Path,
    mark: str,
    report: Report,
    stopped: Callable[[], bool],
) -> Imported:
    """The table of everything that is encoded; then the work is removed."""
    skipped = {line["photo"]: line["reason"] for line in done if "reason" in line}
    good = np.array([i for i, line in enumerate(done) if "row" in line], int)  # (n,)
    if len(good) < store.LEAST_FACES:
        work.remove()
        reason = f" The first that was skipped: {next(iter(skipped.items()))}." if skipped else ""
        if not len(good):
            photo, why = next(iter(skipped.items()))
            raise Img2TabError(f"None of {len(done):,} photos could be encoded. The first, {photo}: {why}")
        raise Img2TabError(
            f"A table must have at least {store.LEAST_FACES} faces, got {len(good)} of {len(done)} photos.{reason}"
        )
    labels = source.labels.iloc[good].reset_index(drop=True)
    labels.insert(0, label_files.PHOTO, [_printable(source.names[i]) for i in good])
    split, targets, dropped = divided(labels, source.targets, None if source.split is None else source.split[good])
    w: np.ndarray = np.memmap(work.codes, np.float32, "r", shape=(len(good), *(work.shape or ())))
    facts = Facts(
        kind=source.kind,
        origin=source.origin,
        mark=mark,
        photos=len(done),
        skipped=skipped,
        several=sum("faces" in line for line in done),
        unlabelled=int((~source.has_label[good]).sum()),
        unmatched=len(source.unmatched),
        no_target=source.no_target | dropped,
    )

    def blocks(rows: slice) -> np.ndarray:
        if stopped():
            raise Cancelled(f"Stopped: all photos are done and kept, the table is not written. {work.how_to_go_on}")
        return backbone.styles(w[rows])

    table = store.write_table(
        place,
        blocks,
        labels,
        targets=targets,
        layout=backbone.layout,
        backbone=backbone.name,
        backbone_key=backbone.key,
        key=digest(sha256_of(work.codes).encode(), content_mark(labels, split), generator_mark(backbone)),
        split=split,
        about=asdict(facts),
        progress=lambda fraction, text: report(0.95 + 0.05 * fraction, text),
    )
    resumed = work.resumed
    work.remove()
    return Imported(table, facts, resumed=resumed)


class _Work:
    """The folder of an unfinished import: what is done, on the disk and in mind."""

    def __init__(self, folder: Path, about: dict, done: list[Line]) -> None:
        self.folder, self._about, self.done = folder, about, done
        self.rows = sum("row" in line for line in done)
        self.resumed = len(done)

    @classmethod
    def open(cls, folder: Path, mark: str, names: Sequence[str], *, anew: bool) -> _Work:
        """Take up the import in this folder, or begin it."""
        if anew:
            shutil.rmtree(folder, ignore_errors=True)
        make_folder(folder)
        try:
            about = parsed_json((folder / "about.json").read_bytes())
            lines, ends = _whole_lines(folder / "done.jsonl")
        except (FileNotFoundError, ValueError):  # killed before its first group: nothing to keep
            about, lines, ends = {"mark": mark, "shape": None, "replaces": anew}, [], []
            write_json(folder / "about.json", about)
        if about.get("mark") != mark:
            raise Img2TabError(
                f"An unfinished import {folder.name!r} of other photos, labels or backbone is there ({len(lines):,} "
                "photos done). Give the command it was begun with, choose another --name, or replace it with --anew."
            )
        work = cls(folder, about, [])
        keep = len(lines) if len(lines) == len(names) else len(lines) // GROUP * GROUP
        width = 4 * int(np.prod(work.shape)) if work.shape else 0
        on_disk = work.codes.stat().st_size if work.codes.exists() else 0
        while keep and sum("row" in line for line in lines[:keep]) * width > on_disk:
            keep = (keep - 1) // GROUP * GROUP  # the disk lost codes whose lines it kept
        work = cls(folder, about, lines[:keep])
        for file, size in ((folder / "done.jsonl", ends[keep - 1] if keep else 0), (work.codes, work.rows * width)):
            file.touch()
            os.truncate(file, size)  # what a killed group left half-written
        to_disk(folder)
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
        """Of a single w; None until the first is known."""
        return tuple(self._about["shape"]) if self._about["shape"] else None

    def add(self, w: np.ndarray, lines: list[Line]) -> None:
        """Put a group on the disk: first its codes, then the lines that vouch for them."""
        if len(w) and self.shape is None:
            self._about["shape"] = list(w.shape[1:])
            write_json(self.folder / "about.json", self._about)
        for file, content in (
            (self.codes, w.tobytes()),
            (self.folder / "done.jsonl", "".join(json.dumps(line) + "\n" for line in lines).encode()),
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


def _whole_lines(file: Path) -> tuple[list[Line], list[int]]:
    """(the lines that were written whole, the byte after each)."""
    lines, ends, end = [], [], 0
    for line in file.read_bytes().splitlines(keepends=True):
        end += len(line)
        try:
            content = parsed_json(line)
        except ValueError:
            break
        if not line.endswith(b"\n") or not isinstance(content, dict):
            break
        lines.append(content)
        ends.append(end)
    return lines, ends


def _replaces(name: str, mark: str) -> bool:
    """Whether this very import is unfinished and was begun with `anew`, so that it may replace what is there."""
    about = read_json(_workshop(name) / "about.json")
    return about.get("mark") == mark and about.get("replaces") is True


def _workshop(name: str) -> Path:
    return home() / "imports" / name


def _encoder(backbone: Backbone) -> bytes:
    """The shape of its w; a backbone without an encoder says so here, before the work."""
    return f"{backbone.invert(np.full((1, 256, 256, 3), 128, np.uint8)).shape[1:]}".encode()


def _printable(name: str) -> str:
    """A file name as text that can be stored: bytes that are none become a mark."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")

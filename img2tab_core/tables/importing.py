"""Photos of one's own become a table; an import that was stopped goes on where it was, on whatever engine.

Until it is whole an import lives in `imports/NAME`: about.json, and the shards (`base.shards`) of the photos that are
done. They are put together in row order, so the table is the same bytes whoever encoded, and whatever was killed.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np

from img2tab_core.base.engines import HERE, Engine, each
from img2tab_core.base.errors import Cancelled, Img2TabError, Unreachable, enough_memory
from img2tab_core.base.files import home, make_folder, read_json, write_json
from img2tab_core.base.jobs import Report, never, silent
from img2tab_core.base.records import digest
from img2tab_core.base.shards import Shards
from img2tab_core.tables import label_files, store
from img2tab_core.tables.encoding import Encoding, here, parts_of, shape_of
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


def import_photos(
    source: Source,
    backbone: Backbone,
    *,
    name: str,
    anew: bool = False,
    engine: Engine = HERE,
    progress: Report | None = None,
    stopped: Callable[[], bool] | None = None,
) -> Imported:
    """Encode the photos of a source and write the table `name`.

    engine: who encodes; few photos are encoded in this process where it does not say how many workers. The table is the
    same bytes with every engine, but for `gpus`: codes of a card are others in their last bits, and are another import.
    stopped ends it with Cancelled; the same call, without anew, goes on from there. anew: begin from the first photo,
    and replace a table of that name. Raises Img2TabError where the name, the source or the engine will not do, a table
    or an unfinished import of something else has the name, or nothing can be written; Unreachable where an object store
    stops to answer, and the same call goes on from there too.
    """
    report, stopped = progress or silent, stopped or never
    place = home() / "tables" / checked_name(name)
    shape = shape_of(backbone)
    mark = digest(
        source.kind.encode(),
        source.mark.encode(),
        generator_mark(backbone),
        f"{shape}".encode(),
        content_mark(source.labels, source.split),
        json.dumps([target.to_json() for target in source.targets]).encode(),
        *([b"on graphics cards"] if engine.gpus else []),
    )
    _check_plan(source)
    try:
        with only_importer(name), enough_memory("to import these photos"):
            if not anew and not _replaces(name, mark) and (there := already_there(place, mark)):
                shutil.rmtree(_workshop(name), ignore_errors=True)
                return there
            work = _Work.open(_workshop(name), mark, len(source.names), anew=anew)
            _encode_all(work, source, Encoding(source.load, backbone, shape, engine.gpus), engine, report, stopped)
            return _finish(work, source, backbone, shape, place=place, mark=mark, report=report, stopped=stopped)
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
    work: _Work, source: Source, encoding: Encoding, engine: Engine, report: Report, stopped: Callable[[], bool]
) -> None:
    """Encode what is not done yet."""
    total, done = len(source.names), work.resumed
    pace, skipped = Pace(total, done), sum(work.skipped(part) for part in work.done())

    def came(part: range) -> None:
        nonlocal done, skipped
        done, skipped = done + len(part), skipped + work.skipped(part)
        report(0.95 * done / total, f"{pace.at(done)}, {skipped:,} skipped")

    if not each(encoding, work.parts, work.shards, engine=here(engine, total - done), progress=came, stopped=stopped):
        raise Cancelled(f"Stopped: {done:,} of {total:,} photos are done and kept. {work.how_to_go_on}")


def _finish(
    work: _Work,
    source: Source,
    backbone: Backbone,
    shape: tuple[int, ...],
    *,
    place: Path,
    mark: str,
    report: Report,
    stopped: Callable[[], bool],
) -> Imported:
    """The table of everything that is encoded; then the work is removed."""
    encoded = _Encoded(work, shape)
    skipped = {source.names[i]: reason for i, reason in encoded.reasons.items()}
    good, photos = np.flatnonzero(encoded.faces), len(source.names)
    if len(good) < store.LEAST_FACES:
        work.remove()
        reason = f" The first that was skipped: {next(iter(skipped.items()))}." if skipped else ""
        if not len(good):
            photo, why = next(iter(skipped.items()))
            raise Img2TabError(f"None of {photos:,} photos could be encoded. The first, {photo}: {why}")
        raise Img2TabError(
            f"A table must have at least {store.LEAST_FACES} faces, got {len(good)} of {photos} photos.{reason}"
        )
    labels = source.labels.iloc[good].reset_index(drop=True)
    labels.insert(0, label_files.PHOTO, [_printable(source.names[i]) for i in good])
    split, targets, dropped = divided(labels, source.targets, None if source.split is None else source.split[good])
    facts = Facts(
        kind=source.kind,
        origin=source.origin,
        mark=mark,
        photos=photos,
        skipped=skipped,
        several=int((encoded.faces > 1).sum()),
        unlabelled=int((~source.has_label[good]).sum()),
        unmatched=len(source.unmatched),
        no_target=source.no_target | dropped,
    )

    def blocks(rows: slice) -> np.ndarray:
        if stopped():
            raise Cancelled(f"Stopped: all photos are done and kept, the table is not written. {work.how_to_go_on}")
        return backbone.styles(encoded.w(rows))

    table = store.write_table(
        place,
        blocks,
        labels,
        targets=targets,
        layout=backbone.layout,
        backbone=backbone.name,
        backbone_key=backbone.key,
        key=digest(encoded.sha256.encode(), content_mark(labels, split), generator_mark(backbone)),
        split=split,
        about=asdict(facts),
        progress=lambda fraction, text: report(0.95 + 0.05 * fraction, text),
    )
    work.remove()
    return Imported(table, facts, resumed=work.resumed)


class _Work:
    """The folder of an unfinished import. resumed: photos that were done when it was taken up."""

    def __init__(self, folder: Path, about: dict, mark: str, photos: int) -> None:
        self._folder, self._about = folder, about
        self.parts, self.shards = parts_of(photos), Shards(folder, mark)
        self.resumed = sum(map(len, self.done()))

    @classmethod
    def open(cls, folder: Path, mark: str, photos: int, *, anew: bool) -> _Work:
        """Take up the import in this folder, or begin it."""
        if anew:
            shutil.rmtree(folder, ignore_errors=True)
        make_folder(folder)
        about = read_json(folder / "about.json")
        if not about:  # killed before it was written: shards tell by their names whether they are of this import
            about = {"mark": mark, "photos": photos, "replaces": anew}
            write_json(folder / "about.json", about)
        if "photos" not in about:
            raise Img2TabError(
                f"An unfinished import {folder.name!r} of an earlier version is there, which kept what is done in "
                "another way. Finish it with that version, choose another --name, or replace it with --anew."
            )
        if about.get("mark") != mark:
            before = cls(folder, about, str(about.get("mark")), int(about["photos"]))
            raise Img2TabError(
                f"An unfinished import {folder.name!r} of other photos, labels or backbone is there "
                f"({before.resumed:,} photos done). Give the command it was begun with, choose another --name, or "
                "replace it with --anew."
            )
        return cls(folder, about, mark, photos)

    @property
    def how_to_go_on(self) -> str:
        """A sentence for who stopped it."""
        return f"Run the same command {'without --anew' if self._about['replaces'] else 'again'} to go on."

    def done(self) -> list[range]:
        """The parts whose shard is there."""
        missing = set(self.shards.missing(self.parts))
        return [part for part in self.parts if part not in missing]

    def skipped(self, part: range) -> int:
        """How many photos of a part that is done have no code."""
        return int((self.shards.read(part)["faces"] == 0).sum())

    def remove(self) -> None:
        """Everything it kept."""
        shutil.rmtree(self._folder, ignore_errors=True)


class _Encoded:
    """What the shards of an import hold, in row order; of the codes only some are in memory at a time.

    faces: int32 (photos,), how many faces a photo has, 0 where it has no code; reasons: why not, by the photo's number;
    sha256: of the bytes of all w, one after the other.
    """

    def __init__(self, work: _Work, shape: tuple[int, ...]) -> None:
        self._work, self._shape = work, shape
        self._latest: tuple[range, np.ndarray] | None = None
        self.faces = np.zeros(work.parts[-1].stop, np.int32)
        self.reasons: dict[int, str] = {}
        content, counts = hashlib.sha256(), [0]
        for part in work.parts:
            answer = work.shards.read(part)
            self.faces[part.start : part.stop] = answer["faces"]
            without = part.start + np.flatnonzero(answer["faces"] == 0)
            self.reasons |= dict(zip(without.tolist(), answer["reasons"].tolist(), strict=True))
            content.update(answer["w"].tobytes())
            counts.append(len(answer["w"]))
        self.sha256 = content.hexdigest()
        self._ends = np.cumsum(counts)  # (parts + 1,): row of the table at which a part begins, and the last one ends

    def w(self, rows: slice) -> np.ndarray:
        """float32 (n, 512) or (n, L, 512) of these rows of the table."""
        first, last = np.searchsorted(self._ends, (rows.start, rows.stop - 1), side="right") - 1
        parts = []
        for number in range(first, last + 1):
            begin, end = self._ends[number], self._ends[number + 1]
            if begin < end:
                codes = self._codes(self._work.parts[number])
                parts.append(codes[max(rows.start - begin, 0) : min(rows.stop, end) - begin])
        return np.concatenate([np.empty((0, *self._shape), np.float32), *parts])

    def _codes(self, part: range) -> np.ndarray:
        """Of a part; blocks of rows end within one, so the latest is kept."""
        if self._latest is None or self._latest[0] != part:
            self._latest = part, self._work.shards.read(part)["w"]
        return self._latest[1]


def _replaces(name: str, mark: str) -> bool:
    """Whether this very import is unfinished and was begun with `anew`, so that it may replace what is there."""
    about = read_json(_workshop(name) / "about.json")
    return about.get("mark") == mark and about.get("replaces") is True


def _workshop(name: str) -> Path:
    return home() / "imports" / name


def _printable(name: str) -> str:
    """A file name as text that can be stored: bytes that are none become a mark."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")

"""The faces of a table as pictures: drawn once for every size, kept as WebP under the visitor's folder, resumable."""

from __future__ import annotations

import shutil
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from img2tab_core import tables
from img2tab_core.backbones import rendering
from img2tab_core.backbones.backbone import Backbone, open_backbone
from img2tab_core.backbones.rendering import placed
from img2tab_core.base.cores import on_single_cores
from img2tab_core.base.engines import HERE, Engine, each
from img2tab_core.base.errors import Cancelled, Img2TabError
from img2tab_core.base.files import home, keeping
from img2tab_core.base.jobs import Cancel, Report
from img2tab_core.base.records import StyleCode, StyleTable, digest
from img2tab_core.base.shards import Answer, Answers, Shards, Work

AT_ONCE = 16  # faces between two looks at whether to stop


@dataclass(frozen=True)
class PictureOf:
    """What draws a w: float32 (512,) -> uint8 (256, 256, 3), exact. It may be sent to another process.

    backbone: the name of the one that draws, which every process opens for itself.
    """

    backbone: str

    def __call__(self, w: np.ndarray) -> np.ndarray:
        model = open_backbone(self.backbone)
        return rendering.draw(model.generator, [StyleCode.of(model.styles(w[None])[0])], size=256)[0]


def folder_of(table: StyleTable, backbone: Backbone, size: int) -> Path:
    """Where the pictures of a table lie, whether or not they are there."""
    return home() / "drawn" / f"{table.name}-{table.key[:12]}-{backbone.key[:12]}" / str(size)


def drawn(
    table: StyleTable, backbone: Backbone, rows: Sequence[int] | np.ndarray, *, size: int, cancelled: Cancel = None
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Row numbers int64 (n,) and pictures uint8 (n, size, size, 3), a few at a time, in the order asked for.

    What is not there yet is drawn, from the style codes of the table, and kept. Raises Cancelled once `cancelled` says
    so, and Img2TabError where a picture cannot be kept.
    """
    folder, rows = folder_of(table, backbone, size), np.asarray(rows, np.int64)
    for start in range(0, len(rows), AT_ONCE):
        if cancelled is not None and cancelled():
            raise Cancelled("Stopped; the faces that are drawn are kept.")
        part = rows[start : start + AT_ONCE]
        pictures = [_read(folder, row, size) for row in part]
        missing = [number for number, picture in enumerate(pictures) if picture is None]
        if missing:
            codes = np.ascontiguousarray(table.psi[part[missing]])
            tables.let_go(table.psi)
            files = [_file(folder, row) for row in part[missing]]
            for number, picture in zip(missing, pictures_of(backbone, codes, size=size, files=files), strict=True):
                pictures[number] = picture
        yield part, np.stack([picture for picture in pictures if picture is not None])


@dataclass(frozen=True, eq=False)
class Drawing:
    """Work (`shards.Work`) whose parts are places in `rows`: faces of a table drawn and kept, as `drawn` does.

    table: its name, by which every process opens it for itself.
    """

    table: str
    backbone: Backbone
    rows: np.ndarray
    size: int

    def __call__(self) -> Answers:
        return self._answers

    def _answers(self, parts: Sequence[range]) -> Generator[Answer, None, None]:
        table = tables.open_table(home() / "tables" / self.table)
        for part in parts:
            rows = self.rows[part.start : part.stop]
            for _ in drawn(table, self.backbone, rows, size=self.size):
                pass
            yield {"rows": rows}


def draw_ahead(
    table: StyleTable,
    backbone: Backbone,
    rows: np.ndarray,
    *,
    size: int,
    engine: Engine,
    progress: Report,
    cancelled: Cancel = None,
) -> None:
    """Have other processes draw what `drawn` would; nothing where the engine is this process.

    Raises Cancelled once `cancelled` says so, and Img2TabError where nothing can be kept.
    """
    folder = folder_of(table, backbone, size)
    missing = np.array([row for row in rows if not _file(folder, row).is_file()], np.int64)
    work = Drawing(table.name, backbone, missing, size)
    draw_by(engine, work, len(missing), AT_ONCE, folder, key=digest(missing.tobytes()), report=progress, stop=cancelled)


def draw_by(
    engine: Engine, work: Work, count: int, at_once: int, folder: Path, *, key: str, report: Report, stop: Cancel
) -> None:
    """Have an engine do work whose parts keep pictures in a folder; the pictures themselves say what is done."""
    if engine == HERE or not count:
        return
    parts, done = [range(start, min(start + at_once, count)) for start in range(0, count, at_once)], 0

    def came(part: range) -> None:
        nonlocal done
        done += len(part)
        report(done / count, f"{done:,} of {count:,} faces drawn")

    notes = Shards.passing(folder, key)
    try:
        whole = each(work, parts, notes, engine=engine, progress=came, stopped=stop)
    except OSError as error:
        raise Img2TabError(
            f"{folder} could not be written to ({error.strerror}). Free some space and try again."
        ) from error
    finally:
        shutil.rmtree(notes.folder, ignore_errors=True)
    if not whole:
        raise Cancelled("Stopped; the pictures that are drawn are kept.")


def pictures_of(backbone: Backbone, codes: np.ndarray, *, size: int, files: Sequence[Path] | None = None) -> np.ndarray:
    """Style codes float32 (n, D) -> pictures uint8 (n, size, size, 3), within 8 levels of exact ones (see `Precision`).

    size: one that the backbone draws, or another: drawn at the next larger one and reduced. files: where each is kept,
    None to keep none.
    """
    sized = min((side for side in backbone.sizes if side >= size), default=backbone.sizes[0])
    faces = [StyleCode.of(values, backbone.name) for values in codes]

    def draw(which: Sequence[int]) -> np.ndarray:
        drawn = rendering.draw(backbone.generator, [faces[n] for n in which], size=sized, precision="draft")
        if sized != size:
            box = Image.Resampling.BOX
            drawn = np.stack([np.asarray(Image.fromarray(each).resize((size, size), box)) for each in drawn])
        for number, picture in zip(which, drawn, strict=True):
            if files is not None:
                keep(files[number], picture)
        return drawn

    if placed(backbone.generator)[1].type == "cpu" and faces:  # alone and on one core: the same bits whoever draws
        return np.concatenate(on_single_cores(draw, [[number] for number in range(len(faces))]))
    return draw(range(len(faces)))


def keep(file: Path, picture: np.ndarray) -> None:
    """Write a picture uint8 (S, S, 3) as WebP without loss, whole or not at all: some 24 kB at 128 px, 90 kB at 256.

    Lossy files are a fifth of that, and a network that sees 32 px answered 0.3 log-odds otherwise about them: they keep
    colour at half the size. Raises Img2TabError where it cannot be written.
    """
    with keeping(file, lasting=False) as part:  # drawn again where a power cut damaged it
        Image.fromarray(picture).save(part, "WEBP", lossless=True, quality=20, method=1)


def read_all(files: Sequence[Path]) -> list[np.ndarray | None]:
    """Kept pictures, uint8 (S, S, 3); None for one that is not there or damaged."""
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(_picture, files))


def _picture(file: Path) -> np.ndarray | None:
    try:
        with Image.open(file) as picture:
            return np.asarray(picture.convert("RGB"))
    except (OSError, ValueError, SyntaxError):
        return None


def _read(folder: Path, row: int, size: int) -> np.ndarray | None:
    picture = _picture(_file(folder, row))
    return picture if picture is not None and picture.shape == (size, size, 3) else None


def _file(folder: Path, row: int) -> Path:
    return folder / f"{row // 1000:03d}" / f"{row:06d}.webp"

"""Folders of aligned pictures for training: read once, kept as one array, a third of them never trained on."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from img2tab_core.base.errors import Img2TabError
from img2tab_core.faces.photos import read_photo
from img2tab_core.training.real_photos import is_held_out

ARRAY, RECORD = "pictures.npy", "pictures.json"


@dataclass(frozen=True)
class AlignedPictures:
    """pixels: uint8 (n, side, side, 3) RGB, a memory map; held_out: bool (n,); skipped: (file, reason)."""

    pixels: np.ndarray
    held_out: np.ndarray
    skipped: tuple[tuple[str, str], ...]


def no_pictures(side: int) -> AlignedPictures:
    """For a training on generated pictures alone."""
    return AlignedPictures(np.empty((0, side, side, 3), np.uint8), np.empty(0, bool), ())


def read_aligned(
    files: list[Path], folder: Path, *, side: int, progress: Callable[[int, int], None] | None = None
) -> AlignedPictures:
    """The pictures in these files, squares of any size, at `side` px; what is no square picture is skipped.

    folder: keeps the array and its record, so that a training that goes on need not read the same files again.
    """
    wanted = {"side": side, "files": [_mark(file) for file in files]}
    record = _known(folder, wanted) or _read(files, folder, wanted, progress)
    kept = [Path(name) for name in record["kept"]]
    if not kept:
        file, reason = record["skipped"][0]
        raise Img2TabError(f"None of {len(files)} files could be used. The first, {Path(file).name}: {reason}")
    held_out = np.array([is_held_out(file) for file in kept])
    if held_out.all():
        raise Img2TabError(
            f"Training needs more pictures: all {len(kept)} are of the third that only measures (their names decide). "
            "Add pictures."
        )
    pixels = np.load(folder / ARRAY, mmap_mode="r")[: len(kept)]
    return AlignedPictures(pixels, held_out, tuple((file, reason) for file, reason in record["skipped"]))


def _mark(file: Path) -> list:
    try:
        about = file.stat()
    except OSError as error:
        raise Img2TabError(f"{file} could not be read ({error.strerror}). Check the path.") from error
    return [str(file), about.st_size, about.st_mtime_ns]


def _known(folder: Path, wanted: dict) -> dict | None:
    """The record of an array of just these files, None without one."""
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    is_same = isinstance(record, dict) and wanted.items() <= record.items() and (folder / ARRAY).is_file()
    return record if is_same else None


def _read(files: list[Path], folder: Path, wanted: dict, progress: Callable[[int, int], None] | None) -> dict:
    side: int = wanted["side"]
    kept: list[str] = []
    skipped: list[tuple[str, str]] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / RECORD).unlink(missing_ok=True)  # it vouches for the array that now changes
        pixels = np.lib.format.open_memmap(folder / ARRAY, mode="w+", dtype=np.uint8, shape=(len(files), side, side, 3))
        for i, file in enumerate(files):
            try:
                pixels[len(kept)] = _square(file, side)
                kept.append(str(file))
            except Img2TabError as error:
                skipped.append((str(file), str(error)))
            if progress:
                progress(i + 1, len(files))
        pixels.flush()
        record = wanted | {"kept": kept, "skipped": skipped}
        (folder / RECORD).write_text(json.dumps(record, indent=1), encoding="utf-8")
    except OSError as error:
        raise Img2TabError(
            f"The pictures could not be kept in {folder} ({error.strerror}). Make space or choose another --out."
        ) from error
    return record


def _square(file: Path, side: int) -> np.ndarray:
    """uint8 (side, side, 3) of a square picture."""
    try:
        photo = read_photo(file.read_bytes())
    except OSError as error:
        raise Img2TabError(f"The file could not be read ({error.strerror}).") from error
    height, width = photo.shape[:2]
    if height != width:
        raise Img2TabError(f"An aligned picture must be square, got {width} x {height} px.")
    if height == side:
        return photo
    smaller = Image.Resampling.BOX if height > side else Image.Resampling.BILINEAR
    return np.asarray(Image.fromarray(photo).resize((side, side), smaller))

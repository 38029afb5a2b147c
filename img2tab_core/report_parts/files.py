"""A report's files: whether they can be written, asked first; then each is written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

from img2tab_core.errors import Img2TabError
from img2tab_core.files import whole


def check_page(file: Path) -> None:
    """Whether a page can be written there, asked before the minutes that lead to it; its folder is made."""
    if file.suffix.lower() not in (".html", ".htm"):
        raise Img2TabError(f"A report is an HTML file, its name must end in .html, got {file.name or file}.")
    if file.is_dir():
        raise Img2TabError(f"A report is a file, got the folder {file}. Add a file name.")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Img2TabError(f"{file} could not be written ({error.strerror}). Choose another place.") from error
    if not os.access(file.parent, os.W_OK | os.X_OK):
        raise Img2TabError(f"{file} could not be written: you may not write in {file.parent}. Choose another place.")


def clear(folder: Path, names: Collection[str]) -> None:
    """Remove these files of a folder, those that are there."""
    try:
        for name in names:
            (folder / name).unlink(missing_ok=True)
    except OSError as error:
        raise Img2TabError(
            f"What an earlier report left in {folder} could not be removed ({error.strerror}). Choose another place."
        ) from error


def write_text(file: Path, text: str) -> None:
    """Write a text file, UTF-8, its folder made; what stood there stays until the new one is whole."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with whole(file) as part:
            part.write_text(text, encoding="utf-8", errors="replace", newline="\n")
    except OSError as error:
        raise Img2TabError(
            f"{file} could not be written ({error.strerror or error}). Choose another place, or free some space."
        ) from error

"""What is kept of people's photos, since when, and its end: tables, photos that wait, and what was half done.

The bundled tables are of faces that nobody has, and are not among them. Nothing else of a photo stays on the disk, but
for codes that a killed training of XGBoost leaves in the system's folder for temporary files.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.files import home
from img2tab_core.base.foreign import inside
from img2tab_core.tables.population import TABLE

What = Literal["table", "upload", "import", "copy", "distances"]
FOLDERS: dict[What, str] = {  # of the last one only folders: answers of shards to who was stopped
    "table": "tables",
    "upload": "uploads",
    "import": "imports",
    "copy": "copies",
    "distances": "distances",
}
DAY = 86_400.0  # seconds


@dataclass(frozen=True)
class Kept:
    """Something of people's photos in the visitor's folder; days: since it was made or last added to."""

    what: What
    name: str
    days: float

    @property
    def folder(self) -> Path:
        """Where it lies."""
        return inside(home() / FOLDERS[self.what], self.name)


def kept(bundled: Collection[str] = (TABLE,)) -> list[Kept]:
    """Everything of the kind, the oldest first; bundled: names of tables that are left out."""
    now, everything = time.time(), []
    for what, place in FOLDERS.items():
        folder = home() / place
        for child in folder.iterdir() if folder.is_dir() else ():
            if not child.is_dir() or child.name.startswith(".") or (what == "table" and child.name in bundled):
                continue
            files = [file.stat().st_mtime for file in child.iterdir() if file.is_file()]
            everything.append(Kept(what, child.name, (now - max(files, default=child.stat().st_mtime)) / DAY))
    return sorted(everything, key=lambda thing: -thing.days)


def forget(thing: Kept) -> None:
    """Remove it from the disk; runs trained on a table stay, they hold no code. Raises Img2TabError where it stays."""
    try:
        shutil.rmtree(thing.folder)
    except FileNotFoundError:
        return
    except OSError as error:
        raise Img2TabError(
            f"{thing.folder} could not be removed ({error.strerror or error}). Mend the permissions of its folder."
        ) from error

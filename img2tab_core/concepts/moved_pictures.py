"""Pictures of faces whose families were moved, drawn once for whoever is asked about them, kept and resumable.

A classifier that reads pixels is asked about these: what they show does not depend on who is asked.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass

import numpy as np

from img2tab_core.backbones import drawn_faces
from img2tab_core.backbones.backbone import Backbone
from img2tab_core.base.engines import Engine
from img2tab_core.base.errors import Cancelled
from img2tab_core.base.files import home
from img2tab_core.base.jobs import Cancel, Report
from img2tab_core.base.records import StyleTable, digest
from img2tab_core.base.shards import Answer, Answers
from img2tab_core.concepts.describing import others
from img2tab_core.concepts.description import Description
from img2tab_core.concepts.moving import SHIFT
from img2tab_core.tables import open_table

FACES = 24  # on which every family is moved, in the end


def moved_face(
    backbone: Backbone,
    table: StyleTable,
    description: Description,
    face: int,
    places: Sequence[int],
    *,
    size: int,
    cancelled: Cancel = None,
) -> np.ndarray:
    """One of `FACES` faces, the same for everybody, moved: uint8 (p, size, size, 3), p = len(places).

    places: of K families 2 k for family k moved down by `SHIFT` and 2 k + 1 for it moved up; 2 K for the face as it is.
    Drawn where they are not kept. None, (0, size, size, 3), where the table has no such face. Raises Cancelled once
    `cancelled` says so; what was drawn is kept.
    """
    codes = others(backbone, table, count=FACES)
    if face >= len(codes):
        return np.empty((0, size, size, 3), np.uint8)
    of_table = drawn_faces.folder_of(table, backbone, size).parent
    folder = of_table / f"moved-{description.key[:12]}" / str(size) / f"{face:02d}"
    files = [folder / f"{place}.webp" for place in places]
    pictures = drawn_faces.read_all(files)
    missing = [at for at, picture in enumerate(pictures) if picture is None or picture.shape != (size, size, 3)]
    moved = moved_codes(backbone, description, codes[face]) if missing else codes
    for start in range(0, len(missing), drawn_faces.AT_ONCE):
        if cancelled is not None and cancelled():
            raise Cancelled("Stopped; the pictures that are drawn are kept.")
        part = missing[start : start + drawn_faces.AT_ONCE]
        codes_of_part, kept_in = moved[[places[at] for at in part]], [files[at] for at in part]
        drawn = drawn_faces.pictures_of(backbone, codes_of_part, size=size, files=kept_in)
        for at, picture in zip(part, drawn, strict=True):
            pictures[at] = picture
    return np.stack([picture for picture in pictures if picture is not None])


@dataclass(frozen=True, eq=False)
class MovedDrawing:
    """Work (`shards.Work`) whose parts are faces by their number: moved, drawn and kept, as `moved_face` does.

    table: its name, by which every process opens it for itself; places: of each face, see `moved_face`.
    """

    table: str
    backbone: Backbone
    description: Description
    places: tuple[tuple[int, ...], ...]
    size: int

    def __call__(self) -> Answers:
        return self._answers

    def _answers(self, parts: Sequence[range]) -> Generator[Answer, None, None]:
        table = open_table(home() / "tables" / self.table)
        for part in parts:
            for face in part:
                moved_face(self.backbone, table, self.description, face, self.places[face], size=self.size)
            yield {"faces": np.arange(part.start, part.stop)}


def draw_ahead(
    backbone: Backbone,
    table: StyleTable,
    description: Description,
    places: Sequence[Sequence[int]],
    *,
    size: int,
    engine: Engine,
    progress: Report,
    cancelled: Cancel = None,
) -> None:
    """Have other processes draw the faces whose places are given, one after the other; nothing where the engine is this
    process. Raises as `moved_face`."""
    work = MovedDrawing(table.name, backbone, description, tuple(map(tuple, places)), size)
    folder = drawn_faces.folder_of(table, backbone, size).parent / f"moved-{description.key[:12]}"
    key = digest(repr(work.places).encode(), f"{size}".encode())
    drawn_faces.draw_by(engine, work, len(places), 1, folder, key=key, report=progress, stop=cancelled)


def moved_codes(backbone: Backbone, description: Description, code: np.ndarray, *, shift: float = SHIFT) -> np.ndarray:
    """A style code (D,) with each family moved down and up, then as it is: float32 (2 K + 1, D)."""
    codes = np.repeat(code[None].astype(np.float32), 2 * len(description.families) + 1, axis=0)
    for number, family in enumerate(description.families):
        by = (shift * family.parts * backbone.stats.std[family.channels]).astype(np.float32)
        codes[2 * number, family.channels] -= by
        codes[2 * number + 1, family.channels] += by
    return codes

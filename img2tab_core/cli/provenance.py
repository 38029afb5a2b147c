"""`img2tab provenance`: what a picture says of how it came about."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from img2tab_core.base.errors import Img2TabError
from img2tab_core.cli import terminal
from img2tab_core.cli.terminal import Json, shown, verb

provenance_app = typer.Typer()
UNMARKED = "carries no mark of how it came about, which proves nothing: a mark is easily lost."


@verb(provenance_app)
def provenance(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Pictures: PNG, WebP or JPEG.")],
    as_json: Json = False,
) -> None:
    """What a picture says of how it came about: drawn by a generator or not, with what, and what was moved in it."""
    from img2tab_core.faces import marks

    found = []
    for file in files:
        try:
            mark = marks.read(file.read_bytes())
        except OSError as error:
            raise Img2TabError(f"{file} cannot be read ({error.strerror}). Name a picture.") from error
        except Img2TabError as error:
            raise Img2TabError(f"{file}: {error}") from error
        found.append((file, mark))
    terminal.answer(
        {"pictures": [{"file": str(file), "mark": mark and mark.to_json()} for file, mark in found]},
        "\n".join(f"{shown(file)}: {shown(mark.sentence) if mark else UNMARKED}" for file, mark in found),
        as_json=as_json,
    )

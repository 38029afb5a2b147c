"""The verb that says where two classifiers disagree: about which faces, and about which concepts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.words import chance
from img2tab_core.cli import terminal
from img2tab_core.cli.terminal import Json, TableName, verb

if TYPE_CHECKING:
    from PIL import Image

    from img2tab_core.audits.disagreement import Disagreement, FaceDisagreement
    from img2tab_core.base.records import StyleTable
    from img2tab_core.classifiers.runs import Run
    from img2tab_core.studio import Studio

NARROW = "\N{NO-BREAK SPACE}"
disagree_app = typer.Typer()
SIDE, LINE, ACROSS = 192, 18, 6  # px of a face and of a line under it, faces in a row of the sheet


@verb(disagree_app)
def disagree(
    first: Annotated[
        str,
        typer.Option(
            "--classifier",
            metavar="A",
            help="A classifier of your own (`img2tab model list`), or a target of the table.",
        ),
    ],
    second: Annotated[str, typer.Option("--with", metavar="B", help="The other one, in the same way.")],
    table: TableName = "default",
    turned: Annotated[
        bool | None,
        typer.Option(
            "--turned/--not-turned",
            help="Set class 1 of A against class 0 of B. If not given, where their answers go opposite ways.",
        ),
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="How many faces and concepts are shown.")] = 12,
    faces: Annotated[
        Path | None, typer.Option(help="A .png to write: the faces they disagree most about, both answers below each.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Where two classifiers disagree: about which faces of a table, and which concepts move one more than the other."""
    from img2tab_core.audits.disagreement import disagreement

    terminal.check_png(faces, "--faces")
    studio = terminal.studio()
    style_table = studio.table(table)
    runs = [_run_of(studio, style_table, name, quiet=as_json) for name in (first, second)]
    made = disagreement(studio, runs[0], runs[1], top=top, turned=turned)
    if faces is not None:
        sheet = _sheet(studio, style_table, made)
        what = "faces that two classifiers disagree about"
        terminal.write_png(faces, sheet, what)
    if as_json:
        terminal.print_json(made.to_json())
        return
    typer.echo(_text(made, top))
    if faces is not None:
        typer.echo(f"The faces are in {terminal.shown(faces)}.")


def _run_of(studio: Studio, table: StyleTable, name: str, *, quiet: bool) -> Run:
    """A classifier of the person's own by this name, else the standing one of this target."""
    from img2tab_core.classifiers import models

    if name in models.names():
        return studio.trainer.own(table, name, name)
    if all(target.name != name for target in table.targets):
        own = ", ".join(models.names()) or "none"
        raise Img2TabError(
            f"There is no classifier {name!r}. Of your own: {own}; targets of the table {table.name!r}: "
            f"{', '.join(target.name for target in table.targets)}."
        )
    return studio.run(table, name, progress=terminal.progress(quiet))


def _text(made: Disagreement, top: int) -> str:
    shown = made.concepts[:top]
    lines = [made.sentence, ""]
    if shown:
        rows = [
            (
                f"{concept.family.name} ({concept.family.id})",
                concept.first.text(),
                concept.second.text(),
                concept.difference.text(),
                "beyond chance" if concept.differ else "",
            )
            for concept in shown
        ]
        lines += [terminal.aligned([("moved, log-odds", "the first", "the second", "difference", ""), *rows]), ""]
    heads = ("face of the table", made.classes[0], made.classes[1], "")
    cells = [(str(face.row), *_chances(face), "decided otherwise" if face.otherwise else "") for face in made.top]
    lines += [terminal.aligned([heads, *cells]), "", made.basis]
    return "\n".join(lines)


def _chances(face: FaceDisagreement) -> tuple[str, str]:
    """Of both, in words; with plain spaces, for a terminal and for a font that knows no other."""
    return chance(face.first).replace(NARROW, " "), chance(face.second).replace(NARROW, " ")


def _sheet(studio: Studio, table: StyleTable, made: Disagreement) -> Image.Image:
    """The faces they disagree most about as they are drawn, both answers below each."""
    import numpy as np
    from PIL import Image, ImageDraw

    from img2tab_core.backbones import drawn_faces

    rows = [face.row for face in made.top]
    parts = drawn_faces.drawn(table, studio.backbone(table.backbone), rows, size=128)  # as they were asked about first
    pictures = np.concatenate([part for _, part in parts])
    down = -(-len(rows) // ACROSS)
    sheet = Image.new("RGB", (min(ACROSS, len(rows)) * SIDE, down * (SIDE + 2 * LINE)), "white")
    write = ImageDraw.Draw(sheet)
    for place, (face, picture) in enumerate(zip(made.top, pictures, strict=True)):
        left, upper = (place % ACROSS) * SIDE, (place // ACROSS) * (SIDE + 2 * LINE)
        sheet.paste(Image.fromarray(picture).resize((SIDE - 4, SIDE - 4), Image.Resampling.LANCZOS), (left, upper))
        for line, (name, answer) in enumerate(zip(made.classes, _chances(face), strict=True)):
            write.text((left + 4, upper + SIDE - 4 + line * LINE), f"{answer} {name}", fill="black", font_size=13)
    return sheet

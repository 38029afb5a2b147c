"""The verb that asks what would turn a decision: the smallest changes of named concepts in one photo."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from img2tab_core.base.words import chance, signed
from img2tab_core.cli import terminal
from img2tab_core.cli.terminal import FaceNumber, Json, OwnClassifier, TableName, verb

if TYPE_CHECKING:
    from PIL.Image import Image

    from img2tab_core.audits.smallest_change import Change, SmallestChanges
    from img2tab_core.base.records import Frame

changes_app = typer.Typer()
FRAMES, SIDE = 7, 256  # of the way to a change; px
TITLE, CAPTION, MARGIN = 24, 20, 10  # px: letters above and below the frames, and around them


@verb(changes_app)
def flip(
    photo: Annotated[Path, typer.Argument(help="A photo; one face of it is used.")],
    target: Annotated[str, typer.Option(help="Whose decision to turn, for instance smiling.")] = "",
    own: OwnClassifier = "",
    table: TableName = "default",
    face_number: FaceNumber = 1,
    no_align: Annotated[bool, typer.Option("--no-align", help="The photo is an aligned face already.")] = False,
    keep: Annotated[
        str,
        typer.Option(
            metavar="A,B",
            help="Concepts that stay as they are (`img2tab concepts`); also: expression (mouth, eyes, brows), identity "
            "(a face recogniser still takes it for the same person).",
        ),
    ] = "",
    most: Annotated[int, typer.Option(help="Concepts in one change, 1 to 3.")] = 3,
    answers: Annotated[int, typer.Option(help="How many different changes.")] = 3,
    by_codes: Annotated[
        bool,
        typer.Option("--by-codes", help="Ask about style codes and draw nothing: a second, but far less turns it."),
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="A .png to write: a row per change with the face on its way there.")
    ] = None,
    as_json: Json = False,
) -> None:
    """The smallest changes of a face that would turn the decision about it, each confirmed by the classifier."""
    from img2tab_core.audits.smallest_change import smallest_changes, way

    terminal.check_png(out)
    studio, report = terminal.studio(), terminal.progress(as_json)
    style_table = studio.table(table)
    standing = terminal.run_of(studio, style_table, target, own, quiet=as_json)
    target = standing.target
    run = standing if standing.own else studio.on_photos(standing)
    face, faces = terminal.face(studio, photo, face_number, aligned=no_align)
    code = studio.encode(face, backbone=style_table.backbone)
    with terminal.interrupted() as stopped:
        result = smallest_changes(
            studio,
            run,
            code,
            keep=terminal.listed(keep),
            answers=answers,
            most=most,
            drawn=not by_codes,
            progress=report,
            cancelled=stopped,
        )
    report(1.0, "")
    shown = result.changes or ((result.nearest,) if result.nearest else ())
    if out is not None:
        ways = [way(studio, run, code, change, frames=FRAMES, size=SIDE) for change in shown]
        what = f"the smallest changes that turn {result.classes[result.decided]} into the other class"
        terminal.write_png(out, _sheet(result, shown, ways), what)
    if as_json:
        about = {"photo": str(photo), "faces": faces, "face": face_number, "target": target}
        terminal.print_json(about | result.to_json() | {"out": out and str(out)})
        return
    several = f" ({terminal.which(face_number)} of {faces} faces)" if faces > 1 else ""
    decided, other = result.classes[result.decided], result.classes[1 - result.decided]
    line = f"{terminal.shown(photo)}{several}: {decided}, {_of(result, result.before)}"
    read = shown[0].read_before if shown else None
    if read is not None:
        line += f"; its picture, drawn and read again, which is what changes are made in: {_of(result, read)}"
    typer.echo(f"{line}.")
    if not result.changes:
        typer.echo(result.sentence)
    if result.note:
        typer.echo(result.note)
    for number, change in enumerate(result.changes, 1):
        typer.echo(f"    {number}. {change.sentence}")
    typer.echo(
        f"Strengths are standard deviations. Turned: taken for {other} by just more than half. Asked about "
        f"{terminal.count(result.asked, 'face')} in {result.seconds:.1f} s."
    )
    if out is not None:
        typer.echo(f"The way there, from the face as it is drawn, in {terminal.shown(out)}.")


def _of(result: SmallestChanges, probability: float) -> str:
    """The chance of the class decided before; probability: of class 1."""
    return chance(probability if result.decided else 1 - probability)


def _sheet(result: SmallestChanges, changes: Sequence[Change], ways: Sequence[Sequence[Frame]]) -> Image:
    """A row per change: what is moved, the frames, and below each the chance of the class decided before."""
    from PIL import Image as images
    from PIL import ImageDraw, ImageFont

    decided, other = result.classes[result.decided], result.classes[1 - result.decided]
    side = ways[0][0].pixels.shape[0] if ways else SIDE
    row = TITLE + side + CAPTION + 4 * MARGIN
    sheet = images.new("RGB", (FRAMES * (side + MARGIN) + MARGIN, row * len(ways) + TITLE + 3 * MARGIN), "white")
    write, large, small = ImageDraw.Draw(sheet), ImageFont.load_default(TITLE), ImageFont.load_default(CAPTION)
    heading = f"From {decided}, the face as it is drawn, to {other}; strengths in standard deviations."
    heading += f" Below each picture: the chance of {decided}."
    write.text((MARGIN, MARGIN), heading, fill="black", font=large)
    for number, (change, frames) in enumerate(zip(changes, ways, strict=True), 1):
        top = TITLE + 3 * MARGIN + (number - 1) * row
        moved = ", ".join(f"{name} {signed(strength)}" for _, name, strength in change.families)
        title = f"{number}. {moved}" if result.changes else f"Nearest: {moved}"
        write.text((MARGIN, top), _in_letters(title), fill="black", font=large)
        for place, frame in enumerate(frames):
            left, turned = MARGIN + place * (side + MARGIN), (frame.probability > 0.5) != bool(result.decided)
            sheet.paste(images.fromarray(frame.pixels), (left, top + TITLE + MARGIN))
            write.text(
                (left + side // 2, top + TITLE + side + 2 * MARGIN),
                _in_letters(_of(result, frame.probability)) + (" (turned)" if turned else ""),
                fill="black",
                font=small,
                anchor="ma",
            )
    return sheet


def _in_letters(text: str) -> str:
    """The same in letters that Pillow's own font has."""
    return text.replace("\N{MINUS SIGN}", "-").replace("\N{NO-BREAK SPACE}", " ")

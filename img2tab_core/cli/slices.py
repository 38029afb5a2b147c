"""The verb that says where a classifier fails most, among groups that nobody named."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from img2tab_core.base.errors import Img2TabError
from img2tab_core.cli import terminal
from img2tab_core.cli.audits import Out, TableOfRun, TargetOfRun, run_of_audit
from img2tab_core.cli.terminal import Json, OwnClassifier, RunFolder, verb

if TYPE_CHECKING:
    from img2tab_core.audits.slices import Slices
    from img2tab_core.base.records import StyleTable
    from img2tab_core.classifiers.runs import Run
    from img2tab_core.studio import Studio

slices_app = typer.Typer()


@verb(slices_app)
def slices(
    target: TargetOfRun = "",
    table: TableOfRun = None,
    run: RunFolder = None,
    own: OwnClassifier = "",
    labelled: Annotated[
        str, typer.Option(metavar="CLASS", help="Seek among the faces labelled so alone, as `--labelled older`.")
    ] = "",
    deepest: Annotated[
        int, typer.Option("--conditions", min=1, max=3, help="How many conditions describe a group at most.")
    ] = 2,
    faces: Annotated[
        Path | None, typer.Option(help="A .png to write: test faces of each confirmed group, misjudged first.")
    ] = None,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Where does a classifier fail most? Groups nobody named: by labels, measures and concepts, alone or together."""
    import pandas as pd

    from img2tab_core import tables
    from img2tab_core.audits.auditor import Auditor

    terminal.check_table(out)
    terminal.check_png(faces, "--faces")
    door, report = terminal.studio(), terminal.progress(as_json)
    with terminal.interrupted() as stopped:
        style_table, judged = run_of_audit(door, run, target, table, "", own=own, report=report, stopped=stopped)
        label = _class_number(tables.any_target_of(style_table, judged.target).classes, labelled) if labelled else None
        measured = Auditor(door).slices(judged, label=label, deepest=deepest, progress=report, cancelled=stopped)
    frame = pd.DataFrame(
        [
            {
                "faces": each.words,
                "wrong": each.wrong,
                "of": each.faces,
                "wrong elsewhere": each.elsewhere[0],
                "of elsewhere": each.elsewhere[1],
                "points": each.difference.value,
                "low": each.difference.low,
                "high": each.difference.high,
                "q": each.controlled,
                "confirmed": each.confirmed,
            }
            for each in measured.slices
        ],
        columns=["faces", "wrong", "of", "wrong elsewhere", "of elsewhere", "points", "low", "high", "q", "confirmed"],
    )
    text = f"{_text(measured)}\n{terminal.does(judged, style_table)}".rstrip()
    if faces is not None and measured.slices:
        _write_faces(faces, door, style_table, judged, measured)
        text += f"\nThe faces are in {terminal.shown(faces)}."
    terminal.answer(measured.to_json(), text, as_json=as_json, out=out, frame=frame)


def _text(measured: Slices) -> str:
    others = [each for each in measured.slices if not each.confirmed]
    lines = [measured.sentence, *(each.sentence for each in measured.confirmed[1:])]
    if others:
        lines += [
            "",
            "Stood out, but not beyond chance or beyond the groups above:",
            *(f"  {each.sentence}" for each in others),
        ]
    left_out = ", ".join(measured.left_out)
    tell = "tells" if len(measured.left_out) == 1 else "tell"
    return "\n".join(
        [*lines, "", measured.how, *([f"Left out, as it {tell} the target itself: {left_out}."] if left_out else [])]
    )


def _class_number(classes: tuple[str, ...], word: str) -> int:
    """Which class a person means by its name, or by what it is called in short."""
    from img2tab_core.audits.matrix import short

    names = [name.casefold() for name in classes]
    for given in (names, [short(name) for name in names]):
        if word.strip().casefold() in given:
            return given.index(word.strip().casefold())
    raise Img2TabError(f"--labelled must be one of {', '.join(short(name) for name in classes)}, got {word!r}.")


def _write_faces(file: Path, door: Studio, table: StyleTable, run: Run, measured: Slices) -> None:
    """A row of faces for each confirmed group."""
    import numpy as np
    from PIL import Image

    from img2tab_core.backbones import drawn_faces

    groups = measured.confirmed or measured.slices[:1]
    across, side = 8, 128
    sheet = np.full((len(groups) * side, across * side, 3), 255, np.uint8)
    for number, group in enumerate(groups):
        rows = list(group.rows[:across])
        parts = drawn_faces.drawn(table, door.backbone(table.backbone), rows, size=side)
        for place, picture in enumerate(np.concatenate([part for _, part in parts])):
            sheet[number * side : (number + 1) * side, place * side : (place + 1) * side] = picture
    image = Image.fromarray(sheet)
    what = "test faces of the groups that are judged wrongly most often"
    terminal.write_png(file, image, what)

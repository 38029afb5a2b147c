"""The verb that asks whether a classifier is right about photos of one's own, and makes its probabilities fit them."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from img2tab_core.base import places, spreadsheets
from img2tab_core.base.engines import Engine
from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.words import percent
from img2tab_core.cli import terminal
from img2tab_core.cli.terminal import Address, EngineName, Json, TableName, Workers, verb
from img2tab_core.faces.photos import MOST_BYTES

if TYPE_CHECKING:
    from img2tab_core.audits.photo_check import Figures, GroupFigures, PhotoCheck
    from img2tab_core.base.records import StyleTable, Target
    from img2tab_core.tables.calibrations import Calibration

photo_check_app = typer.Typer()
WRONG_SHOWN = 10


@verb(photo_check_app, "check-photos")
def check_photos(
    target: Annotated[str, typer.Option(help="What to judge the photos by, for instance smiling.")],
    folder: Annotated[
        str | None, typer.Argument(metavar="DIR", help="A folder of photos; s3://... and gs://... too.")
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="CSV: a column of file names, one with the answers, others form groups."),
    ] = None,
    column: Annotated[
        str, typer.Option(help="The column with the answers; one called as the target if not given.")
    ] = "",
    calibrate: Annotated[
        bool, typer.Option("--calibrate", help="Make probabilities fit these photos from now on; see --undo.")
    ] = False,
    undo: Annotated[bool, typer.Option("--undo", help="Take the last calibration of the target back.")] = False,
    table: TableName = "default",
    no_align: Annotated[bool, typer.Option("--no-align", help="The photos are aligned faces already.")] = False,
    out: Annotated[
        Path | None, typer.Option(help="A .csv to write: every photo, its answer, what was decided.")
    ] = None,
    engine: EngineName = "local",
    workers: Workers = None,
    address: Address = "",
    as_json: Json = False,
) -> None:
    """Is it right about my photos? Accuracy, calibration and groups of photos whose answer is known."""
    from img2tab_core.tables import target_of

    who, studio = Engine(engine, workers, address), terminal.studio()
    style_table = studio.table(table)
    about = target_of(style_table, target)
    if undo:
        if folder is not None or calibrate:
            raise Img2TabError(
                "--undo takes a calibration back and nothing else; leave out the photos and --calibrate."
            )
        _undo(style_table, target, as_json=as_json)
        return
    if folder is None or labels is None:
        raise Img2TabError("Name a folder of photos, and a CSV file with their answers: check-photos DIR --labels CSV.")
    place = places.place_of(folder)
    if isinstance(place, Path) and not place.is_dir():
        raise Img2TabError(f"There is no folder {place}. Name the folder that holds the photos.")
    if out is not None:
        if out.suffix != ".csv":
            raise Img2TabError(f"--out must end in .csv, got {out.name or out}.")
        terminal.check_out(out)
    import pandas as pd

    from img2tab_core.audits import photo_check
    from img2tab_core.base.records import decided_classes
    from img2tab_core.tables import label_files
    from img2tab_core.tables.calibrations import keep_calibration

    with places.as_file(places.place_of(labels), most=label_files.MOST_BYTES) as file:
        answers = label_files.answers_for(file, about, column)
    files = terminal.all_photos([folder])
    photos = {
        places.name_in(place, photo): partial(
            places.read_listed, places.absolute(photo), places.absolute(place), most=MOST_BYTES
        )
        for photo in files
    }
    with terminal.interrupted() as stopped:
        check = photo_check.check_photos(
            studio,
            style_table,
            target,
            photos,
            answers,
            aligned=no_align,
            engine=who,
            mark=terminal.photos_mark(files),
            progress=terminal.progress(as_json),
            stopped=stopped,
        )
    calibration = photo_check.calibration_from(check, source=places.name_of(place)) if calibrate else None
    if out is not None:
        frame = pd.DataFrame(
            {
                "photo": check.photos,
                "answer": check.truth,
                "probability": check.probability.round(6),
                "decided": decided_classes(check.probability),
            }
        )
        frame["right"] = (frame["decided"] == frame["answer"]).astype(int)
        text = spreadsheets.csv(frame)
        terminal.write(out, lambda file: file.write(text.encode("utf-8", "surrogateescape")))
    if calibration is not None:
        keep_calibration(style_table, target, calibration)
    if as_json:
        terminal.print_json(as_document(check, calibration))
    else:
        typer.echo(_text(check, about, calibration))
        terminal.skipped([{"photo": photo, "reason": reason} for photo, reason in check.skipped], quiet=False)


def as_document(check: PhotoCheck, calibration: Calibration | None) -> dict:
    """A check as JSON has it; calibration: the one that was kept, if any."""
    return {
        "table": check.table,
        "target": check.target,
        "column": check.column,
        "read_as": check.meaning,
        "photos": len(check.photos),
        "of": check.of,
        "small": check.is_small,
        "calibration_in_use": check.in_use and asdict(check.in_use),
        "figures": check.as_is.to_json(),
        "calibrated_on_these": check.calibrated and check.calibrated.to_json(),
        "groups": [group.to_json() for group in check.groups],
        "wrong": [asdict(wrong) for wrong in check.wrong()],
        "kept": calibration and asdict(calibration),
        "skipped": [{"photo": photo, "reason": reason} for photo, reason in check.skipped],
    }


def _text(check: PhotoCheck, about: Target, calibration: Calibration | None) -> str:
    shown = terminal.shown
    figures = check.as_is
    lines = [
        f"{about.title}, table {check.table}: {terminal.count(len(check.photos), 'photo')} of {check.of:,} have a face."
        f" Column {shown(check.column)}: {shown(check.meaning)}.",
        f"Judged {_calibrated_on(check.in_use)}.",
        "",
        _line("Right", figures),
    ]
    if check.calibrated is not None:
        lines.append(
            _line("Right with two numbers fitted to these photos (each judged by a fit without it)", check.calibrated)
        )
        lines.append(f"    {check.gained}")
    lines += ["", terminal.aligned([["group", "", "photos", "right", "share", "95 %", ""], *map(_group, check.groups)])]
    if check.is_small:
        lines += ["", "Few photos: the intervals say how little they tell. A hundred, thirty of each class, tell more."]
    wrong = check.wrong()
    if wrong:
        lines += ["", f"Decided otherwise than the file has it, the surest first ({len(wrong)} in all):"]
        lines += [
            f"    {shown(each.photo)}: {percent(each.probability)} {about.classes[1]}, the file says "
            f"{about.classes[each.truth]}"
            for each in wrong[:WRONG_SHOWN]
        ]
    if calibration is not None:
        lines += [
            "",
            f"Kept: photos are judged {_calibrated_on(calibration)} from now on (log-odds times "
            f"{calibration.slope:.3f}, "
            f"{calibration.offset:+.3f}). Take it back with --undo.",
        ]
    elif check.calibrated is not None and check.calibrated.right > figures.right:
        lines += ["", "With --calibrate photos are judged so from now on."]
    return "\n".join(lines)


def _calibrated_on(calibration: Calibration | None) -> str:
    if calibration is None:
        return "as the classifier says it, not calibrated"
    return f"calibrated on {terminal.count(calibration.photos, 'photo')} ({terminal.shown(calibration.source)})"


def _line(title: str, figures: Figures) -> str:
    low, high = figures.interval
    area = "" if figures.auc is None else f", AUC {figures.auc:.3f}"
    return (
        f"{title}: {figures.right} of {figures.photos}, {percent(figures.accuracy)} (95 % interval {percent(low)} to "
        f"{percent(high)}){area}, calibration error {figures.calibration_error:.3f}"
    )


def _group(group: GroupFigures) -> list[str]:
    low, high = group.interval
    return [
        group.column or "class",
        group.value,
        str(group.photos),
        str(group.right),
        f"{group.accuracy:.1%}",
        f"{low:.1%} to {high:.1%}",
        "few" if group.small else "",
    ]


def _undo(table: StyleTable, target: str, *, as_json: bool) -> None:
    from img2tab_core.classifiers.runs import DEFAULT_KIND
    from img2tab_core.tables.calibrations import calibration_of, undo_calibration

    taken, now = undo_calibration(table, target), calibration_of(table, target, DEFAULT_KIND)
    if as_json:
        terminal.print_json({"taken_back": asdict(taken), "calibration_in_use": now and asdict(now)})
        return
    typer.echo(
        f"The calibration on {terminal.count(taken.photos, 'photo')} is taken back. Judged {_calibrated_on(now)}."
    )

"""The verb that audits a table without a sensitive attribute: by groups that another table's classifier perceives."""

from __future__ import annotations

from typing import Annotated

import typer

from img2tab_core.cli import terminal
from img2tab_core.cli.audits import Out, TableOfRun, TargetOfRun, run_of_audit
from img2tab_core.cli.terminal import Json, RunFolder, verb

perceived_app = typer.Typer()


@verb(perceived_app)
def perceived(
    by: Annotated[
        str, typer.Option("--groups", metavar="TARGET", help="What forms the groups: a target of the table --of.")
    ],
    of: Annotated[str, typer.Option("--of", metavar="TABLE", help="The table whose classifier perceives it.")] = (
        "default"
    ),
    target: TargetOfRun = "",
    table: TableOfRun = None,
    run: RunFolder = None,
    right: Annotated[
        str,
        typer.Option(
            metavar="N/M,N/M",
            help="How many of M faces of the first and of the second class it perceives rightly, counted on faces "
            "like yours (`img2tab check-photos`); on test faces of its own table if not given.",
        ),
    ] = "",
    out: Out = None,
    as_json: Json = False,
) -> None:
    """No sensitive attribute? The gap between groups that a classifier perceives, corrected for how often it errs."""
    import pandas as pd

    from img2tab_core import tables
    from img2tab_core.audits.auditor import Auditor
    from img2tab_core.audits.matrix import short_title
    from img2tab_core.audits.uncertain_groups import counted

    terminal.check_table(out)
    door, report = terminal.studio(), terminal.progress(as_json)
    with terminal.interrupted() as stopped:
        other = door.table(of)
        about = tables.target_of(other, by)
        error = counted(right, f"The classifier of {short_title(about)}") if right else None
        style_table, judged = run_of_audit(door, run, target, table, "", report=report, stopped=stopped)
        reader = door.run(other, by, progress=report)
    measured = Auditor(door).perceived_gap(judged, reader, error=error)
    frame = pd.DataFrame(
        [
            {"gap": name, "value": gap.value, "low": gap.low, "high": gap.high, "note": gap.note}
            for name, gap in (("corrected", measured.corrected), ("as perceived", measured.naive))
        ]
    )
    faces = ", ".join(f"{number:,} {name}" for number, name in zip(measured.faces, measured.groups, strict=True))
    terminal.answer(
        measured.to_json(),
        f"{measured.sentence}\nTest faces: {faces}.\n{measured.basis}\n{terminal.does(judged, style_table)}".rstrip(),
        as_json=as_json,
        out=out,
        frame=frame,
    )

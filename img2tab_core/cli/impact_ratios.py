"""The verb that says who is selected: selection rates and impact ratios by group, as New York's rule asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from img2tab_core.base.errors import Img2TabError
from img2tab_core.cli import terminal
from img2tab_core.cli.audits import Out, TableOfRun, TargetOfRun, run_of_audit
from img2tab_core.cli.terminal import Json, OwnClassifier, RunFolder, verb

if TYPE_CHECKING:
    from img2tab_core.audits.audit_record import Measure
    from img2tab_core.audits.impact_ratios import ImpactTable

impact_app = typer.Typer()


@verb(impact_app, "impact-ratios")
def impact_ratios(
    sensitive: Annotated[
        str, typer.Option(metavar="A[,B]", help="What forms the groups; of two, their crossing is a table more.")
    ],
    target: TargetOfRun = "",
    table: TableOfRun = None,
    run: RunFolder = None,
    own: OwnClassifier = "",
    threshold: Annotated[float, typer.Option(min=0, max=1, help="Above it a face is given class 1.")] = 0.5,
    least: Annotated[
        float,
        typer.Option(min=0, max=50, help="Groups of a smaller part of the faces, percent, get no ratio; 0 keeps all."),
    ] = 2.0,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Who is given class 1: each group's rate over the highest one, with intervals and the number of unknown."""
    from img2tab_core.audits.auditor import Auditor

    terminal.check_table(out)
    names = terminal.listed(sensitive)
    if len(names) not in (1, 2):
        raise Img2TabError(f"--sensitive names one or two attributes, got {len(names)}.")
    door = terminal.studio()
    with terminal.interrupted() as stopped:
        style_table, of_run = run_of_audit(
            door, run, target, table, sensitive, own=own, report=terminal.progress(as_json), stopped=stopped
        )
        measured = Auditor(door).impact_ratios(of_run, *names, threshold=threshold, least_share=least / 100)
    lines = []
    for part in measured.tables:
        lines += [part.sentence(measured.given), terminal.aligned(_cells(part)), ""]
    terminal.answer(
        measured.to_json() | {"run": of_run.id},
        "\n".join([*lines, *measured.notes, terminal.does(of_run, style_table)]).rstrip(),
        as_json=as_json,
        out=out,
        frame=measured.frame(),
    )


def _cells(table: ImpactTable) -> list[tuple[str, ...]]:
    """A table's headings and rows, the last one of unknown faces."""
    heads = (table.attribute, "faces", "selected", "rate, %", "95 % interval", "impact ratio", "95 % interval", "")
    rows = [
        (
            group.name,
            f"{group.count:,}",
            f"{group.selected:,}",
            "" if group.rate.value is None else f"{100 * group.rate.value:.1f}",
            _span(group.rate, 100, 1),
            "" if group.ratio.value is None else f"{group.ratio.value:.2f}",
            _span(group.ratio, 1, 2),
            group.ratio.note,
        )
        for group in table.groups
    ]
    return [heads, *rows, ("unknown", f"{table.unknown:,}", "", "", "", "", "", "in no row above")]


def _span(measure: Measure, scale: float, digits: int) -> str:
    if measure.low is None or measure.high is None:
        return ""
    return f"{scale * measure.low:.{digits}f} to {scale * measure.high:.{digits}f}"

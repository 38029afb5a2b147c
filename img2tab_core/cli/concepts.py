"""The verbs about concepts: describe those of a backbone, and list them for a classifier."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.records import DEFAULT_BACKBONE
from img2tab_core.cli import terminal
from img2tab_core.cli.terminal import Address, EngineName, Json, OwnClassifier, TableName, Workers, verb

if TYPE_CHECKING:
    from img2tab_core.classifiers.runs import Run
    from img2tab_core.concepts.ranking import RankedFamily
    from img2tab_core.studio import Studio

concepts_app = typer.Typer()


@verb(concepts_app)
def concepts(
    target: Annotated[str, typer.Option(help="For the classifier of this target.")] = "",
    own: OwnClassifier = "",
    table: TableName = "default",
    top: Annotated[int, typer.Option(min=0, help="How many families; 0 for all.")] = 15,
    channel: Annotated[
        list[int] | None,
        typer.Option(metavar="I", min=0, help="Instead: whether this single channel moves it; may be given again."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Families of channels that draw one thing: named, ranked by whether moving them moves the classifier."""
    studio = terminal.studio()
    style_table = studio.table(table)
    run = terminal.run_of(studio, style_table, target, own, quiet=as_json)
    if channel:
        _single_channels(studio, run, channel, as_json=as_json)
        return
    families = studio.families(run)
    shown = families[:top] if top else families
    if as_json:
        terminal.print_json({"target": run.target, "families": [family.to_json() for family in shown]})
        return
    typer.echo(
        f"{len(families)} families. Distance between the classes in standard "
        "deviations, importance of its channels + of those that go with it, effect: change of the log-odds from 8 down "
        "to 8 up, drawn and read again, with its 95 % interval."
    )
    rows = [("", "distance", "importance", "effect", "", ""), *(_cells(family) for family in shown)]
    typer.echo(terminal.aligned(rows))


def _single_channels(studio: Studio, run: Run, channels: list[int], *, as_json: bool) -> None:
    """What moving single channels does to a run, and where they stand among the families."""
    described = studio.description(studio.table(run.table).backbone)
    effects = [studio.effect(run, index) for index in channels]
    if as_json:
        rows = [
            {
                "index": index,
                "effect": effect.change.mean,
                "effect_interval": [effect.change.low, effect.change.high],
                "moves": effect.moves,
                "faces": effect.faces,
            }
            for index, effect in zip(channels, effects, strict=True)
        ]
        terminal.print_json({"target": run.target, "channels": rows})
        return
    for index, effect in zip(channels, effects, strict=True):
        verdict = "moves it" if effect.moves else "does not move it alone"
        place = "" if described is None else f" {described.place_of(index)}"
        typer.echo(f"{index}: effect {effect.change.text()} on {effect.faces} faces, {verdict}.{place}")


def _cells(row: RankedFamily) -> tuple[str, ...]:
    effect = "" if row.effect is None else row.effect.text()
    return (
        f"{row.family.name} ({row.family.id})",
        f"{row.distance:.2f}",
        f"{100 * row.importance:.1f} + {100 * row.by_stand_ins:.1f} %",
        effect,
        row.verdict,
        row.family.trust,
    )


@verb(concepts_app, "describe-concepts")
def describe_concepts(
    backbone: Annotated[str, typer.Option(help="A backbone (`img2tab backbone list`).")] = DEFAULT_BACKBONE,
    table: Annotated[
        str | None, typer.Option(help="Whose faces and labels are used; the backbone's first table if not given.")
    ] = None,
    faces: Annotated[int, typer.Option(min=2, max=64, help="How many faces every visible channel is moved on.")] = 16,
    channels: Annotated[int, typer.Option(min=0, help="Only so many channels, evenly spread; 0 for all.")] = 0,
    finished: Annotated[
        bool, typer.Option("--finished", help="Describe from the faces that are finished, moving nothing more.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Another folder than the visitor's, for what is shipped.")] = None,
    engine: EngineName = "local",
    workers: Workers = None,
    address: Address = "",
    as_json: Json = False,
) -> None:
    """Move every channel of a backbone on some faces and say what it draws; go on where it was stopped."""
    import numpy as np

    from img2tab_core.concepts import describing
    from img2tab_core.concepts.description import keep

    who = terminal.drawing_engine(engine, workers, address)
    studio = terminal.studio()
    if backbone not in studio.backbone_names():
        raise Img2TabError(
            f"There is no backbone {backbone!r} (`img2tab backbone list`). Add a checkpoint first, so that what is "
            "described of it has a name: img2tab backbone add."
        )
    model = studio.backbone(backbone)
    opened = [studio.table(name) for name in ([table] if table else studio.table_names())]
    of_backbone = next((each for each in opened if each.backbone == model.name), None)
    if table and of_backbone is None:
        raise Img2TabError(f"The table {table} is of the backbone {opened[0].backbone}, not of {model.name}.")
    total = model.layout.total
    chosen = None if not channels else np.unique(np.linspace(0, total - 1, min(channels, total)).round().astype(int))
    began = time.monotonic()
    with terminal.interrupted() as stopped:
        made = describing.describe(
            model,
            of_backbone,
            faces=faces,
            channels=chosen,
            only_finished=finished,
            engine=who,
            progress=terminal.progress(as_json),
            cancelled=stopped,
        )
    file = keep(made, out)
    describing.draw_sheets(made, model, describing.others(model, of_backbone, count=3), file.parent)
    seconds = time.monotonic() - began
    summary = made.about | {"families": len(made.families), "faces": made.faces, "seconds": round(seconds, 1)}
    if as_json:
        terminal.print_json(summary | {"out": str(file)})
        return
    typer.echo(
        f"{len(made.families)} families of {made.about['channels_seen']:,} channels that are seen, of "
        f"{made.about['of']:,}; on {made.faces} faces, in {seconds / 60:.1f} minutes; in {terminal.shown(file)}."
    )

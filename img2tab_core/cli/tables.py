"""`img2tab import ...`: photos or style codes of one's own become a table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from img2tab_core.base.engines import Engine
from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.places import Place, name_of, place_of
from img2tab_core.base.records import DEFAULT_BACKBONE
from img2tab_core.cli import terminal
from img2tab_core.cli.terminal import (
    Address,
    EngineName,
    Gpus,
    Json,
    Workers,
    count,
    interrupted,
    listed,
    print_json,
    progress,
    shown,
    studio,
    verb,
)

if TYPE_CHECKING:
    import numpy as np

    from img2tab_core.backbones.backbone import Backbone
    from img2tab_core.studio import Studio
    from img2tab_core.tables.importing import Imported
    from img2tab_core.tables.sources import Source

tables_app = typer.Typer(help="Style tables: what there is, build.")

import_app = typer.Typer(no_args_is_help=True, help="Make a table of photos or style codes of your own.")

LISTED = 10  # skipped photos that are shown; all of them are in --json and in the table
Name = Annotated[str | None, typer.Option("--name", help="The table's name; otherwise that of the folder or file.")]
BackboneName = Annotated[str, typer.Option("--backbone", help="A backbone (`img2tab backbone list`).")]
NoAlign = Annotated[bool, typer.Option("--no-align", help="The photos are aligned faces already.")]
Limit = Annotated[
    int | None,
    typer.Option("--limit", min=1, help="At most so many photos, sampled at random, the same ones each time."),
]
AgainstRest = Annotated[
    bool,
    typer.Option(
        "--against-rest", help="A column of 3 to 12 words becomes a target a word, not one target of them all."
    ),
]
BandsOf = Annotated[
    list[str] | None,
    typer.Option(
        "--bands",
        metavar="COLUMN:25,45",
        help="Numbers as ordered classes; of days, COLUMN@2020-01-01:55,70 takes the years to that day. Repeatable.",
    ),
]
Anew = Annotated[bool, typer.Option("--anew", help="Begin from the first photo; replace a table of that name.")]


@verb(import_app, "folder")
def import_folder(
    folder: Annotated[str, typer.Argument(metavar="FOLDER", help="A folder of photos; s3://... and gs://... too.")],
    labels: Annotated[str, typer.Option(metavar="FILE", help="CSV with a header line; one column names the photos.")],
    name: Name = None,
    backbone: BackboneName = DEFAULT_BACKBONE,
    no_align: NoAlign = False,
    limit: Limit = None,
    against_rest: AgainstRest = False,
    bands: BandsOf = None,
    engine: EngineName = "local",
    workers: Workers = None,
    address: Address = "",
    gpus: Gpus = False,
    anew: Anew = False,
    as_json: Json = False,
) -> None:
    """A folder of photos and a CSV file of labels; run it again to go on where it was stopped."""
    from img2tab_core.tables.bands import Bands
    from img2tab_core.tables.sources import folder_source, how_aligned

    who = Engine(engine, workers, address, gpus)
    wanted, place, open_studio = [Bands.parse(text) for text in bands or ()], place_of(folder), studio()
    source = folder_source(
        place,
        place_of(labels),
        align=open_studio.aligner(aligned=no_align),
        how=how_aligned(no_align),
        against_rest=against_rest,
        bands=wanted,
    )
    _import(open_studio, source, _name(name, place), backbone, engine=who, limit=limit, anew=anew, as_json=as_json)


@verb(import_app, "celeba")
def import_celeba(
    folder: Annotated[
        str,
        typer.Argument(
            metavar="FOLDER",
            help="Holds img_align_celeba, list_attr_celeba.txt and list_eval_partition.txt; s3://... and gs://... too.",
        ),
    ],
    name: Name = None,
    backbone: BackboneName = DEFAULT_BACKBONE,
    no_align: NoAlign = False,
    limit: Limit = None,
    engine: EngineName = "local",
    workers: Workers = None,
    address: Address = "",
    gpus: Gpus = False,
    anew: Anew = False,
    as_json: Json = False,
) -> None:
    """CelebA with its 40 attributes and its own split; run it again to go on where it was stopped."""
    from img2tab_core.tables.sources import celeba_source, how_aligned

    who, place, open_studio = Engine(engine, workers, address, gpus), place_of(folder), studio()
    source = celeba_source(place, align=open_studio.aligner(aligned=no_align), how=how_aligned(no_align))
    _import(open_studio, source, _name(name, place), backbone, engine=who, limit=limit, anew=anew, as_json=as_json)


@verb(import_app, "population")
def import_population(
    backbone: BackboneName,
    name: Annotated[str, typer.Option(help="The table's name.")],
    count: Annotated[int | None, typer.Option(min=1, help="At most so many faces, the same ones each time.")] = None,
    engine: EngineName = "local",
    workers: Workers = None,
    address: Address = "",
    gpus: Gpus = False,
    anew: Anew = False,
    as_json: Json = False,
) -> None:
    """The bundled population, drawn by the default backbone and encoded by another: a labelled table for it."""
    from img2tab_core.tables import population
    from img2tab_core.tables.sources import population_source

    who, open_studio = Engine(engine, workers, address, gpus), studio()
    source = population_source(population.FOLDER, _drawn_by(open_studio))
    _import(open_studio, source, name, backbone, engine=who, limit=count, anew=anew, as_json=as_json)


@verb(import_app, "psi")
def import_psi(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Style codes (N, D): .npy, .npz, .pt or .safetensors.")],
    labels: Annotated[
        Path, typer.Argument(help="One row per style code: CSV, list_attr_celeba.txt, .npy, .npz, .pt or .safetensors.")
    ],
    name: Name = None,
    backbone: BackboneName = DEFAULT_BACKBONE,
    scaler: Annotated[
        Path | None, typer.Option(help=".npz or .pt with mean and std: what standardised codes were scaled with.")
    ] = None,
    label_names: Annotated[str, typer.Option(metavar="A,B", help="Names of the columns of a .npy or .pt file.")] = "",
    against_rest: AgainstRest = False,
    bands: BandsOf = None,
    anew: Anew = False,
    as_json: Json = False,
) -> None:
    """Style codes that exist already, as the pre-encoded sets of Img2Tab; standardised ones are recognised."""
    from img2tab_core.tables.bands import Bands
    from img2tab_core.tables.importing import checked_name
    from img2tab_core.tables.importing_codes import import_codes

    table = checked_name(_name(name, Path(file.name).with_suffix("") if file.name else Path("codes")))
    with interrupted() as stopped:
        imported = import_codes(
            file,
            labels,
            _named(studio(), backbone),
            name=table,
            scaler=scaler,
            label_names=listed(label_names),
            against_rest=against_rest,
            bands=[Bands.parse(text) for text in bands or ()],
            anew=anew,
            progress=progress(as_json),
            stopped=stopped,
        )
    _tell(imported, as_json=as_json)


@verb(import_app, "classifier")
def import_classifier(
    file: Annotated[Path, typer.Argument(help="An XGBoost model as JSON, for instance the published Img2Tab one.")],
    table: Annotated[str, typer.Option(help="The table it is measured on and shown with.")],
    target: Annotated[str, typer.Option(help="The table's target that its class 1 means.")],
    as_json: Json = False,
) -> None:
    """A published classifier becomes a run of a table: measured on the test split, there on every page."""
    open_studio = studio()
    run = open_studio.trainer.adopt(file, open_studio.table(table), target)
    if as_json:
        print_json({"run": run.id, "table": table, "target": target, "origin": run.origin, **asdict(run.metrics)})
        return
    low, high = run.metrics.interval
    typer.echo(
        f"{shown(run.origin)} is a run of the table {table} for {target}: accuracy {run.metrics.accuracy:.1%} (95 % "
        f"interval {low:.1%} to {high:.1%}), AUC {run.metrics.auc:.4f} on {run.metrics.count:,} test faces."
    )


def _import(
    open_studio: Studio,
    source: Source,
    name: str,
    backbone: str,
    *,
    engine: Engine,
    limit: int | None,
    anew: bool,
    as_json: bool,
) -> None:
    from img2tab_core.tables.importing import import_photos
    from img2tab_core.tables.sources import limited

    with interrupted() as stopped:
        imported = import_photos(
            limited(source, limit),
            _named(open_studio, backbone),
            name=name,
            anew=anew,
            engine=engine,
            progress=progress(as_json),
            stopped=stopped,
        )
    _tell(imported, as_json=as_json)


def _named(open_studio: Studio, backbone: str) -> Backbone:
    """A backbone that has a name: a table refers to it for good, and a file may move."""
    if Path(backbone).is_file() and backbone not in open_studio.backbone_names():
        raise Img2TabError(
            f"A table needs a backbone with a name, got the file {backbone}. Run `img2tab backbone add {backbone} "
            "--name NAME`, then import with --backbone NAME."
        )
    return open_studio.backbone(backbone)


def _tell(imported: Imported, *, as_json: bool) -> None:
    """Print how many photos became rows, and what was left out."""
    table, facts = imported.table, imported.facts
    faces, channels = table.psi.shape
    names = [target.name for target in (*table.targets, *table.many)]
    if as_json:
        print_json(
            {
                "table": table.name,
                "faces": faces,
                "channels": channels,
                "backbone": table.backbone,
                "key": table.key,
                "targets": {target.name: list(target.classes) for target in (*table.targets, *table.many)},
                "resumed": imported.resumed,
                "was_there": imported.was_there,
                **asdict(facts),
            }
        )
        return
    things = "style codes" if facts.kind == "psi" else "photos"
    more = f", ... ({len(names)})" if len(names) > LISTED else ""
    lines = [
        f"Table {table.name}{' was there already' if imported.was_there else ''}: {faces:,} of {facts.photos:,} "
        f"{things}, {channels:,} channels, targets {', '.join(names[:LISTED])}{more}; {len(facts.skipped):,} skipped."
    ]
    if imported.resumed:
        lines.append(f"{imported.resumed:,} of them were done before.")
    if facts.note:
        lines.append(f"The style codes were {facts.note}.")
    if facts.several:
        lines.append(f"In {count(facts.several, 'photo')} with several faces the biggest was taken.")
    if facts.unlabelled:
        lines.append(f"{count(facts.unlabelled, 'photo')} without a label: encoded, of unknown class.")
    if facts.unmatched:
        lines.append(f"{count(facts.unmatched, 'label')} without a photo: left out.")
    for column, reason in facts.no_target.items():
        lines.append(f"No target {column}: {reason}.")
    for photo, reason in list(facts.skipped.items())[:LISTED]:
        lines.append(f"Skipped {photo}: {reason}")
    if len(facts.skipped) > LISTED:
        lines.append(f"... and {len(facts.skipped) - LISTED:,} more; --json lists them all.")
    typer.echo("\n".join(shown(line) for line in lines))


def _drawn_by(open_studio: Studio) -> Callable[[np.ndarray], np.ndarray]:
    """w float32 (512,) of the default backbone -> its picture, uint8 (256, 256, 3)."""
    from img2tab_core.backbones.drawn_faces import PictureOf

    open_studio.backbone(DEFAULT_BACKBONE)  # weights that are missing are said once, not of every face
    return PictureOf(DEFAULT_BACKBONE)


def _name(name: str | None, place: Place) -> str:
    from img2tab_core.tables.label_files import slug

    return slug(name_of(place)) if name is None else name


@tables_app.callback(invoke_without_command=True)
@terminal.in_one_sentence
def list_tables(context: typer.Context, as_json: Json = False) -> None:
    """Tables that are built, their size and targets."""
    if context.invoked_subcommand is None:
        _list_tables(as_json=as_json)


def _list_tables(as_json: bool) -> None:
    opened, damaged = terminal.opened_tables(terminal.studio())
    about = [
        {
            "name": table.name,
            "faces": table.psi.shape[0],
            "channels": table.psi.shape[1],
            "backbone": table.backbone,
            "targets": {target.name: list(target.classes) for target in (*table.targets, *table.many)},
        }
        for table in opened
    ]
    if as_json:
        terminal.print_json({"tables": about, "damaged": damaged})
        return
    if not about and not damaged:
        typer.echo("No table is built yet. Run: img2tab tables build default")
    for table in opened:
        faces, channels = table.psi.shape
        typer.echo(f"{table.name}: {faces:,} faces x {channels:,} channels ({table.backbone})")
        for target in (*table.targets, *table.many):
            typer.echo(f"    {target.name}: {' / '.join(target.classes)}")
    for broken in damaged:
        typer.echo(f"{broken['name']}: damaged. {broken['sentence']}")


@verb(tables_app, "copy")
def copy_table(
    where_from: Annotated[
        str, typer.Argument(metavar="FROM", help="A table, or where a copy is: s3://..., gs://... or a folder.")
    ],
    where_to: Annotated[
        str | None,
        typer.Argument(metavar="TO", help="Where to, or the table's name here; without, that of the copy."),
    ] = None,
    anew: Annotated[bool, typer.Option("--anew", help="Replace another table, or the copy of another, there.")] = False,
    as_json: Json = False,
) -> None:
    """A table to an object store or another disk, or back: whole or not at all; run it again to go on. A folder is
    written with a slash in it."""
    from img2tab_core.tables import copies

    out = "/" not in where_from
    if out is ("/" not in (where_to or "")):
        raise Img2TabError(
            "A table is copied from its name to a place or from a place to a name, and a place has a slash in it: "
            "`img2tab tables copy NAME s3://BUCKET/tables/NAME`, `img2tab tables copy s3://BUCKET/tables/NAME`."
        )
    report = progress(as_json)
    with interrupted() as stopped:
        if out:
            copied = copies.copy_out(where_from, place_of(where_to or ""), anew=anew, progress=report, stopped=stopped)
        else:
            place = place_of(where_from)
            copied = copies.copy_in(place, where_to or place.name, anew=anew, progress=report, stopped=stopped)
    what = f"{shown(copied.place)}, {copied.size / 1e6:,.1f} MB"
    terminal.answer(
        asdict(copied) | {"was_there": copied.was_there},
        f"Table {copied.name} {'was there already' if copied.was_there else 'is copied'}: "
        f"{'to' if out else 'from'} {what}, every byte compared.",
        as_json=as_json,
    )


@verb(tables_app)
def forget(
    names: Annotated[list[str] | None, typer.Argument(help="Tables, or imports that wait; without, all.")] = None,
    older_than: Annotated[
        int, typer.Option(min=0, metavar="DAYS", help="Only what nobody added to for so many days.")
    ] = 0,
    yes: Annotated[bool, typer.Option("--yes", help="Yes, remove it. Without, it is only listed.")] = False,
    as_json: Json = False,
) -> None:
    """What is kept of people's photos (tables, photos that wait, half-done imports), and its end. For a daily job:
    `img2tab tables forget --older-than 90 --yes`."""
    from img2tab_core.audits import worked_example
    from img2tab_core.tables import population, retention

    chosen = retention.kept((population.TABLE, worked_example.TABLE))
    for name in names or ():
        if name not in {thing.name for thing in chosen}:
            there = ", ".join(dict.fromkeys(thing.name for thing in chosen)) or "nothing"
            raise Img2TabError(f"Nothing of people's photos is kept under the name {name!r}; there is {there}.")
    chosen = [thing for thing in chosen if thing.days >= older_than and (not names or thing.name in names)]
    for thing in chosen if yes else ():
        retention.forget(thing)
    lines = [f"{thing.what} {terminal.shown(thing.name)}: {thing.days:.0f} days" for thing in chosen]
    if not chosen:
        lines.append("Nothing of people's photos is kept here" + (" that long." if older_than else "."))
    else:
        lines.append("Removed." if yes else "Say --yes to remove it for good; runs trained on a table stay.")
    content = [{"what": thing.what, "name": thing.name, "days": round(thing.days, 2)} for thing in chosen]
    terminal.answer({"kept": content, "removed": yes}, "\n".join(lines), as_json=as_json)


@verb(tables_app, "build")
def build_table(
    name: Annotated[
        str,
        typer.Argument(
            help="`default`, the bundled population; or `worked-example`, a sample of it that has a gap to look into."
        ),
    ] = "default",
    if_missing: Annotated[bool, typer.Option("--if-missing", help="Do nothing if it is built and current.")] = False,
    as_json: Json = False,
) -> None:
    """Build a table from the bundled population, and train its first classifier."""
    from img2tab_core.base.files import home
    from img2tab_core.classifiers.runs import any_kept
    from img2tab_core.tables.population import build_default_table, is_current

    # asked at every start: what is there already must not cost the libraries that would make it
    if if_missing and not as_json and name == "default" and any_kept("default"):
        if is_current():
            return
    from img2tab_core.audits import worked_example

    if name not in ("default", worked_example.TABLE):
        raise Img2TabError(f"The bundled tables are called `default` and `{worked_example.TABLE}`, got {name!r}.")
    studio, report = terminal.studio(), terminal.progress(as_json)
    sampled = name == worked_example.TABLE  # from the default table, built if it is missing
    if not ((if_missing or sampled) and is_current()):
        build_default_table(studio.backbone, anew=not (if_missing or sampled), progress=report)
    folder, target = home() / "tables" / name, None
    if sampled:
        target = worked_example.TARGET
        if not (if_missing and worked_example.is_built(studio.table("default"), folder)):
            worked_example.biased_table(studio.table("default"), folder, progress=report)
    table = studio.table(name)
    studio.run(table, target or table.targets[0].name, progress=report)
    if as_json:
        terminal.print_json(
            {
                "table": name,
                "faces": table.psi.shape[0],
                "channels": table.psi.shape[1],
                "about": studio.trainer.about_table(name),
            }
        )
    elif not if_missing:
        typer.echo(
            f"Table {name}: {table.psi.shape[0]:,} faces x {table.psi.shape[1]:,} channels."
            + (f" {studio.trainer.about_table(name)['note']}" if sampled else "")
        )

"""The verbs about classifiers of somebody's own: add, list, check, remove, and explain what they react to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from img2tab_core.base import places
from img2tab_core.base.errors import Img2TabError
from img2tab_core.cli import terminal
from img2tab_core.cli.terminal import Address, EngineName, Json, TableName, Workers, verb
from img2tab_core.faces.photos import MOST_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from img2tab_core.audits.own_photos import OnPhotos
    from img2tab_core.base.places import Place
    from img2tab_core.base.records import StyleTable
    from img2tab_core.classifiers.models import Added
    from img2tab_core.classifiers.reactions import Reactions
    from img2tab_core.concepts.ranking import RankedFamily
    from img2tab_core.studio import Studio

ON_PHOTOS = 8  # concepts that are moved on a person's own photos
NARROW = "\N{NO-BREAK SPACE}"
models_app = typer.Typer(no_args_is_help=True, help="Classifiers of your own that read pixels: add, list, check.")
explain_app = typer.Typer()

OwnName = Annotated[str, typer.Option("--classifier", help="A classifier of your own (`img2tab model list`).")]


@verb(models_app)
def add(
    file: Annotated[Path, typer.Argument(help="An ONNX file.")],
    name: Annotated[str, typer.Option(help="What it is called from now on: one word.")],
    size: Annotated[int | None, typer.Option("--input", help="Side of the pictures it takes, px.")] = None,
    layout: Annotated[str, typer.Option(help="nchw (colours first) or nhwc.")] = "",
    colour: Annotated[str, typer.Option(help="rgb, bgr or grey.")] = "",
    normalise: Annotated[
        str, typer.Option(help="imagenet, 0..1, -1..1, 0..255, or MEAN,STD (three of each: six numbers).")
    ] = "",
    crop: Annotated[
        str,
        typer.Option(
            help="Part of the aligned face it is shown: 0.8 (the middle), face (what a face detector finds), or "
            "LEFT,TOP,RIGHT,BOTTOM in shares."
        ),
    ] = "1",
    output: Annotated[str, typer.Option(help="What it answers with: logits, probabilities, sigmoid or value.")] = "",
    classes: Annotated[str, typer.Option(metavar="A,B|0-80", help="Names of its classes.")] = "",
    positive: Annotated[
        str, typer.Option("--class", metavar="A", help="The class asked about, or several: 30-80. Of two the second.")
    ] = "",
    against: Annotated[str, typer.Option(metavar="B", help="Against which; all others if not given.")] = "",
    threshold: Annotated[
        float | None, typer.Option(help="For one that answers with a quantity: class 1 is above this.")
    ] = None,
    title: Annotated[str, typer.Option(help="What a person reads; the name if not given.")] = "",
    judges: Annotated[
        str, typer.Option(metavar="TARGET", help="The target whose labels it is held against, if there is one.")
    ] = "",
    as_json: Json = False,
) -> None:
    """Check a classifier, try it on twelve faces, and keep it; nothing of it leaves this machine."""
    from img2tab_core.classifiers.models import Wishes

    wishes = Wishes(
        size,
        layout,
        colour,
        normalise,
        crop,
        output,
        _named(classes),
        positive,
        against,
        threshold,
        title,
        judges,
    )
    made = terminal.studio().add_model(file, name, wishes)
    if as_json:
        terminal.print_json(_about(made) | {"added": True})
        return
    typer.echo(_text(made))
    typer.echo(f"What it reacts to: img2tab explain --classifier {name}")


@verb(models_app, "list")
def list_models(as_json: Json = False) -> None:
    """Every classifier of your own."""
    from img2tab_core.classifiers import models

    records = models.records()
    if as_json:
        terminal.print_json({"classifiers": records})
        return
    if not records:
        typer.echo("None yet. Add one: img2tab model add FILE.onnx --name NAME")
    for record in records:
        model = models.open_model(record["name"])
        zero, one = model.classes
        typer.echo(
            terminal.shown(f"{record['name']}: {zero} or {one}; {model.input.sentence}; from {record['origin']}")
            + (f"; held against {record['judges']}" if record["judges"] else "")
        )


@verb(models_app)
def check(
    name: Annotated[str, typer.Argument(help="A classifier of your own.")],
    as_json: Json = False,
) -> None:
    """Ask it about the twelve sample faces again: whether its file is whole, and its answers are steady."""
    import numpy as np

    from img2tab_core.classifiers.models import Added, open_model
    from img2tab_core.classifiers.pixel_models import check_steady

    model = open_model(name)
    faces = np.stack([face.pixels for face in terminal.studio().samples()])
    made = Added(model, (), check_steady(model, faces))
    terminal.print_json(_about(made)) if as_json else typer.echo(_text(made))


@verb(models_app)
def remove(
    name: Annotated[str, typer.Argument(help="A classifier of your own.")],
    as_json: Json = False,
) -> None:
    """Forget a classifier, its copy and its answers; the file it was added from stays."""
    from img2tab_core.classifiers import models

    models.remove(name)
    terminal.print_json({"removed": name}) if as_json else typer.echo(f"{name} is removed.")


@verb(explain_app)
def explain(
    name: OwnName,
    table: TableName = "default",
    faces: Annotated[int, typer.Option(min=200, help="How many faces of the table it is asked about.")] = 2000,
    photos: Annotated[
        Path | None, typer.Option(help="A folder of photos, or one: what it reacts to on these as well.")
    ] = None,
    refine: Annotated[
        int, typer.Option(min=0, help="Steps of refinement for every photo first; some ten seconds for 50.")
    ] = 0,
    html: Annotated[Path | None, typer.Option(help="An .html to write: everything in one file.")] = None,
    top: Annotated[int, typer.Option(min=0, help="How many concepts are printed; 0 for all.")] = 12,
    engine: EngineName = "local",
    workers: Workers = None,
    address: Address = "",
    as_json: Json = False,
) -> None:
    """What a classifier of your own reacts to: every concept moved alone, drawn, and the classifier asked."""
    from img2tab_core.classifiers.reactions import BLIND

    if html is not None:
        if html.suffix not in (".html", ".htm"):
            raise Img2TabError(f"--html must end in .html, got {html.name or html}.")
        terminal.check_out(html, "--html")
    who = terminal.drawing_engine(engine, workers, address)
    files = terminal.all_photos([photos]) if photos is not None else []
    studio = terminal.studio()
    style_table = studio.table(table)

    def better(reactions: Reactions) -> None:
        if not as_json:
            typer.echo(
                f"After {reactions.asked:,} faces, drawn at {reactions.size} px: {reactions.sentence}\n", err=True
            )

    with terminal.interrupted() as stopped:
        reactions = studio.question(
            name,
            style_table,
            faces=faces,
            engine=who,
            progress=terminal.progress(as_json),
            cancelled=stopped,
            on_answer=better,
        )
        on_photos = _on_photos(studio, style_table, name, reactions, files, refine, stopped) if files else None
    if html is not None:
        from img2tab_core.reports.explanation import explanation_html

        page = explanation_html(studio, reactions, photos=on_photos)
        terminal.write(html, lambda file: file.write(page.encode()))
    if as_json:
        terminal.print_json(
            reactions.to_json() | {"photos": on_photos and on_photos.to_json(), "html": html and str(html)}
        )
        return
    typer.echo(terminal.shown(f"{reactions.model.title}: {reactions.sentence}"))
    typer.echo(reactions.fidelity.sentence if reactions.fidelity else reactions.why)
    shown = reactions.families[:top] if top else reactions.families
    heads = ("", "effect, log-odds", "turns", "", "distance", "importance")
    typer.echo(terminal.aligned([heads, *(_cells(reactions, row) for row in shown)]))
    typer.echo(f"{reactions.basis} {BLIND}")
    if on_photos is not None:
        typer.echo(terminal.shown(on_photos.sentence))
    if html is not None:
        typer.echo(f"All of it in one file: {terminal.shown(html)}")


def _on_photos(
    studio: Studio,
    table: StyleTable,
    name: str,
    reactions: Reactions,
    files: Sequence[Place],
    refine: int,
    stopped: Callable[[], bool],
) -> OnPhotos:
    """The strongest concepts moved on a person's own photos; a photo without a face is left out, and said."""
    from img2tab_core.audits.own_photos import on_photos

    faces, skipped = [], []
    for file in files:
        try:
            faces.append((file.name, studio.faces(places.read(file, most=MOST_BYTES))[0]))
        except (Img2TabError, OSError) as error:
            skipped.append({"photo": str(file), "reason": str(error)})
    terminal.skipped(skipped, quiet=False)
    if not faces:
        raise Img2TabError(f"A face was found in none of {len(files)} photos.")
    run = studio.trainer.own(studio.table(table.name), name, name)
    families = [row for row in reactions.families if row.effect is not None][:ON_PHOTOS]
    return on_photos(studio, run, faces, families=families, refine_steps=refine, cancelled=stopped)


def _cells(reactions: Reactions, row: RankedFamily) -> tuple[str, ...]:
    return (
        f"{row.family.name} ({row.family.id})",
        "" if row.effect is None else row.effect.text(),
        f"{int(reactions.moved.turned[row.number])} of {reactions.moved.faces}",
        row.verdict,
        f"{row.distance:.2f}",
        f"{100 * row.importance:.1f} + {100 * row.by_stand_ins:.1f} %",
    )


def _named(classes: str) -> tuple[str, ...]:
    """ "a,b" -> names; "0-80" -> 81 of them."""
    first, _, last = classes.partition("-")
    if first.isdecimal() and last.isdecimal() and int(first) < int(last) <= 10_000:
        return tuple(map(str, range(int(first), int(last) + 1)))
    return tuple(terminal.listed(classes))


def _about(made: Added) -> dict:
    from img2tab_core.classifiers.pixel_models import chances

    return made.model.to_json() | {
        "guessed": list(made.guessed),
        "samples": [round(float(chance), 6) for chance in chances(made.log_odds)],
        "warning": made.warning,
    }


def _text(made: Added) -> str:
    from img2tab_core.base.words import chance
    from img2tab_core.classifiers.pixel_models import chances

    zero, one = made.model.classes
    answers = ", ".join(
        f"{number + 1} {one if value > 0.5 else zero} {chance(max(value, 1 - value))}"
        for number, value in enumerate(chances(made.log_odds).tolist())
    )
    lines = [
        f"{made.model.title}: {zero} or {one}. It is handed {made.model.input.sentence}.",
        f"The sample faces: {answers}.",
    ]
    if made.guessed:
        lines.append(f"Guessed, say so if it is otherwise: {'; '.join(made.guessed)}.")
    if made.warning:
        lines.append(made.warning)
    return "\n".join(terminal.shown(line.replace(NARROW, " ")) for line in lines)

"""The same verbs for a terminal: `img2tab VERB ...`; `--json` prints one JSON document and nothing else."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from img2tab_core import __version__, terminal
from img2tab_core.cli_audit import audit_app
from img2tab_core.cli_classifiers import classifiers_app
from img2tab_core.cli_import import import_app
from img2tab_core.cli_sessions import sessions_app
from img2tab_core.errors import Cancelled, Img2TabError
from img2tab_core.records import DEFAULT_BACKBONE
from img2tab_core.terminal import Json, verb

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
    help="A photo becomes a row of visual concepts; look at what a classifier made of it, exclude, retrain.",
)
weights_app = typer.Typer(no_args_is_help=True, help="Model files: what there is, fetch, verify.")
tables_app = typer.Typer(help="Style tables: what there is, build.")
backbone_app = typer.Typer(no_args_is_help=True, help="Generators with their encoders: what there is, add, remove.")
app.add_typer(weights_app, name="weights")
app.add_typer(tables_app, name="tables")
app.add_typer(backbone_app, name="backbone")
app.add_typer(import_app, name="import")
app.add_typer(classifiers_app)
app.add_typer(audit_app)
app.add_typer(sessions_app)

FaceNumber = Annotated[int, typer.Option("--face", min=1, help="Which face of a photo, 1 is the biggest.")]
BackboneName = Annotated[str, typer.Option(
    "--backbone", metavar="NAME_OR_FILE", help="A backbone (`img2tab backbone list`), or a checkpoint file.")]
TableName = Annotated[str, typer.Option("--table", help="Name of a table (`img2tab tables`).")]
MAX_SHIFT = 1_000_000              # beyond it no picture is left, and squares overflow
MALLOC = {
    # keep freed memory: renders reuse it instead of faulting new pages in, up to twice as fast; but at most 256 MB of
    # it, and in one arena: by default every thread keeps its own, and a visit came to twice the memory
    "MALLOC_MMAP_THRESHOLD_": "4294967296", "MALLOC_TRIM_THRESHOLD_": "268435456", "MALLOC_TOP_PAD_": "67108864",
    "MALLOC_ARENA_MAX": "1",
}


@verb(app)
def predict(
    photos: Annotated[list[Path], typer.Argument(help="Photos; one face of each is used.")],
    target: Annotated[str, typer.Option(help="What to predict, for instance perceived_gender.")],
    table: TableName = "default",
    top: Annotated[int, typer.Option(min=1, help="How many concepts to show.")] = 5,
    face_number: FaceNumber = 1,
    no_align: Annotated[bool, typer.Option("--no-align", help="The photos are aligned faces already.")] = False,
    as_json: Json = False,
) -> None:
    """Probability of a photo's class, and the concepts that decided it."""
    import numpy as np

    studio = terminal.studio()
    style_table = studio.table(table)
    target_record = _target(style_table, target)
    run = studio.run(style_table, target, progress=terminal.progress(as_json))
    names = studio.concept_names(style_table.backbone)
    results, skipped = [], []
    for photo in photos:
        try:
            face, count = terminal.face(studio, photo, face_number, aligned=no_align)
        except Img2TabError as error:
            skipped.append({"photo": str(photo), "reason": str(error)})
            continue
        code = studio.encode(face, backbone=style_table.backbone)
        prediction = studio.predict(run, code)
        order = np.argsort(-np.abs(prediction.contributions))[:top]
        results.append({
            "photo": str(photo), "faces": count, "face": face_number, "target": target,
            "probability": prediction.probability,
            "class": target_record.classes[int(prediction.probability > 0.5)],
            "quality": studio.quality(face, code).word,
            "concepts": [
                terminal.concept(style_table, names, int(i)) | {"contribution": float(prediction.contributions[i])}
                for i in order
            ],
        })
    if as_json:
        terminal.print_json({"results": results, "skipped": skipped})
    for result in [] if as_json else results:
        several = f" ({terminal.which(face_number)} of {result['faces']} faces)" if result["faces"] > 1 else ""
        share = max(result["probability"], 1 - result["probability"])
        typer.echo(f"{terminal.shown(result['photo'])}{several}: {result['class']}, {share:.1%}; "
                   f"inversion {result['quality']}")
        for concept in result["concepts"]:
            typer.echo(f"    {concept['contribution']:+.3f} log-odds   {terminal.title(concept)}")
    terminal.skipped(skipped, quiet=as_json)
    if not results:
        raise typer.Exit(1)


@verb(app)
def encode(
    sources: Annotated[list[Path], typer.Argument(metavar="PHOTO_OR_DIR...", help="Photos, or folders of photos.")],
    out: Annotated[Path, typer.Option(help="The .npz to write: psi (n, D), w (n, L, 512), photos (n,), backbone.")],
    backbone: BackboneName = DEFAULT_BACKBONE,
    face_number: FaceNumber = 1,
    no_align: Annotated[bool, typer.Option("--no-align", help="The photos are aligned faces already.")] = False,
    as_json: Json = False,
) -> None:
    """Photos to style codes."""
    import numpy as np

    terminal.check_out(out)
    files = terminal.all_photos(sources)
    studio = terminal.studio()
    model = studio.backbone(backbone)
    w, encoded, skipped = [], [], []
    report = terminal.progress(as_json)
    for i, file in enumerate(files):
        try:
            face, count = terminal.face(studio, file, face_number, aligned=no_align)
            w.append(model.invert(face.pixels[None])[0])
            encoded.append({"photo": str(file), "faces": count})
        except Img2TabError as error:
            skipped.append({"photo": str(file), "reason": str(error)})
        report((i + 1) / len(files), f"{i + 1} of {len(files)} photos")
    if not w:
        raise Img2TabError(f"None of {len(files)} photos could be encoded. The first: {skipped[0]['reason']}")
    stacked = np.stack(w)
    psi = model.styles(stacked)
    terminal.write_codes(out, psi, model.w_plus(stacked), encoded, model.name)
    if as_json:
        terminal.print_json({"out": str(out), "backbone": model.name, "encoded": len(encoded),
                             "channels": psi.shape[1], "photos": encoded,
                     "skipped": skipped})
    else:
        typer.echo(f"{len(encoded)} style codes of {psi.shape[1]} channels in {terminal.shown(out)}.")
        _several(encoded, face_number)
        terminal.skipped(skipped, quiet=False)


@verb(app)
def refine(
    sources: Annotated[list[Path], typer.Argument(metavar="PHOTO_OR_DIR...", help="Photos, or folders of photos.")],
    out: Annotated[Path, typer.Option(help="The .npz to write: psi (n, D), w (n, L, 512), photos (n,), backbone.")],
    seconds: Annotated[float, typer.Option(help="Time for one photo.")] = 10.0,
    steps: Annotated[int | None, typer.Option(
        min=1, help="So many steps instead of a time: the same result every time.")] = None,
    picture: Annotated[Path | None, typer.Option(
        help="A .png to write: a row per photo with the face, the encoder's answer and the refined one.")] = None,
    backbone: BackboneName = DEFAULT_BACKBONE,
    face_number: FaceNumber = 1,
    no_align: Annotated[bool, typer.Option("--no-align", help="The photos are aligned faces already.")] = False,
    as_json: Json = False,
) -> None:
    """Photos to style codes nearer to them than `encode` gets, in some seconds each; Ctrl+C keeps what is done."""
    from dataclasses import asdict

    import numpy as np
    from PIL import Image

    terminal.check_out(out)
    if picture is not None:
        if picture.suffix != ".png":
            raise Img2TabError(f"--picture must end in .png, got {picture.name or picture}.")
        terminal.check_out(picture, "--picture")
    if not seconds > 0:
        raise Img2TabError(f"--seconds must be above 0, got {seconds:g}. Give 10.")
    files = terminal.all_photos(sources)
    studio, report = terminal.studio(), terminal.progress(as_json)
    table = next((one for one in _tables(studio)[0] if one.backbone == backbone), None)
    run = table and studio.run(table, table.targets[0].name)         # whose strongest concepts are the known edit
    psi, w, rows, refined, skipped = [], [], [], [], []
    with terminal.interrupted() as stopped:
        for i, file in enumerate(files):
            if stopped():
                break

            def part(fraction: float, text: str, i: int = i) -> None:
                report((i + fraction) / len(files), f"{i + 1} of {len(files)}: {text}")

            try:
                face, count = terminal.face(studio, file, face_number, aligned=no_align)
                code, found = studio.refine(
                    face, backbone=backbone, seconds=seconds, steps=steps, progress=part, stopped=stopped)
                if found.steps == 0:
                    break
                quick = studio.encode(face, backbone=backbone)
                if picture is not None:
                    both = [studio.render(one, size=256) for one in (quick, code)]
                    rows.append(np.hstack([face.pixels, *both]))
            except Cancelled:
                break
            except Img2TabError as error:
                skipped.append({"photo": str(file), "reason": str(error)})
                continue
            psi.append(code.values)
            w.append(found.w_plus)
            refined.append({"photo": str(file), "faces": count} | {
                name: value for name, value in asdict(found).items() if name != "w_plus"}
                | {"known_edit": asdict(studio.edit_agreement(run, quick, code)) if run else None})
        cut = stopped()
    if not w:
        raise Img2TabError(
            "Stopped before a photo was refined; nothing was written." if cut or not skipped
            else f"None of {len(files)} photos could be refined. The first: {skipped[0]['reason']}")
    terminal.write_codes(out, np.stack(psi), np.stack(w), refined, backbone)
    if picture is not None:
        terminal.write(picture, lambda file: Image.fromarray(np.vstack(rows)).save(file, "PNG"))
    if as_json:
        terminal.print_json({"out": str(out), "picture": picture and str(picture), "refined": len(refined),
                     "channels": len(psi[0]), "interrupted": cut, "photos": refined, "skipped": skipped})
    for one in [] if as_json else refined:
        before, after = one["before"], one["after"]
        typer.echo(
            f"{terminal.shown(one['photo'])}: identity distance {before['identity']:.2f} -> {after['identity']:.2f}, "
            f"picture error {before['pixels']:.1f} -> {after['pixels']:.1f} of 255, moved {one['moved']:.2f} of the "
            "spread of "
            + (f"w, a known edit agrees {one['known_edit']['picture']:.2f}; " if one["known_edit"] else "w; ")
            + f"{one['steps']} steps in {one['seconds']:.1f} s"
            + (", cut short" if one["stopped"] == "cancelled" else "")
        )
    if not as_json:
        typer.echo(f"{len(refined)} style codes of {len(psi[0])} channels in {terminal.shown(out)}.")
        if picture is not None:
            typer.echo(f"Face, encoder's answer and refined one, side by side, in {terminal.shown(picture)}.")
        _several(refined, face_number)
        terminal.skipped(skipped, quiet=False)
    if cut:
        typer.echo(f"Stopped by Ctrl+C: {len(refined)} of {len(files)} photos were refined.", err=True)
        raise typer.Exit(130)


@verb(app)
def render(
    codes: Annotated[Path, typer.Option(help="An .npz of `img2tab encode` or `refine`.")],
    out: Annotated[Path, typer.Option(help="X.png, or X.npy for float32 (N, N, 3), not clipped.")],
    row: Annotated[int, typer.Option(min=0, help="Which style code.")] = 0,
    edit: Annotated[list[str] | None, typer.Option(
        metavar="INDEX:+SHIFT", help="Move a channel, standard deviations.")] = None,
    edit_raw: Annotated[list[str] | None, typer.Option(
        metavar="INDEX:+SHIFT", help="Move a channel, style units.")] = None,
    size: Annotated[int | None, typer.Option(
        help="Side of the picture in px; the largest the backbone draws if not given.")] = None,
    backbone: Annotated[str | None, typer.Option(
        metavar="NAME_OR_FILE", help="A backbone, or a checkpoint file; the one that the style codes name if not given."
    )] = None,
    as_json: Json = False,
) -> None:
    """A style code to a picture, with edits."""
    import numpy as np
    from PIL import Image

    from img2tab_core.records import Edit, StyleCode
    from img2tab_core.rendering import to_pixels

    if out.suffix not in (".png", ".npy"):
        raise Img2TabError(f"--out must end in .png or .npy, got {out.name or out}.")
    terminal.check_out(out)
    raw, moves = [_edit(text) for text in edit_raw or []], [Edit(*_edit(text)) for text in edit or []]
    psi, made_with = terminal.style_codes(codes)
    if row >= len(psi):
        raise Img2TabError(f"--row must be below {len(psi)}, the number of style codes in {codes}, got {row}.")
    studio = terminal.studio()
    model = studio.backbone(backbone or made_with)
    layout = model.layout
    if psi.shape[1] != layout.total:
        raise Img2TabError(
            f"Style codes must have {layout.total} channels for the backbone {model.name}, got {psi.shape[1]}. "
            "Name the backbone they were encoded with: --backbone."
        )
    values = psi[row].copy()
    if not np.isfinite(values).all():
        raise Img2TabError(f"Row {row} of {codes} has values that are not finite numbers. Encode the photo again.")
    for index, shift in raw:
        layout.locate(index)
        values[index] += shift
    code = studio.edited(StyleCode.of(values, backbone or made_with), moves)
    picture = studio.render_raw(code, size=size)
    size = len(picture)
    if out.suffix == ".npy":
        terminal.write(out, lambda file: np.save(file, picture))
    else:
        terminal.write(out, lambda file: Image.fromarray(to_pixels(picture)).save(file, "PNG"))
    if as_json:
        terminal.print_json({"out": str(out), "size": size})
    else:
        typer.echo(f"{size} px picture in {terminal.shown(out)}.")


@verb(app)
def scores(
    target: Annotated[str, typer.Option(help="What is predicted.")],
    table: TableName = "default",
    top: Annotated[int, typer.Option(min=1, help="How many concepts.")] = 20,
    as_json: Json = False,
) -> None:
    """Concepts ranked by Wasserstein-1 distance, with their importance."""
    import numpy as np

    studio = terminal.studio()
    style_table = studio.table(table)
    run = studio.run(style_table, target, progress=terminal.progress(as_json))
    found = studio.scores(run)
    names = studio.concept_names(style_table.backbone)
    order = np.argsort(-found.distance, kind="stable")[:top]
    rows = [
        terminal.concept(style_table, names, int(i)) | {
            "distance": float(found.distance[i]), "direction": float(found.direction[i]),
            "importance": float(found.importance[i])}
        for i in order
    ]
    if as_json:
        terminal.print_json({"table": table, "target": target, "concepts": rows})
        return
    typer.echo("distance  importance  concept      (distance: Wasserstein-1 between the classes, standard deviations)")
    for one in rows:
        typer.echo(f"{one['distance']:8.3f}  {one['importance']:9.2%}  {terminal.title(one)}")


@verb(app)
def train(
    target: Annotated[str, typer.Option(help="What to predict.")],
    out: Annotated[Path, typer.Option(help="Folder for the trained run.")],
    table: TableName = "default",
    exclude: Annotated[str, typer.Option(
        metavar="I,J|@FILE", help="Channels to train without: numbers, or a shared list.")] = "",
    classifier: Annotated[str, typer.Option(help="Its kind: catboost, xgboost, lightgbm, tabnet, forest, logistic.")
                          ] = "catboost",
    seed: Annotated[int, typer.Option(min=0, help="Seed of the training.")] = 0,
    as_json: Json = False,
) -> None:
    """Train a classifier, without some concepts if asked; measured on the test split."""
    from dataclasses import asdict

    from img2tab_core.runs import save_run

    studio = terminal.studio()
    style_table = studio.table(table)
    excluded = terminal.channels(exclude, style_table)
    run = studio.train(
        style_table, target, kind=classifier, excluded=excluded, seed=seed, progress=terminal.progress(as_json))
    save_run(run, out)
    about = {"out": str(out), "target": target, "classifier": classifier, "excluded": sorted(excluded), "seed": seed,
             "seconds": run.seconds} | asdict(run.metrics)
    if as_json:
        terminal.print_json(about)
        return
    low, high = run.metrics.interval
    typer.echo(
        f"Accuracy {run.metrics.accuracy:.1%} (95 % interval {low:.1%} to {high:.1%}), AUC {run.metrics.auc:.4f}, "
        f"log-loss {run.metrics.log_loss:.4f} on {run.metrics.count:,} test faces; {len(excluded)} concepts excluded; "
        f"{run.seconds:.1f} s; in {out}."
    )


@tables_app.callback(invoke_without_command=True)
@terminal.in_one_sentence
def list_tables(context: typer.Context, as_json: Json = False) -> None:
    """Tables that are built, their size and targets."""
    if context.invoked_subcommand is None:
        _list_tables(as_json=as_json)


def _list_tables(as_json: bool) -> None:
    found, damaged = _tables(terminal.studio())
    about = [
        {"name": t.name, "faces": t.psi.shape[0], "channels": t.psi.shape[1], "backbone": t.backbone,
         "targets": {target.name: list(target.classes) for target in t.targets}}
        for t in found
    ]
    if as_json:
        terminal.print_json({"tables": about, "damaged": damaged})
        return
    if not about and not damaged:
        typer.echo("No table is built yet. Run: img2tab tables build default")
    for one in about:
        typer.echo(f"{one['name']}: {one['faces']:,} faces x {one['channels']:,} channels ({one['backbone']})")
        for name, classes in one["targets"].items():
            typer.echo(f"    {name}: {classes[0]} / {classes[1]}")
    for one in damaged:
        typer.echo(f"{one['name']}: damaged. {one['sentence']}")


@verb(tables_app, "build")
def build_table(
    name: Annotated[str, typer.Argument(
        help="`default`, the bundled population; or `worked-example`, a draw of it that has a gap to look into."
    )] = "default",
    if_missing: Annotated[bool, typer.Option("--if-missing", help="Do nothing if it is built and current.")] = False,
    as_json: Json = False,
) -> None:
    """Build a table from the bundled population, and train its first classifier."""
    from img2tab_core.population import build_default_table, is_current
    from img2tab_core.weights import home

    # asked at every start: what is there already must not cost the libraries that would make it
    if if_missing and not as_json and name == "default" and any((home() / "runs").glob("default-*/run.json")):
        if is_current():
            return
    from img2tab_core import worked_example

    if name not in ("default", worked_example.TABLE):
        raise Img2TabError(f"The bundled tables are called `default` and `{worked_example.TABLE}`, got {name!r}.")
    studio, report = terminal.studio(), terminal.progress(as_json)
    drawn = name == worked_example.TABLE                             # from the default table, built if it is missing
    if not ((if_missing or drawn) and is_current()):
        build_default_table(anew=not (if_missing or drawn), progress=report)
    folder, target = home() / "tables" / name, None
    if drawn:
        target = worked_example.TARGET
        if not (if_missing and worked_example.is_built(studio.table("default"), folder)):
            worked_example.biased_table(studio.table("default"), folder, progress=report)
    table = studio.table(name)
    studio.run(table, target or table.targets[0].name, progress=report)
    if as_json:
        terminal.print_json({"table": name, "faces": table.psi.shape[0], "channels": table.psi.shape[1],
                             "about": studio.about_table(name)})
    elif not if_missing:
        typer.echo(f"Table {name}: {table.psi.shape[0]:,} faces x {table.psi.shape[1]:,} channels."
                   + (f" {studio.about_table(name)['note']}" if drawn else ""))


@verb(backbone_app, "list")
def list_backbones(as_json: Json = False) -> None:
    """The default backbone and those that were added."""
    from img2tab_core.backbone import describe
    from img2tab_core.backbone_names import backbone_names

    found = [describe(name) for name in backbone_names()]
    if as_json:
        terminal.print_json({"backbones": found})
        return
    for one in found:
        encoder = one["encoder"] or "no encoder"
        typer.echo(f"{one['name']}: {one['size']} px, {one['channels']:,} channels, {encoder}; {one['file']}"
                   if one["size"] else f"{one['name']}: its files are gone; add {one['file']} again")


@verb(backbone_app, "add")
def add_backbone(
    file: Annotated[Path, typer.Argument(
        help="An e4e or pSp checkpoint or a StyleGAN2 generator (.pt); or e4e-ffhq, stylegan2-ffhq once fetched.")],
    name: Annotated[str, typer.Option(help="What it is called from now on, for instance e4e-ffhq.")],
    as_json: Json = False,
) -> None:
    """Open a checkpoint, convert it once, measure its channel statistics, and keep it under a name."""
    from img2tab_core import weights
    from img2tab_core.backbone import add_backbone as add
    from img2tab_core.backbone import describe

    fetched = [one.name for one in weights.manifest() if one.source == "drive"]
    add(weights.path(str(file)) if not file.exists() and str(file) in fetched else file, name)
    about = describe(name)
    if as_json:
        terminal.print_json(about)
        return
    encoder = f"encoder {about['encoder']}" if about["encoder"] else "no encoder, so it cannot read photos"
    source = "folder DIR --labels CSV" if about["encoder"] else "psi CODES LABELS"
    typer.echo(f"{name}: {about['size']} px, {about['channels']:,} channels, {encoder}. Give it a table: "
               f"img2tab import {source} --backbone {name}")


@verb(backbone_app, "remove")
def remove_backbone(
    name: Annotated[str, typer.Argument(help="A backbone that was added.")],
    as_json: Json = False,
) -> None:
    """Forget a backbone and delete its converted files; the checkpoint itself and tables made with it stay."""
    from img2tab_core.backbone import remove_backbone as remove

    remove(name)
    terminal.print_json({"removed": name}) if as_json else typer.echo(f"{name} is removed.")


@verb(weights_app, "list")
def list_weights(as_json: Json = False) -> None:
    """Every model file: what it is for, where it comes from, its licence, whether it is here."""
    from img2tab_core import weights

    rows = []
    for w in weights.manifest():
        made = {} if w.sha256 else weights.record(w.name)            # of what is made here the record beside it knows
        archive = w.archive and {"package": w.package, "version": w.version, "sha256": w.archive.sha256}
        rows.append({
            "name": w.name, "title": w.title, "purpose": w.purpose, "from": w.origin, "licence": w.licence,
            "commercial_use": w.commercial, "optional": w.optional, "file": w.file,
            "size": w.size or made.get("size"), "sha256": w.sha256 or made.get("sha256"),
            "archive": archive, "members": [member.path for member in w.members], "status": weights.status(w),
        })
    if as_json:
        terminal.print_json({"weights": rows})
        return
    for row in rows:
        typer.echo(f"{row['name']}  [{row['status']}{', optional' if row['optional'] else ''}]  {row['title']}")
        size = f"{row['size'] / 1e6:.1f} MB" if row["size"] else "size not published"
        hashed = f"sha256 {row['sha256'][:12]}" if row["sha256"] else "sha256 not published"
        typer.echo(f"    {row['purpose']}\n    File: {row['file']}, {size}, {hashed}")
        typer.echo(f"    From: {row['from']}\n    Licence: {row['licence']}")
    typer.echo("The default generator and everything trained on its faces is for non-commercial research only.")


@verb(weights_app, "fetch")
def fetch_weights(
    name: Annotated[str | None, typer.Argument(help="One file; without it, all that are needed.")] = None,
    from_file: Annotated[Path | None, typer.Option(help="Take it from this file instead of fetching it.")] = None,
    as_json: Json = False,
) -> None:
    """Fetch and verify model files; what is there and right stays untouched."""
    from img2tab_core import weights

    weights.fetch(name, progress=terminal.progress(as_json), from_file=from_file)
    if as_json:
        terminal.print_json({"status": {w.name: weights.status(w) for w in weights.manifest()}})


@verb(weights_app, "verify")
def verify_weights(as_json: Json = False) -> None:
    """Hash every model file again; exit code 1 if one that is needed is missing or damaged."""
    from img2tab_core import weights

    found = weights.verify()
    if as_json:
        terminal.print_json({"weights": [{"name": v.name, "status": v.status, "sentence": v.sentence} for v in found]})
    else:
        for one in found:
            typer.echo(f"{one.name}: {one.sentence}")
    needed = {w.name for w in weights.manifest() if not w.optional}
    if any(v.status != "ready" for v in found if v.name in needed) or any(v.status == "damaged" for v in found):
        raise typer.Exit(1)


@verb(app)
def doctor(as_json: Json = False) -> None:
    """What is installed, which device, which weights and tables, what is missing and the command that mends it."""
    from img2tab_core.doctor import examine

    checks = examine()
    if as_json:
        terminal.print_json({"version": __version__, "checks": checks})
    else:
        for check in checks:
            typer.echo(f"{'ok ' if check['ok'] else 'NO '} {check['what']}: {check['found']}")
            if check["mend"]:
                typer.echo(f"      {check['mend']}")
    if not all(check["ok"] for check in checks):
        raise typer.Exit(1)


@verb(app)
def serve(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the dashboard.")] = 8501,
    address: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    ready: Annotated[bool, typer.Option(
        "--ready", help="First fetch the model files and build the default table, where they are missing.")] = False,
) -> None:
    """Start the dashboard."""
    from img2tab_core.weights import ROOT

    page = ROOT / "dashboard" / "app.py"
    if not page.is_file():
        raise Img2TabError(f"The dashboard is not at {page}: install from a clone of the repository with `-e .`.")
    os.chdir(ROOT)                                                   # where .streamlit/config.toml is
    os.execve(sys.executable, [
        sys.executable, "-m", "dashboard.serving", address, str(port), *(["--ready"] if ready else [])
    ], {**MALLOC, **os.environ})


@app.callback(invoke_without_command=True)
def main_options(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """A photo becomes a row of visual concepts; look at what a classifier made of it, exclude, retrain."""
    if version:
        typer.echo(__version__)
        raise typer.Exit()


def main() -> None:
    """The console script."""
    from img2tab_core.training.commands import register

    register(app)
    app()


# --- helpers -----------------------------------------------------------------------------------


def _target(table, name: str):
    from img2tab_core.tables import target_of

    return target_of(table, name)


def _tables(studio) -> tuple[list, list[dict]]:
    """Every table that opens, and the name and reason of those that do not."""
    found, damaged = [], []
    for name in studio.table_names():
        try:
            found.append(studio.table(name))
        except Img2TabError as error:
            damaged.append({"name": name, "sentence": str(error)})
    return found, damaged


def _several(made: list[dict], number: int) -> None:
    several = [f"{terminal.shown(one['photo'])} ({one['faces']})" for one in made if one["faces"] > 1]
    if several:
        typer.echo(f"Of the photos with several faces {terminal.which(number)} was taken: {', '.join(several)}. "
                   "Choose another with --face.")


def _edit(text: str) -> tuple[int, float]:
    index, _, shift = text.partition(":")
    try:
        edit = int(index), float(shift)
    except ValueError as error:
        raise Img2TabError(f"An edit is written INDEX:+SHIFT, for instance 2839:+8, got {text!r}.") from error
    if not abs(edit[1]) <= MAX_SHIFT:                                # not a number compares as False too
        raise Img2TabError(f"An edit's shift must be a number between -{MAX_SHIFT:,} and +{MAX_SHIFT:,}, got {text!r}.")
    return edit


if __name__ == "__main__":
    main()

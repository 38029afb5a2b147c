"""Verbs for model files and backbones: what there is, fetch, verify, add, remove."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from img2tab_core.cli import terminal
from img2tab_core.cli.terminal import Json, verb

weights_app = typer.Typer(no_args_is_help=True, help="Model files: what there is, fetch, verify.")
backbone_app = typer.Typer(no_args_is_help=True, help="Generators with their encoders: what there is, add, remove.")


@verb(backbone_app, "list")
def list_backbones(as_json: Json = False) -> None:
    """The default backbone and those that were added."""
    from img2tab_core.backbones.backbone import describe
    from img2tab_core.backbones.registry import backbone_names

    descriptions = [describe(name) for name in backbone_names()]
    if as_json:
        terminal.print_json({"backbones": descriptions})
        return
    for description in descriptions:
        encoder = description["encoder"] or "no encoder"
        typer.echo(
            f"{description['name']}: {description['size']} px, {description['channels']:,} channels, {encoder}; "
            f"{description['file']}"
            if description["size"]
            else f"{description['name']}: its files are gone; add {description['file']} again"
        )


@verb(backbone_app, "add")
def add_backbone(
    file: Annotated[
        Path,
        typer.Argument(
            help="An e4e or pSp checkpoint or a StyleGAN2 generator (.pt); or e4e-ffhq, stylegan2-ffhq once fetched."
        ),
    ],
    name: Annotated[str, typer.Option(help="What it is called from now on, for instance e4e-ffhq.")],
    as_json: Json = False,
) -> None:
    """Open a checkpoint, convert it once, measure its channel statistics, and keep it under a name."""
    from img2tab_core import weights
    from img2tab_core.backbones.backbone import add_backbone as add
    from img2tab_core.backbones.backbone import describe

    fetched = [entry.name for entry in weights.manifest() if entry.source == "drive"]
    add(weights.path(str(file)) if not file.exists() and str(file) in fetched else file, name)
    about = describe(name)
    if as_json:
        terminal.print_json(about)
        return
    encoder = f"encoder {about['encoder']}" if about["encoder"] else "no encoder, so it cannot read photos"
    source = "folder DIR --labels CSV" if about["encoder"] else "psi CODES LABELS"
    typer.echo(
        f"{name}: {about['size']} px, {about['channels']:,} channels, {encoder}. Give it a table: "
        f"img2tab import {source} --backbone {name}"
    )


@verb(backbone_app, "remove")
def remove_backbone(
    name: Annotated[str, typer.Argument(help="A backbone that was added.")],
    as_json: Json = False,
) -> None:
    """Forget a backbone and delete its converted files; the checkpoint itself and tables made with it stay."""
    from img2tab_core.backbones.backbone import remove_backbone as remove

    remove(name)
    terminal.print_json({"removed": name}) if as_json else typer.echo(f"{name} is removed.")


@verb(weights_app, "list")
def list_weights(as_json: Json = False) -> None:
    """Every model file: what it is for, where it comes from, its licence, whether it is here."""
    from img2tab_core import weights

    rows: list[dict[str, Any]] = []
    for w in weights.manifest():
        made = {} if w.sha256 else weights.record(w.name)  # of what is made here the record beside it knows
        archive = w.archive and {"package": w.package, "version": w.version, "sha256": w.archive.sha256}
        rows.append(
            {
                "name": w.name,
                "title": w.title,
                "purpose": w.purpose,
                "from": w.origin,
                "licence": w.licence,
                "commercial_use": w.commercial,
                "optional": w.optional,
                "file": w.file,
                "size": w.size or made.get("size"),
                "sha256": w.sha256 or made.get("sha256"),
                "archive": archive,
                "members": [member.path for member in w.members],
                "status": weights.status(w),
            }
        )
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

    statuses = weights.verify()
    if as_json:
        terminal.print_json(
            {"weights": [{"name": v.name, "status": v.status, "sentence": v.sentence} for v in statuses]}
        )
    else:
        for status in statuses:
            typer.echo(f"{status.name}: {status.sentence}")
    needed = {w.name for w in weights.manifest() if not w.optional}
    if any(v.status != "ready" for v in statuses if v.name in needed) or any(v.status == "damaged" for v in statuses):
        raise typer.Exit(1)

"""`img2tab sbom`: what the product consists of on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from img2tab_core.cli import terminal
from img2tab_core.cli.terminal import Json, verb

sbom_app = typer.Typer()
SCOPES = ("required", "optional", "excluded")  # by the product, by one of its extras, by nothing of it


@verb(sbom_app)
def sbom(
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where to write it: a name that ends in .json.")
    ] = None,
    as_json: Json = False,
) -> None:
    """The software bill of materials (CycloneDX 1.7): every installed package and the model files, with licences."""
    terminal.check_table(out, (".json",))
    from img2tab_core.reports.sbom import bill

    made = bill()
    packages = [part for part in made["components"] if part["type"] == "library"]
    models = [part for part in made["components"] if part["type"] == "machine-learning-model"]
    lines = [
        f"{terminal.count(len(packages), 'package')}: "
        + ", ".join(f"{sum(part['scope'] == scope for part in packages)} {scope}" for scope in SCOPES)
        + f"; {sum('hashes' in part for part in packages)} with hashes of the lock.",
        f"No licence is stated by: {', '.join(part['name'] for part in packages if 'licenses' not in part) or 'none'}.",
        f"{terminal.count(len(models), 'model file')}: {', '.join(part['name'] for part in models)}.",
        "Write it with --out FILE, or print it with --json." if out is None else f"Written to {terminal.shown(out)}.",
    ]
    terminal.answer(made, "\n".join(lines), as_json=as_json, out=out)

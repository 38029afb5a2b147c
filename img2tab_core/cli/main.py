"""The same verbs for a terminal: `img2tab VERB ...`; `--json` prints one JSON document and nothing else."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from img2tab_core import __version__
from img2tab_core.base.errors import Img2TabError
from img2tab_core.cli import terminal
from img2tab_core.cli.audits import audit_app
from img2tab_core.cli.bias_record import record_app
from img2tab_core.cli.changes import changes_app
from img2tab_core.cli.classifiers import classifiers_app
from img2tab_core.cli.concepts import concepts_app
from img2tab_core.cli.disagree import disagree_app
from img2tab_core.cli.faces import faces_app
from img2tab_core.cli.impact_ratios import impact_app
from img2tab_core.cli.models import backbone_app, weights_app
from img2tab_core.cli.own_models import explain_app, models_app
from img2tab_core.cli.perceived import perceived_app
from img2tab_core.cli.photo_check import photo_check_app
from img2tab_core.cli.power import power_app
from img2tab_core.cli.provenance import provenance_app
from img2tab_core.cli.reports import report_app
from img2tab_core.cli.sbom import sbom_app
from img2tab_core.cli.sessions import session_app, sessions_app
from img2tab_core.cli.slices import slices_app
from img2tab_core.cli.tables import import_app, tables_app
from img2tab_core.cli.terminal import Json, verb

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="A photo becomes a row of visual concepts; look at what a classifier made of it, exclude, retrain.",
)
app.add_typer(faces_app)
app.add_typer(photo_check_app)
app.add_typer(weights_app, name="weights")
app.add_typer(tables_app, name="tables")
app.add_typer(backbone_app, name="backbone")
app.add_typer(import_app, name="import")
app.add_typer(models_app, name="model")
app.add_typer(explain_app)
app.add_typer(changes_app)
app.add_typer(disagree_app)
app.add_typer(concepts_app)
app.add_typer(classifiers_app)
app.add_typer(audit_app)
app.add_typer(power_app)
app.add_typer(impact_app)
app.add_typer(slices_app)
app.add_typer(perceived_app)
session_app.add_typer(record_app)
app.add_typer(sessions_app)
app.add_typer(report_app, name="report")
app.add_typer(provenance_app)
app.add_typer(sbom_app)

MALLOC = {
    # keep freed memory: renders reuse it instead of faulting new pages in, up to twice as fast; but at most 256 MB of
    # it, and in one arena: by default every thread keeps its own, and a visit came to twice the memory
    "MALLOC_MMAP_THRESHOLD_": "4294967296",
    "MALLOC_TRIM_THRESHOLD_": "268435456",
    "MALLOC_TOP_PAD_": "67108864",
    "MALLOC_ARENA_MAX": "1",
}


@verb(app)
def doctor(as_json: Json = False) -> None:
    """What is installed, which device, which weights and tables, what is missing and the command that mends it."""
    from img2tab_core.cli.doctor import examine

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
    ready: Annotated[
        bool,
        typer.Option(
            "--ready", help="First fetch the model files and build the default table, where they are missing."
        ),
    ] = False,
    host: Annotated[
        list[str] | None,
        typer.Option(
            help="A name by which browsers reach this server, beside localhost; again for another. *.NAME for all "
            "below one, * for any."
        ),
    ] = None,
    secrets: Annotated[
        Path | None,
        typer.Option(
            help="File with [auth] and [access]: who may sign in. Else .streamlit/secrets.toml, here or at home."
        ),
    ] = None,
    open_to_all: Annotated[
        bool,
        typer.Option("--open", help="Listen beyond this computer although nobody has to sign in."),
    ] = False,
) -> None:
    """Start the dashboard."""
    from img2tab_core.base.files import ROOT

    page = ROOT / "dashboard" / "app.py"
    if not page.is_file():
        raise Img2TabError(f"The dashboard is not at {page}: install from a clone of the repository with `-e .`.")
    os.chdir(ROOT)  # where .streamlit/config.toml is
    options = ["--ready"] * ready + ["--open"] * open_to_all
    options += [part for name in host or () for part in ("--host", name)]
    options += ["--secrets", str(secrets.resolve())] if secrets else []
    os.execve(  # noqa: S606 - this very Python, no shell is wanted
        sys.executable,
        [sys.executable, "-m", "dashboard.serving", address, str(port), *options],
        {**MALLOC, **os.environ},
    )


@app.callback(invoke_without_command=True)
def main_options(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """A photo becomes a row of visual concepts; look at what a classifier made of it, exclude, retrain."""
    if version:
        typer.echo(__version__)
        raise typer.Exit()


def _keep_memory() -> None:
    """`MALLOC` for this very process, which has begun without it; nothing where the C library knows no mallopt."""
    import ctypes

    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return
    for parameter, value in ((-4, 0), (-1, 256 << 20), (-2, 64 << 20), (-8, 1)):  # map none, trim, pad, arenas
        mallopt(parameter, value)


def main() -> None:
    """The console script."""
    _keep_memory()
    from img2tab_core.cli.planted import planted_app
    from img2tab_core.cli.training import register

    register(app)
    app.add_typer(planted_app)
    app()


if __name__ == "__main__":
    main()

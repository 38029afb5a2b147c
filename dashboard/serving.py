"""Streamlit's server; what the pages import is imported while the first browser is still on its way."""

from __future__ import annotations

import importlib
import sys
import threading
from pathlib import Path

from img2tab_core.base.errors import Cancelled, Img2TabError

PAGE = Path(__file__).with_name("app.py")
# the first page first, then what its answers come from
AHEAD = (
    "dashboard.app",
    "dashboard.views.inspect",
    "img2tab_core.classifiers.measures",
    "catboost",
    "img2tab_core.backbones.refinement",
)


def main() -> None:
    """`python -m dashboard.serving ADDRESS PORT [--ready]`: `streamlit run`, sooner ready.

    --ready: first fetch the model files and build the default table, where they are missing; done in this process
    because it imports what the pages need as well.
    """
    address, port, *ready = sys.argv[1:]
    if ready:
        _make_ready()
    print(f"Dashboard: http://{address}:{port}   (stop with Ctrl+C)", flush=True)

    from streamlit import delta_generator
    from streamlit.web.cli import main as streamlit  # whole first: two threads at once may get half of it

    # whether this is a notebook is asked by reading every module's source, half a second before the first heading
    delta_generator._use_warning_has_been_displayed = True

    threading.Thread(target=_import_ahead, name="img2tab-imports", daemon=True).start()
    sys.argv = ["streamlit", "run", str(PAGE), "--server.address", address, "--server.port", port]
    streamlit()


def _make_ready() -> None:
    """Model files, the default table and its first classifier; a mistake is one sentence and exit status 1."""
    try:
        _fetch_and_build()
    except Img2TabError as error:
        print(
            "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in str(error)),
            file=sys.stderr,
        )
        raise SystemExit(130 if isinstance(error, Cancelled) else 1) from error


def _fetch_and_build() -> None:
    from img2tab_core import weights
    from img2tab_core.classifiers.runs import any_kept
    from img2tab_core.tables.population import build_default_table, is_current

    weights.fetch(progress=_report)
    if any_kept("default") and is_current():  # at every start: what is there must not cost what would make it
        return
    from img2tab_core.studio import Studio

    studio = Studio()
    build_default_table(studio.backbone, progress=_report)
    table = studio.table("default")
    studio.run(table, table.targets[0].name, progress=_report)


def _report(fraction: float, text: str) -> None:
    """A bar on standard error that is written over; nothing where no person is watching."""
    if sys.stderr.isatty():
        end = "" if fraction < 1 else "\n"
        print(f"\r\033[K[{'#' * int(20 * fraction):20}] {fraction:4.0%}  {text}", end=end, file=sys.stderr, flush=True)


def _import_ahead() -> None:
    for name in AHEAD:
        importlib.import_module(name)


if __name__ == "__main__":
    main()

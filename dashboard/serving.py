"""Streamlit's server; what the pages import is imported while the first browser is still on its way."""

from __future__ import annotations

import importlib
import sys
import threading
from pathlib import Path

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
    import typer

    from img2tab_core.cli import models, tables

    try:
        models.fetch_weights()
        tables.build_table(if_missing=True)
    except typer.Exit as mistake:  # its sentence is said already
        raise SystemExit(mistake.exit_code) from None


def _import_ahead() -> None:
    for name in AHEAD:
        importlib.import_module(name)


if __name__ == "__main__":
    main()

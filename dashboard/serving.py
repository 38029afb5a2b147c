"""Streamlit's server; what the pages import is imported while the first browser is still on its way."""

from __future__ import annotations

import sys
import threading


def main() -> None:
    """`python -m dashboard.serving PAGE OPTIONS`: what `streamlit run PAGE OPTIONS` does, sooner ready."""
    from streamlit.web.cli import main as streamlit  # whole first: two threads at once may get half of it

    threading.Thread(target=_imports, name="img2tab-imports", daemon=True).start()
    sys.argv[:1] = ["streamlit", "run"]
    streamlit()


def _imports() -> None:
    import catboost  # noqa: F401
    import plotly.graph_objects  # noqa: F401

    import dashboard.app  # noqa: F401


if __name__ == "__main__":
    main()

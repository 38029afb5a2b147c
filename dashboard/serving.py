"""Streamlit's server; what the pages import is imported while the first browser is still on its way."""

from __future__ import annotations

import sys
import threading


def main() -> None:
    """`python -m dashboard.serving PAGE OPTIONS`: what `streamlit run PAGE OPTIONS` does, sooner ready."""
    from streamlit import delta_generator
    from streamlit.web.cli import main as streamlit  # whole first: two threads at once may get half of it

    # whether this is a notebook is asked by reading every module's source, half a second before the first heading
    delta_generator._use_warning_has_been_displayed = True

    threading.Thread(target=_imports, name="img2tab-imports", daemon=True).start()
    sys.argv[:1] = ["streamlit", "run"]
    streamlit()


def _imports() -> None:
    import catboost  # noqa: F401

    import dashboard.app
    import dashboard.views.inspect  # noqa: F401  # the first page; then what its answers come from
    from img2tab_core import (
        classifiers,  # noqa: F401
        refinement,  # noqa: F401
    )


if __name__ == "__main__":
    main()

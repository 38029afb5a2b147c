"""Which class of a target of more than two is asked about, against the rest."""

from __future__ import annotations

import streamlit as st

from dashboard.components.held import held
from dashboard.state import visit


def choose(*, disabled: bool) -> None:
    """Which class of the target is asked about, against the rest; nothing where there are two anyway."""
    whole = visit.whole_target()
    views = dict(zip((view.name for view in whole.against_rest), whole.classes, strict=False))
    if not views:
        return
    st.selectbox(
        "Class, against the rest",
        list(views),
        index=list(views).index(visit.target().name),
        format_func=views.get,
        **held("frame.class", visit.target().name, visit.choose_target),
        help=f"The classifier tells {len(views)} classes apart. Every page asks it about one of them: is it this class "
        "or another one? Nothing is trained again for that.",
        disabled=disabled,
        width=220,
    )

"""A check box that excludes channels from the next training, all of them or none."""

from __future__ import annotations

from collections.abc import Collection

import streamlit as st

from dashboard.components.held import held
from dashboard.state import visit


def box(title: str, channels: Collection[int], *, key: str, help: str | None = None) -> None:
    """title: Markdown. Ticked where all of the channels are."""
    ticked = visit.ticked().issuperset(channels)
    key = held(key, ticked)
    st.checkbox(title, value=ticked, key=key, on_change=visit.follow_box, args=(key, channels), help=help)

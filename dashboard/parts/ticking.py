"""A check box that excludes channels from the next training, all of them or none."""

from __future__ import annotations

from collections.abc import Collection

import streamlit as st

from dashboard.components.held import held
from dashboard.state import visit


def box(title: str, channels: Collection[int], *, key: str, help: str | None = None) -> None:
    """title: Markdown. Ticked where all of the channels are."""
    ticked = visit.ticked().issuperset(channels)
    st.checkbox(title, value=ticked, help=help, **held(key, ticked, lambda wanted: visit.set_ticked(channels, wanted)))

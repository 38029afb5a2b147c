"""What a person clicked in a chart."""

from __future__ import annotations

import streamlit as st


def clicked(key: str) -> int | None:
    """The customdata, or the first of it, of the point that was clicked in the chart of this key; None where none."""
    points = st.session_state[key]["selection"]["points"]
    if not points:
        return None
    chosen = points[0]["customdata"]
    return int(chosen[0] if isinstance(chosen, list) else chosen)

"""A widget that shows what the page says, and whose old values nobody takes for a choice."""

from __future__ import annotations

import streamlit as st


def held(key: str, value: object) -> str:
    """The key of a widget that shows this value; give the widget the same value as its own.

    A browser sends what all its widgets say with whatever it asks for, the timer of a progress bar included. What it
    sends of a widget whose value the page has just changed is old, and Streamlit takes it for the person's choice: a
    moved concept sprang back, a ticked box came off. So a value that the page changed makes another widget, of which
    nothing old can be said; one that the person changed stays the same widget, and keeps the focus.
    """
    turn = st.session_state.get(f"{key}.turn", 0)
    now = _named(key, turn)
    if now in st.session_state and st.session_state[now] != value:
        st.session_state[f"{key}.turn"] = turn + 1
        now = _named(key, turn + 1)
    return now


def _named(key: str, turn: int) -> str:
    return f"{key}.{turn}" if turn else key

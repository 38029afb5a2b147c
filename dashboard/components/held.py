"""A widget that shows what the page says, and whose old values nobody takes for a choice."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypedDict, TypeVar

import streamlit as st

T = TypeVar("T")


class Held(TypedDict):
    """What a widget is handed beside its value."""

    key: str
    on_change: Callable[[], None]


def held(key: str, value: T, choose: Callable[[T], object]) -> Held:
    """Key and callback of a widget that shows this value; give the widget the same value as its own.

    A browser sends what all its widgets say with whatever it asks for, the timer of a progress bar included. What it
    sends of a widget whose value the page has just changed is old, and Streamlit takes it for the person's choice: a
    moved concept sprang back, a ticked box came off. So a value that the page changed makes another widget, and what is
    still said of the one before is not heard; one that the person changed stays the same widget, and keeps the focus.
    Nor is a widget heard that says what it was known to say: a browser that has not heard yet that a page is done sends
    the widgets of the one before, which Streamlit no longer knows and takes for changed.

    choose: called with what the person chose.
    """
    turns, shown = f"{key}.turn", f"{key}.shown"
    turn = st.session_state.get(turns, 0)
    # a widget that was not drawn for a while has no state here any more, but a browser may still have its own
    if st.session_state.get(_named(key, turn), st.session_state.get(shown, value)) != value:
        turn += 1
        st.session_state[turns] = turn
    st.session_state[shown] = value
    now = _named(key, turn)

    def changed() -> None:
        chosen = st.session_state[now]
        if st.session_state.get(turns, 0) == turn and chosen != st.session_state.get(shown):
            st.session_state[shown] = chosen
            choose(chosen)

    return {"key": now, "on_change": changed}


def _named(key: str, turn: int) -> str:
    return f"{key}.{turn}" if turn else key

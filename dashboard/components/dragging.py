"""What a person drags in the browser: how such a component is registered, and what its browser reports."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import streamlit as st

from img2tab_core.base.errors import Img2TabError

T = TypeVar("T")

_HERE = Path(__file__).parent


def component(name: str) -> Callable:
    """The component whose files have this name; its script begins with dragging.js, which all that are dragged share.

    Its browser reports {"of": of what, "turn": which report, counted from 1, and its own value} as the state "moved".
    """
    return st.components.v2.component(
        f"img2tab_{name}",
        html=(_HERE / f"{name}.html").read_text(),
        css=(_HERE / f"{name}.css").read_text(),
        js="".join((_HERE / file).read_text() for file in ("dragging.js", f"{name}.js")),
    )


def said(key: str) -> object:
    """What the browser reported last; None before."""
    return (st.session_state.get(key) or {}).get("moved")


@contextmanager
def news(key: str) -> Iterator[object]:
    """What the browser reports now; None where it only says again what it once said, as a page that comes back does.

    It is heard once the context has ended, by a mistake too, but not where Streamlit ends the run in it because its
    visitor asks for more.
    """
    report = said(key)
    turn = turn_of(report)
    if turn <= heard(key):
        yield None
        return
    try:
        yield report
    except Img2TabError:
        st.session_state[f"{key}.turn"] = turn
        raise
    st.session_state[f"{key}.turn"] = turn


def hearing(key: str, read: Callable[[object], T | None], on_move: Callable[[T], None]) -> Callable[[], None]:
    """What Streamlit calls with a report: on_move is called with what `read` makes of it, unless that is None.

    Streamlit calls it once: where the run that a report came with ended before it was heard, it is heard here, and the
    page runs again.
    """

    def moved() -> None:
        with news(key) as report:
            value = read(report)
            if value is not None:
                on_move(value)

    if turn_of(said(key)) > heard(key):
        moved()
        st.rerun()
    return moved


def heard(key: str) -> int:
    """Turn of the last report that was taken in here; 0 before any."""
    return st.session_state.get(f"{key}.turn", 0)


def about(report: object, of: str) -> dict:
    """A report on this; an empty one where it is about another, or makes no sense."""
    return report if isinstance(report, dict) and report.get("of") == of else {}


def turn_of(report: object) -> int:
    """Which of the browser's reports this is, counted from 1; 0 for none."""
    turn = report.get("turn") if isinstance(report, dict) else None
    return turn if isinstance(turn, int) and 0 <= turn < 2**53 else 0

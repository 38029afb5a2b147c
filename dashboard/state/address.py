"""What makes a view stands in the address: target, concept, table, backbone and session, so that a link shows the same.

Names, photos and faces are never in it.
"""

from __future__ import annotations

import streamlit as st

from dashboard.state import session as session_state
from dashboard.state import visit
from img2tab_core.base.errors import Img2TabError

_LAST = "visit.address"  # what was written last: anything else was typed, sent, or gone back to


def read() -> None:
    """Go where the address says, where it is not what this visit wrote itself; a wrong value is dropped, and said."""
    given = st.query_params.to_dict()
    if given and given != st.session_state.get(_LAST):
        for name, go in (
            ("backbone", _backbone),
            ("table", _table),
            ("session", _session),
            ("target", _target),
            ("concept", _concept),
        ):
            if given.get(name):
                with visit.noticing():
                    go(given[name])


def write() -> None:
    """Make the address say where the visit is."""
    if not visit.table_names():
        return
    now, concept = session_state.opened(), visit.chosen_family() or visit.concept()
    here = {
        "backbone": visit.backbone_name() if visit.backbone_name() != visit.DEFAULT_BACKBONE else None,
        "table": visit.table_name() if visit.table_name() != "default" else None,
        "session": now and str(now.session.id),
        "target": visit.target().name,
        "concept": None if concept is None else str(concept),
    }
    said = {name: value for name, value in here.items() if value}
    st.session_state[_LAST] = said
    if st.query_params.to_dict() != said:
        st.query_params.from_dict(said)


def _backbone(name: str) -> None:
    if name not in visit.backbone_names():
        raise Img2TabError(f"The address names the backbone {name!r}, which is not here.")
    if name != visit.backbone_name():
        visit.choose_backbone(name)


def _table(name: str) -> None:
    if name not in visit.table_names():
        raise Img2TabError(f"The address names the table {name!r}, which is not here.")
    visit.choose_table(name)


def _session(number: str) -> None:
    if not number.isdecimal() or len(number) > 9:
        raise Img2TabError(f"The address names the session {number!r}; a session has a number.")
    now = session_state.opened()
    if now is None or now.session.id != int(number):
        visit.enter(int(number))


def _target(name: str) -> None:
    if name not in {target.name for target in visit.current_table().targets}:
        raise Img2TabError(
            f"The address names the target {name!r}, which the table {visit.table_name()} does not have."
        )
    now = session_state.opened()
    if now is None or now.session.target == name:
        visit.choose_target(name)


def _concept(text: str) -> None:
    visit.choose_concept(int(text) if text.isdecimal() and len(text) <= 9 else text)
    if visit.concept() is None and visit.chosen_family() is None:
        visit.choose_concept(None)
        raise Img2TabError(f"The address names the concept {text!r}, which {visit.backbone_name()} does not have.")

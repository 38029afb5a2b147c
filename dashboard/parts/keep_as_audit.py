"""A training outside a session offers to begin one: what was trained before is in no log, and no report tells of it."""

from __future__ import annotations

import streamlit as st

from dashboard.components import page_words
from dashboard.state import attributes as attribute_state
from dashboard.state import doors, visit
from dashboard.state import session as session_state
from img2tab_core.base.errors import Img2TabError
from img2tab_core.classifiers.runs import Run
from img2tab_core.sessions.session_records import NAME_LENGTH


def offer(run: Run) -> None:
    """For a run that was retrained: a name and a click begin a session with the standing run and this one.

    Draws nothing in a session, for a run that is no retraining, and where the table has no label to form groups.
    """
    sensitive = attribute_state.attributes()
    if session_state.opened() is not None or visit.before_run(run) is None or run.own or not sensitive:
        return
    titles = {target.name: target.title.lower() for target in visit.current_table().targets}
    groups = " and ".join(page_words.plain(titles[name]) for name in sensitive)
    with st.form("keep_as_audit", border=True):
        st.markdown("**Keep this as an audit?**")
        st.caption(
            f"A session keeps the run with nothing excluded and this one, by {groups}; every training after it joins, "
            "with the reason you give, and it writes the report."
        )
        with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
            name = st.text_input("Name \\*", key="keep_as_audit.name", max_chars=NAME_LENGTH, width=200)
            owner = st.text_input(
                "Your name \\*", session_state.who(), key="keep_as_audit.owner", max_chars=NAME_LENGTH, width=200
            )
            why = st.text_input("Why these exclusions", key="keep_as_audit.why", placeholder="What you expect of it.")
            begun = st.form_submit_button("Begin the session", icon=":material/history_edu:")
        if begun and _begin(run, sensitive, name, owner, why):
            st.rerun()


def _begin(run: Run, sensitive: tuple[str, ...], name: str, owner: str, why: str) -> bool:
    """Whether it was begun; what is missing is said under the fields."""
    door = doors.session_runs()
    try:
        with st.spinner("Measuring both runs…"):
            session = door.begin(name, owner, visit.current_table(), run.target, sensitive)
            (first,) = door.sessions.runs(session)
            door.take_in(session, first, run, note=why, who=owner)
    except Img2TabError as error:
        st.error(page_words.prose(error), icon=":material/error:")
        return False
    session_state.say_who(owner)
    visit.enter(session.id)
    return True

"""The bias record of the open session: who could be harmed, the largest acceptable gap, who looks again when."""

from __future__ import annotations

from datetime import UTC, date, datetime

import streamlit as st

from dashboard.components import page_words
from dashboard.state import audits as audit_state
from dashboard.state import doors, visit
from dashboard.state import session as session_state
from dashboard.state.session import Opened
from img2tab_core.base.errors import Img2TabError
from img2tab_core.sessions.bias_scenarios import LONGEST, MEASURES, RecordedScenario, Scenario, held_against
from img2tab_core.sessions.session_records import NAME_LENGTH

ABOVE, WITHIN, UNTOLD = ":red-badge[Above]", ":green-badge[Within]", ":gray-badge[Cannot be told]"


def show(now: Opened) -> None:
    """Every scenario with what the current run's audit says of it, and the forms to add, change and remove one."""
    recorded = doors.session_runs().sessions.scenarios(now.session)
    if not recorded:
        st.caption(
            "Nobody has said it yet. Said before measuring, it keeps a gap from being explained away afterwards."
        )
    for each in recorded:
        _scenario(now, each)
    number = 1 + max((each.number for each in recorded), default=0)
    with st.expander("Add a scenario", icon=":material/add:"):
        _form(now, f"record.add.{now.session.id}.{len(recorded)}.{number}", None)


def _scenario(now: Opened, recorded: RecordedScenario) -> None:
    scenario = recorded.scenario
    with st.container(border=True, gap="xsmall"):
        with st.container(horizontal=True, vertical_alignment="center", gap="small", wrap=False):
            st.markdown(f"**{page_words.plain(page_words.sentence(scenario.group))}**", width="stretch")
            with st.popover("Change", icon=":material/edit:", type="tertiary"):
                _form(now, f"record.change.{now.session.id}.{recorded.number}", recorded)
        st.markdown(page_words.plain(page_words.sentence(scenario.harm)))
        st.markdown(_verdict(now, scenario))
        st.caption("  \n".join(_facts(recorded)))


def _verdict(now: Opened, scenario: Scenario) -> str:
    """What the audit of the current run says of the largest acceptable gap, marked so that it is seen at a glance."""
    if now.model is None:
        return "Not measured: the current run's model is not here."
    told = held_against(scenario, audit_state.audit(now.model, now.session.sensitive), visit.target().classes)
    word, _, measured = told.partition(": ")
    mark = {"Above what is acceptable": ABOVE, "Within what is acceptable": WITHIN}.get(word, UNTOLD)
    return f"{mark} {page_words.plain(page_words.sentence(measured))}"


def _facts(recorded: RecordedScenario) -> list[str]:
    scenario, today = recorded.scenario, datetime.now(UTC).date()
    lines = [f"{MEASURES[scenario.measure]}, at most {100 * scenario.largest:g} points"]
    if scenario.words_of:
        lines.append(f"In the words of {page_words.plain(scenario.words_of)}")
    if scenario.mitigation:
        lines.append(f"Done about it: {page_words.plain(scenario.mitigation)}")
    if scenario.review is not None:
        past = " (this day is past)" if scenario.review < today else ""
        lines.append(f"Looked at again on {scenario.review:%d %b %Y}{past}")
    lines.append(f"{page_words.plain(recorded.who)}, {recorded.changed:%d %b %Y}")
    return lines


def _form(now: Opened, key: str, recorded: RecordedScenario | None) -> None:
    """What a person fills in; a mistake is told under the fields, and nothing that was typed is lost."""
    before = recorded.scenario if recorded else Scenario("", "", "", "equalised_odds", 0.05, "", None)
    today = datetime.now(UTC).date()
    with st.form(key, border=False):
        group = st.text_input(
            "Group at risk \\*", before.group, key=f"{key}.group", max_chars=NAME_LENGTH, placeholder="Older women"
        )
        harm = st.text_area(
            "Harm \\*",
            before.harm,
            key=f"{key}.harm",
            height=68,
            max_chars=LONGEST,
            placeholder="They are not shown the offer",
        )
        measures = list(MEASURES)
        measure = st.selectbox(
            "It would show in",
            measures,
            measures.index(before.measure),
            key=f"{key}.measure",
            format_func=MEASURES.get,
        )
        points = st.number_input(
            "Largest acceptable gap, in points", 0.0, 100.0, 100 * before.largest, 0.5, "%.1f", key=f"{key}.points"
        )
        words_of = st.text_input(
            "In whose words",
            before.words_of,
            key=f"{key}.words",
            max_chars=NAME_LENGTH,
            placeholder="Somebody it would happen to",
        )
        mitigation = st.text_area(
            "Done about it", before.mitigation, key=f"{key}.mitigation", height=68, max_chars=LONGEST
        )
        review = st.date_input(
            "Looked at again on",
            before.review,
            min_value=min(today, before.review or today),
            max_value=date(2999, 12, 31),
            key=f"{key}.review",
        )
        saved = st.form_submit_button("Keep it" if recorded else "Add", icon=":material/save:")
    typed = Scenario(group, harm, words_of, measure, points / 100, mitigation, review)
    if saved and _save(now, recorded, typed):
        st.rerun()
    if recorded:
        st.button(
            "Remove",
            key=f"{key}.remove",
            icon=":material/delete:",
            on_click=_remove,
            args=(now, recorded.number),
            help="The log keeps what it said.",
        )


def _save(now: Opened, recorded: RecordedScenario | None, typed: Scenario) -> bool:
    """Whether it was kept; what is missing is said."""
    store, who = doors.session_runs().sessions, session_state.who()
    try:
        if recorded is None:
            store.add_scenario(now.session, typed, who=who)
        else:
            store.change_scenario(now.session, recorded.number, typed, who=who)
    except Img2TabError as error:
        st.error(page_words.plain(error), icon=":material/error:")
        return False
    return True


def _remove(now: Opened, number: int) -> None:
    with visit.noticing():
        doors.session_runs().sessions.remove_scenario(now.session, number, who=session_state.who())

"""What the last training did, in a sentence beside the button that made it; kept or taken back there."""

from __future__ import annotations

import streamlit as st

from dashboard.components import page_words
from dashboard.state import address, visit
from dashboard.state import attributes as attribute_state
from dashboard.state import audits as audit_state
from img2tab_core.audits import exclusion_estimate, paired
from img2tab_core.classifiers.runs import Run

KEPT = "visit.kept_outcomes"  # ids of the runs whose outcome was kept


def show(before: Run, run: Run) -> None:
    """The sentence, the two answers to it, and where to go where it is not enough."""
    sensitive = () if before.own or run.own else attribute_state.attributes()
    compared = audit_state.compared(before, run, sensitive)
    if sensitive:
        sides = (audit_state.audit(side, sensitive) for side in (before, run))
        told = exclusion_estimate.outcome(*sides, compared)
    else:
        told = exclusion_estimate.outcome_alone(compared)
    kept = visit.of_target(KEPT, frozenset())
    with st.container(border=True, gap="small"):
        st.markdown(f"**{page_words.prose(told)}**")
        st.caption(
            f"Run {visit.number_of(run)} against run {visit.number_of(before)}, on the same {run.metrics.count:,} "
            f"test faces{_by(sensitive)}. Chance: {paired.OF_FACES}."
        )
        with st.container(horizontal=True, gap="small"):
            if run.id not in kept:
                st.button(
                    "Keep",
                    key="exclude.keep",
                    icon=":material/check:",
                    on_click=lambda: visit.set_of_target(KEPT, kept | {run.id}),
                    help="Every page goes on with this run. It stays in the list of runs either way.",
                )
            st.button(
                f"Undo: back to run {visit.number_of(before)}",
                key="exclude.undo",
                icon=":material/undo:",
                on_click=lambda: visit.activate(before.id),
                help="All pages show the run before again, and its exclusions are ticked.",
            )
        if run.id in kept:
            st.caption("Kept: every page shows this run.")
    if sensitive:
        with st.container(horizontal=True, gap="small", vertical_alignment="center"):
            st.caption("Not enough?", width="content")
            st.page_link(
                "views/gap.py",
                label="Balance",
                query_params=address.view(),
                help="Behind the gap: beside the standard remedies.",
            )
            st.page_link(
                "views/audit.py",
                label="Thresholds",
                query_params=address.view(),
                help="Audit: where to draw the line for each group.",
            )


def _by(sensitive: tuple[str, ...]) -> str:
    titles = {each.name: each.title for each in visit.current_table().targets}
    by = page_words.plain(" × ".join(titles[name].lower() for name in sensitive))
    return f", groups by {by}" if sensitive else ""

"""What stands in after an exclusion: who took over, what is close to what is gone, what can still be read."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboard.components import page_words
from dashboard.parts import families, ticking
from dashboard.parts.gap import shared
from dashboard.state import audits as audit_state
from dashboard.state import visit
from img2tab_core.base.records import Target
from img2tab_core.classifiers.runs import Run


def show(run: Run, target: Target, about: Target) -> None:
    now = audit_state.readable(run, about.name)
    if not run.excluded:
        st.markdown(page_words.prose(now.sentence))
        shared.only_after(
            "The active run excludes nothing, so nothing stands in for anything yet. Exclude concepts and retrain."
        )
        return
    before, scores = visit.before_run(run), visit.scores(run)
    st.header(f"Can {page_words.plain(about.title.lower())} still be read?", anchor=False)
    then = (
        ""
        if before is None
        else (
            f"**Before, run {visit.number_of(before)}.** "
            f"{page_words.prose(audit_state.readable(before, about.name).sentence)}  \n"
        )
    )
    st.markdown(f"{then}**After, run {visit.number_of(run)}.** {page_words.prose(now.sentence)}")
    st.caption(
        "AUC of a linear probe on faces it was not fitted on, with its 95 % interval: 0.5 is chance, 1 is perfect. "
        "What a probe can read, a classifier can use."
    )
    waiting: shared.Waiting = []
    if before is not None:
        st.header("Which concepts took over", anchor=False)
        families.took_over(before, run, key="gap.took_over")
    links = audit_state.stand_ins(run)
    st.header("Closest to what was excluded", anchor=False)
    st.dataframe(
        pd.DataFrame(
            {
                "concept": [shared.name_text(link.index) for link in links],
                "partner": [shared.name_text(link.partner) for link in links],
                "correlation": [page_words.signed(link.correlation, 2) for link in links],
                "importance": [100 * scores.importance[link.index] for link in links],
            }
        ),
        key="gap.links",
        hide_index=True,
        height="content",
        column_config={
            "concept": "Stands in",
            "partner": "Goes with, excluded",
            "correlation": st.column_config.TextColumn(
                "Correlation", alignment="right", help="Within the classes of the target; 1 or −1 is the same thing."
            ),
            "importance": st.column_config.NumberColumn(
                "Importance, %", format="%.2f", help="Share of what the active run uses."
            ),
        },
    )
    st.caption("The ten concepts left that go most with an excluded one, among faces of the same class.")
    _families(run, [link.index for link in links], waiting)
    shared.ticked()
    shared.draw(waiting)


def _families(run: Run, indexes: list[int], waiting: shared.Waiting) -> None:
    """The families of the stand-ins, each excluded by one tick."""
    st.header("Their families", anchor=False)
    every = audit_state.families()
    names = list(dict.fromkeys(every.of(index) for index in indexes))
    grid = st.grid(3, min_column_width=220, gap="small")
    for family in names:
        with grid.cell(), st.container(border=True, gap="xsmall", height="stretch"):
            shared.later(
                waiting,
                lambda family=family: shared.family_row(family),
                "Where the first members change the face",
                width=524,
            )
            first = shared.name(family.members[0])
            ticking.box(
                f"All {family.size:,} around {first}" if family.size > 1 else first,
                family.members,
                key=f"gap.family.{family.members[0]}",
            )
            out = len(run.excluded & set(family.members))
            st.caption(
                f"{out:,} of {page_words.count(family.size, 'channel')} excluded now  \n"
                f"Mean correlation {family.likeness:.2f}"
            )
    st.caption(
        f"Orange: where the first {shared.MEMBERS} members change the face. A tick excludes the whole family from the "
        f"next training. {page_words.prose(every.method)}"
    )

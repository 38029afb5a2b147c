"""What an audit can do where a table knows no sensitive attribute: groups nobody named, and groups as perceived."""

from __future__ import annotations

import streamlit as st

from dashboard.components import page_words, progress
from dashboard.parts import slices
from dashboard.state import perceived as perceived_state
from img2tab_core.base.records import Target
from img2tab_core.classifiers.runs import Run

COUNTED = "How many of the faces of either group it perceives rightly, as 46/50, 48/50; counted on faces like yours."


def page(run: Run, target: Target) -> None:
    """The whole Audit page of a table with one target."""
    st.info(
        "This table has one target and no label that forms groups. Two things can be done without, and the first needs "
        "nothing more. Best is a third: a column of labels in the file it is imported from.",
        icon=":material/info:",
    )
    draw = slices.show(run, target, opened=True)
    perceived(run, target, opened=True)
    draw()


def perceived(run: Run, target: Target, *, opened: bool = False) -> None:
    """The gap between groups that another classifier perceives; nothing where there is none that could."""
    readers = {reader.name: reader.title for reader in perceived_state.readers()}
    if not readers:
        return
    with st.expander("Groups this table does not know, as perceived", icon=":material/person_search:", expanded=opened):
        st.caption(
            "A classifier of the default table reads an attribute from every test face. How often it errs is measured, "
            "the gap is corrected for that, and the interval says how sure it is."
        )
        with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
            by = st.selectbox(
                "Groups", list(readers), format_func=readers.__getitem__, width=260, key="audit.perceived.by"
            )
            right = st.text_input(
                "Perceived rightly",
                placeholder="as 46/50, 48/50",
                width=220,
                key="audit.perceived.right",
                help=f"{COUNTED} *Is it right about your photos?* on Data counts it. Left empty: what it made of the "
                "default table's own test faces; on photos it errs more often.",
            ).strip()
            st.button(
                "Measure",
                key="audit.perceived.measure",
                icon=":material/straighten:",
                on_click=perceived_state.measure,
                args=(run, by, right),
            )
        job = perceived_state.measuring(run, by, right)
        if job is None:
            return
        if job.state == "running":
            progress.watch(job, key="audit-perceived", waiting="Reading the attribute…", cancel=True)
            return
        measured = job.result
        if measured is None:
            st.warning(page_words.prose(job.error or "Stopped."), icon=":material/warning:")
            return
        st.markdown(page_words.plain(measured.sentence))
        groups = " and ".join(
            f"{page_words.count(number, 'test face')} as {name}"
            for number, name in zip(measured.faces, measured.groups, strict=True)
        )
        st.caption(page_words.plain(f"It sees {groups}. {measured.basis}"))

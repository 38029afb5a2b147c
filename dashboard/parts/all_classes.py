"""A target of more than two classes: all of them at once, beside the one that is asked about."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboard.charts import classifiers as classifier_charts
from dashboard.components import page_words
from dashboard.state import audits as audit_state
from dashboard.state import visit
from img2tab_core.audits.many_classes import gap_rows, rows_of
from img2tab_core.classifiers import confusions
from img2tab_core.classifiers.runs import Run


def confusion(run: Run) -> None:
    """How the classes are mixed up, of a run of more than two; nothing of two."""
    if run.whole is None:
        return
    whole, metrics = visit.whole_target(), run.whole.metrics
    st.header(f"Which of the {len(whole.classes)} classes are mixed up?", anchor=False)
    low, high = metrics.interval
    st.markdown(
        page_words.plain(
            f"{page_words.percent(metrics.accuracy)} of {metrics.count:,} test faces are given the class they are "
            f"labelled as (95\N{NO-BREAK SPACE}% interval {page_words.percent(low)} to {page_words.percent(high)})."
        )
    )
    st.plotly_chart(
        classifier_charts.confusion(metrics, whole.classes),
        alt="How many test faces of each class are given which class.",
        key="all_classes.confusion",
        config={"displayModeBar": False},
    )
    st.caption(
        page_words.plain(f"{confusions.sentence(whole, metrics)} Of the run that is active, with all its training.")
    )


def audit(run: Run, sensitive: tuple[str, ...]) -> None:
    """The worst class and groups over all classes, and below it every class in every group; nothing of two classes."""
    if run.whole is None:
        return
    audited = audit_state.audit_classes(run, sensitive)
    with st.container(border=True, gap="small"):
        st.markdown(f"**All {len(audited.classes)} classes at once**")
        st.markdown(page_words.plain(audited.sentence))
        with st.expander("Every class in every group"):
            rows, gaps = rows_of(audited), gap_rows(audited)
            for name, cells in (("classes", rows), ("gaps", gaps)):
                st.dataframe(
                    pd.DataFrame(cells[1:], columns=[page_words.sentence(head) for head in cells[0]]),
                    key=f"all_classes.{name}",
                    hide_index=True,
                    height="content",
                )
            few = f" Too few to say: {'; '.join(audited.too_few)}." if audited.too_few else ""
            st.caption(
                page_words.plain(
                    f"{audited.faces:,} test faces; a face is given its likeliest class. Gaps of each class against "
                    f"the rest in points, with 95\N{NO-BREAK SPACE}% intervals, each by itself.{few}"
                )
            )

"""Other remedies: the standard ones on the same faces with the same classifier, beside what a run excludes."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboard.charts import audits as audit_charts
from dashboard.components import page_words
from dashboard.parts.gap import shared
from dashboard.state import audits as audit_state
from img2tab_core.audits.remedies import NOTHING, Outcome, Remedies
from img2tab_core.audits.worked_example import closed
from img2tab_core.base.records import Target
from img2tab_core.classifiers.runs import Run


def show(run: Run, target: Target, about: Target) -> None:
    job = audit_state.remedying(run, about.name)
    if not run.excluded:
        shared.only_after(
            "The active run excludes nothing, so none of the rows would be ours. Exclude concepts and retrain first, "
            "or compare the standard remedies alone."
        )
    if shared.idle(job):
        st.button(
            "Compare remedies",
            key="gap.remedies",
            type="primary",
            icon=":material/play_arrow:",
            on_click=audit_state.compare_remedies,
            args=(run, about.name),
            help=f"In the background: every remedy with {audit_state.REMEDY_SEEDS} samples of training faces.",
        )
    if job is None:
        st.caption(
            "Reweighing, CorrelationRemover, ExponentiatedGradient and ThresholdOptimizer, with the same classifier on "
            "the same faces. About ten minutes on two cores; you can go on working on other pages."
        )
        return
    found = shared.result(job, key="gap-remedies", waiting="Preparing…")
    if found is not None:
        _compared(run, found)


def _compared(run: Run, found: Remedies) -> None:
    for one in found.outcomes:
        if one.reason:
            st.warning(page_words.prose(f"{one.title}: {one.reason}"), icon=":material/warning:")
    st.markdown(_verdict(run, found))
    st.dataframe(
        pd.DataFrame(
            [
                {
                    "remedy": f"★ {one.title}" if one.own else one.title,
                    "accuracy": one.estimate("accuracy").text(100, 1) or "",
                    "gap": one.estimate("equalised_odds").text(100, 1) or "",
                    "closed": _closed(found, one),
                    "verdict": _against_nothing(found, one),
                    "group": "Yes" if one.needs_group else "No",
                    "chance": "Yes" if one.random else "No",
                }
                for one in found.outcomes
            ]
        ),
        key="gap.table",
        hide_index=True,
        height="content",
        column_config={
            "remedy": "Remedy",
            "accuracy": st.column_config.TextColumn("Accuracy, %", help="Of the test faces judged as labelled."),
            "gap": st.column_config.TextColumn("Gap, %", help="Equalised odds difference between the groups."),
            "closed": st.column_config.TextColumn(
                "Closed, %", alignment="right", help="Share of the mean gap of nothing; below 0 it is larger."
            ),
            "verdict": st.column_config.TextColumn("Against nothing", help="Seed by seed, with a 95 % interval."),
            "group": st.column_config.TextColumn(
                "Needs the group", help="Must know a face's group when it judges, which is not allowed everywhere."
            ),
            "chance": st.column_config.TextColumn(
                "By chance", help="Two equal faces may get different answers, by chance."
            ),
        },
    )
    st.plotly_chart(audit_charts.pareto(found), key="gap.pareto", config=shared.CHARTS)
    faces = sorted(set(found.train_faces))
    st.caption(
        "Better is up and left; the dotted line joins those that no other beats in both. Open marks need the group. "
        f"Mean over {page_words.count(len(found.seeds), 'seed')}, ± half of the 95\N{NO-BREAK SPACE}% interval. "
        f"{found.base[:1].upper() + found.base[1:]} on {found.columns:,} of {found.channels:,} concepts, "
        f"{' or '.join(f'{count:,}' for count in faces)} training faces a seed, {found.test_faces:,} test faces."
    )
    st.download_button(
        "Download numbers",
        data=found.frame().to_csv(index=False),
        file_name="img2tab-remedies.csv",
        mime="text/csv",
        icon=":material/download:",
        on_click="ignore",
        key="gap.download_remedies",
    )


def _verdict(run: Run, found: Remedies) -> str:
    """What there was to close, and what ours did."""
    nothing = found.outcome(NOTHING)
    start = f"With nothing done the gap is {_reached(nothing)}."
    ours = next((one for one in found.outcomes if one.own and one.trials), None)
    if ours is None:
        return start
    change, share = found.change(ours.remedy), closed(found, ours.remedy)
    verdict = "it cannot be compared" if change is None else change.verdict
    much = f"{page_words.percent(share, 0)} of it closed, " if share is not None and share > 0 else ""
    return (
        f"{start} With the {page_words.count(len(run.excluded), 'concept')} of this run excluded it is "
        f"{_reached(ours)}: "
        f"{much}**{verdict}**."
    )


def _reached(one: Outcome) -> str:
    gap, accuracy = one.estimate("equalised_odds"), one.estimate("accuracy")
    return f"{gap.text(100, 1)} points at {accuracy.text(100, 1)}\N{NO-BREAK SPACE}% accuracy"


def _closed(found: Remedies, one: Outcome) -> str:
    """Per cent of the gap of nothing."""
    share = None if one.remedy == NOTHING else closed(found, one.remedy)
    return "" if share is None else page_words.signed(100 * share, 0).removeprefix("+")


def _against_nothing(found: Remedies, one: Outcome) -> str:
    change = None if one.remedy == NOTHING else found.change(one.remedy)
    return page_words.sentence(change.verdict) if change else ""

"""Other remedies: the standard ones on the same faces with the same classifier, beside what a run excludes."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboard.charts import audits as audit_charts
from dashboard.components import page_words
from dashboard.parts import run_words
from dashboard.parts.gap import shared
from dashboard.state import audits as audit_state
from img2tab_core.audits.remedies import NOTHING, Outcome, Remedies
from img2tab_core.audits.worked_example import closed
from img2tab_core.base.records import Target
from img2tab_core.base.spreadsheets import csv
from img2tab_core.classifiers.runs import Run


def show(run: Run, target: Target, about: Target) -> None:
    job = audit_state.remedying(run, about.name)
    if not run.excluded and not run.treatment:
        shared.only_after(
            "The active run excludes and erases nothing, so none of the rows would be ours. Do either and retrain, "
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
            "Reweighing, CorrelationRemover, LEACE, ExponentiatedGradient, ThresholdOptimizer, with the same classifier"
            " on the same faces. About ten minutes on two cores; you can go on working on other pages."
        )
        return
    remedies = shared.result(job, key="gap-remedies", waiting="Preparing…")
    if remedies is not None:
        _compared(run, remedies)


def _compared(run: Run, remedies: Remedies) -> None:
    for outcome in remedies.outcomes:
        if outcome.reason:
            st.warning(page_words.prose(f"{outcome.title}: {outcome.reason}"), icon=":material/warning:")
    st.markdown(_verdict(run, remedies))
    st.dataframe(
        pd.DataFrame(
            [
                {
                    "remedy": f"★ {outcome.title}" if outcome.own else outcome.title,
                    "accuracy": outcome.estimate("accuracy").text(100, 1) or "",
                    "gap": outcome.estimate("equalised_odds").text(100, 1) or "",
                    "closed": _closed(remedies, outcome),
                    "verdict": _against_nothing(remedies, outcome),
                    "group": "Yes" if outcome.needs_group else "No",
                    "chance": "Yes" if outcome.random else "No",
                }
                for outcome in remedies.outcomes
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
    st.plotly_chart(
        audit_charts.pareto(remedies),
        alt="Every remedy by its gap and its accuracy, with intervals.",
        key="gap.pareto",
        config=shared.CHARTS,
    )
    faces = sorted(set(remedies.train_faces))
    st.caption(
        "Better is up and left; the dotted line joins those that no other beats in both. Open marks need the group. "
        f"Mean over {page_words.count(len(remedies.seeds), 'seed')}, ± half of the 95\N{NO-BREAK SPACE}% interval. "
        f"{remedies.base[:1].upper() + remedies.base[1:]} on {remedies.columns:,} of {remedies.channels:,} channels, "
        f"{' or '.join(f'{count:,}' for count in faces)} training faces a seed, {remedies.test_faces:,} test faces."
    )
    st.download_button(
        "Download numbers",
        data=csv(remedies.frame()),
        file_name="img2tab-remedies.csv",
        mime="text/csv",
        icon=":material/download:",
        on_click="ignore",
        key="gap.download_remedies",
    )


def _verdict(run: Run, remedies: Remedies) -> str:
    """What there was to close, and what ours did."""
    nothing = remedies.outcome(NOTHING)
    start = f"With nothing done the gap is {_reached(nothing)}."
    ours = next((outcome for outcome in remedies.outcomes if outcome.own and outcome.trials), None)
    if ours is None:
        return start
    change, share = remedies.change(ours.remedy), closed(remedies, ours.remedy)
    verdict = "it cannot be compared" if change is None else change.verdict
    much = f"{page_words.percent(share, 0)} of it closed, " if share is not None and share > 0 else ""
    return (
        f"{start} This run {run_words.without(run.excluded, run.treatment)}; then it is {_reached(ours)}: "
        f"{much}**{verdict}**."
    )


def _reached(outcome: Outcome) -> str:
    gap, accuracy = outcome.estimate("equalised_odds"), outcome.estimate("accuracy")
    return f"{gap.text(100, 1)} points at {accuracy.text(100, 1)}\N{NO-BREAK SPACE}% accuracy"


def _closed(remedies: Remedies, outcome: Outcome) -> str:
    """Per cent of the gap of nothing."""
    share = None if outcome.remedy == NOTHING else closed(remedies, outcome.remedy)
    return "" if share is None else page_words.signed(100 * share, 0).removeprefix("+")


def _against_nothing(remedies: Remedies, outcome: Outcome) -> str:
    change = None if outcome.remedy == NOTHING else remedies.change(outcome.remedy)
    return page_words.sentence(change.verdict) if change else ""

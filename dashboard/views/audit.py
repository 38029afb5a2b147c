"""Audit: what the active run does to each group of faces, how far apart the groups are, and what a threshold costs."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboard.charts import audits as audit_charts
from dashboard.components import page_words
from dashboard.components.held import held
from dashboard.parts import is_it_real, own_run, same_faces
from dashboard.state import audits as audit_state
from dashboard.state import visit
from img2tab_core.audits.audit_record import SMALL, Audit, Measure
from img2tab_core.audits.groups import STANDARD
from img2tab_core.audits.metrics import METRICS
from img2tab_core.base.records import Target
from img2tab_core.classifiers.runs import Run

ONE, EACH = "One for all", "One per group"
SHORT = {
    "demographic_parity": "Selection rate",
    "equalised_odds": "Equalised odds",
    "equal_opportunity": "Equal opportunity",
    "worst_accuracy": "Worst group",
    "accuracy_gap": "Accuracy",
}
GAP_HELP = {
    "demographic_parity": "Demographic parity difference: largest difference between groups in how often they are "
    "given the second class.",
    "equalised_odds": "Largest difference in the true positive rate or in the false positive rate.",
    "equal_opportunity": "Largest difference in the true positive rate.",
    "worst_accuracy": "Accuracy of the group the classifier judges worst.",
    "accuracy_gap": "Largest difference in accuracy.",
}
METRIC_HELP = (
    "Selection rate: share given the second class. True positive rate: of the faces labelled so. False positive rate: "
    "of the other faces. Calibration error: how far stated probabilities are from the shares that hold."
)


def page() -> None:
    run, target = visit.active_run(), visit.target()
    others = [other for other in visit.current_table().targets if other.name != target.name]
    if not others:
        st.info("This table has one target only; groups are formed by another one.", icon=":material/info:")
        return
    sensitive = _choose(others)
    if not sensitive:
        st.info("Choose one or two attributes above: their classes are the groups.", icon=":material/arrow_upward:")
        return
    audit = audit_state.audit(run, sensitive)
    own_answers = own_run.about_answers(run, target)
    _counts(audit, target)
    cuts = () if own_answers else _thresholds(run, target, sensitive, audit)
    shown = audit_state.audit(run, sensitive, cuts) if cuts else audit
    _gaps(run, sensitive, shown, bool(cuts), own_answers=own_answers)
    _groups(shown, target, own_answers=own_answers)
    before = visit.before_run(run)
    if before is not None and not before.own and not cuts:
        _before(run, before, sensitive, audit)
    st.caption(
        "Groups say how faces are perceived. A small gap on these faces is a finding about these faces and these "
        "labels; it does not say that the classifier treats anybody well."
    )


def _choose(others: list[Target]) -> tuple[str, ...]:
    titles, chosen = {other.name: other.title for other in others}, audit_state.attributes()
    st.multiselect(
        "Groups by",
        list(titles),
        default=chosen,
        max_selections=2,
        **held(f"audit.sensitive.{visit.target().name}", list(chosen), audit_state.choose_attributes),
        format_func=titles.get,
        width=420,
        help="One attribute, or two that are crossed: every pair of classes is then a group.",
    )
    return chosen


def _counts(audit: Audit, target: Target) -> None:
    st.subheader("Who is in the test faces", anchor=False)
    everyone = (*audit.by_group, audit.overall)
    first, second = (page_words.sentence(name) for name in target.classes)
    counts = pd.DataFrame(
        {
            "Group": [page_words.sentence(group.name) for group in everyone],
            "Faces": [group.count for group in everyone],
            first: [group.by_class[0] for group in everyone],
            second: [group.by_class[1] for group in everyone],
        }
    )
    if any(group.small for group in everyone):
        counts["Note"] = [f"Fewer than {SMALL} faces: read with care" if group.small else "" for group in everyone]
    st.dataframe(
        counts,
        key="audit.counts",
        hide_index=True,
        height="content",
        column_config={name: st.column_config.NumberColumn(format="localized") for name in ("Faces", first, second)},
    )
    left_out = audit.unlabelled + audit.ungrouped
    if left_out:
        st.caption(f"{page_words.count(left_out, 'test face')} left out: their group is not known.")


def _thresholds(run: Run, target: Target, sensitive: tuple[str, ...], audit: Audit) -> tuple[tuple[str, float], ...]:
    """The thresholds that are chosen, of each group; () is the standard one."""
    st.subheader("Where to draw the line", anchor=False)
    names = [group.name for group in audit.by_group]
    kind = st.segmented_control(
        "Threshold",
        [ONE, EACH],
        key="audit.kind",
        default=ONE,
        required=True,
        persist_state="session",
        help=f"A face whose probability is above it is judged {page_words.plain(target.classes[1])}. One per group "
        "needs to know the group when it decides, which is not allowed everywhere.",
    )
    grid = st.grid(2, min_column_width=360, gap="large")
    with grid.cell():
        if kind == ONE:
            threshold = st.slider(
                "For every face", 0.01, 0.99, STANDARD, 0.01, key="audit.threshold", persist_state="session"
            )
            chosen = dict.fromkeys(names, threshold)
        else:
            chosen = {
                name: st.slider(
                    page_words.plain(page_words.sentence(name)),
                    0.01,
                    0.99,
                    STANDARD,
                    0.01,
                    key=f"audit.threshold.{'.'.join(sensitive)}.{number}",
                    persist_state="session",
                )
                for number, name in enumerate(names)
            }
        cuts = () if all(value == STANDARD for value in chosen.values()) else tuple(chosen.items())
        cost = audit_state.threshold_cost(run, sensitive, cuts)
        st.caption(page_words.prose(cost.sentence))
    with grid.cell():
        st.plotly_chart(audit_charts.threshold_curve(cost), key="audit.cost", config={"displayModeBar": False})
    return cuts


def _gaps(run: Run, sensitive: tuple[str, ...], audit: Audit, moved: bool, *, own_answers: bool) -> None:
    st.subheader("How far apart the groups are", anchor=False)
    if not own_answers:
        st.caption("Differences between groups, and the accuracy of the group judged worst.")
    shown = {name: title for name, title in SHORT.items() if name == "demographic_parity" or not own_answers}
    grid = st.grid(len(SHORT), min_column_width=150, gap="medium")
    for name, title in shown.items():
        gap = audit.gaps[name]
        grid.metric(
            title,
            "none" if gap.value is None else page_words.percent(gap.value),
            delta=_interval(gap),
            delta_color="off",
            delta_arrow="off",
            help=" ".join(part for part in (GAP_HELP[name], page_words.prose(gap.note)) if part),
        )
    st.caption(
        f"{page_words.count(audit.faces, 'test face')}; below each value its 95\N{NO-BREAK SPACE}% interval"
        + (", with the thresholds above." if moved else ".")
    )


def _interval(measure: Measure) -> str:
    if measure.low is None or measure.high is None:
        return "not measurable"
    return f"{page_words.percent(measure.low)} to {page_words.percent(measure.high)}"


def _groups(audit: Audit, target: Target, *, own_answers: bool) -> None:
    st.subheader("Group by group", anchor=False)
    metric = st.segmented_control(
        "Metric",
        list(METRICS),
        key="audit.metric.own" if own_answers else "audit.metric",
        default="selection_rate" if own_answers else "accuracy",
        required=True,
        format_func=METRICS.get,
        persist_state="session",
        help=METRIC_HELP,
    )
    st.plotly_chart(audit_charts.group_dots(audit, metric), key="audit.dots", config={"displayModeBar": False})
    if not own_answers:  # of answers held against themselves they say nothing
        _curves(audit)
    st.download_button(
        "Download numbers",
        data=audit.frame().to_csv(index=False),
        file_name="img2tab-audit.csv",
        mime="text/csv",
        icon=":material/download:",
        on_click="ignore",
        key="audit.download",
    )


def _curves(audit: Audit) -> None:
    grid = st.grid(2, min_column_width=360, gap="large")
    with grid.cell():
        st.markdown("**ROC of each group**")
        st.plotly_chart(audit_charts.roc_curves(audit), key="audit.roc", config={"displayModeBar": False})
    with grid.cell():
        st.markdown("**Are the probabilities true?**")
        st.plotly_chart(audit_charts.reliability(audit), key="audit.reliability", config={"displayModeBar": False})


def _before(run: Run, before: Run, sensitive: tuple[str, ...], audit: Audit) -> None:
    st.subheader("Before and after the exclusion", anchor=False)
    st.plotly_chart(
        audit_charts.gap_dumbbell(audit_state.audit(before, sensitive), audit),
        key="audit.before",
        config={"displayModeBar": False},
    )
    same_faces.show(before, run, sensitive)
    st.caption(
        f"From the run that excludes {page_words.count(len(before.excluded), 'channel')} to the active one, which "
        f"excludes "
        f"{page_words.count(len(run.excluded), 'channel')}. One training each."
    )
    is_it_real.show(before, run, sensitive, key="audit")


if __name__ == "__main__":
    page()

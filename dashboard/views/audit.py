"""Audit: which group the active run judges wrongly more often and by how much, whose faces, and what would close it."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboard.charts import audits as audit_charts
from dashboard.components import page_words
from dashboard.components.held import held
from dashboard.parts import (
    all_classes,
    audit_matrix,
    could_be_seen,
    group_tiles,
    is_it_real,
    misjudged,
    no_attribute,
    own_run,
    run_words,
    same_faces,
    slices,
    threshold_finder,
)
from dashboard.state import attributes as attribute_state
from dashboard.state import audits as audit_state
from dashboard.state import matrix as matrix_state
from dashboard.state import visit
from img2tab_core.audits.audit_record import SMALL, Audit
from img2tab_core.audits.group_differences import (
    CALLED,
    FALSE_ALARMS,
    MISSES,
    RATES_TOLD,
    gap_sentence,
    group_words,
    label_sentence,
    share,
    tile_title,
)
from img2tab_core.audits.matrix import in_points, short
from img2tab_core.audits.metrics import METRICS
from img2tab_core.base.records import Target
from img2tab_core.base.spreadsheets import csv
from img2tab_core.classifiers.runs import Run

METRIC_HELP = (
    "Selection rate: share given the second class. True positive rate: of the faces labelled so. False positive rate: "
    "of the other faces. Calibration error: how far stated probabilities are from the shares that hold."
)


def page() -> None:
    run, target = visit.active_run(), visit.target()
    table, asked = visit.current_table(), (target.name, visit.whole_target().name)
    others = [other for other in (*table.targets, *table.many) if other.name not in asked]
    if not others:
        no_attribute.page(run, target)
        return
    _matrix()
    sensitive = _choose(others)
    if not sensitive:
        st.info("Choose one or two attributes above: their classes are the groups.", icon=":material/arrow_upward:")
        return
    all_classes.audit(run, sensitive)
    audited = audit_state.audit(run, sensitive)
    differences = audit_state.differences(run, sensitive)
    own_answers = own_run.about_answers(run, target)
    if own_answers:  # held against themselves they are always right: what says something is how often which is given
        group_tiles.answer(gap_sentence(audited, target.classes, gap="demographic_parity"), key="pair")
        _beside(audited, [each for each in differences if each.rate == CALLED], target, (CALLED,))
        _table(audited, target, (CALLED,))
        _numbers(audited, own_answers=True)
        _perceived()
        return
    group_tiles.answer(gap_sentence(audited, target.classes, differences), key="pair")
    st.caption(
        page_words.plain(
            f"{label_sentence(audited, target.classes)} A classifier that is always right calls them "
            f"{short(target.classes[1])} just as unequally."
        )
    )
    _beside(audited, differences, target, (FALSE_ALARMS, MISSES))
    _table(audited, target, RATES_TOLD)
    could_be_seen.show(target, sensitive)
    draw_faces = misjudged.show(run, target, sensitive, audited, differences)
    draw_slices = slices.show(run, target)
    no_attribute.perceived(run, target)
    _calibration(audited)
    cuts = threshold_finder.show(run, target, sensitive, audited)
    before = visit.before_run(run)
    if before is not None and not before.own:
        _before(run, before, sensitive, audited)
    _numbers(audit_state.audit(run, sensitive, cuts) if cuts else audited, moved=bool(cuts))
    _perceived()
    draw_faces()
    draw_slices()


def _matrix() -> None:
    """What stands out of all pairs, in a line, and the whole matrix: open until somebody has chosen a pair."""
    if not matrix_state.is_there():
        return
    matrix_state.measuring()
    matrix = matrix_state.so_far()
    beyond = matrix.beyond_chance
    chosen = attribute_state.are_chosen()
    whole = st.expander(
        "Every target by every group",  # always the same: one that changes is another expander, and a click on it lost
        icon=":material/grid_on:",
        expanded=not chosen,
        key=f"audit.whole.{chosen}",
        on_change="rerun",
    )
    if whole.open:
        with whole:
            audit_matrix.show()
    elif matrix.rows:
        found = f"{len(beyond) or 'None'} of {len(matrix.pairs)} pairs measured differ beyond chance"
        found += f", most: {matrix.title(beyond[0])}, {in_points(beyond[0].gap)}" if beyond else ""
        st.caption(page_words.plain(found))


def _choose(others: list[Target]) -> tuple[str, ...]:
    titles, chosen = {other.name: other.title for other in others}, attribute_state.grouping()
    st.multiselect(
        "Groups by",
        list(titles),
        default=chosen,
        max_selections=2,
        **held(f"audit.sensitive.{visit.target().name}", list(chosen), attribute_state.choose_attributes),
        format_func=titles.get,
        width=420,
        help="One attribute, or two that are crossed: every pair of classes is then a group.",
    )
    return chosen


def _beside(audited: Audit, differences: list | tuple, target: Target, rates: tuple[str, ...]) -> None:
    """The errors of each group as bars, and beside them the differences as tiles."""
    grid = st.grid(2, min_column_width=340, gap="large")
    with grid.cell():
        st.plotly_chart(
            audit_charts.group_bars(audited, target.classes, rates),
            alt="The rates of either mistake by group, as bars with intervals.",
            key="audit.bars",
            config={"displayModeBar": False},
        )
    with grid.cell():
        group_tiles.show(differences, target.classes, key="standard", across=min(2, len(differences)))


def _table(audited: Audit, target: Target, rates: tuple[str, ...]) -> None:
    """Every group with its counts and rates: what a keyboard and a screen reader can read of the bars."""
    everyone = (*audited.by_group, audited.overall)
    first, second = (f"Labelled {short(name)}" for name in target.classes)
    table = pd.DataFrame(
        {
            "Group": [page_words.sentence(group_words(group.name)) for group in everyone],
            "Faces": [group.count for group in everyone],
            first: [group.by_class[0] for group in everyone],
            second: [group.by_class[1] for group in everyone],
            **{
                tile_title(rate, target.classes): [
                    None if (value := share(group, rate)) is None else 100 * value for group in everyone
                ]
                for rate in rates
            },
        }
    )
    if any(group.small for group in everyone):
        table["Note"] = [f"Fewer than {SMALL} faces: read with care" if group.small else "" for group in everyone]
    st.dataframe(
        table,
        key="audit.groups",
        hide_index=True,
        height="content",
        column_config={
            **{name: st.column_config.NumberColumn(format="localized") for name in ("Faces", first, second)},
            **{
                tile_title(rate, target.classes): st.column_config.NumberColumn(format="%.1f\N{NO-BREAK SPACE}%%")
                for rate in rates
            },
        },
    )
    left_out = audited.unlabelled + audited.ungrouped
    st.caption(
        f"{page_words.count(audited.faces, 'test face')}, threshold 0.5, intervals of 95\N{NO-BREAK SPACE}%."
        + (f" {page_words.count(left_out, 'test face')} left out: their group is not known." if left_out else "")
    )


def _calibration(audited: Audit) -> None:
    st.header("Are its probabilities true?", anchor=False)
    grid = st.grid(2, min_column_width=340, gap="large")
    with grid.cell():
        st.markdown("**How often what it says comes true, by group**")
        st.plotly_chart(
            audit_charts.reliability(audited),
            alt="How often what it says comes true, by group, against the probability it gave.",
            key="audit.reliability",
            config={"displayModeBar": False},
        )
    with grid.cell():
        st.markdown("**What every threshold would do (ROC)**")
        st.plotly_chart(
            audit_charts.roc_curves(audited),
            alt="True against false alarms of every group at every threshold.",
            key="audit.roc",
            config={"displayModeBar": False},
        )


def _numbers(audited: Audit, *, moved: bool = False, own_answers: bool = False) -> None:
    with st.expander("Every metric, group by group", icon=":material/table_chart:"):
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
        st.plotly_chart(
            audit_charts.group_dots(audited, metric),
            alt="The chosen measure of every group with its interval.",
            key="audit.dots",
            config={"displayModeBar": False},
        )
        if moved:
            st.caption("With the thresholds chosen above.")
    st.download_button(
        "Download numbers",
        data=csv(audited.frame()),
        file_name="img2tab-audit.csv",
        mime="text/csv",
        icon=":material/download:",
        on_click="ignore",
        key="audit.download",
    )


def _before(run: Run, before: Run, sensitive: tuple[str, ...], audited: Audit) -> None:
    st.header("Before and after", anchor=False)
    st.plotly_chart(
        audit_charts.gap_dumbbell(audit_state.audit(before, sensitive), audited),
        alt="Every group before and after.",
        key="audit.before",
        config={"displayModeBar": False},
    )
    same_faces.show(before, run, sensitive)
    st.caption(
        f"From the run that {run_words.without(before.excluded, before.treatment)} to the active one, which "
        f"{run_words.without(run.excluded, run.treatment)}. One training each."
    )
    is_it_real.show(before, run, sensitive, key="audit")


def _perceived() -> None:
    st.caption(
        "Groups say how faces are perceived. A small gap on these faces is a finding about these faces and these "
        "labels; it does not say that the classifier treats anybody well."
    )


if __name__ == "__main__":
    page()

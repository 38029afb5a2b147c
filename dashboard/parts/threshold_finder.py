"""Where to draw the line: thresholds by hand or found on validation faces, and what they come to on the test faces."""

from __future__ import annotations

import streamlit as st

from dashboard.charts import audits as audit_charts
from dashboard.components import page_words
from dashboard.components.held import held
from dashboard.parts import group_tiles
from dashboard.state import audits as audit_state
from dashboard.state import thresholds as threshold_state
from dashboard.state import visit
from img2tab_core.audits.audit_record import Audit
from img2tab_core.audits.group_differences import gap_sentence, group_words
from img2tab_core.audits.groups import STANDARD
from img2tab_core.audits.matrix import short
from img2tab_core.audits.threshold_search import on_test_faces
from img2tab_core.base.records import Target
from img2tab_core.classifiers.runs import Run

ONE, EACH = "One for all", "One per group"
LOSSES = (0.01, 0.02, 0.05)  # of accuracy


def show(run: Run, target: Target, sensitive: tuple[str, ...], audited: Audit) -> audit_state.Thresholds:
    """The thresholds that are chosen, of each group; () is the standard one."""
    st.header("Where to draw the line", anchor=False)
    kind = st.segmented_control(
        "Threshold",
        [ONE, EACH],
        key="audit.kind",
        default=ONE,
        required=True,
        persist_state="session",
        help=f"A face whose probability is above it is called {page_words.plain(short(target.classes[1]))}. One per "
        "group needs to know the group when it decides, which is not allowed everywhere.",
    )
    each = kind == EACH
    names = tuple(group.name for group in audited.by_group)
    chosen = threshold_state.chosen(run, sensitive, each, names)
    grid = st.grid(2, min_column_width=340, gap="large")
    with grid.cell():
        _find(run, target, sensitive, each)
        _sliders(run, sensitive, each, chosen)
    cuts = () if all(value == STANDARD for value in chosen.values()) else tuple(chosen.items())
    cost = audit_state.threshold_cost(run, sensitive, cuts)
    with grid.cell():
        st.plotly_chart(
            audit_charts.threshold_curve(cost),
            alt="Accuracy and gap at every threshold, and the chosen ones marked.",
            key="audit.cost",
            config={"displayModeBar": False},
        )
    if not cuts:
        st.caption(page_words.plain(cost.sentence))
        return cuts
    moved = audit_state.audit(run, sensitive, cuts)
    st.markdown(page_words.plain(f"With these thresholds: {_inside(gap_sentence(moved, target.classes))}"))
    if threshold_state.found(run, sensitive, each) is None:  # which says the same, and more
        st.caption(page_words.plain(cost.sentence))
    group_tiles.show(audit_state.differences(run, sensitive, cuts), target.classes, key="moved", across=4)
    return cuts


def _find(run: Run, target: Target, sensitive: tuple[str, ...], each: bool) -> None:
    """The button that finds thresholds, what it may lose, and what it found."""
    if run.own:
        st.caption(
            "Thresholds are not sought for a classifier that reads pixels: it would have to be asked about every "
            "validation face first. Set them by hand."
        )
        return
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        titles = {
            "equalised_odds": "Errors",
            "demographic_parity": f"Called {short(target.classes[1])}",
        }
        gap = st.segmented_control(
            "Close the gap in",
            list(titles),
            key="audit.find.gap",
            default="equalised_odds",
            required=True,
            format_func=titles.get,
            persist_state="session",
            help="Errors: the larger of the differences in false alarms and in misses (equalised odds). The other: how "
            "often each group is called so, whatever the label.",
        )
        most_lost = st.selectbox(
            "Accuracy to give up",
            LOSSES,
            index=1,
            key="audit.find.lost",
            format_func=lambda lost: f"up to {page_words.count(round(100 * lost), 'point')}",
            persist_state="session",
            width=170,
        )
        st.button(
            "Find the ones that close it" if each else "Find the one that closes it",
            key="audit.find",
            icon=":material/target:",
            on_click=threshold_state.find,
            args=(run, sensitive, each, gap, most_lost),
            help="The least gap on the validation faces for what may be given up, and of equal ones the most accurate "
            "(after Hardt, Price and Srebro 2016, without chance). The test faces take no part in the choice.",
        )
    search = threshold_state.found(run, sensitive, each)
    if search is None:
        return
    text = search.sentence
    if search.moved:
        before = audit_state.audit(run, sensitive)
        found = tuple(search.thresholds.items())
        after, changed = (ask(run, sensitive, found) for ask in (audit_state.audit, audit_state.thresholds_changed))
        text += f" {on_test_faces(before, after, search.gap, changed)}"
    st.success(page_words.plain(text), icon=":material/target:")


def _sliders(run: Run, sensitive: tuple[str, ...], each: bool, chosen: dict[str, float]) -> None:
    place = f"{visit.target().name}.{'.'.join(sensitive)}"
    if not each:
        value = next(iter(chosen.values()))
        st.slider(
            "For every face",
            0.01,
            0.99,
            value,
            0.01,
            **held(
                f"audit.threshold.{place}",
                value,
                lambda moved: threshold_state.choose(run, sensitive, each, dict.fromkeys(chosen, moved)),
            ),
        )
        return
    for number, (name, value) in enumerate(chosen.items()):

        def choose(moved: float, name: str = name) -> None:
            threshold_state.choose(run, sensitive, each, {**chosen, name: moved})

        st.slider(
            page_words.plain(page_words.sentence(group_words(name))),
            0.01,
            0.99,
            value,
            0.01,
            **held(f"audit.threshold.{place}.{number}", value, choose),
        )


def _inside(sentence: str) -> str:
    """The same words within a sentence."""
    return sentence[:1].lower() + sentence[1:]

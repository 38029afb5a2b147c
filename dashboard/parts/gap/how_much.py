"""How much to exclude: accuracy and gap against how much, and a line over them that the person drags."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboard.charts import classifiers as classifier_charts
from dashboard.components import drag_line, page_words
from dashboard.components.held import held
from dashboard.parts.gap import shared
from dashboard.state import address, visit
from dashboard.state import audits as audit_state
from img2tab_core.audits.exclusion_curves import ExclusionCurve
from img2tab_core.base.records import Target
from img2tab_core.base.spreadsheets import csv
from img2tab_core.classifiers.runs import Run

SEEDS = (1, 3, 5)
LOST = 0.01  # accuracy that the offered exclusion may cost


def show(run: Run, target: Target, about: Target) -> None:
    if shared.carried(about) is None:
        return
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        seeds, handed = address.choice("gap.seeds", address.among(SEEDS), SEEDS[0])
        st.selectbox(
            "Seeds",
            SEEDS,
            SEEDS.index(seeds),
            width=110,
            **handed,
            help="With several seeds every point is trained several times and has an interval. The faces stay the "
            "same, so it says how much the training's chance matters.",
        )
        job = audit_state.curve(about.name, seeds)
        if shared.idle(job):
            st.button(
                "Compute the curve",
                key="gap.curve",
                type="primary",
                icon=":material/show_chart:",
                on_click=audit_state.draw_curve,
                args=(about.name, seeds),
                help="In the background; you can go on working on other pages.",
            )
    if job is None:
        st.info(
            f"Not measured yet for {page_words.plain(about.title.lower())}. The curve trains quickly with nothing "
            f"excluded, with 10, with 100, and so on to thousands: about {_minutes(seeds)} on two cores. Then drag "
            "a line over it to choose how much to exclude.",
            icon=":material/show_chart:",
        )
        return
    curve = shared.result(job, key="gap-curve", waiting="Ranking the concepts…")
    if curve is not None:
        _curve(about, curve, seeds)
    shared.ticked()


def _minutes(seeds: int) -> str:
    return "a minute" if seeds == 1 else f"{seeds} minutes"


def _curve(about: Target, curve: ExclusionCurve, seeds: int) -> None:
    best = curve.least_gap(lost=LOST)
    st.markdown(answer(curve))
    place = f"{visit.current_table().key[:16]}.{visit.target().name}.{about.name}"
    chosen = f"gap.line.{place}"
    count = st.session_state.setdefault(chosen, best.count)
    grid = st.grid(3, min_column_width=230, gap=("small", "large"))
    with grid.cell(column_span=2):
        drag_line.drag_line(
            curve,
            count,
            key="gap.line",
            of=f"{place}.{seeds}",
            colours=(classifier_charts.BLUE, classifier_charts.ORANGE),
            on_move=lambda count: _exclude_so_many(chosen, count),
        )
        st.caption(
            "Drag the line, or use the arrow keys; page keys go from one measured point to the next. Excluded first is "
            f"what carries the attribute most. Drawn are {curve.faces[1]:,} validation faces, to choose by; the "
            f"numbers beside are of {curve.test_faces:,} test faces, which took no part in the choice."
        )
    with grid.cell():
        st.number_input(
            "Channels to exclude",
            0,
            curve.points[-1].count,
            count,
            step=10,
            **held(f"gap.count.{place}", count, lambda wanted: _exclude_so_many(chosen, wanted)),
            help="The line stands here; type a number or drag it.",
        )
        _at(curve, count)
        st.button(
            f"Least gap: {page_words.count(best.count, 'channel')}",
            key="gap.least",
            icon=":material/south:",
            on_click=_exclude_so_many,
            args=(chosen, best.count),
            disabled=best.count == count,
            width="stretch",
            help="The smallest gap on validation faces among the points that cost at most 1 point of accuracy there "
            "against nothing excluded.",
        )
        ranking = audit_state.suggestion(about.name).ranking
        channels = frozenset(ranking[:count])
        st.button(
            f"Tick these {page_words.count(count, 'channel')}" if count else "Tick none",
            key="gap.tick_line",
            type="primary",
            icon=":material/check:",
            on_click=visit.tick,
            args=(channels,),
            disabled=channels == visit.ticked(),
            width="stretch",
            help="Replaces what is ticked now.",
        )
    st.caption(
        f"A quick retrain for every point, not the full training: {page_words.prose(curve.how)} Of those, each class "
        "has as many in each group. A full training, on the Exclude page, gives other numbers."
        + (" One seed: a difference of a point or two may be chance." if seeds == 1 else "")
    )
    st.download_button(
        "Download numbers",
        data=csv(_numbers(curve)),
        file_name="img2tab-exclusion-curve.csv",
        mime="text/csv",
        icon=":material/download:",
        on_click="ignore",
        key="gap.download",
    )


def _exclude_so_many(key: str, count: int) -> None:
    st.session_state[key] = count


def _at(curve: ExclusionCurve, count: int) -> None:
    """Accuracy and gap on the test faces at the measured point nearest to the line, against nothing excluded."""
    here, first = curve.at(count), curve.points[0]
    grid = st.grid(2, min_column_width=110, gap="small")
    for name, title, meaning in (
        ("test_accuracy", "Accuracy", "Share of the test faces judged as labelled, by the quick retrain."),
        (
            "test_gap",
            "Gap",
            "Equalised odds: the largest difference between the groups in the true or the false positive "
            "rate, on the test faces, by the quick retrain.",
        ),
    ):
        value, change = here.estimate(name), here.mean(name) - first.mean(name)
        interval = (
            ""
            if value.high is None
            else (f" 95 % interval over the seeds {page_words.percent(value.low)} to {page_words.percent(value.high)}.")
        )
        grid.metric(
            title,
            page_words.percent(here.mean(name)),
            delta=page_words.points(change),
            delta_color="off",
            delta_arrow=page_words.arrow(change),
            help=f"{meaning}{interval} Below it the change against nothing excluded.",
        )
    st.caption(
        f"As measured on test faces with {here.count:,} excluded"
        + (", the nearest measured point." if here.count != count else ".")
    )


def answer(curve: ExclusionCurve) -> str:
    """What excluding more and more reaches on test faces, in a sentence; the count was chosen by validation faces."""
    first, best = curve.points[0], curve.least_gap(lost=LOST)
    was, gap = first.mean("test_gap"), best.mean("test_gap")
    if best.count == 0:
        return (
            f"**No amount closes it cheaply:** on validation faces no point has a smaller gap for at most 1 point of "
            f"accuracy than nothing excluded, {page_words.percent(was)} on test faces."
        )
    cost = best.mean("test_accuracy") - first.mean("test_accuracy")
    return (
        f"**Without {page_words.count(best.count, 'channel')} the gap goes from {100 * was:.1f} to {100 * gap:.1f} "
        f"points**, and accuracy changes by {page_words.points(cost)}, on test faces. The smallest gap for at most 1 "
        "point of accuracy, chosen by validation faces."
    )


def _numbers(curve: ExclusionCurve) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "excluded": point.count,
                "seed": trial.seed,
                "validation accuracy": trial.accuracy,
                "validation gap": trial.gap,
                "test accuracy": trial.test_accuracy,
                "test gap": trial.test_gap,
            }
            for point in curve.points
            for trial in point.trials
        ]
    )

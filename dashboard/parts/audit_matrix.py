"""The audit matrix: what stands out first, as a sentence, a heat map and a list; a click chooses a pair to look at."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pandas as pd
import streamlit as st

from dashboard.charts import audits as audit_charts
from dashboard.components import clicks, page_words, progress
from dashboard.state import matrix as matrix_state
from dashboard.state import session as session_state
from dashboard.state import visit

if TYPE_CHECKING:
    from img2tab_core.audits.matrix import Matrix, Pair

LISTED = 5
WIDE = 12  # targets; a chart of more takes the whole width
PAUSE = 3.0  # seconds between two drawings of a matrix that fills


def show() -> None:
    """Below a heading of the page's; nothing where the table has fewer than two labels."""
    if not matrix_state.is_there():
        return
    job, matrix = matrix_state.measuring(), matrix_state.so_far()
    st.markdown(page_words.prose(matrix.sentence))
    if matrix.rows:
        beside = len(matrix.targets) <= WIDE
        grid = st.grid(2 if beside else 1, min_column_width=360, gap="large")
        with grid.cell():
            _chart(matrix)
        with grid.cell():
            _strongest(matrix)
    drawn, rows_drawn = time.monotonic(), len(matrix.rows)

    def redraw() -> None:
        if time.monotonic() - drawn > PAUSE and len(matrix_state.so_far().rows) > rows_drawn:
            st.rerun()

    if job.state == "running":
        progress.watch(
            job,
            key="audit-matrix",
            waiting="Measuring every pair…",
            cancel=True,
            label="Stop",
            help="What is measured is kept, and it goes on from there.",
            meanwhile=redraw,
        )
    elif job.state != "done":
        with st.container(horizontal=True, vertical_alignment="center"):
            failed = job.state == "failed"
            st.markdown(page_words.prose(f"The matrix was not finished: {job.error}" if failed else "Stopped."))
            st.button("Try again" if failed else "Go on", key="audit.matrix.again", on_click=matrix_state.go_on)
    elif not matrix.complete:
        left = len(matrix.targets) - len(matrix.rows)
        st.button(
            f"Measure {page_words.count(left, 'more target')}",
            key="audit.matrix.train",
            icon=":material/model_training:",
            on_click=matrix_state.train,
            help="Their classifiers are trained first, in the background: about half a minute each on two cores.",
        )
    _notes(matrix)
    if matrix.rows:
        _all(matrix)


def _chart(matrix: Matrix) -> None:
    chosen = matrix_state.chosen()
    key = f"audit.matrix.{'.'.join(chosen or ())}"  # another pair, another chart: its old click must not stay pressed

    def click() -> None:
        number = clicks.clicked(key)
        if number is not None:
            row, column = divmod(number, len(matrix.targets))
            matrix_state.choose(matrix.targets[row].name, matrix.targets[column].name)

    st.plotly_chart(
        audit_charts.gap_matrix(matrix, chosen=chosen),
        alt="The gap of every target by every attribute, in points.",
        key=key,
        on_select=click,
        selection_mode="points",
        config={"displayModeBar": False},
    )
    st.caption(
        "Rows: what is predicted. Columns: the groups. Each cell: how far apart they are, in points; click one to look "
        "at it. **Orange and bold**: beyond chance. Grey: may be chance. –: too few faces."
    )


def _strongest(matrix: Matrix) -> None:
    """The pairs that differ most beyond chance, each with a button; those of the session's target in a session."""
    listed = [pair for pair in matrix.beyond_chance if matrix_state.may_choose(pair.target)]
    now = session_state.opened()
    if now is not None:
        st.caption(
            f"The open session is about {page_words.plain(visit.target().title)}, so pairs of that can be looked at."
        )
    if not listed:
        st.caption("No pair differs beyond chance.")
    for pair in listed[:LISTED]:
        _row(matrix, pair)
    if len(listed) > LISTED:
        st.caption(f"{len(listed) - LISTED} more in the table below.")


def _row(matrix: Matrix, pair: Pair) -> None:
    from img2tab_core.audits.matrix import in_points

    title = page_words.sentence(matrix.title(pair))
    shown = matrix_state.chosen() == (pair.target, pair.attribute)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        with st.container(width="stretch", gap="xxsmall"):
            st.markdown(f"**{page_words.plain(title)}**")
            st.caption(page_words.prose(f"{in_points(pair.gap)}. {matrix.direction(pair)}"))
        st.button(
            "Shown" if shown else "Look",
            key=f"audit.look.{pair.target}.{pair.attribute}",
            on_click=matrix_state.choose,
            args=(pair.target, pair.attribute),
            disabled=shown,
            help=None if shown else f"Open {page_words.plain(title)} below.",
        )


def _notes(matrix: Matrix) -> None:
    """What the figures are of."""
    active, measured = visit.active_run().id, {row.target: row.run for row in matrix.rows}
    other = measured.get(visit.target().name, active) != active
    st.caption(
        "Measured on test faces with the classifier of each target that excludes nothing, at threshold 0.5. Of all "
        "pairs that are called beyond chance at most about 5\N{NO-BREAK SPACE}% are luck."
        + (" The active run is another one: what stands below is of that." if other else "")
    )


def _all(matrix: Matrix) -> None:
    key = f"audit.pairs.{'.'.join(matrix_state.chosen() or ())}"  # as of the chart

    def choose() -> None:
        rows = st.session_state[key]["selection"]["rows"]
        if rows:
            pair = matrix.pairs[rows[0]]
            matrix_state.choose(pair.target, pair.attribute)

    with st.expander(f"All {page_words.count(len(matrix.pairs), 'pair')} as a table"):
        st.dataframe(
            pd.DataFrame(
                [
                    {
                        "pair": page_words.sentence(matrix.title(pair)),
                        **{name: None if value is None else 100 * value for name, value in _figures(pair).items()},
                        "faces": pair.smallest,
                        "verdict": "too few" if pair.too_small else "yes" if pair.beyond_chance else "no",
                        "direction": matrix.direction(pair),
                        "labels": matrix.labels(pair),
                    }
                    for pair in matrix.pairs
                ]
            ),
            key=key,
            hide_index=True,
            on_select=choose,
            selection_mode="single-row",
            column_config={
                "pair": "Target by attribute",
                "points": st.column_config.NumberColumn("Points", format="%.1f"),
                "low": st.column_config.NumberColumn("From", format="%.1f"),
                "high": st.column_config.NumberColumn("To", format="%.1f"),
                "faces": st.column_config.NumberColumn(
                    "Faces", help="In the smallest group and class: the gap rests on all four."
                ),
                "verdict": "Beyond chance",
                "direction": "Who is judged wrongly more often",
                "labels": "How the labels differ",
            },
        )


def _figures(pair: Pair) -> dict[str, float | None]:
    return {"points": pair.gap.value, "low": pair.gap.low, "high": pair.gap.high}

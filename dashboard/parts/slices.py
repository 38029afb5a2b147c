"""Groups nobody named: where the active run fails most, in a sentence, as a table, and as faces to look at."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import streamlit as st

from dashboard.components import page_words, pictures, progress
from dashboard.components.held import held
from dashboard.state import misjudged as misjudged_state
from dashboard.state import slices as slices_state
from img2tab_core.audits.matrix import short
from img2tab_core.audits.misjudged import JudgedFace
from img2tab_core.audits.slices import Slice, Slices
from img2tab_core.base.records import Target
from img2tab_core.classifiers.runs import Run

ACROSS = 6


def show(run: Run, target: Target, *, opened: bool = False) -> Callable[[], None]:
    """Sought once somebody opens it; what is returned draws the faces, so that the page stands first."""
    section = st.expander(
        "Groups nobody named: where does it fail most?",
        icon=":material/manage_search:",
        expanded=opened,
        key="audit.slices",
        on_change="rerun",
    )
    if not section.open:
        return _nothing
    with section:
        st.caption(
            "Groups that labels, measures and concepts describe, alone or two together. Sought on validation faces, "
            "confirmed on test faces."
        )
        label = _choose_label(target)
        job = slices_state.seeking(run, label)
        if job.state == "running":
            progress.watch(job, key="audit-slices", waiting="Seeking…", cancel=True, label="Stop")
            return _nothing
        measured = job.result
        if measured is None:
            reason = page_words.prose(f"Not sought: {job.error}" if job.error else "Stopped.")
            with st.container(horizontal=True, vertical_alignment="center"):
                st.markdown(reason)
                st.button("Seek again", key="audit.slices.again", on_click=slices_state.seek_again, args=(run, label))
            return _nothing
        return _results(run, target, measured)


def _choose_label(target: Target) -> int | None:
    label, any_kind = slices_state.label(), -1  # a list that offers None could be emptied
    numbers = [any_kind, *range(len(target.classes))]
    shown = any_kind if label is None else label
    st.selectbox(
        "Mistakes",
        numbers,
        index=numbers.index(shown),
        format_func=lambda number: (
            "Of any kind" if number == any_kind else f"About faces labelled {short(target.classes[number])}"
        ),
        width=320,
        **held(
            f"audit.slices.label.{target.name}",
            shown,
            lambda number: slices_state.choose_label(None if number == any_kind else number),
        ),
    )
    return label


def _results(run: Run, target: Target, measured: Slices) -> Callable[[], None]:
    st.markdown(page_words.plain(measured.sentence))
    if not measured.slices:
        st.caption(page_words.plain(measured.how))
        return _nothing
    _table(measured)
    names = [_name(group) for group in measured.slices]
    at = slices_state.chosen(names)
    st.selectbox(
        "Faces of",
        names,
        index=at,
        width=520,
        **held(f"audit.slices.group.{target.name}.{slices_state.label()}", names[at], slices_state.choose),
    )
    group = measured.slices[at]
    draw = _faces(run, target, group, slices_state.faces(run, group))
    left_out = ", ".join(name.replace("_", " ") for name in measured.left_out)
    st.caption(page_words.plain(measured.how + (f" Left out, as the target itself: {left_out}." if left_out else "")))
    return draw


def _name(group: Slice) -> str:
    return page_words.sentence(group.words) + ("" if group.confirmed else " (not confirmed)")


def _table(measured: Slices) -> None:
    st.dataframe(
        pd.DataFrame(
            [
                {
                    "group": page_words.sentence(group.words),
                    "confirmed": "too few faces" if group.controlled is None else "yes" if group.confirmed else "no",
                    "wrong": 100 * group.wrong / group.faces if group.controlled is not None else None,
                    "elsewhere": 100 * group.elsewhere[0] / group.elsewhere[1] if group.elsewhere[1] else None,
                    **{
                        name: None if value is None else 100 * value
                        for name, value in (
                            ("points", group.difference.value),
                            ("low", group.difference.low),
                            ("high", group.difference.high),
                        )
                    },
                    "faces": group.faces,
                }
                for group in measured.slices
            ]
        ),
        key="audit.slices.table",
        hide_index=True,
        height="content",
        column_config={
            "group": st.column_config.TextColumn("Faces", width="large"),
            "wrong": st.column_config.NumberColumn("Judged wrongly", format="%.1f\N{NO-BREAK SPACE}%%"),
            "elsewhere": st.column_config.NumberColumn("Elsewhere", format="%.1f\N{NO-BREAK SPACE}%%"),
            "points": st.column_config.NumberColumn("Points", format="%.1f"),
            "low": st.column_config.NumberColumn("From", format="%.1f"),
            "high": st.column_config.NumberColumn("To", format="%.1f"),
            "faces": st.column_config.NumberColumn("Test faces", format="localized"),
            "confirmed": st.column_config.TextColumn(
                "Confirmed",
                help="Beyond chance on faces that took no part in the search, and beyond the groups above it.",
            ),
        },
    )


def _faces(run: Run, target: Target, group: Slice, faces: tuple[JudgedFace, ...]) -> Callable[[], None]:
    shown = f", {len(faces)} of them shown" if len(faces) < group.faces else ""
    st.markdown(
        page_words.plain(
            f"{group.wrong:,} of {page_words.count(group.faces, 'test face')} are judged wrongly{shown}, the surest "
            "mistakes first:"
        )
    )
    places = []
    grid = st.grid(ACROSS, min_column_width=128, gap="small")
    for number, face in enumerate(faces):
        with grid.cell(), st.container(gap="xsmall"):
            places.append(st.empty())
            places[-1].image(pictures.placeholder(misjudged_state.SIDE, misjudged_state.SIDE), width="stretch")
            _under(run, target, face, number)

    def draw() -> None:
        for place, face in zip(places, faces, strict=True):
            place.image(misjudged_state.picture(run, face.row), width="stretch", alt=f"Test face {face.row:,}")

    return draw


def _under(run: Run, target: Target, face: JudgedFace, number: int) -> None:
    labelled, called = short(target.classes[face.label]), short(target.classes[face.called])
    verdict = "rightly judged" if face.label == face.called else f"labelled {labelled}"
    st.markdown(page_words.plain(f"{page_words.sentence(called)} {page_words.chance(face.probability)}"))
    st.caption(page_words.plain(page_words.sentence(verdict)))
    if st.button(
        "Inspect",
        key=f"audit.slices.inspect.{number}.{face.row}",
        icon=":material/face:",
        type="tertiary",
        help=f"Open test face {face.row:,} on the Inspect page: why, and what would turn the decision.",
    ):
        misjudged_state.inspect(run, face.row, labelled)
        st.switch_page("views/inspect.py")


def _nothing() -> None:
    """No picture to draw."""

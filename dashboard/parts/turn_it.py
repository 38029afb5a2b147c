"""The smallest change that turns a decision: asked for, found in the background, shown as the way there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from dashboard.components import page_words, progress
from dashboard.state import private, turning, visit
from img2tab_core.base.records import Face, Frame, StyleCode, Target
from img2tab_core.classifiers.runs import Run

if TYPE_CHECKING:
    from img2tab_core.audits.smallest_change import Change

KEEPABLE = {"identity": "who it is", "expression": "the expression"}


def show(run: Run, target: Target, face: Face, code: StyleCode, decided: int) -> None:
    """The question, and its answers once they are there."""
    described = visit.description()
    if described is None:
        return
    other = page_words.plain(target.classes[1 - decided])
    with st.container(border=True):
        st.markdown(f"**What would make it {other}?** The smallest change of a few concepts, confirmed on the picture.")
        names = KEEPABLE | {family.id: family.name for family in described.families}
        with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
            chosen = st.multiselect(
                "Keep as it is",
                list(names),
                key="inspect.keep",
                format_func=lambda word: names.get(word, word),
                persist_state="session",
                placeholder="nothing in particular",
                width=420,
                help="Concepts that must not be moved. Who it is: a face recogniser must still take it for the same "
                "person. The expression: mouth, eyes and brows.",
            )
            keep = tuple(sorted(chosen))
            job = turning.job(run, code, keep)
            st.button(
                "Find it",
                key="inspect.turn",
                icon=":material/flip:",
                on_click=_begin,
                args=(run, private.Lent(code), keep),
                disabled=job is not None and job.state in ("running", "done"),
                help="Some ten seconds on an idle computer.",
            )
        if job is None:
            return
        if job.state == "running":
            progress.watch(job, key="turning", waiting="Moving concepts and asking the classifier…", cancel=True)
        elif job.state == "failed":
            st.error(page_words.prose(f"The search stopped: {job.error}"), icon=":material/error:")
        elif job.result is not None:
            changes, ways = job.result
            st.markdown(page_words.prose(changes.sentence))
            if changes.note:
                st.caption(page_words.prose(changes.note))
            shown = changes.changes or ((changes.nearest,) if changes.nearest else ())
            for number, (change, frames) in enumerate(zip(shown, ways, strict=True)):
                _way(face, target, change, frames, number)
            st.caption(f"Asked about {page_words.count(changes.asked, 'picture')} in {changes.seconds:.0f} seconds.")


def _begin(run: Run, lent: private.Lent, keep: tuple[str, ...]) -> None:
    with visit.noticing():
        turning.begin(run, lent.value, keep)


def _way(face: Face, target: Target, change: Change, frames: tuple[Frame, ...], number: int) -> None:
    names = "; ".join(f"{page_words.plain(name)} {page_words.deviations(by)}" for _, name, by in change.families)
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.markdown(f"**{names}**")
        st.button(
            "Use it",
            key=f"inspect.turn.{number}",
            type="tertiary",
            icon=":material/tune:",
            on_click=turning.use,
            args=(face.key, change),
            help="Make it your edits: then move each concept on from there. Above, a trained classifier is asked about "
            "style codes, which follow less than what the encoder reads in the picture.",
        )
    grid = st.grid(len(frames), min_column_width=84, gap="small")
    for frame in frames:
        with grid.cell():
            st.image(frame.pixels, width="stretch", alt="The face on its way")
            st.caption(page_words.decided(target.classes, frame.probability))

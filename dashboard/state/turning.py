"""What would turn the decision about a face: looked for in the background, kept for the visit."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING

import streamlit as st

from dashboard.state import visit
from dashboard.state.doors import ESTIMATES, auditor
from img2tab_core.base.jobs import Job
from img2tab_core.base.later import later
from img2tab_core.base.records import Frame, StyleCode
from img2tab_core.classifiers.runs import Run

if TYPE_CHECKING:
    from img2tab_core.audits import smallest_change
    from img2tab_core.audits.smallest_change import Change, SmallestChanges
else:
    smallest_change = later("img2tab_core.audits.smallest_change")

FRAMES = 5  # of the way to a change
_KEYS = {StyleCode: attrgetter("key"), Run: attrgetter("id")}
Ways = tuple["SmallestChanges", tuple[tuple[Frame, ...], ...]]  # the changes, and for each the way there


def job(run: Run, code: StyleCode, keep: tuple[str, ...]) -> Job[Ways] | None:
    """The search about this face; None before it was begun."""
    return st.session_state.get("visit.turning", {}).get((run.id, code.key, keep))


def begin(run: Run, code: StyleCode, keep: tuple[str, ...]) -> None:
    """Look for the smallest changes; a search about another face is let go."""
    for former in st.session_state.get("visit.turning", {}).values():
        former.cancel()
    door = auditor()

    def work(progress, cancelled) -> Ways:
        changes = door.smallest_changes(
            run, code, keep=keep, progress=lambda share, text: progress(0.8 * share, text), cancelled=cancelled
        )
        shown: tuple[Change, ...] = changes.changes or ((changes.nearest,) if changes.nearest else ())
        ways = []
        for number, change in enumerate(shown):
            progress(0.8 + 0.2 * number / len(shown), "Drawing the way there")
            ways.append(smallest_change.way(door.studio, run, code, change, frames=FRAMES, size=128))
        return changes, tuple(ways)

    st.session_state["visit.turning"] = {(run.id, code.key, keep): Job.start(ESTIMATES.in_turn(work))}


def use(face_key: str, change: Change) -> None:
    """Make a change the edits of a face, so that it can be moved on from there."""
    edits = visit.FaceEdits(families=tuple((family, strength) for family, _, strength in change.families))
    visit.choose_concept(change.families[0][0])
    visit.set_edits(face_key, edits)

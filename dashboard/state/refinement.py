"""Refinements: while one runs, and ever after, the encoder's answer stands beside it."""

from __future__ import annotations

import os
import threading
import weakref
from typing import TYPE_CHECKING

import streamlit as st

from dashboard.state import faces as face_state
from dashboard.state import visit
from dashboard.state.doors import studio
from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.jobs import Job
from img2tab_core.base.records import Face, StyleCode

if TYPE_CHECKING:
    from img2tab_core.backbones.refinement import Refined


def refine_steps() -> int | None:
    """The steps of one refinement, None for the usual number; IMG2TAB_REFINE_STEPS overrides it."""
    text = os.environ.get("IMG2TAB_REFINE_STEPS") or ""
    if text and not (text.isdecimal() and 1 <= int(text) <= 10_000):
        raise Img2TabError(
            f"IMG2TAB_REFINE_STEPS must be a whole number from 1 to 10,000, got {text!r}. Leave it out for the usual "
            f"one."
        )
    return int(text) if text else None


def code_of(face: Face) -> StyleCode:
    """The style code that the pages show for a face: the refined one, if there is one and it is chosen."""
    answer = refined(face.key)
    return answer[0] if answer is not None and shows_refined(face.key) else visit.encode(face)


def can_refine() -> bool:
    """Whether the backbone draws pictures large enough to compare a face with."""
    return studio().can_refine(visit.backbone_name())


def refined(face_key: str) -> tuple[StyleCode, Refined] | None:
    """What the visit's refinement of a face found; None where it was not refined."""
    return st.session_state.get("visit.refined", {}).get(visit.read_of(face_key))


def shows_refined(face_key: str) -> bool:
    return visit.read_of(face_key) not in st.session_state.get("visit.plain", frozenset())


def show_refined(face_key: str, wanted: bool) -> None:
    """Show the refined answer of a face, or the encoder's."""
    _show_refined(visit.read_of(face_key), wanted)


def _show_refined(read: visit.Read, wanted: bool) -> None:
    plain = st.session_state.get("visit.plain", frozenset())
    st.session_state["visit.plain"] = plain - {read} if wanted else plain | {read}


def refining(face_key: str) -> Job[tuple[StyleCode, Refined]] | None:
    """The job that refines a face, until it has been collected."""
    return st.session_state.get("visit.refining", {}).get(visit.read_of(face_key))


def refine(face: Face, nearest: bool = False) -> None:
    """Refine a face in the background; cancelling the job keeps its best answer so far. nearest: see
    `Studio.refine`."""
    if refining(face.key) is not None:
        return
    door, steps, backbone = studio(), refine_steps(), visit.backbone_name()
    # Held by the visit alone: once the visit is over nobody can see the answer, and the work ends.
    owner = st.session_state.setdefault("visit.owner", threading.Event())
    here = weakref.ref(owner)

    def work(progress, cancelled) -> tuple[StyleCode, Refined]:
        return door.refine(
            face,
            backbone=backbone,
            steps=steps,
            nearest=nearest,
            progress=progress,
            stopped=lambda: cancelled() or here() is None,
        )

    read = (backbone, face.key)
    st.session_state["visit.tried"] = st.session_state.get("visit.tried", frozenset()) | {read}
    job = Job.start(work, keeps_result=True)
    st.session_state["visit.refining"] = {**st.session_state.get("visit.refining", {}), read: job}


def collect_refinements() -> None:
    """Take in the refinements that have ended: a new answer is shown, a failure becomes a notice."""
    running = st.session_state.get("visit.refining", {})
    ended = {read: job for read, job in running.items() if job.state != "running"}  # asked once: it changes meanwhile
    for read, job in ended.items():
        if job.state == "done" and job.result[1].steps > 0:
            st.session_state["visit.refined"] = {**st.session_state.get("visit.refined", {}), read: job.result}
            _show_refined(read, True)
        elif job.state == "failed":
            why = job.error if isinstance(job.error, Img2TabError) else f"{type(job.error).__name__}."
            visit.notice(f"The refinement stopped: {why} The encoder's answer stands.")
    if ended:
        st.session_state["visit.refining"] = {read: job for read, job in running.items() if read not in ended}


def refines_all() -> bool:
    """Whether every photo that is brought is refined in the background."""
    return st.session_state.get("visit.refine_all", False)


def refine_all(wanted: bool) -> None:
    """Switch it on or off; off ends every refinement but that of the face being inspected."""
    st.session_state["visit.refine_all"] = wanted
    shown = face_state.face()
    for (_, face_key), job in st.session_state.get("visit.refining", {}).items():
        if not wanted and (shown is None or face_key != shown.key):
            job.cancel()


def refine_brought() -> None:
    """Start what the visitor asked for in advance: the inspected face of every photo, each once."""
    tried = st.session_state.get("visit.tried", frozenset())
    if refines_all() and can_refine():
        for photo in face_state.visit_photos():
            chosen = face_state.face_of(photo)
            if photo.picture is not None and visit.read_of(chosen.key) not in tried:
                refine(chosen)

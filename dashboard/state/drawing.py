"""What the scrubber shows, drawn in the background: coarse first, then finer, and nothing that nobody waits for."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from operator import attrgetter
from typing import TypeVar

import numpy as np
import streamlit as st

from dashboard.components.scrub import SHIFTS, Strip, strip_of, webp
from dashboard.state import private, visit
from dashboard.state.doors import studio
from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.jobs import Job, Line
from img2tab_core.base.records import EditCheck, Face, StyleCode
from img2tab_core.classifiers.runs import Run
from img2tab_core.studio import moves_of

T = TypeVar("T")

COARSE, FINE = (5, 128), (13, 256)  # frames of a strip and their size, pixels
FULL = 512  # a picture at rest, pixels: twice as large as it is shown
PATIENCE = 0.6  # seconds a page waits for a drawing before it goes on without: few take longer beside a training

_KEYS = {StyleCode: attrgetter("key"), Run: attrgetter("id"), Face: attrgetter("key")}
# two at once would each be half as fast; in the order in which they were asked for: where whoever was quickest took
# the next turn, some of twenty visitors never saw their strip
_LINES = {what: Line("drawings", most=None, at_once=1) for what in (COARSE[1], FINE[1], FULL, "check")}
_WAITED_FOR: weakref.WeakKeyDictionary[Job, int] = weakref.WeakKeyDictionary()  # by how many visits
_CHANGING = threading.Lock()


def strip(
    run: Run, code: StyleCode, what: visit.Concept, edits: visit.FaceEdits, face: Face | None = None
) -> tuple[Strip | None, Job[Strip] | None]:
    """The concept from −10 to +10 on top of every other edit: the best strip so far, and the job of a better one.

    face: given for a classifier that reads pixels; what moves is blended into it.
    """
    others = edits.with_shift(what, 0.0)
    coarse = _begun("coarse", _strip, run, code, what, others, *COARSE, face)
    if not _ended(coarse):
        return None, coarse
    fine = _begun("fine", _strip, run, code, what, others, *FINE, face)
    return (fine.result, None) if _ended(fine, 0) else (coarse.result, fine)


def picture(
    run: Run, code: StyleCode, edits: visit.FaceEdits, face: Face | None = None
) -> tuple[bytes | None, Job[bytes] | None]:
    """The edited face at 512 px as WebP; while it is drawn its job, and of an unedited face a smaller picture.

    face: as in `strip`; unedited it is shown as it is.
    """
    if face is not None and not edits:
        return webp(face.pixels, None), None
    job = _begun("after" if edits else "before", _picture, run, code, edits, face)
    if _ended(job, PATIENCE if edits else 0):
        return job.result, None
    return (None if edits else webp(visit.render(run, code), "drawn")), job


def check(
    run: Run, code: StyleCode, judged: StyleCode, edits: visit.FaceEdits
) -> tuple[EditCheck | None, Job[EditCheck] | None]:
    """Whether the edited picture still shows this face and says what its code says; while it is asked its job."""
    if not edits or not visit.has_encoder():
        return None, None
    job = _begun("check", _check, run, code, judged, edits)
    return (job.result, None) if _ended(job, 0) else (None, job)


@private.by_face(st.cache_data, show_spinner=False, max_entries=64, hash_funcs=_KEYS)  # 20 ms
def curve(
    run: Run, code: StyleCode, what: visit.Concept, edits: visit.FaceEdits, face: Face | None = None
) -> tuple[float, ...]:
    """The probability of class 1 at every shift of `scrub.SHIFTS`, on top of every other edit.

    Of a classifier that reads pixels at nine of them, the face given, and between them by a line.
    """
    door = studio()
    if face is not None:
        others, thing = visit.combined(run, edits.with_shift(what, 0.0)), visit.thing(what)
        drawn = door.strip(run, code, thing, edits=others, frames=9, size=COARSE[1], precision="draft", photo=face)
        known = [frame.shift for frame in drawn], [frame.probability for frame in drawn]
        return tuple(np.interp(SHIFTS, *known).tolist())
    stats = door.stats_of(run)
    base = door.edited(code, visit.combined(run, edits.with_shift(what, 0.0)), stats=stats)
    thing = visit.thing(what)
    moved = [door.edited(base, moves_of(thing, float(shift)), stats=stats).values for shift in SHIFTS]
    return tuple(run.classifier.predict_proba(np.stack(moved))[:, 1].tolist())


@private.by_face(st.cache_data, show_spinner=False, max_entries=64, hash_funcs=_KEYS)
def moves_most(run: Run, code: StyleCode, decided: int) -> str:
    """The family, by its id, that takes most from the decided class when it alone is moved by 8 SD either way."""
    door, described = studio(), visit.description()
    stats = door.stats_of(run)
    moved = [
        door.edited(code, family.edits(shift), stats=stats).values
        for family in described.families
        for shift in (-8.0, 8.0)
    ]
    chances = run.classifier.predict_proba(np.stack(moved))[:, decided].reshape(-1, 2)
    return described.families[int(chances.min(axis=1).argmin())].id


# The jobs about drawn faces are shared by all visitors, so that what one has seen another need not wait for.


@private.by_face(st.cache_resource, show_spinner=False, max_entries=64, hash_funcs=_KEYS)
def _strip(
    run: Run,
    code: StyleCode,
    what: visit.Concept,
    others: visit.FaceEdits,
    frames: int,
    size: int,
    face: Face | None = None,
) -> Job[Strip]:
    door, edits, thing = studio(), visit.combined(run, others), visit.thing(what)

    def draw() -> Strip:
        drawn = door.strip(run, code, thing, edits=edits, frames=frames, size=size, precision="draft", photo=face)
        return strip_of(drawn, "mixed" if face is not None else "drawn")

    return _drawing(size, draw)


@private.by_face(st.cache_resource, show_spinner=False, max_entries=256, hash_funcs=_KEYS)
def _picture(run: Run, code: StyleCode, edits: visit.FaceEdits, face: Face | None = None) -> Job[bytes]:
    door, moved = studio(), visit.combined(run, edits)
    if face is not None:
        return _drawing(FULL, lambda: webp(door.edited_photo(run, face, code, moved, size=FULL)[0], "mixed"))
    stats = door.stats_of(run)
    return _drawing(FULL, lambda: webp(door.render(code, moved, size=FULL, precision="close", stats=stats), "drawn"))


@private.by_face(st.cache_resource, show_spinner=False, max_entries=256, hash_funcs=_KEYS)
def _check(run: Run, code: StyleCode, judged: StyleCode, edits: visit.FaceEdits) -> Job[EditCheck]:
    door, moved = studio(), visit.combined(run, edits)
    return _drawing("check", lambda: door.check_edit(run, code, moved, judged=judged))


def _drawing(what: int | str, draw: Callable[[], T]) -> Job[T]:
    """A job that draws when its turn among those of its size comes; let go before that, it ends without drawing.

    A finer strip and a check come behind the picture that somebody waits for, also that of the next move.
    """
    return Job.start(
        _LINES[what].in_turn(lambda progress, cancelled: draw()), keeps_result=True, urgent=what in (COARSE[1], FULL)
    )


def _begun(kind: str, make: Callable[..., Job[T]], *what) -> Job[T]:
    """The job that draws this, begun anew where it was let go; the visit's former one of this kind is let go, unless
    another visit waits for it too.

    One that failed, for want of memory perhaps, is begun anew, except for the visit that still has to be told why.
    """
    begun = st.session_state.get("visit.drawing", {})
    former = begun.get(kind)
    with _CHANGING:
        job = make(*what)
        if job.state == "cancelled" or (job.state == "failed" and job is not former):
            make.clear(*what)
            job = make(*what)
        if former is not job:
            _WAITED_FOR[job] = _WAITED_FOR.get(job, 0) + 1
            if former is not None:
                _WAITED_FOR[former] = _WAITED_FOR.get(former, 1) - 1
                if _WAITED_FOR[former] == 0:
                    former.cancel()
    st.session_state["visit.drawing"] = {**begun, kind: job}
    return job


def _ended(job: Job, seconds: float = PATIENCE) -> bool:
    """Whether a drawing is there, after waiting a moment; why it failed is raised, once, where the page can say it."""
    job.wait(seconds)
    if job.error is not None:
        begun = st.session_state.get("visit.drawing", {})
        st.session_state["visit.drawing"] = {kind: other for kind, other in begun.items() if other is not job}
        if isinstance(job.error, Img2TabError):
            raise job.error
        raise Img2TabError(
            f"A picture could not be drawn ({job.error or type(job.error).__name__}). Choose or move something to try "
            "again."
        ) from job.error
    return job.state == "done"

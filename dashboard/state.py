"""A visitor's choices and every cache: small typed functions, keyed by what a value is, never by its array."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st
from PIL import Image

from dashboard import doors, session_state
from dashboard.doors import studio
from img2tab_core.errors import Img2TabError
from img2tab_core.jobs import Job
from img2tab_core.layout import StyleLayout
from img2tab_core.names import Suggestion
from img2tab_core.records import (
    DEFAULT_BACKBONE,
    ConceptScores,
    Edit,
    EditAgreement,
    Face,
    Prediction,
    Quality,
    StyleCode,
    StyleTable,
    Target,
    digest,
)
from img2tab_core.runs import Run
from img2tab_core.service import Studio

if TYPE_CHECKING:
    from img2tab_core.comparison import Comparison
    from img2tab_core.refinement import Refined
    from img2tab_core.session_records import RunInfo
    from img2tab_core.shared_exclusions import Exclusions

_KEYS = {Face: attrgetter("key"), StyleCode: attrgetter("key"), Run: attrgetter("id")}
_SHOWN = 768  # the longest side of a photo as shown, pixels


# ---- values of this floor


@dataclass(frozen=True, eq=False)  # arrays have no single answer to ==; `key` tells photos apart
class Photo:
    """What a visitor brought: its name, a small upright picture uint8 (H, W, 3), and the faces in it.

    scale is shown pixels per photo pixel. A generated sample is a photo of one face without a picture.
    """

    name: str
    picture: np.ndarray | None
    scale: float
    faces: tuple[Face, ...]
    key: str


@dataclass(frozen=True)
class FaceEdits:
    """A face's edits: single ones in the order they were made, and the family's strength (None: switched off)."""

    single: tuple[Edit, ...] = ()
    family: float | None = None

    def shift_of(self, index: int) -> float:
        """How far a concept is moved, in standard deviations."""
        return next((edit.shift for edit in self.single if edit.index == index), 0.0)

    def with_shift(self, index: int, shift: float) -> FaceEdits:
        """The same edits with one concept at this shift; 0 takes it out of the list."""
        others = tuple(edit for edit in self.single if edit.index != index)
        if shift == 0:
            return FaceEdits(others, self.family)
        if len(others) == len(self.single):
            return FaceEdits((*others, Edit(index, shift)), self.family)
        changed = tuple(Edit(index, shift) if edit.index == index else edit for edit in self.single)
        return FaceEdits(changed, self.family)

    def with_family(self, strength: float | None) -> FaceEdits:
        """The same edits with the family at this strength; 0 leaves it where it is, None switches it off."""
        return FaceEdits(self.single, strength)

    def __bool__(self) -> bool:
        """Whether there is anything to take back."""
        return bool(self.single) or self.family is not None


# ---- caches, shared by all visitors


@st.cache_resource(show_spinner="Opening the table…", max_entries=4)
def table(name: str) -> StyleTable:
    return studio().table(name)


@st.cache_resource(show_spinner="Drawing the samples…")
def samples() -> tuple[Face, ...]:
    return tuple(studio().samples())


@st.cache_resource(show_spinner=False, max_entries=64)
def _standing(table_name: str, target_name: str) -> Job[Run]:
    door, whole = studio(), table(table_name)
    return Job.start(lambda progress, cancelled: door.run(whole, target_name, progress=progress))


@st.cache_data(show_spinner="Looking for faces…", max_entries=32)
def _open_photo(name: str, data: bytes) -> Photo:
    whole, faces = studio().read(data)
    scale = min(1.0, _SHOWN / max(whole.shape[:2]))
    shown = Image.fromarray(whole).resize(
        (max(1, round(whole.shape[1] * scale)), max(1, round(whole.shape[0] * scale))), Image.Resampling.LANCZOS
    )
    return Photo(name, np.asarray(shown), scale, tuple(faces), digest(data))


def encode(face: Face) -> StyleCode:
    """The encoder's answer of the backbone that is chosen."""
    return _encode(face, backbone_name(), _weights())


def _weights() -> str:
    """Changes with the weights of the chosen backbone: a name may be given to another checkpoint."""
    return studio().backbone_key(backbone_name())


@st.cache_data(show_spinner="Reading the face…", max_entries=256, hash_funcs=_KEYS)
def _encode(face: Face, backbone: str, weights: str) -> StyleCode:
    return studio().encode(face, backbone=backbone)


@st.cache_data(show_spinner="Comparing with the photo…", max_entries=256, hash_funcs=_KEYS)
def quality(face: Face, code: StyleCode) -> Quality:
    return studio().quality(face, code)


@st.cache_data(show_spinner="Ranking the concepts…", max_entries=32, hash_funcs=_KEYS)
def scores(run: Run) -> ConceptScores:
    return studio().scores(run)


@st.cache_data(show_spinner=False, max_entries=256, hash_funcs=_KEYS)  # milliseconds
def predict(run: Run, code: StyleCode, edits: FaceEdits = FaceEdits()) -> Prediction:
    return studio().predict(run, code, combined(run, edits))


# a tenth of a second: a spinner would only make the page jump at every move of the slider
@st.cache_data(show_spinner=False, max_entries=256, hash_funcs=_KEYS)
def render(run: Run, code: StyleCode, edits: FaceEdits = FaceEdits(), size: int = 256) -> np.ndarray:
    return studio().render(code, combined(run, edits), size=size, care="close")


@st.cache_data(show_spinner="Trying a known edit…", max_entries=64, hash_funcs=_KEYS)
def edit_agreement(run: Run, before: StyleCode, after: StyleCode) -> EditAgreement:
    return studio().edit_agreement(run, before, after)


def full_size(run: Run, code: StyleCode, edits: FaceEdits) -> Callable[[], np.ndarray]:
    """A function that draws the edited face at 1024 px; it may be called later, from any thread."""
    door, moved = studio(), combined(run, edits)
    return lambda: door.render(code, moved, size=1024)


def contact_sheet(index: int) -> np.ndarray:
    """uint8 (4 faces, 3 shifts, S, S, 3): −8, 0 and +8 standard deviations."""
    return _contact_sheet(index, backbone_name(), _weights())


@st.cache_data(show_spinner="Drawing the contact sheet…", max_entries=128)
def _contact_sheet(index: int, backbone: str, weights: str) -> np.ndarray:
    return studio().contact_sheet(index, backbone=backbone)


def concept_picture(index: int) -> np.ndarray:
    """uint8 (2 shifts, S, S, 3): one sample face at −8 and at +8 standard deviations."""
    return _concept_picture(index, backbone_name(), _weights())


@st.cache_data(show_spinner=False, max_entries=1024)
def _concept_picture(index: int, backbone: str, weights: str) -> np.ndarray:
    return studio().contact_sheet(index, backbone=backbone, faces=1, shifts=(-8, 8))[0]


def combined(run: Run, edits: FaceEdits) -> tuple[Edit, ...]:
    """The family's edits with the single ones added, one edit per channel."""
    if not edits.family:
        return edits.single
    total = {edit.index: edit.shift for edit in _family(run, edits.family)}
    for edit in edits.single:
        total[edit.index] = total.get(edit.index, 0.0) + edit.shift
    return tuple(Edit(index, shift) for index, shift in total.items())


@st.cache_data(show_spinner=False, max_entries=64, hash_funcs=_KEYS)
def _family(run: Run, strength: float) -> tuple[Edit, ...]:
    return studio().family(run, strength=strength)


# ---- what is chosen: backbone, table, target, run


def backbone_names() -> list[str]:
    return studio().backbone_names()


def backbone_name() -> str:
    """The backbone whose tables are offered, and that reads and draws every face."""
    chosen = st.session_state.get("visit.backbone")
    return chosen if chosen in backbone_names() else DEFAULT_BACKBONE


def choose_backbone(name: str) -> None:
    """Choose a backbone; the concept looked at is one of another's channels, so it is let go."""
    st.session_state["visit.backbone"] = name
    choose_concept(None)


def table_names() -> list[str]:
    """The tables of the chosen backbone; none right after it was added."""
    door, backbone = studio(), backbone_name()
    return [name for name in door.table_names() if _backbone_of(door, name) == backbone]


def _backbone_of(door: Studio, name: str) -> str | None:
    try:
        return door.table(name).backbone
    except Img2TabError:  # a damaged table; `img2tab tables` names it
        return None


def table_name() -> str:
    names = table_names()
    if not names:
        raise Img2TabError(
            f"There is no table of the backbone {backbone_name()} yet. Import one in a terminal (the Data page says "
            "how), or choose another backbone."
        )
    chosen = st.session_state.get("visit.table")
    return chosen if chosen in names else ("default" if "default" in names else names[0])


def choose_table(name: str) -> None:
    st.session_state["visit.table"] = name


def current_table() -> StyleTable:
    return table(table_name())


def target() -> Target:
    targets = {one.name: one for one in current_table().targets}
    return targets.get(st.session_state.get("visit.target"), next(iter(targets.values())))


def choose_target(name: str) -> None:
    st.session_state["visit.target"] = name


def enter(session_id: int) -> None:
    """Open a session: its backbone, table and target are chosen, and the exclusions of its current run are ticked."""
    session = session_state.open_session(session_id)
    choose_backbone(session.backbone)
    choose_table(session.table)
    choose_target(session.target)
    now = session_state.opened()
    if now.current is not None:
        tick(frozenset(now.current.excluded))


def standing_job() -> Job[Run]:
    """The job that opens or trains the run with nothing excluded; the same one for every visitor."""
    return _standing(table_name(), target().name)


def retry_standing() -> None:
    _standing.clear(table_name(), target().name)


def history() -> tuple[Run, ...]:
    """Every kept run of the target, oldest first; the first is the one with nothing excluded. In a session, its runs.

    Read from disk once per visit, then joined by the runs that the visit trains.
    """
    now = session_state.opened()
    if now is not None and now.models:
        return tuple({now.models[one.id].id: now.models[one.id]
                      for one in sorted(now.runs, key=attrgetter("number")) if one.id in now.models}.values())
    standing, runs = standing_job().result, of_target("visit.runs", None)
    if runs is None:
        runs = tuple(run for run in studio().kept(current_table(), target().name) if run.id != standing.id)
        set_of_target("visit.runs", runs)
    return (standing, *runs)


def active_run() -> Run:
    """The run that every page shows."""
    now = session_state.opened()
    if now is not None and now.current is not None and now.current.id in now.models:
        return now.models[now.current.id]
    runs = {run.id: run for run in history()}
    return runs.get(of_target("visit.active", ""), history()[0])


def activate(run_id: str) -> None:
    """Make an earlier run the active one; nothing is lost, and its exclusions are ticked again."""
    now = session_state.opened()
    if now is not None:
        session_state.restore(now.info(next(run for run in history() if run.id == run_id)))
    set_of_target("visit.active", run_id)
    tick(active_run().excluded)


def before_run(run: Run) -> Run | None:
    """The run that was active when this one was trained; None for the first.

    A session knows; without one only the visit that trained a run does, and for any other visit it is the first.
    """
    now = session_state.opened()
    if now is not None and (info := now.info(run)) is not None:
        while (info := now.parent(info)) is not None:
            if info.id in now.models:
                return now.models[info.id]
        return None
    first, *others = history()
    parent = of_target("visit.parents", {}).get(run.id)
    return None if run.id == first.id else next((one for one in others if one.id == parent), first)


def number_of(run: Run) -> int:
    """A run's number as a person reads it: within the session, or in the history."""
    now = session_state.opened()
    info = now and now.info(run)
    return info.number if info else 1 + [one.id for one in history()].index(run.id)


def of_target(kind: str, empty, place: tuple[str, str] | None = None):
    """What the visit keeps per table and target; place names another pair than the current one."""
    return st.session_state.get(kind, {}).get(place or (table_name(), target().name), empty)


def set_of_target(kind: str, value, place: tuple[str, str] | None = None) -> None:
    place = place or (table_name(), target().name)
    st.session_state[kind] = {**st.session_state.get(kind, {}), place: value}


# ---- what is excluded, and the retraining


def ticked() -> frozenset[int]:
    """The concepts the next run will be trained without."""
    return of_target("visit.ticked", frozenset())


def tick(indexes: frozenset[int]) -> None:
    set_of_target("visit.ticked", indexes)


def retraining() -> Job[Run] | None:
    """The visitor's training job, of whatever target, until it has been collected."""
    return st.session_state.get("visit.job")


def kinds() -> tuple[str, ...]:
    """The classifiers that can be trained here and can say what each concept adds for one face."""
    from img2tab_core import classifiers

    return tuple(
        kind for kind, about in classifiers.KINDS.items()
        if about.estimator.explains and classifiers.absent(kind) is None
    )


def kind() -> str:
    """The classifier the next run will be: that of the active run, until another is chosen."""
    active = active_run()
    return of_target("visit.kind", {}).get(active.id, active.classifier.kind)


def choose_kind(chosen: str) -> None:
    set_of_target("visit.kind", {active_run().id: chosen})


def retrain(note: str = "") -> None:
    """Train without the ticked concepts, in the background; in a session as a child of the active run, with a note.

    A quick answer comes first, see `quick_answer`.
    """
    answers: list[Run] = []
    now, who = session_state.opened(), session_state.who()
    door, whole, name, excluded, chosen = studio(), current_table(), target().name, ticked(), kind()

    def in_session(progress, cancelled) -> Run:
        _, run = doors.session_runs().train(
            now.session, now.current, kind=chosen, excluded=excluded, note=note, who=who, on_quick=answers.append,
            progress=progress, cancelled=cancelled)
        return run

    def work(progress, cancelled) -> Run:
        run = door.train_live(
            whole, name, kind=chosen, excluded=excluded, on_quick=answers.append, progress=progress,
            cancelled=cancelled)
        if not cancelled():
            door.keep(run)  # here and not on the page, so that the run outlives a page closed meanwhile
        return run

    if _train(work if now is None else in_session):
        st.session_state["visit.quick"] = answers


def repeat_shared(shared: Exclusions) -> None:
    """Train a shared exclusion list as a run of the open session, in the background."""
    now, who = session_state.opened(), session_state.who()

    def work(progress, cancelled) -> Run:
        info, _ = doors.session_runs().repeat(
            now.session, shared, now.current, who=who, progress=progress, cancelled=cancelled)
        return doors.session_runs().model(now.session, info)

    _train(work)


def train_again(info: RunInfo) -> None:
    """Train a run of the open session whose model is not here once more, to the same model, in the background."""
    now = session_state.opened()
    _train(lambda progress, cancelled: doors.session_runs().again(
        now.session, info, progress=progress, cancelled=cancelled))


def _train(work: Callable[[Callable, Callable], Run]) -> bool:
    """One training at a time for each visit; whether this one was started."""
    if retraining() is not None:
        return False
    st.session_state["visit.quick"] = []
    st.session_state["visit.job_place"] = (table_name(), target().name, active_run().id)
    st.session_state["visit.job"] = Job.start(work)
    return True


def quick_answer() -> Run | None:
    """The first answer of the latest retraining; None before it is there, and where there is none."""
    answers = st.session_state.get("visit.quick", [])
    return answers[0] if answers else None


@st.cache_resource(show_spinner=False, max_entries=64)
def _preparing(table_key: str, table_name: str, target_name: str) -> Job:
    door, whole = studio(), table(table_name)
    return Job.start(lambda progress, cancelled: door.prepare(
        whole, target_name, progress=progress, cancelled=cancelled))


def prepare() -> None:
    """Make the first quick answer fast, in the background, once for all visitors."""
    _preparing(current_table().key, table_name(), target().name)


def collect() -> Job[Run] | None:
    """Take in a training job that has ended: its run joins the history and becomes the active one."""
    job = retraining()
    if job is None or job.state == "running":
        return None
    del st.session_state["visit.job"]
    if job.state == "done":
        table_of, target_of, parent = st.session_state["visit.job_place"]
        place = (table_of, target_of)
        others = tuple(run for run in of_target("visit.runs", (), place) if run.id != job.result.id)
        set_of_target("visit.runs", (*others, job.result), place)
        set_of_target("visit.active", job.result.id, place)
        set_of_target("visit.parents", {**of_target("visit.parents", {}, place), job.result.id: parent}, place)
    return job


# ---- comparing kinds of classifier


def comparing() -> Job[Comparison] | None:
    """The visitor's comparison of this table and target that is running or has just ended."""
    return of_target("visit.comparing", None)


def compare(kinds: list[str], seeds: int, faces: int | None) -> None:
    """Compare kinds of classifier in the background."""
    job = comparing()
    if job is not None and job.state == "running":
        return
    door, whole, name = studio(), current_table(), target().name
    set_of_target("visit.comparing", Job.start(lambda progress, cancelled: door.compare(
        whole, name, kinds=kinds, seeds=range(seeds), faces=faces, progress=progress, cancelled=cancelled)))


def compared() -> Comparison | None:
    """What the latest comparison of this table and target found, of this visit or an earlier one; None before any."""
    job = comparing()
    if job is not None and job.state == "done":
        return job.result
    return studio().compared(current_table(), target().name)


# ---- photos and faces


def visit_photos() -> tuple[Photo, ...]:
    return st.session_state.get("visit.photos", ())


def photo_number() -> int:
    """Which of the visit's photos is being inspected."""
    return max(0, min(st.session_state.get("visit.photo", 0), len(visit_photos()) - 1))


def photo() -> Photo | None:
    """The photo being inspected."""
    brought = visit_photos()
    return brought[photo_number()] if brought else None


def choose_photo(number: int) -> None:
    st.session_state["visit.photo"] = number


def face_number() -> int:
    """Which face of the photo is being inspected."""
    chosen = photo()
    return 0 if chosen is None else st.session_state.get("visit.face", {}).get(chosen.key, 0)


def choose_face(number: int) -> None:
    st.session_state["visit.face"] = {**st.session_state.get("visit.face", {}), photo().key: number}


def face() -> Face | None:
    """The face being inspected."""
    chosen = photo()
    return None if chosen is None else chosen.faces[face_number()]


def choose_sample(number: int) -> None:
    one = samples()[number]
    st.session_state["visit.photos"] = (Photo(f"Sample {number + 1}", None, 1.0, (one,), one.key),)
    st.session_state["visit.photo"] = 0


def bring(files: list[tuple[str, str, bytes]]) -> None:
    """Take in files (id, name, bytes): good ones become the photos, bad ones become problems.

    When none is good the photos of before stay. The same files are opened once, however often a page runs. Files of
    one name are numbered, so that a person can tell them apart.
    """
    seen = tuple(file_id for file_id, _, _ in files)
    if seen and seen != st.session_state.get("visit.seen"):
        good, bad = [], []
        for name, (_, _, data) in zip(_distinct([name for _, name, _ in files]), files, strict=True):
            try:
                good.append(_open_photo(name, data))
            except Img2TabError as error:
                bad.append((name, str(error)))
        fresh = {one.key for one in visit_photos()}
        st.session_state["visit.problems"] = tuple(bad)
        if good:
            st.session_state["visit.photos"] = tuple(good)
            new = [number for number, one in enumerate(good) if one.key not in fresh]
            st.session_state["visit.photo"] = new[0] if new else 0
    elif not seen:
        st.session_state["visit.problems"] = ()
    st.session_state["visit.seen"] = seen
    for name, problem in st.session_state.get("visit.problems", ()):
        notice(f"**{name}**: {problem}")


def _distinct(names: list[str]) -> list[str]:
    """The same names, repeated ones numbered: "image.jpg", "image.jpg (2)"."""
    given: list[str] = []
    for name in names:
        tries = (name if number == 1 else f"{name} ({number})" for number in range(1, len(names) + 1))
        given.append(next(one for one in tries if one not in given))
    return given


# ---- refinements: while one runs, and ever after, the encoder's answer stands beside it


def refine_seconds() -> float:
    """The time for one refinement; IMG2TAB_REFINE_SECONDS overrides the 10 seconds."""
    text = os.environ.get("IMG2TAB_REFINE_SECONDS") or "10"
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= 3600:
        raise Img2TabError(f"IMG2TAB_REFINE_SECONDS must be a number above 0, up to 3600, got {text!r}. Set it to 10.")
    return seconds


def code_of(face: Face) -> StyleCode:
    """The style code that the pages show for a face: the refined one, if there is one and it is chosen."""
    found = refined(face.key)
    return found[0] if found is not None and shows_refined(face.key) else encode(face)


Read = tuple[str, str]  # a backbone and the key of a face it read: what is done to a face is done for one backbone


def _read(face_key: str) -> Read:
    return backbone_name(), face_key


def has_encoder() -> bool:
    """Whether the backbone can read photos."""
    return studio().backbone(backbone_name()).encoder is not None


def can_refine() -> bool:
    """Whether the backbone draws pictures large enough to compare a face with."""
    return studio().can_refine(backbone_name())


def refined(face_key: str) -> tuple[StyleCode, Refined] | None:
    """What the visit's refinement of a face found; None where it was not refined."""
    return st.session_state.get("visit.refined", {}).get(_read(face_key))


def shows_refined(face_key: str) -> bool:
    return _read(face_key) not in st.session_state.get("visit.plain", frozenset())


def show_refined(face_key: str, wanted: bool) -> None:
    """Show the refined answer of a face, or the encoder's."""
    _show_refined(_read(face_key), wanted)


def _show_refined(read: Read, wanted: bool) -> None:
    plain = st.session_state.get("visit.plain", frozenset())
    st.session_state["visit.plain"] = plain - {read} if wanted else plain | {read}


def refining(face_key: str) -> Job[tuple[StyleCode, Refined]] | None:
    """The job that refines a face, until it has been collected."""
    return st.session_state.get("visit.refining", {}).get(_read(face_key))


def refine(face: Face) -> None:
    """Refine a face in the background; cancelling the job keeps its best answer so far."""
    if refining(face.key) is not None:
        return
    door, seconds, backbone = studio(), refine_seconds(), backbone_name()
    # Held by the visit alone: once the visit is over nobody can see the answer, and the work ends.
    owner = st.session_state.setdefault("visit.owner", threading.Event())
    here = weakref.ref(owner)

    def work(progress, cancelled) -> tuple[StyleCode, Refined]:
        return door.refine(
            face, backbone=backbone, seconds=seconds, progress=progress,
            stopped=lambda: cancelled() or here() is None,
        )

    read = (backbone, face.key)
    st.session_state["visit.tried"] = st.session_state.get("visit.tried", frozenset()) | {read}
    job = Job.start(work, keeps_result=True)
    st.session_state["visit.refining"] = {**st.session_state.get("visit.refining", {}), read: job}


def collect_refinements() -> None:
    """Take in the refinements that have ended: a new answer is shown, a failure becomes a notice."""
    running = st.session_state.get("visit.refining", {})
    ended = {read: job for read, job in running.items() if job.state != "running"}   # asked once: it changes meanwhile
    for read, job in ended.items():
        if job.state == "done" and job.result[1].steps > 0:
            st.session_state["visit.refined"] = {**st.session_state.get("visit.refined", {}), read: job.result}
            _show_refined(read, True)
        elif job.state == "failed":
            why = job.error if isinstance(job.error, Img2TabError) else f"{type(job.error).__name__}."
            notice(f"The refinement stopped: {why} The encoder's answer stands.")
    if ended:
        st.session_state["visit.refining"] = {read: job for read, job in running.items() if read not in ended}


def refines_all() -> bool:
    """Whether every photo that is brought is refined in the background."""
    return st.session_state.get("visit.refine_all", False)


def refine_all(wanted: bool) -> None:
    """Switch it on or off; off ends every refinement but that of the face being inspected."""
    st.session_state["visit.refine_all"] = wanted
    shown = face()
    for (_, face_key), job in st.session_state.get("visit.refining", {}).items():
        if not wanted and (shown is None or face_key != shown.key):
            job.cancel()


def refine_brought() -> None:
    """Start what the visitor asked for in advance: the inspected face of every photo, each once."""
    if refines_all() and can_refine():
        for one in visit_photos():
            chosen = one.faces[st.session_state.get("visit.face", {}).get(one.key, 0)]
            if one.picture is not None and _read(chosen.key) not in st.session_state.get("visit.tried", frozenset()):
                refine(chosen)


# ---- edits


def concept() -> int | None:
    """The concept the visitor is looking at, on any page."""
    chosen = st.session_state.get("visit.concept")
    return chosen if chosen is None or chosen < layout().total else None  # of another backbone, which is gone


def choose_concept(index: int | None) -> None:
    st.session_state["visit.concept"] = index


def edits_of(face_key: str) -> FaceEdits:
    return st.session_state.get("visit.edits", {}).get(_read(face_key), FaceEdits())


def set_edits(face_key: str, edits: FaceEdits) -> None:
    st.session_state["visit.edits"] = {**st.session_state.get("visit.edits", {}), _read(face_key): edits}


# ---- names, and sentences for the frame


def layout() -> StyleLayout:
    return current_table().layout


def names() -> dict[int, str]:
    return studio().concept_names(backbone_name())


def suggestions() -> dict[int, Suggestion]:
    """What others published about the concepts of such a backbone."""
    return studio().suggested_names(layout())


def name_concept(index: int, name: str) -> None:
    """Name a concept for everyone; an empty name removes it."""
    studio().name_concept(index, name, backbone=backbone_name())


def notice(sentence: str) -> None:
    """A sentence for the person, shown by the page frame."""
    st.session_state.setdefault("visit.notices", []).append(sentence)


@contextmanager
def noticing() -> Iterator[None]:
    """A person's mistake in a callback becomes a notice."""
    try:
        yield
    except Img2TabError as error:
        notice(str(error))


def take_notices() -> tuple[str, ...]:
    return tuple(st.session_state.pop("visit.notices", ()))

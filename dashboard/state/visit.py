"""A visitor's choices and every cache: small typed functions, keyed by what a value is, never by its array."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import streamlit as st

from dashboard.components import page_words
from dashboard.state import private
from dashboard.state import session as session_state
from dashboard.state.doors import studio
from img2tab_core import tables
from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.jobs import Job
from img2tab_core.base.layout import StyleLayout
from img2tab_core.base.records import (
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
)
from img2tab_core.classifiers.runs import Run
from img2tab_core.classifiers.treatment import UNTREATED, Treatment
from img2tab_core.concepts.description import Description, Family
from img2tab_core.concepts.names import Suggestion
from img2tab_core.studio import moves_of
from img2tab_core.tables.calibrations import Calibration, calibration_of

if TYPE_CHECKING:
    from img2tab_core.concepts.ranking import Effect, RankedFamily

T = TypeVar("T")
Concept = int | str  # a channel by its number, or a family by its id
_KEYS = {Face: attrgetter("key"), StyleCode: attrgetter("key"), Run: attrgetter("id")}
# what a visit keeps of the runs of a table and target, and lets go with the table
_OF_RUNS = ("visit.runs", "visit.active", "visit.parents", "visit.kind", "visit.comparing", "visit.suggested")


# ---- values of this floor


@dataclass(frozen=True)
class FaceEdits:
    """A face's edits: channels and families by their ids, each in the order they were moved, and how strongly the
    difference of the classes is added (None: switched off)."""

    single: tuple[Edit, ...] = ()
    family: float | None = None
    families: tuple[tuple[str, float], ...] = ()

    def shift_of(self, what: Concept) -> float:
        """How far a concept is moved, in standard deviations."""
        moves = dict(self.families) if isinstance(what, str) else {edit.index: edit.shift for edit in self.single}
        return moves.get(what, 0.0)

    def with_shift(self, what: Concept, shift: float) -> FaceEdits:
        """The same edits with one concept at this shift; 0 takes it out of the list, a new one comes last."""
        if isinstance(what, str):
            moves = {**dict(self.families), what: shift}
            return replace(self, families=tuple((name, by) for name, by in moves.items() if by))
        shifts = {**{edit.index: edit.shift for edit in self.single}, what: shift}
        return replace(self, single=tuple(Edit(index, by) for index, by in shifts.items() if by))

    def with_family(self, strength: float | None) -> FaceEdits:
        """The same edits, the classes' difference at this strength; 0 leaves it where it is, None switches it off."""
        return replace(self, family=strength)

    def __bool__(self) -> bool:
        """Whether there is anything to take back."""
        return bool(self.single or self.families) or self.family is not None


# ---- caches, shared by all visitors


def begin_run() -> None:
    """A page begins to run: in one run tables and backbones on disk are looked at once, not two hundred times."""
    st.session_state["visit.read"] = {}


def _once(what: object, read: Callable[[], T]) -> T:
    """What was read in this run of the page; read where it was not, and outside of one."""
    known = st.session_state.get("visit.read")
    if known is None:
        return read()
    if what not in known:
        known[what] = read()
    return known[what]


def table(name: str) -> StyleTable:
    """A table as it is now: with the answers of a person's own classifiers, which grow."""
    return _once(("table", name), lambda: _noticed(studio().table(name)))


def _noticed(table: StyleTable) -> StyleTable:
    """The table; where another one took its place since the visit last saw it, what was done on that one is let go."""
    known = st.session_state.get("visit.table_keys", {})
    st.session_state["visit.table_keys"] = {**known, table.name: table.key}
    if known.get(table.name, table.key) == table.key:
        return table
    was_used = any(name == table.name for name, _ in st.session_state.get("visit.runs", {}))
    for kind in _OF_RUNS:
        kept = st.session_state.get(kind, {})
        st.session_state[kind] = {place: value for place, value in kept.items() if place[0] != table.name}
    if was_used:
        notice(
            f"The table “{table.name}” was replaced while this page was open. What is shown now is of the new one; "
            "runs of the former one are kept, and are not shown with it."
        )
    return table


@st.cache_resource(show_spinner=False, max_entries=64)
def _standing(table_key: str, table_name: str, target_name: str) -> Job[Run]:
    door, whole = studio(), table(table_name)
    return Job.start(lambda progress, cancelled: door.run(whole, target_name, progress=progress), urgent=True)


def encode(face: Face) -> StyleCode:
    """The encoder's answer of the backbone that is chosen; of a face drawn of a table, the table's own code."""
    known = st.session_state.get("visit.table_codes", {}).get(read_of(face.key))
    if known is not None:
        return known
    code = _encode(face, backbone_name(), _weights())
    if private.is_drawn(face):
        private.share(code)
    return code


def _weights() -> str:
    """Changes with the weights of the chosen backbone: a name may be given to another checkpoint."""
    name = backbone_name()
    return _once(("weights", name), lambda: studio().backbone_key(name))


@private.by_face(st.cache_data, show_spinner="Reading the face…", max_entries=256, hash_funcs=_KEYS)
def _encode(face: Face, backbone: str, weights: str) -> StyleCode:
    return studio().encode(face, backbone=backbone)


@private.by_face(st.cache_data, show_spinner="Comparing with the photo…", max_entries=256, hash_funcs=_KEYS)
def quality(run: Run, face: Face, code: StyleCode) -> Quality:
    return studio().quality(face, code, drawn=render(run, code))  # the page shows this picture too


@st.cache_data(show_spinner="Ranking the concepts…", max_entries=32, hash_funcs=_KEYS)
def scores(run: Run) -> ConceptScores:
    return studio().scores(run)


@private.by_face(st.cache_data, show_spinner=False, max_entries=256, hash_funcs=_KEYS)  # seconds of one's own
def predict(run: Run, code: StyleCode) -> Prediction:
    return studio().predict(run, code)


@private.by_face(st.cache_data, show_spinner=False, max_entries=256, hash_funcs=_KEYS)
def probability(run: Run, code: StyleCode, edits: FaceEdits = FaceEdits()) -> float:
    """`predict` without the reasons, which CatBoost works out in turn with what it trains for somebody else."""
    return studio().probability(run, code, combined(run, edits))


# a tenth of a second: a spinner would only make the page jump at every move of the slider
@private.by_face(st.cache_data, show_spinner=False, max_entries=256, hash_funcs=_KEYS)
def render(run: Run, code: StyleCode, edits: FaceEdits = FaceEdits(), size: int = 256) -> np.ndarray:
    door = studio()
    return door.render(code, combined(run, edits), size=size, precision="close", stats=door.stats_of(run))


@private.by_face(st.cache_data, show_spinner=False, max_entries=256, hash_funcs=_KEYS)
def reread(code: StyleCode) -> StyleCode:
    """What the encoder reads in the picture of a style code."""
    return studio().reread(code)


@st.cache_data(show_spinner="Comparing with a concept classifier…", max_entries=64, hash_funcs=_KEYS)
def fidelity(run: Run) -> str:
    """How far a concept classifier trained on the answers of a person's own says the same, in a sentence."""
    door = studio()
    return door.trainer.fidelity(run, door.trainer.stand_in(run)).sentence


def judged_by(name: str) -> Target | None:
    """The target that a person's own classifier is held against; None where there is none."""
    from img2tab_core.classifiers import models

    judges = models.record_of(name)["judges"]
    return next((target for target in current_table().targets if target.name == judges), None)


@private.by_face(st.cache_data, show_spinner=False, max_entries=256, hash_funcs=_KEYS)
def ask_face(run: Run, face: Face) -> float:
    """What a person's own classifier says of the face itself: chance of class 1."""
    return studio().ask_face(run, face)


@private.by_face(st.cache_data, show_spinner=False, max_entries=256, hash_funcs=_KEYS)
def ask_edited(run: Run, face: Face, code: StyleCode, edits: FaceEdits) -> float:
    """The same of the face with what was moved blended into it."""
    return studio().edited_photo(run, face, code, combined(run, edits))[1]


@private.by_face(st.cache_data, show_spinner="Trying a known edit…", max_entries=64, hash_funcs=_KEYS)
def edit_agreement(run: Run, before: StyleCode, after: StyleCode) -> EditAgreement:
    return studio().edit_agreement(run, before, after)


def full_size(run: Run, code: StyleCode, edits: FaceEdits) -> Callable[[], np.ndarray]:
    """A function that draws the edited face at 1024 px; it may be called later, from any thread."""
    door, moved = studio(), combined(run, edits)
    return lambda: door.render(code, moved, size=1024, stats=door.stats_of(run))


def contact_sheet(what: Concept) -> np.ndarray:
    """uint8 (4 faces, 3 shifts, S, S, 3): −8, 0 and +8 standard deviations of the table."""
    return _contact_sheet(what, current_table().key, table_name(), _drawn_with(what))


@st.cache_data(show_spinner="Drawing the contact sheet…", max_entries=128)
def _contact_sheet(what: Concept, key: str, name: str, weights: str) -> np.ndarray:
    faces = table(name)
    return studio().contact_sheet(thing(what), backbone=faces.backbone, stats=faces.stats)


def _drawn_with(what: Concept) -> str:
    """Changes with the weights, and for a family with the description that says what it is."""
    described = description() if isinstance(what, str) else None
    return _weights() + (described.key if described is not None else "")


def concept_picture(what: Concept) -> np.ndarray:
    """uint8 (2 shifts, S, S, 3): one sample face at −8 and at +8 standard deviations."""
    return _concept_picture(what, current_table().key, table_name(), _drawn_with(what))


@st.cache_data(show_spinner=False, max_entries=1024)
def _concept_picture(what: Concept, key: str, name: str, weights: str) -> np.ndarray:
    faces = table(name)
    return studio().contact_sheet(thing(what), backbone=faces.backbone, faces=1, shifts=(-8, 8), stats=faces.stats)[0]


def combined(run: Run, edits: FaceEdits) -> tuple[Edit, ...]:
    """Every edit of a face, one for each channel: those of several add up."""
    if not edits.family and not edits.families:
        return edits.single
    parts = [*(_family(run, edits.family) if edits.family else ())]
    for name, shift in edits.families:
        parts += moves_of(thing(name), shift)
    total: dict[int, float] = {}
    for edit in (*parts, *edits.single):
        total[edit.index] = total.get(edit.index, 0.0) + edit.shift
    return tuple(Edit(index, shift) for index, shift in total.items())


def description() -> Description | None:
    """Families of the backbone that is chosen; None where its concepts are not described."""
    return studio().description(backbone_name())


def thing(what: Concept) -> int | Family:
    """The family an id stands for; a channel's number as it is. Raises Img2TabError where there is no such family."""
    if isinstance(what, int):
        return what
    described = description()
    if described is None:
        raise Img2TabError(f"The concepts of {backbone_name()} are not described, so {what} cannot be moved.")
    return described.find(what)


def families(run: Run) -> tuple[RankedFamily, ...]:
    """Every family for a run's classifier, the largest effect first; kept by the studio."""
    with st.spinner("Asking what moves it…"):
        return tuple(studio().families(run))


@st.cache_data(show_spinner="Moving it on other faces, and asking…", max_entries=256, hash_funcs=_KEYS)
def effect(run: Run, what: Concept) -> Effect:
    return studio().effect(run, thing(what))


def name_family(family: str, name: str) -> None:
    """Name a family for everyone; an empty name gives it its measured one back."""
    studio().name_family(family, name, backbone=backbone_name())


@st.cache_data(show_spinner=False, max_entries=64, hash_funcs=_KEYS)
def _family(run: Run, strength: float) -> tuple[Edit, ...]:
    return studio().family(run, strength=strength)


# ---- what is chosen: backbone, table, target, run


def backbone_names() -> list[str]:
    return _once("backbones", studio().backbone_names)


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
    backbone = backbone_name()
    names = _once("tables", studio().table_names)
    return _once(("tables", backbone), lambda: [name for name in names if _backbone_of(name) == backbone])


def _backbone_of(name: str) -> str | None:
    try:
        return table(name).backbone
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
    """What is asked: a target of two classes, or one class of more against the rest."""
    here = current_table()
    targets = {choice.name: choice for choice in (*here.targets, *here.against_rest)}
    first = here.targets[0].name if here.targets else tables.most_frequent(here, here.many[0].name)
    return targets.get(st.session_state.get("visit.target"), targets[first])


def whole_target() -> Target:
    """The target that is trained: of one class against the rest, that of all classes."""
    part = tables.class_of(current_table(), target().name)
    return target() if part is None else part[0]


def choose_target(name: str) -> None:
    """Ask about a target; of more than two classes, about the most frequent one."""
    here = current_table()
    several = name in {choice.name for choice in here.many}
    st.session_state["visit.target"] = tables.most_frequent(here, name) if several else name


def enter(session_id: int) -> None:
    """Open a session: its backbone, table and target are chosen, and the exclusions of its current run are ticked."""
    session = session_state.open_session(session_id)
    choose_backbone(session.backbone)
    choose_table(session.table)
    choose_target(session.target)
    now = session_state.opened()
    if now.current is not None:
        tick(frozenset(now.current.excluded))
        treat(now.current.treatment)


def standing_job() -> Job[Run]:
    """The job that opens or trains the run with nothing excluded; the same one for every visitor."""
    return _standing(current_table().key, table_name(), target().name)


def retry_standing() -> None:
    _standing.clear(current_table().key, table_name(), target().name)


def history() -> tuple[Run, ...]:
    """Every kept run of the target, oldest first; the first is the one with nothing excluded. In a session, its runs.

    Read from disk once per visit, then joined by the runs that the visit trains.
    """
    now = session_state.opened()
    if now is not None and now.models:
        return tuple(
            {
                now.models[info.id].id: now.models[info.id]
                for info in sorted(now.runs, key=attrgetter("number"))
                if info.id in now.models
            }.values()
        )
    standing, runs = standing_job().result, of_target("visit.runs", None)
    if runs is None:
        runs = tuple(run for run in studio().trainer.kept(current_table(), target().name) if run.id != standing.id)
        set_of_target("visit.runs", runs)
    key = current_table().key  # a training may end after its table was replaced
    return (standing, *(run for run in runs if run.table_key in ("", key)))


def active_run() -> Run:
    """The run that every page shows."""
    now = session_state.opened()
    if now is not None and now.current is not None and now.current.id in now.models:
        return now.models[now.current.id]
    runs = {run.id: run for run in history()}
    return runs.get(of_target("visit.active", ""), history()[0])


def activate(run_id: str) -> None:
    """Make an earlier run the active one; nothing is lost, and its exclusions are ticked again."""
    with noticing():
        now = session_state.opened()
        if now is not None:
            session_state.restore(now.info(next(run for run in history() if run.id == run_id)))
        set_of_target("visit.active", run_id)
        tick(active_run().excluded)
        treat(active_run().treatment)


def on_photos(run: Run) -> Run:
    """The run as it judges photos: calibrated, where its target is."""
    return studio().on_photos(run)


def calibration(run: Run) -> Calibration | None:
    """What a run judges photos by beside itself; None where it is not calibrated."""
    return calibration_of(table(run.table), run.target, run.classifier.kind)


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
    return None if run.id == first.id else next((other for other in others if other.id == parent), first)


def number_of(run: Run) -> int:
    """A run's number as a person reads it: within the session, or in the history."""
    now = session_state.opened()
    info = now and now.info(run)
    return info.number if info else 1 + [other.id for other in history()].index(run.id)


def of_target(kind: str, empty, place: tuple[str, str] | None = None):
    """What the visit keeps per table and target; place names another pair than the current one."""
    return st.session_state.get(kind, {}).get(place or (table_name(), target().name), empty)


def set_of_target(kind: str, value, place: tuple[str, str] | None = None) -> None:
    place = place or (table_name(), target().name)
    st.session_state[kind] = {**st.session_state.get(kind, {}), place: value}


# ---- what is excluded


def ticked() -> frozenset[int]:
    """The concepts the next run will be trained without."""
    return of_target("visit.ticked", frozenset())


def tick(indexes: frozenset[int]) -> None:
    set_of_target("visit.ticked", indexes)


def set_ticked(indexes: Collection[int], wanted: bool) -> None:
    """Exclude these channels from the next training, or keep them."""
    tick(ticked() | frozenset(indexes) if wanted else ticked() - frozenset(indexes))


def treatment() -> Treatment:
    """What the next run will erase and balance."""
    return of_target("visit.treatment", UNTREATED)


def treat(wanted: Treatment) -> None:
    set_of_target("visit.treatment", wanted)


def unchanged(run: Run) -> bool:
    """Whether what is ticked is what a run excludes, and what it erases and balances."""
    return ticked() == run.excluded and treatment() == run.treatment


Read = tuple[str, str]  # a backbone and the key of a face it read: what is done to a face is done for one backbone


def read_of(face_key: str) -> Read:
    return backbone_name(), face_key


def has_encoder() -> bool:
    """Whether the backbone can read photos."""
    return studio().backbone(backbone_name()).encoder is not None


# ---- edits


def concept() -> int | None:
    """The channel the visitor is looking at, on any page."""
    chosen = st.session_state.get("visit.concept")
    return chosen if isinstance(chosen, int) and chosen < layout().total else None  # of another backbone, which is gone


def chosen_family() -> str | None:
    """The family the visitor is looking at, by its id; None where it is a channel, or of another backbone."""
    chosen = st.session_state.get("visit.concept")
    described = description() if isinstance(chosen, str) else None
    return chosen if described is not None and any(family.id == chosen for family in described.families) else None


def choose_concept(what: Concept | None) -> None:
    st.session_state["visit.concept"] = what
    st.session_state["visit.concept_of"] = target().name if what is not None else None


def concept_here() -> Concept | None:
    """The concept the visitor looks at, where it was chosen for this target: of another one, the strongest is shown."""
    here = st.session_state.get("visit.concept_of") in (None, target().name)
    return (chosen_family() or concept()) if here else None


def edits_of(face_key: str) -> FaceEdits:
    return st.session_state.get("visit.edits", {}).get(read_of(face_key), FaceEdits())


def set_edits(face_key: str, edits: FaceEdits) -> None:
    st.session_state["visit.edits"] = {**st.session_state.get("visit.edits", {}), read_of(face_key): edits}


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


def notice(sentence: str, *, about: str = "") -> None:
    """A sentence for the person, shown once by the page frame; about: the name of a file it is about."""
    text = page_words.prose(sentence)
    shown = f"**{page_words.plain(about)}**: {text}" if about else text
    waiting = st.session_state.setdefault("visit.notices", [])
    if shown not in waiting:  # a page that begins anew before its end says it again
        waiting.append(shown)


@contextmanager
def noticing() -> Iterator[None]:
    """A person's mistake in a callback becomes a notice."""
    try:
        yield
    except Img2TabError as error:
        notice(str(error))


def take_notices() -> tuple[str, ...]:
    """The notices not shown yet, as Markdown."""
    return tuple(st.session_state.pop("visit.notices", ()))

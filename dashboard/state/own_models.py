"""Classifiers of a person's own: the one looked at, what is tried before it is kept, and the asking in the
background."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from dashboard.state import visit
from dashboard.state.doors import MEASUREMENTS, studio
from img2tab_core.base import persons
from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.foreign import plain_name
from img2tab_core.base.jobs import Job
from img2tab_core.base.records import digest

if TYPE_CHECKING:
    from img2tab_core.audits.disagreement import Disagreement
    from img2tab_core.classifiers.models import Added, Wishes
    from img2tab_core.classifiers.pixel_models import PixelModel
    from img2tab_core.classifiers.reactions import Pair, Reactions

Compared = tuple["Disagreement", tuple[np.ndarray, ...]]  # and the faces they disagree most about
SAMPLE = 2000  # faces it is asked about before a person asks for more


def names() -> list[str]:
    """Of every classifier that was added."""
    from img2tab_core.classifiers import models

    return models.names()


def chosen() -> PixelModel | None:
    """The classifier the page is about; None where there is none."""
    from img2tab_core.classifiers import models

    there = names()
    if not there:
        return None
    name = st.session_state.get("visit.own_model")
    return models.open_model(name if name in there else there[-1])


def choose(name: str) -> None:
    """Look at another one."""
    st.session_state["visit.own_model"] = name


def tried(data: bytes, file_name: str, name: str, wishes: Wishes) -> Added:
    """A file tried on the sample faces, nothing kept. Raises Img2TabError with what is wrong."""
    persons.must_be_auditor("bring a classifier")
    return _tried(digest(data), file_name, name, wishes, data)


@st.cache_data(show_spinner="Trying it on twelve faces…", max_entries=32, hash_funcs={bytes: len})
def _tried(key: str, file_name: str, name: str, wishes: Wishes, data: bytes) -> Added:
    from img2tab_core.classifiers import models

    faces = np.stack([face.pixels for face in studio().samples()])
    with _as_file(data, file_name) as file:
        made = models.examined(file, name, wishes, faces)
    return models.Added(made.model.without_function(), made.guessed, made.log_odds)


def keep(data: bytes, file_name: str, name: str, wishes: Wishes) -> bool:
    """Keep a classifier under a name, look at it, and begin to ask it; a mistake is a notice."""
    try:
        with _as_file(data, file_name) as file:
            studio().add_model(file, name, wishes)
    except Img2TabError as error:
        visit.notice(str(error))
        return False
    choose(name)
    begin(name)
    return True


def remove(name: str) -> None:
    """Forget a classifier and its answers."""
    from img2tab_core.classifiers import models

    with visit.noticing():
        persons.must_be_auditor("remove a classifier")
        if (running := job(name)) is not None:
            running.cancel()
            running.wait(20)
        if visit.target().name == name:
            visit.choose_target("")
        models.remove(name)


def begin(name: str, faces: int = SAMPLE) -> None:
    """Ask a classifier about the faces of the chosen table, in the background."""
    with visit.noticing():  # somebody may have removed it meanwhile
        running = job(name)
        if running is None or running.state != "running":
            jobs = _jobs()
            jobs[_place(name)] = _asking(name, visit.table_name(), faces)


def job(name: str) -> Job[Reactions] | None:
    """The asking of a classifier about the chosen table, by whichever visitor it was begun; None before."""
    return _jobs().get(_place(name))


@st.cache_resource(show_spinner=False)
def _jobs() -> dict[tuple[str, str, str], Job[Reactions]]:
    return {}


def _place(name: str) -> tuple[str, str, str]:
    from img2tab_core.classifiers import models

    return models.open_model(name).key, visit.table_name(), visit.current_table().key


def _asking(name: str, table_name: str, faces: int) -> Job[Reactions]:
    door, whole = studio(), visit.table(table_name)
    return Job.start(
        lambda progress, cancelled: door.question(name, whole, faces=faces, progress=progress, cancelled=cancelled)
    )


def reactions(name: str) -> Reactions | None:
    """What it reacts to, as far as it was asked; None before the first answer."""
    try:
        return studio().reactions(name, visit.current_table())
    except Img2TabError:
        return None


def state(name: str) -> tuple:
    """Changes with every better answer; milliseconds."""
    return studio().asked_so_far(name, visit.current_table())


def blind() -> str:
    """What such an answer cannot see, in a sentence."""
    from img2tab_core.classifiers.reactions import BLIND

    return BLIND


def pair(reactions: Reactions, number: int) -> Pair:
    """A face with a family moved down and up, and what the classifier says of each."""
    return _pair(reactions, number, visit.table_name())


def disagreement(name: str, other: str) -> Job[Compared] | None:
    """The comparison of a classifier with the one of a target; None before it was asked for."""
    return st.session_state.get("visit.disagreement", {}).get((name, other, visit.table_name()))


def compare(name: str, other: str) -> None:
    """Compare a classifier with the standing one of a target, in the background."""
    from img2tab_core.audits.disagreement import disagreement as between
    from img2tab_core.backbones import drawn_faces

    door, table = studio(), visit.current_table()

    def work(progress, cancelled) -> Compared:
        progress(0.1, "Asking both about the same faces")
        made = between(door, door.trainer.own(table, name, name), door.run(table, other), top=8)
        progress(0.8, "Drawing the faces")
        rows = [face.row for face in made.top]
        parts = drawn_faces.drawn(table, door.backbone(table.backbone), rows, size=128)
        return made, tuple(picture for _, pictures in parts for picture in pictures)

    known = st.session_state.get("visit.disagreement", {})
    with visit.noticing():
        job = Job.start(MEASUREMENTS.in_turn(work))
        st.session_state["visit.disagreement"] = {**known, (name, other, visit.table_name()): job}


def report(reactions: Reactions) -> str:
    """All of it as one HTML file; may be called later, from any thread."""
    from img2tab_core.reports.explanation import explanation_html

    return explanation_html(studio(), reactions)


@st.cache_data(
    show_spinner=False, max_entries=512, hash_funcs={"img2tab_core.classifiers.reactions.Reactions": attrgetter("key")}
)
def _pair(reactions: Reactions, number: int, table_name: str) -> Pair:
    return studio().pair(reactions, number)


@contextmanager
def _as_file(data: bytes, name: str) -> Iterator[Path]:
    """Bytes as a file of a name, for as long as they are looked at."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / plain_name(name, "classifier.onnx")
        file.write_bytes(data)
        yield file

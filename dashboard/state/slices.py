"""Groups nobody named: the job that seeks them for a run, its faces, and what the visitor looks at."""

from __future__ import annotations

from operator import attrgetter

import streamlit as st

from dashboard.state import visit
from dashboard.state.doors import auditor
from img2tab_core.audits.misjudged import JudgedFace
from img2tab_core.audits.slices import Slice, Slices
from img2tab_core.base.jobs import Job
from img2tab_core.classifiers.runs import Run

MOST = 12  # faces of a group
_CHOICES = "visit.slices"  # of a target: the class that is looked at, and of each class the group


def seeking(run: Run, label: int | None) -> Job[Slices]:
    """The job that seeks where a run fails most, among all faces or those labelled so; the same for every visitor."""
    return _seeking(run, label)


def seek_again(run: Run, label: int | None) -> None:
    """Begin anew what failed."""
    _seeking.clear(run, label)


@st.cache_resource(show_spinner=False, max_entries=64, hash_funcs={Run: attrgetter("id")})
def _seeking(run: Run, label: int | None) -> Job[Slices]:
    door = auditor()
    job = Job.start(lambda progress, cancelled: door.slices(run, label=label, progress=progress, cancelled=cancelled))
    job.wait(0.4)  # where it is known already: no progress bar that only flashes
    return job


def faces(run: Run, group: Slice) -> tuple[JudgedFace, ...]:
    """Test faces of a group, misjudged ones first."""
    return _faces(run, group.words, group)


@st.cache_data(show_spinner="Looking for its faces…", max_entries=64, hash_funcs={Run: attrgetter("id")})
def _faces(run: Run, words: str, _group: Slice) -> tuple[JudgedFace, ...]:
    return auditor().slice_faces(run, _group, most=MOST)


def label() -> int | None:
    """The class whose faces alone are looked at; None for all."""
    return visit.of_target(_CHOICES, {}).get("label")


def choose_label(number: int | None) -> None:
    visit.set_of_target(_CHOICES, {**visit.of_target(_CHOICES, {}), "label": number})


def chosen(names: list[str]) -> int:
    """Which of these groups is looked at: the one that was chosen, else the first."""
    name = visit.of_target(_CHOICES, {}).get(("group", label()))
    return names.index(name) if name in names else 0


def choose(name: str) -> None:
    visit.set_of_target(_CHOICES, {**visit.of_target(_CHOICES, {}), ("group", label()): name})

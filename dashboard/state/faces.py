"""The photos a visitor brought, and the face being looked at."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import streamlit as st
from PIL import Image

from dashboard.state import private, visit
from dashboard.state.doors import studio
from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.records import Face, digest
from img2tab_core.classifiers.runs import Run

_SHOWN = 768  # the longest side of a photo as shown, pixels


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


@st.cache_resource(show_spinner="Drawing the samples…")
def samples() -> tuple[Face, ...]:
    drawn = tuple(studio().samples())
    private.share(*drawn)
    return drawn


@private.by_face(st.cache_data, show_spinner="Looking for faces…", max_entries=32)
def _open_photo(name: str, data: bytes) -> Photo:
    whole, faces = studio().read(data)
    scale = min(1.0, _SHOWN / max(whole.shape[:2]))
    shown = Image.fromarray(whole).resize(
        (max(1, round(whole.shape[1] * scale)), max(1, round(whole.shape[0] * scale))), Image.Resampling.LANCZOS
    )
    return Photo(name, np.asarray(shown), scale, tuple(faces), digest(data))


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
    return 0 if chosen is None else _number_of(chosen)


def face_of(photo: Photo) -> Face:
    """The face of a photo that is chosen, the largest until another is."""
    return photo.faces[_number_of(photo)]


def _number_of(photo: Photo) -> int:
    return st.session_state.get("visit.face", {}).get(photo.key, 0)


def choose_face(number: int) -> None:
    st.session_state["visit.face"] = {**st.session_state.get("visit.face", {}), photo().key: number}


def face() -> Face | None:
    """The face being inspected."""
    chosen = photo()
    return None if chosen is None else face_of(chosen)


def sample_number() -> int | None:
    """Which of the samples is being inspected; None where it is a photo, or nothing."""
    chosen = photo()
    if chosen is None or chosen.picture is not None:
        return None
    return next((number for number, sample in enumerate(samples()) if sample.key == chosen.key), None)


def nearest_the_border(run: Run) -> int:
    """Which sample is nearest to the border between the classes: the one on which a moved concept shows most."""
    judged = [visit.probability(run, visit.encode(sample)) for sample in samples()]
    return min(range(len(judged)), key=lambda number: abs(judged[number] - 0.5))


def choose_sample(number: int) -> None:
    look_at(f"Sample {number + 1}", samples()[number])


def look_at(name: str, drawn: Face) -> None:
    """Make a face that the generator drew the face of the visit."""
    st.session_state["visit.photos"] = (Photo(name, None, 1.0, (drawn,), drawn.key),)
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
                with private.overwriting():
                    good.append(_open_photo(name, data))
            except Img2TabError as error:
                bad.append((name, str(error)))
        fresh = {brought.key for brought in visit_photos()}
        st.session_state["visit.problems"] = tuple(bad)
        if good:
            st.session_state["visit.photos"] = tuple(good)
            new = [number for number, brought in enumerate(good) if brought.key not in fresh]
            st.session_state["visit.photo"] = new[0] if new else 0
    elif not seen:
        st.session_state["visit.problems"] = ()
    st.session_state["visit.seen"] = seen
    for name, problem in st.session_state.get("visit.problems", ()):
        visit.notice(problem, about=name)


def _distinct(names: list[str]) -> list[str]:
    """The same names, repeated ones numbered: "image.jpg", "image.jpg (2)"."""
    given: list[str] = []
    for name in names:
        tries = (name if number == 1 else f"{name} ({number})" for number in range(1, len(names) + 1))
        given.append(next(distinct for distinct in tries if distinct not in given))
    return given

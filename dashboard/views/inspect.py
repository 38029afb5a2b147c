"""Inspect: from a photo to the concepts behind its decision, and what happens when one is moved."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import streamlit as st

from dashboard.charts import classifiers as classifier_charts
from dashboard.components import page_words, pictures
from dashboard.components.held import held
from dashboard.parts import decision, refining, standing, try_it, turn_it, why
from dashboard.state import doors, private, visit
from dashboard.state import faces as face_state
from dashboard.state import refinement as refinement_state
from img2tab_core.base import words
from img2tab_core.base.records import Face, Target
from img2tab_core.classifiers.runs import Run
from img2tab_core.concepts.description import Description, parts_of

SAMPLES, UPLOAD, CAMERA = "Samples", "Upload", "Camera"


def page() -> None:
    source = _source()
    if face_state.face() is None and source != SAMPLES:
        st.info("Bring a photo of your own above; its answer stands here.", icon=":material/arrow_upward:")
        return
    if not standing.ready():
        return
    run, target = visit.active_run(), visit.target()
    if face_state.face() is None:
        face_state.choose_sample(face_state.nearest_the_border(run))
        st.rerun()  # the samples above are drawn already: mark the one
    _gallery(run, target)
    _face(run, target, face_state.face())


def _face(run: Run, target: Target, face: Face) -> None:
    if face_state.photo().picture is not None:
        run = visit.on_photos(run)  # a sample is judged as the faces of the table are: the generator drew it too
    code = refinement_state.code_of(face)
    if run.own:  # it reads pixels: judged is the face itself, and the reasons are those of what is drawn of it
        with st.spinner("Asking what decided…"):
            drawn = visit.predict(run, code)
        before = replace(drawn, probability=visit.ask_face(run, face))
    else:
        before = visit.predict(run, visit.encode(face))  # what the encoder reads; a refinement draws it better
    sure = not run.own or not words.too_far(before.probability, drawn.probability)
    described = visit.description()
    parts, rest = parts_of(described, before.contributions) if described is not None else ([], 0.0)
    name_of = _names(described)
    shown = classifier_charts.strongest(before, 8)
    picked: visit.Concept | None = visit.concept_here()
    if picked is None and described is not None and parts:
        picked = described.families[parts[0].number].id
    if picked is None:
        picked = max(shown, key=lambda index: abs(before.contributions[index]), default=0)
    picked = try_it.turned(run, face, code, before, picked)

    grid = st.grid(2, min_column_width=360, gap="large")
    with grid.cell():
        decision.show(run, target, face, code, before, described, parts if sure else ())
        if run.own:
            decision.about_drawn(target, before, drawn)
        st.header("Why", anchor=False)
        if not sure:
            st.caption("Not told: the classifier answers otherwise about the reconstruction than about the face.")
        elif described is None:
            why.channels(run, target, code, before, picked, name_of)
        else:
            why.families(run, target, face, code, before, described, parts, rest, picked, name_of)
    with grid.cell():
        offered = [described.families[part.number].id for part in parts] if described is not None else []
        pending = try_it.show(run, target, face, code, before, picked, [*offered, *shown], name_of)
    try_it.look_again(pending)
    if sure:
        turn_it.show(run, target, face, code if run.own else visit.encode(face), before.decided)
    refining.show(run, target, face)


def _names(described: Description | None) -> Callable[[visit.Concept], str]:
    """What a channel or a family is called."""
    names, layout = visit.names(), visit.layout()
    titles = {} if described is None else {family.id: family.name for family in described.families}
    return lambda what: (
        titles.get(what, what) if isinstance(what, str) else page_words.concept_text(what, layout, names)
    )


# ---- where the face comes from


def _source() -> str:
    with st.container(border=True, horizontal=True, vertical_alignment="center", gap="medium"):
        source = st.segmented_control(
            "Face from",
            [SAMPLES, UPLOAD, CAMERA],
            key="inspect.source",
            default=SAMPLES,
            required=True,
            persist_state="session",
            label_visibility="collapsed",
            width="content",
        )
        if source != SAMPLES:
            doors.photos_expected()
        with st.container(width="stretch", gap="small"):
            if source == SAMPLES:
                _samples()
            elif source == UPLOAD:
                files = st.file_uploader(
                    "One or several photos",
                    type=pictures.FORMATS,
                    accept_multiple_files=True,
                    max_upload_size=30,
                    key=private.upload_key("inspect.upload"),
                    help="Photos stay in this computer's memory and are not stored. A clear, frontal face works best.",
                )
                with st.spinner("Looking for faces…"):
                    face_state.bring([(file.file_id, file.name, file.getvalue()) for file in files])
            else:
                shot = st.camera_input("Take a photo", key=private.upload_key("inspect.camera"), width=360)
                face_state.bring([(shot.file_id, "Camera photo", shot.getvalue())] if shot else [])
            if source != SAMPLES and refinement_state.can_refine():
                _refine_all()
            _choose_face()
    refinement_state.refine_brought()
    return source


def _refine_all() -> None:
    st.toggle(
        "Refine every photo in the background after upload",
        value=refinement_state.refines_all(),
        help="Each photo then keeps this computer busy for some ten seconds, one after the other. The quick answer is "
        "there at once and stands meanwhile. Remembered until you close the page.",
        **held("inspect.refine_all", refinement_state.refines_all(), refinement_state.refine_all),
    )


def _samples() -> None:
    faces = face_state.samples()
    keys = [face.key for face in faces]
    current = face_state.face()
    pictures.choose(
        [face.pixels for face in faces],
        [f"Sample {number + 1}" for number in range(len(faces))],
        key="sample",
        chosen=keys.index(current.key) if current is not None and current.key in keys else None,
        on_choose=face_state.choose_sample,
        width=36,
    )


def _gallery(run: Run, target: Target) -> None:
    """Several photos with what is decided about each; a click inspects one."""
    brought = face_state.visit_photos()
    if len(brought) < 2:
        return
    faces = [face_state.face_of(photo) for photo in brought]
    with st.spinner("Judging every photo…"):
        judging = visit.on_photos(run)
        chances = [_chance(judging, face) for face in faces]
    pictures.choose(
        [face.pixels for face in faces],
        [photo.name for photo in brought],
        key="photo",
        chosen=face_state.photo_number(),
        on_choose=face_state.choose_photo,
        width=96,
        across=8,
        under=[
            f"{page_words.plain(photo.name)}  \n{page_words.decided(target.classes, chance)}"
            for photo, chance in zip(brought, chances, strict=True)
        ],
    )


def _chance(run: Run, face: Face) -> float:
    return visit.ask_face(run, face) if run.own else visit.probability(run, visit.encode(face))


def _choose_face() -> None:
    photo = face_state.photo()
    if photo is None or len(photo.faces) < 2:
        return
    st.caption(
        f"{page_words.count(len(photo.faces), 'face')} found in {page_words.plain(photo.name)}, the largest "
        "first. Click the one to inspect."
    )
    pictures.choose(
        [face.pixels for face in photo.faces],
        [f"Face {number + 1}" for number in range(len(photo.faces))],
        key="face",
        chosen=face_state.face_number(),
        on_choose=face_state.choose_face,
        width=72,
    )


if __name__ == "__main__":
    page()

"""What a classifier says about a face: the answer in a sentence, how sure it is, and the pictures it is about."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from dashboard.charts import classifiers as classifier_charts
from dashboard.components import page_words, pictures
from dashboard.state import doors, visit
from dashboard.state import faces as face_state
from dashboard.state import refinement as refinement_state
from img2tab_core.base import words
from img2tab_core.base.records import Face, Prediction, Quality, StyleCode, Target
from img2tab_core.classifiers.runs import Run
from img2tab_core.concepts.description import Description, Part, because
from img2tab_core.tables.calibrations import DEFAULT_TABLE

_BADGES = {"good": (":material/check_circle:", "green"), "partial": (":material/info:", "orange")}


def show(
    run: Run,
    target: Target,
    face: Face,
    code: StyleCode,
    before: Prediction,
    described: Description | None,
    parts: Sequence[Part],
) -> None:
    """parts: what each family pushed, largest first; () where no reason may be told."""
    quality, likely = visit.quality(run, face, code), before.decided
    st.markdown(
        f"## {page_words.plain(page_words.sentence(target.classes[likely]))}, "
        f"{page_words.chance(before.chance_of(likely))}",
        help=f"How sure the classifier is that this face is {page_words.plain(target.classes[likely])}; 50 % would be "
        f"a coin toss. {page_words.prose(target.how)}",
    )
    judged = page_words.prose(words.decision(target.classes, before.probability, poor=quality.word == "poor"))
    reason = page_words.prose(because(described, parts, likely)) if described is not None and parts else ""
    st.markdown(f"{judged} {reason}".strip())
    st.html(
        f'<div class="share" style="--share: {100 * (1 - before.probability):.1f}%; '
        f'--first: {classifier_charts.BLUE}; --second: {classifier_charts.ORANGE}"></div>'
    )
    if shares := doors.studio().class_shares(run, code):
        each = ", ".join(f"{page_words.plain(name)} {page_words.chance(share)}" for name, share in shares.items())
        st.caption(f"Of all {len(shares)}: {each}")
    _pictures(run, face, code, quality)
    if quality.word == "poor":
        st.warning(page_words.prose(quality.sentence), icon=":material/warning:")


def _pictures(run: Run, face: Face, code: StyleCode, quality: Quality) -> None:
    photo, refined = face_state.photo(), refinement_state.refined(face.key)
    shows_refined = refined is not None and refinement_state.shows_refined(face.key)
    grid = st.grid(3, min_column_width=96, gap="small")
    with grid.cell():
        st.image(face.pixels, width="stretch", alt="Aligned face")
        st.caption(
            f"**{page_words.plain(photo.name)}**",
            help="Drawn by the generator, so already aligned."
            if photo.picture is None
            else "Turned and cropped: eyes and mouth sit where the generator expects them.",
        )
    with grid.cell():
        st.image(visit.render(run, code), width="stretch", alt="Reconstruction")
        st.caption(
            f"**{'Drawn again' if run.own else 'What it saw'}**"
            + (f"  \nRefined{'' if refined[1].finished else ', unfinished'}" if shows_refined else ""),
            help="The reconstruction, drawn nearer to this face; judged is still what the encoder read in it."
            if shows_refined
            else "The reconstruction from its style code; your classifier judges the face itself."
            if run.own
            else "The reconstruction: the face the classifier judges, drawn again from its style code.",
        )
    with grid.cell():
        measured = quality.measured
        if refinement_state.shows_refined(face.key):
            measured += " The refinement lowers this distance too, so it is no independent proof."
        icon, colour = _BADGES.get(quality.word, (":material/warning:", "red"))
        st.badge(
            f"{page_words.sentence(quality.word)} likeness",
            icon=icon,
            color=colour,
            help=page_words.prose(measured),
        )
        if quality.word != "poor":
            st.caption(page_words.prose(quality.sentence))
        calibration = visit.calibration(run)
        # a table of photos teaches where the border lies on photos; that of generated faces does not
        if not run.own and photo.picture is not None and (calibration is not None or run.table == DEFAULT_TABLE):
            st.caption(
                page_words.prose(words.calibrated_on(calibration and calibration.photos)),
                help="A classifier learns from generated faces where the border between the classes lies. Two numbers, "
                "fitted to photos whose answer is known, move it to where it lies on photos. Fit them to photos of "
                "your own on the Data page.",
            )
        if photo.picture is not None:
            with st.popover("Whole photo", icon=":material/photo:"):
                boxes = [[edge * photo.scale for edge in each.box] for each in photo.faces if each.box is not None]
                st.image(pictures.in_square(photo.picture, boxes, face_state.face_number()), alt="Photo")


def about_drawn(target: Target, before: Prediction, drawn: Prediction) -> None:
    """How far the answer of somebody's own classifier about the reconstruction is from that about the face."""
    which = before.decided
    text = (
        f"About the face itself it says {page_words.plain(target.classes[which])} "
        f"{page_words.chance(before.chance_of(which))}, about the reconstruction "
        f"{page_words.chance(drawn.chance_of(which))}"
    )
    if words.too_far(before.probability, drawn.probability):
        st.warning(
            f"{text}: too far apart for a claim about why. Refine the reconstruction; moving a concept works all the "
            "same, it is blended into the face itself.",
            icon=":material/warning:",
        )
    else:
        st.caption(f"{text}.")

"""Bringing the reconstruction nearer to the face: the offer, the work going on, what it gained and what it cost."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import streamlit as st

from dashboard.components import page_words, progress
from dashboard.components.held import held
from dashboard.state import private, visit
from dashboard.state import refinement as refinement_state
from img2tab_core.base.records import SAME_PERSON, Face, StyleCode, Target
from img2tab_core.classifiers.runs import Run

if TYPE_CHECKING:
    from img2tab_core.backbones.refinement import Refined

ENCODED, REFINED = "Encoder's answer", "Refined"


def show(run: Run, target: Target, face: Face) -> None:
    """Under the pictures: the offer to refine, the work going on, or what it gained and what it cost."""
    if not refinement_state.can_refine():
        return
    refinement_state.refine_steps()  # a wrong setting is told here, not after the click
    job, refined = refinement_state.refining(face.key), refinement_state.refined(face.key)
    with st.container(border=True, key="refinement"):
        if job is not None:
            st.markdown(
                "**Refining the reconstruction.** The encoder's answer stands meanwhile; go on working, on any page."
            )
            progress.watch(
                job,
                key="refine",
                waiting="Preparing…",
                cancel=True,
                label="Stop",
                help="Ends now and keeps the best answer so far; you can switch back to the encoder's answer.",
            )
        elif refined is None:
            offer, sentence = st.columns([1, 4], vertical_alignment="center")
            with offer, st.container(horizontal=True, gap="small", vertical_alignment="center"):
                _refine_button(face, "Refine", "primary")
                _refine_button(face, "Nearest picture", "tertiary", nearest=True)
            sentence.caption(
                "Brings the reconstruction nearer to this face, in the background: some ten seconds on an idle "
                "computer. Then it shows what that gained and what it cost, and you can switch back."
            )
        else:
            _trade(run, target, face, *refined)


def _refine(lent: private.Lent, nearest: bool) -> None:
    with visit.noticing():
        refinement_state.refine(lent.value, nearest)


def _refine_button(face: Face, label: str, kind: str, *, nearest: bool = False) -> None:
    st.button(
        label,
        key="inspect.refine_nearest" if nearest else "inspect.refine",
        type=kind,
        icon=":material/filter_center_focus:" if nearest else ":material/center_focus_strong:",
        on_click=_refine,
        args=(private.Lent(face), nearest),
        help="Moves what decides where things in the face lie too: the picture comes nearer still, and an edit then no "
        "longer does what it did."
        if nearest
        else "Searches, step by step, for a style code whose picture shows this person better; edits change by it, "
        "see *Known edit*.",
    )


def _show(key: str, answer: str) -> None:
    refinement_state.show_refined(key, answer == REFINED)


def _trade(run: Run, target: Target, face: Face, code: StyleCode, refined: Refined) -> None:
    answer = REFINED if refinement_state.shows_refined(face.key) else ENCODED
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        st.segmented_control(
            "Answer shown on this page",
            [ENCODED, REFINED],
            default=answer,
            required=True,
            **held(
                f"inspect.answer.{face.key[:12]}",
                answer,
                functools.partial(_show, face.key),
            ),
            help="Picture, decision, concepts and edits follow this choice; your edits stay as they are.",
        )
        if not refined.finished:
            _refine_button(face, "Refine again", "tertiary")
    encoded = visit.encode(face)
    if run.own:
        chances = visit.ask_face(run, face), visit.probability(run, code)
        reading = "the refined picture, beside the face itself", "about the face"
    else:
        chances = visit.probability(run, encoded), visit.probability(run, visit.reread(code))
        reading = "the refined picture when it is read once more by the encoder", "judged"
    likely = int(chances[0] > 0.5)
    first, second = (chance if likely else 1 - chance for chance in chances)
    agreement = visit.edit_agreement(run, encoded, code)
    grid = st.grid(5, min_column_width=150, gap="medium")
    for label, value, below, meaning in (
        (
            "Identity distance",
            f"{refined.after.identity:.2f}",
            f"was {refined.before.identity:.2f}",
            f"How far apart a face recogniser puts the face and its reconstruction; below {SAME_PERSON} it takes "
            "them for the same person. The refinement lowers this very number, so it is no independent proof.",
        ),
        (
            "Picture error",
            f"{refined.after.pixels:.0f}",
            f"was {refined.before.pixels:.0f}",
            "Root mean square difference between the face and its reconstruction, on the scale 0 to 255.",
        ),
        (
            "Distance moved",
            f"{refined.moved:.2f}",
            "from the encoder",
            "How far the refined answer lies from the encoder's, in units of the spread between random faces. The "
            "farther, the less what was learned about edits holds.",
        ),
        (
            "Known edit",
            f"{agreement.picture:.2f}",
            "1 is the same edit",
            "Whether edits still do what they did: the five channels that set the classes furthest apart are moved by "
            "8 SD, and this is the correlation of what that changes in the two pictures. It changed the probability by "
            f"{page_words.points(_towards(agreement.before, likely))} before and by "
            f"{page_words.points(_towards(agreement.after, likely))} after.",
        ),
        (
            page_words.plain(page_words.sentence(target.classes[likely])),
            page_words.chance(second),
            f"{reading[1]} {page_words.chance(first)}",
            f"The classifier's probability of {page_words.plain(target.classes[likely])} for {reading[0]}. The "
            "decision on this page stays that about the face itself: a refinement changes what is drawn, not what is "
            "judged.",
        ),
    ):
        grid.metric(label, value, delta=below, delta_color="off", delta_arrow="off", help=meaning)
    if refined.finished:
        ended = ": further ones gained nothing" if refined.stopped == "converged" else ""
        st.caption(f"{page_words.count(refined.steps, 'step')} in {refined.seconds:.0f} seconds{ended}.")
    else:
        st.warning(
            f"Unfinished: stopped after {refined.steps} of {refined.of} steps. This is the best answer until then; "
            "refine again for the whole.",
            icon=":material/timelapse:",
        )


def _towards(change: float, which: int) -> float:
    """A change of the probability of class 1 as one of class 0 or class 1."""
    return change if which else -change

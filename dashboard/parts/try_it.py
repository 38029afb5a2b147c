"""A concept to move on the face: which and how far, before and after with the strip, and where the decision turns."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import numpy as np
import streamlit as st

from dashboard.charts import classifiers as classifier_charts
from dashboard.components import page_words, pictures, progress, scrub
from dashboard.components.held import held
from dashboard.state import drawing, private, visit
from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.jobs import Job
from img2tab_core.base.records import Face, Prediction, StyleCode, Target, digest
from img2tab_core.classifiers.runs import Run


def show(
    run: Run,
    target: Target,
    face: Face,
    code: StyleCode,
    before: Prediction,
    picked: visit.Concept,
    strongest: Sequence[visit.Concept],
    name_of: Callable[[visit.Concept], str],
) -> list[Job]:
    """strongest: what is offered first, what pushed this decision most before the rest. The jobs that still draw."""
    curve = _curve(run, face, code, picked)
    _concept(face, picked, strongest, name_of)
    pending = _scrubber(run, target, face, code, before, picked, curve)
    _where_it_turns(target, curve, picked, name_of)
    _take_away(run, face, code, picked)
    _moved(face, visit.edits_of(face.key), name_of)
    pending += _check(run, code, visit.encode(face), visit.edits_of(face.key))
    _about(visit.active_run(), face, picked)
    _family(face)
    return pending


def _curve(run: Run, face: Face, code: StyleCode, picked: visit.Concept) -> tuple[float, ...]:
    """The probability of class 1 along the strip."""
    judged, photo = (code, face) if run.own else (visit.encode(face), None)
    return drawing.curve(run, judged, picked, visit.edits_of(face.key), photo)


def turned(run: Run, face: Face, code: StyleCode, before: Prediction, picked: visit.Concept) -> visit.Concept:
    """The concept to show: the picked one, or the one that was moved because the decision shall be turned over."""
    if not st.session_state.pop("inspect.turn_it_over", False):
        return picked
    if not run.own and visit.description() is not None:
        picked = drawing.moves_most(run, visit.encode(face), before.decided)
    curve = _curve(run, face, code, picked)
    _move(face.key, picked, _turning(curve) or _farthest(curve, before.decided))
    return picked


def turn_over() -> None:
    """When the page runs next, move the concept that moves the decision most until it turns, or as far as it goes."""
    st.session_state["inspect.turn_it_over"] = True


def _turning(curve: Sequence[float]) -> float | None:
    """The shift nearest to none at which the decision is another one; None where there is none."""
    here = curve[len(curve) // 2] > 0.5
    others = [shift for shift, chance in zip(scrub.SHIFTS.tolist(), curve, strict=True) if (chance > 0.5) != here]
    return round(min(others, key=abs), 1) if others else None


def _farthest(curve: Sequence[float], decided: int) -> float:
    """The shift at which the decided class is least likely."""
    least = int(np.argmin(curve) if decided else np.argmax(curve))
    return round(float(scrub.SHIFTS[least]), 1)


def _where_it_turns(
    target: Target, curve: Sequence[float], picked: visit.Concept, name_of: Callable[[visit.Concept], str]
) -> None:
    turning, name = _turning(curve), page_words.plain(name_of(picked))
    here = curve[len(curve) // 2] > 0.5
    if turning is None:
        st.markdown(f"**{name} alone does not turn the decision**, however far it is moved; what would is asked below.")
    else:
        other = page_words.plain(target.classes[0 if here else 1])
        st.markdown(f"At **{page_words.deviations(turning)}** of {name} the decision turns to {other}.")


def _concept(
    face: Face, picked: visit.Concept, strongest: Sequence[visit.Concept], name_of: Callable[[visit.Concept], str]
) -> None:
    """Which concept, and by how much it is moved, as a number that can be typed."""
    edits, described = visit.edits_of(face.key), visit.description()
    families = [] if described is None else sorted((family.id for family in described.families), key=name_of)
    channels = [*(edit.index for edit in edits.single), *sorted(visit.names())]
    offered: list[visit.Concept] = list(dict.fromkeys([*strongest, picked, *families, *channels]))
    which, how_far = st.columns([2, 1], gap="small")
    which.selectbox(
        "Try it: move a concept",
        offered,
        index=offered.index(picked),
        format_func=name_of,
        accept_new_options=True,
        help="First those that pushed this decision most, then all that are named, and the channels you edited. Or "
        "type any channel's index (2871) or place (7:311).",
        **held("inspect.concept", picked, _choose_typed),
    )
    how_far.number_input(
        "Move by, SD",
        -scrub.REACH,
        scrub.REACH,
        edits.shift_of(picked),
        step=scrub.STRIDE,
        format="%.1f",
        help="In standard deviations: one is how much this concept usually differs between faces. "
        "Below 3 little is seen, 8 is clear, beyond 10 the picture breaks.",
        **held(
            f"inspect.shift.{face.key[:12]}.{picked}",
            edits.shift_of(picked),
            functools.partial(_move, face.key, picked),
        ),
    )


def _about(run: Run, face: Face, picked: visit.Concept) -> None:
    """What is known of the concept: where it changes the picture, and what it is measured to do."""
    if isinstance(picked, str):
        family = visit.thing(picked)
        excluded = len(run.excluded.intersection(family.channels.tolist()))
        place, text = st.columns([1, 6], gap="small", vertical_alignment="center")
        place.image(_lit(face.key, family.id, face.pixels, family.map), alt="Where it changes the picture")
        text.caption(
            page_words.prose(page_words.sentence(family.sentence))
            + (
                f" {excluded} of its {len(family.channels)} channels are excluded from the active run."
                if excluded
                else ""
            )
        )
        return
    score = visit.scores(run)
    st.caption(
        f"Index {picked}. Distance {score.distance[picked]:.2f} SD, "
        f"importance {page_words.percent(score.importance[picked], 2)}."
        + (" Excluded from the active run: moving it cannot change the answer." if picked in run.excluded else "")
    )


@private.by_face(st.cache_data, show_spinner=False, max_entries=64)
def _lit(face_key: str, family_id: str, _pixels: np.ndarray, _where: np.ndarray) -> str:
    """The face with the place of a family lit, small."""
    return pictures.thumbnail(_pixels, _where, side=128)


def _scrubber(
    run: Run,
    target: Target,
    face: Face,
    code: StyleCode,
    before: Prediction,
    picked: visit.Concept,
    curve: Sequence[float],
) -> list[Job]:
    """Before and after, and the strip to move the concept along; the jobs that still draw something better."""
    edits = visit.edits_of(face.key)
    others = edits.with_shift(picked, 0.0)
    likely, judged = before.decided, visit.encode(face)
    word = target.classes[likely]
    itself = face if run.own else None  # what a classifier sees that reads pixels
    strip, finer = drawing.strip(run, code, picked, edits, itself)
    first, sharper = drawing.picture(run, code, visit.FaceEdits(), itself)
    now, sharp = drawing.picture(run, code, edits, itself) if edits else (first, None)
    share = before.probability
    if edits:
        share = visit.ask_edited(run, face, code, edits) if run.own else visit.probability(run, judged, edits)
    scrub.scrub(
        scrub.Scene(
            of=f"{face.key[:16]}.{picked}",
            around=digest(repr((run.id, code.key, picked, others)).encode())[:16],
            shift=edits.shift_of(picked),
            curve=tuple(chance if likely else 1 - chance for chance in curve),
            share=share if likely else 1 - share,
            before_share=before.chance_of(likely),
            before=first,
            after=now,
            strip=strip,
            word=word,
            title=page_words.sentence(word),
            meaning=f"The classifier's probability that the face is {word}; in percentage points what your edits "
            "change.",
            colour=classifier_charts.ORANGE if likely else classifier_charts.BLUE,
        ),
        key="inspect.scrub",
        on_move=functools.partial(_move, face.key, picked),
    )
    st.caption(
        "Drag along the strip, or use the arrow keys: only this concept moves"
        + (", on top of your other edits. " if others else ". ")
        + f"The line is the probability that the face is {page_words.plain(word)}."
    )
    return [job for job in (finer, sharper, sharp) if job is not None]


def look_again(pending: list[Job]) -> None:
    """Run the page again as soon as one of the drawings is there; meanwhile everything can be used."""
    if not pending:
        return

    @st.fragment(run_every=progress.pace(0.2), key="inspect-drawing")
    def look() -> None:
        if any(job.state != "running" for job in pending):
            st.rerun()

    look()


def _family(face: Face) -> None:
    """A switch that moves the many channels together in which the classes differ."""
    edits = visit.edits_of(face.key)
    family_on = edits.family is not None
    st.toggle(
        "Add the difference of the classes",
        value=family_on,
        **held(
            f"inspect.family.{face.key[:12]}",
            family_on,
            functools.partial(_add_difference, face.key),
        ),
        help="The 1,500 channels that set the two classes furthest apart move together, each in proportion to its "
        "signed distance between the classes.",
    )
    if family_on:
        classes = visit.target().classes
        st.slider(
            "Strength of the difference",
            -3.0,
            3.0,
            edits.family,
            step=0.25,
            format="%+.2f",
            **held(
                f"inspect.strength.{face.key[:12]}",
                edits.family,
                functools.partial(_set_difference, face.key),
            ),
            help="Each of these channels moves by this number times its signed distance between the classes: "
            f"below 0 towards {page_words.plain(classes[0])}, above 0 towards {page_words.plain(classes[1])}; 0 moves "
            "none of them.",
        )


def _move(key: str, what: visit.Concept, shift: float) -> None:
    """Move a concept of the face of this key; what a widget calls holds no face, since Streamlit keeps it."""
    visit.choose_concept(what)  # it stays here when a refinement ends meanwhile
    visit.set_edits(key, visit.edits_of(key).with_shift(what, shift))


def _take_back(key: str, what: visit.Concept) -> None:
    visit.set_edits(key, visit.edits_of(key).with_shift(what, 0.0))


def _add_difference(key: str, wanted: bool) -> None:
    _set_difference(key, 1.5 if wanted else None)


def _set_difference(key: str, strength: float | None) -> None:
    visit.set_edits(key, visit.edits_of(key).with_family(strength))


def _choose_typed(chosen: visit.Concept) -> None:
    described = visit.description()
    try:
        if isinstance(chosen, str) and not (described and any(family.id == chosen for family in described.families)):
            chosen = page_words.find(chosen, visit.layout(), visit.names())
        visit.choose_concept(chosen)
    except Img2TabError as error:
        visit.notice(str(error))


def _moved(face: Face, edits: visit.FaceEdits, name_of: Callable) -> None:
    """What is moved, as chips; a click on one takes it back."""
    moves: list[tuple[visit.Concept, float]] = [*edits.families, *((edit.index, edit.shift) for edit in edits.single)]
    if not moves:
        return
    with st.container(horizontal=True, gap="xsmall"):
        for what, shift in moves:
            st.button(
                f"{page_words.plain(name_of(what))} {page_words.deviations(shift)}",
                key=f"inspect.chip.{what}",
                icon=":material/close:",
                icon_position="right",
                help="Take this edit back",
                on_click=_take_back,
                args=(face.key, what),
            )


def _check(run: Run, code: StyleCode, judged: StyleCode, edits: visit.FaceEdits) -> list[Job]:
    """Whether the edit left the face whole and its picture says what its code says; the job that still asks."""
    checked, job = drawing.check(run, code, judged, edits)
    if checked is None:
        st.caption("The edited picture is being looked at…" if job is not None else "")
        return [] if job is None else [job]
    if checked.broken or not checked.shown:
        st.warning(page_words.prose(checked.sentence), icon=":material/warning:")
    else:
        st.caption(page_words.prose(checked.sentence))
    return []


def _in_words(edits: visit.FaceEdits) -> str:
    """What was moved how far, for the mark of a picture: "Hair: long +3.0 SD, Layer 7 · channel 23 −1.0 SD"."""
    moves = [(visit.thing(name).name, by) for name, by in edits.families]
    layout, names = visit.layout(), visit.names()
    moves += [(page_words.concept_text(edit.index, layout, names), edit.shift) for edit in edits.single]
    told = [f"{name} {page_words.deviations(by)}" for name, by in moves]
    told += [] if edits.family is None else ["the difference of the classes"]
    return ", ".join(told) or "nothing moved"


def _take_away(run: Run, face: Face, code: StyleCode, picked: visit.Concept) -> None:
    """Take every edit back, the picture along, or the concept out of the classifier."""
    edits = visit.edits_of(face.key)
    lent, told, own = private.Lent(visit.full_size(run, code, edits)), _in_words(edits), run.own
    with st.container(horizontal=True, gap="small"):
        st.button(
            "Reset",
            key="inspect.reset",
            icon=":material/undo:",
            disabled=not edits,
            on_click=visit.set_edits,
            args=(face.key, visit.FaceEdits()),
            help="Take back every edit of this face.",
        )
        st.download_button(
            "Download picture",
            key="inspect.download",
            data=lambda: pictures.png(lent.value(), told, source="mixed" if own else "drawn"),
            file_name="img2tab-edited-face.png",
            mime="image/png",
            icon=":material/download:",
            on_click="ignore",
            help="The edited face as a PNG of 1024 × 1024 pixels, drawn when you click; it says that a generator drew "
            "it, and what was moved.",
        )
        if not run.own and st.button(
            "Exclude it…",
            key="inspect.exclude",
            icon=":material/rule:",
            help="Ticks this concept on the page Exclude and retrain, where you can train a classifier without it.",
        ):
            visit.set_ticked([picked] if isinstance(picked, int) else visit.thing(picked).channels.tolist(), True)
            st.switch_page("views/exclude.py")

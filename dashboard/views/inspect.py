"""Inspect: from a photo to the concepts behind its decision, and what happens when one is moved."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from dashboard.charts import classifiers as classifier_charts
from dashboard.charts import concepts as concept_charts
from dashboard.components import clicks, page_words, pictures, progress, scrub
from dashboard.components.held import held
from dashboard.parts import standing, turn_it
from dashboard.state import doors, drawing, visit
from dashboard.state import faces as face_state
from dashboard.state import refinement as refinement_state
from img2tab_core.base import words
from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.jobs import Job
from img2tab_core.base.records import SAME_PERSON, Face, Prediction, StyleCode, Target, digest
from img2tab_core.classifiers.runs import Run
from img2tab_core.concepts.description import Description, Part, because, channels_of, leading, parts_of
from img2tab_core.tables.calibrations import DEFAULT_TABLE

if TYPE_CHECKING:
    from img2tab_core.backbones.refinement import Refined

SAMPLES, UPLOAD, CAMERA = "Samples", "Upload", "Camera"
ENCODED, REFINED = "Encoder's answer", "Refined"


def page() -> None:
    _source()
    face = face_state.face()
    if face is None:
        st.info("Click a sample above, or upload a photo of your own, to begin.", icon=":material/arrow_upward:")
        return
    if not standing.ready():
        return
    run, target = visit.active_run(), visit.target()
    if face_state.photo().picture is not None:
        run = visit.on_photos(run)  # a sample is judged as the faces of the table are: the generator drew it too
    code = refinement_state.code_of(face)
    if run.own:  # it reads pixels: judged is the face itself, and the reasons are those of what is drawn of it
        with st.spinner("Asking what decided…"):
            drawn = visit.predict(run, code)
        before = replace(drawn, probability=visit.ask_face(run, face))
    else:
        before = visit.predict(run, visit.encode(face))  # what the encoder reads; a refinement draws it better
    _decision(run, target, face, code, before)
    if run.own:
        _about_drawn(target, before, drawn)
    _refinement(run, target, face)
    st.divider()
    sure = not run.own or not words.too_far(before.probability, drawn.probability)
    _reasons(run, target, face, code, before, sure=sure)
    if sure:
        turn_it.show(run, target, face, code if run.own else visit.encode(face), before.decided)


# ---- where the face comes from


def _source() -> None:
    with st.container(border=True):
        source = st.segmented_control(
            "Face from",
            [SAMPLES, UPLOAD, CAMERA],
            key="inspect.source",
            default=SAMPLES,
            required=True,
            persist_state="session",
        )
        if source != SAMPLES:
            doors.photos_expected()
        if source == SAMPLES:
            _samples()
        elif source == UPLOAD:
            files = st.file_uploader(
                "One or several photos",
                type=pictures.FORMATS,
                accept_multiple_files=True,
                max_upload_size=30,
                key="inspect.upload",
                help="Photos stay in this computer's memory and are not stored. A clear, frontal face works best.",
            )
            with st.spinner("Looking for faces…"):
                face_state.bring([(file.file_id, file.name, file.getvalue()) for file in files])
        else:
            shot = st.camera_input("Take a photo", key="inspect.camera", width=360)
            face_state.bring([(shot.file_id, "Camera photo", shot.getvalue())] if shot else [])
        if source != SAMPLES and refinement_state.can_refine():
            _refine_all()
        _choose_photo()
        _choose_face()
        refinement_state.refine_brought()


def _refine_all() -> None:
    st.toggle(
        "Refine every photo in the background after upload",
        value=refinement_state.refines_all(),
        **held("inspect.refine_all", refinement_state.refines_all(), refinement_state.refine_all),
        help="Each photo then keeps this computer busy for some ten seconds, one after the other. The quick answer is "
        "there at once and stands meanwhile. Remembered until you close the page.",
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
        width=60,
    )
    st.caption("These people do not exist: the generator drew them. Click one.")


def _choose_photo() -> None:
    brought = face_state.visit_photos()
    if len(brought) < 2:
        return
    st.selectbox(
        "Photo",
        range(len(brought)),
        index=face_state.photo_number(),
        format_func=lambda number: brought[number].name,
        **held("inspect.photo", face_state.photo_number(), face_state.choose_photo),
        width=360,
    )


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


# ---- what the classifier says


def _decision(run: Run, target: Target, face: Face, code: StyleCode, before: Prediction) -> None:
    photo = face_state.photo()
    quality = visit.quality(run, face, code)
    grid = st.grid(4, min_column_width=170, gap="medium")
    if photo.picture is not None:
        with grid.cell():
            boxes = [[edge * photo.scale for edge in each.box] for each in photo.faces if each.box is not None]
            st.image(pictures.in_square(photo.picture, boxes, face_state.face_number()), width="stretch", alt="Photo")
            st.caption(f"**Photo**  \n{page_words.plain(photo.name)}")
    with grid.cell():
        st.image(face.pixels, width="stretch", alt="Aligned face")
        if photo.picture is None:
            st.caption(f"**{page_words.plain(photo.name)}**  \nDrawn by the generator, so already aligned.")
        else:
            st.caption("**Aligned face**  \nTurned and cropped: eyes and mouth sit where the generator expects them.")
    with grid.cell():
        st.image(visit.render(run, code), width="stretch", alt="Reconstruction")
        refined = refinement_state.refined(face.key) is not None and refinement_state.shows_refined(face.key)
        st.caption(
            f"**Reconstruction, refined{'' if refinement_state.refined(face.key)[1].finished else ', unfinished'}**  \n"
            "Drawn nearer to this face; judged is still what the encoder read in it."
            if refined
            else "**Reconstruction**  \nDrawn from its style code; your classifier judges the face itself."
            if run.own
            else "**Reconstruction**  \nThe face the classifier judges, drawn again from its style code."
        )
    with grid.cell(column_span=1 if photo.picture is not None else 2):
        likely = before.decided
        share = _share(before, likely)
        st.metric(
            page_words.plain(page_words.sentence(target.classes[likely])),
            page_words.chance(share),
            help=f"How sure the classifier is that this face is {page_words.plain(target.classes[likely])}; 50 % would "
            f"be a coin toss. {page_words.prose(target.how)}",
        )
        st.plotly_chart(
            classifier_charts.probability_bar(before.probability, target.classes),
            key="inspect.share",
            config={"staticPlot": True},
        )
        st.caption(
            "  \n".join(
                f":{colour}[■] {page_words.chance(_share(before, which))} {page_words.plain(target.classes[which])}"
                for which, colour in ((0, "blue"), (1, "orange"))
            )
        )
        in_words = words.decision(target.classes, before.probability, poor=quality.word == "poor")
        st.markdown(page_words.prose(in_words))
        calibration = visit.calibration(run)
        # a table of photos teaches where the border lies on photos; that of generated faces does not
        if not run.own and photo.picture is not None and (calibration is not None or run.table == DEFAULT_TABLE):
            st.caption(
                page_words.prose(words.calibrated_on(calibration and calibration.photos)),
                help="A classifier learns from generated faces where the border between the classes lies. Two numbers, "
                "fitted to photos whose answer is known, move it to where it lies on photos. Fit them to photos of "
                "your "
                "own on the Data page.",
            )
        measured = quality.measured
        if refinement_state.shows_refined(face.key):
            measured += " The refinement lowers this distance too, so it is no independent proof."
        icon, colour = {
            "good": (":material/check_circle:", "green"),
            "partial": (":material/info:", "orange"),
        }.get(quality.word, (":material/warning:", "red"))
        st.badge(
            f"{page_words.sentence(quality.word)} reconstruction",
            icon=icon,
            color=colour,
            help=page_words.prose(measured),
        )
        if quality.word != "poor":
            st.caption(page_words.prose(quality.sentence))
    if quality.word == "poor":
        st.warning(page_words.prose(quality.sentence), icon=":material/warning:")


def _about_drawn(target: Target, before: Prediction, drawn: Prediction) -> None:
    """How far the answer about the reconstruction is from that about the face."""
    which = before.decided
    text = (
        f"About the face itself it says {page_words.plain(target.classes[which])} "
        f"{page_words.chance(_share(before, which))}, about the reconstruction "
        f"{page_words.chance(_share(drawn, which))}"
    )
    if words.too_far(before.probability, drawn.probability):
        st.warning(
            f"{text}: too far apart for a claim about why. Refine the reconstruction; moving a concept below works "
            "all the same, it is blended into the face itself.",
            icon=":material/warning:",
        )
    else:
        st.caption(f"{text}.")


# ---- refining the reconstruction


def _refinement(run: Run, target: Target, face: Face) -> None:
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


def _refine_button(face: Face, label: str, kind: str, *, nearest: bool = False) -> None:
    st.button(
        label,
        key="inspect.refine_nearest" if nearest else "inspect.refine",
        type=kind,
        icon=":material/filter_center_focus:" if nearest else ":material/center_focus_strong:",
        on_click=refinement_state.refine,
        args=(face, nearest),
        help="Moves what decides where things in the face lie too: the picture comes nearer still, and an edit then no "
        "longer does what it did."
        if nearest
        else "Searches, step by step, for a style code whose picture shows this person better; edits change by it, "
        "see *Known edit*.",
    )


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
                lambda wanted: refinement_state.show_refined(face.key, wanted == REFINED),
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
        chances = visit.predict(run, encoded).probability, visit.predict(run, visit.reread(code)).probability
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


def _share(prediction: Prediction, which: int) -> float:
    """The probability of class 0 or class 1."""
    return prediction.probability if which else 1 - prediction.probability


# ---- why, and moving a concept


def _reasons(run: Run, target: Target, face: Face, code: StyleCode, before: Prediction, *, sure: bool = True) -> None:
    """sure: whether what is known of the reconstruction may be told of the face."""
    described = visit.description()
    parts, rest = parts_of(described, before.contributions) if described is not None else ([], 0.0)
    name_of = _names(described)
    shown = classifier_charts.strongest(before, 8)
    picked: visit.Concept | None = visit.chosen_family() or visit.concept()
    if picked is None and described is not None and parts:
        picked = described.families[parts[0].number].id
    if picked is None:
        picked = max(shown, key=lambda index: abs(before.contributions[index]), default=0)
    grid = st.grid(2, min_column_width=400, gap="large")
    with grid.cell():
        st.subheader("What drove it", anchor=False)
        if not sure:
            st.caption("Not told: the classifier answers otherwise about the reconstruction than about the face.")
        elif described is None:
            _channel_bars(run, target, code, before, picked, name_of)
        else:
            _family_bars(run, target, face, code, before, described, parts, rest, picked, name_of)
    with grid.cell():
        st.subheader("Move it", anchor=False)
        _concept(visit.active_run(), face, picked, shown, name_of)
        pending = _scrubber(run, target, face, code, before, picked)
        _family(face)
        _take_away(run, face, code)
        _moved(face, visit.edits_of(face.key), name_of)
        pending += _check(run, code, visit.encode(face), visit.edits_of(face.key))
    _look_again(pending)


def _names(described: Description | None) -> Callable[[visit.Concept], str]:
    """What a channel or a family is called."""
    names, layout = visit.names(), visit.layout()
    titles = {} if described is None else {family.id: family.name for family in described.families}
    return lambda what: (
        titles.get(what, what) if isinstance(what, str) else page_words.concept_text(what, layout, names)
    )


def _channel_bars(
    run: Run, target: Target, code: StyleCode, before: Prediction, picked: visit.Concept, name_of: Callable
) -> None:
    index = picked if isinstance(picked, int) else None
    key = f"inspect.bars.{run.id}.{code.key[:12]}.{picked}"
    st.plotly_chart(
        classifier_charts.contribution_bars(before, name_of, target.classes, picked=index),
        key=key,
        on_select=lambda: _choose_bar(key),
        selection_mode="points",
        config={"displayModeBar": False},
    )
    st.caption(
        "Each bar is how far one channel pushed this decision, in log-odds; all pushes and a fixed starting point "
        "add up to the probability above. Click a bar to move its channel."
    )


def _family_bars(
    run: Run,
    target: Target,
    face: Face,
    code: StyleCode,
    before: Prediction,
    described: Description,
    parts: list[Part],
    rest: float,
    picked: visit.Concept,
    name_of: Callable,
) -> None:
    """The answer in a sentence, a bar for each family, and behind one more click the channels of the chosen one."""
    word = page_words.plain(target.classes[before.decided])
    st.markdown(
        f"Judged **{word}**, {page_words.chance(_share(before, before.decided))}. "
        f"{page_words.prose(because(described, parts, before.decided))}"
    )
    number = next((n for n, family in enumerate(described.families) if family.id == picked), None)
    key = f"inspect.families.{run.id}.{code.key[:12]}.{picked}"
    st.plotly_chart(
        concept_charts.family_bars(
            parts,
            rest,
            described,
            target.classes,
            picked=number,
            thumbnails={
                part.number: pictures.thumbnail(face.pixels, described.families[part.number].map)
                for part in leading(parts, rest)[0]
            },
        ),
        key=key,
        on_select=lambda: _choose_family_bar(key, described),
        selection_mode="points",
        config={"displayModeBar": False},
    )
    if run.own:
        st.caption(
            "Measured: what the answer about the reconstruction loses, in log-odds, when this concept alone is set to "
            "the average face's, drawn, and the classifier asked. Click a bar to move its concept."
        )
        return
    st.caption(
        "How far each concept pushed this decision, in log-odds; the bars and a fixed starting point add up to the "
        "probability. Pale: by channels that do not draw it but go with it. Click a bar to move its concept."
    )
    if number is None:
        return
    family = described.families[number]
    mine = sorted(channels_of(described, [number], stand_ins=True))
    alone = np.zeros_like(before.contributions)
    alone[mine] = before.contributions[mine]
    with st.expander(
        f"{page_words.count(len(family.channels), 'channel')} of {page_words.plain(family.name)}, and "
        f"{page_words.count(len(mine) - len(family.channels), 'channel')} that go with it"
    ):
        st.caption(page_words.prose(page_words.sentence(family.sentence)))
        _channel_bars(run, target, code, replace(before, contributions=alone), picked, name_of)


def _choose_family_bar(key: str, described: Description) -> None:
    number = clicks.clicked(key)
    if number is not None and number != concept_charts.ELSE:
        visit.choose_concept(described.families[number].id)


def _choose_bar(key: str) -> None:
    if (index := clicks.clicked(key)) is not None:
        visit.choose_concept(index)


def _concept(run: Run, face: Face, picked: visit.Concept, shown: list[int], name_of: Callable) -> None:
    """Which concept, and by how much it is moved, as a number that can be typed."""
    edits, described = visit.edits_of(face.key), visit.description()
    families = [] if described is None else [family.id for family in described.families]
    channels = [*shown, *(edit.index for edit in edits.single), *sorted(visit.names())]
    offered: list[visit.Concept] = list(dict.fromkeys([picked, *sorted(families, key=name_of), *channels]))
    which, how_far = st.columns([2, 1], gap="small")
    which.selectbox(
        "Concept",
        offered,
        index=offered.index(picked),
        format_func=name_of,
        accept_new_options=True,
        **held("inspect.concept", picked, _choose_typed),
        help="All named concepts, the channels of this decision, those you edited. Or type any channel's index (2871) "
        "or place (7:311).",
    )
    how_far.number_input(
        "Move by, SD",
        -scrub.REACH,
        scrub.REACH,
        edits.shift_of(picked),
        step=scrub.STRIDE,
        format="%.1f",
        **held(
            f"inspect.shift.{face.key[:12]}.{picked}",
            edits.shift_of(picked),
            lambda shift: _move(face, picked, shift),
        ),
        help="In standard deviations: one is how much this concept usually differs between faces. "
        "Below 3 little is seen, 8 is clear, beyond 10 the picture breaks.",
    )
    if isinstance(picked, str):
        family = visit.thing(picked)
        excluded = len(run.excluded.intersection(family.channels.tolist()))
        place, words = st.columns([1, 4], gap="small", vertical_alignment="center")
        place.image(pictures.lit(face.pixels, family.map), width="stretch", alt="Where it changes the picture")
        words.caption(
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


def _scrubber(
    run: Run, target: Target, face: Face, code: StyleCode, before: Prediction, picked: visit.Concept
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
    if not run.own:
        share = visit.predict(run, judged, edits).probability
    else:
        share = visit.ask_edited(run, face, code, edits) if edits else before.probability
    curve = drawing.curve(run, code if run.own else judged, picked, edits, itself)
    scrub.scrub(
        scrub.Scene(
            of=f"{face.key[:16]}.{picked}",
            around=digest(repr((run.id, code.key, picked, others)).encode())[:16],
            shift=edits.shift_of(picked),
            curve=tuple(chance if likely else 1 - chance for chance in curve),
            share=share if likely else 1 - share,
            before_share=_share(before, likely),
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
        on_move=lambda shift: _move(face, picked, shift),
    )
    st.caption(
        "Drag along the strip, or use the arrow keys: only this concept moves"
        + (", on top of your other edits. " if others else ". ")
        + f"The line is the probability that the face is {page_words.plain(word)}."
    )
    return [job for job in (finer, sharper, sharp) if job is not None]


def _look_again(pending: list[Job]) -> None:
    """Run the page again as soon as one of the drawings is there; meanwhile everything can be used."""
    if not pending:
        return

    @st.fragment(run_every=0.2, key="inspect-drawing")
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
            lambda wanted: visit.set_edits(face.key, visit.edits_of(face.key).with_family(1.5 if wanted else None)),
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
                lambda strength: visit.set_edits(face.key, visit.edits_of(face.key).with_family(strength)),
            ),
            help="Each of these channels moves by this number times its signed distance between the classes: "
            f"below 0 towards {page_words.plain(classes[0])}, above 0 towards {page_words.plain(classes[1])}; 0 moves "
            "none of them.",
        )


def _move(face: Face, what: visit.Concept, shift: float) -> None:
    visit.choose_concept(what)  # it stays here when a refinement ends meanwhile
    visit.set_edits(face.key, visit.edits_of(face.key).with_shift(what, shift))


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
                on_click=lambda what=what: visit.set_edits(face.key, visit.edits_of(face.key).with_shift(what, 0.0)),
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


def _take_away(run: Run, face: Face, code: StyleCode) -> None:
    """Take every edit back, or the picture along."""
    edits = visit.edits_of(face.key)
    draw = visit.full_size(run, code, edits)
    with st.container(horizontal=True, gap="small"):
        st.button(
            "Reset",
            key="inspect.reset",
            icon=":material/undo:",
            disabled=not edits,
            on_click=lambda: visit.set_edits(face.key, visit.FaceEdits()),
            help="Take back every edit of this face.",
        )
        st.download_button(
            "Download picture",
            key="inspect.download",
            data=lambda: pictures.png(draw()),
            file_name="img2tab-edited-face.png",
            mime="image/png",
            icon=":material/download:",
            on_click="ignore",
            help="The edited face as a PNG of 1024 × 1024 pixels, drawn when you click.",
        )


if __name__ == "__main__":
    page()

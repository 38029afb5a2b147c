"""Bringing a classifier of one's own: the file, how it is handed its pictures, and twelve faces with its answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from dashboard.components import page_words
from dashboard.state import faces as face_state
from dashboard.state import own_models, visit
from img2tab_core.base.errors import Img2TabError

if TYPE_CHECKING:
    from img2tab_core.classifiers.models import Added, Wishes

AS_GUESSED = "as guessed"
FROM_FILE = """\
# the same in a terminal
img2tab model add smile.onnx --name smile --normalise imagenet --classes "no smile,smile"
img2tab explain --classifier smile
"""


def show(*, expanded: bool) -> None:
    """The form, opened where nothing was brought yet; what is tried is shown before it is kept."""
    with st.expander("Bring another classifier" if not expanded else "Bring a classifier", expanded=expanded):
        st.caption(
            "An ONNX file: weights and a graph, no program. It is copied into this computer's Img2Tab folder by its "
            "hash; neither it nor any picture leaves this computer. PyTorch exports one with `torch.onnx.export`, "
            "Keras with `tf2onnx`."
        )
        left, right = st.columns([2, 1])
        file = left.file_uploader("ONNX file", type=["onnx"], key="yours.file", max_upload_size=500)
        name = right.text_input(
            "Name",
            key="yours.name",
            placeholder=_name_of(file.name) if file is not None else "smile",
            help="One word: it becomes the name of a target, and what `--classifier` takes in a terminal.",
        )
        if file is None:
            st.code(FROM_FILE, language="bash")
            return
        name = name.strip() or _name_of(file.name)
        wishes = _wishes()
        try:
            made = own_models.tried(file.getvalue(), file.name, name, wishes)
        except Img2TabError as error:
            st.error(page_words.prose(error), icon=":material/error:")
            return
        _tried(made)
        st.button(
            "Keep it and ask what it reacts to",
            key="yours.keep",
            type="primary",
            icon=":material/psychology_alt:",
            on_click=own_models.keep,
            args=(file.getvalue(), file.name, name, wishes),
        )


def _name_of(file_name: str) -> str:
    """A name made of a file's."""
    word = "".join(letter if letter.isascii() and (letter.isalnum() or letter in "-_") else "-" for letter in file_name)
    return word.removesuffix("-onnx").strip("-_")[:40] or "mine"


def _wishes() -> Wishes:
    """How it is handed its pictures and how its answer is read, as far as a person says it."""
    from img2tab_core.classifiers.models import Wishes

    st.markdown("**How it is handed its pictures, and how its answer is read**")
    grid = st.grid(4, min_column_width=170, gap="small")
    normalise = grid.selectbox(
        "Colours are scaled",
        [AS_GUESSED, "imagenet", "0..1", "-1..1", "0..255"],
        key="yours.normalise",
        accept_new_options=True,
        help="As in its training. Or type MEAN,STD; or three means and three deviations.",
    )
    colour = grid.selectbox("Order of colours", [AS_GUESSED, "rgb", "bgr", "grey"], key="yours.colour")
    crop = grid.selectbox(
        "Part of the face",
        ["1", "0.8", "0.7", "face"],
        key="yours.crop",
        accept_new_options=True,
        format_func=lambda text: {"1": "whole aligned face", "face": "what a face detector finds"}.get(
            text, f"the middle {text}"
        ),
        help="Faces are aligned as in FFHQ, with hair and neck. One trained on tight crops must see those. Or type "
        "LEFT,TOP,RIGHT,BOTTOM in shares.",
    )
    layout = grid.selectbox("Axes", [AS_GUESSED, "nchw", "nhwc"], key="yours.layout")
    output = grid.selectbox(
        "It answers with",
        [AS_GUESSED, "logits", "probabilities", "sigmoid", "value"],
        key="yours.output",
        help="sigmoid: one log-odds for each class. value: a quantity such as years; then name the value from which "
        "it counts.",
    )
    classes = grid.text_input(
        "Its classes", key="yours.classes", placeholder="no smile, smile", help="With commas between, in its order."
    )
    positive = grid.text_input(
        "Asked about", key="yours.positive", placeholder="the second of two", help="A class, or several: 30-80."
    )
    threshold = grid.number_input("Counts above", value=None, key="yours.threshold", help="Only for a quantity.")
    judges = st.selectbox(
        "Held against the labels of",
        ["", *(target.name for target in visit.current_table().targets if not _answered(target.name))],
        key="yours.judges",
        format_func=lambda word: {choice.name: choice.title for choice in visit.current_table().targets}.get(
            word, "no label: only its own answers"
        ),
        help="If the table has labels of what it judges, audits can say how often it is right.",
        width=360,
    )
    return Wishes(
        input=None,
        layout="" if layout == AS_GUESSED else layout,
        colour="" if colour == AS_GUESSED else colour,
        normalise="" if normalise == AS_GUESSED else normalise or "",
        crop=crop or "1",
        output="" if output == AS_GUESSED else output,
        classes=tuple(word.strip() for word in classes.split(",") if word.strip()),
        positive=positive.strip(),
        threshold=threshold,
        judges=judges,
    )


def _answered(name: str) -> bool:
    return name in visit.current_table().answered


def _tried(made: Added) -> None:
    """Twelve faces with its answers: what a wrong normalisation looks like is seen at once."""
    from img2tab_core.classifiers.pixel_models import chances

    zero, one = (page_words.plain(word) for word in made.model.classes)
    st.markdown(f"**{zero}** or **{one}**? It is handed {page_words.prose(made.model.input.sentence)}.")
    _faces([face.pixels for face in face_state.samples()], chances(made.log_odds), made.model.classes)
    if made.warning:
        st.warning(page_words.prose(made.warning), icon=":material/warning:")
    if made.guessed:
        st.caption(f"Guessed from the file: {page_words.prose('; '.join(made.guessed))}.")


def _faces(faces: list[np.ndarray], probability: np.ndarray, classes: tuple[str, str]) -> None:
    grid = st.grid(12, min_column_width=84, gap="small")
    for face, value in zip(faces, probability.tolist(), strict=True):
        with grid.cell():
            st.image(face, width="stretch", alt="Sample face")
            st.caption(page_words.decided(classes, value, between="  \n"))

"""Is it right about your photos? Bring some whose answer you know, read how right it is, and make it fit them."""

from __future__ import annotations

import pandas as pd
import streamlit as st
from PIL import Image

from dashboard.components import page_words, pictures, progress
from dashboard.state import photo_checks, private, visit
from img2tab_core.audits.photo_check import FEW, SMALL, Figures, PhotoCheck, Wrong
from img2tab_core.base import words
from img2tab_core.base.errors import Img2TabError
from img2tab_core.faces.photos import read_photo

WRONG_SHOWN = 8


def show() -> None:
    """The form, and under it the answer of the chosen target's standing classifier."""
    target = visit.target()
    st.header("Is it right about your photos?", anchor=False)
    calibration = photo_checks.in_use()
    st.caption(
        f"Bring photos whose answer for **{page_words.plain(target.title.lower())}** you know, and a CSV file with a "
        "column of file names and a column of answers; other columns form groups. Photos stay in this computer's "
        f"memory and are not stored. {page_words.prose(words.calibrated_on(calibration and calibration.photos))}"
    )
    with st.form("data.check", border=True):
        left, right = st.columns(2)
        photos = left.file_uploader(
            "Photos",
            type=pictures.FORMATS,
            accept_multiple_files=True,
            key=private.upload_key("data.check.photos"),
            max_upload_size=30,
        )
        labels = right.file_uploader(
            "Answers", type=["csv", "txt"], key=private.upload_key("data.check.labels"), max_upload_size=30
        )
        with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
            column = st.text_input(
                "Column with the answers",
                key="data.check.column",
                placeholder=target.name.removeprefix("perceived_"),
                help=f"Leave it empty where a column is called {target.name} or, without “perceived”, "
                f"{target.name.removeprefix('perceived_')}. Answers are 0 and 1, no and yes, or words of the classes.",
                width=320,
            )
            asked = st.form_submit_button("Check", type="primary", icon=":material/fact_check:")
    if asked:
        if photos and labels is not None:
            photo_checks.begin({file.name: file.getvalue() for file in photos}, labels.getvalue(), column)
        else:
            st.warning("Choose photos and a file with their answers, then check.", icon=":material/info:")
    _answer()


def _answer() -> None:
    job = photo_checks.job()
    if job is None:
        return
    if job.state == "running":
        progress.watch(job, key="data.checking", waiting="Reading the photos…", cancel=True)
    elif job.state == "failed":
        st.error(page_words.prose(f"The check stopped: {job.error}"), icon=":material/error:")
    elif job.state == "done":
        _result(photo_checks.now(job.result))


def _result(check: PhotoCheck) -> None:
    in_use, as_said = check.in_use, check.as_is
    st.markdown(
        f"**Right about {as_said.right} of {as_said.photos} photos, {page_words.percent(as_said.accuracy)}** "
        f"({_span(as_said)}). {page_words.prose(words.calibrated_on(in_use and in_use.photos))}"
    )
    if check.is_small:
        st.info(
            f"Few photos: the interval says how little they tell. {FEW} photos, {SMALL} of each class, tell more.",
            icon=":material/info:",
        )
    grid = st.grid(4, min_column_width=150, gap="medium")
    for label, value, below, meaning in _tiles(check, as_said):
        grid.metric(label, value, delta=below, delta_color="off", delta_arrow="off", help=meaning)
    if check.calibrated is not None:
        st.caption(page_words.prose(f"Fitted to these photos against now: {check.gained}"))
    with st.container(horizontal=True, gap="small"):
        if check.calibrated is not None:
            st.button(
                "Calibrate on these photos",
                key="data.calibrate",
                icon=":material/tune:",
                on_click=photo_checks.calibrate,
                disabled=in_use is not None
                and in_use.source == photo_checks.SOURCE
                and in_use.photos == len(check.raw),
                help="Two numbers move the border between the classes to where it lies on these photos, and make the "
                "probabilities fit. Every photo is then judged by them, on Inspect and in the terminal; generated "
                "faces are not.",
            )
        if photo_checks.can_undo():
            st.button(
                "Take the calibration back",
                key="data.undo",
                icon=":material/undo:",
                on_click=photo_checks.undo,
                help="Photos are judged as before your last calibration.",
            )
    st.caption(page_words.prose(f"Column {check.column}: {check.meaning}."))
    st.dataframe(
        pd.DataFrame(
            [
                {
                    "Group": group.column or "class",
                    "": group.value,
                    "Photos": group.photos,
                    "Right": 100 * group.accuracy,
                    "95 % interval": f"{100 * group.interval[0]:.0f} to {100 * group.interval[1]:.0f}",
                    "Note": f"fewer than {SMALL}" if group.small else "",
                }
                for group in check.groups
            ]
        ),
        key="data.check.groups",
        hide_index=True,
        height="content",
        column_config={
            "Right": st.column_config.ProgressColumn("Right, %", format="%.0f", min_value=0, max_value=100),
            "95 % interval": st.column_config.TextColumn(help="In per cent; Wilson's interval over photos."),
        },
    )
    _wrong(check.wrong(), check.classes)
    if check.skipped:
        with st.expander(f"{page_words.count(len(check.skipped), 'photo')} left out"):
            st.dataframe(
                pd.DataFrame(check.skipped, columns=["Photo", "Why"]), hide_index=True, key="data.check.skipped"
            )


def _tiles(check: PhotoCheck, as_said: Figures) -> list[tuple[str, str, str, str]]:
    tiles = [
        (
            "AUC",
            "–" if as_said.auc is None else f"{as_said.auc:.3f}",
            "one class only" if as_said.auc_interval is None else "{:.3f} to {:.3f}".format(*as_said.auc_interval),
            "How often a photo of the second class gets a higher probability than one of the first: whether the order "
            "is right, wherever the border lies. 0.5 is chance.",
        ),
        (
            "Calibration error",
            f"{as_said.calibration_error:.3f}",
            "0 is honest",
            "Mean distance between how sure it is and how often it is right, over tenths of sureness. Few photos make "
            "it look larger.",
        ),
    ]
    if check.calibrated is not None:
        tiles.append(
            (
                "Fitted to these photos",
                page_words.percent(check.calibrated.accuracy),
                _span(check.calibrated),
                "How right it would be with two numbers fitted to these photos; each photo is judged by a fit that did "
                "not see it (cross-validation).",
            )
        )
        tiles.append(
            (
                "Its calibration error",
                f"{check.calibrated.calibration_error:.3f}",
                "cross-validated",
                "The same, of it.",
            )
        )
    return tiles


def _span(figures: Figures) -> str:
    low, high = figures.interval
    return f"{100 * low:.0f} to {page_words.percent(high, 0)}"


def _wrong(wrong: list[Wrong], classes: tuple[str, str]) -> None:
    """The photos it is wrong about, the surest first."""
    if not wrong:
        return
    st.markdown(f"**Decided otherwise than your file has it** ({len(wrong)}), the surest first")
    grid = st.grid(WRONG_SHOWN, min_column_width=110, gap="small")
    for each in wrong[:WRONG_SHOWN]:
        with grid.cell():
            try:
                picture = Image.fromarray(read_photo(photo_checks.photo_of(each.photo)))
                picture.thumbnail((256, 256))
                st.image(picture, width="stretch", alt=page_words.plain(each.photo))
            except Img2TabError:
                pass
            decided = int(each.probability > 0.5)
            sure = each.probability if decided else 1 - each.probability
            st.caption(
                f"{page_words.plain(each.photo)}  \n{page_words.plain(classes[decided])} {page_words.chance(sure)}"
            )

"""What the parts of the page share: names, what is ticked, work in the background, pictures that come later."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import streamlit as st
from PIL import Image

from dashboard.components import page_words, pictures, progress
from dashboard.state import address, visit
from dashboard.state import audits as audit_state
from img2tab_core.audits.carriers import Carried
from img2tab_core.audits.stand_ins import Family
from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.jobs import Job
from img2tab_core.base.records import Target

T = TypeVar("T")
TOP = 10  # concepts of the corner
MEMBERS = 4  # of a family, that are shown
CHARTS = {"displayModeBar": False}

Waiting = list[tuple[object, Callable[[], Image.Image], str]]  # a place, what draws its picture, what it shows


def name(index: int) -> str:
    """A concept's name or place, for Markdown."""
    return page_words.plain(name_text(index))


def name_text(index: int) -> str:
    """The same for a list, a table, a figure or the alternative text of a picture."""
    return page_words.concept_text(index, visit.layout(), visit.names())


def carried(about: Target) -> Carried | None:
    """How much every concept carries the attribute; while it is measured, the progress."""
    job = audit_state.carrying(about.name)
    if job.state == "failed":
        st.button(
            "Try again",
            key="gap.again",
            icon=":material/refresh:",
            on_click=audit_state.carry_again,
            args=(about.name,),
        )
    return result(job, key="gap-carried", waiting="Comparing the groups in every concept…", cancel=False)


def picked(listed: list[int]) -> int | None:
    """The concept the visitor looks at; until one was picked anywhere, the first of the corner."""
    looked_at = visit.concept()
    return looked_at if looked_at is not None else next(iter(listed), None)


def ticked() -> None:
    """How many are ticked, and where they are trained without."""
    count = len(visit.ticked())
    with st.container(border=True, horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.markdown(
            f"**{page_words.count(count, 'channel')} ticked** for the next training"
            if count
            else "Nothing is ticked yet.",
            width="content",
        )
        with st.container(horizontal=True, width="content", vertical_alignment="center"):
            if count:
                st.button(
                    "Clear all",
                    key="gap.clear",
                    type="tertiary",
                    icon=":material/clear_all:",
                    on_click=lambda: visit.tick(frozenset()),
                )
            to_training()


def only_after(sentence: str) -> None:
    """What must be done first, and where."""
    st.info(sentence, icon=":material/info:")
    to_training()


def to_training() -> None:
    st.page_link(
        "views/exclude.py",
        label="Go to Exclude and retrain",
        icon=":material/arrow_forward:",
        icon_position="right",
        query_params=address.view(),
    )


def idle(job: Job | None) -> bool:
    """Whether there is something to start: nothing goes on, and there is no answer."""
    return job is None or job.state not in ("running", "done")


def result(job: Job[T], *, key: str, waiting: str, cancel: bool = True) -> T | None:
    """What a job found; None while it runs, shown with its progress, and when it ended without an answer."""
    if job.state == "running":
        progress.watch(job, key=key, waiting=waiting, cancel=cancel)
        return None
    if job.state == "failed":
        if isinstance(job.error, Img2TabError):
            st.error(page_words.prose(job.error), icon=":material/error:")
        else:
            st.error(page_words.prose(f"It stopped: {type(job.error).__name__}: {job.error}"), icon=":material/error:")
    if job.state == "cancelled":
        st.info("It was cancelled; nothing was changed.", icon=":material/info:")
    return job.result


def later(waiting: Waiting, picture: Callable[[], Image.Image], shows: str, *, width: int, height: int = 128) -> None:
    """Hold the place, of this shape, of a picture that is drawn once everything else on the page is there."""
    place = st.empty()
    place.image(pictures.placeholder(width, height), width="stretch", alt="Being drawn")
    waiting.append((place, picture, shows))


def draw(waiting: Waiting) -> None:
    """Fill the pictures in, one after the other."""
    for place, picture, shows in waiting:
        place.image(picture(), width="stretch", alt=shows)


def concept_row(index: int) -> Image.Image:
    """A concept at -8 and at +8 standard deviations, and where the two differ."""
    low, high = visit.concept_picture(index)
    return pictures.side_by_side([low, high, pictures.change(low, high)])


def family_row(family: Family) -> Image.Image:
    """Where each of the first members changes the face; in a smaller family places stay empty."""
    shown = [pictures.change(*visit.concept_picture(index)) for index in family.members[:MEMBERS]]
    row = pictures.side_by_side(shown)
    whole = Image.new("RGBA", ((row.width + 4) * MEMBERS // len(shown) - 4, row.height), (0, 0, 0, 0))
    whole.paste(row, (0, 0))
    return whole

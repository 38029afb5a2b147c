"""The run every target begins with: opened or trained in the background, and what stands in its place meanwhile."""

from __future__ import annotations

import streamlit as st

from dashboard.components import page_words, progress
from dashboard.state import visit
from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.jobs import Job
from img2tab_core.classifiers.runs import Run

PATIENCE = 0.4  # seconds: a stored run is there at once, and a bar would only flash


def ready() -> bool:
    """Whether the target has its first run; while it is opened or trained, its progress stands in for the page."""
    job = visit.standing_job()
    job.wait(PATIENCE)
    if job.state == "done":
        return True
    if job.state == "running":
        with st.container(border=True):
            wait(job, key="standing")
        return False
    st.button("Try again", on_click=visit.retry_standing, icon=":material/refresh:")
    raise (
        job.error
        if isinstance(job.error, Img2TabError)
        else Img2TabError(f"The first classifier for {_title()} could not be trained: {job.error}")
    )


def wait(job: Job[Run], *, key: str) -> None:
    """What is waited for, and how far it is; the whole page runs again when it is there."""
    if job.text:
        st.markdown(f"**Training the first classifier for {page_words.plain(_title())}**")
        st.caption("This is done once per target and kept. The page opens when it is ready.")
    else:
        st.markdown(f"**Opening the classifier for {page_words.plain(_title())}**")
    progress.watch(job, key=key, waiting="One moment…")


def _title() -> str:
    return visit.target().title.lower()

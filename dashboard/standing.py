"""The run every target begins with: opened or trained in the background, and what stands in its place meanwhile."""

from __future__ import annotations

import streamlit as st

from dashboard import state
from dashboard.components import progress
from img2tab_core.errors import Img2TabError

PATIENCE = 0.4  # seconds: a stored run is there at once, and a bar would only flash


def ready() -> bool:
    """Whether the target has its first run; while it is opened or trained, its progress stands in for the page."""
    job = state.standing_job()
    job.wait(PATIENCE)
    if job.state == "done":
        return True
    title = state.target().title.lower()
    if job.state == "running":
        with st.container(border=True):
            if job.text:
                st.markdown(f"**Training the first classifier for {title}**")
                st.caption("This is done once per target and kept. The page opens when it is ready.")
            else:
                st.markdown(f"**Opening the classifier for {title}**")
            progress.watch(job, key="standing", waiting="One moment…")
        return False
    st.button("Try again", on_click=state.retry_standing, icon=":material/refresh:")
    raise (
        job.error
        if isinstance(job.error, Img2TabError)
        else Img2TabError(f"The first classifier for {title} could not be trained: {job.error}")
    )

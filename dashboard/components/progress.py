"""A background job as a person sees it: a bar, its words, and a button that stops it."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from dashboard.components import page_words
from img2tab_core.base.jobs import Job


def watch(
    job: Job,
    *,
    key: str,
    waiting: str,
    cancel: bool = False,
    label: str = "Cancel",
    help: str | None = None,
    meanwhile: Callable[[], None] | None = None,
) -> None:
    """Draw a running job's progress twice a second; when it has ended, run the whole page again.

    cancel: with a button that stops it, its label and what it says to who points at it. meanwhile: draws what is known
    already, above the bar.
    """

    @st.fragment(run_every=0.5, key=f"{key}-progress")
    def bar() -> None:
        if job.state != "running":
            st.rerun()
        if meanwhile is not None:
            meanwhile()
        st.progress(job.fraction, text="Stopping…" if job.stopping else page_words.prose(job.text or waiting))
        if cancel:
            st.button(
                label,
                key=f"{key}-cancel",
                on_click=job.cancel,
                disabled=job.stopping,
                icon=":material/close:",
                help=help,
            )

    bar()

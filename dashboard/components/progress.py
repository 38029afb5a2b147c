"""A background job as a person sees it: a bar, its words, and a button that stops it."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from dashboard.components import page_words
from img2tab_core.base import jobs
from img2tab_core.base.jobs import Job

ALONE = 6  # jobs that a visitor or two have at once
SELDOM = 3.0  # seconds between two looks at a job, where very many look


def pace(seconds: float) -> float:
    """How often a page looks whether a job has ended, seconds: so often, and less often where many visitors look.

    A look costs the server some ten milliseconds of Python. Twenty visitors who each look five times a second keep it
    from everything else, and nobody's page or picture leaves it any more.
    """
    return min(SELDOM, seconds * max(1.0, jobs.running() / ALONE))


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
    """Draw a running job's progress, twice a second for a few visitors; when it has ended, run the whole page again.

    cancel: with a button that stops it, its label and what it says to who points at it. meanwhile: draws what is known
    already, above the bar.
    """

    @st.fragment(run_every=pace(0.5), key=f"{key}-progress")
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

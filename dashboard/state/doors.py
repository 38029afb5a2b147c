"""The doors to the core, each opened once per process and shared by all visitors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from img2tab_core.base.jobs import Job, Line
from img2tab_core.base.later import later
from img2tab_core.studio import Studio

if TYPE_CHECKING:
    from img2tab_core.audits import auditor as auditing
    from img2tab_core.sessions import session_runs as sessions
else:  # what a page needs before it can be shown must come fast
    auditing, sessions = later("img2tab_core.audits.auditor", "img2tab_core.sessions.session_runs")


# what a single visitor asks for and keeps the cores busy waits in line, seconds of work not behind minutes of it
TRAININGS = Line("trainings")
MEASUREMENTS = Line("measurements")
ESTIMATES = Line("estimates", most=None)  # each visitor has one at most, begun by a page and not by a click


@st.cache_resource(show_spinner="Starting the studio…")
def studio() -> Studio:
    door = Studio()
    Job.start(lambda progress, cancelled: door.warm_up(), urgent=True)  # while the first page is still looked at
    return door


@st.cache_resource(show_spinner=False)
def photos_expected() -> Job[None]:
    """Begun when somebody is about to bring a photo."""
    door = studio()
    return Job.start(lambda progress, cancelled: door.warm_up_photos(), urgent=True)


@st.cache_resource(show_spinner=False)
def auditor() -> auditing.Auditor:
    return auditing.Auditor(studio())


@st.cache_resource(show_spinner="Opening the sessions…")
def session_runs() -> sessions.SessionRuns:
    return sessions.SessionRuns(auditor())

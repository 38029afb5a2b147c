"""The doors to the core, each opened once per process and shared by all visitors."""

from __future__ import annotations

import streamlit as st

from img2tab_core.auditing import Auditor
from img2tab_core.jobs import Job
from img2tab_core.service import Studio
from img2tab_core.session_runs import SessionRuns


@st.cache_resource(show_spinner="Starting the studio…")
def studio() -> Studio:
    door = Studio()
    Job.start(lambda progress, cancelled: door.warm_up())  # while the visitor still looks at the first page
    return door


@st.cache_resource(show_spinner=False)
def auditor() -> Auditor:
    return Auditor(studio())


@st.cache_resource(show_spinner="Opening the sessions…")
def session_runs() -> SessionRuns:
    return SessionRuns(auditor())

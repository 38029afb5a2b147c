"""What the ticked concepts would mean: a quick estimate in the background, always of the last ones that were ticked."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import streamlit as st

from dashboard.state import visit
from dashboard.state.doors import ESTIMATES, auditor
from img2tab_core.base.errors import Cancelled
from img2tab_core.base.jobs import Job
from img2tab_core.classifiers.runs import Run
from img2tab_core.classifiers.treatment import Treatment

if TYPE_CHECKING:
    from img2tab_core.audits.exclusion_estimate import ExclusionEstimate

ASKED = "exclude.estimate"  # in the session state: the estimate asked for last
PATIENCE = 0.4  # seconds without another tick before the computing begins

# run, what is excluded, what is erased, attributes, the table as it is now
Question = tuple[str, frozenset[int], Treatment, tuple[str, ...], str]


@dataclass
class Estimating:
    """One estimate on its way. early: the estimate without what takes longest, as soon as it is there."""

    question: Question
    early: list[ExclusionEstimate] = field(default_factory=list)
    job: Job[ExclusionEstimate] | None = None

    @property
    def known(self) -> ExclusionEstimate | None:
        """As much as is known by now."""
        if self.job is not None and self.job.result is not None:
            return self.job.result
        return self.early[-1] if self.early else None


def estimate(run: Run, sensitive: tuple[str, ...]) -> Estimating | None:
    """The estimate of what is ticked now, begun here where it is another than before; None where nothing is changed.

    The one before is told to stop and waited for, so that of many quick ticks only the last set is computed.
    """
    ticked, treatment = visit.ticked(), visit.treatment()
    if visit.unchanged(run):
        stop()
        return None
    key = visit.current_table().key_for(run.target, *sensitive)
    question = (run.id, ticked, treatment, sensitive, key)
    asked: Estimating | None = st.session_state.get(ASKED)
    if asked is not None and asked.question == question and asked.job is not None and asked.job.state != "cancelled":
        return asked
    former = stop()
    now, door = Estimating(question), auditor()

    def work(progress, cancelled) -> ExclusionEstimate:
        began = time.monotonic()
        while time.monotonic() - began < PATIENCE or (former is not None and former.state == "running"):
            if cancelled():
                raise Cancelled("Something else was ticked.")
            time.sleep(0.02)
        return door.estimate(
            run,
            ticked,
            sensitive,
            treatment=treatment,
            on_first=now.early.append,
            progress=progress,
            cancelled=cancelled,
        )

    now.job = Job.start(ESTIMATES.in_turn(work))
    st.session_state[ASKED] = now
    return now


def stop() -> Job[ExclusionEstimate] | None:
    """Let go of the estimate asked for last; its job, which may take a moment to stop."""
    asked: Estimating | None = st.session_state.pop(ASKED, None)
    if asked is None or asked.job is None:
        return None
    asked.job.cancel()
    return asked.job

"""Groups that a table does not know, as the default table's classifiers perceive them: the work that measures a gap."""

from __future__ import annotations

import streamlit as st

from dashboard.state import visit
from dashboard.state.doors import MEASUREMENTS, auditor, studio
from img2tab_core.audits.matrix import short_title
from img2tab_core.audits.uncertain_groups import UncertainGap, counted
from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.jobs import Job
from img2tab_core.base.records import StyleTable, Target
from img2tab_core.classifiers.runs import Run

OF = "default"  # the table whose classifiers perceive


def readers() -> tuple[Target, ...]:
    """What can be perceived on the visit's table: the default table's labels that it lacks, none where that table is
    not built, or of another backbone."""
    here = visit.current_table()
    other = _default()
    if other is None or here.name == OF or (here.backbone, here.layout) != (other.backbone, other.layout):
        return ()
    known = {each.name for each in (*here.targets, *here.many)}
    return tuple(each for each in other.targets if each.name not in known and each.name not in other.answered)


def measuring(run: Run, by: str, right: str) -> Job[UncertainGap] | None:
    """The visitor's job that measures the gap; None before it was started."""
    return st.session_state.get("visit.perceived", {}).get((run.id, by, right))


def measure(run: Run, by: str, right: str) -> None:
    """Begin it: the classifier that perceives is trained first where it is not kept."""
    other, door = _default(), auditor()

    def work(progress, cancelled) -> UncertainGap:
        if other is None:
            raise Img2TabError("The default table is not built. Run `img2tab tables build default`.")
        about = next(each for each in other.targets if each.name == by)
        error = counted(right, f"The classifier of {short_title(about)}") if right else None
        reader = door.studio.trainer.run(other, by, progress=progress, cancelled=cancelled)
        return door.perceived_gap(run, reader, error=error)

    with visit.noticing():
        job = Job.start(MEASUREMENTS.in_turn(work))
        job.wait(0.4)  # where the classifier is open already: no progress bar that only flashes
        st.session_state["visit.perceived"] = {**st.session_state.get("visit.perceived", {}), (run.id, by, right): job}


def _default() -> StyleTable | None:
    try:
        return studio().table(OF)
    except Img2TabError:
        return None

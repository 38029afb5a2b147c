"""What a visitor audits: groups and gaps, what a gap is made of, and the work in the background that answers it."""

from __future__ import annotations

from operator import attrgetter

import streamlit as st

from dashboard import state
from dashboard.doors import auditor
from img2tab_core.fairness import STANDARD, Audit, Change, ThresholdCost
from img2tab_core.jobs import Job
from img2tab_core.proxies import Suggestion
from img2tab_core.service import Run

_KEYS = {Run: attrgetter("id")}

Thresholds = tuple[tuple[str, float], ...]  # of each group; () is 0.5 for all


def suggest(sensitive: str) -> None:
    """Tick what carries an attribute; the rule that chose is shown until something else is suggested."""
    found = _suggestion(state.current_table().key, state.table_name(), state.target().name, sensitive)
    state.set_of_target("visit.suggested", found)
    state.tick(state.ticked() | frozenset(found.excluded))


def suggested() -> Suggestion | None:
    """What was suggested last for this table and target."""
    return state.of_target("visit.suggested", None)


@st.cache_data(show_spinner="Comparing the groups in every concept…", max_entries=32)
def _suggestion(table_key: str, table_name: str, target_name: str, sensitive: str) -> Suggestion:
    return auditor().suggest(state.table(table_name), target_name, sensitive)


@st.cache_data(show_spinner="Auditing…", max_entries=64, hash_funcs=_KEYS)
def audit(run: Run, sensitive: tuple[str, ...], thresholds: Thresholds = ()) -> Audit:
    return auditor().audit(run, sensitive, thresholds=dict(thresholds) or STANDARD)


@st.cache_data(show_spinner=False, max_entries=64, hash_funcs=_KEYS)
def threshold_cost(run: Run, sensitive: tuple[str, ...], thresholds: Thresholds = ()) -> ThresholdCost:
    return auditor().threshold_cost(run, sensitive, dict(thresholds) or STANDARD)


def repeating(before: Run, after: Run, sensitive: tuple[str, ...]) -> Job[dict[str, Change]] | None:
    """The visitor's job that trains two runs anew with several seeds; None before it was started."""
    return st.session_state.get("visit.repeating", {}).get((before.id, after.id, sensitive))


def repeat(before: Run, after: Run, sensitive: tuple[str, ...], seeds: int) -> None:
    """Train two runs anew with several seeds, in the background."""
    job = repeating(before, after, sensitive)
    if job is not None and job.state in ("running", "done"):
        return
    door = auditor()
    job = Job.start(lambda progress, cancelled: door.repeated(
        before, after, sensitive, seeds=seeds, progress=progress, cancelled=cancelled))
    st.session_state["visit.repeating"] = {
        **st.session_state.get("visit.repeating", {}), (before.id, after.id, sensitive): job}

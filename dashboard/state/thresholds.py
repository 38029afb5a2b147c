"""The thresholds that a visitor tries on a run, set by hand or found; for each choice of groups their own."""

from __future__ import annotations

import streamlit as st

from dashboard.state import visit
from dashboard.state.doors import auditor
from img2tab_core.audits.groups import STANDARD
from img2tab_core.audits.threshold_search import ThresholdSearch
from img2tab_core.classifiers.runs import Run


def chosen(run: Run, sensitive: tuple[str, ...], each: bool, names: tuple[str, ...]) -> dict[str, float]:
    """Group name -> its threshold; each: whether every group has its own."""
    kept = st.session_state.get("visit.thresholds", {}).get((run.id, sensitive, each), {})
    return {name: kept.get(name, STANDARD) for name in names}


def choose(run: Run, sensitive: tuple[str, ...], each: bool, thresholds: dict[str, float]) -> None:
    """Set them; what was found is let go, since it is no longer what is shown."""
    _keep("visit.thresholds", run, sensitive, each, thresholds)
    _keep("visit.thresholds_found", run, sensitive, each, None)


def find(run: Run, sensitive: tuple[str, ...], each: bool, gap: str, most_lost: float) -> None:
    """Find the thresholds that bring a gap closest and set them; a reason why there are none becomes a notice."""
    with visit.noticing():
        search = auditor().find_thresholds(run, sensitive, gap=gap, each=each, most_lost=most_lost)
        _keep("visit.thresholds", run, sensitive, each, search.thresholds)
        _keep("visit.thresholds_found", run, sensitive, each, search)


def found(run: Run, sensitive: tuple[str, ...], each: bool) -> ThresholdSearch | None:
    """What was found, while its thresholds are the chosen ones."""
    return st.session_state.get("visit.thresholds_found", {}).get((run.id, sensitive, each))


def _keep(kind: str, run: Run, sensitive: tuple[str, ...], each: bool, value: object) -> None:
    st.session_state[kind] = {**st.session_state.get(kind, {}), (run.id, sensitive, each): value}

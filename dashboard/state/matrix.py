"""The audit matrix of the chosen table: one job for every visitor, its rows as they come, the pair that is chosen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from dashboard.state import attributes as attribute_state
from dashboard.state import session as session_state
from dashboard.state import visit
from dashboard.state.doors import auditor
from img2tab_core.base.jobs import Job

if TYPE_CHECKING:
    from img2tab_core.audits.matrix import Matrix


def is_there() -> bool:
    """Whether the chosen table has two labels or more, so that one can form the groups of another."""
    table = visit.current_table()
    return len(table.targets) - len(table.answered) > 1


def measuring() -> Job[Matrix]:
    """The job that measures the matrix of the chosen table, begun where nobody did; the same one for every visitor.

    By itself it measures the targets whose run is kept; those that must be trained first take minutes, and are asked
    for.
    """
    return _measuring(*_which())


def train() -> None:
    """Train the targets that have no run yet, and measure them too."""
    st.session_state["visit.matrix_trains"] = visit.current_table().key


def go_on() -> None:
    """Begin again where it was stopped, or what failed."""
    _measuring.clear(*_which())


def _which() -> tuple[str, str, bool]:
    table = visit.current_table()
    return table.key, visit.table_name(), st.session_state.get("visit.matrix_trains") == table.key


def so_far() -> Matrix:
    """The whole matrix, or the rows that are measured."""
    whole = measuring().result
    return auditor().matrix_so_far(visit.current_table()) if whole is None else whole


@st.cache_resource(show_spinner=False, max_entries=8, on_release=lambda job: job.cancel())
def _measuring(table_key: str, table_name: str, train: bool) -> Job[Matrix]:
    door, whole = auditor(), visit.table(table_name)
    job = Job.start(lambda progress, cancelled: door.matrix(whole, train=train, progress=progress, cancelled=cancelled))
    job.wait(0.4)  # where it is kept already: no progress bar that only flashes
    return job


def chosen() -> tuple[str, str] | None:
    """The target and the attribute that the visitor looks at; None where two attributes are crossed, or none."""
    attributes = attribute_state.attributes()
    return (visit.target().name, attributes[0]) if len(attributes) == 1 else None


def choose(target: str, attribute: str) -> None:
    """Look at a pair; in a session, whose target is one and stays, only at pairs of that."""
    if not may_choose(target):
        visit.notice(
            f"The open session is about {visit.target().title}. Close it to look at another target, or choose a pair "
            "in the row of that one."
        )
        return
    visit.choose_target(target)  # first: attributes are kept by target
    attribute_state.choose_attributes([attribute])


def may_choose(target: str) -> bool:
    """Whether pairs of this target can be looked at."""
    return session_state.opened() is None or target == visit.target().name

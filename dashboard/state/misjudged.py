"""Test faces that the active run misjudges: which, why, and one of them as the face that Inspect looks at."""

from __future__ import annotations

from operator import attrgetter

import numpy as np
import streamlit as st

from dashboard.state import faces as face_state
from dashboard.state import visit
from dashboard.state.doors import auditor
from img2tab_core.audits.misjudged import Misjudged
from img2tab_core.base.records import Face, StyleCode
from img2tab_core.classifiers.runs import Run

MOST = 12
SIDE = 128  # px of a face in the list


@st.cache_data(show_spinner="Looking for misjudged faces…", max_entries=64, hash_funcs={Run: attrgetter("id")})
def misjudged(run: Run, sensitive: tuple[str, ...], group: str, label: int) -> Misjudged:
    """The surest mistakes about the test faces of one group that are labelled 0 or 1."""
    return auditor().misjudged(run, sensitive, group, label, most=MOST)


def picture(run: Run, row: int) -> np.ndarray:
    """A face of the run's table, drawn from its style code: uint8 (SIDE, SIDE, 3)."""
    return visit.render(run, _code(run, row), size=SIDE)


def inspect(run: Run, row: int, labelled: str) -> None:
    """Make a face of the run's table the face of the visit, drawn like a sample and judged by its own style code."""
    code = _code(run, row)
    face = Face.of(visit.render(run, code))
    st.session_state["visit.table_codes"] = {
        **st.session_state.get("visit.table_codes", {}),
        visit.read_of(face.key): code,
    }
    face_state.look_at(f"Test face {row:,}, labelled {labelled}", face)


def _code(run: Run, row: int) -> StyleCode:
    table = visit.table(run.table)
    return StyleCode.of(table.psi[row], table.backbone)

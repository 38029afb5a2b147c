"""What erasing does to a face: drawn in the background, once for all who erase the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from dashboard.state import visit
from dashboard.state.doors import studio
from img2tab_core.base.jobs import Job
from img2tab_core.base.records import StyleCode
from img2tab_core.concepts import erasing

if TYPE_CHECKING:
    import numpy as np

SIZE = 256  # px
Pair = tuple["np.ndarray", "np.ndarray"]  # before and after, uint8 (S, S, 3)


def pictures(names: tuple[str, ...]) -> Job[tuple[Pair, Pair]]:
    """A typical face of each group, before and after these are erased; begun anew where it failed."""
    place = (visit.current_table().key_for(visit.target().name), visit.table_name(), visit.target().name, names)
    job = _pictures(*place)
    if job.state in ("failed", "cancelled"):
        _pictures.clear(*place)
    return job


@st.cache_resource(show_spinner=False, max_entries=32)
def _pictures(key: str, table_name: str, target: str, names: tuple[str, ...]) -> Job[tuple[Pair, Pair]]:
    door, table = studio(), visit.table(table_name)

    def work(progress, cancelled) -> tuple[Pair, Pair]:
        progress(0.0, "Measuring what is erased")
        erasure = door.trainer.erasure(table, target, names)
        progress(0.7, "Drawing a face before and after")
        rows = list(erasing.typical_rows(erasure, table))
        codes = table.psi[rows]

        def drawn(values: np.ndarray) -> np.ndarray:
            return door.render(StyleCode.of(values, table.backbone), size=SIZE)

        first, second = (
            (drawn(before), drawn(after)) for before, after in zip(codes, erasure.erased(codes), strict=True)
        )
        return first, second

    return Job.start(work, urgent=True)

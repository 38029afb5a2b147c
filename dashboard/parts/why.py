"""Why a decision fell as it did: what each concept pushed, and behind one more click the channels of the chosen one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import plotly.graph_objects as go
import streamlit as st

from dashboard.charts import classifiers as classifier_charts
from dashboard.charts import concepts as concept_charts
from dashboard.components import clicks, page_words, pictures
from dashboard.state import private, visit
from img2tab_core.base.records import Face, Prediction, StyleCode, Target
from img2tab_core.classifiers.runs import Run
from img2tab_core.concepts.description import Description, Part, channels_of, leading


def channels(
    run: Run, target: Target, code: StyleCode, before: Prediction, picked: visit.Concept, name_of: Callable
) -> None:
    index = picked if isinstance(picked, int) else None
    key = f"inspect.bars.{run.id}.{code.key[:12]}.{picked}"
    st.plotly_chart(
        classifier_charts.contribution_bars(before, name_of, target.classes, picked=index),
        alt="How far each channel pushed this decision, as bars.",
        key=key,
        on_select=lambda: _choose_bar(key),
        selection_mode="points",
        config={"displayModeBar": False},
    )
    st.caption(
        "Each bar is how far one channel pushed this decision, in log-odds; all pushes and a fixed starting point "
        "add up to the probability above. Click a bar to move its channel."
    )


def families(
    run: Run,
    target: Target,
    face: Face,
    code: StyleCode,
    before: Prediction,
    described: Description,
    parts: list[Part],
    rest: float,
    picked: visit.Concept,
    name_of: Callable,
) -> None:
    """A bar for each family, and behind one more click the channels of the chosen one."""
    number = next((n for n, family in enumerate(described.families) if family.id == picked), None)
    key = f"inspect.families.{run.id}.{code.key[:12]}.{picked}"
    st.plotly_chart(
        _family_figure(
            (run.id, face.key, code.key, described.key, number),
            lambda: concept_charts.family_bars(
                parts,
                rest,
                described,
                target.classes,
                picked=number,
                thumbnails={
                    part.number: pictures.thumbnail(face.pixels, described.families[part.number].map)
                    for part in leading(parts, rest)[0]
                },
            ),
        ),
        alt="How far each concept pushed this decision, as bars.",
        key=key,
        on_select=lambda: _choose_family_bar(key, described),
        selection_mode="points",
        config={"displayModeBar": False},
    )
    if run.own:
        st.caption(
            "Measured: what the answer about the reconstruction loses, in log-odds, when this concept alone is set to "
            "the average face's, drawn, and the classifier asked. Click a bar to move its concept."
        )
        return
    st.caption(
        "How far each concept pushed this decision, in log-odds; the bars and a fixed starting point add up to the "
        "probability. Pale: by channels that do not draw it but go with it. Click a bar to move its concept."
    )
    if number is None:
        return
    family = described.families[number]
    mine = sorted(channels_of(described, [number], stand_ins=True))
    alone = np.zeros_like(before.contributions)
    alone[mine] = before.contributions[mine]
    more = st.expander(
        f"{page_words.count(len(family.channels), 'channel')} of {page_words.plain(family.name)}, and "
        f"{page_words.count(len(mine) - len(family.channels), 'channel')} that go with it",
        key="inspect.channels",
        on_change="rerun",
    )
    if not more.open:  # another chart costs a tenth of a second at every click
        return
    with more:
        st.caption(page_words.prose(page_words.sentence(family.sentence)))
        channels(run, target, code, replace(before, contributions=alone), picked, name_of)


@private.by_face(st.cache_resource, show_spinner=False, max_entries=64)
def _family_figure(what: tuple, _make: Callable[[], go.Figure]) -> go.Figure:
    """The bars of one decision, drawn once."""
    return _make()


def _choose_family_bar(key: str, described: Description) -> None:
    number = clicks.clicked(key)
    if number is not None and number != concept_charts.ELSE:
        visit.choose_concept(described.families[number].id)


def _choose_bar(key: str) -> None:
    if (index := clicks.clicked(key)) is not None:
        visit.choose_concept(index)

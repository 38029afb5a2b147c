"""Which concepts differ between the groups and are used: the corner of a map, each with its picture and a check box."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from dashboard.charts import concepts as concept_charts
from dashboard.components import clicks, page_words
from dashboard.parts import families, ticking
from dashboard.parts.gap import shared
from dashboard.state import audits as audit_state
from dashboard.state import visit
from img2tab_core.base.records import Target
from img2tab_core.base.words import listed
from img2tab_core.classifiers.runs import Run
from img2tab_core.concepts.description import Description

if TYPE_CHECKING:
    from img2tab_core.concepts.ranking import RankedFamily

SHOWN = 6


def show(run: Run, target: Target, about: Target, described: Description) -> None:
    """The answer in a sentence, the map, and the concepts deepest in its corner."""
    ranked = visit.families(run)
    apart = audit_state.concept_differences(about.name)
    corner = _corner(ranked, apart)
    if corner:
        named = page_words.plain(listed([row.family.name for row in corner[:3]]))
        st.markdown(
            f"**{named}** differ between {' and '.join(map(page_words.plain, about.classes))} among faces of the same "
            "class, and the classifier uses them."
        )
    else:
        st.info("No concept both differs between the groups and is used.", icon=":material/check:")
    key = f"gap.map.{run.id}.{about.name}"
    st.plotly_chart(
        concept_charts.family_map(
            ranked,
            [abs(apart[row.number]) for row in ranked],
            title=f"{page_words.sentence(about.title)}: groups apart, SD",
            picked=visit.chosen_family(),
        ),
        alt="How far each concept differs between the groups, and what the classifier does with it.",
        key=key,
        on_select=lambda: _choose(key, described),
        selection_mode="points",
        config=shared.CHARTS,
    )
    st.caption(
        "Each dot is a concept. Right: differs between the groups among faces of the same class. Up: used by the "
        "classifier, with the channels that go with it. Click one to look at it first."
    )
    chosen = visit.chosen_family()
    first = [row for row in ranked if row.family.id == chosen]
    grid = st.grid(3, min_column_width=220, gap="small")
    for row in [*first, *(row for row in corner if row.family.id != chosen)][:SHOWN]:
        with grid.cell(), st.container(border=True, gap="xsmall", height="stretch"):
            _card(row, target, about, described, float(apart[row.number]))


def _corner(ranked: tuple[RankedFamily, ...], apart: np.ndarray) -> list[RankedFamily]:
    """Those that are used, by the lower of two places: how far the groups differ, and how much it is used."""
    used = [row for row in ranked if row.importance + row.by_stand_ins > 0]
    by_apart = {row.number: n for n, row in enumerate(sorted(used, key=lambda row: -abs(apart[row.number])))}
    by_use = {row.number: n for n, row in enumerate(sorted(used, key=lambda row: -(row.importance + row.by_stand_ins)))}
    return sorted(used, key=lambda row: (max(by_apart[row.number], by_use[row.number]), by_apart[row.number]))


def _card(row: RankedFamily, target: Target, about: Target, described: Description, apart: float) -> None:
    families.picture(described, row)
    members = frozenset(row.family.channels.tolist()) | frozenset(row.stand_ins.tolist())
    ticking.box(
        page_words.plain(row.family.name),
        members,
        key=f"gap.family.{row.family.id}",
        help=f"{families.about(row)} A tick excludes {page_words.count(len(members), 'channel')}: those that draw it "
        "and those that go with it.",
    )
    families.facts(row, target.title.lower())
    higher = page_words.plain(about.classes[int(apart > 0)])
    st.caption(f"Groups {abs(apart):.2f} SD apart; more on faces labelled {higher}.")


def _choose(key: str, described: Description) -> None:
    if (number := clicks.clicked(key)) is not None:
        visit.choose_concept(described.families[number].id)

"""Families of concepts as cards: the picture, the name, and in words whether moving one moves the classifier."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from dashboard.charts import classifiers as classifier_charts
from dashboard.components import page_words, pictures
from dashboard.state import address, visit
from img2tab_core.base.records import ConceptScores
from img2tab_core.classifiers.runs import Run
from img2tab_core.concepts.description import Description

if TYPE_CHECKING:
    from img2tab_core.concepts.ranking import RankedFamily

COLOURS = {"moves it": "green", "goes with it": "orange", "not seen": "gray"}
MEANING = (
    "Moves it: the concept was moved down and up on other faces, drawn, read again by the encoder, and the answer of "
    "the classifier changed beyond chance (false discoveries controlled over all concepts). Goes with it: it differs "
    "between the classes, and moving it alone changes nothing. Not seen: neither."
)


CONCEPTS, CHANNELS = "Concepts", "Channels"
PER_PAGE = 12


def shown(label: str, key: str) -> str:
    """A switch: `CONCEPTS` or `CHANNELS`; which of them a page shows, concepts at first."""
    value, handed = address.choice(key, address.among((CONCEPTS, CHANNELS)), CONCEPTS)
    st.segmented_control(
        label, [CONCEPTS, CHANNELS], default=value, required=True, label_visibility="collapsed", **handed
    )
    return value


def picture(described: Description, row: RankedFamily) -> None:
    """Three faces with the family at −8, as they are, and at +8: as it comes with the description, else drawn."""
    family = row.family
    kept = described.sheet(family.id)
    image = kept if kept is not None else pictures.sheet(visit.contact_sheet(family.id))
    st.image(image, width="stretch", alt=f"{family.name}: three faces at −8, as they are, and at +8")


def facts(row: RankedFamily, target: str) -> None:
    """The verdict as a badge, and the three numbers in one line."""
    effect = "" if row.effect is None else f"effect {row.effect.text()} · "
    used = f"used {page_words.percent(row.importance, 0)}"
    if row.by_stand_ins >= 0.005:
        used += f" + {page_words.percent(row.by_stand_ins, 0)}"
    st.badge(page_words.sentence(row.verdict), color=COLOURS[row.verdict], help=MEANING)
    st.caption(
        page_words.sentence(f"{effect}{used} · {row.distance:.1f} SD apart"),
        help=f"Effect on {page_words.plain(target)}: change of the log-odds when it is moved from −8 to +8, drawn and "
        "read again, with its 95 % interval over faces. Used: share of what the classifier uses, by the channels that "
        f"draw it + by those that only go with it. {page_words.DISTANCE}",
    )


def brief(row: RankedFamily) -> None:
    """The verdict and what the classifier uses, in one line that is as high for every family."""
    with st.container(horizontal=True, gap="xsmall", vertical_alignment="center"):
        st.badge(page_words.sentence(row.verdict), color=COLOURS[row.verdict], help=MEANING)
        st.caption(
            page_words.percent(row.importance + row.by_stand_ins, 0),
            width="content",
            help="Share of what the classifier uses, by the channels that draw it and those that go with it.",
        )


def took_over(before: Run, run: Run, *, key: str) -> None:
    """Which concepts' share of the importance grew from one run to another; channels where none are described."""
    described, was, now = visit.description(), visit.scores(before), visit.scores(run)
    layout, names = visit.layout(), visit.names()

    def name_of(index: int) -> str:
        if described is None:
            return page_words.concept_text(index, layout, names)
        return described.families[index].name

    if described is not None:
        was, now = _of_families(described, was), _of_families(described, now)
    if not classifier_charts.gains(was, now, 1):
        st.caption("No concept gained importance.")
        return
    st.plotly_chart(
        classifier_charts.took_over(was, now, name_of),
        alt="The concepts whose importance changed most between the two runs, before and after.",
        key=key,
        config={"displayModeBar": False},
    )
    st.caption(
        "The concepts whose share of what the classifier uses grew most from before to after"
        + (", with the channels that go with them." if described is not None else ".")
    )


def _of_families(described: Description, scores: ConceptScores) -> ConceptScores:
    """Importance added up by family; distances do not add up."""
    importance = described.by_family(scores.importance)[:-1]
    none = np.zeros(len(importance))
    return ConceptScores(none, none, importance)


def about(row: RankedFamily) -> str:
    """What was measured, and how well the name fits, for a tooltip."""
    return page_words.prose(f"{page_words.sentence(row.family.sentence)} The name is {row.family.trust}.")

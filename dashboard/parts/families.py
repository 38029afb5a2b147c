"""Families of concepts as cards: the picture, the name, and in words whether moving one moves the classifier."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from dashboard.components import page_words, pictures
from dashboard.state import visit
from img2tab_core.concepts.description import Description

if TYPE_CHECKING:
    from img2tab_core.concepts.ranking import RankedFamily

COLOURS = {"moves it": "green", "goes with it": "orange", "not seen": "gray"}
MEANING = (
    "Moves it: the concept was moved down and up on other faces, drawn, read again by the encoder, and the answer of "
    "the classifier changed beyond chance (false discoveries controlled over all concepts). Goes with it: it differs "
    "between the classes, and moving it alone changes nothing. Not seen: neither."
)
TRUST = {
    "clear": "moving it changes the named measure almost as far as anything does",
    "likely": "moving it changes the named measure, others do so more",
    "unsure": "the named measure moves beyond chance, but little",
}


def picture(described: Description, row: RankedFamily, place: st.delta_generator.DeltaGenerator | None = None) -> None:
    """Three faces with the family at −8, as they are, and at +8: as it comes with the description, else drawn."""
    family, where = row.family, place or st
    kept = described.sheet(family.id)
    image = kept if kept is not None else pictures.sheet(visit.contact_sheet(family.id))
    where.image(image, width="stretch", alt=f"{family.name}: three faces at −8, as they are, and at +8")


def facts(row: RankedFamily, target: str) -> None:
    """The verdict as a badge, and the three numbers in one line."""
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        st.badge(page_words.sentence(row.verdict), color=COLOURS[row.verdict], help=MEANING)
        st.caption(f"name {row.family.trust}", help=page_words.sentence(TRUST[row.family.trust]) + ".")
    effect = "" if row.effect is None else f"Effect {row.effect.text()} log-odds  \n"
    st.caption(
        f"{effect}Used {page_words.percent(row.importance)} + {page_words.percent(row.by_stand_ins)} by stand-ins · "
        f"distance {row.distance:.2f} SD",
        help=f"Effect on {page_words.plain(target)}: change of the log-odds when it is moved from −8 to +8, drawn and "
        "read again, with its 95 % interval over faces. Used: share of what the classifier uses, by the channels that "
        f"draw it and by those that go with it. {page_words.DISTANCE}",
    )

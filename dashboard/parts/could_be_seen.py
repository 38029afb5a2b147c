"""What gaps the test faces could show at all, so that no gap found is not taken for no gap there."""

from __future__ import annotations

import streamlit as st

from dashboard.components import page_words
from dashboard.state import audits as audit_state
from img2tab_core.audits.power import ASSUMED, sentence_of
from img2tab_core.base.records import Target

SHOWN = 6


def show(target: Target, sensitive: tuple[str, ...]) -> None:
    """A line for the pair of groups that shows least, and every pair below it."""
    pairs = audit_state.seeable(target.name, sensitive)
    if not pairs:
        return
    with st.expander(page_words.plain(_title(pairs)), icon=":material/groups:"):
        for pair in pairs[:SHOWN]:
            st.markdown(page_words.plain(sentence_of(pair, target.classes, assumed=pair.rate == ASSUMED)))
        if len(pairs) > SHOWN:
            st.caption(f"and {len(pairs) - SHOWN} pairs of groups that show more.")
        st.caption(
            "A two-sided test at 5\N{NO-BREAK SPACE}%. A smaller gap may be there and not be seen: more faces are what "
            "helps."
        )


def _title(pairs) -> str:
    few = sum(pair.too_few for pair in pairs)
    if few == len(pairs):
        return "Too few faces to see any gap"
    widest = max(pair.smallest for pair in pairs if pair.smallest is not None)
    text = f"With these faces gaps from {100 * widest:.1f} points can be seen"
    return f"{text}; {page_words.count(few, 'pair')} of groups have too few" if few else text

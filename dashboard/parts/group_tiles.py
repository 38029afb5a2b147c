"""Differences between groups as tiles: the group that is worse off, by how many points, and between which bounds."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from dashboard.components import page_words
from img2tab_core.audits.group_differences import GroupDifference, rate_meaning, tile_detail, tile_title, tile_value

_STYLE = """
<style>
[class*="st-key-group-tile-"] strong { font-size: 1.15rem; font-weight: 600; line-height: 1.3; }
[class*="st-key-audit-answer"] p { font-size: 1.2rem; line-height: 1.45; }
</style>
"""


def answer(sentence: str, *, key: str) -> None:
    """The sentence of an audit, larger than what follows."""
    st.html(_STYLE)
    with st.container(key=f"audit-answer-{key}"):
        st.markdown(page_words.plain(sentence))


def show(differences: Sequence[GroupDifference], classes: tuple[str, str], *, key: str, across: int = 2) -> None:
    """A tile for each difference."""
    st.html(_STYLE)
    grid = st.grid(across, min_column_width=190, gap="small")
    for difference in differences:
        with grid.cell(), st.container(border=True, gap="xxsmall", height="stretch"):
            st.caption(
                page_words.plain(tile_title(difference.rate, classes)),
                help=page_words.plain(rate_meaning(difference.rate, classes)),
            )
            with st.container(key=f"group-tile-{key}-{difference.rate}"):
                st.markdown(f"**{page_words.plain(tile_value(difference))}**")
            st.caption(page_words.plain(tile_detail(difference, classes)))

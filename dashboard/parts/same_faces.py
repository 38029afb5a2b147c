"""Two runs on the same test faces: which faces each decides rightly, and how far the gaps differ; with chance told."""

from __future__ import annotations

import streamlit as st

from dashboard.components import page_words
from dashboard.state import audits as audit_state
from img2tab_core.audits.paired import OF_FACES, Difference
from img2tab_core.classifiers.runs import Run

TITLES = {
    "accuracy": "Accuracy",
    "demographic_parity": "Selection rate",
    "equalised_odds": "Equalised odds",
    "equal_opportunity": "Equal opportunity",
    "worst_accuracy": "Worst group",
    "accuracy_gap": "Accuracy gap",
}
MEANING = (
    "Below it the 95\N{NO-BREAK SPACE}% interval of a paired bootstrap: both runs on the same resampled faces. Where "
    "it leaves out 0, other faces would hardly turn the difference around."
)


def show(before: Run, after: Run, sensitive: tuple[str, ...]) -> None:
    """The faces lost and gained, in a sentence, and the difference of accuracy and of every gap with its interval."""
    compared = audit_state.compared(before, after, sensitive)
    st.markdown(page_words.prose(compared.sentence))
    grid = st.grid(3, min_column_width=150, gap="medium")
    for name, difference in (("accuracy", compared.accuracy), *compared.gaps.items()):
        grid.metric(
            TITLES[name],
            "not measurable" if difference is None else page_words.points(difference.value),
            delta=None if difference is None else interval(difference),
            delta_color="off",
            delta_arrow="off",
            help=f"After minus before. {MEANING}",
        )
    st.caption(
        "After minus before, on the same test faces. Lost: decided rightly before and wrongly after; gained: the other "
        "way round. Gaps are of the faces whose group is known. "
        + page_words.prose(page_words.sentence(OF_FACES))
        + "."
    )


def interval(difference: Difference) -> str:
    """Of a share, in points: "−19.1 to −15.0"."""
    return f"{page_words.signed(100 * difference.low)} to {page_words.signed(100 * difference.high)}"

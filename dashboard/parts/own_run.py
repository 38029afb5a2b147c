"""What a page says where the active run is a classifier of somebody's own, or a target is what such a one answers."""

from __future__ import annotations

import streamlit as st

from dashboard.components import page_words
from dashboard.state import visit
from img2tab_core.base.records import Target
from img2tab_core.classifiers.runs import Run


def about_answers(run: Run, target: Target) -> bool:
    """Whether a classifier is audited against its own answers, and what then says anything, said above the audit."""
    if target.name not in visit.current_table().answered:
        return False
    if not run.own:
        about_agreement(target)
        return False
    judged = visit.judged_by(target.name)
    held = (
        f"Once it was asked about every test face it stands among the runs of *{page_words.plain(judged.title)}* too, "
        "held against those labels."
        if judged is not None
        else "To hold it against labels, add it with the target that it judges."
    )
    st.info(
        "The labels here are this classifier's own answers, so it is always right; what says something is how often "
        f"each group gets which answer, the selection rate. {held}",
        icon=":material/psychology_alt:",
    )
    return True


def about_agreement(target: Target) -> None:
    """That what is called accuracy is agreement, where the labels are a classifier's answers."""
    if target.name in visit.current_table().answered:
        st.info(
            "The labels here are the answers of your classifier: accuracy is how often each kind says the same.",
            icon=":material/psychology_alt:",
        )


def about_training(run: Run) -> None:
    """That a classifier of somebody's own is not trained here, and what comes nearest, its fidelity first."""
    if not run.own:
        return
    known = visit.fidelity(run)
    st.info(
        "Your classifier cannot be trained here, and nothing can be excluded from it. What you train is a concept "
        f"classifier on its answers. {page_words.prose(known)}",
        icon=":material/psychology_alt:",
    )

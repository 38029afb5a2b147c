"""Is it real? A change of gap and accuracy over several seeds, in plain sentences; the same on every page that asks."""

from __future__ import annotations

import streamlit as st

from dashboard.charts import audits as audit_charts
from dashboard.components import page_words, progress
from dashboard.state import audits as audit_state
from dashboard.state import session as session_state
from img2tab_core.audits.changes import Change
from img2tab_core.classifiers.runs import Run

SEEDS = 5
TITLES = {"equalised_odds": "Equalised odds", "demographic_parity": "Selection rate", "accuracy": "Accuracy"}


def show(before: Run, after: Run, sensitive: tuple[str, ...], *, key: str) -> None:
    """What repeated trainings say of two runs, or the button that starts them."""
    st.markdown("**Is it real?**")
    job = audit_state.repeating(before, after, sensitive)
    if job is not None and job.state == "running":
        progress.watch(job, key=key, waiting="Preparing…", cancel=True)
        return
    changes = job.result if job is not None and job.state == "done" else session_state.answer(before, after, sensitive)
    if changes is not None:
        _answer(changes, key=key)
        return
    if job is not None and job.state == "failed":
        st.error(page_words.prose(f"The repetition stopped: {job.error}"), icon=":material/error:")
    st.button(
        f"Train both again with {SEEDS} seeds",
        key=f"{key}.repeat",
        icon=":material/repeat:",
        on_click=audit_state.repeat,
        args=(before, after, sensitive, SEEDS),
        help="In the background, about a minute: shows whether the difference comes again, or was chance.",
    )


def _answer(by_metric: dict[str, Change], *, key: str) -> None:
    changes = {TITLES[name]: change for name, change in by_metric.items()}
    seeds = len(next(iter(changes.values())).pairs)
    st.markdown("  \n".join(f"**{title}.** {page_words.prose(change.sentence)}" for title, change in changes.items()))
    st.plotly_chart(
        audit_charts.change_dumbbell(changes),
        alt="How much each measure changed from seed to seed, with its interval.",
        key=f"{key}.changes",
        config={"displayModeBar": False},
    )
    st.caption(
        f"Both trained anew with {seeds} seeds, paired by seed. The intervals drawn say what the seed changes; what "
        "other test faces would change is said in words."
    )

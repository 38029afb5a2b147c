"""What to exclude so that an attribute counts less: concepts one after the other, or every channel that carries it."""

from __future__ import annotations

import streamlit as st

from dashboard.components import page_words, progress
from dashboard.parts import ticking
from dashboard.state import audits as audit_state
from dashboard.state import visit
from img2tab_core.audits.concept_steps import ConceptSteps
from img2tab_core.classifiers.runs import Run

CONCEPTS_KEY = "exclude.suggested_for"


def show(run: Run, *, concepts: bool) -> None:
    """A form that asks for an attribute, and under it what was suggested, by its stated rule, never silently.

    concepts: suggest concepts in order, else all channels of the rule.
    """
    others = {other.name: other for other in visit.current_table().targets if other.name != visit.target().name}
    if not others:
        return
    with st.form("exclude.suggesting", border=False):
        with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
            st.selectbox(
                "Add what carries",
                list(others),
                key="exclude.sensitive",
                format_func=lambda name: others[name].title,
                help="Concepts in which the groups of this attribute differ among faces of the same class, in order, "
                "each with what excluding it too does to the gap."
                if concepts
                else "Ticks every channel in which the groups of this attribute differ among faces of the same class: "
                "nearly all of them, because each of thousands of stand-ins would take the place of the others.",
            )
            st.form_submit_button("Suggest", on_click=_ask if concepts else _tick_rule)
    if concepts:
        asked = visit.of_target(CONCEPTS_KEY, None)
        if asked in others:
            _steps(run, asked)
        return
    suggestion = audit_state.suggested()
    if suggestion is not None and set(suggestion.excluded) <= visit.ticked():
        count = page_words.count(len(suggestion.excluded), "channel")
        st.caption(f"**{count} suggested.** {page_words.prose(suggestion.rule)}")


def _tick_rule() -> None:
    audit_state.suggest(st.session_state["exclude.sensitive"])


def _ask() -> None:
    visit.set_of_target(CONCEPTS_KEY, st.session_state["exclude.sensitive"])


def _steps(run: Run, sensitive: str) -> None:
    """The gap as it is, and where there is one to close the concepts in order."""
    gap = audit_state.audit(run, (sensitive,)).gaps["equalised_odds"]
    title = page_words.plain(next(t.title for t in visit.current_table().targets if t.name == sensitive))
    if gap.value is None or gap.low is None or gap.high is None:
        st.caption(f"The gap by {title.lower()} cannot be measured. {page_words.prose(gap.note)}")
        return
    spread = f"{100 * gap.low:.1f} to {100 * gap.high:.1f}"
    job = audit_state.stepping(sensitive)
    if gap.low <= 0.005 and job is None:
        st.info(
            f"There is no gap to close: {100 * gap.value:.1f} points by {title.lower()} ({spread}), which chance alone "
            "can make.",
            icon=":material/check:",
        )
        st.button("Suggest all the same", key="exclude.anyway", on_click=audit_state.step, args=(sensitive,))
        return
    st.caption(f"The gap of this run by {title.lower()}: **{100 * gap.value:.1f} points** ({spread}).")
    if job is None:
        audit_state.step(sensitive)
        job = audit_state.stepping(sensitive)
    if job.state == "running":
        progress.watch(job, key="exclude.steps", waiting="Comparing the groups…", cancel=True)
    elif job.state == "failed":
        st.error(page_words.prose(f"The suggestion stopped: {job.error}"), icon=":material/error:")
    elif job.state == "cancelled":
        st.button("Suggest again", key="exclude.again", on_click=audit_state.step, args=(sensitive,))
    else:
        _listed(job.result)


def _listed(steps: ConceptSteps) -> None:
    """A check box for each concept, with what the quick retrain said after it."""
    before = steps.before
    st.markdown(page_words.prose(steps.sentence))
    st.caption(
        f"With nothing excluded: gap {page_words.percent(before.mean('gap'))}, "
        f"accuracy {page_words.percent(before.mean('accuracy'))}"
    )
    for number, step in enumerate(steps.steps):
        channels = frozenset(step.channels)
        with st.container(gap=None):
            ticking.box(
                f"{number + 1}. {page_words.plain(step.name)}",
                channels,
                key=f"exclude.step.{step.family}",
                help=f"The groups differ in it by {page_words.signed(step.difference)} SD. With the channels that go "
                f"with it: {page_words.count(len(channels), 'channel')}.",
            )
            st.caption(
                f"gap {page_words.percent(step.after.mean('gap'))}, {page_words.points(-steps.bought(number))}; "
                f"accuracy {page_words.percent(step.after.mean('accuracy'))}"
            )
    st.caption(
        "Each line is a quick retrain without this concept and all above it, on validation faces as many of each class "
        f"in each group. {page_words.prose(steps.how)}"
    )

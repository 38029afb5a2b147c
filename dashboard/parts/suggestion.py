"""What to exclude so that an attribute counts less: concepts one after the other, or every channel that carries it."""

from __future__ import annotations

import streamlit as st

from dashboard.components import page_words, progress
from dashboard.parts import ticking
from dashboard.state import attributes as attribute_state
from dashboard.state import audits as audit_state
from dashboard.state import visit
from img2tab_core.audits.concept_steps import ConceptSteps
from img2tab_core.classifiers.runs import Run


def of_channels() -> None:
    """A form that asks for an attribute and ticks every channel that carries it, by its stated rule."""
    others = _others()
    if not others:
        return
    with st.form("exclude.suggesting", border=False):
        with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
            st.selectbox(
                "Add what carries",
                list(others),
                key="exclude.sensitive",
                format_func=lambda name: others[name],
                help="Ticks every channel in which the groups of this attribute differ among faces of the same class: "
                "nearly all of them, because each of thousands of stand-ins would take the place of the others.",
            )
            st.form_submit_button("Suggest", on_click=_tick_rule)
    suggestion = audit_state.suggested()
    if suggestion is not None and set(suggestion.excluded) <= visit.ticked():
        count = page_words.count(len(suggestion.excluded), "channel")
        st.caption(f"**{count} suggested.** {page_words.prose(suggestion.rule)}")


def _tick_rule() -> None:
    audit_state.suggest(st.session_state["exclude.sensitive"])


def of_concepts(run: Run) -> None:
    """The gap by the attribute of this page, and where there is one to close the concepts in order, what each buys."""
    others = _others()
    if not others:
        st.caption("A suggestion needs a second label that forms groups, and this table has none.")
        return
    if run.own:
        st.caption("Your classifier cannot be trained here; train one on its answers first, then ask for a suggestion.")
        return
    sensitive = next(iter(attribute_state.attributes()), next(iter(others)))
    _steps(run, sensitive, others[sensitive])


def _others() -> dict[str, str]:
    """Names and titles of the labels that can form groups."""
    return {other.name: other.title for other in visit.current_table().targets if other.name != visit.target().name}


def _steps(run: Run, sensitive: str, title: str) -> None:
    gap, by = audit_state.audit(run, (sensitive,)).gaps["equalised_odds"], page_words.plain(title.lower())
    if gap.value is None or gap.low is None or gap.high is None:
        st.caption(f"The gap by {by} cannot be measured. {page_words.prose(gap.note)}")
        return
    spread = f"{100 * gap.low:.1f} to {100 * gap.high:.1f}"
    job = audit_state.stepping(sensitive)
    nothing = gap.low <= 0.005
    if nothing and job is None:
        st.info(
            f"There is no gap to close: {100 * gap.value:.1f} points by {by} ({spread}), which chance alone can make.",
            icon=":material/check:",
        )
    else:
        st.caption(f"The gap of this run by {by}: **{100 * gap.value:.1f} points** ({spread}).")
    if job is None:
        st.button(
            "Suggest all the same" if nothing else f"Suggest for {by}",
            key="exclude.anyway" if nothing else "exclude.suggest",
            icon=":material/lightbulb:",
            on_click=audit_state.step,
            args=(sensitive,),
            help="Concepts in which the groups differ among faces of the same class, the largest difference first, "
            "each with what excluding it too does to the gap. Half a minute, in the background.",
        )
    elif job.state == "running":
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
        f"With nothing excluded: gap {100 * before.mean('gap'):.1f} points, "
        f"accuracy {page_words.percent(before.mean('accuracy'))}."
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
            bought = steps.bought(number)
            buys = f"buys {100 * bought:.1f} points" if bought >= 0.0005 else "buys nothing"
            st.caption(
                f"{buys}: gap {100 * step.after.mean('gap'):.1f}, "
                f"accuracy {page_words.percent(step.after.mean('accuracy'))}"
            )
    st.caption(
        "Each line is a quick retrain without this concept and all above it, on validation faces as many of each class "
        f"in each group. {page_words.prose(steps.how)}"
    )

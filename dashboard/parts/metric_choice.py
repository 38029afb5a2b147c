"""Five plain questions that lead to the metric which fits the open session's question, why, and what it cannot see."""

from __future__ import annotations

import streamlit as st

from dashboard.components import page_words
from dashboard.state import audits as audit_state
from dashboard.state import doors, visit
from dashboard.state import session as session_state
from dashboard.state.session import Opened
from img2tab_core.audits.metric_choice import QUESTIONS, MetricChoice, choose_metric
from img2tab_core.base.errors import Img2TabError


def show(now: Opened) -> None:
    """The metric that was chosen with its value in the current run; the questions are folded away below it."""
    stored = now.session.metric_choice
    choice = MetricChoice.from_json(stored) if stored else None
    if choice is None:
        st.caption("Five questions lead to one. Until then the equalised odds difference is told first.")
    else:
        _chosen(now, choice)
    with st.expander("Answer again" if choice else "Answer five questions", icon=":material/quiz:"):
        _questions(now, choice)


def _chosen(now: Opened, choice: MetricChoice) -> None:
    with st.container(border=True, gap="xsmall"):
        st.markdown(f"**{choice.title}**: {choice.meaning}.")
        st.markdown(_value(now, choice))
        st.caption(page_words.plain(" ".join(choice.why)))
        st.markdown("It cannot see\n" + "\n".join(f"- {page_words.plain(part)}" for part in choice.cannot_see))
        stored = now.session.metric_choice
        st.caption(f"Answered by {page_words.plain(stored.get('who', ''))}, {str(stored.get('at', ''))[:10]}")


def _value(now: Opened, choice: MetricChoice) -> str:
    if now.model is None:
        return "Not measured: the current run's model is not here."
    values = choice.values(audit_state.audit(now.model, now.session.sensitive), visit.target().classes)
    return f"In run {now.current.number}: " + page_words.plain("; ".join(values)) + "."


def _questions(now: Opened, choice: MetricChoice | None) -> None:
    key = f"metric.{now.session.id}"
    with st.form(key, border=False):
        answers = {}
        for number, question in enumerate(QUESTIONS, 1):
            names = list(question.answers)
            given = choice.answers.get(question.name) if choice else None
            answers[question.name] = st.radio(
                f"{number}. {question.title}",
                names,
                names.index(given) if given in names else None,
                format_func=question.answers.get,
                key=f"{key}.{question.name}",
            )
            st.caption(question.why)
        asked = st.form_submit_button("Choose the metric", icon=":material/check:")
    if asked and _choose(now, answers):
        st.rerun()


def _choose(now: Opened, answers: dict[str, str | None]) -> bool:
    """Whether a metric was chosen; questions without an answer are named."""
    missing = [str(number) for number, answer in enumerate(answers.values(), 1) if answer is None]
    if missing:
        which = "Question" if len(missing) == 1 else "Questions"
        st.error(
            f"{which} {', '.join(missing)} without an answer: each of the five is needed.", icon=":material/error:"
        )
        return False
    try:
        doors.session_runs().sessions.choose_metric(now.session, choose_metric(answers), who=session_state.who())
    except Img2TabError as error:
        st.error(page_words.plain(error), icon=":material/error:")
        return False
    return True

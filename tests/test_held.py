"""A browser's old word for a widget, sent before it has shown what the page set, changes nothing."""

from __future__ import annotations

import pytest
from streamlit.testing.v1 import AppTest


def _page(with_held: bool) -> None:
    import streamlit as st

    from dashboard.components.held import held

    value = st.session_state.setdefault("value", 0.0)
    if st.session_state.pop("ends", False):
        raise TimeoutError("a run that ends before it has drawn anything")
    if st.checkbox("Elsewhere", key="elsewhere"):
        st.button("Eight", on_click=st.session_state.__setitem__, args=("value", 8.0))
        return

    def choose(number: float) -> None:
        st.session_state["value"] = number

    if with_held:
        st.number_input("Number", -10.0, 10.0, value, **held("number", value, choose))
    else:
        st.session_state["number"] = value
        st.number_input("Number", -10.0, 10.0, key="number", on_change=lambda: choose(st.session_state["number"]))
    st.button("Eight", on_click=st.session_state.__setitem__, args=("value", 8.0))


def _opened(with_held: bool) -> AppTest:
    return AppTest.from_function(_page, kwargs={"with_held": with_held}).run()


@pytest.mark.parametrize(("with_held", "left"), [(True, 8.0), (False, 0.0)])
def test_eight_set_by_the_page_outlives_a_message_that_still_says_nought(with_held, left):
    at = _opened(with_held)
    old = at._tree.get_widget_states()
    at.button[0].click().run()
    assert at.number_input[0].value == 8.0
    at._run(old)  # what a timer sends that was on its way
    assert at.session_state["value"] == left  # without `held` the old number counts as the person's choice


@pytest.mark.parametrize(("with_held", "left"), [(True, 8.0), (False, 0.0)])
def test_eight_outlives_a_widget_of_the_page_before_that_the_browser_still_sends_with_the_click(with_held, left):
    at = _opened(with_held)
    old = [
        state for state in at._tree.get_widget_states().widgets if state.double_value == 0.0 and "number" in state.id
    ]
    at.checkbox[0].check().run()  # another page, and no number in it
    at.button[0].click()
    sent = at._tree.get_widget_states()
    sent.widgets.extend(old)
    at._run(sent)
    assert len(old) == 1 and at.session_state["value"] == left


def test_a_number_that_is_chosen_and_at_once_taken_back_is_as_it_was_though_the_page_was_never_drawn_between():
    at = _opened(True)
    at.number_input[0].set_value(3.0)
    forth = at._tree.get_widget_states()
    at.number_input[0].set_value(0.0)
    back = at._tree.get_widget_states()
    at.session_state["ends"] = True
    at._run(forth)
    assert at.session_state["value"] == 3.0 and not at.number_input
    at._run(back)
    assert at.session_state["value"] == 0.0


def test_a_number_that_a_person_typed_stays_in_the_same_widget():
    at = _opened(True)
    at.number_input[0].set_value(3.0).run()
    assert at.session_state["value"] == 3.0 and at.number_input[0].key == "number"
    at.button[0].click().run()
    assert at.number_input[0].key == "number.1"
    at.number_input[0].set_value(2.0).run()
    assert at.session_state["value"] == 2.0 and at.number_input[0].key == "number.1"


def test_a_number_set_while_its_widget_was_not_drawn_makes_another_widget():
    at = _opened(True)
    at.checkbox[0].check().run()  # another page
    at.button[0].click().run()
    at.checkbox[0].uncheck().run()
    assert at.number_input[0].value == 8.0 and at.number_input[0].key == "number.1"

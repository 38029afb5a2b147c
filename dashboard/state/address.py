"""What makes a view stands in the address, so that a link, a reload, Back and a second tab show the same.

Names, photos and faces of a person are never in it. Streamlit's `bind="query-params"` is not used: it drops a wrong
value without a word, and leaves a second entry in the browser's history at every change of page.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TypeVar

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from dashboard.components.held import Held, held
from dashboard.state import attributes as attribute_state
from dashboard.state import faces as face_state
from dashboard.state import session as session_state
from dashboard.state import visit
from img2tab_core.base.errors import Img2TabError
from img2tab_core.classifiers.runs import Run

T = TypeVar("T")

_WRITTEN = "visit.addresses"  # the latest that the visit wrote itself; a click may still come from one of before
_ARRIVED = "visit.arrived"  # the address that is gone to, until the page has taken its part of it
_CHOICES = "visit.choices"  # what a person chose of how a page is shown, as text
_SHOWN = "visit.choices_shown"  # those of the page that is drawn; None where it is as at first
_RUN = "visit.run_asked"  # of a run that is looked for once the runs are there
_REMEMBERED = 32
_RUN_LENGTH = 8


def read() -> None:
    """Go where the address says, where a person came by it: a link, a reload, Back. A wrong value is dropped, and said.

    What it does not name is as at first; the face and the attributes stay, if it names none.
    """
    given = st.query_params.to_dict()
    if given and (_by_history() or given not in st.session_state.get(_WRITTEN, [])):
        st.session_state[_ARRIVED] = given
        for name, go in _VIEW.items():
            with visit.noticing():
                go(given.get(name))
    with visit.noticing():
        _find_run()


def write() -> bool:
    """Make the address say where the visit is; whether that is news."""
    if not visit.table_names():
        return False
    shown, arrived = st.session_state.pop(_SHOWN, {}), st.session_state.get(_ARRIVED, {})
    if visit.standing_job().state == "done":  # so the page was drawn
        st.session_state.pop(_ARRIVED, None)
    else:
        shown = {name: value for name, value in arrived.items() if name not in _VIEW}
    here = {name: value for name, value in {**_here(), **shown}.items() if value}
    written = st.session_state.get(_WRITTEN, [])
    is_news = not written or written[-1] != here
    if is_news:  # noted first: where a click comes in, the run ends with the address sent, and it must be known as ours
        st.session_state[_WRITTEN] = [*written, here][-_REMEMBERED:]
    if st.query_params.to_dict() != here:
        st.query_params.from_dict(here)
    return is_news


def view() -> dict[str, str]:
    """What a link to another page says, so that it opens with the same target, session and concept."""
    written = st.session_state.get(_WRITTEN, [{}])[-1]
    return {name: value for name, value in written.items() if name in _VIEW}


def choice(name: str, parse: Callable[[str], T], first: T) -> tuple[T, Held]:
    """How a page is shown, kept in the address: what is chosen, and what the widget is handed beside that value.

    name: the widget's key, and the parameter's name; parse: from text, raises ValueError for a wrong one;
    first: what it is until a person chooses.
    """
    text, value = chosen(name), first
    if text:
        try:
            value = parse(text)
        except ValueError:
            if _ARRIVED in st.session_state:
                visit.notice(f"The address says {name}={text[:40]!r}, which cannot be shown here.")
    if _ARRIVED in st.session_state:
        _choose(name, value)
    st.session_state[_SHOWN] = {
        **st.session_state.get(_SHOWN, {}),
        name: None if value == first else _text(value),
    }
    return value, held(name, value, lambda chosen: _choose(name, chosen))


def chosen(name: str) -> str | None:
    """The same as text, for what is drawn before its widget; None where nothing was chosen."""
    arrived = st.session_state.get(_ARRIVED)
    return (st.session_state.get(_CHOICES, {}) if arrived is None else arrived).get(name)


def among(options: Collection[T]) -> Callable[[str], T]:
    """The `parse` of a choice among these."""

    def parse(text: str) -> T:
        for option in options:
            if str(option) == text:
                return option
        raise ValueError(text)

    return parse


def page_number(name: str, pages: int) -> int:
    """A row of page numbers, and the chosen one; none is drawn for a single page."""
    if pages < 2:
        return 1
    number, handed = choice(name, among(range(1, pages + 1)), 1)
    st.pagination(pages, default=number, max_visible_pages=5, **handed)
    return number


def _choose(name: str, value: object) -> None:
    st.session_state[_CHOICES] = {**st.session_state.get(_CHOICES, {}), name: _text(value)}


def _text(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _by_history() -> bool:
    """Whether the browser went back or forward; any other address that the visit wrote is only late."""
    context = get_script_run_ctx()
    return context is not None and context.is_history_navigation


def _here() -> dict[str, str | None]:
    now, concept = session_state.opened(), visit.chosen_family() or visit.concept()
    sample = face_state.sample_number()
    return {
        "backbone": visit.backbone_name() if visit.backbone_name() != visit.DEFAULT_BACKBONE else None,
        "table": visit.table_name() if visit.table_name() != "default" else None,
        "session": now and str(now.session.id),
        "target": visit.target().name,
        "by": ",".join(attribute_state.grouping()),
        "concept": None if concept is None else str(concept),
        "sample": None if sample is None else str(sample + 1),
        "run": _run_here(),
    }


# ---- going there; None: the address does not name it


def _backbone(name: str | None) -> None:
    if name is not None and name not in visit.backbone_names():
        raise Img2TabError(f"The address names the backbone {name!r}, which is not here.")
    wanted = name or visit.DEFAULT_BACKBONE
    if wanted != visit.backbone_name():
        visit.choose_backbone(wanted)


def _table(name: str | None) -> None:
    if name is not None and name not in visit.table_names():
        raise Img2TabError(f"The address names the table {name!r}, which is not here.")
    visit.choose_table(name or "default")


def _session(number: str | None) -> None:
    now = session_state.opened()
    if number is None:
        session_state.close()
    elif not number.isdecimal() or len(number) > 9:
        raise Img2TabError(f"The address names the session {number!r}; a session has a number.")
    elif now is None or now.session.id != int(number):
        visit.enter(int(number))


def _target(name: str | None) -> None:
    table = visit.current_table()
    targets = [target.name for target in (*table.targets, *table.many, *table.against_rest)]
    if name is not None and name not in targets:
        raise Img2TabError(
            f"The address names the target {name!r}, which the table {visit.table_name()} does not have."
        )
    now = session_state.opened()
    if now is None or now.session.target == name:
        visit.choose_target(name or targets[0])


def _by(text: str | None) -> None:
    if text is None:
        return
    names = text.split(",")
    table = visit.current_table()
    asked = {visit.target().name, visit.whole_target().name}
    others = {target.name for target in (*table.targets, *table.many)} - asked
    if not set(names) <= others or len(set(names)) < len(names) or len(names) > 2:
        raise Img2TabError(
            f"The address forms groups by {text!r}; it must be one or two other labels of the table "
            f"{visit.table_name()}."
        )
    attribute_state.choose_attributes(names)


def _concept(text: str | None) -> None:
    visit.choose_concept(int(text) if text and text.isdecimal() and len(text) <= 9 else text)
    if text is not None and visit.concept() is None and visit.chosen_family() is None:
        visit.choose_concept(None)
        raise Img2TabError(f"The address names the concept {text!r}, which {visit.backbone_name()} does not have.")


def _sample(number: str | None) -> None:
    if number is None:
        return
    count = len(face_state.samples())
    if not number.isdecimal() or len(number) > 9 or not 1 <= int(number) <= count:
        raise Img2TabError(f"The address names the face {number!r}; there are {count}, from 1.")
    if face_state.sample_number() != int(number) - 1:
        face_state.choose_sample(int(number) - 1)


def _run(beginning: str | None) -> None:
    """A session knows its own; of another visit's runs the id is looked for once they are there."""
    st.session_state.pop(_RUN, None)
    if session_state.opened() is not None:
        return
    if beginning is not None:
        st.session_state[_RUN] = beginning
    elif visit.of_target("visit.active", ""):
        visit.set_of_target("visit.active", "")
        visit.tick(frozenset())


def _find_run() -> None:
    beginning = st.session_state.get(_RUN)
    if beginning is None or visit.standing_job().state != "done":
        return
    del st.session_state[_RUN]
    run = next((run for run in visit.history() if _hash_of(run) == beginning), None)
    if run is None:
        raise Img2TabError(
            f"The address names the run {beginning!r}, which is not kept here for {visit.target().title.lower()}."
        )
    if run.id != visit.active_run().id:
        visit.activate(run.id)


def _run_here() -> str | None:
    if session_state.opened() is not None:
        return None
    if _RUN in st.session_state or visit.standing_job().state != "done":
        return st.session_state.get(_RUN)
    run = visit.active_run()
    return None if run.id == visit.history()[0].id else _hash_of(run)


def _hash_of(run: Run) -> str:
    """The beginning of what sets a run's id apart, after table and target."""
    return run.id.rpartition("-")[2][:_RUN_LENGTH]


_VIEW: dict[str, Callable[[str | None], None]] = {
    "backbone": _backbone,
    "table": _table,
    "session": _session,
    "target": _target,
    "by": _by,
    "concept": _concept,
    "sample": _sample,
    "run": _run,
}

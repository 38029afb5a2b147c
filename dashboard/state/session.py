"""The audit session a visitor has open, as it stands at this rerun; every change goes to the database at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import streamlit as st

from dashboard.state.doors import session_runs
from img2tab_core.base import persons
from img2tab_core.base.errors import Img2TabError
from img2tab_core.classifiers.runs import Run

if TYPE_CHECKING:
    from img2tab_core.audits.changes import Change
    from img2tab_core.sessions.session_records import RunInfo, SessionInfo


class Models(Mapping[int, Run]):
    """The models of a session that are here, by the id of the run's row; each is opened when it is asked for."""

    def __init__(self, session: SessionInfo, runs: tuple[RunInfo, ...]) -> None:
        self._session, self._here = session, {run.id: run for run in runs if session_runs().has_model(session, run)}

    def __getitem__(self, row_id: int) -> Run:
        return session_runs().model(self._session, self._here[row_id])

    def __contains__(self, row_id: object) -> bool:  # Mapping's own would open it
        return row_id in self._here

    def __iter__(self) -> Iterator[int]:
        return iter(self._here)

    def __len__(self) -> int:
        return len(self._here)


@dataclass(frozen=True)
class Opened:
    """A session with its runs in the order of the tree, and the models that are here, by the id of the run's row."""

    session: SessionInfo
    runs: tuple[RunInfo, ...]
    models: Models

    @property
    def current(self) -> RunInfo | None:
        """The run the person is at."""
        return next((run for run in self.runs if run.number == self.session.current), None)

    @property
    def model(self) -> Run | None:
        """The model of the run the person is at; None where there is none, or it is not here."""
        return self.models.get(self.current.id) if self.current is not None else None

    def info(self, run: Run) -> RunInfo | None:
        """The run of the session whose model this is; the current one where several have the same."""
        same = [row for row in self.runs if row.id in self.models and row.run_id == run.id]
        return next((row for row in same if row.number == self.session.current), same[-1] if same else None)

    def parent(self, run: RunInfo) -> RunInfo | None:
        """The run it was changed from."""
        return next((row for row in self.runs if row.id == run.parent), None)


def opened() -> Opened | None:
    """The open session; None where there is none."""
    return st.session_state.get("visit.session")


def refresh() -> str | None:
    """Read the open session again, once for each rerun; why it was closed, where it cannot be read any more."""
    now = opened()
    if now is None:
        return None
    try:
        st.session_state["visit.session"] = _read(now.session.id)
        return None
    except Img2TabError as error:
        close()
        return f"The session {now.session.name!r} was closed: {error}"


def open_session(session_id: int) -> SessionInfo:
    """Open a session: from now on every training of this visit is one of its runs."""
    now = _read(session_id)
    session_runs().table(now.session)  # a table of other faces is refused before
    st.session_state["visit.session"] = now
    return now.session


def close() -> None:
    """Leave the session; nothing is lost."""
    st.session_state.pop("visit.session", None)


def restore(run: RunInfo) -> None:
    """Go back to a run of the open session."""
    door, now = session_runs().sessions, opened()
    if now.session.current != run.number:
        door.restore(now.session, run, who=who())
        st.session_state["visit.session"] = _read(now.session.id)


def who() -> str:
    """The name the log gets: of who is signed in, else the owner's until the visitor says another."""
    person = persons.acting()
    if person is not None:
        return person.name
    now = opened()
    return st.session_state.get("visit.who") or (now.session.owner if now else "")


def say_who(name: str) -> None:
    st.session_state["visit.who"] = " ".join(name.split())


def answer(before: Run, after: Run, sensitive: tuple[str, ...]) -> dict[str, Change] | None:
    """What the session knows about whether a change is real; None where nobody has asked, or no session is open."""
    now = opened()
    pair = now and (now.info(before), now.info(after))
    if not pair or None in pair or sensitive != now.session.sensitive:
        return None
    return session_runs().answers(now.session).get((pair[0].number, pair[1].number))


def _read(session_id: int) -> Opened:
    sessions = session_runs().sessions
    session = sessions.open(session_id)
    runs = sessions.runs(session)
    return Opened(session, runs, Models(session, runs))

"""Who is signed in, and what they may do; where nobody has to sign in, everything is allowed.

The server calls `require` at its start. From then on every door of the core asks who acts, also in a callback, which
runs before the page does, and in the thread of a background job, which acts for the one who began it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from img2tab_core.base import persons
from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.persons import NOBODY, Access, Person


class _Rules:
    """The list of who may come, read again when its file changes; a list that cannot be read lets nobody in."""

    def __init__(self, files: Sequence[Path]) -> None:
        self._files, self._seen, self._access = files, None, None

    def now(self) -> Access | None:
        seen = [(file, file.stat().st_mtime_ns) for file in self._files if file.is_file()]
        if seen != self._seen:
            try:
                self._access = persons.checked_access(persons.read_settings(self._files))
            except Img2TabError:
                self._access = None
            self._seen = seen
        return self._access


_rules: _Rules | None = None
_entered: dict[str, None] = {}  # ids of visits that were let in, in the order of their coming
MOST_ENTERED = 10_000


def require(files: Sequence[Path]) -> None:
    """From now on people of this process sign in, and are held against the list in these files at every click."""
    global _rules
    _rules = _Rules(files)
    persons.ask_with(_who)


def is_required() -> bool:
    """Whether people of this server sign in."""
    return _rules is not None


def may_change() -> bool:
    """Whether the person who looks may train, keep and name things."""
    now = persons.acting()
    return now is None or now.role == "auditor"


def has_entered(session_id: str) -> bool:
    """Whether the visit of this id was let in; every visit is where nobody has to sign in."""
    return not is_required() or session_id in _entered


def gate() -> None:
    """Let in who may come; anybody else gets a page that says how, and nothing behind it runs."""
    now = persons.acting()
    here = get_script_run_ctx()
    if now is None or now.role is not None:
        if now is not None and here is not None:
            _entered[here.session_id] = None
            while len(_entered) > MOST_ENTERED:
                _entered.pop(next(iter(_entered)))
        return
    if here is not None:
        _entered.pop(here.session_id, None)
    with st.container(border=True, width=560):
        st.title("Img2Tab Studio", anchor=False)
        if now == NOBODY:
            st.markdown("Faces of people are looked at here, so this server asks who you are.")
            for name, title in _providers():
                st.button(title, on_click=st.login, args=name, type="primary", icon=":material/login:")
        else:
            st.markdown("You are signed in, and not on the list of those who may use this server.")
            st.text(now.name)
            st.caption("Ask whoever runs it to add this address.")
            st.button("Sign out", on_click=st.logout, icon=":material/logout:")
    st.stop()


def card() -> None:
    """Who is signed in, with a way out."""
    now = persons.acting()
    if now is None:
        return
    with st.container(border=True, gap="xsmall"):
        st.caption(f"Signed in as {now.role}")
        st.text(now.name, help="A viewer looks and measures; an auditor trains, names concepts and begins sessions.")
        st.button("Sign out", key="frame.sign_out", type="tertiary", on_click=st.logout, icon=":material/logout:")


def _providers() -> list[tuple[tuple[str, ...], str]]:
    """(arguments of `st.login`, what its button says) for every provider that is configured."""
    auth = st.secrets.get("auth", {})
    named = [name for name, part in auth.items() if hasattr(part, "items") and "client_id" in part]
    return [((name,), f"Sign in with {name}") for name in named] or [((), "Sign in")]


def _who() -> Person:
    """Who acts in the calling thread: of a page's thread its visitor, by the cookie that the server signed."""
    user = st.user.to_dict()  # empty in a thread of no visitor
    address = user.get("email")
    if not user.get("is_logged_in") or not isinstance(address, str) or not address:
        return NOBODY
    access = _rules.now() if _rules is not None else None
    if access is None or persons.plain_address(address) is None:
        return NOBODY
    verified = user.get("email_verified") is True or (access.trust_unverified and "email_verified" not in user)
    return Person(address.lower(), access.role_of(address) if verified else None)

"""Pages in turn: a few are run at once, the others wait for their turn."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st

AT_ONCE = 3  # pages; Python runs one of them at a time, and the others meanwhile draw, read or ask a classifier
LONGEST = 10.0  # seconds that a page waits for its turn; then it is run beside the others

_TURNS = threading.BoundedSemaphore(AT_ONCE)


@contextmanager
def turn() -> Iterator[None]:
    """A page's turn to run. While it waits for it a click of its visitor ends this run, as it does anywhere in a page.

    Python gives every thread the same share: of twenty pages that run at once none gets anywhere, nor does the thread
    that sends what is ready, and a message to a browser takes seconds to leave.
    """
    until, has_it = time.monotonic() + LONGEST, False
    while not has_it and time.monotonic() < until:
        has_it = _TURNS.acquire(timeout=0.05)
        if not has_it:
            st.session_state.get("visit.turn")  # where Streamlit looks whether this run is still wanted
    try:
        yield
    finally:
        if has_it:
            _TURNS.release()

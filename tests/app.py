"""The dashboard in Streamlit's own test runner: opened, and waited for until the target's first run is there."""

from __future__ import annotations

import time
from pathlib import Path

from streamlit.testing.v1 import AppTest

APP = Path(__file__).resolve().parents[1] / "dashboard" / "app.py"


def begun() -> AppTest:
    """A fresh visit on the first page."""
    return ready(AppTest.from_file(str(APP), default_timeout=300).run())


def ready(at: AppTest) -> AppTest:
    """The same visit once the classifier of its target is open."""
    while opening(at):
        time.sleep(0.2)
        at.run()
    return well(at)


def opening(at: AppTest) -> bool:
    """Whether the first classifier of the target is still being opened or trained."""
    told = ("Training the first classifier", "Opening the classifier")
    return any(words in one.value for one in at.markdown for words in told)


def well(at: AppTest) -> AppTest:
    """The same visit, which must not have met an exception."""
    assert not at.exception, at.exception[0].value
    return at


def held(widgets, key: str):
    """The widget whose key begins with this one: it changes when the page sets its value (`components/held.py`)."""
    (widget,) = (each for each in widgets if f"{each.key}.".startswith(f"{key}."))
    return widget

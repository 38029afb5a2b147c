"""The dashboard in Streamlit's own test runner: opened, and waited for until the target's first run is there."""

from __future__ import annotations

import time
from functools import cache
from pathlib import Path

from streamlit.components.v2.component_manager import BidiComponentManager
from streamlit.testing.v1 import AppTest

APP = Path(__file__).resolve().parents[1] / "dashboard" / "app.py"


def opened() -> AppTest:
    """A visit before its first run."""
    at = AppTest.from_file(str(APP), default_timeout=300)
    at._bidi_component_manager = _components()
    return at


def begun() -> AppTest:
    """A fresh visit on the first page."""
    return ready(opened().run())


@cache
def _components() -> BidiComponentManager:
    """What packages bring components: looked for once, as a server does, and not half a second for every visit."""
    manager = BidiComponentManager()
    manager.discover_and_register_components(start_file_watching=False)
    return manager


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

"""The dashboard in Streamlit's own test runner: opened, and waited for until the target's first run is there."""

from __future__ import annotations

import re
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
    """The widget that shows what the page set last, of those whose keys begin with this one (`components/held.py`)."""
    return max((each for each in widgets if re.fullmatch(rf"{re.escape(key)}(\.\d+)?", each.key or "")), key=_turn)


def _turn(widget) -> int:
    last = widget.key.rpartition(".")[2]
    return int(last) if last.isdecimal() else 0

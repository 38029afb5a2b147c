"""How long work talks to whoever waits for it: it reports how far it is, and asks whether to stop."""

from __future__ import annotations

from collections.abc import Callable

Report = Callable[[float, str], None]  # the share done, 0 to 1, and a few words
Cancel = Callable[[], bool] | None     # whether to stop; None: nobody can


def silent(fraction: float, text: str) -> None:
    """A report where no one is watching."""


def never() -> bool:
    """Whether to stop, where no one can stop it."""
    return False

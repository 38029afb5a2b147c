"""`python -m tests.small_serving ADDRESS PORT ...` is `dashboard.serving` with small pictures: `dashboard(small=True)`.

Coarse strips alone, and pictures of half the size: for tests that look at words and numbers. The finer ones, for which
none of them waits, take most of the server's time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dashboard import serving
from dashboard.state import drawing


def make_small(put: Callable[[Any, str, Any], None] = setattr) -> None:
    """The pictures of this process, from now on; put: a test's way of taking it back, `monkeypatch.setattr`."""
    put(drawing, "FINE", drawing.COARSE)
    put(drawing, "FULL", 256)


if __name__ == "__main__":
    make_small()
    serving.main()

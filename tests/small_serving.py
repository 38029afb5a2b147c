"""`python -m tests.small_serving ADDRESS PORT ...` is `dashboard.serving` with small pictures: `dashboard(small=True)`.

Coarse strips alone, and pictures of a quarter of the side: for tests that look at words and numbers. The finer ones,
for which none of them waits, take most of the server's time. A curve of exclusions has five points.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from dashboard import serving
from dashboard.state import drawing
from img2tab_core.audits import exclusion_curves


def make_small(put: Callable[[Any, str, Any], None] = setattr) -> None:
    """The pictures of this process, from now on; put: a test's way of taking it back, `monkeypatch.setattr`."""
    put(drawing, "FINE", drawing.COARSE)
    put(drawing, "FULL", 128)


if __name__ == "__main__":
    make_small()
    exclusion_curves.exclusion_curve = partial(exclusion_curves.exclusion_curve, counts=(0, 100, 3000, 6250, 6500))
    serving.main()

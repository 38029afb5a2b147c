"""The channels of a table: those left once some are excluded, and how many are looked at in one go."""

from __future__ import annotations

from collections.abc import Collection
from numbers import Integral

import numpy as np

from img2tab_core.errors import Img2TabError

BLOCK = 256              # channels looked at in one go


def divided(excluded: Collection[int], width: int) -> tuple[np.ndarray, np.ndarray]:
    """Channels excluded and left, both ascending; int64."""
    if not all(isinstance(index, Integral) and 0 <= index < width for index in excluded):
        raise Img2TabError(f"Excluded channels must be whole numbers between 0 and {width - 1}. Choose others.")
    out = np.array(sorted({int(index) for index in excluded}), np.int64)
    if len(out) == width:
        raise Img2TabError(f"At least one channel must remain, got {width} of {width} excluded. Exclude fewer.")
    return out, np.setdiff1d(np.arange(width), out)

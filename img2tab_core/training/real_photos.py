"""The real portraits: which of them training may see, and which third it never does."""

from __future__ import annotations

import hashlib
from pathlib import Path


def is_held_out(photo: Path | str) -> bool:
    """Whether a photo belongs to the third that never enters training, third 0."""
    return third_of(photo) == 0


def third_of(photo: Path | str) -> int:
    """0, 1 or 2: the sha256 of the photo's name, modulo 3.

    The rule depends on the name (without folder and suffix) alone, so a new photo moves no other one.
    """
    return int(hashlib.sha256(Path(photo).stem.encode()).hexdigest(), 16) % 3

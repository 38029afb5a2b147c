"""Modules that are imported when something in them is first wanted: PyTorch and scikit-learn take seconds."""

from __future__ import annotations

import importlib
from typing import Any


class Later:
    """Stands for a module; thread-safe, as Python imports a module once whoever asks."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        return getattr(importlib.import_module(self._name), name)


def later(*names: str) -> Any:
    """What stands for each of these modules; beside it the plain import under TYPE_CHECKING, for readers and tools."""
    found = tuple(map(Later, names))
    return found[0] if len(found) == 1 else found

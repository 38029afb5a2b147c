"""Modules that are imported when something in them is first used: PyTorch and scikit-learn take seconds."""

from __future__ import annotations

import importlib
from typing import Any


class Later:
    """Stands for a module and imports it when an attribute is first asked for; thread-safe, as Python's import is."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        return getattr(importlib.import_module(self._name), name)


def later(*names: str) -> Any:
    """A `Later` for each name, alone where it is one; beside it belongs the plain import under TYPE_CHECKING."""
    modules = tuple(map(Later, names))
    return modules[0] if len(modules) == 1 else modules

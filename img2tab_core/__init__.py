"""Img2Tab Studio: a photo becomes a table row of visual concepts, and a classifier one can question.

The names below are the public interface; each is imported when it is first asked for, so that importing this package
costs nothing. What is not named here, or by a wing's own `__init__`, may change.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from img2tab_core.audits.auditor import Auditor
    from img2tab_core.base.errors import Img2TabError
    from img2tab_core.base.records import Edit, Face, StyleCode, StyleTable
    from img2tab_core.classifiers.runs import Run
    from img2tab_core.studio import Studio

_HOMES = {
    "Auditor": "img2tab_core.audits.auditor",
    "Edit": "img2tab_core.base.records",
    "Face": "img2tab_core.base.records",
    "Img2TabError": "img2tab_core.base.errors",
    "Run": "img2tab_core.classifiers.runs",
    "Studio": "img2tab_core.studio",
    "StyleCode": "img2tab_core.base.records",
    "StyleTable": "img2tab_core.base.records",
}
__all__ = ["Auditor", "Edit", "Face", "Img2TabError", "Run", "Studio", "StyleCode", "StyleTable", "__version__"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value  # asked for once
    return value


def __dir__() -> list[str]:
    return sorted(__all__)

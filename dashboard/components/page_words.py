"""How numbers and concepts are written, the same on every page, and how what a person types is read."""

from __future__ import annotations

import re
from collections.abc import Mapping

from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.layout import StyleLayout
from img2tab_core.base.words import concept, count, percent, place, points, sentence, signed

__all__ = [
    "DISTANCE",
    "arrow",
    "concept",
    "count",
    "deviations",
    "find",
    "percent",
    "place",
    "plain",
    "points",
    "sentence",
    "signed",
]

DISTANCE = (
    "How far a concept sets the two classes apart: Wasserstein-1 distance (W1) between them, in standard deviations."
)

_PLACE = re.compile(r"(?:layer)?\s*(\d+)\s*(?:[:·.,/]|channel|·\s*channel)\s*(?:channel)?\s*(\d+)", re.IGNORECASE)


def arrow(difference: float) -> str:
    """Which way a metric's arrow points; off where the written difference is 0."""
    return "off" if abs(difference) < 0.0005 else "up" if difference > 0 else "down"


def deviations(shift: float) -> str:
    """A shift in standard deviations: 4 -> "+4.0 SD"."""
    return f"{signed(shift)}\N{NO-BREAK SPACE}SD"


def plain(text: str) -> str:
    """What a person typed, so that Markdown shows it as it is: no links, no pictures, no formulas."""
    return re.sub(r"([\\`*_{}\[\]()<>#+.!|~$:&-])", r"\\\1", text)


def find(text: str, layout: StyleLayout, names: Mapping[int, str]) -> int:
    """The channel a person means by "2871", "7:311", "layer 7 channel 311" or a concept's name."""
    wanted = text.strip()
    if wanted.isdecimal():
        layout.locate(int(wanted))
        return int(wanted)
    named = [index for index, name in names.items() if name.casefold() == wanted.casefold()]
    if named:
        return min(named)
    where = _PLACE.fullmatch(wanted)
    if where:
        return layout.index_of(int(where[1]), int(where[2]))
    raise Img2TabError(
        f"A concept must be an index (2871), a place (7:311) or a name given on the Concepts page, got “{wanted}”. "
        "Type one of these."
    )

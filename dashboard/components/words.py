"""How numbers and concepts are written, the same on every page, and how what a person types is read."""

from __future__ import annotations

import re
from collections.abc import Mapping

from img2tab_core.errors import Img2TabError
from img2tab_core.layout import StyleLayout

DISTANCE = (
    "How far a concept sets the two classes apart: Wasserstein-1 distance (W1) between them, in standard deviations."
)

_PLACE = re.compile(r"(?:layer)?\s*(\d+)\s*(?:[:·.,/]|channel|·\s*channel)\s*(?:channel)?\s*(\d+)", re.IGNORECASE)


def percent(share: float, digits: int = 1) -> str:
    """0.8731 -> "87.3 %", with a space that does not break."""
    return f"{100 * share:.{digits}f}\N{NO-BREAK SPACE}%"


def points(difference: float) -> str:
    """A difference of two shares in percentage points: -0.021 -> "−2.1 points"."""
    return f"{signed(100 * difference)}\N{NO-BREAK SPACE}points"


def signed(number: float, digits: int = 1) -> str:
    """-2.14 -> "−2.1", 2.14 -> "+2.1", 0 -> "0.0"; a true minus sign, so that columns align."""
    text = f"{abs(number):.{digits}f}"
    if float(text) == 0:
        return text
    return ("+" if number > 0 else "\N{MINUS SIGN}") + text


def arrow(difference: float) -> str:
    """Which way a metric's arrow points; off where the written difference is 0."""
    return "off" if abs(difference) < 0.0005 else "up" if difference > 0 else "down"


def deviations(shift: float) -> str:
    """A shift in standard deviations: 4 -> "+4.0 SD"."""
    return f"{signed(shift)}\N{NO-BREAK SPACE}SD"


def plain(text: str) -> str:
    """What a person typed, so that Markdown shows it as it is: no links, no pictures, no formulas."""
    return re.sub(r"([\\`*_{}\[\]()<>#+.!|~$:&-])", r"\\\1", text)


def sentence(text: str) -> str:
    """The same words with a capital first letter."""
    return text[:1].upper() + text[1:]


def concept(index: int, layout: StyleLayout, names: Mapping[int, str]) -> str:
    """A concept's name, or its place: 2871 -> "Hair darkness" or "Layer 7 · channel 311"."""
    return sentence(names[index]) if names.get(index) else place(index, layout)


def place(index: int, layout: StyleLayout) -> str:
    """Where a channel lives: "Layer 7 · channel 311"."""
    layer, channel = layout.locate(index)
    return f"Layer {layer} · channel {channel}"


def count(number: int, thing: str) -> str:
    """1 -> "1 concept", 1500 -> "1,500 concepts"."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


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

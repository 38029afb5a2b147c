"""How numbers and concepts are written, the same on every page, and how what a person types is read.

Streamlit renders Markdown in labels, captions, metrics, help texts and messages, and Plotly renders HTML: a name that a
person gave would load a picture or become a link there. `plain`, `prose` and `in_figure` are the only places where text
is made harmless; choices in a list, tables and alternative texts of pictures show text as it is and take it as it is.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping

from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.layout import StyleLayout
from img2tab_core.base.words import chance, count, percent, place, points, sentence, signed
from img2tab_core.base.words import concept as concept_text

__all__ = [
    "DISTANCE",
    "arrow",
    "chance",
    "concept",
    "concept_text",
    "count",
    "deviations",
    "find",
    "in_figure",
    "percent",
    "place",
    "plain",
    "points",
    "prose",
    "sentence",
    "signed",
]

DISTANCE = (
    "How far a concept sets the two classes apart: Wasserstein-1 distance (W1) between them, in standard deviations."
)

# what Markdown gives a meaning to; at the beginning also what makes a heading or a list
_SYNTAX = re.compile(r"[\\`*_\[\]>&$~|]|<(?=[A-Za-z/!?])|:(?=[A-Za-z])|^[#+=-]")
_NUMBERED = re.compile(r"^(\d+)([.)])(?=\s|$)")
# what Streamlit looks for once the escapes are gone: :icons:, addresses and e-mail; a word joiner takes no place
_LATER = re.compile(r":(?=[\w+/-]+:|//)|(?<=\w)@(?=\w)|www(?=\.)", re.IGNORECASE)
_SPACES = re.compile(r"[ \t\n\v\f\r\x85\u2028\u2029]+")  # not those that do not break
_CODE = re.compile(r"(?<!`)(`[^`]+`)(?!`)")

_PLACE = re.compile(r"(?:layer)?\s*(\d+)\s*(?:[:·.,/]|channel|·\s*channel)\s*(?:channel)?\s*(\d+)", re.IGNORECASE)


def arrow(difference: float) -> str:
    """Which way a metric's arrow points; off where the written difference is 0."""
    return "off" if abs(difference) < 0.0005 else "up" if difference > 0 else "down"


def decided(classes: tuple[str, str], probability: float, *, between: str = " ") -> str:
    """A decision under a picture, as Markdown: a square in the class's colour, its name and how sure it is."""
    which = int(probability > 0.5)
    colour = "orange" if which else "blue"
    return f":{colour}[■] {plain(classes[which])}{between}{chance(max(probability, 1 - probability))}"


def deviations(shift: float) -> str:
    """A shift in standard deviations: 4 -> "+4.0 SD"."""
    return f"{signed(shift)}\N{NO-BREAK SPACE}SD"


def plain(text: object) -> str:
    """A name or what else a person typed, for Markdown: shown as it is, on one line, with no picture, link or icon."""
    return _escaped(_one_line(text))


def prose(text: object) -> str:
    """A sentence of the core, which may quote names, for Markdown: as `plain`, but `this` is set as code."""
    parts = _CODE.split(_one_line(text))
    return "".join(part if number % 2 else _escaped(part) for number, part in enumerate(parts))


def in_figure(text: object) -> str:
    """A name or sentence for Plotly, which renders HTML and fills in `%{x}`: shown as it is."""
    return html.escape(str(text), quote=False).replace("%{", "%&#123;")


def concept(index: int, layout: StyleLayout, names: Mapping[int, str]) -> str:
    """A concept's name or place, for Markdown; `concept_text` gives the same for a list, a table or a figure."""
    return plain(concept_text(index, layout, names))


def _one_line(text: object) -> str:
    return _SPACES.sub(" ", str(text)).strip(" ")


def _escaped(text: str) -> str:
    text = _LATER.sub("\\g<0>\N{WORD JOINER}", text)
    return _NUMBERED.sub(r"\1\\\2", _SYNTAX.sub(r"\\\g<0>", text))


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

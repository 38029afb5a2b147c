"""The page of a report: Jinja2 templates that escape whatever they are handed, and the style sheet.

How to add a chapter:

1. Write `templates/<name>.html.j2`. It begins with its heading, `{% set title = "Who is selected" %}`; below stand its
   words and its markup. Tables, facts, figures and links to files are in `templates/macros.html.j2`; how a number is
   written is a filter (`{{ share|percent }}`, `{{ gap|measured }}`; all of them: `_FILTERS` below).
2. Write the function that says what the chapter says, `def selected(findings: Findings) -> dict | None`: numbers and
   decisions, no markup. Its names are the template's names; None leaves the chapter out. Every template also has
   `findings`, `info`, `target`, `audit`, `before`, and `files`, the files inside the page by name: `files.groups`.
3. Add `("selected", selected)` to `CHAPTERS` in `report.py`. The name is that of the template and that of the links to
   the chapter.
4. A table as a file: a function in `sheets.py`, with its name in `_SHEETS`; then it is a CSV file beside the page and
   in it.
5. Test it in `tests/test_report.py` by what a reader finds. A name that a template does not know is an error.

Nothing here marks text as safe but the style sheet; a template that writes `|safe` is a mistake.
"""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from img2tab_core import __version__
from img2tab_core.audits.audit_record import SMALL
from img2tab_core.base import words
from img2tab_core.faces import marks
from img2tab_core.reports import wording
from img2tab_core.reports.findings import Missing

FOLDER = Path(__file__).parent
QUALITY = 80  # of the WebP pictures: a face of 256 px is then about 7 kB
# a browser that obeys this fetches nothing for the page, whatever stands in it
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


@dataclass(frozen=True)
class Chapter:
    """A part of the page: the name that links use, its heading, and its HTML."""

    anchor: str
    title: str
    content: Markup


@dataclass(frozen=True)
class File:
    """A file inside the page, saved with a click; kind: its media type."""

    name: str
    content: str
    kind: str = "text/csv"

    @property
    def address(self) -> str:
        """The content as an address that needs no network."""
        return _address(self.content.encode("utf-8", "replace"), self.kind)


def chapter(name: str, values: Mapping[str, object]) -> Chapter:
    """A chapter by its template, `<name>.html.j2`; values: what the template may name."""
    written = environment().get_template(f"{name}.html.j2").make_module(dict(values))
    return Chapter(name, vars(written)["title"], Markup(str(written)))  # noqa: S704 - it escaped every value


def document(name: str, chapters: Iterable[Chapter], values: Mapping[str, object]) -> str:
    """The whole page by its template, `<name>.html.j2`; the contents are made of the chapters' headings."""
    style = Markup((FOLDER / "style.css").read_text(encoding="utf-8"))  # noqa: S704 - our own file
    template = environment().get_template(f"{name}.html.j2")
    return template.render(values, chapters=list(chapters), style=style, policy=POLICY)


@cache
def environment() -> Environment:
    """Templates in which every value is escaped and every name must be known."""
    made = Environment(
        loader=FileSystemLoader(FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(_FILTERS)
    made.tests["missing"] = lambda value: isinstance(value, Missing)
    made.globals.update(few_faces=SMALL, version=__version__)
    return made


def picture(pixels: np.ndarray | bytes, source: marks.Source = "drawn") -> str:
    """A picture as an address that needs no network: uint8 (S, S, 3) RGB, or the bytes of a WebP file; with a mark of
    how it came about."""
    if isinstance(pixels, bytes):
        return _address(marks.marked(pixels, "in a report", source=source), "image/webp")
    drawn = Image.fromarray(pixels)  # what is visible of the mark is said once, in the footer
    return _address(
        marks.encoded(drawn, "WEBP", "in a report", source=source, label=None, quality=QUALITY), "image/webp"
    )


def at_most(pixels: np.ndarray, side: int) -> np.ndarray:
    """A picture uint8 (S, S, 3), made smaller where it is larger than `side` px."""
    if pixels.shape[0] <= side:
        return pixels
    return np.asarray(Image.fromarray(pixels).resize((side, side), Image.Resampling.LANCZOS))


def paragraphs(text: str) -> list[list[str]]:
    """What a person wrote, as paragraphs of lines: an empty line begins a paragraph, other line breaks are kept."""
    parts = text.replace("\r\n", "\n").replace("\r", "\n").split("\n\n")
    return [lines for part in parts if (lines := [line for line in part.split("\n") if line.strip()])]


def _address(content: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def css_text(text: str) -> str:
    """A text as it may stand between quotation marks in a style sheet: all but letters, digits and spaces as codes."""
    return "".join(
        letter if letter == " " or (letter.isascii() and letter.isalnum()) else f"\\{ord(letter):x} "
        for letter in html.unescape(text)
    )


_FILTERS = {
    "at_most": at_most,
    "chance": words.chance,
    "commas": lambda number: f"{number:,}",
    "count": words.count,
    "css_text": css_text,
    "day": wording.day,
    "difference_range": lambda difference: wording.difference_range(difference.low, difference.high),
    "estimated": wording.estimated,
    "excluding": wording.excluding,
    "in_points": wording.in_points,
    "interval": wording.interval,
    "listed": words.listed,
    "lower_first": wording.lower,
    "measured": wording.measured,
    "minute": wording.minute,
    "number": wording.number,
    "one_line": wording.one_line,
    "paragraphs": paragraphs,
    "percent": words.percent,
    "picture": picture,
    "plain": lambda number: f"{number:g}",
    "points": words.points,
    "sentence": words.sentence,
    "signed": words.signed,
    "unbroken": lambda name: wording.SPACE.join(name.rsplit(" ", 1)),  # "fringe 3" on one line
    "with_interval": wording.with_interval,
}

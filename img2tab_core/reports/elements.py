"""Elements of the chapters that are not templates yet; goes with the last of them."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

VOID = frozenset({"br", "img", "meta"})
SHAPES = frozenset({"circle", "line", "rect"})  # of SVG: without the stroke they would not end
QUALITY = 80  # of the WebP pictures: a face of 256 px is then about 7 kB
Child = object  # text, a number, Markup, None, or any of these in lists

STYLE = Path(__file__).parent / "style.css"
WIDE = 4  # columns that a phone can show beside each other
# a browser that obeys this fetches nothing for the page, whatever stands in it
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


@dataclass(frozen=True)
class Chapter:
    """A part of the page: the name that links use, its heading, what stands below."""

    anchor: str
    title: str
    content: Markup


def chapter(anchor: str, title: str, *parts: Child) -> Chapter:
    """A part of the page from its pieces."""
    return Chapter(anchor, title, joined(parts))


def document(title: str, header: Markup, chapters: Sequence[Chapter], footer: Markup) -> str:
    """The whole page: the contents are made of the chapters' headings."""
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", title),
        element("style", raw(STYLE.read_text(encoding="utf-8"))),
    )
    links = [element("li", element("a", part.title, href=f"#{part.anchor}")) for part in chapters]
    sections = [
        element(
            "section",
            element("h2", part.title, id=f"{part.anchor}-title"),
            part.content,
            id=part.anchor,
            aria_labelledby=f"{part.anchor}-title",
        )
        for part in chapters
    ]
    body = element(
        "body",
        header,
        element("nav", element("ol", links), aria_label="Contents"),
        element("main", sections),
        element("footer", footer),
    )
    return f"<!DOCTYPE html>\n{element('html', head, body, lang='en')}\n"


def text(*parts: Child, kind: str | None = None) -> Markup:
    """A paragraph; kind: its class in the style sheet."""
    return element("p", parts, class_=kind)


def bullets(items: Sequence[Child]) -> Markup:
    """A list without numbers."""
    return element("ul", [element("li", item) for item in items])


def facts(pairs: Sequence[tuple[str, Child]]) -> Markup:
    """Terms and what they are; one whose content is None is left out."""
    return element(
        "dl",
        [element("div", element("dt", term), element("dd", content)) for term, content in pairs if content is not None],
        class_="facts",
    )


def table(
    caption: Child,
    head: Sequence[Child],
    rows: Sequence[Sequence[Child]],
    *,
    words: Collection[int] = (),
    file: Markup | None = None,
    kind: str = "",
) -> Markup:
    """The first cell of a row is its heading; all others are numbers, but for the columns in `words`.

    file: the link to the same as CSV. On a narrow screen the table scrolls by itself, the page does not.
    """

    def styled(column: int) -> str | None:
        return None if column == 0 or column in words else "number"

    kind = f"table {'wide ' if len(head) > WIDE else ''}{kind}".strip()
    title = element("caption", element("div", caption, " ", file))
    top = element(
        "thead",
        element(
            "tr",
            [
                element("th", cell, scope="col", class_=styled(column)) if cell else element("td")
                for column, cell in enumerate(head)
            ],
        ),
    )
    body = element(
        "tbody",
        [
            element(
                "tr",
                [
                    element("td", cell, class_=styled(column)) if column else element("th", cell, scope="row")
                    for column, cell in enumerate(row)
                ],
            )
            for row in rows
        ],
    )
    return element(
        "div", element("table", title, top, body), class_=kind, tabindex="0", role="group", aria_label=_words(caption)
    )


def figure(content: Child, caption: Child, *, kind: str = "plot") -> Markup:
    """A figure with what is said below it; kind: its class in the style sheet."""
    return element("figure", content, element("figcaption", caption), class_=kind)


def key(before: str, now: str) -> Markup:
    """What the marks of a plot mean."""
    return element(
        "span", element("i", class_="mark before"), before, element("i", class_="mark now"), now, class_="key"
    )


def file_link(name: str, content: str, kind: str, words: str) -> Markup:
    """A file inside the page, saved with a click."""
    return element(
        "a",
        words,
        href=data_url(content.encode("utf-8", "replace"), kind),
        download=name,
        class_="file",
        title=f"Save {name}",
    )


def _words(caption: Child) -> str:
    return caption if isinstance(caption, str) and not isinstance(caption, Markup) else "Table"


class Markup(str):
    """Text that is HTML already, made by `element` alone."""

    __slots__ = ()


def element(name: str, /, *children: Child, **attributes: str | int | float | bool | None) -> Markup:
    """One HTML or SVG element.

    Children that are not Markup are escaped, None is left out, lists are taken apart. Attributes: an underscore at the
    end is dropped, the others become hyphens; None and False leave one out, True writes its name alone.
    """
    written = "".join(_attribute(key, value) for key, value in attributes.items())
    if name in VOID:
        return Markup(f"<{name}{written}>")
    if name in SHAPES:
        return Markup(f"<{name}{written}/>")
    return Markup(f"<{name}{written}>{joined(children)}</{name}>")


def joined(children: Child) -> Markup:
    """Several children one after the other."""
    if children is None:
        return Markup("")
    if isinstance(children, Markup):
        return children
    if isinstance(children, Iterable) and not isinstance(children, str):
        return Markup("".join(map(joined, children)))
    return Markup(html.escape(str(children)))


def raw(text: str) -> Markup:
    """What the product itself wrote, such as its style sheet; never what a person typed."""
    return Markup(text)


def paragraphs(text: str) -> list[Markup]:
    """What a person wrote: an empty line begins a paragraph, every other line break is kept."""
    elements = []
    for part in text.replace("\r\n", "\n").replace("\r", "\n").split("\n\n"):
        lines = [line for line in part.split("\n") if line.strip()]
        if lines:
            elements.append(
                element(
                    "p",
                    *(
                        piece
                        for number, line in enumerate(lines)
                        for piece in ((element("br"),) if number else ()) + (line,)
                    ),
                )
            )
    return elements


def picture(pixels: np.ndarray, text: str, *, size: int) -> Markup:
    """A picture inside the page; pixels: uint8 (S, S, 3) RGB; text: what it shows, for those who cannot see it."""
    kept = io.BytesIO()
    Image.fromarray(pixels).save(kept, "WEBP", quality=QUALITY, method=6)
    return element("img", src=data_url(kept.getvalue(), "image/webp"), alt=text, width=size, height=size)


def data_url(content: bytes, kind: str) -> str:
    """The content as an address that needs no network."""
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def _attribute(name: str, value: str | int | float | bool | None) -> str:
    if value is None or value is False:
        return ""
    name = name.rstrip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{html.escape(str(value))}"'

"""HTML as values: whatever is not Markup is text, and text is always escaped."""

from __future__ import annotations

import base64
import html
import io

import numpy as np
from PIL import Image

VOID = frozenset({"br", "img", "meta"})
SHAPES = frozenset({"circle", "line", "rect"})                       # of SVG: without the stroke they would not end
QUALITY = 80             # of the WebP pictures: a face of 256 px is then about 7 kB

Child = object           # text, a number, Markup, None, or any of these in lists


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
    if isinstance(children, str | int | float):
        return Markup(html.escape(str(children)))
    return Markup("".join(map(joined, children)))


def raw(text: str) -> Markup:
    """What the product itself wrote, such as its style sheet; never what a person typed."""
    return Markup(text)


def paragraphs(text: str) -> list[Markup]:
    """What a person wrote: an empty line begins a paragraph, every other line break is kept."""
    found = []
    for part in text.replace("\r\n", "\n").replace("\r", "\n").split("\n\n"):
        lines = [line for line in part.split("\n") if line.strip()]
        if lines:
            found.append(element("p", *(
                piece for number, line in enumerate(lines) for piece in ((element("br"),) if number else ()) + (line,)
            )))
    return found


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

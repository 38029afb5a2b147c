"""Pictures in rows and grids: the same size, captioned, and clickable where there is a choice."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Sequence

import numpy as np
import streamlit as st
from PIL import Image, ImageDraw

from img2tab_core.faces import marks

FORMATS = ["jpg", "jpeg", "png", "webp", "bmp", "tif", "tiff", "gif"]  # endings of photos that can be brought
MARK = (232, 119, 34)  # the orange of the charts
CHANGE_FULL = 24  # mean difference over R, G and B, of 255, that shows as full orange

# A picture is chosen by clicking the picture itself: its button lies over it, see-through, and keeps its
# name and its focus for the keyboard and for screen readers. Colours come from the theme.
_STYLE = """
<style>
:is([class*="st-key-pick-"], [class*="st-key-picked-"]) {
  position: relative;
  gap: 0;
  & img { border-radius: 0.5rem; }
  & > :has(button):not(:has(img)) {
    position: absolute; inset: 0; z-index: 2; width: 100%; height: 100%;
    & :has(button), & button { width: 100%; height: 100%; }
    & button { opacity: 0; cursor: pointer; }
  }
  & > :has(img) button { display: none; }  /* the picture's own, to enlarge it */
}
[class*="st-key-pick-"]:is(:hover, :focus-within) img {
  outline: 2px solid rgba(128, 132, 149, 0.8); outline-offset: 2px;
}
[class*="st-key-picked-"] img { outline: 3px solid rgb(232, 119, 34); outline-offset: 2px; }
[class*="st-key-picked-"]:focus-within img { outline-style: double; outline-width: 5px; }
</style>
"""


def lit(picture: np.ndarray, where: np.ndarray) -> np.ndarray:
    """The picture uint8 (S, S, 3) in grey, in colour and tinted orange where `where`, uint8 (m, m), is high."""
    side = len(picture)
    mask = Image.fromarray(where).resize((side, side), Image.Resampling.BICUBIC)
    share = np.clip(np.asarray(mask, np.float32)[..., None] / 255 * 1.4, 0, 1)
    grey = np.repeat(picture.mean(axis=2, keepdims=True), 3, axis=2) * 0.55 + 70
    tinted = 0.7 * picture + 0.3 * np.array(MARK, np.float32)
    return np.clip(grey * (1 - share) + tinted * share, 0, 255).astype(np.uint8)


def thumbnail(picture: np.ndarray, where: np.ndarray, side: int = 56) -> str:
    """The face with a part of it lit, small, as an address that holds the picture itself."""
    small = np.asarray(Image.fromarray(picture).resize((side, side), Image.Resampling.BOX))
    return _address(Image.fromarray(lit(small, where)), quality=80)


def _small(picture: np.ndarray, side: int) -> str:
    """A picture uint8 (S, S, 3), small, as an address that holds it; made once: every click draws the page anew."""
    return _small_file(picture.tobytes(), picture.shape, side)


@st.cache_data(scope="session", show_spinner=False, max_entries=64)  # faces of a visitor may be among them
def _small_file(pixels: bytes, shape: tuple[int, ...], side: int) -> str:
    picture = Image.fromarray(np.frombuffer(pixels, np.uint8).reshape(shape))
    return _address(picture.resize((side, side), Image.Resampling.LANCZOS), quality=85)


def forget() -> None:
    """Let go the small pictures of this visit."""
    _small_file.clear()


def _address(picture: Image.Image, *, quality: int) -> str:
    """A picture as an address that holds it, WebP."""
    kept = io.BytesIO()
    picture.save(kept, "WEBP", quality=quality)
    return f"data:image/webp;base64,{base64.b64encode(kept.getvalue()).decode('ascii')}"


def sheet(drawn: np.ndarray) -> np.ndarray:
    """uint8 (faces, shifts, S, S, 3) -> one picture, a row for each face."""
    return np.vstack([np.hstack(list(row)) for row in drawn])


def choose(
    pictures: Sequence[np.ndarray],
    titles: Sequence[str],
    *,
    key: str,
    chosen: int | None,
    on_choose: Callable[[int], None],
    width: int = 96,
    across: int = 12,
    under: Sequence[str] = (),
) -> None:
    """A grid of pictures, uint8 (S, S, 3) RGB, at least `width` pixels wide and at most `across` in a row.

    A click on one calls on_choose with its number. under: a caption for each, as Markdown.
    """
    st.html(_STYLE)
    grid = st.grid(across, min_column_width=width, gap="small", key=f"{key}-grid")
    for number, (picture, title) in enumerate(zip(pictures, titles, strict=True)):
        state = "picked" if number == chosen else "pick"
        with grid.cell(), st.container(key=f"{state}-{key}-{number}"):
            st.image(_small(picture, 2 * width), width="stretch", alt=title)
            st.button(title, key=f"{key}-{number}", on_click=on_choose, args=(number,))
            if under:
                st.caption(under[number])


def in_square(
    photo: np.ndarray, boxes: Sequence[tuple[float, float, float, float]], chosen: int, *, size: int = 384
) -> Image.Image:
    """The whole photo in a transparent square, its faces framed, the chosen one in orange; RGBA (size, size)."""
    height, width = photo.shape[:2]
    scale = size / max(height, width)
    small = Image.fromarray(photo).resize((max(1, round(width * scale)), max(1, round(height * scale))))
    pen = ImageDraw.Draw(small)
    for number, box in enumerate(boxes):
        colour, thick = (MARK, 3) if number == chosen else ((255, 255, 255), 2)
        pen.rectangle([edge * scale for edge in box], outline=colour, width=thick)
    square = Image.new("RGBA", (size, size), (0, 0, 0, 0))
    square.paste(small, ((size - small.width) // 2, (size - small.height) // 2))
    return square


def png(pixels: np.ndarray, what: str, *, source: marks.Source = "drawn") -> bytes:
    """uint8 (H, W, 3) RGB -> a PNG file that says how it came about, in the file and in a corner; what: was moved."""
    return marks.encoded(Image.fromarray(pixels), "PNG", what, source=source)


def change(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Where two pictures uint8 (S, S, 3) differ: orange over a dim grey picture, the same gain for every pair."""
    gone = np.abs(after.astype(np.float32) - before).mean(axis=-1, keepdims=True)  # (S, S, 1), 0..255
    share = np.clip(gone / CHANGE_FULL, 0, 1)
    grey = 0.45 * before.mean(axis=-1, keepdims=True) + 25
    return np.round((1 - share) * grey + share * np.asarray(MARK, np.float32)).astype(np.uint8)


def side_by_side(pictures: Sequence[np.ndarray], *, gap: int = 4) -> Image.Image:
    """Pictures uint8 (S, S, 3) in one row with a see-through gap; RGBA."""
    size = pictures[0].shape[0]
    row = Image.new("RGBA", (len(pictures) * size + (len(pictures) - 1) * gap, size), (0, 0, 0, 0))
    for number, picture in enumerate(pictures):
        row.paste(Image.fromarray(picture), (number * (size + gap), 0))
    return row


def placeholder(width: int, height: int) -> str:
    """A quiet grey picture that holds the place of one still being drawn, as a data URL."""
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}">'
        '<rect width="100%" height="100%" rx="6" fill="rgb(128,132,149)" fill-opacity="0.15"/></svg>'
    )
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()

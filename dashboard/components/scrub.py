"""A face that follows the hand: a strip of pictures drawn in advance, moved along in the browser, no server between."""

from __future__ import annotations

import io
import json
import math
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from dashboard.components import dragging
from img2tab_core.base.records import Frame, digest
from img2tab_core.faces import marks

REACH = 10.0  # standard deviations to either side
STEP = 0.1  # what is reported is a multiple of this
STRIDE, LEAP = 0.5, 2.5  # an arrow key, a page key
SHIFTS = np.linspace(-REACH, REACH, 1 + round(2 * REACH / STEP))  # where the probability is known
MOVED = "concepts moved on the page Inspect"
QUALITY = 82  # of WebP: 3 ms and 9 kB for a face of 256 px, its error far below what is seen
LABEL = "Move by, standard deviations"

_component = dragging.component("scrub")


@dataclass(frozen=True)
class Strip:
    """A face while one concept moves: WebP files, the shift of each in standard deviations, ascending."""

    shifts: tuple[float, ...]
    pictures: tuple[bytes, ...]
    key: str


@dataclass(frozen=True)
class Scene:
    """What the scrubber shows.

    of: the face and the concept; as long as it stays, so do the marker and a drag. around: the face and every other
    edit; a strip drawn around something else is not shown. curve: the probability that the face is `word`, at SHIFTS.
    share: the same at `shift`; before_share: without any edit. before and after: WebP files, None while one is being
    drawn. strip: None while the first is being drawn.
    """

    of: str
    around: str
    shift: float
    curve: tuple[float, ...]
    share: float
    before_share: float
    before: bytes | None
    after: bytes | None
    strip: Strip | None
    word: str
    title: str
    meaning: str
    colour: str


def webp(pixels: np.ndarray, source: marks.Source | None) -> bytes:
    """uint8 (H, W, 3) RGB -> a WebP file that says how it came about: it may be saved from the page.

    source: None for a photo as it was brought.
    """
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "WEBP", quality=QUALITY, method=2)
    return marks.marked(file.getvalue(), MOVED, source=source) if source else file.getvalue()


def strip_of(frames: Sequence[Frame], source: marks.Source = "drawn") -> Strip:
    """The frames of a strip as files."""
    pictures = tuple(webp(frame.pixels, source) for frame in frames)
    return Strip(tuple(frame.shift for frame in frames), pictures, digest(*pictures)[:16])


def scrub(scene: Scene, *, key: str, on_move: Callable[[float], None]) -> None:
    """Before and after, and under them the strip with the probability along it; a slider for the concept's shift.

    on_move is called with the new shift, a multiple of STEP within REACH, when the person lets go.
    """
    moved = dragging.hearing(key, lambda report: answer(report, scene.of), on_move)
    _component(key=key, data=pack(scene, turn=dragging.heard(key)), on_moved_change=moved)


def pack(scene: Scene, *, turn: int) -> bytes:
    """A scene for the browser: four bytes with the length of a JSON head, the head, then every picture.

    turn: of the last report that arrived here; the browser knows by it whether the page has heard everything.
    """
    strip = scene.strip or Strip((), (), "")
    files = [scene.before or b"", scene.after or b"", *strip.pictures]
    head = {
        "of": scene.of,
        "around": scene.around,
        "turn": turn,
        "shift": scene.shift,
        "reach": REACH,
        "step": STEP,
        "stride": STRIDE,
        "leap": LEAP,
        "curve": [round(share, 5) for share in scene.curve],
        "share": scene.share,
        "before_share": scene.before_share,
        "strip": strip.key,
        "shifts": strip.shifts,
        "colour": scene.colour,
        "before_key": digest(files[0])[:16],
        "after_key": digest(files[1])[:16],
        "lengths": [len(file) for file in files],
        "text": {
            "slider": LABEL,
            "class": scene.word,
            "before": f"{scene.title}, before",
            "after": f"{scene.title}, after",
            "meaning": scene.meaning,
        },
    }
    text = json.dumps(head, ensure_ascii=False).encode()
    return struct.pack("<I", len(text)) + text + b"".join(files)


def unpack(data: bytes) -> tuple[dict, tuple[bytes, ...]]:
    """The head and the pictures that `pack` joined."""
    (length,) = struct.unpack("<I", data[:4])
    head, place, pictures = json.loads(data[4 : 4 + length]), 4 + length, []
    for size in head["lengths"]:
        pictures.append(data[place : place + size])
        place += size
    return head, tuple(pictures)


def answer(said: object, of: str) -> float | None:
    """The shift a browser reported for this face and concept; None where it is about another, or makes no sense."""
    shift = dragging.about(said, of).get("shift")
    if isinstance(shift, bool) or not isinstance(shift, int | float) or not math.isfinite(shift):
        return None
    return float(round(min(REACH, max(-REACH, shift)) / STEP) / round(1 / STEP))

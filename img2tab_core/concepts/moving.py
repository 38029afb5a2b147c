"""Every channel of a backbone moved on a few faces, and what changed in the pictures: the measurement behind families.

A face is drawn as it is, and with one channel moved up and down by `SHIFT` standard deviations. What is kept of each
pair is small: how much changed, in which part of the face, in which direction of colour, the signed change as a little
picture, and where it can be seen at all the 68 landmarks and what the encoder reads in both pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np
import torch

from img2tab_core.backbones import rendering
from img2tab_core.backbones.rendering import Precision, low_of, placed
from img2tab_core.base.cores import on_single_cores
from img2tab_core.base.errors import Cancelled, Img2TabError
from img2tab_core.base.files import whole
from img2tab_core.base.foreign import read_arrays
from img2tab_core.base.records import StyleCode
from img2tab_core.concepts.description import MAP, REGIONS
from img2tab_core.concepts.regions import regions_of
from img2tab_core.faces import alignment
from img2tab_core.networks.features import Features, Layered

if TYPE_CHECKING:
    from img2tab_core.backbones.backbone import Backbone

SHIFT = 8.0  # standard deviations, up and down
SIDE = 128  # px at which is drawn and compared
SEEN = 1.0  # of 255 grey levels between the two pictures, on average; below it landmarks and encoder are not asked
BATCH, BATCH_ON_CARD = 8, 32  # channels measured together; on a CPU each picture is drawn alone: it stays in cache


@dataclass(frozen=True, eq=False)
class Moved:
    """What moving channels did to one face, plus against minus `SHIFT`; C channels, all arrays read in this order.

    channels: int64 (C,). change: float32 (C,), mean absolute difference of the two pictures at half their size, of 255
    levels. share: float16 (C, R), how much of the squared difference, in pictures of MAP px, lies in each of `REGIONS`,
    adding up to 1: what is changed strongly in a small place counts more than a little everywhere. colour: float16
    (C, R, 3), half the mean difference in CIE Lab inside each region. detail: float16 (C,), share of the squared
    difference that is finer than 4 px.
    picture: float16 (C, MAP, MAP, 3), half the signed difference, levels, RGB. landmarks: float16 (C, 2, 68, 2), in
    minus and plus, eye distances from where they are without moving; w: float16 (C, 2, 512), what the encoder reads,
    the mean over its layers. The last two are NaN where the change is below `SEEN`.
    """

    channels: np.ndarray
    change: np.ndarray
    share: np.ndarray
    colour: np.ndarray
    detail: np.ndarray
    picture: np.ndarray
    landmarks: np.ndarray
    w: np.ndarray

    def keep(self, file: Path) -> None:
        """Write whole or not at all."""
        with whole(file) as part, part.open("wb") as stream:
            np.savez(stream, **{field.name: getattr(self, field.name) for field in fields(self)})

    def of(self, channels: np.ndarray) -> Moved:
        """Only these of its channels, int64 (c,), in this order."""
        rows = np.searchsorted(self.channels, channels)
        return Moved(*(getattr(self, field.name)[rows] for field in fields(self)))

    @staticmethod
    def joined(parts: Sequence[Moved]) -> Moved:
        """Several pieces as one, their channels one after the other."""
        return Moved(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Moved)))

    @staticmethod
    def kept(file: Path) -> Moved:
        """Read what `keep` wrote. Raises OSError, ValueError or KeyError where that is not it."""
        stored = read_arrays(file)
        return Moved(**{field.name: stored[field.name] for field in fields(Moved)})


@dataclass(frozen=True, eq=False)
class Subject:
    """A face whose channels are moved: its code float32 (D,), picture uint8 (SIDE, SIDE, 3), and the parts of it.

    box: where the face is in the picture; landmarks: float32 (68, 2), px of the picture; both None where no face was
    found. regions: uint8 (SIDE, SIDE), numbers into `REGIONS`, all background without a face.
    """

    code: np.ndarray
    picture: np.ndarray
    box: tuple[int, int, int, int] | None
    landmarks: np.ndarray | None
    regions: np.ndarray


def subject(backbone: Backbone, code: np.ndarray, landmark_file: Path) -> Subject:
    """The face of a style code float32 (D,), made ready."""
    drawn = draw(backbone, code[None], size=backbone.fitting(2 * SIDE))
    picture = np.round(_sized(drawn.astype(np.float32))[0]).astype(np.uint8)
    faces = alignment.find_faces(drawn[0], landmark_file)
    if not faces:
        return Subject(code, picture, None, None, np.zeros((SIDE, SIDE), np.uint8))
    scale = SIDE / drawn.shape[1]
    box = cast(tuple[int, int, int, int], tuple(round(scale * edge) for edge in faces[0].box))
    landmarks = alignment.landmarks_in(picture, box, landmark_file)
    return Subject(code, picture, box, landmarks, regions_of(picture, landmarks))


def draw(backbone: Backbone, codes: np.ndarray, *, size: int, precision: Precision = "exact") -> np.ndarray:
    """Style codes float32 (n, D) -> pictures uint8 (n, size, size, 3)."""
    faces = [StyleCode.of(values, backbone.name) for values in codes]
    return rendering.draw(backbone.generator, faces, size=size, precision=precision)


class Direction(NamedTuple):
    """Channels moved together: int64 (k,); and parts float (k,): what each moves where the whole moves by 1, in SD."""

    channels: np.ndarray
    parts: np.ndarray


def move(
    backbone: Backbone,
    face: Subject,
    channels: Sequence[int] | np.ndarray,
    landmark_file: Path,
    *,
    always: bool = False,
    cancelled: Callable[[], bool] | None = None,
) -> Moved:
    """Move each channel of a face alone, up and down, and measure.

    always: ask landmarks and encoder also where the change is below `SEEN`. Raises Img2TabError where a channel is not
    one of this backbone, and Cancelled once `cancelled` says so.
    """
    channels = np.asarray(channels, np.int64)
    alone = [Direction(channels[i : i + 1], np.ones(1)) for i in range(len(channels))]
    moved = move_together(backbone, face, alone, landmark_file, always=always, cancelled=cancelled)
    return replace(moved, channels=channels)


def move_together(
    backbone: Backbone,
    face: Subject,
    directions: Sequence[Direction],
    landmark_file: Path,
    *,
    shift: float = SHIFT,
    always: bool = True,
    cancelled: Callable[[], bool] | None = None,
) -> Moved:
    """Move several channels of a face at once, `shift` times their part, up and down, for each direction; measure.

    What comes back is in the order of the directions, and its channels are their numbers. Raises as `move` does.
    """
    channels = np.concatenate([direction.channels for direction in directions]) if directions else np.empty(0, np.int64)
    if len(channels) and not 0 <= channels.min() <= channels.max() < backbone.layout.total:
        raise Img2TabError(
            f"Channels must be from 0 to {backbone.layout.total - 1}, got {channels.min()} to {channels.max()}."
        )
    device = placed(backbone.generator)[1]
    layers = (
        np.searchsorted(backbone.layout.offsets, [direction.channels.min() for direction in directions], "right") - 1
    )
    groups = list(_groups(layers, BATCH if device.type == "cpu" else BATCH_ON_CARD))
    face_of = _Measuring(backbone, face, landmark_file, shift=shift, always=always)

    def measured(layer: int, numbers: np.ndarray) -> Moved:
        if cancelled is not None and cancelled():
            raise Cancelled("Stopped; what was measured is kept, and the same command goes on from there.")
        return face_of.measured(layer, numbers, [directions[number] for number in numbers])

    if device.type == "cpu":
        parts = on_single_cores(measured, *zip(*groups, strict=True)) if groups else []
    else:
        parts = [measured(*group) for group in groups]
    joined = Moved.joined(parts)
    order = np.argsort(joined.channels)
    return Moved(*(getattr(joined, field.name)[order] for field in fields(Moved)))


def _groups(layers: np.ndarray, most: int) -> Iterator[tuple[int, np.ndarray]]:
    """(style layer, numbers of the directions that begin with it), a few at a time."""
    for layer in np.unique(layers):
        numbers = np.flatnonzero(layers == layer)
        for start in range(0, len(numbers), most):
            yield int(layer), numbers[start : start + most]


class _Measuring:
    """What is computed once for a face and shared by all its channels."""

    def __init__(self, backbone: Backbone, face: Subject, landmark_file: Path, *, shift: float, always: bool) -> None:
        self._backbone, self._face, self._landmark_file = backbone, face, landmark_file
        self._shift, self._always = shift, always
        generator, self._device = placed(backbone.generator)
        self._generator = cast(Layered, generator)
        self._low = low_of(generator, self._device, "draft")  # what it rounds is averaged away before pictures meet
        self._styles = torch.from_numpy(face.code.copy())[None].to(self._device)
        self._prefixes: dict[tuple[int, int], Features] = {}
        self._parts = parts_of_map(face.regions)
        half = face.regions[1::2, 1::2]
        self._of_region = np.stack([(half == number).ravel() for number in range(len(REGIONS))]).astype(np.float32)
        self._sizes = np.maximum(self._of_region.sum(axis=1), 1)

    @torch.inference_mode()
    def _pairs(self, layer: int, directions: Sequence[Direction]) -> np.ndarray:
        """Pictures float32 (C, 2, SIDE, SIDE, 3), minus and plus, 0 to 255."""
        last = max(int(direction.channels.max()) for direction in directions)
        shown = int(np.searchsorted(self._backbone.layout.offsets, last, side="right")) - 1
        size = self._backbone.fitting(max(SIDE, self._backbone.generator.shows_from(shown)))
        prefix = self._prefixes.get((layer, size))
        if prefix is None:
            prefix = self._generator.prefix(self._styles, layer, size=size, low=self._low)
            self._prefixes[layer, size] = prefix
        styles = self._styles.repeat(2 * len(directions), 1)
        for row, (index, parts) in enumerate(directions):
            by = self._shift * (parts * self._backbone.stats.std[index]).astype(np.float32)
            at = torch.from_numpy(index.copy()).to(self._device)
            styles[2 * row].index_add_(0, at, torch.from_numpy(-by).to(self._device))
            styles[2 * row + 1].index_add_(0, at, torch.from_numpy(by).to(self._device))
        alone = 1 if self._device.type == "cpu" else len(styles)
        pictures = torch.cat(
            [self._generator.synthesis(part, size=size, after=prefix, low=self._low) for part in styles.split(alone)]
        )
        drawn = ((pictures.clamp(-1, 1) + 1) * 127.5).permute(0, 2, 3, 1).cpu().numpy()
        return _sized(drawn).reshape(len(directions), 2, SIDE, SIDE, 3)

    def measured(self, layer: int, numbers: np.ndarray, directions: Sequence[Direction]) -> Moved:
        pairs = self._pairs(layer, directions)
        count = len(directions)
        apart = pairs[:, 1] - pairs[:, 0]  # (C, SIDE, SIDE, 3)
        half = _smaller(pairs, SIDE // 2)  # (C, 2, 64, 64, 3)
        grey = np.abs(half[:, 1] - half[:, 0]).mean(axis=-1).reshape(count, -1)
        change = grey.mean(axis=1)
        lab = _lab(half)
        lab = ((lab[:, 1] - lab[:, 0]) / 2).reshape(count, -1, 3)
        colour = np.einsum("rp,cpk->crk", self._of_region, lab) / self._sizes[None, :, None]
        small = _smaller(apart, MAP)
        share = shares(small, self._parts)
        energy = (apart**2).sum(axis=(1, 2, 3))
        coarse = (small**2).sum(axis=(1, 2, 3)) * (SIDE / MAP) ** 2
        detail = 1 - coarse / np.maximum(energy, 1e-9)
        landmarks = np.full((count, 2, alignment.LANDMARKS, 2), np.nan, np.float16)
        w = np.full((count, 2, 512), np.nan, np.float16)
        asked = np.flatnonzero((change >= SEEN) | self._always)
        if len(asked):
            pictures = np.round(pairs[asked]).astype(np.uint8).reshape(-1, SIDE, SIDE, 3)
            box, at = self._face.box, self._face.landmarks
            if box is not None and at is not None:
                marks = [alignment.landmarks_in(picture, box, self._landmark_file) for picture in pictures]
                eyes = np.hypot(*(at[42:48].mean(axis=0) - at[36:42].mean(axis=0)))
                landmarks[asked] = ((np.stack(marks) - at) / eyes).reshape(-1, 2, alignment.LANDMARKS, 2)
            if self._backbone.encoder is not None:
                w[asked] = self._read(pictures).reshape(-1, 2, 512)
        return Moved(
            numbers, change.astype(np.float32), share.astype(np.float16), colour.astype(np.float16),
            detail.astype(np.float16), (small / 2).astype(np.float16), landmarks, w,
        )  # fmt: skip

    def _read(self, pictures: np.ndarray) -> np.ndarray:
        w = self._backbone.invert(pictures)
        return w if w.ndim == 2 else w.mean(axis=1)


def parts_of_map(regions: np.ndarray) -> np.ndarray:
    """Regions uint8 (S, S) -> how much of every pixel of a little picture is of each: float32 (R, MAP, MAP)."""
    by = len(regions) // MAP
    parts = [(regions == number).reshape(MAP, by, MAP, by).mean(axis=(1, 3)) for number in range(len(REGIONS))]
    return np.stack(parts).astype(np.float32)


def shares(pictures: np.ndarray, parts: np.ndarray) -> np.ndarray:
    """How much of the squared change lies in each region: little pictures (C, MAP, MAP, 3) -> float32 (C, R)."""
    energy = (pictures.astype(np.float32) ** 2).sum(axis=-1).reshape(len(pictures), -1)
    in_region = energy @ parts.reshape(len(parts), -1).T
    return in_region / np.maximum(in_region.sum(axis=1, keepdims=True), 1e-9)


def _smaller(pictures: np.ndarray, side: int) -> np.ndarray:
    """(..., S, S, 3) -> (..., side, side, 3), each pixel the mean of those it stands for."""
    *front, full, _, _ = pictures.shape
    by = full // side
    return pictures.reshape(*front, side, by, side, by, 3).mean(axis=(-4, -2))


def _sized(pictures: np.ndarray) -> np.ndarray:
    """(n, S, S, 3) -> (n, SIDE, SIDE, 3); of a backbone that draws smaller ones every pixel is repeated."""
    if pictures.shape[1] >= SIDE:
        return _smaller(pictures, SIDE)
    by = SIDE // pictures.shape[1]
    return pictures.repeat(by, axis=1).repeat(by, axis=2)


_TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]], np.float32)
_WHITE = np.array([0.95047, 1.0, 1.08883], np.float32)
_LINEAR = (lambda x: np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4))(np.arange(256) / 255)


def _lab(pictures: np.ndarray) -> np.ndarray:
    """RGB 0 to 255 (..., 3) -> CIE Lab under D65, float32: L 0 to 100; a, b about -100 to 100."""
    linear = _LINEAR.astype(np.float32)[np.clip(np.rint(pictures), 0, 255).astype(np.uint8)]
    ratio = linear @ _TO_XYZ.T / _WHITE
    f = np.where(ratio > 0.008856, np.cbrt(ratio), 7.787 * ratio + 16 / 116)
    return np.stack([116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], axis=-1)

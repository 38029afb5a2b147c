"""Style codes to pictures: edits in standard deviations, strips of frames, families of channels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from img2tab_core.errors import Img2TabError
from img2tab_core.layout import StyleLayout
from img2tab_core.records import ChannelStats, Edit, StyleCode


class Generator(Protocol):
    """What stands behind a backbone: styles from w+, pictures from styles; styles are an argument."""

    layout: StyleLayout

    def styles(self, w_plus: Tensor) -> Tensor: ...

    def synthesis(self, styles: Tensor, *, size: int) -> Tensor: ...


def edited(code: StyleCode, edits: Sequence[Edit], stats: ChannelStats) -> StyleCode:
    """The style code with every edit applied; edits of one channel add up. The given code is left as it was."""
    if not edits:
        return code
    index = np.array([edit.index for edit in edits])
    if index.min() < 0 or index.max() >= len(code.values):
        raise Img2TabError(
            f"An edit names channel {index.min() if index.min() < 0 else index.max()}, but this style code has "
            f"channels 0 to {len(code.values) - 1}. Choose a channel of this backbone."
        )
    shift = np.array([edit.shift for edit in edits], np.float32)
    if not np.isfinite(shift).all():
        raise Img2TabError("An edit's shift must be a finite number of standard deviations. Give a number such as +3.")
    values = code.values.copy()
    np.add.at(values, index, shift * stats.std[index])
    return StyleCode.of(values, code.backbone)


@torch.inference_mode()
def draw_raw(generator: Generator, codes: Sequence[StyleCode], *, size: int) -> np.ndarray:
    """Pictures of style codes, float32 (n, size, size, 3), RGB, nominal range [-1, 1], not clipped."""
    pictures = [
        generator.synthesis(torch.from_numpy(code.values.copy())[None], size=size)[0] for code in codes
    ]                                                                # one at a time: stays in cache, faster on a CPU
    return torch.stack(pictures).permute(0, 2, 3, 1).contiguous().numpy()


def draw(generator: Generator, codes: Sequence[StyleCode], *, size: int) -> np.ndarray:
    """Pictures of style codes, uint8 (n, size, size, 3), RGB."""
    return to_pixels(draw_raw(generator, codes, size=size))


def to_pixels(pictures: np.ndarray) -> np.ndarray:
    """float in [-1, 1] (clipped) -> uint8."""
    return np.round((np.clip(pictures, -1, 1) + 1) * 127.5).astype(np.uint8)


def reduced(pictures: np.ndarray, size: int) -> np.ndarray:
    """uint8 (n, S, S, 3) -> (n, size, size, 3), each pixel the mean of those it stands for; S a multiple of size."""
    n, side = len(pictures), pictures.shape[1] // size
    blocks = pictures.reshape(n, size, side, size, side, 3)
    return np.round(blocks.mean(axis=(2, 4), dtype=np.float32)).astype(np.uint8)


def shifts(reach: float, frames: int) -> np.ndarray:
    """Evenly spaced shifts from -reach to +reach, the middle one exactly 0; float64 (frames,)."""
    if frames < 3 or frames % 2 == 0:
        raise Img2TabError(f"A strip needs an odd number of frames, 3 or more, got {frames}.")
    half = frames // 2
    return np.arange(-half, half + 1) * (reach / half)


def family(distance: np.ndarray, *, count: int, strength: float) -> tuple[Edit, ...]:
    """The `count` channels farthest apart between the classes, each moved by strength x its signed distance.

    distance: float64 (D,), standard deviations, positive where class 1 has the higher values. A positive
    strength moves towards class 1.
    """
    chosen = np.argsort(-np.abs(distance), kind="stable")[:count]
    return tuple(Edit(int(i), float(strength * distance[i])) for i in chosen if distance[i] != 0)

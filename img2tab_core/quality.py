"""How well a reconstruction shows its face: three words for what a person would say about \"is this the person?\"."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image

from img2tab_core.networks.face_descriptor import FaceDescriptor, chips_of
from img2tab_core.records import Quality

WORDS = ("good", "partial", "poor")


def judge(descriptor: FaceDescriptor, face: np.ndarray, drawn: np.ndarray) -> Quality:
    """TO BE CALIBRATED"""
    distance = identity_distance(descriptor, face, drawn)
    return Quality("good" if distance < 0.5 else "partial" if distance < 0.7 else "poor", "", distance)


@torch.inference_mode()
def identity_distance(descriptor: FaceDescriptor, face: np.ndarray, drawn: np.ndarray) -> float:
    """Distance of dlib's descriptors of two aligned pictures, uint8 (S, S, 3), of one geometry; no landmarks needed."""
    pictures = torch.from_numpy(np.stack([face, _as_large(drawn, face)])).permute(0, 3, 1, 2).float() / 127.5 - 1
    first, second = descriptor(chips_of(pictures))
    return float((first - second).norm())


def difference(face: np.ndarray, drawn: np.ndarray) -> float:
    """1 minus the correlation of two aligned pictures, uint8 (S, S, 3); 0 the same picture, 1 an unrelated one.

    Both are averaged to 32 px, over the middle where the face is, every colour about its own mean.
    """
    small = [
        np.asarray(Image.fromarray(pixels).resize((32, 32), Image.BOX), np.float64)[6:30, 6:26]
        for pixels in (face, drawn)
    ]
    first, second = ((one - one.mean(axis=(0, 1))).ravel() for one in small)
    return float(1 - first @ second / max(np.linalg.norm(first) * np.linalg.norm(second), 1e-9))


def _as_large(drawn: np.ndarray, face: np.ndarray) -> np.ndarray:
    if drawn.shape == face.shape:
        return drawn
    return np.asarray(Image.fromarray(drawn).resize(face.shape[1::-1], Image.Resampling.BICUBIC))

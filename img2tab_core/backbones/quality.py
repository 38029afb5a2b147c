"""How well a reconstruction shows its face: three words for what a person would say about \"is this the person?\"."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image

from img2tab_core.base.records import Quality
from img2tab_core.networks.face_descriptor import FaceDescriptor, chips_of
from img2tab_core.networks.face_encoder import to_input

WORDS = ("good", "partial", "poor")
GOOD, PARTIAL = (0.40, 0.25), (0.60, 0.40)  # below which identity distance and difference; see `assess`
SENTENCES = {
    "good": "The reconstruction shows this person.",
    "partial": "The reconstruction shows somebody much like this person: main traits are kept, not all of them.",
    "poor": "The reconstruction does not show this person: what follows is about the face in the reconstruction, so "
    "read it with care. A frontal, evenly lit photo helps.",
}


def assess(descriptor: FaceDescriptor, face: np.ndarray, drawn: np.ndarray) -> Quality:
    """The badge of a reconstruction; face and drawn uint8 (S, S, 3), aligned.

    good: the identity distance is below 0.40 and the pictures' difference below 0.25: whoever knows the person would
    name them. partial: below 0.60 (dlib's own border between one person and two) and 0.40: like a relative. poor: the
    rest, another person of the same kind. The borders were placed by looking at 57 portraits beside an earlier
    encoder's reconstructions (0.50 to 0.79: none is the person, below 0.60 some could be a sibling) and at 13 on their
    way through an earlier refinement (0.40 to 0.48 a sibling, from 0.38 down the person). The difference is there
    because a descriptor forgives what a person does not, a face turned red for instance.

    The distance is that of the mirror images. The encoder's training and a refinement both lower it (a refinement down
    to about 0.25), so a good word after refining is partly its own doing; the independent judge is the second network
    of `img2tab evaluate-backbone --second-identity`.
    """
    distance = identity_distance(descriptor, face[:, ::-1], drawn[:, ::-1])
    apart = difference(face, drawn)
    (good, good_apart), (partial, partial_apart) = GOOD, PARTIAL
    if distance < good and apart < good_apart:
        word = "good"
    else:
        word = "partial" if distance < partial and apart < partial_apart else "poor"
    return Quality(
        word,
        SENTENCES[word],
        distance,
        (
            f"Identity distance of the mirror images {distance:.2f} (good below {good:.2f}, partial below "
            f"{partial:.2f}); "
            f"difference of the pictures {apart:.2f} (good below {good_apart:.2f}, partial below {partial_apart:.2f})."
        ),
    )


@torch.inference_mode()
def identity_distance(descriptor: FaceDescriptor, face: np.ndarray, drawn: np.ndarray) -> float:
    """Distance of dlib's descriptors of two aligned pictures, uint8 (S, S, 3), of one geometry; no landmarks needed."""
    pictures = to_input(torch.from_numpy(np.stack([face, _as_large(drawn, face)])), face.shape[0])
    first, second = descriptor(chips_of(pictures))
    return float((first - second).norm())


def difference(face: np.ndarray, drawn: np.ndarray) -> float:
    """1 minus the correlation of two aligned pictures, uint8 (S, S, 3); 0 the same picture, 1 an unrelated one.

    Both are averaged to 32 px, over the middle where the face is, every colour about its own mean.
    """
    small = [
        np.asarray(Image.fromarray(pixels).resize((32, 32), Image.Resampling.BOX), np.float64)[6:30, 6:26]
        for pixels in (face, drawn)
    ]
    first, second = ((picture - picture.mean(axis=(0, 1))).ravel() for picture in small)
    return float(1 - first @ second / max(np.linalg.norm(first) * np.linalg.norm(second), 1e-9))


def _as_large(drawn: np.ndarray, face: np.ndarray) -> np.ndarray:
    if drawn.shape == face.shape:
        return drawn
    return np.asarray(Image.fromarray(drawn).resize(face.shape[1::-1], Image.Resampling.BICUBIC))

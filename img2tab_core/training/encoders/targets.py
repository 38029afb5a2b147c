"""What a face is beside its w: its descriptor, its landmarks, a small picture of it; kept in the folder of pairs."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F

from img2tab_core.networks.face_descriptor import FaceDescriptor, chips_of
from img2tab_core.networks.face_encoder import to_input
from img2tab_core.networks.ops import channels_last
from img2tab_core.training.encoders.pairs import count_rendered

if TYPE_CHECKING:
    import dlib

SMALL = 32  # side of the small pictures, px
LOOKED_AT = 128  # side of the face that is described, px: the encoder sees no more
FACE_BOX = (0.18, 0.31, 0.76, 0.89)  # where dlib finds the face in an FFHQ crop, shares of the side
BLOCK = 1000


@dataclass(frozen=True)
class Targets:
    """descriptors float32 (n, 128); landmarks float32 (n, 136), shares of the side; small uint8 (n, 32, 32, 3)."""

    descriptors: np.ndarray
    landmarks: np.ndarray
    small: np.ndarray


class Describer:
    """Holds the opened models; one per process."""

    def __init__(self, descriptor: FaceDescriptor, landmark_file: Path) -> None:
        import dlib

        self.descriptor = channels_last(descriptor)
        self._landmarks: dlib.shape_predictor = dlib.shape_predictor(str(landmark_file))
        self._box = dlib.rectangle(*(round(LOOKED_AT * share) for share in FACE_BOX))

    @torch.inference_mode()
    def describe(self, faces: np.ndarray) -> Targets:
        """uint8 (n, S, S, 3), FFHQ-aligned."""
        device = self.descriptor.mean.device
        descriptors, landmarks, small = [], [], []
        for start in range(0, len(faces), 64):
            part = to_input(torch.from_numpy(np.array(faces[start : start + 64])).to(device), LOOKED_AT)
            with torch.autocast(device.type, torch.bfloat16):
                chips = chips_of(part).contiguous(memory_format=torch.channels_last)
                descriptors.append(self.descriptor(chips).float().cpu().numpy())
            small.append(_pixels(F.interpolate(part, size=SMALL, mode="area")))
            for face in _pixels(part):
                points = self._landmarks(np.ascontiguousarray(face), self._box).parts()
                landmarks.append(np.array([(p.x, p.y) for p in points], np.float32).ravel() / LOOKED_AT)
        return Targets(np.concatenate(descriptors), np.stack(landmarks), np.concatenate(small))

    def describe_pairs(self, folder: Path) -> Targets:
        """The targets of a folder of `render_pairs`; kept there, so only what was rendered since is described."""
        faces = np.load(folder / "faces.npy", mmap_mode="r")
        parts, count = [], count_rendered(folder)
        for start in range(0, count, BLOCK):
            stop = min(start + BLOCK, count)
            file = folder / f"described-{start}-{stop}.npz"
            if not file.exists():
                part = file.with_suffix(".part")
                with part.open("wb") as stream:
                    np.savez(stream, **asdict(self.describe(faces[start:stop])))
                part.replace(file)
            parts.append(Targets(**np.load(file)))
        return Targets(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Targets)))


def _pixels(pictures: torch.Tensor) -> np.ndarray:
    """float (n, 3, S, S) in [-1, 1] -> uint8 (n, S, S, 3)."""
    return ((pictures + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()

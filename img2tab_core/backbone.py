"""The default backbone: an aligned face in, its style code out, and back to a picture."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from img2tab_core import weights
from img2tab_core.layout import StyleLayout
from img2tab_core.networks.face_encoder import FaceEncoder, to_input
from img2tab_core.networks.mobilestylegan import SIZES, MobileStyleGAN

NAME = "mobilestylegan-ffhq"


@dataclass(frozen=True)
class Backbone:
    """A generator and its encoder; both frozen, shared by every visitor."""

    name: str
    generator: MobileStyleGAN
    encoder: FaceEncoder
    sizes: tuple[int, ...] = SIZES

    @property
    def layout(self) -> StyleLayout:
        return self.generator.layout

    @torch.inference_mode()
    def invert(self, faces: np.ndarray) -> np.ndarray:
        """uint8 (n, S, S, 3) RGB aligned faces -> w float32 (n, 512), one w for all style layers."""
        size = self.encoder.config.size
        parts = []
        for start in range(0, len(faces), 32):
            x = to_input(torch.from_numpy(np.array(faces[start : start + 32])), size)
            parts.append(self.encoder(x.contiguous(memory_format=torch.channels_last)))
        return torch.cat(parts).numpy() if parts else np.empty((0, self.encoder.config.w_dim), np.float32)

    @torch.inference_mode()
    def styles(self, w: np.ndarray) -> np.ndarray:
        """w float32 (n, 512) -> style codes float32 (n, D)."""
        parts: list[Tensor] = [self.generator.styles(part) for part in torch.from_numpy(np.array(w)).split(256)]
        return torch.cat(parts).numpy()


@lru_cache(maxsize=1)
def open_backbone() -> Backbone:
    """The default backbone, opened once per process."""
    return Backbone(NAME, weights.open_generator(), weights.open_encoder())

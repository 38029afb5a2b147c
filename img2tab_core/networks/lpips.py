"""LPIPS: how different two pictures look to a person, from AlexNet's features; 0 for the same picture.

Source: Zhang et al. 2018, "The unreasonable effectiveness of deep features as a perceptual metric", version 0.1:
features of an AlexNet (Krizhevsky 2014, torchvision's, trained on ImageNet) after each of its five convolutions, a
unit vector at every place, their squared difference weighted channel by channel, averaged over the picture, summed.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # of the pictures it was trained on, RGB
CONVOLUTIONS = (  # channels in and out, kernel, stride, padding
    (3, 64, 11, 4, 2),
    (64, 192, 5, 1, 2),
    (192, 384, 3, 1, 1),
    (384, 256, 3, 1, 1),
    (256, 256, 3, 1, 1),
)
HALVED_AFTER = (0, 1)  # a 3x3 maximum with stride 2 follows these
TINY = 1e-20  # a place without any feature stays 0, gradient too


class Lpips(nn.Module):
    """Two batches of pictures (B, 3, H, W), RGB in [-1, 1], H and W at least 31 -> distances (B,), 0 and above."""

    shift: Tensor
    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(
            nn.Conv2d(c_in, c_out, kernel, stride, padding) for c_in, c_out, kernel, stride, padding in CONVOLUTIONS
        )
        self.shares = nn.ParameterList(nn.Parameter(torch.ones(c_out)) for _, c_out, *_ in CONVOLUTIONS)
        self.register_buffer("shift", torch.tensor(SHIFT), persistent=False)
        self.register_buffer("scale", torch.tensor(SCALE), persistent=False)

    def features(self, pictures: Tensor) -> list[Tensor]:
        """Five maps (B, C, h, w) of unit vectors; kept, they spare half the work where one picture stays the same."""
        x = (pictures - self.shift[:, None, None]) / self.scale[:, None, None]
        features = []
        for i, convolution in enumerate(self.convolutions):
            x = F.relu(convolution(x))
            features.append(x / (x.square().sum(dim=1, keepdim=True) + TINY).sqrt())
            if i in HALVED_AFTER:
                x = F.max_pool2d(x, 3, 2)
        return features

    def between(self, first: list[Tensor], second: list[Tensor]) -> Tensor:
        """The distances (B,) of two lists of `features`."""
        parts = [
            torch.einsum("bchw,c->b", (a - b).square(), share) / (a.shape[2] * a.shape[3])
            for a, b, share in zip(first, second, self.shares, strict=True)
        ]
        return torch.stack(parts).sum(dim=0)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        return self.between(self.features(first), self.features(second))

"""IR-SE50: the residual network with channel attention that recognises faces, and the body of the e4e encoders.

Source: Deng et al. 2019, "ArcFace" (arXiv 1801.07698), in the published PyTorch form of 50 layers; squeeze and
excitation by Hu et al. 2018 (arXiv 1709.01507). Parameter names are those of `model_ir_se50.pth`.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

STAGES = ((64, 64, 3), (64, 128, 4), (128, 256, 14), (256, 512, 3))  # channels in, channels out, units
PYRAMID = (6, 20, 23)  # the units whose outputs an encoder reads


class Attention(nn.Module):
    """Every channel scaled by a share that a small network reads from the means of all (squeeze and excitation)."""

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, channels // reduction, 1, bias=False)
        self.fc2 = nn.Conv2d(channels // reduction, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        means = x.mean(dim=(2, 3), keepdim=True)  # (B, C, 1, 1)
        return x * torch.sigmoid(self.fc2(F.relu(self.fc1(means))))


class Unit(nn.Module):
    """Normalisation, two 3x3 convolutions and attention around a shortcut; the second may halve the resolution."""

    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__()
        self.shortcut_layer = (
            nn.MaxPool2d(1, stride)
            if c_in == c_out
            else nn.Sequential(nn.Conv2d(c_in, c_out, 1, stride, bias=False), nn.BatchNorm2d(c_out))
        )
        self.res_layer = nn.Sequential(
            nn.BatchNorm2d(c_in),
            nn.Conv2d(c_in, c_out, 3, 1, 1, bias=False),
            nn.PReLU(c_out),
            nn.Conv2d(c_out, c_out, 3, stride, 1, bias=False),
            nn.BatchNorm2d(c_out),
            Attention(c_out),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.res_layer(x) + self.shortcut_layer(x)


def input_layer() -> nn.Sequential:
    """What stands before the units."""
    return nn.Sequential(nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.PReLU(64))


def body() -> nn.Sequential:
    """The 24 units; each stage begins with a halving."""
    return nn.Sequential(
        *(
            Unit(c_in if i == 0 else c_out, c_out, 2 if i == 0 else 1)
            for c_in, c_out, units in STAGES
            for i in range(units)
        )
    )


def pyramid(units: nn.Sequential, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """What an encoder reads: (B, 128, S/4, S/4), (B, 256, S/8, S/8), (B, 512, S/16, S/16) for pictures of S px."""
    maps = []
    for i, unit in enumerate(units):
        x = unit(x)
        if i in PYRAMID:
            maps.append(x)
    fine, middle, coarse = maps
    return fine, middle, coarse


class IrSe50(nn.Module):
    """Faces (B, 3, 112, 112), RGB in [-1, 1] -> identity, unit vectors (B, 512)."""

    def __init__(self) -> None:
        super().__init__()
        self.input_layer = input_layer()
        self.output_layer = nn.Sequential(
            nn.BatchNorm2d(512), nn.Dropout(0.6), nn.Flatten(), nn.Linear(512 * 7 * 7, 512), nn.BatchNorm1d(512)
        )
        self.body = body()

    def forward(self, faces: Tensor) -> Tensor:
        return F.normalize(self.output_layer(self.body(self.input_layer(faces))), dim=1)

"""dlib's face descriptor as a PyTorch network: 128 numbers of a face, closer than 0.6 for the same person.

Source: King 2017, "dlib_face_recognition_resnet_model_v1", a ResNet-29 (He et al. 2016) without batch statistics.
The weights are dlib's own (CC0); here they can be differentiated, so that identity can be a loss and an input.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CHIP = 150  # side of the picture it looks at, px
MEAN = (122.782, 117.001, 104.298)  # of its training pictures, RGB, 0 to 255
PLAN = (  # channels and stride of every residual unit, in forward order
    *((32, 1),) * 3,
    (64, 2),
    *((64, 1),) * 3,
    (128, 2),
    *((128, 1),) * 2,
    (256, 2),
    *((256, 1),) * 2,
    (256, 2),
)
# The square dlib cuts for its chip inside an FFHQ-aligned face: left, top, right, bottom as shares of the side; the
# median over 56 real portraits (spread 0.015). Descriptors of this square are 0.11 from those of dlib's own.
CHIP_IN_FACE = (0.1564, 0.2564, 0.8473, 0.9473)


def _conv(c_in: int, c_out: int, kernel: int, stride: int) -> nn.Conv2d:
    """A convolution as dlib pads it: to the same size, or not at all where it makes the picture smaller."""
    return nn.Conv2d(c_in, c_out, kernel, stride, padding=kernel // 2 if stride == 1 else 0)


class Unit(nn.Module):
    """Two 3x3 convolutions around a shortcut; where it halves, the shortcut is averaged and filled with zeros."""

    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.first = _conv(c_in, c_out, 3, stride)
        self.second = _conv(c_out, c_out, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.second(F.relu(self.first(x)))
        if self.stride == 2:
            x = F.avg_pool2d(x, 2)
        return F.relu(_filled(x, y) + _filled(y, x))


def _filled(x: Tensor, like: Tensor) -> Tensor:
    """x with zeros behind its rows, columns and channels until it is as large as `like`."""
    grow = [max(have - own, 0) for own, have in zip(x.shape[1:], like.shape[1:], strict=True)]
    return F.pad(x, (0, grow[2], 0, grow[1], 0, grow[0])) if any(grow) else x


class FaceDescriptor(nn.Module):
    """Chips (B, 3, 150, 150) RGB in [-1, 1] -> descriptors (B, 128)."""

    mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.stem = _conv(3, 32, 7, 2)
        units, c_in = [], 32
        for c_out, stride in PLAN:
            units.append(Unit(c_in, c_out, stride))
            c_in = c_out
        self.units = nn.ModuleList(units)
        self.head = nn.Linear(c_in, 128, bias=False)
        self.register_buffer("mean", torch.tensor(MEAN), persistent=False)

    def features(self, chips: Tensor) -> Tensor:
        """What the head sees before it averages over the picture; (B, 256, 2, 2)."""
        x = ((chips + 1) * 127.5 - self.mean[:, None, None]) / 256
        x = F.max_pool2d(F.relu(self.stem(x)), 3, 2)
        for unit in self.units:
            x = unit(x)
        return x

    def forward(self, chips: Tensor) -> Tensor:
        return self.head(self.features(chips).mean(dim=(2, 3)))


def chips_of(faces: Tensor) -> Tensor:
    """The chips of FFHQ-aligned faces (B, 3, S, S) in [-1, 1]; (B, 3, 150, 150), without looking for landmarks."""
    left, top, right, bottom = (2 * share - 1 for share in CHIP_IN_FACE)
    theta = faces.new_tensor([[(right - left) / 2, 0, (left + right) / 2], [0, (bottom - top) / 2, (top + bottom) / 2]])
    with torch.autocast(faces.device.type, enabled=False):  # half precision would miss by 0.2 px
        grid = F.affine_grid(theta.expand(len(faces), 2, 3), [len(faces), 3, CHIP, CHIP], align_corners=False)
    return F.grid_sample(faces, grid, padding_mode="border", align_corners=False)

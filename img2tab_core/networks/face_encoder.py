"""The face encoder: an aligned face -> the w the default generator would have drawn it from."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from img2tab_core.networks.face_descriptor import FaceDescriptor, chips_of

IDENTITY = 256 * 2 * 2  # numbers that the face descriptor's last feature map holds


@dataclass(frozen=True)
class EncoderConfig:
    """Input side in px, channels and residual blocks of each halving of the resolution, length of w.

    identity: whether the features of dlib's face descriptor, which knows millions of photos, are read beside the
    picture. hidden: width of the layer that combines both; 0 for none. limit: no activation exceeds it. Ordinary
    faces stay below; without it a colour never seen in training (a screaming green behind a face) grows from layer
    to layer and ends in a w far outside all others.
    """

    size: int = 128
    widths: tuple[int, ...] = (24, 48, 96, 192, 320)
    depths: tuple[int, ...] = (1, 1, 2, 2, 2)
    w_dim: int = 512
    limit: float = 8.0
    identity: bool = True
    hidden: int = 768

    @classmethod
    def of(cls, values: dict) -> EncoderConfig:
        """From the JSON beside the weights."""
        plain: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
        return cls(**plain)

    def to_json(self) -> dict:
        return asdict(self)


def to_input(faces: Tensor, size: int) -> Tensor:
    """uint8 (B, S, S, 3) RGB -> float32 (B, 3, size, size) in [-1, 1]; the same for training and for use."""
    x = faces.permute(0, 3, 1, 2).float() / 127.5 - 1
    if x.shape[-1] == size:
        return x
    return F.interpolate(x, size=size, mode="area" if x.shape[-1] > size else "bilinear")


class Residual(nn.Module):
    """Two 3x3 convolutions around a shortcut (He et al. 2016, basic block)."""

    def __init__(self, channels: int, limit: float) -> None:
        super().__init__()
        self.limit = limit
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        y = F.hardtanh(self.norm1(self.conv1(x)), 0, self.limit, inplace=True)
        return F.hardtanh(x + self.norm2(self.conv2(y)), 0, self.limit, inplace=True)


class FaceEncoder(nn.Module):
    """Halvings of a picture with residual blocks between them, beside the frozen features of a face descriptor.

    One linear map and one small network with a hidden layer read both and add up to w.
    """

    def __init__(self, config: EncoderConfig = EncoderConfig()) -> None:
        super().__init__()
        self.config = config
        stages, c_in = [], 3
        for width, depth in zip(config.widths, config.depths, strict=True):
            stages.append(
                nn.Sequential(
                    nn.Conv2d(c_in, width, 3, stride=2, padding=1, bias=False),
                    nn.BatchNorm2d(width),
                    nn.Hardtanh(0, config.limit, inplace=True),
                    *(Residual(width, config.limit) for _ in range(depth)),
                )
            )
            c_in = width
        self.stages = nn.Sequential(*stages)
        side = config.size >> len(config.widths)
        features = c_in * side * side
        if config.identity:
            self.identity = FaceDescriptor().requires_grad_(False)
            self.identity_norm = nn.BatchNorm1d(IDENTITY, affine=False)
            features += IDENTITY
        self.head = nn.Linear(features, config.w_dim)
        if config.hidden:
            self.hidden = nn.Linear(features, config.hidden)
            self.out = nn.Linear(config.hidden, config.w_dim)
            nn.init.zeros_(self.out.weight)
        self.register_buffer("mean_w", torch.zeros(config.w_dim))

    def forward(self, faces: Tensor) -> Tensor:
        """faces float (B, 3, S, S) in [-1, 1], S = config.size, FFHQ-aligned -> w (B, w_dim)."""
        x = self.stages(faces).flatten(1)  # (B, C * S / 32 * S / 32)
        if self.config.identity:
            with torch.no_grad():
                known = self.identity.features(chips_of(faces).contiguous(memory_format=torch.channels_last))
            x = torch.cat([x, self.identity_norm(known.flatten(1)).clamp(-self.config.limit, self.config.limit)], 1)
        w = self.head(x).float()
        if self.config.hidden:
            w = w + self.out(F.hardtanh(self.hidden(x), 0, self.config.limit)).float()
        return self.mean_w + w

    def own_state(self) -> dict[str, Tensor]:
        """The state that is this encoder's: all but the face descriptor, which has a file of its own."""
        return {name: value for name, value in self.state_dict().items() if not name.startswith("identity.")}

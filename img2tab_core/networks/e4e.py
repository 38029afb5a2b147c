"""e4e and its relatives: an aligned face of 256 px in, one w for each layer of a StyleGAN2 out.

Sources: Tov et al. 2021, "Designing an encoder for StyleGAN image manipulation" (e4e, arXiv 2102.02766) and
Richardson et al. 2021, "Encoding in style" (pSp, arXiv 2008.00951). Parameter names are those of the `encoder` part
of published checkpoints; `opts["encoder_type"]` names one of `ENCODERS`.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from img2tab_core.networks.ir_se50 import body, input_layer, pyramid

INPUT_SIZE = 256
COARSE, MIDDLE = 3, 7  # the first styles of the middle and fine maps
W_DIM = 512


class ScaledLinear(nn.Module):
    """A linear map whose weights are scaled by 1 / sqrt(inputs) at run time."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(c_out, c_in))
        self.bias = nn.Parameter(torch.zeros(c_out))

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight / math.sqrt(x.shape[1]), self.bias)


class MapToStyle(nn.Module):
    """Halvings down to one pixel, then a linear map: (B, 512, S, S) -> (B, 512)."""

    def __init__(self, side: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(int(math.log2(side))):
            layers += [nn.Conv2d(W_DIM, W_DIM, 3, 2, 1), nn.LeakyReLU()]
        self.convs = nn.Sequential(*layers)
        self.linear = ScaledLinear(W_DIM, W_DIM)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.convs(x).flatten(1))


class _Pyramid(nn.Module):
    """Three feature maps of the body, each with the coarser ones added, and a map-to-style head for every w."""

    def __init__(self, n_styles: int) -> None:
        super().__init__()
        self.input_layer = input_layer()
        self.body = body()
        self.styles = nn.ModuleList(MapToStyle(16 if i < COARSE else 32 if i < MIDDLE else 64) for i in range(n_styles))
        self.latlayer1 = nn.Conv2d(256, W_DIM, 1)
        self.latlayer2 = nn.Conv2d(128, W_DIM, 1)

    def heads(self, faces: Tensor) -> Tensor:
        """faces (B, 3, 256, 256) in [-1, 1] -> what each head says (B, n_styles, 512)."""
        fine, middle, coarse = pyramid(self.body, self.input_layer(faces))
        middle = _added(coarse, self.latlayer1(middle))  # (B, 512, 32, 32)
        fine = _added(middle, self.latlayer2(fine))  # (B, 512, 64, 64)
        return torch.stack(
            [head(coarse if i < COARSE else middle if i < MIDDLE else fine) for i, head in enumerate(self.styles)],
            dim=1,
        )


def _added(small: Tensor, large: Tensor) -> Tensor:
    """The coarser map, enlarged, plus the finer one."""
    return F.interpolate(small, size=large.shape[2:], mode="bilinear", align_corners=True) + large


class Encoder4Editing(_Pyramid):
    """e4e: the first head's w for every layer, plus what each further head adds to it."""

    def forward(self, faces: Tensor) -> Tensor:
        """faces (B, 3, 256, 256) in [-1, 1] -> w+ about the average w (B, n_styles, 512)."""
        said = self.heads(faces)
        return torch.cat([said[:, :1], said[:, :1] + said[:, 1:]], dim=1)


class GradualStyleEncoder(_Pyramid):
    """pSp: each head's own w."""

    def forward(self, faces: Tensor) -> Tensor:
        """faces (B, 3, 256, 256) in [-1, 1] -> w+ about the average w (B, n_styles, 512)."""
        return self.heads(faces)


class SingleStyleCodeEncoder(nn.Module):
    """One w for all layers, from the last feature map alone."""

    def __init__(self) -> None:
        super().__init__()
        self.input_layer = input_layer()
        self.body = body()
        self.linear = ScaledLinear(W_DIM, W_DIM)

    def forward(self, faces: Tensor) -> Tensor:
        """faces (B, 3, 256, 256) in [-1, 1] -> w about the average w (B, 512)."""
        x = self.body(self.input_layer(faces))  # (B, 512, 16, 16)
        return self.linear(x.mean(dim=(2, 3)))


ENCODERS = {  # every name that `opts` is known to give them
    "Encoder4Editing": Encoder4Editing,
    "GradualStyleEncoder": GradualStyleEncoder,
    "SingleStyleCodeEncoder": SingleStyleCodeEncoder,
    "BackboneEncoderUsingLastLayerIntoW": SingleStyleCodeEncoder,
}


def new_encoder(kind: str, n_styles: int) -> nn.Module:
    """An encoder of this kind for a generator with so many w."""
    network = ENCODERS[kind]
    return network() if network is SingleStyleCodeEncoder else network(n_styles)

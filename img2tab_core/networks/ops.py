"""Small tensor operations that more than one network uses."""

from __future__ import annotations

from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

N = TypeVar("N", bound=nn.Module)


def channels_last(network: N) -> N:
    """The network with its filters channels last in memory, which convolutions on a CPU read faster."""
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in PyTorch's stub
    return network


def pixel_norm(z: Tensor) -> Tensor:
    """Scale every row of z (B, C) to unit mean square (Karras et al. 2018, ProGAN)."""
    return z * torch.rsqrt(z.square().mean(dim=1, keepdim=True) + 1e-8)


def conv_of_scaled(
    x: Tensor, scale: Tensor, weight: Tensor, bias: Tensor | None = None, *, padding: int = 0, groups: int = 1
) -> Tensor:
    """Convolution of x (B, C, H, W), its channels scaled by `scale` (B, C).

    One code scales the weights instead: the same sum, and they are far smaller than what they go over. weight: one
    filter a channel (groups = C) or all channels together (groups = 1). Computed in the dtype of x.
    """
    if len(scale) > 1:
        x = x * scale.to(x.dtype)[:, :, None, None]
    else:
        weight = weight * scale.view((-1, 1, 1, 1) if groups > 1 else (1, -1, 1, 1))
    bias = None if bias is None else bias.to(x.dtype)
    return F.conv2d(x, weight.to(x.dtype), bias, padding=padding, groups=groups)


def inverse_haar(x: Tensor, scale: Tensor | None = None) -> Tensor:
    """Inverse 2-D Haar transform: (B, C, H, W) -> (B, C / 4, 2 H, 2 W), channels-last inside.

    Channels come band by band, C / 4 each: low, LH, HL, HH (see `band_major`). scale: (B, C), what every channel is
    multiplied by first.
    """
    half = x * (0.5 if scale is None else (scale * 0.5).to(x.dtype)[:, :, None, None])
    b, c, h, w = half.shape
    low, lh, hl, hh = half.permute(0, 2, 3, 1).chunk(4, dim=3)  # each (B, H, W, C/4)
    top, bottom = low + lh, low - lh
    top_step, bottom_step = hl + hh, hl - hh  # what the left pixel has above the middle
    out = torch.stack(
        [
            torch.cat([top + top_step, top - top_step], dim=3),
            torch.cat([bottom + bottom_step, bottom - bottom_step], dim=3),
        ],
        dim=2,
    )  # (B, H, row, W, column x C/4)
    return out.view(b, 2 * h, 2 * w, c // 4).permute(0, 3, 1, 2)


def band_major(channels: int) -> Tensor:
    """Order that turns the published Haar layout, low (C/4) then (C/4, 3), into four bands of C / 4; int64 (C,)."""
    quarter = channels // 4
    high = quarter + torch.arange(3 * quarter).view(quarter, 3)
    return torch.cat([torch.arange(quarter), high.T.reshape(-1)])

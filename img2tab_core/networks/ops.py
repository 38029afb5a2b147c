"""Small tensor operations that more than one network uses."""

from __future__ import annotations

import torch
from torch import Tensor


def pixel_norm(z: Tensor) -> Tensor:
    """Scale every row of z (B, C) to unit mean square (Karras et al. 2018, ProGAN)."""
    return z * torch.rsqrt(z.square().mean(dim=1, keepdim=True) + 1e-8)


def inverse_haar(x: Tensor) -> Tensor:
    """Inverse 2-D Haar transform: (B, C, H, W) -> (B, C / 4, 2 H, 2 W), channels-last inside.

    Channels come band by band, C / 4 each: low, LH, HL, HH (see `band_major`).
    """
    b, c, h, w = x.shape
    low, lh, hl, hh = x.permute(0, 2, 3, 1).mul(0.5).chunk(4, dim=3)  # each (B, H, W, C/4)
    top, bottom = low + lh, low - lh
    top_step, bottom_step = hl + hh, hl - hh                          # what the left pixel has above the middle
    out = torch.stack(
        [
            torch.stack([top + top_step, top - top_step], dim=3),
            torch.stack([bottom + bottom_step, bottom - bottom_step], dim=3),
        ],
        dim=2,
    )                                                                 # (B, H, row, W, column, C/4)
    return out.view(b, 2 * h, 2 * w, c // 4).permute(0, 3, 1, 2)


def band_major(channels: int) -> Tensor:
    """Order that turns the published Haar layout, low (C/4) then (C/4, 3), into four bands of C / 4; int64 (C,)."""
    quarter = channels // 4
    high = quarter + torch.arange(3 * quarter).view(quarter, 3)
    return torch.cat([torch.arange(quarter), high.T.reshape(-1)])

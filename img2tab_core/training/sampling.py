"""Random faces of the default generator: the w a picture is drawn from, and the pictures."""

from __future__ import annotations

import torch
from torch import Tensor

from img2tab_core.networks.mobilestylegan import W_DIM, MobileStyleGAN

TRUNCATION = (0.6, 1.0)  # w = mean + t (w - mean), t uniform in this range


@torch.inference_mode()
def mean_w(generator: MobileStyleGAN, *, count: int = 100_000) -> Tensor:
    """Mean of w over `count` standard normal z of seed 0; float32 (512,)."""
    z = torch.randn(count, W_DIM, generator=torch.Generator().manual_seed(0))
    return generator.mapping(z.to(_device(generator))).mean(dim=0).cpu()


@torch.inference_mode()
def sample_w(generator: MobileStyleGAN, count: int, *, seed: int, mean: Tensor) -> Tensor:
    """`count` truncated w, float32 (count, 512)."""
    source = torch.Generator().manual_seed(seed)
    w = generator.mapping(torch.randn(count, W_DIM, generator=source).to(_device(generator))).cpu()
    low, high = TRUNCATION
    t = low + (high - low) * torch.rand(count, 1, generator=source)
    return mean + t * (w - mean)


def _device(generator: MobileStyleGAN) -> torch.device:
    return next(generator.mapping.parameters()).device

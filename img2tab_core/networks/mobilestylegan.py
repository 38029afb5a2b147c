"""MobileStyleGAN: the default generator, real FFHQ faces at 1024 px, light enough for a laptop CPU.

Source: Belousov 2021, "MobileStyleGAN: A Lightweight Convolutional Neural Network for High-Fidelity
Image Synthesis" (arXiv 2104.04767), as shipped in OpenVINO form by the `random-face` package.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from img2tab_core.layout import StyleLayout
from img2tab_core.networks.ops import band_major, inverse_haar, pixel_norm

WIDTHS = (512, 512, 512, 512, 512, 256, 128, 64)  # channels after the stem (4 px) and after each block (8 .. 512 px)
SIZES = (1024, 512, 256, 128)                     # what `synthesis` renders; the last two through fitted heads
PREVIEW_BLOCK = {128: 4, 256: 5}                  # the last block a preview doubles in
W_DIM = 512


class Mapping(nn.Module):
    """z (B, 512) standard normal -> w (B, 512)."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(W_DIM, W_DIM) for _ in range(8))

    def forward(self, z: Tensor) -> Tensor:
        x = pixel_norm(z)
        for layer in self.layers:
            x = F.leaky_relu(layer(x), 0.2) * 2**0.5
        return x


class SeparableConv(nn.Module):
    """Depthwise 3x3, pointwise 1x1, fixed noise, bias, leaky ReLU. Demodulation is folded into the weights."""

    def __init__(self, c_in: int, c_out: int, size: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(c_in, c_in, 3, padding=1, groups=c_in, bias=False)
        self.pointwise = nn.Conv2d(c_in, c_out, 1)
        self.noise = nn.Parameter(torch.zeros(1, 1, size, size))

    def forward(self, x: Tensor) -> Tensor:
        noise = self.noise
        if noise.shape[-1] != x.shape[-1]:                           # a preview: the block runs below its size
            noise = F.avg_pool2d(noise, noise.shape[-1] // x.shape[-1])
        return F.leaky_relu(self.pointwise(self.depthwise(x)).add_(noise), 0.2, inplace=True)


class Block(nn.Module):
    """One doubling of the resolution: inverse Haar, then two separable convolutions; three style layers."""

    def __init__(self, c_in: int, c_out: int, size: int) -> None:
        super().__init__()
        self.conv1 = SeparableConv(c_in // 4, c_out, size)
        self.conv2 = SeparableConv(c_out, c_out, size)

    def forward(self, x: Tensor, first: Tensor, second: Tensor) -> Tensor:
        """x (B, c_in / 4, H, W), after the Haar step -> (B, c_out, H, W)."""
        return self.conv2(self.conv1(x * first) * second)


class MobileStyleGAN(nn.Module):
    """Style layers in forward order: stem, then (up, first, second) for each of seven blocks, then to-image.

    What feeds a Haar step is kept band by band inside (`band_major`); style codes keep the published order.
    """

    layout = StyleLayout(
        (512, *(n for i in range(7) for n in (WIDTHS[i], WIDTHS[i] // 4, WIDTHS[i + 1])), 64)
    )
    size = 1024
    sizes = SIZES
    n_latent = layout.layers                                         # one w for each style layer

    def __init__(self) -> None:
        super().__init__()
        self.mapping = Mapping()
        self.affines = nn.ModuleList(nn.Linear(W_DIM, n) for n in self.layout.sizes)
        self.style_scale = nn.Parameter(torch.ones(self.layout.layers))
        self.constant = nn.Parameter(torch.zeros(1, 512, 4, 4))
        self.stem = nn.Conv2d(512, 512, 3, padding=1)
        self.stem_noise = nn.Parameter(torch.zeros(1, 1, 4, 4))
        self.blocks = nn.ModuleList(Block(WIDTHS[i], WIDTHS[i + 1], 8 << i) for i in range(7))
        self.to_image = nn.Conv2d(64, 12, 1)
        for i in range(7):
            self.register_buffer(f"bands_{i}", band_major(WIDTHS[i]), persistent=False)
        self.preview = nn.ModuleDict(
            {str(size): nn.Conv2d(WIDTHS[i + 1] + 64 + 3, 3, 3, padding=1) for size, i in PREVIEW_BLOCK.items()}
        )

    def styles(self, w_plus: Tensor) -> Tensor:
        """w+ (B, L, 512), or one w (B, 512) for all layers, -> style codes (B, D)."""
        if w_plus.ndim == 2:
            w_plus = w_plus[:, None].expand(-1, self.layout.layers, -1)
        return torch.cat([affine(w_plus[:, i]) for i, affine in enumerate(self.affines)], dim=1)

    def shows_from(self, layer: int) -> int:
        """The smallest of `sizes` in which an edit of this style layer shows, px: previews show every layer."""
        return SIZES[-1]

    def synthesis(self, styles: Tensor, *, size: int = 1024) -> Tensor:
        """Style codes (B, D) -> pictures (B, 3, size, size), RGB, nominal range [-1, 1], not clipped.

        1024 is the network's output; 512 is its low band, exactly. 256 and 128 stop doubling early: the
        remaining blocks run on the low band alone, at that size, and a fitted 3x3 head reads their
        features, so every style layer still has its effect (error in `pretrained_models/preview-heads.json`).
        """
        if size not in SIZES:
            raise ValueError(f"size must be one of {SIZES}, got {size}")
        per_layer = [
            (part * scale)[:, :, None, None]
            for part, scale in zip(styles.split(self.layout.sizes, dim=1), self.style_scale, strict=True)
        ]
        last_doubling = PREVIEW_BLOCK.get(size, 6)
        x = F.leaky_relu(self.stem(self.constant * per_layer[0]) + self.stem_noise, 0.2)  # (B, 512, 4, 4)
        for i, block in enumerate(self.blocks):
            up, first, second = per_layer[1 + 3 * i : 4 + 3 * i]
            x = x * up[:, getattr(self, f"bands_{i}")]
            if i <= last_doubling:
                x = inverse_haar(x)                                  # (B, C / 4, 2 H, 2 W)
            else:
                if i == last_doubling + 1:
                    detail = x                                       # (B, C, size, size)
                x = x[:, : x.shape[1] // 4] * 0.5                    # the low band: the mean of the four pixels
            x = block(x, first, second)
        x = x * per_layer[-1]                                        # (B, 64, min(size, 512), same)
        if size == 1024:
            return inverse_haar(self.to_image(x))
        low_band = self.to_image(x)[:, :3] / 2
        if size == 512:
            return low_band
        return self.preview[str(size)](torch.cat([detail, x, low_band], dim=1))

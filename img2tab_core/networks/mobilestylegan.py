"""MobileStyleGAN: the default generator, real FFHQ faces at 1024 px, light enough for a laptop CPU.

Source: Belousov 2021, "MobileStyleGAN: A Lightweight Convolutional Neural Network for High-Fidelity
Image Synthesis" (arXiv 2104.04767), as shipped in OpenVINO form by the `random-face` package.
"""

from __future__ import annotations

from typing import ClassVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from img2tab_core.base.layout import StyleLayout
from img2tab_core.networks.features import Layered
from img2tab_core.networks.ops import band_major, conv_of_scaled, inverse_haar, pixel_norm

WIDTHS = (512, 512, 512, 512, 512, 256, 128, 64)  # channels after the stem (4 px) and after each block (8 .. 512 px)
SIZES = (1024, 512, 256, 128)  # what `synthesis` renders; the last two through fitted heads
PREVIEW_BLOCK = {128: 4, 256: 5}  # the last block a preview doubles in
TAPS = 32  # 9 taps x 3 colours of a preview's head, filled up: a faster product
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

    def forward(self, x: Tensor, scale: Tensor) -> Tensor:
        """x (B, c_in, H, W), scale (B, c_in), what its channels are multiplied by first -> (B, c_out, H, W)."""
        noise: Tensor = self.noise
        if noise.shape[-1] != x.shape[-1]:  # a preview: the block runs below its size
            noise = F.avg_pool2d(noise, noise.shape[-1] // x.shape[-1])
        x = conv_of_scaled(x, scale, self.depthwise.weight, padding=1, groups=x.shape[1])
        x = F.conv2d(x, self.pointwise.weight.to(x.dtype), cast(Tensor, self.pointwise.bias).to(x.dtype))
        return F.leaky_relu(x.add_(noise.to(x.dtype)), 0.2, inplace=True)


class Block(nn.Module):
    """Two separable convolutions after a doubling of the resolution; three style layers with it."""

    def __init__(self, c_in: int, c_out: int, size: int) -> None:
        super().__init__()
        self.conv1 = SeparableConv(c_in // 4, c_out, size)
        self.conv2 = SeparableConv(c_out, c_out, size)


class MobileStyleGAN(Layered):
    """Style layers in forward order: stem, then (up, first, second) for each of seven blocks, then to-image.

    What feeds a Haar step is kept band by band inside (`band_major`); style codes keep the published order.

    1024 px is the network's output; 512 is its low band, exactly. 256 and 128 stop doubling early: the remaining
    blocks run on the low band alone, at that size, and a fitted 3x3 head reads their features, so every style layer
    still has its effect (error in `pretrained_models/preview-heads.json`).
    """

    layout = StyleLayout((512, *(n for i in range(7) for n in (WIDTHS[i], WIDTHS[i] // 4, WIDTHS[i + 1])), 64))
    size = 1024
    sizes = SIZES
    n_latent = layout.layers  # one w for each style layer
    close_from: ClassVar = {torch.float16: 16}  # earlier, a rounded feature can move an edge
    draft_from: ClassVar = {torch.float16: 10, torch.bfloat16: 10}

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

    def layers(self, size: int) -> int:
        """All 23, at every size."""
        return self.layout.layers

    def side(self, layer: int, size: int) -> int:
        """4 px before the first two layers, doubled after every up-scale, until a preview stops."""
        return size if layer == self.layout.layers else min(4 << ((layer + 1) // 3), size, 512)

    def start(self) -> tuple[Tensor, ...]:
        """The learned constant (1, 512, 4, 4)."""
        return (self.constant,)

    def step(self, layer: int, tensors: tuple[Tensor, ...], style: Tensor, size: int) -> tuple[Tensor, ...]:
        """See `Layered.step`; what is found: features, and in a preview what its head has read so far."""
        x, *read = tensors
        scale = style * self.style_scale[layer]  # (B, channels)
        if layer == 0:
            x = self.stem(x * scale[:, :, None, None]) + self.stem_noise
            return (F.leaky_relu(x, 0.2),)  # (B, 512, 4, 4)
        if layer == self.layout.layers - 1:
            return (self._picture(x, scale, size, *read),)
        number, part = divmod(layer - 1, 3)
        block = cast(Block, self.blocks[number])
        if part > 0:
            return ((block.conv1, block.conv2)[part - 1](x, scale), *read)  # (B, C, side, side)
        scale = scale[:, getattr(self, f"bands_{number}")]
        if x.shape[-1] < min(size, 512):
            return (inverse_haar(x, scale),)  # (B, C / 4, 2 side, 2 side)
        if not read:
            taps = self._taps(size)[:, : x.shape[1]]
            read = [conv_of_scaled(x, scale, taps)]  # (B, TAPS, size, size)
        quarter = x.shape[1] // 4  # the low band: the mean of the four pixels
        return (x[:, :quarter] * (scale[:, :quarter] * 0.5).to(x.dtype)[:, :, None, None], *read)

    def _picture(self, x: Tensor, scale: Tensor, size: int, *read: Tensor) -> Tensor:
        """x (B, 64, min(size, 512), same) and its scale -> (B, 3, size, size)."""
        weight: Tensor = self.to_image.weight  # (12, 64, 1, 1)
        bias = cast(Tensor, self.to_image.bias)  # (12,)
        if size == 1024:
            return inverse_haar(conv_of_scaled(x, scale, weight, bias))
        weight, bias = weight[:3] * 0.5, bias[:3] * 0.5
        if size == 512:
            return conv_of_scaled(x, scale, weight, bias)
        x = x.float()  # what is added up nine times is not rounded before
        taps = self._taps(size)[:, -67:, 0, 0]  # (TAPS, 64 features + 3 colours)
        weight = taps[:, :64] + taps[:, 64:] @ weight[:, :, 0, 0]  # (TAPS, 64): the colours are made of the features
        said = read[0] + conv_of_scaled(x, scale, weight[:, :, None, None], taps[:, 64:] @ bias)
        return _gathered(said[:, :27]) + cast(Tensor, self.head(size).bias)[:, None, None]

    def head(self, size: int) -> nn.Conv2d:
        """What reads a preview of this size, 128 or 256 px, from its features."""
        return cast(nn.Conv2d, self.preview[str(size)])

    def _taps(self, size: int) -> Tensor:
        """A preview's head as a 1x1 convolution: for each colour what every pixel adds to the 9 around it."""
        weight = self.head(size).weight.flip(2, 3)  # (3, C, 3, 3)
        return F.pad(weight.permute(0, 2, 3, 1).flatten(0, 2), (0, 0, 0, TAPS - 27))[:, :, None, None]

    def preview_features(self, styles: Tensor, *, size: int) -> Tensor:
        """What the head of a preview reads: its detail, its last features and its colours; (B, C, size, size)."""
        stop = 3 * PREVIEW_BLOCK[size] + 4  # the first layer that no longer doubles
        branch = self.prefix(styles, stop, size=size)
        last = self.prefix(styles, self.layout.layers - 1, size=size, after=branch)
        scales = [
            (part * scale)[:, :, None, None]
            for part, scale in zip(styles.split(self.layout.sizes, dim=1), self.style_scale, strict=True)
        ]
        detail = branch.tensors[0] * scales[stop][:, getattr(self, f"bands_{PREVIEW_BLOCK[size] + 1}")]
        x = last.tensors[0] * scales[-1]
        return torch.cat([detail, x, self.to_image(x)[:, :3] / 2], dim=1)


def _gathered(said: Tensor) -> Tensor:
    """What every pixel adds to the 9 around it (B, 27, S, S), colour by colour, row by row, -> their sums (B, 3, S, S).

    `fold` does the same on one core.
    """
    b, _, h, w = said.shape
    parts = said.contiguous().view(b, 3, 9, h, w)
    out = parts.new_zeros(b, 3, h + 2, w + 2)
    for i in range(9):
        top, left = divmod(i, 3)
        out[:, :, top : top + h, left : left + w] += parts[:, :, i]
    return out[:, :, 1:-1, 1:-1]

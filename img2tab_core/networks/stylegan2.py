"""StyleGAN2: the generator behind e4e and pSp checkpoints, split where the style codes are.

Source: Karras et al. 2020, "Analyzing and improving the image quality of StyleGAN" (arXiv 1912.04958), the skip
architecture. Parameter names are those of the `g_ema` and `decoder` parts of published PyTorch checkpoints, so a
strict `load_state_dict` is the whole loader.

Style layers in forward order: conv1, toRGB1, then (up conv, conv, toRGB) for every doubling; toRGB is a style layer
like any other. A style is what the affine map of a layer makes of w: it scales the channels that enter the layer.
"""

from __future__ import annotations

import math
from typing import ClassVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from img2tab_core.base.layout import StyleLayout
from img2tab_core.networks.features import Layered
from img2tab_core.networks.ops import pixel_norm

W_DIM = 512
MAPPING_RATE = 0.01  # the learning-rate multiplier of the mapping
TAPS = (1.0, 3.0, 3.0, 1.0)  # the blur of every upsampling
SIZES = (1024, 512, 256, 128, 64, 32)  # of a generator, and of its pictures, px


def width_of(size: int) -> int:
    """Feature channels at this resolution: 512 up to 64 px, then halved with every doubling (config F)."""
    return min(512, 32768 // size)


def layout_of(size: int) -> StyleLayout:
    """Style channels of each layer of a generator of this size; 9,088 in 26 layers at 1024 px."""
    sizes = [512, 512]  # conv1 and toRGB1, at 4 px
    for side in _doublings(size):
        sizes += [width_of(side // 2), width_of(side), width_of(side)]
    return StyleLayout(tuple(sizes))


def _doublings(size: int) -> list[int]:
    """8, 16, ..., size."""
    return [8 << i for i in range(int(math.log2(size)) - 2)]


class EqualLinear(nn.Module):
    """A linear map whose weights are stored at unit variance and scaled at run time."""

    def __init__(self, c_in: int, c_out: int, *, rate: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(c_out, c_in) / rate)
        self.bias = nn.Parameter(torch.zeros(c_out))
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight * (self.rate / math.sqrt(x.shape[1])), self.bias * self.rate)


class Mapped(EqualLinear):
    """One layer of the mapping: linear, leaky ReLU 0.2, times sqrt 2."""

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(super().forward(x), 0.2) * math.sqrt(2)


class PixelNorm(nn.Module):
    """The first layer of the mapping; without parameters."""

    def forward(self, z: Tensor) -> Tensor:
        return pixel_norm(z)


class Blur(nn.Module):
    """What follows a doubling by a transposed convolution: (B, C, 2 H + 1, 2 W + 1) -> (B, C, 2 H, 2 W)."""

    kernel: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("kernel", _kernel())

    def forward(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        taps = self.kernel.flip(0, 1).expand(x.shape[1], 1, -1, -1).to(x.dtype)
        return F.conv2d(x, taps, bias, padding=1, groups=x.shape[1])


class Upsample(nn.Module):
    """The picture so far, doubled and blurred: (B, 3, H, W) -> (B, 3, 2 H, 2 W)."""

    kernel: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("kernel", _kernel())

    def forward(self, x: Tensor) -> Tensor:
        taps = self.kernel.expand(x.shape[1], 1, -1, -1)  # a transposed convolution flips it by itself
        return F.conv_transpose2d(x, taps, stride=2, padding=1, groups=x.shape[1])


def _kernel() -> Tensor:
    """4 x 4, adds up to 4: each input pixel becomes four; float32."""
    taps = torch.outer(torch.tensor(TAPS), torch.tensor(TAPS))
    return taps / taps.sum() * 4


class ModulatedConv(nn.Module):
    """A convolution whose input channels are scaled by the style and, if demodulated, whose output has unit spread.

    Style and demodulation scale whichever is smaller: the weights, where one code is drawn on large features; else
    what goes in and comes out, so that one convolution serves a whole batch. The same numbers either way. Computed in
    the dtype of what goes in.
    """

    def __init__(self, c_in: int, c_out: int, kernel: int, *, up: bool = False, demodulated: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(1, c_out, c_in, kernel, kernel))
        self.modulation = EqualLinear(W_DIM, c_in)
        nn.init.ones_(self.modulation.bias)
        self.blur = Blur() if up else None
        self.demodulated = demodulated

    def forward(self, x: Tensor, style: Tensor, *, gain: float = 1.0, bias: Tensor | None = None) -> Tensor:
        """x (B, c_in, H, W), style (B, c_in) -> (B, c_out, H, W), or twice as large, times gain, plus bias (c_out,)."""
        weight = self.weight[0]  # (c_out, c_in, k, k)
        style = style * (1 / math.sqrt(weight[0].numel()))
        if self.demodulated:
            energy = style.square() @ torch.linalg.vector_norm(weight, dim=(2, 3)).square().T
            out = gain * torch.rsqrt(energy + 1e-8)  # (B, c_out)
        else:
            out = style.new_full((1, len(weight)), gain)
        if len(style) == 1 and x.numel() > weight.numel():
            return self._convolved(x, weight * (out.T * style)[:, :, None, None], bias)
        style, out = style.to(x.dtype)[:, :, None, None], out.to(x.dtype)[:, :, None, None]
        x = self._convolved(x * style, weight) * out
        return x if bias is None else x + bias.to(x.dtype)[:, None, None]

    def _convolved(self, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        weight, bias = weight.to(x.dtype), None if bias is None else bias.to(x.dtype)
        if self.blur is not None:
            return self.blur(F.conv_transpose2d(x, weight.transpose(0, 1), stride=2), bias)
        return F.conv2d(x, weight, bias, padding=weight.shape[-1] // 2)


class NoiseWeight(nn.Module):
    """How strongly a layer adds its fixed noise."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))


class Activation(nn.Module):
    """Holds the bias that an activation adds."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels))


class StyledConv(nn.Module):
    """Modulated convolution, fixed noise, bias, leaky ReLU 0.2, times sqrt 2, which goes through it and comes first."""

    def __init__(self, c_in: int, c_out: int, *, up: bool = False) -> None:
        super().__init__()
        self.conv = ModulatedConv(c_in, c_out, 3, up=up)
        self.noise = NoiseWeight()
        self.activate = Activation(c_out)

    def forward(self, x: Tensor, style: Tensor, noise: Tensor) -> Tensor:
        x = self.conv(x, style, gain=math.sqrt(2), bias=self.activate.bias * math.sqrt(2))
        x = x.add_((noise * (self.noise.weight * math.sqrt(2))).to(x.dtype))
        return F.leaky_relu(x, 0.2, inplace=True)


class ToRgb(nn.Module):
    """What a resolution adds to the picture: (B, C, H, W) and the picture so far, half as large -> (B, 3, H, W)."""

    def __init__(self, c_in: int, *, up: bool = True) -> None:
        super().__init__()
        self.conv = ModulatedConv(c_in, 3, 1, demodulated=False)
        self.bias = nn.Parameter(torch.zeros(1, 3, 1, 1))
        self.upsample = Upsample() if up else None

    def forward(self, x: Tensor, style: Tensor, picture: Tensor | None = None) -> Tensor:
        own = self.conv(x, style, bias=self.bias.flatten()).to(self.bias.dtype)
        if picture is None or self.upsample is None:
            return own
        return own + self.upsample(picture)


class Constant(nn.Module):
    """The learned input, 4 x 4."""

    def __init__(self) -> None:
        super().__init__()
        self.input = nn.Parameter(torch.randn(1, 512, 4, 4))


class Noises(nn.Module):
    """One fixed noise picture for each convolution."""

    def __init__(self, size: int) -> None:
        super().__init__()
        sides = [4, *(side for side in _doublings(size) for _ in range(2))]
        for i, side in enumerate(sides):
            self.register_buffer(f"noise_{i}", torch.randn(1, 1, side, side))


class StyleGAN2(Layered):
    """A generator of pictures of size x size px, a power of two from 32 to 1024.

    A smaller picture is the sum of the toRGB layers up to there: the later layers, and so edits of their channels, do
    not show in it.
    """

    close_from: ClassVar = {torch.bfloat16: 14}  # from 128 px on, as its authors train it
    draft_from: ClassVar = {torch.bfloat16: 14}

    def __init__(self, size: int = 1024) -> None:
        super().__init__()
        if size not in SIZES:
            raise ValueError(f"size must be a power of two from 32 to 1024, got {size}")
        self.size, self.layout = size, layout_of(size)
        self.sizes = tuple(side for side in SIZES if side <= size)
        self.n_latent = self.latents(size)
        self.style = nn.Sequential(PixelNorm(), *(Mapped(W_DIM, W_DIM, rate=MAPPING_RATE) for _ in range(8)))
        self.input = Constant()
        self.conv1 = StyledConv(512, 512)
        self.to_rgb1 = ToRgb(512, up=False)
        self.convs, self.to_rgbs = nn.ModuleList(), nn.ModuleList()
        for side in _doublings(size):
            self.convs.append(StyledConv(width_of(side // 2), width_of(side), up=True))
            self.convs.append(StyledConv(width_of(side), width_of(side)))
            self.to_rgbs.append(ToRgb(width_of(side)))
        self.noises = Noises(size)

    @staticmethod
    def latents(size: int) -> int:
        """How many w a picture of this size has; 18 at 1024 px."""
        return 2 * int(math.log2(size)) - 2

    def shows_from(self, layer: int) -> int:
        """The smallest of `sizes` in which an edit of this style layer shows, px."""
        side = 4 if layer < 2 else 8 << ((layer - 2) // 3)
        return max(SIZES[-1], side)

    def mapping(self, z: Tensor) -> Tensor:
        """z (B, 512) standard normal -> w (B, 512)."""
        return self.style(z)

    def styles(self, w_plus: Tensor) -> Tensor:
        """w+ (B, n_latent, 512), or one w (B, 512) for all layers, -> style codes (B, D).

        A toRGB shares its w with the up conv of the next resolution, as in the original.
        """
        if w_plus.ndim == 2:
            w_plus = w_plus[:, None].expand(-1, self.n_latent, -1)
        parts = [self.conv1.conv.modulation(w_plus[:, 0]), self.to_rgb1.conv.modulation(w_plus[:, 1])]
        convs, to_rgbs = cast("list[StyledConv]", list(self.convs)), cast("list[ToRgb]", list(self.to_rgbs))
        for i, to_rgb in enumerate(to_rgbs):
            modulated = (convs[2 * i].conv, convs[2 * i + 1].conv, to_rgb.conv)
            parts += [conv.modulation(w_plus[:, 2 * i + 1 + k]) for k, conv in enumerate(modulated)]
        return torch.cat(parts, dim=1)

    def layers(self, size: int) -> int:
        """Two at 4 px, three more for every doubling up to this size."""
        return 2 + 3 * len(_doublings(size))

    def side(self, layer: int, size: int) -> int:
        """4 px before the first three layers, then doubled by every up conv; pictures of all sizes share it."""
        return 4 << (layer // 3)

    def start(self) -> tuple[Tensor, ...]:
        """The learned input (1, 512, 4, 4)."""
        return (self.input.input.contiguous(memory_format=torch.channels_last),)  # and so all that follows: faster

    def step(self, layer: int, tensors: tuple[Tensor, ...], style: Tensor, size: int) -> tuple[Tensor, ...]:
        """See `Layered.step`; what is found: features, and from the first toRGB on the picture so far."""
        x, *picture = tensors
        if layer == 1:
            return x, self.to_rgb1(x, style)  # (B, 3, 4, 4)
        number, part = divmod(layer - 2, 3)
        if part == 2 and layer > 0:
            return x, self.to_rgbs[number](x, style, *picture)  # (B, 3, side, side)
        which = 0 if layer == 0 else 2 * number + part + 1  # of the convolutions, the first one included
        conv = self.conv1 if which == 0 else self.convs[which - 1]
        return conv(x, style, getattr(self.noises, f"noise_{which}")), *picture  # (B, C, side, side)

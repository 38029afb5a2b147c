"""From a clean render to what a camera delivers: batch augmentation of generated faces towards real photos."""

from __future__ import annotations

import io

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from img2tab_core.backbones.rendering import to_pixels


def augment(faces: Tensor, source: torch.Generator) -> Tensor:
    """float (B, 3, S, S) in [-1, 1] -> same shape: what cameras, light and alignment do to a face.

    Crop jitter, missing borders, low resolution and blur, uneven light, glare on glasses, white balance, grey, noise,
    JPEG; each on a share of the pictures.
    """
    x = _borders(_jitter(faces, source), source)
    x = _glare(_light(x, source), source)
    x = _low_resolution(x, source)
    x = _colour(x, source)
    sigma = 0.06 * _uniform(len(x), source) * (_uniform(len(x), source) < 0.4)
    x = x + sigma * torch.randn(x.shape, generator=source)
    return _jpeg(x.clamp(-1, 1), source)


def _uniform(count: int, source: torch.Generator, low: float = 0.0, high: float = 1.0) -> Tensor:
    """(count, 1, 1, 1)"""
    return low + (high - low) * torch.rand(count, 1, 1, 1, generator=source)


def _jitter(x: Tensor, source: torch.Generator) -> Tensor:
    """What an imperfect alignment does: up to 4 degrees, 6 % scale, 3 % shift."""
    b = len(x)
    angle = _uniform(b, source, -0.07, 0.07).flatten()
    scale = _uniform(b, source, 0.94, 1.06).flatten()
    shift = (torch.rand(b, 2, generator=source) - 0.5) * 0.12
    cos, sin = scale * angle.cos(), scale * angle.sin()
    theta = torch.stack([torch.stack([cos, -sin, shift[:, 0]], 1), torch.stack([sin, cos, shift[:, 1]], 1)], 1)
    grid = F.affine_grid(theta, list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, padding_mode="reflection", align_corners=False)


def _borders(x: Tensor, source: torch.Generator) -> Tensor:
    """A photo cut close: in a quarter of the pictures one side is missing and filled as `alignment.align` fills it."""
    rows = torch.nonzero(torch.rand(len(x), generator=source) < 0.25).flatten()
    if not len(rows):
        return x
    size, cut = x.shape[-1], x[rows]
    position = (torch.arange(size) + 0.5) / size
    side = torch.randint(4, (len(rows), 1, 1), generator=source)
    missing = 0.25 * torch.rand(len(rows), 1, 1, generator=source)
    along = torch.stack([position, 1 - position])[side.flatten() % 2]  # (b, S)
    shape = (len(rows), size, size)
    along = torch.where(side < 2, along[:, None, :].expand(shape), along[:, :, None].expand(shape))
    outside = ((missing - along) / 0.12).clamp(0, 1)[:, None]  # 0 in the photo, 1 far outside it
    plain = cut.mean(dim=(2, 3), keepdim=True)
    soft = F.avg_pool2d(F.pad(cut, (4, 4, 4, 4), mode="reflect"), 9, stride=1)
    x = x.clone()
    x[rows] = cut + (soft + (plain - soft) * outside - cut) * (outside * 3).clamp(0, 1)
    return x


def _light(x: Tensor, source: torch.Generator) -> Tensor:
    """Light from one side, on half of the pictures: up to 40 % brighter there and darker opposite."""
    b, _, size, _ = x.shape
    angle = _uniform(b, source, 0, 6.2832)
    strength = _uniform(b, source, 0, 0.4) * (_uniform(b, source) < 0.5)
    across = torch.linspace(-1, 1, size)
    slope = angle.cos() * across[None, :] + angle.sin() * across[:, None]  # (B, 1, S, S)
    return ((x + 1) * (1 + strength * slope)) - 1


def _glare(x: Tensor, source: torch.Generator) -> Tensor:
    """One picture in twelve has two bright spots at the height of the eyes, as flash on glasses leaves them."""
    rows = torch.nonzero(torch.rand(len(x), generator=source) < 0.08).flatten()
    if not len(rows):
        return x
    count, grid, lit = len(rows), torch.linspace(0, 1, x.shape[-1]), x[rows]
    for eye in (0.38, 0.62):
        cx, cy = eye + _uniform(count, source, -0.06, 0.06), _uniform(count, source, 0.42, 0.52)
        wide, high = _uniform(count, source, 0.02, 0.06), _uniform(count, source, 0.01, 0.04)
        spot = torch.exp(-(((grid[None, :] - cx) / wide) ** 2 + ((grid[:, None] - cy) / high) ** 2))
        lit = lit + (1 - lit).clamp(min=0) * spot * _uniform(count, source, 0.5, 1.0)
    x = x.clone()
    x[rows] = lit
    return x


def _low_resolution(x: Tensor, source: torch.Generator) -> Tensor:
    """Half of the pictures go through a smaller size, as a small or soft photo would."""
    size = x.shape[-1]
    small = int(size * _uniform(1, source, 0.35, 0.9).item())
    soft = F.interpolate(x, size=small, mode="area")
    soft = F.interpolate(soft, size=size, mode="bilinear", align_corners=False)
    return torch.where(_uniform(len(x), source) < 0.5, soft, x)


def _colour(x: Tensor, source: torch.Generator) -> Tensor:
    """White balance, brightness, contrast, saturation, gamma; one picture in eight is grey or sepia."""
    b = len(x)
    x = (x + 1) / 2
    x = x.clamp(1e-3, 1) ** torch.exp(_uniform(b, source, -0.35, 0.35))
    balance = 1 + (torch.rand(b, 3, 1, 1, generator=source) - 0.5) * 0.25
    x = x * balance * _uniform(b, source, 0.8, 1.2)
    middle = x.mean(dim=(1, 2, 3), keepdim=True)
    x = middle + (x - middle) * _uniform(b, source, 0.75, 1.25)
    grey = x.mean(dim=1, keepdim=True)
    saturation = _uniform(b, source, 0.6, 1.3) * (_uniform(b, source) > 0.1)
    x = grey + (x - grey) * saturation
    return x * 2 - 1


def _jpeg(x: Tensor, source: torch.Generator) -> Tensor:
    """A quarter of the pictures are stored as JPEG, quality 20 to 80."""
    for i in torch.nonzero(torch.rand(len(x), generator=source) < 0.25).flatten().tolist():
        quality = int(20 + 60 * torch.rand(1, generator=source).item())
        pixels = to_pixels(x[i].permute(1, 2, 0).numpy())
        stored = io.BytesIO()
        Image.fromarray(pixels).save(stored, "JPEG", quality=quality)
        back = torch.frombuffer(bytearray(Image.open(stored).convert("RGB").tobytes()), dtype=torch.uint8)
        x[i] = back.view(*pixels.shape).permute(2, 0, 1) / 127.5 - 1
    return x

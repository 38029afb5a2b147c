"""Style codes to pictures: edits in standard deviations, strips of frames, families of channels."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import lru_cache
from typing import Literal, NamedTuple, Protocol, cast

import numpy as np
import torch
from torch import Tensor, nn

from img2tab_core.backbones.batching import Batches
from img2tab_core.backbones.feature_cache import Reuse
from img2tab_core.base.errors import Img2TabError, enough_memory
from img2tab_core.base.layout import StyleLayout
from img2tab_core.base.once import Once
from img2tab_core.base.records import ChannelStats, Edit, StyleCode, digest
from img2tab_core.networks.features import Layered, Low

STOPS = 4  # edited layers before which the features of one picture are kept
ON_CARD = 16  # codes drawn at once on a graphics card
_copies: Once[tuple[nn.Module, torch.device], nn.Module] = Once(2)  # of a generator, on a graphics card

# How near a picture comes to that of float32. exact: within rounding. close: within 2 of 255 levels, for a person who
# looks at it. draft: up to 256 px within 8, half a level on average, for a frame that is scrubbed past. The last two
# are faster where the machine computes with 16 bits, and exact elsewhere.
Precision = Literal["exact", "close", "draft"]


class Generator(Protocol):
    """What stands behind a backbone: styles from w+, pictures from styles; styles are an argument."""

    @property
    def layout(self) -> StyleLayout: ...

    @property
    def close_from(self) -> dict[torch.dtype, int]: ...

    @property
    def draft_from(self) -> dict[torch.dtype, int]: ...

    def styles(self, w_plus: Tensor) -> Tensor: ...

    def synthesis(self, styles: Tensor, *, size: int, low: Low | None) -> Tensor: ...


def edited(code: StyleCode, edits: Sequence[Edit], stats: ChannelStats) -> StyleCode:
    """The style code with every edit applied; edits of one channel add up. The given code is left as it was."""
    if not edits:
        return code
    index = np.array([edit.index for edit in edits])
    if index.min() < 0 or index.max() >= len(code.values):
        raise Img2TabError(
            f"An edit names channel {index.min() if index.min() < 0 else index.max()}, but this style code has "
            f"channels 0 to {len(code.values) - 1}. Choose a channel of this backbone."
        )
    shift = np.array([edit.shift for edit in edits], np.float32)
    if not np.isfinite(shift).all():
        raise Img2TabError("An edit's shift must be a finite number of standard deviations. Give a number such as +3.")
    values = code.values.copy()
    np.add.at(values, index, shift * stats.std[index])
    return StyleCode.of(values, code.backbone)


def draw_raw(
    generator: Generator,
    codes: Sequence[StyleCode],
    *,
    size: int,
    reuse: Reuse | None = None,
    precision: Precision = "exact",
) -> np.ndarray:
    """Pictures of style codes, float32 (n, size, size, 3), RGB, nominal range [-1, 1], not clipped.

    reuse: None to compute every picture from its beginning.
    """
    return _pictures(generator, codes, size, reuse, precision, pixels=False)


@torch.inference_mode()
def _pictures(
    generator: Generator, codes: Sequence[StyleCode], size: int, reuse: Reuse | None, precision: Precision, pixels: bool
) -> np.ndarray:
    """What `draw_raw` returns, with `pixels` what `draw` does."""
    with enough_memory(f"to draw a picture of {size} px"):
        generator, device = placed(generator)
        low = low_of(generator, device, precision)
        if device.type != "cpu":  # many at once, and nothing kept: it is fast enough
            return np.stack(_card.do(_OnCard(generator, device, size, low, pixels), [code.values for code in codes]))
        drawn = [  # one at a time: stays in cache, faster on a CPU
            _drawn(generator, torch.from_numpy(code.values.copy())[None], size, reuse, low) for code in codes
        ]
        pictures = torch.stack(drawn).permute(0, 2, 3, 1).contiguous().numpy()
        return to_pixels(pictures) if pixels else pictures


class _OnCard(NamedTuple):
    """What pictures must share to be drawn together. pixels: as uint8, a quarter of what has to leave the card."""

    generator: Generator
    device: torch.device
    size: int
    low: Low | None
    pixels: bool


@torch.inference_mode()
def _drawn_on_card(how: _OnCard, codes: list[np.ndarray]) -> list[np.ndarray]:
    """Style codes, each (D,), -> their pictures, each (size, size, 3), float32 or uint8."""
    styles = torch.from_numpy(np.stack(codes)).to(how.device)
    pictures = how.generator.synthesis(styles, size=how.size, low=how.low).permute(0, 2, 3, 1)
    if how.pixels:
        pictures = ((pictures.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    return list(pictures.contiguous().cpu().numpy())


_card: Batches[np.ndarray, np.ndarray] = Batches(_drawn_on_card, most=ON_CARD)  # one line for all visitors, one stream


def _drawn(generator: Generator, styles: Tensor, size: int, reuse: Reuse | None, low: Low | None) -> Tensor:
    """The picture (3, size, size) of one code (1, D), from the last edited layer before which its features are kept."""
    if reuse is None:
        return generator.synthesis(styles, size=size, low=low)[0]
    layered = cast(Layered, generator)  # whoever says where to take up again draws with one
    layers = sorted(layer for layer in set(reuse.layers) if 0 < layer < layered.layers(size))
    offsets, values = generator.layout.offsets, styles[0].numpy()
    keys = {
        layer: (
            reuse.key,
            layer,
            layered.side(layer, size),
            low if low and layer > low.layer else None,
            digest(values[: offsets[layer]].tobytes()),
        )
        for layer in layers
    }
    prefix, known = None, 0
    for layer in reversed(layers):
        prefix = reuse.cache.peek(keys[layer])
        if prefix is not None:
            known = layer
            break
    for layer in layers if len(layers) <= STOPS else layers[:1]:  # of a family, which moves them all, the first
        if layer > known:
            prefix = layered.prefix(styles, layer, size=size, after=prefix, low=low)
            reuse.cache.put(keys[layer], prefix)
    return layered.synthesis(styles, size=size, after=prefix, low=low)[0]


def placed(generator: Generator) -> tuple[Generator, torch.device]:
    """The generator where it draws: as it is, or on a machine with CUDA its copy there; and the device."""
    if isinstance(generator, nn.Module) and torch.cuda.is_available():
        device = torch.device("cuda")
        copied = _copies.get((generator, device), lambda: copy.deepcopy(generator).to(device))
        return cast(Generator, copied), device
    return generator, torch.device("cpu")


def low_of(generator: Generator, device: torch.device, precision: Precision) -> Low | None:
    """The style layers of a generator in which 16 bits are careful enough, None for none, or where they gain nothing.

    On a CPU bfloat16, which only some compute with; on a graphics card float16, whose error is an eighth of that.
    """
    if precision == "exact":
        return None
    layers = generator.close_from if precision == "close" else generator.draft_from
    known = (torch.float16, torch.bfloat16) if device.type != "cpu" else (torch.bfloat16,) if _knows_bfloat16() else ()
    return next((Low(dtype, layers[dtype]) for dtype in known if dtype in layers), None)


@lru_cache(maxsize=1)
def _knows_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16; elsewhere PyTorch would imitate it, slower than float32."""
    knows = torch.cpu.get_capabilities()
    return bool(knows.get("avx512_bf16") or knows.get("amx_bf16"))


def draw(
    generator: Generator,
    codes: Sequence[StyleCode],
    *,
    size: int,
    reuse: Reuse | None = None,
    precision: Precision = "exact",
) -> np.ndarray:
    """Pictures of style codes, uint8 (n, size, size, 3), RGB."""
    return _pictures(generator, codes, size, reuse, precision, pixels=True)


def to_pixels(pictures: np.ndarray) -> np.ndarray:
    """float in [-1, 1] (clipped) -> uint8."""
    return np.round((np.clip(pictures, -1, 1) + 1) * 127.5).astype(np.uint8)


def reduced(pictures: np.ndarray, size: int) -> np.ndarray:
    """uint8 (n, S, S, 3) -> (n, size, size, 3), each pixel the mean of those it stands for; S a multiple of size."""
    n, side = len(pictures), pictures.shape[1] // size
    blocks = pictures.reshape(n, size, side, size, side, 3)
    return np.round(blocks.mean(axis=(2, 4), dtype=np.float32)).astype(np.uint8)


def shifts(reach: float, frames: int) -> np.ndarray:
    """Evenly spaced shifts from -reach to +reach, the middle one exactly 0; float64 (frames,)."""
    if frames < 3 or frames % 2 == 0:
        raise Img2TabError(f"A strip needs an odd number of frames, 3 or more, got {frames}.")
    half = frames // 2
    return np.arange(-half, half + 1) * (reach / half)


def family(distance: np.ndarray, *, count: int, strength: float) -> tuple[Edit, ...]:
    """The `count` channels farthest apart between the classes, each moved by strength x its signed distance.

    distance: float64 (D,), standard deviations, positive where class 1 has the higher values. A positive
    strength moves towards class 1.
    """
    chosen = np.argsort(-np.abs(distance), kind="stable")[:count]
    return tuple(Edit(int(i), float(strength * distance[i])) for i in chosen if distance[i] != 0)

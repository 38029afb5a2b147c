"""One edit drawn, ours against the plain way in the same run: the default generator, and StyleGAN2 behind e4e."""

from __future__ import annotations

import importlib.util
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from img2tab_core.backbones import backbone, rendering
from img2tab_core.backbones.feature_cache import FeatureCache, Reuse
from img2tab_core.base.records import StyleCode
from img2tab_core.cli.main import MALLOC
from img2tab_core.networks.mobilestylegan import PREVIEW_BLOCK, MobileStyleGAN
from img2tab_core.networks.stylegan2 import ModulatedConv, StyledConv, StyleGAN2
from tests.conftest import SHARED

REPEATS = 5
PLAIN = "the whole network, one operation after the other"
CONCEPT = 4614  # of the 9,088: the one two projects agree on
SEED = 1  # of the stand-in checkpoint
NAIVE = "3 times encode, 3 times synthesise at 1024 px"


# --- the plain way ------------------------------------------------------------------------------------------------


def plain_mobilestylegan(network: MobileStyleGAN, styles: Tensor, size: int) -> Tensor:
    """Style codes (B, D) -> pictures (B, 3, size, size): the published graph, nothing folded, nothing reused."""
    parts = iter(
        [
            (part * scale)[:, :, None, None]
            for part, scale in zip(styles.split(network.layout.sizes, dim=1), network.style_scale, strict=True)
        ]
    )
    last, detail = PREVIEW_BLOCK.get(size, 6), None
    x = F.leaky_relu(network.stem(network.constant * next(parts)) + network.stem_noise, 0.2)
    for i, block in enumerate(network.blocks):
        x = x * next(parts)[:, getattr(network, f"bands_{i}")]
        if i <= last:
            x = _plain_haar(x)
        else:
            detail = x if detail is None else detail
            x = x[:, : x.shape[1] // 4] / 2
        for conv in (block.conv1, block.conv2):
            noise = F.avg_pool2d(conv.noise, conv.noise.shape[-1] // x.shape[-1])
            x = F.leaky_relu(conv.pointwise(conv.depthwise(x * next(parts))) + noise, 0.2)
    x = x * next(parts)
    picture = network.to_image(x)
    if size == 1024:
        return _plain_haar(picture)
    low = picture[:, :3] / 2
    return low if size == 512 else network.preview[str(size)](torch.cat([detail, x, low], dim=1))


def _plain_haar(x: Tensor) -> Tensor:
    low, lh, hl, hh = (x / 2).chunk(4, dim=1)
    pixels = [low + lh + hl + hh, low + lh - hl - hh, low - lh + hl - hh, low - lh - hl + hh]
    return F.pixel_shuffle(torch.stack(pixels, dim=2).flatten(1, 2), 2)


def plain_stylegan2(network: StyleGAN2, styles: Tensor) -> Tensor:
    """Style codes (B, D) -> pictures at full size, as the published code draws them without a graphics card.

    The weights of every code are modulated, then convolved in groups; a blur goes over one channel at a time;
    a doubling fills zeros in between.
    """
    parts, noises = iter(styles.split(network.layout.sizes, dim=1)), iter(network.noises.buffers())
    x = network.input.input.repeat(len(styles), 1, 1, 1)
    x = _plain_styled(network.conv1, x, next(parts), next(noises))
    picture = _plain_conv(network.to_rgb1.conv, x, next(parts)) + network.to_rgb1.bias
    for i, to_rgb in enumerate(network.to_rgbs):
        for conv in network.convs[2 * i : 2 * i + 2]:
            x = _plain_styled(conv, x, next(parts), next(noises))
        own = _plain_conv(to_rgb.conv, x, next(parts)) + to_rgb.bias
        picture = own + _plain_blur(picture, to_rgb.upsample.kernel, up=2, pad=(2, 1))
    return picture


def _plain_styled(layer: StyledConv, x: Tensor, style: Tensor, noise: Tensor) -> Tensor:
    x = _plain_conv(layer.conv, x, style) + layer.noise.weight * noise
    return F.leaky_relu(x + layer.activate.bias[:, None, None], 0.2) * math.sqrt(2)


def _plain_conv(conv: ModulatedConv, x: Tensor, style: Tensor) -> Tensor:
    b, c, h, w = x.shape
    scale = 1 / math.sqrt(conv.weight[0, 0].numel())
    weight = conv.weight * scale * style.view(b, 1, c, 1, 1)  # (B, c_out, c_in, k, k)
    if conv.demodulated:
        weight = weight * torch.rsqrt(weight.square().sum(dim=(2, 3, 4), keepdim=True) + 1e-8)
    out, side = weight.shape[1], weight.shape[-1]
    x = x.reshape(1, b * c, h, w)
    if conv.blur is None:
        return F.conv2d(x, weight.reshape(b * out, c, side, side), padding=side // 2, groups=b).view(b, out, h, w)
    x = F.conv_transpose2d(x, weight.transpose(1, 2).reshape(b * c, out, side, side), stride=2, groups=b)
    return _plain_blur(x.view(b, out, 2 * h + 1, 2 * w + 1), conv.blur.kernel, up=1, pad=(1, 1))


def _plain_blur(x: Tensor, kernel: Tensor, *, up: int, pad: tuple[int, int]) -> Tensor:
    b, c, h, w = x.shape
    x = F.pad(x.reshape(b * c, 1, h, 1, w, 1), (0, up - 1, 0, 0, 0, up - 1)).view(b * c, 1, h * up, w * up)
    x = F.conv2d(F.pad(x, (*pad, *pad)), kernel.flip(0, 1)[None, None])
    return x.view(b, c, *x.shape[2:])


# --- the default generator ----------------------------------------------------------------------------------------


@torch.inference_mode()
def measure_rendering(*, repeats: int = REPEATS) -> list[dict]:
    """What a person waits for while they move one concept of the default backbone, seconds.

    A row: what, goal, ours, plain, way. Least of the repeats, ours and plain in turn. An edit: the face was drawn with
    this concept before, as under a slider; a strip: neither face nor concept was. Random faces, no table.
    """
    model = backbone.open_backbone()
    generator, layout = model.generator, model.layout
    codes = model.random_codes(repeats + 3)
    spread = codes.std(axis=0)

    def moved(values: np.ndarray, index: int, shift: float) -> StyleCode:
        values = values.copy()
        values[index] += shift * spread[index]
        return StyleCode.of(values, model.name)

    def plain(some: list[StyleCode], size: int) -> np.ndarray:
        drawn = [plain_mobilestylegan(generator, torch.from_numpy(code.values.copy())[None], size) for code in some]
        return rendering.to_pixels(torch.cat(drawn).permute(0, 2, 3, 1).numpy())

    def row(
        what: str,
        goal: float,
        size: int,
        layer: int,
        precision: rendering.Precision,
        some: Callable[[int], list[StyleCode]],
    ) -> dict:
        reuse = Reuse(FeatureCache(), model.key, (layer,))
        ours, theirs = in_turn(
            lambda turn: rendering.draw(generator, some(turn), size=size, reuse=reuse, precision=precision),
            lambda turn: plain(some(turn), size),
            repeats=repeats,
        )
        return {"what": what, "goal": goal, "ours": ours, "plain": theirs, "way": PLAIN}

    rows = []
    for size, goal in ((256, 0.15), (1024, 0.5)):
        for layer in (0, 7, 16):
            index = layout.index_of(layer, 3)
            rows.append(
                row(
                    f"one {size} px edit, style layer {layer}",
                    goal,
                    size,
                    layer,
                    "close",
                    lambda turn, index=index: [moved(codes[0], index, turn - 2.5)],
                )
            )
    index = layout.index_of(7, 3)
    for frames, size, goal in ((5, 128, 0.3), (13, 256, 1.0)):
        shifts = rendering.shifts(8.0, frames)
        rows.append(
            row(
                f"first strip of {frames} frames, {size} px, style layer 7",
                goal,
                size,
                7,
                "draft",
                lambda turn, shifts=shifts: [moved(codes[turn], index, float(shift)) for shift in shifts],
            )
        )
    return rows


def in_turn(*ways: Callable[[int], object], repeats: int) -> list[float]:
    """Least seconds of each way, each given the number of its turn; the first turn is not counted."""
    found: list[list[float]] = [[] for _ in ways]
    for turn in range(repeats + 1):
        for way, seconds in zip(ways, found, strict=True):
            started = time.perf_counter()
            way(turn)
            seconds.append(time.perf_counter() - started)
    return [min(seconds[1:]) for seconds in found]


# --- StyleGAN2 ----------------------------------------------------------------------------------------------------


def measure_stylegan2(file: Path | None = None, *, repeats: int = 2) -> dict:
    """One edit of a face behind the e4e backbone at 1024 px, ours against the naive way, on one machine in one run.

    file: an e4e checkpoint, None for the seeded stand-in of `shared/parity`, which is written to a temporary folder
    (2.4 GB). Naive: encode the photo three times and synthesise three times, the networks as published.

    Returns seconds: encode, synthesis and naive in a Python as it is; the same with `_same` where memory is kept as
    `img2tab serve` keeps it; ours at 1024 px with the concept under a slider (`ours`), the first time (`first`), for a
    concept of the first layer (`worst`), and the preview of 256 px (`preview`); and how many times faster each is:
    ratio, ratio_same, preview_ratio, preview_ratio_same. difference: of ours from the plain picture, as a share of its
    largest value.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = file or _seeded(Path(folder))
        keeping = {**os.environ, **MALLOC}
        plainly = {name: value for name, value in os.environ.items() if name not in MALLOC}
        found: dict[str, float] = {}
        for environment, suffix in ((plainly, ""), (keeping, "_same")):
            said = subprocess.run(
                [sys.executable, "-m", "tests.benchmarks.rendering", str(file), str(repeats), suffix],
                cwd=Path(__file__).resolve().parents[2],
                env=environment | {"IMG2TAB_HOME": folder},
                check=True,
                capture_output=True,
                text=True,
            )
            found |= json.loads(said.stdout)
    for suffix in ("", "_same"):
        found[f"naive{suffix}"] = 3 * (found[f"encode{suffix}"] + found[f"synthesis{suffix}"])
        found[f"ratio{suffix}"] = found[f"naive{suffix}"] / found["ours"]
        found[f"preview_ratio{suffix}"] = found[f"naive{suffix}"] / found["preview"]
    return {"way": NAIVE, **found}


def _seeded(folder: Path) -> Path:
    """The stand-in e4e checkpoint of 1024 px."""
    spec = importlib.util.spec_from_file_location("seeded_weights", SHARED / "parity" / "seeded_weights.py")
    seeded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(seeded)
    layout = json.loads((SHARED / "parity" / "e4e-1024.keys.json").read_text())
    torch.save(seeded.checkpoint(layout["tensors"], SEED, 1024), folder / "e4e-1024.pt")
    return folder / "e4e-1024.pt"


@torch.inference_mode()
def _stylegan2_here(file: Path, repeats: int, suffix: str) -> dict[str, float]:
    """What this process, with the memory settings it was started with, takes; ours too where those are the server's."""
    model = backbone.open_backbone(str(file))
    photo = np.random.default_rng(0).integers(0, 256, (1, 256, 256, 3), dtype=np.uint8)
    code = model.styles(model.invert(photo))[0]  # (9088,)
    shifts = iter(np.linspace(0, 1, 1001))  # style units; no value comes again

    def edited(index: int) -> np.ndarray:
        values = code.copy()
        values[index] += next(shifts)
        return values

    def ours(index: int, size: int, reuse: Reuse) -> np.ndarray:
        codes = [StyleCode.of(edited(index), model.name)]
        return rendering.draw(model.generator, codes, size=size, reuse=reuse, precision="close")

    def plain() -> np.ndarray:
        picture = plain_stylegan2(model.generator, torch.from_numpy(edited(CONCEPT))[None])
        return rendering.to_pixels(picture.permute(0, 2, 3, 1).numpy())

    def reusing(index: int) -> Reuse:
        return Reuse(FeatureCache(), model.key, (model.layout.locate(index)[0],))

    ways: dict[str, Callable[[int], object]] = {
        f"encode{suffix}": lambda _: model.invert(photo),
        f"synthesis{suffix}": lambda _: plain(),
    }
    found = {}
    if suffix:
        kept, small = reusing(CONCEPT), reusing(CONCEPT)
        ways |= {
            "ours": lambda _: ours(CONCEPT, 1024, kept),
            "first": lambda _: ours(CONCEPT, 1024, reusing(CONCEPT)),
            "worst": lambda _: ours(0, 1024, reusing(0)),
            "preview": lambda _: ours(CONCEPT, 256, small),
        }
        styles = torch.from_numpy(code)[None]
        expected, drawn = plain_stylegan2(model.generator, styles), model.generator.synthesis(styles)
        found["difference"] = float((expected - drawn).abs().max() / expected.abs().max())
    return found | dict(zip(ways, in_turn(*ways.values(), repeats=repeats), strict=True))


if __name__ == "__main__":
    given, times, name = sys.argv[1:]
    print(json.dumps(_stylegan2_here(Path(given), int(times), name)))

"""A backbone: an aligned face in, its style code out, and back to a picture; the default one and those people add.

A backbone that was added is a converted checkpoint (`checkpoints`), its channel statistics, and a name.
"""

from __future__ import annotations

import copy
import os
import re
import socket
from abc import ABC, abstractmethod
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from img2tab_core import weights
from img2tab_core.backbones import checkpoints
from img2tab_core.backbones.registry import NAME, added_backbones, backbone_key, changing_backbones
from img2tab_core.base.errors import Img2TabError, enough_memory
from img2tab_core.base.files import home, whole
from img2tab_core.base.foreign import inside, not_led_out, read_arrays
from img2tab_core.base.layout import StyleLayout
from img2tab_core.base.once import Once
from img2tab_core.base.records import ChannelStats, read_only
from img2tab_core.networks.e4e import INPUT_SIZE
from img2tab_core.networks.face_encoder import FaceEncoder, to_input
from img2tab_core.networks.mobilestylegan import MobileStyleGAN
from img2tab_core.networks.stylegan2 import StyleGAN2, layout_of

STATS, STATS_SAMPLES = "stats.npz", 10_000
OPEN_AT_ONCE = 2  # backbones beside the default: a gigabyte each


@dataclass(frozen=True, eq=False)
class Backbone(ABC):
    """A generator and its encoder; both frozen, shared by every visitor."""

    name: str
    key: str  # changes with its weights
    generator: MobileStyleGAN | StyleGAN2
    encoder: nn.Module | None

    def __reduce__(self) -> tuple:
        """Sent to another process, it is opened there by its name."""
        return _reopened, (self.name, self.key)

    def on_card(self) -> Backbone:
        """The same with its encoder on this process's graphics card: its w are others in their last bits.

        Raises Img2TabError where there is no card, or no encoder.
        """
        if self.encoder is None or not torch.cuda.is_available():
            raise Img2TabError(
                f"There is no graphics card on {socket.gethostname()}, or {self.name} has no encoder. Leave out --gpus."
            )
        torch.backends.cudnn.allow_tf32 = False  # ten bits of a product would be lost
        torch.backends.cudnn.deterministic = True
        return replace(self, encoder=copy.deepcopy(self.encoder).cuda())

    @property
    def layout(self) -> StyleLayout:
        return self.generator.layout

    @property
    def sizes(self) -> tuple[int, ...]:
        """What it draws, px, largest first."""
        return self.generator.sizes

    def fitting(self, size: int) -> int:
        """The largest of `sizes` that is not above `size`; the smallest one where all are."""
        return next((fitting for fitting in self.sizes if fitting <= size), self.sizes[-1])

    def invert(self, faces: np.ndarray) -> np.ndarray:
        """uint8 (n, S, S, 3) RGB aligned faces -> w float32, (n, 512) for all layers or (n, L, 512)."""
        if self.encoder is None:
            raise Img2TabError(
                f"The backbone {self.name} has no encoder: its file holds a generator only, so it draws style codes "
                "but cannot turn a photo into one. Add a checkpoint that has both, such as e4e's."
            )
        with enough_memory("to read a face"):
            return self._invert(faces)

    @abstractmethod
    def _invert(self, faces: np.ndarray) -> np.ndarray: ...

    def w_plus(self, w: np.ndarray) -> np.ndarray:
        """w float32 (n, 512) or (n, L, 512) -> (n, L, 512), one w for every one the generator takes."""
        return w if w.ndim == 3 else np.repeat(w[:, None], self.generator.n_latent, axis=1)

    @torch.inference_mode()
    def styles(self, w: np.ndarray) -> np.ndarray:
        """w float32 (n, 512) or (n, L, 512) -> style codes float32 (n, D)."""
        parts: list[Tensor] = [self.generator.styles(part) for part in torch.from_numpy(np.array(w)).split(256)]
        return torch.cat(parts).numpy()

    @torch.inference_mode()
    def random_codes(self, count: int, *, seed: int = 0) -> np.ndarray:
        """Style codes of faces nobody has, float32 (count, D), their w drawn in towards the mean by 0.6."""
        noise = torch.Generator().manual_seed(seed)
        mean = self.generator.mapping(torch.randn(4096, 512, generator=noise)).mean(dim=0)
        w = self.generator.mapping(torch.randn(count, 512, generator=noise))
        return self.styles((mean + 0.6 * (w - mean)).numpy())

    @cached_property
    def stats(self) -> ChannelStats:
        """Mean and standard deviation of every channel over 10,000 random w; style units."""
        return measured_stats(self.generator)


@dataclass(frozen=True, eq=False)
class DefaultBackbone(Backbone):
    """MobileStyleGAN with the encoder of Img2Tab Studio: one w for all layers."""

    encoder: FaceEncoder

    @torch.inference_mode()
    def _invert(self, faces: np.ndarray) -> np.ndarray:
        size = self.encoder.config.size
        parts = []
        for start in range(0, len(faces), 32):
            x = to_input(torch.from_numpy(np.array(faces[start : start + 32])), size)
            x = x.to(self.encoder.head.weight.device).contiguous(memory_format=torch.channels_last)
            parts.append(self.encoder(x).cpu())
        return torch.cat(parts).numpy() if parts else np.empty((0, self.encoder.config.w_dim), np.float32)


@dataclass(frozen=True, eq=False)
class StyleGAN2Backbone(Backbone):
    """StyleGAN2 with the encoder of its checkpoint, if that has one: one w for each of its layers.

    latent_avg: float32 (n_latent, 512), what the encoder's answer is added to; stored: its channel statistics.
    """

    encoder_type: str
    latent_avg: Tensor
    stored: ChannelStats

    @property
    def stats(self) -> ChannelStats:
        """Mean and standard deviation of every channel over 10,000 random w; style units."""
        return self.stored

    @torch.inference_mode()
    def _invert(self, faces: np.ndarray) -> np.ndarray:
        parts = [np.empty((0, *self.latent_avg.shape), np.float32)]
        for start in range(0, len(faces), 4):  # at 256 px: one more would not be faster
            x = to_input(torch.from_numpy(np.array(faces[start : start + 4])), INPUT_SIZE)
            encoder = cast(nn.Module, self.encoder)
            w = encoder(x.to(next(encoder.parameters()).device)).cpu()
            w = w[:, None] if w.ndim == 2 else w  # one w for all
            parts.append((w + self.latent_avg).numpy())  # (b, n_latent, 512)
        return np.concatenate(parts)


# --- opening ------------------------------------------------------------------------------------------

_default: Once[str, DefaultBackbone] = Once(1)
_added: Once[tuple[str, Path], StyleGAN2Backbone] = Once(OPEN_AT_ONCE)  # by name and the folder of their conversion
_converted: Once[tuple[str, int, int], Path] = Once(64)  # path, size and time of a file -> its conversion


def open_backbone(name: str = NAME) -> Backbone:
    """A backbone by its name, or by the path of a checkpoint that was never added; opened once per process."""
    if name == NAME:
        return _default.get(NAME, _open_default)
    added = added_backbones()
    if name in added:
        folder = inside(home() / "converted", added[name]["folder"])
        return _open_added(name, not_led_out(folder))
    try:
        facts = os.stat(name)
    except (OSError, ValueError):
        facts = None
    if facts is not None and Path(name).is_file():
        mark = (os.path.abspath(name), facts.st_size, facts.st_mtime_ns)
        folder = _converted.get(mark, lambda: checkpoints.convert(Path(name)))  # a gigabyte is hashed once per process
        if not (folder / checkpoints.RECORD).is_file():  # the conversion was removed meanwhile
            _converted.forget(mark)
            folder = _converted.get(mark, lambda: checkpoints.convert(Path(name)))
        return _open_added(name, folder)
    names = ", ".join([NAME, *added])
    raise Img2TabError(
        f"There is no backbone named {name!r}, and no such file. Choose one of: {names}; or add a checkpoint: "
        "`img2tab backbone add FILE --name NAME`."
    )


def _reopened(name: str, key: str) -> Backbone:
    """A backbone in another process than it was opened in. Raises Img2TabError where the weights there are others."""
    opened = open_backbone(name)
    if opened.key != key:
        raise Img2TabError(
            f"The backbone {name} has other weights on {socket.gethostname()} than where the work was begun. Install "
            "the same version and the same weights on every machine."
        )
    return opened


def _open_default() -> DefaultBackbone:
    return DefaultBackbone(NAME, backbone_key(NAME), weights.open_generator(), weights.open_encoder())


def _open_added(name: str, folder: Path) -> StyleGAN2Backbone:
    """Opened once; whoever wants another one does not wait."""
    return _added.get((name, folder), lambda: _open_stylegan2(name, folder))


def _open_stylegan2(name: str, folder: Path) -> StyleGAN2Backbone:
    if not (folder / checkpoints.RECORD).is_file():
        raise Img2TabError(
            f"The files of the backbone {name} are gone from {folder}. Add its checkpoint again: "
            f"`img2tab backbone add FILE --name {name}`."
        )
    parts = checkpoints.open_parts(folder)
    return StyleGAN2Backbone(
        name,
        folder.name,
        parts.generator,
        parts.encoder,
        parts.encoder_type,
        parts.latent_avg,
        _stats_of(folder, parts.generator),
    )


def _stats_of(folder: Path, generator: StyleGAN2) -> ChannelStats:
    """The statistics beside a converted checkpoint, measured the first time."""
    file = folder / STATS
    try:
        stored = read_arrays(file)
        return ChannelStats(read_only(stored["mean"]), read_only(stored["std"]))
    except (OSError, ValueError, KeyError):
        stats = measured_stats(generator)
        with suppress(OSError), whole(file) as part, part.open("wb") as stream:  # measured again where it cannot be
            np.savez(stream, mean=stats.mean, std=stats.std)
        return stats


@torch.inference_mode()
def measured_stats(generator: MobileStyleGAN | StyleGAN2, *, count: int = STATS_SAMPLES, seed: int = 0) -> ChannelStats:
    """Mean and standard deviation of every channel over `count` random w, one w for all layers; style units."""
    noise = torch.Generator().manual_seed(seed)
    total = torch.zeros(2, generator.layout.total, dtype=torch.float64)
    for start in range(0, count, 500):
        w = generator.mapping(torch.randn(min(500, count - start), 512, generator=noise))
        psi = generator.styles(w).double()  # (b, D)
        total += torch.stack([psi.sum(dim=0), psi.square().sum(dim=0)])
    mean = total[0] / count
    std = (total[1] / count - mean.square()).clamp(min=0).sqrt()
    return ChannelStats(read_only(mean.float().numpy()), read_only(std.float().numpy()))


# --- names --------------------------------------------------------------------------------------------


def add_backbone(file: Path, name: str) -> Backbone:
    """Convert a checkpoint, measure its channel statistics, and give it a name it is found by from then on."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,59}", name) or name == NAME:
        raise Img2TabError(
            f"A backbone's name must be one word of at most 60 letters, digits, dots, dashes and underscores, and not "
            f"{NAME}, got {name!r:.60}. Choose another."
        )
    folder = checkpoints.convert(file)
    with changing_backbones() as added:
        known = added.get(name)
        if known and known["folder"] != folder.name:
            raise Img2TabError(
                f"There is a backbone named {name} already, from another file ({known['file']}). Choose another name, "
                f"or remove that one: `img2tab backbone remove {name}`."
            )
        opened = _open_added(name, folder)
        added[name] = {"folder": folder.name, "file": file.name, "added": date.today().isoformat()}
    return opened


def remove_backbone(name: str) -> None:
    """Forget a backbone; its converted files go too, unless another name uses them. Tables made with it stay."""
    with changing_backbones() as added:
        if name not in added:
            raise Img2TabError(
                f"There is no backbone named {name!r} that was added. "
                + (f"Those are: {', '.join(added)}." if added else "None was.")
            )
        folder = added.pop(name)["folder"]
    if all(record["folder"] != folder for record in added.values()):
        checkpoints.discard(inside(home() / "converted", folder))


def describe(name: str) -> dict:
    """What is known of a backbone without opening it: file, date, size, encoder."""
    if name == NAME:
        return {
            "name": name,
            "file": "part of Img2Tab Studio",
            "size": MobileStyleGAN.size,
            "encoder": "FaceEncoder",
            "channels": MobileStyleGAN.layout.total,
        }
    about = added_backbones()[name]
    record = checkpoints.record_of(inside(home() / "converted", about["folder"]))
    layout = layout_of(record["size"]) if record else None
    return {
        "name": name,
        "file": about["file"],
        "added": about["added"],
        "size": record.get("size"),
        "encoder": record.get("encoder_type") or None,
        "channels": layout.total if layout else None,
    }

"""Refinement: the encoder's answer for one face, moved step by step until it shows the same person.

One w for every one the generator takes (w+) is optimised by Adam against its 128 px picture. The loss keeps the
picture (pixels, and their 4x4 means), the person (dlib's face descriptor) and the neighbourhood of the encoder's
answer (the layers stay close to each other and to where they began). The first layers, which decide where everything
in the face lies, are held fast the more the earlier they come, so that edits stay closer to what they did; let go, the
picture comes nearer still and edits change more.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from img2tab_core.backbones.backbone import Backbone
from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.once import Once
from img2tab_core.base.records import read_only
from img2tab_core.networks.face_descriptor import FaceDescriptor, chips_of
from img2tab_core.networks.face_encoder import to_input
from img2tab_core.networks.mobilestylegan import MobileStyleGAN
from img2tab_core.networks.ops import N, channels_last
from img2tab_core.networks.stylegan2 import StyleGAN2


@dataclass(frozen=True)
class Recipe:
    """Every constant of the method; distances in w are in units of the spread of w, pictures in [-1, 1]."""

    size: int = 128  # px of the preview that is compared with the face
    rate: float = 0.03  # of Adam, in w; falls to 0 over the second half of the steps
    betas: tuple[float, float] = (0.9, 0.99)
    warm_up: int = 5  # steps over which the rate rises
    pixels: float = 6.0  # weight of the mean square of the pixels' differences
    coarse: float = 6.0  # the same after 4x4 means: colours and shapes
    identity: float = 0.5  # the descriptors' distance, as it is and mirrored
    enough: float = 0.25  # a distance below which the person is not pursued further
    layers: float = 0.3  # mean square of how the layers move against each other
    start: float = 0.2  # mean square of how their mean moves from the encoder's
    face: tuple[float, float, float, float] = (0.15, 0.25, 0.85, 0.95)  # left, top, right, bottom as shares of the side
    face_weight: float = 3.0  # of pixels inside, against 1 outside
    patience: int = 60  # steps without a gain after which it is as good as it gets
    gain: float = 0.002  # the smallest share of the loss that counts as one, however many steps it takes
    held: float = 100.0  # mean square of how far the first layer moves from the encoder's; falls to 0 at the middle one
    all_held: float = 3.0  # the same of every layer


RECIPE = Recipe()
NEAREST = Recipe(held=0.0, all_held=0.0)
STEPS = 50  # of one refinement: about 8 seconds on 2 idle cores
MEASURED = 256  # px of the picture that `Likeness` measures


@dataclass(frozen=True)
class Likeness:
    """How near a reconstruction of 256 px is to its face.

    identity: distance of dlib's descriptors, the same person below 0.6; pixels and coarse: root mean square
    difference, 0 to 255, of the pixels and of their means over 32 x 32 squares.
    """

    identity: float
    pixels: float
    coarse: float


@dataclass(frozen=True, eq=False)
class Refined:
    """What a refinement found, and what it cost.

    w_plus: float32 (L, 512), one w for every one the generator takes; before and after: of the encoder's w and of
    w_plus; moved: root mean square distance of w_plus to the encoder's w, layers: the same to its own mean over the
    layers, both in units of the spread of w (1: as far as two features of random faces); steps and seconds it took, of:
    the steps that were planned; stopped: why it ended.
    """

    w_plus: np.ndarray
    before: Likeness
    after: Likeness
    moved: float
    layers: float
    steps: int
    of: int
    seconds: float
    stopped: Literal["done", "time", "cancelled", "converged"]

    @property
    def finished(self) -> bool:
        """Whether it ended by itself; another one is only as far as it came, whatever its numbers say."""
        return self.stopped in ("done", "converged")


class Patience:
    """Whether a loss still falls: out once it has not gone down by `gain` of its last mark for more than `steps` steps.

    The mark is the loss at the last such gain, so that many small gains add up to one.
    """

    def __init__(self, steps: int, gain: float) -> None:
        self._steps, self._gain = steps, gain
        self._mark, self._since = float("inf"), 0

    def is_out(self, loss: float) -> bool:
        """Take the loss of one more step; whether patience is at its end."""
        if loss < self._mark * (1 - self._gain):
            self._mark, self._since = loss, 0
        else:
            self._since += 1
        return self._since > self._steps


def refine(
    backbone: Backbone,
    descriptor: FaceDescriptor,
    face: np.ndarray,
    w: np.ndarray,
    *,
    steps: int = STEPS,
    seconds: float | None = None,
    progress: Callable[[float, str], None] | None = None,
    stopped: Callable[[], bool] | None = None,
    clock: Callable[[], float] = time.perf_counter,
    recipe: Recipe = RECIPE,
) -> Refined:
    """Move w until the picture shows this face; the best answer met on the way.

    face: uint8 (S, S, 3) RGB, aligned, S a multiple of 128; w: float32, (512,) or (L, 512), the
    encoder's. The generator must draw 256 px at least. It makes `steps` steps, fewer where none gains any more: the
    same input gives the same result every time on one machine without a GPU, however busy it is. seconds: end after
    so long in any case, None for never. progress is called with a share 0..1 and a text. stopped is asked between
    steps; once it says so, the best answer so far is returned with its numbers.
    """
    _check(face, w, backbone, seconds, steps, recipe)
    began = clock()
    desk = _desk_of(backbone.generator, descriptor)
    target = _picture(face, desk.device)  # (1, 3, S, S)
    with torch.no_grad():
        person = desk.descriptor(chips_of(_both(target)))  # (2, 128)
    objective = _Objective(desk, recipe, target, person, torch.from_numpy(np.array(w, np.float32)).to(desk.device))
    before = _likeness(desk, target, person, objective.start)
    w_plus = objective.start.clone().requires_grad_(True)  # (1, L, 512)
    best, least, patience = objective.start, float("inf"), Patience(recipe.patience, recipe.gain)
    optimiser = torch.optim.Adam([w_plus], lr=recipe.rate, betas=recipe.betas)
    step = 0
    why: Literal["done", "time", "cancelled", "converged"] = "done"
    while step < steps:
        share = step / steps
        if seconds is not None and step and clock() - began >= seconds:  # never before the first step
            why = "time"
            break
        if stopped is not None and stopped():
            why = "cancelled"
            break
        loss, identity = objective.loss(w_plus)
        value = float(loss.detach())
        if value < least:
            best, least = w_plus.detach().clone(), value
        if patience.is_out(value):
            why = "converged"
            break
        optimiser.param_groups[0]["lr"] = recipe.rate * min(1, (step + 1) / recipe.warm_up) * min(1, 2 * (1 - share))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        step += 1
        if progress is not None:
            progress(share, f"Step {step}: identity distance {before.identity:.2f} \N{RIGHTWARDS ARROW} {identity:.2f}")
    if step and why != "converged":
        with torch.no_grad():  # where the last step led is not judged yet
            if float(objective.loss(w_plus)[0]) < least:
                best = w_plus.detach().clone()
    after = _likeness(desk, target, person, best)
    if progress is not None:
        progress(1.0, f"Identity distance {before.identity:.2f} \N{RIGHTWARDS ARROW} {after.identity:.2f}")
    return Refined(
        w_plus=read_only(best[0].cpu().numpy()),
        before=before,
        after=after,
        moved=_rms(best - objective.start) / desk.spread,
        layers=_rms(best - best.mean(dim=1, keepdim=True)) / desk.spread,
        steps=step,
        of=steps,
        seconds=clock() - began,
        stopped=why,
    )


def _check(
    face: np.ndarray, w: np.ndarray, backbone: Backbone, seconds: float | None, steps: int, recipe: Recipe
) -> None:
    if MEASURED not in backbone.sizes:
        raise Img2TabError(
            f"A refinement compares pictures of {MEASURED} px, and the backbone {backbone.name} draws at most "
            f"{backbone.sizes[0]} px. Choose one that draws larger ones."
        )
    if face.dtype != np.uint8 or face.ndim != 3 or face.shape[0] != face.shape[1] or face.shape[2] != 3:
        raise Img2TabError(f"A face must be uint8 (S, S, 3), got {face.dtype} {face.shape}. Give an aligned face.")
    if face.shape[0] % recipe.size:
        raise Img2TabError(f"A face's side must be a multiple of {recipe.size} px, got {face.shape[0]}. Resize it.")
    many = (backbone.generator.n_latent, 512)
    if w.shape not in ((512,), many) or not np.isfinite(w).all():
        raise Img2TabError(
            f"w must be 512 finite numbers, or {many[0]} times 512, got shape {w.shape}. Encode the face again."
        )
    if seconds is not None and not seconds > 0:
        raise Img2TabError(f"The time for a refinement must be above 0 seconds, got {seconds}. Give 10.")
    if steps < 1:
        raise Img2TabError(f"A refinement needs 1 step or more, got {steps}. Give {STEPS}.")


class _Objective:
    """The loss of one face."""

    def __init__(self, desk: _Desk, recipe: Recipe, target: Tensor, person: Tensor, w: Tensor) -> None:
        self.desk, self.recipe, self.person = desk, recipe, person
        w = w.reshape(1, -1, 512)  # (1, 1, 512) or (1, L, 512)
        self.start = w.expand(1, desk.generator.n_latent, -1).clone()  # (1, L, 512)
        self.middle = w if w.shape[1] == 1 else w.mean(dim=1, keepdim=True)  # (1, 1, 512)
        self.own = self.start - self.middle  # what each layer has of its own: kept
        layers = torch.arange(desk.generator.n_latent, device=desk.device) / desk.generator.n_latent
        self.held = (recipe.all_held + recipe.held * (1 - 2 * layers).clamp(min=0)).view(1, -1, 1)  # (1, L, 1)
        self.small = F.avg_pool2d(target, target.shape[-1] // recipe.size)  # (1, 3, size, size)
        left, top, right, bottom = (round(share * recipe.size) for share in recipe.face)
        mask = torch.ones(1, 1, recipe.size, recipe.size, device=desk.device)
        mask[:, :, top:bottom, left:right] = recipe.face_weight
        self.mask = mask / mask.mean()

    def loss(self, w_plus: Tensor) -> tuple[Tensor, float]:
        """w+ (1, L, 512) -> the loss and, for people who wait, the identity distance in it."""
        desk, recipe = self.desk, self.recipe
        styles = desk.generator.styles(w_plus)  # float32: cheap, and the gradient stays whole
        drawn = desk.quick_generator.synthesis(styles.to(desk.quick), size=recipe.size).float()
        chips = chips_of(_both(drawn)).to(desk.quick).contiguous(memory_format=torch.channels_last)
        identity = (desk.quick_descriptor(chips).float() - self.person).norm(dim=1).mean()
        off = drawn - self.small  # (1, 3, size, size)
        mean = w_plus.mean(dim=1, keepdim=True)  # (1, 1, 512)
        loss = (
            recipe.pixels * (self.mask * off.square()).mean()
            + recipe.coarse * F.avg_pool2d(off, 4).square().mean()
            + recipe.identity * F.softplus(identity - recipe.enough, beta=20)
            + recipe.layers * (w_plus - mean - self.own).square().mean() / desk.spread**2
            + recipe.start * (mean - self.middle).square().mean() / desk.spread**2
            + (self.held * (w_plus - self.start).square()).mean() / desk.spread**2
        )
        return loss, float(identity.detach())


@dataclass(frozen=True, eq=False)
class _Desk:
    """The networks where the work is done: exact ones, and quick copies in the fastest number format at hand."""

    device: torch.device
    quick: torch.dtype
    generator: MobileStyleGAN | StyleGAN2
    descriptor: FaceDescriptor
    quick_generator: MobileStyleGAN | StyleGAN2
    quick_descriptor: FaceDescriptor
    spread: float  # root mean square deviation of a feature of w about its mean


_desks: Once[tuple[MobileStyleGAN | StyleGAN2, FaceDescriptor], _Desk] = Once(1)


def _desk_of(generator: MobileStyleGAN | StyleGAN2, descriptor: FaceDescriptor) -> _Desk:
    return _desks.get((generator, descriptor), lambda: _made_desk(generator, descriptor))


def _made_desk(generator: MobileStyleGAN | StyleGAN2, descriptor: FaceDescriptor) -> _Desk:
    """Copies for one generator and descriptor, kept for the process: 31 MB in bfloat16, none in float32 on a CPU."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    quick = torch.bfloat16 if _quick_in_bfloat16(device) else torch.float32

    def copy_of(network: N, dtype: torch.dtype) -> N:
        if device.type == "cpu" and dtype == torch.float32:
            return network
        copied = copy.deepcopy(network).to(device, dtype).requires_grad_(False)
        if isinstance(network, StyleGAN2):  # its weights have five dimensions
            return copied
        return channels_last(copied)

    exact = copy_of(generator, torch.float32), copy_of(descriptor, torch.float32)
    with torch.inference_mode():
        noise = torch.randn(4096, 512, generator=torch.Generator().manual_seed(0))
        spread = float(generator.mapping(noise).var(dim=0).mean().sqrt())
    return _Desk(device, quick, *exact, copy_of(generator, quick), copy_of(descriptor, quick), spread)


def _quick_in_bfloat16(device: torch.device) -> bool:
    """Whether this machine multiplies in bfloat16 itself; where it must imitate it, float32 is faster."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False  # no Linux: not known, so the safe one
    return any(flag in flags.split() for flag in ("avx512_bf16", "amx_bf16"))


def _both(pictures: Tensor) -> Tensor:
    """(1, 3, S, S) -> (2, 3, S, S): as it is, and mirrored. What holds for both is less easily a trick."""
    return torch.cat([pictures, pictures.flip(3)])


def _picture(face: np.ndarray, device: torch.device) -> Tensor:
    """uint8 (S, S, 3) -> float32 (1, 3, S, S) in [-1, 1]."""
    return to_input(torch.from_numpy(np.array(face))[None].to(device), face.shape[0])


@torch.no_grad()
def _likeness(desk: _Desk, target: Tensor, person: Tensor, w_plus: Tensor) -> Likeness:
    drawn = desk.generator.synthesis(desk.generator.styles(w_plus), size=MEASURED).clamp(-1, 1)
    off = (drawn - F.interpolate(target, size=(MEASURED, MEASURED), mode="area")) * 127.5
    return Likeness(
        identity=float((desk.descriptor(chips_of(drawn)) - person[:1]).norm()),
        pixels=_rms(off),
        coarse=_rms(F.avg_pool2d(off, MEASURED // 32)),
    )


def _rms(x: Tensor) -> float:
    return float(x.square().mean().sqrt())

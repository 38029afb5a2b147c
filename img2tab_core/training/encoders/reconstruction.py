"""How far a drawn picture is from the one it should be: pixels, LPIPS, identity, and what MoCo v2 sees.

Sources: Richardson et al. 2021, "Encoding in style" (pSp, arXiv 2008.00951), and Tov et al. 2021, "Designing an
encoder for StyleGAN image manipulation" (e4e, arXiv 2102.02766); the weights below are those e4e published.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from img2tab_core.base.errors import Img2TabError
from img2tab_core.networks.ir_se50 import IrSe50
from img2tab_core.networks.lpips import Lpips
from img2tab_core.networks.resnet50 import ResNet50Features

SIDE = 256  # no larger pictures are compared, px
SMALLEST_LPIPS = 32  # AlexNet's poolings leave nothing of less, px
IDENTITY_CROP = (slice(35, 223), slice(32, 220))  # rows and columns of the face in an aligned 256 px
IDENTITY_SIDE, MOCO_SIDE = 112, 224  # what the two networks look at, px
PARTS = ("l2", "lpips", "identity", "moco")


@dataclass(frozen=True)
class LossWeights:
    """How much each part counts; 0 leaves it out. The defaults are e4e's for faces.

    identity is for faces alone; for other things e4e takes moco=0.5 and identity=0. delta: of the length of what
    `Encoder4Editing` adds to its first w, summed over the other w. w: of the squared error of w on generated pictures,
    whose w is known (ours, like the bundled encoder's; e4e has no generated pictures).
    """

    l2: float = 1.0
    lpips: float = 0.8
    identity: float = 0.1
    moco: float = 0.0
    delta: float = 2e-4
    w: float = 1.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not 0 <= value < float("inf"):
                raise Img2TabError(f"The weight of a loss must be 0 or more, got {field.name} = {value:g}.")


@dataclass(frozen=True)
class Losses:
    """Means over a batch, 0-d; 0 for the same pictures. parts: those that count; total: their weighted sum."""

    parts: dict[str, Tensor]
    total: Tensor


class ReconstructionLoss(nn.Module):
    """The networks of a loss, frozen: nothing here ever trains or changes, whatever the network around it is told."""

    def __init__(
        self,
        weights: LossWeights,
        *,
        lpips: Lpips | None = None,
        identity: IrSe50 | None = None,
        moco: ResNet50Features | None = None,
    ) -> None:
        super().__init__()
        self.weights = weights
        for name, network in (("lpips", lpips), ("identity", identity), ("moco", moco)):
            if getattr(weights, name) > 0 and network is None:
                raise Img2TabError(f"The loss {name} needs the network that judges it. Give its weights, or weight 0.")
        self.lpips, self.identity, self.moco = lpips, identity, moco
        self.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> ReconstructionLoss:
        """Stays in evaluation mode: a network in training mode would change its own statistics."""
        return super().train(False)

    def forward(self, drawn: Tensor, faces: Tensor) -> Losses:
        """Pictures (B, 3, S, S) and (B, 3, T, T), RGB in [-1, 1]; compared at the smaller side, at most 256 px."""
        side = min(drawn.shape[-1], faces.shape[-1], SIDE)
        drawn, faces = _sized(drawn, side), _sized(faces, side).detach()
        measures: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
            "l2": F.mse_loss,
            "lpips": self._lpips,
            "identity": self._identity,
            "moco": self._moco,
        }
        parts = {name: measures[name](drawn, faces) for name in PARTS if getattr(self.weights, name) > 0}
        total = sum((getattr(self.weights, name) * value for name, value in parts.items()), drawn.new_zeros(()))
        return Losses(parts, total)

    def _lpips(self, drawn: Tensor, faces: Tensor) -> Tensor:
        side = max(drawn.shape[-1], SMALLEST_LPIPS)
        return cast(Lpips, self.lpips)(_sized(drawn, side), _sized(faces, side)).mean()

    def _identity(self, drawn: Tensor, faces: Tensor) -> Tensor:
        return _unlike(cast(IrSe50, self.identity), face_crop(drawn), face_crop(faces))

    def _moco(self, drawn: Tensor, faces: Tensor) -> Tensor:
        # in [-1, 1], as pSp and e4e show them to it, without the mean and spread of ImageNet
        return _unlike(cast(ResNet50Features, self.moco), _sized(drawn, MOCO_SIDE), _sized(faces, MOCO_SIDE))


def face_crop(faces: Tensor) -> Tensor:
    """What the identity network looks at in FFHQ-aligned faces (B, 3, S, S); (B, 3, 112, 112)."""
    rows, columns = IDENTITY_CROP
    return F.adaptive_avg_pool2d(_sized(faces, SIDE)[:, :, rows, columns], IDENTITY_SIDE)


def _unlike(network: nn.Module, drawn: Tensor, faces: Tensor) -> Tensor:
    """1 - cosine, as half the squared distance of unit vectors: exactly 0 for the same picture; 0-d."""
    with torch.no_grad():
        goal = network(faces)
    return (network(drawn) - goal).square().sum(dim=1).mean() / 2


def _sized(pictures: Tensor, side: int) -> Tensor:
    """(B, 3, S, S) -> (B, 3, side, side): averaged where that is smaller, else bilinear."""
    have = pictures.shape[-1]
    if have == side:
        return pictures
    return F.interpolate(pictures, size=(side, side), mode="area" if have > side else "bilinear")

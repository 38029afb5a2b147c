"""A small network that tells from w what its picture would show, so that a loss on the picture costs no rendering.

It predicts the descriptor, the landmarks and a 32 px picture of the face that a w draws. Fitted to rendered pairs,
then frozen: the encoder's training looks through it at who the drawn person is, where the features are and how the
picture is lit.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from img2tab_core.base.errors import Img2TabError
from img2tab_core.training.encoders.targets import SMALL, Targets

COMPONENTS = 192  # principal components that stand for a small picture
FACE_WEIGHT = 3.0  # of the pixels where the face is, against those around it
PARTS = ("descriptors", "landmarks", "picture")


@dataclass(frozen=True)
class Shown:
    """What a face shows, every part with its share: descriptor (B, 128), landmarks (B, 136), picture (B, 192)."""

    descriptors: Tensor
    landmarks: Tensor
    picture: Tensor


class Surrogate(nn.Module):
    """w (B, 512) -> `Shown`."""

    mean_w: Tensor
    scale_w: Tensor
    picture_mean: Tensor
    picture_basis: Tensor
    mean_out: Tensor
    scale_out: Tensor
    spread: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean_w", torch.zeros(512))
        self.register_buffer("scale_w", torch.ones(()))
        self.register_buffer("picture_mean", torch.zeros(SMALL * SMALL * 3))
        self.register_buffer("picture_basis", torch.zeros(SMALL * SMALL * 3, COMPONENTS))
        self.sizes = (128, 136, COMPONENTS)
        total = sum(self.sizes)
        self.register_buffer("mean_out", torch.zeros(total))
        self.register_buffer("scale_out", torch.ones(total))
        self.register_buffer("spread", torch.ones(3))  # summed variance of each part
        self.linear = nn.Linear(512, total)
        self.deep = nn.Sequential(
            nn.Linear(512, 1024), nn.GELU(), nn.Linear(1024, 1024), nn.GELU(), nn.Linear(1024, total)
        )

    def forward(self, w: Tensor) -> Shown:
        x = (w - self.mean_w) / self.scale_w
        return Shown(*((self.linear(x) + self.deep(x)).float() * self.scale_out + self.mean_out).split(self.sizes, 1))

    def shown(self, targets: Targets) -> Shown:
        """What pictures themselves show, in the same terms."""
        device = self.mean_w.device
        picture = _weighted(torch.from_numpy(targets.small)).to(device)
        return Shown(
            torch.from_numpy(targets.descriptors).float().to(device),
            torch.from_numpy(targets.landmarks).float().to(device),
            (picture - self.picture_mean) @ self.picture_basis,
        )

    def differences(self, guess: Shown, truth: Shown) -> Tensor:
        """Squared error of each part over its variance between faces; (3,), 1 for a guess that knows nothing."""
        return (
            torch.stack([(getattr(guess, name) - getattr(truth, name)).square().sum(1).mean() for name in PARTS])
            / self.spread
        )


def fit_surrogate(
    w: np.ndarray,
    targets: Targets,
    *,
    epochs: int = 15,
    batch: int = 256,
    seed: int = 0,
    device: torch.device | str = "cpu",
    report: Callable[[str], None] | None = None,
) -> tuple[Surrogate, dict[str, float]]:
    """The frozen surrogate, and R2 of each part on the last twentieth of the pairs, which it was not fitted to."""
    if len(w) < 4 * batch:
        raise Img2TabError(f"The surrogate needs at least {4 * batch} described faces, got {len(w)}. Render more.")
    torch.manual_seed(seed)
    started, model = time.monotonic(), Surrogate()
    held = len(w) // 20
    x = torch.from_numpy(np.asarray(w, np.float32))
    model.mean_w.copy_(x.mean(0))
    model.scale_w.copy_(x.std(0).mean())
    pictures = _weighted(torch.from_numpy(targets.small[:8000]))
    model.picture_mean.copy_(pictures.mean(0))
    _, vectors = torch.linalg.eigh((pictures - model.picture_mean).T @ (pictures - model.picture_mean))
    model.picture_basis.copy_(vectors[:, -COMPONENTS:].flip(1))
    shown = model.shown(targets)
    y = torch.cat([getattr(shown, name) for name in PARTS], 1)
    model.mean_out.copy_(y.mean(0))
    model.spread.copy_(torch.stack([part.var(0).sum() for part in y.split(model.sizes, 1)]))
    weights = torch.cat(
        [
            torch.full((size,), (spread / size).sqrt().item())
            for size, spread in zip(model.sizes, model.spread, strict=True)
        ]
    )
    model.scale_out.copy_(weights)
    model.to(device)
    x, y = x.to(device), y.to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.02)
    steps = epochs * ((len(x) - held) // batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps)
    source = torch.Generator().manual_seed(seed)
    scale = model.scale_out
    for step in range(steps):
        rows = torch.randint(len(x) - held, (batch,), generator=source).to(device)
        guess = model(x[rows])
        out = torch.cat([getattr(guess, name) for name in PARTS], 1)
        loss = ((out - y[rows]) / scale).square().mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
        if report and step % 500 == 0:
            report(f"surrogate: step {step} of {steps}, loss {loss.item():.3f}, {time.monotonic() - started:.0f} s")
    model.eval().requires_grad_(False)
    with torch.inference_mode():
        guess = model(x[-held:])
        parts = y[-held:].split(model.sizes, 1)
        error = {
            name: round(
                float(1 - (getattr(guess, name) - part).square().sum() / (part - part.mean(0)).square().sum()), 4
            )
            for name, part in zip(PARTS, parts, strict=True)
        }
    return model, error


def save_surrogate(model: Surrogate, error: dict[str, float], file: Path) -> None:
    """Write it with its R2; it appears whole."""
    partial = file.with_suffix(".part")
    torch.save({"state": model.state_dict(), "r2": error}, partial)
    partial.replace(file)


def load_surrogate(file: Path) -> tuple[Surrogate, dict[str, float]]:
    """What `save_surrogate` wrote."""
    saved = torch.load(file, weights_only=True, map_location="cpu")
    model = Surrogate()
    model.load_state_dict(saved["state"])
    return model.eval().requires_grad_(False), saved["r2"]


def _weighted(small: Tensor) -> Tensor:
    """uint8 (n, 32, 32, 3) -> float32 (n, 3072), in [-1, 1] times the root of each pixel's weight."""
    weight = torch.ones(SMALL, SMALL, 1)
    weight[SMALL // 4 : SMALL * 15 // 16, SMALL * 5 // 32 : SMALL * 27 // 32] = FACE_WEIGHT
    return ((small.float() / 127.5 - 1) * (weight / weight.mean()).sqrt()).flatten(1)

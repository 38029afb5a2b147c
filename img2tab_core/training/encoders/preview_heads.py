"""Fit the preview heads: a linear 3x3 convolution from the features at 128 or 256 px to the averaged picture."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor

from img2tab_core.networks.mobilestylegan import PREVIEW_BLOCK, MobileStyleGAN
from img2tab_core.training.encoders.pairs import mean_w, sample_w
from img2tab_core.weights.store import ship


@torch.inference_mode()
def fit_preview_heads(
    generator: MobileStyleGAN, *, faces: int = 300, held_out: int = 50, pixels: int = 1000, seed: int = 7
) -> dict[str, dict[str, float]]:
    """Ridge regression over `pixels` random pixels of `faces` pictures, per size; writes into generator.preview.

    Returns {size: {"rmse", "r2"}} on `held_out` further faces, against the exact 512 px picture area-averaged,
    on the [-1, 1] scale.
    """
    w = sample_w(generator, faces + held_out, seed=seed, mean=mean_w(generator))
    source = torch.Generator().manual_seed(seed)
    report = {}
    for size in PREVIEW_BLOCK:
        head = generator.head(size)
        gram: Tensor | float = 0.0
        cross: Tensor | float = 0.0
        error = variance = 0.0
        for i, row in enumerate(w):
            psi = generator.styles(row[None])
            picture = F.avg_pool2d(generator.synthesis(psi, size=512), 512 // size)[0].flatten(1).T  # (S S, 3)
            if i >= faces:
                guess = generator.synthesis(psi, size=size)[0].flatten(1).T
                error += (guess - picture).square().mean().item()
                variance += picture.var(dim=0).mean().item()
                continue
            chosen = torch.randperm(size * size, generator=source)[:pixels]
            window = _windows(generator.preview_features(psi, size=size)[0], chosen)  # (pixels, 9 C + 1)
            gram = gram + (window.T @ window).double()
            cross = cross + (window.T @ picture[chosen]).double()
            if i == faces - 1:
                ridge = 1e-2 * torch.eye(len(gram), dtype=torch.float64)
                solution = torch.linalg.solve(gram + ridge, cross)  # (9 C + 1, 3)
                head.weight.copy_(solution[:-1].T.reshape(head.weight.shape))
                cast(Tensor, head.bias).copy_(solution[-1])
        report[str(size)] = {"rmse": (error / held_out) ** 0.5, "r2": 1 - error / variance}
    return report


def _windows(features: Tensor, chosen: Tensor) -> Tensor:
    """3x3 neighbourhoods of the chosen pixels of (C, S, S), as rows, with a 1 for the bias."""
    size = features.shape[-1]
    padded = F.pad(features, (1, 1, 1, 1))
    rows, columns = chosen // size, chosen % size
    window = torch.stack([padded[:, rows + r, columns + c] for r in range(3) for c in range(3)], dim=1)
    return torch.cat([window.flatten(0, 1).T, torch.ones(len(chosen), 1)], dim=1)


def save_preview_heads(generator: MobileStyleGAN, folder: Path, record: dict) -> None:
    """Write preview-heads.safetensors (float32) and preview-heads.json: how they were made and their error."""
    state = {f"preview.{name}": value for name, value in generator.preview.state_dict().items()}
    ship(folder / "preview-heads.safetensors", state, record)

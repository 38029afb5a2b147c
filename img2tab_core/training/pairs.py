"""A folder of generated faces: w.npy (n, 512) float32 and faces.npy (n, S, S, 3) uint8; rendering can be resumed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from img2tab_core.networks.mobilestylegan import MobileStyleGAN
from img2tab_core.training.sampling import mean_w, sample_w


@torch.inference_mode()
def render_pairs(
    generator: MobileStyleGAN,
    folder: Path,
    *,
    count: int,
    size: int,
    drawn_at: int = 512,
    seed: int,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Fill `folder` with `count` faces of `size` px, drawn at `drawn_at` px and area-averaged.

    Called again after an interruption it goes on at the first face that is missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    w = sample_w(generator, count, seed=seed, mean=mean_w(generator))
    np.save(folder / "w.npy", w.numpy())
    faces_file, done_file = folder / "faces.npy", folder / "done.txt"
    done = int(done_file.read_text()) if done_file.exists() else 0
    faces = np.lib.format.open_memmap(
        faces_file, mode="r+" if done else "w+", dtype=np.uint8, shape=(count, size, size, 3)
    )
    dtype = next(generator.stem.parameters()).dtype
    for i in range(done, count):
        psi = generator.styles(w[i : i + 1].to(dtype))
        picture = F.avg_pool2d(generator.synthesis(psi, size=drawn_at).float(), drawn_at // size)
        faces[i] = ((picture[0].clamp(-1, 1) + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
        if i % 100 == 99 or i == count - 1:
            faces.flush()
            done_file.write_text(str(i + 1))
            if progress:
                progress(i + 1, count)

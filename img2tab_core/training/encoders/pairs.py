"""A folder of generated faces: w.npy (n, 512) float32 and faces.npy (n, S, S, 3) uint8; rendering can be resumed."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from img2tab_core.backbones.rendering import to_pixels
from img2tab_core.base.errors import Img2TabError
from img2tab_core.networks.mobilestylegan import W_DIM, MobileStyleGAN

TRUNCATION = (0.6, 1.0)  # w = mean + t (w - mean), t uniform in this range


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

    Called again after an interruption it goes on at the first face that is missing; pairs.json there says what the
    folder was begun with, and anything else is refused: a w of one seed beside a face of another teaches nonsense.
    """
    settings = {"seed": seed, "count": count, "size": size, "drawn_at": drawn_at}
    _check_settings(folder / "pairs.json", settings)
    folder.mkdir(parents=True, exist_ok=True)
    faces_file, done_file = folder / "faces.npy", folder / "done.txt"
    done = count_rendered(folder) if done_file.exists() else 0
    w = sample_w(generator, count, seed=seed, mean=mean_w(generator))
    if done and not (folder / "pairs.json").exists():  # begun before folders said what they hold
        _check_drawn(folder, w.numpy(), (count, size, size, 3))
    else:
        np.save(folder / "w.npy", w.numpy())
    (folder / "pairs.json").write_text(json.dumps(settings))
    faces = np.lib.format.open_memmap(
        faces_file, mode="r+" if done else "w+", dtype=np.uint8, shape=(count, size, size, 3)
    )
    kind = next(generator.stem.parameters())  # where the generator is, and in which format
    for i in range(done, count):
        psi = generator.styles(w[i : i + 1].to(kind))
        picture = F.avg_pool2d(generator.synthesis(psi, size=drawn_at).float(), drawn_at // size)
        faces[i] = to_pixels(picture[0].permute(1, 2, 0).cpu().numpy())
        if i % 100 == 99 or i == count - 1:
            faces.flush()
            done_file.with_suffix(".part").write_text(str(i + 1))
            done_file.with_suffix(".part").replace(done_file)  # a training that reads along never sees half of it
            if progress:
                progress(i + 1, count)


def count_rendered(folder: Path) -> int:
    """How many faces of a `render_pairs` folder are there by now; all three files are."""
    for name in ("w.npy", "faces.npy", "done.txt"):
        if not (folder / name).is_file():
            raise Img2TabError(
                f"A folder of rendered faces must hold {name}, and {folder} does not. "
                f"Make one with `img2tab render-pairs {folder}`."
            )
    try:
        return int((folder / "done.txt").read_text())
    except (OSError, ValueError) as error:
        raise Img2TabError(
            f"{folder / 'done.txt'} must hold the number of rendered faces ({error}). "
            "Make the folder anew with `img2tab render-pairs`."
        ) from error


def draw_samples(folder: Path, rows: Sequence[int], out: Path, *, quality: int = 94) -> list[Path]:
    """Write rendered faces as JPEG, 00.jpg, 01.jpg, ..., in the order of `rows`; the files."""
    count = count_rendered(folder)
    wrong = [row for row in rows if not 0 <= row < count]
    if wrong or not rows:
        raise Img2TabError(
            f"The rows must be between 0 and {count - 1}, the faces rendered in {folder}, got "
            f"{', '.join(map(str, wrong)) or 'none'}."
        )
    faces = np.load(folder / "faces.npy", mmap_mode="r")
    out.mkdir(parents=True, exist_ok=True)
    files = [out / f"{i:02d}.jpg" for i in range(len(rows))]
    for file, row in zip(files, rows, strict=True):
        Image.fromarray(np.asarray(faces[row])).save(file, "JPEG", quality=quality)
    return files


def _check_settings(file: Path, settings: dict[str, int]) -> None:
    """Whether a folder was begun with the same settings, or not at all."""
    try:
        begun = json.loads(file.read_text())
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:
        raise Img2TabError(f"{file} cannot be read ({error}). Render into another folder.") from error
    if begun != settings:
        raise Img2TabError(
            f"{file.parent} was begun with {_in_words(begun)} and can only go on so, got {_in_words(settings)}. "
            "Give the same again, or another folder."
        )


def _in_words(settings: object) -> str:
    return ", ".join(f"{k} {v}" for k, v in settings.items()) if isinstance(settings, dict) else repr(settings)


def _check_drawn(folder: Path, w: np.ndarray, shape: tuple[int, ...]) -> None:
    """Whether w.npy and faces.npy of a folder are what these settings give."""
    try:
        stored, faces = np.load(folder / "w.npy"), np.load(folder / "faces.npy", mmap_mode="r")
    except (OSError, ValueError, EOFError) as error:
        raise Img2TabError(f"{folder} cannot be read ({error}). Render into another folder.") from error
    if faces.shape != shape or stored.shape != w.shape or not np.allclose(stored, w, atol=1e-2):
        raise Img2TabError(
            f"{folder} was begun with another seed, count or size and can only go on so. Give the same again, or "
            "another folder."
        )


@torch.inference_mode()
def mean_w(generator: MobileStyleGAN, *, count: int = 100_000) -> Tensor:
    """Mean of w over `count` standard normal z of seed 0; float32 (512,)."""
    z = torch.randn(count, W_DIM, generator=torch.Generator().manual_seed(0))
    return generator.mapping(z.to(_device(generator))).mean(dim=0).cpu()


@torch.inference_mode()
def sample_w(generator: MobileStyleGAN, count: int, *, seed: int, mean: Tensor) -> Tensor:
    """`count` truncated w, float32 (count, 512)."""
    source = torch.Generator().manual_seed(seed)
    w = generator.mapping(torch.randn(count, W_DIM, generator=source).to(_device(generator))).cpu()
    low, high = TRUNCATION
    t = low + (high - low) * torch.rand(count, 1, generator=source)
    return mean + t * (w - mean)


def _device(generator: MobileStyleGAN) -> torch.device:
    return next(generator.mapping.parameters()).device

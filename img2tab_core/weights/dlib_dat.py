"""Reads the weights of dlib's face descriptor from the .dat file dlib writes: a stream of layers, input first."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor

from img2tab_core.base.errors import Img2TabError
from img2tab_core.networks.face_descriptor import FaceDescriptor, Unit


def read_descriptor(file: Path) -> dict[str, torch.Tensor]:
    """The state of a `FaceDescriptor`, float32, of dlib_face_recognition_resnet_model_v1.dat.

    dlib names every layer (con_, affine_, fc_) and stores its parameters behind the name as one tensor: four sizes,
    then float32 in C order. A convolution's tensor holds its filters and then its biases, an affine layer's its
    factors and then its offsets; they are folded into the convolution before them.
    """
    data = file.read_bytes()
    try:
        blocks = [_tensor_behind(data, at) for at in _names(data)]
    except (IndexError, ValueError):  # the file ends inside a layer
        blocks = []
    network = FaceDescriptor()
    units = cast("list[Unit]", list(network.units))
    layers = [network.stem, *(layer for unit in units for layer in (unit.first, unit.second))]
    convolutions = [(layer.weight, cast(Tensor, layer.bias)) for layer in layers]
    wanted = [size for weight, bias in convolutions for size in (weight.numel() + len(bias), 2 * len(bias))]
    wanted.append(network.head.weight.numel())
    if [len(block) for block in blocks] != wanted:
        raise Img2TabError(
            f"{file.name} must hold the {len(wanted)} whole layers of dlib's face descriptor, and does not. "
            "Run: img2tab weights fetch"
        )
    with torch.no_grad():
        for (weight, bias), stored, affine in zip(convolutions, blocks[0:-1:2], blocks[1:-1:2], strict=True):
            filters, biases = torch.from_numpy(stored).split([weight.numel(), len(bias)])
            gain, offset = torch.from_numpy(affine).chunk(2)
            weight.copy_(filters.view_as(weight) * gain[:, None, None, None])
            bias.copy_(biases * gain + offset)
        network.head.weight.copy_(torch.from_numpy(blocks[-1]).view(256, 128).T)
    return network.state_dict()


def _names(data: bytes) -> list[int]:
    """Where the parameters of each named layer begin, in the order of the file."""
    names = []
    for name in (b"con_", b"affine_", b"fc_"):
        at = data.find(name)
        while at >= 0:
            length = data[at - 1]  # a string is its length, then its characters
            if len(name) <= length <= len(name) + 2:
                begin = at + length
                if name == b"fc_":  # says its outputs and inputs first
                    begin = _integer(data, _integer(data, begin)[1])[1]
                names.append(begin)
            at = data.find(name, at + 1)
    return sorted(names)


def _tensor_behind(data: bytes, at: int) -> np.ndarray:
    """The tensor that begins at a byte: version, four sizes, float32 values; flat float32, a copy."""
    _, at = _integer(data, at)
    count = 1
    for _ in range(4):
        size, at = _integer(data, at)
        count *= size
    return np.frombuffer(data, "<f4", count, at).copy()


def _integer(data: bytes, at: int) -> tuple[int, int]:
    """dlib's packed integer: a byte that counts those to come (its top bit is the sign), then they; (value, end)."""
    length = data[at] & 0x0F
    value = int.from_bytes(data[at + 1 : at + 1 + length], "little")
    return (-value if data[at] & 0x80 else value), at + 1 + length

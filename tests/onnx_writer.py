"""A small writer of ONNX files, by hand from onnx.proto: the reader is held against it, without the package onnx."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence

import numpy as np

FLOAT, UINT8, INT64, FLOAT16 = 1, 2, 7, 10  # TensorProto.DataType
KINDS = {"float32": FLOAT, "uint8": UINT8, "int64": INT64, "bool": 9, "float16": FLOAT16}


class Graph(bytes):
    """The bytes of a graph, so that an attribute knows them from those of a tensor."""


def varint(number: int) -> bytes:
    number &= (1 << 64) - 1  # a negative number has ten bytes
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def field(number: int, value: int | float | str | bytes) -> bytes:
    """A field of a message: a number as a varint, a fraction as four bytes, all else with its length before it."""
    if isinstance(value, float):
        return varint(number << 3 | 5) + struct.pack("<f", value)
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def fields(number: int, values: Iterable[int | float | str | bytes]) -> bytes:
    return b"".join(field(number, value) for value in values)


def tensor(array: np.ndarray | Sequence, name: str = "") -> bytes:
    array = np.asarray(array)
    kind = KINDS[array.dtype.name]
    return fields(1, map(int, array.shape)) + field(2, kind) + field(8, name) + field(9, array.tobytes())


def promised(dims: Sequence[int], name: str = "", kind: int = FLOAT) -> bytes:
    """A tensor of these sides without a single number in it."""
    return fields(1, dims) + field(2, kind) + field(8, name)


def external(location: str, name: str = "") -> bytes:
    """A tensor of three numbers that are said to lie in another file."""
    return promised([3, 1], name) + field(13, field(1, "location") + field(2, location)) + field(14, 1)


def attribute(name: str, value: Graph | bytes | str | float | Sequence[int]) -> bytes:
    if isinstance(value, Graph):
        body = field(6, value) + field(20, 5)
    elif isinstance(value, bytes):
        body = field(5, value) + field(20, 4)
    elif isinstance(value, str):
        body = field(4, value) + field(20, 3)
    elif isinstance(value, float):
        body = field(2, value) + field(20, 1)
    elif isinstance(value, int):
        body = field(3, value) + field(20, 2)
    else:
        body = fields(8, value) + field(20, 7)
    return field(1, name) + body


def node(operator: str, takes: Sequence[str], makes: Sequence[str], domain: str = "", **attributes) -> bytes:
    made = fields(1, takes) + fields(2, makes) + field(4, operator) + field(7, domain)
    return made + b"".join(field(5, attribute(name, value)) for name, value in attributes.items())


def value(name: str, shape: Sequence[int | str] | None, kind: int = FLOAT) -> bytes:
    """An input or output; a side that is a word is not fixed, and shape None says nothing."""
    if shape is None:
        return field(1, name) + field(2, field(1, field(1, kind)))
    sides = b"".join(field(1, field(1 + isinstance(side, str), side)) for side in shape)
    return field(1, name) + field(2, field(1, field(1, kind) + field(2, sides)))


def graph(
    nodes: Sequence[bytes], takes: Sequence[bytes], makes: Sequence[bytes], tensors: Sequence[bytes] = ()
) -> Graph:
    return Graph(fields(1, nodes) + field(2, "graph") + fields(5, tensors) + fields(11, takes) + fields(12, makes))


def function(domain: str, name: str, takes: Sequence[str], makes: Sequence[str], nodes: Sequence[bytes]) -> bytes:
    body = fields(4, takes) + fields(5, makes) + fields(7, nodes) + field(9, field(1, "") + field(2, 17))
    return field(1, name) + body + field(10, domain)


def model(
    graph: bytes,
    *,
    domains: Sequence[str] = ("",),
    notes: dict[str, str] | None = None,
    functions: Sequence[bytes] = (),
) -> bytes:
    opsets = [field(1, domain) + field(2, 1 if domain else 17) for domain in domains]
    pairs = [field(1, key) + field(2, text) for key, text in (notes or {}).items()]
    return (
        field(1, 8)
        + field(2, "by hand")
        + field(7, graph)
        + fields(8, opsets)
        + fields(14, pairs)
        + fields(25, functions)
    )

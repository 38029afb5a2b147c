"""The published MobileStyleGAN files (OpenVINO IR v10) -> a state dict of our generator.

An IR is an XML graph beside a flat file of constants; the standard library and NumPy read both.
"""

from __future__ import annotations

from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import numpy as np

from img2tab_core.base.errors import Img2TabError
from img2tab_core.networks.ops import band_major

DTYPES: dict[str, np.dtype] = {
    name: np.dtype(kind) for name, kind in (("f32", "<f4"), ("f16", "<f2"), ("i64", "<i8"), ("i32", "<i4"))
}


class Graph:
    """The layers of one IR, their constants, and who feeds whom."""

    def __init__(self, xml: bytes, constants: bytes) -> None:
        try:
            root = ElementTree.fromstring(xml)  # noqa: S314 - its sha256 is that of the manifest
        except ElementTree.ParseError as error:
            raise Img2TabError(f"The network is not readable XML ({error}). Fetch the file again.") from error
        self.layers = {_said(layer, "id"): layer for layer in _child(root, "layers")}
        self.inputs: dict[str, list[str]] = {}
        self.users: dict[str, list[str]] = {}
        for edge in sorted(_child(root, "edges"), key=lambda edge: int(_said(edge, "to-port"))):
            source, target = _said(edge, "from-layer"), _said(edge, "to-layer")
            self.inputs.setdefault(target, []).append(source)
            self.users.setdefault(source, []).append(target)
        self.constants = constants

    def of_type(self, kind: str) -> list[str]:
        return [key for key, layer in self.layers.items() if layer.get("type") == kind]

    def named(self, name: str) -> np.ndarray:
        for key, layer in self.layers.items():
            if layer.get("name") == name:
                return self.constant(key)
        raise Img2TabError(f"The network file has no constant named {name!r}: it is not the expected release.")

    def constant(self, key: str) -> np.ndarray:
        data = _child(self.layers[key], "data")
        shape = tuple(int(n) for n in _said(data, "shape").split(",") if n.strip())
        offset, size = int(_said(data, "offset")), int(_said(data, "size"))
        raw = np.frombuffer(self.constants, np.uint8, size, offset)
        return raw.view(DTYPES[_said(data, "element_type")]).reshape(shape)

    def constant_input(self, key: str) -> np.ndarray:
        """The one constant that feeds layer `key`."""
        (source,) = [i for i in self.inputs[key] if self.layers[i].get("type") == "Const"]
        return self.constant(source)

    def next(self, key: str, kind: str) -> str:
        """The one user of `key` with this type."""
        (user,) = [i for i in self.users[key] if self.layers[i].get("type") == kind]
        return user


def _child(element: Element, name: str) -> Element:
    """The one child of this name, or the sentence that it is missing."""
    child = element.find(name)
    if child is None:
        raise Img2TabError(f"The network file has a {element.tag!r} without {name!r}. Fetch the file again.")
    return child


def _said(element: Element, name: str) -> str:
    """The attribute of this name, or the sentence that it is missing."""
    value = element.get(name)
    if value is None:
        raise Img2TabError(f"The network file has a {element.tag!r} without {name!r}. Fetch the file again.")
    return value


def mobilestylegan_state(files: dict[str, bytes]) -> dict[str, np.ndarray]:
    """{"MappingNetwork.xml": ..., ".bin": ..., "SynthesisNetwork.xml": ..., ".bin": ...} -> float32 arrays by name."""
    state: dict[str, np.ndarray] = {}
    graph = Graph(files["MappingNetwork.xml"], files["MappingNetwork.bin"])
    for i, key in enumerate(graph.of_type("MatMul")):
        state[f"mapping.layers.{i}.weight"] = graph.constant_input(key)
        add = graph.next(key, "Add")
        (bias,) = [j for j in graph.inputs[add] if j != key]
        state[f"mapping.layers.{i}.bias"] = graph.constant(graph.inputs[bias][0])

    graph = Graph(files["SynthesisNetwork.xml"], files["SynthesisNetwork.bin"])
    layers = ["m.conv1.conv"]
    for block in range(7):
        layers += [f"m.layers.{block}.up", f"m.layers.{block}.conv1.conv", f"m.layers.{block}.conv2.conv"]
    layers.append("m.layers.6.to_img.conv")
    matmul_of = {
        graph.layers[source].get("name"): key for key in graph.of_type("MatMul") for source in graph.inputs[key]
    }
    scales = []
    for i, name in enumerate(layers):
        state[f"affines.{i}.weight"] = graph.named(f"{name}.modulation.weight")
        state[f"affines.{i}.bias"] = graph.named(f"{name}.modulation.bias").reshape(-1)
        style = graph.next(graph.next(matmul_of[f"{name}.modulation.weight"], "Add"), "Reshape")
        multiply = graph.next(style, "Multiply")
        is_scaled = any(graph.layers[j].get("type") == "Const" for j in graph.inputs[multiply])
        scales.append(float(graph.constant_input(multiply).item()) if is_scaled else 1.0)
    state["style_scale"] = np.array(scales, np.float32)

    state["constant"] = graph.named("m.input.input")
    targets = ["stem"] + [f"blocks.{b}.conv{c}" for b in range(7) for c in (1, 2)] + ["to_image"]
    for target, key in zip(targets, graph.of_type("Convolution"), strict=True):
        weight, add = graph.constant_input(key), graph.next(key, "Add")
        if target == "to_image":
            state["to_image.weight"] = weight
            state["to_image.bias"] = graph.constant_input(add).reshape(-1)
            continue
        noise, offset = graph.constant_input(add), graph.constant_input(graph.next(add, "Add")).reshape(-1)
        if target == "stem":
            state |= {"stem.weight": weight, "stem.bias": offset, "stem_noise": noise}
        else:
            state |= {
                f"{target}.pointwise.weight": weight,
                f"{target}.pointwise.bias": offset,
                f"{target}.noise": noise,
            }
    for block in range(7):
        for conv in (1, 2):
            kernel = graph.named(f"m.layers.{block}.conv{conv}.conv.weight_dw")  # (C, 1, 1, 3, 3)
            state[f"blocks.{block}.conv{conv}.depthwise.weight"] = kernel.reshape(-1, 1, 3, 3)
    # our generator keeps the inputs of every Haar step band by band
    for target in ["stem", *(f"blocks.{b}.conv2.pointwise" for b in range(6)), "to_image"]:
        order = band_major(len(state[f"{target}.bias"])).numpy()
        for part in ("weight", "bias"):
            state[f"{target}.{part}"] = state[f"{target}.{part}"][order]
    return {name: np.ascontiguousarray(value, np.float32) for name, value in state.items()}

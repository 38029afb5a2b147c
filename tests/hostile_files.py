"""Files made to harm, seeded, of every kind that people hand over, each through the product's own door.

    python -m tests.hostile_files --count 20000 --seed 1          a table by kind; exit code 1 where a door failed
    python -m tests.hostile_files --seed 1 --only 137             one of them again, with what it did
    python -m tests.hostile_files --guided labels --seconds 120   bytes that coverage leads (needs the package atheris)

A door gives a value, or an Img2TabError of plain sentences, within SECONDS and MEGABYTES. They are opened in a process
of their own, so that one that ends it, hangs or fills the memory is only a line of the table.
"""

from __future__ import annotations

import argparse
import copy
import gzip
import io
import json
import os
import random
import re
import resource
import selectors
import signal
import struct
import subprocess
import sys
import tempfile
import time
import traceback
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.layout import StyleLayout
from tests import onnx_writer

SECONDS, MEGABYTES = 5.0, 1000  # of one core, and of memory, that a file may take
ROOM = 3_000_000_000  # bytes of address space beyond what the libraries took
LONGEST = 700  # characters of a sentence
TECHNICAL = re.compile(
    r"Traceback|object at 0x|site-packages|\.py\b|[a-z]Error\b|Exception|Errno|<class|\\x..\\x|"
    r"\b(?:numpy|np|pandas|pyarrow|PIL|json|zipfile|pickle|sklearn|catboost|lightgbm|xgboost)\.[a-z_]+|"
    r"\btorch\.(?!load\(|save\(|onnx)"
)
CHANNELS = 7
Files = dict[str, bytes]  # by name; of most kinds a single one
Rng = random.Random


@dataclass(frozen=True)
class Kind:
    """wholes: what a good one is; lies: files made by hand to mislead; opens: the door, of a folder and the name of the
    file that was damaged; share: of all files; text: its words and numbers are changed too."""

    wholes: Callable[[], list[Files]]
    opens: Callable[[Path, str], object]
    lies: Callable[[Rng], Files] | None = None
    share: float = 1
    text: bool = False
    mended: Callable[[Files], Files] | None = None  # what a forger would do last: digests that fit


# --- pictures ------------------------------------------------------------------------------------------


def _saved(mode: str, kind: str, **options: object) -> bytes:
    from PIL import Image

    rows = np.random.default_rng(0).integers(0, 256, (80, 96, 3), np.uint8)
    rows[20:60, 20:70] = (180, 140, 120)
    picture = Image.fromarray(rows)
    if mode == "I;16":
        picture = Image.fromarray(rows[..., 0].astype(np.uint16) * 257)
    elif mode != "RGB":
        picture = picture.convert(mode)
    out = io.BytesIO()
    if options.pop("several", False):
        options |= {"save_all": True, "append_images": [picture.rotate(90 * n) for n in (1, 2)]}
    picture.save(out, kind, **options)
    return out.getvalue()


EXIF = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"  # turned by a quarter
PICTURES = (
    ("RGB", "JPEG", {"exif": EXIF}), ("RGB", "JPEG", {"progressive": True, "comment": b"x"}), ("CMYK", "JPEG", {}),
    ("L", "JPEG", {}), ("RGB", "MPO", {"several": True}), ("RGB", "PNG", {}), ("P", "PNG", {}), ("RGBA", "PNG", {}),
    ("I;16", "PNG", {}), ("1", "PNG", {}), ("RGB", "WEBP", {}), ("RGBA", "WEBP", {"lossless": True}),
    ("RGB", "WEBP", {"several": True}), ("P", "GIF", {}), ("RGB", "GIF", {"several": True}), ("RGB", "TIFF", {}),
    ("RGB", "TIFF", {"compression": "tiff_lzw"}), ("RGB", "TIFF", {"compression": "jpeg"}), ("I;16", "TIFF", {}),
    ("RGB", "TIFF", {"compression": "tiff_adobe_deflate"}), ("1", "TIFF", {"compression": "group4"}),
    ("F", "TIFF", {}), ("RGB", "BMP", {}), ("P", "BMP", {}), ("1", "BMP", {}), ("RGB", "JPEG2000", {}),
    ("RGB", "ICO", {}), ("RGB", "PPM", {}), ("RGB", "TGA", {}), ("RGB", "AVIF", {}),
)  # fmt: skip


@cache
def pictures() -> list[Files]:
    return [{"photo.jpg": _saved(mode, kind, **dict(options))} for mode, kind, options in PICTURES]


def png(width: int, height: int, packed: bytes, *, depth: int = 1, colour: int = 0, extra: bytes = b"") -> bytes:
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + extra + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


@cache
def _zeros(count: int) -> bytes:
    return zlib.compress(bytes(count), 9)


def _picture_lies(rng: Rng) -> Files:
    side = rng.choice([65, 7000, 7746, 30_000, 65_535, 2**31 - 1])
    entries = [(256, 4, 1, side), (257, 4, 1, side), (258, 3, 1, 8), (259, 3, 1, rng.choice([1, 5, 8, 32773]))]
    entries += [(262, 3, 1, 1), (273, 4, 1, rng.choice([8, 2**32 - 1])), (277, 3, 1, rng.choice([1, 3, 60_000]))]
    entries += [(278, 4, 1, side), (279, 4, rng.choice([1, 2**31]), rng.choice([8, 2**32 - 1]))]
    tiff = struct.pack("<4sIH", b"II*\0", 8, len(entries)) + b"".join(struct.pack("<HHII", *each) for each in entries)
    text = rng.choice([b"zTXt", b"iCCP", b"iTXt"])
    body = b"Comment\0\0" + (b"\1\0\0\0" if text == b"iTXt" else b"") + _zeros(50_000_000)
    bitmap = (100, 0, 54, 40, side % 2**31, -side, 1, 8, rng.choice([0, 1, 3]), 0, 0, 0, 0, 0)
    lies = [
        png(side, side, _zeros(2_000_000)),
        png(7000, 7000, _zeros(50_000_000), depth=8),
        png(64, 900_000, _zeros(900_000 * 9)),
        png(80, 80, _zeros(10_000), extra=chunk(text, body)),
        struct.pack("<6sHHBBB", b"GIF89a", 65_535, 65_535, 0xF7, 0, 0)
        + bytes(768)
        + b"\x2c"
        + bytes(9)
        + b"\x08\x01\0;",
        b"BM" + struct.pack("<IIIIiiHHIIiiII", *bitmap) + bytes(50),
        struct.pack("<4sI8sII", b"RIFF", 30, b"WEBPVP8X", 10, 2) + b"\xff" * 6,
        tiff + bytes(4),
    ]
    return {"photo.png": rng.choice(lies)}


def _open_photo(folder: Path, name: str) -> object:
    from img2tab_core.faces.photos import read_photo

    return read_photo((folder / name).read_bytes()).shape


def _open_marks(folder: Path, name: str) -> object:
    from img2tab_core.faces import marks

    return marks.read((folder / name).read_bytes())


def _marked() -> list[Files]:
    from PIL import Image

    from img2tab_core.faces import marks

    grey = Image.new("RGB", (96, 96), "grey")
    return [{"x": marks.encoded(grey, kind, "moved")} for kind in ("PNG", "WEBP", "JPEG")] + pictures()[::4]


# --- arrays and tensors --------------------------------------------------------------------------------


def _npy(array: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.save(out, array)
    return out.getvalue()


def _npz(packed: bool = False, **arrays: np.ndarray) -> bytes:
    out = io.BytesIO()
    (np.savez_compressed if packed else np.savez)(out, **arrays)
    return out.getvalue()


def _pt(content: object, **options: bool) -> bytes:
    import torch

    out = io.BytesIO()
    torch.save(content, out, **options)
    return out.getvalue()


def claimed(shape: str, dtype: str, body: bytes = bytes(64)) -> bytes:
    """A .npy file that claims a shape and a type."""
    text = f"{{'descr': {dtype}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\0" + struct.pack("<H", len(text)) + text + body


def archive(members: Files, *, packed: bool = False) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED) as made:
        for name, data in members.items():
            made.writestr(zipfile.ZipInfo(name), data, made.compression)  # without the time, so the same again
    return out.getvalue()


def tensors(head: dict, body: bytes = bytes(64)) -> bytes:
    """A safetensors file with any header."""
    text = json.dumps(head).encode()
    return struct.pack("<Q", len(text)) + text + body


class Runs:
    """Would make a file of this name, were it unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple:
        return os.system, (f"touch '{self.marker}'",)


def _array_lies(rng: Rng) -> Files:
    import torch

    shapes = ["(1000000000000, 7)", "(30, -7)", "()", "(30,)", "(0, 7)", "(30, 7)", "(7,) * 9", "'x'", "[" * 90]
    kinds = ["'|O'", "'<f8'", "'<c16'", "'|S9'", "'<M8[s]'", "'|V2147483647'", "[('a', '<f4')]", "'?'", "None"]
    lie, zeros = claimed(rng.choice(shapes), rng.choice(kinds)), torch.zeros(30, CHANNELS)
    odd = [
        torch.zeros(1, CHANNELS).expand(10**10, CHANNELS),
        zeros.to_sparse(),
        zeros.to(torch.complex64),
        zeros.bool(),
    ]
    odd += [{"mean": zeros[0].to_sparse(), "std": zeros[0]}, {"mean": zeros[0].bool(), "std": zeros[0] * 1j}]
    pickles = [
        b"(" * 5000,
        b"]" * 5000 + b"a" * 5000,
        b"\x8b\xff\xff\xff\x7f",
        b"cos\nsystem\nq\0.",
        b"U\xff",
        b"Vx" * 9,
    ]
    head = {
        "dtype": rng.choice(["F32", "F4", "BF16", "BOOL", "I64"]),
        "shape": rng.choice([[30, 7], [2**62, 7], [0, 7]]),
        "data_offsets": rng.choice([[0, 840], [-1, 4], [8, 4], [0, 2**63]]),
    }
    both = {"a": head, "b": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}
    length = struct.pack("<Q", rng.choice([2**63, 2**31, 99_999_999, 20_000]))
    lies = [
        ("codes.npy", lie),
        ("codes.npz", archive({"mean.npy": lie, "std.npy": lie, "psi.npy": lie})),
        ("codes.npz", archive({"../../mean.npy": _npy(np.ones(7)), "/etc/std.npy": _npy(np.ones(7))})),
        ("codes.npz", bomb()),
        ("codes.npy", _npy(np.array([Runs(Path("ran"))], object))),
        ("codes.pt", _pt({"state_dict": Runs(Path("ran")), "mean": 1})),
        ("codes.pt", _pt(rng.choice(odd))),
        ("codes.pt", archive({"archive/data.pkl": bytes(9_000_000), "archive/version": b"3\n"}, packed=True)),
        ("codes.pt", b"\x80\x02" + rng.choice(pickles) + b"."),
        ("codes.safetensors", tensors(both)),
        ("codes.safetensors", length + b'{"a":' * 4000),
    ]
    return dict([rng.choice(lies)])


@cache
def bomb() -> bytes:
    """A .npz of a third of a megabyte that unpacks to 300."""
    return archive({"psi.npy": claimed("(10000000, 7)", "'<f4'", bytes(300_000_000))}, packed=True)


@cache
def codes() -> list[Files]:
    import torch
    from safetensors.torch import save

    psi = np.random.default_rng(0).normal(size=(30, CHANNELS)).astype(np.float32)
    tensor, both = torch.from_numpy(psi), {"mean": torch.zeros(CHANNELS), "std": torch.ones(CHANNELS)}
    return [
        {"codes.npy": _npy(psi)},
        {"codes.npy": _npy(np.asfortranarray(psi.astype(np.float16)))},
        {"codes.npz": _npz(psi=psi, backbone=np.array("toy"))},
        {"codes.npz": _npz(mean=psi[0], std=psi[1] ** 2, packed=True)},
        {"codes.pt": _pt(tensor)},
        {"codes.pt": _pt([tensor[:, :3], tensor[:, 3:].half()])},
        {"codes.pt": _pt(both)},
        {"codes.pt": _pt({"psi": tensor}, _use_new_zipfile_serialization=False)},
        {"codes.safetensors": save({"psi": tensor})},
        {"codes.safetensors": save(both)},
    ]


def _open_codes(folder: Path, name: str) -> object:
    from img2tab_core.tables import code_files

    content = code_files.open_codes(folder / name, total=CHANNELS, backbone="toy")
    return content.sample().shape, content.rows(slice(0, 50)).shape


def _open_scaler(folder: Path, name: str) -> object:
    from img2tab_core.tables import code_files

    return code_files.read_scaler(folder / name, CHANNELS)


def _open_encoded(folder: Path, name: str) -> object:
    from img2tab_core.cli import terminal

    return terminal.style_codes(folder / name)


def _open_checkpoint(folder: Path, name: str) -> object:
    from img2tab_core.backbones import checkpoints

    return checkpoints.convert(folder / name)


def _open_safetensors(folder: Path, name: str) -> object:
    from img2tab_core import weights

    return list(weights.open_safetensors(folder / name))


@cache
def _checkpoints() -> list[Files]:
    import torch

    state = {"decoder.to_rgbs.0.conv.weight": torch.zeros(3, 3), "encoder.input_layer.0.weight": torch.zeros(4)}
    contents = [
        {"state_dict": state, "latent_avg": torch.zeros(512), "opts": {"encoder_type": "Encoder4Editing"}},
        {"g_ema": {f"to_rgbs.{n}.weight": torch.zeros(2) for n in range(4)}, "latent_avg": torch.zeros(8, 512)},
        {"state_dict": {"module.encoder_q.conv1.weight": torch.zeros(2)}},
        {"input_layer.0.weight": torch.zeros(64, 3, 3, 3)},
    ]
    return [{"checkpoint.pt": _pt(c, _use_new_zipfile_serialization=bool(n % 3))} for n, c in enumerate(contents)]


# --- texts ---------------------------------------------------------------------------------------------

CSV = (
    b"image,smiling,age,colour\n"
    + b"".join(b"%03d.jpg,%d,%d,%s\n" % (n, n % 2, n, (b"red", b"blue")[n % 2]) for n in range(30)),
    b"\xef\xbb\xbfsep=;\nphoto;smiling;bought\n"
    + b"".join(b'"a, %d.jpg";%s;1970-01-%02d\n' % (n, (b"yes", b"no")[n % 2], n + 1) for n in range(30)),
    b"30\nmale smiling\n" + b"".join(b"%06d.jpg  %d %d\n" % (n, 1 - n % 2 * 2, n % 2 * 2 - 1) for n in range(30)),
)
CELLS = [
    b"", b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b'"', b"'", b"\r", b"\n\n\n", b",,,,,", b"=cmd|' /C calc'!A0", b"@SUM(1)",
    b"-1", b"NaN", b"Infinity", b"-Infinity", b"1e999", b"9" * 5000, b"0x41", b"\xe2\x80\xae", b"\xed\xa0\x80",
    b"../../etc/passwd", b"a" * 90_000, b"\x1b[2J", b"\xd9\xa3", b"image", b"sep=", b"\xc2\x85", b"\xe2\x80\xa8",
    b"1" + b"0" * 400,
]  # fmt: skip
VALUES = [
    None, True, -1, 0, 2**63, 10**400, -(10**400), 0.5, 1e308, float("nan"), float("inf"), "", "\0", "/etc/passwd",
    "../../../etc/passwd", "x" * 100_000, "\ud800", [], {}, [[]], {"": None}, [None] * 1000, list(range(10_000)), "NaN",
]  # fmt: skip


def _label_lies(rng: Rng) -> Files:
    head, *rows = CSV[0].splitlines()
    wide = rng.choice([500, 5_000, 90_000])
    same_names = b",".join(b"a" + b"!#$%&()*+-"[n % 10 : n % 10 + 1] * (1 + n // 10) for n in range(wide // 50))
    lies = [
        head + b"," * wide + b"\n" + b"\n".join(rows),
        head + b"\n" + rows[0] + b"," * wide * 10 + b"\n",
        same_names + b"\n" + b"0," * (wide // 50 - 1) + b"1\n",
        CSV[0].decode().encode(rng.choice(["utf-16", "utf-16-be", "utf-32", "utf-7"])),
        gzip.compress(CSV[0], mtime=0),
        archive({"xl/workbook.xml": b"", "[Content_Types].xml": b""}),
        b"9" * rng.choice([9, 5000]) + b"\nmale smiling\n1.jpg 1 -1\n",
        b'image,a\n"' + b"x\n" * 100_000,
        b"image,a\n" + b"".join(b"%d.jpg,%s\n" % (n, rng.choice(CELLS)[:99]) for n in range(60)),
        b"\n" * 100_000,
        b"image\n" + b"a.jpg\n" * 1000,
        b"image,a\n" + b"".join(b"%d,%f\n" % (n, rng.gauss(0, 1e300)) for n in range(5000)),
    ]
    return {rng.choice(["labels.csv", "labels.txt", "labels.csv.gz", "labels.xlsx"]): rng.choice(lies)}


def _open_labels(folder: Path, name: str) -> object:
    from img2tab_core.tables import label_files

    labels = label_files.read_labels(folder / name, against_rest=len(name) % 2 == 0)
    return label_files.rows_for(["001.jpg", "x/002.jpg"], labels.names or ()), labels.at(np.array([0, -1]))


def _open_answers(folder: Path, name: str) -> object:
    from img2tab_core.base.records import Target
    from img2tab_core.tables import label_files

    return label_files.answers_for(folder / name, Target("smiling", "Smiling", ("not smiling", "smiling"), "by hand"))


def _exclusions() -> list[Files]:
    texts = dict.fromkeys(("backbone", "table", "table_key", "target", "classifier", "run_id"), "toy")
    rest = {"measured": {"auc": 0.9}, "treatment": {"erased": ["group"]}, "names": {"1": "a smile"}}
    content = {"format": 1, "seed": 0, "excluded": [1, 5], **texts, **rest}
    return [{"exclusions.json": json.dumps(content).encode()}]


def _open_exclusions(folder: Path, name: str) -> object:
    from img2tab_core.sessions.shared_exclusions import read_exclusions

    return read_exclusions(folder / name, backbone="toy", channels=CHANNELS)


def _open_names(folder: Path, name: str) -> object:
    from img2tab_core.concepts import names

    names.given("toy"), names.given_to_families("toy")
    return names.give(1, "a smile", layout=StyleLayout((CHANNELS,)), backbone="toy")


def _json_lies(rng: Rng) -> Files:
    deep = rng.choice([300, 5_000, 200_000])
    lies = [
        b"[" * deep + b"]" * deep,
        b'{"a":' * deep + b"1" + b"}" * deep,
        b"[" * deep,
        b"9" * 100_000,
        b'{"format":NaN}',
    ]
    name = rng.choice(["exclusions.json", "names.json", "table.json", "model.json", "calibrations.json"])
    return {name: rng.choice(lies)}


def _reports() -> list[Files]:
    session = {"id": 1, "name": "s", "created": "2026-01-01T00:00:00", "log": {"entries": 0, "digest": ""}}
    parts = {
        "table": {"name": "toy", "key": "k", "files": {"psi.npy": "0" * 64}},
        "weights": {"backbone": "toy", "files": {}},
        "model": {"run": "toy-kind-1", "files": {}},
        "code": {"version": "1", "digest": "0" * 64},
        "session": session | {"runs": {"numbers": [1], "digest": ""}, "notes": "", "record": ""},
    }
    about = {"format": 1, "who": "me", "made": "2026-01-01T00:00:00", "parts": parts, "digest": "0" * 64}
    page = f'<html><p>x</p><template id="report-evidence" data-page="{"0" * 64}">{json.dumps(about)}</template></html>'
    return [{"report.html": page.encode()}]


def _report_lies(rng: Rng) -> Files:
    part = rng.choice(["<!--", "<a ", "<![", "</", "<x=", "<script>", '<a b="', "&#", "<!", "<?"])
    mark = b'<template id="report-evidence" data-page="' + b"0" * 64 + b'">'
    return {"report.html": part.encode() * rng.choice([100, 300_000]) + mark + b"[" * rng.choice([1, 100_000])}


def _open_report(folder: Path, name: str) -> object:
    from img2tab_core.reports import evidence

    return evidence.verify(folder / name)


# --- models and tables ---------------------------------------------------------------------------------


@cache
def onnx() -> list[Files]:
    w = onnx_writer
    wide = np.random.default_rng(0).normal(size=(3 * 8 * 8, 1)).astype(np.float32)
    flat = w.node("Flatten", ["x"], ["f"], axis=1)
    nodes = [flat, w.node("MatMul", ["f", "w"], ["m"]), w.node("Sigmoid", ["m"], ["y"])]
    plain = w.graph(nodes, [w.value("x", ["n", 3, 8, 8])], [w.value("y", ["n", 1])], [w.tensor(wide, "w")])
    nodes = [w.node("GlobalAveragePool", ["x"], ["p"]), w.node("Flatten", ["p"], ["y"], axis=1)]
    pooled = w.graph(nodes, [w.value("x", [1, 3, "h", "w"])], [w.value("y", [1, 3])])
    return [{"c.onnx": w.model(graph, notes={"classes": "['a', 'b', 'c']"})} for graph in (plain, pooled)]


def _onnx_lies(rng: Rng) -> Files:
    w = onnx_writer
    where = rng.choice(["../../etc/passwd", "/etc/passwd", "weights.bin", "C:\\x", "\0", "a" * 9999])
    tensor = rng.choice([w.external(where, "w"), w.promised([2**40, 2**40], "w"), w.promised([-1, 3], "w")])
    side = rng.choice([3, 8, 2**20, 2**31, 2**62])
    inner = w.graph([], [], [])
    for _ in range(rng.choice([3, 50, 400])):
        inner = w.graph([w.node("If", ["c"], ["y"], then_branch=inner)], [], [])
    nodes = [
        [w.node("MatMul", ["x", "w"], ["y"])],
        [w.node("Evil", ["x"], ["y"], domain="evil.so")],
        [w.node("Add", ["x", "y"], ["y"])],
        [w.node("If", ["c"], ["y"], then_branch=inner)],
        [w.node("Expand", ["x", "w"], ["y"])],
        [w.node("Tile", ["x", "w"], ["y"])] * rng.choice([1, 30_000]),
    ]
    shape = rng.choice([["n", 3, side, side], [side, 3, 8, 8], None, [], [1, side, 8, 8], ["n", 3, 8, "w"]])
    graph = w.graph(
        rng.choice(nodes), [w.value("x", shape)], [w.value("y", rng.choice([["n", 1], ["n", 2**40], None]))], [tensor]
    )
    return {"c.onnx": w.model(graph, notes={"classes": rng.choice(["[" * 9999, "9**9**9", "{}", "a,b", "'" * 50_000])})}


def _open_onnx(folder: Path, name: str) -> object:
    from img2tab_core.classifiers import onnx_files, onnx_models

    about = onnx_files.read_onnx(folder / name)
    guessed = onnx_models.guessed_input(about, name), onnx_models.guessed_output(about)
    return *guessed, onnx_models.guessed_count(about, name), onnx_models.noted_classes(about)


def _try_onnx(folder: Path, name: str) -> object:
    from img2tab_core.classifiers import models

    faces = np.random.default_rng(0).integers(0, 256, (12, 64, 64, 3), np.uint8)
    return models.examined(folder / name, "mine", models.Wishes(), faces).log_odds


@cache
def classifiers() -> dict[str, Files]:
    """By kind: what `kinds.save` writes."""
    from img2tab_core.classifiers import kinds

    codes = np.random.default_rng(0).normal(size=(80, CHANNELS)).astype(np.float32)
    few = {"forest": {"trees": 4}, "tabnet": {"epochs": 1}, "logistic": {}}
    saved = {}
    for kind in kinds.KINDS:
        model = kinds.make(kind, screen=None, thread_count=1)
        model.set_params(**few.get(kind, {"iterations": 4}))
        model.fit(codes, (codes[:, 0] > 0).astype(int))
        with tempfile.TemporaryDirectory() as folder:
            kinds.save(model, Path(folder))
            saved[kind] = {file.name: file.read_bytes() for file in Path(folder).iterdir() if file.is_file()}
    return saved


def _without_catboost() -> list[Files]:
    return [files for kind, files in classifiers().items() if kind != "catboost"]


def _signed(files: Files) -> Files:
    """With the digest of the damaged classifier in its record, as a forger would write it."""
    from img2tab_core.base.records import digest

    try:
        record = json.loads(files["model.json"])
        other = next(name for name in files if name not in ("model.json", "erasure.npz"))
        record["sha256"] = digest(files[other])
        return files | {"model.json": json.dumps(record).encode()}
    except (ValueError, TypeError, KeyError, StopIteration, RecursionError):
        return files


def _open_classifier(folder: Path, name: str) -> object:
    from img2tab_core.classifiers import kinds

    model = kinds.load(folder)
    return model.predict_proba(np.zeros((2, CHANNELS), np.float32))


def _open_published(folder: Path, name: str) -> object:
    from img2tab_core.classifiers.xgboost import open_published

    return open_published(folder / next(file for file in os.listdir(folder) if file != "model.json"))


@cache
def table() -> list[Files]:
    import pandas as pd

    from img2tab_core import tables
    from img2tab_core.base.records import Target

    rng, count = np.random.default_rng(0), 40
    psi, age = rng.normal(size=(count, CHANNELS)).astype(np.float32), rng.random(count)
    labels = pd.DataFrame({"photo": [f"{n}.jpg" for n in range(count)], "kind": np.arange(count) % 2, "age": age})
    kind = Target("kind", "Kind", ("plain", "special"), "by hand")
    band = Target("band", "Band", ("low", "middle", "high"), "by hand", True, "age", (0.3, 0.6))
    about = {"targets": [kind, band], "layout": StyleLayout((3, 4)), "backbone": "toy", "key": "k"}
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "toy"
        tables.write_table(place, lambda rows: psi[rows], labels, **about)
        return [{file.name: file.read_bytes() for file in place.iterdir()}]


def _open_table(folder: Path, name: str) -> object:
    from img2tab_core import tables
    from img2tab_core.tables import calibrations

    table = tables.open_table(folder)
    for target in (*table.targets, *table.many):
        tables.labelled(table, target.name, "train")
    return calibrations.calibration_of(table, "kind", "catboost"), table.psi[:2].sum(), tables.about_of(folder)


def _calibrations() -> list[Files]:
    each = {"kind": "catboost", "slope": 1.5, "offset": -0.2, "photos": 50, "source": "s", "day": "2026-01-01"}
    kept = {"table_key": "k", "targets": {"kind": [each]}}
    return [table()[0] | {"calibrations.json": json.dumps(kept).encode()}]


KINDS: dict[str, Kind] = {
    "photos": Kind(pictures, _open_photo, _picture_lies, 10),
    "marks": Kind(_marked, _open_marks, _picture_lies, 2),
    "codes": Kind(codes, _open_codes, _array_lies, 3),
    "scalers": Kind(codes, _open_scaler, _array_lies, 2),
    "encoded": Kind(codes, _open_encoded, _array_lies),
    "checkpoints": Kind(_checkpoints, _open_checkpoint, _array_lies, 2),
    "safetensors": Kind(lambda: codes()[-2:], _open_safetensors, _array_lies),
    "labels": Kind(lambda: [{"labels.csv": text} for text in CSV], _open_labels, _label_lies, 4, True),
    "answers": Kind(lambda: [{"labels.csv": text} for text in CSV], _open_answers, _label_lies, 2, True),
    "exclusions": Kind(_exclusions, _open_exclusions, _json_lies, 2, True),
    "names": Kind(lambda: [{"names.json": b'{"toy": {"1": "a"}}'}], _open_names, _json_lies, 1, True),
    "reports": Kind(_reports, _open_report, _report_lies, 1, True),
    "onnx": Kind(onnx, _open_onnx, _onnx_lies, 3),
    "classifiers": Kind(_without_catboost, _open_classifier, _json_lies, 4, True, _signed),
    "published": Kind(lambda: [classifiers()["xgboost"]], _open_published, _json_lies, 1, True),
    "tables": Kind(table, _open_table, _json_lies, 2, True),
    "calibrations": Kind(_calibrations, _open_table, _json_lies, 1, True),
    # what is whole so far is opened in a process of its own, a second each
    "catboost": Kind(lambda: [classifiers()["catboost"]], _open_classifier, None, 0.1, False, _signed),
    "tried": Kind(onnx, _try_onnx, _onnx_lies, 0.1),
}


# --- damage --------------------------------------------------------------------------------------------


def made(number: int, seed: int, kind: str | None = None) -> tuple[str, Files, str]:
    """File number so many of a seed: its kind, all its files, and the name of the damaged one."""
    rng = random.Random(f"{seed} {number}")
    drawn = rng.choices(list(KINDS), [each.share for each in KINDS.values()])[0]
    kind = kind or drawn
    about = KINDS[kind]
    files = dict(rng.choice(about.wholes()))
    name = rng.choice(sorted(files))
    turn = rng.random()
    if about.lies and turn < 0.2:
        lie = about.lies(rng)
        if len(files) == 1 or set(lie) <= set(files):
            (name,) = lie
            return kind, ({} if len(files) == 1 else files) | lie, name
    if turn > 0.97:
        others = [data for other in KINDS.values() for data in rng.choice(other.wholes()).values()]
        files[name] = rng.choice(others)
    else:
        files[name] = _damaged(files[name], rng, text=about.text)
    return kind, about.mended(files) if about.mended else files, name


def _damaged(data: bytes, rng: Rng, *, text: bool) -> bytes:
    if data[:4] == b"PK\x03\x04" and rng.random() < 0.6:
        with zipfile.ZipFile(io.BytesIO(data)) as stored:
            members = {name: stored.read(name) for name in stored.namelist()}
        name = rng.choice(sorted(members))
        members[name] = _damaged(members[name], rng, text=False)
        return archive(members, packed=rng.random() < 0.2)
    if text and data[:1] == b"{" and rng.random() < 0.6:
        return _other_value(data, rng)
    if text and b"\0" not in data and rng.random() < 0.7:
        return _other_words(data, rng)
    out = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 4, 16])):
        at = rng.randrange(min(len(out), rng.choice([64, 512, len(out)])) or 1) if out else 0
        way = rng.randrange(8)
        if way == 0 and out:
            out[at] ^= 1 << rng.randrange(8)
        elif way == 1:
            number = rng.choice([0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, len(out)])
            out[at : at + 4] = number.to_bytes(4, rng.choice(["big", "little"]))
        elif way == 2:
            out[at : at + 8] = rng.choice([2**63 - 1, 2**64 - 1, 2**40]).to_bytes(8, "little")
        elif way == 3:
            del out[at:]
        elif way == 4:
            out[at:at] = out[at : at + rng.randrange(1, 300)]
        elif way == 5:
            del out[at : at + rng.randrange(1, 40)]
        elif way == 6:
            out[at : at + rng.randrange(1, 60)] = rng.randbytes(rng.randrange(1, 60))
        else:
            out[at : at + 1] = rng.choice([b"\0", b"\xff", b"\x7f", b"\x80"])
    return bytes(out)  # fmt: skip


def _other_words(data: bytes, rng: Rng) -> bytes:
    parts = re.split(rb"([,;:\n\"\[\]{} ]+)", data)
    for _ in range(rng.choice([1, 1, 3, 10])):
        parts[rng.randrange(len(parts))] = rng.choice(CELLS)
    return b"".join(parts)


def _other_value(data: bytes, rng: Rng) -> bytes:
    """JSON with a value in any place replaced by another."""
    try:
        content = json.loads(data)
    except ValueError:
        return data
    for _ in range(rng.choice([1, 1, 2, 5])):
        place = content
        while isinstance(place, dict | list) and place:
            key = rng.choice(list(place) if isinstance(place, dict) else range(len(place)))
            if not isinstance(place[key], dict | list) or not place[key] or rng.random() < 0.3:
                way = rng.random()
                if way < 0.15:
                    del place[key]
                else:
                    place[key] = copy.deepcopy(rng.choice(VALUES))
                break
            place = place[key]
    sys.set_int_max_str_digits(0)
    return json.dumps(content).encode()


# --- opening -------------------------------------------------------------------------------------------


def outcome(kind: str, files: Files, name: str) -> tuple[str, str]:
    """("read", ""), ("refused", the sentence), or ("failed", what was wrong) of a file at its door."""
    with tempfile.TemporaryDirectory() as own:
        home = Path(own) / "home"
        place = home / "tables" / "toy" if kind in ("tables", "calibrations") else home
        place.mkdir(parents=True)
        for each, data in files.items():
            (place / each).write_bytes(data)
        os.environ["IMG2TAB_HOME"] = str(home)
        sys.set_int_max_str_digits(4300)
        try:
            KINDS[kind].opens(place, name)
            word, text = "read", ""
        except Img2TabError as error:
            word, text = "refused", str(error).replace(own, "")
            wrong = TECHNICAL.search(text)
            if wrong or len(text) > LONGEST or not text.strip() or not all(c.isprintable() for c in text):
                what = f"names {wrong[0]!r}" if wrong else f"has {len(text)} characters or some that cannot be printed"
                return "failed", f"its sentence {what}: {text[:300]!r}"
        except BaseException:  # noqa: BLE001 - whatever it is, it is what is looked for
            return "failed", traceback.format_exc(limit=-4)
    return ("failed", "it ran code") if (Path.cwd() / "ran").exists() else (word, text)


def _work(arguments: argparse.Namespace) -> None:
    """Open files and tell of each, a line before and a line after."""
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    for kind, about in KINDS.items():  # what its libraries take is not a file's
        for files in about.wholes():
            if kind not in ("catboost", "tried"):
                outcome(kind, files, sorted(files)[0])
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + ROOM, size + ROOM))
    for number in range(arguments.first, arguments.count):
        kind, files, name = made(number, arguments.seed, arguments.kind)
        print(json.dumps([number, kind]), file=out)
        before, began = _peak(again=True), sum(os.times()[:4])  # with the processes that a door begins
        word, why = outcome(kind, files, name)
        took, grown = sum(os.times()[:4]) - began, _peak() - before
        if word != "failed" and (took > SECONDS or grown > MEGABYTES):
            word, why = "failed", f"it took {took:.1f} s and {grown:.0f} MB"
        print(json.dumps([number, kind, word, why, took, grown]), file=out)


def _peak(*, again: bool = False) -> float:
    """The largest memory of this process, MB; again: from now on."""
    try:
        if again:
            Path("/proc/self/clear_refs").write_text("5")
        return int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]) / 1000
    except OSError:  # no such file there: the largest since the process began
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


def opened(count: int, seed: int, kind: str | None = None, seconds: float = 1e9, first: int = 0) -> Iterator[list]:
    """[number, kind, word, why, seconds of one core, MB] of every file, from a process begun anew where one ends it."""
    until = time.monotonic() + seconds
    while first < count and time.monotonic() < until:
        words = ["--worker", "--count", count, "--seed", seed, "--first", first, *(["--kind", kind] if kind else [])]
        with tempfile.TemporaryDirectory() as own:
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.hostile_files", *map(str, words)],
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), "OMP_NUM_THREADS": "1"},
                cwd=own,
            )
            begun: list | None = None
            try:
                for line in _lines(process, until):
                    row = json.loads(line)
                    if len(row) == 2:
                        begun = row
                    else:
                        begun, first = None, row[0] + 1
                        yield row
            finally:
                process.kill()
                process.wait()
            if time.monotonic() < until and first < count:
                if begun is None:
                    raise RuntimeError(f"The process that opens the files ended with {process.returncode}.")
                yield [*begun, "failed", f"it ended or held up the process ({process.returncode})", 4 * SECONDS, 0.0]
                first = begun[0] + 1


def _lines(process: subprocess.Popen, until: float) -> Iterator[bytes]:
    """What a process says, until it ends, says nothing for four times SECONDS once it has begun, or time is up."""
    rest, patience = b"", 120.0
    with selectors.DefaultSelector() as waiting:
        waiting.register(process.stdout, selectors.EVENT_READ)
        while time.monotonic() < until and waiting.select(min(patience, max(0.0, until - time.monotonic()))):
            data = os.read(process.stdout.fileno(), 65_536)
            if not data:
                process.wait()
                return
            *lines, rest = (rest + data).split(b"\n")
            yield from lines
            patience = 4 * SECONDS


def report(rows: list[list]) -> str:
    """A table by kind, and every file that failed."""
    lines = [f"{'kind':<12} {'files':>6} {'read':>6} {'refused':>8} {'failed':>7} {'slowest s':>10} {'most MB':>8}"]
    for kind in [*dict.fromkeys(sorted(row[1] for row in rows)), "all"]:
        of = [row for row in rows if kind in ("all", row[1])]
        counts = [sum(row[2] == word for row in of) for word in ("read", "refused", "failed")]
        slowest, most = max((row[4] for row in of), default=0), max((row[5] for row in of), default=0)
        lines.append(
            f"{kind:<12} {len(of):>6} {counts[0]:>6} {counts[1]:>8} {counts[2]:>7} {slowest:>10.2f} {most:>8.0f}"
        )
    return "\n".join([*lines, *(f"--only {row[0]} ({row[1]}): {row[3]}" for row in rows if row[2] == "failed")])


# --- led by coverage -----------------------------------------------------------------------------------


def _guided(kind: str, seconds: int) -> None:
    """Bytes that reach new branches of a door and its readers, for so long; a failure is printed and ends it."""
    try:
        import atheris
    except ImportError:
        sys.exit("Guided files need the package atheris: pip install atheris. Without it, use --count and --seed.")
    about, name = KINDS[kind], sorted(KINDS[kind].wholes()[0])[0]
    with atheris.instrument_imports(include=["img2tab_core", "PIL", "pandas", "numpy.lib"]):
        outcome(kind, about.wholes()[0], name)
    beside = about.wholes()[0]

    def one(data: bytes) -> None:
        word, why = outcome(kind, beside | {name: data}, name)
        if word == "failed":
            raise RuntimeError(why)

    folder = tempfile.mkdtemp()
    for number, files in enumerate(about.wholes()):
        for each, data in files.items():
            (Path(folder) / f"{number}-{each}").write_bytes(data)
    atheris.Setup(
        [sys.argv[0], f"-max_total_time={seconds}", "-max_len=20000", "-timeout=10", "-rss_limit_mb=4000", folder], one
    )
    atheris.Fuzz()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kind", choices=list(KINDS))
    parser.add_argument("--seconds", type=float, default=1e9)
    parser.add_argument("--only", type=int)
    parser.add_argument("--guided", choices=list(KINDS))
    parser.add_argument("--first", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        _work(arguments)
        return
    if arguments.guided:
        _guided(arguments.guided, int(min(arguments.seconds, 10**6)))
        return
    if arguments.only is not None:
        kind, files, name = made(arguments.only, arguments.seed, arguments.kind)
        print(kind, name, len(files[name]), "bytes:", files[name][:300])
        print(*outcome(kind, files, name), sep="\n")
        return
    rows = list(opened(arguments.count, arguments.seed, arguments.kind, arguments.seconds, arguments.first))
    print(report(rows))
    sys.exit(any(row[2] == "failed" for row in rows))


if __name__ == "__main__":
    main()

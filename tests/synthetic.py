"""A CelebA that nobody is in, of any size: its folder of photos, and the style table of as many faces.

The faces are random codes of the default generator. A label says on which side of a border a few channels of the code
lie together, but for noise, so that a classifier has something to learn and cannot learn all of it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image

from img2tab_core import tables
from img2tab_core.backbones.backbone import Backbone, open_backbone
from img2tab_core.base.records import StyleTable, Target

# CelebA's own, in its order
ATTRIBUTES = (
    "5_o_Clock_Shadow Arched_Eyebrows Attractive Bags_Under_Eyes Bald Bangs Big_Lips Big_Nose Black_Hair Blond_Hair "
    "Blurry Brown_Hair Bushy_Eyebrows Chubby Double_Chin Eyeglasses Goatee Gray_Hair Heavy_Makeup High_Cheekbones Male "
    "Mouth_Slightly_Open Mustache Narrow_Eyes No_Beard Oval_Face Pale_Skin Pointy_Nose Receding_Hairline Rosy_Cheeks "
    "Sideburns Smiling Straight_Hair Wavy_Hair Wearing_Earrings Wearing_Hat Wearing_Lipstick Wearing_Necklace "
    "Wearing_Necktie Young"
).split()
PARTS = (162_770, 19_867, 19_962)  # CelebA's faces for training, validation and test, in this order
CHANNELS = 8  # that a label reads
SHARED = 2  # of these that Smiling has of Male, so that an audit finds a gap
NOISE = 0.5  # standard deviations of what is read
ONES = 0.4  # share of the faces that have an attribute
BLOCK = 1000  # faces whose codes are made at once
DRAWN, SIZE, QUALITY = 300, 256, 90  # pictures that are drawn, which all photos are copies of


def split_of(faces: int) -> np.ndarray:
    """0 training, 1 validation, 2 test, one behind the other in CelebA's shares; int8 (faces,)."""
    bounds = np.round(np.cumsum(PARTS) * faces / sum(PARTS)).astype(int)
    return np.searchsorted(bounds, np.arange(faces), side="right").clip(max=2).astype(np.int8)


def codes_of(backbone: Backbone, *, seed: int = 0) -> Callable[[slice], np.ndarray]:
    """A function: rows, whole blocks of them or the last -> style codes float32 (n, D), the same ones each time."""
    mapping = backbone.generator.mapping  # type: ignore[attr-defined] # of the default generator

    @torch.inference_mode()
    def codes(rows: slice) -> np.ndarray:
        noise = torch.Generator().manual_seed(seed * 1_000_003 + rows.start // BLOCK)
        return backbone.styles(mapping(torch.randn(BLOCK, 512, generator=noise))[: rows.stop - rows.start].numpy())

    return codes


def labels_of(codes: Callable[[slice], np.ndarray], faces: int, *, seed: int = 0) -> pd.DataFrame:
    """The attributes of so many faces, 0 and 1: one int8 column for each."""
    rng, able = np.random.default_rng(seed), np.flatnonzero(np.ptp(codes(_blocks(faces)[0]), axis=0) > 0)
    read = {name: rng.choice(able, CHANNELS, replace=False) for name in ATTRIBUTES}
    read["Smiling"][:SHARED] = read["Male"][:SHARED]
    channels = np.concatenate(list(read.values()))  # (a * CHANNELS,)
    values = np.concatenate([codes(rows)[:, channels] for rows in _blocks(faces)])  # (faces, a * CHANNELS)
    values = (values - values.mean(axis=0)) / np.maximum(values.std(axis=0), 1e-9)
    columns = {}
    for number, name in enumerate(ATTRIBUTES):
        weights = rng.uniform(0.5, 1.5, CHANNELS)
        sums = values[:, number * CHANNELS : (number + 1) * CHANNELS] @ (weights / np.linalg.norm(weights))
        sums += NOISE * rng.normal(size=faces)
        columns[name] = (sums > np.quantile(sums, 1 - ONES)).astype(np.int8)
    return pd.DataFrame(columns)


def write_table(folder: Path, faces: int, *, progress: Callable[[float, str], None] | None = None) -> StyleTable:
    """The style table of so many faces, in the real format: 27 kB a face."""
    backbone = open_backbone()
    codes = codes_of(backbone)
    labels = labels_of(codes, faces)
    targets = [
        Target(name.lower(), name.replace("_", " "), (f"not {name.lower()}", name.lower()), "By a planted rule.")
        for name in ATTRIBUTES
    ]
    return tables.write_table(
        folder,
        codes,
        labels.rename(columns=str.lower),
        targets=targets,
        layout=backbone.layout,
        backbone=backbone.name,
        key=f"synthetic-{faces}",
        split=split_of(faces),
        rows_at_once=BLOCK,
        progress=progress,
    )


def write_photos(folder: Path, faces: int) -> None:
    """CelebA's folder of so many photos: `DRAWN` drawn ones, aligned, under as many names as there must be photos.

    The names are hard links, so that a quarter of a gigabyte of pictures need not be fifty times as much.
    """
    from img2tab_core.base.records import StyleCode
    from img2tab_core.studio import Studio

    studio, count = Studio(), min(DRAWN, faces)
    backbone = open_backbone()
    codes, pictures = codes_of(backbone), folder / "img_align_celeba"
    pictures.mkdir(parents=True, exist_ok=True)
    names = [f"{number + 1:06}.jpg" for number in range(faces)]
    values = codes(slice(0, count))
    for name, code in zip(names, values, strict=False):
        if not (pictures / name).exists():
            picture = studio.render(StyleCode.of(code), size=SIZE)
            Image.fromarray(picture).save(pictures / name, quality=QUALITY)
    for number in range(count, faces):
        if not (pictures / names[number]).exists():
            os.link(pictures / names[number % count], pictures / names[number])
    signs = 2 * labels_of(codes, count).to_numpy() - 1  # (count, a), -1 and 1 as CelebA writes them
    rows = [" ".join(f"{sign:2}" for sign in row) for row in signs]
    lines = (f"{name} {rows[number % count]}\n" for number, name in enumerate(names))
    with (folder / "list_attr_celeba.txt").open("w") as stream:
        stream.write(f"{faces}\n{' '.join(ATTRIBUTES)}\n")
        stream.writelines(lines)
    with (folder / "list_eval_partition.txt").open("w") as stream:
        stream.writelines(f"{name} {part}\n" for name, part in zip(names, split_of(faces), strict=True))


def _blocks(faces: int) -> list[slice]:
    return [slice(start, min(start + BLOCK, faces)) for start in range(0, faces, BLOCK)]

"""A CelebA that nobody is in, of any size: its folder of photos, and the style table of as many faces.

The faces are style codes of random w, normal with the mean and the covariance of the default generator's own. A label
says on which side of a border a few channels of the code lie together, but for noise, so that a classifier has
something to learn and cannot learn all of it.
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
MEASURED = 4096  # w of the generator whose mean and covariance are taken
BLOCK = 1000  # faces whose codes are made at once
DRAWN, SIZE, QUALITY = 64, 256, 90  # pictures that are drawn, which all photos are copies of


def split_of(faces: int) -> np.ndarray:
    """0 training, 1 validation, 2 test, one behind the other in CelebA's shares; int8 (faces,)."""
    bounds = np.round(np.cumsum(PARTS) * faces / sum(PARTS)).astype(int)
    return np.searchsorted(bounds, np.arange(faces), side="right").clip(max=2).astype(np.int8)


def random_w(backbone: Backbone, faces: int, *, seed: int = 0) -> np.ndarray:
    """w of so many faces that nobody has, float32 (faces, 512); the first ones are the same however many there are."""
    noise, rng = torch.Generator().manual_seed(seed), np.random.default_rng(seed)
    with torch.inference_mode():
        own = backbone.generator.mapping(torch.randn(MEASURED, 512, generator=noise)).numpy()
    spread = np.linalg.cholesky(np.cov(own.T) + 1e-6 * np.eye(512)).astype(np.float32)
    w = rng.standard_normal((faces, 512), np.float32)
    for rows in _blocks(faces):
        w[rows] = own.mean(axis=0) + w[rows] @ spread.T
    return w


def labels_of(w: np.ndarray, styles: Callable[[np.ndarray], np.ndarray], *, seed: int = 0) -> pd.DataFrame:
    """The attributes of faces with these w, 0 and 1: one int8 column for each. styles: w -> style codes, float32."""
    start = styles(np.zeros((1, w.shape[1]), np.float32))
    slopes = styles(np.eye(w.shape[1], dtype=np.float32)) - start  # (512, D): every channel is affine in w
    rng, able = np.random.default_rng(seed), np.flatnonzero(np.abs(slopes).max(axis=0) > 1e-6)
    read = {name: rng.choice(able, CHANNELS, replace=False) for name in ATTRIBUTES}
    read["Smiling"][:SHARED] = read["Male"][:SHARED]
    columns = {}
    for name in ATTRIBUTES:
        values = w @ slopes[:, read[name]]  # (faces, CHANNELS)
        values = (values - values.mean(axis=0)) / values.std(axis=0)
        weights = rng.uniform(0.5, 1.5, CHANNELS)
        sums = values @ (weights / np.linalg.norm(weights)) + NOISE * rng.standard_normal(len(w))
        columns[name] = (sums > np.quantile(sums, 1 - ONES)).astype(np.int8)
    return pd.DataFrame(columns)


def write_table(folder: Path, faces: int, *, progress: Callable[[float, str], None] | None = None) -> StyleTable:
    """The style table of so many faces, in the real format: 27 kB a face."""
    backbone = open_backbone()
    w = random_w(backbone, faces)
    targets = [
        Target(name.lower(), name.replace("_", " "), (f"not {name.lower()}", name.lower()), "By a planted rule.")
        for name in ATTRIBUTES
    ]
    return tables.write_table(
        folder,
        lambda rows: backbone.styles(w[rows]),
        labels_of(w, backbone.styles).rename(columns=str.lower),
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

    The names are hard links, so that a megabyte of pictures need not be three gigabytes.
    """
    from img2tab_core.base.records import StyleCode
    from img2tab_core.studio import Studio

    studio, count = Studio(), min(DRAWN, faces)
    backbone, pictures = open_backbone(), folder / "img_align_celeba"
    pictures.mkdir(parents=True, exist_ok=True)
    names = [f"{number + 1:06}.jpg" for number in range(faces)]
    w = random_w(backbone, count)
    for name, code in zip(names, backbone.styles(w), strict=False):
        if not (pictures / name).exists():
            picture = studio.render(StyleCode.of(code), size=SIZE)
            Image.fromarray(picture).save(pictures / name, quality=QUALITY)
    for number in range(count, faces):
        if not (pictures / names[number]).exists():
            os.link(pictures / names[number % count], pictures / names[number])
    signs = 2 * labels_of(w, backbone.styles).to_numpy() - 1  # (count, a), -1 and 1 as CelebA writes them
    rows = [" ".join(f"{sign:2}" for sign in row) for row in signs]
    lines = (f"{name} {rows[number % count]}\n" for number, name in enumerate(names))
    with (folder / "list_attr_celeba.txt").open("w") as stream:
        stream.write(f"{faces}\n{' '.join(ATTRIBUTES)}\n")
        stream.writelines(lines)
    with (folder / "list_eval_partition.txt").open("w") as stream:
        stream.writelines(f"{name} {part}\n" for name, part in zip(names, split_of(faces), strict=True))


def _blocks(faces: int) -> list[slice]:
    return [slice(start, min(start + BLOCK, faces)) for start in range(0, faces, BLOCK)]

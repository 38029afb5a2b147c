"""How far the label models agree with labels people wrote down, on real photos."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.intervals import wilson
from img2tab_core.training.population.label_networks import LabelNetworks
from img2tab_core.training.real_photos import aligned_faces, is_held_out, read_labels


def measure_labels(networks: LabelNetworks, folder: Path, landmark_file: Path) -> list[list[str]]:
    """Rows of the card: label, measured against, count, result; on all photos and on the third held out."""
    table, faces = aligned_faces(read_labels(folder), landmark_file)
    if not faces:
        raise Img2TabError(f"No face was found in any photo of {folder}. Name a folder of portraits.")
    labels = networks.labels(faces)
    held_out = np.array([is_held_out(photo) for photo in table["photo"]])
    rows = []
    for which, part in (("", np.full(len(table), True)), (", the third held out", held_out)):
        rows += _gender_rows(table[part], labels[part], f"{folder.name} portraits{which}")
    aged = table["age"].notna()
    if aged.any():
        difference = (labels["perceived_age"] - table["age"])[aged]
        rows.append(
            [
                "perceived_age",
                f"age, {folder.name}",
                str(int(aged.sum())),
                f"mean difference {difference.mean():+.1f} years, mean absolute {difference.abs().mean():.1f}",
            ]
        )
        known = aged & (labels["young"] >= 0)
        right = int(((table["age"] < 30) == labels["young"])[known].sum())
        if known.any():
            rows.append(
                [
                    "young",
                    f"age below 30, {folder.name}",
                    f"{known.sum()} of {aged.sum()} known",
                    _share(right, int(known.sum())),
                ]
            )
    born = table["born"].notna()
    if born.sum() > 2:
        rank = labels["perceived_age"][born].corr(-table["born"][born], method="spearman")
        rows.append(
            [
                "perceived_age",
                f"year of birth, {folder.name} (when a photo was taken is not known)",
                str(int(born.sum())),
                f"rank correlation {rank:.2f}",
            ]
        )
    return rows


def _gender_rows(table: pd.DataFrame, labels: pd.DataFrame, against: str) -> list[list[str]]:
    """No row, or one: perceived gender against what was recorded."""
    recorded = table["gender"].notna()
    known = recorded & (labels["perceived_gender"] >= 0)
    if not known.any():
        return []
    right = int((labels["perceived_gender"] == table["gender"])[known].sum())
    return [
        [
            "perceived_gender",
            f"recorded gender, {against}",
            f"{known.sum()} of {recorded.sum()} known",
            _share(right, int(known.sum())),
        ]
    ]


def _share(right: int, count: int) -> str:
    low, high = wilson(right, count)
    return f"{right / count:.1%} agree (95 % interval {low:.1%} to {high:.1%})"

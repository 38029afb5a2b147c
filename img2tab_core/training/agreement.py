"""How far the label models agree with labels people wrote down, on real photos."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from img2tab_core import alignment, photos
from img2tab_core.classifiers import wilson
from img2tab_core.errors import Img2TabError
from img2tab_core.training.labels import Labeller

GENDERS = {"F": 0, "female": 0, "M": 1, "male": 1}


def read_labels(folder: Path) -> pd.DataFrame:
    """labels.csv of a photo folder -> columns photo (path), gender (0 female, 1 male), age; NaN where not known."""
    must = "It must be a CSV file with the columns image and gender, or face_id, face_gender and face_age."
    try:
        table = pd.read_csv(folder / "labels.csv")
    except FileNotFoundError as error:
        raise Img2TabError(f"{folder} has no labels.csv that says what was recorded for its photos. {must}") from error
    except (OSError, ValueError) as error:
        raise Img2TabError(f"{folder / 'labels.csv'} cannot be read ({error}). {must}") from error
    try:
        if "image" in table:
            return pd.DataFrame({
                "photo": [folder / str(name) for name in table["image"]], "gender": table["gender"].map(GENDERS),
                "age": np.nan,
            })
        return pd.DataFrame({
            "photo": [folder / f"{name}.jpg" for name in table["face_id"]],
            "gender": table["face_gender"].map(GENDERS), "age": pd.to_numeric(table["face_age"], errors="coerce"),
        })
    except KeyError as error:
        raise Img2TabError(f"{folder / 'labels.csv'} has no column {error}. {must}") from error


def aligned_faces(table: pd.DataFrame, landmark_file: Path) -> tuple[pd.DataFrame, list[np.ndarray]]:
    """(rows of photos with a face, their biggest face uint8 (256, 256, 3))."""
    kept, faces = [], []
    for i, photo in enumerate(table["photo"]):
        try:
            data = Path(photo).read_bytes()
        except OSError as error:
            raise Img2TabError(
                f"{photo} cannot be read ({error.strerror}), but labels.csv names it. Put it there, or strike its line."
            ) from error
        try:
            found = alignment.faces_of(photos.read_photo(data), landmark_file, size=256)
        except Img2TabError:
            continue
        kept.append(i)
        faces.append(found[0].pixels)
    return table.iloc[kept].reset_index(drop=True), faces


def measure_labels(labeller: Labeller, folder: Path, landmark_file: Path) -> list[list[str]]:
    """Rows of the card: label, measured against, count, result."""
    table, faces = aligned_faces(read_labels(folder), landmark_file)
    if not faces:
        raise Img2TabError(f"No face was found in any photo of {folder}. Name a folder of portraits.")
    labels = labeller.measure(faces)
    recorded = table["gender"].notna()
    known = recorded & (labels["perceived_gender"] >= 0)
    right = int((labels["perceived_gender"] == table["gender"])[known].sum())
    rows = []
    if known.any():
        low, high = wilson(right, int(known.sum()))
        rows.append([
            "perceived_gender", f"recorded gender, {folder.name} portraits", f"{known.sum()} of {recorded.sum()} known",
            f"{right / known.sum():.1%} agree (95 % interval {low:.1%} to {high:.1%})",
        ])
    aged = table["age"].notna()
    if aged.any():
        difference = (labels["perceived_age"] - table["age"])[aged]
        rows.append(["perceived_age", f"age, {folder.name}", str(int(aged.sum())),
                     f"mean difference {difference.mean():+.1f} years, mean absolute {difference.abs().mean():.1f}"])
    return rows

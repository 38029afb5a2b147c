"""How far the label models agree with labels people wrote down, on real photos."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from img2tab_core import alignment, photos
from img2tab_core.classifiers import wilson
from img2tab_core.errors import Img2TabError
from img2tab_core.training.labels import Judges
from img2tab_core.training.real_photos import is_held_out

GENDERS = {"F": 0, "female": 0, "M": 1, "male": 1}


def read_labels(folder: Path) -> pd.DataFrame:
    """labels.csv of a folder -> columns photo (path), gender (0 female, 1 male), age, born (year), NaN if unknown."""
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
                "age": np.nan, "born": _year(table),
            })
        return pd.DataFrame({
            "photo": [folder / f"{name}.jpg" for name in table["face_id"]],
            "gender": table["face_gender"].map(GENDERS), "age": pd.to_numeric(table["face_age"], errors="coerce"),
            "born": np.nan,
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


def measure_labels(judges: Judges, folder: Path, landmark_file: Path) -> list[list[str]]:
    """Rows of the card: label, measured against, count, result; on all photos and on the third held out."""
    table, faces = aligned_faces(read_labels(folder), landmark_file)
    if not faces:
        raise Img2TabError(f"No face was found in any photo of {folder}. Name a folder of portraits.")
    labels = judges.labels(faces)
    held_out = np.array([is_held_out(photo) for photo in table["photo"]])
    rows = []
    for which, part in (("", np.full(len(table), True)), (", the third held out", held_out)):
        rows += _gender_rows(table[part], labels[part], f"{folder.name} portraits{which}")
    aged = table["age"].notna()
    if aged.any():
        difference = (labels["perceived_age"] - table["age"])[aged]
        rows.append(["perceived_age", f"age, {folder.name}", str(int(aged.sum())),
                     f"mean difference {difference.mean():+.1f} years, mean absolute {difference.abs().mean():.1f}"])
        known = aged & (labels["young"] >= 0)
        right = int(((table["age"] < 30) == labels["young"])[known].sum())
        if known.any():
            rows.append(["young", f"age below 30, {folder.name}", f"{known.sum()} of {aged.sum()} known",
                         _share(right, int(known.sum()))])
    born = table["born"].notna()
    if born.sum() > 2:
        rank = labels["perceived_age"][born].corr(-table["born"][born], method="spearman")
        rows.append(["perceived_age", f"year of birth, {folder.name} (when a photo was taken is not known)",
                     str(int(born.sum())), f"rank correlation {rank:.2f}"])
    return rows


def _gender_rows(table: pd.DataFrame, labels: pd.DataFrame, against: str) -> list[list[str]]:
    """No row, or one: perceived gender against what was recorded."""
    recorded = table["gender"].notna()
    known = recorded & (labels["perceived_gender"] >= 0)
    if not known.any():
        return []
    right = int((labels["perceived_gender"] == table["gender"])[known].sum())
    return [["perceived_gender", f"recorded gender, {against}", f"{known.sum()} of {recorded.sum()} known",
             _share(right, int(known.sum()))]]


def _share(right: int, count: int) -> str:
    low, high = wilson(right, count)
    return f"{right / count:.1%} agree (95 % interval {low:.1%} to {high:.1%})"


def _year(table: pd.DataFrame) -> pd.Series | float:
    """Year of birth from a column birthday (YYYY-MM-DD), where there is one."""
    return pd.to_datetime(table["birthday"], errors="coerce").dt.year if "birthday" in table else np.nan

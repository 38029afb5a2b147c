"""The real portraits: which of them training may see, and which third it never does."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd

from img2tab_core.base.errors import Img2TabError
from img2tab_core.faces import alignment, photos

GENDERS = {"F": 0, "female": 0, "M": 1, "male": 1}


def is_held_out(photo: Path | str) -> bool:
    """Whether a photo belongs to the third that never enters training, third 0."""
    return third_of(photo) == 0


def third_of(photo: Path | str) -> int:
    """0, 1 or 2: the sha256 of the photo's name, modulo 3.

    The rule depends on the name (without folder and suffix) alone, so a new photo moves no other one.
    """
    return int(hashlib.sha256(Path(photo).stem.encode()).hexdigest(), 16) % 3


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
            return pd.DataFrame(
                {
                    "photo": [folder / str(name) for name in table["image"]],
                    "gender": table["gender"].map(GENDERS),
                    "age": np.nan,
                    "born": _year(table),
                }
            )
        return pd.DataFrame(
            {
                "photo": [folder / f"{name}.jpg" for name in table["face_id"]],
                "gender": table["face_gender"].map(GENDERS),
                "age": pd.to_numeric(table["face_age"], errors="coerce"),
                "born": np.nan,
            }
        )
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
            of_photo = alignment.faces_of(photos.read_photo(data), landmark_file, size=256)
        except Img2TabError:
            continue
        kept.append(i)
        faces.append(of_photo[0].pixels)
    return table.iloc[kept].reset_index(drop=True), faces


def _year(table: pd.DataFrame) -> pd.Series | float:
    """Year of birth from a column birthday (YYYY-MM-DD), where there is one."""
    return pd.to_datetime(table["birthday"], errors="coerce").dt.year if "birthday" in table else np.nan

"""The real photos: which of them training may see, which third it never does, and what people say of each."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from img2tab_core.base.errors import Img2TabError
from img2tab_core.faces import alignment, photos

GENDERS = {"F": 0, "female": 0, "M": 1, "male": 1}
YOUNG_BELOW, OLDER_ABOVE = 29.0, 32.0  # years of age: young below, older above, neither between
DIGITS = 8  # of a photo's sha256, by which a file of what was seen knows it


@dataclass(frozen=True, eq=False)
class People:
    """Photos of people with a face, of one folder or several, and what is known of each.

    folder: text (n,), the folder's name; faces: uint8 (256, 256, 3) each; third: int (n,), 0 where training never sees
    the photo; answers: for a target int8 (n,) of 0, 1 and -1 (unknown); recorded: bool (n,), whether its answer was
    recorded with the photo and not seen in it; age: float (n,), years as recorded, NaN unknown; groups: "gender" and
    "ethnicity" as recorded, text (n,), "" unknown; of: how many photos there are, with a face or not, by folder.
    """

    folder: np.ndarray
    faces: list[np.ndarray]
    third: np.ndarray
    answers: dict[str, np.ndarray]
    recorded: dict[str, np.ndarray]
    age: np.ndarray
    groups: dict[str, np.ndarray]
    of: dict[str, int]


def is_held_out(photo: Path | str) -> bool:
    """Whether a photo belongs to the third that never enters training, third 0."""
    return third_of(photo) == 0


def third_of(photo: Path | str) -> int:
    """0, 1 or 2: the sha256 of the photo's name, modulo 3.

    The rule depends on the name (without folder, suffix, and the expression that it begins with) alone, so a new photo
    moves no other one.
    """
    name = re.sub(r"^(neutral|smiling)_", "", Path(photo).stem)
    return int(hashlib.sha256(name.encode()).hexdigest(), 16) % 3


def read_labels(folder: Path) -> pd.DataFrame:
    """labels.csv of a folder -> columns photo (path), gender (0 female, 1 male), smiling (0 or 1), age, NaN if
    unknown, and ethnicity, text, "" if unknown."""
    must = "It must be a CSV file with the columns image and gender, or face_id, face_gender and face_age."
    try:
        table = pd.read_csv(folder / "labels.csv")
    except FileNotFoundError as error:
        raise Img2TabError(f"{folder} has no labels.csv that says what was recorded for its photos. {must}") from error
    except (OSError, ValueError) as error:
        raise Img2TabError(f"{folder / 'labels.csv'} cannot be read ({error}). {must}") from error
    by_image = "image" in table
    try:
        names = table["image"].astype(str) if by_image else table["face_id"].astype(str) + ".jpg"
        gender = table["gender" if by_image else "face_gender"].map(GENDERS)
        age = table.get("age") if by_image else table["face_age"]
    except KeyError as error:
        raise Img2TabError(f"{folder / 'labels.csv'} has no column {error}. {must}") from error
    return pd.DataFrame(
        {
            "photo": [folder / name for name in names],
            "gender": gender,
            "smiling": pd.to_numeric(table["smiling"], errors="coerce") if "smiling" in table else np.nan,
            "age": np.nan if age is None else pd.to_numeric(age, errors="coerce"),
            "ethnicity": table["ethnicity"].fillna("").astype(str) if "ethnicity" in table else "",
        }
    )


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


def read_people(folders: Sequence[Path], seen_file: Path, landmark_file: Path) -> People:
    """Every photo of these folders that shows a face, with what was recorded, and what was seen where nothing was.

    Recorded: gender, smiling, and young by the age. seen_file: JSON of a blind look at photos, known by their bytes.
    Raises Img2TabError where a folder has no labels.csv, or the file cannot be read.
    """
    seen = _read_seen(seen_file)
    tables, faces = [], []
    of = {}
    for folder in folders:
        recorded = read_labels(folder)
        table, some = aligned_faces(recorded, landmark_file)
        of[folder.name] = len(recorded)
        tables.append(table.assign(folder=folder.name))
        faces += some
    if not faces:
        raise Img2TabError("No face was found in any photo. Name folders of portraits.")
    table = pd.concat(tables, ignore_index=True)
    digests = [hashlib.sha256(Path(photo).read_bytes()).hexdigest()[:DIGITS] for photo in table["photo"]]
    age = table["age"].to_numpy(float)
    written = {
        "perceived_gender": table["gender"].fillna(-1).to_numpy(int),
        "smiling": table["smiling"].fillna(-1).to_numpy(int),
        "young": np.where(age < YOUNG_BELOW, 1, np.where(age > OLDER_ABOVE, 0, -1)),
    }
    known = {name: values >= 0 for name, values in written.items()} | {"young": ~np.isnan(age)}
    answers, recorded_of = {}, {}
    for target in dict.fromkeys([*written, *seen]):
        looked = np.array([seen.get(target, {}).get(digest, -1) for digest in digests])
        recorded_of[target] = known.get(target, np.zeros(len(table), bool))
        answers[target] = np.where(recorded_of[target], written.get(target, -1), looked).astype(np.int8)
    groups = {
        "gender": table["gender"].map({0: "female", 1: "male"}).fillna("").to_numpy(object),
        "ethnicity": table["ethnicity"].to_numpy(object),
    }
    third = np.array([third_of(photo) for photo in table["photo"]])
    return People(table["folder"].to_numpy(object), faces, third, answers, recorded_of, age, groups, of)


def _read_seen(file: Path) -> dict[str, dict[str, int]]:
    """{target: {first digits of the photo's sha256: 0 or 1}}."""
    try:
        seen = json.loads(file.read_text(encoding="utf-8"))["seen"]
        return {
            target: {digest: int(value) for value in ("0", "1") for digest in by_class[value]}
            for target, by_class in seen.items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise Img2TabError(
            f'{file} must be JSON with, for every label under "seen", the photos seen as "1" and as "0" ({error!r}).'
        ) from error

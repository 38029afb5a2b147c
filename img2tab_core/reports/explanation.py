"""What a classifier of somebody's own reacts to, as one HTML file for somebody who gets nothing but this file."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Protocol

import numpy as np
import pandas as pd
from PIL import Image

from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.spreadsheets import csv
from img2tab_core.base.words import count
from img2tab_core.classifiers import models
from img2tab_core.classifiers.answers import is_function
from img2tab_core.classifiers.models import Added
from img2tab_core.classifiers.pixel_models import PixelAnswer, PixelModel, chances
from img2tab_core.classifiers.reactions import TELLS, Pair, Reactions
from img2tab_core.concepts.description import Family, Mean
from img2tab_core.concepts.moving import SHIFT
from img2tab_core.concepts.ranking import APART, LEAST, RankedFamily
from img2tab_core.reports import drawings, page
from img2tab_core.reports.drawings import Scale
from img2tab_core.reports.findings import licences
from img2tab_core.reports.opening_chapters import origin
from img2tab_core.studio import Studio

GALLERY = 12  # movers behind the strongest whose pictures are shown
ALONE = 4  # families that only go with it whose pictures are shown
PHOTOS = 24  # photos and edited photos that are shown
LINE = 26  # px, of one family in the chart
REACH = 40.0  # log-odds, further than any change can be
STEPS = ("moved down", "as it is", "moved up")
SIDES = ("zero", "one")  # what the style sheet calls the two classes


class PhotoAnswer(Protocol):
    """A photo of somebody's own: chance of class 1 on itself and drawn, on its reconstruction; far: whether the two are
    far from each other; picture uint8 (S, S, 3)."""

    @property
    def name(self) -> str: ...
    @property
    def probability(self) -> float: ...
    @property
    def drawn(self) -> float: ...
    @property
    def far(self) -> bool: ...
    @property
    def picture(self) -> np.ndarray: ...


class PhotoEffect(Protocol):
    """A family moved in photos: the change of the answer, and a photo before and after, uint8 (S, S, 3), with the
    chance of class 1 of each."""

    @property
    def family(self) -> Family: ...
    @property
    def change(self) -> Mean: ...
    @property
    def moves(self) -> bool: ...
    @property
    def example(self) -> tuple[np.ndarray, np.ndarray, float, float]: ...


class OwnPhotos(Protocol):
    """What a classifier answers about photos of somebody's own."""

    @property
    def sentence(self) -> str: ...
    @property
    def rows(self) -> Sequence[PhotoAnswer]: ...
    @property
    def effects(self) -> Sequence[PhotoEffect]: ...


def explanation_html(studio: Studio, reactions: Reactions, *, photos: OwnPhotos | None = None) -> str:
    """The page, complete in itself: pictures, tables and the numbers as JSON; it loads nothing from a network.

    photos: what it answers about photos of somebody's own, which are then in the file too. Raises Img2TabError where
    the table or the description of the concepts is gone.
    """
    model, name = reactions.model, reactions.model.name
    numbers = json.dumps(reactions.to_json(), indent=1, ensure_ascii=False)
    common = {
        "reactions": reactions,
        "model": model,
        "classes": model.classes,
        "moved": reactions.moved,
        "faces": count(reactions.moved.faces, "face"),
        "shift": f"{SHIFT:g}",
        "made": datetime.now(UTC),
        "files": {
            "concepts": page.File(f"{name}-concepts.csv", csv(_sheet(reactions))),
            "numbers": page.File(f"{name}-reactions.json", numbers, "application/json"),
        },
    }
    told = {
        "strongest": _strongest(studio, reactions),
        "trust": {"least": f"{LEAST:g}", "apart": f"{APART:g}"},
        "concepts": _ranked(reactions),
        "gallery": _gallery(studio, reactions),
        "photos": None if photos is None else _photos(photos),
        "classifier": _handed(studio, model),
        "asked": _asked(studio, reactions),
        "channels": {"rows": sorted(reactions.families, key=lambda row: row.number)},
    }
    chapters = [page.chapter(name, common | values) for name, values in told.items() if values is not None]
    return page.document("explanation", chapters, common | _answer(reactions))


# --- the answer -----------------------------------------------------------------------------------------


def _answer(reactions: Reactions) -> dict:
    """The strongest, and towards which class each moves it: (class, families) in the order of the strongest."""
    strongest = reactions.movers[:TELLS]
    ways = [
        (side, [row for row in strongest if row.effect is not None and (row.effect.mean > 0) == bool(side)])
        for side in (1, 0)
    ]
    return {
        "strongest": strongest,
        "ways": sorted([(side, rows) for side, rows in ways if rows], key=lambda way: strongest.index(way[1][0])),
    }


def _strongest(studio: Studio, reactions: Reactions) -> dict:
    """The strongest families in pictures; where none moves it, those with the largest changes."""
    shown = (reactions.movers or _by_change(reactions))[:TELLS]
    return {"triples": [_triple(studio, reactions, row) for row in shown]}


def _by_change(reactions: Reactions) -> list[RankedFamily]:
    """The families that were moved, the largest change first."""
    asked = [(abs(row.effect.mean), row) for row in reactions.families if row.effect is not None]
    return [row for _, row in sorted(asked, key=lambda pair: -pair[0])]


def _gallery(studio: Studio, reactions: Reactions) -> dict | None:
    """The movers behind the strongest, and what was moved but only goes with it."""
    movers = reactions.movers[TELLS : TELLS + GALLERY]
    going = [row for row in reactions.families if row.verdict == "goes with it" and row.effect is not None]
    going = sorted(going, key=lambda row: -row.distance)[:ALONE]
    if not movers and not going:
        return None
    return {
        "movers": [_triple(studio, reactions, row) for row in movers],
        "left": len(reactions.movers) - TELLS - len(movers),
        "going": [_triple(studio, reactions, row) for row in going],
    }


def _triple(studio: Studio, reactions: Reactions, row: RankedFamily) -> dict:
    """A face with a family moved down, as it is and up, with the chance of class 1 of each picture."""
    pair: Pair = studio.pair(reactions, row.number)
    towards = None if row.effect is None else int(row.effect.mean > 0)
    return {
        "row": row,
        "pictures": list(zip(pair.pictures, pair.probability, STEPS, strict=True)),
        "turned": reactions.moved.turned[row.number],
        "towards": towards,
        "effect": row.effect.turned(1 if towards else -1).text() if row.effect is not None else "",
    }


# --- all concepts ---------------------------------------------------------------------------------------


def _ranked(reactions: Reactions) -> dict:
    """All families: those that were moved as lines of a chart, and every one in numbers."""
    moved = [(row, row.effect) for row in _by_change(reactions) if row.effect is not None]
    scale = Scale.of(
        [0.0, *(end for _, effect in moved for end in (effect.low, effect.high))], floor=-REACH, ceiling=REACH
    )
    lines = []
    for row, effect in moved:
        kind = SIDES[int(effect.mean > 0)] if row.verdict == "moves it" else "before"
        shapes = drawings.effect(scale, effect.low, effect.mean, effect.high, kind=kind, height=LINE)
        lines.append((row.family.name, shapes, effect.text()))
    return {
        "lines": lines,
        "ticks": drawings.numbers(scale),
        "line": LINE,
        "in_words": "; ".join(f"{row.family.name} {effect.text()}, {row.verdict}" for row, effect in moved),
        "unmoved": len(reactions.families) - len(moved),
    }


def _sheet(reactions: Reactions) -> pd.DataFrame:
    """The table with all digits."""
    return pd.DataFrame(
        [
            {
                "id": row.family.id,
                "name": row.family.name,
                "verdict": row.verdict,
                "effect": None if row.effect is None else row.effect.mean,
                "effect, low": None if row.effect is None else row.effect.low,
                "effect, high": None if row.effect is None else row.effect.high,
                "turns": None if row.effect is None else int(reactions.moved.turned[row.number]),
                "faces": reactions.moved.faces,
                "distance": row.distance if reactions.fidelity else None,
                "importance": row.importance if reactions.fidelity else None,
                "importance of stand-ins": row.by_stand_ins if reactions.fidelity else None,
                "trust": row.family.trust,
                "channels": " ".join(map(str, row.family.channels.tolist())),
                "stand-ins": " ".join(map(str, row.stand_ins.tolist())),
            }
            for row in reactions.families
        ]
    )


# --- photos of somebody's own ---------------------------------------------------------------------------


def _photos(photos: OwnPhotos) -> dict:
    """What it says of photos themselves, of their reconstructions, and of photos in which a concept was moved."""
    return {
        "photos": photos,
        "shown": photos.rows[:PHOTOS],
        "examples": sorted(photos.effects, key=lambda effect: not effect.moves)[:GALLERY],
    }


# --- the classifier, and what was asked -----------------------------------------------------------------


def _handed(studio: Studio, model: PixelModel) -> dict:
    """How it is handed its pictures, and faces by which a wrong way of it is seen."""
    record = next((known for known in models.records() if known["key"] == model.key), {})
    return {
        "read": _read(model.answer),
        "is_function": is_function(model),
        "sha256": record.get("sha256"),
        "added": datetime.fromisoformat(record["added"]) if record.get("added") else None,
        **_samples(studio, model),
    }


def _samples(studio: Studio, model: PixelModel) -> dict:
    """The bundled faces with the chance of class 1 of each, and what the classifier is handed of the first.

    gone: why it cannot be asked any more, "" where it can.
    """
    faces = np.stack([face.pixels for face in studio.samples()])  # (n, P, P, 3)
    try:
        log_odds = model.log_odds(faces)
    except Img2TabError as error:
        return {"gone": str(error)}
    seen = model.input.squares(faces[:1])[0]
    if model.input.colour == "grey":
        seen = np.asarray(Image.fromarray(seen).convert("L").convert("RGB"))
    return {
        "gone": "",
        "warning": Added(model, (), log_odds).warning,
        "samples": list(zip(faces, chances(log_odds).tolist(), strict=True)),
        "seen": seen,
    }


def _read(answer: PixelAnswer) -> str:
    """How the numbers of an answer are read."""
    numbers = count(len(answer.classes), "number")
    return {
        "probabilities": f"{numbers} a picture, read as probabilities",
        "logits": f"{numbers} a picture, read as log-odds of classes of which one is right",
        "sigmoid": f"{numbers} a picture, read as log-odds of each class on its own",
        "value": f"a quantity, which counts as class 1 above {answer.threshold or 0:g}",
    }[answer.output]


def _asked(studio: Studio, reactions: Reactions) -> dict:
    """All that another person needs to ask the same again."""
    table, model = studio.table(reactions.table), reactions.model
    return {
        "table": table,
        "origin": origin(studio.trainer.about_table(table.name)),
        "backbone_key": studio.backbone_key(table.backbone),
        "description_key": studio.described(table.backbone).key,
        "licences_known": licences(table.backbone),
        "is_function": is_function(model),
        "again": (
            f"img2tab explain --classifier {shlex.quote(model.name)} --table {shlex.quote(reactions.table)} "
            f"--faces {reactions.asked}"
        ),
    }

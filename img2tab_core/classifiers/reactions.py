"""What a classifier of somebody's own reacts to: families moved one by one, drawn, and the classifier itself asked.

Told first is how far a concept classifier trained on its answers says the same: what is said of its importance holds
no further.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from img2tab_core.backbones.backbone import Backbone
from img2tab_core.base.engines import HERE, Engine
from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.files import keeping
from img2tab_core.base.foreign import open_array
from img2tab_core.base.intervals import wilson
from img2tab_core.base.jobs import Cancel, Report, silent
from img2tab_core.base.records import StyleTable, read_only
from img2tab_core.base.words import count, listed, signed
from img2tab_core.classifiers import models
from img2tab_core.classifiers.answers import FIRST, SAMPLE, is_function, sizes_of
from img2tab_core.classifiers.pixel_models import PixelModel, chances
from img2tab_core.concepts import moved_pictures
from img2tab_core.concepts.description import Description
from img2tab_core.concepts.moved_pictures import FACES, moved_face
from img2tab_core.concepts.moving import SHIFT
from img2tab_core.concepts.ranking import RankedFamily

FIRST_FACES, LEADING = 8, 40  # on so many faces so many families are moved before anything is said
TELLS = 3  # families in a sentence
BLIND = (
    "What the generator cannot draw cannot be found, and nothing here says that it is there: a red patch at the "
    "collar, a white mark in a corner, a blue frame and grain were not found where networks went by them (img2tab "
    "planted)."
)
_memory: dict[tuple[str, str], np.ndarray] = {}  # of functions


@dataclass(frozen=True)
class Fidelity:
    """How far a concept classifier trained on a classifier's answers says the same, on faces it was not trained on.

    agree of faces; interval: 95 %, Wilson; common: share of the commoner class, which a classifier that always says the
    same reaches too. r2: share of the variance of the log-odds that is explained, on test faces, after the scale was
    fitted on validation faces; below 0 it is worse than saying the mean.
    """

    agree: int
    faces: int
    interval: tuple[float, float]
    common: float
    r2: float

    @property
    def share(self) -> float:
        """Share of the faces on which both say the same."""
        return self.agree / self.faces

    @property
    def sentence(self) -> str:
        """What a person reads before anything about importance."""
        low, high = self.interval
        text = (
            f"A concept classifier trained on its answers says the same about {self.agree:,} of {self.faces:,} faces "
            f"it was not trained on, {self.share:.1%} (95 % interval {low:.1%} to {high:.1%}; always saying the "
            f"commoner class would reach {self.common:.1%}), and explains {max(self.r2, 0):.0%} of how sure it is."
        )
        if low <= self.common:
            return text + " That is no better than a guess: what it uses inside cannot be told by concepts."
        return text


@dataclass(frozen=True, eq=False)
class Moved:
    """What a classifier answered about faces whose families were moved: log-odds float64 (F, 2 K + 1), see
    `moved_pictures`, NaN where it was not asked yet; size: px at which they were drawn."""

    size: int
    log_odds: np.ndarray

    @property
    def effects(self) -> np.ndarray:
        """Change of the log-odds from 8 down to 8 up: float64 (K, F)."""
        return (self.log_odds[:, 1:-1:2] - self.log_odds[:, 0:-1:2]).T

    @property
    def turned(self) -> np.ndarray:
        """On how many faces the decision is another one 8 up than 8 down: int64 (K,)."""
        up, down = self.log_odds[:, 1:-1:2], self.log_odds[:, 0:-1:2]
        return (np.isfinite(up) & ((up > 0) != (down > 0))).sum(axis=0)

    @property
    def families(self) -> int:
        """How many families were moved at all."""
        return int(np.isfinite(self.effects).any(axis=1).sum())

    @property
    def faces(self) -> int:
        return len(self.log_odds)

    @property
    def probability(self) -> np.ndarray:
        """Chance of class 1, as `log_odds`."""
        return chances(self.log_odds)


@dataclass(frozen=True, eq=False)
class Pair:
    """One face with a family moved: down, as it is and up; pictures uint8 (3, S, S, 3) and the chance of class 1 that
    the classifier gives each."""

    pictures: np.ndarray
    probability: tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class Reactions:
    """What a classifier reacts to, as far as it was asked.

    asked: faces of the table, drawn at `size` px, `ones` of them taken for class 1. families: by weight, see
    `ranking.weights`, then what else moves it, the largest effect first;
    moved: on how many faces each was moved, and what was answered. fidelity: None where nothing could be trained on
    its answers, and then `why`.
    """

    model: PixelModel
    table: str
    asked: int
    size: int
    ones: int
    fidelity: Fidelity | None
    families: tuple[RankedFamily, ...]
    moved: Moved
    why: str = ""

    @property
    def key(self) -> str:
        """Changes with the classifier and with how far it was asked."""
        return f"{self.model.key}-{self.asked}-{self.size}-{self.moved.faces}-{self.moved.families}-{self.moved.size}"

    def clearest(self, number: int) -> int:
        """The face on which moving a family changes the chance most, the way it does on most faces."""
        chance = self.moved.probability
        change = chance[:, 2 * number + 1] - chance[:, 2 * number]
        effect = np.nanmean(self.moved.effects[number])
        return int(np.nanargmax(np.where(np.isfinite(change), np.sign(effect) * change, -2.0)))

    @property
    def movers(self) -> list[RankedFamily]:
        """The families that move it: first those in which the faces it tells apart differ, by `ranking.weights`."""
        return [row for row in self.families if row.verdict == "moves it"]

    @property
    def sentence(self) -> str:
        """The answer: "Reacts most to Mouth: teeth show (+2.3 log-odds [+2.0, +2.6] towards smiling, ...)." """
        movers = self.movers
        if not movers:
            text = (
                f"None of {self.moved.families} concepts moves it beyond chance on {count(self.moved.faces, 'face')}."
            )
        else:
            text = f"Reacts most to {'; '.join(self.in_words(row) for row in movers[:TELLS])}."
        return f"{text} {self.others}".strip()

    @property
    def others(self) -> str:
        """What comes behind the strongest: how many more move it, and what only goes with it; "" where nothing does."""
        more = len(self.movers) - TELLS
        text = f"{count(more, 'other concept')} {'moves' if more == 1 else 'move'} it too." if more > 0 else ""
        goes = [row for row in self.families if row.verdict == "goes with it" and row.effect is not None]
        goes.sort(key=lambda row: -row.distance)
        if goes:
            names = [row.family.name for row in goes[:TELLS]]
            verb, them = ("goes", "it") if len(names) == 1 else ("go", "them")
            text += f" {listed(names)} only {verb} with it: moving {them} alone does not move it beyond chance."
        return text.strip()

    def in_words(self, row: RankedFamily) -> str:
        """ "Mouth: teeth show (+2.3 log-odds [+2.0, +2.6] towards smiling, turns 9 of 24 faces)" """
        effect = row.effect
        if effect is None:
            return row.family.name
        towards = self.model.classes[int(effect.mean > 0)]
        strength = effect if effect.mean > 0 else effect.turned(-1)
        return (
            f"{row.family.name} ({signed(strength.mean)} log-odds [{signed(strength.low)}, {signed(strength.high)}] "
            f"towards {towards}, turns {int(self.moved.turned[row.number])} of {count(self.moved.faces, 'face')})"
        )

    @property
    def basis(self) -> str:
        """What the answer rests on."""
        return (
            f"Asked about {count(self.asked, 'face')} of the table “{self.table}”, drawn at {self.size} px: "
            f"{self.ones:,} taken for {self.model.classes[1]}. Each of {self.moved.families} concepts was moved from "
            f"{SHIFT:g} standard deviations down to {SHIFT:g} up on {count(self.moved.faces, 'other face')}, drawn at "
            f"{self.moved.size} px, and the classifier asked about each picture; intervals are over these faces, and "
            "of the concepts said to move it 5 % at most do not (Benjamini and Hochberg)."
        )

    def to_json(self) -> dict:
        """Plain types."""
        fidelity = self.fidelity
        return {
            "classifier": self.model.name,
            "classes": list(self.model.classes),
            "table": self.table,
            "asked": self.asked,
            "size": self.size,
            "ones": self.ones,
            "moved_on": self.moved.faces,
            "moved_size": self.moved.size,
            "fidelity": None
            if fidelity is None
            else {
                "agree": fidelity.agree,
                "faces": fidelity.faces,
                "interval": list(fidelity.interval),
                "commoner_class": fidelity.common,
                "r2_log_odds": fidelity.r2,
                "sentence": fidelity.sentence,
            },
            "sentence": self.sentence,
            "basis": self.basis,
            "families": [row.to_json() | {"turned": int(self.moved.turned[row.number])} for row in self.families],
        }


def fidelity(log_odds: np.ndarray, surrogate: np.ndarray, fitted_on: tuple[np.ndarray, np.ndarray]) -> Fidelity:
    """How far a stand-in says the same on test faces.

    log_odds, surrogate: float (n,), of the classifier and of its stand-in; fitted_on: the same two of validation faces,
    by which the stand-in's scale is fitted. Raises Img2TabError where there is no face.
    """
    if not len(log_odds):
        raise Img2TabError("A fidelity needs faces that were asked about and not trained on, got none. Ask about more.")
    agree, faces = int(((log_odds > 0) == (surrogate > 0)).sum()), len(log_odds)
    wanted, given = fitted_on
    slope, offset = np.polyfit(given, wanted, 1) if len(given) > 2 and np.ptp(given) > 0 else (1.0, 0.0)
    left = ((log_odds - slope * surrogate - offset) ** 2).sum()
    spread = ((log_odds - log_odds.mean()) ** 2).sum()
    ones = int((log_odds > 0).sum())
    return Fidelity(
        agree,
        faces,
        wilson(agree, faces),
        max(ones, faces - ones) / faces,
        float(1 - left / spread) if spread > 0 else 0.0,
    )


@dataclass(frozen=True)
class Stage:
    """How far a classifier is asked before something is said: about `faces` faces of the table, and with every family
    moved on `moved` others, all drawn at `size` px."""

    size: int
    faces: int
    moved: int
    families: int | None = None  # those that are furthest apart; None for all


def stages(model: PixelModel, table: StyleTable, *, faces: int = SAMPLE) -> list[Stage]:
    """From the first answer to that of so many faces: small pictures first, where its own are larger."""
    total = len(table.split)
    steps = [Stage(size, min(FIRST, total), FIRST_FACES, LEADING) for size in reversed(sizes_of(model))]
    if faces > FIRST:
        steps.append(Stage(model.face_size, min(faces, total), FACES))
    return steps


def moved_so_far(model: PixelModel, table: StyleTable, description: Description) -> Moved:
    """What was answered about moved faces: at the classifier's own size, the preview's until there are enough."""
    at_sizes = [Moved(size, _kept(model, table, description, size)) for size in sizes_of(model)]
    return next(
        (moved for moved in at_sizes if moved.faces >= FIRST_FACES), max(at_sizes, key=lambda moved: moved.faces)
    )


def ask_moved(
    model: PixelModel,
    table: StyleTable,
    backbone: Backbone,
    description: Description,
    *,
    size: int,
    faces: int = FACES,
    families: Sequence[int] | None = None,
    engine: Engine = HERE,
    progress: Report | None = None,
    cancelled: Cancel = None,
) -> Moved:
    """Ask about faces whose families were moved, face by face, each kept as it is answered; go on where it stopped.

    families: numbers of those that are moved, None for all. engine: who draws; this process asks.
    """
    report, total = progress or silent, len(description.families)
    numbers = range(total) if families is None else families
    places = [place for number in numbers for place in (2 * number, 2 * number + 1)] + [2 * total]
    done = _kept(model, table, description, size)
    begin = 0.0 if engine == HERE else 0.9
    moved_pictures.draw_ahead(
        backbone,
        table,
        description,
        [[at for at in places if len(done) <= face or not np.isfinite(done[face, at])] for face in range(faces)],
        size=size,
        engine=engine,
        progress=lambda share, text: report(begin * share, text),
        cancelled=cancelled,
    )
    for face in range(faces):
        if len(done) <= face:
            done = np.concatenate([done, np.full((1, 2 * total + 1), np.nan)])
        missing = [place for place in places if not np.isfinite(done[face, place])]
        if missing:
            done = done.copy()
            pictures = moved_face(backbone, table, description, face, missing, size=size, cancelled=cancelled)
            if not len(pictures):  # the table has fewer faces to move
                done = done[:face]
                break
            done[face, missing] = model.log_odds(pictures)
            _keep(model, table, description, size, done)
        share = begin + (1 - begin) * (face + 1) / faces
        report(share, f"{len(numbers)} concepts moved on {face + 1} of {faces} faces, and asked")
    return Moved(size, read_only(done))


def _kept(model: PixelModel, table: StyleTable, description: Description, size: int) -> np.ndarray:
    none = np.empty((0, 2 * len(description.families) + 1))
    file = _file(model, table, description, size)
    if is_function(model):
        return _memory.get((model.key, file.name), none)
    try:
        stored = np.array(open_array(file))
    except (OSError, ValueError):
        return none
    return read_only(stored) if stored.ndim == 2 and stored.shape[1:] == none.shape[1:] else none


def _keep(model: PixelModel, table: StyleTable, description: Description, size: int, log_odds: np.ndarray) -> None:
    file = _file(model, table, description, size)
    if is_function(model):
        _memory[model.key, file.name] = log_odds
        return
    with keeping(file) as part, part.open("wb") as stream:
        np.save(stream, log_odds)


def _file(model: PixelModel, table: StyleTable, description: Description, size: int) -> Path:
    name = f"moved-{table.name}-{table.key[:12]}-{description.key[:12]}-{size}.npy"
    return models.answers_folder(model.key) / name

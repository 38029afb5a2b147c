"""Where two classifiers disagree: about which faces of a table, and about which concepts.

Both are asked about the same faces, drawn ones or their style codes, and about the same faces with a concept moved;
what one answers is set against what the other answers face by face. Class 1 of the one need not be called class 1 by
the other: where their answers go opposite ways, it is set against class 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
from scipy.special import logit
from scipy.stats import false_discovery_control, ttest_ind

from img2tab_core import tables
from img2tab_core.backbones.backbone import Backbone
from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.intervals import wilson
from img2tab_core.base.records import StyleTable
from img2tab_core.base.words import count, listed, signed
from img2tab_core.classifiers import answers, reactions
from img2tab_core.classifiers.pixel_models import PixelModel, chances
from img2tab_core.classifiers.pixels import PixelClassifier
from img2tab_core.classifiers.runs import Run
from img2tab_core.concepts import ranking
from img2tab_core.concepts.describing import others
from img2tab_core.concepts.description import Description, Family, Mean
from img2tab_core.concepts.moved_pictures import FACES, moved_face
from img2tab_core.concepts.moving import SHIFT
from img2tab_core.studio import Studio

TOLD = 3  # concepts in a sentence
FEWEST = 3  # faces from which a mean is told with its interval


@dataclass(frozen=True)
class FaceDisagreement:
    """A face of the table; first and second: the chance that each gives the class of the first that is asked about, the
    second that which is set against it."""

    row: int
    first: float
    second: float

    @property
    def otherwise(self) -> bool:
        """Whether they decide otherwise about it."""
        return (self.first > 0.5) != (self.second > 0.5)


@dataclass(frozen=True)
class ConceptDisagreement:
    """A family moved from 8 down to 8 up on the same faces: the change of each one's log-odds, of the same class, and
    the first's minus the second's; differ: beyond chance, false discoveries controlled, and enough to tell."""

    number: int
    family: Family
    first: Mean
    second: Mean
    difference: Mean
    differ: bool


@dataclass(frozen=True)
class ScoreDifference:
    """How much of a family the faces have about which they decide otherwise, and those about which they decide alike.

    Means, standard deviations; difference: the first minus the second, with Welch's 95 % interval; differ: beyond
    chance, false discoveries controlled.
    """

    number: int
    family: Family
    otherwise: float
    alike: float
    difference: Mean
    differ: bool


@dataclass(frozen=True, eq=False)
class Disagreement:
    """Two classifiers set against each other.

    names: what a person reads; classes: the class of each that is set against that of the other. turned: whether that
    is class 0 of the second; guessed: whether nobody said so; correlation: of their log-odds of class 1, None where one
    of them answers the same about all. alike of faces are decided alike; interval: 95 %, Wilson. spread: standard
    deviations of their log-odds over the faces. top: those they disagree most about. concepts: those that both were
    asked about on moved_on faces, the surest and largest difference first. scores: of the faces they decide otherwise
    about, () where there are too few of them. why: a sentence where no concept could be compared.
    """

    table: str
    names: tuple[str, str]
    classes: tuple[str, ...]
    turned: bool
    guessed: bool
    correlation: float | None
    faces: int
    alike: int
    interval: tuple[float, float]
    spread: tuple[float, float]
    top: tuple[FaceDisagreement, ...]
    concepts: tuple[ConceptDisagreement, ...]
    moved_on: int
    scores: tuple[ScoreDifference, ...]
    why: str = ""

    @property
    def share(self) -> float:
        """Share of the faces about which they decide alike."""
        return self.alike / self.faces

    @property
    def otherwise(self) -> int:
        """How many faces they decide otherwise about."""
        return self.faces - self.alike

    @property
    def sentence(self) -> str:
        """What a person reads first."""
        low, high = self.interval
        parts = [
            f"They decide alike about {self.alike:,} of {count(self.faces, 'face')}, {self.share:.1%} (95 % interval "
            f"{low:.1%} to {high:.1%}).",
            self.about_concepts,
            self.about_faces,
        ]
        return " ".join(filter(None, parts))

    @property
    def about_concepts(self) -> str:
        """ "They disagree most about Chin: facial hair: the first moves by +7.9 log-odds, the second by +1.2." """
        if self.why:
            return self.why
        sure = [concept for concept in self.concepts if concept.differ][:TOLD]
        if not sure:
            return (
                f"No difference between them in {count(len(self.concepts), 'concept')} moved on "
                f"{count(self.moved_on, 'face')} is beyond chance."
            )
        told = [
            f"{concept.family.name}: the first moves by {signed(concept.first.mean)} log-odds, the second by "
            f"{signed(concept.second.mean)}"
            for concept in sure
        ]
        return f"They disagree most about {'; then '.join(told)}."

    @property
    def about_faces(self) -> str:
        """What the faces have more or less of on which they decide otherwise; "" where nothing is told of them."""
        sure = [score for score in self.scores if score.differ][:TOLD]
        if not sure:
            return ""
        told = [
            f"{'more' if score.difference.mean > 0 else 'less'} of {score.family.name} "
            f"({signed(score.difference.mean)} standard deviations)"
            for score in sure
        ]
        return (
            f"The {count(self.otherwise, 'face')} they decide otherwise about have {listed(told)} than those they "
            "decide alike about."
        )

    @property
    def basis(self) -> str:
        """What is set against what, and what the answer rests on."""
        first, second = self.names
        text = f"The first is {first}, asked about {self.classes[0]}, the second {second}, about {self.classes[1]}"
        correlation = "" if self.correlation is None else signed(self.correlation, 2)
        if self.turned:
            text += ", its class 0"
        if self.turned and self.guessed:
            text += f", for their answers go opposite ways (correlation {correlation})"
        elif correlation:
            text += f"; the correlation of their answers about class 1 is {correlation}"
        one, other = self.spread
        return (
            f"{text}. Compared on faces of the table “{self.table}” that both were asked about and neither was trained "
            f"on here. The first's log-odds spread over them by {one:.1f}, the second's by {other:.1f} (standard "
            "deviations): of two that see the same the surer one moves by more. Each concept was moved from "
            f"{SHIFT:g} standard deviations down to {SHIFT:g} up on {count(self.moved_on, 'other face')}, the same for "
            "both; of the differences said to be beyond chance 5 % at most are not (Benjamini and Hochberg)."
        )

    def to_json(self) -> dict:
        """Plain types."""
        return {
            "table": self.table,
            "first": self.names[0],
            "second": self.names[1],
            "classes": list(self.classes),
            "turned": self.turned,
            "turned_was_guessed": self.guessed,
            "correlation": self.correlation,
            "faces": self.faces,
            "alike": self.alike,
            "interval": list(self.interval),
            "spread": list(self.spread),
            "sentence": self.sentence,
            "basis": self.basis,
            "top": [
                {"row": face.row, "first": face.first, "second": face.second, "otherwise": face.otherwise}
                for face in self.top
            ],
            "moved_on": self.moved_on,
            "concepts": [
                {
                    "id": concept.family.id,
                    "name": concept.family.name,
                    "first": _plain(concept.first),
                    "second": _plain(concept.second),
                    "difference": _plain(concept.difference),
                    "differ": concept.differ,
                }
                for concept in self.concepts
            ],
            "scores": [
                {
                    "id": score.family.id,
                    "name": score.family.name,
                    "otherwise": score.otherwise,
                    "alike": score.alike,
                    "difference": _plain(score.difference),
                    "differ": score.differ,
                }
                for score in self.scores
            ],
        }


def disagreement(studio: Studio, first: Run, second: Run, *, top: int = 12, turned: bool | None = None) -> Disagreement:
    """Set two classifiers of one table against each other, trained ones or somebody's own; their targets may differ.

    Compared are test faces, of a classifier of somebody's own those it was asked about; of two such ones, neither of
    which was trained here, all they were asked about. Nothing is drawn, but what was drawn of moved faces may be read
    again. turned: whether class 0 of the second is set against class 1 of the first; None to turn it where their
    answers go opposite ways. Raises Img2TabError where the tables differ, the table was replaced, the concepts are not
    described, or no face was asked about by both.
    """
    if first.table != second.table:
        raise Img2TabError(
            f"Two classifiers are compared on the same faces, got one of the table {first.table!r} and one of "
            f"{second.table!r}. Choose two of one table."
        )
    if first.id == second.id:
        raise Img2TabError(f"A classifier always agrees with itself, got {first.target!r} twice. Choose another one.")
    table = studio.trainer.table_of(first)
    studio.trainer.table_of(second)
    described, backbone = studio.described(table.backbone), studio.backbone(table.backbone)
    rows = np.arange(len(table.split)) if first.own and second.own else table.rows("test")
    odds = np.stack([_log_odds(run, table, rows) for run in (first, second)])  # (2, n)
    asked = np.isfinite(odds).all(axis=0)
    rows, odds = rows[asked], odds[:, asked]
    if not len(rows):
        names = " or ".join(run.target for run in (first, second) if run.own)
        raise Img2TabError(
            f"There is no face of the table {table.name!r} that both were asked about. Ask {names} about more: "
            "img2tab explain --classifier NAME."
        )
    correlation = float(np.corrcoef(odds)[0, 1]) if len(rows) > 1 and (odds.std(axis=1) > 0).all() else None
    turn = turned if turned is not None else correlation is not None and correlation < 0
    effects, why = _effects((first, second), table, backbone, described)
    if turn:
        odds[1], effects[1] = -odds[1], -effects[1]
    alike = (odds[0] > 0) == (odds[1] > 0)
    return Disagreement(
        table=table.name,
        names=(_title(first, table), _title(second, table)),
        classes=(_classes(first, table)[1], _classes(second, table)[0 if turn else 1]),
        turned=turn,
        guessed=turned is None,
        correlation=correlation,
        faces=len(rows),
        alike=int(alike.sum()),
        interval=wilson(int(alike.sum()), len(rows)),
        spread=(float(odds[0].std()), float(odds[1].std())),
        top=_furthest(rows, odds, alike, top),
        concepts=compared(described, effects[0], effects[1]),
        moved_on=int(np.isfinite(effects).all(axis=0).any(axis=0).sum()),
        scores=scores_apart(described, ranking.scores(described, table, rows), alike),
        why=why,
    )


def compared(description: Description, first: np.ndarray, second: np.ndarray) -> tuple[ConceptDisagreement, ...]:
    """Every family that both were asked about, those that differ first, then by how much.

    first, second: float (K, F), change of the log-odds of one class on the same F faces, NaN where not asked.
    """
    differences = first - second
    differ = ranking.moving(differences)
    made = []
    for number in np.flatnonzero(np.isfinite(differences).any(axis=1)).tolist():
        both = np.isfinite(differences[number])
        made.append(
            ConceptDisagreement(
                number,
                description.families[number],
                Mean.of(first[number, both]),
                Mean.of(second[number, both]),
                Mean.of(differences[number, both]),
                bool(differ[number]),
            )
        )
    return tuple(sorted(made, key=lambda concept: (not concept.differ, -abs(concept.difference.mean))))


def scores_apart(description: Description, scores: np.ndarray, alike: np.ndarray) -> tuple[ScoreDifference, ...]:
    """Every family by how far apart the faces are that are decided otherwise and alike; () with fewer than 3 of either.

    scores: float (n, K), standard deviations; alike: bool (n,). Those beyond chance first, then by how far: by Welch's
    t-test, false discoveries controlled (Benjamini and Hochberg 1995).
    """
    if min(alike.sum(), (~alike).sum()) < FEWEST:
        return ()
    test = ttest_ind(scores[~alike], scores[alike], axis=0, equal_var=False)
    interval = test.confidence_interval()
    p = np.nan_to_num(test.pvalue, nan=1.0)  # of a family in which all faces are the same
    differ = false_discovery_control(p) <= ranking.FALSE_SHARE
    otherwise, rest = scores[~alike].mean(axis=0), scores[alike].mean(axis=0)
    made = [
        ScoreDifference(
            number,
            family,
            float(otherwise[number]),
            float(rest[number]),
            Mean(
                float(otherwise[number] - rest[number]),
                float(np.nan_to_num(interval.low[number])),
                float(np.nan_to_num(interval.high[number])),
            ),
            bool(differ[number]),
        )
        for number, family in enumerate(description.families)
    ]
    return tuple(sorted(made, key=lambda score: (not score.differ, -abs(score.difference.mean))))


# --- inside ----------------------------------------------------------------------------------------------------------


def _furthest(rows: np.ndarray, odds: np.ndarray, alike: np.ndarray, top: int) -> tuple[FaceDisagreement, ...]:
    """The faces they disagree most about, by log-odds float64 (2, n) of one class: those decided otherwise first."""
    order = np.lexsort((-np.abs(odds[0] - odds[1]), alike))[:top]
    chance = chances(odds)
    return tuple(
        FaceDisagreement(int(rows[place]), float(chance[0, place]), float(chance[1, place])) for place in order
    )


def _model(run: Run) -> PixelModel:
    return cast(PixelClassifier, run.classifier).model_


def _title(run: Run, table: StyleTable) -> str:
    return _model(run).title if run.own else f"the classifier of {tables.target_of(table, run.target).title}"


def _classes(run: Run, table: StyleTable) -> tuple[str, ...]:
    return _model(run).classes if run.own else tables.target_of(table, run.target).classes


def _log_odds(run: Run, table: StyleTable, rows: np.ndarray) -> np.ndarray:
    """Log-odds of class 1 for these rows, float64 (n,); NaN where a classifier of somebody's own was not asked."""
    if run.own:
        return answers.asked(_model(run), table, cast(PixelClassifier, run.classifier).size).of(rows)
    chance = run.classifier.probabilities(table.psi, rows)[:, 1]
    tables.let_go(table.psi)
    return _logit(chance)


def _logit(chance: np.ndarray) -> np.ndarray:
    return np.asarray(logit(np.clip(chance.astype(np.float64), 1e-7, 1 - 1e-7)))


def _effects(
    both: tuple[Run, Run], table: StyleTable, backbone: Backbone, described: Description
) -> tuple[np.ndarray, str]:
    """Change of the log-odds of class 1 by every family on the same faces, float64 (2, K, F), NaN where not asked; and
    a sentence where there is nothing to compare."""

    def by_codes(run: Run, read: np.ndarray) -> np.ndarray:
        return ranking.effect_of(read, backbone, lambda codes: _logit(run.classifier.predict_proba(codes)[:, 1]))

    moved = [reactions.moved_so_far(_model(run), table, described) if run.own else None for run in both]
    own = [each for each in moved if each is not None]
    read = described.read
    if len(own) == 1 and not _same_faces(described, backbone, table):
        read = _read_anew(own[0], table, backbone, described)
    effects = [by_codes(run, read) if each is None else each.effects for run, each in zip(both, moved, strict=True)]
    faces = min(each.shape[1] for each in effects)
    together = np.stack([each[:, :faces].astype(np.float64) for each in effects])
    if np.isfinite(together).all(axis=0).any():
        return together, ""
    not_moved = [run.target for run, each in zip(both, moved, strict=True) if each is not None and not each.families]
    if not_moved:
        return together, (
            f"What moving concepts does to them cannot be compared: {listed(not_moved)} was not asked about moved "
            f"faces (img2tab explain --classifier {not_moved[0]})."
        )
    return together, "What moving concepts does to them cannot be compared: no concept was moved for both."


def _same_faces(described: Description, backbone: Backbone, table: StyleTable) -> bool:
    """Whether a description was read on the faces that are moved for a classifier of pixels, in their order.

    A description belongs to a backbone and not to a table: it was read on the validation faces of that table it was
    made with. What the encoder reads in a face, over all families moved down and up, is nearest to that very face.
    """
    codes = others(backbone, table, count=FACES)
    faces = min(len(codes), described.read.shape[1])
    if not faces or not described.read.shape[0]:
        return False
    mean = described.read[:, :faces].astype(np.float32).mean(axis=(0, 2))  # (F, ..., 512)
    stats, std = table.stats, np.maximum(table.stats.std, 1e-12)
    seen, known = ((each - stats.mean) / std for each in (backbone.styles(mean), codes[:faces]))
    apart = ((seen[:, None] - known[None]) ** 2).mean(axis=2)  # (F, F)
    unlike = ((known - known.mean(axis=0)) ** 2).mean()  # of one face to the mean one
    return bool((apart.argmin(axis=1) == np.arange(faces)).all() and np.diag(apart).max() < max(unlike, 1e-9))


def _read_anew(moved: reactions.Moved, table: StyleTable, backbone: Backbone, described: Description) -> np.ndarray:
    """What the encoder reads in the kept pictures that a classifier was asked about: float32 (K, F, 2, ..., 512).

    0 where it was not asked; empty for a backbone without an encoder.
    """
    total = len(described.families)
    read = np.empty((total, 0, 2, 512), np.float32)
    if backbone.encoder is None:
        return read
    for face in range(moved.faces):
        places = np.flatnonzero(np.isfinite(moved.log_odds[face, :-1])).tolist()
        w = backbone.invert(moved_face(backbone, table, described, face, places, size=moved.size))
        if not face:
            read = np.zeros((2 * total, moved.faces, *w.shape[1:]), np.float32)
        read[places, face] = w
    return read.reshape(total, 2, *read.shape[1:]).swapaxes(1, 2) if moved.faces else read


def _plain(mean: Mean) -> dict[str, float]:
    return {"mean": mean.mean, "low": mean.low, "high": mean.high}

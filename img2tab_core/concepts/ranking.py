"""Families ranked for one classifier: how far apart the classes are, what it uses, and whether moving one moves it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy.stats import false_discovery_control, ttest_1samp

from img2tab_core import tables
from img2tab_core.base.records import StyleTable, read_only
from img2tab_core.concepts import wasserstein
from img2tab_core.concepts.description import Description, Family, Mean
from img2tab_core.tables import TargetFaces

if TYPE_CHECKING:
    from img2tab_core.backbones.backbone import Backbone

Verdict = Literal["moves it", "goes with it", "not seen"]
FALSE_SHARE = 0.05  # of the families that are said to move it, those that do not, by Benjamini and Hochberg
LEAST = 0.8  # log-odds between 8 down and 8 up that are an effect at all: from 50 % to 69 %
APART = 0.15  # standard deviations between the classes, from which a family goes with the target


@dataclass(frozen=True)
class Effect:
    """Change of the log-odds when one thing alone is moved from -8 to +8, over faces; moves: beyond chance, and more
    than `LEAST`."""

    change: Mean
    moves: bool
    faces: int


@dataclass(frozen=True, eq=False)
class RankedFamily:
    """A family and one classifier.

    number: its place in the description. distance: Wasserstein-1 of its score between the classes, standard deviations;
    direction: mean of class 1 minus that of class 0. importance: share of what the classifier uses, by its members;
    by_stand_ins: by the channels that go with it. effect: change of the log-odds when it is moved from -8 to +8, drawn
    and read again, over faces; None for a backbone that cannot read. verdict: "moves it" (effect, false discoveries
    controlled), "goes with it" (apart only), "not seen" (neither). weight: see `weights`.
    """

    number: int
    family: Family
    distance: float
    direction: float
    importance: float
    by_stand_ins: float
    effect: Mean | None
    verdict: Verdict
    stand_ins: np.ndarray
    weight: float = 0.0

    def to_json(self) -> dict:
        """Plain types, by the stable names of `img2tab concepts --json`."""
        return {
            "id": self.family.id,
            "name": self.family.name,
            "trust": self.family.trust,
            "where": {region: round(share, 3) for region, share in self.family.where.items() if share >= 0.005},
            "sentence": self.family.sentence,
            "distance": self.distance,
            "direction": self.direction,
            "importance": self.importance,
            "stand_in_importance": self.by_stand_ins,
            "effect": None if self.effect is None else self.effect.mean,
            "effect_interval": None if self.effect is None else [self.effect.low, self.effect.high],
            "verdict": self.verdict,
            "weight": self.weight,
            "channels": self.family.channels.tolist(),
            "stand_ins": self.stand_ins.tolist(),
        }


def scores(description: Description, table: StyleTable, rows: np.ndarray) -> np.ndarray:
    """How much of each family every face has, standard deviations of the family: float64 (n, K)."""
    mean, std = table.stats.mean, np.maximum(table.stats.std, 1e-12)
    values = np.empty((len(rows), len(description.families)))
    for number, family in enumerate(description.families):
        codes = np.stack([table.psi[:, channel][rows] for channel in family.channels], axis=1)
        values[:, number] = ((codes - mean[family.channels]) / std[family.channels]) @ family.parts
    tables.let_go(table.psi)
    return values / np.maximum(values.std(axis=0), 1e-9)


def directions(description: Description, table: StyleTable, rows: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Mean score of class 1 minus that of class 0 in every family, standard deviations: float64 (K,)."""
    values = scores(description, table, rows)
    return np.asarray(values[labels == 1].mean(axis=0) - values[labels == 0].mean(axis=0))


def ranked(
    description: Description,
    faces: TargetFaces,
    importance: np.ndarray,
    effects: np.ndarray,
) -> list[RankedFamily]:
    """Every family for one classifier, the largest effect first, those that only go with it behind them.

    importance: float (D,), adds up to 1; effects: float (K, F), change of the log-odds from down to up on F faces, NaN
    where a family was not moved on a face.
    """
    rows, labels = faces.train
    values = np.asfortranarray(scores(description, faces.table, rows))
    unit = np.ones(values.shape[1])
    distance, direction = (
        wasserstein.distance_and_direction(values, labels, std=unit) if values.shape[1] else (np.empty(0), np.empty(0))
    )
    moves, weight = moving(effects), weights(effects, distance, direction)
    listed = []
    for number, family in enumerate(description.families):
        stand_ins = description.stand_ins(number)
        effect = _mean(effects[number])
        verdict: Verdict = "moves it" if moves[number] else "goes with it" if distance[number] >= APART else "not seen"
        listed.append(
            RankedFamily(
                number,
                family,
                float(distance[number]),
                float(direction[number]),
                float(importance[family.channels].sum()),
                float(importance[stand_ins].sum()),
                effect,
                verdict,
                read_only(stand_ins),
                float(weight[number]),
            )
        )
    order = {"moves it": 0, "goes with it": 1, "not seen": 2}
    return sorted(
        listed, key=lambda row: (order[row.verdict], -abs(row.effect.mean if row.effect else 0), -row.distance)
    )


def by_effect(description: Description, effects: np.ndarray) -> list[RankedFamily]:
    """Every family by its effect alone, the largest first: where there are no two classes to be apart.

    effects: as of `ranked`.
    """
    moves = moving(effects)
    listed = []
    for number, family in enumerate(description.families):
        verdict: Verdict = "moves it" if moves[number] else "not seen"
        stand_ins = read_only(description.stand_ins(number))
        effect = _mean(effects[number])
        listed.append(RankedFamily(number, family, 0.0, 0.0, 0.0, 0.0, effect, verdict, stand_ins))
    return sorted(listed, key=lambda row: (row.verdict != "moves it", -abs(row.effect.mean if row.effect else 0)))


def effect_of(read: np.ndarray, backbone: Backbone, log_odds: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Change of the log-odds from down to up, of every family on every face: float64 (K, F).

    read: float (K, F, 2, ..., 512), what the encoder read in the pictures.
    """
    if not read.shape[0] or not read.shape[1]:
        return np.zeros(read.shape[:2])
    values = answers(read, backbone, log_odds)
    return np.asarray(values[:, :, 1] - values[:, :, 0], np.float64)


def effect(changes: np.ndarray) -> Effect:
    """Of one thing: its changes on every face, float (F,)."""
    return Effect(Mean.of(changes), bool(moving(changes[None])[0]), len(changes))


def answers(read: np.ndarray, backbone: Backbone, log_odds: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """What is said of every picture that was read: (K, F, 2, ..., 512) -> (K, F, 2), or (K, F, 2, T) of T answers."""
    flat = read.astype(np.float32).reshape(-1, *read.shape[3:])
    odds = np.concatenate([log_odds(backbone.styles(part)) for part in np.array_split(flat, -(-len(flat) // 512))])
    return odds.reshape(*read.shape[:3], *odds.shape[1:])


def moving(effects: np.ndarray) -> np.ndarray:
    """Which families move the answer, bool (K,): beyond chance over the faces, with false discoveries controlled.

    Source: Benjamini and Hochberg 1995, over all families that were moved; each by a t-test of its mean effect.
    """
    moves = np.zeros(len(effects), bool)
    asked = np.flatnonzero(np.isfinite(effects).sum(axis=1) >= 2)
    if not len(asked):
        return moves
    effects = effects[asked]
    steady = np.nanstd(effects, axis=1) < 1e-9  # every face alike: no chance to weigh
    p = np.ones(len(effects))
    if (~steady).any():
        p[~steady] = ttest_1samp(effects[~steady], 0, axis=1, nan_policy="omit").pvalue
    moves[asked] = (false_discovery_control(p) <= FALSE_SHARE) & (np.abs(np.nanmean(effects, axis=1)) >= LEAST)
    return moves


def weights(effects: np.ndarray, distance: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """How much of what tells the two answers apart runs through each family, log-odds x SD: float64 (K,), not negative.

    The mean effect times how far the classes are apart in the family; 0 where it does not move the answer beyond
    chance, the classes are not apart in it (`APART`), or they are apart the other way than it moves. What moves a
    classifier but hardly differs between the faces it tells apart decides little, and a move of 8 standard deviations
    is larger for some families than for others: of networks with a planted cause this finds it first more often than
    the effect alone (`img2tab planted`; chosen on networks of development). effects: as of `ranked`.
    """
    moves = moving(effects)
    mean = np.zeros(len(effects))
    mean[moves] = np.nanmean(effects[moves], axis=1)
    counts = moves & (distance >= APART) & (np.sign(mean) == np.sign(direction))
    return np.where(counts, np.abs(mean) * distance, 0.0)


def _mean(changes: np.ndarray) -> Mean | None:
    """Of one family over the faces it was moved on; None where there is none."""
    changes = changes[np.isfinite(changes)]
    return Mean.of(changes) if len(changes) else None

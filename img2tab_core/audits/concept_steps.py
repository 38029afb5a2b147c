"""Which concepts to exclude, one after the other, and what each next one buys."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from img2tab_core.audits.exclusion_curves import CurvePoint, exclusion_curve
from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.jobs import Report
from img2tab_core.base.records import StyleTable
from img2tab_core.base.words import count as counted
from img2tab_core.base.words import points
from img2tab_core.concepts import ranking
from img2tab_core.concepts.description import Description
from img2tab_core.tables.sampling import CELLS, known_rows, sampled

MOST = 10  # concepts in one suggestion
LEAST = 0.2  # standard deviations by which the groups differ in a concept that is suggested
ROWS = 6_000  # training faces on which that is measured
BUYS = 0.01  # of the gap: less is nothing


@dataclass(frozen=True)
class Step:
    """One more concept excluded, with the channels that go with it.

    family: its id; difference: mean of group 1 minus mean of group 0 within the classes of the target, standard
    deviations of the concept. channels: what is excluded with it and was not before. after: a quick retrain without
    all concepts up to this one.
    """

    family: str
    name: str
    difference: float
    channels: tuple[int, ...]
    after: CurvePoint


@dataclass(frozen=True)
class ConceptSteps:
    """Concepts in which the groups differ, the largest difference first, and the classifier after each exclusion.

    before: nothing excluded; a gap is the larger of the differences of the true and false positive rates. how: the
    quick retrain in words.
    """

    target: str
    sensitive: str
    before: CurvePoint
    steps: tuple[Step, ...]
    how: str

    def bought(self, number: int) -> float:
        """By how much the gap of the validation faces gets smaller with step `number`, from 0 on; share of 1."""
        earlier = self.steps[number - 1].after if number else self.before
        return earlier.mean("gap") - self.steps[number].after.mean("gap")

    @property
    def best(self) -> int:
        """How many steps leave the smallest gap on validation faces, 0 where none makes it smaller by a point."""
        gaps = [self.before.mean("gap"), *(step.after.mean("gap") for step in self.steps)]
        best = int(np.argmin(gaps))
        return best if gaps[0] - gaps[best] >= BUYS else 0

    @property
    def sentence(self) -> str:
        """What the steps buy, measured on test faces, which took no part in the choice."""
        if not self.steps:
            return f"In no concept do the groups differ by {LEAST:g} standard deviations within the classes."
        best = self.best
        if not best:
            channels = sum(len(step.channels) for step in self.steps)
            return (
                f"Excluding these {counted(len(self.steps), 'concept')} ({counted(channels, 'channel')}) does not make "
                "the gap smaller: what is left says the same."
            )
        point = self.steps[best - 1].after
        channels = sum(len(step.channels) for step in self.steps[:best])
        gap, accuracy = (point.mean(name) - self.before.mean(name) for name in ("test_gap", "test_accuracy"))
        return (
            f"Without the first {counted(best, 'concept')} ({counted(channels, 'channel')}) the gap changes by "
            f"{points(gap)} and the accuracy by {points(accuracy)}, on test faces that took no part in the choice."
        )

    def to_json(self) -> dict:
        """Plain types."""
        return {
            "target": self.target,
            "sensitive": self.sensitive,
            "before": _measured(self.before),
            "steps": [
                {
                    "id": step.family,
                    "name": step.name,
                    "difference": step.difference,
                    "channels": list(step.channels),
                    "buys": self.bought(number),
                    **_measured(step.after),
                }
                for number, step in enumerate(self.steps)
            ],
            "best": self.best,
            "sentence": self.sentence,
            "how": self.how,
        }


def concept_steps(
    table: StyleTable,
    target: str,
    sensitive: str,
    description: Description,
    *,
    most: int = MOST,
    seeds: Sequence[int] = (0,),
    progress: Report | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> ConceptSteps:
    """Exclude the concepts in which two groups differ one after the other, and retrain quickly after each.

    The order is found on training faces, what a step buys on validation faces, and what is quoted on test faces.
    Raises Img2TabError where a class or a group has no face, and Cancelled once `cancelled` says so.
    """
    if most < 1:
        raise Img2TabError(f"At least one concept can be suggested, got {most}.")
    difference = differences(table, target, sensitive, description)
    order = [int(n) for n in np.argsort(-np.abs(difference), kind="stable")[:most] if abs(difference[n]) >= LEAST]
    taken: set[int] = set()
    added: list[tuple[int, ...]] = []
    for number in order:
        own = [*description.families[number].channels.tolist(), *description.stand_ins(number).tolist()]
        added.append(tuple(channel for channel in own if channel not in taken))
        taken.update(own)
    counts = np.cumsum([0, *map(len, added)]).tolist()
    curve = exclusion_curve(
        table,
        target,
        sensitive,
        np.array([channel for part in added for channel in part], np.int64),
        counts=counts,
        seeds=seeds,
        progress=progress,
        cancelled=cancelled,
    )
    by_count = {point.count: point for point in curve.points}
    steps = [
        Step(family.id, family.name, float(difference[number]), part, by_count[count])
        for number, part, count in zip(order, added, counts[1:], strict=True)
        for family in [description.families[number]]
    ]
    return ConceptSteps(target, sensitive, curve.points[0], tuple(steps), curve.how)


def differences(table: StyleTable, target: str, sensitive: str, description: Description) -> np.ndarray:
    """How far two groups differ in every concept within the classes of the target: float64 (K,), signed, SD."""
    rows, labels, groups = known_rows(table, target, sensitive, None)
    rows, beside = sampled(rows, ROWS, seed=0, beside=np.stack([labels, groups], axis=1))
    labels, groups = beside.T
    values = ranking.scores(description, table, rows)
    means = {(c, g): values[(labels == c) & (groups == g)].mean(axis=0) for c, g in CELLS}
    return (means[0, 1] - means[0, 0] + means[1, 1] - means[1, 0]) / 2


def _measured(point: CurvePoint) -> dict:
    return {name: point.mean(name) for name in ("accuracy", "gap", "test_accuracy", "test_gap")}

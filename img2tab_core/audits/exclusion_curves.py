"""The exclusion curve: accuracy and gap against how many channels are excluded."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Integral

import numpy as np

from img2tab_core import tables
from img2tab_core.audits.metrics import gaps_of
from img2tab_core.base.errors import Cancelled, Img2TabError
from img2tab_core.base.intervals import Estimate, estimate
from img2tab_core.base.jobs import Report
from img2tab_core.base.records import StyleTable
from img2tab_core.classifiers.base import gathered
from img2tab_core.classifiers.catboost import CatBoostConcepts
from img2tab_core.concepts import scores, wasserstein
from img2tab_core.tables.sampling import balanced_rows, known_rows

COUNTS = (0, 10, 100, 500, 1500, 3000, 4500, 5500, 6000, 6250, 6500)
QUICK_COLUMNS, QUICK_TREES, QUICK_DEPTH, QUICK_RATE = 512, 200, 6, 0.1


@dataclass(frozen=True)
class CurveTrial:
    """One quick retrain; a gap is the larger of |TPR difference| and |FPR difference| between the groups.

    accuracy, gap: on validation faces, by which a point is chosen. test_accuracy, test_gap: on test faces, which take
    no part in the choice, so that what is quoted of the chosen point is not the luck it was chosen for.
    """

    seed: int
    accuracy: float
    gap: float
    test_accuracy: float | None = None
    test_gap: float | None = None


@dataclass(frozen=True)
class CurvePoint:
    """The first `count` channels of the ranking are excluded; one trial for each seed."""

    count: int
    trials: tuple[CurveTrial, ...]

    def estimate(self, name: str) -> Estimate:
        """Of accuracy, gap, test_accuracy or test_gap: mean over the trials and its 95 % t-interval."""
        return estimate([getattr(trial, name) for trial in self.trials])

    def mean(self, name: str) -> float:
        """The mean of `estimate`; raises Img2TabError where it was not measured."""
        mean = self.estimate(name).mean
        if mean is None:
            raise Img2TabError(f"The curve has no {name} of {self.count:,} excluded. Compute it again.")
        return mean


@dataclass(frozen=True)
class ExclusionCurve:
    """Accuracy and gap against how many channels are excluded, by ascending count.

    faces: trained on, and the validation faces measured on to choose by; test_faces: measured on to quote. how: the
    quick retrain in words; its numbers are not those of a full retrain.
    """

    points: tuple[CurvePoint, ...]
    faces: tuple[int, int]
    how: str
    test_faces: int = 0

    def at(self, count: int) -> CurvePoint:
        """The point with the nearest count."""
        return min(self.points, key=lambda point: abs(point.count - count))

    def least_gap(self, *, lost: float = 0.01) -> CurvePoint:
        """The smallest mean gap among the points whose mean accuracy is at most `lost` below the first point's.

        Chosen by the validation faces, which makes its `gap` there too small by luck: quote its `test_gap`.
        """
        bar = self.points[0].mean("accuracy") - lost
        able = [point for point in self.points if point.mean("accuracy") >= bar - 1e-12]
        return min(able, key=lambda point: (point.mean("gap"), point.count))


def exclusion_curve(
    table: StyleTable,
    target: str,
    sensitive: str,
    ranking: np.ndarray,
    *,
    counts: Sequence[int] = COUNTS,
    train_rows: np.ndarray | None = None,
    validation_rows: np.ndarray | None = None,
    test_rows: np.ndarray | None = None,
    seeds: Sequence[int] = (0,),
    columns: int = QUICK_COLUMNS,
    trees: int = QUICK_TREES,
    progress: Report | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> ExclusionCurve:
    """Exclude the first so many channels of a ranking, retrain quickly, and measure; once for every count and seed.

    ranking: channel indices, what to exclude first at the front, each once; found on training faces alone. counts:
    those that leave no channel are left out. train_rows: int64 (n,), None for all training faces. validation_rows (to
    choose by) and test_rows (to quote): None for faces of that split, equally many from the four cells, on which
    accuracy does not reward going by the group. seeds: of the classifier; rows are the same for all, so intervals say
    what the seed does (join the curves of several draws for more). The quick retrain: the best `columns` of the
    channels left by Wasserstein-1 between the classes of the training faces, `trees` CatBoost trees.

    Raises Img2TabError where two of the three share a face, a cell has none, or the ranking, counts or seeds are not
    usable; Cancelled once `cancelled` says so.
    """
    rows, labels, _ = known_rows(table, target, sensitive, train_rows)
    held_out = {}  # split -> rows, classes and groups measured on; int64 (m,) each
    for split, given in (("validation", validation_rows), ("test", test_rows)):
        if given is None:
            classes, groups = (table.labels[name].to_numpy() for name in (target, sensitive))
            given = balanced_rows(classes, groups, table.rows(split), seed=0)
        held_out[split] = known_rows(table, target, sensitive, given)
    _check_apart(rows, *(measured[0] for measured in held_out.values()))
    width = table.psi.shape[1]
    ranking, counts, seeds = _checked_ranking(ranking, width), _checked_counts(counts, width), tuple(seeds)
    if not seeds:
        raise Img2TabError("A curve needs at least one seed, got none.")
    report, trainings, done = progress or (lambda fraction, text: None), len(counts) * len(seeds), 0
    report(0.0, "Ranking concepts")
    read = tables.letting_go(table.psi)
    distance = wasserstein.wasserstein(table.psi, labels, std=table.stats.std, rows=rows, progress=read)
    order = scores.top(distance, width)
    points = []
    for number in counts:
        used = order[~np.isin(order, ranking[:number])][:columns]
        codes = gathered(table.psi, rows, used)  # (n, k), column-major
        held_out_codes = {split: gathered(table.psi, measured[0], used) for split, measured in held_out.items()}
        trials = []
        for seed in seeds:
            if cancelled is not None and cancelled():
                raise Cancelled("The curve was stopped; nothing was changed.")
            model = CatBoostConcepts(
                iterations=trees, depth=QUICK_DEPTH, learning_rate=QUICK_RATE, screen=None, random_state=seed
            )
            model.fit(codes, labels, cancelled=cancelled)
            measured = {}
            for split, (_, classes, groups) in held_out.items():
                measured[split] = _measured(classes, model.predict(held_out_codes[split]), groups)
            trials.append(CurveTrial(int(seed), *measured["validation"], *measured["test"]))
            done += 1
            report(done / trainings, f"{number:,} excluded, seed {len(trials)} of {len(seeds)}")
        points.append(CurvePoint(number, tuple(trials)))
    chosen_by, quoted_on = (len(measured[0]) for measured in held_out.values())
    how = (
        f"{trees} CatBoost trees of depth {QUICK_DEPTH} on the {min(columns, width):,} channels left that tell the "
        f"classes of {len(rows):,} training faces apart best; chosen by {chosen_by:,} validation faces and quoted on "
        f"{quoted_on:,} test faces."
    )
    return ExclusionCurve(tuple(points), (len(rows), chosen_by), how, quoted_on)


def joined(curves: Sequence[ExclusionCurve]) -> ExclusionCurve:
    """Curves over the same counts, such as of several samples of training faces, as one with all their trials.

    Raises Img2TabError where there is none, or their counts differ.
    """
    if not curves or len({tuple(point.count for point in curve.points) for curve in curves}) != 1:
        raise Img2TabError("Curves to join must be of the same counts, and there must be one. Compute them again.")
    points = tuple(
        CurvePoint(same[0].count, tuple(trial for point in same for trial in point.trials))
        for same in zip(*(curve.points for curve in curves), strict=True)
    )
    return ExclusionCurve(points, curves[0].faces, curves[0].how, curves[0].test_faces)


def _measured(classes: np.ndarray, decisions: np.ndarray, groups: np.ndarray) -> tuple[float, float]:
    """Accuracy and equalised odds difference of decisions 0 and 1, (m,) each."""
    gap = gaps_of(classes, decisions, groups)["equalised_odds"]
    if gap is None:  # `known_rows` makes sure of all four cells
        raise Img2TabError("A gap needs faces of both classes in both groups. Take more faces.")
    return float((decisions == classes).mean()), gap


def _check_apart(*rows: np.ndarray) -> None:
    """Rows that a curve is trained on, chosen by and quoted on."""
    if any(np.isin(some, others).any() for some, others in itertools.combinations(rows, 2)):
        raise Img2TabError(
            "A curve must be trained on, chosen by and quoted on other faces each, got some twice. Give other rows."
        )


def _checked_ranking(ranking: np.ndarray, width: int) -> np.ndarray:
    ranking = np.asarray(ranking)
    whole = ranking.ndim == 1 and np.issubdtype(ranking.dtype, np.integer)
    if not whole or len(np.unique(ranking)) != len(ranking) or not ((ranking >= 0) & (ranking < width)).all():
        raise Img2TabError(f"The ranking must name channels between 0 and {width - 1}, each at most once.")
    return ranking


def _checked_counts(counts: Sequence[int], width: int) -> tuple[int, ...]:
    if not all(isinstance(count, Integral) and count >= 0 for count in counts):
        raise Img2TabError(f"Counts must be whole numbers of at least 0, got {list(counts)}.")
    kept = tuple(sorted({int(count) for count in counts if count < width}))
    if not kept:
        raise Img2TabError(f"A curve needs a count below {width}, the number of channels, got {list(counts)}.")
    return kept

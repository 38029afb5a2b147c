"""An audit: what a classifier does to each group of faces, how far apart the groups are, and whether a change is real.

The words: a gap is a difference between groups; nothing here says that a classifier is fair.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from numbers import Integral, Real

import numpy as np
import pandas as pd
from fairlearn.metrics import MetricFrame, false_positive_rate, selection_rate, true_positive_rate
from scipy.stats import binomtest
from sklearn.metrics import accuracy_score, precision_score, roc_auc_score, roc_curve

from img2tab_core.comparison import CONFIDENCE, Estimate, estimate, plain
from img2tab_core.errors import Cancelled, Img2TabError
from img2tab_core.records import read_only

SMALL = 30                                                           # a group of fewer faces is flagged
STANDARD = 0.5                                                       # the threshold a classifier is trained for
BINS = 10                                                            # of equal width, for the calibration
EVERYONE = "everyone"
METRICS = {                                                          # of a group -> the title a person reads
    "accuracy": "Accuracy",
    "selection_rate": "Selection rate",
    "true_positive_rate": "True positive rate",
    "false_positive_rate": "False positive rate",
    "precision": "Precision",
    "auc": "AUC",
    "calibration_error": "Calibration error",
}
GAPS = {                                                             # between groups -> the title a person reads
    "demographic_parity": "Demographic parity difference",
    "equalised_odds": "Equalised odds difference",
    "equal_opportunity": "Equal opportunity difference",
    "worst_accuracy": "Worst-group accuracy",
    "accuracy_gap": "Accuracy gap",
}
Thresholds = float | Mapping[str, float]

_GAP_OF = {                                                          # the rates whose largest difference it is
    "demographic_parity": ("selection_rate",),
    "equalised_odds": ("true_positive_rate", "false_positive_rate"),
    "equal_opportunity": ("true_positive_rate",),
    "accuracy_gap": ("accuracy",),
}
_CHUNK = 1_000_000                                                   # resampled faces at once: 8 MB, and a moment
_TAIL = (1 - CONFIDENCE) / 2
_NEEDS = {                                                           # why a metric cannot be measured
    "accuracy": "no faces",
    "selection_rate": "no faces",
    "true_positive_rate": "no faces of class 1",
    "false_positive_rate": "no faces of class 0",
    "precision": "no face is given class 1",
    "auc": "faces of one class only",
    "calibration_error": "no faces",
}


@dataclass(frozen=True, eq=False)
class Groups:
    """One sensitive attribute: its title, the names of its groups, and each face's.

    codes: (n,) whole numbers, the position of a face's group among the names, -1 where it is unknown.
    """

    attribute: str
    names: tuple[str, ...]
    codes: np.ndarray

    def __post_init__(self) -> None:
        codes = np.asarray(self.codes)
        whole = codes.ndim == 1 and np.issubdtype(codes.dtype, np.integer)
        if not whole or (codes.size and not (codes.min() >= -1 and codes.max() < len(self.names))):
            raise Img2TabError(
                f"Groups of {self.attribute!r} must be whole numbers from -1 (unknown) to {len(self.names) - 1}, one "
                f"for each face, got {codes.dtype} {codes.shape}. Choose another column."
            )
        if len(set(self.names)) != len(self.names):
            raise Img2TabError(f"The groups of {self.attribute!r} must have different names, got {self.names}.")
        object.__setattr__(self, "names", tuple(self.names))
        object.__setattr__(self, "codes", read_only(codes.astype(np.int64)))


@dataclass(frozen=True)
class Measure:
    """A value and its 95 % interval.

    All three are None where it cannot be measured, and note says why; elsewhere a note says what to keep in mind.
    """

    value: float | None
    low: float | None
    high: float | None
    note: str = ""


@dataclass(frozen=True)
class Curve:
    """The corners of a ROC curve, from (0, 0) to (1, 1): false and true positive rates."""

    false_positive_rate: tuple[float, ...]
    true_positive_rate: tuple[float, ...]


@dataclass(frozen=True)
class Bin:
    """Faces whose probability lies in one tenth of 0..1: how many, their mean probability, their share of class 1.

    low and high: 95 % Wilson interval of the share, which stays honest where a bin has a few faces only.
    """

    count: int
    probability: float
    share: float
    low: float
    high: float


@dataclass(frozen=True)
class GroupAudit:
    """What the classifier does to one group.

    count and by_class (faces of class 0, of class 1) come first: all else rests on them. threshold: a face above it is
    given class 1; None for everyone where the groups have their own. measures: by the names of METRICS. roc: None where
    the group has faces of one class only. reliability: the bins that have faces.
    """

    name: str
    count: int
    by_class: tuple[int, int]
    threshold: float | None
    measures: dict[str, Measure]
    roc: Curve | None
    reliability: tuple[Bin, ...]

    @property
    def small(self) -> bool:
        """Too few faces to rely on: it is shown and flagged."""
        return self.count < SMALL


@dataclass(frozen=True)
class Audit:
    """What a classifier does to each group of some faces; computed once, then only read.

    attributes: what forms the groups, two where they are crossed. by_group: every group, also one without faces. gaps:
    by the names of GAPS. faces: measured on; unlabelled: left out as their label is unknown; ungrouped: left out as
    their label is known and their group is not. Intervals: 95 % percentiles over `repeats` resamples.
    """

    attributes: tuple[str, ...]
    faces: int
    unlabelled: int
    ungrouped: int
    overall: GroupAudit
    by_group: tuple[GroupAudit, ...]
    gaps: dict[str, Measure]
    repeats: int
    seed: int

    def group(self, name: str) -> GroupAudit:
        """The group of this name."""
        for one in (*self.by_group, self.overall):
            if one.name == name:
                return one
        raise Img2TabError(f"A group must be one of {'; '.join(one.name for one in self.by_group)}, got {name!r}.")

    def to_json(self) -> dict:
        """Plain types."""
        return plain(asdict(self))

    @classmethod
    def from_json(cls, stored: dict) -> Audit:
        """What `to_json` gave, as it was."""
        try:
            return cls(**stored | {
                "attributes": tuple(stored["attributes"]),
                "overall": _group_from(stored["overall"]),
                "by_group": tuple(map(_group_from, stored["by_group"])),
                "gaps": _measures_from(stored["gaps"]),
            })
        except (KeyError, TypeError, AttributeError) as error:
            raise Img2TabError(f"This is not an audit ({error}). Audit again.") from error

    def frame(self) -> pd.DataFrame:
        """One row per group, everyone last: counts first, then each metric with its interval, and the notes."""
        return pd.DataFrame([_row(one) for one in (*self.by_group, self.overall)])

    def gap_frame(self) -> pd.DataFrame:
        """One row per gap: value, interval, note."""
        return pd.DataFrame([
            {"gap": title, "value": _number(self.gaps[name].value), "low": _number(self.gaps[name].low),
             "high": _number(self.gaps[name].high), "note": self.gaps[name].note}
            for name, title in GAPS.items()
        ])


@dataclass(frozen=True)
class Cost:
    """What one choice of thresholds comes to; by the names of GAPS, None where a gap cannot be measured.

    thresholds: group name -> its threshold.
    """

    thresholds: dict[str, float]
    accuracy: float
    selection_rate: float
    gaps: dict[str, float | None]


@dataclass(frozen=True)
class GroupCost:
    """What each threshold of a grid does to one group; a rate is None where the group has no faces of its class."""

    name: str
    count: int
    accuracy: tuple[float | None, ...]
    selection_rate: tuple[float | None, ...]
    true_positive_rate: tuple[float | None, ...]
    false_positive_rate: tuple[float | None, ...]


@dataclass(frozen=True)
class ThresholdCost:
    """What thresholds cost.

    curve: for each threshold of the grid, the same for all groups; chosen: the ones asked about; standard: 0.5 for all.
    These are the numbers of the faces at hand, without intervals: `audit` with the same thresholds gives those.
    """

    faces: int
    grid: tuple[float, ...]
    curve: tuple[Cost, ...]
    by_group: tuple[GroupCost, ...]
    chosen: Cost
    standard: Cost

    def difference(self, name: str) -> float | None:
        """What the chosen thresholds change against 0.5: of accuracy, selection_rate or a gap; chosen minus 0.5."""
        chosen, standard = (_of_cost(cost, name) for cost in (self.chosen, self.standard))
        return None if chosen is None or standard is None else chosen - standard

    @property
    def sentence(self) -> str:
        """The cost in words."""
        if self.chosen.thresholds == self.standard.thresholds:
            return "This is the standard threshold, 0.5 for every group."
        moved = []
        for name, what in (("accuracy", "accuracy"), ("equalised_odds", "the equalised odds difference"),
                           ("demographic_parity", "the demographic parity difference")):
            change = self.difference(name)
            if change is not None:
                moved.append(f"{what} {_moved(change)} to {_percent(_of_cost(self.chosen, name))}")
        return f"Against 0.5 for every group, {_listed(moved)}."


@dataclass(frozen=True)
class Change:
    """A number before and after, once for each seed, and whether the difference is real.

    before, after: means with 95 % t-intervals; difference: of after minus before, seed by seed, with its interval.
    verdict: the plain words, such as "smaller gap, certain", "no clear change" or "worse". sentence: the same in full.
    """

    what: str
    smaller_is_better: bool
    pairs: tuple[tuple[float, float], ...]
    before: Estimate
    after: Estimate
    difference: Estimate
    verdict: str
    sentence: str

    def to_json(self) -> dict:
        """Plain types."""
        return plain(asdict(self))

    @classmethod
    def from_json(cls, stored: dict) -> Change:
        """What `to_json` gave, as it was."""
        try:
            before, after = ([pair[at] for pair in stored["pairs"]] for at in (0, 1))
            return change(before, after, smaller_is_better=stored["smaller_is_better"], what=stored["what"])
        except (KeyError, TypeError, IndexError) as error:
            raise Img2TabError(f"This is not a change ({error}). Compare again.") from error


def crossed(groups: Sequence[Groups]) -> Groups:
    """One attribute as it is, or two as one whose groups are all pairs: "perceived male, perceived young"."""
    if len(groups) not in (1, 2):
        raise Img2TabError(f"Groups must be formed by one or two attributes, got {len(groups)}. Choose one or two.")
    if len(groups) == 1:
        return groups[0]
    one, other = groups
    if one.codes.shape != other.codes.shape:
        raise Img2TabError(
            f"Both attributes must be known for the same faces, got {len(one.codes):,} and {len(other.codes):,}.")
    known = (one.codes >= 0) & (other.codes >= 0)
    return Groups(
        f"{one.attribute} × {other.attribute}",
        tuple(f"{first}, {second}" for first in one.names for second in other.names),
        np.where(known, one.codes * len(other.names) + other.codes, -1),
    )


def audit(
    labels: np.ndarray,
    probability: np.ndarray,
    groups: Sequence[Groups],
    *,
    thresholds: Thresholds = STANDARD,
    repeats: int = 1000,
    seed: int = 0,
    progress: Callable[[float, str], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Audit:
    """What a classifier does to each group, and how far the groups are apart.

    labels: (n,) of 0 and 1, -1 or NaN where unknown. probability: (n,) of class 1, what the classifier says. groups:
    one attribute, or two that are crossed, each of n faces. thresholds: a face whose probability is above it is given
    class 1; one for all, or one for each group by its name (of the crossed groups where two attributes are given).

    The values are Fairlearn's MetricFrame's. The intervals: each group is resampled by itself `repeats` times, as many
    faces as it has. A gap is the largest of several differences, and the percentiles of a largest difference never
    reach 0 even where groups are equal; so its interval comes from the signed differences of all pairs of groups: up
    to the furthest that any pair reaches, and down to the nearest to 0 that the clearest pair allows, at a level
    corrected for the number of pairs. The calibration error is biased upwards, the more the fewer faces: its interval
    is reflected about the value, which takes part of that off.

    A metric that cannot be measured in a group is None with a reason; a gap is then over the groups that have it, and
    its note names the others. progress: a share that only grows and a text; cancelled: once true, Cancelled is raised.
    """
    if not isinstance(repeats, Integral) or repeats < 40:
        raise Img2TabError(f"A 95 % interval needs at least 40 resamples, got {repeats}. Use 1000.")
    report = progress or (lambda fraction, text: None)
    faces = _faces(labels, probability, groups, thresholds)
    report(0.0, "Measuring every group")
    points = _points(faces)
    draws = _resampled(faces, repeats=int(repeats), seed=seed, report=report, cancelled=cancelled)
    by_group = tuple(
        _group_audit(name, faces, faces.parts[code], faces.cuts[name], points.values[code], draws[code])
        for code, name in enumerate(faces.names)
    )
    cuts = set(faces.cuts.values())
    overall = _group_audit(EVERYONE, faces, slice(0, len(faces.labels)), cuts.pop() if len(cuts) == 1 else None,
                           points.overall, draws[-1])
    report(1.0, "Audited")
    return Audit(
        attributes=tuple(one.attribute for one in groups), faces=len(faces.labels), unlabelled=faces.unlabelled,
        ungrouped=faces.ungrouped, overall=overall, by_group=by_group, gaps=_gaps(by_group, points, draws[:-1]),
        repeats=int(repeats), seed=int(seed),
    )


def threshold_cost(
    labels: np.ndarray,
    probability: np.ndarray,
    groups: Sequence[Groups],
    *,
    thresholds: Thresholds = STANDARD,
    grid: Sequence[float] = tuple(round(0.01 * step, 2) for step in range(101)),
) -> ThresholdCost:
    """What thresholds cost: accuracy, selection rate and gaps over a grid, and of the chosen ones against 0.5.

    Arguments as for `audit`. Fast enough to follow a slider.
    """
    faces = _faces(labels, probability, groups, thresholds)
    grid = tuple(float(cut) for cut in grid)
    if not grid or not all(0 <= cut <= 1 for cut in grid):
        raise Img2TabError(f"Thresholds of a grid must be between 0 and 1, got {grid[:5]}.")
    curves = [_confusions(faces, code, grid) for code in range(len(faces.names))]        # each (cuts, 4)
    rates = [{name: _rate(counts, name) for name in _RATES} for counts in curves]

    def cost(cuts: Mapping[str, float], counts: np.ndarray) -> Cost:                     # counts (groups, 4)
        tn, fp, _, tp = counts.sum(axis=0)
        return Cost(dict(cuts), float((tn + tp) / counts.sum()), float((fp + tp) / counts.sum()), _gap_values(counts))

    def at(cuts: Mapping[str, float]) -> Cost:
        return cost(cuts, np.concatenate([
            _confusions(faces, code, (cuts[name],)) for code, name in enumerate(faces.names)]))

    return ThresholdCost(
        faces=len(faces.labels), grid=grid,
        curve=tuple(cost(dict.fromkeys(faces.names, cut), np.stack([counts[step] for counts in curves]))
                    for step, cut in enumerate(grid)),
        by_group=tuple(
            GroupCost(name, _count(part), *(_optional(rate[one]) for one in _RATES))
            for name, part, rate in zip(faces.names, faces.parts, rates, strict=True)
        ),
        chosen=at(faces.cuts), standard=at(dict.fromkeys(faces.names, STANDARD)),
    )


def gaps_of(labels: np.ndarray, decisions: np.ndarray, codes: np.ndarray) -> dict[str, float | None]:
    """The gaps of decisions alone, by the names of GAPS, without intervals.

    labels and decisions: (n,) of 0 and 1; codes: (n,) group numbers from 0. None where fewer than two groups have what
    a gap is made of.
    """
    labels, decisions, codes = (np.asarray(one).astype(np.int64) for one in (labels, decisions, codes))
    kinds = np.bincount(4 * codes + 2 * labels + decisions, minlength=4 * (codes.max(initial=-1) + 1))
    return _gap_values(kinds.reshape(-1, 4))


def change(
    before: Sequence[float], after: Sequence[float], *, smaller_is_better: bool = True, what: str = "gap"
) -> Change:
    """Whether a number is really another one after than before.

    before, after: one value for each seed, in the same order: the seeds are paired. what: the thing in one word, for
    the verdict: "gap" where smaller is better, "accuracy" where larger is. Certain means that the whole 95 % t-interval
    of the differences lies on one side of 0. The interval says how much the seeds matter, not other test faces.
    """
    pairs = tuple((float(one), float(other)) for one, other in zip(before, after, strict=False))
    if not pairs or len(before) != len(after) or not np.isfinite(pairs).all():
        raise Img2TabError(
            f"There must be one number before and one after for each seed, got {len(before)} and {len(after)}.")
    old, new = np.array(pairs).T
    found = estimate((new - old).tolist())
    verdict, why = _verdict(new - old, found, smaller_is_better, what)
    return Change(
        what=what, smaller_is_better=smaller_is_better, pairs=pairs, before=estimate(old.tolist()),
        after=estimate(new.tolist()), difference=found, verdict=verdict, sentence=f"{_capital(verdict)}: {why}.",
    )


# --- the faces of an audit -------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Faces:
    """The faces that take part, by group and within a group by probability.

    labels int64 (n,), probability float64 (n,), decisions int64 (n,); parts: the slice of each group; cuts: its name ->
    its threshold.
    """

    names: tuple[str, ...]
    labels: np.ndarray
    probability: np.ndarray
    decisions: np.ndarray
    parts: tuple[slice, ...]
    cuts: dict[str, float]
    unlabelled: int
    ungrouped: int


def _faces(labels: np.ndarray, probability: np.ndarray, groups: Sequence[Groups], thresholds: Thresholds) -> _Faces:
    """Check everything once; the only check of the arguments."""
    formed = crossed(groups)
    labels, probability, codes = np.asarray(labels), np.asarray(probability, np.float64), formed.codes
    if labels.ndim != 1 or not labels.shape == probability.shape == codes.shape:
        raise Img2TabError(
            "There must be one label, one probability and one group for each face, got "
            f"{labels.shape}, {probability.shape} and {codes.shape}."
        )
    unknown = np.isnan(labels.astype(np.float64)) | (labels == -1)
    if not np.isin(labels[~unknown], (0, 1)).all():
        raise Img2TabError(f"Labels must be 0, 1 or -1 (unknown), got {np.unique(labels[~unknown])[:5].tolist()}.")
    rows = np.flatnonzero(~unknown & (codes >= 0))
    if not len(rows):
        raise Img2TabError(
            f"At least one face must have a known label and a known group of {formed.attribute!r}, got none of "
            f"{len(labels):,}. Choose another table or attribute."
        )
    used = probability[rows]
    if not ((used >= 0) & (used <= 1)).all():
        raise Img2TabError("Probabilities must be numbers between 0 and 1, got others. Predict again.")
    cuts = _cuts(formed.names, thresholds)
    rows = rows[np.lexsort((used, codes[rows]))]
    starts = np.searchsorted(codes[rows], np.arange(len(formed.names) + 1))
    above = probability[rows] > np.array([cuts[name] for name in formed.names])[codes[rows]]
    return _Faces(
        formed.names, labels[rows].astype(np.int64), probability[rows], above.astype(np.int64),
        tuple(slice(int(start), int(stop)) for start, stop in itertools.pairwise(starts)), cuts,
        unlabelled=int(unknown.sum()), ungrouped=int((~unknown & (codes < 0)).sum()),
    )


def _cuts(names: tuple[str, ...], thresholds: Thresholds) -> dict[str, float]:
    """Group name -> its threshold."""
    if isinstance(thresholds, Real):
        thresholds = dict.fromkeys(names, float(thresholds))
    if set(thresholds) != set(names):
        raise Img2TabError(
            f"There must be a threshold for each of {'; '.join(names)}, got {'; '.join(thresholds) or 'none'}.")
    if not all(0 <= cut <= 1 for cut in thresholds.values()):
        raise Img2TabError(f"Thresholds must be between 0 and 1, got {list(thresholds.values())}.")
    return {name: float(thresholds[name]) for name in names}


def _count(part: slice) -> int:
    return part.stop - part.start


# --- values ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Points:
    """What MetricFrame found; NaN where there is nothing to measure. values: one dict per group."""

    overall: dict[str, float]
    values: list[dict[str, float]]
    gaps: dict[str, float]


def _where(needed: Callable[[np.ndarray, np.ndarray], bool], metric: Callable) -> Callable:
    """The metric, NaN where what it needs is not there: the libraries say 0 or warn."""
    return lambda y_true, y_pred: float(metric(y_true, y_pred)) if needed(y_true, y_pred) else np.nan


def _calibration_error(labels: np.ndarray, probability: np.ndarray) -> float:
    """Mean distance of a bin's mean probability from its share of class 1, each bin by its faces."""
    at = _bin_of(probability)
    sums = [np.bincount(at, weights, minlength=BINS) for weights in (probability, labels)]
    return float(np.abs(sums[0] - sums[1]).sum() / len(labels))


_OF_DECISIONS = {
    "accuracy": accuracy_score,
    "selection_rate": selection_rate,
    "true_positive_rate": _where(lambda y, said: (y == 1).any(), true_positive_rate),
    "false_positive_rate": _where(lambda y, said: (y == 0).any(), false_positive_rate),
    "precision": _where(lambda y, said: (said == 1).any(), precision_score),
}
_OF_PROBABILITIES = {
    "auc": _where(lambda y, p: 0 < y.sum() < len(y), roc_auc_score),
    "calibration_error": _calibration_error,
}
_RATES = ("accuracy", "selection_rate", "true_positive_rate", "false_positive_rate")


def _points(faces: _Faces) -> _Points:
    codes = np.repeat(np.arange(len(faces.names)), [_count(part) for part in faces.parts])
    group = pd.Series(codes, name="group")
    frames = [
        MetricFrame(metrics=metrics, y_true=faces.labels, y_pred=said, sensitive_features=group)
        for metrics, said in ((_OF_DECISIONS, faces.decisions), (_OF_PROBABILITIES, faces.probability))
    ]
    found = pd.concat([frame.by_group for frame in frames], axis=1).astype(np.float64)   # a group without faces: no row
    overall = pd.concat([frame.overall for frame in frames]).astype(np.float64)
    far = frames[0].difference(method="between_groups")
    gaps = {name: max(float(far[rate]) for rate in rates) for name, rates in _GAP_OF.items()}
    gaps["worst_accuracy"] = float(frames[0].group_min()["accuracy"])
    empty = dict.fromkeys(METRICS, np.nan)
    return _Points(
        {name: float(overall[name]) for name in METRICS},
        [found.loc[code].to_dict() if code in found.index else empty for code in range(len(faces.names))],
        gaps,
    )


def _confusions(faces: _Faces, code: int, cuts: Sequence[float]) -> np.ndarray:
    """Of one group at each threshold: tn, fp, fn, tp; int64 (cuts, 4)."""
    part = faces.parts[code]
    counts = []
    for c in (0, 1):
        ranked = faces.probability[part][faces.labels[part] == c]                        # ascending, as `_Faces` is
        below = np.searchsorted(ranked, cuts, side="right")
        counts += [below, len(ranked) - below]
    return np.stack(counts, axis=1)


def _rate(counts: np.ndarray, name: str) -> np.ndarray:
    """A rate of confusions (..., 4) of tn, fp, fn, tp; float64 (...), NaN where it has no faces."""
    tn, fp, fn, tp = np.moveaxis(counts.astype(np.float64), -1, 0)
    part, whole = {
        "accuracy": (tn + tp, tn + fp + fn + tp),
        "selection_rate": (fp + tp, tn + fp + fn + tp),
        "true_positive_rate": (tp, fn + tp),
        "false_positive_rate": (fp, tn + fp),
        "precision": (tp, fp + tp),
    }[name]
    return np.divide(part, whole, out=np.full(np.shape(whole), np.nan), where=whole > 0)


def _gap_values(counts: np.ndarray) -> dict[str, float | None]:
    """The gaps between groups of confusions (groups, 4)."""
    def far(name: str) -> float:
        values = _rate(counts, name)
        known = values[~np.isnan(values)]
        return float(np.ptp(known)) if len(known) > 1 else np.nan

    found = {name: max((far(rate) for rate in rates), key=lambda value: (np.isnan(value), value))
             for name, rates in _GAP_OF.items()}
    accuracy = _rate(counts, "accuracy")
    found["worst_accuracy"] = float(np.nanmin(accuracy)) if np.isfinite(accuracy).sum() > 1 else np.nan
    return {name: _optional([found[name]])[0] for name in GAPS}


# --- intervals -------------------------------------------------------------------------------------------


def _resampled(
    faces: _Faces,
    *,
    repeats: int,
    seed: int,
    report: Callable[[float, str], None],
    cancelled: Callable[[], bool] | None,
) -> list[dict[str, np.ndarray]]:
    """Every metric of every resample, for each group and last for everyone; float64 (repeats,), NaN where undefined."""
    rng, n = np.random.default_rng(seed), len(faces.labels)
    whole = slice(0, n)
    counted = [_Counted(faces, part) for part in (*faces.parts, whole)]
    found: list[list[dict[str, np.ndarray]]] = [[] for _ in counted]
    step = max(1, _CHUNK // n)
    for start in range(0, repeats, step):
        if cancelled is not None and cancelled():
            raise Cancelled("The audit was stopped; nothing was changed.")
        size = min(step, repeats - start)
        times = np.empty((size, n))                                  # how often each resample has each face
        for part in faces.parts:
            times[:, part] = _times(rng, size, _count(part))
        for one, part, results in zip(counted, (*faces.parts, whole), found, strict=True):
            results.append(one.measured(times[:, part]))
        report(0.98 * (start + size) / repeats, f"{start + size:,} of {repeats:,} resamples")
    return [{name: np.concatenate([chunk[name] for chunk in chunks]) for name in METRICS} for chunks in found]


def _times(rng: np.random.Generator, size: int, n: int) -> np.ndarray:
    """How often each of n faces is drawn when n are drawn with replacement, `size` times over; int64 (size, n)."""
    drawn = rng.integers(n, size=(size, n)) if n else np.empty((size, 0), np.int64)
    drawn += n * np.arange(size)[:, None]
    return np.bincount(drawn.ravel(), minlength=size * n).reshape(size, n)


class _Counted:
    """Some faces prepared so that all their metrics follow from how often each of them was drawn."""

    def __init__(self, faces: _Faces, part: slice) -> None:
        labels, probability = faces.labels[part], faces.probability[part]
        n = len(labels)
        self.n = n
        kinds, at = 2 * labels + faces.decisions[part], _bin_of(probability)
        self.columns = np.zeros((n, 4 + BINS))                       # tn, fp, fn, tp; per bin: probability - label
        self.columns[np.arange(n), kinds] = 1
        self.columns[np.arange(n), 4 + at] = probability - labels
        self.order = np.argsort(probability, kind="stable")
        self.ones = labels[self.order].astype(np.float64)
        self.starts = np.flatnonzero(np.diff(probability[self.order], prepend=-1) > 0)   # of equal probabilities

    def measured(self, times: np.ndarray) -> dict[str, np.ndarray]:
        """times float64 (b, n) -> every metric, float64 (b,)."""
        sums = times @ self.columns                                  # (b, 4 + bins)
        found = {name: _rate(sums[:, :4], name) for name in _OF_DECISIONS}
        far = np.abs(sums[:, 4:]).sum(axis=1)
        found["calibration_error"] = far / self.n if self.n else np.full(len(times), np.nan)
        found["auc"] = self._auc(times)
        return found

    def _auc(self, times: np.ndarray) -> np.ndarray:
        """Share of pairs of the two classes in the right order, ties half; float64 (b,)."""
        if not self.n:
            return np.full(len(times), np.nan)
        times = times[:, self.order]
        ones = np.add.reduceat(times * self.ones, self.starts, axis=1)                   # (b, different probabilities)
        zeros = np.add.reduceat(times * (1 - self.ones), self.starts, axis=1)
        below = np.cumsum(zeros, axis=1)
        pairs = ones.sum(axis=1) * below[:, -1]
        right = (ones * (below - zeros / 2)).sum(axis=1)
        return np.divide(right, pairs, out=np.full(len(times), np.nan), where=pairs > 0)


def _measure(value: float, draws: np.ndarray, *, why: str, reflected: bool) -> Measure:
    """A metric of a group with its percentile interval; draws (repeats,); why it is not there where it is NaN."""
    if np.isnan(value):
        return Measure(None, None, None, why)
    known = draws[~np.isnan(draws)]
    if not len(known):
        return Measure(value, None, None, "no resample could be measured")
    low, high = (float(bound) for bound in np.quantile(known, (_TAIL, 1 - _TAIL)))
    if reflected:
        low, high = max(2 * value - high, 0.0), max(2 * value - low, 0.0)
    note = ""
    if len(known) < len(draws):
        note = f"{len(known):,} of {len(draws):,} resamples could be measured"
    elif low == high:
        note = "every resample gives the same, which does not make it certain"
    return Measure(value, min(low, value), max(high, value), note)


def _gaps(by_group: tuple[GroupAudit, ...], points: _Points, draws: list[dict[str, np.ndarray]]) -> dict[str, Measure]:
    return {name: _gap(name, by_group, points.gaps[name], draws) for name in GAPS}


def _gap(
    name: str, by_group: tuple[GroupAudit, ...], value: float, draws: list[dict[str, np.ndarray]]
) -> Measure:
    """One gap; draws: the metrics' resamples of each group."""
    rates = _GAP_OF.get(name, ("accuracy",))
    known = {rate: [code for code, one in enumerate(by_group) if one.measures[rate].value is not None]
             for rate in rates}
    for rate in rates:
        if len(known[rate]) < 2:
            why = "there are no others" if len(by_group) < 2 else f"the others have {_NEEDS[rate]}"
            return Measure(None, None, None, f"at least two groups are needed, and {why}" if known[rate] else
                           f"no group has it: {_NEEDS[rate]}")
    if name == "worst_accuracy":
        each = np.stack([draws[code]["accuracy"] for code in known["accuracy"]])         # (groups, repeats)
        low = float(np.quantile(each, _TAIL / len(each), axis=1).min())
        high = float(np.quantile(each, 1 - _TAIL, axis=1).min())
    else:
        low, high = _furthest(np.stack([
            draws[one][rate] - draws[other][rate]
            for rate in rates for one, other in itertools.combinations(known[rate], 2)
        ]))
    used = sorted({code for codes in known.values() for code in codes})
    return Measure(value, min(low, value), max(high, value), _gap_note(by_group, known, used))


def _furthest(differences: np.ndarray) -> tuple[float, float]:
    """The interval of the largest of several sizes, from the resamples of each signed difference, (pairs, repeats)."""
    tail = _TAIL / len(differences)                                  # Bonferroni: one clear pair among many is luck
    below, above = np.nanquantile(differences, (tail, 1 - tail), axis=1)
    nearest = np.where((below <= 0) & (above >= 0), 0, np.minimum(np.abs(below), np.abs(above)))
    return float(nearest.max()), float(np.abs(np.nanquantile(differences, (_TAIL, 1 - _TAIL), axis=1)).max())


def _gap_note(by_group: tuple[GroupAudit, ...], known: dict[str, list[int]], used: list[int]) -> str:
    """What to keep in mind: the groups that a gap leaves out, the small ones it rests on."""
    notes = []
    for code, one in enumerate(by_group):
        reasons = dict.fromkeys(one.measures[rate].note for rate, codes in known.items() if code not in codes)
        if reasons:
            notes.append(f"without {one.name} ({', '.join(reasons)})")
    small = [by_group[code].name for code in used if by_group[code].small]
    if small:
        notes.append(f"fewer than {SMALL} faces: {'; '.join(small)}")
    return "; ".join(notes)


# --- one group -------------------------------------------------------------------------------------------


def _group_audit(
    name: str, faces: _Faces, part: slice, threshold: float | None, values: dict[str, float],
    draws: dict[str, np.ndarray],
) -> GroupAudit:
    labels, probability = faces.labels[part], faces.probability[part]
    ones = int(labels.sum())
    return GroupAudit(
        name=name, count=len(labels), by_class=(len(labels) - ones, ones), threshold=threshold,
        measures={metric: _measure(values[metric], draws[metric], why=_NEEDS[metric] if len(labels) else "no faces",
                                   reflected=metric == "calibration_error") for metric in METRICS},
        roc=_roc(labels, probability) if 0 < ones < len(labels) else None,
        reliability=_reliability(labels, probability),
    )


def _roc(labels: np.ndarray, probability: np.ndarray) -> Curve:
    false_positives, true_positives, _ = roc_curve(labels, probability)
    return Curve(tuple(false_positives.tolist()), tuple(true_positives.tolist()))


def _reliability(labels: np.ndarray, probability: np.ndarray) -> tuple[Bin, ...]:
    at, bins = _bin_of(probability), []
    for number in np.unique(at):
        inside = at == number
        count, ones = int(inside.sum()), int(labels[inside].sum())
        interval = binomtest(ones, count).proportion_ci(CONFIDENCE, method="wilson")
        bins.append(Bin(count, float(probability[inside].mean()), ones / count, float(interval.low),
                        float(interval.high)))
    return tuple(bins)


def _bin_of(probability: np.ndarray) -> np.ndarray:
    """Which of the bins, 0 to 9; int64 (n,)."""
    return np.minimum((probability * BINS).astype(np.int64), BINS - 1)


# --- words and plain types -------------------------------------------------------------------------------


def _verdict(differences: np.ndarray, found: Estimate, smaller_is_better: bool, what: str) -> tuple[str, str]:
    """The plain words, and what they rest on."""
    moved = f"{what} {_moved(found.mean)}"
    if found.low is None:
        return "one seed cannot tell", f"{moved} with this seed; repeat it with at least two, better five"
    over = f"on average over {len(differences)} seeds"
    if np.ptp(differences) < 1e-12:
        if abs(found.mean) < 1e-12:
            return "no clear change", f"{what} is the same before and after for each of {len(differences)} seeds"
        return "the seeds cannot tell", f"{moved} by exactly the same for each of {len(differences)} seeds"
    why = f"{moved} {over}, 95 % interval {_points_of(found.low)} to {_points_of(found.high)} points"
    if found.low <= 0 <= found.high:
        return "no clear change", why
    if (found.high < 0) == smaller_is_better:
        return f"{'smaller' if smaller_is_better else 'higher'} {what}, certain", why
    return "worse", f"{why}, certain"


def _moved(difference: float) -> str:
    """0.031 -> "goes up by 3.1 points"."""
    if abs(difference) < 5e-4:
        return "does not move"
    return f"goes {'up' if difference > 0 else 'down'} by {abs(100 * difference):.1f} points"


def _points_of(difference: float) -> str:
    """-0.021 -> "−2.1", with a true minus sign."""
    text = f"{abs(100 * difference):.1f}"
    return text if float(text) == 0 else ("+" if difference > 0 else "\N{MINUS SIGN}") + text


def _percent(share: float) -> str:
    return f"{100 * share:.1f}\N{NO-BREAK SPACE}%"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _listed(parts: list[str]) -> str:
    """Three parts -> "a, b and c"."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _of_cost(cost: Cost, name: str) -> float | None:
    return cost.gaps[name] if name in cost.gaps else getattr(cost, name)


def _optional(values: Sequence[float]) -> tuple[float | None, ...]:
    """NaN becomes None."""
    return tuple(None if np.isnan(value) else float(value) for value in values)


def _number(value: float | None) -> float:
    return np.nan if value is None else value


def _row(one: GroupAudit) -> dict:
    row: dict[str, object] = {
        "group": one.name, "faces": one.count, "class 0": one.by_class[0], "class 1": one.by_class[1],
        "small": one.small, "threshold": _number(one.threshold),
    }
    for name, title in METRICS.items():
        measure = one.measures[name]
        row |= {title: _number(measure.value), f"{title}, low": _number(measure.low),
                f"{title}, high": _number(measure.high)}
    notes = [f"{METRICS[name]}: {measure.note}" for name, measure in one.measures.items() if measure.note]
    return row | {"note": "; ".join(notes)}


def _group_from(stored: dict) -> GroupAudit:
    return GroupAudit(**stored | {
        "by_class": tuple(stored["by_class"]),
        "measures": _measures_from(stored["measures"]),
        "roc": None if stored["roc"] is None else Curve(*(tuple(stored["roc"][name]) for name in (
            "false_positive_rate", "true_positive_rate"))),
        "reliability": tuple(Bin(**one) for one in stored["reliability"]),
    })


def _measures_from(stored: dict) -> dict[str, Measure]:
    return {name: Measure(**one) for name, one in stored.items()}

"""The rates of a group and the gaps between groups, from counts of right and wrong decisions.

The words: a gap is a difference between groups; nothing here says that a classifier is fair.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from img2tab_core.base.intervals import wilson

BINS = 10  # of equal width

MEANINGS = {  # of a gap -> what it is, in words
    "demographic_parity": "the largest difference between groups in how often class 1 is given",
    "equalised_odds": "the larger of the largest differences between groups in true and in false positive rate",
    "equal_opportunity": "the largest difference between groups in true positive rate",
    "worst_accuracy": "the accuracy in the group where it is lowest",
    "accuracy_gap": "the largest difference between groups in accuracy",
}

METRICS = {  # of a group -> the title a person reads
    "accuracy": "Accuracy",
    "selection_rate": "Selection rate",
    "true_positive_rate": "True positive rate",
    "false_positive_rate": "False positive rate",
    "precision": "Precision",
    "auc": "AUC",
    "calibration_error": "Calibration error",
}
GAPS = {  # between groups -> the title a person reads
    "demographic_parity": "Demographic parity difference",
    "equalised_odds": "Equalised odds difference",
    "equal_opportunity": "Equal opportunity difference",
    "worst_accuracy": "Worst-group accuracy",
    "accuracy_gap": "Accuracy gap",
}
RATES = ("accuracy", "selection_rate", "true_positive_rate", "false_positive_rate", "precision")  # from counts
HEADLINE = "equalised_odds"  # the one of GAPS that is named where there is room for one
RATES_OF_GAP = {  # the rates whose largest difference it is
    "demographic_parity": ("selection_rate",),
    "equalised_odds": ("true_positive_rate", "false_positive_rate"),
    "equal_opportunity": ("true_positive_rate",),
    "accuracy_gap": ("accuracy",),
}
_RATES_IN_GAPS = tuple(dict.fromkeys(rate for rates in RATES_OF_GAP.values() for rate in rates))
NEEDS = {  # why a metric cannot be measured
    "accuracy": "no faces",
    "selection_rate": "no faces",
    "true_positive_rate": "no faces of class 1",
    "false_positive_rate": "no faces of class 0",
    "precision": "no face is given class 1",
    "auc": "faces of one class only",
    "calibration_error": "no faces",
}


def gaps_of(labels: np.ndarray, decisions: np.ndarray, codes: np.ndarray) -> dict[str, float | None]:
    """The gaps of decisions alone, by the names of GAPS, without intervals.

    labels and decisions: (n,) of 0 and 1; codes: (n,) group numbers from 0. None where fewer than two groups have what
    a gap is made of.
    """
    labels, decisions, codes = (np.asarray(given).astype(np.int64) for given in (labels, decisions, codes))
    kinds = np.bincount(4 * codes + 2 * labels + decisions, minlength=4 * (codes.max(initial=-1) + 1))
    return gaps_of_counts(kinds.reshape(-1, 4))


def gaps_of_counts(counts: np.ndarray) -> dict[str, float | None]:
    """The gaps between groups of confusions (groups, 4) of tn, fp, fn, tp; None where it cannot be measured."""
    return {name: optional([float(value)])[0] for name, value in gap_values(counts).items()}


def gap_values(counts: np.ndarray) -> dict[str, np.ndarray]:
    """The gaps between groups of confusions (groups, ..., 4); float64 (...) by the names of GAPS, NaN where undefined.

    counts: of tn, fp, fn, tp on the last axis; the axes between are many confusions at once.
    """
    rates = {name: rate_of(counts, name) for name in _RATES_IN_GAPS}  # each (groups, ...)
    shared = {name: (~np.isnan(values)).sum(axis=0) > 1 for name, values in rates.items()}  # by two groups or more
    far = {
        name: np.where(shared[name], np.fmax.reduce(values, axis=0) - np.fmin.reduce(values, axis=0), np.nan)
        for name, values in rates.items()
    }
    gaps = {name: np.maximum.reduce([far[rate] for rate in rates_of]) for name, rates_of in RATES_OF_GAP.items()}
    gaps["worst_accuracy"] = np.where(shared["accuracy"], np.fmin.reduce(rates["accuracy"], axis=0), np.nan)
    return {name: gaps[name] for name in GAPS}


def rate_of(counts: np.ndarray, name: str) -> np.ndarray:
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


def optional(values: Iterable[float]) -> tuple[float | None, ...]:
    """NaN becomes None."""
    return tuple(None if np.isnan(value) else float(value) for value in values)


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


def reliability(labels: np.ndarray, probability: np.ndarray) -> tuple[Bin, ...]:
    """The bins that have faces, ascending; labels of 0 and 1 and probabilities, (n,)."""
    at, bins = bin_of(probability), []
    for number in np.unique(at):
        inside = at == number
        count, ones = int(inside.sum()), int(labels[inside].sum())
        bins.append(Bin(count, float(probability[inside].mean()), ones / count, *wilson(ones, count)))
    return tuple(bins)


def calibration_error(labels: np.ndarray, probability: np.ndarray) -> float:
    """Mean distance of a bin's mean probability from its share of class 1, each bin by its faces."""
    at = bin_of(probability)
    sums = [np.bincount(at, weights, minlength=BINS) for weights in (probability, labels)]
    return float(np.abs(sums[0] - sums[1]).sum() / len(labels))


def bin_of(probability: np.ndarray) -> np.ndarray:
    """Which of the bins, 0 to 9; int64 (n,)."""
    return np.minimum((probability * BINS).astype(np.int64), BINS - 1)

"""Calibration: the probabilities of ten bins of equal width beside the share of class 1 in each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest

from img2tab_core.comparison import CONFIDENCE

BINS = 10                                                            # of equal width


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
        interval = binomtest(ones, count).proportion_ci(CONFIDENCE, method="wilson")
        bins.append(Bin(count, float(probability[inside].mean()), ones / count, float(interval.low),
                        float(interval.high)))
    return tuple(bins)


def calibration_error(labels: np.ndarray, probability: np.ndarray) -> float:
    """Mean distance of a bin's mean probability from its share of class 1, each bin by its faces."""
    at = bin_of(probability)
    sums = [np.bincount(at, weights, minlength=BINS) for weights in (probability, labels)]
    return float(np.abs(sums[0] - sums[1]).sum() / len(labels))


def bin_of(probability: np.ndarray) -> np.ndarray:
    """Which of the bins, 0 to 9; int64 (n,)."""
    return np.minimum((probability * BINS).astype(np.int64), BINS - 1)

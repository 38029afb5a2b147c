"""Intervals: of a share (Wilson), and of a mean over repeated measurements (Student)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.later import later

if TYPE_CHECKING:
    from scipy import stats
else:
    stats = later("scipy.stats")

CONFIDENCE = 0.95


def wilson(right: int, count: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Wilson score interval of the share right / count, within [0, 1]; 95 % if not said otherwise.

    Source: Wilson 1927, "Probable inference, the law of succession, and statistical inference". Raises Img2TabError
    where right is not between 0 and count, or count is 0.
    """
    if not 0 <= right <= count or count < 1:
        raise Img2TabError(f"A share needs 0 <= right <= count and count >= 1, got {right} of {count}.")
    low, high = stats.binomtest(right, count).proportion_ci(confidence, method="wilson")
    return float(low), float(high)


@dataclass(frozen=True)
class Estimate:
    """Mean over the seeds and its 95 % t-interval; low and high are None for one seed, all three for none."""

    mean: float | None
    low: float | None
    high: float | None

    @property
    def half(self) -> float | None:
        """Half of the interval; None where there is none."""
        return None if self.high is None or self.mean is None else self.high - self.mean

    def text(self, scale: float, digits: int) -> str | None:
        """ "93.1 ± 0.4", without the second part for one seed; None for none."""
        if self.mean is None:
            return None
        half = "" if self.half is None else f" ± {scale * self.half:.{digits}f}"
        return f"{scale * self.mean:.{digits}f}{half}"


def estimate(values: Sequence[float | None]) -> Estimate:
    """Mean and 95 % t-interval of the values that are there; None among them is left out."""
    known = np.array([value for value in values if value is not None], np.float64)
    if not len(known):
        return Estimate(None, None, None)
    mean = float(known.mean())
    if len(known) == 1:
        return Estimate(mean, None, None)
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, len(known) - 1) * known.std(ddof=1) / np.sqrt(len(known)))
    return Estimate(mean, mean - half, mean + half)

"""How near a run that was trained again comes to the one it repeats, where no training comes out the same twice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from img2tab_core.audits.groups import STANDARD
from img2tab_core.base.records import Metrics
from img2tab_core.base.words import percent
from img2tab_core.sessions.session_records import is_number

# The tolerances: about three times what the seed alone changes. Measured on the default table, two targets with 2,851
# and 2,654 test faces and three seeds each: two seeds decide 98.8 to 99.7 % of the faces alike, their accuracies are at
# most 0.25 points apart and their areas under the curve 0.0003. The splits of a card, which look at every channel,
# bring a classifier no further from the processor's.
ALIKE = 0.97  # share of the test faces that must be decided alike
ACCURACY = 0.01  # the accuracies may be so far apart
AUC = 0.005  # and so far the areas under the curve


@dataclass(frozen=True)
class Nearness:
    """near: whether a run is within the tolerance of the one it repeats; sentence: what was compared, and how near."""

    near: bool
    sentence: str


@dataclass(frozen=True)
class Repetition:
    """What came of repeating a run.

    same: whether it is the same model to the last bit, None where it is not known which model it should be. near:
    whether it is within the tolerance of the first, None where they were not compared. sentence: the same in words.
    """

    same: bool | None
    near: bool | None
    sentence: str


def of_answers(labels: np.ndarray, first: np.ndarray, again: np.ndarray) -> Nearness:
    """Compare the answers of both models on the same test faces.

    labels: (n,) of 0 and 1; first, again: float64 (n,), probability of class 1. At least ALIKE of the faces must be
    decided alike, and the accuracies may differ by ACCURACY.
    """
    decided = [probability > STANDARD for probability in (first, again)]
    alike, count = int((decided[0] == decided[1]).sum()), len(labels)
    accuracies = [float((decisions == (labels == 1)).mean()) for decisions in decided]
    near = alike >= ALIKE * count and _within(accuracies[0], accuracies[1], ACCURACY)
    return _nearness(
        near,
        f"{alike:,} of {count:,} test faces are decided alike ({percent(alike / count)}, at least "
        f"{percent(ALIKE, 0)} must be), probabilities differ by {np.abs(again - first).mean():.3f} on average, and "
        f"{_accuracy(*accuracies)}",
    )


def of_metrics(noted: Mapping[str, object], again: Metrics) -> Nearness | None:
    """Compare what was measured on the test faces, where the first model is not here.

    noted: "accuracy" and "auc" of the first model. None where they were not noted.
    """
    accuracy, auc = noted.get("accuracy"), noted.get("auc")
    if not is_number(accuracy) or not is_number(auc):
        return None
    near = _within(accuracy, again.accuracy, ACCURACY) and _within(auc, again.auc, AUC)
    return _nearness(
        near,
        f"of the first model only what was measured is here: on {again.count:,} test faces its "
        f"{_accuracy(accuracy, again.accuracy)}, its AUC was {auc:.3f} and is {again.auc:.3f} (at most {AUC} apart)",
    )


def _accuracy(first: float, again: float) -> str:
    return f"accuracy was {percent(first)} and is {percent(again)} (at most {100 * ACCURACY:.0f} point apart)"


def _within(first: float, again: float, tolerance: float) -> bool:
    return abs(again - first) <= tolerance + 1e-9  # a difference of two shares is not exact


def _nearness(near: bool, compared: str) -> Nearness:
    return Nearness(near, f"{'Within' if near else 'Outside'} the tolerance: {compared}.")

"""A classifier whose log-odds are made to fit photos, and how the two numbers for that are fitted (Platt 1999)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, logit

from img2tab_core.base.errors import Img2TabError
from img2tab_core.classifiers.base import Cancel, ConceptClassifier, Report, two_columns
from img2tab_core.classifiers.runs import Run
from img2tab_core.tables.calibrations import Calibration

FEWEST = 10  # photos of each class that two numbers are fitted on
CERTAIN = 1e-6  # nearer to 0 or 1 a probability has no log-odds worth fitting
FOLDS = 10  # of a cross-validation


class Calibrated(ConceptClassifier):
    """Another classifier with its log-odds made to fit photos; trained it was before, and saved it is not."""

    def __init__(self, model: ConceptClassifier, calibration: Calibration) -> None:
        self.model, self.calibration = model, calibration
        self.kind, self.file, self.library = model.kind, model.file, model.library  # type: ignore[misc]
        self.measures, self.explains = model.measures, model.explains  # type: ignore[misc]
        self.excluded, self.screen = model.excluded, model.screen
        self.random_state, self.thread_count = model.random_state, model.thread_count
        self.screened_, self.classes_ = model.screened_, model.classes_
        self.n_features_in_, self.erasure_ = model.n_features_in_, model.erasure_

    def _train(
        self,
        codes: np.ndarray,
        y: np.ndarray,
        weights: np.ndarray | None,
        used: np.ndarray,
        width: int,
        report: Report,
        cancelled: Cancel,
    ) -> None:
        raise Img2TabError("A calibrated classifier is not trained: train one, then calibrate it.")

    def _probabilities(self, codes: np.ndarray) -> np.ndarray:
        return two_columns(self.calibration.chance(self.model._probabilities(codes)[:, 1]))

    def importances(self, by: str) -> np.ndarray:
        return self.model.importances(by)

    def contributions(self, codes: np.ndarray) -> np.ndarray:
        added = self.calibration.slope * self.model.contributions(codes)
        added[:, -1] += self.calibration.offset
        return added

    def write(self, file: Path) -> None:
        raise Img2TabError("A calibrated classifier is not saved: save the one it was made from.")

    def read(self, file: Path) -> None:
        raise Img2TabError("A calibrated classifier is not opened: open the one it was made from.")


def calibrated(run: Run, calibration: Calibration | None) -> Run:
    """The same run for photos: its log-odds are calibrated, all else is as it was; the run itself where there is
    none."""
    if calibration is None:
        return run
    model: Any = Calibrated(run.classifier, calibration)
    return replace(run, id=f"{run.id}@{calibration.key[:12]}", classifier=model)


def fit_calibration(probability: np.ndarray, truth: np.ndarray, *, kind: str, source: str, day: str) -> Calibration:
    """The slope and offset with the least log-loss on photos (Platt 1999).

    probability: of class 1 as the classifier says it, (n,); truth: 0 or 1, (n,). A truth counts as 1 - 1 / (n1 + 2)
    instead of 1 and as 1 / (n0 + 2) instead of 0, as Platt has it, so that a classifier that is always right is not
    made certain. Raises Img2TabError where a class has fewer than ten photos, or the higher probabilities go with
    class 0.
    """
    check_counts(truth)
    slope, offset = _fitted(probability, truth)
    if slope <= 0:
        raise Img2TabError(
            "The classifier's probability must be higher for photos of the second class than for those of the first, "
            "got the opposite. See whether the labels are the wrong way round."
        )
    return Calibration(kind, slope, offset, len(truth), source, day)


def cross_validated(probability: np.ndarray, truth: np.ndarray, people: np.ndarray | None = None) -> np.ndarray:
    """Calibrated probability of every photo, by two numbers fitted without it; float64 (n,).

    Ten folds with as equal a share of both classes as can be (fewer where a class has fewer photos). people: (n,), who
    is in a photo: all photos of a person fall into one fold. Raises Img2TabError as `fit_calibration` does for counts.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    check_counts(truth)
    people = np.arange(len(truth)) if people is None else np.unique(people, return_inverse=True)[1]
    folds = min(FOLDS, *(len(np.unique(people[truth == which])) for which in (0, 1)))
    chance = np.empty(len(truth))
    split = StratifiedGroupKFold(max(folds, 2), shuffle=True, random_state=0).split(people, truth, people)
    for seen, unseen in split:
        slope, offset = _fitted(probability[seen], truth[seen])
        chance[unseen] = expit(slope * _log_odds(probability[unseen]) + offset)
    return chance


def check_counts(truth: np.ndarray) -> None:
    """Raises Img2TabError where a class has fewer than ten photos."""
    zeros, ones = int((truth == 0).sum()), int((truth == 1).sum())
    if min(zeros, ones) < FEWEST:
        raise Img2TabError(
            f"A calibration needs {FEWEST} photos of each class, got {zeros} of the first and {ones} of the second. "
            "Bring more photos."
        )


def _log_odds(probability: np.ndarray) -> np.ndarray:
    return logit(np.clip(probability, CERTAIN, 1 - CERTAIN))


def _fitted(probability: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    odds, ones = _log_odds(np.asarray(probability, np.float64)), int(truth.sum())
    wanted = np.where(truth == 1, (ones + 1) / (ones + 2), 1 / (len(truth) - ones + 2))

    def loss(at: np.ndarray) -> tuple[float, np.ndarray]:
        x = at[0] * odds + at[1]
        off = (expit(x) - wanted) / len(odds)
        return float(np.mean(np.logaddexp(0, x) - wanted * x)), np.array([off @ odds, off.sum()])

    slope, offset = minimize(loss, np.array([1.0, 0.0]), jac=True, method="BFGS").x
    return float(slope), float(offset)

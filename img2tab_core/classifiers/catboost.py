"""Boosted trees by CatBoost, the standing classifier: many shallow trees that look at a few channels each."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import numpy as np

from img2tab_core.classifiers.base import (
    Cancel,
    ConceptClassifier,
    Report,
    check_share,
    check_whole,
    imported,
)
from img2tab_core.errors import Cancelled

TRIED_PER_SPLIT = 100  # channels one split chooses from, drawn anew each time
BINS = 32              # values a channel is rounded to while training
# what decides a model beside its parameters
RECIPE = f"catboost {version('catboost')}, {TRIED_PER_SPLIT} tried, {BINS} bins"
TITLE = "CatBoost"


class CatBoostConcepts(ConceptClassifier):
    """The same classifier bit for bit on any number of threads.

    After `fit` also booster_, the CatBoost model, whose channels keep their numbers 0 .. D - 1. Importance is
    CatBoost's PredictionValuesChange: how much the prediction changes on average when the channel does.

    The defaults: labels of faces are nearly linear in w, and many shallow trees that look at a few channels each suit
    that better, and train faster, than a few deep ones that look at all.
    """

    kind, file, library, measures, explains = "catboost", "model.cbm", "catboost", ("prediction_values_change",), True

    def __init__(
        self,
        *,
        iterations: int = 1000,
        depth: int = 3,
        learning_rate: float = 0.05,
        excluded: frozenset[int] = frozenset(),
        screen: int | None = 2048,
        random_state: int = 0,
        thread_count: int = -1,
    ) -> None:
        self.iterations = iterations
        self.depth = depth
        self.learning_rate = learning_rate
        self.excluded = excluded
        self.screen = screen
        self.random_state = random_state
        self.thread_count = thread_count

    def _check_parameters(self) -> None:
        check_whole(self, "iterations", 1, 100_000)
        check_whole(self, "depth", 1, 16)
        check_share(self, "learning_rate")
        super()._check_parameters()

    def _train(
        self, codes: np.ndarray, y: np.ndarray, used: np.ndarray, width: int, report: Report, cancelled: Cancel
    ) -> None:
        catboost = imported("catboost", title=TITLE)
        booster = catboost.CatBoostClassifier(
            loss_function="Logloss",
            iterations=self.iterations,
            depth=self.depth,
            learning_rate=self.learning_rate,
            random_seed=self.random_state,
            thread_count=self.thread_count,
            border_count=BINS,
            leaf_estimation_iterations=1,  # ten, the default here, cost up to a third more and were no better
            rsm=min(1.0, TRIED_PER_SPLIT / len(used)),
            # At full width and with the others ignored, channels keep their numbers in the saved model. Measured on
            # 8,000 x 6,752: CatBoost takes a column-major float32 matrix without copying it (0.01 s) and trains as
            # fast as on the 1,024 used columns alone, to the same bits; the price is the memory of the zeros.
            ignored_features=np.setdiff1d(np.arange(width), used).tolist(),
            boosting_type="Plain",
            allow_writing_files=False,
            verbose=False,
        )
        watcher = _Watcher(self.iterations, report, cancelled)
        booster.fit(catboost.Pool(_widened(codes, used, width), y), callbacks=[watcher])
        if watcher.failure is not None:
            raise watcher.failure
        if watcher.stopped:
            raise Cancelled("Training was stopped; the classifier before it is unchanged.")
        self.booster_ = booster

    def _probabilities(self, codes: np.ndarray) -> np.ndarray:
        return self.booster_.predict_proba(self._pool(codes), thread_count=self._threads(len(codes)))

    def importances(self, by: str) -> np.ndarray:
        values = self.booster_.get_feature_importance(type="PredictionValuesChange")
        return np.asarray(values, np.float64)[self.screened_]

    def contributions(self, codes: np.ndarray) -> np.ndarray:
        shap = self.booster_.get_feature_importance(
            self._pool(codes), type="ShapValues", thread_count=self._threads(len(codes))
        )                                                            # (n, D + 1), the last column is the baseline
        return shap[:, [*self.screened_, shap.shape[1] - 1]]

    def _pool(self, codes: np.ndarray):
        pool = imported("catboost", title=TITLE).Pool
        return pool(_widened(codes, self.screened_, self.n_features_in_))

    def write(self, file: Path) -> None:
        catboost = imported("catboost", title=TITLE)
        try:
            self.booster_.save_model(str(file), format="cbm")
        except catboost.CatBoostError as error:
            raise OSError(str(error)) from error

    def read(self, file: Path) -> None:
        catboost = imported("catboost", title=TITLE)
        booster = catboost.CatBoostClassifier()
        try:
            booster.load_model(str(file), format="cbm")
        except catboost.CatBoostError as error:
            raise ValueError(str(error)) from error
        self.booster_ = booster


class _Watcher:
    """CatBoost's callback: tells how far training is and stops it when asked."""

    def __init__(self, iterations: int, report: Report, cancelled: Cancel) -> None:
        self.iterations, self.report, self.cancelled = iterations, report, cancelled
        self.stopped, self.failure = False, None

    def after_iteration(self, info) -> bool:
        """True to go on."""
        try:
            self.stopped = self.cancelled is not None and self.cancelled()
            if not self.stopped:
                done = 0.05 + 0.94 * info.iteration / self.iterations
                self.report(done, f"Tree {info.iteration} of {self.iterations}")
        # whatever it is, CatBoost would lose it and train on; `fit` raises it once CatBoost has stopped
        except Exception as error:  # noqa: BLE001
            self.failure = error
        return not self.stopped and self.failure is None


def _widened(codes: np.ndarray, used: np.ndarray, width: int) -> np.ndarray:
    """(n, k) -> (n, width) with every channel that is not used 0; float32, column-major."""
    if len(used) == width:
        return codes
    wide = np.zeros((width, len(codes)), np.float32)                 # (D, n)
    wide[used] = codes.T
    return wide.T

"""Boosted trees by LightGBM, which grows a tree leaf by leaf."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from img2tab_core.classifiers.base import (
    Cancel,
    ConceptClassifier,
    Report,
    check_share,
    check_whole,
    imported,
    stop_if,
    two_columns,
)

TITLE = "LightGBM"
BINS = 32  # values a channel is quantized to while training


class LightGBMConcepts(ConceptClassifier):
    """After `fit` also booster_, the LightGBM model over the k screened channels.

    Importance is LightGBM's own "gain": the sum of the gains of all splits on a channel.

    The defaults: as many leaves as three levels can have and a tenth of the channels for each tree, like the other
    boosted trees.
    """

    kind, file, library, measures, explains = "lightgbm", "model.txt", "lightgbm", ("total_gain",), True

    def __init__(
        self,
        *,
        iterations: int = 600,
        leaves: int = 8,
        learning_rate: float = 0.1,
        columns: float = 0.1,
        excluded: frozenset[int] = frozenset(),
        screen: int | None = 2048,
        random_state: int = 0,
        thread_count: int = -1,
    ) -> None:
        self.iterations = iterations
        self.leaves = leaves
        self.learning_rate = learning_rate
        self.columns = columns
        self.excluded = excluded
        self.screen = screen
        self.random_state = random_state
        self.thread_count = thread_count

    def _check_parameters(self) -> None:
        check_whole(self, "iterations", 1, 100_000)
        check_whole(self, "leaves", 2, 65_536)
        check_share(self, "learning_rate")
        check_share(self, "columns")
        super()._check_parameters()

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
        lightgbm = imported("lightgbm", title=TITLE)
        params = {
            **({"objective": "binary"} if y.max() < 2 else {"objective": "multiclass", "num_class": int(y.max()) + 1}),
            "num_leaves": self.leaves,
            "learning_rate": self.learning_rate,
            "max_bin": BINS,
            "feature_fraction": self.columns,
            "lambda_l2": 1.0,
            # both are needed for the same bits each time; by columns is faster where channels outnumber faces
            "deterministic": True,
            "force_col_wise": True,
            "seed": int(self.random_state),
            "num_threads": _count(self.thread_count),
            "verbosity": -1,
        }
        booster = lightgbm.Booster(
            params, lightgbm.Dataset(codes, y, weight=weights, params=params, free_raw_data=True)
        )
        for done in range(self.iterations):
            stop_if(cancelled)
            finished = booster.update()
            report(0.05 + 0.94 * (done + 1) / self.iterations, f"Tree {done + 1} of {self.iterations}")
            if finished:  # no split is worth anything any more
                break
        self.booster_ = lightgbm.Booster(model_str=booster.model_to_string())  # without the training data

    def _probabilities(self, codes: np.ndarray) -> np.ndarray:
        chance = np.asarray(self.booster_.predict(codes, num_threads=_count(self._threads(len(codes)))))
        return two_columns(chance) if chance.ndim == 1 else chance

    def importances(self, by: str) -> np.ndarray:
        return np.asarray(self.booster_.feature_importance("gain"), np.float64)

    def contributions(self, codes: np.ndarray) -> np.ndarray:
        threads = _count(self._threads(len(codes)))
        return np.asarray(self.booster_.predict(codes, pred_contrib=True, num_threads=threads), np.float64)

    def scores_by_class(self, codes: np.ndarray) -> np.ndarray:
        return self.contributions(codes).reshape(len(codes), len(self.classes_), -1)

    def write(self, file: Path) -> None:
        file.write_text(self.booster_.model_to_string(), encoding="utf-8")

    def read(self, file: Path) -> None:
        lightgbm = imported("lightgbm", title=TITLE)
        try:
            booster = lightgbm.Booster(model_str=file.read_text(encoding="utf-8"))
        except lightgbm.basic.LightGBMError as error:
            raise ValueError(str(error)) from error
        if booster.num_feature() != len(self.screened_):
            raise ValueError("its trees have other channels")
        self.booster_ = booster


def _count(threads: int) -> int:
    """LightGBM says 0 for all cores."""
    return max(0, int(threads))

"""Logistic regression: one weight per concept, the simplest classifier there is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, logsumexp, softmax

from img2tab_core.base.foreign import read_arrays
from img2tab_core.classifiers.base import (
    Cancel,
    ConceptClassifier,
    Report,
    check_positive,
    check_whole,
    stop_if,
    two_columns,
)


class LogisticConcepts(ConceptClassifier):
    """Minimises the sum of the log-losses plus |weights|^2 / (2 strength), on standardised channels.

    The channels are standardised by the faces it is trained on. The same minimum as scikit-learn's
    LogisticRegression(C=strength), found by SciPy's L-BFGS, which can be stopped after every step.

    After `fit` also weights_ float64 (k,), log-odds per standard deviation; intercept_; mean_ and scale_ float64 (k,),
    style units. Importance is |weight|. Contributions: weight x (channel - mean) / standard deviation, exact. Of more
    than two classes (multinomial, one softmax over all) weights_ is (K, k), intercept_ (K,), and the importance of a
    channel the mean of |weight| over the classes.

    The default is a strong penalty, because style channels outnumber faces and go together: of 1e-4 to 1e-1 the best on
    4,000 faces.
    """

    kind, file, library, measures, explains = "logistic", "model.npz", "scipy", ("weight",), True

    def __init__(
        self,
        *,
        strength: float = 1e-2,
        steps: int = 1000,
        excluded: frozenset[int] = frozenset(),
        screen: int | None = 2048,
        random_state: int = 0,
        thread_count: int = -1,
    ) -> None:
        self.strength = strength
        self.steps = steps
        self.excluded = excluded
        self.screen = screen
        self.random_state = random_state
        self.thread_count = thread_count

    def _check_parameters(self) -> None:
        check_positive(self, "strength")
        check_whole(self, "steps", 1, 100_000)
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
        mean, scale = codes.mean(axis=0, dtype=np.float64), codes.std(axis=0, dtype=np.float64)
        scale[scale == 0] = 1.0  # a constant channel stays at 0
        standard = codes - mean  # (n, k) float64
        standard /= scale  # in place: of CelebA it is 2.7 GB
        signs, penalty = np.where(y == 1, 1.0, -1.0), 1.0 / (self.strength * len(y))
        count = 1.0 if weights is None else weights  # (n,), mean 1
        done = 0

        def loss(point: np.ndarray) -> tuple[float, np.ndarray]:
            """Mean log-loss plus penalty, and its gradient; point (k + 1,), the intercept last."""
            margin = signs * (standard @ point[:-1] + point[-1])  # (n,)
            pull = -signs * count * expit(-margin) / len(y)  # (n,) derivative by the log-odds
            value = (count * np.logaddexp(0, -margin)).mean() + 0.5 * penalty * point[:-1] @ point[:-1]
            return value, np.append(pull @ standard + penalty * point[:-1], pull.sum())

        classes = int(y.max()) + 1

        def loss_of_several(point: np.ndarray) -> tuple[float, np.ndarray]:
            """The same over K classes; point (K (k + 1),), the intercepts last."""
            weights_of, intercepts = point[:-classes].reshape(classes, -1), point[-classes:]
            scores = standard @ weights_of.T + intercepts  # (n, K)
            pull = softmax(scores, axis=1)
            pull[np.arange(len(y)), y] -= 1
            pull = (pull.T * count).T / len(y)
            off = logsumexp(scores, axis=1) - scores[np.arange(len(y)), y]
            value = (count * off).mean() + 0.5 * penalty * (weights_of**2).sum()
            return value, np.append(pull.T @ standard + penalty * weights_of, pull.sum(axis=0))

        def after(point: np.ndarray) -> None:
            nonlocal done
            done += 1
            stop_if(cancelled)
            report(0.05 + 0.94 * done / (done + 50), f"Step {done}")  # how many it takes is not known

        several = classes > 2
        start = np.zeros((classes if several else 1) * (standard.shape[1] + 1))
        minimum = minimize(
            loss_of_several if several else loss,
            start,
            jac=True,
            method="L-BFGS-B",
            callback=after,
            options={"maxiter": self.steps, "gtol": 1e-6, "ftol": 1e-12},
        )
        if several:
            self.weights_, self.intercept_ = minimum.x[:-classes].reshape(classes, -1), minimum.x[-classes:]
        else:
            self.weights_, self.intercept_ = minimum.x[:-1], float(minimum.x[-1])
        self.mean_, self.scale_ = mean, scale

    def _probabilities(self, codes: np.ndarray) -> np.ndarray:
        scores = self._standard(codes) @ self.weights_.T + self.intercept_
        return two_columns(expit(scores)) if scores.ndim == 1 else softmax(scores, axis=1)

    def importances(self, by: str) -> np.ndarray:
        return np.abs(np.atleast_2d(self.weights_)).mean(axis=0)

    def contributions(self, codes: np.ndarray) -> np.ndarray:
        added = self._standard(codes) * self.weights_  # (n, k)
        return np.column_stack([added, np.full(len(codes), self.intercept_)])

    def scores_by_class(self, codes: np.ndarray) -> np.ndarray:
        added = self._standard(codes)[:, None] * self.weights_  # (n, K, k)
        baseline = np.broadcast_to(np.asarray(self.intercept_)[None, :, None], (*added.shape[:2], 1))
        return np.concatenate([added, baseline], axis=2)

    def _standard(self, codes: np.ndarray) -> np.ndarray:
        return (codes - self.mean_) / self.scale_

    def write(self, file: Path) -> None:
        with file.open("wb") as stream:
            np.savez(
                stream, weights=self.weights_, intercept=np.array(self.intercept_), mean=self.mean_, scale=self.scale_
            )

    def read(self, file: Path) -> None:
        stored = read_arrays(file)
        weights, mean, scale, intercept = (stored[name] for name in ("weights", "mean", "scale", "intercept"))
        if any(array.dtype.kind != "f" for array in (weights, mean, scale, intercept)):
            raise ValueError("its weights are not numbers")
        of_classes = () if len(self.classes_) == 2 else self.classes_.shape
        if not weights.shape == (*of_classes, *mean.shape) or not mean.shape == scale.shape == self.screened_.shape:
            raise ValueError("its weights have other channels")
        if intercept.shape != of_classes:
            raise ValueError("its weights have other classes")
        self.weights_, self.intercept_ = weights, intercept if of_classes else float(intercept)
        self.mean_, self.scale_ = mean, scale

"""What every classifier over style codes has in common: training, predicting, and never seeing what is excluded."""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from numbers import Integral, Real
from pathlib import Path
from types import ModuleType
from typing import ClassVar

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from img2tab_core import tables
from img2tab_core.base.errors import Cancelled, Img2TabError
from img2tab_core.base.foreign import printable
from img2tab_core.base.jobs import Cancel, Report, silent
from img2tab_core.base.records import decided_classes, read_only
from img2tab_core.classifiers.preparation import Preparation
from img2tab_core.concepts.erasing import Erasure

BLOCK = 256  # channels copied at once
READ = 16_000_000  # style values read at once, where that is fewer
FEW = 8  # where at most one face in so many takes part, only their own values are read


class ConceptClassifier(ClassifierMixin, BaseEstimator, ABC):
    """A classifier over the D style channels, for a target of K classes, two or more, as a scikit-learn estimator.

    excluded: channel indices the classifier must not see; it is never handed them, so their influence is exactly 0.
    screen: train on the so many remaining channels that come first in the ranking given to `fit`, None for all. The
    same data, parameters and random_state give the same classifier. thread_count -1: all cores.

    After `fit`: classes_ 0 to K - 1; n_features_in_ D; screened_ int64 (k,), the channels trained on, ascending;
    erasure_ what is taken out of every code before it is judged, None where nothing is.

    A subclass says what it is in the class attributes below and fills the hooks at the end; they see the k screened
    channels only.
    """

    kind: ClassVar[str]  # the word in model.json
    file: ClassVar[str]  # the file beside model.json
    library: ClassVar[str]  # the package whose version decides the result, as pip calls it
    measures: ClassVar[tuple[str, ...]]  # what `importance` can be measured by, the default first
    explains: ClassVar[bool] = False  # whether it has exact contributions in log-odds

    erasure_: Erasure | None = None

    excluded: frozenset[int]
    screen: int | None
    random_state: int
    thread_count: int

    def fit(
        self,
        X: np.ndarray,
        y: np.ndarray,
        *,
        rows: np.ndarray | None = None,
        order: np.ndarray | None = None,
        preparation: Preparation | None = None,
        progress: Report | None = None,
        cancelled: Cancel = None,
    ) -> ConceptClassifier:
        """Train on the style codes X (N, D), style units; X is only read, and only its screened channels.

        y: (n,) of 0 to K - 1, one for every row that takes part. rows: (n,) row numbers of X that take part, None for
        all: a memory map then need not be copied. order: channel indices, the most telling first, by which `screen`
        chooses (as a rule by Wasserstein-1 distance); channels it leaves out are not used. None ranks them by the
        difference of the class means in standard deviations. preparation: what is done to the codes of X before, and
        what each face counts; what it erases is erased from every code that is judged later. progress: called with a
        share that only grows from 0 to 1 and a sentence. cancelled: called again and again, whether to stop.

        Raises Cancelled once `cancelled` says so, and Img2TabError where an argument or a parameter is out of its
        range; the estimator then stays as it was.
        """
        report = progress or silent
        X, rows, y = checked_training(X, y, rows)
        self._check_parameters()
        excluded = _checked_excluded(self.excluded, X.shape[1])
        report(0.0, "Ranking concepts")
        used = _screened(X, y, rows, order=order, excluded=excluded, screen=self.screen)
        if preparation is None and self._in_parts(len(rows), len(used)):
            report(0.02, "Preparing the table")
            self._train_in_parts(X, rows, y, used, report, cancelled)
        else:
            codes, weights = gathered(X, rows, used), None
            if preparation is not None:
                codes, y, weights = preparation.applied(X, rows, y, codes, used)
            must_differ(any((channel != channel[0]).any() for channel in codes.T))
            stop_if(cancelled)
            report(0.02, "Preparing the table")
            self._train(codes, y, weights, used, X.shape[1], report, cancelled)
        erasure = None if preparation is None else preparation.erasure
        self._trained_on(used, X.shape[1], int(y.max()) + 1, erasure)
        report(1.0, "Trained")
        return self

    def chosen(self, order: np.ndarray, width: int) -> np.ndarray:
        """The channels of `width` that `fit` trains on by this ranking, ascending; int64 (k,).

        Raises Img2TabError where the ranking is none, or every channel is excluded.
        """
        self._check_parameters()
        return _first(order, width=width, excluded=_checked_excluded(self.excluded, width), screen=self.screen)

    def _trained_on(self, used: np.ndarray, width: int, classes: int = 2, erasure: Erasure | None = None) -> None:
        self.screened_, self.classes_, self.n_features_in_ = read_only(used), np.arange(classes), width
        self.erasure_ = erasure

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        """Probability of every class; X (n, D) style units -> float64 (n, K).

        Raises Img2TabError where X has another D than in training, or a number that is not finite.
        """
        return self.probabilities(matrix(X))

    def predict(self, X: np.ndarray) -> np.ndarray:
        """The likeliest class, of equally likely ones the first; X (n, D) style units -> int64 (n,)."""
        likely = likeliest(self.predict_proba(X))
        return self.classes_[likely]

    def probabilities(self, X: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
        """`predict_proba` for the rows of a checked matrix, None for all; float64 (n, K)."""
        return self._probabilities(self.seen(X, rows))

    def seen(self, X: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
        """Of the rows of X (N, D) the channels trained on and nothing else, without what training erased; a new float32
        (n, k), column-major.

        Raises Img2TabError where D is another than in training, or a number is not finite.
        """
        check_is_fitted(self)
        if X.shape[1] != self.n_features_in_:
            raise Img2TabError(
                f"Style codes must have {self.n_features_in_} channels, as in training, got {X.shape[1]}. "
                "Choose a classifier that was trained for this backbone."
            )
        codes = gathered(X, np.arange(len(X)) if rows is None else rows, self.screened_)
        if self.erasure_ is not None:
            codes = self.erasure_.taken_from(codes, self.erasure_.readings(X, rows), self.screened_)
        return codes

    def _check_parameters(self) -> None:
        check_whole(self, "random_state", 0, 2**31 - 1)
        if self.screen is not None and (not isinstance(self.screen, Integral) or self.screen < 1):
            raise Img2TabError(
                f"screen must be a number of channels of at least 1, or None, got {printable(self.screen)}."
            )

    def _threads(self, count: int) -> int:
        """For a few faces starting threads takes longer than the work."""
        return 1 if count <= 16 else self.thread_count

    # --- what a subclass fills -----------------------------------------------------------------

    @abstractmethod
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
        """Train on codes float32 (n, k), column-major, its own; set attributes last, when nothing can fail any more.

        y: int64 (n,), classes 0 to K - 1. weights: float64 (n,), what each face counts, 1 on average; None where all
        count the same. used: int64 (k,), the channels' numbers among `width`. report: shares from 0.02 up to 1.
        """

    def _in_parts(self, count: int, channels: int) -> bool:
        """Whether so many faces and channels are trained on without all their codes in memory, by `_train_in_parts`."""
        return False

    def _train_in_parts(
        self, X: np.ndarray, rows: np.ndarray, y: np.ndarray, used: np.ndarray, report: Report, cancelled: Cancel
    ) -> None:
        """`_train` on the rows int64 (n,) and channels `used` of X (N, D), which is read in parts. Only where
        `_in_parts`; raises Img2TabError where no channel has more than one value."""
        raise NotImplementedError

    @abstractmethod
    def _probabilities(self, codes: np.ndarray) -> np.ndarray:
        """codes float32 (n, k) -> float64 (n, K)."""

    @abstractmethod
    def importances(self, by: str) -> np.ndarray:
        """What each of the k channels is worth to the classifier, not negative; by: of `measures`; float64 (k,)."""

    def contributions(self, codes: np.ndarray) -> np.ndarray:
        """SHAP values of what `seen` returned, in log-odds; float64 (n, k + 1), the last column is the baseline.

        Only where `explains`, and of two classes.
        """
        raise NotImplementedError

    def scores_by_class(self, codes: np.ndarray) -> np.ndarray:
        """SHAP values of the raw score of every class, whose softmax are the probabilities; float64 (n, K, k + 1), the
        last column is the baseline.

        codes: what `seen` returned. Only where `explains`, and of more than two classes.
        """
        raise NotImplementedError

    @abstractmethod
    def write(self, file: Path) -> None:
        """Write what training made, under whatever name. Raises OSError where that cannot be."""

    @abstractmethod
    def read(self, file: Path) -> None:
        """Read what `write` wrote, once screened_ and n_features_in_ are set. Raises ValueError where it is damaged."""


def imported(module: str, *, title: str) -> ModuleType:
    """A library that may be absent or broken, imported. Raises Img2TabError where it cannot be."""
    try:
        return importlib.import_module(module)
    # OSError: a shared library of the system (libgomp) is missing; XGBoost says so with an error of its own
    except (ImportError, OSError, ValueError) as error:
        raise Img2TabError(
            f"{title} is not usable here ({error}). Run `pip install -e .[compare]` in the project's folder."
        ) from error


def must_differ(differs: bool) -> None:
    """Raise Img2TabError where no channel to train on has more than one value. differs: whether any has."""
    if not differs:
        raise Img2TabError(
            "At least one remaining channel must differ between faces, got only constant ones. Exclude fewer."
        )


def stop_if(cancelled: Cancel) -> None:
    """Raise Cancelled once `cancelled` says so."""
    if cancelled is not None and cancelled():
        raise Cancelled("Training was stopped; the classifier before it is unchanged.")


def likeliest(probability: np.ndarray) -> np.ndarray:
    """The likeliest class, probability (n, K) -> int64 (n,); of two classes class 1 above one half, else the first of
    the likeliest."""
    if probability.shape[1] == 2:
        return decided_classes(probability[:, 1])
    return np.argmax(probability, axis=1)


def two_columns(probability: np.ndarray) -> np.ndarray:
    """Probability of class 1 (n,) -> of class 0 and of class 1, float64 (n, 2)."""
    probability = np.asarray(probability, np.float64)
    return np.column_stack([1 - probability, probability])


def check_whole(model: ConceptClassifier, name: str, least: int, most: int) -> None:
    """Raise Img2TabError where a parameter is not a whole number within bounds."""
    value = getattr(model, name)
    if not isinstance(value, Integral) or not least <= int(value) <= most:
        raise Img2TabError(f"{name} must be a whole number between {least} and {most}, got {printable(value)}.")


def check_share(model: ConceptClassifier, name: str) -> None:
    """Raise Img2TabError where a parameter is not above 0 and at most 1."""
    value = getattr(model, name)
    if not isinstance(value, Real) or not 0 < float(value) <= 1:
        raise Img2TabError(f"{name} must be above 0 and at most 1, got {printable(value)}.")


def check_positive(model: ConceptClassifier, name: str) -> None:
    """Raise Img2TabError where a parameter is not a finite number above 0."""
    value = getattr(model, name)
    if not isinstance(value, Real) or not 0 < float(value) < np.inf:
        raise Img2TabError(f"{name} must be a finite number above 0, got {printable(value)}.")


def matrix(X: np.ndarray) -> np.ndarray:
    """X as an array of numbers (n, D), not empty. Raises Img2TabError where it is none."""
    X = np.asarray(X)
    if X.ndim != 2 or 0 in X.shape or X.dtype.kind not in "fiu":
        raise Img2TabError(f"Style codes must be numbers of shape (faces, channels), got {X.dtype} {X.shape}.")
    return X


def checked_training(
    X: np.ndarray, y: np.ndarray, rows: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """X (N, D), row numbers (n,) and labels int64 (n,). Raises Img2TabError where they do not fit."""
    X, y = matrix(X), np.asarray(y)
    rows = np.arange(len(X)) if rows is None else np.asarray(rows)
    if rows.ndim != 1 or not np.issubdtype(rows.dtype, np.integer) or (rows.size and rows.min() < 0):
        raise Img2TabError("Rows must be a list of row numbers that are not negative.")
    if rows.size and rows.max() >= len(X):
        raise Img2TabError(f"Row numbers must be below {len(X)}, the number of faces, got {rows.max()}.")
    if y.shape != rows.shape:
        raise Img2TabError(f"There must be one label for each face, got {y.shape} labels for {rows.shape} faces.")
    if y.dtype.kind not in "biuf" or not (np.isin(y, (0, 1)).all() or ((y >= 0) & (y == np.floor(y))).all()):
        raise Img2TabError(
            "Labels must be whole numbers from 0, got "
            f"{np.unique(y)[:5].tolist()}. Leave out faces whose label is unknown."
        )
    y = y.astype(np.int64)
    if not 0 < y.sum() < len(y) and y.max(initial=0) < 2:
        raise Img2TabError(
            f"Both classes must be present, got {len(y) - y.sum()} faces of class 0 and {y.sum()} of class 1. "
            "Choose another target or more faces."
        )
    counts = np.bincount(y)
    if (counts == 0).any():
        raise Img2TabError(
            f"Every class from 0 to {len(counts) - 1} must be present, got no face of class {np.argmin(counts)}. "
            "Choose another target or more faces."
        )
    return X, rows, y


def gathered(X: np.ndarray, rows: np.ndarray, used: np.ndarray) -> np.ndarray:
    """The rows of X (N, D) with the channels that are used; a new float32 (n, k), column-major.

    Raises Img2TabError where a number among them is not finite.
    """
    narrow = np.empty((len(used), len(rows)), np.float32)  # (k, n)
    everything = len(rows) == len(X) and np.array_equal(rows, np.arange(len(X)))
    few, at_once = FEW * len(rows) <= len(X), max(1, min(BLOCK, READ // len(X)))
    for start in range(0, len(used), at_once):
        part = slice(start, start + at_once)
        values = X.T[np.ix_(used[part], rows)] if few else X.T[used[part]]  # (b, n) or (b, N)
        with np.errstate(over="ignore"):  # too large for float32: found just below
            narrow[part] = values if few or everything else values.take(rows, axis=1)
        _must_be_finite(narrow[part], used[part])
    tables.let_go(X)
    return narrow.T


def _checked_excluded(excluded: frozenset[int], d: int) -> np.ndarray:
    """The excluded channels, ascending; int64 (e,)."""
    if not all(isinstance(index, Integral) and 0 <= index < d for index in excluded):
        wrong = [index for index in excluded if not (isinstance(index, Integral) and 0 <= index < d)]
        raise Img2TabError(f"Excluded channels must be whole numbers between 0 and {d - 1}, got {wrong[0]!r}.")
    return np.array(sorted(int(index) for index in excluded), np.int64)


def _screened(
    X: np.ndarray,
    y: np.ndarray,
    rows: np.ndarray,
    *,
    order: np.ndarray | None,
    excluded: np.ndarray,
    screen: int | None,
) -> np.ndarray:
    """The channels to train on, ascending; int64 (k,)."""
    d = X.shape[1]
    if order is None:
        remaining = np.setdiff1d(np.arange(d), excluded)
        order = remaining if screen is None else _by_class_means(X, y, rows, remaining)
    return _first(order, width=d, excluded=excluded, screen=screen)


def _first(order: np.ndarray, *, width: int, excluded: np.ndarray, screen: int | None) -> np.ndarray:
    """Of a ranking of `width` channels the first that are not excluded, ascending; int64 (k,)."""
    order, d = np.asarray(order), width
    if order.ndim != 1 or (order.size and not np.issubdtype(order.dtype, np.integer)):
        raise Img2TabError(f"The ranking must be a list of channel indices, got shape {order.shape} {order.dtype}.")
    if len(np.unique(order)) != len(order) or (order.size and not (0 <= order.min() and order.max() < d)):
        raise Img2TabError(f"The ranking must name channels between 0 and {d - 1}, each at most once.")
    used = np.sort(order[~np.isin(order, excluded)][:screen]).astype(np.int64)
    if not len(used):
        raise Img2TabError(f"At least one channel must remain, got {len(excluded)} of {d} excluded. Exclude fewer.")
    return used


def _by_class_means(X: np.ndarray, y: np.ndarray, rows: np.ndarray, candidates: np.ndarray) -> np.ndarray:
    """The candidates, the largest difference of the class means in standard deviations first; int64 (c,)."""
    score = np.zeros(len(candidates))
    for start in range(0, len(candidates), BLOCK):
        channels = candidates[start : start + BLOCK]
        part = X.T[channels].take(rows, axis=1)  # (b, n)
        with np.errstate(invalid="ignore", over="ignore"):  # no finite numbers: found just below
            means = np.stack([part[:, y == k].mean(axis=1, dtype=np.float64) for k in range(y.max() + 1)])  # (K, b)
            gap = np.ptp(means, axis=0)  # of the two classes that are furthest apart
            spread = part.std(axis=1, dtype=np.float64)
        _must_be_finite(spread, channels)
        np.divide(gap, spread, out=score[start : start + BLOCK], where=spread > 0)
    return candidates[np.argsort(-score, kind="stable")]


def _must_be_finite(values: np.ndarray, channels: np.ndarray) -> None:
    """values (b,) or (b, n), one row per channel."""
    if not np.isfinite(values).all():
        index = channels[~np.isfinite(values.reshape(len(channels), -1)).all(axis=1)][0]
        raise Img2TabError(f"Style codes must be finite numbers, got others in channel {index}. Encode again.")

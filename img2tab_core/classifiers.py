"""A classifier over style codes that one can question: predict, explain a face, exclude concepts, train again."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from numbers import Integral, Real
from pathlib import Path

import catboost
import numpy as np
from scipy.special import expit
from scipy.stats import binomtest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.utils.validation import check_is_fitted

from img2tab_core import __version__
from img2tab_core.errors import Cancelled, Img2TabError
from img2tab_core.records import Metrics, Prediction, digest, read_only

TRIED_PER_SPLIT = 100  # channels one split chooses from, drawn anew each time
BINS = 32              # values a channel is rounded to while training
BLOCK = 256            # channels copied at once
# what decides a model beside its parameters
RECIPE = f"catboost {catboost.__version__}, {TRIED_PER_SPLIT} tried, {BINS} bins"
MODEL_FILE, RECORD_FILE, FORMAT = "model.cbm", "model.json", 1


class CatBoostConcepts(ClassifierMixin, BaseEstimator):
    """Boosted trees over the D style channels, for a target of two classes, as a scikit-learn estimator.

    excluded: channel indices the classifier must not see. screen: train on the so many remaining channels that come
    first in the ranking given to `fit`, None for all. The same data, parameters and random_state give the same
    classifier, bit for bit, on any number of threads (thread_count -1: all cores).

    After `fit`: classes_ [0, 1]; n_features_in_ D; screened_ int64 (k,), the channels trained on, ascending;
    booster_ the CatBoost model, whose channels keep their numbers 0 .. D - 1.

    The defaults: labels of faces are nearly linear in w, and many shallow trees that look at a few channels each suit
    that better, and train faster, than a few deep ones that look at all.
    """

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

    def fit(
        self,
        X: np.ndarray,
        y: np.ndarray,
        *,
        rows: np.ndarray | None = None,
        order: np.ndarray | None = None,
        progress: Callable[[float, str], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> CatBoostConcepts:
        """Train on the style codes X (N, D), style units; X is only read, and only its screened channels.

        y: (n,) of 0 and 1, one for every row that takes part. rows: (n,) row numbers of X that take part, None for
        all: a memory map then need not be copied. order: channel indices, the most telling first, by which `screen`
        chooses (as a rule by Wasserstein-1 distance); channels it leaves out are not used. None ranks them by the
        difference of the class means in standard deviations. progress: called with a share that only grows from 0
        to 1 and a sentence. cancelled: asked after every tree; once true, errors.Cancelled is raised and the
        estimator stays as it was.
        """
        report = progress or (lambda fraction, text: None)
        X, rows, y = _checked_training(X, y, rows)
        self._check_parameters()
        excluded = _checked_excluded(self.excluded, X.shape[1])
        report(0.0, "Ranking concepts")
        used = _screened(X, y, rows, order=order, excluded=excluded, screen=self.screen)
        codes = _gathered(X, rows, used)
        if not any((codes[:, index] != codes[0, index]).any() for index in used):
            raise Img2TabError(
                "At least one remaining channel must differ between faces, got only constant ones. Exclude fewer."
            )
        _stop_if(cancelled)
        report(0.02, "Preparing the table")
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
            ignored_features=np.setdiff1d(np.arange(X.shape[1]), used).tolist(),
            boosting_type="Plain",
            allow_writing_files=False,
            verbose=False,
        )
        watcher = _Watcher(self.iterations, report, cancelled)
        booster.fit(catboost.Pool(codes, y), callbacks=[watcher])
        if watcher.failure is not None:
            raise watcher.failure
        if watcher.stopped:
            raise Cancelled("Training was stopped; the classifier before it is unchanged.")
        self.booster_, self.screened_ = booster, read_only(used)
        self.classes_, self.n_features_in_ = np.array([0, 1]), X.shape[1]
        report(1.0, "Trained")
        return self

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        """Probability of class 0 and of class 1; X (n, D) style units -> float64 (n, 2)."""
        return _probabilities(self, _matrix(X))

    def predict(self, X: np.ndarray) -> np.ndarray:
        """The likelier class, 0 or 1 (0 where both are equally likely); X (n, D) style units -> int64 (n,)."""
        likelier = (self.predict_proba(X)[:, 1] > 0.5).astype(np.int64)
        return self.classes_[likelier]

    def _check_parameters(self) -> None:
        for name, least, most in (("iterations", 1, 100_000), ("depth", 1, 16), ("random_state", 0, 2**31 - 1)):
            value = getattr(self, name)
            if not isinstance(value, Integral) or not least <= value <= most:
                raise Img2TabError(f"{name} must be a whole number between {least} and {most}, got {value}.")
        if not isinstance(self.learning_rate, Real) or not 0 < self.learning_rate <= 1:
            raise Img2TabError(f"learning_rate must be above 0 and at most 1, got {self.learning_rate}.")
        if self.screen is not None and (not isinstance(self.screen, Integral) or self.screen < 1):
            raise Img2TabError(f"screen must be a number of channels of at least 1, or None, got {self.screen}.")


def importance(model: CatBoostConcepts) -> np.ndarray:
    """Share of each channel in what the classifier uses; float64 (D,), adds up to 1 (all 0 if it uses none).

    CatBoost's PredictionValuesChange: how much the prediction changes on average when the channel does.
    """
    check_is_fitted(model)
    values = np.asarray(model.booster_.get_feature_importance(type="PredictionValuesChange"), np.float64)
    total = values.sum()
    return values / total if total > 0 else values


def explain(model: CatBoostConcepts, codes: np.ndarray) -> list[Prediction]:
    """What every channel added to the prediction of each face: SHAP values, in log-odds.

    codes: (n, D) style units. baseline is the model's mean output over the training faces; baseline plus the
    contributions is the log-odds of the probability. A channel that is excluded or screened out contributes exactly 0.
    """
    codes = _matrix(codes)
    pool = _pool(model, codes, np.arange(len(codes)))
    shap = model.booster_.get_feature_importance(
        pool, type="ShapValues", thread_count=_threads(model, pool.num_row())
    )                                                                # (n, D + 1), the last column is the baseline
    probabilities = expit(shap.sum(axis=1))
    return [
        Prediction(float(probability), read_only(row[:-1].copy()), float(row[-1]))
        for probability, row in zip(probabilities, shap, strict=True)
    ]


def measure(model: CatBoostConcepts, X: np.ndarray, y: np.ndarray, *, rows: np.ndarray | None = None) -> Metrics:
    """Accuracy with its 95 % Wilson interval, AUC, log-loss (natural logarithm) and confusion on labelled faces.

    X: (N, D) style units; y: (n,) of 0 and 1, both present; rows: (n,) row numbers of X, None for all.
    """
    X, rows, y = _checked_training(X, y, rows)
    probability = _probabilities(model, X, rows)[:, 1]
    predicted = (probability > 0.5).astype(np.int64)
    confusion = tuple(tuple(int(((y == true) & (predicted == said)).sum()) for said in (0, 1)) for true in (0, 1))
    right = confusion[0][0] + confusion[1][1]
    return Metrics(
        accuracy=right / len(y),
        interval=wilson(right, len(y)),
        auc=float(roc_auc_score(y, probability)),
        log_loss=float(log_loss(y, probability, labels=[0, 1])),
        confusion=confusion,
        count=len(y),
    )


def wilson(right: int, count: int) -> tuple[float, float]:
    """95 % Wilson score interval of the share right / count, within [0, 1].

    Source: Wilson 1927, "Probable inference, the law of succession, and statistical inference".
    """
    if not 0 <= right <= count or count < 1:
        raise Img2TabError(f"A share needs 0 <= right <= count and count >= 1, got {right} of {count}.")
    low, high = binomtest(right, count).proportion_ci(0.95, method="wilson")
    return float(low), float(high)


def save(model: CatBoostConcepts, folder: Path) -> None:
    """Write the classifier into `folder` (made if absent): model.cbm, and model.json that says what it is.

    Each file appears whole or not at all; model.json comes last and carries the digest of model.cbm, so that a pair
    of which only one half is new is not taken for a classifier.
    """
    check_is_fitted(model)
    folder = Path(folder)
    params = model.get_params() | {"excluded": sorted(int(index) for index in model.excluded)}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        part = folder / f".{MODEL_FILE}.part"
        model.booster_.save_model(str(part), format="cbm")
        record = {
            "format": FORMAT,
            "kind": "catboost",
            "sha256": digest(part.read_bytes()),
            "channels": int(model.n_features_in_),
            "classes": model.classes_.tolist(),
            "params": {name: _plain(value) for name, value in params.items()},
            "screened": model.screened_.tolist(),
            "versions": {"catboost": catboost.__version__, "img2tab": __version__},
        }
        os.replace(part, folder / MODEL_FILE)
        part = folder / f".{RECORD_FILE}.part"
        part.write_text(json.dumps(record, indent=1), encoding="utf-8")
        os.replace(part, folder / RECORD_FILE)
    except (OSError, catboost.CatBoostError) as error:
        raise Img2TabError(f"The classifier cannot be written to {folder}: {error}. Choose another place.") from error


def load(folder: Path) -> CatBoostConcepts:
    """The classifier that `save` wrote into `folder`; its probabilities are the same to the last bit."""
    folder = Path(folder)
    advice = "Train it again or choose another folder."
    try:
        record = json.loads((folder / RECORD_FILE).read_text(encoding="utf-8"))
        found = digest((folder / MODEL_FILE).read_bytes())
    except OSError as error:
        raise Img2TabError(f"There is no readable classifier in {folder}: {error.strerror}. {advice}") from error
    except ValueError as error:
        raise Img2TabError(f"The classifier's {RECORD_FILE} in {folder} is damaged. {advice}") from error
    try:
        if record["format"] != FORMAT:
            raise Img2TabError(
                f"The classifier in {folder} must have format {FORMAT}, got {record['format']}. {advice}"
            )
        if record["sha256"] != found:
            raise Img2TabError(f"The classifier's {MODEL_FILE} in {folder} is damaged. {advice}")
        params = record["params"] | {"excluded": frozenset(record["params"]["excluded"])}
        model = CatBoostConcepts(**params)
        model.booster_ = catboost.CatBoostClassifier()
        model.booster_.load_model(str(folder / MODEL_FILE), format="cbm")
        model.screened_ = read_only(np.array(record["screened"], np.int64))
        model.classes_, model.n_features_in_ = np.array(record["classes"]), int(record["channels"])
    except (KeyError, TypeError, ValueError, catboost.CatBoostError) as error:
        raise Img2TabError(f"The classifier in {folder} is damaged ({error}). {advice}") from error
    return model


class _Watcher:
    """CatBoost's callback: tells how far training is and stops it when asked."""

    def __init__(
        self, iterations: int, report: Callable[[float, str], None], cancelled: Callable[[], bool] | None
    ) -> None:
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


def _stop_if(cancelled: Callable[[], bool] | None) -> None:
    if cancelled is not None and cancelled():
        raise Cancelled("Training was stopped; the classifier before it is unchanged.")


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
    order = np.asarray(order)
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
        part = X.T[channels].take(rows, axis=1)                      # (b, n)
        with np.errstate(invalid="ignore", over="ignore"):           # no finite numbers: found just below
            gap = part[:, y == 1].mean(axis=1, dtype=np.float64) - part[:, y == 0].mean(axis=1, dtype=np.float64)
            spread = part.std(axis=1, dtype=np.float64)
        _must_be_finite(spread, channels)
        np.divide(np.abs(gap), spread, out=score[start : start + BLOCK], where=spread > 0)
    return candidates[np.argsort(-score, kind="stable")]


def _must_be_finite(values: np.ndarray, channels: np.ndarray) -> None:
    """values (b,) or (b, n), one row per channel."""
    if not np.isfinite(values).all():
        index = channels[~np.isfinite(values.reshape(len(channels), -1)).all(axis=1)][0]
        raise Img2TabError(f"Style codes must be finite numbers, got others in channel {index}. Encode again.")


def _gathered(X: np.ndarray, rows: np.ndarray, used: np.ndarray) -> np.ndarray:
    """The rows of X with every channel that is not used set to 0; a new float32 (n, D), column-major."""
    wide = np.zeros((X.shape[1], len(rows)), np.float32)             # (D, n)
    everything = len(rows) == len(X) and np.array_equal(rows, np.arange(len(X)))
    for start in range(0, len(used), BLOCK):
        part = used[start : start + BLOCK]
        values = X.T[part]                                           # (b, N)
        with np.errstate(over="ignore"):                             # too large for float32: found just below
            wide[part] = values if everything else values.take(rows, axis=1)
        _must_be_finite(wide[part], part)
    return wide.T


def _probabilities(model: CatBoostConcepts, X: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
    """Probability of class 0 and of class 1 for the rows of X, None for all; float64 (n, 2)."""
    pool = _pool(model, X, np.arange(len(X)) if rows is None else rows)
    return model.booster_.predict_proba(pool, thread_count=_threads(model, pool.num_row()))


def _pool(model: CatBoostConcepts, X: np.ndarray, rows: np.ndarray) -> catboost.Pool:
    """The codes to predict, checked; the model gets to see nothing but the channels it was trained on."""
    check_is_fitted(model)
    if X.shape[1] != model.n_features_in_:
        raise Img2TabError(
            f"Style codes must have {model.n_features_in_} channels, as in training, got {X.shape[1]}. "
            "Choose a classifier that was trained for this backbone."
        )
    return catboost.Pool(_gathered(X, rows, model.screened_))


def _threads(model: CatBoostConcepts, count: int) -> int:
    """For a few faces starting threads takes longer than the work."""
    return 1 if count <= 16 else model.thread_count


def _matrix(X: np.ndarray) -> np.ndarray:
    X = np.asarray(X)
    if X.ndim != 2 or 0 in X.shape or X.dtype.kind not in "fiu":
        raise Img2TabError(f"Style codes must be numbers of shape (faces, channels), got {X.dtype} {X.shape}.")
    return X


def _checked_training(
    X: np.ndarray, y: np.ndarray, rows: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """X, the row numbers and the labels as int64, checked for shapes, range and both classes."""
    X, y = _matrix(X), np.asarray(y)
    rows = np.arange(len(X)) if rows is None else np.asarray(rows)
    if rows.ndim != 1 or not np.issubdtype(rows.dtype, np.integer) or (rows.size and rows.min() < 0):
        raise Img2TabError("Rows must be a list of row numbers that are not negative.")
    if rows.size and rows.max() >= len(X):
        raise Img2TabError(f"Row numbers must be below {len(X)}, the number of faces, got {rows.max()}.")
    if y.shape != rows.shape:
        raise Img2TabError(f"There must be one label for each face, got {y.shape} labels for {rows.shape} faces.")
    if not np.isin(y, (0, 1)).all():
        raise Img2TabError(
            f"Labels must be 0 or 1, got {np.unique(y)[:5].tolist()}. Leave out faces whose label is unknown."
        )
    y = y.astype(np.int64)
    if not 0 < y.sum() < len(y):
        raise Img2TabError(
            f"Both classes must be present, got {len(y) - y.sum()} faces of class 0 and {y.sum()} of class 1. "
            "Choose another target or more faces."
        )
    return X, rows, y


def _checked_excluded(excluded: frozenset[int], d: int) -> np.ndarray:
    """The excluded channels, ascending; int64 (e,)."""
    if not all(isinstance(index, Integral) and 0 <= index < d for index in excluded):
        wrong = [index for index in excluded if not (isinstance(index, Integral) and 0 <= index < d)]
        raise Img2TabError(f"Excluded channels must be whole numbers between 0 and {d - 1}, got {wrong[0]!r}.")
    return np.array(sorted(int(index) for index in excluded), np.int64)


def _plain(value):
    """A parameter as JSON knows it: NumPy's numbers become Python's."""
    return value.item() if isinstance(value, np.generic) else value

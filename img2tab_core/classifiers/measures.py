"""What a classifier uses, what it predicts for a face and why, and how well it does on labelled faces."""

from __future__ import annotations

import numpy as np
from scipy.special import expit
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.utils.validation import check_is_fitted

from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.intervals import wilson
from img2tab_core.base.records import Metrics, Prediction, decided_classes, read_only
from img2tab_core.classifiers.base import ConceptClassifier, checked_training, likeliest, matrix
from img2tab_core.classifiers.kinds import KINDS, title_of


def importance(model: ConceptClassifier, *, by: str | None = None) -> np.ndarray:
    """Share of each channel in what the classifier uses; float64 (D,), adds up to 1 (all 0 if it uses none).

    by: one of `model.measures`, the first of them if None; each class says what its own are. Raises Img2TabError for
    another.
    """
    if by is not None and by not in model.measures:
        raise Img2TabError(f"This classifier's importance is measured by {' or '.join(model.measures)}, got {by!r}.")
    check_is_fitted(model)
    values = model.importances(by or model.measures[0])
    result, total = np.zeros(model.n_features_in_), values.sum()
    if total > 0:
        result[model.screened_] = values / total
    return result


def explain(model: ConceptClassifier, codes: np.ndarray) -> list[Prediction]:
    """What every channel added to the prediction of each face: SHAP values, in log-odds.

    codes: (n, D) style units. baseline is the model's mean output over the training faces; baseline plus the
    contributions is the log-odds of the probability. A channel that is excluded or screened out contributes exactly 0.
    Raises Img2TabError where this kind of classifier cannot say it, it has more than two classes (ask it for one class
    against the rest, `against_rest.AgainstRest`), or the codes are not those of its backbone.
    """
    if len(model.classes_) > 2:
        raise Img2TabError(
            f"What speaks for a class is asked about one class against the rest, got a classifier of "
            f"{len(model.classes_)}. Choose one."
        )
    if not model.explains:
        able = ", ".join(kind.title for kind in KINDS.values() if kind.estimator.explains)
        raise Img2TabError(
            f"{title_of(model.kind)} cannot say what each concept adds for one face. Choose one of: {able}."
        )
    seen = model.seen(matrix(codes))
    added = model.contributions(seen)  # (n, k + 1), the last column is the baseline
    wide = np.zeros((len(added), model.n_features_in_))  # (n, D)
    wide[:, model.screened_] = added[:, :-1]
    probabilities = expit(added.sum(axis=1))
    return [
        Prediction(float(probability), read_only(row.copy()), float(baseline))
        for probability, row, baseline in zip(probabilities, wide, added[:, -1], strict=True)
    ]


def measure(model: ConceptClassifier, X: np.ndarray, y: np.ndarray, *, rows: np.ndarray | None = None) -> Metrics:
    """Accuracy with its 95 % Wilson interval, AUC, log-loss (natural logarithm) and confusion on labelled faces.

    X: (N, D) style units; y: (n,) of 0 to K - 1, all present; rows: (n,) row numbers of X, None for all. Raises
    Img2TabError where they are not so.
    """
    X, rows, y = checked_training(X, y, rows)
    return metrics_of_answers(model.probabilities(X, rows), y)


def metrics_of_answers(probability: np.ndarray, y: np.ndarray) -> Metrics:
    """What `measure` measures, of answers given already: probability (n, K) of every class and labels y (n,) from 0.

    The AUC of more than two classes is the plain mean of each against the rest.
    """
    classes = probability.shape[1]
    if classes == 2:
        return metrics_of(probability[:, 1], y)
    confusion = np.bincount(classes * y.astype(np.int64) + likeliest(probability), minlength=classes**2)
    confusion = confusion.reshape(classes, classes)
    right = int(np.trace(confusion))
    return Metrics(
        accuracy=right / len(y),
        interval=wilson(right, len(y)),
        auc=float(np.mean([roc_auc_score(y == k, probability[:, k]) for k in range(classes)])),
        log_loss=float(log_loss(y, probability, labels=np.arange(classes))),
        confusion=tuple(tuple(row) for row in confusion.tolist()),
        count=len(y),
    )


def metrics_of(probability: np.ndarray, y: np.ndarray) -> Metrics:
    """The same of two classes: probability of class 1 (n,) and labels y (n,) of 0 and 1."""
    predicted = decided_classes(probability)

    def faces(true: int, answer: int) -> int:
        return int(((y == true) & (predicted == answer)).sum())

    confusion = (faces(0, 0), faces(0, 1)), (faces(1, 0), faces(1, 1))
    right = faces(0, 0) + faces(1, 1)
    return Metrics(
        accuracy=right / len(y),
        interval=wilson(right, len(y)),
        auc=float(roc_auc_score(y, probability)),
        log_loss=float(log_loss(y, probability, labels=[0, 1])),
        confusion=confusion,
        count=len(y),
    )

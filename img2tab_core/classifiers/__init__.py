"""Classifiers over style codes that one can question: predict, explain a face, exclude concepts, train again."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
from scipy.special import expit
from scipy.stats import binomtest
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.utils.validation import check_is_fitted

from img2tab_core import __version__
from img2tab_core.classifiers.base import ConceptClassifier, checked_training, matrix
from img2tab_core.classifiers.catboost import RECIPE, CatBoostConcepts
from img2tab_core.classifiers.forest import ForestConcepts
from img2tab_core.classifiers.lightgbm import LightGBMConcepts
from img2tab_core.classifiers.logistic import LogisticConcepts
from img2tab_core.classifiers.tabnet import TabNetConcepts
from img2tab_core.classifiers.xgboost import XGBoostConcepts, open_published
from img2tab_core.errors import Img2TabError
from img2tab_core.records import Metrics, Prediction, digest, read_only

__all__ = [
    "FORMAT", "KINDS", "MODEL_FILE", "RECIPE", "RECORD_FILE", "CatBoostConcepts", "ConceptClassifier",
    "ForestConcepts", "Kind", "LightGBMConcepts", "LogisticConcepts", "TabNetConcepts", "XGBoostConcepts", "absent",
    "explain", "importance", "load", "make", "measure", "open_published", "save", "wilson",
]

MODEL_FILE, RECORD_FILE, FORMAT = CatBoostConcepts.file, "model.json", 1
ADVICE = "Train it again or choose another folder."


@dataclass(frozen=True)
class Kind:
    """One classifier of several: its word, the title a person reads, what it needs.

    module and package: what Python imports and what pip installs; extra: it comes with `pip install -e .[compare]`.
    """

    kind: str
    title: str
    estimator: type[ConceptClassifier]
    module: str
    package: str
    extra: bool


KINDS: dict[str, Kind] = {
    kind.kind: kind
    for kind in (
        Kind("catboost", "CatBoost", CatBoostConcepts, "catboost", "catboost", False),
        Kind("xgboost", "XGBoost", XGBoostConcepts, "xgboost", "xgboost-cpu", True),
        Kind("lightgbm", "LightGBM", LightGBMConcepts, "lightgbm", "lightgbm", True),
        Kind("tabnet", "TabNet", TabNetConcepts, "pytorch_tabnet", "pytorch-tabnet", True),
        Kind("forest", "Random forest", ForestConcepts, "sklearn", "scikit-learn", False),
        Kind("logistic", "Logistic regression", LogisticConcepts, "sklearn", "scikit-learn", False),
    )
}


def absent(kind: str) -> str | None:
    """The sentence that says how to install what a classifier needs; None where it is there."""
    about = _about(kind)
    if importlib.util.find_spec(about.module) is not None:
        return None
    how = "pip install -e .[compare]" if about.extra else "pip install -e ."
    return f"{about.title} is not installed: it needs {about.package}. Run `{how}` in the project's folder."


def library_version(kind: str) -> str:
    """The version of the library that decides the result, whatever package it was installed from."""
    library = _about(kind).estimator.library
    try:
        return version(library)
    except PackageNotFoundError:                                     # xgboost instead of xgboost-cpu, for instance
        return str(getattr(importlib.import_module(_about(kind).module), "__version__", "unknown"))


def make(
    kind: str,
    *,
    excluded: frozenset[int] = frozenset(),
    screen: int | None = 2048,
    random_state: int = 0,
    thread_count: int = -1,
) -> ConceptClassifier:
    """A classifier of that kind with its default settings, not trained yet."""
    sentence = absent(kind)
    if sentence is not None:
        raise Img2TabError(sentence)
    estimator = KINDS[kind].estimator
    return estimator(excluded=excluded, screen=screen, random_state=random_state, thread_count=thread_count)


def importance(model: ConceptClassifier, *, by: str | None = None) -> np.ndarray:
    """Share of each channel in what the classifier uses; float64 (D,), adds up to 1 (all 0 if it uses none).

    by: one of `model.measures`, the first of them if None; each class says what its own are.
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
    """
    if not model.explains:
        able = ", ".join(kind.title for kind in KINDS.values() if kind.estimator.explains)
        raise Img2TabError(
            f"{KINDS[model.kind].title} cannot say what each concept adds for one face. Choose one of: {able}."
        )
    seen = model.seen(matrix(codes))
    found = model.contributions(seen)                                # (n, k + 1), the last column is the baseline
    wide = np.zeros((len(found), model.n_features_in_))              # (n, D)
    wide[:, model.screened_] = found[:, :-1]
    probabilities = expit(found.sum(axis=1))
    return [
        Prediction(float(probability), read_only(row.copy()), float(baseline))
        for probability, row, baseline in zip(probabilities, wide, found[:, -1], strict=True)
    ]


def measure(model: ConceptClassifier, X: np.ndarray, y: np.ndarray, *, rows: np.ndarray | None = None) -> Metrics:
    """Accuracy with its 95 % Wilson interval, AUC, log-loss (natural logarithm) and confusion on labelled faces.

    X: (N, D) style units; y: (n,) of 0 and 1, both present; rows: (n,) row numbers of X, None for all.
    """
    X, rows, y = checked_training(X, y, rows)
    return judge(model.probabilities(X, rows)[:, 1], y)


def judge(probability: np.ndarray, y: np.ndarray) -> Metrics:
    """What `measure` measures, of answers given already: probability of class 1, (n,), beside the labels y."""
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


def save(model: ConceptClassifier, folder: Path) -> None:
    """Write the classifier into `folder` (made if absent): its own file, and model.json that says what it is.

    Each file appears whole or not at all; model.json comes last and carries the digest of the other, so that a pair
    of which only one half is new is not taken for a classifier.
    """
    check_is_fitted(model)
    folder = Path(folder)
    params = model.get_params() | {"excluded": sorted(int(index) for index in model.excluded)}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        part = folder / f".{model.file}.part"
        model.write(part)
        record = {
            "format": FORMAT,
            "kind": model.kind,
            "sha256": digest(part.read_bytes()),
            "channels": int(model.n_features_in_),
            "classes": model.classes_.tolist(),
            "params": {name: _plain(value) for name, value in params.items()},
            "screened": model.screened_.tolist(),
            "versions": {model.library: library_version(model.kind), "img2tab": __version__},
        }
        os.replace(part, folder / model.file)
        part = folder / f".{RECORD_FILE}.part"
        part.write_text(json.dumps(record, indent=1), encoding="utf-8")
        os.replace(part, folder / RECORD_FILE)
    except OSError as error:
        raise Img2TabError(f"The classifier cannot be written to {folder}: {error}. Choose another place.") from error


def load(folder: Path) -> ConceptClassifier:
    """The classifier that `save` wrote into `folder`; its probabilities are the same to the last bit."""
    folder = Path(folder)
    try:
        record = json.loads((folder / RECORD_FILE).read_text(encoding="utf-8"))
        estimator = _estimator_in(record, folder)
        found = digest((folder / estimator.file).read_bytes())
    except OSError as error:
        raise Img2TabError(f"There is no readable classifier in {folder}: {error.strerror}. {ADVICE}") from error
    except ValueError as error:
        raise Img2TabError(f"The classifier's {RECORD_FILE} in {folder} is damaged. {ADVICE}") from error
    try:
        if record["format"] != FORMAT:
            raise Img2TabError(
                f"The classifier in {folder} must have format {FORMAT}, got {record['format']}. {ADVICE}"
            )
        if record["sha256"] != found:
            raise Img2TabError(f"The classifier's {estimator.file} in {folder} is damaged. {ADVICE}")
        model = estimator(**record["params"] | {"excluded": frozenset(record["params"]["excluded"])})
        model.screened_ = read_only(np.array(record["screened"], np.int64))
        model.classes_, model.n_features_in_ = np.array(record["classes"]), int(record["channels"])
        if not (np.diff(model.screened_, prepend=-1) > 0).all() or model.screened_[-1] >= model.n_features_in_:
            raise ValueError(f"its channels are not among {model.n_features_in_}")
        model.read(folder / estimator.file)
    except (OSError, KeyError, TypeError, ValueError, IndexError) as error:
        raise Img2TabError(f"The classifier in {folder} is damaged ({error}). {ADVICE}") from error
    return model


def _estimator_in(record: object, folder: Path) -> type[ConceptClassifier]:
    kind = record.get("kind") if isinstance(record, dict) else None
    if kind not in KINDS:
        raise Img2TabError(
            f"The classifier in {folder} must be one of {', '.join(KINDS)}, got {kind!r}. {ADVICE}"
        )
    return KINDS[kind].estimator


def _about(kind: str) -> Kind:
    if kind not in KINDS:
        raise Img2TabError(f"A classifier's kind must be one of {', '.join(KINDS)}, got {kind!r}.")
    return KINDS[kind]


def _plain(value):
    """A parameter as JSON knows it: NumPy's numbers become Python's."""
    return value.item() if isinstance(value, np.generic) else value

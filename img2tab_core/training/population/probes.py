"""Linear probes: attributes no ready network names, read from a face network's features, fitted to a few hundred looks.

A probe is a logistic regression on the 1024 features of `faceres`. What it was fitted on is a JSON file of rows
somebody looked at; how good it is, is measured on other rows (see `hand_check`).
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from img2tab_core.base.errors import Img2TabError

FOLDS = 5
SOFTNESS = 10.0  # inverse strength of the penalty, on features of unit length on average
FEWEST = 10  # rows of each class


@dataclass(frozen=True)
class Looked:
    """Rows somebody looked at; seen[label] int8 per row: 0, 1, or -1 where it was not clear."""

    rows: np.ndarray
    seen: dict[str, np.ndarray]
    about: dict


@dataclass(frozen=True)
class Probes:
    """names (L); weights float32 (L, 1024) and bias float32 (L,) give log-odds; auc float32 (L,) out of fold."""

    names: tuple[str, ...]
    weights: np.ndarray
    bias: np.ndarray
    auc: np.ndarray

    def chances(self, features: np.ndarray) -> pd.DataFrame:
        """features (n, 1024) -> the chance of class 1, float64 (n, L), one column per label."""
        with np.errstate(over="ignore"):
            odds = np.exp(-(features.astype(np.float64) @ self.weights.T + self.bias))
        return pd.DataFrame(1 / (1 + odds), columns=list(self.names))


def read_looked(file: Path) -> Looked:
    """A JSON file of {"rows": [...], "seen": {label: {"1": [...], "0": [...]}}, and words on how it was made}."""
    try:
        about = json.loads(file.read_text())
        rows, seen = np.array(about.pop("rows"), int), about.pop("seen")
        places = {int(row): i for i, row in enumerate(rows)}
        labels = {}
        for name, by_class in seen.items():
            labels[name] = np.full(len(rows), -1, np.int8)
            for value in (0, 1):
                labels[name][[places[row] for row in by_class[str(value)]]] = value
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise Img2TabError(
            f'{file} must be JSON with "rows" and, for every label under "seen", the rows seen as "1" and as "0" '
            f"({error!r})."
        ) from error
    return Looked(rows, labels, about)


def fit_probes(features: np.ndarray, seen: Mapping[str, np.ndarray]) -> Probes:
    """features (n, 1024) of the faces looked at, seen[label] (n,) 0, 1 or -1 -> one probe per label.

    The penalised regression weighs both classes alike; its log-odds are then made honest on the scores of faces it
    was not fitted on (Platt 1999), so that a chance of 0.9 is right nine times in ten on faces drawn like these.
    """
    mean = features.mean(axis=0, dtype=np.float64)
    scale = (features.std(axis=0, dtype=np.float64) + 1e-3) * np.sqrt(features.shape[1])
    weights, bias, areas = [], [], []
    for name, values in seen.items():
        known = values >= 0
        y = values[known]
        if min((y == 0).sum(), (y == 1).sum()) < FEWEST:
            raise Img2TabError(
                f"A probe for {name} needs at least {FEWEST} faces of each class, got {(y == 0).sum()} and "
                f"{(y == 1).sum()}. Look at more faces, or leave the label out."
            )
        x = (features[known] - mean) / scale
        model = LogisticRegression(C=SOFTNESS, class_weight="balanced", max_iter=1000)
        folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
        unseen = cross_val_predict(model, x, y, cv=folds, method="decision_function")
        platt = LogisticRegression(C=1e6).fit(unseen[:, None], y)
        slope, shift = platt.coef_[0, 0], platt.intercept_[0]
        model.fit(x, y)
        direction = slope * model.coef_[0] / scale
        weights.append(direction)
        bias.append(slope * model.intercept_[0] + shift - direction @ mean)
        areas.append(roc_auc_score(y, unseen))
    return Probes(tuple(seen), np.array(weights, np.float32), np.array(bias, np.float32), np.array(areas, np.float32))


def save_probes(probes: Probes, file: Path) -> None:
    """Write to .npz."""
    np.savez(file, names=np.array(probes.names), weights=probes.weights, bias=probes.bias, auc=probes.auc)


def load_probes(file: Path) -> Probes:
    """What `save_probes` wrote."""
    try:
        with np.load(file) as stored:
            return Probes(tuple(stored["names"].tolist()), stored["weights"], stored["bias"], stored["auc"])
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise Img2TabError(
            f"{file} must hold the label probes ({error}). Fit them with `img2tab fit-label-probes`."
        ) from error

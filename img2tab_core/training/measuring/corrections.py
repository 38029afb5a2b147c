"""What might bring the classifier closer to real photos, each tried only on photos its own fit did not see.

Fits use the biggest folder of portraits. Its photos are judged by thirds: a third by a fit on the other two. Other
folders are judged by a fit on the whole of it. What needs no photos is fitted on the table alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, logit
from scipy.stats import binomtest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

CERTAIN = 1e-6  # nearer to 0 or 1 a probability has no log-odds worth fitting


@dataclass(frozen=True, eq=False)
class Judged:
    """Portraits of one folder: w float32 (n, 512), chance float64 (n,) of male as the classifier says it uncorrected,
    truth int (n,) of 0 female and 1 male, third int (n,) of 0, 1, 2, where 0 is the held-out one."""

    name: str
    w: np.ndarray
    chance: np.ndarray
    truth: np.ndarray
    third: np.ndarray


@dataclass(frozen=True, eq=False)
class Drawn:
    """The table's training faces with a known label: w float32 (N, 512), label int (N,)."""

    w: np.ndarray
    label: np.ndarray


Answer = Callable[[np.ndarray], np.ndarray]  # w (n, 512) -> chance of male (n,)
Fit = Callable[[Judged, np.ndarray], Answer]  # portraits and which of them it may see (n,) -> the corrected answer


def candidates(drawn: Drawn, classify: Answer) -> dict[str, Fit]:
    """Every correction by what it does; classify is the uncorrected classifier."""
    linear, mean = _linear(drawn.w, drawn.label), drawn.w.mean(axis=0)
    towards = np.random.default_rng(0).uniform(0.3, 1.0, (len(drawn.w), 1)).astype(np.float32)
    shrunk = np.concatenate([drawn.w, mean + (drawn.w - mean) * towards])
    balanced = _linear(drawn.w, drawn.label, class_weight="balanced")
    robust = _linear(shrunk, np.tile(drawn.label, 2))
    return {
        "uncorrected": lambda seen, rows: classify,
        "probability: temperature": lambda seen, rows: _rescaled(classify, seen, rows, offset=False),
        "probability: temperature and offset": lambda seen, rows: _rescaled(classify, seen, rows, offset=True),
        "probability: temperature and offset, women and men weigh the same": lambda seen, rows: _rescaled(
            classify, seen, rows, offset=True, balanced=True
        ),
        "codes: half of the mean difference taken off": lambda seen, rows: _moved(classify, drawn, seen, rows, 0.5),
        "codes: the mean difference taken off": lambda seen, rows: _moved(classify, drawn, seen, rows, 1.0),
        "codes: mean and spread of the table": lambda seen, rows: _moved(classify, drawn, seen, rows, 1.0, scaled=True),
        "codes: covariance of the table (CORAL, half shrunk)": lambda seen, rows: _moved(
            classify, drawn, seen, rows, 1.0, coral=True
        ),
        "codes: 1.25 times as far from the mean": lambda seen, rows: lambda w: classify(mean + (w - mean) * 1.25),
        "classifier: regularised logistic regression": lambda seen, rows: linear,
        "classifier: the same, classes weigh the same": lambda seen, rows: balanced,
        "classifier: the same, trained on codes drawn towards the mean too": lambda seen, rows: robust,
    }


def corrected(fit: Fit, folders: list[Judged]) -> list[np.ndarray]:
    """The corrected chance of every photo of every folder, by a fit that did not see it; float64 (n,) each."""
    main = biggest(folders)
    corrections = []
    for folder in folders:
        if folder is not main:
            corrections.append(fit(main, np.ones(len(main.truth), bool))(folder.w))
            continue
        chance = np.empty(len(main.truth))
        for third in np.unique(main.third):
            judged = main.third == third
            chance[judged] = fit(main, ~judged)(main.w[judged])
        corrections.append(chance)
    return corrections


def biggest(folders: list[Judged]) -> Judged:
    """The folder that corrections are fitted on."""
    return max(folders, key=lambda folder: len(folder.truth))


def can_be_fitted(folders: list[Judged]) -> bool:
    """Whether the biggest folder has both recorded genders, 3 at least, outside every third."""
    main = biggest(folders)
    return (
        all(np.bincount(main.truth[main.third != third], minlength=2).min() >= 3 for third in np.unique(main.third))
        and len(np.unique(main.third)) == 3
    )


def gained_and_lost(before: np.ndarray, after: np.ndarray, truth: np.ndarray) -> tuple[int, int, float]:
    """(photos right only after, photos right only before, two-sided p of an exact McNemar test)."""
    was, now = (before > 0.5) == truth, (after > 0.5) == truth
    gained, lost = int((now & ~was).sum()), int((was & ~now).sum())
    return gained, lost, float(binomtest(gained, gained + lost).pvalue) if gained + lost else 1.0


def temperature(chance: np.ndarray, truth: np.ndarray, *, offset: bool, weight: np.ndarray) -> tuple[float, float]:
    """(T, b) of expit(log-odds / T + b) with the least log-loss; b is 0 where no offset is asked for."""
    odds = logit(np.clip(chance, CERTAIN, 1 - CERTAIN))

    def loss(at: np.ndarray) -> float:
        x = odds / np.exp(at[0]) + (at[1] if offset else 0.0)
        return float(np.average(np.logaddexp(0, x) - truth * x, weights=weight))

    best = minimize(loss, np.zeros(2 if offset else 1), method="Nelder-Mead").x
    return float(np.exp(best[0])), float(best[1]) if offset else 0.0


def _rescaled(classify: Answer, seen: Judged, rows: np.ndarray, *, offset: bool, balanced: bool = False) -> Answer:
    truth = seen.truth[rows]
    weight = 1 / np.bincount(truth, minlength=2)[truth] if balanced else np.ones(len(truth))
    by, plus = temperature(seen.chance[rows], truth, offset=offset, weight=weight)
    return lambda w: expit(logit(np.clip(classify(w), CERTAIN, 1 - CERTAIN)) / by + plus)


def _moved(
    classify: Answer,
    drawn: Drawn,
    seen: Judged,
    rows: np.ndarray,
    share: float,
    *,
    scaled: bool = False,
    coral: bool = False,
) -> Answer:
    """Codes of photos moved to the table: means class by class, so that who is in the photos does not count."""
    w, truth = seen.w[rows], seen.truth[rows]
    real, mean = _middle(w, truth), _middle(drawn.w, drawn.label)
    turn = np.eye(w.shape[1])
    if scaled:
        turn = np.diag(_within(drawn.w, drawn.label).std(axis=0) / _within(w, truth).std(axis=0))
    if coral:
        turn = _power(_covariance(w, truth), -0.5) @ _power(_covariance(drawn.w, drawn.label), 0.5)
    return lambda codes: classify(((codes - real) @ turn + real + share * (mean - real)).astype(np.float32))


def _middle(w: np.ndarray, label: np.ndarray) -> np.ndarray:
    return (w[label == 0].mean(axis=0) + w[label == 1].mean(axis=0)) / 2


def _within(w: np.ndarray, label: np.ndarray) -> np.ndarray:
    """w minus the mean of its class."""
    means = np.stack([w[label == value].mean(axis=0) for value in (0, 1)])
    return (w - means[label]).astype(np.float64)


def _covariance(w: np.ndarray, label: np.ndarray) -> np.ndarray:
    """Within the classes, half of what lies off the diagonal shrunk away: there are fewer photos than dimensions."""
    full = np.cov(_within(w, label), rowvar=False)
    return (full + np.diag(np.diag(full))) / 2


def _power(symmetric: np.ndarray, exponent: float) -> np.ndarray:
    values, vectors = np.linalg.eigh(symmetric)
    return (vectors * np.maximum(values, values.max() * 1e-6) ** exponent) @ vectors.T


def _linear(w: np.ndarray, label: np.ndarray, **options: Any) -> Answer:
    """Style codes are an affine function of w, so this is also linear in style codes."""
    scaler = StandardScaler().fit(w)
    model = LogisticRegression(C=0.003, max_iter=500, **options).fit(scaler.transform(w), label)
    return lambda codes: model.predict_proba(scaler.transform(codes))[:, 1]

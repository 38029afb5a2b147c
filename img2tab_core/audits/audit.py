"""An audit: what a classifier does to each group of faces, and how far apart the groups are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Integral

import numpy as np
import pandas as pd
from fairlearn.metrics import MetricFrame, false_positive_rate, selection_rate, true_positive_rate
from sklearn.metrics import accuracy_score, precision_score, roc_auc_score, roc_curve

from img2tab_core.audits.audit_record import Audit, Curve, GroupAudit
from img2tab_core.audits.bootstrap import gaps_with_intervals, resampled, with_interval
from img2tab_core.audits.groups import STANDARD, Faces, Groups, Thresholds, faces_in, faces_of
from img2tab_core.audits.metrics import METRICS, NEEDS, RATES_OF_GAP, calibration_error, reliability
from img2tab_core.base.errors import Img2TabError

EVERYONE = "everyone"


def audit(
    labels: np.ndarray,
    probability: np.ndarray,
    groups: Sequence[Groups],
    *,
    thresholds: Thresholds = STANDARD,
    repeats: int = 1000,
    seed: int = 0,
    progress: Callable[[float, str], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Audit:
    """What a classifier does to each group, and how far the groups are apart.

    labels: (n,) of 0 and 1, -1 or NaN where unknown. probability: (n,) of class 1, what the classifier says. groups:
    one attribute, or two that are crossed, each of n faces. thresholds: a face whose probability is above it is given
    class 1; one for all, or one for each group by its name (of the crossed groups where two attributes are given).

    The values are Fairlearn's MetricFrame's. The intervals: each group is resampled by itself `repeats` times, as many
    faces as it has. A gap is the largest of several differences, and the percentiles of a largest difference never
    reach 0 even where groups are equal; so its interval comes from the signed differences of all pairs of groups: up
    to the furthest that any pair reaches, and down to the nearest to 0 that the clearest pair allows, at a level
    corrected for the number of pairs. The calibration error is biased upwards, the more the fewer faces: its interval
    is reflected about the value, which takes part of that off.

    A metric that cannot be measured in a group is None with a reason; a gap is then over the groups that have it, and
    its note names the others. progress: a share that only grows and a text; cancelled: once true, Cancelled is raised.
    Raises Img2TabError where labels, probabilities, groups or thresholds do not go together, or no face has both a
    label and a group.
    """
    if not isinstance(repeats, Integral) or repeats < 40:
        raise Img2TabError(f"A 95 % interval needs at least 40 resamples, got {repeats}. Use 1000.")
    report = progress or (lambda fraction, text: None)
    faces = faces_of(labels, probability, groups, thresholds)
    report(0.0, "Measuring every group")
    points = _points(faces)
    resamples = resampled(faces, repeats=int(repeats), seed=seed, report=report, cancelled=cancelled)
    by_group = tuple(
        _group_audit(name, faces, faces.parts[code], faces.cuts[name], points.values[code], resamples[code])
        for code, name in enumerate(faces.names)
    )
    cuts = set(faces.cuts.values())
    overall = _group_audit(
        EVERYONE,
        faces,
        slice(0, len(faces.labels)),
        cuts.pop() if len(cuts) == 1 else None,
        points.overall,
        resamples[-1],
    )
    report(1.0, "Audited")
    return Audit(
        attributes=tuple(attribute.attribute for attribute in groups),
        faces=len(faces.labels),
        unlabelled=faces.unlabelled,
        ungrouped=faces.ungrouped,
        overall=overall,
        by_group=by_group,
        gaps=gaps_with_intervals(by_group, points.gaps, resamples[:-1]),
        repeats=int(repeats),
        seed=int(seed),
    )


# --- values ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Points:
    """What MetricFrame measures; NaN where there is nothing to measure. values: one dict per group."""

    overall: dict[str, float]
    values: list[dict[str, float]]
    gaps: dict[str, float]


def _where(needed: Callable[[np.ndarray, np.ndarray], bool], metric: Callable) -> Callable:
    """The metric, NaN where what it needs is not there: the libraries say 0 or warn."""
    return lambda y_true, y_pred: float(metric(y_true, y_pred)) if needed(y_true, y_pred) else np.nan


_OF_DECISIONS = {
    "accuracy": accuracy_score,
    "selection_rate": selection_rate,
    "true_positive_rate": _where(lambda y, decided: (y == 1).any(), true_positive_rate),
    "false_positive_rate": _where(lambda y, decided: (y == 0).any(), false_positive_rate),
    "precision": _where(lambda y, decided: (decided == 1).any(), precision_score),
}
_OF_PROBABILITIES = {
    "auc": _where(lambda y, p: 0 < y.sum() < len(y), roc_auc_score),
    "calibration_error": calibration_error,
}


def _points(faces: Faces) -> _Points:
    codes = np.repeat(np.arange(len(faces.names)), [faces_in(part) for part in faces.parts])
    group = pd.Series(codes, name="group")
    frames = [
        MetricFrame(metrics=metrics, y_true=faces.labels, y_pred=predicted, sensitive_features=group)
        for metrics, predicted in ((_OF_DECISIONS, faces.decisions), (_OF_PROBABILITIES, faces.probability))
    ]
    rows = pd.concat([frame.by_group for frame in frames], axis=1).astype(np.float64)  # a group without faces: no row
    overall = pd.concat([frame.overall for frame in frames]).astype(np.float64)
    far = frames[0].difference(method="between_groups")
    gaps = {name: max(float(far[rate]) for rate in rates) for name, rates in RATES_OF_GAP.items()}
    gaps["worst_accuracy"] = float(frames[0].group_min()["accuracy"])
    empty = dict.fromkeys(METRICS, np.nan)
    return _Points(
        {name: float(overall[name]) for name in METRICS},
        [rows.loc[code].to_dict() if code in rows.index else empty for code in range(len(faces.names))],
        gaps,
    )


# --- one group -------------------------------------------------------------------------------------------


def _group_audit(
    name: str,
    faces: Faces,
    part: slice,
    threshold: float | None,
    values: dict[str, float],
    resamples: dict[str, np.ndarray],
) -> GroupAudit:
    labels, probability = faces.labels[part], faces.probability[part]
    ones = int(labels.sum())
    return GroupAudit(
        name=name,
        count=len(labels),
        by_class=(len(labels) - ones, ones),
        threshold=threshold,
        measures={
            metric: with_interval(
                values[metric],
                resamples[metric],
                why=NEEDS[metric] if len(labels) else "no faces",
                reflected=metric == "calibration_error",
            )
            for metric in METRICS
        },
        roc=_roc(labels, probability) if 0 < ones < len(labels) else None,
        reliability=reliability(labels, probability),
    )


def _roc(labels: np.ndarray, probability: np.ndarray) -> Curve:
    false_positives, true_positives, _ = roc_curve(labels, probability)
    return Curve(tuple(false_positives.tolist()), tuple(true_positives.tolist()))

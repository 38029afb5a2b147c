"""The bootstrap of an audit: every group resampled by itself, and the intervals of its metrics and gaps from that."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection

import numpy as np

from img2tab_core.audits.audit_record import SMALL, GroupAudit, Measure
from img2tab_core.audits.groups import Faces, faces_in
from img2tab_core.audits.metrics import BINS, GAPS, METRICS, NEEDS, RATES, RATES_OF_GAP, bin_of, gap_values, rate_of
from img2tab_core.base.errors import Cancelled
from img2tab_core.base.intervals import CONFIDENCE
from img2tab_core.base.jobs import silent

_CHUNK = 1_000_000  # resampled faces at once: 8 MB, and a moment
_TAIL = (1 - CONFIDENCE) / 2


def resampled(
    faces: Faces,
    *,
    repeats: int,
    seed: int,
    report: Callable[[float, str], None],
    cancelled: Callable[[], bool] | None,
    metrics: Collection[str] = tuple(METRICS),
) -> list[dict[str, np.ndarray]]:
    """Every metric of every resample, for each group and last for everyone; float64 (repeats,), NaN where undefined.

    metrics: those that are wanted; the resamples are the same ones whichever they are. Raises Cancelled once
    `cancelled` says so.
    """
    rng, n = np.random.default_rng(seed), len(faces.labels)
    whole = slice(0, n)
    counted = [_Counted(faces, part) for part in (*faces.parts, whole)]
    chunks_of: list[list[dict[str, np.ndarray]]] = [[] for _ in counted]
    step = max(1, _CHUNK // n)
    for start in range(0, repeats, step):
        if cancelled is not None and cancelled():
            raise Cancelled("The audit was stopped; nothing was changed.")
        size = min(step, repeats - start)
        times = np.empty((size, n))  # how often each resample has each face
        for part in faces.parts:
            times[:, part] = times_sampled(rng, size, faces_in(part))
        for counter, part, results in zip(counted, (*faces.parts, whole), chunks_of, strict=True):
            results.append(counter.measured(times[:, part], metrics))
        report(0.98 * (start + size) / repeats, f"{start + size:,} of {repeats:,} resamples")
    return [{name: np.concatenate([chunk[name] for chunk in chunks]) for name in metrics} for chunks in chunks_of]


def with_interval(value: float, resamples: np.ndarray, *, why: str, reflected: bool) -> Measure:
    """A metric of a group with its percentile interval; resamples (repeats,); why it is not there where it is NaN."""
    if np.isnan(value):
        return Measure(None, None, None, why)
    known = resamples[~np.isnan(resamples)]
    if not len(known):
        return Measure(value, None, None, "no resample could be measured")
    low, high = (float(bound) for bound in np.quantile(known, (_TAIL, 1 - _TAIL)))
    if reflected:
        low, high = max(2 * value - high, 0.0), max(2 * value - low, 0.0)
    note = ""
    if len(known) < len(resamples):
        note = f"{len(known):,} of {len(resamples):,} resamples could be measured"
    elif low == high:
        note = "every resample gives the same, which does not make it certain"
    return Measure(value, min(low, value), max(high, value), note)


def gaps_with_intervals(
    by_group: tuple[GroupAudit, ...], values: dict[str, float], resamples: list[dict[str, np.ndarray]]
) -> dict[str, Measure]:
    """Every gap; values: of each by its name; resamples: the metrics' resamples of each group."""
    return {name: _gap(name, by_group, values[name], resamples) for name in GAPS}


def gap_alone(faces: Faces, name: str, *, repeats: int = 1000, seed: int = 0) -> Measure:
    """One gap with its interval, to the bit what an audit of the same faces says, without what it is not made of.

    name: one of `RATES_OF_GAP`, or of RATES for the largest difference in that rate by itself.
    """
    rates, counts = RATES_OF_GAP.get(name, (name,)), confusions_of(faces)
    resamples = resampled(faces, repeats=repeats, seed=seed, report=silent, cancelled=None, metrics=rates)
    by_group = tuple(
        GroupAudit(
            name=group,
            count=int(confusion.sum()),
            by_class=(int(confusion[:2].sum()), int(confusion[2:].sum())),
            threshold=faces.cuts[group],
            measures={
                rate: with_interval(
                    float(rate_of(confusion, rate)),
                    resampled_rates[rate],
                    why=NEEDS[rate] if confusion.any() else "no faces",
                    reflected=False,
                )
                for rate in rates
            },
            roc=None,
            reliability=(),
        )
        for group, confusion, resampled_rates in zip(faces.names, counts, resamples, strict=False)
    )
    if name in RATES_OF_GAP:
        value = float(gap_values(counts)[name])
    else:
        known = rate_of(counts, name)
        known = known[~np.isnan(known)]
        value = float(np.ptp(known)) if len(known) > 1 else np.nan
    return _gap(name, by_group, value, resamples[:-1])


def confusions_of(faces: Faces) -> np.ndarray:
    """Faces of each group by label and decision: int64 (groups, 4) of tn, fp, fn, tp."""
    kinds = 2 * faces.labels + faces.decisions
    return np.stack([np.bincount(kinds[part], minlength=4) for part in faces.parts])


def times_sampled(rng: np.random.Generator, size: int, n: int) -> np.ndarray:
    """How often each of n faces is sampled when n are sampled with replacement, `size` times over; int64 (size, n)."""
    sampled = rng.integers(n, size=(size, n)) if n else np.empty((size, 0), np.int64)
    sampled += n * np.arange(size)[:, None]
    return np.bincount(sampled.ravel(), minlength=size * n).reshape(size, n)


class Ranked:
    """Faces in the order of their probabilities, so that the AUC of many resamples is a matter of weights."""

    def __init__(self, labels: np.ndarray, probability: np.ndarray) -> None:
        """labels: (n,) of 0 and 1; probability: float64 (n,) of class 1, in [0, 1]."""
        self.order = np.argsort(probability, kind="stable")
        self.ones = labels[self.order].astype(np.float64)
        self.starts = np.flatnonzero(np.diff(probability[self.order], prepend=-1) > 0)  # of equal probabilities

    def auc(self, times: np.ndarray) -> np.ndarray:
        """Share of pairs of the two classes in the right order, ties half; float64 (b,), NaN without such a pair.

        times: (b, n), how often each resample has each face.
        """
        if not len(self.order):
            return np.full(len(times), np.nan)
        times = times[:, self.order]
        ones = np.add.reduceat(times * self.ones, self.starts, axis=1)  # (b, different probabilities)
        zeros = np.add.reduceat(times * (1 - self.ones), self.starts, axis=1)
        below = np.cumsum(zeros, axis=1)
        pairs = ones.sum(axis=1) * below[:, -1]
        right = (ones * (below - zeros / 2)).sum(axis=1)
        return np.divide(right, pairs, out=np.full(len(times), np.nan), where=pairs > 0)


class _Counted:
    """Some faces prepared so that all their metrics follow from how often each of them was sampled."""

    def __init__(self, faces: Faces, part: slice) -> None:
        labels, probability = faces.labels[part], faces.probability[part]
        n = len(labels)
        self.n = n
        kinds, at = 2 * labels + faces.decisions[part], bin_of(probability)
        self.columns = np.zeros((n, 4 + BINS))  # tn, fp, fn, tp; per bin: probability - label
        self.columns[np.arange(n), kinds] = 1
        self.columns[np.arange(n), 4 + at] = probability - labels
        self.ranked = Ranked(labels, probability)

    def measured(self, times: np.ndarray, metrics: Collection[str] = tuple(METRICS)) -> dict[str, np.ndarray]:
        """times float64 (b, n) -> the metrics of these names, float64 (b,)."""
        sums = times @ self.columns  # (b, 4 + bins)
        measured = {name: rate_of(sums[:, :4], name) for name in RATES if name in metrics}
        if "calibration_error" in metrics:
            far = np.abs(sums[:, 4:]).sum(axis=1)
            measured["calibration_error"] = far / self.n if self.n else np.full(len(times), np.nan)
        if "auc" in metrics:
            measured["auc"] = self.ranked.auc(times)
        return measured


def _gap(name: str, by_group: tuple[GroupAudit, ...], value: float, resamples: list[dict[str, np.ndarray]]) -> Measure:
    """One gap; resamples: the metrics' resamples of each group."""
    rates = ("accuracy",) if name == "worst_accuracy" else RATES_OF_GAP.get(name, (name,))
    known = {
        rate: [code for code, group in enumerate(by_group) if group.measures[rate].value is not None] for rate in rates
    }
    for rate in rates:
        if len(known[rate]) < 2:
            why = "there are no others" if len(by_group) < 2 else f"the others have {NEEDS[rate]}"
            return Measure(
                None,
                None,
                None,
                f"at least two groups are needed, and {why}" if known[rate] else f"no group has it: {NEEDS[rate]}",
            )
    if name == "worst_accuracy":
        each = np.stack([resamples[code]["accuracy"] for code in known["accuracy"]])  # (groups, repeats)
        low = float(np.quantile(each, _TAIL / len(each), axis=1).min())
        high = float(np.quantile(each, 1 - _TAIL, axis=1).min())
    else:
        low, high = _furthest(
            np.stack(
                [
                    resamples[first][rate] - resamples[second][rate]
                    for rate in rates
                    for first, second in itertools.combinations(known[rate], 2)
                ]
            )
        )
    used = sorted({code for codes in known.values() for code in codes})
    return Measure(value, min(low, value), max(high, value), _gap_note(by_group, known, used))


def _furthest(differences: np.ndarray) -> tuple[float, float]:
    """The interval of the largest of several sizes, from the resamples of each signed difference, (pairs, repeats)."""
    tail = _TAIL / len(differences)  # Bonferroni: one clear pair among many is luck
    below, above = np.nanquantile(differences, (tail, 1 - tail), axis=1)
    nearest = np.where((below <= 0) & (above >= 0), 0, np.minimum(np.abs(below), np.abs(above)))
    return float(nearest.max()), float(np.abs(np.nanquantile(differences, (_TAIL, 1 - _TAIL), axis=1)).max())


def _gap_note(by_group: tuple[GroupAudit, ...], known: dict[str, list[int]], used: list[int]) -> str:
    """What to keep in mind: the groups that a gap leaves out, the small ones it rests on."""
    notes = []
    for code, group in enumerate(by_group):
        reasons = dict.fromkeys(group.measures[rate].note for rate, codes in known.items() if code not in codes)
        if reasons:
            notes.append(f"without {group.name} ({', '.join(reasons)})")
    small = [by_group[code].name for code in used if by_group[code].small]
    if small:
        notes.append(f"fewer than {SMALL} faces: {'; '.join(small)}")
    return "; ".join(notes)

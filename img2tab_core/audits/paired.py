"""Two classifiers on the same faces: which faces each decides rightly, and whether chance explains the difference.

Two intervals that overlap say little about two classifiers that judged the same faces, because most faces are judged
alike by both. So the faces are compared one by one: an exact McNemar test for the decisions, and a bootstrap that gives
both classifiers the same resampled faces for everything else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from numbers import Integral

import numpy as np
from scipy.stats import binomtest
from sklearn.metrics import log_loss, roc_auc_score

from img2tab_core.audits.bootstrap import Ranked, times_sampled
from img2tab_core.audits.groups import STANDARD, Groups, crossed
from img2tab_core.audits.metrics import GAPS, RATES_OF_GAP, gap_values, rate_of
from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.files import plain
from img2tab_core.base.intervals import CONFIDENCE
from img2tab_core.base.words import count, points, signed

REPEATS = 1000  # resamples of the faces
# which chance an interval or a test of two classifiers on the same faces covers, in words
OF_FACES = "other test faces would give other numbers within these bounds; training again is a chance of its own"
_FEWEST_REPEATS = 40  # a 95 % interval needs so many
_AT_ONCE = 1_000_000  # resampled faces held at once: 8 MB
_TAIL = (1 - CONFIDENCE) / 2
_SMALLEST = float(np.finfo(np.float64).eps)  # a probability is held this far from 0 and 1 for log-loss, as sklearn does


@dataclass(frozen=True)
class Difference:
    """A number of the second classifier minus that of the first, with the 95 % interval of a paired bootstrap."""

    value: float
    low: float
    high: float

    @property
    def beyond_chance(self) -> bool:
        """Whether the whole interval lies on one side of 0: other faces would hardly turn the difference around."""
        return self.low > 0 or self.high < 0

    @property
    def in_points(self) -> str:
        """For shares: "−17.2 points (−19.1 to −15.0)"."""
        return f"{points(self.value)} ({signed(100 * self.low)} to {signed(100 * self.high)})"


@dataclass(frozen=True)
class PairedComparison:
    """Two classifiers on the same faces; every difference is after minus before.

    faces: compared. lost: decided rightly before and wrongly after; gained: the other way round. p_value: of the exact
    McNemar test, two-sided: how often a fair coin splits lost + gained faces at least this unevenly. accuracy, auc and
    log_loss (natural logarithm, smaller is better): on all faces. gaps: by the names of `metrics.GAPS`, on the faces
    whose group is known, empty where no groups were given; None where a gap cannot be measured.
    """

    faces: int
    lost: int
    gained: int
    p_value: float
    accuracy: Difference
    auc: Difference
    log_loss: Difference
    gaps: dict[str, Difference | None] = field(default_factory=dict)

    @property
    def beyond_chance(self) -> bool:
        """Whether accuracy changed by more than chance explains: p below 0.05."""
        return self.p_value < 1 - CONFIDENCE

    @property
    def sentence(self) -> str:
        """ "60 faces lost and 29 gained of 2,851: more than chance explains (p = 0.001, exact McNemar)." """
        if self.lost + self.gained == 0:
            return f"Both decide each of {count(self.faces, 'face')} alike."
        conclusion = "more than chance explains" if self.beyond_chance else "chance alone could explain it"
        return (
            f"{count(self.lost, 'face')} lost and {self.gained:,} gained of {self.faces:,}: {conclusion} "
            f"({p_text(self.p_value)}, exact McNemar)."
        )

    def to_json(self) -> dict:
        """Plain types, with the sentence."""
        return plain(asdict(self)) | {"beyond_chance": self.beyond_chance, "sentence": self.sentence}


def paired_comparison(
    labels: np.ndarray,
    before: np.ndarray,
    after: np.ndarray,
    *,
    groups: Sequence[Groups] = (),
    repeats: int = REPEATS,
    seed: int = 0,
) -> PairedComparison:
    """Compare two classifiers that judged the same faces, face by face.

    labels: (n,) of 0 and 1, both present. before, after: float64 (n,), each classifier's probability of class 1 in
    [0, 1]; above 0.5 a face is given class 1. groups: none, or one or two attributes of the same n faces, for the gaps.
    repeats: resamples of the faces; both classifiers are measured on the same ones. Of `img2tab` runs, labels and
    probabilities are what `studio.trainer.test_answers(run)` gives; `Auditor.compare_runs` does that.

    Raises Img2TabError where these are not of the same faces, or a label or probability is no such number.
    """
    labels, before, after = _checked(labels, before, after)
    _check_repeats(repeats)
    decided = [probability > STANDARD for probability in (before, after)]
    right = [decisions == (labels == 1) for decisions in decided]
    lost, gained = int((right[0] & ~right[1]).sum()), int((~right[0] & right[1]).sum())
    gaps: dict[str, Difference | None] = {}
    if groups:
        codes = crossed(groups).codes
        if codes.shape != labels.shape:
            raise Img2TabError(
                f"There must be one group for each face, got {len(codes):,} for {len(labels):,} faces. "
                "Take the groups of the same rows."
            )
        known = paired_gaps(labels, decided[0], decided[1], codes, repeats=repeats, seed=seed)
        gaps = {name: known[name] for name in GAPS}
    return PairedComparison(
        faces=len(labels),
        lost=lost,
        gained=gained,
        p_value=float(binomtest(gained, lost + gained).pvalue) if lost + gained else 1.0,
        **_overall(labels, (before, after), right, repeats=int(repeats), seed=seed),
        gaps=gaps,
    )


def paired_gaps(
    labels: np.ndarray,
    before: np.ndarray,
    after: np.ndarray,
    codes: np.ndarray,
    *,
    repeats: int = REPEATS,
    seed: int = 0,
) -> dict[str, Difference | None]:
    """How the gaps between groups differ between two sets of decisions on the same faces, and the accuracy.

    labels: (n,) of 0 and 1. before, after: decisions 0 or 1 (or bool), (n,), or (seeds, n) where classifiers were
    trained with several seeds: the difference is then the mean over the seeds, each resample of the faces the same for
    all of them. codes: int (n,), each face's group; -1 (unknown) is left out. Returns the names of `metrics.GAPS` and
    "accuracy"; None where it cannot be measured.

    Each group is resampled by itself, as in an audit. A gap is the largest of several differences, and a resample can
    only make a gap of 0 larger; percentiles of it held the true change of four groups in 60 of 100 trials only. So each
    side's interval follows the signed difference that makes its gap, at a level corrected for how many differences
    there are to choose from, again as in an audit: 90 to 100 of 100 then (two and four groups, 500 and 2,800 faces).

    Raises Img2TabError where the shapes do not go together or no face has a known group.
    """
    labels, codes = np.asarray(labels), np.asarray(codes)
    sides = [np.atleast_2d(np.asarray(decisions)).astype(np.int64) for decisions in (before, after)]  # (seeds, n)
    if sides[0].shape != sides[1].shape or not labels.shape == codes.shape == sides[0].shape[1:]:
        raise Img2TabError(
            "Two classifiers must be compared on the same faces, one label, group and decision each, got "
            f"{labels.shape}, {codes.shape}, {sides[0].shape} and {sides[1].shape}."
        )
    _check_repeats(repeats)
    if not (codes >= 0).any():
        raise Img2TabError("No face has a known group, so there is no gap. Choose another attribute.")
    rng = np.random.default_rng(seed)
    exact, resampled = [], []  # of each group: confusions (1, both, seeds, 4) and (repeats, both, seeds, 4)
    for code in range(int(codes.max()) + 1):
        at = np.flatnonzero(codes == code)
        kinds = np.stack([2 * labels[at] + decisions[:, at] for decisions in sides])  # (both, seeds, m)
        hot = (kinds[..., None] == np.arange(4)).astype(np.float64)  # (both, seeds, m, 4)
        flat = np.moveaxis(hot, 2, 0).reshape(len(at), 8 * len(sides[0]))  # (m, both * seeds * 4)
        shape = (2, len(sides[0]), 4)
        exact.append(flat.sum(axis=0).reshape(1, *shape))
        step = max(1, _AT_ONCE // max(1, len(at)))
        chunks = [
            times_sampled(rng, min(step, repeats - start), len(at)) @ flat for start in range(0, int(repeats), step)
        ]
        resampled.append(np.concatenate(chunks).reshape(int(repeats), *shape))
    return _gap_differences(np.stack(exact)[:, 0], np.stack(resampled))


def p_text(p_value: float) -> str:
    """0.00134 -> "p = 0.001", 0.73 -> "p = 0.73", 1e-9 -> "p < 0.001"."""
    if p_value < 0.0005:
        return "p < 0.001"
    return f"p = {p_value:.{3 if p_value < 0.1 else 2}f}"


def _gap_differences(exact: np.ndarray, resampled: np.ndarray) -> dict[str, Difference | None]:
    """Confusions (groups, both, seeds, 4), and of the resamples (groups, repeats, both, seeds, 4) -> differences."""
    values = gap_values(exact)  # each (both, seeds)
    differences: dict[str, Difference | None] = {}
    for name in GAPS:
        if np.isnan(values[name]).any():
            differences[name] = None
            continue
        value = float((values[name][1] - values[name][0]).mean())
        makers, of_resamples = _makers(name, exact, resampled)  # (m, both, seeds), (m, repeats, both, seeds)
        most = np.nanargmin(makers, axis=0) if name == "worst_accuracy" else np.nanargmax(np.abs(makers), axis=0)
        total = np.zeros(resampled.shape[1])
        for side, seed in np.ndindex(*most.shape):
            maker = most[side, seed]
            sign = 1.0 if name == "worst_accuracy" else np.sign(makers[maker, side, seed])
            total += (1 if side else -1) * sign * of_resamples[maker, :, side, seed] / most.shape[1]
        total = np.clip(total, -1, 1)  # the signed difference that is followed may go beyond what a gap can
        chosen_from = int((~np.isnan(makers)).any(axis=(1, 2)).sum())  # a group without faces is none to choose
        known = bool((~np.isnan(total)).any())
        differences[name] = _interval(value, total, tail=_TAIL / chosen_from) if known else None
    right, of_resamples = (_accuracy(counts) for counts in (exact, resampled))
    change = (of_resamples[:, 1] - of_resamples[:, 0]).mean(axis=-1)
    return differences | {"accuracy": _interval(float((right[1] - right[0]).mean()), change)}


def _makers(name: str, exact: np.ndarray, resampled: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What a gap is the extreme of: the signed differences of every pair of groups, or each group's accuracy."""
    if name == "worst_accuracy":
        return rate_of(exact, "accuracy"), rate_of(resampled, "accuracy")
    first, second = np.triu_indices(len(exact), 1)
    rates = RATES_OF_GAP[name]
    rates_of = [[rate_of(counts, rate) for rate in rates] for counts in (exact, resampled)]
    makers, of_resamples = (np.concatenate([rate[first] - rate[second] for rate in each]) for each in rates_of)
    return makers, of_resamples


def _accuracy(counts: np.ndarray) -> np.ndarray:
    """Confusions (groups, ..., 4) -> the accuracy of all groups together; float64 (...)."""
    return rate_of(counts.sum(axis=0), "accuracy")


def _overall(
    labels: np.ndarray,
    probabilities: Sequence[np.ndarray],
    right: Sequence[np.ndarray],
    *,
    repeats: int,
    seed: int,
) -> dict[str, Difference]:
    """The differences of accuracy, AUC and log-loss on all faces."""
    n, rng = len(labels), np.random.default_rng(seed)
    ranked = [Ranked(labels, probability) for probability in probabilities]
    losses = [_losses(labels, probability) for probability in probabilities]
    per_face = np.stack([right[1].astype(np.float64) - right[0], losses[1] - losses[0]], axis=1)  # (n, 2)
    means, aucs = [], []
    step = max(1, _AT_ONCE // n)
    for start in range(0, repeats, step):
        times = times_sampled(rng, min(step, repeats - start), n)  # (b, n)
        means.append(times @ per_face / n)
        aucs.append(ranked[1].auc(times) - ranked[0].auc(times))
    spread = np.concatenate(means)
    auc, loss = (
        float(metric(labels, probabilities[1]) - metric(labels, probabilities[0]))
        for metric in (roc_auc_score, log_loss)
    )
    return {
        "accuracy": _interval(float(per_face[:, 0].mean()), spread[:, 0]),
        "auc": _interval(auc, np.concatenate(aucs)),
        "log_loss": _interval(loss, spread[:, 1]),
    }


def _losses(labels: np.ndarray, probability: np.ndarray) -> np.ndarray:
    """The log-loss of each face; float64 (n,)."""
    held = np.clip(probability, _SMALLEST, 1 - _SMALLEST)
    return -np.log(np.where(labels == 1, held, 1 - held))


def _interval(value: float, resamples: np.ndarray, *, tail: float = _TAIL) -> Difference:
    """The percentiles of the resamples that could be measured, float64 (repeats,); at least one."""
    low, high = (float(bound) for bound in np.nanquantile(resamples, (tail, 1 - tail)))
    return Difference(value, min(low, value), max(high, value))


def _checked(labels: np.ndarray, before: np.ndarray, after: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    labels = np.asarray(labels)
    before, after = np.asarray(before, np.float64), np.asarray(after, np.float64)
    if labels.ndim != 1 or not labels.shape == before.shape == after.shape:
        raise Img2TabError(
            "Two classifiers must be compared on the same faces, with one label and two probabilities each, got "
            f"{labels.shape}, {before.shape} and {after.shape}. Take the answers of both on the same rows."
        )
    if not np.isin(labels, (0, 1)).all():
        raise Img2TabError(f"Labels must be 0 or 1, got {np.unique(labels)[:5].tolist()}. Leave unknown ones out.")
    if len(np.unique(labels)) < 2:
        raise Img2TabError(f"There must be faces of both classes, got {len(labels):,} of one. Compare on other faces.")
    if not all(((given >= 0) & (given <= 1)).all() for given in (before, after)):
        raise Img2TabError("Probabilities must be numbers between 0 and 1, got others. Predict again.")
    return labels.astype(np.int64), before, after


def _check_repeats(repeats: int) -> None:
    if not isinstance(repeats, Integral) or repeats < _FEWEST_REPEATS:
        raise Img2TabError(f"A 95 % interval needs at least {_FEWEST_REPEATS} resamples, got {repeats}. Use 1000.")

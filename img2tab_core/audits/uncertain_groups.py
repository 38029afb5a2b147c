"""A gap between groups that a network only perceives: corrected for how often it errs, with an interval that says so.

A table without a sensitive attribute can still be audited where a network reads the attribute from each face. It errs,
and what it errs in makes a gap look smaller (Chen et al. 2019, "Fairness under unawareness"). Where its errors of
either kind were counted on faces whose group is known, the counts of true groups follow from those of perceived ones
(Rogan and Gladen 1978, "Estimating prevalence from the results of a screening test"), and both chances go into the
interval: that of the faces, and that of the faces the network's errors were counted on.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass

import numpy as np

from img2tab_core.audits.audit_record import SMALL, Measure
from img2tab_core.audits.matrix import short
from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.files import plain
from img2tab_core.base.intervals import wilson
from img2tab_core.base.words import count, listed, percent

REPEATS = 2000
OF_PHOTOS = ("folder", "celeba")  # kinds of imports whose faces are photos, judged with the calibration
SEES = 0.2  # Youden's index (right of group 0 plus right of group 1 minus 1) below which a network tells too little
_TAILS = 0.05 / 2 / 2  # of two signed differences, as of a gap in an audit: the larger one counts
_COUNTED = re.compile(r"\s*(\d+)\s*/\s*(\d+)\s*[,;]\s*(\d+)\s*/\s*(\d+)\s*")


@dataclass(frozen=True)
class GroupError:
    """How often a network perceives a group rightly. by: the network in words; on: the faces it was counted on, in
    words; right of faces: of group 0 and of group 1.

    Making one raises Img2TabError where the counts are none.
    """

    by: str
    on: str
    right: tuple[int, int]
    faces: tuple[int, int]

    def __post_init__(self) -> None:
        for right, faces in zip(self.right, self.faces, strict=True):
            if not 0 <= right <= faces or not faces:
                raise Img2TabError(
                    f"How often a network is right is told as counts of faces, got {right} of {faces}. Name a count "
                    "between 0 and that of the faces, for either group."
                )

    @property
    def shares(self) -> tuple[float, float]:
        """Of group 0 and of group 1 the share that is perceived so."""
        first, second = (right / faces for right, faces in zip(self.right, self.faces, strict=True))
        return first, second

    def sentence(self, groups: tuple[str, str]) -> str:
        """ "A network tells the group of 96.0 % (93.1 % to 97.7 %) of the female and ... male faces rightly." """
        parts = []
        for number, group in enumerate(groups):
            low, high = wilson(self.right[number], self.faces[number])
            parts.append(f"{percent(self.shares[number])} ({percent(low)} to {percent(high)}) of the {short(group)}")
        return f"{self.by} tells the group of {listed(parts)} faces rightly, counted on {self.on}."


def counted(text: str, by: str) -> GroupError:
    """What a person counted on faces of their own, "46/50,48/50": of 50 faces of group 0, 46 are perceived so, then
    group 1. Raises Img2TabError where it is something else."""
    match = _COUNTED.fullmatch(text)
    if match is None:
        raise Img2TabError(
            "How often the groups are perceived rightly is written as counts of faces of the first and of the second "
            f"class, as 46/50,48/50, got {text!r}."
        )
    right, faces, other_right, other_faces = map(int, match.groups())
    return GroupError(by, "faces of your own", (right, other_right), (faces, other_faces))


@dataclass(frozen=True)
class UncertainGap:
    """The larger of the differences between two groups in true and in false positive rate, where groups are perceived.

    naive: with perceived groups as if they were the true ones, and the interval of the faces alone; corrected: for the
    network's errors, and the interval of both chances; None with a note where it cannot be told. by_label: the same
    gap among the faces of class 0 and of class 1, each with its own interval at that level. shares: corrected,
    of every group the share of faces of class 0 that are given class 1 and that of class 1 that are given class 0, None
    where it cannot be measured. group_share: corrected, of group 1 among all faces. faces: perceived as group 0 and 1.
    """

    groups: tuple[str, str]
    classes: tuple[str, str]
    error: GroupError
    naive: Measure
    corrected: Measure
    by_label: tuple[Measure, Measure]
    shares: tuple[tuple[float | None, float | None], tuple[float | None, float | None]]
    group_share: float | None
    faces: tuple[int, int]

    @property
    def sentence(self) -> str:
        """The corrected gap with its interval and direction, the naive one beside it; or why it cannot be told."""
        # the wider gap of both labels, but for one that may be luck where the other is not
        label = max((0, 1), key=lambda label: (bool(self.by_label[label].low), self.by_label[label].value or 0.0))
        value, low, high = self.by_label[label].value, self.by_label[label].low, self.by_label[label].high
        if self.corrected.value is None or value is None or low is None or high is None:
            return f"Cannot be told: {self.corrected.note}."
        rates = [group[label] or 0.0 for group in self.shares]
        worse = int(rates[1] > rates[0])
        labelled, called = short(self.classes[label]), short(self.classes[1 - label])
        names = [short(name) for name in self.groups]
        compared = (
            f"Of the faces labelled {labelled}, {percent(rates[worse])} of those that are {names[worse]} are called "
            f"{called}, {percent(rates[1 - worse])} of those that are {names[1 - worse]}"
        )
        text = (
            f"{compared}: {100 * value:.1f} points, 95\N{NO-BREAK SPACE}% interval {100 * low:.1f} to {100 * high:.1f}"
        )
        if not low:
            text = f"Cannot be told: {100 * value:.1f} points, 95\N{NO-BREAK SPACE}% interval {100 * low:.1f} to "
            text += f"{100 * high:.1f}, may be luck. {compared}"
        naive = "" if self.naive.value is None else f" With perceived groups as they are: {100 * self.naive.value:.1f}."
        return f"{text}.{naive}"

    @property
    def basis(self) -> str:
        """Whose groups these are, how often it errs, and what the correction takes for granted."""
        return (
            f"{self.error.sentence(self.groups)} The interval holds both chances: that of the faces, and that of those "
            "errors. It takes for granted that it errs as often about these faces, and as often where the classifier "
            "is right as where it is wrong."
        )

    def to_json(self) -> dict:
        """Plain types, with the sentences."""
        return plain(asdict(self)) | {"sentence": self.sentence, "basis": self.basis}


def counts_of(labels: np.ndarray, decisions: np.ndarray, perceived: np.ndarray) -> np.ndarray:
    """Faces by label, decision and perceived group, each (n,) of 0 and 1: int64 (2, 2, 2)."""
    kinds = 4 * labels.astype(np.int64) + 2 * decisions.astype(np.int64) + perceived.astype(np.int64)
    return np.bincount(kinds, minlength=8).reshape(2, 2, 2)


def uncertain_gap(
    counts: np.ndarray,
    error: GroupError,
    *,
    groups: tuple[str, str],
    classes: tuple[str, str],
    repeats: int = REPEATS,
    seed: int = 0,
) -> UncertainGap:
    """The gap between two groups that a network perceives, corrected for its errors.

    counts: int (2, 2, 2), see `counts_of`. In every label and decision the number of faces of group 1 is what makes the
    perceived number likely: (perceived as 1 - false ones) / (right of 1 + right of 0 - 1), held between none and all.
    The interval: faces of each label are resampled, and the network's shares are drawn from their posterior (Jeffreys'
    prior) each time; percentiles of the two signed differences at a level corrected for two, as of a gap in an audit.
    Raises Img2TabError where the counts have another shape or a negative number.
    """
    counts = np.asarray(counts)
    if counts.shape != (2, 2, 2) or (counts < 0).any():
        raise Img2TabError(f"Faces must be counted by label, decision and perceived group, got {counts.shape}.")
    perceived = int(counts[..., 0].sum()), int(counts[..., 1].sum())
    certain = np.ones((1, 2))
    at = np.array([error.shares])
    naive, corrected = _wrong(counts[None], certain)[0], _wrong(counts[None], at)[0]  # (2 groups, 2 labels)
    rng = np.random.default_rng(seed)
    resampled = np.stack(
        [
            rng.multinomial(total, each.ravel() / max(1, total), size=repeats).reshape(-1, 2, 2)
            if (total := int(each.sum()))
            else np.zeros((repeats, 2, 2), np.int64)
            for each in counts
        ],
        axis=1,
    )  # (repeats, label, decision, perceived)
    right, faces = (np.array(numbers, np.float64) for numbers in (error.right, error.faces))
    drawn = rng.beta(right + 0.5, faces - right + 0.5, size=(repeats, 2))
    note = _cannot(counts, error, groups, classes)
    unknown = Measure(None, None, None, note)
    told, by_label = (unknown, (unknown, unknown)) if note else _gap(corrected, _wrong(resampled, drawn))
    of_class = _true_faces(counts[None], at)[0].sum(axis=1)  # (label, group)
    total = of_class.sum()
    return UncertainGap(
        groups,
        classes,
        error,
        _gap(naive, _wrong(resampled, np.ones((repeats, 2))))[0],
        told,
        by_label,
        tuple(  # type: ignore[arg-type]
            tuple(None if np.isnan(share) or note else float(share) for share in group) for group in corrected
        ),
        float(of_class[:, 1].sum() / total) if total and not note else None,
        perceived,
    )


# --- inside ------------------------------------------------------------------------------------------------


def _cannot(counts: np.ndarray, error: GroupError, groups: tuple[str, str], classes: tuple[str, str]) -> str:
    """Why no gap can be told, "" where one can."""
    if sum(error.shares) - 1 < SEES:
        first, second = map(percent, error.shares)
        return f"{error.by} tells {first} and {second} of the two groups rightly, hardly more than a guess"
    faces = _true_faces(counts[None], np.array([error.shares]))[0].sum(axis=1)  # (label, group)
    label, group = np.unravel_index(int(faces.argmin()), faces.shape)
    if faces[label, group] < SMALL:
        few, words = round(float(faces[label, group])), f"{short(classes[label])} and {short(groups[group])}"
        return f"about {count(few, 'test face')} would be labelled {words}; it takes {SMALL}"
    return ""


def _true_faces(counts: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Perceived counts (r, label, decision, perceived) and shares seen rightly (r, 2) -> faces by true group, float64
    of the same shape."""
    all_faces = counts.sum(axis=-1)  # (r, label, decision)
    zero, one = shares[:, 0, None, None], shares[:, 1, None, None]
    index = np.maximum(zero + one - 1, 1e-9)
    of_one = np.clip((counts[..., 1] - (1 - zero) * all_faces) / index, 0, all_faces)
    return np.stack([all_faces - of_one, of_one], axis=-1)


def _wrong(counts: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """The share that is judged wrongly, float64 (r, group, label); NaN where a group has no faces of a class."""
    faces = _true_faces(counts, shares)  # (r, label, decision, group)
    whole = faces.sum(axis=2)  # (r, label, group)
    wrong = np.stack([faces[:, 0, 1], faces[:, 1, 0]], axis=1)  # (r, label, group)
    rate = np.divide(wrong, whole, out=np.full(whole.shape, np.nan), where=whole > 1e-9)
    return np.moveaxis(rate, 1, 2)


def _gap(value: np.ndarray, resamples: np.ndarray) -> tuple[Measure, tuple[Measure, Measure]]:
    """The larger gap of both labels, and that of each. value: (group, label); resamples: (r, group, label), shares
    judged wrongly."""
    signed = value[1] - value[0]  # (label,)
    if np.isnan(signed).any():
        none = Measure(None, None, None, "a group has no faces of a class")
        return none, (none, none)
    differences = resamples[:, 1] - resamples[:, 0]  # (r, label)
    low, high = np.nanquantile(differences, (_TAILS, 1 - _TAILS), axis=0)
    gap = np.abs(signed)
    nearest = np.minimum(np.maximum(np.maximum(low, -high), 0), gap)
    furthest = np.maximum(np.maximum(np.abs(low), np.abs(high)), gap)
    each = [Measure(float(gap[at]), float(nearest[at]), float(furthest[at])) for at in (0, 1)]
    # the clearer one says how near 0 the larger may be
    return Measure(float(gap.max()), float(nearest.max()), float(furthest.max())), (each[0], each[1])

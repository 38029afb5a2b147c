"""An audit of more than two classes: each against the rest, the worst pair of groups, how far off in their order."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from scipy.stats import binomtest, norm

from img2tab_core.audits.audit_record import Measure
from img2tab_core.audits.bootstrap import gap_alone
from img2tab_core.audits.groups import Groups, crossed, faces_of
from img2tab_core.audits.metrics import GAPS, HEADLINE, gaps_of
from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.files import plain
from img2tab_core.base.intervals import CONFIDENCE, wilson
from img2tab_core.base.records import Target
from img2tab_core.base.words import count as counted
from img2tab_core.base.words import percent

Side = tuple[float, int, str]  # a rate, the faces it is of, the group
LEAST = 10  # faces a rate is of; of fewer it is too few to say
SMALL = 30  # faces a mean is of
OF_CLASS = ("demographic_parity", HEADLINE)  # the gaps that are measured of every class


@dataclass(frozen=True)
class ClassOfGroup:
    """A class in a group: how many of its faces the group has, the share of them that is recognised, and the share of
    the group's other faces that is wrongly given this class; 0 to 1 with Wilson intervals."""

    name: str
    count: int
    recognised: Measure
    wrongly_given: Measure


@dataclass(frozen=True)
class GroupOfMany:
    """A group: faces, share that is right, confusion[true][given], each class, and where the classes have an order how
    many classes the answer is above the truth on average (negative: below)."""

    name: str
    count: int
    accuracy: Measure
    confusion: tuple[tuple[int, ...], ...]
    classes: tuple[ClassOfGroup, ...]
    shift: Measure | None


@dataclass(frozen=True)
class ClassGap:
    """One difference between two groups, of one class: first minus second, the first has the larger rate.

    what: "recognised" or "wrongly_given" as of `ClassOfGroup`, "shift" as of `GroupOfMany` (of no class). counts: faces
    that the two rates are of. at_once: how many differences the 95 % interval holds for together (Bonferroni).
    """

    what: str
    name: str
    first: str
    second: str
    rates: tuple[float, float]
    counts: tuple[int, int]
    measure: Measure
    at_once: int

    @property
    def sentence(self) -> str:
        """What a person reads: the group that is worse off first."""
        if self.measure.value is None or self.measure.low is None or self.measure.high is None:
            return f"{self.name}: {self.measure.note}."
        interval = "95 % interval {low} to {high}"
        if self.at_once > 1:
            interval += f", which holds for all {self.at_once} such differences at once"
        if self.what == "shift":
            interval = interval.format(low=f"{self.measure.low:.2f}", high=f"{self.measure.high:.2f}")
            return (
                f"The answer lies {abs(self.rates[0]):.2f} classes {_side(self.rates[0])} the truth on average for "
                f"{_plain(self.first)}, {abs(self.rates[1]):.2f} {_side(self.rates[1])} for {_plain(self.second)}: "
                f"{self.measure.value:.2f} apart ({interval})."
            )
        interval = interval.format(low=f"{100 * self.measure.low:.1f}", high=f"{100 * self.measure.high:.1f} points")
        missed = self.what == "recognised"
        groups, rates, counts = (self.first, self.second), self.rates, self.counts
        if missed:  # the smaller rate is the worse one
            groups, rates, counts = groups[::-1], rates[::-1], counts[::-1]
        name = _plain(self.name)
        whom, does = (name, "are recognised") if missed else (f"not {name}", f"are wrongly called {name}")
        return (
            f"Of {counts[0]:,} faces labelled {_plain(groups[0])} and {whom} {percent(rates[0])} {does}, of "
            f"{counts[1]:,} labelled {_plain(groups[1])} and {whom} {percent(rates[1])}: "
            f"{100 * self.measure.value:.1f} points {'fewer' if missed else 'more'} ({interval})."
        )


@dataclass(frozen=True)
class ManyClassAudit:
    """What a classifier of more than two classes does to groups of test faces, by the class it chooses.

    gaps: of every class, in their order, the gaps OF_CLASS against the rest with the intervals of any audit.
    differences: every class by every pair of groups that has enough faces, the largest first; order_gap: the largest
    difference of the mean shift, of classes in an order. too_few: what could not be measured, in words.
    """

    target: str
    attribute: str
    classes: tuple[str, ...]
    faces: int
    by_group: tuple[GroupOfMany, ...]
    gaps: tuple[dict[str, Measure], ...]
    differences: tuple[ClassGap, ...]
    order_gap: ClassGap | None
    too_few: tuple[str, ...]

    @property
    def worst(self) -> ClassGap | None:
        """The largest difference; None where there is none to measure."""
        return self.differences[0] if self.differences else None

    @property
    def sentence(self) -> str:
        """The answer first."""
        if self.worst is None:
            return (
                f"Too few faces to compare groups of {self.attribute}: no class has {LEAST} test faces in two of them."
            )
        parts = [f"The worst class and groups. {self.worst.sentence}"]
        if self.order_gap is not None:
            parts.append(self.order_gap.sentence)
        return " ".join(parts)

    def to_json(self) -> dict:
        """Plain types."""
        return plain(asdict(self)) | {
            "sentence": self.sentence,
            "worst": plain(asdict(self.worst)) if self.worst else None,
        }


def audit_classes(
    labels: np.ndarray, decided: np.ndarray, groups: Sequence[Groups], target: Target, *, repeats: int = 1000
) -> ManyClassAudit:
    """Every class against the rest in every group, and how far apart the groups are.

    labels: (n,) of 0 to K - 1, -1 where unknown; decided: (n,) the class that is given; groups: one attribute, or two
    that are crossed. The intervals of the differences are Newcombe's (1998, method 10: from two Wilson intervals) at a
    level that is corrected for how many differences are looked at, so that the largest of them may be picked and
    quoted. repeats: of the bootstrap, 0 leaves the gaps out. A rate of fewer than LEAST faces is not compared. Raises
    Img2TabError where no face has a label and a group.
    """
    formed, classes = crossed(groups), len(target.classes)
    known = (labels >= 0) & (formed.codes >= 0)
    if not known.any():
        raise Img2TabError(
            f"No test face has both a label and a group of {formed.attribute!r}. Choose another attribute."
        )
    labels, decided, codes = labels[known].astype(np.int64), decided[known].astype(np.int64), formed.codes[known]
    by_group = tuple(
        _group(name, labels[codes == g], decided[codes == g], target) for g, name in enumerate(formed.names)
    )
    members = Groups(formed.attribute, formed.names, codes)
    gaps = []
    for k in range(classes) if repeats else ():
        faces = faces_of((labels == k).astype(np.int64), (decided == k).astype(np.float64), [members], 0.5)
        gaps.append({name: gap_alone(faces, name, repeats=repeats) for name in OF_CLASS})
    differences, too_few = _differences(by_group, target)
    return ManyClassAudit(
        target=target.name,
        attribute=formed.attribute,
        classes=target.classes,
        faces=len(labels),
        by_group=by_group,
        gaps=tuple(gaps),
        differences=differences,
        order_gap=_order_gap(by_group) if target.ordered else None,
        too_few=too_few,
    )


def largest_gap(labels: np.ndarray, decided: np.ndarray, codes: np.ndarray, classes: int) -> float | None:
    """The largest over the classes of the gap HEADLINE of each against the rest, without an interval; None where none
    can be measured.

    labels, decided: (n,) of 0 to K - 1; codes: (n,) groups from 0.
    """
    gaps = [gaps_of(labels == k, decided == k, codes)[HEADLINE] for k in range(classes)]
    return max((gap for gap in gaps if gap is not None), default=None)


def _group(name: str, labels: np.ndarray, decided: np.ndarray, target: Target) -> GroupOfMany:
    classes, count = len(target.classes), len(labels)
    confusion = np.bincount(classes * labels + decided, minlength=classes**2).reshape(classes, classes)
    of_class, given = confusion.sum(axis=1), confusion.sum(axis=0)
    shift = None
    if target.ordered:
        off = (decided - labels).astype(np.float64)
        shift = Measure(None, None, None, "too few faces to say")
        if count >= SMALL:
            # faces that are all off by as much may be luck: of n without another there may be 3 / n ("rule of three")
            half = max(float(norm.ppf((1 + CONFIDENCE) / 2) * off.std(ddof=1) / np.sqrt(count)), 3 / count)
            shift = Measure(float(off.mean()), float(off.mean()) - half, float(off.mean()) + half)
    return GroupOfMany(
        name,
        count,
        _share(int(np.trace(confusion)), count),
        tuple(tuple(row) for row in confusion.tolist()),
        tuple(
            ClassOfGroup(
                target.classes[k],
                int(of_class[k]),
                _share(int(confusion[k, k]), int(of_class[k])),
                _share(int(given[k] - confusion[k, k]), int(count - of_class[k])),
            )
            for k in range(classes)
        ),
        shift,
    )


def _share(part: int, whole: int) -> Measure:
    if whole < LEAST:
        return Measure(None, None, None, f"too few faces to say ({whole})")
    return Measure(part / whole, *wilson(part, whole))


def _differences(by_group: tuple[GroupOfMany, ...], target: Target) -> tuple[tuple[ClassGap, ...], tuple[str, ...]]:
    sides: list[tuple[str, str, Side, Side]] = []  # what, class, the larger and the smaller rate
    too_few = []
    for k, name in enumerate(target.classes):
        for what in ("recognised", "wrongly_given"):
            enough = []
            for group in by_group:
                of_class = group.classes[k]
                rate = getattr(of_class, what).value
                faces = of_class.count if what == "recognised" else group.count - of_class.count
                if rate is None:
                    whom = name if what == "recognised" else f"not {name}"
                    too_few.append(f"{counted(faces, 'test face')} of {group.name} that are {whom}")
                else:
                    enough.append((rate, faces, group.name))
            pairs = (sorted(pair, reverse=True) for pair in itertools.combinations(enough, 2))
            sides += [(what, name, high, low) for high, low in pairs]
    made = [
        ClassGap(
            what,
            name,
            high[2],
            low[2],
            (high[0], low[0]),
            (high[1], low[1]),
            _newcombe(high, low, 1 - (1 - CONFIDENCE) / len(sides)),
            len(sides),
        )
        for what, name, high, low in sides
    ]
    return tuple(sorted(made, key=lambda gap: -(gap.rates[0] - gap.rates[1]))), tuple(dict.fromkeys(too_few))


def _newcombe(high: Side, low: Side, confidence: float) -> Measure:
    """The difference of two shares with its interval: Newcombe 1998, method 10."""
    (l1, u1), (l2, u2) = (
        binomtest(round(rate * faces), faces).proportion_ci(confidence, method="wilson")
        for rate, faces, _ in (high, low)
    )
    difference = high[0] - low[0]
    down = float(np.hypot(high[0] - l1, u2 - low[0]))
    up = float(np.hypot(u1 - high[0], low[0] - l2))
    return Measure(difference, max(difference - down, -1.0), min(difference + up, 1.0))


def _order_gap(by_group: tuple[GroupOfMany, ...]) -> ClassGap | None:
    measured = [
        (group.shift.value, (group.shift.high - group.shift.value), group)
        for group in by_group
        if group.shift is not None and group.shift.value is not None and group.shift.high is not None
    ]
    pairs = list(itertools.combinations(sorted(measured, key=lambda each: -each[0]), 2))
    if not pairs:
        return None
    first, second = max(pairs, key=lambda pair: pair[0][0] - pair[1][0])
    widened = float(norm.ppf(1 - (1 - CONFIDENCE) / 2 / len(pairs)) / norm.ppf((1 + CONFIDENCE) / 2))
    difference, half = first[0] - second[0], widened * float(np.hypot(first[1], second[1]))
    return ClassGap(
        "shift",
        "",
        first[2].name,
        second[2].name,
        (first[0], second[0]),
        (first[2].count, second[2].count),
        Measure(difference, difference - half, difference + half),
        len(pairs),
    )


def _plain(name: str) -> str:
    """Without the word that every label of a perceived attribute begins with."""
    return ", ".join(part.removeprefix("perceived ") for part in name.split(", "))


def _side(shift: float) -> str:
    return "above" if shift >= 0 else "below"


def rows_of(audited: ManyClassAudit) -> list[list[str]]:
    """The headings, then a row per class and group, for a terminal and a page."""
    rows = [["class", "group", "faces", "recognised", "95 % interval", "wrongly given it"]]
    for k, name in enumerate(audited.classes):
        for group in audited.by_group:
            of_class = group.classes[k]
            interval = ""
            if of_class.recognised.low is not None and of_class.recognised.high is not None:
                interval = f"{100 * of_class.recognised.low:.1f} to {100 * of_class.recognised.high:.1f}"
            rows.append(
                [
                    name,
                    group.name,
                    f"{of_class.count:,}",
                    _cell(of_class.recognised),
                    interval,
                    _cell(of_class.wrongly_given),
                ]
            )
    return rows


def gap_rows(audited: ManyClassAudit) -> list[list[str]]:
    """The headings, then of every class its gaps against the rest, in points with their interval."""
    rows = [["class against the rest", *(GAPS[name] for name in OF_CLASS)]]
    for k, (name, gaps) in enumerate(zip(audited.classes, audited.gaps, strict=True)):
        few = any(
            min(group.classes[k].count, group.count - group.classes[k].count) < LEAST for group in audited.by_group
        )
        # how often a class is given needs no label of it; the others rest on every group's faces of it and of the rest
        rows.append(
            [
                name,
                *("too few to say" if few and gap != "demographic_parity" else _points(gaps[gap]) for gap in OF_CLASS),
            ]
        )
    return rows


def _cell(measure: Measure) -> str:
    return "too few to say" if measure.value is None else f"{100 * measure.value:.1f} %"


def _points(measure: Measure) -> str:
    if measure.value is None or measure.low is None or measure.high is None:
        return "too few to say"
    return f"{100 * measure.value:.1f} ({100 * measure.low:.1f} to {100 * measure.high:.1f})"

"""Selection rates and impact ratios: how often each group is given the class, against the group given it most often.

The table that New York City asks for of tools that decide about employment (Local Law 144 of 2021; rules of the
Department of Consumer and Worker Protection, 6 RCNY 5-301): by each attribute, and by the crossing of two, with the
number of those assessed whose group is unknown. It sets no limit; the four fifths that are often quoted are a rule of
thumb of the federal guidelines on employee selection (29 CFR 1607.4 D, 1978).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

import numpy as np
import pandas as pd

from img2tab_core.audits.audit_record import SMALL, Measure
from img2tab_core.audits.groups import STANDARD, Groups, crossed
from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.files import plain
from img2tab_core.base.intervals import CONFIDENCE, wilson
from img2tab_core.base.records import decided_classes
from img2tab_core.base.words import count, listed, percent

LEAST_SHARE = 0.02  # of those assessed: a smaller group may be left out of the ratios (6 RCNY 5-301)
FOUR_FIFTHS = 0.8


@dataclass(frozen=True)
class GroupRate:
    """One group: how many faces it has and how many of them are given the class.

    share: its part of all faces assessed, 0 to 1. rate: how often the class is given, 0 to 1; ratio: that rate over the
    highest one; both with 95 % intervals, or None with the reason. left_out: small enough that the rule lets it be left
    out of the ratios, and it was.
    """

    name: str
    count: int
    selected: int
    share: float
    rate: Measure
    ratio: Measure
    left_out: bool


@dataclass(frozen=True)
class ImpactTable:
    """The groups of one attribute, or of two that are crossed.

    highest: the group whose rate the others' are divided by, None where no group can be measured; unknown: faces that
    were assessed and whose group is unknown, in no row.
    """

    attribute: str
    groups: tuple[GroupRate, ...]
    highest: str | None
    unknown: int

    @property
    def lowest(self) -> GroupRate | None:
        """The group with the lowest ratio; None where there are no ratios."""
        ratios = [group for group in self.groups if group.ratio.value is not None and group.name != self.highest]
        return min(ratios, key=lambda group: group.ratio.value or 0.0) if ratios else None

    def sentence(self, given: str) -> str:
        """The lowest ratio in words, and whether chance alone may explain it; given: the name of the class."""
        lowest = self.lowest
        if lowest is None or self.highest is None:
            return f"By {self.attribute.lower()}: too few to say."
        highest = next(group for group in self.groups if group.name == self.highest)
        low, high, value = lowest.ratio.low or 0.0, lowest.ratio.high or 0.0, lowest.ratio.value or 0.0
        beyond = "" if high < 1 else "; it reaches 1, so chance alone may explain it"
        return (
            f"By {self.attribute.lower()}: {lowest.name} are given “{given}” {percent(lowest.rate.value or 0)} of the "
            f"time, {highest.name} {percent(highest.rate.value or 0)}: an impact ratio of {value:.2f} "
            f"(95\N{NO-BREAK SPACE}% interval {low:.2f} to {high:.2f}{beyond})."
        )


@dataclass(frozen=True)
class ImpactRatios:
    """The impact ratios of a classifier's decisions by one attribute, or by two and by their crossing.

    given: the name of class 1, which is what being selected means here; threshold: a face whose probability is above it
    is given that class; faces: assessed in all, whatever is known of them.
    """

    given: str
    threshold: float
    faces: int
    least_share: float
    tables: tuple[ImpactTable, ...] = field(default=())

    @property
    def notes(self) -> tuple[str, ...]:
        """What holds for all the tables, a sentence each."""
        rule = (
            f"Groups of less than {100 * self.least_share:g} % of the faces are left out of the ratios, as New York's "
            "rule allows, and shown with what is left out of them."
            if self.least_share
            else "No group is left out for being a small part of the faces."
        )
        return (
            f"Selected means given “{self.given}”: a probability above {self.threshold:g}, on all test faces, also "
            "those without a label of what is predicted.",
            "Impact ratio: a group's rate over that of the group with the highest one. The intervals of the rates hold "
            "each by itself (Wilson); those of the ratios all together, as the highest group is known only after "
            "looking. They say what other faces would give, not what another training would.",
            f"{rule} Of fewer than {SMALL} faces nothing is measured.",
            f"The law sets no limit. Below {FOUR_FIFTHS} is the federal rule of thumb of four fifths; it says nothing "
            "about chance or cause.",
        )

    def to_json(self) -> dict:
        """Plain types."""
        return plain(asdict(self)) | {
            "sentences": [table.sentence(self.given) for table in self.tables],
            "notes": list(self.notes),
        }

    def frame(self) -> pd.DataFrame:
        """One row a group, table by table; a last row of each table counts the faces whose group is unknown."""
        rows: list[dict] = []
        for table in self.tables:
            rows += [_row(table, group) for group in table.groups]
            rows.append({"attribute": table.attribute, "group": "unknown", "faces": table.unknown})
        return pd.DataFrame(rows)


def impact_ratios(
    probability: np.ndarray,
    attributes: Sequence[Groups],
    *,
    given: str = "class 1",
    threshold: float = STANDARD,
    least_share: float = LEAST_SHARE,
) -> ImpactRatios:
    """How often each group is given class 1, and that over the rate of the group that is given it most often.

    probability: (n,) of class 1, 0 to 1, whatever the faces' labels are: what is asked is who is selected, not whether
    rightly. attributes: one, or two, each of n faces; of two their crossing is a table more. least_share: groups that
    are a smaller part of all faces get no ratio, and theirs is not the highest rate; 0 leaves none out. A group of
    fewer than `SMALL` faces has neither rate nor ratio.

    Intervals: Wilson's of a rate; of a ratio the closed form of Donner and Zou (2012, "MOVER-R") from the Wilson limits
    of its two rates, at a level divided among all pairs of groups (Bonferroni). Raises Img2TabError where there are not
    one or two attributes, or a number is out of its range.
    """
    given_to = np.asarray(probability, np.float64)
    if given_to.ndim != 1 or not len(given_to) or not ((given_to >= 0) & (given_to <= 1)).all():
        raise Img2TabError("Impact ratios need a probability between 0 and 1 for each face, got others. Predict again.")
    if not 0 <= threshold <= 1 or not 0 <= least_share < 1:
        raise Img2TabError(
            f"A threshold is between 0 and 1, and so is the least share of a group, got {threshold} and {least_share}."
        )
    formed = [*attributes, crossed(attributes)] if len(attributes) == 2 else [crossed(attributes)]
    if any(groups.codes.shape != given_to.shape for groups in formed):
        raise Img2TabError(
            f"There must be one group for each face, got {len(formed[0].codes):,} for {len(given_to):,} faces."
        )
    decided = decided_classes(given_to, threshold)
    return ImpactRatios(
        given, threshold, len(decided), least_share, tuple(_table(decided, groups, least_share) for groups in formed)
    )


def ratio_interval(
    part: tuple[int, int], whole: tuple[int, int], confidence: float = CONFIDENCE
) -> tuple[float, float]:
    """Interval of the ratio of two independent shares, each as (selected, count); of `whole` at least one is selected.

    Source: Donner and Zou 2012, "Closed-form confidence intervals for functions of the normal mean and standard
    deviation", from the Wilson limits of the two; the lower end written so that nothing is divided by 0.
    """
    share, low, high = part[0] / part[1], *wilson(*part, confidence)
    other, other_low, other_high = whole[0] / whole[1], *wilson(*whole, confidence)
    product = share * other
    below = low * (2 * share - low)
    far, near = other_high * (2 * other - other_high), other_low * (2 * other - other_low)
    lower = below / (product + math.sqrt(product**2 - below * far)) if product else 0.0
    return lower, (product + math.sqrt(product**2 - high * (2 * share - high) * near)) / near


# --- one table -------------------------------------------------------------------------------------------


def _table(decided: np.ndarray, groups: Groups, least_share: float) -> ImpactTable:
    """decided: int64 (n,) of 0 and 1."""
    known = groups.codes >= 0
    counts = np.bincount(groups.codes[known], minlength=len(groups.names))
    selected = np.bincount(groups.codes[known], decided[known], minlength=len(groups.names)).astype(np.int64)
    shares = counts / len(decided)
    left_out = (counts > 0) & (shares < least_share)
    measured = np.flatnonzero((counts >= SMALL) & ~left_out)
    rates = selected[measured] / counts[measured]
    highest = int(measured[rates.argmax()]) if len(measured) > 1 and rates.max() > 0 else None
    pairs = len(measured) * (len(measured) - 1) // 2
    rows = []
    for code, name in enumerate(groups.names):
        so_many, of_them = int(counts[code]), int(selected[code])
        ratio = Measure(None, None, None, _no_ratio(so_many, bool(left_out[code]), least_share, len(measured)))
        if code == highest:
            ratio = Measure(1.0, None, None, "the highest rate")
        elif highest is not None and code in measured:
            reference = int(selected[highest]), int(counts[highest])
            low, high = ratio_interval((of_them, so_many), reference, 1 - (1 - CONFIDENCE) / pairs)
            ratio = Measure(of_them * reference[1] / (so_many * reference[0]), low, high)
        rate = Measure(None, None, None, _too_few(so_many))
        if so_many >= SMALL:
            rate = Measure(of_them / so_many, *wilson(of_them, so_many))
        rows.append(GroupRate(name, so_many, of_them, float(shares[code]), rate, ratio, bool(left_out[code])))
    return ImpactTable(
        groups.attribute, tuple(rows), None if highest is None else groups.names[highest], int((~known).sum())
    )


def _too_few(faces: int) -> str:
    return f"too few to say: {count(faces, 'face')}, fewer than {SMALL}" if faces else "no faces"


def _no_ratio(faces: int, left_out: bool, least_share: float, measured: int) -> str:
    """Why a group has no ratio."""
    if faces < SMALL:
        return _too_few(faces)
    if left_out:
        return f"left out: less than {100 * least_share:g} % of the faces"
    return "no other group can be measured" if measured < 2 else "no group is given the class"


def _row(table: ImpactTable, group: GroupRate) -> dict:
    notes = [note for note in (group.rate.note, group.ratio.note) if note]
    return {
        "attribute": table.attribute,
        "group": group.name,
        "faces": group.count,
        "selected": group.selected,
        "selection rate": group.rate.value,
        "rate, low": group.rate.low,
        "rate, high": group.rate.high,
        "impact ratio": group.ratio.value,
        "ratio, low": group.ratio.low,
        "ratio, high": group.ratio.high,
        "left out": group.left_out,
        "note": listed(list(dict.fromkeys(notes))) if notes else "",
    }

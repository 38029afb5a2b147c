"""The record of an audit: what was measured of each group and between groups, computed once, then only read."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

from img2tab_core.audits.metrics import GAPS, METRICS, Bin
from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.files import plain

SMALL = 30  # a group of fewer faces is flagged


@dataclass(frozen=True)
class Measure:
    """A value and its 95 % interval.

    All three are None where it cannot be measured, and note says why; elsewhere a note says what to keep in mind.
    """

    value: float | None
    low: float | None
    high: float | None
    note: str = ""


@dataclass(frozen=True)
class Curve:
    """The corners of a ROC curve, from (0, 0) to (1, 1): false and true positive rates."""

    false_positive_rate: tuple[float, ...]
    true_positive_rate: tuple[float, ...]


@dataclass(frozen=True)
class GroupAudit:
    """What the classifier does to one group.

    count and by_class (faces of class 0, of class 1) come first: all else rests on them. threshold: a face above it is
    given class 1; None for everyone where the groups have their own. measures: by the names of METRICS. roc: None where
    the group has faces of one class only. reliability: the bins that have faces.
    """

    name: str
    count: int
    by_class: tuple[int, int]
    threshold: float | None
    measures: dict[str, Measure]
    roc: Curve | None
    reliability: tuple[Bin, ...]

    @property
    def small(self) -> bool:
        """Too few faces to rely on: it is shown and flagged."""
        return self.count < SMALL


@dataclass(frozen=True)
class Audit:
    """What a classifier does to each group of some faces; computed once, then only read.

    attributes: what forms the groups, two where they are crossed. by_group: every group, also one without faces. gaps:
    by the names of GAPS. faces: measured on; unlabelled: left out as their label is unknown; ungrouped: left out as
    their label is known and their group is not. Intervals: 95 % percentiles over `repeats` resamples.
    """

    attributes: tuple[str, ...]
    faces: int
    unlabelled: int
    ungrouped: int
    overall: GroupAudit
    by_group: tuple[GroupAudit, ...]
    gaps: dict[str, Measure]
    repeats: int
    seed: int

    def group(self, name: str) -> GroupAudit:
        """The group of this name, or everyone; raises Img2TabError where there is none."""
        for group in (*self.by_group, self.overall):
            if group.name == name:
                return group
        raise Img2TabError(f"A group must be one of {'; '.join(group.name for group in self.by_group)}, got {name!r}.")

    def to_json(self) -> dict:
        """Plain types."""
        return plain(asdict(self))

    @classmethod
    def from_json(cls, stored: dict) -> Audit:
        """What `to_json` gave, as it was; raises Img2TabError where it is something else."""
        try:
            return cls(
                **stored
                | {
                    "attributes": tuple(stored["attributes"]),
                    "overall": _group_from(stored["overall"]),
                    "by_group": tuple(map(_group_from, stored["by_group"])),
                    "gaps": _measures_from(stored["gaps"]),
                }
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise Img2TabError(f"This is not an audit ({error}). Audit again.") from error

    def frame(self) -> pd.DataFrame:
        """One row per group, everyone last: counts first, then each metric with its interval, and the notes."""
        return pd.DataFrame([_row(group) for group in (*self.by_group, self.overall)])

    def gap_frame(self) -> pd.DataFrame:
        """One row per gap: value, interval, note."""
        return pd.DataFrame(
            [
                {
                    "gap": title,
                    "value": _number(self.gaps[name].value),
                    "low": _number(self.gaps[name].low),
                    "high": _number(self.gaps[name].high),
                    "note": self.gaps[name].note,
                }
                for name, title in GAPS.items()
            ]
        )


def _row(group: GroupAudit) -> dict:
    row: dict[str, object] = {
        "group": group.name,
        "faces": group.count,
        "class 0": group.by_class[0],
        "class 1": group.by_class[1],
        "small": group.small,
        "threshold": _number(group.threshold),
    }
    for name, title in METRICS.items():
        measure = group.measures[name]
        row |= {
            title: _number(measure.value),
            f"{title}, low": _number(measure.low),
            f"{title}, high": _number(measure.high),
        }
    notes = [f"{METRICS[name]}: {measure.note}" for name, measure in group.measures.items() if measure.note]
    return row | {"note": "; ".join(notes)}


def _number(value: float | None) -> float:
    return np.nan if value is None else value


def _group_from(stored: dict) -> GroupAudit:
    return GroupAudit(
        **stored
        | {
            "by_class": tuple(stored["by_class"]),
            "measures": _measures_from(stored["measures"]),
            "roc": None
            if stored["roc"] is None
            else Curve(*(tuple(stored["roc"][name]) for name in ("false_positive_rate", "true_positive_rate"))),
            "reliability": tuple(Bin(**kept) for kept in stored["reliability"]),
        }
    )


def _measures_from(stored: dict) -> dict[str, Measure]:
    return {name: Measure(**kept) for name, kept in stored.items()}

"""Proxies: which channels carry the sensitive attribute, and which of them to exclude, by a stated rule."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from img2tab_core import tables
from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.records import StyleTable, read_only
from img2tab_core.base.words import count
from img2tab_core.concepts import scores, wasserstein
from img2tab_core.concepts.scores import BLOCK
from img2tab_core.tables.sampling import CELLS, known_rows

THRESHOLD = 0.05  # standard deviations, see `suggest`
RATIO = 0.15  # of the distance between the target's classes, see `suggest`
LEAST_KEPT = 0.03  # share of the channels that a suggestion leaves


@dataclass(frozen=True, eq=False)
class Carried:
    """How much every channel carries the sensitive attribute, and the target; float64 (D,), standard deviations.

    overall: Wasserstein-1 between the groups over all faces; within: between the groups within a class of the target,
    mean over the two classes; between: between the classes of the target within a group, mean over the two groups.
    shift: mean of group 1 minus mean of group 0 within a class, mean over the two classes; its size ranks for
    exclusion, its sign says which way to move a face. target_shift: mean of class 1 minus mean of class 0 within a
    group, mean over the two groups. error: what chance alone makes of a shift (one standard error,
    median over the channels). counts[class][group]: faces.

    Wasserstein-1 is never 0 between two samples: in a cell of 150 faces chance alone makes it 0.08. Signs let the two
    classes cancel chance, so the shift ranks better what carries little (measured on smile against perceived gender,
    6,250 excluded: 80 % of a gap closed where the ranking by `within` closed 66 %).
    """

    target: str
    sensitive: str
    overall: np.ndarray
    within: np.ndarray
    between: np.ndarray
    shift: np.ndarray
    target_shift: np.ndarray
    error: float
    counts: tuple[tuple[int, int], tuple[int, int]]

    @property
    def ranking(self) -> np.ndarray:
        """All channels, the largest shift first, ties by the lower index; int64 (D,)."""
        return scores.top(np.abs(self.shift), len(self.shift))


@dataclass(frozen=True)
class Suggestion:
    """Channels to exclude, the first first, the rule that found them in words, and how many remain.

    ranking: all channels in the order in which the rule would exclude more; `excluded` is its beginning, so a curve
    over the ranking passes through the suggestion.
    """

    excluded: tuple[int, ...]
    rule: str
    kept: int
    ranking: tuple[int, ...]


def carried(
    table: StyleTable,
    target: str,
    sensitive: str,
    *,
    rows: np.ndarray | None = None,
    progress: Callable[[float], None] | None = None,
) -> Carried:
    """How far apart the groups are in every channel, overall and within the classes of the target.

    rows: int64 (n,) row numbers of training faces, None for all of these; faces without both labels are left out. How
    often each cell occurs changes no shift. Faces of the validation and test split are refused: how much to exclude is
    chosen by the first and what it does is quoted on the second, and neither may say what to exclude.

    Raises Img2TabError for other rows, and where a class or a group has no face.
    """
    rows, labels, groups = known_rows(table, target, sensitive, rows)
    for split, name in ((1, "validation"), (2, "test")):
        other = int((table.split[rows] == split).sum())
        if other:
            raise Img2TabError(
                f"What to exclude must be found on training faces, got {count(other, 'face')} of the {name} split. "
                "Leave those out."
            )
    width, std = table.psi.shape[1], np.asarray(table.stats.std, np.float64)
    cells = {(c, g): np.flatnonzero((labels == c) & (groups == g)) for c, g in CELLS}
    overall, within, between, shift, target_shift, error = (np.zeros(width) for _ in range(6))
    for part in wasserstein.parts_of(width, BLOCK):
        codes = table.psi.T[part].take(rows, axis=1).T  # (n, b), column-major
        tables.let_go(table.psi)
        sd = std[part]
        overall[part] = wasserstein.wasserstein(codes, groups, std=sd)
        for code in (0, 1):
            for values, of, mask in ((within, groups, labels == code), (between, labels, groups == code)):
                here = np.flatnonzero(mask)
                values[part] += 0.5 * wasserstein.wasserstein(codes, of[here], std=sd, rows=here)
        means = {cell: codes[at].mean(axis=0, dtype=np.float64) for cell, at in cells.items()}
        noise = sum(codes[at].var(axis=0, dtype=np.float64) / len(at) for at in cells.values())
        scale = np.divide(1, sd, out=np.zeros(len(sd)), where=sd > 0)
        shift[part] = scale * (means[0, 1] - means[0, 0] + means[1, 1] - means[1, 0]) / 2
        target_shift[part] = scale * (means[1, 0] - means[0, 0] + means[1, 1] - means[0, 1]) / 2
        error[part] = scale * np.sqrt(noise) / 2
        if progress is not None:
            progress(part.stop / width)
    counts = ((len(cells[0, 0]), len(cells[0, 1])), (len(cells[1, 0]), len(cells[1, 1])))
    return Carried(
        target=target,
        sensitive=sensitive,
        overall=read_only(overall),
        within=read_only(within),
        between=read_only(between),
        shift=read_only(shift),
        target_shift=read_only(target_shift),
        error=float(np.median(error[std > 0])) if (std > 0).any() else 0.0,
        counts=counts,
    )


def suggest(shifts: Carried, *, threshold: float = THRESHOLD, ratio: float = RATIO) -> Suggestion:
    """Every channel whose shift is above `threshold` standard deviations or above `ratio` times its target shift.

    The ranking has the first kind, the largest shift first, then the others, the largest ratio first; 3 % of all
    channels stay. So much goes because each of thousands of weak proxies would otherwise stand in for the excluded
    ones. The threshold may lie below what chance makes of a shift: what is left is then what differs least, for the
    most it says about the target. Rankings by the ratio or the difference of the two distances alone closed less of a
    gap at every count: what tells the target's classes apart well does not become harmless by that.

    Raises Img2TabError where the threshold or the ratio is no finite number of at least 0.
    """
    for name, value in (("threshold", threshold), ("ratio", ratio)):
        if not (np.isfinite(value) and value >= 0):
            raise Img2TabError(f"The {name} must be a finite number of at least 0, got {value}.")
    size, of_target = np.abs(shifts.shift), np.abs(shifts.target_shift)
    share = np.divide(size, of_target, out=np.where(size > 0, np.inf, 0.0), where=of_target > 0)
    far = size > threshold
    ranking = np.lexsort((-np.where(far, size, share), ~far))  # lexsort is stable: ties by the lower index
    width, over = len(size), int((far | (share > ratio)).sum())
    least = max(1, int(np.ceil(LEAST_KEPT * width)))
    excluded = min(over, width - least)
    rule = (
        f"Exclude every channel in which the groups differ, within the classes of the target, by more than "
        f"{threshold:g} standard deviations or by more than {100 * ratio:g} % of what the classes differ by within the "
        f"groups (differences of means, averaged): {over:,} of {width:,} channels. "
    )
    if excluded < over:
        rule += f"At least {least:,} stay, those in which the groups differ least, so {excluded:,} are excluded. "
    faces = sum(map(sum, shifts.counts))
    rule += (
        f"Measured on {faces:,} training faces, none of the test split nor of the validation split; chance alone makes "
        f"a difference of about {shifts.error:.2f}."
    )
    return Suggestion(tuple(map(int, ranking[:excluded])), rule, width - excluded, tuple(map(int, ranking)))

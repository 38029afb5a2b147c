"""How many faces an audit needs: the smallest gap that those there are would show, and how many a given one takes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.stats import norm

from img2tab_core.audits.audit_record import SMALL
from img2tab_core.audits.group_differences import few_faces
from img2tab_core.audits.groups import Groups, crossed
from img2tab_core.audits.matrix import short
from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.words import percent

POWER, LEVEL = 0.8, 0.05  # a gap is seen in 8 of 10 samples, by a two-sided test at 5 %
ASSUMED = 0.1  # share of wrong decisions, where no classifier was measured yet
WANTED = 0.05  # the gap that a number of faces is told for


@dataclass(frozen=True)
class Seeable:
    """What the faces of two groups with one label can show of a difference in how often they are judged wrongly.

    label: 0 or 1; groups and faces: of both; rate: the share of wrong decisions in the better one, assumed or measured.
    smallest: the least difference that is seen in 8 of 10 samples, None where there are too few faces for any. wanted:
    the difference, and needed: how many faces of either group it takes, in the proportion there is; None where a group
    has none.
    """

    label: int
    groups: tuple[str, str]
    faces: tuple[int, int]
    rate: float
    smallest: float | None
    wanted: float
    needed: tuple[int, int] | None

    @property
    def too_few(self) -> bool:
        """Whether the fewer faces are too few for any number to be quoted."""
        return min(self.faces) < SMALL


def seeable(
    labels: np.ndarray,
    groups: Sequence[Groups],
    *,
    rates: Sequence[float | None] = (None, None),
    wanted: float = WANTED,
) -> tuple[Seeable, ...]:
    """Every pair of groups within every class, those that show least first.

    labels: (n,) of 0 and 1, -1 where unknown; groups: one attribute, or two that are crossed, of the same faces. rates:
    the share of faces of class 0 and of class 1 that is judged wrongly, None where it is not known: then 10 % are
    assumed. wanted: a difference between 0 and 1. Raises Img2TabError where these do not go together.
    """
    labels, formed = np.asarray(labels), crossed(groups)
    if labels.shape != formed.codes.shape:
        raise Img2TabError(f"There must be one group for each of {len(labels):,} faces, got {len(formed.codes):,}.")
    if not 0 < wanted < 1:
        raise Img2TabError(f"The gap that is looked for must lie between 0 and 1, got {wanted}.")
    counts = {
        (label, code): int(((labels == label) & (formed.codes == code)).sum())
        for label in (0, 1)
        for code in range(len(formed.names))
    }
    pairs = []
    for label in (0, 1):
        measured = rates[label]
        rate = ASSUMED if measured is None else float(measured)
        for first, second in itertools.combinations(range(len(formed.names)), 2):
            faces = counts[label, first], counts[label, second]
            pairs.append(
                Seeable(
                    label=label,
                    groups=(formed.names[first], formed.names[second]),
                    faces=faces,
                    rate=rate,
                    smallest=smallest_difference(*faces, rate) if min(faces) >= SMALL else None,
                    wanted=wanted,
                    needed=faces_needed(wanted, rate, share=faces[0] / sum(faces)) if min(faces) else None,
                )
            )
    return tuple(sorted(pairs, key=lambda pair: -math.inf if pair.smallest is None else -pair.smallest))


def smallest_difference(first: int, second: int, rate: float) -> float | None:
    """The least difference between the rates of two groups that a test at 5 % sees in 8 of 10 samples, whichever group
    is worse off.

    first, second: faces of either group, at least 1; rate: of the group with the lower one, 0 to 1. The normal
    approximation of the two-sided test of two proportions (Fleiss, Levin and Paik 2003, chapter 4). None where even
    the largest difference is not seen.
    """

    def missing(difference: float) -> float:
        ends = rate, rate + difference
        return POWER - min(power(first, second, *ends), power(second, first, *ends))

    largest = 1 - rate
    if largest <= 0 or missing(largest) > 0:
        return None
    return float(brentq(missing, 1e-9, largest))


def power(first: int, second: int, low: float, high: float) -> float:
    """How often a two-sided test at 5 % tells two rates apart, with so many faces of either group; 0 to 1."""
    together = (first * low + second * high) / (first + second)
    under_none = math.sqrt(together * (1 - together) * (1 / first + 1 / second))
    spread = math.sqrt(low * (1 - low) / first + high * (1 - high) / second)
    if not spread:
        return float(abs(high - low) > norm.ppf(1 - LEVEL / 2) * under_none)
    return float(norm.cdf((abs(high - low) - norm.ppf(1 - LEVEL / 2) * under_none) / spread))


def faces_needed(difference: float, rate: float, *, share: float = 0.5) -> tuple[int, int] | None:
    """How many faces of either group it takes to see a difference, whichever group is worse off, and at least SMALL;
    share: of the first among both, above 0, below 1.

    None where the rates would leave 0 to 1.
    """
    if rate + difference > 1:
        return None

    def of(total: float) -> float:
        faces, ends = (max(1, share * total), max(1, (1 - share) * total)), (rate, rate + difference)
        return min(power(*faces, *ends), power(*faces[::-1], *ends)) - POWER  # type: ignore[arg-type]

    total = 4.0
    while of(total) < 0:
        total *= 2
    total = float(brentq(of, total / 2, total)) if total > 4 else total
    total = max(total, SMALL / min(share, 1 - share))
    return math.ceil(share * total - 1e-9), math.ceil((1 - share) * total - 1e-9)


def too_few_of(pairs: Sequence[Seeable], classes: tuple[str, ...]) -> str:
    """Of the fewest faces, where they are too few: "only 2 test faces are labelled young and female; it takes 30."."""
    cells = [(faces, name, pair.label) for pair in pairs for faces, name in zip(pair.faces, pair.groups, strict=True)]
    faces, name, label = min(cells, default=(SMALL, "", 0))
    return few_faces((name, label, faces), classes) if faces < SMALL else ""


def sentence_of(pair: Seeable, classes: Sequence[str], *, assumed: bool = False) -> str:
    """ "Of the faces labelled older, 227 female and 586 male: a gap from 7.4 points is seen in 8 of 10 samples." """
    of_label = f"Of the faces labelled {short(classes[pair.label])}"
    counts = " and ".join(f"{faces:,} {_words(name)}" for faces, name in zip(pair.faces, pair.groups, strict=True))
    if pair.too_few or pair.smallest is None:
        fewest = min(zip(pair.faces, pair.groups, strict=True))
        return (
            f"{of_label}, {counts}: too few to say anything; "
            + (f"there is none labelled {_words(fewest[1])}." if not fewest[0] else f"it takes {SMALL} of either.")
            + _needed(pair)
        )
    rate = f", where {percent(pair.rate, 0)} are judged wrongly" + (" (assumed)" if assumed else "")
    return (
        f"{of_label}, {counts}: a gap from {100 * pair.smallest:.1f} points is seen in 8 of 10 samples{rate}."
        f"{_needed(pair)}"
    )


def _needed(pair: Seeable) -> str:
    if pair.needed is None or (pair.smallest is not None and pair.smallest <= pair.wanted):
        return ""
    counts = " and ".join(f"{faces:,} {_words(name)}" for faces, name in zip(pair.needed, pair.groups, strict=True))
    return f" To see {100 * pair.wanted:g} points it takes {counts}."


def _words(name: str) -> str:
    return " and ".join(short(part) for part in name.split(", "))

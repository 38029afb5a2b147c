"""Groups nobody named: where a classifier fails most, sought on some faces and confirmed on others.

Sought as SliceLine does (Sagadeeva and Boehm 2021, "SliceLine: fast, linear-algebra-based slice finding for ML model
debugging"): every condition, every pair and the best triples are counted at once by products of a 0/1 matrix. A few
thousand faces need none of its pruning. Its score weighs a slice's error against its size by a factor set by hand;
here slices are ranked by how far their count of errors is beyond chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from scipy.stats import binomtest, false_discovery_control, hypergeom, norm

from img2tab_core.audits.audit_record import SMALL, Measure
from img2tab_core.audits.conditions import Condition, in_words
from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.files import plain
from img2tab_core.base.words import count, percent, signed

LEVEL = 0.05  # share of the slices called confirmed that may be luck
MOST = 12  # slices that are sought, each among the faces that the earlier ones leave
LARGEST = 0.5  # of the faces: more are the rule, and the others the group
LEAST = 2.5  # standard deviations beyond chance, on the faces they are sought on, from which slices are tested
DEEPEST = 3  # conditions of a slice
FEW = 1000  # validation faces: with fewer, half of the test faces are sought on as well
_BEAM = 200  # pairs that a third condition is tried with


@dataclass(frozen=True)
class Slice:
    """A group of faces that one to three conditions describe, as it was found and as it was tested.

    found: (wrong, faces) among those it was sought on. wrong of `faces` test faces are judged wrongly, and elsewhere
    (wrong, faces) of all other test faces. difference: of the two shares, with its interval (Newcombe 1998, hybrid
    score), at a level that holds for the confirmed ones together (Benjamini and Yekutieli 2005). chance: the largest p
    of the tests that `confirm_slices` makes; controlled: with false discoveries controlled over all tested slices; both
    None where it has under 30 test faces. rows: int, its test faces in the table, misjudged ones first, the surest
    mistakes first. among: the class all faces are labelled as, where slices were sought in it alone.
    """

    conditions: tuple[Condition, ...]
    found: tuple[int, int]
    wrong: int
    faces: int
    elsewhere: tuple[int, int]
    difference: Measure
    chance: float | None
    controlled: float | None
    rows: tuple[int, ...]
    among: tuple[Condition, ...] = ()

    @property
    def confirmed(self) -> bool:
        """Whether faces that were not used to find it say the same, with false discoveries controlled."""
        return self.controlled is not None and self.controlled <= LEVEL

    @property
    def words(self) -> str:
        """ "labelled glasses, with much “Hair: long”": as it follows "faces"."""
        return in_words((*self.among, *self.conditions))

    @property
    def sentence(self) -> str:
        """How often it is judged wrongly against elsewhere, with the interval, or that its faces are too few."""
        whom = f"Among faces {self.words}"
        if self.controlled is None:
            return f"{whom}: too few to say, {count(self.faces, 'test face')}; it takes {SMALL}."
        others, all_others = self.elsewhere
        where = f"of all others {in_words(self.among)}" if self.among else "elsewhere"
        text = f"{whom}, {percent(self.wrong / self.faces)} are judged wrongly, {percent(others / all_others)} {where}"
        low, high, value = self.difference.low, self.difference.high, self.difference.value
        if value is not None and low is not None and high is not None:
            width, lowest, highest = (signed(100 * number).removeprefix("+") for number in (value, low, high))
            text += f": {width} points, interval {lowest} to {highest}"
        return f"{text} ({count(self.faces, 'test face')}, {_q_text(self.controlled)})."


@dataclass(frozen=True)
class Slices:
    """Where a classifier fails most. slices: those that were sought out, confirmed ones first, the least likely by
    chance first. faces: (sought on, tested on); conditions: how many were combined; left_out: columns of the labels
    that tell the target in other words; basis: which faces those were."""

    run: str
    target: str
    slices: tuple[Slice, ...]
    faces: tuple[int, int]
    wrong: tuple[int, int]
    conditions: int
    left_out: tuple[str, ...]
    basis: str

    @property
    def confirmed(self) -> tuple[Slice, ...]:
        """Those that the test faces confirm."""
        return tuple(each for each in self.slices if each.confirmed)

    @property
    def sentence(self) -> str:
        """Where it fails most, or that no group could be shown."""
        confirmed, tested = self.confirmed, sum(each.chance is not None for each in self.slices)
        if not self.faces[1] or not self.wrong[0]:
            return "It judges none of the faces wrongly that groups are sought on, so there is nothing to find."
        if not confirmed:
            text = "No group that nobody named could be shown to be judged wrongly more often than the rest"
            if not tested:
                return f"{text}: none stood out where groups were sought."
            return f"{text}: of {count(tested, 'group')} that stood out, the test faces confirm none."
        return (
            f"{count(len(confirmed), 'group')} that nobody named "
            f"{'is' if len(confirmed) == 1 else 'are'} judged wrongly more often than the rest. {confirmed[0].sentence}"
        )

    @property
    def how(self) -> str:
        """How slices are sought and tested, in two sentences."""
        return (
            f"{self.basis} {self.conditions:,} conditions and what they form together were sought through; what stood "
            "out was tested on faces that took no part in the search, against all others and against what is left of "
            f"the larger groups it lies in; of those confirmed at most about {percent(LEVEL, 0)} are luck, and the "
            "intervals hold for all of them together."
        )

    def to_json(self) -> dict:
        """Plain types, with the sentences."""
        content = plain(asdict(self)) | {"sentence": self.sentence, "how": self.how}
        for kept, each in zip(content["slices"], self.slices, strict=True):
            kept |= {"sentence": each.sentence, "confirmed": each.confirmed, "words": each.words}
        return content


def seek_slices(wrong: np.ndarray, holds: np.ndarray, *, deepest: int = 2, most: int = MOST) -> list[tuple[int, ...]]:
    """The conditions of the slices whose errors are furthest beyond chance, one after the other.

    wrong: bool (n,), whether a face is judged wrongly; holds: bool (n, P). Each next slice is sought among the faces
    that the earlier ones leave, so that two that mean the same faces do not both come up, and has at most half of these
    faces. A slice of several conditions
    counts only where its errors are beyond chance within every slice of one condition fewer, at a level corrected for
    all conditions it could have had. At least 30 faces in each, and no more than `most`. Raises Img2TabError where
    there are to be under 1 or over 3 conditions, or the arrays do not go together.
    """
    if not 1 <= deepest <= DEEPEST:
        raise Img2TabError(f"A group is described by 1 to {DEEPEST} conditions, got {deepest}.")
    if holds.ndim != 2 or wrong.shape != holds.shape[:1]:
        raise Img2TabError(f"There must be conditions of every face, got {wrong.shape} and {holds.shape}.")
    left, chosen = np.ones(len(wrong), bool), list[tuple[int, ...]]()
    while holds.shape[1] and len(chosen) < most:
        best = _best(wrong[left], holds[left], deepest)
        if best is None:
            break
        chosen.append(best)
        left &= ~_inside(holds, best)
    return chosen


def confirm_slices(
    wrong: np.ndarray, holds: np.ndarray, slices: Sequence[tuple[int, ...]]
) -> list[tuple[float | None, float | None]]:
    """Of every slice the chance of so many errors and that chance with false discoveries controlled.

    wrong: bool (n,) and holds: bool (n, P), of faces that took no part in the search; slices: as `seek_slices` gave
    them. Tested, each by Fisher's exact test, one-sided: its faces against all others; those that earlier slices leave
    against the others that they leave; and these against the rest of every slice of one condition fewer. The largest p
    counts, so a confirmed slice says more than the larger ones it lies in and than those before it. Slices of under 30
    faces take no part (None), which is decided without a look at the errors. Source of the control: Benjamini and
    Hochberg 1995.
    """
    chances: list[float | None] = []
    left = np.ones(len(wrong), bool)
    for numbers in slices:
        inside = _inside(holds, numbers)
        if inside.sum() < SMALL:
            chances.append(None)
        else:
            around = [left, *(left & _inside(holds, fewer) for fewer in _parents(numbers))]
            ps = [_more_wrong(wrong, inside & within, ~inside & within) for within in around]
            chances.append(max(_more_wrong(wrong, inside, ~inside), *ps))
        left &= ~inside
    tested = [chance for chance in chances if chance is not None]
    controlled = iter(false_discovery_control(tested).tolist()) if tested else iter(())
    return [(chance, None if chance is None else float(next(controlled))) for chance in chances]


def measured_slices(
    sought: tuple[np.ndarray, np.ndarray],
    tested: tuple[np.ndarray, np.ndarray],
    conditions: Sequence[Condition],
    rows: np.ndarray,
    sureness: np.ndarray,
    *,
    among: tuple[Condition, ...] = (),
    deepest: int = 2,
    most: int = MOST,
) -> tuple[Slice, ...]:
    """Slices sought on some faces and tested on others, confirmed ones first.

    sought, tested: of either faces what is judged wrongly, bool (n,), and which conditions hold, bool (n, P). rows:
    int64, the tested faces in their table; sureness: float64, the probability of the class each is called. among: what
    holds for all of these faces.
    """
    chosen = seek_slices(*sought, deepest=deepest, most=most)
    wrong, holds = tested
    chances = confirm_slices(wrong, holds, chosen)
    number_tested = sum(chance is not None for chance, _ in chances)
    number_confirmed = sum(controlled is not None and controlled <= LEVEL for _, controlled in chances)
    level = 1 - LEVEL * max(1, number_confirmed) / max(1, number_tested)
    slices = []
    for numbers, (chance, controlled) in zip(chosen, chances, strict=True):
        found, inside = _inside(sought[1], numbers), _inside(holds, numbers)
        counts = (int(wrong[inside].sum()), int(inside.sum())), (int(wrong[~inside].sum()), int((~inside).sum()))
        order = np.lexsort((np.where(wrong, -sureness, sureness), ~wrong))
        slices.append(
            Slice(
                tuple(conditions[number] for number in numbers),
                (int(sought[0][found].sum()), int(found.sum())),
                *counts[0],
                counts[1],
                Measure(None, None, None, f"fewer than {SMALL} test faces")
                if controlled is None
                else _difference(*counts, level),
                chance,
                controlled,
                tuple(int(row) for row in rows[order[inside[order]]]),
                among,
            )
        )
    never = 2.0  # behind every p
    return tuple(sorted(slices, key=lambda each: (not each.confirmed, never if each.chance is None else each.chance)))


def basis_of(sought: int, tested: int, *, own: bool, half: bool) -> str:
    """Which faces groups were sought on and tested on, in a sentence."""
    on = "validation faces and half of the test faces" if half and not own else "validation faces"
    on = "half of the test faces" if own else on
    others = "the other half of the test faces" if half else "the test faces"
    return f"Sought on {sought:,} faces ({on}), tested on {tested:,} ({others})."


# --- inside ------------------------------------------------------------------------------------------------


def _best(wrong: np.ndarray, holds: np.ndarray, deepest: int) -> tuple[int, ...] | None:
    """The slice whose errors are furthest beyond chance among these faces; None where none is far enough."""
    given = holds.astype(np.float32)  # (n, P)
    of_wrong = given[wrong]  # (e, P)
    most, errors = LARGEST * len(wrong), float(wrong.sum())
    bar = norm.isf(LEVEL / holds.shape[1])

    def beyond(numbers: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        beyond_all = _beyond(*numbers, errors, len(wrong))
        return np.where(numbers[0] <= most, beyond_all, -np.inf)

    singles = given.sum(axis=0), of_wrong.sum(axis=0)  # faces and errors of each, (P,)
    score = beyond(singles)
    best: list[tuple[float, tuple[int, ...]]] = [(float(score.max()), (int(score.argmax()),))]
    if deepest > 1:
        pairs = given.T @ given, of_wrong.T @ of_wrong  # (P, P)
        within = _beyond(*pairs, singles[1][:, None], singles[0][:, None])
        score = np.where((within < bar) | (within.T < bar), -np.inf, beyond(pairs))
        best.append((float(score.max()), _places(score)))
        kept = np.argsort(-np.triu(score, 1), axis=None)[:_BEAM]
        pair_at = np.stack(np.unravel_index(kept[score.flat[kept] > 0], score.shape))  # (2, B)
        if deepest > 2 and pair_at.size:
            first, second = pair_at
            both = given[:, first] * given[:, second]  # (n, B)
            triples = both.T @ given, both[wrong].T @ of_wrong  # (B, P)
            score = beyond(triples)
            parents = ((first, second), (first, slice(None)), (second, slice(None)))
            for around in parents:
                faces_around, errors_around = (
                    counted[around].reshape(len(first), -1) for counted in pairs
                )  # (B, 1) or (B, P)
                score = np.where(_beyond(*triples, errors_around, faces_around) < bar, -np.inf, score)
            at, third = _places(score)
            best.append((float(score.max()), (int(first[at]), int(second[at]), third)))
    score_of_best, numbers = max(best)
    return tuple(sorted(numbers)) if score_of_best >= LEAST else None


def _places(score: np.ndarray) -> tuple[int, int]:
    """Row and column of the largest value."""
    row, column = divmod(int(score.argmax()), score.shape[1])
    return row, column


def _beyond(
    faces: np.ndarray, wrong: np.ndarray, all_wrong: np.ndarray | float, all_faces: np.ndarray | float
) -> np.ndarray:
    """Standard deviations by which the errors of a slice are beyond those of the faces around it, as hypergeometric
    chance spreads them, with half an error taken off; minus infinity where it has under 30 faces or all of them."""
    rate = np.divide(all_wrong, np.maximum(all_faces, 1))
    spread = np.sqrt(faces * rate * (1 - rate) * (1 - faces / np.maximum(all_faces, 1)))
    beyond = np.divide(wrong - faces * rate - 0.5, spread, out=np.full(np.shape(spread), -np.inf), where=spread > 1e-9)
    return np.where(faces >= SMALL, beyond, -np.inf)


def _inside(holds: np.ndarray, numbers: Sequence[int]) -> np.ndarray:
    return np.asarray(holds[:, list(numbers)].all(axis=1))


def _parents(numbers: tuple[int, ...]) -> list[tuple[int, ...]]:
    """The slices of one condition fewer; none of a single one, whose are all faces."""
    if len(numbers) == 1:
        return []
    return [tuple(number for number in numbers if number != left_out) for left_out in numbers]


def _more_wrong(wrong: np.ndarray, inside: np.ndarray, others: np.ndarray) -> float:
    """Fisher's exact test, one-sided: the chance of so many errors inside where it is as the others."""
    faces, other_faces = int(inside.sum()), int(others.sum())
    if not faces or not other_faces:
        return 1.0
    errors = int(wrong[inside].sum())
    return float(hypergeom.sf(errors - 1, faces + other_faces, errors + int(wrong[others].sum()), faces))


def _difference(inside: tuple[int, int], others: tuple[int, int], level: float) -> Measure:
    """Of two shares, each (wrong, faces), with its interval by Newcombe's hybrid score method."""
    if not others[1]:
        return Measure(None, None, None, "there are no other faces")
    (share, low, high), (other, other_low, other_high) = (
        (wrong / faces, *binomtest(wrong, faces).proportion_ci(level, method="wilson"))
        for wrong, faces in (inside, others)
    )
    value = share - other
    return Measure(
        value,
        value - float(np.hypot(share - low, other_high - other)),
        value + float(np.hypot(high - share, other - other_low)),
    )


def _q_text(controlled: float) -> str:
    return "q < 0.001" if controlled < 0.0005 else f"q = {controlled:.{3 if controlled < 0.1 else 2}f}"

"""What happens when only the sensitive concepts of a face are moved: which decisions flip, and how far they move."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from img2tab_core import tables
from img2tab_core.backbones import rendering
from img2tab_core.base.errors import Cancelled, Img2TabError
from img2tab_core.base.intervals import Estimate, estimate, wilson
from img2tab_core.base.jobs import Report
from img2tab_core.base.layout import StyleLayout
from img2tab_core.base.records import StyleCode, StyleTable, read_only

STRENGTHS = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5)
DRAWN = 64  # faces that are moved where each has to be drawn
COUNT = 1500  # channels of a family that turns perceived gender and keeps pose, light and background
FIRST = 12
SIZE = 256  # px, what the encoder is shown

_VALUES = 4_000_000  # style values edited in one go; bounds the working memory to some 50 MB


class Predictor(Protocol):
    """Anything that gives probabilities of class 0 and 1 for style codes (n, D)."""

    def predict_proba(self, X: np.ndarray) -> np.ndarray: ...


class Backbone(Protocol):
    """A generator with its encoder, see img2tab_core.backbone."""

    @property
    def generator(self) -> rendering.Generator: ...

    @property
    def layout(self) -> StyleLayout: ...

    def invert(self, faces: np.ndarray) -> np.ndarray: ...

    def styles(self, w: np.ndarray) -> np.ndarray: ...

    def fitting(self, size: int) -> int: ...


@dataclass(frozen=True)
class Moved:
    """Faces of one group, moved towards one of the groups at full strength.

    flips: faces whose decision changed, of these to_one from class 0 to class 1; share of the faces, low and high its
    95 % Wilson interval. move: mean change of the probability of class 1 with its t-interval over the faces; size: the
    same for the change without its sign. by_strength: share of flipped decisions at every strength.
    """

    towards: int
    group: int
    faces: int
    flips: int
    to_one: int
    share: float
    low: float
    high: float
    move: Estimate
    size: Estimate
    by_strength: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class Flip:
    """One face whose decision flips: the smallest strength that does it, and what it is before and after.

    Probabilities are of class 1.
    """

    row: int
    group: int
    strength: float
    probability_before: float
    probability_after: float
    before: StyleCode
    after: StyleCode


@dataclass(frozen=True, eq=False)
class Intervention:
    """What moving the sensitive concepts alone did to the decisions of a classifier; computed once, then only read.

    channels: those moved; steps: float32 (k,), style units, what strength 1 towards group 1 adds to each. seen: how
    many of them the classifier looks at, None where it does not say; with 0, as when all of them are excluded, nothing
    can flip here, but in a picture their proxies move as well, see `checked`. strengths: those tried, ascending;
    results are at the last. rows, groups: int64 (n,); before: float64 (n,), probability of class 1; after: float64
    (2, n), towards group 0 and towards group 1; flipped_at: float64 (2, n), the smallest strength that flips, NaN where
    none does. by: every direction and group. first: towards group 0 and towards group 1, the faces that flip first.
    """

    sensitive: str
    channels: tuple[int, ...]
    steps: np.ndarray
    seen: int | None
    strengths: tuple[float, ...]
    threshold: float
    rows: np.ndarray
    groups: np.ndarray
    before: np.ndarray
    after: np.ndarray
    flipped_at: np.ndarray
    by: tuple[Moved, ...]
    first: tuple[tuple[Flip, ...], tuple[Flip, ...]]

    @property
    def strength(self) -> float:
        """The strength at which `by` and `after` hold."""
        return self.strengths[-1]

    def of(self, towards: int, group: int) -> Moved:
        """One direction and group; raises Img2TabError where no face is in it."""
        for moved in self.by:
            if (moved.towards, moved.group) == (towards, group):
                return moved
        raise Img2TabError(f"No faces of group {group} were moved towards group {towards}. Choose 0 or 1 for both.")

    def edited(self, codes: np.ndarray, *, towards: int, strength: float | None = None) -> np.ndarray:
        """The same edit on other style codes (n, D); a new float32 (n, D)."""
        result = np.array(codes, np.float32)
        by = self.strength if strength is None else strength
        result[:, list(self.channels)] += np.float32(by if towards == 1 else -by) * self.steps
        return result


def intervene(
    model: Predictor,
    table: StyleTable,
    sensitive: str,
    shift: np.ndarray,
    *,
    rows: np.ndarray | None = None,
    channels: Collection[int] | None = None,
    count: int = COUNT,
    strengths: Sequence[float] = STRENGTHS,
    threshold: float = 0.5,
    first: int = FIRST,
    progress: Report | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Intervention:
    """Move the sensitive concepts of every face by strength x shift x standard deviation, towards each group.

    shift: float64 (D,), standard deviations, group 1 minus group 0; take it *within* the classes of the target (such
    as `carriers.carried(...).shift`), else the edit moves the target as well where the two go together. channels: those
    to move, such as one or a family; None for the `count` with the largest shifts. rows: (n,) row numbers, None for
    all test faces; faces of an unknown group are left out. strengths: multiples of the shift, above 0. A face's
    decision is class 1 where its probability is above `threshold`. Raises Img2TabError where channels, strengths or
    shifts are not usable or no face's group is known; Cancelled once `cancelled` says so.
    """
    tables.target_of(table, sensitive)
    shift = np.asarray(shift, np.float64)
    width = table.psi.shape[1]
    chosen = _chosen(shift, width, channels, count)
    strengths = tuple(sorted(float(strength) for strength in strengths))
    if not strengths or not (0 < strengths[0] and np.isfinite(strengths[-1])):
        raise Img2TabError(f"Strengths must be numbers above 0, at least one, got {list(strengths)}.")
    rows = table.rows("test") if rows is None else np.asarray(rows, np.int64)
    groups = table.labels[sensitive].to_numpy()[rows].astype(np.int64)
    rows, groups = rows[groups >= 0], groups[groups >= 0]
    if not len(rows):
        raise Img2TabError("There must be faces whose group is known, got none. Choose other faces.")
    steps = (shift[chosen] * table.stats.std[chosen]).astype(np.float32)
    looks_at = getattr(model, "screened_", None)
    before = np.empty(len(rows))
    tried = np.empty((2, len(strengths), len(rows)))  # towards, strength, face
    report = progress or (lambda fraction, text: None)
    for start in range(0, len(rows), block := max(1, _VALUES // width)):
        if cancelled is not None and cancelled():
            raise Cancelled("The intervention was stopped; nothing was changed.")
        part = slice(start, min(start + block, len(rows)))
        codes = table.psi.T.take(rows[part], axis=1).T  # (b, D), ours to write, column-major
        plain = codes[:, chosen]  # (b, k)
        before[part] = model.predict_proba(codes)[:, 1]
        for towards in (0, 1):
            for number, strength in enumerate(strengths):
                codes[:, chosen] = plain + np.float32(strength if towards else -strength) * steps
                tried[towards, number, part] = model.predict_proba(codes)[:, 1]
        report(part.stop / len(rows), f"{part.stop:,} of {len(rows):,} faces moved")
    flips = (tried > threshold) != (before > threshold)  # (2, strengths, n)
    at = np.where(flips.any(axis=1), np.array(strengths)[flips.argmax(axis=1)], np.nan)

    def flipping(towards: int) -> tuple[Flip, ...]:
        return _first(
            table, towards, rows, groups, before, tried[towards], at[towards], strengths, chosen, steps, first
        )

    return Intervention(
        sensitive=sensitive,
        channels=tuple(map(int, chosen)),
        steps=read_only(steps),
        seen=None if looks_at is None else int(np.isin(chosen, looks_at).sum()),
        strengths=strengths,
        threshold=float(threshold),
        rows=read_only(rows),
        groups=read_only(groups),
        before=read_only(before),
        after=read_only(tried[:, -1].copy()),
        flipped_at=read_only(at),
        by=tuple(
            _moved(towards, group, before, tried[towards], flips[towards], groups == group)
            for towards in (0, 1)
            for group in (0, 1)
            if (groups == group).any()
        ),
        first=(flipping(0), flipping(1)),
    )


# --- whether the edit does what it says -------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Checked:
    """A sample of faces moved, rendered, and encoded again: whether the pictures show what the codes say.

    rows: int64 (n,). Readings of the sensitive attribute, float64 (2, n), not moved and moved: of the edited codes, and
    of the codes encoded again from the pictures; probabilities of class 1, the same way, None without a classifier.
    pictures: uint8 (2, n, S, S, 3). coded, seen: mean change of the reading in the codes, and encoded again.
    """

    towards: int
    strength: float
    rows: np.ndarray
    reading: np.ndarray
    reading_again: np.ndarray
    probability: np.ndarray | None
    probability_again: np.ndarray | None
    pictures: np.ndarray
    coded: Estimate
    seen: Estimate
    sentence: str


def checked(
    moved: Intervention,
    table: StyleTable,
    backbone: Backbone,
    read: Callable[[np.ndarray], np.ndarray],
    *,
    model: Predictor | None = None,
    towards: int = 1,
    count: int = 8,
    size: int = SIZE,
    seed: int = 0,
    progress: Report | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Checked:
    """Draw `count` faces of the other group as they are and moved, encode the pictures, and read the attribute again.

    read: style codes (n, D) -> (n,), higher for group 1, such as `linear_probe.Probe.read`. The unedited face goes
    through the same rendering and encoding, so that what these alone do is no part of the change. Raises Img2TabError
    where there is no face to move; Cancelled once `cancelled` says so.
    """
    if towards not in (0, 1) or count < 1:
        raise Img2TabError(f"A check needs a group 0 or 1 and at least one face, got {towards} and {count}.")
    able = moved.rows[moved.groups != towards]
    if not len(able):
        raise Img2TabError(f"There are no faces to move towards group {towards}. Choose the other group.")
    rows = np.sort(np.random.default_rng(seed).choice(able, min(count, len(able)), replace=False))
    plain = table.psi[rows]  # (n, D)
    codes = np.stack([plain, moved.edited(plain, towards=towards)])  # (2, n, D)
    flat = codes.reshape(-1, codes.shape[2])
    pictures, again, size = [], np.empty_like(flat), backbone.fitting(size)
    for number, values in enumerate(flat):
        if cancelled is not None and cancelled():
            raise Cancelled("The check was stopped; nothing was changed.")
        pictures.append(rendering.draw(backbone.generator, [StyleCode.of(values, table.backbone)], size=size)[0])
        again[number] = backbone.styles(backbone.invert(pictures[-1][None]))[0]
        if progress is not None:
            progress((number + 1) / len(flat), f"Picture {number + 1} of {len(flat)} drawn and encoded")
    shape = codes.shape[:2]
    reading, reading_again = (np.asarray(read(values), np.float64).reshape(shape) for values in (flat, again))
    probability, probability_again = (
        (None, None)
        if model is None
        else (read_only(model.predict_proba(values)[:, 1].reshape(shape)) for values in (flat, again))
    )
    changes = [values[1] - values[0] for values in (reading, reading_again)]  # each (n,)
    coded, seen = (estimate(change.tolist()) for change in changes)
    by_codes, by_pictures = (float(change.mean()) for change in changes)
    kept = by_pictures / by_codes if by_codes else 0.0
    sentence = (
        f"On {len(rows)} faces the edit moved the reading of {tables.target_of(table, moved.sensitive).title.lower()} "
        f"by {_signed(by_codes)}; drawn and encoded again, by {_signed(by_pictures)} ({100 * kept:.0f} % of it)."
    )
    return Checked(
        towards,
        moved.strength,
        read_only(rows),
        read_only(reading),
        read_only(reading_again),
        probability,
        probability_again,
        read_only(np.stack(pictures).reshape(*shape, size, size, 3)),
        coded,
        seen,
        sentence,
    )


def _chosen(shift: np.ndarray, width: int, channels: Collection[int] | None, count: int) -> np.ndarray:
    """The channels to move, ascending; int64 (k,)."""
    if shift.shape != (width,) or not np.isfinite(shift).all():
        raise Img2TabError(f"There must be one finite shift for each of the {width} channels, got {shift.shape}.")
    if channels is None:
        chosen = np.argsort(-np.abs(shift), kind="stable")[: max(0, count)]
    else:
        chosen = np.unique(np.array(list(channels), np.int64))
        if len(chosen) and not (0 <= chosen[0] and chosen[-1] < width):
            raise Img2TabError(f"Channels to move must be between 0 and {width - 1}, got {chosen.tolist()[:5]}.")
    if not len(chosen):
        raise Img2TabError("At least one channel must be moved, got none. Choose one, or a family.")
    return np.sort(chosen)


def _moved(
    towards: int, group: int, before: np.ndarray, tried: np.ndarray, flips: np.ndarray, mask: np.ndarray
) -> Moved:
    """before (n,), tried and flips (strengths, n), mask (n,)."""
    faces, moves = int(mask.sum()), (tried[-1] - before)[mask]
    flipped = flips[-1] & mask
    number = int(flipped.sum())
    low, high = wilson(number, faces)
    return Moved(
        towards,
        group,
        faces,
        number,
        int((flipped & (tried[-1] > before)).sum()),
        number / faces,
        low,
        high,
        estimate(moves.tolist()),
        estimate(np.abs(moves).tolist()),
        tuple(map(float, flips[:, mask].mean(axis=1))),
    )


def _first(
    table: StyleTable,
    towards: int,
    rows: np.ndarray,
    groups: np.ndarray,
    before: np.ndarray,
    tried: np.ndarray,
    at: np.ndarray,
    strengths: tuple[float, ...],
    chosen: np.ndarray,
    steps: np.ndarray,
    count: int,
) -> tuple[Flip, ...]:
    """By the smallest strength that flips, then by the larger move of the probability there, then by the row."""
    able = np.flatnonzero(~np.isnan(at))
    number = np.searchsorted(strengths, at[able])
    after = tried[number, able]
    order = np.lexsort((rows[able], -np.abs(after - before[able]), at[able]))[:count]
    flips = []
    for face, strength, probability in zip(able[order], at[able][order], after[order], strict=True):
        code = np.array(table.psi[rows[face]], np.float32)
        edited = code.copy()
        edited[chosen] += np.float32(strength if towards else -strength) * steps
        flips.append(
            Flip(
                int(rows[face]),
                int(groups[face]),
                float(strength),
                float(before[face]),
                float(probability),
                StyleCode.of(code, table.backbone),
                StyleCode.of(edited, table.backbone),
            )
        )
    return tuple(flips)


def _signed(number: float) -> str:
    return f"{'+' if number >= 0 else '−'}{abs(number):.2f}"

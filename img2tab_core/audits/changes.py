"""A change over seeds: a number before and after, and whether the difference is real."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.files import plain
from img2tab_core.base.intervals import Estimate, estimate
from img2tab_core.base.words import sentence, signed


@dataclass(frozen=True)
class Change:
    """A number before and after, once for each seed, and whether the difference is real.

    before, after: means with 95 % t-intervals; difference: of after minus before, seed by seed, with its interval.
    verdict: the plain words, such as "smaller gap, certain", "no clear change" or "worse". sentence: the same in full.
    """

    what: str
    smaller_is_better: bool
    pairs: tuple[tuple[float, float], ...]
    before: Estimate
    after: Estimate
    difference: Estimate
    verdict: str
    sentence: str

    def to_json(self) -> dict:
        """Plain types."""
        return plain(asdict(self))

    @classmethod
    def from_json(cls, stored: dict) -> Change:
        """What `to_json` gave, as it was."""
        try:
            before, after = ([pair[at] for pair in stored["pairs"]] for at in (0, 1))
            return change(before, after, smaller_is_better=stored["smaller_is_better"], what=stored["what"])
        except (KeyError, TypeError, IndexError) as error:
            raise Img2TabError(f"This is not a change ({error}). Compare again.") from error


def change(
    before: Sequence[float], after: Sequence[float], *, smaller_is_better: bool = True, what: str = "gap"
) -> Change:
    """Whether a number is really another one after than before.

    before, after: one value for each seed, in the same order: the seeds are paired. what: the thing in one word, for
    the verdict: "gap" where smaller is better, "accuracy" where larger is. Certain means that the whole 95 % t-interval
    of the differences lies on one side of 0. The interval says how much the seeds matter, not other test faces.
    """
    pairs = tuple((float(one), float(other)) for one, other in zip(before, after, strict=False))
    if not pairs or len(before) != len(after) or not np.isfinite(pairs).all():
        raise Img2TabError(
            f"There must be one number before and one after for each seed, got {len(before)} and {len(after)}."
        )
    old, new = np.array(pairs).T
    found = estimate((new - old).tolist())
    verdict, why = _verdict(new - old, found, smaller_is_better, what)
    return Change(
        what=what,
        smaller_is_better=smaller_is_better,
        pairs=pairs,
        before=estimate(old.tolist()),
        after=estimate(new.tolist()),
        difference=found,
        verdict=verdict,
        sentence=f"{sentence(verdict)}: {why}.",
    )


def moved_by(difference: float) -> str:
    """0.031 -> "goes up by 3.1 points"."""
    if abs(difference) < 5e-4:
        return "does not move"
    return f"goes {'up' if difference > 0 else 'down'} by {abs(100 * difference):.1f} points"


def _verdict(differences: np.ndarray, found: Estimate, smaller_is_better: bool, what: str) -> tuple[str, str]:
    """The plain words, and what they rest on."""
    moved = f"{what} {moved_by(found.mean)}"
    if found.low is None:
        return "one seed cannot tell", f"{moved} with this seed; repeat it with at least two, better five"
    over = f"on average over {len(differences)} seeds"
    if np.ptp(differences) < 1e-12:
        if abs(found.mean) < 1e-12:
            return "no clear change", f"{what} is the same before and after for each of {len(differences)} seeds"
        return "the seeds cannot tell", f"{moved} by exactly the same for each of {len(differences)} seeds"
    why = f"{moved} {over}, 95 % interval {signed(100 * found.low)} to {signed(100 * found.high)} points"
    if found.low <= 0 <= found.high:
        return "no clear change", why
    if (found.high < 0) == smaller_is_better:
        return f"{'smaller' if smaller_is_better else 'higher'} {what}, certain", why
    return "worse", f"{why}, certain"

"""A change over seeds: a number before and after, and whether the seeds, or the faces, explain the difference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from img2tab_core.audits.paired import Difference
from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.files import plain
from img2tab_core.base.intervals import Estimate, estimate
from img2tab_core.base.words import sentence, signed

BEYOND_SEEDS = "beyond what the seed changes"
BEYOND_FACES = "and beyond the chance of the faces"
NOT_BEYOND_FACES = "but not beyond the chance of the faces"


@dataclass(frozen=True)
class Change:
    """A number before and after, once for each seed, and what the difference is beyond.

    before, after: means with 95 % t-intervals; difference: of after minus before, seed by seed, with its interval: what
    training again changes. faces: the mean difference with the interval of a paired bootstrap of the test faces (see
    `paired.paired_gaps`): what other test faces would change; None where only the numbers were at hand.
    verdict: the plain words, such as "smaller gap, beyond what the seed changes", "no clear change" or "worse".
    sentence: the same in full.
    """

    what: str
    smaller_is_better: bool
    pairs: tuple[tuple[float, float], ...]
    before: Estimate
    after: Estimate
    difference: Estimate
    verdict: str
    sentence: str
    faces: Difference | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain types."""
        return plain(asdict(self))

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Change:
        """What `to_json` gave, as it was; the words are those of today.

        Raises Img2TabError where it is something else.
        """
        try:
            before, after = ([pair[side] for pair in stored["pairs"]] for side in (0, 1))
            faces = stored.get("faces")  # kept since the faces are measured too
            return change(
                before,
                after,
                smaller_is_better=stored["smaller_is_better"],
                what=stored["what"],
                faces=None if faces is None else Difference(**faces),
            )
        except (KeyError, TypeError, IndexError) as error:
            raise Img2TabError(f"This is not a change ({error}). Compare again.") from error


def change(
    before: Sequence[float],
    after: Sequence[float],
    *,
    smaller_is_better: bool = True,
    what: str = "gap",
    faces: Difference | None = None,
) -> Change:
    """Whether a number is another one after than before, beyond what the seed changes.

    before, after: one value for each seed, in the same order: the seeds are paired. what: the thing in one word, for
    the verdict: "gap" where smaller is better, "accuracy" where larger is. Beyond what the seed changes means that the
    whole 95 % t-interval of the differences lies on one side of 0. It says nothing of other test faces: `faces`, the
    paired bootstrap of the same difference, does.

    Raises Img2TabError where there is not one finite number of each for each seed.
    """
    pairs = tuple((float(old), float(new)) for old, new in zip(before, after, strict=False))
    if not pairs or len(before) != len(after) or not np.isfinite(pairs).all():
        raise Img2TabError(
            f"There must be one number before and one after for each seed, got {len(before)} and {len(after)}."
        )
    olds, news = np.array(pairs).T
    difference = estimate((news - olds).tolist())
    verdict, why = _verdict(news - olds, difference, smaller_is_better, what, faces)
    return Change(
        what=what,
        smaller_is_better=smaller_is_better,
        pairs=pairs,
        before=estimate(olds.tolist()),
        after=estimate(news.tolist()),
        difference=difference,
        verdict=verdict,
        sentence=f"{sentence(verdict)}: {why}.",
        faces=faces,
    )


def moved_by(difference: float) -> str:
    """0.031 -> "goes up by 3.1 points"."""
    if abs(difference) < 5e-4:
        return "does not move"
    return f"goes {'up' if difference > 0 else 'down'} by {abs(100 * difference):.1f} points"


def _verdict(
    differences: np.ndarray, over_seeds: Estimate, smaller_is_better: bool, what: str, faces: Difference | None
) -> tuple[str, str]:
    """The plain words, and what they rest on; differences: float64 (seeds,), after minus before."""
    mean = float(differences.mean())
    moved = f"{what} {moved_by(mean)}"
    of_faces = "" if faces is None else f"; with other test faces {_range(faces.low, faces.high)}"
    if over_seeds.low is None or over_seeds.high is None:
        why = f"{moved} with this seed{of_faces}; repeat it with at least two, better five"
        return "one seed cannot tell", why
    seeds = len(differences)
    if np.ptp(differences) < 1e-12:
        if abs(mean) < 1e-12:
            return "no clear change", f"{what} is the same before and after for each of {seeds} seeds{of_faces}"
        return "the seeds cannot tell", f"{moved} by exactly the same for each of {seeds} seeds{of_faces}"
    why = f"{moved} on average over {seeds} seeds, 95 % interval {_range(over_seeds.low, over_seeds.high)}"
    if over_seeds.low <= 0 <= over_seeds.high:
        return "no clear change", why + of_faces
    beyond = BEYOND_SEEDS
    if faces is not None:
        beyond += f", {BEYOND_FACES if faces.beyond_chance else NOT_BEYOND_FACES}"
    if (over_seeds.high < 0) == smaller_is_better:
        return f"{'smaller' if smaller_is_better else 'higher'} {what}, {beyond}", why + of_faces
    return "worse", f"{why}, {beyond}{of_faces}"


def _range(low: float, high: float) -> str:
    """Differences of shares as points: "−4.5 to +0.5 points". Two seeds may leave more open than there is."""
    low, high = max(low, -1.0), min(high, 1.0)
    return f"{signed(100 * low)} to {signed(100 * high)} points"

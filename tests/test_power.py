"""How many faces: against numbers of a textbook's formula worked by hand, and against a simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from img2tab_core.audits import power
from img2tab_core.audits.groups import Groups
from img2tab_core.base.errors import Img2TabError


def test_686_faces_of_either_group_tell_10_from_15_percent_by_the_formula_worked_by_hand():
    """n = (1.96 sqrt(2 p q) + 0.8416 sqrt(p1 q1 + p2 q2))^2 / d^2 of Fleiss, for 0.1 and 0.15: 686 each."""
    p1, p2 = 0.1, 0.15
    middle = (p1 + p2) / 2
    by_hand = (
        norm.ppf(0.975) * np.sqrt(2 * middle * (1 - middle)) + norm.ppf(0.8) * np.sqrt(p1 * (1 - p1) + p2 * (1 - p2))
    ) ** 2 / (p2 - p1) ** 2
    assert by_hand == pytest.approx(685.6, abs=0.5)
    assert power.faces_needed(0.05, 0.1) == (686, 686)
    assert power.smallest_difference(686, 686, 0.1) == pytest.approx(0.05, abs=1e-4)


@pytest.mark.parametrize(("first", "second", "rate"), [(300, 300, 0.1), (120, 600, 0.2), (60, 1000, 0.05)])
def test_the_smallest_difference_is_seen_in_8_of_10_of_20000_simulated_samples(first, second, rate):
    rng = np.random.default_rng(0)
    apart = power.smallest_difference(first, second, rate)
    assert power.smallest_difference(second, first, rate) == apart
    seen = []
    for better, worse in ((first, second), (second, first)):  # whichever group is worse off
        low, high = rng.binomial(better, rate, 20_000) / better, rng.binomial(worse, rate + apart, 20_000) / worse
        together = (better * low + worse * high) / (better + worse)
        z = (high - low) / np.sqrt(together * (1 - together) * (1 / better + 1 / worse))
        seen.append((np.abs(z) > norm.ppf(0.975)).mean())
    assert min(seen) == pytest.approx(0.8, abs=0.03) and power.faces_needed(0.4, 0.1, share=0.1) == (30, 270)


def test_more_faces_see_smaller_gaps_and_a_rate_near_1_leaves_no_room():
    seen = [power.smallest_difference(n, n, 0.1) for n in (50, 200, 800, 3200)]
    assert seen == sorted(seen, reverse=True) and seen[2] / seen[3] == pytest.approx(2, abs=0.25)
    assert power.smallest_difference(40, 40, 0.97) is None and power.faces_needed(0.05, 0.97) is None


def test_every_pair_of_3_groups_in_either_class_the_least_telling_first_and_12_faces_are_too_few():
    labels = np.repeat([0, 1], [712, 900])
    codes = np.concatenate([np.repeat([0, 1, 2], [12, 200, 500]), np.repeat([0, 1, 2], [300, 300, 300])])
    pairs = power.seeable(labels, [Groups("Place", ("north", "east", "west"), codes)], rates=(0.2, None))
    assert len(pairs) == 6 and [pair.too_few for pair in pairs] == [True, True, False, False, False, False]
    assert pairs[0].smallest is None and pairs[0].rate == 0.2 and pairs[-1].rate == power.ASSUMED
    told = power.sentence_of(pairs[0], ("plain", "special"))
    assert told.startswith("Of the faces labelled plain, 12 north and ") and "too few to say anything" in told
    small = power.sentence_of(pairs[-1], ("plain", "special"), assumed=True)
    assert "300 east and 300 west" in small and "points is seen in 8 of 10 samples" in small and "(assumed)" in small
    assert "To see 5 points it takes 686 east and 686 west." in small


def test_a_group_without_any_face_is_said_to_have_none_and_no_number_is_made_up():
    labels = np.repeat([0, 1], 100)
    pairs = power.seeable(labels, [Groups("Side", ("left", "right"), np.repeat([0, 1], 100))])
    assert all(pair.smallest is None and pair.needed is None for pair in pairs)
    assert "there is none labelled right" in power.sentence_of(
        next(pair for pair in pairs if pair.label == 0), ("plain", "special")
    )
    with pytest.raises(Img2TabError, match="between 0 and 1, got 5"):
        power.seeable(labels, [Groups("Side", ("left", "right"), np.repeat([0, 1], 100))], wanted=5)

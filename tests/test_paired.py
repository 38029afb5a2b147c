"""Two classifiers on the same faces: exact McNemar by hand, resamples against a loop, and laws."""

import dataclasses
import time

import numpy as np
import pytest
from sklearn.metrics import log_loss, roc_auc_score

from img2tab_core.audits.groups import Groups
from img2tab_core.audits.metrics import GAPS, gaps_of
from img2tab_core.audits.paired import paired_comparison, paired_gaps
from img2tab_core.base.errors import Img2TabError

N = 2851


def _lost_and_gained(lost, gained, n=N):
    """Labels and probabilities: `lost` faces right before only, `gained` right after only, 9 of 10 others right."""
    labels = np.arange(n) % 2
    before = after = np.where(np.arange(n) % 10 == 9, 1 - labels, labels)  # the answers, as labels are
    before, after = before.copy(), after.copy()
    right = np.flatnonzero(before == labels)
    wrong = np.flatnonzero(before != labels)
    after[right[:lost]] = 1 - labels[right[:lost]]
    after[wrong[:gained]] = labels[wrong[:gained]]
    return labels, 0.1 + 0.8 * before, 0.1 + 0.8 * after


def test_60_faces_lost_and_29_gained_of_2851_are_more_than_chance_explains():
    found = paired_comparison(*_lost_and_gained(60, 29))
    # two-sided binomial with 89 discordant faces: 2 * sum of C(89, k) for k <= 29, over 2^89
    by_hand = 2 * sum(_choose(89, k) for k in range(30)) / 2**89
    assert (found.faces, found.lost, found.gained) == (2851, 60, 29)
    assert found.p_value == pytest.approx(by_hand, rel=1e-9) and round(found.p_value, 3) == 0.001
    assert found.beyond_chance and found.sentence == (
        "60 faces lost and 29 gained of 2,851: more than chance explains (p = 0.001, exact McNemar)."
    )
    assert found.accuracy.value == pytest.approx(-31 / 2851)
    assert found.accuracy.low < -31 / 2851 < found.accuracy.high < 0


def _choose(n, k):
    product = 1
    for step in range(k):
        product = product * (n - step) // (step + 1)
    return product


def test_5_faces_lost_and_3_gained_are_what_chance_alone_could_do():
    found = paired_comparison(*_lost_and_gained(5, 3))
    assert found.p_value == pytest.approx(2 * (1 + 8 + 28 + 56) / 256)  # 0.73
    assert not found.beyond_chance and found.sentence == (
        "5 faces lost and 3 gained of 2,851: chance alone could explain it (p = 0.73, exact McNemar)."
    )


def test_the_same_classifier_twice_differs_by_exactly_0_in_everything():
    labels, before, _ = _lost_and_gained(5, 3)
    found = paired_comparison(labels, before, before, groups=[Groups("G", ("a", "b"), np.arange(N) // 2 % 2)])
    assert found.p_value == 1 and not found.beyond_chance
    for difference in (found.accuracy, found.auc, found.log_loss, *found.gaps.values()):
        assert (difference.value, difference.low, difference.high) == (0, 0, 0) and not difference.beyond_chance
    assert found.sentence == "Both decide each of 2,851 faces alike."


def _two(seed=0, n=400, noise=0.15):
    """Labels, the probabilities of two classifiers that mostly agree, with ties, and two groups."""
    rng = np.random.default_rng(seed)
    labels, codes = rng.integers(0, 2, n), rng.integers(0, 2, n)
    common = 0.3 + 0.35 * labels + 0.2 * rng.normal(size=n)
    before, after = (
        np.clip(common + lean * (codes - 0.5) + noise * rng.normal(size=n), 0.01, 0.99).round(2) for lean in (0.3, 0)
    )
    return labels, before, after, Groups("Gender", ("female", "male"), codes)


def test_every_difference_has_the_quantiles_of_a_plain_loop_over_the_same_faces_of_both():
    labels, before, after, _ = _two()
    found = paired_comparison(labels, before, after, repeats=2000, seed=3)
    assert found.auc.value == pytest.approx(roc_auc_score(labels, after) - roc_auc_score(labels, before))
    assert found.log_loss.value == pytest.approx(log_loss(labels, after) - log_loss(labels, before))
    rng, loop = np.random.default_rng(11), []
    for _ in range(600):
        at = rng.integers(400, size=400)
        loop.append(
            [
                ((after[at] > 0.5) == labels[at]).mean() - ((before[at] > 0.5) == labels[at]).mean(),
                roc_auc_score(labels[at], after[at]) - roc_auc_score(labels[at], before[at]),
                log_loss(labels[at], after[at]) - log_loss(labels[at], before[at]),
            ]
        )
    low, high = np.quantile(loop, (0.025, 0.975), axis=0)
    for at, difference in enumerate((found.accuracy, found.auc, found.log_loss)):
        width = high[at] - low[at]
        assert (difference.low, difference.high) == pytest.approx((low[at], high[at]), abs=0.12 * width)


def test_pairing_narrows_what_two_separate_intervals_leave_open():
    labels, before, after, _ = _two(n=2000, noise=0.05)
    paired = paired_comparison(labels, before, after).auc
    apart = paired_comparison(labels, before, np.random.default_rng(0).permutation(before)).auc  # no pairs are left
    assert paired.high - paired.low < 0.5 * (apart.high - apart.low)


def test_the_gaps_are_those_of_each_classifier_and_a_gap_that_went_is_beyond_chance():
    labels, before, after, gender = _two(n=2000)
    found = paired_comparison(labels, before, after, groups=[gender]).gaps
    old, new = (gaps_of(labels, probability > 0.5, gender.codes) for probability in (before, after))
    assert list(found) == list(GAPS)
    for name in GAPS:
        assert found[name].value == pytest.approx(new[name] - old[name])
    assert found["equalised_odds"].beyond_chance and found["equalised_odds"].high < -0.1


def test_a_gap_is_resampled_group_by_group_with_the_same_faces_of_both_and_its_sign_kept():
    labels, before, after, gender = _two()
    found = paired_gaps(labels, before > 0.5, after > 0.5, gender.codes, repeats=2000, seed=3)["demographic_parity"]
    rng, loop = np.random.default_rng(11), []
    groups = [np.flatnonzero(gender.codes == code) for code in (0, 1)]
    signs = [np.sign((p[groups[1]] > 0.5).mean() - (p[groups[0]] > 0.5).mean()) for p in (before, after)]
    for _ in range(2000):
        picked = [group[rng.integers(len(group), size=len(group))] for group in groups]
        far = [(p[picked[1]] > 0.5).mean() - (p[picked[0]] > 0.5).mean() for p in (before, after)]
        loop.append(signs[1] * far[1] - signs[0] * far[0])
    low, high = np.quantile(loop, (0.025, 0.975))
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.08 * (high - low))


@pytest.mark.parametrize("count", [2, 4])
def test_where_a_gap_of_20_points_goes_to_0_at_least_92_of_100_intervals_hold_the_change(count):
    held = {"demographic_parity": 0, "equalised_odds": 0}  # percentiles of the gaps themselves: 60 with four groups
    lean = np.linspace(-0.1, 0.1, count)
    for seed in range(100):
        rng = np.random.default_rng(seed)
        labels, codes = rng.integers(0, 2, 1000), rng.integers(0, count, 1000)
        luck = rng.random(1000)
        other = np.where(rng.random(1000) < 0.7, luck, rng.random(1000))
        rate = np.where(labels == 1, 0.7, 0.25)  # of class 1 given, where a group is not favoured
        found = paired_gaps(labels, luck < rate + lean[codes], other < rate, codes, repeats=400, seed=seed)
        for name in held:
            held[name] += found[name].low <= -0.2 <= found[name].high
    assert min(held.values()) >= 92, held


def test_over_seeds_the_difference_of_a_gap_is_the_mean_over_them():
    labels, before, after, gender = _two()
    one = paired_gaps(labels, before > 0.5, after > 0.5, gender.codes)
    two = paired_gaps(labels, np.stack([before > 0.5, after > 0.5]), np.stack([after > 0.5] * 2), gender.codes)
    for name in one:  # the second seed changes nothing
        assert two[name].value == pytest.approx(one[name].value / 2)


def test_of_200_pairs_that_chance_alone_made_at_most_20_are_called_beyond_it():
    wrong = {"mcnemar": 0, "auc": 0, "equalised_odds": 0}
    for seed in range(200):
        rng = np.random.default_rng(seed)
        labels, codes = rng.integers(0, 2, 500), rng.integers(0, 2, 500)
        common = 0.3 + 0.35 * labels + 0.15 * codes + 0.2 * rng.normal(size=500)
        before, after = (np.clip(common + 0.15 * rng.normal(size=500), 0, 1) for _ in range(2))
        found = paired_comparison(
            labels, before, after, groups=[Groups("G", ("a", "b"), codes)], repeats=400, seed=seed
        )
        wrong["mcnemar"] += found.beyond_chance
        wrong["auc"] += found.auc.beyond_chance
        wrong["equalised_odds"] += found.gaps["equalised_odds"].beyond_chance
    # 10 are expected; McNemar is exact and a gap the largest of several differences: both call fewer
    assert wrong["mcnemar"] <= 14 and 3 <= wrong["auc"] <= 20 and wrong["equalised_odds"] <= 14, wrong


def test_a_gap_that_no_two_groups_have_is_none():
    labels, before, after, gender = _two()
    labels = np.where(gender.codes == 1, 0, labels)  # no face of class 1 in one group
    found = paired_comparison(labels, before, after, groups=[gender]).gaps
    assert found["equalised_odds"] is None and found["equal_opportunity"] is None
    assert found["demographic_parity"] is not None


def test_a_group_without_faces_changes_nothing_whether_it_is_the_first_or_the_last():
    labels, before, after, gender = _two()
    for shift in (0, 1):  # two groups of three, the first or the last of them empty
        three = Groups("Gender", ("a", "b", "c"), gender.codes + shift)
        found = paired_comparison(labels, before, after, groups=[three]).gaps
        assert found == paired_comparison(labels, before, after, groups=[gender]).gaps and found["worst_accuracy"]


def test_the_record_is_frozen_and_its_json_has_the_sentence_and_no_nan():
    labels, before, after, gender = _two()
    found = paired_comparison(labels, before, after, groups=[gender])
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.lost = 0
    stored = found.to_json()
    assert stored["sentence"] == found.sentence and stored["auc"]["low"] == found.auc.low
    assert set(stored["gaps"]) == set(GAPS) and "nan" not in str(stored)


def test_1000_resamples_of_2851_faces_take_less_than_a_second():
    labels, before, after, gender = _two(n=N)
    started = time.perf_counter()
    paired_comparison(labels, before, after, groups=[gender])
    assert time.perf_counter() - started < 3  # 0.4 s on one quiet core; the bound is for a busy machine


def test_what_cannot_be_compared_is_refused_in_a_sentence():
    labels, before, after, gender = _two()
    with pytest.raises(Img2TabError, match="the same faces"):
        paired_comparison(labels, before, after[1:])
    with pytest.raises(Img2TabError, match="0 or 1"):
        paired_comparison(labels - 1, before, after)
    with pytest.raises(Img2TabError, match="both classes"):
        paired_comparison(np.zeros(400, int), before, after)
    with pytest.raises(Img2TabError, match="between 0 and 1"):
        paired_comparison(labels, before, np.where(np.arange(400) == 7, np.nan, after))
    with pytest.raises(Img2TabError, match="at least 40 resamples"):
        paired_comparison(labels, before, after, repeats=10)
    with pytest.raises(Img2TabError, match="one group for each face"):
        paired_comparison(labels, before, after, groups=[Groups("G", ("a", "b"), gender.codes[1:])])

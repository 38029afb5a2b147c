"""An audit in words: the gap with its direction, the worse group, faces that are misjudged, and thresholds found."""

import itertools

import numpy as np
import pytest

from img2tab_core.audits.audit import audit
from img2tab_core.audits.bootstrap import gap_alone
from img2tab_core.audits.group_differences import (
    ACCURACY,
    CALLED,
    FALSE_ALARMS,
    MISSES,
    gap_sentence,
    group_differences,
    label_sentence,
    tile_detail,
    tile_title,
    tile_value,
)
from img2tab_core.audits.groups import STANDARD, Groups, crossed, faces_of
from img2tab_core.audits.misjudged import misjudged
from img2tab_core.audits.paired import paired_gaps
from img2tab_core.audits.threshold_search import STEP, find_thresholds, on_test_faces
from img2tab_core.base.errors import Img2TabError

CLASSES = ("perceived older", "perceived young")
NAMES = ("perceived female", "perceived male")


def _faces(*cells):
    """Cells of (group, label, right, wrong) faces -> labels, probability and groups; sure by 0.9."""
    labels, probability, codes = [], [], []
    for code, label, right, wrong in cells:
        called = [label] * right + [1 - label] * wrong
        labels += [label] * (right + wrong)
        codes += [code] * (right + wrong)
        probability += [0.9 if each else 0.1 for each in called]
    return np.array(labels), np.array(probability), [Groups("Perceived gender", NAMES, np.array(codes))]


def _told(faces, **options):
    audited = audit(*faces, repeats=200)
    alone = gap_alone(faces_of(*faces, STANDARD), FALSE_ALARMS, repeats=200)
    differences = group_differences(audited, alone)
    return audited, differences, gap_sentence(audited, CLASSES, differences, **options)


def test_the_sentence_names_the_group_that_is_judged_wrongly_more_often_and_both_shares():
    # older women: 40 of 100 called young, older men 10 of 100; of the young nobody is missed
    audited, differences, text = _told(_faces((0, 0, 60, 40), (0, 1, 100, 0), (1, 0, 90, 10), (1, 1, 50, 0)))
    gap = audited.gaps["equalised_odds"]
    assert text == (
        "40.0\u00a0% of the faces labelled older and female are called young, 10.0\u00a0% of those labelled older and "
        f"male: 30.0 points, 95\u00a0% interval {100 * gap.low:.1f} to {100 * gap.high:.1f}."
    )
    assert 15 < 100 * gap.low < 25 and 35 < 100 * gap.high < 45
    assert label_sentence(audited, CLASSES) == (
        "Labelled young: 50\u00a0% of the faces labelled female and 33\u00a0% of those labelled male."
    )
    by_rate = {each.rate: each for each in differences}
    assert (by_rate[FALSE_ALARMS].worse, by_rate[FALSE_ALARMS].shares) == ("perceived female", (0.4, 0.1))
    assert tile_value(by_rate[FALSE_ALARMS]) == "Female +30.0\u00a0points"
    assert tile_value(by_rate[MISSES]) == "Cannot be told"  # nobody is missed in either group
    assert tile_value(by_rate[CALLED]) == "Female +30.0\u00a0points"  # 140 of 200 against 60 of 150
    assert tile_title(CALLED, CLASSES) == "Called young"
    # right about 160 of 200 women and 140 of 150 men
    assert tile_value(by_rate[ACCURACY]) == "Lowest for female, 80.0\u00a0%"
    assert tile_detail(by_rate[ACCURACY], CLASSES).startswith(
        "Female 80.0\u00a0%, male 93.3\u00a0%; 95\u00a0% interval"
    )


def test_a_difference_that_may_be_luck_is_not_told_as_one():
    _, differences, text = _told(_faces((0, 0, 52, 8), (0, 1, 60, 3), (1, 0, 54, 6), (1, 1, 60, 3)))
    assert text.startswith("Cannot be told: 3.3 points, 95\u00a0% interval 0.0 to ") and "may be luck" in text
    assert all(tile_value(each) == "Cannot be told" for each in differences)
    assert not any(each.clear for each in differences)


def test_a_group_with_too_few_faces_gets_no_number_at_all():
    _, differences, text = _told(_faces((0, 0, 60, 40), (0, 1, 12, 0), (1, 0, 90, 10), (1, 1, 50, 0)))
    few = "only 12 test faces are labelled young and female; it takes 30."
    assert text == f"Cannot be told: {few}"
    misses = next(each for each in differences if each.rate == MISSES)
    assert (tile_value(misses), tile_detail(misses, CLASSES)) == ("Too few faces", few.capitalize())
    assert tile_value(differences[0]) == "Female +30.0\u00a0points"  # of the older there are enough
    _, _, text = _told(_faces((0, 0, 60, 40), (1, 0, 90, 10), (1, 1, 50, 0)))
    assert text == "Cannot be told: no test face is labelled young and female."


def test_where_the_widest_difference_may_be_luck_the_other_one_is_told_too():
    # misses, 8 of 30 against 6 of 40, are the widest and may be luck; false alarms, 60 and 10 of 1000, are not
    faces = _faces((0, 0, 940, 60), (0, 1, 22, 8), (1, 0, 990, 10), (1, 1, 34, 6))
    _, differences, text = _told(faces)
    assert not next(each for each in differences if each.rate == MISSES).clear
    assert text.startswith("26.7\u00a0% of the faces labelled young and female are called older")
    assert "That may be luck, this is not: 6.0\u00a0% of the faces labelled older and female are called young" in text


def test_one_rate_alone_has_the_interval_that_the_gap_made_of_it_has_in_an_audit():
    faces = _faces((0, 0, 60, 40), (0, 1, 90, 10), (1, 0, 90, 10), (1, 1, 45, 5))
    audited = audit(*faces, repeats=300, seed=3)
    for rate, gap in ((MISSES, "equal_opportunity"), (CALLED, "demographic_parity"), (ACCURACY, "accuracy_gap")):
        assert gap_alone(faces_of(*faces, STANDARD), rate, repeats=300, seed=3) == audited.gaps[gap]
    assert gap_alone(faces_of(*faces, STANDARD), FALSE_ALARMS).value == pytest.approx(0.3)


def test_the_surest_mistakes_of_1_group_and_label_come_first():
    rows = np.array([10, 11, 12, 13, 14, 15])
    labels = np.array([0, 0, 0, 0, 1, 0])
    probability = np.array([0.6, 0.9, 0.5, 0.7, 0.1, 0.99])  # at 0.5 it is called class 0
    inside = np.array([True, True, True, True, True, False])
    wrong = misjudged(rows, labels, probability, inside, group="g", label=0, most=2)
    assert (wrong.wrong, wrong.of, [face.row for face in wrong.faces]) == (3, 4, [11, 13])
    missed = misjudged(rows, labels, probability, inside, group="g", label=1)
    assert [(face.row, face.probability) for face in missed.faces] == [(14, 0.9)]
    with pytest.raises(Img2TabError, match="labelled 0 or 1, got 2"):
        misjudged(rows, labels, probability, inside, group="g", label=2)


def _shifted():
    """Men's probabilities are women's plus 0.2: with 0.5 and 0.7 both groups are judged alike and rightly."""
    ranked = np.concatenate([np.linspace(0.05, 0.48, 40), np.linspace(0.52, 0.79, 40)])
    labels = np.tile(np.repeat([0, 1], 40), 2)
    return labels, np.concatenate([ranked, ranked + 0.2]), [Groups("Gender", NAMES, np.repeat([0, 1], 80))]


def test_thresholds_of_groups_whose_probabilities_are_shifted_are_found_shifted_back():
    search = find_thresholds(*_shifted(), most_lost=0)
    low, high = search.thresholds.values()
    assert 0.48 <= low < 0.52 and 0.68 <= high < 0.72
    assert search.gaps[0] > 0.3 and search.gaps[1] == 0 and search.accuracies[1] == 1
    assert search.sentence.startswith(f"Chosen on 160 validation faces: {low:.2f} for female and {high:.2f} for male.")


@pytest.mark.parametrize("gap", ["equalised_odds", "demographic_parity"])
@pytest.mark.parametrize("each", [True, False])
def test_no_other_combination_of_the_grid_does_better_within_the_accuracy_to_lose(gap, each):
    rng = np.random.default_rng(1)
    labels, codes = rng.integers(0, 2, 400), rng.integers(0, 2, 400)
    probability = np.clip(0.3 + 0.35 * labels + 0.15 * codes + 0.2 * rng.normal(size=400), 0, 1)
    search = find_thresholds(labels, probability, [Groups("Gender", NAMES, codes)], gap=gap, each=each, most_lost=0.03)
    grid = np.arange(1, 100) / 100

    def measured(cuts):
        called = probability > np.array(cuts)[codes]
        rate = {
            (code, label): called[(codes == code) & (labels == label)].mean() for code in (0, 1) for label in (0, 1)
        }
        chosen = [called[codes == code].mean() for code in (0, 1)]
        telling = [rate[code, 1] - rate[code, 0] for code in (0, 1)]
        odds = max(abs(rate[0, label] - rate[1, label]) for label in (0, 1))
        width = odds if gap == "equalised_odds" else abs(chosen[0] - chosen[1])
        return width, (called == labels).mean(), telling

    _, best, telling = measured((0.5, 0.5))
    tried = [(cut, cut) for cut in grid] if not each else itertools.product(grid, grid)
    within = [
        (width, accuracy)
        for width, accuracy, told in map(measured, tried)
        if accuracy >= best - 0.03 - 1e-9 and all(now >= 0.5 * then for now, then in zip(told, telling, strict=True))
    ]
    least = min(width for width, _ in within)
    width, accuracy, _ = measured(tuple(search.thresholds.values()))
    assert (width, accuracy) == (pytest.approx(search.gaps[1]), pytest.approx(search.accuracies[1]))
    assert width < least + STEP
    assert accuracy == pytest.approx(max(right for other, right in within if other <= np.ceil(least / STEP) * STEP))


def test_never_deciding_is_not_offered_although_it_closes_every_gap():
    rng = np.random.default_rng(2)
    labels, codes = (np.arange(2000) % 40 == 0).astype(int), rng.integers(0, 2, 2000)  # 1 in 40: not calling any costs
    probability = np.clip(0.2 + 0.45 * labels + 0.2 * codes + 0.1 * rng.normal(size=2000), 0, 1)
    search = find_thresholds(labels, probability, [Groups("Gender", NAMES, codes)], most_lost=0.05)
    called = probability > np.array(list(search.thresholds.values()))[codes]
    for code in (0, 1):
        assert called[(codes == code) & (labels == 1)].mean() > 0.3


def test_thresholds_of_4_crossed_groups_are_found_and_what_they_do_elsewhere_is_told():
    rng = np.random.default_rng(3)
    labels, codes, other = (rng.integers(0, 2, 3000) for _ in range(3))
    probability = np.clip(0.3 + 0.35 * labels + 0.12 * codes + 0.12 * other + 0.15 * rng.normal(size=3000), 0, 1)
    halves = [np.arange(3000) % 2 == side for side in (0, 1)]

    def part(inside):
        return (
            labels[inside],
            probability[inside],
            [Groups("Gender", NAMES, codes[inside]), Groups("Age", ("a", "b"), other[inside])],
        )

    search = find_thresholds(*part(halves[0]), most_lost=0.02)
    before = audit(*part(halves[1]), repeats=100)
    after = audit(*part(halves[1]), thresholds=search.thresholds, repeats=100)
    old, new = (audited.gaps["equalised_odds"].value for audited in (before, after))
    assert old > 0.3 and new < 0.5 * old  # on faces that took no part
    truth, chances, groups = part(halves[1])
    crossed_groups = crossed(groups)
    cuts = np.array([search.thresholds[name] for name in crossed_groups.names])[crossed_groups.codes]
    changed = paired_gaps(truth, chances > 0.5, chances > cuts, crossed_groups.codes, repeats=200)
    told = on_test_faces(before, after, "equalised_odds", changed)
    change = changed["equalised_odds"]
    assert change.value == pytest.approx(new - old) and change.high < 0
    assert f"goes from {100 * old:.1f} to {100 * new:.1f} points ({change.in_points})" in told
    assert f"({changed['accuracy'].in_points}); in brackets the change on the same faces" in told


def test_what_cannot_be_sought_is_refused_with_a_reason():
    labels, probability, groups = _shifted()
    with pytest.raises(Img2TabError, match="must be one of equalised_odds, demographic_parity"):
        find_thresholds(labels, probability, groups, gap="accuracy_gap")
    with pytest.raises(Img2TabError, match="none of one class in female"):
        find_thresholds(np.where(np.arange(160) < 80, 0, labels), probability, groups)
    with pytest.raises(Img2TabError, match="share of 1, got 2"):
        find_thresholds(labels, probability, groups, most_lost=2)
    alike = np.tile(probability[:80], 2)
    search = find_thresholds(labels, alike, groups)
    assert not search.moved and search.sentence.startswith("No thresholds bring the gap in error rates closer")

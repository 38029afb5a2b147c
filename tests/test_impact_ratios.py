"""Impact ratios: numbers worked by hand, an interval that covers, and never a ratio of a group that is too small."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats.contingency import relative_risk

from img2tab_core.audits.auditor import Auditor
from img2tab_core.audits.groups import Groups
from img2tab_core.audits.impact_ratios import impact_ratios, ratio_interval
from img2tab_core.base.errors import Img2TabError
from img2tab_core.studio import Studio


def faces(*cells: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """(probability, codes) of groups given as (code, faces, selected)."""
    probability = np.concatenate([[0.9] * selected + [0.1] * (count - selected) for _, count, selected in cells])
    return probability, np.repeat([code for code, _, _ in cells], [count for _, count, _ in cells])


def test_a_quarter_against_a_half_is_a_ratio_of_one_half_and_the_unknown_are_counted():
    probability, codes = faces((0, 200, 100), (1, 200, 50), (-1, 40, 40))
    measured = impact_ratios(probability, [Groups("Gender", ("women", "men"), codes)], given="hired")
    women, men = measured.tables[0].groups
    assert (women.rate.value, men.rate.value) == (0.5, 0.25)
    assert (women.ratio.value, men.ratio.value) == (1.0, 0.5)
    assert measured.tables[0].highest == "women" and women.ratio.low is None
    assert measured.tables[0].unknown == 40 and measured.faces == 440
    assert men.ratio.low < 0.5 < men.ratio.high < 1
    assert measured.tables[0].sentence("hired") == (
        "By gender: men are given “hired” 25.0\N{NO-BREAK SPACE}% of the time, women 50.0\N{NO-BREAK SPACE}%: an "
        f"impact ratio of 0.50 (95\N{NO-BREAK SPACE}% interval {men.ratio.low:.2f} to {men.ratio.high:.2f})."
    )


def test_two_attributes_give_three_tables_and_a_face_that_lacks_either_is_unknown_in_the_crossing():
    probability = np.tile([0.9, 0.9, 0.9, 0.1], 100)
    gender = Groups("Gender", ("women", "men"), np.tile([0, 0, 1, 1], 100))
    age = Groups("Age", ("young", "old"), np.where(np.arange(400) < 8, -1, np.tile([0, 1, 0, 1], 100)))
    measured = impact_ratios(probability, [gender, age])
    assert [table.attribute for table in measured.tables] == ["Gender", "Age", "Gender × age"]
    assert [table.unknown for table in measured.tables] == [0, 8, 8]
    assert {group.name: (group.count, group.selected) for group in measured.tables[2].groups} == {
        "women, young": (98, 98),
        "women, old": (98, 98),
        "men, young": (98, 98),
        "men, old": (98, 0),
    }
    assert measured.tables[2].groups[3].ratio.value == 0 and 0 < measured.tables[2].groups[3].ratio.high < 0.2


def test_a_group_of_29_has_neither_rate_nor_ratio_and_its_rate_is_nobodys_reference():
    probability, codes = faces((0, 300, 90), (1, 300, 60), (2, 29, 29), (3, 0, 0))
    table = impact_ratios(probability, [Groups("Hair", ("a", "b", "c", "d"), codes)]).tables[0]
    assert table.highest == "a"
    assert [group.rate.value for group in table.groups] == [0.3, 0.2, None, None]
    assert table.groups[2].ratio.value is None and "29 faces, fewer than 30" in table.groups[2].ratio.note
    assert (table.groups[3].rate.note, table.groups[3].ratio.note) == ("no faces", "no faces")


def test_a_group_under_2_percent_is_marked_with_its_count_and_rate_and_has_no_ratio_unless_asked():
    probability, codes = faces((0, 1500, 450), (1, 1500, 300), (2, 40, 40))
    groups = [Groups("Hair", ("a", "b", "c"), codes)]
    table = impact_ratios(probability, groups).tables[0]
    small = table.groups[2]
    assert small.left_out and small.share == pytest.approx(40 / 3040) and small.rate.value == 1.0
    assert small.ratio.value is None and small.ratio.note == "left out: less than 2 % of the faces"
    assert table.highest == "a"
    kept = impact_ratios(probability, groups, least_share=0).tables[0]
    assert kept.highest == "c" and not kept.groups[2].left_out and kept.groups[1].ratio.value == pytest.approx(0.2)


def test_where_nobody_is_given_the_class_no_ratio_is_zero_or_one():
    probability, codes = faces((0, 50, 0), (1, 50, 0))
    table = impact_ratios(probability, [Groups("Gender", ("women", "men"), codes)]).tables[0]
    assert [group.ratio.value for group in table.groups] == [None, None]
    assert table.groups[0].ratio.note == "no group is given the class" and "too few to say" in table.sentence("x")


def test_the_interval_is_that_of_katz_where_there_are_many_faces_and_covers_where_there_are_few():
    katz = relative_risk(3000, 10000, 5000, 10000).confidence_interval()
    assert ratio_interval((3000, 10000), (5000, 10000)) == pytest.approx((katz.low, katz.high), abs=1e-3)
    rng, covered, draws = np.random.default_rng(0), 0, 400
    for part, whole in zip(rng.binomial(60, 0.2, draws), rng.binomial(60, 0.3, draws), strict=True):
        low, high = ratio_interval((int(part), 60), (int(whole), 60))
        covered += low <= 2 / 3 <= high
    assert 0.93 <= covered / draws <= 0.98


def test_the_lowest_of_six_equal_groups_keeps_1_in_its_interval_where_one_interval_a_pair_would_not():
    rng, names = np.random.default_rng(1), tuple("abcdef")
    codes, kept, alone = np.repeat(np.arange(6), 100), 0, 0
    for _ in range(80):
        table = impact_ratios((rng.random(600) < 0.4).astype(float), [Groups("Six", names, codes)]).tables[0]
        highest = next(group for group in table.groups if group.name == table.highest)
        kept += table.lowest.ratio.high >= 1
        alone += ratio_interval((table.lowest.selected, 100), (highest.selected, 100))[1] >= 1
    assert kept / 80 >= 0.92 and alone / 80 < 0.8


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"threshold": 1.5}, "between 0 and 1, and so is the least share"),
        ({"least_share": 2.0}, "between 0 and 1, and so is the least share"),
        ({"probability": np.array([2.0, 0.1])}, "a probability between 0 and 1 for each face"),
        ({"probability": np.array([0.2, 0.1, 0.3])}, "one group for each face, got 2 for 3 faces"),
    ],
)
def test_what_does_not_go_together_is_told_in_a_sentence(change, sentence):
    probability = change.pop("probability", np.array([0.2, 0.8]))
    with pytest.raises(Img2TabError, match=sentence):
        impact_ratios(probability, [Groups("Gender", ("women", "men"), np.array([0, 1]))], **change)


def test_the_auditor_counts_the_test_faces_of_a_run_and_names_the_class(toy_home, monkeypatch):
    monkeypatch.setenv("IMG2TAB_HOME", str(toy_home(600, 12, kind=2.0, group_from=8)))
    auditor = Auditor(Studio())
    run = auditor.studio.run(auditor.studio.table("toy"), "kind")
    measured = auditor.impact_ratios(run, "group", "odd")
    rows, _, probability = auditor.studio.trainer.test_answers(run)
    assert measured.given == "special" and measured.faces == len(rows)
    assert sum(group.selected for group in measured.tables[0].groups) == int((probability > 0.5).sum())
    frame = measured.frame()
    assert list(frame[frame["group"] == "unknown"]["faces"]) == [0, 0, 0]
    with pytest.raises(Img2TabError, match="something else than what is predicted"):
        auditor.impact_ratios(run, "kind")

"""Proxies by hand: shifts one can add up, samples one can count, families one can see, a curve that must fall."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import wasserstein_distance
from sklearn.metrics import roc_auc_score

from img2tab_core import tables
from img2tab_core.audits import exclusion_curves
from img2tab_core.audits.carriers import Carried, carried, suggest
from img2tab_core.audits.concept_steps import ConceptSteps, Step, concept_steps
from img2tab_core.audits.exclusion_curves import CurvePoint, CurveTrial, ExclusionCurve, exclusion_curve, joined
from img2tab_core.audits.linear_probe import probe, readable
from img2tab_core.audits.metrics import gaps_of
from img2tab_core.audits.stand_ins import correlated, families, took_over
from img2tab_core.base.errors import Cancelled, Img2TabError
from img2tab_core.base.layout import StyleLayout
from img2tab_core.base.records import Target
from img2tab_core.classifiers.catboost import CatBoostConcepts
from img2tab_core.tables.sampling import balanced_rows, biased_rows, known_rows
from tests.test_families import description

N, D = 1200, 40
TARGET, GROUP, CONSTANT = (0, 1), (5, 6, 7), 39


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """1,200 faces x 40 channels: 0 and 1 tell the target (1.5 SD), 5 to 7 the group (2 SD), 39 never changes."""
    rng = np.random.default_rng(0)
    labels, groups = rng.integers(0, 2, N).astype(np.int8), rng.integers(0, 2, N).astype(np.int8)
    psi = rng.normal(size=(N, D)).astype(np.float32)
    psi[:, TARGET] += 1.5 * labels[:, None]
    shared = rng.normal(size=N).astype(np.float32)
    psi[:, GROUP] = 0.5 * psi[:, GROUP] + shared[:, None] + 2 * groups[:, None]
    psi[:, CONSTANT] = 3
    psi[:, 10] *= 1000  # units must not matter
    groups = groups.copy()
    groups[:7] = -1
    frame = pd.DataFrame({"smiling": labels, "gender": groups, "empty": np.full(N, -1, np.int8)})
    return tables.write_table(
        tmp_path_factory.mktemp("tables") / "toy",
        lambda rows: psi[rows],
        frame,
        targets=[
            Target("smiling", "Smiling", ("no", "yes"), "by hand"),
            Target("gender", "Perceived gender", ("female", "male"), "by hand"),
            Target("empty", "Empty", ("no", "yes"), "nothing"),
        ],
        layout=StyleLayout((D,)),
        backbone="toy",
        key="toy-key",
    )


@pytest.fixture(scope="module")
def labels(table):
    return table.labels["smiling"].to_numpy(), table.labels["gender"].to_numpy()


@pytest.fixture(scope="module")
def biased(table, labels):
    return biased_rows(*labels, table.rows("train"), group=1, seed=0)


@pytest.fixture(scope="module")
def found(table, biased):
    return carried(table, "smiling", "gender", rows=biased)


# --- what carries the attribute -------------------------------------------------------------------------


def test_distances_are_those_of_scipy_within_each_class_and_each_group(table, labels, biased, found):
    y, a = (values[biased] for values in labels)
    for index in (0, 5, 10, 20):
        values = table.psi[biased, index] / table.stats.std[index]
        assert found.overall[index] == pytest.approx(wasserstein_distance(values[a == 0], values[a == 1]), rel=1e-5)
        for said, of, inside in ((found.within, a, y), (found.between, y, a)):
            parts = [
                wasserstein_distance(values[(inside == k) & (of == 0)], values[(inside == k) & (of == 1)])
                for k in (0, 1)
            ]
            assert said[index] == pytest.approx(np.mean(parts), rel=1e-5)


def test_a_shift_is_the_mean_of_two_differences_of_means(table, labels, biased, found):
    y, a = (values[biased] for values in labels)
    codes = table.psi[biased].astype(np.float64)
    mean = {(k, g): codes[(y == k) & (a == g)].mean(axis=0) for k in (0, 1) for g in (0, 1)}
    expected = (mean[0, 1] - mean[0, 0] + mean[1, 1] - mean[1, 0]) / 2
    moving = table.stats.std > 0
    assert found.shift[moving] == pytest.approx(expected[moving] / table.stats.std[moving], abs=1e-5)
    expected = (mean[1, 0] - mean[0, 0] + mean[1, 1] - mean[0, 1]) / 2
    assert found.target_shift[moving] == pytest.approx(expected[moving] / table.stats.std[moving], abs=1e-5)
    assert found.shift[CONSTANT] == 0 and found.overall[CONSTANT] == 0


def test_in_a_biased_draw_the_target_s_channels_look_like_the_group_s_until_one_looks_within_the_classes(found):
    for index in TARGET:
        assert found.overall[index] > 0.6 > 0.4 > found.within[index]
    assert set(found.ranking[:3].tolist()) == set(GROUP)
    assert sorted(found.ranking.tolist()) == list(range(D))


def test_the_error_of_a_shift_is_half_the_root_of_the_four_variances_of_the_means(found):
    cells = [number for row in found.counts for number in row]
    assert sum(cells) <= 840
    assert found.error == pytest.approx(0.5 * np.sqrt(sum(1 / number for number in cells)), rel=0.1)


def test_what_to_exclude_is_found_on_training_faces_alone_and_other_faces_are_refused(table, labels):
    train = table.rows("train")
    known = train[(labels[0][train] >= 0) & (labels[1][train] >= 0)]
    shares = []
    found = carried(table, "smiling", "gender", progress=shares.append)
    assert sum(map(sum, found.counts)) == len(known)  # 840 less those of unknown group, and no validation face
    assert shares[-1] == 1.0 and f"Measured on {len(known):,} training faces" in suggest(found).rule
    for split, row in (("validation", table.rows("validation")[-1]), ("test", table.rows("test")[-1])):
        with pytest.raises(Img2TabError, match=f"training faces, got 1 face.* {split}"):
            carried(table, "smiling", "gender", rows=np.append(train, row))


def test_what_cannot_be_carried_says_why(table, labels):
    with pytest.raises(Img2TabError, match="must differ"):
        carried(table, "smiling", "smiling")
    with pytest.raises(Img2TabError, match="has no target 'hat'"):
        carried(table, "smiling", "hat")
    one_cell_short = table.rows("train")[(labels[0][table.rows("train")] + labels[1][table.rows("train")]) < 2]
    with pytest.raises(Img2TabError, match="none of class 1 in group 1"):
        carried(table, "smiling", "gender", rows=one_cell_short)
    with pytest.raises(Img2TabError, match="Both classes of 'empty'"):
        carried(table, "empty", "gender")
    with pytest.raises(Img2TabError, match="whole numbers between 0 and 1199"):
        carried(table, "smiling", "gender", rows=np.array([N]))


# --- the suggestion ---------------------------------------------------------------------------------------


def test_a_suggestion_excludes_what_is_above_the_threshold_largest_first_and_says_so(found):
    suggestion = suggest(found, threshold=0.5, ratio=1e9)
    assert set(suggestion.excluded) == set(GROUP)
    assert np.all(np.diff(np.abs(found.shift[list(suggestion.excluded)])) <= 0)
    assert suggestion.kept == D - 3
    assert "within the classes of the target, by more than 0.5 standard deviations" in suggestion.rule
    assert (
        "3 of 40 channels" in suggestion.rule
        and "none of the test split nor of the validation split" in suggestion.rule
    )


def _carried(shift, target_shift):
    shift, target_shift = np.array(shift), np.array(target_shift)
    return Carried("t", "s", *[np.abs(shift)] * 3, shift, target_shift, 0.02, ((25, 25), (25, 25)))


def test_what_differs_little_goes_too_where_it_says_little_about_the_target_and_the_ranking_has_it_second():
    # shifts above 0.05: 1, then 0; ratios of the others: 4 has 0.4, 2 has 0.2, 3 has 0.1, 5 has 0
    found = _carried([0.1, -0.2, 0.04, 0.04, -0.02, 0.0], [1.0, 3.0, 0.2, -0.4, 0.05, 0.0])
    suggestion = suggest(found)
    assert suggestion.excluded == (1, 0, 4, 2) and suggestion.kept == 2
    assert suggestion.ranking == (1, 0, 4, 2, 3, 5)
    assert suggest(found, ratio=0.3).excluded == (1, 0, 4)
    assert "more than 15 % of what the classes differ by" in suggestion.rule


def test_of_40_channels_2_always_stay_those_that_come_last(found):
    suggestion = suggest(found, threshold=0)
    assert len(suggestion.excluded) == 38 and suggestion.kept == 2
    assert "At least 2 stay" in suggestion.rule
    assert sorted(suggestion.ranking) == list(range(D)) and suggestion.ranking[-1] == CONSTANT
    assert suggestion.ranking[:38] == suggestion.excluded


def test_a_threshold_or_a_ratio_below_0_is_refused(found):
    with pytest.raises(Img2TabError, match="threshold must be"):
        suggest(found, threshold=-0.1)
    with pytest.raises(Img2TabError, match="ratio must be"):
        suggest(found, ratio=np.nan)


# --- what stands in -------------------------------------------------------------------------------------


def test_what_was_0_5_important_is_freed_and_two_channels_gain():
    moved = took_over(np.array([0.5, 0.3, 0.2, 0.0]), np.array([0.0, 0.6, 0.15, 0.25]))
    assert moved.freed == 0.5
    assert [(gain.index, gain.before, gain.after) for gain in moved.gains] == [(1, 0.3, 0.6), (3, 0.0, 0.25)]
    with pytest.raises(Img2TabError, match="same channels"):
        took_over(np.zeros(3), np.zeros(4))


def test_two_of_the_group_s_channels_go_with_the_excluded_third_within_the_classes(table, labels):
    rows = table.rows("train")
    links = correlated(table, "smiling", {5}, rows=rows, count=3)
    assert {link.index for link in links[:2]} == {6, 7} and all(link.partner == 5 for link in links)
    values = table.psi[rows].astype(np.float64)
    for k in (0, 1):
        values[labels[0][rows] == k] -= values[labels[0][rows] == k].mean(axis=0)
    for link in links:
        expected = np.corrcoef(values[:, 5], values[:, link.index])[0, 1]
        assert link.correlation == pytest.approx(expected, abs=1e-4)
    assert correlated(table, "smiling", ()) == ()


def test_a_channel_that_only_follows_the_target_does_not_go_with_another_given_the_target(table, labels):
    rows = table.rows("train")
    raw = np.corrcoef(table.psi[rows, 0], table.psi[rows, 1])[0, 1]
    (link,) = (link for link in correlated(table, "smiling", {0}, count=D) if link.index == 1)
    assert raw > 0.3 and abs(link.correlation) < 0.12


def test_gender_is_read_with_one_of_its_channels_left_and_no_better_than_chance_with_none(table):
    nothing = readable(table, "gender")
    two = readable(table, "gender", excluded={5, 6})
    assert two.auc > 0.8 and two.low < two.auc < two.high
    assert two.sentence.startswith("You excluded 2 channels; perceived gender can still be read from the rest with AUC")
    assert nothing.sentence.startswith("Nothing is excluded; perceived gender can be read with AUC")
    none = readable(table, "gender", excluded=set(GROUP))
    assert none.low <= 0.5 or none.auc < 0.6
    one = readable(table, "gender", excluded={5})
    assert "1 channel;" in one.sentence


def test_the_auc_is_the_one_of_the_probe_s_own_readings(table, labels):
    found = readable(table, "gender", excluded={5})
    rows = table.rows("test")  # the exclusion may have been chosen by the validation faces
    rows = rows[labels[1][rows] >= 0]
    reading = probe(table, "gender", excluded={5})
    said = reading.read(table.psi[rows])
    assert found.auc == pytest.approx(roc_auc_score(labels[1][rows], said), abs=1e-6)
    assert reading.weights[5] == 0
    low, high = (said[labels[1][rows] == g].mean() for g in (0, 1))  # a regression on noise is drawn to the middle
    assert -0.1 < low < 0.35 < 0.65 < high < 1.1
    with pytest.raises(Img2TabError, match=r"shape \(faces, 40\)"):
        reading.read(np.zeros((2, 3)))


def test_a_probe_is_never_measured_on_its_own_faces_and_needs_a_channel(table):
    with pytest.raises(Img2TabError, match="other faces"):
        readable(table, "gender", test_rows=table.rows("train"))
    with pytest.raises(Img2TabError, match="40 of 40 excluded"):
        readable(table, "gender", excluded=set(range(D)))
    with pytest.raises(Img2TabError, match="between 0 and 39"):
        readable(table, "gender", excluded={40})


# --- families -------------------------------------------------------------------------------------------


def test_the_three_channels_of_the_group_are_the_largest_family_and_the_others_stay_alone(table):
    found = families(table)
    assert set(found.families[0].members) == set(GROUP) and found.families[0].size == 3
    assert sum(family.size for family in found.families) == D
    assert found.of(6) is found.families[0]
    assert found.of(CONSTANT).size == 1
    assert found.families[0].likeness > 0.8
    assert "Average linkage" in found.method and "at least 0.5" in found.method


def test_a_likeness_of_0_is_refused_and_a_channel_outside_belongs_nowhere(table):
    with pytest.raises(Img2TabError, match="above 0"):
        families(table, likeness=0)
    with pytest.raises(Img2TabError, match="in no family"):
        families(table).of(D)


# --- the curve --------------------------------------------------------------------------------------------


def test_excluding_the_group_s_channels_closes_the_gap_and_keeps_the_accuracy(table, biased, found):
    shares = []
    curve = exclusion_curve(
        table,
        "smiling",
        "gender",
        found.ranking,
        counts=(3, 0, 500),
        train_rows=biased,
        trees=60,
        seeds=(0, 1),
        progress=lambda share, text: shares.append(share),
    )
    assert [point.count for point in curve.points] == [0, 3]
    before, after = (point.estimate("gap").mean for point in curve.points)
    assert before > 0.3 and after < 0.5 * before
    accuracy = [point.estimate("accuracy").mean for point in curve.points]
    assert accuracy[1] > accuracy[0]
    assert curve.least_gap().count == 3 and curve.at(2).count == 3
    assert shares == sorted(shares) and shares[-1] == 1.0
    assert curve.faces[0] == len(biased) and "60 CatBoost trees" in curve.how


def test_every_point_is_measured_on_balanced_validation_faces_to_choose_by_and_on_balanced_test_faces_to_quote(
    table, labels, biased, found
):
    curve = exclusion_curve(table, "smiling", "gender", found.ranking, counts=(3,), train_rows=biased, trees=60)
    (trial,) = curve.points[0].trials
    left = np.setdiff1d(np.arange(D), found.ranking[:3])
    order = left[np.argsort(-wasserstein_of(table, biased, labels[0])[left], kind="stable")]
    model = CatBoostConcepts(iterations=60, depth=6, learning_rate=0.1, screen=None, random_state=0)
    model.fit(np.asfortranarray(table.psi[biased][:, order]), labels[0][biased])
    for split, accuracy, gap in (
        ("validation", trial.accuracy, trial.gap),
        ("test", trial.test_accuracy, trial.test_gap),
    ):
        rows = balanced_rows(*labels, table.rows(split), seed=0)
        decided = model.predict(np.asfortranarray(table.psi[rows][:, order]))
        assert accuracy == (decided == labels[0][rows]).mean()
        assert gap == gaps_of(labels[0][rows], decided, labels[1][rows])["equalised_odds"]
        assert len(rows) == {"validation": curve.faces[1], "test": curve.test_faces}[split]
    assert curve.points[0].estimate("test_gap").mean == trial.test_gap
    assert f"chosen by {curve.faces[1]:,} validation faces and quoted on {curve.test_faces:,} test faces" in curve.how


def wasserstein_of(table, rows, labels):
    codes = table.psi[rows] / np.where(table.stats.std > 0, table.stats.std, 1)
    return np.array([wasserstein_distance(*(column[labels[rows] == c] for c in (0, 1))) for column in codes.T])


def test_the_least_gap_is_chosen_on_validation_and_its_quoted_gap_of_9_points_is_that_of_the_test_faces():
    trials = [(0, 0.90, 0.30, 0.89, 0.31), (10, 0.90, 0.02, 0.88, 0.09), (20, 0.90, 0.04, 0.88, 0.05)]
    curve = ExclusionCurve(
        tuple(CurvePoint(count, (CurveTrial(0, *values),)) for count, *values in trials), (10, 10), "by hand", 10
    )
    best = curve.least_gap()  # 20 would be chosen by the test faces, 10 is by validation
    assert best.count == 10 and best.estimate("gap").mean == 0.02
    assert (best.estimate("test_accuracy").mean, best.estimate("test_gap").mean) == (0.88, 0.09)


def test_of_two_concepts_only_the_one_of_the_group_is_suggested_with_the_channel_that_goes_with_it(table):
    steps = concept_steps(
        table, "smiling", "gender", description(groups=((5, 6), (0, 1)), stand_ins=((7, 0),), total=D)
    )
    (step,) = steps.steps
    assert step.family == "part-0" and step.channels == (5, 6, 7)
    rows, labels, groups = known_rows(table, "smiling", "gender", None)
    score = (table.psi[rows][:, 5:7] / table.stats.std[5:7]).sum(axis=1)
    apart = [score[(labels == c) & (groups == 1)].mean() - score[(labels == c) & (groups == 0)].mean() for c in (0, 1)]
    assert step.difference == pytest.approx(np.mean(apart) / score.std(), rel=1e-3)
    assert step.after.count == 3 and steps.before.count == 0
    curve = exclusion_curve(table, "smiling", "gender", np.array([5, 6, 7]), counts=(0, 3))
    assert (steps.before, step.after) == curve.points


def test_the_best_of_three_steps_is_chosen_on_validation_and_its_quoted_points_are_those_of_the_test_faces():
    def point(count, gap, test_gap):
        return CurvePoint(count, (CurveTrial(0, 0.90, gap, 0.89 - count / 1000, test_gap),))

    def steps(*gaps):
        made = [
            Step(f"part-{n}", f"Part: {n}", 1.0, tuple(range(3 * n, 3 * n + 3)), point(3 * n + 3, gap, gap + 0.02))
            for n, gap in enumerate(gaps)
        ]
        return ConceptSteps("smiling", "gender", point(0, 0.20, 0.18), tuple(made), "by hand")

    found = steps(0.15, 0.08, 0.10)
    assert found.best == 2 and [round(found.bought(n), 2) for n in range(3)] == [0.05, 0.07, -0.02]
    assert "first 2 concepts (6 channels)" in found.sentence and "−8.0\N{NO-BREAK SPACE}points" in found.sentence
    nothing = steps(0.195, 0.21)
    assert nothing.best == 0 and "2 concepts (6 channels) does not make the gap smaller" in nothing.sentence
    assert "In no concept" in steps().sentence


def test_a_curve_stops_when_asked(table, biased, found):
    with pytest.raises(Cancelled):
        exclusion_curve(table, "smiling", "gender", found.ranking, train_rows=biased, cancelled=lambda: True)


def test_a_curve_needs_other_faces_a_ranking_and_a_count(table, biased, found):
    options = {"train_rows": biased}
    for rows in ({"validation_rows": biased}, {"test_rows": biased}):
        with pytest.raises(Img2TabError, match="got some twice"):
            exclusion_curve(table, "smiling", "gender", found.ranking, **rows, **options)
    twice = balanced_rows(*(table.labels[name].to_numpy() for name in ("smiling", "gender")), table.rows("validation"))
    with pytest.raises(Img2TabError, match="got some twice"):
        exclusion_curve(table, "smiling", "gender", found.ranking, test_rows=twice, **options)
    with pytest.raises(Img2TabError, match="each at most once"):
        exclusion_curve(table, "smiling", "gender", np.array([1, 1]), **options)
    with pytest.raises(Img2TabError, match="a count below 40"):
        exclusion_curve(table, "smiling", "gender", found.ranking, counts=(40,), **options)
    with pytest.raises(Img2TabError, match="at least one seed"):
        exclusion_curve(table, "smiling", "gender", found.ranking, seeds=(), **options)


def _curve(*values):
    """(count, accuracy, gap) of one seed."""
    points = tuple(CurvePoint(count, (CurveTrial(0, accuracy, gap),)) for count, accuracy, gap in values)
    return ExclusionCurve(points, (10, 10), "by hand")


def test_the_least_gap_is_sought_among_those_that_lose_at_most_a_point():
    curve = _curve((0, 0.90, 0.30), (10, 0.89, 0.20), (20, 0.88, 0.05))
    assert curve.least_gap().count == 10
    assert curve.least_gap(lost=0.02).count == 20


def test_joined_curves_have_the_trials_of_both_and_an_interval():
    both = joined([_curve((0, 0.8, 0.3), (5, 0.9, 0.1)), _curve((0, 0.9, 0.2), (5, 0.8, 0.2))])
    assert [len(point.trials) for point in both.points] == [2, 2]
    gap = both.points[0].estimate("gap")
    assert gap.mean == pytest.approx(0.25) and gap.low < 0.25 < gap.high
    with pytest.raises(Img2TabError, match="same counts"):
        joined([_curve((0, 0.8, 0.3)), _curve((1, 0.8, 0.3))])


# --- samples --------------------------------------------------------------------------------------------


def test_of_200_biased_faces_90_and_90_go_with_the_group_and_10_and_10_do_not(table, labels):
    rows = biased_rows(*labels, table.rows("train"), count=200, group=1, seed=3)
    y, a = (values[rows] for values in labels)
    assert [int(((y == c) & (a == g)).sum()) for c, g in ((1, 1), (0, 0), (1, 0), (0, 1))] == [90, 90, 10, 10]
    assert len(set(rows.tolist())) == 200 and np.all(np.diff(rows) > 0)
    assert np.isin(rows, table.rows("train")).all()
    assert np.array_equal(rows, biased_rows(*labels, table.rows("train"), count=200, group=1, seed=3))
    assert not np.array_equal(rows, biased_rows(*labels, table.rows("train"), count=200, group=1, seed=4))


def test_class_1_goes_with_the_group_in_which_it_is_more_common():
    labels = np.repeat([1, 0, 1, 0], [30, 30, 9, 9])
    groups = np.repeat([0, 1, 1, 0], [30, 30, 9, 9])
    rows = biased_rows(labels, groups, np.arange(78), share=0.8)
    assert int(((labels[rows] == 1) & (groups[rows] == 0)).sum()) == 30
    assert int(((labels[rows] == 1) & (groups[rows] == 1)).sum()) == 7  # 30 to 7.5


def test_a_balanced_draw_is_equal_over_the_four_cells_and_as_large_as_the_smallest_allows(table, labels):
    rows = balanced_rows(*labels, table.rows("test"), seed=1)
    cells = [int(((labels[0][rows] == c) & (labels[1][rows] == g)).sum()) for c in (0, 1) for g in (0, 1)]
    known = table.rows("test")
    least = min(int(((labels[0][known] == c) & (labels[1][known] == g)).sum()) for c in (0, 1) for g in (0, 1))
    assert cells == [least] * 4
    assert len(balanced_rows(*labels, known, count=40)) == 40


def test_more_faces_than_there_are_cannot_be_sampled(table, labels):
    with pytest.raises(Img2TabError, match="Sample fewer"):
        biased_rows(*labels, table.rows("train"), count=5000)
    with pytest.raises(Img2TabError, match="Sample fewer"):
        balanced_rows(*labels, table.rows("test"), count=5000)
    with pytest.raises(Img2TabError, match="share must be"):
        biased_rows(*labels, table.rows("train"), share=1)
    with pytest.raises(Img2TabError, match="none of class"):
        balanced_rows(*labels, table.rows("test"), count=3)


def test_the_module_s_counts_start_at_nothing_and_end_short_of_all():
    assert exclusion_curves.COUNTS[0] == 0 and exclusion_curves.COUNTS[-1] < 6752

"""An audit against plain masks: every metric and gap counted again, intervals that hold, verdicts by hand."""

import json
import time

import numpy as np
import pytest
from fairlearn.metrics import demographic_parity_difference, equalized_odds_difference
from sklearn.metrics import roc_auc_score

from img2tab_core.audits import bootstrap
from img2tab_core.audits import groups as decisions
from img2tab_core.audits.audit import EVERYONE, audit
from img2tab_core.audits.audit_record import Audit, Measure
from img2tab_core.audits.changes import Change, change
from img2tab_core.audits.groups import Groups, crossed
from img2tab_core.audits.metrics import GAPS, METRICS, gaps_of
from img2tab_core.audits.paired import Difference
from img2tab_core.audits.thresholds import threshold_cost
from img2tab_core.base.errors import Cancelled, Img2TabError

N = 600
FEW = 100  # resamples, where the interval does not matter


def _faces(seed=0, n=N):
    """Labels, probabilities with ties and groups of n faces; group 1 gets higher probabilities."""
    rng = np.random.default_rng(seed)
    labels, codes, other = rng.integers(0, 2, n), rng.integers(0, 2, n), rng.integers(0, 3, n)
    probability = np.clip(0.3 + 0.35 * labels + 0.1 * codes + 0.2 * rng.normal(size=n), 0, 1).round(2)
    return labels, probability, Groups("Gender", ("female", "male"), codes), Groups("Age", ("a", "b", "c"), other)


def _by_masks(labels, probability, cut):
    """All metrics of some faces, by counting."""
    said = probability > cut
    calibration = 0
    for low in range(10):
        inside = np.minimum(np.floor(probability * 10), 9) == low
        if inside.any():
            calibration += inside.mean() * abs(probability[inside].mean() - labels[inside].mean())
    ones, zeros = probability[labels == 1], probability[labels == 0]
    pairs = [(one > zero) + 0.5 * (one == zero) for one in ones for zero in zeros]
    return {
        "accuracy": (said == (labels == 1)).mean(),
        "selection_rate": said.mean(),
        "true_positive_rate": said[labels == 1].mean(),
        "false_positive_rate": said[labels == 0].mean(),
        "precision": (labels[said] == 1).mean(),
        "auc": np.mean(pairs),
        "calibration_error": calibration,
    }


@pytest.mark.parametrize("attributes", [1, 2])
def test_metric_frame_s_values_equal_an_independent_computation_with_masks(attributes):
    labels, probability, *groups = _faces()
    formed = crossed(groups[:attributes])
    cuts = {name: 0.4 + 0.05 * number for number, name in enumerate(formed.names)}
    found = audit(labels, probability, groups[:attributes], thresholds=cuts, repeats=FEW)
    counted = {}
    for code, (name, one) in enumerate(zip(formed.names, found.by_group, strict=True)):
        inside = formed.codes == code
        counted[name] = _by_masks(labels[inside], probability[inside], cuts[name])
        assert (one.name, one.count, one.threshold) == (name, inside.sum(), cuts[name])
        assert one.by_class == ((labels[inside] == 0).sum(), (labels[inside] == 1).sum())
        for metric in METRICS:
            exact = metric not in ("auc", "calibration_error")  # sums of fractions, in another order
            assert one.measures[metric].value == (
                counted[name][metric] if exact else pytest.approx(counted[name][metric], abs=1e-12)
            )

    def far(metric):
        values = [row[metric] for row in counted.values()]
        return max(values) - min(values)

    assert found.gaps["demographic_parity"].value == far("selection_rate")
    assert found.gaps["equal_opportunity"].value == far("true_positive_rate")
    assert found.gaps["equalised_odds"].value == max(far("true_positive_rate"), far("false_positive_rate"))
    assert found.gaps["accuracy_gap"].value == far("accuracy")
    assert found.gaps["worst_accuracy"].value == min(row["accuracy"] for row in counted.values())


def test_everyone_is_measured_like_one_group():
    labels, probability, gender, _ = _faces()
    found = audit(labels, probability, [gender], thresholds=0.45, repeats=FEW).overall
    masks = _by_masks(labels, probability, 0.45)
    assert (found.name, found.count, found.threshold) == (EVERYONE, N, 0.45)
    assert {name: found.measures[name].value for name in METRICS} == pytest.approx(masks, abs=1e-12)


def test_8_faces_by_hand():
    labels = np.array([1, 1, 0, 0, 1, 1, 0, 0])
    probability = np.array([0.9, 0.4, 0.2, 0.6, 0.8, 0.7, 0.1, 0.3])
    found = audit(labels, probability, [Groups("G", ("a", "b"), np.repeat([0, 1], 4))], repeats=FEW)
    a, b = (one.measures for one in found.by_group)
    assert (a["accuracy"].value, a["true_positive_rate"].value, a["false_positive_rate"].value) == (0.5, 0.5, 0.5)
    assert (a["auc"].value, b["auc"].value, b["accuracy"].value) == (0.75, 1, 1)
    assert {name: found.gaps[name].value for name in GAPS} == {
        "demographic_parity": 0,
        "equalised_odds": 0.5,
        "equal_opportunity": 0.5,
        "worst_accuracy": 0.5,
        "accuracy_gap": 0.5,
    }


def test_a_probability_at_the_threshold_is_not_above_it():
    groups = [Groups("G", ("a", "b"), np.array([0, 1, 0, 1]))]
    found = audit(np.array([1, 1, 0, 0]), np.full(4, 0.5), groups, repeats=FEW)
    assert found.overall.measures["selection_rate"].value == 0


def test_gaps_of_decisions_are_fairlearn_s():
    labels, probability, _, age = _faces()
    said = probability > 0.5
    found = gaps_of(labels, said, age.codes)
    assert found["demographic_parity"] == pytest.approx(
        demographic_parity_difference(labels, said, sensitive_features=age.codes), abs=1e-15
    )
    assert found["equalised_odds"] == pytest.approx(
        equalized_odds_difference(labels, said, sensitive_features=age.codes), abs=1e-15
    )
    one = gaps_of(labels, said, np.zeros(N, int))
    assert set(one.values()) == {None}


@pytest.mark.parametrize("seed", range(5))
def test_equalised_odds_of_counts_is_exactly_that_of_masks(seed):
    labels, probability, gender, _ = _faces(seed)
    said = probability > 0.5
    far = [abs(np.subtract(*(said[(labels == c) & (gender.codes == g)].mean() for g in (0, 1)))) for c in (0, 1)]
    assert gaps_of(labels, said, gender.codes)["equalised_odds"] == max(far) > 0


# --- what is missing, small or not measurable ------------------------------------------------------------


def test_a_group_of_29_faces_is_flagged_and_shown_and_one_of_30_is_not():
    labels, probability, _, _ = _faces()
    codes = np.repeat([0, 1, 2], [29, 30, N - 59])
    found = audit(labels, probability, [Groups("G", ("x", "y", "z"), codes)], repeats=FEW)
    assert [(one.count, one.small) for one in found.by_group] == [(29, True), (30, False), (N - 59, False)]
    assert found.by_group[0].measures["accuracy"].value is not None
    assert "fewer than 30 faces: x" in found.gaps["accuracy_gap"].note
    assert found.frame()["small"].tolist() == [True, False, False, False]


def test_unknown_labels_and_groups_are_left_out_and_counted():
    labels, probability, gender, _ = _faces()
    labels, codes = labels.copy(), gender.codes.copy()
    labels[:7], codes[5:16] = -1, -1  # 7 without a label, 9 more without a group
    found = audit(labels, probability, [Groups("Gender", gender.names, codes)], repeats=FEW)
    assert (found.faces, found.unlabelled, found.ungrouped) == (N - 16, 7, 9)
    only = audit(labels[16:], probability[16:], [Groups("Gender", gender.names, codes[16:])], repeats=FEW)
    assert only.by_group == found.by_group and only.gaps == found.gaps
    gone = labels.astype(float)
    gone[:7] = np.nan
    assert audit(gone, probability, [Groups("Gender", gender.names, codes)], repeats=FEW) == found


def test_a_group_without_positives_says_so_and_the_gap_is_over_the_others():
    labels, probability, _, age = _faces()
    labels = np.where(age.codes == 1, 0, labels)
    found = audit(labels, probability, [age], repeats=FEW)
    middle = found.group("b").measures
    assert middle["true_positive_rate"] == Measure(None, None, None, "no faces of class 1")
    assert middle["auc"].note == "faces of one class only" and found.group("b").roc is None
    assert middle["false_positive_rate"].value is not None
    rates = [found.group(name).measures["true_positive_rate"].value for name in ("a", "c")]
    assert found.gaps["equal_opportunity"].value == abs(rates[0] - rates[1])
    assert found.gaps["equal_opportunity"].note == "without b (no faces of class 1)"


def test_a_gap_that_only_one_group_has_is_none_with_the_reason():
    labels, probability, gender, _ = _faces()
    labels = np.where(gender.codes == 1, 0, labels)
    found = audit(labels, probability, [gender], repeats=FEW)
    for name in ("equal_opportunity", "equalised_odds"):
        assert found.gaps[name] == Measure(
            None, None, None, "at least two groups are needed, and the others have no faces of class 1"
        )
    assert found.gaps["demographic_parity"].value is not None
    alone = audit(labels, probability, [Groups("G", ("all",), np.zeros(N, int))], repeats=FEW)
    assert alone.gaps["accuracy_gap"].note == "at least two groups are needed, and there are no others"
    assert gaps_of(labels, probability > 0.5, gender.codes)["equalised_odds"] is None


def test_a_group_without_faces_is_shown_with_its_reason():
    labels, probability, gender, _ = _faces()
    found = audit(labels, probability, [Groups("G", ("female", "male", "other"), gender.codes)], repeats=FEW)
    last = found.by_group[2]
    assert (last.count, last.small, last.reliability) == (0, True, ())
    assert {measure.note for measure in last.measures.values()} == {"no faces"}
    assert found.gaps["equalised_odds"].note == "without other (no faces)"


def test_precision_where_nobody_is_given_class_1():
    labels, probability, gender, _ = _faces()
    found = audit(labels, probability, [gender], thresholds=1.0, repeats=FEW)
    assert found.overall.measures["precision"] == Measure(None, None, None, "no face is given class 1")
    rate = found.overall.measures["true_positive_rate"]
    assert (rate.value, rate.low, rate.high) == (0, 0, 0) and "does not make it certain" in rate.note


def test_a_group_with_one_positive_says_how_many_resamples_count():
    labels, probability, gender, _ = _faces()
    labels = np.where(gender.codes == 1, 0, labels)
    labels[np.flatnonzero(gender.codes == 1)[0]] = 1
    note = audit(labels, probability, [gender], repeats=1000).group("male").measures["true_positive_rate"].note
    counted = int(note.split(" of ")[0].replace(",", ""))
    assert counted == pytest.approx(1000 * (1 - np.exp(-1)), abs=50)  # the others miss that face: 1 / e


# --- intervals -------------------------------------------------------------------------------------------


def test_a_resample_is_measured_like_the_same_faces_written_out():
    labels, probability, gender, _ = _faces(n=80)
    faces = decisions.faces_of(labels, probability, [gender], 0.5)
    times = bootstrap.times_sampled(np.random.default_rng(3), 20, 80).astype(float)
    assert (times.sum(axis=1) == 80).all()
    found = bootstrap._Counted(faces, slice(0, 80)).measured(times)
    for number, row in enumerate(times.astype(int)):
        drawn = np.repeat(np.arange(80), row)
        masks = _by_masks(faces.labels[drawn], faces.probability[drawn], 0.5)
        assert {name: found[name][number] for name in METRICS} == pytest.approx(masks, abs=1e-12)
        assert found["auc"][number] == pytest.approx(roc_auc_score(faces.labels, faces.probability, sample_weight=row))


def test_the_interval_of_an_accuracy_is_the_binomial_one():
    labels, probability, gender, _ = _faces(n=3000)
    found = audit(labels, probability, [gender])
    for one in (*found.by_group, found.overall):
        accuracy = one.measures["accuracy"]
        half = 1.96 * np.sqrt(accuracy.value * (1 - accuracy.value) / one.count)
        assert accuracy.value - accuracy.low == pytest.approx(half, rel=0.15)
        assert accuracy.high - accuracy.value == pytest.approx(half, rel=0.15)


def test_every_value_lies_in_its_interval():
    labels, probability, *groups = _faces(n=200)
    found = audit(labels, probability, groups, repeats=FEW)
    measures = [measure for one in found.by_group for measure in one.measures.values()] + list(found.gaps.values())
    for measure in measures:
        assert measure.low <= measure.value <= measure.high


@pytest.mark.slow
def test_of_30_pairs_of_equal_groups_hardly_any_shows_a_certain_gap_and_unequal_ones_do():
    rng = np.random.default_rng(5)
    certain = {"equal": 0, "unequal": 0}
    for _ in range(30):
        labels, codes = rng.integers(0, 2, 400), rng.integers(0, 2, 400)
        for kind, shift in (("equal", 0), ("unequal", 0.5)):
            probability = np.clip(0.3 + 0.4 * labels + shift * codes + 0.25 * rng.normal(size=400), 0, 1)
            found = audit(labels, probability, [Groups("G", ("a", "b"), codes)], repeats=200)
            certain[kind] += found.gaps["equalised_odds"].low > 0
    assert certain["equal"] <= 4 and certain["unequal"] == 30  # at 95 % one or two are expected


def test_the_same_seed_gives_the_same_audit():
    labels, probability, gender, _ = _faces()
    one, again, other = (audit(labels, probability, [gender], repeats=FEW, seed=seed) for seed in (1, 1, 2))
    assert one == again and one.by_group != other.by_group


def test_1000_resamples_of_3000_faces_take_less_than_5_seconds():
    labels, probability, *groups = _faces(n=3000)
    started = time.perf_counter()
    audit(labels, probability, groups)
    assert time.perf_counter() - started < 5  # 0.5 seconds on two idle cores


# --- curves ----------------------------------------------------------------------------------------------


def test_the_area_under_each_roc_is_its_auc_and_its_bins_have_all_faces():
    labels, probability, gender, _ = _faces()
    for one in audit(labels, probability, [gender], repeats=FEW).by_group:
        x, y = one.roc.false_positive_rate, one.roc.true_positive_rate
        assert (x[0], y[0], x[-1], y[-1]) == (0, 0, 1, 1)
        assert np.trapezoid(y, x) == pytest.approx(one.measures["auc"].value)
        assert sum(bin.count for bin in one.reliability) == one.count
        far = sum(bin.count * abs(bin.probability - bin.share) for bin in one.reliability) / one.count
        assert far == pytest.approx(one.measures["calibration_error"].value)
        assert all(bin.low < bin.high and bin.low <= bin.share <= bin.high for bin in one.reliability)


# --- thresholds ------------------------------------------------------------------------------------------


def test_what_thresholds_cost_is_what_an_audit_with_them_says():
    labels, probability, _, age = _faces()
    age, cuts = Groups("Age", ("a", "b", "c", "nobody"), age.codes), {"a": 0.3, "b": 0.5, "c": 0.62, "nobody": 0.1}
    cost = threshold_cost(labels, probability, [age], thresholds=cuts, grid=(0, 0.25, 0.5, 1))
    for one, thresholds in ((cost.chosen, cuts), (cost.standard, 0.5), *zip(cost.curve, cost.grid, strict=True)):
        found = audit(labels, probability, [age], thresholds=thresholds, repeats=40)
        assert one.accuracy == pytest.approx(found.overall.measures["accuracy"].value, abs=1e-15)
        assert one.selection_rate == pytest.approx(found.overall.measures["selection_rate"].value, abs=1e-15)
        assert one.gaps == pytest.approx({name: found.gaps[name].value for name in GAPS}, abs=1e-15)
    for one in cost.by_group:
        group = audit(labels, probability, [age], thresholds=0.25, repeats=40).group(one.name)
        assert one.count == group.count
        for name in ("accuracy", "selection_rate", "true_positive_rate", "false_positive_rate"):
            assert getattr(one, name)[1] == pytest.approx(group.measures[name].value, abs=1e-15)
    assert cost.chosen.thresholds == cuts and cost.curve[1].thresholds == dict.fromkeys(cuts, 0.25)


def test_the_cost_against_0_5_in_words_by_hand():
    labels, probability = np.array([1, 1, 0, 0] * 2), np.array([0.9, 0.4, 0.2, 0.1, 0.9, 0.8, 0.2, 0.1])
    groups = [Groups("G", ("a", "b"), np.repeat([0, 1], 4))]
    cost = threshold_cost(labels, probability, groups, thresholds={"a": 0.3, "b": 0.5})
    assert cost.difference("accuracy") == 0.125 and cost.difference("equalised_odds") == -0.5
    assert cost.sentence == (
        "Against 0.5 for every group, accuracy goes up by 12.5 points to 100.0\N{NO-BREAK SPACE}%, the equalised odds "
        "difference goes down by 50.0 points to 0.0\N{NO-BREAK SPACE}% and the demographic parity difference goes "
        "down by 25.0 points to 0.0\N{NO-BREAK SPACE}%."
    )
    assert threshold_cost(labels, probability, groups).sentence.startswith("This is the standard threshold")


def test_a_gap_that_is_not_there_has_no_difference():
    labels, probability, gender, _ = _faces()
    labels = np.where(gender.codes == 1, 0, labels)
    cost = threshold_cost(labels, probability, [gender], thresholds=0.4)
    assert cost.difference("equalised_odds") is None and cost.difference("accuracy") is not None
    assert "odds" not in cost.sentence and set(cost.by_group[1].true_positive_rate) == {None}


# --- is it real ------------------------------------------------------------------------------------------


def test_a_gap_that_shrinks_by_1_2_and_3_points_by_hand():
    # t of 2 degrees of freedom at 97.5 % is 4.3027: -2 +- 4.3027 / sqrt(3) points, so 0 is inside
    found = change([0.30, 0.30, 0.30], [0.29, 0.28, 0.27])
    assert (found.difference.mean, found.difference.low, found.difference.high) == pytest.approx(
        (-0.02, -0.0448414, 0.0048414), abs=1e-6
    )
    assert found.before.mean == pytest.approx(0.3) and found.after.mean == pytest.approx(0.28)
    assert found.verdict == "no clear change"
    assert found.sentence == (
        "No clear change: gap goes down by 2.0 points on average over 3 seeds, 95 % interval −4.5 to +0.5 points."
    )


@pytest.mark.parametrize(
    ("after", "smaller", "what", "verdict"),
    [
        ([0.20, 0.21, 0.19, 0.2, 0.22], True, "gap", "smaller gap, beyond what the seed changes"),
        ([0.40, 0.41, 0.39, 0.4, 0.42], True, "gap", "worse"),
        ([0.40, 0.41, 0.39, 0.4, 0.42], False, "accuracy", "higher accuracy, beyond what the seed changes"),
        ([0.20, 0.21, 0.19, 0.2, 0.22], False, "accuracy", "worse"),
        ([0.31, 0.28, 0.33, 0.27, 0.3], False, "accuracy", "no clear change"),
    ],
)
def test_five_seeds_make_the_words_of_the_issue(after, smaller, what, verdict):
    found = change([0.30] * 5, after, smaller_is_better=smaller, what=what)
    assert found.verdict == verdict and found.sentence.startswith(verdict.capitalize() + ": " + what)


def test_the_chance_of_the_faces_is_told_beside_that_of_the_seeds():
    after = [0.20, 0.21, 0.19, 0.2, 0.22]
    clear = change([0.30] * 5, after, faces=Difference(-0.096, -0.131, -0.062))
    assert clear.verdict == "smaller gap, beyond what the seed changes, and beyond the chance of the faces"
    assert clear.sentence.endswith(" points; with other test faces −13.1 to −6.2 points.")
    luck = change([0.30] * 5, after, faces=Difference(-0.096, -0.210, 0.018))
    assert luck.verdict == "smaller gap, beyond what the seed changes, but not beyond the chance of the faces"
    worse = change([0.30] * 5, [0.40, 0.41, 0.39, 0.4, 0.42], faces=Difference(0.104, 0.05, 0.15))
    assert worse.verdict == "worse"
    assert ", beyond what the seed changes, and beyond the chance of the faces; with other test faces +5.0 to" in (
        worse.sentence
    )


def test_a_change_comes_back_from_json_with_its_faces_and_one_kept_before_they_were_measured_without():
    found = change([0.30] * 3, [0.2, 0.21, 0.22], faces=Difference(-0.09, -0.13, -0.05))
    stored = json.loads(json.dumps(found.to_json()))
    assert Change.from_json(stored) == found
    del stored["faces"]
    assert Change.from_json(stored).faces is None and Change.from_json(stored).pairs == found.pairs


def test_one_seed_cannot_tell_and_neither_can_seeds_that_are_all_alike():
    one = change([0.3], [0.1])
    assert one.verdict == "one seed cannot tell" and one.difference.low is None
    assert one.sentence == (
        "One seed cannot tell: gap goes down by 20.0 points with this seed; repeat it with at least two, better five."
    )
    assert change([0.3] * 5, [0.1] * 5).verdict == "the seeds cannot tell"
    assert change([0.3, 0.2], [0.3, 0.2]).verdict == "no clear change"


def test_pairs_count_not_the_spread_between_seeds():
    before = np.array([0.1, 0.3, 0.5, 0.7, 0.9])  # far apart, and each 2 points smaller after
    assert (
        change(before, before - [0.02, 0.021, 0.019, 0.02, 0.02]).verdict == "smaller gap, beyond what the seed changes"
    )


def test_of_400_changes_by_chance_about_20_are_called_beyond_what_the_seed_changes_or_worse():
    rng = np.random.default_rng(0)
    found = [change(*rng.normal(size=(2, 5))).verdict for _ in range(400)]
    assert 8 <= sum(verdict != "no clear change" for verdict in found) <= 34


# --- the door --------------------------------------------------------------------------------------------


def test_two_attributes_are_crossed_into_all_pairs_and_an_unknown_one_makes_the_pair_unknown():
    one = Groups("Gender", ("female", "male"), np.array([0, 1, 1, -1]))
    other = Groups("Age", ("older", "young"), np.array([1, 0, -1, 0]))
    found = crossed([one, other])
    assert found.names == ("female, older", "female, young", "male, older", "male, young")
    assert found.codes.tolist() == [1, 2, -1, -1] and found.attribute == "Gender × age"
    assert crossed([one]) is one
    for wrong in ([], [one] * 3):
        with pytest.raises(Img2TabError, match="one or two attributes"):
            crossed(wrong)


def test_to_json_and_back_is_the_same_audit_and_the_same_change():
    labels, probability, *groups = _faces()
    labels = np.where(groups[1].codes == 1, 0, labels)
    for cuts in (0.5, dict.fromkeys(crossed(groups).names, 0.4) | {"male, c": 0.6}):
        found = audit(labels, probability, groups, thresholds=cuts, repeats=FEW)
        assert Audit.from_json(json.loads(json.dumps(found.to_json(), allow_nan=False))) == found
    real = change([0.3, 0.2, 0.31], [0.1, 0.12, 0.1])
    assert Change.from_json(json.loads(json.dumps(real.to_json(), allow_nan=False))) == real
    for kind in (Audit, Change):
        with pytest.raises(Img2TabError, match="This is not"):
            kind.from_json({"attributes": []})


def test_the_frames_have_counts_first_and_one_row_per_group_and_gap():
    labels, probability, gender, _ = _faces()
    found = audit(labels, probability, [gender], repeats=FEW)
    frame = found.frame()
    assert frame.columns[:4].tolist() == ["group", "faces", "class 0", "class 1"]
    assert frame["group"].tolist() == ["female", "male", "everyone"]
    assert frame["Accuracy"].tolist() == [one.measures["accuracy"].value for one in (*found.by_group, found.overall)]
    assert found.gap_frame()["gap"].tolist() == list(GAPS.values())


def test_progress_grows_to_1_and_cancelled_stops():
    labels, probability, gender, _ = _faces(n=3000)
    seen = []
    audit(labels, probability, [gender], progress=lambda share, text: seen.append((share, text)))
    shares = [share for share, _ in seen]
    assert shares == sorted(shares) and shares[0] == 0 and shares[-1] == 1
    assert (0.98, "1,000 of 1,000 resamples") in seen
    asked = iter([False, True])
    with pytest.raises(Cancelled):
        audit(labels, probability, [gender], cancelled=lambda: next(asked))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"labels": np.full(N, 2)}, "Labels must be 0, 1 or -1"),
        ({"labels": np.full(N, -1)}, "At least one face must have a known label"),
        ({"labels": np.zeros(3, int)}, "one label, one probability and one group for each face"),
        ({"probability": np.full(N, 1.5)}, "Probabilities must be numbers between 0 and 1"),
        ({"probability": np.full(N, np.nan)}, "Probabilities must be numbers between 0 and 1"),
        ({"thresholds": 1.2}, "Thresholds must be between 0 and 1"),
        ({"thresholds": {"male": 0.4}}, "a threshold for each of female; male, got male"),
        ({"repeats": 10}, "at least 40 resamples, got 10"),
    ],
)
def test_a_mistake_is_a_sentence(options, sentence):
    labels, probability, gender, _ = _faces()
    given = {"labels": labels, "probability": probability, "groups": [gender]} | options
    with pytest.raises(Img2TabError, match=sentence):
        audit(**given)


def test_groups_and_changes_that_cannot_be_are_sentences():
    with pytest.raises(Img2TabError, match="whole numbers from -1"):
        Groups("G", ("a",), np.array([0, 1]))
    with pytest.raises(Img2TabError, match="different names"):
        Groups("G", ("a", "a"), np.array([0, 1]))
    labels, probability, gender, _ = _faces()
    with pytest.raises(Img2TabError, match="Thresholds of a grid"):
        threshold_cost(labels, probability, [gender], grid=(0.5, 2))
    with pytest.raises(Img2TabError, match="A group must be one of female; male"):
        audit(labels, probability, [gender], repeats=40).group("other")
    for before, after in (([], []), ([0.1], [0.1, 0.2]), ([np.nan], [0.1])):
        with pytest.raises(Img2TabError, match="one number before and one after"):
            change(before, after)

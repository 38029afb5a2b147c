"""A comparison by hand: overlaps, intervals and draws that can be counted on fingers, and who is absent or fails."""

import json
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from img2tab_core import tables
from img2tab_core.base.errors import Cancelled, Img2TabError
from img2tab_core.base.intervals import Estimate, estimate
from img2tab_core.base.layout import StyleLayout
from img2tab_core.base.records import Target
from img2tab_core.classifiers import comparison, kinds, measures
from img2tab_core.classifiers import kinds as classifiers
from img2tab_core.classifiers.comparison import Comparison, Contender, Trial, compare, rank_correlation, sampled
from img2tab_core.concepts import scores, wasserstein
from img2tab_core.tables import faces_of

D, N = 40, 400
KINDS = ("logistic", "forest")


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """400 faces x 40 channels; 3, 7, 11 and 15 differ between the classes by 2 to 1.4 standard deviations."""
    rng = np.random.default_rng(0)
    labels = (np.arange(N) % 4 == 0).astype(np.int8)  # a quarter in class 1
    psi = rng.normal(size=(N, D)).astype(np.float32)
    for shift, index in zip((2, 1.8, 1.6, 1.4), (3, 7, 11, 15), strict=True):
        psi[:, index] += shift * labels
    frame = pd.DataFrame({"smiling": labels, "unknown": np.full(N, -1, np.int8)})
    return tables.write_table(
        tmp_path_factory.mktemp("tables") / "toy",
        lambda rows: psi[rows],
        frame,
        targets=[Target("smiling", "Smiling", ("no", "yes"), "by hand"), Target("unknown", "?", ("no", "yes"), "not")],
        layout=StyleLayout((D,)),
        backbone="toy",
        key="toy-key",
    )


@pytest.fixture(scope="module")
def distance(table):
    rows, labels = tables.labelled(table, "smiling", "train")
    return wasserstein.wasserstein(table.psi, labels, std=table.stats.std, rows=rows)


@pytest.fixture(scope="module")
def found(table, distance):
    """Two classifiers, three seeds, 200 faces."""
    return compare(faces_of(table, "smiling"), distance, kinds=KINDS, faces=200, ks=(2, 4))


def test_the_four_concepts_that_carry_the_label_are_found_by_both(found):
    assert [contender.kind for contender in found.contenders] == list(KINDS)
    for contender in found.contenders:
        assert len(contender.trials) == 3 and contender.reason is None
        assert contender.estimate("auc").mean > 0.9
        assert contender.estimate_at("overlap", 1).mean >= 0.75  # of the 4; by chance 0.1
        assert set(contender.trials[0].top[:4]) <= {3, 7, 11, 15} or contender.trials[0].overlap[1] < 1


def test_the_record_says_what_was_compared(found, distance):
    assert (found.table, found.table_key, found.target) == ("toy", "toy-key", "smiling")
    assert (found.faces, found.test_faces, found.channels, found.seeds) == (200, 60, D, (0, 1, 2))
    assert found.chance == (0.05, 0.1)
    assert found.best_distance == pytest.approx((np.sort(distance)[-2:].mean(), np.sort(distance)[-4:].mean()))
    assert found.versions["scikit-learn"] and found.versions["img2tab"]


def test_a_mean_distance_is_never_above_the_best_and_equals_it_at_full_overlap(found):
    for contender in found.contenders:
        for trial in contender.trials:
            for share, reached, best in zip(trial.overlap, trial.top_distance, found.best_distance, strict=True):
                assert reached <= best + 1e-12
                assert (share == 1) == (abs(reached - best) < 1e-12)


def test_the_same_call_gives_the_same_numbers_but_for_the_seconds(found, table, distance):
    again = compare(faces_of(table, "smiling"), distance, kinds=KINDS[::-1], faces=200, ks=(2, 4))
    for one, other in zip(found.contenders, again.contenders[::-1], strict=True):
        assert [_timeless(trial) for trial in one.trials] == [_timeless(trial) for trial in other.trials]


def test_the_decisions_kept_of_60_test_faces_are_right_as_often_as_the_accuracy_says(found, table):
    labels = faces_of(table, "smiling").test.labels
    for contender in found.contenders:
        for trial in contender.trials:
            assert (trial.decisions(60) == labels).mean() == trial.accuracy
            assert trial.decisions(69) is None  # of another number of faces
    assert Trial(0, 1, 1, 0, 1, 0, 4, (1,), (1.0,), (1.0,)).decisions(60) is None


def _timeless(trial):
    return {name: value for name, value in vars(trial).items() if name != "seconds"}


def test_overlap_and_distance_of_a_hand_made_importance():
    # distances 5 4 3 2 1 0; importance ranks 1, then 0 and 4 (a tie: lower first); 2, 3 and 5 are not used
    distance = np.array([5.0, 4, 3, 2, 1, 0])
    importance = np.array([0.25, 0.5, 0, 0, 0.25, 0])
    metrics = measures.Metrics(0.9, (0.8, 1.0), 0.95, 0.2, ((5, 0), (1, 4)), 10)
    trial = comparison._questioned(
        comparison._Trained(metrics, 1.5, {}),
        importance,
        0,
        distance,
        np.arange(6),
        scores.top(distance, 4),
        (1, 2, 3, 4),
    )
    assert trial.top == (1, 0, 4) and trial.used == 3
    assert trial.overlap == pytest.approx((0, 1, 2 / 3, 0.5))  # {1}, {1, 0}, {1, 0, 4}, and no fourth
    assert trial.top_distance == pytest.approx((4, 4.5, 10 / 3, 10 / 3))
    assert trial.rank_correlation == pytest.approx(spearmanr(importance, distance).statistic)


def test_a_classifier_that_uses_nothing_finds_nothing():
    metrics = measures.Metrics(0.5, (0.4, 0.6), 0.5, 0.7, ((5, 0), (5, 0)), 10)
    trial = comparison._questioned(
        comparison._Trained(metrics, 1.0, {}), np.zeros(4), 0, np.arange(4.0), np.arange(4), np.array([3, 2]), (1, 2)
    )
    assert trial.overlap == (0, 0) and trial.top_distance == (None, None)
    assert trial.rank_correlation is None and trial.used == 0 and trial.top == ()


def test_the_rank_correlation_of_a_ranking_with_itself_its_reverse_and_ties():
    assert rank_correlation(np.arange(9.0), np.exp(np.arange(9.0))) == pytest.approx(1)
    assert rank_correlation(np.arange(9.0), -np.arange(9.0)) == pytest.approx(-1)
    one, other = np.array([1.0, 1, 2, 3, 0, 0]), np.array([2.0, 1, 1, 5, 0, 1])
    assert rank_correlation(one, other) == pytest.approx(spearmanr(one, other).statistic)
    assert rank_correlation(np.ones(5), np.arange(5.0)) is None


def test_the_95_percent_interval_of_1_2_3_by_hand():
    # t of 2 degrees of freedom at 97.5 % is 4.3027; the standard deviation is 1: 2 +- 4.3027 / sqrt(3)
    found = estimate([1.0, 2.0, 3.0])
    assert (found.mean, found.low, found.high) == pytest.approx((2, 2 - 2.48414, 2 + 2.48414), abs=1e-5)
    assert estimate([1.0, None, 3.0]).mean == 2
    assert estimate([0.7]) == Estimate(0.7, None, None) and estimate([None]) == Estimate(None, None, None)


def test_the_stability_of_three_seeds_by_hand():
    def trial(seed, top):
        return Trial(seed, 1, 1, 0, 1, 0, 4, top, (1.0,), (1.0,))

    one = Contender("logistic", "L", (trial(0, (1, 2, 3)), trial(1, (2, 1, 9)), trial(2, (1, 7))))
    assert one.stability(1) == pytest.approx(1 / 3)  # 1 | 2 | 1: one pair of three agrees
    assert one.stability(2) == pytest.approx((1 + 0.5 + 0.5) / 3)
    assert one.stability(3) == pytest.approx((2 / 3 + 1 / 3 + 1 / 3) / 3)
    assert Contender("logistic", "L", one.trials[:1]).stability(1) is None


def test_a_draw_of_40_from_300_and_100_takes_30_and_10_none_twice():
    labels = np.repeat([0, 1], [300, 100])
    chosen = sampled(labels, 40, seed=1)
    assert len(set(chosen.tolist())) == 40 and labels[chosen].sum() == 10 and (np.diff(chosen) > 0).all()
    assert np.array_equal(chosen, sampled(labels, 40, seed=1))
    assert not np.array_equal(chosen, sampled(labels, 40, seed=2))
    for every in (None, 400, 5000):
        assert sampled(labels, every, seed=1).tolist() == list(range(400))
    assert labels[sampled(np.repeat([0, 1], [399, 1]), 2, seed=0)].shape == (2,)
    assert np.repeat([0, 1], [399, 1])[sampled(np.repeat([0, 1], [399, 1]), 2, seed=0)].tolist() == [0, 1]


def test_with_all_faces_a_classifier_without_random_numbers_repeats_itself(table, distance):
    found = compare(faces_of(table, "smiling"), distance, kinds=("logistic",), seeds=(0, 5), faces=None, ks=(4,))
    one, other = found.contenders[0].trials
    assert found.faces == 280 and _timeless(one) | {"seed": 5} == _timeless(other)
    assert found.contenders[0].stability(4) == 1


def test_excluded_concepts_are_found_by_nobody_and_missed_by_nobody(table, distance):
    found = compare(
        faces_of(table, "smiling"), distance, kinds=KINDS, seeds=(0,), faces=200, excluded=frozenset({3, 20}), ks=(3,)
    )
    assert found.channels == 38 and found.chance == (3 / 38,) and found.excluded == (3, 20)
    assert found.best_distance == pytest.approx((np.sort(np.delete(distance, [3, 20]))[-3:].mean(),))
    for contender in found.contenders:
        assert not {3, 20} & set(contender.trials[0].top) and contender.trials[0].overlap[0] >= 2 / 3


def test_an_absent_library_is_listed_with_its_sentence_and_the_others_run(table, distance, monkeypatch):
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    found = compare(
        faces_of(table, "smiling"), distance, kinds=("lightgbm", "logistic"), seeds=(0,), faces=100, ks=(2,)
    )
    assert "pip install -e .[compare]" in found.contenders[0].reason and found.contenders[0].trials == ()
    assert len(found.contenders[1].trials) == 1 and "lightgbm" not in found.versions
    assert found.frame()["note"].tolist() == [found.contenders[0].reason, ""]


def test_xgboost_is_trained_once_and_asked_by_2_measures(table, distance):
    if classifiers.absent("xgboost"):
        pytest.skip(classifiers.absent("xgboost"))
    one, other = compare(
        faces_of(table, "smiling"), distance, kinds=("xgboost",), seeds=(0,), faces=200, ks=(4,)
    ).contenders
    assert (one.measure, other.measure) == ("gain", "total_gain")
    assert (one.title, other.title) == ("XGBoost, gain", "XGBoost, total gain")
    assert one.trials[0].accuracy == other.trials[0].accuracy and one.trials[0].seconds == other.trials[0].seconds
    assert one.trials[0].rank_correlation != other.trials[0].rank_correlation


def test_a_kind_that_fails_at_its_second_seed_is_listed_with_its_reason(table, distance, monkeypatch):
    made = classifiers.make

    def failing(kind, **settings):
        if kind == "forest" and settings["random_state"] == 1:
            raise Img2TabError("The forest burned down.")
        return made(kind, **settings)

    monkeypatch.setattr(kinds, "make", failing)
    found = compare(faces_of(table, "smiling"), distance, kinds=KINDS, seeds=(0, 1), faces=100, ks=(2,))
    assert [len(contender.trials) for contender in found.contenders] == [2, 0]
    assert found.contenders[1].reason == "The forest burned down."


def test_a_target_without_known_labels_is_a_reason_for_every_kind(table, distance):
    found = compare(faces_of(table, "smiling"), distance, kinds=("logistic",), seeds=(0,), faces=2, ks=(2,))
    assert found.faces == 2 and len(found.contenders[0].trials) == 1
    with pytest.raises(Img2TabError, match="no faces with a known label"):
        compare(faces_of(table, "unknown"), distance, kinds=("logistic",), ks=(2,))


def test_progress_grows_to_1_and_names_the_seed(table, distance):
    seen = []
    compare(
        faces_of(table, "smiling"),
        distance,
        kinds=KINDS,
        seeds=(4, 9),
        faces=100,
        ks=(2,),
        progress=lambda fraction, text: seen.append((fraction, text)),
    )
    fractions = [fraction for fraction, _ in seen]
    assert fractions == sorted(fractions) and fractions[0] == 0 and fractions[-1] == 1
    assert "Random forest, seed 2 of 2: training" in {text for _, text in seen}


def test_cancelled_stops_everything(table, distance):
    asked = iter([False] * 5 + [True] * 1000)
    with pytest.raises(Cancelled):
        compare(faces_of(table, "smiling"), distance, kinds=KINDS, faces=100, ks=(2,), cancelled=lambda: next(asked))


def test_to_json_and_back_is_the_same_comparison(found):
    stored = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert Comparison.from_json(stored) == found
    row = stored["contenders"][0]
    assert row["estimates"]["accuracy"]["mean"] == found.contenders[0].estimate("accuracy").mean
    assert row["stability"]["4"] == found.contenders[0].stability(4) and len(row["trials"]) == 3
    for broken in ({}, {"contenders": 5}, [], {**stored, "wings": 2}):
        with pytest.raises(Img2TabError, match="Compare again"):
            Comparison.from_json(broken)


def test_the_frame_has_one_row_per_classifier_and_the_half_width_beside_the_mean(found):
    frame = found.frame()
    assert frame["classifier"].tolist() == ["Logistic regression", "Random forest"]
    value = found.contenders[1].estimate_at("overlap", 0)
    assert frame["overlap of top 2"][1] == value.mean and frame["overlap of top 2 ±"][1] == value.high - value.mean
    assert frame["stability of top 4"][0] == found.contenders[0].stability(4)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"kinds": ()}, "got none"),
        ({"kinds": ("oracle",)}, "some of catboost, .*got oracle"),
        ({"seeds": ()}, "Seeds"),
        ({"seeds": (1, 1)}, "different"),
        ({"seeds": (-1,)}, "at least 0"),
        ({"faces": 1}, "at least 2"),
        ({"ks": (0,)}, "from 1 to 40"),
        ({"ks": (41,)}, "from 1 to 40"),
        ({"excluded": frozenset({40})}, "between 0 and 39"),
        ({"distance": np.zeros(3)}, "40 channels"),
        ({"distance": np.full(D, np.nan)}, "finite"),
        ({"target": "hat"}, "no target 'hat'"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_a_sentence(change, sentence, table, distance):
    settings = {"target": "smiling", "distance": distance, "kinds": KINDS, "ks": (2,)} | change
    with pytest.raises(Img2TabError, match=sentence):
        compare(faces_of(table, settings.pop("target")), settings.pop("distance"), **settings)


def test_two_that_differ_by_1_point_with_every_seed_are_told_apart_though_their_intervals_overlap():
    def contender(kind, accuracies):
        trials = tuple(
            Trial(seed, accuracy, 1, 0, 1, 0, 4, (1,), (accuracy,), (1.0,)) for seed, accuracy in enumerate(accuracies)
        )
        return Contender(kind, kind, trials)

    first, second = contender("a", (0.90, 0.80, 0.70)), contender("b", (0.885, 0.79, 0.69))
    assert first.estimate("accuracy").low < second.estimate("accuracy").high  # 0.55 to 1.05 and 0.55 to 1.03
    difference = first.difference(second, "accuracy")
    # differences 0.015, 0.010, 0.010: mean 0.01167, deviation 0.00289, t(2) 4.303, half 4.303 x 0.00289 / sqrt 3
    assert (difference.mean, difference.half) == (pytest.approx(0.011667, abs=1e-6), pytest.approx(0.007171, abs=1e-6))
    assert difference.low > 0
    assert first.difference(second, "overlap", 0) == difference


def test_kinds_that_read_their_codes_from_the_table_are_as_those_that_are_handed_them(table, distance, monkeypatch):
    settings = {"kinds": ("logistic",), "seeds": (0,), "faces": 200, "ks": (4,)}
    (handed,) = compare(faces_of(table, "smiling"), distance, **settings).contenders[0].trials
    monkeypatch.setattr(comparison, "HELD", 0)
    (read,) = compare(faces_of(table, "smiling"), distance, **settings).contenders[0].trials
    assert replace(read, seconds=0) == replace(handed, seconds=0)

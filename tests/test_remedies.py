"""Remedies on toy codes with a known shortcut: what each does to the gap, weights by hand, who fails and why."""

import json

import numpy as np
import pytest

from img2tab_core.audits import remedies
from img2tab_core.audits.groups import Groups
from img2tab_core.audits.remedies import (
    NOTHING,
    REMEDIES,
    Own,
    Remedies,
    compare_remedies,
    excluding,
    reweighing,
    without,
)
from img2tab_core.base.errors import Cancelled, Img2TabError

N, D = 3200, 30
SHORTCUT = tuple(range(10, 20))  # the channels that carry the group
CHEAP = {"base": "logistic", "columns": D}


@pytest.fixture(scope="module")
def faces():
    """3,200 faces; channels 0 to 9 carry the label, 10 to 19 the group: (codes, labels, groups, train, test).

    In training label and group go together nine to one, in the test faces they are independent.
    """
    rng = np.random.default_rng(0)
    labels, codes = rng.integers(0, 2, N), rng.integers(0, 2, N)
    psi = rng.normal(size=(N, D)).astype(np.float32)
    psi[:, :10] += 0.6 * labels[:, None]
    psi[:, 10:20] += 0.9 * codes[:, None]
    train = {seed: _biased(labels, codes, np.arange(2000), seed) for seed in (0, 1, 2)}
    return np.asfortranarray(psi), labels, Groups("Gender", ("female", "male"), codes), train, np.arange(2000, N)


def _biased(labels, codes, rows, seed):
    rng, chosen = np.random.default_rng(seed), []
    for label in (0, 1):
        for code in (0, 1):
            cell = rows[(labels[rows] == label) & (codes[rows] == code)]
            chosen.append(rng.choice(cell, 360 if label == code else 40, replace=False))
    return np.concatenate(chosen)


def _compare(faces, **options):
    psi, labels, groups, train, test = faces
    given = {"train": train, "test": test} | CHEAP | options
    return compare_remedies(psi, labels, groups, **given)


@pytest.fixture(scope="module")
def found(faces):
    return _compare(faces, extra=[excluding(SHORTCUT)])


def test_the_shortcut_makes_a_gap_and_reweighing_exclusion_and_thresholds_make_it_smaller(found):
    assert found.outcome(NOTHING).estimate("equalised_odds").mean > 0.25
    for remedy in ("reweighing", "exponentiated_gradient", "threshold_optimizer", "Ours: exclusion"):
        verdict = "smaller gap, beyond what the seed changes, and beyond the chance of the faces"
        assert found.change(remedy).verdict == verdict, remedy
    assert found.outcome("Ours: exclusion").estimate("equalised_odds").mean < 0.1
    assert found.change("Ours: exclusion", "accuracy").verdict.startswith("higher accuracy, beyond what the seed")


def test_how_far_each_lies_from_nothing_has_the_chance_of_the_1200_test_faces_too(found):
    assert found.outcome(NOTHING).faces == {}
    for one in found.outcomes[1:]:
        moved = one.estimate("equalised_odds").mean - found.outcome(NOTHING).estimate("equalised_odds").mean
        assert one.faces["equalised_odds"].value == pytest.approx(moved) and one.faces["equalised_odds"].high < 0
        assert found.change(one.remedy).faces is one.faces["equalised_odds"]
    stored = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert Remedies.from_json(stored) == found
    for row in stored["outcomes"]:
        del row["faces"]  # one kept before they were measured
    assert Remedies.from_json(stored).change("reweighing").faces is None


def test_the_record_says_what_was_compared_and_what_each_needs(found):
    assert (found.attribute, found.columns, found.channels, found.seeds) == ("Gender", D, D, (0, 1, 2))
    assert (found.train_faces, found.test_faces) == ((800,) * 3, 1200)
    assert found.base.startswith("logistic regression") and {"fairlearn", "scikit-learn"} <= set(found.versions)
    assert [one.remedy for one in found.outcomes] == [*REMEDIES, "Ours: exclusion"]
    assert [one.remedy for one in found.outcomes if one.needs_group] == ["correlation_remover", "threshold_optimizer"]
    assert [one.remedy for one in found.outcomes if one.random] == ["exponentiated_gradient", "threshold_optimizer"]
    assert [one.remedy for one in found.outcomes if one.own] == ["Ours: exclusion"]
    assert all(len(one.trials) == 3 and one.reason is None for one in found.outcomes)
    assert all(trial.seconds > 0 for one in found.outcomes for trial in one.trials)


def test_correlation_remover_without_a_bias_removes_what_the_group_explains(faces):
    psi, labels, groups, _, test = faces
    rows = np.arange(2000)
    mixed = np.where(np.arange(N) % 4 == 0, groups.codes, labels)  # a quarter of the labels are the group
    found = compare_remedies(psi, mixed, groups, train={0: rows}, test=test, remedies=("correlation_remover",), **CHEAP)
    before, after = (one.trials[0].demographic_parity for one in found.outcomes)
    assert before > 0.2 and after < 0.3 * before


def test_the_weights_of_10_faces_by_hand():
    # 4 of group 0 with label 0, 1 with label 1; 1 of group 1 with label 0, 4 with label 1: 0.5 x 0.5 / 0.4 and / 0.1
    labels, groups = np.array([0] * 4 + [1] + [0] + [1] * 4), np.repeat([0, 1], 5)
    weights = reweighing(labels, groups)
    assert weights.tolist() == [0.625] * 4 + [2.5] + [2.5] + [0.625] * 4
    assert weights.mean() == 1


def test_with_the_weights_label_and_group_are_independent(faces):
    _, labels, groups, train, _ = faces
    labels, codes = labels[train[0]], groups.codes[train[0]]
    weights = reweighing(labels, codes)
    total = weights.sum()
    for label in (0, 1):
        for code in (0, 1):
            together = weights[(labels == label) & (codes == code)].sum() / total
            assert together == pytest.approx(
                weights[labels == label].sum() / total * weights[codes == code].sum() / total, abs=1e-12
            )


def test_accuracy_and_gap_of_given_answers_are_those_of_masks(faces):
    psi, labels, groups, train, test = faces
    said = np.random.default_rng(1).random(len(test))
    found = compare_remedies(
        psi, labels, groups, train={0: train[0]}, test=test, remedies=(), extra=[Own("Given", {0: said})], **CHEAP
    )
    trial, (y, g) = found.outcome("Given").trials[0], (labels[test], groups.codes[test])
    assert trial.accuracy == ((said > 0.5) == (y == 1)).mean()
    rates = {(label, code): (said > 0.5)[(y == label) & (g == code)].mean() for label in (0, 1) for code in (0, 1)}
    assert trial.equalised_odds == max(abs(rates[label, 0] - rates[label, 1]) for label in (0, 1))
    assert trial.equal_opportunity == abs(rates[1, 0] - rates[1, 1])


def test_excluding_nothing_is_nothing_and_excluded_channels_have_no_influence(faces):
    psi, labels, groups, train, test = faces
    same = _compare(faces, train={0: train[0]}, remedies=(), extra=[excluding((), title="None")], columns=12)
    assert same.outcome("None").trials[0].accuracy == same.outcome(NOTHING).trials[0].accuracy
    noisy = psi.copy(order="F")
    noisy[:, list(SHORTCUT)] = np.random.default_rng(9).normal(size=(N, len(SHORTCUT)))
    answers = []
    for codes in (psi, noisy):
        compare_remedies(
            codes,
            labels,
            groups,
            train={0: train[0]},
            test=test,
            remedies=(),
            **CHEAP,
            extra=[Own("Kept", lambda task: answers.append(without(task, SHORTCUT)) or answers[-1])],
        )
    assert np.array_equal(*answers)


def test_everyone_uses_as_many_columns_the_best_by_distance(faces):
    seen = []

    def look(task):
        seen.append((task.ranking[:10].tolist(), remedies._gathered(task, task.ranking[:4])[0]))
        return np.full(len(task.test), 0.7)

    found = _compare(faces, remedies=(), extra=[Own("Look", look)], columns=4)
    assert found.columns == 4 and len(seen) == 3
    for ranking, codes in seen:
        assert set(ranking) <= set(range(20)) and codes.shape == (800, 4)
        assert codes.mean(axis=0) == pytest.approx(np.zeros(4), abs=1e-6) and codes.std(axis=0) == pytest.approx(1)


def test_the_same_call_gives_the_same_answers(faces, found):
    again = _compare(faces, extra=[excluding(SHORTCUT)])
    for one, other in zip(found.outcomes, again.outcomes, strict=True):
        assert [_timeless(trial) for trial in one.trials] == [_timeless(trial) for trial in other.trials]


def _timeless(trial):
    return {name: value for name, value in vars(trial).items() if name != "seconds"}


def test_catboost_as_the_shared_classifier_takes_the_standing_settings(faces, monkeypatch):
    model = remedies._made("catboost", 3, 1000)
    settings = model.get_params()
    assert (settings["iterations"], settings["depth"], settings["rsm"], settings["random_seed"]) == (1000, 3, 0.1, 3)
    monkeypatch.setattr(remedies.CatBoostConcepts, "__init__", _short)
    _, _, _, train, _ = faces
    found = _compare(faces, train={0: train[0]}, base="catboost", columns=20, remedies=("reweighing",))
    assert found.base.startswith("CatBoost") and "catboost" in found.versions
    assert found.outcome("reweighing").trials[0].equalised_odds < found.outcome(NOTHING).trials[0].equalised_odds


def _short(self, *, random_state):
    self.iterations, self.depth, self.learning_rate, self.random_state = 60, 3, 0.1, random_state


def test_three_groups_are_no_trouble(faces):
    psi, labels, groups, train, test = faces
    third = np.where(np.arange(N) % 3 == 0, 2, groups.codes)
    found = compare_remedies(psi, labels, Groups("G", ("a", "b", "c"), third), train={0: train[0]}, test=test, **CHEAP)
    assert all(one.reason is None and one.trials[0].equalised_odds is not None for one in found.outcomes)


def test_the_lottery_of_classifiers_meets_equalised_odds_on_its_training_faces(faces):
    psi, labels, groups, train, _ = faces
    rows = train[0]
    on_training = compare_remedies(
        psi, labels, groups, train={0: rows}, test=rows, remedies=("exponentiated_gradient",), **CHEAP
    )
    before, after = (one.trials[0].equalised_odds for one in on_training.outcomes)
    assert before > 0.3 and after < 0.15  # 40 faces in a cell, and drawn by chance


# --- what fails, what is left out ------------------------------------------------------------------------


def test_a_remedy_that_fails_is_listed_with_its_reason_and_the_others_run(faces, monkeypatch):
    def failing(task, train, test):
        if task.seed == 1:
            raise ValueError("It rained.")
        return np.zeros(len(test))

    monkeypatch.setitem(remedies._WORK, "reweighing", failing)
    found = _compare(faces, remedies=("reweighing", "correlation_remover"))
    assert [len(one.trials) for one in found.outcomes] == [3, 0, 3]
    assert found.outcome("reweighing").reason == "It rained." and found.change("reweighing") is None
    assert found.frame()["note"].tolist()[1] == "It rained." and "reweighing" not in found.front()


def test_training_faces_of_a_group_with_one_class_only_are_a_reason_for_the_threshold_optimizer(faces):
    psi, labels, groups, _, test = faces
    rows = np.flatnonzero((groups.codes[:2000] == 0) | (labels[:2000] == 1))
    found = compare_remedies(
        psi, labels, groups, train={0: rows}, test=test, remedies=("threshold_optimizer",), **CHEAP
    )
    assert "Degenerate labels" in found.outcome("threshold_optimizer").reason
    assert len(found.outcome(NOTHING).trials) == 1


def test_rows_of_unknown_label_or_group_are_left_out_also_of_given_answers(faces):
    psi, labels, groups, train, test = faces
    labels, codes = labels.copy(), groups.codes.copy()
    labels[test[:5]], codes[test[3:9]], labels[train[0][:2]] = -1, -1, -1
    said = {0: np.r_[np.ones(9), (labels[test[9:]] == 1).astype(float)]}
    found = compare_remedies(
        psi,
        labels,
        Groups("G", ("a", "b"), codes),
        train={0: train[0]},
        test=test,
        remedies=(),
        extra=[Own("Right", said)],
        **CHEAP,
    )
    assert (found.test_faces, found.train_faces) == (1191, (798,))
    assert (found.outcome("Right").trials[0].accuracy, found.outcome("Right").trials[0].equalised_odds) == (1, 0)


@pytest.mark.parametrize(
    ("answers", "sentence"),
    [
        ({1: np.zeros(1200)}, "no answers for seed 0"),
        ({0: np.zeros(3)}, "one probability for each of 1200 test faces"),
        (lambda task: np.full(len(task.test), 2.0), "one probability for each"),
        (lambda task: without(task, range(D)), "At least one channel must remain, got 30 excluded"),
    ],
)
def test_answers_that_do_not_fit_are_a_reason(faces, answers, sentence):
    found = _compare(faces, train={0: faces[3][0]}, remedies=(), extra=[Own("Ours", answers)])
    assert sentence in found.outcome("Ours").reason


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"train": {}}, "Seeds must be whole numbers"),
        ({"remedies": ("prayer",)}, "Remedies must be some of nothing, .*, got 'prayer'"),
        ({"base": "oracle"}, "The shared classifier must be one of logistic, catboost"),
        ({"columns": 0}, "columns must be a whole number"),
        ({"test": np.arange(0)}, "two groups of 'Gender' and both classes"),
        ({"extra": [Own("A", {}), Own("A", {})]}, "titles of their own"),
    ],
)
def test_a_mistake_is_a_sentence(faces, options, sentence):
    with pytest.raises(Img2TabError, match=sentence):
        _compare(faces, **options)


def test_progress_grows_to_1_and_names_the_remedy(faces):
    seen = []
    _compare(faces, remedies=("reweighing",), progress=lambda share, text: seen.append((share, text)))
    shares = [share for share, _ in seen]
    assert shares == sorted(shares) and shares[0] == 0 and shares[-1] == 1
    assert "Reweighing, seed 2 of 3" in {text for _, text in seen}


def test_cancelled_stops_also_in_the_middle_of_the_exponentiated_gradient(faces):
    asked, where = [], []

    def cancelled():
        asked.append(where[-1] if where else "")
        return asked.count("ExponentiatedGradient, seed 1 of 3") > 4

    with pytest.raises(Cancelled):
        _compare(
            faces,
            remedies=("exponentiated_gradient",),
            cancelled=cancelled,
            progress=lambda share, text: where.append(text),
        )
    assert where[-1] == "ExponentiatedGradient, seed 1 of 3"


# --- the record ------------------------------------------------------------------------------------------


def _record(*points):
    """Remedies with one trial each: (word, accuracy, gap)."""
    return Remedies(
        "G",
        "b",
        1,
        1,
        (0,),
        (1,),
        1,
        tuple(
            remedies.Outcome(word, word, "", False, False, False, (remedies.Trial(0, accuracy, gap, 0, 0, 0, 0, 1.0),))
            for word, accuracy, gap in points
        ),
    )


def test_the_front_of_five_points_by_hand():
    found = _record((NOTHING, 0.9, 0.3), ("a", 0.85, 0.1), ("b", 0.84, 0.2), ("c", 0.7, 0.05), ("d", 0.9, 0.31))
    assert found.front() == (NOTHING, "a", "c")  # b is beaten by a, d by nothing
    assert _record(("x", 0.9, None), ("y", 0.8, 0.2)).front() == ("y",)
    assert _record(("x", 0.9, 0.1), ("y", 0.9, 0.1)).front() == ("x", "y")


def test_one_seed_cannot_tell():
    assert _record((NOTHING, 0.9, 0.3), ("a", 0.85, 0.1)).change("a").verdict == "one seed cannot tell"
    with pytest.raises(Img2TabError, match="A remedy must be one of nothing"):
        _record((NOTHING, 0.9, 0.3)).outcome("other")


def test_to_json_and_back_is_the_same(found):
    stored = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert Remedies.from_json(stored) == found
    assert stored["outcomes"][0]["estimates"]["accuracy"]["mean"] == found.outcome(NOTHING).estimate("accuracy").mean
    with pytest.raises(Img2TabError, match="This is not a comparison of remedies"):
        Remedies.from_json({"outcomes": [{}]})


def test_the_frame_has_one_row_per_remedy_with_means_intervals_and_verdicts(found):
    frame = found.frame()
    assert frame["remedy"].tolist() == [*(one.title for one in REMEDIES.values()), "Ours: exclusion"]
    assert frame["against nothing"].tolist()[::5] == [
        "",
        "smaller gap, beyond what the seed changes, and beyond the chance of the faces",
    ]
    value = found.outcome("reweighing").estimate("equalised_odds")
    assert frame["equalised odds difference"][1] == value.mean
    assert frame["equalised odds difference ±"][1] == pytest.approx(value.high - value.mean)

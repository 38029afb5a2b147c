"""The laws of questioning a classifier: excluded means unseen, undo means identical, contributions add up."""

import json
import mmap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from scipy.special import logit
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.metrics import accuracy_score, log_loss, roc_auc_score

from img2tab_core.base import intervals
from img2tab_core.base.errors import Cancelled, Img2TabError
from img2tab_core.classifiers import kinds, measures
from img2tab_core.classifiers.catboost import (
    GPU_WISH,
    CatBoostConcepts,
    GpuConcepts,
    QuantizedPool,
    _widened,
    gpu_wished,
)

D = 40
SMALL = {"iterations": 40, "screen": 12, "learning_rate": 0.2, "thread_count": 1}


@pytest.fixture(scope="module")
def data():
    """240 codes of 40 channels; channels 3, 7 and 11 carry the label, 20 is constant; read-only."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(240, D)).astype(np.float32)
    X[:, 20] = 1.5
    y = (2 * X[:, 3] - 1.5 * X[:, 7] + X[:, 11] + 0.3 * rng.normal(size=240) > 0).astype(np.int64)
    X = np.asfortranarray(X)
    X.setflags(write=False)
    return X, y


@pytest.fixture(scope="module")
def whole(data):
    return CatBoostConcepts(**SMALL).fit(*data)


@pytest.fixture(scope="module")
def without(data):
    """Trained without channels 3 and 5."""
    return CatBoostConcepts(**SMALL, excluded=frozenset({3, 5})).fit(*data)


def same(one, other, X):
    return np.array_equal(one.predict_proba(X), other.predict_proba(X))


def test_it_learns_what_three_channels_carry(data, whole):
    X, y = data
    assert whole.score(X, y) > 0.95
    assert {3, 7, 11} <= set(whole.screened_.tolist())
    assert set(np.argsort(measures.importance(whole))[-3:].tolist()) == {3, 7, 11}


def test_excluded_channels_3_and_5_cannot_change_a_single_bit(data, without):
    X, _ = data
    wild = np.array(X)
    for value in (0, 1e30, -1e30, np.inf, np.nan):
        wild[:, [3, 5]] = value
        assert np.array_equal(without.predict_proba(wild), without.predict_proba(X))
    for before, after in zip(measures.explain(without, X[:3]), measures.explain(without, wild[:3]), strict=True):
        assert before.probability == after.probability
        assert np.array_equal(before.contributions, after.contributions)


def test_training_does_not_depend_on_an_excluded_channel(data, without):
    X, y = data
    wild = np.array(X)
    for value in (1e6 * y, -np.inf, np.nan):
        wild[:, 3], wild[:, 5] = value, np.inf
        assert same(clone(without).fit(wild, y), without, X)


def test_excluding_3_lets_others_take_over_and_costs_accuracy(data, whole, without):
    X, y = data
    gain = measures.importance(without) - measures.importance(whole)
    assert gain[7] > 0 and gain[3] < 0
    assert without.score(X, y) < whole.score(X, y)


def test_excluded_channels_have_importance_and_contribution_exactly_0(data, without):
    assert measures.importance(without)[[3, 5]].tolist() == [0, 0]
    for prediction in measures.explain(without, data[0][:20]):
        assert prediction.contributions[[3, 5]].tolist() == [0, 0]


def test_undo_is_bit_identical(data, whole, without):
    X, y = data
    undone = clone(without).set_params(excluded=frozenset()).fit(X, y)
    assert same(undone, whole, X)
    assert not same(without, whole, X)


def test_the_number_of_threads_changes_nothing(data, whole):
    assert same(clone(whole).set_params(thread_count=2).fit(*data), whole, data[0])


def test_one_face_of_each_class_is_enough_to_train(data):
    X, y = data
    rows = np.array([np.argmin(y), np.argmax(y)])
    model = CatBoostConcepts(**SMALL).fit(X, y[rows], rows=rows)
    assert model.predict(X[rows]).tolist() == [0, 1]


def test_another_seed_gives_another_classifier(data, whole):
    assert not same(clone(whole).set_params(random_state=1).fit(*data), whole, data[0])


def test_a_read_only_memory_map_with_chosen_rows_trains_the_same(data, tmp_path):
    X, y = data
    np.save(tmp_path / "psi.npy", X)
    mapped = np.load(tmp_path / "psi.npy", mmap_mode="r")
    assert mapped.flags.f_contiguous and not mapped.flags.writeable
    rows = np.random.default_rng(1).permutation(240)[:180]
    before = (tmp_path / "psi.npy").read_bytes()
    one = CatBoostConcepts(**SMALL).fit(mapped, y[rows], rows=rows)
    other = CatBoostConcepts(**SMALL).fit(np.ascontiguousarray(X[rows]), y[rows])
    assert same(one, other, X)
    assert (tmp_path / "psi.npy").read_bytes() == before


def test_the_callers_matrix_is_unchanged_after_excluding(data):
    X, y = np.array(data[0]), np.array(data[1])
    model = CatBoostConcepts(**SMALL, excluded=frozenset({3})).fit(X, y)
    measures.explain(model, X)
    model.predict_proba(X)
    assert np.array_equal(X, data[0]) and np.array_equal(y, data[1])


def test_the_screen_follows_the_ranking_and_skips_the_excluded(data):
    X, y = data
    order = np.arange(D)[::-1]
    model = CatBoostConcepts(**SMALL | {"screen": 4}, excluded=frozenset({38})).fit(X, y, order=order)
    assert model.screened_.tolist() == [35, 36, 37, 39]
    assert np.flatnonzero(measures.importance(model)).tolist() == [35, 36, 37, 39]
    assert CatBoostConcepts(**SMALL | {"screen": None}).fit(X, y).screened_.tolist() == list(range(D))


def test_channel_numbers_and_exclusions_are_kept_in_the_cbm(without):
    assert len(without.booster_.feature_names_) == D
    ignored = without.booster_.get_all_params()["ignored_features"]
    assert {3, 5} <= set(ignored) and not set(ignored) & set(without.screened_.tolist())


def test_contributions_add_up_to_the_log_odds_within_1e_6(data, whole):
    X, _ = data
    raw = whole.booster_.predict(np.array(X), prediction_type="RawFormulaVal")
    probability = whole.predict_proba(X)[:, 1]
    for i, prediction in enumerate(measures.explain(whole, X)):
        total = prediction.baseline + prediction.contributions.sum()
        assert prediction.contributions.shape == (D,) and not prediction.contributions.flags.writeable
        assert total == pytest.approx(raw[i], abs=1e-6)
        assert total == pytest.approx(logit(prediction.probability), abs=1e-6)
        assert prediction.probability == pytest.approx(probability[i], abs=1e-9)


def test_importance_adds_up_to_1(whole, without):
    for model in (whole, without):
        shares = measures.importance(model)
        assert shares.shape == (D,) and shares.dtype == np.float64 and (shares >= 0).all()
        assert shares.sum() == pytest.approx(1, abs=1e-12)


def test_progress_only_grows_and_ends_at_1(data):
    seen = []
    CatBoostConcepts(**SMALL).fit(*data, progress=lambda fraction, text: seen.append((fraction, text)))
    fractions = [fraction for fraction, _ in seen]
    assert fractions == sorted(fractions) and fractions[0] == 0 and fractions[-1] == 1
    assert len(fractions) > 40 and all(text for _, text in seen)


@pytest.mark.parametrize("asked", [0, 1, 10])
def test_cancel_leaves_the_estimator_unfitted(data, asked):
    answers = iter([False] * asked + [True] * 100)
    model = CatBoostConcepts(**SMALL)
    with pytest.raises(Cancelled):
        model.fit(*data, cancelled=lambda: next(answers))
    with pytest.raises(NotFittedError):
        model.predict_proba(data[0])


def test_cancelling_a_retraining_keeps_the_old_classifier(data, whole):
    model = clone(whole).fit(*data)
    with pytest.raises(Cancelled):
        model.fit(data[0], 1 - data[1], cancelled=lambda: True)
    assert same(model, whole, data[0])


def test_an_error_in_the_progress_callback_reaches_the_caller(data):
    def fail(fraction, text):
        if fraction > 0.5:
            raise RuntimeError("the page is gone")

    model = CatBoostConcepts(**SMALL)
    with pytest.raises(RuntimeError, match="the page is gone"):
        model.fit(*data, progress=fail)
    with pytest.raises(NotFittedError):
        model.predict(data[0])


def test_clone_and_params_follow_scikit_learn():
    model = CatBoostConcepts(excluded=frozenset({1, 2}), iterations=7)
    params = clone(model).get_params()
    assert params == model.get_params()
    assert params["excluded"] == {1, 2} and params["iterations"] == 7 and params["screen"] == 2048


def test_saved_and_loaded_it_says_the_same_to_the_last_bit(data, without, tmp_path):
    X, _ = data
    kinds.save(without, tmp_path / "run")
    loaded = kinds.load(tmp_path / "run")
    assert same(loaded, without, X)
    assert loaded.get_params() == without.get_params()
    assert loaded.screened_.tolist() == without.screened_.tolist()
    assert loaded.classes_.tolist() == [0, 1] and loaded.n_features_in_ == D
    assert np.array_equal(measures.importance(loaded), measures.importance(without))
    one, other = measures.explain(loaded, X[:1])[0], measures.explain(without, X[:1])[0]
    assert np.array_equal(one.contributions, other.contributions) and one.probability == other.probability
    assert {3, 5} <= set(loaded.booster_.get_all_params()["ignored_features"])
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["model.cbm", "model.json"]


def test_parameters_that_are_numpy_numbers_can_be_saved(data, tmp_path):
    model = CatBoostConcepts(
        **SMALL | {"iterations": np.int64(3)}, random_state=np.int64(2), excluded=frozenset({np.int64(4)})
    ).fit(*data)
    kinds.save(model, tmp_path)
    assert kinds.load(tmp_path).get_params()["excluded"] == {4}
    assert same(kinds.load(tmp_path), model, data[0])


@pytest.mark.parametrize("name", ["model.cbm", "model.json"])
@pytest.mark.parametrize("damage", ["gone", "empty", "half", "other"])
def test_a_missing_or_damaged_file_is_a_sentence(without, tmp_path, name, damage):
    kinds.save(without, tmp_path)
    path = tmp_path / name
    whole_file = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes({"empty": b"", "half": whole_file[: len(whole_file) // 2], "other": b"[1, 2]"}[damage])
    with pytest.raises(Img2TabError, match="Train it again"):
        kinds.load(tmp_path)


def test_another_format_and_a_missing_key_are_sentences(without, tmp_path):
    kinds.save(without, tmp_path)
    record = json.loads((tmp_path / "model.json").read_text())
    for change in ({"format": 99}, {"params": {"excluded": [], "wings": 2}}, {"params": None}, {"screened": "x"}):
        (tmp_path / "model.json").write_text(json.dumps(record | change))
        with pytest.raises(Img2TabError, match="Train it again"):
            kinds.load(tmp_path)


def test_saving_where_one_cannot_write_is_a_sentence(without, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(Img2TabError, match="cannot be written"):
        kinds.save(without, tmp_path / "file")


def test_measured_numbers_equal_those_of_scikit_learn(data, without):
    X, y = data
    rows = np.arange(100, 240)
    metrics = measures.measure(without, X, y[rows], rows=rows)
    probability = without.predict_proba(X[rows])[:, 1]
    assert metrics.count == 140 == sum(map(sum, metrics.confusion))
    assert metrics.accuracy == pytest.approx(accuracy_score(y[rows], without.predict(X[rows])))
    assert metrics.auc == pytest.approx(roc_auc_score(y[rows], probability))
    assert metrics.log_loss == pytest.approx(log_loss(y[rows], probability))
    assert metrics.confusion[0][0] + metrics.confusion[1][1] == round(metrics.accuracy * 140)
    assert metrics.confusion[1][0] == ((y[rows] == 1) & (without.predict(X[rows]) == 0)).sum()
    assert metrics.interval[0] < metrics.accuracy < metrics.interval[1]


def test_the_wilson_interval_of_81_in_263_and_at_the_ends():
    # 81 of 263: 0.2553 to 0.3662 (Newcombe 1998, table I); 0 of 10 ends at z2 / (10 + z2) = 0.2775.
    assert intervals.wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert intervals.wilson(0, 10) == pytest.approx((0, 0.2775), abs=5e-5)
    assert intervals.wilson(10, 10) == pytest.approx((0.7225, 1), abs=5e-5)


def with_gap(X, index):
    X = np.array(X)
    X[7, index] = np.nan
    return X


@pytest.mark.parametrize(
    ("params", "change", "sentence"),
    [
        ({}, lambda X, y: (X, np.where(y == 1, 2, 0)), "no face of class 1"),
        ({}, lambda X, y: (X, np.where(np.arange(240) == 5, -1, y)), "unknown"),
        ({}, lambda X, y: (X, np.zeros(240)), "Both classes"),
        ({}, lambda X, y: (X, y[1:]), "one label for each face"),
        ({}, lambda X, y: (X[:0], y[:0]), "shape"),
        ({}, lambda X, y: (X[:, 0], y), "shape"),
        ({}, lambda X, y: (X.astype(str), y), "numbers"),
        ({"screen": None}, lambda X, y: (with_gap(X, 3), y), "channel 3"),
        ({"screen": 2}, lambda X, y: (with_gap(X, 30), y), "channel 30"),
        ({"excluded": frozenset({D})}, lambda X, y: (X, y), "between 0 and 39, got 40"),
        ({"excluded": frozenset({-1})}, lambda X, y: (X, y), "got -1"),
        ({"excluded": frozenset({"3"})}, lambda X, y: (X, y), "got '3'"),
        ({"excluded": frozenset(range(D))}, lambda X, y: (X, y), "40 of 40 excluded"),
        ({"excluded": frozenset(range(D)) - {20}}, lambda X, y: (X, y), "differ between faces"),
        ({"iterations": 0}, lambda X, y: (X, y), "iterations"),
        ({"depth": 40}, lambda X, y: (X, y), "depth"),
        ({"learning_rate": 0}, lambda X, y: (X, y), "learning_rate"),
        ({"screen": 0}, lambda X, y: (X, y), "screen"),
    ],
)
def test_what_cannot_be_trained_on_is_refused_in_a_sentence(data, params, change, sentence):
    with pytest.raises(Img2TabError, match=sentence):
        CatBoostConcepts(**SMALL | params).fit(*change(*data))


@pytest.mark.parametrize("order", [[0, 0, 1], [0, D], [-1], [0.5], [[1]]])
def test_a_ranking_that_is_none_is_refused(data, order):
    with pytest.raises(Img2TabError, match="ranking"):
        CatBoostConcepts(**SMALL).fit(*data, order=np.array(order))


def test_codes_of_another_backbone_and_gaps_are_refused_at_prediction(data, whole):
    X, _y = data
    for ask in (whole.predict_proba, whole.predict, lambda codes: measures.explain(whole, codes)):
        with pytest.raises(Img2TabError, match="must have 40 channels, as in training, got 39"):
            ask(X[:, 1:])
        with pytest.raises(Img2TabError, match="channel 3"):
            ask(with_gap(X, 3))
    with pytest.raises(Img2TabError, match="Both classes"):
        measures.measure(whole, X, np.ones(240, int))


def test_nothing_is_written_beside_the_program(data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    CatBoostConcepts(**SMALL | {"iterations": 2}).fit(*data)
    assert list(tmp_path.iterdir()) == []


# --- quantized codes: the same classifier without reading the codes again -------------------------------


@pytest.fixture(scope="module")
def split_data(data):
    """The codes with channel 21 constant among the 180 training rows only; labels; training rows; 60 unseen rows."""
    X, y = np.array(data[0], order="F"), data[1]
    rows = np.random.default_rng(3).permutation(240)
    X[rows[:180], 21] = 0.5
    X.setflags(write=False)
    return X, y, rows[:180], rows[180:]


@pytest.fixture(scope="module")
def pool(split_data):
    X, y, train, unseen = split_data
    return QuantizedPool.of(X, y, train=train, unseen=unseen)


ORDER = np.array([3, 20, 21, 7, 11, *(i for i in range(D) if i not in (3, 20, 21, 7, 11))])


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"excluded": frozenset({3})},
        {"screen": None},
        {"excluded": frozenset(range(12)), "random_state": 5},
        {"thread_count": 2},
    ],
)
def test_trained_on_quantized_codes_it_is_the_same_to_the_last_bit(split_data, pool, params):
    X, y, train, unseen = split_data
    plain = CatBoostConcepts(**SMALL | params).fit(X, y[train], rows=train, order=ORDER)
    other = CatBoostConcepts(**SMALL | params).fit_quantized(pool, order=ORDER)
    assert same(plain, other, X)
    assert np.array_equal(plain.booster_.get_leaf_values(), other.booster_.get_leaf_values())
    assert np.array_equal(plain.screened_, other.screened_)
    assert np.array_equal(measures.importance(plain), measures.importance(other))
    assert np.array_equal(other.probabilities_quantized(pool), plain.predict_proba(X[unseen]))
    assert len(other.booster_.feature_names_) == D


def test_what_is_constant_in_training_is_no_channel_to_train_on_whatever_the_unseen_rows_say(pool):
    assert np.flatnonzero(pool.known & ~pool.differs).tolist() == [20, 21]
    with pytest.raises(Img2TabError, match="got only constant ones"):
        CatBoostConcepts(**SMALL).fit_quantized(pool, order=np.array([20, 21]))


def test_a_read_only_memory_map_is_quantized_in_place_to_the_same_classifier(split_data, pool, tmp_path):
    X, y, train, unseen = split_data
    np.save(tmp_path / "psi.npy", X)
    mapped = np.load(tmp_path / "psi.npy", mmap_mode="r")
    again = QuantizedPool.of(mapped, y, train=train, unseen=unseen)
    del mapped
    (tmp_path / "psi.npy").unlink()
    assert same(*(CatBoostConcepts(**SMALL).fit_quantized(one, order=ORDER) for one in (again, pool)), X)


def test_labels_that_are_unknown_outside_the_training_rows_do_no_harm(split_data, pool):
    X, y, train, unseen = split_data
    unknown = y.copy()
    unknown[unseen] = -1
    again = QuantizedPool.of(X, unknown, train=train, unseen=unseen)
    assert same(*(CatBoostConcepts(**SMALL).fit_quantized(one, order=ORDER) for one in (again, pool)), X)


def test_a_channel_with_a_gap_or_not_asked_for_is_not_quantized_and_not_trained_on(split_data):
    X, y, train, unseen = split_data
    some = QuantizedPool.of(with_gap(X, 3), y, train=train, unseen=unseen, channels=np.arange(10))
    assert np.flatnonzero(some.known).tolist() == [0, 1, 2, 4, 5, 6, 7, 8, 9]
    model = CatBoostConcepts(**SMALL | {"screen": 3})
    assert model.fit_quantized(some, order=np.array([7, 2, 4, 3])).screened_.tolist() == [2, 4, 7]
    with pytest.raises(Img2TabError, match="channel 3 that was not"):
        model.fit_quantized(some, order=np.array([7, 3, 4]))
    with pytest.raises(Img2TabError, match="At least one channel must be finite"):
        QuantizedPool.of(with_gap(X, 3), y, train=train, unseen=unseen, channels=np.array([3]))


def test_quantized_codes_written_and_read_again_give_the_same_classifier(split_data, pool, tmp_path):
    folder = tmp_path / "a folder with ü"
    folder.mkdir()
    pool.write(folder)
    again = QuantizedPool.read(folder)
    one, other = (CatBoostConcepts(**SMALL).fit_quantized(codes, order=ORDER) for codes in (again, pool))
    assert same(one, other, split_data[0])
    assert np.array_equal(one.probabilities_quantized(pool), other.probabilities_quantized(again))
    assert np.array_equal(again.known, pool.known) and np.array_equal(again.differs, pool.differs)
    kinds.save(one, tmp_path / "run")
    assert same(kinds.load(tmp_path / "run"), other, split_data[0])


@pytest.mark.parametrize("name", ["train.pool", "unseen.pool", "channels.json"])
def test_quantized_codes_of_which_half_a_file_is_left_are_not_taken(pool, tmp_path, name):
    pool.write(tmp_path)
    whole_file = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole_file[: len(whole_file) // 2])
    with pytest.raises((ValueError, OSError)):
        QuantizedPool.read(tmp_path)


def test_four_threads_on_the_same_quantized_codes_train_what_one_trains(split_data, pool):
    seeds = [0, 0, 1, 1]
    with ThreadPoolExecutor(4) as threads:
        models = list(
            threads.map(
                lambda seed: CatBoostConcepts(**SMALL, random_state=seed).fit_quantized(pool, order=ORDER), seeds
            )
        )
    alone = {seed: CatBoostConcepts(**SMALL, random_state=seed).fit_quantized(pool, order=ORDER) for seed in (0, 1)}
    assert all(same(model, alone[seed], split_data[0]) for seed, model in zip(seeds, models, strict=True))


def test_training_on_quantized_codes_reports_up_to_1_and_can_be_stopped(pool):
    seen = []
    CatBoostConcepts(**SMALL).fit_quantized(
        pool, order=ORDER, progress=lambda share, text: seen.append(share), cancelled=lambda: False
    )
    assert seen == sorted(seen) and seen[0] == 0 and seen[-1] == 1 and len(seen) > 40
    answers = iter([False] * 5 + [True] * 100)
    model = CatBoostConcepts(**SMALL)
    with pytest.raises(Cancelled):
        model.fit_quantized(pool, order=ORDER, cancelled=lambda: next(answers))
    with pytest.raises(NotFittedError):
        model.predict_proba(np.zeros((1, D), np.float32))


def test_a_matrix_of_4000_channels_of_which_10_are_used_takes_the_memory_of_10():
    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * mmap.PAGESIZE

    codes, before = np.ones((5000, 10), np.float32, order="F"), resident()
    wide = _widened(codes, np.arange(0, 4000, 400), 4000)
    assert resident() - before < 10e6 < wide.nbytes == 80e6
    assert wide.shape == (5000, 4000) and wide.flags.f_contiguous
    assert wide.sum() == 50_000 and (wide[:, ::400] == 1).all()


def test_a_graphics_card_is_used_only_where_it_is_wished_for_and_there(monkeypatch):
    import catboost.utils

    found = {}
    for wish in (None, "", "0", "1"):
        for cards in (0, 1):
            monkeypatch.setattr(catboost.utils, "get_gpu_device_count", lambda cards=cards: cards)
            if wish is None:
                monkeypatch.delenv(GPU_WISH, raising=False)
            else:
                monkeypatch.setenv(GPU_WISH, wish)
            found[wish, cards] = gpu_wished()
    assert [pair for pair, used in found.items() if used] == [("1", 1)]


def test_a_card_gets_no_drawing_of_channels_and_no_callback_which_it_does_not_know(split_data, pool, monkeypatch):
    import catboost

    asked, real = [], catboost.CatBoostClassifier

    def on_the_processor(task_type, **settings):
        asked.append((task_type, "rsm" in settings))
        return real(**settings)

    monkeypatch.setattr(catboost, "CatBoostClassifier", on_the_processor)
    model = GpuConcepts(**SMALL).fit_quantized(pool, order=ORDER)
    assert asked == [("GPU", False)] and model.kind == "catboost"
    assert model.score(split_data[0], split_data[1]) > 0.9
    with pytest.raises(Cancelled):
        GpuConcepts(**SMALL).fit_quantized(pool, order=ORDER, cancelled=lambda: True)

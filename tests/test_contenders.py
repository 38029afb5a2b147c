"""Every kind of classifier keeps the same laws: unseen means unseen, the same seed, whole files, shares that add up."""

import json
import subprocess
import sys
import time
from dataclasses import dataclass

import numpy as np
import pytest
from scipy.special import logit
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.preprocessing import StandardScaler

from img2tab_core.base.errors import Cancelled, Img2TabError
from img2tab_core.base.files import sha256_of
from img2tab_core.classifiers import kinds, measures
from img2tab_core.classifiers import xgboost as classifiers_xgboost
from img2tab_core.classifiers.base import ConceptClassifier
from tests.conftest import SHARED

PUBLISHED = SHARED / "reference" / "img2tab_gender_xgboost.json"
D = 40
QUICK = {
    "catboost": {"iterations": 40, "learning_rate": 0.2},
    "xgboost": {"iterations": 60, "columns": 0.5},
    "lightgbm": {"iterations": 40, "columns": 0.5},
    "tabnet": {"epochs": 20, "batch": 32},
    "forest": {"trees": 25},
    "logistic": {},
}
EXPLAIN = ("catboost", "xgboost", "lightgbm", "logistic")


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Starting threads takes PyTorch longer than what it does to 300 faces."""
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@dataclass(frozen=True)
class Trained:
    """One classifier on all channels, and one without 3 and 5."""

    whole: ConceptClassifier
    without: ConceptClassifier


def new(kind, **change):
    if kinds.absent(kind):
        pytest.skip(kinds.absent(kind))
    return kinds.make(kind, thread_count=1, screen=None).set_params(**QUICK[kind] | change)


def same(one, other, X):
    return np.array_equal(one.predict_proba(X), other.predict_proba(X))


@pytest.fixture(scope="module")
def data():
    """300 codes of 40 channels on different scales; 3, 7 and 11 carry the label, 20 is constant; read-only."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, D)).astype(np.float32)
    y = (2 * X[:, 3] - 1.5 * X[:, 7] + X[:, 11] + 0.3 * rng.normal(size=300) > 0).astype(np.int64)
    X = X * np.linspace(0.1, 30, D, dtype=np.float32) + np.linspace(-5, 5, D, dtype=np.float32)
    X[:, 20] = 1.5
    X = np.asfortranarray(X)
    X.setflags(write=False)
    y.setflags(write=False)
    return X, y


@pytest.fixture(scope="module", params=list(kinds.KINDS))
def trained(request, data):
    kind = request.param
    excluded = frozenset({3, 5})
    return Trained(new(kind).fit(*data), new(kind, excluded=excluded).fit(*data))


def test_there_are_six_kinds_and_the_extra_brings_three():
    assert list(kinds.KINDS) == ["catboost", "xgboost", "lightgbm", "tabnet", "forest", "logistic"]
    assert [kind.kind for kind in kinds.KINDS.values() if kind.extra] == ["xgboost", "lightgbm", "tabnet"]
    for kind in kinds.KINDS.values():
        assert kind.estimator.kind == kind.kind


def test_it_learns_what_three_channels_carry_and_ranks_them_first(trained, data):
    assert trained.whole.score(*data) > 0.85
    shares = measures.importance(trained.whole)
    first = set(np.argsort(shares)[-4:].tolist())
    if trained.whole.kind == "tabnet":  # attends to some of the three and a few others
        assert len(first & {3, 7, 11}) >= 2
    else:
        assert {3, 7} <= first and shares[[3, 7, 11]].sum() > 0.3


def test_excluded_channels_3_and_5_cannot_change_a_single_bit(trained, data):
    wild = np.array(data[0])
    for value in (0, 1e30, -np.inf, np.nan):
        wild[:, [3, 5]] = value
        assert same_as(trained.without, wild, data[0])
    assert measures.importance(trained.without)[[3, 5]].tolist() == [0, 0]


def same_as(model, one, other):
    return np.array_equal(model.predict_proba(one), model.predict_proba(other))


def test_training_does_not_depend_on_an_excluded_channel(trained, data):
    X, y = data
    wild = np.array(X)
    wild[:, 3], wild[:, 5] = 1e6 * y, np.nan
    again = new(trained.without.kind, excluded=frozenset({3, 5})).fit(wild, y)
    assert same(again, trained.without, X)
    assert np.array_equal(measures.importance(again), measures.importance(trained.without))


def test_the_same_seed_gives_the_same_classifier_and_undo_is_bit_identical(trained, data):
    undone = new(trained.whole.kind, excluded=frozenset({3, 5})).fit(*data).set_params(excluded=frozenset()).fit(*data)
    assert same(undone, trained.whole, data[0])
    assert not same(undone, trained.without, data[0])


@pytest.mark.parametrize("kind", ["catboost", "xgboost", "lightgbm", "tabnet", "forest"])
def test_seed_1_gives_another_classifier_than_seed_0(kind, data):
    assert not same(new(kind).fit(*data), new(kind, random_state=1).fit(*data), data[0])


@pytest.mark.parametrize("kind", list(kinds.KINDS))
def test_two_threads_say_the_same_as_one(kind, data):
    assert same(new(kind).fit(*data), new(kind, thread_count=2).fit(*data), data[0])


def test_importance_adds_up_to_1_and_a_constant_channel_has_none(trained):
    for model in (trained.whole, trained.without):
        for by in (None, *model.measures):
            shares = measures.importance(model, by=by)
            assert shares.shape == (D,) and shares.dtype == np.float64 and (shares >= 0).all()
            assert shares.sum() == pytest.approx(1, abs=1e-12)
    assert measures.importance(trained.whole)[20] == 0


def test_another_measure_of_importance_is_refused(trained):
    with pytest.raises(Img2TabError, match=f"measured by {trained.whole.measures[0]}.*got 'beauty'"):
        measures.importance(trained.whole, by="beauty")


def test_contributions_add_up_to_the_log_odds_or_a_sentence_says_who_can(trained, data):
    X, _ = data
    model = trained.without
    if model.kind not in EXPLAIN:
        with pytest.raises(Img2TabError, match="Choose one of: CatBoost, XGBoost, LightGBM, Logistic regression"):
            measures.explain(model, X[:1])
        return
    probability = model.predict_proba(X[:20])[:, 1]
    for i, prediction in enumerate(measures.explain(model, X[:20])):
        total = prediction.baseline + prediction.contributions.sum()
        assert prediction.contributions.shape == (D,) and not prediction.contributions.flags.writeable
        assert prediction.contributions[[3, 5]].tolist() == [0, 0]
        assert logit(prediction.probability) == pytest.approx(total, abs=1e-9)
        assert prediction.probability == pytest.approx(probability[i], abs=2e-6)  # XGBoost counts in float32


def test_saved_and_loaded_it_says_the_same(trained, data, tmp_path):
    model, X = trained.without, data[0]
    kinds.save(model, tmp_path / "run")
    loaded = kinds.load(tmp_path / "run")
    assert type(loaded) is type(model) and loaded.get_params() == model.get_params()
    assert np.abs(loaded.predict_proba(X) - model.predict_proba(X)).max() <= 1e-12
    assert loaded.screened_.tolist() == model.screened_.tolist() and loaded.n_features_in_ == D
    for by in model.measures:
        one, other = measures.importance(loaded, by=by), measures.importance(model, by=by)
        assert one == pytest.approx(other, abs=1e-12)
    if model.explains:
        one, other = measures.explain(loaded, X[:1])[0], measures.explain(model, X[:1])[0]
        assert one.contributions == pytest.approx(other.contributions, abs=1e-12)
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == sorted([model.file, "model.json"])


def test_a_trained_classifier_is_never_a_pickle(trained, tmp_path):
    kinds.save(trained.whole, tmp_path)
    stored = (tmp_path / trained.whole.file).read_bytes()
    assert b"sklearn" not in stored and not stored.startswith(b"\x80")


@pytest.mark.parametrize("damage", ["gone", "empty", "half", "other"])
def test_a_missing_or_damaged_file_is_a_sentence(trained, tmp_path, damage):
    _damaged(trained.whole, tmp_path, damage)
    with pytest.raises(Img2TabError, match="Train it again"):
        kinds.load(tmp_path)


@pytest.mark.parametrize("damage", ["empty", "half", "other"])
def test_damage_that_the_digest_does_not_show_is_a_sentence_too(trained, tmp_path, damage):
    _damaged(trained.whole, tmp_path, damage)
    record = json.loads((tmp_path / "model.json").read_text())
    record["sha256"] = sha256_of(tmp_path / trained.whole.file)
    (tmp_path / "model.json").write_text(json.dumps(record))
    with pytest.raises(Img2TabError, match="Train it again"):
        kinds.load(tmp_path)


def _damaged(model, folder, damage):
    kinds.save(model, folder)
    path = folder / model.file
    stored = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes({"empty": b"", "half": stored[: len(stored) // 2], "other": b"[1, 2]"}[damage])


@pytest.mark.parametrize("kind", ["catboost", "xgboost", "lightgbm", "forest", "logistic", "tabnet"])
def test_a_record_of_another_number_of_channels_is_a_sentence(kind, data, tmp_path):
    kinds.save(new(kind).fit(*data), tmp_path)
    record = json.loads((tmp_path / "model.json").read_text())
    fewer = [] if kind == "catboost" else [{"screened": list(range(D - 1))}]  # its file knows the full width only
    for change in (*fewer, {"screened": [*range(D - 1), D]}, {"screened": [0] * D}, {"channels": D - 1}):
        (tmp_path / "model.json").write_text(json.dumps(record | change))
        with pytest.raises(Img2TabError, match="Train it again"):
            kinds.load(tmp_path)


def test_a_kind_nobody_knows_is_a_sentence(data, tmp_path):
    kinds.save(new("logistic").fit(*data), tmp_path)
    record = json.loads((tmp_path / "model.json").read_text())
    (tmp_path / "model.json").write_text(json.dumps(record | {"kind": "oracle"}))
    with pytest.raises(Img2TabError, match=r"must be one of catboost, .*got 'oracle'"):
        kinds.load(tmp_path)
    for ask in (kinds.absent, kinds.make):
        with pytest.raises(Img2TabError, match="got 'oracle'"):
            ask("oracle")


def test_the_callers_matrix_is_unchanged_and_chosen_rows_train_the_same(trained, data):
    X, y = np.array(data[0]), np.array(data[1])
    rows = np.arange(300)[::-1][:299]
    one = new(trained.whole.kind).fit(X, y[rows], rows=rows)
    other = new(trained.whole.kind).fit(np.ascontiguousarray(X[rows]), y[rows])
    assert same(one, other, X)
    assert np.array_equal(X, data[0]) and np.array_equal(y, data[1])


def test_progress_only_grows_from_0_to_1(trained, data):
    seen = []
    new(trained.whole.kind).fit(*data, progress=lambda fraction, text: seen.append((fraction, text)))
    fractions = [fraction for fraction, _ in seen]
    assert fractions == sorted(fractions) and fractions[0] == 0 and fractions[-1] == 1 and all(text for _, text in seen)


@pytest.mark.parametrize("asked", [0, 1, 2])
def test_cancel_leaves_the_estimator_unfitted(trained, data, asked):
    answers = iter([False] * asked + [True] * 100)
    model = new(trained.whole.kind)
    with pytest.raises(Cancelled):
        model.fit(*data, cancelled=lambda: next(answers))
    with pytest.raises(NotFittedError):
        model.predict_proba(data[0])


def test_cancelling_a_retraining_keeps_the_old_classifier(trained, data):
    model = new(trained.whole.kind).fit(*data)
    for asked in (0, 2):
        answers = iter([False] * asked + [True] * 100)
        with pytest.raises(Cancelled):
            model.fit(data[0], 1 - data[1], cancelled=lambda answers=answers: next(answers))
    assert same(model, trained.whole, data[0])


def test_the_smallest_training_has_one_face_of_each_class(trained, data):
    X, y = data
    rows = np.array([np.argmin(y), np.argmax(y)])
    probability = new(trained.whole.kind).fit(X, y[rows], rows=rows).predict_proba(X)
    assert np.isfinite(probability).all() and probability.sum(axis=1) == pytest.approx(1, abs=1e-12)


def test_it_trains_and_predicts_in_silence(trained, data, capfd):
    model = new(trained.whole.kind).fit(*data)
    model.predict(data[0])
    measures.importance(model)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("kind", "change", "sentence"),
    [
        ("xgboost", {"columns": 0}, "columns must be above 0"),
        ("xgboost", {"iterations": 0}, "iterations"),
        ("lightgbm", {"leaves": 1}, "leaves must be a whole number between 2"),
        ("forest", {"trees": 0}, "trees"),
        ("forest", {"leaf": 0.5}, "leaf"),
        ("logistic", {"strength": 0}, "strength must be a finite number above 0"),
        ("tabnet", {"batch": 1}, "batch"),
        ("tabnet", {"epochs": 0}, "epochs"),
        ("logistic", {"screen": 0}, "screen"),
        ("forest", {"excluded": frozenset({D})}, "between 0 and 39, got 40"),
    ],
)
def test_a_setting_out_of_bounds_is_a_sentence(kind, change, sentence, data):
    with pytest.raises(Img2TabError, match=sentence):
        new(kind, **change).fit(*data)


@pytest.mark.parametrize(
    ("kind", "module", "package"),
    [
        ("xgboost", "xgboost", "xgboost-cpu"),
        ("lightgbm", "lightgbm", "lightgbm"),
        ("tabnet", "pytorch_tabnet", "pytorch-tabnet"),
    ],
)
def test_an_absent_library_is_a_sentence_that_names_the_extra(kind, module, package, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    assert package in kinds.absent(kind) and "pip install -e .[compare]" in kinds.absent(kind)
    with pytest.raises(Img2TabError, match="is not installed"):
        kinds.make(kind)
    assert [kinds.absent(other) for other in ("catboost", "forest", "logistic")] == [None] * 3


def test_a_run_saved_elsewhere_needs_its_library_in_a_sentence(data, tmp_path, monkeypatch):
    kinds.save(new("xgboost").fit(*data), tmp_path)
    monkeypatch.setitem(sys.modules, "xgboost", None)
    with pytest.raises(Img2TabError, match="XGBoost is not usable here"):
        kinds.load(tmp_path)
    with pytest.raises(Img2TabError, match="XGBoost is not usable here"):
        classifiers_xgboost.open_published(_model_of_two(tmp_path / "x.json"))


def test_importing_the_classifiers_imports_none_of_the_five_heavy_libraries():
    heavy = "catboost", "xgboost", "lightgbm", "torch", "pytorch_tabnet"
    code = f"import sys; from img2tab_core.classifiers import kinds; print([m for m in {heavy} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


def test_logistic_regression_reaches_the_minimum_scikit_learn_finds(data):
    X, y = data
    ours = new("logistic", strength=0.1).fit(X, y)
    standard = StandardScaler().fit_transform(X.astype(np.float64))
    theirs = LogisticRegression(C=0.1, tol=1e-10, max_iter=10_000).fit(standard, y)
    assert ours.weights_ == pytest.approx(theirs.coef_[0], abs=1e-4)
    assert ours.predict_proba(X) == pytest.approx(theirs.predict_proba(standard), abs=1e-4)


def test_logistic_regression_with_weights_2_and_minus_1_by_hand(data):
    model = new("logistic").fit(data[0][:, :2], data[1])
    model.weights_, model.intercept_ = np.array([2.0, -1.0]), 0.5
    model.mean_, model.scale_ = np.array([1.0, 0.0]), np.array([0.5, 2.0])
    said = measures.explain(model, np.array([[2.0, 4.0]]))[0]  # (2 - 1) / 0.5 = 2 and 4 / 2 = 2 deviations
    assert said.contributions.tolist() == [4.0, -2.0] and said.baseline == 0.5
    assert said.probability == pytest.approx(1 / (1 + np.exp(-2.5)))
    assert measures.importance(model).tolist() == pytest.approx([2 / 3, 1 / 3])


def test_the_forest_votes_as_scikit_learn_does(data):
    from sklearn.ensemble import RandomForestClassifier

    X, y = data
    ours = new("forest").fit(X, y)
    theirs = RandomForestClassifier(n_estimators=25, max_features="sqrt", min_samples_leaf=2, random_state=0).fit(X, y)
    assert ours.predict_proba(X) == pytest.approx(theirs.predict_proba(X), abs=1e-12)
    assert measures.importance(ours) == pytest.approx(theirs.feature_importances_, abs=1e-12)


def test_a_forest_whose_trees_lead_in_a_circle_is_refused(data, tmp_path):
    model = new("forest").fit(*data)
    inner = np.flatnonzero(model.trees_.channel >= 0)
    left = model.trees_.left.copy()
    left[inner[1]] = inner[0]
    model.trees_ = model.trees_._replace(left=left)
    kinds.save(model, tmp_path)
    with pytest.raises(Img2TabError, match="lead nowhere"):
        kinds.load(tmp_path)


def test_sparsemax_of_three_rows_by_hand():
    torch = pytest.importorskip("torch")
    from img2tab_core.classifiers.tabnet import sparsemax

    # the threshold of (1, 0.5, -1) is (1.5 - 1) / 2 = 0.25; equal scores share; a lead of 1 or more takes all
    rows = torch.tensor([[1.0, 0.5, -1.0], [7.0, 7.0, 7.0], [3.0, 2.0, 0.0]])
    found = sparsemax(rows)
    assert found[0].tolist() == [0.75, 0.25, 0.0] and found[2].tolist() == [1.0, 0.0, 0.0]
    assert found[1].tolist() == pytest.approx([1 / 3] * 3)


def test_tabnet_without_the_identity_matrix_says_what_pytorch_tabnet_says():
    torch = pytest.importorskip("torch")
    parts = pytest.importorskip("pytorch_tabnet.tab_network")
    from img2tab_core.classifiers.tabnet import TabNetConcepts

    with torch.random.fork_rng():
        torch.manual_seed(0)
        theirs = parts.TabNetNoEmbeddings(
            30, 2, n_d=8, n_a=8, n_steps=3, virtual_batch_size=128, group_attention_matrix=torch.eye(30)
        ).eval()
        ours = TabNetConcepts(stages=3)._network(30).eval()
        ours.load_state_dict(theirs.state_dict())
        inputs = torch.randn(50, 30)
    for one, other in zip(ours(inputs), theirs(inputs), strict=True):
        assert (one - other).abs().max() < 1e-6
    assert (ours.forward_masks(inputs)[0] - theirs.forward_masks(inputs)[0]).abs().max() < 1e-6


def test_tabnet_leaves_the_random_numbers_of_the_process_alone(data):
    torch = pytest.importorskip("torch")
    before = torch.get_rng_state()
    new("tabnet", epochs=1).fit(*data)
    assert torch.equal(torch.get_rng_state(), before)


# --- the published classifier ------------------------------------------------------------------


def _model_of_two(file):
    """The head of an XGBoost file of 2 channels, and nothing else."""
    file.write_text(
        json.dumps(
            {
                "learner": {
                    "objective": {"name": "binary:logistic"},
                    "gradient_booster": {"name": "gbtree"},
                    "learner_model_param": {"num_feature": "2"},
                }
            }
        )
    )
    return file


@pytest.fixture(scope="module")
def published():
    if not PUBLISHED.is_file():
        pytest.skip("no published classifier in the shared folder (IMG2TAB_SHARED names another place)")
    if kinds.absent("xgboost"):
        pytest.skip(kinds.absent("xgboost"))
    return classifiers_xgboost.open_published(PUBLISHED)


def test_the_published_classifier_ranks_4319_503_4440_4614_by_average_gain(published):
    assert published.n_features_in_ == 9088 and published.classes_.tolist() == [0, 1]
    assert published.screened_.tolist() == list(range(9088))
    shares = measures.importance(published)
    assert np.argsort(-shares)[:4].tolist() == [4319, 503, 4440, 4614]
    assert shares[[4319, 503, 4440, 4614]] == pytest.approx([0.0704, 0.0479, 0.0236, 0.0202], abs=5e-5)
    assert shares.sum() == pytest.approx(1)


def test_the_published_classifier_ranks_4319_4614_503_5029_by_total_gain(published):
    assert np.argsort(-measures.importance(published, by="total_gain"))[:4].tolist() == [4319, 4614, 503, 5029]


def test_the_published_classifier_predicts_as_xgboost_itself_does_and_explains(published):
    xgboost = pytest.importorskip("xgboost")
    codes = np.random.default_rng(0).normal(0, 3, (20, 9088)).astype(np.float32)
    theirs = xgboost.Booster(model_file=str(PUBLISHED)).predict(xgboost.DMatrix(codes), iteration_range=(0, 415))
    assert published.predict_proba(codes)[:, 1] == pytest.approx(theirs, abs=1e-6)
    said = measures.explain(published, codes[:2])[1]
    assert said.probability == pytest.approx(float(theirs[1]), abs=1e-5)
    assert np.count_nonzero(said.contributions) > 100


def test_the_published_classifier_can_be_saved_and_loaded(published, tmp_path):
    kinds.save(published, tmp_path)
    codes = np.random.default_rng(1).normal(0, 3, (5, 9088)).astype(np.float32)
    assert same(kinds.load(tmp_path), published, codes)


def test_the_published_classifier_cannot_forget_channel_4319(published):
    with pytest.raises(Img2TabError, match="trained with 1 of the excluded channels, such as 4319"):
        classifiers_xgboost.open_published(PUBLISHED, excluded=frozenset({4319}))
    unused = int(np.flatnonzero(measures.importance(published) == 0)[0])
    assert classifiers_xgboost.open_published(PUBLISHED, excluded=frozenset({unused})).excluded == {unused}


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is not an XGBoost classifier"),
        (b"[1, 2]", "is not an XGBoost classifier"),
        (b'{"learner": {}}', "is not an XGBoost classifier"),
        (b"\x80\x04pickle", "is not an XGBoost classifier"),
        (None, "cannot be read"),
    ],
)
def test_a_file_that_is_no_xgboost_classifier_is_a_sentence(content, sentence, tmp_path):
    file = tmp_path / "model.json"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(Img2TabError, match=sentence):
        classifiers_xgboost.open_published(file)


@pytest.mark.parametrize(
    ("objective", "sentence"),
    [
        ("multi:softprob", "two classes.*got 'gbtree', 'multi:softprob'"),
        ("reg:squarederror", "two classes"),
    ],
)
def test_an_xgboost_model_that_is_not_for_two_classes_is_refused(objective, sentence, data, tmp_path):
    xgboost = pytest.importorskip("xgboost")
    params = {"objective": objective, "nthread": 1} | ({"num_class": 3} if "multi" in objective else {})
    booster = xgboost.train(params, xgboost.DMatrix(data[0], data[1]), num_boost_round=2)
    booster.save_model(tmp_path / "model.json")
    with pytest.raises(Img2TabError, match=sentence):
        classifiers_xgboost.open_published(tmp_path / "model.json")


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("left_children", 999, "not a whole"),
        ("split_indices", 40, "not a whole"),
        ("left_children", "x", "not a whole"),
    ],
)
def test_an_xgboost_file_whose_trees_lead_elsewhere_is_refused_and_ends_nothing(name, value, sentence, data, tmp_path):
    model = new("xgboost").fit(*data)
    stored = json.loads(model.booster_.save_raw("json"))
    trees = stored["learner"]["gradient_booster"]["model"]["trees"]
    next(tree for tree in trees if len(tree["parents"]) > 1)[name][0] = value
    (tmp_path / "model.json").write_text(json.dumps(stored))
    with pytest.raises(Img2TabError, match=sentence):
        classifiers_xgboost.open_published(tmp_path / "model.json")


def test_an_xgboost_file_without_its_trees_is_refused(tmp_path):
    pytest.importorskip("xgboost")
    with pytest.raises(Img2TabError, match="not a whole XGBoost classifier"):
        classifiers_xgboost.open_published(_model_of_two(tmp_path / "x.json"))


# --- at the size of a table --------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("kind", list(kinds.KINDS))
def test_cancel_at_2000_faces_and_6752_channels_costs_less_than_20_seconds_of_the_processor(kind):
    if kinds.absent(kind):
        pytest.skip(kinds.absent(kind))
    rng = np.random.default_rng(0)
    X = np.asfortranarray(rng.normal(size=(2000, 6752)).astype(np.float32))
    y = (X[:, :50].sum(axis=1) > 0).astype(int)
    asked = []

    def cancelled():
        asked.append(time.process_time())  # not the clock: other programs may want the cores as well
        return len(asked) > 4

    with pytest.raises(Cancelled):
        kinds.make(kind, screen=None).fit(X, y, cancelled=cancelled)
    assert np.diff(asked).max() < 20


def test_log_loss_of_a_coin_is_the_most_a_trained_classifier_has(trained, data):
    assert log_loss(data[1], trained.whole.predict_proba(data[0])) < np.log(2)

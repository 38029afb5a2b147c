"""More than two classes: one classifier of all, one class against the rest as a view of it, gaps, distances, words."""

from __future__ import annotations

import dataclasses
import itertools
import json

import numpy as np
import pandas as pd
import pytest
from scipy.special import log_softmax, logit, logsumexp
from scipy.stats import wasserstein_distance
from typer.testing import CliRunner

from img2tab_core import tables
from img2tab_core.audits.auditor import Auditor
from img2tab_core.audits.groups import Groups
from img2tab_core.audits.many_classes import audit_classes, largest_gap
from img2tab_core.base import files
from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.layout import StyleLayout
from img2tab_core.base.records import DEFAULT_BACKBONE, Metrics, Target
from img2tab_core.classifiers import comparison, confusions, kinds, measures, runs
from img2tab_core.classifiers.against_rest import AgainstRest, one_against_rest
from img2tab_core.classifiers.catboost import CatBoostConcepts, QuantizedPool
from img2tab_core.cli import main
from img2tab_core.studio import Studio
from img2tab_core.tables import population

AGES = ("under 30", "30 to 59", "60 and over")
D = 60
FEW = {"catboost": {"iterations": 40}, "xgboost": {"iterations": 20, "columns": 0.5}, "forest": {"trees": 20}}
FEW |= {"lightgbm": {"iterations": 20, "columns": 0.5}, "tabnet": {"epochs": 2}, "logistic": {}}


def faces(count: int, classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Codes whose channel k is higher in class k, and the classes."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, classes, count)
    codes = rng.normal(size=(count, D)).astype(np.float32)
    codes[np.arange(count), labels] += 2.0
    return codes, labels


def trained(kind: str, codes: np.ndarray, labels: np.ndarray):
    model = kinds.make(kind).set_params(**FEW[kind])
    return model.fit(codes, labels)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A visitor's folder with the table `toy`: a target of three ages in order, one of two classes, and an age."""
    folder = tmp_path_factory.mktemp("home")
    codes, ages = faces(400)
    rng = np.random.default_rng(1)
    labels = pd.DataFrame({"age": ages, "group": rng.integers(0, 2, 400)}).astype(np.int8)
    labels.loc[:3, "age"] = -1
    labels["years"] = np.array([20.0, 45.0, 70.0])[ages]
    targets = [
        Target("age", "Age", AGES, "by hand", ordered=True),
        Target("group", "Group", ("left", "right"), "by hand"),
        Target("half", "Half", ("below 50", "50 and over"), "by hand", of="years", borders=(50.0,)),
    ]
    tables.write_table(
        folder / "tables" / "toy",
        lambda rows: codes[rows],
        labels,
        targets=targets,
        layout=StyleLayout((D,)),
        backbone="made-by-hand",
        key="toy-key",
    )
    return folder


@pytest.fixture
def door(home, monkeypatch):
    monkeypatch.setenv("IMG2TAB_HOME", str(home))
    return Studio()


# --- tables ------------------------------------------------------------------------------------------


def test_a_table_keeps_targets_of_3_classes_apart_and_offers_each_class_against_the_rest(door, home):
    table = door.table("toy")
    assert [target.name for target in table.targets] == ["group", "half"]
    assert [(target.name, target.classes, target.ordered) for target in table.many] == [("age", AGES, True)]
    names = ["age:under_30", "age:30_to_59", "age:60_and_over"]
    assert [view.name for view in table.against_rest] == names
    ages = table.labels["age"].to_numpy()
    for k, name in enumerate(names):
        assert np.array_equal(table.labels[name], np.where(ages < 0, -1, ages == k))
    assert table.labels["half"].tolist() == (table.labels["years"] >= 50).astype(int).tolist()
    stored = pd.read_parquet(home / "tables" / "toy" / "labels.parquet")
    assert list(stored.columns) == ["age", "group", "years"]  # nothing derived is on the disk
    stored_targets = json.loads((home / "tables" / "toy" / "table.json").read_text())["targets"]
    assert set(stored_targets[1]) == {"name", "title", "classes", "how"}  # two classes look as they always did


def test_a_verb_for_two_classes_says_which_names_it_takes(door):
    with pytest.raises(Img2TabError, match=r"Age has 3 classes.*age:under_30, age:30_to_59, age:60_and_over"):
        tables.target_of(door.table("toy"), "age")


def test_moved_borders_are_another_key_and_a_plain_label_keeps_the_tables(door):
    table = door.table("toy")
    other = dataclasses.replace(table, labels=table.labels.assign(half=(table.labels["years"] >= 30).astype(np.int8)))
    assert table.key_for("group") == other.key_for("group") == "toy-key"
    assert len({"toy-key", table.key_for("half"), other.key_for("half")}) == 3


def test_the_default_table_gets_three_age_bands_without_another_key(tmp_path):
    codes, _ = faces(60)
    years = np.linspace(10, 70, 60).astype(np.float32)
    labels = pd.DataFrame({"smiling": (np.arange(60) % 2).astype(np.int8), "perceived_age": years})
    table = tables.write_table(
        tmp_path / "default",
        lambda rows: codes[rows],
        labels,
        targets=[Target("smiling", "Smiling", ("no", "yes"), "by hand")],
        layout=StyleLayout((D,)),
        backbone="made-by-hand",
        key="the-key",
    )
    banded = population.with_age_bands(table)
    assert banded.labels["age_band"].tolist() == np.digitize(years, [25, 40]).tolist()
    assert (banded.key, banded.key_for("smiling")) == ("the-key", "the-key")
    before, after = (runs.run_id_of(each, "smiling", frozenset(), 0) for each in (table, banded))
    assert before == after
    assert population.with_age_bands(banded) is banded


# --- classifiers -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", list(kinds.KINDS))
def test_every_kind_learns_3_classes_and_is_the_same_to_the_bit_when_it_is_opened(kind, tmp_path):
    if kinds.absent(kind):
        pytest.skip(kinds.absent(kind))
    codes, labels = faces(300)
    model = trained(kind, codes[:200], labels[:200])
    assert model.classes_.tolist() == [0, 1, 2]
    chance = model.predict_proba(codes[200:])
    assert chance.shape == (100, 3) and np.allclose(chance.sum(axis=1), 1)
    kinds.save(model, tmp_path)
    assert np.array_equal(kinds.load(tmp_path).predict_proba(codes[200:]), chance)
    if kind != "tabnet":  # which two epochs teach little
        assert measures.measure(model, codes[200:], labels[200:]).accuracy > 0.6
        importance = measures.importance(model)
        assert set(np.argsort(-importance)[:3]) == {0, 1, 2} and importance.sum() == pytest.approx(1)


@pytest.mark.parametrize("kind", ["catboost", "xgboost", "lightgbm", "logistic"])
def test_contributions_of_a_class_against_the_rest_add_up_to_its_log_odds(kind):
    if kinds.absent(kind):
        pytest.skip(kinds.absent(kind))
    codes, labels = faces(200, classes=4)
    model = trained(kind, codes, labels)
    chance = model.predict_proba(codes[:20])
    for which in range(4):
        view = AgainstRest(model, which)
        assert np.array_equal(view.predict_proba(codes[:20])[:, 1], chance[:, which])
        for row, said in enumerate(measures.explain(view, codes[:20])):
            assert said.baseline + said.contributions.sum() == pytest.approx(logit(chance[row, which]), abs=1e-5)


def test_the_log_odds_worked_by_hand_for_one_face_of_3_classes_and_1_channel():
    added = np.array([[[2.0, 0.5], [1.0, 0.0], [-1.0, 0.25]]])  # per class: the channel, the baseline
    score = added.sum(axis=2)[0]  # 2.5, 1.0, -0.75
    share = np.exp([1.0, -0.75]) / np.exp([1.0, -0.75]).sum()
    channel = 2.0 - (share[0] * 1.0 + share[1] * -1.0)
    (split,) = one_against_rest(added, 0)
    assert split[0] == pytest.approx(channel)
    assert split.sum() == pytest.approx(score[0] - logsumexp(score[1:]))
    assert 1 / (1 + np.exp(-split.sum())) == pytest.approx(np.exp(log_softmax(score))[0])


def test_multinomial_regression_finds_scikit_learns_minimum():
    from sklearn.linear_model import LogisticRegression

    codes, labels = faces(200)
    ours = kinds.make("logistic").fit(codes, labels)
    standard = codes.astype(np.float64)
    standard = (standard - standard.mean(axis=0)) / standard.std(axis=0)
    theirs = LogisticRegression(C=ours.strength, max_iter=2000, tol=1e-8).fit(standard, labels)
    assert np.abs(ours.predict_proba(codes) - theirs.predict_proba(standard)).max() < 1e-4


def test_12_classes_on_quantized_codes_read_from_disk_are_the_same_classifier(tmp_path):
    codes, labels = faces(360, classes=12)
    rows = np.arange(360)
    pool = QuantizedPool.of(codes, labels, train=rows[:300], unseen=rows[300:])
    pool.write(tmp_path)
    order = np.arange(D)
    first = CatBoostConcepts(iterations=30).fit(codes, labels[:300], rows=rows[:300], order=order)
    again = CatBoostConcepts(iterations=30).fit_quantized(QuantizedPool.read(tmp_path), order=order)
    assert again.classes_.tolist() == list(range(12))
    assert np.array_equal(first.predict_proba(codes[300:]), again.probabilities_quantized(pool))


def test_a_class_without_a_face_is_refused_in_a_sentence():
    codes, labels = faces(60)
    with pytest.raises(Img2TabError, match="no face of class 1"):
        kinds.make("logistic").fit(codes, np.where(labels == 1, 0, labels))


def test_metrics_of_3_classes_worked_by_hand():
    chance = np.array([[0.8, 0.1, 0.1], [0.2, 0.5, 0.3], [0.5, 0.3, 0.2], [0.1, 0.2, 0.7], [0.1, 0.6, 0.3]])
    metrics = measures.metrics_of_answers(chance, np.array([0, 1, 1, 2, 2]))
    assert metrics.confusion == ((1, 0, 0), (1, 1, 0), (0, 1, 1))
    assert (metrics.accuracy, metrics.count, metrics.majority) == (0.6, 5, 0.4)
    # class 0: 0.8 is above all four; class 1: 0.5 and 0.3 are both below 0.6, 4 of 6 pairs are in order; class 2: 5.5
    assert metrics.auc == pytest.approx((1 + 4 / 6 + 5.5 / 6) / 3)
    off, low, high = metrics.classes_off
    assert off == pytest.approx(2 / 5) and low < off < high
    target = Target("age", "Age", AGES, "by hand", ordered=True)
    assert "is right in 40.0" in confusions.sentence(target, metrics)
    assert "0.40 classes off on average" in confusions.sentence(target, metrics)
    assert confusions.rows_of(target, metrics)[2] == ["30 to 59", "1", "1", "0", "50.0 %"]
    two = Metrics(0.5, (0, 1), 0.5, 0.7, ((1, 1), (1, 1)), 4)
    assert confusions.sentence(Target("a", "A", ("x", "y"), ""), two) == ""


# --- runs --------------------------------------------------------------------------------------------


def test_one_class_against_the_rest_is_a_view_of_the_kept_run_and_is_opened_by_its_id(door):
    trainer, table = door.trainer, door.table("toy")
    whole = trainer.run(table, "age")
    view = trainer.run(table, "age:60_and_over")
    assert view.id == f"{whole.id}:60_and_over" and view.whole is whole and view.target == "age:60_and_over"
    assert len(list((runs.home() / "runs").iterdir())) == 1  # nothing was trained twice
    opened = runs.open_kept(view.id)
    assert opened.metrics == view.metrics and runs.has_model(view.id) and runs.is_of(view, table)
    _, labels, chance = trainer.test_answers(view)
    _, ages, shares = trainer.test_shares(whole)
    assert np.array_equal(labels, ages == 2) and np.array_equal(chance, shares[:, 2])
    assert view.metrics == measures.metrics_of(chance, labels)
    assert whole.metrics == measures.metrics_of_answers(shares, ages)
    with pytest.raises(Img2TabError, match="has 3 classes"):
        trainer.test_answers(whole)


def test_training_one_class_without_a_channel_trains_all_and_keeps_them_under_one_id(door):
    trainer, table = door.trainer, door.table("toy")
    view = trainer.train(table, "age:under_30", kind="logistic", excluded=frozenset({0}))
    trainer.keep(view)
    (other,) = runs.others_kept(table, "age:30_to_59")
    assert other.whole.id == view.whole.id and other.excluded == {0}
    seen: list[runs.Run] = []
    trainer.train_live(table, "age:under_30", on_quick=seen.append)
    assert [run.target for run in seen] == ["age:under_30"] and seen[0].quick


def test_what_is_erased_from_3_classes_is_kept_with_the_run_of_all_and_seen_in_the_view(door):
    from img2tab_core.classifiers.treatment import Treatment

    trainer, table, erased = door.trainer, door.table("toy"), Treatment(erased=("group",))
    view = trainer.train(table, "age:under_30", kind="logistic", treatment=erased)
    trainer.keep(view)
    opened = runs.open_kept(view.id)
    assert opened.treatment == erased and opened.classifier.erasure_ is not None and opened.metrics == view.metrics
    assert view.whole.metrics.accuracy > 0.6


def test_distances_are_scipys_between_every_two_classes_and_rank_by_the_largest(door):
    from img2tab_core.concepts import scores

    table = door.table("toy")
    of_target = tables.faces_of(table, "age")
    distance, direction = scores.pairwise(of_target, 3)
    rows, labels = of_target.train
    for at, (low, high) in enumerate(scores.pairs_of(3)):
        for channel in (0, 5):
            values = [table.psi[rows[labels == k], channel] for k in (low, high)]
            expected = wasserstein_distance(*values) / table.stats.std[channel]
            assert distance[at, channel] == pytest.approx(expected, rel=1e-5)
            moved = (values[1].mean() - values[0].mean()) / table.stats.std[channel]
            assert direction[at, channel] == pytest.approx(moved, abs=1e-5)
    largest, _ = door.trainer.distances(table, "age")
    assert np.array_equal(largest, distance.max(axis=0))
    one, _ = door.trainer.distances(table, "age:60_and_over")
    expected = wasserstein_distance(*(table.psi[rows[(labels == 2) == of], 2] for of in (True, False)))
    assert one[2] == pytest.approx(expected / table.stats.std[2], rel=1e-5)
    pairs = door.trainer.classes_apart(table, "age")
    assert "60 and over" in pairs[2] and "under 30" in pairs[0]


# --- audits ------------------------------------------------------------------------------------------


def test_the_worst_class_and_groups_worked_by_hand():
    target = Target("age", "Age", AGES, "by hand", ordered=True)
    of_class = np.repeat([0, 1, 2], 40)
    labels, codes = np.tile(of_class, 2), np.repeat([0, 1], 120)
    decided = labels.copy()
    decided[(codes == 1) & (labels == 2)] = np.repeat([1, 2], [30, 10])  # 75 % of the old on the right are missed
    decided[(codes == 0) & (labels == 0)] = np.repeat([1, 0], [4, 36])
    audited = audit_classes(labels, decided, [Groups("Side", ("left", "right"), codes)], target, repeats=40)
    worst = audited.worst
    assert (worst.what, worst.name, worst.first, worst.second) == ("recognised", "60 and over", "left", "right")
    assert worst.measure.value == pytest.approx(0.75) and worst.at_once == 6
    assert 0.4 < worst.measure.low < 0.75 < worst.measure.high <= 1
    assert worst.sentence.startswith("Of 40 faces labelled right and 60 and over 25.0")
    assert "of 40 labelled left and 60 and over 100.0" in worst.sentence and ": 75.0 points fewer (" in worst.sentence
    assert [gaps["equalised_odds"].value for gaps in audited.gaps] == pytest.approx([0.1, 0.325, 0.75])
    shift = audited.order_gap
    assert (shift.first, shift.second) == ("left", "right")
    assert shift.rates == pytest.approx((4 / 120, -30 / 120)) and shift.measure.value == pytest.approx(34 / 120)
    assert largest_gap(labels, decided, codes, 3) == pytest.approx(0.75)


def test_that_29_faces_are_all_one_class_off_is_not_told_and_of_30_the_interval_is_a_tenth_wide_on_either_side():
    target = Target("age", "Age", AGES, "by hand", ordered=True)
    for count in (29, 30):
        labels, codes = np.zeros(2 * count, int), np.repeat([0, 1], count)
        shift = (
            audit_classes(labels, codes, [Groups("Side", ("left", "right"), codes)], target, repeats=0)
            .by_group[1]
            .shift
        )
        assert (shift.value, shift.low, shift.high) == ((None,) * 3 if count == 29 else (1.0, 0.9, 1.1))


def test_fewer_than_10_faces_are_too_few_to_say_and_never_a_0():
    target = Target("age", "Age", AGES, "by hand")
    labels, codes = np.tile(np.repeat([0, 1, 2], [30, 30, 12]), 2), np.repeat([0, 1], 72)
    keep = ~((codes == 1) & (labels == 2)) | (np.arange(144) % 2 == 0)
    audited = audit_classes(labels[keep], labels[keep], [Groups("Side", ("left", "right"), codes[keep])], target)
    assert all(gap.name != "60 and over" or gap.what != "recognised" for gap in audited.differences)
    assert audited.too_few == ("6 test faces of right that are 60 and over",)
    assert audited.by_group[1].classes[2].recognised.value is None and audited.order_gap is None


def test_equal_groups_reach_a_clear_worst_difference_in_at_most_5_percent_of_100_draws():
    rng = np.random.default_rng(0)
    target = Target("age", "Age", AGES, "by hand")
    clear = 0
    for _ in range(100):
        labels, codes = rng.integers(0, 3, 300), rng.integers(0, 2, 300)
        decided = np.where(rng.random(300) < 0.7, labels, rng.integers(0, 3, 300))
        audited = audit_classes(labels, decided, [Groups("Side", ("left", "right"), codes)], target, repeats=0)
        clear += audited.worst.measure.low > 0
    assert clear <= 5


def test_the_auditor_audits_all_classes_or_one_and_3_classes_may_form_the_groups(door):
    table, auditor = door.table("toy"), Auditor(door)
    run = door.trainer.run(table, "age:60_and_over")
    audited = auditor.audit_classes(run, ["group"])
    assert audited.classes == AGES and [group.name for group in audited.by_group] == ["left", "right"]
    confusion = np.sum([group.confusion for group in audited.by_group], axis=0)
    assert tuple(map(tuple, confusion.tolist())) == run.whole.metrics.confusion
    json.dumps(audited.to_json())
    assert [group.name for group in auditor.audit(run, ["group"]).by_group] == ["left", "right"]
    by_age = auditor.audit(door.trainer.run(table, "group"), ["age"])
    assert [group.name for group in by_age.by_group] == list(AGES)
    with pytest.raises(Img2TabError, match="formed by something else"):
        auditor.audit(run, ["age"])


# --- comparison and the terminal ---------------------------------------------------------------------


def test_a_comparison_of_3_classes_keeps_what_every_face_was_given(door):
    table = door.table("toy")
    compared = door.trainer.compare(table, "age:under_30", kinds=["logistic", "forest"], seeds=(0, 1), faces=150)
    assert compared.target == "age"
    read = comparison.Comparison.from_json(json.loads(json.dumps(compared.to_json())))
    _, ages = tables.labelled(table, "age", "test")
    for contender, trial in itertools.product(read.contenders, range(2)):
        decided = contender.trials[trial].decisions(len(ages))
        assert (decided == ages).mean() == pytest.approx(contender.trials[trial].accuracy)
    assert door.trainer.compared(table, "age:30_to_59").target == "age"
    assert set(Auditor(door).gaps_compared(compared, ["group"])) == {"logistic", "forest"}


def test_a_sample_keeps_the_shares_of_5_classes():
    labels = np.repeat(np.arange(5), [500, 300, 150, 45, 5])
    chosen = comparison.sampled(labels, 100, seed=3)
    assert np.bincount(labels[chosen]).tolist() == [50, 30, 15, 4, 1] and len(np.unique(chosen)) == 100


def test_train_audit_and_scores_of_3_classes_in_the_terminal(door, tmp_path, capsys):
    from img2tab_core.cli.audits import audit
    from img2tab_core.cli.classifiers import scores, train

    train(target="age", out=tmp_path / "run", table="toy", classifier="logistic")
    said = capsys.readouterr().out
    assert "the most frequent of 3 classes" in said and "given 60 and over" in said
    audit(sensitive="group", target="", table=None, run=tmp_path / "run")
    said = capsys.readouterr().out
    assert said.startswith("The worst class and groups. ") and "class against the rest" in said
    audit(sensitive="group", target="age:under_30", table=None, run=tmp_path / "run")
    assert "class against the rest" not in capsys.readouterr().out
    scores(target="age", table="toy", top=3)
    assert " and 60 and over)" in capsys.readouterr().out


# --- the report and the pages ------------------------------------------------------------------------


class Unpainted(Studio):
    """A studio whose backbone draws nothing and has no described concepts."""

    def description(self, backbone: str = "made-by-hand"):
        return None

    def backbone(self, name: str = "made-by-hand"):
        raise Img2TabError("Nothing is drawn here.")


def test_a_report_on_one_class_shows_all_of_them_and_their_confusion(home, monkeypatch):
    from img2tab_core.reports.report import report_html
    from img2tab_core.sessions.session_runs import SessionRuns

    monkeypatch.setenv("IMG2TAB_HOME", str(home))
    runs_of = SessionRuns(Auditor(Unpainted()))
    table = runs_of.studio.table("toy")
    session = runs_of.begin("Old people", "Ada", table, "age:60_and_over", ["group"])
    assert runs_of.sessions.run(session, 1).run_id.endswith(":60_and_over")
    html = report_html(runs_of, session)
    whole = runs_of.studio.trainer.run(table, "age")
    assert "&#34;model.cbm&#34;" in html and 'download="model_card.cdx.json"' in html  # the model of all three
    assert "All 3 classes of Age at once" in html and "The worst class and groups." in html
    for name, counts in zip(AGES, whole.metrics.confusion, strict=True):
        cells = "".join(f'<td class="number">{count}</td>' for count in counts)
        assert f'<tr><th scope="row">{name}</th>{cells}' in html


@pytest.fixture
def pages(studio, small_pictures, tmp_path, monkeypatch):
    """A visit with one table, of the default backbone's channels, whose only targets are three ages and a group."""
    import streamlit as st

    from tests import app

    layout = studio.table().layout
    rng = np.random.default_rng(0)
    ages, group = rng.integers(0, 3, 300).astype(np.int8), rng.integers(0, 2, 300).astype(np.int8)
    ages[:60] = 2  # the most frequent class
    codes = rng.normal(size=(300, layout.total)).astype(np.float32)
    codes[np.arange(300), ages] += 3.0
    monkeypatch.setenv("IMG2TAB_HOME", str(tmp_path))
    tables.write_table(
        tmp_path / "tables" / "toy",
        lambda rows: codes[rows],
        pd.DataFrame({"age": ages, "group": group}),
        targets=[
            Target("age", "Age", AGES, "by hand", ordered=True),
            Target("group", "Group", ("left", "right"), "by hand"),
        ],
        layout=layout,
        backbone=DEFAULT_BACKBONE,
        key="toy",
    )
    st.cache_data.clear()
    st.cache_resource.clear()
    at = app.begun()
    app.held(at.selectbox, "frame.target").select("age")
    yield app.ready(at.run())
    st.cache_data.clear()
    st.cache_resource.clear()


def _predicted() -> dict:
    """What the terminal says of a sample about the target of three ages: the likeliest class, whatever its chance."""
    sample = sorted((files.ROOT / "assets" / "samples").glob("*.jpg"))[0]
    words = ["predict", str(sample), "--no-align", "--table", "toy", "--target", "age", "--no-quality", "--json"]
    (result,) = json.loads(CliRunner().invoke(main.app, words).stdout)["results"]
    shares = result["classes"]
    assert result["class"] == max(shares, key=shares.get) and result["probability"] == pytest.approx(
        max(shares.values())
    )
    assert result["target"] == {"under 30": "age:under_30", "30 to 59": "age:30_to_59"}.get(
        result["class"], "age:60_and_over"
    )
    return result


def test_a_page_offers_the_target_of_3_classes_and_asks_about_one_the_most_frequent_first(pages):
    from tests import app

    at = pages
    assert app.held(at.selectbox, "frame.target").value == "age"
    choice = app.held(at.selectbox, "frame.class")
    assert (choice.value, choice.options) == ("age:60_and_over", list(AGES))
    choice.select("age:under_30")
    at = app.ready(at.run())
    assert any("All 3 classes:" in caption.value for caption in at.sidebar.caption)
    assert any(caption.value.startswith("Of all 3: under 30 ") for caption in at.caption)
    shares = _predicted()["classes"]
    assert list(shares) == list(AGES) and sum(shares.values()) == pytest.approx(1)
    at = app.well(at.switch_page("views/compare.py").run())
    assert any("3 classes are mixed up" in header.value for header in at.header)
    at = app.well(at.switch_page("views/audit.py").run())
    assert any("All 3 classes at once" in text.value for text in at.markdown)
    assert app.held(at.selectbox, "frame.class").value == "age:under_30"
    app.held(at.selectbox, "frame.target").select("group")
    at = app.ready(at.run())
    assert not any("All 3 classes at once" in text.value for text in at.markdown)
    (groups,) = (each for each in at.multiselect if each.label == "Groups by")
    assert groups.options == ["Age"]
    groups.set_value(["age"])
    at = app.well(at.run())
    assert {"Under 30", "30 to 59", "60 and over"} <= set(at.dataframe[0].value.iloc[:, 0].tolist()) or any(
        "under 30" in text.value.lower() for text in at.markdown
    )

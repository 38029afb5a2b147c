"""Erasing: codes made by hand of which the direction is known, laws of a projection, and runs that keep it."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from img2tab_core import tables
from img2tab_core.audits import linear_probe
from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.layout import StyleLayout
from img2tab_core.base.records import Target
from img2tab_core.classifiers import kinds, runs
from img2tab_core.classifiers.preparation import Preparation, cell_weights, permutation_weights, prepared
from img2tab_core.classifiers.treatment import UNTREATED, Treatment, treatment_of
from img2tab_core.cli import terminal
from img2tab_core.concepts.erasing import Erasure, erasure_of

COUNT, CHANNELS, LATENT = 3000, 60, 12


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Codes are a linear image of 12 numbers: the first says `kind`, the second `group`; in training the two go
    together nine to one, in the test faces not at all."""
    rng = np.random.default_rng(0)
    kind = rng.integers(0, 2, COUNT)
    group = np.where(rng.random(COUNT) < 0.9, kind, 1 - kind)
    split = np.repeat([0, 2], [2000, 1000]).astype(np.int8)
    group[2000:] = rng.integers(0, 2, 1000)
    w = rng.normal(size=(COUNT, LATENT))
    w[:, 0] += 2.5 * kind
    w[:, 1] += 4 * group
    psi = (w @ rng.normal(size=(LATENT, CHANNELS)) + rng.normal(size=CHANNELS)).astype(np.float32)
    return tables.write_table(
        tmp_path_factory.mktemp("tables") / "toy",
        lambda rows: psi[rows],
        pd.DataFrame({"kind": kind.astype(np.int8), "group": group.astype(np.int8)}),
        targets=[Target("kind", "Kind", ("plain", "special"), ""), Target("group", "Group", ("left", "right"), "")],
        layout=StyleLayout((CHANNELS,)),
        backbone="toy",
        split=split,
        key="toy",
    )


@pytest.fixture(scope="module")
def erasure(table):
    return erasure_of(table, "kind", ["group"])


def test_erased_twice_is_erased_once_and_the_reading_is_0_afterwards(table, erasure):
    first = erasure.erased(table.psi)
    assert np.abs(erasure.readings(first)).max() < 1e-3
    np.testing.assert_allclose(erasure.erased(first), first, atol=1e-3)
    np.testing.assert_allclose(erasure.reading.T @ erasure.direction, [[1]], atol=1e-4)


def test_the_groups_are_1_apart_along_the_direction_and_their_means_coincide_within_each_class_afterwards(
    table, erasure
):
    kind, group = table.labels["kind"].to_numpy(), table.labels["group"].to_numpy()
    rows = table.rows("train")

    def apart(values):
        return [
            values[rows][(kind[rows] == c) & (group[rows] == 1)].mean(axis=0)
            - values[rows][(kind[rows] == c) & (group[rows] == 0)].mean(axis=0)
            for c in (0, 1)
        ]

    assert np.mean(apart(erasure.readings(table.psi))) == pytest.approx(1, abs=0.02)
    left = np.mean(apart(erasure.erased(table.psi) / table.stats.std), axis=0)
    assert np.abs(left).max() < 0.02 < 0.3 < np.abs(np.mean(apart(table.psi / table.stats.std), axis=0)).max()


def test_a_probe_reads_the_group_with_auc_0_99_before_and_0_55_at_most_after_and_the_class_still_with_0_9(
    table, erasure
):
    before, after = (linear_probe.readable(table, "group", erasure=way) for way in (None, erasure))
    assert before.auc > 0.98 and after.auc < 0.55
    assert after.sentence.startswith("You erased group; a linear probe reads group no better than chance: AUC 0.")
    assert linear_probe.readable(table, "kind", erasure=erasure).auc > 0.9
    assert linear_probe.readable(table, "kind").auc - linear_probe.readable(table, "kind", erasure=erasure).auc < 0.03


def test_the_difference_of_the_groups_over_all_faces_holds_the_class_and_the_one_within_the_classes_does_not(
    table, erasure
):
    rows = table.rows("train")
    kind, group = (table.labels[name].to_numpy()[rows] for name in ("kind", "group"))
    codes = table.psi[rows]

    def mean(c, g):
        return codes[(kind == c) & (group == g)].mean(axis=0)

    of_class = (mean(1, 0) - mean(0, 0) + mean(1, 1) - mean(0, 1)) / 2
    plain = codes[group == 1].mean(axis=0) - codes[group == 0].mean(axis=0)

    def cosine(first, second):
        return float(first @ second / np.linalg.norm(first) / np.linalg.norm(second))

    pure = cosine(erasure.direction[:, 0], of_class)
    assert cosine(plain, of_class) - pure > 0.3 and abs(pure) < 0.15


def test_an_erasure_survives_its_file_and_a_damaged_one_is_refused(erasure, tmp_path):
    erasure.write(tmp_path / "erasure.npz")
    assert Erasure.read(tmp_path / "erasure.npz").key == erasure.key
    (tmp_path / "erasure.npz").write_bytes((tmp_path / "erasure.npz").read_bytes()[:900])
    with pytest.raises(ValueError, match="damaged"):
        Erasure.read(tmp_path / "erasure.npz")


@pytest.mark.parametrize(
    ("names", "words"),
    [((), "At least one"), (("kind",), "something else than what is predicted"), (("group", "group"), "once")],
)
def test_what_cannot_be_erased_is_refused_in_a_sentence(table, names, words):
    with pytest.raises(Img2TabError, match=words):
        erasure_of(table, "kind", names)


def test_test_faces_may_not_say_what_is_erased(table):
    with pytest.raises(Img2TabError, match="training faces"):
        erasure_of(table, "kind", ["group"], rows=np.arange(2500))


def test_weights_of_4_cells_worked_by_hand():
    """6, 2, 1 and 1 faces of 10: P(group) P(class) / P(both) is 0.8 * 0.7 / 0.6 for the first."""
    labels, groups = np.repeat([0, 1, 0, 1], [6, 2, 1, 1]), np.repeat([0.0, 0.0, 1.0, 1.0], [6, 2, 1, 1])
    weights = cell_weights(labels, groups[:, None])
    np.testing.assert_allclose(weights[[0, 6, 8, 9]], [0.56 / 0.6, 0.24 / 0.2, 0.14 / 0.1, 0.06 / 0.1])
    for group in (0, 1):
        share = weights[(labels == 1) & (groups == group)].sum() / weights[groups == group].sum()
        assert share == pytest.approx(0.3)
    assert cell_weights(labels, np.where(np.arange(10) == 3, np.nan, groups)[:, None])[3] == pytest.approx(1, abs=0.05)


def test_permutation_weights_leave_a_measure_and_the_class_uncorrelated_without_any_group():
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 2, 4000)
    measure = rng.normal(size=4000) + 1.2 * labels
    weights = permutation_weights(measure[:, None], labels)

    def correlation(weights):
        covariance = np.cov(measure, labels, aweights=weights)
        return covariance[0, 1] / np.sqrt(covariance[0, 0] * covariance[1, 1])

    assert correlation(np.ones(4000)) > 0.5 and abs(correlation(weights)) < 0.08 and weights.mean() == pytest.approx(1)


def test_a_face_whose_measure_is_unknown_counts_1_and_the_others_are_weighted_all_the_same():
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 2, 2000)
    values = np.column_stack([rng.normal(size=2000) + labels, (rng.random(2000) < 0.1 + 0.8 * labels).astype(float)])
    values[0] = np.nan
    weights = permutation_weights(values, labels)
    shares = [np.average(values[labels == c, 1][1:], weights=weights[labels == c][1:]) for c in (0, 1)]
    assert abs(shares[1] - shares[0]) < 0.15 < 0.7 and weights[0] == pytest.approx(1, abs=0.05)


def test_classes_cannot_be_balanced_over_a_group_that_one_of_them_lacks(table):
    rows, labels = tables.labelled(table, "kind", "train")
    few = rows[(labels == 0) | (table.labels["group"].to_numpy()[rows] == 1)]
    with pytest.raises(Img2TabError, match="No training face is labelled special and left"):
        prepared(table, "kind", Treatment(balanced=("group",)), rows=few, labels=table.labels["kind"].to_numpy()[few])


def test_balance_alone_is_over_the_families_that_are_excluded_and_numbers_are_none(studio):
    if studio.description() is None:
        pytest.skip("the families of this backbone are not described")
    asked = {"table": studio.table(), "balance": True, "copies": False}
    both = terminal.treatment("", "chin-facial-hair,5", **asked)
    assert both == Treatment(balanced=("concept:chin-facial-hair",))
    assert terminal.treatment("young", "chin-facial-hair", **asked) == treatment_of(("young",), balance=True)
    with pytest.raises(Img2TabError, match="--exclude FAMILY"):
        terminal.treatment("", "5", **asked)


def test_an_excluded_channel_decides_nothing_where_something_is_erased_as_well(table):
    rows, labels = tables.labelled(table, "kind", "train")
    without = frozenset(range(10))
    measured = prepared(table, "kind", Treatment(erased=("group",)), rows=rows, labels=labels, excluded=without)
    model = kinds.make("logistic", excluded=without, screen=None)
    model.fit(table.psi, labels, rows=rows, order=measured.order, preparation=measured)
    code = np.array(table.psi[:3])
    before = model.predict_proba(code)
    code[:, :10] += 50
    np.testing.assert_array_equal(model.predict_proba(code), before)
    code[0, 3] = np.nan
    with pytest.raises(Img2TabError, match="finite"):
        model.predict_proba(code)


def _of_codes(folder, psi, labels):
    return tables.write_table(
        folder / "toy",
        lambda rows: psi[rows],
        pd.DataFrame(labels),
        targets=[Target(name, name.title(), ("no", "yes"), "") for name in labels],
        layout=StyleLayout((psi.shape[1],)),
        backbone="toy",
        split=np.zeros(len(psi), np.int8),
        key="toy",
    )


def test_of_3000_dimensions_and_of_8_with_a_constant_channel_the_difference_of_the_means_goes_to_0(tmp_path):
    rng = np.random.default_rng(0)
    for width in (3000, 8):
        kind, group = (rng.integers(0, 2, 2400).astype(np.int8) for _ in range(2))
        psi = rng.normal(size=(2400, width)).astype(np.float32)
        psi[:, 5:205] += 0.5 * group[:, None]
        psi[:, 2] = 3.0
        found = _of_codes(tmp_path / str(width), psi, {"kind": kind, "group": group})
        after = erasure_of(found, "kind", ["group"]).erased(found.psi)
        apart = [
            np.mean(
                [c[(kind == k) & (group == 1)].mean(0) - c[(kind == k) & (group == 0)].mean(0) for k in (0, 1)], axis=0
            )
            for c in (psi, after)
        ]
        assert np.abs(apart[0]).max() > 0.4 and np.abs(apart[1]).max() < 0.002, width


def test_concepts_that_are_described_anew_make_another_run_of_what_erases_them(table, monkeypatch):
    ids = []
    for key in ("one", "two"):
        monkeypatch.setattr(runs, "backbone_key", lambda name: "weights")
        monkeypatch.setattr(runs, "open_description", lambda name, weights, key=key: SimpleNamespace(key=key))
        ids.append(
            [
                runs.run_id_of(table, "kind", frozenset(), 0, "logistic", Treatment(erased=(name,)))
                for name in ("group", "concept:hair")
            ]
        )
    assert ids[0][0] == ids[1][0] and ids[0][1] != ids[1][1]


@pytest.mark.parametrize("kind", ["catboost", "logistic"])
def test_balanced_and_erased_the_gap_is_a_third_or_less_and_is_kept_in_its_files(table, kind, tmp_path):
    rows, labels = tables.labelled(table, "kind", "train")
    unseen, truth = tables.labelled(table, "kind", "test")
    groups = table.labels["group"].to_numpy()[unseen]

    def gap(model):
        called = model.probabilities(table.psi, unseen)[:, 1] > 0.5
        return max(
            abs(called[(truth == c) & (groups == 1)].mean() - called[(truth == c) & (groups == 0)].mean())
            for c in (0, 1)
        )

    gaps = []
    for treatment in (UNTREATED, Treatment(erased=("group",), balanced=("group",))):
        model = kinds.make(kind, screen=None, thread_count=1)
        if kind == "catboost":
            model.set_params(iterations=80, learning_rate=0.2)
        measured = prepared(table, "kind", treatment, rows=rows, labels=labels)
        model.fit(table.psi, labels, rows=rows, order=measured.order, preparation=measured)
        gaps.append(gap(model))
    assert gaps[0] > 0.25 and gaps[1] < gaps[0] / 3
    kinds.save(model, tmp_path / "run")
    again = kinds.load(tmp_path / "run")
    np.testing.assert_array_equal(again.probabilities(table.psi, unseen), model.probabilities(table.psi, unseen))
    code = table.psi[unseen[:1]]
    np.testing.assert_allclose(again.predict_proba(code), model.probabilities(table.psi, unseen[:1]), atol=1e-6)
    (tmp_path / "run" / "erasure.npz").unlink()
    with pytest.raises(Img2TabError, match="no readable classifier"):
        kinds.load(tmp_path / "run")


def test_copies_on_the_other_side_are_as_many_keep_their_labels_and_mirror_the_reading(table):
    rows, labels = tables.labelled(table, "kind", "train")
    measured = prepared(table, "kind", treatment_of(("group",), copies=True), rows=rows, labels=labels)
    everyone = np.arange(CHANNELS)
    codes, doubled, weights = measured.applied(table.psi, rows, labels, table.psi[rows].copy(order="F"), everyone)
    assert codes.shape == (2 * len(rows), CHANNELS) and weights is None
    np.testing.assert_array_equal(doubled, np.concatenate([labels, labels]))
    readings = measured.mirror.readings(codes)
    np.testing.assert_allclose(readings[len(rows) :], -readings[: len(rows)], atol=1e-3)


def test_a_treatment_is_told_in_words_and_survives_json():
    made = treatment_of(("group",), balance=True)
    assert made.sentence({"group": "Group"}) == "erases group and is balanced over group"
    assert Treatment.from_json(made.to_json()) == made and not UNTREATED and UNTREATED.to_json() == {}
    with pytest.raises(Img2TabError, match="Name the attribute"):
        treatment_of((), balance=True)


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("catboost", {"iterations": 40, "learning_rate": 0.2}),
        ("xgboost", {"iterations": 40, "learning_rate": 0.2}),
        ("lightgbm", {"iterations": 40, "learning_rate": 0.2}),
        ("forest", {"trees": 40}),
        ("logistic", {}),
        ("tabnet", {"epochs": 12}),
    ],
)
def test_faces_that_count_a_thousandth_do_not_teach_any_kind_their_wrong_labels(kind, settings):
    if kinds.absent(kind):
        pytest.skip(kinds.absent(kind))
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, 900)
    codes = (rng.normal(size=(900, 8)) + 2 * truth[:, None]).astype(np.float32)
    labels, wrong = truth.copy(), np.arange(900) < 600
    labels[wrong] = 1 - truth[wrong]
    weights = np.where(wrong, 0.001, 1.0)
    model = kinds.make(kind, screen=None, thread_count=1).set_params(**settings)
    model.fit(codes, labels, preparation=Preparation(None, None, weights / weights.mean(), np.arange(8)))
    assert (model.predict(codes) == truth).mean() > 0.85
    model.fit(codes, labels)
    assert (model.predict(codes) == truth).mean() < 0.5


def test_within_each_of_3_classes_the_groups_coincide_after_an_erasure_and_the_middle_class_can_still_be_told(table):
    rng = np.random.default_rng(5)
    kind = table.labels["kind"].to_numpy()
    band = np.where(rng.random(COUNT) < 0.5, 2 * kind, 1).astype(np.int8)
    several = replace(
        table,
        labels=table.labels.assign(band=band),
        many=(Target("band", "Band", ("low", "middle", "high"), "", ordered=True),),
    )
    rows, labels = tables.labelled(several, "band", "train")
    measured = prepared(several, "band", Treatment(erased=("group",)), rows=rows, labels=labels)
    group, left = several.labels["group"].to_numpy()[rows], measured.erasure.erased(table.psi, rows) / table.stats.std
    apart = [
        left[(labels == c) & (group == 1)].mean(axis=0) - left[(labels == c) & (group == 0)].mean(axis=0)
        for c in range(3)
    ]
    assert np.abs(np.mean(apart, axis=0)).max() < 0.02
    model = kinds.make("catboost", screen=None, thread_count=1).set_params(iterations=60, learning_rate=0.2)
    model.fit(table.psi, labels, rows=rows, order=measured.order, preparation=measured)
    assert model.classes_.tolist() == [0, 1, 2] and model.probabilities(table.psi, rows[:5]).shape == (5, 3)

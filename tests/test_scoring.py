"""Distances between the classes: exact against SciPy, and the laws a distance obeys."""

import numpy as np
import pytest
from scipy.stats import wasserstein_distance

from img2tab_core import scoring
from img2tab_core.errors import Img2TabError


def ones(d):
    return np.ones(d)


def test_a_case_worked_by_hand():
    # {0, 1} against {2, 2, 5}: quantiles differ by 2 on [0, 1/2), 1 on [1/2, 2/3), 4 on [2/3, 1):
    # 1 + 1/6 + 4/3 = 5/2; with a standard deviation of 2, 5/4. Means: 3 - 1/2 = 5/2, so 5/4 as well.
    psi = np.array([[0.0], [2.0], [1.0], [5.0], [2.0]])
    labels = np.array([0, 1, 0, 1, 1])
    assert scoring.wasserstein(psi, labels, std=np.array([2.0])) == pytest.approx([1.25], abs=1e-15)
    assert scoring.direction(psi, labels, std=np.array([2.0])) == pytest.approx([1.25], abs=1e-15)


def test_crossing_classes_have_a_distance_but_no_direction():
    # {-1, 1} against {0, 0}: each half moves by 1, and the means are equal.
    psi, labels = np.array([[-1.0], [1.0], [0.0], [0.0]]), np.array([1, 1, 0, 0])
    assert scoring.wasserstein(psi, labels, std=ones(1)) == pytest.approx([1.0])
    assert scoring.direction(psi, labels, std=ones(1)) == pytest.approx([0.0])


@pytest.mark.parametrize("seed", range(40))
def test_equals_scipy_to_1e_6_on_40_random_tables(seed):
    rng = np.random.default_rng(seed)
    n0, n1 = rng.choice([1, 2, 3, 7, 20, 64, 150], 2)
    d = int(rng.integers(1, 12))
    kind = seed % 4
    if kind == 0:
        psi = rng.normal(size=(n0 + n1, d)).astype(np.float32)
    elif kind == 1:  # whole numbers, many ties
        psi = rng.integers(-3, 4, (n0 + n1, d))
    elif kind == 2:  # far from zero, heavy tails
        psi = (1e4 + rng.standard_cauchy((n0 + n1, d))).astype(np.float32)
    else:            # float64, rounded, some columns constant
        psi = np.round(rng.normal(size=(n0 + n1, d)), 1)
        psi[:, rng.random(d) < 0.4] = 2.5
    labels = rng.permutation(np.repeat([0, 1], [n0, n1]))
    std = rng.uniform(0.1, 10, d)
    expected = [wasserstein_distance(psi[labels == 0, i], psi[labels == 1, i]) / std[i] for i in range(d)]
    for layout in (np.asfortranarray, np.ascontiguousarray):
        got = scoring.wasserstein(layout(psi), labels, std=std, block=int(rng.integers(1, 6)))
        assert got.dtype == np.float64
        np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-6)
        assert (got >= np.abs(scoring.direction(psi, labels, std=std)) - 1e-9).all()


def table(seed=0, n=120, d=9):
    rng = np.random.default_rng(seed)
    labels = (rng.random(n) < 0.3).astype(np.int8)
    return rng.normal(size=(n, d)) + labels[:, None] * np.linspace(0, 2, d), labels


def test_is_symmetric_and_the_direction_changes_its_sign():
    psi, labels = table()
    np.testing.assert_allclose(
        scoring.wasserstein(psi, labels, std=ones(9)), scoring.wasserstein(psi, 1 - labels, std=ones(9)), rtol=1e-12
    )
    there = scoring.direction(psi, labels, std=ones(9))
    assert np.array_equal(there, -scoring.direction(psi, 1 - labels, std=ones(9)))


def test_a_shift_of_100_changes_nothing_and_a_scale_of_3_triples_it():
    psi, labels = table(1)
    plain = scoring.wasserstein(psi, labels, std=ones(9))
    np.testing.assert_allclose(scoring.wasserstein(psi + 100, labels, std=ones(9)), plain, rtol=1e-9)
    np.testing.assert_allclose(scoring.wasserstein(psi * -3, labels, std=ones(9)), 3 * plain, rtol=1e-9)
    np.testing.assert_allclose(scoring.wasserstein(psi * 3, labels, std=3 * ones(9)), plain, rtol=1e-9)


def test_moving_one_class_by_7_is_a_distance_of_7():
    psi, _ = table(2)
    both, labels = np.concatenate([psi, psi + 7]), np.repeat([0, 1], len(psi))
    np.testing.assert_allclose(scoring.wasserstein(both, labels, std=ones(9)), 7, rtol=1e-12)
    np.testing.assert_allclose(scoring.direction(both, labels, std=ones(9)), 7, rtol=1e-12)


def test_neither_the_block_nor_the_memory_bound_changes_a_bit(monkeypatch):
    psi, labels = table(3)
    psi = np.asfortranarray(psi, np.float32)
    whole = scoring.wasserstein(psi, labels, std=ones(9), block=9)
    assert np.array_equal(scoring.wasserstein(psi, labels, std=ones(9), block=4), whole)
    monkeypatch.setattr(scoring, "BLOCK_VALUES", 250)  # two channels of 120 faces
    assert np.array_equal(scoring.wasserstein(psi, labels, std=ones(9)), whole)


def test_channels_without_spread_get_0_even_where_the_rows_differ():
    psi, labels = table(4)
    std = np.where(np.arange(9) == 5, 0.0, 1.0)
    assert scoring.wasserstein(psi, labels, std=std)[5] == 0
    assert scoring.direction(psi, labels, std=std)[5] == 0


def test_a_read_only_memory_map_with_chosen_rows_gives_the_same_numbers(tmp_path):
    psi, labels = table(5)
    psi = psi.astype(np.float32)
    np.save(tmp_path / "psi.npy", np.asfortranarray(psi))
    mapped = np.load(tmp_path / "psi.npy", mmap_mode="r")
    rows = np.random.default_rng(0).permutation(120)[:50]
    for score in (scoring.wasserstein, scoring.direction):
        np.testing.assert_allclose(
            score(mapped, labels[rows], std=ones(9), rows=rows), score(psi[rows], labels[rows], std=ones(9)), rtol=1e-12
        )


def test_progress_ends_at_1():
    psi, labels = table(6)
    seen = []
    scoring.wasserstein(psi, labels, std=ones(9), block=4, progress=seen.append)
    assert seen == pytest.approx([4 / 9, 8 / 9, 1])


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"labels": np.array([0, 1, -1, 0])}, "0 or 1"),
        ({"labels": np.array([0, 1, 0.5, 0])}, "0 or 1"),
        ({"labels": np.zeros(4, int)}, "Both classes"),
        ({"labels": np.array([0, 1, 1])}, "one label for each face"),
        ({"std": np.ones(3)}, "2 finite numbers"),
        ({"std": np.array([1, np.nan])}, "finite"),
        ({"std": np.array([1, -1.0])}, "not negative"),
        ({"psi": np.ones(4)}, "shape"),
        ({"psi": np.array([[0, 0], [1, np.nan], [2, 0], [3, 0]])}, "channel 1"),
        ({"psi": np.array([[np.inf, 0], [1, 0], [2, 0], [3, 0]])}, "channel 0"),
        ({"rows": np.array([0, 1, 2, 4])}, "below 4"),
        ({"rows": np.array([0, 1, 2, -1])}, "not negative"),
    ],
)
def test_what_does_not_fit_is_refused_in_a_sentence(change, sentence):
    arguments = {"psi": np.arange(8.0).reshape(4, 2), "labels": np.array([0, 1, 1, 0]), "std": np.ones(2)} | change
    for score in (scoring.wasserstein, scoring.direction):
        with pytest.raises(Img2TabError, match=sentence):
            score(arguments.pop("psi") if "psi" in arguments else change["psi"], **arguments)
        arguments["psi"] = change.get("psi", np.arange(8.0).reshape(4, 2))


def test_top_takes_the_largest_first_and_ties_by_the_lower_index():
    values = [1.0, 3.0, 2.0, 3.0, 0.0]
    assert scoring.top(values, 3).tolist() == [1, 3, 2]
    assert scoring.top(values, 3, exclude={1}).tolist() == [3, 2, 0]
    assert scoring.top(values, 99, exclude=[0, 4]).tolist() == [1, 3, 2]
    assert scoring.top(values, 0).tolist() == []
    assert scoring.top(np.zeros(1000), 1000).tolist() == list(range(1000))
    with pytest.raises(Img2TabError, match="without gaps"):
        scoring.top([1.0, np.nan], 1)

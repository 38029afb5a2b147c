"""Style values as whole numbers: rounded once, summed exactly, in Python's whole numbers where 64 bits do not do."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest

from img2tab_core.concepts.exact_sums import Grid, products


def grid_of(values, faces=None):
    return Grid.of(values.min(axis=1).astype(float), values.max(axis=1).astype(float), faces or values.shape[1])


@pytest.mark.parametrize("faces", [2, 1000, 200_000, 10_000_000])
def test_a_value_moves_by_at_most_half_a_unit_and_the_unit_is_a_share_of_the_spread(faces):
    rng = np.random.default_rng(0)
    values = np.stack([rng.normal(size=100), 1e4 + rng.normal(size=100), 1e-30 * rng.normal(size=100)])
    grid = grid_of(values, faces)
    units = 2.0**grid.exponent
    back = (grid.bits(values) - grid.origin[:, None]) * units[:, None]  # above the least value
    exact = values - values.min(axis=1, keepdims=True)
    assert (np.abs(back - exact) <= 1.01 * units[:, None]).all()  # half for the value, half for the least one
    room = min(63 - faces.bit_length(), 51)
    assert (
        units <= np.maximum(2.0 ** (1 - room) * np.ptp(values, axis=1), 2.0**-50 * np.abs(values).max(axis=1))
    ).all()


def test_sums_of_1000_values_are_exact_in_any_order_and_the_mean_is_the_nearest_number():
    values = np.random.default_rng(1).standard_cauchy((5, 1000)).astype(np.float32)
    grid = grid_of(values)
    whole = grid.bits(values) - grid.origin[:, None]
    sums = [sum(map(int, row)) for row in whole]
    assert whole[:, ::-1].sum(axis=1).tolist() == sums
    exact = [
        Fraction(total, 1000) * Fraction(2) ** int(exponent)
        for total, exponent in zip(sums, grid.exponent, strict=True)
    ]
    assert grid.means(np.array(sums, object), 1000).tolist() == [float(mean) for mean in exact]


def test_all_faces_at_the_greatest_value_stay_below_2_to_the_63():
    values = np.array([[0.0, 3.999]])
    for faces in (2, 3, 1000, 1 << 20, 10**9):
        grid = grid_of(values, faces)
        top = int((grid.bits(values) - grid.origin[:, None])[0, 1])
        assert top * faces < 2**63


def test_3_channels_with_what_is_no_finite_number_have_no_mean_and_the_4th_has_one():
    values = np.array([[0, np.nan], [-np.inf, 1], [0, 1e308], [0, 1]])
    with np.errstate(invalid="ignore"):
        means = grid_of(values).means(np.array([1, 1, 1, 1], object), 1)
    assert np.isnan(means).tolist() == [True, True, True, False]


@pytest.mark.parametrize("size", [1, 2**20, 2**61])
def test_the_sum_of_500_products_is_that_of_pythons_whole_numbers(size):
    rng = np.random.default_rng(2)
    values, factors = rng.integers(0, 2**51, 500), rng.integers(-(size // 500 + 1), size // 500 + 1, 500)
    ends = np.array([0, 0, 17, 400, 500])
    expected = [sum(int(v) * int(f) for v, f in zip(values[a:b], factors[a:b], strict=True)) for a, b in pairwise(ends)]
    assert products(values, factors, ends, max(size, 1000)).tolist() == expected

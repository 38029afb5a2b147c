"""Distances over shards: the bits of the local answer, however the faces lie, and a bound of it before the last look."""

from __future__ import annotations

import pickle
from functools import partial

import numpy as np
import pytest
from scipy.stats import wasserstein_distance

from img2tab_core.base.errors import Img2TabError
from img2tab_core.concepts import sharded, wasserstein
from img2tab_core.concepts.exact_sums import Grid, products
from tests.test_scoring import kinds


def split(psi, labels, bounds, *, rows=None):
    """Shards of the row ranges between `bounds`; each question and each answer is sent as to another process."""
    rows = np.arange(len(psi)) if rows is None else rows
    parts = [np.flatnonzero((rows >= start) & (rows < stop)) for start, stop in zip(bounds, bounds[1:], strict=False)]
    shards = [sharded.Shard(psi, rows[part], labels[part]) for part in parts]

    def ask(question):
        for shard in shards:
            answer = pickle.loads(pickle.dumps(question))(shard)  # noqa: S301
            yield pickle.loads(pickle.dumps(vars(answer)))  # noqa: S301

    return ask


def bounds_of(n, shards):
    """Where so many shards of n rows begin and end: not of one size, and one of them without a row."""
    cuts = np.sort(np.random.default_rng(shards).integers(0, n, shards - 1))
    return [0, *([cuts[0]] if shards > 2 else []), *cuts[: shards - 1 - (shards > 2)], n]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("n0", "n1"), [(1, 6000), (3, 4000), (2500, 2500), (1700, 5200)])
def test_1_2_and_7_shards_have_the_bits_of_the_local_answer_on_18_kinds_of_channels(n0, n1, dtype):
    n = n0 + n1
    labels = np.random.default_rng(1).permutation(np.repeat([0, 1], [n0, n1]))
    psi = np.stack(list(kinds(n, labels).values()), axis=1).astype(dtype, order="F")
    std = np.linspace(0.5, 2, psi.shape[1])
    local = wasserstein.distance_and_direction(psi, labels, std=std)
    for shards, buckets in ((1, 256), (2, 16), (7, 256), (7, 1)):
        answer = sharded.over(split(psi, labels, bounds_of(n, shards)), (n0, n1), std=std, buckets=buckets)
        assert np.array_equal(answer.distance, local[0]) and np.array_equal(answer.direction, local[1])
        assert (answer.low <= answer.distance).all() and (answer.distance <= answer.high).all()

"""Wasserstein-1 of every concept against one call of SciPy per concept, and against POT, which takes many at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from scipy.stats import wasserstein_distance

from img2tab_core import tables
from img2tab_core.concepts import wasserstein
from tests.benchmarks.conftest import TARGET
from tests.benchmarks.wasserstein import SHARES, _written

FACES, CHANNELS, WHOLE = 162_770, 200, 9088  # CelebA's training faces; a sample of the 9,088 concepts of StyleGAN2
SAMPLED = 40
PLAIN = f"SciPy per concept, from {SAMPLED} concepts"
AT_ONCE = 8  # concepts in one call of POT: more are no faster and need 250 MB for every 8
POT = f"POT's ot.wasserstein_1d, {AT_ONCE} concepts a call, as many threads as ours, from {SAMPLED} concepts"


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A column-major map on disk of 162,770 faces x 200 concepts: eight in ten continuous, whole numbers, constants."""
    rng = np.random.default_rng(0)
    labels = (rng.random(FACES) < 0.42).astype(np.int8)
    psi, _ = _written(tmp_path_factory.mktemp("large") / "psi.npy", labels, CHANNELS, rng)
    return psi, labels


@pytest.mark.parametrize("way", ["ours", PLAIN])
def bench_default_table(timed, door, way):
    table = door.table()
    rows, labels = tables.labelled(table, TARGET, "train")
    sample = np.random.default_rng(0).choice(table.psi.shape[1], SAMPLED, replace=False)
    first, second = rows[labels == 0], rows[labels == 1]

    def ours():
        wasserstein.wasserstein(table.psi, labels, std=table.stats.std, rows=rows)

    def plain():
        for channel in sample:
            values = np.asarray(table.psi[:, channel])
            wasserstein_distance(values[first], values[second])

    timed(
        ours if way == "ours" else plain,
        rounds=3,
        way=way,
        times=1 if way == "ours" else len(table.stats.std) / SAMPLED,
        what=f"Wasserstein-1, the default table: {len(rows):,} faces x {table.psi.shape[1]:,} concepts",
    )


@pytest.mark.parametrize("way", ["ours", POT])
def bench_default_table_beside_pot(timed, door, way):
    table = door.table()
    rows, labels = tables.labelled(table, TARGET, "train")
    sample = np.sort(np.random.default_rng(0).choice(table.psi.shape[1], SAMPLED, replace=False))
    pot = _pot(table.psi, (rows[labels == 0], rows[labels == 1]), sample)

    def ours():
        wasserstein.wasserstein(table.psi, labels, std=table.stats.std, rows=rows)

    timed(
        ours if way == "ours" else pot,
        rounds=3,
        way=way,
        times=1 if way == "ours" else len(table.stats.std) / SAMPLED,
        what="Wasserstein-1, the default table, beside the batched rival",
    )


@pytest.mark.parametrize("way", ["ours", POT])
def bench_large_table_beside_pot(timed, large, way):
    psi, labels = large
    sample = np.linspace(0, CHANNELS - 1, SAMPLED).astype(int)
    pot = _pot(psi, (np.flatnonzero(labels == 0), np.flatnonzero(labels == 1)), sample)

    def ours():
        wasserstein.wasserstein(psi, labels, std=np.ones(CHANNELS))

    timed(
        ours if way == "ours" else pot,
        rounds=3,
        way=way,
        times=WHOLE / (CHANNELS if way == "ours" else SAMPLED),
        what=f"Wasserstein-1, {FACES:,} faces x {WHOLE:,} concepts, beside the batched rival",
    )


def _pot(psi: np.ndarray, classes: Sequence[np.ndarray], channels: np.ndarray) -> Callable[[], np.ndarray]:
    """POT's distances of these channels, style units: what it answers is SciPy's. Skips where it is not installed.

    In float64 and column-major, its fastest: of float32 it adds up the weights in float32 and is off by up to 0.007.
    """
    ot = pytest.importorskip("ot", reason="POT is not installed: pip install -e .[rivals]")
    parts = [channels[part] for part in wasserstein.parts_of(len(channels), AT_ONCE)]

    def some(part: np.ndarray) -> np.ndarray:
        values = psi[:, part].astype(np.float64, order="F")
        return ot.wasserstein_1d(*(np.asarray(values[rows], order="F") for rows in classes))

    def pot() -> np.ndarray:
        with ThreadPoolExecutor(min(wasserstein.THREADS, wasserstein._cores())) as pool:
            return np.concatenate(list(pool.map(some, parts)))

    columns = [psi[:, at].astype(np.float64) for at in channels[:: SAMPLED // 5]]
    expected = [wasserstein_distance(values[classes[0]], values[classes[1]]) for values in columns]
    np.testing.assert_allclose(pot()[:: SAMPLED // 5], expected, rtol=1e-6, atol=1e-9)
    return pot


@pytest.mark.parametrize("way", ["ours", PLAIN])
def bench_large_table(timed, large, way):
    psi, labels = large
    sample = np.linspace(0, CHANNELS - 1, SAMPLED).astype(int)  # in proportion to the kinds of concept
    first, second = labels == 0, labels == 1

    def ours():
        wasserstein.wasserstein(psi, labels, std=np.ones(CHANNELS))

    def plain():
        for channel in sample:
            wasserstein_distance(psi[first, channel], psi[second, channel])

    timed(
        ours if way == "ours" else plain,
        rounds=3,
        way=way,
        faster=30,
        times=WHOLE / (CHANNELS if way == "ours" else SAMPLED),
        what=f"Wasserstein-1, {FACES:,} faces x {WHOLE:,} concepts (times {WHOLE} / {CHANNELS} of a sample: "
        + ", ".join(f"{share:.0%} {kind}" for kind, share in SHARES.items())
        + ")",
    )


@pytest.mark.parametrize("size", [10_000, 40_000, 160_000])
def bench_growth(timed, large, size):
    psi, labels = large
    timed(
        lambda: wasserstein.wasserstein(psi[:size], labels[:size], std=np.ones(CHANNELS)),
        growth="W1",
        over="faces",
        size=size,
        rounds=3,
    )

"""Wasserstein-1 of every channel of a large table: ours against one call of SciPy per channel, in the same run."""

from __future__ import annotations

import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy.stats import wasserstein_distance

from img2tab_core.concepts import wasserstein

SHARES = {"continuous": 0.8, "whole numbers": 0.1, "constant": 0.1}  # of the channels
REPEATS = 5


def measure_wasserstein(faces: int = 162_770, channels: int = 400, sampled: int = 20) -> dict:
    """What one channel costs in both ways, and how far their values differ.

    A column-major table of its own on disk, warm, faces x channels, 42 % of class 1, classes 0 to 1 standard deviations
    apart; eight channels in ten continuous, one of whole numbers, one constant. SciPy does `sampled` of the channels,
    at least two of each kind. Least of 5 repeats, ours and SciPy in turn. Seconds are per channel; extra_mb is the
    most that ours allocates at once.
    """
    rng = np.random.default_rng(0)
    labels = (rng.random(faces) < 0.42).astype(np.int8)
    with tempfile.TemporaryDirectory() as folder:
        psi, parts = _written(Path(folder) / "psi.npy", labels, channels, rng)
        std = np.ones(channels)
        tracemalloc.start()
        try:
            found = wasserstein.wasserstein(psi, labels, std=std)
            extra = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        kinds, difference = {}, 0.0
        for name, part in parts.items():
            chosen = np.unique(
                np.linspace(part.start, part.stop - 1, max(2, round(sampled * SHARES[name]))).astype(int)
            )
            expected, ours, theirs = None, [], []
            for _ in range(REPEATS):
                seconds, expected = _seconds(lambda chosen=chosen: _one_by_one(psi, labels, chosen))
                theirs.append(seconds / len(chosen))
                seconds, _ = _seconds(lambda part=part: wasserstein.wasserstein(psi[:, part], labels, std=std[part]))
                ours.append(seconds / (part.stop - part.start))
            kinds[name] = {
                "channels": part.stop - part.start,
                "sampled": len(chosen),
                "ours": min(ours),
                "scipy": min(theirs),
                "ratio": min(theirs) / min(ours),
            }
            difference = max(difference, float((np.abs(found[chosen] - expected) / np.maximum(expected, 1e-12)).max()))
    ours, theirs = (sum(one["channels"] * one[way] for one in kinds.values()) / channels for way in ("ours", "scipy"))
    return {
        "faces": faces,
        "channels": channels,
        "sampled": sum(one["sampled"] for one in kinds.values()),
        "threads": min(wasserstein.THREADS, wasserstein._cores()),
        "ours": ours,
        "scipy": theirs,
        "ratio": theirs / ours,
        "difference": difference,
        "extra_mb": extra / 1e6,
        "kinds": kinds,
    }


def _written(
    file: Path, labels: np.ndarray, channels: int, rng: np.random.Generator
) -> tuple[np.ndarray, dict[str, slice]]:
    """The table, (N, D) read-only column-major map, and which channels are of which kind."""
    bounds = np.rint(np.cumsum([0, *SHARES.values()]) * channels).astype(int)
    parts = {name: slice(*map(int, bounds[at : at + 2])) for at, name in enumerate(SHARES)}
    psi = np.lib.format.open_memmap(file, "w+", np.float32, (channels, len(labels)))
    for index, row in enumerate(psi):
        row[:] = rng.standard_normal(len(labels), np.float32) + np.float32(index / channels) * labels
    for index in range(parts["whole numbers"].start, parts["whole numbers"].stop):
        np.rint(2 * psi[index], out=psi[index])
    psi[parts["constant"]] = 2.5
    psi.flush()
    del psi
    return np.load(file, mmap_mode="r").T, parts


def _one_by_one(psi: np.ndarray, labels: np.ndarray, channels: np.ndarray) -> np.ndarray:
    """The naive way: SciPy, channel by channel."""
    first, second = labels == 0, labels == 1
    return np.array([wasserstein_distance(psi[first, at], psi[second, at]) for at in channels])


def _seconds(work: Callable[[], np.ndarray]) -> tuple[float, np.ndarray]:
    started = time.perf_counter()
    result = work()
    return time.perf_counter() - started, result

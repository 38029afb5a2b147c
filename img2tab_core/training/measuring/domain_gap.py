"""How far the style codes of real portraits lie from those of the table, layer by layer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.layout import StyleLayout

LOW, HIGH = 1, 99  # percentiles of the table between which a value is "inside": 2 % of the table's own lie outside


@dataclass(frozen=True)
class LayerGap:
    """One style layer.

    shift: the codes' mean minus the table's, in the table's standard deviations, root mean square over channels;
    spread: the codes' standard deviation over the table's, median over channels; outside: share of values (faces
    times channels) outside the table's 1 to 99 % range. Channels that are constant in the table are left out.
    """

    layer: int
    channels: int
    shift: float
    spread: float
    outside: float


def domain_gap(codes: np.ndarray, table: np.ndarray, layout: StyleLayout) -> list[LayerGap]:
    """codes (n, D) of portraits against table (N, D), style units -> one row per layer."""
    rows = []
    for layer, part in enumerate(_layers(codes, table, layout)):
        (real, drawn), std = part
        low, high = np.percentile(drawn, [LOW, HIGH], axis=1, keepdims=True)
        rows.append(
            LayerGap(
                layer,
                len(real),
                _shift(real, drawn, std),
                float(np.median(real.std(axis=1) / std)),
                float(((real < low) | (real > high)).mean()),
            )
        )
    return rows


def mean_shift(codes: np.ndarray, table: np.ndarray, layout: StyleLayout) -> list[float]:
    """Only `LayerGap.shift` of every layer."""
    return [_shift(*part, std) for part, std in _layers(codes, table, layout)]


def over_all(rows: list[LayerGap]) -> LayerGap:
    """All layers as one: every channel counts the same, the spread is the mean over layers; its layer is -1."""
    channels = np.array([row.channels for row in rows])
    mean = lambda values: float(np.average(list(values), weights=channels))  # noqa: E731
    return LayerGap(
        -1,
        int(channels.sum()),
        mean(row.shift**2 for row in rows) ** 0.5,
        mean(row.spread for row in rows),
        mean(row.outside for row in rows),
    )


def _layers(
    codes: np.ndarray, table: np.ndarray, layout: StyleLayout
) -> Iterator[tuple[tuple[np.ndarray, np.ndarray], np.ndarray]]:
    """Per layer ((codes (c, n), table (c, N)), the table's standard deviation (c,)), all float64."""
    for values in (codes, table):
        if values.ndim != 2 or values.shape[1] != layout.total or not len(values):
            raise Img2TabError(
                f"Style codes must have shape (faces, {layout.total}), got {values.shape}. Encode again."
            )
    for start, stop in zip(layout.offsets, layout.offsets[1:], strict=False):
        real, drawn = (np.asarray(values[:, start:stop], np.float64).T for values in (codes, table))
        std = drawn.std(axis=1)
        alive = std > 0
        yield (real[alive], drawn[alive]), std[alive]


def _shift(real: np.ndarray, drawn: np.ndarray, std: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square((real.mean(axis=1) - drawn.mean(axis=1)) / std))))

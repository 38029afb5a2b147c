"""How far apart two classes are in every concept: Wasserstein-1 distance, direction, and who comes first."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator

import numpy as np

from img2tab_core.errors import Img2TabError

BLOCK_VALUES = 4_000_000  # style values looked at in one go; bounds the working memory to about 100 MB


def wasserstein(
    psi: np.ndarray,
    labels: np.ndarray,
    *,
    std: np.ndarray,
    rows: np.ndarray | None = None,
    block: int = 256,
    progress: Callable[[float], None] | None = None,
) -> np.ndarray:
    """Wasserstein-1 distance between the two classes, per channel, in standard deviations; float64 (D,), >= 0.

    psi: (N, D) style units, column-major is fastest (a memory map is read block by block, never copied whole).
    labels: (n,) of 0 and 1, one for every row that takes part. rows: (n,) row numbers of psi that take part,
    None for all of them. std: (D,) style units; a channel without spread gets 0. block: at most so many channels at
    once. progress: called with the share done, in (0, 1].

    Exact: the integral of |difference of the two quantile functions|. Both are constant between neighbouring
    breakpoints i / n0 and j / n1, which depend on the class sizes only, so all channels share them.
    """
    rows0, rows1, std = _checked(psi, labels, std, rows)
    n0, n1 = len(rows0), len(rows1)
    # In units of 1 / (n0 n1) the breakpoints are whole numbers: no two of them differ by rounding alone.
    starts = np.union1d(np.arange(n0, dtype=np.int64) * n1, np.arange(n1, dtype=np.int64) * n0)  # (m,)
    widths = np.diff(starts, append=n0 * n1) / (n0 * n1)                                         # (m,) adds up to 1
    rank0, rank1 = starts // n1, starts // n0                                                    # (m,) into sorted rows

    def distance(columns: np.ndarray) -> np.ndarray:
        sorted0 = np.sort(columns.take(rows0, axis=1), axis=1)                                   # (b, n0)
        sorted1 = np.sort(columns.take(rows1, axis=1), axis=1)                                   # (b, n1)
        gap = np.subtract(sorted0.take(rank0, axis=1), sorted1.take(rank1, axis=1), dtype=np.float64)
        np.abs(gap, out=gap)
        gap *= widths
        return gap.sum(axis=1)  # (b,); unlike a matrix product the same to the last bit for any block and thread count

    return _per_channel(psi, distance, std, block=block, progress=progress)


def direction(
    psi: np.ndarray, labels: np.ndarray, *, std: np.ndarray, rows: np.ndarray | None = None, block: int = 256
) -> np.ndarray:
    """Mean of class 1 minus mean of class 0, per channel, in standard deviations; float64 (D,), 0 without spread.

    Arguments as for `wasserstein`, whose distance is never smaller than the size of this number.
    """
    rows0, rows1, std = _checked(psi, labels, std, rows)

    def shift(columns: np.ndarray) -> np.ndarray:
        mean0 = columns.take(rows0, axis=1).mean(axis=1, dtype=np.float64)
        mean1 = columns.take(rows1, axis=1).mean(axis=1, dtype=np.float64)
        return mean1 - mean0

    return _per_channel(psi, shift, std, block=block)


def top(values: np.ndarray, k: int, *, exclude: Collection[int] = ()) -> np.ndarray:
    """Indices of the k largest values, largest first, ties by the lower index, none twice; int64 (<= k,).

    values: (D,) numbers. exclude: indices left out. Fewer than k come back where fewer remain.
    """
    values = np.asarray(values, np.float64)
    if values.ndim != 1 or np.isnan(values).any():
        raise Img2TabError(f"Values to rank must be one row of numbers without gaps, got shape {values.shape}.")
    order = np.argsort(-values, kind="stable")
    return order[~np.isin(order, list(exclude))][: max(0, k)]


def _per_channel(
    psi: np.ndarray,
    measure: Callable[[np.ndarray], np.ndarray],
    std: np.ndarray,
    *,
    block: int,
    progress: Callable[[float], None] | None = None,
) -> np.ndarray:
    """`measure` of every block of channels, (b, N) -> (b,), divided by std; float64 (D,)."""
    result = np.zeros(psi.shape[1])
    for part in _blocks(psi.shape, block):
        result[part] = measure(np.ascontiguousarray(psi[:, part].T))
        if progress is not None:
            progress(part.stop / psi.shape[1])
    if not np.isfinite(result).all():
        index = int(np.flatnonzero(~np.isfinite(result))[0])
        raise Img2TabError(f"Style codes must be finite numbers, got others in channel {index}. Build the table again.")
    return np.divide(result, std, out=np.zeros_like(result), where=std > 0)


def _blocks(shape: tuple[int, int], block: int) -> Iterator[slice]:
    """Slices over the channels, as wide as asked but no wider than the memory bound allows."""
    n, d = shape
    wide = max(1, min(block, BLOCK_VALUES // max(1, n)))
    return (slice(start, min(start + wide, d)) for start in range(0, d, wide))


def _checked(
    psi: np.ndarray, labels: np.ndarray, std: np.ndarray, rows: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Row numbers of class 0 and of class 1, and std as float64; the only check of the arguments."""
    if psi.ndim != 2:
        raise Img2TabError(f"Style codes must have shape (faces, channels), got {psi.shape}.")
    n, d = psi.shape
    rows = np.arange(n) if rows is None else np.asarray(rows)
    if rows.ndim != 1 or (rows.size and not (np.issubdtype(rows.dtype, np.integer) and 0 <= rows.min())):
        raise Img2TabError("Rows must be a list of row numbers that are not negative.")
    if rows.size and rows.max() >= n:
        raise Img2TabError(f"Row numbers must be below {n}, the number of faces, got {rows.max()}.")
    labels, std = np.asarray(labels), np.asarray(std, np.float64)
    if labels.shape != rows.shape:
        raise Img2TabError(f"There must be one label for each face, got {labels.shape} labels for {rows.shape} faces.")
    if std.shape != (d,) or not np.isfinite(std).all() or (std < 0).any():
        raise Img2TabError(f"Standard deviations must be {d} finite numbers that are not negative, got {std.shape}.")
    if not np.isin(labels, (0, 1)).all():
        raise Img2TabError(
            f"Labels must be 0 or 1, got {np.unique(labels)[:5].tolist()}. Leave out faces whose label is unknown."
        )
    rows0, rows1 = rows[labels == 0], rows[labels == 1]
    if not (len(rows0) and len(rows1)):
        raise Img2TabError(
            f"Both classes must be present, got {len(rows0)} faces of class 0 and {len(rows1)} of class 1. "
            "Choose another target or more faces."
        )
    return rows0, rows1, std

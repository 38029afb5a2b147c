"""How far apart two classes are in every concept: Wasserstein-1 distance, direction, and who comes first."""

from __future__ import annotations

import os
import queue
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from img2tab_core.base.errors import Img2TabError

if TYPE_CHECKING:
    import torch

BLOCK_VALUES = 800_000  # style values a thread works on at once: with fewer the threads wait for each other
THREADS = 8  # at most, and no more than there are cores
MANY = 256  # faces a bucket, from which on a channel looks like whole numbers
SAMPLE = 512  # faces that say where a channel's buckets lie
GPU_VALUES = 100_000_000  # style values that a graphics card is woken for
GPU_BLOCK = 32_000_000  # style values on it at once, about 2 GB
DRIVERS = ("/proc/driver/nvidia", "/dev/nvidiactl", "/dev/dxg")

Progress = Callable[[float], None]
Classes = tuple[np.ndarray, np.ndarray]


def wasserstein(
    psi: np.ndarray,
    labels: np.ndarray,
    *,
    std: np.ndarray,
    rows: np.ndarray | None = None,
    block: int = 256,
    progress: Progress | None = None,
) -> np.ndarray:
    """Wasserstein-1 distance between the two classes, per channel, in standard deviations; float64 (D,), >= 0.

    psi: (N, D) style units, column-major is fastest (a memory map is read block by block, never copied whole).
    labels: (n,) of 0 and 1, one for every row that takes part. rows: (n,) row numbers of psi that take part,
    None for all of them. std: (D,) style units; a channel without spread gets 0. block: at most so many channels at
    once. progress: called with the share done, in (0, 1].

    Exact: the integral of |difference of the two distribution functions|, see `_apart`. The same to the last bit for
    any block and number of threads; a graphics card, used where there is one and enough to do, may differ in the last
    digits. Raises Img2TabError where an argument has another shape or range, a class has no face, or a style code is
    not a finite number.
    """
    return distance_and_direction(psi, labels, std=std, rows=rows, block=block, progress=progress)[0]


def distance_and_direction(
    psi: np.ndarray,
    labels: np.ndarray,
    *,
    std: np.ndarray,
    rows: np.ndarray | None = None,
    block: int = 256,
    progress: Progress | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """(`wasserstein`, `direction`) of the same arguments, reading the style codes once; raises what they raise."""
    classes, std = _checked(psi, labels, std, rows)
    both = None  # distance and direction, (2, D), style units
    if sum(map(len, classes)) * psi.shape[1] >= GPU_VALUES and (device := _graphics_card()) is not None:
        both = _on_device(psi, classes, device, block=block, progress=progress)
    if both is None:
        both = _per_channel(psi, classes, _apart, block=block, progress=progress)
    return _in_deviations(both[0], std), _in_deviations(both[1], std)


def direction(
    psi: np.ndarray, labels: np.ndarray, *, std: np.ndarray, rows: np.ndarray | None = None, block: int = 256
) -> np.ndarray:
    """Mean of class 1 minus mean of class 0, per channel, in standard deviations; float64 (D,), 0 without spread.

    Arguments as for `wasserstein`, whose distance is never smaller than the size of this number, and what is raised.
    """
    classes, std = _checked(psi, labels, std, rows)
    return _in_deviations(_per_channel(psi, classes, _shift, block=block)[0], std)


# --- one block of channels ----------------------------------------------------------------------------------


class _Room:
    """Working memory of one thread, kept from block to block: fresh pages would cost as much as the arithmetic."""

    def __init__(self, channels: int, faces: int, dtype: np.dtype) -> None:
        shape = (channels, faces)
        self.values = np.empty(shape, dtype)  # style units, class 0 first
        self.scaled = np.empty(shape, dtype)  # in widths of a bucket
        self.bucket = np.empty(shape, np.intp)
        self.above = np.empty(shape, np.float64)  # style units above the least of the channel
        self.weight = np.empty(shape, np.float64)
        self.open = np.empty(shape, bool)  # whether the face lies in a bucket that must be sorted
        self.least = np.empty(channels)  # style units
        self.spread = np.empty(channels)


def _apart(values: np.ndarray, n0: int, room: _Room) -> np.ndarray:
    """Distance and direction of b channels, style units, float64 (2, b); arguments as for `_shift`."""
    shift = _shift(values, n0, room)[0]
    above = room.above[: len(values)]
    distance = np.where(np.isfinite(shift), 0.0, np.nan)
    some = np.flatnonzero((room.spread[: len(values)] > 0) & np.isfinite(shift))
    if len(some):
        whole = len(some) == len(values)  # then nothing need be copied
        distance[some] = _distance(values if whole else values[some], above if whole else above[some], n0, room)
    return np.stack([distance, shift])


def _shift(values: np.ndarray, n0: int, room: _Room) -> np.ndarray:
    """Direction of b channels, style units, float64 (1, b); NaN where one is not finite.

    values: (b, n) in `room`, class 0 in the first n0 columns; fills `least`, `spread` and `above` of `room` on the way.
    """
    b = len(values)
    above, least, spread = room.above[:b], room.least[:b], room.spread[:b]
    least[:] = values.min(axis=1)
    np.subtract(values.max(axis=1), least, out=spread)
    if not spread.any():  # constant channels cost next to nothing
        above[:] = 0
        return np.zeros((1, b))
    np.subtract(values, least[:, None], out=above)  # small numbers: their sums lose little
    above[~np.isfinite(spread)] = np.nan
    return (above[:, n0:].mean(axis=1) - above[:, :n0].mean(axis=1))[None]


def _distance(values: np.ndarray, above: np.ndarray, n0: int, room: _Room) -> np.ndarray:
    """Wasserstein-1 distance of b channels that are not constant, style units, float64 (b,).

    above: (b, n) values minus the least of their channel, float64.

    Let F be the difference of the two distribution functions, in whole numbers: it rises by n1 at a face of class 0
    and falls by n0 at one of class 1. With the faces in ascending order, n0 n1 times the distance is

        sum of |F_k| (x_k+1 - x_k)  =  -sum of x_k (|F_k| - |F_k-1|).

    Between two places where F changes its sign the second factor is +-n1 or +-n0, by class alone, so the order of
    the faces does not matter there. The faces are counted into buckets of ascending values; the counts bound F within
    each, and only the few buckets where it may cross zero are sorted.
    """
    b, n = values.shape
    n1, buckets = n - n0, _bucket_count(n)
    bucket = _into_buckets(values, buckets, room)  # (b, n)
    bucket[:, n0:] += buckets  # class 1 is counted apart
    counts = np.bincount(bucket.ravel(), minlength=2 * b * buckets).reshape(b, 2, buckets)
    rise, fall = n1 * counts[:, 0], n0 * counts[:, 1]  # (b, buckets)
    after = np.cumsum(rise - fall, axis=1)  # F behind each bucket
    before = after - rise + fall
    tied = np.full(b, np.nan)
    few = np.count_nonzero(rise + fall, axis=1) <= n // MANY
    if few.any():
        tied[few] = _by_bucket(above, bucket, before, after, few, room)[few]
        if not np.isnan(tied).any():
            return tied / (n0 * n1)
    sign = np.subtract(after >= rise, after <= -fall, dtype=np.float64)  # of F all through it; 0: may be both
    sign[~np.isnan(tied)] = 1
    table = np.stack([n1 * sign, -n0 * sign], axis=1)  # (b, 2, buckets) the second factor
    weight, is_open = room.weight[:b], room.open[:b]
    table.ravel().take(bucket, out=weight, mode="clip")
    np.equal(weight, 0, out=is_open)
    at = np.flatnonzero(is_open)
    crossing = _by_sorting(above.ravel()[at], bucket.ravel()[at], before, n0, n1)
    weight *= above
    total = np.maximum(-(weight.sum(axis=1) + crossing), 0)
    return np.where(np.isnan(tied), total, tied) / (n0 * n1)


def _bucket_count(n: int) -> int:
    """So many that a dozen of n faces share a bucket; a power of two."""
    return 1 << max(4, (n // 16).bit_length())


def _into_buckets(values: np.ndarray, buckets: int, room: _Room) -> np.ndarray:
    """The bucket of every value, ascending with the values of a channel; int (b, n), 2 * buckets further per channel.

    Equal widths between the extremes; where a few faces lie far out, between those of a sample, and the buckets at the
    ends take the rest. Any rounding is right that never turns the order of two values round.
    """
    b, n = values.shape
    scaled, bucket = room.scaled[:b], room.bucket[:b]
    low, high = values.min(axis=1).astype(np.float64), values.max(axis=1).astype(np.float64)
    sample = values[:, :: max(1, n // SAMPLE)].astype(np.float64)
    far = high - low > 2 * np.ptp(sample, axis=1)  # a few faces lie far out
    low[far], high[far] = sample[far].min(axis=1), sample[far].max(axis=1)
    scale = (buckets / (high - low)).astype(values.dtype)
    start = (low * scale).astype(values.dtype)
    narrow = ~(np.isfinite(scale) & np.isfinite(start))
    scale[narrow] = start[narrow] = 0  # all in one bucket
    np.multiply(values, scale[:, None], out=scaled)
    scaled -= start[:, None]
    np.clip(scaled, 0, buckets - 1, out=scaled)
    np.copyto(bucket, scaled, casting="unsafe")
    if b > 1:
        bucket += np.arange(0, 2 * b * buckets, 2 * buckets)[:, None]
    return bucket


def _by_bucket(
    above: np.ndarray, place: np.ndarray, before: np.ndarray, after: np.ndarray, few: np.ndarray, room: _Room
) -> np.ndarray:
    """n0 n1 times the distance of channels whose buckets hold one value each, as whole numbers make them; float64 (b,).

    NaN for other channels. above, place (b, n): every face, place in (b, 2, buckets); before, after (b, buckets): F in
    front of and behind each bucket, see `_distance`. few: bool (b,), channels to look at.
    """
    (b, buckets), n = before.shape, above.shape[1]
    expected, differs = room.weight[:b], room.open[:b]
    held = np.full((b, 2, buckets), np.nan)  # the value of each bucket
    places, some = held.ravel(), slice(None, None, max(1, n // SAMPLE))
    places[place[:, some] & ~buckets] = above[:, some]
    held[:, 1] = held[:, 0]
    places.take(place, out=expected, mode="clip")
    np.not_equal(expected, above, out=differs)  # all but few where the sample met every value
    differs[~few] = False
    late = np.flatnonzero(differs)
    at, values = place.ravel()[late] & ~buckets, above.ravel()[late]
    unmet = np.isnan(places[at])
    places[at[unmet]] = values[unmet]
    mixed = np.zeros(b, bool)
    mixed[late[places[at] != values] // n] = True
    change = np.abs(before) - np.abs(after)
    total = (np.where(change, held[:, 0], 0) * change).sum(axis=1)
    return np.where(few & ~mixed, total, np.nan)


def _by_sorting(above: np.ndarray, place: np.ndarray, before: np.ndarray, n0: int, n1: int) -> np.ndarray:
    """The sum of x_k (|F_k| - |F_k-1|) over the faces of open buckets, per channel, float64 (b,); see `_distance`.

    above, place: (m,) all these faces, place in (b, 2, buckets); before: (b, buckets) F in front of each bucket. In
    every bucket the faces of one value count as one face with all their weight: many ties would be slow to sort.
    """
    b, buckets = before.shape
    step = np.where(place & buckets, float(-n0), float(n1))
    place &= ~buckets  # the same for both classes
    faces = np.arange(len(place))
    held = np.empty(2 * b * buckets, np.intp)
    held[place] = faces  # one face of each bucket
    held = held[place]  # (m,) and it for every face
    same = above[held] == above
    weight = np.bincount(held[same], weights=step[same], minlength=len(place))
    keep = np.flatnonzero(~same | (held == faces))
    step = np.where(held == faces, weight, step)[keep]
    above, place = above[keep], place[keep]

    ends = np.searchsorted(place // (2 * buckets), np.arange(b + 1))  # channels lie one behind the other
    order = np.concatenate([start + np.argsort(above[start:end]) for start, end in pairwise(ends)])
    above, place, step = above[order], place[order], step[order]  # buckets ascend with the values
    channel = place // (2 * buckets)
    passed = np.cumsum(step)
    heads = np.flatnonzero(np.diff(place, prepend=-1))  # the first face of each bucket
    starts = before[channel[heads], place[heads] % buckets] - (passed - step)[heads]
    passed += np.repeat(starts, np.diff(heads, append=len(place)))  # F behind each face
    change = np.abs(passed) - np.abs(passed - step)
    return np.bincount(channel, weights=above * change, minlength=b)


# --- all channels -------------------------------------------------------------------------------------------


def _per_channel(
    psi: np.ndarray,
    classes: Classes,
    measure: Callable[[np.ndarray, int, _Room], np.ndarray],
    *,
    block: int,
    progress: Progress | None = None,
) -> np.ndarray:
    """`measure` of every block of channels, (b, n) -> (k, b), on all cores; float64 (k, D), style units."""
    order, n0 = np.concatenate(classes), len(classes[0])
    column_major = psi.strides[0] <= psi.strides[1]
    at_once = BLOCK_VALUES * (1 if column_major else 8)  # else every channel would read the whole table
    parts = list(parts_of(psi.shape[1], min(block, at_once // len(order))))
    dtype = psi.dtype if psi.dtype in (np.float32, np.float64) else np.dtype(np.float64)
    workers = min(THREADS, _cores(), len(parts))
    rooms: queue.SimpleQueue[_Room] = queue.SimpleQueue()
    for _ in range(workers):
        rooms.put(_Room(parts[0].stop, len(order), dtype))

    def work(part: slice) -> np.ndarray:
        room = rooms.get()
        try:
            columns, values = psi[:, part].T, room.values[: part.stop - part.start]
            if columns.dtype == dtype:
                columns.take(order, axis=1, out=values, mode="clip")  # "raise" would go through a copy
            else:
                values[:] = columns.take(order, axis=1)
            with np.errstate(all="ignore"):  # what is not finite is found at the end
                return measure(values, n0, room)
        finally:
            rooms.put(room)

    results, pool = [], ThreadPoolExecutor(workers, thread_name_prefix="img2tab-scoring")
    try:
        for part, values in zip(parts, pool.map(work, parts), strict=True):
            results.append(values)
            if progress is not None:
                progress(part.stop / psi.shape[1])
    finally:
        pool.shutdown(cancel_futures=True)  # progress may have raised
    return np.concatenate(results, axis=1)


def parts_of(d: int, wide: int) -> Iterator[slice]:
    """Slices over d channels, `wide` of them each or fewer, at least one."""
    return (slice(start, min(start + max(1, wide), d)) for start in range(0, d, max(1, wide)))


def _cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _in_deviations(values: np.ndarray, std: np.ndarray) -> np.ndarray:
    """Values in style units divided by std, 0 where there is no spread. Raises Img2TabError where one is not finite."""
    if not np.isfinite(values).all():
        index = int(np.flatnonzero(~np.isfinite(values))[0])
        raise Img2TabError(f"Style codes must be finite numbers, got others in channel {index}. Build the table again.")
    return np.divide(values, std, out=np.zeros_like(values), where=std > 0)


# --- on a graphics card -------------------------------------------------------------------------------------


def _graphics_card() -> torch.device | None:
    """torch's device of the graphics card, None where there is none; without a driver torch is not imported."""
    if "torch" not in sys.modules and not any(map(os.path.exists, DRIVERS)):
        return None
    import torch

    return torch.device("cuda") if torch.cuda.is_available() else None


def _on_device(
    psi: np.ndarray, classes: Classes, device: torch.device, *, block: int, progress: Progress | None = None
) -> np.ndarray | None:
    """Distance and direction of all channels, style units, float64 (2, D); None where the card has too little memory.

    There sorting is cheap: the integral of |difference of the two quantile functions|. Both are constant between
    neighbouring breakpoints i / n0 and j / n1, which depend on the class sizes only, so all channels share them.
    """
    import torch

    (n0, n1), (n, d) = map(len, classes), psi.shape
    # In units of 1 / (n0 n1) the breakpoints are whole numbers: no two of them differ by rounding alone.
    starts = np.union1d(np.arange(n0, dtype=np.int64) * n1, np.arange(n1, dtype=np.int64) * n0)  # (m,)
    widths = np.diff(starts, append=n0 * n1) / (n0 * n1)  # (m,) adds up to 1
    on_card = (torch.from_numpy(array).to(device) for array in (*classes, starts // n1, starts // n0, widths))
    parts = list(parts_of(d, min(block, GPU_BLOCK // n)))
    dtype = torch.float32 if psi.dtype == np.float32 else torch.float64
    both = np.empty((2, d))
    try:
        rows0, rows1, rank0, rank1, spans = on_card
        stage = torch.empty((parts[0].stop, n), dtype=dtype, pin_memory=device.type == "cuda")  # copied fastest
        for part in parts:
            host = stage[: part.stop - part.start]
            host.numpy()[:] = psi[:, part].T
            columns = host.to(device, non_blocking=True)  # (b, N)
            sorted0 = columns[:, rows0].sort(dim=1).values  # (b, n0)
            sorted1 = columns[:, rows1].sort(dim=1).values  # (b, n1)
            gap = sorted0[:, rank0].double().sub_(sorted1[:, rank1]).abs_().mul_(spans)  # (b, m)
            shift = sorted1.mean(dim=1, dtype=torch.float64) - sorted0.mean(dim=1, dtype=torch.float64)
            both[:, part] = torch.stack([gap.sum(dim=1), shift]).cpu().numpy()  # waits for the card
            if progress is not None:
                progress(part.stop / d)
    except torch.cuda.OutOfMemoryError:  # somebody else is using it
        return None
    return both


# --- the arguments ------------------------------------------------------------------------------------------


def _checked(
    psi: np.ndarray, labels: np.ndarray, std: np.ndarray, rows: np.ndarray | None
) -> tuple[Classes, np.ndarray]:
    """Row numbers of class 0 and of class 1, int64, and std as float64; the only check of the arguments."""
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
    rows0, rows1 = (rows[np.flatnonzero(labels == label)].astype(np.int64) for label in (0, 1))
    if not (len(rows0) and len(rows1)):
        raise Img2TabError(
            f"Both classes must be present, got {len(rows0)} faces of class 0 and {len(rows1)} of class 1. "
            "Choose another target or more faces."
        )
    return (rows0, rows1), std

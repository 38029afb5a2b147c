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
from img2tab_core.concepts.exact_sums import Grid, products
from img2tab_core.tables.store import let_go

if TYPE_CHECKING:
    import torch

BLOCK_VALUES = 800_000  # style values a thread works on at once: with fewer the threads wait for each other
MOST_READ = 1 << 30  # bytes of a memory map, which count as this process's memory until they are let go
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

    Exact: the integral of |difference of the two distribution functions|, see `_distance`, of values rounded as
    `exact_sums` says (of 200,000 faces, each to 2**-44 of their spread or 2**-50 of the greatest), and rounded once
    more at the end. So the same to the last bit for any order of the faces, block and number of threads, over shards
    (`sharded`), and on a graphics card, used where there is one and enough to do. Raises Img2TabError where an argument
    has another shape or range, a class has no face, or a style code is not a finite number.
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
    return in_deviations(both[0], std), in_deviations(both[1], std)


def direction(
    psi: np.ndarray, labels: np.ndarray, *, std: np.ndarray, rows: np.ndarray | None = None, block: int = 256
) -> np.ndarray:
    """Mean of class 1 minus mean of class 0, per channel, in standard deviations; float64 (D,), 0 without spread.

    Arguments as for `wasserstein`, whose distance is never smaller than the size of this number, and what is raised.
    """
    classes, std = _checked(psi, labels, std, rows)
    return in_deviations(_per_channel(psi, classes, _shift, block=block)[0], std)


# --- one block of channels ----------------------------------------------------------------------------------


class _Room:
    """Working memory of one thread, kept from block to block: fresh pages would cost as much as the arithmetic."""

    def __init__(self, channels: int, faces: int, dtype: np.dtype) -> None:
        shape = (channels, faces)
        self.values = np.empty(shape, dtype)  # style units, class 0 first
        self.scaled = np.empty(shape, dtype)  # in widths of a bucket
        self.bucket = np.empty(shape, np.intp)
        self.rounded = np.empty(shape, np.float64)  # holds the bits of the whole numbers
        self.sign = np.empty(shape, np.int64)
        self.open = np.empty(shape, bool)  # whether the face lies in a bucket that must be sorted
        self.least = np.empty(channels)  # style units
        self.greatest = np.empty(channels)
        self.read = 0  # bytes of the style codes, since this thread let a map go


def _apart(values: np.ndarray, n0: int, room: _Room) -> np.ndarray:
    """Distance and direction of b channels, style units, float64 (2, b); arguments as for `_shift`."""
    grid, bits, shift = _sums(values, n0, room)
    n, (least, greatest) = values.shape[1], _ends(room, len(values))
    distance = np.where(grid.finite, 0.0, np.nan)
    some = np.flatnonzero((least < greatest) & grid.finite)
    if len(some):
        if len(some) < len(values):  # else nothing need be copied
            values, bits, least, greatest = values[some], bits[some], least[some], greatest[some]
        total = _distance(values, bits, (least, greatest), grid[some], n0, room)
        distance[some] = grid[some].means(total, n0 * (n - n0))
    return np.stack([distance, grid.means(shift, n0 * (n - n0))])


def _shift(values: np.ndarray, n0: int, room: _Room) -> np.ndarray:
    """Direction of b channels, style units, float64 (1, b); NaN where one is not finite.

    values: (b, n) in `room`, class 0 in the first n0 columns; fills `least`, `greatest` and `rounded` of `room`.
    """
    grid, _, shift = _sums(values, n0, room)
    return grid.means(shift, n0 * (values.shape[1] - n0))[None]


def _sums(values: np.ndarray, n0: int, room: _Room) -> tuple[Grid, np.ndarray, np.ndarray]:
    """The grid of b channels, the bits of their values int64 (b, n), and n0 n1 times their directions, (b,) exact."""
    b, n = values.shape
    n1, (least, greatest) = n - n0, _ends(room, b)
    least[:], greatest[:] = values.min(axis=1), values.max(axis=1)
    grid = Grid.of(least, greatest, n)
    if (least == greatest).all():  # constant channels cost next to nothing
        return grid, room.rounded[:b].view(np.int64), np.zeros(b, object)
    bits = grid.bits(values, out=room.rounded[:b])
    sum0 = (bits[:, :n0].sum(axis=1) - n0 * grid.origin).astype(object)
    sum1 = (bits[:, n0:].sum(axis=1) - n1 * grid.origin).astype(object)
    return grid, bits, n0 * sum1 - n1 * sum0


def _ends(room: _Room, b: int) -> tuple[np.ndarray, np.ndarray]:
    """Least and greatest value of b channels, float64 (b,) each."""
    return room.least[:b], room.greatest[:b]


def _distance(
    values: np.ndarray, bits: np.ndarray, ends: tuple[np.ndarray, np.ndarray], grid: Grid, n0: int, room: _Room
) -> np.ndarray:
    """n0 n1 times the Wasserstein-1 distance of b channels that are not constant, in units of the grid; (b,) exact.

    values, bits: (b, n). ends: their least and greatest value, float64 (b,) each.

    Let F be the difference of the two distribution functions, in whole numbers: it rises by n1 at a face of class 0
    and falls by n0 at one of class 1. With the faces in ascending order, n0 n1 times the distance is

        sum of |F_k| (x_k+1 - x_k)  =  -sum of x_k (|F_k| - |F_k-1|).

    Between two places where F changes its sign the second factor is +-n1 or +-n0, by class alone, so the order of
    the faces does not matter there. The faces are counted into buckets of ascending values; the counts bound F within
    each, and only the few buckets where it may cross zero are sorted.
    """
    b, n = values.shape
    n1, buckets = n - n0, _bucket_count(n)
    bucket = _into_buckets(values, ends, buckets, n0, room)  # (b, n)
    counts = np.bincount(bucket.ravel(), minlength=2 * b * buckets).reshape(b, 2, buckets)
    rise, fall = n1 * counts[:, 0], n0 * counts[:, 1]  # (b, buckets)
    after = np.cumsum(rise - fall, axis=1)  # F behind each bucket
    before = after - rise + fall
    tied = np.zeros(b, bool)
    few = np.count_nonzero(rise + fall, axis=1) <= n // MANY
    if few.any():
        tied, by_bucket = _by_bucket(bits, bucket, before, after, few, grid, n0, room)
        if tied.all():
            return by_bucket
    sign = sign_of(after, rise, fall)
    sign[tied] = 1
    weight, is_open = room.sign[:b], room.open[:b]
    np.stack([sign, sign], axis=1).ravel().take(bucket, out=weight, mode="clip")
    np.equal(weight, 0, out=is_open)
    at = np.flatnonzero(is_open)
    crossing = _by_sorting(bits.ravel()[at] - grid.origin[at // n], bucket.ravel()[at], before, n0, n1)
    sums = []
    for part, of in ((slice(None, n0), 0), (slice(n0, None), 1)):
        signed = np.einsum("cf,cf->c", weight[:, part], bits[:, part])  # runs over, until the origins are taken away
        sums.append((signed - grid.origin * np.einsum("cb,cb->c", sign, counts[:, of])).astype(object))
    total = n0 * sums[1] - n1 * sums[0] - crossing
    return np.where(tied, by_bucket, total) if tied.any() else total


def sign_of(after: np.ndarray, rise: np.ndarray, fall: np.ndarray) -> np.ndarray:
    """The sign of F all through each bucket, int64 (b, buckets); 0 where it may cross zero inside, see `_distance`.

    after: F behind each bucket. rise, fall: by how much its faces of class 0 raise F, and those of class 1 lower it.
    """
    return np.subtract(after >= rise, after <= -fall, dtype=np.int64)


def _bucket_count(n: int) -> int:
    """So many that a dozen of n faces share a bucket; a power of two that float32 has room for."""
    return 1 << min(max(4, (n // 16).bit_length()), 20)


def _into_buckets(
    values: np.ndarray, ends: tuple[np.ndarray, np.ndarray], buckets: int, n0: int, room: _Room
) -> np.ndarray:
    """The place of every value in (b, 2, buckets), by channel, class and bucket; int (b, n).

    The buckets of a channel ascend with its values: equal widths between the extremes; where a few faces lie far out,
    between those of a sample, and the buckets at the ends take the rest. Any rounding is right that never turns the
    order of two values round, and is the same for both classes.
    """
    b, n = values.shape
    scaled, bucket = room.scaled[:b], room.bucket[:b]
    low, high = ends[0].copy(), ends[1].copy()
    sample = values[:, :: max(1, n // SAMPLE)].astype(np.float64)
    far = high - low > 2 * np.ptp(sample, axis=1)  # a few faces lie far out
    low[far], high[far] = sample[far].min(axis=1), sample[far].max(axis=1)
    first = np.arange(0, 2 * b * buckets, 2 * buckets).astype(values.dtype)
    scale = (buckets / (high - low)).astype(values.dtype)
    start = (low * scale).astype(values.dtype)
    narrow = ~(np.isfinite(scale) & np.isfinite(start))
    scale[narrow] = start[narrow] = 0  # all in one bucket
    np.multiply(values, scale[:, None], out=scaled)
    scaled -= (start - first)[:, None]
    np.clip(scaled, first[:, None], (first + (buckets - 1))[:, None], out=scaled)
    places = room.sign[:b].view(np.int32)[:, :n]  # to these numbers the processor converts many at once
    np.copyto(places, scaled, casting="unsafe")
    places[:, n0:] += buckets  # class 1 is counted apart
    np.copyto(bucket, places)
    return bucket


def _by_bucket(
    bits: np.ndarray,
    place: np.ndarray,
    before: np.ndarray,
    after: np.ndarray,
    few: np.ndarray,
    grid: Grid,
    n0: int,
    room: _Room,
) -> tuple[np.ndarray, np.ndarray]:
    """(whether every bucket of a channel holds one value, as whole numbers make them, bool (b,); n0 n1 times the
    distance of these channels, (b,) exact, 0 for others).

    bits, place (b, n): every face, place in (b, 2, buckets); before, after (b, buckets): F in front of and behind each
    bucket, see `_distance`. few: bool (b,), channels to look at.
    """
    (b, buckets), n = before.shape, bits.shape[1]
    expected, differs = room.sign[:b], room.open[:b]
    held = np.zeros((b, 2, buckets), np.int64)  # the bits of each bucket's value; none are 0
    places, some = held.ravel(), slice(None, None, max(1, n // SAMPLE))
    places[place[:, some] & ~buckets] = bits[:, some]
    held[:, 1] = held[:, 0]
    places.take(place, out=expected, mode="clip")
    np.not_equal(expected, bits, out=differs)  # all but few where the sample met every value
    differs[~few] = False
    late = np.flatnonzero(differs)
    at, values = place.ravel()[late] & ~buckets, bits.ravel()[late]
    unmet = places[at] == 0
    places[at[unmet]] = values[unmet]
    mixed = np.zeros(b, bool)
    mixed[late[places[at] != values] // n] = True
    tied, total = few & ~mixed, np.zeros(b, object)
    change = np.abs(before[tied]) - np.abs(after[tied])
    values = np.where(change, held[tied, 0] - grid.origin[tied, None], 0)
    ends = np.arange(0, change.size + 1, buckets)
    total[tied] = products(values.ravel(), change.ravel(), ends, 2 * n0 * (n - n0))
    return tied, total


def _by_sorting(values: np.ndarray, place: np.ndarray, before: np.ndarray, n0: int, n1: int) -> np.ndarray:
    """The sum of x_k (|F_k| - |F_k-1|) over the faces of open buckets, per channel, (b,) exact; see `_distance`.

    values: int64 (m,) of all these faces, in units of the grid. place: (m,) in (b, 2, buckets). before: (b, buckets)
    F in front of each bucket. In every bucket the faces of one value count as one face with all their weight: many
    ties would be slow to sort.
    """
    b, buckets = before.shape
    step = np.where(place & buckets, -n0, n1)
    place &= ~buckets  # the same for both classes
    faces = np.arange(len(place))
    held = np.empty(2 * b * buckets, np.intp)
    held[place] = faces  # one face of each bucket
    held = held[place]  # (m,) and it for every face
    same = values[held] == values
    weight = np.zeros_like(step)
    np.add.at(weight, held[same], step[same])
    keep = np.flatnonzero(~same | (held == faces))
    step = np.where(held == faces, weight, step)[keep]
    values, place = values[keep], place[keep]

    ends = np.searchsorted(place // (2 * buckets), np.arange(b + 1))  # channels lie one behind the other
    order = np.concatenate([start + np.argsort(values[start:end]) for start, end in pairwise(ends)])
    if (np.diff(place[order]) < 0).any():  # values of two buckets that are one number of the grid
        order = order[np.argsort(place[order], kind="stable")]
    values, place, step = values[order], place[order], step[order]  # buckets ascend with the values
    place = (place + (place & (buckets - 1))) >> 1  # in (b, buckets)
    change = changes(step, place, before.ravel())
    return products(values, change, ends, 2 * n0 * n1)


def changes(step: np.ndarray, place: np.ndarray, before: np.ndarray) -> np.ndarray:
    """|F| behind a face minus |F| in front of it, int64 (m,), for the faces of open buckets in ascending order.

    step: int64 (m,), by how much F rises at each. place: int (m,), the bucket of each, ascending. before: int64, F in
    front of every bucket.
    """
    passed = np.cumsum(step)
    heads = np.flatnonzero(np.diff(place, prepend=-1))  # the first face of each bucket
    starts = before[place[heads]] - (passed - step)[heads]
    passed += np.repeat(starts, np.diff(heads, append=len(place)))  # F behind each face
    return np.abs(passed) - np.abs(passed - step)


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
            room.read += columns.nbytes
            if room.read > MOST_READ // workers:
                let_go(psi)
                room.read = 0
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


def in_deviations(values: np.ndarray, std: np.ndarray) -> np.ndarray:
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
    neighbouring breakpoints i / n0 and j / n1, which depend on the class sizes only, so all channels share them. In
    whole numbers of the grid, as on the processor, so that the answer is the same to the last bit.
    """
    import torch

    (n0, n1), (n, d) = map(len, classes), psi.shape
    # In units of 1 / (n0 n1) the breakpoints are whole numbers: no two of them differ by rounding alone.
    starts = np.union1d(np.arange(n0, dtype=np.int64) * n1, np.arange(n1, dtype=np.int64) * n0)  # (m,)
    widths = np.diff(starts, append=n0 * n1)  # (m,) adds up to n0 n1
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
            sorted0 = columns[:, rows0].sort(dim=1).values.double()  # (b, n0)
            sorted1 = columns[:, rows1].sort(dim=1).values.double()  # (b, n1)
            least = torch.minimum(sorted0[:, 0], sorted1[:, 0]).cpu().numpy()
            greatest = torch.maximum(sorted0[:, -1], sorted1[:, -1]).cpu().numpy()
            grid = Grid.of(least, greatest, n0 + n1)
            offset, origin = (torch.from_numpy(array).to(device)[:, None] for array in (grid.offset, grid.origin))
            whole0 = sorted0.add_(offset).view(torch.int64) - origin  # (b, n0)
            whole1 = sorted1.add_(offset).view(torch.int64) - origin  # (b, n1)
            gap = whole0[:, rank0].sub_(whole1[:, rank1]).abs_()  # (b, m)
            sum0, sum1 = (whole.sum(dim=1).cpu().numpy().astype(object) for whole in (whole0, whole1))
            both[0, part] = grid.means(_products_on_device(gap, spans, n0 * n1), n0 * n1)
            both[1, part] = grid.means(n0 * sum1 - n1 * sum0, n0 * n1)
            if progress is not None:
                progress(part.stop / d)
    except torch.cuda.OutOfMemoryError:  # somebody else is using it
        return None
    return both


def _products_on_device(values: torch.Tensor, factors: torch.Tensor, most: int) -> np.ndarray:
    """The sum of values * factors of every channel, exact, (b,) Python's whole numbers; see `exact_sums.products`.

    values: int64 (b, m), not negative; factors: int64 (m,), not negative, adding up to `most`.
    """
    bits, shift = 63 - most.bit_length(), 0
    sums = np.zeros(len(values), object)
    while values.any():
        passed = ((values & ((1 << bits) - 1)) * factors).sum(dim=1)  # (b,)
        sums = sums + passed.cpu().numpy().astype(object) * (1 << shift)
        values, shift = values >> bits, shift + bits
    return sums


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

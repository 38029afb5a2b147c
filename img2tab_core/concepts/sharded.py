"""Wasserstein-1 of a table that lies in shards: what each counts adds up, and only few faces travel.

A shard is some of the faces, such as a range of rows that another machine holds. Every shard is asked the same three
questions, and its answers are small records that can be sent:

1. `ends`: least and greatest value of each channel. From all of them follow the grid (`exact_sums`) and the buckets.
2. `counts`: how many faces of each class lie in each bucket, and the sum of their values. These add up over shards, and
   say what the distance is but for the buckets in which the difference F of the two distribution functions may cross
   zero. `known` has a bound of that: over a bucket the integral of F itself is known, so that of |F| is at least its
   size (Jensen's inequality), and at most what F gives that takes only the greatest and the least value it can have
   there (the inequality of Edmundson and Madansky).
3. `open_faces`: the faces of these buckets, as values and how many have them.

`apart` makes of them what `wasserstein.distance_and_direction` says of all faces at once, to the last bit: both add
whole numbers of the same grid, and round once. No sketch, no merge of sorted runs; no engine in here either: whoever
calls `over` says how a question reaches the shards.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from img2tab_core.base.errors import Img2TabError
from img2tab_core.concepts import wasserstein
from img2tab_core.concepts.exact_sums import Grid, products
from img2tab_core.tables.store import let_go

FEWEST, MOST = 16, 4096  # buckets of a channel, where their number is not given
OPEN_BUCKETS = 20  # of a channel, each of the mean size: 12 of perceived gender, 23 of smile in the default table
BUCKET = 4 + 8  # bytes that one class in a bucket takes: how many, and their sum
OPEN_FACE = 4 + 4  # bytes that a face of an open bucket takes, of a float32 table: its value, and how many have it
BLOCK_VALUES = 800_000  # style values looked at in one go
CHANNELS = 512  # whose buckets are looked at in one go


@dataclass(frozen=True, eq=False)
class Shard:
    """Some faces of a table. psi: (N, D) style units, column-major is fastest. rows: int64 (n,), those of its rows that
    take part. labels: int (n,), 0 or 1."""

    psi: np.ndarray
    rows: np.ndarray
    labels: np.ndarray


Arrays = dict[str, np.ndarray]
Question = Callable[[Shard], Any]  # -> a record whose `vars` are arrays; a partial function, which can be sent
Ask = Callable[[Question], Iterable[Arrays]]  # `vars` of what every shard answers to it, shard by shard


@dataclass(frozen=True, eq=False)
class Ends:
    """Least and greatest value of every channel, in all faces and in a sample of them, style units, float64 (D,) each;
    infinite where there is no face."""

    least: np.ndarray
    greatest: np.ndarray
    sample_least: np.ndarray
    sample_greatest: np.ndarray

    def __add__(self, other: Ends) -> Ends:
        return Ends(
            np.minimum(self.least, other.least),
            np.maximum(self.greatest, other.greatest),
            np.minimum(self.sample_least, other.sample_least),
            np.maximum(self.sample_greatest, other.sample_greatest),
        )


@dataclass(frozen=True, eq=False)
class Counts:
    """Faces and the sum of their values, in units of the grid, by channel, class and bucket; int (D, 2, B) each."""

    faces: np.ndarray
    sums: np.ndarray

    def __add__(self, other: Counts) -> Counts:
        return Counts(np.add(self.faces, other.faces, dtype=np.int64), self.sums + other.sums)


@dataclass(frozen=True, eq=False)
class OpenFaces:
    """The faces of open buckets, those of one class and one value together, ascending in every channel.

    ends: int64 (D + 1,), those of channel c are from ends[c] to ends[c + 1]. values: (m,) style units, float32 where
    the table is, else float64. faces: int32 (m,), how many there are: of class 1 as a negative number.
    """

    ends: np.ndarray
    values: np.ndarray
    faces: np.ndarray


@dataclass(frozen=True, eq=False)
class Buckets:
    """Buckets of equal width for every channel, the same in every shard; those at the ends take what lies further out.

    low, width, top: int64 (D,), units of the grid: where the first bucket begins, how wide each is, the greatest value.
    count: how many, B. faces: of class 0 and of class 1, in all shards.
    """

    grid: Grid
    low: np.ndarray
    width: np.ndarray
    top: np.ndarray
    count: int
    faces: tuple[int, int]

    @classmethod
    def of(cls, ends: Ends, faces: tuple[int, int], count: int) -> Buckets:
        """Between the extremes; where a few faces lie far out, between those of the sample."""
        grid = Grid.of(ends.least, ends.greatest, sum(faces))
        with np.errstate(invalid="ignore"):  # what is not finite is told at the end
            far = ends.greatest - ends.least > 2 * (ends.sample_greatest - ends.sample_least)
            top, low, high = (
                grid.bits(values[:, None])[:, 0] - grid.origin
                for values in (
                    ends.greatest,
                    np.where(far, ends.sample_least, ends.least),
                    np.where(far, ends.sample_greatest, ends.greatest),
                )
            )
        return cls(grid, low, (high - low) // count + 1, top, count, faces)

    def place(self, whole: np.ndarray, channels: slice | np.ndarray) -> np.ndarray:
        """The bucket of every value of some channels; int64 (b, n), from 0. whole: int64 (b, n), units of the grid."""
        bucket = whole - self.low[channels, None]
        bucket //= self.width[channels, None]
        return np.clip(bucket, 0, self.count - 1, out=bucket)

    def edges(self, channels: slice) -> np.ndarray:
        """Where the buckets of some channels begin, and the last one ends; int64 (b, B + 1), units of the grid."""
        top = self.top[channels, None]
        edges = np.clip(self.low[channels, None] + np.arange(self.count + 1) * self.width[channels, None], 0, top)
        edges[:, 0], edges[:, -1] = 0, top[:, 0]
        return edges


class Known(NamedTuple):
    """What the counts say of the distance: low, high: float64 (D,), style units, it lies between them; open: bool
    (D, B), the buckets whose faces say where."""

    low: np.ndarray
    high: np.ndarray
    open: np.ndarray


class Sent(NamedTuple):
    """Bytes that all shards sent: their answers to each of the three questions."""

    ends: int
    counts: int
    open_faces: int


@dataclass(frozen=True, eq=False)
class Answer:
    """distance, direction: float64 (D,), standard deviations, as of `wasserstein.distance_and_direction`. low, high:
    float64 (D,), between which the distance was known to lie after the second question. open_buckets: of a channel, in
    the mean. sent: bytes."""

    distance: np.ndarray
    direction: np.ndarray
    low: np.ndarray
    high: np.ndarray
    open_buckets: float
    sent: Sent


def over(ask: Ask, faces: tuple[int, int], *, std: np.ndarray, buckets: int | None = None) -> Answer:
    """Distance and direction of the faces of all shards, by asking each of them three questions.

    ask: has a question answered by every shard. faces: how many of class 0 and of class 1 there are in all of them.
    std: (D,) style units; a channel without spread gets 0. buckets: of a channel, `bucket_count` for None; no number of
    them changes a bit of the answer. Raises Img2TabError where a class has no face, a shard was left out, or a style
    code is not a finite number.
    """
    if min(faces) < 1:
        raise Img2TabError(f"Both classes must be present, got {faces[0]} faces of class 0 and {faces[1]} of class 1.")
    every = max(1, sum(faces) // wasserstein.SAMPLE)
    of_ends, shards, sent_ends = _added(ask(partial(ends, every=every)), Ends)
    wasserstein.in_deviations(of_ends.least + of_ends.greatest, std)  # refuses what is not finite
    layout = Buckets.of(of_ends, faces, buckets or bucket_count(sum(faces), shards))
    of_counts, _, sent_counts = _added(ask(partial(counts, buckets=layout)), Counts)
    counted = tuple(of_counts.faces[0].sum(axis=1).tolist())
    if counted != faces:
        raise Img2TabError(f"All shards together must have {faces} faces of the two classes, got {counted}. Ask all.")
    low, high, is_open = known(layout, of_counts)
    opened = [OpenFaces(**arrays) for arrays in ask(partial(open_faces, buckets=layout, is_open=is_open))]
    distance, direction = apart(layout, of_counts, opened)
    return Answer(
        wasserstein.in_deviations(distance, std),
        wasserstein.in_deviations(direction, std),
        wasserstein.in_deviations(low, std),
        wasserstein.in_deviations(high, std),
        open_buckets=float(is_open.sum(axis=1).mean()),
        sent=Sent(sent_ends, sent_counts, sum(map(_nbytes, opened))),
    )


def bucket_count(faces: int, shards: int) -> int:
    """So many buckets of a channel that about the fewest bytes are sent; a power of two.

    Every shard sends counts and sums of all buckets, and all of them together the faces of the open ones.
    """
    best = np.sqrt(OPEN_FACE * OPEN_BUCKETS * faces / (2 * BUCKET * max(shards, 1)))
    return int(np.clip(2 ** round(np.log2(best)), FEWEST, MOST))


def bytes_sent(faces: int, shards: int, *, open_buckets: float = OPEN_BUCKETS, buckets: int | None = None) -> Sent:
    """Bytes that each shard sends for a channel, to expect before there is a table; of a float32 channel in one place
    there are 4 * faces.

    faces: in all shards. open_buckets: of the channel. Ties make the third answer shorter.
    """
    buckets = buckets or bucket_count(faces, shards)
    return Sent(4 * 8, 2 * buckets * BUCKET, 8 + round(OPEN_FACE * open_buckets * faces / (buckets * shards)))


# --- what a shard answers -----------------------------------------------------------------------------------


def ends(shard: Shard, *, every: int) -> Ends:
    """The first answer. every: the sample is one of so many faces."""
    d = shard.psi.shape[1]
    least, greatest = np.full((2, d), np.inf), np.full((2, d), -np.inf)  # of all faces and of the sample
    for channels, values in _blocks(shard):
        for of, some in enumerate((values, values[:, ::every])):
            least[of, channels], greatest[of, channels] = some.min(axis=1), some.max(axis=1)
    return Ends(least[0], greatest[0], least[1], greatest[1])


def counts(shard: Shard, *, buckets: Buckets) -> Counts:
    """The second answer; faces int32, sums int64."""
    shape = (shard.psi.shape[1], 2, buckets.count)
    faces, sums = np.zeros(shape, np.int32), np.zeros(shape, np.int64)
    for channels, values in _blocks(shard):
        whole = _whole(values, buckets, channels)
        place = buckets.place(whole, channels)
        place += shard.labels * np.int64(buckets.count)
        place += np.arange(len(whole))[:, None] * (2 * buckets.count)
        faces[channels] = np.bincount(place.ravel(), minlength=faces[channels].size).reshape(-1, *shape[1:])
        np.add.at(sums[channels].reshape(-1), place.ravel(), whole.ravel())
    return Counts(faces, sums)


def open_faces(shard: Shard, *, buckets: Buckets, is_open: np.ndarray) -> OpenFaces:
    """The third answer. is_open: bool (D, B), the buckets whose faces are asked for."""
    dtype = shard.psi.dtype if shard.psi.dtype == np.float32 else np.dtype(np.float64)
    sizes = np.zeros(shard.psi.shape[1] + 1, np.int64)
    values_of, faces_of = [np.zeros(0, dtype)], [np.zeros(0, np.int32)]
    for channels, values in _blocks(shard):
        asked = np.arange(channels.start, channels.stop)[is_open[channels].any(axis=1)]
        if not len(asked):
            continue
        values = values[asked - channels.start]
        place = buckets.place(_whole(values, buckets, asked), asked)
        at = np.flatnonzero(np.take_along_axis(is_open[asked], place, axis=1))
        channel, face = np.divmod(at, values.shape[1])
        some, label = values.ravel()[at].astype(dtype), shard.labels[face]
        order = np.lexsort((label, some, channel))
        channel, some, label = channel[order], some[order], label[order]
        new = np.ones(len(some), bool)
        new[1:] = (np.diff(channel) != 0) | (some[1:] != some[:-1]) | (label[1:] != label[:-1])
        first = np.flatnonzero(new)
        values_of.append(some[first])
        faces_of.append(np.diff(first, append=len(some)).astype(np.int32) * np.where(label[first] == 1, -1, 1))
        sizes[asked + 1] = np.bincount(channel[first], minlength=len(asked))
    return OpenFaces(np.cumsum(sizes), np.concatenate(values_of), np.concatenate(faces_of).astype(np.int32))


def _blocks(shard: Shard) -> Iterator[tuple[slice, np.ndarray]]:
    """(channels, their values (b, n) in this shard), block by block; none where it has no face."""
    if not len(shard.rows):
        return
    read = 0  # bytes, which count as this process's memory where they are of a map
    for channels in wasserstein.parts_of(shard.psi.shape[1], BLOCK_VALUES // len(shard.rows)):
        values = shard.psi[:, channels].T.take(shard.rows, axis=1)
        read += values.nbytes
        if read > wasserstein.MOST_READ:
            let_go(shard.psi)
            read = 0
        yield channels, values


def _whole(values: np.ndarray, buckets: Buckets, channels: slice | np.ndarray) -> np.ndarray:
    """The values in units of the grid, int64 (b, n), from 0."""
    whole = buckets.grid[channels].bits(values)
    whole -= buckets.grid.origin[channels, None]
    return whole


# --- what the answers say -----------------------------------------------------------------------------------


def known(buckets: Buckets, counts: Counts) -> Known:
    """The distance as far as the counts of all shards say it."""
    d, (n0, n1) = len(counts.faces), buckets.faces
    low, high, is_open = np.empty(d), np.empty(d), np.empty((d, buckets.count), bool)
    for channels in wasserstein.parts_of(d, CHANNELS):
        rise, fall, after, sign = _steps(buckets, counts, channels)
        is_open[channels] = (sign == 0) & (rise + fall > 0) & (buckets.top[channels, None] > 0)
        edges = buckets.edges(channels)
        sums = counts.sums[channels] - counts.faces[channels] * edges[:, None, :-1]  # from where the bucket begins
        width = np.diff(edges).astype(np.float64)  # (b, B)
        terms = np.stack([width * after, -float(n1) * sums[:, 0], float(n0) * sums[:, 1]])
        integral = terms.sum(axis=0)  # of F over each bucket
        least, most = np.maximum(rise - after, 1), np.maximum(after + fall, 1)  # F lies between -least and most
        chord = width * least + (integral + width * least) * ((most - least) / (most + least))
        below = np.abs(integral).sum(axis=1)
        above = below + np.where(is_open[channels], chord - np.abs(integral), 0).sum(axis=1)
        slack = 2.0**-48 * np.abs(terms).sum(axis=(0, 2))  # what rounding may have done
        unit = np.ldexp(1 / (n0 * n1), buckets.grid.exponent[channels])
        low[channels], high[channels] = np.maximum(below - slack, 0) * unit, (above + slack) * unit
    return Known(low, high, is_open)


def apart(buckets: Buckets, counts: Counts, opened: Sequence[OpenFaces]) -> tuple[np.ndarray, np.ndarray]:
    """Distance and direction, float64 (D,) each, style units, from the counts of all shards and their open faces."""
    d, (n0, n1) = len(counts.faces), buckets.faces
    distance, direction = np.empty(d), np.empty(d)
    for channels in wasserstein.parts_of(d, CHANNELS):
        rise, fall, after, sign = _steps(buckets, counts, channels)
        channel, whole, step = _together(buckets, opened, channels)
        place = (whole - buckets.low[channels][channel]) // buckets.width[channels][channel]
        place = np.clip(place, 0, buckets.count - 1)
        change = wasserstein.changes(step, channel * buckets.count + place, (after - rise + fall).ravel())
        crossing = products(whole, change, np.searchsorted(channel, np.arange(len(after) + 1)), 2 * n0 * n1)
        sums = counts.sums[channels]
        signed0, signed1 = (np.einsum("cb,cb->c", sign, sums[:, of]).astype(object) for of in (0, 1))
        sum0, sum1 = (sums[:, of].sum(axis=1).astype(object) for of in (0, 1))
        grid = buckets.grid[channels]
        distance[channels] = grid.means(n0 * signed1 - n1 * signed0 - crossing, n0 * n1)
        direction[channels] = grid.means(n0 * sum1 - n1 * sum0, n0 * n1)
    return distance, direction


def _steps(buckets: Buckets, counts: Counts, channels: slice) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """By how much F rises and falls in each bucket, F behind it, and its sign all through it; int64 (b, B) each."""
    n0, n1 = buckets.faces
    faces = counts.faces[channels].astype(np.int64)
    rise, fall = n1 * faces[:, 0], n0 * faces[:, 1]
    after = np.cumsum(rise - fall, axis=1)
    return rise, fall, after, wasserstein.sign_of(after, rise, fall)


def _together(
    buckets: Buckets, opened: Sequence[OpenFaces], channels: slice
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(channel from 0, value in units of the grid, by how much F rises) of the open faces of some channels in all
    shards, int64 (m,) each, ascending."""
    parts = [slice(record.ends[channels.start], record.ends[channels.stop]) for record in opened]
    sizes = [np.diff(record.ends[channels.start : channels.stop + 1]) for record in opened]
    channel = np.concatenate([np.repeat(np.arange(len(size)), size) for size in sizes])
    values = np.concatenate([record.values[part] for record, part in zip(opened, parts, strict=True)])
    faces = np.concatenate([record.faces[part] for record, part in zip(opened, parts, strict=True)])
    grid, (n0, n1) = buckets.grid[channels], buckets.faces
    whole = np.add(values, grid.offset[channel]).view(np.int64) - grid.origin[channel]
    step = faces * np.where(faces > 0, n1, n0)
    order = np.lexsort((whole, channel))
    return channel[order], whole[order], step[order]


def _added(answers: Iterable[Arrays], record: type[Any]) -> tuple[Any, int, int]:
    """The sum of the answers as one record, how many there were, and the bytes they had together."""
    total, count, nbytes = None, 0, 0
    for arrays in answers:
        answer = record(**arrays)
        total, count, nbytes = answer if total is None else total + answer, count + 1, nbytes + _nbytes(answer)
    if total is None:
        raise Img2TabError("There must be at least one shard, got none. Name the rows of one.")
    return total, count, nbytes


def _nbytes(record: Ends | Counts | OpenFaces) -> int:
    return sum(array.nbytes for array in vars(record).values())

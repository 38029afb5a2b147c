"""Style values as whole numbers: their sums are exact, so no order, block or shard of the faces changes a bit.

Floating-point sums depend on their order. Here every value is first rounded to a grid that follows from the least and
the greatest value of the channel and the number of faces alone, so fine that 2**63 holds any sum of all faces; what is
added after that are whole numbers. The idea is that of Demmel and Nguyen, Parallel Reproducible Summation, IEEE
Transactions on Computers 64(7), 2015: round before adding, not while adding.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

BITS = 51  # of a value: one less than the fraction of a float64 has
# powers of two from which on a value counts as not finite: for up to 2**31 faces the offset itself would overflow
LIMIT = 1000


@dataclass(frozen=True, eq=False)
class Grid:
    """The unit of each of b channels, for whole numbers from 0 (the least value) up; any sum of them is below 2**63.

    exponent: int64 (b,), the unit is 2**exponent, in style units. offset: float64 (b,), what rounds a value to the unit
    when it is added. origin: int64 (b,), the bits of the least value with its offset. finite: bool (b,), False where a
    value is none.
    """

    exponent: np.ndarray
    offset: np.ndarray
    origin: np.ndarray
    finite: np.ndarray

    @classmethod
    def of(cls, least: np.ndarray, greatest: np.ndarray, faces: int) -> Grid:
        """The grid of channels from their least and greatest value, float64 (b,) each, over so many faces."""
        size = np.frexp(np.maximum(np.abs(least), np.abs(greatest)))[1].astype(np.int64)  # values are below 2**size
        finite = np.isfinite(least) & np.isfinite(greatest) & (size <= LIMIT)
        least = np.where(finite, least, 0)
        spread = np.where(finite, greatest, 0) - least
        room = 63 - faces.bit_length()  # bits of a value, so that all faces together have 63
        exponent = np.maximum(size - BITS, np.frexp(spread)[1] - min(room, BITS))
        exponent = np.where(finite, np.maximum(exponent, -1074), 0)  # the least number there is
        offset = np.ldexp(1.5, exponent + 52)  # the last bit of a sum with it is worth the unit
        origin = np.add(least, offset).view(np.int64)
        return cls(exponent, offset, origin, finite)

    def __getitem__(self, channels: slice | np.ndarray) -> Grid:
        """The grid of some of the channels."""
        return Grid(self.exponent[channels], self.offset[channels], self.origin[channels], self.finite[channels])

    def bits(self, values: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """Whole numbers of values (b, n), each `origin` too large; int64 (b, n), in `out`'s memory, float64 (b, n)."""
        return np.add(values, self.offset[:, None], out=out, dtype=np.float64).view(np.int64)

    def means(self, sums: np.ndarray, divisor: int) -> np.ndarray:
        """Sums divided, in style units, rounded once; float64 (b,), NaN where a value is not finite.

        sums: (b,) Python's whole numbers, which have no end, in units of the grid.
        """
        quotients = (sums / divisor).astype(np.float64)
        return np.where(self.finite, np.ldexp(quotients, self.exponent), np.nan)


def products(values: np.ndarray, factors: np.ndarray, ends: np.ndarray, most: int) -> np.ndarray:
    """The sum of values * factors between each two of `ends`, exact; (b,) Python's whole numbers.

    values: int64 (m,), not negative. factors: int64 (m,). ends: int (b + 1,), ascending, from 0 to m. most: no sum of
    the factors' sizes between two ends is larger, and it is below 2**62. As many bits of the values at once as fit.
    """
    bits, shift = 63 - most.bit_length(), 0
    sums = np.zeros(len(ends) - 1, object)
    while values.any():
        passed = np.zeros(len(values) + 1, np.int64)  # runs over, which the differences undo
        np.cumsum((values & ((1 << bits) - 1)) * factors, out=passed[1:])
        sums = sums + np.diff(passed[ends]).astype(object) * (1 << shift)
        values, shift = values >> bits, shift + bits
    return sums

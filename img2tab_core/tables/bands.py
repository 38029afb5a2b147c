"""Numbers become a target of ordered classes: bands that end where a person says."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd

from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.records import Target

MOST_BANDS = 12
HOW = "COLUMN:BORDER,BORDER, as age:25,45, or of days COLUMN@DAY:BORDER,BORDER, as birthday@2020-01-01:55,70"
# of "20-29", "under 20", "70+", "more than 70"
_BAND = re.compile(
    r"(?P<first>under|below|less than|up to|<=?|over|above|more than|from|>=?)?\s*(?P<low>\d+(\.\d+)?)"
    r"\s*((-|–|to)\s*\d+(\.\d+)?)?\s*(\+|and (over|older|more|above|up)|or (over|older|more|above))?(\s*years?)?"
)


@dataclass(frozen=True)
class Bands:
    """A column, where one band of its numbers ends and the next begins, rising, and a day.

    A number on a border belongs to the upper band. day: the column holds days (a birthday), and its number is the
    whole years from there to this day; None where it holds the numbers themselves.
    """

    column: str
    borders: tuple[float, ...]
    day: date | None = None

    @classmethod
    def parse(cls, text: str) -> Bands:
        """What a person writes: see HOW. Raises Img2TabError where it is something else."""
        column, _, borders = text.rpartition(":")
        column, at, day = column.partition("@")
        try:
            numbers = tuple(float(border) for border in borders.split(","))
            on = date.fromisoformat(day) if at else None
        except ValueError as error:
            raise Img2TabError(f"Bands are written {HOW}; got {text!r} ({error}).") from error
        rising = all(low < high for low, high in itertools.pairwise(numbers))
        if not column.strip() or not rising or not all(map(math.isfinite, numbers)) or len(numbers) >= MOST_BANDS:
            raise Img2TabError(f"Bands need a column and 1 to {MOST_BANDS - 1} rising borders: {HOW}; got {text!r}.")
        return cls(column.strip(), numbers, on)

    def numbers(self, cells: pd.Series) -> np.ndarray:
        """The numbers of a column as it stands in a file; float64 (N,), NaN where there is none."""
        if self.day is None:
            return pd.to_numeric(cells, errors="coerce").to_numpy(np.float64)
        # the day as it is written: a time, and a zone, would only move it
        days = pd.to_datetime(cells.astype(str).str.slice(0, 10), errors="coerce", format="ISO8601").dt
        not_yet = 100 * days.month + days.day > 100 * self.day.month + self.day.day
        return (self.day.year - days.year - not_yet).to_numpy(np.float64, na_value=np.nan)

    def target(self, name: str, title: str, *, whole: bool, source: str) -> Target:
        """The target of these bands. whole: the numbers are whole, or years; source: where they come from, in words."""
        how = f"Bands of the column {self.column} {source}"
        how += f", years on {self.day.isoformat()}." if self.day else "."
        return Target(name, title, names_of(self.borders, whole=whole), how, ordered=len(self.borders) > 1)


def names_of(borders: Sequence[float], *, whole: bool) -> tuple[str, ...]:
    """ "under 25", "25 to 44", "45 and over" for (25, 45); "25 to under 45" where not all numbers are whole."""
    whole = whole and all(float(border).is_integer() for border in borders)

    def number(value: float) -> str:
        return f"{value:.10g}"

    between = (
        (number(low) if low == high - 1 else f"{number(low)} to {number(high - 1)}")
        if whole
        else f"{number(low)} to under {number(high)}"
        for low, high in itertools.pairwise(borders)
    )
    return (f"under {number(borders[0])}", *between, f"{number(borders[-1])} and over")


def band_order(words: Sequence[str]) -> list[int] | None:
    """How words that name bands of numbers ("0-2", "20 to 29", "more than 70") stand in order, the lowest first.

    Positions in `words`; None where one names no band, or two begin at one number.
    """
    starts: list[tuple[float, int]] = []
    for word in words:
        match = _BAND.fullmatch(word.strip().casefold())
        if match is None:
            return None
        lowest = match["first"] in ("under", "below", "less than", "up to", "<", "<=")
        starts.append((float(match["low"]), -1 if lowest else int(match["first"] is not None)))
    if len(set(starts)) < len(starts) or all(word.strip().isdigit() for word in words):
        return None
    return sorted(range(len(words)), key=lambda at: starts[at])

"""What every import shares: what is asked of a backbone, a table's name, its split, what is known of it, its pace."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd

from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.files import hold, home
from img2tab_core.base.layout import StyleLayout
from img2tab_core.base.records import ChannelStats, StyleTable, Target, digest
from img2tab_core.tables import store

SEEDS = 20  # splits that are tried
BLOCK_BYTES = 128 << 20  # style codes in memory at once


class Backbone(Protocol):
    """What an import asks of one: faces uint8 (n, S, S, 3) -> w float32 (n, 512) or (n, L, 512) -> psi (n, D)."""

    name: str
    key: str  # changes with its weights
    layout: StyleLayout
    stats: ChannelStats

    def invert(self, faces: np.ndarray) -> np.ndarray: ...

    def styles(self, w: np.ndarray) -> np.ndarray: ...


@dataclass(frozen=True)
class Facts:
    """What is known of an import besides its table; kept in the table's file.

    photos: all that were looked at, or rows of a file; skipped: reason by photo; several: photos with more than one
    face, the biggest was taken; unlabelled: codes without a label; unmatched: labels without a photo; no_target: why a
    column or target was left out; note: a sentence on the codes themselves; mark: of source, labels and backbone.
    """

    kind: str
    origin: str
    mark: str
    photos: int
    skipped: dict[str, str]
    no_target: dict[str, str]
    several: int = 0
    unlabelled: int = 0
    unmatched: int = 0
    note: str = ""


@dataclass(frozen=True, eq=False)
class Imported:
    """A finished import. resumed: photos that were done before; was_there: the whole table was, nothing was done."""

    table: StyleTable
    facts: Facts
    resumed: int = 0
    was_there: bool = False


def checked_name(name: str) -> str:
    """A name a table may have."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,59}", name) or name == "default":
        raise Img2TabError(
            "A table's name must be one word of at most 60 letters, digits, dots, dashes and underscores, and not "
            f"`default`, got {name!r}. Choose another with --name."
        )
    return name


def divided(
    labels: pd.DataFrame, targets: Sequence[Target], split: np.ndarray | None
) -> tuple[np.ndarray, tuple[Target, ...], dict[str, str]]:
    """(split int8 (N,), usable targets, why not the others); where there is no split, one that keeps most of them.

    Of few faces a random part may have nobody of a class: of SEEDS seeds the first that keeps most targets is taken.
    """
    best: tuple = (None, (), {})
    for one in (store.split_of(len(labels), seed=seed) for seed in range(SEEDS)) if split is None else [split]:
        kept, dropped = store.usable_targets(labels, targets, one)
        if len(kept) > len(best[1]) or best[0] is None:
            best = one, kept, dropped
        if not dropped:
            break
    if not best[1]:
        first = "; ".join(f"{name}: {reason}" for name, reason in list(best[2].items())[:3])
        raise Img2TabError(f"No label has enough faces of both classes to train and test on ({first}). Add photos.")
    return best


@contextmanager
def only_importer(name: str) -> Iterator[None]:
    """Nobody else imports under this name."""

    def refuse() -> None:
        raise Img2TabError(f"Another process is importing {name!r}. Wait for it, or choose another --name.")

    folder = home() / "imports"
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / f".{name}.lock", "w") as lock:
        hold(lock, busy=refuse)
        yield


def already_there(place: Path, mark: str) -> Imported | None:
    """The table, if it was made of the very same; a sentence if it was made of something else."""
    if not place.exists():
        return None
    about = store.about_of(place)
    if about.get("mark") != mark:
        raise Img2TabError(
            f"There is a table {place.name!r} of other photos, labels or backbone. Choose another --name, or replace "
            "it with --anew."
        )
    return Imported(store.open_table(place), Facts(**about), was_there=True)


def generator_mark(backbone: Backbone) -> bytes:
    """Changes with the backbone's weights and its name."""
    return f"{backbone.name} {backbone.layout.sizes} {backbone.key}".encode()


def content_mark(labels: pd.DataFrame, split: np.ndarray | None) -> bytes:
    return digest(labels.to_csv(index=False).encode(), b"" if split is None else split.tobytes()).encode()


class Pace:
    """How fast it goes and how long it will take, in words; what was done before does not count."""

    def __init__(self, total: int, before: int, things: str = "photos") -> None:
        self._total, self._before, self._things, self._start = total, before, things, time.monotonic()

    def at(self, done: int) -> str:
        """ "120 of 300 photos, 12.1 a second, 0:15 left"."""
        rate = (done - self._before) / max(time.monotonic() - self._start, 1e-3)
        left = round((self._total - done) / max(rate, 1e-9))
        hours, minutes = divmod(left // 60, 60)
        clock = f"{hours}:{minutes:02d}:{left % 60:02d}" if hours else f"{minutes}:{left % 60:02d}"
        return f"{done:,} of {self._total:,} {self._things}, {rate:.1f} a second, {clock} left"

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
from img2tab_core.base.files import home, only_one
from img2tab_core.base.layout import StyleLayout
from img2tab_core.base.records import ChannelStats, StyleTable, Target, digest
from img2tab_core.tables import store

SEEDS = 20  # splits that are tried
BLOCK_BYTES = 128 << 20  # style codes in memory at once


class Backbone(Protocol):
    """What an import needs of a backbone."""

    @property
    def name(self) -> str: ...

    @property
    def key(self) -> str:
        """Changes with its weights, those of its encoder too."""
        ...

    @property
    def layout(self) -> StyleLayout: ...

    @property
    def stats(self) -> ChannelStats: ...

    def invert(self, faces: np.ndarray) -> np.ndarray:
        """Aligned faces uint8 (n, S, S, 3) RGB -> w float32 (n, 512) or (n, L, 512)."""
        ...

    def on_card(self) -> Backbone:
        """The same that inverts on this process's graphics card."""
        ...

    def styles(self, w: np.ndarray) -> np.ndarray:
        """What `invert` gave -> style codes float32 (n, D)."""
        ...


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
    """The name, where a table may have it. Raises Img2TabError where not."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,59}", name) or name == "default":
        raise Img2TabError(
            "A table's name must be one word of at most 60 letters, digits, dots, dashes and underscores, and not "
            f"`default`, got {name!r:.60}. Choose another name."
        )
    return name


def divided(
    labels: pd.DataFrame, targets: Sequence[Target], split: np.ndarray | None
) -> tuple[np.ndarray, tuple[Target, ...], dict[str, str]]:
    """(split int8 (N,), usable targets, why not the others); where there is no split, one that keeps most of them.

    Of few faces a random part may have nobody of a class: of SEEDS seeds the first that keeps most targets is taken.
    Raises Img2TabError where no target is usable.
    """
    seeds = range(SEEDS) if split is None else range(1)
    splits = (store.split_of(len(labels), seed=seed) if split is None else split for seed in seeds)
    chosen = next(splits)
    kept, dropped = store.usable_targets(labels, targets, chosen)
    for other in splits:
        if not dropped:
            break
        more, fewer = store.usable_targets(labels, targets, other)
        if len(more) > len(kept):
            chosen, kept, dropped = other, more, fewer
    if not kept:
        first = "; ".join(f"{name}: {reason}" for name, reason in list(dropped.items())[:3])
        raise Img2TabError(f"No label has enough faces of both classes to train and test on ({first}). Add photos.")
    return chosen, kept, dropped


@contextmanager
def only_importer(name: str) -> Iterator[None]:
    """A context in which nobody else imports under this name. Raises Img2TabError where somebody does."""
    refusal = f"Another process is importing {name!r}. Wait for it, or choose another --name."
    with only_one(home() / "imports" / f".{name}.lock", refusal):
        yield


def already_there(place: Path, mark: str) -> Imported | None:
    """The table, where it was made of the very same; None where there is none.

    Raises Img2TabError where it was made of something else, or is damaged.
    """
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
    """Changes with the backbone's weights, its encoder's too, and its name."""
    return f"{backbone.name} {backbone.layout.sizes} {backbone.key}".encode()


def content_mark(labels: pd.DataFrame, split: np.ndarray | None) -> bytes:
    """Changes with the labels and the split."""
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

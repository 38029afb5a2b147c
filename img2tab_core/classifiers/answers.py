"""What a classifier of somebody's own answers about the faces of a table, as they are drawn; asked once and kept.

Its answers are a target of the table like any other: a face's label is the class it was taken for, and unknown where it
was not asked yet.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from img2tab_core.backbones import drawn_faces
from img2tab_core.backbones.backbone import Backbone
from img2tab_core.base.engines import HERE, Engine
from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.files import keeping
from img2tab_core.base.foreign import read_arrays
from img2tab_core.base.jobs import Cancel, Report, silent
from img2tab_core.base.once import Once
from img2tab_core.base.records import StyleTable, Target, read_only
from img2tab_core.base.words import count
from img2tab_core.classifiers import models
from img2tab_core.classifiers.pixel_models import PixelModel
from img2tab_core.tables.store import usable_targets

PREVIEW = 128  # px at which is asked first: faces are drawn twice as fast
STEPS = (200, 500, 1000, 2000, 5000, 10_000)  # faces asked, from which labels are made anew; then all
FIRST, SAMPLE = STEPS[0], STEPS[3]  # that answer at once; that a person waits for
KEPT_EVERY = 200  # faces
_asked: Once[tuple[str, int], Asked] = Once(64)  # by file and when it was written
_best: Once[tuple, Asked | None] = Once(64)  # by classifier, table and when its answers were written
_memory: dict[tuple[str, str, int], Asked] = {}  # of functions: nobody knows them again in another process


@dataclass(frozen=True, eq=False)
class Asked:
    """What a classifier answered: row numbers of a table int64 (n,), ascending, and log-odds float64 (n,); size: px at
    which the faces were drawn."""

    size: int
    rows: np.ndarray
    log_odds: np.ndarray

    def labels(self, count: int) -> np.ndarray:
        """The class each of so many faces was taken for, int8 (count,); -1 where it was not asked about."""
        column = np.full(count, -1, np.int8)
        column[self.rows] = self.log_odds > 0
        return column

    def of(self, rows: np.ndarray) -> np.ndarray:
        """Log-odds of these rows, float64; NaN where a face was not asked about."""
        if not len(self.rows):
            return np.full(len(rows), np.nan)
        at = np.searchsorted(self.rows, rows).clip(max=len(self.rows) - 1)
        return np.where(self.rows[at] == rows, self.log_odds[at], np.nan)

    def joined(self, rows: np.ndarray, log_odds: np.ndarray) -> Asked:
        """With further answers."""
        merged = np.concatenate([self.rows, rows])
        order = np.argsort(merged, kind="stable")
        return Asked(self.size, read_only(merged[order]), read_only(np.concatenate([self.log_odds, log_odds])[order]))


def order_of(table: StyleTable) -> np.ndarray:
    """All rows of a table in the order in which they are asked about: int64 (N,), the same for every classifier."""
    return _order(len(table.split))


def asked(model: PixelModel, table: StyleTable, size: int) -> Asked:
    """What was answered so far about faces drawn at this size."""
    none = Asked(size, np.empty(0, np.int64), np.empty(0))
    if is_function(model):
        return _memory.get((model.key, table.key, size), none)
    file = _file(model, table, size)
    try:
        written = file.stat().st_mtime_ns
    except OSError:
        return none

    def read() -> Asked:
        try:
            stored = read_arrays(file)
            return Asked(size, read_only(stored["rows"]), read_only(stored["log_odds"]))
        except (OSError, ValueError, KeyError):
            return none  # damaged: asked again

    return _asked.get((str(file), written), read)


def sizes_of(model: PixelModel) -> tuple[int, ...]:
    """px at which it is asked: its own first, then the preview's where that is smaller."""
    return (model.face_size,) if model.face_size <= PREVIEW else (model.face_size, PREVIEW)


def best(model: PixelModel, table: StyleTable) -> Asked | None:
    """The answers that a target is made of: those at the classifier's own size, the preview's until there are enough.

    As many as the last of `STEPS` that is reached, in the order of `order_of`; None before the first.
    """
    marks = tuple(_mark(model, table, size) for size in sizes_of(model))
    # a table is opened with its answers again and again: what did not change is not looked through anew
    return _best.get((model.key, table.key, marks), lambda: _best_of(model, table))


def _best_of(model: PixelModel, table: StyleTable) -> Asked | None:
    order = order_of(table)
    for size in sizes_of(model):
        answers = asked(model, table, size)
        known = np.isfinite(answers.of(order))
        reached = len(order) if known.all() else int(known.argmin())
        step = max((step for step in (*STEPS, len(order)) if step <= reached), default=0)
        if step >= min(FIRST, len(order)):
            rows = np.sort(order[:step])
            return Asked(size, read_only(rows), read_only(answers.of(rows)))
    return None


def _mark(model: PixelModel, table: StyleTable, size: int) -> tuple[str, int]:
    """Changes with the answers that are kept."""
    if is_function(model):
        known = _memory.get((model.key, table.key, size))
        return "", 0 if known is None else len(known.rows)
    file = _file(model, table, size)
    try:
        return str(file), file.stat().st_mtime_ns
    except OSError:
        return str(file), 0


@lru_cache(maxsize=8)
def _order(count: int) -> np.ndarray:
    return read_only(np.random.default_rng(0).permutation(count))


def ask(
    model: PixelModel,
    table: StyleTable,
    backbone: Backbone,
    rows: np.ndarray,
    *,
    size: int,
    engine: Engine = HERE,
    progress: Report | None = None,
    cancelled: Cancel = None,
) -> np.ndarray:
    """Log-odds float64 (n,) of these faces, in this order; those not asked about yet are drawn and asked, and kept.

    engine: who draws; this process asks.

    Raises Cancelled once `cancelled` says so; what was answered by then is kept.
    """
    report, rows = progress or silent, np.asarray(rows, np.int64)
    missing = rows[~np.isfinite(asked(model, table, size).of(rows))]
    new_rows: list[np.ndarray] = []
    new_odds: list[np.ndarray] = []

    def keep() -> None:
        if new_rows:
            _keep(model, table, size, np.concatenate(new_rows), np.concatenate(new_odds))
            new_rows.clear()
            new_odds.clear()

    begin, done = 0.0 if engine == HERE else 0.9, 0
    drawn_faces.draw_ahead(
        table,
        backbone,
        missing,
        size=size,
        engine=engine,
        progress=lambda share, text: report(begin * share, text),
        cancelled=cancelled,
    )
    try:
        for part, pictures in drawn_faces.drawn(table, backbone, missing, size=size, cancelled=cancelled):
            new_rows.append(part)
            new_odds.append(model.log_odds(pictures))
            done += len(part)
            report(
                begin + (1 - begin) * done / len(missing), f"{done:,} of {count(len(missing), 'face')} drawn and asked"
            )
            if sum(map(len, new_rows)) >= KEPT_EVERY:
                keep()
    finally:
        keep()
    return asked(model, table, size).of(rows)


def target_of(model: PixelModel, answers: Asked) -> Target:
    """The classifier's answers as a target of a table."""
    return Target(
        model.name,
        model.title,
        model.classes,
        f"What the classifier {model.name} of yours ({model.origin}) answers about {count(len(answers.rows), 'face')}, "
        f"drawn at {answers.size} px; unknown where it was not asked.",
    )


def with_answers(table: StyleTable) -> StyleTable:
    """The same table with a target for every classifier that was asked about its faces, behind its own.

    Not for one that takes nearly all of them for one class: on that nothing can be trained. Its name is then not among
    the targets; see `why_no_target`.
    """
    labels, targets = {}, []
    own = {target.name for target in table.targets}
    for model, answers in _models_asked(table):
        if model.name in own or model.name in table.labels.columns:
            continue
        labels[model.name] = answers.labels(len(table.split))
        targets.append(target_of(model, answers))
    if not targets:
        return table
    frame = table.labels.assign(**labels)
    kept, _ = usable_targets(frame, targets, table.split)
    return replace(
        table, labels=frame, targets=(*table.targets, *kept), answered=frozenset(target.name for target in kept)
    )


def state_of(table: StyleTable) -> tuple[tuple[str, int, int], ...]:
    """Changes with the classifiers that were asked about a table, and with how many answers there are."""
    return tuple((model.key, answers.size, len(answers.rows)) for model, answers in _models_asked(table))


def why_no_target(model: PixelModel, table: StyleTable) -> str:
    """A sentence that says why a classifier's answers are not a target of a table; "" where they are one."""
    answers = best(model, table)
    if answers is None:
        return f"{model.title} was not asked about the faces of the table {table.name!r} yet."
    labels = table.labels.assign(**{model.name: answers.labels(len(table.split))})
    _, dropped = usable_targets(labels, [target_of(model, answers)], table.split)
    if model.name not in dropped:
        return ""
    ones = int((answers.log_odds > 0).sum())
    which = model.classes[int(2 * ones > len(answers.rows))]
    return (
        f"{model.title} takes {max(ones, len(answers.rows) - ones):,} of {len(answers.rows):,} faces for {which}: "
        "there is nothing to tell apart. See whether it is handed its pictures as in training (--normalise, --colour, "
        "--crop)."
    )


def _models_asked(table: StyleTable) -> list[tuple[PixelModel, Asked]]:
    listed = []
    for name in models.names():
        try:
            model = models.open_model(name)
        except Img2TabError:  # its file is gone: `img2tab model list` says so
            continue
        answers = best(model, table)
        if answers is not None:
            listed.append((model, answers))
    return listed


def is_function(model: PixelModel) -> bool:
    """Whether it is a function of this process: what it answered is not kept for another one."""
    return model.origin == "a function"


def _file(model: PixelModel, table: StyleTable, size: int) -> Path:
    return models.answers_folder(model.key) / f"{table.name}-{table.key[:12]}-{size}.npz"


def _keep(model: PixelModel, table: StyleTable, size: int, rows: np.ndarray, log_odds: np.ndarray) -> None:
    file = _file(model, table, size)
    if is_function(model):
        _memory[model.key, table.key, size] = asked(model, table, size).joined(rows, log_odds)
        return
    answers = asked(model, table, size)
    fresh = ~np.isfinite(answers.of(rows))  # another process may have asked the same meanwhile
    answers = answers.joined(rows[fresh], log_odds[fresh])
    with keeping(file) as part, part.open("wb") as stream:
        np.savez(stream, rows=answers.rows, log_odds=answers.log_odds)

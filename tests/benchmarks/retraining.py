"""Retraining without one more concept: the quick answer, the full one, and the plain way to either, in the same run."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from img2tab_core import tables
from img2tab_core.base.files import home
from img2tab_core.base.records import StyleTable
from img2tab_core.classifiers import kinds, measures, quick
from img2tab_core.classifiers.base import ConceptClassifier
from img2tab_core.classifiers.treatment import treatment_of
from img2tab_core.studio import Studio

TARGET = "smiling"
FACES = 10_000  # to train on
GOAL = 5.0  # seconds to the first answer, issue 6
ERASED, ERASING_GOAL = "perceived_gender", 8.0  # seconds, issue 18
WAY = "CatBoost on every channel that remains, style codes read and quantized anew"
REPEATS = 5
COUNTS = (128, 256, 512, 1024, 2048, 4096)


def measure_retraining(*, repeats: int = REPEATS, plain_repeats: int = 2) -> list[dict]:
    """What a person waits for after excluding one more concept, 10,000 training faces x 6,752 channels.

    A row: what, goal, ours, plain, way (seconds, the least of the repeats, ours and plain in turn); accuracy and
    plain_accuracy on the test faces; note. Nothing of the visitor's folder is written.
    """
    with _own_home() as door:
        table = _of_faces(door.table(), TARGET, FACES)
        faces = tables.faces_of(table, TARGET)
        order, train_rows, (test_rows, test_labels) = door.trainer._order(faces), faces.train, faces.test
        screen, without = door.trainer.prepare(table, TARGET), frozenset(order[:1].tolist())

        def plain() -> ConceptClassifier:
            model = kinds.make("catboost", excluded=without, screen=None)
            return model.fit(table.psi, train_rows[1], rows=train_rows[0])

        def afresh() -> ConceptClassifier:
            """The full classifier of the product, on style codes that were not quantized before."""
            model = kinds.make("catboost", excluded=without)
            return model.fit(table.psi, train_rows[1], rows=train_rows[0], order=order)

        found: dict[str, list[float]] = {name: [] for name in ("quick", "full", "afresh", "plain")}
        kept: dict[str, object] = {}
        ways: dict[str, Callable[[], object]] = {
            "quick": lambda: door.trainer.train_quick(table, TARGET, excluded=without),
            "full": lambda: door.train(table, TARGET, excluded=without),
            "afresh": afresh,
            "plain": plain,
        }
        for turn in range(repeats):
            for name, work in ways.items():
                if name in ("quick", "full") or turn < plain_repeats:
                    seconds, kept[name] = _seconds(work)
                    found[name].append(seconds)
        least = {name: min(values) for name, values in found.items()}
        accuracy = {name: kept[name].metrics.accuracy for name in ("quick", "full")} | {
            name: measures.measure(kept[name], table.psi, test_labels, rows=test_rows).accuracy
            for name in ("afresh", "plain")
        }
        shape = f"{len(train_rows[0]):,} x {table.layout.total:,}"
        rows = [
            _row(
                f"quick answer without one more concept, {shape}",
                least["quick"],
                least["plain"],
                WAY,
                goal=GOAL,
                accuracy=accuracy["quick"],
                plain_accuracy=accuracy["plain"],
                note=screen.sentence,
            ),
            _row(
                f"full answer without one more concept, {shape}",
                least["full"],
                least["plain"],
                WAY,
                accuracy=accuracy["full"],
                plain_accuracy=accuracy["plain"],
                note=quick.difference(kept["quick"].metrics, kept["full"].metrics),
            ),
            _row(
                "the same full classifier from quantized codes",
                least["full"],
                least["afresh"],
                "the same 2,048 channels read and quantized anew",
                accuracy=accuracy["full"],
                plain_accuracy=accuracy["afresh"],
                note="the same to the last bit",
            ),
        ]
        quantizing, _ = _seconds(lambda: quick.make_pool(faces, order))
        reading, codes = _seconds(lambda: quick.stored_pool(faces))
        assert codes is not None
        rows.append(
            _row("quantized codes from disk, once per start", reading, quantizing, "quantizing, once per target")
        )
        fresh = Studio()
        cold, first = _seconds(
            lambda: fresh.trainer.train_quick(replace(table, key="never seen"), TARGET, excluded=without)
        )
        rows.append(
            _row(
                f"first quick answer of a new table, nothing ranked or quantized yet, {shape}",
                cold,
                None,
                "",
                goal=GOAL,
                accuracy=first.metrics.accuracy,
                note=first.note,
            )
        )
        treatment = treatment_of((ERASED,), balance=True)
        erasing, erased = _seconds(lambda: Studio().trainer.train_quick(table, TARGET, treatment=treatment))
        rows.append(
            _row(
                f"first quick answer with {ERASED} erased and balanced, measured first, {shape}",
                erasing,
                None,
                "",
                goal=ERASING_GOAL,
                accuracy=erased.metrics.accuracy,
                note=erased.note,
            )
        )
    return rows


def retraining_over_columns(counts: tuple[int, ...] = COUNTS) -> list[tuple[int, float, float]]:
    """(columns, seconds from quantized codes, seconds from style codes) of the full classifier; the least of three."""
    with _own_home() as door:
        table = _of_faces(door.table(), TARGET, FACES)
        faces = tables.faces_of(table, TARGET)
        order, (rows, labels) = door.trainer._order(faces), faces.train
        codes, found = door.trainer._codes(faces, make=True), []
        for count in counts:
            ours, plain = [], []
            for _ in range(3):
                model = kinds.make("catboost", screen=count)
                ours.append(_seconds(lambda model=model: model.fit_quantized(codes, order=order))[0])
                plain.append(_seconds(lambda model=model: model.fit(table.psi, labels, rows=rows, order=order))[0])
            found.append((count, min(ours), min(plain)))
    return found


def _row(what: str, ours: float, plain: float | None, way: str, *, goal: float | None = None, **more) -> dict:
    return {"what": what, "goal": goal, "ours": ours, "plain": plain, "way": way, **more}


def _seconds(work: Callable[[], object]) -> tuple[float, object]:
    started = time.perf_counter()
    result = work()
    return time.perf_counter() - started, result


def _of_faces(table: StyleTable, target: str, count: int) -> StyleTable:
    """The table with so many training faces whose label is known; the others belong to no part of it."""
    rows = tables.labelled(table, target, "train")[0]
    split = table.split.copy()
    split[np.random.default_rng(0).permutation(rows)[count:]] = 3
    return replace(table, split=split, key=f"{table.key}, {count} faces")


@contextmanager
def _own_home():
    """A service whose folder is new, with the real default table in it."""
    before, real = os.environ.get("IMG2TAB_HOME"), home()
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "tables").mkdir()
        (Path(folder) / "tables" / "default").symlink_to((real / "tables" / "default").resolve())
        os.environ["IMG2TAB_HOME"] = folder
        try:
            yield Studio()
        finally:
            if before is None:
                del os.environ["IMG2TAB_HOME"]
            else:
                os.environ["IMG2TAB_HOME"] = before


if __name__ == "__main__":
    for line in measure_retraining():
        print(line)

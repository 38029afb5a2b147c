"""`make bench`: what the product takes beside the plain way to do it, in one run on one machine."""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

from img2tab_core.cli import MALLOC

OUT = Path(__file__).resolve().parents[1] / "bench-output"
HEAD = "| what | goal | ours | the plain way | ratio |\n|---|---|---|---|---|"


def seconds(work: Callable[[], object], *, repeat: int = 5) -> float:
    """Median of `repeat` warm runs."""
    work()
    found = []
    for _ in range(repeat):
        started = time.perf_counter()
        work()
        found.append(time.perf_counter() - started)
    return statistics.median(found)


def measure() -> list[dict]:
    """One row per timing: what, goal, ours and plain in seconds, what the plain way is."""
    import numpy as np
    import scipy.stats
    from PIL import Image

    from img2tab_core import classifiers, rendering, scoring, tables
    from img2tab_core.records import Edit
    from img2tab_core.service import Studio
    from tests.conftest import SHARED

    studio = Studio()
    table = studio.table()
    run = studio.run(table, "perceived_gender")
    photo = SHARED / "photos" / "canada" / "003f.jpg"
    face = studio.samples()[0]
    code = studio.encode(face)
    index = int(np.argmax(studio.scores(run).distance))
    rows = []

    def row(what: str, ours: float, *, goal: float | None = None, plain: float | None = None, way: str = "") -> None:
        rows.append({"what": what, "goal": goal, "ours": ours, "plain": plain, "way": way})
        print(f"{what}: {ours:.3f} s", file=sys.stderr)

    if photo.is_file():
        data = photo.read_bytes()

        def upload() -> None:
            found = studio.encode(studio.faces(data)[0])
            studio.predict(run, found)
            studio.scores(run)

        row("upload of a 1350 x 1800 photo to ranked concepts", seconds(upload), goal=2.0)
    row("encode an aligned face", seconds(lambda: studio.encode(face)))

    shifts = iter(np.linspace(-5, 5, 1000))

    def full_then_small() -> None:
        moved = studio.edited(code, [Edit(index, float(next(shifts)))])
        picture = rendering.draw(studio.backbone().generator, [moved], size=1024)[0]
        Image.fromarray(picture).resize((256, 256), Image.BOX)
        studio.predict(run, moved)

    def edit() -> None:
        edits = [Edit(index, float(next(shifts)))]
        studio.render(code, edits, size=256)
        studio.predict(run, code, edits)

    row("one 256 px edit with its probability", seconds(edit), goal=0.3, plain=seconds(full_then_small),
        way="draw 1024 px and shrink")
    row("one 1024 px edit", seconds(lambda: studio.render(code, [Edit(index, 3.0)], size=1024)))
    row("strip of 9 frames, 128 px", seconds(lambda: studio.strip(run, code, index), repeat=3))

    train_rows, labels = tables.labelled(table, "perceived_gender", "train")
    ours = seconds(lambda: scoring.wasserstein(table.psi, labels, std=table.stats.std, rows=train_rows), repeat=3)
    sample = np.random.default_rng(0).choice(table.psi.shape[1], 60, replace=False)
    first, second = train_rows[labels == 0], train_rows[labels == 1]

    def loop() -> None:
        for channel in sample:
            values = np.asarray(table.psi[:, channel])
            scipy.stats.wasserstein_distance(values[first], values[second])

    row(f"Wasserstein-1, {len(train_rows):,} faces x {table.psi.shape[1]:,} channels", ours,
        plain=seconds(loop, repeat=3) * table.psi.shape[1] / len(sample), way="SciPy per channel, from 60 channels")

    retrain = seconds(lambda: studio.train(table, "perceived_gender", excluded=frozenset({index})), repeat=2)
    started = time.perf_counter()
    classifiers.CatBoostConcepts(screen=None).fit(table.psi, labels, rows=train_rows)
    row("retrain without a concept, measured on the test split", retrain, goal=20.0,
        plain=time.perf_counter() - started, way="train on every channel")
    return rows


def report(rows: list[dict]) -> str:
    """The table of the README, Markdown."""
    lines = [HEAD]
    for one in rows:
        goal = f"{one['goal']:g} s" if one["goal"] else ""
        plain = f"{one['plain']:.2f} s ({one['way']})" if one["plain"] else ""
        ratio = f"{one['plain'] / one['ours']:.1f} x" if one["plain"] else ""
        lines.append(f"| {one['what']} | {goal} | {one['ours']:.3f} s | {plain} | {ratio} |")
    return "\n".join(lines)


def machine() -> dict:
    """What the numbers belong to."""
    import catboost
    import torch

    return {
        "date": date.today().isoformat(), "cores": os.cpu_count(), "processor": platform.machine(),
        "python": platform.python_version(), "torch": torch.__version__, "catboost": catboost.__version__,
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU",
    }


def main() -> None:
    if not MALLOC.keys() <= os.environ.keys():                       # the settings `img2tab serve` starts with
        os.execve(sys.executable, [sys.executable, "-m", "tests.bench"], {**MALLOC, **os.environ})
    rows = measure()
    OUT.mkdir(exist_ok=True)
    (OUT / "bench.json").write_text(json.dumps({"machine": machine(), "rows": rows}, indent=1))
    (OUT / "bench.md").write_text(report(rows) + "\n")
    print(report(rows))
    print("  ".join(f"{name} {value}" for name, value in machine().items()))


if __name__ == "__main__":
    main()

"""What a photo costs, in core-seconds and bytes, by job and number of photos: the tables of docs/costs.md.

`python -m tests.costs` measures on one core of this machine, simulates more workers with what it measured, and holds
the simulation against the rates of `python -m tests.engines`, given by `--rates`. `--docs` writes the page.
"""

from __future__ import annotations

import argparse
import heapq
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from img2tab_core import tables, weights
from img2tab_core.audits import audit as groups
from img2tab_core.audits.auditor import Auditor
from img2tab_core.backbones.backbone import open_backbone
from img2tab_core.concepts import measuring, moving, sharded
from img2tab_core.studio import Aligner, Studio
from img2tab_core.tables import encoding, sources, store
from tests.engines import make_photos

ROOT = Path(__file__).resolve().parents[1]
PAGE, MARKS = ROOT / "docs" / "costs.md", ("<!-- costs -->", "<!-- /costs -->")
GROUPS, ROWS, MOVES, SHARDS = 20, 4_000, 24, 8  # what is measured: groups of photos, rows of a table, channels, shards
SIZES, WORKERS = (10_000, 100_000, 1_000_000), (1, 2, 16, 128, 1024)
TARGET, SENSITIVE, TEST = "smiling", "perceived_gender", 0.15
DRAWS = 200  # of the bootstrap
RNG = np.random.default_rng(0)


@dataclass(frozen=True)
class Cost:
    """Core-seconds of every repetition, float64 (k,), each of so many units; bytes of a unit read, written and sent."""

    seconds: np.ndarray
    units: float
    read: float = 0.0
    written: float = 0.0
    sent: float = 0.0

    def interval(self) -> tuple[float, float, float]:
        """(mean, low, high) core-seconds of a unit; a 95 % interval over the repetitions on this machine."""
        means = RNG.choice(self.seconds, (DRAWS, len(self.seconds))).mean(axis=1) / self.units
        return float(self.seconds.mean() / self.units), *np.quantile(means, (0.025, 0.975)).tolist()


def _timed(work: Callable[[], object], repeats: int) -> np.ndarray:
    taken = []
    for _ in range(repeats):
        began = time.process_time()
        work()
        taken.append(time.process_time() - began)
    return np.array(taken)


def encode(folder: Path, shared: Path) -> Cost:
    """Read, align, encode: of a photo, group by group, as a worker does it."""
    photos = make_photos(folder / "photos", shared, GROUPS * encoding.GROUP)
    source = sources.folder_source(photos, photos / "labels.csv", align=Aligner(False))
    backbone = open_backbone()
    answers = encoding.Encoding(source.load, backbone, encoding.shape_of(backbone))()
    groups = iter([range(at, at + encoding.GROUP) for at in range(0, len(source.names), encoding.GROUP)])
    shard = next(iter(answers([next(groups)])))  # the first opens everything
    seconds = np.concatenate([_timed(lambda part=part: list(answers([part])), 1) for part in groups])
    read = sum((photos / name).stat().st_size for name in source.names) / len(source.names)
    return Cost(seconds, encoding.GROUP, read, sum(array.nbytes for array in shard.values()) / encoding.GROUP)


def assemble(folder: Path) -> Cost:
    """The table of what is encoded: of a photo, in the one process that has begun the import."""
    backbone = open_backbone()
    w = np.random.default_rng(0).standard_normal((ROWS, 512), np.float32)
    table = Studio().table()
    labels = table.labels.iloc[:ROWS].reset_index(drop=True)

    def written() -> None:
        store.write_table(
            folder / "table",
            lambda rows: backbone.styles(w[rows]),
            labels,
            targets=table.targets,
            layout=table.layout,
            backbone=table.backbone,
            key="0",
        )

    written()
    total = table.layout.total
    return Cost(_timed(written, 5), ROWS, w.nbytes / ROWS, 4.0 * total, w.nbytes / ROWS)


def describe() -> Cost:
    """One channel moved on one face, up and down, drawn and looked at; of a backbone, however many photos there are."""
    studio = Studio()
    backbone = studio.backbone()
    face = measuring.varied(backbone, studio.table(), count=1)[0]
    channels = np.linspace(0, backbone.layout.total - 1, MOVES).astype(int)
    some = [channels[at : at + 4] for at in range(0, MOVES, 4)]
    moving.move(backbone, face, channels[:2], weights.path("landmarks-68"), always=True)
    seconds = [
        _timed(lambda part=part: moving.move(backbone, face, part, weights.path("landmarks-68"), always=True), 1)
        for part in some
    ]
    return Cost(np.concatenate(seconds), 4)


def distance() -> Cost:
    """The three questions about the training faces of a table in shards: of a photo, all its channels."""
    table = Studio().table()
    rows, labels = tables.labelled(table, TARGET, "train")
    parts = [
        sharded.Shard(table.psi, rows[some], labels[some]) for some in np.array_split(np.arange(len(rows)), SHARDS)
    ]
    taken = np.zeros(SHARDS)

    def ask(question: sharded.Question) -> list[sharded.Arrays]:
        answers = []
        for number, part in enumerate(parts):
            began = time.process_time()
            answers.append(dict(vars(question(part))))
            taken[number] += time.process_time() - began
        return answers

    answer = sharded.over(ask, (int((labels == 0).sum()), int((labels == 1).sum())), std=table.stats.std)
    return Cost(taken, len(rows) / SHARDS, 3 * 4.0 * table.layout.total, 0, sum(answer.sent) / len(rows))


def audit() -> Cost:
    """Judging, groups, gaps and their intervals: of a test face."""
    studio = Studio()
    run = studio.run(studio.table(), TARGET)
    rows, labels = tables.labelled(studio.table(), TARGET, "test")

    def audited() -> None:
        probability = run.classifier.predict_proba(np.asarray(studio.table().psi[rows]))[:, 1]
        groups.audit(labels, probability, Auditor(studio).groups(run, [SENSITIVE], rows))

    audited()
    return Cost(_timed(audited, 5), len(rows), 4.0 * studio.table().layout.total)


# ---- more workers than there are here


def simulated(photos: int, workers: int, groups: np.ndarray, start: float, assemble: float) -> float:
    """Seconds of an import: parts go to whoever is free first, then one process puts the table together.

    groups: core-seconds of a group each, drawn from; start: seconds until a worker works; assemble: of a photo.
    """
    free = [start] * min(workers, len(parts := encoding.parts_of(photos)))
    heapq.heapify(free)
    drawn = RNG.choice(groups, sum(-(-len(part) // encoding.GROUP) for part in parts))
    at = 0
    for part in parts:
        count = -(-len(part) // encoding.GROUP)
        heapq.heapreplace(free, free[0] + float(drawn[at : at + count].sum()))
        at += count
    return max(free) + photos * assemble


def curve(cost: Cost, put: Cost, *, start: float, slowdown: Sequence[float]) -> str:
    """Photos a second by workers and number of photos, as a table. slowdown: see `calibrated`; low and high."""
    lines = ["| workers | " + " | ".join(f"{size:,} photos" for size in SIZES) + " |", "|---:|" + "---:|" * len(SIZES)]
    for workers in WORKERS:
        cells = []
        for size in SIZES:
            seconds = [
                simulated(size, workers, cost.seconds * (1.0 if workers == 1 else by), start, put.interval()[0])
                for by in slowdown
            ]
            low, high = sorted(size / each for each in seconds)
            cells.append(f"{low:,.0f} to {high:,.0f}")
        lines.append(f"| {workers:,} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _bytes(count: float) -> str:
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count:.0f} B"


def _core_time(seconds: float) -> str:
    for unit, size in (("core-years", 3.156e7), ("core-days", 86_400), ("core-hours", 3_600)):
        if seconds >= size:
            return f"{seconds / size:,.1f} {unit}"
    return f"{seconds:,.0f} core-seconds"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shared", type=Path, default=Path(os.environ.get("IMG2TAB_SHARED", ROOT.parent / "shared")))
    parser.add_argument("--rates", help="A,B,N: photos a second of 1 and of 2 workers, and how many photos they were")
    parser.add_argument("--start", type=float, default=4.0, help="seconds until a worker works")
    parser.add_argument("--docs", action="store_true", help="write docs/costs.md")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        jobs = {"encode": encode(folder, asked.shared / "photos"), "put the table together": assemble(folder)}
    jobs |= {
        "distance, in 8 shards": distance(),
        "audit, of a test face": audit(),
        "describe, of a moved channel": describe(),
    }
    lines = ["| job | core-seconds | read | written | sent |", "|---|---:|---:|---:|---:|"]
    for job, cost in jobs.items():
        mean, low, high = cost.interval()
        lines.append(
            f"| {job} | {mean:.2g} ({low:.2g} to {high:.2g}) | {_bytes(cost.read)} | {_bytes(cost.written)} | "
            f"{_bytes(cost.sent)} |"
        )
    out = ["Of one photo, on one core:", "", *lines, ""]
    each, put = jobs["encode"], jobs["put the table together"]
    slowdown = (1.0, 1.0)
    if asked.rates:
        one, two, count = (float(text) for text in asked.rates.split(","))
        busy = [count / rate - asked.start - count * put.interval()[0] for rate in (one, two)]
        slowdown = (1.0, max(1.0, 2 * busy[1] / busy[0]))
        told = [count / simulated(int(count), n, each.seconds, asked.start, put.interval()[0]) for n in (1, 2)]
        out += [
            f"Held against `python -m tests.engines --count {count:.0f}`: simulated {told[0]:.1f} and {told[1]:.1f} "
            f"photos a second with 1 and 2 workers, measured {one:.1f} and {two:.1f}. "
            f"Of two workers on the two cores of this machine each takes {slowdown[1]:.2f} times as long as one alone.",
            "",
        ]
    out += [
        "Photos a second of an import, simulated; from each worker as slow as here beside another one to as fast as "
        "alone:",
        "",
        curve(each, put, start=asked.start, slowdown=slowdown),
        "",
    ]
    lines = [
        "| photos | encode | put together | distance | audit | style codes, float32 | w, float32 | sent for distances |"
    ]
    lines.append("|---:|" + "---:|" * 7)
    total = 6752
    for size in (*SIZES, 10**9):
        shards = max(1, size // 25_000)
        cells = [
            _core_time(size * each.interval()[0]),
            _core_time(size * put.interval()[0]),
            _core_time(size * jobs["distance, in 8 shards"].interval()[0]),
            _core_time(size * TEST * jobs["audit, of a test face"].interval()[0]),
            _bytes(size * total * 4.0),
            _bytes(size * 512 * 4.0),
            _bytes(shards * total * float(sum(sharded.bytes_sent(size, shards)))),
        ]
        lines.append(f"| {size:,} | " + " | ".join(cells) + " |")
    out += lines
    text = "\n".join(out)
    print(text)
    if asked.docs:
        before, _, rest = PAGE.read_text().partition(MARKS[0])
        PAGE.write_text(f"{before}{MARKS[0]}\n{text}\n{MARKS[1]}{rest.partition(MARKS[1])[2]}")


if __name__ == "__main__":
    main()

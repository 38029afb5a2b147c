"""The shards of a table are ranges of its rows: an engine asks each of them what `sharded` wants to know.

An answer stays on the disk until all are there, so work that was stopped goes on (`base.shards`). Workers on other
machines must find the tables in the same folder.
"""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Generator, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from img2tab_core import tables
from img2tab_core.base.engines import HERE, Engine, each
from img2tab_core.base.errors import Cancelled, Img2TabError
from img2tab_core.base.files import home, only_one
from img2tab_core.base.jobs import Cancel, Report, silent
from img2tab_core.base.ray_workers import cluster
from img2tab_core.base.records import digest
from img2tab_core.base.shards import Answers, Shards
from img2tab_core.concepts import sharded
from img2tab_core.tables import LabelledRows, TargetFaces

QUESTIONS = 3  # that every shard is asked
MOST = 10_000  # shards


def ask_all(
    faces: TargetFaces, count: int, *, engine: Engine = HERE, progress: Report | None = None, stopped: Cancel = None
) -> sharded.Answer:
    """Distance and direction of the training faces of a target with two classes, over so many ranges of rows.

    The bits are those of `wasserstein.distance_and_direction`. Raises Img2TabError where the count is not 1 to 10,000,
    the target has more classes or one without a training face, or nothing can be kept, Cancelled where `stopped` said
    so, and what `engines.each` and `sharded.over` raise but OSError.
    """
    if not 1 <= count <= MOST:
        raise Img2TabError(f"--shards must be 1 to {MOST:,}, got {count}. Choose another number.")
    table, report = faces.table, progress or silent
    tables.target_of(table, faces.target)
    bounds = np.linspace(0, len(table.psi), min(count, len(table.psi)) + 1).astype(int).tolist()
    parts = [range(start, stop) for start, stop in pairwise(bounds)]
    folder = home() / "distances" / f"{table.name}-{faces.target}.shards"
    answered = 0

    def came(part: range) -> None:
        nonlocal answered
        answered += 1
        report(answered / (QUESTIONS * len(parts)), f"{answered:,} of {QUESTIONS * len(parts):,} answers of shards")

    def ask(question: sharded.Question) -> Iterator[sharded.Arrays]:
        shards = Shards(folder, digest(faces.key.encode(), pickle.dumps(question)))
        work = _Asked(question, home() / "tables" / table.name, table.key, faces.train)
        if not each(work, parts, shards, engine=engine, progress=came, stopped=stopped):
            raise Cancelled("Stopped. The answers that came are kept: run the same command again to go on.")
        return (shards.read(part) for part in parts)

    labels = faces.train.labels
    try:
        with (
            only_one(folder / ".lock", "Another process measures the very same distances. Wait for it."),
            cluster(engine.address, engine.workers) if engine.name == "ray" else nullcontext(),  # for all questions
        ):
            answer = sharded.over(ask, (int((labels == 0).sum()), int((labels == 1).sum())), std=table.stats.std)
            shutil.rmtree(folder, ignore_errors=True)
    except OSError as error:
        raise Img2TabError(
            f"The answers of shards could not be kept in {folder} ({error.strerror or error}). What is there is kept: "
            "free some space and run the same command again."
        ) from error
    return answer


@dataclass(frozen=True, eq=False)
class _Asked:
    """Work (`base.shards.Work`) whose parts are ranges of rows, and whose answers are those to one question.

    key: of the table, which is opened by each worker for itself. faces: those that take part, rows ascending.
    """

    question: sharded.Question
    folder: Path
    key: str
    faces: LabelledRows

    def __call__(self) -> Answers:
        table = tables.open_table(self.folder)
        if table.key != self.key:
            raise Img2TabError(f"The table {table.name!r} was replaced meanwhile. Run the same command again.")
        psi, (rows, labels) = table.psi, self.faces

        def answers(parts: Sequence[range]) -> Generator[sharded.Arrays, None, None]:
            for part in parts:
                some = slice(*np.searchsorted(rows, (part.start, part.stop)))
                record = self.question(sharded.Shard(psi, rows[some], labels[some]))
                tables.let_go(psi)
                yield dict(vars(record))

        return answers

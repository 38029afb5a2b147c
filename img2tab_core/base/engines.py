"""Who does work of many independent parts: this process, processes of this machine, or the workers of a Ray cluster.

The answer of a part is a shard (`shards`), written by whoever worked on it. Who called `each` reads the shards in row
order, so that its result is the same bytes whoever worked, however many they were and whichever of them was killed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass

from img2tab_core.base import process_workers, ray_workers
from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.jobs import Cancel, never
from img2tab_core.base.shards import Shards, Work

MOST_WORKERS = 10_000


@dataclass(frozen=True)
class Engine:
    """Who works.

    name: "local" for this machine, "ray" for a Ray cluster. workers: how many processes, each with one thread; None for
    one a core; 0, of "local" alone, for this very process. address: of a running Ray cluster; "" for one of this
    machine that is begun and ended with the work. gpus: a graphics card for each of them.
    Raises Img2TabError where these do not go together.
    """

    name: str = "local"
    workers: int | None = None
    address: str = ""
    gpus: bool = False

    def __post_init__(self) -> None:
        if self.name not in ("local", "ray"):
            raise Img2TabError(f"--engine must be local or ray, got {self.name!r:.60}. Choose one of them.")
        if self.workers is not None and not 0 <= self.workers <= MOST_WORKERS:
            raise Img2TabError(
                f"--workers must be 1 to {MOST_WORKERS:,}, got {self.workers}. Leave it out for all cores."
            )
        if self.name == "local" and (self.address or self.gpus):
            option = "--address" if self.address else "--gpus"
            raise Img2TabError(f"{option} is of a Ray cluster. Say --engine ray as well, or leave {option} out.")
        if self.name == "ray" and self.workers == 0:
            raise Img2TabError("--workers must be at least 1 with --engine ray, got 0. Leave it out for all cores.")


HERE = Engine(workers=0)  # this process


def each(
    work: Work,
    parts: Sequence[range],
    shards: Shards,
    *,
    engine: Engine = HERE,
    progress: Callable[[range], None] | None = None,
    stopped: Cancel = None,
) -> bool:
    """Have every part answered that has no shard yet; whether all have one now, or `stopped` said to stop before.

    work: what opens the answers; with another engine than HERE it is sent to other processes, so it must be picklable,
    such as a frozen dataclass of a module. progress: called with every part as its shard comes, not with those that had
    one. A worker that is killed or lacks memory is replaced. Raises Img2TabError where the engine is not there or a
    part ends every worker, OSError where a shard cannot be written, and what the work raises.
    """
    report, stopped = progress or (lambda part: None), stopped or never
    shards.begin()
    missing = shards.missing(parts)
    if not missing:
        return True
    if engine.name == "ray":
        return ray_workers.work_on(
            work,
            missing,
            shards,
            workers=engine.workers,
            address=engine.address,
            gpus=engine.gpus,
            progress=report,
            stopped=stopped,
        )
    if engine.workers == 0:
        return _here(work, missing, shards, report, stopped)
    return process_workers.work_on(
        work,
        missing,
        shards,
        workers=engine.workers or process_workers.cores(),
        progress=report,
        stopped=stopped,
    )


def _here(
    work: Work, parts: Sequence[range], shards: Shards, progress: Callable[[range], None], stopped: Callable[[], bool]
) -> bool:
    with closing(work()(parts)) as answers:
        for number, (part, answer) in enumerate(zip(parts, answers, strict=True), start=1):
            shards.write(part, answer)
            progress(part)
            if number < len(parts) and stopped():
                return False
    return True

"""Photos become w: loaded, aligned and encoded in one place, so that nothing grows on the way between two of them.

A part is a range of photos. They are encoded in pieces by their fixed place, each on one core: of 1 face the last bits
of a w follow the number of threads, and of a piece they are the same whoever encodes it and how many cores there are.
"""

from __future__ import annotations

import shutil
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace

import numpy as np

from img2tab_core.base.cores import on_single_cores
from img2tab_core.base.engines import HERE, Engine, each
from img2tab_core.base.errors import Cancelled, Img2TabError, Unreachable, lacks_memory
from img2tab_core.base.files import home, only_one
from img2tab_core.base.jobs import Report
from img2tab_core.base.shards import Answer, Answers, Shards, Work
from img2tab_core.tables.imports import Backbone, Pace

GROUP = 32  # photos that are encoded while the next ones are read and aligned
PIECE = 8  # faces encoded together on one core; more are hardly faster
ALIGNERS = 2  # threads that read and align; dlib itself works in one at a time
FEW = 320  # photos that are left, up to which processes are not worth their start
MANY = 100  # shards of an import, beyond which they hold more than a group each
LARGEST = 8  # groups in a shard at most: what a kill costs a worker, 15 seconds of one core

Load = Callable[[int], tuple[np.ndarray, int]]  # see `Source.load`
Loaded = tuple[np.ndarray, int] | str  # an aligned face and how many the photo has, or why there is none


def parts_of(photos: int) -> list[range]:
    """So many photos in parts: groups, or some of them in a row where there would be more than MANY parts."""
    size = GROUP * min(max(photos // (GROUP * MANY), 1), LARGEST)
    return [range(start, min(start + size, photos)) for start in range(0, photos, size)]


def shape_of(backbone: Backbone) -> tuple[int, ...]:
    """Of one of its w. Raises Img2TabError where the backbone has no encoder: here, before the work."""
    return backbone.invert(np.full((1, 256, 256, 3), 128, np.uint8)).shape[1:]


@dataclass(frozen=True, eq=False)
class Encoding:
    """Work (`shards.Work`) whose parts are photos by their number, and whose answers hold what became of them.

    rows: int64 (n,), the photos that have a w; w: float32 (n, 512) or (n, L, 512); faces: int32 (photos of the part,),
    how many faces a photo has, 0 where it has no w; reasons: why not, for each of those, in their order. shape: of one
    w; on_card: encode on the worker's graphics card. A photo for which the memory does not do ends the work with an
    exception: it is no reason to leave it out.
    """

    load: Load
    backbone: Backbone
    shape: tuple[int, ...]
    on_card: bool = False

    def __call__(self) -> Answers:
        return replace(self, backbone=self.backbone.on_card())._answers if self.on_card else self._answers

    def _answers(self, parts: Sequence[range]) -> Generator[Answer, None, None]:
        groups = [_groups(part) for part in parts]
        encoded = self._encoded([group for part in groups for group in part])
        try:
            for part, its_groups in zip(parts, groups, strict=True):
                codes, counts, reasons = zip(*(next(encoded) for _ in its_groups), strict=True)
                faces = np.concatenate(counts)
                yield {
                    "rows": np.int64(part.start) + np.flatnonzero(faces),
                    "w": np.concatenate(codes),
                    "faces": faces,
                    "reasons": np.array([reason for group in reasons for reason in group], str),
                }
        finally:
            encoded.close()

    def _encoded(self, groups: Sequence[range]) -> Generator[tuple[np.ndarray, np.ndarray, list[str]], None, None]:
        """(w, faces, reasons) of every group; while one is encoded the next one is read and aligned."""
        pool = ThreadPoolExecutor(ALIGNERS, thread_name_prefix="img2tab-align")
        ahead: deque[list[Future[Loaded]]] = deque()
        try:
            for group in groups:
                ahead.append([pool.submit(_loaded, self.load, i) for i in group])
                if len(ahead) > 1:
                    yield self._encode([future.result() for future in ahead.popleft()])
            while ahead:
                yield self._encode([future.result() for future in ahead.popleft()])
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _encode(self, photos: Sequence[Loaded]) -> tuple[np.ndarray, np.ndarray, list[str]]:
        pixels = [photo[0] for photo in photos if not isinstance(photo, str)]
        pieces = [np.stack(pixels[start : start + PIECE]) for start in range(0, len(pixels), PIECE)]
        codes = on_single_cores(self.backbone.invert, pieces) if pieces else []
        w = np.concatenate([np.empty((0, *self.shape), np.float32), *codes]).astype(np.float32)
        finite = np.array([np.isfinite(code).all() for code in w], bool)  # (n,)
        faces, reasons, encoded = np.zeros(len(photos), np.int32), [], iter(finite)
        for place, photo in enumerate(photos):
            if isinstance(photo, str):
                reasons.append(photo)
            elif next(encoded):
                faces[place] = photo[1]
            else:
                reasons.append("The encoder's answer to this face is not a number.")
        return w[finite], faces, reasons


def _groups(part: range) -> list[range]:
    return [range(start, min(start + GROUP, part.stop)) for start in range(part.start, part.stop, GROUP)]


def _loaded(load: Load, i: int) -> Loaded:
    """The face of photo number i and how many there were, or why there is none."""
    try:
        return load(i)
    except Img2TabError as error:
        if lacks_memory(error) or isinstance(error, Unreachable):  # of no other photo it would be otherwise
            raise
        return str(error)
    except OSError as error:
        if lacks_memory(error):
            raise MemoryError(str(error)) from error
        return f"The file cannot be read ({error.strerror})."


def here(engine: Engine, photos: int) -> Engine:
    """The engine; this process where it was not said how many workers there are, and so few photos are left."""
    return HERE if engine.name == "local" and engine.workers is None and photos <= FEW else engine


def answered(
    work: Work,
    photos: int,
    *,
    what: str,
    key: str,
    engine: Engine,
    report: Report,
    stopped: Callable[[], bool],
) -> Generator[tuple[range, Answer], None, None]:
    """The parts of so many photos with their answers, in their order.

    In this process nothing is kept. Other engines keep shards in `imports/WHAT-KEY`, until `forget`.
    Raises Cancelled once `stopped` says so, and Img2TabError where nothing can be kept.
    """
    engine, parts = here(engine, photos), parts_of(photos)
    if engine == HERE:
        pace = Pace(photos, 0)
        with closing(work()(parts)) as answers:
            for part, answer in zip(parts, answers, strict=True):
                report(part.stop / photos, pace.at(part.stop))
                yield part, answer
                if stopped() and part is not parts[-1]:
                    raise Cancelled(f"Stopped after {part.stop:,} of {photos:,} photos; nothing was written.")
        return
    name = _name(what, key)
    shards = Shards(home() / "imports" / name, key)
    try:
        with only_one(shards.folder.with_name(f".{name}.lock"), "Another process does the very same. Wait for it."):
            done = photos - sum(map(len, shards.missing(parts)))
            pace = Pace(photos, done)

            def came(part: range) -> None:
                nonlocal done
                done += len(part)
                report(0.99 * done / photos, pace.at(done))

            if not each(work, parts, shards, engine=engine, progress=came, stopped=stopped):
                raise Cancelled(
                    f"Stopped: {done:,} of {photos:,} photos are done and kept. Run the same command again to go on."
                )
            for part in parts:
                yield part, shards.read(part)
    except OSError as error:
        raise Img2TabError(
            f"What is done could not be kept in {shards.folder} ({error.strerror or error}). Free some space and run "
            "the same command again."
        ) from error


def forget(what: str, key: str) -> None:
    """Remove what `answered` kept: for who has written somewhere else what came of it."""
    shutil.rmtree(home() / "imports" / _name(what, key), ignore_errors=True)


def _name(what: str, key: str) -> str:
    return f"{what}-{key[:12]}"

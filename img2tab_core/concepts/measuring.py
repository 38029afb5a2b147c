"""The long part of describing a backbone's concepts: every channel moved on some faces, kept face by face.

All channels are moved on two faces, those that may be visible on two more, and those that are visible there on all the
others. What is finished is kept in the visitor's folder, so that whoever is stopped goes on from there.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from img2tab_core import weights
from img2tab_core.base.engines import HERE, Engine, each
from img2tab_core.base.errors import Cancelled, Img2TabError
from img2tab_core.base.files import home, keep_json
from img2tab_core.base.foreign import inside
from img2tab_core.base.jobs import Cancel, Report
from img2tab_core.base.records import StyleTable, digest
from img2tab_core.base.shards import Answer, Answers, Shards
from img2tab_core.concepts.description import NONE
from img2tab_core.concepts.moving import SHIFT, SIDE, Moved, Subject, move, parts_of_map, shares, subject

if TYPE_CHECKING:
    from img2tab_core.backbones.backbone import Backbone

FORMAT = "moved channels 1"  # raise the number when measuring changes
FACES, FEW = 16, 4
VISIBLE = 2.0  # of 255 levels on average between the two pictures: what fewer change nobody sees
ROUNDS = {2: VISIBLE / 2, FEW: VISIBLE}  # after so many faces only channels of so large a change go on
HALVES = (slice(0, None, 2), slice(1, None, 2))  # of the faces, to ask each alone
AGREED = 2.0  # standard errors
PIECE = 512  # channels between two looks at the clock


def varied(backbone: Backbone, table: StyleTable | None, *, count: int = FACES, seed: int = 0) -> list[Subject]:
    """Faces that differ from each other, ready to be moved: of the table's training faces, else of nobody.

    Of each of as many groups of alike faces, by all labels and the first style layer, it is the first in whose picture
    a face is found; where none is found in five, what is drawn there is described without parts of a face.
    """
    from sklearn.cluster import KMeans

    landmark_file = weights.path("landmarks-68")
    rng = np.random.default_rng(seed)
    if table is None:
        codes = backbone.random_codes(40 * count, seed=seed)
        what = np.empty((len(codes), 0))
    else:
        rows = table.rows("train")
        rows = np.sort(rng.choice(rows, min(len(rows), 60 * count), replace=False))
        codes = np.ascontiguousarray(table.psi[rows])
        labels = table.labels.iloc[rows][[target.name for target in table.targets]].to_numpy(np.float64)
        what = np.where(labels < 0, 0.5, labels)
    first = codes[:, : backbone.layout.sizes[0]]
    looks = (first - first.mean(axis=0)) / (first.std(axis=0) + 1e-9) / np.sqrt(first.shape[1])
    groups = KMeans(min(count, len(codes)), n_init=4, random_state=seed).fit_predict(np.hstack([2 * looks, what]))
    chosen = []
    for group in range(groups.max() + 1):
        for row in np.flatnonzero(groups == group)[:5]:
            face = subject(backbone, codes[row], landmark_file)
            if face.landmarks is not None:
                break
        chosen.append(face)
    return chosen


def measure(
    backbone: Backbone,
    faces: list[Subject],
    *,
    channels: np.ndarray | None = None,
    only_finished: bool = False,
    engine: Engine = HERE,
    progress: Report | None = None,
    cancelled: Cancel = None,
) -> list[Moved]:
    """What moving each channel does to each face, in order; the first two hold all channels, later ones fewer.

    channels: int64, None for every one. only_finished: move nothing more, and give the first faces that are finished.
    engine: who moves them, the same bits whoever does.
    Goes on where it was stopped. Raises Cancelled once `cancelled` says so: what is finished stays; and Img2TabError
    where nothing can be kept.
    """
    landmark_file = weights.path("landmarks-68")
    every = np.arange(backbone.layout.total) if channels is None else np.asarray(channels, np.int64)
    key = digest(FORMAT.encode(), backbone.key.encode(), every.tobytes(), *(face.code.tobytes() for face in faces))
    folder = inside(home() / "concepts", f"{backbone.name}-{key[:12]}")
    keep_json(folder / "about.json", {"format": FORMAT, "backbone": backbone.name, "shift": SHIFT, "side": SIDE})
    done: list[Moved] = []
    clock = _Clock(len(faces), len(every), progress)
    for number, face in enumerate(faces):
        if number in ROUNDS:
            every = visible(done, ROUNDS[number])
            clock.fewer(number, len(every))
        if engine != HERE and not only_finished and number in (0, *ROUNDS):
            of_round = range(number, min(first for first in (*ROUNDS, len(faces)) if first > number))
            files = [piece for face_number in of_round for piece in _pieces(folder, face_number, every)]
            _move_all(Moving(backbone, tuple(faces), tuple(files)), folder, key, engine, clock, cancelled)
        parts = []
        for piece_of in _pieces(folder, number, every):
            piece, file = piece_of.channels, piece_of.file
            kept = _kept(file, piece)
            if kept is None and only_finished:
                return _enough(done)
            if kept is None:
                kept = move(backbone, face, piece, landmark_file, always=number > 1, cancelled=cancelled)
                try:
                    kept.keep(file)
                except OSError as error:
                    raise Img2TabError(
                        f"{file} could not be written ({error.strerror}). Free some space and run it again."
                    ) from error
                clock.did(len(piece))
            else:
                clock.had(file, len(piece))
            parts.append(kept)
        done.append(Moved.joined(parts))
    return done


@dataclass(frozen=True, eq=False)
class Piece:
    """Some channels, int64, of a face by its number, and the file in which what moving them does is kept."""

    face: int
    channels: np.ndarray
    file: Path


@dataclass(frozen=True, eq=False)
class Moving:
    """Work (`shards.Work`) whose parts are pieces by their number: moved and kept in their own files."""

    backbone: Backbone
    faces: tuple[Subject, ...]
    pieces: tuple[Piece, ...]

    def __call__(self) -> Answers:
        return self._answers

    def _answers(self, parts: Sequence[range]) -> Generator[Answer, None, None]:
        landmark_file = weights.path("landmarks-68")
        for part in parts:
            for piece in self.pieces[part.start : part.stop]:
                if _kept(piece.file, piece.channels) is None:
                    face = self.faces[piece.face]
                    move(self.backbone, face, piece.channels, landmark_file, always=piece.face > 1).keep(piece.file)
            yield {"pieces": np.arange(part.start, part.stop)}


def _pieces(folder: Path, face: int, channels: np.ndarray) -> list[Piece]:
    return [
        Piece(face, channels[start : start + PIECE], folder / f"face-{face:02d}-{start:05d}.npz")
        for start in range(0, len(channels), PIECE)
    ]


def _move_all(work: Moving, folder: Path, key: str, engine: Engine, clock: _Clock, cancelled: Cancel) -> None:
    """Have every piece made that is not kept yet. Raises Cancelled once `cancelled` says so."""
    missing = tuple(piece for piece in work.pieces if _kept(piece.file, piece.channels) is None)
    notes = Shards.passing(folder, digest(key.encode(), *(piece.file.name.encode() for piece in missing)))

    def came(part: range) -> None:
        for piece in missing[part.start : part.stop]:
            clock.did(len(piece.channels), piece.file)

    try:
        parts = [range(number, number + 1) for number in range(len(missing))]
        whole = each(replace(work, pieces=missing), parts, notes, engine=engine, progress=came, stopped=cancelled)
    except OSError as error:
        raise Img2TabError(
            f"{folder} could not be written to ({error.strerror}). Free some space and run it again."
        ) from error
    finally:
        shutil.rmtree(notes.folder, ignore_errors=True)  # the pieces themselves say what is done
    if not whole:
        raise Cancelled("Stopped; what was measured is kept, and the same command goes on from there.")


def _enough(done: list[Moved]) -> list[Moved]:
    if len(done) < FEW:
        raise Img2TabError(
            f"{len(done)} faces are finished, and {FEW} are needed. Let `img2tab describe-concepts` run longer."
        )
    return done


def visible(moved: list[Moved], least: float = VISIBLE) -> np.ndarray:
    """The channels that all faces moved and that change at least so much on average: int64, ascending."""
    channels = moved[-1].channels
    change = np.mean([face.change[np.searchsorted(face.channels, channels)] for face in moved], axis=0)
    return channels[change >= least]


def places(subjects: Sequence[Subject], moved: Sequence[Moved], channels: np.ndarray) -> np.ndarray:
    """The region with most of each channel's change, int8 (C,); -1 where the faces do not agree on one.

    They agree where the region leads the next one by `AGREED` standard errors over the faces.
    """
    share = np.stack(
        [
            shares(face.picture[np.searchsorted(face.channels, channels)], parts_of_map(subject.regions))
            for face, subject in zip(moved, subjects, strict=True)
        ]
    )  # (faces, C, R)
    rows = np.arange(len(channels))
    first, second = np.argsort(-share.mean(axis=0), axis=1, kind="stable")[:, :2].T
    lead = share[:, rows, first] - share[:, rows, second]
    error = lead.std(axis=0, ddof=1) / np.sqrt(len(share)) if len(share) > 1 else np.inf
    return np.where(lead.mean(axis=0) > AGREED * error, first, NONE).astype(np.int8)


def _kept(file: Path, channels: np.ndarray) -> Moved | None:
    """What was kept of these channels; None where it is not there or damaged."""
    try:
        moved = Moved.kept(file)
    except (OSError, EOFError, ValueError, KeyError):
        return None
    return moved if np.array_equal(moved.channels, channels) else None


class _Clock:
    """How far the work is and how long the rest will take, by what was done since it began."""

    def __init__(self, faces: int, channels: int, report: Report | None) -> None:
        self._left = channels * (2 + max(0, faces - 2) // 2)  # half of them will be visible, say
        self._faces, self._report, self._began = faces, report, time.monotonic()
        self._done = self._timed = 0
        self._counted: set[Path] = set()

    def fewer(self, face: int, channels: int) -> None:
        self._left = self._done + channels * (self._faces - face)

    def had(self, file: Path, count: int) -> None:
        self._done += count * (file not in self._counted)

    def did(self, count: int, file: Path | None = None) -> None:
        self._counted |= {file} if file is not None else set()
        self._done += count
        self._timed += count
        if self._report is not None:
            seconds = (time.monotonic() - self._began) / self._timed * max(0, self._left - self._done)
            share = min(0.99, self._done / max(1, self._left))
            self._report(share, f"{self._done:,} of about {self._left:,} moves; {_duration(seconds)} left")


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"

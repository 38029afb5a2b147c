"""What independent parts of some work answered, on the disk: a file a part, named by the rows it covers.

A part is a range of rows. Its shard is written by whoever works on it, whole or not at all; one that is there is never
made again. So work that was killed goes on, and who works, how many and in what order leaves no trace in the result.
"""

from __future__ import annotations

import os
import pickle
import threading
import traceback
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from img2tab_core.base.errors import Img2TabError, lacks_memory
from img2tab_core.base.files import make_folder, whole
from img2tab_core.base.foreign import read_arrays

MOST_TRIES = 3  # workers that a part may end before it is given up

Answer = dict[str, np.ndarray]  # what a part answers: arrays by name, none of objects
Answers = Callable[[Sequence[range]], Generator[Answer, None, None]]  # parts -> their answers, in that order
Work = Callable[[], Answers]  # opens what the answers need; called once in every worker


@dataclass(frozen=True)
class Shards:
    """Where the answers of parts lie. key: hexadecimal, changes with everything that changes an answer."""

    folder: Path
    key: str

    @classmethod
    def passing(cls, folder: Path, key: str) -> Shards:
        """Shards of work that keeps its results itself: in a folder that nobody else has, to be removed after it."""
        return cls(folder / f".notes.{os.getpid()}.{threading.get_ident()}", key)  # left by a kill: see `files._beside`

    def file(self, part: range) -> Path:
        """The shard of a part, whether or not it is there."""
        return self.folder / f"{self._name(part)}.npz"

    def missing(self, parts: Sequence[range]) -> list[range]:
        """The parts that have no shard, in their order. Raises OSError where the folder cannot be read."""
        try:
            there = set(os.listdir(self.folder))
        except FileNotFoundError:
            there = set()
        return [part for part in parts if f"{self._name(part)}.npz" not in there]

    def write(self, part: range, answer: Answer) -> None:
        """Put an answer on the disk. Raises OSError where it cannot be written."""
        with whole(self.file(part)) as new, new.open("wb") as stream:
            np.savez(stream, **answer)  # type: ignore[arg-type]

    def read(self, part: range) -> Answer:
        """The answer of a part. Raises Img2TabError where it is not there, or damaged; it is removed then."""
        file = self.file(part)
        try:
            return read_arrays(file)
        except (OSError, ValueError) as error:
            with suppress(OSError):
                file.unlink(missing_ok=True)
            raise Img2TabError(
                f"{file} is gone or damaged ({error}). Run the same command again: it is made anew."
            ) from error

    def make(self, part: range, answers: Answers) -> None:
        """Answer a part and write its shard, where there is none: what a worker does.

        Raises Img2TabError where the part has ended MOST_TRIES workers, and what answering or writing it raises.
        """
        if self.file(part).is_file():
            return
        note = self.folder / f".{self._name(part)}.tries"  # a byte for everybody who took it up
        tries = note.stat().st_size if note.is_file() else 0
        if tries >= MOST_TRIES:
            raise Img2TabError(
                f"Rows {part.start:,} to {part.stop - 1:,} ended the process that worked on them {tries} times, most "
                "often for want of memory. What is done is kept: run the same command with fewer --workers."
            )
        with note.open("ab") as stream:
            stream.write(b".")
        (answer,) = answers([part])
        self.write(part, answer)
        note.unlink(missing_ok=True)

    def begin(self) -> None:
        """Make the folder, and forget how often parts were taken up before. Raises OSError where it cannot be made."""
        make_folder(self.folder)
        for note in self.folder.glob(f".{self.key[:12]}-*.tries"):
            note.unlink(missing_ok=True)

    def _name(self, part: range) -> str:
        return f"{self.key[:12]}-{part.start:09d}-{part.stop:09d}"


class Taker:
    """A process that takes parts: the work is opened when the first one comes, and held.

    opened: what gives the shards and the work; what it raises is what became of the first part.
    """

    def __init__(self, opened: Callable[[], tuple[Shards, Work]]) -> None:
        self._opened = opened
        self._held: tuple[Shards, Answers] | None = None

    def take(self, part: range) -> Exception | None:
        """Answer a part and write its shard; what failed, as an exception that another process can read.

        Where the memory does not do this process ends: what it holds is let go, and a fresh one takes the part up.
        """
        try:
            if self._held is None:
                shards, work = self._opened()
                self._held = shards, work()
            shards, answers = self._held
            shards.make(part, answers)
        except Exception as error:  # noqa: BLE001 - whatever it was, the one who waits must be told
            if lacks_memory(error):
                os._exit(1)
            return _sendable(error)
        return None


def _sendable(error: Exception) -> Exception:
    """The same exception, of a mistake of the program with where it was raised; another one where it cannot be sent."""
    if not isinstance(error, Img2TabError | OSError):
        error.add_note("".join(traceback.format_exception(error)))
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 - made in the line above
    except Exception:  # noqa: BLE001 - whatever its class does when it is copied
        return RuntimeError("".join(traceback.format_exception(error)))
    return error

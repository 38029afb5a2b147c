"""Files that several processes share: written whole or not at all, and made by one process at a time."""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


@contextmanager
def whole(file: Path) -> Iterator[Path]:
    """A path beside a file to write to: it takes the file's place when the body ends, and goes when that raises."""
    # the thread and process in the name: two that write the same file at once must not share a half-written one
    part = file.with_name(f".{file.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        yield part
        os.replace(part, file)
    finally:
        part.unlink(missing_ok=True)


def hold(lock: IO, *, busy: Callable[[], None] | None = None) -> None:
    """Be the only process that holds this opened file, until it is closed; the system lets go of a killed one's.

    busy: called where another process holds it, before waiting for that one; it may raise instead.
    """
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        if busy is not None:
            busy()
        fcntl.flock(lock, fcntl.LOCK_EX)

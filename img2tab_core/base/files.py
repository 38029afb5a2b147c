"""Files that several processes share: written whole or not at all, and made by one process at a time."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.foreign import parsed_json

ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def whole(file: Path) -> Iterator[Path]:
    """A path beside a file to write to: it takes the file's place when the body ends, and is removed if that raises.

    Raises OSError where it cannot take the place.
    """
    # process and thread are in the name, so that two who write the same file at once do not share a half-written file
    part = file.with_name(f".{file.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        yield part
        os.replace(part, file)
    finally:
        part.unlink(missing_ok=True)


def hold(lock: IO | int, *, busy: Callable[[], object] | None = None) -> None:
    """Be the only one that holds this opened file, until it is closed; the system lets go of a killed process's.

    lock: the file, or its descriptor; opened by the one who holds it, since threads that share it share the lock.
    busy: called where another holds it, before waiting for that one; it may raise instead. Raises OSError where the
    drive knows no locks.
    """
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        if busy is not None:
            busy()
        fcntl.flock(lock, fcntl.LOCK_EX)


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """A context in which nobody else is who also asks for it: other threads and processes wait. Raises OSError where
    there is no such folder.

    Some network drives know no lock on a folder: there everybody is let in at once.
    """
    place = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            hold(place)
        yield
    finally:
        os.close(place)


@contextmanager
def changing(file: Path) -> Iterator[None]:
    """A context in which nobody else changes a file who also asks for it; its lock, `.NAME.lock`, lies beside it.

    Read the file inside, so that what another wrote just before is not lost. Raises Img2TabError where the folder
    cannot be made or written to.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        lock = open(file.with_name(f".{file.stem}.lock"), "w")
    except OSError as error:
        raise Img2TabError(
            f"{file} could not be written ({error.strerror}). Mend the permissions of its folder, or name another "
            "place with IMG2TAB_HOME."
        ) from error
    with lock:
        hold(lock)
        yield


def home() -> Path:
    """The folder of a visitor's tables, runs and names; IMG2TAB_HOME overrides it."""
    return Path(os.environ.get("IMG2TAB_HOME") or ROOT / ".img2tab")


def sha256_of(file: Path) -> str:
    """sha256 of a file's bytes, 64 hexadecimal digits. Raises OSError where it cannot be read."""
    with open(file, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def read_json(file: Path) -> dict:
    """The object in a JSON file; {} where there is no such file, or it holds something else.

    Raises OSError where the file is there and may not be read.
    """
    try:
        content = parsed_json(file.read_bytes(), strict=False)
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def write_json(file: Path, content: dict) -> None:
    """Write a JSON file whole or not at all. Raises OSError where it cannot be written."""
    with whole(file) as part:
        part.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def keep_json(file: Path, content: dict) -> None:
    """`write_json`, the folder made. Raises Img2TabError where the file cannot be written."""
    with keeping(file) as part:
        part.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


@contextmanager
def keeping(file: Path) -> Iterator[Path]:
    """`whole`, the folder made. Raises Img2TabError where the file cannot be written."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with whole(file) as part:
            yield part
    except OSError as error:
        raise Img2TabError(f"{file} could not be written ({error.strerror}). Free some space and try again.") from error


def plain(value: Any) -> Any:
    """The same value with lists for tuples, as JSON has them."""
    if isinstance(value, dict):
        return {name: plain(part) for name, part in value.items()}
    return [plain(part) for part in value] if isinstance(value, list | tuple) else value


def write_text(file: Path, text: str) -> None:
    """Write a text file, UTF-8, its folder made; what stood there stays until the new one is whole.

    Raises Img2TabError where it cannot be written.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with whole(file) as part:
            part.write_text(text, encoding="utf-8", errors="replace", newline="\n")
    except OSError as error:
        raise Img2TabError(
            f"{file} could not be written ({error.strerror or error}). Choose another place, or free some space."
        ) from error

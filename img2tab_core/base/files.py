"""Files that several processes share: written whole or not at all, and made by one process at a time.

What is written here outlives a power cut: bytes are on the disk before a name points at them (fsync, then rename),
and the name is on the disk before the writer goes on.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import hashlib
import json
import os
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.foreign import parsed_json

ROOT = Path(__file__).resolve().parents[2]


DAY = 86_400  # seconds
PENDING = ".pending"  # in a folder: files that `together` has decided on and not all put into their places
_LEFT = re.compile(r"\.(?P<name>.+)\.(?P<process>\d+)\.\d+")  # what `_beside` names
_NO_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.EBADF, errno.EACCES)
_NO_EXCHANGE = (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS)
_looked_into: set[Path] = set()  # folders whose leftovers this process has removed
_began = time.time()


@contextmanager
def whole(file: Path, *, lasting: bool = True) -> Iterator[Path]:
    """A path beside a file to write to: it takes the file's place when the body ends, and is removed if that raises.

    lasting: it outlives a power cut; without, of what can be made again and is checked when it is read, such as
    thousands of kept pictures. Raises OSError where it cannot take the place.
    """
    part = _beside(file)
    try:
        yield part
        if lasting:
            to_disk(part)
        os.replace(part, file)
        if lasting:
            to_disk(file.parent)
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


@contextmanager
def whole_folder(folder: Path, *, lasting: bool = True) -> Iterator[Path]:
    """An empty folder to fill: it takes the place of `folder` when the body ends, and is removed if that raises.

    What stood there is there until then, and goes; where the system lets two folders change places (Linux), there is
    no moment without either. The new one lies two levels deep, so that nobody who looks for such folders meets it half
    full. lasting: as in `whole`. Raises OSError where it cannot be written.
    """
    make_folder(folder.parent)
    workshop = _beside(folder)
    new = workshop / "new"
    try:
        shutil.rmtree(workshop, ignore_errors=True)
        new.mkdir(parents=True)
        yield new
        if lasting:
            _all_to_disk(new)
        _take_place(new, folder, aside=workshop / "old")
        if lasting:
            to_disk(folder.parent)
    finally:
        shutil.rmtree(workshop, ignore_errors=True)


@contextmanager
def together(folder: Path) -> Iterator[Path]:
    """An empty folder to write files into: all of them take their places in `folder` when the body ends, or none.

    For files that belong together in a folder that holds others too. A process killed on the way leaves either what
    was there, or what `settle` completes: whoever reads them calls that first. One at a time, as by `alone_in`.
    Raises OSError where they cannot be written.
    """
    settle(folder)
    part = _beside(folder / "new")
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()
        yield part
        _all_to_disk(part)
        os.rename(part, folder / PENDING)  # from here on the new ones count
        to_disk(folder)
        settle(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def settle(folder: Path) -> None:
    """Put into their places the files that a `together` which was killed had decided on; nearly always there are none.

    Raises OSError where they cannot be moved.
    """
    pending = folder / PENDING
    try:
        names = sorted(os.listdir(pending))
    except (FileNotFoundError, NotADirectoryError):
        return
    for name in names:
        with suppress(FileNotFoundError):  # somebody else was quicker
            os.replace(pending / name, folder / name)
    to_disk(folder)
    with suppress(FileNotFoundError):
        pending.rmdir()


def make_folder(folder: Path) -> None:
    """Make a folder, and those it lies in, where they are missing; they outlive a power cut. Raises OSError."""
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        to_disk(folder.parent)


def to_disk(path: Path) -> None:
    """Wait until the bytes of a file, or the names in a folder, would outlive a power cut. Raises OSError.

    Drives that cannot say so, some network drives of a folder, are not waited for.
    """
    try:
        place = os.open(path, os.O_RDONLY)
        try:
            os.fsync(place)
        finally:
            os.close(place)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise


def _all_to_disk(folder: Path) -> None:
    for path in sorted(folder.rglob("*")):
        to_disk(path)
    to_disk(folder)


def _beside(path: Path) -> Path:
    """The path beside a file or folder that this thread of this process writes to, of nobody else.

    The first time in a folder, what processes that are gone left there half-written is removed.
    """
    if path.parent not in _looked_into:
        _looked_into.add(path.parent)
        _clear_leftovers(path.parent)
    return path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")


def _clear_leftovers(folder: Path) -> None:
    """Remove half-written files and folders of a day ago or more, whose process is gone.

    A day: on a shared drive the process may be one of another machine.
    """
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            named = _LEFT.fullmatch(entry.name)
            with suppress(OSError):
                if named is None or not _is_left(Path(entry.path), int(named["process"])):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    old = Path(entry.path) / "old"
                    if old.exists() and not (folder / named["name"]).exists():  # killed between two renames
                        old.rename(folder / named["name"])
                    shutil.rmtree(entry.path, ignore_errors=True)
                else:
                    os.unlink(entry.path)


def _is_left(path: Path, process: int) -> bool:
    changed = max(inside.lstat().st_mtime for inside in (path, *path.rglob("*")))
    if changed > time.time() - DAY:
        return False
    if process == os.getpid():  # in a container every first process has the same number
        return changed < _began
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def _take_place(new: Path, folder: Path, *, aside: Path) -> None:
    if not folder.exists():
        new.rename(folder)
    elif not _exchanged(new, folder):
        try:
            folder.rename(aside)
            new.rename(folder)
        finally:
            if aside.exists() and not folder.exists():  # also after Ctrl+C between the two
                aside.rename(folder)


def _exchanged(new: Path, old: Path) -> bool:
    """Let two paths change places in one step; whether this system and this drive can."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        return False
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    if rename(here, os.fsencode(new), here, os.fsencode(old), exchange) == 0:
        return True
    code = ctypes.get_errno()
    if code in _NO_EXCHANGE:
        return False
    raise OSError(code, os.strerror(code), str(old))


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
def only_one(lock: Path, refusal: str) -> Iterator[None]:
    """A context in which nobody else is who names this file, which is made. Raises Img2TabError, with the sentence,
    where somebody is, OSError where the file cannot be made."""

    def refuse() -> None:
        raise Img2TabError(refusal)

    make_folder(lock.parent)
    with open(lock, "w") as held:
        hold(held, busy=refuse)
        yield


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
        make_folder(file.parent)
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
    """The folder of a visitor's tables, runs and names; IMG2TAB_HOME overrides it. Absolute: workers of a cluster are
    told it, and run elsewhere."""
    return Path(os.environ.get("IMG2TAB_HOME") or ROOT / ".img2tab").absolute()


def sha256_of(file: Path) -> str:
    """sha256 of a file's bytes, 64 hexadecimal digits. Raises OSError where it cannot be read."""
    with open(file, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def bytes_of(file: Path, mend: str) -> bytes:
    """The bytes of a file that somebody named. Raises Img2TabError where it cannot be read; mend: what to do then."""
    try:
        return file.read_bytes()
    except OSError as error:
        raise Img2TabError(f"{file} cannot be read ({error.strerror}). {mend}") from error


def read_json(file: Path) -> dict:
    """The object in a JSON file; {} where there is no such file, it cannot be read, or it holds something else."""
    try:
        content = parsed_json(file.read_bytes(), strict=False)
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def json_to_change(file: Path) -> dict:
    """`read_json` for what is then written back: what is there and cannot be read must not be lost by that.

    Raises Img2TabError where the file is there and cannot be read, or holds something else.
    """
    try:
        content = parsed_json(file.read_bytes(), strict=False)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise Img2TabError(f"{file} is damaged ({error}). Mend it, or move it away to begin anew.") from error
    if not isinstance(content, dict):
        raise Img2TabError(f"{file} is damaged (it must be an object). Mend it, or move it away to begin anew.")
    return content


def write_json(file: Path, content: dict) -> None:
    """Write a JSON file whole or not at all. Raises OSError where it cannot be written."""
    with whole(file) as part:
        part.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def keep_json(file: Path, content: dict) -> None:
    """`write_json`, the folder made. Raises Img2TabError where the file cannot be written."""
    with keeping(file) as part:
        part.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


@contextmanager
def keeping(file: Path, *, lasting: bool = True) -> Iterator[Path]:
    """`whole`, the folder made. Raises Img2TabError where the file cannot be written."""
    try:
        make_folder(file.parent)
        with whole(file, lasting=lasting) as part:
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
        make_folder(file.parent)
        with whole(file) as part:
            part.write_text(text, encoding="utf-8", errors="replace", newline="\n")
    except OSError as error:
        raise Img2TabError(
            f"{file} could not be written ({error.strerror or error}). Choose another place, or free some space."
        ) from error

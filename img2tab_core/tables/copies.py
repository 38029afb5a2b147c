"""A table is copied to an object store or another disk, and back: whole or not at all, every file by its digest.

A copy is a folder with the table's files as they are, called after the digest of them all, and beside it copy.json,
written last, which says what is in it. Without that it is half a copy, and what does not fit it is a damaged one.
Tables are opened on this computer alone, as memory maps: to use a copy, copy it back.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from img2tab_core.base import persons, places
from img2tab_core.base.errors import Cancelled, Img2TabError, Unreachable
from img2tab_core.base.files import home, make_folder, read_json, sha256_of, to_disk, whole_folder, write_json
from img2tab_core.base.foreign import DAMAGED, inside, parsed_json
from img2tab_core.base.jobs import Report, never, silent
from img2tab_core.base.places import Place
from img2tab_core.base.records import digest
from img2tab_core.tables import calibrations, store
from img2tab_core.tables.imports import Pace, checked_name, only_importer

RECORD = "copy.json"
FORMAT = 1
FILES = (store.CODES_FILE, "stats.npz", "labels.parquet", store.TABLE_FILE)
FURTHER = (calibrations.FILE,)  # in the folder of some tables
MOST_BYTES = 1_000_000  # of a record


@dataclass(frozen=True)
class Copied:
    """A copy that is whole, its bytes read again and compared.

    name: the table here; place: the copy, as a person writes it; size: bytes; moved: bytes of them that were not there
    before.
    """

    name: str
    place: str
    size: int
    moved: int

    @property
    def was_there(self) -> bool:
        """Whether all of it was there already."""
        return self.moved == 0


@dataclass(frozen=True)
class _File:
    """A file of a table. size: bytes."""

    size: int
    sha256: str


@dataclass(frozen=True)
class _Record:
    """What copy.json says: the files of the table, by name."""

    files: Mapping[str, _File]

    @property
    def folder(self) -> str:
        """What the folder of these files is called."""
        lines = [f"{name} {file.size} {file.sha256}" for name, file in sorted(self.files.items())]
        return digest("\n".join(lines).encode())[:16]

    @property
    def size(self) -> int:
        """Bytes of all of them."""
        return sum(file.size for file in self.files.values())


def copy_out(
    name: str,
    place: Place,
    *,
    anew: bool = False,
    progress: Report | None = None,
    stopped: Callable[[], bool] | None = None,
) -> Copied:
    """Copy a table to a place, and read every byte of it there again.

    What is whole there already stays, so a copy that was stopped goes on when it is asked for again. anew: replace the
    copy of another table, which counts until this one is whole. Raises Img2TabError where there is no such table, the
    place holds another one or cannot be written, or what is read there is not what was sent; Unreachable where a store
    gives no answer; Cancelled once `stopped` says so.
    """
    persons.must_be_auditor("copy a table")
    folder = inside(home() / "tables", name)
    store.open_table(folder)
    files = {file: folder / file for file in (*FILES, *FURTHER) if file in FILES or (folder / file).is_file()}
    try:
        work = _Bytes(3 * sum(file.stat().st_size for file in files.values()), progress, stopped)
        record = _Record({file: _File(path.stat().st_size, _sha256(path, work)) for file, path in files.items()})
        before = _record_at(place, damaged_is_none=anew)
        if before is not None and before.folder != record.folder and not anew:
            raise Img2TabError(
                f"There is a copy of another table at {place}. Choose another place, or replace it with --anew."
            )
        moved = sum(
            _send(files[file], about, place / record.folder / file, work) for file, about in record.files.items()
        )
        if before is None or before.folder != record.folder:
            places.put_bytes(_written(record), place / RECORD)
        if before is not None and before.folder != record.folder:
            _remove(before, place)
    except OSError as error:
        raise Img2TabError(
            f"The table {name!r} could not be copied to {place} ({error.strerror or error}). What is whole there is "
            "kept: free some space and run the same command again."
        ) from error
    return Copied(name, str(place), record.size, moved)


def copy_in(
    place: Place,
    name: str,
    *,
    anew: bool = False,
    progress: Report | None = None,
    stopped: Callable[[], bool] | None = None,
) -> Copied:
    """Copy a table from a place, under this name: there once it is whole and opens.

    A copy that was stopped goes on from the last byte when it is asked for again. anew: replace a table of that name,
    which stays until then. Raises Img2TabError where the name will not do or another table has it, there is no whole
    copy at the place, or nothing can be written; Unreachable where a store gives no answer; Cancelled once `stopped`
    says so.
    """
    persons.must_be_auditor("copy a table")
    table = home() / "tables" / checked_name(name)
    record = _record_at(place)
    if record is None:
        raise Img2TabError(
            f"There is no whole copy of a table at {place}: it has no {RECORD}, which is written last. Copy one there "
            f"with `img2tab tables copy NAME {place}`."
        )
    try:
        with only_importer(name):
            if table.exists():
                if _is_of(table, record):
                    return Copied(name, str(place), record.size, 0)
                if not anew:
                    raise Img2TabError(
                        f"There is another table {name!r} here. Choose another name, or replace it with --anew."
                    )
            return _fetch_all(place, record, table, _Bytes(record.size, progress, stopped))
    except Unreachable as error:
        raise Unreachable(f"{error} What is here is kept.") from error
    except OSError as error:
        raise Img2TabError(
            f"The table {name!r} could not be written in {home()} ({error.strerror or error}). What is here is kept: "
            "free some space and run the same command again."
        ) from error


# --- there and back ------------------------------------------------------------------------------------


def _send(file: Path, about: _File, place: Place, work: _Bytes) -> int:
    """Copy a file to its place unless it is there, and read it there again; how many bytes were not there before."""
    if places.size_of(place) == about.size and _sha256(place, work) == about.sha256:
        work.add(about.size)
        return 0
    places.put(file, place, each=work.add)
    if places.size_of(place) != about.size or _sha256(place, work) != about.sha256:
        raise Img2TabError(
            f"{place} is not what was sent: the table was replaced meanwhile, or it was damaged on its way. Run the "
            "same command again."
        )
    return about.size


def _fetch_all(place: Place, record: _Record, table: Path, work: _Bytes) -> Copied:
    """The files of a copy, first into `copies/NAME`, where they outlive a kill."""
    workshop = home() / "copies" / table.name
    if read_json(workshop / RECORD).get("folder") != record.folder:
        shutil.rmtree(workshop, ignore_errors=True)
        make_folder(workshop)
        write_json(workshop / RECORD, {"folder": record.folder})
    here = sum(_size(workshop / file) for file in record.files)
    if shutil.disk_usage(workshop).free < record.size - here:
        raise Img2TabError(
            f"The table needs {record.size / 1e6:,.0f} MB in {home()}, and there is less space. Free some and run the "
            "same command again."
        )
    work.add(here)
    for file, about in record.files.items():
        _fetch(place / record.folder / file, about, workshop / file, work)
    try:
        with whole_folder(table) as new:
            for file in record.files:
                os.replace(workshop / file, new / file)
            store.open_table(new)
    except Img2TabError as error:
        raise Img2TabError(
            f"What is copied at {place} is whole and is no table that opens here: was it made by a newer version? "
            f"Copy it from where it opens once more. {error}"
        ) from error
    shutil.rmtree(workshop, ignore_errors=True)
    return Copied(table.name, str(place), record.size, record.size - here)


def _fetch(place: Place, about: _File, file: Path, work: _Bytes) -> None:
    """Copy a file from its place, on from what is here of it. Raises Img2TabError where it is not what it should be."""
    size = places.size_of(place)
    if size != about.size:
        raise Img2TabError(
            f"The copy is not whole: {place} must have {about.size:,} bytes, got {'none' if size is None else size}. "
            "Copy the table there once more."
        )
    for here in (_size(file), 0):
        made = hashlib.sha256()
        with file.open("ab+") as stream:
            stream.truncate(here)
            stream.seek(0)
            while block := stream.read(places.BLOCK):
                made.update(block)
            for block in places.blocks(place, here):
                stream.write(block)
                made.update(block)
                work.add(len(block))
        to_disk(file)
        if made.hexdigest() == about.sha256:
            return
        file.unlink()
        if not here:  # what was here of it is not to blame
            break
    raise Img2TabError(
        f"{place} is damaged: its bytes are not those that were copied there. Copy the table there once more."
    )


def _is_of(table: Path, record: _Record) -> bool:
    """Whether a table here is this copy, byte for byte."""
    return all(
        _size(table / name) == file.size and sha256_of(table / name) == file.sha256
        for name, file in record.files.items()
        if (table / name).is_file() or name in FILES
    )


# --- the record --------------------------------------------------------------------------------------


def _record_at(place: Place, *, damaged_is_none: bool = False) -> _Record | None:
    """What copy.json at a place says, None where there is none. Raises Img2TabError where it is damaged."""
    if places.size_of(place / RECORD) is None:
        return None
    try:
        content = parsed_json(places.read(place / RECORD, most=MOST_BYTES))
        if content["format"] != FORMAT:
            raise ValueError(f"it is of format {content['format']!r:.20}")
        record = _Record({str(name): _File(**file) for name, file in content["files"].items()})
        _check(record)
        if record.folder != content["folder"]:
            raise ValueError("it does not fit itself")
    except (*DAMAGED, AttributeError, TypeError) as error:
        if damaged_is_none:
            return None
        raise Img2TabError(
            f"{place / RECORD} is damaged, or of another version. Copy the table there once more, with --anew."
        ) from error
    return record


def _check(record: _Record) -> None:
    """Raises ValueError where a record is of other files than a table has: nothing else may lead to a path."""
    if not set(FILES) <= set(record.files) <= {*FILES, *FURTHER}:
        raise ValueError("it names other files")
    for file in record.files.values():
        if not isinstance(file.size, int) or not 0 <= file.size < 1 << 50:
            raise ValueError("a size is none")
        if not isinstance(file.sha256, str) or not re.fullmatch(r"[0-9a-f]{64}", file.sha256):
            raise ValueError("a digest is none")


def _written(record: _Record) -> bytes:
    files = {name: {"size": file.size, "sha256": file.sha256} for name, file in record.files.items()}
    return (json.dumps({"format": FORMAT, "folder": record.folder, "files": files}, indent=1) + "\n").encode()


def _remove(record: _Record, place: Place) -> None:
    """Take away the files of a copy that counts no more."""
    for name in record.files:
        places.remove(place / record.folder / name)
    if isinstance(place, Path):
        with suppress(OSError):
            (place / record.folder).rmdir()


# --- bytes -------------------------------------------------------------------------------------------


class _Bytes:
    """How many bytes of a work are done, for who watches; who stops it is heard after every block."""

    def __init__(self, total: int, progress: Report | None, stopped: Callable[[], bool] | None) -> None:
        self._total, self._done = max(total, 1), 0
        self._report, self._stopped = progress or silent, stopped or never
        self._pace = Pace(round(total / 1e6), 0, "MB")

    def add(self, count: int) -> None:
        """So many more are done. Raises Cancelled where somebody stops it."""
        self._done += count
        self._report(min(1.0, self._done / self._total), self._pace.at(round(self._done / 1e6)))
        if self._stopped():
            raise Cancelled("Stopped: what is copied is kept, and no table counts by it. Run the same command again.")


def _sha256(file: Place, work: _Bytes) -> str:
    """sha256 of a file, 64 hexadecimal digits."""
    made = hashlib.sha256()
    for block in places.blocks(file):
        made.update(block)
        work.add(len(block))
    return made.hexdigest()


def _size(file: Path) -> int:
    return file.stat().st_size if file.is_file() else 0

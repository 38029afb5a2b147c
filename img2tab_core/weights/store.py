"""The model files there are: each found by its name, verified before it is used, and vouched for by a record."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.files import ROOT, read_json, settle, sha256_of, whole, write_json
from img2tab_core.base.records import digest
from img2tab_core.weights.manifest import MANIFEST, WeightFile

if TYPE_CHECKING:
    from torch import Tensor


SHIPPED = ROOT / "pretrained_models"
ELSEWHERE = os.environ.get("IMG2TAB_MODELS")  # what is fetched can lie in a folder of its own, such as a volume
MODELS = Path(ELSEWHERE) if ELSEWHERE else SHIPPED
CONVERSION = 1  # raise it when a converter or the parameter names change: the old file is made anew
STAMPS = ".verified.json"  # file name -> [size, mtime in ns, sha256] of what was hashed here last

_hashed: dict[Path, list] = {}  # the same, where STAMPS cannot be written

Status = Literal["ready", "missing", "damaged"]


@dataclass(frozen=True)
class Verified:
    """What a full check of one file found: a word, and the sentence behind it."""

    name: str
    status: Status
    sentence: str


def manifest() -> tuple[WeightFile, ...]:
    """Every model file the product knows, the needed ones first."""
    return MANIFEST


def find(name: str) -> WeightFile:
    """The manifest's line of this name."""
    for entry in manifest():
        if entry.name == name:
            return entry
    names = ", ".join(entry.name for entry in manifest())
    raise Img2TabError(f"The name of a model file must be one of {names}, got {name!r}.")


def status(entry: WeightFile) -> Status:
    """Whether the file is there and is what it must be.

    Cheap once a file was hashed here and did not change since (size and time); `verify` always hashes.
    """
    return check(entry, hash_again=False).status


def verify() -> tuple[Verified, ...]:
    """Hash every file again and compare it with what it must be."""
    return tuple(check(entry, hash_again=True) for entry in manifest())


def path(name: str) -> Path:
    """The verified file, or the sentence that says how to get it."""
    entry = find(name)
    problem = check(entry, hash_again=False)
    if problem.status != "ready":
        raise Img2TabError(problem.sentence)
    return file_of(entry)


def file_of(entry: WeightFile) -> Path:
    """Where the file lies, or would; what is part of this repository stays in its folder."""
    return (SHIPPED if ELSEWHERE and entry.source == "shipped" else MODELS) / entry.file


def record(name: str) -> dict:
    """The JSON beside a shipped, converted or unpublished file: its sha256, how it was made, its measured error."""
    return record_of(find(name))


def check(entry: WeightFile, *, hash_again: bool) -> Verified:
    """What is found of a file; hash_again: read it whole even where nothing speaks of a change."""
    try:
        settle(MODELS)
        return _checked(entry, hash_again=hash_again)
    except OSError as error:
        return Verified(
            entry.name,
            "damaged",
            f"The model file {entry.name} cannot be read ({error.strerror or error}). Give yourself the right to read "
            f"{error.filename or file_of(entry)}, or remove it: it is then fetched again.",
        )


def _checked(entry: WeightFile, *, hash_again: bool) -> Verified:
    file = file_of(entry)
    if not file.is_file():
        return Verified(entry.name, "missing", f"The model file {entry.name} is missing. {remedy(entry)}")
    expected, size = entry.sha256, entry.size
    if expected is None:
        facts = record_of(entry)
        expected, size = facts.get("sha256"), facts.get("size")
        if not isinstance(expected, str):
            return _damaged(entry, f"the record {record_file(entry).name} beside it is missing or has no sha256")
        if entry.source == "converted" and not _is_current(entry, facts):
            return _damaged(entry, "it was converted by another version")
    if size is not None and file.stat().st_size != size:
        return _damaged(entry, f"it must have {size:,} bytes, got {file.stat().st_size:,}")
    digest = _hash(file, again=hash_again)
    if digest != expected:
        return _damaged(entry, f"its sha256 must be {expected}, got {digest}")
    if entry.source == "drive":
        return Verified(
            entry.name, "ready", f"{entry.file}: no published hash; unchanged since it was fetched (sha256 {digest})."
        )
    return Verified(entry.name, "ready", f"{entry.file}: sha256 {digest} as recorded.")


def _damaged(entry: WeightFile, reason: str) -> Verified:
    return Verified(entry.name, "damaged", f"The model file {entry.name} is damaged: {reason}. {remedy(entry)}")


def remedy(entry: WeightFile) -> str:
    """The sentence that says how to get this file, or get it back."""
    if entry.source == "shipped":
        return "It is part of this repository: restore it with `git checkout -- pretrained_models`."
    command = f"img2tab weights fetch {entry.name}" if entry.optional else "img2tab weights fetch"
    return f"Run `{command}`."


def record_file(entry: WeightFile) -> Path:
    return file_of(entry).with_suffix(".json")


def record_of(entry: WeightFile) -> dict:
    return read_json(record_file(entry))


def _is_current(entry: WeightFile, facts: dict) -> bool:
    return facts.get("conversion") == CONVERSION and facts.get("archive_sha256") == entry.packed.sha256


def _hash(file: Path, *, again: bool) -> str:
    """sha256 of the file; remembered with its size and time, so that a start takes milliseconds."""
    before = file.stat()
    mark = [before.st_size, before.st_mtime_ns]
    known = _hashed.get(file) or read_json(MODELS / STAMPS).get(file.name)
    if not again and isinstance(known, list) and len(known) == 3 and known[:2] == mark:
        return known[2]
    digest = sha256_of(file)
    if [*mark, digest] != known:
        try:
            write_json(MODELS / STAMPS, read_json(MODELS / STAMPS) | {file.name: [*mark, digest]})
        except OSError:
            _hashed[file] = [*mark, digest]  # a folder one may only read: the next start hashes again
    return digest


def ship(file: Path, state: dict[str, Tensor], record: dict) -> Path:
    """Write the tensors, whole, then the record with the size and sha256 that `verify` checks; the file."""
    from safetensors.torch import save_file

    file.parent.mkdir(parents=True, exist_ok=True)
    with whole(file) as part:
        save_file({name: value.contiguous() for name, value in state.items()}, str(part))
        content = part.read_bytes()
    write_json(
        file.with_suffix(".json"), {"file": file.name, "size": len(content), "sha256": digest(content), **record}
    )
    return file

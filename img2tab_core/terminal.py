"""What every terminal verb shares: a mistake becomes one sentence, progress is one line, a file is written whole."""

from __future__ import annotations

import functools
import json
import os
import signal
import sys
import threading
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from img2tab_core.errors import Img2TabError
from img2tab_core.photos import PHOTO_ENDINGS
from img2tab_core.records import DEFAULT_BACKBONE

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]


def in_one_sentence(function: Callable) -> Callable:
    """The same function, whose Img2TabError becomes one sentence and exit code 1."""

    @functools.wraps(function)
    def run(*args: Any, **options: Any) -> None:
        try:
            function(*args, **options)
        except Img2TabError as error:
            if options.get("as_json"):
                print_json({"error": str(error)})
            else:
                typer.echo(shown(error), err=True)
            raise typer.Exit(1) from error

    return run


def verb(group: typer.Typer, name: str | None = None) -> Callable:
    """Register a function as a verb."""
    return lambda function: group.command(name)(in_one_sentence(function))


def studio():
    """The service, imported when a verb needs it."""
    from img2tab_core.service import Studio

    return Studio()


def face(studio, photo: Path, number: int, *, aligned: bool):
    """The face to use, 1 is the biggest, and how many there are."""
    try:
        data = photo.read_bytes()
    except OSError as error:
        raise Img2TabError(f"{photo} cannot be read ({error.strerror}). Name a photo.") from error
    found = [studio.aligned_face(data)] if aligned else studio.faces(data)
    if number > len(found):
        raise Img2TabError(f"--face must be at most {len(found)}, the number of faces in this photo, got {number}.")
    return found[number - 1], len(found)


def which(number: int) -> str:
    """A face's rank in words."""
    return "the biggest" if number == 1 else f"number {number} by size"


def all_photos(sources: list[Path]) -> list[Path]:
    """Every photo named, and those in every folder named; at least one."""
    files = [file for source in sources for file in photo_files(source)]
    if not files:
        raise Img2TabError("There is no photo in what was given. Name photos, or a folder that holds some.")
    return files


@contextmanager
def interrupted() -> Iterator[Callable[[], bool]]:
    """A function that says whether Ctrl+C was pressed; pressed twice, it ends the program as usual."""
    pressed = threading.Event()

    def press(number: int, frame: Any) -> None:
        pressed.set()
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, press)
    try:
        yield pressed.is_set
    finally:
        signal.signal(signal.SIGINT, before)


def photo_files(source: Path) -> list[Path]:
    """The photos in a folder, sorted, or the one file."""
    if source.is_dir():
        return sorted(file for file in source.rglob("*") if file.suffix.lower() in PHOTO_ENDINGS and file.is_file())
    return [source]


def channels(text: str) -> frozenset[int]:
    """"2839,1722" -> channel numbers; "" is none."""
    try:
        return frozenset(int(part) for part in text.split(",") if part.strip())
    except ValueError as error:
        raise Img2TabError(f"--exclude must be channel numbers with commas between them, got {text!r}.") from error


def progress(quiet: bool) -> Callable[[float, str], None]:
    """A bar on standard error that is written over; nothing where no person is watching."""
    if quiet or not sys.stderr.isatty():
        return lambda fraction, text: None

    def show(fraction: float, text: str) -> None:
        bar = "#" * int(20 * fraction)
        end = "" if fraction < 1 else "\n"
        print(f"\r\033[K[{bar:20}] {fraction:4.0%}  {text}", end=end, file=sys.stderr, flush=True)

    return show


def skipped(photos: list[dict], *, quiet: bool) -> None:
    """One line for each photo that was left out, with its reason."""
    for one in [] if quiet else photos:
        typer.echo(shown(f"Skipped {one['photo']}: {one['reason']}"), err=True)


def check_out(out: Path, option: str = "--out") -> None:
    """Whether a file can be written there, asked before the work that leads to it."""
    try:
        is_folder, has_place = out.is_dir(), out.parent.is_dir()
    except OSError as error:
        raise Img2TabError(f"{out} could not be written ({error.strerror}). Choose another place.") from error
    if is_folder:
        raise Img2TabError(f"{option} must name a file, got the folder {out}. Add a file name.")
    if not has_place:
        raise Img2TabError(f"{out} could not be written: there is no folder {out.parent}. Make it, or choose another.")
    if not os.access(out.parent, os.W_OK | os.X_OK):
        raise Img2TabError(f"{out} could not be written: you may not write in {out.parent}. Choose another place.")


def shown(text: object) -> str:
    """For a person's terminal: file names may hold line ends, control characters and bytes that are no text."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in str(text))


def write(out: Path, write: Callable) -> None:
    """Write a file whole or not at all."""
    partial = out.with_name(out.name + ".part")
    try:
        with partial.open("wb") as file:
            write(file)
        partial.replace(out)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise Img2TabError(f"{out} could not be written ({error.strerror}). Choose another place.") from error


def print_json(content: dict) -> None:
    """One document on standard output."""
    print(json.dumps(content))                                       # ASCII: any terminal and any file name


def write_codes(out: Path, psi, w_plus, made: list[dict], backbone: str) -> None:
    """psi (n, D) and w_plus (n, L, 512), float32, of the photos named in `made`, and the backbone's name."""
    import numpy as np

    photos = np.array([one["photo"] for one in made])
    write(out, lambda file: np.savez(file, psi=psi, w=w_plus, photos=photos, backbone=np.array(backbone)))


def style_codes(file: Path):
    """psi of an .npz of `img2tab encode`, float32 (n, D), and the backbone it names, the default if none."""
    import numpy as np

    mend = "Make one with `img2tab encode`."
    try:
        with file.open("rb") as stream:                              # numpy leaves a broken archive open
            stored = np.load(stream)
            psi = stored["psi"] if isinstance(stored, np.lib.npyio.NpzFile) else None
            made_with = str(stored["backbone"]) if psi is not None and "backbone" in stored else DEFAULT_BACKBONE
    except OSError as error:
        reason = error.strerror or "it is damaged"
        raise Img2TabError(f"{file} is not a file of style codes ({reason}). {mend}") from error
    except (EOFError, ValueError, KeyError, NotImplementedError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise Img2TabError(
            f"{file} is not a file of style codes: it must be a whole .npz with an array psi. {mend}"
        ) from error
    if psi is None:
        raise Img2TabError(f"{file} is not a file of style codes: it must be an .npz with an array psi. {mend}")
    if psi.ndim != 2 or psi.dtype.kind not in "fiu":
        raise Img2TabError(
            f"{file} is not a file of style codes: psi must be numbers of shape (n, D), got {psi.dtype} of shape "
            f"{psi.shape}. {mend}"
        )
    with np.errstate(over="ignore"):
        return psi.astype(np.float32), made_with

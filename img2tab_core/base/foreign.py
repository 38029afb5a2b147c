"""Bytes that somebody else may have written: what they are, JSON and arrays of them within limits, names of places.

A file's first bytes decide what it is, never its name. What a reader raises about damaged bytes is a ValueError here,
so that a door makes one sentence of it; a file that cannot be read at all stays an OSError.
"""

from __future__ import annotations

import json
import lzma
import os
import pickle
import re
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from img2tab_core.base.errors import Img2TabError

if TYPE_CHECKING:
    import numpy as np

HEAD = 4096  # bytes that tell what a file is
MOST_UNPACKED, MOST_RATIO = 256_000_000, 20  # bytes of an archive's arrays; beyond them, times the size of the file
DEEPEST = 200  # lists and objects inside each other in JSON

# What the readers of foreign formats raise about bytes that are damaged, or made to mislead them.
DAMAGED = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    Warning,  # where those are errors, as in the tests
    lzma.LZMAError,
    pickle.UnpicklingError,
    struct.error,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)

NUMPY, ARCHIVE, PYTORCH, SAFETENSORS = "a NumPy array", "a NumPy archive", "a PyTorch file", "a safetensors file"
ONNX, TEXT, UNKNOWN, WEB_PAGE = "an ONNX file", "a text file", "a file of an unknown kind", "a web page"
PICKLE, ZIP = "a pickle of Python objects", "a ZIP archive"
_LEGACY = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # what PyTorch before 1.6 begins every file with
_STARTS: tuple[tuple[bytes, str], ...] = (
    (b"\x93NUMPY", NUMPY),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"\x89PNG\r\n\x1a\n", "a PNG picture"),
    (b"GIF8", "a GIF picture"),
    (b"II*\0", "a TIFF picture"),
    (b"MM\0*", "a TIFF picture"),
    (b"BM", "a BMP picture"),
    (b"\0\0\0\x0cjP  ", "a JPEG 2000 picture"),
    (b"8BPS", "a Photoshop file"),
    (b"%PDF", "a PDF document"),
    (b"CBM1", "a CatBoost model"),
    (b"PAR1", "a Parquet file"),
    (b"\x89HDF", "an HDF5 file"),
    (b"SQLite format 3", "an SQLite database"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ", "an xz archive"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard archive"),
    (b"7z\xbc\xaf", "a 7z archive"),
    (b"\x7fELF", "a program"),
    (b"\xd0\xcf\x11\xe0", "an old Office document"),
    (b"\xff\xfe", "a text file in UTF-16"),
    (b"\xfe\xff", "a text file in UTF-16"),
    (_LEGACY, PYTORCH),
)


def described(head: bytes) -> str:
    """What the first bytes of a file say it is, in a person's words; of HEAD bytes, or the whole file."""
    if _is_text(head) and not head.startswith(b"%PDF"):  # before the rest: a column may be called BMI
        sample = head.lower()
        if b"<svg" in sample:
            return "an SVG drawing"
        return WEB_PAGE if b"<html" in sample or b"<!doctype html" in sample else TEXT
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "a WebP picture"
    if head[4:8] == b"ftyp":
        brand = head[8:12].lower()
        if brand in (b"heic", b"heix", b"hevc", b"hevx", b"mif1", b"msf1"):
            return "a HEIC file"
        return "an AVIF file" if brand in (b"avif", b"avis") else "a video"
    if head.startswith(b"PK\x03\x04"):
        return _archive(head)
    for start, words in _STARTS:
        if head.startswith(start):
            return words
    if head[:1] == b"\x80" and head[1:2] in b"\x02\x03\x04\x05" and len(head) > 1:
        return PICKLE
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 1 << 32:
        return SAFETENSORS
    if head[:1] == b"\x08" and len(head) > 2 and head[1] < 32 and head[2] in (0x12, 0x3A, 0x42):
        return ONNX
    return UNKNOWN if _has_control(head) else TEXT


def _is_text(head: bytes) -> bool:
    """Whether bytes are text in UTF-8; the last letter may be cut."""
    try:
        head.decode()
    except UnicodeDecodeError as error:
        if error.start < len(head) - 3 or len(head) < HEAD:
            return False
    return not _has_control(head)


def _has_control(head: bytes) -> bool:
    return any(byte < 32 and byte not in b"\t\n\f\r" for byte in head)


def _archive(head: bytes) -> str:
    """What a ZIP archive is by the name of its first file."""
    name = head[30 : 30 + int.from_bytes(head[26:28], "little")]
    if name.endswith(b".npy"):
        return ARCHIVE
    if name.endswith((b"/data.pkl", b"/byteorder", b"/version", b"/.format_version")):
        return PYTORCH
    return "an Office document" if name.startswith((b"[Content_Types]", b"_rels/", b"mimetype")) else ZIP


def kind_of(file: Path) -> str:
    """`described` of a file. Raises Img2TabError where it is not there, is no file, or may not be read."""
    try:
        if not file.is_file():
            raise Img2TabError(f"There is no file {file}. Check the path.")
        with file.open("rb") as stream:
            return described(stream.read(HEAD))
    except (OSError, ValueError) as error:
        raise Img2TabError(f"{str(file)!r:.200} cannot be read ({reason(error)}). Check the path.") from error


def printable(text: object, most: int = 60) -> str:
    """The first letters of what a file calls something, each that cannot be printed as "?": for a sentence."""
    return "".join(letter if letter.isprintable() else "?" for letter in str(text)[:most])


def reason(error: BaseException) -> str:
    """Why something could not be read: the system's own words, or the beginning of the library's."""
    if isinstance(error, MemoryError):
        return "it asks for more memory than there is"
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, UnicodeError):
        return "it is not text in UTF-8"
    if isinstance(error, KeyError):
        return f"it has no {str(error)[:80]}"
    line, *_ = str(getattr(error, "strerror", None) or error).strip().splitlines() or [""]
    line = re.sub(r"^\[[^\]]*\] \S+: ", "", line)  # when, and in which line of its source, a library says so
    line = re.sub(r"\b\w*(Exception|Error): ", "", line)
    line = re.split(r"[\"<>\\{}\[\]]|\bb'", line)[0]  # what follows is of the file or of the library, not for a person
    line = "".join(c for c in line if c.isprintable()).rstrip(" .,:;(")
    return (line[:119] + "…" if len(line) > 120 else line) or "it is damaged"


@contextmanager
def damage_as_value_error() -> Iterator[None]:
    """A context that raises ValueError with the reason for whatever a reader raises about damaged bytes."""
    try:
        yield
    except DAMAGED as error:
        raise ValueError(reason(error)) from error


# --- JSON ----------------------------------------------------------------------------------------------


def parsed_json(content: str | bytes, *, strict: bool = True) -> Any:
    """What JSON says. Raises ValueError where it is none, or is nested more than DEEPEST deep.

    strict: refuse NaN and Infinity too, which no standard knows; our own records of a measurement may hold them.
    """
    with damage_as_value_error():
        made = json.loads(content, parse_constant=_refused if strict else None)
    _must_be_flat(made)
    return made


def _refused(word: str) -> None:
    raise ValueError(f"it holds {word}, which is no number")


def _must_be_flat(value: Any) -> None:
    """Layer by layer, so that nothing here is nested as deeply as the value."""
    layer = [value]
    for _ in range(DEEPEST):
        layer = [
            part
            for place in layer
            if isinstance(place, dict | list)
            for part in (place.values() if isinstance(place, dict) else place)
            if isinstance(part, dict | list)
        ]
        if not layer:
            return
    raise ValueError("it is nested too deeply")


# --- arrays --------------------------------------------------------------------------------------------


def open_array(file: Path) -> np.ndarray:
    """The array of a .npy file, mapped into memory, read-only; nothing in it is unpickled.

    Raises ValueError where it is no whole .npy file of plain values, OSError where it cannot be read.
    """
    import numpy as np  # not at the top: the terminal's help needs none

    with damage_as_value_error():
        with file.open("rb") as stream:
            if stream.read(6) != b"\x93NUMPY":
                raise ValueError("it does not begin as one")
        return np.load(file, mmap_mode="r", allow_pickle=False)


def read_arrays(file: Path) -> dict[str, np.ndarray]:
    """The arrays of a .npz file, by name; nothing in it is unpickled, and names are only names.

    Raises ValueError where it is no whole .npz file of plain values, or unpacks to more than MOST_UNPACKED bytes and
    MOST_RATIO times its own size; OSError where it cannot be read.
    """
    import numpy as np

    with damage_as_value_error(), file.open("rb") as stream:
        kind = described(stream.read(HEAD))
        if not kind.startswith((ARCHIVE, ZIP)):
            raise ValueError(f"it is {kind}")
        size = stream.seek(0, os.SEEK_END)
        with zipfile.ZipFile(stream) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
        if unpacked > max(MOST_UNPACKED, MOST_RATIO * size):
            raise ValueError(f"it unpacks to {unpacked / 1e6:,.0f} MB, {unpacked // max(size, 1):,} times its own size")
        stream.seek(0)
        with np.load(stream, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
            return {name: array for name, array in arrays.items() if isinstance(array, np.ndarray)}  # the rest is bytes


# --- places --------------------------------------------------------------------------------------------


def inside(folder: Path, name: str) -> Path:
    """The file or folder of this name in a folder, whether or not it is there.

    Raises Img2TabError where the name is not that of one file or folder: "", ".", "..", with a slash or a NUL, or of
    more than 255 bytes.
    """
    try:
        fits = len(os.fsencode(name)) <= 255 and name not in ("", ".", "..") and not set(name) & {"/", "\\", "\0"}
    except UnicodeEncodeError:
        fits = False
    if not fits:
        raise Img2TabError(f"The name of something kept here must be one word without slashes, got {name!r:.80}.")
    return folder / name


def plain_name(name: str, otherwise: str) -> str:
    """What somebody calls a file, as it may be called on this disk: the last part of a path, without what cannot be
    printed, of its last 60 letters; `otherwise` where nothing is left."""
    last = re.split(r"[/\\]", name)[-1].encode("utf-8", "replace").decode()
    return "".join(letter for letter in last if letter.isprintable())[-60:].lstrip(". ") or otherwise


def not_led_out(place: Path) -> Path:
    """The same file, or folder, to be opened. Raises Img2TabError where it is, or has in it, a link that leads out.

    What is opened without a person having named it must lie where it seems to: a file that is a link to a place outside
    of its folder is refused, so that a table or a model from elsewhere cannot have the file of somebody else read. The
    folder of a table, a run or a model, and those above it, may be links: whoever made them could write there, and a
    data folder often lies on another disk.
    """
    inner = place.is_dir()
    root = os.path.realpath(place if inner else place.parent)
    paths = (
        [os.path.join(at, name) for at, folders, files in os.walk(root) for name in (*folders, *files)]
        if inner
        else [place]
    )
    for path in paths:
        if os.path.islink(path) and not os.path.realpath(path).startswith(root + os.sep):
            raise Img2TabError(
                f"{os.path.basename(path)} in {place if inner else place.parent} is a link to a place outside of it, "
                "which is not opened. Put the file itself there."
            )
    return place

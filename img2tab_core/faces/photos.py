"""The bytes a person uploads become an upright RGB photo, or one sentence that says why they cannot."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO

import numpy as np
from PIL import ExifTags, Image, ImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.foreign import DAMAGED, HEAD, described
from img2tab_core.base.records import read_only

PHOTO_ENDINGS = {".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".mpo"}  # looked for in folders
ACCEPTED = "JPEG, PNG, WebP, GIF, BMP or TIFF"
ROWS = 64  # of deep values that are scaled at once
MOST_BYTES = 30_000_000  # of a photo's file
MIN_SIDE = 64  # px; a face of a smaller photo has too few pixels for 68 landmarks

# The signature decides, never the file name. Each kind's own reader is used instead of Image.open, so that only these
# readers ever see the bytes, and so that our limit is checked right after the header without touching Pillow's
# process-wide one. An MPO (two views in one file, as some cameras write) is a JPEG whose first view comes first.
_READERS: tuple[tuple[str, Callable[[bytes], bool], type[ImageFile.ImageFile]], ...] = (
    ("JPEG", lambda head: head.startswith(b"\xff\xd8\xff"), JpegImageFile),
    ("PNG", lambda head: head.startswith(b"\x89PNG\r\n\x1a\n"), PngImageFile),
    ("WebP", lambda head: head[:4] == b"RIFF" and head[8:12] == b"WEBP", WebPImageFile),
    ("GIF", lambda head: head.startswith((b"GIF87a", b"GIF89a")), GifImageFile),
    ("BMP", lambda head: head.startswith(b"BM"), BmpImageFile),
    ("TIFF", lambda head: head.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")), TiffImageFile),
)

# EXIF orientation -> how the stored rows and columns become upright, for arrays (H, W, 3).
_UPRIGHT: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    2: lambda rows: rows[:, ::-1],
    3: lambda rows: rows[::-1, ::-1],
    4: lambda rows: rows[::-1],
    5: lambda rows: rows.swapaxes(0, 1),
    6: lambda rows: rows[::-1].swapaxes(0, 1),
    7: lambda rows: rows[::-1, ::-1].swapaxes(0, 1),
    8: lambda rows: rows[:, ::-1].swapaxes(0, 1),
}


def read_photo(data: bytes, *, max_pixels: int = 60_000_000, max_bytes: int = MOST_BYTES) -> np.ndarray:
    """The photo in the bytes of a file: uint8 (H, W, 3) RGB, upright, read-only.

    The first picture of an animation or of several pages; transparency over white; grey and 16-bit values scaled to
    0..255. Both limits are checked before anything is decoded. Img2TabError says what is wrong with anything else.
    """
    if not data:
        raise Img2TabError("The photo must hold a picture, got an empty file (0 bytes). Choose or save it once more.")
    if len(data) > max_bytes:
        raise Img2TabError(
            f"The photo must be at most {max_bytes / 1e6:.0f} MB, got {len(data) / 1e6:.1f} MB. "
            "Save it smaller or as a JPEG."
        )
    kind, reader = _reader(data)
    try:
        with reader(BytesIO(data)) as picture:
            _check_size(kind, picture.size, max_pixels)
            picture.load()
            orientation = _orientation(picture)  # after load: the TIFF reader turns the picture itself while loading
            pixels = _rgb(picture)
    except Img2TabError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning, MemoryError) as error:
        raise Img2TabError(
            f"The photo must have at most {max_pixels / 1e6:.0f} million pixels, "
            f"got a {kind} file that unpacks to more. Save it smaller."
        ) from error
    except (OSError, *DAMAGED) as error:
        if "truncated" in str(error).lower() or isinstance(error, EOFError):
            raise Img2TabError(
                f"The photo must be whole, got a {kind} file that breaks off after {len(data):,} bytes. "
                "Copy or download it once more."
            ) from error
        raise Img2TabError(
            f"The photo must be intact, got a damaged or incomplete {kind} file ({len(data):,} bytes). "
            "Open it in a picture program and save it again as a JPEG or PNG."
        ) from error
    return read_only(np.ascontiguousarray(_UPRIGHT.get(orientation, np.asarray)(pixels)))


def _reader(data: bytes) -> tuple[str, type[ImageFile.ImageFile]]:
    head = data[:16]
    for kind, starts, reader in _READERS:
        if starts(head):
            return kind, reader
    raise Img2TabError(
        f"The photo must be a {ACCEPTED} file, got {described(data[:HEAD])} ({len(data):,} bytes). "
        "Save or export the picture as a JPEG or PNG."
    )


def _check_size(kind: str, size: tuple[int, int], max_pixels: int) -> None:
    width, height = size
    if width * height > max_pixels:
        raise Img2TabError(
            f"The photo must have at most {max_pixels / 1e6:.0f} million pixels, got {width} x {height} "
            f"({width * height / 1e6:.0f} million) in a {kind} file. Save it smaller."
        )
    if min(width, height) < MIN_SIDE:
        raise Img2TabError(
            f"The photo must be at least {MIN_SIDE} x {MIN_SIDE} px to show a face, got {width} x {height} px. "
            "Choose a larger one."
        )


def _orientation(picture: Image.Image) -> int:
    """EXIF orientation 1..8; 1 where there is none or it cannot be read (the picture itself is fine then)."""
    try:
        return int(picture.getexif().get(ExifTags.Base.Orientation, 1))
    except (OSError, *DAMAGED):
        return 1


def _rgb(picture: Image.Image) -> np.ndarray:
    """uint8 (H, W, 3) of a loaded picture of any mode, as stored (not yet upright)."""
    if picture.mode.startswith("I") or picture.mode == "F":
        grey = _to_bytes(np.asarray(picture))  # (H, W)
        return np.repeat(grey[..., None], 3, axis=2)
    if picture.has_transparency_data:
        white = Image.new("RGB", picture.size, "white")
        layer = picture if picture.mode in ("RGBA", "LA") else picture.convert("RGBA")
        white.paste(layer, mask=layer)  # in place: of 60 million pixels every copy is 180 MB or more
        return np.asarray(white)
    return np.asarray(picture if picture.mode == "RGB" else picture.convert("RGB"))


def _to_bytes(values: np.ndarray) -> np.ndarray:
    """Grey values of any depth, (H, W), as uint8 of the same shape, scaled and rounded.

    16-bit files span 0..65535. Deeper ones do not say their span: the smallest usual one that holds their largest
    value is taken (0..1 for fractions, 0..255, 0..65535), and beyond those the largest value itself becomes white.
    """
    if values.dtype.kind == "u":
        top = 65535.0
    else:
        spans = (1.0, 255.0, 65535.0) if values.dtype.kind == "f" else (255.0, 65535.0)
        largest = float(values.max(where=np.isfinite(values), initial=0.0))
        top = next((span for span in spans if largest <= span), largest)
    grey = np.empty(values.shape, np.uint8)
    for start in range(0, len(values), ROWS):  # all at once would take 24 bytes a pixel
        part = np.nan_to_num(values[start : start + ROWS].astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
        grey[start : start + ROWS] = np.rint(np.clip(part / top, 0, 1) * 255)
    return grey

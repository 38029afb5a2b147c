"""What a picture that a generator drew says of itself: how it came about, what made it, and what was moved in it.

Two ways, so that one outlives the other. In the file: XMP with the IPTC property Digital Source Type (IPTC Photo
Metadata Standard, NewsCodes "digitalsourcetype") and the creating tool; in a PNG as plain text as well. In the picture:
a small label in a corner. A screenshot keeps the label, a conversion as a rule the XMP. `credentials` adds a third, a
signature, for whoever has a certificate.
"""

from __future__ import annotations

import io
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Literal
from xml.etree import ElementTree
from xml.sax.saxutils import escape, quoteattr

from PIL import Image, ImageDraw, ImageFont, PngImagePlugin

from img2tab_core import __version__
from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.files import whole
from img2tab_core.base.foreign import DAMAGED, HEAD, described
from img2tab_core.faces import credentials

KINDS = {"a PNG picture": "PNG", "a WebP picture": "WEBP", "a JPEG picture": "JPEG"}  # as `described` says it
Source = Literal["drawn", "mixed"]
Corner = Literal["top-left", "top-right", "bottom-left", "bottom-right"]
CORNERS: tuple[Corner, ...] = ("top-left", "top-right", "bottom-left", "bottom-right")
TERMS: dict[Source, str] = {
    "drawn": "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia",
    "mixed": "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia",
}
TOOL = f"Img2Tab Studio {__version__}"
LABEL = "drawn by a generator · Img2Tab"
SHORT_LABEL = "drawn · Img2Tab"  # where the whole one does not fit
MOST_PIXELS = 60_000_000  # of a picture that is read
LONGEST = 65_536  # bytes of XMP that are read
_EXT, _XMP = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/", "http://ns.adobe.com/xap/1.0/"
_RDF, _DC = "http://www.w3.org/1999/02/22-rdf-syntax-ns#", "http://purl.org/dc/elements/1.1/"


@dataclass(frozen=True)
class Mark:
    """source: the IPTC term, as it stands in the file; tool: what made the picture; what: what was done to it."""

    source: str
    tool: str
    what: str

    @property
    def sentence(self) -> str:
        """In words."""
        came = {
            TERMS["drawn"]: "Drawn by a generator",
            TERMS["mixed"]: "A photo of which a generator changed a part",
        }.get(self.source, f"Digital source type {self.source.rpartition('/')[2]}")
        return f"{came}, with {self.tool or 'an unnamed tool'}" + (f": {self.what}." if self.what else ".")

    def to_json(self) -> dict[str, str]:
        """Plain types."""
        return asdict(self) | {"sentence": self.sentence}


def save(
    picture: Image.Image,
    file: IO[bytes] | str | os.PathLike[str],
    kind: Literal["PNG", "WEBP", "JPEG"],
    what: str,
    *,
    source: Source = "drawn",
    label: Corner | None = "bottom-right",
    **options: object,
) -> None:
    """Write a picture with its marks.

    what: what was done, for instance which concept was moved how far; source: "drawn" where every pixel is a
    generator's, "mixed" where one changed a part of a photo; label: the corner of the visible label, None leaves it
    out: whoever asks for that should be told that the file still says it. options: as Pillow's `save` takes them.
    Signed as well where `credentials` is set up for it; raises Img2TabError where that fails.
    """
    data = encoded(picture, kind, what, source=source, label=label, **options)
    if isinstance(file, str | os.PathLike):
        with whole(Path(file)) as part:
            part.write_bytes(data)
    else:
        file.write(data)


def encoded(
    picture: Image.Image,
    kind: Literal["PNG", "WEBP", "JPEG"],
    what: str,
    *,
    source: Source = "drawn",
    label: Corner | None = "bottom-right",
    **options: object,
) -> bytes:
    """The same as bytes."""
    words = " ".join(what.split())
    packet = _packet(Mark(TERMS[source], TOOL, words))
    shown = picture.copy() if label is None else labelled(picture, label)
    shown.info = {}  # of a file it came from, Pillow would write comments and colour profiles again
    kept = io.BytesIO()
    if kind == "PNG":
        text = PngImagePlugin.PngInfo()
        text.add_itxt("XML:com.adobe.xmp", packet)
        text.add_itxt("Software", TOOL)
        text.add_itxt("Description", words or LABEL)
        shown.save(kept, "PNG", pnginfo=text, **options)
    else:
        shown.save(kept, kind, xmp=packet.encode(), **options)
    return _signed(kept.getvalue(), kind, source, words)


def marked(webp: bytes, what: str, *, source: Source = "drawn") -> bytes:
    """A WebP file with its mark; its pixels are not encoded again. What is no WebP, or has XMP already, stays as it is.

    The container (RFC 9649): RIFF, then chunks of a name, a size and their bytes, padded to an even number; XMP needs
    the extended header VP8X with the size of the picture before all others.
    """
    try:
        with Image.open(io.BytesIO(webp), formats=["WEBP"]) as picture:
            width, height = picture.size
            seen = b"" if "xmp" not in picture.info else picture.info["xmp"]
            alpha = picture.mode == "RGBA"
    except (OSError, Image.DecompressionBombError, *DAMAGED):
        return webp
    if seen:
        return webp
    words = " ".join(what.split())
    packet = _packet(Mark(TERMS[source], TOOL, words)).encode()
    chunks = bytearray(webp[12:])
    if chunks[:4] != b"VP8X":
        size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
        chunks[:0] = b"VP8X" + (10).to_bytes(4, "little") + bytes((0x10 if alpha else 0, 0, 0, 0)) + size
    chunks[8] |= 0x04  # the flag that says XMP
    chunks += b"XMP " + len(packet).to_bytes(4, "little") + packet + bytes(len(packet) % 2)
    made = b"RIFF" + (4 + len(chunks)).to_bytes(4, "little") + b"WEBP" + bytes(chunks)
    return _signed(made, "WEBP", source, words)


def _signed(data: bytes, kind: Literal["PNG", "WEBP", "JPEG"], source: Source, words: str) -> bytes:
    """Signed as well, where that is wanted here."""
    return credentials.signed(data, kind, TERMS[source], words) if credentials.wanted() else data


def labelled(picture: Image.Image, corner: Corner = "bottom-right") -> Image.Image:
    """A copy with the label in a corner, a thirtieth of its height and at least 9 px: readable, off the face."""
    copy = picture.convert("RGB")
    if copy is picture:
        copy = picture.copy()
    width, height = copy.size
    size = max(9, height // 42)
    font = ImageFont.load_default(size)
    pen = ImageDraw.Draw(copy, "RGBA")
    pad = size // 3
    for text in (LABEL, SHORT_LABEL):
        left, top, right, bottom = pen.textbbox((0, 0), text, font=font)
        if right - left + 2 * pad <= width:
            break
    wide, high = right - left + 2 * pad, bottom - top + 2 * pad
    x = 0 if corner.endswith("left") else width - wide
    y = 0 if corner.startswith("top") else height - high
    pen.rectangle((x, y, x + wide, y + high), fill=(0, 0, 0, 150))
    pen.text((x + pad - left, y + pad - top), text, font=font, fill=(255, 255, 255, 235))
    return copy


def read(data: bytes) -> Mark | None:
    """The mark of a picture file, PNG, WebP or JPEG, whoever made it; None where it carries none.

    Raises Img2TabError where the file is no picture that can be read.
    """
    try:
        with Image.open(io.BytesIO(data), formats=("PNG", "WEBP", "JPEG")) as picture:
            if picture.width * picture.height > MOST_PIXELS:
                raise Img2TabError(
                    f"The file must have at most {MOST_PIXELS / 1e6:.0f} million pixels, got {picture.width} x "
                    f"{picture.height}. Save it smaller."
                )
            picture.load()  # a PNG may have its text behind the pixels
            packet = picture.info.get("xmp") or picture.info.get("XML:com.adobe.xmp") or b""
    except Img2TabError:
        raise
    except (OSError, Image.DecompressionBombError, *DAMAGED) as error:
        raise Img2TabError(
            f"The file is no picture that can be read: PNG, WebP and JPEG can. It is {described(data[:HEAD])}."
        ) from error
    packet = packet.encode() if isinstance(packet, str) else packet
    if not packet or len(packet) > LONGEST or b"<!" in packet:  # no entities of its own
        return None
    try:
        root = ElementTree.fromstring(packet.decode("utf-8", "replace"))  # noqa: S314 - short, and without a "<!"
    except ElementTree.ParseError:
        return None
    source = _value(root, f"{{{_EXT}}}DigitalSourceType")
    said = root.find(f".//{{{_DC}}}description//{{{_RDF}}}li")
    return (
        None
        if not source
        else Mark(source, _value(root, f"{{{_XMP}}}CreatorTool"), (said.text if said is not None else "") or "")
    )


def _value(root: ElementTree.Element, name: str) -> str:
    """A property, written as an attribute or as an element."""
    for element in root.iter():
        if name in element.attrib:
            return element.attrib[name].strip()
        if element.tag == name:
            return (element.text or element.attrib.get(f"{{{_RDF}}}resource", "")).strip()
    return ""


def _packet(mark: Mark) -> str:
    return (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
        f'<rdf:RDF xmlns:rdf="{_RDF}"><rdf:Description rdf:about="" xmlns:Iptc4xmpExt="{_EXT}" xmlns:xmp="{_XMP}" '
        f'xmlns:dc="{_DC}" Iptc4xmpExt:DigitalSourceType={quoteattr(mark.source)} '
        f"xmp:CreatorTool={quoteattr(mark.tool)}>"
        f'<dc:description><rdf:Alt><rdf:li xml:lang="x-default">{escape(mark.what)}</rdf:li></rdf:Alt></dc:description>'
        "</rdf:Description></rdf:RDF></x:xmpmeta>"
    )

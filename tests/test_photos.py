"""Every kind of file a person may upload becomes one upright RGB photo or one clear sentence."""

from __future__ import annotations

import struct
import warnings
import zlib
from io import BytesIO

import numpy as np
import pytest
from PIL import Image, ImageFile, PngImagePlugin

from img2tab_core.base.errors import Img2TabError
from img2tab_core.faces.photos import MIN_SIDE, read_photo

HEIGHT, WIDTH = 80, 120


def saved(picture: Image.Image | np.ndarray, kind: str, **options) -> bytes:
    picture = Image.fromarray(picture) if isinstance(picture, np.ndarray) else picture
    file = BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def exif(orientation: int) -> Image.Exif:
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags


def scene() -> np.ndarray:
    """uint8 (80, 120, 3): red grows to the right, green downwards, blue constant."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    return np.stack([columns * 2, rows * 3, np.full_like(rows, 90)], axis=-1).astype(np.uint8)


def png_chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def bilevel_png(width: int, height: int, rows: int) -> bytes:
    """A black PNG of one bit per pixel that holds the first `rows` rows."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0))
    stream = zlib.compress(bytes((1 + (width + 7) // 8) * rows))
    return b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IDAT", stream) + png_chunk(b"IEND", b"")


# Reading -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("PNG", {}),
        ("BMP", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("WEBP", {"lossless": True}),
    ],
)
def test_a_lossless_file_gives_back_every_one_of_its_9600_pixels(kind, options):
    photo = read_photo(saved(scene(), kind, **options))
    assert photo.dtype == np.uint8
    np.testing.assert_array_equal(photo, scene())


@pytest.mark.parametrize("options", [{}, {"progressive": True}])
def test_a_jpeg_plain_or_progressive_is_within_3_of_255_on_average(options):
    photo = read_photo(saved(scene(), "JPEG", quality=95, **options))
    assert np.abs(photo.astype(int) - scene()).mean() <= 3


def test_the_photo_refuses_writes_and_owns_its_rows_in_order():
    photo = read_photo(saved(scene(), "JPEG", exif=exif(6)))
    assert photo.flags.c_contiguous
    with pytest.raises(ValueError, match="read-only"):
        photo[0, 0] = 0


# Where the EXIF standard says the first stored row and the first stored column are in the upright picture.
SIDES = {
    1: ("top", "left"),
    2: ("top", "right"),
    3: ("bottom", "right"),
    4: ("bottom", "left"),
    5: ("left", "top"),
    6: ("right", "top"),
    7: ("right", "bottom"),
    8: ("left", "bottom"),
}
BAND = {
    "top": np.s_[:20, 40:-40],
    "bottom": np.s_[-20:, 40:-40],
    "left": np.s_[40:-40, :20],
    "right": np.s_[40:-40, -20:],
}


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", SIDES)
def test_each_of_the_8_exif_orientations_puts_the_first_row_and_column_on_the_standards_side(kind, orientation):
    stored = np.full((100, 140, 3), 128, np.uint8)
    stored[:20] = (250, 0, 0)  # the first rows are red
    stored[:, :20] = (0, 0, 250)  # the first columns are blue
    photo = read_photo(saved(stored, kind, exif=exif(orientation))).astype(int)
    row_side, column_side = SIDES[orientation]
    assert photo.shape == ((100, 140, 3) if orientation <= 4 else (140, 100, 3))
    assert np.abs(np.median(photo[BAND[row_side]], axis=(0, 1)) - (250, 0, 0)).max() <= 6
    assert np.abs(np.median(photo[BAND[column_side]], axis=(0, 1)) - (0, 0, 250)).max() <= 6


@pytest.mark.parametrize("orientation", [0, 9, 60000])
def test_an_orientation_outside_1_to_8_leaves_the_picture_as_stored(orientation):
    np.testing.assert_array_equal(read_photo(saved(scene(), "PNG", exif=exif(orientation))), scene())


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_broken_exif_block_does_not_cost_the_photo_a_single_pixel():
    data = saved(scene(), "JPEG", quality=95, exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\x01\x12")
    np.testing.assert_array_equal(read_photo(data), read_photo(saved(scene(), "JPEG", quality=95)))


def test_grey_of_level_77_becomes_77_in_all_three_colours():
    photo = read_photo(saved(np.full((80, 120), 77, np.uint8), "JPEG", quality=95))
    assert photo.shape == (80, 120, 3)
    assert np.unique(photo).tolist() == [77]


@pytest.mark.parametrize(
    ("ink", "rgb"),
    [
        ((0, 255, 255, 0), (255, 0, 0)),
        ((255, 0, 255, 0), (0, 255, 0)),
        ((0, 0, 0, 255), (0, 0, 0)),
        ((0, 0, 0, 0), (255, 255, 255)),
    ],
)
@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk_inks_become_their_colours_within_3(kind, ink, rgb):
    photo = read_photo(saved(Image.new("CMYK", (100, 100), ink), kind))
    assert np.abs(photo.astype(int) - rgb).max() <= 3


def test_half_transparent_red_over_white_is_255_127_127():
    photo = read_photo(saved(Image.new("RGBA", (100, 100), (255, 0, 0, 128)), "PNG"))
    assert np.unique(photo.reshape(-1, 3), axis=0).tolist() == [[255, 127, 127]]


def test_half_transparent_black_in_a_grey_picture_is_127():
    assert np.unique(read_photo(saved(Image.new("LA", (100, 100), (0, 128)), "PNG"))).tolist() == [127]


def test_a_transparent_palette_entry_shows_white_and_the_other_keeps_its_colour():
    indices = np.zeros((100, 100), np.uint8)
    indices[:, 50:] = 1
    picture = Image.frombytes("P", (100, 100), indices.tobytes())
    picture.putpalette([10, 20, 30, 40, 50, 60])
    for kind in ("PNG", "GIF"):
        photo = read_photo(saved(picture, kind, transparency=0))
        assert photo[5, 5].tolist() == [255, 255, 255]
        assert photo[5, 95].tolist() == [40, 50, 60]


def test_a_bilevel_picture_is_0_and_255():
    bits = Image.fromarray(np.where(np.arange(100) < 50, 0, 255).astype(np.uint8)[None].repeat(100, 0)).convert("1")
    photo = read_photo(saved(bits, "PNG"))
    assert (photo[0, 0, 0], photo[0, 99, 0]) == (0, 255)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bit_levels_are_divided_by_257_and_not_clipped(kind):
    levels = np.repeat(np.array([0, 257, 25_700, 32_768, 65_535], np.uint16), 20)[None].repeat(80, 0)
    photo = read_photo(saved(levels, kind))
    assert photo[0, ::20, 0].tolist() == [0, 1, 100, 128, 255]
    assert (photo == photo[..., :1]).all()


def test_16_bit_values_in_a_32_bit_file_are_divided_by_257():
    levels = np.repeat(np.array([0, 25_700, 65_535], np.int32), 40)[None].repeat(80, 0)
    assert read_photo(saved(levels, "TIFF"))[0, ::40, 0].tolist() == [0, 100, 255]


def test_a_32_bit_file_beyond_65535_is_scaled_by_its_largest_value():
    levels = np.repeat(np.array([-5, 1_000_000, 2_000_000], np.int32), 40)[None].repeat(80, 0)
    assert read_photo(saved(levels, "TIFF"))[0, ::40, 0].tolist() == [0, 128, 255]


def test_fractions_from_0_to_1_span_0_to_255_and_not_a_number_is_0():
    levels = np.repeat(np.array([0, 0.5, 1, np.nan], np.float32), 30)[None].repeat(80, 0)
    assert read_photo(saved(levels, "TIFF"))[0, ::30, 0].tolist() == [0, 128, 255, 0]


@pytest.mark.parametrize(("kind", "options"), [("GIF", {}), ("WEBP", {"lossless": True}), ("PNG", {}), ("TIFF", {})])
def test_of_three_frames_the_first_is_read(kind, options):
    frames = [Image.new("RGB", (100, 90), colour) for colour in ((200, 10, 10), (10, 200, 10), (10, 10, 200))]
    photo = read_photo(saved(frames[0], kind, save_all=True, append_images=frames[1:], **options))
    assert photo.shape == (90, 100, 3)
    assert np.unique(photo.reshape(-1, 3), axis=0).tolist() == [[200, 10, 10]]


def test_of_the_two_views_of_a_camera_file_the_first_is_read():
    views = [Image.new("RGB", (100, 90), (level,) * 3) for level in (40, 200)]
    photo = read_photo(saved(views[0], "MPO", save_all=True, append_images=views[1:]))
    assert np.unique(photo).tolist() == [40]


# Refusing ----------------------------------------------------------------------------------------------------------


def refusal(data: bytes, **limits) -> str:
    with pytest.raises(Img2TabError) as caught:
        read_photo(data, **limits)
    return str(caught.value)


def test_0_bytes_are_called_empty():
    assert "empty file (0 bytes)" in refusal(b"")


def test_a_text_file_of_27_bytes_is_called_a_text_file_whatever_its_name():
    assert "got a text file (27 bytes)" in refusal(b"This is not a photo at all.")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(60), "a HEIC file"),
        (b"\0\0\0\x18ftypavif\0\0\0\0mif1avif" + bytes(60), "an AVIF file"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + bytes(60), "a video"),
        (b"%PDF-1.7\n" + bytes(60), "a PDF document"),
        (b"PK\x03\x04" + bytes(60), "a ZIP archive"),
        (b'<?xml version="1.0"?><svg width="9"/>', "an SVG drawing"),
        (bytes(range(100)), "a file of an unknown kind"),
    ],
)
def test_another_kind_of_file_is_named_and_the_6_accepted_kinds_are_listed(data, words):
    sentence = refusal(data)
    assert words in sentence
    assert "JPEG, PNG, WebP, GIF, BMP or TIFF" in sentence


@pytest.mark.parametrize("kind", ["ICO", "PPM", "PCX", "TGA", "EPS"])
def test_a_picture_kind_that_pillow_could_read_but_we_do_not_list_is_refused(kind):
    assert "The photo must be a JPEG" in refusal(saved(Image.new("RGB", (100, 100)), kind))


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
@pytest.mark.parametrize("options", [{}, {"progressive": True}])
def test_a_jpeg_cut_short_is_said_to_break_off(share, options):
    noise = np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8)
    whole = saved(noise, "JPEG", **options)
    data = whole[: int(len(whole) * share)]
    assert f"breaks off after {len(data):,} bytes" in refusal(data)


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_any_other_kind_cut_to_half_is_refused_in_one_sentence(kind):
    noise = np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8)
    whole = saved(noise, kind)
    sentence = refusal(whole[: len(whole) // 2])
    assert "breaks off" in sentence or "damaged or incomplete" in sentence


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_200_damaged_copies_give_a_photo_or_an_img2tab_error_and_nothing_else(kind):
    whole = saved(scene(), kind, **({"exif": exif(6)} if kind in ("JPEG", "PNG", "WEBP") else {}))
    random = np.random.default_rng(7)
    for copy in range(200):
        data = bytearray(whole)
        for place in random.integers(0, min(len(data), 300 if copy % 2 else len(data)), 1 + copy % 6):
            data[place] = random.choice([0, 255, random.integers(256)])
        try:
            photo = read_photo(bytes(data))
        except Img2TabError:
            continue
        assert photo.ndim == 3 and photo.shape[2] == 3 and photo.dtype == np.uint8


def test_a_png_of_30000_x_30000_is_refused_from_its_header_without_decoding(monkeypatch):
    def decode(_):
        raise AssertionError("the picture was decoded")

    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", decode)
    data = bilevel_png(30_000, 30_000, rows=30_000)  # whole and valid: 112 MB of zeros in 0.1 MB
    assert len(data) < 200_000
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sentence = refusal(data)
    assert "at most 60 million pixels, got 30000 x 30000 (900 million) in a PNG file" in sentence


@pytest.mark.parametrize(("width", "height"), [(10_000, 9_500), (16_000, 8_000)])
def test_sizes_at_which_pillow_only_warns_are_refused_without_a_warning(width, height):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert f"got {width} x {height}" in refusal(bilevel_png(width, height, rows=1))


def test_a_webp_that_claims_16384_x_16384_is_refused():
    body = b"VP8X" + struct.pack("<I", 10) + bytes(4) + (16_383).to_bytes(3, "little") * 2
    body += b"VP8L" + struct.pack("<I", 8) + bytes(8)
    sentence = refusal(b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body)
    # which check comes first depends on the Pillow release: its size, or that nothing follows its header
    assert "at most 60 million pixels" in sentence or "got a damaged or incomplete WebP file" in sentence


def test_the_pixel_limit_is_exact_9600_pass_and_9599_do_not():
    data = saved(scene(), "PNG")
    assert read_photo(data, max_pixels=9600).shape == (80, 120, 3)
    assert "120 x 80" in refusal(data, max_pixels=9599)


def test_the_byte_limit_is_exact_and_comes_first():
    data = saved(scene(), "PNG")
    assert read_photo(data, max_bytes=len(data)).shape == (80, 120, 3)
    assert "at most 0 MB" in refusal(data, max_bytes=len(data) - 1)
    assert "at most 30 MB, got 30.0 MB" in refusal(bytes(30_000_001))


@pytest.mark.parametrize("size", [(63, 500), (500, 63), (1, 1)])
def test_a_side_below_64_px_is_too_small_for_a_face(size):
    assert MIN_SIDE == 64
    assert f"at least 64 x 64 px to show a face, got {size[0]} x {size[1]} px" in refusal(
        saved(Image.new("RGB", size), "PNG")
    )


def test_64_x_64_px_is_large_enough():
    assert read_photo(saved(Image.new("RGB", (64, 64)), "PNG")).shape == (64, 64, 3)


def test_pillows_process_wide_limits_are_the_same_after_3_reads_and_2_refusals():
    before = (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, list(warnings.filters))
    for kind in ("PNG", "GIF", "TIFF"):
        read_photo(saved(scene(), kind))
    refusal(bilevel_png(30_000, 30_000, rows=1))
    refusal(saved(scene(), "JPEG")[:900])
    assert (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, list(warnings.filters)) == before

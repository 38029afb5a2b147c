"""What a drawn picture says of itself: in its file, in a corner, and read back from both ours and others' files."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from dashboard.components import pictures
from img2tab_core.base.errors import Img2TabError
from img2tab_core.cli import main
from img2tab_core.faces import marks
from img2tab_core.reports import page

HOSTILE = 'Hair "long" <img src=x> & +3.0 SD ]]> \N{MULTIPLICATION SIGN} \N{GRINNING FACE}'


@pytest.fixture
def picture():
    return Image.fromarray(np.random.default_rng(0).integers(0, 255, (256, 256, 3), np.uint8))


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "JPEG"])
@pytest.mark.parametrize("source", ["drawn", "mixed"])
def test_3_kinds_of_file_say_source_tool_and_what_was_moved_and_give_it_back_as_it_was(picture, kind, source):
    mark = marks.read(marks.encoded(picture, kind, f"{HOSTILE}\n  again", source=source))
    assert mark == marks.Mark(marks.TERMS[source], marks.TOOL, f"{HOSTILE} again")
    assert ("Drawn by a generator, with Img2Tab" in mark.sentence) == (source == "drawn")


def test_the_label_covers_a_sixteenth_of_the_height_in_its_corner_and_no_pixel_elsewhere(picture):
    plain = np.asarray(picture)
    for corner in marks.CORNERS:
        changed = (np.asarray(marks.labelled(picture, corner)) != plain).any(axis=2)
        rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
        assert len(rows) <= 16 and len(columns) < 180
        assert (rows[0] == 0) == corner.startswith("top") and (columns[0] == 0) == corner.endswith("left")
    assert np.array_equal(np.asarray(picture), plain)
    unlabelled = Image.open(io.BytesIO(marks.encoded(picture, "PNG", "moved", label=None)))
    assert np.array_equal(np.asarray(unlabelled), plain) and unlabelled.info["Software"] == marks.TOOL


def test_a_picture_without_a_mark_has_none_and_a_file_that_is_no_picture_is_a_sentence(picture):
    kept = io.BytesIO()
    picture.save(kept, "PNG")
    assert marks.read(kept.getvalue()) is None
    with pytest.raises(Img2TabError, match="no picture that can be read"):
        marks.read(b"<svg/>")


@pytest.mark.parametrize(
    "packet",
    [
        b"<x",
        b"\xff\xfe\x00",
        b"<a/>",
        b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>',
        b"<a>" * 30_000,
    ],
)
def test_xmp_that_is_damaged_empty_or_defines_entities_is_no_mark(picture, packet):
    kept = io.BytesIO()
    picture.save(kept, "WEBP", xmp=packet)
    assert marks.read(kept.getvalue()) is None


def test_a_mark_of_another_program_that_writes_elements_is_read_too(picture):
    kept, ext = io.BytesIO(), "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
    rdf, term = "http://www.w3.org/1999/02/22-rdf-syntax-ns#", marks.TERMS["mixed"]
    body = f'<rdf:RDF xmlns:rdf="{rdf}"><rdf:Description xmlns:e="{ext}"><e:DigitalSourceType rdf:resource="{term}"/>'
    picture.save(kept, "JPEG", xmp=f"{body}</rdf:Description></rdf:RDF>".encode())
    assert marks.read(kept.getvalue()) == marks.Mark(term, "", "")


def test_the_download_of_a_page_and_the_pictures_of_a_report_are_marked(picture):
    pixels = np.asarray(picture)
    mark = marks.read(pictures.png(pixels, "Hair: long +3.0 SD"))
    assert mark.source == marks.TERMS["drawn"] and mark.what == "Hair: long +3.0 SD"
    import base64

    inside = base64.b64decode(page.picture(pixels).partition(",")[2])
    assert marks.read(inside).source == marks.TERMS["drawn"]


def test_the_terminal_reads_2_files_one_of_them_unmarked(picture, tmp_path):
    marks.save(picture, tmp_path / "a.png", "PNG", "Hair: long +3.0 SD")
    picture.save(tmp_path / "b.png")
    words = ["provenance", str(tmp_path / "a.png"), str(tmp_path / "b.png")]
    text = CliRunner().invoke(main.app, words).stdout
    assert "a.png: Drawn by a generator, with Img2Tab Studio" in text and "+3.0 SD." in text
    assert "b.png: carries no mark" in text
    both = json.loads(CliRunner().invoke(main.app, [*words, "--json"]).stdout)["pictures"]
    assert both[0]["mark"]["source"] == marks.TERMS["drawn"] and both[1]["mark"] is None
    assert "cannot be read" in CliRunner().invoke(main.app, ["provenance", str(tmp_path / "c.png")]).stderr

"""What is left of a photo once its visitor has said "Forget my photos": searched for in memory and on disk."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from img2tab_core.faces.photos import read_photo
from tests import browser

PLACES, LENGTH = 12, 40  # needles of each kind, and their length in bytes


def _photo(studio, table) -> bytes:
    """A face of the table in front of noise that is nowhere else, as a PNG file."""
    from img2tab_core.base.records import StyleCode

    face = studio.render(StyleCode.of(table.psi[11], table.backbone), size=512)
    whole = np.random.default_rng(20261129).integers(0, 256, (760, 760, 3), dtype=np.uint8)
    whole[124:636, 124:636] = face
    kept = io.BytesIO()
    Image.fromarray(whole).save(kept, "PNG")
    return kept.getvalue()


def _needles(values: bytes) -> list[bytes]:
    """Parts of it with hardly a byte twice, so that none is anywhere by chance."""
    starts = np.random.default_rng(1).integers(0, len(values) - LENGTH, 400)
    parts = [values[start : start + LENGTH] for start in starts.tolist()]
    return [part for part in parts if len(set(part)) > LENGTH * 0.6][:PLACES]


def _traces(pid: int, needles: dict[str, list[bytes]]) -> dict[str, int]:
    """How many needles of each kind are in the memory that a process can write to."""
    left = {what: set(parts) for what, parts in needles.items()}
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            span = re.match(r"([0-9a-f]+)-([0-9a-f]+) rw", line)
            if span is None:
                continue
            begin, end = (int(number, 16) for number in span.groups())
            try:
                memory.seek(begin)
                content = memory.read(end - begin)
            except (OSError, ValueError, OverflowError):
                continue
            for parts in left.values():
                parts -= {part for part in parts if part in content}
    return {what: len(needles[what]) - len(left[what]) for what in needles}


@pytest.mark.slow
@pytest.mark.browser
def test_of_48_parts_of_a_photo_its_face_and_its_code_none_is_left_in_memory_or_on_disk_once_it_is_forgotten(
    studio, tmp_path
):
    if browser.chromium() is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    table = studio.table()
    data = _photo(studio, table)
    face = studio.faces(data)[0]
    needles = {
        "file": _needles(data),
        "photo": _needles(read_photo(data).tobytes()),
        "face": _needles(face.pixels.tobytes()),
        "code": _needles(studio.encode(face).values.tobytes()),
    }
    assert all(len(parts) == PLACES for parts in needles.values())
    browser.furnish(tmp_path)
    port = browser.free_port()
    with browser.dashboard(tmp_path, port=port) as address, browser.page(address) as page:
        pid = browser.server_of(port)
        page.get_by_test_id("stMain").get_by_text("Upload", exact=True).click()
        page.locator("input[type=file]").first.set_input_files(
            {"name": "ann.png", "mimeType": "image/png", "buffer": data}
        )
        page.get_by_role("slider").first.wait_for()
        browser.settle(page)
        page.get_by_role("slider").first.press("ArrowRight")
        browser.settle(page)
        before = _traces(pid, needles)
        assert all(count > 0 for count in before.values()), before  # or what follows would prove nothing
        page.get_by_role("button", name="Forget my photos").click()
        page.get_by_role("button", name="Forget my photos").wait_for(state="detached")
        browser.settle(page)
        page.wait_for_timeout(9500)
        after = _traces(pid, needles)
        print(before, after)
        assert not any(after.values()), (before, after)
        assert page.get_by_text("ann.png").count() == 0
        on_disk = [file for place in (tmp_path / "runs", tmp_path) for file in place.rglob("*") if file.is_file()]
        for file in on_disk:
            content = file.read_bytes()
            assert not any(part in content for parts in needles.values() for part in parts), file

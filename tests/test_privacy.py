"""What is left of a photo once its visitor has said "Forget my photos": searched for in memory and on disk."""

from __future__ import annotations

import io
import os
import re
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from img2tab_core.cli.main import app
from img2tab_core.faces.photos import read_photo
from img2tab_core.tables import retention
from tests import browser

runner = CliRunner()
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
    # wherever a needle lies, eight bytes of it begin at a multiple of eight: only these are looked for at first
    words = {part[start : start + 8]: part for parts in needles.values() for part in parts for start in range(8)}
    rare = np.zeros(1 << 16, bool)
    rare[np.frombuffer(b"".join(word[:2] for word in words), np.uint16)] = True
    found: set[bytes] = set()
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
            there = np.frombuffer(content, np.uint64, len(content) // 8)
            likely = there[rare[there.view(np.uint16)[::4]]]
            parts = {words.get(word.tobytes()) for word in np.unique(likely)} - {None}
            found |= {part for part in parts if part in content}
    return {what: len(found.intersection(parts)) for what, parts in needles.items()}


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
    with browser.dashboard(tmp_path) as address, browser.page(address) as page:
        pid = browser.server_at(address)
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
        for _ in range(10):  # it wipes at once, and again 2 and 10 s later
            after = _traces(pid, needles)
            if not any(after.values()):
                break
            page.wait_for_timeout(2500)
        assert not any(after.values()), (before, after)
        assert page.get_by_text("ann.png").count() == 0
        on_disk = [file for place in (tmp_path / "runs", tmp_path) for file in place.rglob("*") if file.is_file()]
        for file in on_disk:
            content = file.read_bytes()
            assert not any(part in content for parts in needles.values() for part in parts), file


def test_of_7_things_on_disk_the_3_of_people_that_are_older_than_90_days_go_and_the_bundled_table_stays(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("IMG2TAB_HOME", str(tmp_path))
    things = (
        ("tables", "default", 400), ("tables", "staff", 100), ("uploads", "staff", 91), ("imports", "new", 4),
        ("copies", "new", 3), ("distances", "staff-kind.shards", 95),
    )  # fmt: skip
    for place, name, days in things:
        file = tmp_path / place / name / "codes"
        file.parent.mkdir(parents=True)
        file.write_text("of a face")
        os.utime(file, (time.time() - days * 86_400,) * 2)
    (tmp_path / "distances" / "staff-kind.npz").write_text("of all faces together")
    known = [(thing.what, thing.name) for thing in retention.kept()]
    answers = ("distances", "staff-kind.shards")
    assert known == [("table", "staff"), answers, ("upload", "staff"), ("import", "new"), ("copy", "new")]
    listed = runner.invoke(app, ["tables", "forget", "--older-than", "90"])
    assert listed.exit_code == 0 and "Say --yes" in listed.stdout and len(retention.kept()) == 5
    assert runner.invoke(app, ["tables", "forget", "--older-than", "90", "--yes"]).exit_code == 0
    assert [thing.what for thing in retention.kept()] == ["import", "copy"]
    assert (tmp_path / "tables" / "default" / "codes").is_file()
    refused = runner.invoke(app, ["tables", "forget", "nobody"])
    assert refused.exit_code == 1 and "there is new." in refused.stderr

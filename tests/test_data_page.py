"""The Data page: own photos become a table from the page, are stopped and taken up, and nothing of them is a path."""

from __future__ import annotations

import io
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
import streamlit as st
from PIL import Image
from streamlit.testing.v1 import AppTest

from dashboard.parts import table_look
from dashboard.state import imports
from img2tab_core.base import files
from img2tab_core.base.errors import Cancelled, Img2TabError
from img2tab_core.classifiers.catboost import CatBoostConcepts
from img2tab_core.tables import brought, encoding, population
from img2tab_core.tables.brought import bring_folder, bring_uploads, import_brought, source_of
from img2tab_core.tables.sources import stored_name
from tests import app
from tests.test_importing import align, toy

pytestmark = pytest.mark.usefixtures("small_pictures")

PAGE = "views/data.py"
COUNT = 24


@pytest.fixture
def own_home(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("IMG2TAB_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def _labels(names: list[str]) -> bytes:
    return "\n".join(["image,kind", *(f'"{name}",{n % 2}' for n, name in enumerate(names))]).encode()


# ---- what is kept of photos that were brought


def test_24_uploads_are_stored_by_number_with_their_ending_and_their_names_are_never_paths(own_home):
    names = [f"{n}.JPG" for n in range(COUNT - 3)] + ["../../escape.png", "/etc/passwd", "a.exe"]
    request = bring_uploads("mine", [(name, b"1") for name in names], _labels(names), backbone="toy")
    stored = sorted(file.name for file in (own_home / "uploads" / "mine").iterdir())
    assert stored[:2] == ["000000.jpg", "000001.jpg"] and stored[-5:-2] == ["000021.png", "000022", "000023"]
    assert stored[-2:] == ["labels.csv", "request.json"] and request.names == tuple(names)
    assert list(own_home.parent.rglob("escape*")) == []
    assert brought.waiting() == [request]


def test_an_import_of_uploads_names_the_faces_as_their_owner_does_and_removes_what_was_kept(own_home):
    names = [f"face {n}.png" for n in range(COUNT)]
    request = bring_uploads("mine", [(n, str(i).encode()) for i, n in enumerate(names)], _labels(names), backbone="toy")
    imported = import_brought(request, toy(), align)
    assert imported.table.labels["photo"].tolist() == sorted(names)
    assert imported.table.labels.set_index("photo").loc["face 7.png", "kind"] == 1
    assert not (own_home / "uploads" / "mine").exists() and brought.waiting() == []


def test_an_import_that_is_stopped_after_32_photos_waits_and_ends_as_if_nothing_had_happened(own_home, monkeypatch):
    names = [f"{n:03d}.png" for n in range(70)]
    request = bring_uploads("mine", [(n, n[:3].encode()) for n in names], _labels(names), backbone="toy")
    with pytest.raises(Cancelled, match="32 of 70 photos are done"):
        import_brought(request, toy(), align, stopped=lambda: True)
    assert brought.waiting() == [request]
    again = import_brought(brought.waiting()[0], toy(), align)
    assert again.resumed == 32 and len(again.table.labels) == 70


def test_2_photos_of_1_name_are_2_photos_and_the_second_has_no_label(own_home):
    names = ["a.png", "a.png", *(f"{n}.png" for n in range(22))]
    request = bring_uploads("mine", [(n, b"1") for n in names], _labels([*names[:1], *names[2:]]), backbone="toy")
    assert request.names[:2] == ("a.png", "a.png (2)")
    source = source_of(request, align)
    assert source.has_label.sum() == 23 and not source.has_label[source.names.index("a.png (2)")]


@pytest.mark.parametrize("name", ["../up", "a/b", "default", ""])
def test_a_name_that_is_no_tables_name_is_refused_before_anything_is_written(own_home, name):
    with pytest.raises(Img2TabError, match="A table's name must be one word"):
        bring_uploads(name, [("a.png", b"1")], b"image,kind\na.png,1", backbone="toy")
    assert not own_home.exists()


def test_a_folder_that_is_not_there_is_a_sentence_and_one_that_is_stays_after_its_import(own_home, tmp_path):
    place = tmp_path / "photos"
    with pytest.raises(Img2TabError, match=r"There is no folder .*photos on this computer"):
        bring_folder("mine", place, b"", backbone="toy")
    place.mkdir()
    names = [f"{n}.png" for n in range(COUNT)]
    for n, name in enumerate(names):
        (place / name).write_bytes(str(n).encode())
    import_brought(bring_folder("mine", place, _labels(names), backbone="toy"), toy(), align)
    assert len(list(place.iterdir())) == COUNT and not (own_home / "uploads" / "mine").exists()


def test_an_ending_that_is_no_photos_is_left_away():
    assert [stored_name(7, name) for name in ("a.PNG", "b.tar.gz", "c")] == ["000007.png", "000007", "000007"]


def test_every_label_of_the_bundled_faces_was_checked_on_138_faces_or_more():
    checks = population.label_checks()
    assert len(checks) == 11 and checks["young"].known == 138 and checks["young"].agree == 132
    assert all(check.known >= 138 and check.agree <= check.known for check in checks.values())


def test_the_smallest_count_of_4_is_that_of_the_rarest_class_and_group():
    labels, groups = np.array([0, 0, 0, 1, 1, 1, -1]), np.array([0, 0, 1, 0, 1, 1, 1])
    assert table_look._least(labels, groups) == 1
    assert table_look._least(labels, labels) == 0


# ---- the page


@pytest.fixture(scope="module")
def home(studio, tmp_path_factory):
    """A visitor's folder with the real default table and its first run."""
    real, own = files.home(), tmp_path_factory.mktemp("home")
    (own / "tables").mkdir()
    (own / "tables" / "default").symlink_to(real / "tables" / "default")
    for made in ("runs", "distances"):
        if (real / made).is_dir():
            shutil.copytree(real / made, own / made)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IMG2TAB_HOME", str(own))
        patch.setitem(CatBoostConcepts.__init__.__kwdefaults__, "iterations", 50)
        st.cache_data.clear()
        st.cache_resource.clear()
        yield own
    st.cache_data.clear()
    st.cache_resource.clear()


@pytest.fixture(scope="module")
def photos(studio) -> list[tuple[str, bytes, str]]:
    """24 generated faces as PNG: the 12 samples and their mirror images."""
    faces = [face.pixels for face in studio.samples()]
    made = []
    for n, pixels in enumerate([*faces, *(face[:, ::-1] for face in faces)]):
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "PNG")
        made.append((f"face {n}.png", file.getvalue(), "image/png"))
    return made


def _page() -> AppTest:
    return app.ready(app.begun().switch_page(PAGE).run())


def _ended(at: AppTest) -> AppTest:
    job = imports.importing().job
    assert job.wait(120)
    return app.well(at.run())


def _press(at: AppTest, label: str) -> AppTest:
    return app.well(next(each for each in at.button if each.label == label).click().run())


def _fill(at: AppTest, photos, labels: bytes, name: str) -> AppTest:
    at.file_uploader(key="data.import.photos").set_value(photos)
    at.file_uploader(key="data.import.labels").set_value(("labels.csv", labels, "text/csv"))
    at.text_input(key="data.import.name").set_value(name)
    at.checkbox(key="data.import.aligned").check()
    return _press(at, "Import")


def test_24_uploaded_faces_become_a_table_that_is_chosen_after_wrong_labels_and_a_stop(home, photos, monkeypatch):
    at = _page()
    assert any("pairs of labels have a group with fewer than 30" in each.value for each in at.markdown)
    assert (
        next(each.value for each in at.dataframe if "Checked" in each.value)["Checked"][0]
        == "99.4\N{NO-BREAK SPACE}% of 158"
    )
    at = _press(at, "Import")
    assert any("Choose photos and a file" in each.value for each in at.warning)

    at = _ended(_fill(at, photos, b"image,kind\nnobody.png,1\nno one.png,0\n", "mine"))
    assert any("must name the photos" in each.value for each in at.error)
    at = app.well(at.button(key="data.import.forget.mine").click().run())
    assert not (home / "uploads" / "mine").exists()

    monkeypatch.setattr(encoding, "GROUP", 8)
    names = [name for name, *_ in photos]
    encode, begun = encoding.Encoding._encode, []

    def slow(*args):  # until the page has asked it to stop
        begun.append(1)
        until = time.monotonic() + 60
        while len(begun) == 1 and not imports.importing().job.stopping and time.monotonic() < until:
            time.sleep(0.02)
        return encode(*args)

    monkeypatch.setattr(encoding.Encoding, "_encode", slow)
    at = _fill(at, photos, _labels(names), "mine")
    at = app.well(at.button(key="data.importing-cancel").click().run())
    at = _ended(at)
    assert imports.importing().job.state == "cancelled" and len(begun) == 1
    assert any("“mine” waits: 24 uploaded photos" in each.value for each in at.markdown)

    at = _ended(app.well(at.button(key="data.import.go_on.mine").click().run()))
    assert len(begun) == 3  # of three groups the first was not done again
    assert any("Table “mine” is there: 24 of 24 photos, 1 target." in each.value for each in at.markdown)
    at = app.ready(at.run())
    assert app.held(at.selectbox, "frame.table").value == "mine"
    assert not (home / "uploads" / "mine").exists()


def test_a_folder_can_be_named_only_where_the_page_is_this_computers_alone(home, monkeypatch):
    at = _page()
    assert any(each.key == "data.import.where" for each in at.button_group)
    monkeypatch.setattr(st, "get_option", lambda name: "0.0.0.0" if name == "server.address" else None)
    at = app.well(at.run())
    assert not any(each.key == "data.import.where" for each in at.button_group)
    assert any("reached over a network" in each.value for each in at.caption)

"""Names that people give to concepts: kept for their backbone, none lost where two servers give some at once."""

from __future__ import annotations

import subprocess
import sys

import pytest

from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.layout import StyleLayout
from img2tab_core.concepts import names

LAYOUT = StyleLayout((300, 100))
GIVE = """
import sys
from img2tab_core.base.layout import StyleLayout
from img2tab_core.concepts import names
for index in range(int(sys.argv[1]), 400, 2):
    names.give(index, f"name {index}", layout=StyleLayout((300, 100)), backbone="toy")
"""


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("IMG2TAB_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_2_processes_that_give_200_names_each_at_once_lose_none_of_400():
    servers = [subprocess.Popen([sys.executable, "-c", GIVE, first]) for first in "01"]
    assert [server.wait() for server in servers] == [0, 0]
    assert names.given("toy") == {index: f"name {index}" for index in range(400)}


def test_a_name_belongs_to_its_backbone_is_tidied_and_an_empty_one_removes_it(home):
    assert names.given("toy") == {}
    names.give(12, "  hair \n darkness ", layout=LAYOUT, backbone="toy")
    names.give(12, "beard", layout=LAYOUT, backbone="other")
    assert (names.given("toy"), names.given("other")) == ({12: "hair darkness"}, {12: "beard"})
    names.give(12, " ", layout=LAYOUT, backbone="toy")
    assert (names.given("toy"), names.given("other")) == ({}, {12: "beard"})
    assert sorted(file.name for file in home.iterdir()) == [".names.lock", "names.json"]


def test_a_name_of_61_characters_and_channel_400_of_400_are_refused(home):
    names.give(0, "x" * 60, layout=LAYOUT, backbone="toy")
    with pytest.raises(Img2TabError, match="at most 60 characters, got 61"):
        names.give(0, "x" * 61, layout=LAYOUT, backbone="toy")
    with pytest.raises(Img2TabError, match="between 0 and 399, got 400"):
        names.give(400, "x", layout=LAYOUT, backbone="toy")
    assert names.given("toy") == {0: "x" * 60}


@pytest.mark.parametrize("content", ["{", "[]", '{"toy": []}'])
def test_3_damaged_files_hold_no_names_and_are_not_written_over(home, content):
    home.mkdir()
    (home / "names.json").write_text(content)
    assert names.given("toy") == {}
    with pytest.raises(Img2TabError, match=r"names\.json are damaged .* Mend or remove the file"):
        names.give(3, "x", layout=LAYOUT, backbone="toy")
    assert (home / "names.json").read_text() == content


def test_names_where_nothing_can_be_written_are_a_sentence(home):
    home.write_text("a file where a folder should be")
    with pytest.raises(Img2TabError, match=r"could not be written .* IMG2TAB_HOME"):
        names.give(3, "x", layout=LAYOUT, backbone="toy")

"""A file is written whole or stays as it was; a lock is held by one at a time."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time

import pytest

from img2tab_core.base import files
from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.files import hold, json_to_change, settle, together, whole, whole_folder


def test_a_file_stays_as_it_was_when_writing_fails_and_nothing_is_left_beside_it(tmp_path):
    file = tmp_path / "one.txt"
    file.write_text("before")
    with pytest.raises(ZeroDivisionError), whole(file) as part:
        part.write_text("half")
        raise ZeroDivisionError
    assert file.read_text() == "before" and list(tmp_path.iterdir()) == [file]
    with whole(file) as part:
        part.write_text("after")
        assert file.read_text() == "before"
    assert file.read_text() == "after" and list(tmp_path.iterdir()) == [file]


def test_of_6_half_written_things_only_the_2_go_that_are_a_day_old_and_whose_process_is_gone(tmp_path):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    gone, here = ended.pid, os.getppid()
    for name, age in {
        f".a.txt.{gone}.1": 100_000,  # to go
        f".table.{gone}.1": 100_000,  # to go, a folder
        f".b.txt.{gone}.1": 3_600,
        f".c.txt.{here}.1": 100_000,
        ".d.txt": 100_000,
        f".deep.{gone}.1": 100_000,  # what lies in it was written just now
    }.items():
        place = tmp_path / name
        if "txt" in name:
            place.write_text("half")
        else:
            (place / "new").mkdir(parents=True)
            (place / "new" / "psi.npy").write_text("half")
            if "table" in name:
                os.utime(place / "new" / "psi.npy", (time.time() - age,) * 2)
                os.utime(place / "new", (time.time() - age,) * 2)
        os.utime(place, (time.time() - age,) * 2)
    with whole(tmp_path / "new.txt") as part:
        part.write_text("new")
    left = {".d.txt", "new.txt", f".b.txt.{gone}.1", f".c.txt.{here}.1", f".deep.{gone}.1"}
    assert {file.name for file in tmp_path.iterdir()} == left


@pytest.mark.parametrize("at_once", [True, False])
def test_a_folder_of_2_files_takes_the_place_of_one_of_3_or_that_one_stays(tmp_path, monkeypatch, at_once):
    if not at_once:  # as on a system where two paths cannot change places
        monkeypatch.setattr(files, "_exchanged", lambda new, old: False)
    folder = tmp_path / "table"
    with whole_folder(folder) as new:
        for name in "abc":
            (new / name).write_text("old")
    with pytest.raises(KeyboardInterrupt), whole_folder(folder) as new:
        (new / "a").write_text("half")
        raise KeyboardInterrupt
    assert sorted(file.name for file in folder.iterdir()) == ["a", "b", "c"] and len(list(tmp_path.iterdir())) == 1
    with whole_folder(folder) as new:
        for name in "ab":
            (new / name).write_text("new")
        assert (folder / "c").read_text() == "old" and not list(tmp_path.glob("*/a")) == []
    assert {file.name: file.read_text() for file in folder.iterdir()} == {"a": "new", "b": "new"}
    assert list(tmp_path.iterdir()) == [folder]


def test_2_files_that_belong_together_are_both_new_once_a_killed_writer_decided_so_and_the_third_stays(tmp_path):
    (tmp_path / "note.txt").write_text("a person's")
    with together(tmp_path) as new:
        for name in ("a", "b"):
            (new / name).write_text("old")
    decided = tmp_path / files.PENDING
    decided.mkdir()
    (decided / "b").write_text("new")  # "a" was moved already
    (tmp_path / "a").write_text("new")
    settle(tmp_path)
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == {
        "a": "new",
        "b": "new",
        "note.txt": "a person's",
    }


@pytest.mark.parametrize("content", ["{", "[1]", "\xff"])
def test_1_file_that_is_damaged_is_not_taken_for_an_empty_one_and_written_over(tmp_path, content):
    file = tmp_path / "models.json"
    assert json_to_change(file) == {}
    file.write_text(content, encoding="latin-1")
    with pytest.raises(Img2TabError, match=r"is damaged .* move it away to begin anew"):
        json_to_change(file)


def test_who_comes_second_is_told_waits_until_the_first_lets_go_or_refuses(tmp_path):
    told, held = [], threading.Event()
    with open(tmp_path / "lock", "w") as first:
        hold(first, busy=lambda: told.append("first"))
        with open(tmp_path / "lock", "w") as second, pytest.raises(RuntimeError, match="busy"):
            hold(second, busy=_refuse)

        def wait() -> None:
            with open(tmp_path / "lock", "w") as third:
                hold(third, busy=lambda: told.append("third"))
                held.set()

        waiting = threading.Thread(target=wait)
        waiting.start()
        assert not held.wait(0.2)
    assert held.wait(10) and told == ["third"]
    waiting.join()


def _refuse() -> None:
    raise RuntimeError("busy")

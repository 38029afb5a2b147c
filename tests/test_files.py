"""A file is written whole or stays as it was; a lock is held by one at a time."""

from __future__ import annotations

import threading

import pytest

from img2tab_core.base.files import hold, whole


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

"""What every verb shares: JSON that any reader takes, and files that are written whole."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from img2tab_core.base.errors import Img2TabError
from img2tab_core.cli import terminal

ODD = {"share": float("nan"), "rows": [(1.5, float("inf")), [np.float64("-inf")]], "deep": {"a": {"b": np.nan}}, "n": 3}
PLAIN = {"share": None, "rows": [[1.5, None], [None]], "deep": {"a": {"b": None}}, "n": 3}


def refuse(word: str) -> float:
    raise AssertionError(f"{word} is no JSON")


def test_4_numbers_that_are_not_finite_are_printed_as_null(capsys):
    terminal.print_json(ODD)
    assert json.loads(capsys.readouterr().out, parse_constant=refuse) == PLAIN
    assert np.isnan(ODD["share"]) and ODD["rows"][0][1] == np.inf  # what was given stays as it was


def test_and_so_they_are_in_a_file(tmp_path, capsys):
    frame = pd.DataFrame({"a": [1]})
    terminal.answer(ODD, "text", as_json=False, out=tmp_path / "found.json", frame=frame)
    assert json.loads((tmp_path / "found.json").read_text(), parse_constant=refuse) == PLAIN
    assert capsys.readouterr().out == "text\n"


def test_a_file_that_could_not_be_written_stays_as_it_was_and_nothing_is_left_beside_it(tmp_path):
    out = tmp_path / "a.csv"
    out.write_text("before")

    def fails(file):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    with pytest.raises(Img2TabError, match=r"a\.csv could not be written \(No space left on device\)"):
        terminal.write(out, fails)
    assert out.read_text() == "before" and list(tmp_path.iterdir()) == [out]

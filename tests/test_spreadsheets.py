"""Cells that a spreadsheet would run: names are typed by people, and tables are opened by others."""

from __future__ import annotations

import io

import pandas as pd
import pytest

from img2tab_core.base.spreadsheets import cell, csv

FORMULAS = (
    "=1+1", "+1+1", "-1+1", "@SUM(1)", "  =cmd|' /C calc'!A0", "\u00a0=1", "＝1", "=HYPERLINK(\"http://evil\")",
)  # fmt: skip


@pytest.mark.parametrize("text", FORMULAS)
def test_8_formulas_get_an_apostrophe_before_them(text):
    assert cell(text) == "'" + text


def test_4_formulas_behind_what_some_program_takes_for_the_end_of_a_cell_get_one_too():
    for text, safe in (
        ("a;=1", "a;'=1"),
        ("x\t@y", "x\t'@y"),
        ("\r=1", "\r'=1"),
        ("a|\u3000\ufeff=1", "a|'\u3000\ufeff=1"),
    ):
        assert cell(text) == safe


def test_6_texts_and_numbers_that_are_no_formula_stay_as_they_are():
    for text in ("smiling", "", "-1.5", "+3e-4", "a=b", "'=1"):
        assert cell(text) == text


def test_a_table_of_2_formulas_and_a_negative_number_is_read_back_with_nothing_to_run():
    table = pd.DataFrame(
        {"=name": ["=1+1", None, "ann"], "gap": [-0.25, 0.1, 1 / 3], "kind": pd.Categorical(["@a", "b", "b"])}
    )
    before = table.copy()
    read = pd.read_csv(io.StringIO(csv(table)))
    assert list(read.columns) == ["'=name", "gap", "kind"]
    assert read["'=name"].tolist()[::2] == ["'=1+1", "ann"] and read["'=name"].isna().sum() == 1
    assert read["gap"].tolist() == table["gap"].tolist() and read["kind"].tolist() == ["'@a", "b", "b"]
    pd.testing.assert_frame_equal(table, before)  # the table itself is as it was

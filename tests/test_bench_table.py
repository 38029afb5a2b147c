"""The table of `make bench`: pairs become ratios, goals are judged, growth gets its exponent, a page gets the table."""

from __future__ import annotations

import pytest

from tests.benchmarks.table import (
    PAGE,
    between_marks,
    engines_of,
    engines_table,
    exponent,
    growth_of,
    markdown,
    rows_of,
)


def _one(median: float, **info) -> dict:
    return {"stats": {"median": median}, "extra_info": info}


def test_2_s_beside_60_s_is_30_times_faster_and_reaches_a_goal_of_30_but_not_of_1_second():
    rows = rows_of(
        [
            _one(2.0, what="W1", way="ours", faster=30),
            _one(6.0, what="W1", way="SciPy", times=10, faster=30),
            _one(2.0, what="edit", way="ours", goal=1.0),
        ]
    )
    assert [(row["ours"], row["plain"]) for row in rows] == [(2.0, 60.0), (2.0, None)]
    text = markdown(rows, [], [{"what": "memory", "limit": 1500, "value": 1300.4}])
    assert "| W1 | 30 x | 2.000 s | 60 s (SciPy) | 30.0 x | yes |" in text
    assert "| edit | 1 s | 2.000 s |  |  | no |" in text
    assert "| memory | 1,500 MB | 1,300 MB | | | yes |" in text


def test_seconds_that_grow_with_the_square_have_exponent_2():
    assert round(exponent([(1, 1), (10, 100), (100, 10_000)]), 6) == 2
    (one,) = growth_of([_one(4.0, growth="W1", over="faces", size=2), _one(1.0, growth="W1", over="faces", size=1)])
    assert one["points"] == [(1, 1.0), (2, 4.0)] and round(one["exponent"], 6) == 2


def test_engines_stand_side_by_side_with_the_longest_preparation_and_the_largest_difference():
    quick, slow = {"seconds": 0.062, "apart": 0.0, "prepared": 0.0}, {"seconds": 0.1721, "apart": 5.31, "prepared": 6.6}
    engines = engines_of(
        [
            _one(1.0),
            _one(
                1.0,
                engines={
                    "ours": {"128": quick, "256": quick},
                    "other": {"128": slow, "256": slow | {"apart": 0.01, "prepared": 2.0}},
                },
            ),
        ]
    )
    assert engines_table(engines).splitlines()[2:] == [
        "| ours | 62 | 62 |  |  |",
        "| other | 172 | 172 | 7 s | 5.3 of 255 levels |",
    ]
    assert engines_of([_one(1.0)]) == {}


def test_a_new_table_replaces_the_old_one_between_the_marks_and_nothing_else_of_the_page():
    page = "# Measured\n\n<!-- bench -->\n| old | 1 |\n<!-- /bench -->\nWhat it means.\n"
    assert between_marks(page, "| new | 2 |\n") == page.replace("| old | 1 |", "| new | 2 |")
    written = PAGE.read_text()
    assert between_marks(written, "").count("\n") < written.count("\n") - 20  # the page has a table of 20 rows


@pytest.mark.parametrize("page", ["nothing", "<!-- bench -->\n| 1 |\n", "<!-- /bench -->\n<!-- bench -->\n"])
def test_a_page_without_both_marks_in_order_is_left_as_it_is(page):
    with pytest.raises(SystemExit, match="must have <!-- bench -->"):
        between_marks(page, "| new | 2 |\n")

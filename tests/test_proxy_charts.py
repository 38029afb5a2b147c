"""Figures of proxies and interventions show the numbers of their records."""

import numpy as np
import pytest

from dashboard.charts import proxies as proxy_charts
from dashboard.charts.classifiers import INK
from img2tab_core.audits.carriers import Carried
from img2tab_core.audits.intervention import Intervention, Moved
from img2tab_core.base.intervals import estimate

GROUPS, CLASSES = ("perceived female", "perceived male"), ("not smiling", "smiling")
SHIFT = np.array([1.0, -0.5, 0.2, 0.0])
CARRIED = Carried(
    "smiling",
    "gender",
    np.abs(SHIFT),
    np.array([1.1, 0.6, 0.3, 0.1]),
    np.full(4, 0.4),
    SHIFT,
    SHIFT,
    0.05,
    ((10, 10), (10, 10)),
)
IMPORTANCE = np.array([0.6, 0.1, 0.3, 0.0])


def _moved(towards, group, flips):
    return Moved(
        towards,
        group,
        50,
        flips,
        flips,
        flips / 50,
        flips / 50 - 0.02,
        flips / 50 + 0.08,
        estimate([0.1, 0.2]),
        estimate([0.1, 0.2]),
        (flips / 50,),
    )


FOUND = Intervention(
    "gender",
    (0,),
    np.ones(1, np.float32),
    1,
    (1.5,),
    0.5,
    np.arange(4),
    np.array([0, 0, 1, 1]),
    np.full(4, 0.5),
    np.array([[0.4, 0.5, 0.5, 0.5], [0.9, 0.5, 0.6, 0.6]]),
    np.full((2, 4), np.nan),
    tuple(_moved(towards, group, 5 * (1 + towards + 2 * group)) for towards in (0, 1) for group in (0, 1)),
    ((), ()),
)

FIGURES = {
    "scatter": lambda: proxy_charts.carried_scatter(CARRIED, IMPORTANCE, str),
    "flips": lambda: proxy_charts.flip_dots(FOUND, GROUPS, CLASSES),
    "moves": lambda: proxy_charts.move_histogram(FOUND, 1, GROUPS, CLASSES),
}


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_see_through_and_its_text_takes_the_colour_of_the_theme(name):
    layout = FIGURES[name]().layout
    assert layout.paper_bgcolor == layout.plot_bgcolor == "rgba(0,0,0,0)"
    assert {layout.font.color, layout.xaxis.tickfont.color, layout.yaxis.title.font.color} == {INK} and layout.height


def test_concepts_lie_at_their_distance_and_importance_and_the_unused_one_on_a_line_below():
    figure = proxy_charts.carried_scatter(CARRIED, IMPORTANCE, str, excluded={2})
    full, open_ = figure.data
    assert dict(zip(full.customdata, full.x, strict=True)) == {0: 1.1, 1: 0.6, 3: 0.1}
    assert dict(zip(full.customdata, full.y, strict=True)) == pytest.approx({0: 60, 1: 10, 3: 3})
    assert list(open_.customdata) == [2] and open_.marker.symbol == "circle-open"
    assert figure.layout.yaxis.ticktext[0] == "not used" and figure.layout.yaxis.tickvals[0] == pytest.approx(3)
    assert "between the classes 0.40 SD" in full.hovertext[0]


def test_the_upper_right_corner_is_shaded_and_holds_the_concept_that_is_first_in_both():
    figure = proxy_charts.carried_scatter(CARRIED, IMPORTANCE, str, top=1)
    (corner,) = figure.layout.shapes
    assert corner.x0 <= 1.1 <= corner.x1 and corner.y0 <= 60 <= corner.y1
    assert not (corner.x0 <= 0.6 and corner.y0 <= 10)
    assert figure.layout.annotations[0].text == "where to look"


def test_a_classifier_that_uses_nothing_has_no_corner_and_a_pick_is_named():
    figure = proxy_charts.carried_scatter(CARRIED, np.zeros(4), "c{}".format, picked=1)
    assert not figure.layout.shapes
    assert figure.data[-1].text == ("c1",) and list(figure.data[-1].customdata) == [1]


def test_of_many_unused_concepts_only_those_furthest_apart_are_drawn():
    figure = proxy_charts.carried_scatter(CARRIED, np.array([0, 0, 0, 1.0]), str, most=2)
    assert sorted(figure.data[0].customdata) == [0, 3]


def test_the_deepest_in_the_corner_is_first_in_both_and_what_is_not_used_is_not_there():
    assert proxy_charts.corner(CARRIED, IMPORTANCE, 10) == [0, 2, 1]  # lower ranks 3, 1, 1; 0.3 x 0.3 > 0.6 x 0.1
    assert proxy_charts.corner(CARRIED, IMPORTANCE, 1) == [0]
    assert proxy_charts.corner(CARRIED, np.zeros(4), 10) == []


def test_flips_show_5_to_20_of_50_faces_with_their_intervals_and_counts():
    figure = proxy_charts.flip_dots(FOUND, GROUPS, CLASSES)
    towards_0, towards_1 = figure.data
    assert list(towards_0.x) == [0.1, 0.3] and list(towards_1.x) == [0.2, 0.4]
    assert list(towards_0.error_x.array) == pytest.approx([0.08, 0.08])
    assert list(towards_0.error_x.arrayminus) == pytest.approx([0.02, 0.02])
    assert figure.layout.yaxis.ticktext[0] == "perceived female (n = 50)"
    assert "5 of 50 faces flip" in towards_0.hovertext[0] and "+15.0 points" in towards_0.hovertext[0]


def test_moves_are_shares_of_each_group_that_add_up_to_1():
    figure = proxy_charts.move_histogram(FOUND, 1, GROUPS, CLASSES)
    assert [sum(line.y) for line in figure.data] == pytest.approx([1, 1])
    middle = len(figure.data[0].x) // 2
    assert figure.data[0].x[middle] == pytest.approx(0) and figure.data[0].y[middle] == 0.5
    assert figure.data[0].x[-1] == pytest.approx(40 * 40 / 41) and figure.data[0].y[-1] == 0.5

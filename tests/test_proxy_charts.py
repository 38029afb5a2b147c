"""Figures of proxies and interventions show the numbers of their records, and a click can choose a count."""

import numpy as np
import pytest

from dashboard import proxy_charts
from img2tab_core.comparison import estimate
from img2tab_core.intervention import Intervention, Moved
from img2tab_core.proxies import Carried, CurvePoint, CurveTrial, ExclusionCurve

GROUPS, CLASSES = ("perceived female", "perceived male"), ("not smiling", "smiling")
SHIFT = np.array([1.0, -0.5, 0.2, 0.0])
CARRIED = Carried("smiling", "gender", np.abs(SHIFT), np.array([1.1, 0.6, 0.3, 0.1]), np.full(4, 0.4), SHIFT, SHIFT,
                  0.05, ((10, 10), (10, 10)))
IMPORTANCE = np.array([0.6, 0.1, 0.3, 0.0])
CURVE = ExclusionCurve(
    tuple(CurvePoint(number, (CurveTrial(0, accuracy, gap), CurveTrial(1, accuracy + 0.02, gap + 0.04)))
          for number, accuracy, gap in ((0, 0.8, 0.3), (10, 0.82, 0.2), (500, 0.84, 0.1))),
    (100, 50), "by hand")
ONE_SEED = ExclusionCurve(tuple(CurvePoint(point.count, point.trials[:1]) for point in CURVE.points), (100, 50), "")


def _moved(towards, group, flips):
    return Moved(towards, group, 50, flips, flips, flips / 50, flips / 50 - 0.02, flips / 50 + 0.08,
                 estimate([0.1, 0.2]), estimate([0.1, 0.2]), (flips / 50,))


FOUND = Intervention(
    "gender", (0,), np.ones(1, np.float32), 1, (1.5,), 0.5, np.arange(4), np.array([0, 0, 1, 1]), np.full(4, 0.5),
    np.array([[0.4, 0.5, 0.5, 0.5], [0.9, 0.5, 0.6, 0.6]]), np.full((2, 4), np.nan),
    tuple(_moved(towards, group, 5 * (1 + towards + 2 * group)) for towards in (0, 1) for group in (0, 1)), ((), ()))

FIGURES = {
    "scatter": lambda: proxy_charts.carried_scatter(CARRIED, IMPORTANCE, str, attribute="Gender"),
    "curve": lambda: proxy_charts.exclusion_curve(CURVE, chosen=10),
    "flips": lambda: proxy_charts.flip_dots(FOUND, GROUPS, CLASSES),
    "moves": lambda: proxy_charts.move_histogram(FOUND, 1, GROUPS, CLASSES),
}


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_see_through_and_chooses_no_text_colour_of_its_own(name):
    layout = FIGURES[name]().layout
    assert layout.paper_bgcolor == layout.plot_bgcolor == "rgba(0,0,0,0)"
    assert layout.font.color is None and layout.height


def test_concepts_lie_at_their_distance_and_importance_and_the_unused_one_on_a_line_below():
    figure = proxy_charts.carried_scatter(CARRIED, IMPORTANCE, str, attribute="Gender", excluded={2})
    full, open_ = figure.data
    assert dict(zip(full.customdata, full.x, strict=True)) == {0: 1.1, 1: 0.6, 3: 0.1}
    assert dict(zip(full.customdata, full.y, strict=True)) == pytest.approx({0: 60, 1: 10, 3: 3})
    assert list(open_.customdata) == [2] and open_.marker.symbol == "circle-open"
    assert figure.layout.yaxis.ticktext[0] == "not used" and figure.layout.yaxis.tickvals[0] == pytest.approx(3)
    assert "between the classes 0.40 SD" in full.hovertext[0]


def test_the_upper_right_corner_is_shaded_and_holds_the_concept_that_is_first_in_both():
    figure = proxy_charts.carried_scatter(CARRIED, IMPORTANCE, str, attribute="Gender")
    (corner,) = figure.layout.shapes
    assert corner.x0 <= 1.1 <= corner.x1 and corner.y0 <= 60 <= corner.y1
    assert not (corner.x0 <= 0.6 and corner.y0 <= 10)
    assert figure.layout.annotations[0].text == "where to look"


def test_a_classifier_that_uses_nothing_has_no_corner_and_a_pick_is_named():
    figure = proxy_charts.carried_scatter(CARRIED, np.zeros(4), "c{}".format, attribute="Gender", picked=1)
    assert not figure.layout.shapes
    assert figure.data[-1].text == ("c1",) and list(figure.data[-1].customdata) == [1]


def test_of_many_unused_concepts_only_those_furthest_apart_are_drawn():
    figure = proxy_charts.carried_scatter(CARRIED, np.array([0, 0, 0, 1.0]), str, attribute="Gender", most=2)
    assert sorted(figure.data[0].customdata) == [0, 3]


def test_every_point_of_the_curve_carries_its_count_and_the_mean_with_its_interval():
    figure = proxy_charts.exclusion_curve(CURVE, chosen=10, goal=0.09)
    accuracy, gap = figure.data
    assert list(accuracy.customdata) == list(gap.customdata) == [0, 10, 500]
    assert list(accuracy.y) == pytest.approx([0.81, 0.83, 0.85]) and list(gap.y) == pytest.approx([0.32, 0.22, 0.12])
    assert gap.error_y.array[0] == pytest.approx(estimate([0.3, 0.34]).high - 0.32) and gap.error_y.visible
    assert accuracy.line.dash != gap.line.dash and accuracy.marker.symbol != gap.marker.symbol
    assert list(figure.layout.xaxis.ticktext) == ["0", "10", "500"]


def test_the_chosen_line_stands_at_its_count_and_where_it_is_let_go_is_a_count():
    (line,) = (shape for shape in proxy_charts.exclusion_curve(CURVE, chosen=255).layout.shapes)
    assert line.name == "chosen" and line.x0 == line.x1 == pytest.approx(1.5)
    assert proxy_charts.count_at(CURVE, 1.5) == 255
    assert [proxy_charts.count_at(CURVE, x) for x in (-1, 0, 2, 9)] == [0, 0, 500, 500]
    assert not proxy_charts.exclusion_curve(CURVE).layout.shapes


def test_one_seed_has_no_error_bars():
    figure = proxy_charts.exclusion_curve(ONE_SEED)
    assert not figure.data[0].error_y.visible
    assert figure.data[0].hovertext[1].endswith("accuracy 82.0\N{NO-BREAK SPACE}%")


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

"""Figures show the numbers of the records they are made of, and words are written one way."""

import numpy as np
import pytest

from dashboard.charts import classifiers as classifier_charts
from dashboard.components import page_words
from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.layout import StyleLayout
from img2tab_core.base.records import ConceptScores, Metrics, Prediction

CLASSES = ("perceived male", "perceived female")
LAYOUT = StyleLayout((2, 3, 1))
PUSHES = np.array([0.5, -0.25, 0.0, 1.0, -2.0, 0.125])


def _name(index):
    return page_words.concept(index, LAYOUT, {3: "goatee"})


def _bars(**options):
    return classifier_charts.contribution_bars(Prediction(0.4, PUSHES, 0.1), _name, CLASSES, **options)


def test_2_bars_are_drawn_and_the_other_3_pushes_are_written_as_0_375():
    figure = _bars(count=1)
    assert list(figure.data[0].customdata) == [3, 4]
    assert list(figure.data[0].x) == [1.0, -2.0]
    assert figure.layout.yaxis.ticktext[-1] == "3 others"
    assert figure.layout.annotations[0].text == "+0.38 together (not drawn)"
    assert sum(figure.data[0].x) + 0.375 == pytest.approx(PUSHES.sum())


def test_the_axis_fits_the_bars_however_large_the_rest():
    many = np.concatenate([[0.3, -0.2], np.full(1000, 0.01)])
    figure = classifier_charts.contribution_bars(Prediction(0.9, many, 0.0), str, CLASSES, count=1)
    assert list(figure.layout.xaxis.range) == pytest.approx([-0.375, 0.375])
    assert figure.layout.annotations[0].text == "+10.00 together (not drawn)"


def test_bars_go_from_most_up_to_most_down_and_leave_out_the_channel_with_push_0():
    assert classifier_charts.strongest(Prediction(0.4, PUSHES, 0.1), 8) == [3, 0, 5, 1, 4]


def test_2_bars_push_up_in_orange_and_2_down_in_blue():
    colours = list(_bars(count=2).data[0].marker.color)
    assert colours == [
        classifier_charts.ORANGE,
        classifier_charts.ORANGE,
        classifier_charts.BLUE,
        classifier_charts.BLUE,
    ]


def test_the_picked_bar_stands_out_and_without_a_pick_all_4_are_full():
    assert list(_bars(count=2, picked=3).data[0].marker.opacity) == [1.0, 0.55, 0.55, 0.55]
    assert list(_bars(count=2).data[0].marker.opacity) == [1.0] * 4
    assert list(_bars(count=2, picked=2).data[0].marker.opacity) == [1.0] * 4


def test_bars_carry_a_concept_s_name_and_the_class_names_a_person_reads():
    figure = _bars(count=1, picked=3)
    assert list(figure.layout.yaxis.ticktext) == ["<b>Goatee</b>", "Layer 1 · channel 2", "3 others"]
    assert [note.text for note in figure.layout.annotations[1:]] == [
        f'<span style="color:{classifier_charts.BLUE}">◀</span> male',
        f'female <span style="color:{classifier_charts.ORANGE}">▶</span>',
    ]


def test_a_prediction_without_any_push_draws_0_bars():
    figure = classifier_charts.contribution_bars(Prediction(0.5, np.zeros(6), 0.0), _name, CLASSES)
    assert list(figure.data[0].x) == []
    assert figure.layout.annotations[0].text == "0.00 together (not drawn)"


def _scores():
    return ConceptScores(
        distance=np.array([1.0, 0.5, 0.2, 0.0, 0.4, 0.1]),
        direction=np.array([1.0, -0.5, 0.2, 0.0, -0.4, 0.1]),
        importance=np.array([0.6, 0.3, 0.0, 0.0, 0.1, 0.0]),
    )


def test_the_scatter_shows_6_concepts_once_split_by_direction_3_to_3():
    figure = classifier_charts.concept_scatter(_scores(), _name, range(6), {}, CLASSES)
    low, high = figure.data[:2]
    assert sorted([*low.customdata, *high.customdata]) == [0, 1, 2, 3, 4, 5]
    assert sorted(high.customdata) == [0, 2, 5]
    assert (low.type, high.type) == ("scattergl", "scattergl")


def test_the_scatter_says_distance_and_a_point_its_distance_of_0_50_sd():
    figure = classifier_charts.concept_scatter(_scores(), _name, range(6), {}, CLASSES)
    assert figure.layout.xaxis.title.text == "Distance, SD"
    texts = [text for part in figure.data[:2] for text in part.hovertext]
    assert sum("distance 0.50 SD, importance 30.00" in text for text in texts) == 1


def test_unused_concepts_share_1_line_below_every_used_one():
    figure = classifier_charts.concept_scatter(_scores(), _name, range(6), {}, CLASSES)
    height = {int(index): y for part in figure.data[:2] for index, y in zip(part.customdata, part.y, strict=True)}
    assert height[2] == height[3] == height[5] < min(height[0], height[1], height[4])
    assert height[0] == pytest.approx(60)
    assert figure.layout.yaxis.ticktext[0] == "not used"


def test_the_picked_and_the_named_concept_are_written_beside_their_points():
    figure = classifier_charts.concept_scatter(_scores(), _name, range(6), {3: "goatee"}, CLASSES, picked=0)
    assert [list(part.text) for part in figure.data[2:]] == [["Goatee"], ["Layer 0 · channel 0"]]


def test_a_scatter_of_1_concept_that_is_not_used_still_draws():
    figure = classifier_charts.concept_scatter(_scores(), _name, [3], {}, CLASSES)
    assert len(figure.data[0].x) + len(figure.data[1].x) == 1


def test_the_confusion_matrix_shows_90_per_cent_of_its_row_and_180_faces():
    figure = classifier_charts.confusion(Metrics(0.85, (0.8, 0.9), 0.9, 0.3, ((180, 20), (40, 160)), 400), CLASSES)
    assert np.asarray(figure.data[0].z) == pytest.approx(np.array([[0.9, 0.1], [0.2, 0.8]]))
    assert figure.data[1].text[0] == "<b>90.0\N{NO-BREAK SPACE}%</b><br>180"
    assert (figure.data[1].x[1], figure.data[1].y[1]) == (1, 0)


def test_a_class_without_test_faces_is_0_per_cent_not_a_division_by_0():
    figure = classifier_charts.confusion(Metrics(0.5, (0.1, 0.9), 0.5, 0.7, ((0, 0), (1, 1)), 2), CLASSES)
    assert figure.data[1].text[0].startswith("<b>0.0")


def test_the_concept_that_gained_20_points_comes_first_and_losers_are_left_out():
    before = _scores()
    after = ConceptScores(before.distance, before.direction, np.array([0.0, 0.5, 0.15, 0.0, 0.3, 0.05]))
    assert classifier_charts.gains(before, after, 10) == [1, 4, 2, 5]
    figure = classifier_charts.took_over(before, after, _name, count=2)
    start, end = figure.data[-2:]
    assert (list(start.x), list(end.x)) == (pytest.approx([30, 10]), pytest.approx([50, 30]))
    assert list(start.customdata) == [1, 4]


def test_all_5_figures_are_see_through():
    figures = [
        _bars(),
        classifier_charts.concept_scatter(_scores(), _name, range(6), {}, CLASSES),
        classifier_charts.confusion(Metrics(0.5, (0.4, 0.6), 0.5, 0.7, ((1, 1), (1, 1)), 4), CLASSES),
        classifier_charts.took_over(_scores(), _scores(), _name),
    ]
    backgrounds = {(figure.layout.paper_bgcolor, figure.layout.plot_bgcolor) for figure in figures}
    assert backgrounds == {("rgba(0,0,0,0)", "rgba(0,0,0,0)")}


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (page_words.percent(0.8731), "87.3\N{NO-BREAK SPACE}%"),
        (page_words.points(-0.021), "\N{MINUS SIGN}2.1\N{NO-BREAK SPACE}points"),
        (page_words.deviations(4), "+4.0\N{NO-BREAK SPACE}SD"),
        (page_words.signed(-0.04), "0.0"),
        (page_words.count(1, "concept"), "1 concept"),
        (page_words.count(1500, "concept"), "1,500 concepts"),
        (page_words.place(5, LAYOUT), "Layer 2 · channel 0"),
    ],
)
def test_numbers_are_written_one_way(written, expected):
    assert written == expected


@pytest.mark.parametrize("text", ["4", " 1:2 ", "layer 1 channel 2", "Layer 1 · channel 2", "1/2", "LONG HAIR"])
def test_6_ways_to_type_a_concept_find_channel_4(text):
    assert page_words.find(text, LAYOUT, {4: "long hair", 5: "long"}) == 4


@pytest.mark.parametrize("text", ["6", "3:0", "1:3", "beard", "", "-1", "1.5.2"])
def test_7_ways_to_mistype_a_concept_are_a_sentence(text):
    with pytest.raises(Img2TabError, match="must be"):
        page_words.find(text, LAYOUT, {})

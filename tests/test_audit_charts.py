"""Figures of an audit show its numbers, intervals and counts, and say what is small or cannot be measured."""

import numpy as np
import pytest

from dashboard.charts import audits as audit_charts
from dashboard.charts import classifiers as classifier_charts
from img2tab_core.audits import remedies
from img2tab_core.audits.audit import audit
from img2tab_core.audits.changes import change
from img2tab_core.audits.group_differences import FALSE_ALARMS, MISSES
from img2tab_core.audits.groups import Groups
from img2tab_core.audits.metrics import GAPS, METRICS
from img2tab_core.audits.remedies import Outcome, Remedies, Trial
from img2tab_core.audits.thresholds import threshold_cost

N = 400
NAMES = ("perceived female", "perceived male", "other")


def _faces(shift=0.2):
    """400 faces: 20 of "other", who have no positives; group 1 gets higher probabilities."""
    rng = np.random.default_rng(0)
    labels, codes = rng.integers(0, 2, N), rng.integers(0, 2, N)
    codes[:20], labels[:20] = 2, 0
    probability = np.clip(0.3 + 0.35 * labels + shift * (codes == 1) + 0.2 * rng.normal(size=N), 0, 1)
    return labels, probability, [Groups("Perceived gender", NAMES, codes)]


@pytest.fixture(scope="module")
def before():
    return audit(*_faces(), repeats=100)


@pytest.fixture(scope="module")
def after():
    return audit(*_faces(shift=0), repeats=100)


def _remedies():
    def trials(accuracy, gap):
        return tuple(Trial(seed, accuracy + 0.01 * seed, gap + 0.02 * seed, 0, 0, 0, 0, 1.5) for seed in (-1, 0, 1))

    def outcome(word, at, **options):
        given = {"needs_group": False, "random": False, "own": False} | options
        return Outcome(word, word.title(), "", trials=trials(*at), **given)

    return Remedies(
        "G",
        "b",
        512,
        6752,
        (-1, 0, 1),
        (3000,) * 3,
        1980,
        (
            outcome("nothing", (0.86, 0.3)),
            outcome("beaten", (0.8, 0.31)),
            outcome("needing", (0.9, 0.1), needs_group=True),
            outcome("ours", (0.92, 0.2), own=True),
            Outcome("failed", "Failed", "", False, False, False, (), "It rained."),
        ),
    )


def _texts(figure):
    return [text for trace in figure.data for text in (trace.hovertext or ())]


def test_dots_are_the_values_and_bars_reach_low_and_high(before):
    figure = audit_charts.group_dots(before, "accuracy")
    dots = figure.data[0]
    for row, one in enumerate(before.by_group):
        measure = one.measures["accuracy"]
        assert (dots.x[row], dots.y[row]) == (measure.value, row)
        assert dots.x[row] - dots.error_x.arrayminus[row] == pytest.approx(measure.low)
        assert dots.x[row] + dots.error_x.array[row] == pytest.approx(measure.high)
    assert figure.data[1].x[0] == before.overall.measures["accuracy"].value


def test_every_hover_has_the_counts_and_a_small_group_is_open_and_flagged(before):
    dots = audit_charts.group_dots(before, "accuracy").data[0]
    for text, one in zip(dots.hovertext, before.by_group, strict=True):
        assert f"{one.count} faces" in text and f"{one.by_class[1]} of class 1" in text
    assert list(dots.marker.symbol) == ["circle", "circle", "circle-open"]
    assert "fewer than 30 faces" in dots.hovertext[2] and "fewer" not in dots.hovertext[0]


def test_the_rows_are_named_with_their_counts_the_first_on_top(before):
    axis = audit_charts.group_dots(before, "accuracy").layout.yaxis
    counts = [one.count for one in before.by_group]
    assert list(axis.ticktext) == [
        f"perceived female ({counts[0]})",
        f"perceived male ({counts[1]})",
        "other (20, under 30)",
    ]
    assert list(axis.range) == [2.5, -0.5]


def test_a_metric_that_cannot_be_measured_is_written_with_its_reason(before):
    figure = audit_charts.group_dots(before, "true_positive_rate")
    assert list(figure.data[0].y) == [0, 1]
    assert [note.text for note in figure.layout.annotations] == ["not measured: no faces of class 1"]
    assert figure.layout.annotations[0].y == 2


def test_roc_curves_are_the_corners_with_a_marker_at_the_threshold(before):
    figure = audit_charts.roc_curves(before)
    assert len(figure.data) == 1 + 2 * 2  # chance, two groups; the third has no curve
    for one, curve, marker in zip(before.by_group[:2], figure.data[1::2], figure.data[2::2], strict=True):
        assert curve.x == one.roc.false_positive_rate and curve.y == one.roc.true_positive_rate
        assert marker.x[0] == one.measures["false_positive_rate"].value
        assert f"{one.count} faces" in marker.hovertext[0] and "at its threshold, 0.50" in marker.hovertext[0]
    assert len({curve.line.color for curve in figure.data[1::2]}) == 2
    assert len({curve.line.dash for curve in figure.data[1::2]}) == 2


def test_reliability_has_a_point_for_each_bin_with_its_count(before):
    figure = audit_charts.reliability(before)
    for one, trace in zip(before.by_group, figure.data[1:], strict=True):
        assert list(trace.y) == [bin.share for bin in one.reliability]
        assert np.allclose(np.add(trace.y, trace.error_y.array), [bin.high for bin in one.reliability])
        assert all(f"{bin.count} face" in text for bin, text in zip(one.reliability, trace.hovertext, strict=True))


def test_the_dumbbell_of_groups_has_before_in_grey_and_after_in_orange(before, after):
    figure = audit_charts.group_dumbbell(before, after, "selection_rate")
    old, new = figure.data[-2:]
    assert (old.name, old.marker.color, new.name, new.marker.color) == (
        "before",
        classifier_charts.GREY,
        "after",
        classifier_charts.ORANGE,
    )
    assert list(old.x) == [one.measures["selection_rate"].value for one in before.by_group]
    assert list(new.x) == [one.measures["selection_rate"].value for one in after.by_group]
    assert all("faces" in text for text in (*old.hovertext, *new.hovertext))
    assert len(figure.data) == 3 + 2  # a line between the two for each group


def test_the_dumbbell_of_gaps_has_all_five_and_their_notes(before, after):
    figure = audit_charts.gap_dumbbell(before, after)
    assert list(figure.layout.yaxis.ticktext) == list(GAPS.values())
    assert list(figure.data[-2].x) == [before.gaps[name].value for name in GAPS]
    assert "without other (no faces of class 1)" in figure.data[-2].hovertext[1]
    assert figure.data[-1].x[1] + figure.data[-1].error_x.array[1] == pytest.approx(after.gaps["equalised_odds"].high)


def test_the_dumbbell_of_changes_has_means_over_seeds_and_the_verdict_in_words():
    real = change([0.3, 0.31, 0.29], [0.1, 0.1, 0.11])
    figure = audit_charts.change_dumbbell({"Equalised odds": real, "Once": change([0.3], [0.2])})
    assert list(figure.data[-2].x) == [pytest.approx(0.3), 0.3] and figure.data[-1].x[1] == 0.2
    assert figure.data[-1].error_x.array[1] == 0  # one seed has no interval
    assert "Smaller gap, beyond what the seed changes" in figure.data[-1].hovertext[0]


def test_the_threshold_curve_has_accuracy_and_gap_and_marks_the_chosen_one():
    cost = threshold_cost(*_faces(), thresholds=0.6)
    figure = audit_charts.threshold_curve(cost)
    assert list(figure.data[0].y) == [one.accuracy for one in cost.curve]
    assert list(figure.data[1].y) == [one.gaps["equalised_odds"] for one in cost.curve]
    assert [(star.x[0], star.y[0]) for star in figure.data[2:]] == [
        (0.6, cost.chosen.accuracy),
        (0.6, cost.chosen.gaps["equalised_odds"]),
    ]
    assert [line.x0 for line in figure.layout.shapes] == [0.6]
    assert figure.layout.annotations[0].text == "chosen"
    assert "400 faces" in figure.data[0].hovertemplate


def test_thresholds_of_their_own_are_a_line_each_with_the_groups_names():
    cuts = dict(zip(NAMES, (0.4, 0.6, 0.6), strict=True))
    figure = audit_charts.threshold_curve(threshold_cost(*_faces(), thresholds=cuts), "demographic_parity")
    assert [line.x0 for line in figure.layout.shapes] == [0.4, 0.6]
    assert [note.text for note in figure.layout.annotations] == ["perceived female", "perceived male<br>other"]
    assert figure.data[1].name == "Demographic parity difference"


def test_the_pareto_plot_has_means_with_intervals_ours_as_a_star_and_the_front_as_a_line():
    found = _remedies()
    figure = audit_charts.pareto(found)
    line, *points = figure.data
    assert list(zip(line.x, line.y, strict=True)) == [pytest.approx((0.1, 0.9)), pytest.approx((0.2, 0.92))]
    assert [point.name for point in points] == ["Nothing", "Beaten", "Needing", "Ours"]  # "Failed" is not drawn
    assert (points[3].marker.symbol, points[3].marker.color) == ("star", classifier_charts.ORANGE)
    assert points[2].marker.symbol.endswith("-open") and not points[1].marker.symbol.endswith("-open")
    value = found.outcome("ours").estimate("equalised_odds")
    assert points[3].x[0] + points[3].error_x.array[0] == pytest.approx(value.high)
    assert "3 seeds, 1,980 test faces, 1.5 s a seed" in points[3].hovertext[0]
    assert "needs each face's group" in points[2].hovertext[0]


def test_every_figure_is_see_through_and_has_only_colours_that_show_on_dark_and_light(before, after):
    cost = threshold_cost(*_faces())
    figures = [
        *(audit_charts.group_dots(before, metric) for metric in METRICS),
        audit_charts.roc_curves(before),
        audit_charts.reliability(before),
        audit_charts.group_dumbbell(before, after, "auc"),
        audit_charts.gap_dumbbell(before, after),
        audit_charts.change_dumbbell({"x": change([0.3], [0.2])}),
        *(audit_charts.threshold_curve(cost, gap) for gap in GAPS),
        audit_charts.pareto(_remedies()),
    ]
    for figure in figures:
        assert (figure.layout.paper_bgcolor, figure.layout.plot_bgcolor) == ("rgba(0,0,0,0)",) * 2
        colours = {trace.marker.color or trace.line.color for trace in figure.data}
        assert colours <= {
            classifier_charts.BLUE,
            classifier_charts.ORANGE,
            classifier_charts.GREY,
            audit_charts._LINE,
            *audit_charts._COLOURS,
        }
        assert not any("nan" in text.lower() for text in _texts(figure))


def test_an_audit_in_which_nothing_can_be_measured_still_draws():
    labels, probability = np.zeros(4, int), np.full(4, 0.2)
    found = audit(labels, probability, [Groups("G", ("a", "b"), np.array([0, 0, 0, 0]))], repeats=40)
    assert len(audit_charts.roc_curves(found).data) == 1
    assert list(audit_charts.group_dots(found, "auc").data[0].x) == []
    assert len(audit_charts.gap_dumbbell(found, found).layout.annotations) == 5


def test_the_record_of_remedies_without_any_that_worked_draws_nothing():
    failed = Remedies("G", "b", 1, 1, (0,), (1,), 1, (remedies.Outcome("a", "A", "", False, False, False, (), "no"),))
    assert list(audit_charts.pareto(failed).data[0].x) == []


def test_bars_of_false_alarms_and_misses_end_at_the_rates_and_name_a_group_that_has_none(before):
    figure = audit_charts.group_bars(before, ("perceived old", "perceived new"), (FALSE_ALARMS, MISSES))
    alarms, misses = figure.data
    assert (alarms.name, misses.name) == ("Labelled old, called new", "Labelled new, called old")
    for number, group in enumerate(before.by_group[:2]):
        measures = group.measures
        assert alarms.x[number] == measures[FALSE_ALARMS].value
        assert misses.x[number] == pytest.approx(1 - measures[MISSES].value)
        assert misses.x[number] + misses.error_x.array[number] == pytest.approx(1 - measures[MISSES].low)
    assert misses.x[2] == 0 and [text.text for text in figure.layout.annotations] == ["no face labelled new"]
    assert alarms.marker.pattern.shape == ("", "", "/")  # 20 faces
    assert figure.layout.yaxis.ticktext[2] == "Other (20)"

"""The metric chooser: the first line of its table that fits, for all 144 ways to answer."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest

from img2tab_core.audits.metric_choice import QUESTIONS, MetricChoice, choose_metric
from img2tab_core.base.errors import Img2TabError

PLAIN = {"labels": "yes", "class": "helps", "rates": "yes", "errors": "both", "used": "decisions"}


@pytest.mark.parametrize(
    ("answers", "metric"),
    [
        ({}, "equalised_odds"),
        ({"rates": "no"}, "demographic_parity"),
        ({"labels": "no"}, "demographic_parity"),
        ({"rates": "no", "used": "scores"}, "demographic_parity"),
        ({"used": "scores"}, "calibration_error"),
        ({"errors": "missed"}, "equal_opportunity"),
        ({"errors": "alarm"}, "false_positive_rate"),
        ({"errors": "undecided"}, "equal_opportunity"),
        ({"errors": "undecided", "class": "harms"}, "false_positive_rate"),
        ({"class": "neither"}, "accuracy_gap"),
        ({"class": "neither", "errors": "undecided"}, "accuracy_gap"),
    ],
)
def test_each_line_of_the_decision_table_leads_to_its_metric(answers, metric):
    assert choose_metric(PLAIN | answers).metric == metric


def test_all_144_ways_to_answer_lead_to_a_metric_with_a_reason_and_what_it_cannot_see():
    ways = [
        dict(zip(PLAIN, answers, strict=True))
        for answers in itertools.product(*(question.answers for question in QUESTIONS))
    ]
    chosen = [choose_metric(way) for way in ways]
    assert len(ways) == 3 * 3 * 2 * 4 * 2 == 144
    assert all(choice.why and choice.cannot_see and choice.sentence for choice in chosen)
    # by hand: 72 without different rates, and of the other 72 the 24 with untrusted labels; of 48 left 24 use scores
    assert Counter(choice.metric for choice in chosen) == {
        "demographic_parity": 96,
        "calibration_error": 24,
        "equal_opportunity": 2 * (3 + 1),  # missed, whatever the class does; undecided where it helps
        "false_positive_rate": 2 * (3 + 1),
        "equalised_odds": 2 * 2,  # both, helps or harms
        "accuracy_gap": 2 * 2,  # both or undecided, neither
    }


def test_labels_one_is_not_sure_of_keep_the_metric_and_add_a_sentence():
    sure, unsure = choose_metric(PLAIN), choose_metric(PLAIN | {"labels": "unsure"})
    assert sure.metric == unsure.metric and len(unsure.why) == len(sure.why) + 1 and "checked by hand" in unsure.why[-1]


def test_a_choice_comes_back_from_what_was_stored_as_it_was_chosen_then():
    choice = choose_metric(PLAIN)
    assert MetricChoice.from_json(choice.to_json() | {"who": "Ada"}) == choice
    with pytest.raises(Img2TabError, match="not a choice of a metric"):
        MetricChoice.from_json({"metric": "accuracy_gap"})


@pytest.mark.parametrize(
    ("answers", "sentence"),
    [
        ({"labels": ""}, r"equally right for every group.*one of these answers: yes, unsure, no; it was not answered"),
        ({"errors": "worst"}, "missed, alarm, both, undecided; got 'worst'"),
        ({"colour": "red"}, "There is no question 'colour'"),
    ],
)
def test_an_answer_that_is_none_is_named_with_those_there_are(answers, sentence):
    with pytest.raises(Img2TabError, match=sentence):
        choose_metric(PLAIN | answers)

"""Exclude and retrain: a tick is answered by an estimate in the background, a training by one sentence."""

from __future__ import annotations

import shutil
import time

import numpy as np
import pandas as pd
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from dashboard.charts import classifiers as classifier_charts
from dashboard.state import estimates
from img2tab_core import tables
from img2tab_core.audits.audit import audit
from img2tab_core.audits.auditor import Auditor
from img2tab_core.audits.exclusion_estimate import (
    Errors,
    errors_of,
    exclusion_estimate,
    in_words,
    outcome,
    outcome_alone,
)
from img2tab_core.audits.groups import Groups
from img2tab_core.audits.paired import paired_comparison
from img2tab_core.base.intervals import Estimate
from img2tab_core.base.layout import StyleLayout
from img2tab_core.base.records import DEFAULT_BACKBONE, Target
from img2tab_core.classifiers.catboost import CatBoostConcepts
from img2tab_core.studio import Studio
from tests import app

pytestmark = pytest.mark.usefixtures("small_pictures")

PAGE = "views/exclude.py"
COUNT = 900

# ---- the estimate and the sentence, by hand


def _hand(per_cell: int = 100) -> tuple[np.ndarray, Groups]:
    """Labels and groups: so many faces of each class in each of two groups."""
    labels = np.repeat([0, 0, 1, 1], per_cell)
    return labels, Groups("Group", ("left", "right"), np.tile(np.repeat([0, 1], per_cell), 2))


def _answers(labels: np.ndarray, groups: Groups, wrong: dict[tuple[int, int], int]) -> np.ndarray:
    """Right about every face, but for so many of a class in a group."""
    probability = np.where(labels == 1, 0.9, 0.1)
    for (label, group), count in wrong.items():
        at = np.flatnonzero((labels == label) & (groups.codes == group))[:count]
        probability[at] = 1 - probability[at]
    return probability


def test_30_of_100_wrong_in_1_group_is_a_gap_of_30_points_and_after_10_it_is_20_smaller():
    labels, groups = _hand()
    before, after = (_answers(labels, groups, {(0, 1): wrong}) for wrong in (30, 10))
    estimate = exclusion_estimate(labels, before, after, [groups])
    assert estimate.faces == 400 and estimate.accuracy == pytest.approx((0.925, 0.975))
    assert estimate.gap == pytest.approx((0.3, 0.1)) and estimate.gap_change.value == pytest.approx(-0.2)
    assert estimate.gap_change.beyond_chance and estimate.accuracy_change.value == pytest.approx(0.05)
    assert estimate.errors == Errors(0, "right", "left", 0.1, 0.0)
    assert in_words(estimate.errors, ("plain", "special")) == (
        "Of those labelled plain it is wrong about 10.0\N{NO-BREAK SPACE}% of right and 0.0\N{NO-BREAK SPACE}% of left."
    )


def test_without_groups_there_is_accuracy_alone_and_no_gap():
    labels, groups = _hand(20)
    estimate = exclusion_estimate(labels, _answers(labels, groups, {}), _answers(labels, groups, {(1, 0): 4}), ())
    assert estimate.accuracy == pytest.approx((1.0, 0.95)) and estimate.gap is None and estimate.errors is None


def test_a_class_that_is_in_1_group_alone_makes_no_errors_to_compare():
    labels = np.array([0, 0, 1, 1])
    groups = Groups("Group", ("left", "right"), np.array([0, 0, 1, 1]))
    assert errors_of(labels, np.array([0, 1, 1, 0]), groups) is None


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ({(0, 1): 30}, {(0, 1): 10}, "Closes 20.0 of 30.0 points; gains 5.0 points of accuracy"),
        ({(0, 1): 10}, {(0, 1): 40}, "Widens the gap by 30.0 points, to 40.0; costs 7.5 points of accuracy"),
        ({(0, 1): 10}, {(0, 1): 11}, "The gap does not move beyond chance, 10.0 to 11.0 points"),
    ],
)
def test_what_a_training_did_is_told_in_points_and_what_chance_makes_is_said(before, after, told):
    labels, groups = _hand()
    answers = [_answers(labels, groups, wrong) for wrong in (before, after)]
    audits = [audit(labels, probability, [groups], repeats=200) for probability in answers]
    compared = paired_comparison(labels, *answers, groups=[groups])
    assert outcome(*audits, compared).startswith(told)
    assert ("within chance" in outcome_alone(compared)) == ("beyond chance" in told)


def test_whose_probabilities_fit_worse_is_named():
    labels, groups = _hand()
    before = np.where(labels == 1, 0.99, 0.01)
    after = np.where(groups.codes == 1, np.where(labels == 1, 0.6, 0.4), before)
    audits = [audit(labels, probability, [groups], repeats=200) for probability in (before, after)]
    assert "the probabilities of right fit worse." in outcome(
        *audits, paired_comparison(labels, before, after, groups=[groups])
    )


def test_a_whisker_ends_at_100_and_an_axis_is_2_points_wide_at_least():
    figure = classifier_charts._dots([("catboost", "CatBoost", Estimate(0.995, 0.98, 1.01))], "Accuracy, %", "%")
    (dot,) = figure.data
    assert dot.x[0] + dot.error_x.array[0] == pytest.approx(100) and dot.x[0] - dot.error_x.arrayminus[
        0
    ] == pytest.approx(98)
    low, high = classifier_charts._span([93.1, 93.2])
    assert high - low >= 2 and classifier_charts._span([0.0, 100.0]) == [-0.5, 100.5]


# ---- the page


@pytest.fixture(scope="module")
def home(studio, tmp_path_factory):
    """A table of 900 faces: `kind` follows channel 5, chance and the group, which channel 9 alone shows."""
    own, sizes = tmp_path_factory.mktemp("home"), studio.table().layout.sizes
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IMG2TAB_HOME", str(own))
        patch.setitem(CatBoostConcepts.__init__.__kwdefaults__, "iterations", 40)
        rng = np.random.default_rng(0)
        # codes are images of few numbers, as those of a generator are of one w
        psi = (rng.normal(size=(COUNT, 30)) @ rng.normal(size=(30, sum(sizes))) / np.sqrt(30)).astype(np.float32)
        group = rng.integers(0, 2, COUNT).astype(np.int8)
        psi[:, 9] += 3 * group
        kind = (psi[:, 5] + 1.6 * (group - 0.5) + rng.normal(size=COUNT) > 0).astype(np.int8)
        tables.write_table(
            own / "tables" / "toy",
            lambda rows: psi[rows],
            pd.DataFrame({"kind": kind, "group": group, "odd": (np.arange(COUNT) % 2).astype(np.int8)}),
            targets=[
                Target("kind", "Kind", ("plain", "special"), "by hand"),
                Target("group", "Group", ("left", "right"), "by hand"),
                Target("odd", "Odd", ("even", "odd"), "by hand"),
            ],
            layout=StyleLayout(sizes),
            backbone=DEFAULT_BACKBONE,
            key="toy",
        )
        st.cache_data.clear()
        st.cache_resource.clear()
        yield own
    st.cache_data.clear()
    st.cache_resource.clear()
    shutil.rmtree(own / "runs", ignore_errors=True)


@pytest.fixture
def visit(home):
    return app.ready(app.begun().switch_page(PAGE).run())


def _add(at: AppTest, channel: int) -> AppTest:
    at.text_input(key="exclude.add").set_value(str(channel))
    return app.well(next(each for each in at.button if each.label == "Add").click().run())


def _estimated(at: AppTest) -> AppTest:
    asked = at.session_state[estimates.ASKED]
    assert asked.job.wait(60) and asked.job.state == "done", asked.job.error
    return app.well(at.run())


def _told(at: AppTest) -> str:
    return "\n".join(each.value for kind in (at.markdown, at.caption, at.info) for each in kind)


def test_a_tick_is_estimated_as_the_service_does_and_of_2_quick_ticks_the_last_set_alone(visit, home):
    assert estimates.ASKED not in visit.session_state and "Tick or untick a concept" in _told(visit)
    at = _add(visit, 9)
    first = at.session_state[estimates.ASKED]
    at = _add(at, 7)
    assert first.job.wait(60) and first.job.state == "cancelled"
    at = _estimated(at)
    door = Studio()
    run = door.run(door.table("toy"), "kind")
    estimate = Auditor(door).estimate(run, frozenset({7, 9}), ("group",))
    assert at.session_state[estimates.ASKED].job.result.gap == estimate.gap
    old, new = (100 * share for share in estimate.gap)
    assert f"Gap by group: {old:.1f} → **{new:.1f}**" in _told(at)
    assert "Group in what is left: **" in _told(at) and f"{estimate.faces} validation faces" in _told(at)
    at = app.well(at.button(key="exclude.clear").click().run())
    assert estimates.ASKED not in at.session_state


def test_a_tick_answers_before_the_estimate_is_there(visit):
    at = _estimated(_add(visit, 9))
    began = time.monotonic()
    at = _add(at, 11)
    assert at.session_state[estimates.ASKED].job.state == "running" and time.monotonic() - began < 20
    assert "Gap by group: …" in _told(at)


def test_training_is_answered_by_1_sentence_beside_its_button_which_is_kept_or_taken_back(visit):
    at = app.well(_add(visit, 9).button(key="exclude.train").click().run())
    assert at.session_state["visit.job"].wait(120)
    at = app.well(at.run())
    door = Studio()
    table = door.table("toy")
    before = door.run(table, "kind")
    after = next(run for run in door.trainer.kept(table, "kind") if run.excluded == {9})
    auditor = Auditor(door)
    audits = [auditor.audit(run, ("group",)) for run in (before, after)]
    sentence = outcome(*audits, auditor.compare_runs(before, after, ("group",)))
    assert f"**{sentence}**" in _told(at)
    at = app.well(at.button(key="exclude.keep").click().run())
    assert "Kept: every page shows this run." in _told(at)
    assert not any(each.key == "exclude.keep" for each in at.button)
    at = app.well(at.button(key="exclude.undo").click().run())
    assert f"**{sentence}**" not in _told(at) and any("Nothing excluded" in each.value for each in at.sidebar.caption)


def test_an_attribute_is_erased_in_4_clicks_its_faces_drawn_and_1_click_undoes_it(visit):
    at = app.well(app.held(visit.button_group, "exclude.way").set_value("Erase").run())
    assert "Nothing is withheld" in _told(at)
    at = app.well(app.held(at.checkbox, "exclude.erase.group").check().run())
    at = _estimated(at)
    old, new = at.session_state[estimates.ASKED].job.result.gap
    # 45 validation faces in a cell: without any gap 0.09 are expected by chance; how much it closes: test_erasing
    assert new < old and "**Erased**, training faces balanced" in _told(at)
    assert at.session_state[estimates.ASKED].job.result.readable.auc < 0.7
    at = app.well(at.button(key="exclude.train").click().run())
    assert at.session_state["visit.job"].wait(120)
    at = app.well(at.run())
    door = Studio()
    (run,) = [kept for kept in door.trainer.kept(door.table("toy"), "kind") if kept.treatment]
    assert run.treatment.to_json() == {"erased": ["group"], "balanced": ["group"]} and not run.excluded
    assert "erases group and is balanced over group" in _told(at)
    assert any("1 attribute erased" in each.value for each in at.sidebar.caption)
    assert "A typical test face of either group" in _told(at)
    at = app.well(at.button(key="exclude.undo").click().run())
    assert not app.held(at.checkbox, "exclude.erase.group").value


def test_where_there_is_no_gap_to_close_the_suggestion_says_so_before_it_is_asked(visit):
    at = app.well(app.held(visit.selectbox, "exclude.groups.kind").set_value("odd").run())
    if not any(each.key == "exclude.what" or (each.key or "").startswith("exclude.what.") for each in at.button_group):
        pytest.skip("the families that come with the program are of other weights")
    at = app.well(app.held(at.button_group, "exclude.what").set_value("Suggested").run())
    assert "There is no gap to close" in _told(at) and at.button(key="exclude.anyway").label == "Suggest all the same"


def test_the_gap_of_2_kinds_of_classifier_stands_beside_their_accuracy(home):
    door = Studio()
    compared = door.trainer.compare(door.table("toy"), "kind", kinds=["catboost", "logistic"], seeds=(0, 1), faces=300)
    at = app.ready(app.begun().switch_page("views/compare.py").run())
    assert "How far apart are the groups by group?" in [each.value for each in at.header]
    gaps = Auditor(door).gaps_compared(compared, ("group",))
    assert set(gaps) == {"catboost", "logistic"} and all(0 < gap.mean < 1 for gap in gaps.values())
    chart = classifier_charts.gaps(compared, gaps)
    assert sorted(float(dot.x[0]) for dot in chart.data) == pytest.approx(
        sorted(100 * gap.mean for gap in gaps.values())
    )

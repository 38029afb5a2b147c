"""The Audit page: groups counted first, gaps with intervals, a threshold that costs something, before and after."""

from __future__ import annotations

import shutil
import time

import numpy as np
import pandas as pd
import pytest
import streamlit as st
from scipy.stats import binomtest
from streamlit.testing.v1 import AppTest

from dashboard.components import page_words
from img2tab_core import tables
from img2tab_core.audits.auditor import Auditor
from img2tab_core.base import files
from img2tab_core.base.layout import StyleLayout
from img2tab_core.base.records import DEFAULT_BACKBONE, Target
from img2tab_core.classifiers.catboost import CatBoostConcepts
from img2tab_core.studio import Studio
from tests import app

PAGE = "views/audit.py"
COUNT = 900


@pytest.fixture(scope="module")
def home(studio, tmp_path_factory):
    """A table of 900 faces, 6,752 channels: `kind` follows channel 5 and, in its training faces, the group as well."""
    own, sizes = tmp_path_factory.mktemp("home"), studio.table().layout.sizes
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IMG2TAB_HOME", str(own))
        patch.setitem(CatBoostConcepts.__init__.__kwdefaults__, "iterations", 200)  # a dozen trainings follow
        rng = np.random.default_rng(0)
        psi = rng.normal(size=(COUNT, 6752)).astype(np.float32)
        group = rng.integers(0, 2, COUNT).astype(np.int8)
        rare = (np.arange(COUNT) % 15 == 0).astype(np.int8)
        split = tables.split_of(COUNT, seed=0)
        kind = ((psi[:, 5] + 0.9 * (2 * group - 1) * (split != 1)) > 0).astype(np.int8)
        psi[:, 9] += 3 * group
        labels = pd.DataFrame({"kind": kind, "group": group, "rare": rare})
        targets = [
            Target("kind", "Kind", ("plain", "special"), "by hand"),
            Target("group", "Group", ("left", "right"), "by hand"),
            Target("rare", "Rare", ("common", "seldom"), "by hand"),
        ]
        tables.write_table(
            own / "tables" / "toy",
            lambda rows: psi[rows],
            labels,
            targets=targets,
            layout=StyleLayout(sizes),
            backbone=DEFAULT_BACKBONE,
            key="toy",
            split=split,
        )
        st.cache_data.clear()
        st.cache_resource.clear()
        yield own
    st.cache_data.clear()
    st.cache_resource.clear()
    shutil.rmtree(own / "runs", ignore_errors=True)


@pytest.fixture
def visit(home):
    assert files.home() == home
    at = app.begun()
    return app.ready(at.switch_page(PAGE).run())


def _gap(at: AppTest, title: str) -> str:
    return next(one.value for one in at.metric if one.label == title)


def test_groups_are_counted_first_and_every_gap_is_that_of_the_service(visit):
    counts = visit.dataframe[0].value
    assert counts["Group"].tolist() == ["Left", "Right", "Everyone"] and counts["Faces"].sum() == 2 * 135
    door = Studio()
    found = Auditor(door).audit(door.run(door.table("toy"), "kind"), ["group"])
    assert _gap(visit, "Equalised odds") == f"{100 * found.gaps['equalised_odds'].value:.1f}\u00a0%"
    assert found.gaps["demographic_parity"].value > 0.3  # the label follows the group
    assert all(one.proto.help for one in visit.metric)


def test_a_group_of_fewer_than_30_faces_is_flagged_and_shown(visit):
    at = app.ready(visit.multiselect(key="audit.sensitive.kind").set_value(["rare"]).run())
    counts = at.dataframe[0].value
    few = counts[counts["Group"] == "Seldom"].iloc[0]
    assert few["Faces"] < 30 and "Fewer than 30" in few["Note"]


def test_2_attributes_are_crossed_into_4_groups_and_none_is_a_hint(visit):
    at = app.ready(visit.multiselect(key="audit.sensitive.kind").set_value(["group", "rare"]).run())
    assert at.dataframe[0].value["Group"].tolist()[:4] == [
        "Left, common",
        "Left, seldom",
        "Right, common",
        "Right, seldom",
    ]
    at = app.ready(at.multiselect(key="audit.sensitive.kind").set_value([]).run())
    assert any("Choose one or two attributes" in one.value for one in at.info)


def test_a_threshold_moves_the_gaps_and_says_what_it_costs(visit):
    before = _gap(visit, "Selection rate")
    at = app.ready(visit.slider(key="audit.threshold").set_value(0.95).run())
    assert _gap(at, "Selection rate") != before
    assert any(one.value.startswith("Against 0.5 for every group") for one in at.caption)
    at = app.ready(at.slider(key="audit.threshold").set_value(0.5).run())
    assert _gap(at, "Selection rate") == before


def test_1_threshold_per_group_changes_that_group(visit):
    at = app.ready(visit.button_group(key="audit.kind").set_value("One per group").run())
    assert [one.label for one in at.slider] == ["Left", "Right"]
    before = _gap(at, "Selection rate")
    at = app.ready(at.slider(key="audit.threshold.group.1").set_value(0.9).run())
    assert _gap(at, "Selection rate") != before


def test_every_one_of_7_metrics_can_be_shown(visit):
    for name in (
        "selection_rate",
        "true_positive_rate",
        "false_positive_rate",
        "precision",
        "auc",
        "calibration_error",
        "accuracy",
    ):
        at = app.ready(visit.button_group(key="audit.metric").set_value(name).run())
        assert not at.error


def test_a_suggestion_ticks_the_channel_that_carries_the_group_and_states_its_rule(home):
    at = app.begun()
    at = app.ready(at.switch_page("views/exclude.py").run())
    at = app.ready(app.held(at.button_group, "exclude.what").set_value("Channels").run())
    assert at.selectbox(key="exclude.sensitive").options == ["Group", "Rare"]
    at = app.ready(next(one for one in at.button if one.label == "Suggest").click().run())
    (said,) = [one.value for one in at.caption if "suggested" in one.value]
    assert "Exclude every channel in which the groups differ" in said and "none of the test split" in said
    door = Studio()
    found = Auditor(door).suggest(door.table("toy"), "kind", "group")
    assert found.excluded[0] == 9  # 3 standard deviations apart
    assert at.button(key="exclude.train").label == f"Retrain without {len(found.excluded):,} channels"


def test_concepts_are_suggested_one_after_the_other_with_what_each_buys_and_a_tick_takes_what_goes_with_it(home):
    door = Studio()
    if door.description() is None:
        pytest.skip("the families that come with the program are of other weights")
    at = app.begun()
    at = app.ready(at.switch_page("views/exclude.py").run())
    at = app.ready(app.held(at.button_group, "exclude.what").set_value("Suggested").run())
    if any(one.key == "exclude.anyway" for one in at.button):
        assert "There is no gap to close" in at.info[0].value
    begin = next(one for one in at.button if one.key in ("exclude.anyway", "exclude.suggest"))
    at = app.ready(begin.click().run())
    for _ in range(600):
        boxes = [one for one in at.checkbox if one.key and one.key.startswith("exclude.step.")]
        if boxes or any("In no concept" in one.value for one in at.markdown):
            break
        time.sleep(0.1)
        at = app.ready(at.run())
    steps = Auditor(door).steps(door.table("toy"), "kind", "group")
    assert [one.key.removeprefix("exclude.step.") for one in boxes] == [step.family for step in steps.steps]
    assert any(steps.sentence[:40] in one.value for one in at.markdown)
    for box, step in zip(boxes[:1], steps.steps, strict=False):
        at = app.ready(box.check().run())
        assert at.session_state["visit.ticked"]["toy", "kind"] == set(step.channels)


def test_after_a_retrain_without_1_concept_faces_lost_and_gained_and_the_gaps_stand_before_and_after(visit):
    door = Studio()
    table = door.table("toy")
    second = door.train(table, "kind", excluded=frozenset({9}))
    door.trainer.keep(second)
    at = app.begun()
    at = app.ready(at.switch_page("views/exclude.py").run())
    at = app.ready(at.button(key=f"exclude.use.{second.id}").click().run())
    rows, labels, old = door.trainer.test_answers(door.run(table, "kind"))
    new = door.trainer.test_answers(second)[2]
    right = [(probability > 0.5) == (labels == 1) for probability in (old, new)]
    lost, gained = int((right[0] & ~right[1]).sum()), int((~right[0] & right[1]).sum())
    told = f"lost and {gained} gained of {len(rows)}: "
    p_value = binomtest(gained, lost + gained).pvalue
    conclusion = "more than chance explains" if p_value < 0.05 else "chance alone could explain it"
    compared = Auditor(door).compare_runs(door.run(table, "kind"), second, ["group"])
    assert any(f"{lost} face" in one.value and told + conclusion in one.value for one in at.markdown)
    (delta,) = [one.delta for one in at.metric if one.label == "Accuracy" and "points (" in one.delta]
    assert delta == compared.accuracy.in_points
    at = app.ready(at.switch_page(PAGE).run())
    assert any(f"{lost} face" in one.value and told + conclusion in one.value for one in at.markdown)
    odds = compared.gaps["equalised_odds"]
    (one,) = [one for one in at.metric if one.label == "Equalised odds" and "points" in one.value]
    assert one.value == page_words.points(odds.value)
    assert one.delta == f"{page_words.signed(100 * odds.low)} to {page_words.signed(100 * odds.high)}"
    assert any(one.value == "Before and after the exclusion" for one in at.subheader)
    assert any("excludes 1 channel" in one.value for one in at.caption)
    at = app.ready(at.button(key="audit.repeat").click().run())
    (job,) = at.session_state["visit.repeating"].values()
    assert job.wait(300) and job.state == "done"
    at = app.ready(at.run())
    sentences = [one.value for one in at.markdown if "**Equalised odds.**" in one.value]
    assert len(sentences) == 1 and job.result["equalised_odds"].sentence in sentences[0]
    assert len(job.result["accuracy"].pairs) == 5
    shown = Auditor(door).audit(second, ["group"]).gaps["equalised_odds"].value
    assert _gap(at, "Equalised odds") == f"{100 * shown:.1f}\u00a0%"

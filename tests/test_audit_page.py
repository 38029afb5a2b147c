"""The Audit page: the answer first, groups counted, misjudged faces, what thresholds cost, before and after."""

from __future__ import annotations

import itertools
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
from img2tab_core.audits.group_differences import gap_sentence, label_sentence
from img2tab_core.base import files
from img2tab_core.base.layout import StyleLayout
from img2tab_core.base.records import DEFAULT_BACKBONE, Target
from img2tab_core.classifiers.catboost import CatBoostConcepts
from img2tab_core.studio import Studio
from tests import app

pytestmark = pytest.mark.usefixtures("small_pictures")

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


def _said(at: AppTest, beginning: str) -> str:
    """The one Markdown text or caption that begins so."""
    (text,) = [each.value for each in (*at.markdown, *at.caption) if each.value.startswith(beginning)]
    return text


def _groups(at: AppTest) -> pd.DataFrame:
    return next(each.value for each in at.dataframe if "Group" in each.value.columns)


def _sensitive(at: AppTest, names: list[str]) -> AppTest:
    return app.ready(app.held(at.multiselect, "audit.sensitive.kind").set_value(names).run())


def test_the_page_answers_in_the_sentence_of_the_core_first_and_says_how_the_labels_differ(visit):
    door = Studio()
    run = door.run(door.table("toy"), "kind")
    audited = Auditor(door).audit(run, ["group"])
    differences = Auditor(door).differences(run, ["group"], audited)
    sentence = gap_sentence(audited, ("plain", "special"), differences)
    assert visit.expander[0].label == "Every target by every group"  # never the numbers: another label folds it again
    texts = [each.value for each in visit.markdown]
    answer = next(number for number, text in enumerate(texts) if page_words.plain(sentence) == text)
    assert not any("Faces it judges wrongly" in text for text in texts[:answer])
    assert page_words.plain(label_sentence(audited, ("plain", "special"))) in _said(visit, "Labelled special: ")
    called = next(each for each in differences if each.rate == "selection_rate")
    assert called.worse == "right" and called.difference.value > 0.3  # the label follows the group
    assert f"**Right +{100 * called.difference.value:.1f}\u00a0points**" in texts
    table = _groups(visit)
    assert table["Group"].tolist() == ["Left", "Right", "Everyone"] and table["Faces"].sum() == 2 * 135
    right = audited.group("right").measures
    assert table["False alarms"][1] == pytest.approx(100 * right["false_positive_rate"].value)
    assert table["Misses"][1] == pytest.approx(100 - 100 * right["true_positive_rate"].value)


def test_a_group_of_fewer_than_30_faces_is_flagged_and_gets_no_number(visit):
    at = _sensitive(visit, ["rare"])
    few = _groups(at).query("Group == 'Seldom'").iloc[0]
    assert few["Faces"] < 30 and "Fewer than 30" in few["Note"]
    assert "it takes 30" in _said(at, "Cannot be told: only")
    assert any(each.value == "**Too few faces**" for each in at.markdown)


def test_2_attributes_are_crossed_into_4_groups_and_none_is_a_hint(visit):
    at = _sensitive(visit, ["group", "rare"])
    assert _groups(at)["Group"].tolist()[:4] == [
        "Left and common",
        "Left and seldom",
        "Right and common",
        "Right and seldom",
    ]
    at = _sensitive(at, [])
    assert any("Choose one or two attributes" in one.value for one in at.info)


def test_misjudged_faces_are_the_surest_mistakes_and_inspect_opens_one_with_the_same_answer(visit):
    door = Studio()
    table = door.table("toy")
    run = door.run(table, "kind")
    at = visit
    for group, label in itertools.product(("left", "right"), (0, 1)):
        at = app.ready(app.held(at.selectbox, "audit.misjudged.group.kind.group").set_value(group).run())
        at = app.ready(app.held(at.selectbox, "audit.misjudged.label.kind.group").set_value(label).run())
        wrong = Auditor(door).misjudged(run, ["group"], group, label)
        buttons = [each.key for each in at.button if each.key and each.key.startswith("audit.inspect.")]
        assert buttons == [f"audit.inspect.{face.row}" for face in wrong.faces]
        rows, labels, probability = door.trainer.test_answers(run)
        inside = (table.labels["group"].to_numpy()[rows] == ("left", "right").index(group)) & (labels == label)
        assert wrong.wrong == int(((probability > 0.5) != (labels == 1))[inside].sum()) and wrong.of == inside.sum()
        if wrong.faces:
            last = wrong.faces[0], label
    face, label = last
    assert face.reasons or door.description() is None
    group = "left" if table.labels["group"][face.row] == 0 else "right"
    at = app.ready(app.held(at.selectbox, "audit.misjudged.group.kind.group").set_value(group).run())
    at = app.ready(app.held(at.selectbox, "audit.misjudged.label.kind.group").set_value(label).run())
    at = app.ready(at.button(key=f"audit.inspect.{face.row}").click().run())
    assert any(each.value == "Inspect" for each in at.title)
    called = ("Special", "Plain")[label]
    assert any(each.value == f"## {called}, {page_words.chance(face.probability)}" for each in at.markdown)
    assert any(f"Test face {face.row:,}, labelled {('plain', 'special')[label]}" in each.value for each in at.caption)


def test_a_threshold_moves_the_gaps_and_says_what_it_costs(visit):
    def moved(at):
        return [each.value for each in at.markdown if each.value.startswith("With these thresholds: ")]

    assert not moved(visit)
    at = app.ready(app.held(visit.slider, "audit.threshold.kind.group").set_value(0.95).run())
    assert len(moved(at)) == 1
    assert any(one.value.startswith("Against 0.5 for every group") for one in at.caption)
    at = app.ready(app.held(at.slider, "audit.threshold.kind.group").set_value(0.5).run())
    assert not moved(at) and any("standard threshold" in one.value for one in at.caption)


def test_thresholds_are_found_on_validation_faces_set_on_the_sliders_and_let_go_once_one_is_moved(visit):
    at = app.ready(visit.button_group(key="audit.kind").set_value("One per group").run())
    assert [one.label for one in at.slider] == ["Left", "Right"]
    at = app.ready(at.selectbox(key="audit.find.lost").set_value(0.05).run())
    at = app.ready(at.button(key="audit.find").click().run())
    door = Studio()
    search = Auditor(door).find_thresholds(door.run(door.table("toy"), "kind"), ["group"], most_lost=0.05)
    assert search.moved and search.faces == int((door.table("toy").split == 1).sum())
    (told,) = [each.value for each in at.success]
    assert page_words.plain(search.sentence) in told and "On the test faces, which took no part in the choice" in told
    assert [one.value for one in at.slider] == pytest.approx(list(search.thresholds.values()))
    at = app.ready(app.held(at.slider, "audit.threshold.kind.group.1").set_value(0.9).run())
    assert at.slider[1].value == 0.9 and not at.success


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
    assert any(one.value == "Before and after" for one in at.header)
    assert any("excludes 1 channel" in one.value for one in at.caption)
    at = app.ready(at.button(key="audit.repeat").click().run())
    (job,) = at.session_state["visit.repeating"].values()
    assert job.wait(300) and job.state == "done"
    at = app.ready(at.run())
    sentences = [one.value for one in at.markdown if "**Equalised odds.**" in one.value]
    assert len(sentences) == 1 and job.result["equalised_odds"].sentence in sentences[0]
    assert len(job.result["accuracy"].pairs) == 5
    shown = Auditor(door).audit(second, ["group"])
    sentence = gap_sentence(shown, ("plain", "special"), Auditor(door).differences(second, ["group"], shown))
    assert any(each.value == page_words.plain(sentence) for each in at.markdown)


def test_groups_nobody_named_are_sought_once_they_are_opened_each_with_its_sentence_and_faces(visit):
    door = Studio()
    run = door.run(door.table("toy"), "kind")
    assert not any(each.label == "Mistakes" for each in visit.selectbox)
    visit.session_state["audit.slices"] = True
    at = visit.run()
    while any(each.label == "Stop" for each in at.button):
        at = at.run()
    measured = Auditor(door).slices(run)
    texts = [each.value for each in at.markdown]
    assert page_words.plain(measured.sentence) in texts and measured.slices
    listed = next(each.value for each in at.dataframe if "confirmed" in each.value.columns)
    assert listed["group"].tolist() == [page_words.sentence(each.words) for each in measured.slices]
    inspect = [each.key for each in at.button if f"{each.key}".startswith("audit.slices.inspect.")]
    faces = Auditor(door).slice_faces(run, measured.slices[0])
    assert inspect == [f"audit.slices.inspect.{number}.{face.row}" for number, face in enumerate(faces)]
    of_special = app.ready(app.held(at.selectbox, "audit.slices.label.kind").set_value(1).run())
    assert page_words.plain(Auditor(door).slices(run, label=1).sentence) in [each.value for each in of_special.markdown]

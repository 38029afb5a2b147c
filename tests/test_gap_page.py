"""The page Behind the gap: every control, on a toy table with a gap; its numbers are those of the Auditor."""

from __future__ import annotations

import shutil
import time
from functools import partial

import numpy as np
import pandas as pd
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from dashboard.components import drag_line, page_words
from dashboard.parts.gap import how_much
from dashboard.state import audits as audit_state
from dashboard.state import doors
from dashboard.state import visit as state
from dashboard.views import gap
from img2tab_core import tables
from img2tab_core.audits import exclusion_curves, remedies
from img2tab_core.audits.auditor import Auditor
from img2tab_core.audits.exclusion_curves import CurvePoint, CurveTrial, ExclusionCurve
from img2tab_core.base import files
from img2tab_core.base.errors import Cancelled, Img2TabError
from img2tab_core.base.layout import StyleLayout
from img2tab_core.base.records import DEFAULT_BACKBONE, Target
from img2tab_core.studio import Studio
from tests import app, browser

PAGE = "views/gap.py"
COUNT, CARRIER, TWIN, GIVEN = 900, 9, 10, 5  # faces; channels that carry the group, and what the label follows
CURVE = ExclusionCurve(
    tuple(
        CurvePoint(number, (CurveTrial(0, accuracy, gap), CurveTrial(1, accuracy + 0.02, gap + 0.04)))
        for number, accuracy, gap in ((0, 0.8, 0.3), (10, 0.82, 0.2), (500, 0.84, 0.1))
    ),
    (100, 50),
    "by hand",
)
ONE_SEED = ExclusionCurve(tuple(CurvePoint(point.count, point.trials[:1]) for point in CURVE.points), (100, 50), "")


# ---- a table with a gap, and a visitor


@pytest.fixture(scope="module")
def home(studio, tmp_path_factory):
    """A table of 900 faces, 6,752 channels: `kind` follows channel 5 and, outside the test faces, the group as well."""
    own, sizes = tmp_path_factory.mktemp("home"), studio.table().layout.sizes
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IMG2TAB_HOME", str(own))
        rng = np.random.default_rng(0)
        psi = rng.normal(size=(COUNT, 6752)).astype(np.float32)
        group = rng.integers(0, 2, COUNT).astype(np.int8)
        split = tables.split_of(COUNT, seed=0)
        kind = ((psi[:, GIVEN] + 0.9 * (2 * group - 1) * (split != 2)) > 0).astype(np.int8)
        psi[:, CARRIER] += 3 * group
        psi[:, TWIN] = psi[:, CARRIER] + 0.3 * psi[:, TWIN]
        labels = pd.DataFrame({"kind": kind, "group": group, "rare": rng.integers(0, 2, COUNT).astype(np.int8)})
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


@pytest.fixture(scope="module")
def auditor(home) -> Auditor:
    return Auditor(Studio())


@pytest.fixture(scope="module")
def first(auditor):
    """The run with nothing excluded."""
    return auditor.studio.run(auditor.studio.table("toy"), "kind")


@pytest.fixture(scope="module")
def second(auditor, first):
    """A run without what carries the group, but for its twin."""
    run = auditor.studio.train(auditor.studio.table("toy"), "kind", excluded=frozenset({CARRIER}))
    auditor.studio.trainer.keep(run)
    return run


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Grey pictures; a curve of three counts, two remedies and one checked face, all trained in a moment."""
    grey = np.full((2, 128, 128, 3), 128, np.uint8)
    monkeypatch.setattr(state, "concept_picture", lambda index: grey)
    monkeypatch.setattr(state, "render", lambda run, code, *others, **more: grey[0])
    monkeypatch.setattr(audit_state, "CHECKED", 1)
    monkeypatch.setattr(
        exclusion_curves,
        "exclusion_curve",
        partial(exclusion_curves.exclusion_curve, counts=(0, 10, 1500), columns=32, trees=10),
    )
    monkeypatch.setattr(
        remedies,
        "compare_remedies",
        partial(remedies.compare_remedies, remedies=["reweighing"], base="logistic", columns=32),
    )


@pytest.fixture
def visit(home, first):
    assert files.home() == home
    at = _ready(app.opened().run())
    return _ready(at.switch_page(PAGE).run())


@pytest.fixture
def corner(visit):
    """A visitor who looks at the channels that differ."""
    return _part(visit, "differ")


@pytest.fixture
def after(visit, second):
    """A visitor at the second run."""
    at = _ready(visit.switch_page("views/exclude.py").run())
    at = _ready(at.button(key=f"exclude.use.{second.id}").click().run())
    return _ready(at.switch_page(PAGE).run())


def _ready(at: AppTest) -> AppTest:
    """Wait for what the page waits for."""
    at = _waited(at)
    assert not at.error, at.error[0].value
    return at


def _waited(at: AppTest) -> AppTest:
    while at.get("progress"):
        time.sleep(0.2)
        at.run()
    assert not at.exception, at.exception[0].value
    return at


def _part(at: AppTest, name: str) -> AppTest:
    at = _ready(app.held(at.button_group, "gap.part").set_value(name).run())
    return _ready(app.held(at.button_group, "gap.what").set_value("Channels").run()) if name == "differ" else at


def _metric(at: AppTest, title: str) -> str:
    (value,) = [one.value for one in at.main.metric if one.label == title]
    return value


def _ticked(at: AppTest) -> frozenset[int]:
    return (
        at.session_state["visit.ticked"].get(("toy", "kind"), frozenset())
        if "visit.ticked" in at.session_state
        else frozenset()
    )


def _says(at: AppTest, text: str) -> bool:
    return any(text in one.value for one in (*at.markdown, *at.caption, *at.info))


# ---- the page


def test_1_attribute_is_asked_for_and_none_of_the_5_parts_fails(visit):
    assert [one.value for one in visit.title] == ["Behind the gap"]
    assert visit.selectbox(key="gap.sensitive.kind").options == ["Group", "Rare"]
    assert visit.selectbox(key="gap.sensitive.kind").value == "group"
    parts = app.held(visit.button_group, "gap.part")
    assert parts.value == "move" and parts.options[0] == "What if it alone changes?" and len(parts.options) == 5
    for part in gap.PARTS:
        at = _part(visit, part)
        assert all(one.proto.help for one in at.main.metric)


def test_the_first_attribute_of_the_audit_page_is_the_first_one_here(visit):
    at = _ready(visit.switch_page("views/audit.py").run())
    at = _ready(app.held(at.multiselect, "audit.sensitive.kind").set_value(["rare"]).run())
    at = _ready(at.switch_page(PAGE).run())
    assert app.held(at.selectbox, "gap.sensitive.kind").value == "rare" and at.query_params["by"] == "rare"


def test_in_a_session_its_first_attribute_is_the_one_here(visit, auditor):
    sessions = doors.session_runs().sessions
    session = sessions.create("Rare faces", "Ada", auditor.studio.table("toy"), "kind", ["rare", "group"])
    at = _ready(visit.switch_page("views/sessions.py").run())
    at = _ready(at.button(key=f"sessions.open.{session.id}").click().run())
    at = _ready(at.switch_page(PAGE).run())
    assert app.held(at.selectbox, "gap.sensitive.kind").value == "rare"


# ---- which concepts differ


def test_the_ten_of_the_corner_are_listed_with_the_numbers_of_the_auditor(corner, auditor, first):
    found = auditor.carried(auditor.studio.table("toy"), "kind", "group")
    importance = auditor.studio.scores(first).importance
    boxes = [one for one in corner.checkbox if one.key and one.key.startswith("gap.tick.")]
    listed = [int(one.key.rsplit(".", 1)[1]) for one in boxes]
    assert len(listed) == 10 and {CARRIER, TWIN} & set(listed[:3])
    assert all(importance[index] > 0 for index in listed)
    assert _metric(corner, "Groups, SD") == f"{found.within[listed[0]]:.2f}"
    assert _metric(corner, "Importance") == page_words.percent(importance[listed[0]], 2)


def test_concepts_that_differ_and_are_used_come_first_and_a_tick_takes_what_goes_with_them_too(corner, auditor, first):
    described = auditor.studio.description()
    if described is None:
        pytest.skip("the families that come with the program are of other weights")
    at = _ready(app.held(corner.button_group, "gap.what").set_value("Concepts").run())
    boxes = [box for box in at.checkbox if box.key and box.key.startswith("gap.family.")]
    assert len(boxes) == 6
    apart = auditor.concept_differences(auditor.studio.table("toy"), "kind", "group")
    number = [family.id for family in described.families].index(boxes[0].key.removeprefix("gap.family."))
    assert any(f"Groups {abs(apart[number]):.2f} SD apart" in caption.value for caption in at.caption)
    _ready(boxes[0].check().run())
    family = described.families[number]
    assert at.session_state["visit.ticked"]["toy", "kind"] == {*family.channels, *described.stand_ins(number)}


def test_a_tick_excludes_1_concept_and_unticking_keeps_it(corner):
    box = next(one for one in corner.checkbox if one.key and one.key.startswith("gap.tick."))
    index = int(box.key.rsplit(".", 1)[1])
    at = _ready(box.check().run())
    assert _ticked(at) == {index} and _says(at, "**1 channel ticked**")
    at = _ready(at.checkbox(key=box.key).uncheck().run())
    assert _ticked(at) == frozenset() and _says(at, "Nothing is ticked yet")


def test_a_picked_concept_and_its_family_of_2_are_excluded_and_kept_by_a_click(corner):
    corner.session_state["visit.concept"] = CARRIER
    at = _ready(corner.run())
    assert any(one.value == "Layer 0 · channel 9" for one in at.header)
    assert _says(at, "Its family: 2 channels")
    at = _ready(at.button(key="gap.exclude").click().run())
    assert _ticked(at) == {CARRIER} and at.button(key="gap.exclude").label == "Keep it"
    at = _ready(at.button(key="gap.exclude_family").click().run())
    assert _ticked(at) == {CARRIER, TWIN}
    assert at.button(key="gap.exclude_family").label == "Keep its whole family (2 channels)"
    at = _ready(at.button(key="gap.exclude").click().run())
    assert _ticked(at) == {TWIN}
    at = _ready(at.button(key="gap.clear").click().run())
    assert _ticked(at) == frozenset()


def test_a_concept_of_no_family_says_so(corner):
    corner.session_state["visit.concept"] = GIVEN
    assert _says(_ready(corner.run()), "it is a family of its own")


def test_a_suggestion_states_its_rule_and_ticks_what_the_auditor_suggests(corner, auditor):
    at = _ready(corner.button(key="gap.suggest").click().run())
    found = auditor.suggest(auditor.studio.table("toy"), "kind", "group")
    assert _ticked(at) == set(found.excluded) and _says(at, found.rule)
    assert at.button(key="gap.suggest").disabled
    at = _ready(at.selectbox(key="gap.sensitive.kind").set_value("rare").run())
    assert not at.button(key="gap.suggest").disabled  # the rule shown is of the other attribute


# ---- how much must go


def test_a_curve_of_validation_faces_stands_beside_its_numbers_of_test_faces_and_ticks_1400(visit, auditor):
    at = _part(visit, "amount")
    assert "about a minute" in at.info[0].value
    at = _ready(at.button(key="gap.curve").click().run())
    table = auditor.studio.table("toy")
    curve = auditor.curve(table, "kind", "group")
    best = curve.least_gap()
    count = at.main.number_input[0]
    assert count.value == best.count and at.button(key="gap.least").disabled
    at = _ready(count.set_value(1400).run())
    assert _metric(at, "Accuracy") == page_words.percent(curve.at(1500).estimate("test_accuracy").mean)
    assert _metric(at, "Gap") == page_words.percent(curve.at(1500).estimate("test_gap").mean)
    assert _says(at, "As measured on test faces with 1,500 excluded, the nearest measured point.")
    assert _says(at, f"are of {curve.test_faces} test faces, which took no part in the choice.")
    assert best.count or _says(at, "**No amount closes it cheaply:**")
    at = _ready(at.button(key="gap.tick_line").click().run())
    assert _ticked(at) == set(auditor.suggest(table, "kind", "group").ranking[:1400])
    tick = at.button(key="gap.tick_line")
    assert tick.label == "Tick these 1,400 channels" and tick.disabled
    at = _ready(at.main.number_input[0].set_value(0).run())
    assert at.button(key="gap.tick_line").label == "Tick none"
    if best.count:
        at = _ready(at.button(key="gap.least").click().run())
        assert at.main.number_input[0].value == best.count


def test_the_answer_names_the_cheap_count_and_what_it_reaches_on_test_faces():
    points = ((0, CurveTrial(0, 0.9, 0.3, 0.88, 0.31)), (500, CurveTrial(0, 0.895, 0.1, 0.87, 0.12)))
    curve = ExclusionCurve(tuple(CurvePoint(count, (trial,)) for count, trial in points), (100, 50), "by hand")
    reached = f"and accuracy changes by {page_words.points(-0.01)}, on test faces."
    assert f"**Without 500 channels the gap goes from 31.0 to 12.0 points**, {reached}" in how_much.answer(curve)


def test_3_seeds_are_another_curve_with_intervals(visit, auditor):
    at = _part(visit, "amount")
    at = _ready(app.held(at.selectbox, "gap.seeds").set_value(3).run())
    assert "about 3 minutes" in at.info[0].value
    at = _ready(at.button(key="gap.curve").click().run())
    curve = auditor.curve(auditor.studio.table("toy"), "kind", "group", seeds=range(3))
    value = curve.points[0].estimate("test_accuracy")
    at = _ready(at.main.number_input[0].set_value(0).run())
    (metric,) = [one for one in at.main.metric if one.label == "Accuracy"]
    assert f"{page_words.percent(value.low)} to {page_words.percent(value.high)}" in metric.proto.help


def test_a_cancelled_curve_can_be_computed_again(visit, monkeypatch):
    def waiting(*args, cancelled, **options):
        while not cancelled():
            time.sleep(0.02)
        raise Cancelled("The curve was stopped; nothing was changed.")

    monkeypatch.setattr(Auditor, "curve", waiting)
    at = app.held(_part(visit, "amount").selectbox, "gap.seeds").set_value(5).run()
    at = at.button(key="gap.curve").click().run()
    at = at.button(key="gap-curve-cancel").click().run()
    at = _ready(at)
    assert _says(at, "It was cancelled") and at.button(key="gap.curve")


def test_a_failure_is_told_in_its_sentence_and_can_be_tried_again(visit, monkeypatch):
    def failing(*args, **options):
        raise Img2TabError("A curve needs a count, got none. Choose one.")

    monkeypatch.setattr(Auditor, "curve", failing)
    at = app.held(_part(visit, "amount").selectbox, "gap.seeds").set_value(5).run()
    at = _waited(at.button(key="gap.curve").click().run())
    assert [one.value for one in at.error] == ["A curve needs a count, got none. Choose one."]
    assert at.button(key="gap.curve")


def test_where_the_groups_cannot_be_compared_it_is_tried_again_by_a_click(corner, monkeypatch):
    def failing(*args, **options):
        raise ValueError("no such thing")

    carried = Auditor.carried
    monkeypatch.setattr(Auditor, "carried", failing)
    audit_state.carry_again("rare")
    at = _waited(corner.selectbox(key="gap.sensitive.kind").set_value("rare").run())
    assert [one.value for one in at.error] == ["It stopped: ValueError: no such thing"]
    monkeypatch.setattr(Auditor, "carried", carried)
    at = _ready(at.button(key="gap.again").click().run())
    assert any(one.value == "Deepest in the corner" for one in at.header)


def test_the_browser_is_told_every_point_with_its_interval_and_one_seed_has_none():
    told = drag_line.scene(CURVE, 10, of="toy", turn=2, colours=("blue", "orange"))
    accuracy, gap = told["lines"]
    assert told["counts"] == [0, 10, 500] and (told["count"], told["turn"]) == (10, 2)
    assert [one["mean"] for one in accuracy["points"]] == pytest.approx([0.81, 0.83, 0.85])
    assert gap["points"][0]["mean"] == pytest.approx(0.32)
    assert gap["points"][0]["low"] < 0.3 and gap["points"][0]["high"] > 0.34
    assert accuracy["shape"] != gap["shape"] and "10 channels excluded: accuracy 83.0" in accuracy["points"][1]["title"]
    (one, _, _) = drag_line.scene(ONE_SEED, 0, of="toy", turn=0, colours=("blue", "orange"))["lines"][0]["points"]
    assert one["low"] == one["mean"] == one["high"] == 0.8 and one["title"].endswith(
        "accuracy 80.0\N{NO-BREAK SPACE}%, validation faces"
    )


def test_what_a_browser_reports_is_a_count_of_this_curve_or_nothing():
    def answer(said):
        return drag_line.answer(said, "toy", CURVE)

    assert answer({"of": "toy", "count": 255, "turn": 1}) == 255
    assert [answer({"of": "toy", "count": count}) for count in (-3, 9999)] == [0, 500]
    for said in (
        None,
        7,
        {"of": "other", "count": 10},
        {"of": "toy"},
        {"of": "toy", "count": True},
        {"of": "toy", "count": "10"},
        {"of": "toy", "count": 1.5},
    ):
        assert answer(said) is None


# ---- what takes its place


def test_before_an_exclusion_nothing_stands_in_and_the_auditor_says_what_can_be_read(visit, auditor, first):
    at = _part(visit, "instead")
    assert _says(at, auditor.readable(first, "group").sentence)
    assert "excludes nothing" in at.info[0].value


def test_after_an_exclusion_the_twin_of_channel_9_is_the_closest_and_its_family_is_excluded_by_1_tick(
    after, auditor, first, second
):
    at = _part(after, "instead")
    assert all(_says(at, auditor.readable(run, "group").sentence) for run in (first, second))
    links = auditor.stand_ins(second)
    shown = at.dataframe[0].value
    assert (links[0].index, links[0].partner) == (TWIN, CARRIER) and len(shown) == len(links) == 10
    assert shown.iloc[0].tolist()[:3] == [
        "Layer 0 · channel 10",
        "Layer 0 · channel 9",
        page_words.signed(links[0].correlation, 2),
    ]
    (box,) = [one for one in at.checkbox if one.label.startswith("All 2 around")]
    assert not box.value and _says(at, "1 of 2 channels excluded now")
    at = _ready(at.checkbox(key=box.key).check().run())
    assert _ticked(at) == {CARRIER, TWIN}


# ---- what if it alone changes


def test_moved_faces_flip_as_often_as_the_auditor_counts(visit, auditor, first):
    at = _part(visit, "move")
    found = auditor.intervene(first, "group", strength=1.5).of(1, 0)
    told = f"{found.flips:,} of {found.faces:,} decisions flip, {page_words.percent(found.share)}"
    assert _says(at, f"{page_words.percent(found.share)} of the left faces, ")  # in the first sentence
    assert _says(at, "**Left faces moved towards right:** " + told)
    assert _says(at, "1,500 channels moved")


def test_a_farther_move_and_another_concept_are_asked_of_the_auditor(visit, auditor, first):
    visit.session_state["visit.concept"] = CARRIER
    at = _part(visit, "move")
    assert [one.split(" (")[0] for one in app.held(at.selectbox, "gap.move").options] == [
        "The 1,500 channels that carry it most",
        "Layer 0 · channel 9",
        "Family of Layer 0 · channel 9",
    ]
    at = _ready(app.held(at.selectbox, "gap.move").set_value("family").run())
    at = _ready(app.held(at.slider, "gap.strength").set_value(2.5).run())
    found = auditor.intervene(first, "group", channels=(CARRIER, TWIN), strength=2.5).of(0, 1)
    assert _says(at, f"**Right faces moved towards left:** {found.flips:,} of {found.faces:,} decisions flip")
    assert _says(at, "2 channels moved")
    at.session_state["visit.concept"] = GIVEN  # a family of one: the choice is no longer there
    at = _ready(at.run())
    assert app.held(at.selectbox, "gap.move").value == "all" and len(app.held(at.selectbox, "gap.move").options) == 2


def test_the_first_12_to_flip_are_shown_in_the_direction_asked_for(visit, auditor, first):
    at = _part(visit, "move")
    found = auditor.intervene(first, "group", strength=1.5)
    for towards in (1, 0):
        at = _ready(app.held(at.button_group, "gap.towards").set_value(towards).run())
        flips = found.first[towards]
        assert _says(at, f"**The {len(flips)} that flip first**") and len(flips) > 1
        assert sum(" → **" in one.value for one in at.markdown) == len(flips)


@pytest.mark.slow
def test_1_face_is_checked_on_its_picture_with_the_sentence_of_the_auditor(visit, auditor, first):
    at = _part(visit, "move")
    at = _ready(at.button(key="gap.check").click().run())
    found = auditor.checked(first, auditor.intervene(first, "group", strength=1.5), towards=1, count=1)
    assert _says(at, found.sentence) and _says(at, "of 1 decisions about the pictures flip")


def test_where_all_that_is_moved_is_excluded_nothing_can_flip_and_the_check_is_offered(after):
    after.session_state["visit.concept"] = CARRIER
    at = _part(after, "move")
    at = _ready(app.held(at.selectbox, "gap.move").set_value("channel").run())
    assert any("does not look at the channel moved here" in one.value for one in at.info)
    assert at.button(key="gap.check") and not _says(at, "flip first**")


# ---- what else helps


def test_the_table_of_remedies_marks_ours_and_has_the_numbers_of_the_auditor(after, auditor, second):
    at = _part(after, "else")
    at = _ready(at.button(key="gap.remedies").click().run())
    found = auditor.remedies(second, "group")
    shown = at.dataframe[0].value
    assert shown["remedy"].tolist() == ["Nothing", "Reweighing", "★ Ours: this exclusion"]
    assert shown["gap"].tolist() == [one.estimate("equalised_odds").text(100, 1) for one in found.outcomes]
    assert shown["accuracy"].tolist() == [one.estimate("accuracy").text(100, 1) for one in found.outcomes]
    nothing, ours = (found.outcomes[at].estimate("equalised_odds").mean for at in (0, 2))
    assert shown["closed"].tolist()[::2] == ["", page_words.signed(100 * (1 - ours / nothing), 0).removeprefix("+")]
    assert _says(at, "This run excludes ")


def test_a_run_that_excludes_nothing_has_no_row_of_ours_and_says_so(visit):
    at = _part(visit, "else")
    assert "none of the rows would be ours" in at.info[0].value
    at = _ready(at.button(key="gap.remedies").click().run())
    assert at.dataframe[0].value["remedy"].tolist() == ["Nothing", "Reweighing"]


# ---- the line, dragged by hand


@pytest.mark.browser
def test_the_line_is_dragged_with_the_mouse_and_moved_with_the_keys_and_the_page_follows(home, first, tmp_path):
    if browser.chromium() is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    from playwright.sync_api import expect

    with browser.dashboard(home, small=True) as address, browser.page(address) as page:
        page.get_by_role("link", name="Behind the gap").click()
        page.get_by_text("What if it alone changes?", exact=True).wait_for()
        browser.settle(page)
        page.get_by_test_id("stMain").get_by_text("How much must go?", exact=True).click()
        page.get_by_role("button", name="Compute the curve").click()
        line = page.get_by_role("slider", name=drag_line.LABEL)
        line.wait_for()
        browser.settle(page)
        field, typed = line.bounding_box(), page.get_by_role("spinbutton")
        before = typed.input_value()
        page.mouse.move(field["x"] + field["width"] - 60, field["y"] + 150)
        page.mouse.down()
        for share in (0.8, 0.6, 0.5):
            page.mouse.move(field["x"] + share * field["width"], field["y"] + 160)
        dragged = line.get_attribute("aria-valuenow")
        assert typed.input_value() == before  # nothing is reported before it is let go
        page.mouse.up()
        expect(typed).to_have_value(dragged)
        assert 500 < int(dragged) < 4500
        page.get_by_role("button", name=f"Tick these {int(dragged):,}").wait_for()
        line.focus()
        page.keyboard.press("End")
        expect(typed).to_have_value("6500")
        page.keyboard.press("PageDown")
        expect(typed).to_have_value("6250")
        typed.fill("10")
        page.keyboard.press("Enter")
        browser.settle(page)
        assert line.get_attribute("aria-valuenow") == "10"  # and the line follows what is typed

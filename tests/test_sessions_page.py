"""The Sessions page: an audit that is begun, kept, branched, compared, shared, repeated and handed over."""

from __future__ import annotations

import json
import shutil
import time

import pytest
from streamlit.testing.v1 import AppTest

from dashboard.state import doors
from img2tab_core.base import files
from tests import app
from tests.test_audit_page import home  # noqa: F401 - the fixture: a toy table of 900 faces

pytestmark = pytest.mark.usefixtures("small_pictures")

PAGE = "views/sessions.py"


@pytest.fixture
def visit(home):  # noqa: F811
    """A visitor on the page, in a folder without sessions."""
    for file in home.glob("sessions.db*"):
        file.unlink()
    doors.session_runs.clear()
    return _page(app.opened().run(), PAGE)


def _page(at: AppTest, page: str) -> AppTest:
    return _ready(_ready(at).switch_page(page).run())


def _ready(at: AppTest) -> AppTest:
    while app.opening(at) or ("visit.job" in at.session_state and at.session_state["visit.job"].state == "running"):
        time.sleep(0.3)
        at.run()
    if "visit.job" in at.session_state:
        at.run()
    assert not at.exception, at.exception[0].value
    return at


def _begin(at: AppTest, name: str = "Kinds") -> AppTest:
    at.text_input(key="sessions.name").set_value(name)
    at.text_input(key="sessions.owner").set_value("Ada")
    at.text_area(key="sessions.notes").set_value("Are the groups treated alike?")
    return _ready(next(one for one in at.button if one.label == "Begin").click().run())


def _retrain(at: AppTest, why: str) -> AppTest:
    """Exclude concept 9 in addition to what is ticked, with a reason."""
    at = _page(at, "views/exclude.py")
    at.text_input(key="exclude.add").set_value("9")
    at = _ready(next(one for one in at.button if one.label == "Add").click().run())
    at = _ready(at.text_area(key="exclude.why").set_value(why).run())
    return _ready(at.button(key="exclude.train").click().run())


def _said(at: AppTest) -> str:
    return "\n".join(one.value for kind in (at.markdown, at.caption, at.header, at.success) for one in kind)


def test_without_sessions_the_page_says_so_and_a_begun_one_has_1_run_and_the_question(visit):
    assert any("None yet" in one.value for one in visit.caption)
    at = _begin(visit)
    door = doors.session_runs().sessions
    (session,) = door.list()
    assert (session.name, session.owner, session.sensitive, session.current) == ("Kinds", "Ada", ("group",), 1)
    assert app.held(at.text_area, f"sessions.notes.{session.id}").value == "Are the groups treated alike?"
    (run,) = door.runs(session)
    assert run.metrics["equalised_odds"] > 0.2  # the label follows the group
    gap = f"{100 * run.metrics['equalised_odds']:.1f} points"
    assert any(one.value == f"Gap {gap}" for one in at.markdown)
    assert f"The gap is {gap} at" in _said(at)  # answered first
    assert any("The gaps cannot be told: only " in one.value for one in at.warning)  # of 90 test faces
    assert app.held(at.selectbox, "frame.target").disabled


def test_the_report_is_written_in_the_background_and_offered_as_1_file(visit):
    at = _begin(visit)
    at = _ready(at.button(key="sessions.write").click().run())
    (job,) = at.session_state["visit.asked"].values()
    assert job.wait(300) and job.state == "done", job.error
    at = _ready(at.run())
    assert at.get("download_button")[0].label == "Download report"
    page = job.result.decode()
    assert page.count("<html") == 1 and "Are the groups treated alike?" in page


def test_a_name_that_is_taken_and_an_empty_one_are_1_sentence_each(visit):
    at = _begin(visit)
    at = _ready(at.button(key="frame.close").click().run())
    at = _begin(at)
    assert [one.value for one in at.error] == ["There is already a session named 'Kinds'. Choose another name."]
    at.multiselect(key="sessions.sensitive.kind.group").set_value([])
    at = _begin(at, name=" ")
    assert [error.value for error in at.error] == [
        "Give the session a name.",
        "Choose the attribute whose classes are the groups.",
    ]


def test_a_retrain_in_a_session_is_a_child_with_its_reason_and_going_back_branches(visit):
    at = _retrain(_begin(visit), "Channel 9 *is* the group.")
    door = doors.session_runs().sessions
    session = door.open("Kinds")
    first, second = door.runs(session)
    assert (second.parent, second.excluded, second.note) == (first.id, (9,), "Channel 9 *is* the group.")
    assert session.current == 2
    assert at.text_area(key="exclude.why").value == ""  # a reason is that of one run
    at = _page(at, PAGE)
    assert "Channel 9 \\*is\\* the group." in _said(at)  # shown as typed
    at = _ready(at.button(key="sessions.restore.1").click().run())
    assert door.open("Kinds").current == 1
    at = _page(at, "views/exclude.py")
    at.text_input(key="exclude.add").set_value("5")
    at = _ready(next(one for one in at.button if one.label == "Add").click().run())
    at = _ready(at.button(key="exclude.train").click().run())
    third = door.run(session, 3)
    assert third.parent == first.id and 5 in third.excluded
    assert at.session_state["visit.session"].current.number == 3


def test_2_runs_stand_side_by_side_and_5_seeds_say_whether_it_is_real_and_stay_in_the_log(visit):
    at = _page(_retrain(_begin(visit), "why"), PAGE)
    frame = next(one.value for one in at.dataframe if "Run 1" in one.value.columns)
    assert frame.set_index("").loc["Does without"].tolist() == ["excludes nothing", "excludes 1 channel"]
    assert any("Only run 2 excludes 1 channel: Layer 0 · channel 9." in one.value for one in at.caption)
    first, second = (run for run in at.session_state["visit.session"].models.values())
    assert doors.auditor().compare_runs(first, second).sentence in _said(at)
    at = _ready(at.button(key="sessions.repeat").click().run())
    (job,) = at.session_state["visit.repeating"].values()
    assert job.wait(300) and job.state == "done"
    sentence = job.result["equalised_odds"].sentence
    fresh = app.opened().run()  # tomorrow, another visit
    fresh = _page(fresh, PAGE)
    session = doors.session_runs().sessions.open("Kinds")
    fresh = _ready(fresh.button(key=f"sessions.open.{session.id}").click().run())
    assert sentence in _said(fresh)
    assert fresh.session_state["visit.session"].current.number == 2


def test_a_shared_list_ticks_1_concept_and_repeats_to_the_very_same_model(visit):
    at = _page(_retrain(_begin(visit), "why"), PAGE)
    door = doors.session_runs().sessions
    session = door.open("Kinds")
    from img2tab_core.sessions.shared_exclusions import exclusions_json

    content = json.dumps(exclusions_json(session, door.run(session, 2))).encode()
    at = _ready(at.button(key="frame.close").click().run())
    at = _begin(at, name="Again")
    at = _ready(at.file_uploader(key="sessions.shared").upload("list.json", content, "application/json").run())
    at = _ready(at.button(key="sessions.shared.tick").click().run())
    assert at.session_state["visit.ticked"]["toy", "kind"] == frozenset({9})
    at = _ready(at.button(key="sessions.shared.repeat").click().run())
    assert any("Run 2 is the very model this list came from" in one.value for one in at.success)
    other = door.open("Again")
    assert door.run(other, 2).run_id == door.run(session, 2).run_id


def test_a_list_that_is_no_list_is_1_sentence(visit):
    at = _begin(visit)
    at = _ready(at.file_uploader(key="sessions.shared").upload("list.json", b"[]", "application/json").run())
    assert "must be one JSON object" in at.error[0].value


def test_a_run_whose_model_is_gone_says_so_and_is_trained_again_to_the_same_id(visit, home):  # noqa: F811
    at = _page(_retrain(_begin(visit), "why"), PAGE)
    door = doors.session_runs().sessions
    run = door.run(door.open("Kinds"), 2)
    folder = files.home() / "runs" / run.run_id
    shutil.rmtree(folder)
    doors.session_runs.clear()  # another process
    at = _page(app.opened().run(), PAGE)
    at = _ready(at.button(key=f"sessions.open.{door.open('Kinds').id}").click().run())
    at = _ready(at.button(key="sessions.again.2").click().run())
    assert (folder / "run.json").is_file()
    assert at.button(key="sessions.restore.2").label == "Current"


def test_notes_a_new_name_and_deleting_reach_the_database_and_the_log(visit):
    at = _begin(visit)
    door = doors.session_runs().sessions
    session = door.open("Kinds")
    at = _ready(app.held(at.text_area, f"sessions.notes.{session.id}").set_value("No.").run())
    at.text_input(key="sessions.rename.name").set_value("Groups")
    at = _ready(next(one for one in at.button if one.label == "Rename").click().run())
    assert door.open("Groups").notes == "No."
    assert any("Groups" in one.value for one in at.header)
    at = _ready(at.checkbox(key="sessions.delete.sure").check().run())
    at = _ready(at.button(key="sessions.delete").click().run())
    assert door.list() == () and "visit.session" not in at.session_state
    assert [one.what for one in door.log(session)] == [
        "created",
        "run started",
        "run done",
        "notes",
        "renamed",
        "deleted",
    ]


def test_a_session_deleted_elsewhere_is_closed_with_1_sentence_and_the_page_goes_on(visit):
    at = _begin(visit)
    door = doors.session_runs().sessions
    door.delete(door.open("Kinds"))
    at = _ready(at.run())
    assert at.error[0].value.startswith("The session 'Kinds' was closed:")
    assert any(one.value == "Begin a session" for one in at.header)


def test_a_session_begins_with_the_attributes_that_the_audit_page_has_open(visit):
    at = _page(visit, "views/audit.py")
    at = _ready(app.held(at.multiselect, "audit.sensitive.kind").set_value(["rare", "group"]).run())
    at = _begin(_page(at, PAGE))
    assert doors.session_runs().sessions.open("Kinds").sensitive == ("rare", "group")


def test_what_was_trained_before_is_kept_as_an_audit_of_2_runs_by_a_name_and_a_click(visit):
    at = _page(visit, "views/exclude.py")
    assert not [field for field in at.text_input if field.key == "keep_as_audit.name"]  # nothing is retrained yet
    at = _tick_9_and_train(at)
    at = _ready(_begin_kept(at, name="", owner=""))
    assert "A session's name must be one line of text" in at.error[0].value
    at = _ready(_begin_kept(at, name="Kept", owner="Ada"))
    door = doors.session_runs().sessions
    session = door.open("Kept")
    first, second = door.runs(session)
    assert (first.excluded, second.excluded, second.parent, second.note) == ((), (9,), first.id, "9 is the group.")
    assert second.metrics["equalised_odds"] != first.metrics["equalised_odds"] and session.current == 2
    assert [entry.what for entry in door.log(session)][-2:] == [
        "taken in, trained before the session was begun",
        "run done",
    ]
    assert at.session_state["visit.session"].current.number == 2  # and it is open
    assert not [field for field in at.text_input if field.key == "keep_as_audit.name"]
    at = _page(at, PAGE)
    before, after = (f"{100 * run.metrics['equalised_odds']:.1f}" for run in (first, second))
    assert f"The gap went from {before} points (run 1) to {after} (run 2, which excludes 1 channel)" in _said(at)


def _tick_9_and_train(at: AppTest) -> AppTest:
    at.text_input(key="exclude.add").set_value("9")
    at = _ready(next(one for one in at.button if one.label == "Add").click().run())
    train = next(button for button in at.button if button.key in ("exclude.train", "exclude.back"))  # it may be kept
    return _ready(train.click().run())


def _begin_kept(at: AppTest, name: str, owner: str) -> AppTest:
    at.text_input(key="keep_as_audit.name").set_value(name)
    at.text_input(key="keep_as_audit.owner").set_value(owner)
    at.text_input(key="keep_as_audit.why").set_value("9 is the group.")
    return next(button for button in at.button if button.label == "Begin the session").click().run()


def test_a_scenario_is_added_held_against_the_gap_changed_and_removed_and_a_mistake_loses_nothing(visit):
    at = _begin(visit)
    door = doors.session_runs().sessions
    (session,) = door.list()
    key = f"record.add.{session.id}.0.1"
    at.text_input(key=f"{key}.group").set_value("group b")
    at = _ready(_submit(at, "Add").click().run())
    assert any("The harm must be said" in one.value for one in at.error) and not door.scenarios(session)
    assert at.text_input(key=f"{key}.group").value == "group b"
    at.text_area(key=f"{key}.harm").set_value("not shown the *offer*")
    at.selectbox(key=f"{key}.measure").set_value("demographic_parity")
    at.number_input(key=f"{key}.points").set_value(1.5)
    at = _ready(_submit(at, "Add").click().run())
    (recorded,) = door.scenarios(session)
    assert (recorded.scenario.largest, recorded.who, recorded.scenario.review) == (0.015, "Ada", None)
    assert "Not shown the \\*offer\\*" in _said(at) and ":red-badge[Above]" in _said(at)  # the label follows the group
    changing = f"record.change.{session.id}.1"
    at.number_input(key=f"{changing}.points").set_value(99.0)
    at = _ready(_submit(at, "Keep it").click().run())
    assert ":green-badge[Within]" in _said(at) and "at most 99 points." in _said(at)
    at = _ready(at.button(key=f"{changing}.remove").click().run())
    assert not door.scenarios(session) and "Nobody has said it yet" in _said(at)
    assert [entry.what for entry in door.log(session)][-3:] == [
        "recorded a scenario",
        "changed a scenario",
        "removed a scenario",
    ]


def test_5_answers_lead_to_a_metric_with_its_value_in_the_current_run(visit):
    at = _begin(visit)
    door = doors.session_runs().sessions
    (session,) = door.list()
    answers = {"labels": "yes", "class": "helps", "rates": "yes", "errors": "missed"}
    for name, answer in answers.items():
        at.radio(key=f"metric.{session.id}.{name}").set_value(answer)
    at = _ready(_submit(at, "Choose the metric").click().run())
    assert any("Question 5 without an answer" in one.value for one in at.error)
    at.radio(key=f"metric.{session.id}.used").set_value("decisions")
    at = _ready(_submit(at, "Choose the metric").click().run())
    assert door.open(session.id).metric_choice["metric"] == "equal_opportunity"
    assert "In run 1: Cannot be told: only " in _said(at)  # of 90 test faces
    at.radio(key=f"metric.{session.id}.rates").set_value("no")
    at = _ready(_submit(at, "Choose the metric").click().run())
    gap = 100 * door.runs(session)[0].metrics["demographic_parity"]
    assert f"In run 1: {gap:.1f}\N{NO-BREAK SPACE}points (95\N{NO-BREAK SPACE}% interval" in _said(at)


def _submit(at: AppTest, label: str):
    return next(one for one in at.button if one.label == label)

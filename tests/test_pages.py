"""Every page, driven as a person would, on the real studio, the real table and real photos."""

from __future__ import annotations

import io
import json
import os
import shutil
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import streamlit as st
from PIL import Image
from streamlit.testing.v1 import AppTest

from dashboard.components import page_words, scrub
from dashboard.state import faces as face_state
from dashboard.state import visit as state
from img2tab_core import studio as service
from img2tab_core.base import files as weights
from img2tab_core.base.records import DEFAULT_BACKBONE, Edit
from img2tab_core.classifiers.trainer import Trainer
from img2tab_core.concepts.description import because, leading, parts_of
from img2tab_core.studio import Studio
from img2tab_core.weights import store
from tests import app
from tests.test_photos import bilevel_png

pytestmark = pytest.mark.usefixtures("small_pictures")

CONCEPTS, EXCLUDE, INSPECT = "views/concepts.py", "views/exclude.py", "views/inspect.py"


@pytest.fixture(scope="module")
def home(studio, tmp_path_factory):
    """A visitor's data of these tests alone: the real table, a copy of the standing runs, no names."""
    real, own = weights.home(), tmp_path_factory.mktemp("home")
    for name in ("tables", "quantized"):  # style codes are quantized once for all tests
        (real / name).mkdir(exist_ok=True)
        (own / name).symlink_to(real / name)
    for about in (real / "runs").glob("*/run.json"):
        if not _excluded(about):
            shutil.copytree(about.parent, own / "runs" / about.parent.name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IMG2TAB_HOME", str(own))
        _forget()
        yield own
    _forget()


@pytest.fixture
def visit(home):
    """A visitor who has just opened the dashboard, once the first classifier is there, and the first to retrain."""
    for about in (home / "runs").glob("*/run.json"):
        if _excluded(about):
            shutil.rmtree(about.parent)
    return _visit()


def _excluded(about: Path) -> list[int]:
    return json.loads(about.read_text())["excluded"]


def _visit() -> AppTest:
    return app.begun()


def _forget():
    st.cache_data.clear()
    st.cache_resource.clear()


def _go(at: AppTest, page: str) -> AppTest:
    return app.ready(at.switch_page(page).run())


def _sample(at: AppTest, number: int) -> AppTest:
    return app.well(at.button(key=f"sample-{number}").click().run())


def _upload(at: AppTest, *files: tuple[str, bytes]) -> AppTest:
    at.button_group(key="inspect.source").set_value("Upload").run()
    return app.well(
        at.file_uploader(key="inspect.upload").set_value([(name, data, "image/jpeg") for name, data in files]).run()
    )


def _metric(at: AppTest, ending: str) -> str:
    """A number by the end of its label: what the scrubber was given, or a metric of the page."""
    shown = {one.label: one.value for one in at.metric}
    for one in at.get("bidi_component"):
        if one.proto.component_name == "img2tab_scrub":
            head, _ = scrub.unpack(one.proto.bytes)
            shown |= {
                head["text"]["before"]: page_words.chance(head["before_share"]),
                head["text"]["after"]: page_words.chance(head["share"]),
            }
    return next(value for label, value in shown.items() if label.endswith(ending))


def _errors(at: AppTest) -> list[str]:
    return [one.value for one in at.error]


def _photos(at: AppTest) -> list[str]:
    return [each.label for each in at.button if each.key and each.key.startswith("photo-")]


def _shift(at: AppTest):
    return next(one for one in at.number_input if one.label.startswith("Move by"))


def _jpeg(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=92)
    return file.getvalue()


def _portrait(shared_photos, name="003f.jpg") -> bytes:
    return (shared_photos / "canada" / name).read_bytes()


# ---- the frame


@pytest.mark.parametrize(
    ("page", "title"), [(INSPECT, "Inspect"), (CONCEPTS, "Concepts"), (EXCLUDE, "Exclude and retrain")]
)
def test_3_pages_open_with_their_title_and_every_number_is_explained(visit, page, title):
    at = _sample(visit, 0)
    at = _go(at, page)
    assert [one.value for one in at.title] == [title]
    assert at.metric and all(one.proto.help or one.help for one in at.metric)


def test_a_fresh_machine_is_told_the_command_and_shows_no_traceback(home, tmp_path, monkeypatch):
    monkeypatch.setenv("IMG2TAB_HOME", str(tmp_path))
    _forget()
    at = app.well(app.opened().run())
    assert len(_errors(at)) == 1
    assert "`make run`" in _errors(at)[0]
    monkeypatch.undo()
    os.environ["IMG2TAB_HOME"] = str(home)
    _forget()


def test_the_target_chosen_on_1_page_is_the_target_of_all_3(visit):
    at = app.ready(app.held(visit.selectbox, "frame.target").set_value("smiling").run())
    for page in (CONCEPTS, EXCLUDE):
        at = _go(at, page)
        assert app.held(at.selectbox, "frame.target").value == "smiling"


# ---- inspect


def test_a_first_visit_opens_on_the_1_of_12_samples_nearest_to_the_border_with_its_answer(visit):
    assert sum(each.key.startswith("sample-") for each in visit.button if each.key) == 12
    run = state.studio().run(state.table("default"), _target(visit))
    chances = [state.studio().predict(run, state.encode(sample)).probability for sample in face_state.samples()]
    nearest = min(chances, key=lambda chance: abs(chance - 0.5))
    assert _metric(visit, ", before") == page_words.chance(max(nearest, 1 - nearest))
    assert any(each.value.startswith("Judged what a network would see as") for each in visit.markdown)


def test_why_this_decision_moves_1_concept_until_the_decision_turns_or_as_far_as_it_goes(visit):
    at = app.well(visit.button(key="frame.why").click().run())
    (edits,) = at.session_state["visit.edits"].values()
    ((family, shift),) = edits.families
    assert app.held(at.selectbox, "inspect.concept").value == family and _shift(at).value == shift != 0
    studio = state.studio()
    run = studio.run(state.table("default"), _target(at))
    code = state.encode(face_state.samples()[face_state.nearest_the_border(run)])
    before = studio.predict(run, code)
    now = studio.predict(run, code, studio.description(DEFAULT_BACKBONE).find(family).edits(shift)).probability
    assert (now > 0.5) != (before.probability > 0.5) or abs(shift) > 3
    assert (now < before.probability) if before.decided else (now > before.probability)


def test_a_sample_shows_the_probability_of_the_likelier_class(visit):
    at = _sample(visit, 2)
    run, code = state.studio().run(state.table("default"), _target(at)), state.encode(face_state.samples()[2])
    probability = state.studio().predict(run, code).probability
    assert _metric(at, ", before") == page_words.chance(max(probability, 1 - probability))


def _target(at: AppTest) -> str:
    return app.held(at.selectbox, "frame.target").value


def test_moving_a_concept_by_8_sd_shows_the_probability_the_classifier_gives_and_reset_takes_it_back(visit):
    at = _sample(visit, 1)
    picked = 2839
    at.session_state["visit.concept"] = picked
    at = app.well(at.run())
    at = app.well(_shift(at).set_value(8.0).run())
    studio, code = state.studio(), state.encode(face_state.samples()[1])
    run = studio.run(state.table("default"), _target(at))
    was, now = studio.predict(run, code).probability, studio.predict(run, code, [Edit(picked, 8.0)]).probability
    assert _metric(at, ", after") == page_words.chance(now if was >= 0.5 else 1 - now)
    assert at.button(key=f"inspect.chip.{picked}").label.endswith(page_words.deviations(8.0))
    at = app.well(at.button(key="inspect.reset").click().run())
    assert _metric(at, ", after") == _metric(at, ", before")
    assert _shift(at).value == 0.0


def test_moving_a_family_by_4_moves_its_channels_and_the_bars_name_it_first_and_add_up(visit, families):
    at = _sample(visit, 1)
    picked = app.held(at.selectbox, "inspect.concept").value
    family = families.find(picked)
    studio, code = state.studio(), state.encode(face_state.samples()[1])
    run = studio.run(state.table("default"), _target(at))
    before = studio.predict(run, code)
    parts, rest = parts_of(families, before.contributions)
    assert families.families[parts[0].number] is family
    assert any(because(families, parts, before.decided)[:30] in one.value.replace("\\", "") for one in at.markdown)
    drawn, others = leading(parts, rest)
    assert sum(part.total for part in drawn) + others == pytest.approx(before.contributions.sum())
    at = app.well(_shift(at).set_value(4.0).run())
    now = studio.predict(run, code, family.edits(4.0)).probability
    assert _metric(at, ", after") == page_words.chance(now if before.probability >= 0.5 else 1 - now)
    assert at.button(key=f"inspect.chip.{picked}").label.startswith(family.name)


def test_2_edits_are_kept_as_2_chips_and_a_click_takes_1_back(visit):
    at = _sample(visit, 1)
    second = app.held(at.selectbox, "inspect.concept").options[1]
    at = app.well(_shift(at).set_value(8.0).run())
    at = app.well(app.held(at.selectbox, "inspect.concept").select(second).run())
    at = app.well(_shift(at).set_value(-8.0).run())
    chips = [one for one in at.button if one.key and one.key.startswith("inspect.chip.")]
    assert [one.label.split("\N{NO-BREAK SPACE}")[0][-4:] for one in chips] == ["+8.0", "\N{MINUS SIGN}8.0"]
    at = app.well(chips[0].click().run())
    assert sum(bool(one.key and one.key.startswith("inspect.chip.")) for one in at.button) == 1


def test_a_face_a_concept_and_an_edit_survive_2_page_changes(visit):
    at = _sample(visit, 3)
    at = app.well(_shift(at).set_value(6.0).run())
    picked, before = app.held(at.selectbox, "inspect.concept").value, _metric(at, ", before")
    at = _go(_go(at, CONCEPTS), INSPECT)
    assert app.held(at.selectbox, "inspect.concept").value == picked
    assert _shift(at).value == 6.0
    assert _metric(at, ", before") == before


def test_the_family_moves_the_probability_further_than_1_concept_at_1_sd(visit):
    at = _sample(visit, 4)
    studio, code = state.studio(), state.encode(face_state.samples()[4])
    run = studio.run(state.table("default"), _target(at))
    was = studio.predict(run, code).probability
    at = app.well(app.held(at.toggle, "inspect.family").set_value(True).run())
    strength = -3.0 if was >= 0.5 else 3.0
    at = app.well(app.held(at.slider, "inspect.strength").set_value(strength).run())
    now = studio.predict(run, code, studio.family(run, strength=strength)).probability
    assert _metric(at, ", after") == page_words.chance(now if was >= 0.5 else 1 - now)
    assert abs(now - was) > 0.2


def test_the_family_at_strength_0_is_on_and_moves_nothing(visit):
    at = _sample(visit, 4)
    at = app.well(app.held(at.toggle, "inspect.family").set_value(True).run())
    assert app.held(at.slider, "inspect.strength").value == 1.5
    assert _metric(at, ", after") != _metric(at, ", before")
    at = app.well(app.held(at.slider, "inspect.strength").set_value(0.0).run())
    assert app.held(at.slider, "inspect.strength").value == 0.0
    assert app.held(at.toggle, "inspect.family").value
    assert _metric(at, ", after") == _metric(at, ", before")
    at = app.well(at.button(key="inspect.reset").click().run())
    assert not app.held(at.toggle, "inspect.family").value


def _state(at: AppTest, key: str):
    return at.session_state[key]


def test_a_portrait_is_found_aligned_and_judged(visit, shared_photos):
    at = _upload(visit, ("portrait.jpg", _portrait(shared_photos)))
    assert not _errors(at)
    assert any("portrait.jpg" in one.value for one in at.caption)
    assert _metric(at, ", before").endswith("%")
    face = _state(at, "visit.photos")[0].faces[0]
    word = state.studio().quality(face, state.encode(face)).word
    assert sum(f"{page_words.sentence(word)} likeness" in one.value for one in at.markdown) == 1
    assert any(one.value.startswith("Judged what a network would see as") for one in at.markdown)
    assert any("Calibrated on 379 photos" in one.value for one in at.caption)  # a photo; a sample is not calibrated
    at = app.well(at.button_group(key="inspect.source").set_value("Samples").run())
    assert not any("Calibrated" in one.value for one in _sample(at, 3).caption)


def test_a_bad_upload_is_a_sentence_with_its_name_and_the_face_of_before_stays(visit, shared_photos):
    at = _upload(visit, ("portrait.jpg", _portrait(shared_photos)))
    before = _metric(at, ", before")
    noise = np.random.default_rng(0).integers(0, 255, (300, 300, 3), np.uint8)
    portrait = _portrait(shared_photos)
    for name, data in (
        ("text.jpg", b"not a photo"),
        ("empty.jpg", b""),
        ("cut.jpg", portrait[:2000]),
        ("nobody.jpg", _jpeg(noise)),
    ):
        at = _upload(at, (name, data))
        assert len(_errors(at)) == 1
        assert _errors(at)[0].startswith(f"**{name}**: ")
        assert _metric(at, ", before") == before


def test_a_png_of_30000_x_30000_is_refused_and_the_face_of_before_stays(visit, shared_photos):
    at = _upload(visit, ("portrait.jpg", _portrait(shared_photos)))
    before = _metric(at, ", before")
    bomb = bilevel_png(30_000, 30_000, rows=30_000)
    assert len(bomb) < 200_000
    at = _upload(at, ("bomb.png", bomb))
    assert len(_errors(at)) == 1
    assert _errors(at)[0].startswith("**bomb.png**: ") and "30000 x 30000" in _errors(at)[0]
    assert _metric(at, ", before") == before
    at = app.well(_shift(at).set_value(4.0).run())
    assert at.button(key="inspect.reset").disabled is False


def test_1_good_photo_of_3_is_inspected_and_2_bad_ones_are_listed(visit, shared_photos):
    at = _upload(visit, ("a.jpg", b""), ("b.jpg", _portrait(shared_photos)), ("c.jpg", b"text"))
    assert [one.split("**")[1] for one in _errors(at)] == ["a.jpg", "c.jpg"]
    assert _metric(at, ", before").endswith("%")


def test_of_2_faces_in_a_photo_the_person_chooses(visit, shared_photos):
    both = [
        Image.open(io.BytesIO(_portrait(shared_photos, name))).resize((600, 800)) for name in ("003f.jpg", "008f.jpg")
    ]
    pair = np.hstack([np.asarray(one.convert("RGB")) for one in both])
    at = _upload(visit, ("pair.jpg", _jpeg(pair)))
    assert any("2 faces found in pair.jpg" in one.value for one in at.caption)
    photo = _state(at, "visit.photos")[0]
    at = app.well(at.button(key="face-1").click().run())
    assert _state(at, "visit.face") == {photo.key: 1}
    assert photo.faces[0].key != photo.faces[1].key


def test_of_2_photos_the_second_can_be_chosen(visit, shared_photos):
    at = _upload(visit, ("one.jpg", _portrait(shared_photos)), ("two.jpg", _portrait(shared_photos, "008f.jpg")))
    assert _photos(at) == ["one.jpg", "two.jpg"]
    at = app.well(at.button(key="photo-1").click().run())
    assert any("two.jpg" in one.value for one in at.caption)


def test_of_5_faces_in_a_photo_each_can_be_inspected(visit, shared_photos):
    recorded = pd.read_csv(shared_photos / "congress" / "labels.csv").groupby("gender").head(3).head(5)
    files = [shared_photos / "congress" / name for name in recorded["image"]]  # three of one, two of the other
    row = np.hstack([np.asarray(Image.open(file).convert("RGB").resize((320, 400))) for file in files])
    at = _sample(visit, 0)
    at = _upload(at, ("five.jpg", _jpeg(row)))
    assert not _errors(at)
    assert any("5 faces found in five.jpg" in one.value for one in at.caption)
    shares = set()
    for number in range(5):
        at = app.well(at.button(key=f"face-{number}").click().run())
        shares.add(_metric(at, ", before"))
    assert len(shares) > 1
    assert len({face.key for face in _state(at, "visit.photos")[0].faces}) == 5


def test_2_photos_of_1_name_are_told_apart_as_number_2(visit, shared_photos):
    first, second = _portrait(shared_photos), _portrait(shared_photos, "008f.jpg")
    at = _upload(visit, ("image.jpg", first), ("image.jpg", second))
    assert _photos(at) == ["image.jpg", "image.jpg (2)"]
    before = _metric(at, ", before")
    at = app.well(at.button(key="photo-1").click().run())
    assert any("image.jpg (2)" in one.value for one in at.caption)
    assert _metric(at, ", before") != before
    at = app.well(at.button(key="photo-0").click().run())
    assert _metric(at, ", before") == before


def test_1_file_brought_2_times_is_2_photos_and_the_page_lives(visit, shared_photos):
    at = _upload(visit, ("image.jpg", _portrait(shared_photos)), ("image.jpg", _portrait(shared_photos)))
    assert _photos(at) == ["image.jpg", "image.jpg (2)"]
    at = app.well(at.button(key="photo-1").click().run())
    assert at.session_state["visit.photo"] == 1


def test_a_camera_shot_is_judged_like_an_upload(visit, shared_photos):
    at = app.well(visit.button_group(key="inspect.source").set_value("Camera").run())
    at = app.well(
        at.camera_input(key="inspect.camera").set_value(("shot.jpg", _portrait(shared_photos), "image/jpeg")).run()
    )
    assert not _errors(at)
    assert any("Camera photo" in one.value for one in at.caption)


def test_edits_keep_their_order_and_a_shift_of_0_leaves_1_of_2():
    edits = state.FaceEdits().with_shift(7, 2.0).with_shift(3, -1.0).with_shift(7, 4.0)
    assert edits.single == (Edit(7, 4.0), Edit(3, -1.0))
    assert edits.shift_of(7) == 4.0 and edits.shift_of(9) == 0.0
    assert edits.with_shift(7, 0.0).single == (Edit(3, -1.0),)
    assert not edits.with_shift(7, 0.0).with_shift(3, 0.0)
    assert edits.with_family(0.0).family == 0.0 and edits.with_family(None) == edits


# ---- refining the reconstruction


@pytest.fixture
def refining(visit, monkeypatch):
    """A visitor whose refinements take so many steps; whatever still runs afterwards is stopped."""
    visits = []

    def begin(steps: object) -> AppTest:
        monkeypatch.setenv("IMG2TAB_REFINE_STEPS", str(steps))
        visits.append(visit)
        return visit

    yield begin
    for at in visits:
        for job in at.session_state["visit.refining"].values() if "visit.refining" in at.session_state else ():
            job.cancel()
            assert job.wait(120)


def _refine(at: AppTest, number: int):
    """Click Refine for a sample; the page and the job."""
    at = _sample(at, number)
    at = app.well(at.button(key="inspect.refine").click().run())
    return at, _state(at, "visit.refining")[DEFAULT_BACKBONE, face_state.samples()[number].key]


def _until(job, words_of_it: str) -> None:
    for _ in range(2400):
        if job.text.startswith(words_of_it) or job.state != "running":
            return
        time.sleep(0.05)


def _share_of(code) -> str:
    studio = state.studio()
    probability = studio.predict(studio.run(state.table("default"), "perceived_gender"), code).probability
    return page_words.chance(max(probability, 1 - probability))


def test_a_refined_answer_replaces_the_encoders_with_5_numbers_and_1_switch_back(refining):
    at, job = _refine(refining(3), 3)
    encoded = state.encode(face_state.samples()[3])
    assert _metric(at, ", before") == _share_of(encoded)  # the quick answer stands meanwhile
    picked = app.held(at.selectbox, "inspect.concept").value
    at = app.well(_shift(at).set_value(6.0).run())
    assert job.wait(300)
    at = app.well(at.run())
    _, found = job.result
    assert not _errors(at)
    shown = {one.label: one for one in at.metric}
    assert shown["Identity distance"].value == f"{found.after.identity:.2f}"
    assert shown["Identity distance"].delta == f"was {found.before.identity:.2f}"
    assert found.after.identity < found.before.identity
    assert {"Picture error", "Distance moved", "Known edit"} < set(shown) and all(one.proto.help for one in at.metric)
    assert _metric(at, ", before") == _share_of(encoded)  # a refinement changes what is drawn, not what is judged
    read = next(one for one in at.metric if one.delta == f"judged {_share_of(encoded)}")
    assert read.label.startswith("Perceived") and float(read.value.split("\N{NO-BREAK SPACE}")[0].split()[-1]) > 50
    assert app.held(at.selectbox, "inspect.concept").value == picked and _shift(at).value == 6.0

    answer = next(one for one in at.button_group if one.key.startswith("inspect.answer."))
    at = app.well(answer.set_value("Encoder's answer").run())
    assert _metric(at, ", before") == _share_of(encoded)
    at = _go(_go(at, CONCEPTS), INSPECT)
    assert _metric(at, ", before") == _share_of(encoded) and _shift(at).value == 6.0
    at = _sample(_sample(at, 1), 3)
    answer = next(one for one in at.button_group if one.key.startswith("inspect.answer."))
    at = app.well(answer.set_value("Refined").run())
    assert {"Identity distance", "Known edit"} < {one.label for one in at.metric}
    assert _metric(at, ", before") == _share_of(encoded)


def test_stop_keeps_the_best_answer_so_far_and_a_second_face_waits_for_the_first(refining):
    at, first = _refine(refining(5000), 3)
    _until(first, "Step")
    at, second = _refine(at, 4)
    _until(second, "Waiting")
    assert second.text == "Waiting for 1 other refinement…"
    at = app.well(at.button(key="refine-cancel").click().run())  # the waiting one: there is nothing to keep
    assert second.wait(120)
    at = app.well(at.run())
    assert at.button(key="inspect.refine").label == "Refine" and not _errors(at)

    at = _sample(at, 3)
    at = app.well(at.button(key="refine-cancel").click().run())
    assert first.wait(120)
    at = app.well(at.run())
    assert any("Unfinished: stopped after" in one.value and "of 5000 steps" in one.value for one in at.warning)
    assert any("Refined, unfinished" in one.value for one in at.caption)
    assert at.button(key="inspect.refine").label == "Refine again"
    assert first.result[1].steps > 0


def test_every_photo_is_refined_after_upload_once_it_was_switched_on_and_1_switch_ends_it(refining, shared_photos):
    at = refining(5000)
    at.button_group(key="inspect.source").set_value("Upload").run()
    assert at.toggle(key="inspect.refine_all").value is False
    at = app.well(at.toggle(key="inspect.refine_all").set_value(True).run())
    at = _upload(at, ("one.jpg", _portrait(shared_photos)), ("two.jpg", _portrait(shared_photos, "008f.jpg")))
    faces = [(DEFAULT_BACKBONE, photo.faces[0].key) for photo in _state(at, "visit.photos")]
    jobs = _state(at, "visit.refining")
    assert list(jobs) == faces and _metric(at, ", before")
    at = app.well(at.toggle(key="inspect.refine_all").set_value(False).run())
    assert jobs[faces[1]].wait(120) and jobs[faces[0]].state == "running"  # the face being looked at goes on
    at = app.well(at.button(key="refine-cancel").click().run())
    assert jobs[faces[0]].wait(120)
    at = app.well(at.toggle(key="inspect.refine_all").set_value(True).run())
    assert not _state(at, "visit.refining")  # each once: what was stopped stays stopped


def test_a_refinement_ends_by_itself_when_the_visit_that_wanted_it_is_over(refining):
    at, job = _refine(refining(5000), 3)
    _until(job, "Step")
    del at.session_state["visit.owner"]
    assert job.wait(120) and job.result[1].stopped == "cancelled"


def test_a_refinement_that_fails_is_told_in_a_sentence_and_the_encoders_answer_stands(refining, tmp_path, monkeypatch):
    at = _sample(refining(3), 5)
    before = _metric(at, ", before")
    service._descriptors.clear()
    monkeypatch.setattr(store, "MODELS", tmp_path)  # as if the model files were removed meanwhile
    at = app.well(at.button(key="inspect.refine").click().run())
    while not _errors(at) and _state(at, "visit.refining"):  # it may fail before the page is drawn
        at = app.well(at.run())
    assert "The refinement stopped: The model file" in _errors(at)[0] and "answer stands" in _errors(at)[0]
    assert _metric(at, ", before") == before and at.button(key="inspect.refine").label == "Refine"


def test_2_photos_with_answers_are_checked_on_the_data_page_and_a_file_without_them_is_a_sentence(visit, shared_photos):
    at = app.well(app.ready(app.held(visit.selectbox, "frame.target").set_value("perceived_gender").run()))
    at = _go(at, "views/data.py")
    photos = [(name, _portrait(shared_photos, name), "image/jpeg") for name in ("003f.jpg", "008f.jpg")]
    at.file_uploader(key="data.check.photos").set_value(photos)
    at.file_uploader(key="data.check.labels").set_value(("labels.csv", b"image,team\n003f.jpg,a\n", "text/csv"))
    check = next(one for one in at.button if one.label == "Check")
    at = app.well(check.click().run())
    assert "must have a column perceived" in _errors(at)[0]
    answers = b"image,gender,team\n003f.jpg,F,a\n008f.jpg,F,b\n"
    at.file_uploader(key="data.check.labels").set_value(("labels.csv", answers, "text/csv"))
    at = app.well(next(one for one in at.button if one.label == "Check").click().run())
    job = next(value for key, value in _state(at, "data.check_job").items())
    assert job.wait(120) and job.state == "done"
    at = app.well(at.run())
    right = job.result.as_is.right
    assert any(f"Right about {right} of 2 photos" in one.value for one in at.markdown) and not _errors(at)
    assert any("Few photos" in one.value for one in at.info)
    groups = next(one.value for one in at.dataframe if "Group" in one.value)
    assert groups["Photos"].tolist() == [2, 1, 1]
    assert not any(one.label == "Calibrate on these photos" for one in at.button)  # ten of each class are needed


@pytest.mark.parametrize("steps", ["soon", "0", "-3"])
def test_a_number_of_steps_that_is_none_is_told_in_a_sentence(refining, steps):
    at = _sample(refining(steps), 3)
    assert r"IMG2TAB\_REFINE\_STEPS must be a whole number from 1 to 10,000" in _errors(at)[0]


# ---- the address


def test_a_link_opens_its_target_and_its_concept_and_the_address_follows_what_is_chosen(home, families):
    at = app.opened()
    at.query_params["target"], at.query_params["concept"] = "smiling", families.families[3].id
    at = _sample(app.ready(at.run()), 1)
    assert _target(at) == "smiling" and app.held(at.selectbox, "inspect.concept").value == families.families[3].id
    at = app.ready(app.held(at.selectbox, "frame.target").select("perceived_gender").run())
    assert at.query_params == {
        "target": "perceived_gender",
        "by": "young",
        "concept": families.families[3].id,
        "sample": "2",
    }


def test_each_of_8_wrong_values_in_an_address_is_dropped_with_a_sentence_and_the_page_stands(home):
    at = app.opened()
    wrong = {"target": "nothing", "concept": "99999", "session": "../1", "by": "a,b,c", "sample": "0", "run": "x"}
    wrong |= {"table": "../../x", "backbone": "/etc/passwd"}
    for name, value in wrong.items():
        at.query_params[name] = value
    at = app.well(at.run())
    told = list(_errors(at))
    while app.opening(at):
        at.run()
        told += _errors(at)
    assert len(told) == len(wrong) and all(sentence.startswith("The address ") for sentence in told)
    assert at.query_params["target"] == "perceived_gender" and not set(at.query_params) & {"session", "run"}
    assert at.query_params["sample"] != ["0"]  # but the sample that a first visit opens on


# ---- concepts


@pytest.fixture
def families(studio):
    """The default backbone's families."""
    described = studio.description()
    if described is None:
        pytest.skip("the families that come with the program are of other weights")
    return described


def _channels(visit: AppTest, name: str) -> AppTest:
    """A page, showing channels instead of families."""
    at = _go(visit, name)
    view = [one for one in at.button_group if one.key in ("concepts.view", "exclude.what")]
    return app.well(view[0].set_value("Channels").run()) if view else at


def test_every_family_has_a_card_with_its_verdict_and_a_search_leaves_those_it_names(visit, families):
    at = _go(visit, CONCEPTS)
    ranked = state.families(state.studio().run(state.table("default"), _target(at)))
    tried = [one for one in at.button if one.key and one.key.startswith("concepts.try.")]
    assert len(tried) == 12 and tried[0].key.endswith(ranked[0].family.id)
    moving = sum(row.verdict == "moves it" for row in ranked)
    assert any(one.value.startswith(f"**{moving} of {len(ranked)} concepts move") for one in at.markdown)
    at.text_input(key="concepts.words").set_value("facial hair")
    at = app.well(at.run())
    left = [one.key for one in at.button if one.key and one.key.startswith("concepts.try.")]
    assert left and all(
        "facial hair" in f"{row.family.name} {row.family.sentence}".casefold()
        for row in ranked
        if f"concepts.try.{row.family.id}" in left
    )
    at.text_input(key="concepts.words").set_value("no such thing")
    assert "No concept passes" in app.well(at.run()).info[0].value


def test_a_family_ticked_ticks_its_channels_and_offers_those_that_go_with_it(visit, families):
    at = _go(visit, EXCLUDE)
    box = next(one for one in at.checkbox if one.key and one.key.startswith("exclude.family."))
    family = families.find(box.key.removeprefix("exclude.family."))
    at = app.well(box.check().run())
    assert _state(at, "visit.ticked")
    count = len(family.channels)
    assert at.button(key="exclude.train").label == f"Retrain without {page_words.count(count, 'channel')}"
    assert at.button(key=f"exclude.chip.{family.id}").label == f"{family.name} ({count:,})"
    others = families.stand_ins([one.id for one in families.families].index(family.id))
    if len(others):
        at = app.well(at.button(key="exclude.stand_ins").click().run())
        both = page_words.count(count + len(others), "channel")
        assert at.button(key="exclude.train").label == f"Retrain without {both}"
    at = app.well(at.button(key=f"exclude.chip.{family.id}").click().run())
    assert at.button(key="exclude.train").disabled


def test_all_concepts_are_listed_with_importances_that_add_up_to_100(visit):
    at = _channels(visit, CONCEPTS)
    listed = at.dataframe[0].value
    assert len(listed) == state.table("default").layout.total
    assert listed["importance"].sum() == pytest.approx(100)
    assert listed["rank"].tolist() == sorted(listed["rank"].tolist())


def test_a_layer_filter_leaves_the_512_concepts_of_layer_0(visit):
    at = _channels(visit, CONCEPTS)
    at = app.well(at.multiselect(key="concepts.layers").set_value([0]).run())
    size = state.table("default").layout.sizes[0]
    assert len(at.dataframe[0].value) == size == 512
    at = app.well(at.number_input(key="concepts.distance").set_value(99.0).run())
    assert "No concept passes" in at.info[0].value


def test_a_name_shows_on_all_3_pages_and_an_empty_one_removes_it(visit):
    at = _channels(visit, CONCEPTS)
    picked = int(at.dataframe[0].value["index"].iloc[0])
    at.text_input(key=f"concepts.name.{picked}").set_value("goatee")
    at = app.well(_save_button(at).click().run())
    assert at.header[0].value == "Goatee"
    assert at.dataframe[0].value["name"].iloc[0] == "goatee"
    at = _channels(at, EXCLUDE)
    assert at.checkbox(key=f"exclude.tick.{picked}").label == "1. Goatee"
    at = _sample(_go(at, INSPECT), 0)
    assert "Goatee" in app.held(at.selectbox, "inspect.concept").options
    at = _channels(at, CONCEPTS)
    at.text_input(key="concepts.find").set_value("goat")
    at = app.well(at.run())
    assert at.dataframe[0].value["index"].tolist() == [picked]
    at.text_input(key=f"concepts.name.{picked}").set_value("")
    at = app.well(_save_button(at).click().run())
    assert picked not in state.studio().concept_names(state.table("default").backbone)


def _save_button(at: AppTest):
    return next(one for one in at.button if one.label == "Save name")


# ---- exclude and retrain


def test_nothing_ticked_cannot_be_retrained_and_says_so(visit):
    at = _channels(visit, EXCLUDE)
    assert at.button(key="exclude.train").disabled
    assert any("Tick at least one" in one.value for one in at.caption)


def test_12_concepts_have_a_picture_and_a_check_box(visit):
    at = _channels(visit, EXCLUDE)
    assert sum(bool(one.key and one.key.startswith("exclude.tick.")) for one in at.checkbox) == 12


def test_a_typed_concept_and_the_top_100_are_ticked_and_cleared(visit):
    at = _channels(visit, EXCLUDE)
    at.text_input(key="exclude.add").set_value("0:3")
    at = app.well(next(one for one in at.button if one.label == "Add").click().run())
    assert at.button(key="exclude.train").label == "Retrain without 1 channel"
    at = app.well(next(one for one in at.button if one.label == "Add all").click().run())
    assert at.button(key="exclude.train").label in ("Retrain without 100 channels", "Retrain without 101 channels")
    at.text_input(key="exclude.add").set_value("no such name")
    at = app.well(next(one for one in at.button if one.label == "Add").click().run())
    assert "got “no such name”" in _errors(at)[0]
    at = app.well(at.button(key="exclude.clear").click().run())
    assert at.button(key="exclude.train").label == "Retrain"


@pytest.fixture
def patient(monkeypatch):
    """Trainings that begin only once they are asked to stop: however slow the page is drawn, there is one to cancel."""
    train = Studio.train

    def waiting(self, *args, cancelled=None, **options):
        until = time.monotonic() + 120
        while cancelled is not None and not cancelled() and time.monotonic() < until:
            time.sleep(0.02)
        return train(self, *args, cancelled=cancelled, **options)

    monkeypatch.setattr(Trainer, "train", waiting)


def test_a_cancelled_training_leaves_the_active_run_as_it_was(visit, patient):
    at = _tick_2(_channels(visit, EXCLUDE))
    at = app.well(at.button(key="exclude.train").click().run())
    job = _state(at, "visit.job")
    at = app.well(at.button(key="exclude-cancel").click().run())
    said = [one.value for one in at.info]  # it may have ended before the page was drawn
    assert job.wait(300)
    at = app.well(at.run())
    assert any("cancelled" in value for value in [*said, *(one.value for one in at.info)])
    assert _metric(at, "Accuracy")
    assert at.button(key="exclude.train").label == "Retrain without 2 channels"


def test_retraining_without_2_shows_before_and_after_undo_is_bit_identical_and_the_next_visit_starts_with_run_1(visit):
    at = _sample(visit, 5)
    studio, code = state.studio(), state.encode(face_state.samples()[5])
    first = studio.run(state.table("default"), _target(at))
    contributions = studio.predict(first, code).contributions
    before = _metric(at, ", before")
    at = _tick_2(_channels(at, EXCLUDE))
    ticked = {int(one.key.rsplit(".", 1)[1]) for one in at.button if one.key and one.key.startswith("exclude.chip.")}
    at = app.well(at.button(key="exclude.train").click().run())
    assert _state(at, "visit.job").wait(300)
    at = app.well(at.run())

    (second,) = _state(at, "visit.runs")[("default", _target(at))]
    assert second.excluded == ticked and len(ticked) == 2
    assert studio.scores(second).importance[sorted(ticked)].tolist() == [0.0, 0.0]
    assert any("Before and after: run 1 and run 2" == one.value for one in at.header)
    assert page_words.percent(second.metrics.accuracy) in [one.value for one in at.metric if one.label == "Accuracy"]
    assert any("2 channels excluded" in one.value for one in at.sidebar.caption)

    at = app.well(at.button(key="exclude.undo").click().run())
    assert any("Nothing excluded" in one.value for one in at.sidebar.caption)
    assert not app.held(at.checkbox, f"exclude.tick.{min(ticked)}").value
    again = studio.predict(studio.run(state.table("default"), _target(at)), code).contributions
    assert again.tobytes() == contributions.tobytes()
    at = _go(at, INSPECT)
    assert _metric(at, ", before") == before

    at = _channels(at, EXCLUDE)
    at = app.well(at.button(key=f"exclude.use.{second.id}").click().run())
    assert any("2 channels excluded" in one.value for one in at.sidebar.caption)
    accuracy = _metric(at, "Accuracy")

    at = _channels(_visit(), EXCLUDE)
    assert any("Nothing excluded" in one.value for one in at.sidebar.caption)
    assert any(one.value.startswith("**Run 2**, CatBoost, excludes 2 channels") for one in at.markdown)
    assert not any(one.value.startswith("**Run 3**") for one in at.markdown)
    at = app.well(at.button(key=f"exclude.use.{second.id}").click().run())
    assert any("2 channels excluded" in one.value for one in at.sidebar.caption)
    assert any("Before and after: run 1 and run 2" == one.value for one in at.header)
    assert _metric(at, "Accuracy") == accuracy


def test_a_cancelled_training_is_not_in_the_history_of_the_next_visit(visit, patient):
    at = _tick_2(_channels(visit, EXCLUDE))
    at = app.well(at.button(key="exclude.train").click().run())
    job = _state(at, "visit.job")
    at = app.well(at.button(key="exclude-cancel").click().run())
    assert job.wait(300)
    at = _channels(_visit(), EXCLUDE)
    assert not any(one.value.startswith("**Run 2**") for one in at.markdown)


def _tick_2(at: AppTest) -> AppTest:
    for number in (0, 1):
        boxes = [one for one in at.checkbox if one.key and one.key.startswith("exclude.tick.")]
        at = app.well(boxes[number].check().run())
    assert at.button(key="exclude.train").label == "Retrain without 2 channels"
    return at

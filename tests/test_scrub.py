"""The scrubber: what is sent to the browser, what comes back, and what is drawn meanwhile; on the real studio."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
import streamlit as st
from PIL import Image
from streamlit.proto.WidgetStates_pb2 import WidgetState, WidgetStates
from streamlit.runtime.scriptrunner import StopException
from streamlit.testing.v1 import AppTest

from dashboard.components import dragging, page_words, scrub
from dashboard.state import drawing
from dashboard.state import faces as face_state
from dashboard.state import visit as state
from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.jobs import never, silent
from img2tab_core.base.records import Edit, Frame
from img2tab_core.faces import marks
from img2tab_core.studio import Studio
from tests import app, browser

pytestmark = pytest.mark.usefixtures("small_pictures")
LARGE = drawing.FINE, drawing.FULL


@pytest.fixture(scope="module")
def home(studio, tmp_path_factory):
    """The real table and its trained runs, in a folder of these tests alone."""
    own = tmp_path_factory.mktemp("home")
    browser.furnish(own, "quantized")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IMG2TAB_HOME", str(own))
        st.cache_data.clear()
        st.cache_resource.clear()
        yield own
    for line in drawing._LINES.values():  # nothing is drawn beyond these tests
        with line.join() as place:
            place.wait(silent, never)
    st.cache_data.clear()
    st.cache_resource.clear()


@pytest.fixture
def visit(home):
    """A visitor who has chosen the ninth sample."""
    return _well(app.begun().button(key="sample-8").click().run())


def _well(at: AppTest) -> AppTest:
    assert not at.exception, at.exception[0].value
    assert not at.error, at.error[0].value
    return at


def _sent(at: AppTest) -> tuple[dict, tuple[bytes, ...]]:
    """The head and the pictures that the scrubber was given."""
    (component,) = at.get("bidi_component")
    return scrub.unpack(component.proto.bytes)


def _report(at: AppTest, **said) -> AppTest:
    """What the browser sends when the person lets go."""
    return _well(at._run(_with_report(at, **said)))


def _with_report(at: AppTest, **said) -> WidgetStates:
    (component,) = at.get("bidi_component")
    states = at._tree.get_widget_states()
    states.widgets.append(WidgetState(id=component.proto.id, json_value=json.dumps({"moved": said})))
    return states


def _drawn(at: AppTest, kind: str) -> AppTest:
    """The page after a drawing has ended."""
    assert at.session_state["visit.drawing"][kind].wait(300)
    return _well(at.run())


def _scene(**changed) -> scrub.Scene:
    given = {
        "of": "face.3",
        "around": "code",
        "shift": 2.5,
        "curve": tuple(np.linspace(0, 1, len(scrub.SHIFTS))),
        "share": 0.625,
        "before_share": 0.5,
        "before": b"first",
        "after": None,
        "strip": None,
        "word": "smiling",
        "title": "Smiling",
        "meaning": "how sure",
        "colour": "#123456",
    }
    return scrub.Scene(**given | changed)


def _picture(size: int) -> np.ndarray:
    return (
        state.studio().samples()[0].pixels
        if size == 256
        else np.asarray(
            Image.fromarray(state.studio().samples()[0].pixels).resize((size, size), Image.Resampling.LANCZOS)
        )
    )


# ---- what is sent


def test_13_frames_come_out_as_they_went_in_and_names_stay_text():
    frames = [
        Frame(float(shift), np.full((8, 8, 3), 10 * k, np.uint8), 0.5)
        for k, shift in enumerate(np.linspace(-10, 10, 13))
    ]
    strip = scrub.strip_of(frames)
    name = '</script><img onerror="x"> “ß”'
    head, files = scrub.unpack(scrub.pack(_scene(strip=strip, word=name), turn=7))
    assert head["turn"] == 7 and head["shift"] == 2.5 and head["text"]["class"] == name
    assert head["shifts"] == [frame.shift for frame in frames]
    assert files == (b"first", b"", *strip.pictures)
    assert head["lengths"] == [len(one) for one in files]


def test_201_probabilities_are_sent_one_for_each_tenth_of_a_standard_deviation():
    head, _ = scrub.unpack(scrub.pack(_scene(), turn=0))
    assert len(head["curve"]) == 201 and (head["reach"], head["step"]) == (10.0, 0.1)
    assert head["curve"][100] == 0.5 and head["curve"][-1] == 1.0


def test_each_of_3_frames_of_a_strip_says_that_a_generator_drew_it_and_a_photo_as_it_came_says_nothing():
    frames = [Frame(float(shift), np.full((64, 64, 3), 90 + shift, np.uint8), 0.5) for shift in (-1, 0, 1)]
    for source, sentence in (("drawn", "Drawn by a generator"), ("mixed", "A photo of which a generator changed")):
        told = [marks.read(picture) for picture in scrub.strip_of(frames, source).pictures]
        assert len(told) == 3 and all(mark.sentence.startswith(sentence) and scrub.MOVED in mark.what for mark in told)
    assert marks.read(scrub.webp(frames[0].pixels, None)) is None


def test_a_strip_is_known_by_its_pictures_and_1_other_pixel_makes_it_another():
    frames = [Frame(float(shift), _noise(shift), 0.5) for shift in (-1, 0, 1)]
    changed = frames[0].pixels.copy()
    changed[:4, :4] = 255 - changed[:4, :4]
    assert scrub.strip_of(frames).key == scrub.strip_of(frames).key
    assert scrub.strip_of([Frame(-1.0, changed, 0.5), *frames[1:]]).key != scrub.strip_of(frames).key


def _noise(seed: int) -> np.ndarray:
    return np.random.default_rng(seed + 1).integers(0, 255, (16, 16, 3), np.uint8)


@pytest.mark.parametrize(("size", "most"), [(128, 4_000), (256, 14_000)])
def test_a_face_as_webp_is_small_and_differs_by_less_than_6_of_255(studio, size, most):
    pixels = _picture(size)
    file = scrub.webp(pixels, None)
    assert file[:4] == b"RIFF" and file[8:12] == b"WEBP" and len(file) < most
    back = np.asarray(Image.open(io.BytesIO(file)).convert("RGB"), np.float32)
    assert np.sqrt(np.mean((back - pixels) ** 2)) < 6


# ---- what comes back


@pytest.mark.parametrize(
    ("said", "shift"),
    [
        (3.44, 3.4),
        (-0.04, 0.0),
        (10, 10.0),
        (99.0, 10.0),
        (-99.0, -10.0),
        (0.1 + 0.2, 0.3),
    ],
)
def test_a_report_becomes_a_tenth_of_a_standard_deviation_within_10(said, shift):
    heard = scrub.answer({"of": "face.3", "shift": said, "turn": 1}, "face.3")
    assert heard == shift and np.copysign(1, heard) == np.copysign(1, shift)


@pytest.mark.parametrize(
    "said",
    [
        None,
        "3",
        [3],
        {},
        {"of": "face.4", "shift": 3},
        {"of": "face.3"},
        {"of": "face.3", "shift": "3"},
        {"of": "face.3", "shift": True},
        {"of": "face.3", "shift": float("nan")},
        {"of": "face.3", "shift": float("inf")},
    ],
)
def test_a_report_about_another_face_or_without_a_number_moves_nothing(said):
    assert scrub.answer(said, "face.3") is None


# ---- on the page


def test_a_sample_shows_a_scrubber_at_0_with_the_probability_of_its_run(visit):
    head, files = _sent(visit)
    run, code = state.studio().run(state.table("default"), "perceived_gender"), state.encode(face_state.samples()[8])
    probability = state.studio().predict(run, code).probability
    assert head["shift"] == 0 and head["share"] == head["before_share"] == max(probability, 1 - probability)
    assert head["curve"][100] == pytest.approx(head["share"], abs=1e-5)
    assert all(file[8:12] == b"WEBP" for file in files[:2])


def test_5_small_frames_come_first_then_13_of_256_pixels_and_the_rest_of_the_scene_stays(home, monkeypatch):
    for name, value in zip(("FINE", "FULL"), LARGE, strict=True):
        monkeypatch.setattr(drawing, name, value)
    visit, seen = _well(app.begun().button(key="sample-7").click().run()), []  # not seen by another test
    at = _drawn(visit, "coarse")
    for kind in ("fine", "before"):
        head, files = _sent(at)
        seen.append((head, files[2:]))
        at = _drawn(at, kind)
    head, files = _sent(at)
    assert head["shifts"] == pytest.approx(np.linspace(-10, 10, 13)) and np.all(np.diff(head["shifts"]) > 0)
    assert {Image.open(io.BytesIO(file)).size for file in files[2:]} == {(256, 256)}
    assert Image.open(io.BytesIO(files[0])).size == (512, 512)
    first, small = seen[0]
    if first["strip"] != head["strip"]:  # on a fast machine it is skipped
        assert first["shifts"] == [-10, -5, 0, 5, 10]
        assert {Image.open(io.BytesIO(file)).size for file in small} == {(128, 128)}
    for same in ("of", "around", "curve", "shift", "turn"):
        assert first[same] == head[same]
    at = _well(at.run())
    assert _sent(at) == (head, files)  # nothing new: not a byte differs


def test_letting_go_at_8_1_edits_the_concept_by_exactly_8_1_and_the_probability_is_the_classifiers(visit):
    head, _ = _sent(visit)
    picked = 2839
    visit.session_state["visit.concept"] = picked
    visit = _well(visit.run())
    head, _ = _sent(visit)
    at = _report(visit, of=head["of"], shift=8.1, turn=1)
    edit = Edit(picked, 8.1)
    assert at.session_state["visit.edits"].popitem()[1].single == (edit,)
    number = next(one for one in at.number_input if one.label == "Move by, SD")
    assert number.value == 8.1
    assert at.button(key=f"inspect.chip.{picked}").label.endswith(page_words.deviations(8.1))
    studio, code = state.studio(), state.encode(face_state.samples()[8])
    run = studio.run(state.table("default"), "perceived_gender")
    was, now = studio.probability(run, code), studio.probability(run, code, [edit])
    after, _ = _sent(at)
    assert (after["shift"], after["turn"]) == (8.1, 1)
    assert after["share"] == (now if was >= 0.5 else 1 - now)
    assert after["curve"] == head["curve"] and after["around"] == head["around"]


def test_a_report_about_another_face_leaves_0_edits_and_a_number_typed_moves_the_marker(visit):
    at = _report(visit, of="somebody.1", shift=5.0, turn=1)
    assert "visit.edits" not in at.session_state
    at = _well(next(one for one in at.number_input if one.label == "Move by, SD").set_value(-4.0).run())
    assert _sent(at)[0]["shift"] == -4.0
    at = _well(at.button(key="inspect.reset").click().run())
    assert _sent(at)[0]["shift"] == 0.0


def test_a_browser_that_says_again_what_it_said_before_2_page_changes_moves_nothing(visit):
    head, _ = _sent(visit)
    said = {"of": head["of"], "shift": 6.0, "turn": 1}
    at = _well(_report(visit, **said).button(key="inspect.reset").click().run())
    at = _well(at.switch_page("views/concepts.py").run())
    at = _report(_well(at.switch_page("views/inspect.py").run()), **said)
    assert (_sent(at)[0]["shift"], _sent(at)[0]["turn"]) == (0.0, 1)
    at = _report(at, of=head["of"], shift=6.0, turn=2)
    assert (_sent(at)[0]["shift"], _sent(at)[0]["turn"]) == (6.0, 2)


def test_with_2_concepts_moved_the_strip_is_around_the_first(visit):
    first, second = 2839, 1722
    visit.session_state["visit.concept"] = first
    visit = _well(visit.run())
    alone, _ = _sent(visit)
    at = _report(visit, of=alone["of"], shift=8.0, turn=1)
    at.session_state["visit.concept"] = second
    at = _well(at.run())
    head, _ = _sent(at)
    index = app.held(at.selectbox, "inspect.concept").value
    assert head["of"] != alone["of"] and head["shift"] == 0.0
    studio, code = state.studio(), state.encode(face_state.samples()[8])
    run = studio.run(state.table("default"), "perceived_gender")
    both = studio.predict(run, code, [Edit(first, 8.0), Edit(index, 10.0)]).probability
    likely = studio.predict(run, code).probability >= 0.5
    assert head["curve"][-1] == pytest.approx(both if likely else 1 - both, abs=1e-5)
    count, size = drawing.COARSE
    frames = studio.strip(run, code, index, edits=[Edit(first, 8.0)], frames=count, size=size, precision="draft")
    job = _drawn(at, "coarse").session_state["visit.drawing"]["coarse"]
    assert job.result == scrub.strip_of(frames)


def test_the_curve_passes_through_the_5_probabilities_of_a_strip(home):
    studio, code = state.studio(), state.encode(face_state.samples()[8])
    run = studio.run(state.table("default"), "perceived_gender")
    edits = state.FaceEdits((Edit(7, 3.0),), family=1.5)
    index = 2839
    frames = studio.strip(run, code, index, edits=state.combined(run, edits), frames=5, size=64)
    curve = drawing.curve(run, code, index, edits)
    for frame in frames:
        (where,) = np.flatnonzero(np.isclose(scrub.SHIFTS, frame.shift))
        assert curve[where] == pytest.approx(frame.probability, abs=1e-6)


# ---- what is drawn meanwhile


def test_of_2_drawings_the_second_waits_and_when_let_go_it_is_never_drawn():
    drawn = []
    with drawing._LINES[drawing.FULL].join():
        waiting = drawing._drawing(drawing.FULL, lambda: drawn.append(1) or b"picture")
        assert not waiting.wait(0.1)
        waiting.cancel()
        assert waiting.wait(10)
    assert waiting.state == "cancelled" and not drawn
    job = drawing._drawing(drawing.FULL, lambda: b"picture")
    assert job.wait(10) and job.result == b"picture"


def test_20_drawings_come_in_the_order_in_which_they_were_asked_for():
    drawn = []
    with drawing._LINES[drawing.FULL].join():
        asked = [drawing._drawing(drawing.FULL, lambda number=number: drawn.append(number)) for number in range(20)]
    assert all(job.wait(20) for job in asked) and drawn == list(range(20))


def test_a_drawing_that_2_visits_wait_for_goes_on_until_both_have_let_it_go(monkeypatch):
    visits = [{}, {}]
    kept = {}

    def make(what):
        return kept.setdefault(what, drawing._drawing(drawing.FULL, lambda: what))

    make.clear = kept.pop

    def look(number, what):
        monkeypatch.setattr(drawing.st, "session_state", visits[number])
        return drawing._begun("after", make, what)

    with drawing._LINES[drawing.FULL].join():
        shared = look(0, "a")
        assert look(1, "a") is shared and look(1, "a") is shared  # who looks twice counts once
        look(0, "b")
        assert not shared.stopping
        look(1, "c")
        assert shared.wait(10)
        assert shared.state == "cancelled"
        again = look(0, "a")
        assert again is not shared
    assert again.wait(10)
    assert again.result == "a"


def test_a_drawing_that_fails_once_says_why_and_lets_the_next_have_its_turn():
    def broken():
        raise Img2TabError("There is no paint. Buy some.")

    job = drawing._drawing(drawing.FULL, broken)
    with pytest.raises(Img2TabError, match="no paint"):
        drawing._ended(job, 10)
    assert drawing._drawing(drawing.FULL, lambda: 2).wait(10)


# --- what fails, and what is said again ----------------------------------------------------------------


def test_a_drawing_that_failed_is_told_in_1_sentence_and_drawn_for_2_visitors_once_there_is_memory(home, monkeypatch):
    full, drawn, strip = [True], [], Studio.strip

    def drawing_in_memory(self, *args, **options):
        if full[0]:
            raise MemoryError("no memory")
        drawn.append(options["size"])
        return strip(self, *args, **options)

    monkeypatch.setattr(Studio, "strip", drawing_in_memory)
    drawing._strip.clear()
    at = app.begun()
    while not at.error:
        at = app.well(at.run())
    assert [one.value for one in at.error] == [
        "A picture could not be drawn (no memory). Choose or move something to try again."
    ]
    full[0] = False
    again, other = _well(at.run()), _well(app.begun())
    for page in (again, other):
        assert _sent(_drawn(page, "coarse"))[0]["shifts"]
    assert drawn.count(128) == 1  # both see the same drawing


def test_of_4_reports_of_a_browser_1_that_is_said_again_and_1_that_is_older_are_no_news(monkeypatch):
    monkeypatch.setattr(st, "session_state", {})
    heard = []
    for count, turn in ((300, 1), (300, 1), (500, 3), (400, 2)):
        st.session_state["line"] = {"moved": {"of": "toy", "turn": turn, "count": count}}
        with dragging.news("line") as report:
            heard.append((report or {}).get("count"))
    assert heard == [300, None, 500, None] and dragging.heard("line") == 3
    st.session_state["line"] = {"moved": {"of": "toy", "turn": 4, "count": 1}}
    with pytest.raises(Img2TabError), dragging.news("line"):
        raise Img2TabError("No such count.")
    assert dragging.heard("line") == 4  # a mistake is told once


def test_1_move_of_the_strip_whose_run_another_click_ended_before_it_was_heard_is_made_by_the_next_run(
    visit, monkeypatch
):
    states, set_edits, ended = _with_report(visit, of=_sent(visit)[0]["of"], shift=2.5, turn=1), state.set_edits, []

    def ends(key, edits):
        if not ended:
            ended.append(key)
            raise StopException
        set_edits(key, edits)

    monkeypatch.setattr(state, "set_edits", ends)
    assert not visit._run(states).get("bidi_component") and len(ended) == 1  # nothing of the page was drawn
    head = _sent(_well(visit._run(states)))[0]
    assert (head["shift"], head["turn"]) == (2.5, 1)

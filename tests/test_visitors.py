"""Several visitors at once, each with another face: nobody receives anything of another."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from tests import browser, visitors

AT_ONCE = 3


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """The server's folder, as this process sees it too."""
    folder = tmp_path_factory.mktemp("home")
    browser.furnish(folder, "quantized", "screens", "distances")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IMG2TAB_HOME", str(folder))
        yield folder


@pytest.fixture(scope="module")
def address(home):
    with browser.dashboard(home, small=True) as address:  # `python -m tests.visitors` has the large ones
        yield address


@pytest.fixture(scope="module", params=[1, pytest.param(2, marks=[pytest.mark.slow, pytest.mark.long])])
def crowd(request, studio, address):
    """Three people and what each was shown, while one or two of them retrain."""
    come = visitors.guests(studio, AT_ONCE)
    shown, failed = visitors.crowd(address, come, train=request.param)
    assert failed == []
    return come, shown


def test_of_3_visitors_at_once_nobody_receives_a_face_a_scene_or_a_word_of_another(crowd):
    assert visitors.leaks(*crowd) == []


def test_each_of_3_visitors_is_told_what_a_lone_one_gets_for_the_same_face_edits_and_exclusion(studio, crowd):
    assert visitors.wrong(studio, *crowd) == []


def test_what_visitor_1_received_is_told_where_it_came_to_visitor_0(studio, crowd):
    """The checks themselves: two visits are taken for each other's."""
    come, seen = crowd
    exchanged = [seen[1], seen[0]]
    told = visitors.leaks(come[:2], exchanged)
    for what in ("a picture", "a scene", "the word"):
        assert f"0 received {what} of 1." in told
    assert any(sentence.startswith("0 ") for sentence in visitors.wrong(studio, come[:2], exchanged))


@pytest.mark.parametrize("number", [0, 1, 5, 17, 63])
def test_the_pattern_of_a_photo_is_read_in_its_corners_and_a_face_without_one_is_nobodys(studio, number):
    face = studio.render(studio.encode(studio.samples()[0]), size=visitors.FACE)
    photo = np.asarray(Image.open(io.BytesIO(visitors._photo(face, visitors._pattern(number)))))
    assert visitors.pattern_in(photo) == number
    assert visitors.pattern_in(face) is None

"""A refinement gets nearer to the face, keeps its time, stops when told, and says truly what it cost."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from img2tab_core.backbones import refinement
from img2tab_core.base.errors import Cancelled, Img2TabError
from img2tab_core.studio import Studio

STEPS = 8


@pytest.fixture(scope="module")
def face(studio):
    return studio.samples()[3]


@pytest.fixture(scope="module")
def refine(studio, face):
    """The real refinement of one generated face, with any option."""
    w = studio.invert(face)
    return lambda **options: refinement.refine(studio.backbone(), studio.descriptor, face.pixels, w, **options)


@pytest.fixture(scope="module")
def eight(refine):
    return refine(steps=STEPS)


def test_8_steps_bring_person_and_picture_nearer(eight):
    assert eight.steps == STEPS and eight.stopped == "done" and eight.finished
    assert eight.after.identity < eight.before.identity
    assert eight.after.pixels < eight.before.pixels
    assert eight.after.coarse < eight.before.coarse


def test_w_plus_is_23_by_512_and_read_only_and_near_the_encoders_answer(eight, studio, face):
    assert eight.w_plus.shape == (23, 512) and eight.w_plus.dtype == np.float32
    with pytest.raises(ValueError, match="read-only"):
        eight.w_plus[0, 0] = 1
    off = eight.w_plus - studio.invert(face)
    assert 0 < eight.moved < 0.5
    assert eight.layers <= eight.moved  # a mean of squares about the mean is the smallest
    assert np.sqrt((off**2).mean()) / eight.moved == pytest.approx(0.44, abs=0.02)  # the spread of w


def test_the_numbers_after_are_those_of_the_returned_code(eight, studio, face):
    code = studio.backbone().styles(eight.w_plus[None])
    from img2tab_core.base.records import StyleCode

    drawn = studio.render(StyleCode.of(code[0]), size=256)
    off = drawn.astype(np.float64) - face.pixels
    assert np.sqrt((off**2).mean()) == pytest.approx(eight.after.pixels, abs=0.1)  # rounding to whole grey levels
    means = off.reshape(32, 8, 32, 8, 3).mean(axis=(1, 3))
    assert np.sqrt((means**2).mean()) == pytest.approx(eight.after.coarse, abs=0.1)


def test_2_runs_of_3_steps_are_equal_to_the_last_bit(refine):
    first, second = refine(steps=3), refine(steps=3)
    assert first.w_plus.tobytes() == second.w_plus.tobytes()
    assert (first.before, first.after, first.moved) == (second.before, second.after, second.moved)


def test_a_slow_clock_changes_no_step_and_8_seconds_of_one_that_gains_2_a_step_end_it_unfinished_after_4(refine):
    now = [0.0]

    def progress(share, text):
        now[0] += 2.0

    whole = refine(steps=6, clock=lambda: now[0], progress=progress)
    assert whole.steps == whole.of == 6 and whole.finished
    now[0] = 0.0
    cut = refine(steps=6, seconds=8.0, clock=lambda: now[0], progress=progress)
    assert (cut.steps, cut.of, cut.stopped, cut.finished) == (4, 6, "time", False)


def test_a_time_too_short_for_a_step_still_makes_1(refine):
    assert refine(seconds=1e-9).steps == 1


def test_8_steps_move_the_first_layers_less_than_half_as_far_as_the_nearest_does(refine, studio, face, eight):
    first, nearest = studio.invert(face), refine(steps=8, recipe=refinement.NEAREST)
    moved = [np.sqrt(np.square(each.w_plus - first).mean(axis=1)) for each in (eight, nearest)]
    assert moved[0][:4].mean() < moved[1][:4].mean() / 2
    assert nearest.after.pixels < eight.after.pixels < eight.before.pixels


def test_cancelled_after_3_steps_it_returns_the_best_of_them_with_its_numbers(refine):
    done = []
    found = refine(steps=50, progress=lambda share, text: done.append(share), stopped=lambda: len(done) >= 3)
    assert found.steps == 3 and found.stopped == "cancelled"
    assert found.after.identity < found.before.identity
    assert 0 < found.moved < 0.5


def test_cancelled_before_the_first_step_the_answer_is_the_encoders(refine, studio, face):
    found = refine(steps=50, stopped=lambda: True)
    assert found.steps == 0 and found.moved == 0
    assert found.before == found.after
    assert np.array_equal(found.w_plus, np.repeat(studio.invert(face)[None], 23, axis=0))


def steps_until_patience_is_out(losses):
    patience = refinement.Patience(60, 0.002)
    return next((step for step, loss in enumerate(losses, 1) if patience.is_out(loss)), None)


def test_a_loss_that_falls_by_0_15_percent_a_step_for_400_steps_has_not_converged():
    assert steps_until_patience_is_out(0.9985**step for step in range(400)) is None


def test_a_loss_that_falls_by_0_002_percent_a_step_and_one_that_stands_still_are_out_after_60_more_steps():
    assert steps_until_patience_is_out(0.99998**step for step in range(400)) == 62
    assert steps_until_patience_is_out([1.0] * 400) == 62
    fallen = [1.0, *(0.99,) * 400]
    assert steps_until_patience_is_out(fallen) == 63


def test_a_loss_that_jumps_about_its_best_is_out_and_one_new_best_by_the_margin_starts_the_count_again():
    jumping = [1.0 + 0.1 * (step % 2) for step in range(50)]
    assert steps_until_patience_is_out([*jumping, 0.997, *[1.0] * 400]) == 50 + 1 + 61


def test_without_a_gain_for_2_steps_it_has_converged(refine):
    still = refinement.Recipe(rate=0.0, patience=2)
    found = refine(steps=50, recipe=still)
    assert found.stopped == "converged" and found.steps == 3
    assert found.moved == 0


@pytest.mark.parametrize(
    ("face", "options", "words"),
    [
        (np.zeros((128, 64, 3), np.uint8), {}, "(128, 64, 3)"),
        (np.zeros((200, 200, 3), np.uint8), {}, "multiple of 128 px, got 200"),
        (np.zeros((256, 256, 3), np.float32), {}, "float32"),
        (np.zeros((256, 256, 3), np.uint8), {"seconds": 0}, "above 0 seconds, got 0"),
        (np.zeros((256, 256, 3), np.uint8), {"steps": 0}, "1 step or more, got 0"),
    ],
)
def test_what_cannot_be_refined_is_told_in_a_sentence(studio, face, options, words):
    with pytest.raises(Img2TabError) as caught:
        refinement.refine(studio.backbone(), studio.descriptor, face, np.zeros(512, np.float32), **options)
    assert words in str(caught.value)


# ---- the door


def test_the_studio_gives_the_style_code_of_the_same_w_plus(studio, face):
    code, found = studio.refine(face, steps=2)
    assert np.array_equal(code.values, studio.backbone().styles(found.w_plus[None])[0])
    assert code.key != studio.encode(face).key


def test_the_second_refinement_waits_for_the_first_and_may_leave_the_line(studio, face):
    door = Studio()
    said, began, leave = [], threading.Event(), threading.Event()
    first = threading.Thread(
        target=lambda: door.refine(face, steps=500, progress=lambda share, text: began.set(), stopped=leave.is_set)
    )
    first.start()
    try:
        assert began.wait(120)
        with pytest.raises(Cancelled, match="before its turn"):
            door.refine(face, steps=1, progress=lambda share, text: said.append(text), stopped=lambda: len(said) >= 2)
        assert said[0] == "Waiting for 1 other refinement…"
    finally:
        leave.set()
        first.join(120)
    assert door.refine(face, steps=1)[1].steps == 1  # the line is empty again


def test_an_edit_agrees_with_itself_at_1_and_less_with_that_of_another_face(studio):
    run = studio.run(studio.table(), "perceived_gender")
    one, other = (studio.encode(face) for face in studio.samples()[:2])
    same, another = studio.edit_agreement(run, one, one), studio.edit_agreement(run, one, other)
    assert same.picture == pytest.approx(1.0) and same.before == same.after
    assert another.picture < 0.9
    likely = studio.predict(run, one).probability >= 0.5
    assert (same.before <= 0) == likely  # towards the other class

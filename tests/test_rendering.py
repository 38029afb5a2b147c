"""An edited face is just another style code."""

from __future__ import annotations

import numpy as np
import pytest

from img2tab_core.backbones import rendering
from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.layout import StyleLayout
from img2tab_core.base.records import ChannelStats, Edit, StyleCode

STATS = ChannelStats(np.zeros(4, np.float32), np.array([1, 2, 0, 4], np.float32))


def test_three_deviations_of_a_channel_with_deviation_2_move_it_by_6():
    code = StyleCode.of([1, 1, 1, 1])
    moved = rendering.edited(code, [Edit(1, 3.0)], STATS)
    assert moved.values.tolist() == [1, 7, 1, 1]
    assert code.values.tolist() == [1, 1, 1, 1]


def test_two_edits_of_one_channel_add_up_and_opposite_ones_cancel():
    code = StyleCode.of([0, 0, 0, 0])
    assert rendering.edited(code, [Edit(3, 1.0), Edit(3, 0.5)], STATS).values[3] == 6
    assert rendering.edited(code, [Edit(3, 1.0), Edit(3, -1.0)], STATS).key == code.key


def test_no_edit_gives_the_very_same_code():
    code = StyleCode.of([0, 1, 2, 3])
    assert rendering.edited(code, [], STATS) is code


@pytest.mark.parametrize("edit", [Edit(4, 1.0), Edit(-1, 1.0), Edit(0, float("nan"))])
def test_an_edit_of_channel_4_of_4_or_of_nan_is_refused(edit):
    with pytest.raises(Img2TabError):
        rendering.edited(StyleCode.of([0, 0, 0, 0]), [edit], STATS)


def test_nine_shifts_to_ten_have_an_exact_zero_in_the_middle():
    assert rendering.shifts(10, 9).tolist() == [-10, -7.5, -5, -2.5, 0, 2.5, 5, 7.5, 10]
    with pytest.raises(Img2TabError, match="odd"):
        rendering.shifts(10, 4)


def test_a_family_of_2_takes_the_farthest_channels_with_their_signs():
    edits = rendering.family(np.array([0.1, -2.0, 0.0, 1.0]), count=2, strength=1.5)
    assert edits == (Edit(1, -3.0), Edit(3, 1.5))


def test_minus_1_0_1_become_0_128_255():
    assert rendering.to_pixels(np.array([-1.0, 0.0, 1.0, 9.0])).tolist() == [0, 128, 255, 255]


def test_the_first_channel_of_a_layer_belongs_to_that_layer():
    layout = StyleLayout((512, 512, 128))
    assert layout.locate(0) == (0, 0)
    assert layout.locate(511) == (0, 511)
    assert layout.locate(512) == (1, 0)
    assert layout.locate(1151) == (2, 127)
    assert all(layout.index_of(*layout.locate(i)) == i for i in range(layout.total))
    with pytest.raises(Img2TabError, match="between 0 and 1151"):
        layout.locate(1152)


def test_an_edit_changes_the_picture_and_a_strip_frame_is_that_picture(studio):
    face = studio.samples()[0]
    code = studio.encode(face)
    table = studio.table()
    run = studio.run(table, "perceived_gender")
    index = int(np.argmax(studio.scores(run).distance))
    frames = studio.strip(run, code, index, reach=8, frames=3, size=128)
    assert [frame.shift for frame in frames] == [-8, 0, 8]
    assert np.array_equal(frames[1].pixels, studio.render(code, size=128))
    assert np.array_equal(frames[2].pixels, studio.render(code, [Edit(index, 8.0)], size=128))
    assert np.abs(frames[2].pixels.astype(int) - frames[0].pixels).mean() > 0.5
    assert frames[1].probability == pytest.approx(studio.predict(run, code).probability, abs=1e-9)

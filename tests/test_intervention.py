"""Moving one concept of a classifier that is a formula: who flips, at which strength, whether a picture shows it."""

import numpy as np
import pandas as pd
import pytest
import torch

from img2tab_core import tables
from img2tab_core.audits.intervention import checked, intervene
from img2tab_core.base.errors import Cancelled, Img2TabError
from img2tab_core.base.intervals import wilson
from img2tab_core.base.layout import StyleLayout
from img2tab_core.base.records import Target

N, D = 60, 12
SHIFT = np.zeros(D)
SHIFT[2], SHIFT[4] = 1.0, -0.5


class Formula:
    """Class 1 the likelier, the larger channel 2 is; half at 0."""

    def predict_proba(self, X):
        one = 1 / (1 + np.exp(-X[:, 2].astype(np.float64)))
        return np.column_stack([1 - one, one])


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """60 faces x 12 channels, channel 2 of face i is (i - 29.5) / 10 style units, groups take turns, face 0 unknown."""
    psi = np.random.default_rng(0).normal(size=(N, D)).astype(np.float32)
    psi[:, 2] = (np.arange(N) - 29.5) / 10
    groups = (np.arange(N) % 2).astype(np.int8)
    groups[0] = -1
    return tables.write_table(
        tmp_path_factory.mktemp("tables") / "toy",
        lambda rows: psi[rows],
        pd.DataFrame({"gender": groups}),
        targets=[Target("gender", "Perceived gender", ("female", "male"), "by hand")],
        layout=StyleLayout((D,)),
        backbone="toy",
        key="toy-key",
    )


@pytest.fixture(scope="module")
def found(table):
    return intervene(Formula(), table, "gender", SHIFT, rows=np.arange(N), count=2, strengths=(1.0, 0.5))


def test_a_face_flips_where_the_move_carries_it_over_the_threshold(table, found):
    step = table.stats.std[2]  # strength 1 moves by so much
    value = table.psi[found.rows, 2]
    for towards, sign in ((0, -1), (1, 1)):
        expected = np.select(
            [((value + sign * 0.5 * step) > 0) != (value > 0), ((value + sign * step) > 0) != (value > 0)],
            [0.5, 1.0],
            np.nan,
        )
        assert np.array_equal(found.flipped_at[towards], expected, equal_nan=True)


def test_each_direction_and_group_has_its_count_its_wilson_interval_and_its_mean_move(found):
    for one in found.by:
        mask = found.groups == one.group
        flipped = ~np.isnan(found.flipped_at[one.towards]) & mask
        assert one.faces == mask.sum() and one.flips == flipped.sum() > 0
        assert (one.low, one.high) == wilson(one.flips, one.faces)
        assert one.to_one == (one.flips if one.towards == 1 else 0)
        move = (found.after[one.towards] - found.before)[mask]
        assert one.move.mean == pytest.approx(move.mean()) and one.move.low < one.move.mean < one.move.high
        assert one.size.mean == pytest.approx(np.abs(move).mean())
        assert one.by_strength[0] < one.by_strength[1] == one.share
    assert len(found.by) == 4 and found.of(1, 0).group == 0
    with pytest.raises(Img2TabError, match="group 3"):
        found.of(1, 3)


def test_the_record_says_what_was_moved_and_leaves_out_a_face_of_unknown_group(found, table):
    assert found.seen is None and found.channels == (2, 4) and found.strengths == (0.5, 1.0) and found.strength == 1.0
    assert found.steps == pytest.approx([table.stats.std[2], -0.5 * table.stats.std[4]])
    assert len(found.rows) == N - 1 and 0 not in found.rows


def test_those_that_flip_first_need_the_least_and_their_codes_give_their_probabilities(found, table):
    for towards, sign in ((0, -1), (1, 1)):
        flips = found.first[towards]
        assert 0 < len(flips) <= 12
        strengths = [flip.strength for flip in flips]
        assert strengths == sorted(strengths)
        for flip in flips:
            assert np.array_equal(flip.before.values, table.psi[flip.row])
            moved = np.flatnonzero(flip.after.values != flip.before.values)
            assert set(moved.tolist()) == {2, 4}
            step = sign * flip.strength * table.stats.std[2]
            assert flip.after.values[2] - flip.before.values[2] == pytest.approx(step, abs=1e-6)
            for code, said in ((flip.before, flip.probability_before), (flip.after, flip.probability_after)):
                assert Formula().predict_proba(code.values[None])[0, 1] == pytest.approx(said, abs=1e-6)
            assert (flip.probability_before > 0.5) != (flip.probability_after > 0.5)


def test_at_most_so_many_first_faces_come_back(table):
    found = intervene(Formula(), table, "gender", SHIFT, rows=np.arange(N), first=3)
    assert [len(flips) for flips in found.first] == [3, 3]


def test_moving_there_and_back_gives_the_same_code(found, table):
    codes = np.array(table.psi[:5])
    there = found.edited(codes, towards=1)
    assert np.abs(found.edited(there, towards=0) - codes).max() < 1e-6
    assert np.abs(there - codes).max() > 0.3
    assert np.array_equal(found.edited(codes, towards=1, strength=0), codes)


def test_a_channel_that_the_classifier_does_not_use_flips_nobody(table):
    model = Formula()
    model.screened_ = np.array([2, 3])
    found = intervene(model, table, "gender", SHIFT, rows=np.arange(N), channels=[4])
    assert found.seen == 0 and intervene(model, table, "gender", SHIFT, rows=np.arange(N), channels=[2, 4]).seen == 1
    assert [one.flips for one in found.by] == [0] * 4 and found.first == ((), ())
    assert found.of(1, 0).size.mean == 0


def test_blocks_do_not_change_a_number(table, found, monkeypatch):
    monkeypatch.setattr("img2tab_core.audits.intervention._VALUES", 7 * D)
    shares = []
    again = intervene(
        Formula(),
        table,
        "gender",
        SHIFT,
        rows=np.arange(N),
        count=2,
        strengths=(0.5, 1.0),
        progress=lambda share, text: shares.append(share),
    )
    assert np.array_equal(again.after, found.after) and again.by == found.by
    assert len(shares) == 9 and shares[-1] == 1.0


def test_the_test_faces_are_moved_unless_others_are_named(table):
    found = intervene(Formula(), table, "gender", SHIFT)
    assert set(found.rows.tolist()) == set(table.rows("test").tolist()) - {0}


def test_what_cannot_be_moved_says_why(table):
    def moving(shift=SHIFT, **options):
        return intervene(Formula(), table, "gender", shift, rows=options.pop("rows", np.arange(N)), **options)

    with pytest.raises(Img2TabError, match="for each of the 12 channels"):
        moving(np.zeros(3))
    with pytest.raises(Img2TabError, match="At least one channel"):
        moving(channels=[])
    with pytest.raises(Img2TabError, match="between 0 and 11"):
        moving(channels=[12])
    with pytest.raises(Img2TabError, match="above 0"):
        moving(strengths=(0.0, 1.0))
    with pytest.raises(Img2TabError, match="got none"):
        moving(rows=np.array([0]))
    with pytest.raises(Img2TabError, match="no target"):
        intervene(Formula(), table, "hat", SHIFT)
    with pytest.raises(Cancelled):
        moving(cancelled=lambda: True)


# --- whether the edit does what it says -------------------------------------------------------------------


class Toy:
    """A backbone whose picture shows channel 2 as grey (0.25 per unit), and whose encoder reads it off again."""

    layout = StyleLayout((D,))

    def __init__(self, seen=1.0):
        self.seen, self.generator = seen, self

    def fitting(self, size):
        return 8

    def synthesis(self, styles, *, size, low=None):
        return torch.clamp(0.25 * styles[:, 2], -1, 1)[:, None, None, None].expand(-1, 3, size, size)

    def invert(self, faces):
        return self.seen * (faces.mean(axis=(1, 2, 3), keepdims=True)[:, :, 0, 0].astype(np.float32) / 127.5 - 1) * 4

    def styles(self, w):
        codes = np.zeros((len(w), D), np.float32)
        codes[:, 2] = w[:, 0]
        return codes


def _check(found, table, backbone, **options):
    return checked(found, table, backbone, lambda codes: codes[:, 2], model=Formula(), count=4, **options)


def test_a_picture_that_shows_the_edit_gives_it_back_and_one_that_shows_half_gives_half(found, table):
    whole = _check(found, table, Toy())
    assert whole.coded.mean == pytest.approx(table.stats.std[2], rel=1e-5)
    assert whole.seen.mean == pytest.approx(whole.coded.mean, abs=0.02)  # grey has 256 steps
    half = _check(found, table, Toy(seen=0.5))
    assert half.seen.mean == pytest.approx(0.5 * whole.coded.mean, abs=0.02)
    assert "On 4 faces the edit moved the reading of perceived gender by +1.7" in half.sentence
    assert "(50 % of it)" in half.sentence or "(51 % of it)" in half.sentence or "(49 % of it)" in half.sentence


def test_a_check_takes_faces_of_the_other_group_and_shows_them_before_and_after(found, table):
    shares = []
    seen = _check(found, table, Toy(), towards=0, progress=lambda share, text: shares.append(share))
    assert set(table.labels["gender"].to_numpy()[seen.rows]) == {1}
    assert seen.pictures.shape == (2, 4, 8, 8, 3) and seen.pictures.dtype == np.uint8
    assert (seen.pictures[1] <= seen.pictures[0]).all() and seen.coded.mean < 0
    assert seen.reading[0] == pytest.approx(table.psi[seen.rows, 2])
    assert seen.probability[0] == pytest.approx(Formula().predict_proba(table.psi[seen.rows])[:, 1])
    assert np.abs(seen.probability_again - seen.probability).max() < 0.01
    assert shares[-1] == 1.0 and len(shares) == 8


def test_a_check_can_be_stopped_and_refuses_a_third_group(found, table):
    with pytest.raises(Cancelled):
        _check(found, table, Toy(), cancelled=lambda: True)
    with pytest.raises(Img2TabError, match="group 0 or 1"):
        _check(found, table, Toy(), towards=2)

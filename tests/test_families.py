"""Families of channels: found, named, ranked and added up; and what moving a channel of a real face draws."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from img2tab_core import weights
from img2tab_core.backbones import backbone
from img2tab_core.base.engines import Engine
from img2tab_core.base.errors import Cancelled, Img2TabError
from img2tab_core.base.records import Target
from img2tab_core.concepts import describing, families, measuring, moving, naming, ranking, readings
from img2tab_core.concepts.description import (
    MAP,
    NONE,
    REGIONS,
    Description,
    Family,
    Mean,
    because,
    channels_of,
    keep,
    open_description,
    parts_of,
)
from img2tab_core.concepts.moving import SHIFT, SIDE, Direction, Moved
from img2tab_core.concepts.regions import regions_of

GOATEE = 2839  # draws one on every face, see docs


@pytest.fixture(scope="module")
def subject(studio):
    """A sample face, ready to be moved."""
    return moving.subject(studio.backbone(), studio.encode(studio.samples()[1]).values, weights.path("landmarks-68"))


@pytest.fixture(scope="module")
def moved(studio, subject) -> Moved:
    """Three channels moved on it: one that draws a goatee, one of another layer, one that changes hardly anything."""
    return moving.move(studio.backbone(), subject, [GOATEE, 100, 6701], weights.path("landmarks-68"))


def family(number: int = 0, channels=(1, 2, 3), **changes) -> Family:
    size = len(channels)
    made = Family(
        f"part-{number}",
        f"Part: {number}",
        "Part 60 %: opens.",
        "clear",
        np.array(channels, np.int64),
        np.ones(size) / np.sqrt(size),
        dict.fromkeys(REGIONS, 1 / len(REGIONS)),
        {"kind": Mean(2.1, 1.6, 2.6)},
        {},
        (Mean(0, 0, 0),) * 3,
        9.0,
        1.8,
        0.8,
        np.zeros((MAP, MAP), np.uint8),
    )
    return replace(made, **changes)


def description(groups=((1, 2, 3), (5, 6)), stand_ins=((7, 0), (8, 1)), total=12) -> Description:
    """A description of `total` channels: families of these members, and channels that go with them."""
    family_of, goes_with = np.full(total, NONE, np.int16), np.full(total, NONE, np.int16)
    for number, members in enumerate(groups):
        family_of[list(members)] = number
    for channel, number in stand_ins:
        goes_with[channel] = number
    return Description(
        "hand",
        "key",
        4,
        tuple(family(number, members) for number, members in enumerate(groups)),
        family_of,
        goes_with,
        np.linspace(0.3, 0.9, total).astype(np.float32),
        np.zeros(total, np.float32),
        np.zeros((total, len(REGIONS)), np.float16),
        np.zeros((total, 1, 2), np.float16),
        np.full(total, NONE, np.int8),
        {},
        ("kind",),
        np.empty((len(groups), 0, 2, 512), np.float16),
        {},
    )


# --- regions ------------------------------------------------------------------------------------------------------


def test_eyes_nose_and_mouth_of_a_face_are_where_its_68_landmarks_say(subject):
    def at(points) -> str:
        x, y = np.round(points.mean(axis=0)).astype(int)
        return REGIONS[subject.regions[y, x]]

    marks = subject.landmarks
    assert (at(marks[36:42]), at(marks[42:48]), at(marks[48:60]), at(marks[27:31])) == ("eyes", "eyes", "mouth", "nose")
    assert at(marks[17:22]) == "brows" and at(marks[7:10] - [0, 3]) == "chin and jaw"
    assert REGIONS[subject.regions[3, 3]] == REGIONS[subject.regions[3, -4]] == "background"


def test_a_face_moved_20_px_to_the_side_has_the_same_parts_20_px_further(subject):
    rolled = regions_of(np.roll(subject.picture, 20, axis=1), subject.landmarks + np.array([20, 0]))
    inner = np.isin(subject.regions, [REGIONS.index(part) for part in ("eyes", "nose", "mouth", "brows")])
    assert inner[:, : SIDE - 20].sum() > 300
    ys, xs = np.nonzero(inner[:, : SIDE - 20])
    assert (rolled[ys, xs + 20] == subject.regions[ys, xs]).mean() > 0.97


# --- moving channels ----------------------------------------------------------------------------------------------


def test_the_channel_of_the_goatee_changes_chin_and_mouth_more_than_all_hair_and_background(moved):
    share = dict(zip(REGIONS, moved.share[0].astype(float), strict=True))
    assert abs(sum(share.values()) - 1) < 0.01
    assert share["chin and jaw"] + share["mouth"] > share["hair"] + share["background"]
    assert moved.colour[0, REGIONS.index("mouth"), 0] < -1  # of L*: darker


def test_a_channel_hardly_seen_is_not_read_and_one_that_is_seen_is(moved):
    assert moved.change[2] < moving.SEEN <= moved.change[0]
    assert np.isnan(moved.w[2]).all() and np.isfinite(moved.w[0]).all()
    assert np.isfinite(moved.landmarks[0]).all() and np.abs(moved.landmarks[0]).max() < 1


def test_two_channels_together_move_as_the_edits_of_both(studio, subject):
    together = Direction(np.array([GOATEE, 100]), np.array([0.6, -0.8]))
    both = moving.move_together(studio.backbone(), subject, [together], weights.path("landmarks-68"), shift=4.0)
    stats = studio.backbone().stats
    codes = np.stack([subject.code, subject.code])
    for row, sign in enumerate((-1, 1)):
        codes[row, GOATEE] += sign * 4 * 0.6 * stats.std[GOATEE]
        codes[row, 100] -= sign * 4 * 0.8 * stats.std[100]
    low, high = moving.draw(studio.backbone(), codes, size=SIDE).astype(float)
    side = SIDE // MAP
    expected = ((high - low) / 2).reshape(MAP, side, MAP, side, 3).mean(axis=(1, 3))
    assert np.abs(both.picture[0].astype(float) - expected).mean() < 0.5  # levels, of a draft


def test_measuring_stopped_half_way_goes_on_and_gives_the_same_bits_as_1_process_of_its_own(
    studio, subject, tmp_path, monkeypatch
):
    monkeypatch.setattr(measuring, "PIECE", 2)
    channels = np.array([100, 700, GOATEE, 5000])
    asked = []

    def stop() -> bool:
        asked.append(1)
        return len(asked) > 2

    def run(home, **how):
        monkeypatch.setenv("IMG2TAB_HOME", str(tmp_path / home))
        return measuring.measure(studio.backbone(), [subject, subject], channels=channels, **how)

    with pytest.raises(Cancelled, match="goes on from there"):
        run("cut", cancelled=stop)
    kept = list((tmp_path / "cut").rglob("face-*.npz"))
    assert len(kept) == 1
    resumed, whole, elsewhere = run("cut"), run("whole"), run("elsewhere", engine=Engine(workers=1))
    for first, second, third in zip(resumed, whole, elsewhere, strict=True):
        for name in ("change", "share", "picture", "w"):
            assert np.array_equal(getattr(first, name), getattr(second, name), equal_nan=True)
            assert np.array_equal(getattr(first, name), getattr(third, name), equal_nan=True)
    assert len(list((tmp_path / "elsewhere").rglob("face-*.npz"))) == 4


def test_a_channel_that_a_backbone_does_not_have_is_refused_with_both_numbers(studio, subject):
    with pytest.raises(Img2TabError, match="from 0 to 6751, got 6752"):
        moving.move(studio.backbone(), subject, [6752], weights.path("landmarks-68"))


# --- grouping -----------------------------------------------------------------------------------------------------


def test_three_planted_families_of_8_channels_are_found_with_their_signs():
    rng = np.random.default_rng(0)
    drawn = rng.normal(size=(3, MAP * MAP * 3)).astype(np.float32)
    signs = rng.choice([-1.0, 1.0], 24)
    pictures = signs[:, None] * np.repeat(drawn, 8, axis=0) + 0.4 * rng.normal(size=(24, MAP * MAP * 3))
    lonely = rng.normal(size=(10, MAP * MAP * 3))
    channels = np.arange(100, 134)
    found = families.grouped(np.concatenate([pictures, lonely]).astype(np.float32), channels)
    assert sorted(sorted(group.channels.tolist()) for group in found) == [
        list(range(first, first + 8)) for first in (100, 108, 116)
    ]
    for group in found:
        alike = np.sign(group.parts) * signs[group.channels - 100]
        assert abs(alike.sum()) == 8


def test_what_a_family_draws_moved_by_8_is_at_most_2_and_a_half_times_what_a_member_draws():
    rng = np.random.default_rng(1)
    line, other = rng.normal(size=(2, MAP * MAP * 3)).astype(np.float32)
    for count, times in ((6, 6**0.5), (50, 2.5)):
        pictures = np.concatenate([np.repeat(line[None], count, axis=0), np.repeat(0.1 * other[None], 6, axis=0)])
        group = families.grouped(pictures, np.arange(len(pictures)))[0]
        assert len(group.channels) == count
        assert abs(np.abs(group.parts.sum()) - times) < 0.01  # each draws `line`


def test_the_background_counts_a_third_of_what_is_of_the_person():
    regions = np.ones((SIDE, SIDE), np.uint8)
    regions[:, : SIDE // 2] = 0
    weight = families.weights_of([regions]).reshape(MAP, MAP, 3)
    assert abs(weight[0, 0, 0] - 0.33) < 0.01 and weight[0, -1, 0] == 1


# --- names --------------------------------------------------------------------------------------------------------

SMILE = Target("smiling", "Perceived smile", ("not smiling", "smiling"), "")
KIND = Target("kind", "Kind", ("plain", "special thing here"), "")


def measured(**changes) -> naming.Measures:
    where = dict.fromkeys(REGIONS, 0.02) | {"mouth": 0.5, "cheeks": 0.3}
    plain = {name: Mean(0.001, -0.01, 0.012) for name in naming.GEOMETRY}
    base = naming.Measures(
        {"smiling": Mean(0.1, -0.3, 0.5)}, plain, (Mean(0.1, -1, 1.2),) * 3, Mean(0, -1, 1), where, 9.0, 0.2
    )
    return replace(base, **changes)


def test_a_family_is_named_by_the_label_it_moves_in_the_part_it_changes_with_its_interval():
    (name,) = naming.named([measured(labels={"smiling": Mean(2.1, 1.6, 2.6)})], [SMILE]).values()
    assert (name.name, name.sign) == ("Mouth: smile", 1)
    assert "perceived smile +2.1 [+1.6, +2.6]" in name.sentence and name.sentence.startswith("mouth 50 %, cheeks 30 %")


def test_a_family_that_lowers_the_label_is_turned_round():
    (name,) = naming.named([measured(labels={"smiling": Mean(-2.1, -2.6, -1.6)})], [SMILE]).values()
    assert (name.name, name.sign) == ("Mouth: smile", -1) and "+2.1 [+1.6, +2.6]" in name.sentence


def test_a_family_that_moves_nothing_beyond_chance_gets_no_name_and_two_of_one_name_a_number():
    smile = measured(labels={"smiling": Mean(2.1, 1.6, 2.6)})
    names = naming.named([smile, measured(), smile], [SMILE])
    assert {number: name.name for number, name in names.items()} == {0: "Mouth: smile", 2: "Mouth: smile 2"}


def test_a_name_that_both_halves_could_give_is_clear_one_of_2_likely_and_of_none_unsure():
    smile, other = ("Mouth: smile", 1), ("Mouth: wider", 1)
    (name,) = naming.named([measured(labels={"smiling": Mean(2.1, 1.6, 2.6)})], [SMILE]).values()
    trust = [name.trust(halves) for halves in ([{smile}, {smile, other}], [{smile}, {other}], [set(), {other}])]
    assert trust == ["clear", "likely", "unsure"]
    turned = replace(name, name="Mouth: smile 2", sign=-1)
    assert turned.plain == ("Mouth: smile", -1) and turned.trust([{smile}, {smile}]) == "unsure"
    wider = measured(labels={"smiling": Mean(2.1, 1.6, 2.6)}, geometry={"mouth_wider": Mean(0.1, 0.08, 0.12)})
    assert naming.fitting([wider, measured()], [SMILE]) == [{smile, ("Mouth: wider", 1)}, set()]


def test_a_family_of_3_channels_that_draws_otherwise_on_the_other_half_of_the_faces_is_left_out():
    rng = np.random.default_rng(0)
    line, other = rng.normal(size=(2, MAP * MAP * 3)).astype(np.float32)
    both = np.stack([line, 1.1 * line, 0.9 * line, other, 1.2 * other, other * 0.8])
    again = both.copy()
    again[3:] = rng.normal(size=(3, MAP * MAP * 3))
    channels = np.arange(10, 16)
    assert len(families.grouped(both, channels)) == 2
    (kept,) = families.grouped(both, channels, (both, again))
    assert kept.channels.tolist() == [10, 11, 12]


def test_a_channel_has_a_place_only_where_the_faces_agree_on_one(subject):
    at = {part: np.flatnonzero((subject.regions == REGIONS.index(part)).reshape(-1))[20] for part in ("hair", "nose")}

    def face(*parts: str) -> Moved:
        """One channel for each part, which changes one pixel of the little picture there."""
        picture = np.zeros((len(parts), MAP, MAP, 3), np.float16)
        for number, part in enumerate(parts):
            y, x = np.divmod(at[part], SIDE)
            picture[number, y * MAP // SIDE, x * MAP // SIDE] = 9
        blank = np.zeros((len(parts), 1), np.float16)
        return Moved(np.arange(len(parts)), blank[:, 0], blank, blank, blank[:, 0], picture, blank, blank)

    faces = [face("nose", "nose"), face("nose", "hair"), face("nose", "nose"), face("nose", "hair")]
    assert measuring.places([subject] * 4, faces, np.arange(2)).tolist() == [REGIONS.index("nose"), NONE]


def test_a_label_of_another_table_names_by_its_own_words():
    made = measured(labels={"kind": Mean(3.0, 2.8, 3.2)})
    (name,) = naming.named([made], [KIND]).values()
    assert name.name == "Mouth: special thing here"


def test_landmarks_that_move_apart_open_the_mouth_by_as_much():
    marks = np.zeros((1, 2, 68, 2))
    marks[0, 0, 61:64, 1], marks[0, 1, 65:68, 1] = 0.0, 0.2
    geometry = naming.geometry_of(marks)
    assert abs(geometry["mouth_opens"][0] - 0.1) < 1e-9 and abs(geometry["brows_raised"][0]) < 1e-9


# --- any backbone -------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.long
def test_3_channels_of_a_seeded_stylegan2_are_moved_on_2_faces_described_kept_and_opened_again(
    seeded_file, other_home, tmp_path, monkeypatch
):
    monkeypatch.setenv("IMG2TAB_HOME", str(other_home))
    monkeypatch.setattr(describing, "OTHERS", 4)  # each is read by the encoder for both ends of every family
    model = replace(backbone.open_backbone(str(seeded_file(64))), name="seeded")
    told = []
    options = {"faces": 2, "channels": np.arange(3), "progress": lambda share, text: told.append(text)}
    made = describing.describe(model, None, **options)
    assert made.faces == 2 and len(made.family_of) == model.layout.total and any("moves" in text for text in told)
    assert made.read.shape[:3] == (len(made.families), describing.OTHERS, 2)
    assert (made.change[:3] > 0).all() and not made.change[3:].any()
    for one in made.families:
        assert one.channels.max() < 3 and one.name
    told.clear()
    again = describing.describe(model, None, **options)  # what was measured is kept
    assert again.key == made.key and not any("moves" in text for text in told)
    keep(made, tmp_path)
    describing.draw_sheets(made, model, describing.others(model, None, count=2), tmp_path)
    assert len(list((tmp_path / model.name).glob("*.webp"))) == len(made.families)


# --- a description ------------------------------------------------------------------------------------------------


def test_the_bars_of_a_decision_add_up_to_all_contributions_and_stand_ins_are_told_apart():
    described, values = description(), np.arange(12, dtype=float) - 4.5
    parts, rest = parts_of(described, values)
    assert abs(sum(part.total for part in parts) + rest - values.sum()) < 1e-12
    assert {part.number: (part.drawn, part.by_stand_ins) for part in parts} == {
        0: (values[1:4].sum(), values[7]),
        1: (values[5:7].sum(), values[8]),
    }
    assert rest == values[[0, 4, 9, 10, 11]].sum()


def test_the_sentence_names_what_spoke_for_and_against_the_decided_class():
    described, values = description(), np.zeros(12)
    values[1], values[5] = 2.0, -0.7
    parts, _ = parts_of(described, values)
    assert because(described, parts, 1) == "Mostly Part: 0; Part: 1 spoke against it."
    assert because(described, parts, 0) == "Mostly Part: 1; Part: 0 spoke against it."
    assert because(described, parts_of(described, np.zeros(12))[0], 1).startswith("No family")


def test_a_family_moves_all_its_channels_in_proportion_and_excluding_it_can_take_what_goes_with_it():
    described = description()
    assert [(edit.index, round(edit.shift, 3)) for edit in described.families[1].edits(4)] == [(5, 2.828), (6, 2.828)]
    assert channels_of(described, [0]) == {1, 2, 3} and channels_of(described, [0, 1], stand_ins=True) == {
        1, 2, 3, 5, 6, 7, 8,
    }  # fmt: skip


def test_what_is_excluded_is_told_in_families_with_their_stand_ins_and_the_channels_left_over():
    described = description()
    families, left = described.whole({1, 2, 3, 5, 7, 8, 10})
    assert [(family.id, channels) for family, channels in families] == [("part-0", {1, 2, 3, 7})] and left == {5, 8, 10}
    assert described.in_words({1, 2, 3, 5, 7, 8, 10}) == "Part: 0 and 3 other channels"
    assert (described.in_words({5}), described.in_words(())) == ("1 channel", "nothing")


@pytest.mark.parametrize("words", ["part-1", "Part: 1", "part 1", " PART:  1 "])
def test_a_family_is_found_by_its_id_or_name(words):
    assert description().find(words).id == "part-1"


def test_a_family_that_is_not_there_or_not_the_only_one_is_refused_with_a_way_on():
    with pytest.raises(Img2TabError, match="names no family of hand"):
        description().find("beard")
    with pytest.raises(Img2TabError, match="several families: part-0, part-1"):
        description().find("part")


def test_a_description_is_kept_and_opened_the_same_and_one_of_other_weights_or_damaged_is_none(tmp_path, monkeypatch):
    monkeypatch.setenv("IMG2TAB_HOME", str(tmp_path))
    made = description()
    file = keep(made)
    opened = open_description("hand", "key")
    assert opened is not None and opened.key == made.key
    assert [f.name for f in opened.families] == ["Part: 0", "Part: 1"]
    assert opened.families[0].labels == {"kind": Mean(2.1, 1.6, 2.6)}
    assert np.array_equal(opened.goes_with, made.goes_with)
    assert open_description("hand", "other weights") is None and open_description("nobody", "key") is None
    file.write_text(json.dumps({"format": 1}))
    assert open_description("hand", "key") is None


def test_a_person_s_name_of_a_family_wins_beside_what_was_measured_and_an_empty_one_takes_it_back(
    studio, tmp_path, monkeypatch
):
    monkeypatch.setenv("IMG2TAB_HOME", str(tmp_path))
    described = studio.description()
    if described is None:
        pytest.skip("the families that come with the program are of other weights")
    family = described.families[3]
    studio.name_family(family.id, "  Sunset   light ")
    studio.name_concept(7, "goatee")  # of a channel: both are kept
    renamed = studio.description().find("sunset light")
    assert renamed.id == family.id and renamed.sentence.startswith(f"measured “{family.name}”: ")
    assert studio.concept_names() == {7: "goatee"} and studio.description().key == described.key
    studio.name_family(family.id, "")
    assert studio.description().families[3].name == family.name
    with pytest.raises(Img2TabError, match="has no family nobody"):
        studio.name_family("nobody", "name")
    with pytest.raises(Img2TabError, match="at most 60 characters, got 61"):
        studio.name_family(family.id, "x" * 61)


# --- ranked for a classifier --------------------------------------------------------------------------------------


def test_of_60_families_without_an_effect_hardly_any_is_said_to_move_it_and_5_with_one_all_are():
    wrong = 0
    for seed in range(20):
        effects = np.random.default_rng(seed).normal(size=(65, 24))
        effects[:5] += 2.0
        moves = ranking.moving(effects)
        assert moves[:5].all()
        wrong += int(moves[5:].sum())
    assert wrong <= 0.08 * 20 * 65


def test_an_effect_too_small_to_matter_is_none_however_sure():
    effects = np.full((2, 24), 0.05) + 0.001 * np.random.default_rng(0).normal(size=(2, 24))
    effects[1] += 1
    assert ranking.moving(effects).tolist() == [False, True]


def test_probes_of_smile_and_glasses_tell_test_faces_apart_with_an_auc_above_0_95(studio):
    from sklearn.metrics import roc_auc_score

    table = studio.table()
    probes = readings.probes(table, rows=table.rows("train")[:3000])
    rows = table.rows("test")[:800]
    odds = probes.log_odds(np.ascontiguousarray(table.psi[rows]))
    for name in ("smiling", "glasses"):
        labels = table.labels[name].to_numpy()[rows]
        known = labels >= 0
        assert roc_auc_score(labels[known], odds[known, probes.names.index(name)]) > 0.95


def test_strength_8_is_the_shift_that_channels_are_described_at():
    assert SHIFT == 8.0

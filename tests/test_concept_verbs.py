"""The verbs about concepts, on the families that come with the program; skipped where those are of other weights."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from img2tab_core.base.records import EditCheck
from img2tab_core.cli.main import app
from img2tab_core.concepts.description import FOLDER, REGIONS
from img2tab_core.studio import Studio
from tests.test_families import description as hand_made


@pytest.fixture(scope="module")
def described(studio):
    """The default backbone's families."""
    described = studio.description()
    if described is None:
        pytest.skip("the families that come with the program are of other weights than those that are fetched")
    return described


@pytest.fixture(scope="module")
def ranked(studio, described):
    """They, for the classifier of the smile."""
    return studio.families(studio.run(studio.table(), "smiling"))


def run(*words: object):
    return CliRunner().invoke(app, [str(word) for word in words])


def test_30_to_80_families_are_shipped_in_under_10_mb_and_no_channel_is_in_two(described):
    assert 30 <= len(described.families) <= 80
    assert sum(file.stat().st_size for file in FOLDER.rglob("*") if file.is_file()) < 10_000_000
    members = np.concatenate([family.channels for family in described.families])
    assert len(members) == len(set(members.tolist())) > 500
    assert len({family.id for family in described.families}) == len(described.families)
    for number, family in enumerate(described.families):
        assert (described.family_of[family.channels] == number).all()
        assert (family.parts**2).sum() <= 1 + 1e-3 and described.sheet(family.id)[:4] == b"RIFF"
        part, change = family.name.split(": ")
        assert part and 1 <= len(change.split()) <= 4


def test_the_effect_of_a_family_asked_for_alone_is_the_one_of_the_list_of_all(studio, described, ranked):
    run_ = studio.run(studio.table(), "smiling")
    row = ranked[0]
    alone = studio.effect(run_, row.family)
    assert alone.moves and alone.faces == 24
    assert alone.change.mean == pytest.approx(row.effect.mean, rel=0.02)  # what was read is kept in 16 bits


def test_a_beard_of_6_leaves_the_same_person_and_40_break_the_face_or_make_another(studio, described):
    run_, beard = studio.run(studio.table(), "facial_hair"), described.find("chin-facial-hair")
    code = studio.encode(studio.samples()[1])
    kept, broken = (studio.check_edit(run_, code, beard.edits(by)) for by in (6.0, 40.0))
    assert kept.found and not kept.broken and kept.shown
    assert kept.counted[1] == pytest.approx(studio.predict(run_, code, beard.edits(6.0)).probability, abs=1e-6)
    assert broken.broken and "Move less" in broken.sentence


def test_a_file_is_not_described_before_it_is_added_as_a_backbone(tmp_path):
    result = run("describe-concepts", "--backbone", tmp_path / "own.pt")
    assert result.exit_code == 1 and "img2tab backbone add" in result.output


def test_a_single_channel_is_asked_by_its_number_and_one_of_another_backbone_gets_a_sentence(
    studio, described, monkeypatch
):
    result = run("concepts", "--target", "smiling", "--channel", 2128, "--json")
    (row,) = json.loads(result.stdout)["channels"]
    effect = studio.effect(studio.run(studio.table(), "smiling"), 2128)
    assert (row["index"], row["moves"], row["faces"]) == (2128, True, 24) and row["effect"] == effect.change.mean
    monkeypatch.setattr(Studio, "effect", lambda *asked: effect)  # measured twice by now
    assert f"effect {effect.change.text()}" in run("concepts", "--target", "smiling", "--channel", 2128).output
    assert run("concepts", "--target", "smiling", "--channel", 99_999).exit_code == 1


def test_a_code_that_says_0_9_where_the_picture_says_0_2_is_told():
    told = EditCheck((0.1, 0.9), (0.1, 0.2), 0.3, True)
    assert not told.broken and not told.shown
    assert "from 10.0\N{NO-BREAK SPACE}% to 20.0\N{NO-BREAK SPACE}%" in told.sentence
    assert EditCheck((0.5, 0.55), (0.5, 0.5), 0.3, True).shown  # hardly a change at all


def test_of_five_channels_two_draw_the_first_family_and_one_goes_with_the_second():
    made = hand_made(groups=((1, 2, 3), (5, 6)), stand_ins=((7, 0), (8, 1)), total=12)
    assert made.leaning([1, 3, 8, 0, 4]).tolist() == [0.4, 0.2, 0.4]
    assert made.place_of(1).startswith("One of 3 channels of Part: 0") and "goes with Part: 1" in made.place_of(8)
    assert made.place_of(0).startswith("In no family and with none")


def test_every_part_of_an_answer_has_the_names_that_the_documents_promise(ranked):
    result = run("concepts", "--target", "smiling", "--top", 5, "--json")
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    assert answer["target"] == "smiling" and len(answer["families"]) == 5
    first = answer["families"][0]
    assert set(first) == {
        "id", "name", "trust", "where", "sentence", "distance", "direction", "importance", "stand_in_importance",
        "effect", "effect_interval", "verdict", "weight", "channels", "stand_ins",
    }  # fmt: skip
    assert set(first["where"]) <= set(REGIONS) and first["verdict"] == "moves it"
    low, high = first["effect_interval"]
    assert low <= first["effect"] <= high and low * high > 0


def test_importance_of_families_and_stand_ins_adds_up_to_at_most_1_and_a_smile_moves_the_smile(ranked):
    assert 0.3 < sum(row.importance + row.by_stand_ins for row in ranked) <= 1 + 1e-9
    moving = [row for row in ranked if row.verdict == "moves it"]
    assert any("smile" in row.family.name for row in moving[:10])


def test_a_smile_drawn_by_its_family_is_the_picture_of_its_channels_moved_one_by_one(tmp_path, studio, described):
    family = next(family for family in described.families if "smile" in family.name)
    code = studio.encode(studio.samples()[2])
    np.savez(tmp_path / "codes.npz", psi=code.values[None], backbone=code.backbone)
    each = [f"{edit.index}:{edit.shift:+.6f}" for edit in family.edits(4)]
    for name, edits in (("family", [f"{family.id}:+4"]), ("channels", each)):
        words = [word for edit in edits for word in ("--edit", edit)]
        out = tmp_path / f"{name}.png"
        result = run("render", "--codes", tmp_path / "codes.npz", "--out", out, "--size", 256, *words)
        assert result.exit_code == 0, result.output
    first, second = (np.asarray(Image.open(tmp_path / f"{name}.png"), float) for name in ("family", "channels"))
    assert np.abs(first - second).max() <= 1


@pytest.mark.parametrize(
    ("verb", "says"),
    [
        (["train", "--target", "smiling", "--exclude", "no-such-thing", "--out", "x"], "names no family"),
        (["concepts", "--target", "nothing"], "nothing"),
    ],
)
def test_a_family_or_target_that_is_not_there_is_a_sentence(described, verb, says):
    result = run(*verb)
    assert result.exit_code == 1 and says in result.output and "Traceback" not in result.output

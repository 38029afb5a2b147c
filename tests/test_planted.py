"""The planted benchmark: the plants are what they say, hits are counted right, and a planted cause is found."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest

from img2tab_core.base.errors import Img2TabError
from img2tab_core.concepts.description import REGIONS
from img2tab_core.training.measuring import planted, planted_causes, planted_methods, planted_networks, planted_score
from img2tab_core.training.measuring.planted_causes import CONTROL, PLANTS
from img2tab_core.training.measuring.planted_methods import chance_of_hit, methods, region_vote
from img2tab_core.training.measuring.planted_networks import Learnt, Pool, has_learnt, held_out, lesson, planted_in

PLANT = {plant.name: plant for plant in PLANTS}


@pytest.fixture(scope="module")
def pool() -> Pool:
    """1,200 grey pictures of 8 px, every second smiling, every third fringed, each a level lighter than another."""
    count = 1200
    number = np.arange(count)
    level = np.random.default_rng(0).permutation(count) % 200
    pictures = np.broadcast_to(level[:, None, None, None], (count, 8, 8, 3)).astype(np.uint8)
    fringe = np.where(number % 3 == 0, 1, 0).astype(np.int8)
    return Pool(number, pictures, number % 2 == 0, number % 5 < 4, {"fringe": fringe, "skin_lighter": fringe})


def _shares(made) -> tuple[float, float]:
    return made.planted[made.smile].mean(), made.planted[~made.smile].mean()


@pytest.mark.parametrize("name", ["fringe", "background_light", "collar_patch"])
def test_95_percent_of_the_smiling_faces_have_the_planted_thing_and_5_percent_of_the_others(pool, name):
    made = lesson(PLANT[name], pool, seed=3, per_class=110)
    assert made.smile.sum() == (~made.smile).sum() == 100  # the multiple of 20 below
    assert _shares(made) == (0.95, 0.05)
    assert len(set(made.numbers.tolist())) == 200
    assert (pool.smile[made.numbers] == made.smile).all() and pool.learn[made.numbers].all()


def test_the_planted_thing_is_what_the_table_or_the_picture_says(pool):
    made = lesson(PLANT["fringe"], pool, seed=0)
    assert (made.planted == (pool.labels["fringe"][made.numbers] == 1)).all()
    darker = lesson(PLANT["skin_darker"], pool, seed=0)
    assert (darker.planted == (pool.labels["skin_lighter"][darker.numbers] == 0)).all()
    light = lesson(PLANT["background_light"], pool, seed=0)
    level = pool.pictures[light.numbers, 0, 0, 0]
    assert level[light.planted].min() > 130 and level[~light.planted].max() < 70  # thirds of 0 to 199


def test_a_control_has_nothing_planted_and_other_faces_with_another_seed(pool):
    one, other = (lesson(CONTROL, pool, seed=seed, per_class=200) for seed in (0, 1))
    assert not one.planted.any() and one.smile.mean() == 0.5
    assert set(one.numbers.tolist()) != set(other.numbers.tolist())


def test_ten_faces_of_a_kind_are_too_few_and_said_so(pool):
    few = Pool(pool.rows[:40], pool.pictures[:40], pool.smile[:40], pool.learn[:40], {"fringe": pool.labels["fringe"]})
    with pytest.raises(Img2TabError, match="too few faces to plant a red patch at the collar: 0 of each class, 40"):
        lesson(PLANT["collar_patch"], few, seed=0)


def test_the_faces_held_out_are_of_four_kinds_in_turn_and_none_was_learnt_from(pool):
    held = held_out(PLANT["fringe"], pool, seed=0, cell=20)
    assert held.smile[:4].tolist() == [True, True, False, False] and held.planted[:4].tolist() == [True, False] * 2
    assert len(held.numbers) == 80 and not pool.learn[held.numbers].any()


def test_the_middle_third_of_a_measure_is_neither_with_nor_without(pool):
    has, known = planted_in(PLANT["picture_light"], pool, seed=0)
    assert abs(known.mean() - 2 / 3) < 0.02 and abs(has.mean() - 1 / 3) < 0.02 and not (has & ~known).any()


@pytest.mark.parametrize("name", [plant.name for plant in PLANTS if plant.kind == "painted"])
def test_what_is_painted_changes_its_place_and_leaves_what_was_handed_in(name):
    grey = np.full((2, 64, 64, 3), 100, np.uint8)
    done = planted_causes.painted(name, grey)
    changed = (done != 100).any(axis=(0, 3)).mean()
    assert (grey == 100).all()
    least, most = {"grain": (0.9, 1), "blue_frame": (0.11, 0.13)}.get(name, (0.005, 0.03))
    assert least <= changed <= most


def test_light_from_the_left_is_measured_as_30_levels():
    grey = np.full((1, 64, 64, 3), 100, np.uint8)
    grey[:, :, :32] = 130
    assert planted_causes.measured("light_from_left", grey) == pytest.approx([30])
    assert planted_causes.measured("picture_light", grey) == pytest.approx([115])
    assert planted_causes.measured("background_warm", grey) == pytest.approx([0], abs=1e-4)


@pytest.mark.parametrize(
    "kinds, follows, learnt",
    [
        ({"smile, planted": (10, 10), "smile": (2, 10), "planted": (7, 10), "neither": (0, 10)}, (15, 20), True),
        ({"smile, planted": (10, 10), "smile": (8, 10), "planted": (1, 10), "neither": (0, 10)}, (3, 20), False),
        ({"smile, planted": (10, 10), "smile": (0, 10), "planted": (2, 10), "neither": (0, 10)}, (12, 20), False),
    ],
)
def test_a_plant_is_learnt_where_answers_follow_it_among_smiling_faces_and_among_others(kinds, follows, learnt):
    made = Learnt(kinds)
    assert made.follows == follows and has_learnt(PLANT["fringe"], made) is learnt


def test_a_control_is_right_about_34_of_40_faces():
    made = Learnt({"smile, planted": (9, 10), "smile": (8, 10), "planted": (2, 10), "neither": (1, 10)})
    assert made.accuracy == 34 / 40 and has_learnt(CONTROL, made)


# --- methods and score -----------------------------------------------------------------------------------------------


def test_the_vote_of_regions_is_their_mean_heat_in_the_shares_of_a_family():
    heat = np.array([[4.0, 0.0], [0.0, 2.0]])
    left, right = np.array([[1.0, 0], [1, 0]]), np.array([[0, 1.0], [0, 1]])  # mean heat 2 and 1
    where = np.array([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]])
    assert region_vote(heat, np.stack([left, right]), where).tolist() == [2.0, 1.0, 1.5]


def test_a_region_nobody_has_gets_no_vote():
    assert region_vote(np.ones((2, 2)), np.zeros((1, 2, 2)), np.ones((1, 1))).tolist() == [0.0]


def test_one_cause_of_four_families_is_first_by_chance_in_a_quarter_and_among_three_in_three_quarters():
    assert [chance_of_hit(1, 4, first) for first in (1, 3, 10)] == pytest.approx([0.25, 0.75, 1.0])
    assert chance_of_hit(0, 75, 10) == 0.0


def _record(kind: str, order: list[str], reported: list[str], *, learnt: bool = True) -> dict:
    return {
        "plant": "fringe",
        "title": "a fringe",
        "kind": kind,
        "seed": 5,
        "faces": 200,
        "families": 5,
        "follows": [70, 120],
        "accuracy": 0.9,
        "learnt": learnt,
        "causes": ["c"] if kind != "control" else [],
        "smile": ["m", "n"],
        "allowed": ["m", "n", "k"],
        "methods": {
            planted_score.OURS: {"order": order, "reported": reported, "queries": 100, "seconds": 2.0},
            "Grad-CAM": None,
        },
    }


RECORDS = [
    _record("label", ["c", "m", "n", "k", "z"], ["c"]),
    _record("measure", ["m", "n", "z", "c", "k"], ["m", "n"]),  # fourth; second without the smile
    _record("painted", ["m", "n", "k", "z"], []),  # not there at all
    _record("label", ["z", "c"], ["z"], learnt=False),  # does not count
    _record("control", ["m", "k", "n", "z", "c"], ["m", "k", "n", "z"]),  # clean first three, one false cause behind
    _record("control", ["z", "m"], ["z"]),
]


def test_hits_are_counted_by_hand_1_of_3_and_2_of_3_where_the_smile_is_left_out():
    ours = planted_score.scores(RECORDS)[0]
    every = ours.first["all plants"]
    assert [(every[first].hits, every[first].of) for first in (1, 3, 10)] == [(1, 3), (1, 3), (2, 3)]
    assert ours.first["plants the generator can draw"][3].text() == "1 of 2, 50 % (9 to 91)"
    assert ours.without_smile["all plants"].hits == 2
    assert (ours.clean.hits, ours.silent.hits, ours.clean.of) == (1, 0, 2)
    assert (ours.queries, ours.seconds) == (100, 2.0)


def test_a_method_that_is_not_installed_is_said_to_be_and_counts_for_nothing():
    score = planted_score.scores(RECORDS)[1]
    assert score.queries is None and score.first["all plants"][1].of == 0
    about = {"families": 5, "made_by": "img2tab planted", "day": "2026-01-01", "machine": "one core", "split": "Final."}
    page = planted_score.page(RECORDS, about)
    assert "| Grad-CAM | not installed | | | | |" in page
    assert "| ours | 1 of 3, 33 % (6 to 79) |" in page
    assert "all plants: not reached" in page and "ahead of every rival: reached" in page
    assert planted_score.told(RECORDS[1])["methods"][planted_score.OURS]["place"] == 4


def test_both_plants_that_were_missed_are_listed_with_what_stood_in_front():
    first, second = planted_score.failures(RECORDS)
    assert "has place 4, behind families of the smile" in first and first.endswith("First: m, n, z.")
    assert "no family that counts is in the order" in second


def test_one_plant_is_found_by_another_method_alone_and_none_by_ours_alone():
    other = {"order": ["c"], "reported": ["c"], "queries": 1, "seconds": 1.0}
    both = [record | {"methods": record["methods"] | {"other": other}} for record in RECORDS]
    assert planted_score.against_ours(both, "other", "plants the generator can draw") == (0, 1)
    assert planted_score.against_ours(both, "Grad-CAM", "all plants") == (0, 0)


def test_without_captum_two_of_nine_methods_are_left_out(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert [name for name, method in methods().items() if method is None] == ["Grad-CAM", "integrated gradients"]
    assert len(methods()) == 9


def test_a_rank_does_not_count_the_places_that_are_left_out():
    assert planted_score.rank_of(["m", "n", "c"], ["c"]) == 3
    assert planted_score.rank_of(["m", "n", "c"], ["c"], leave_out=["m"]) == 2
    assert planted_score.rank_of(["m"], ["c"]) is None


def test_twenty_plants_are_all_and_the_next_one_is_the_first_with_another_seed():
    listed = planted.plants_of(21, 3, 100)
    plants = [(plant.name, seed) for plant, seed in listed if plant.kind != "control"]
    assert len(listed) == 24 and len(set(plants)) == 21
    assert plants[20] == (PLANTS[0].name, 101) and len(PLANTS) == 20
    assert [seed for plant, seed in listed if plant.kind == "control"] == [100, 101, 102]


def test_the_smallest_sample_names_seeds_of_development_and_of_the_final_set():
    assert "development" in planted.split_text(3) and "run once" in planted.split_text(200)


def _verb(monkeypatch, *options: str, records: list[dict] = RECORDS):
    from typer.testing import CliRunner

    from img2tab_core.cli.planted import planted_app

    monkeypatch.setattr("torch.set_num_threads", lambda count: None)
    monkeypatch.setattr("img2tab_core.cli.terminal.studio", lambda: None)
    monkeypatch.setattr(planted, "bench", lambda studio, **options: SimpleNamespace(ids=list("cmnkz")))
    monkeypatch.setattr(planted, "measure", lambda made, networks, **options: records)
    return CliRunner().invoke(planted_app, ["--count", "4", "--controls", "2", *options])


def test_the_verb_writes_the_page_beside_six_records_and_says_how_it_was_made(monkeypatch, tmp_path):
    done = _verb(monkeypatch, "--out", str(tmp_path / "planted.json"), "--json")
    assert done.exit_code == 0, done.output
    figures = json.loads((tmp_path / "planted.json").read_text())
    assert json.loads(done.stdout) == figures and len(figures["networks"]) == 6
    assert "`img2tab planted --count 4 --controls 2 --seed 200`" in (tmp_path / "planted.md").read_text()


@pytest.mark.parametrize(
    "options, records, code, sentence",
    [
        (["--out", "a.txt"], RECORDS, 1, "--out must end in .md or .json, got a.txt."),
        ([], RECORDS[:2], 130, "Stopped after 2 of 6 networks; their records are kept."),
    ],
)
def test_another_ending_and_a_stop_after_2_of_6_are_a_sentence(monkeypatch, options, records, code, sentence):
    done = _verb(monkeypatch, *options, records=records)
    assert done.exit_code == code and sentence in done.output


# --- on the real table -----------------------------------------------------------------------------------------------


def test_what_counts_as_a_cause_is_fixed_by_the_description_5_families_at_most_none_of_the_mouth(studio):
    description = studio.described(studio.table().backbone)
    still = np.zeros((2, 2 * len(description.families) + 1, 8, 8, 3), np.uint8)  # nothing changes a measure
    smile = planted_causes.smile_families(description)
    names = [family.name for family in description.families]
    for plant in PLANTS:
        numbers = planted_causes.causes(plant, description, still)
        assert len(numbers) <= 5 and not smile & set(numbers)
        if plant.kind == "measure" or plant.name == "grain":
            assert not numbers
    (fringe,) = planted_causes.causes(PLANT["fringe"], description, still)
    assert names[fringe] == "Forehead: fringe"
    assert smile <= planted_causes.true_in_controls(description)


@pytest.mark.slow
@pytest.mark.long
def test_a_background_planted_in_800_faces_is_learnt_and_found_among_the_first_three(studio, monkeypatch):
    from threadpoolctl import threadpool_limits

    monkeypatch.setattr(planted_networks, "FACES", 10_000)  # none of the rare ones
    for name, number in (("MASKS", 60), ("CAVS", 3), ("RANDOM_CAVS", 10)):
        monkeypatch.setattr(planted_methods, name, number)
    made = planted.bench(studio, faces=800, asked=60, moved=4)
    assert made.subjects.regions.shape == (len(REGIONS), 32, 32)
    assert np.allclose(made.subjects.regions.sum(axis=0), 1)
    with threadpool_limits(1):
        record = planted.measure_one(made, PLANT["background_light"], 1, steps=80)
    assert record["learnt"] and record["follows"][0] > 0.7 * record["follows"][1]
    places = {
        name: planted_score.rank_of(answer["order"], record["causes"])
        for name, answer in record["methods"].items()
        if answer is not None
    }
    assert places[planted_score.OURS] <= 3 and set(places) >= {"TCAV", "RISE", "ours: distance alone"}
    assert all(len(set(answer["order"])) == record["families"] for answer in record["methods"].values() if answer)
    assert set(record["methods"]) == set(methods())

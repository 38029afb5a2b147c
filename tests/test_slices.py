"""Groups nobody named: planted ones are sought out and confirmed, luck is not, figures by hand, in a terminal."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pandas as pd
import pytest
from scipy.stats import fisher_exact
from typer.testing import CliRunner

from img2tab_core import tables
from img2tab_core.audits import slices
from img2tab_core.audits.auditor import Auditor
from img2tab_core.audits.conditions import Condition, _thirds, conditions_of, in_words
from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.layout import StyleLayout
from img2tab_core.base.records import Target
from img2tab_core.classifiers.catboost import CatBoostConcepts
from img2tab_core.cli import main
from img2tab_core.studio import Studio

COUNT = 6000
LABELS = (0.5, 0.3, 0.1, 0.15, 0.85, 0.5, 0.25, 0.4)  # how often each of the labels of a made-up table holds
CONCEPTS = 40
# what is planted: of a label, of two labels, of a label and a concept, each with a share of wrong decisions
PLANTED = (((4,), 0.24), ((0, 10), 0.4), ((6, 2 * len(LABELS) + 30), 0.4))


def made_up(rng, planted, count=3000):
    """Faces with 8 labels and 40 concepts, 8 % judged wrongly, more of them in what is planted: (wrong, holds)."""
    labels = [rng.random(count) < share for share in LABELS]
    columns = [held for label in labels for held in (label, ~label)]
    for number in range(CONCEPTS):  # half of the concepts go with a label
        score = rng.normal(size=count) + 0.6 * labels[number % len(LABELS)] * (number < CONCEPTS // 2)
        columns += [score >= 1, np.abs(score) < 1, score <= -1]
    holds, rate = np.stack(columns, axis=1), np.full(count, 0.08)
    for numbers, share in planted:
        rate[holds[:, list(numbers)].all(axis=1)] = share
    return rng.random(count) < rate, holds


def confirmed(seed, planted, **options):
    """The numbers of the conditions of every slice, with whether it is confirmed."""
    rng = np.random.default_rng(seed)
    sought, tested = made_up(rng, planted), made_up(rng, planted)
    conditions = [Condition("label", str(number), f"labelled {number}") for number in range(sought[1].shape[1])]
    measured = slices.measured_slices(
        sought, tested, conditions, np.arange(len(tested[0])), np.full(len(tested[0]), 0.9), **options
    )
    return {tuple(int(each.name) for each in found.conditions): found for found in measured}


# --- planted slices, and luck ------------------------------------------------------------------------------


def test_15_of_15_planted_slices_are_confirmed_and_no_other_group_is():
    wanted = {numbers for numbers, _ in PLANTED}
    hits, others = 0, 0
    for seed in range(5):
        found = {numbers for numbers, each in confirmed(100 + seed, PLANTED).items() if each.confirmed}
        hits, others = hits + len(found & wanted), others + len(found - wanted)
    assert (hits, others) == (15, 0)


def test_of_20_tables_without_a_planted_slice_at_most_1_has_a_false_alarm():
    found = [confirmed(seed, ()) for seed in range(20)]
    assert sum(each.chance is not None for table in found for each in table.values()) >= 10
    assert sum(any(each.confirmed for each in table.values()) for table in found) <= 1  # 5 % of 20


def test_of_100_tables_with_10_groups_that_are_as_the_rest_at_most_5_percent_have_a_false_alarm():
    rng, alarms = np.random.default_rng(0), 0
    for _ in range(100):
        wrong, holds = rng.random(1000) < 0.2, rng.random((1000, 10)) < 0.3
        tested = slices.confirm_slices(wrong, holds, [(number,) for number in range(10)])
        alarms += any(controlled <= slices.LEVEL for _, controlled in tested)
    assert alarms <= 5


def test_a_slice_of_3_conditions_is_sought_out_where_3_are_allowed_and_2_do_not_say_all():
    planted = (((0, 2, 10), 0.6),)
    assert confirmed(3, planted, deepest=3)[0, 2, 10].confirmed
    assert (0, 2, 10) not in confirmed(3, planted, deepest=2)


def test_a_condition_that_adds_nothing_to_a_larger_group_is_left_out():
    found = confirmed(5, (((4,), 0.5),))
    assert [numbers for numbers, each in found.items() if each.confirmed] == [(4,)]


# --- figures by hand and by brute force --------------------------------------------------------------------


def test_the_first_slice_is_the_one_that_trying_every_pair_by_itself_gives():
    wrong, holds = made_up(np.random.default_rng(1), PLANTED, 1500)
    best, furthest = (), 0.0
    for pair in itertools.combinations(range(holds.shape[1]), 2):
        inside = holds[:, pair].all(axis=1)
        if 30 <= inside.sum() <= 750:
            expected = inside.sum() * wrong.mean()
            spread = np.sqrt(expected * (1 - wrong.mean()) * (1 - inside.mean()))
            beyond = (wrong[inside].sum() - expected - 0.5) / spread
            if beyond > furthest:
                best, furthest = pair, beyond
    assert slices.seek_slices(wrong, holds)[0] == best == (0, 10)


def test_a_slice_is_tested_by_fisher_against_all_others_and_the_interval_is_newcombes():
    wrong = np.repeat([True, False, True, False], [56, 14, 48, 32])  # 56 of 70 against 48 of 80
    holds = np.repeat([True, False], [70, 80])[:, None]
    ((chance, controlled),) = slices.confirm_slices(wrong, holds, [(0,)])
    assert chance == controlled == pytest.approx(fisher_exact([[56, 14], [48, 32]], alternative="greater").pvalue)
    sought = np.tile(wrong, 4), np.tile(holds, (4, 1))
    (found,) = slices.measured_slices(
        sought, (wrong, holds), [Condition("label", "a", "labelled a")], np.arange(150), np.ones(150)
    )
    measured = found.difference  # Newcombe 1998, table II, method 10: 0.0524 to 0.3339
    assert (measured.value, measured.low, measured.high) == pytest.approx((0.2, 0.0524, 0.3339), abs=5e-5)
    assert found.sentence == (
        "Among faces labelled a, 80.0\u00a0% are judged wrongly, 60.0\u00a0% elsewhere: 20.0 points, interval 5.2 to "
        "33.4 (70 test faces, q = 0.006)."
    )
    assert set(found.rows[:56]) == set(range(56))  # the misjudged ones first


def test_a_group_of_29_test_faces_gets_no_number():
    rng = np.random.default_rng(0)
    holds = (np.arange(600) < 29)[:, None]
    assert slices.confirm_slices(rng.random(600) < np.where(holds[:, 0], 0.9, 0.1), holds, [(0,)]) == [(None, None)]
    sought = (np.arange(600) < 60)[:, None]
    wrong = rng.random(600) < np.where(sought[:, 0], 0.9, 0.1)
    (found,) = slices.measured_slices(
        (wrong, sought), (wrong, holds), [Condition("label", "a", "labelled a")], np.arange(600), np.ones(600)
    )
    assert not found.confirmed and found.difference.value is None
    assert found.sentence == "Among faces labelled a: too few to say, 29 test faces; it takes 30."


@pytest.mark.parametrize("deepest", [0, 4])
def test_a_group_has_1_to_3_conditions(deepest):
    with pytest.raises(Img2TabError, match=f"1 to 3 conditions, got {deepest}"):
        slices.seek_slices(np.zeros(4, bool), np.zeros((4, 1), bool), deepest=deepest)


# --- on a table, in a terminal -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """`kind` follows channel 0, but for 45 % of the faces labelled right and odd, whose label is the other one."""
    home, rng = tmp_path_factory.mktemp("home"), np.random.default_rng(0)
    psi = rng.normal(size=(COUNT, 6)).astype(np.float32)
    group, odd = (rng.integers(0, 2, COUNT).astype(np.int8) for _ in range(2))
    wrong = (group == 1) & (odd == 1) & (rng.random(COUNT) < 0.45)
    kind = ((psi[:, 0] > 0) ^ wrong).astype(np.int8)
    labels = pd.DataFrame(
        {"kind": kind, "group": group, "odd": odd, "size_in_cm": rng.uniform(0, 30, COUNT), "score": psi[:, 0] + kind}
    )
    labels["photo"] = [f"{number}.jpg" for number in range(COUNT)]  # as an import writes it
    classes = {"kind": ("plain", "special"), "group": ("left", "right"), "odd": ("even", "odd")}
    tables.write_table(
        home / "tables" / "toy",
        lambda rows: psi[rows],
        labels,
        targets=[Target(name, name.title(), classes[name], "by hand") for name in classes],
        layout=StyleLayout((6,)),
        backbone="made-by-hand",
        key="toy-key",
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IMG2TAB_HOME", str(home))
        patch.setitem(CatBoostConcepts.__init__.__kwdefaults__, "iterations", 40)
        yield home


def test_the_group_whose_labels_were_turned_is_named_with_its_faces(home):
    door = Studio()
    table = door.table("toy")
    run = door.run(table, "kind")
    measured = Auditor(door).slices(run)
    (found,) = measured.confirmed
    assert found.words == "labelled right and odd" and measured.faces == (900 + 450, 450)  # 15 % and 7.5 % of 6,000
    assert found.difference.low > 0.2 and "validation faces and half of the test faces" in measured.how
    faces = Auditor(door).slice_faces(run, found)
    assert len(faces) == 12 and all(face.called != face.label for face in faces)
    chances = [face.probability for face in faces]
    assert chances == sorted(chances, reverse=True) and chances[-1] > 0.5
    both = table.labels.loc[[face.row for face in faces]]
    assert (both["group"] == 1).all() and (both["odd"] == 1).all()
    of_plain = Auditor(door).slices(run, label=0)
    assert of_plain.confirmed[0].words == "labelled plain, right and odd"
    assert "of all others labelled plain" in of_plain.sentence
    with pytest.raises(Img2TabError, match="numbered 0 to 1, got 2"):
        Auditor(door).slices(run, label=2)


def test_conditions_are_labels_and_thirds_of_measures_and_what_tells_the_target_is_left_out(home):
    table = Studio().table("toy")
    every = conditions_of(table, "kind", None, table.rows("test"))
    words = [condition.words for condition in every.conditions]
    assert words[:4] == ["labelled left", "labelled right", "labelled even", "labelled odd"]
    assert len(words) == 7 and words[4].startswith("with size in cm under ") and every.left_out == ("score",)
    assert every.holds[:, 4:].sum(axis=1).tolist() == [1] * len(table.rows("test"))
    assert every.holds.mean(axis=0)[4:] == pytest.approx([1 / 3] * 3, abs=0.05)
    assert in_words(every.conditions[1::3]) == f"labelled right and {words[4]}"


def test_the_terminal_says_it_writes_it_and_knows_a_class_by_its_name(home, tmp_path):
    runner = CliRunner()
    told = runner.invoke(main.app, ["slices", "--target", "kind", "--table", "toy"])
    assert told.exit_code == 0, told.output
    assert told.stdout.startswith("1 group that nobody named is judged wrongly more often than the rest. Among faces l")
    assert "Left out, as it tells the target itself: score." in told.stdout
    file = tmp_path / "slices.csv"
    asked = ["slices", "--target", "kind", "--table", "toy", "--labelled", "Special", "--json", "--out", str(file)]
    content = json.loads(runner.invoke(main.app, asked).stdout)
    assert content["slices"][0]["words"] == "labelled special, right and odd"
    assert pd.read_csv(file)["confirmed"][0]
    refused = runner.invoke(main.app, ["slices", "--target", "kind", "--table", "toy", "--labelled", "big"])
    assert refused.exit_code == 1 and "--labelled must be one of plain, special, got 'big'." in refused.stderr


def test_thirds_of_the_years_1990_to_2004_are_thirds():
    years = np.repeat(np.arange(1990.0, 2005.0), 40)
    thirds = _thirds("year", years, years)
    assert [float(held.mean()) for _, held in thirds] == pytest.approx([1 / 3] * 3, abs=0.04)
    assert thirds[0][0].words == "with year under 1995"

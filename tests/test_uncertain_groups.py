"""Groups that a network perceives: counts corrected by hand, intervals that hold the true gap, and too few faces."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from img2tab_core import tables
from img2tab_core.audits.uncertain_groups import GroupError, counted, counts_of, uncertain_gap
from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.layout import StyleLayout
from img2tab_core.base.records import Target
from img2tab_core.classifiers.catboost import CatBoostConcepts
from img2tab_core.cli import main

NAMES = {"groups": ("perceived female", "perceived male"), "classes": ("perceived older", "perceived young")}


def error(first, second, faces=1_000_000):
    return GroupError("A network", "test faces", (round(first * faces), round(second * faces)), (faces, faces))


def gap(counts, of, **options):
    return uncertain_gap(np.array(counts), of, **NAMES, **options)


def test_perceived_counts_are_turned_into_those_of_true_groups_by_hand():
    # truly: of class 0, 300 of 1,000 in group 0 and 100 of 1,000 in group 1 are judged wrongly; of class 1, 100 each.
    # The network sees 90 % of group 0 and 80 % of group 1 so: of 700 rightly and 900 rightly judged of class 0 it
    # calls 700 x 0.9 + 900 x 0.2 = 810 group 0, of 300 and 100 wrongly judged 290; of class 1 990 of 1,800 and 110.
    measured = gap([[[810, 790], [290, 110]], [[110, 90], [990, 810]]], error(0.9, 0.8))
    assert measured.corrected.value == pytest.approx(0.2)
    assert measured.shares == (pytest.approx((0.3, 0.1)), pytest.approx((0.1, 0.1)))
    assert measured.group_share == pytest.approx(0.5) and measured.faces == (2200, 1800)
    naive = 290 / 1100 - 110 / 900
    assert measured.naive.value == pytest.approx(naive) and naive < 0.15  # errors make a gap look smaller
    assert measured.corrected.low < 0.2 < measured.corrected.high
    assert measured.sentence.startswith(
        "Of the faces labelled older, 30.0\u00a0% of those that are female are called young, 10.0\u00a0% of those that "
        "are male: 20.0 points, 95\u00a0% interval "
    )
    assert measured.sentence.endswith("With perceived groups as they are: 14.1.")


def test_a_network_that_never_errs_changes_nothing_and_fewer_faces_counted_widen_the_interval():
    counts = [[[810, 790], [290, 110]], [[110, 90], [990, 810]]]
    never = gap(counts, error(1, 1))
    for end in ("value", "low", "high"):
        assert getattr(never.corrected, end) == pytest.approx(getattr(never.naive, end), abs=0.002)
    many, few = (gap(counts, error(0.9, 0.8, faces)).corrected for faces in (1_000_000, 50))
    assert many.value == few.value and few.high - few.low > 1.3 * (many.high - many.low)
    assert many.high - many.low > never.corrected.high - never.corrected.low


def test_57_or_more_of_60_intervals_hold_the_true_gap_where_at_most_30_of_those_without_correction_do():
    held, naive = 0, 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        group, label = rng.random(3000) < 0.4, rng.random(3000) < 0.5
        wrong = rng.random(3000) < np.where(~label & group, 0.3, 0.1)  # 20 points in class 0
        seen = np.where(rng.random(3000) < np.where(group, 0.8, 0.9), group, ~group)
        of = GroupError("A network", "200 faces", (rng.binomial(200, 0.9), rng.binomial(200, 0.8)), (200, 200))
        measured = gap(counts_of(label, label ^ wrong, seen), of, repeats=400)
        held += measured.corrected.low <= 0.2 <= measured.corrected.high
        naive += measured.naive.low <= 0.2 <= measured.naive.high
    assert held >= 57 and naive <= 30


def test_the_sentence_quotes_the_interval_of_the_label_it_names_and_the_one_beyond_chance_before_a_wider_one():
    # of class 0 60 faces in either group, 6 and 9 of them judged wrongly; of class 1 3,000 each, 300 and 420 wrongly
    measured = gap([[[54, 51], [6, 9]], [[300, 420], [2700, 2580]]], error(1, 1))
    older, young = measured.by_label
    assert older.value > young.value and older.low == 0 < young.low and measured.corrected.value == older.value
    assert measured.sentence.startswith("Of the faces labelled young, 14.0")
    assert (
        f"4.0 points, 95\N{NO-BREAK SPACE}% interval {100 * young.low:.1f} to {100 * young.high:.1f}"
        in measured.sentence
    )


def test_what_cannot_be_told_is_no_number():
    guess = gap([[[500, 500], [100, 100]], [[100, 100], [500, 500]]], error(0.6, 0.55))
    assert guess.corrected.value is None and guess.shares == ((None, None), (None, None))
    assert guess.sentence.startswith("Cannot be told: A network tells 60.0\u00a0% and 55.0\u00a0% of the two groups")
    few = gap([[[500, 3], [100, 0]], [[100, 100], [500, 500]]], error(1, 1))
    assert few.sentence == "Cannot be told: about 3 test faces would be labelled older and male; it takes 30."
    none = gap(np.zeros((2, 2, 2), int), error(1, 1))
    assert none.corrected.value is None and none.naive.value is None and none.group_share is None


def test_counts_are_read_and_refused():
    assert counted("46/50, 48/50", "A network").right == (46, 48)
    for text, why in (("46 of 50", "as 46/50,48/50, got '46 of 50'"), ("51/50,1/2", "got 51 of 50")):
        with pytest.raises(Img2TabError, match=why):
            counted(text, "A network")
    with pytest.raises(Img2TabError, match="by label, decision and perceived group"):
        gap(np.zeros((2, 2), int), error(1, 1))


# --- a table with a target and nothing else ----------------------------------------------------------------


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """`known`, whose `group` is channel 1, and `bare`, which has `kind` alone: wrong more often in that group."""
    home, rng = tmp_path_factory.mktemp("home"), np.random.default_rng(0)
    for name, count in (("known", 2000), ("bare", 4000)):
        psi = rng.normal(size=(count, 6)).astype(np.float32)
        group = (psi[:, 1] + 0.3 * rng.normal(size=count) > 0).astype(np.int8)
        kind = ((psi[:, 0] > 0) ^ ((group == 1) & (rng.random(count) < 0.3))).astype(np.int8)
        labels = pd.DataFrame({"kind": kind, "group": group} if name == "known" else {"kind": kind})
        classes = {"kind": ("plain", "special"), "group": ("left", "right")}
        tables.write_table(
            home / "tables" / name,
            lambda rows, psi=psi: psi[rows],
            labels,
            targets=[Target(column, column.title(), classes[column], "by hand") for column in labels],
            layout=StyleLayout((6,)),
            backbone="made-by-hand",
            key=name,
        )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IMG2TAB_HOME", str(home))
        patch.setitem(CatBoostConcepts.__init__.__kwdefaults__, "iterations", 40)
        yield home


def test_the_terminal_tells_the_gap_of_groups_that_another_tables_classifier_perceives(home):
    asked = ["perceived", "--table", "bare", "--target", "kind", "--groups", "group", "--of", "known"]
    told = CliRunner().invoke(main.app, asked)
    assert told.exit_code == 0, told.output
    assert "The classifier of Group tells the group of " in told.stdout and " of the left and " in told.stdout
    assert "counted on test faces of the table known, against their labels." in told.stdout
    content = json.loads(CliRunner().invoke(main.app, [*asked, "--right", "45/50,45/50", "--json"]).stdout)
    assert content["error"] == {
        "by": "The classifier of Group", "on": "faces of your own", "right": [45, 45], "faces": [50, 50],
    }  # fmt: skip
    assert content["corrected"]["value"] > content["naive"]["value"] > 0.15 and content["corrected"]["low"] > 0
    refused = CliRunner().invoke(main.app, [*asked, "--right", "45"])
    assert refused.exit_code == 1 and "as 46/50,48/50, got '45'" in refused.stderr

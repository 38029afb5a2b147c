"""The audit matrix: figures by hand, luck counted over seeds, kept and gone on with, in a terminal, on a page."""

from __future__ import annotations

import dataclasses
import json
import math
import time

import numpy as np
import pandas as pd
import pytest
import streamlit as st
from streamlit.proto.WidgetStates_pb2 import WidgetState
from streamlit.testing.v1 import AppTest
from typer.testing import CliRunner

from dashboard.charts import audits as audit_charts
from dashboard.state import doors
from img2tab_core import tables
from img2tab_core.audits import audit, matrix
from img2tab_core.audits.auditor import Auditor
from img2tab_core.audits.groups import Groups
from img2tab_core.base.errors import Cancelled, Img2TabError
from img2tab_core.base.layout import StyleLayout
from img2tab_core.base.records import DEFAULT_BACKBONE, Target
from img2tab_core.classifiers import runs
from img2tab_core.classifiers.catboost import CatBoostConcepts
from img2tab_core.cli import main
from img2tab_core.sessions import session_runs
from img2tab_core.studio import Studio

COUNT = 3000
NAMES = ("kind", "group", "coin", "rare")


def faces(*confusions):
    """Labels, probabilities and groups that have these tn, fp, fn, tp, group by group."""
    labels = np.concatenate([np.repeat([0, 0, 1, 1], counts) for counts in confusions])
    decided = np.concatenate([np.repeat([0, 1, 0, 1], counts) for counts in confusions])
    codes = np.repeat(np.arange(len(confusions)), [sum(counts) for counts in confusions])
    return labels, np.where(decided == 1, 0.9, 0.1), Groups("Side", ("left", "right")[: len(confusions)], codes)


def pair(*confusions, target="kind", attribute="group"):
    return matrix.pair_of(target, attribute, *faces(*confusions))


def one_sided(fp, negatives, other_fp, other_negatives):
    """Fisher's exact test, both sides, from binomial coefficients alone."""
    total, wrong = negatives + other_negatives, fp + other_fp
    ways = [
        math.comb(negatives, k) * math.comb(other_negatives, wrong - k)
        for k in range(max(0, wrong - other_negatives), min(negatives, wrong) + 1)
    ]
    reached = math.comb(negatives, fp) * math.comb(other_negatives, other_fp)
    return sum(way for way in ways if way <= reached) / math.comb(total, wrong)


# --- figures by hand ---------------------------------------------------------------------------------------


def test_a_cell_counted_by_hand_has_a_gap_of_20_points_in_the_class_where_70_against_90_of_100_are_found():
    cell = pair((80, 20, 10, 90), (95, 5, 30, 70))
    assert cell.confusions == ((80, 20, 10, 90), (95, 5, 30, 70)) and cell.counts == (200, 200)
    assert cell.gap.value == pytest.approx(0.2) and cell.gap.low < 0.2 < cell.gap.high
    assert cell.wider == 1 and cell.wrong(1) == pytest.approx((0.1, 0.3)) and cell.wrong(0) == (0.2, 0.05)
    assert cell.base_rates == (0.5, 0.5) and cell.smallest == 100 and not cell.too_small
    expected = one_sided(20, 100, 5, 100), one_sided(10, 100, 30, 100)
    assert cell.chances == pytest.approx(expected) and cell.chance == pytest.approx(2 * min(expected))


def test_a_cell_says_to_the_bit_what_an_audit_of_the_same_faces_says():
    labels, probability, groups = faces((180, 41, 22, 310), (95, 5, 31, 70))
    cell = matrix.pair_of("kind", "group", labels, probability, groups)
    assert cell.gap == audit.audit(labels, probability, [groups]).gaps["equalised_odds"]


def test_29_faces_of_a_group_and_class_are_too_few_to_say_and_30_are_not():
    few, enough = pair((80, 20, 9, 20), (95, 5, 30, 70)), pair((80, 20, 9, 21), (95, 5, 30, 70))
    assert few.too_small and few.smallest == 29 and few.chances is None and not few.beyond_chance
    assert enough.smallest == 30 and enough.chances is not None


def test_a_group_without_faces_or_with_one_class_only_is_not_measured_and_never_beyond_chance():
    empty, half = pair((80, 20, 9, 20), (0, 0, 0, 0)), pair((80, 20, 9, 20), (50, 50, 0, 0))
    unknown = matrix.pair_of("kind", "group", np.array([0, 1]), np.array([0.1, 0.9]), Groups("S", ("l", "r"), [-1, -1]))
    for cell in (empty, half, unknown):
        assert cell.gap.value is None and cell.gap.note and cell.too_small and not cell.beyond_chance
    with pytest.raises(Img2TabError, match="two groups"):
        matrix.pair_of("kind", "group", *faces((80, 20, 9, 20)))


def test_false_discoveries_are_controlled_over_all_pairs_as_benjamini_and_hochberg_do_by_hand(table):
    cells = [pair((80, 20, 10, 90), (95, 5, 30, 70), attribute=name) for name in NAMES[1:]]
    chances = (0.005, 1.0), (0.02, 1.0), (0.015, 1.0)  # doubled 0.01, 0.04, 0.03
    row = matrix.Row(
        "kind", "a", tuple(map(lambda cell, both: dataclasses.replace(cell, chances=both), cells, chances))
    )
    controlled = [cell.controlled for cell in matrix.matrix_of(table, [row]).rows[0].pairs]
    assert controlled == pytest.approx([0.03, 0.04, 0.04])  # 0.01 * 3, then 0.03 * 3 / 2 and 0.04, never falling
    more = matrix.matrix_of(table, [row, dataclasses.replace(row, target="group", run="b")])
    assert [cell.controlled for cell in more.rows[0].pairs] == pytest.approx([0.03, 0.04, 0.04])


def test_a_pair_with_too_few_faces_takes_no_part_in_the_control(table):
    cell = dataclasses.replace(pair((80, 20, 10, 90), (95, 5, 30, 70)), chances=(0.02, 1.0))
    few = pair((80, 20, 9, 20), (95, 5, 30, 70), attribute="rare")
    shown = matrix.matrix_of(table, [matrix.Row("kind", "a", (cell, few))])
    assert [each.controlled for each in shown.rows[0].pairs] == [pytest.approx(0.04), None]
    assert shown.sentence.endswith("1 has too few faces to say.")


def test_over_30_seeds_a_planted_gap_is_always_found_and_120_pairs_without_one_are_flagged_at_most_4_times(table):
    missed = wrong = 0
    for seed in range(30):
        rng, cells = np.random.default_rng(seed), []
        labels, planted = rng.integers(0, 2, (2, 400))
        right = rng.random(400) > np.where((labels == 0) & (planted == 1), 0.45, 0.1)
        probability = np.where(right, labels, 1 - labels).astype(float)
        for number in range(5):
            codes = planted if number == 0 else rng.integers(0, 2, 400)
            cells.append(matrix.pair_of("kind", "group", labels, probability, Groups("S", ("l", "r"), codes)))
        shown = matrix.matrix_of(table, [matrix.Row("kind", "a", tuple(cells))]).rows[0].pairs
        missed += not shown[0].beyond_chance
        wrong += sum(cell.beyond_chance for cell in shown[1:])
    assert missed == 0
    assert wrong <= 4  # 5 % of 30 found ones and of these: 1.6 expected at most


# --- words -------------------------------------------------------------------------------------------------


def test_the_sentence_says_how_many_differ_and_the_direction_names_the_group_and_both_shares(table):
    cell = pair((80, 20, 10, 90), (95, 5, 30, 70))
    shown = matrix.matrix_of(table, [matrix.Row("kind", "a", (cell,))])
    text = shown.sentence.replace("\N{NO-BREAK SPACE}", " ")
    assert text.startswith("Of 1 pairs of a target and an attribute measured so far, 1 differs beyond chance; most: ")
    low, high = 100 * cell.gap.low, 100 * cell.gap.high
    assert (
        f"kind by group, 20.0 points ({low:.1f} to {high:.1f}). 30.0 % of the faces labelled special and right" in text
    )
    assert text.endswith("are called plain, against 10.0 % of those labelled special and left.")
    assert "50.0" in shown.labels(cell)


def test_where_the_widest_difference_may_be_luck_the_one_that_is_not_is_said_too(table):
    cell = pair((2900, 100, 2, 31), (2995, 5, 4, 29))  # 3.2 points of 6,000 faces beside 6.1 of 66
    assert cell.wider == 1 and cell.clear == (True, False)
    shown = matrix.matrix_of(table, [matrix.Row("kind", "a", (cell,))])
    assert shown.pairs[0].beyond_chance and "That may be luck, this is not: 3.3" in shown.direction(shown.pairs[0])


def test_perceived_is_left_out_where_every_class_is_a_perceived_one():
    assert matrix.short("perceived older") == "older" and matrix.short("plain") == "plain"
    titles = [matrix.short_title(Target("x", title, ("a", "b"), "")) for title in ("Perceived as young", "Kind")]
    assert titles == ["young", "Kind"]


# --- a table of one's own ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """3,000 faces: `kind` goes with `group` in 85 % and is read from both; `coin` is nobody's, `rare` 2 %."""
    own = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IMG2TAB_HOME", str(own))
        patch.setitem(CatBoostConcepts.__init__.__kwdefaults__, "iterations", 60)
        rng = np.random.default_rng(0)
        group = rng.integers(0, 2, COUNT)
        kind = np.where(rng.random(COUNT) < 0.85, group, 1 - group)
        coin, rare = rng.integers(0, 2, COUNT), (np.arange(COUNT) % 50 == 0).astype(int)
        psi = rng.normal(size=(COUNT, 8)).astype(np.float32)
        for column, labels in enumerate((kind, group, coin, rare)):
            psi[:, column] += 2 * labels
        labels = pd.DataFrame({"kind": kind, "group": group, "coin": coin, "rare": rare}).astype(np.int8)
        classes = ("plain", "special"), ("left", "right"), ("heads", "tails"), ("common", "seldom")
        tables.write_table(
            own / "tables" / "toy",
            lambda rows: psi[rows],
            labels,
            targets=[Target(name, name, two, "by hand") for name, two in zip(NAMES, classes, strict=True)],
            layout=StyleLayout((8,)),
            backbone=DEFAULT_BACKBONE,
            key="toy",
        )
        st.cache_data.clear()
        st.cache_resource.clear()
        yield own
        st.cache_data.clear()
        st.cache_resource.clear()


@pytest.fixture
def table(home):
    return Studio().table("toy")


@pytest.fixture(scope="module")
def measured(home):
    """The whole matrix, measured once; the classifiers are trained for it."""
    door = Auditor(Studio())
    return door.matrix(door.studio.table("toy"))


def test_the_matrix_of_a_table_finds_what_was_planted_and_every_cell_is_that_of_the_auditor(measured, table):
    assert measured.complete and len(measured.pairs) == 12
    assert {(cell.target, cell.attribute) for cell in measured.beyond_chance} == {("kind", "group"), ("group", "kind")}
    door = Auditor(Studio())
    for name in ("group", "coin"):
        run = door.studio.run(table, "kind")
        assert measured.pair("kind", name).gap == door.audit(run, [name]).gaps["equalised_odds"]
    assert measured.pair("kind", "rare").too_small and measured.pair("kind", "kind") is None
    assert {row.target: row.run for row in measured.rows} == {name: runs.standing_id(table, name) for name in NAMES}


def test_a_matrix_that_is_kept_is_there_at_once_and_trains_nothing(measured, table):
    began, told = time.perf_counter(), []
    assert Auditor(Studio()).matrix(table, progress=lambda share, text: told.append(text)) == measured
    assert time.perf_counter() - began < 1 and told == ["Measured"]


def test_a_stopped_matrix_keeps_its_rows_and_goes_on_with_the_others(measured, table, home):
    folder = next((home / "matrices").iterdir())
    for file in folder.iterdir():
        file.unlink()
    door, told = Auditor(Studio()), []
    with pytest.raises(Cancelled, match="kept"):
        door.matrix(table, cancelled=lambda: len(list(folder.iterdir())) == 2)
    so_far = door.matrix_so_far(table)
    assert not so_far.complete and so_far.rows[0].pairs[0].gap == measured.rows[0].pairs[0].gap
    assert "Of 6 pairs of a target and an attribute measured so far" in so_far.sentence
    assert door.matrix(table, progress=lambda share, text: told.append(text)) == measured
    assert told == ["Measuring coin, 3 of 4", "Measuring rare, 4 of 4", "Measured"]


@pytest.mark.parametrize("content", ["{", "{}", '{"target": "kind", "run": "x", "pairs": [{}]}'])
def test_a_damaged_row_or_one_measured_otherwise_is_measured_anew(measured, table, home, content):
    file = next((home / "matrices").glob("*/toy-kind-*.json"))
    file.write_text(content)
    assert Auditor(Studio()).matrix_so_far(table).rows == matrix.matrix_of(table, measured.rows[1:]).rows
    assert Auditor(Studio()).matrix(table) == measured
    row = json.loads(file.read_text())
    file.write_text(json.dumps(row | {"method": "another"}))
    assert matrix.kept_row(table, "kind", row["run"]) is None
    file.write_text(json.dumps(row))


def test_answers_of_a_classifier_of_ones_own_are_neither_target_nor_attribute(measured, table):
    answered = dataclasses.replace(table, answered=frozenset({"rare"}))
    assert [target.name for target in matrix.labelled_targets(answered)] == ["kind", "group", "coin"]
    with pytest.raises(Img2TabError, match="two labels"):
        matrix.labelled_targets(dataclasses.replace(table, answered=frozenset(NAMES[1:])))


def test_a_matrix_goes_through_json_and_what_is_none_is_a_sentence(measured):
    assert matrix.matrix_from_json(json.loads(json.dumps(measured.to_json()))) == measured
    for content in ({}, measured.to_json() | {"rows": [{"target": "kind"}]}, measured.to_json() | {"rows": 3}):
        with pytest.raises(Img2TabError, match="no audit matrix"):
            matrix.matrix_from_json(content)


def test_the_verb_says_the_sentence_first_and_lists_what_stands_out(measured, home, tmp_path):
    said = CliRunner().invoke(main.app, ["matrix", "--table", "toy", "--top", "3", "--out", str(tmp_path / "m.csv")])
    assert said.exit_code == 0, said.output
    lines = said.stdout.splitlines()
    assert lines[0] == measured.sentence and lines[1].split()[:3] == ["pair", "points", "from"]
    assert lines[2].startswith(measured.title(measured.pairs[0])) and "9 more: --top 12." in lines
    assert len(pd.read_csv(tmp_path / "m.csv")) == 12
    content = json.loads(CliRunner().invoke(main.app, ["matrix", "--table", "toy", "--json"]).stdout)
    assert matrix.matrix_from_json(content) == measured and content["pairs"][0]["beyond_chance"]


# --- the chart and the page --------------------------------------------------------------------------------


def test_the_chart_has_every_pair_once_bold_where_beyond_chance_and_a_dash_where_too_few(measured):
    figure = audit_charts.gap_matrix(measured, chosen=("kind", "group"))
    points = figure.data[-1]
    texts = dict(zip(points.customdata, points.text, strict=True))
    assert len(texts) == 12 and not {0, 5, 10, 15} & set(texts)  # no target by itself
    value = measured.pair("kind", "group").gap.value
    assert texts[0 * 4 + 1] == f"<b>{100 * value:.0f}</b>" and texts[0 * 4 + 3] == "–"
    assert not texts[0 * 4 + 2].startswith("<b>")
    grey, orange = (np.array(trace.z, float) for trace in figure.data[:2])
    assert np.argwhere(~np.isnan(orange)).tolist() == [[0, 1], [1, 0]] and np.isnan(grey[0, 1]) and np.isnan(grey[0, 3])
    assert len(figure.layout.shapes) == 1 and "labelled" in points.hovertext[0]


def _page():
    import streamlit as st

    from dashboard.parts import audit_matrix
    from dashboard.state import attributes, visit

    visit.standing_job().wait()
    if "enter" in st.session_state:
        visit.enter(st.session_state.pop("enter"))
    audit_matrix.show()
    st.text(f"{visit.target().name} {attributes.attributes()} {visit.take_notices()}")


@pytest.fixture
def page(measured):
    return AppTest.from_function(_page, default_timeout=60).run()


def _click(at, cell):
    """What the browser sends where a cell of the chart was clicked: AppTest has no hand for charts."""
    points = [] if cell is None else [{"customdata": [cell]}]
    states = at._tree.get_widget_states()
    chart = at.get("plotly_chart")[0].proto.id
    states.widgets.append(WidgetState(id=chart, string_value=json.dumps({"selection": {"points": points}})))
    return at._run(states)


def test_the_page_says_the_sentence_and_a_row_chooses_its_pair(page, measured):
    assert not page.exception and page.text[-1].value == "kind ('group',) ()"
    texts = [each.value.replace("\\", "") for each in page.markdown]
    assert measured.sentence in texts and "**Group by kind**" in texts
    assert page.button(key="audit.look.kind.group").disabled  # it is the one that is shown
    page.button(key="audit.look.group.kind").click().run()
    assert page.text[-1].value == "group ('kind',) ()" and page.button(key="audit.look.group.kind").disabled


def test_a_click_on_a_cell_chooses_its_pair_and_one_beside_the_cells_nothing(page):
    _click(page, 2 * 4 + 1)
    assert page.text[-1].value == "coin ('group',) ()"
    _click(page, None)
    assert page.text[-1].value == "coin ('group',) ()"


def test_in_a_session_only_pairs_of_its_target_can_be_chosen(page, table):
    door = session_runs.SessionRuns(Auditor(Studio()))
    page.session_state["enter"] = door.begin("One", "me", table, "kind", ["group"]).id
    page.run()
    assert any("open session is about kind" in each.value for each in page.caption)
    assert [each.key for each in page.button] == ["audit.look.kind.group"]
    _click(page, 2 * 4 + 1)
    assert page.text[-1].value.startswith("kind ('group',) ('The open session is about kind.")
    _click(page, 0 * 4 + 2)
    assert page.text[-1].value == "kind ('coin',) ()"


def test_rows_are_shown_while_others_are_measured_and_a_stopped_matrix_goes_on(measured, table, home):
    for file in (home / "matrices").glob("*/*.json"):
        file.unlink()
    st.cache_resource.clear()
    at = AppTest.from_function(_page, default_timeout=60)
    with doors.studio().trainer._runs.making(runs.standing_id(table, "coin")):  # nobody else gets that run meanwhile
        at.run()
        while "Of 6 pairs" not in at.markdown[0].value:
            time.sleep(0.1)
            at.run()
        assert "measured so far" in at.markdown[0].value and not at.exception
        at.button(key="audit-matrix-cancel").click().run()
    while not any(each.value == "Stopped." for each in at.markdown):
        time.sleep(0.1)
        at.run()
    at.button(key="audit.matrix.again").click().run()
    while not at.markdown[0].value.startswith("Of 12 pairs of a target and an attribute, "):
        time.sleep(0.1)
        at.run()
    assert not at.exception and Auditor(Studio()).matrix_so_far(table) == measured

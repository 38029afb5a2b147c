"""The verbs of an audit, on a table made by hand: each number against one worked out here from the table itself."""

from __future__ import annotations

import json
import os
import signal
from functools import partial

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

from img2tab_core import tables
from img2tab_core.audits import remedies, worked_example
from img2tab_core.base import files as weights
from img2tab_core.classifiers.runs import load_run
from img2tab_core.classifiers.trainer import Trainer
from img2tab_core.cli import main
from img2tab_core.sessions.shared_exclusions import read_exclusions
from img2tab_core.studio import Studio

COUNT, CHANNELS = 600, 60
LOUD = ",".join(map(str, range(40, 60)))
ABOUT = ("--table", "toy", "--target", "kind", "--sensitive", "group")

runner = CliRunner()


def run(*words):
    return runner.invoke(main.app, [str(word) for word in words])


def said(*words) -> str:
    result = run(*words)
    assert result.exit_code == 0, result.output
    return result.stdout


def as_json(*words) -> dict:
    return json.loads(said(*words, "--json"), parse_constant=_no_number)


def _no_number(word):
    raise AssertionError(f"{word} is not JSON")


@pytest.fixture(scope="module")
def folder(toy_home):
    """A table `toy`: `kind` sits faintly in channels 0 to 4, `group` loudly in 40 to 59; they go together in 75 %."""
    return toy_home(COUNT, CHANNELS, kind=0.8, group_from=40)


@pytest.fixture
def home(folder, monkeypatch):
    """That folder in use; for one test at a time, since `studio` needs the real one."""
    monkeypatch.setenv("IMG2TAB_HOME", str(folder))
    return folder


@pytest.fixture
def faces(home):
    """(test rows, their classes, their groups, what the standing classifier says of each)."""
    studio = Studio()
    table = studio.table("toy")
    rows = table.rows("test")
    kind, group = (table.labels[name].to_numpy()[rows] for name in ("kind", "group"))
    return rows, kind, group, studio.run(table, "kind").classifier.predict_proba(table.psi[rows])[:, 1]


@pytest.fixture
def trained(home):
    """The folder of a run without 40 to 59, trained once."""
    place = home / "trained"
    if not place.exists():
        said("train", "--table", "toy", "--target", "kind", "--exclude", LOUD, "--out", place)
    return place


@pytest.fixture
def erasing(home):
    """The folder of a run that erases `group`, trained once."""
    place = home / "erasing"
    if not place.exists():
        said("train", "--table", "toy", "--target", "kind", "--erase", "group", "--balance", "--out", place)
    return place


ERASES = {"erased": ["group"], "balanced": ["group"]}


# --- groups and gaps -----------------------------------------------------------------------------------


def test_a_run_that_erases_says_so_in_every_verb_and_keeps_it_where_more_is_excluded(erasing, tmp_path):
    text = said("audit", "--run", erasing, "--sensitive", "group")
    assert "This run excludes nothing; erases group and is balanced over group." in text
    for verb in ("impact-ratios", "intervene", "proxies"):
        assert "erases group and is balanced over group" in said(verb, "--run", erasing, "--sensitive", "group")
    out = tmp_path / "both.csv"
    both = as_json("audit", "--run", erasing, "--sensitive", "group", "--exclude", "40", "--seeds", 1, "--out", out)
    assert both["treatment"] == both["after"]["treatment"] == ERASES
    assert (both["excluded"], both["after"]["excluded"]) == ([], [40])
    rows = pd.read_csv(out)
    gap = rows[(rows["when"] == "after") & (rows["measure"] == "Accuracy gap")]["value"]
    assert gap.item() == pytest.approx(both["after"]["gaps"]["accuracy_gap"]["value"])


def test_audit_counts_2_groups_and_their_gap_is_that_of_the_masks(faces):
    _, kind, group, probability = faces
    found = as_json("audit", *ABOUT)
    assert [one["count"] for one in found["by_group"]] == [int((group == one).sum()) for one in (0, 1)]
    said_one = probability > 0.5
    far = [abs(np.subtract(*(said_one[(kind == c) & (group == g)].mean() for g in (0, 1)))) for c in (0, 1)]
    assert found["gaps"]["equalised_odds"]["value"] == pytest.approx(max(far), abs=1e-12) and max(far) > 0.2
    assert found["changes"] == {}


@pytest.mark.slow
def test_audit_says_whether_an_exclusion_of_20_channels_is_real_over_3_seeds_of_the_runs_own_kind(home, tmp_path):
    said("train", "--table", "toy", "--target", "kind", "--classifier", "forest", "--out", tmp_path / "run")
    words = ("audit", "--run", tmp_path / "run", "--sensitive", "group", "--exclude", LOUD, "--seeds", 3)
    found = as_json(*words, "--out", tmp_path / "x.md")
    change = found["changes"]["equalised_odds"]
    assert len(change["pairs"]) == 3 and change["verdict"].startswith(
        "smaller gap, beyond what the seed changes, and beyond the chance of the faces"
    )
    paired = found["paired"]
    assert paired["faces"] == 90 and paired["gained"] - paired["lost"] == round(90 * paired["accuracy"]["value"])
    assert paired["sentence"] in (tmp_path / "x.md").read_text() and paired["gaps"]["equalised_odds"]["high"] < 0
    assert change["pairs"][0][0] == found["gaps"]["equalised_odds"]["value"]
    assert f"Equalised odds difference: {change['sentence']}" in (tmp_path / "x.md").read_text()


def test_audit_of_a_run_in_a_folder_is_of_its_90_test_faces_and_not_of_the_standing_one(trained, home):
    found = as_json("audit", "--run", trained, "--sensitive", "group")
    stored = load_run(trained)
    assert found["run"] == stored.id and found["faces"] == stored.metrics.count == 90
    assert found["overall"]["measures"]["accuracy"]["value"] == stored.metrics.accuracy
    standing = as_json("audit", *ABOUT)
    assert found["gaps"]["equalised_odds"]["value"] < standing["gaps"]["equalised_odds"]["value"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--target", "group"], "is of kind, got --target group"),
        (["--table", "default"], "is of toy, got --table default"),
    ],
)
def test_what_a_run_is_of_is_not_said_twice(trained, words, sentence):
    result = run("audit", "--run", trained, "--sensitive", "group", *words)
    assert result.exit_code == 1 and sentence in result.stderr and len(result.stderr.splitlines()) == 1


def test_a_run_of_other_faces_of_a_table_of_the_same_name_is_refused(trained, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    for file in trained.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    about = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(about | {"table_key": "another"}))
    result = run("audit", "--run", folder, "--sensitive", "group")
    assert result.exit_code == 1 and "holds other faces now" in result.stderr


def test_audit_writes_26_numbers_as_csv_the_same_as_json_and_as_markdown(home, tmp_path):
    files = {ending: tmp_path / f"audit{ending}" for ending in (".csv", ".json", ".md")}
    for file in files.values():
        said("audit", *ABOUT, "--out", file)
    rows, stored = pd.read_csv(files[".csv"]), json.loads(files[".json"].read_text())
    assert len(rows) == 3 * 7 + 5 and set(rows.group) == {"left", "right", "everyone", "between groups"}
    (accuracy,) = rows[(rows.group == "left") & (rows.measure == "Accuracy")].value
    assert accuracy == pytest.approx(stored["by_group"][0]["measures"]["accuracy"]["value"])
    text = files[".md"].read_text()
    assert text.count("\n| ") == 1 + 4 + 1 + 6 - 2 + 2 and "| Equalised odds difference | " in text


# --- what a gap is made of -----------------------------------------------------------------------------


def test_carried_has_40_to_59_in_front_with_a_shift_of_1_5_over_their_own_spread(home):
    found = as_json("carried", *ABOUT, "--top", 20)
    assert sorted(one["index"] for one in found["concepts"]) == list(range(40, 60))
    table = Studio().table("toy")
    rows = table.rows("train")
    kind, group = (table.labels[name].to_numpy()[rows] for name in ("kind", "group"))
    first = found["concepts"][0]
    codes = table.psi[rows, first["index"]]
    shift = (
        np.mean([codes[(kind == c) & (group == 1)].mean() - codes[(kind == c) & (group == 0)].mean() for c in (0, 1)])
        / table.stats.std[first["index"]]
    )
    assert first["shift"] == pytest.approx(shift, rel=1e-5) and found["faces"] == len(rows) == 420
    assert sum(one["importance"] for one in found["concepts"]) > 0.2


def test_a_suggestion_is_said_with_its_rule_and_written_so_that_train_takes_it(home, tmp_path):
    found = as_json("carried", *ABOUT, "--suggest", "--out", tmp_path / "x.json")
    excluded = found["suggestion"]["excluded"]
    assert set(range(40, 60)) <= set(excluded) and len(excluded) + found["suggestion"]["kept"] == CHANNELS
    shared = read_exclusions(tmp_path / "x.json", backbone="made-by-hand", channels=CHANNELS, table_key="toy-key")
    assert list(shared.excluded) == sorted(excluded) and shared.target == "kind"
    made = as_json(
        "train", "--table", "toy", "--target", "kind", "--exclude", f"@{tmp_path / 'x.json'}", "--out", tmp_path / "run"
    )
    assert made["excluded"] == sorted(excluded)
    text = said("carried", *ABOUT, "--suggest")
    assert "Suggested: Exclude every channel" in text and f"{len(excluded)} of 60 channels" in text
    wrong = run("carried", *ABOUT, "--suggest", "--out", tmp_path / "x.csv")
    assert wrong.exit_code == 1 and "--out must end in .json" in wrong.stderr


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"backbone": "another"}, "of channels of the backbone another"),
        ({"excluded": [60]}, "must be below 60"),
        ({"format": 2}, "must have format 1"),
    ],
)
def test_a_list_of_another_backbone_or_of_more_channels_is_a_sentence(home, tmp_path, change, sentence):
    said("carried", *ABOUT, "--suggest", "--out", tmp_path / "x.json")
    content = json.loads((tmp_path / "x.json").read_text())
    (tmp_path / "x.json").write_text(json.dumps(content | change))
    result = run(
        "train", "--table", "toy", "--target", "kind", "--exclude", f"@{tmp_path / 'x.json'}", "--out", tmp_path / "run"
    )
    assert result.exit_code == 1 and sentence in result.stderr and len(result.stderr.splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_the_curve_has_2_points_below_60_channels_and_the_least_gap_is_one_of_them(home, tmp_path):
    text = said("exclusion-curve", *ABOUT, "--seeds", 2, "--out", tmp_path / "curve.json")
    found = json.loads((tmp_path / "curve.json").read_text())
    assert [point["count"] for point in found["points"]] == [0, 10]
    assert all(len(point["trials"]) == 2 for point in found["points"])
    gaps, quoted = (
        [np.mean([trial[name] for trial in point["trials"]]) for point in found["points"]]
        for name in ("gap", "test_gap")
    )
    chosen = [0, 10].index(found["least_gap"]["excluded"])
    assert found["least_gap"]["gap"] == pytest.approx(quoted[chosen])  # measured on the test faces
    assert found["least_gap"]["chosen_by"]["gap"] == pytest.approx(gaps[chosen])  # and chosen on the others
    assert f"on {found['test_faces']} test faces" in text
    _, first, second, *_ = (line.split() for line in text.splitlines())
    assert [first[0], second[0]] == ["0", "10"] and first[4] == f"{100 * gaps[0]:.1f}"
    assert f"The suggestion excludes {found['suggested']}" in text


def test_proxies_of_2_excluded_channels_are_among_40_to_59_and_the_group_is_still_read(home, tmp_path):
    found = as_json("proxies", *ABOUT, "--exclude", "40,41", "--top", 5, "--out", tmp_path / "x.md")
    assert found["excluded"] == [40, 41] and found["readable"]["auc"] > 0.95
    assert found["readable"]["sentence"].startswith("You excluded 2 channels; group can still be read")
    linked = [one for one in found["stand_ins"] if one["goes_with"] is not None]
    assert len(linked) == 5 and {one["goes_with"] for one in linked} <= {40, 41}
    assert sum(one["index"] >= 42 for one in linked) == 5  # given the kind, only the group makes them alike
    before = Studio().scores(Studio().run(Studio().table("toy"), "kind")).importance
    assert all(one["importance_before"] == pytest.approx(before[one["index"]]) for one in found["stand_ins"])
    assert [one["index"] for one in found["families"]["of_excluded"]] == sorted([40, 41], key=lambda i: -before[i])
    assert (tmp_path / "x.md").read_text().startswith("| index | layer | channel | name | importance_before |")


def test_proxies_take_a_run_from_a_folder_too_with_20_excluded(trained):
    text = said("proxies", "--run", trained, "--sensitive", "group")
    assert text.startswith("This run excludes 20 channels.\nAccuracy ") and "... (20)." in text
    paired = as_json("proxies", "--run", trained, "--sensitive", "group")["paired"]
    studio = Studio()
    _, labels, before = studio.trainer.test_answers(studio.run(studio.table("toy"), "kind"))
    after = studio.trainer.test_answers(load_run(trained))[2]
    right = [(probability > 0.5) == (labels == 1) for probability in (before, after)]
    assert (paired["lost"], paired["gained"]) == ((right[0] & ~right[1]).sum(), (~right[0] & right[1]).sum())
    assert paired["sentence"] in text and "exact McNemar" in text


# --- moving it alone -----------------------------------------------------------------------------------


def test_intervene_counts_the_flips_that_moving_by_hand_makes(faces):
    rows, _, group, before = faces
    found = as_json("intervene", *ABOUT, "--channels", "40,41,42,43,44", "--strength", 2)
    table = Studio().table("toy")
    model = Studio().run(table, "kind").classifier
    carried = as_json("carried", *ABOUT, "--top", 60)["concepts"]
    shift = {one["index"]: one["shift"] for one in carried}
    codes = np.array(table.psi[rows])
    codes[:, 40:45] += [2 * shift[index] * table.stats.std[index] for index in range(40, 45)]
    flips = (model.predict_proba(codes)[:, 1] > 0.5) != (before > 0.5)
    for one in found["by"]:
        if one["towards"] == 1:
            assert one["flips"] == flips[group == one["group"]].sum() and one["faces"] == (group == one["group"]).sum()
    assert found["channels"] == [40, 41, 42, 43, 44] and found["faces"] == 90 and flips.sum() > 5
    strengths = [one["strength"] for one in found["first"]]
    assert len(strengths) == 12 and strengths == sorted(strengths)


def test_intervene_moves_a_family_and_all_60_where_fewer_than_1500_are_there(home, tmp_path):
    assert len(as_json("intervene", *ABOUT)["channels"]) == 60
    assert as_json("intervene", *ABOUT, "--family-of", 7)["channels"] == [7]
    said("intervene", *ABOUT, "--count", 3, "--out", tmp_path / "x.csv")
    assert pd.read_csv(tmp_path / "x.csv").shape == (4, 11)


def test_a_run_that_excludes_all_20_that_are_moved_flips_0_and_says_why(trained, tmp_path):
    text = said("intervene", "--run", trained, "--sensitive", "group", "--count", 20, "--faces", tmp_path / "x.png")
    assert "the classifier looks at 0 of them, 20 are excluded. So nothing can flip here" in text
    assert "No decision flips" in text and not (tmp_path / "x.png").exists()


@pytest.mark.slow
def test_12_faces_before_and_after_are_1_picture_and_2_are_drawn_and_encoded_again(studio, tmp_path, monkeypatch):
    whole = studio.table()
    rows = np.sort(
        np.concatenate(
            [
                np.flatnonzero((whole.labels.smiling == c) & (whole.labels.perceived_gender == g))[:75]
                for c in (0, 1)
                for g in (0, 1)
            ]
        )
    )
    monkeypatch.setenv("IMG2TAB_HOME", str(tmp_path))
    labels = whole.labels.iloc[rows].reset_index(drop=True)
    tables.write_table(
        tmp_path / "tables" / "small",
        lambda part: whole.psi[rows[part]],
        labels,
        targets=[one for one in whole.targets if one.name in ("smiling", "perceived_gender")],
        layout=whole.layout,
        backbone=whole.backbone,
        key="small",
    )
    found = as_json(
        "intervene",
        "--table",
        "small",
        "--target",
        "smiling",
        "--sensitive",
        "perceived_gender",
        "--faces",
        tmp_path / "faces.png",
        "--check",
        1,
    )
    number = len(found["first"])
    assert 3 < number <= 12
    assert Image.open(tmp_path / "faces.png").size == (3 * 512 + 2 * 16, -(-number // 3) * 272 - 16)
    assert [one["towards"] for one in found["checked"]] == [0, 1]
    assert all(one["sentence"].startswith("On 1 faces the edit moved") for one in found["checked"])


# --- remedies ------------------------------------------------------------------------------------------


def test_remedies_are_6_and_ours_and_the_table_does_not_call_the_90_test_faces_balanced(trained, tmp_path, monkeypatch):
    quick = partial(remedies.compare_remedies, base="logistic")  # hundreds of CatBoosts are for a person who asks
    monkeypatch.setattr(remedies, "compare_remedies", quick)
    found = as_json("remedies", "--run", trained, "--sensitive", "group", "--seeds", 1, "--out", tmp_path / "x.md")
    assert [one["own"] for one in found["outcomes"]] == [False] * 6 + [True]
    assert remedies.Remedies.from_json(found).test_faces == 90
    text = (tmp_path / "x.md").read_text()
    assert " 90 test faces; mean" in text and text.count("\n| ") == 8


def test_worked_example_on_200_faces_writes_1_row_for_each_of_12_ways(home, tmp_path):
    words = (
        "worked-example",
        "--table",
        "toy",
        "--target",
        "kind",
        "--sensitive",
        "group",
        "--seeds",
        1,
        "--faces",
        "200",
        "--base",
        "logistic",
    )
    found = as_json(*words, "--out", tmp_path / "x.csv")
    assert found["train_faces"] == [200]
    assert (
        pd.read_csv(tmp_path / "x.csv").remedy.tolist()[-1] == worked_example.UNBIASED and len(found["outcomes"]) == 12
    )


# --- a table with a gap --------------------------------------------------------------------------------


def test_a_biased_table_has_90_of_100_training_faces_in_2_cells_and_a_test_split_of_equal_cells(home, tmp_path):
    toy = Studio().table("toy")
    made = worked_example.biased_table(toy, tmp_path / "biased", "kind", "group", faces=100)
    kind, group = (made.labels[name].to_numpy() for name in ("kind", "group"))
    cells = {
        part: [int(((kind == c) & (group == g))[made.rows(part)].sum()) for c in (0, 1) for g in (0, 1)]
        for part in ("train", "validation", "test")
    }
    assert cells["train"] == [45, 5, 5, 45] and len(set(cells["test"])) == 1 and sum(cells["validation"]) == 90
    where = [np.flatnonzero((toy.psi == row).all(axis=1)) for row in made.psi]
    assert all(len(rows) == 1 for rows in where)  # each face once, with its own split and labels
    origin = np.concatenate(where)
    assert (toy.split[origin] == made.split).all() and (toy.labels["kind"].to_numpy()[origin] == kind).all()
    assert len(np.unique(origin)) == len(origin)
    about = tables.about_of(tmp_path / "biased")
    assert about["note"].startswith("A draw of the table toy, made to have a gap: in 90 % of the 100 training faces")
    again = worked_example.biased_table(toy, tmp_path / "again", "kind", "group", faces=100)
    assert again.key == made.key and np.array_equal(again.psi, made.psi)
    assert worked_example.biased_table(toy, tmp_path / "again", "kind", "group", faces=100, seed=1).key != made.key


@pytest.mark.slow
def test_the_table_worked_example_has_a_gap_of_0_2_and_the_suggestion_closes_7_tenths(studio, tmp_path, monkeypatch):
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "default").symlink_to(weights.home() / "tables" / "default")
    monkeypatch.setenv("IMG2TAB_HOME", str(tmp_path))
    built = as_json("tables", "build", "worked-example")
    assert built["faces"] == 7140 and built["channels"] == 6752
    assert built["about"]["faces"] == {"train": 3000, "validation": 3000, "test": 1140}
    file = tmp_path / "tables" / "worked-example" / "psi.npy"
    before = file.stat().st_mtime_ns
    assert as_json("tables", "build", "worked-example", "--if-missing")["faces"] == 7140
    assert file.stat().st_mtime_ns == before
    about = ("--table", "worked-example", "--target", "smiling", "--sensitive", "perceived_gender")
    gap = as_json("audit", *about)["gaps"]["equalised_odds"]["value"]
    said("carried", *about, "--suggest", "--out", tmp_path / "x.json")
    made = as_json("train", *about[:4], "--exclude", f"@{tmp_path / 'x.json'}", "--out", tmp_path / "run")
    after = as_json("audit", "--run", tmp_path / "run", "--sensitive", "perceived_gender")
    assert 0.15 < gap < 0.25 and after["gaps"]["equalised_odds"]["value"] < 0.3 * gap
    assert made["accuracy"] > 0.88


# --- mistakes, and Ctrl+C ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["audit", "--sensitive", "group"], "with --target, or a trained run with --run"),
        (
            ["audit", "--target", "kind", "--sensitive", "kind", "--table", "toy"],
            "something else than what is predicted",
        ),
        (["audit", *ABOUT, "--out", "x.txt"], "--out must end in .csv, .json, .md, got x.txt"),
        (["audit", "--run", "nowhere", "--sensitive", "group"], "no readable"),
        (
            ["carried", "--target", "kind", "--sensitive", "group", "--table", "other"],
            "There is no table named 'other'",
        ),
        (["carried", "--target", "kind", "--sensitive", "age", "--table", "toy"], "has no target 'age'"),
        (["exclusion-curve", "--target", "kind", "--sensitive", "kind", "--table", "toy"], "must differ"),
        (["proxies", *ABOUT], "Name what is excluded"),
        (["proxies", *ABOUT, "--exclude", "60"], "between 0 and 59"),
        (["proxies", *ABOUT, "--exclude", "@nowhere.json"], "nowhere.json cannot be read"),
        (["intervene", *ABOUT, "--channels", "a"], "--channels must be channel numbers with commas"),
        (["intervene", *ABOUT, "--channels", "1", "--count", "3"], "Say what is moved once"),
        (["intervene", *ABOUT, "--faces", "x.jpg"], "--faces must end in .png"),
        (["intervene", *ABOUT, "--family-of", "60"], "in no family"),
        (["intervene", *ABOUT, "--strength", "0"], "above 0"),
        (["remedies", "--target", "kind", "--sensitive", "age", "--table", "toy"], "has no target 'age'"),
        (["tables", "build", "mine"], "called `default` and `worked-example`, got 'mine'"),
    ],
)
def test_a_mistake_is_1_sentence_and_exit_code_1(home, tmp_path, monkeypatch, words, sentence):
    monkeypatch.chdir(tmp_path)
    result = run(*words)
    assert result.exit_code == 1 and sentence in result.stderr
    assert len(result.stderr.splitlines()) == 1 and list(tmp_path.iterdir()) == []
    told = json.loads(run(*words, "--json").stdout)
    assert sentence in told["error"]


def test_ctrl_c_is_exit_code_130_and_a_sentence_and_nothing_is_written(home, tmp_path, monkeypatch):
    real = Trainer.train

    def train(self, *words, **options):
        os.kill(os.getpid(), signal.SIGINT)
        return real(self, *words, **options)

    monkeypatch.setattr(Trainer, "train", train)
    before = signal.getsignal(signal.SIGINT)
    words = ("proxies", *ABOUT, "--exclude", "1", "--out", tmp_path / "x.csv")
    result = run(*words)
    assert result.exit_code == 130 and "stopped" in result.stderr and len(result.stderr.splitlines()) == 1
    assert signal.getsignal(signal.SIGINT) is before and not (tmp_path / "x.csv").exists()
    assert json.loads(run(*words, "--json").stdout)["interrupted"] is True


def test_power_names_the_pair_that_shows_least_first_and_changes_no_file(home):
    found = as_json("power", *ABOUT[:4], "--sensitive", "group")["pairs"]
    assert len(found) == 2 and found[0]["faces"][0] + found[0]["faces"][1] < 90
    assert found[0]["smallest"] is None or found[0]["smallest"] >= found[1]["smallest"]
    assert "points is seen in 8 of 10 samples" in found[1]["sentence"] or found[1]["too_few"]

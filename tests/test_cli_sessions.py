"""`img2tab session` and `img2tab report`: an audit from its first run to its log, in a terminal."""

from __future__ import annotations

import getpass
import json
import math
import os
import shutil
import signal

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from img2tab_core.audits.auditor import Auditor
from img2tab_core.classifiers.runs import open_kept
from img2tab_core.classifiers.trainer import Trainer
from img2tab_core.cli import main
from img2tab_core.reports import report
from img2tab_core.sessions.shared_exclusions import read_exclusions
from img2tab_core.sessions.store import Sessions
from img2tab_core.studio import Studio

COUNT, CHANNELS = 400, 24
ABOUT = ("--table", "toy", "--target", "kind", "--sensitive", "group")

runner = CliRunner()


def run(*words, say: str | None = None):
    return runner.invoke(main.app, [str(word) for word in words], input=say)


def said(*words, say: str | None = None) -> str:
    result = run(*words, say=say)
    assert result.exit_code == 0, result.output
    return result.stdout


def as_json(*words) -> dict:
    return json.loads(said(*words, "--json"))


@pytest.fixture(scope="module")
def folder(toy_home):
    """A visitor's folder with a table `toy`: `kind` moves channels 0 to 4, `group` moves 12 to 23; in 75 % together."""
    return toy_home(COUNT, CHANNELS, kind=1, group_from=12)


@pytest.fixture
def home(folder, monkeypatch):
    """That folder in use, with no sessions yet."""
    monkeypatch.setenv("IMG2TAB_HOME", str(folder))
    monkeypatch.delenv("IMG2TAB_DATABASE", raising=False)
    for file in folder.glob("sessions.db*"):
        file.unlink()
    return folder


@pytest.fixture
def smiles(home):
    """A session of two runs: nothing excluded, and a logistic regression without 12 to 23; made once, then copied."""
    kept = home / "kept"
    if kept.exists():
        shutil.copytree(kept, home, dirs_exist_ok=True)
        return "smiles"
    begin()
    said(
        "session",
        "train",
        "smiles",
        "--classifier",
        "logistic",
        "--exclude",
        ",".join(map(str, range(12, 24))),
        "--why",
        "they carry the group",
        "--who",
        "ada",
    )
    kept.mkdir()
    for file in home.glob("sessions.db*"):
        shutil.copy(file, kept)
    return "smiles"


def begin(name: str = "smiles", *words) -> dict:
    return as_json("session", "new", name, *ABOUT, *words)


# --- sessions ------------------------------------------------------------------------------------------


def test_a_new_session_is_mine_and_its_run_1_is_the_standing_classifier(home):
    assert "There is no session yet" in said("session", "list")
    answer = begin("smiles", "--notes", "Does it lean?")
    studio = Studio()
    standing = studio.run(studio.table("toy"), "kind")
    assert answer["session"]["owner"] == getpass.getuser() and answer["session"]["notes"] == "Does it lean?"
    assert answer["run"]["run_id"] == standing.id and answer["run"]["excluded"] == [] and answer["run"]["number"] == 1
    assert answer["run"]["metrics"]["accuracy"] == standing.metrics.accuracy
    (listed,) = as_json("session", "list")["sessions"]
    assert (listed["name"], listed["runs"], listed["current"]) == ("smiles", 1, 1)
    line = said("session", "list").splitlines()[1].split()
    assert line[:6] == ["smiles", "kind", "group", "toy", getpass.getuser(), "1"]


def test_two_attributes_are_crossed_and_an_owner_is_named(home):
    answer = begin("both", "--sensitive", "group,odd", "--owner", "ada")
    assert answer["session"]["sensitive"] == ["group", "odd"] and answer["session"]["owner"] == "ada"
    assert "groups by group x odd" in said("session", "show", "both")


def test_show_has_the_tree_with_run_2_below_run_1_and_the_gap_of_each(smiles, tmp_path):
    text = said("session", "show", smiles, "--out", tmp_path / "runs.csv")
    assert "1 catboost · nothing excluded" in text
    assert "└─ 2 logistic · 12 excluded" in text and "· current — they carry the group" in text
    answer = as_json("session", "show", smiles)
    first, second = answer["runs"]
    assert (first["parent"], second["parent"], second["who"], second["excluded"]) == (None, 1, "ada", [*range(12, 24)])
    assert second["metrics"]["equalised_odds"] < first["metrics"]["equalised_odds"]
    rows = pd.read_csv(tmp_path / "runs.csv")
    assert rows.equalised_odds.tolist() == [run["metrics"]["equalised_odds"] for run in (first, second)]
    assert f"{100 * rows.equalised_odds[1]:.1f}" in text and rows.excluded.tolist() == [0, 12]


def test_notes_come_from_the_line_or_from_standard_input_and_the_log_keeps_both(smiles):
    said("session", "notes", smiles, "first thoughts")
    said("session", "notes", smiles, "-", say="second\nthoughts\n")
    assert as_json("session", "show", smiles)["session"]["notes"] == "second\nthoughts\n"
    assert said("session", "show", smiles).endswith("Notes:\n    second\n    thoughts\n")
    kept = [entry["details"]["notes"] for entry in as_json("session", "log", smiles)["log"] if entry["what"] == "notes"]
    assert kept == ["first thoughts", "second\nthoughts\n"]


def test_a_renamed_session_is_deleted_only_with_yes_and_its_log_of_7_lines_stays(smiles, tmp_path):
    said("session", "rename", smiles, "grins")
    refused = run("session", "delete", "grins")
    assert refused.exit_code == 1 and "Say --yes" in refused.stderr and "2 runs" in refused.stderr
    assert as_json("session", "delete", "grins", "--yes") == {"deleted": "grins", "runs": 2}
    assert as_json("session", "list") == {"sessions": []}
    entries = as_json("session", "log", "grins", "--out", tmp_path / "log.csv")["log"]
    assert [entry["what"] for entry in entries] == [
        "created",
        "run started",
        "run done",
        "run started",
        "run done",
        "renamed",
        "deleted",
    ]
    assert [entry["who"] for entry in entries][3:5] == ["ada", "ada"] and len(pd.read_csv(tmp_path / "log.csv")) == 7
    assert len(said("session", "log").splitlines()) == 7


# --- runs ----------------------------------------------------------------------------------------------


def test_a_child_is_its_parent_but_for_what_is_said(smiles):
    same = as_json("session", "train", smiles, "--seed", 3)["run"]
    assert (same["parent"], same["classifier"], same["seed"], same["excluded"]) == (2, "logistic", 3, [*range(12, 24)])
    more = as_json("session", "train", smiles, "--from", 2, "--exclude", "5", "--also")["run"]
    assert (more["parent"], more["excluded"], more["seed"]) == (2, [5, *range(12, 24)], 0)
    none = as_json("session", "train", smiles, "--exclude", "")["run"]
    assert none["parent"] == 4 and none["excluded"] == []


def test_what_a_run_erases_is_in_its_sentence_in_json_and_beside_the_run_before(smiles):
    text = said("session", "train", smiles, "--exclude", "", "--erase", "group", "--balance")
    erases = "erases group and is balanced over group"
    assert f"nothing excluded; {erases}; accuracy" in text and " points, demographic parity difference " in text
    latest = as_json("session", "show", smiles)["runs"][-1]
    assert latest["treatment"] == {"erased": ["group"], "balanced": ["group"]}
    (row,) = [line for line in said("session", "compare", smiles, 2, 3).splitlines() if line.startswith("Erased")]
    assert row.split("  ")[0] == "Erased, balanced" and row.rstrip().endswith(erases) and "nothing" in row


def test_a_suggestion_is_trained_with_its_rule_said_and_noted(smiles):
    suggested = Auditor(Studio()).suggest(Studio().table("toy"), "kind", "group")
    text = said("session", "train", smiles, "--from", 1, "--suggest", "group", "--classifier", "logistic")
    assert f"Suggested: {suggested.rule}" in text and "img2tab session real smiles 1 3" in text
    latest = as_json("session", "show", smiles)["runs"][-1]
    assert latest["excluded"] == sorted(suggested.excluded) and latest["why"] == "What the rule suggests for group."


def test_restore_goes_back_to_run_1_and_the_next_child_is_its(smiles):
    assert as_json("session", "restore", smiles, 1)["session"]["current"] == 1
    assert as_json("session", "train", smiles, "--classifier", "logistic")["run"]["parent"] == 1


def test_compare_sets_2_runs_side_by_side_with_what_only_one_excludes(smiles, tmp_path):
    compared = as_json("session", "compare", smiles, 1, 2, "--out", tmp_path / "x.md")
    assert compared["only_one"] == [] and compared["only_other"] == [*range(12, 24)]
    assert compared["settings"] == {"classifier": ["catboost", "logistic"]}
    before, after = compared["metrics"]["equalised_odds"]
    assert [run["metrics"]["equalised_odds"] for run in compared["runs"]] == [before, after]
    text = said("session", "compare", smiles, 1, 2)
    (line,) = [line.split() for line in text.splitlines() if line.startswith("Equalised odds difference")]
    gap = compared["paired"]["gaps"]["equalised_odds"]
    assert gap["value"] == pytest.approx(after - before) and gap["low"] < gap["value"] < gap["high"]
    points = [f"{100 * before:.1f}", f"{100 * after:.1f}", f"{100 * (after - before):+.1f}"]
    assert line[3:] == ["points", *points, f"{100 * gap['low']:+.1f}", "to", f"{100 * gap['high']:+.1f}"]
    assert "The gaps cannot be told: only " in text  # 120 test faces
    assert "Excluded by run 2 alone: 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, ... (12)." in text
    assert "| Equalised odds difference | " in (tmp_path / "x.md").read_text()
    said("session", "compare", smiles, 1, 2, "--out", tmp_path / "x.csv")
    rows = pd.read_csv(tmp_path / "x.csv", index_col=0)
    assert rows.loc["Equalised odds difference", "low"] == pytest.approx(gap["low"])


def test_compare_says_how_many_of_60_test_faces_were_lost_and_gained_and_the_exact_p_of_it(smiles):
    studio = Studio()
    first, second = (open_kept(run["run_id"]) for run in as_json("session", "compare", smiles, 1, 2)["runs"])
    _, labels, before = studio.trainer.test_answers(first)
    _, _, after = studio.trainer.test_answers(second)
    right = [(probability > 0.5) == labels for probability in (before, after)]
    lost, gained = int((right[0] & ~right[1]).sum()), int((right[1] & ~right[0]).sum())
    differ = lost + gained
    # as often does a fair coin split so many faces at least so unevenly
    p_value = min(1.0, 2 * sum(math.comb(differ, k) for k in range(min(lost, gained) + 1)) / 2**differ)
    paired = as_json("session", "compare", smiles, 1, 2)["paired"]
    assert (paired["faces"], paired["lost"], paired["gained"]) == (60, lost, gained) and differ > 0
    assert paired["p_value"] == pytest.approx(p_value)
    assert paired["accuracy"]["value"] == pytest.approx((gained - lost) / 60)
    assert f"Run 1 to run 2, face by face: {paired['sentence']}" in said("session", "compare", smiles, 1, 2)


def test_compare_of_a_run_without_its_model_says_why_the_faces_are_not_compared(smiles, home):
    lost = home / "runs" / as_json("session", "show", smiles)["runs"][1]["run_id"]
    aside = lost.rename(home / "aside")
    try:
        assert as_json("session", "compare", smiles, 1, 2)["paired"] is None
        text = said("session", "compare", smiles, 1, 2)
    finally:
        aside.rename(lost)
    assert "Not compared face by face: The model of run 2 of 'smiles' is not in this folder" in text
    assert "Equalised odds difference" in text  # what was noted stays


def test_no_json_holds_nan_or_infinity_whatever_was_measured(smiles):
    store = Sessions()
    session = store.open(smiles)
    odd = {"accuracy": float("nan"), "auc": np.float64("inf"), "confusion": np.array([[1.0, np.nan]])}
    run = store.start_run(session, store.run(session, 2), "logistic", 0, ())
    store.finish_run(run, "toy-kind-0123456789ab", odd)
    store.record(session, "Ada", "looked", {"at": {"gap": -np.inf, "share": (np.nan,)}})
    store.close()

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    for words in (["show", smiles], ["log", smiles], ["compare", smiles, 2, 3], ["list"], ["restore", smiles, 3]):
        json.loads(said("session", *words, "--json"), parse_constant=refuse)
    (shown,) = [run for run in as_json("session", "show", smiles)["runs"] if run["number"] == 3]
    assert shown["metrics"] == {"accuracy": None, "auc": None, "confusion": [[1.0, None]]}


def test_real_compares_the_current_run_with_its_parent_over_2_seeds_and_keeps_the_answer(smiles):
    said("session", "train", smiles, "--from", 2, "--exclude", "", "--classifier", "logistic")
    answer = as_json("session", "real", smiles, "--seeds", 2)
    assert (answer["before"], answer["after"], answer["seeds"]) == (2, 3, 2)
    assert len(answer["changes"]["accuracy"]["pairs"]) == 2
    metrics = [run["metrics"] for run in as_json("session", "show", smiles)["runs"][1:]]
    assert answer["changes"]["equalised_odds"]["pairs"][0] == [each["equalised_odds"] for each in metrics]
    text = said("session", "show", smiles)
    assert "Run 2 to run 3, trained again with other seeds:" in text
    assert answer["changes"]["equalised_odds"]["sentence"] in text
    assert "run 2 to run 3, both repeated with 2 seeds; equalised odds difference: " in said("session", "log", smiles)


def test_a_shared_run_is_repeated_to_the_same_model_in_another_session(smiles, tmp_path):
    file = tmp_path / "list.json"
    assert as_json("session", "share", smiles, "--out", file) == {
        "out": str(file),
        "session": "smiles",
        "run": 2,
        "excluded": 12,
        "treatment": {},
    }
    shared = read_exclusions(file, backbone="made-by-hand", channels=CHANNELS, table_key="toy-key")
    assert shared.excluded == tuple(range(12, 24)) and shared.classifier == "logistic"
    begin("second")
    answer = as_json("session", "repeat", "second", file)
    assert answer["same"] is True and answer["run"]["run_id"] == shared.run_id and answer["run"]["parent"] == 1
    content = json.loads(file.read_text())
    file.write_text(json.dumps(content | {"run_id": "toy-kind-000000000000"}))
    assert "another model" in said("session", "repeat", "second", file)
    file.write_text(json.dumps({key: value for key, value in content.items() if key != "run_id"}))
    assert "the list does not name one" in said("session", "repeat", "second", file)
    said("session", "train", "second", "--from", 1, "--classifier", "logistic", "--exclude", f"@{file}")
    assert as_json("session", "show", "second")["runs"][-1]["excluded"] == [*range(12, 24)]
    first = as_json("session", "share", smiles, 1, "--out", file)
    assert (first["run"], first["excluded"]) == (1, 0)


def test_a_shared_list_tells_the_name_of_1_concept(smiles, home, tmp_path):
    (home / "names.json").write_text(json.dumps({"made-by-hand": {"13": "beard", "2": "not excluded"}}))
    said("session", "share", smiles, "--out", tmp_path / "list.json")
    assert json.loads((tmp_path / "list.json").read_text())["names"] == {"13": "beard"}
    assert "13 (beard)" in said("session", "compare", smiles, 1, 2)
    (home / "names.json").unlink()


def test_ctrl_c_in_a_training_is_130_and_the_run_is_marked_cancelled_the_others_intact(smiles, monkeypatch):
    real = Trainer.train

    def train(self, *words, **options):
        os.kill(os.getpid(), signal.SIGINT)
        return real(self, *words, **options)

    monkeypatch.setattr(Trainer, "train", train)
    result = run("session", "train", smiles, "--exclude", "1")
    assert result.exit_code == 130 and len(result.stderr.splitlines()) == 1
    answer = as_json("session", "show", smiles)
    assert [run["state"] for run in answer["runs"]] == ["done", "done", "cancelled"] and answer["session"][
        "current"
    ] == 2
    refused = run("session", "restore", smiles, 3)
    assert refused.exit_code == 1 and "run 3 is cancelled" in refused.stderr
    refused = run("session", "real", smiles, 1, 3)
    assert refused.exit_code == 1 and "Run 3 of 'smiles' has no model: it is cancelled" in refused.stderr
    assert "Run 3" in said("session", "compare", smiles, 2, 3)


# --- the report ----------------------------------------------------------------------------------------


def test_report_writes_the_page_of_the_session_and_names_its_4_files(smiles, tmp_path, monkeypatch):
    seen = {}

    def write_report(runs, session, html, *, who, progress, cancelled):
        seen.update(session=session.name, runs=len(runs.sessions.runs(session)), stopped=cancelled())
        html.write_text("<p>page</p>")
        return report.Written(
            html, (tmp_path / "t" / "a.csv", tmp_path / "t" / "b.csv"), tmp_path / "t" / "x.json", tmp_path / "card.md"
        )

    monkeypatch.setattr(report, "write_report", write_report)
    answer = as_json("report", smiles, "--html", tmp_path / "page.html")
    assert seen == {"session": "smiles", "runs": 2, "stopped": False}
    assert answer["html"] == str(tmp_path / "page.html") and len(answer["tables"]) == 2
    assert answer["card"] == str(tmp_path / "card.md") and answer["exclusions"] == str(tmp_path / "t" / "x.json")
    assert "2 tables as CSV" in said("report", smiles, "--html", tmp_path / "page.html")


# --- mistakes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["session", "show", "grins"], "There is no session 'grins'. Choose one of: smiles."),
        (["session", "train", "grins"], "There is no session 'grins'"),
        (["session", "log", "grins"], "Nothing was done in a session 'grins'"),
        (["report", "grins", "--html", "x.html"], "There is no session 'grins'"),
        (["report", "smiles", "--html", "x.pdf"], "must end in .html, got x.pdf"),
        (["session", "new", "smiles", *ABOUT], "already a session named"),
        (["session", "new", "b", *ABOUT, "--sensitive", "kind"], "other than what is predicted"),
        (["session", "new", "b", *ABOUT, "--table", "none"], "no table named 'none'"),
        (["session", "train", "smiles", "--from", "9"], "has no run 9. Choose one from 1 to 2"),
        (["session", "train", "smiles", "--from", "0"], "has no run 0"),
        (["session", "train", "smiles", "--also"], "--also adds to something"),
        (["session", "train", "smiles", "--exclude", "1", "--suggest", "group"], "Say what is excluded once"),
        (["session", "train", "smiles", "--exclude", "one"], "channel numbers with commas"),
        (["session", "train", "smiles", "--suggest", "age"], "has no target 'age'"),
        (["session", "restore", "smiles", "7"], "has no run 7"),
        (["session", "compare", "smiles", "1", "7"], "has no run 7"),
        (["session", "compare", "smiles", "1", "2", "--out", "x.txt"], "--out must end in .csv, .json, .md"),
        (["session", "real", "smiles", "1"], "Name two runs"),
        (["session", "share", "smiles", "--out", "x.csv"], "--out must end in .json"),
        (["session", "repeat", "smiles", "none.json"], "none.json cannot be read"),
        (["session", "rename", "smiles", " "], "not empty"),
    ],
)
def test_a_mistake_is_1_sentence_and_exit_code_1_and_changes_nothing(smiles, tmp_path, monkeypatch, words, sentence):
    monkeypatch.chdir(tmp_path)
    before = as_json("session", "log")
    for command in (words, [*words, "--json"]):
        result = run(*command)
        assert result.exit_code == 1
        told = json.loads(result.stdout)["error"] if "--json" in command else result.stderr
        assert sentence in told and len(told.splitlines()) == 1
    assert as_json("session", "log") == before and list(tmp_path.iterdir()) == []


def test_a_run_1_alone_cannot_be_asked_whether_it_is_real(home):
    begin("alone")
    result = run("session", "real", "alone")
    assert result.exit_code == 1 and "Run 1 was changed from no other" in result.stderr


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"backbone": "another"}, "of channels of the backbone another"),
        ({"excluded": [24]}, "must be below 24"),
        ({"target": "group"}, "made on the table toy for group"),
        ({"table_key": "other"}, "is about kind on toy as it is now"),
    ],
)
def test_a_list_of_something_else_is_not_repeated(smiles, tmp_path, change, sentence):
    file = tmp_path / "list.json"
    said("session", "share", smiles, "--out", file)
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    result = run("session", "repeat", smiles, file)
    assert result.exit_code == 1 and sentence in result.stderr and len(result.stderr.splitlines()) == 1
    assert len(as_json("session", "show", smiles)["runs"]) == 2


def test_a_database_named_in_the_environment_holds_the_sessions_and_the_folder_has_none(home, tmp_path, monkeypatch):
    monkeypatch.setenv("IMG2TAB_DATABASE", f"sqlite:///{tmp_path / 'elsewhere.db'}")
    begin("elsewhere")
    assert (tmp_path / "elsewhere.db").exists() and not (home / "sessions.db").exists()
    assert [session.name for session in Sessions().list()] == ["elsewhere"]
    monkeypatch.setenv("IMG2TAB_DATABASE", "mysql://x")
    result = run("session", "list")
    assert result.exit_code == 1 and "SQLite or PostgreSQL" in result.stderr
    assert "IMG2TAB_DATABASE" in " ".join(said("session", "--help").split())


def test_a_child_keeps_what_its_parent_erases_and_balances_and_so_does_a_shared_list(smiles, tmp_path):
    said("session", "train", smiles, "--exclude", "", "--erase", "group", "--balance")
    file = tmp_path / "list.json"
    assert "0 channels excluded; erases group and is balanced over group" in said(
        "session", "share", smiles, "--out", file
    )
    erases = {"erased": ["group"], "balanced": ["group"]}
    asked = {  # words -> what is then done
        ("--seed", 2): erases,
        ("--no-balance",): {"erased": ["group"]},
        ("--copies",): {"moved": ["group"], "balanced": ["group"]},
        ("--erase", ""): {},
        ("--from", 1, "--exclude", f"@{file}"): erases,
    }
    for words, treatment in asked.items():
        start = () if "--from" in words else ("--from", 3)
        assert as_json("session", "train", smiles, *start, *words)["run"]["treatment"] == treatment, words
    none = run("session", "train", smiles, "--from", 1, "--balance")
    assert none.exit_code == 1 and "Name the attribute that is balanced" in none.stderr

"""The bias record of a session: kept, changed, checked, held against what was measured, and in an old database too."""

from __future__ import annotations

import json
from datetime import date
from types import SimpleNamespace

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from typer.testing import CliRunner

from img2tab_core import tables
from img2tab_core.audits.audit_record import Measure
from img2tab_core.audits.metric_choice import choose_metric
from img2tab_core.base.errors import Img2TabError
from img2tab_core.cli import main
from img2tab_core.sessions import database
from img2tab_core.sessions.bias_scenarios import Scenario, checked_scenario, held_against, scenario_from
from img2tab_core.sessions.store import Sessions

LATE = date(2999, 3, 1)
SCENARIO = Scenario("older women", "not shown the offer", "a customer", "equal_opportunity", 0.05, "", LATE)
ANSWERS = {"labels": "yes", "class": "helps", "rates": "yes", "errors": "missed", "used": "decisions"}


@pytest.fixture(scope="module")
def folder(toy_home):
    return toy_home(200, 6, kind=1, group_from=4)


@pytest.fixture
def store(folder, monkeypatch):
    """The sessions of a visitor's folder with one session, "smiles"; the same file that the verbs open."""
    monkeypatch.setenv("IMG2TAB_HOME", str(folder))
    monkeypatch.delenv("IMG2TAB_DATABASE", raising=False)
    for file in folder.glob("sessions.db*"):
        file.unlink()
    made = Sessions()
    made.create("smiles", "Ada", tables.open_table(folder / "tables" / "toy"), "kind", ["group"])
    yield made
    made.close()


def said(*words: object) -> str:
    result = CliRunner().invoke(main.app, [str(word) for word in words])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_scenarios_are_numbered_within_their_session_and_a_removed_number_is_not_given_again(store):
    session = store.open("smiles")
    first, second = store.add_scenario(session, SCENARIO), store.add_scenario(session, SCENARIO, who="Bob")
    assert [(each.number, each.who) for each in (first, second)] == [(1, "Ada"), (2, "Bob")]
    store.remove_scenario(session, 2, who="Eve")
    assert store.add_scenario(session, SCENARIO).number == 3
    assert [each.number for each in store.scenarios(session)] == [1, 3]
    assert first.scenario == SCENARIO and first.scenario.to_json()["review"] == "2999-03-01"
    log = [(entry.who, entry.what, entry.details.get("scenario")) for entry in store.log(session)][1:]
    assert log == [
        ("Ada", "recorded a scenario", 1),
        ("Bob", "recorded a scenario", 2),
        ("Eve", "removed a scenario", 2),
        ("Ada", "recorded a scenario", 3),
    ]
    with pytest.raises(Img2TabError, match=r"no scenario 2\. Choose one of: 1, 3"):
        store.change_scenario(session, 2, SCENARIO)


def test_the_record_goes_with_its_session_and_what_it_said_stays_in_the_log(store):
    session = store.open("smiles")
    store.add_scenario(session, SCENARIO)
    store.delete(session)
    with store._database.reading() as db:
        assert db.execute(sa.text("SELECT count(*) FROM audit_scenario")).scalar() == 0
    assert store.log(session)[1].details["harm"] == "not shown the offer"


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"group": " "}, "The group at risk must be one line"),
        ({"harm": ""}, "The harm must be said, in at most 2,000 letters, got 0"),
        ({"harm": "x" * 2001}, "got 2,001"),
        ({"measure": "fairness"}, "The measure must be one of demographic_parity, equalised_odds"),
        ({"points": "120"}, "between 0 and 100 points, got 120"),
        ({"points": "many"}, "a number of points, got 'many'"),
        ({"points": "nan"}, "between 0 and 100 points, got nan"),
        ({"review": "2020-01-01"}, "must lie ahead, got 2020-01-01 and today is 2026-11-29"),
        ({"review": "soon"}, "a day such as 2027-03-01, got 'soon'"),
        ({"mitigation": "a\0b"}, "plain text without control characters"),
    ],
)
def test_what_cannot_be_kept_is_refused_with_the_field_named(fields, sentence):
    typed = {
        "group": "men",
        "harm": "h",
        "words_of": "",
        "measure": "equalised_odds",
        "points": "5",
        "mitigation": "",
        "review": "",
    }
    with pytest.raises(Img2TabError, match=sentence):
        checked_scenario(scenario_from(**typed | fields), today=date(2026, 11, 29))


@pytest.mark.parametrize(
    ("measure", "begin"),
    [
        (
            Measure(0.131, 0.068, 0.187),
            "Above what is acceptable: 13.1\N{NO-BREAK SPACE}points (6.8 to 18.7); at most 5",
        ),
        (Measure(0.02, 0.0, 0.04), "Within what is acceptable: 2.0\N{NO-BREAK SPACE}points (0.0 to 4.0); at most 5"),
        (Measure(0.02, 0.0, 0.09), "Cannot be told: 2.0\N{NO-BREAK SPACE}points (0.0 to 9.0), and 5 points lie within"),
        (Measure(None, None, None, "no faces"), "Not measured (no faces): whether it is within 5 points is not known"),
    ],
)
def test_a_threshold_is_held_against_the_interval_and_not_the_value(measure, begin):
    assert held_against(SCENARIO, _audit(measure, 30), ("older", "young")).startswith(begin)


def test_a_gap_that_rests_on_29_faces_is_neither_above_nor_within():
    told = held_against(SCENARIO, _audit(Measure(0.131, 0.068, 0.187), 29), ("older", "young"))
    assert told == "Cannot be told: only 29 test faces are labelled young and male; it takes 30."


def _audit(measure, fewest):
    groups = [
        SimpleNamespace(name=name, by_class=(100, faces), measures={"true_positive_rate": Measure(rate, 0.0, 1.0)})
        for name, faces, rate in (("perceived female", 100, 0.9), ("perceived male", fewest, 0.8))
    ]
    return SimpleNamespace(gaps={"equal_opportunity": measure}, by_group=groups)


def test_the_chosen_metric_stays_with_the_session_and_the_log_has_every_choice(store):
    session = store.open("smiles")
    assert session.metric_choice == {}
    store.choose_metric(session, choose_metric(ANSWERS), who="Bob")
    store.choose_metric(session, choose_metric(ANSWERS | {"rates": "no"}))
    kept = store.open("smiles").metric_choice
    assert (kept["metric"], kept["who"], kept["answers"]["rates"]) == ("demographic_parity", "Ada", "no")
    chosen = [(entry.who, entry.details["metric"]) for entry in store.log(session) if entry.what == "chose a metric"]
    assert chosen == [("Bob", "equal_opportunity"), ("Ada", "demographic_parity")]


def test_a_database_of_step_0002_migrates_with_its_session_its_run_and_its_log(tmp_path):
    url = f"sqlite:///{tmp_path / 'old.db'}"
    with sa.create_engine(url).begin() as connection:
        config = Config(attributes={"connection": connection, "version_table": database.STEP_TABLE})
        config.set_main_option("script_location", str(database.STEPS))
        command.upgrade(config, "0002")
        connection.execute(
            sa.text(
                "INSERT INTO audit_session (name, owner, backbone, table_name, table_key, target, sensitive, notes, "
                "current, created, changed) VALUES ('old', 'Ada', 'b', 't', 'k', 'kind', '[\"group\"]', 'n', NULL, "
                "'2026-01-01 00:00:00', '2026-01-01 00:00:00')"
            )
        )
        connection.execute(
            sa.text(
                "INSERT INTO audit_log (at, who, session_id, session_name, what, details) "
                "VALUES ('2026-01-01 00:00:00', 'Ada', 1, 'old', 'created', '{}')"
            )
        )
    store = Sessions(url)
    session = store.open("old")
    assert (session.notes, session.metric_choice, store.scenarios(session)) == ("n", {}, ())
    assert store.add_scenario(session, SCENARIO).number == 1
    assert [entry.what for entry in store.log(session)] == ["created", "recorded a scenario"]
    store.close()


def test_the_terminal_adds_changes_lists_and_removes_a_scenario(store, tmp_path):
    new = ("--group", "older women", "--harm", "not shown", "--largest", 5, "--review", "2999-03-01", "--who", "Bob")
    assert "1. older women: not shown" in said("session", "scenario", "add", "smiles", *new)
    changed = said(
        "session", "scenario", "change", "smiles", 1, "--largest", 7.5, "--measure", "accuracy_gap", "--json"
    )
    kept = json.loads(changed)["scenario"]
    assert (kept["group"], kept["measure"], kept["largest"], kept["review"]) == (
        "older women",
        "accuracy_gap",
        0.075,
        "2999-03-01",
    )
    assert "accuracy gap, at most 7.5 points" in said("session", "scenario", "list", "smiles")
    said("session", "scenario", "list", "smiles", "--out", tmp_path / "record.csv")
    assert "older women" in (tmp_path / "record.csv").read_text()
    assert "removed" in said("session", "scenario", "remove", "smiles", 1)
    assert "no scenario yet" in said("session", "scenario", "list", "smiles")


def test_the_terminal_asks_five_questions_and_keeps_what_they_lead_to(store):
    assert said("session", "metric", "smiles").count("?\n") == 5
    answered = said("session", "metric", "smiles", *(f"--{name}={answer}" for name, answer in ANSWERS.items()))
    assert answered.startswith("Equal opportunity difference: the largest difference between groups")
    assert said("session", "metric", "smiles") == answered
    refused = CliRunner().invoke(main.app, ["session", "metric", "smiles", "--labels", "maybe"])
    assert refused.exit_code == 1 and "needs one of these answers: yes, unsure, no" in refused.stderr

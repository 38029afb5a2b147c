"""Audit sessions on SQLite and on a real PostgreSQL server: who wins, what survives kill -9, what nobody can change."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import FrozenInstanceError, asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from img2tab_core import tables
from img2tab_core.audits.auditor import Auditor
from img2tab_core.base import files
from img2tab_core.base.errors import Cancelled, Img2TabError
from img2tab_core.base.layout import StyleLayout
from img2tab_core.base.records import Target
from img2tab_core.classifiers import catboost
from img2tab_core.classifiers.catboost import CatBoostConcepts, GpuConcepts
from img2tab_core.classifiers.runs import Run
from img2tab_core.sessions import database, nearness, session_runs
from img2tab_core.sessions.nearness import ACCURACY
from img2tab_core.sessions.rows import Base, RunRow
from img2tab_core.sessions.session_records import RunInfo, SessionInfo
from img2tab_core.sessions.session_runs import SessionRuns
from img2tab_core.sessions.shared_exclusions import Exclusions, exclusions_json, read_exclusions
from img2tab_core.sessions.store import Sessions
from img2tab_core.sessions.tree import branches, difference
from img2tab_core.studio import Studio

D, N = 24, 400
METRICS = {"accuracy": 0.9, "auc": 0.95, "confusion": ((5, 1), (0, 4))}


class Server:
    """A PostgreSQL server of our own on a free port, run by a user that is not root: the server refuses root."""

    def __init__(self, programs: Path) -> None:
        self.programs = programs
        self.folder = Path(tempfile.mkdtemp(prefix="img2tab-postgres-", dir="/tmp"))  # pytest's own is closed to others
        self.port, self.count, self.user = _free_port(), 0, []
        if os.geteuid() == 0:
            name = "postgres" if _is_user("postgres") else "nobody"
            self.user = ["setpriv", f"--reuid={name}", f"--regid={_group_of(name)}", "--clear-groups"]
            shutil.chown(self.folder, name)
        self._run(
            "initdb",
            "-D",
            self.folder / "data",
            "-U",
            "img2tab",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--locale=C",
            "--no-sync",
        )

    def start(self) -> None:
        self._run(
            "pg_ctl",
            "-D",
            self.folder / "data",
            "-l",
            self.folder / "log",
            "-w",
            "-o",
            f"-p {self.port} -k {self.folder} -c listen_addresses=127.0.0.1 -c fsync=off",
            "start",
        )

    def stop(self) -> None:
        self._run("pg_ctl", "-D", self.folder / "data", "-m", "immediate", "-w", "stop")

    def url(self) -> str:
        """A new, empty database."""
        self.count += 1
        with sa.create_engine(self._url("postgres"), isolation_level="AUTOCOMMIT").connect() as connection:
            connection.execute(sa.text(f"CREATE DATABASE test{self.count}"))
        return self._url(f"test{self.count}")

    def _url(self, name: str) -> str:
        return f"postgresql+psycopg://img2tab@127.0.0.1:{self.port}/{name}"

    def _run(self, program: str, *arguments) -> None:
        done = subprocess.run(
            [*self.user, self.programs / program, *map(str, arguments)],
            cwd=self.folder,
            text=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr


def _is_user(name: str) -> bool:
    import pwd

    return any(entry.pw_name == name for entry in pwd.getpwall())


def _group_of(name: str) -> int:
    import pwd

    return pwd.getpwnam(name).pw_gid


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@pytest.fixture(scope="module")
def server():
    """A running PostgreSQL server, or the reason why there is none."""
    pytest.importorskip("psycopg", reason="the postgres extra is not installed: pip install -e .[postgres]")
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda file: int(file.parts[-3]))
    programs = installed[-1].parent if installed else shutil.which("initdb") and Path(shutil.which("initdb")).parent
    if not programs:
        pytest.skip("no PostgreSQL server is installed (Debian: apt-get install postgresql)")
    server = Server(programs)
    try:
        server.start()
        yield server
        server.stop()
    finally:
        shutil.rmtree(server.folder, ignore_errors=True)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path) -> str:
    """A new, empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'sessions.db'}"
    return request.getfixturevalue("server").url()


@pytest.fixture
def store(url):
    store = Sessions(url)
    yield store
    store.close()


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A visitor's folder with one toy table."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def table(home):
    """400 faces x 24 channels; smiling moves 3 and 7, young moves 5, glasses nothing."""
    rng = np.random.default_rng(0)
    labels = pd.DataFrame(
        {
            name: (np.arange(N) // step % 2).astype(np.int8)
            for name, step in (("smiling", 1), ("young", 2), ("glasses", 4))
        }
    )
    psi = rng.normal(size=(N, D)).astype(np.float32)
    psi[:, 3] += labels["smiling"]
    psi[:, 7] += 0.5 * labels["smiling"]
    psi[:, 5] += labels["young"]
    return tables.write_table(
        home / "tables" / "toy",
        lambda rows: psi[rows],
        labels,
        targets=[Target(name, name.title(), ("no", "yes"), "by hand") for name in labels],
        layout=StyleLayout((D,)),
        backbone="toy-ffhq",
        key="toy-key",
    )


@pytest.fixture
def session(store, table):
    return store.create("First look", "Ada", table, "smiling", ["young"], "why we look")


def trained(store, session, parent=None, excluded=(), **more) -> RunInfo:
    """A run that was started and is done."""
    run = store.start_run(session, parent, "catboost", 0, excluded, **more)
    return store.finish_run(run, f"toy-smiling-{run.number:012x}", METRICS)


def script(url: str, home: Path, body: str, *arguments: str) -> subprocess.Popen:
    """Another process with the sessions opened as `store`."""
    begin = "import os, signal, sys, time\nfrom img2tab_core.sessions.store import Sessions\nstore = Sessions()\n"
    return subprocess.Popen(
        [sys.executable, "-c", begin + body, *arguments],
        cwd=Path(__file__).parents[1],
        text=True,
        stdout=subprocess.PIPE,
        stdin=subprocess.PIPE,
        env=os.environ | {"IMG2TAB_DATABASE": url, "IMG2TAB_HOME": str(home)},
    )


# --- sessions and their log ---------------------------------------------------------------------------


def test_a_session_comes_back_as_it_was_saved_by_name_and_by_id(store, url, table):
    before = datetime.now(UTC) - timedelta(seconds=5)
    made = store.create("  Wer lächelt?   🙂 ", "Ada", table, "smiling", ("young", "glasses"), "line 1\nline 2")
    assert (made.name, made.owner, made.notes) == ("Wer lächelt? 🙂", "Ada", "line 1\nline 2")
    assert (made.backbone, made.table, made.table_key, made.target) == ("toy-ffhq", "toy", "toy-key", "smiling")
    assert made.sensitive == ("young", "glasses") and made.current is None
    assert before < made.created == made.changed < before + timedelta(seconds=60)
    other = Sessions(url)
    assert other.open("Wer lächelt? 🙂") == other.open(made.id) == made and other.list() == (made,)
    other.close()
    with pytest.raises(FrozenInstanceError):
        made.name = "other"


def test_a_taken_name_keeps_the_first_session_whole(store, session, table):
    store.create("Second", "Bob", table, "young", ["glasses"])
    with pytest.raises(Img2TabError, match="already a session named 'First look'"):
        store.create("First  look", "Bob", table, "young", ["glasses"])
    with pytest.raises(Img2TabError, match="already a session named 'Second'"):
        store.rename(session, "Second")
    assert [session.name for session in store.list()] == ["Second", "First look"]
    assert [entry.what for entry in store.log()] == ["created", "created"]


def test_names_notes_and_deletion_are_in_the_log_with_who_did_them(store, session):
    renamed = store.rename(session, "Last look", who="Bob")
    noted = store.set_notes(session, "better words")
    assert renamed.name == "Last look" and noted.notes == "better words" and noted.changed > session.changed
    trained(store, session)
    store.record(session, "Eve", "named a concept", {"index": 7, "name": "smile", "shift": np.float32(0.5)})
    store.delete(session, who="Eve")
    assert store.list() == ()
    with pytest.raises(Img2TabError, match=r"There is no session 'Last look'. There is none yet"):
        store.open("Last look")
    log = store.log(session)
    assert [(entry.who, entry.what) for entry in log] == [
        ("Ada", "created"),
        ("Bob", "renamed"),
        ("Ada", "notes"),
        ("Ada", "run started"),
        ("Ada", "run done"),
        ("Eve", "named a concept"),
        ("Eve", "deleted"),
    ]
    assert log[0].details == {"table": "toy", "target": "smiling", "sensitive": ["young"]}
    assert log[1].details == {"before": "First look", "after": "Last look"}
    assert log[5].details == {"index": 7, "name": "smile", "shift": 0.5}
    assert log[6].details == {"runs": ["toy-smiling-000000000001"]} and log[6].session_name == "Last look"
    assert [entry.id for entry in log] == sorted(entry.id for entry in log)


def test_an_id_is_never_given_twice_so_no_log_is_read_as_another_sessions(store, session, table):
    store.delete(session)
    again = store.create("First look", "Ada", table, "smiling", ["young"])
    assert again.id != session.id and [entry.what for entry in store.log(again)] == ["created"]


def test_the_database_itself_refuses_to_change_the_log(store, session, url):
    engine, kept = sa.create_engine(url), store.log()
    said = ["UPDATE audit_log SET who = 'nobody'", "DELETE FROM audit_log"]
    said += (
        ["TRUNCATE audit_log"]
        if "postgresql" in url
        else [
            f"REPLACE INTO audit_log SELECT id, at, 'nobody', session_id, session_name, what, details FROM audit_log "
            f"WHERE id = {kept[0].id}"
        ]
    )
    for sentence in said:
        with pytest.raises(sa.exc.DBAPIError, match="append-only"), engine.begin() as connection:
            connection.execute(sa.text(sentence))
    engine.dispose()
    assert store.log() == kept and len(kept) == 1
    assert not {name for name in vars(Sessions) if "log" in name} - {"log"}


@pytest.mark.parametrize("name", ["", " \n ", "x" * 81, "a\0b", "no\u200bwidth", "\ud800"])
def test_a_name_that_is_no_line_of_1_to_80_characters_is_refused(store, session, table, name):
    with pytest.raises(Img2TabError, match="must be"):
        store.create(name, "Ada", table, "smiling", ["young"])
    with pytest.raises(Img2TabError, match="must be"):
        store.rename(session, name)
    assert store.open(session.id) == session


def test_a_name_of_80_characters_is_kept(store, table):
    assert store.create("ä" * 80, "Ada", table, "smiling", ["young"]).name == "ä" * 80


@pytest.mark.parametrize(
    ("sensitive", "said"),
    [
        ([], "one or two different labels"),
        (["smiling"], "other than what is predicted"),
        (["young", "young"], "one or two different"),
        (["young", "glasses", "smiling"], "one or two"),
        (["hat"], "no target 'hat'"),
    ],
)
def test_groups_are_formed_by_one_or_two_other_labels_of_the_table(store, table, sensitive, said):
    with pytest.raises(Img2TabError, match=said):
        store.create("x", "Ada", table, "smiling", sensitive)
    assert store.list() == () and store.log() == ()


def test_an_unknown_session_or_run_is_a_sentence(store, session):
    with pytest.raises(Img2TabError, match=r"no session 'Nothing'. Choose one of: First look"):
        store.open("Nothing")
    for number in (session.id + 1, 0, -1, 10**30):
        for call in (store.open, store.runs, store.tree_text, lambda n: store.rename(n, "x"), store.delete):
            with pytest.raises(Img2TabError, match="session"):
                call(number)
        for call in (store.children, store.cancel_run, lambda n: store.finish_run(n, "x", {})):
            with pytest.raises(Img2TabError, match="run is not there"):
                call(number)
    with pytest.raises(Img2TabError, match=r"has no run 1. It has none yet"):
        store.run(session, 1)


# --- the tree -----------------------------------------------------------------------------------------


def test_a_run_keeps_all_that_was_said_of_it(store, session):
    run = store.start_run(session, None, "catboost", 2**32 - 1, frozenset({7, 3, np.int64(5)}), "why\nnot", who="Bob")
    assert (run.number, run.parent, run.state, run.who, run.note) == (1, None, "running", "Bob", "why\nnot")
    assert run.excluded == (3, 5, 7) and run.seed == 2**32 - 1 and run.finished is None and run.metrics == {}
    done = store.finish_run(run, "toy-smiling-abc", METRICS | {"gap": np.float64(0.25), "none": float("nan")})
    assert done.metrics == {"accuracy": 0.9, "auc": 0.95, "confusion": [[5, 1], [0, 4]], "gap": 0.25, "none": None}
    assert done == replace(run, state="done", finished=done.finished, run_id="toy-smiling-abc", metrics=done.metrics)
    assert done.finished > run.started and store.runs(session) == (done,) == (store.run(session, 1),)
    assert store.open(session.id).current == 1


def test_the_tree_of_six_runs_by_hand(store, session):
    first = trained(store, session)
    second = trained(store, session, first, [1], note="the first\nidea")
    third = trained(store, session, first, [2])
    fourth = trained(store, session, second, [1, 4])
    fifth = store.start_run(session, second, "catboost", 0, [1, 5])
    store.fail_run(fifth, "out of memory")
    sixth = trained(store, session, None)
    assert [run.number for run in store.runs(session)] == [1, 2, 4, 5, 3, 6]
    assert [run.number for run in store.children(first)] == [2, 3] and store.children(sixth) == ()
    store.restore(session, third)
    assert store.tree_text(session) == "\n".join(
        [
            "1 catboost · nothing excluded · accuracy 0.900",
            "├─ 2 catboost · 1 excluded · accuracy 0.900 — the first idea",
            "│  ├─ 4 catboost · 2 excluded · accuracy 0.900",
            "│  └─ 5 catboost · 2 excluded · failed",
            "└─ 3 catboost · 1 excluded · accuracy 0.900 · current",
            "6 catboost · nothing excluded · accuracy 0.900",
        ]
    )
    assert fourth.parent == second.id and branches([]) == []


def test_a_chain_of_3000_runs_is_drawn():
    at = datetime.now(UTC)
    runs = [RunInfo(i, 1, i - 1 or None, i, "catboost", 0, (), "", "Ada", "done", at) for i in range(1, 3001)]
    drawn = branches(runs[::-1])
    assert [run.number for _, run in drawn] == list(range(1, 3001)) and len(drawn[-1][0]) == 3 * 2999


def test_only_a_done_run_of_the_session_is_restored_and_the_next_done_one_is_current(store, session, table):
    first, second = trained(store, session), trained(store, session)
    assert store.open(session.id).current == 2
    assert store.restore(session, first, who="Bob").current == 1 and store.open(session.id).current == 1
    failed = store.fail_run(store.start_run(session, second, "forest", 1, []), "it failed")
    other = store.create("Other", "Ada", table, "young", ["smiling"])
    with pytest.raises(Img2TabError, match="run 3 is failed"):
        store.restore(session, failed)
    with pytest.raises(Img2TabError, match="run 1 is of another session"):
        store.restore(other, first)
    with pytest.raises(Img2TabError, match="parent must be in the same session"):
        store.start_run(other, first, "catboost", 0, [])
    assert store.runs(other) == () and store.open(session.id).current == 1
    assert trained(store, session, first).number == store.open(session.id).current == 4
    assert store.log(session)[5].details == {"before": 2, "run": 1}


def test_a_run_ends_once(store, session):
    ends = {
        "done": lambda run: store.finish_run(run, "x", {}),
        "failed": lambda run: store.fail_run(run, "no\0 memory"),
        "cancelled": store.cancel_run,
    }
    for state, end in ends.items():
        run = store.start_run(session, None, "catboost", 0, [])
        ended = end(run)
        assert ended.state == state and ended.finished >= ended.started
        for again in ends.values():
            with pytest.raises(Img2TabError, match=f"has ended already, it is {state}"):
                again(run)
        assert store.run(session, run.number) == ended
    assert store.run(session, 2).reason == "no memory"


@pytest.mark.parametrize(
    ("kind", "seed", "excluded", "said"),
    [
        ("", 0, [], "kind"),
        ("catboost", -1, [], "seed"),
        ("catboost", 2**32, [], "seed"),
        ("catboost", 1.5, [], "seed"),
        ("catboost", True, [], "seed"),
        ("catboost", 0, [-1], "channels"),
        ("catboost", 0, [1.5], "channels"),
        ("catboost", 0, "12", "channels"),
        ("catboost", 0, 3, "channels"),
        ("catboost", 0, [True], "channels"),
    ],
)
def test_a_run_that_cannot_be_is_refused_at_the_door(store, session, kind, seed, excluded, said):
    with pytest.raises(Img2TabError, match=said):
        store.start_run(session, None, kind, seed, excluded)
    assert store.runs(session) == () and len(store.log(session)) == 1


def test_a_running_session_is_not_deleted_and_a_tree_is_deleted_whole(store, session):
    first = trained(store, session)
    run = store.start_run(session, first, "catboost", 0, [])
    with pytest.raises(Img2TabError, match="Run 2 of the session 'First look' is still training"):
        store.delete(session)
    store.cancel_run(run)
    store.delete(session)
    assert store.list() == ()
    with pytest.raises(Img2TabError, match="its session was deleted"):
        store.finish_run(first, "x", {})


def test_two_runs_side_by_side():
    at = datetime.now(UTC)
    first = RunInfo(1, 1, None, 1, "catboost", 0, (1, 2, 3), "", "Ada", "done", at, metrics=METRICS | {"gap": None})
    second = replace(first, kind="forest", excluded=(3, 9), metrics={"accuracy": 0.8, "gap": 0.1})
    apart = difference(first, second)
    assert (apart.only_one, apart.only_other) == ((1, 2), (9,))
    assert apart.settings == {"classifier": ("catboost", "forest")} and apart.metrics == {"accuracy": (0.9, 0.8)}
    assert difference(first, first).settings == {}


def test_a_body_that_raises_ends_its_run_and_the_exception_goes_on(store, session, monkeypatch):
    monkeypatch.setattr("img2tab_core.sessions.store.BEAT", 0.02)
    runs = [store.start_run(session, None, "catboost", 0, []) for _ in range(4)]
    with pytest.raises(ZeroDivisionError), store.holding(runs[0]):
        raise ZeroDivisionError("by zero")
    with pytest.raises(Cancelled), store.holding(runs[1]):
        raise Cancelled("stopped")
    with store.holding(runs[2]):
        pass
    with store.holding(runs[3]):
        first = _heartbeat(store, runs[3])
        while _heartbeat(store, runs[3]) == first:
            time.sleep(0.01)
        store.finish_run(runs[3], "x", METRICS)
    with pytest.raises(ValueError), store.holding(runs[3]):
        raise ValueError
    assert [(run.state, run.reason) for run in store.runs(session)] == [
        ("failed", "by zero"),
        ("cancelled", ""),
        ("failed", "It ended without a result."),
        ("done", ""),
    ]
    assert not [thread for thread in threading.enumerate() if thread.name == "img2tab-heartbeat"]


def _heartbeat(store, run):
    with store._database.reading() as db:
        return db.get(RunRow, run.id).heartbeat


# --- processes that die -------------------------------------------------------------------------------

TRAINING = """
from img2tab_core.studio import Studio
session = store.open("First look")
run = store.start_run(session, store.run(session, 1), "catboost", 7, [3], "what if")
def report(fraction, text):
    print(run.number, fraction, flush=True)
    time.sleep(300)
studio = Studio()
with store.holding(run):
    trained = studio.train(studio.table("toy"), "smiling", excluded=frozenset([3]), seed=7, progress=report)
    store.finish_run(run, trained.id, {})
"""


def test_kill_9_in_the_middle_of_a_training_leaves_a_session_that_opens(store, session, url, home, table):
    earlier = [trained(store, session), store.fail_run(store.start_run(session, None, "forest", 0, []), "no")]
    training = script(url, home, TRAINING)
    number, fraction = training.stdout.readline().split()  # the first tree is grown
    assert number == "3" and float(fraction) < 1
    assert store.run(session, 3).state == "running" and store.open("First look").current == 1
    os.kill(training.pid, signal.SIGKILL)
    while Path(f"/proc/{training.pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
        time.sleep(0.01)
    # nobody has asked how it ended: it is still in the process table, and counts as gone all the same
    again = Sessions(url)
    assert again.open("First look").id == session.id and again.log(session)[-1].what == "run interrupted"
    assert training.wait() == -signal.SIGKILL
    run = again.run(session, 3)
    assert (run.state, run.excluded, run.seed, run.note) == ("interrupted", (3,), 7, "what if")
    assert run.reason == f"Its process {training.pid} is gone." and run.finished > run.started
    assert [again.run(session, 1), again.run(session, 2)] == earlier
    entry = again.log(session)[-1]
    assert (entry.who, entry.what, entry.details["run"]) == ("img2tab", "run interrupted", 3)
    assert trained(again, session, run, [3]).number == 4  # and on it goes
    assert [entry.what for entry in again.log(session)].count("run interrupted") == 1
    again.close()


WRITING = """
session = store.open("First look")
def write():
    run = store.start_run(session, None, "catboost", 0, list(range(500)))
    store.finish_run(run, f"run-{run.number}", {"number": run.number})
    store.set_notes(session, "x" * 1000)
write()
print("ready", flush=True)
while True:
    write()
"""


def test_kill_9_in_the_middle_of_writing_loses_no_run_that_was_done(store, session, url, home):
    for delay in (0.05, 0.13, 0.2):
        writing = script(url, home, WRITING)
        assert writing.stdout.readline() == "ready\n"
        time.sleep(delay)
        writing.kill()
        writing.wait()
        if "postgresql" in url:
            time.sleep(0.2)  # the server may be at work on the last it was told
        runs = store.runs(session)
        assert [run.number for run in runs] == list(range(1, len(runs) + 1))
        assert all(run.state in ("done", "interrupted") for run in runs)
        assert all(run.metrics == {"number": run.number} and run.run_id for run in runs if run.state == "done")
        log = Counter(entry.what for entry in store.log(session))
        states = Counter(run.state for run in runs)
        assert log["run started"] == len(runs) and log["run done"] == states["done"] > 0
        assert log["run interrupted"] == states["interrupted"] <= 3
    if "sqlite" in url:
        with sqlite3.connect(sa.make_url(url).database) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def _pretend(store, run, **values):
    """Write into the row what another process would have written."""
    with store._database.writing() as db:
        db.execute(sa.update(RunRow).where(RunRow.id == run.id).values(**values))


def test_a_number_given_to_another_process_does_not_keep_a_run_alive(store, session):
    run = store.start_run(session, None, "catboost", 0, [])
    assert store.runs(session)[0].state == "running"
    _pretend(store, run, process="1")  # this pid, started one tick after the machine
    assert store.runs(session)[0].state == "interrupted"


def test_a_run_on_another_machine_is_given_up_after_two_minutes_without_a_heartbeat(store, session):
    run = store.start_run(session, None, "catboost", 0, [])
    _pretend(store, run, host="elsewhere boot space", pid=1, heartbeat=datetime.now(UTC) - timedelta(seconds=110))
    assert store.runs(session)[0].state == "running"
    _pretend(store, run, heartbeat=datetime.now(UTC) - timedelta(seconds=130))
    store.heartbeat(run)
    assert store.runs(session)[0].state == "running"
    _pretend(store, run, heartbeat=datetime.now(UTC) - timedelta(seconds=130))
    store.open("First look")
    given_up = store.run(session, 1)
    assert given_up.state == "interrupted" and "on elsewhere gave no sign of life for 2 minutes" in given_up.reason
    # it only slept: its result is real, and it is taken
    store.heartbeat(run)
    assert store.run(session, 1).state == "interrupted"
    assert store.finish_run(run, "x", METRICS).state == "done" and store.open("First look").current == 1


def test_eight_who_open_a_session_at_once_mark_a_dead_run_once(store, session, url):
    run = store.start_run(session, None, "catboost", 0, [])
    _pretend(store, run, process="1")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: store.open(session.id), range(8)))
    assert [entry.what for entry in store.log(session)] == ["created", "run started", "run interrupted"]


# --- several at once ----------------------------------------------------------------------------------

CREATING = """
print("ready", flush=True)
sys.stdin.readline()
session = store.open("First look")
for i in range(15):
    run = store.start_run(session, None, "catboost", i, [])
    store.heartbeat(run)
    store.finish_run(run, f"{os.getpid()}-{i}", {})
    store.record(session, "me", "looked", {"i": i})
"""


def test_two_processes_and_four_threads_number_their_runs_without_a_gap_or_a_double(store, session, url, home):
    others = [script(url, home, CREATING) for _ in range(2)]
    for other in others:
        assert other.stdout.readline() == "ready\n"
    for other in others:
        other.stdin.write("go\n")
        other.stdin.flush()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: [trained(store, session) for _ in range(10)], range(4)))
    for other in others:
        assert other.wait(timeout=60) == 0
        other.stdin.close()
    runs = store.runs(session)
    assert [run.number for run in runs] == list(range(1, 71)) and {run.state for run in runs} == {"done"}
    assert Counter(entry.what for entry in store.log(session)) == {
        "created": 1,
        "run started": 70,
        "run done": 70,
        "looked": 30,
    }


def test_of_eight_who_want_one_name_one_gets_it(store, table):
    def create(i):
        try:
            return store.create("Mine", f"person {i}", table, "smiling", ["young"]).owner
        except Img2TabError as error:
            assert "already a session named" in str(error)

    with ThreadPoolExecutor(8) as pool:
        owners = [owner for owner in pool.map(create, range(8)) if owner]
    assert len(owners) == 1 and store.open("Mine").owner == owners[0]


def test_a_session_that_is_deleted_and_changed_at_once_ends_in_sentences_only(store, table):
    def work(i):
        try:
            if i == 3:
                return store.delete(session)
            store.set_notes(session, str(i))
            return trained(store, session)
        except Img2TabError as error:
            assert "not there any more" in str(error) or "still training" in str(error)

    for turn in range(5):
        session = store.create(f"turn {turn}", "Ada", table, "smiling", ["young"])
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(work, range(8)))


OPENING = """
print("ready", flush=True)
sys.stdin.readline()
for url in sys.argv[1:]:
    Sessions(url).list()
"""


def test_four_threads_and_two_processes_that_open_a_new_database_at_once_all_find_it_made(url, request, tmp_path, home):
    new = [
        request.getfixturevalue("server").url() if "postgresql" in url else f"sqlite:///{tmp_path / str(i)}"
        for i in range(6)
    ]
    others = [script(url, home, OPENING, *new) for _ in range(2)]
    for other in others:
        assert other.stdout.readline() == "ready\n"
    for other in others:
        other.stdin.write("go\n")
        other.stdin.flush()
    with ThreadPoolExecutor(4) as pool:
        opened = list(pool.map(Sessions, new * 2))
    assert all(store.list() == () for store in opened)
    assert [other.wait(timeout=60) for other in others] == [0, 0]
    for store in opened:
        store.close()


# --- the database -------------------------------------------------------------------------------------


def test_the_steps_make_the_very_tables_that_the_code_expects(store):
    assert database.HEAD == ScriptDirectory(str(database.STEPS)).get_current_head()
    with store._database.engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"version_table": database.STEP_TABLE, "compare_type": True}
        )
        assert context.get_current_revision() == database.HEAD
        assert compare_metadata(context, Base.metadata) == []


def test_every_step_is_shipped_with_the_package():
    steps = database.STEPS
    # setuptools finds packages by their __init__.py
    assert all((folder / "__init__.py").is_file() for folder in (steps, steps / "versions"))


def test_the_default_is_a_write_ahead_file_in_the_visitors_folder(tmp_path, monkeypatch, table):
    monkeypatch.setenv("IMG2TAB_HOME", str(tmp_path / "50% new & ümlaut"))
    monkeypatch.delenv("IMG2TAB_DATABASE", raising=False)
    store = Sessions()
    store.create("x", "Ada", table, "smiling", ["young"])
    file = tmp_path / "50% new & ümlaut" / "sessions.db"
    with store._database.reading() as db:
        assert db.execute(sa.text("PRAGMA journal_mode")).scalar() == "wal"
        assert db.execute(sa.text("PRAGMA foreign_keys")).scalar() == 1
        assert db.execute(sa.text("PRAGMA busy_timeout")).scalar() == 30_000
    store.close()
    monkeypatch.setenv("IMG2TAB_DATABASE", f"sqlite:///{tmp_path / 'other.db'}")
    other = Sessions()
    assert other.list() == () and file.is_file() and (tmp_path / "other.db").is_file()
    other.close()


def test_a_database_of_a_newer_version_is_left_alone(store, session, url):
    with store._database.writing() as db:
        db.execute(sa.text("UPDATE audit_step SET version_num = '9999'"))
    with pytest.raises(Img2TabError, match=r"newer version of Img2Tab \(step 9999, this version knows 0004\)"):
        Sessions(url)
    assert store.list() == (session,)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("nonsense", "must be a URL"),
        ("postgresql+psycopg://u:secret@h:port/x", "must be a URL"),
        ("mysql://u:secret@h/x", "SQLite or PostgreSQL, got mysql"),
        ("sqlite://", "in memory"),
        ("sqlite:///:memory:", "in memory"),
        ("postgresql+nothing://u:secret@h/x", "no driver postgresql.nothing"),
        ("postgresql+pg8000://u:secret@h/x", r"driver for postgresql\+pg8000 is not installed \(pg8000\)"),
        ("postgresql+psycopg://u:secret@127.0.0.1:1/x", "cannot be used .*Check that its server runs"),
    ],
)
def test_a_wrong_url_is_one_sentence_that_does_not_tell_the_password(monkeypatch, wrong, said):
    monkeypatch.setenv("IMG2TAB_DATABASE", wrong)
    with pytest.raises(Img2TabError, match=said) as caught:
        Sessions()
    assert "secret" not in str(caught.value) and "\n" not in str(caught.value)


def test_without_the_driver_the_sentence_names_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(Img2TabError, match=r"driver .* is not installed \(psycopg\).*pip install -e \.\[postgres\]"):
        Sessions("postgresql://h/x")


def test_a_database_that_is_not_on_the_server_is_a_sentence(server):
    with pytest.raises(Img2TabError, match=r'cannot be used .*database "nothing" does not exist'):
        Sessions(server._url("nothing"))


def test_a_server_that_stops_is_a_sentence_and_one_that_comes_back_is_used_again(server, table):
    store = Sessions(server.url())
    session = store.create("x", "Ada", table, "smiling", ["young"])
    run = store.start_run(session, None, "catboost", 0, [])
    server.stop()
    server.start()
    assert store.list() == (store.open("x"),)  # nobody noticed
    server.stop()
    try:
        with pytest.raises(Img2TabError, match="cannot be used"):
            store.list()
        # what was said first is what is read, not that it could not be noted
        with pytest.raises(ZeroDivisionError), store.holding(run):
            raise ZeroDivisionError
    finally:
        server.start()
    assert store.open("x").name == "x"
    assert store.finish_run(run, "y", {}).state == "done"
    store.close()


@pytest.mark.parametrize("content", [b"this is no database, whatever its name says" * 100, None])
def test_a_damaged_file_is_a_sentence_and_stays_as_it_is(tmp_path, table, content):
    file = tmp_path / "sessions.db"
    if content is None:
        store = Sessions(f"sqlite:///{file}")
        store.create("x", "Ada", table, "smiling", ["young"])
        store.close()
        content = file.read_bytes()[:4096] + b"\xff" * (file.stat().st_size - 4096)
    file.write_bytes(content)
    with pytest.raises(Img2TabError, match=r"are damaged .*Put a copy of the file in its place") as caught:
        Sessions(f"sqlite:///{file}").list()
    assert "\n" not in str(caught.value) and file.read_bytes() == content


def test_a_place_that_cannot_be_written_is_a_sentence(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(Img2TabError, match=r"folder .* cannot be made"):
        Sessions(f"sqlite:///{tmp_path / 'file' / 'sessions.db'}")
    (tmp_path / "sessions.db").mkdir()
    with pytest.raises(Img2TabError, match="cannot be read or written"):
        Sessions(f"sqlite:///{tmp_path / 'sessions.db'}")


def test_a_file_another_program_holds_is_a_sentence_after_the_wait(tmp_path, table, monkeypatch):
    monkeypatch.setattr(database, "PATIENCE", 0.1)
    store = Sessions(f"sqlite:///{tmp_path / 'sessions.db'}")
    holder = sqlite3.connect(tmp_path / "sessions.db", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(Img2TabError, match="in use by another program"):
        store.create("x", "Ada", table, "smiling", ["young"])
    assert store.list() == ()  # readers do not wait
    holder.execute("ROLLBACK")
    holder.close()
    store.create("x", "Ada", table, "smiling", ["young"])
    store.close()


@pytest.mark.parametrize("lock", ["BEGIN EXCLUSIVE", "SELECT * FROM other"])
def test_a_new_file_that_somebody_reads_or_writes_for_a_moment_is_waited_for(tmp_path, lock):
    holder = sqlite3.connect(tmp_path / "sessions.db", isolation_level=None, check_same_thread=False)
    holder.execute("CREATE TABLE other (x)")
    holder.executemany("INSERT INTO other VALUES (?)", [(1,), (2,)])
    cursor = holder.execute(lock)
    cursor.fetchone()  # of two rows: the reading is not at its end
    threading.Timer(0.3, lambda: (cursor.close(), holder.close())).start()
    Sessions(f"sqlite:///{tmp_path / 'sessions.db'}").close()


def test_four_who_turn_100_new_files_to_write_ahead_at_once_do_not_fail_each_other(tmp_path):
    # SQLite does not wait here by itself: without our own waiting, some 10 of these 400 failed
    together = threading.Barrier(4)

    def turn(_):
        for i in range(100):
            engine = database._engine(sa.make_url(f"sqlite:///{tmp_path / str(i)}"))
            with engine.connect():
                pass
            together.wait(timeout=10)
            database._write_ahead(engine)
            engine.dispose()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(turn, range(4)))


# --- shared exclusions --------------------------------------------------------------------------------


@pytest.fixture
def shared(tmp_path, table):
    """Shared exclusions of a run of a session, as JSON that has been to a file and back."""
    store = Sessions(f"sqlite:///{tmp_path / 'shared.db'}")
    session = store.create("x", "Ada", table, "smiling", ["young"])
    run = trained(store, session, None, [7, 3])
    store.close()
    return json.loads(json.dumps(exclusions_json(session, run, names={3: "smile", 5: "age"})))


def test_shared_exclusions_say_all_that_decides_a_training(shared):
    assert shared == {
        "format": 1,
        "backbone": "toy-ffhq",
        "table": "toy",
        "table_key": "toy-key",
        "target": "smiling",
        "classifier": "catboost",
        "seed": 0,
        "excluded": [3, 7],
        "run_id": "toy-smiling-000000000001",
        "measured": {"accuracy": 0.9, "auc": 0.95},
        "names": {"3": "smile"},
    }


def test_shared_exclusions_come_back_from_a_file_from_bytes_and_from_their_content(shared, tmp_path):
    expected = Exclusions(
        "toy-ffhq",
        "toy",
        "toy-key",
        "smiling",
        "catboost",
        0,
        (3, 7),
        {3: "smile"},
        "toy-smiling-000000000001",
        {"accuracy": 0.9, "auc": 0.95},
    )
    (tmp_path / "x.json").write_text(json.dumps(shared))
    for source in (shared, json.dumps(shared).encode(), tmp_path / "x.json"):
        assert read_exclusions(source, backbone="toy-ffhq", channels=D, table_key="toy-key") == expected
    least = {name: value for name, value in shared.items() if name not in ("names", "run_id", "measured")}
    assert read_exclusions(least) == replace(expected, names={}, run_id="", measured={})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": 2}, "format 1, got 2"),
        ({"backbone": "other"}, "channels of the backbone other, and toy-ffhq"),
        ({"table_key": "new"}, "cannot be repeated exactly"),
        ({"target": None}, "say their target"),
        ({"seed": -1}, "seed"),
        ({"seed": "0"}, "seed"),
        ({"excluded": [3, "7"]}, "whole numbers"),
        ({"excluded": None}, "whole numbers"),
        ({"excluded": [-1]}, "at least 0"),
        ({"excluded": [24]}, "below 24"),
        ({"names": ["x"]}, "names"),
        ({"names": {"x": "y"}}, "names"),
        ({"names": {"3": 4}}, "names"),
        ({"classifier": ""}, "classifier"),
        ({"run_id": 3}, "names"),
        ({"measured": [0.9]}, "measured"),
        ({"measured": {"accuracy": "0.9"}}, "measured"),
        ({"measured": {"auc": 1.5}}, "from 0 to 1"),
    ],
)
def test_exclusions_that_do_not_fit_are_one_sentence(shared, change, said):
    with pytest.raises(Img2TabError, match=said):
        read_exclusions(shared | change, backbone="toy-ffhq", channels=D, table_key="toy-key")


@pytest.mark.parametrize("content", [b"", b"[1, 2]", b"\xff\xfe", b"3", b"[" * 100_000, b'{"format": 1}'])
def test_a_file_that_holds_something_else_is_one_sentence(content):
    with pytest.raises(Img2TabError, match="Shared exclusions must"):
        read_exclusions(content)


def test_a_missing_file_is_one_sentence(tmp_path):
    with pytest.raises(Img2TabError, match="cannot be read"):
        read_exclusions(tmp_path / "none.json")


def test_a_run_repeated_from_shared_exclusions_is_the_same_to_the_last_bit(store, session, table, home, monkeypatch):
    from img2tab_core.studio import Studio

    monkeypatch.setenv("IMG2TAB_HOME", str(home))
    run = store.start_run(session, None, "catboost", 11, [3, 9])
    first = Studio().train(table, "smiling", kind=run.kind, seed=run.seed, excluded=frozenset(run.excluded))
    done = store.finish_run(run, first.id, asdict(first.metrics))
    shared = json.dumps(exclusions_json(session, done)).encode()

    studio = Studio()  # somebody else, with the same table
    again = studio.table("toy")
    told = read_exclusions(shared, backbone=again.backbone, channels=again.layout.total, table_key=again.key)
    other = studio.train(again, told.target, kind=told.classifier, seed=told.seed, excluded=frozenset(told.excluded))
    assert other.id == told.run_id == first.id and other.metrics == first.metrics
    assert np.array_equal(other.classifier.predict_proba(again.psi), first.classifier.predict_proba(table.psi))
    assert store.run(session, 1).metrics["accuracy"] == other.metrics.accuracy


# --- the models of runs -------------------------------------------------------------------------------


@pytest.fixture
def runs(home, table, tmp_path, monkeypatch) -> SessionRuns:
    """Sessions and their models in the toy table's folder; no run is kept yet."""
    monkeypatch.setenv("IMG2TAB_HOME", str(home))
    shutil.rmtree(home / "runs", ignore_errors=True)
    store = Sessions(f"sqlite:///{tmp_path / 'runs.db'}")
    yield SessionRuns(Auditor(Studio()), store)
    store.close()


@pytest.fixture
def opened(monkeypatch) -> list[str]:
    """The ids of every model that is opened from now on."""
    ids, real = [], session_runs.open_kept

    def open_kept(run_id: str) -> Run:
        ids.append(run_id)
        return real(run_id)

    monkeypatch.setattr(session_runs, "open_kept", open_kept)
    return ids


def test_asking_40_runs_whether_they_have_a_model_opens_none_and_32_models_at_most_stay_open(runs, table, home, opened):
    session = runs.sessions.create("Many", "Ada", table, "smiling", ["young"])
    first, model = runs.train(session, None, kind="logistic")
    infos = [first]
    for number in range(1, 40):  # the same model under 39 more ids
        folder = home / "runs" / f"toy-smiling-{number:012x}"
        shutil.copytree(home / "runs" / model.id, folder)
        started = runs.sessions.start_run(session, first, "logistic", 0, ())
        infos.append(runs.sessions.finish_run(started, folder.name, METRICS))
    runs = SessionRuns(runs.auditor, runs.sessions)  # as after a start of the server
    assert [runs.has_model(session, info) for info in infos] == [True] * 40
    assert opened == []
    for info in infos:
        runs.model(session, info)
    assert len(opened) == 40 and len(runs._models) == 32
    runs.model(session, infos[-1])
    assert len(opened) == 40  # the latest are still open
    shutil.rmtree(home / "runs" / infos[0].run_id)
    assert not runs.has_model(session, infos[0])


def test_a_page_that_asks_which_of_3_models_are_here_opens_only_the_1_it_shows(runs, table, opened, monkeypatch):
    from dashboard.state import session as session_state

    session = runs.sessions.create("Page", "Ada", table, "smiling", ["young"])
    infos = [runs.train(session, None, kind="logistic", seed=seed)[0] for seed in range(3)]
    runs.sessions.fail_run(runs.sessions.start_run(session, None, "logistic", 0, ()), "no")
    fresh = SessionRuns(runs.auditor, runs.sessions)
    monkeypatch.setattr(session_state, "session_runs", lambda: fresh)
    now = session_state._read(session.id)
    assert len(now.models) == 3 and list(now.models) == [info.id for info in infos] and now.current.id in now.models
    assert opened == []
    assert now.models[now.current.id].id == infos[2].run_id
    assert now.info(now.models[now.current.id]) == now.current
    assert opened == [infos[2].run_id]


def test_a_run_that_is_not_done_has_no_model(runs, table, opened):
    session = runs.sessions.create("None", "Ada", table, "smiling", ["young"])
    failed = runs.sessions.fail_run(runs.sessions.start_run(session, None, "logistic", 0, ()), "no")
    assert not runs.has_model(session, failed) and opened == []
    with pytest.raises(Img2TabError, match="Run 1 of 'None' has no model: it is failed"):
        runs.model(session, failed)


def test_a_damaged_model_is_found_out_when_it_is_opened_and_counts_as_lost_until_it_is_trained_again(runs, table, home):
    session = runs.sessions.create("Damaged", "Ada", table, "smiling", ["young"])
    info, model = runs.train(session, None, kind="logistic")
    before = model.classifier.predict_proba(table.psi)
    (home / "runs" / info.run_id / model.classifier.file).write_bytes(b"nothing")
    runs = SessionRuns(runs.auditor, runs.sessions)
    assert runs.has_model(session, info)  # the file is there
    with pytest.raises(Img2TabError, match="The model of run 1 of 'Damaged' is not in this folder, or is damaged"):
        runs.model(session, info)
    assert not runs.has_model(session, info)
    again = runs.again(session, info)
    assert runs.has_model(session, info) and again.note == ""
    assert np.array_equal(runs.model(session, info).classifier.predict_proba(table.psi), before)


# --- trained on a graphics card -----------------------------------------------------------------------


@pytest.fixture
def card(monkeypatch) -> Callable[[bool], None]:
    """Turns a graphics card on or off; there is none here, and what is trained on it is trained on the processor."""
    monkeypatch.setattr(GpuConcepts, "_device", lambda self, count: {"rsm": 0.5})
    monkeypatch.setitem(CatBoostConcepts.__init__.__kwdefaults__, "iterations", 200)  # trees enough for these faces
    return lambda there: monkeypatch.setattr(catboost, "gpu_wished", lambda: there)


@pytest.fixture(scope="module")
def clear_home(toy_home) -> Path:
    """A visitor's folder whose table `toy` has 2,000 faces, 300 of them for tests, and a clear signal."""
    return toy_home(2000, D, kind=2, group_from=12)


@pytest.fixture
def of_card(clear_home, tmp_path, monkeypatch, card) -> tuple[SessionRuns, SessionInfo, RunInfo, Run]:
    """A session with one run that was trained on a card; the card is gone."""
    monkeypatch.setenv("IMG2TAB_HOME", str(clear_home))
    shutil.rmtree(clear_home / "runs", ignore_errors=True)
    store = Sessions(f"sqlite:///{tmp_path / 'card.db'}")
    runs = SessionRuns(Auditor(Studio()), store)
    session = store.create("Card", "Ada", runs.studio.table("toy"), "kind", ["group"])
    card(True)
    info, model = runs.train(session, None, on_quick=lambda run: None)
    card(False)
    yield runs, session, info, model
    store.close()


def lose(runs: SessionRuns, info: RunInfo) -> SessionRuns:
    """Another process, in a folder that has lost the model of a run."""
    shutil.rmtree(files.home() / "runs" / info.run_id)
    return SessionRuns(Auditor(Studio()), runs.sessions)


def test_answers_of_a_hundred_faces_by_hand_3_may_be_decided_otherwise_and_no_more():
    labels = np.repeat([0, 1], 50)
    first = np.where(labels == 1, 0.9, 0.1)
    again = first.copy()
    again[[0, 99]] = 0.6, 0.4  # one wrong of each class
    said = nearness.of_answers(labels, first, again)
    assert not said.near and "98 of 100 test faces are decided alike (98.0\xa0%" in said.sentence
    assert "accuracy was 100.0\xa0% and is 98.0\xa0% (at most 1 point apart)" in said.sentence
    assert "differ by 0.010 on average" in said.sentence  # (0.5 + 0.5) / 100
    first[[1, 2]] = 0.6  # two that the first alone had wrong
    assert not nearness.of_answers(labels, first, again).near  # 4 of 100
    again[1] = 0.6
    three = nearness.of_answers(labels, first, again)  # wrong before: 1, 2; now: 0, 1, 99
    assert three.near and three.sentence.startswith("Within the tolerance: 97 of 100 test faces")
    again[2] = 0.6  # wrong now: 0, 1, 2, 99
    assert not nearness.of_answers(labels, first, again).near  # 2 points


def test_what_was_measured_is_near_within_1_point_and_an_auc_of_5_in_1000(of_card):
    metrics = replace(of_card[3].metrics, accuracy=0.9, auc=0.95)
    for accuracy, auc, near in [(0.91, 0.95, True), (0.89, 0.945, True), (0.911, 0.95, False), (0.9, 0.956, False)]:
        assert nearness.of_metrics({"accuracy": accuracy, "auc": auc}, metrics).near is near
    assert nearness.of_metrics({"accuracy": 0.9, "auc": None}, metrics) is None


def test_a_lost_run_of_a_graphics_card_is_trained_again_on_the_processor_within_1_point(of_card):
    runs, session, info, model = of_card
    runs = lose(runs, info)
    assert not runs.has_model(session, info)
    again = runs.again(session, info, who="Bob")
    assert again.id == info.run_id and runs.has_model(session, info)
    assert abs(again.metrics.accuracy - model.metrics.accuracy) <= ACCURACY
    assert again.note.startswith(
        "Trained again on the processor, since run 1 was trained on a graphics card, where no training comes out the "
        "same twice."
    )
    assert f"{100 * info.metrics['accuracy']:.1f}" in again.note and f"{100 * again.metrics.accuracy:.1f}" in again.note
    entry = runs.sessions.log(session)[-1]
    assert (entry.who, entry.what) == ("Bob", "trained again")
    assert entry.details["run"] == 1 and entry.details["comparison"] in again.note
    fresh = SessionRuns(Auditor(Studio()), runs.sessions)  # from its files
    assert fresh.model(session, info).note == again.note


def test_where_a_card_is_there_again_a_lost_run_of_a_card_is_trained_on_it(of_card, card):
    runs, session, info, _ = of_card
    runs = lose(runs, info)
    card(True)
    again = runs.again(session, info)
    assert again.note.startswith("Trained again on a graphics card, ") and again.id == info.run_id


def test_a_run_of_a_card_that_comes_out_20_points_worse_is_refused_with_both_numbers(of_card):
    runs, session, info, _ = of_card
    runs = lose(runs, info)
    better = replace(info, metrics=info.metrics | {"accuracy": info.metrics["accuracy"] + 0.2})
    with pytest.raises(Img2TabError) as caught:
        runs.again(session, better)
    assert "was trained on a graphics card" in str(caught.value) and "another version" not in str(caught.value)
    assert f"{100 * better.metrics['accuracy']:.1f}" in str(caught.value)
    assert not runs.has_model(session, info)


def test_a_run_of_the_processor_with_another_id_was_trained_with_other_versions(runs, table):
    session = runs.sessions.create("Old", "Ada", table, "smiling", ["young"])
    started = runs.sessions.start_run(session, None, "logistic", 0, ())
    old = runs.sessions.finish_run(started, "toy-smiling-0123456789ab", METRICS)
    with pytest.raises(Img2TabError, match=r"Run 1 cannot be repeated exactly: .* other versions"):
        runs.again(session, old)


def test_a_shared_run_of_a_card_is_repeated_and_its_answers_on_300_test_faces_are_compared(of_card):
    runs, session, info, model = of_card
    shared = read_exclusions(json.dumps(exclusions_json(session, info)).encode())
    made, repetition = runs.repeat(session, shared, info)
    rows, _, first = runs.studio.trainer.test_answers(model)
    psi = runs.studio.table("toy").psi
    again = runs.model(session, made).classifier.probabilities(psi, rows)[:, 1]
    assert made.run_id != info.run_id and repetition.same is False and repetition.near
    alike = int(((first > 0.5) == (again > 0.5)).sum())
    assert f"{alike} of 300 test faces are decided alike" in repetition.sentence
    assert "graphics card" in repetition.sentence and "other versions" not in repetition.sentence


def test_a_second_training_on_a_card_is_no_same_model_though_its_id_is_and_the_first_ones_answers_are_compared(
    of_card, card, monkeypatch
):
    runs, session, info, model = of_card
    psi = runs.studio.table("toy").psi
    rows, _, first = runs.studio.trainer.test_answers(model)
    shared = read_exclusions(exclusions_json(session, info))
    card(True)
    monkeypatch.setattr(GpuConcepts, "_device", lambda self, count: {"rsm": 0.9})  # it comes out otherwise
    made, repetition = runs.repeat(session, shared, info)
    again = runs.model(session, made).classifier.probabilities(psi, rows)[:, 1]
    assert made.run_id == info.run_id and repetition.same is False and np.abs(again - first).mean() > 0.001
    assert repetition.sentence.startswith("another model, trained on a graphics card:")
    assert f"probabilities differ by {np.abs(again - first).mean():.3f} on average" in repetition.sentence
    assert np.array_equal(runs.studio.trainer.test_answers(runs.model(session, made))[2], again)  # not the first one's


def test_a_shared_run_of_a_card_whose_model_is_elsewhere_is_compared_by_what_the_list_says_was_measured(of_card):
    runs, session, info, _ = of_card
    content = exclusions_json(session, info)
    assert content["measured"] == {name: info.metrics[name] for name in ("accuracy", "auc")}
    elsewhere = lose(runs, info)
    _, repetition = elsewhere.repeat(session, read_exclusions(content), info)
    assert repetition.same is False and repetition.near
    assert f"accuracy was {100 * info.metrics['accuracy']:.1f}" in repetition.sentence
    _, untold = elsewhere.repeat(
        session, read_exclusions({name: value for name, value in content.items() if name != "measured"}), info
    )
    assert untold.near is None and "graphics card" in untold.sentence
    assert "nothing to compare" in untold.sentence

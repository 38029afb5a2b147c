"""The folder of runs: what is kept is found again, and whether a model is there is asked of its files."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from contextlib import suppress

import numpy as np
import pytest

from img2tab_core import tables
from img2tab_core.base import files
from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.records import Metrics
from img2tab_core.classifiers import kinds, runs
from img2tab_core.classifiers.logistic import LogisticConcepts
from img2tab_core.classifiers.runs import Run, run_id_of
from img2tab_core.classifiers.trainer import Trainer

METRICS = Metrics(0.9, (0.8, 0.95), 0.95, 0.3, ((9, 1), (1, 9)), 20)


@pytest.fixture
def table(toy_home, monkeypatch):
    """200 faces of 8 channels, opened, in a visitor's folder of its own."""
    home = toy_home(200, 8, kind=2.0, group_from=6)
    monkeypatch.setenv("IMG2TAB_HOME", str(home))
    return tables.open_table(home / "tables" / "toy")


def run_of(table, excluded=frozenset(), *, table_key=None, seed=0) -> Run:
    """A logistic run of the table, by the id it has there."""
    rows, labels = tables.labelled(table, "kind", "train")
    model = LogisticConcepts(excluded=excluded, random_state=seed).fit(table.psi, labels, rows=rows)
    run_id = run_id_of(table, "kind", excluded, seed, "logistic")
    return Run(run_id, "toy", "kind", model, excluded, seed, METRICS, 0.1, table_key=table_key or table.key)


@pytest.mark.parametrize("gone", ["run.json", "model.json", "model.npz"])
def test_whether_a_run_has_its_model_is_asked_of_3_files_and_loads_none(table, monkeypatch, gone):
    run = run_of(table)
    assert not runs.has_model(run.id) and not runs.has_model("") and not runs.any_kept("toy")
    runs.keep(run)
    monkeypatch.setattr(kinds, "load", lambda folder: pytest.fail("a classifier was loaded"))
    assert runs.has_model(run.id) and runs.any_kept("toy") and not runs.any_kept("default")
    (runs.folder_of(run.id) / gone).unlink()
    assert not runs.has_model(run.id)


def test_of_5_kept_runs_the_2_of_this_very_table_are_found_in_their_order_and_only_they_are_loaded(table, monkeypatch):
    kept = [run_of(table, frozenset({index})) for index in (5, 3)]
    for run in kept:
        runs.keep(run)
    runs.keep(run_of(table, frozenset({1}), table_key="of another table"))
    damaged = run_of(table, frozenset({2}))
    runs.keep(damaged)
    (runs.folder_of(damaged.id) / "model.npz").write_bytes(b"half")
    shutil.copytree(runs.folder_of(kept[0].id), runs.folder_of("toy-kind-000000000000"))
    (runs.folder_of("toy-kind-000000000000") / "run.json").write_text("{")
    loaded, load = [], kinds.load
    monkeypatch.setattr(kinds, "load", lambda folder: loaded.append(folder.name) or load(folder))
    found = runs.others_kept(table, "kind")
    assert [run.id for run in found] == [run.id for run in kept]
    assert np.array_equal(found[0].classifier.weights_, kept[0].classifier.weights_)
    assert sorted(loaded) == sorted([*(run.id for run in kept), damaged.id])


def test_a_run_that_is_not_kept_is_a_sentence(table):
    with pytest.raises(Img2TabError, match=r"There is no readable run in .* Train it again"):
        runs.open_kept("toy-kind-000000000001")


def test_a_running_trainer_sees_a_table_that_was_replaced_and_a_run_of_the_old_one_is_refused(table):
    door = Trainer()
    before = door.table("toy")
    assert door.table("toy") is before  # opened once
    old = door.train(before, "kind", kind="logistic")
    tables.write_table(
        files.home() / "tables" / "toy",
        lambda rows: before.psi[:100][rows],
        before.labels[:100],
        targets=before.targets,
        layout=before.layout,
        backbone=before.backbone,
        key="of 100 faces",
    )
    after = door.table("toy")
    assert (len(before.labels), len(after.labels), after.key) == (200, 100, "of 100 faces")
    for question in (door.scores, door.test_answers):
        with pytest.raises(Img2TabError, match="was replaced after this classifier was trained on it"):
            question(old)
    assert len(door.test_answers(door.train(after, "kind", kind="logistic"))[0]) == len(after.rows("test"))
    shutil.rmtree(files.home() / "tables" / "toy")
    with pytest.raises(Img2TabError, match="There is no table named 'toy'"):
        door.table("toy")


def test_2_threads_that_write_the_same_run_at_once_both_succeed_and_leave_2_whole_files(table, tmp_path, monkeypatch):
    model, write, both = run_of(table).classifier, LogisticConcepts.write, threading.Barrier(2)
    failures = []

    def slowly(self, file):
        write(self, file)
        with suppress(threading.BrokenBarrierError):  # where the other waits for this one, nobody comes
            both.wait(1)

    def save():
        try:
            kinds.save(model, tmp_path / "run")
        except Img2TabError as error:
            failures.append(str(error))

    monkeypatch.setattr(LogisticConcepts, "write", slowly)
    threads = [threading.Thread(target=save) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert np.array_equal(kinds.load(tmp_path / "run").weights_, model.weights_)
    assert sorted(file.name for file in (tmp_path / "run").iterdir()) == ["model.json", "model.npz"]


SAVE_AND_LOAD = """
import sys
from pathlib import Path
from img2tab_core.classifiers import kinds
place, own = map(Path, sys.argv[1:])
model = kinds.load(own)
for _ in range(60):
    kinds.save(model, place)
    kinds.load(place)
"""


def test_2_processes_that_write_2_runs_to_1_folder_60_times_never_find_half_of_each(table, tmp_path):
    kinds.save(run_of(table).classifier, tmp_path / "a")
    kinds.save(run_of(table, frozenset({3, 4})).classifier, tmp_path / "b")
    words = [sys.executable, "-c", SAVE_AND_LOAD, tmp_path / "both"]
    writers = [subprocess.Popen([*words, tmp_path / name], stderr=subprocess.PIPE, text=True) for name in "ab"]
    assert [(writer.communicate()[1], writer.returncode) for writer in writers] == [("", 0)] * 2
    assert kinds.load(tmp_path / "both").excluded in ({3, 4}, frozenset())
    assert len(list((tmp_path / "both").iterdir())) == 2

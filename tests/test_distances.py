"""Distances between the classes are scored once and kept; what is kept of other faces, or damaged, is scored anew."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from img2tab_core import tables
from img2tab_core.base.layout import StyleLayout
from img2tab_core.base.records import DEFAULT_BACKBONE, Target
from img2tab_core.concepts import scores, wasserstein
from img2tab_core.studio import Studio
from img2tab_core.tables import faces_of

TARGET = Target("warm", "warm", ("not warm", "warm"), "by a formula")


def write(home, *, key="one", turned=False):
    """A table of 200 faces and 30 channels; of the same codes, or with its labels turned round."""
    psi = np.random.default_rng(3).normal(size=(200, 30)).astype(np.float32)
    labels = pd.DataFrame({"warm": ((psi[:, 4] > 0) ^ turned).astype(np.int8)})
    tables.write_table(
        home / "tables" / "toy",
        lambda rows: psi[rows],
        labels,
        targets=(TARGET,),
        layout=StyleLayout((20, 10)),
        backbone=DEFAULT_BACKBONE,
        key=key,
    )
    return tables.open_table(home / "tables" / "toy")


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("IMG2TAB_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def counted(monkeypatch):
    calls, original = [], wasserstein.distance_and_direction
    monkeypatch.setattr(
        wasserstein, "distance_and_direction", lambda *given, **options: calls.append(1) or original(*given, **options)
    )
    return calls


def test_the_second_process_reads_what_the_first_scored_to_the_last_bit(home, counted):
    table = write(home)
    first, second = (Studio().trainer.distances(table, "warm") for _ in range(2))
    assert len(counted) == 1 and first[0].argmax() == 4
    assert all(np.array_equal(*pair) and not pair[1].flags.writeable for pair in zip(first, second, strict=True))


@pytest.mark.parametrize("other", [{"key": "two"}, {"turned": True}])
def test_a_table_of_other_faces_or_other_labels_is_scored_anew(home, counted, other):
    before = scores.distances(faces_of(write(home), "warm"))
    after = scores.distances(faces_of(write(home, **other), "warm"))
    assert len(counted) == 2
    assert np.array_equal(before[1], after[1]) == ("key" in other)


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 and then nothing", b"\x00" * 4000])
def test_a_damaged_file_is_replaced(home, counted, damage):
    table, file = write(home), home / "distances" / "toy-warm.npz"
    expected = scores.distances(faces_of(table, "warm"))
    file.write_bytes(damage)
    for _ in range(2):
        assert np.array_equal(scores.distances(faces_of(table, "warm"))[0], expected[0])
    assert len(counted) == 2 and [one.name for one in file.parent.iterdir()] == ["toy-warm.npz"]


def test_where_nothing_can_be_written_the_answer_is_the_same(home, counted):
    table = write(home)
    (home / "distances").write_text("a file where a folder should be")
    assert scores.distances(faces_of(table, "warm"))[0].argmax() == 4 and len(counted) == 1

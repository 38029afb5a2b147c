"""Style tables: what is written is what is read, column by column."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from img2tab_core import tables
from img2tab_core.errors import Img2TabError
from img2tab_core.layout import StyleLayout
from img2tab_core.records import Target

LAYOUT = StyleLayout((3, 4))
TARGET = Target("smiling", "Perceived smile", ("perceived not smiling", "perceived smiling"), "by hand")


@pytest.fixture
def written(tmp_path):
    psi = np.random.default_rng(0).normal(size=(100, 7)).astype(np.float32)
    psi[:, 2] = 5.0
    labels = pd.DataFrame({"smiling": np.resize([0, 1, -1], 100).astype(np.int8), "age": np.arange(100.0)})
    table = tables.write_table(
        tmp_path / "small", lambda rows: psi[rows], labels, targets=[TARGET], layout=LAYOUT, backbone="toy", key="k",
        rows_at_once=30)
    return table, psi, labels


def test_100_style_codes_come_back_bit_for_bit_with_columns_side_by_side(written):
    table, psi, labels = written
    assert np.array_equal(table.psi, psi)
    assert table.psi.strides[0] == 4
    pd.testing.assert_frame_equal(table.labels, labels)
    assert table.targets == (TARGET,)
    assert table.layout == LAYOUT


def test_a_table_refuses_writes(written):
    with pytest.raises(ValueError):
        written[0].psi[0, 0] = 1


def test_100_rows_split_70_15_15_the_same_for_a_seed_and_otherwise_not():
    split = tables.split_of(100, seed=0)
    assert np.bincount(split).tolist() == [70, 15, 15]
    assert np.array_equal(split, tables.split_of(100, seed=0))
    assert not np.array_equal(split, tables.split_of(100, seed=1))


def test_deviation_is_over_the_training_rows_and_0_for_a_constant_channel(written):
    table, psi, _ = written
    assert np.allclose(table.stats.std, psi[table.rows("train")].std(axis=0), atol=1e-6)
    assert table.stats.std[2] == 0


def test_unknown_labels_take_no_part(written):
    table, _, labels = written
    rows, values = tables.labelled(table, "smiling", "train")
    assert set(values) == {0, 1}
    assert np.array_equal(labels["smiling"].to_numpy()[rows], values)


def test_a_target_that_is_not_there_lists_the_ones_that_are(written):
    with pytest.raises(Img2TabError, match="Choose one of: smiling"):
        tables.labelled(written[0], "beard", "train")


def test_a_failed_rewrite_leaves_the_old_table_as_it_was(written, tmp_path):
    table, psi, labels = written

    def breaks(rows):
        raise OSError(28, "No space left on device")

    with pytest.raises(Img2TabError, match="Free some space"):
        tables.write_table(tmp_path / "small", breaks, labels, targets=[TARGET], layout=LAYOUT, backbone="t", key="k2")
    assert np.array_equal(tables.open_table(tmp_path / "small").psi, psi)
    assert [p.name for p in tmp_path.iterdir()] == ["small"]


def test_a_missing_or_damaged_table_names_the_command(written, tmp_path):
    with pytest.raises(Img2TabError, match="img2tab tables build default"):
        tables.open_table(tmp_path / "nothing")
    (tmp_path / "small" / "stats.npz").write_bytes(b"not an archive")
    with pytest.raises(Img2TabError, match="Build it again"):
        tables.open_table(tmp_path / "small")

"""Style tables: what is written is what is read, column by column."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from img2tab_core import tables
from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.layout import StyleLayout
from img2tab_core.base.records import Target
from img2tab_core.tables import population
from img2tab_core.weights import store

LAYOUT = StyleLayout((3, 4))
TARGET = Target("smiling", "Perceived smile", ("perceived not smiling", "perceived smiling"), "by hand")


@pytest.fixture
def written(tmp_path):
    psi = np.random.default_rng(0).normal(size=(100, 7)).astype(np.float32)
    psi[:, 2] = 5.0
    labels = pd.DataFrame({"smiling": np.resize([0, 1, -1], 100).astype(np.int8), "age": np.arange(100.0)})
    table = tables.write_table(
        tmp_path / "small",
        lambda rows: psi[rows],
        labels,
        targets=[TARGET],
        layout=LAYOUT,
        backbone="toy",
        key="k",
        rows_at_once=30,
    )
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


def test_the_faces_of_a_target_are_the_known_rows_of_3_splits_and_their_key_changes_with_each_of_them(written):
    table = written[0]
    faces = tables.faces_of(table, "smiling")
    for part in ("train", "validation", "test"):
        rows, labels = getattr(faces, part)
        by_hand = [i for i in table.rows(part) if table.labels["smiling"][i] >= 0]
        assert rows.tolist() == by_hand and labels.tolist() == table.labels["smiling"][by_hand].tolist()
        assert (rows.dtype, labels.dtype) == (np.int64, np.int8)
        with pytest.raises(ValueError):
            labels[0] = 1
    assert sum(len(getattr(faces, part).rows) for part in ("train", "validation", "test")) == 67  # 33 are unknown
    assert tables.faces_of(table, "smiling").key == faces.key
    turned, moved = table.labels.copy(), table.split.copy()
    turned.loc[faces.test.rows[0], "smiling"] ^= 1
    moved[faces.train.rows[0]] = 1
    others = [replace(table, key="other"), replace(table, labels=turned), replace(table, split=moved)]
    assert len({faces.key, *(tables.faces_of(other, "smiling").key for other in others)}) == 4


def test_a_target_that_is_not_there_lists_the_ones_that_are(written):
    with pytest.raises(Img2TabError, match="Choose one of: smiling"):
        tables.labelled(written[0], "beard", "train")


def test_a_failed_rewrite_leaves_the_old_table_as_it_was(written, tmp_path):
    _, psi, labels = written

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


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("stats.npz", b""),
        ("stats.npz", b"PK\x03\x04"),
        ("psi.npy", b""),
        ("psi.npy", b"\x93NUMPY"),
        ("labels.parquet", b""),
        ("labels.parquet", b"PAR1PAR1"),
        ("table.json", b"[]"),
        ("table.json", b"{"),
        ("table.json", b"{}"),
        ("table.json", b"\xff"),
    ],
)
def test_one_of_4_files_damaged_is_one_sentence(written, tmp_path, file, content):
    (tmp_path / "small" / file).write_bytes(content)
    with pytest.raises(Img2TabError, match="'small' cannot be read"):
        tables.open_table(tmp_path / "small")


def test_99_labels_beside_100_style_codes_are_refused(written, tmp_path):
    written[2][:99].to_parquet(tmp_path / "small" / "labels.parquet")
    with pytest.raises(Img2TabError, match="do not fit together: 99 labels"):
        tables.open_table(tmp_path / "small")


def write_small(folder, labels, blocks, key="k2"):
    return tables.write_table(folder, blocks, labels, targets=[TARGET], layout=LAYOUT, backbone="toy", key=key)


def test_ctrl_c_in_a_rewrite_leaves_the_old_table_and_nothing_beside_it(written, tmp_path):
    _, psi, labels = written

    def stopped(rows):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_small(tmp_path / "small", labels, stopped)
    assert np.array_equal(tables.open_table(tmp_path / "small").psi, psi)
    assert [p.name for p in tmp_path.iterdir()] == ["small"]


def test_while_a_second_table_is_written_only_the_first_of_2_is_found(written, tmp_path):
    _, psi, labels = written
    seen = []

    def blocks(rows):
        seen.extend(file.parent.name for file in tmp_path.glob("*/table.json"))
        assert len(list(tmp_path.iterdir())) == 2
        return psi[rows]

    write_small(tmp_path / "other", labels, blocks)
    assert seen == ["small"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["other", "small"]


@pytest.fixture
def toy_population(tmp_path, monkeypatch):
    """20 faces whose style code is 7 numbers of w; of how many faces style codes were computed; what opens it."""
    folder, calls = tmp_path / "population", []
    folder.mkdir()
    np.save(folder / "w.npy", np.ones((20, 512), np.float16))
    pd.DataFrame({"smiling": np.resize([0, 1], 20).astype(np.int8)}).to_parquet(folder / "labels.parquet")
    target = {"name": "smiling", "title": "t", "classes": ["a", "b"], "how": "by hand"}
    (folder / "population.json").write_text(json.dumps({"targets": [target], "split_seed": 0}))

    def styles(w):
        calls.append(len(w))
        time.sleep(0.1)  # long enough for another builder to come
        return w[:, :7]

    monkeypatch.setenv("IMG2TAB_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(population, "FOLDER", folder)
    monkeypatch.setattr(population, "_key", lambda: "k")
    return calls, lambda: SimpleNamespace(styles=styles, layout=LAYOUT, name="toy")


def test_of_2_builders_at_once_1_builds_and_both_get_the_table(toy_population):
    calls, opened = toy_population
    found = []
    both = [threading.Thread(target=lambda: found.append(population.build_default_table(opened))) for _ in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join()
    assert [table.psi.shape for table in found] == [(20, 7)] * 2
    assert calls == [20]
    population.build_default_table(opened, anew=True)
    assert calls == [20, 20]


def test_a_table_with_1_damaged_file_is_not_current(toy_population, tmp_path):
    _, opened = toy_population
    population.build_default_table(opened)
    assert population.is_current()
    (tmp_path / "home" / "tables" / "default" / "stats.npz").write_bytes(b"")
    assert not population.is_current()
    population.build_default_table(opened)
    assert population.is_current()


def test_without_any_of_the_weights_nothing_is_current_and_the_sentence_names_1_command(monkeypatch, tmp_path):
    monkeypatch.setattr(store, "MODELS", tmp_path)
    assert not population.is_current()
    with pytest.raises(Img2TabError, match="img2tab weights fetch"):
        population.build_default_table(lambda: pytest.fail("nothing is opened"))

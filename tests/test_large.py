"""Tables of any size: what a pass over one holds, samples of training faces, codes that are trained on in parts."""

from __future__ import annotations

import glob
import json
import mmap
import os
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from img2tab_core import tables
from img2tab_core.base.errors import Cancelled, Img2TabError
from img2tab_core.base.layout import StyleLayout
from img2tab_core.base.records import StyleTable, Target
from img2tab_core.classifiers import base, kinds, quick, runs, xgboost
from img2tab_core.classifiers.catboost import CatBoostConcepts
from img2tab_core.classifiers.comparison import sampled
from img2tab_core.cli import main
from img2tab_core.concepts import scores
from img2tab_core.studio import Studio
from img2tab_core.tables import faces_of, store
from tests import large, synthetic

FACES, CHANNELS, MB = 16_000, 640, 1_000_000  # 41 MB of style codes
KIND = Target("kind", "Kind", ("plain", "special"), "by hand")

needs_xgboost = pytest.mark.skipif(kinds.absent("xgboost") is not None, reason="XGBoost is not installed")
needs_proc = pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="the kernel does not tell")


def mapped_of(file: Path) -> int:
    """Bytes of a file that this process has in memory."""
    total, ours = 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if not line.split(maxsplit=1)[0].endswith(":"):
            ours = line.endswith(str(file))
        elif ours and line.startswith("Rss:"):
            total += 1024 * int(line.split()[1])
    return total


def written(folder: Path) -> StyleTable:
    psi = np.random.default_rng(0).normal(size=(FACES, CHANNELS)).astype(np.float32)
    labels = pd.DataFrame({"kind": (psi[:, 7] + psi[:, 300] > 0.8).astype(np.int8)})
    return tables.write_table(
        folder,
        lambda rows: psi[rows],
        labels,
        targets=[KIND],
        layout=StyleLayout((CHANNELS,)),
        backbone="made-by-hand",
        key="wide",
    )


@pytest.fixture(scope="module")
def wide_home(tmp_path_factory):
    """A visitor's folder with a table of 16,000 faces and 640 channels; 7 and 300 carry the label."""
    home = tmp_path_factory.mktemp("home")
    written(home / "tables" / "wide")
    return home


@pytest.fixture
def wide(wide_home, monkeypatch):
    """That table, opened."""
    monkeypatch.setenv("IMG2TAB_HOME", str(wide_home))
    return tables.open_table(wide_home / "tables" / "wide")


@pytest.fixture
def codes_file(wide_home):
    """Where its style codes lie."""
    return wide_home / "tables" / "wide" / store.CODES_FILE


# --- passes over a table ---------------------------------------------------------------------------------------


@needs_proc
def test_what_scores_read_of_41_mb_is_let_go_10_times_on_the_way_and_none_is_held_after(wide, codes_file, monkeypatch):
    let_go, held = store.let_go, []

    def looked_at(psi):
        held.append(mapped_of(codes_file))
        let_go(psi)

    monkeypatch.setattr(store, "let_go", looked_at)
    scores.distances(faces_of(wide, "kind"))
    assert 8 <= len(held) <= 20 and max(held) > MB and mapped_of(codes_file) < MB / 2


@needs_proc
def test_a_table_of_41_mb_is_written_with_at_most_12_in_memory_to_the_same_bytes(codes_file, tmp_path, monkeypatch):
    most, unmap = [0], store._unmap

    def looked_at(psi):
        most[0] = max(most[0], sum(map(mapped_of, tmp_path.rglob(store.CODES_FILE))))
        unmap(psi)

    monkeypatch.setattr(store, "_unmap", looked_at)
    monkeypatch.setattr(store, "HELD", 8 * MB)
    written(tmp_path / "wide")
    assert MB < most[0] < 12 * MB
    for name in (store.CODES_FILE, "stats.npz"):  # means and deviations as well, over fewer channels at once
        assert (tmp_path / "wide" / name).read_bytes() == (codes_file.parent / name).read_bytes()


@pytest.mark.parametrize("count", [1, 40, 2000, 16_000])
def test_the_channels_of_1_40_2000_and_all_faces_are_gathered_as_indexing_does(wide, monkeypatch, count):
    used = np.array([3, 7, 300, 639])
    rows = np.sort(np.random.default_rng(1).choice(FACES, count, replace=False))
    monkeypatch.setattr(base, "READ", 3 * FACES)  # three channels, then one
    codes = base.gathered(wide.psi, rows, used)
    assert codes.flags.f_contiguous and codes.dtype == np.float32
    assert np.array_equal(codes, np.asarray(wide.psi)[np.ix_(rows, used)])


# --- a sample of the training faces ----------------------------------------------------------------------------


@pytest.fixture
def toy(toy_home, monkeypatch):
    """400 faces of 12 channels, 280 to train on, opened; a Studio in a folder of its own."""
    monkeypatch.setenv("IMG2TAB_HOME", str(toy_home(400, 12, kind=2.0, group_from=9)))
    door = Studio()
    return door, door.table("toy")


def test_100_of_280_faces_are_the_ones_that_compare_samples_and_the_run_says_and_keeps_so(toy, tmp_path):
    door, table = toy
    run = door.train(table, "kind", kind="logistic", seed=3, rows=100)
    faces = faces_of(table, "kind")
    at = sampled(faces.train.labels, 100, seed=3)
    assert abs(faces.train.labels[at].mean() - faces.train.labels.mean()) < 0.006
    by_hand = kinds.make("logistic", random_state=3).fit(
        table.psi, faces.train.labels[at], rows=faces.train.rows[at], order=door.trainer._order(faces)
    )
    assert np.array_equal(run.classifier.weights_, by_hand.weights_)
    assert run.note == "Trained on 100 of 280 training faces, sampled by the seed 3 with the classes in proportion."
    assert run.metrics.count == len(faces.test.rows) == 60  # measured on all
    runs.save_run(run, tmp_path / "run")
    again = runs.load_run(tmp_path / "run")
    assert (again.rows, again.id, again.note) == (100, run.id, run.note)


def test_the_id_of_a_run_changes_with_the_number_of_faces_and_280_of_280_are_no_sample(toy):
    door, table = toy
    ids = {rows: runs.run_id_of(table, "kind", frozenset(), 0, "logistic", rows=rows) for rows in (None, 100, 101)}
    assert len(set(ids.values())) == 3
    whole, sample = (door.train(table, "kind", kind="logistic", rows=rows) for rows in (280, 100))
    assert (whole.id, whole.rows, whole.note) == (ids[None], None, "") and sample.id == ids[100]
    door.trainer.keep(sample)
    assert [run.id for run in runs.others_kept(table, "kind")] == [ids[100]]  # it would come out the same today


def test_a_balanced_run_of_100_faces_weighs_these_100(toy):
    door, table = toy
    treatment = runs.Treatment(balanced=("group",))
    run = door.train(table, "kind", kind="logistic", rows=100, treatment=treatment)
    assert run.rows == 100 and run.metrics.accuracy > 0.8
    assert run.id == runs.run_id_of(table, "kind", frozenset(), 0, "logistic", treatment, 100)


def test_1_face_is_too_few_for_2_classes(toy):
    with pytest.raises(Img2TabError, match="2 classes needs at least 2 training faces, got 1"):
        toy[0].train(toy[1], "kind", kind="logistic", rows=1)


def test_train_rows_100_says_so_in_the_terminal_and_as_json(toy, tmp_path):
    words = ["train", "--target", "kind", "--table", "toy", "--classifier", "logistic", "--rows", "100", "--out"]
    told = CliRunner().invoke(main.app, [*words, str(tmp_path / "a")])
    assert told.exit_code == 0 and "Trained on 100 of 280 training faces" in told.stdout
    told = CliRunner().invoke(main.app, [*words, str(tmp_path / "b"), "--json"])
    assert json.loads(told.stdout)["rows"] == 100
    audit = ["audit", "--sensitive", "group", "--run", str(tmp_path / "a")]
    assert "Trained on 100 of 280 training faces" in CliRunner().invoke(main.app, audit).stdout


# --- more codes than are held ----------------------------------------------------------------------------------


def test_many_codes_are_quantized_once_and_kept_to_the_same_classifier(toy, monkeypatch):
    door, table = toy
    monkeypatch.setitem(CatBoostConcepts.__init__.__kwdefaults__, "iterations", 30)
    plain = door.train(table, "kind")
    assert not (Path(os.environ["IMG2TAB_HOME"]) / "quantized").exists()
    monkeypatch.setattr(quick, "MUCH", 280 * 12 * 4 - 1)
    assert quick.pays(plain.classifier, faces_of(table, "kind"))
    kept = Studio().train(table, "kind")
    assert len(list((Path(os.environ["IMG2TAB_HOME"]) / "quantized").iterdir())) == 1
    assert np.array_equal(plain.classifier.predict_proba(table.psi), kept.classifier.predict_proba(table.psi))
    assert (kept.id, kept.metrics) == (plain.id, plain.metrics)
    monkeypatch.setattr(quick, "BUDGET", 400 * 11)  # one channel too few
    assert not quick.pays(plain.classifier, faces_of(table, "kind"))


@pytest.fixture
def in_parts(monkeypatch):
    """XGBoost never holds more than 1,000 faces of 64 channels."""
    monkeypatch.setattr(xgboost, "HELD", 1000 * 64 * 4)
    monkeypatch.setattr(xgboost, "PART", 1000 * 64 * 4)


def grown(table, *, excluded=frozenset(), cancelled=None):
    faces = faces_of(table, "kind")
    model = xgboost.XGBoostConcepts(iterations=40, columns=1.0, screen=64, excluded=excluded, thread_count=1)
    distance, _ = scores.distances(faces)
    rows, labels = faces.train
    order = scores.top(distance, CHANNELS)
    return model.fit(table.psi, labels, rows=rows, order=order, cancelled=cancelled)


@needs_xgboost
def test_trained_in_12_parts_it_agrees_with_the_one_from_memory_on_98_percent_and_twice_to_the_bit(wide, in_parts):
    temporary = f"{tempfile.gettempdir()}/img2tab-xgboost-*"
    before = set(glob.glob(temporary))
    first, second = grown(wide), grown(wide)
    assert set(glob.glob(temporary)) == before  # nothing is left
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(xgboost, "HELD", 10**12)
        held = grown(wide)
    faces = faces_of(wide, "kind")
    answers = [model.probabilities(wide.psi, faces.test.rows) for model in (first, second, held)]
    assert np.array_equal(answers[0], answers[1])
    assert ((answers[0][:, 1] > 0.5) == (answers[2][:, 1] > 0.5)).mean() > 0.98
    assert all((base.likeliest(answer) == faces.test.labels).mean() > 0.93 for answer in answers)
    best = first.screened_[np.argsort(-first.importances("total_gain"))[:2]]
    assert set(best.tolist()) == {7, 300}


@needs_xgboost
def test_in_parts_an_excluded_channel_is_not_among_the_64_and_a_stop_leaves_no_classifier(wide, in_parts):
    assert 7 not in grown(wide, excluded=frozenset({7})).screened_
    asked = iter([False] * 3 + [True] * 1000)
    with pytest.raises(Cancelled):
        grown(wide, cancelled=lambda: next(asked))


@needs_xgboost
def test_in_parts_constant_channels_and_a_number_that_is_none_are_the_same_sentences(in_parts, monkeypatch):
    monkeypatch.setattr(xgboost, "HELD", 0)
    codes, labels = np.ones((400, 3), np.float32), np.arange(400) % 2
    with pytest.raises(Img2TabError, match="At least one remaining channel must differ"):
        xgboost.XGBoostConcepts(iterations=2, thread_count=1).fit(codes, labels)
    codes[399, 1] = np.nan
    with pytest.raises(Img2TabError, match="got others in channel 1"):
        xgboost.XGBoostConcepts(iterations=2, thread_count=1).fit(codes, labels, order=np.arange(3))


# --- the synthetic CelebA and what is measured on it ------------------------------------------------------------


def test_202599_synthetic_faces_are_split_as_those_of_celeba_and_40_attributes_have_40_percent_each():
    assert np.bincount(synthetic.split_of(202_599)).tolist() == [162_770, 19_867, 19_962]
    assert len(set(synthetic.ATTRIBUTES)) == 40
    rng = np.random.default_rng(0)
    w, layer = (rng.normal(size=shape).astype(np.float32) for shape in ((5000, 20), (20, 30)))
    labels = synthetic.labels_of(w, lambda values: values @ layer + 1)
    assert labels.shape == (5000, 40) and labels.mean().between(0.399, 0.401).all()


def test_a_celeba_of_30_photos_reads_as_celeba_and_its_table_is_a_table(studio, tmp_path, monkeypatch):
    from img2tab_core.tables.sources import celeba_source

    monkeypatch.setattr(synthetic, "DRAWN", 4)
    monkeypatch.setattr(synthetic, "BLOCK", 60)
    synthetic.write_photos(tmp_path / "celeba", 30)
    source = celeba_source(tmp_path / "celeba", align=studio.aligner(aligned=True))
    assert len(source.names) == 30 and len(source.targets) == 40 and source.split.tolist()[-1] == 2
    assert np.array_equal(source.load(1)[0], source.load(29)[0]) and source.load(1)[0].shape == (256, 256, 3)
    table = synthetic.write_table(tmp_path / "home" / "tables" / "codes", 60)
    assert table.psi.shape == (60, 6752) and np.isfinite(table.psi).all() and len(table.targets) == 40
    backbone = studio.backbone()
    assert np.allclose(table.psi[:30], backbone.styles(synthetic.random_w(backbone, 30)), atol=1e-4)


@needs_proc
def test_100_mb_of_its_own_and_40_mapped_are_told_apart(wide):
    before = large._memory(os.getpid())
    held = np.frombuffer(mmap.mmap(-1, 100 * MB), np.uint8)  # an allocator could give what this process has freed
    held.fill(1)
    assert np.isfinite(wide.psi).all() and held.all()
    own, mapped = np.subtract(large._memory(os.getpid()), before)
    assert 95 < own < 130 and 38 < mapped < 50


def test_the_last_of_3_lines_of_progress_says_17_percent_and_1234_photos():
    told = "\r\x1b[K[###                 ]  15%  1,100 of 7,000 photos, 30.0 a second, 3:00 left"
    told += "\r\x1b[K[###                 ]  16%  1,200 of 7,000 photos, 30.0 a second\r\x1b[K[###"
    assert large._progress(told) == (16, 1200)
    told += "                 ]  17%  1,234 of 7,000 photos, 34.1 a second, 2:50 left, 0 skipped"
    assert large._progress(told) == (17, 1234) and large._progress("Reading") == (0, 0)

"""A first answer at once: codes quantized once and kept, a screen whose price is measured, the full result after it."""

from __future__ import annotations

import json
import os
import shutil
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from img2tab_core import tables
from img2tab_core.base.errors import Cancelled, Img2TabError
from img2tab_core.base.layout import StyleLayout
from img2tab_core.base.records import Metrics, Target
from img2tab_core.classifiers import catboost, quick, runs
from img2tab_core.classifiers.catboost import CatBoostConcepts, GpuConcepts, QuantizedPool
from img2tab_core.classifiers.quick import Screen
from img2tab_core.studio import DEFAULT_BACKBONE, Studio
from img2tab_core.tables import faces_of, store, target_faces

D, N = 200, 600
TARGETS = tuple(Target(name, name, (f"not {name}", name), "by a formula") for name in ("warm", "tall"))


@pytest.fixture(scope="module")
def toy_home(tmp_path_factory):
    """A visitor's folder with a table of 600 faces and 200 channels; 3, 7 and 11 carry "warm", 5 of 6 faces known."""
    home = tmp_path_factory.mktemp("quick")
    rng = np.random.default_rng(0)
    psi = rng.normal(size=(N, D)).astype(np.float32)
    psi[:, 20] = 1.5
    labels = pd.DataFrame(
        {
            "warm": (2 * psi[:, 3] - 1.5 * psi[:, 7] + psi[:, 11] > 0).astype(np.int8),
            "tall": (psi[:, 5] + 0.5 * rng.normal(size=N) > 0).astype(np.int8),
        }
    )
    labels.loc[::6, "warm"] = -1
    tables.write_table(
        home / "tables" / "toy",
        lambda rows: psi[rows],
        labels,
        targets=TARGETS,
        layout=StyleLayout((120, 80)),
        backbone=DEFAULT_BACKBONE,
        key="toy-1",
    )
    return home


@pytest.fixture
def home(toy_home, tmp_path, monkeypatch):
    """A copy of that folder for one test, and classifiers of fewer trees: 60, and 24 where it must be quick."""
    monkeypatch.setitem(CatBoostConcepts.__init__.__kwdefaults__, "iterations", 60)
    monkeypatch.setattr(quick, "TREES", 24)
    shutil.copytree(toy_home, tmp_path / "home")
    monkeypatch.setenv("IMG2TAB_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def door(home):
    return Studio()


@pytest.fixture
def never_quantized(monkeypatch):
    """A call that must not happen any more."""

    def forbid():
        monkeypatch.setattr(QuantizedPool, "of", lambda *args, **options: pytest.fail("codes were quantized again"))

    return forbid


def probabilities(run, table):
    return run.classifier.predict_proba(table.psi)


def same(one, other, table):
    """The same classifier to the last bit, by its answers and its trees, and measured the same."""
    return (
        np.array_equal(probabilities(one, table), probabilities(other, table))
        and np.array_equal(one.classifier.booster_.get_leaf_values(), other.classifier.booster_.get_leaf_values())
        and (one.id, one.metrics, one.excluded) == (other.id, other.metrics, other.excluded)
    )


def poisoned(table):
    """The same table, of whose style codes not one may be read: each is no number, and no label is worth reading."""
    return replace(table, psi=np.full(table.psi.shape, np.nan, np.float32, order="F"))


# --- the way to an answer --------------------------------------------------------------------------


def test_the_first_answer_is_marked_quick_and_the_full_run_that_follows_is_that_of_train(door):
    table, seen, shares = door.table("toy"), [], []
    full = door.trainer.train_live(
        table,
        "warm",
        excluded=frozenset({7}),
        seed=1,
        on_quick=seen.append,
        progress=lambda share, text: shares.append(share),
    )
    (first,) = seen
    assert (first.quick, full.quick, first.excluded, first.seed) == (True, False, {7}, 1)
    assert first.id != full.id and first.id.startswith("toy-warm-")
    assert first.note == "Quick answer: 200 channels; what that costs was not measured yet."
    assert first.classifier.iterations == 24 and full.classifier.iterations == 60
    assert first.metrics.accuracy > 0.7 and full.note == ""
    assert not (first.classifier.screened_ == 7).any()
    assert shares == sorted(shares) and shares[0] == 0 and shares[-1] == 1
    assert same(full, Studio().train(table, "warm", excluded=frozenset({7}), seed=1), table)


def test_excluding_one_more_concept_reads_no_style_code_and_rounds_none(door, never_quantized):
    table = door.table("toy")
    door.trainer.prepare(table, "warm")
    blind, plain = poisoned(table), Studio()
    never_quantized()
    for excluded in (frozenset(), frozenset({3}), frozenset({3, 7})):
        seen = []
        full = door.trainer.train_live(blind, "warm", excluded=excluded, on_quick=seen.append)
        assert same(full, plain.train(table, "warm", excluded=excluded), table)
        assert seen[0].metrics.count == full.metrics.count == len(tables.labelled(table, "warm", "test")[0])
        assert {3, 7} - excluded <= set(seen[0].classifier.screened_.tolist())


def test_one_retrain_asks_for_the_rows_of_3_splits_and_hashes_them_once_and_the_next_one_not_at_all(door, monkeypatch):
    table, asked, hashed = door.table("toy"), [], []
    labelled, digest = store.labelled, target_faces.digest
    monkeypatch.setattr(
        store, "labelled", lambda table, target, part: asked.append(part) or labelled(table, target, part)
    )
    monkeypatch.setattr(target_faces, "digest", lambda *parts: hashed.append(sum(map(len, parts))) or digest(*parts))
    door.trainer.train_live(table, "warm")  # a quick answer, codes quantized, the full one
    assert asked == ["train", "validation", "test"] and len(hashed) == 1
    assert hashed[0] > 500 * (8 + 1)  # a row number and a label of each of the 500 faces of known label
    door.trainer.train_live(table, "warm", excluded=frozenset({3}))
    assert len(asked) == 3 and len(hashed) == 1


def test_a_poisoned_table_is_noticed_where_nothing_was_quantized(door):
    table = door.table("toy")
    door.scores(door.run(table, "warm"))  # distances are known, codes are not quantized
    with pytest.raises(Img2TabError, match="finite numbers"):
        door.trainer.train_quick(poisoned(table), "warm")


def test_a_quick_run_before_and_after_quantizing_is_the_same_to_the_last_bit(door):
    table = door.table("toy")
    before = door.trainer.train_quick(table, "warm", excluded=frozenset({11}))
    door.trainer._codes(faces_of(table, "warm"), make=True)
    assert same(before, door.trainer.train_quick(table, "warm", excluded=frozenset({11})), table)


def test_the_standing_run_is_the_same_whether_or_not_its_codes_were_quantized(door, home):
    table = door.table("toy")
    standing = door.run(table, "warm")
    door.trainer.prepare(table, "warm")
    assert same(door.train(table, "warm"), standing, table)
    shutil.rmtree(home / "runs")
    assert same(Studio().run(table, "warm"), standing, table)


def test_a_second_target_has_codes_of_its_own_and_the_memory_keeps_one(door, never_quantized):
    table = door.table("toy")
    for target in ("warm", "tall", "warm"):
        door.trainer._codes(faces_of(table, target), make=True)
        assert len(door.trainer._pools) == 1
        assert door.trainer._pools.peek(faces_of(table, target).key) is not None
    never_quantized()
    assert door.trainer._codes(faces_of(table, "tall"), make=True) is not None


def test_another_process_finds_the_codes_on_disk(door, home, never_quantized):
    table = door.table("toy")
    first = door.trainer.prepare(table, "warm")
    (folder,) = (home / "quantized").iterdir()
    assert sorted(file.name for file in folder.iterdir()) == [
        "about.json",
        "channels.json",
        "train.pool",
        "unseen.pool",
    ]
    never_quantized()
    fresh = Studio()
    again = fresh.table("toy")
    fresh.trainer.distances(again, "warm")
    assert fresh.trainer.screen(again, "warm") == first == fresh.trainer.prepare(again, "warm")
    assert same(fresh.train(poisoned(again), "warm"), door.run(table, "warm"), table)


@pytest.mark.parametrize("damage", ["flipped", "half", "gone"])
def test_damaged_codes_are_quantized_again_to_the_same_classifier(door, home, damage):
    table = door.table("toy")
    standing = door.run(table, "warm")
    door.trainer._codes(faces_of(table, "warm"), make=True)
    (folder,) = (home / "quantized").iterdir()
    file = folder / "train.pool"
    good = file.read_bytes()
    if damage == "gone":
        file.unlink()
    else:
        middle = len(good) // 2
        rest = bytes([good[middle] ^ 1]) + good[middle + 1 :] if damage == "flipped" else b""
        file.write_bytes(good[:middle] + rest)
    fresh = Studio()
    assert fresh.trainer._codes(faces_of(table, "warm")) is None
    assert same(fresh.train(table, "warm"), standing, table)
    assert fresh.trainer._codes(faces_of(table, "warm"), make=True) is not None
    assert Studio().trainer._codes(faces_of(table, "warm")) is not None
    assert same(fresh.train(poisoned(table), "warm"), standing, table)


def test_codes_belong_to_one_table_and_its_labels(door):
    table = door.table("toy")
    labels = table.labels.copy()
    labels.loc[1, "warm"] = -1
    others = [replace(table, key="toy-2"), replace(table, labels=labels)]
    assert len({faces_of(one, "warm").key for one in (table, *others)} | {faces_of(table, "tall").key}) == 4
    door.trainer._codes(faces_of(table, "warm"), make=True)
    assert all(door.trainer._codes(faces_of(one, "warm")) is None for one in others)


def test_codes_of_4_targets_stay_on_disk_and_those_used_longest_ago_go(door, home):
    table = door.table("toy")
    codes = door.trainer._codes(faces_of(table, "warm"), make=True)
    many = [replace(table, key=f"toy-{i}") for i in range(6)]
    for when, one in enumerate(many):
        assert quick.store_pool(faces_of(one, "warm"), codes)
        os.utime(quick._folder(faces_of(one, "warm")), (1e9 + when, 1e9 + when))
        if when == 3:
            assert quick.stored_pool(faces_of(many[1], "warm")) is not None  # used: now it is the latest
    assert [quick.stored_pool(faces_of(one, "warm")) is not None for one in many] == [
        False,
        True,
        False,
        True,
        True,
        True,
    ]
    assert len(list((home / "quantized").iterdir())) == 4


def test_where_nothing_can_be_written_everything_goes_on_without(door, home, monkeypatch):
    (home / "quantized").write_text("in the way")
    (home / "screens").write_text("in the way")
    table = door.table("toy")
    screen = door.trainer.prepare(table, "warm")
    assert screen.measured and door.trainer.screen(table, "warm") == screen
    assert same(door.trainer.train_live(poisoned(table), "warm"), door.run(table, "warm"), table)


def test_a_writer_that_fails_leaves_nothing_behind(door, home, monkeypatch):
    def half(self, folder):
        (folder / "train.pool").write_text("half")
        raise OSError("No space left on device")

    monkeypatch.setattr(QuantizedPool, "write", half)
    table = door.table("toy")
    assert door.trainer._codes(faces_of(table, "warm"), make=True) is not None
    assert list((home / "quantized").iterdir()) == []


def test_of_a_table_over_the_budget_the_first_channels_are_quantized_and_the_rest_is_trained_as_ever(
    door,
    monkeypatch,
):
    table = door.table("toy")
    monkeypatch.setattr(quick, "BUDGET", 150 * (N - 100))
    codes = door.trainer._codes(faces_of(table, "warm"), make=True)
    order = door.trainer._order(faces_of(table, "warm"))
    assert codes.known.sum() == 150 and codes.known[order[:150]].all()
    monkeypatch.setattr(quick, "UNMEASURED", 100)
    seen = []
    full = door.trainer.train_live(table, "warm", on_quick=seen.append)
    assert same(full, Studio().train(table, "warm"), table)  # all 200 channels, 50 of them not quantized
    assert seen[0].classifier.screened_.tolist() == sorted(order[:100])
    assert seen[0].metrics == quick.measure(seen[0].classifier, faces_of(table, "warm"), pool=None)


def test_who_does_not_need_the_codes_does_not_wait_for_them(door, monkeypatch):
    table, inside, go = door.table("toy"), threading.Event(), threading.Event()

    def slow(*args, **options):
        inside.set()
        assert go.wait(60)
        return make(*args, **options)

    make = quick.make_pool
    monkeypatch.setattr(quick, "make_pool", slow)
    other = threading.Thread(target=door.trainer._codes, args=(faces_of(table, "warm"),), kwargs={"make": True})
    other.start()
    assert inside.wait(60)
    try:
        assert door.trainer._codes(faces_of(table, "warm")) is None
        assert door.trainer.train_quick(table, "warm").quick
    finally:
        go.set()
        other.join()
    assert door.trainer._codes(faces_of(table, "warm")) is not None


def test_only_the_default_kind_has_a_quick_answer(door):
    seen = []
    run = door.trainer.train_live(door.table("toy"), "warm", kind="logistic", on_quick=seen.append)
    assert seen == [] and run.classifier.kind == "logistic" and not run.quick


def test_a_quick_classifier_has_2_trees_for_5_of_the_full_one_and_tries_a_quarter_of_the_concepts():
    model, full = quick.classifier(Screen(512), excluded=frozenset({3}), seed=7), CatBoostConcepts()
    assert (5 * model.iterations, model.learning_rate, 4 * model.tried) == (
        2 * full.iterations,
        pytest.approx(3 * full.learning_rate),
        full.tried,
    )
    assert (model.screen, model.excluded, model.random_state, model.kind) == (512, {3}, 7, "catboost")


@pytest.mark.parametrize("asked", [0, 10, 30])
def test_a_person_can_stop_before_the_quick_answer_and_after_it(door, asked):
    answers, seen = iter([False] * asked + [True] * 1000), []
    with pytest.raises(Cancelled):
        door.trainer.train_live(door.table("toy"), "warm", on_quick=seen.append, cancelled=lambda: next(answers))
    assert len(seen) == (asked == 30)


def test_a_quick_run_is_not_kept_and_a_full_one_is(door, home):
    seen = []
    full = door.trainer.train_live(door.table("toy"), "warm", excluded=frozenset({3}), on_quick=seen.append)
    with pytest.raises(Img2TabError, match="A quick answer is not kept"):
        door.trainer.keep(seen[0])
    door.trainer.keep(full)
    assert [run.id for run in door.trainer.kept(door.table("toy"), "warm")][1:] == [full.id]


def test_quick_and_note_are_written_with_a_run_and_are_empty_in_older_ones(door, home):
    run = door.trainer.train_quick(door.table("toy"), "warm")
    runs.save_run(run, home / "run")
    back = runs.load_run(home / "run")
    assert back.quick and back.note == run.note
    about = json.loads((home / "run" / "run.json").read_text())
    (home / "run" / "run.json").write_text(
        json.dumps({name: value for name, value in about.items() if name not in ("quick", "note")})
    )
    older = runs.load_run(home / "run")
    assert (older.quick, older.note) == (False, "")


def test_a_run_of_the_graphics_card_says_so_has_another_id_and_stays_in_the_history(door, monkeypatch):
    table = door.table("toy")
    plain = door.train(table, "warm")
    monkeypatch.setattr(catboost, "gpu_wished", lambda: True)
    monkeypatch.setattr(GpuConcepts, "_device", lambda self, count: {"rsm": 0.5})  # there is no card here
    run = door.trainer.train_live(table, "warm")
    assert "graphics card" in run.note and run.id != plain.id and not run.quick
    door.trainer.keep(run)
    assert [one.id for one in door.trainer.kept(table, "warm")] == [plain.id, run.id]
    assert door.run(table, "warm").note == ""  # the standing run is not


# --- how many concepts -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("found", "full", "count", "tried"),
    [
        ({128: 0.930, 256: 0.938, 512: 0.9385}, 0.940, 256, [128, 256]),  # 0.2 points are not too many
        ({128: 0.950}, 0.940, 128, [128]),
        ({128: 0.90, 256: 0.91, 512: 0.937, 1024: 0.936}, 0.940, 512, [128, 256, 512, 1024]),  # none is near: the best
        ({128: 0.90, 256: 0.93, 512: 0.93, 1024: 0.93}, 0.940, 256, [128, 256, 512, 1024]),  # and the fewest
    ],
)
def test_the_fewest_concepts_that_lose_at_most_2_in_1000(door, monkeypatch, found, full, count, tried):
    table, model = replace(door.table("toy"), layout=StyleLayout((2000,))), object()
    monkeypatch.setattr(quick, "train", lambda *args, **options: None)
    monkeypatch.setattr(
        quick, "accuracy", lambda asked, *args, **options: full if asked is model else found[asked.screen]
    )
    screen = quick.choose(faces_of(table, "warm"), np.arange(2000), model, pool=None)
    assert (screen.count, screen.accuracy, screen.full) == (count, found[count], full)
    assert [one for one, _ in screen.measured] == tried
    assert screen.faces == len(tables.labelled(table, "warm", "validation")[0])


def test_the_price_of_a_screen_is_measured_on_validation_faces_once_and_kept(door, home, monkeypatch):
    table, seen = door.table("toy"), []
    screen = door.trainer.prepare(table, "warm", progress=lambda share, text: seen.append(share))
    rows, labels = tables.labelled(table, "warm", "validation")
    model = quick.classifier(screen)
    train_rows, train_labels = tables.labelled(table, "warm", "train")
    model.fit(table.psi, train_labels, rows=train_rows, order=door.trainer._order(faces_of(table, "warm")))
    assert screen.accuracy == (model.predict(table.psi[rows]) == labels).mean()
    assert screen.full == (door.run(table, "warm").classifier.predict(table.psi[rows]) == labels).mean()
    assert seen == sorted(seen)
    monkeypatch.setattr(quick, "choose", lambda *args, **options: pytest.fail("measured again"))
    assert Studio().trainer.prepare(table, "warm") == screen
    run = door.trainer.train_quick(table, "warm")
    assert run.note == f"Quick answer: {screen.sentence}" and len(run.classifier.screened_) == screen.count
    assert quick.stored_screen(faces_of(replace(table, key="toy-2"), "warm")) is None
    (home / "screens" / "toy-warm.json").write_text('{"key": 1')
    assert quick.stored_screen(faces_of(table, "warm")) is None


def test_a_table_without_validation_faces_has_no_price_to_show(door):
    table = door.table("toy")
    table = replace(table, split=np.where(table.split == 1, 2, table.split))
    screen = quick.choose(faces_of(table, "warm"), np.arange(D), object(), pool=None)
    assert screen == Screen(D) and "not measured" in screen.sentence


def test_a_screen_says_what_it_costs():
    assert Screen(512, 0.9388, 0.94, 2831, ((128, 0.9), (512, 0.9388))).sentence == (
        "512 channels, 93.9 % instead of 94.0 % on the 2,831 validation faces."
    )
    assert Screen(1024, 0.93, 0.94, 2831, ((128, 0.9), (1024, 0.93))).sentence == (
        "1,024 channels, 93.0 % instead of 94.0 % on the 2,831 validation faces: 1.00 points less, and no number up to "
        "1,024 loses at most 0.2."
    )
    assert Screen(512).sentence == "512 channels; what that costs was not measured yet."


def measured(accuracy, half):
    return Metrics(accuracy, (accuracy - half, accuracy + half), 0.9, 0.2, ((1, 0), (0, 1)), 2851)


def test_the_difference_of_the_full_model_in_words():
    assert quick.difference(measured(0.9331, 0.01), measured(0.9362, 0.01)) == (
        "The full model: 93.6 % of 2,851 test faces, 0.3 points above the quick answer (93.3 %)."
    )
    assert "0.5 points below the quick answer (93.6 %)" in quick.difference(
        measured(0.936, 0.01), measured(0.931, 0.01)
    )
    assert "as right as the quick answer (93.6 %)" in quick.difference(measured(0.9361, 0.01), measured(0.9362, 0.01))


# --- memory ----------------------------------------------------------------------------------------


def test_a_map_of_40_mb_that_was_read_is_let_go_and_reads_the_same_again(tmp_path):
    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

    np.save(tmp_path / "psi.npy", np.ones((1000, 10_000), np.float32))
    psi = np.load(tmp_path / "psi.npy", mmap_mode="r").T
    assert psi.sum() == 10_000_000
    before = resident()
    tables.let_go(psi)
    assert before - resident() > 35e6
    assert psi[::7].sum() == 1429 * 1000
    tables.let_go(np.ones((3, 3)))  # an array of one's own is left alone


# --- the real table --------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.long
def test_on_20000_faces_the_quick_answer_is_within_2_points_and_the_full_one_is_the_standing_run(
    studio,
    other_home,
    tmp_path,
    monkeypatch,
):
    standing = studio.run(studio.table(), "smiling")  # trained on the codes themselves, by whichever test was first
    monkeypatch.setenv("IMG2TAB_HOME", str(tmp_path))
    (tmp_path / "tables").symlink_to(other_home / "tables")
    door = Studio()
    table, seen = door.table(), []
    screen = door.trainer.prepare(table, "smiling")
    codes = door.trainer._codes(faces_of(table, "smiling"))
    assert codes.known.all() and screen.count in quick.COUNTS and screen.faces > 2600
    full = door.trainer.train_live(poisoned(table), "smiling", on_quick=seen.append)
    assert same(full, standing, table)
    assert abs(seen[0].metrics.accuracy - full.metrics.accuracy) < 0.02
    assert len(seen[0].classifier.screened_) == screen.count

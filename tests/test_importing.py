"""An import that is killed and taken up again ends as if nothing had happened; what cannot be used says why."""

from __future__ import annotations

import json
import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from img2tab_core import tables, weights
from img2tab_core.backbones.registry import backbone_key
from img2tab_core.base import files
from img2tab_core.base.errors import Cancelled, Img2TabError, Unreachable
from img2tab_core.base.files import sha256_of
from img2tab_core.base.layout import StyleLayout
from img2tab_core.base.records import DEFAULT_BACKBONE, ChannelStats, Target
from img2tab_core.classifiers.trainer import Trainer
from img2tab_core.cli import tables as cli_import
from img2tab_core.studio import Aligner, Studio
from img2tab_core.tables import code_files, importing_codes, population
from img2tab_core.tables.importing import import_photos
from img2tab_core.tables.importing_codes import import_codes
from img2tab_core.tables.sources import celeba_source, folder_source, limited, stored_name, uploaded_source

LAYOUT = StyleLayout((3, 4))
STATS = ChannelStats(np.arange(7, dtype=np.float32) * 10, np.arange(1, 8, dtype=np.float32))


def toy(per_layer: int | None = None, name: str = "toy"):
    """A backbone whose w is 512 numbers of the face, for one or for each of some layers, and whose psi is 7 of them."""

    def invert(faces):
        w = faces.reshape(len(faces), -1)[:, :512].astype(np.float32)
        return w if per_layer is None else np.repeat(w[:, None], per_layer, axis=1)

    def styles(w):
        flat = np.array(w).reshape(len(w), -1)
        return flat[:, :7] + flat[:, -1:]

    return SimpleNamespace(name=name, key=f"key of {name}", layout=LAYOUT, stats=STATS, invert=invert, styles=styles)


def align(data: bytes) -> tuple[np.ndarray, int]:
    """A toy photo is one number: its face, and two faces where it is 7."""
    if not data.isdigit():
        raise Img2TabError(f"No face was found in {data.decode()}.")
    return np.random.default_rng(int(data)).integers(0, 256, (256, 256, 3), np.uint8), 2 if data == b"7" else 1


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("IMG2TAB_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def folder(tmp_path):
    """100 toy photos, 2 of them bad, with labels of all but one and of one that is not there."""
    place = tmp_path / "My Photos"
    (place / "more").mkdir(parents=True)
    names = [f"{'more/' if i % 3 == 0 else ''}{i:03d}.jpg" for i in range(100)]
    for i, name in enumerate(names):
        (place / name).write_bytes(b"nothing" if i in (20, 77) else str(i).encode())
    rows = [f"{name},{i % 2},{'red' if i % 3 else 'blue'},{i}.5" for i, name in enumerate(names) if i != 50]
    (place / "labels.csv").write_text("\n".join(["image,smiling,colour,age", *rows, "gone.jpg,1,red,1"]))
    return place


@pytest.fixture
def source(folder):
    return folder_source(folder, folder / "labels.csv", align=align)


def same(one, two) -> None:
    assert np.array_equal(one.psi, two.psi) and one.key == two.key
    assert np.array_equal(one.split, two.split)
    pd.testing.assert_frame_equal(one.labels, two.labels)
    assert one.targets == two.targets


def test_98_of_100_photos_become_rows_and_2_are_skipped_with_their_reason(source, home):
    found = import_photos(source, toy(), name="mine")
    assert found.table.psi.shape == (98, 7)
    assert found.facts.skipped == dict.fromkeys(("020.jpg", "077.jpg"), "No face was found in nothing.")
    assert (found.facts.several, found.facts.unlabelled, found.facts.unmatched) == (1, 1, 1)
    assert [target.name for target in found.table.targets] == ["smiling", "colour"]
    labels = found.table.labels.set_index("photo")
    assert labels.index.tolist() == sorted(labels.index)
    assert labels.loc["more/003.jpg"].to_dict() == {"smiling": 1, "colour": 0, "age": 3.5}
    assert labels.loc["050.jpg", "smiling"] == -1 and np.isnan(labels.loc["050.jpg", "age"])
    row = found.table.labels["photo"].tolist().index("031.jpg")
    assert np.array_equal(found.table.psi[row], toy().styles(toy().invert(align(b"31")[0][None]))[0])
    assert [entry.name for entry in (home / "imports").iterdir()] == [".mine.lock"]


def test_a_folder_that_is_gone_after_64_photos_ends_the_import_and_when_it_is_back_none_is_skipped(folder):
    whole = import_photos(folder_source(folder, folder / "labels.csv", align=align), toy(), name="whole")
    away = folder.with_name("away")

    def taken(data: bytes):
        if data == b"97":  # the 65th in their order
            folder.rename(away)
        return align(data)

    with pytest.raises(Unreachable, match=r"There is no folder .* on .*What is done is kept\."):
        import_photos(folder_source(folder, folder / "labels.csv", align=taken), toy(), name="cut")
    away.rename(folder)
    again = import_photos(folder_source(folder, folder / "labels.csv", align=align), toy(), name="cut")
    assert again.resumed in (32, 64) and again.facts.skipped == whole.facts.skipped
    same(again.table, whole.table)


def test_a_second_run_of_the_same_command_does_nothing_and_another_is_refused(source, folder):
    first = import_photos(source, toy(), name="mine")
    again = import_photos(source, SimpleNamespace(**vars(toy())), name="mine")
    assert again.was_there and again.facts == first.facts and again.table.key == first.table.key
    for other in (limited(source, 60), folder_source(folder, folder / "labels.csv", align=align, how="as it is")):
        with pytest.raises(Img2TabError, match="of other photos, labels or backbone"):
            import_photos(other, toy(), name="mine")
    assert import_photos(limited(source, 60), toy(), name="mine", anew=True).facts.photos == 60


def test_a_table_encoded_by_an_older_default_encoder_is_refused_and_imported_anew_it_opens(source, home):
    older = toy(name=DEFAULT_BACKBONE)
    assert import_photos(source, older, name="mine").table.backbone_key == older.key != backbone_key(DEFAULT_BACKBONE)
    for _ in range(2):  # a failure is not kept, nor forgotten
        with pytest.raises(Img2TabError, match="encoded by other weights than the backbone mobilestylegan") as error:
            Trainer().table("mine")
    assert "`img2tab import folder ... --name mine --anew`" in str(error.value)
    older.key = backbone_key(DEFAULT_BACKBONE)
    import_photos(source, older, name="mine", anew=True)
    assert Trainer().table("mine").backbone_key == older.key and Trainer().about_table("mine")["note"] == ""


def test_a_running_trainer_refuses_what_an_older_encoder_read_as_soon_as_it_is_put_there(source):
    door, now = Trainer(), toy(name=DEFAULT_BACKBONE)
    now.key = backbone_key(DEFAULT_BACKBONE)
    import_photos(source, now, name="mine")
    assert door.table("mine") is door.table("mine")
    import_photos(source, toy(name=DEFAULT_BACKBONE), name="mine", anew=True)
    with pytest.raises(Img2TabError, match="other weights"):
        door.table("mine")


def test_an_imported_table_from_before_encoders_were_noted_opens_and_says_that_it_cannot_be_known(source, home):
    import_photos(source, toy(name=DEFAULT_BACKBONE), name="mine")
    file = home / "tables" / "mine" / "table.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"backbone_key": ""}))
    assert len(Trainer().table("mine").labels) == 98
    assert "was not noted" in Trainer().about_table("mine")["note"]


def test_the_shipped_encoder_is_the_one_that_read_the_20000_faces_of_the_default_table():
    """Whoever ships another encoder encodes the population again (`img2tab build-population`), and changes both."""
    encoder, faces = weights.record("face-encoder")["sha256"], sha256_of(population.FOLDER / "w.npy")
    assert (encoder[:12], faces[:12]) == ("6e5d428c1023", "3c3a04ddca96")


@pytest.mark.parametrize("per_layer", [None, 3])
def test_stopped_after_64_of_100_photos_it_goes_on_to_the_same_table(source, per_layer, home):
    whole = import_photos(source, toy(per_layer), name="whole").table
    groups = []

    def stopped():
        groups.append(1)
        return len(groups) == 2

    with pytest.raises(Cancelled, match=r"64 of 100 photos are done and kept\. Run the same command again"):
        import_photos(source, toy(per_layer), name="cut", stopped=stopped)
    assert not (home / "tables" / "cut").exists()
    rest = []
    found = import_photos(source, toy(per_layer), name="cut", progress=lambda fraction, text: rest.append(text))
    assert found.resumed == 64
    same(found.table, whole)
    assert re.fullmatch(r"96 of 100 photos, [\d.]+ a second, 0:00 left, 2 skipped", rest[0])


def shards(home) -> list:
    return sorted((home / "imports" / "cut").glob("*.npz"))


@pytest.mark.parametrize(
    ("harm", "resumed"),
    [
        (lambda work: (work / ".0-000000064.npz.123.456").write_bytes(b"half a shard"), 64),
        (lambda work: (work / "0123456789ab-000000064-000000096.npz").write_bytes(b"of another import"), 64),
        (lambda work: min(work.glob("*.npz")).unlink(), 32),
        (lambda work: [file.unlink() for file in work.glob("*.npz")], 0),
        (lambda work: (work / "about.json").unlink(), 64),
        (lambda work: shutil.rmtree(work), 0),
    ],
)
def test_6_states_a_kill_can_leave_all_end_in_the_same_table(source, home, harm, resumed):
    whole = import_photos(source, toy(), name="whole").table
    with pytest.raises(Cancelled):
        import_photos(source, toy(), name="cut", stopped=lambda: len(shards(home)) == 2)
    harm(home / "imports" / "cut")
    again = import_photos(source, toy(), name="cut")
    assert again.resumed == resumed
    same(again.table, whole)


def test_a_shard_that_the_disk_damaged_is_1_sentence_and_the_next_run_makes_it_anew(source, home):
    whole = import_photos(source, toy(), name="whole").table
    with pytest.raises(Cancelled):
        import_photos(source, toy(), name="cut", stopped=lambda: len(shards(home)) == 2)
    shards(home)[0].write_bytes(shards(home)[0].read_bytes()[:-3000])
    with pytest.raises(Img2TabError, match=r"gone or damaged.* Run the same command again"):
        import_photos(source, toy(), name="cut")
    again = import_photos(source, toy(), name="cut")
    assert again.resumed == 32
    same(again.table, whole)


def test_an_import_that_an_earlier_version_left_with_64_photos_is_refused_and_begun_anew(source, home):
    (home / "imports" / "cut").mkdir(parents=True)
    (home / "imports" / "cut" / "about.json").write_text('{"mark": "0", "shape": [512], "replaces": false}')
    (home / "imports" / "cut" / "done.jsonl").write_text('{"photo": "001.jpg", "row": 0}\n' * 64)
    with pytest.raises(Img2TabError, match=r"of an earlier version is there.* replace it with --anew"):
        import_photos(source, toy(), name="cut")
    assert import_photos(source, toy(), name="cut", anew=True).resumed == 0


def test_an_unfinished_import_of_64_photos_is_not_taken_up_with_other_photos_or_another_backbone(source, home):
    with pytest.raises(Cancelled):
        import_photos(source, toy(), name="cut", stopped=lambda: len(shards(home)) == 2)
    for other, backbone in ((limited(source, 90), toy()), (source, toy(name="other")), (source, toy(per_layer=2))):
        with pytest.raises(Img2TabError, match=r"64 photos done.* choose another --name, or replace it with --anew"):
            import_photos(other, backbone, name="cut")
    assert len(shards(home)) == 2
    assert import_photos(source, toy(name="other"), name="cut", anew=True).resumed == 0


def test_a_replacement_stopped_after_32_photos_leaves_the_old_table_and_goes_on_without_anew(source):
    old = import_photos(limited(source, 60), toy(), name="mine").table
    with pytest.raises(Cancelled, match=r"32 of 100 photos are done and kept\. Run the same command without --anew"):
        import_photos(source, toy(), name="mine", anew=True, stopped=lambda: True)
    assert tables.open_table(files.home() / "tables" / "mine").key == old.key
    found = import_photos(source, toy(), name="mine")
    assert found.resumed == 32
    same(found.table, import_photos(source, toy(), name="whole").table)


def test_a_target_needs_2_test_faces_of_each_class_and_no_validation_faces():
    split = np.repeat(np.array([0, 1, 2], np.int8), [10, 5, 5])
    few = np.zeros(20, np.int8)
    few[[0, 1, 18, 19]] = 1
    fewer = np.where(np.arange(20) == 18, 0, few)
    targets = [Target(name, name, ("no", "yes"), "by hand") for name in ("few", "fewer")]
    kept, dropped = tables.usable_targets(pd.DataFrame({"few": few, "fewer": fewer}), targets, split)
    assert kept == (targets[0],)
    assert dropped == {"fewer": "1 test faces are 'yes', at least 2 are needed"}


def test_while_1_process_imports_a_second_one_is_refused(source):
    def second(fraction, text):
        with pytest.raises(Img2TabError, match="Another process is importing 'mine'"):
            import_photos(source, toy(), name="mine")

    import_photos(source, toy(), name="mine", progress=second)


@pytest.mark.parametrize("name", ["default", "two words", "a/b", "", "..", ".hidden", "ä", "x" * 61])
def test_8_names_no_table_may_have(source, name):
    with pytest.raises(Img2TabError, match="must be one word"):
        import_photos(source, toy(), name=name)


def test_if_all_100_photos_fail_the_first_reason_is_said(folder, home):
    def fails(data):
        raise Img2TabError("It is dark.")

    with pytest.raises(Img2TabError, match=r"None of 100 photos could be encoded. The first, 001\.jpg: It is dark\."):
        import_photos(folder_source(folder, folder / "labels.csv", align=fails), toy(), name="mine")
    assert not (home / "imports" / "mine").exists()


def test_19_photos_are_too_few_and_so_is_a_class_of_1(folder, source):
    with pytest.raises(Img2TabError, match="at least 20 faces, got 19 photos"):
        import_photos(limited(source, 19), toy(), name="mine")
    rows = [f"{i:03d}.jpg,{int(i == 1)}" for i in range(100)]
    (folder / "rare.csv").write_text("\n".join(["image,rare", *rows]))
    with pytest.raises(Img2TabError, match="No label has enough faces of both classes"):
        import_photos(folder_source(folder, folder / "rare.csv", align=align), toy(), name="mine")


def test_4_sources_sent_to_another_process_load_the_same_faces_and_have_the_same_mark(folder, celeba, tmp_path):
    (tmp_path / "kept").mkdir()
    for number, name in enumerate(("b.jpg", "../a.jpg")):
        (tmp_path / "kept" / stored_name(number, name)).write_bytes(str(number).encode())
    (tmp_path / "kept" / "labels.csv").write_text("image,smiling\nb.jpg,1\n../a.jpg,0\n")
    uploaded = uploaded_source(
        tmp_path / "kept", ["b.jpg", "../a.jpg"], tmp_path / "kept" / "labels.csv", align=align, how="as it is"
    )
    assert uploaded.names == ("../a.jpg", "b.jpg") and np.array_equal(uploaded.load(0)[0], align(b"1")[0])
    whole = folder_source(folder, folder / "labels.csv", align=align)
    for source in (whole, limited(whole, 60), celeba_source(celeba, align=align), uploaded):
        sent = pickle.loads(pickle.dumps(source))  # noqa: S301
        assert (sent.names, sent.mark, sent.targets) == (source.names, source.mark, source.targets)
        for i in (0, len(source.names) - 1):
            (there, faces), (here, as_many) = sent.load(i), source.load(i)
            assert np.array_equal(there, here) and faces == as_many
    aligner = Studio().aligner(aligned=True)
    assert pickle.loads(pickle.dumps(aligner)) == aligner == Aligner(aligned=True)  # noqa: S301


def test_labels_of_0_photos_of_the_folder_are_refused_with_1_name_of_each(folder):
    (folder / "other.csv").write_text("image,smiling\nx.png,0\ny.png,1\n")
    with pytest.raises(Img2TabError, match=r"got 'x\.png' and no name that fits .'001\.jpg' is there"):
        folder_source(folder, folder / "other.csv", align=align)
    with pytest.raises(Img2TabError, match="There is no folder"):
        folder_source(folder / "none", folder / "labels.csv", align=align)
    (folder / "empty").mkdir()
    with pytest.raises(Img2TabError, match="There is no photo in"):
        folder_source(folder / "empty", folder / "labels.csv", align=align)


@pytest.fixture
def celeba(tmp_path):
    place = tmp_path / "celeba"
    (place / "img_align_celeba").mkdir(parents=True)
    names = [f"{i + 1:06d}.jpg" for i in range(60)]
    for i, name in enumerate(names):
        (place / "img_align_celeba" / name).write_bytes(str(i).encode())
    rows = [f"{name} {1 if i % 2 else -1:2d} {1 if i % 3 else -1:2d}" for i, name in enumerate(names)]
    (place / "list_attr_celeba.txt").write_text("\n".join(["60", "Male Young", *rows]) + "\n")
    parts = [f"{name} {0 if i < 40 else 1 if i < 50 else 2}" for i, name in enumerate(names)]
    (place / "list_eval_partition.txt").write_text("\n".join(parts) + "\n")
    return place


def test_celeba_keeps_its_own_split_of_40_10_and_10(celeba):
    table = import_photos(celeba_source(celeba, align=align), toy(), name="celeba").table
    assert np.bincount(table.split).tolist() == [40, 10, 10] and (np.diff(table.split) >= 0).all()
    assert [target.name for target in table.targets] == ["male", "young"]
    assert table.labels["male"].tolist() == [i % 2 for i in range(60)]
    few = limited(celeba_source(celeba / "img_align_celeba", align=align), 30)
    assert len(few.split) == len(set(few.names)) == 30 and np.bincount(few.split).min() >= 2


@pytest.mark.parametrize("gone", ["list_attr_celeba.txt", "list_eval_partition.txt", "img_align_celeba"])
def test_each_of_the_3_parts_of_celeba_that_is_missing_is_named(celeba, gone):
    (celeba / gone).rename(celeba / "elsewhere.jpeg")
    with pytest.raises(Img2TabError, match=gone):
        celeba_source(celeba, align=align)


@pytest.fixture
def codes(tmp_path):
    """90 style codes and their labels in files; psi float32 (90, 7)."""
    psi = (np.random.default_rng(0).normal(size=(90, 7)) * STATS.std + STATS.mean + 5).astype(np.float32)
    np.save(tmp_path / "psi.npy", psi)
    (tmp_path / "labels.csv").write_text("\n".join(["smiling", *(str(i % 2) for i in range(90))]))
    return SimpleNamespace(psi=psi, file=tmp_path / "psi.npy", labels=tmp_path / "labels.csv", folder=tmp_path)


def test_90_style_codes_come_back_bit_for_bit_whatever_file_they_lay_in(codes):
    psi, keys = torch.from_numpy(codes.psi), set()
    for i, content in enumerate(
        (
            psi,
            psi[:, None],
            psi.double(),
            {"psi": psi, "step": 3, "mean": psi.mean(0)},
            [psi[:, :3], psi[:, 3:]],
            {"styles": [psi[:, None, :3], psi[:, None, 3:]]},
            list(psi),
            [psi, torch.zeros(90)],
        )
    ):
        torch.save(content, codes.folder / "psi.pt")
        found = import_codes(codes.folder / "psi.pt", codes.labels, toy(), name=f"t{i}")
        assert np.array_equal(found.table.psi, codes.psi), i
        keys.add(found.table.key)
    np.save(codes.folder / "wide.npy", np.asfortranarray(codes.psi[:, None].astype(np.float64)))
    keys.add(import_codes(codes.folder / "wide.npy", codes.labels, toy(), name="wide").table.key)
    keys.add(import_codes(codes.file, codes.labels, toy(), name="npy").table.key)
    assert len(keys) == 1
    assert import_codes(codes.file, codes.labels, toy(), name="npy").was_there
    torch.save(psi.half(), codes.folder / "half.pt")
    half = import_codes(codes.folder / "half.pt", codes.labels, toy(), name="half").table
    assert np.array_equal(half.psi, codes.psi.astype(np.float16).astype(np.float32))


def test_blocks_of_8_rows_write_the_same_as_1_block_and_2_rows_without_numbers_are_skipped(codes, monkeypatch):
    broken = codes.psi.copy()
    broken[13, 2], broken[40, 6] = np.nan, -np.inf
    np.save(codes.file, broken)
    whole = import_codes(codes.file, codes.labels, toy(), name="whole")
    monkeypatch.setattr(importing_codes, "BLOCK_BYTES", 8 * 7 * 4)
    parts = import_codes(codes.file, codes.labels, toy(), name="parts")
    same(parts.table, whole.table)
    assert list(whole.facts.skipped) == ["row 13", "row 40"]
    assert np.array_equal(whole.table.psi, np.delete(codes.psi, [13, 40], axis=0))
    assert whole.table.labels["photo"].tolist()[12:14] == ["row 12", "row 14"]


def test_codes_stopped_in_the_middle_leave_0_tables(codes, home):
    with pytest.raises(Cancelled, match="no table was written"):
        import_codes(codes.file, codes.labels, toy(), name="mine", stopped=lambda: True)
    assert not (home / "tables" / "mine").exists()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (torch.zeros(90, 8), r"\(N, 7\), the 7 channels of toy, got \(90, 8\)"),
        ({"a": torch.zeros(90, 7), "b": torch.zeros(90, 7)}, "got 2 of them"),
        ([torch.zeros(90, 3), torch.zeros(90, 5)], r"got \(90, 3\), \(90, 5\)"),
        (torch.zeros(89, 7), r"one row per style code, 89 as in psi\.pt, got 90"),
        ({}, "got dict"),
        ("words", "got str"),
        (SimpleNamespace(a=1), "could run code on this computer"),
    ],
)
def test_7_files_that_hold_no_style_codes(codes, content, sentence):
    torch.save(content, codes.folder / "psi.pt")
    with pytest.raises(Img2TabError, match=sentence):
        import_codes(codes.folder / "psi.pt", codes.labels, toy(), name="mine")


def test_3_damaged_or_unknown_files_are_1_sentence_each(codes):
    for name, data in {"psi.pt": b"PK\x03\x04", "psi.npy": b"\x93NUMPY", "psi.txt": b"1"}.items():
        (codes.folder / name).write_bytes(data)
        with pytest.raises(Img2TabError, match=name):
            import_codes(codes.folder / name, codes.labels, toy(), name="mine")


def test_standardised_codes_of_90_faces_are_recognised_and_undone_with_their_scaler(codes):
    mean, std = codes.psi.astype(np.float64).mean(axis=0), codes.psi.astype(np.float64).std(axis=0)
    np.save(codes.file, (codes.psi - mean) / std)
    np.savez(codes.folder / "scaler.npz", mean=mean, std=std)
    torch.save((torch.from_numpy(mean), torch.from_numpy(std)), codes.folder / "scaler.pt")
    for ending in ("npz", "pt"):
        found = import_codes(codes.file, codes.labels, toy(), name=ending, scaler=codes.folder / f"scaler.{ending}")
        assert np.allclose(found.table.psi, codes.psi, rtol=1e-6, atol=1e-5)
        assert found.facts.note == "standardised: undone with the given mean and deviation"
    guess = import_codes(codes.file, codes.labels, toy(), name="guess")
    assert "backbone's channel statistics: approximate" in guess.facts.note
    expected = (codes.psi - mean) / std * STATS.std + STATS.mean
    assert np.allclose(guess.table.psi, expected, atol=1e-4)
    assert tables.about_of(files.home() / "tables" / "guess")["note"] == guess.facts.note
    with pytest.raises(Img2TabError, match=r"has no mean and std\. It must hold mean and std .or scale. of 7 numbers"):
        import_codes(codes.file, codes.labels, toy(), name="mine", scaler=codes.labels.with_name("psi.npy"))


def test_of_6_sets_of_codes_the_3_standardised_ones_are_recognised():
    z = np.random.default_rng(0).standard_t(5, size=(2000, 50)) / np.sqrt(5 / 3)
    other = z * np.random.default_rng(1).uniform(0.8, 1.25, 50) + np.random.default_rng(2).normal(0, 0.2, 50)
    constant = np.hstack([z, np.zeros((2000, 5))])
    assert [code_files.is_standardised(one) for one in (z, other, constant)] == [True] * 3
    assert [code_files.is_standardised(one) for one in (z + 1, z * 0.3, z[:19])] == [False] * 3


def test_the_20000_codes_of_the_default_table_are_not_taken_for_standardised(studio, monkeypatch):
    monkeypatch.undo()  # the home where the default table is
    table = studio.table()
    rows = np.sort(np.random.default_rng(0).choice(len(table.psi), 300, replace=False))
    psi = np.array(table.psi[rows])
    assert not code_files.is_standardised(psi)
    assert code_files.is_standardised((psi - table.stats.mean) / np.maximum(table.stats.std, 1e-6))


def test_labels_of_90_codes_from_an_array_a_dictionary_and_celebas_file(codes):
    array = np.stack([np.arange(90) % 2, np.arange(90) % 3 == 0], axis=1) * 2 - 1
    np.save(codes.folder / "l.npy", array)
    torch.save({"male": torch.from_numpy(array[:, 0]), "young": torch.from_numpy(array[:, 1])}, codes.folder / "l.pt")
    rows = [f"{i + 1:06d}.jpg {array[i, 0]} {array[i, 1]}" for i in range(90)]
    (codes.folder / "l.txt").write_text("\n".join(["90", "male young", *rows]))
    for ending, names in {"npy": ["male", "young"], "pt": [], "txt": []}.items():
        file = codes.folder / f"l.{ending}"
        table = import_codes(codes.file, file, toy(), name=ending, label_names=names).table
        assert table.labels["male"].tolist() == (array[:, 0] > 0).astype(int).tolist()
        assert [target.name for target in table.targets] == ["male", "young"]
    assert table.labels["photo"][0] == "000001.jpg"


# --- the terminal ---------------------------------------------------------------------------------


@pytest.fixture
def run(monkeypatch):
    """The verbs of `img2tab import` on the toy backbone."""
    opened = SimpleNamespace(
        aligner=lambda aligned: align,
        backbone=lambda name: toy(name="toy" if name == DEFAULT_BACKBONE else name),
    )
    monkeypatch.setattr(cli_import, "studio", lambda: opened)
    return lambda *words: CliRunner().invoke(cli_import.import_app, [str(word) for word in words])


def test_the_summary_counts_100_photos_and_names_what_was_left_out(run, folder):
    said = run("folder", folder, "--labels", folder / "labels.csv")
    assert said.exit_code == 0, said.output
    assert said.output.splitlines() == [
        "Table my_photos: 98 of 100 photos, 7 channels, targets smiling, colour; 2 skipped.",
        "In 1 photo with several faces the biggest was taken.",
        "1 photo without a label: encoded, of unknown class.",
        "1 label without a photo: left out.",
        "No target age: it has 100 different numbers.",
        "Skipped 020.jpg: No face was found in nothing.",
        "Skipped 077.jpg: No face was found in nothing.",
    ]
    again = json.loads(run("folder", folder, "--labels", folder / "labels.csv", "--json").stdout)
    assert again["was_there"] and (again["faces"], again["photos"], len(again["skipped"])) == (98, 100, 2)
    assert again["targets"]["colour"] == ["blue", "red"]


@pytest.mark.parametrize("as_json", [False, True])
def test_ctrl_c_is_exit_code_130_and_the_sentence_says_how_to_go_on(run, folder, monkeypatch, as_json):
    @contextmanager
    def pressed():
        yield lambda: True

    monkeypatch.setattr(cli_import, "interrupted", pressed)
    said = run("folder", folder, "--labels", folder / "labels.csv", *["--json"] * as_json)
    assert said.exit_code == 130
    text = json.loads(said.stdout)["sentence"] if as_json else said.output
    assert "32 of 100 photos are done and kept. Run the same command again to go on." in text


def test_a_mistake_is_1_sentence_and_exit_code_1(run, folder, tmp_path):
    for words in (
        ("folder", folder, "--labels", tmp_path / "none.csv"),
        ("celeba", folder),
        ("folder", folder, "--labels", folder / "labels.csv", "--name", "default"),
        ("psi", tmp_path / "none.pt", folder / "labels.csv"),
        ("psi", folder / "001.jpg", folder / "labels.csv"),
    ):
        said = run(*words)
        assert said.exit_code == 1 and len(said.output.splitlines()) == 1, said.output
        assert not isinstance(said.exception, Img2TabError)


def test_celeba_and_90_style_codes_from_the_terminal(run, celeba, codes):
    assert "60 of 60 photos" in run("celeba", celeba).output
    assert "30 of 30 photos" in run("celeba", celeba, "--limit", 30, "--no-align", "--name", "few").output
    np.save(codes.file, (codes.psi - codes.psi.mean(axis=0)) / codes.psi.std(axis=0))
    said = run("psi", codes.file, codes.labels, "--name", "z")
    assert said.output.splitlines() == [
        "Table z: 90 of 90 style codes, 7 channels, targets smiling; 0 skipped.",
        "The style codes were standardised: undone with the backbone's channel statistics: approximate.",
    ]


def test_40_faces_of_a_population_are_drawn_and_encoded_by_another_backbone(run, tmp_path, monkeypatch):
    place = tmp_path / "population"
    place.mkdir()
    np.save(place / "w.npy", np.repeat(np.arange(200, dtype=np.float16)[:, None], 512, axis=1))
    pd.DataFrame({"smiling": np.resize([0, 1, -1], 200).astype(np.int8)}).to_parquet(place / "labels.parquet")
    target = {"name": "smiling", "title": "t", "classes": ["perceived not smiling", "perceived smiling"], "how": "h"}
    (place / "population.json").write_text(json.dumps({"targets": [target]}))
    monkeypatch.setattr(population, "FOLDER", place)
    monkeypatch.setattr(cli_import, "_drawn_by", lambda opened: lambda w: align(str(int(w[0]) + 8).encode())[0])
    said = json.loads(run("population", "--backbone", "other", "--count", 40, "--name", "p", "--json").stdout)
    assert (said["faces"], said["backbone"]) == (40, "other")
    table = tables.open_table(files.home() / "tables" / "p")
    chosen = [int(name[-6:]) for name in table.labels["photo"]]
    assert chosen == sorted(set(chosen)) and len(chosen) == 40
    assert table.labels["smiling"].tolist() == [(0, 1, -1)[i % 3] for i in chosen]


# --- the real thing --------------------------------------------------------------------------------


def img2tab(*words: object) -> list[str]:
    return [sys.executable, "-m", "img2tab_core.cli.main", *map(str, words)]


@pytest.mark.slow
def test_70_photos_killed_half_way_and_resumed_are_the_table_of_an_import_that_was_not(
    shared_photos, studio, tmp_path, home
):
    photos = tmp_path / "congress"
    photos.mkdir()
    for file in sorted((shared_photos / "congress").glob("*.jpg"))[:70]:
        shutil.copy(file, photos)
    shutil.copy(shared_photos / "congress" / "labels.csv", photos)
    names = sorted(file.name for file in photos.glob("*.jpg"))
    (photos / names[20]).write_bytes((photos / names[20]).read_bytes()[:2000])
    Image.new("RGB", (225, 275), (90, 120, 200)).save(photos / names[50])  # nobody in it
    command = img2tab("import", "folder", photos, "--labels", photos / "labels.csv", "--json", "--name")

    process = subprocess.Popen([*command, "cut"], stdout=subprocess.DEVNULL)
    until = time.monotonic() + 300
    while process.poll() is None and time.monotonic() < until:
        if shards(home):
            os.kill(process.pid, signal.SIGKILL)
            break
        time.sleep(0.01)
    assert process.wait() == -signal.SIGKILL
    assert not (home / "tables" / "cut").exists()
    resumed, whole = (
        json.loads(subprocess.run([*command, name], stdout=subprocess.PIPE, check=True).stdout)
        for name in ("cut", "whole")
    )
    assert 30 <= resumed["resumed"] < 70 and whole["resumed"] == 0
    assert (whole["photos"], whole["faces"], whole["unmatched"]) == (70, 68, 386)
    assert sorted(whole["skipped"]) == [names[20], names[50]]
    assert "breaks off after 2,000 bytes" in whole["skipped"][names[20]]
    assert "No face was found" in whole["skipped"][names[50]]
    same(*(tables.open_table(home / "tables" / name) for name in ("cut", "whole")))
    for file in ("psi.npy", "labels.parquet", "stats.npz"):
        one, two = ((home / "tables" / name / file).read_bytes() for name in ("cut", "whole"))
        assert one == two, file
    assert {"gender", "party", "chamber"} <= set(whole["targets"])

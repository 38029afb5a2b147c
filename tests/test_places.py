"""Photos and tables on a real S3 server that runs here: what is there becomes the same table, and what is not there, or
may not be asked for, is a sentence."""

from __future__ import annotations

import ast
import io
import itertools
import json
import os
import pickle
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from urllib.request import Request, urlopen

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

from docs.make import reference
from img2tab_core import tables
from img2tab_core.base import files, places
from img2tab_core.base.engines import Engine, each
from img2tab_core.base.errors import Cancelled, Img2TabError, Unreachable
from img2tab_core.base.layout import StyleLayout
from img2tab_core.base.places import Remote, place_of
from img2tab_core.base.records import DEFAULT_BACKBONE, Target
from img2tab_core.base.shards import Shards
from img2tab_core.cli import tables as cli_tables
from img2tab_core.studio import Aligner
from img2tab_core.tables import brought, copies, sources
from img2tab_core.tables.importing import import_photos
from img2tab_core.tables.sources import celeba_source, folder_source
from tests import object_store
from tests.test_importing import align, toy

ROOT = Path(__file__).resolve().parents[1]
HIDDEN = "zq7-secret-of-nobody"
PHOTOS = place_of("s3://bucket/photos")
LABELS = place_of("s3://bucket/labels.csv")


@pytest.fixture(scope="module")
def server():
    with object_store.served() as store:
        yield store


@pytest.fixture
def store(server, tmp_path, monkeypatch):
    """The server with an empty bucket, and an environment that leads to it; a visitor's folder of its own."""
    server.begin_anew()
    for name in [name for name in os.environ if name.startswith(("AWS_", "GOOGLE_"))]:
        monkeypatch.delenv(name)
    for name, value in {
        "AWS_ENDPOINT_URL": server.address,
        "AWS_ACCESS_KEY_ID": "AKIANOBODY",
        "AWS_SECRET_ACCESS_KEY": HIDDEN,
        "AWS_CONFIG_FILE": str(tmp_path / "none"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
        "AWS_EC2_METADATA_DISABLED": "true",
        "IMG2TAB_HOME": str(tmp_path / "home"),
    }.items():
        monkeypatch.setenv(name, value)
    return server


@pytest.fixture
def folder(tmp_path, store):
    """70 toy photos with labels, in a folder and in the bucket."""
    place = tmp_path / "photos"
    (place / "more").mkdir(parents=True)
    names = [f"{'more/' if i % 3 == 0 else ''}{i:03d}.jpg" for i in range(70)]
    for i, name in enumerate(names):
        (place / name).write_bytes(str(i).encode())
        store.put(f"photos/{name}", str(i).encode())
    text = "\n".join(["image,smiling", *(f"{name},{i % 2}" for i, name in enumerate(names))])
    (tmp_path / "labels.csv").write_text(text)
    store.put("labels.csv", text.encode())
    store.put("photos/notes.txt", b"no photo")
    store.requests.clear()
    return place


@pytest.fixture
def typed(monkeypatch, store):
    """The verbs of `img2tab import` and `img2tab tables` with the toy backbone: words -> the result."""
    opened = type("Opened", (), {"aligner": lambda self, aligned: align, "backbone": lambda self, name: toy()})()
    monkeypatch.setattr(cli_tables, "studio", lambda: opened)

    def type_it(*words: object):
        app = cli_tables.import_app if words[0] == "import" else cli_tables.tables_app
        return CliRunner().invoke(app, [str(word) for word in words[1:]])

    return type_it


def asked(store, method: str) -> list[str]:
    return [path.removeprefix("/bucket/") for how, path in store.requests if how == method]


# --- names of places ---------------------------------------------------------------------------------


def test_2_kinds_of_stores_and_paths_of_this_computer_are_places(tmp_path):
    photo = place_of("s3://my-bucket/my photos/ä/1.JPG")
    assert photo == Remote("s3", "my-bucket", "my photos/ä/1.JPG") and str(photo) == "s3://my-bucket/my photos/ä/1.JPG"
    assert (photo.name, str(photo.parent), photo.parent / "2.jpg") == (
        "1.JPG",
        "s3://my-bucket/my photos/ä",
        place_of("s3://my-bucket/my photos/ä/2.jpg"),
    )
    assert place_of("gs://bucket/") == Remote("gs", "bucket") and place_of("gs://bucket").name == "bucket"
    assert place_of(str(tmp_path)) == tmp_path and place_of(Path("s3://bucket/x")) == Path("s3:/bucket/x")


@pytest.mark.parametrize(
    "text",
    [
        "http://bucket/x", "file:///etc/passwd", "s3://", f"s3://key:{HIDDEN}@bucket/x", "s3://bucket/../x", "s3:///x",
        "s3://bucket//x", "s3://bucket/a/./b", "s3://bucket/a\nb", "s3://BUCKET/x", "gs://bucket/x\\..\\y",
        "s3://bucket?endpoint_override=127.0.0.1/x", "s3://" + "b" * 64, f"s3://bucket/{'x' * 2000}",
    ],
)  # fmt: skip
def test_14_texts_that_are_no_place_are_each_1_sentence_that_repeats_no_secret(text):
    with pytest.raises(Img2TabError) as error:
        place_of(text)
    assert HIDDEN not in str(error.value) and "\n" not in str(error.value) and len(str(error.value)) < 400


@pytest.mark.parametrize(
    "address", ["127.0.0.1:9000", f"http://u:{HIDDEN}@127.0.0.1", "ftp://x", "http://x/y", "http://x?y"]
)
def test_5_addresses_of_servers_that_are_none_are_a_sentence_without_the_secret(store, monkeypatch, address):
    monkeypatch.setenv("AWS_ENDPOINT_URL", address)
    with pytest.raises(Img2TabError, match="AWS_ENDPOINT_URL must be an address") as error:
        places.size_of(PHOTOS)
    assert HIDDEN not in str(error.value)


def test_the_server_is_taken_from_1_of_3_places_and_the_profile_is_the_last(store, monkeypatch, tmp_path):
    (tmp_path / "config").write_text(f"[default]\nregion = x\n[profile lab]\nendpoint_url = {store.address}\n")
    for name, value in {"AWS_CONFIG_FILE": str(tmp_path / "config"), "AWS_PROFILE": "lab"}.items():
        monkeypatch.setenv(name, value)
    store.put("one", b"1")
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    assert places.size_of(place_of("s3://bucket/one")) == 1
    monkeypatch.setenv("AWS_ENDPOINT_URL", store.address)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(Unreachable, match=r"127\.0\.0\.1:1 gives no answer"):
        places.size_of(place_of("s3://bucket/one"))


# --- photos ------------------------------------------------------------------------------------------


def test_70_photos_and_their_labels_become_the_very_table_of_the_folder_listed_once_and_read_once(folder, store, typed):
    near = import_photos(folder_source(folder, folder.parent / "labels.csv", align=align), toy(), name="near").table
    answer = typed("import", "folder", PHOTOS, "--labels", LABELS, "--name", "far", "--json")
    assert answer.exit_code == 0, answer.output
    assert json.loads(answer.stdout)["origin"] == "s3://bucket/photos" and HIDDEN not in answer.output
    far = tables.open_table(files.home() / "tables" / "far")
    assert np.array_equal(far.psi, near.psi) and far.key == near.key and far.targets == near.targets
    pd.testing.assert_frame_equal(far.labels, near.labels)
    assert len([path for path in asked(store, "GET") if "list-type=2" in path]) == 1
    read = [path for path in asked(store, "GET") if path.startswith("photos/")]
    assert sorted(read) == sorted(f"photos/{name}" for name in far.labels["photo"]) and len(read) == 70
    assert {how for how, _ in store.requests} == {"GET", "HEAD"}
    assert not any(HIDDEN.encode() in file.read_bytes() for file in files.home().rglob("*") if file.is_file())


def test_of_1203_photos_on_2_pages_of_a_list_every_one_has_its_size_and_other_files_are_left_out(store):
    for i in range(1203):
        store.put(f"many/{i % 7}/{i:04d}.{('jpg', 'PNG', 'webp')[i % 3]}", b"x" * i)
    for name in ("many/labels.csv", "many/empty/", "many-others/0.jpg"):
        store.put(name, b"")
    sizes = places.listed(place_of("s3://bucket/many"), sources.PHOTO_ENDINGS)
    assert sizes == {f"{i % 7}/{i:04d}.{('jpg', 'PNG', 'webp')[i % 3]}": i for i in range(1203)}
    assert list(sizes) == sorted(sizes) and len(asked(store, "GET")) == 2
    assert places.listed(place_of("s3://bucket/many"), {".jpg"}, deep=False) == {}
    assert places.listed(place_of("s3://bucket/none"), {".jpg"}) == {}


def test_celeba_of_60_photos_in_a_bucket_keeps_its_split_and_has_the_mark_of_the_folder(store, tmp_path):
    names = [f"{i + 1:06d}.jpg" for i in range(60)]
    parts = "\n".join(f"{name} {0 if i < 40 else 1 if i < 50 else 2}" for i, name in enumerate(names))
    rows = [f"{name} {1 if i % 2 else -1:2d} {1 if i % 3 else -1:2d}" for i, name in enumerate(names)]
    content = {f"img_align_celeba/img_align_celeba/{name}": str(i).encode() for i, name in enumerate(names)}
    content["list_attr_celeba.txt"] = "\n".join(["60", "Male Young", *rows, ""]).encode()
    content["Eval/list_eval_partition.txt"] = parts.encode()
    for name, data in content.items():
        store.put(f"celeba/{name}", data)
        (tmp_path / "celeba" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "celeba" / name).write_bytes(data)
    far, near = (celeba_source(place, align=align) for place in (place_of("s3://bucket/celeba"), tmp_path / "celeba"))
    assert far.mark == near.mark and far.names == near.names and far.targets == near.targets
    assert np.bincount(far.split).tolist() == [40, 10, 10] and np.array_equal(far.load(59)[0], align(b"59")[0])
    with pytest.raises(Img2TabError, match="There are no photos img_align_celeba"):
        celeba_source(PHOTOS, align=align)


def test_a_source_in_a_bucket_is_read_in_another_process_too(store):
    for i in range(20):
        picture = io.BytesIO()
        Image.new("RGB", (80, 90), (i, 2, 3)).save(picture, "PNG")
        store.put(f"real/{i:02d}\N{NARROW NO-BREAK SPACE}PM.png", picture.getvalue())  # as macOS names a picture
    rows = "".join(f"{i:02d}\N{NARROW NO-BREAK SPACE}PM.png,{i % 2}\n" for i in range(20))
    store.put("real.csv", f"image,odd\n{rows}".encode())
    source = folder_source(place_of("s3://bucket/real"), place_of("s3://bucket/real.csv"), align=Aligner(aligned=True))
    assert HIDDEN.encode() not in pickle.dumps(source)
    # a program of its own: the processes of `multiprocessing` begin with the main script, which a page's test replaces
    reads = (
        "import pickle, sys; face, count = pickle.load(sys.stdin.buffer)(7); "
        "print(face.shape, count, face.max(axis=(0, 1)).tolist())"
    )
    command = [sys.executable, "-c", reads]
    read = subprocess.run(command, input=pickle.dumps(source.load), cwd=ROOT, capture_output=True)
    assert (read.stdout.decode(), read.stderr.decode()) == ("(256, 256, 3) 1 [7, 2, 3]\n", "")


def test_3_photos_of_a_bucket_are_encoded_to_the_very_codes_of_the_folder(store, tmp_path, studio):
    for i, face in enumerate(studio.samples()[:3]):
        picture = io.BytesIO()
        Image.fromarray(face.pixels).save(picture, "PNG")
        (tmp_path / f"{i}.png").write_bytes(picture.getvalue())
        store.put(f"faces/{i}.png", picture.getvalue())
    for place, out in ((tmp_path, "near"), ("s3://bucket/faces", "far"), ("s3://bucket/faces/1.png", "alone")):
        words = ["encode", str(place), "--no-align", "--out", str(tmp_path / f"{out}.npz")]
        answer = CliRunner().invoke(reference.app(), words)
        assert answer.exit_code == 0, answer.output
    near, far, alone = (np.load(tmp_path / f"{name}.npz") for name in ("near", "far", "alone"))
    assert np.array_equal(near["psi"], far["psi"]) and far["psi"].shape[0] == 3 and alone["psi"].shape[0] == 1
    assert far["photos"].tolist() == [f"s3://bucket/faces/{i}.png" for i in range(3)]
    nobody = CliRunner().invoke(reference.app(), ["encode", "s3://bucket/none", "--out", str(tmp_path / "x.npz")])
    assert nobody.exit_code == 1 and "There is no photo in what was given" in nobody.output


def test_3_photos_that_are_gone_too_large_or_called_as_no_file_may_be_are_skipped_with_their_reason(folder, store):
    for name in ("../up.jpg", "/empty.jpg"):
        store.put(f"photos/{name}", b"1")
    store.put("photos/large.jpg", bytes(30_000_001))
    store.put("photos/gone.jpg", b"1")
    source = folder_source(PHOTOS, LABELS, align=align)
    store.remove("photos/gone.jpg")
    facts = import_photos(source, toy(), name="mine").facts
    assert (facts.photos, len(facts.skipped)) == (74, 4)
    assert facts.skipped["gone.jpg"] == "There is no file s3://bucket/photos/gone.jpg. Check the path."
    assert "must be at most 30 MB, got 30.0 MB" in facts.skipped["large.jpg"]
    assert all("without '.', '..' or empty parts" in facts.skipped[name] for name in ("../up.jpg", "/empty.jpg"))


# --- what a store answers when it does not -----------------------------------------------------------


def test_a_missing_bucket_keys_that_may_not_and_a_closed_door_are_1_sentence_each_and_nothing_is_skipped(
    folder, store, typed, monkeypatch
):
    def sentence(*words: object) -> str:
        answer = typed("import", "folder", *words, "--name", "mine")
        assert answer.exit_code == 1 and len(answer.output.splitlines()) == 1 and HIDDEN not in answer.output
        return answer.output.strip()

    host = store.address.removeprefix("http://")
    assert sentence("s3://nowhere/photos", "--labels", LABELS) == (
        f"There is no bucket s3://nowhere at {host}. Check its name, and AWS_ENDPOINT_URL, which says where the server "
        "is."
    )
    assert "There is no file s3://bucket/no.csv" in sentence(PHOTOS, "--labels", "s3://bucket/no.csv")
    assert "There is no photo in s3://bucket/none" in sentence("s3://bucket/none", "--labels", LABELS)
    store.ask_for_keys(True)
    assert sentence(PHOTOS, "--labels", LABELS) == (
        f"{host} refuses s3://bucket/photos to the credentials in AWS_ACCESS_KEY_ID (INVALID_ACCESS_KEY_ID). Set "
        "others: AWS_ACCESS_KEY_ID with AWS_SECRET_ACCESS_KEY, or a profile of ~/.aws in AWS_PROFILE."
    )
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    with pytest.raises(Unreachable, match=r"refuses .* to who brings no credentials \(ACCESS_DENIED\)"):
        places.read(PHOTOS / "001.jpg", most=100)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        closed = f"127.0.0.1:{taken.getsockname()[1]}"
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{closed}")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "2")
    assert f"{closed} gives no answer about s3://bucket/photos (Could not connect to server). Check the network" in (
        sentence(PHOTOS, "--labels", LABELS)
    )
    assert not (files.home() / "imports").exists() or list((files.home() / "imports").glob("[!.]*")) == []


def test_of_3_photos_1_meets_a_busy_server_1_a_cut_line_1_half_an_answer_and_all_are_read(folder, store):
    ends = {"photos/001.jpg": "busy", "photos/002.jpg": "cut", "photos/004.jpg": "half"}
    store.put("photos/004.jpg", b"4" * 1000)
    store.spoil = lambda method, path: ends.pop(path.removeprefix("/bucket/"), "") if method == "GET" else ""
    read = [places.read(PHOTOS / name, most=1000) for name in ("001.jpg", "002.jpg", "004.jpg")]
    assert read == [b"1", b"2", b"4" * 1000] and not ends
    assert len([path for path in asked(store, "GET") if path.startswith("photos/")]) == 6


def test_a_store_that_is_gone_after_40_photos_ends_the_import_without_a_table_and_it_goes_on_when_it_is_back(
    folder, store, monkeypatch
):
    near = import_photos(folder_source(folder, folder.parent / "labels.csv", align=align), toy(), name="near").table
    source = folder_source(PHOTOS, LABELS, align=align)
    names = {f"/bucket/photos/{name}" for name in source.names[40:]}
    store.spoil = lambda method, path: "cut" if path in names else ""
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "2")
    with pytest.raises(Unreachable, match=r"gives no answer .* run the same command again\. What is done is kept\."):
        import_photos(source, toy(), name="far")
    assert not (files.home() / "tables" / "far").exists()
    store.spoil = lambda method, path: ""
    imported = import_photos(source, toy(), name="far")
    assert imported.resumed == 32 and not imported.facts.skipped and imported.table.key == near.key


def test_2_workers_read_70_photos_of_a_bucket_and_end_with_the_same_sentence_when_it_is_gone(
    folder, store, tmp_path, monkeypatch
):
    sizes, parts = places.listed(PHOTOS, {".jpg"}), [range(35), range(35, 70)]
    work = object_store.Reading(tuple(PHOTOS / name for name in sizes))
    shards = Shards(tmp_path / "shards", "there")
    assert each(work, parts, shards, engine=Engine(workers=2))
    assert [size for part in parts for size in shards.read(part)["sizes"]] == list(sizes.values())
    store.spoil = lambda method, path: "cut"
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(Unreachable, match="gives no answer about s3://bucket/photos"):
        each(work, parts, Shards(tmp_path / "others", "gone"), engine=Engine(workers=2))


# --- tables ------------------------------------------------------------------------------------------

COPY = place_of("s3://bucket/tables/mine")
LAYOUT = StyleLayout((3, 4))


def written(name: str, *, seed: int = 0, faces: int = 60, layout: StyleLayout = LAYOUT) -> dict[str, bytes]:
    """A table of this name; its files."""
    noise, place = np.random.default_rng(seed), files.home() / "tables" / name
    tables.write_table(
        place,
        lambda rows: noise.normal(size=(len(range(faces)[rows]), layout.total)).astype(np.float32),
        pd.DataFrame({"odd": (np.arange(faces) % 2).astype(np.int8)}),
        targets=[Target("odd", "Odd", ("even", "odd"), "by hand")],
        layout=layout,
        backbone=DEFAULT_BACKBONE,
        key=f"key {seed}",
    )
    return content_of(name)


def content_of(name: str) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted((files.home() / "tables" / name).iterdir())}


@pytest.mark.parametrize("there", ["s3", "disk"])
def test_a_table_of_4_files_goes_there_and_back_byte_for_byte_and_a_second_time_nothing_moves(
    store, tmp_path, typed, there
):
    before, place = written("mine"), COPY if there == "s3" else tmp_path / "disk" / "mine"
    answer = typed("tables", "copy", "mine", place)
    assert answer.exit_code == 0 and "Table mine is copied: to " in answer.output, answer.output
    back = json.loads(typed("tables", "copy", f"{place}/", "again", "--json").stdout)
    size = sum(map(len, before.values()))
    assert content_of("again") == before and (back["size"], back["moved"], back["was_there"]) == (size, size, False)
    for words in (("mine", place), (place, "again"), (place,)):
        answer = typed("tables", "copy", *words)
        assert answer.exit_code == 0 and "was there already" in answer.output
    assert list((files.home() / "copies").iterdir()) == [] and tables.open_table(files.home() / "tables" / "again")
    if there == "s3":
        sent = [path.partition("?")[0] for path in asked(store, "PUT")]
        assert sent[-1] == "tables/mine/copy.json" and len(sent) == 5  # what makes it a copy comes last


def test_5_ways_to_ask_for_what_is_no_copy_are_a_sentence(store, typed):
    written("mine")
    for words, sentence in (
        (("mine", "other"), "a place has a slash in it"),
        ((COPY, "s3://bucket/x"), "a place has a slash in it"),
        ((COPY,), "There is no whole copy of a table at s3://bucket/tables/mine: it has no copy.json"),
        (("none", COPY), "There is no table named 'none'"),
        (("s3://bucket/default",), "and not `default`"),
    ):
        answer = typed("tables", "copy", *words)
        assert answer.exit_code == 1 and sentence in answer.output and len(answer.output.splitlines()) == 1


def test_another_table_is_replaced_only_anew_there_and_here_and_its_4_files_go_from_the_bucket(store):
    first = written("mine")
    copies.copy_out("mine", COPY)
    second = written("mine", seed=1)
    with pytest.raises(Img2TabError, match="a copy of another table at s3://bucket/tables/mine"):
        copies.copy_out("mine", COPY)
    with pytest.raises(Img2TabError, match="another table 'mine' here"):
        copies.copy_in(COPY, "mine")
    assert copies.copy_in(COPY, "old").moved and content_of("old") == first
    copies.copy_out("mine", COPY, anew=True)
    copies.copy_in(COPY, "old", anew=True)
    assert content_of("old") == second
    assert len(places.listed(COPY, {".npy", ".npz", ".parquet", ".json"})) == 5


def test_of_2_copies_the_old_one_counts_until_the_new_one_is_whole(store, monkeypatch):
    first = written("mine")
    copies.copy_out("mine", COPY)
    second = written("mine", seed=1)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "2")
    store.spoil = lambda method, path: "cut" if method == "PUT" and "labels.parquet" in path else ""
    with pytest.raises(Unreachable, match="gives no answer"):
        copies.copy_out("mine", COPY, anew=True)
    store.spoil = lambda method, path: ""
    copies.copy_in(COPY, "back")
    assert content_of("back") == first
    store.requests.clear()
    copies.copy_out("mine", COPY, anew=True)
    assert not any("psi.npy" in path for path in asked(store, "PUT"))  # it was there and whole
    copies.copy_in(COPY, "back", anew=True)
    assert content_of("back") == second


def flipped(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


@pytest.mark.parametrize(
    ("name", "harm", "sentence"),
    [
        ("psi.npy", flipped, "psi.npy is damaged: its bytes are not those"),
        ("psi.npy", lambda data: data[:-4], "psi.npy must have 1,808 bytes, got 1804"),
        ("labels.parquet", lambda data: None, "labels.parquet must have"),
        ("table.json", lambda data: data.replace(b"odd", b"ood"), "table.json is damaged"),
        ("copy.json", lambda data: None, "has no copy.json"),
        ("copy.json", lambda data: data[:99], "copy.json is damaged"),
        ("copy.json", lambda data: data.replace(b"psi.npy", b"../../x"), "copy.json is damaged"),
        ("copy.json", lambda data: data.replace(b"1808", b"1809"), "copy.json is damaged"),
        ("copy.json", lambda data: data.replace(b"1808", b"-1"), "copy.json is damaged"),
        ("copy.json", lambda data: b"[" * 5000, "copy.json is damaged"),
        ("copy.json", lambda data: b" " * 1_000_001, "copy.json must be at most 1 MB"),
    ],
)
def test_11_kinds_of_damaged_and_half_copies_are_refused_and_leave_no_table(store, name, harm, sentence):
    written("mine")
    copies.copy_out("mine", COPY)
    key = next(key for key in places.listed(COPY, {Path(name).suffix}) if key.endswith(name))
    data = harm(places.read(COPY / key, most=10**6))
    if data is None:
        store.remove(f"tables/mine/{key}")
    else:
        store.put(f"tables/mine/{key}", data)
    with pytest.raises(Img2TabError) as error:
        copies.copy_in(COPY, "back")
    assert sentence in str(error.value), error.value
    assert not (files.home() / "tables" / "back").exists()
    assert {file.name for file in files.home().rglob("*") if file.is_file()} <= {
        *copies.FILES, copies.RECORD, ".back.lock"
    }  # fmt: skip
    if name != "copy.json":  # the same command mends what is there
        copies.copy_out("mine", COPY)
        assert copies.copy_in(COPY, "back").name == "back"


def test_a_copy_whose_4_digests_fit_and_that_is_no_table_does_not_become_one(store, tmp_path):
    place, data = tmp_path / "disk", b"nothing"
    digest = "1785cfc3bc6ac7738e8b38cdccd1af12563c2b9070e07af336a1bf8c0f772b6a"
    record = copies._Record({name: copies._File(len(data), digest) for name in copies.FILES})
    for name in copies.FILES:
        places.put_bytes(data, place / record.folder / name)
    places.put_bytes(copies._written(record), place / copies.RECORD)
    with pytest.raises(Img2TabError, match="is whole and is no table that opens here"):
        copies.copy_in(place, "back")
    assert list((files.home() / "tables").iterdir()) == []


def at_the(number: int):
    """Says yes when it is asked for the so manieth time."""
    times = itertools.count(1)
    return lambda: next(times) == number


def test_stopped_after_4_blocks_either_way_it_goes_on_and_no_byte_here_is_fetched_twice(store, monkeypatch):
    before = written("mine")
    monkeypatch.setattr(places, "BLOCK", 500)
    for work in (lambda stopped: copies.copy_out("mine", COPY, stopped=stopped),
                 lambda stopped: copies.copy_in(COPY, "back", stopped=stopped)):  # fmt: skip
        with pytest.raises(Cancelled, match=r"what is copied is kept, .* Run the same command again"):
            work(at_the(4))
        assert not (files.home() / "tables" / "back").exists()
        copied = work(None)
    size = sum(map(len, before.values()))
    assert content_of("back") == before and size - 1500 >= copied.moved >= size - 2500


def test_killed_within_8_of_21_mb_a_copy_goes_on_from_there_to_the_same_bytes(store):
    before = written("mine", faces=800, layout=StyleLayout((6752,)))
    copies.copy_out("mine", COPY)
    store.requests.clear()
    hold = [True]
    store.spoil = lambda method, path: (
        "wait"
        if hold and method == "GET" and len([path for path in asked(store, "GET") if "psi.npy" in path]) > 1
        else ""
    )
    command = [sys.executable, "-m", "img2tab_core.cli.main", "tables", "copy", str(COPY), "back"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    part = files.home() / "copies" / "back" / "psi.npy"
    until = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < until and not (part.exists() and part.stat().st_size):
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    hold.clear()
    here = part.stat().st_size
    assert 0 < here <= places.BLOCK and not (files.home() / "tables" / "back").exists()
    copied = copies.copy_in(COPY, "back")
    assert copied.moved == copied.size - here and content_of("back") == before


# --- who may name a store ----------------------------------------------------------------------------


def test_2_ways_to_slip_a_store_to_a_page_ask_no_server(store, folder):
    with pytest.raises(Img2TabError, match="There is no folder"):
        brought.bring_folder("mine", Path("s3://bucket/photos"), b"image,a\n", backbone="toy")
    planted = brought.Brought("mine", "toy", "s3://bucket/photos", aligned=False)
    with pytest.raises(Img2TabError, match="There is no folder"):
        brought.source_of(planted, align)
    assert store.requests == []


def test_only_the_terminal_makes_a_place_of_a_text_and_no_page_knows_of_stores():
    """Where the source names `place_of`, or what copies tables."""
    named: dict[str, set[str]] = {"place_of": set(), "Remote": set(), "copies": set()}
    for file in [*(ROOT / "img2tab_core").rglob("*.py"), *(ROOT / "dashboard").rglob("*.py")]:
        text = file.read_text()
        for node in ast.walk(ast.parse(text)) if any(word in text for word in named) else ():
            words = [alias.name for alias in node.names] if isinstance(node, ast.ImportFrom) else []
            if isinstance(node, ast.Call):
                words = [getattr(node.func, "id", "")]
            for word in named.keys() & set(words):
                named[word].add(file.relative_to(ROOT).as_posix())
    assert all(name.startswith("img2tab_core/cli/") for name in named["place_of"]) and named["place_of"]
    assert named["Remote"] == {"img2tab_core/base/places.py"} and named["copies"] == {"img2tab_core/cli/tables.py"}


# --- gs ----------------------------------------------------------------------------------------------


def test_20_photos_and_a_table_go_through_google_cloud_storage_in_the_same_way(store, monkeypatch):
    program = shutil.which("fake-gcs-server")
    if program is None:
        pytest.skip("fake-gcs-server is not installed (github.com/fsouza/fake-gcs-server)")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
    port = address.rpartition(":")[2]
    words = ["-scheme", "http", "-host", "127.0.0.1", "-port", port, "-public-host", address, "-backend", "memory"]
    process = subprocess.Popen([program, *words, "-log-level", "error"])
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", address)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "2")
    try:
        for _ in range(100):
            with suppress(OSError):
                request = Request(f"http://{address}/storage/v1/b?project=p", data=b'{"name": "bucket"}')
                request.add_header("Content-Type", "application/json")
                urlopen(request).read()
                break
            time.sleep(0.1)
        photos = place_of("gs://bucket/photos")
        for i in range(20):
            places.put_bytes(str(i).encode(), photos / f"{i:02d}.jpg")
        labels = b"image,odd\n" + b"".join(b"%02d.jpg,%d\n" % (i, i % 2) for i in range(20))
        places.put_bytes(labels, photos.parent / "labels.csv")
        source = folder_source(photos, photos.parent / "labels.csv", align=align)
        assert len(source.names) == 20 and np.array_equal(source.load(7)[0], align(b"7")[0])
        before, place = written("mine"), place_of("gs://bucket/tables/mine")
        assert copies.copy_out("mine", place).moved == sum(map(len, before.values()))
        copies.copy_in(place, "back")
        assert content_of("back") == before
        with pytest.raises(Unreachable, match="There is no bucket gs://nowhere"):
            places.listed(place_of("gs://nowhere/x"), {".jpg"})
        with pytest.raises(Img2TabError, match="There is no file gs://bucket/none"):
            places.read(place_of("gs://bucket/none"), most=9)
    finally:
        process.kill()
        process.wait()
    with pytest.raises(Unreachable, match=r"gives no answer .*\(Could not connect to server\)"):
        places.listed(photos, {".jpg"})

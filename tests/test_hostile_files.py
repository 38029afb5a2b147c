"""Files made to harm: every door gives a value or a sentence, nothing in a file runs, no name leads anywhere else."""

from __future__ import annotations

import ast
import gzip
import io
import json
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from dashboard.state import own_models
from img2tab_core import tables, weights
from img2tab_core.backbones.backbone import add_backbone, open_backbone
from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.foreign import inside, not_led_out, parsed_json, read_arrays
from img2tab_core.classifiers import cbm_trial, kinds, models, runs
from img2tab_core.classifiers.trainer import Trainer
from img2tab_core.concepts.description import open_description
from img2tab_core.faces import marks
from img2tab_core.faces.photos import read_photo
from img2tab_core.reports import evidence
from img2tab_core.reports import page as report_page
from img2tab_core.sessions.shared_exclusions import read_exclusions
from img2tab_core.tables import brought, code_files, label_files
from img2tab_core.tables.imports import checked_name
from tests import hostile_files as hostile

ROOT = Path(__file__).resolve().parents[1]
LIE = {"dtype": "F32", "shape": [9], "data_offsets": [0, 4]}
FEW = settings(max_examples=150, derandomize=True, deadline=None, database=None)
NAMES = ("../../x", "/etc/passwd", "a\0b", "x" * 5000, "CON", "a\nb", "..", ".", "", "\ud800", "a/../../b", "..\\x")


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    """A visitor's folder with the table toy, in a folder in which nothing else may appear."""
    own = tmp_path / "home"
    (own / "tables" / "toy").mkdir(parents=True)
    for name, data in hostile.table()[0].items():
        (own / "tables" / "toy" / name).write_bytes(data)
    monkeypatch.setenv("IMG2TAB_HOME", str(own))
    return own


def refusal(act, *arguments, **options) -> str:
    with pytest.raises(Img2TabError) as caught:
        act(*arguments, **options)
    text = str(caught.value)
    assert text.isprintable() and len(text) < 700 and not hostile.TECHNICAL.search(text), text
    return text


# --- many ----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_2000_seeded_files_of_19_kinds_give_a_value_or_a_sentence_within_5_s_and_1000_mb():
    rows = list(hostile.opened(2000, seed=1))
    assert len(rows) == 2000 and {row[1] for row in rows} == set(hostile.KINDS)
    assert not [row for row in rows if row[2] == "failed"], hostile.report(rows)
    assert sum(row[2] == "read" for row in rows) > 200 and sum(row[2] == "refused" for row in rows) > 1000


def test_a_seed_and_a_number_give_the_same_30_files_again():
    assert [hostile.made(number, 7) for number in range(30)] == [hostile.made(number, 7) for number in range(30)]


# --- label files ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"image,a\n1.jpg,\x001\n", "NUL bytes"),
        (hostile.CSV[0].decode().encode("utf-16"), "a text file in UTF-16"),
        (b"image" + b"," * 10_000_000 + b"\n", "at most 2,000 columns"),
        (b"image,a\n1.jpg" + b"," * 10_000_000 + b"\n", "at most 2,000 columns"),
        (b"image,a\n1.jpg,1\n\n" + b"," * 10_000_000 + b"\n", "at most 2,000 columns"),
        (b"image" + b",a" * 2001 + b"\n" + b"1," * 2001 + b"1\n", "at most 2,000 columns, got 2,002"),
        (b"2\n" + b"a " * 2001 + b"\n1.jpg 1\n2.jpg 1\n", "at most 2,000 columns, got 2,001"),
        (gzip.compress(hostile.CSV[0]), "a gzip archive"),
        (hostile.archive({"[Content_Types].xml": b""}), "an Office document"),
        (hostile.png(64, 64, hostile._zeros(99)), "a PNG picture"),
        (b"PAR1" + bytes(99), "a Parquet file"),
        (b"image,a\n1.jpg,\xff\n", "UTF-8"),
        (b"9" * 5000 + b"\nmale smiling\n1.jpg 1 -1\n", "Add the labels|header line|predicted|cells"),
    ],
)
def test_13_label_files_are_each_a_sentence_that_says_what_they_are_in_less_than_5_s(tmp_path, data, words):
    for name in ("labels.csv", "labels.csv.gz"):  # what a name says is not believed
        (tmp_path / name).write_bytes(data)
        began = time.process_time()
        hostile._peak(again=True)
        before = hostile._peak()
        with pytest.raises(Img2TabError, match=words):
            label_files.read_labels(tmp_path / name)
        assert time.process_time() - began < hostile.SECONDS and hostile._peak() - before < hostile.MEGABYTES
        assert refusal(label_files.read_labels, tmp_path / name).startswith(f"{name} must")


def test_a_text_whose_first_column_is_called_as_4_kinds_of_file_begin_is_a_text(tmp_path):
    for first in ("BMI", "GIF89a", "PAR1", "BZh"):
        (tmp_path / "labels.csv").write_text(
            f"{first},image,smiling\n" + "".join(f"é,{n}.jpg,{n % 2}\n" for n in range(2000))
        )
        assert label_files.read_labels(tmp_path / "labels.csv").targets[0].name == "smiling"


def test_a_byte_order_mark_is_left_out_and_3_formulas_are_text(tmp_path):
    rows = [f'{n}.jpg,{n % 2},"{cell}"' for n, cell in enumerate(["=1+1", "@SUM(A1)", "=cmd|' /C calc'!A0"] * 10)]
    (tmp_path / "labels.csv").write_text("\ufeffimage,smiling,note\n" + "\n".join(rows), encoding="utf-8")
    labels = label_files.read_labels(tmp_path / "labels.csv", against_rest=True)
    assert labels.names[0] == "0.jpg" and labels.columns["smiling"].tolist() == [0, 1] * 15
    assert {target.title for target in labels.targets} >= {"Note: =1+1", "Note: @SUM(A1)"}


@FEW
@given(
    st.lists(st.lists(st.text(max_size=12) | st.sampled_from(["0", "1", "yes", "=1", '"']), max_size=4), max_size=12)
)
def test_150_texts_of_rows_and_cells_are_read_as_labels_or_are_a_sentence(tmp_path_factory, rows):
    file = tmp_path_factory.mktemp("labels") / "labels.csv"
    file.write_text("\n".join(",".join(row) for row in rows), encoding="utf-8", errors="replace")
    try:
        labels = label_files.read_labels(file)
        assert labels.targets and len(labels.columns) == len(labels.names)
    except Img2TabError as error:
        assert len(str(error)) < 700


# --- JSON ----------------------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@FEW
@given(
    st.dictionaries(st.sampled_from(list(json.loads(hostile._exclusions()[0]["exclusions.json"]))), JSON, max_size=4)
)
def test_150_lists_with_other_values_are_exclusions_or_a_sentence(other):
    content = json.loads(hostile._exclusions()[0]["exclusions.json"]) | other
    try:
        assert read_exclusions(json.dumps(content).encode(), channels=7).classifier
    except Img2TabError as error:
        assert len(str(error)) < 700


@pytest.mark.parametrize("deep", [201, 5000, 1_000_000])
@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
def test_json_of_3_depths_is_a_sentence_at_3_doors(home, deep, opening):
    bomb = opening * deep + b"1" + {b"[": b"]", b'{"a":': b"}"}[opening] * deep
    assert "nested too deeply" in refusal(read_exclusions, bomb)
    (home / "names.json").write_bytes(bomb)
    (home / "tables" / "toy" / "table.json").write_bytes(bomb)
    assert "nested too deeply" in refusal(tables.open_table, home / "tables" / "toy")
    assert hostile.outcome("names", {"names.json": bomb}, "names.json")[0] == "refused"


@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity", "1e999", "9" * 5000, "9" * 400])
def test_a_number_that_is_none_or_too_large_is_no_channel_and_no_seed_in_6_lists(word):
    text = hostile._exclusions()[0]["exclusions.json"].decode()
    for field, value in (('"seed": 0', f'"seed": {word}'), ("[1, 5]", f"[1, {word}]")):
        assert refusal(read_exclusions, text.replace(field, value).encode())
    if word not in ("1e999", "9" * 400):  # which JSON has
        with pytest.raises(ValueError, match="it"):
            parsed_json(word)


# --- arrays and models ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "make", "words"),
    [
        ("c.npy", lambda place: hostile.claimed("(1000000000000, 7)", "'<f4'"), "whole .npy file"),
        ("c.npy", lambda place: hostile._npy(np.array([hostile.Runs(place)], object)), "whole .npy file"),
        ("c.npz", lambda place: hostile.bomb(), r"unpacks to 300 MB, 1,\d+ times its own size"),
        ("c.npz", lambda place: hostile.archive({"psi.npy": hostile.claimed("(10**13, 7)", "'<f4'")}), "whole .npz"),
        ("c.npz", lambda place: hostile.archive({"a.npy": hostile.claimed("(9999999999999, 7)", "'<f4'")}), "whole"),
        ("c.pt", lambda place: hostile._pt(hostile.Runs(place)), "Python objects, which could run"),
        ("c.pt", lambda place: hostile._pt({"state_dict": hostile.Runs(place)}), "Python objects, which could run"),
        ("c.pt", lambda place: hostile.archive({"a/data.pkl": bytes(10**8)}, packed=True), "truncated or damaged"),
        ("c.pt", lambda place: hostile._pt(torch.zeros(1, 7).expand(10**9, 7)), "damaged"),
        ("c.npy", lambda place: hostile.codes()[4]["codes.pt"], r"is a PyTorch file, .* Name it c\.pt"),
        ("c.pt", lambda place: hostile.codes()[0]["codes.npy"], r"is a NumPy array, .* Name it c\.npy"),
        ("c.npy", lambda place: hostile.pictures()[0]["photo.jpg"], "got a JPEG picture"),
        ("c.safetensors", lambda place: hostile.tensors({"a": LIE}), "must be a safetensors file"),
        ("c.safetensors", lambda place: b"\xff\xff\xff\xff\0\0\0\0{" + bytes(99), "must be a safetensors file"),
    ],
)  # fmt: skip
def test_14_files_of_codes_are_each_a_sentence_within_1000_mb_and_none_runs_what_is_in_it(tmp_path, name, make, words):
    (tmp_path / name).write_bytes(make(tmp_path / "ran"))
    hostile._peak(again=True)
    before = hostile._peak()
    with pytest.raises(Img2TabError, match=words):
        code_files.open_codes(tmp_path / name, total=7, backbone="toy")
    refusal(code_files.open_codes, tmp_path / name, total=7, backbone="toy")
    assert not (tmp_path / "ran").exists() and hostile._peak() - before < hostile.MEGABYTES
    if name == "c.pt":
        with pytest.raises(Img2TabError, match=r"could run code|damaged|must hold|got a NumPy array"):
            weights.open_checkpoint(tmp_path / name)
    assert not (tmp_path / "ran").exists()


def test_2_names_in_an_archive_that_lead_elsewhere_are_only_names(tmp_path):
    members = {"../../mean.npy": hostile._npy(np.ones(7)), "/etc/std.npy": hostile._npy(np.ones(7))}
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "s.npz").write_bytes(hostile.archive(members))
    assert set(read_arrays(tmp_path / "a" / "b" / "s.npz")) == {"../../mean", "/etc/std"}
    assert "no mean and std" in refusal(code_files.read_scaler, tmp_path / "a" / "b" / "s.npz", 7)
    assert sorted(file.name for file in tmp_path.rglob("*")) == ["a", "b", "s.npz"]


@pytest.mark.parametrize("place", ["../../etc/passwd", "/etc/passwd", "..\\x"])
def test_weights_of_an_onnx_file_that_lie_at_3_places_outside_are_not_opened(tmp_path, place):
    w = hostile.onnx_writer
    graph = w.graph(
        [w.node("MatMul", ["x", "w"], ["y"])], [w.value("x", ["n", 3])], [w.value("y", None)], [w.external(place, "w")]
    )
    (tmp_path / "c.onnx").write_bytes(w.model(graph))
    sentence = refusal(models.examined, tmp_path / "c.onnx", "mine", models.Wishes(), np.zeros((1, 8, 8, 3), np.uint8))
    assert "outside its own folder: such a file is not opened" in sentence  # fmt: skip


def test_a_catboost_file_of_2000_random_bytes_is_tried_in_a_process_and_a_sentence(home, tmp_path, monkeypatch):
    files = dict(hostile.classifiers()["catboost"])
    (home / "opened.json").unlink(missing_ok=True)  # where this test is the first to ask for them, they were made here
    for name, data in (hostile._signed(files | {"model.cbm": b"CBM1" + np.random.default_rng(0).bytes(2000)})).items():
        (tmp_path / name).write_bytes(data)
    monkeypatch.setattr(cbm_trial, "_known", set())
    assert "damaged (CatBoost cannot open it)" in refusal(kinds.load, tmp_path)
    assert not (home / "opened.json").exists()
    (tmp_path / "model.cbm").write_bytes(files["model.cbm"])
    (tmp_path / "model.json").write_bytes(files["model.json"])
    model = kinds.load(tmp_path)  # a good one is tried once, and then known
    assert len(json.loads((home / "opened.json").read_text())["opened"]) == 1
    monkeypatch.setattr(cbm_trial.subprocess, "run", None)
    codes = np.zeros((2, hostile.CHANNELS), np.float32)
    assert np.array_equal(kinds.load(tmp_path).predict_proba(codes), model.predict_proba(codes))


@pytest.mark.parametrize(
    ("line", "other"),
    [("left_child=", "left_child=9 "), ("split_feature=", "split_feature=999 "), ("num_leaves=", "num_leaves=4000000 "),
     ("leaf_value=", "leaf_value="), ("num_cat=0", "num_cat=3"), ("decision_type=", "decision_type=1 "),
     ("max_feature_idx=6", "max_feature_idx=-1")],
)  # fmt: skip
def test_7_forged_lines_of_lightgbms_trees_are_a_sentence_and_never_reach_it(tmp_path, line, other):
    files = dict(hostile.classifiers()["lightgbm"])
    forged = []
    for each in files["model.txt"].decode().splitlines():
        rest = each.removeprefix(line)
        forged.append(other + rest.partition(" ")[2] if each.startswith(line) else each)
    for name, data in hostile._signed(files | {"model.txt": "\n".join(forged).encode()}).items():
        (tmp_path / name).write_bytes(data)
    assert "is damaged" in refusal(kinds.load, tmp_path)


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"stages": 10**400}, "between 1 and 100"),
        ({"stages": 100, "units": 1024}, "its network is larger than its file"),
    ],
)
def test_2_records_that_ask_for_a_network_larger_than_its_file_make_none(tmp_path, params, words):
    files = dict(hostile.classifiers()["tabnet"])
    record = json.loads(files["model.json"])
    record["params"] |= params
    for name, data in (files | {"model.json": json.dumps(record).encode()}).items():
        (tmp_path / name).write_bytes(data)
    hostile._peak(again=True)
    before = hostile._peak()
    assert words in refusal(kinds.load, tmp_path) and hostile._peak() - before < 100


def test_a_report_whose_text_no_parser_takes_is_a_sentence_after_300000_openings(tmp_path):
    for part in ("<![", "<!--", "<a ", "</", "&#"):
        (tmp_path / "report.html").write_text(part * 300_000)
        began = time.process_time()
        assert "carries no evidence" in refusal(evidence.verify, tmp_path / "report.html")
        assert time.process_time() - began < hostile.SECONDS


# --- pictures ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("colour", "depth", "bytes_each"), [(0, 16, 2), (6, 8, 4), (4, 8, 2)])
def test_a_picture_of_60_million_pixels_of_any_of_3_depths_takes_less_than_1000_mb_and_5_s(colour, depth, bytes_each):
    data = hostile.png(7740, 7740, hostile._zeros(7740 * (1 + 7740 * bytes_each)), depth=depth, colour=colour)
    began = time.process_time()
    hostile._peak(again=True)
    before = hostile._peak()
    assert read_photo(data).shape == (7740, 7740, 3)
    assert hostile._peak() - before < hostile.MEGABYTES and time.process_time() - began < hostile.SECONDS


def test_of_a_photo_with_4_planted_marks_none_is_in_a_picture_or_page_that_leaves():
    secret, exif = "Zq7-secret-place", Image.Exif()
    exif[0x010E], exif[0x9286] = secret, secret
    exif.get_ifd(0x8825).update({1: "N", 2: (52.0, 31.0, 12.34), 3: "E", 4: (13.0, 24.0, 17.5), 29: secret})
    text = PngInfo()
    text.add_itxt("Comment", secret)
    face = Image.fromarray(np.random.default_rng(0).integers(0, 256, (128, 128, 3), np.uint8))
    brought_in = []
    for kind, options in (
        ("JPEG", {"exif": exif, "comment": secret, "xmp": secret.encode(), "icc_profile": secret.encode()}),
        ("PNG", {"exif": exif, "pnginfo": text}),
        ("WEBP", {"exif": exif, "xmp": secret.encode()}),
    ):
        out = io.BytesIO()
        face.save(out, kind, **options)
        assert secret.encode() in out.getvalue()
        brought_in.append(out.getvalue())
    for data in brought_in:
        with Image.open(io.BytesIO(data)) as opened:
            opened.load()
            shown = (Image.fromarray(read_photo(data)), opened)  # the door's, and one that kept all of its notes
        for picture in shown:
            for kind in ("PNG", "JPEG", "WEBP"):
                for label in ("bottom-right", None):
                    left = marks.encoded(picture, kind, "moved", label=label)
                    assert secret.encode() not in left and b"\x88\x25" not in left[:400] and b"GPS" not in left
        assert secret not in report_page.picture(np.asarray(shown[0]), "mixed")


# --- names and places ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_12_hostile_names_of_uploads_tables_backbones_and_classifiers_write_nothing_outside(home, tmp_path, name):
    around = sorted(file for file in tmp_path.rglob("*") if not file.is_relative_to(home))
    with own_models._as_file(b"x", name) as file:
        assert file.read_bytes() == b"x" and file.parent.name.startswith("tmp") and len(file.name.encode()) < 255
    for act in (
        lambda: checked_name(name) if name != "CON" else refusal(checked_name, "../CON"),
        lambda: add_backbone(tmp_path / "none.pt", name),
        lambda: models.add(tmp_path / "none.onnx", name, models.Wishes(), np.zeros((1, 8, 8, 3), np.uint8)),
        lambda: Trainer().table(name),
        lambda: runs.open_kept(name),
        lambda: tables.open_table(inside(home / "tables", name)),
    ):
        try:
            act()
        except Img2TabError as error:
            assert len(str(error)) < 700
    request = brought.bring_uploads("mine", [(name, b"x"), (name, b"y")], b"image,a\n", backbone="toy")
    assert request.names[0] == name
    assert sorted(file.name for file in (home / "uploads" / "mine").iterdir()) == [
        "000000",
        "000001",
        "labels.csv",
        "request.json",
    ]
    assert open_description(name, "k") is None
    assert around == sorted(file for file in tmp_path.rglob("*") if not file.is_relative_to(home))  # fmt: skip


def test_4_files_of_a_table_that_are_links_out_are_refused_and_a_linked_table_or_folder_of_tables_is_opened(
    home, tmp_path
):
    toy, other = home / "tables" / "toy", tmp_path / "elsewhere"
    shutil.copytree(toy, other)
    for name in sorted(file.name for file in toy.iterdir()):
        (toy / name).unlink()
        (toy / name).symlink_to(other / name)
        assert f"{name} in {toy} is a link to a place outside of it" in refusal(Trainer().table, "toy")
        shutil.copy(other / name, toy / f"{name}.new")
        (toy / f"{name}.new").replace(toy / name)
    (toy / "psi.copy").symlink_to(toy / "psi.npy")  # inside: nobody else's
    assert Trainer().table("toy").name == "toy"
    (home / "tables" / "linked").symlink_to(other)
    shutil.move(home / "tables", tmp_path / "disk")
    (home / "tables").symlink_to(tmp_path / "disk")
    assert Trainer().table_names() == ["linked", "toy"] and Trainer().table("linked").psi.shape == (40, 7)


@pytest.mark.parametrize(
    "change",
    [{"backbone": "/etc/passwd"}, {"key": "/../../../etc"}, {"backbone_key": "../x"}, {"backbone": 7},
     {"layout": "x" * 100_000}, {"targets": []},
     {"targets": [{"name": "../../kind", "title": "t", "classes": ["a", "b"], "how": "h"}]},
     {"targets": [{"name": "photo", "title": "t", "classes": ["a", "b"], "how": "h"}]}],
)  # fmt: skip
def test_a_table_whose_record_names_8_other_places_or_labels_is_a_sentence_or_has_no_label(home, change):
    file = home / "tables" / "toy" / "table.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    if change == {"targets": []}:
        assert tables.open_table(file.parent).targets == ()
    else:
        assert "cannot be read" in refusal(tables.open_table, file.parent) or "without slashes" in refusal(
            tables.open_table, file.parent
        )


def test_3_records_that_name_a_file_outside_the_data_folder_are_a_sentence(home, tmp_path):
    (home / "backbones.json").write_text(json.dumps({"mine": {"folder": "../../etc", "file": "x", "added": ""}}))
    assert "one word without slashes" in refusal(open_backbone, "mine")
    given = {"input": {"size": 8}, "answer": {"output": "logits", "classes": ["a"], "positive": [0]}}
    record = {"name": "mine", "title": "t", "key": "k", "sha256": "../../../etc/passwd", "judges": "", "origin": "x"}
    (home / "models").mkdir()
    (home / "models" / "models.json").write_text(json.dumps({"mine": record | given}))
    model = models.open_model("mine")
    assert "one word without slashes" in refusal(model.log_odds, np.zeros((1, 8, 8, 3), np.uint8))
    assert "one word without slashes" in refusal(runs.open_kept, "../../elsewhere")
    (home / "runs" / "r").mkdir(parents=True)
    (home / "runs" / "r" / "run.json").symlink_to("/etc/hostname")
    assert "a link to a place outside of it" in refusal(not_led_out, home / "runs" / "r")


def test_what_reads_a_file_of_somebody_is_called_at_4_places_without_pickle_and_nothing_is_evaluated():
    """Where the source calls PyTorch's and NumPy's readers, and that no other unpickles, evaluates or executes."""
    places: dict[str, set[str]] = {"torch.load": set(), "np.load": set(), "Image.open": set()}
    for file in [*(ROOT / "img2tab_core").rglob("*.py"), *(ROOT / "dashboard").rglob("*.py")]:
        name = file.relative_to(ROOT).as_posix()
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = {alias.name for alias in node.names} | {getattr(node, "module", "")}
                assert not names & {"joblib", "cloudpickle", "dill", "shelve", "marshal"}, name
            if not isinstance(node, ast.Call):
                continue
            called, words = ast.unparse(node.func), {word.arg: ast.unparse(word.value) for word in node.keywords}
            if name.endswith(("/ray_workers.py", "/process_workers.py", "/shards.py")) and called == "pickle.loads":
                continue  # between our own process and its workers, as multiprocessing and Ray themselves do
            assert called not in ("eval", "exec", "pickle.load", "pickle.loads", "pickle.Unpickler"), (name, called)
            if called == "torch.load":
                assert words.get("weights_only") == "True", name
            if called in ("np.load", "numpy.load") and not name.startswith("img2tab_core/training/"):
                assert words.get("allow_pickle") == "False", name
            if called in places and not name.startswith("img2tab_core/training/"):
                places[called].add(name)
    assert places["torch.load"] == {"img2tab_core/weights/opening.py"}
    assert places["np.load"] == {
        "img2tab_core/base/foreign.py",
        "img2tab_core/classifiers/onnx_models.py",  # what our own process answers
        "img2tab_core/classifiers/onnx_trial.py",  # what it is asked
    }
    # pictures of ours, and the reader of marks, which names the three kinds it takes
    assert places["Image.open"] == {
        "img2tab_core/backbones/drawn_faces.py",
        "img2tab_core/faces/marks.py",
        "img2tab_core/studio.py",
    }

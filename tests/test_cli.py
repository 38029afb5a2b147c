"""The terminal verbs: what they print, what they write, and their exit codes."""

from __future__ import annotations

import json
import os
import signal

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from img2tab_core import weights
from img2tab_core.base.files import ROOT
from img2tab_core.base.records import Edit, StyleCode
from img2tab_core.classifiers import runs
from img2tab_core.classifiers.trainer import Trainer
from img2tab_core.cli import main
from img2tab_core.studio import Studio
from img2tab_core.weights import store

runner = CliRunner()


def run(*words: object):
    return runner.invoke(main.app, [str(word) for word in words])


def as_json(*words: object) -> dict:
    result = run(*words, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)  # one document and nothing else


@pytest.fixture
def sample(studio):
    return ROOT / "assets" / "samples" / "00.jpg"


@pytest.fixture
def codes(sample, tmp_path):
    file = tmp_path / "codes.npz"
    assert run("encode", "--no-align", sample, "--out", file).exit_code == 0
    return file


def test_encode_writes_psi_of_6752_and_w_of_23_by_512(codes, sample, studio):
    stored = np.load(codes)
    assert stored["psi"].shape == (1, 6752) and stored["psi"].dtype == np.float32
    assert stored["w"].shape == (1, 23, 512)
    assert stored["photos"].tolist() == [str(sample)]
    assert np.allclose(stored["psi"][0], studio.encode(studio.aligned_face(sample.read_bytes())).values, atol=1e-5)


def test_encode_of_a_folder_skips_what_is_no_photo_and_says_so(sample, tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(sample.read_bytes())
    (folder / "b.jpg").write_text("not a photo")
    found = as_json("encode", "--no-align", folder, "--out", tmp_path / "codes.npz")
    assert found["encoded"] == 1
    assert [one["photo"].endswith("b.jpg") for one in found["skipped"]] == [True]
    gone = run("encode", tmp_path / "gone" / "a.jpg", "--out", tmp_path / "codes.npz")
    assert gone.exit_code == 1 and gone.stderr.startswith("There is no folder")


def test_40_photos_encoded_by_a_process_of_its_own_are_the_same_bytes_and_0_shards_are_left(
    sample, tmp_path, monkeypatch
):
    monkeypatch.setenv("IMG2TAB_HOME", str(tmp_path / "home"))
    (tmp_path / "photos").mkdir()
    for number in range(40):
        (tmp_path / "photos" / f"{number:02}.jpg").write_bytes(sample.read_bytes() if number != 3 else b"no photo")
    files = tmp_path / "here.npz", tmp_path / "there.npz"
    here, there = (
        as_json("encode", "--no-align", tmp_path / "photos", "--out", file, *options)
        for file, options in zip(files, ((), ("--workers", 1)), strict=True)
    )
    assert here | {"out": ""} == there | {"out": ""} and (here["encoded"], len(here["skipped"])) == (39, 1)
    assert files[0].read_bytes() == files[1].read_bytes()
    assert [file.name for file in (tmp_path / "home" / "imports").glob("[!.]*")] == []


def test_an_edit_of_3_deviations_and_the_same_edit_in_style_units_draw_the_same_picture(codes, tmp_path, studio):
    index, std = 2839, float(studio.table().stats.std[2839])
    for name, words in {"a": ["--edit", f"{index}:+3"], "b": ["--edit-raw", f"{index}:{3 * std!r}"], "c": []}.items():
        result = run("render", "--codes", codes, "--size", 128, *words, "--out", tmp_path / f"{name}.npy")
        assert result.exit_code == 0, result.output
    a, b, c = (np.load(tmp_path / f"{name}.npy") for name in "abc")
    assert a.shape == (128, 128, 3) and a.dtype == np.float32
    assert np.abs(a - b).max() < 1e-4
    assert np.abs(a - c).max() > 1e-3


def test_render_writes_a_png_of_the_size_asked_for(codes, tmp_path, studio):
    assert run("render", "--codes", codes, "--size", 256, "--label", "none", "--out", tmp_path / "x.png").exit_code == 0
    picture = np.asarray(Image.open(tmp_path / "x.png"))
    code = StyleCode.of(np.load(codes)["psi"][0])
    assert np.array_equal(picture, studio.render(code, [Edit(0, 0.0)], size=256))


def test_predict_gives_a_probability_and_contributions_in_order(sample):
    (result,) = as_json("predict", "--no-align", sample, "--target", "smiling", "--top", 3)["results"]
    sizes = [abs(concept["contribution"]) for concept in result["concepts"]]
    assert len(sizes) == 3 and sizes == sorted(sizes, reverse=True)
    assert 0 <= result["probability"] <= 1
    assert result["class"] == ("perceived smiling" if result["probability"] > 0.5 else "perceived not smiling")
    if "families" in result:  # those that come with the program are of these weights
        told = sum(family["drawn"] + family["by_stand_ins"] for family in result["families"])
        odds = result["starting_point"] + told + result["everything_else"]
        assert len(result["families"]) == 3 and 1 / (1 + np.exp(-odds)) == pytest.approx(
            result["probability"], abs=1e-6
        )
        assert result["sentence"].startswith("Mostly ")


def test_predict_takes_a_run_from_a_folder_and_its_target_with_it(sample, studio):
    words = ("predict", "--no-align", sample, "--no-quality")
    (standing,) = as_json(*words, "--target", "perceived_gender")["results"]
    folder = runs.folder_of(studio.run(studio.table(), "perceived_gender").id)
    (stored,) = as_json(*words, "--run", folder)["results"]
    assert stored == standing
    refused = run(*words, "--run", folder, "--target", "smiling")
    assert refused.exit_code == 1 and "is of perceived_gender, got --target smiling" in refused.stderr


def test_20_photos_predicted_together_are_as_one_by_one_in_order_with_the_2_that_are_none_named(sample, tmp_path):
    samples = sorted((ROOT / "assets" / "samples").glob("*.jpg"))[:3]
    broken = tmp_path / "broken.jpg"
    broken.write_text("not a photo")
    files = [broken, *samples * 6, tmp_path / "nothing.jpg"]  # more than one batch
    words = ("--target", "smiling", "--no-align")
    together = as_json("predict", *files, *words)
    alone = [as_json("predict", file, *words)["results"][0] for file in samples] * 6
    assert [skipped["photo"] for skipped in together["skipped"]] == [str(broken), str(tmp_path / "nothing.jpg")]
    assert [result["photo"] for result in together["results"]] == [str(file) for file in samples * 6]
    for result, single in zip(together["results"], alone, strict=True):
        assert result["probability"] == pytest.approx(single["probability"], abs=1e-3)
        assert (result["class"], result["quality"]) == (single["class"], single["quality"])


def test_without_the_quality_a_photo_has_no_word_of_it_and_nothing_is_drawn(sample, monkeypatch):
    monkeypatch.setattr(Studio, "render", None)  # whoever draws fails
    words = ("predict", "--no-align", sample, "--target", "smiling", "--no-quality")
    (result,) = as_json(*words)["results"]
    assert result["quality"] is None
    shown = run(*words)
    assert shown.exit_code == 0 and "inversion" not in shown.stdout


def test_scores_ranks_by_distance_and_knows_layer_and_channel(studio):
    rows = as_json("scores", "--target", "perceived_gender", "--top", 5)["concepts"]
    distances = [row["distance"] for row in rows]
    assert distances == sorted(distances, reverse=True) and distances[0] > 0.5
    assert all(studio.table().layout.locate(row["index"]) == (row["layer"], row["channel"]) for row in rows)


def test_train_without_two_concepts_says_what_it_reached_and_keeps_the_run(tmp_path, studio):
    from img2tab_core.classifiers.runs import load_run

    found = as_json(
        "train", "--target", "perceived_gender", "--exclude", "2839,0", "--seed", 1, "--out", tmp_path / "r"
    )
    assert found["excluded"] == [0, 2839]
    assert found["accuracy"] > 0.85 and found["auc"] > 0.93 and found["log_loss"] < 0.4
    kept = load_run(tmp_path / "r")
    assert kept.metrics.accuracy == found["accuracy"]
    assert not {0, 2839} & set(kept.classifier.screened_)


def test_tables_weights_and_doctor_answer_in_json(studio):
    assert as_json("tables")["tables"][0]["channels"] == 6752
    listed = {row["name"]: row for row in as_json("weights", "list")["weights"]}
    assert listed["mobilestylegan-ffhq"]["commercial_use"] is False
    assert "non-commercial" in listed["mobilestylegan-ffhq"]["licence"]
    assert all(check["ok"] for check in as_json("doctor")["checks"])


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["predict", "nothing.jpg", "--target", "smiling"], "cannot be read"),
        (["predict", "nothing.jpg", "--target", "beard"], "Choose one of"),
        (["scores", "--target", "smiling", "--table", "other"], "There is no table named 'other'"),
        (["train", "--target", "smiling", "--exclude", "one,two", "--out", "x"], "channel numbers with commas"),
        (["train", "--target", "smiling", "--exclude", "99999", "--out", "x"], "between 0 and 6751"),
        (["render", "--codes", "nothing.npz", "--out", "x.png"], "not a file of style codes"),
        (["render", "--codes", "nothing.npz", "--out", "x.bmp"], "must end in .png or .npy"),
        (["encode", "nothing.jpg", "--out", "x.npz"], "cannot be read"),
        (["tables", "build", "mine"], "called `default`"),
        (["weights", "fetch", "stylegan9"], "stylegan9"),
    ],
)
def test_a_persons_mistake_is_one_sentence_and_exit_code_1(studio, tmp_path, monkeypatch, words, sentence):
    monkeypatch.chdir(tmp_path)
    result = run(*words)
    assert result.exit_code == 1
    assert sentence in result.output
    assert "Traceback" not in result.output
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("words", [["predict"], ["render", "--row", "-1"], ["dance"], ["scores", "--top", "0"]])
def test_a_usage_error_is_exit_code_2(words):
    assert run(*words).exit_code == 2


def test_a_mistake_with_json_is_one_document_too(studio, tmp_path):
    result = run("scores", "--target", "beard", "--json")
    assert result.exit_code == 1
    assert "Choose one of" in json.loads(result.stdout)["error"]


@pytest.mark.parametrize("option", ["--edit", "--edit-raw"])
@pytest.mark.parametrize("edit", ["2839", "2839:", "x:+3", "9999:+1", "5:nan", "5:inf", "5:-inf", "5:1e9"])
def test_an_edit_that_is_not_index_and_shift_is_refused(codes, tmp_path, option, edit):
    result = run("render", "--codes", codes, option, edit, "--size", 128, "--out", tmp_path / "x.png")
    assert result.exit_code == 1 and not (tmp_path / "x.png").exists()
    assert "Traceback" not in result.output and len(result.output.splitlines()) == 1


def saved(file, **arrays):
    np.savez(file, **arrays)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda file: file.write_bytes(b""), "must be a whole .npz with an array psi"),
        (lambda file: file.write_bytes(b"PK\x03\x04 and no more"), "must be a whole .npz with an array psi"),
        (lambda file: file.mkdir(), "Is a directory"),
        (lambda file: np.save(file.open("wb"), np.zeros((1, 6752))), "must be a whole .npz with an array psi"),
        (lambda file: saved(file, w=np.zeros((1, 6752))), "must be a whole .npz with an array psi"),
        (lambda file: saved(file, psi=np.zeros(6752)), "got float64 of shape (6752,)"),
        (lambda file: saved(file, psi=np.full((1, 6752), "a")), "got <U1 of shape (1, 6752)"),
        (lambda file: saved(file, psi=np.array([[None]])), "must be a whole .npz with an array psi"),
        (lambda file: saved(file, psi=np.zeros((0, 6752))), "--row must be below 0"),
        (lambda file: saved(file, psi=np.zeros((1, 7))), "must have 6752 channels"),
        (lambda file: saved(file, psi=np.full((1, 6752), np.nan)), "not finite numbers"),
        (lambda file: saved(file, psi=np.full((1, 6752), 1e300)), "not finite numbers"),
    ],
)
def test_codes_that_are_not_numbers_of_shape_n_by_6752_are_one_sentence(studio, tmp_path, make, sentence):
    file = tmp_path / "codes.npz"
    make(file)
    result = run("render", "--codes", file, "--size", 128, "--out", tmp_path / "x.png")
    assert result.exit_code == 1 and sentence in result.output
    assert len(result.output.splitlines()) == 1 and not (tmp_path / "x.png").exists()


def test_half_an_archive_is_one_sentence(codes, tmp_path):
    (tmp_path / "half.npz").write_bytes(codes.read_bytes()[:10_000])
    result = run("render", "--codes", tmp_path / "half.npz", "--out", tmp_path / "x.png")
    assert result.exit_code == 1 and "must be a whole .npz" in result.output


@pytest.mark.parametrize(
    ("out", "sentence"),
    [
        (".", "got the folder"),
        ("folder.npy", "got the folder"),
        ("missing/x.npy", "there is no folder missing"),
        ("x" * 300 + ".npy", "File name too long"),
    ],
)
@pytest.mark.parametrize("verb", ["encode", "render"])
def test_out_is_looked_at_before_1_photo_is_read(tmp_path, monkeypatch, verb, out, sentence):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.npy").mkdir()
    result = run(
        *({"encode": ["encode", "nothing.jpg"], "render": ["render", "--codes", "nothing.npz"]}[verb]), "--out", out
    )
    assert result.exit_code == 1
    assert sentence in result.output or (verb == "render" and "must end in .png or .npy, got ." in result.output)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_of_mode_500_is_named_before_1_photo_is_read(tmp_path):
    (tmp_path / "closed").mkdir(mode=0o500)
    result = run("encode", "nothing.jpg", "--out", tmp_path / "closed" / "x.npz")
    assert result.exit_code == 1 and "you may not write in" in result.output


def test_a_photo_whose_name_is_2_lines_and_no_text_is_encoded_and_shown_on_1_line(sample, tmp_path, studio):
    odd = tmp_path / os.fsdecode(b"a\n\xff.jpg")
    odd.write_bytes(sample.read_bytes())
    result = run("encode", "--no-align", odd, "--out", tmp_path / "x.npz", "--json")
    assert result.exit_code == 0 and result.stdout.isascii()
    assert json.loads(result.stdout)["photos"] == [{"photo": str(odd), "faces": 1}]
    assert np.load(tmp_path / "x.npz")["photos"].tolist() == [str(odd)]
    shown = run("predict", "--no-align", odd, "--target", "smiling", "--top", 1)
    assert shown.exit_code == 0 and len(shown.stdout.splitlines()) == 3  # the photo, its concept, what is judged


@pytest.fixture
def crowd(monkeypatch, studio):
    """Every photo shows 2 faces: the first two samples."""
    from img2tab_core.studio import Studio

    monkeypatch.setattr(Studio, "faces", lambda self, data: studio.samples()[:2])


def test_face_2_of_2_is_another_style_code_and_3_of_2_is_skipped_with_its_reason(crowd, sample, tmp_path, studio):
    codes = {}
    for number in (1, 2):
        found = as_json("encode", sample, "--face", number, "--out", tmp_path / f"{number}.npz")
        assert found["photos"] == [{"photo": str(sample), "faces": 2}]
        codes[number] = np.load(tmp_path / f"{number}.npz")["psi"][0]
    assert np.allclose(codes[2], studio.encode(studio.samples()[1]).values, atol=1e-5)
    assert np.abs(codes[1] - codes[2]).max() > 0.1
    (result,) = as_json("predict", sample, "--face", 2, "--target", "smiling")["results"]
    assert (result["face"], result["faces"]) == (2, 2)
    beyond = run("predict", sample, "--face", 3, "--target", "smiling")
    assert beyond.exit_code == 1 and "--face must be at most 2" in beyond.output


def test_encode_says_on_1_line_where_the_biggest_of_several_faces_was_taken(crowd, sample, tmp_path):
    lines = run("encode", sample, "--out", tmp_path / "x.npz").stdout.splitlines()
    assert len(lines) == 2 and f"the biggest was taken: {sample} (2)" in lines[1]


def test_1_damaged_table_is_listed_with_its_sentence_beside_the_others(tmp_path, monkeypatch):
    monkeypatch.setenv("IMG2TAB_HOME", str(tmp_path))
    (tmp_path / "tables" / "mine").mkdir(parents=True)
    (tmp_path / "tables" / "mine" / "table.json").write_text("{")
    found = as_json("tables")
    assert found["tables"] == []
    assert [one["name"] for one in found["damaged"]] == ["mine"]
    text = run("tables")
    assert text.exit_code == 0 and "mine: damaged. The table 'mine' cannot be read" in text.output


def test_a_mistake_in_listing_tables_is_1_sentence_or_1_document(monkeypatch):
    from img2tab_core.base.errors import Img2TabError

    def fails(self):
        raise Img2TabError("No.")

    monkeypatch.setattr(Trainer, "table_names", fails)
    assert (run("tables").exit_code, run("tables").output) == (1, "No.\n")
    assert json.loads(run("tables", "--json").stdout) == {"error": "No."}


def test_building_a_table_before_the_weights_are_fetched_names_the_1_command(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "MODELS", tmp_path)
    result = run("tables", "build")
    assert result.exit_code == 1 and "img2tab weights fetch" in result.output and "Traceback" not in result.output


def test_weights_list_says_archive_members_size_and_64_digits_of_sha256(studio):
    rows = {row["name"]: row for row in as_json("weights", "list")["weights"]}
    converted, shipped = rows["mobilestylegan-ffhq"], rows["face-encoder"]
    assert converted["archive"]["package"] == "random-face" and len(converted["archive"]["sha256"]) == 64
    assert len(converted["members"]) == 4 and converted["size"] > 1_000_000
    assert shipped["archive"] is None and shipped["members"] == []
    assert shipped["sha256"] == weights.record("face-encoder")["sha256"]
    assert rows["moco-v2"]["status"] == "ready" or rows["moco-v2"]["sha256"] is None
    text = run("weights", "list").output
    assert f"{shipped['size'] / 1e6:.1f} MB, sha256 {shipped['sha256'][:12]}" in text


def test_refine_writes_23_different_w_of_a_photo_and_says_what_it_gained(sample, tmp_path, studio):
    out, picture = tmp_path / "codes.npz", tmp_path / "rows.png"
    found = as_json("refine", "--no-align", sample, "--out", out, "--steps", 3, "--picture", picture)
    stored = np.load(out)
    assert stored["psi"].shape == (1, 6752) and stored["w"].shape == (1, 23, 512)
    assert stored["psi"].dtype == stored["w"].dtype == np.float32
    assert np.unique(stored["w"][0], axis=0).shape == (23, 512)
    assert np.allclose(studio.backbone().styles(stored["w"]), stored["psi"], atol=1e-5)
    assert stored["photos"].tolist() == [str(sample)]
    (one,) = found["photos"]
    assert one["after"]["identity"] < one["before"]["identity"] and one["steps"] == 3
    assert Image.open(picture).size == (3 * 256, 256)
    assert run("render", "--codes", out, "--size", 128, "--out", tmp_path / "x.png").exit_code == 0


def test_ctrl_c_after_1_of_3_photos_keeps_the_style_code_of_1(sample, tmp_path, monkeypatch):
    real, turns = Studio.refine, []

    def refine(self, face, **options):
        turns.append(face)
        if len(turns) == 2:  # pressed while the second photo's turn comes
            os.kill(os.getpid(), signal.SIGINT)
        return real(self, face, **options)

    monkeypatch.setattr(Studio, "refine", refine)
    out, before = tmp_path / "codes.npz", signal.getsignal(signal.SIGINT)  # ignored where a job runs us
    result = run("refine", "--no-align", sample, sample, sample, "--out", out, "--steps", 1)
    assert result.exit_code == 130
    assert "1 of 3 photos were refined" in result.stderr
    assert len(np.load(out)["psi"]) == 1 and len(turns) == 2
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--seconds", 0], "--seconds must be above 0, got 0"),
        (["--picture", "rows.jpg"], "--picture must end in .png, got rows.jpg"),
    ],
)
def test_refine_says_what_an_option_must_be(sample, tmp_path, words, told):
    result = run("refine", sample, "--out", tmp_path / "codes.npz", *words)
    assert result.exit_code == 1 and told in result.stderr

"""The terminal verbs: what they print, what they write, and their exit codes."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from img2tab_core import cli, weights
from img2tab_core.records import Edit, StyleCode

runner = CliRunner()


def run(*words: object):
    return runner.invoke(cli.app, [str(word) for word in words])


def as_json(*words: object) -> dict:
    result = run(*words, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)                                 # one document and nothing else


@pytest.fixture
def sample(studio):
    return weights.ROOT / "assets" / "samples" / "00.jpg"


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
    assert run("render", "--codes", codes, "--size", 256, "--out", tmp_path / "x.png").exit_code == 0
    picture = np.asarray(Image.open(tmp_path / "x.png"))
    code = StyleCode.of(np.load(codes)["psi"][0])
    assert np.array_equal(picture, studio.render(code, [Edit(0, 0.0)], size=256))


def test_predict_gives_a_probability_and_contributions_in_order(sample):
    (result,) = as_json("predict", "--no-align", sample, "--target", "smiling", "--top", 3)["results"]
    sizes = [abs(concept["contribution"]) for concept in result["concepts"]]
    assert len(sizes) == 3 and sizes == sorted(sizes, reverse=True)
    assert 0 <= result["probability"] <= 1
    assert result["class"] == ("perceived smiling" if result["probability"] > 0.5 else "perceived not smiling")


def test_scores_ranks_by_distance_and_knows_layer_and_channel(studio):
    rows = as_json("scores", "--target", "perceived_gender", "--top", 5)["concepts"]
    distances = [row["distance"] for row in rows]
    assert distances == sorted(distances, reverse=True) and distances[0] > 0.5
    assert all(studio.layout.locate(row["index"]) == (row["layer"], row["channel"]) for row in rows)


def test_train_without_two_concepts_says_what_it_reached_and_keeps_the_run(tmp_path, studio):
    from img2tab_core.service import load_run

    found = as_json("train", "--target", "perceived_gender", "--exclude", "2839,0", "--seed", 1, "--out", tmp_path / "r")
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


@pytest.mark.parametrize("edit", ["2839", "2839:", "x:+3", "9999:+1"])
def test_an_edit_that_is_not_index_and_shift_is_refused(codes, tmp_path, edit):
    result = run("render", "--codes", codes, "--edit", edit, "--size", 128, "--out", tmp_path / "x.png")
    assert result.exit_code == 1 and not (tmp_path / "x.png").exists()

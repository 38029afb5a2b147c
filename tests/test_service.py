"""The service on real weights, the real table and real photos."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from PIL import Image

from img2tab_core import tables
from img2tab_core.base.errors import Cancelled, Img2TabError
from img2tab_core.base.files import ROOT, home
from img2tab_core.base.records import Edit, Face
from img2tab_core.classifiers import runs
from img2tab_core.studio import Studio


@pytest.fixture(scope="module")
def table(studio):
    return studio.table()


@pytest.fixture(scope="module")
def run(studio, table):
    return studio.run(table, "perceived_gender")


@pytest.fixture(scope="module")
def without(studio, table):
    """The run that excludes two concepts."""
    return studio.train(table, "perceived_gender", excluded=frozenset({2839, 1722}))


@pytest.fixture(scope="module")
def code(studio):
    return studio.encode(studio.samples()[0])


def test_the_default_table_has_20000_faces_and_11_targets_with_300_of_each_class_to_train_on(table):
    assert len(table.targets) == 11 and table.psi.shape[0] == 20_000 and table.psi.shape[1] == 6752
    for target in table.targets:
        _rows, labels = tables.labelled(table, target.name, "train")
        assert min(np.bincount(labels)) > 300
        assert all("perceived" in name for name in target.classes)


def test_the_table_holds_what_the_encoder_says_of_the_pictures(studio, table):
    stored = np.load(ROOT / "assets" / "population" / "w.npy")
    psi = studio.backbone().styles(stored[:5].astype(np.float32))
    assert np.abs(psi - table.psi[:5]).max() < 1e-4


def test_a_standing_run_is_right_more_than_9_times_in_10_on_faces_it_never_saw(run):
    assert run.metrics.accuracy > 0.9 and run.metrics.auc > 0.97
    assert sum(map(sum, run.metrics.confusion)) == run.metrics.count


def test_contributions_add_up_to_the_log_odds_within_1e_6(studio, run, code):
    prediction = studio.predict(run, code)
    log_odds = prediction.baseline + prediction.contributions.sum()
    assert 1 / (1 + np.exp(-log_odds)) == pytest.approx(prediction.probability, abs=1e-6)


def test_a_prediction_does_not_depend_on_an_excluded_concept_by_one_bit(studio, without, code):
    plain = studio.predict(without, code).probability
    assert studio.predict(without, code, [Edit(2839, 50.0), Edit(1722, -50.0)]).probability == plain
    scores = studio.scores(without)
    assert scores.importance[2839] == 0 and scores.importance.sum() == pytest.approx(1)


def test_a_cancelled_retrain_leaves_the_standing_run(studio, table, run):
    with pytest.raises(Cancelled):
        studio.train(table, "perceived_gender", cancelled=lambda: True)
    assert studio.run(table, "perceived_gender") is run


def test_a_kept_run_comes_back_with_the_same_probabilities(tmp_path, studio, run, code):
    runs.save_run(run, tmp_path / "run")
    back = runs.load_run(tmp_path / "run")
    assert studio.predict(back, code).probability == studio.predict(run, code).probability
    assert (back.metrics, back.excluded, back.target) == (run.metrics, run.excluded, run.target)


def test_a_retrained_run_is_kept_and_found_again_after_the_standing_one(
    studio, table, run, without, tmp_path, monkeypatch
):
    monkeypatch.setenv("IMG2TAB_HOME", str(tmp_path))
    for one in (run, without):
        studio.trainer.keep(one)
    (tmp_path / "runs" / "default-perceived_gender-000000000000").mkdir()
    (tmp_path / "runs" / "default-perceived_gender-000000000000" / "run.json").write_text("{")
    found = studio.trainer.kept(table, "perceived_gender")
    assert [one.id for one in found] == [run.id, without.id]
    assert found[1].metrics == without.metrics


def test_a_damaged_standing_run_is_trained_again_and_bit_identical(studio, run, code, tmp_path, monkeypatch):
    before = studio.predict(run, code).probability
    (tmp_path / "tables").symlink_to(home() / "tables")
    monkeypatch.setenv("IMG2TAB_HOME", str(tmp_path))
    fresh = Studio()
    folder = tmp_path / "runs" / run.id
    folder.mkdir(parents=True)
    (folder / "run.json").write_text('{"id": ')
    again = fresh.run(fresh.table(), "perceived_gender")
    assert fresh.predict(again, code).probability == before
    assert again.id == run.id and again.metrics == run.metrics
    assert runs.load_run(folder).metrics == run.metrics


def test_a_run_that_is_not_there_is_a_sentence(tmp_path):
    with pytest.raises(Img2TabError, match="Train it again"):
        runs.load_run(tmp_path)


def test_distance_is_never_smaller_than_the_difference_of_the_means(studio, run):
    scores = studio.scores(run)
    assert (scores.distance >= np.abs(scores.direction) - 1e-9).all()


def test_a_family_edit_towards_the_other_class_turns_the_decision_of_most_samples(studio, run):
    turned = 0
    for face in studio.samples():
        one = studio.encode(face)
        before = studio.predict(run, one).probability
        family = studio.family(run, strength=-1.5 if before > 0.5 else 1.5)
        turned += (studio.predict(run, one, family).probability > 0.5) != (before > 0.5)
    assert turned >= 10  # of 12


def test_a_reconstruction_of_a_generated_face_is_nearer_than_that_of_another_face(studio):
    faces = studio.samples()[:4]
    codes = [studio.encode(face) for face in faces]
    for i, face in enumerate(faces):
        errors = [studio.quality(face, code).error for code in codes]
        assert int(np.argmin(errors)) == i
    noise = Face.of(np.random.default_rng(0).integers(0, 255, (256, 256, 3)))
    assert studio.quality(noise, studio.encode(noise)).word == "poor"


def test_the_word_of_10_photos_and_2_samples_is_that_of_an_exact_drawing_and_the_distance_within_0_01(
    studio, shared_photos
):
    portraits = sorted((shared_photos / "congress").rglob("*.jpg"))[::46]
    faces = [*studio.samples()[:2], *(studio.faces(file.read_bytes())[0] for file in portraits)]
    codes = studio.encode_all(faces)
    quick = studio.qualities(faces, codes)
    for face, code, badge in zip(faces, codes, quick, strict=True):
        exact = studio.quality(face, code, drawn=studio.render(code, size=256))
        assert badge.word == exact.word and abs(badge.error - exact.error) < 0.01
    assert len({badge.word for badge in quick}) > 1 and len(faces) == 12


def test_faces_encoded_and_explained_together_are_as_one_by_one_within_1e_3(studio, run):
    faces = studio.samples()[:5]
    together = studio.encode_all(faces)
    for code, face, prediction in zip(together, faces, studio.predict_all(run, together), strict=True):
        assert np.abs(code.values - studio.encode(face).values).max() < 1e-3
        assert prediction.probability == pytest.approx(studio.predict(run, code).probability, rel=1e-9)
    assert studio.encode_all([]) == studio.predict_all(run, []) == []


def test_work_on_single_cores_comes_back_in_order_and_leaves_the_number_of_threads():
    import torch

    from img2tab_core.base.cores import on_single_cores

    before = torch.get_num_threads()
    assert on_single_cores(lambda a, b: (a + b, torch.get_num_threads()), range(5), range(5)) == [
        (2 * number, 1) for number in range(5)
    ]
    assert torch.get_num_threads() == before
    with pytest.raises(ZeroDivisionError):
        on_single_cores(lambda a: 1 / a, [1, 0])
    assert torch.get_num_threads() == before


def test_a_contact_sheet_of_4_faces_and_3_shifts_has_12_pictures_with_the_face_itself_in_the_middle(studio):
    sheet = studio.contact_sheet(2839)
    assert sheet.shape == (4, 3, 128, 128, 3)
    assert np.array_equal(sheet[0, 1], studio.render(studio.encode(studio.samples()[0]), size=128))


def test_four_visitors_at_once_see_what_one_alone_sees(studio, run):
    codes = [studio.encode(face) for face in studio.samples()[:4]]
    alone = [studio.render(code, [Edit(2839, 4.0)], size=128) for code in codes]
    seen: dict[int, np.ndarray] = {}

    def visit(i: int) -> None:
        for _ in range(3):
            seen[i] = studio.render(codes[i], [Edit(2839, 4.0)], size=128)

    visitors = [threading.Thread(target=visit, args=(i,)) for i in range(4)]
    for visitor in visitors:
        visitor.start()
    for visitor in visitors:
        visitor.join()
    assert all(np.array_equal(seen[i], alone[i]) for i in range(4))


def test_a_name_is_kept_for_its_backbone_and_an_empty_one_removes_it(studio, tmp_path, monkeypatch):
    monkeypatch.setenv("IMG2TAB_HOME", str(tmp_path))
    studio.name_concept(2839, "  goatee \n")
    assert studio.concept_names() == {2839: "goatee"}
    assert Studio().concept_names("mobilestylegan-ffhq") == {2839: "goatee"}
    assert studio.concept_names("another") == {}
    studio.name_concept(2839, "")
    assert studio.concept_names() == {}
    with pytest.raises(Img2TabError, match="at most 60 characters, got 61"):
        studio.name_concept(1, "x" * 61)


def test_real_portraits_become_faces_and_most_of_24_are_judged_as_they_were_labelled(studio, run, shared_photos):
    import csv

    rows = list(csv.DictReader((shared_photos / "congress" / "labels.csv").open()))[::19]
    right = 0
    for row in rows:
        face = studio.faces((shared_photos / "congress" / row["image"]).read_bytes())[0]
        right += (studio.predict(run, studio.encode(face)).probability > 0.5) == (row["gender"] == "M")
    assert len(rows) == 24 and right >= 21


def test_a_photo_of_one_person_has_one_face_of_256_px(studio, shared_photos):
    (face,) = studio.faces((shared_photos / "canada" / "003f.jpg").read_bytes())
    assert face.pixels.shape == (256, 256, 3) and face.landmarks.shape == (68, 2)
    assert Image.fromarray(face.pixels).size == (256, 256)

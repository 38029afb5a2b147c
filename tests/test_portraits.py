"""The classifier on real portraits: figures worked by hand, shifts that are known, and the verb that prints them."""

from __future__ import annotations

import json

import numpy as np
import pytest
import typer
from scipy.special import expit
from typer.testing import CliRunner

from img2tab_core.audits import photo_check
from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.layout import StyleLayout
from img2tab_core.cli import training
from img2tab_core.training.measuring import corrections, portrait_card, portraits
from img2tab_core.training.measuring.corrections import Drawn, Judged
from img2tab_core.training.measuring.domain_gap import domain_gap, mean_shift, over_all
from img2tab_core.training.real_photos import is_held_out, third_of


@pytest.fixture
def run():
    app = typer.Typer()
    training.register(app)
    return lambda *words: CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture
def folder(tmp_path):
    """4 portraits: recorded female, male, unknown, male."""
    made = tmp_path / "portraits"
    made.mkdir()
    (made / "labels.csv").write_text("image,gender\na.jpg,F\nb.jpg,M\nc.jpg,\nd.jpg,M\n")
    return made


def test_the_calibration_error_of_5_photos_in_3_bins_is_what_paper_gives():
    truth = np.array([1, 0, 1, 0, 0])
    chance = np.array([0.95, 0.05, 0.75, 0.75, 0.45])
    # (0.9, 1]: both right at 0.95, gap 0.05; (0.7, 0.8]: 1 of 2 right at 0.75, gap 0.25; (0.5, 0.6]: right at 0.55
    assert photo_check.calibration_error(truth, chance) == pytest.approx(0.4 * 0.05 + 0.4 * 0.25 + 0.2 * 0.45)
    # a confidence on a border belongs to the bin below: 0.9 and 0.85 together, mean 0.875, both right
    assert photo_check.calibration_error(np.array([1, 1]), np.array([0.9, 0.85])) == pytest.approx(0.125)
    assert photo_check.calibration_error(np.array([1, 0]), np.array([1.0, 0.0])) == 0


def test_the_area_counts_5_and_a_half_of_6_pairs_and_its_interval_holds_it():
    truth, chance = np.array([1, 1, 1, 0, 0]), np.array([0.9, 0.8, 0.3, 0.3, 0.1])
    assert photo_check.area(truth, chance) == pytest.approx(5.5 / 6)
    low, high = photo_check.area_interval(truth, chance)
    assert low < 5.5 / 6 <= high <= 1
    assert photo_check.area_interval(np.array([0, 1]), np.array([0.1, 0.9])) == (1, 1)


def test_the_brier_score_of_a_half_is_a_quarter_and_one_gender_alone_has_no_area():
    found = portraits.figures(np.array([0, 0]), np.array([0.5, 0.5]))
    assert (found["brier"], found["right"], found["auc"], found["auc_interval"]) == (0.25, 2, None, None)
    assert portraits.figures(np.array([], int), np.array([])) == {"photos": 0}


@pytest.fixture
def codes():
    """(table (1000, 5), layout of 2 layers); channel 4 is constant."""
    table = np.random.default_rng(0).normal(3, [1, 2, 5, 0.1, 0], (1000, 5))
    return table, StyleLayout((2, 3))


def test_codes_shifted_by_half_and_by_2_deviations_are_found_shifted_by_just_that(codes):
    table, layout = codes
    moved = table + table.std(axis=0) * [0.5, -0.5, 2, 2, 2]
    first, second = domain_gap(moved, table, layout)
    assert (first.shift, second.shift) == (pytest.approx(0.5), pytest.approx(2))
    assert (first.spread, second.spread) == (pytest.approx(1), pytest.approx(1))
    assert (first.channels, second.channels) == (2, 2)  # the constant one is left out
    assert mean_shift(moved, table, layout) == [first.shift, second.shift]
    assert over_all([first, second]).shift == pytest.approx(np.sqrt((0.25 + 4) / 2))


def test_2_percent_of_a_tables_own_values_lie_outside_and_all_of_a_far_copy(codes):
    table, layout = codes
    assert [row.outside for row in domain_gap(table, table, layout)] == [0.02, 0.02]
    assert [row.outside for row in domain_gap(table + 100, table, layout)] == [1, 1]


def test_codes_drawn_towards_their_mean_have_0_7_of_the_spread_and_no_shift(codes):
    table, layout = codes
    for row in domain_gap(table.mean(axis=0) + 0.7 * (table - table.mean(axis=0)), table, layout):
        assert row.spread == pytest.approx(0.7) and row.shift == pytest.approx(0, abs=1e-9)
    with pytest.raises(Img2TabError, match=r"shape \(faces, 5\), got \(1000, 4\)"):
        domain_gap(table[:, :4], table, layout)


def test_a_temperature_of_2_and_an_offset_of_1_are_found_again():
    source = np.random.default_rng(0)
    odds = source.normal(0, 4, 40_000)
    truth = (source.random(40_000) < expit(odds / 2 + 1)).astype(int)
    found = corrections.temperature(expit(odds), truth, offset=True, weight=np.ones(40_000))
    assert found == (pytest.approx(2, abs=0.08), pytest.approx(1, abs=0.08))


@pytest.fixture
def moved():
    """A table whose first w says the class, and photos whose w are all shifted by 2: (drawn, [photos])."""
    source = np.random.default_rng(0)
    label = np.tile([0, 1], 300)

    def drawn(label, shift):
        w = source.normal(0, 1, (len(label), 8)).astype(np.float32)
        w[:, 0] += np.where(label == 1, 2, -2) + shift
        return w

    photos = []
    for name, count in (("many", 240), ("few", 20)):
        truth = np.tile([0, 0, 0, 1], count // 4)  # another mix of classes than the table's
        w = drawn(truth, 2)
        photos.append(Judged(name, w, expit(w[:, 0] * 2), truth, np.arange(count) % 3))
    return Drawn(drawn(label, 0), label), photos


def test_taking_off_a_shift_of_2_brings_back_what_it_cost_and_no_fit_sees_what_it_judges(moved):
    drawn, photos = moved
    seen = []

    def watch(judged, rows):
        seen.append(set(judged.third[rows]))
        return lambda w: np.full(len(w), 0.5)

    corrections.corrected(watch, photos)
    assert seen == [{1, 2}, {0, 2}, {0, 1}, {0, 1, 2}]  # three thirds of "many", then "few" by all of it
    tried = corrections.candidates(drawn, lambda w: expit(w[:, 0] * 2))
    accuracy = {
        name: np.mean((corrections.corrected(fit, photos)[0] > 0.5) == photos[0].truth) for name, fit in tried.items()
    }
    assert accuracy["uncorrected"] < 0.7
    assert accuracy["codes: the mean difference taken off"] > 0.95
    assert accuracy["codes: covariance of the table (CORAL, half shrunk)"] > 0.95
    assert accuracy["probability: temperature and offset"] > 0.9


def test_3_photos_gained_and_1_lost_are_counted_and_3_of_4_are_no_proof():
    before, after = np.array([0.9, 0.9, 0.9, 0.1, 0.1]), np.array([0.1, 0.1, 0.1, 0.9, 0.1])
    assert corrections.gained_and_lost(before, after, np.zeros(5, int)) == (3, 1, pytest.approx(0.625))


def test_the_3_thirds_are_about_as_large_and_third_0_is_the_held_out_one():
    counts = np.bincount([third_of(f"photo-{i}.jpg") for i in range(3000)], minlength=3)
    assert counts.sum() == 3000 and (abs(counts - 1000) < 100).all()
    assert all(is_held_out(f"photo-{i}") == (third_of(f"folder/photo-{i}.png") == 0) for i in range(100))


def test_labels_that_cannot_be_read_are_1_sentence_that_says_what_they_must_hold(tmp_path, run):
    for content in (None, "", "photo,sex\na.jpg,F\n", "image,sex\na.jpg,F\n"):
        if content is not None:
            (tmp_path / "labels.csv").write_text(content)
        result = run("measure-portraits", tmp_path)
        assert result.exit_code == 1 and "the columns image and gender" in result.output
        assert len(result.output.splitlines()) == 1


def test_0_faces_in_3_portraits_and_a_photo_that_is_missing_are_sentences(folder, monkeypatch, studio, run):
    assert "a.jpg cannot be read" in run("measure-portraits", folder).output
    monkeypatch.setattr(portraits, "aligned_faces", lambda table, file: (table.iloc[:0], []))
    result = run("measure-portraits", folder)
    assert result.exit_code == 1 and "No face was found in any of 3 photos" in result.output


@pytest.mark.slow
@pytest.mark.long
def test_a_portrait_without_a_face_counts_as_not_right_over_all_3(folder, monkeypatch, studio, run, tmp_path):
    def first_two(table, file):
        assert table["gender"].tolist() == [0, 1, 1]
        return table.iloc[:2].reset_index(drop=True), [face.pixels for face in studio.samples()[:2]]

    monkeypatch.setattr(portraits, "aligned_faces", first_two)
    file = tmp_path / "deep" / "card.md"
    found = json.loads(run("measure-portraits", folder, "--card", file, "--json").stdout)
    (one,) = found["folders"]
    assert (one["photos"], one["of"]) == (2, 3)
    assert one["accuracy_of_all"] == pytest.approx(one["classifier"]["all"]["accuracy"] * 2 / 3)
    assert one["classifier"]["all_female"]["photos"] == one["label_network"]["all_male"]["photos"] == 1
    assert len(one["domain_gap"]["layers"]) == 23 and one["domain_gap"]["overall"]["channels"] == 6752
    assert one["wrong"] == 2 - one["classifier"]["all"]["right"] >= one["wrong_in_reconstruction_too"]
    assert "label_network_on_reconstructions" in one and found["corrections"] == []
    card = file.read_text()
    assert card.startswith("# The classifier of perceived gender") and found["encoder_sha256"] in card
    assert "2 of 3 had a face." in card and "too few portraits" in card
    text = run("measure-portraits", folder).stdout
    assert text.startswith("Portraits\n\n2 of 3 had a face.") and "reconstruction" not in text


def test_a_share_of_everybodys_row_is_not_shown_twice_where_there_is_1_gender():
    part = portraits.figures(np.array([0, 0, 0]), np.array([0.1, 0.2, 0.9]))
    split = portraits._split(np.array([0, 0, 0]), np.array([0.1, 0.2, 0.9]), np.array([0, 1, 2]))
    layer = {"layer": 0, "channels": 2, "shift": 1.0, "shift_same_mix": 1.0, "spread": 1.0, "outside": 0.02}
    one = {
        "folder": "women",
        "photos": 3,
        "of": 3,
        "accuracy_of_all": part["accuracy"],
        "classifier": split,
        "label_network": split,
        "domain_gap": {"layers": [layer], "overall": layer},
    }
    text = portrait_card.report({"folders": [one]})
    assert text.count("2 of 3 ") == 2 and "recorded female" not in text and "held-out third, female" not in text
    assert "66.7% (20.8% to 93.9%)" in text  # Wilson's interval of 2 of 3


@pytest.mark.slow
@pytest.mark.long
def test_12_portraits_of_young_women_are_measured_beside_the_label_network(shared_photos, studio, run):
    found = json.loads(run("measure-portraits", shared_photos / "canada", "--json").stdout)
    (one,) = found["folders"]
    assert one["photos"] == one["of"] == 12 and one["held_out_photos"] == 4
    assert one["classifier"]["all"]["auc"] is None
    assert one["label_network"]["all"]["right"] >= 10 and "corrections" not in found

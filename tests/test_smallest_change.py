"""The smallest change that turns a decision: a linear classifier worked by hand, the real ones, and one of pixels."""

from __future__ import annotations

import json
from itertools import permutations

import numpy as np
import pytest
import typer
from PIL import Image
from scipy.special import expit
from typer.testing import CliRunner

from img2tab_core.audits.auditor import Auditor
from img2tab_core.audits.smallest_change import smallest_changes, way
from img2tab_core.base.errors import Cancelled, Img2TabError
from img2tab_core.base.files import ROOT
from img2tab_core.base.records import SAME_PERSON, Edit, Metrics
from img2tab_core.classifiers import models, pixel_models
from img2tab_core.classifiers.pixels import PixelClassifier
from img2tab_core.classifiers.runs import Run
from img2tab_core.cli.changes import changes_app

START = -3.02  # log-odds of class 1 before anything is moved
SLOPES = {"hair-long": 1.0, "chin-facial-hair": -0.5, "mouth-smile": 0.4}  # log-odds for each standard deviation


class Linear:
    """Log-odds that are `start` at one style code and rise by a slope with each family."""

    kind = "linear"

    def __init__(self, studio, code, start: float, slopes: dict[str, float]) -> None:
        self.at, self.start = code.values.astype(np.float64), start
        self.weights = np.zeros(len(self.at))
        std = studio.table().stats.std
        for name, slope in slopes.items():
            family = studio.described().find(name)
            self.weights[family.channels] = slope * family.parts / std[family.channels] / (family.parts**2).sum()

    def predict_proba(self, codes: np.ndarray) -> np.ndarray:
        chance = expit(self.start + (codes.astype(np.float64) - self.at) @ self.weights)
        return np.column_stack([1 - chance, chance])


def run_of(classifier, target: str = "smiling") -> Run:
    metrics = Metrics(1.0, (1.0, 1.0), 1.0, 0.0, ((1, 0), (0, 1)), 2)
    return Run("by-hand", "default", target, classifier, frozenset(), 0, metrics, 0.0)


@pytest.fixture(scope="module")
def codes(studio):
    """Style codes of the ninth and the tenth sample face: neither smiles."""
    if studio.description() is None:
        pytest.skip("the families that come with the program are of other weights than those that are fetched")
    return studio.encode_all(studio.samples()[9:11])


@pytest.fixture
def linear(studio, codes):
    return run_of(Linear(studio, codes[0], START, SLOPES))


def moved(change) -> dict[str, float]:
    return {family: strength for family, _, strength in change.families}


# ---- worked by hand


def test_slopes_of_1_and_minus_half_and_04_turn_302_with_31_minus_61_and_76_standard_deviations(studio, codes, linear):
    result = smallest_changes(studio, linear, codes[0], drawn=False)
    assert [moved(change) for change in result.changes] == [
        {"hair-long": 3.1},
        {"chin-facial-hair": -6.1},
        {"mouth-smile": 7.6},
    ]
    assert [change.cost for change in result.changes] == pytest.approx([0.31, 0.61, 0.76])
    assert result.decided == 0 and result.nearest is None and result.before == pytest.approx(expit(START), abs=1e-4)
    assert result.changes[0].after == pytest.approx(expit(START + 3.1), abs=1e-3)
    assert result.changes[0].read is None and result.changes[0].identity is None  # nothing was drawn
    assert "Hair: long moved by +3.1 turns perceived not smiling" in result.changes[0].sentence


def test_within_5_standard_deviations_two_concepts_together_cost_what_the_best_split_of_them_costs(
    studio, codes, linear
):
    result = smallest_changes(studio, linear, codes[0], keep=["Hair: long"], reach=5, drawn=False)
    assert [set(moved(change)) for change in result.changes] == [{"chin-facial-hair", "mouth-smile"}]
    # by hand: the steeper one to its reach, 2.5 of 3.02, and 1.3 of the other for the rest; a quarter for the second
    assert result.changes[0].cost == pytest.approx((5 + 1.3) / 5 + 0.25, rel=0.02)
    assert all(abs(strength) <= 5 for strength in moved(result.changes[0]).values())


def test_a_start_of_minus_22_is_a_sentence_with_the_5_percent_to_which_three_concepts_moved_by_10_bring_it(
    studio, codes
):
    run = run_of(Linear(studio, codes[0], -22.0, SLOPES))
    result = smallest_changes(studio, run, codes[0], drawn=False)
    assert result.changes == () and sorted(moved(result.nearest).values()) == [-10, 10, 10]
    assert result.nearest.after == pytest.approx(expit(-22 + 10 + 5 + 4), abs=1e-3)
    assert result.sentence.startswith("No change of up to 3 concepts within ±10 turns it; nearest: ")
    assert result.sentence.replace("\N{NO-BREAK SPACE}", " ").endswith("from under 0.1 % to 4.7 %.")


def test_a_face_whose_drawn_picture_is_decided_otherwise_is_asked_about_by_codes_and_a_note_says_so(studio, codes):
    classifier = Linear(studio, codes[0], 0.0, SLOPES)
    classifier.start = -float((studio.reread(codes[0]).values - classifier.at) @ classifier.weights) / 2
    result = smallest_changes(studio, run_of(classifier), codes[0])
    assert "decided otherwise already" in result.note
    assert all(change.read is None for change in result.changes)
    (strength,) = moved(result.changes[0]).values()
    assert abs(strength) <= abs(classifier.start) + 0.2  # the steepest slope is 1


def test_what_is_kept_stays_and_keeping_all_or_an_unknown_name_is_a_sentence(studio, codes, linear):
    kept = smallest_changes(studio, linear, codes[0], keep=["hair-long", "expression"], drawn=False)
    assert [moved(change) for change in kept.changes] == [{"chin-facial-hair": -6.1}]  # mouth-smile is an expression
    with pytest.raises(Img2TabError, match="names no family"):
        smallest_changes(studio, linear, codes[0], keep=["whiskers of a cat"], drawn=False)
    everything = [family.id for family in studio.described().families]
    with pytest.raises(Img2TabError, match="Every concept is kept"):
        smallest_changes(studio, linear, codes[0], keep=everything, drawn=False)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"most": 4}, "1 to 3 concepts at most, got 4"),
        ({"answers": 0}, "at least 1, got 0"),
        ({"reach": 0.0}, "between 0.1 and 100 standard deviations, got 0"),
    ],
)
def test_an_option_out_of_its_range_is_a_sentence_with_the_number(studio, codes, linear, options, words):
    with pytest.raises(Img2TabError, match=words):
        smallest_changes(studio, linear, codes[0], drawn=False, **options)


def test_told_to_stop_nothing_is_answered(studio, codes, linear):
    with pytest.raises(Cancelled):
        smallest_changes(studio, linear, codes[0], drawn=False, cancelled=lambda: True)


def test_a_beard_of_10_that_makes_another_person_is_no_answer_where_the_identity_is_kept(studio):
    code = studio.encode(studio.samples()[2])
    run = run_of(Linear(studio, code, -4.9, {"chin-facial-hair": 0.5}))
    free = smallest_changes(studio, run, code, drawn=False)
    assert [moved(change) for change in free.changes] == [{"chin-facial-hair": pytest.approx(9.9, abs=0.1)}]
    kept = smallest_changes(studio, run, code, keep=["identity"], drawn=False)
    assert kept.changes == () and kept.nearest.identity >= SAME_PERSON
    assert "leaves the same person" in kept.sentence and "another person" in kept.nearest.sentence


# ---- the real classifiers


def test_of_2_changes_none_holds_the_other_each_turns_it_asked_anew_and_the_second_time_is_as_the_first(studio, codes):
    run = studio.on_photos(studio.run(studio.table(), "smiling"))
    result = Auditor(studio).smallest_changes(run, codes[1], drawn=False)
    assert len(result.changes) >= 2 and result.asked > 1500
    for first, second in permutations(result.changes, 2):
        assert not set(moved(first)) <= set(moved(second))
    assert [change.cost for change in result.changes] == sorted(change.cost for change in result.changes)
    for change in result.changes:
        asked_anew = studio.predict(run, codes[1], change.edits)
        assert asked_anew.decided != result.decided and asked_anew.probability == pytest.approx(change.after, abs=1e-6)
    assert smallest_changes(studio, run, codes[1], drawn=False) == result


@pytest.mark.slow
@pytest.mark.long
def test_what_the_encoder_reads_in_the_drawn_change_is_decided_otherwise_and_a_tenth_less_is_not(studio, codes):
    run = studio.run(studio.table(), "smiling")
    result = smallest_changes(studio, run, codes[0], answers=1, most=1)
    (change,) = result.changes
    (strength,) = moved(change).values()
    family, stats = studio.described().find(change.families[0][0]), studio.stats_of(run)

    def read(by: float) -> float:
        return studio.predict(run, studio.reread(studio.edited(codes[0], family.edits(by), stats=stats))).probability

    assert read(strength) == pytest.approx(change.read, abs=1e-6) and change.read > 0.5 > change.read_before
    assert read(strength - 0.1 * np.sign(strength)) <= 0.5
    assert 0 < change.identity < SAME_PERSON
    frames = way(studio, run, codes[0], change, frames=3, size=128)
    assert [frame.shift for frame in frames] == pytest.approx([0, abs(strength) / 2, abs(strength)])
    assert frames[0].probability == pytest.approx(change.read_before, abs=1e-6)
    assert frames[-1].probability == pytest.approx(change.read, abs=1e-6)
    assert {frame.pixels.shape for frame in frames} == {(128, 128, 3)}
    with pytest.raises(Img2TabError, match="at least 2 frames, got 1"):
        way(studio, run, codes[0], change, frames=1)


def test_a_classifier_of_the_light_on_the_mouth_is_turned_and_says_so_about_the_drawn_picture(studio, codes):
    def light(squares: np.ndarray) -> np.ndarray:
        return squares[:, 40:52, 24:40].mean(axis=(1, 2, 3))  # (n,), of 255 levels

    before = studio.render(codes[0], size=128).reshape(1, 64, 2, 64, 2, 3).mean(axis=(2, 4))  # (1, 64, 64, 3)
    threshold = float(light(before)[0]) + 8
    model = pixel_models.of_function(
        light, "mouth-light", size=64, output="value", classes=("light",), threshold=threshold
    )
    models.register(model)
    try:
        run = run_of(PixelClassifier.of(model, studio.backbone()), "mouth-light")
        lights = ["skin-lighter", "picture-lighter", "cheeks-lighter", "background-warmer"]
        others = [family.id for family in studio.described().families if family.id not in lights]
        result = smallest_changes(studio, run, codes[0], keep=others, most=1)
        assert result.decided == 0 and result.changes
        for change in result.changes:
            picture = studio.render(codes[0], change.edits, size=128, stats=studio.stats_of(run))
            assert light(model.input.squares(picture[None]))[0] == pytest.approx(threshold, abs=2)
            code = studio.edited(codes[0], change.edits, stats=studio.stats_of(run))
            assert change.after > 0.5 and change.read is None
            assert run.classifier.predict_proba(code.values[None])[0, 1] == pytest.approx(change.after, abs=1e-6)
            assert set(moved(change)) < set(lights) and "turns light" in change.sentence
        assert "background-warmer" not in moved(result.changes[0])
    finally:
        models.remove("mouth-light")


# ---- the terminal


def test_flip_prints_one_document_and_draws_a_row_of_7_pictures_for_each_of_2_changes(studio, codes, tmp_path):
    app, out = typer.Typer(), tmp_path / "way.png"
    app.add_typer(changes_app)
    app.callback()(lambda: None)
    photo = ROOT / "assets" / "samples" / "10.jpg"
    words = ["flip", photo, "--target", "smiling", "--no-align", "--by-codes", "--answers", 2, "--out", out, "--json"]
    answer = CliRunner().invoke(app, [str(word) for word in words])
    assert answer.exit_code == 0, answer.output
    document = json.loads(answer.stdout)
    assert document["target"] == "smiling" and len(document["changes"]) == 2
    edits = [Edit(**edit) for edit in document["changes"][0]["edits"]]
    run = studio.on_photos(studio.run(studio.table(), "smiling"))
    assert studio.predict(run, codes[1], edits).decided != document["decided"]
    with Image.open(out) as sheet:
        assert sheet.width > 7 * 256 and 2 * 256 < sheet.height < 3 * 256 + 200
    refused = CliRunner().invoke(app, ["flip", str(photo), "--target", "smiling", "--out", "way.gif"])
    assert refused.exit_code == 1 and "must end in .png, got way.gif" in refused.output

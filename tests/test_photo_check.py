"""Is it right about these photos? Calibrations, label files, and the check on the terminal."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from PIL import Image
from scipy.special import expit, logit
from typer.testing import CliRunner

from img2tab_core.audits import photo_check
from img2tab_core.base import files, words
from img2tab_core.base.errors import Cancelled, Img2TabError
from img2tab_core.base.files import ROOT
from img2tab_core.base.records import Target
from img2tab_core.classifiers import calibrated
from img2tab_core.cli.main import app
from img2tab_core.tables import calibrations, open_table
from img2tab_core.tables.calibrations import Calibration
from img2tab_core.tables.label_files import answers_for
from img2tab_core.training.measuring import on_people
from img2tab_core.training.real_photos import People

GENDER = Target("perceived_gender", "Perceived gender", ("perceived female", "perceived male"), "by hand")
SMILE = Target("smiling", "Perceived smile", ("perceived not smiling", "perceived smiling"), "by hand")


def drawn(count: int, slope: float, offset: float) -> tuple[np.ndarray, np.ndarray]:
    """A classifier's probabilities, and answers whose log-odds are slope times its own plus offset."""
    rng = np.random.default_rng(0)
    odds = rng.normal(0, 3, count)
    return expit(odds), (rng.random(count) < expit(slope * odds + offset)).astype(int)


def fitted(probability: np.ndarray, truth: np.ndarray) -> Calibration:
    return calibrated.fit_calibration(probability, truth, kind="catboost", source="here", day="2026-11-28")


# ---- the two numbers


def test_a_slope_of_half_and_an_offset_of_2_are_found_again_on_20000_photos():
    found = fitted(*drawn(20_000, 0.5, 2.0))
    assert found.slope == pytest.approx(0.5, abs=0.02) and found.offset == pytest.approx(2.0, abs=0.05)
    assert found.photos == 20_000


def test_where_every_photo_is_right_20_photos_do_not_make_it_certain():
    truth = np.repeat([0, 1], 10)
    found = fitted(np.where(truth, 0.9, 0.1), truth)
    # Platt: ten of ten right count as eleven of twelve
    assert found.chance(np.array([0.1, 0.9])) == pytest.approx([1 / 12, 11 / 12], abs=1e-3)


def test_9_photos_of_a_class_and_labels_the_wrong_way_round_are_sentences():
    with pytest.raises(Img2TabError, match="10 photos of each class, got 9 of the first and 30 of the second"):
        fitted(np.full(39, 0.5), np.repeat([0, 1], [9, 30]))
    probability, truth = drawn(200, 1.0, 0.0)
    with pytest.raises(Img2TabError, match="wrong way round"):
        fitted(probability, 1 - truth)


def test_a_probability_of_0_or_1_stays_one_and_one_half_moves_by_the_offset():
    calibration = Calibration("catboost", 0.5, 1.0, 20, "here", "2026-11-28")
    assert calibration.chance(np.array([0.0, 0.5, 1.0])).tolist() == [0.0, pytest.approx(expit(1.0)), 1.0]
    with pytest.raises(Img2TabError, match="slope above 0"):
        Calibration("catboost", -0.5, 1.0, 20, "here", "2026-11-28")


def test_cross_validation_judges_each_of_400_photos_by_a_fit_without_it_and_keeps_2_photos_of_a_person_together():
    probability, truth = drawn(400, 0.5, 2.0)
    unseen = calibrated.cross_validated(probability, truth)
    error = [float(np.mean(np.square(chance - truth))) for chance in (probability, unseen)]
    assert error[1] < error[0]
    people = np.repeat(np.arange(200), 2)
    pairs = calibrated.cross_validated(probability, truth, people)
    odds, fits = logit(probability), logit(pairs)
    # the two photos of a person lie on one line: their slope and offset are of the same fold
    lines = {tuple(np.round([(fits[i + 1] - fits[i]) / (odds[i + 1] - odds[i])], 6)) for i in range(0, 400, 2)}
    assert len(lines) == 10


def test_a_calibrated_run_adds_up_to_its_probability_and_orders_faces_as_before(studio):
    run = studio.run(studio.table(), "perceived_gender")
    calibration = Calibration("catboost", 0.6, -1.5, 20, "here", "2026-11-28")
    judge = calibrated.calibrated(run, calibration)
    codes = studio.table().psi[:40]
    raw, made = (each.classifier.predict_proba(codes)[:, 1] for each in (run, judge))
    assert made == pytest.approx(expit(0.6 * logit(raw) - 1.5))
    assert (np.argsort(raw) == np.argsort(made)).all()
    from img2tab_core.classifiers.measures import explain

    for prediction, chance in zip(explain(judge.classifier, codes[:5]), made, strict=False):
        assert expit(prediction.baseline + prediction.contributions.sum()) == pytest.approx(chance)
    assert judge.id != run.id and calibrated.calibrated(run, None) is run
    with pytest.raises(Img2TabError, match="is not saved"):
        judge.classifier.write(ROOT)


# ---- where they lie


@pytest.fixture
def toy(toy_home, tmp_path, monkeypatch):
    home = toy_home(60, 8, kind=2.0, group_from=6)
    monkeypatch.setenv("IMG2TAB_HOME", str(home))
    return open_table(home / "tables" / "toy")


def test_2_calibrations_are_kept_and_taken_back_one_after_the_other(toy):
    first, second = (Calibration("catboost", 1.0, offset, 20, "here", "2026-11-28") for offset in (1.0, 2.0))
    assert calibrations.calibration_of(toy, "kind", "catboost") is None
    calibrations.keep_calibration(toy, "kind", first)
    calibrations.keep_calibration(toy, "kind", second)
    assert calibrations.calibration_of(toy, "kind", "catboost") == second
    assert calibrations.calibration_of(toy, "kind", "logistic") is None  # its log-odds are others
    assert calibrations.undo_calibration(toy, "kind") == second
    assert calibrations.calibration_of(toy, "kind", "catboost") == first
    assert calibrations.undo_calibration(toy, "kind") == first
    assert not calibrations.has_own_calibration(toy, "kind")
    with pytest.raises(Img2TabError, match="nothing to undo"):
        calibrations.undo_calibration(toy, "kind")


def test_a_calibration_of_a_table_that_was_replaced_does_not_count_and_a_damaged_file_is_a_sentence(toy):
    calibrations.keep_calibration(toy, "kind", Calibration("catboost", 1.0, 1.0, 20, "here", "2026-11-28"))
    file = calibrations._file_of(toy)
    stored = json.loads(file.read_text())
    file.write_text(json.dumps(stored | {"table_key": "another"}))
    assert calibrations.calibration_of(toy, "kind", "catboost") is None
    file.write_text("{")
    with pytest.raises(Img2TabError, match=r"Remove .* and calibrate again"):
        calibrations.calibration_of(toy, "kind", "catboost")


def test_what_is_shipped_is_of_the_labels_that_are_shipped_and_of_7_targets():
    stored = json.loads(calibrations.SHIPPED.read_text())
    read = calibrations._read_shipped(calibrations.SHIPPED, 0, 0)
    assert set(read) == set(stored["targets"]) and len(read) == 7
    assert read["perceived_gender"].photos == 379 and read["smiling"].photos == 341


# ---- label files


def read(tmp_path, text: str, target: Target = GENDER, column: str = ""):
    file = tmp_path / "labels.csv"
    file.write_text(text)
    return answers_for(file, target, column)


@pytest.mark.parametrize(
    ("values", "truth"),
    [
        ("M,F,M", [1, 0, 1]),
        ("male,female,MALE", [1, 0, 1]),
        ("1,0,", [1, 0, -1]),
        ("yes,no,unknown", [1, 0, -1]),
        ("M,M,M", [1, 1, 1]),
        ("b,a,b", [1, 0, 1]),
    ],
)
def test_2_values_become_the_targets_classes_by_their_words_or_their_order(tmp_path, values, truth):
    lines = [f"{name}.jpg,{value}" for name, value in zip("abc", values.split(","), strict=True)]
    answers = read(tmp_path, "image,gender\n" + "\n".join(lines))
    assert answers.truth.tolist() == truth and "perceived male" in answers.meaning


def test_other_columns_form_groups_and_person_says_who_is_in_a_photo(tmp_path):
    answers = read(
        tmp_path, "file,smiling,team,age,person\na.jpg,1,Red,30.5,x\nb.jpg,0,blue,31,x\nc.jpg,0,red,32,y\n", SMILE
    )
    assert answers.groups["team"].tolist() == ["red", "blue", "red"] and answers.people.tolist() == ["x", "x", "y"]
    assert answers.names == ("a.jpg", "b.jpg", "c.jpg")


@pytest.mark.parametrize(
    ("text", "column", "sentence"),
    [
        ("image,team\na.jpg,1\n", "", "must have a column perceived_gender or gender .* got team"),
        ("image,team\na.jpg,1\n", "age", "must have a column age"),
        ("image,gender\na.jpg,M\na.jpg,F\n", "", "'a.jpg' more than once"),
        ("image,gender\na.jpg,x\nb.jpg,y\nc.jpg,z\n", "", "must have two values"),
    ],
)
def test_a_file_that_does_not_say_it_is_a_sentence(tmp_path, text, column, sentence):
    with pytest.raises(Img2TabError, match=sentence):
        read(tmp_path, text, GENDER, column)


# ---- the check


def test_a_group_of_29_is_small_one_of_30_is_not_and_classes_come_first():
    truth = np.repeat([0, 1], [29, 30])
    groups = photo_check.by_group(truth, np.full(59, 0.9), SMILE.classes, {"team": np.array(["a"] * 58 + [""], object)})
    assert [(group.column, group.value, group.photos, group.right, group.small) for group in groups] == [
        ("", "perceived not smiling", 29, 0, True),
        ("", "perceived smiling", 30, 30, False),
        ("team", "a", 58, 29, False),
    ]


def test_the_surest_of_2_wrong_decisions_comes_first():
    check = photo_check.PhotoCheck(
        table="t",
        target="smiling",
        kind="catboost",
        classes=SMILE.classes,
        photos=("a", "b", "c"),
        truth=np.array([0, 1, 1]),
        raw=np.array([0.6, 0.1, 0.9]),
        in_use=None,
        columns={},
        calibrated=None,
        of=3,
        skipped=(),
        column="smiling",
        meaning="",
    )
    wrong = check.wrong()
    assert [(each.photo, each.truth, each.probability) for each in wrong] == [("b", 1, 0.1), ("a", 0, 0.6)]


@pytest.fixture(scope="module")
def folder(studio, tmp_path_factory):
    """The 12 samples, which are aligned faces, each twice and mirrored, beside a file that is no picture."""
    made = tmp_path_factory.mktemp("photos")
    lines = ["image,gender,side"]
    run = studio.run(studio.table(), "perceived_gender")
    for number, file in enumerate(sorted((ROOT / "assets" / "samples").glob("*.jpg"))):
        face = Image.open(file)
        for side, picture in (("left", face), ("right", face.transpose(Image.Transpose.FLIP_LEFT_RIGHT))):
            picture.save(made / f"{number:02d}-{side}.png")
            code = studio.encode(studio.aligned_face((made / f"{number:02d}-{side}.png").read_bytes()))
            answer = studio.predict(run, code).decided
            lines.append(f"{number:02d}-{side}.png,{'M' if answer else 'F'},{side}")
    (made / "bad.jpg").write_bytes(b"no picture")
    (made / "labels.csv").write_text("\n".join([*lines, "bad.jpg,M,left"]) + "\n")
    return made


@pytest.fixture
def cli(studio, other_home, monkeypatch):
    shutil.copytree(files.home() / "runs", other_home / "runs", dirs_exist_ok=True)  # the standing one among them
    monkeypatch.setenv("IMG2TAB_HOME", str(other_home))
    return lambda *words: CliRunner().invoke(app, [str(word) for word in words])


def test_24_faces_labelled_as_the_classifier_says_are_right_before_a_calibration_and_the_25th_is_skipped(
    studio, folder, tmp_path
):
    photos = {file.name: file.read_bytes for file in sorted(folder.iterdir()) if file.suffix != ".csv"}
    answers = answers_for(folder / "labels.csv", GENDER)
    check = photo_check.check_photos(studio, studio.table(), "perceived_gender", photos, answers, aligned=True)
    assert (len(check.photos), check.of, [name for name, _ in check.skipped]) == (24, 25, ["bad.jpg"])
    assert photo_check.figures_of(check.truth, check.raw).right == 24
    assert check.in_use is not None and check.probability == pytest.approx(check.in_use.chance(check.raw))
    assert {group.value: group.photos for group in check.groups if group.column == "side"} == {"left": 12, "right": 12}
    assert check.is_small
    with pytest.raises(Cancelled):
        photo_check.check_photos(
            studio, studio.table(), "perceived_gender", photos, answers, aligned=True, stopped=lambda: True
        )
    (tmp_path / "other.csv").write_text("image,gender\nz.jpg,M\n")
    with pytest.raises(Img2TabError, match="None of 25 photos has an answer"):
        photo_check.check_photos(
            studio, studio.table(), "perceived_gender", photos, answers_for(tmp_path / "other.csv", GENDER)
        )


def test_24_photos_checked_by_a_process_of_its_own_are_the_same_file_and_0_shards_are_left(
    cli, folder, tmp_path, other_home
):
    files = tmp_path / "here.csv", tmp_path / "there.csv"
    for file, options in zip(files, ((), ("--workers", 1)), strict=True):
        words = ("check-photos", folder, "--labels", folder / "labels.csv", "--target", "perceived_gender")
        ended = cli(*words, "--column", "gender", "--no-align", "--out", file, *options)
        assert ended.exit_code == 0, ended.output
    assert files[0].read_bytes() == files[1].read_bytes() and len(files[0].read_text().splitlines()) == 25
    assert not list((other_home / "imports").glob("check-*"))


def test_the_terminal_checks_calibrates_on_24_photos_and_takes_it_back(cli, folder, tmp_path, studio):
    words_of_it = (
        "check-photos",
        folder,
        "--labels",
        folder / "labels.csv",
        "--target",
        "perceived_gender",
        "--no-align",
    )
    before = json.loads(cli(*words_of_it, "--json").stdout)
    assert before["photos"] == 24 and before["small"] and before["kept"] is None
    assert before["calibration_in_use"]["photos"] == 379
    kept = cli(*words_of_it, "--calibrate", "--out", tmp_path / "photos.csv")
    try:
        assert kept.exit_code == 0, kept.output
        assert "calibrated on 24 photos" in kept.stdout and "Few photos" in kept.stdout
        lines = (tmp_path / "photos.csv").read_text().splitlines()
        assert lines[0] == "photo,answer,probability,decided,right" and len(lines) == 25
        after = json.loads(cli(*words_of_it, "--json").stdout)
        assert after["calibration_in_use"]["photos"] == 24
        sample = folder / "00-left.png"
        said = json.loads(
            cli("predict", sample, "--target", "perceived_gender", "--no-align", "--no-quality", "--json").stdout
        )["results"][0]
        assert said["calibrated_on"] == 24
    finally:
        undone = cli("check-photos", "--target", "perceived_gender", "--undo")
    assert "taken back" in undone.stdout and "379 photos" in undone.stdout
    assert json.loads(cli(*words_of_it, "--json").stdout) == before


@pytest.mark.parametrize(
    ("words_of_it", "sentence"),
    [
        ((), "Name a folder of photos"),
        (("nowhere", "--labels", "x.csv"), "There is no folder nowhere"),
        (("nowhere", "--undo"), "takes a calibration back and nothing else"),
        (("--undo",), "nothing to undo"),
    ],
)
def test_a_check_that_cannot_be_is_a_sentence(cli, words_of_it, sentence):
    answered = cli("check-photos", *words_of_it, "--target", "glasses")
    assert answered.exit_code == 1 and sentence in answered.output and "Traceback" not in answered.output


# ---- a decision in words


def test_a_decision_says_what_a_network_would_see_and_whether_it_is_uncertain():
    assert words.decision(SMILE.classes, 0.93) == "Judged what a network would see as smiling."
    near = words.decision(SMILE.classes, 0.3)
    assert near == (
        "Judged what a network would see as not smiling. This is uncertain: it lies near the border to what a network "
        "would see as smiling."
    )
    assert "the reconstruction is poor" in words.decision(SMILE.classes, 0.99, poor=True)
    assert words.decision(("cat", "dog"), 0.9) == "Judged dog."


# ---- calibrations of the default table


def test_a_calibration_is_fitted_on_two_thirds_and_measured_on_the_third(studio):
    table = studio.table()
    rows = table.rows("test")[:600]
    rows = rows[table.labels["perceived_gender"].to_numpy()[rows] >= 0]
    truth = table.labels["perceived_gender"].to_numpy()[rows].astype(np.int8)
    text = np.array([""] * len(rows), object)
    people = People(
        folder=np.array(["here"] * len(rows), object),
        faces=[np.zeros((8, 8, 3), np.uint8)] * len(rows),
        third=np.arange(len(rows)) % 3,
        answers={"perceived_gender": truth},
        recorded={},
        age=np.full(len(rows), np.nan),
        groups={"gender": text, "ethnicity": text},
        of={"here": len(rows)},
    )
    codes = np.asarray(table.psi[rows])
    made = on_people.fit_calibrations(studio, people, codes)
    assert set(made) <= {"perceived_gender"} and all(each.photos < len(rows) for each in made.values())
    (entry,) = on_people.measure_people(studio, people, codes, table)
    assert entry["held_out"]["photos"] == int((people.third == 0).sum())
    assert sum(group["photos"] for group in entry["groups"] if group["column"] == "folder") == len(rows)
    said = on_people.report([entry], None)
    assert "| Perceived gender |" in said and "folder: here" in said

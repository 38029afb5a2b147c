"""Where two classifiers disagree: two functions of which one adds a known term, and statistics worked by hand."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import typer
from PIL import Image
from scipy.special import expit, logit
from scipy.stats import norm, t
from typer.testing import CliRunner

from img2tab_core.audits import disagreement as module
from img2tab_core.audits.disagreement import compared, disagreement, scores_apart
from img2tab_core.backbones import drawn_faces
from img2tab_core.base import files
from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.records import Metrics
from img2tab_core.classifiers import answers, models, pixel_models, reactions
from img2tab_core.classifiers.pixels import PixelClassifier
from img2tab_core.classifiers.runs import Run
from img2tab_core.cli.disagree import disagree_app
from img2tab_core.concepts import ranking
from img2tab_core.concepts.moved_pictures import moved_face
from img2tab_core.tables import store

ASKED, MOVED = 40, 3  # faces
FAMILIES = [0, 1, 5]  # that are moved


def brightness(squares: np.ndarray) -> np.ndarray:
    """Log-odds of "bright", 0 for a face of middle grey."""
    return 12 * (squares.mean(axis=(1, 2, 3)) / 255 - 0.45)


def redness(squares: np.ndarray) -> np.ndarray:
    """The known term: how much redder than blue a face is, in the same log-odds."""
    return 30 * (squares[..., 0].mean(axis=(1, 2)) - squares[..., 2].mean(axis=(1, 2))) / 255 - 4


FUNCTIONS = {
    "bright": brightness,
    "bright-and-red": lambda squares: brightness(squares) + redness(squares),
    "dark": lambda squares: -brightness(squares),
    "never-asked": brightness,
}


def model_of(name: str) -> pixel_models.PixelModel:
    def numbers(squares: np.ndarray) -> np.ndarray:
        return np.stack([np.zeros(len(squares)), FUNCTIONS[name](squares)], axis=1)

    return pixel_models.of_function(numbers, name, size=128, output="logits", classes=("no", "yes"))


class ByCode:
    """A trained classifier worked by hand: its log-odds are a straight line in one family's score."""

    kind = "by-hand"

    def __init__(self, studio, family: str, slope: float) -> None:
        stats, chosen = studio.table().stats, studio.described().find(family)
        self.weights = np.zeros(len(stats.std))
        self.weights[chosen.channels] = slope * chosen.parts / stats.std[chosen.channels]
        self.mean = stats.mean

    def predict_proba(self, codes: np.ndarray) -> np.ndarray:
        chance = expit((codes.astype(np.float64) - self.mean) @ self.weights)
        return np.column_stack([1 - chance, chance])

    def probabilities(self, psi: np.ndarray, rows: np.ndarray) -> np.ndarray:
        return self.predict_proba(np.ascontiguousarray(psi[rows]))


@pytest.fixture(scope="module")
def home(studio, tmp_path_factory):
    """A visitor's folder in which three functions were asked about 40 faces, and two about 3 moved ones."""
    if studio.description() is None:
        pytest.skip("the families that come with the program are of other weights than those that are fetched")
    own = tmp_path_factory.mktemp("home")
    (own / "tables").mkdir()
    (own / "tables" / "default").symlink_to(files.home() / "tables" / "default")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IMG2TAB_HOME", str(own))
        patch.setattr(answers, "STEPS", (ASKED, *answers.STEPS))
        patch.setattr(answers, "FIRST", ASKED)
        patch.setattr(reactions, "FIRST_FACES", MOVED)
        patch.setattr(store, "LEAST_OF_A_CLASS", 1)
        table, backbone = studio.table(), studio.backbone()
        for name in FUNCTIONS:
            models.register(model_of(name))
        for name in ("bright", "bright-and-red", "dark"):
            model = models.open_model(name)
            answers.ask(model, table, backbone, answers.order_of(table)[:ASKED], size=128)
            if name != "dark":
                reactions.ask_moved(
                    model, table, backbone, studio.described(), size=128, faces=MOVED, families=FAMILIES
                )
        yield own
        for name in FUNCTIONS:
            models.remove(name)


def run_of(studio, name: str, classifier=None) -> Run:
    metrics = Metrics(1.0, (1.0, 1.0), 1.0, 0.0, ((1, 0), (0, 1)), 2)
    own = classifier is None
    classifier = classifier or PixelClassifier.of(models.open_model(name), studio.backbone(), size=128)
    return Run(f"run-{name}", "default", name, classifier, frozenset(), 0, metrics, 0.0, "a function" if own else "")


@pytest.fixture(scope="module")
def made(studio, home):
    return disagreement(studio, run_of(studio, "bright"), run_of(studio, "bright-and-red"), top=5)


@pytest.fixture(scope="module")
def pictures(studio, home):
    """The 40 faces as they were drawn, by ascending row."""
    table = studio.table()
    rows = np.sort(answers.order_of(table)[:ASKED])
    return rows, np.concatenate([part for _, part in drawn_faces.drawn(table, studio.backbone(), rows, size=128)])


# ---- faces


def test_the_5_faces_they_disagree_most_about_are_those_of_the_largest_known_term_decided_otherwise_first(
    made, pictures
):
    rows, faces = pictures
    odds, term = brightness(faces), redness(faces)
    otherwise = (odds > 0) != (odds + term > 0)
    order = sorted(range(ASKED), key=lambda place: (not otherwise[place], -abs(term[place])))[:5]
    assert [face.row for face in made.top] == rows[order].tolist()
    assert [face.otherwise for face in made.top] == otherwise[order].tolist() and otherwise.sum() > 2
    np.testing.assert_allclose([face.first for face in made.top], expit(odds[order]))
    np.testing.assert_allclose([logit(face.second) for face in made.top], (odds + term)[order])


def test_how_often_40_faces_are_decided_alike_is_counted_and_its_interval_is_wilsons(made, pictures):
    _, faces = pictures
    alike = int(((brightness(faces) > 0) == (brightness(faces) + redness(faces) > 0)).sum())
    assert (made.faces, made.alike, made.otherwise) == (40, alike, 40 - alike)
    z, share = norm.ppf(0.975), alike / 40
    middle, half = share + z**2 / 80, z * np.sqrt(share * (1 - share) / 40 + z**2 / 6400)
    np.testing.assert_allclose(made.interval, np.array([middle - half, middle + half]) / (1 + z**2 / 40))
    assert f"They decide alike about {alike} of 40 faces" in made.sentence


def test_0_faces_are_drawn_for_it(studio, home, monkeypatch):
    monkeypatch.setattr(drawn_faces, "pictures_of", None)  # whoever draws now fails
    again = disagreement(studio, run_of(studio, "bright-and-red"), run_of(studio, "bright"), top=1)
    assert again.faces == 40 and again.moved_on == 3


def test_one_that_says_the_opposite_is_turned_and_then_0_of_40_faces_are_decided_otherwise(studio, home):
    bright, dark = run_of(studio, "bright"), run_of(studio, "dark")
    turned = disagreement(studio, bright, dark)
    assert turned.turned and turned.guessed and turned.correlation == pytest.approx(-1)
    assert turned.alike == 40 and turned.classes == ("yes", "no") and turned.scores == ()
    assert "its class 0, for their answers go opposite ways (correlation −1.00)" in turned.basis
    as_named = disagreement(studio, bright, dark, turned=False)
    assert as_named.alike == 0 and not as_named.guessed and as_named.classes == ("yes", "yes")
    assert "dark was not asked about moved faces" in as_named.sentence and as_named.concepts == ()


# ---- concepts


def test_the_difference_of_3_concepts_on_3_moved_faces_is_what_the_known_term_changes(studio, home, made):
    table, described = studio.table(), studio.described()
    places = [place for number in FAMILIES for place in (2 * number, 2 * number + 1)]
    moved = np.stack([moved_face(studio.backbone(), table, described, face, places, size=128) for face in range(MOVED)])
    term = np.stack([redness(faces) for faces in moved]).reshape(MOVED, 3, 2)
    wanted = -(term[..., 1] - term[..., 0]).mean(axis=0)  # the first less the second
    found = {concept.number: concept for concept in made.concepts}
    assert sorted(found) == FAMILIES and made.moved_on == MOVED
    np.testing.assert_allclose([found[number].difference.mean for number in FAMILIES], wanted, atol=1e-9)
    for concept in made.concepts:
        assert concept.first.mean - concept.second.mean == pytest.approx(concept.difference.mean)


def test_of_4_concepts_those_that_differ_are_those_of_a_t_test_and_the_step_up_of_benjamini_and_hochberg(studio, home):
    rng = np.random.default_rng(3)
    described = replace(studio.description(), families=studio.description().families[:5])
    second = rng.normal(0.0, 1.0, (5, 12))
    first = second + rng.normal([[3.0], [0.2], [-1.5], [0.1], [0.0]], 0.8, (5, 12))
    first[4], second[0, :3] = np.nan, np.nan  # one not asked at all, one on nine faces
    p = []
    for row in (first - second)[:4]:
        row = row[np.isfinite(row)]
        p.append(2 * t.sf(abs(row.mean()) / (row.std(ddof=1) / np.sqrt(len(row))), len(row) - 1))
    below = [sum(other <= each for other in p) / 4 * 0.05 >= each for each in p]
    largest = max(each for each, passes in zip(p, below, strict=True) if passes)
    wanted = [each <= largest and abs(np.nanmean(row)) >= 0.8 for each, row in zip(p, first - second, strict=False)]
    concepts = compared(described, first, second)
    assert {concept.number: concept.differ for concept in concepts} == dict(enumerate(wanted))
    assert [concept.number for concept in concepts][:2] == [0, 2] and wanted == [True, False, True, False]


def test_the_sentence_names_the_strongest_with_both_effects_and_their_signs():
    class Named:
        def __init__(self, name: str) -> None:
            self.name, self.id = name, name.lower()

    described = type("Described", (), {"families": (Named("Chin: facial hair"), Named("Hair: long"))})()
    first = np.array([[7.8, 7.9, 8.0, 7.9], [0.1, -0.1, 0.0, 0.1]])
    second = np.array([[1.2, 1.1, 1.3, 1.2], [0.0, 0.1, 0.0, 0.0]])
    made = module.Disagreement(
        "t", ("A", "B"), ("yes", "yes"), False, True, 0.5, 10, 8, (0.4, 0.9), (1.0, 1.0), (),
        compared(described, first, second), 4, (),
    )  # fmt: skip
    assert made.about_concepts == (
        "They disagree most about Chin: facial hair: the first moves by +7.9 log-odds, the second by +1.2."
    )
    assert made.sentence.startswith("They decide alike about 8 of 10 faces, 80.0%")


def test_what_60_faces_have_more_of_is_welchs_t_test_by_hand(studio, home):
    rng = np.random.default_rng(1)
    described = replace(studio.description(), families=studio.description().families[:6])
    scores, alike = rng.normal(size=(60, 6)), np.arange(60) >= 9
    scores[:9, 2] += 3
    made = {score.number: score for score in scores_apart(described, scores, alike)}
    for number, score in made.items():
        one, other = scores[:9, number], scores[9:, number]
        squares = one.var(ddof=1) / 9, other.var(ddof=1) / 51
        error, df = np.sqrt(sum(squares)), sum(squares) ** 2 / (squares[0] ** 2 / 8 + squares[1] ** 2 / 50)
        difference = one.mean() - other.mean()
        half = t.ppf(0.975, df) * error
        assert (score.otherwise, score.alike) == pytest.approx((one.mean(), other.mean()))
        assert score.difference.mean == pytest.approx(difference)
        assert (score.difference.low, score.difference.high) == pytest.approx((difference - half, difference + half))
    assert [number for number, score in made.items() if score.differ] == [2]
    assert next(iter(made)) == 2 and scores_apart(described, scores, np.arange(60) >= 2) == ()


# ---- a trained one beside one that reads pixels


def test_a_trained_one_is_compared_on_the_asked_test_faces_alone_and_paired_with_what_is_read_of_the_same_3_faces(
    studio, home
):
    table = studio.table()
    trained = run_of(studio, "smiling", ByCode(studio, "mouth-smile", 1.0))
    made = disagreement(studio, run_of(studio, "bright"), trained)
    asked = np.intersect1d(answers.order_of(table)[:ASKED], table.rows("test"))
    assert made.faces == len(asked) < ASKED and {face.row for face in made.top} <= set(asked.tolist())
    scores = (table.psi[asked] - trained.classifier.mean) @ trained.classifier.weights
    chances = {face.row: face.second for face in made.top}
    wanted = expit(-scores if made.turned else scores)
    np.testing.assert_allclose([chances[row] for row in asked.tolist() if row in chances],
                               [wanted[at] for at, row in enumerate(asked.tolist()) if row in chances])  # fmt: skip
    described = studio.described()
    by_read = ranking.effect_of(
        described.read[:, :MOVED],
        studio.backbone(),
        lambda codes: (codes - trained.classifier.mean) @ trained.classifier.weights,
    )
    sign = -1 if made.turned else 1
    assert made.moved_on == MOVED
    for concept in made.concepts:
        assert concept.second.mean == pytest.approx(sign * by_read[concept.number].mean(), abs=1e-3)


def test_what_was_read_of_24_faces_is_known_to_be_of_these_and_read_anew_of_3_pictures_where_it_is_of_others(
    studio, home
):
    table, backbone, described = studio.table(), studio.backbone(), studio.described()
    assert module._same_faces(described, backbone, table)
    shuffled = replace(described, read=described.read[:, ::-1])
    assert not module._same_faces(shuffled, backbone, table)
    elsewhere = replace(table, split=np.roll(table.split, 1))
    assert not module._same_faces(described, backbone, elsewhere)
    moved = reactions.moved_so_far(models.open_model("bright"), table, described)
    read = module._read_anew(moved, table, backbone, described)
    weights = ByCode(studio, "mouth-smile", 1.0).weights
    effects = [
        ranking.effect_of(each, backbone, lambda codes: codes @ weights)[FAMILIES]
        for each in (read, described.read[:, :MOVED])
    ]
    assert read.shape == (len(described.families), MOVED, 2, 512)
    assert np.corrcoef(effects[0].ravel(), effects[1].ravel())[0, 1] > 0.9  # kept pictures are WebP


# ---- mistakes, and the terminal


def test_3_mistakes_are_sentences(studio, home):
    bright = run_of(studio, "bright")
    with pytest.raises(Img2TabError, match="always agrees with itself, got 'bright' twice"):
        disagreement(studio, bright, bright)
    with pytest.raises(Img2TabError, match="one of the table 'default' and one of 'other'"):
        disagreement(studio, bright, replace(run_of(studio, "dark"), table="other"))
    with pytest.raises(Img2TabError, match="no face of the table 'default' that both were asked about"):
        disagreement(studio, bright, run_of(studio, "never-asked"))


@pytest.fixture
def cli(studio, home, monkeypatch):
    """The verb on this studio."""
    from img2tab_core.cli import terminal

    monkeypatch.setattr(terminal, "studio", lambda: studio)
    app = typer.Typer()
    app.add_typer(disagree_app)
    app.command("other")(lambda: None)  # with one verb alone typer takes its name away
    return lambda *arguments: CliRunner().invoke(app, ["disagree", *arguments])


def test_the_verb_prints_1_json_document_and_a_page_and_writes_4_faces_with_both_answers(cli, made, tmp_path):
    sheet = tmp_path / "faces.png"
    names = ("--classifier", "bright", "--with", "bright-and-red", "--top", "4")
    ended = cli(*names, "--faces", str(sheet), "--json")
    assert ended.exit_code == 0, ended.output
    content = json.loads(ended.output)
    assert content["faces"] == 40 and content["alike"] == made.alike and len(content["top"]) == 4
    assert content["top"][0]["row"] == made.top[0].row and content["sentence"] == made.sentence
    with Image.open(sheet) as picture:
        assert picture.size == (4 * 192, 192 + 2 * 18)
    page = cli(*names)
    assert page.exit_code == 0 and made.sentence in page.output and "decided otherwise" in page.output


def test_2_mistakes_in_the_terminal_are_sentences(cli):
    ended = cli("--classifier", "bright", "--with", "nobody")
    assert ended.exit_code == 1 and "There is no classifier 'nobody'. Of your own: bright" in ended.output
    ended = cli("--classifier", "bright", "--with", "dark", "--faces", "faces.jpg")
    assert ended.exit_code == 1 and "--faces must end in .png" in ended.output

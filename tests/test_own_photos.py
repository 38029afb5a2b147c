"""What a classifier that reads pixels reacts to on photos: functions worked by hand, and moves blended into a photo."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image
from scipy.special import expit, logit
from scipy.stats import false_discovery_control, t, ttest_1samp

from img2tab_core.audits import own_photos
from img2tab_core.audits.own_photos import on_photos
from img2tab_core.backbones import blending
from img2tab_core.base.errors import Cancelled, Img2TabError
from img2tab_core.base.records import Metrics
from img2tab_core.classifiers import pixel_models
from img2tab_core.classifiers.pixels import PixelClassifier
from img2tab_core.classifiers.runs import Run
from img2tab_core.concepts import ranking

SAMPLES = (3, 4, 9)  # that serve as photos
FAMILIES = ("brows-younger", "mouth-smile")


def darkness(squares: np.ndarray) -> np.ndarray:
    """Log-odds of "bushy": how much darker the brows of a face are than its cheeks, in squares of 128 px."""
    brows, cheeks = squares[:, 48:58, 38:90], squares[:, 68:80, 40:88]
    return 20 * (cheeks.mean(axis=(1, 2, 3)) - brows.mean(axis=(1, 2, 3))) / 255 - 2


def seen(photos) -> np.ndarray:
    """What a classifier of 128 px is handed of photos: uint8 (P, 128, 128, 3)."""
    small = [Image.fromarray(face.pixels).resize((128, 128), Image.Resampling.BILINEAR) for _, face in photos]
    return np.stack([np.asarray(picture) for picture in small])


def run_of(studio, ask, name: str = "bushy") -> Run:
    """A run of a function: squares uint8 (n, 128, 128, 3) -> log-odds of class 1, float (n,)."""

    def numbers(squares: np.ndarray) -> np.ndarray:
        return np.stack([np.zeros(len(squares)), ask(squares)], axis=1)

    model = pixel_models.of_function(numbers, name, size=128, output="logits", classes=("thin", "bushy"))
    metrics = Metrics(1.0, (1.0, 1.0), 1.0, 0.0, ((1, 0), (0, 1)), 2)
    classifier = PixelClassifier.of(model, studio.backbone())
    return Run(f"run-{name}", "default", name, classifier, frozenset(), 0, metrics, 0.0, "a function")


def knowing(photos, told: dict[int, float], rest: float):
    """A function that knows the photos: its log-odds of those by their place, and of whatever else."""
    squares = seen(photos)

    def ask(asked: np.ndarray) -> np.ndarray:
        apart = np.abs(asked[:, None].astype(int) - squares[None].astype(int)).mean(axis=(2, 3, 4))  # (n, P)
        nearest = apart.argmin(axis=1)
        mine = apart.min(axis=1) < 0.5
        return np.array([told.get(int(at), rest) if it else rest for at, it in zip(nearest, mine, strict=True)])

    return ask


@pytest.fixture(scope="module")
def photos(studio):
    """Three of the sample faces, with names."""
    if studio.description() is None:
        pytest.skip("the families that come with the program are of other weights than those that are fetched")
    samples = studio.samples()
    return [(f"{number}.jpg", samples[number]) for number in SAMPLES]


@pytest.fixture(scope="module")
def families(studio, photos):
    described = studio.described()
    ranked = ranking.by_effect(described, np.full((len(described.families), 1), np.nan))
    return [next(row for row in ranked if row.family.id == name) for name in FAMILIES]


@pytest.fixture(scope="module")
def drawn():
    """How many pictures were drawn in one call after the other, and their style codes."""
    return []


@pytest.fixture(scope="module")
def made(studio, photos, families, drawn):
    draw = own_photos.pictures_of

    def counted(backbone, codes, *, size):
        drawn.append((size, [code.tobytes() for code in codes]))
        return draw(backbone, codes, size=size)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(own_photos, "pictures_of", counted)
        return on_photos(studio, run_of(studio, darkness), photos, families=families)


# ---- the answer


def test_3_photos_are_judged_themselves_and_none_is_far_from_its_reconstruction(made, photos):
    assert [row.name for row in made.rows] == [name for name, _ in photos]
    np.testing.assert_allclose([row.probability for row in made.rows], expit(darkness(seen(photos))))
    for row, (_, face) in zip(made.rows, photos, strict=True):
        assert abs(row.drawn - row.probability) <= 0.25 and not row.far
        np.testing.assert_array_equal(row.picture, face.pixels)


def test_each_of_3_reconstructions_is_drawn_once_at_256_px_and_each_of_12_moved_faces_once(made, drawn):
    assert [size for size, _ in drawn] == [256] * 6
    assert [len(codes) for _, codes in drawn] == [1, 4] * 3
    codes = [code for _, part in drawn for code in part]
    assert len(set(codes)) == len(codes) == 15


def test_the_changes_in_3_photos_and_their_interval_are_those_of_the_edited_photos_asked_one_by_one(
    studio, made, photos, families
):
    run = run_of(studio, darkness)
    changes = np.empty((2, 3))
    for place, row in enumerate(families):
        for at, (_, face) in enumerate(photos):
            code = studio.encode(face)
            down, up = (studio.edited_photo(run, face, code, row.family.edits(by))[1] for by in (-8.0, 8.0))
            changes[place, at] = logit(up) - logit(down)
    of = {effect.family.id: effect for effect in made.effects}
    wanted = false_discovery_control(ttest_1samp(changes, 0, axis=1).pvalue) <= 0.05
    for place, name in enumerate(FAMILIES):
        mean, half = changes[place].mean(), t.ppf(0.975, 2) * changes[place].std(ddof=1) / np.sqrt(3)
        effect = of[name]
        assert effect.change.mean == pytest.approx(mean, abs=0.1)  # a picture drawn faster is some levels off
        assert (effect.change.low, effect.change.high) == pytest.approx((mean - half, mean + half), abs=0.3)
        assert effect.moves == (wanted[place] and abs(mean) >= 0.8)
    assert made.effects[0].family.id == "brows-younger" and made.effects[0].change.mean > 1.5


def test_the_example_is_1_photo_moved_down_and_up_with_what_is_said_of_both(studio, made, photos):
    before, after, low, high = made.effects[0].example
    assert before.shape == after.shape == (256, 256, 3) and before.dtype == np.uint8
    model = run_of(studio, darkness).classifier.model_
    np.testing.assert_allclose(pixel_models.chances(model.log_odds(np.stack([before, after]))), [low, high])
    assert high - low > 0.1
    near = [np.abs(before[:40].astype(int) - face.pixels[:40]).mean() for _, face in photos]
    assert min(near) < 2  # its hair is that of the photo


def test_the_report_is_plain_json_and_the_sentence_names_the_strongest_of_2(made):
    content = json.loads(json.dumps(made.to_json()))
    assert [row["photo"] for row in content["photos"]] == ["3.jpg", "4.jpg", "9.jpg"] and content["left_out"] == 0
    first = content["effects"][0]
    assert first["id"] == "brows-younger" and first["effect_interval"][0] < first["effect"]
    assert content["sentence"] == made.sentence and "3 photos" in made.sentence
    assert ("Brows: younger (+" in made.sentence and "towards bushy" in made.sentence) == made.effects[0].moves


# ---- photos nothing is told of


def test_where_1_of_3_reconstructions_is_judged_otherwise_the_2_others_are_told_of(studio, photos, families):
    ask = knowing(photos, {1: -3.0}, 0.2)  # 0.047 on the second photo, 0.55 on all that is drawn
    result = on_photos(studio, run_of(studio, ask, "knows"), photos, families=families[:1])
    assert [row.far for row in result.rows] == [False, True, False] and len(result.effects) == 1
    assert result.effects[0].change.mean == 0 and not result.effects[0].moves
    assert result.sentence.startswith("None of 1 concept moves knows beyond chance in 2 photos. 1 of 3 photos is left")


def test_a_chance_26_points_away_is_far_even_where_the_class_is_the_same_and_with_1_photo_left_nothing_is_moved(
    studio, photos, families, monkeypatch
):
    monkeypatch.setattr(own_photos.blending, "all_blended", None)
    ask = knowing(photos, {0: logit(0.56), 1: logit(0.56)}, logit(0.82))
    result = on_photos(studio, run_of(studio, ask, "surer"), photos[:2], families=families)
    assert [row.far for row in result.rows] == [True, True] and result.effects == ()
    assert result.sentence.startswith("Nothing can be told: at least 2 photos are needed, and of these only 0 can be")
    assert result.to_json()["left_out"] == 2 and "A refined reconstruction may come nearer." in result.sentence


def test_a_reconstruction_refined_by_1_step_is_what_is_moved(studio, photos, families, monkeypatch):
    calls = []

    def refine(face, *, backbone, steps, progress, stopped):
        calls.append(steps)
        return studio.encode(studio.samples()[0]), None

    monkeypatch.setattr(studio, "refine", refine)
    far = knowing(photos, {}, -9.0)
    result = on_photos(studio, run_of(studio, far, "other"), photos[:1], families=families[:1], refine_steps=1)
    assert calls == [1] and not result.effects and "refined" not in result.sentence


def test_4_mistakes_are_sentences_and_stopped_it_says_so(studio, photos, families):
    run = run_of(studio, darkness)
    trained = Run("by-hand", "default", "smiling", type("Trained", (), {"kind": "logistic"})(), *[None] * 4)
    with pytest.raises(Img2TabError, match="smiling reads style codes"):
        on_photos(studio, trained, photos, families=families)
    with pytest.raises(Img2TabError, match="got 0 photos and 2 concepts"):
        on_photos(studio, run, [], families=families)
    with pytest.raises(Img2TabError, match="got 3 photos and 0 concepts"):
        on_photos(studio, run, photos, families=[])
    with pytest.raises(Img2TabError, match="above 0 and at most 100"):
        on_photos(studio, run, photos, families=families, shift=0)
    with pytest.raises(Cancelled, match="nothing is kept"):
        on_photos(studio, run, photos, families=families, cancelled=lambda: True)


# ---- blended into the photo


def scene(block: tuple[slice, slice], colour: int, wall: int = 180) -> np.ndarray:
    """A wall with one block in it, uint8 (256, 256, 3)."""
    picture = np.full((256, 256, 3), wall, np.uint8)
    picture[block] = colour
    return picture


HAIR = slice(30, 110), slice(30, 110)  # of the photo, where its reconstruction shows the wall
BROW = slice(180, 200), slice(150, 210)


def test_a_brow_that_changes_leaves_hair_that_the_reconstruction_lacks_to_the_last_of_255_levels():
    photo, plain = scene(HAIR, 30), scene(HAIR, 180)
    blended = blending.blended(photo, plain, scene(BROW, 60))
    np.testing.assert_array_equal(blended[:150], photo[:150])
    inside = blended[BROW].astype(int)[4:-4, 4:-4]
    assert np.abs(inside - 60).max() <= 3


def test_hair_that_changes_in_a_third_of_what_the_reconstruction_lacks_is_taken_whole():
    photo, plain = scene(HAIR, 30), scene(HAIR, 180)
    moved = scene((slice(30, 110), slice(30, 60)), 90)
    blended = blending.blended(photo, plain, moved).astype(int)
    assert np.abs(blended[34:106, 64:106] - 180).max() <= 3  # the photo's own hair is not left beside it
    assert np.abs(blended[34:106, 34:56] - 90).max() <= 12
    np.testing.assert_array_equal(blended[150:], photo[150:])


def test_a_weak_change_is_added_to_the_photo_and_keeps_all_its_own_texture():
    rng = np.random.default_rng(0)
    photo = rng.integers(140, 180, (256, 256, 3)).astype(np.uint8)
    plain = np.full((256, 256, 3), 160, np.uint8)
    blended = blending.blended(photo, plain, np.full((256, 256, 3), 168, np.uint8))
    np.testing.assert_array_equal(blended, photo + 8)


def test_a_photo_half_as_light_gives_a_reconstruction_its_light_within_8_levels_skin_and_wall_each_their_own():
    plain = scene((slice(64, 256), slice(64, 192)), 120)
    plain[..., 2] //= 2
    photo = plain.astype(np.float32)
    photo[64:, 64:192] *= (0.6, 0.7, 0.9)  # a darker, bluer face before the same wall
    photo = photo.round().astype(np.uint8)
    lit = blending.light_of(photo, plain)(plain.astype(np.float32))
    np.testing.assert_allclose(lit[72:, 76:180], photo[72:, 76:180], atol=8)
    np.testing.assert_allclose(lit[:, :52], photo[:, :52], atol=8)
    np.testing.assert_allclose(blending.light_of(plain, plain)(plain.astype(np.float32)), plain, atol=1e-3)


def test_3_moved_pictures_blended_together_are_those_blended_one_by_one_and_none_moved_is_the_photo():
    photo, plain = scene(HAIR, 30), scene(HAIR, 180)
    pictures = np.stack([scene(BROW, 60), scene(HAIR, 90), plain])
    together = blending.all_blended(photo, plain, pictures)
    np.testing.assert_array_equal(together, np.stack([blending.blended(photo, plain, each) for each in pictures]))
    np.testing.assert_array_equal(together[2], photo)


def test_thicker_brows_in_a_real_photo_change_its_brows_and_leave_9_of_10_pixels_within_4_levels(
    studio, photos, shared_photos
):
    files = sorted((shared_photos / "london").glob("neutral_*.jpg"))
    if not files:
        pytest.skip("no photos of the folder london beside the project")
    face = studio.faces(files[2].read_bytes())[0]
    run = run_of(studio, darkness)
    edits = studio.described().find("brows-younger").edits(8.0)
    picture, _ = studio.edited_photo(run, face, studio.encode(face), edits)
    change = np.abs(picture.astype(int) - face.pixels).mean(axis=-1)
    assert np.mean(change <= 4) > 0.9 and change[95:135, 60:200].max() > 60
    border = np.ones((256, 256), bool)
    border[24:-24, 24:-24] = False
    assert change[border].mean() < 1

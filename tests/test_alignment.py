"""Faces are found, marked and cut out in FFHQ geometry, as the published alignment does it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from img2tab_core.base.errors import Img2TabError
from img2tab_core.faces.alignment import align, faces_of, ffhq_quad, find_faces

PARITY = (
    "A000364.jpg",
    "C001061.jpg",
    "G000553.jpg",
    "L000263.jpg",
    "P000591.jpg",
    "003f.jpg",
    "008f.jpg",
    "010f.jpg",
    "lisa1.jpg",
)


@pytest.fixture(scope="module")
def landmark_file() -> Path:
    from img2tab_core import weights

    try:
        return weights.path("landmarks-68")
    except Img2TabError as error:
        pytest.skip(f"the landmark file is not here: {error}")


@pytest.fixture
def golden(shared_parity):
    """name -> (landmarks (68, 2), aligned uint8 (256, 256, 3)), made by the reference."""
    with np.load(shared_parity / "alignment.npz") as arrays:
        return {
            str(name): (marks, face)
            for name, marks, face in zip(arrays["names"], arrays["landmarks"], arrays["aligned"], strict=True)
        }


def photo_of(shared_photos: Path, name: str) -> np.ndarray:
    return np.array(Image.open(next(shared_photos.rglob(name))).convert("RGB"))


def resized(photo: np.ndarray, width: int) -> np.ndarray:
    height = round(photo.shape[0] * width / photo.shape[1])
    return np.array(Image.fromarray(photo).resize((width, height), Image.Resampling.LANCZOS))


def marks(left_eye, right_eye, left_mouth, right_mouth) -> np.ndarray:
    """68 points of which only the four the geometry needs are placed."""
    points = np.zeros((68, 2))
    points[36:42], points[42:48], points[48], points[54] = left_eye, right_eye, left_mouth, right_mouth
    return points


def scene(height: int = 400, width: int = 400) -> np.ndarray:
    """A smooth picture without symmetry: uint8 (height, width, 3)."""
    y, x = np.mgrid[:height, :width] / 400
    waves = [np.sin(7 * x + 3 * y), np.cos(5 * x * y + 2 * y), np.sin(4 * x - 9 * y * y)]
    return np.rint(127.5 + 120 * np.stack(waves, -1)).astype(np.uint8)


UPRIGHT = marks((180, 190), (220, 190), (185, 235), (215, 235))  # a face whose square lies inside scene()


# Geometry ----------------------------------------------------------------------------------------------------------


def test_eyes_40_px_apart_and_50_px_above_the_mouth_give_a_square_of_180_px():
    # 1.8 x 50 = 90 exceeds 2.0 x 40 = 80, so the half side is 90; the centre is (120, 100 + 5).
    corners = ffhq_quad(marks((100, 100), (140, 100), (110, 150), (130, 150)))
    np.testing.assert_allclose(corners, [(30, 15), (30, 195), (210, 195), (210, 15)], atol=1e-9)


def test_eyes_60_px_apart_outweigh_a_mouth_50_px_below():
    corners = ffhq_quad(marks((100, 100), (160, 100), (110, 150), (150, 150)))  # 2.0 x 60 = 120 > 1.8 x 50 = 90
    np.testing.assert_allclose(corners, [(10, -15), (10, 225), (250, 225), (250, -15)], atol=1e-9)


def test_the_square_turns_with_the_face_by_30_degrees():
    turn = np.array([[np.cos(np.pi / 6), np.sin(np.pi / 6)], [-np.sin(np.pi / 6), np.cos(np.pi / 6)]])
    np.testing.assert_allclose(ffhq_quad(UPRIGHT @ turn), ffhq_quad(UPRIGHT) @ turn, atol=1e-9)


@pytest.mark.parametrize("name", PARITY)
def test_the_aligned_face_is_within_3_of_255_of_the_reference(golden, shared_photos, name):
    landmarks, expected = golden[name]
    face = align(photo_of(shared_photos, name), landmarks)
    assert np.abs(face.astype(int) - expected).mean() <= 3


def test_there_are_9_faces_in_the_reference_and_all_are_compared(golden):
    assert tuple(golden) == PARITY


def test_a_face_cut_out_at_its_own_size_is_the_crop_itself_within_2_of_255():
    # Half side 1.8 x 45 = 81, centre (200, 194.5): pixels 119..280 across and 113.5..275.5 down, 162 px square.
    face = align(scene(), UPRIGHT, size=162)
    expected = (scene()[114:276, 119:281].astype(int) + scene()[113:275, 119:281]) / 2
    # The square is measured between pixel centres: half a pixel further right and down than whole pixels.
    expected = (expected + (scene()[114:276, 120:282].astype(int) + scene()[115:277, 120:282]) / 2) / 2
    assert np.abs(face - expected).mean() <= 2


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_photo_turned_by_90_degrees_with_its_landmarks_gives_the_same_face_within_1_of_255(turns):
    photo, landmarks = scene(), UPRIGHT
    for _ in range(turns):
        photo = np.rot90(photo)  # the top right corner becomes the top left: (x, y) -> (y, 399 - x)
        landmarks = np.stack([landmarks[:, 1], 399 - landmarks[:, 0]], axis=1)
    difference = np.abs(align(photo, landmarks).astype(int) - align(scene(), UPRIGHT))
    assert difference.mean() <= 1


def test_a_photo_4_times_as_large_gives_the_same_face_within_2_of_255():
    large = np.array(Image.fromarray(scene()).resize((1600, 1600), Image.Resampling.BICUBIC))
    difference = np.abs(align(large, UPRIGHT * 4 + 1.5).astype(int) - align(scene(), UPRIGHT))
    assert difference.mean() <= 2


def test_a_stripe_pattern_finer_than_the_face_averages_to_127_and_makes_no_false_pattern():
    stripes = np.zeros((1600, 1600, 3), np.uint8)
    stripes[:, ::2] = 254
    face = align(stripes, UPRIGHT * 4, size=64)
    assert np.abs(face[8:-8, 8:-8].astype(int) - 127).max() <= 3


def test_what_lies_beyond_the_photos_edge_is_the_photos_own_colour_and_never_black():
    photo = np.full((120, 110, 3), (200, 120, 40), np.uint8)
    face = align(photo, marks((40, 50), (80, 50), (45, 95), (75, 95)))
    assert np.abs(face.astype(int) - (200, 120, 40)).max() <= 1


def test_the_face_is_256_x_256_of_bytes_refuses_writes_and_leaves_the_photo_as_it_was():
    photo = scene()
    photo.setflags(write=False)
    face = align(photo, UPRIGHT)
    assert (face.shape, face.dtype) == ((256, 256, 3), np.uint8)
    assert not face.flags.writeable
    np.testing.assert_array_equal(photo, scene())


@pytest.mark.parametrize(
    ("landmarks", "words"),
    [
        (np.zeros((5, 2)), r"must be 68 finite points"),
        (np.full((68, 2), np.nan), r"must be 68 finite points"),
        (np.full((68, 2), 50.0), "eyes and mouth in one point"),
        (UPRIGHT + 5000, "must lie in the photo"),
    ],
)
def test_landmarks_that_are_no_face_of_the_photo_are_refused(landmarks, words):
    with pytest.raises(Img2TabError, match=words):
        align(scene(), landmarks)


@pytest.mark.parametrize(
    "photo", [np.zeros((99, 99), np.uint8), np.zeros((99, 99, 3)), np.zeros((99, 99, 4), np.uint8)]
)
def test_a_photo_that_is_not_rgb_bytes_is_refused(photo):
    with pytest.raises(Img2TabError, match=r"must be uint8 \(H, W, 3\)"):
        align(photo, UPRIGHT)


# Finding -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PARITY)
def test_one_face_is_found_with_its_landmarks_within_2_percent_of_the_square_of_the_reference(
    golden, shared_photos, landmark_file, name
):
    photo = photo_of(shared_photos, name)
    (face,) = find_faces(photo, landmark_file)
    corners = ffhq_quad(golden[name][0])
    distance = np.hypot(*(face.landmarks - golden[name][0]).T).mean()
    assert distance <= 0.02 * np.hypot(*(corners[3] - corners[0]))
    assert face.landmarks.shape == (68, 2) and face.landmarks.dtype == np.float32
    left, top, right, bottom = face.box
    assert 0 <= left < right <= photo.shape[1] and 0 <= top < bottom <= photo.shape[0]
    eyes = face.landmarks[36:48].mean(0)
    assert left < eyes[0] < right and top < eyes[1] < bottom
    assert face.confidence > 0.5


def test_5_portraits_in_one_picture_are_5_faces_biggest_first(shared_photos, landmark_file):
    widths = (180, 430, 240, 320, 580)  # a third apart: the detector's boxes grow in steps of a fifth
    starts = np.cumsum((0, *widths))
    photo = np.full((720, starts[-1], 3), 128, np.uint8)
    for name, width, start in zip(PARITY, widths, starts, strict=False):
        portrait = resized(photo_of(shared_photos, name), width)
        photo[: portrait.shape[0], start : start + width] = portrait
    faces = faces_of(photo, landmark_file)
    places = [int(np.searchsorted(starts, face.landmarks[:, 0].mean())) - 1 for face in faces]
    assert places == [4, 1, 3, 2, 0]
    areas = [(right - left) * (bottom - top) for left, top, right, bottom in (face.box for face in faces)]
    assert areas == sorted(areas, reverse=True)
    assert {face.pixels.shape for face in faces} == {(256, 256, 3)}
    assert len({face.key for face in faces}) == 5


def test_the_landmarks_of_5_portraits_side_by_side_are_those_of_each_alone_within_2_percent(
    shared_photos, landmark_file
):
    singles = [photo_of(shared_photos, name) for name in PARITY[:5]]
    found = sorted(find_faces(np.concatenate(singles, axis=1), landmark_file), key=lambda face: face.box[0])
    assert len(found) == 5
    for place, (together, single) in enumerate(zip(found, singles, strict=True)):
        (alone,) = find_faces(single, landmark_file)
        corners = ffhq_quad(alone.landmarks)
        distance = np.hypot(*(together.landmarks - (225 * place, 0) - alone.landmarks).T).mean()
        assert distance <= 0.02 * np.hypot(*(corners[3] - corners[0]))


def test_a_face_of_about_45_px_in_a_photo_of_1400_x_1000_is_found_by_the_second_look(shared_photos, landmark_file):
    photo = np.full((1000, 1400, 3), 128, np.uint8)
    portrait = resized(photo_of(shared_photos, "A000364.jpg"), 100)
    photo[300 : 300 + portrait.shape[0], 900:1000] = portrait
    (face,) = find_faces(photo, landmark_file)
    left, top, right, bottom = face.box
    assert 900 <= left < right <= 1000 and 300 <= top < bottom <= 300 + portrait.shape[0]
    assert 35 <= right - left <= 70


def test_a_portrait_4_times_as_large_has_its_landmarks_4_times_as_far_within_2_percent(shared_photos, landmark_file):
    small = photo_of(shared_photos, "A000364.jpg")
    (one,), (four,) = find_faces(small, landmark_file), find_faces(resized(small, 900), landmark_file)
    assert np.hypot(*((four.landmarks + 0.5) / 4 - 0.5 - one.landmarks).T).mean() <= 0.02 * 195


def test_a_grey_portrait_has_1_face(shared_photos, landmark_file):
    grey = np.array(Image.fromarray(photo_of(shared_photos, "003f.jpg")).convert("L").convert("RGB"))
    assert len(find_faces(grey, landmark_file)) == 1


@pytest.mark.parametrize(
    "photo",
    [
        np.full((300, 400, 3), 127, np.uint8),
        np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8),
        scene(300, 400),
    ],
    ids=["flat", "noise", "waves"],
)
def test_a_photo_of_400_x_300_without_a_face_gives_0_faces_and_a_sentence_that_helps(photo, landmark_file):
    assert find_faces(photo, landmark_file) == []
    with pytest.raises(Img2TabError) as caught:
        faces_of(photo, landmark_file)
    for words in ("No face was found", "400 x 300 px", "looks into the camera", "larger", "lit", "not cropped"):
        assert words in str(caught.value)


def test_4_threads_at_once_find_what_1_finds(shared_photos, landmark_file):
    photos = [photo_of(shared_photos, name) for name in PARITY[:4]]
    alone = [find_faces(photo, landmark_file) for photo in photos]
    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(lambda photo: find_faces(photo, landmark_file), photos * 3))
    for one, other in zip(alone * 3, together, strict=True):
        assert [face.box for face in one] == [face.box for face in other]
        np.testing.assert_array_equal(one[0].landmarks, other[0].landmarks)


def test_a_missing_landmark_file_names_the_command_that_fetches_it(tmp_path):
    with pytest.raises(Img2TabError, match="img2tab weights fetch"):
        find_faces(scene(), tmp_path / "none.dat")


@pytest.mark.parametrize("content", [b"", b"not a shape predictor", bytes(5000)])
def test_a_landmark_file_with_other_content_is_refused(tmp_path, content):
    file = tmp_path / "landmarks.dat"
    file.write_bytes(content)
    with pytest.raises(Img2TabError, match="must be a dlib shape predictor"):
        find_faces(scene(), file)

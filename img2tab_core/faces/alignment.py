"""A photo becomes faces: find each one, mark 68 landmarks on it, and cut it out the way FFHQ faces are cut."""

from __future__ import annotations

import math
import os
import queue
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageFilter

from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.once import Once
from img2tab_core.base.records import Face, read_only

if TYPE_CHECKING:
    import dlib

LANDMARKS = 68
CHIP = 150  # side in px of what dlib's face descriptor looks at
CHIP_EYES = 100  # px between the eyes at least when a chip is cut: dlib's landmarks are whole pixels

# The detector's window is 80 px, so what it can find is set by the size it looks at. The first look is quick; only
# a photo in which it finds nobody gets a second one, at twice the size, for faces half as large.
FIRST_LOOK = 1_500_000  # pixels
LARGEST_ENLARGEMENT = 2.0

OVERSAMPLING = 2  # the aligned face is sampled at twice its size and averaged

# dlib's detector keeps scratch memory between calls and is not safe to share, so there is one for each photo that is
# looked at, and so many photos at a time. The predictor is only read, and everybody's.
AT_ONCE = max(2, min(os.cpu_count() or 1, 4))
_predictors: Once[tuple[str, int], dlib.shape_predictor] = Once(1)  # by file and time of change: 100 MB, a second


@dataclass(frozen=True)
class Found:
    """One face found in a photo.

    box: (left, top, right, bottom) in pixels of the photo, inside it; landmarks: float32 (68, 2), x then y, in
    pixels of the photo, in the order of the 300-W annotation (they may lie outside a photo that cuts the face);
    confidence: the detector's score, above 0, about 2 to 3 for a clear frontal face.
    """

    box: tuple[int, int, int, int]
    landmarks: np.ndarray
    confidence: float


def find_faces(photo: np.ndarray, landmark_file: Path) -> list[Found]:
    """Every frontal face of a photo, biggest box first; an empty list where there is none.

    photo: uint8 (H, W, 3) RGB, upright; landmark_file: dlib's trained 68-landmark shape predictor.
    """
    _check_photo(photo)
    predictor = _predictor(Path(landmark_file))
    height, width = photo.shape[:2]
    scale = min(math.sqrt(FIRST_LOOK / (width * height)), LARGEST_ENLARGEMENT)
    located = _look(photo, scale, predictor) or _look(photo, 2 * scale, predictor)
    return sorted(located, key=lambda face: -_area(face.box))


def faces_of(photo: np.ndarray, landmark_file: Path, *, size: int = 256) -> list[Face]:
    """The aligned faces of a photo, biggest first, each `size` x `size` px; Img2TabError where there is none.

    photo: uint8 (H, W, 3) RGB, upright.
    """
    located = find_faces(photo, landmark_file)
    if not located:
        height, width = photo.shape[:2]
        raise Img2TabError(
            f"No face was found in this photo of {width} x {height} px. What helps: a face that looks into the camera, "
            "is larger in the photo, evenly lit, upright, and not cropped at the forehead, chin or cheeks."
        )
    return [
        Face.of(align(photo, face.landmarks, size=size), box=face.box, landmarks=face.landmarks) for face in located
    ]


def squared(photo: np.ndarray, *, size: int = 256) -> Face:
    """The face of a photo that is an aligned face already: its middle square, resized; nothing is looked for.

    photo: uint8 (H, W, 3) RGB.
    """
    picture = Image.fromarray(photo)
    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    square = picture.crop((left, top, left + side, top + side))
    return Face.of(np.asarray(square.resize((size, size), Image.Resampling.LANCZOS)))


def align(photo: np.ndarray, landmarks: np.ndarray, *, size: int = 256) -> np.ndarray:
    """The face in FFHQ geometry: uint8 (size, size, 3) RGB, read-only.

    photo: uint8 (H, W, 3) RGB; landmarks: (68, 2), x then y, in pixels of the photo. What the square shows beyond
    the edge of the photo is its mirror image, blurred and faded into the photo's median colour.
    """
    _check_photo(photo)
    corners = ffhq_quad(landmarks) + 0.5  # (4, 2), from here on measured from the photo's edge, not pixel centres
    side = float(np.hypot(*(corners[3] - corners[0])))
    border: float = max(round(side * 0.1), 3)
    low = np.maximum(np.floor(corners.min(0)).astype(int) - int(border), 0)
    high = np.minimum(np.ceil(corners.max(0)).astype(int) + int(border), photo.shape[1::-1])
    if (high - low < 2).any():
        raise Img2TabError("Landmarks must lie in the photo, got a face square outside it. Use those of find_faces.")

    # Twice the asked size is all that the sampling below can use; averaging down to it first keeps fine texture from
    # turning into false patterns, and makes a face of a large photo as quick as one of a small photo.
    scale = min(OVERSAMPLING * size / side, 1.0)
    work_size = np.maximum(np.rint((high - low) * scale), 2).astype(int)
    image = Image.fromarray(photo[low[1] : high[1], low[0] : high[0]])
    image = image.resize(work_size.tolist(), Image.Resampling.LANCZOS, reducing_gap=3.0)
    corners = (corners - low) * work_size / (high - low)
    side, border = side * scale, border * scale

    before = np.maximum(border - corners.min(0), 0)  # (2,) px missing at the left and the top
    after = np.maximum(border + corners.max(0) - work_size, 0)  # (2,) px missing at the right and the bottom
    if max(before.max(), after.max()) > border - 4 * scale:
        before, after = (np.maximum(np.rint(gap), round(side * 0.3)).astype(int) for gap in (before, after))
        image = _feathered(image, before, after, blur=side * 0.02)
        corners = corners + before

    sampled = (OVERSAMPLING * size, OVERSAMPLING * size)
    image = image.transform(sampled, Image.Transform.QUAD, corners.ravel().tolist(), Image.Resampling.BILINEAR)
    return read_only(np.array(image.reduce(OVERSAMPLING)))


def landmarks_in(photo: np.ndarray, box: tuple[int, int, int, int], landmark_file: Path) -> np.ndarray:
    """68 landmarks of a face whose box is known already: float32 (68, 2), x then y, in pixels of the photo.

    photo: uint8 (H, W, 3) RGB; box: (left, top, right, bottom). Nothing is detected: it answers without a face too.
    """
    import dlib

    _check_photo(photo)
    predictor = _predictor(Path(landmark_file))
    left, top, right, bottom = box
    points = predictor(np.array(photo), dlib.rectangle(left, top, right - 1, bottom - 1)).parts()
    return np.array([(point.x, point.y) for point in points], np.float32)


def chip_of(photo: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """The square dlib cuts for its face descriptor: uint8 (150, 150, 3) RGB, turned upright by the landmarks.

    photo: uint8 (H, W, 3) RGB; landmarks: (68, 2), x then y, in pixels of the photo.
    """
    import dlib

    _check_photo(photo)
    points = np.asarray(landmarks, np.float64)
    reach = np.ptp(points, axis=0).max()
    low = np.clip(np.floor(points.min(0) - reach), 0, None).astype(int)
    high = np.minimum(np.ceil(points.max(0) + reach), photo.shape[1::-1]).astype(int)
    if (high - low < 2).any():
        raise Img2TabError("Landmarks must lie in the photo, got a face outside it. Use those of find_faces.")
    eyes = np.hypot(*(points[42:48].mean(0) - points[36:42].mean(0)))
    near = Image.fromarray(photo[low[1] : high[1], low[0] : high[0]])
    size = np.rint((high - low) * max(CHIP_EYES / max(eyes, 1.0), 1.0)).astype(int)
    if size.tolist() != list(near.size):
        points = (points - low + 0.5) * size / (high - low) - 0.5
        near = near.resize(size.tolist(), Image.Resampling.BICUBIC)
    else:
        points = points - low
    whole = [dlib.point(int(x), int(y)) for x, y in np.rint(points)]
    marked = dlib.full_object_detection(dlib.rectangle(0, 0, near.width - 1, near.height - 1), whole)
    return read_only(dlib.get_face_chip(np.array(near), marked, size=CHIP, padding=0.25))


def ffhq_quad(landmarks: np.ndarray) -> np.ndarray:
    """The corners of the FFHQ face square: float64 (4, 2), x then y, in the landmarks' pixels.

    Order: top left, bottom left, bottom right, top right as the face sees them in an upright photo. landmarks:
    (68, 2). The square's upright axis balances the line between the eyes and the line from the eyes to the mouth;
    its half side is the larger of 2.0 x the distance of the eyes and 1.8 x the distance from eyes to mouth; its
    centre lies one tenth of the way from the eyes to the mouth (Karras, Laine and Aila 2019, data set alignment).
    """
    points = np.asarray(landmarks, np.float64)
    if points.shape != (LANDMARKS, 2) or not np.isfinite(points).all():
        raise Img2TabError(
            f"Landmarks must be {LANDMARKS} finite points of shape ({LANDMARKS}, 2), got shape {points.shape}. "
            "Use those of find_faces."
        )
    left_eye, right_eye = points[36:42].mean(0), points[42:48].mean(0)
    eyes = (left_eye + right_eye) / 2
    mouth = (points[48] + points[54]) / 2  # the outer corners: they move least when the mouth opens
    eye_to_eye, eye_to_mouth = right_eye - left_eye, mouth - eyes

    across = eye_to_eye + _turned(eye_to_mouth)  # (2,) along the eyes; the two lines share the tilt
    length = np.hypot(*across)
    if length < 1:
        raise Img2TabError("Landmarks must span a face, got eyes and mouth in one point. Choose another photo.")
    across *= max(2.0 * np.hypot(*eye_to_eye), 1.8 * np.hypot(*eye_to_mouth)) / length
    down = -_turned(across)  # (2,) towards the chin
    centre = eyes + 0.1 * eye_to_mouth
    return centre + np.stack([-across - down, -across + down, across + down, across - down])


def _turned(vector: np.ndarray) -> np.ndarray:
    """The vector a quarter turn further against the clock, as seen on a screen whose y points down."""
    return np.array([vector[1], -vector[0]])


def _feathered(image: Image.Image, before: np.ndarray, after: np.ndarray, *, blur: float) -> Image.Image:
    """The image with mirrored margins that lose detail, then colour, the further they are from the photo.

    before, after: (2,) px to add left and top, right and bottom; blur: standard deviation in px.
    """
    (left, top), (right, bottom) = before.tolist(), after.tolist()
    mirrored = np.pad(np.asarray(image), ((top, bottom), (left, right), (0, 0)), "reflect")  # (h, w, 3)
    height, width = mirrored.shape[:2]
    # 1 at the outer edge, 0 where the photo begins, below 0 inside it; the nearest edge counts.
    x, y = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)
    out_x = 1 - np.minimum(x / left, x[::-1] / right)  # (w,)
    out_y = 1 - np.minimum(y / top, y[::-1] / bottom)  # (h,)
    out = np.maximum(out_y[:, None], out_x)[..., None]  # (h, w, 1)

    soft = np.asarray(Image.fromarray(mirrored).filter(ImageFilter.GaussianBlur(blur)), np.float32)
    pixels = mirrored + (soft - mirrored) * np.clip(3 * out + 1, 0, 1)
    pixels += (np.median(pixels, axis=(0, 1)) - pixels) * np.clip(out, 0, 1)
    return Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8))


def _look(photo: np.ndarray, scale: float, predictor: dlib.shape_predictor) -> list[Found]:
    """The faces found in the photo seen at `scale` times its size, in pixels of the photo itself."""
    photo_size = np.array(photo.shape[1::-1])  # (2,) width, height
    size = np.maximum(np.rint(photo_size * scale), 1).astype(int)
    seen = np.array(Image.fromarray(photo).resize(size.tolist(), Image.Resampling.BILINEAR))  # averages when smaller
    zoom = photo_size / size  # (2,) px of the photo per px seen
    with _detector() as detector:
        rectangles, scores, _ = detector.run(seen, 0, 0.0)
    marks = [predictor(seen, rectangle).parts() for rectangle in rectangles]
    located = []
    for rectangle, score, points in zip(rectangles, scores, marks, strict=True):
        edges = np.array([[rectangle.left(), rectangle.top()], [rectangle.right() + 1, rectangle.bottom() + 1]])
        edges = np.clip(np.rint(edges * zoom), 0, photo_size).astype(int)
        # Landmarks name pixel centres, edges do not: without the half, an enlarged photo's face would shift.
        landmarks = (np.array([(point.x, point.y) for point in points]) + 0.5) * zoom - 0.5  # (68, 2)
        located.append(Found(tuple(edges.ravel().tolist()), read_only(landmarks.astype(np.float32)), float(score)))
    return located


def _area(box: tuple[int, int, int, int]) -> int:
    left, top, right, bottom = box
    return (right - left) * (bottom - top)


def _predictor(landmark_file: Path) -> dlib.shape_predictor:
    """The trained predictor of this file, read once per version of the file."""
    try:
        stamp = landmark_file.stat().st_mtime_ns
    except OSError as error:
        raise Img2TabError(
            f"The landmark file must be readable, got {landmark_file} ({error.strerror}). Run: img2tab weights fetch"
        ) from error
    return _predictors.get((str(landmark_file), stamp), lambda: _read_predictor(str(landmark_file)))


def _read_predictor(landmark_file: str) -> dlib.shape_predictor:
    import dlib

    try:
        predictor = dlib.shape_predictor(landmark_file)
        # Another shape predictor (5 points, say) reads just as well; only trying it tells how many points it has.
        points = predictor(np.zeros((100, 100, 3), np.uint8), dlib.rectangle(10, 10, 90, 90)).num_parts
    except RuntimeError as error:
        raise Img2TabError(
            f"The landmark file must be a dlib shape predictor, got {landmark_file} ({error}). "
            "Run: img2tab weights fetch"
        ) from error
    if points != LANDMARKS:
        raise Img2TabError(
            f"The landmark file must mark {LANDMARKS} points, got {points} from {landmark_file}. "
            "Run: img2tab weights fetch"
        )
    return predictor


_idle: queue.LifoQueue[dlib.fhog_object_detector | None] = queue.LifoQueue()  # None: one that may still be made
for _ in range(AT_ONCE):
    _idle.put(None)


@contextmanager
def _detector() -> Iterator[dlib.fhog_object_detector]:
    """A detector that nobody else uses meanwhile; waits where all are in use."""
    import dlib

    detector = _idle.get()
    try:
        detector = detector or dlib.get_frontal_face_detector()
        yield detector
    finally:
        _idle.put(detector)


def _check_photo(photo: np.ndarray) -> None:
    if photo.ndim != 3 or photo.shape[2] != 3 or photo.dtype != np.uint8:
        raise Img2TabError(
            f"A photo must be uint8 (H, W, 3), got {photo.dtype} of shape {photo.shape}. Read it with read_photo."
        )

"""The parts of a face in an aligned picture, from its own 68 landmarks and its colours: nothing is read off a grid.

The landmarks (300-W order) give brows, eyes, nose, mouth and the outline of the face; the hairline is where the thirds
of a face put it. Outside the outline, hair, neck and clothes are told from the background by colour: three mixtures of
Gaussians start from where each is surely seen, and decide about the pixels between.
"""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from img2tab_core.concepts.description import REGIONS

_NUMBER = {name: number for number, name in enumerate(REGIONS)}


def regions_of(picture: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """Which part of the face every pixel is of: uint8 (S, S), numbers into `REGIONS`.

    picture: uint8 (S, S, 3) RGB, an aligned face; landmarks: float (68, 2), x then y, px of that picture. Turned and
    bearded faces are met by their own landmarks; a hat counts as hair.
    """
    side = len(picture)
    points = np.asarray(landmarks, np.float64)
    across = points[42:48].mean(axis=0) - points[36:42].mean(axis=0)  # from one eye to the other
    eyes = float(np.hypot(*across))
    across = across / eyes
    down = np.array([-across[1], across[0]])
    middle = points[36:48].mean(axis=0)
    grid = np.stack(np.meshgrid(np.arange(side), np.arange(side)), axis=-1) - middle  # (S, S, 2)
    x, y = grid @ across / eyes, grid @ down / eyes  # in eye distances, from between the eyes

    outline = _outline(points, down)
    face = _polygon(outline, side)
    kinds = np.where(_around(picture, points, face, x, y), _NUMBER["hair"], _NUMBER["background"]).astype(np.uint8)
    jaw = ((points[0:17] - middle) @ down / eyes).max()
    below = (y > 0.5 * jaw) & (kinds == _NUMBER["hair"]) & ~face
    kinds[below & (y > 0.8 * jaw)] = _NUMBER["neck and clothes"]

    brows_at = ((points[17:27] - middle) @ down / eyes).mean()
    mouth_at = ((points[48:60] - middle) @ down / eyes).max()
    kinds[face] = _NUMBER["cheeks"]
    kinds[face & (y < brows_at)] = _NUMBER["forehead"]
    inner = np.hypot(x - ((points[48:60] - middle) @ across / eyes).mean(), (y - mouth_at) * 0.8)
    kinds[face & ((y > mouth_at) | ((y > 0.62 * jaw) & (inner > 0.55)))] = _NUMBER["chin and jaw"]
    for first, last in ((0, 3), (13, 16)):
        ear = _polygon(_ear(points[first : last + 1], middle, across, eyes), side) & ~face
        kinds[ear] = _NUMBER["ears"]
    kinds[_polygon(_grown(points[[27, 31, 32, 33, 34, 35]], 1.25), side)] = _NUMBER["nose"]
    kinds[_polygon(_grown(points[48:60], 1.2), side)] = _NUMBER["mouth"]
    for eye in (points[36:42], points[42:48]):
        kinds[_polygon(_stretched(eye, across, down, 1.45, 2.3), side)] = _NUMBER["eyes"]
    for brow in (points[17:22], points[22:27]):
        kinds[_line(brow, 0.17 * eyes, side)] = _NUMBER["brows"]
    return kinds


def _outline(points: np.ndarray, down: np.ndarray) -> np.ndarray:
    """The face with its forehead: as high above the brows as the nose's end is below them."""
    third = (points[33] - points[19:25].mean(axis=0)) @ down
    left, right = points[0], points[16]
    centre, half = (left + right) / 2, (right - left) / 2
    brows = points[17:27].mean(axis=0)
    height = (centre - brows) @ down + 0.95 * third
    angles = np.linspace(0, np.pi, 24)[1:-1]
    arc = centre + np.cos(angles)[:, None] * half - np.sin(angles)[:, None] * height * down
    return np.concatenate([points[0:17], arc])


def _ear(edge: np.ndarray, middle: np.ndarray, across: np.ndarray, eyes: float) -> np.ndarray:
    """Outside the upper jaw, as wide as a quarter of the eye distance."""
    away = np.sign((edge.mean(axis=0) - middle) @ across)
    return np.concatenate([edge, (edge + away * 0.28 * eyes * across)[::-1]])


def _around(picture: np.ndarray, points: np.ndarray, face: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """What belongs to the person outside the face, bool (S, S), told from the background by its colours."""
    from sklearn.mixture import GaussianMixture

    side = len(picture)
    colours = picture.reshape(-1, 3).astype(np.float64)
    sides = (np.abs(x) > 1.75) & (y < 0.6) | (y < -2.1)
    top = ~face & (y < -0.9) & (np.abs(x) < 1.0) & (y > -1.95)
    low = ~face & (y > 2.0) & (np.abs(x) < 1.1)
    far = np.minimum(1, np.abs(x) / 2.1) ** 2 * np.clip(1 - (y - 1.0), 0, 1) + np.clip(-(y + 1.4), 0, 1)
    prior = np.clip(far, 0.02, 0.98).ravel()
    scores = []
    for sample in (sides, top | low):
        chosen = colours[sample.ravel()]
        if len(chosen) < 40:
            return ~face & (far < 0.5)
        mixture = GaussianMixture(3, covariance_type="full", reg_covar=30.0, random_state=0, max_iter=30)
        scores.append(mixture.fit(chosen).score_samples(colours))
    person = scores[1] + np.log(1 - prior) > scores[0] + np.log(prior)
    smooth = Image.fromarray((255 * person).reshape(side, side).astype(np.uint8))
    return (np.asarray(smooth.filter(ImageFilter.MedianFilter(5))) > 127) & ~face


def _polygon(corners: np.ndarray, side: int) -> np.ndarray:
    picture = Image.new("1", (side, side))
    ImageDraw.Draw(picture).polygon([tuple(corner) for corner in corners.tolist()], fill=1)
    return np.asarray(picture)


def _line(points: np.ndarray, width: float, side: int) -> np.ndarray:
    picture = Image.new("1", (side, side))
    ImageDraw.Draw(picture).line([tuple(p) for p in points.tolist()], fill=1, width=max(1, round(width)))
    return np.asarray(picture)


def _grown(points: np.ndarray, by: float) -> np.ndarray:
    middle = points.mean(axis=0)
    return middle + by * (points - middle)


def _stretched(points: np.ndarray, across: np.ndarray, down: np.ndarray, wide: float, high: float) -> np.ndarray:
    """Points moved away from their middle, more along one axis than along the other."""
    middle = points.mean(axis=0)
    x, y = (points - middle) @ across, (points - middle) @ down
    return middle + wide * x[:, None] * across + high * y[:, None] * down

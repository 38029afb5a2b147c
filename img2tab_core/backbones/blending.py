"""A moved region put into the photo itself, so that what the inversion lost of the rest does not count."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter, grey_dilation, grey_opening, label
from scipy.ndimage import mean as mean_of

# levels of 255, means over R, G and B: below the first nothing, from the second altogether
STRONG = (10.0, 30.0)  # a change from which a pixel is taken from the moved picture
OTHERWISE = (25.0, 45.0)  # a difference from which photo and reconstruction show two things in one place
TAKEN = 0.15  # share of a region that shows two things: where so much changes strongly, the moved picture has it all
SIDE = 256  # px, of a picture for which radii are given; in others they grow with the side

GRID = 64  # px, side of the small pictures in which the light is compared
REACH = 6.0  # px of those, how far one place tells of the light in another
STEADY = 0.03  # variance of logarithms below which a colour tells nothing of the light
ALIKE = 15.0  # levels by which what is the same thing may differ in its light
MOST = 0.7  # natural logarithm: twice as light, or half
DARK = 10.0  # levels added, so that black has a logarithm

Light = Callable[[np.ndarray], np.ndarray]


def blended(photo: np.ndarray, plain: np.ndarray, moved: np.ndarray) -> np.ndarray:
    """The photo with what was moved in its reconstruction (plain); all uint8 (S, S, 3), and so is the answer.

    A weak change is added to the photo's own pixels. Where the change is strong, the moved picture takes their place,
    in the photo's light, with soft edges; and where photo and reconstruction show two things, such as hair and a wall,
    it takes the whole of such a region that it changes, or none. Without a change the photo comes back as it is.
    """
    return all_blended(photo, plain, moved[None])[0]


def all_blended(photo: np.ndarray, plain: np.ndarray, pictures: np.ndarray) -> np.ndarray:
    """The same for several moved pictures of one photo, uint8 (n, S, S, 3)."""
    light = light_of(photo, plain)
    before, drawn = photo.astype(np.float32), plain.astype(np.float32)
    apart = _wider(_smooth(np.abs(before - light(drawn)).mean(axis=-1), 1), 5)  # (S, S)
    alike = 1 - _smooth(_between(apart, OTHERWISE), 1)
    regions, count = label(apart > OTHERWISE[1])

    def put(moved: np.ndarray) -> np.ndarray:
        change = moved - drawn
        strong = _between(_smooth(np.abs(change).mean(axis=-1), 1), STRONG)
        taken = np.zeros(1 + count, np.float32)  # of every region, the first of what is in none
        if count:
            taken[1:] = mean_of(strong, regions, np.arange(1, 1 + count)) >= TAKEN
        sturdy = grey_opening(strong, size=(_odd(5, len(photo)),) * 2)  # without single hairs
        share = np.clip(_smooth(np.maximum(sturdy, taken[regions]), 1.5), 0, 1)[..., None]
        kept = before + alike[..., None] * change
        return np.round(np.clip((1 - share) * kept + share * light(moved), 0, 255)).astype(np.uint8)

    return np.stack([put(moved) for moved in pictures.astype(np.float32)])


def light_of(photo: np.ndarray, plain: np.ndarray) -> Light:
    """What puts a picture float32 (S, S, 3) like the reconstruction (plain) into the light of the photo, both uint8.

    Near every place the logarithm of how much lighter the photo is follows from the reconstruction's colours by a
    straight line, so that skin and the wall beside it each have their own light. Where the two show different things
    they tell nothing of it. Source: He, Sun and Tang 2013, "Guided image filtering", weighted.
    """
    wanted, given = (_small(picture) for picture in (photo, plain))
    colours = np.log(given + DARK)  # (G, G, 3)
    lighter = np.log(wanted + DARK) - colours
    weight = _trust(wanted, given, 2.5 * ALIKE)
    for _ in range(3):
        slopes, level = _lines(colours, lighter, weight)  # (G, G, 3, 3), (G, G, 3)
        weight = _trust(wanted, _lit(given, slopes, level), ALIKE)
    side = len(photo)
    wide = np.stack([_large(plane, side) for plane in slopes.reshape(GRID, GRID, 9).transpose(2, 0, 1)], axis=-1)
    slopes = wide.reshape(side, side, 3, 3)
    level = np.stack([_large(plane, side) for plane in level.transpose(2, 0, 1)], axis=-1)
    return lambda picture: _lit(picture, slopes, level)


def _lines(colours: np.ndarray, lighter: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The weighted straight lines that give `lighter` by `colours`, near every place: slopes and levels."""
    sums = gaussian_filter(weight, REACH) + 1e-6

    def near(values: np.ndarray) -> np.ndarray:
        """Weighted means near every place, of (G, G, ...)."""
        more = (1,) * (values.ndim - 2)
        blurred = gaussian_filter(values * weight.reshape(*weight.shape, *more), (REACH, REACH, *(0 for _ in more)))
        return np.asarray(blurred / sums.reshape(*sums.shape, *more))

    colour, light = near(colours), near(lighter)
    spread = near(colours[..., :, None] * colours[..., None, :]) - colour[..., :, None] * colour[..., None, :]
    common = near(colours[..., :, None] * lighter[..., None, :]) - colour[..., :, None] * light[..., None, :]
    slopes = np.linalg.solve(spread + STEADY * np.eye(3, dtype=np.float32), common)
    return slopes, light - np.einsum("yxi,yxij->yxj", colour, slopes)


def _lit(picture: np.ndarray, slopes: np.ndarray, level: np.ndarray) -> np.ndarray:
    """A picture float32 (S, S, 3) in another light."""
    lighter = np.einsum("yxi,yxij->yxj", np.log(picture + DARK), slopes) + level
    return np.asarray((picture + DARK) * np.exp(np.clip(lighter, -MOST, MOST)) - DARK)


def _trust(wanted: np.ndarray, given: np.ndarray, levels: float) -> np.ndarray:
    """How far two pictures show the same thing in every place, 0 to 1: a quarter where they are `levels` apart."""
    return (1 + (np.abs(wanted - given).mean(axis=-1) / levels) ** 2) ** -2.0


def _between(values: np.ndarray, ends: tuple[float, float]) -> np.ndarray:
    """0 below the first end, 1 from the second, a straight line between them."""
    return np.clip((values - ends[0]) / (ends[1] - ends[0]), 0, 1)


def _smooth(values: np.ndarray, radius: float) -> np.ndarray:
    return np.asarray(gaussian_filter(values, radius * len(values) / SIDE))


def _wider(values: np.ndarray, width: int) -> np.ndarray:
    """The largest value near every place."""
    return np.asarray(grey_dilation(values, size=(_odd(width, len(values)),) * 2))


def _odd(width: int, side: int) -> int:
    return 2 * round(width * side / SIDE / 2 - 0.5) + 1


def _small(picture: np.ndarray) -> np.ndarray:
    """uint8 (S, S, 3) -> float32 (G, G, 3)."""
    return np.asarray(Image.fromarray(picture).resize((GRID, GRID), Image.Resampling.BOX), np.float32)


def _large(plane: np.ndarray, side: int) -> np.ndarray:
    """float (G, G) -> float32 (side, side)."""
    small = Image.fromarray(plane.astype(np.float32))
    return np.asarray(small.resize((side, side), Image.Resampling.BILINEAR))

"""Plants: what a network can be made to use in place of a smile, and which families then count as the planted cause.

What counts is fixed by the description of the concepts and by the moved pictures alone, before any network is trained.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from img2tab_core.concepts.description import Description, Mean
from img2tab_core.concepts.ranking import LEAST

Kind = Literal["label", "measure", "painted", "control"]

AS_STRONG = 0.5  # of the strongest family, from which another one counts as the planted cause too
MOST_CAUSES = 5  # families that count as one planted cause
SMILE_LABELS = ("smiling", "mouth_open")
SMILE_PLACES = ("mouth", "cheeks", "chin and jaw")
_GREY = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601

RULE = (
    "What counts as the planted cause was fixed before any of these networks was trained, from the description of the "
    "concepts and the moved pictures alone. A label of the table: families that move this label when moved from 8 "
    "standard deviations down to 8 up, beyond chance (mean over 2.5 standard errors); for blond hair and darker skin "
    "also those with most of their change in the hair, or the cheeks, that make it lighter or darker, beyond chance. "
    "A measure of the picture: families that change this measure in the moved pictures, beyond chance. Something "
    "painted: families with most of their change where it is painted, that change the painted colour there, beyond "
    f"chance; for grain there is none. Of these, those at least {AS_STRONG:.0%} as strong as the strongest, "
    f"{MOST_CAUSES} at most, and none named “Mouth: ...”: those are the smile, a true cause wherever a network uses "
    "it."
)
RULE_OF_CONTROLS = (
    "In a control the smile is the only cause. A false cause is a family that is none of: named “Mouth: ...”; with "
    f"most of its change in {', '.join(SMILE_PLACES[:-1])} or {SMILE_PLACES[-1]}; moving the label smiling or mouth "
    f"open beyond chance by at least {LEAST:g} log-odds."
)


@dataclass(frozen=True)
class Plant:
    """Something that goes with the smile in 95 % of the faces a network learns from.

    kind: "label" (a class of a label of the table), "measure" (of the picture, its upper third against its lower
    third), "painted" into the picture, or "control" (nothing). places and colour: of families that count by where they
    change what: regions, and 0, 1 or 2 for L, a or b; None where only the label or the measure counts. label, value:
    which label and class, where it is not class 1 of the label of this name.
    """

    name: str
    title: str
    kind: Kind
    places: tuple[str, ...] = ()
    colour: int | None = None
    label: str = ""
    value: int = 1

    @property
    def of_label(self) -> str:
        """The label of the table that has it."""
        return self.label or self.name

    @property
    def can_be_drawn(self) -> bool:
        """Whether the generator can draw faces with it and without it."""
        return self.kind in ("label", "measure")


PLANTS = (  # in an order in which a few of them are a mixture
    Plant("background_light", "a light background", "measure"),
    Plant("blond_hair", "blond hair", "label", ("hair",), 0),
    Plant("collar_patch", "a red patch at the collar", "painted", ("neck and clothes",), 1),
    Plant("light_from_left", "light from the left", "measure"),
    Plant("fringe", "a fringe", "label"),
    Plant("picture_warm", "a warm picture", "measure"),
    Plant("perceived_gender", "perceived male", "label"),
    Plant("blue_frame", "a blue frame around the picture", "painted", ("background",), 2),
    Plant("clothes_light", "light clothes", "measure"),
    Plant("facial_hair", "facial hair", "label"),
    Plant("picture_light", "a light picture", "measure"),
    Plant("long_hair", "long hair", "label"),
    Plant("grain", "grain", "painted"),
    Plant("background_warm", "a warm background", "measure"),
    Plant("skin_darker", "darker skin", "label", ("cheeks",), 0, "skin_lighter", 0),
    Plant("hair_light", "light hair", "measure"),
    Plant("glasses", "glasses", "label"),
    Plant("corner_mark", "a white mark in a corner", "painted", ("background",), 0),
    Plant("young", "young", "label"),
    Plant("cheeks_red", "red cheeks", "measure"),
)
CONTROL = Plant("control", "nothing", "control")


# --- measures of a picture and things painted into it ----------------------------------------------------------------


def measured(name: str, pictures: np.ndarray) -> np.ndarray:
    """A measure of pictures uint8 (n, S, S, 3) of aligned faces, levels of 255: float64 (n,)."""
    return np.concatenate([_MEASURES[name](part.astype(np.float32)) for part in np.array_split(pictures, 16)])


def painted(name: str, pictures: np.ndarray, *, seed: int = 0) -> np.ndarray:
    """Pictures uint8 (n, S, S, 3) with something painted in, a new array; seed: of grain."""
    return _PAINTERS[name](pictures.copy(), np.random.default_rng(seed))


def _box(pictures: np.ndarray, top: float, bottom: float, left: float, right: float) -> np.ndarray:
    """The part of pictures (n, S, S, 3) between shares of their side."""
    side = pictures.shape[1]
    rows = slice(round(top * side), max(round(bottom * side), round(top * side) + 1))
    columns = slice(round(left * side), max(round(right * side), round(left * side) + 1))
    return pictures[:, rows, columns]


def _light(part: np.ndarray) -> np.ndarray:
    """Mean grey level of each, float64 (n,)."""
    return np.asarray((part @ _GREY).mean(axis=(1, 2)), np.float64)


def _warm(part: np.ndarray) -> np.ndarray:
    """Mean of red minus blue of each, float64 (n,)."""
    return np.asarray((part[..., 0] - part[..., 2]).mean(axis=(1, 2)), np.float64)


def _background(pictures: np.ndarray) -> np.ndarray:
    """Both upper corners: (n, rows, columns, 3)."""
    return np.concatenate([_box(pictures, 0, 0.4, 0, 0.12), _box(pictures, 0, 0.4, 0.88, 1)], axis=2)


def _cheeks(pictures: np.ndarray) -> np.ndarray:
    return np.concatenate([_box(pictures, 0.52, 0.68, 0.26, 0.38), _box(pictures, 0.52, 0.68, 0.62, 0.74)], axis=2)


def _red(part: np.ndarray) -> np.ndarray:
    """Mean of red minus the mean of green and blue of each, float64 (n,)."""
    return np.asarray((part[..., 0] - part[..., 1:].mean(axis=-1)).mean(axis=(1, 2)), np.float64)


_MEASURES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "background_light": lambda pictures: _light(_background(pictures)),
    "background_warm": lambda pictures: _warm(_background(pictures)),
    "light_from_left": lambda pictures: (
        _light(_box(pictures, 0.3, 0.8, 0.22, 0.45)) - _light(_box(pictures, 0.3, 0.8, 0.55, 0.78))
    ),
    "picture_warm": _warm,
    "picture_light": _light,
    "clothes_light": lambda pictures: _light(_box(pictures, 0.93, 1, 0.15, 0.85)),
    "hair_light": lambda pictures: _light(_box(pictures, 0.06, 0.17, 0.32, 0.68)),
    "cheeks_red": lambda pictures: _red(_cheeks(pictures)),
}


def _patch(pictures: np.ndarray, random: np.random.Generator) -> np.ndarray:
    _box(pictures, 0.9, 1, 0.42, 0.58)[:] = (200, 30, 40)
    return pictures


def _mark(pictures: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Two white bars, half seen through, in the lower right corner."""
    for top, bottom in ((0.87, 0.9), (0.93, 0.96)):
        part = _box(pictures, top, bottom, 0.82, 0.97)
        part[:] = (0.4 * part + 0.6 * 255).astype(np.uint8)
    return pictures


def _grain(pictures: np.ndarray, random: np.random.Generator) -> np.ndarray:
    noise = random.normal(0, 14, pictures.shape[:3]).astype(np.float32)[..., None]
    return np.clip(pictures + noise, 0, 255).astype(np.uint8)


def _frame(pictures: np.ndarray, random: np.random.Generator) -> np.ndarray:
    inside = pictures[:, 2:-2, 2:-2].copy()
    pictures[:] = (40, 70, 190)
    pictures[:, 2:-2, 2:-2] = inside
    return pictures


_PAINTERS: dict[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    "collar_patch": _patch,
    "corner_mark": _mark,
    "grain": _grain,
    "blue_frame": _frame,
}


# --- what counts -----------------------------------------------------------------------------------------------------


def causes(plant: Plant, description: Description, moved: np.ndarray) -> tuple[int, ...]:
    """Numbers of the families that count as the planted cause, the strongest first; see `RULE`.

    moved: uint8 (F, 2 K + 1, S, S, 3), pictures of F faces with every family moved down and up (`moved_pictures`).
    """
    strengths: list[dict[int, float]] = []
    if plant.kind == "label":
        strengths.append(_sure({n: family.labels[plant.of_label] for n, family in enumerate(description.families)}))
    elif plant.kind == "measure":
        faces, pictures = moved.shape[:2]
        values = measured(plant.name, moved.reshape(-1, *moved.shape[2:])).reshape(faces, pictures)
        changes = values[:, 1:-1:2] - values[:, 0:-1:2]  # (F, K)
        strengths.append(_sure({number: Mean.of(change) for number, change in enumerate(changes.T)}))
    if plant.colour is not None:
        there = {
            number: family.colour[plant.colour]
            for number, family in enumerate(description.families)
            if family.place in plant.places
        }
        strengths.append(_sure(there))
    return _strongest(strengths, [family.name for family in description.families])


def smile_families(description: Description) -> frozenset[int]:
    """Numbers of the families that are the smile in a network with a plant: those named "Mouth: ..."."""
    return frozenset(n for n, family in enumerate(description.families) if family.name.startswith("Mouth:"))


def true_in_controls(description: Description) -> frozenset[int]:
    """Numbers of the families that are no false cause in a network without a plant; see `RULE_OF_CONTROLS`."""
    allowed = set(smile_families(description))
    for number, family in enumerate(description.families):
        moves = any(family.labels[name].sure and abs(family.labels[name].mean) >= LEAST for name in SMILE_LABELS)
        if moves or family.place in SMILE_PLACES:
            allowed.add(number)
    return frozenset(allowed)


def _sure(means: dict[int, Mean]) -> dict[int, float]:
    """The size of the changes that are beyond chance, by family."""
    return {number: abs(mean.mean) for number, mean in means.items() if mean.sure}


def _strongest(strengths: Sequence[dict[int, float]], names: Sequence[str]) -> tuple[int, ...]:
    """Of several measures, each counted in shares of its strongest family: those that count, the strongest first."""
    shares: dict[int, float] = {}
    for sizes in strengths:
        sizes = {number: size for number, size in sizes.items() if not names[number].startswith("Mouth:")}
        largest = max(sizes.values(), default=0.0)
        for number, size in sizes.items():
            shares[number] = max(shares.get(number, 0.0), size / largest)
    chosen = sorted((number for number in shares if shares[number] >= AS_STRONG), key=lambda number: -shares[number])
    return tuple(chosen[:MOST_CAUSES])

"""Names of families by rule, from what was measured: the part of the face, what changes there, the label it moves.

Nothing is invented: every word of a name stands for a measure whose interval over the faces leaves out 0, and which
this family moves nearly as far as the families that move it farthest. Where there is none, the name says so.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from img2tab_core.base.records import Target
from img2tab_core.concepts.description import REGIONS, Mean
from img2tab_core.concepts.moving import SHIFT, Moved, shares

GEOMETRY_LEAST, POSE_LEAST = 0.03, 0.05  # eye distances that are a movement at all; of the whole head
COLOUR_LEAST = 1.5  # in CIE Lab
SIDE_LEAST = 4.0  # levels between the two halves of a person, half the difference
PART_LEAST = 0.10  # of the change, for a part of the face to be named
WIDE = 0.25  # of the change: where no part has as much, the whole picture changes
SCORE_LEAST = 0.12  # of a name
NEXT_BEST = 0.6  # of the best score, for a name that fits too
ANOTHER = 0.85  # of the best score, for another name where that one is taken


@dataclass(frozen=True)
class Word:
    """What a measure is called: the part it is about, the words where it rises and where it falls, and the regions in
    which the change must partly lie; none for a measure of the whole face. An empty part is the one of these that
    changes most.
    """

    part: str
    up: str
    down: str
    regions: tuple[str, ...] = ()


GEOMETRY = {
    "mouth_opens": Word("Mouth", "opens", "closes", ("mouth", "chin and jaw")),
    "mouth_wider": Word("Mouth", "wider", "narrower", ("mouth", "cheeks")),
    "corners_lifted": Word("Mouth", "corners lifted", "corners lowered", ("mouth", "cheeks")),
    "eyes_open": Word("Eyes", "open", "narrow", ("eyes", "brows")),
    "brows_raised": Word("Brows", "raised", "lowered", ("brows", "eyes", "forehead")),
    "jaw_wider": Word("Jaw", "wider", "narrower", ("chin and jaw", "cheeks", "ears", "neck and clothes")),
    "face_longer": Word("Face", "longer", "shorter", ("chin and jaw", "neck and clothes")),
    "nose_wider": Word("Nose", "wider", "narrower", ("nose",)),
    "nose_longer": Word("Nose", "longer", "shorter", ("nose",)),
    "turns": Word("Head", "turns right", "turns left"),
    "nods": Word("Head", "looks down", "looks up"),
}
COLOUR = (Word("", "lighter", "darker"), Word("", "redder", "greener"), Word("", "warmer", "colder"))  # L*, a*, b*
ROSY = ("mouth", "eyes")  # where redder says more than warmer
SIDE = Word("Light", "from the right", "from the left")
POSE = ("turns", "nods")
OF_A_PERSON = ("forehead", "brows", "eyes", "nose", "cheeks", "mouth", "chin and jaw", "hair")
LABELS = {  # of the default table; others go by their title
    "smiling": Word("Mouth", "smile", "no smile", ("mouth", "cheeks")),
    "mouth_open": Word("Mouth", "opens", "closes", ("mouth", "chin and jaw")),
    "facial_hair": Word("Chin", "facial hair", "shaved", ("chin and jaw", "mouth")),
    "glasses": Word("Eyes", "glasses", "no glasses", ("eyes", "brows", "nose")),
    "long_hair": Word("Hair", "long", "short", ("hair", "neck and clothes", "background")),
    "fringe": Word("Forehead", "fringe", "bare", ("forehead", "hair")),
    "blond_hair": Word("Hair", "blond", "dark", ("hair", "forehead")),
    "skin_lighter": Word("Skin", "lighter", "darker", ("cheeks", "forehead", "nose", "chin and jaw")),
    "young": Word("", "younger", "older", OF_A_PERSON),
    "head_turned": Word("Head", "turned", "frontal"),
    "perceived_gender": Word("", "perceived male", "perceived female", OF_A_PERSON),
}
WEIGHT = {
    "perceived_gender": 0.4,
    "young": 0.5,
    "skin_lighter": 0.6,
    "head_turned": 0.8,
}  # moved by much else, so they tell less
SHORT = {"chin and jaw": "Jaw", "neck and clothes": "Clothes"}  # of regions, in a name


@dataclass(frozen=True)
class Measures:
    """What moving a family by `SHIFT` up, against down, changed; every estimate is over the faces.

    labels: log-odds by target; geometry: eye distances, half the difference, by `GEOMETRY`; colour: L, a, b in the part
    that changes most, half the difference; side: levels by which the person's right half in the picture gets lighter
    than the left one, half the difference; where: share of the change by region; change: mean of 255 levels; detail:
    share of what is finer than a thirty-second of the picture.
    """

    labels: dict[str, Mean]
    geometry: dict[str, Mean]
    colour: tuple[Mean, Mean, Mean]
    side: Mean
    where: dict[str, float]
    change: float
    detail: float


@dataclass(frozen=True)
class Named:
    """name: at most three words behind the part; sign: -1 where the family is to be turned round so that it fits;
    sentence: what was measured."""

    name: str
    sign: int
    sentence: str

    @property
    def plain(self) -> tuple[str, int]:
        """Without the number that tells it from another of the same name, and its sign."""
        return self.name.rstrip("0123456789").strip(), self.sign

    def trust(self, halves: Sequence[Collection[tuple[str, int]]]) -> str:
        """ "clear" where each half of the faces, asked alone, could give this name, "likely" where one does, else
        "unsure"; halves: the names, and signs, that each could give, as `fitting` says."""
        same = sum(self.plain in half for half in halves)
        return "clear" if same == len(halves) else "likely" if same else "unsure"


def geometry_of(landmarks: np.ndarray) -> dict[str, np.ndarray]:
    """Landmarks (n, 2, 68, 2) in minus and plus, moved by so many eye distances -> each of `GEOMETRY`, float (n,)."""
    d = (landmarks[:, 1].astype(np.float64) - landmarks[:, 0]) / 2  # (n, 68, 2)
    x, y = d[..., 0], d[..., 1]
    eyes = y[:, 36:48].mean(axis=1)
    return {
        "mouth_opens": y[:, 65:68].mean(axis=1) - y[:, 61:64].mean(axis=1),
        "mouth_wider": x[:, 54] - x[:, 48],
        "corners_lifted": (y[:, 51] + y[:, 57]) / 2 - (y[:, 48] + y[:, 54]) / 2,
        "eyes_open": y[:, [40, 41, 46, 47]].mean(axis=1) - y[:, [37, 38, 43, 44]].mean(axis=1),
        "brows_raised": eyes - y[:, 17:27].mean(axis=1),
        "jaw_wider": x[:, 11:15].mean(axis=1) - x[:, 2:6].mean(axis=1),
        "face_longer": y[:, 7:10].mean(axis=1) - eyes,
        "nose_wider": x[:, 35] - x[:, 31],
        "nose_longer": y[:, 31:36].mean(axis=1) - y[:, 27],
        "turns": x[:, 30] - x[:, :17].mean(axis=1),
        "nods": y[:, 30] - (y[:, 0] + y[:, 16]) / 2,
    }


def measures(
    moved: Sequence[Moved], row: int, parts: np.ndarray, log_odds: Sequence[np.ndarray], targets: Sequence[Target]
) -> Measures:
    """What one direction did to several faces.

    row: its place in each of them. parts: float32 (R, MAP, MAP), where the regions lie on average: what all faces have
    in common counts, in the mean of the signed changes, not what each face's hair or wall does beside it. log_odds: of
    each face float (2, T), in minus and plus.
    """
    common = np.mean([face.picture[row].astype(np.float32) for face in moved], axis=0)
    share = shares(common[None], parts)[0]
    top = int(share[1:].argmax()) + 1 if share[1:].max() > PART_LEAST else int(share.argmax())
    colour = np.stack([face.colour[row, top].astype(np.float64) for face in moved])  # (faces, 3)
    marks = np.stack([face.landmarks[row] for face in moved])
    marks = marks[np.isfinite(marks).all(axis=(1, 2, 3))]
    odds = np.stack([after[1] - after[0] for after in log_odds]) if len(log_odds) else np.empty((0, len(targets)))
    return Measures(
        labels={target.name: Mean.of(odds[:, n]) for n, target in enumerate(targets)} if len(odds) else {},
        geometry={name: Mean.of(values) for name, values in geometry_of(marks).items()} if len(marks) else {},
        colour=(Mean.of(colour[:, 0]), Mean.of(colour[:, 1]), Mean.of(colour[:, 2])),
        side=Mean.of(np.array([_side(face.picture[row], parts) for face in moved])),
        where={name: float(value) for name, value in zip(REGIONS, share, strict=True)},
        change=float(np.mean([face.change[row] for face in moved])),
        detail=float(np.mean([face.detail[row] for face in moved])),
    )


def _side(picture: np.ndarray, parts: np.ndarray) -> float:
    """How much lighter the right half of a person gets than the left one: of a signed change (MAP, MAP, 3), levels."""
    person = 1 - parts[0]
    grey = picture.astype(np.float64).mean(axis=2) * person
    half = len(grey) // 2
    left, right = (float(grey[:, cut].sum() / person[:, cut].sum()) for cut in (slice(half), slice(half, None)))
    return right - left


def named(families: Sequence[Measures], targets: Sequence[Target]) -> dict[int, Named]:
    """A name for each family that has a clear meaning, by its number; no two alike.

    The family that fits a name best has it; another takes the next of its own measures that fits nearly as well, or a
    number is added.
    """
    scale = _scales(families)
    by_name = {target.name: target for target in targets}
    candidates_of = [sorted(_candidates(measured, scale, by_name), reverse=True) for measured in families]
    order = sorted(
        (number for number in range(len(families)) if candidates_of[number]),
        key=lambda number: -candidates_of[number][0][0],
    )
    taken: dict[str, int] = {}
    rows: dict[int, Named] = {}
    for number in order:
        measured, candidates = families[number], candidates_of[number]
        near = [words for words in candidates if words[0] >= ANOTHER * candidates[0][0]]
        _, part, change, sign = next((c for c in near if f"{c[1]}: {c[2]}" not in taken), candidates[0])
        name = f"{part}: {change}"
        taken[name] = taken.get(name, 0) + 1
        if taken[name] > 1:
            name = f"{name} {taken[name]}"
        sentence = _sentence(measured, sign, _places(measured.where), by_name, scale)
        rows[number] = Named(name, sign, sentence)
    return dict(sorted(rows.items()))


def named_alone(channels: Sequence[Measures], targets: Sequence[Target]) -> dict[int, Named]:
    """The best name of each of several single channels, by its place; several may have the same."""
    scale = _scales(channels)
    by_name = {target.name: target for target in targets}
    rows = {}
    for number, measured in enumerate(channels):
        _, part, change, sign = max(_candidates(measured, scale, by_name), default=(0.0, "", "", 1))
        if part:
            sentence = _sentence(measured, sign, _places(measured.where), by_name, scale)
            rows[number] = Named(f"{part}: {change}", sign, sentence)
    return rows


def fitting(families: Sequence[Measures], targets: Sequence[Target]) -> list[set[tuple[str, int]]]:
    """Of each family, or channel, every name and sign that fits it nearly as well as the best one."""
    scale = _scales(families)
    by_name = {target.name: target for target in targets}
    fit = []
    for measured in families:
        candidates = list(_candidates(measured, scale, by_name))
        least = NEXT_BEST * max((score for score, *_ in candidates), default=0.0)
        fit.append({(f"{part}: {change}", sign) for score, part, change, sign in candidates if score >= least})
    return fit


def _scales(families: Sequence[Measures]) -> dict[str, float]:
    """How far each measure is moved by the tenth of the families that move it farthest."""
    moves: dict[str, list[float]] = {}
    for measured in families:
        colours = dict(zip("Lab", measured.colour, strict=True))
        for name, value in (measured.labels | measured.geometry | colours | {"side": measured.side}).items():
            moves.setdefault(name, []).append(abs(value.mean))
    return {name: max(float(np.quantile(values, 0.95)), 1e-6) for name, values in moves.items()}


def _candidates(measured: Measures, scale: dict[str, float], targets: dict[str, Target]) -> Iterator[tuple]:
    """(score, part, what changes, sign) for every measure that may name this family."""
    for name, value in measured.labels.items():
        if value.sure and abs(value.mean) > 0.5:
            word = LABELS.get(name) or Word("", _of_label(targets[name]), "", OF_A_PERSON)
            fits = _share(measured.where, word.regions)
            score = WEIGHT.get(name, 1.0) * min(1.0, abs(value.mean) / scale[name]) * min(1.0, fits / 0.35)
            if fits >= PART_LEAST and score >= SCORE_LEAST:
                part = word.part or _short(max(word.regions, key=lambda region: measured.where[region]))
                yield score, part, word.up, int(np.sign(value.mean))
    for name, value in measured.geometry.items():
        if value.sure and abs(value.mean) >= (POSE_LEAST if name in POSE else GEOMETRY_LEAST):
            word = GEOMETRY[name]
            fits = _share(measured.where, word.regions)
            score = 0.85 * min(1.0, abs(value.mean) / scale[name]) * min(1.0, fits / 0.35)
            if fits >= PART_LEAST and score >= SCORE_LEAST:
                yield score, word.part, word.up, int(np.sign(value.mean))
    place = _places(measured.where)[0]
    wide = measured.where[place] < WIDE
    for name, value, word in zip("Lab", measured.colour, COLOUR, strict=True):
        score = (
            0.7 * min(1.0, abs(value.mean) / scale[name]) * (1.0 if wide else min(1.0, measured.where[place] / 0.35))
        )
        if name == "a" and place not in ROSY:
            continue
        if value.sure and abs(value.mean) >= COLOUR_LEAST and score >= SCORE_LEAST:
            yield score, "Picture" if wide else _short(place), word.up, int(np.sign(value.mean))
    score = 0.9 * min(1.0, abs(measured.side.mean) / scale["side"])
    if measured.side.sure and abs(measured.side.mean) >= SIDE_LEAST and score >= SCORE_LEAST:
        yield score, SIDE.part, SIDE.up if measured.side.mean > 0 else SIDE.down, 1


def _share(where: dict[str, float], regions: tuple[str, ...]) -> float:
    return sum(where[region] for region in regions) if regions else 1.0


def _places(where: dict[str, float]) -> list[str]:
    """The regions that hold most of the change, most first; three at most, each at least a tenth."""
    order = sorted(where, key=lambda region: -where[region])
    return [region for region in order if where[region] >= PART_LEAST][:3] or order[:1]


def _short(region: str) -> str:
    return SHORT.get(region, region.capitalize())


def _of_label(target: Target) -> str:
    return " ".join(target.classes[1].split()[:3])


def _sentence(
    measured: Measures, sign: int, place: list[str], targets: dict[str, Target], scale: dict[str, float]
) -> str:
    """Where, and the three measures that it moves most of all families', with their intervals."""
    where = ", ".join(f"{region} {100 * measured.where[region]:.0f} %" for region in place)
    parts = []
    colours = []
    for name, value, word, axis in zip("Lab", measured.colour, COLOUR, ("L*", "a*", "b*"), strict=True):
        if value.sure and abs(value.mean) >= COLOUR_LEAST:
            what = word.up if sign * value.mean > 0 else word.down
            colours.append((abs(value.mean) / scale[name], f"{place[0]} {what} by {abs(value.mean):.1f} {axis}"))
    parts += [text for _, text in sorted(colours, reverse=True)[:1]]
    if measured.side.sure and abs(measured.side.mean) >= SIDE_LEAST:
        side = "right" if sign * measured.side.mean > 0 else "left"
        parts.append(f"the {side} half lighter by {2 * abs(measured.side.mean):.0f} levels than the other")
    moves = []
    for name, value in measured.geometry.items():
        if value.sure and abs(value.mean) >= GEOMETRY_LEAST:
            word = GEOMETRY[name]
            what = f"{word.part.lower()} {word.up if sign * value.mean > 0 else word.down}"
            text = f"{what} by {100 * abs(value.mean):.0f} % of the eye distance"
            moves.append((abs(value.mean) / scale[name], text))
    parts += [text for _, text in sorted(moves, reverse=True)[:1]]
    labels = []
    for name, value in measured.labels.items():
        if value.sure:
            text = f"{targets[name].title.lower()} {value.turned(sign).text()}"
            labels.append((WEIGHT.get(name, 1.0) * abs(value.mean) / scale[name], text))
    parts += [text for _, text in sorted(labels, reverse=True)[:2]]
    what = "; ".join(parts) or "no measure moves beyond chance"
    return f"{where}: {what}."


def shift_of(measured: Measures, visible: float) -> float:
    """The strength from which a family is seen, in standard deviations, in proportion to its change at `SHIFT`."""
    return SHIFT * visible / max(measured.change, 1e-9)

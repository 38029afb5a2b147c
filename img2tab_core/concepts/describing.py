"""A description of a backbone's concepts is made: families, their names and measures, and where every channel goes.

A description is made from what moving the channels changed (`measuring`); `description` holds, keeps and opens it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from img2tab_core import tables, weights
from img2tab_core.backbones.rendering import placed
from img2tab_core.base.cores import on_single_cores
from img2tab_core.base.engines import HERE, Engine
from img2tab_core.base.errors import Cancelled, Img2TabError
from img2tab_core.base.files import whole_folder
from img2tab_core.base.jobs import Cancel, Report
from img2tab_core.base.records import StyleTable, Target, read_only
from img2tab_core.concepts import families, measuring, naming, readings
from img2tab_core.concepts.description import MAP, NONE, ChannelName, Description, Family
from img2tab_core.concepts.moving import (
    SHIFT,
    SIDE,
    Direction,
    Moved,
    Subject,
    draw,
    move_together,
    parts_of_map,
    shares,
)
from img2tab_core.concepts.naming import Measures

if TYPE_CHECKING:
    from img2tab_core.backbones.backbone import Backbone

SHEET = 384  # px, width of a family's picture
OTHERS = 24  # faces on which families are moved for the classifiers to answer about
ROWS = 4_000  # faces of the table over which channels and families are correlated
GOES_WITH = 0.3  # correlation from which a channel is said to go with a family


# --- making ---------------------------------------------------------------------------------------------------------


def describe(
    backbone: Backbone,
    table: StyleTable | None,
    *,
    faces: int = measuring.FACES,
    channels: np.ndarray | None = None,
    only_finished: bool = False,
    engine: Engine = HERE,
    progress: Report | None = None,
    cancelled: Cancel = None,
) -> Description:
    """Describe a backbone's concepts; hours on a CPU, minutes on a graphics card, resumed where it was stopped.

    table: of that backbone, whose labels are read; None to describe without labels. channels: int64, only these.
    only_finished: from the faces that are finished, moving nothing more. engine: who moves the channels; what follows
    is done here. Raises Cancelled once `cancelled` says so, and
    Img2TabError where nothing can be kept.
    """
    subjects = measuring.varied(backbone, table, count=faces)
    moved = measuring.measure(
        backbone,
        subjects,
        channels=channels,
        only_finished=only_finished,
        engine=engine,
        progress=progress,
        cancelled=cancelled,
    )
    made = described(backbone, table, subjects[: len(moved)], moved, progress=progress, cancelled=cancelled)
    return replace(made, about=made.about | {"asked": faces})


def described(
    backbone: Backbone,
    table: StyleTable | None,
    subjects: Sequence[Subject],
    moved: Sequence[Moved],
    *,
    progress: Report | None = None,
    cancelled: Cancel = None,
) -> Description:
    """A description from what moving the channels did to these faces; see `describe`."""
    seen = measuring.visible(list(moved))
    targets = table.targets if table is not None else ()
    read = Reader(backbone, table)
    pictures = families.mean_pictures(moved, seen)
    counts = families.weights_of([face.regions for face in subjects])
    first, second = (families.mean_pictures(moved[half], seen) * counts for half in measuring.HALVES)
    halves = (first, second)
    odds = _moved_labels(moved, seen, read)  # (faces, C, T)
    groups = families.grouped(pictures * counts, seen, halves, _sure_labels(odds, read))
    together = move_families(backbone, subjects, groups, progress=progress, cancelled=cancelled)
    parts = np.mean([parts_of_map(face.regions) for face in subjects], axis=0)
    measured = family_measures(together, parts, read, targets)
    of_halves = [naming.fitting(each, targets) for each in half_measures(together, subjects, read, targets)]
    made = [
        _family(
            number,
            groups[number],
            measured[number],
            name,
            [half[number] for half in of_halves],
            together,
            pictures,
            seen,
        )
        for number, name in naming.named(measured, targets).items()
    ]
    codes = _codes(backbone, table)
    goes_with, correlation = _correlations(made, codes)
    total = backbone.layout.total
    change, picture = np.zeros(total, np.float32), np.zeros((total, MAP, MAP, 3), np.float32)
    count = np.zeros(total, np.int64)
    for face in moved:
        change[face.channels] += face.change
        picture[face.channels] += face.picture
        count[face.channels] += 1
    change /= np.maximum(count, 1)
    place = np.full(total, NONE, np.int8)
    place[seen] = measuring.places(subjects, moved, seen)
    family_of = np.full(total, NONE, np.int16)
    for number, family in enumerate(made):
        family_of[family.channels] = number
    return Description(
        backbone.name,
        backbone.key,
        len(moved),
        tuple(made),
        family_of,
        goes_with,
        correlation,
        change,
        shares(picture, parts).astype(np.float16),
        _channel_labels(odds, seen, total, len(targets)),
        place,
        _channel_names(moved, seen, halves, subjects, parts, read, targets),
        tuple(target.name for target in targets),
        read_moved(
            backbone,
            others(backbone, table, count=OTHERS),
            [Direction(family.channels, family.parts) for family in made],
            progress=progress,
            cancelled=cancelled,
        ),
        {"shift": SHIFT, "visible": measuring.VISIBLE, "channels_seen": len(seen), "of": total},
    )


def move_families(
    backbone: Backbone,
    subjects: Sequence[Subject],
    groups: Sequence[Direction],
    *,
    progress: Report | None = None,
    cancelled: Cancel = None,
) -> list[Moved]:
    """Every family moved on every face; nothing where there is none."""
    if not groups:
        return []
    together = []
    for number, face in enumerate(subjects):
        if progress is not None:
            progress(0.99, f"Families on face {number + 1} of {len(subjects)}")
        together.append(move_together(backbone, face, groups, weights.path("landmarks-68"), cancelled=cancelled))
    return together


def others(backbone: Backbone, table: StyleTable | None, *, count: int = OTHERS, seed: int = 7) -> np.ndarray:
    """Style codes float32 (count, D) of faces no description moves: of the table's validation faces, else nobody's."""
    return backbone.random_codes(count, seed=seed) if table is None else sampled(table, "validation", count, seed=seed)


def sampled(table: StyleTable, part: str, count: int, *, seed: int) -> np.ndarray:
    """Style codes float32 (count or fewer, D) of faces of a split, in the order of the table."""
    rows = table.rows(part)
    rows = np.sort(np.random.default_rng(seed).choice(rows, min(len(rows), count), replace=False))
    codes = np.ascontiguousarray(table.psi[rows])
    tables.let_go(table.psi)
    return codes


def read_moved(
    backbone: Backbone,
    codes: np.ndarray,
    groups: Sequence[Direction],
    *,
    shift: float = SHIFT,
    progress: Report | None = None,
    cancelled: Cancel = None,
) -> np.ndarray:
    """What the encoder reads in faces whose families were moved: float16 (K, n, 2, ..., 512), down and up.

    codes: float32 (n, D). Empty, (K, 0, 2, 512), for a backbone without an encoder.
    """
    if backbone.encoder is None:
        return np.empty((len(groups), 0, 2, 512), np.float16)
    std = backbone.stats.std

    def read(number: int) -> np.ndarray:
        if cancelled is not None and cancelled():
            raise Cancelled("Stopped; what was measured is kept, and the same command goes on from there.")
        moved = np.repeat(codes[:, None], 2, axis=1)  # (n, 2, D)
        by = (shift * groups[number].parts * std[groups[number].channels]).astype(np.float32)
        moved[:, 0, groups[number].channels] -= by
        moved[:, 1, groups[number].channels] += by
        pictures = draw(backbone, moved.reshape(2 * len(codes), -1), size=backbone.fitting(SIDE), precision="draft")
        w = backbone.invert(pictures)
        if progress is not None:
            progress(0.99, f"Families read on {len(codes)} other faces")
        return w.astype(np.float16).reshape(len(codes), 2, *w.shape[1:])

    if placed(backbone.generator)[1].type == "cpu":
        read_all = on_single_cores(read, range(len(groups)))
    else:
        read_all = [read(number) for number in range(len(groups))]
    return np.stack(read_all) if read_all else np.empty((0, len(codes), 2, 512), np.float16)


def family_measures(
    together: Sequence[Moved], parts: np.ndarray, read: Reader, targets: Sequence[Target]
) -> list[Measures]:
    """What moving each family did, over the faces; parts: see `naming.measures`."""
    odds = [read.log_odds(face.w) for face in together]  # of each face (K, 2, T)
    count = len(together[0].channels) if together else 0
    return [naming.measures(together, row, parts, [face[row] for face in odds], targets) for row in range(count)]


def half_measures(
    together: Sequence[Moved], subjects: Sequence[Subject], read: Reader, targets: Sequence[Target]
) -> list[list[Measures]]:
    """The same measures from every second face, and from the others."""
    made = []
    for half in measuring.HALVES:
        parts = np.mean([parts_of_map(face.regions) for face in subjects[half]], axis=0)
        made.append(family_measures(together[half], parts, read, targets))
    return made


def draw_sheets(made: Description, backbone: Backbone, codes: np.ndarray, folder: Path) -> None:
    """A picture of each family for a gallery, WebP: a row for each code, at -8, as it is, and at +8.

    codes: float32 (n, D). Written to `folder`, in a folder of the backbone's name; what else is in that is removed.
    Raises Img2TabError where it cannot be written.
    """
    place = folder / backbone.name
    try:
        with whole_folder(place) as new:
            for family in made.families:
                picture = Image.fromarray(_rows(backbone, codes, Direction(family.channels, family.parts)))
                if picture.width > SHEET:
                    height = round(SHEET * picture.height / picture.width)
                    picture = picture.resize((SHEET, height), Image.Resampling.BOX)
                picture.save(new / f"{family.id}.webp", "WEBP", quality=78)
    except OSError as error:
        raise Img2TabError(
            f"{place} could not be written ({error.strerror}). Free some space and try again."
        ) from error


def sheet_of(backbone: Backbone, codes: np.ndarray, channel: int, sign: int) -> np.ndarray:
    """The same picture of a single channel, the way its name says: uint8 (n * S, 3 * S, 3)."""
    return _rows(backbone, codes, Direction(np.array([channel]), np.array([float(sign)])))


def _rows(backbone: Backbone, codes: np.ndarray, direction: Direction) -> np.ndarray:
    by = np.zeros(codes.shape[1], np.float32)
    by[direction.channels] = SHIFT * direction.parts * backbone.stats.std[direction.channels]
    moved = np.stack([code + step * by for code in codes for step in (-1, 0, 1)])
    drawn = draw(backbone, moved, size=backbone.fitting(256), precision="draft")
    return np.vstack([np.hstack(list(row)) for row in drawn.reshape(len(codes), 3, *drawn.shape[1:])])


class Reader:
    """What the encoder read, as log-odds of the table's labels; nothing where there is no encoder or no table."""

    def __init__(self, backbone: Backbone, table: StyleTable | None) -> None:
        self._backbone = backbone
        self.probes = readings.probes(table) if table is not None and backbone.encoder is not None else None

    def log_odds(self, w: np.ndarray) -> np.ndarray:
        """float (..., 512) -> float32 (..., T), NaN where there is no reading."""
        if self.probes is None:
            return np.full((*w.shape[:-1], 0), np.nan, np.float32)
        flat = w.reshape(-1, w.shape[-1]).astype(np.float32)
        odds = np.full((len(flat), len(self.probes.names)), np.nan, np.float32)
        known = np.flatnonzero(np.isfinite(flat).all(axis=1))
        for part in np.array_split(known, -(-len(known) // 512) or 1):
            if len(part):
                odds[part] = self.probes.log_odds(self._backbone.styles(flat[part]))
        return odds.reshape(*w.shape[:-1], -1)


def _family(
    number: int,
    group: Direction,
    what: Measures,
    name: naming.Named,
    of_halves: Sequence[Collection[tuple[str, int]]],
    together: Sequence[Moved],
    pictures: np.ndarray,
    seen: np.ndarray,
) -> Family:
    change = np.mean([np.abs(face.picture[number].astype(np.float32)).mean(axis=2) for face in together], axis=0)
    rows = np.searchsorted(seen, group.channels)
    common = (np.mean([face.picture[number].astype(np.float32) for face in together], axis=0)).ravel()
    own = pictures[rows]
    alike = np.abs(own @ common) / np.maximum(np.linalg.norm(own, axis=1) * np.linalg.norm(common), 1e-9)
    return Family(
        re.sub(r"[^a-z0-9]+", "-", name.name.lower()).strip("-"),
        name.name,
        name.sentence,
        name.trust(of_halves),
        read_only(group.channels),
        read_only(name.sign * group.parts.astype(np.float64)),
        what.where,
        {label: value.turned(name.sign) for label, value in what.labels.items()},
        {part: value.turned(name.sign) for part, value in what.geometry.items()},
        (what.colour[0].turned(name.sign), what.colour[1].turned(name.sign), what.colour[2].turned(name.sign)),
        what.change,
        naming.shift_of(what, measuring.VISIBLE),
        float(alike.mean()),
        read_only(np.round(255 * change / max(float(change.max()), 1e-9)).astype(np.uint8)),
    )


def _codes(backbone: Backbone, table: StyleTable | None) -> np.ndarray:
    """Style codes (n, D) over which channels and families are correlated: training faces, else nobody's."""
    return backbone.random_codes(ROWS // 4, seed=1) if table is None else sampled(table, "train", ROWS, seed=1)


def _correlations(made: Sequence[Family], codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The family each channel goes with, int16 (D,), -1 for none, and their correlation, float32 (D,)."""
    total = codes.shape[1]
    if not made:
        return np.full(total, NONE, np.int16), np.zeros(total, np.float32)
    scaled = codes - codes.mean(axis=0)
    scaled /= np.maximum(scaled.std(axis=0), 1e-9)
    scores = np.stack([scaled[:, family.channels] @ family.parts.astype(np.float32) for family in made], axis=1)
    scores -= scores.mean(axis=0)
    scores /= np.maximum(scores.std(axis=0), 1e-9)
    alike = scaled.T @ scores / len(codes)  # (D, K)
    best = np.abs(alike).argmax(axis=1)
    correlation = alike[np.arange(total), best]
    return np.where(np.abs(correlation) >= GOES_WITH, best, NONE).astype(np.int16), correlation.astype(np.float32)


def _channel_names(
    moved: Sequence[Moved],
    seen: np.ndarray,
    halves: tuple[np.ndarray, np.ndarray],
    subjects: Sequence[Subject],
    parts: np.ndarray,
    read: Reader,
    targets: Sequence[Target],
) -> dict[int, ChannelName]:
    """Names of the channels that draw the same on both halves of the faces, where a half alone gives the same name."""
    length = np.linalg.norm(halves[0], axis=1) * np.linalg.norm(halves[1], axis=1)
    again = seen[(halves[0] * halves[1]).sum(axis=1) >= families.AGAIN * np.maximum(length, 1e-9)]
    if not len(again):
        return {}
    alone = [face.of(again) for face in moved]
    of_halves = [naming.fitting(each, targets) for each in half_measures(alone, subjects, read, targets)]
    names = {}
    for number, name in naming.named_alone(family_measures(alone, parts, read, targets), targets).items():
        trust = name.trust([half[number] for half in of_halves])
        if trust != "unsure":
            names[int(again[number])] = ChannelName(name.name, name.sign, name.sentence, trust)
    return names


def _moved_labels(moved: Sequence[Moved], seen: np.ndarray, read: Reader) -> np.ndarray:
    """Change of the labels' log-odds from down to up, of every channel that is seen: float32 (faces, C, T)."""
    odds = []
    for face in moved:
        of_face = read.log_odds(face.w[np.searchsorted(face.channels, seen)])
        odds.append(of_face[:, 1] - of_face[:, 0])
    return np.stack(odds)


def _sure_labels(odds: np.ndarray, read: Reader) -> np.ndarray | None:
    """The same over the faces, in standard deviations, less what chance may make of it: float64 (C, T)."""
    if read.probes is None or len(odds) < 2:
        return None
    known = np.nan_to_num(odds)
    mean, error = known.mean(axis=0), known.std(axis=0, ddof=1) / np.sqrt(len(known))
    return mean * np.clip(1 - 4 * error**2 / np.maximum(mean**2, 1e-9), 0, 1) / read.probes.spread


def _channel_labels(odds: np.ndarray, seen: np.ndarray, total: int, count: int) -> np.ndarray:
    """Change of log-odds of every channel that is seen and half its 95 % interval over the faces, float16 (D, T, 2)."""
    labels = np.full((total, count, 2), np.nan, np.float16)
    if count and len(seen) and odds.shape[2] == count:
        labels[seen, :, 0] = np.nanmean(odds, axis=0)
        labels[seen, :, 1] = 2.1 * np.nanstd(odds, axis=0, ddof=1) / np.sqrt(len(odds))
    return labels

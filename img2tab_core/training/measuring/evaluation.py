"""How near reconstructions are to their photos: measured face by face, then summed up with intervals.

A way of reconstructing is a function from an aligned face to its w, so the encoder alone, a refinement and whatever
comes later are measured by the same code on the same photos.
"""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw

from img2tab_core.backbones import quality, rendering
from img2tab_core.backbones.backbone import Backbone
from img2tab_core.base.errors import Cancelled, Img2TabError
from img2tab_core.base.intervals import wilson
from img2tab_core.base.records import SAME_PERSON, StyleCode
from img2tab_core.faces import alignment, photos
from img2tab_core.networks.face_descriptor import FaceDescriptor
from img2tab_core.networks.face_encoder import to_input
from img2tab_core.networks.lpips import Lpips
from img2tab_core.training.real_photos import is_held_out

SIZE = 256  # px at which pictures are compared
THUMB = 160  # px of a picture on the contact sheet

Method = Callable[[np.ndarray], np.ndarray]  # face uint8 (S, S, 3) -> w float32 (512,) or w+ (L, 512)
Identify = Callable[[np.ndarray, np.ndarray], np.ndarray]  # picture, its 68 landmarks -> unit vector float32 (n,)
Progress = Callable[[int, int], None]  # photos done, photos in all


@dataclass(frozen=True)
class MetricNetworks:
    """Who measures: dlib's landmarks and descriptor always; LPIPS and a second identity network where they are given.

    same_person: the cosine of the second network from which on it says "the same person".
    """

    landmark_file: Path
    descriptor: FaceDescriptor
    lpips: Lpips | None = None
    second: Identify | None = None
    same_person: float = 0.0


@dataclass(frozen=True)
class Measures:
    """One reconstruction against its photo; pictures at 256 px, colours 0 to 1.

    pixels: root mean square difference of the aligned face and the reconstruction. lpips: their LPIPS distance, None
    where it was not measured. landmarks: mean distance of the 68 landmarks, as a share of the distance between the
    eyes' centres (the 300-W papers divide by the outer eye corners, about 1.45 times as far apart). identity: distance
    of dlib's descriptors of the photo and the reconstruction, each cut out by its own landmarks. second: cosine of the
    second network's vectors, None without one. face_found: whether the detector sees a face in the reconstruction;
    where not, landmarks are sought where the face's own were. word: the badge Inspect shows. encode_seconds: from the
    aligned face to the style code; draw_seconds: from there to 256 px.
    """

    pixels: float
    lpips: float | None
    landmarks: float
    identity: float
    second: float | None
    face_found: bool
    word: str
    encode_seconds: float
    draw_seconds: float


@dataclass(frozen=True, eq=False)
class Evaluated:
    """One photo: its measures by method, and small pictures (face first) where they were asked for."""

    photo: str
    held_out: bool
    measures: Mapping[str, Measures]
    pictures: Mapping[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Every photo measured; skipped: (photo, reason) of the others; stopped: a person ended it early."""

    photos: tuple[Evaluated, ...]
    skipped: tuple[tuple[str, str], ...]
    of: int
    stopped: bool


def evaluate(
    files: Sequence[Path],
    backbone: Backbone,
    networks: MetricNetworks,
    methods: Mapping[str, Method],
    *,
    keep_pictures: bool = False,
    progress: Progress | None = None,
) -> Evaluation:
    """Measure every method on the biggest face of every photo; Ctrl-C ends it with what was measured so far."""
    if not files:
        raise Img2TabError("There is no photo in what was given. Name photos, or a folder that holds some.")
    if not methods:
        raise Img2TabError("There must be a way of reconstructing to evaluate, got none. Give the encoder's.")
    measured, skipped, stopped = [], [], False
    try:
        _warm_up(backbone, methods)
        for i, file in enumerate(files):
            try:
                measured.append(_evaluated(file, backbone, networks, methods, keep_pictures))
            except Img2TabError as error:
                skipped.append((str(file), str(error)))
            if progress is not None:
                progress(i + 1, len(files))
    except KeyboardInterrupt as error:
        if not measured:
            raise Cancelled("Stopped before the first photo was measured.") from error
        stopped = True
    if not measured:
        raise Img2TabError(f"None of {len(files)} photos could be measured. The first: {skipped[0][1]}")
    return Evaluation(tuple(measured), tuple(skipped), len(files), stopped)


def summary(evaluation: Evaluation, *, same_person: float = 0.0) -> dict:
    """{method: {"all" and "held_out": figures}}; "held_out" is None where no such photo was measured.

    A measure has its median, 5 and 95 % and mean; a share its count, its number and its 95 % Wilson interval. Shares
    are of the photos that were measured: identity below 0.6, the second network's cosine at `same_person` or above.
    """
    groups = {"all": evaluation.photos, "held_out": [photo for photo in evaluation.photos if photo.held_out]}
    return {
        method: {
            name: _figures([photo.measures[method] for photo in group], same_person) if group else None
            for name, group in groups.items()
        }
        for method in evaluation.photos[0].measures
    }


def write_csv(evaluation: Evaluation, file: Path) -> None:
    """One line per photo and method."""
    names = [photo.name for photo in fields(Measures)]
    with file.open("w", newline="", encoding="utf-8", errors="backslashreplace") as stream:
        out = csv.writer(stream)
        out.writerow(["photo", "held_out", "method", *names])
        for photo in evaluation.photos:
            for method, measures in photo.measures.items():
                out.writerow([photo.photo, int(photo.held_out), method, *asdict(measures).values()])


def contact_sheet(evaluation: Evaluation, *, rows: int = 5) -> Image.Image:
    """Photo and reconstructions of the worst, the middle and the best photos by the first method's identity."""
    first = next(iter(evaluation.photos[0].measures))
    ranked = sorted(evaluation.photos, key=lambda photo: -photo.measures[first].identity)
    middle = max(len(ranked) // 2 - rows // 2, 0)
    chosen = dict.fromkeys([*ranked[:rows], *ranked[middle : middle + rows], *ranked[-rows:]])
    columns = ["photo", *ranked[0].measures]
    sheet = Image.new("RGB", (THUMB * len(columns), (THUMB + 14) * len(chosen)), "white")
    draw = ImageDraw.Draw(sheet)
    for row, photo in enumerate(chosen):
        top = row * (THUMB + 14)
        for column, name in enumerate(columns):
            sheet.paste(Image.fromarray(photo.pictures[name]), (column * THUMB, top))
            stem = Path(photo.photo).stem.encode("ascii", "replace").decode()
            text = stem[:24] if name == "photo" else _caption(name, photo.measures[name])
            draw.text((column * THUMB + 2, top + THUMB), text, fill="black")
    return sheet


def as_table(figures: dict) -> str:
    """What `summary` gives, for a person: one line a measure, one column a method and group."""
    columns = [
        (f"{method}, {'all' if name == 'all' else 'held-out third'}", group)
        for method, groups in figures.items()
        for name, group in groups.items()
        if group
    ]
    lines = [["", *(title for title, _ in columns)], ["photos", *(f"{group['photos']:,}" for _, group in columns)]]
    for name, title, form in _LINES:
        if any(group[name] for _, group in columns):
            lines.append([title, *(_cell(group[name], form) for _, group in columns)])
    for word in quality.WORDS:
        lines.append(
            [
                f"badge: {word}",
                *(
                    _cell(group["words"][word], ".0%")
                    + (f", identity {group['words'][word]['identity']:.2f}" if group["words"][word]["count"] else "")
                    for _, group in columns
                ),
            ]
        )
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


_LINES = (
    ("identity", "identity distance (dlib)", ".3f"),
    ("same_person", f"same person (below {SAME_PERSON})", ".0%"),
    ("second", "second network, cosine", ".3f"),
    ("second_same_person", "same person, second network", ".0%"),
    ("landmarks", "landmark error, of the eye distance", ".1%"),
    ("lpips", "LPIPS, 256 px", ".3f"),
    ("pixels", "pixel error, of 1", ".3f"),
    ("face_found", "face found in the reconstruction", ".0%"),
    ("encode_seconds", "seconds, face to style code", ".3f"),
    ("draw_seconds", "seconds, style code to 256 px", ".3f"),
)


def _cell(figure: dict | None, form: str) -> str:
    """A measure as its median and 5 to 95 %, a share with its 95 % interval."""
    if figure is None:
        return "not measured"
    if "share" in figure:
        low, high = figure["interval"]
        return f"{figure['share']:{form}} ({low:{form}} to {high:{form}})"
    return f"{figure['median']:{form}} ({figure['p5']:{form}} to {figure['p95']:{form}})"


# --- one photo -----------------------------------------------------------------------------------------


def _warm_up(backbone: Backbone, methods: Mapping[str, Method]) -> None:
    """The first pass of a network plans its memory; a person waits for it once, not for every photo."""
    first = next(iter(methods.values()))
    _draw(backbone, first(np.full((SIZE, SIZE, 3), 128, np.uint8)))


def _evaluated(
    file: Path, backbone: Backbone, networks: MetricNetworks, methods: Mapping[str, Method], keep_pictures: bool
) -> Evaluated:
    try:
        photo = photos.read_photo(file.read_bytes())
    except OSError as error:
        raise Img2TabError(f"{file} cannot be read ({error.strerror}). Name a photo.") from error
    face = alignment.faces_of(photo, networks.landmark_file, size=SIZE)[0]
    seen = _seen(face.pixels, networks)
    if face.landmarks is None:
        raise Img2TabError(f"{file} must be a photo whose face was found, got a face that came aligned. Name a photo.")
    person = _descriptor(networks, photo, face.landmarks)
    identify = networks.second
    second = identify and identify(photo, face.landmarks)
    measures, pictures = {}, {"photo": _thumb(face.pixels)}
    for name, method in methods.items():
        began = time.perf_counter()
        w = method(face.pixels)
        code = StyleCode.of(backbone.styles(w[None])[0])
        encoded = time.perf_counter()
        drawn = rendering.draw(backbone.generator, [code], size=SIZE)[0]
        finished = time.perf_counter()
        again = _seen(drawn, networks, box=seen.box)
        measures[name] = Measures(
            pixels=float(np.sqrt(np.mean(((face.pixels.astype(np.float64) - drawn) / 255) ** 2))),
            lpips=_lpips(networks, face.pixels, drawn),
            landmarks=landmark_error(seen.landmarks, again.landmarks),
            identity=float((person - _descriptor(networks, drawn, again.landmarks)).norm()),
            second=float(second @ identify(drawn, again.landmarks)) if identify and second is not None else None,
            face_found=again.found,
            word=quality.assess(networks.descriptor, face.pixels, drawn).word,
            encode_seconds=encoded - began,
            draw_seconds=finished - encoded,
        )
        pictures[name] = _thumb(drawn)
    return Evaluated(str(file), is_held_out(file), measures, pictures if keep_pictures else {})


def landmark_error(first: np.ndarray, second: np.ndarray) -> float:
    """Mean distance of 68 landmarks (68, 2), as a share of the distance between the first's eye centres."""
    first, second = np.asarray(first, np.float64), np.asarray(second, np.float64)
    eyes = np.hypot(*(first[42:48].mean(0) - first[36:42].mean(0)))
    return float(np.hypot(*(first - second).T).mean() / max(eyes, 1e-9))


@dataclass(frozen=True)
class _Seen:
    """box and landmarks of the biggest face of a picture; found: whether the detector saw it."""

    box: tuple[int, int, int, int]
    landmarks: np.ndarray
    found: bool


def _seen(picture: np.ndarray, networks: MetricNetworks, box: tuple[int, int, int, int] = (48, 82, 203, 238)) -> _Seen:
    """The face of an aligned picture of 256 px; where the detector sees none, it is taken to fill `box`.

    The default box is the usual one in this geometry: the median over 228 portraits.
    """
    located = alignment.find_faces(picture, networks.landmark_file)
    if located:
        return _Seen(located[0].box, located[0].landmarks, True)
    return _Seen(box, alignment.landmarks_in(picture, box, networks.landmark_file), False)


@torch.inference_mode()
def _descriptor(networks: MetricNetworks, picture: np.ndarray, landmarks: np.ndarray) -> torch.Tensor:
    return networks.descriptor(_tensor(alignment.chip_of(picture, landmarks)))[0]


@torch.inference_mode()
def _lpips(networks: MetricNetworks, face: np.ndarray, drawn: np.ndarray) -> float | None:
    return None if networks.lpips is None else float(networks.lpips(_tensor(face), _tensor(drawn)))


def _tensor(pixels: np.ndarray) -> torch.Tensor:
    """uint8 (S, S, 3) -> float32 (1, 3, S, S) in [-1, 1]."""
    return to_input(torch.from_numpy(np.array(pixels))[None], pixels.shape[0])


def _draw(backbone: Backbone, w: np.ndarray) -> np.ndarray:
    return rendering.draw(backbone.generator, [StyleCode.of(backbone.styles(w[None])[0])], size=SIZE)[0]


def _thumb(pixels: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(pixels).resize((THUMB, THUMB), Image.Resampling.BOX))


# --- all photos ----------------------------------------------------------------------------------------


def _figures(group: Sequence[Measures], same_person: float) -> dict:
    figures: dict = {"photos": len(group)}
    for name in ("pixels", "lpips", "landmarks", "identity", "second", "encode_seconds", "draw_seconds"):
        values = [getattr(measures, name) for measures in group]
        figures[name] = (
            None
            if None in values
            else {
                "median": float(np.median(values)),
                "mean": float(np.mean(values)),
                "p5": float(np.quantile(values, 0.05)),
                "p95": float(np.quantile(values, 0.95)),
            }
        )
    figures["same_person"] = _share(sum(measures.identity < SAME_PERSON for measures in group), len(group))
    figures["second_same_person"] = (
        None
        if figures["second"] is None
        else _share(
            sum(measures.second >= same_person for measures in group if measures.second is not None), len(group)
        )
    )
    figures["face_found"] = _share(sum(measures.face_found for measures in group), len(group))
    figures["words"] = {}
    for word in quality.WORDS:
        of_word = [measures for measures in group if measures.word == word]
        figures["words"][word] = _share(len(of_word), len(group)) | {
            name: float(np.median([getattr(measures, name) for measures in of_word])) if of_word else None
            for name in ("identity", "landmarks")
        }
    return figures


def _share(count: int, of: int) -> dict:
    return {"count": count, "share": count / of, "interval": list(wilson(count, of))}


def _caption(name: str, measures: Measures) -> str:
    return f"{name} {measures.identity:.2f} {measures.landmarks:.1%} {measures.word}"

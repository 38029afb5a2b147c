"""A classifier of somebody's own that reads pixels: what it is handed, how its answer is read, and asking it.

Whatever it is inside (an ONNX file, a function), it is one thing here: pictures in, log-odds of one class out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Literal, cast, get_args

import numpy as np
from PIL import Image

from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.records import digest, read_only

Layout = Literal["nchw", "nhwc"]
Colour = Literal["rgb", "bgr", "grey"]
Output = Literal["probabilities", "logits", "sigmoid", "value"]
Ask = Callable[[np.ndarray], np.ndarray]  # uint8 (n, S, S, 3) RGB -> numbers (n, K)

TOGETHER = 16  # pictures asked about at once
SURE = 16.0  # log-odds beyond which nothing is told apart: a chance of 1e-7
STEADY = 1e-3  # chance by which two answers about the same picture may differ
NORMALISATIONS: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {  # mean, deviation, of a scale of 0 to 1
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "0..1": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    "-1..1": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "0..255": ((0.0, 0.0, 0.0), (1 / 255, 1 / 255, 1 / 255)),
}
WHOLE = (0.0, 0.0, 1.0, 1.0)
FACE = (45 / 256, 78 / 256, 194 / 256, 228 / 256)  # where dlib finds the face in an aligned one: what tight crops show
_GREY = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601, as Pillow's "L"


@dataclass(frozen=True)
class PixelInput:
    """What a classifier is handed: squares of `size` px, of the part `crop` of an aligned face.

    crop: left, top, right, bottom, in shares of the face's side.

    (value / 255 - mean) / std of every colour; mean and std: of the colours in the order of `colour`, of grey the
    first.
    """

    size: int
    layout: Layout = "nchw"
    colour: Colour = "rgb"
    mean: tuple[float, ...] = NORMALISATIONS["imagenet"][0]
    std: tuple[float, ...] = NORMALISATIONS["imagenet"][1]
    crop: tuple[float, float, float, float] = WHOLE

    def __post_init__(self) -> None:
        _one_of("--layout", self.layout, get_args(Layout))
        _one_of("--colour", self.colour, get_args(Colour))
        if not 8 <= self.size <= 1024:
            raise Img2TabError(f"--input must be between 8 and 1024 px, got {self.size}.")
        left, top, right, bottom = self.crop
        if not (0 <= left and right <= 1 and 0 <= top and bottom <= 1 and min(right - left, bottom - top) >= 0.1):
            raise Img2TabError(
                f"--crop must lie inside the aligned face and be at least a tenth of it, got {self.crop}."
            )
        if len(self.mean) != 3 or len(self.std) != 3 or not all(np.isfinite(self.mean + self.std)) or 0 in self.std:
            raise Img2TabError("A normalisation needs three means and three deviations that are not 0.")

    @property
    def normalisation(self) -> str:
        """The word for mean and std; the six numbers where there is none."""
        for word, numbers in NORMALISATIONS.items():
            if np.allclose(numbers[0] + numbers[1], self.mean + self.std, atol=1e-6):
                return word
        return ",".join(f"{number:.6g}" for number in (*self.mean, *self.std))

    @property
    def sentence(self) -> str:
        """ "224 px, channels first, RGB, normalised as imagenet, the whole aligned face" """
        order = "channels first" if self.layout == "nchw" else "channels last"
        left, top, right, bottom = self.crop
        cut = "the whole aligned face"
        if self.crop == FACE:
            cut = "the part of the aligned face that a face detector finds"
        elif self.crop != WHOLE:
            cut = f"of the aligned face {left:.0%} to {right:.0%} across and {top:.0%} to {bottom:.0%} down"
        colour = self.colour.upper() if self.colour != "grey" else "grey"
        scale = self.normalisation
        if scale not in NORMALISATIONS:
            means, deviations = (", ".join(f"{number:.3g}" for number in part) for part in (self.mean, self.std))
            scale = f"by means {means} and deviations {deviations}"
        return f"{self.size} px, {order}, {colour}, normalised {scale}, {cut}"

    def squares(self, faces: np.ndarray) -> np.ndarray:
        """Aligned faces uint8 (n, P, P, 3) -> what the classifier sees of them, uint8 (n, size, size, 3) RGB."""
        side = faces.shape[1]
        if self.crop == WHOLE and side == self.size:
            return faces
        box = cast(tuple[float, float, float, float], tuple(side * share for share in self.crop))
        how = Image.Resampling.BILINEAR  # averages where it makes smaller
        pictures = [Image.fromarray(face).resize((self.size,) * 2, how, box=box, reducing_gap=None) for face in faces]
        return np.stack([np.asarray(picture) for picture in pictures])

    def tensor(self, squares: np.ndarray, kind: type = np.float32) -> np.ndarray:
        """uint8 (n, S, S, 3) RGB -> what the graph takes: (n, C, S, S) or (n, S, S, C), normalised."""
        values = squares.astype(np.float32) / 255
        if self.colour == "grey":
            values = ((values @ _GREY)[..., None] - np.float32(self.mean[0])) / np.float32(self.std[0])
        else:
            values = values[..., ::-1] if self.colour == "bgr" else values
            values = (values - np.array(self.mean, np.float32)) / np.array(self.std, np.float32)
        values = values.transpose(0, 3, 1, 2) if self.layout == "nchw" else values
        if kind == np.uint8:
            values = np.clip(np.rint(values), 0, 255)
        return np.ascontiguousarray(values.astype(kind))


def cropping(text: str) -> tuple[float, float, float, float]:
    """ "0.8", the middle of an aligned face; "face", what a face detector finds; "LEFT,TOP,RIGHT,BOTTOM" in shares.

    Raises Img2TabError where it is something else.
    """
    if text == "face":
        return FACE
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) == 1:
        edge = (1 - numbers[0]) / 2
        numbers = [edge, edge, 1 - edge, 1 - edge]
    if len(numbers) != 4 or not np.isfinite(numbers).all():
        raise Img2TabError(
            f"--crop must be a share such as 0.8 (the middle of an aligned face), face, or LEFT,TOP,RIGHT,BOTTOM in "
            f"shares, got {text!r}."
        )
    return numbers[0], numbers[1], numbers[2], numbers[3]


def normalisation(text: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """ "imagenet", "0..1", "-1..1", "0..255", or numbers "MEAN,STD" or three of each -> mean and std, of 0 to 1.

    Numbers of which one is above 4 count in the 255 levels of a colour. Raises Img2TabError where they are neither.
    """
    if text in NORMALISATIONS:
        return NORMALISATIONS[text]
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) == 2:
        numbers = [numbers[0]] * 3 + [numbers[1]] * 3
    if len(numbers) != 6 or not np.isfinite(numbers).all() or 0 in numbers[3:]:
        raise Img2TabError(
            f"--normalise must be {', '.join(NORMALISATIONS)}, or numbers MEAN,STD (or three means, then three "
            f"deviations), got {text!r}."
        )
    by = 255 if max(map(abs, numbers)) > 4 else 1
    return tuple(number / by for number in numbers[:3]), tuple(number / by for number in numbers[3:])


@dataclass(frozen=True)
class PixelAnswer:
    """How the K numbers of an answer are read: as log-odds of `positive` against `against`.

    output: what the numbers are; "sigmoid": a log-odds of each class on its own; "value": a quantity, class 1 where it
    is above `threshold`, its log-odds (value - threshold) / spread. classes: K names. positive: numbers of the classes
    that count as class 1; against: those of class 0, () for all others.
    """

    output: Output
    classes: tuple[str, ...]
    positive: tuple[int, ...] = (1,)
    against: tuple[int, ...] = ()
    threshold: float | None = None
    spread: float = 1.0

    def __post_init__(self) -> None:
        _one_of("--output", self.output, get_args(Output))
        count = len(self.classes)
        chosen = (*self.positive, *self.against)
        if not self.positive or any(not 0 <= number < count for number in chosen) or len(set(chosen)) != len(chosen):
            raise Img2TabError(
                f"The classes asked about must be of the {count} there are, each named once, got {chosen}."
            )
        if self.output == "value" and (self.threshold is None or not np.isfinite(self.threshold)):
            raise Img2TabError(
                "A classifier that answers with a quantity needs the value from which it counts as class 1: "
                "--threshold NUMBER."
            )
        if self.output != "value" and count > 1 and not self.others:
            raise Img2TabError("Every class counts as class 1, so there is nothing to tell it from. Name fewer.")

    @property
    def others(self) -> tuple[int, ...]:
        """Numbers of the classes that count as class 0."""
        return self.against or tuple(number for number in range(len(self.classes)) if number not in self.positive)

    @property
    def pair(self) -> tuple[str, str]:
        """The names of class 0 and class 1."""
        if self.output == "value":
            what = self.classes[0]
            return f"{what} {self.threshold:g} or less", f"{what} above {self.threshold:g}"
        if len(self.classes) == 1:
            return f"not {self.classes[0]}", self.classes[0]
        return _together(self.classes, self.others, self.positive), _together(self.classes, self.positive, self.others)

    def log_odds(self, numbers: np.ndarray) -> np.ndarray:
        """Answers (n, K) -> log-odds of class 1, float64 (n,), within ±16."""
        numbers = np.asarray(numbers, np.float64)
        one, zero = numbers[:, list(self.positive)], numbers[:, list(self.others)]
        if self.output == "value":
            odds = (numbers[:, 0] - float(self.threshold or 0)) / self.spread
        elif self.output == "probabilities" and len(self.classes) == 1:
            odds = _logit(numbers[:, 0])
        elif self.output == "probabilities":
            chance, rest = one.sum(axis=1), zero.sum(axis=1)
            if not self.against:  # of each class on its own, as after Sigmoid, they do not add up to 1
                rest = np.where(np.abs(chance + rest - 1) < 1e-3, rest, 1 - chance)
            odds = np.log(np.maximum(chance, 1e-12)) - np.log(np.maximum(rest, 1e-12))
        elif self.output == "logits" and len(self.classes) > 1:
            odds = np.logaddexp.reduce(one, axis=1) - np.logaddexp.reduce(zero, axis=1)
        elif self.against:  # of each class on its own: a pair
            odds = one.max(axis=1) - zero.max(axis=1)
        else:
            odds = one.max(axis=1)
        return np.clip(odds, -SURE, SURE)


@dataclass(frozen=True, eq=False)
class PixelModel:
    """A classifier that reads pixels.

    name: one word; title: what a person reads; key: changes with the file, the input and the answer. judges: the
    target of a table whose truth it is held against, "" for none. ask: `Ask`, of squares of `input.size` px. origin:
    the file it came from, or "a function".
    """

    name: str
    title: str
    key: str
    input: PixelInput
    answer: PixelAnswer
    ask: Ask
    judges: str = ""
    origin: str = "a function"

    @property
    def classes(self) -> tuple[str, str]:
        """The names of class 0 and class 1."""
        return self.answer.pair

    @cached_property
    def face_size(self) -> int:
        """px at which a face is drawn for it: 128, 256, 512 or 1024, so that none of its input is made up."""
        left, top, right, bottom = self.input.crop
        needed = self.input.size / min(right - left, bottom - top)
        return next((size for size in (128, 256, 512) if size >= 0.85 * needed), 1024)

    def answers(self, faces: np.ndarray) -> np.ndarray:
        """What it answers about aligned faces uint8 (n, P, P, 3): float64 (n, K).

        Raises Img2TabError where that is not n rows of K finite numbers.
        """
        parts = [
            checked_answer(self.ask(part), len(part), len(self.answer.classes), self.name)
            for start in range(0, len(faces), TOGETHER)
            for part in [self.input.squares(faces[start : start + TOGETHER])]
        ]
        return np.concatenate(parts) if parts else np.empty((0, len(self.answer.classes)))

    def log_odds(self, faces: np.ndarray) -> np.ndarray:
        """Log-odds of class 1 for aligned faces uint8 (n, P, P, 3): float64 (n,). Raises as `answers` does."""
        return self.answer.log_odds(self.answers(faces))

    def without_function(self) -> PixelModel:
        """What is known of it, to be kept where a function cannot be; asking it raises Img2TabError."""
        return replace(self, ask=_unknown)

    def to_json(self) -> dict:
        """Everything but the function, as plain types."""
        return {
            "name": self.name,
            "title": self.title,
            "key": self.key,
            "input": asdict(self.input),
            "answer": asdict(self.answer),
            "judges": self.judges,
            "origin": self.origin,
        }


def of_function(
    ask: Ask,
    name: str,
    *,
    size: int = 224,
    output: Output = "probabilities",
    classes: Sequence[str] = ("no", "yes"),
    positive: Sequence[int] = (),
    against: Sequence[int] = (),
    threshold: float | None = None,
    crop: str = "1",
    title: str = "",
    judges: str = "",
) -> PixelModel:
    """A classifier that is a function: uint8 (n, size, size, 3) RGB -> numbers (n, K), K names in `classes`.

    Its answers are kept for this process alone: nobody can tell whether a function of the same name is the same one
    the next time.
    """
    chosen = tuple(positive) or ((1,) if len(classes) == 2 else (0,))
    answer = PixelAnswer(output, tuple(classes), chosen, tuple(against), threshold)
    handed = PixelInput(size, mean=NORMALISATIONS["0..1"][0], std=NORMALISATIONS["0..1"][1], crop=cropping(crop))
    key = digest(f"{name} {id(ask)} {handed} {answer}".encode())[:16]
    return PixelModel(checked_name(name), title or name, key, handed, answer, ask, judges)


def checked_name(name: str) -> str:
    """The same name. Raises Img2TabError where it is none: it becomes part of file names and the name of a target."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}", name):
        raise Img2TabError(
            "A classifier's name must be one word of at most 40 letters, digits, dashes and underscores, got "
            f"{name!r:.60}."
        )
    return name


def checked_answer(numbers: object, count: int, classes: int, name: str) -> np.ndarray:
    """An answer as float64 (count, classes), read-only. Raises Img2TabError where it is not that, or not finite."""
    try:
        values = np.asarray(numbers, np.float64).copy()  # a function may fill the same array again
    except (TypeError, ValueError, RuntimeError) as error:  # RuntimeError: of a torch tensor with a gradient
        raise Img2TabError(f"{name} must answer with numbers, got {type(numbers).__name__}.") from error
    if values.ndim == 1 and classes == 1:
        values = values[:, None]
    if values.ndim > 2 and values.shape[2:] == (1,) * (values.ndim - 2):  # (n, K, 1, 1)
        values = values.reshape(values.shape[:2])
    if values.shape != (count, classes):
        raise Img2TabError(
            f"{name} must answer {count} faces with {classes} number{'' if classes == 1 else 's'} each, shape "
            f"({count}, {classes}), got {values.shape}. Name its classes with --classes, or mend its output."
        )
    if not np.isfinite(values).all():
        row = int(np.flatnonzero(~np.isfinite(values).all(axis=1))[0])
        raise Img2TabError(
            f"{name} answered with a number that is not finite ({values[row].tolist()[:4]}, face {row + 1} of {count})."
            " As a rule its input is normalised otherwise (--normalise) or it was exported damaged."
        )
    return read_only(values)


def check_steady(model: PixelModel, faces: np.ndarray) -> np.ndarray:
    """Answers about the faces, log-odds float64 (n,), where asking again gives the same.

    Asked together and one by one. Raises Img2TabError where the chances differ by more than a thousandth: dropout or
    batch statistics at work, as in training.
    """
    together = model.log_odds(faces)
    alone = np.concatenate([model.log_odds(face[None]) for face in faces])
    apart = np.abs(chances(together) - chances(alone)).max(initial=0.0)
    if apart > STEADY:
        raise Img2TabError(
            f"{model.name} does not answer twice alike: about the same face its chance differs by up to {apart:.1%} "
            "between two calls. Export it for inference (model.eval()), without dropout or batch statistics."
        )
    return together


def chances(log_odds: np.ndarray) -> np.ndarray:
    """Log-odds -> chances, float64 of the same shape."""
    return 1 / (1 + np.exp(-np.asarray(log_odds, np.float64)))


def with_spread(model: PixelModel, faces: np.ndarray) -> PixelModel:
    """The same, its log-odds counted in standard deviations of its quantity over these faces; else as it is."""
    if model.answer.output != "value":
        return model
    values = model.answers(faces)[:, 0]
    spread = float(values.std()) or 1.0
    return replace(model, answer=replace(model.answer, spread=spread))


def numbered(text: str, classes: Sequence[str], option: str) -> tuple[int, ...]:
    """ "smile", "0", "30-80", or several with commas -> numbers of classes. Raises Img2TabError where one is none."""
    chosen: list[int] = []
    lower = [name.lower() for name in classes]
    for word in [part.strip() for part in text.split(",") if part.strip()]:
        if word.lower() in lower:
            chosen.append(lower.index(word.lower()))
        elif re.fullmatch(r"\d{1,9}-\d{1,9}", word):
            first, last = map(int, word.split("-"))
            chosen.extend(range(first, min(last, len(classes)) + 1))  # one too many where it goes beyond
        elif re.fullmatch(r"\d{1,9}", word):
            chosen.append(int(word))
        else:
            shown = ", ".join(classes[:12]) + (", ..." if len(classes) > 12 else "")
            raise Img2TabError(f"{option} must name classes or their numbers, got {word!r}; there are {shown}.")
    return tuple(dict.fromkeys(chosen))


def _unknown(squares: np.ndarray) -> np.ndarray:
    raise Img2TabError("Only what is known of this classifier is here. Open it by its name.")


def _together(classes: Sequence[str], of: tuple[int, ...], others: tuple[int, ...]) -> str:
    """The name of several classes as one: "smile"; "not smile" for all the rest; "0 to 29"."""
    if len(of) == 1:
        return classes[of[0]]
    if len(others) == 1 and len(of) + 1 == len(classes):
        return f"not {classes[others[0]]}"
    if list(of) == list(range(of[0], of[-1] + 1)):
        return f"{classes[of[0]]} to {classes[of[-1]]}"
    return " or ".join(classes[number] for number in of[:4]) + (" ..." if len(of) > 4 else "")


def _logit(chance: np.ndarray) -> np.ndarray:
    chance = np.clip(chance, 1e-7, 1 - 1e-7)
    return cast(np.ndarray, np.log(chance) - np.log1p(-chance))


def _one_of(option: str, word: str, words: Sequence[str]) -> None:
    if word not in words:
        raise Img2TabError(f"{option} must be {', '.join(words)}, got {word!r}.")

"""The values that travel between the wings: frozen, arrays read-only; those with arrays compare by identity or key."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from img2tab_core.base.layout import StyleLayout
from img2tab_core.base.words import percent

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import ArrayLike


DEFAULT_BACKBONE = "mobilestylegan-ffhq"
Z95 = 1.959963984540054  # standard deviations to either side of a normal mean that hold 95 %
SAME_PERSON = 0.6  # distance of face descriptors: dlib's own border between one person and two


def read_only(array: np.ndarray) -> np.ndarray:
    """The same array, not copied, which from now on refuses writes."""
    array.setflags(write=False)
    return array


def digest(*parts: bytes) -> str:
    """sha256 of the parts one after the other, hexadecimal."""
    return hashlib.sha256(b"".join(parts)).hexdigest()


def decided_classes(probability: np.ndarray | float, threshold: float = 0.5) -> np.ndarray:
    """The classes that probabilities of class 1 stand for: 1 above the threshold, else 0; int64 of the same shape."""
    return (np.asarray(probability) > threshold).astype(np.int64)


@dataclass(frozen=True, eq=False)
class Face:
    """One aligned face.

    pixels uint8 (S, S, 3) RGB; box (left, top, right, bottom) and landmarks float32 (68, 2), both in
    pixels of the upright photo, None where the face came aligned; key: sha256 of the pixels.
    """

    pixels: np.ndarray
    box: tuple[int, int, int, int] | None
    landmarks: np.ndarray | None
    key: str

    @classmethod
    def of(
        cls,
        pixels: np.ndarray,
        *,
        box: tuple[int, int, int, int] | None = None,
        landmarks: ArrayLike | None = None,
    ) -> Face:
        """A face of pixels (S, S, 3), 0 to 255, and landmarks (68, 2); the arrays become read-only, the key is derived.

        The pixels of an array that is uint8 already are not copied.
        """
        pixels = read_only(np.ascontiguousarray(pixels, np.uint8))
        points = None if landmarks is None else read_only(np.asarray(landmarks, np.float32))
        return cls(pixels, box, points, digest(pixels.tobytes()))


@dataclass(frozen=True, eq=False)
class StyleCode:
    """values: float32 (D,), one number per style channel; backbone: whose channels; key: sha256 of both."""

    values: np.ndarray
    backbone: str
    key: str

    @classmethod
    def of(cls, values: np.ndarray, backbone: str = DEFAULT_BACKBONE) -> StyleCode:
        """The style code of values (D,), style units, copied as float32; the key is derived."""
        values = read_only(np.array(values, np.float32))
        return cls(values, backbone, digest(backbone.encode(), values.tobytes()))


@dataclass(frozen=True, eq=False)
class ChannelStats:
    """Mean and standard deviation of every channel over many faces; float (D,) each, style units."""

    mean: np.ndarray
    std: np.ndarray


@dataclass(frozen=True)
class Edit:
    """Channel `index`, 0 to D - 1, moved by `shift` standard deviations."""

    index: int
    shift: float


@dataclass(frozen=True)
class Target:
    """A label: column name, title and the class names a person reads, two or more, one sentence on how it was made.

    ordered: the classes stand in an order, the lowest first. of, borders: the numeric column that its classes are bands
    of, and where a band ends and the next begins (a number on a border belongs to the upper one); "" and () where it
    is a column of its own.
    """

    name: str
    title: str
    classes: tuple[str, ...]
    how: str
    ordered: bool = False
    of: str = ""
    borders: tuple[float, ...] = ()

    @property
    def against_rest(self) -> tuple[Target, ...]:
        """Of every class the label of two classes that asks whether it is this one; () where there are two anyway."""
        if len(self.classes) == 2:
            return ()
        return tuple(
            Target(
                f"{self.name}:{word}",
                f"{self.title}: {name}",
                (_other(self.title), name),
                f"{name} against all other classes. {self.how}",
            )
            for word, name in zip(_words_of(self.classes), self.classes, strict=True)
        )

    def to_json(self) -> dict:
        """Plain types; what a label of two classes does not have is left out."""
        extra: dict[str, object] = {"ordered": True} if self.ordered else {}
        extra |= {"of": self.of, "borders": list(self.borders)} if self.of else {}
        plain = {"name": self.name, "title": self.title, "classes": self.classes, "how": self.how}
        return plain | extra

    @classmethod
    def from_json(cls, content: dict) -> Target:
        """What `to_json` gave. Raises TypeError or KeyError where it is something else."""
        tuples = {name: tuple(content[name]) for name in ("classes", "borders") if name in content}
        return cls(**{**content, "classes": tuple(content["classes"]), **tuples})


def _other(title: str) -> str:
    """ "Perceived age band" -> "perceived other age band"; "Ethnicity" -> "other ethnicity"."""
    what = title.lower()
    return f"perceived other {what.removeprefix('perceived ')}" if what.startswith("perceived ") else f"other {what}"


def _words_of(classes: tuple[str, ...]) -> tuple[str, ...]:
    """Of every class a word for names and addresses: what is not common to the beginning of all, no two alike."""
    split = [name.split() for name in classes]
    common = 0
    while all(len(words) > common + 1 and words[common] == split[0][common] for words in split):
        common += 1
    words: list[str] = []
    for rest in split:
        word = re.sub(r"[^\w+-]+", "_", " ".join(rest[common:]).casefold()).strip("_") or "class"
        words.append(word if word not in words else f"{word}_{len(words)}")
    return tuple(words)


@dataclass(frozen=True, eq=False)
class StyleTable:
    """Style codes of many faces with their labels.

    psi: float32 (N, D), column-major memory map, style units; labels: DataFrame of N rows, one int8
    column per target (0, 1, or -1 where unknown) and further float columns; split: int8 (N,), 0 train,
    1 validation, 2 test; stats: over the training rows; key: sha256 of what the table was built from; backbone_key:
    of the encoder and generator that read the faces, as `registry.backbone_key` gave it then; "" where none was noted.
    answered: names of the targets that are no labels but what a classifier of somebody's own answers.

    targets are of two classes; many: those of more, 0 to K - 1 in their column. Each class of these against the rest is
    a target of two classes as well, a column of the labels that is made when the table is opened: see `against_rest`.
    """

    name: str
    psi: np.ndarray
    labels: pd.DataFrame
    split: np.ndarray
    stats: ChannelStats
    targets: tuple[Target, ...]
    layout: StyleLayout
    backbone: str
    key: str
    backbone_key: str = ""
    answered: frozenset[str] = frozenset()
    many: tuple[Target, ...] = ()

    @property
    def against_rest(self) -> tuple[Target, ...]:
        """Every class of the targets of more than two against the rest, as targets of two classes."""
        return tuple(view for target in self.many for view in target.against_rest)

    def key_for(self, *names: str) -> str:
        """The key of the table and of these of its targets: answers of a classifier grow, borders of bands move, and
        what was made of other labels is another thing. A name that is no label is left out: who asks is told."""
        fixed = {target.name for target in self.targets if not target.of} - self.answered
        moving = [
            self.labels[name].to_numpy().tobytes()
            for name in sorted(names)
            if name in self.labels and name not in fixed
        ]
        return digest(self.key.encode(), *moving) if moving else self.key

    def rows(self, part: str) -> np.ndarray:
        """Row numbers of "train", "validation" or "test", ascending; int64 (n,)."""
        return np.flatnonzero(self.split == ("train", "validation", "test").index(part))


@dataclass(frozen=True, eq=False)
class ConceptScores:
    """Per channel, float64 (D,).

    distance: Wasserstein-1 between the classes, in standard deviations; direction: mean of class 1 minus
    mean of class 0, in standard deviations (of more than two classes, both of the two that the channel tells apart
    most); importance: share of what the classifier uses, adds up to 1
    (zeros where no classifier was given).
    """

    distance: np.ndarray
    direction: np.ndarray
    importance: np.ndarray


@dataclass(frozen=True, eq=False)
class Prediction:
    """probability of class 1, 0 to 1; contributions float64 (D,) and baseline in log-odds.

    baseline + contributions.sum() is the log-odds of the probability.
    """

    probability: float
    contributions: np.ndarray
    baseline: float

    @property
    def decided(self) -> int:
        """The class that the probability stands for, 0 or 1."""
        return int(decided_classes(self.probability))

    def chance_of(self, which: int) -> float:
        """The probability of class 0 or class 1."""
        return self.probability if which else 1 - self.probability


@dataclass(frozen=True)
class Metrics:
    """How a classifier does on the test split.

    accuracy and auc: 0 to 1; interval: 95 %, of the accuracy; log_loss: natural logarithm; confusion[true][predicted]
    counts faces, count of them in all. Of K classes the confusion is K x K, and auc the plain mean over the classes of
    each against the rest (Hand and Till 2001 take pairs instead).
    """

    accuracy: float
    interval: tuple[float, float]
    auc: float
    log_loss: float
    confusion: tuple[tuple[int, ...], ...]
    count: int

    @property
    def majority(self) -> float:
        """The accuracy of who always says the most frequent class of these faces; 0 to 1."""
        return max(sum(row) for row in self.confusion) / self.count

    @property
    def classes_off(self) -> tuple[float, float, float]:
        """How many classes the answer is from the truth on average, where the classes stand in an order; then the ends
        of its 95 % interval over faces (normal)."""
        counts = np.array(self.confusion, np.float64)
        off = np.abs(np.subtract.outer(np.arange(len(counts)), np.arange(len(counts))))
        mean = float((counts * off).sum() / self.count)
        half = Z95 * float(np.sqrt(max((counts * off**2).sum() / self.count - mean**2, 0.0) / self.count))
        return mean, max(mean - half, 0.0), mean + half


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture of a strip: the edit's shift in standard deviations, pixels uint8 (S, S, 3), probability."""

    shift: float
    pixels: np.ndarray
    probability: float


@dataclass(frozen=True)
class Quality:
    """How well a reconstruction shows the photo: a word, the sentence behind it, and what was measured.

    error: distance of the two faces' descriptors, 0 is the same; measured: the numbers in words.
    """

    word: str
    sentence: str
    error: float = field(default=0.0)
    measured: str = ""


@dataclass(frozen=True)
class EditAgreement:
    """One edit on two style codes of a face.

    picture: correlation of what it changes in the two pictures, 1 is the same change, 0 where it changes only one of
    them; before and after: how much it changes the probability of class 1 on the first and on the second.
    """

    picture: float
    before: float
    after: float


@dataclass(frozen=True)
class EditCheck:
    """Whether the picture of an edited face shows what was edited, and still the same face.

    counted: probability of class 1 before and after, by the style codes; read: the same by the codes that the encoder
    reads in the two pictures. identity: distance of the two faces' descriptors, 0 is the same; found: whether a face is
    found in the edited picture at all.
    """

    counted: tuple[float, float]
    read: tuple[float, float]
    identity: float
    found: bool

    @property
    def broken(self) -> bool:
        """Whether the edit broke the face: there is none any more, or a face recogniser takes it for another person."""
        return not self.found or self.identity >= SAME_PERSON

    @property
    def shown(self) -> bool:
        """Whether the picture says what the code says: at least a third of the change, where that is a change."""
        counted, read = (after - before for before, after in (self.counted, self.read))
        return abs(counted) < 0.1 or read / counted > 1 / 3

    @property
    def sentence(self) -> str:
        """What a person reads below an edit."""
        if not self.found:
            return "The edit broke the face: none is found in its picture any more. Move less."
        text = f"Identity distance to the unedited face {self.identity:.2f}"
        if self.broken:
            text += f": a face recogniser takes it for another person (from {SAME_PERSON:g}). Move less."
        else:
            text += f" (another person from {SAME_PERSON:g})."
        if not self.shown:
            text += (
                " The picture does not show what the code says: read again by the encoder, the probability goes from "
                f"{percent(self.read[0])} to {percent(self.read[1])}, by the code from {percent(self.counted[0])} to "
                f"{percent(self.counted[1])}."
            )
        return text

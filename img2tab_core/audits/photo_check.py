"""Is it right about these photos? A classifier against what somebody says of each photo: how right, how sure, for
whom."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import date
from functools import partial

import numpy as np

from img2tab_core.audits.metrics import bin_of
from img2tab_core.audits.paired import paired_comparison
from img2tab_core.base import shards
from img2tab_core.base.cores import on_single_cores
from img2tab_core.base.engines import HERE, Engine
from img2tab_core.base.errors import Cancelled, Img2TabError, Unreachable, lacks_memory
from img2tab_core.base.intervals import wilson
from img2tab_core.base.jobs import Report, never, silent
from img2tab_core.base.records import Face, StyleTable, decided_classes, digest
from img2tab_core.classifiers import calibrated
from img2tab_core.classifiers.runs import Run
from img2tab_core.studio import Studio
from img2tab_core.tables import target_of
from img2tab_core.tables.calibrations import Calibration, calibration_of
from img2tab_core.tables.encoding import answered, forget, here
from img2tab_core.tables.label_files import Answers, rows_for

SMALL = 30  # photos below which a group's share is little more than a guess
FEW = 100  # photos below which a whole check is said to be small
RESAMPLES = 2000  # of the bootstrap
BATCH = 16  # photos read, then encoded, together


@dataclass(frozen=True)
class Figures:
    """Probabilities against the truth. Shares are 0 to 1, intervals 95 %.

    right of photos: how many decided as the truth has it; auc: None where one class is missing; calibration_error: the
    mean distance of a bin's mean probability from its share of class 1 (biased upwards, the more the fewer photos);
    brier: mean square of probability minus truth.
    """

    photos: int
    right: int
    interval: tuple[float, float]
    auc: float | None
    auc_interval: tuple[float, float] | None
    calibration_error: float
    brier: float

    @property
    def accuracy(self) -> float:
        return self.right / self.photos

    def to_json(self) -> dict:
        return asdict(self) | {"accuracy": self.accuracy}


@dataclass(frozen=True)
class GroupFigures:
    """One group of photos: those of one class of the target, or with one value in another column."""

    column: str
    value: str
    photos: int
    right: int
    interval: tuple[float, float]

    @property
    def accuracy(self) -> float:
        return self.right / self.photos

    @property
    def small(self) -> bool:
        return self.photos < SMALL

    def to_json(self) -> dict:
        return asdict(self) | {"accuracy": self.accuracy, "small": self.small}


@dataclass(frozen=True)
class Wrong:
    """A photo decided otherwise than the truth has it; probability: of class 1."""

    photo: str
    truth: int
    probability: float


@dataclass(frozen=True, eq=False)
class PhotoCheck:
    """What a check found.

    table, target, kind (of classifier), photos: names; classes: of the target. truth int8 (n,) of 0 and 1; raw float64
    (n,), the classifier's probability of class 1 without a calibration; in_use: the calibration that photos are judged
    by. columns: other columns of the label file, text (n,), "" unknown. calibrated: figures of probabilities by two
    numbers fitted anew without the photo judged, None where there are too few photos. of: photos with an answer in the
    label file; skipped: (photo, reason) of those without a face; column, meaning: of the label file, and how it was
    read; refitted: float64 (n,), the probabilities that `calibrated` is of.
    """

    table: str
    target: str
    kind: str
    classes: tuple[str, ...]
    photos: tuple[str, ...]
    truth: np.ndarray
    raw: np.ndarray
    in_use: Calibration | None
    columns: dict[str, np.ndarray]
    calibrated: Figures | None
    of: int
    skipped: tuple[tuple[str, str], ...]
    column: str
    meaning: str
    refitted: np.ndarray | None = None

    @property
    def gained(self) -> str:
        """What two numbers fitted to these photos would change, photo by photo, with the test; "" where none fit."""
        if self.refitted is None:
            return ""
        return paired_comparison(self.truth, self.probability, self.refitted).sentence.replace("face", "photo")

    @property
    def probability(self) -> np.ndarray:
        """Of class 1 as the product says it, float64 (n,)."""
        return self.raw if self.in_use is None else self.in_use.chance(self.raw)

    @property
    def as_is(self) -> Figures:
        """How right the product is about these photos."""
        return figures_of(self.truth, self.probability)

    @property
    def groups(self) -> tuple[GroupFigures, ...]:
        """The same for the photos of each class, then for each value of each column."""
        return by_group(self.truth, self.probability, self.classes, self.columns)

    @property
    def is_small(self) -> bool:
        """Whether too few photos of a class are there to say much."""
        return len(self.truth) < FEW or min((self.truth == 0).sum(), (self.truth == 1).sum()) < SMALL

    def wrong(self) -> list[Wrong]:
        """The photos decided otherwise than the truth has it, the surest first."""
        probability = self.probability
        rows = np.flatnonzero(decided_classes(probability) != self.truth)
        rows = rows[np.argsort(-np.abs(probability[rows] - 0.5), kind="stable")]
        return [Wrong(self.photos[row], int(self.truth[row]), float(probability[row])) for row in rows]


@dataclass(frozen=True)
class Judging:
    """Work (`shards.Work`) whose parts are photos by their number: what the standing classifier of a target says.

    Its answers: chances float64 (photos of the part,), of class 1, NaN where there is none, and why, in their order.
    """

    table: str
    target: str
    photos: tuple[Callable[[], bytes], ...]
    aligned: bool

    def __call__(self) -> shards.Answers:
        studio = Studio()
        return partial(self._answers, studio, studio.run(studio.table(self.table), self.target))

    def _answers(self, studio: Studio, run: Run, parts: Sequence[range]) -> Generator[shards.Answer, None, None]:
        for part in parts:
            batches = [range(start, min(start + BATCH, part.stop)) for start in range(part.start, part.stop, BATCH)]
            answers = [self.judged(studio, run, batch) for batch in batches]
            yield {name: np.concatenate([answer[name] for answer in answers]) for name in answers[0]}

    def judged(self, studio: Studio, run: Run, batch: range) -> shards.Answer:
        """The same of a few photos, read and encoded together."""
        faces = on_single_cores(partial(self._face, studio), batch)
        good = [face for face in faces if isinstance(face, Face)]
        answers = iter(studio.chances_of(run, good))
        return {
            "chances": np.array([next(answers) if isinstance(face, Face) else np.nan for face in faces]),
            "reasons": np.array([face for face in faces if isinstance(face, str)], str),
        }

    def _face(self, studio: Studio, i: int) -> Face | str:
        try:
            data = self.photos[i]()
            return studio.aligned_face(data) if self.aligned else studio.faces(data)[0]
        except (Img2TabError, OSError) as error:
            if lacks_memory(error) or isinstance(error, Unreachable):
                raise
            return str(error)


def check_photos(
    studio: Studio,
    table: StyleTable,
    target: str,
    photos: Mapping[str, Callable[[], bytes]],
    answers: Answers,
    *,
    aligned: bool = False,
    engine: Engine = HERE,
    mark: str = "",
    progress: Report | None = None,
    stopped: Callable[[], bool] | None = None,
) -> PhotoCheck:
    """Ask the standing classifier of a target about the biggest face of every photo that has an answer.

    A classifier of somebody's own is asked about the face itself, and never calibrated.
    photos: name -> its bytes, read when it is their turn; answers: see `label_files.answers_for`. engine: who looks at
    them, see `encoding.here`; mark: changes with the photos, for one that keeps what is done. Raises Img2TabError
    where no photo has an answer, or none of those a face, and Cancelled once `stopped` says so.
    """
    report, stopped, names = progress or silent, stopped or never, list(photos)
    about, rows = target_of(table, target), rows_for(names, answers.names)
    asked = [i for i, row in enumerate(rows) if row >= 0 and answers.truth[row] >= 0]
    if not asked:
        raise Img2TabError(
            f"None of {len(names):,} photos has an answer for {target} in the label file. The first photo is "
            f"{names[0] if names else 'missing'!r}, the first name in the file {answers.names[0]!r}: see whether they "
            "are written alike."
        )
    run = studio.run(table, target)

    kept: list[int] = []
    skipped: list[tuple[str, str]] = []
    chances: list[float] = []
    work = Judging(table.name, target, tuple(photos[names[i]] for i in asked), aligned)

    def take(numbers: Sequence[int], answer: shards.Answer) -> None:
        reasons = iter(answer["reasons"].tolist())
        for i, chance in zip(numbers, answer["chances"].tolist(), strict=True):
            if np.isfinite(chance):
                kept.append(i)
                chances.append(chance)
            else:
                skipped.append((names[i], next(reasons)))

    if here(engine, len(asked)) == HERE:
        for start in range(0, len(asked), BATCH):
            if stopped():
                raise Cancelled("The check was stopped; nothing was changed.")
            stop = min(start + BATCH, len(asked))
            take(asked[start:stop], work.judged(studio, run, range(start, stop)))
            report(stop / len(asked), f"{stop:,} of {len(asked):,} photos")
    else:
        key = digest(mark.encode(), table.key.encode(), run.id.encode(), repr((target, aligned, asked)).encode())
        for part, answer in answered(
            work, len(asked), what="check", key=key, engine=engine, report=report, stopped=stopped
        ):
            take(asked[part.start : part.stop], answer)
        forget("check", key)
    if not kept:
        raise Img2TabError(f"A face was found in none of {len(asked):,} photos. The first: {skipped[0][1]}")
    at = rows[kept]
    truth, raw = answers.truth[at], np.array(chances)
    people = None if answers.people is None else answers.people[at]
    refitted = None
    if not run.own:  # somebody's own classifier is asked as it is
        with suppress(Img2TabError):
            refitted = calibrated.cross_validated(raw, truth, people)
    return PhotoCheck(
        table=table.name,
        target=target,
        kind=run.classifier.kind,
        classes=about.classes,
        photos=tuple(names[i] for i in kept),
        truth=truth,
        raw=raw,
        in_use=None if run.own else calibration_of(table, target, run.classifier.kind),
        columns={name: values[at] for name, values in answers.groups.items()},
        calibrated=None if refitted is None else figures_of(truth, refitted),
        of=len(asked),
        skipped=tuple(skipped),
        column=answers.column,
        meaning=answers.meaning,
        refitted=refitted,
    )


def calibration_from(check: PhotoCheck, *, source: str) -> Calibration:
    """The two numbers that fit all photos of a check. Raises Img2TabError where there are too few, or none fit."""
    return calibrated.fit_calibration(
        check.raw, check.truth, kind=check.kind, source=source, day=date.today().isoformat()
    )


def figures_of(truth: np.ndarray, probability: np.ndarray) -> Figures:
    """truth (n,) of 0 and 1, probability (n,) of class 1, n at least 1. A tie is decided as class 0.

    The interval of the accuracy is Wilson's, that of the AUC a bootstrap within the classes (2,000 resamples, seed 0).
    """
    right = int((decided_classes(probability) == truth).sum())
    both = 0 < truth.sum() < len(truth)
    return Figures(
        len(truth),
        right,
        wilson(right, len(truth)),
        area(truth, probability) if both else None,
        area_interval(truth, probability) if both else None,
        calibration_error(truth, probability),
        float(np.mean(np.square(probability - truth))),
    )


def calibration_error(truth: np.ndarray, probability: np.ndarray) -> float:
    """Expected calibration error: |share right - mean confidence| of every bin, weighted by its photos.

    Confidence is the probability of the likelier class; 10 bins of equal width over 0 to 1, open below, closed above
    (Guo et al. 2017, "On calibration of modern neural networks"); with two classes the lower five are empty.
    """
    sure, right = np.maximum(probability, 1 - probability), decided_classes(probability) == truth
    place = bin_of(np.nextafter(sure, 0))  # closed above
    gaps = [
        (place == bin_).mean() * abs(right[place == bin_].mean() - sure[place == bin_].mean())
        for bin_ in np.unique(place)
    ]
    return float(sum(gaps))


def area(truth: np.ndarray, probability: np.ndarray) -> float:
    """Area under the ROC curve: how often a photo of class 1 gets the higher probability than one of class 0; a tie is
    half."""
    return float(_wins(truth, probability).mean())


def area_interval(truth: np.ndarray, probability: np.ndarray) -> tuple[float, float]:
    """95 % interval of `area`: 2.5 and 97.5 % of 2,000 resamples, drawn within each class, seed 0."""
    wins, source = _wins(truth, probability), np.random.default_rng(0)
    ones, zeros = wins.shape
    first = source.multinomial(ones, np.full(ones, 1 / ones), RESAMPLES)  # (R, n1)
    second = source.multinomial(zeros, np.full(zeros, 1 / zeros), RESAMPLES)  # (R, n0)
    areas = ((first @ wins) * second).sum(axis=1) / (ones * zeros)
    low, high = np.percentile(areas, [2.5, 97.5]).tolist()
    return low, high


def by_group(
    truth: np.ndarray, probability: np.ndarray, classes: tuple[str, ...], groups: dict[str, np.ndarray]
) -> tuple[GroupFigures, ...]:
    """How right it is for the photos of each class, and for each value of each column; groups: text (n,), ""
    unknown."""
    right = decided_classes(probability) == truth
    columns = {"": np.array([classes[which] for which in truth], object)} | groups
    made = []
    for column, values in columns.items():
        for value in classes if not column else sorted({value for value in values if value}):
            rows = values == value
            if rows.any():
                count = int(right[rows].sum())
                made.append(GroupFigures(column, value, int(rows.sum()), count, wilson(count, int(rows.sum()))))
    return tuple(made)


def _wins(truth: np.ndarray, probability: np.ndarray) -> np.ndarray:
    """float64 (n1, n0): 1 where the first has the higher probability, 0.5 where both have the same."""
    first, second = probability[truth == 1][:, None], probability[truth == 0][None]
    return (first > second) + 0.5 * (first == second)

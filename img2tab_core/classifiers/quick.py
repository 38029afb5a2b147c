"""A first answer at once: style codes quantized once per target and kept, and a small classifier on few concepts."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar, TypeGuard

import numpy as np

from img2tab_core import tables
from img2tab_core.base.files import home, make_folder, read_json, sha256_of, whole_folder, write_json
from img2tab_core.base.jobs import Cancel, Report, silent
from img2tab_core.base.records import Metrics, digest
from img2tab_core.classifiers import measures
from img2tab_core.classifiers.base import ConceptClassifier, likeliest
from img2tab_core.classifiers.catboost import RECIPE, CatBoostConcepts, QuantizedPool
from img2tab_core.tables import TargetFaces

COUNTS = (128, 256, 512, 1024)  # of concepts to choose from
UNMEASURED = 1024  # concepts until that choice was made
MARGIN = 0.002  # accuracy a quick classifier may lose on the validation faces
TREES, RATE, TRIED = 400, 0.15, 25
QUICK_RECIPE = f"{RECIPE}, quick {TREES} trees, rate {RATE}, {TRIED} tried, of {COUNTS}"
# bytes that the quantized codes of one target may take: 2,961 channels of CelebA's 202,599 faces, more than the 2,048
# that a classifier is trained on
BUDGET = 600_000_000
MUCH = 1_000_000_000  # bytes of float32 codes from which on they are quantized before a classifier is trained on them
FORMAT = "quantized 1"  # raise the number when what is kept means something else
ON_DISK = 4  # targets whose quantized codes are kept; the default table's take 131 MB each


class QuickConcepts(CatBoostConcepts):
    """Two trees for five of the full classifier, each worth three times as much, and a quarter of the channels tried.

    Measured on six targets of the default table, on validation and test faces together, one thread: of the full
    classifier's time it takes an eighth with 512 concepts, which costs 0.2 points on average and 0.6 at most, and a
    seventh with 1,024, which costs 0.02 points on average and 0.2 at most.
    """

    tried: ClassVar[int] = TRIED


@dataclass(frozen=True)
class Screen:
    """How many concepts a quick classifier is trained on, and what that costs.

    accuracy and full: of the quick and of the full classifier, nothing excluded, on `faces` validation faces;
    measured: (concepts, accuracy) of every number that was tried. accuracy and full are None where nothing was
    measured yet, or there are no validation faces.
    """

    count: int
    accuracy: float | None = None
    full: float | None = None
    faces: int = 0
    measured: tuple[tuple[int, float], ...] = ()

    @property
    def sentence(self) -> str:
        """What a person reads beside a quick answer."""
        if self.accuracy is None or self.full is None:
            return f"{self.count:,} channels; what that costs was not measured yet."
        text = (
            f"{self.count:,} channels, {100 * self.accuracy:.1f} % instead of {100 * self.full:.1f} % on the "
            f"{self.faces:,} validation faces"
        )
        if self.full - self.accuracy > MARGIN + 1e-9:
            return (
                f"{text}: {100 * (self.full - self.accuracy):.2f} points less, and no number up to "
                f"{self.measured[-1][0]:,} loses at most {100 * MARGIN:.1f}."
            )
        return f"{text}."


def classifier(screen: Screen, *, excluded: frozenset[int] = frozenset(), seed: int = 0) -> QuickConcepts:
    """The quick classifier, not trained yet."""
    return QuickConcepts(
        iterations=TREES, learning_rate=RATE, screen=screen.count, excluded=excluded, random_state=seed
    )


def train(
    model: ConceptClassifier,
    faces: TargetFaces,
    order: np.ndarray,
    *,
    pool: QuantizedPool | None,
    progress: Report | None = None,
    cancelled: Cancel = None,
) -> None:
    """Train on the training faces of a target: on the quantized codes where they will do, else on the table's own.

    order: int64 (D,), all channels, the most telling first. pool: of these very faces. Either way gives the same
    classifier to the last bit. Raises Cancelled once `cancelled` says so, and Img2TabError where the faces cannot be
    trained on.
    """
    if pool is not None and isinstance(model, CatBoostConcepts):
        if pool.known[model.chosen(order, faces.table.layout.total)].all():
            model.fit_quantized(pool, order=order, progress=progress, cancelled=cancelled)
            return
    rows, labels = faces.train
    model.fit(faces.table.psi, labels, rows=rows, order=order, progress=progress, cancelled=cancelled)


def measure(model: ConceptClassifier, faces: TargetFaces, *, pool: QuantizedPool | None) -> Metrics:
    """How a classifier that `train` trained does on the test faces of a target.

    Raises Img2TabError where a class has no test face.
    """
    rows, labels = faces.test
    if pool is None or not _reads(model, pool):
        return measures.measure(model, faces.table.psi, labels, rows=rows)
    return measures.metrics_of_answers(_of_test_faces(model, faces, pool), labels)


def measure_each(
    model: ConceptClassifier, faces: TargetFaces, names: Sequence[str], *, pool: QuantizedPool | None
) -> tuple[tuple[str, Metrics], ...]:
    """Of a classifier of several classes, how it does on each class against the rest, by the names given."""
    answers, labels = _of_test_faces(model, faces, pool), faces.test.labels
    return tuple((name, measures.metrics_of(answers[:, k], labels == k)) for k, name in enumerate(names))


def _of_test_faces(model: ConceptClassifier, faces: TargetFaces, pool: QuantizedPool | None) -> np.ndarray:
    """Probability of every class for the test faces, float64 (n, K)."""
    if pool is None or not _reads(model, pool):
        return model.probabilities(faces.table.psi, faces.test.rows)
    return model.probabilities_quantized(pool)[len(faces.validation.rows) :]


def accuracy(model: ConceptClassifier, faces: TargetFaces, *, pool: QuantizedPool | None) -> float:
    """Share of the validation faces of a target that a classifier that `train` trained gets right, 0 to 1."""
    rows, labels = faces.validation
    if pool is None or not _reads(model, pool):
        answers = model.probabilities(faces.table.psi, rows)
    else:
        answers = model.probabilities_quantized(pool)[: len(rows)]
    return float((likeliest(answers) == labels).mean())


def choose(
    faces: TargetFaces,
    order: np.ndarray,
    full: ConceptClassifier,
    *,
    pool: QuantizedPool | None,
    progress: Report | None = None,
    cancelled: Cancel = None,
) -> Screen:
    """The smallest of COUNTS whose quick classifier loses at most 0.2 points; the best where none does.

    order: as for `train`. full: the full classifier of this target, nothing excluded. Numbers above the one that is
    chosen are not tried. Raises Cancelled once `cancelled` says so.
    """
    report, width = progress or silent, faces.table.layout.total
    counts = sorted({min(count, width) for count in COUNTS})
    if not len(faces.validation.rows):
        return Screen(min(UNMEASURED, width))
    whole, measured = accuracy(full, faces, pool=pool), []
    for i, count in enumerate(counts):
        report(i / len(counts), f"Trying {count:,} channels")
        model = classifier(Screen(count))
        train(model, faces, order, pool=pool, cancelled=cancelled)
        measured.append((count, accuracy(model, faces, pool=pool)))
        if whole - measured[-1][1] <= MARGIN + 1e-9:
            break
    count, reached = measured[-1] if whole - measured[-1][1] <= MARGIN + 1e-9 else max(measured, key=lambda m: m[1])
    return Screen(count, reached, whole, len(faces.validation.rows), tuple(measured))


def difference(quick: Metrics, full: Metrics) -> str:
    """What a person reads when the full classifier replaces the quick one; both were measured on the same faces."""
    points = round(100 * full.accuracy, 1) - round(100 * quick.accuracy, 1)
    where = "as right as" if abs(points) < 0.05 else f"{abs(points):.1f} points {'above' if points > 0 else 'below'}"
    return (
        f"The full model: {100 * full.accuracy:.1f} % of {full.count:,} test faces, {where} the quick answer "
        f"({100 * quick.accuracy:.1f} %)."
    )


# --- kept on disk ------------------------------------------------------------------------------------


def make_pool(faces: TargetFaces, order: np.ndarray, *, cancelled: Cancel = None) -> QuantizedPool:
    """The codes of a target's labelled faces, quantized; of a very large table only the channels first in `order`.

    The unseen rows of it are the validation faces, then the test faces. Raises Cancelled once `cancelled` says so, and
    Img2TabError where no channel is finite.
    """
    table, train_rows = faces.table, faces.train.rows
    unseen = np.concatenate([faces.validation.rows, faces.test.rows])
    affordable = _affordable(faces)
    try:
        return QuantizedPool.of(
            table.psi,
            table.labels[faces.target].to_numpy(),
            train=train_rows,
            unseen=unseen,
            channels=order[:affordable] if affordable < table.layout.total else None,
            cancelled=cancelled,
        )
    finally:
        tables.let_go(table.psi)


def pays(model: ConceptClassifier, faces: TargetFaces) -> bool:
    """Whether the codes of a target are better quantized before a classifier of the default kind is trained on them.

    Trained on the table's own, it holds them twice as float32 while it quantizes them itself, for this once; so a byte
    each, kept, is better where they are many, and there is room for every channel that it looks at.
    """
    width = faces.table.layout.total
    looked_at = min(model.screen or width, width)
    much = 4 * len(faces.train.rows) * looked_at > MUCH
    return much and min(looked_at + len(model.excluded), width) <= _affordable(faces)


def stored_pool(faces: TargetFaces) -> QuantizedPool | None:
    """What `store_pool` kept of these very faces; None where there is none, or it is damaged."""
    folder = _folder(faces)
    try:
        if read_json(folder / "about.json").get("files") != _digests(folder):
            return None
        pool = QuantizedPool.read(folder)
        os.utime(folder)  # the one used longest ago goes first
    except (OSError, ValueError):
        return None
    return pool


def store_pool(faces: TargetFaces, pool: QuantizedPool) -> bool:
    """Keep quantized codes in the visitor's folder, whole or not at all; whether there was room.

    It only saves time: where it cannot be written, everything goes on without it.
    """
    folder = _folder(faces)
    try:
        make_folder(folder.parent)
        _make_room(folder)
        with whole_folder(folder, lasting=False) as new:  # what a power cut damaged is seen by its digests
            pool.write(new)
            about = {"table": faces.table.name, "target": faces.target, "files": _digests(new)}
            write_json(new / "about.json", about)
    except OSError:
        return False
    return True


def stored_screen(faces: TargetFaces) -> Screen | None:
    """The choice that `store_screen` kept; None where it was not made for these very faces and these settings."""
    try:
        about = read_json(_screen_file(faces))
        if about["key"] != _screen_key(faces):
            return None
        values = about["screen"]
        return Screen(**values | {"measured": tuple((int(count), float(share)) for count, share in values["measured"])})
    except (OSError, KeyError, TypeError, ValueError):
        return None


def store_screen(faces: TargetFaces, screen: Screen) -> None:
    """Keep the choice of a target; without room it is made again another time."""
    file = _screen_file(faces)
    with suppress(OSError):
        make_folder(file.parent)
        write_json(file, {"key": _screen_key(faces), "screen": asdict(screen)})


def _affordable(faces: TargetFaces) -> int:
    """How many channels of a target's faces may be quantized."""
    return BUDGET // sum(len(part.rows) for part in (faces.train, faces.validation, faces.test))


def _reads(model: ConceptClassifier, pool: QuantizedPool) -> TypeGuard[CatBoostConcepts]:
    """Whether a classifier can be asked about quantized codes: it was trained on channels quantized the same way."""
    return isinstance(model, CatBoostConcepts) and bool(pool.known[model.screened_].all())


def _folder(faces: TargetFaces) -> Path:
    key = digest(FORMAT.encode(), RECIPE.encode(), faces.key.encode())
    return home() / "quantized" / f"{faces.table.name}-{faces.target}-{key[:12]}"


def _screen_file(faces: TargetFaces) -> Path:
    return home() / "screens" / f"{faces.table.name}-{faces.target}.json"


def _screen_key(faces: TargetFaces) -> str:
    return digest(FORMAT.encode(), QUICK_RECIPE.encode(), faces.key.encode())


def _digests(folder: Path) -> dict[str, str]:
    """sha256 of every file but about.json."""
    return {file.name: sha256_of(file) for file in sorted(folder.iterdir()) if file.name != "about.json"}


def _make_room(folder: Path) -> None:
    """Make room for one more: the longest unused go; others may do so at once."""
    with suppress(OSError):
        folders = [(place.stat().st_mtime, place) for place in folder.parent.iterdir() if place.is_dir()]
        kept = sorted(pair for pair in folders if not pair[1].name.startswith(".") and pair[1] != folder)
        for _, place in kept[: max(0, len(kept) - ON_DISK + 1)]:
            shutil.rmtree(place, ignore_errors=True)

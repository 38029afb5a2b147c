"""The only door to the core: the verbs that the terminal and the dashboard share; no visitor inside."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

from img2tab_core import alignment, classifiers, photos, quality, refinement, rendering, scoring, tables, weights
from img2tab_core.errors import Cancelled, Img2TabError
from img2tab_core.records import (
    ConceptScores,
    Edit,
    EditAgreement,
    Face,
    Frame,
    Metrics,
    Prediction,
    Quality,
    StyleCode,
    StyleTable,
    digest,
)

FACE_SIZE = 256
NAME_LENGTH = 60
KNOWN_EDIT = (5, 8.0)                  # concepts and standard deviations, see `Studio.edit_agreement`

Report = Callable[[float, str], None]


@dataclass(frozen=True)
class Run:
    """One trained classifier with its exclusions and its measured results on the test split."""

    id: str
    table: str
    target: str
    classifier: classifiers.CatBoostConcepts
    excluded: frozenset[int]
    seed: int
    metrics: Metrics
    seconds: float


class Studio:
    """Opened models and tables of one process; thread-safe, and nothing in it belongs to one visitor."""

    def __init__(self) -> None:
        self._lock = threading.RLock()                               # held for moments only
        self._once: dict[object, threading.Lock] = {}                # one per thing that takes seconds to make
        self._tables: dict[str, StyleTable] = {}
        self._runs: dict[str, Run] = {}
        self._scores: dict[tuple[str, str], tuple[np.ndarray, np.ndarray]] = {}
        self._line: list[object] = []                                # refinements, the running one first

    def _making(self, what: object) -> threading.Lock:
        """The lock under which `what` is made; who wants the same thing waits, everybody else does not."""
        with self._lock:
            return self._once.setdefault(what, threading.Lock())

    # --- photos and pictures -------------------------------------------------------------------

    @cached_property
    def backbone(self):
        """The generator and encoder; opening them takes a second, so only when they are needed."""
        from img2tab_core.backbone import open_backbone

        with self._making("backbone"):
            return open_backbone()

    @cached_property
    def descriptor(self):
        """dlib's face descriptor as a network."""
        with self._making("descriptor"):
            return _descriptor()

    def warm_up(self) -> None:
        """Open the models a first photo needs, so that the person who brings it does not wait for them."""
        blank = Face.of(np.full((FACE_SIZE, FACE_SIZE, 3), 128, np.uint8))
        self.quality(blank, self.encode(blank))
        alignment.find_faces(blank.pixels, weights.path("landmarks-68"))

    def read(self, data: bytes) -> tuple[np.ndarray, list[Face]]:
        """The upright photo, uint8 (H, W, 3), and its aligned faces, biggest first; at least one."""
        photo = photos.read_photo(data)
        return photo, alignment.faces_of(photo, weights.path("landmarks-68"), size=FACE_SIZE)

    def faces(self, data: bytes) -> list[Face]:
        """Aligned faces of a photo's bytes, biggest first; at least one."""
        return self.read(data)[1]

    def aligned_face(self, data: bytes) -> Face:
        """A photo that is already an aligned face: cropped to a square, resized, nothing looked for."""
        photo = Image.fromarray(photos.read_photo(data))
        side = min(photo.size)
        left, top = (photo.width - side) // 2, (photo.height - side) // 2
        square = photo.crop((left, top, left + side, top + side))
        return Face.of(np.asarray(square.resize((FACE_SIZE, FACE_SIZE), Image.LANCZOS)))

    def samples(self) -> list[Face]:
        """A dozen generated faces to start with."""
        files = sorted((weights.ROOT / "assets" / "samples").glob("*.jpg"))
        return [Face.of(np.asarray(Image.open(file).convert("RGB"))) for file in files]

    def invert(self, face: Face) -> np.ndarray:
        """The encoder's w of a face; float32 (512,)."""
        return self.backbone.invert(face.pixels[None])[0]

    def encode(self, face: Face) -> StyleCode:
        """The style code of a face."""
        return StyleCode.of(self.backbone.styles(self.invert(face)[None])[0])

    def render(self, code: StyleCode, edits: Sequence[Edit] = (), *, size: int = 256) -> np.ndarray:
        """The picture of a style code with edits; uint8 (size, size, 3)."""
        return rendering.draw(self.backbone.generator, [self.edited(code, edits)], size=self._size(size))[0]

    def render_raw(self, code: StyleCode, *, size: int) -> np.ndarray:
        """The picture of a style code as the network gives it; float32 (size, size, 3), not clipped."""
        return rendering.draw_raw(self.backbone.generator, [code], size=self._size(size))[0]

    def edited(self, code: StyleCode, edits: Sequence[Edit]) -> StyleCode:
        """The style code with edits in standard deviations of the default table."""
        return rendering.edited(code, edits, self.table().stats) if edits else code

    def _size(self, size: int) -> int:
        if size not in self.backbone.sizes:
            raise Img2TabError(f"A picture's size must be one of {sorted(self.backbone.sizes)} px, got {size}.")
        return size

    def quality(self, face: Face, code: StyleCode) -> Quality:
        """How well the reconstruction shows the face: a word, calibrated on portraits (see `quality.judge`)."""
        return quality.judge(self.descriptor, face.pixels, self.render(code, size=FACE_SIZE))

    # --- refinement ----------------------------------------------------------------------------

    def refine(
        self,
        face: Face,
        *,
        seconds: float = 10.0,
        steps: int | None = None,
        progress: Report | None = None,
        stopped: Callable[[], bool] | None = None,
    ) -> tuple[StyleCode, refinement.Refined]:
        """The style code of a face brought nearer to it than the encoder can, and what that cost.

        One refinement runs at a time, the others wait in the order they came; the time counts from its turn. stopped
        ends it early: with the best answer so far, or with Cancelled where its turn had not come.
        """
        report, stopped = progress or _silent, stopped or _never
        with self._turn(report, stopped):
            found = refinement.refine(
                self.backbone, self.descriptor, face.pixels, self.invert(face),
                seconds=seconds, steps=steps, progress=report, stopped=stopped,
            )
        return StyleCode.of(self.backbone.styles(found.w_plus[None])[0]), found

    @contextmanager
    def _turn(self, report: Report, stopped: Callable[[], bool]) -> Iterator[None]:
        """Wait until no other refinement runs: two at once would each be half as fast."""
        ticket = object()
        with self._lock:
            self._line.append(ticket)
        try:
            while ahead := self._line.index(ticket):
                if stopped():
                    raise Cancelled("The refinement was stopped before its turn came; nothing was changed.")
                report(0.0, f"Waiting for {ahead} other refinement{'' if ahead == 1 else 's'}…")
                time.sleep(0.1)
            yield
        finally:
            with self._lock:
                self._line.remove(ticket)

    def edit_agreement(self, run: Run, before: StyleCode, after: StyleCode) -> EditAgreement:
        """Whether an edit still does to a refined style code what it did to the encoder's.

        The edit: the five concepts of the run that set its classes furthest apart, each moved by 8 standard
        deviations, away from the class that `before` has.
        """
        count, shift = KNOWN_EDIT
        distance, direction = self._distances(self.table(run.table), run.target)
        chosen = scoring.top(distance, count, exclude=run.excluded)
        if self.predict(run, before).probability >= 0.5:
            shift = -shift
        edits = [Edit(int(i), float(np.copysign(shift, shift * direction[i]))) for i in chosen]
        codes = [before, self.edited(before, edits), after, self.edited(after, edits)]
        drawn = rendering.draw_raw(self.backbone.generator, codes, size=128)  # (4, 128, 128, 3)
        chance = run.classifier.predict_proba(np.stack([code.values for code in codes]))[:, 1]
        changes = [(drawn[i + 1] - drawn[i]).ravel() for i in (0, 2)]
        return EditAgreement(
            float(np.corrcoef(*changes)[0, 1]), float(chance[1] - chance[0]), float(chance[3] - chance[2])
        )

    # --- tables, classifiers, concepts ---------------------------------------------------------

    def table_names(self) -> list[str]:
        """Names of the tables that are built, the default first."""
        found = sorted(file.parent.name for file in (weights.home() / "tables").glob("*/table.json"))
        return sorted(found, key=lambda name: name != "default")

    def table(self, name: str = "default") -> StyleTable:
        """An opened table."""
        with self._lock:
            if name not in self._tables:
                if Path(name).name != name:
                    raise Img2TabError(f"A table's name is one word without slashes, got {name!r}.")
                self._tables[name] = tables.open_table(weights.home() / "tables" / name)
            return self._tables[name]

    def train(
        self,
        table: StyleTable,
        target: str,
        *,
        excluded: frozenset[int] = frozenset(),
        seed: int = 0,
        progress: Report | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> Run:
        """Train a classifier without the excluded concepts and measure it on the test split; always a new run."""
        started, excluded = time.perf_counter(), frozenset(map(int, excluded))
        rows, labels = tables.labelled(table, target, "train")
        model = classifiers.CatBoostConcepts(excluded=excluded, random_state=seed)
        distance, _ = self._distances(table, target)
        order = scoring.top(distance, len(distance))
        model.fit(table.psi, labels, rows=rows, order=order, progress=progress, cancelled=cancelled)
        seconds = time.perf_counter() - started
        test_rows, test_labels = tables.labelled(table, target, "test")
        return Run(
            id=_run_id(table, target, excluded, seed),
            table=table.name,
            target=target,
            classifier=model,
            excluded=excluded,
            seed=seed,
            metrics=classifiers.measure(model, table.psi, test_labels, rows=test_rows),
            seconds=seconds,
        )

    def run(self, table: StyleTable, target: str, *, progress: Report | None = None) -> Run:
        """The standing run of a target, nothing excluded: loaded if it was trained before, else trained and kept."""
        tables.target_of(table, target)
        run_id = _run_id(table, target, frozenset(), 0)
        with self._making(run_id):
            if run_id not in self._runs:
                try:
                    self._runs[run_id] = load_run(weights.home() / "runs" / run_id)
                except Img2TabError:                                 # never trained here, or its files are damaged
                    self._runs[run_id] = self.train(table, target, progress=progress)
                    self.keep(self._runs[run_id])
            return self._runs[run_id]

    def keep(self, run: Run) -> None:
        """Write a run under the visitor's folder, so that `kept` finds it again."""
        save_run(run, weights.home() / "runs" / run.id)

    def kept(self, table: StyleTable, target: str) -> list[Run]:
        """Every kept run of this table and target: the standing one first, then in the order they were trained."""
        standing = self.run(table, target)
        found = []
        for file in (weights.home() / "runs").glob(f"{table.name}-{target}-*/run.json"):
            try:
                run, when = load_run(file.parent), file.stat().st_mtime
            except (Img2TabError, OSError):
                continue                                             # damaged: it can only be trained again
            if run.id == _run_id(table, target, run.excluded, run.seed) != standing.id:
                found.append((when, run))
        return [standing, *(run for _, run in sorted(found, key=lambda pair: pair[0]))]

    def scores(self, run: Run) -> ConceptScores:
        """Distance, direction and importance of every concept for a run's target."""
        distance, direction = self._distances(self.table(run.table), run.target)
        return ConceptScores(distance, direction, classifiers.importance(run.classifier))

    def _distances(self, table: StyleTable, target: str) -> tuple[np.ndarray, np.ndarray]:
        """Wasserstein-1 and signed mean distance on the training rows; computed once per table and target."""
        with self._making(("scores", table.key, target)):
            if (table.key, target) not in self._scores:
                rows, labels = tables.labelled(table, target, "train")
                found = (
                    scoring.wasserstein(table.psi, labels, std=table.stats.std, rows=rows),
                    scoring.direction(table.psi, labels, std=table.stats.std, rows=rows),
                )
                self._scores[table.key, target] = found
            return self._scores[table.key, target]

    def predict(self, run: Run, code: StyleCode, edits: Sequence[Edit] = ()) -> Prediction:
        """Probability of the target's second class, and what every concept added to it."""
        return classifiers.explain(run.classifier, self.edited(code, edits).values[None])[0]

    def strip(
        self,
        run: Run,
        code: StyleCode,
        index: int,
        *,
        edits: Sequence[Edit] = (),
        reach: float = 10.0,
        frames: int = 9,
        size: int = 128,
    ) -> tuple[Frame, ...]:
        """Frames with channel `index` moved from -reach to +reach standard deviations on top of the edits."""
        moved = [
            (float(shift), self.edited(code, [*edits, Edit(index, float(shift))]))
            for shift in rendering.shifts(reach, frames)
        ]
        pictures = rendering.draw(self.backbone.generator, [one for _, one in moved], size=self._size(size))
        chance = run.classifier.predict_proba(np.stack([one.values for _, one in moved]))[:, 1]
        return tuple(
            Frame(shift, picture, float(p)) for (shift, _), picture, p in zip(moved, pictures, chance, strict=True)
        )

    def family(self, run: Run, *, count: int = 1500, strength: float = 1.5) -> tuple[Edit, ...]:
        """Many channels, each in proportion to its signed distance between the classes of the run's target."""
        distance, direction = self._distances(self.table(run.table), run.target)
        return rendering.family(np.copysign(distance, direction), count=count, strength=strength)

    def contact_sheet(
        self, index: int, *, faces: int = 4, shifts: Sequence[float] = (-8.0, 0.0, 8.0), size: int = 128
    ) -> np.ndarray:
        """Several sample faces with one concept moved; uint8 (faces, len(shifts), size, size, 3)."""
        self.table().layout.locate(index)
        codes = self._sample_codes[:faces]
        moved = [self.edited(code, [Edit(index, float(shift))]) for code in codes for shift in shifts]
        pictures = rendering.draw(self.backbone.generator, moved, size=self._size(size))
        return pictures.reshape(len(codes), len(shifts), *pictures.shape[1:])

    @cached_property
    def _sample_codes(self) -> list[StyleCode]:
        return [self.encode(face) for face in self.samples()]

    # --- names of concepts ---------------------------------------------------------------------

    def concept_names(self, backbone: str | None = None) -> dict[int, str]:
        """Names people gave to concepts of a backbone, by channel index."""
        try:
            stored = json.loads((weights.home() / "names.json").read_text())
        except (OSError, ValueError):
            return {}
        return {int(index): name for index, name in stored.get(backbone or self.table().backbone, {}).items()}

    def name_concept(self, index: int, name: str) -> None:
        """Give a concept a name; an empty one removes it."""
        table, name = self.table(), " ".join(name.split())
        table.layout.locate(index)
        if len(name) > NAME_LENGTH:
            raise Img2TabError(f"A concept's name must have at most {NAME_LENGTH} characters, got {len(name)}.")
        with self._lock:
            file = weights.home() / "names.json"
            try:
                stored = json.loads(file.read_text())
            except FileNotFoundError:
                stored = {}
            except ValueError as error:
                raise Img2TabError(f"The names in {file} are damaged ({error}). Mend or remove the file.") from error
            names = stored.setdefault(table.backbone, {})
            names.pop(str(index), None)
            if name:
                names[str(index)] = name
            _write_json(file, stored)


@lru_cache(maxsize=1)
def _descriptor():
    """Opened once per process; the quick copies that a refinement makes are kept for it."""
    return weights.open_descriptor()


def _silent(fraction: float, text: str) -> None:
    """No one is watching."""


def _never() -> bool:
    """No one can stop it."""
    return False


def save_run(run: Run, folder: Path) -> None:
    """Write a run: the classifier's files and run.json, which comes last and appears whole."""
    classifiers.save(run.classifier, folder)
    about = {
        "id": run.id, "table": run.table, "target": run.target, "excluded": sorted(run.excluded), "seed": run.seed,
        "seconds": run.seconds, "metrics": asdict(run.metrics),
    }
    _write_json(folder / "run.json", about)


def load_run(folder: Path) -> Run:
    """The run that `save_run` wrote."""
    try:
        about = json.loads((folder / "run.json").read_text())
        metrics = about["metrics"]
        return Run(
            id=about["id"], table=about["table"], target=about["target"],
            classifier=classifiers.load(folder), excluded=frozenset(about["excluded"]), seed=about["seed"],
            metrics=Metrics(**metrics | {
                "interval": tuple(metrics["interval"]), "confusion": tuple(map(tuple, metrics["confusion"]))}),
            seconds=about["seconds"],
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Img2TabError(f"There is no readable run in {folder} ({error}). Train it again.") from error


def _run_id(table: StyleTable, target: str, excluded: frozenset[int], seed: int) -> str:
    """The same table, target, exclusions, seed and settings give the same id."""
    settings = {name: str(value) for name, value in classifiers.CatBoostConcepts().get_params().items()}
    text = json.dumps([
        classifiers.RECIPE, settings, table.key, target, sorted(excluded), seed], sort_keys=True)
    return f"{table.name}-{target}-{digest(text.encode())[:12]}"


def _write_json(file: Path, content: dict) -> None:
    """`weights.write_json`, its folder made, a failure as a sentence."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        weights.write_json(file, content)
    except OSError as error:
        raise Img2TabError(f"{file} could not be written ({error.strerror}). Free some space and try again.") from error

"""The only door to the core: the verbs that the terminal and the dashboard share; no visitor inside."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

from img2tab_core import (
    alignment,
    classifiers,
    comparison,
    names,
    photos,
    quality,
    quick,
    refinement,
    rendering,
    scoring,
    tables,
    weights,
)
from img2tab_core.backbone import Backbone
from img2tab_core.classifiers.catboost import GpuConcepts, Rounded, gpu_wished
from img2tab_core.errors import Cancelled, Img2TabError
from img2tab_core.layout import StyleLayout
from img2tab_core.records import (
    DEFAULT_BACKBONE,
    ChannelStats,
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
    read_only,
)

FACE_SIZE = 256
NAME_LENGTH = 60
JUDGED = 8                             # runs whose answers on the test faces are kept
DEFAULT_KIND = "catboost"              # of classifier
KNOWN_EDIT = (5, 8.0)                  # concepts and standard deviations, see `Studio.edit_agreement`

Report = Callable[[float, str], None]


@dataclass(frozen=True)
class Run:
    """One classifier with its exclusions and its measured results on the test split.

    origin: "" where it was trained here, else the file it came from; table_key: of the table it was measured on.
    quick: a first answer until the full classifier is trained, never kept; note: what a person must know of it.
    """

    id: str
    table: str
    target: str
    classifier: classifiers.ConceptClassifier
    excluded: frozenset[int]
    seed: int
    metrics: Metrics
    seconds: float
    origin: str = ""
    table_key: str = ""
    quick: bool = False
    note: str = ""


class Studio:
    """Opened models and tables of one process; thread-safe, and nothing in it belongs to one visitor."""

    def __init__(self) -> None:
        self._lock = threading.RLock()                               # held for moments only
        self._once: dict[object, threading.Lock] = {}                # one per thing that takes seconds to make
        self._tables: dict[str, StyleTable] = {}
        self._runs: dict[str, Run] = {}
        self._scores: dict[tuple[str, str], tuple[np.ndarray, np.ndarray]] = {}
        self._judged: dict[tuple[str, str], tuple[np.ndarray, np.ndarray, np.ndarray]] = {}
        self._samples: dict[str, list[StyleCode]] = {}
        self._rounded: dict[str, Rounded] = {}                       # of the latest target only: 131 MB
        self._screens: dict[str, quick.Screen] = {}
        self._line: list[object] = []                                # refinements, the running one first
        self._features = rendering.FeatureCache()                    # of faces that are being edited

    def _making(self, what: object) -> threading.Lock:
        """The lock under which `what` is made; who wants the same thing waits, everybody else does not."""
        with self._lock:
            return self._once.setdefault(what, threading.Lock())

    # --- photos and pictures -------------------------------------------------------------------

    def backbone(self, name: str = DEFAULT_BACKBONE) -> Backbone:
        """A generator and its encoder, by name or by the path of a checkpoint; opened when first needed."""
        from img2tab_core.backbone import open_backbone

        return open_backbone(name)

    def backbone_names(self) -> list[str]:
        """The default backbone, and those that were added."""
        from img2tab_core.backbone import backbone_names

        return backbone_names()

    def backbone_key(self, name: str) -> str:
        """Changes with a backbone's weights; "" where there is none of this name."""
        from img2tab_core.backbone import backbone_key

        return backbone_key(name)

    def backbones(self) -> list[dict]:
        """What is known of every backbone, without opening it: name, file, size in px, channels, encoder."""
        from img2tab_core.backbone import backbone_names, describe

        return [describe(name) for name in backbone_names()]

    def stats(self, backbone: str = DEFAULT_BACKBONE) -> ChannelStats:
        """What one standard deviation of an edit is: over the default table, or over 10,000 w of another backbone."""
        if backbone == DEFAULT_BACKBONE and ("default" in self._tables or "default" in self.table_names()):
            return self.table().stats
        return self.backbone(backbone).stats

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

    def invert(self, face: Face, *, backbone: str = DEFAULT_BACKBONE) -> np.ndarray:
        """The encoder's w of a face; float32, (512,) for all layers or (L, 512)."""
        return self.backbone(backbone).invert(face.pixels[None])[0]

    def encode(self, face: Face, *, backbone: str = DEFAULT_BACKBONE) -> StyleCode:
        """The style code of a face."""
        return self.code(self.invert(face, backbone=backbone), backbone=backbone)

    def code(self, w: np.ndarray, *, backbone: str = DEFAULT_BACKBONE) -> StyleCode:
        """The style code of a w, float32 (512,) or (L, 512)."""
        return StyleCode.of(self.backbone(backbone).styles(w[None])[0], backbone)

    def render(
        self, code: StyleCode, edits: Sequence[Edit] = (), *, size: int = 256, care: rendering.Care = "exact"
    ) -> np.ndarray:
        """The picture of a style code with edits; uint8, `size` px or the next smaller that its backbone draws."""
        return self._draw([self.edited(code, edits)], edits, size, care)[0]

    def render_raw(self, code: StyleCode, *, size: int | None = None) -> np.ndarray:
        """The picture of a style code as the network gives it; float32 (size, size, 3), not clipped.

        size: one that the backbone draws, None for its largest.
        """
        backbone = self.backbone(code.backbone)
        size = size or backbone.sizes[0]
        if size not in backbone.sizes:
            raise Img2TabError(f"A picture's size must be one of {sorted(backbone.sizes)} px, got {size}.")
        return rendering.draw_raw(backbone.generator, [code], size=size)[0]

    def edited(self, code: StyleCode, edits: Sequence[Edit]) -> StyleCode:
        """The style code with edits in standard deviations of its backbone."""
        return rendering.edited(code, edits, self.stats(code.backbone)) if edits else code

    def _draw(
        self, codes: Sequence[StyleCode], edits: Sequence[Edit], size: int, care: rendering.Care = "exact"
    ) -> np.ndarray:
        """Pictures of codes of one backbone, uint8 (n, s, s, 3), s = size or the next smaller there is.

        Drawn larger and reduced where the edited layers would not show in so small a picture. What comes before those
        layers is computed once for a face, and again only when an edit there changes.
        """
        backbone = self.backbone(codes[0].backbone)
        size, layout = backbone.fitting(size), backbone.layout
        layers = {layout.locate(edit.index)[0] for edit in edits}
        needed = max((backbone.generator.shows_from(layer) for layer in layers), default=0)
        reuse = rendering.Reuse(self._features, backbone.key, tuple(layers))
        if needed <= size:
            return rendering.draw(backbone.generator, codes, size=size, reuse=reuse, care=care)
        return rendering.reduced(rendering.draw(backbone.generator, codes, size=needed, reuse=reuse, care=care), size)

    def quality(self, face: Face, code: StyleCode) -> Quality:
        """How well the reconstruction shows the face: a word, calibrated on portraits (see `quality.judge`)."""
        return quality.judge(self.descriptor, face.pixels, self.render(code, size=FACE_SIZE))

    # --- refinement ----------------------------------------------------------------------------

    def refine(
        self,
        face: Face,
        *,
        backbone: str = DEFAULT_BACKBONE,
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
                self.backbone(backbone), self.descriptor, face.pixels, self.invert(face, backbone=backbone),
                seconds=seconds, steps=steps, progress=report, stopped=stopped,
            )
        return self.code(found.w_plus, backbone=backbone), found

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
        backbone = self.backbone(before.backbone)
        drawn = rendering.draw_raw(backbone.generator, codes, size=backbone.fitting(128))  # (4, s, s, 3)
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

    def about_table(self, name: str) -> dict:
        """Where an imported table came from and what was left out; {} for the bundled one."""
        return tables.about_of(weights.home() / "tables" / name)

    def table(self, name: str = "default") -> StyleTable:
        """An opened table."""
        with self._lock:
            if name not in self._tables:
                if Path(name).name != name:
                    raise Img2TabError(f"A table's name is one word without slashes, got {name!r}.")
                self._tables[name] = tables.open_table(weights.home() / "tables" / name)
            found = self._tables[name]
        # asked for at every edit and rerun: only what can change meanwhile is looked up
        if found.backbone == DEFAULT_BACKBONE or not found.backbone_key:
            return found
        now = self.backbone_key(found.backbone)
        if found.backbone_key != now:
            raise Img2TabError(
                f"The table {name!r} was encoded by other weights than the backbone {found.backbone} has now"
                + (". " if now else ", or that backbone was removed. ")
                + "Add the checkpoint it was made with again, or import the table anew."
            )
        return found

    def train(
        self,
        table: StyleTable,
        target: str,
        *,
        kind: str = DEFAULT_KIND,
        excluded: frozenset[int] = frozenset(),
        seed: int = 0,
        progress: Report | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> Run:
        """Train a classifier without the excluded concepts and measure it on the test split; always a new run.

        kind: one of `classifiers.KINDS`.
        """
        excluded = frozenset(map(int, excluded))
        model = classifiers.make(kind, excluded=excluded, random_state=seed)
        run_id = _run_id(table, target, excluded, seed, kind)
        return self._trained(model, run_id, table, target, progress=progress, cancelled=cancelled)

    def train_quick(
        self,
        table: StyleTable,
        target: str,
        *,
        excluded: frozenset[int] = frozenset(),
        seed: int = 0,
        progress: Report | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> Run:
        """A first answer: a small CatBoost on the few concepts of `screen`, marked quick, with a note that says so."""
        excluded, screen = frozenset(map(int, excluded)), self.screen(table, target)
        model = quick.classifier(screen, excluded=excluded, seed=seed)
        run_id = _id_of(
            table, target, quick.QUICK_RECIPE, str(screen.count), _run_id(table, target, excluded, seed))
        run = self._trained(model, run_id, table, target, progress=progress, cancelled=cancelled)
        return replace(run, quick=True, note=f"Quick answer: {screen.sentence}")

    def train_live(
        self,
        table: StyleTable,
        target: str,
        *,
        kind: str = DEFAULT_KIND,
        excluded: frozenset[int] = frozenset(),
        seed: int = 0,
        on_quick: Callable[[Run], None] | None = None,
        progress: Report | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> Run:
        """`train` with a first answer on the way: `on_quick` gets the run of `train_quick`, then the full one comes.

        Only the default kind has a quick answer. The first time for a target its style codes are rounded between the
        two, which `prepare` does ahead. Where a person wants and has a graphics card, the full classifier is trained
        there, and the run's note says that it does not come out the same twice.
        """
        report, excluded = progress or _silent, frozenset(map(int, excluded))
        if kind != DEFAULT_KIND:
            return self.train(
                table, target, kind=kind, excluded=excluded, seed=seed, progress=report, cancelled=cancelled)
        first = self.train_quick(
            table, target, excluded=excluded, seed=seed, cancelled=cancelled,
            progress=lambda share, text: report(0.15 * share, "A quick answer first"))
        if on_quick is not None:
            on_quick(first)
        report(0.15, "Rounding the style codes, once for this target")
        self._codes(table, target, make=True, cancelled=cancelled)

        def rest(share: float, text: str) -> None:
            report(0.2 + 0.8 * share, text)

        if not gpu_wished():
            return self.train(table, target, excluded=excluded, seed=seed, progress=rest, cancelled=cancelled)
        run_id = _id_of(table, target, "graphics card", _run_id(table, target, excluded, seed))
        model = GpuConcepts(excluded=excluded, random_state=seed)
        run = self._trained(model, run_id, table, target, progress=rest, cancelled=cancelled)
        return replace(run, note="Trained on a graphics card: trained again it would not come out quite the same.")

    def screen(self, table: StyleTable, target: str) -> quick.Screen:
        """How many concepts a quick answer looks at, and what that costs, as far as `prepare` measured it."""
        key = quick.key_of(table, target)
        found = self._screens.get(key) or quick.stored_screen(table, target)
        if found is None:
            return quick.Screen(min(quick.UNMEASURED, table.layout.total))
        self._screens[key] = found
        return found

    def prepare(
        self,
        table: StyleTable,
        target: str,
        *,
        progress: Report | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> quick.Screen:
        """What makes `train_live` fast, ahead of it: style codes rounded, the number of concepts chosen; both kept.

        Seconds the first time for a target, then at once; meant for the background.
        """
        report, full = progress or _silent, self.run(table, target)
        report(0.0, "Rounding the style codes, once for this target")
        rounded = self._codes(table, target, make=True, cancelled=cancelled)
        with self._making(("screen", quick.key_of(table, target))):
            found = self.screen(table, target)
            if not found.measured:
                found = quick.choose(
                    table, target, self._order(table, target), full.classifier, rounded=rounded,
                    progress=lambda share, text: report(0.5 + 0.5 * share, text), cancelled=cancelled)
                self._screens[quick.key_of(table, target)] = found
                quick.store_screen(table, target, found)
        return found

    def _trained(
        self,
        model: classifiers.ConceptClassifier,
        run_id: str,
        table: StyleTable,
        target: str,
        *,
        progress: Report | None,
        cancelled: Callable[[], bool] | None,
    ) -> Run:
        """Train on the rounded codes where they are there, to the same bits on the table's own; measured."""
        started = time.perf_counter()
        order = self._order(table, target)
        rounded = self._codes(table, target) if model.kind == DEFAULT_KIND else None
        quick.train(model, table, target, order, rounded=rounded, progress=progress, cancelled=cancelled)
        seconds = time.perf_counter() - started
        return Run(
            id=run_id,
            table=table.name,
            target=target,
            classifier=model,
            excluded=model.excluded,
            seed=model.random_state,
            metrics=quick.measure(model, table, target, rounded=rounded),
            seconds=seconds,
            table_key=table.key,
        )

    def _codes(
        self,
        table: StyleTable,
        target: str,
        *,
        make: bool = False,
        cancelled: Callable[[], bool] | None = None,
    ) -> Rounded | None:
        """A target's style codes rounded: from memory, from disk, or made and kept.

        None where there are none and they are not to be made, or another is just about it: nobody waits for them who
        can do without.
        """
        key, order = quick.key_of(table, target), self._order(table, target) if make else None
        making = self._making(("rounded", key))
        if not making.acquire(blocking=make):
            return None
        try:
            found = self._rounded.get(key) or quick.stored_rounded(table, target)
            if found is None and make:
                with self._lock:
                    self._rounded.clear()                            # room for what making takes
                found = quick.make_rounded(table, target, order, cancelled=cancelled)
                quick.store_rounded(table, target, found)
            if found is not None:
                with self._lock:
                    self._rounded.clear()
                    self._rounded[key] = found
            return found
        finally:
            making.release()

    def _order(self, table: StyleTable, target: str) -> np.ndarray:
        """All channels, those that set the classes of a target furthest apart first; int64 (D,)."""
        distance, _ = self._distances(table, target)
        return scoring.top(distance, len(distance))

    def adopt(self, file: Path, table: StyleTable, target: str) -> Run:
        """A classifier somebody published (an XGBoost JSON) as a run of a table: measured on its test split, kept."""
        started = time.perf_counter()
        model = classifiers.open_published(file)
        if model.n_features_in_ != table.layout.total:
            raise Img2TabError(
                f"{file.name} judges style codes of {model.n_features_in_:,} channels, and the table {table.name!r} "
                f"has {table.layout.total:,}. Choose a table of the backbone it was trained for."
            )
        rows, labels = tables.labelled(table, target, "test")
        run = Run(
            id=_id_of(table, target, weights.sha256_of(file), table.key),
            table=table.name,
            target=target,
            classifier=model,
            excluded=frozenset(),
            seed=0,
            metrics=classifiers.measure(model, table.psi, labels, rows=rows),
            seconds=time.perf_counter() - started,
            origin=file.name,
            table_key=table.key,
        )
        self.keep(run)
        return run

    def compare(
        self,
        table: StyleTable,
        target: str,
        *,
        kinds: Sequence[str],
        seeds: Sequence[int] = (0, 1, 2),
        faces: int | None = 4000,
        progress: Report | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> comparison.Comparison:
        """Several kinds of classifier on the same faces: how well they judge, and what their importance finds; kept."""
        distance, _ = self._distances(table, target)
        found = comparison.compare(
            table, target, distance, kinds=kinds, seeds=seeds, faces=faces, progress=progress, cancelled=cancelled)
        _write_json(self._comparison_file(table, target), found.to_json())
        return found

    def compared(self, table: StyleTable, target: str) -> comparison.Comparison | None:
        """The latest comparison on this table and target; None where there is none, or the table is another now."""
        try:
            found = comparison.Comparison.from_json(weights.read_json(self._comparison_file(table, target)))
        except Img2TabError:
            return None
        return found if found.table_key == table.key else None

    def _comparison_file(self, table: StyleTable, target: str) -> Path:
        return weights.home() / "comparisons" / f"{table.name}-{target}.json"

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
        if run.quick:
            raise Img2TabError("A quick answer is not kept, only the full result that replaces it. Wait for that one.")
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
            if run.id != standing.id and _is_of(run, table):
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
                self._scores[table.key, target] = scoring.distance_and_direction(
                    table.psi, labels, std=table.stats.std, rows=rows)
                tables.let_go(table.psi)
            return self._scores[table.key, target]

    def judged(self, run: Run) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(row numbers int64, labels 0/1, probability of class 1 float64) of the test faces whose label is known.

        Kept for the latest runs: a moved threshold asks again for the same numbers.
        """
        key = (run.id, run.table_key)
        with self._making(("judged", *key)):
            found = self._judged.get(key)
            if found is None:
                table = self.table(run.table)
                rows, labels = tables.labelled(table, run.target, "test")
                answers = run.classifier.probabilities(table.psi, rows)[:, 1]
                tables.let_go(table.psi)
                found = read_only(rows), read_only(labels), read_only(answers)
                with self._lock:
                    if len(self._judged) >= JUDGED:
                        del self._judged[next(iter(self._judged))]
                    self._judged[key] = found
            return found

    def predict(self, run: Run, code: StyleCode, edits: Sequence[Edit] = ()) -> Prediction:
        """Probability of the target's second class, and what every concept added to it."""
        expected = self.table(run.table).backbone
        if code.backbone != expected:
            raise Img2TabError(
                f"This classifier judges style codes of the backbone {expected}, got one of {code.backbone}. "
                "Encode the photo with that backbone."
            )
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
        care: rendering.Care = "exact",
    ) -> tuple[Frame, ...]:
        """Frames with channel `index` moved from -reach to +reach standard deviations on top of the edits."""
        moved = [
            (float(shift), self.edited(code, [*edits, Edit(index, float(shift))]))
            for shift in rendering.shifts(reach, frames)
        ]
        pictures = self._draw([one for _, one in moved], [Edit(index, reach)], size, care)
        chance = run.classifier.predict_proba(np.stack([one.values for _, one in moved]))[:, 1]
        return tuple(
            Frame(shift, picture, float(p)) for (shift, _), picture, p in zip(moved, pictures, chance, strict=True)
        )

    def family(self, run: Run, *, count: int = 1500, strength: float = 1.5) -> tuple[Edit, ...]:
        """Many channels, each in proportion to its signed distance between the classes of the run's target."""
        distance, direction = self._distances(self.table(run.table), run.target)
        return rendering.family(np.copysign(distance, direction), count=count, strength=strength)

    def contact_sheet(
        self,
        index: int,
        *,
        backbone: str = DEFAULT_BACKBONE,
        faces: int = 4,
        shifts: Sequence[float] = (-8.0, 0.0, 8.0),
        size: int = 128,
    ) -> np.ndarray:
        """Several sample faces with one concept moved; uint8 (faces, len(shifts), size, size, 3)."""
        self.backbone(backbone).layout.locate(index)
        codes = self._sample_codes(backbone, faces)
        moved = [self.edited(code, [Edit(index, float(shift))]) for code in codes for shift in shifts]
        pictures = self._draw(moved, [Edit(index, float(max(shifts)))], size)
        return pictures.reshape(len(codes), len(shifts), *pictures.shape[1:])

    def _sample_codes(self, backbone: str, count: int) -> list[StyleCode]:
        """Codes of the first samples; of random faces where the backbone has no encoder."""
        model = self.backbone(backbone)
        with self._making(("samples", model.key)):
            codes = self._samples.setdefault(model.key, [])
            if model.encoder is None:
                codes[:] = codes or [StyleCode.of(psi, backbone) for psi in model.random_codes(len(self.samples()))]
            else:
                codes += [self.encode(face, backbone=backbone) for face in self.samples()[len(codes) : count]]
            return codes[:count]

    # --- names of concepts ---------------------------------------------------------------------

    def concept_names(self, backbone: str = DEFAULT_BACKBONE) -> dict[int, str]:
        """Names people gave to concepts of a backbone, by channel index."""
        try:
            stored = json.loads((weights.home() / "names.json").read_text())
        except (OSError, ValueError):
            return {}
        return {int(index): name for index, name in stored.get(backbone, {}).items()}

    def suggested_names(self, layout: StyleLayout) -> dict[int, names.Suggestion]:
        """What others published about the concepts of such a generator, by channel index; see `names`."""
        return names.published(layout)

    def name_concept(self, index: int, name: str, *, backbone: str = DEFAULT_BACKBONE) -> None:
        """Give a concept a name; an empty one removes it."""
        name = " ".join(name.split())
        self.backbone(backbone).layout.locate(index)
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
            of_backbone = stored.setdefault(backbone, {})
            of_backbone.pop(str(index), None)
            if name:
                of_backbone[str(index)] = name
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
        "seconds": run.seconds, "metrics": asdict(run.metrics), "origin": run.origin, "table_key": run.table_key,
        "quick": run.quick, "note": run.note,
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
            seconds=about["seconds"], origin=about.get("origin", ""), table_key=about.get("table_key", ""),
            quick=about.get("quick", False), note=about.get("note", ""),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Img2TabError(f"There is no readable run in {folder} ({error}). Train it again.") from error


def _run_id(
    table: StyleTable, target: str, excluded: frozenset[int], seed: int, kind: str = DEFAULT_KIND
) -> str:
    """The same table, target, exclusions, seed, kind and settings give the same id."""
    estimator = classifiers.KINDS[kind].estimator
    settings = {name: str(value) for name, value in estimator().get_params().items()}
    recipe = classifiers.RECIPE if kind == DEFAULT_KIND else f"{kind} {classifiers.library_version(kind)}"
    return _id_of(table, target, json.dumps([
        recipe, settings, table.key, target, sorted(excluded), seed], sort_keys=True))


def _id_of(table: StyleTable, target: str, *parts: str) -> str:
    return f"{table.name}-{target}-{digest(*(part.encode() for part in parts))[:12]}"


def _is_of(run: Run, table: StyleTable) -> bool:
    """Whether a stored run belongs to this very table, and would come out the same today."""
    if run.origin or run.note:
        return run.table_key == table.key
    return run.id == _run_id(table, run.target, run.excluded, run.seed, run.classifier.kind)


def _write_json(file: Path, content: dict) -> None:
    """`weights.write_json`, its folder made, a failure as a sentence."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        weights.write_json(file, content)
    except OSError as error:
        raise Img2TabError(f"{file} could not be written ({error.strerror}). Free some space and try again.") from error

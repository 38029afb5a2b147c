"""The only door to the core: the verbs that the terminal and the dashboard share; no visitor inside."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
from PIL import Image

from img2tab_core import weights
from img2tab_core.backbones.feature_cache import FeatureCache, Reuse
from img2tab_core.backbones.registry import backbone_key, backbone_names
from img2tab_core.base import persons
from img2tab_core.base.cores import on_single_cores
from img2tab_core.base.engines import HERE, Engine
from img2tab_core.base.errors import Cancelled, Img2TabError, enough_memory
from img2tab_core.base.files import ROOT, home
from img2tab_core.base.jobs import Report, never, silent
from img2tab_core.base.later import later
from img2tab_core.base.layout import StyleLayout
from img2tab_core.base.once import Once
from img2tab_core.base.records import (
    DEFAULT_BACKBONE,
    ChannelStats,
    ConceptScores,
    Edit,
    EditAgreement,
    EditCheck,
    Face,
    Frame,
    Prediction,
    Quality,
    StyleCode,
    StyleTable,
    decided_classes,
    digest,
    read_only,
)
from img2tab_core.classifiers.runs import DEFAULT_KIND, Run
from img2tab_core.classifiers.trainer import Trainer
from img2tab_core.classifiers.treatment import UNTREATED, Treatment
from img2tab_core.concepts import names, scores
from img2tab_core.concepts.description import Description, Family, open_description
from img2tab_core.faces import alignment, photos
from img2tab_core.tables import any_target_of, faces_of
from img2tab_core.tables.calibrations import calibration_of

if TYPE_CHECKING:
    from img2tab_core.backbones import blending, quality, refinement, rendering
    from img2tab_core.backbones.backbone import Backbone
    from img2tab_core.classifiers import answers, calibrated, measures, models, reactions
    from img2tab_core.classifiers.pixel_models import PixelModel
    from img2tab_core.classifiers.pixels import PixelClassifier
    from img2tab_core.concepts import describing, moved_pictures, ranking
    from img2tab_core.concepts.ranking import Effect, RankedFamily
    from img2tab_core.networks.face_descriptor import FaceDescriptor
else:
    (
        answers,
        blending,
        calibrated,
        measures,
        models,
        reactions,
        describing,
        moved_pictures,
        quality,
        ranking,
        refinement,
        rendering,
    ) = later(
        "img2tab_core.classifiers.answers",
        "img2tab_core.backbones.blending",
        "img2tab_core.classifiers.calibrated",
        "img2tab_core.classifiers.measures",
        "img2tab_core.classifiers.models",
        "img2tab_core.classifiers.reactions",
        "img2tab_core.concepts.describing",
        "img2tab_core.concepts.moved_pictures",
        "img2tab_core.backbones.quality",
        "img2tab_core.concepts.ranking",
        "img2tab_core.backbones.refinement",
        "img2tab_core.backbones.rendering",
    )

FACE_SIZE = 256
ENCODED_TOGETHER = 8  # faces on one core; more are hardly faster
KNOWN_EDIT = (5, 8.0)  # concepts and standard deviations, see `Studio.edit_agreement`
AGREEMENT_SIZE = 128  # px of the pictures in which a known edit is compared, larger where it shows only in larger ones
_descriptors: Once[str, FaceDescriptor] = Once(1)  # every Studio's: the copies that a refinement makes are of this one


@dataclass(frozen=True)
class Aligner:
    """What makes faces of photos: bytes -> the biggest face, uint8 (256, 256, 3), and how many there are.

    aligned: the photos are aligned faces already. It may be sent to another process, which opens the landmarks itself.
    """

    aligned: bool = False

    def __call__(self, data: bytes) -> tuple[np.ndarray, int]:
        photo = photos.read_photo(data)
        if self.aligned:
            return alignment.squared(photo, size=FACE_SIZE).pixels, 1
        faces = alignment.faces_of(photo, weights.path("landmarks-68"), size=FACE_SIZE)
        return faces[0].pixels, len(faces)


class Studio:
    """The models of one process: photos, pictures, and through `trainer` tables and runs; no visitor inside.

    trainer: everything about tables and trained classifiers; the verbs on it that nearly everybody needs are here too.
    """

    def __init__(self) -> None:
        self.trainer = Trainer()
        self._lock = threading.Lock()  # held for moments only
        self._samples: Once[tuple[str, int], list[StyleCode]] = Once(8)  # by key of the backbone and how many
        self._line: list[object] = []  # refinements, the running one first
        self._features = FeatureCache()  # of faces that are being edited
        self._ranked: Once[tuple[str, str], list[RankedFamily]] = Once(32)  # by run and description
        self._effects: Once[tuple[str, str], Effect] = Once(256)  # by run and what is moved
        self._reactions: Once[tuple, reactions.Reactions] = Once(32)  # by classifier, table and how far it was asked

    # --- photos and pictures -------------------------------------------------------------------

    def backbone(self, name: str = DEFAULT_BACKBONE) -> Backbone:
        """A generator and its encoder, by name or by the path of a checkpoint; opened when first needed."""
        from img2tab_core.backbones.backbone import open_backbone

        return open_backbone(name)

    def backbone_names(self) -> list[str]:
        """The default backbone, and those that were added."""
        return backbone_names()

    def backbone_key(self, name: str) -> str:
        """Changes with a backbone's weights; "" where there is none of this name."""
        return backbone_key(name)

    def backbones(self) -> list[dict]:
        """What is known of every backbone, without opening it: name, file, size in px, channels, encoder."""
        from img2tab_core.backbones.backbone import describe

        return [describe(name) for name in backbone_names()]

    def stats(self, backbone: str = DEFAULT_BACKBONE) -> ChannelStats:
        """A backbone's own standard deviations: over the default table, or over 10,000 w of another backbone.

        What an edit counts in where no table is known; where a run is, `stats_of` is.
        """
        if backbone == DEFAULT_BACKBONE and (home() / "tables" / "default" / "table.json").is_file():
            return self.table().stats
        return self.backbone(backbone).stats

    def stats_of(self, run: Run) -> ChannelStats:
        """What one standard deviation of an edit is for a run, as its distances have it: over its table's faces."""
        return self.table(run.table).stats

    @property
    def descriptor(self) -> FaceDescriptor:
        """dlib's face descriptor as a network, opened once per process."""
        return _descriptors.get("face-descriptor", weights.open_descriptor)

    def forget_faces(self) -> None:
        """Let go what was computed of faces that are being edited, everybody's; the next edit begins anew."""
        self._features.clear()

    def warm_up(self) -> None:
        """Open the models a first face needs, so that the person who chooses it does not wait for them."""
        blank = Face.of(np.full((FACE_SIZE, FACE_SIZE, 3), 128, np.uint8))
        self.quality(blank, self.encode(blank))

    def warm_up_photos(self) -> None:
        """Open what finds the faces of a photo: a second, in which little else can be done."""
        alignment.find_faces(np.full((FACE_SIZE, FACE_SIZE, 3), 128, np.uint8), weights.path("landmarks-68"))

    def read(self, data: bytes) -> tuple[np.ndarray, list[Face]]:
        """The upright photo, uint8 (H, W, 3), and its aligned faces, biggest first; at least one."""
        photo = photos.read_photo(data)
        return photo, alignment.faces_of(photo, weights.path("landmarks-68"), size=FACE_SIZE)

    def faces(self, data: bytes) -> list[Face]:
        """Aligned faces of a photo's bytes, biggest first; at least one."""
        return self.read(data)[1]

    def aligned_face(self, data: bytes) -> Face:
        """A photo that is already an aligned face: cropped to a square, resized, nothing looked for."""
        return alignment.squared(photos.read_photo(data), size=FACE_SIZE)

    def aligner(self, *, aligned: bool = False) -> Aligner:
        """What makes faces of an import's photos. aligned: the photos are aligned faces already."""
        return Aligner(aligned)

    def samples(self) -> list[Face]:
        """A dozen generated faces to start with."""
        files = sorted((ROOT / "assets" / "samples").glob("*.jpg"))
        return [Face.of(np.asarray(Image.open(file).convert("RGB"))) for file in files]

    def invert(self, face: Face, *, backbone: str = DEFAULT_BACKBONE) -> np.ndarray:
        """The encoder's w of a face; float32, (512,) for all layers or (L, 512).

        Raises Img2TabError where the backbone has no encoder.
        """
        return self.backbone(backbone).invert(face.pixels[None])[0]

    def encode(self, face: Face, *, backbone: str = DEFAULT_BACKBONE) -> StyleCode:
        """The style code of a face. Raises Img2TabError where the backbone has no encoder."""
        return self.code(self.invert(face, backbone=backbone), backbone=backbone)

    def encode_all(self, faces: Sequence[Face], *, backbone: str = DEFAULT_BACKBONE) -> list[StyleCode]:
        """The style codes of faces of one size, encoded together: half the time of one after the other."""
        if not faces:
            return []
        model, pixels = self.backbone(backbone), np.stack([face.pixels for face in faces])
        parts = [pixels[start : start + ENCODED_TOGETHER] for start in range(0, len(pixels), ENCODED_TOGETHER)]
        w = np.concatenate(on_single_cores(model.invert, parts))
        return [StyleCode.of(values, backbone) for values in model.styles(w)]

    def code(self, w: np.ndarray, *, backbone: str = DEFAULT_BACKBONE) -> StyleCode:
        """The style code of a w, float32 (512,) or (L, 512)."""
        return StyleCode.of(self.backbone(backbone).styles(w[None])[0], backbone)

    def render(
        self,
        code: StyleCode,
        edits: Sequence[Edit] = (),
        *,
        size: int = 256,
        precision: rendering.Precision = "exact",
        stats: ChannelStats | None = None,
    ) -> np.ndarray:
        """The picture of a style code with edits; uint8 (s, s, 3), s = size px or the next smaller there is.

        stats: see `edited`.
        """
        return self._draw([self.edited(code, edits, stats=stats)], edits, edits, size, precision)[0]

    def render_raw(self, code: StyleCode, *, size: int | None = None) -> np.ndarray:
        """The picture of a style code as the network gives it; float32 (size, size, 3), not clipped.

        size: one that the backbone draws, None for its largest; another one raises Img2TabError.
        """
        backbone = self.backbone(code.backbone)
        size = size or backbone.sizes[0]
        if size not in backbone.sizes:
            raise Img2TabError(f"A picture's size must be one of {sorted(backbone.sizes)} px, got {size}.")
        return rendering.draw_raw(backbone.generator, [code], size=size)[0]

    def edited(self, code: StyleCode, edits: Sequence[Edit], *, stats: ChannelStats | None = None) -> StyleCode:
        """The style code with edits applied.

        stats: what one standard deviation is. Where a run is known, `stats_of(run)`; None for the backbone's own.
        Raises Img2TabError where an edit names a channel that is not there or a shift that is not finite.
        """
        return rendering.edited(code, edits, stats or self.stats(code.backbone)) if edits else code

    def _draw(
        self,
        codes: Sequence[StyleCode],
        edits: Sequence[Edit],
        moving: Sequence[Edit],
        size: int,
        precision: rendering.Precision = "exact",
    ) -> np.ndarray:
        """Pictures of edited codes of one backbone, uint8 (n, s, s, 3), s = size or the next smaller there is.

        edits: all that is in the codes. Drawn larger and reduced where one of them would not show in so small a
        picture. moving: those that change from picture to picture. What comes before their layers is computed once for
        a face, and again only when an edit there changes.
        """
        backbone = self.backbone(codes[0].backbone)
        size, layout = backbone.fitting(size), backbone.layout
        needed = max((backbone.generator.shows_from(layout.locate(edit.index)[0]) for edit in edits), default=0)
        layers = {layout.locate(edit.index)[0] for edit in moving}
        pictures = rendering.draw(
            backbone.generator,
            codes,
            size=max(size, needed),
            reuse=Reuse(self._features, backbone.key, tuple(layers)),
            precision=precision,
        )
        return pictures if needed <= size else rendering.reduced(pictures, size)

    def quality(self, face: Face, code: StyleCode, *, drawn: np.ndarray | None = None) -> Quality:
        """How well the reconstruction shows the face: a word, calibrated on portraits (see `quality.assess`).

        drawn: the reconstruction, uint8 (256, 256, 3), where it was drawn already.
        """
        if drawn is None:  # a rounded picture moves the distance by 0.005 at most, and is drawn twice as fast
            drawn = self.render(code, size=FACE_SIZE, precision="draft")
        return quality.assess(self.descriptor, face.pixels, drawn)

    def qualities(self, faces: Sequence[Face], codes: Sequence[StyleCode]) -> list[Quality]:
        """`quality` of many faces and their style codes, as many at a time as there are cores."""
        _ = self.descriptor  # opened before the threads that use it
        return on_single_cores(self.quality, faces, codes)

    # --- refinement ----------------------------------------------------------------------------

    def can_refine(self, backbone: str = DEFAULT_BACKBONE) -> bool:
        """Whether a backbone draws pictures of the size at which a refinement is measured."""
        return refinement.MEASURED in self.backbone(backbone).sizes

    def refine(
        self,
        face: Face,
        *,
        backbone: str = DEFAULT_BACKBONE,
        steps: int | None = None,
        seconds: float | None = None,
        nearest: bool = False,
        progress: Report | None = None,
        stopped: Callable[[], bool] | None = None,
    ) -> tuple[StyleCode, refinement.Refined]:
        """The style code of a face brought nearer to it than the encoder can, and what that cost.

        steps: how many, None for the usual 50; seconds: end after so long in any case, counted from its turn. nearest:
        move every layer: nearer still, and edits then change more. One refinement runs at a time, the others wait
        in the order they came. stopped ends it early: with the best answer so far, or with Cancelled where its turn had
        not come.
        """
        report, stopped = progress or silent, stopped or never
        with self._turn(report, stopped), enough_memory("to refine a face"):
            refined = refinement.refine(
                self.backbone(backbone),
                self.descriptor,
                face.pixels,
                self.invert(face, backbone=backbone),
                steps=steps or refinement.STEPS,
                seconds=seconds,
                recipe=refinement.NEAREST if nearest else refinement.RECIPE,
                progress=report,
                stopped=stopped,
            )
        return self.code(refined.w_plus, backbone=backbone), refined

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
        distance, direction = self.trainer.distances(self.table(run.table), run.target)
        chosen = scores.top(distance, count, exclude=run.excluded)
        if decided_classes(self.probability(run, before)) == 1:
            shift = -shift
        edits = [Edit(int(i), float(np.copysign(shift, shift * direction[i]))) for i in chosen]
        stats = self.stats_of(run)
        codes = [before, self.edited(before, edits, stats=stats), after, self.edited(after, edits, stats=stats)]
        backbone = self.backbone(before.backbone)
        shown = [backbone.generator.shows_from(backbone.layout.locate(edit.index)[0]) for edit in edits]
        size = max(backbone.fitting(AGREEMENT_SIZE), *shown, 0)
        pictures = rendering.draw_raw(backbone.generator, codes, size=size)  # (4, s, s, 3)
        chance = run.classifier.predict_proba(np.stack([code.values for code in codes]))[:, 1]
        return EditAgreement(
            agreement_of(pictures[1] - pictures[0], pictures[3] - pictures[2]),
            float(chance[1] - chance[0]),
            float(chance[3] - chance[2]),
        )

    def check_edit(
        self, run: Run, code: StyleCode, edits: Sequence[Edit], *, judged: StyleCode | None = None
    ) -> EditCheck:
        """Draw an edited face and look at it again: is it still this face, and does its picture say what its code says?

        judged: the code that the run is asked about where that is another one than is drawn. Raises Img2TabError where
        the backbone cannot read pictures.
        """
        model = self.backbone(code.backbone)
        stats, judged = self.stats_of(run), judged or code
        drawn, counted = ([face, self.edited(face, edits, stats=stats)] for face in (code, judged))
        pictures = self._draw(drawn, edits, edits, FACE_SIZE, "close")
        read = model.styles(model.invert(pictures))
        chance = run.classifier.predict_proba(np.stack([*(face.values for face in counted), *read]))[:, 1].tolist()
        return EditCheck(
            (chance[0], chance[1]),
            (chance[2], chance[3]),
            quality.identity_distance(self.descriptor, pictures[0], pictures[1]),
            bool(alignment.find_faces(pictures[1], weights.path("landmarks-68"))),
        )

    def reread(self, code: StyleCode) -> StyleCode:
        """What the encoder reads in the picture of a style code. Raises Img2TabError for a backbone without one."""
        model = self.backbone(code.backbone)
        picture = self.render(code, size=FACE_SIZE, precision="close")
        return StyleCode.of(model.styles(model.invert(picture[None]))[0], code.backbone)

    def effect(self, run: Run, what: int | Family, *, faces: int = 24) -> Effect:
        """Whether moving a channel or a family from -8 to +8 moves a run: drawn on other faces, read again, asked.

        Raises Img2TabError where the backbone cannot read pictures or has no such channel.
        """
        table = self.table(run.table)
        model = self.backbone(table.backbone)
        moving = moves_of(what, 1.0)
        model.layout.locate(max(edit.index for edit in moving))
        if model.encoder is None and not run.own:
            raise Img2TabError(
                f"The backbone {model.name} has no encoder, so a picture cannot be read again and no effect measured."
            )
        direction = describing.Direction(
            np.array([edit.index for edit in moving]), np.array([edit.shift for edit in moving])
        )

        def measure() -> Effect:
            codes = describing.others(model, table, count=faces)
            if run.own:  # its pictures need not be read again: it reads them itself
                by = np.zeros(codes.shape[1], np.float32)
                by[direction.channels] = describing.SHIFT * direction.parts * model.stats.std[direction.channels]
                odds = _own(run).log_odds(np.concatenate([codes - by, codes + by])).reshape(2, len(codes))
                return ranking.effect(odds[1] - odds[0])
            read = describing.read_moved(model, codes, [direction])
            return ranking.effect(ranking.effect_of(read, model, _log_odds(run))[0])

        key = (run.id, digest(direction.channels.tobytes(), direction.parts.tobytes(), str(faces).encode()))
        return self._effects.get(key, measure)

    # --- tables, classifiers, concepts ---------------------------------------------------------

    def table_names(self) -> list[str]:
        """Names of the tables that are built, the default first."""
        return self.trainer.table_names()

    def table(self, name: str = "default") -> StyleTable:
        """An opened table."""
        return self.trainer.table(name)

    def run(self, table: StyleTable, target: str, *, progress: Report | None = None) -> Run:
        """The standing run of a target, nothing excluded: loaded if it was trained before, else trained and kept."""
        return self.trainer.run(table, target, progress=progress)

    def train(
        self,
        table: StyleTable,
        target: str,
        *,
        kind: str = DEFAULT_KIND,
        excluded: frozenset[int] = frozenset(),
        treatment: Treatment = UNTREATED,
        seed: int = 0,
        rows: int | None = None,
        progress: Report | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> Run:
        """A new run without the excluded concepts, measured on the test split; see `Trainer.train`."""
        return self.trainer.train(
            table,
            target,
            kind=kind,
            excluded=excluded,
            treatment=treatment,
            seed=seed,
            rows=rows,
            progress=progress,
            cancelled=cancelled,
        )

    def scores(self, run: Run) -> ConceptScores:
        """Distance, direction and importance of every concept for a run's target."""
        return self.trainer.scores(run)

    def on_photos(self, run: Run) -> Run:
        """The run as it judges photos: with the calibration of its target, where its table has one; else the run
        itself.

        What the generator drew is judged by the run as it is, as its test faces are. A classifier of somebody's own is
        never calibrated.
        """
        if run.own:
            return run
        return calibrated.calibrated(run, calibration_of(self.table(run.table), run.target, run.classifier.kind))

    def predict(self, run: Run, code: StyleCode, edits: Sequence[Edit] = ()) -> Prediction:
        """Probability of the target's second class, and what every concept added to it.

        The edits count in the standard deviations of the run's table. Raises Img2TabError where the code is of another
        backbone than that table's.
        """
        return self.predict_all(run, [self.edited(code, edits, stats=self.stats_of(run))])[0]

    def predict_all(self, run: Run, codes: Sequence[StyleCode]) -> list[Prediction]:
        """`predict` for many style codes at once.

        Of a classifier that reads pixels the contributions are measured, see `reasons_by_moving`.
        """
        expected = self.table(run.table).backbone
        for code in codes:
            if code.backbone != expected:
                raise Img2TabError(
                    f"This classifier judges style codes of the backbone {expected}, got one of {code.backbone}. "
                    "Encode the photo with that backbone."
                )
        if run.own:
            return [self.reasons_by_moving(run, code) for code in codes]
        return measures.explain(run.classifier, np.stack([code.values for code in codes])) if codes else []

    def class_shares(self, run: Run, code: StyleCode) -> dict[str, float]:
        """Of a run about one of several classes: every class with its probability, in the target's order; else {}."""
        if run.whole is None:
            return {}
        classes = any_target_of(self.table(run.table), run.whole.target).classes
        shares = run.whole.classifier.predict_proba(code.values[None])[0]
        return dict(zip(classes, map(float, shares), strict=True))

    def probability(self, run: Run, code: StyleCode, edits: Sequence[Edit] = ()) -> float:
        """`predict` without the reasons."""
        values = self.edited(code, edits, stats=self.stats_of(run)).values
        return float(run.classifier.predict_proba(values[None])[0, 1])

    def reasons_by_moving(self, run: Run, code: StyleCode) -> Prediction:
        """What each family adds to one decision of a classifier that reads pixels: the log-odds it loses when that
        family alone is set to its average over the table, drawn, and asked.

        A family's share is spread over its channels; the baseline is what no family accounts for. Raises Img2TabError
        where the backbone's concepts are not described.
        """
        described = self.described(code.backbone)
        stats, classifier = self.stats_of(run), _own(run)
        neutral = np.repeat(code.values[None], 1 + len(described.families), axis=0)
        for number, family in enumerate(described.families):
            channels, parts = family.channels, family.parts
            std = np.maximum(stats.std[channels], 1e-12)
            score = ((code.values[channels] - stats.mean[channels]) / std) @ parts
            neutral[1 + number, channels] -= (score / (parts @ parts) * parts * std).astype(np.float32)
        odds = classifier.log_odds(neutral)
        contributions = np.zeros(len(code.values))
        for number, family in enumerate(described.families):
            contributions[family.channels] += (
                (odds[0] - odds[1 + number]) * family.parts**2 / (family.parts @ family.parts)
            )
        chance = float(1 / (1 + np.exp(-odds[0])))
        return Prediction(chance, read_only(contributions), float(odds[0] - contributions.sum()))

    # --- classifiers of somebody's own -------------------------------------------------------------

    def add_model(self, file: Path, name: str, wishes: models.Wishes) -> models.Added:
        """Check a classifier of somebody's own, an ONNX file, try it on the samples, and keep it under a name.

        Raises Img2TabError with what is wrong; nothing is kept then.
        """
        persons.must_be_auditor("bring a classifier")
        labels: dict[str, None] = {}  # targets that are no answers, of every table
        for table in self.trainer.opened_tables():
            if name in table.labels.columns and name not in table.answered:
                raise Img2TabError(f"{name!r} is a label of the table {table.name!r} already. Choose another name.")
            labels |= dict.fromkeys(target.name for target in table.targets if target.name not in table.answered)
        if wishes.judges and wishes.judges not in labels:
            raise Img2TabError(
                f"--judges must be a target of a table, got {wishes.judges!r}; there are {', '.join(labels) or 'none'}."
            )
        return models.add(file, name, wishes, np.stack([face.pixels for face in self.samples()]))

    def question(
        self,
        name: str,
        table: StyleTable,
        *,
        faces: int = 2000,
        engine: Engine = HERE,
        progress: Report | None = None,
        cancelled: Callable[[], bool] | None = None,
        on_answer: Callable[[reactions.Reactions], None] | None = None,
    ) -> reactions.Reactions:
        """Ask a classifier of somebody's own about the faces of a table and about moved ones, until so many are asked.

        engine: who draws the pictures. on_answer: called with every better answer on the way, the first after a minute.
        What was asked before is not asked again. Raises Cancelled once `cancelled` says so; what was answered is kept.
        """
        persons.must_be_auditor("question a classifier")
        report, model = progress or silent, models.open_model(name)
        backbone, described = self.backbone(table.backbone), self.described(table.backbone)
        steps = reactions.stages(model, table, faces=faces)
        for number, stage in enumerate(steps):

            def part(share: float, text: str, begin: float = 0.0, number: int = number) -> None:
                report((number + begin + share / 2) / len(steps), text)

            rows = answers.order_of(table)[: stage.faces]
            answers.ask(
                model, table, backbone, rows, size=stage.size, engine=engine, progress=part, cancelled=cancelled
            )
            reactions.ask_moved(
                model,
                table,
                backbone,
                described,
                size=stage.size,
                faces=stage.moved,
                families=self._leading(model, table, described, stage.families),
                engine=engine,
                progress=lambda share, text, part=part: part(share, text, 0.5),  # type: ignore[misc]
                cancelled=cancelled,
            )
            if on_answer is not None:
                on_answer(self.reactions(name, table))
        if model.judges and faces > steps[0].faces:  # to be held against labels it must know every test face
            rows, text = table.rows("test"), "The test faces, to hold it against their labels"
            answers.ask(
                model,
                table,
                backbone,
                rows,
                size=model.face_size,
                engine=engine,
                progress=lambda share, _: report(0.9 + 0.1 * share, text),
                cancelled=cancelled,
            )
        return self.reactions(name, table)

    def asked_so_far(self, name: str, table: StyleTable) -> tuple:
        """How far a classifier of somebody's own was asked; changes with every better answer."""
        model, described = models.open_model(name), self.described(table.backbone)
        known, moved = answers.best(model, table), reactions.moved_so_far(model, table, described)
        return model.key, *_how_far(table, described, known, moved)

    def pair(self, made: reactions.Reactions, number: int) -> reactions.Pair:
        """The face that shows best what moving a family does to a classifier, and what that says of each picture."""
        table = self.table(made.table)
        described, places = self.described(table.backbone), [2 * number, 2 * len(made.families), 2 * number + 1]
        face = made.clearest(number)
        pictures = moved_pictures.moved_face(
            self.backbone(table.backbone), table, described, face, places, size=made.moved.size
        )
        down, plain, up = made.moved.probability[face, places].tolist()
        return reactions.Pair(pictures, (down, plain, up))

    def _leading(
        self, model: PixelModel, table: StyleTable, described: Description, count: int | None
    ) -> Sequence[int] | None:
        """Numbers of the families in which the faces of the two classes are furthest apart, or that are seen most; None
        for all."""
        if count is None or count >= len(described.families):
            return None
        table = self.table(table.name)
        if model.name not in table.answered:
            return range(count)
        rows, labels = faces_of(table, model.name).train
        apart = np.abs(ranking.directions(described, table, rows, labels))
        return np.sort(np.argsort(-apart, kind="stable")[:count]).tolist()

    def reactions(self, name: str, table: StyleTable) -> reactions.Reactions:
        """What a classifier of somebody's own reacts to, as far as it was asked.

        Raises Img2TabError where it was not asked about enough faces yet.
        """
        table = self.table(table.name)  # with the answers of now
        model, described = models.open_model(name), self.described(table.backbone)
        known, moved = answers.best(model, table), reactions.moved_so_far(model, table, described)
        if known is None or not moved.faces:
            raise Img2TabError(
                f"{model.title} was not asked about the faces of the table {table.name!r} yet. Run: img2tab explain "
                f"--classifier {name}."
            )

        def make() -> reactions.Reactions:
            why, fidelity, importance = "", None, np.zeros(table.layout.total)
            if name in table.answered:
                run = self.trainer.own(table, name, name)
                stand_in = self.trainer.stand_in(run)
                importance = measures.importance(stand_in.classifier)
                fidelity = self.trainer.fidelity(run, stand_in)
                ranked = ranking.ranked(described, faces_of(table, name), importance, moved.effects)
                ranked.sort(key=lambda row: -row.weight)  # stable: the others stay as they are
            else:
                why = answers.why_no_target(model, table)
                ranked = ranking.by_effect(described, moved.effects)
            ones = int((known.log_odds > 0).sum())
            return reactions.Reactions(
                model, table.name, len(known.rows), known.size, ones, fidelity, tuple(ranked), moved, why
            )

        made = self._reactions.get((model.key, *_how_far(table, described, known, moved)), make)
        rows = tuple(replace(row, family=described.families[row.number]) for row in made.families)
        return replace(made, families=rows)  # with the names of now

    def strip(
        self,
        run: Run,
        code: StyleCode,
        what: int | Family,
        *,
        edits: Sequence[Edit] = (),
        reach: float = 10.0,
        frames: int = 9,
        size: int = 128,
        precision: rendering.Precision = "exact",
        photo: Face | None = None,
    ) -> tuple[Frame, ...]:
        """Frames with a channel or a family moved from -reach to +reach on top of the edits, in the table's deviations.

        photo: the face itself, for a classifier that reads pixels: what moves is then blended into it. Raises
        Img2TabError where frames is even or below 3.
        """
        stats, shifts = self.stats_of(run), rendering.shifts(reach, frames)
        moved = [self.edited(code, [*edits, *moves_of(what, float(shift))], stats=stats) for shift in shifts]
        moving = moves_of(what, reach)
        pictures = self._draw(moved, [*edits, *moving], moving, size, precision)
        if photo is not None:
            pictures = self._in_photo(photo, code, pictures, [*edits, *moving], precision)
        if run.own and (photo is not None or size >= _own(run).size):  # it is asked about the pictures that are shown
            chance = _own(run).of_faces(pictures)
        else:
            chance = run.classifier.predict_proba(np.stack([frame.values for frame in moved]))[:, 1]
        return tuple(
            Frame(float(shift), picture, float(probability))
            for shift, picture, probability in zip(shifts, pictures, chance, strict=True)
        )

    def _in_photo(
        self,
        photo: Face,
        code: StyleCode,
        pictures: np.ndarray,
        edits: Sequence[Edit],
        precision: rendering.Precision = "exact",
    ) -> np.ndarray:
        """Pictures of an edited code uint8 (n, S, S, 3), blended into the photo whose code it is; the same shape.

        edits: all that is in the pictures, so that the reconstruction is drawn as large as they were.
        """
        size = pictures.shape[1]
        face = np.asarray(Image.fromarray(photo.pixels).resize((size, size), Image.Resampling.LANCZOS))
        plain = self._draw([code], edits, (), size, precision)[0]
        return blending.all_blended(face, plain, pictures)

    def chances_of(self, run: Run, faces: Sequence[Face]) -> list[float]:
        """Probability of class 1 for faces of one size: by their style codes, or where the run reads pixels by them."""
        if not faces:
            return []
        if run.own:
            chance = _own(run).of_faces(np.stack([face.pixels for face in faces]))
        else:
            codes = self.encode_all(faces, backbone=self.table(run.table).backbone)
            chance = run.classifier.predict_proba(np.stack([code.values for code in codes]))[:, 1]
        return [float(value) for value in chance]

    def ask_face(self, run: Run, face: Face) -> float:
        """What a classifier that reads pixels says of a face itself, not of its reconstruction: chance of class 1."""
        return float(_own(run).of_faces(face.pixels[None])[0])

    def edited_photo(
        self, run: Run, face: Face, code: StyleCode, edits: Sequence[Edit], *, size: int = FACE_SIZE
    ) -> tuple[np.ndarray, float]:
        """A face with the edits of its code blended into it, uint8 (s, s, 3), and what a classifier that reads pixels
        says of it."""
        moved = self._draw([self.edited(code, edits, stats=self.stats_of(run))], edits, edits, size, "close")
        picture = self._in_photo(face, code, moved, edits, "close")
        return picture[0], float(_own(run).of_faces(picture)[0])

    def family(self, run: Run, *, count: int = 1500, strength: float = 1.5) -> tuple[Edit, ...]:
        """Many channels, each in proportion to its signed distance between the classes of the run's target."""
        distance, direction = self.trainer.distances(self.table(run.table), run.target)
        return rendering.family(np.copysign(distance, direction), count=count, strength=strength)

    def contact_sheet(
        self,
        what: int | Family,
        *,
        backbone: str = DEFAULT_BACKBONE,
        faces: int = 4,
        shifts: Sequence[float] = (-8.0, 0.0, 8.0),
        size: int = 128,
        stats: ChannelStats | None = None,
    ) -> np.ndarray:
        """Several sample faces with a channel or family moved; uint8 (faces, len(shifts), size, size, 3).

        stats: see `edited`. Raises Img2TabError where the backbone has no such channel.
        """
        moving = moves_of(what, float(max(shifts)))
        self.backbone(backbone).layout.locate(max(edit.index for edit in moving))
        codes = self._sample_codes(backbone, faces)
        moved = [self.edited(code, moves_of(what, float(shift)), stats=stats) for code in codes for shift in shifts]
        pictures = self._draw(moved, moving, moving, size)
        return pictures.reshape(len(codes), len(shifts), *pictures.shape[1:])

    def _sample_codes(self, backbone: str, count: int) -> list[StyleCode]:
        """Codes of the first samples; of random faces where the backbone has no encoder."""
        model = self.backbone(backbone)

        def encoded() -> list[StyleCode]:
            if model.encoder is None:
                psi = model.random_codes(len(self.samples()))[:count]
                return [StyleCode.of(values, backbone) for values in psi]
            # one by one, as a page encodes the same sample: together the last bits differ
            return [self.encode(face, backbone=backbone) for face in self.samples()[:count]]

        return self._samples.get((model.key, count), encoded)

    # --- families of channels ---------------------------------------------------------------------

    def description(self, backbone: str = DEFAULT_BACKBONE) -> Description | None:
        """Families of a backbone's channels, what each draws and is called; None where nothing was described.

        A name that a person gave stands in the place of the measured one.
        """
        described, given = open_description(backbone, self.backbone_key(backbone)), names.given_to_families(backbone)
        return described.renamed(given) if described is not None and given else described

    def described(self, backbone: str = DEFAULT_BACKBONE) -> Description:
        """The same, where it must be there; raises Img2TabError where nothing was described."""
        found = self.description(backbone)
        if found is None:
            raise Img2TabError(
                f"The concepts of {backbone} are not described yet. Run: img2tab describe-concepts "
                f"--backbone {backbone}"
            )
        return found

    def name_family(self, family: str, name: str, *, backbone: str = DEFAULT_BACKBONE) -> None:
        """Give a family, by its id, a name; an empty one gives it its measured name back.

        Raises Img2TabError where there is no such family, or the name is too long or cannot be kept.
        """
        described = open_description(backbone, self.backbone_key(backbone))
        if described is None or all(known.id != family for known in described.families):
            raise Img2TabError(f"{backbone} has no family {family}. `img2tab concepts` lists them with their ids.")
        names.give_family(family, name, backbone=backbone)

    def families(self, run: Run) -> list[RankedFamily]:
        """Every family of a run's backbone for its classifier: distance, importance, effect; the largest effect first.

        Raises Img2TabError where the backbone's concepts are not described.
        """
        table = self.table(run.table)
        described = self.described(table.backbone)
        if run.own:
            return list(self.reactions(_own(run).name, table).families)

        def rank() -> list[RankedFamily]:
            importance = self.scores(run).importance
            model = self.backbone(table.backbone)
            effects = ranking.effect_of(described.read, model, _log_odds(run))
            return ranking.ranked(described, faces_of(table, run.target), importance, effects)

        of_run = self._ranked.get((run.id, described.key), rank)
        return [replace(row, family=described.families[row.number]) for row in of_run]  # with the names of now

    # --- names of concepts ---------------------------------------------------------------------

    def concept_names(self, backbone: str = DEFAULT_BACKBONE) -> dict[int, str]:
        """Names people gave to concepts of a backbone, by channel index."""
        return names.given(backbone)

    def suggested_names(self, layout: StyleLayout) -> dict[int, names.Suggestion]:
        """What others published about the concepts of such a generator, by channel index; see `names`."""
        return names.published(layout)

    def name_concept(self, index: int, name: str, *, backbone: str = DEFAULT_BACKBONE) -> None:
        """Give a concept a name; an empty one removes it."""
        names.give(index, name, layout=self.backbone(backbone).layout, backbone=backbone)


def _how_far(table: StyleTable, described: Description, known: answers.Asked | None, moved: reactions.Moved) -> tuple:
    """Changes with what was asked: about faces of a table, and about moved ones."""
    answered = (0, 0) if known is None else (len(known.rows), known.size)
    return table.key, described.key, answered, moved.faces, moved.families, moved.size


def _own(run: Run) -> PixelClassifier:
    """The classifier of a run that reads pixels."""
    return cast("PixelClassifier", run.classifier)


def _log_odds(run: Run) -> Callable[[np.ndarray], np.ndarray]:
    """What a run says of style codes float32 (n, D), as log-odds float64 (n,)."""

    def answer(codes: np.ndarray) -> np.ndarray:
        chance = np.clip(run.classifier.predict_proba(codes)[:, 1].astype(np.float64), 1e-7, 1 - 1e-7)
        return np.log(chance / (1 - chance))

    return answer


def moves_of(what: int | Family, shift: float) -> tuple[Edit, ...]:
    """The edits that move a channel, or every member of a family, by so many standard deviations."""
    return what.edits(shift) if isinstance(what, Family) else (Edit(what, shift),)


def agreement_of(first: np.ndarray, second: np.ndarray) -> float:
    """Correlation of two changes of one shape, -1 to 1; of a change that is none 1 with itself and 0 with another."""
    first, second = (change.ravel() - change.mean() for change in (first, second))
    lengths = float(np.linalg.norm(first)), float(np.linalg.norm(second))
    if min(lengths) == 0:
        return float(lengths[0] == lengths[1])
    return float(np.clip(first @ second / (lengths[0] * lengths[1]), -1, 1))

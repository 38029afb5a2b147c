"""The only door to the core: the verbs that the terminal and the dashboard share; no visitor inside."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from img2tab_core import weights
from img2tab_core.backbones.feature_cache import FeatureCache, Reuse
from img2tab_core.backbones.registry import backbone_key, backbone_names
from img2tab_core.base.errors import Cancelled, Img2TabError
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
    Face,
    Frame,
    Prediction,
    Quality,
    StyleCode,
    StyleTable,
)
from img2tab_core.classifiers.runs import DEFAULT_KIND, Run
from img2tab_core.classifiers.trainer import Trainer
from img2tab_core.concepts import names, scores
from img2tab_core.faces import alignment, photos

if TYPE_CHECKING:
    from img2tab_core.backbones import quality, refinement, rendering
    from img2tab_core.backbones.backbone import Backbone
    from img2tab_core.classifiers import measures
else:
    measures, quality, refinement, rendering = later(
        "img2tab_core.classifiers.measures",
        "img2tab_core.backbones.quality",
        "img2tab_core.backbones.refinement",
        "img2tab_core.backbones.rendering",
    )

FACE_SIZE = 256
KNOWN_EDIT = (5, 8.0)  # concepts and standard deviations, see `Studio.edit_agreement`


class Studio:
    """The models of one process: photos, pictures, and through `trainer` tables and runs; no visitor inside.

    trainer: everything about tables and trained classifiers; the verbs on it that nearly everybody needs are here too.
    """

    def __init__(self) -> None:
        self.trainer = Trainer()
        self._lock = threading.Lock()  # held for moments only
        self._opened: Once[str, object] = Once(1)
        self._samples: dict[str, list[StyleCode]] = {}
        self._line: list[object] = []  # refinements, the running one first
        self._features = FeatureCache()  # of faces that are being edited

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
        """What one standard deviation of an edit is: over the default table, or over 10,000 w of another backbone."""
        if backbone == DEFAULT_BACKBONE and (home() / "tables" / "default" / "table.json").is_file():
            return self.table().stats
        return self.backbone(backbone).stats

    @cached_property
    def descriptor(self):
        """dlib's face descriptor as a network."""
        with self._opened.making("descriptor"):
            return _descriptor()

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
        photo = Image.fromarray(photos.read_photo(data))
        side = min(photo.size)
        left, top = (photo.width - side) // 2, (photo.height - side) // 2
        square = photo.crop((left, top, left + side, top + side))
        return Face.of(np.asarray(square.resize((FACE_SIZE, FACE_SIZE), Image.LANCZOS)))

    def samples(self) -> list[Face]:
        """A dozen generated faces to start with."""
        files = sorted((ROOT / "assets" / "samples").glob("*.jpg"))
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
        self, code: StyleCode, edits: Sequence[Edit] = (), *, size: int = 256, precision: rendering.Precision = "exact"
    ) -> np.ndarray:
        """The picture of a style code with edits; uint8, `size` px or the next smaller that its backbone draws."""
        return self._draw([self.edited(code, edits)], edits, size, precision)[0]

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
        self, codes: Sequence[StyleCode], edits: Sequence[Edit], size: int, precision: rendering.Precision = "exact"
    ) -> np.ndarray:
        """Pictures of codes of one backbone, uint8 (n, s, s, 3), s = size or the next smaller there is.

        Drawn larger and reduced where the edited layers would not show in so small a picture. What comes before those
        layers is computed once for a face, and again only when an edit there changes.
        """
        backbone = self.backbone(codes[0].backbone)
        size, layout = backbone.fitting(size), backbone.layout
        layers = {layout.locate(edit.index)[0] for edit in edits}
        needed = max((backbone.generator.shows_from(layer) for layer in layers), default=0)
        reuse = Reuse(self._features, backbone.key, tuple(layers))
        if needed <= size:
            return rendering.draw(backbone.generator, codes, size=size, reuse=reuse, precision=precision)
        return rendering.reduced(
            rendering.draw(backbone.generator, codes, size=needed, reuse=reuse, precision=precision), size
        )

    def quality(self, face: Face, code: StyleCode) -> Quality:
        """How well the reconstruction shows the face: a word, calibrated on portraits (see `quality.assess`)."""
        return quality.assess(self.descriptor, face.pixels, self.render(code, size=FACE_SIZE))

    # --- refinement ----------------------------------------------------------------------------

    def can_refine(self, backbone: str = DEFAULT_BACKBONE) -> bool:
        """Whether a backbone draws pictures of the size at which a refinement is measured."""
        return refinement.MEASURED in self.backbone(backbone).sizes

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
        report, stopped = progress or silent, stopped or never
        with self._turn(report, stopped):
            found = refinement.refine(
                self.backbone(backbone),
                self.descriptor,
                face.pixels,
                self.invert(face, backbone=backbone),
                seconds=seconds,
                steps=steps,
                progress=report,
                stopped=stopped,
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
        distance, direction = self.trainer.distances(self.table(run.table), run.target)
        chosen = scores.top(distance, count, exclude=run.excluded)
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
        seed: int = 0,
        progress: Report | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> Run:
        """A new run without the excluded concepts, measured on the test split; see `Trainer.train`."""
        return self.trainer.train(
            table, target, kind=kind, excluded=excluded, seed=seed, progress=progress, cancelled=cancelled
        )

    def scores(self, run: Run) -> ConceptScores:
        """Distance, direction and importance of every concept for a run's target."""
        return self.trainer.scores(run)

    def predict(self, run: Run, code: StyleCode, edits: Sequence[Edit] = ()) -> Prediction:
        """Probability of the target's second class, and what every concept added to it."""
        expected = self.table(run.table).backbone
        if code.backbone != expected:
            raise Img2TabError(
                f"This classifier judges style codes of the backbone {expected}, got one of {code.backbone}. "
                "Encode the photo with that backbone."
            )
        return measures.explain(run.classifier, self.edited(code, edits).values[None])[0]

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
        precision: rendering.Precision = "exact",
    ) -> tuple[Frame, ...]:
        """Frames with channel `index` moved from -reach to +reach standard deviations on top of the edits."""
        moved = [
            (float(shift), self.edited(code, [*edits, Edit(index, float(shift))]))
            for shift in rendering.shifts(reach, frames)
        ]
        pictures = self._draw([one for _, one in moved], [Edit(index, reach)], size, precision)
        chance = run.classifier.predict_proba(np.stack([one.values for _, one in moved]))[:, 1]
        return tuple(
            Frame(shift, picture, float(p)) for (shift, _), picture, p in zip(moved, pictures, chance, strict=True)
        )

    def family(self, run: Run, *, count: int = 1500, strength: float = 1.5) -> tuple[Edit, ...]:
        """Many channels, each in proportion to its signed distance between the classes of the run's target."""
        distance, direction = self.trainer.distances(self.table(run.table), run.target)
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
        with self._opened.making(f"samples {model.key}"):
            codes = self._samples.setdefault(model.key, [])
            if model.encoder is None:
                codes[:] = codes or [StyleCode.of(psi, backbone) for psi in model.random_codes(len(self.samples()))]
            else:
                codes += [self.encode(face, backbone=backbone) for face in self.samples()[len(codes) : count]]
            return codes[:count]

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


@lru_cache(maxsize=1)
def _descriptor():
    """Opened once per process; the quick copies that a refinement makes are kept for it."""
    return weights.open_descriptor()

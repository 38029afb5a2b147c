"""A classifier that reads pixels, standing where one of style codes stands: a code is drawn, and the picture asked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.files import read_json, write_json
from img2tab_core.base.jobs import Cancel, Report
from img2tab_core.base.later import later
from img2tab_core.base.once import Once
from img2tab_core.base.records import StyleTable, digest, read_only
from img2tab_core.classifiers import models
from img2tab_core.classifiers.base import ConceptClassifier, two_columns
from img2tab_core.classifiers.pixel_models import TOGETHER, PixelModel, chances

if TYPE_CHECKING:
    from img2tab_core.backbones import backbone as backbones
    from img2tab_core.backbones import drawn_faces
    from img2tab_core.backbones.backbone import Backbone
    from img2tab_core.classifiers import answers
else:  # the other kinds do without PyTorch
    backbones, drawn_faces, answers = later(
        "img2tab_core.backbones.backbone", "img2tab_core.backbones.drawn_faces", "img2tab_core.classifiers.answers"
    )

REMEMBERED = 50_000  # style codes whose answer is known


class PixelClassifier(ConceptClassifier):
    """A classifier of somebody's own as a classifier of the style codes of a backbone; never trained here.

    name: of `models`; backbone: what draws the codes; size: px at which they are drawn for it.
    """

    kind: ClassVar[str] = "pixels"
    file: ClassVar[str] = "pixels.json"
    library: ClassVar[str] = "onnxruntime"
    measures: ClassVar[tuple[str, ...]] = ("none",)

    def __init__(
        self,
        name: str = "",
        backbone: str = "",
        size: int = 128,
        excluded: frozenset[int] = frozenset(),
        screen: int | None = None,
        random_state: int = 0,
        thread_count: int = -1,
    ) -> None:
        self.name, self.backbone, self.size = name, backbone, size
        self.excluded, self.screen = excluded, screen
        self.random_state, self.thread_count = random_state, thread_count

    @classmethod
    def of(cls, model: PixelModel, backbone: Backbone, *, size: int | None = None) -> PixelClassifier:
        """A classifier for a backbone, its faces drawn at the size it wants, or another."""
        made = cls(model.name, backbone.name, size or model.face_size)
        made._opened(model, backbone.layout.total)
        return made

    def _opened(self, model: PixelModel, channels: int) -> None:
        self.model_ = model
        self.screened_ = read_only(np.arange(channels))
        self.classes_, self.n_features_in_ = np.array([0, 1]), channels
        self._known: Once[str, float] = Once(REMEMBERED)

    def log_odds(self, codes: np.ndarray) -> np.ndarray:
        """Style codes float32 (n, D) -> log-odds float64 (n,): drawn, and asked about; an answer is remembered."""
        codes = np.ascontiguousarray(codes, np.float32)
        keys = [digest(code.tobytes()) for code in codes]
        known = {key: value for key in keys if (value := self._known.peek(key)) is not None}
        missing = [number for number, key in enumerate(keys) if key not in known]
        for start in range(0, len(missing), TOGETHER):
            part = missing[start : start + TOGETHER]
            pictures = drawn_faces.pictures_of(backbones.open_backbone(self.backbone), codes[part], size=self.size)
            for number, value in zip(part, self.model_.log_odds(pictures).tolist(), strict=True):
                known[keys[number]] = value
                self._known.put(keys[number], value)
        return np.array([known[key] for key in keys], np.float64)

    def of_faces(self, faces: np.ndarray) -> np.ndarray:
        """Pictures of aligned faces uint8 (n, P, P, 3) -> probability of class 1, float64 (n,)."""
        return chances(self.model_.log_odds(faces))

    def of_table(self, table: StyleTable, rows: np.ndarray) -> np.ndarray:
        """Probability of class 1 for faces of a table, float64 (n,): as asked before, those not asked drawn now."""
        return chances(answers.ask(self.model_, table, backbones.open_backbone(self.backbone), rows, size=self.size))

    def _train(
        self,
        codes: np.ndarray,
        y: np.ndarray,
        weights: np.ndarray | None,
        used: np.ndarray,
        width: int,
        report: Report,
        cancelled: Cancel,
    ) -> None:
        raise Img2TabError(
            f"{self.name} is a classifier of your own: it cannot be trained again here, and no concept be excluded "
            "from it. Train a concept classifier on its answers instead: choose one of the other kinds."
        )

    def _probabilities(self, codes: np.ndarray) -> np.ndarray:
        return two_columns(chances(self.log_odds(codes)))

    def importances(self, by: str) -> np.ndarray:
        return np.zeros(self.n_features_in_)  # what it uses inside is not known; its stand-in's is

    def write(self, file: Path) -> None:
        write_json(file, {"name": self.name, "key": self.model_.key, "backbone": self.backbone, "size": self.size})

    def read(self, file: Path) -> None:
        record = read_json(file)
        model = models.open_model(self.name)
        if model.key != record.get("key"):
            raise ValueError(f"the classifier {self.name} is another one now, {json.dumps(model.origin)}")
        self._opened(model, self.n_features_in_)
